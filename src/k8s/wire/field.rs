//! Fields of JSON objects, read leniently: a field of another type counts as absent, and does not affect the
//! other fields.

use jiff::Timestamp;
use serde_json::Value;

use crate::model::human::MAX_PLAUSIBLE_COUNT;
use crate::model::{Condition, Owner};

/// The value at a path of keys; null counts as absent.
pub(super) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    let mut here = value;
    for key in path {
        here = here.get(key)?;
    }
    (!here.is_null()).then_some(here)
}

/// The text at a path; an empty one counts as absent (Go writes "" for a field that was never set).
pub(super) fn text(value: &Value, path: &[&str]) -> Option<String> {
    at(value, path)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The number at a path, as integer, float or decimal text; negative ones count as absent.
pub(super) fn number(value: &Value, path: &[&str]) -> Option<u64> {
    let value = at(value, path)?;
    value
        .as_u64()
        .or_else(|| value.as_f64().filter(|number| number.is_finite() && *number >= 0.0).map(|it| it as u64))
        .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
        .filter(|number| *number <= MAX_PLAUSIBLE_COUNT)
}

/// The decimal at a path, written as a number or (as thresholds are) as text.
pub(super) fn decimal(value: &Value, path: &[&str]) -> Option<f64> {
    let value = at(value, path)?;
    value.as_f64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
}

/// The time at a path.
pub(super) fn time(value: &Value, path: &[&str]) -> Option<Timestamp> {
    at(value, path)?.as_str()?.parse().ok()
}

/// Whether the flag at a path is set.
pub(super) fn flag(value: &Value, path: &[&str]) -> Option<bool> {
    at(value, path)?.as_bool()
}

/// The list at a path; empty when absent or null.
pub(super) fn list<'a>(value: &'a Value, path: &[&str]) -> impl Iterator<Item = &'a Value> + use<'a> {
    at(value, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default().iter()
}

/// The texts of a list at a path.
pub(super) fn texts(value: &Value, path: &[&str]) -> Vec<String> {
    list(value, path).filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The conditions at a path, in the order of the API.
pub(super) fn conditions(value: &Value, path: &[&str]) -> Vec<Condition> {
    let mut conditions: Vec<Condition> = list(value, path)
        .filter_map(|condition| {
            Some(Condition {
                kind: text(condition, &["type"])?,
                status: text(condition, &["status"]).unwrap_or_default(),
                reason: text(condition, &["reason"]).unwrap_or_default(),
                message: text(condition, &["message"]).unwrap_or_default(),
                since: time(condition, &["lastTransitionTime"]),
            })
        })
        .collect();
    // There is one list for each pod: unused capacity would be a third of it.
    conditions.shrink_to_fit();
    conditions
}

/// The controller among the owners.
pub(super) fn controller(object: &Value) -> Option<Owner> {
    let owner = list(object, &["metadata", "ownerReferences"])
        .find(|owner| flag(owner, &["controller"]) == Some(true))
        .or_else(|| list(object, &["metadata", "ownerReferences"]).next())?;
    Some(Owner {
        kind: text(owner, &["kind"]).unwrap_or_default(),
        name: text(owner, &["name"])?,
        uid: text(owner, &["uid"]).unwrap_or_default(),
    })
}

pub(super) fn label(object: &Value, key: &str) -> Option<String> {
    text(object, &["metadata", "labels", key])
}

/// The fields that every object has.
pub(super) struct Head {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) resource_version: String,
    pub(super) created: Option<Timestamp>,
    pub(super) deleting: Option<Timestamp>,
}

impl Head {
    /// Only the name is required. Where the uid is missing, namespace and name replace it.
    pub(super) fn read(object: &Value) -> Option<Self> {
        let name = text(object, &["metadata", "name"])?;
        let namespace = text(object, &["metadata", "namespace"]).unwrap_or_default();
        Some(Self {
            uid: text(object, &["metadata", "uid"]).unwrap_or_else(|| format!("{namespace}/{name}")),
            resource_version: text(object, &["metadata", "resourceVersion"]).unwrap_or_default(),
            created: time(object, &["metadata", "creationTimestamp"]),
            deleting: time(object, &["metadata", "deletionTimestamp"]),
            namespace,
            name,
        })
    }
}
