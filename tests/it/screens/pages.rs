//! The pages of the view beside the table: topology, details and changes of the selected node, and what a page shows
//! without colours or permissions.

use std::collections::BTreeMap;

use kubectl_emqx::error::Problem;
use kubectl_emqx::model::{BrokerUpdate, Link, NodeName, PodName};
use kubectl_emqx::tui::{Done, Effect, Msg, ViewSetup};
use serde_json::json;

use crate::screens::make::{
    Bench, answer, at, core, documented, emqx, id, instance, kubernetes, node, nodes, nothing, pod, received,
    recorded, setup, slice,
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
