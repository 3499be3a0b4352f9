//! The change: one server-side apply of the fields we mean, per API version; the same as a whole object or as a kustomize
//! patch; what is applied on the way (the guard's delay, and the user's own put back); and the edit that the user's own
//! manifest needs, because its next `kubectl apply` would roll back.
//!
//! An apply by the same manager takes away what it leaves out: every body here holds all that we own, with the delay of its
//! moment.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ask::{DELAY_NOTE, MANNER_NOTE, REASON_NOTE, Settled, Way, own_delay};
use crate::model::{ApiVersion, Instance, UpdateSpec};

/// The delay by which the operator of v1beta4 is held: a year (`verified.md` 16).
pub const HOLD_SECONDS: u64 = 31_536_000;

/// The annotation with what was planned, so that the end can be judged by whoever watches it.
pub const RECORD_NOTE: &str = "cli.emqx.io/upgrade";

/// What `apply` leaves in the annotation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeRecord {
    /// The form of this record; 1.
    pub version: u32,
    /// When it was applied.
    pub time: Timestamp,
    /// The image that ran.
    pub from: Option<String>,
    /// The image that was wanted.
    pub to: String,
    /// Whether only the version was meant (v1beta4).
    #[serde(default)]
    pub version_only: bool,
    /// Live clients at the start.
    pub connections: Option<u64>,
    /// Sessions at the start.
    pub sessions: Option<u64>,
    /// The edit that the user's own manifest needs, for whoever sees the end.
    #[serde(default)]
    pub edit: Vec<String>,
}

impl UpgradeRecord {
    /// The record in an object's notes; `None` when there is none of ours.
    pub fn read(instance: &Instance) -> Option<Self> {
        let text = instance.notes.get(RECORD_NOTE)?;
        serde_json::from_str(text).ok().filter(|record: &Self| record.version == 1)
    }

    /// As it goes into the annotation.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// How the operator of v1beta4 is kept while an upgrade goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It removes nothing.
    Held,
    /// It removes what is empty, without a delay between pods.
    Released,
    /// As the user has it: nothing of ours stays but what was asked for.
    Own,
}

/// The body of the apply. `record` stays as long as the upgrade goes on.
pub fn body(instance: &Instance, settled: &Settled, hold: Hold, record: Option<&UpgradeRecord>) -> Value {
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(instance.id.name));
    metadata.insert("namespace".to_owned(), json!(instance.id.namespace));
    let mut notes = Map::new();
    let held = settled.guarded && hold != Hold::Own;
    if held {
        let own = own_delay(instance).map_or("none".to_owned(), |seconds| seconds.to_string());
        notes.insert(DELAY_NOTE.to_owned(), json!(own));
        let manner = match (settled.undo, settled.one_by_one) {
            (true, _) => "undo",
            (false, true) => "one-by-one",
            (false, false) => "together",
        };
        notes.insert(MANNER_NOTE.to_owned(), json!(manner));
    }
    if let Some(record) = record {
        notes.insert(RECORD_NOTE.to_owned(), json!(record.text()));
    }
    if let Some(reason) = instance.notes.get(REASON_NOTE) {
        notes.insert(REASON_NOTE.to_owned(), json!(reason));
    }
    if !notes.is_empty() {
        metadata.insert("annotations".to_owned(), Value::Object(notes));
    }
    json!({
        "apiVersion": format!("apps.emqx.io/{}", instance.api),
        "kind": instance.id.kind.as_str(),
        "metadata": metadata,
        "spec": spec(instance, settled, if settled.guarded { hold } else { Hold::Own }),
    })
}

fn spec(instance: &Instance, settled: &Settled, hold: Hold) -> Value {
    match instance.api {
        ApiVersion::V1beta4 => {
            let mut image = Map::new();
            let parts = settled.parts.clone().unwrap_or_default();
            image.insert("version".to_owned(), json!(parts.version.unwrap_or_default()));
            // With a version alone, the rest remains its owner's; an image means all of its parts, also in every apply
            // after the first, which would else take them away.
            if !settled.version_only {
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
            if settled.way == Way::BlueGreen {
                spec.insert("blueGreenUpdate".to_owned(), blue_green(&settled.update, hold));
            }
            Value::Object(spec)
        }
        ApiVersion::V2beta1 | ApiVersion::V2 => {
            let update = &settled.update;
            let mut strategy = rates(update);
            if instance.api == ApiVersion::V2 {
                put(&mut strategy, "waitHealthCheck", update.wait_health_check);
            }
            json!({"image": settled.to, "updateStrategy": {"type": "Recreate",
                "initialDelaySeconds": update.initial_delay.unwrap_or(10), "evacuationStrategy": strategy}})
        }
        ApiVersion::V3beta1 => json!({"image": settled.to}),
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

fn blue_green(update: &UpdateSpec, hold: Hold) -> Value {
    let mut block = Map::new();
    let delay = match hold {
        Hold::Held => Some(HOLD_SECONDS),
        // The user's own delay would pass again after every pod (`verified.md` 15): it comes back at the end.
        Hold::Released => Some(0),
        Hold::Own => update.initial_delay,
    };
    put(&mut block, "initialDelaySeconds", delay);
    block.insert("evacuationStrategy".to_owned(), Value::Object(rates(update)));
    Value::Object(block)
}

/// Fields that the server writes and nobody applies.
const SERVERS: [&str; 7] = [
    "managedFields",
    "resourceVersion",
    "uid",
    "generation",
    "creationTimestamp",
    "selfLink",
    "deletionTimestamp",
];

/// The whole object as it would be: what is there, with the change in it, and without what the server writes (`-o full`).
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
        // JSON is YAML; a string is what kustomize takes here.
        "patch": serde_json::to_string_pretty(change).unwrap_or_default()}]})
}

/// The fields that an apply of this body would write, as paths: what to look for among other managers' fields.
pub fn fields(change: &Value) -> Vec<String> {
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

/// The edit that the user's own manifest needs, line by line: `path: new  (was old)`. Without it the next apply of the old
/// file rolls back.
pub fn edit(instance: &Instance, settled: &Settled) -> Vec<String> {
    let change = body(instance, settled, Hold::Own, None);
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

fn lines_of(value: &Value, path: &str, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| lines_of(value, &format!("{path}.{key}"), lines));
        }
        Value::String(text) => lines.push((path.to_owned(), text.clone())),
        other => lines.push((path.to_owned(), other.to_string())),
    }
}
