//! Nothing is concluded from an EMQX that does not answer.

use super::*;

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
    let mut scene = Scene::empty();
    scene.look(0);
    scene.object(1, Phase::Processing, |_| {});
    scene.object(40, Phase::Completed, |it| it.processed = true);
    assert_eq!(scene.verdict(), None);
    scene.look(80);
    assert_eq!(scene.verdict(), Some(Verdict::Unknown));
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
