//! Kubernetes' errors, with the texts of the real API server.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::managed::Conflict;
use super::resources::Resource;

/// A `Status` object of failure.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failure {
    pub(super) code: u16,
    reason: &'static str,
    message: String,
    details: Value,
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: String, details: Value) -> Self {
        Self { code, reason, message, details }
    }

    fn about(resource: &Resource, name: &str) -> Value {
        let mut details = json!({ "kind": resource.plural });
        if !name.is_empty() {
            details["name"] = json!(name);
        }
        if !resource.group.is_empty() {
            details["group"] = json!(resource.group);
        }
        details
    }

    /// `pods` or `rebalances.apps.emqx.io`.
    fn qualified(resource: &Resource) -> String {
        if resource.group.is_empty() {
            resource.plural.to_owned()
        } else {
            format!("{}.{}", resource.plural, resource.group)
        }
    }

    pub(super) fn no_path() -> Self {
        let text = "the server could not find the requested resource".to_owned();
        Self::new(404, "NotFound", text, json!({}))
    }

    pub(super) fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", Self::qualified(resource));
        Self::new(404, "NotFound", message, Self::about(resource, name))
    }

    pub(super) fn exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", Self::qualified(resource));
        Self::new(409, "AlreadyExists", message, Self::about(resource, name))
    }

    pub(super) fn conflict(resource: &Resource, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please apply your changes to the latest version and try again",
            Self::qualified(resource)
        );
        Self::new(409, "Conflict", message, Self::about(resource, name))
    }

    /// Fields of an apply that other managers own.
    pub(super) fn field_conflicts(conflicts: &[Conflict]) -> Self {
        let message = match conflicts {
            [one] => format!("1 conflict: conflict with {}: {}", one.manager, one.field),
            many => {
                let managers: BTreeSet<&str> = many.iter().map(|it| it.manager.as_str()).collect();
                let mut lines = Vec::new();
                for manager in managers {
                    lines.push(format!("conflicts with {manager}:"));
                    let own = many.iter().filter(|it| it.manager == manager);
                    lines.extend(own.map(|it| format!("- {}", it.field)));
                }
                format!("{} conflicts: {}", many.len(), lines.join("\n"))
            }
        };
        let causes: Vec<Value> = conflicts
            .iter()
            .map(|it| {
                json!({
                    "reason": "FieldManagerConflict", "message": format!("conflict with {}", it.manager),
                    "field": it.field,
                })
            })
            .collect();
        Self::new(409, "Conflict", format!("Apply failed with {message}"), json!({ "causes": causes }))
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized".to_owned(), json!({}))
    }

    /// `scope` is a namespace, or empty for the whole cluster.
    pub(super) fn forbidden(
        user: &str,
        verb: &str,
        resource: &Resource,
        sub: &str,
        scope: &str,
        name: &str,
    ) -> Self {
        let place = if scope.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{scope}\"")
        };
        let subject = if name.is_empty() {
            Self::qualified(resource)
        } else {
            format!("{} \"{name}\"", Self::qualified(resource))
        };
        let full =
            if sub.is_empty() { resource.plural.to_owned() } else { format!("{}/{sub}", resource.plural) };
        let message = format!(
            "{subject} is forbidden: User \"{user}\" cannot {verb} resource \"{full}\" in API group \"{}\" {place}",
            resource.group
        );
        Self::new(403, "Forbidden", message, Self::about(resource, name))
    }

    /// A PodDisruptionBudget does not allow an eviction now.
    pub(super) fn disrupted(budget: &str, needs: u64, has: u64) -> Self {
        let text = "Cannot evict pod as it would violate the pod's disruption budget.".to_owned();
        let cause =
            format!("The disruption budget {budget} needs {needs} healthy pods and has {has} currently");
        let causes = json!({ "causes": [{ "reason": "DisruptionBudget", "message": cause }] });
        Self::new(429, "TooManyRequests", text, causes)
    }

    /// A request that the eviction API does not support.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "InternalError", message.into(), json!({}))
    }

    /// A delete of another object with the same name.
    pub(super) fn other_uid(resource: &Resource, name: &str, wanted: &str, has: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": Precondition failed: UID in precondition: {wanted}, UID in object meta: {has}",
            Self::qualified(resource)
        );
        Self::new(409, "Conflict", message, Self::about(resource, name))
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message.into(), json!({}))
    }

    pub(super) fn method() -> Self {
        let text = "the server does not allow this method on the requested resource".to_owned();
        Self::new(405, "MethodNotAllowed", text, json!({}))
    }

    pub(super) fn too_large() -> Self {
        Self::new(
            413,
            "RequestEntityTooLarge",
            "Request entity too large: limit is 3145728".to_owned(),
            json!({}),
        )
    }

    pub(super) fn media_type(what: &str) -> Self {
        let text = format!(
            "the body of the request was in an unknown format - accepted media types include: {what}"
        );
        Self::new(415, "UnsupportedMediaType", text, json!({}))
    }

    pub(super) fn gone(version: u64, floor: u64) -> Self {
        Self::new(410, "Expired", format!("too old resource version: {version} ({floor})"), json!({}))
    }

    /// A webhook's refusal.
    pub(super) fn denied(webhook: &str, why: &str) -> Self {
        let message = format!("admission webhook \"{webhook}\" denied the request: {why}");
        Self::new(403, "Forbidden", message, json!({}))
    }

    /// 422; `causes` are (reason, field, message).
    pub(super) fn invalid(resource: &Resource, name: &str, causes: &[(&str, String, String)]) -> Self {
        let lines: Vec<String> =
            causes.iter().map(|(_, field, message)| format!("{field}: {message}")).collect();
        let text = if lines.len() == 1 { lines.concat() } else { format!("[{}]", lines.join(", ")) };
        let kind = format!("{}.{}", resource.kind, resource.group);
        let message = format!("{kind} \"{name}\" is invalid: {text}");
        let mut details = Self::about(resource, name);
        details["kind"] = json!(resource.kind);
        details["causes"] = causes
            .iter()
            .map(|(reason, field, message)| json!({ "reason": reason, "field": field, "message": message }))
            .collect();
        Self::new(422, "Invalid", message, details)
    }

    pub(super) fn body(&self) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message,
            "reason": self.reason, "details": self.details, "code": self.code,
        })
    }
}
