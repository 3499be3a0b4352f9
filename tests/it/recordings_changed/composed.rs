//! Behaviour of the real operator that was observed without a recording, composed of the existing recordings.

use kubectl_emqx::model::Verdict;
use serde_json::{Value, json};

use super::changed_recording::{ChangedRecording, STATUS, reason, second, verdicts};

const V2BETA1: &str = "v2beta1-rebalance-operator-2.2";

fn nothing(at: f64) -> Value {
    json!({"t": at, "from": "emqx", "get": "/api/v5/load_rebalance/global_status", "status": 200,
        "body": {"evacuations": [], "purges": [], "rebalances": []}})
}

/// The documented rebalance up to this second; after that EMQX runs nothing.
fn dropped(at: f64) -> ChangedRecording {
    let mut changed = ChangedRecording::read(V2BETA1).until(at);
    changed.insert(nothing(at + 0.01));
    changed
}

/// A minute in which nothing happens: a repeated answer is not recorded.
fn a_minute_later(changed: &mut ChangedRecording) {
    let mut last = nothing(changed.end() + 60.0);
    last["body"]["purges"] = Value::Null;
    changed.insert(last);
}

#[test]
fn a_crashed_coordinator_is_lost_although_the_object_reports_completed() {
    // At once, and after the operator had given up already.
    for at in [18.0, 50.0] {
        let mut changed = dropped(at);
        let completed = changed.rebalance("golden", at, at + 1.0, |object| {
            object["status"] = json!({"phase": "Completed", "conditions": [{"type": "Completed", "status": "True",
                "lastTransitionTime": "2026-11-23T08:43:00Z"}]});
        });
        changed.insert(completed);
        a_minute_later(&mut changed);
        let events = changed.replayed();
        assert_eq!(verdicts(&events), [("golden".to_owned(), Verdict::CoordinatorLost)], "at {at}");
        assert!(reason(&events, "golden").contains("or it was stopped by someone else"));
    }
}

#[test]
fn a_delete_that_hangs_while_emqx_continues_is_still_running_and_then_no_success() {
    let whole = ChangedRecording::read(V2BETA1);
    let deleting = |at: f64| {
        whole.rebalance("golden", 40.0, at, |object| {
            object["metadata"]["deletionTimestamp"] = "2026-11-23T08:42:50Z".into();
            object["metadata"]["deletionGracePeriodSeconds"] = 0.into();
            object["metadata"]["generation"] = 2.into();
        })
    };
    // The coordinator still hangs when the recording ends.
    let mut changed = whole.until(60.0);
    changed.insert(deleting(40.0));
    let events = changed.replayed();
    assert_eq!(verdicts(&events), [("golden".to_owned(), Verdict::StillRunning)]);
    assert!(reason(&events, "golden").contains("EMQX continues"), "{}", reason(&events, "golden"));
    // Another client stops the rebalance through EMQX; the object is deleted 80 s later.
    let mut changed = dropped(60.0);
    changed.insert(deleting(40.0));
    let mut gone = deleting(140.0);
    gone["event"] = "DELETED".into();
    changed.insert(gone);
    let events = changed.replayed();
    assert_eq!(verdicts(&events), [("golden".to_owned(), Verdict::CoordinatorLost)]);
    assert!(reason(&events, "golden").contains("stopped by someone else"), "{}", reason(&events, "golden"));
}

/// A Rebalance that failed at its first check.
fn refused(changed: &ChangedRecording, name: &str, at: f64, message: &str) -> Value {
    let mut line = changed.rebalance("golden", 5.0, at, |object| {
        object["metadata"]["name"] = name.into();
        object["metadata"]["uid"] = format!("uid-of-{name}").into();
        object["metadata"]["finalizers"] = Value::Null;
        object["status"] = json!({"phase": "Failed", "conditions": [{"type": "Failed", "status": "True",
            "lastTransitionTime": "2026-11-23T08:42:40Z", "message": message}]});
    });
    line["event"] = "ADDED".into();
    line
}

#[test]
fn a_second_rebalance_fails_and_the_first_continues() {
    let mut changed = ChangedRecording::read(V2BETA1);
    let second = refused(
        &changed,
        "second",
        45.0,
        "Failed to start rebalance: Nodes unavailable: ['emqx@emqx-core-66c88f5c8-0.emqx-headless.mq.svc.cluster.local']",
    );
    changed.insert(second);
    let replayed = changed.verdicts();
    assert_eq!(replayed, [("second".to_owned(), Verdict::Failed), ("golden".to_owned(), Verdict::Balanced)]);
}

#[test]
fn a_bare_400_on_a_balanced_cluster_is_nothing_to_do_and_beside_another_a_failure() {
    let bare = "Failed to start rebalance: request api failed: 400 Bad Request";
    // After the documented rebalance: 2553/2553/2554/2340 is within its thresholds.
    let mut changed = ChangedRecording::read(V2BETA1);
    let at = changed.end() + 5.0;
    let again = refused(&changed, "again", at, bare);
    changed.insert(again);
    a_minute_later(&mut changed);
    let replayed = changed.verdicts();
    assert_eq!(
        replayed,
        [("golden".to_owned(), Verdict::Balanced), ("again".to_owned(), Verdict::NothingToDo)]
    );
    // While the first rebalance still runs, the same message means something else.
    let mut changed = ChangedRecording::read(V2BETA1);
    let beside = refused(&changed, "beside", 45.0, bare);
    changed.insert(beside);
    let replayed = changed.verdicts();
    assert_eq!(replayed, [("beside".to_owned(), Verdict::Failed), ("golden".to_owned(), Verdict::Balanced)]);
}

#[test]
fn a_second_run_on_the_same_coordinator_without_a_pause_is_another_one() {
    // From the last stage directly to the first stage of the next rebalance, as a `start` in EMQX right after
    // the end would show.
    let mut changed = ChangedRecording::read(V2BETA1);
    let first =
        changed.0.iter().find(|line| line["body"]["rebalances"][0]["state"].is_string()).expect("it runs");
    let mut first = first.clone();
    let end =
        changed.0.iter().rposition(|line| super::changed_recording::answers(line, STATUS)).expect("it ends");
    let at = second(&changed.0[end]);
    first["t"] = at.into();
    changed.0[end] = first;
    a_minute_later(&mut changed);
    let replayed = changed.verdicts();
    assert_eq!(replayed[0], ("golden".to_owned(), Verdict::Balanced));
    assert_eq!(replayed.len(), 2, "{replayed:?}");
    assert!(replayed[1].0.starts_with("coordinator/"), "{replayed:?}");
}

/// The message about an upgrade whose operator makes no progress for minutes between two pods, and that
/// continues afterwards.
fn standing_still(changed: &ChangedRecording) -> String {
    let events = changed.paused(12.0, 500.0).replayed();
    let replayed = verdicts(&events);
    let upgrade: Vec<Verdict> =
        replayed.iter().filter(|(name, _)| name == "upgrade/emqx").map(|(_, verdict)| *verdict).collect();
    assert_eq!(upgrade, [Verdict::Stalled, Verdict::Upgraded], "{replayed:?}");
    let stalled = events.into_iter().find(|event| event.verdict == Some(Verdict::Stalled));
    stalled.and_then(|event| event.reason).expect("it stood still")
}

#[test]
fn an_operator_that_backs_off_for_minutes_is_stuck_and_then_continues() {
    let mut changed = ChangedRecording::read("v2-bluegreen-operator-2.3");
    // A warning event from before the upgrade, about EMQX's durable storage, does not explain the stall.
    let before = standing_still(&changed);
    assert!(before.contains("the operator is silent") && !before.contains("reconcile failed"), "{before}");
    // The same event in the middle of the upgrade does.
    let complaint = changed.0.iter().find(|line| line["object"]["reason"] == "ReconcilerFailed");
    let mut complaint = complaint.expect("it complained").clone();
    complaint["t"] = 11.9.into();
    complaint["event"] = "MODIFIED".into();
    complaint["object"]["lastTimestamp"] = "2026-11-23T07:41:49Z".into();
    changed.insert(complaint);
    let stuck = standing_still(&changed);
    assert!(
        stuck.contains("the operator is stuck") && stuck.contains("it reports: reconcile failed"),
        "{stuck}"
    );
}
