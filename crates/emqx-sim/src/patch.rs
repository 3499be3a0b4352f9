//! The patches that clients of this program send: JSON merge patch, simple JSON patch, and strategic merge patch treated as
//! a merge (lists of conditions are merged by type, other lists replaced). Server-side apply is in [`super::managed`].

use serde_json::{Map, Value};

/// How a patch is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Merge,
    Strategic,
    Json,
    Apply,
}

impl Kind {
    pub(super) fn of(media_type: &str) -> Option<Self> {
        match media_type.split(';').next().unwrap_or_default().trim() {
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/json-patch+json" => Some(Self::Json),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        }
    }
}

/// The patched object, or why it cannot be.
pub(super) fn patch(kind: Kind, object: &Value, patch: &Value) -> Result<Value, String> {
    let mut patched = object.clone();
    match kind {
        Kind::Merge => put(&mut patched, patch, false),
        Kind::Strategic => put(&mut patched, patch, true),
        Kind::Apply => overlay(&mut patched, patch),
        Kind::Json => steps(&mut patched, patch)?,
    }
    Ok(patched)
}

/// Puts a merge patch over a value; nothing where there is none.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    if !patch.is_null() {
        put(target, patch, false);
    }
}

/// Puts what is applied over a value: conditions by their type, other lists as a whole.
pub(super) fn overlay(target: &mut Value, applied: &Value) {
    put(target, applied, true);
}

fn put(target: &mut Value, patch: &Value, strategic: bool) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(target) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if strategic && key.starts_with('$') {
            continue;
        }
        if value.is_null() {
            target.remove(key);
        } else if strategic && key == "conditions" {
            merge_conditions(target.entry(key).or_insert(Value::Null), value);
        } else {
            put(target.entry(key).or_insert(Value::Null), value, strategic);
        }
    }
}

fn merge_conditions(target: &mut Value, patch: &Value) {
    let (Value::Array(known), Value::Array(new)) = (&mut *target, patch) else {
        *target = patch.clone();
        return;
    };
    for condition in new {
        match known.iter_mut().find(|known| known["type"] == condition["type"]) {
            Some(known) => put(known, condition, true),
            None => known.push(condition.clone()),
        }
    }
}

fn steps(object: &mut Value, steps: &Value) -> Result<(), String> {
    let steps = steps.as_array().ok_or("a JSON patch is a list")?;
    for step in steps {
        let path = step["path"].as_str().ok_or("a step of a JSON patch has a path")?;
        let (parent, last) = path.rsplit_once('/').ok_or_else(|| format!("not a JSON pointer: {path}"))?;
        let last = last.replace("~1", "/").replace("~0", "~");
        match step["op"].as_str() {
            Some("test") => {
                if object.pointer(path) != Some(&step["value"]) {
                    return Err(format!("testing value {path} failed"));
                }
            }
            Some(op @ ("add" | "replace" | "remove")) => {
                let missing = || format!("{op} operation does not apply: doc is missing path: {path}");
                match object.pointer_mut(parent).ok_or_else(missing)? {
                    Value::Object(map) if op == "remove" => drop(map.remove(&last).ok_or_else(missing)?),
                    Value::Object(map) => drop(map.insert(last, step["value"].clone())),
                    Value::Array(list) if last == "-" && op == "add" => list.push(step["value"].clone()),
                    Value::Array(list) => {
                        let at: usize = last.parse().map_err(|_| missing())?;
                        let room = list.len() + usize::from(op == "add");
                        if at >= room {
                            return Err(missing());
                        }
                        match op {
                            "add" => list.insert(at, step["value"].clone()),
                            "replace" => list[at] = step["value"].clone(),
                            _ => drop(list.remove(at)),
                        }
                    }
                    _ => return Err(missing()),
                }
            }
            other => return Err(format!("unsupported operation {other:?}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_removes_what_is_null() {
        let patched =
            patch(Kind::Merge, &json!({ "a": { "b": 1, "c": 2 } }), &json!({ "a": { "b": null, "d": [1] } }));
        assert_eq!(patched, Ok(json!({ "a": { "c": 2, "d": [1] } })));
    }

    #[test]
    fn a_strategic_patch_merges_conditions_by_type() {
        let object =
            json!({ "status": { "conditions": [{ "type": "A", "status": "True" }, { "type": "B" }] } });
        let change = json!({ "status": { "conditions": [{ "type": "A", "status": "False" }] } });
        let patched = patch(Kind::Strategic, &object, &change).unwrap_or_default();
        assert_eq!(
            patched["status"]["conditions"],
            json!([{ "type": "A", "status": "False" }, { "type": "B" }])
        );
    }

    #[test]
    fn a_json_patch_adds_replaces_removes_and_tests() {
        let object = json!({ "metadata": { "finalizers": ["x"] }, "n": 1 });
        let change = json!([
            { "op": "test", "path": "/metadata/finalizers/0", "value": "x" },
            { "op": "remove", "path": "/metadata/finalizers" },
            { "op": "replace", "path": "/n", "value": 2 },
            { "op": "add", "path": "/m", "value": true },
        ]);
        assert_eq!(patch(Kind::Json, &object, &change), Ok(json!({ "metadata": {}, "n": 2, "m": true })));
        assert!(patch(Kind::Json, &object, &json!([{ "op": "remove", "path": "/gone" }])).is_err());
        assert!(patch(Kind::Json, &object, &json!([{ "op": "move", "path": "/n" }])).is_err());
        assert!(patch(Kind::Json, &object, &json!({})).is_err());
    }
}
