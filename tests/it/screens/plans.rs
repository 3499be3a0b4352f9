//! What is planned, asked and applied from the view, and what is not finished.

use kubectl_emqx::error::Problem;
use kubectl_emqx::model::upgrade::Way;
use kubectl_emqx::model::{NodeName, Strategy};
use kubectl_emqx::plan::finding::{Decision, Finding};
use kubectl_emqx::plan::upgrade::forecast::UpgradePlan;
use kubectl_emqx::tui::{ActionResult, Done, Effect, Msg, ViewSetup};
use serde_json::{Value, json};

use crate::screens::make::{Bench, core, documented, emqx, evacuation, id, kubernetes, node, nothing, setup};
use crate::screens::situations::{SIZES, UNEVEN, idle};

#[test]
fn the_plan_begins_with_what_is_required_and_m_shows_every_setting() {
    let mut bench =
        Bench::of(ViewSetup { strategy: Strategy::default(), ..setup() }, documented(0, &UNEVEN, &nothing()));
    bench.tick(3);
    bench.keys("p");
    bench.send(Msg::Done(Done::Allowed(id(), Some(true))));
    for (width, height) in SIZES {
        let screen = bench.screen(width, height);
        for text in [
            "would end even",
            "every node within",
            "◂ 5 % ▸",
            "30 min",
            "/s per donor",
            "threshold 169",
            "3 donors",
        ] {
            assert!(screen.contains(text), "{text}\n{screen}");
        }
        insta::assert_snapshot!(format!("required_{width}x{height}"), screen);
    }
    // A deadline that cannot be met is a finding; the values stay visible.
    bench.keys("j").types("2").keys("Enter");
    let screen = bench.screen(80, 24);
    assert!(screen.contains("it takes 2m50s, 50s longer than --deadline 2m"), "{screen}");
    assert!(screen.contains("in at most"), "{screen}");
    bench.types("0").keys("Enter");
    let screen = bench.screen(80, 24);
    assert!(screen.contains("0 is refused: at least 1 is needed") && screen.contains("2 min"), "{screen}");
    bench.types("15").keys("Enter");
    let screen = bench.screen(80, 24);
    assert!(screen.contains("would end even") && screen.contains("15 min"), "{screen}");
    bench.keys("Enter");
    assert!(bench.screen(80, 24).contains("core-…f5c8-3"), "Enter shows each node");
    bench.keys("m");
    let screen = bench.screen(80, 24);
    // The settings are those of the shown plan, which must end within 15 minutes.
    assert!(screen.contains("◂ 2 ▸") && screen.contains("or within a factor of"), "{screen}");
}

#[test]
fn a_plan_that_ends_outside_its_thresholds_does_not_look_well() {
    let mut bench = idle();
    bench.keys("p");
    // Every donor loses all of its clients in one round.
    bench.types("5000").keys("Enter");
    let screen = bench.screen(120, 40);
    assert!(screen.contains("OVERSHOT") || screen.contains("refused"), "{screen}");
    assert!(!screen.contains("would end even"), "{screen}");
}

#[test]
fn a_node_is_evacuated_after_the_typed_name_and_its_evacuation_ends_after_enter() {
    for (width, height) in SIZES {
        let mut bench = idle();
        bench.keys("j e");
        let screen = bench.screen(width, height);
        for text in
            ["EVACUATE A NODE", "prod-eu", "3,333 clients", "kubectl emqx evacuate start", "Type emqx"]
        {
            assert!(screen.contains(text), "{text}\n{screen}");
        }
        insta::assert_snapshot!(format!("evacuate_asks_{width}x{height}"), screen);
        bench.keys("Enter");
        assert!(!bench.effects.iter().any(|it| matches!(it, Effect::Evacuate(..))), "the name was not typed");
        bench.types("emqx").keys("Enter");
        let node = NodeName::from(node(&core(1)).as_str());
        assert!(bench.effects.contains(&Effect::Evacuate(id(), node)));
        let acted = ActionResult { name: None, notices: Vec::new() };
        bench.send(Msg::Done(Done::Acted("the evacuation has started".into(), Ok(acted))));
        assert!(bench.screen(width, height).contains("the evacuation has started"));
    }
    let mut bench =
        Bench::of(setup(), documented(0, &UNEVEN, &evacuation(&core(2), "evicting_conns", 1200, 3400)));
    bench.tick(3);
    bench.keys("E");
    assert!(bench.screen(80, 24).contains("is not being evacuated"));
    bench.keys("j j E");
    let screen = bench.screen(80, 24);
    assert!(screen.contains("STOP THE EVACUATION") && screen.contains("Press Enter"), "{screen}");
    bench.types("zz");
    assert!(!bench.screen(80, 24).contains("zz"), "nothing is typed where no client is disconnected");
    bench.keys("Enter");
    assert!(bench.effects.iter().any(|it| matches!(it, Effect::StopEvacuation(..))));
}

#[test]
fn an_upgrade_is_planned_before_it_can_be_applied() {
    let mut bench = idle();
    bench.keys("u");
    let screen = bench.screen(80, 24);
    assert!(screen.contains("UPGRADE") && screen.contains("image: emqx/emqx-enterprise:5.8.6_"), "{screen}");
    bench.keys("Backspace").types("7").keys("Enter");
    let image = "emqx/emqx-enterprise:5.8.7".to_owned();
    assert!(bench.effects.contains(&Effect::PlanUpgrade(id(), image.clone())));
    bench.keys("a");
    assert!(bench.screen(80, 24).contains("Enter plans the upgrade first"));
    let plan = |decision| {
        Box::new(UpgradePlan {
            instance: id(),
            from: Some("emqx/emqx-enterprise:5.8.6".into()),
            to: image.clone(),
            strategy: Way::BlueGreen,
            guarded: false,
            decision,
            message: "one pod after the other".into(),
            steps: Vec::new(),
            total_seconds: 0,
            findings: vec![Finding::warning("pods-pending", "be careful").hint("look first")],
        })
    };
    bench.send(Msg::Done(Done::UpgradePlan(image.clone(), Ok(plan(Decision::Refused)))));
    bench.keys("a");
    assert!(bench.screen(80, 24).contains("does not allow it"));
    bench.send(Msg::Done(Done::UpgradePlan(image.clone(), Ok(plan(Decision::Go)))));
    for (width, height) in SIZES {
        bench.state.overlay = None;
        assert!(bench.screen(width, height).contains("warning: be careful (pods-pending)"));
        bench.keys("a");
        let screen = bench.screen(width, height);
        for text in ["UPGRADE THE CLUSTER", "10,000 clients", "--image", "Type emqx"] {
            assert!(screen.contains(text), "{text}\n{screen}");
        }
        insta::assert_snapshot!(format!("upgrade_asks_{width}x{height}"), screen);
    }
    bench.keys("Esc");
    let mut long = plan(Decision::Go);
    long.findings = vec![long.findings[0].clone(); 20];
    bench.send(Msg::Done(Done::UpgradePlan(image.clone(), Ok(long))));
    let screen = bench.screen(80, 24);
    assert!(screen.contains("1–18 of 65, j k scroll"), "{screen}");
    bench.keys("j");
    let screen = bench.screen(80, 24);
    assert!(screen.contains("2–19 of 65"), "{screen}");
    bench.keys("a").types("emqx").keys("Enter");
    assert!(bench.effects.contains(&Effect::Upgrade(id(), image.clone())));
    bench.send(Msg::Done(Done::Acted("image".into(), Err(Problem::new("cannot upgrade", "forbidden")))));
    assert!(bench.screen(80, 24).contains("cannot upgrade: forbidden"));
    // The page shows why there is no plan.
    bench.keys("Esc u Enter");
    bench.send(Msg::Done(Done::UpgradePlan(
        "emqx/emqx-enterprise:5.8.6".into(),
        Err(Problem::new("cannot plan", "no such image").hint("choose another")),
    )));
    let screen = bench.screen(80, 24);
    assert!(
        screen.contains("cannot plan: no such image") && screen.contains("hint: choose another"),
        "{screen}"
    );
}

/// The view of the documented cluster with the stored state of a drain or a scale; core 3 is being evacuated.
fn removing(key: &str, state: &Value) -> Bench {
    let mut bench = Bench::of(setup(), documented(0, &[3333, 3333, 3334, 1200], &nothing()));
    let stored = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kubectl-emqx-emqx-emqx",
        "namespace": "mq", "uid": "stored", "resourceVersion": "2",
        "labels": {"app.kubernetes.io/managed-by": "kubectl-emqx"},
        "ownerReferences": [{"apiVersion": "apps.emqx.io/v2beta1", "kind": "EMQX", "name": "emqx", "uid": "one"}]},
        "data": {key: state.to_string()}});
    let mut facts = kubernetes(5, "ADDED", &stored);
    let load = evacuation(&core(3), "evicting_conns", 700, 700);
    facts.extend(emqx(5, "/api/v5/load_rebalance/global_status", &load));
    bench.learn(5, facts);
    bench.tick(6);
    bench
}

#[test]
fn an_unfinished_drain_or_scale_is_the_headline_with_its_user_and_its_progress() {
    let pods: Vec<Value> = [3, 2]
        .map(|number| {
            let pod = core(number);
            json!({"pod": pod, "uid": format!("uid-{pod}"), "node": node(&pod), "machine": format!("worker-{number}"),
                "set": "emqx-core-66c88f5c8", "started": number == 3})
        })
        .to_vec();
    let drain = json!({"version": 1, "time": "2026-11-23T09:58:00Z", "machines": ["worker-3", "worker-2"], "pods": pods,
        "connections": 11_200, "by": "ops@bastion (process 7)"});
    let scale = json!({"version": 1, "time": "2026-11-23T09:58:00Z", "field": "cores", "from": 4, "to": 2, "pods": pods,
        "connections": 11_200, "by": "ops@bastion (process 7)"});
    for (name, key, state) in [("drain", "drain.json", &drain), ("scale", "scale.json", &scale)] {
        for (width, height) in [(60, 15), (80, 24)] {
            let screen = removing(key, state).screen(width, height);
            insta::assert_snapshot!(format!("unfinished_{name}_{width}x{height}"), screen);
        }
        let screen = removing(key, state).screen(200, 60);
        let word = if name == "drain" { "DRAINING" } else { "SCALING" };
        assert!(screen.contains(word) && screen.contains("ops@bastion (process 7)"), "{screen}");
        assert!(screen.contains("0 of 2 pods"), "{screen}");
    }
}

#[test]
fn a_rebalance_that_is_applied_is_one_operation_whichever_answer_comes_first() {
    let object = json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance",
        "metadata": {"name": "evening", "namespace": "mq", "uid": "r9", "resourceVersion": "9",
            "creationTimestamp": "2026-11-23T10:00:04Z"},
        "spec": {"instanceKind": "EMQX", "instanceName": "emqx", "rebalanceStrategy": {"connEvictRate": 10, "sessEvictRate": 10}},
        "status": {"phase": "Processing", "startedTime": "2026-11-23T10:00:04Z"}});
    let donors: Vec<String> = (0..3).map(|number| node(&core(number))).collect();
    let load = json!({"evacuations": [], "purges": [], "rebalances": [{"node": donors[0],
        "coordinator_node": donors[0], "state": "wait_health_check", "donors": donors,
        "recipients": [node(&core(3))], "connection_eviction_rate": 10, "session_eviction_rate": 10}]});
    for result_first in [true, false] {
        let mut bench = idle();
        bench.keys("p");
        let result = |bench: &mut Bench| {
            let name = Some("rebalance.apps.emqx.io/evening".to_owned());
            bench.send(Msg::Done(Done::Applied(Ok(ActionResult { name, notices: Vec::new() }))));
        };
        if result_first {
            result(&mut bench);
            bench.tick(4);
        }
        bench.learn(5, kubernetes(5, "ADDED", &object));
        if !result_first {
            result(&mut bench);
        }
        for second in 6..50 {
            bench.learn(second, documented(second, &UNEVEN, &load));
            bench.tick(second);
        }
        let screen = bench.screen(120, 40);
        assert!(screen.contains("REBALANCING") && !screen.contains("did not list"), "{screen}");
        assert_eq!(bench.state.here().expect("a cluster").operations.rebalances.runs.len(), 1, "{screen}");
    }
}
