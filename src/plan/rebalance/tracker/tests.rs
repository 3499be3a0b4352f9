//! Rebalances, given to a tracker fact by fact.

use super::*;
use crate::model::{
    ApiVersion, BrokerUpdate, DonorStart, EvictionStatus, Judgement, Object, StopMark, Update,
};
use crate::plan::fixtures;
use crate::plan::rebalance::plan::{Participant, Return};
use crate::plan::rebalance::record::PlanRecord;

/// A world that receives facts, and a tracker that observes it.
struct Scene {
    world: World,
    follower: RebalanceTracker,
    events: Vec<Event>,
}

impl Scene {
    fn of(connections: &[u64]) -> Self {
        let mut scene = Self {
            world: World::new(),
            follower: RebalanceTracker::new(fixtures::id(ApiVersion::V2)),
            events: Vec::new(),
        };
        scene.world.apply(fixtures::fact(
            0,
            Update::Upserted(Object::Instance(Box::new(fixtures::instance(ApiVersion::V2beta1)))),
        ));
        scene.asked(0, connections, EvictionStatus::default());
        scene
    }

    fn asked(&mut self, at: i64, connections: &[u64], load: EvictionStatus) {
        self.world.apply(fixtures::answer(at, BrokerUpdate::Nodes(fixtures::nodes(connections))));
        self.world.apply(fixtures::answer(at, BrokerUpdate::Evictions(load)));
        self.look(at);
    }

    fn object(&mut self, at: i64, phase: Phase, change: impl FnOnce(&mut Rebalance)) {
        let mut fact = fixtures::rebalance("r", phase, change);
        fact.at = fixtures::at(at);
        self.world.apply(fact);
        self.look(at);
    }

    fn look(&mut self, at: i64) {
        let events = self.follower.observe(&self.world, fixtures::at(at));
        self.events.extend(events);
    }

    fn verdict(&self) -> Option<Verdict> {
        self.follower
            .run("r")
            .or(self.follower.runs.last())
            .and_then(|run| run.verdict.clone())
            .map(|it| it.verdict)
    }

    fn messages(&self, kind: EventType) -> Vec<&str> {
        self.events.iter().filter(|it| it.kind == kind).map(|it| it.message.as_str()).collect()
    }
}

const START: [u64; 4] = [3333, 3333, 3334, 0];
const END: [u64; 4] = [2553, 2553, 2554, 2340];

/// The annotation of the client that created the object in these tests.
fn record() -> String {
    let plan = crate::plan::rebalance::forecast::forecast(
        None,
        &fixtures::nodes(&START)
            .iter()
            .map(|node| Participant {
                node: node.name.clone(),
                pod: None,
                connections: node.connections.unwrap_or(0),
                sessions: node.sessions.unwrap_or(0),
            })
            .collect::<Vec<_>>(),
        &fixtures::strategy(),
        Return::default(),
    );
    PlanRecord::of(&plan, fixtures::at(0)).text()
}

fn until_evicting() -> Scene {
    let mut scene = Scene::of(&START);
    scene.object(1, Phase::Pending, |_| {});
    scene.object(2, Phase::Processing, |_| {});
    scene.asked(3, &START, fixtures::load("wait_health_check"));
    scene.asked(13, &[3323, 3323, 3324, 0], fixtures::load("evicting_conns"));
    scene
}

#[test]
fn clients_that_are_redirected_are_reported_once_with_what_stops_it() {
    let mut scene = until_evicting();
    scene.asked(42, &[3033, 3033, 3034, 0], fixtures::load("evicting_conns"));
    assert_eq!(scene.messages(EventType::Notice), Vec::<&str>::new(), "they get thirty seconds");
    scene.asked(43, &[3023, 3023, 3024, 0], fixtures::load("evicting_conns"));
    scene.asked(44, &[3013, 3013, 3014, 0], fixtures::load("evicting_conns"));
    let notices = scene.messages(EventType::Notice);
    assert!(
        notices.len() == 1
            && notices[0].starts_with("STOP IT: only 0 of 930 evicted clients reached emqx-core-3"),
        "{notices:?}"
    );
    assert!(notices[0].contains("kubectl emqx rebalance stop r "), "{notices:?}");
    // Half of the evicted clients on the recipient are enough: no alarm.
    let mut scene = until_evicting();
    scene.asked(60, &[2853, 2853, 2854, 721], fixtures::load("evicting_conns"));
    assert_eq!(scene.messages(EventType::Notice), Vec::<&str>::new());
}

#[test]
fn balanced_although_the_object_reports_failed() {
    let mut scene = until_evicting();
    assert_eq!(scene.follower.running().map(RebalanceRun::standing), Some(Verdict::Running));
    scene.object(25, Phase::Failed, |it| {
        it.processed = true;
        it.failure = Some("EMQX emqx is not ready".into());
    });
    assert_eq!(scene.follower.running().map(RebalanceRun::standing), Some(Verdict::StillRunning));
    assert!(scene.messages(EventType::Notice)[0].contains("EMQX continues"));
    scene.asked(91, &END, fixtures::load("wait_takeover"));
    scene.asked(101, &END, EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::Balanced));
    let last = scene.events.last().expect("a verdict");
    assert_eq!((last.percent, last.moved_connections, last.lost_clients), (Some(100), Some(2340), Some(0)));
}

#[test]
fn a_wait_that_began_between_two_answers_can_have_ended_by_the_next() {
    // The wait of 10 s began at some time after 85 s, and EMQX does not list the rebalance at 96 s.
    let mut scene = until_evicting();
    scene.asked(85, &[3323, 3323, 3324, 0], fixtures::load("evicting_conns"));
    scene.asked(91, &[3323, 3323, 3324, 0], fixtures::load("wait_takeover"));
    scene.asked(96, &START, EvictionStatus::default());
    scene.asked(107, &START, EvictionStatus::default());
    scene.asked(140, &START, EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::Uneven));
    // With answers in short intervals the rebalance ended too early for the wait.
    let mut scene = until_evicting();
    scene.asked(90, &[3323, 3323, 3324, 0], fixtures::load("evicting_conns"));
    scene.asked(91, &[3323, 3323, 3324, 0], fixtures::load("wait_takeover"));
    scene.asked(93, &START, EvictionStatus::default());
    scene.asked(104, &START, EvictionStatus::default());
    scene.asked(140, &START, EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::CoordinatorLost));
}

#[test]
fn coordinator_lost_although_the_object_reports_completed() {
    let mut scene = until_evicting();
    scene.asked(28, &[3173, 3173, 3174, 450], EvictionStatus::default());
    assert_eq!(scene.verdict(), None, "a bad word waits for clients that are on their way");
    scene.object(30, Phase::Completed, |it| it.completed = Some(fixtures::at(30)));
    scene.asked(31, &[3173, 3173, 3174, 480], EvictionStatus::default());
    assert_eq!(scene.verdict(), None, "one answer without it is not the end");
    scene.asked(38, &[3173, 3173, 3174, 480], EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::CoordinatorLost));
}

#[test]
fn a_delete_while_processing_is_a_stop() {
    let mut scene = until_evicting();
    scene.object(20, Phase::Processing, |it| it.deleting = Some(fixtures::at(20)));
    scene.asked(21, &[3263, 3263, 3264, 200], EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::Stopped));
}

#[test]
fn a_delete_that_follows_its_end_is_a_stop_too() {
    // A stop ends the rebalance in EMQX first, and deletes the object when that is verified.
    let mut scene = until_evicting();
    scene.asked(21, &[3263, 3263, 3264, 200], EvictionStatus::default());
    scene.asked(25, &[3263, 3263, 3264, 210], EvictionStatus::default());
    assert_eq!(scene.verdict(), None);
    scene.object(26, Phase::Processing, |it| it.deleting = Some(fixtures::at(26)));
    assert_eq!(scene.verdict(), Some(Verdict::Stopped));
    // The object is not deleted.
    let mut scene = until_evicting();
    scene.asked(21, &[3263, 3263, 3264, 200], EvictionStatus::default());
    scene.asked(31, &[3263, 3263, 3264, 210], EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::CoordinatorLost));
}

#[test]
fn a_delete_that_does_not_stop_emqx_is_still_running() {
    let mut scene = until_evicting();
    scene.object(20, Phase::Processing, |it| it.deleting = Some(fixtures::at(20)));
    scene.asked(40, &[3073, 3073, 3074, 750], fixtures::load("evicting_conns"));
    assert_eq!(scene.follower.running().map(RebalanceRun::standing), Some(Verdict::StillRunning));
    let last = scene.follower.finish(&scene.world, fixtures::at(41));
    assert_eq!(last.last().and_then(|event| event.verdict), Some(Verdict::StillRunning));
}

#[test]
fn missing_clients_get_thirty_seconds_to_come_back() {
    let mut scene = until_evicting();
    scene.asked(91, &[2553, 2553, 2554, 0], fixtures::load("wait_takeover"));
    scene.asked(101, &[2553, 2553, 2554, 0], EvictionStatus::default());
    assert_eq!(scene.verdict(), None);
    scene.asked(130, &[2553, 2553, 2554, 0], EvictionStatus::default());
    assert_eq!(scene.verdict(), None);
    scene.asked(131, &[2553, 2553, 2554, 0], EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::ClientsMissing));
}

#[test]
fn clients_that_come_back_late_are_not_missing() {
    let mut scene = until_evicting();
    scene.asked(91, &[2553, 2553, 2554, 0], fixtures::load("wait_takeover"));
    scene.asked(101, &[2553, 2553, 2554, 0], EvictionStatus::default());
    scene.asked(120, &END, EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::Balanced));
}

#[test]
fn two_runs_on_one_coordinator_without_a_pause_are_two() {
    let mut scene = until_evicting();
    scene.object(20, Phase::Processing, |it| it.deleting = Some(fixtures::at(20)));
    scene.asked(21, &START, fixtures::load("wait_health_check"));
    assert_eq!(scene.follower.runs.len(), 2);
    assert_eq!(scene.follower.runs[0].verdict.as_ref().map(|it| it.verdict), Some(Verdict::Stopped));
    assert!(scene.follower.runs[1].name.starts_with("coordinator/"));
}

#[test]
fn a_refused_start_on_a_balanced_cluster_is_nothing_to_do() {
    let mut scene = Scene::of(&[3340, 3330, 3330]);
    scene.object(1, Phase::Pending, |_| {});
    scene.object(1, Phase::Failed, |it| {
        it.failure = Some("Failed to start rebalance: request api failed: 400 Bad Request".into());
    });
    assert_eq!(scene.verdict(), Some(Verdict::NothingToDo));
}

#[test]
fn an_entry_that_is_seen_before_its_object_reports_processing_is_not_a_run_of_its_own() {
    let mut scene = Scene::of(&START);
    scene.object(1, Phase::Pending, |_| {});
    scene.asked(2, &START, fixtures::load("wait_health_check"));
    assert_eq!(scene.follower.runs.len(), 1);
    scene.object(2, Phase::Processing, |it| it.processed = true);
    assert!(scene.follower.runs.len() == 1 && scene.follower.runs[0].entry.is_some());
    // An object that no operator processes does not hide EMQX's entry.
    let mut scene = Scene::of(&START);
    scene.object(1, Phase::Pending, |_| {});
    scene.asked(2, &START, fixtures::load("wait_health_check"));
    scene.asked(12, &START, fixtures::load("wait_health_check"));
    assert_eq!(scene.follower.runs.len(), 2);
    assert!(scene.follower.runs[1].name.starts_with("coordinator/"));
}

#[test]
fn who_comes_in_the_last_moment_of_the_wait_does_not_take_evicted_clients_for_the_start() {
    let mut scene = Scene {
        world: World::new(),
        follower: RebalanceTracker::new(fixtures::id(ApiVersion::V2)),
        events: Vec::new(),
    };
    let started = |it: &mut Rebalance| {
        it.processed = true;
        it.started = Some(fixtures::at(0));
        it.strategy.wait_health_check_seconds = 10;
    };
    let mut fact = fixtures::rebalance("r", Phase::Processing, started);
    fact.at = fixtures::at(9);
    scene.world.apply(fact);
    scene.asked(9, &START, fixtures::load("wait_health_check"));
    scene.asked(11, &[3323, 3323, 3324, 30], fixtures::load("evicting_conns"));
    scene.asked(12, &[3313, 3313, 3314, 60], fixtures::load("evicting_conns"));
    let last = scene.events.iter().rfind(|event| event.kind == EventType::Progress).expect("progress");
    assert_eq!(last.moved_connections, Some(60));
}

#[test]
fn clients_that_leave_right_after_the_start_are_reported_missing() {
    let mut scene = Scene::of(&START);
    scene.object(2, Phase::Processing, |_| {});
    scene.asked(3, &START, fixtures::load("wait_health_check"));
    scene.asked(4, &[3133, 3133, 3134, 0], fixtures::load("wait_health_check"));
    scene.asked(6, &[3133, 3133, 3134, 0], fixtures::load("wait_health_check"));
    let run = scene.follower.running().expect("it runs");
    assert_eq!(messages::missing(run).map(|it| it.text).as_deref(), Some("600 clients missing"));
}

#[test]
fn the_duration_is_printed_only_where_the_start_is_known() {
    let message = |scene: &Scene| {
        let run = scene.follower.runs.last().expect("one ran");
        run.verdict.clone().expect("it is over").message
    };
    // The rebalance was running when the follower joined, and no object shows its start.
    let mut scene = Scene::of(&START);
    let mut late =
        Scene { follower: RebalanceTracker::new(fixtures::id(ApiVersion::V2)), ..Scene::of(&START) };
    for (at, state) in [(5, "evicting_conns"), (6, "wait_takeover")] {
        late.world.apply(fixtures::answer(at, BrokerUpdate::Nodes(fixtures::nodes(&END))));
        late.world.apply(fixtures::answer(at, BrokerUpdate::Evictions(fixtures::load(state))));
        late.look(at);
    }
    late.asked(7, &END, EvictionStatus::default());
    late.asked(18, &END, EvictionStatus::default());
    late.look(20);
    assert!(!message(&late).ends_with(" s"), "{}", message(&late));
    // The follower observed the start.
    scene.asked(5, &START, fixtures::load("wait_health_check"));
    scene.asked(6, &END, fixtures::load("wait_takeover"));
    scene.asked(7, &END, EvictionStatus::default());
    scene.asked(18, &END, EvictionStatus::default());
    scene.look(20);
    assert!(message(&scene).ends_with("2 s"), "{}", message(&scene));
}

#[test]
fn a_coordinator_without_an_object_has_a_name_and_a_verdict() {
    let mut scene = Scene::of(&START);
    scene.asked(3, &START, fixtures::load("wait_health_check"));
    scene.asked(91, &END, fixtures::load("wait_takeover"));
    scene.asked(101, &END, EvictionStatus::default());
    assert_eq!(scene.verdict(), None, "its thresholds are not known, so a second answer is needed");
    scene.asked(112, &END, EvictionStatus::default());
    let run = scene.follower.runs.last().expect("a run");
    assert_eq!(run.name, format!("coordinator/{}", fixtures::core(0)));
    assert_eq!(run.verdict.as_ref().map(|it| it.verdict), Some(Verdict::Balanced));
}

#[test]
fn one_that_was_under_way_when_we_came_is_judged_by_what_was_written_down() {
    let record = record();
    let mut scene = Scene {
        world: World::new(),
        follower: RebalanceTracker::new(fixtures::id(ApiVersion::V2)),
        events: Vec::new(),
    };
    scene.world.apply(fixtures::rebalance("r", Phase::Processing, |it| it.plan = Some(record)));
    scene.asked(50, &[2953, 2953, 2954, 1110], fixtures::load("evicting_conns"));
    assert_eq!(scene.follower.runs.len(), 1);
    let run = &scene.follower.runs[0];
    assert_eq!((run.name.as_str(), run.landing_ratio().map(|it| (it * 100.0).round())), ("r", Some(97.0)));
    assert!(run.percent > 40, "{}", run.percent);
}

#[test]
fn who_comes_late_to_the_object_of_another_client_counts_from_then_on() {
    let mut scene = Scene {
        world: World::new(),
        follower: RebalanceTracker::new(fixtures::id(ApiVersion::V2)),
        events: Vec::new(),
    };
    scene.world.apply(fixtures::rebalance("r", Phase::Processing, |_| {}));
    scene.asked(50, &[2953, 2953, 2954, 1110], fixtures::load("evicting_conns"));
    let notices = scene.messages(EventType::Notice).join("; ");
    assert!(notices.contains("10:00:50"), "{notices}");
    scene.asked(91, &[2300, 2300, 2300, 2000], fixtures::load("wait_takeover"));
    scene.asked(101, &[2300, 2300, 2300, 2000], EvictionStatus::default());
    scene.asked(132, &[2300, 2300, 2300, 2000], EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::ClientsMissing));
    let last = scene.events.last().map(|event| event.message.as_str()).unwrap_or_default();
    assert!(last.contains("1,070 of 9,970") && last.contains("counted since 10:00:50"), "{last}");
}

#[test]
fn clients_of_a_node_that_was_added_in_mid_run_are_not_missing_for_a_client_that_joins_late() {
    let record = record();
    let mut scene = Scene {
        world: World::new(),
        follower: RebalanceTracker::new(fixtures::id(ApiVersion::V2)),
        events: Vec::new(),
    };
    scene.world.apply(fixtures::rebalance("r", Phase::Processing, |it| it.plan = Some(record)));
    let add = |scene: &mut Scene, at: i64, counts: &[u64], load: EvictionStatus| {
        let mut nodes = fixtures::nodes(counts);
        for (place, node) in nodes.iter_mut().enumerate() {
            let since = if place == 4 { 40 } else { -3600 };
            node.uptime_millis = Some((at - since).unsigned_abs() * 1000);
        }
        scene.world.apply(fixtures::answer(at, BrokerUpdate::Nodes(nodes)));
        scene.world.apply(fixtures::answer(at, BrokerUpdate::Evictions(load)));
        scene.look(at);
    };
    add(&mut scene, 50, &[2953, 2953, 2954, 705, 435], fixtures::load("evicting_conns"));
    let run = &scene.follower.runs[0];
    assert_eq!(run.start.as_ref().and_then(Counts::all_connections), Some(10_000));
    add(&mut scene, 91, &[2433, 2433, 2433, 2261, 440], fixtures::load("wait_takeover"));
    for at in [101, 112, 145] {
        add(&mut scene, at, &[2433, 2433, 2433, 2261, 440], EvictionStatus::default());
    }
    assert_eq!(scene.verdict(), Some(Verdict::Balanced), "{:?}", scene.events.last());
}

#[test]
fn another_watcher_of_a_rebalance_that_was_stopped_by_our_stop_sees_a_stop_and_no_lost_coordinator() {
    let mut scene = until_evicting();
    scene.object(20, Phase::Failed, |it| {
        it.processed = true;
        it.stopped_by = Some(StopMark { by: "kubectl-emqx".into(), time: fixtures::at(19) });
    });
    scene.asked(21, &[3253, 3253, 3254, 240], EvictionStatus::default());
    scene.asked(33, &[3253, 3253, 3254, 240], EvictionStatus::default());
    scene.look(60);
    assert_eq!(scene.verdict(), Some(Verdict::Stopped), "{:?}", scene.events.last());
    // An old mark belongs to another stop.
    let mut scene = until_evicting();
    scene.object(20, Phase::Failed, |it| {
        it.processed = true;
        it.stopped_by = Some(StopMark { by: "kubectl-emqx".into(), time: fixtures::at(-300) });
    });
    scene.asked(21, &[3253, 3253, 3254, 240], EvictionStatus::default());
    scene.asked(33, &[3253, 3253, 3254, 240], EvictionStatus::default());
    scene.look(60);
    assert_eq!(scene.verdict(), Some(Verdict::CoordinatorLost), "{:?}", scene.events.last());
}

#[test]
fn one_that_an_operator_starts_late_is_not_stalled_since_its_object_was_created() {
    let mut scene = Scene::of(&START);
    scene.object(1, Phase::Pending, |_| {});
    scene.look(60);
    scene.object(100, Phase::Processing, |_| {});
    scene.asked(101, &START, fixtures::load("wait_health_check"));
    scene.asked(102, &START, fixtures::load("wait_health_check"));
    assert_eq!(scene.verdict(), None);
}

#[test]
fn past_objects_are_left_alone() {
    let mut scene = Scene {
        world: World::new(),
        follower: RebalanceTracker::new(fixtures::id(ApiVersion::V2)),
        events: Vec::new(),
    };
    scene.world.apply(fixtures::rebalance("r", Phase::Completed, |it| it.processed = true));
    scene.asked(0, &START, EvictionStatus::default());
    assert!(scene.follower.runs.is_empty());
}

#[test]
fn counts_that_never_move_are_a_stall() {
    let mut scene = until_evicting();
    for second in 14..90 {
        scene.asked(second, &[3323, 3323, 3324, 30], fixtures::load("evicting_conns"));
    }
    assert_eq!(scene.verdict(), Some(Verdict::Stalled));
}

#[test]
fn an_entry_of_another_client_is_reported_after_a_while_although_an_object_waits() {
    let mut scene = Scene::of(&START);
    scene.object(1, Phase::Pending, |_| {});
    for second in 2..20 {
        scene.asked(second, &START, fixtures::load("wait_health_check"));
    }
    assert_eq!(scene.follower.runs.len(), 2);
}

#[test]
fn a_stop_is_recognised_although_emqx_did_not_answer_for_a_while() {
    let mut scene = until_evicting();
    scene.object(15, Phase::Processing, |it| it.deleting = Some(fixtures::at(15)));
    scene.asked(40, &[3323, 3323, 3324, 30], EvictionStatus::default());
    scene.look(44);
    assert_eq!(scene.verdict(), Some(Verdict::Stopped));
}

#[test]
fn a_gap_in_the_answers_is_not_a_stall() {
    let mut scene = until_evicting();
    scene.look(200);
    assert_eq!(scene.verdict(), None);
    scene.asked(201, &[2823, 2823, 2824, 1530], fixtures::load("evicting_conns"));
    assert_eq!(scene.verdict(), None);
}

#[test]
fn an_emqx_that_falls_silent_for_good_leaves_the_end_unknown() {
    let mut scene = until_evicting();
    for second in 14..700 {
        scene.look(second);
    }
    assert_eq!(scene.verdict(), Some(Verdict::Unknown));
}

#[test]
fn without_emqx_the_verdict_is_unknown_and_no_numbers_are_invented() {
    let mut scene = Scene {
        world: World::new(),
        follower: RebalanceTracker::new(fixtures::id(ApiVersion::V2)),
        events: Vec::new(),
    };
    scene.look(0);
    scene.object(1, Phase::Processing, |_| {});
    scene.object(40, Phase::Completed, |it| it.processed = true);
    assert_eq!(scene.verdict(), None);
    scene.look(80);
    assert_eq!(scene.verdict(), Some(Verdict::Unknown));
}

#[test]
fn one_that_is_over_is_followed_when_it_is_asked_for() {
    let mut scene = Scene {
        world: World::new(),
        follower: RebalanceTracker::new(fixtures::id(ApiVersion::V2)).wanting("r"),
        events: Vec::new(),
    };
    scene.object(0, Phase::Failed, |it| it.processed = true);
    assert_eq!(scene.verdict(), None);
    for second in 1..40 {
        scene.look(second);
    }
    assert_eq!(scene.verdict(), Some(Verdict::Unknown), "EMQX has never answered");
}

#[test]
fn percent_rises_only() {
    let scene = until_evicting();
    let percents: Vec<u8> = scene.events.iter().filter_map(|event| event.percent).collect();
    assert!(percents.is_sorted(), "{percents:?}");
}

#[test]
fn one_answer_that_does_not_list_it_ends_nothing() {
    let mut scene = until_evicting();
    scene.asked(20, &[3263, 3263, 3264, 200], EvictionStatus::default());
    scene.asked(21, &[3253, 3253, 3254, 230], fixtures::load("evicting_conns"));
    assert_eq!(scene.verdict(), None);
    assert_eq!(scene.follower.runs.len(), 1);
    assert!(scene.messages(EventType::Notice).iter().any(|it| it.starts_with("still running")));
    // If following ends right after such an answer, the state is unknown.
    scene.asked(22, &[3243, 3243, 3244, 260], EvictionStatus::default());
    let last = scene.follower.finish(&scene.world, fixtures::at(22));
    assert_eq!(last.last().and_then(|event| event.verdict), Some(Verdict::Unknown));
    assert_eq!(last.last().and_then(|event| event.percent), None);
}

#[test]
fn an_object_of_which_every_version_is_seen_late_is_the_operation_that_emqx_listed_before() {
    let mut scene = Scene::of(&START);
    scene.asked(3, &START, fixtures::load("wait_health_check"));
    // The object is created at 2 s; its versions are seen three seconds after EMQX's entry.
    let created = |it: &mut Rebalance| it.created = Some(fixtures::at(2));
    scene.object(6, Phase::Pending, created);
    scene.object(7, Phase::Processing, created);
    scene.asked(13, &[3323, 3323, 3324, 0], fixtures::load("evicting_conns"));
    let names: Vec<&str> = scene.follower.runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["r"]);
    scene.asked(91, &END, fixtures::load("wait_takeover"));
    scene.asked(101, &END, EvictionStatus::default());
    scene.asked(112, &END, EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::Balanced));
}

#[test]
fn an_answer_that_lacks_donors_or_recipients_is_no_other_rebalance() {
    let lacking = |change: fn(&mut RunningRebalance)| {
        let mut load = fixtures::load("evicting_conns");
        change(&mut load.rebalances[0]);
        load
    };
    let mut scene = until_evicting();
    for (second, load) in [
        (14, lacking(|entry| entry.donors.clear())),
        (15, lacking(|entry| entry.recipients.clear())),
        (16, lacking(|entry| (entry.donors, entry.recipients) = (Vec::new(), Vec::new()))),
        (17, fixtures::load("evicting_conns")),
    ] {
        scene.asked(second, &[3303, 3303, 3304, 60], load);
        let run = scene.follower.running().expect("it runs");
        assert_eq!(
            (scene.follower.runs.len(), run.donors().len(), run.recipients().len()),
            (1, 3, 1),
            "{second}"
        );
        assert_eq!(run.name, "r", "{second}");
    }
    scene.asked(91, &END, fixtures::load("wait_takeover"));
    scene.asked(101, &END, EvictionStatus::default());
    scene.asked(112, &END, EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::Balanced));
}

#[test]
fn clients_of_a_node_that_does_not_report_them_are_not_missing() {
    let mut scene = until_evicting();
    let without = |counts: &[u64; 4]| {
        let mut nodes = fixtures::nodes(counts);
        (nodes[0].connections, nodes[0].sessions) = (None, None);
        nodes
    };
    let unreported = |scene: &mut Scene, at: i64, counts: &[u64; 4], load: EvictionStatus| {
        scene.world.apply(fixtures::answer(at, BrokerUpdate::Nodes(without(counts))));
        scene.world.apply(fixtures::answer(at, BrokerUpdate::Evictions(load)));
        scene.look(at);
    };
    unreported(&mut scene, 14, &[3313, 3313, 3314, 30], fixtures::load("evicting_conns"));
    let run = scene.follower.running().expect("it runs");
    assert_eq!(messages::missing(run), None);
    let event = scene.events.iter().rfind(|event| event.kind == EventType::Progress).expect("progress");
    assert_eq!((event.lost_clients, event.lost_sessions), (None, None), "{}", event.message);
    assert!(!event.message.contains("missing"), "{}", event.message);
    scene.asked(91, &END, fixtures::load("wait_takeover"));
    // The end, and the half minute after it, in which the node reports no counts.
    for second in [101, 112, 140] {
        unreported(&mut scene, second, &END, EvictionStatus::default());
    }
    assert_ne!(scene.verdict(), Some(Verdict::ClientsMissing));
    scene.asked(141, &END, EvictionStatus::default());
    let verdict = scene.verdict();
    assert!(!matches!(verdict, Some(Verdict::ClientsMissing | Verdict::CoordinatorLost)), "{verdict:?}");
}

#[test]
fn the_order_of_donors_means_nothing() {
    let mut scene = until_evicting();
    let mut turned = fixtures::load("evicting_conns");
    turned.rebalances[0].donors.reverse();
    scene.asked(20, &[3263, 3263, 3264, 200], turned);
    assert_eq!((scene.follower.runs.len(), scene.verdict()), (1, None));
}

/// EMQX's answers when core 1 has stopped running.
fn without_core_1(scene: &mut Scene, at: i64, connections: &[u64], load: EvictionStatus) {
    let mut nodes = fixtures::nodes(connections);
    nodes[1] = crate::model::Node { name: fixtures::core(1), stopped: true, ..crate::model::Node::default() };
    scene.world.apply(fixtures::answer(at, BrokerUpdate::Nodes(nodes)));
    scene.world.apply(fixtures::answer(at, BrokerUpdate::Evictions(load)));
    scene.look(at);
}

#[test]
fn a_node_that_stops_in_mid_run_is_named_with_its_clients_and_never_balanced() {
    let mut scene = until_evicting();
    without_core_1(&mut scene, 20, &[3263, 0, 3264, 3473], EvictionStatus::default());
    let notices = scene.messages(EventType::Notice);
    assert!(
        notices[0].contains("(donor) stopped running at 10:00:20 UTC with 3,323 clients on it"),
        "{notices:?}"
    );
    without_core_1(&mut scene, 23, &[3263, 0, 3264, 3473], EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::NodesLost));
    // The node starts again and the counts at the end are even: the verdict is still `nodesLost`.
    let mut scene = until_evicting();
    without_core_1(&mut scene, 20, &[3263, 0, 3264, 3473], fixtures::load("evicting_conns"));
    scene.asked(30, &[2500, 2500, 2500, 2500], fixtures::load("wait_takeover"));
    scene.asked(40, &[2500, 2500, 2500, 2500], EvictionStatus::default());
    scene.asked(51, &[2500, 2500, 2500, 2500], EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::NodesLost));
}

#[test]
fn a_node_that_stops_in_an_outage_in_which_the_rebalance_can_have_ended_leaves_the_verdict_unknown() {
    let after_outage = |mut scene: Scene, until: i64| {
        for at in [until, until + 11] {
            without_core_1(&mut scene, at, &[3800, 0, 3900, 2280], EvictionStatus::default());
        }
        let notices = scene.messages(EventType::Notice).join("; ");
        (scene.follower.runs[0].verdict.clone().expect("it is over"), notices)
    };
    // 12 s of work are left, and EMQX does not answer for 100 s.
    let mut scene = until_evicting();
    scene.asked(100, &[2573, 2573, 2574, 2280], fixtures::load("evicting_conns"));
    let (Judgement { verdict, message }, notices) = after_outage(scene, 200);
    assert_eq!(verdict, Verdict::Unknown, "{message}");
    let stop = "(donor) stopped running between 10:01:40 UTC and 10:03:20 UTC with 2,573 clients on it at 10:01:40 UTC";
    assert!(message.contains(stop), "{message}");
    assert!(message.contains("whether the rebalance had ended before is not known"), "{message}");
    assert!(notices.contains(stop), "{notices}");
    // It cannot have come to its end in 47 s.
    let (Judgement { verdict, message }, _) = after_outage(until_evicting(), 60);
    assert_eq!(verdict, Verdict::NodesLost, "{message}");
}

#[test]
fn a_donor_that_a_scale_down_removes_in_mid_run_is_lost_and_never_balanced() {
    let mut scene = until_evicting();
    // EMQX does not list a node that left the cluster; its clients reconnected to the others.
    for (at, load) in [
        (20, fixtures::load("evicting_conns")),
        (22, fixtures::load("evicting_conns")),
        (30, EvictionStatus::default()),
    ] {
        let mut nodes = fixtures::nodes(&[4400, 0, 2800, 2800]);
        nodes.remove(1);
        scene.world.apply(fixtures::answer(at, BrokerUpdate::Nodes(nodes)));
        scene.world.apply(fixtures::answer(at, BrokerUpdate::Evictions(load)));
        scene.look(at);
    }
    scene.asked(41, &[2500, 2500, 2500, 2500], EvictionStatus::default());
    assert_eq!(scene.verdict(), Some(Verdict::NodesLost));
}

#[test]
fn an_object_with_the_name_of_one_that_was_deleted_is_another_operation() {
    let mut scene = until_evicting();
    let again = |it: &mut Rebalance| {
        it.uid = "uid-2".into();
        (it.created, it.started) = (Some(fixtures::at(20)), None);
    };
    scene.object(20, Phase::Pending, again);
    scene.asked(21, &[3253, 3253, 3254, 240], fixtures::load("evicting_conns"));
    let runs: Vec<_> =
        scene.follower.runs.iter().map(|run| (run.name.as_str(), run.entry.is_some())).collect();
    assert_eq!(runs, [("r", true), ("r", false)]);
    assert_eq!(scene.follower.runs[0].object.as_ref().map(|it| it.uid.as_str()), Some("uid-r"));
    // EMQX still runs the first rebalance, whether or not the deletion of its object stops it.
    assert!(scene.follower.runs[1].verdict.is_none());
}

#[test]
fn a_core_that_takes_no_part_and_stops_is_no_loss_of_the_rebalance() {
    let mut scene = Scene::of(&[3333, 3333, 3334, 0, 0]);
    scene.object(2, Phase::Processing, |_| {});
    scene.asked(3, &[3333, 3333, 3334, 0, 0], fixtures::load("wait_health_check"));
    scene.asked(13, &[3323, 3323, 3324, 0, 0], fixtures::load("evicting_conns"));
    let mut nodes = fixtures::nodes(&[2553, 2553, 2554, 2340, 0]);
    nodes[4] = crate::model::Node { name: fixtures::core(4), stopped: true, ..crate::model::Node::default() };
    for (at, load) in [(91, fixtures::load("wait_takeover")), (101, EvictionStatus::default())] {
        scene.world.apply(fixtures::answer(at, BrokerUpdate::Nodes(nodes.clone())));
        scene.world.apply(fixtures::answer(at, BrokerUpdate::Evictions(load)));
        scene.look(at);
    }
    assert_eq!(scene.verdict(), Some(Verdict::Balanced));
}

#[test]
fn a_node_that_stops_after_the_end_is_no_loss_of_the_rebalance() {
    let mut scene = until_evicting();
    scene.asked(91, &END, fixtures::load("wait_takeover"));
    scene.asked(93, &END, EvictionStatus::default());
    scene.asked(96, &END, EvictionStatus::default());
    without_core_1(&mut scene, 100, &END, EvictionStatus::default());
    without_core_1(&mut scene, 104, &END, EvictionStatus::default());
    assert_ne!(scene.verdict(), Some(Verdict::NodesLost));
}

#[test]
fn what_runs_two_at_once_is_two_rebalances_each_with_its_own_end() {
    let mut scene = Scene::of(&START);
    let two = |first: bool, state: &str| {
        let mut load = fixtures::load(state);
        let mut other = load.rebalances[0].clone();
        (load.rebalances[0].donors, load.rebalances[0].recipients) =
            (vec![fixtures::core(0)], vec![fixtures::core(3)]);
        (other.coordinator, other.donors, other.recipients) =
            (fixtures::core(1), vec![fixtures::core(1)], vec![fixtures::core(2)]);
        load.rebalances.push(other);
        load.rebalances.retain(|entry| first || entry.coordinator == fixtures::core(1));
        load
    };
    scene.asked(3, &START, two(true, "wait_health_check"));
    scene.asked(4, &START, two(true, "evicting_conns"));
    scene.asked(5, &START, two(false, "evicting_conns"));
    scene.asked(16, &START, two(false, "evicting_conns"));
    scene.asked(20, &START, two(false, "evicting_conns"));
    let over: Vec<bool> = scene.follower.runs.iter().map(|run| run.verdict.is_some()).collect();
    assert_eq!(over, [true, false]);
}

#[test]
fn a_follower_reports_at_least_every_thirty_seconds_also_when_nothing_moves() {
    let mut scene = Scene::of(&START);
    scene.object(1, Phase::Pending, |it| it.created = Some(fixtures::at(1)));
    for second in 2..200 {
        scene.look(second);
    }
    let times: Vec<i64> =
        scene.events.iter().map(|event| event.time.as_second() - fixtures::at(0).as_second()).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 30) && times.last() >= Some(&170), "{times:?}");
    assert!(
        scene.messages(EventType::Progress).iter().any(|it| it.starts_with("waiting for the operator ("))
    );
    assert_eq!(scene.follower.running().map(RebalanceRun::standing), Some(Verdict::Waiting));
}

#[test]
fn an_outage_is_reported_from_when_to_when_and_nothing_is_concluded_from_it() {
    let mut scene = until_evicting();
    for second in 14..120 {
        scene.look(second);
    }
    scene.asked(120, &[3000, 3000, 3000, 1000], EvictionStatus::default());
    scene.asked(131, &[3000, 3000, 3000, 1000], EvictionStatus::default());
    let notices = scene.messages(EventType::Notice);
    assert!(notices[0].starts_with("EMQX has not answered since 10:00:13 UTC"), "{notices:?}");
    assert!(notices.iter().any(|it| it.contains("from 10:00:13 UTC to 10:02:00 UTC")), "{notices:?}");
    assert_eq!(scene.verdict(), Some(Verdict::Unknown), "how it ended was not seen");
}

#[test]
fn an_end_in_an_outage_has_bounds_and_no_duration() {
    let notices = |completed: Option<i64>| {
        let mut scene = until_evicting();
        for second in 14..240 {
            scene.look(second);
        }
        if let Some(completed) = completed {
            scene.object(110, Phase::Completed, |it| {
                (it.processed, it.completed) = (true, Some(fixtures::at(completed)));
            });
        }
        scene.asked(240, &END, EvictionStatus::default());
        scene.asked(251, &END, EvictionStatus::default());
        scene.asked(262, &END, EvictionStatus::default());
        let run = scene.follower.runs.last().expect("a run");
        let Judgement { verdict, message } = run.verdict.clone().expect("a verdict");
        assert_eq!((verdict, run.duration_seconds()), (Verdict::Balanced, None), "{message}");
        let id = fixtures::instance(ApiVersion::V2beta1).id;
        let entry = crate::plan::history::of_rebalance(
            run,
            &id,
            Judgement::new(verdict, &message),
            fixtures::at(262),
        );
        assert_eq!((entry.seconds(), entry.ended_after), (None, Some(fixtures::at(13))));
        let recorded =
            run.to_record(fixtures::at(262)).map(|(_, it)| (it.seconds(), it.ended_after, it.ended));
        (message, recorded)
    };
    let (message, recorded) = notices(None);
    assert!(message.ends_with("none missing, ended between 10:00:13 UTC and 10:04:00 UTC"), "{message}");
    assert_eq!(recorded, Some((None, Some(fixtures::at(13)), fixtures::at(240))));
    // The operator saw the end earlier.
    let (message, _) = notices(Some(108));
    assert!(message.ends_with("ended between 10:00:13 UTC and 10:01:48 UTC"), "{message}");
}

#[test]
fn an_end_is_not_judged_by_counts_from_before_emqx_stopped_listing_its_nodes() {
    let mut scene = until_evicting();
    scene.asked(50, &[2953, 2953, 2954, 1140], fixtures::load("evicting_conns"));
    for second in 51..140 {
        let load = match second {
            51..=91 => fixtures::load("evicting_conns"),
            92..=101 => fixtures::load("wait_takeover"),
            _ => EvictionStatus::default(),
        };
        scene.world.apply(fixtures::answer(second, BrokerUpdate::Evictions(load)));
        scene.look(second);
    }
    let verdict = scene.verdict();
    assert!(matches!(verdict, None | Some(Verdict::Unknown)), "{verdict:?}");
    scene.asked(140, &END, EvictionStatus::default());
    scene.asked(151, &END, EvictionStatus::default());
    assert!(matches!(scene.verdict(), Some(Verdict::Unknown | Verdict::Balanced)), "{:?}", scene.verdict());
}

#[test]
fn a_follower_that_ends_while_emqx_does_not_answer_does_not_report_it_as_running() {
    let mut scene = until_evicting();
    let end = |scene: &Scene, at: i64| scene.follower.clone().finish(&scene.world, fixtures::at(at));
    scene.look(20);
    assert_eq!(end(&scene, 20)[0].verdict, Some(Verdict::Running), "a few seconds are no outage");
    for second in 21..60 {
        scene.look(second);
    }
    let last = end(&scene, 59);
    assert_eq!((last[0].verdict, last[0].percent, last[0].eta_seconds), (Some(Verdict::Unknown), None, None));
    let message = last[0].reason.as_deref().unwrap_or_default();
    assert!(message.contains("has not answered since 10:00:13 UTC, for 46 s"), "{message}");
    assert!(message.contains("was in evicting_conns"), "{message}");
    scene.asked(60, &[3000, 3000, 3000, 1000], fixtures::load("evicting_conns"));
    assert_eq!(end(&scene, 60)[0].verdict, Some(Verdict::Running), "EMQX answers again");
}

#[test]
fn an_instance_that_is_deleted_in_mid_run_ends_it_at_once_without_counts() {
    let mut scene = until_evicting();
    let instance = fixtures::instance(ApiVersion::V2beta1);
    scene.world.apply(fixtures::fact(15, Update::Deleted(Object::Instance(Box::new(instance)))));
    scene.look(15);
    assert_eq!(scene.verdict(), Some(Verdict::Failed));
    let last = scene.events.last().expect("a verdict");
    assert!(
        last.message.contains("the instance was deleted") && last.percent.is_none() && last.nodes.is_empty()
    );
}

#[test]
fn an_object_of_ours_that_no_list_shows_is_followed_by_what_emqx_lists() {
    let mut scene = Scene::of(&START);
    let Update::Upserted(Object::Rebalance(object)) = fixtures::rebalance("r", Phase::Pending, |_| {}).update
    else {
        panic!("a Rebalance")
    };
    scene.follower.created(*object);
    scene.look(1);
    scene.asked(3, &START, fixtures::load("wait_health_check"));
    scene.asked(13, &[3323, 3323, 3324, 0], fixtures::load("evicting_conns"));
    scene.asked(91, &END, fixtures::load("wait_takeover"));
    scene.asked(101, &END, EvictionStatus::default());
    assert_eq!(scene.follower.runs.len(), 1);
    assert_eq!((scene.verdict(), scene.follower.runs[0].name.as_str()), (Some(Verdict::Balanced), "r"));
}

#[test]
fn an_object_whose_status_comes_late_or_never_owns_the_entry_of_its_plan_also_in_a_replay() {
    let begun = |plan: Option<String>| {
        let mut scene = Scene::of(&START);
        scene.object(1, Phase::Pending, |it| it.plan = plan);
        for second in 2..13 {
            scene.asked(second, &START, fixtures::load("wait_health_check"));
        }
        scene
    };
    // The operator never writes a status.
    let mut scene = begun(Some(record()));
    scene.asked(30, &[3323, 3323, 3324, 0], fixtures::load("evicting_conns"));
    scene.asked(91, &END, fixtures::load("wait_takeover"));
    scene.asked(101, &END, EvictionStatus::default());
    assert_eq!(scene.follower.runs.len(), 1, "{:?}", scene.messages(EventType::Created));
    assert_eq!((scene.verdict(), scene.follower.runs[0].name.as_str()), (Some(Verdict::Balanced), "r"));
    // The operator writes the status late, and the object has no plan.
    let mut scene = begun(None);
    assert_eq!(scene.follower.runs.len(), 2);
    scene.object(20, Phase::Processing, |_| {});
    assert_eq!(scene.follower.runs.len(), 1);
    scene.asked(30, &[3323, 3323, 3324, 0], fixtures::load("evicting_conns"));
    scene.asked(91, &END, fixtures::load("wait_takeover"));
    scene.asked(101, &END, EvictionStatus::default());
    assert_eq!((scene.verdict(), scene.follower.runs[0].name.as_str()), (Some(Verdict::Balanced), "r"));
}

#[test]
fn a_direct_run_is_never_credited_to_an_old_object() {
    let mut scene = Scene::of(&START);
    scene.object(1, Phase::Failed, |it| it.processed = true);
    scene.follower.asked(format!("coordinator/{}", fixtures::core(0)), fixtures::strategy());
    scene.look(2);
    scene.asked(3, &START, fixtures::load("wait_health_check"));
    let run = scene.follower.runs.iter().find(|run| run.entry.is_some()).expect("it runs");
    assert!(run.name.starts_with("coordinator/") && run.object.is_none() && run.entry.is_some());
}

#[test]
fn percent_does_not_move_while_no_client_moves() {
    let mut scene = until_evicting();
    scene.asked(20, &[3263, 3263, 3264, 180], fixtures::load("evicting_conns"));
    let before = scene.follower.running().map(|run| run.percent);
    for second in 21..60 {
        scene.asked(second, &[3263, 3263, 3264, 180], fixtures::load("evicting_conns"));
    }
    assert_eq!(scene.follower.running().map(|run| run.percent), before);
}

#[test]
fn an_object_that_waits_for_an_operator_is_waiting_also_when_the_recording_ends() {
    for answered in [true, false] {
        let mut scene = Scene {
            world: World::new(),
            follower: RebalanceTracker::new(fixtures::id(ApiVersion::V2)),
            events: Vec::new(),
        };
        if answered {
            scene.asked(0, &START, EvictionStatus::default());
        }
        scene.look(0);
        scene.object(1, Phase::Pending, |it| it.created = Some(fixtures::at(1)));
        scene.look(60);
        let last = scene.follower.finish(&scene.world, fixtures::at(60));
        let last = last.last().expect("a last event");
        assert_eq!(last.verdict, Some(Verdict::Waiting), "{}", last.message);
        assert!(last.message.contains("waiting for the operator (59s)"), "{}", last.message);
    }
}

#[test]
fn one_answer_with_an_earlier_stage_is_not_another_rebalance_and_two_are() {
    let mut scene = until_evicting();
    scene.asked(20, &[3263, 3263, 3264, 180], fixtures::load("wait_health_check"));
    // The same answer may be read twice.
    scene.look(20);
    scene.asked(21, &[3253, 3253, 3254, 210], fixtures::load("evicting_conns"));
    assert_eq!((scene.follower.runs.len(), scene.verdict()), (1, None));
    scene.asked(22, &[3253, 3253, 3254, 240], fixtures::load("wait_health_check"));
    scene.asked(23, &[3253, 3253, 3254, 240], fixtures::load("wait_health_check"));
    assert_eq!(scene.follower.runs.len(), 2);
    scene.look(40);
    assert_eq!(scene.follower.runs[0].ended, Some(fixtures::at(22)));
    assert!(scene.follower.runs[1].verdict.is_none() && scene.follower.runs[1].entry.is_some());
}

#[test]
fn after_an_outage_of_more_than_ten_minutes_the_same_rebalance_is_followed_further() {
    let mut scene = until_evicting();
    for second in 14..700 {
        scene.look(second);
    }
    assert_eq!(scene.verdict(), Some(Verdict::Unknown));
    scene.asked(700, &[2563, 2563, 2564, 2310], fixtures::load("evicting_conns"));
    assert_eq!((scene.follower.runs.len(), scene.verdict()), (1, None));
    assert!(scene.messages(EventType::Notice).iter().any(|it| it.starts_with("EMQX answers again")));
}

#[test]
fn one_that_was_not_seen_for_as_long_as_its_rest_was_to_take_may_have_come_to_its_end() {
    let ended_at = |at: i64| {
        let mut scene = until_evicting();
        scene.asked(85, &[2573, 2573, 2574, 2250], fixtures::load("evicting_conns"));
        // Other clients connected to the donors in the meantime.
        scene.asked(at, &[2900, 2900, 2900, 2250], EvictionStatus::default());
        scene.asked(at + 11, &[2900, 2900, 2900, 2250], EvictionStatus::default());
        scene.look(at + 40);
        scene.follower.runs[0].verdict.clone().expect("it is over")
    };
    assert_eq!(ended_at(90).verdict, Verdict::CoordinatorLost);
    let Judgement { verdict, message } = ended_at(100);
    assert_eq!(verdict, Verdict::Uneven, "{message}");
    assert!(message.contains("not seen from 10:01:25 UTC to 10:01:40 UTC"), "{message}");
}

#[test]
fn one_that_another_client_started_in_emqx_has_its_latest_end_its_goal_and_a_percentage() {
    let joined = |began: Option<u64>| {
        let mut scene = Scene {
            world: World::new(),
            follower: RebalanceTracker::new(fixtures::id(ApiVersion::V2)),
            events: Vec::new(),
        };
        let instance = Object::Instance(Box::new(fixtures::instance(ApiVersion::V2beta1)));
        scene.world.apply(fixtures::fact(0, Update::Upserted(instance)));
        scene
            .world
            .apply(fixtures::answer(50, BrokerUpdate::Nodes(fixtures::nodes(&[2953, 2953, 2954, 1140]))));
        scene.world.apply(fixtures::answer(50, BrokerUpdate::Evictions(fixtures::load("evicting_conns"))));
        if let Some(connections) = began {
            scene.world.apply(fixtures::answer(
                50,
                BrokerUpdate::Began(DonorStart {
                    donor: fixtures::core(1),
                    coordinator: fixtures::core(0),
                    connections,
                    sessions: Some(connections),
                }),
            ));
        }
        scene.look(50);
        scene
    };
    let mut scene = joined(Some(3333));
    let run = scene.follower.runs.first().expect("it runs");
    // 46 rounds until 2,493.33 <= 2,520, and EMQX's own wait for takeovers; 84 rounds and both waits from the start.
    assert_eq!(run.left.map(|left| left.seconds), Some(46 + 60));
    assert_eq!(run.work_percent(), Some(48));
    assert_eq!(crate::plan::rebalance::goal::goals(run).map(|goals| goals.recipients), Some(2520.0));
    assert!(scene.messages(EventType::Phase)[0].contains("at most 46 rounds to go"), "{:?}", scene.events);
    // No verdict uses the assumed thresholds: EMQX's own thresholds ended the rebalance earlier.
    scene.asked(58, &END, fixtures::load("wait_takeover"));
    scene.asked(70, &END, EvictionStatus::default());
    scene.asked(81, &END, EvictionStatus::default());
    scene.look(120);
    assert_eq!(scene.verdict(), Some(Verdict::Balanced), "{:?}", scene.events.last());
}

/// A rebalance that another client started in EMQX, seen now for the first time; no donor reports its start.
fn foreign(counts: &[u64; 4], state: &str) -> Scene {
    let mut scene = Scene {
        world: World::new(),
        follower: RebalanceTracker::new(fixtures::id(ApiVersion::V2)),
        events: Vec::new(),
    };
    let instance = Object::Instance(Box::new(fixtures::instance(ApiVersion::V2beta1)));
    scene.world.apply(fixtures::fact(0, Update::Upserted(instance)));
    scene.asked(50, counts, fixtures::load(state));
    scene
}

#[test]
fn the_work_of_a_joined_rebalance_without_a_reported_start_is_bounded_by_what_recipients_hold() {
    let mut scene = foreign(&[2953, 2953, 2954, 1140], "evicting_conns");
    let run = scene.follower.runs.first().expect("it runs");
    assert_eq!((run.left.map(|left| left.seconds), run.work_percent()), (Some(106), Some(48)));
    assert!(run.percent_is_bound());
    let notices = messages::assumption(run).expect("it is an assumption");
    assert!(
        notices.contains("goal at most 2,520 clients") && notices.contains("at most 48 % is done"),
        "{notices}"
    );
    // The percentage does not change while nothing moves, and follows the work when clients move.
    scene.asked(60, &[2953, 2953, 2954, 1140], fixtures::load("evicting_conns"));
    assert_eq!(scene.follower.runs[0].work_percent(), Some(48));
    scene.asked(80, &[2653, 2653, 2654, 2040], fixtures::load("evicting_conns"));
    assert_eq!(scene.follower.runs[0].work_percent(), Some(62));
    let progress = scene.messages(EventType::Progress);
    assert!(progress.last().is_some_and(|it| it.starts_with("at most 62 %")), "{progress:?}");
}

#[test]
fn what_emqx_lists_in_its_first_answer_was_under_way_before() {
    let mut scene = Scene {
        world: World::new(),
        follower: RebalanceTracker::new(fixtures::id(ApiVersion::V2)),
        events: Vec::new(),
    };
    // The list of nodes arrives first, and is observed before it is known what EMQX runs.
    scene.world.apply(fixtures::answer(50, BrokerUpdate::Nodes(fixtures::nodes(&[2953, 2953, 2954, 1140]))));
    scene.look(50);
    scene.asked(51, &[2943, 2943, 2944, 1170], fixtures::load("evicting_conns"));
    assert!(scene.follower.runs[0].counted_since.is_some(), "{:?}", scene.events);
    assert!(scene.messages(EventType::Created).is_empty(), "{:?}", scene.events);
    // The first observed counts are not those of the start: that they have not changed since is no evidence.
    scene.asked(52, &[2943, 2943, 2944, 1170], EvictionStatus::default());
    scene.asked(64, &[2943, 2943, 2944, 1170], EvictionStatus::default());
    scene.look(100);
    assert_eq!(scene.verdict(), Some(Verdict::Unknown), "{:?}", scene.events.last());
}

#[test]
fn what_emqx_lists_after_an_outage_may_have_begun_in_it() {
    let mut scene = Scene::of(&START);
    scene.asked(10, &START, EvictionStatus::default());
    scene
        .world
        .apply(fixtures::answer(20, BrokerUpdate::Link("nodes", Link::Unreachable("no answer".to_owned()))));
    scene.look(20);
    scene.asked(300, &[2943, 2943, 2944, 1170], fixtures::load("evicting_conns"));
    assert_eq!(scene.follower.runs[0].counted_since, Some(fixtures::at(300)));
}

#[test]
fn a_joined_rebalance_has_percent_end_and_goal_in_every_stage() {
    for (state, counts) in [
        ("wait_health_check", [3333, 3333, 3334, 0]),
        ("evicting_conns", [2953, 2953, 2954, 1140]),
        ("wait_takeover", [2553, 2553, 2554, 2340]),
        ("evicting_sessions", [2553, 2553, 2554, 2340]),
    ] {
        let scene = foreign(&counts, state);
        let run = scene.follower.runs.first().expect("it runs");
        assert!(run.left.is_some(), "{state}");
        assert!(run.work_percent().is_some_and(|percent| percent < 100), "{state}");
        assert!(crate::plan::rebalance::goal::goals(run).is_some(), "{state}");
        assert_eq!(run.percent_is_bound(), state != "wait_health_check", "{state}");
    }
    // EMQX evicts nothing during the first wait: the observed counts are those of the start.
    let mut scene = foreign(&[3333, 3333, 3334, 0], "wait_health_check");
    assert_eq!(scene.follower.runs[0].work_percent(), Some(0));
    scene.asked(80, &[3333, 3333, 3334, 0], fixtures::load("wait_health_check"));
    // 30 of at most 60 s have passed; a wait of unknown length counts as work only when it is over.
    assert_eq!(scene.follower.runs[0].left.map(|left| left.seconds), Some(30 + 84 + 60));
    assert_eq!(scene.follower.runs[0].work_percent(), Some(0));
    scene.asked(81, &[3323, 3323, 3324, 0], fixtures::load("evicting_conns"));
    assert_eq!(scene.follower.runs[0].work_percent(), Some(29));
}

#[test]
fn an_object_whose_age_the_clock_of_the_api_server_gives_wrong_is_joined_when_the_operator_copies_the_next_stage()
 {
    let mut scene = Scene::of(&START);
    // By the clock of the API server the object began an hour ago, and its entry waits for 10 s at most.
    let old = |it: &mut Rebalance, stage: &str| {
        (it.created, it.started) = (Some(fixtures::at(-3600)), Some(fixtures::at(-3600)));
        it.states = fixtures::load(stage).rebalances;
    };
    scene.object(1, Phase::Processing, |it| old(it, "wait_health_check"));
    scene.asked(2, &START, fixtures::load("wait_health_check"));
    scene.asked(13, &[3323, 3323, 3324, 0], fixtures::load("evicting_conns"));
    scene.object(14, Phase::Processing, |it| old(it, "evicting_conns"));
    scene.asked(91, &END, fixtures::load("wait_takeover"));
    scene.asked(101, &END, EvictionStatus::default());
    scene.asked(112, &END, EvictionStatus::default());
    let run = scene.follower.runs.last().expect("a run");
    assert_eq!((scene.follower.runs.len(), run.name.as_str()), (1, "r"));
    let Judgement { verdict, message } = run.verdict.clone().expect("a verdict");
    assert_eq!(verdict, Verdict::Balanced, "{message}");
    assert_eq!(run.duration_seconds(), Some(99), "since EMQX listed it: {message}");
}

#[test]
fn a_rebalance_that_a_late_operator_starts_has_the_duration_and_the_counts_of_its_own_start() {
    let notices = |answers: bool| {
        let mut scene = Scene::of(&START);
        scene.object(1, Phase::Pending, |_| {});
        // A fifth of the clients leaves before the operator begins.
        let fewer = START.map(|count| count * 4 / 5);
        for second in 2..100 {
            if answers {
                scene.asked(second, &fewer, EvictionStatus::default());
            } else {
                scene.look(second);
            }
        }
        scene.object(100, Phase::Processing, |it| it.started = Some(fixtures::at(100)));
        if answers {
            scene.asked(101, &fewer, fixtures::load("wait_health_check"));
        }
        scene.asked(112, &fewer, fixtures::load("evicting_conns"));
        let end = [2003, 2003, 2004, 1989];
        scene.asked(168, &end, fixtures::load("wait_takeover"));
        for second in [178, 189, 220] {
            scene.asked(second, &end, EvictionStatus::default());
        }
        let run = scene.follower.runs.last().expect("a run");
        (run.verdict.clone().map(|judgement| judgement.verdict), run.duration_seconds())
    };
    assert_eq!(notices(true), (Some(Verdict::Balanced), Some(77)));
    // EMQX did not answer until it ran: the object gives its start, and nothing gives the counts.
    assert_eq!(notices(false), (Some(Verdict::Balanced), Some(78)));
}

#[test]
fn clients_that_left_before_a_late_start_are_not_missing_although_emqx_reported_no_counts_at_that_start() {
    let mut scene = Scene::of(&START);
    scene.object(1, Phase::Pending, |_| {});
    let listed = |scene: &mut Scene, at: i64, load: EvictionStatus| {
        scene.world.apply(fixtures::answer(at, BrokerUpdate::Evictions(load)));
        scene.look(at);
    };
    for second in 2..100 {
        listed(&mut scene, second, EvictionStatus::default());
    }
    scene.object(100, Phase::Processing, |it| it.started = Some(fixtures::at(100)));
    listed(&mut scene, 101, fixtures::load("wait_health_check"));
    listed(&mut scene, 112, fixtures::load("evicting_conns"));
    assert_eq!(scene.follower.runs[0].start, None, "the counts of second 0 are not those of the start");
    // A fifth of the clients left before the operator began.
    scene.asked(113, &[2656, 2656, 2657, 30], fixtures::load("evicting_conns"));
    assert_eq!(scene.follower.runs[0].counted_since, Some(fixtures::at(113)));
    let end = [2003, 2003, 2004, 1989];
    scene.asked(168, &end, fixtures::load("wait_takeover"));
    for second in [178, 189, 220] {
        scene.asked(second, &end, EvictionStatus::default());
    }
    assert_eq!(scene.verdict(), Some(Verdict::Balanced), "{:?}", scene.events.last());
}

#[test]
fn a_watcher_that_joins_does_not_use_the_counts_of_a_plan_that_was_made_long_before_the_start() {
    let of = |started: i64| {
        let mut scene = Scene {
            world: World::new(),
            follower: RebalanceTracker::new(fixtures::id(ApiVersion::V2)),
            events: Vec::new(),
        };
        let plan = record();
        scene.world.apply(fixtures::rebalance("r", Phase::Processing, |it| {
            it.plan = Some(plan);
            it.started = Some(fixtures::at(started));
        }));
        scene.asked(150, &[2953, 2953, 2954, 1110], fixtures::load("evicting_conns"));
        scene.follower.runs[0].counted_since
    };
    assert_eq!(of(1), None);
    assert_eq!(of(100), Some(fixtures::at(150)));
}

#[test]
fn a_rebalance_that_began_while_the_machine_slept_has_the_duration_since_its_start() {
    let duration = |started: Option<i64>| {
        let mut scene = Scene::of(&START);
        scene.object(1, Phase::Pending, |_| {});
        // The machine sleeps from second 1 to second 31.
        scene.world.apply(fixtures::rebalance("r", Phase::Processing, |it| {
            (it.created, it.started) = (Some(fixtures::at(1)), started.map(fixtures::at));
        }));
        scene.asked(31, &[2953, 2953, 2954, 1110], fixtures::load("evicting_conns"));
        scene.asked(91, &END, fixtures::load("wait_takeover"));
        for second in [101, 112] {
            scene.asked(second, &END, EvictionStatus::default());
        }
        assert_eq!(scene.verdict(), Some(Verdict::Balanced), "{:?}", scene.events.last());
        scene.follower.runs[0].duration_seconds()
    };
    assert_eq!(duration(Some(1)), Some(100));
    // Without the start that the operator reports it is not known.
    assert_eq!(duration(None), None);
}

#[test]
fn a_rebalance_that_was_over_before_it_was_followed_is_recorded_without_a_duration() {
    let plan = record();
    let mut scene = Scene {
        world: World::new(),
        follower: RebalanceTracker::new(fixtures::id(ApiVersion::V2)).wanting("r"),
        events: Vec::new(),
    };
    scene.world.apply(fixtures::rebalance("r", Phase::Completed, |it| {
        (it.processed, it.plan) = (true, Some(plan));
        it.completed = Some(fixtures::at(100));
    }));
    for second in [160, 172, 184] {
        scene.asked(second, &END, EvictionStatus::default());
    }
    let run = scene.follower.runs.last().expect("a run");
    let (_, recorded) = run.to_record(fixtures::at(184)).expect("a verdict to record");
    assert_eq!(recorded.verdict, Verdict::Balanced, "{}", recorded.message);
    let (after, ended) = (Some(fixtures::at(0)), fixtures::at(100));
    assert_eq!((recorded.ended_after, recorded.ended, recorded.seconds()), (after, ended, None));
}

#[test]
fn who_follows_an_entry_follows_it_further_when_its_object_is_seen() {
    let mut scene = Scene::of(&START);
    // Objects cannot be listed, and the first version that is seen has no status.
    scene.asked(2, &START, fixtures::load("wait_health_check"));
    let key = scene.follower.runs[0].key();
    assert!(key.0.starts_with("coordinator/"), "{key:?}");
    scene.object(14, Phase::Pending, |it| it.created = Some(fixtures::at(1)));
    scene.object(15, Phase::Processing, |it| {
        (it.created, it.started) = (Some(fixtures::at(1)), Some(fixtures::at(1)));
        it.states = fixtures::load("wait_health_check").rebalances;
    });
    assert_eq!(scene.follower.runs.len(), 1, "{:?}", scene.follower.runs);
    assert_eq!(scene.follower.keyed(&key).map(|run| run.name.as_str()), Some("r"));
}
