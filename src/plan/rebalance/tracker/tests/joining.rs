//! A tracker that joins a rebalance in progress.

use super::*;

#[test]
fn who_comes_in_the_last_moment_of_the_wait_does_not_take_evicted_clients_for_the_start() {
    let mut scene = Scene::empty();
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
fn one_that_was_under_way_when_we_came_is_judged_by_what_was_written_down() {
    let record = record();
    let mut scene = Scene::empty();
    scene.world.apply(fixtures::rebalance("r", Phase::Processing, |it| it.plan = Some(record)));
    scene.asked(50, &[2953, 2953, 2954, 1110], fixtures::load("evicting_conns"));
    assert_eq!(scene.follower.runs.len(), 1);
    let run = &scene.follower.runs[0];
    assert_eq!((run.name.as_str(), run.landing_ratio().map(|it| (it * 100.0).round())), ("r", Some(97.0)));
    assert!(run.percent > 40, "{}", run.percent);
}

#[test]
fn who_comes_late_to_the_object_of_another_client_counts_from_then_on() {
    let mut scene = Scene::empty();
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
    let mut scene = Scene::empty();
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
fn one_that_another_client_started_in_emqx_has_its_latest_end_its_goal_and_a_percentage() {
    let joined = |began: Option<u64>| {
        let mut scene = Scene::empty();
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
    let mut scene = Scene::empty();
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
    let mut scene = Scene::empty();
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
fn a_watcher_that_joins_does_not_use_the_counts_of_a_plan_that_was_made_long_before_the_start() {
    let of = |started: i64| {
        let mut scene = Scene::empty();
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
