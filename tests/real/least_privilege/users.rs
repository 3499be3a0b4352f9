//! Users with exactly the permissions of a test: each permission is a role of its own, bound to a group of
//! its name, and a user's groups are in the certificate.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::table::{CLUSTER_WIDE, LEASES, group};
use crate::program::Program;
use test_support::control_plane::{ControlPlane, until};

/// `list pods` as a rule.
pub fn rule(right: &str) -> Value {
    let (verb, resource) = parts(right);
    json!({ "apiGroups": [group(resource)], "resources": [resource], "verbs": [verb] })
}

fn parts(right: &str) -> (&str, &str) {
    right.split_once(' ').expect("a verb and a resource")
}

fn cluster_wide(right: &str) -> bool {
    CLUSTER_WIDE.contains(&parts(right).1)
}

/// Makes the groups for a namespace.
pub async fn make_groups(plane: &ControlPlane, namespace: &str, rights: &BTreeSet<&str>) {
    let mut objects = Vec::new();
    for right in rights {
        // The operator's Lease is listed in all namespaces; this program's Lease is read in one.
        let everywhere = cluster_wide(right) || *right == LEASES;
        if everywhere && namespace != plane.namespace() {
            continue;
        }
        let metadata = json!({ "name": right.replace([' ', '/'], "-"), "namespace": namespace });
        let kind = if everywhere { "ClusterRole" } else { "Role" };
        objects
            .push(json!({ "apiVersion": RBAC, "kind": kind, "metadata": metadata, "rules": [rule(right)] }));
        objects.push(json!({ "apiVersion": RBAC, "kind": format!("{kind}Binding"), "metadata": metadata,
            "roleRef": { "apiGroup": GROUP, "kind": kind, "name": metadata["name"] },
            "subjects": [{ "apiGroup": GROUP, "kind": "Group", "name": right }] }));
    }
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string();
    plane.kubectl_as(&plane.admin_kubeconfig(), &["create", "-f", "-"], Some(&list)).await.ok();
    let reviews = Api::<SubjectAccessReview>::all(plane.admin_client().await);
    for right in rights {
        let (verb, resource) = parts(right);
        let (plural, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let question = json!({ "spec": { "user": "anyone", "groups": [right], "resourceAttributes": {
            "namespace": if cluster_wide(right) { "" } else { namespace }, "verb": verb,
            "group": group(resource), "resource": plural, "subresource": subresource } } });
        let question = serde_json::from_value(question).expect("a review");
        until(&format!("leave to {right}"), Duration::from_mins(1), async || {
            match reviews.create(&PostParams::default(), &question).await {
                Ok(answer) if answer.status.as_ref().is_some_and(|it| it.allowed) => Ok(()),
                Ok(answer) => Err(format!("{:?}", answer.status)),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }
}

const GROUP: &str = "rbac.authorization.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// The program of a user with these permissions.
pub fn user<'a>(plane: &'a ControlPlane, name: &str, namespace: &str, rights: &[&str]) -> Program<'a> {
    Program::of(plane, &plane.kubeconfig_in(name, rights), namespace)
}
