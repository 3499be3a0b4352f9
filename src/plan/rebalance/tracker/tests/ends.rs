//! How a rebalance ends: completed, lost, stopped, refused, stalled.

use super::*;

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
fn a_refused_start_on_a_balanced_cluster_is_nothing_to_do() {
    let mut scene = Scene::of(&[3340, 3330, 3330]);
    scene.object(1, Phase::Pending, |_| {});
    scene.object(1, Phase::Failed, |it| {
        it.failure = Some("Failed to start rebalance: request api failed: 400 Bad Request".into());
    });
    assert_eq!(scene.verdict(), Some(Verdict::NothingToDo));
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
fn past_objects_are_left_alone() {
    let mut scene = Scene::empty();
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
fn a_stop_is_recognised_although_emqx_did_not_answer_for_a_while() {
    let mut scene = until_evicting();
    scene.object(15, Phase::Processing, |it| it.deleting = Some(fixtures::at(15)));
    scene.asked(40, &[3323, 3323, 3324, 30], EvictionStatus::default());
    scene.look(44);
    assert_eq!(scene.verdict(), Some(Verdict::Stopped));
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
