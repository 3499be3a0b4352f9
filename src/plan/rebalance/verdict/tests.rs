use super::*;
use crate::model::{ApiVersion, Object, OperationState, RecordedVerdict, Update};
use crate::plan::fixtures;

fn counts(of: &[u64]) -> Counts {
    Counts(
        of.iter()
            .enumerate()
            .map(|(place, count)| (NodeName::from(format!("n{place}")), NodeCounts::known(*count, *count)))
            .collect(),
    )
}

fn nodes(from: usize, to: usize) -> Vec<NodeName> {
    (from..to).map(|place| NodeName::from(format!("n{place}"))).collect()
}

fn strategy() -> Strategy {
    Strategy { abs_conn_threshold: 100, conn_evict_rate: 10, ..Strategy::default() }
}

fn judged(now: &[u64], through_takeover: bool, stopped: Option<&str>) -> Judgement {
    judged_by(Some(&strategy()), now, through_takeover, stopped)
}

fn judged_by(
    strategy: Option<&Strategy>,
    now: &[u64],
    through_takeover: bool,
    stopped: Option<&str>,
) -> Judgement {
    let stage = if through_takeover { Stage::WaitTakeover } else { Stage::EvictingConns };
    judged_in(strategy, &counts(&[3333, 3333, 3334, 0]), &counts(now), &stage, stopped)
}

fn judged_in(
    strategy: Option<&Strategy>,
    start: &Counts,
    now: &Counts,
    stage: &Stage,
    stopped: Option<&str>,
) -> Judgement {
    let (donors, recipients) = (nodes(0, 3), nodes(3, 4));
    end(&Ending {
        donors: &donors,
        recipients: &recipients,
        strategy,
        start: Some(start),
        counted_since: None,
        at_end: now,
        now,
        stage: Some(stage),
        waited: *stage == Stage::WaitTakeover,
        outage: None,
        unseen: None,
        lost: &[],
        may_precede_losses: false,
        stopped: stopped.map(str::to_owned),
        seconds: Some(98),
        between: None,
    })
}

/// Live clients and sessions without a client of each node.
fn holding_sessions(of: &[(u64, u64)]) -> Counts {
    let row = |(place, (live, offline)): (usize, &(u64, u64))| {
        (NodeName::from(format!("n{place}")), NodeCounts::known(*live, live + offline))
    };
    Counts(of.iter().enumerate().map(row).collect())
}

#[test]
fn too_much_that_was_moved_is_overshot_and_not_balanced() {
    let Judgement { verdict, message } = judged(&[1000, 1000, 1000, 7000], true, None);
    assert_eq!(verdict, Verdict::Overshot);
    assert!(message.contains("connections"), "{message}");
    let start = holding_sessions(&[(100, 9000), (100, 0), (100, 0), (100, 0)]);
    let end = holding_sessions(&[(100, 0), (100, 0), (100, 0), (100, 9000)]);
    let Judgement { verdict, message } =
        judged_in(Some(&strategy()), &start, &end, &Stage::EvictingSessions, None);
    assert_eq!(verdict, Verdict::Overshot, "{message}");
    // Recipients that held more sessions from the start were not overshot by the rebalance.
    let start = holding_sessions(&[(3333, 0), (3333, 0), (3334, 0), (0, 9000)]);
    let end = holding_sessions(&[(2553, 0), (2553, 0), (2554, 0), (2340, 9000)]);
    assert_eq!(
        judged_in(Some(&strategy()), &start, &end, &Stage::WaitTakeover, None).verdict,
        Verdict::Balanced
    );
}

#[test]
fn one_that_vanished_while_it_moved_sessions_is_lost_and_not_uneven() {
    let start = holding_sessions(&[(100, 9000), (100, 9000), (100, 9000), (100, 0)]);
    let end = holding_sessions(&[(100, 7000), (100, 7000), (100, 7000), (100, 6000)]);
    let strategy = Strategy { abs_sess_threshold: 100, ..strategy() };
    let of = |stage: Stage| judged_in(Some(&strategy), &start, &end, &stage, None);
    assert_eq!(of(Stage::EvictingSessions).verdict, Verdict::CoordinatorLost);
    assert_eq!(of(Stage::WaitTakeover).verdict, Verdict::Uneven);
    let Judgement { verdict, message } = judged_in(None, &start, &end, &Stage::EvictingSessions, None);
    assert_eq!(verdict, Verdict::Unknown, "{message}");
}

#[test]
fn sessions_that_stay_on_donors_are_not_balanced_and_are_named() {
    let strategy = Strategy { abs_sess_threshold: 100, ..strategy() };
    let start = holding_sessions(&[(3333, 2000), (3333, 2000), (3334, 2000), (0, 0)]);
    let left = holding_sessions(&[(2553, 2000), (2553, 2000), (2554, 2000), (2340, 0)]);
    let some = holding_sessions(&[(2553, 1500), (2553, 1500), (2554, 1500), (2340, 1500)]);
    let of = |end: &Counts, stage: Stage| judged_in(Some(&strategy), &start, end, &stage, None);
    let Judgement { verdict, message } = of(&left, Stage::WaitTakeover);
    assert_eq!(verdict, Verdict::Uneven, "{message}");
    assert!(message.contains("sessions without a client on donors 2,000, on the recipient 0"), "{message}");
    // The rebalance was last seen while it moved sessions: it did not come to its end.
    let Judgement { verdict, message } = of(&left, Stage::EvictingSessions);
    assert_eq!(verdict, Verdict::CoordinatorLost, "{message}");
    assert!(message.contains("sessions without a client on donors 2,000"), "{message}");
    let Judgement { verdict, message } = of(&some, Stage::EvictingSessions);
    assert_eq!(verdict, Verdict::Balanced, "{message}");
    // Without its thresholds the goal is unknown: never balanced while the counts stay.
    let Judgement { verdict, message } = judged_in(None, &start, &left, &Stage::EvictingSessions, None);
    assert_eq!(verdict, Verdict::Unknown, "{message}");
}

#[test]
fn a_run_that_moved_only_sessions_reports_the_sessions() {
    let start = holding_sessions(&[(100, 1000), (100, 1000), (100, 1000), (100, 0)]);
    let end = holding_sessions(&[(100, 667), (100, 667), (100, 666), (100, 1000)]);
    let Judgement { verdict, message } =
        judged_in(Some(&Strategy::default()), &start, &end, &Stage::EvictingSessions, None);
    assert_eq!(verdict, Verdict::Balanced);
    assert!(message.contains("; 1,000 sessions moved, none missing"), "{message}");
}

#[test]
fn without_its_thresholds_one_that_vanished_on_its_way_is_unknown_whatever_the_defaults_say() {
    let Judgement { verdict, message } = judged_by(None, &[3000, 3000, 3000, 1000], false, None);
    assert_eq!(verdict, Verdict::Unknown, "{message}");
    let Judgement { verdict, .. } = judged_by(None, &[2553, 2553, 2554, 2340], false, None);
    assert_eq!(verdict, Verdict::Unknown);
}

#[test]
fn within_the_thresholds_is_balanced_and_names_the_rule() {
    let Judgement { verdict, message } = judged(&[2553, 2553, 2554, 2340], true, None);
    assert_eq!(verdict, Verdict::Balanced);
    assert_eq!(
        message,
        "donors 2,553.33, recipient 2,340 (2,553.33 <= 2,340 x 1.1); 2,340 clients moved, none missing, 98 s"
    );
}

#[test]
fn a_vanished_one_is_never_called_done() {
    let Judgement { verdict, message } = judged(&[3173, 3173, 3174, 480], false, None);
    assert_eq!(verdict, Verdict::CoordinatorLost);
    assert!(message.contains("or it was stopped by someone else"), "{message}");
}

#[test]
fn clients_of_the_last_round_before_a_stop_are_not_called_missing() {
    let Judgement { verdict, message } = judged(&[3263, 3263, 3264, 180], false, Some("you"));
    assert_eq!(verdict, Verdict::Stopped);
    assert!(message.ends_with("180 clients moved, 30 on their way or missing, 98 s"), "{message}");
}

#[test]
fn the_end_of_the_road_without_balance_is_uneven() {
    assert_eq!(judged(&[3173, 3173, 3174, 480], true, None).verdict, Verdict::Uneven);
}

#[test]
fn whatever_the_thresholds_an_end_that_is_no_better_than_the_start_is_uneven() {
    let Judgement { verdict, message } = judged_by(None, &[3333, 3333, 3334, 0], true, None);
    assert_eq!(verdict, Verdict::Uneven);
    assert!(message.contains("no better than"), "{message}");
    assert_eq!(judged_by(None, &[2553, 2553, 2554, 2340], true, None).verdict, Verdict::Balanced);
    // Some clients moved: EMQX's own decision is the only evidence.
    assert_eq!(judged_by(None, &[3000, 3000, 3000, 1000], true, None).verdict, Verdict::Balanced);
}

#[test]
fn missing_clients_precede_every_other_headline() {
    assert_eq!(judged(&[2553, 2553, 2554, 2000], true, Some("you")).verdict, Verdict::ClientsMissing);
    assert_eq!(
        judged(&[2480, 2480, 2480, 2361], true, None).verdict,
        Verdict::Balanced,
        "98.01 % are enough"
    );
}

#[test]
fn a_lost_recipient_without_a_count_does_not_contradict_the_clients_that_are_back() {
    let (donors, recipients) = (nodes(0, 3), nodes(3, 4));
    let start = counts(&[3333, 3333, 3334, 0]);
    let lost = LostNode {
        label: "emqx-core-3".to_owned(),
        part: "recipient",
        last_seen: fixtures::at(19),
        at: fixtures::at(20),
        held: Some(100),
        restarted: false,
    };
    let Judgement { verdict, message } = end(&Ending {
        donors: &donors,
        recipients: &recipients,
        strategy: Some(&strategy()),
        start: Some(&start),
        counted_since: None,
        at_end: &counts(&[3333, 3333, 3334]),
        now: &start,
        stage: Some(&Stage::EvictingConns),
        waited: false,
        outage: None,
        unseen: None,
        lost: &[lost],
        may_precede_losses: false,
        stopped: None,
        seconds: Some(98),
        between: None,
    });
    assert_eq!(verdict, Verdict::NodesLost);
    assert!(message.ends_with("with 100 clients on it; all clients are back, 98 s"), "{message}");
}

#[test]
fn a_stop_is_a_stop_even_within_the_thresholds() {
    assert_eq!(judged(&[2553, 2553, 2554, 2340], false, Some("you")).verdict, Verdict::Stopped);
}

#[test]
fn a_refused_start_is_nothing_to_do_or_a_failure() {
    let start = super::super::forecast::numbered(&[3340, 3330, 3330], None);
    let judged = |failure: &str, others| {
        never_started(Some(failure), &Strategy::default(), Some(&start), others).verdict
    };
    assert_eq!(judged("Failed to start rebalance: nothing_to_balance", false), Verdict::NothingToDo);
    let bare = "Failed to start rebalance: request api failed: 400 Bad Request";
    assert_eq!(judged(bare, false), Verdict::NothingToDo);
    assert_eq!(judged(bare, true), Verdict::Failed);
    assert_eq!(judged("EMQX emqx-ee is not found", false), Verdict::Failed);
}

#[test]
fn the_reason_of_a_failed_start_is_kept_as_each_operator_writes_it() {
    for (failure, explained) in [
        ("Failed to start rebalance: Nodes unavailable: ['emqx@a']", "Nodes unavailable: ['emqx@a']"),
        (
            "Failed to start rebalance: error accessing emqx-core-0 API http://10.0.0.1:18083: HTTP 400, response: \
             {\"code\": \"BAD_REQUEST\", \"message\": \"error on node 'emqx@a': already_started\"}",
            "already_started",
        ),
        ("Failed to start rebalance: eviction_agent_busy", "eviction_agent_busy"),
        ("EMQX emqx-ee is not found", "EMQX emqx-ee is not found"),
    ] {
        let Judgement { verdict, message } = never_started(Some(failure), &Strategy::default(), None, false);
        assert_eq!(verdict, Verdict::Failed, "{failure}");
        assert!(message.contains(explained), "{message}");
    }
}

#[test]
fn without_a_reason_and_without_the_counts_of_its_start_a_refusal_is_unknown() {
    let bare = "Failed to start rebalance: request api failed: 400 Bad Request";
    let Judgement { verdict, message } = never_started(Some(bare), &Strategy::default(), None, false);
    assert_eq!(verdict, Verdict::Unknown);
    assert!(
        message.contains("nothing to balance, or one already ran") && message.contains(bare),
        "{message}"
    );
    assert_eq!(never_started(Some(bare), &Strategy::default(), None, true).verdict, Verdict::Failed);
    let expected = "Failed to start rebalance: error on node 'emqx@a': nothing_to_balance";
    assert_eq!(
        never_started(Some(expected), &Strategy::default(), None, false).verdict,
        Verdict::NothingToDo
    );
    assert_eq!(never_started(None, &Strategy::default(), None, false).verdict, Verdict::Failed);
}

#[test]
fn what_its_follower_recorded_is_the_verdict_whatever_the_counts_are_now() {
    let Update::Upserted(Object::Rebalance(mut object)) = fixtures::rebalance("r", Phase::Failed, |it| {
        it.processed = true;
        it.failed = Some(fixtures::at(30));
    })
    .update
    else {
        panic!("a Rebalance")
    };
    let later = LaterEvents { began: true, ..LaterEvents::default() };
    assert_eq!(past(&object, None, fixtures::at(9000), &later).0.verdict, Verdict::Unknown);
    object.recorded = Some(RecordedVerdict {
        uid: object.uid.clone(),
        verdict: Verdict::ClientsMissing,
        message: "300 of 10,000 clients are missing".to_owned(),
        started: Some(fixtures::at(0)),
        ended: fixtures::at(98),
        ended_after: None,
        connections: (Some(10_000), Some(9700)),
        sessions: (None, None),
        by: "kubectl-emqx".to_owned(),
    });
    let expected = (Judgement::new(Verdict::ClientsMissing, "300 of 10,000 clients are missing"), Some(98));
    assert_eq!(past(&object, None, fixtures::at(9000), &later), expected);
    assert_eq!(past(&object, Some(&Counts::default()), fixtures::at(9000), &later), expected);
}

#[test]
fn a_clock_of_the_api_server_that_was_set_back_gives_no_verdict_about_the_past() {
    let before = super::super::forecast::numbered(&[3333, 3333, 3334, 0], None);
    let plan = forecast(None, &before, &strategy(), Return::default());
    let Update::Upserted(Object::Rebalance(object)) = fixtures::rebalance("r", Phase::Completed, |it| {
        it.processed = true;
        it.plan = Some(PlanRecord::of(&plan, fixtures::at(3600)).text());
        (it.created, it.started) = (Some(fixtures::at(3600)), Some(fixtures::at(3600)));
        it.completed = Some(fixtures::at(3700));
    })
    .update
    else {
        panic!("a Rebalance")
    };
    let row = |(node, count): (&Participant, u64)| (node.node.clone(), NodeCounts::known(count, count));
    let now = Counts(before.iter().zip([2553, 2553, 2554, 2340]).map(row).collect());
    let (Judgement { verdict, message }, _) =
        past(&object, Some(&now), fixtures::at(120), &LaterEvents::default());
    assert_eq!(verdict, Verdict::Unknown, "{message}");
    assert!(message.contains("clock of the API server"), "{message}");
    let (Judgement { verdict, .. }, _) =
        past(&object, Some(&now), fixtures::at(3720), &LaterEvents::default());
    assert_ne!(verdict, Verdict::Unknown, "the same times by a clock that was not set back");
}

fn completed_object(started: i64, completed: i64) -> Rebalance {
    let before = super::super::forecast::numbered(&[3333, 3333, 3334, 0], None);
    let plan = forecast(None, &before, &strategy(), Return::default());
    let record = PlanRecord::of(&plan, fixtures::at(0)).text();
    let Update::Upserted(Object::Rebalance(object)) = fixtures::rebalance("r", Phase::Completed, |it| {
        it.processed = true;
        it.plan = Some(record);
        it.started = Some(fixtures::at(started));
        it.completed = Some(fixtures::at(completed));
    })
    .update
    else {
        panic!("a Rebalance")
    };
    *object
}

fn numbered_counts(of: &[u64]) -> Counts {
    let rows = super::super::forecast::numbered(of, None).into_iter();
    Counts(rows.map(|it| (it.node, NodeCounts::known(it.connections, it.sessions))).collect())
}

#[test]
fn counts_of_a_plan_that_an_operator_started_late_judge_nothing() {
    let now = numbered_counts(&[2003, 2003, 2004, 1989]);
    let of =
        |object: &Rebalance, at: i64| past(object, Some(&now), fixtures::at(at), &LaterEvents::default()).0;
    assert_eq!(of(&completed_object(1, 200), 240).verdict, Verdict::ClientsMissing);
    let Judgement { verdict, message } = of(&completed_object(100, 300), 340);
    assert_eq!(verdict, Verdict::Unknown);
    assert!(message.contains("started it 100 s after it was planned"), "{message}");
}

#[test]
fn an_end_that_the_operator_reports_long_after_the_plan_gives_no_duration() {
    let now = numbered_counts(&[2553, 2553, 2554, 2340]);
    let duration = |completed: i64| {
        let object = completed_object(1, completed);
        let (judgement, duration) =
            past(&object, Some(&now), fixtures::at(completed + 10), &LaterEvents::default());
        assert_eq!(judgement.verdict, Verdict::Balanced, "{}", judgement.message);
        duration
    };
    assert_eq!(duration(203), Some(202));
    assert_eq!(duration(260), None, "the plan takes 198 s");
}

#[test]
fn a_past_rebalance_is_listed_without_a_duration_that_was_not_observed() {
    let before = super::super::forecast::numbered(&[3333, 3333, 3334, 0], None);
    let plan = forecast(None, &before, &strategy(), Return::default());
    let record = PlanRecord::of(&plan, fixtures::at(0)).text();
    let Update::Upserted(Object::Rebalance(object)) = fixtures::rebalance("r", Phase::Failed, |it| {
        it.processed = true;
        it.plan = Some(record);
        it.failed = Some(fixtures::at(30));
    })
    .update
    else {
        panic!("a Rebalance")
    };
    let now = Counts(
        before
            .iter()
            .zip([2553, 2553, 2554, 2340])
            .map(|(it, count)| (it.node.clone(), NodeCounts::known(count, count)))
            .collect(),
    );
    let (Judgement { verdict, message }, duration) =
        past(&object, Some(&now), fixtures::at(200), &LaterEvents::default());
    assert_eq!((verdict, duration), (Verdict::Balanced, None));
    assert!(message.ends_with("2,340 clients moved, none missing"), "{message}");
    // Current counts are those of the end for two minutes, and only if nothing began since.
    assert_eq!(
        past(&object, Some(&now), fixtures::at(198 + 121), &LaterEvents::default()).0.verdict,
        Verdict::Unknown
    );
    let (Judgement { verdict, message }, _) =
        past(&object, Some(&now), fixtures::at(200), &LaterEvents { began: true, ..LaterEvents::default() });
    assert_eq!(verdict, Verdict::Unknown);
    assert!(message.starts_with("not followed: something else began since"), "{message}");
    // An operator that was away reports the end later: it may have ended when it was planned to, at 198 s.
    let completed = |at: i64| Rebalance {
        phase: Phase::Completed,
        started: Some(fixtures::at(0)),
        completed: Some(fixtures::at(at)),
        ..(*object).clone()
    };
    let ended = |completed_at: i64, now_at: i64| {
        past(&completed(completed_at), Some(&now), fixtures::at(now_at), &LaterEvents::default()).0.verdict
    };
    assert_eq!(ended(200, 310), Verdict::Balanced);
    assert_eq!(ended(310, 316), Verdict::Balanced);
    assert_eq!(ended(310, 198 + 121), Verdict::Unknown);
    // Its coordinator may have crashed, which the operator noticed when it was to end.
    let midway = Counts(
        before
            .iter()
            .zip([2800, 2800, 2801, 1599])
            .map(|(it, count)| (it.node.clone(), NodeCounts::known(count, count)))
            .collect(),
    );
    let (Judgement { verdict, message }, _) =
        past(&completed(200), Some(&midway), fixtures::at(205), &LaterEvents::default());
    assert_eq!(verdict, Verdict::Unknown, "{message}");
    assert!(message.contains("is not within the thresholds, and whether it came to its end is not known"));
    // A participant restarted before the end, or since: the current counts are not those of the end.
    let restarted = |at: i64| LaterEvents {
        up_since: [(before[1].node.clone(), fixtures::at(at))].into(),
        ..LaterEvents::default()
    };
    let (Judgement { verdict, message }, _) = past(&object, Some(&now), fixtures::at(200), &restarted(50));
    assert_eq!(verdict, Verdict::NodesLost, "{message}");
    let (Judgement { verdict, message }, _) = past(&object, Some(&now), fixtures::at(205), &restarted(203));
    assert_eq!(verdict, Verdict::Unknown, "{message}");
    assert!(message.contains("restarted at"), "{message}");
    assert_eq!(past(&object, Some(&now), fixtures::at(200), &restarted(-900)).0.verdict, Verdict::Balanced);
}

#[test]
fn a_forged_plan_does_not_change_the_thresholds_of_the_object() {
    let before = super::super::forecast::numbered(&[3333, 3333, 3334, 0], None);
    let forged = Strategy { abs_conn_threshold: 1_000_000, ..strategy() };
    let mut plan = forecast(None, &before, &strategy(), Return::default());
    plan.strategy = forged;
    let record = PlanRecord::of(&plan, fixtures::at(0)).text();
    let Update::Upserted(Object::Rebalance(object)) = fixtures::rebalance("r", Phase::Completed, |it| {
        it.processed = true;
        it.plan = Some(record);
        it.completed = Some(fixtures::at(100));
    })
    .update
    else {
        panic!("a Rebalance")
    };
    let at_end = [3173, 3173, 3174, 480];
    let counts =
        before.iter().zip(at_end).map(|(it, count)| (it.node.clone(), NodeCounts::known(count, count)));
    let (Judgement { verdict, message }, _) =
        past(&object, Some(&Counts(counts.collect())), fixtures::at(110), &LaterEvents::default());
    assert_ne!(verdict, Verdict::Balanced, "{message}");
}

#[test]
fn a_rebalance_during_which_another_recorded_one_ran_is_not_judged_by_the_counts_of_now() {
    let id = fixtures::id(ApiVersion::V2beta1);
    let Update::Upserted(Object::Rebalance(object)) = fixtures::rebalance("r", Phase::Completed, |it| {
        it.started = Some(fixtures::at(0));
        it.completed = Some(fixtures::at(190));
    })
    .update
    else {
        panic!("a Rebalance")
    };
    let recorded = |name: &str, uid: Option<&str>, ended: i64| {
        let entry = HistoryEntry {
            uid: uid.map(str::to_owned),
            ..fixtures::history_entry(&id, name, Verdict::Balanced, fixtures::at(ended))
        };
        let state = OperationState { history: vec![entry], ..fixtures::operation_state(&id, "") };
        LaterEvents::of(
            &World::of([fixtures::fact(0, Update::Upserted(Object::State(Box::new(state))))]),
            &object,
        )
    };
    assert!(recorded("coordinator/emqx@core-0", None, 189).began);
    assert!(recorded("r", Some("of another object"), 189).began, "its name was used before");
    assert!(!recorded("coordinator/emqx@core-0", None, -10).began, "it was over before");
    assert!(!recorded("r", Some(&object.uid), 189).began, "it is this one");
}
