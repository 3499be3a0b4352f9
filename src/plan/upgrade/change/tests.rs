//! The bodies, version by version.

use serde_json::{Value, json};

use super::super::target::{DrainMethod, UpgradeRequest, UpgradeTarget, Wanted, Way};
use super::{ManifestEdit, OperatorHold, UpgradeRecord, body, edit, full, kustomize, state};
use crate::model::image::Image;
use crate::model::{ApiVersion, HoldManner, HoldState, ImageParts, Instance, UpdateSpec};
use crate::plan::fixtures;

fn enterprise(update: UpdateSpec) -> Instance {
    let mut instance = fixtures::instance(ApiVersion::V1beta4);
    instance.image = Some("emqx/emqx-ee:4.4.20".into());
    instance.image_parts = Some(ImageParts {
        repository: Some("emqx/emqx-ee".into()),
        version: Some("4.4.20".into()),
        ..ImageParts::default()
    });
    instance.update = update;
    instance
}

fn target(instance: &Instance, wanted: Wanted, change: impl FnOnce(&mut UpgradeRequest)) -> UpgradeTarget {
    let mut ask = UpgradeRequest::new(wanted);
    change(&mut ask);
    UpgradeTarget::of(instance, &ask).expect("it can be resolved")
}

fn image(text: &str) -> Wanted {
    Wanted::Image(Image::parse(text).expect("an image"))
}

#[test]
fn v1beta4_holds_the_operator_and_keeps_the_own_delay_beside() {
    let instance = enterprise(UpdateSpec { present: true, initial_delay: Some(5), ..UpdateSpec::default() });
    let target = target(&instance, Wanted::Version("4.4.24".into()), |_| {});
    assert_eq!(
        body(&instance, &target, OperatorHold::Held),
        json!({"apiVersion": "apps.emqx.io/v1beta4", "kind": "EmqxEnterprise",
            "metadata": {"name": "emqx", "namespace": "mq"},
            "spec": {"template": {"spec": {"emqxContainer": {"image": {"version": "4.4.24"}}}},
                "blueGreenUpdate": {"initialDelaySeconds": 31_536_000,
                    "evacuationStrategy": {"connEvictRate": 500, "sessEvictRate": 500, "waitTakeover": 60}}}})
    );
    let released = body(&instance, &target, OperatorHold::Released);
    assert_eq!(released["spec"]["blueGreenUpdate"]["initialDelaySeconds"], 0);
    let stored = |hold| state(&instance, &target, hold, None, None).hold;
    let held = HoldState { own_delay_seconds: Some(5), manner: HoldManner::Together };
    assert_eq!(stored(OperatorHold::Held), Some(held.clone()));
    assert_eq!(stored(OperatorHold::Released), Some(held), "until the end it can be continued");
    assert_eq!(stored(OperatorHold::Own), None);
    let own = body(&instance, &target, OperatorHold::Own);
    assert_eq!(own["spec"]["blueGreenUpdate"]["initialDelaySeconds"], 5);
    // Without a delay of the user's own none is written: an apply removes the fields that it omits.
    let without = enterprise(UpdateSpec { present: true, ..UpdateSpec::default() });
    let own =
        body(&without, &self::target(&without, Wanted::Version("4.4.24".into()), |_| {}), OperatorHold::Own);
    assert!(own["spec"]["blueGreenUpdate"].get("initialDelaySeconds").is_none());
}

#[test]
fn a_guard_that_is_resumed_applies_the_same_fields() {
    let mut instance =
        enterprise(UpdateSpec { present: true, initial_delay: Some(5), ..UpdateSpec::default() });
    let first =
        target(&instance, image("r.example/emqx/emqx-ee:4.4.24"), |ask| ask.manner = DrainMethod::OneByOne);
    let record = UpgradeRecord {
        version: 1,
        time: fixtures::at(0),
        from: first.from.clone(),
        to: first.to.clone(),
        version_only: first.version_only,
        connections: Some(3200),
        sessions: Some(3440),
        edit: Vec::new(),
    };
    let applied = body(&instance, &first, OperatorHold::Held);
    instance.guard = Some(state(&instance, &first, OperatorHold::Held, Some(record.clone()), None));
    instance.image = Some(first.to.clone());
    instance.image_parts.clone_from(&first.parts);
    instance.update = UpdateSpec { initial_delay: Some(31_536_000), ..first.update.clone() };
    let again = UpgradeTarget::resumed(&instance).expect("there is something to continue");
    assert_eq!(again, first);
    assert_eq!(instance.upgrade_record(), Some(record.clone()));
    assert_eq!(body(&instance, &again, OperatorHold::Held), applied);
    assert_eq!(
        fields(&applied),
        [
            "spec.blueGreenUpdate.evacuationStrategy.connEvictRate",
            "spec.blueGreenUpdate.evacuationStrategy.sessEvictRate",
            "spec.blueGreenUpdate.evacuationStrategy.waitTakeover",
            "spec.blueGreenUpdate.initialDelaySeconds",
            "spec.template.spec.emqxContainer.image.registry",
            "spec.template.spec.emqxContainer.image.repository",
            "spec.template.spec.emqxContainer.image.version"
        ]
    );
    let mut other = instance.clone();
    other.image = Some("emqx/emqx-ee:4.4.21".into());
    assert!(UpgradeTarget::resumed(&other).is_some(), "the delay is still held");
    other.update.initial_delay = Some(5);
    assert_eq!(UpgradeTarget::resumed(&other), None, "another client changed image and delay");
    instance.guard = None;
    let adopted = UpgradeTarget::resumed(&instance)
        .expect("a delay of a year is ours, whatever became of its ConfigMap");
    assert_eq!(adopted.update.initial_delay, None);
    instance.update.initial_delay = Some(5);
    assert_eq!(UpgradeTarget::resumed(&instance), None);
}

#[test]
fn no_change_writes_an_annotation_and_those_of_an_earlier_version_go_with_the_image_only() {
    let mut instance = enterprise(UpdateSpec { present: true, ..UpdateSpec::default() });
    instance.notes.insert("cli.emqx.io/guard".into(), "together".into());
    let target = target(&instance, Wanted::Version("4.4.24".into()), |_| {});
    let annotations = |hold| body(&instance, &target, hold)["metadata"].get("annotations").cloned();
    assert_eq!(annotations(OperatorHold::Held), None);
    let kept = Some(json!({"cli.emqx.io/guard": "together"}));
    assert_eq!(annotations(OperatorHold::Released), kept, "taking them away later would be another template");
    assert_eq!(annotations(OperatorHold::Own), kept);
}

#[test]
fn unguarded_and_rolling_write_no_annotation_and_no_delay_of_ours() {
    let instance = enterprise(UpdateSpec { present: true, initial_delay: Some(5), ..UpdateSpec::default() });
    let bare = target(&instance, Wanted::Version("4.4.24".into()), |ask| ask.manner = DrainMethod::Unguarded);
    let body_bare = body(&instance, &bare, OperatorHold::Held);
    assert_eq!(body_bare["spec"]["blueGreenUpdate"]["initialDelaySeconds"], 5);
    let without = enterprise(UpdateSpec::default());
    let rolling = target(&without, Wanted::Version("4.4.24".into()), |ask| ask.way = Some(Way::Rolling));
    assert_eq!(
        body(&without, &rolling, OperatorHold::Held)["spec"],
        json!({"template": {"spec": {"emqxContainer": {"image": {"version": "4.4.24"}}}}})
    );
}

#[test]
fn the_others_write_the_image_and_the_whole_strategy() {
    let mut instance = fixtures::instance(ApiVersion::V2beta1);
    instance.update = UpdateSpec { present: true, wait_takeover: Some(7), ..UpdateSpec::default() };
    let to = || image("emqx/emqx-enterprise:5.8.7");
    let spec = |instance: &Instance| {
        body(instance, &target(instance, to(), |_| {}), OperatorHold::Held)["spec"].clone()
    };
    assert_eq!(
        spec(&instance),
        json!({"image": "emqx/emqx-enterprise:5.8.7", "updateStrategy": {"type": "Recreate", "initialDelaySeconds": 10,
            "evacuationStrategy": {"connEvictRate": 1000, "sessEvictRate": 1000, "waitTakeover": 7}}})
    );
    instance.api = ApiVersion::V2;
    assert_eq!(spec(&instance)["updateStrategy"]["evacuationStrategy"]["waitHealthCheck"], 60);
    instance.api = ApiVersion::V3beta1;
    assert_eq!(spec(&instance), json!({"image": "emqx/emqx-enterprise:5.8.7"}));
}

#[test]
fn the_whole_object_the_patch_and_the_edit() {
    let instance = enterprise(UpdateSpec {
        present: true,
        initial_delay: Some(5),
        conn_evict_rate: Some(500),
        ..UpdateSpec::default()
    });
    let target = target(&instance, Wanted::Version("4.4.24".into()), |_| {});
    let change = body(&instance, &target, OperatorHold::Own);
    let object = json!({"apiVersion": "apps.emqx.io/v1beta4", "kind": "EmqxEnterprise", "metadata": {"name": "emqx",
        "namespace": "mq", "uid": "u", "resourceVersion": "7", "managedFields": [], "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
        "spec": {"replicas": 4, "template": {"spec": {"emqxContainer": {"image": {"repository": "emqx/emqx-ee", "version": "4.4.20"}}}}},
        "status": {"replicas": 4}});
    let whole = full(&object, &change);
    assert_eq!(whole["spec"]["replicas"], 4);
    assert_eq!(
        whole["spec"]["template"]["spec"]["emqxContainer"]["image"],
        json!({"repository": "emqx/emqx-ee", "version": "4.4.24"})
    );
    assert_eq!(whole["metadata"], json!({"name": "emqx", "namespace": "mq"}));
    assert!(whole.get("status").is_none());
    let component = kustomize(&change);
    assert_eq!(
        component["patches"][0]["target"],
        json!({"group": "apps.emqx.io", "version": "v1beta4", "kind": "EmqxEnterprise", "name": "emqx"})
    );
    let text = component["patches"][0]["patch"].as_str().expect("a text");
    assert_eq!(serde_json::from_str::<serde_json::Value>(text).expect("json"), change);
    assert_eq!(
        edit(&instance, &target),
        [
            "spec.blueGreenUpdate.evacuationStrategy.sessEvictRate: 500  (new)",
            "spec.blueGreenUpdate.evacuationStrategy.waitTakeover: 60  (new)",
            "spec.template.spec.emqxContainer.image.version: 4.4.24  (was 4.4.20)"
        ]
    );
}

#[test]
fn the_closing_advice_never_names_an_edit_that_would_start_another_upgrade() {
    let mut instance = fixtures::instance(ApiVersion::V2beta1);
    instance.image = Some("emqx/emqx-enterprise:5.8.6".into());
    let target = target(&instance, image("emqx/emqx-enterprise:5.8.7"), |_| {});
    let lines = edit(&instance, &target);
    assert_eq!(lines[0], "spec.image: emqx/emqx-enterprise:5.8.7  (was emqx/emqx-enterprise:5.8.6)");
    let applied = ManifestEdit { to: target.to.clone(), lines: lines.clone() };
    // The record, as it is stored during the upgrade and long after it.
    let record = UpgradeRecord {
        version: 1,
        time: fixtures::at(0),
        from: instance.image.clone(),
        to: target.to.clone(),
        version_only: false,
        connections: None,
        sessions: None,
        edit: lines.clone(),
    };
    instance.guard = Some(crate::model::GuardState {
        version: 1,
        upgrade: Some(record),
        ..crate::model::GuardState::default()
    });
    let stored = ManifestEdit::stored(&instance).expect("it is stored");
    assert_eq!(stored, applied);
    for (image, advised) in [
        ("emqx/emqx-enterprise:5.8.7", true),
        // The image was put back, or changed to a third one by another client: the edit would start another
        // upgrade.
        ("emqx/emqx-enterprise:5.8.6", false),
        ("emqx/emqx-enterprise:5.8.8", false),
    ] {
        instance.image = Some(image.to_owned());
        assert_eq!(stored.lines_for(&instance) == lines.as_slice(), advised, "{image}");
        assert_eq!(stored.lines_for(&instance).is_empty(), !advised, "{image}");
    }
    instance.guard = None;
    assert_eq!(ManifestEdit::stored(&instance), None);
}

/// The fields that an apply of this body would write, as paths.
fn fields(change: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(&change["spec"], "spec", &mut found);
    found
}

fn walk(value: &Value, path: &str, found: &mut Vec<String>) {
    match value.as_object().filter(|map| !map.is_empty()) {
        Some(map) => map.iter().for_each(|(key, value)| walk(value, &format!("{path}.{key}"), found)),
        None => found.push(path.to_owned()),
    }
}
