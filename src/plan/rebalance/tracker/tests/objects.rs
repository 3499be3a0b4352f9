//! Which object belongs to which of EMQX's entries.

use super::*;

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
fn an_entry_of_another_client_is_reported_after_a_while_although_an_object_waits() {
    let mut scene = Scene::of(&START);
    scene.object(1, Phase::Pending, |_| {});
    for second in 2..20 {
        scene.asked(second, &START, fixtures::load("wait_health_check"));
    }
    assert_eq!(scene.follower.runs.len(), 2);
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
fn the_order_of_donors_means_nothing() {
    let mut scene = until_evicting();
    let mut turned = fixtures::load("evicting_conns");
    turned.rebalances[0].donors.reverse();
    scene.asked(20, &[3263, 3263, 3264, 200], turned);
    assert_eq!((scene.follower.runs.len(), scene.verdict()), (1, None));
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
