//! The bodies, version by version.

use serde_json::json;

use super::super::mk;
use super::ask::{Ask, Manner, Settled, Wanted, Way};
use super::change::{Hold, UpgradeRecord, body, edit, fields, full, kustomize};
use crate::model::image::Image;
use crate::model::{ApiVersion, ImageParts, Instance, UpdateSpec};

fn enterprise(update: UpdateSpec) -> Instance {
    let mut instance = mk::instance(ApiVersion::V1beta4);
    instance.image = Some("emqx/emqx-ee:4.4.20".into());
    instance.image_parts = Some(ImageParts {
        repository: Some("emqx/emqx-ee".into()),
        version: Some("4.4.20".into()),
        ..ImageParts::default()
    });
    instance.update = update;
    instance
}

fn settled(instance: &Instance, wanted: Wanted, change: impl FnOnce(&mut Ask)) -> Settled {
    let mut ask = Ask::new(wanted);
    change(&mut ask);
    Settled::of(instance, &ask).expect("it can be settled")
}

fn image(text: &str) -> Wanted {
    Wanted::Image(Image::parse(text).expect("an image"))
}

#[test]
fn v1beta4_holds_the_operator_and_keeps_the_own_delay_beside() {
    let instance = enterprise(UpdateSpec { present: true, initial_delay: Some(5), ..UpdateSpec::default() });
    let settled = settled(&instance, Wanted::Version("4.4.24".into()), |_| {});
    assert_eq!(
        body(&instance, &settled, Hold::Held, None),
        json!({"apiVersion": "apps.emqx.io/v1beta4", "kind": "EmqxEnterprise",
            "metadata": {"name": "emqx", "namespace": "mq", "annotations": {
                "cli.emqx.io/initial-delay-seconds": "5", "cli.emqx.io/guard": "together"}},
            "spec": {"template": {"spec": {"emqxContainer": {"image": {"version": "4.4.24"}}}},
                "blueGreenUpdate": {"initialDelaySeconds": 31_536_000,
                    "evacuationStrategy": {"connEvictRate": 500, "sessEvictRate": 500, "waitTakeover": 60}}}})
    );
    let released = body(&instance, &settled, Hold::Released, None);
    assert_eq!(released["spec"]["blueGreenUpdate"]["initialDelaySeconds"], 0);
    assert!(released["metadata"]["annotations"].is_object(), "until the end it can be gone on with");
    let own = body(&instance, &settled, Hold::Own, None);
    assert_eq!(own["spec"]["blueGreenUpdate"]["initialDelaySeconds"], 5);
    assert!(own["metadata"].get("annotations").is_none());
    // Whoever had no delay gets none: an apply takes away what it leaves out.
    let without = enterprise(UpdateSpec { present: true, ..UpdateSpec::default() });
    let own =
        body(&without, &self::settled(&without, Wanted::Version("4.4.24".into()), |_| {}), Hold::Own, None);
    assert!(own["spec"]["blueGreenUpdate"].get("initialDelaySeconds").is_none());
}

#[test]
fn a_guard_that_is_resumed_applies_the_same_fields() {
    let mut instance =
        enterprise(UpdateSpec { present: true, initial_delay: Some(5), ..UpdateSpec::default() });
    let first =
        settled(&instance, image("r.example/emqx/emqx-ee:4.4.24"), |ask| ask.manner = Manner::OneByOne);
    let record = UpgradeRecord {
        version: 1,
        time: mk::at(0),
        from: first.from.clone(),
        to: first.to.clone(),
        version_only: first.version_only,
        connections: Some(3200),
        sessions: Some(3440),
        edit: Vec::new(),
    };
    let applied = body(&instance, &first, Hold::Held, Some(&record));
    // The object as the server has it after that apply.
    let notes = applied["metadata"]["annotations"].as_object().expect("annotations");
    instance.notes = notes
        .iter()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    instance.image = Some(first.to.clone());
    instance.image_parts.clone_from(&first.parts);
    instance.update = UpdateSpec { initial_delay: Some(31_536_000), ..first.update.clone() };
    let again = Settled::resumed(&instance).expect("there is something to go on with");
    assert_eq!(again, first);
    assert_eq!(UpgradeRecord::read(&instance), Some(record.clone()));
    assert_eq!(body(&instance, &again, Hold::Held, Some(&record)), applied);
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
    instance.notes.clear();
    assert_eq!(Settled::resumed(&instance), None);
}

#[test]
fn unguarded_and_rolling_write_no_annotation_and_no_delay_of_ours() {
    let instance = enterprise(UpdateSpec { present: true, initial_delay: Some(5), ..UpdateSpec::default() });
    let bare = settled(&instance, Wanted::Version("4.4.24".into()), |ask| ask.manner = Manner::Unguarded);
    let body_bare = body(&instance, &bare, Hold::Held, None);
    assert_eq!(body_bare["spec"]["blueGreenUpdate"]["initialDelaySeconds"], 5);
    assert!(body_bare["metadata"].get("annotations").is_none());
    let without = enterprise(UpdateSpec::default());
    let rolling = settled(&without, Wanted::Version("4.4.24".into()), |ask| ask.way = Some(Way::Rolling));
    assert_eq!(
        body(&without, &rolling, Hold::Held, None)["spec"],
        json!({"template": {"spec": {"emqxContainer": {"image": {"version": "4.4.24"}}}}})
    );
}

#[test]
fn the_others_write_the_image_and_the_whole_strategy() {
    let mut instance = mk::instance(ApiVersion::V2beta1);
    instance.update = UpdateSpec { present: true, wait_takeover: Some(7), ..UpdateSpec::default() };
    let to = || image("emqx/emqx-enterprise:5.8.7");
    let spec = |instance: &Instance| {
        body(instance, &settled(instance, to(), |_| {}), Hold::Held, None)["spec"].clone()
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
    let settled = settled(&instance, Wanted::Version("4.4.24".into()), |_| {});
    let change = body(&instance, &settled, Hold::Own, None);
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
        edit(&instance, &settled),
        [
            "spec.blueGreenUpdate.evacuationStrategy.sessEvictRate: 500  (new)",
            "spec.blueGreenUpdate.evacuationStrategy.waitTakeover: 60  (new)",
            "spec.template.spec.emqxContainer.image.version: 4.4.24  (was 4.4.20)"
        ]
    );
}
