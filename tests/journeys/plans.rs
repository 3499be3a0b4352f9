//! Everything before an operation runs: `rebalance plan`, `generate`, and `apply` up to the object.

use serde_json::{Value, json};

use crate::harness::{Cluster, DOCUMENTED, SLOW, alone, keys, until};

const PLAN: &str = "apiVersion kind instance strategy decision backend message nodes averages moves phases totalSeconds findings";

/// Every key of a plan.
#[track_caller]
fn is_a_plan(plan: &Value) {
    keys(
        &plan["strategy"],
        "connEvictRate sessEvictRate waitHealthCheckSeconds waitTakeoverSeconds absConnThreshold relConnThreshold \
         absSessThreshold relSessThreshold",
    );
    for node in plan["nodes"].as_array().expect("nodes") {
        keys(node, "node pod part connections sessions connectionsAfter sessionsAfter");
    }
    keys(&plan["averages"], "donorsBefore recipientsBefore donorsAfter recipientsAfter");
    keys(&plan["moves"], "rounds connections sessionRounds sessions peakReconnectsPerSecond");
    for phase in plan["phases"].as_array().expect("phases") {
        keys(phase, "name seconds");
    }
    for finding in plan["findings"].as_array().expect("findings") {
        keys(finding, "id severity message hint");
    }
}

#[test]
fn the_documented_plan_is_exact_with_and_without_a_cluster() {
    let demo = Cluster::demo("documented", 40);
    let flags = format!("{DOCUMENTED} --sess-evict-rate 10 --abs-sess-threshold 100 -o json");
    let live = demo.run(&format!("rebalance plan {flags}")).exits(0).json();
    keys(&live, PLAN);
    is_a_plan(&live);
    assert_eq!(live["kind"], "RebalancePlan");
    assert_eq!(live["instance"]["name"], "emqx");
    assert_eq!(live["decision"], "go");
    assert_eq!(live["totalSeconds"], 98);
    let numbers = alone(&format!("rebalance plan --counts 3333,3333,3334,0 {flags}")).exits(0).json();
    keys(&numbers, PLAN);
    is_a_plan(&numbers);
    assert_eq!(numbers["instance"], Value::Null);
    assert_eq!(numbers["nodes"][0]["node"], "node-1");
    for same in ["strategy", "averages", "moves", "phases", "totalSeconds"] {
        assert_eq!(live[same], numbers[same], "{same}");
    }
    let after = |plan: &Value| -> Vec<Value> {
        plan["nodes"].as_array().expect("nodes").iter().map(|it| it["connectionsAfter"].clone()).collect()
    };
    assert_eq!(after(&numbers), [2553, 2553, 2554, 2340]);
    assert_eq!(after(&live), after(&numbers));
    assert_eq!(
        numbers["moves"],
        json!({"rounds": 78, "connections": 2340, "sessionRounds": 0, "sessions": 0, "peakReconnectsPerSecond": 30})
    );
    assert_eq!(
        numbers["averages"],
        json!({"donorsBefore": 3333.33, "recipientsBefore": 0.0, "donorsAfter": 2553.33, "recipientsAfter": 2340.0})
    );
    let finding = |plan: &Value, id: &str| {
        plan["findings"].as_array().expect("findings").iter().any(|it| it["id"] == id)
    };
    assert!(finding(&live, "operator-will-report-failed"), "{live:#}");
    assert!(!finding(&numbers, "operator-will-report-failed"), "no operator is known: {numbers:#}");
    assert_eq!(demo.rebalances(), [], "a plan writes nothing");
}

#[test]
fn a_saved_plan_is_applied_unless_the_counts_have_drifted() {
    let demo = Cluster::demo("documented", 40);
    let saved = demo.run("rebalance plan -o json --show-command").exits(0).json();
    assert_eq!(saved["requirement"]["maxReconnectRate"], 50, "{saved:#}");
    assert_eq!(saved["strategy"]["connEvictRate"], 1, "{saved:#}");
    let command =
        saved["command"].as_str().expect("a command").trim_start_matches("kubectl emqx ").to_owned();
    let explicit = demo.run(&format!("{command} -o json")).exits(0).json();
    assert_eq!((&explicit["strategy"], &explicit["moves"]), (&saved["strategy"], &saved["moves"]));
    let file = demo.file("plan.json", &saved.to_string());
    demo.run(&format!("rebalance apply -f {file} --dry-run=client")).exits(0);
    let mut drifted = saved.clone();
    drifted["nodes"][0]["connections"] = json!(2000);
    let file = demo.file("drifted.json", &drifted.to_string());
    demo.run(&format!("rebalance apply -f {file} --dry-run=client")).exits(6).reports("--max-drift 5%");
    demo.run(&format!("rebalance apply -f {file} --dry-run=client --max-drift 50%")).exits(0);
    let numbers = alone("rebalance plan --counts 9,1 -o json").exits(0).out;
    let file = demo.file("numbers.json", &numbers);
    demo.run(&format!("rebalance apply -f {file} --dry-run=client")).fails(1).reports("plain numbers");
    demo.run("rebalance plan --diff").exits(0).shows("+ kind: Rebalance").shows("- nothing, + what would be");
    demo.run("rebalance apply --dry-run=server -o yaml")
        .exits(0)
        .shows("kind: Rebalance\n")
        .shows("connEvictRate: 1\n");
    demo.run("rebalance generate")
        .exits(0)
        .shows("connEvictRate: 1\n")
        .reports("worked out for a spread of 5% in 30m");
    assert_eq!(demo.rebalances(), [], "nothing was written");
}

#[test]
fn recordings_calibrate_a_plan_and_load_balancers_are_compared() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/recorded");
    let recording = format!("{folder}/v1beta4-rebalance-operator-2.2.jsonl");
    let ran = alone(&format!("rebalance plan --counts 9000,9000,0,500 --calibrate {recording}")).exits(0);
    ran.reports("calibrated by").shows("LOAD BALANCER").shows("\nleast ").shows("\none ");
    alone("rebalance plan --counts 9000,9000,0,500 --lb least").exits(0).never_reports("LOAD BALANCER");
    let none = format!("rebalance plan --counts 9,1 --calibrate {folder}/v2-bluegreen-operator-2.3.jsonl");
    alone(&none).fails(1).reports("5 rounds or more");
}

#[test]
fn a_plan_of_numbers_contacts_nothing() {
    let ran = alone("rebalance plan --counts 1200,1000,1000 --abs-conn-threshold 100 --conn-evict-rate 20 --kubeconfig /nowhere")
        .exits(0);
    assert!(ran.out.contains("\ngo: "), "{ran}");
    alone("rebalance plan --counts 900,100,0 --conn-evict-rate 500").exits(0).shows("nothing to do");
    alone("rebalance plan --counts 900,100,0").exits(0).shows("worked out for a spread of 5% in 30m");
    alone("rebalance plan --counts 5000,5000 --sessions 1,2 -o json").exits(2);
    let delayed = alone(
        "rebalance plan --counts 0,45,45 --conn-evict-rate 1 --abs-conn-threshold 3 --rel-conn-threshold 1.05 \
         --reconnect-delay 1 --lb least -o json",
    );
    assert_eq!(delayed.exits(0).json()["moves"]["rounds"], 15);
}

#[test]
fn what_is_generated_is_what_apply_takes() {
    let demo = Cluster::demo("documented", 40);
    let ran = demo.run(&format!("rebalance generate emqx --name mine {DOCUMENTED}")).exits(0);
    let manifest: Value = serde_yaml::from_str(&ran.out).expect("YAML");
    keys(&manifest, "apiVersion kind metadata spec");
    assert_eq!(manifest["apiVersion"], "apps.emqx.io/v2beta1");
    assert_eq!(manifest["metadata"], json!({"name": "mine", "namespace": "mq"}));
    keys(&manifest["spec"], "instanceKind instanceName rebalanceStrategy");
    keys(
        &manifest["spec"]["rebalanceStrategy"],
        "connEvictRate sessEvictRate waitHealthCheck waitTakeover absConnThreshold relConnThreshold \
         absSessThreshold relSessThreshold",
    );
    assert_eq!(
        manifest["spec"]["rebalanceStrategy"]["relConnThreshold"], "1.1",
        "a text, as the CRD wants it"
    );
    let json = demo.run(&format!("rebalance generate --name mine {DOCUMENTED} -o json")).exits(0).json();
    assert_eq!(json, manifest);
    let ran = demo.run_with("rebalance apply --yes -f -", &ran.out).exits(0);
    assert_eq!(ran.out, "rebalance.apps.emqx.io/mine\n");
    assert_eq!(demo.rebalance("mine")["spec"], manifest["spec"]);
}

#[test]
fn generate_needs_no_cluster_when_the_operator_is_named() {
    let ran = alone("rebalance generate emqx --for-operator 2.3 --name r").exits(0);
    let manifest: Value = serde_yaml::from_str(&ran.out).expect("YAML");
    keys(&manifest["spec"], "instanceName rebalanceStrategy");
    keys(&manifest["metadata"], "name");
    let ran = alone("rebalance generate emqx --for-operator 2.3 --name r -n mqtt -o json").exits(0).json();
    assert_eq!(ran["metadata"]["namespace"], "mqtt");
    let ran = alone("rebalance generate emqxenterprise/emqx-ee --for-operator 2.2 --name r").exits(0);
    let manifest: Value = serde_yaml::from_str(&ran.out).expect("YAML");
    assert_eq!(manifest["spec"]["instanceKind"], "EmqxEnterprise");
    alone("rebalance generate --for-operator 2.2").fails(2);
}

#[test]
fn a_dry_run_asks_nothing_and_makes_nothing() {
    let demo = Cluster::demo("documented", 40);
    for (way, note) in [("client", "(dry run)"), ("server", "(server dry run)")] {
        let ran = demo.run(&format!("rebalance apply {DOCUMENTED} --dry-run {way}")).exits(0);
        assert!(ran.out.starts_with("rebalance.apps.emqx.io/emqx-"), "{ran}");
        assert!(ran.out.trim_end().ends_with(note), "{ran}");
        assert_eq!(ran.out.lines().count(), 1, "{ran}");
        let json = demo.run(&format!("rebalance apply {DOCUMENTED} --dry-run {way} -o json")).exits(0).json();
        keys(&json, "apiVersion kind name instance backend plan");
        assert_eq!(json["kind"], "Applied");
        assert_eq!(json["backend"], "rebalance");
        is_a_plan(&json["plan"]);
    }
    let ran = demo.run(&format!("rebalance apply --backend emqx {DOCUMENTED} --dry-run client")).exits(0);
    assert!(ran.out.starts_with("coordinator/emqx@"), "{ran}");
    assert_eq!(demo.rebalances(), []);
    assert_eq!(demo.run("status -o json").json()["operation"], "none");
}

#[test]
fn apply_prints_the_name_alone_and_leaves_the_plan_in_the_object() {
    let demo = Cluster::demo("documented", 40);
    let ran = demo.run(&format!("rebalance apply emqx {SLOW} --yes --reason window-7")).exits(0);
    let name = ran.out.trim().strip_prefix("rebalance.apps.emqx.io/").expect("a resource").to_owned();
    assert_eq!(ran.out.lines().count(), 1);
    // <instance>-<YYYYMMDD>-<HHMMSS>
    let digits = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = name.split('-').collect();
    assert!(parts.len() == 3 && parts[0] == "emqx" && digits(parts[1], 8) && digits(parts[2], 6), "{name}");
    assert!(ran.err.contains("donor") && ran.err.contains(&format!("rebalance watch {name}")), "{ran}");
    let object = demo.rebalance(&name);
    let annotations = &object["metadata"]["annotations"];
    let plan: Value =
        serde_json::from_str(annotations["cli.emqx.io/plan"].as_str().expect("a plan")).expect("JSON");
    assert!(plan.is_object(), "{plan}");
    assert_eq!(annotations["cli.emqx.io/reason"], "window-7");
    // A second apply is refused.
    let again = demo.run(&format!("rebalance apply {SLOW} --yes")).fails(6);
    assert!(again.err.contains(&name), "it is named\n{again}");
    assert_eq!(demo.rebalances().len(), 1);
    demo.run(&format!("rebalance plan {SLOW}")).exits(6);
    assert_eq!(demo.run(&format!("rebalance plan {SLOW} -o json")).exits(6).json()["decision"], "refused");
}

#[test]
fn without_a_terminal_and_without_yes_nothing_is_made() {
    let demo = Cluster::demo("documented", 40);
    demo.run(&format!("rebalance apply {DOCUMENTED}")).fails(6).reports("--yes");
    demo.run_with(&format!("rebalance apply {DOCUMENTED}"), "y\n").fails(6);
    assert_eq!(demo.rebalances(), []);
}

#[test]
fn the_two_forms_of_the_manual_are_fixed_and_reported() {
    let strategy = "connEvictRate: 10, sessEvictRate: 10, waitHealthCheck: 10, waitTakeover: 10, absConnThreshold: 100, \
                    relConnThreshold: '1.1', absSessThreshold: 100, relSessThreshold: '1.1'";
    let forms = ["instanceKind: EmqxEnterprise, instanceName: emqx-ee", "instanceName: emqx-ee"];
    for (form, version) in forms.into_iter().zip(["v1beta4", "v2beta1"]) {
        let demo = Cluster::demo("documented-v1beta4", 40);
        let manifest = demo.file(
            "manual.yaml",
            &format!(
                "apiVersion: apps.emqx.io/{version}\nkind: Rebalance\nmetadata:\n  name: manual\nspec: {{{form}, \
                 rebalanceStrategy: {{{strategy}}}}}\n"
            ),
        );
        let ran = demo.run(&format!("rebalance apply -f {manifest} --yes")).exits(0);
        assert_eq!(ran.out, "rebalance.apps.emqx.io/manual\n");
        assert!(ran.err.contains("kind-lost"), "it reports what it changed\n{ran}");
        let object = demo.rebalance("manual");
        assert_eq!(object["apiVersion"], "apps.emqx.io/v2beta1");
        assert_eq!(object["spec"]["instanceKind"], "EmqxEnterprise", "{object:#}");
        // The name exists now.
        let ran = demo.run(&format!("rebalance apply -f {manifest} --yes")).fails(6);
        assert!(ran.err.contains("manual"), "{ran}");
    }
}

#[test]
fn a_wait_of_0_is_planned_and_written_as_1_where_the_operator_would_bring_60_back() {
    let demo = Cluster::demo("documented-v2", 40);
    let flags = "--conn-evict-rate 1000 --abs-conn-threshold 100 --wait-health-check 0 --wait-takeover 0";
    let plan = demo.run(&format!("rebalance plan {flags} -o json")).exits(0).json();
    assert_eq!(
        (&plan["strategy"]["waitHealthCheckSeconds"], &plan["strategy"]["waitTakeoverSeconds"]),
        (&json!(1), &json!(1))
    );
    let finding = plan["findings"].as_array().expect("findings").iter().find(|it| it["id"] == "zero-wait");
    assert!(finding.is_some_and(|it| it["message"].to_string().contains("drops zeros")), "{plan:#}");
    let manifest =
        demo.run(&format!("rebalance generate {flags}")).exits(0).reports("operator 2.3 drops zeros");
    manifest.shows("waitHealthCheck: 1\n").shows("waitTakeover: 1\n");
    let offline = demo.run(&format!("rebalance generate emqx --for-operator 2.2 {flags}")).exits(0);
    offline.shows("waitTakeover: 0\n").never_reports("drops zeros");
    // EMQX itself accepts 0.
    let direct = demo.run(&format!("rebalance plan {flags} --backend emqx -o json")).exits(0).json();
    assert_eq!(direct["strategy"]["waitTakeoverSeconds"], 0);
    // The effect of a 0 that is written nevertheless.
    let object = json!({
        "apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance", "metadata": { "name": "zero" },
        "spec": { "instanceName": "emqx", "rebalanceStrategy": {
            "connEvictRate": 10, "waitHealthCheck": 0, "waitTakeover": 0, "absConnThreshold": 100, "relConnThreshold": "1.1",
        } },
    });
    let path = "/apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances";
    assert_eq!(demo.api("POST", path, &object.to_string()).0, 201);
    until("the operator's update", || {
        demo.rebalance("zero")["spec"]["rebalanceStrategy"]["waitTakeover"] == 60
    });
    let strategy = demo.rebalance("zero")["spec"]["rebalanceStrategy"].clone();
    assert_eq!(strategy["waitHealthCheck"], 60, "{strategy:#}");
}
