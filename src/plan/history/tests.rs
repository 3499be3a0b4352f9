use super::*;
use crate::model::{ApiVersion, Object, Phase, Update, World};
use crate::plan::assessment::assess;
use crate::plan::fixtures;
use crate::plan::tracker::OperationTracker;

fn entry(name: &str, verdict: Verdict, started: Option<i64>, end: i64) -> HistoryEntry {
    let id = fixtures::id(ApiVersion::V2beta1);
    HistoryEntry {
        operation: Operation::Evacuation,
        started: started.map(fixtures::at),
        ..fixtures::history_entry(&id, name, verdict, fixtures::at(end))
    }
}

fn past(entry: HistoryEntry, recorded: Recorded) -> PastEntry {
    PastEntry { entry, recorded, end_known: true }
}

#[test]
fn two_followers_of_one_operation_make_one_entry_and_the_first_verdict_counts() {
    let one = HistoryEntry {
        connections: (Some(10_000), Some(9_990)),
        ..entry("evacuation/a", Verdict::Evacuated, Some(0), 100)
    };
    let joined = entry("evacuation/a", Verdict::NodesLost, None, 104);
    let all = merged([past(joined, Recorded::Folder), past(one.clone(), Recorded::Folder)]);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].entry.verdict, Verdict::Evacuated);
    assert_eq!(all[0].entry.lost_clients(), Some(10));
    // Two identical lines are one operation.
    assert_eq!(merged([past(one.clone(), Recorded::Folder), past(one, Recorded::Folder)]).len(), 1);
}

#[test]
fn unknown_never_replaces_a_verdict_whatever_its_place_is() {
    let known = past(entry("evacuation/a", Verdict::Evacuated, Some(0), 100), Recorded::Folder);
    let unknown = past(entry("evacuation/a", Verdict::Unknown, Some(0), 90), Recorded::Object);
    let stalled = past(entry("evacuation/a", Verdict::Stalled, Some(0), 80), Recorded::ConfigMap);
    for order in [
        [known.clone(), unknown.clone(), stalled.clone()],
        [unknown.clone(), stalled.clone(), known.clone()],
        [stalled, known, unknown],
    ] {
        let all = merged(order);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].entry.verdict, Verdict::Evacuated);
    }
}

#[test]
fn a_name_that_is_used_again_is_another_operation() {
    let first = entry("evacuation/a", Verdict::Evacuated, Some(0), 100);
    let again = entry("evacuation/a", Verdict::Stopped, Some(105), 110);
    let other = entry("evacuation/b", Verdict::Evacuated, Some(0), 100);
    let all = merged([again, other, first].map(|it| past(it, Recorded::Folder)));
    let ends: Vec<(&str, Verdict)> =
        all.iter().map(|past| (past.entry.name.as_str(), past.entry.verdict)).collect();
    assert_eq!(
        ends,
        [
            ("evacuation/a", Verdict::Evacuated),
            ("evacuation/b", Verdict::Evacuated),
            ("evacuation/a", Verdict::Stopped)
        ],
        "oldest first"
    );
    // Rebalances are compared by uid; entries of another cluster are about another operation.
    let with = |uid: &str, cluster: &str| HistoryEntry {
        uid: Some(uid.to_owned()),
        cluster: Some(cluster.to_owned()),
        ..entry("evening", Verdict::Stopped, Some(0), 100)
    };
    let many = [with("u1", "one"), with("u2", "one"), with("u1", "two"), with("u1", "one")];
    assert_eq!(merged(many.map(|it| past(it, Recorded::Folder))).len(), 3);
}

#[test]
fn a_stalled_operation_that_is_followed_again_is_one_entry() {
    let folder = |entry: HistoryEntry| past(entry, Recorded::Folder);
    let entry = |name: &str, verdict: Verdict, started: Option<i64>, end: i64| HistoryEntry {
        operation: Operation::Rebalance,
        ..entry(name, verdict, started, end)
    };
    let stalled = entry("coordinator/emqx@a", Verdict::Stalled, Some(0), 100);
    let again = |from: i64, entry: HistoryEntry| HistoryEntry { followed: Some(fixtures::at(from)), ..entry };
    let ended = again(110, entry("coordinator/emqx@a", Verdict::Balanced, None, 900));
    let all = merged([folder(stalled.clone()), folder(ended)]);
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].entry.verdict, all[0].entry.started), (Verdict::Balanced, stalled.started));
    let stalled_twice = again(220, entry("coordinator/emqx@a", Verdict::Stalled, None, 500));
    assert_eq!(merged([folder(stalled.clone()), folder(stalled_twice)]).len(), 1);
    let next = entry("coordinator/emqx@a", Verdict::Balanced, Some(400), 900);
    assert_eq!(merged([folder(stalled.clone()), folder(next)]).len(), 2, "a later start is another one");
    let before = entry("coordinator/emqx@a", Verdict::Balanced, None, 50);
    assert_eq!(merged([folder(before), folder(stalled)]).len(), 1, "the end is within it");
}

#[test]
fn two_rebalances_of_one_coordinator_without_a_known_start_are_two_entries() {
    let run = |verdict: Verdict, followed: i64, end: i64| {
        let operation = Operation::Rebalance;
        let entry = entry("coordinator/emqx@a", verdict, None, end);
        past(HistoryEntry { operation, followed: Some(fixtures::at(followed)), ..entry }, Recorded::Folder)
    };
    let first = run(Verdict::Stopped, 0, 100);
    // Its follower has confirmed its end when the next one begins, and that one ends within the time that two followers may differ.
    for (second, operations) in [
        (run(Verdict::Balanced, 105, 125), 2),
        (run(Verdict::Balanced, 100, 125), 2),
        (run(Verdict::Balanced, 50, 125), 1),
        (run(Verdict::Balanced, 50, 90), 1),
        (first.clone(), 1),
    ] {
        assert_eq!(merged([first.clone(), second.clone()]).len(), operations, "{second:?}");
        assert_eq!(merged([second.clone(), first.clone()]).len(), operations, "{second:?}");
    }
    let stalled = run(Verdict::Stalled, 0, 100);
    assert_eq!(merged([stalled.clone(), run(Verdict::Balanced, 221, 900)]).len(), 2);
    assert_eq!(merged([stalled, run(Verdict::Balanced, 219, 900)]).len(), 1);
}

#[test]
fn a_verdict_is_stored_once_and_a_better_one_replaces_unknown() {
    let known = entry("evacuation/a", Verdict::Evacuated, Some(0), 100);
    let unknown = entry("evacuation/a", Verdict::Unknown, Some(0), 90);
    assert_eq!(with_entry(std::slice::from_ref(&known), &unknown), None);
    assert_eq!(with_entry(std::slice::from_ref(&known), &known), None);
    let stored = with_entry(&[unknown], &known).expect("it is new");
    assert_eq!(stored.iter().map(|it| it.verdict).collect::<Vec<_>>(), [Verdict::Evacuated]);
}

#[test]
fn failed_is_the_operators_view_and_no_end_of_a_rebalance_without_a_follower() {
    let failed =
        fixtures::rebalance("evening", Phase::Failed, |object| object.failed = Some(fixtures::at(21)));
    let completed = fixtures::rebalance("night", Phase::Completed, |object| {
        object.started = Some(fixtures::at(100));
        object.completed = Some(fixtures::at(198));
    });
    let instance = Object::Instance(Box::new(fixtures::instance(ApiVersion::V2beta1)));
    let world = World::of([fixtures::fact(0, Update::Upserted(instance)), failed, completed]);
    let (id, now) = (fixtures::id(ApiVersion::V2beta1), fixtures::at(900));
    let known = assess(&world, &id, &OperationTracker::of(&id), now).rebalances;
    let items: Vec<HistoryItem> =
        of_cluster(&world, &id, &known, now).iter().map(HistoryItem::from).collect();
    let took: Vec<_> = items.iter().map(|item| (item.name.as_str(), item.duration_seconds)).collect();
    assert_eq!(took, [("evening", None), ("night", known[1].duration_seconds)]);
}

#[test]
fn a_stop_without_a_list_of_rebalances_gives_its_verdict_to_the_object() {
    let id = fixtures::id(ApiVersion::V2beta1);
    let stop = |object_unknown: bool| HistoryEntry {
        operation: Operation::Rebalance,
        object_unknown,
        ..entry("coordinator/emqx@core-1.local", Verdict::Stopped, None, 40)
    };
    let world = |change: fn(&mut Rebalance)| {
        World::of([fixtures::rebalance("golden", Phase::Completed, |it| {
            it.processed = true;
            it.started = Some(fixtures::at(0));
            it.completed = Some(fixtures::at(44));
            change(it);
        })])
    };
    let name = |entry: HistoryEntry, world: &World| {
        let mut all = [past(entry, Recorded::Folder)];
        find_objects(&mut all, world, &id);
        all[0].entry.name.clone()
    };
    assert_eq!(name(stop(true), &world(|_| ())), "golden");
    assert_eq!(name(stop(false), &world(|_| ())), "coordinator/emqx@core-1.local", "Rebalances were listed");
    let later = world(|it| it.completed = Some(fixtures::at(400)));
    assert_eq!(name(stop(true), &later), "coordinator/emqx@core-1.local", "another end");
    let running = world(|it| {
        it.phase = Phase::Failed;
        it.states = fixtures::load("evicting_conns").rebalances;
    });
    let of_another = "coordinator/emqx@core-9.local";
    let other = HistoryEntry { name: of_another.to_owned(), ..stop(true) };
    assert_eq!(name(other, &running), of_another, "the operator copied another coordinator");
}
