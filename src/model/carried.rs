//! The fields that an apply must repeat: an apply by the same manager removes the fields that it omits and
//! that no other manager owns.

use serde_json::{Map, Value, json};

/// The numbers of pods: an apply without them would remove those that its manager owns.
const SIZES: [&str; 3] =
    ["/spec/replicas", "/spec/coreTemplate/spec/replicas", "/spec/replicantTemplate/spec/replicas"];

/// The change, with the fields that the same manager applied before and that it would remove now: beside any
/// change the numbers of pods; beside a change of such a number, the only requested change, all of them.
pub(crate) fn carried(change: &Value, object: &Value, manager: &str) -> Value {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let own = entries.into_iter().flatten().find(|entry| {
        entry["manager"] == manager
            && entry["operation"] == "Apply"
            && entry["subresource"].as_str().is_none()
    });
    let Some(own) = own else { return change.clone() };
    let alone = SIZES.iter().any(|size| change.pointer(size).is_some());
    let mut carried = json!({});
    if alone {
        carried["spec"] = values(&own["fieldsV1"]["f:spec"], &object["spec"]).unwrap_or_else(|| json!({}));
        if let Some(metadata) = values(&own["fieldsV1"]["f:metadata"], &object["metadata"]) {
            carried["metadata"] = metadata;
        }
    } else {
        for size in SIZES {
            let mut tree = &own["fieldsV1"];
            for key in size.split('/').skip(1) {
                tree = &tree[format!("f:{key}")];
            }
            if let Some(value) = object.pointer(size).filter(|_| tree.is_object()) {
                let mut at = &mut carried;
                for key in size.split('/').skip(1) {
                    at = &mut at[key];
                }
                *at = value.clone();
            }
        }
    }
    overlay(&mut carried, change);
    carried
}

/// The values of owned fields.
fn values(tree: &Value, now: &Value) -> Option<Value> {
    let fields = tree.as_object()?;
    let inner: Vec<(&str, &Value)> =
        fields.iter().filter_map(|(key, tree)| Some((key.strip_prefix("f:")?, tree))).collect();
    // Of this map only the existence is owned.
    if inner.is_empty() && now.is_object() && fields.contains_key(".") {
        return Some(json!({}));
    }
    // A leaf, or a list: it is owned as a whole.
    if inner.is_empty() || !now.is_object() {
        return (!now.is_null()).then(|| now.clone());
    }
    let found: Map<String, Value> = inner
        .into_iter()
        .filter_map(|(key, tree)| Some((key.to_owned(), values(tree, now.get(key)?)?)))
        .collect();
    (!found.is_empty()).then_some(Value::Object(found))
}

fn overlay(below: &mut Value, above: &Value) {
    match (below.as_object_mut(), above.as_object()) {
        (Some(below), Some(above)) => {
            for (key, value) in above {
                overlay(below.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        _ => *below = above.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> Value {
        json!({"metadata": {"name": "emqx", "managedFields": [
            {"manager": "kubectl-emqx", "operation": "Apply", "fieldsV1": {"f:spec": {
                "f:image": {}, "f:updateStrategy": {".": {}, "f:type": {}},
                "f:replicantTemplate": {"f:spec": {"f:replicas": {}}}}}},
            {"manager": "argocd", "operation": "Apply", "fieldsV1": {"f:spec": {"f:coreTemplate": {"f:spec": {"f:replicas": {}}}}}}
        ]}, "spec": {"image": "emqx:1", "updateStrategy": {"type": "Recreate", "initialDelaySeconds": 9},
            "coreTemplate": {"spec": {"replicas": 3}}, "replicantTemplate": {"spec": {"replicas": 4, "other": 1}}}})
    }

    #[test]
    fn a_change_of_the_image_repeats_the_number_of_pods_that_the_same_manager_applied() {
        let change = json!({"metadata": {"name": "emqx"}, "spec": {"image": "emqx:2"}});
        let expected = json!({"metadata": {"name": "emqx"}, "spec": {"image": "emqx:2",
            "replicantTemplate": {"spec": {"replicas": 4}}}});
        assert_eq!(carried(&change, &object(), "kubectl-emqx"), expected);
        assert_eq!(carried(&change, &object(), "another"), change, "what others own is not repeated");
    }

    #[test]
    fn a_change_of_the_number_of_pods_repeats_all_that_the_same_manager_applied() {
        let change =
            json!({"metadata": {"name": "emqx"}, "spec": {"replicantTemplate": {"spec": {"replicas": 2}}}});
        let expected = json!({"metadata": {"name": "emqx"}, "spec": {"image": "emqx:1",
            "updateStrategy": {"type": "Recreate"}, "replicantTemplate": {"spec": {"replicas": 2}}}});
        assert_eq!(carried(&change, &object(), "kubectl-emqx"), expected);
    }

    #[test]
    fn a_map_of_which_only_the_existence_is_owned_is_repeated_without_the_fields_of_others() {
        let tree = json!({"f:a": {".": {}}, "f:list": {"k:{\"name\":\"x\"}": {}}, "f:absent": {}});
        let now = json!({"a": {"b": 1}, "list": [{"name": "x"}]});
        assert_eq!(values(&tree, &now), Some(json!({"a": {}, "list": [{"name": "x"}]})));
    }
}
