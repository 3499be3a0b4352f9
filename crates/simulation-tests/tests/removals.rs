//! Drains and scale-downs of a fixed number of seeds.

use simulation_tests::removals::{Failure, Removal, findings, fixed, run};

/// Seeds that are run each time.
const SEEDS: u64 = 12;

#[test]
fn no_client_goes_down_with_its_node_in_a_drain_or_a_scale_that_is_killed_and_run_again() {
    let mut wrong = Vec::new();
    for seed in 0..SEEDS {
        let removal = Removal::of(seed);
        let found = findings(&removal).expect("the case can be run");
        if !found.is_empty() {
            wrong.push(format!("seed {seed}: {removal:?}\n{}", found.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Seeds that failed once, with requests that are answered with 503.
const FAILED: [u64; 8] = [745_005, 745_037, 745_040, 745_043, 745_045, 745_056, 745_071, 745_115];

#[test]
fn removals_that_failed_once_pass() {
    let ran = |seed: u64| {
        let removal = Removal { failure: Failure::Unavailable, silence: None, ..Removal::of(seed) };
        findings(&removal).expect("the case can be run")
    };
    let wrong: Vec<_> =
        FAILED.map(|seed| (seed, ran(seed))).into_iter().filter(|(_, it)| !it.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

const QUICK: [&str; 3] = ["--conn-evict-rate=40", "--wait-health-check=2s", "--wait-takeover=2s"];

/// Kills the process after each step that an undisturbed run prints, and runs it again.
fn killed_at_every_step(removal: &Removal) -> Vec<String> {
    let undisturbed = run(removal).expect("the case can be run");
    let mut wrong = undisturbed.wrong;
    assert!(undisturbed.steps.len() >= 3, "{removal:?}: {:?}", undisturbed.steps);
    let mut before = -1.0;
    for (at, step) in undisturbed.steps {
        // Lines within two seconds are one step: a case takes a second or more.
        if at - before < 2.0 {
            continue;
        }
        before = at;
        let killed = Removal { kills: vec![at + 0.01], ..removal.clone() };
        let found = findings(&killed).expect("the case can be run");
        if !found.is_empty() {
            wrong.push(format!("killed at {at:.2}s after {step}:\n{}", found.join("\n")));
        }
    }
    wrong
}

#[test]
fn a_drain_that_is_killed_at_every_step_and_run_again_loses_no_client_on_any_api_version() {
    for api in ["v1beta4", "v2beta1", "v2", "v3beta1"] {
        let all = if api == "v1beta4" { 3 } else { 5 };
        // Operator 3.x ends evacuations that it did not start, unless it is paused.
        let (silent, skip) = if api == "v3beta1" {
            ("operatorAlive: false", "--skip-check=operator-ends-evacuation")
        } else {
            ("", "--parallel=1")
        };
        let machine = format!("sim-{}", all - 1);
        let arguments: Vec<&str> = ["drain", &machine, skip].into_iter().chain(QUICK).collect();
        let wrong = killed_at_every_step(&fixed(api, &arguments, all, silent));
        assert!(wrong.is_empty(), "{api}\n{}", wrong.join("\n\n"));
    }
}

/// Several pods that EMQX 4.4 evacuates at once: what a client reconnects to, and how often it is disconnected.
#[test]
fn pods_that_emqx_4_4_evacuates_together_serve_no_client_when_the_first_evacuation_begins() {
    for arguments in [vec!["drain", "sim-2", "sim-3"], vec!["scale", "emqx-ee", "--replicas=2"]] {
        let nodes_after = if arguments[0] == "drain" { 4 } else { 2 };
        let arguments: Vec<&str> = arguments.into_iter().chain(QUICK).collect();
        let three = fixed("v1beta4", &arguments, nodes_after, "");
        let scenario = three.scenario.replace("\"count\":3", "\"count\":4").replace("Nodes: 3", "Nodes: 4");
        let ran = run(&Removal { scenario, clients: 400, ..three }).expect("the case can be run");
        assert!(ran.wrong.is_empty(), "{arguments:?}\n{}", ran.wrong.join("\n"));
        let begins = ran.truth.moments.iter().position(|moment| !moment.evacuations.is_empty());
        let begins = begins.expect("an evacuation");
        let (before, first) = (&ran.truth.moments[begins - 1], &ran.truth.moments[begins]);
        assert_eq!(first.evacuations.len(), 2, "both begin together");
        let serves = first.evacuations.iter().filter(|(node, _)| before.nodes[*node].serves).count();
        assert_eq!(serves, 0, "{arguments:?}: pods are in the Service {:.2}s", before.at);
        assert_eq!(ran.truth.moments.last().map(|last| last.cuts), Some(200), "{arguments:?}: once each");
    }
}

#[test]
fn a_scale_down_that_is_killed_at_every_step_and_run_again_loses_no_client_on_any_api_version() {
    for (api, scale) in [
        ("v1beta4", ["scale", "emqx-ee", "--replicas=2"]),
        ("v2beta1", ["scale", "emqx", "--replicants=2"]),
        ("v2", ["scale", "emqx", "--replicants=2"]),
        ("v3beta1", ["scale", "emqx", "--replicants=2"]),
    ] {
        let after = if api == "v1beta4" { 2 } else { 4 };
        let arguments: Vec<&str> = scale.into_iter().chain(QUICK).collect();
        let wrong = killed_at_every_step(&fixed(api, &arguments, after, ""));
        assert!(wrong.is_empty(), "{api}\n{}", wrong.join("\n\n"));
    }
}

#[test]
fn a_scale_up_that_is_killed_at_every_step_ends_with_the_requested_nodes_and_an_undo_goes_back() {
    for (api, scale) in [
        ("v1beta4", ["scale", "emqx-ee", "--replicas=4"]),
        ("v2beta1", ["scale", "emqx", "--replicants=4"]),
        ("v2", ["scale", "emqx", "--replicants=4"]),
        ("v3beta1", ["scale", "emqx", "--replicants=4"]),
    ] {
        let before = if api == "v1beta4" { 3 } else { 5 };
        let up = fixed(api, &scale, before + 1, "");
        if api == "v2beta1" {
            let wrong = killed_at_every_step(&up);
            assert!(wrong.is_empty(), "{api}\n{}", wrong.join("\n\n"));
        }
        // The process is killed when the number is changed, and the scale is undone instead of continued.
        let changed = run(&up).expect("the case can be run").steps.first().map_or(0.0, |(at, _)| *at);
        let undone = Removal {
            kills: vec![changed + 1.0],
            nodes_after: before,
            last: Some(["scale", scale[1], "--undo", "--yes"].map(str::to_owned).to_vec()),
            ..up
        };
        let found = findings(&undone).expect("the case can be run");
        assert!(found.is_empty(), "{api}: undone\n{}", found.join("\n"));
    }
}
