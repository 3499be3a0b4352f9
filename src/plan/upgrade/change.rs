//! The change: one server-side apply of the fields that this program sets, for each API version; the same as
//! a whole object or as a kustomize patch; the applies during the upgrade (the guard's delay, and the user's
//! own delay afterwards); and the edit that the user's own manifest needs, because its next `kubectl apply`
//! would roll back.
//!
//! An apply by the same manager removes the fields that it omits: every body here contains all fields of this
//! program, with the delay of its moment.

use serde_json::{Map, Value, json};

use super::target::{UpgradeTarget, Way, own_delay};
pub use crate::model::UpgradeRecord;
use crate::model::{ApiVersion, GuardState, HoldManner, HoldState, Instance, UpdateSpec};
use crate::plan::upgrade::target::HOLD_SECONDS;

/// How the operator of v1beta4 is paused while an upgrade runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorHold {
    /// The operator removes nothing.
    Held,
    /// The operator removes empty pods, without a delay between them.
    Released,
    /// The user's own settings: of this program's fields only the requested change stays.
    Own,
}

/// What the ConfigMap stores about the change: the delay that is held, and the record, until the upgrade is
/// over.
pub fn state(
    instance: &Instance,
    target: &UpgradeTarget,
    hold: OperatorHold,
    record: Option<UpgradeRecord>,
    reason: Option<String>,
) -> GuardState {
    let held = target.guarded && hold != OperatorHold::Own;
    GuardState {
        version: 1,
        hold: held.then(|| HoldState {
            own_delay_seconds: own_delay(instance),
            manner: match (target.undo, target.one_by_one) {
                (true, _) => HoldManner::Undo,
                (false, true) => HoldManner::OneByOne,
                (false, false) => HoldManner::Together,
            },
        }),
        upgrade: record.filter(|_| hold != OperatorHold::Own),
        reason,
    }
}

/// The body of the apply. It writes no annotation: the webhook of operator 2.2 would copy it into the pod
/// template. Annotations that an earlier version left are part of the template already: the change of the
/// image, which makes a new template in any case, removes them, and every later apply leaves them as they
/// are.
pub fn body(instance: &Instance, target: &UpgradeTarget, hold: OperatorHold) -> Value {
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(instance.id.name));
    metadata.insert("namespace".to_owned(), json!(instance.id.namespace));
    if hold != OperatorHold::Held && !instance.notes.is_empty() {
        metadata.insert("annotations".to_owned(), json!(instance.notes));
    }
    json!({
        "apiVersion": format!("apps.emqx.io/{}", instance.api),
        "kind": instance.id.kind.as_str(),
        "metadata": metadata,
        "spec": spec(instance, target, if target.guarded { hold } else { OperatorHold::Own }),
    })
}

fn spec(instance: &Instance, target: &UpgradeTarget, hold: OperatorHold) -> Value {
    match instance.api {
        ApiVersion::V1beta4 => {
            let mut image = Map::new();
            let parts = target.parts.clone().unwrap_or_default();
            image.insert("version".to_owned(), json!(parts.version.unwrap_or_default()));
            // With a version alone, the other parts remain with their owner. An image sets all of its parts,
            // also in every later apply, which would otherwise remove them.
            if !target.version_only {
                let others = [
                    ("registry", parts.registry),
                    ("repository", parts.repository),
                    ("prefix", parts.prefix),
                    ("suffix", parts.suffix),
                ];
                for (key, part) in others {
                    if let Some(part) = part {
                        image.insert(key.to_owned(), json!(part));
                    }
                }
            }
            let mut spec = Map::new();
            spec.insert("template".to_owned(), json!({"spec": {"emqxContainer": {"image": image}}}));
            if target.way == Way::BlueGreen {
                spec.insert("blueGreenUpdate".to_owned(), blue_green(&target.update, hold));
            }
            Value::Object(spec)
        }
        ApiVersion::V2beta1 | ApiVersion::V2 => {
            let update = &target.update;
            let mut strategy = rates(update);
            if instance.api == ApiVersion::V2 {
                put(&mut strategy, "waitHealthCheck", update.wait_health_check);
            }
            json!({"image": target.to, "updateStrategy": {"type": "Recreate",
                "initialDelaySeconds": update.initial_delay.unwrap_or(10), "evacuationStrategy": strategy}})
        }
        ApiVersion::V3beta1 => json!({"image": target.to}),
    }
}

fn put(map: &mut Map<String, Value>, key: &str, number: Option<u64>) {
    if let Some(number) = number {
        map.insert(key.to_owned(), json!(number));
    }
}

fn rates(update: &UpdateSpec) -> Map<String, Value> {
    let mut map = Map::new();
    put(&mut map, "connEvictRate", update.conn_evict_rate);
    put(&mut map, "sessEvictRate", update.sess_evict_rate);
    put(&mut map, "waitTakeover", update.wait_takeover);
    map
}

fn blue_green(update: &UpdateSpec, hold: OperatorHold) -> Value {
    let mut block = Map::new();
    let delay = match hold {
        OperatorHold::Held => Some(HOLD_SECONDS),
        // The user's own delay would pass again after every pod ([OP-15]): it is restored at the end.
        OperatorHold::Released => Some(0),
        OperatorHold::Own => update.initial_delay,
    };
    put(&mut block, "initialDelaySeconds", delay);
    block.insert("evacuationStrategy".to_owned(), Value::Object(rates(update)));
    Value::Object(block)
}

/// Fields that only the server writes.
const SERVERS: [&str; 7] = [
    "managedFields",
    "resourceVersion",
    "uid",
    "generation",
    "creationTimestamp",
    "selfLink",
    "deletionTimestamp",
];

/// The whole object with the change, without the fields that only the server writes (`-o full`).
pub fn full(object: &Value, change: &Value) -> Value {
    let mut whole = object.clone();
    merge(&mut whole, change);
    if let Some(map) = whole.as_object_mut() {
        map.remove("status");
    }
    if let Some(metadata) = whole.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in SERVERS {
            metadata.remove(key);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        if metadata.get("annotations").is_some_and(|it| it.as_object().is_some_and(Map::is_empty)) {
            metadata.remove("annotations");
        }
    }
    whole
}

fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}

/// A kustomize component that holds the change (`-o kustomize`): what a repository that keeps the object needs.
pub fn kustomize(change: &Value) -> Value {
    let version = change["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    json!({"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", "patches": [{
        "target": {"group": group, "version": version, "kind": change["kind"], "name": change["metadata"]["name"]},
        // kustomize expects a string here; JSON is valid YAML.
        "patch": serde_json::to_string_pretty(change).unwrap_or_default()}]})
}

/// The edit that the user's own manifest needs, line by line: `path: new  (was old)`. Without it the next
/// apply of the old manifest rolls back.
pub(crate) fn edit(instance: &Instance, target: &UpgradeTarget) -> Vec<String> {
    let change = body(instance, target, OperatorHold::Own);
    let mut lines = Vec::new();
    lines_of(&change["spec"], "spec", &mut lines);
    let was = |path: &str| -> Option<String> {
        let parts = instance.image_parts.as_ref();
        let update = &instance.update;
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        match path.rsplit('.').next().unwrap_or_default() {
            "image" => instance.image.clone(),
            "version" => parts?.version.clone(),
            "registry" => parts?.registry.clone(),
            "repository" => parts?.repository.clone(),
            "prefix" => parts?.prefix.clone(),
            "suffix" => parts?.suffix.clone(),
            "connEvictRate" => number(update.conn_evict_rate),
            "sessEvictRate" => number(update.sess_evict_rate),
            "waitTakeover" => number(update.wait_takeover),
            "waitHealthCheck" => number(update.wait_health_check),
            "initialDelaySeconds" => number(own_delay(instance)),
            "type" if update.present => Some("Recreate".to_owned()),
            _ => None,
        }
    };
    lines
        .into_iter()
        .filter_map(|(path, value)| {
            let before = was(&path);
            if before.as_deref() == Some(value.as_str()) {
                return None;
            }
            let was = before.map_or("new".to_owned(), |before| format!("was {before}"));
            Some(format!("{path}: {value}  ({was})"))
        })
        .collect()
}

/// The edit of one upgrade, for the advice at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestEdit {
    /// The image of that upgrade.
    pub to: String,
    /// The lines of `edit`.
    pub lines: Vec<String>,
}

impl ManifestEdit {
    /// The edit of the upgrade that is stored for an instance.
    pub(crate) fn stored(instance: &Instance) -> Option<Self> {
        instance.upgrade_record().map(|record| Self { to: record.to, lines: record.edit })
    }

    /// Its lines, while the instance has the image of that upgrade. After another change of the image the
    /// edit would start another upgrade, so there are none.
    pub(crate) fn lines_for(&self, instance: &Instance) -> &[String] {
        if instance.image.as_ref() == Some(&self.to) { &self.lines } else { &[] }
    }
}

fn lines_of(value: &Value, path: &str, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| lines_of(value, &format!("{path}.{key}"), lines));
        }
        Value::String(text) => lines.push((path.to_owned(), text.clone())),
        other => lines.push((path.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests;
