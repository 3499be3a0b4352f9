//! `plugin-manifest/rbac.yaml` has the permissions of the table as roles: none less, and none more.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::cases;
use super::table::{EVERYWHERE, KINDS, Layer, Verb, When, table};
use super::users::user;
use crate::program::notices;
use test_support::control_plane::ControlPlane;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugin-manifest/rbac.yaml");

/// The roles as they are shipped, with `verb group/resource` of all their rules.
fn shipped() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(FILE).expect("the roles");
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned)).collect()
    };
    let mut roles = BTreeMap::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let role = Value::deserialize(document).expect("YAML");
        let mut rights = BTreeSet::new();
        for rule in role["rules"].as_array().expect("rules") {
            for (group, resource) in words(&rule["apiGroups"])
                .iter()
                .flat_map(|group| words(&rule["resources"]).into_iter().map(move |it| (group.clone(), it)))
            {
                rights.extend(words(&rule["verbs"]).iter().map(|verb| format!("{verb} {group}/{resource}")));
            }
        }
        roles.insert(role["metadata"]["name"].as_str().expect("a name").to_owned(), rights);
    }
    roles
}

/// A permission that is verified for one kind is granted for each kind: a role does not depend on the kind.
fn kindred(right: &str) -> Vec<String> {
    let (verb, resource) = right.split_once(' ').expect("a verb and a resource");
    let resources = if KINDS.contains(&resource) { KINDS.to_vec() } else { vec![resource] };
    resources.iter().map(|it| format!("{verb} {}/{it}", super::table::group(it))).collect()
}

#[test]
fn the_shipped_roles_are_what_the_commands_need_and_no_more() {
    let verbs = table();
    let needs = || verbs.iter().flat_map(|verb| &verb.needs);
    let mut wanted: BTreeMap<String, BTreeSet<String>> = Layer::ALL
        .map(|layer| {
            let rights = needs().filter(|need| need.layer == layer).flat_map(|need| kindred(need.right));
            (layer.role().to_owned(), rights.collect())
        })
        .into();
    wanted.entry(Layer::Nodes.role().to_owned()).or_default().extend(kindred(EVERYWHERE));
    assert_eq!(shipped(), wanted);
}

/// Applies the file to the API server, which binds its roles to groups of the same names.
pub async fn install(plane: &ControlPlane) {
    plane.kubectl(&["apply", "-f", FILE]).await.ok();
    for layer in Layer::ALL.into_iter().filter(|layer| *layer != Layer::Nodes) {
        let (role, namespace) = (layer.role(), plane.namespace());
        let bound =
            [format!("--clusterrole={role}"), format!("--group={role}"), format!("--namespace={namespace}")];
        let args: Vec<&str> =
            ["create", "rolebinding", role].into_iter().chain(bound.iter().map(String::as_str)).collect();
        plane.kubectl(&args).await.ok();
    }
}

/// A user with all roles lacks nothing. A user with the viewer's role can read everything, and gets one
/// notice about missing permissions.
pub async fn enough(plane: &ControlPlane, pod: &str) -> Vec<String> {
    let verbs: Vec<Verb> = table().into_iter().filter(|verb| verb.when == When::Idle).collect();
    let all = Layer::ALL.map(Layer::role);
    let (whole, looks) =
        (user(plane, "whole", plane.namespace(), &all), user(plane, "looks", plane.namespace(), &all[..1]));
    let mut wrong = Vec::new();
    for verb in &verbs {
        let reads = verb.needs.iter().all(|need| matches!(need.layer, Layer::View | Layer::Ask))
            && !["apply", "start"].iter().any(|act| verb.name.contains(act));
        let asks = verb.needs.iter().any(|need| need.layer == Layer::Ask);
        let args = verb.args_for(pod);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (out, poor) = futures::join!(cases::promptly(&whole, &args), cases::promptly(&looks, &args));
        if (out.code, notices(&out).len()) != (Some(verb.exit), 0) {
            wrong.push(format!("{} with every role: {}", verb.name, cases::as_text(&out)));
        }
        if reads && (poor.code, notices(&poor).len()) != (Some(verb.exit), usize::from(asks)) {
            wrong.push(format!("{} with the first role: {}", verb.name, cases::as_text(&poor)));
        }
    }
    wrong
}
