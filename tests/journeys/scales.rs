//! Changes of the number of nodes: on every API version, refused, interrupted, and undone; every client is accounted for.

use emqx_sim::Scenario;
use serde_json::{Value, json};

use crate::harness::{Cluster, until};

const QUICK: &str = "--conn-evict-rate 8000 --sess-evict-rate 4000 --wait-health-check 1s --wait-takeover 1s --yes --timeout 80s";

/// Two cores and four replicants with 500 clients each; on v1beta4 four nodes.
fn scenario(api: &str, more: &str) -> Scenario {
    let nodes = if api == "v1beta4" {
        "  - {role: core, count: 4, connections: 500, offlineSessions: 20}"
    } else {
        "  - {role: core, count: 2}\n  - {role: replicant, count: 4, connections: 500, offlineSessions: 20}"
    };
    let text = format!("name: scaled\napi: {api}\nnodes:\n{nodes}\n{more}\n");
    Scenario::from_yaml(&text).expect("a scenario")
}

fn cluster(api: &str, more: &str) -> Cluster {
    Cluster::inside(scenario(api, more), 40.0)
}

fn cuts(cluster: &Cluster) -> u64 {
    cluster.parts().emqx.with(|broker| broker.tally.cuts)
}

fn clients(cluster: &Cluster) -> u64 {
    cluster.parts().emqx.with(|broker| broker.members().map(|(_, node)| node.connections).sum())
}

fn pods(cluster: &Cluster) -> Vec<(String, Value)> {
    let (_, list) = cluster.api("GET", "/api/v1/namespaces/mq/pods", "");
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let named = items.into_iter().filter_map(|pod| {
        let name = pod["metadata"]["name"].as_str()?.to_owned();
        (name.contains("core") || name.contains("replicant") || name.contains("emqx-ee"))
            .then_some((name, pod))
    });
    named.collect()
}

fn names(cluster: &Cluster) -> Vec<String> {
    pods(cluster).into_iter().map(|(name, _)| name).collect()
}

fn object(cluster: &Cluster, api: &str) -> (String, Value) {
    let path = if api == "v1beta4" {
        "/apis/apps.emqx.io/v1beta4/namespaces/mq/emqxenterprises/emqx-ee".to_owned()
    } else {
        format!("/apis/apps.emqx.io/{api}/namespaces/mq/emqxes/emqx")
    };
    let found = cluster.api("GET", &path, "");
    assert_eq!(found.0, 200, "{path}");
    (path, found.1)
}

fn no_costs(cluster: &Cluster) {
    for (name, pod) in pods(cluster) {
        let cost = &pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"];
        assert!(cost.is_null(), "{name}: {cost}");
    }
}

#[test]
fn exactly_the_planned_pods_are_removed_on_every_api_version_and_every_client_comes_back() {
    for (api, flags, pointer) in [
        ("v1beta4", "--replicas 3", "/spec/replicas"),
        ("v2beta1", "--replicants 2", "/spec/replicantTemplate/spec/replicas"),
        ("v2beta1", "--cores 1", "/spec/coreTemplate/spec/replicas"),
        ("v2", "--replicants 3", "/spec/replicantTemplate/spec/replicas"),
    ] {
        let cluster = cluster(api, "");
        let plan = cluster.run(&format!("scale {flags} --dry-run=client -o json")).exits(0).json();
        assert_eq!((&plan["kind"], &plan["decision"]), (&"Scale".into(), &"go".into()), "{api}\n{plan:#}");
        let going: Vec<String> = plan["steps"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|step| step["pod"].as_str().map(str::to_owned))
            .collect();
        let before = names(&cluster);
        assert_eq!(cuts(&cluster), 0, "a dry run changes nothing");
        let ran = cluster.run(&format!("scale {flags} {QUICK} -o jsonl"));
        assert_eq!(ran.code, Some(0), "{api}\n{ran}");
        let ran = ran.verdict("done");
        let last = ran.events().pop().expect("a verdict");
        assert_eq!((&last["operation"], &last["percent"]), (&"scale".into(), &100.into()), "{ran}");
        let mut expected = before.clone();
        expected.retain(|name| !going.contains(name));
        assert_eq!(names(&cluster), expected, "{api}\n{ran}");
        assert_eq!(clients(&cluster), 2000, "{api}\n{ran}");
        assert_eq!(Some(cuts(&cluster)), plan["disconnections"].as_u64(), "{api}\n{ran}");
        let number: u64 = flags.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number");
        assert_eq!(object(&cluster, api).1.pointer(pointer), Some(&json!(number)), "{api}");
        no_costs(&cluster);
        cluster.run("evacuate list").exits(0).reports("no EMQX node is being evacuated");
        cluster.run(&format!("scale {flags} --yes")).exits(0).reports("nothing to do");
        cluster.run(&format!("scale {flags} --yes --error-unchanged")).exits(3);
    }
}

#[test]
fn operator_3_is_given_the_number_and_its_own_evacuations_are_followed() {
    for flags in ["--replicants 3", "--cores 1"] {
        let cluster = cluster("v3beta1", "");
        let ran = cluster.run(&format!("scale {flags} --yes --timeout 80s -o json"));
        assert_eq!(ran.code, Some(0), "{flags}\n{ran}");
        let scale = ran.json();
        assert_eq!((&scale["byOperator"], &scale["verdict"]), (&true.into(), &"done".into()), "{ran}");
        assert_eq!((names(&cluster).len(), clients(&cluster)), (5, 2000), "{flags}\n{ran}");
        assert_eq!(cuts(&cluster), if flags == "--cores 1" { 0 } else { 500 }, "{flags}\n{ran}");
    }
}

#[test]
fn a_scale_up_prints_the_rebalance_that_evens_it_out_and_runs_it_on_request() {
    let up = cluster("v2beta1", "");
    let ran = up.run("scale --replicants 5 --yes --timeout 80s").exits(0);
    assert!(ran.err.contains("done: EMQX mq/emqx has 5 replicants"), "{ran}");
    assert!(ran.err.contains("next: kubectl emqx rebalance apply emqx --conn-evict-rate"), "{ran}");
    assert_eq!((cuts(&up), clients(&up)), (0, 2000));
    let even = cluster("v2", "");
    let ran = even.run("scale --replicants 5 --rebalance --yes --timeout 80s -o jsonl");
    let verdicts: Vec<String> =
        ran.events().iter().filter_map(|event| event["verdict"].as_str().map(str::to_owned)).collect();
    assert_eq!((ran.code, verdicts), (Some(0), vec!["done".to_owned(), "balanced".to_owned()]), "{ran}");
    let least = even
        .parts()
        .emqx
        .with(|broker| broker.members().map(|(_, node)| node.connections).filter(|own| *own > 0).min());
    assert!(least.is_some_and(|least| least >= 300), "{least:?}\n{ran}");
}

#[test]
fn what_cannot_be_scaled_is_refused_with_the_reason_and_nothing_is_done() {
    let cluster = cluster("v2beta1", "");
    let scale = |flags: &str| cluster.run(&format!("scale {flags}"));
    scale("--replicants -1 --yes").fails(2).reports("must be the number of nodes afterwards");
    scale("--replicants 0 --yes").fails(6).reports("no replicant would remain");
    scale("--cores 0 --yes").fails(6).reports("no core would remain");
    scale("--replicas 3 --yes").fails(2).reports("cores and replicants");
    scale("--yes").fails(2).reports("one of --replicants, --cores and --replicas");
    scale("--replicants 2 --cores 1 --yes").fails(2);
    scale("--replicants 2 --undo --yes").fails(2).reports("--undo");
    scale("--undo --yes").exits(0).reports("nothing to undo");
    scale("--replicants 3").fails(6).reports("--yes");
    scale("--replicants 3 --dry-run=server").fails(2);
    scale("--replicants 3 --watch -o json --yes").fails(2).reports("-o jsonl");
    scale("--replicants 5 --rebalance -o json --yes").fails(2);
    scale("--replicants 3 --skip-check pods-not-ready --yes").fails(2).reports("cannot be skipped");
    scale("nothing --replicants 3 --yes").fails(1).reports("nothing");
    scale("--replicants 3 --yes --context viewer").fails(6).reports("you may not");
    let hpa = "/apis/autoscaling/v2/namespaces/mq/horizontalpodautoscalers";
    let body = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "busy"},
        "spec": {"maxReplicas": 9, "scaleTargetRef": {"apiVersion": "apps.emqx.io/v2beta1", "kind": "EMQX", "name": "emqx"}}});
    assert_eq!(cluster.api("POST", hpa, &body.to_string()).0, 201);
    for to in [3, 5] {
        let ran = scale(&format!("--replicants {to} --yes")).fails(6);
        assert!(ran.err.contains("HorizontalPodAutoscaler busy") && ran.err.contains("hint:"), "{ran}");
    }
    assert_eq!(cluster.api("DELETE", &format!("{hpa}/busy"), "").0, 200);
    let (path, mut there) = object(&cluster, "v2beta1");
    there["spec"]["replicantTemplate"]["spec"]["replicas"] = json!(5);
    cluster.replace(&format!("{path}?fieldManager=argocd-controller"), there);
    until("the operator has made it", || names(&cluster).len() == 7);
    until("all are ready", || {
        pods(&cluster).iter().all(|(_, pod)| {
            pod["status"]["conditions"]
                .as_array()
                .is_some_and(|all| all.iter().any(|it| it["type"] == "Ready" && it["status"] == "True"))
        })
    });
    scale("--replicants 3 --yes").fails(6).reports("belongs to argocd-controller");
    assert_eq!((cuts(&cluster), names(&cluster).len()), (0, 7));
    assert!(cluster.api("GET", "/api/v1/namespaces/mq/configmaps/kubectl-emqx-emqx-emqx", "").0 == 404);
}

#[test]
fn an_upgrade_after_a_scale_keeps_the_number_of_pods() {
    let cluster = cluster("v2beta1", "");
    cluster.run(&format!("scale --replicants 3 {QUICK}")).exits(0);
    cluster.run("upgrade apply --image emqx/emqx-enterprise:5.8.9 --yes").exits(0);
    let spec = object(&cluster, "v2beta1").1["spec"].clone();
    assert_eq!(spec["replicantTemplate"]["spec"]["replicas"], 3, "{spec:#}");
    assert_eq!(spec["image"], "emqx/emqx-enterprise:5.8.9");
}

#[cfg(unix)]
#[test]
fn killed_at_any_step_a_scale_down_continues_when_it_is_run_again() {
    for step in ["begins", "disconnecting clients", "is empty", "the number is changed"] {
        let cluster = cluster("v2beta1", "");
        let mut going = cluster.start(
            "scale --replicants 3 --conn-evict-rate 50 --wait-health-check 1s --wait-takeover 1s --yes",
        );
        going.until(step);
        going.signal("KILL");
        going.end();
        // The Lease expires first.
        let mut ran = cluster.run(&format!("scale --replicants 3 {QUICK}"));
        until("the lease runs out", || {
            let refused = ran.code == Some(6) && ran.err.contains("another process of kubectl-emqx");
            if refused {
                ran = cluster.run(&format!("scale --replicants 3 {QUICK}"));
            }
            !refused
        });
        assert_eq!(ran.code, Some(0), "{step}\n{ran}");
        assert_eq!((cuts(&cluster), clients(&cluster)), (500, 2000), "{step}\n{ran}");
        assert_eq!(names(&cluster).len(), 5, "{step}\n{ran}");
        no_costs(&cluster);
        cluster.run("evacuate list").exits(0).reports("no EMQX node is being evacuated");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_prints_what_is_running_and_an_undo_reverts_it() {
    let cluster = cluster("v2beta1", "");
    let mut going = cluster
        .start("scale --replicants 2 --conn-evict-rate 4 --wait-health-check 1s --wait-takeover 1s --yes");
    going.until("disconnecting clients");
    let second = cluster.run(&format!("scale --replicants 2 {QUICK}")).fails(6);
    assert!(second.err.contains(&format!("(process {})", going.pid())), "{second}");
    going.signal("INT");
    let ran = going.end();
    assert_eq!(ran.code, Some(130), "{ran}");
    assert!(
        ran.err.contains("EMQX continues to evacuate") && ran.err.contains("scale emqx --undo goes back"),
        "{ran}"
    );
    let status = cluster.run("status").exits(0).shows("scale from 4 to 2 replicants by ");
    assert!(status.err.contains("next: kubectl emqx scale emqx --replicants 2"), "{status}");
    cluster.run(&format!("scale --replicants 3 {QUICK}")).fails(6).reports("is not finished");
    cluster.run(&format!("drain sim-0 {QUICK}")).fails(6).reports("is not finished");
    let ran = cluster.run("scale --undo --yes --timeout 80s -o json").exits(0);
    assert_eq!(ran.json()["verdict"], "reverted", "{ran}");
    cluster.run("evacuate list").exits(0).reports("no EMQX node is being evacuated");
    no_costs(&cluster);
    assert_eq!((names(&cluster).len(), clients(&cluster)), (6, 2000));
    cluster.run("scale --undo --yes").exits(0).reports("nothing to undo");
}

#[test]
fn a_core_that_comes_back_with_its_volume_serves_because_its_evacuation_is_stopped() {
    let cluster = cluster("v1beta4", "persistentVolumes: true");
    cluster.run(&format!("scale --replicas 3 {QUICK}")).exits(0);
    let ran = cluster.run("scale --replicas 4 --yes --timeout 80s").exits(0);
    let ran = ran.reports("EMQX restored the evacuation");
    cluster.run("evacuate list").exits(0).reports("no EMQX node is being evacuated");
    assert_eq!((names(&cluster).len(), clients(&cluster)), (4, 2000), "{ran}");
}

#[test]
fn a_pod_that_is_not_ready_refuses_a_scale_down_of_the_others() {
    let cluster = cluster("v2beta1", "newPods: pending");
    let (path, mut there) = object(&cluster, "v2beta1");
    there["spec"]["replicantTemplate"]["spec"]["replicas"] = json!(5);
    cluster.replace(&format!("{path}?fieldManager=kubectl-edit"), there);
    until("the new pod is there", || names(&cluster).len() == 7);
    // The pod that is not ready is removed first.
    let plan = cluster.run("scale --replicants 4 --dry-run=client -o json").exits(0).json();
    assert_eq!(
        (plan["steps"].as_array().map(Vec::len), &plan["disconnections"]),
        (Some(1), &0.into()),
        "{plan:#}"
    );
    let ran = cluster.run("scale --cores 1 --yes --timeout 80s").exits(0);
    assert_eq!(cuts(&cluster), 0, "{ran}");
    cluster.run(&format!("scale --replicants 4 {QUICK}")).exits(0);
    assert_eq!((cuts(&cluster), names(&cluster).len()), (0, 5));
}
