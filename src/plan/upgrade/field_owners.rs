//! The owners of the fields that an apply would write, by the object's `managedFields`; and fields of this
//! program that an apply left behind because another field manager owns them too.
//!
//! An entry of `managedFields` is a tree of the fields of one manager: `f:NAME` a field, `k:{…}` an item of a list by its
//! keys, `v:…` an item by its value, `.` the thing itself; an empty tree is a leaf, a list that is owned whole, or a map that
//! was applied empty. (No map that an upgrade writes into is owned whole.)

use serde_json::{Map, Value, json};

use crate::model::Instance;
use crate::plan::finding::Finding;
use crate::plan::upgrade::check::FieldOwner;
use crate::plan::upgrade::target::HOLD_SECONDS;

/// The owners of fields that `change` would set to another value: a server-side apply by `own` would conflict
/// with them. Equal values are shared without a conflict. Fields that an operator writes through `status` do
/// not matter to an apply.
pub fn owners(object: &Value, change: &Value, own: &str) -> Vec<FieldOwner> {
    let mut owners: Vec<FieldOwner> = Vec::new();
    for entry in object["metadata"]["managedFields"].as_array().into_iter().flatten() {
        let manager = entry["manager"].as_str().unwrap_or_default();
        let subresource = entry["subresource"].as_str().unwrap_or_default();
        // For the server, an update under this program's name is another manager and conflicts; so does a
        // scale through the subresource.
        if !["", "scale"].contains(&subresource) || (manager == own && entry["operation"] == "Apply") {
            continue;
        }
        let mut fields = Vec::new();
        collide(&entry["fieldsV1"], change, Some(object), "", &mut fields);
        if fields.is_empty() {
            continue;
        }
        if !owners.iter().any(|owner| owner.manager == manager) {
            owners.push(FieldOwner { manager: manager.to_owned(), fields: Vec::new() });
        }
        // A manager has an entry for each operation and API version.
        if let Some(owner) = owners.iter_mut().find(|owner| owner.manager == manager) {
            fields.retain(|field| !owner.fields.contains(field));
            owner.fields.extend(fields);
        }
    }
    owners
}

/// Finds the owned fields within `fields` that `change` makes different from what is there `now`.
fn collide(fields: &Value, change: &Value, now: Option<&Value>, path: &str, found: &mut Vec<String>) {
    let Some(tree) = fields.as_object() else { return };
    match change {
        // A manager that applied an empty map owns the map, but nothing that other managers put into it.
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                if let Some(inner) = tree.get(&format!("f:{key}")) {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    collide(inner, value, now.and_then(|now| now.get(key)), &path, found);
                }
            }
        }
        Value::Array(items) if !tree.is_empty() => {
            for (mark, inner) in tree {
                let Some(keys) = mark.strip_prefix("k:").and_then(|keys| serde_json::from_str(keys).ok())
                else {
                    continue;
                };
                if let Some(item) = items.iter().find(|item| has_keys(item, &keys)) {
                    let there = now.and_then(Value::as_array).into_iter().flatten();
                    let there = there.into_iter().find(|item| has_keys(item, &keys));
                    collide(inner, item, there, &format!("{path}[{}]", named(&keys)), found);
                }
            }
        }
        _ if now != Some(change) => found.push(path.to_owned()),
        _ => {}
    }
}

fn has_keys(item: &Value, keys: &Map<String, Value>) -> bool {
    keys.iter().all(|(key, value)| item.get(key) == Some(value))
}

/// `name=emqx`, as kubectl writes it.
fn named(keys: &Map<String, Value>) -> String {
    let one = |(key, value): (&String, &Value)| match value {
        Value::String(text) => format!("{key}={text}"),
        other => format!("{key}={other}"),
    };
    keys.iter().map(one).collect::<Vec<_>>().join(",")
}

/// The findings of [`owners`]; `hint` is what to do where another tool manages a field.
pub(crate) fn conflicts(owners: &[FieldOwner], force: bool, hint: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for owner in owners.iter().filter(|owner| !owner.fields.is_empty()) {
        let fields = owner.fields.join(", ");
        if owner.is_person() {
            found.push(Finding::warning(
                "fields-taken-over",
                format!(
                    "{} wrote {fields}: it is taken over, and the next apply of that file would take it back",
                    owner.manager
                ),
            ));
        } else if force {
            found.push(Finding::warning(
                "field-conflict",
                format!(
                    "{fields} belongs to {}, which will write it back if it still manages it",
                    owner.manager
                ),
            ));
        } else {
            found.push(
                Finding::blocked("field-conflict", format!("{fields} belongs to {}", owner.manager))
                    .hint(hint),
            );
        }
    }
    found
}

/// A GitOps tool manages the object.
pub(crate) fn managed(instance: &Instance, hint: String) -> Option<Finding> {
    let by = instance.managed_by.first()?;
    let tool = match by.split(['/', '=']).next().unwrap_or_default() {
        "argocd.argoproj.io" => "Argo CD",
        "kustomize.toolkit.fluxcd.io" | "helm.toolkit.fluxcd.io" => "Flux",
        _ => "Helm",
    };
    Some(
        Finding::warning(
            "gitops",
            format!(
                "{} is managed by {tool} ({by}), which will revert a change that is made here",
                instance.id
            ),
        )
        .hint(hint),
    )
}

/// The places where an annotation of an earlier version can be: the object's own annotations, and those into
/// which the webhook of operator 2.2 copies them.
const NOTED: [&str; 3] = [
    "/metadata/annotations",
    "/spec/template/metadata/annotations",
    "/spec/serviceTemplate/metadata/annotations",
];

fn is_ours(key: &str) -> bool {
    key.starts_with("cli.emqx.io/")
}

/// Annotations of an earlier version on an object, as JSON pointers.
pub(crate) fn leftover_notes(object: &Value) -> Vec<String> {
    let mut left = Vec::new();
    for place in NOTED {
        let annotations = object.pointer(place).and_then(Value::as_object);
        let ours = annotations.into_iter().flat_map(|map| map.keys()).filter(|key| is_ours(key));
        left.extend(ours.map(|key| format!("{place}/{}", key.replace('/', "~1"))));
    }
    left
}

/// An apply that changes nothing: it makes this program an owner of all fields of `change` and of what an
/// earlier version left, with their present values, because an apply removes only fields that its manager
/// owns. `None` where nothing was left.
pub(crate) fn claim(object: &Value, change: &Value) -> Option<Value> {
    let left = leftover_notes(object);
    if left.is_empty() {
        return None;
    }
    let mut claim = json!({"apiVersion": change["apiVersion"], "kind": change["kind"],
        "metadata": {"name": change["metadata"]["name"], "namespace": change["metadata"]["namespace"]}});
    claim["spec"] = present(&change["spec"], &object["spec"]).unwrap_or_else(|| json!({}));
    for pointer in &left {
        let mut at = &mut claim;
        for key in pointer.split('/').skip(1) {
            at = &mut at[key.replace("~1", "/").replace("~0", "~")];
        }
        *at = object.pointer(pointer).cloned().unwrap_or_default();
    }
    Some(claim)
}

/// The present values of the fields of `change`; fields that do not exist are omitted.
fn present(change: &Value, now: &Value) -> Option<Value> {
    match change.as_object().filter(|map| !map.is_empty()) {
        None => (!now.is_null()).then(|| now.clone()),
        Some(map) => {
            let found: Map<String, Value> = map
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), present(value, now.get(key)?)?)))
                .collect();
            (!found.is_empty()).then_some(Value::Object(found))
        }
    }
}

/// A delay that this program wrote, that is not in `change`, and that still exists after the apply, because
/// another manager owns it as well (an applied dump of the object). As JSON pointers.
pub fn left_behind(object: &Value, change: &Value) -> Vec<String> {
    let delay = "/spec/blueGreenUpdate/initialDelaySeconds".to_owned();
    // The operator is released with 0, which means the same as no delay.
    let made = [json!(HOLD_SECONDS), json!(0)];
    let ours =
        change.pointer(&delay).is_none() && object.pointer(&delay).is_some_and(|value| made.contains(value));
    if ours { vec![delay] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(managed: &Value) -> Value {
        json!({"metadata": {"name": "emqx", "annotations": {"a": "1"}, "managedFields": managed},
            "spec": {"image": "emqx:1", "updateStrategy": {"type": "Recreate"},
                "list": [{"name": "x", "port": 1}, {"name": "y", "port": 2}], "atomic": [1, 2]}})
    }

    fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    fn found(managed: &Value, change: &Value) -> Vec<(String, String)> {
        let owners = owners(&object(managed), change, "kubectl-emqx");
        owners.into_iter().map(|owner| (owner.manager, owner.fields.join(" "))).collect()
    }

    #[test]
    fn the_owner_of_a_changed_field_is_named_with_all_its_fields() {
        let image = json!({"f:spec": {".": {}, "f:image": {}}});
        let strategy = json!({"f:metadata": {"f:annotations": {".": {}, "f:a": {}}},
            "f:spec": {"f:updateStrategy": {".": {}, "f:type": {}}}});
        let change = json!({"metadata": {"name": "emqx", "annotations": {"a": "2"}},
            "spec": {"image": "emqx:2", "updateStrategy": {"type": "Recreate", "initialDelaySeconds": 10}}});
        let managed = json!([
            entry("kubectl-client-side-apply", "Update", &image),
            entry("kubectl-emqx", "Apply", &image),
            entry("argocd-controller", "Apply", &strategy),
            entry("argocd-controller", "Update", &image),
            entry("argocd-controller", "Apply", &image)
        ]);
        let words = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            found(&managed, &change),
            [
                words("kubectl-client-side-apply", "spec.image"),
                words("argocd-controller", "metadata.annotations.a spec.image")
            ]
        );
    }

    #[test]
    fn equal_values_are_shared_and_the_status_is_ignored() {
        let image = json!({"f:spec": {"f:image": {}}});
        let managed = json!([entry("argocd-controller", "Apply", &image)]);
        assert_eq!(found(&managed, &json!({"spec": {"image": "emqx:1"}})), []);
        let mut status = entry("manager", "Update", &image);
        status["subresource"] = json!("status");
        assert_eq!(found(&json!([status]), &json!({"spec": {"image": "emqx:2"}})), []);
        assert_eq!(found(&Value::Null, &json!({"spec": {"image": "emqx:2"}})), []);
    }

    #[test]
    fn who_applied_an_empty_map_owns_nothing_in_it() {
        let managed = json!([entry("argocd-controller", "Apply", &json!({"f:spec": {}}))]);
        assert_eq!(found(&managed, &json!({"spec": {"image": "emqx:2"}})), []);
    }

    #[test]
    fn an_update_under_our_own_name_collides_with_our_apply() {
        let managed = json!([entry("kubectl-emqx", "Update", &json!({"f:spec": {"f:image": {}}}))]);
        assert_eq!(found(&managed, &json!({"spec": {"image": "emqx:2"}})).len(), 1);
    }

    #[test]
    fn items_of_lists_go_by_their_keys_and_whole_lists_by_their_value() {
        let tree = json!({"f:spec": {"f:list": {"k:{\"name\":\"y\"}": {".": {}, "f:name": {}, "f:port": {}}}, "f:atomic": {}}});
        let managed = json!([entry("flux", "Apply", &tree)]);
        let change =
            json!({"spec": {"list": [{"name": "x", "port": 9}, {"name": "y", "port": 9}], "atomic": [1, 2]}});
        assert_eq!(found(&managed, &change)[0].1, "spec.list[name=y].port");
        assert_eq!(found(&managed, &json!({"spec": {"atomic": [2]}}))[0].1, "spec.atomic");
    }

    #[test]
    fn only_what_we_made_is_left_behind_and_only_if_the_change_does_not_hold_it() {
        let object = |delay: u64| json!({"metadata": {"annotations": {"mine": "x"}}, "spec": {"blueGreenUpdate": {"initialDelaySeconds": delay}}});
        let change = json!({"spec": {"blueGreenUpdate": {}}});
        let delay = "/spec/blueGreenUpdate/initialDelaySeconds";
        assert_eq!(left_behind(&object(HOLD_SECONDS), &change), [delay]);
        assert_eq!(
            left_behind(&object(30), &change),
            [""; 0],
            "a delay that the user set meanwhile is theirs"
        );
        let own = json!({"spec": {"blueGreenUpdate": {"initialDelaySeconds": 0}}});
        assert_eq!(left_behind(&object(0), &own), [""; 0], "a delay that is part of the change stays");
    }

    #[test]
    fn what_an_earlier_version_left_is_claimed_as_it_is_so_that_the_change_takes_it_away() {
        let object = json!({"apiVersion": "apps.emqx.io/v1beta4", "kind": "EmqxEnterprise",
            "metadata": {"name": "ee", "namespace": "mq", "annotations": {"cli.emqx.io/guard": "undo", "mine": "x"}},
            "spec": {"replicas": 4, "template": {"metadata": {"annotations": {"cli.emqx.io/guard": "together", "a": "b"}},
                "spec": {"emqxContainer": {"image": {"version": "4.4.19"}}}}}});
        let change = json!({"apiVersion": "apps.emqx.io/v1beta4", "kind": "EmqxEnterprise",
            "metadata": {"name": "ee", "namespace": "mq"}, "spec": {"template": {"spec": {"emqxContainer": {"image":
                {"version": "4.4.24"}}}}, "blueGreenUpdate": {"initialDelaySeconds": 9}}});
        assert_eq!(
            claim(&object, &change),
            Some(json!({"apiVersion": "apps.emqx.io/v1beta4", "kind": "EmqxEnterprise",
                "metadata": {"name": "ee", "namespace": "mq", "annotations": {"cli.emqx.io/guard": "undo"}},
                "spec": {"template": {"metadata": {"annotations": {"cli.emqx.io/guard": "together"}},
                    "spec": {"emqxContainer": {"image": {"version": "4.4.19"}}}}}}))
        );
        assert_eq!(claim(&json!({"metadata": {"annotations": {"mine": "x"}}}), &change), None);
    }
}
