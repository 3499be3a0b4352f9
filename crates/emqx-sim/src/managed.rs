//! The owners of fields: `managedFields`, maintained as by the real API server, and server-side apply based
//! on them.
//!
//! ```text
//! create, update, patch   what changed belongs to the request's manager, operation `Update`; no other manager's any more
//! apply                   what is sent belongs to its manager, operation `Apply`; what differs and is another's is a
//!                         conflict, unless forced; what it owned, no longer sends and no other manager owns is removed
//! ```
//!
//! Lists are one field each, as in a schema without further keywords, but for conditions, which go by their type.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::patch;

/// Steps down to a field, in the words of `fieldsV1`: `f:spec`, `k:{"type":"Ready"}`.
type Path = Vec<String>;

/// Fields without an owner: the identity of an object and fields that the server writes.
const UNOWNED: [&str; 11] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generateName",
    "managedFields",
    "selfLink",
];

/// The writer and its operation.
#[derive(Clone, Debug)]
pub(super) struct Who<'w> {
    pub(super) manager: &'w str,
    /// `Apply` or `Update`.
    pub(super) operation: &'w str,
    pub(super) api_version: &'w str,
    /// `status`, or empty.
    pub(super) sub: &'w str,
    pub(super) now: &'w str,
}

/// A field of another manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    /// `"kubectl-client-side-apply" using apps.emqx.io/v2beta1`
    pub(super) manager: String,
    /// `.spec.image`
    pub(super) field: String,
}

struct Entry {
    manager: String,
    operation: String,
    api_version: String,
    sub: String,
    time: Value,
    paths: BTreeSet<Path>,
}

impl Entry {
    fn is(&self, who: &Who<'_>) -> bool {
        self.manager == who.manager && self.operation == who.operation && self.sub == who.sub
    }

    fn written(&self) -> String {
        let sub =
            if self.sub.is_empty() { String::new() } else { format!(" with subresource {:?}", self.sub) };
        let version =
            if self.operation == "Update" { format!(" using {}", self.api_version) } else { String::new() };
        format!("{:?}{sub}{version}", self.manager)
    }
}

/// The fields of an object down to their leaves.
fn leaves(object: &Value) -> BTreeSet<Path> {
    let mut found = BTreeSet::new();
    for (key, value) in object.as_object().into_iter().flatten() {
        match key.as_str() {
            "apiVersion" | "kind" => {}
            "metadata" => {
                for (key, inner) in value.as_object().into_iter().flatten() {
                    if !UNOWNED.contains(&key.as_str()) {
                        collect(inner, &mut vec!["f:metadata".to_owned(), format!("f:{key}")], &mut found);
                    }
                }
            }
            _ => collect(value, &mut vec![format!("f:{key}")], &mut found),
        }
    }
    found
}

fn collect(value: &Value, path: &mut Path, found: &mut BTreeSet<Path>) {
    let steps: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, inner)| (format!("f:{key}"), inner)).collect(),
        Value::Array(list) if path.last().is_some_and(|last| last == "f:conditions") => {
            list.iter().map(|item| (format!("k:{}", json!({ "type": item["type"] })), item)).collect()
        }
        _ => Vec::new(),
    };
    // An empty block owns nothing.
    if steps.is_empty() && !value.is_object() {
        found.insert(path.clone());
    }
    for (step, inner) in steps {
        path.push(step);
        collect(inner, path, found);
        path.pop();
    }
}

fn at<'v>(object: &'v Value, path: &Path) -> Option<&'v Value> {
    path.iter().try_fold(object, |value, step| match step.split_once(':')? {
        ("f", key) => value.get(key),
        (_, key) => {
            let key: Value = serde_json::from_str(key).ok()?;
            value.as_array()?.iter().find(|item| item["type"] == key["type"])
        }
    })
}

fn remove(object: &mut Value, path: &[String]) {
    let Some((step, rest)) = path.split_first() else { return };
    let Some(key) = step.strip_prefix("f:") else { return };
    if rest.is_empty() {
        object.as_object_mut().and_then(|map| map.remove(key));
    } else if let Some(inner) = object.get_mut(key) {
        remove(inner, rest);
        // A block that became empty is removed.
        if inner.as_object().is_some_and(Map::is_empty) {
            object.as_object_mut().and_then(|map| map.remove(key));
        }
    }
}

fn written(path: &Path) -> String {
    path.iter()
        .map(|step| match step.split_once(':') {
            Some(("f", key)) => format!(".{key}"),
            Some((_, key)) => {
                let key: Value = serde_json::from_str(key).unwrap_or_default();
                format!("[type={}]", key["type"])
            }
            None => String::new(),
        })
        .collect()
}

fn read(object: &Value) -> Vec<Entry> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries
        .map(|entry| {
            let mut paths = BTreeSet::new();
            walk(&entry["fieldsV1"], &mut Vec::new(), &mut paths);
            Entry {
                manager: text(&entry["manager"]),
                operation: text(&entry["operation"]),
                api_version: text(&entry["apiVersion"]),
                sub: text(&entry["subresource"]),
                time: entry["time"].clone(),
                paths,
            }
        })
        .collect()
}

fn walk(tree: &Value, path: &mut Path, found: &mut BTreeSet<Path>) {
    let Some(map) = tree.as_object() else { return };
    if map.is_empty() && !path.is_empty() {
        found.insert(path.clone());
    }
    for (step, inner) in map {
        path.push(step.clone());
        walk(inner, path, found);
        path.pop();
    }
}

fn write(object: &mut Value, entries: &[Entry]) {
    let list: Vec<Value> = entries
        .iter()
        .filter(|entry| !entry.paths.is_empty())
        .map(|entry| {
            let mut tree = json!({});
            for path in &entry.paths {
                path.iter().fold(&mut tree, |tree, step| {
                    let inner = &mut tree[step.as_str()];
                    if inner.is_null() {
                        *inner = json!({});
                    }
                    inner
                });
            }
            let mut written = json!({
                "apiVersion": entry.api_version, "fieldsType": "FieldsV1", "fieldsV1": tree,
                "manager": entry.manager, "operation": entry.operation, "time": entry.time,
            });
            if !entry.sub.is_empty() {
                written["subresource"] = json!(entry.sub);
            }
            written
        })
        .collect();
    object["metadata"]["managedFields"] = json!(list);
}

fn own(entries: &mut Vec<Entry>, who: &Who<'_>, paths: BTreeSet<Path>, again: bool) {
    if let Some(entry) = entries.iter_mut().find(|entry| entry.is(who)) {
        if again {
            entry.paths = paths;
        } else {
            entry.paths.extend(paths);
        }
        entry.time = json!(who.now);
        who.api_version.clone_into(&mut entry.api_version);
        return;
    }
    entries.push(Entry {
        manager: who.manager.to_owned(),
        operation: who.operation.to_owned(),
        api_version: who.api_version.to_owned(),
        sub: who.sub.to_owned(),
        time: json!(who.now),
        paths,
    });
}

/// A new object: its creator owns every field.
pub(super) fn created(object: &mut Value, who: &Who<'_>) {
    let mut entries = read(object);
    let all = leaves(object).into_iter().filter(|path| (path[0] == "f:status") == (who.sub == "status"));
    own(&mut entries, who, all.collect(), true);
    write(object, &entries);
}

/// A changed object: the manager of the change alone owns the changed fields.
pub(super) fn updated(old: &Value, new: &mut Value, who: &Who<'_>) {
    let mut entries = read(old);
    let changed: BTreeSet<Path> =
        leaves(new).into_iter().filter(|path| at(old, path) != at(new, path)).collect();
    for entry in entries.iter_mut().filter(|entry| !entry.is(who)) {
        entry.paths.retain(|path| at(old, path) == at(new, path));
    }
    for entry in entries.iter_mut().filter(|entry| entry.is(who)) {
        entry.paths.retain(|path| at(new, path).is_some());
    }
    if !changed.is_empty() {
        own(&mut entries, who, changed, false);
    }
    write(new, &entries);
}

/// The result of an apply, or the conflicts with other owners.
pub(super) fn applied(
    old: &Value,
    config: &Value,
    who: &Who<'_>,
    force: bool,
) -> Result<Value, Vec<Conflict>> {
    let mut entries = read(old);
    if entries.is_empty() {
        // The fields from before any manager was recorded.
        let first = Who { manager: "before-first-apply", operation: "Update", ..who.clone() };
        own(&mut entries, &first, leaves(old), true);
    }
    let sent = leaves(config);
    let touches = |one: &Path, other: &Path| one.starts_with(other) || other.starts_with(one);
    let mut conflicts = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.is(who)) {
        for path in sent.iter().filter(|path| at(old, path) != at(config, path)) {
            if entry.paths.iter().any(|owned| touches(owned, path)) {
                conflicts.push(Conflict { manager: entry.written(), field: written(path) });
            }
        }
    }
    if !conflicts.is_empty() && !force {
        return Err(conflicts);
    }
    let mut new = old.clone();
    let mut wanted = config.clone();
    if let Some(metadata) = wanted["metadata"].as_object_mut() {
        metadata.retain(|key, _| !UNOWNED.contains(&key.as_str()));
    }
    patch::overlay(&mut new, &wanted);
    let before = entries.iter().find(|entry| entry.is(who)).map(|entry| entry.paths.clone());
    for path in before.unwrap_or_default().difference(&sent) {
        let shared = entries.iter().any(|entry| !entry.is(who) && entry.paths.contains(path));
        if !shared && !sent.iter().any(|it| touches(it, path)) {
            remove(&mut new, path);
        }
    }
    for entry in entries.iter_mut().filter(|entry| !entry.is(who)) {
        entry.paths.retain(|path| at(old, path) == at(&new, path));
    }
    own(&mut entries, who, sent, true);
    write(&mut new, &entries);
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who<'w>(manager: &'w str, operation: &'w str) -> Who<'w> {
        Who { manager, operation, api_version: "apps.emqx.io/v2beta1", sub: "", now: "now" }
    }

    fn object() -> Value {
        let mut object = json!({
            "metadata": { "name": "emqx" },
            "spec": { "image": "a", "updateStrategy": { "type": "Recreate", "initialDelaySeconds": 5 } },
        });
        created(&mut object, &who("kubectl-client-side-apply", "Update"));
        object
    }

    fn owners(object: &Value, path: &[&str]) -> Vec<String> {
        let path: Path = path.iter().map(|step| format!("f:{step}")).collect();
        read(object).into_iter().filter(|it| it.paths.contains(&path)).map(|it| it.manager).collect()
    }

    #[test]
    fn an_apply_of_anothers_field_is_a_conflict_until_forced() {
        let config = json!({ "spec": { "image": "b" } });
        let conflict = Conflict {
            manager: "\"kubectl-client-side-apply\" using apps.emqx.io/v2beta1".to_owned(),
            field: ".spec.image".to_owned(),
        };
        assert_eq!(applied(&object(), &config, &who("us", "Apply"), false), Err(vec![conflict]));
        let forced = applied(&object(), &config, &who("us", "Apply"), true).unwrap_or_default();
        assert_eq!(forced["spec"]["image"], "b");
        assert_eq!(owners(&forced, &["spec", "image"]), ["us"]);
        assert_eq!(owners(&forced, &["spec", "updateStrategy", "type"]), ["kubectl-client-side-apply"]);
    }

    #[test]
    fn the_same_value_is_shared_and_a_field_no_longer_sent_is_removed_without_another_owner() {
        let config = json!({ "spec": { "image": "a", "mine": { "deep": 1 } } });
        let shared = applied(&object(), &config, &who("us", "Apply"), false).unwrap_or_default();
        assert_eq!(owners(&shared, &["spec", "image"]), ["kubectl-client-side-apply", "us"]);
        let less = applied(&shared, &json!({ "spec": {} }), &who("us", "Apply"), false).unwrap_or_default();
        assert_eq!(less["spec"]["image"], "a");
        assert!(less["spec"]["mine"].is_null(), "{less}");
        assert_eq!(owners(&less, &["spec", "image"]), ["kubectl-client-side-apply"]);
    }

    #[test]
    fn a_patch_takes_what_it_changes_and_nothing_else() {
        let old = object();
        let mut new = old.clone();
        new["spec"]["image"] = json!("c");
        updated(&old, &mut new, &who("kubectl-edit", "Update"));
        assert_eq!(owners(&new, &["spec", "image"]), ["kubectl-edit"]);
        assert_eq!(
            owners(&new, &["spec", "updateStrategy", "initialDelaySeconds"]),
            ["kubectl-client-side-apply"]
        );
    }

    #[test]
    fn conditions_go_by_their_type() {
        let mut old = json!({ "status": { "conditions": [{ "type": "A", "status": "True" }] } });
        created(&mut old, &Who { sub: "status", ..who("kubelet", "Update") });
        let config = json!({ "status": { "conditions": [{ "type": "B", "status": "False" }] } });
        let us = Who { sub: "status", ..who("us", "Apply") };
        let new = applied(&old, &config, &us, false).unwrap_or_default();
        assert_eq!(new["status"]["conditions"].as_array().map(Vec::len), Some(2));
        let other = json!({ "status": { "conditions": [{ "type": "A", "status": "False" }] } });
        let conflicts = applied(&old, &other, &us, false).err().unwrap_or_default();
        assert_eq!(conflicts[0].field, ".status.conditions[type=\"A\"].status");
    }
}
