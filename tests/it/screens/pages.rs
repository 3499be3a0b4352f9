//! The pages of the view beside the table: topology, history, plans, and changes of the selected node.

use std::collections::BTreeMap;

use kubectl_emqx::error::Problem;
use kubectl_emqx::model::upgrade::Way;
use kubectl_emqx::model::{
    BrokerUpdate, Fact, HistoryEntry, InstanceId, Link, NodeName, Object, Operation, OperationState, PodName,
    Strategy, Update, Verdict,
};
use kubectl_emqx::plan::finding::{Decision, Finding};
use kubectl_emqx::plan::history::{PastEntry, Recorded};
use kubectl_emqx::plan::upgrade::forecast::UpgradePlan;
use kubectl_emqx::tui::{ActionResult, Done, Effect, Msg, ViewSetup};
use serde_json::{Value, json};

use crate::screens::make::{
    Bench, answer, at, core, documented, emqx, evacuation, id, instance, kubernetes, node, nodes, nothing,
    pod, received, recorded, setup, slice,
};
use crate::screens::situations::{SIZES, UNEVEN, idle, not_arriving};

fn replicant(number: usize) -> String {
    format!("emqx-replicant-7d4f9c-{}", ["a1b2c", "d3e4f", "g5h6i", "j7k8l"][number])
}

/// Two cores, three replicants and a pod that cannot be scheduled.
fn layered() -> Bench {
    layered_as(setup())
}

fn layered_as(setup: ViewSetup) -> Bench {
    let cores: Vec<String> = (0..2).map(core).collect();
    let replicants: Vec<String> = (0..4).map(replicant).collect();
    let mut facts = received(at(0));
    let mut object = instance("mq", "emqx", "one");
    object["spec"]["coreTemplate"]["spec"]["replicas"] = json!(2);
    object["spec"]["replicantTemplate"] = json!({"spec": {"replicas": 4}});
    facts.extend(kubernetes(0, "LISTED", &object));
    for name in &cores {
        facts.extend(kubernetes(0, "LISTED", &pod(name, true)));
    }
    for (number, name) in replicants.iter().enumerate() {
        let mut object = pod(name, number != 3);
        object["metadata"]["labels"]["apps.emqx.io/db-role"] = json!("replicant");
        object["metadata"]["ownerReferences"][0] = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "name": "emqx-replicant-7d4f9c", "uid": "set2", "controller": true});
        if number == 3 {
            object["status"] = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": "0/5 nodes are available: 5 Insufficient memory.",
                "lastTransitionTime": "2026-11-23T09:56:00Z"}]});
        }
        facts.extend(kubernetes(0, "LISTED", &object));
    }
    let serving: Vec<(String, bool)> = replicants.iter().take(3).map(|name| (name.clone(), true)).collect();
    facts.extend(kubernetes(0, "LISTED", &slice(&serving)));
    let names: Vec<String> = cores.iter().chain(&replicants[..3]).map(|name| node(name)).collect();
    let mut list = nodes(&names, &[0, 0, 1000, 1000, 1001]);
    for (number, entry) in list.as_array_mut().into_iter().flatten().enumerate() {
        entry["role"] = json!(if number < 2 { "core" } else { "replicant" });
        entry["uptime"] = json!(11_520_000);
        entry["load1"] = json!(0.31);
        entry["memory_total"] = json!("7.43G");
    }
    facts.extend(emqx(0, "/api/v5/nodes", &list));
    facts.extend(emqx(0, "/api/v5/load_rebalance/global_status", &nothing()));
    let mut bench = Bench::of(setup, facts);
    bench.tick(3);
    bench
}

fn attached() -> BTreeMap<NodeName, NodeName> {
    let name = |pod: &str| NodeName::from(node(pod).as_str());
    (0..3).map(|number| (name(&replicant(number)), name(&core(number % 2)))).collect()
}

#[test]
fn the_topology_shows_each_replicant_below_its_core_and_what_is_missing() {
    for (width, height) in SIZES {
        let mut bench = layered();
        bench.keys("t");
        assert!(matches!(bench.effects.last(), Some(Effect::Replicants(of)) if *of == id()));
        bench.send(Msg::Done(Done::Replicants(id(), Ok(Some(attached())))));
        let screen = bench.screen(width, height);
        for text in ["TOPOLOGY", "2 cores", "3 replicants", "in the Service: 3 of 3", "!"] {
            assert!(screen.contains(text), "{text}\n{screen}");
        }
        insta::assert_snapshot!(format!("topology_{width}x{height}"), screen);
    }
    let mut bench = layered();
    bench.keys("t");
    bench.send(Msg::Done(Done::Replicants(id(), Ok(Some(attached())))));
    let screen = bench.screen(120, 40);
    let line = |text: &str| screen.lines().position(|line| line.contains(text)).expect(text);
    assert!(
        line("f5c8-0") < line("a1b2c") && line("a1b2c") < line("f5c8-1") && line("f5c8-1") < line("d3e4f")
    );
    assert!(screen.contains("pods that EMQX does not list as a node"), "{screen}");
    assert!(
        screen.contains("0.31") && screen.contains("1.02G of 7.43G") && screen.contains("3h12m"),
        "{screen}"
    );
    // An EMQX that does not report the topology.
    bench.send(Msg::Done(Done::Replicants(id(), Ok(None))));
    let screen = bench.screen(120, 40);
    assert!(
        screen.contains("does not report the core of a replicant") && screen.contains("g5h6i"),
        "{screen}"
    );
    bench.keys("Esc");
    assert!(bench.screen(120, 40).contains("CONNECTIONS"));
}

#[test]
fn cores_beside_replicants_are_not_missing_from_the_service() {
    let screen = layered().screen(120, 40);
    assert!(screen.contains("in the Service: 3 of 3"), "{screen}");
}

fn past(name: &str, recorded: Option<&Value>, phase: &str) -> Value {
    let mut object = json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance",
        "metadata": {"name": name, "namespace": "mq", "uid": name, "resourceVersion": "7",
            "creationTimestamp": "2026-11-23T08:50:00Z"},
        "spec": {"instanceKind": "EMQX", "instanceName": "emqx", "rebalanceStrategy": {"connEvictRate": 10}},
        "status": {"phase": phase, "startedTime": "2026-11-23T08:50:01Z",
            "completedTime": "2026-11-23T08:52:00Z"}});
    if let Some(recorded) = recorded {
        object["metadata"]["annotations"] = json!({"cli.emqx.io/verdict": recorded.to_string()});
    }
    object
}

fn with_past() -> Bench {
    let recorded = json!({"uid": "evening", "verdict": "clientsMissing",
        "message": "120 of 10,000 clients are missing", "started": "2026-11-23T09:50:01Z",
        "ended": "2026-11-23T09:52:00Z", "connections": [10000, 9880], "sessions": [10000, 10000], "by": "ci"});
    let mut facts = documented(0, &UNEVEN, &nothing());
    facts.extend(kubernetes(0, "LISTED", &past("evening", Some(&recorded), "Failed")));
    facts.extend(kubernetes(0, "LISTED", &past("morning", None, "Completed")));
    let mut bench = Bench::of(setup(), facts);
    bench.tick(3);
    bench
}

#[test]
fn of_two_past_verdicts_the_view_names_the_one_with_the_later_end() {
    let recorded = |uid: &str, verdict: &str, ended: &str| {
        json!({"uid": uid, "verdict": verdict, "message": format!("{uid} ended"), "started": "2026-11-23T08:50:01Z",
            "ended": ended, "connections": [10000, 10000], "sessions": [10000, 10000], "by": "ci"})
    };
    // `long` was reported as Failed by the operator at 08:52 and ended in EMQX at 09:58; `short` ended at 09:40.
    let mut long = past("long", Some(&recorded("long", "uneven", "2026-11-23T09:58:00Z")), "Failed");
    long["status"]["conditions"] = json!([{"type": "Failed", "status": "True", "reason": "Failed",
        "message": "EMQX emqx is not ready", "lastTransitionTime": "2026-11-23T08:52:00Z"}]);
    long["status"].as_object_mut().expect("a status").remove("completedTime");
    let mut short = past("short", Some(&recorded("short", "balanced", "2026-11-23T09:40:00Z")), "Completed");
    short["status"]["completedTime"] = json!("2026-11-23T09:40:00Z");
    for order in [[&long, &short], [&short, &long]] {
        let mut facts = documented(0, &[2500, 2500, 2500, 2500], &nothing());
        for object in &order {
            facts.extend(kubernetes(0, "LISTED", object));
        }
        let mut bench = Bench::of(setup(), facts);
        bench.tick(3);
        let screen = bench.screen(120, 40);
        assert!(screen.contains("UNEVEN") && screen.contains("long: long ended"), "{screen}");
        assert!(!screen.contains("short ended"), "{screen}");
    }
}

#[test]
fn the_history_shows_recorded_verdicts_newest_first_and_opens_one() {
    for (width, height) in SIZES {
        let mut bench = with_past();
        bench.keys("h");
        let screen = bench.screen(width, height);
        assert!(screen.contains("HISTORY") && screen.contains("2 operations"), "{screen}");
        assert!(screen.contains("clientsMissing") && screen.contains("120 of 10,000"), "{screen}");
        insta::assert_snapshot!(format!("history_{width}x{height}"), screen);
        bench.keys("Enter");
        let screen = bench.screen(width, height);
        assert!(screen.contains("REBALANCE evening") && screen.contains("ci, recorded"), "{screen}");
        insta::assert_snapshot!(format!("history_one_{width}x{height}"), screen);
    }
    let mut bench = with_past();
    bench.keys("h");
    let screen = bench.screen(120, 40);
    let line = |text: &str| screen.lines().position(|line| line.contains(text)).expect(text);
    assert!(line("evening") < line("morning"), "{screen}");
    assert!(screen.contains("120"), "{screen}");
    // A past operation without a record is not judged again.
    bench.keys("j");
    assert!(bench.screen(120, 40).contains("not followed"));
    let mut bench = idle();
    bench.keys("h");
    assert!(bench.screen(80, 24).contains("no rebalance, upgrade or evacuation is known"));
}

/// An entry as a client records it.
fn entry(operation: Operation, name: &str, verdict: Verdict, message: &str, ended: i64) -> HistoryEntry {
    HistoryEntry {
        version: 1,
        operation,
        instance: id(),
        cluster: None,
        name: name.to_owned(),
        uid: None,
        object_unknown: false,
        verdict,
        message: message.to_owned(),
        started: Some(at(ended - 120)),
        ended_after: None,
        ended: at(ended),
        followed: None,
        planned_seconds: None,
        evacuations: None,
        connections: (Some(10_000), Some(9_990)),
        sessions: (None, None),
        moved_connections: Some(3_334),
        by: "ann@laptop".to_owned(),
        recording: None,
    }
}

#[test]
fn the_history_shows_what_the_state_folder_and_the_config_map_of_the_instance_hold() {
    let evacuation = "evacuation/emqx@core-2";
    let own = [
        entry(Operation::Evacuation, evacuation, Verdict::Evacuated, "empty", -7200),
        // The same upgrade as in the ConfigMap, and an operation of another cluster.
        entry(Operation::Upgrade, "upgrade/emqx", Verdict::Upgraded, "emqx 5.8.6 -> 5.8.7", -3600),
        HistoryEntry {
            instance: InstanceId { name: "other".to_owned(), ..id() },
            ..entry(Operation::Drain, "drain/other", Verdict::Done, "moved", -60)
        },
    ];
    let past = |entry: &HistoryEntry| PastEntry::recorded(entry.clone(), Recorded::Folder);
    let setup = ViewSetup { recorded: own.iter().map(past).collect(), ..setup() };
    let mut facts = documented(0, &[2500; 4], &nothing());
    let state = OperationState {
        instance: id(),
        owner: "one".to_owned(),
        uid: "map".to_owned(),
        version: String::new(),
        guard: None,
        drain: None,
        scale: None,
        history: vec![own[1].clone()],
    };
    facts.push(Fact { at: at(0), update: Update::Upserted(Object::State(Box::new(state))) });
    let mut bench = Bench::of(setup, facts);
    bench.tick(3);
    // The last operation is the headline, instead of `IDLE`.
    let screen = bench.screen(120, 40);
    assert!(screen.contains("UPGRADED") && screen.contains("60m ago, upgrade/emqx"), "{screen}");
    bench.keys("h");
    let screen = bench.screen(120, 40);
    assert!(screen.contains("2 operations") && !screen.contains("drain/other"), "{screen}");
    let line = |text: &str| screen.lines().position(|line| line.contains(text)).expect(text);
    assert!(line("upgraded") < line("evacuated"), "{screen}");
    assert!(screen.contains("3,334"), "{screen}");
    bench.keys("Enter");
    let screen = bench.screen(120, 40);
    assert!(screen.contains("UPGRADE") && screen.contains("ann@laptop"), "{screen}");
}

#[test]
fn an_error_that_is_longer_than_the_footer_is_wrapped_with_its_hint() {
    let why = "the API server answered: rebalances.apps.emqx.io is forbidden: user jane cannot create resource \
               rebalances in API group apps.emqx.io in the namespace mq";
    for (width, height) in SIZES {
        let mut bench = idle();
        let problem = Problem::new("cannot create the Rebalance", why).hint("kubectl auth can-i --list");
        bench.send(Msg::Done(Done::Acted("the rebalance".to_owned(), Err(problem))));
        let screen = bench.screen(width, height);
        let words = screen.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("in the namespace mq; hint: kubectl auth can-i --list"), "{screen}");
        // The lines above the message move up and are not covered.
        assert!(screen.contains("EMQX 0s ago") || screen.contains("emqx"), "{screen}");
        bench.tick(30);
        let later = bench.screen(width, height);
        assert!(!later.contains("in the namespace mq; hint"), "the keys come back: {later}");
    }
}

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

#[test]
fn logs_events_and_the_description_of_a_pod_lie_over_the_page_with_their_command() {
    for (width, height) in SIZES {
        let mut bench = idle();
        bench.keys("j l");
        let name = PodName::from(core(1).as_str());
        assert!(bench.effects.contains(&Effect::Logs(id(), name.clone())));
        let log = (0..80).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\n") + "\n";
        bench.send(Msg::Done(Done::Logs(name, Ok(log + "[error] msg: crashed \u{1b}[31m\n"))));
        let screen = bench.screen(width, height);
        for text in ["LOG of pod", "= kubectl logs emqx-core-66c88f5c8-1 -c emqx", "[error] msg: crashed"] {
            assert!(screen.contains(text), "{text}\n{screen}");
        }
        assert!(!screen.contains('\u{1b}') && !screen.contains("line 1\n"), "{screen}");
        bench.keys("g");
        assert!(bench.screen(width, height).contains("line 0"));
        bench.keys("q d");
        let screen = bench.screen(width, height);
        assert!(screen.contains("= kubectl describe pod emqx-core-66c88f5c8-1 -n mq"), "{screen}");
        insta::assert_snapshot!(format!("describe_{width}x{height}"), screen);
        bench.keys("q v");
        let screen = bench.screen(width, height);
        assert!(screen.contains("EVENTS of pod") && screen.contains("no event"), "{screen}");
    }
    let mut bench = idle();
    let name = PodName::from(core(0).as_str());
    bench.send(Msg::Done(Done::Logs(name, Err(Problem::new("cannot read the log", "forbidden")))));
    assert!(bench.screen(80, 24).contains("cannot read the log: forbidden"));
}

#[test]
fn d_shows_why_a_rebalance_should_be_stopped() {
    let mut bench = not_arriving();
    for (width, height) in SIZES {
        let screen = bench.screen(width, height);
        assert!(screen.contains("STOP IT") && screen.contains("d why"), "{screen}");
        bench.keys("d");
        let screen = bench.screen(width, height);
        assert!(screen.contains("STOP IT") && screen.contains("kubectl emqx rebalance stop"), "{screen}");
        insta::assert_snapshot!(format!("why_{width}x{height}"), screen);
        bench.keys("q");
    }
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
fn acting_keys_do_nothing_in_a_read_only_view() {
    let mut bench = Bench::of(ViewSetup { read_only: true, ..setup() }, documented(0, &UNEVEN, &nothing()));
    bench.tick(3);
    for key in ["e", "E", "u", "x", "a"] {
        bench.keys(key);
        let screen = bench.screen(80, 24);
        assert!(screen.contains("--read-only: nothing can be changed from here"), "{key}\n{screen}");
    }
    assert!(bench.state.overlay.is_none() && bench.effects.is_empty());
}

#[test]
fn the_pages_are_ascii_where_only_ascii_may_be_drawn_and_have_no_colour_of_their_own() {
    let mut theme = setup().theme;
    theme.ascii = true;
    for (width, height) in SIZES {
        for keys in ["t", "h", "p", "u", "e", "d", "v", "Enter"] {
            let mut bench = layered_as(ViewSetup { theme, ..setup() });
            bench.send(Msg::Done(Done::Replicants(id(), Ok(Some(attached())))));
            bench.keys(keys);
            let screen = bench.screen(width, height);
            assert!(screen.is_ascii(), "{keys}\n{screen}");
        }
    }
}

#[test]
fn a_forbidden_emqx_leaves_the_pages_with_less_and_is_reported() {
    let mut bench = layered();
    let forbidden = |resource| {
        let link = Link::Forbidden("you may not get secrets".to_owned());
        answer(100, BrokerUpdate::Link(resource, link))
    };
    bench.learn(100, vec![forbidden("nodes"), forbidden("load_rebalance")]);
    bench.learn(100, received(at(100)));
    bench.tick(200);
    bench.keys("t");
    bench.send(Msg::Done(Done::Replicants(id(), Err(Problem::new("cannot ask EMQX", "forbidden")))));
    let screen = bench.screen(120, 40);
    assert!(
        screen.contains("the core of each replicant is not known: cannot ask EMQX: forbidden"),
        "{screen}"
    );
    assert!(screen.contains("~1,000"), "old counts are marked: {screen}");
}

#[test]
fn a_log_that_may_not_be_read_names_which_permission_is_missing_and_how_to_get_it() {
    use kubectl_emqx::error::Cause;
    for (width, height) in SIZES {
        let mut bench = idle();
        bench.keys("l");
        let problem = Problem::new("cannot read the log of pod emqx-0", "you may not get pods/log")
            .cause(Cause::Forbidden)
            .hint("this needs verb get on pods/log in namespace mq; see: kubectl auth can-i --list");
        bench.send(Msg::Done(Done::Logs(PodName::from(core(0).as_str()), Err(problem))));
        let screen = bench.screen(width, height);
        let words = screen.split_whitespace().collect::<Vec<_>>().join(" ");
        for text in ["you may not get pods/log", "kubectl create role emqx-logs --verb get", "-n mq"] {
            assert!(words.contains(text), "{text}\n{screen}");
        }
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

#[test]
fn rows_of_an_upgrade_name_the_start_of_each_pod_and_the_deletion_of_one() {
    let (mut bench, lines) = recorded("v2beta1-bluegreen-operator-2.2", false);
    let (mut starts, mut deleted, mut waits) = (false, false, false);
    for replayed in lines {
        bench.send(Msg::RecordedFacts(replayed));
        let screen = bench.screen(120, 40);
        starts |= screen.lines().any(|line| line.contains("waiting") && line.contains("starts "));
        deleted |= screen.contains("pod deleted in ");
        waits |= screen.lines().any(|line| line.contains("Service") && line.contains("evicts in "));
    }
    assert!(starts && deleted && waits, "starts {starts}, deleted {deleted}, waits {waits}");
}
