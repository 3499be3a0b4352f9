//! Every time limit, interval and grace period of the program, each with its reason. The times of EMQX, the
//! operators and Kubernetes themselves are not here but beside the rules that use them.

use std::time::Duration;

use jiff::SignedDuration;

// Requests and connections.

/// Limit of a request without `--request-timeout`: kubectl has none, but a dead server must be noticed.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A server that does not accept a connection within this time is unreachable.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time without data on an HTTP/2 connection with open requests after which a ping is sent, and the limit of
/// its answer. Together they are shorter than the limit of one request.
pub(crate) const PING_AFTER: Duration = Duration::from_secs(10);
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Time to connect from which on a link is slow: then the connection for port-forward is opened before it is needed. On a fast
/// link that would only cost the processor time of one more TLS handshake where no port is forwarded.
pub(crate) const SLOW_LINK: Duration = Duration::from_millis(10);

/// A connection that was prepared and not used for longer may have been closed by the server, or by a proxy.
pub(crate) const PREPARED_FOR: Duration = Duration::from_secs(20);

/// Time within which the key for EMQX arrives over a fast link.
pub(crate) const KEY_SOON: Duration = Duration::from_millis(10);

/// Limit of the upgrade to a port-forward: it takes milliseconds, and an unreachable node would delay it for
/// minutes.
pub(crate) const PORT_FORWARD_TIMEOUT: Duration = Duration::from_secs(10);

/// Time after which the output of a login command is shown while it still runs: a device code must be visible
/// in time.
pub(crate) const LOGIN_OUTPUT_AFTER: Duration = Duration::from_millis(700);

/// A token is renewed this long before it expires.
pub(crate) const TOKEN_RENEWAL: SignedDuration = SignedDuration::from_secs(60);

/// A token file is read again after this long, as client-go does.
pub(crate) const TOKEN_FILE_AGE: SignedDuration = SignedDuration::from_secs(60);

/// Seconds after which the server ends a watch; kube and client-go request a similar value.
pub(crate) const WATCH_SECONDS: u64 = 290;

/// A watch that is silent for longer than it may live has lost its connection.
pub(crate) const WATCH_SILENCE: Duration = Duration::from_secs(WATCH_SECONDS + 15);

/// Interval of the heartbeat, and the limit of its response.
pub(crate) const WATCH_HEARTBEAT: Duration = Duration::from_secs(5);

/// The shortest interval of the heartbeat where the server's clock runs faster than this machine's.
pub(crate) const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(500);

/// Pause before a forbidden or absent resource is listed again: permissions seldom change.
pub(crate) const DENIED_LIST_PAUSE: Duration = Duration::from_secs(15);

/// Pause between two reads of the operator's Lease, which is renewed every 2 s and expires after 15 s to 30
/// s.
pub(crate) const LEASE_PAUSE: Duration = Duration::from_secs(10);

/// Limit of a request to EMQX: EMQX asks all its nodes before it answers, and waits up to 5 s for each.
pub(crate) const EMQX_TIMEOUT: Duration = Duration::from_secs(10);

/// EMQX's web server closes a connection that is idle for 60 s (cowboy's `idle_timeout`).
pub(crate) const EMQX_LONGEST_IDLE: Duration = Duration::from_secs(20);

/// Factor of the time limit for `global_status` after the nodes were listed at once: a session round of EMQX 5.9 and later
/// lasts up to 15 s, and earlier ones have no limit.
pub(crate) const GLOBAL_STATUS_TIMEOUTS: u32 = 2;

/// Limit of the request for the node name of one address.
pub(crate) const NODE_NAME_TIMEOUT: Duration = Duration::from_secs(3);

/// Shortest pause between two requests to EMQX, however fast the server's clock runs.
pub(crate) const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// Longest pause between two measurements of the server's clock.
pub(crate) const LONGEST_STEP: Duration = Duration::from_millis(250);

/// How often a lock that another process holds is tried, and the pause between.
pub(crate) const LOCK_TRIES: (u32, Duration) = (20, Duration::from_millis(25));

// Polls of commands and of the view.

/// Time limit for names of shell completion: with the time of kubectl and the shell the total stays below a
/// second.
pub(crate) const COMPLETION_TIMEOUT: Duration = Duration::from_millis(900);

/// The interval of requests to EMQX while an operation is followed, by the server's clock.
pub(crate) const POLL: Duration = Duration::from_secs(1);

/// The interval of requests to EMQX while no operation runs, by the server's clock.
pub(crate) const IDLE_POLL: Duration = Duration::from_secs(10);

/// Pause between two requests to EMQX about a rebalance that another source suggests and that EMQX does not
/// list, by the server's clock; EMQX may list it again at once.
pub(crate) const LISTING_RETRY: Duration = Duration::from_secs(2);

/// Time for EMQX's answer before a terminal shows what Kubernetes reported.
pub(crate) const EMQX_SOON: Duration = Duration::from_millis(200);

/// Pause between two requests that verify a change, in real time.
pub(crate) const VERIFY_PAUSE: Duration = Duration::from_millis(250);

/// Pause between two reads of the instance, and the shortest pause between two changes of one object.
pub(crate) const INSTANCE_PAUSE: Duration = Duration::from_secs(1);

/// Pause between two changes of an object that is being deleted, which make the operator reconcile it.
pub(crate) const TOUCH_PAUSE: Duration = Duration::from_secs(5);

/// Time after a delete without EMQX after which the object is read again.
pub(crate) const DELETE_CHECK_AFTER: Duration = Duration::from_secs(5);

/// Pause between two requests to an EMQX that answers with errors.
pub(crate) const ERROR_RETRY: Duration = Duration::from_secs(1);

/// A step is not repeated within this real time, so that its effect can be observed first.
pub(crate) const GUARD_STEP_PAUSE: Duration = Duration::from_secs(2);

/// An action is not repeated within this real time: its effect must be observed first.
pub(crate) const REMOVAL_STEP_PAUSE: Duration = Duration::from_secs(1);

/// Seconds between the first refusals of an eviction, doubled up to the last.
pub(crate) const EVICTION_BACK_OFF_SECONDS: [u64; 2] = [5, 60];

/// A follower prints a line at least this often, in seconds.
pub(crate) const LONGEST_QUIET_SECONDS: u64 = 30;

/// A wait is announced each time that it has lasted this much longer.
pub(crate) const ANNOUNCE_SECONDS: u64 = 30;

/// The shortest time between two frames, except after a key.
pub(crate) const FRAME: Duration = Duration::from_millis(100);

/// Facts that arrive within this time are drawn in one frame: EMQX's nodes and its running operations are two
/// answers.
pub(crate) const FACTS_TOGETHER: Duration = Duration::from_millis(50);

/// Time between two refreshes of the displayed clock while an operation runs.
pub(crate) const CLOCK_REFRESH: Duration = Duration::from_secs(1);

/// Time between two frames while nothing runs: ages are drawn again.
pub(crate) const IDLE_REFRESH: Duration = Duration::from_secs(5);

/// The shortest time between two requests by the user that are carried out.
pub(crate) const REQUEST_PAUSE: Duration = Duration::from_secs(1);

// Limits of commands.

/// How long a stop may take, in real time.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_mins(1);

/// How long EMQX may take to let nodes serve again, without `--timeout`.
pub(crate) const UNDO_TIMEOUT: Duration = Duration::from_mins(1);

/// Seconds after the start of a node within which EMQX lists an evacuation that it restored from a volume.
pub(crate) const RESTORED_WITHIN_SECONDS: u64 = 10;

/// How long the deletion of an object may take before the object is reported as terminating, in real time.
pub(crate) const DELETION_TIMEOUT: Duration = Duration::from_secs(10);

/// Real time after which a verdict that waits for the last steps of the guard is announced.
pub(crate) const VERDICT_WAIT_ANNOUNCED: Duration = Duration::from_secs(5);

/// How long a guard may take for its last steps after the verdict, in real time.
pub(crate) const GUARD_END_TIMEOUT: Duration = Duration::from_mins(1);

/// How long the write of a verdict may take, in real time.
pub(crate) const RECORD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the command may run for one event.
pub(crate) const NOTIFY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a failing step is retried, in real time.
pub(crate) const STEP_TIMEOUT: Duration = Duration::from_mins(1);

/// Seconds for which a replacement may report why it does not start.
pub(crate) const REPLACEMENT_PROBLEM_SECONDS: u64 = 60;

/// Seconds for which a replacement may start without any reason given.
pub(crate) const REPLACEMENT_START_SECONDS: u64 = 300;

/// How long the operator may take to report a new node as ready, by the server's clock: its loop has 30 s.
pub(crate) const NEW_NODE_READY_SECONDS: u64 = 90;

/// After the delete of an object that was never picked up, EMQX is asked again after this time: an operator that had read
/// the object just before may start it.
pub(crate) const LATE_START: Duration = Duration::from_secs(2);

/// Seconds by the server's clock for which an object that reports Processing may have no entry in EMQX: the operator
/// writes the phase first, and one answer without the entry is not the end.
pub(crate) const STOP_UNLISTED_SECONDS: f64 = 10.0;

/// Seconds after which an object with the operator's finalizer and without a status counts as abandoned by
/// the operator.
pub(crate) const LEFT_BEHIND_SECONDS: u64 = 30;

/// Donors are asked whether they accept clients. Where that is not possible, the endpoints show it within
/// this time: the operators open the gates 0.4 s to 16 s after the end.
pub(crate) const SERVES_WITHIN: Duration = Duration::from_secs(30);

/// Seconds after which a lease that was not renewed may be taken over.
pub(crate) const LEASE_SECONDS: u64 = 15;

// How old an answer may be.

/// Seconds after which an answer of EMQX is no longer evidence.
pub const PROOF_SECONDS: u64 = 10;

/// Seconds after which an answer is not current, once EMQX stopped answering.
pub(crate) const OUTAGE_ANSWER_SECONDS: u64 = 10;

/// Seconds after which the counts of an omitted line are not the present ones.
pub(crate) const OLD_LINE_SECONDS: u64 = 10;

/// Counts older than this many seconds are not current: while nothing runs EMQX is polled every ten.
pub(crate) const CURRENT_COUNTS_SECONDS: u64 = 30;

/// Seconds for which EMQX's last answer still counts after a failed request: one failure is not an outage.
pub(crate) const FAILED_REQUEST_SECONDS: u64 = 20;

/// EMQX is asked every 10 s while nothing runs: after an older answer several requests failed.
pub(crate) const OLD_ANSWER_SECONDS: u64 = 60;

/// Seconds without a response after which a connected source counts as stale: more than three missed heartbeats, or ten
/// missed polls.
pub(crate) const STALE_SOURCE_SECONDS: u64 = 20;

/// Seconds without an answer of EMQX after which the outage is reported. A session round, in which EMQX does
/// not list its rebalances, takes up to 15 s.
pub(crate) const SILENT_SECONDS: u64 = 16;

/// Seconds for which the last answers of a recording still hold: EMQX is asked about once a second, and a
/// repeated answer writes a line only after a second.
pub(crate) const RECORDED_ANSWER_SECONDS: i64 = 2;

/// Seconds for which every answer must exceed a limit before the operation is stopped: one answer may be taken between
/// the eviction of a client and its return.
pub(crate) const SUSTAINED_SECONDS: u64 = 5;

/// Seconds over which reconnects are averaged: EMQX evicts once a second and is asked once a second, and the two are not
/// in step.
pub(crate) const RATE_SECONDS: u64 = 10;

/// Seconds after which a node that EMQX no longer lists counts as a node without clients.
pub(crate) const NO_CLIENTS_SECONDS: u64 = 10;

/// Seconds between two answers of EMQX beyond which a change of counts does not give a rate.
pub(crate) const RATE_GAP_SECONDS: u64 = 30;

/// Two entries without a known beginning are about one operation when they ended within this many seconds of each other:
/// each follower asks EMQX again before it reports an end.
pub(crate) const SAME_END_SECONDS: u64 = 30;

/// A stalled rebalance without an object that is followed again within this many seconds is the same one. Later ones cannot be
/// distinguished from another rebalance of the same coordinator.
pub(crate) const FOLLOWED_AGAIN_SECONDS: u64 = 120;

/// Seconds that a Lease may be overdue before its process counts as gone: a leader retries for less than that.
pub(crate) const LEASE_OVERDUE_SECONDS: u64 = 15;

/// Seconds after which a Lease that could not be read again shows nothing.
pub(crate) const LEASE_UNREAD_SECONDS: u64 = 60;

/// Seconds after which the operator's last dated status is reported as old: three of its loops of 30 s.
pub(crate) const OLD_REPORT_SECONDS: u64 = 90;

/// Seconds after which an object that is being deleted counts as stuck.
pub(crate) const STUCK_DELETION_SECONDS: u64 = 60;

/// Days before the end of an EMQX licence from which on a warning is printed.
pub(crate) const LICENCE_WARNING_DAYS: i32 = 14;

/// Seconds without a status after which the operator counts as silent.
pub(crate) const NO_STATUS_SECONDS: u64 = 30;

/// Seconds for which a failure that the operator reported matters.
pub(crate) const FAILURE_SECONDS: u64 = 600;

/// Seconds after its containers got ready in which a pod may join the EMQX cluster: until then it is starting.
pub(crate) const JOIN_SECONDS: u64 = 30;

/// Age of the oldest Kubernetes events that are shown when the view opens.
pub(crate) const EVENT_AGE: SignedDuration = SignedDuration::from_mins(10);

/// Seconds for which a verdict is shown before the present state of the cluster.
pub(crate) const VERDICT_SECONDS: u64 = 600;

/// Seconds for which a rebalance that ended before the view was opened is shown instead of "nothing runs".
pub(crate) const PAST_REBALANCE_SECONDS: u64 = 86_400;

// Rebalances.

/// Seconds after the end in which clients may still reconnect.
pub(crate) const RETURN_SECONDS: u64 = 30;

/// An end within this many seconds of a delete while `Processing` is a stop: the operator stops EMQX at once.
pub(crate) const STOP_SECONDS: u64 = 6;

/// Seconds after its end in which a rebalance without a follower can be judged by the present counts.
pub(crate) const UNFOLLOWED_VERDICT_SECONDS: u64 = 120;

/// Seconds after the planned end until which the operator's `completedTime` counts as the end: later it is the time at which
/// the operator noticed the end.
pub(crate) const LATE_COMPLETION_SECONDS: u64 = 20;

/// A node that started up to this many seconds after the plan was made may have been starting when it was made; EMQX 4.4
/// reports uptimes in whole seconds.
pub(crate) const NODE_START_SLACK_SECONDS: i64 = 2;

/// Seconds after its creation from which an object without a status is reported as waiting. A running operator writes the
/// first status within a second (operators 2.2 and 2.3).
pub(crate) const WAITING_REPORTED_SECONDS: u64 = 30;

/// Seconds by which a wait may last longer than requested, because of delays of the operator and of this
/// program between two requests.
pub(crate) const WAIT_SLACK_SECONDS: u64 = 60;

/// Seconds in which EMQX must report in every answer that nothing runs, before a later entry no longer
/// belongs to an earlier object: one answer may be wrong.
pub(crate) const IDLE_SECONDS: u64 = 10;

/// Seconds that a rebalance may last longer than its forecast before another object's run is assumed. Clients
/// that reconnect to donors, and a frozen node, make a rebalance last longer.
pub(crate) const OVERDUE_SECONDS: u64 = 600;

/// Seconds after the start of an object in which EMQX may not list it: states arrive 0.1 s after `Processing` [OP-8], and the
/// object's times are whole seconds.
pub(crate) const OBJECT_START_SECONDS: i64 = 2;

/// From this many seconds on, an operator of v2beta1 or v2 will notice that donors left readiness and report Failed
/// ([OP-1], [OP-2]: 20 to 35 s on 2.2).
pub(crate) const FAILED_FROM_SECONDS: u64 = 20;

/// Seconds for which an entry that appears may belong to an object which does not report it yet.
pub(crate) const PENDING_SECONDS: u64 = 10;

/// The API server writes no times that are this many seconds ahead of its own clock, unless that was set back since.
pub(crate) const CLOCK_BACK_SECONDS: u64 = 60;

/// Seconds within which an operator's status of an object shows what EMQX runs for it: the operators reconcile every 30 s.
pub(crate) const OPERATOR_STATUS_SECONDS: u64 = 60;

/// What happened at most this many seconds before its observation has the time of its observation: times in objects are whole
/// seconds, and EMQX is asked once a second.
pub(crate) const OBSERVED_SECONDS: u64 = 3;

/// An entry that EMQX lists is new if an answer at most this many seconds before did not list it; idle, EMQX is polled every ten.
pub(crate) const NEW_ENTRY_SECONDS: u64 = 30;

/// Seconds after the creation of an object after which a list without it counts.
pub(crate) const CREATED_UNLISTED_SECONDS: u64 = 30;

/// Seconds for which a condition must hold before it is an alarm: clients need a moment to reconnect.
pub(crate) const ALARM_SECONDS: u64 = 30;

/// Seconds for which clients are compared after an evacuated node is empty: its last clients have this time
/// to reconnect.
pub(crate) const EMPTIED_WATCH_SECONDS: u64 = 60;

/// Seconds after its start for which missing clients can be those of a drain or scale that another process
/// runs.
pub(crate) const REMOVAL_ALARM_SECONDS: u64 = 3600;

/// The assumed seconds of eviction for which a client is in flight, where only one moment is known.
pub(crate) const ASSUMED_DELAY_SECONDS: u64 = 10;

/// Seconds after an end in which clients of the last rounds reconnect, before a count is judged.
pub(crate) const RECONNECT_SECONDS: u64 = 3;

/// An object that reports Processing, while EMQX answers and does not list it: it ended before it was seen.
pub(crate) const PROCESSING_UNLISTED_SECONDS: u64 = 40;

/// Counts that EMQX reported up to this many seconds before an end are those of the end: nothing moves in the last phase.
pub(crate) const END_COUNTS_SECONDS: u64 = 5;

/// Seconds without an answer of EMQX, with a final object, after which the verdict is `unknown`.
pub(crate) const UNANSWERED_END_SECONDS: u64 = 30;

/// A stall is no progress for three times the expected step, and at least this long.
pub(crate) const STALL_SECONDS: u64 = 60;

/// Seconds without an answer of EMQX after which the state of a rebalance that ran then cannot be determined.
/// EMQX itself removes a frozen or unreachable node after 120 to 150 s, and answers again.
pub(crate) const LONGEST_OUTAGE_SECONDS: u64 = 600;

/// A second answer without the entry confirms the end if it comes this many seconds after the first.
pub(crate) const CONFIRM_SECONDS: u64 = 10;

/// A stop mark of this program is the cause of an end that follows within this many seconds; later only if
/// the object is being deleted.
pub(crate) const STOP_MARK_SECONDS: u64 = 60;

/// There was an outage at the end if the entry was last seen this many seconds before it was first missing. A
/// session round may last 15 s, in which EMQX does not answer with its list of rebalances.
pub(crate) const END_GAP_SECONDS: u64 = 20;

/// Seconds by which a poll may miss the beginning and the end of a wait.
pub(crate) const POLL_SLACK_SECONDS: u64 = 2;

/// The operator lists EMQX's states every few seconds, and later after errors: an object that it completes within this many seconds
/// of a stop was completed because of that stop.
pub(crate) const COMPLETED_AFTER_STOP_SECONDS: u64 = 60;

/// Seconds in which EMQX lists a rebalance that it was asked to start, if it starts it at all.
pub(crate) const DIRECT_START_SECONDS: u64 = 30;

/// A node restarted if its uptime is shorter than expected by more than this: EMQX rounds, and a request takes time.
pub(crate) const UPTIME_SLACK_MILLIS: u64 = 2_000;

/// The list of nodes and the list of rebalances are requested one after the other: a node that was seen
/// running up to this many seconds after the end may have stopped before it.
pub(crate) const LIST_SKEW_SECONDS: u64 = 2;

/// Seconds in which the counts of the first observation of an entry may still be replaced by those of the
/// same moment: nodes and entries are requested one after the other.
pub(crate) const BASELINE_SECONDS: u64 = 2;

/// EMQX lists a rebalance within this many seconds after the operator started it: EMQX is asked once a
/// second, and an answer takes up to 10 s.
pub(crate) const LISTED_SECONDS: u64 = 11;

// Evacuations and purges.

/// Seconds for which an entry must be missing from EMQX's answers before its evacuation counts as stopped, where no cause
/// is seen.
pub(crate) const EVACUATION_MISSING_SECONDS: u64 = 10;

/// Seconds for which EMQX answers without an evacuation that it has accepted, after which that is its end.
pub(crate) const EVACUATION_UNLISTED_SECONDS: u64 = 30;

/// Seconds without any progress in a round of one second after which an evacuation is reported as stalled.
pub(crate) const EVACUATION_STALLED_SECONDS: u64 = 60;

/// A node that started less than this many seconds ago may have restored its evacuation from disk.
pub(crate) const RESTORED_SECONDS: u64 = 1800;

/// Seconds for which a purge must be missing from EMQX's answers before it counts as over.
pub(crate) const PURGE_MISSING_SECONDS: u64 = 10;

// Upgrades.

/// Seconds between two reconciliations of the operator of v1beta4, each of which removes one pod ([OP-16]).
pub(crate) const LOOP_SECONDS: u64 = 20;

/// Seconds from the new pods being ready to the first client that a guard moves: old pods leave the Service,
/// and load balancers notice.
pub(crate) const GUARD_SECONDS: u64 = 6;

/// An initial delay from this length on is not a wait but a pause: the operator removes nothing until the
/// delay is removed. This program sets a year ([OP-16]); a day is longer than any user would wait.
pub(crate) const HELD_FROM_SECONDS: u64 = 86_400;

/// The assumed time of a pod until it is ready, where no pod shows how long it took.
pub(crate) const BOOT_SECONDS: u64 = 30;

/// Seconds between an old pod leaving the Service and the first client that is moved: load balancers notice.
pub(crate) const SETTLE_SECONDS: u64 = 4;

/// Seconds for pods to leave the Service after their gates were closed. The operator of v1beta4 writes gates every 20 s.
pub(crate) const GATES_CLOSE_SECONDS: u64 = 60;

/// The assumed seconds until new pods are ready, for a percentage that starts at the beginning. The time for
/// pulling an image is unknown: no ETA is shown in the meantime.
pub(crate) const NEW_PODS_SECONDS: u64 = 30;

/// An upgrade stalls when a step takes far longer than forecast, and at least this many seconds.
pub(crate) const SHORTEST_STALL_SECONDS: u64 = 60;

/// New pods without a visible problem may pull an image for a while: 5 minutes is long.
pub(crate) const IMAGE_PULL_SECONDS: u64 = 300;

/// The termination grace period of a pod, in seconds.
pub(crate) const POD_GRACE_SECONDS: u64 = 30;

/// Seconds after a change in which the object may still report the condition from before it ([OP-42]: 0.2 s, and v1beta4 15 s).
pub(crate) const OLD_CONDITION_SECONDS: u64 = 20;

/// Seconds after it was stored in which an upgrade without a new set counts as beginning.
pub(crate) const BEGINNING_SECONDS: u64 = 600;

/// Seconds after the change of the image in which an undo of this program is observed.
pub(crate) const OWN_UNDO_SECONDS: u64 = 3;

/// Seconds without any answer (a suspended laptop, a network that is down) after which a stall is counted
/// from the beginning.
pub(crate) const LONG_OUTAGE_SECONDS: u64 = 40;

/// Nothing was missed between two answers that are at most this many seconds apart.
pub(crate) const COMPLETE_VIEW_SECONDS: u64 = 10;

/// Seconds from a change of the template to the second set: the v1beta4 operator reconciles every 20 s, the others every 30 s.
pub(crate) const SECOND_SET_SECONDS: u64 = 60;

/// Seconds after EMQX's last answer in which a new pod may answer instead of an old one that was asked and
/// then removed.
pub(crate) const NEW_POD_ANSWER_SECONDS: u64 = 30;
