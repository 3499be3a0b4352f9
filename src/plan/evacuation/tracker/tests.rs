//! Evacuations that end while EMQX does not answer: the time of the end is between two answers, and nothing has a duration.

use super::*;
use crate::model::{ApiVersion, BrokerUpdate, Evacuation, EvictionStatus, HistoryEntry, Link, Stage};
use crate::plan::fixtures;
use crate::plan::history::of_evacuation;

fn entry(state: &str, connections: u64) -> Evacuation {
    Evacuation {
        node: fixtures::core(0),
        stage: Stage::parse(state),
        state: state.to_owned(),
        recipients: vec![fixtures::core(1)],
        conn_evict_rate: Some(10),
        sess_evict_rate: Some(10),
        initial_connections: Some(300),
        connections: Some(connections),
        initial_sessions: Some(300),
        sessions: Some(connections),
    }
}

/// EMQX lists an evacuation from second 0 to second 10; its next answer is at `again`, and one more follows 12 s later.
fn after_an_outage(again: i64, connections: u64, stopped: bool, listed: Option<&str>) -> EvacuationRun {
    let id = fixtures::id(ApiVersion::V2);
    let mut world = World::new();
    let mut tracker = EvacuationTracker::default();
    let mut answer = |at: i64, connections: u64, stopped: bool, listed: Option<&str>| {
        let mut nodes = fixtures::nodes(&[connections, 700 - connections]);
        (nodes[0].stopped, nodes[0].running) = (stopped, !stopped);
        let evacuations = listed.map(|state| entry(state, connections)).into_iter().collect();
        world.apply(fixtures::answer(at, BrokerUpdate::Nodes(nodes)));
        world.apply(fixtures::answer(
            at,
            BrokerUpdate::Evictions(EvictionStatus { evacuations, ..EvictionStatus::default() }),
        ));
        tracker.observe(&world, &id, &BTreeSet::new(), fixtures::at(at));
        let link = Link::Unreachable("no answer".to_owned());
        world.apply(fixtures::answer(at + 1, BrokerUpdate::Link("nodes", link)));
    };
    // The start is seen: an answer before it does not list it.
    answer(-5, 300, false, None);
    for at in [0, 5, 10] {
        answer(at, 300 - 10 * at.unsigned_abs(), false, Some("evicting_conns"));
    }
    for at in [again, again + 12] {
        answer(at, connections, stopped, listed);
    }
    tracker.runs.remove(0)
}

fn recorded(run: &EvacuationRun) -> HistoryEntry {
    let verdict = run.verdict.clone().expect("a verdict");
    of_evacuation(run, &fixtures::id(ApiVersion::V2), verdict, (None, None), fixtures::at(900))
}

#[test]
fn an_evacuation_that_ended_in_an_outage_has_the_earliest_and_the_latest_time_of_its_end() {
    for (connections, stopped, listed, verdict, ended) in [
        (0, false, Some("prohibiting"), Verdict::Evacuated, 100),
        (200, false, None, Verdict::Stopped, 112),
        (0, true, None, Verdict::NodesLost, 100),
    ] {
        let run = after_an_outage(100, connections, stopped, listed);
        assert_eq!(run.verdict.as_ref().map(|it| it.verdict), Some(verdict), "{run:?}");
        assert_eq!(
            (run.ended_after(), run.ended),
            (Some(fixtures::at(10)), Some(fixtures::at(ended))),
            "{verdict:?}"
        );
        let entry = recorded(&run);
        assert_eq!((entry.ended_after, entry.seconds()), (Some(fixtures::at(10)), None), "{verdict:?}");
    }
}

#[test]
fn an_evacuation_whose_end_emqx_reported_at_once_has_a_duration() {
    for (connections, stopped, listed) in [(0, false, Some("prohibiting")), (0, true, None)] {
        let run = after_an_outage(12, connections, stopped, listed);
        assert_eq!((run.ended_after(), run.ended), (None, Some(fixtures::at(12))), "{run:?}");
        assert_eq!(recorded(&run).seconds(), Some(12));
    }
}

#[test]
fn a_node_that_restarts_before_emqx_lists_its_evacuation_is_lost_and_not_evacuated() {
    let id = fixtures::id(ApiVersion::V2);
    let verdicts = |connections: u64, uptime_seconds: u64| {
        let mut world = World::new();
        let mut tracker = EvacuationTracker::default();
        let mut answer = |tracker: &mut EvacuationTracker,
                          at: i64,
                          connections: u64,
                          uptime: u64,
                          listed: Option<&str>| {
            let mut nodes = fixtures::nodes(&[connections, 700 - connections]);
            nodes[0].uptime_millis = Some(uptime * 1000);
            let restored = |state| Evacuation {
                initial_connections: Some(0),
                initial_sessions: Some(0),
                ..entry(state, connections)
            };
            let evacuations = listed.map(restored).into_iter().collect();
            world.apply(fixtures::answer(at, BrokerUpdate::Nodes(nodes)));
            world.apply(fixtures::answer(
                at,
                BrokerUpdate::Evictions(EvictionStatus { evacuations, ..EvictionStatus::default() }),
            ));
            tracker.observe(&world, &id, &BTreeSet::new(), fixtures::at(at));
        };
        answer(&mut tracker, 0, connections, 5000, None);
        let timing = DrainTiming {
            api: ApiVersion::V2,
            delay: 0,
            wait_health_check: 10,
            conn_evict_rate: Some(10),
            wait_takeover: 5,
            sess_evict_rate: Some(10),
            startup: 0,
        };
        tracker.asked(fixtures::core(0), timing, fixtures::at(0));
        answer(&mut tracker, 1, connections, 5001, None);
        answer(&mut tracker, 10, 0, uptime_seconds, Some("waiting_takeover"));
        answer(&mut tracker, 15, 0, uptime_seconds + 5, Some("prohibiting"));
        let ends = tracker.runs.iter().filter_map(|run| run.verdict.clone());
        ends.map(|end| (end.verdict, end.message)).collect::<Vec<_>>()
    };
    let lost = verdicts(300, 4);
    assert_eq!(lost[0].0, Verdict::NodesLost, "{lost:?}");
    assert!(
        lost[0].1.contains("restarted before EMQX listed its evacuation, with 300 clients connected"),
        "{lost:?}"
    );
    assert_eq!(verdicts(0, 4)[0].0, Verdict::Evacuated, "no client was disconnected by the restart");
    assert_eq!(verdicts(300, 5010)[0].0, Verdict::Evacuated, "it did not restart");
}
