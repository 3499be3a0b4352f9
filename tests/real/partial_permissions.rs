//! Users who may read only a part: the permissions of `plugin-manifest/rbac.yaml`, without some of them.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::program::Program;
use test_support::control_plane::ControlPlane;

/// The shipped rules of all roles together.
fn shipped() -> Vec<Value> {
    let text = include_str!("../../plugin-manifest/rbac.yaml");
    let roles = serde_yaml::Deserializer::from_str(text).map(|one| Value::deserialize(one).expect("YAML"));
    roles.flat_map(|role| role["rules"].as_array().cloned().unwrap_or_default()).collect()
}

/// The shipped rules without these resources, or without one `verb resource`.
fn without(gone: &[&str]) -> Value {
    let mut rules = shipped();
    for rule in &mut rules {
        let resources = rule["resources"].as_array().cloned().unwrap_or_default();
        let verbs = rule["verbs"].as_array().cloned().unwrap_or_default();
        let verbs: Vec<Value> = verbs
            .into_iter()
            .filter(|verb| {
                let one = |resource: &Value| {
                    format!("{} {}", verb.as_str().unwrap_or(""), resource.as_str().unwrap_or(""))
                };
                !resources.iter().any(|resource| gone.contains(&one(resource).as_str()))
            })
            .collect();
        let kept = |it: &Value| it.as_str().is_some_and(|name| !gone.contains(&name));
        rule["resources"] = resources.into_iter().filter(kept).collect();
        rule["verbs"] = verbs.into();
    }
    rules.retain(|rule| rule["resources"] != json!([]) && rule["verbs"] != json!([]));
    json!(rules)
}

/// The program of a user with the shipped permissions in this namespace, without some of them.
pub async fn user<'a>(plane: &'a ControlPlane, name: &str, namespace: &str, gone: &[&str]) -> Program<'a> {
    let kubeconfig = plane.kubeconfig_for(name);
    plane.grant(name, Some(namespace), without(gone)).await;
    Program::of(plane, &kubeconfig, namespace)
}
