//! What the API server, its webhooks and its policies write when they refuse a request.

use serde_json::Value;

/// The server's message. For an invalid object the server repeats every field; the result has each field once.
pub(in crate::k8s) fn message(status: &Value) -> Option<String> {
    let causes =
        status.pointer("/details/causes").and_then(Value::as_array).filter(|_| status["reason"] == "Invalid");
    let wrong: Vec<String> = causes
        .into_iter()
        .flatten()
        .filter_map(|cause| Some((cause["field"].as_str()?, cause["message"].as_str()?)))
        .filter(|(field, _)| !matches!(*field, "" | "<nil>"))
        .map(|(field, message)| format!("{field}: {}", message.replace(&format!("{field} in body "), "it ")))
        .collect();
    if wrong.is_empty() { status["message"].as_str().map(str::to_owned) } else { Some(wrong.join("; ")) }
}

/// The owners of the fields that an apply wanted to write, from the server's `Status`.
pub(in crate::k8s) fn owners(status: &Value) -> Vec<(String, String)> {
    let causes =
        status.pointer("/details/causes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let conflicts = causes.iter().filter(|cause| cause["reason"] == "FieldManagerConflict");
    let text = |cause: &Value, key: &str| cause[key].as_str().unwrap_or_default().to_owned();
    conflicts
        .map(|cause| {
            // `conflict with "NAME" using VERSION at TIME`
            let message = text(cause, "message");
            let manager = message.split('"').nth(1).unwrap_or(&message).to_owned();
            (manager, text(cause, "field").trim_start_matches('.').to_owned())
        })
        .collect()
}

pub(super) fn owned_sentence(owners: &[(String, String)]) -> String {
    let mut managers: Vec<&str> = owners.iter().map(|(manager, _)| manager.as_str()).collect();
    managers.dedup();
    let each = managers.into_iter().map(|manager| {
        let fields: Vec<&str> =
            owners.iter().filter(|(it, _)| it == manager).map(|(_, field)| field.as_str()).collect();
        format!("{} {} to {manager}", fields.join(", "), if fields.len() == 1 { "belongs" } else { "belong" })
    });
    each.collect::<Vec<_>>().join("; ")
}

/// Whether a webhook or a policy refused, which is 403 like a missing permission, or 422 like an invalid object.
pub(super) fn denied(message: &str) -> bool {
    (message.starts_with("admission webhook ") && message.contains(" denied the request"))
        || admission_policy(message).is_some()
}

/// The policy of the API server itself that refused, and what it reports:
/// `… is forbidden: ValidatingAdmissionPolicy 'NAME' with binding 'NAME' denied request: …`.
pub(super) fn admission_policy(message: &str) -> Option<(&str, &str)> {
    let (_, rest) = message.split_once("ValidatingAdmissionPolicy '")?;
    let (name, rest) = rest.split_once('\'')?;
    let (_, text) = rest.split_once(" denied request")?;
    Some((name, text.trim_start_matches([':', ' '])))
}

/// Whether the namespace is being deleted, in which nothing can be created.
pub(super) fn ends(message: &str) -> bool {
    message.contains("because it is being terminated")
}

/// The message of an apply with an unknown field or a value of a wrong type, which is 500.
pub(super) fn typed_sentence(message: &str) -> Option<String> {
    let (_, text) = message.strip_prefix("failed to create typed patch object (")?.split_once("): ")?;
    Some(text.trim_start_matches('.').to_owned())
}

/// The message of a webhook without the server's prefix; or the message that it does not respond.
pub(super) fn webhook_sentence(message: &str) -> Option<String> {
    if let Some((name, text)) = admission_policy(message) {
        let text = if text.is_empty() { "it gives no reason" } else { text };
        return Some(format!("the ValidatingAdmissionPolicy {name} refuses it: {}", bounded(text)));
    }
    if denied(message) {
        let (_, text) = message.split_once(" denied the request")?;
        let text = text.trim_start_matches([':', ' ', '\n']);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text =
            if text.is_empty() || text == "without explanation" { "it gives no reason" } else { &text };
        return Some(format!("{} refuses it: {}", webhook_name(message), bounded(text)));
    }
    let rest = message.trim_start_matches("Internal error occurred: ");
    let away = rest.starts_with("failed calling webhook") || rest.starts_with("conversion webhook for");
    // The server's sentence ends with the cause: `… Post "https://…": dial tcp …: connect: connection refused`.
    away.then(|| {
        let cause = rest.rsplit(": ").next().unwrap_or(rest);
        format!("a webhook that the API server must ask does not answer ({cause})")
    })
}

/// The name of the operator's webhooks, in messages.
pub(super) const OPERATOR_WEBHOOK: &str = "the operator's webhook";

/// The owner of the webhook, by its name: a policy engine, or the operator.
pub(super) fn webhook_name(message: &str) -> String {
    let name = message.split('"').nth(1).unwrap_or_default();
    for (part, owner) in [
        ("kyverno", "Kyverno's policy"),
        ("gatekeeper", "OPA Gatekeeper's policy"),
        ("datree", "Datree's policy"),
        ("kubewarden", "Kubewarden's policy"),
    ] {
        if name.contains(part) {
            return format!("{owner} (webhook {name})");
        }
    }
    if name.ends_with("emqx.io") || name.contains(".apps.emqx.io") {
        OPERATOR_WEBHOOK.to_owned()
    } else {
        format!("the webhook {name}")
    }
}

/// The most characters of a server's sentence that are shown.
const MOST_LETTERS: usize = 600;

/// A sentence of a server, truncated to a readable length.
pub(super) fn bounded(text: &str) -> String {
    match text.char_indices().nth(MOST_LETTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The message for a response that is not an API server's: a login page, a proxy, a load balancer.
pub(super) fn foreign_sentence(code: u16, message: &str) -> Option<String> {
    let page = message.trim_start().starts_with('<');
    match code {
        300..=399 => Some(format!(
            "it redirects ({code}), which no API server does: a login page or a proxy answers there"
        )),
        _ if page => Some(format!("a web page answers there ({code}), not an API server")),
        _ => None,
    }
}
