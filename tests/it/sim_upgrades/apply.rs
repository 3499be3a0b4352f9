//! Server-side apply on the simulated API server: owners, conflicts, dry runs; and the refusals of the
//! operators' webhooks.

use emqx_sim::Scenario;
use kube::Error;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::sim_upgrades::recorded_cluster::Stage;

fn config(stage: &Stage, spec: &Value) -> Value {
    json!({
        "apiVersion": format!("apps.emqx.io/{}", stage.api.name()), "kind": stage.api.kind(),
        "metadata": { "name": stage.instance }, "spec": spec,
    })
}

/// Applies as `kubectl-emqx`; the status of a refusal as JSON.
async fn apply(stage: &Stage, spec: &Value, params: PatchParams) -> Result<Value, Value> {
    let patch = Patch::Apply(config(stage, spec));
    match stage.instances().patch(&stage.instance, &params, &patch).await {
        Ok(object) => Ok(serde_json::to_value(object).unwrap()),
        Err(Error::Api(status)) => Err(serde_json::to_value(*status).unwrap()),
        Err(error) => panic!("{error}"),
    }
}

fn us() -> PatchParams {
    PatchParams::apply("kubectl-emqx")
}

fn owners(object: &Value, field: &str) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().unwrap().iter();
    entries
        .filter(|entry| !entry["fieldsV1"]["f:spec"][field].is_null())
        .map(|entry| {
            format!("{} {}", entry["manager"].as_str().unwrap(), entry["operation"].as_str().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn what_is_anothers_is_a_conflict_until_it_is_taken() {
    let stage = Stage::built_in("upgrade-v2beta1").await;
    let spec = json!({ "image": "emqx/emqx-enterprise:5.8.7" });
    let refused = apply(&stage, &spec, us()).await.unwrap_err();
    assert_eq!((&refused["code"], &refused["reason"]), (&json!(409), &json!("Conflict")));
    let replayed = "conflict with \"kubectl-client-side-apply\" using apps.emqx.io/v2beta1";
    assert_eq!(refused["message"], format!("Apply failed with 1 conflict: {replayed}: .spec.image"));
    assert_eq!(
        refused["details"]["causes"],
        json!([{ "reason": "FieldManagerConflict", "message": replayed, "field": ".spec.image" }])
    );
    let tried = apply(&stage, &spec, us().force().dry_run()).await.unwrap();
    assert_eq!(tried["spec"]["image"], "emqx/emqx-enterprise:5.8.7");
    assert_eq!(stage.object("emqxes", "emqx")["spec"]["image"], "emqx/emqx-enterprise:5.8.6");
    let taken = apply(&stage, &spec, us().force()).await.unwrap();
    assert_eq!(owners(&taken, "f:image"), ["kubectl-emqx Apply"]);
    assert_eq!(owners(&taken, "f:coreTemplate"), ["kubectl-client-side-apply Update"]);
    assert_eq!(taken["metadata"]["generation"], 2);
    // The same apply again changes nothing and causes no conflict.
    let again = apply(&stage, &spec, us()).await.unwrap();
    assert_eq!(again["metadata"]["generation"], 2);
}

#[tokio::test]
async fn a_scenario_sets_the_owner_and_the_labels_of_the_instance() {
    let text = "name: gitops\napi: v2beta1\nowner: {manager: argocd-controller, operation: Apply}\n\
                metadata: {labels: {argocd.argoproj.io/instance: mqtt}}\nnodes: [{count: 2}]\n";
    let stage = Stage::open(Scenario::from_yaml(text).unwrap()).await;
    let object = stage.object("emqxes", "emqx");
    assert_eq!(object["metadata"]["labels"]["argocd.argoproj.io/instance"], "mqtt");
    assert_eq!(owners(&object, "f:image"), ["argocd-controller Apply"]);
    let refused = apply(&stage, &json!({ "image": "emqx/emqx-enterprise:5.8.7" }), us()).await.unwrap_err();
    assert!(
        refused["message"].as_str().unwrap().contains("conflict with \"argocd-controller\""),
        "{refused}"
    );
}

#[tokio::test]
async fn the_webhook_of_v1beta4_refuses_versions_it_does_not_keep() {
    let stage = Stage::built_in("upgrade-v1beta4").await;
    for (version, why) in [
        ("latest", "image version can not be latest"),
        ("4.4.13", "image version 4.4.13 is too old, please upgrade to 4.4.14 or later"),
        ("5.0.0", "image version 5.0.0 is too new, please downgrade to 5.0.0 earlier"),
        ("new", "invalid image version: new"),
    ] {
        let spec =
            json!({ "template": { "spec": { "emqxContainer": { "image": { "version": version } } } } });
        let refused = apply(&stage, &spec, us().force()).await.unwrap_err();
        assert_eq!(refused["code"], 403, "{refused}");
        let text = format!("admission webhook \"validator.enterprise.emqx.io\" denied the request: {why}");
        assert_eq!(refused["message"], text);
    }
}

#[tokio::test]
async fn an_unknown_field_is_refused_strictly_and_dropped_otherwise() {
    for (scenario, wrong) in [
        ("upgrade-v2beta1", json!({ "blueGreenUpdate": {} })),
        ("upgrade-v1beta4", json!({ "image": "emqx/emqx-ee:4.4.24" })),
        ("upgrade-v2", json!({ "updateStrategy": { "rates": 1 } })),
        ("upgrade-v3beta1", json!({ "updateStrategy": { "initialDelaySeconds": 1 } })),
    ] {
        let stage = Stage::built_in(scenario).await;
        let strict = PatchParams { field_validation: Some(kube::api::ValidationDirective::Strict), ..us() };
        let refused = apply(&stage, &wrong, strict.force()).await.unwrap_err();
        assert!(refused["message"].as_str().unwrap().contains("unknown field \"spec."), "{refused}");
        assert!(apply(&stage, &wrong, us().force()).await.is_ok(), "{scenario}");
    }
}

#[tokio::test]
async fn a_gate_can_be_applied_merged_or_patched() {
    let stage = Stage::built_in("upgrade-v2beta1").await;
    let gate = |status: &str| json!({ "status": { "conditions": [{ "type": "apps.emqx.io/on-serving", "status": status }] } });
    let read = || {
        let pod = stage.object("pods", "emqx-core-66c88f5c8-0");
        let list = pod["status"]["conditions"].as_array().unwrap().clone();
        let found = list.iter().find(|it| it["type"] == "apps.emqx.io/on-serving").unwrap();
        (found["status"].clone(), list.len())
    };
    let before = read().1;
    let strategic = Patch::Strategic(gate("False"));
    stage.pods().patch_status("emqx-core-66c88f5c8-0", &PatchParams::default(), &strategic).await.unwrap();
    assert_eq!(read(), (json!("False"), before));
    let mut applied = gate("True");
    applied["apiVersion"] = json!("v1");
    applied["kind"] = json!("Pod");
    let patched =
        stage.pods().patch_status("emqx-core-66c88f5c8-0", &us().force(), &Patch::Apply(applied)).await;
    patched.unwrap();
    assert_eq!(read(), (json!("True"), before));
}
