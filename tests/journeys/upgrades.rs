//! Everything before an upgrade: `upgrade plan`, `generate`, and `apply` up to the change.

use serde_json::json;

use crate::harness::{Cluster, keys};

const PLAN: &str =
    "apiVersion kind instance from to strategy guarded decision message steps totalSeconds findings";

/// The image after the one that runs.
const NEXT: &str = "--image emqx/emqx-enterprise:5.8.7";

/// The instance as it is stored.
fn stored(demo: &Cluster) -> serde_json::Value {
    demo.api("GET", "/apis/apps.emqx.io/v2beta1/namespaces/mq/emqxes/emqx", "").1
}

#[test]
fn a_plan_shows_when_each_pod_is_removed_and_writes_nothing() {
    let demo = Cluster::demo("documented", 40);
    let before = stored(&demo)["metadata"]["resourceVersion"].clone();
    let plan = demo.run(&format!("upgrade plan {NEXT} --conn-evict-rate 1000 -o json")).exits(0).json();
    keys(&plan, PLAN);
    assert_eq!((&plan["kind"], &plan["decision"]), (&json!("UpgradePlan"), &json!("go")));
    assert_eq!((&plan["strategy"], &plan["guarded"]), (&json!("blueGreen"), &json!(false)));
    assert_eq!(
        (&plan["from"], &plan["to"]),
        (&json!("emqx/emqx-enterprise:5.8.6"), &json!("emqx/emqx-enterprise:5.8.7"))
    );
    let steps = plan["steps"].as_array().expect("steps");
    for step in steps {
        keys(step, "node pod set order connections sessions seconds");
    }
    let connections: Vec<_> = steps.iter().map(|step| step["connections"].as_u64()).collect();
    assert_eq!(connections, [Some(0), Some(3334), Some(3333), Some(3333)], "the highest goes first");
    for finding in plan["findings"].as_array().expect("findings") {
        keys(finding, "id severity message hint");
    }
    let text = demo.run(&format!("upgrade plan {NEXT}")).exits(0);
    text.shows("from emqx/emqx-enterprise:5.8.6 to emqx/emqx-enterprise:5.8.7")
        .shows("OLD POD")
        .shows("go: 4 old pods");
    demo.run(&format!("upgrade plan {NEXT} -o name")).exits(0).shows("emqx.apps.emqx.io/emqx");
    assert_eq!(stored(&demo)["metadata"]["resourceVersion"], before);
}

#[test]
fn the_change_is_generated_in_every_form() {
    let demo = Cluster::demo("documented", 40);
    let yaml = |flags: &str| -> serde_json::Value {
        let ran = demo.run(&format!("upgrade generate {NEXT} {flags}")).exits(0);
        serde_yaml::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}\n{ran}"))
    };
    let patch = yaml("");
    assert_eq!(patch["spec"]["image"], "emqx/emqx-enterprise:5.8.7");
    assert_eq!(
        patch["spec"]["updateStrategy"]["type"], "Recreate",
        "the whole block, so that no default is lost"
    );
    assert!(patch["spec"].get("coreTemplate").is_none(), "nothing else is meant");
    let full = yaml("-o full");
    assert_eq!(full["spec"]["coreTemplate"]["spec"]["replicas"], 4);
    assert_eq!(full["spec"]["image"], patch["spec"]["image"]);
    assert!(full.get("status").is_none() && full["metadata"].get("resourceVersion").is_none());
    let component = yaml("-o kustomize");
    assert_eq!(component["kind"], "Component");
    assert_eq!(component["patches"][0]["target"]["name"], "emqx");
    // The generated change can be applied unchanged.
    let path = "/apis/apps.emqx.io/v2beta1/namespaces/mq/emqxes/emqx?dryRun=All";
    let mut object = stored(&demo);
    object["spec"] = full["spec"].clone();
    demo.replace(path, object);
}

#[test]
fn the_guarded_change_holds_the_operator() {
    let demo = Cluster::demo("documented-v1beta4", 40);
    let ran = demo.run("upgrade generate --version 4.4.24 --blue-green --conn-evict-rate 200").exits(0);
    let patch: serde_json::Value = serde_yaml::from_str(&ran.out).expect("YAML");
    assert_eq!(patch["spec"]["blueGreenUpdate"]["initialDelaySeconds"], 31_536_000);
    assert!(
        patch["metadata"].get("annotations").is_none(),
        "the operator would copy it into the pod template"
    );
    ran.reports("kubectl emqx upgrade watch emqx-ee");
    let ran = demo.run("upgrade generate --version 4.4.24 --blue-green --unguarded").exits(0);
    ran.never_reports("31536000").never_reports("upgrade watch");
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_written() {
    let demo = Cluster::demo("documented-v1beta4", 40);
    for (flags, reports) in [
        ("--version 4.4.24", "spec.blueGreenUpdate is not set"),
        ("--version latest --blue-green", "the operator's webhook refuses the version `latest`"),
        ("--version 5.8.7 --blue-green", "too new"),
        ("--version 4.4.10 --blue-green", "too old"),
        ("--version nine --blue-green", "is no version"),
        ("--version 4.4.18 --blue-green", "older than 4.4.19"),
    ] {
        demo.run(&format!("upgrade apply {flags} --yes")).fails(6).reports(reports);
        demo.run(&format!("upgrade plan {flags}")).exits(6).shows("refused:");
    }
    demo.run("upgrade plan --version 4.4.18 --blue-green --skip-check downgrade").exits(0);
    let object = demo.api("GET", "/apis/apps.emqx.io/v1beta4/namespaces/mq/emqxenterprises/emqx-ee", "").1;
    assert_eq!(object["metadata"]["generation"], 1, "nothing was written");

    let demo = Cluster::demo("documented", 40);
    demo.run(&format!("upgrade apply {NEXT} --rolling --yes")).fails(6).reports("always makes a second set");
    demo.run(&format!("upgrade apply {NEXT} --one-by-one --yes")).fails(2).reports("empties pods by itself");
    demo.run("upgrade apply --version 5.8.7 --yes").fails(2).reports("--image REPOSITORY:5.8.7");
    demo.run(&format!("upgrade apply no-such {NEXT} --yes")).fails(1).reports("no-such");
    let v3 = Cluster::demo("documented-v3beta1", 40);
    v3.run("upgrade plan --image emqx/emqx-enterprise:5.10.9 --blue-green").exits(6).shows("no blue-green");
}

#[test]
fn the_same_image_is_nothing_to_do_and_no_terminal_is_a_refusal() {
    let demo = Cluster::demo("documented", 40);
    let same = "--image emqx/emqx-enterprise:5.8.6";
    let ran = demo.run(&format!("upgrade emqx {same}")).exits(0).reports("nothing to do");
    assert_eq!(ran.out, "");
    demo.run(&format!("upgrade emqx {same} --yes --error-unchanged")).exits(3);
    demo.run(&format!("upgrade plan {same}")).exits(0).shows("nothing to do");
    demo.run(&format!("upgrade emqx {NEXT}")).fails(6).reports("stdin is not a terminal");
    demo.run_with(&format!("upgrade emqx {NEXT}"), "y\n").fails(6);
    assert_eq!(stored(&demo)["metadata"]["generation"], 1);
}

#[test]
fn a_dry_run_returns_the_result_and_stores_nothing() {
    let demo = Cluster::demo("documented", 40);
    for place in ["client", "server"] {
        let ran = demo.run(&format!("upgrade emqx {NEXT} --dry-run={place}")).exits(0);
        assert!(ran.out.starts_with("emqx.apps.emqx.io/emqx ("), "{ran}");
        ran.reports("go: 4 old pods");
    }
    let applied = demo.run(&format!("upgrade apply {NEXT} --dry-run=server -o json")).exits(0).json();
    keys(&applied, "apiVersion kind name instance backend plan");
    assert_eq!((&applied["kind"], &applied["backend"]), (&json!("Applied"), &json!(null)));
    assert_eq!(applied["plan"]["decision"], "go");
    assert_eq!(stored(&demo)["metadata"]["generation"], 1);
}
