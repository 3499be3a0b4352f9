//! Changes that are requested by keys: planned, refused, confirmed.

use kubectl_emqx::tui::{ActionResult, Done, Effect, Msg, ViewSetup};

use super::make::{Bench, core, documented, id, node, nothing, setup};
use super::situations::{SIZES, UNEVEN, idle, running};

#[test]
fn the_plan_follows_the_keys_and_is_applied_after_a_typed_word() {
    let mut bench = idle();
    bench.keys("p");
    assert!(matches!(bench.effects.as_slice(), [Effect::Allowed(of)] if *of == id()));
    bench.send(Msg::Done(Done::Allowed(id(), Some(true))));
    for (width, height) in SIZES {
        insta::assert_snapshot!(format!("plan_{width}x{height}"), bench.screen(width, height));
    }
    bench.types("200").keys("Enter");
    let screen = bench.screen(80, 24);
    assert!(screen.contains("4 rounds"), "{screen}");
    bench.keys("Left Left Left Left");
    assert!(bench.screen(80, 24).contains("78 rounds"), "{}", bench.screen(80, 24));
    bench.keys("a");
    insta::assert_snapshot!("plan_asks", bench.screen(80, 24));
    bench.types("emq").keys("Enter");
    assert!(
        !bench.effects.iter().any(|effect| matches!(effect, Effect::Apply(..))),
        "half a word is no word"
    );
    bench.types("x").keys("Enter");
    let applied = bench.effects.iter().find_map(|effect| match effect {
        Effect::Apply(of, strategy, _) => Some((of.clone(), strategy.conn_evict_rate)),
        _ => None,
    });
    assert_eq!(applied, Some((id(), 10)));
    assert!(bench.screen(80, 24).contains("creating the rebalance"));
    let acted = ActionResult { name: Some("rebalance.apps.emqx.io/evening".into()), notices: Vec::new() };
    bench.send(Msg::Done(Done::Applied(Ok(acted))));
    assert!(bench.screen(80, 24).contains("created rebalance.apps.emqx.io/evening"));
}

#[test]
fn every_finding_of_a_plan_can_be_read_to_its_end() {
    for (width, height) in SIZES {
        let mut bench = idle();
        bench.keys("p Tab");
        let Some(Ok((plan, ..))) = &bench.state.forecast else { panic!("a plan") };
        let findings = plan.findings.clone();
        assert!(findings.len() > 1, "{findings:?}");
        let mut read = String::new();
        for _ in &findings {
            let screen = bench.screen(width, height);
            read.extend(screen.lines().flat_map(|line| [line.trim(), " "]));
            bench.keys("j");
        }
        for finding in &findings {
            assert!(read.contains(&finding.message), "{width}x{height}: {} in {read}", finding.message);
            assert!(finding.hint.as_ref().is_none_or(|hint| read.contains(hint)), "{width}x{height}: {read}");
        }
        // No value changes in the meantime; and back.
        bench.types("9").keys("l Enter Esc");
        assert!(
            bench.screen(width, height).contains("PLAN") && bench.state.form.strategy == setup().strategy
        );
    }
}

#[test]
fn a_refusal_is_reported_with_its_reason() {
    let mut bench = Bench::of(setup(), documented(0, &[2500, 2500, 2500, 2500], &nothing()));
    bench.keys("p a");
    let screen = bench.screen(80, 24);
    assert!(screen.contains("nothing to do"), "{screen}");
    let problem =
        kubectl_emqx::error::Problem::refused("will not rebalance EMQX mq/emqx", "one already runs")
            .hint("kubectl emqx rebalance watch");
    bench.send(Msg::Done(Done::Applied(Err(problem))));
    bench.keys("Esc");
    let screen = bench.screen(80, 24);
    assert!(
        screen.contains("one already runs") && screen.contains("hint: kubectl emqx rebalance watch"),
        "{screen}"
    );
}

#[test]
fn stopping_asks_for_the_name_and_read_only_does_not_even_ask() {
    let mut bench = running();
    bench.keys("x");
    insta::assert_snapshot!("stop_asks", bench.screen(80, 24));
    bench.keys("Esc");
    assert!(bench.effects.is_empty() && bench.screen(80, 24).contains("nothing was changed"));
    bench.keys("x").types("emqx").keys("Enter");
    let stops = format!("coordinator/{}", node(&core(0)));
    assert_eq!(bench.effects, [Effect::Stop(id(), stops.clone())]);
    let acted = ActionResult {
        name: Some(stops.clone()),
        notices: vec!["EMQX's global_status lists no rebalance".into()],
    };
    bench.send(Msg::Done(Done::Stopped(stops, Ok(acted))));
    assert!(bench.screen(80, 24).contains("global_status lists no rebalance"));

    let mut bench = Bench::of(ViewSetup { read_only: true, ..setup() }, documented(0, &UNEVEN, &nothing()));
    bench.keys("p a x");
    assert!(bench.state.overlay.is_none());
    assert!(bench.screen(80, 24).contains("--read-only"), "{}", bench.screen(80, 24));
    assert!(bench.effects.iter().all(|effect| matches!(effect, Effect::Allowed(_))));
}
