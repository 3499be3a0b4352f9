//! Recordings that end, or begin, at any line: each operation is judged once, under one name, and only as far
//! as it was observed.

use std::collections::BTreeMap;

use kubectl_emqx::commands::replay::ReplayOutput;
use kubectl_emqx::model::{Event, EventType, Verdict};
use kubectl_emqx::ports::Moment;

use super::changed_recording::{ChangedRecording, REBALANCES, UPGRADES, verdicts};

/// An operation that begins is judged, its percentage never falls, and 100 comes with its verdict.
fn lawful(events: &[Event], of: &str) {
    let mut seen: BTreeMap<&str, (u8, bool)> = BTreeMap::new();
    for event in events {
        let (percent, over) = seen.entry(&event.name).or_default();
        if event.kind == EventType::Created || *over {
            *percent = 0;
        }
        let now = event.percent.unwrap_or(*percent);
        assert!(now >= *percent, "{of}: {} falls from {percent} to {now}", event.name);
        assert!(now < 100 || event.verdict.is_some(), "{of}: {} is at 100 too early", event.name);
        let verdict = event.kind == EventType::Verdict;
        assert!(verdict == event.verdict.is_some() && verdict == event.reason.is_some(), "{of}: {event:?}");
        (*percent, *over) = (now, verdict);
    }
    let open: Vec<_> = seen.iter().filter(|(_, (_, over))| !over).map(|(name, _)| name).collect();
    assert!(open.is_empty(), "{of}: no verdict on {open:?}");
}

fn events_of(moments: &[Moment]) -> Vec<Event> {
    let mut teller = ReplayOutput::default();
    let mut events: Vec<Event> = moments.iter().flat_map(|moment| teller.take(moment.clone()).0).collect();
    events.extend(teller.finish());
    events
}

#[test]
fn wherever_a_recording_ends_its_events_are_lawful_and_no_verdict_is_withdrawn() {
    for name in REBALANCES.into_iter().chain(UPGRADES) {
        let whole: BTreeMap<String, Verdict> = ChangedRecording::read(name).verdicts().into_iter().collect();
        let mut teller = ReplayOutput::default();
        let mut replayed = Vec::new();
        for moment in ChangedRecording::read(name).moments() {
            let of = format!("{name} up to line {}", moment.line);
            let here = moment.line;
            replayed.extend(teller.take(moment).0);
            // Every ninth line: all lines would take too much time.
            if !here.is_multiple_of(9) {
                continue;
            }
            let mut events = replayed.clone();
            events.extend(teller.clone().finish());
            lawful(&events, &of);
            for (who, verdict) in verdicts(&events) {
                let open = matches!(verdict, Verdict::Running | Verdict::StillRunning | Verdict::Unknown);
                let first = who.starts_with("coordinator/");
                assert!(open || first || whole.get(&who) == Some(&verdict), "{of}: {who} {verdict:?}");
            }
        }
    }
}

#[test]
fn wherever_a_recording_begins_each_rebalance_has_one_name_and_one_verdict() {
    for name in REBALANCES {
        let moments = ChangedRecording::read(name).moments();
        for first in (0..moments.len()).step_by(37) {
            lawful(&events_of(&moments[first..]), &format!("{name} from line {first}"));
        }
    }
    // The object is observed after EMQX's entry: the entry belongs to it, and is judged by its strategy.
    let moments = ChangedRecording::read("v2beta1-rebalance-operator-2.2").moments();
    let events = events_of(&moments[121..]);
    let (who, verdict) = verdicts(&events).remove(0);
    assert_eq!((verdicts(&events).len(), verdict), (1, Verdict::Balanced), "{who}");
    let reason = events.last().and_then(|event| event.reason.as_deref()).unwrap_or_default();
    assert!(reason.contains("2,553.33 <= 2,340 x 1.1"), "{reason}");
}

#[test]
fn evacuations_that_an_upgrade_takes_over_are_reported() {
    // The new set is observed while the old nodes are being emptied; once they are empty they are
    // `evacuated`.
    let mut changed = ChangedRecording::read("v1beta4-guarded-operator-2.2");
    let mut set = changed.0[166].clone();
    assert_eq!(set["object"]["kind"], "StatefulSet");
    set["t"] = 50.0.into();
    changed.insert(set);
    let events = events_of(&changed.moments()[168..]);
    lawful(&events, "from the middle of the evacuations");
    let taken = events.iter().filter_map(|event| event.reason.as_deref());
    assert!(taken.filter(|reason| reason.contains("part of the upgrade")).count() > 1, "{events:#?}");
}

#[test]
fn a_follower_that_ended_early_records_no_verdict() {
    // The object reports Processing, and EMQX was not asked since.
    let changed = ChangedRecording::read("v2beta1-rebalance-operator-2.2").until(3.02);
    assert_eq!(changed.verdicts(), [("golden".to_owned(), Verdict::Running)]);
    // The last pod was deleted a moment ago, and its clients are reconnecting.
    let changed = ChangedRecording::read("v1beta4-bluegreen-operator-2.2");
    let cut = ChangedRecording(changed.0[..235].to_vec());
    let events = cut.replayed();
    assert_eq!(verdicts(&events), [("upgrade/emqx-ee".to_owned(), Verdict::Unknown)]);
    let reason = events.last().and_then(|event| event.reason.as_deref()).unwrap_or_default();
    assert!(reason.contains("had not come back"), "{reason}");
}

#[test]
fn where_pods_cannot_be_listed_an_upgrade_is_not_called_stalled() {
    for name in ["v1beta4-bluegreen-operator-2.2", "v2-bluegreen-operator-2.3"] {
        let mut changed = ChangedRecording::read(name);
        changed.0.retain(|line| line["object"]["kind"] != "Pod");
        assert!(changed.verdicts().iter().all(|(_, verdict)| *verdict != Verdict::Stalled), "{name}");
    }
}
