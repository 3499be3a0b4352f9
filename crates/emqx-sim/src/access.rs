//! The users and their permissions: bearer tokens with fixed permissions, so that a test can be "a user who
//! may read only a part". The kubeconfig has a context for each user.
//!
//! kubectl sends no token over plain HTTP, so each context's server address also names its user: `/as/<user>`. A token,
//! where one is sent, decides.

use serde_json::{Value, json};

use super::resources::Resource;

/// The users; the token of each is its name.
pub(super) const USERS: [&str; 10] = [
    "admin",
    "viewer",
    "no-secrets",
    "no-endpoints",
    "no-pods",
    "no-gates",
    "no-patch",
    "no-rebalances",
    "no-leases",
    "nobody",
];

/// The permission that a request needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct AccessRequest<'a> {
    pub(super) verb: &'a str,
    pub(super) resource: &'a str,
    pub(super) sub: &'a str,
}

/// A known user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User(pub(super) &'static str);

impl User {
    /// The user of an `Authorization` header, or without one the user of the address.
    pub(super) fn of(header: Option<&str>, address: Option<&str>) -> Option<Self> {
        let token = match header {
            Some(header) => header.strip_prefix("Bearer ")?.trim(),
            None => address?,
        };
        USERS.iter().find(|known| **known == token).map(|known| Self(known))
    }

    pub(super) fn may(self, access: AccessRequest<'_>) -> bool {
        let reads = ["get", "list", "watch"].contains(&access.verb);
        match self.0 {
            "admin" => true,
            "viewer" => reads && access.resource != "secrets" && access.sub != "portforward",
            "no-secrets" => access.resource != "secrets",
            "no-endpoints" => access.resource != "endpointslices",
            "no-pods" => access.resource != "pods",
            "no-gates" => reads || (access.resource, access.sub) != ("pods", "status"),
            // Everything except marking and changing a Rebalance.
            "no-patch" => (access.verb, access.resource) != ("patch", "rebalances"),
            "no-rebalances" => access.resource != "rebalances",
            "no-leases" => access.resource != "leases",
            _ => false,
        }
    }

    /// Answers a `SelfSubjectAccessReview`.
    pub(super) fn review(self, review: &Value) -> Value {
        let requested = &review["spec"]["resourceAttributes"];
        let attribute = |key: &str| requested[key].as_str().unwrap_or_default();
        let access = AccessRequest {
            verb: attribute("verb"),
            resource: attribute("resource"),
            sub: attribute("subresource"),
        };
        let mut answer = review.clone();
        answer["kind"] = json!("SelfSubjectAccessReview");
        answer["apiVersion"] = json!("authorization.k8s.io/v1");
        answer["status"] = json!({ "allowed": self.may(access) });
        answer
    }

    /// Answers a `SelfSubjectRulesReview`.
    pub(super) fn rules<'a>(self, resources: impl Iterator<Item = &'a Resource>) -> Value {
        let mut rules = Vec::new();
        for resource in resources {
            let verbs: Vec<&str> = ["get", "list", "watch", "create", "update", "patch", "delete"]
                .into_iter()
                .filter(|verb| self.may(AccessRequest { verb, resource: resource.plural, sub: "" }))
                .collect();
            if !verbs.is_empty() {
                rules.push(
                    json!({ "verbs": verbs, "apiGroups": [resource.group], "resources": [resource.plural] }),
                );
            }
        }
        json!({
            "kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1", "spec": {},
            "status": { "resourceRules": rules, "nonResourceRules": [], "incomplete": false },
        })
    }
}

/// The kubeconfig: a context `demo` for the admin, and one for every other user.
pub(super) fn kubeconfig(url: &str, namespace: &str) -> String {
    let name = |user: &'static str| if user == "admin" { "demo" } else { user };
    let context = |user: &&'static str| {
        let name = name(user);
        json!({ "name": name, "context": { "cluster": name, "namespace": namespace, "user": user } })
    };
    let cluster = |user: &&'static str| json!({ "name": name(user), "cluster": { "server": format!("{url}/as/{user}") } });
    let contexts: Vec<Value> = USERS.iter().map(context).collect();
    let clusters: Vec<Value> = USERS.iter().map(cluster).collect();
    let users: Vec<Value> =
        USERS.iter().map(|user| json!({ "name": user, "user": { "token": user } })).collect();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "demo", "contexts": contexts, "users": users,
        "clusters": clusters,
    });
    // JSON is valid YAML; YAML is easier to read.
    serde_yaml::to_string(&config).unwrap_or_else(|_| config.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_may_do_what_its_name_states() {
        let may = |token: &str, verb: &str, resource: &str, sub: &str| {
            User::of(Some(&format!("Bearer {token}")), None)
                .is_some_and(|user| user.may(AccessRequest { verb, resource, sub }))
        };
        assert!(may("admin", "create", "rebalances", ""));
        assert!(may("viewer", "list", "pods", ""));
        assert!(!may("viewer", "get", "pods", "portforward"));
        assert!(!may("viewer", "create", "rebalances", ""));
        assert!(!may("viewer", "get", "secrets", ""));
        assert!(may("no-secrets", "create", "rebalances", ""));
        assert!(!may("no-pods", "list", "pods", ""));
        assert!(may("no-gates", "patch", "emqxes", ""));
        assert!(!may("no-gates", "patch", "pods", "status"));
        assert!(may("no-patch", "delete", "rebalances", "") && !may("no-patch", "patch", "rebalances", ""));
        assert!(
            may("no-rebalances", "list", "emqxes", "") && !may("no-rebalances", "list", "rebalances", "")
        );
        assert!(!may("nobody", "list", "emqxes", ""));
        assert_eq!(User::of(Some("Bearer unknown"), Some("admin")), None);
        assert_eq!(User::of(None, None), None);
        assert_eq!(User::of(None, Some("viewer")), Some(User("viewer")));
    }
}
