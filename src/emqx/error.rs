//! EMQX's refusals in plain words: HTTP codes and upper-case names on v5, HTTP 200 with `code` ≠ 0 on v4
//! ([EMQX-53]).

use serde_json::Value;

use crate::error::{Cause, Exit, Problem};
use crate::model::{Link, Refusal};

/// The message about an answer that is not EMQX's.
pub(super) const NOT_EMQX: &str = "what answers there is not EMQX's API";

/// The longest text of EMQX that is shown, in characters.
const MAX_EMQX_TEXT: usize = 300;

/// An answer that is a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: u16,
    /// Whether a web page came back: a proxy's, or EMQX's for a path that it does not know ([EMQX-44]).
    pub(super) web_page: bool,
    /// `BAD_REQUEST`, `NOT_FOUND`; on v4 the number.
    pub(super) code: String,
    /// EMQX's own text.
    pub(super) message: String,
}

/// The failure within an answer; `None` when it is a success.
pub(super) fn failure(status: u16, body: &Value) -> Option<Failure> {
    let (code, message, web_page) = match body {
        Value::String(text) if text.trim_start().starts_with('<') => (String::new(), String::new(), true),
        Value::String(text) => (quoted_code(text).unwrap_or_default(), words(text), false),
        _ => {
            let code = match body.get("code") {
                Some(Value::String(code)) => code.clone(),
                Some(Value::Number(code)) => code.to_string(),
                _ => String::new(),
            };
            (code, message(body), false)
        }
    };
    // v4 answers 200 with an error code; v5's successes have no code. A bare text is never a success of EMQX.
    let good = (200..300).contains(&status) && (code.is_empty() || code == "0") && !body.is_string();
    (!good).then_some(Failure { status, web_page, code, message })
}

/// The message of a JSON body: nearly always a text; for a schema error an object, or a text that contains
/// one.
fn message(body: &Value) -> String {
    match body.get("message").or_else(|| body.get("reason")) {
        Some(Value::String(text)) => match serde_json::from_str::<Value>(text) {
            Ok(inner) if inner.is_object() => schema(&inner).unwrap_or_else(|| words(text)),
            _ => words(text),
        },
        Some(Value::Null) | None => String::new(),
        Some(other) => schema(other).unwrap_or_else(|| words(&other.to_string())),
    }
}

/// A schema error in plain words: the field, its value, and what EMQX expects of it ([EMQX-43]).
fn schema(error: &Value) -> Option<String> {
    let text = |key: &str| error.get(key).and_then(Value::as_str);
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Some(unknown) = text("unknown") {
        return Some(words(&format!("{unknown} is not a field of this EMQX version")));
    }
    let path = text("path")?;
    let field = path.strip_prefix("root.").unwrap_or(path);
    let value = error.get("value").map_or_else(|| "its value".to_owned(), Value::to_string);
    let reason = error.get("reason")?;
    Some(words(&match reason.get("expected") {
        Some(expected) => format!("{field}: {value} is not valid, expected {}", shown(expected)),
        None if reason == "returned_false" => format!("{field}: {value} is out of range"),
        None => format!("{field}: {value} is not valid: {}", shown(reason)),
    }))
}

/// The code in a text such as `Unsupported code 'RPC_ERROR', message <<"…">>`.
fn quoted_code(text: &str) -> Option<String> {
    let (before, rest) = text.split_once('\'')?;
    let (code, _) = rest.split_once('\'')?;
    let named = before.trim_end().ends_with("code");
    (named && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')).then(|| code.to_owned())
}

/// A text of EMQX on one line, shortened. Erlang breaks long terms into lines, and of a call to several nodes
/// only the failed nodes and the reason are useful.
fn words(text: &str) -> String {
    // In a term that was printed twice line breaks are escaped; a binary is printed as `<<"text">>`, of which
    // only the text is useful.
    let text = text.replace("\\n", " ").replace("<<\"", "").replace("\">>", "");
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(failed) = failed_nodes(&line) {
        return failed;
    }
    if line.chars().count() <= MAX_EMQX_TEXT {
        return line;
    }
    line.chars().take(MAX_EMQX_TEXT).chain(['…']).collect()
}

/// `RPC error: invalid_coordinator on emqx@a, emqx@b` out of `{bad_nodes,[{'emqx@a',{error,invalid_coordinator}},…`: the first
/// reason, and the nodes that gave it.
fn failed_nodes(line: &str) -> Option<String> {
    let start = line.find("{bad_nodes,").or_else(|| line.find("{bad_results,"))?;
    let mut found: Vec<(&str, &str)> = Vec::new();
    let mut rest = &line[start..];
    while let Some(at) = rest.find("{'") {
        rest = &rest[at + 2..];
        let Some((node, after)) = rest.split_once('\'') else { break };
        let reason = after.trim_start_matches([',', ' ']).strip_prefix("{error,").and_then(|reason| {
            let end = reason.find('}')?;
            Some(reason[..end].trim())
        });
        let Some(reason) = reason.filter(|_| node.contains('@')) else { break };
        found.push((node, reason));
        rest = after;
    }
    let (_, reason) = *found.first()?;
    let nodes: Vec<&str> =
        found.iter().filter(|(_, other)| *other == reason).map(|(node, _)| *node).take(SHOWN_NODES).collect();
    let more = found.len().saturating_sub(nodes.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Some(format!(
        "RPC error: {} on {}{more}",
        reason.chars().take(MAX_EMQX_TEXT).collect::<String>(),
        nodes.join(", ")
    ))
}

/// The most nodes of an RPC failure that are named.
const SHOWN_NODES: usize = 4;

impl Failure {
    /// The reason in plain words.
    pub(super) fn why(&self) -> String {
        match (self.status, self.code.as_str()) {
            (401, "BAD_API_KEY_OR_SECRET") => {
                "EMQX does not accept this key (it may have been changed or lost, as \
                 happens in an upgrade from 6.2 to 6.3)"
                    .to_owned()
            }
            (401, "API_KEY_NOT_ALLOW") => "EMQX does not take API keys for this call".to_owned(),
            (401, _) => "EMQX does not accept this key (401)".to_owned(),
            (403, code) => {
                let code = if code.is_empty() { String::new() } else { format!(" {code}") };
                format!(
                    "EMQX refuses this key (403{code}): it may only read, or lacks the scope for this call"
                )
            }
            _ if self.web_page => {
                format!("the address answered {} with a web page, which is not EMQX's API", self.status)
            }
            _ => {
                let text = if self.message.is_empty() {
                    format!("EMQX answered {}", self.status)
                } else if self.code.is_empty() {
                    format!("EMQX answered {}: {}", self.status, self.message)
                } else {
                    format!("EMQX reports: {}", self.message)
                };
                match self.refusal() {
                    Some(refusal) if self.message.is_empty() => refusal.sentence().to_owned(),
                    Some(refusal) => format!("{} ({text})", refusal.sentence()),
                    None => text,
                }
            }
        }
    }

    /// The documented refusal that this failure is.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        if self.web_page {
            return None;
        }
        Refusal::parse(&self.message).or(match (self.status, self.code.as_str()) {
            (503, _) | (_, "RPC_ERROR") => Some(Refusal::RpcFailed),
            // v4 answers with the codes 200 and 400 together.
            (400, "BAD_REQUEST") | (200, "400") => Some(Refusal::BadParameter),
            _ => None,
        })
    }

    /// The state of a source after a failed read.
    pub(super) fn link(&self, resource: &'static str) -> Link {
        match self.status {
            401 | 403 => Link::Forbidden(format!("cannot ask EMQX: {}", self.why())),
            404 if resource == "load_rebalance" => Link::Absent(
                "this EMQX has no rebalance API: it is older than 4.4.12 or 5.0.4, or open source before 5.9"
                    .to_owned(),
            ),
            404 => Link::Unreachable(format!("cannot ask EMQX: {NOT_EMQX} (404)")),
            _ => Link::Unreachable(format!("cannot ask EMQX: {}", self.why())),
        }
    }

    /// The problem of an attempt to do `what`.
    pub(super) fn problem(&self, what: impl Into<String>) -> Problem {
        let problem = Problem::new(what, self.why());
        match self.status {
            401 => problem.cause(Cause::Forbidden).hint("give a key of your own with --emqx-url URL --api-key-file FILE; EMQX lists its keys under System, API Key"),
            403 => problem.cause(Cause::Forbidden).hint("use a key with the role administrator (and the scope cluster_operations)"),
            404 if self.refusal().is_none() => problem
                .hint("rebalance needs EMQX 4.4.12, 5.0.4 enterprise, or any 5.9 and later"),
            _ => match self.refusal() {
                Some(refusal) => {
                    let problem = match refusal {
                        Refusal::AlreadyStarted
                        | Refusal::NodesUnavailable
                        | Refusal::AgentBusy
                        | Refusal::NodeHeld => {
                            problem.exit(Exit::Refused).cause(Cause::Refused)
                        }
                        _ => problem,
                    };
                    match refusal.hint() {
                        Some(hint) => problem.hint(hint),
                        None => problem,
                    }
                }
                None => problem,
            },
        }
    }

    /// The same for an evacuation, which has other settings and another hint.
    pub(super) fn of_evacuation(&self, what: impl Into<String>) -> Problem {
        match self.refusal() {
            Some(Refusal::NodesUnavailable) => self
                .problem(what)
                .hint("kubectl emqx nodes shows which do not run, or are being emptied themselves"),
            Some(Refusal::BadParameter) => self.problem(what).hint(
                "rates are whole numbers above 0, waits whole seconds; EMQX before 5.1 takes no health check",
            ),
            _ => self.problem(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn success_and_failure_are_distinguished_in_both_versions() {
        assert_eq!(failure(200, &json!({})), None);
        assert_eq!(failure(200, &json!([])), None);
        assert_eq!(failure(204, &json!(null)), None);
        assert_eq!(failure(200, &json!({"code": 0, "data": []})), None);
        let v4 =
            failure(200, &json!({"code": 400, "message": "error: nothing_to_balance"})).expect("a failure");
        assert_eq!(v4.refusal(), Some(Refusal::NothingToBalance));
        let v5 =
            failure(400, &json!({"code": "NOT_FOUND", "message": "Nodes unavailable: ['a@h',\n     'b@h']"}));
        let v5 = v5.expect("a failure");
        assert_eq!(v5.refusal(), Some(Refusal::NodesUnavailable));
        assert_eq!(v5.message, "Nodes unavailable: ['a@h', 'b@h']");
        assert_eq!(v5.problem("cannot start").exit, Exit::Refused);
    }

    #[test]
    fn refused_keys_are_distinguished() {
        let text = |status, code: &str| {
            failure(status, &json!({"code": code, "message": "m"})).map(|it| (it.why(), it.problem("x").hint))
        };
        let (why, hint) = text(401, "BAD_API_KEY_OR_SECRET").expect("a failure");
        assert!(
            why.contains("does not accept this key")
                && hint.is_some_and(|hint| hint.contains("--api-key-file"))
        );
        let (why, _) = text(401, "API_KEY_NOT_ALLOW").expect("a failure");
        assert!(why.contains("does not take API keys"));
        let (why, hint) = text(403, "UNAUTHORIZED_ROLE").expect("a failure");
        assert!(why.contains("only read") && hint.is_some_and(|hint| hint.contains("administrator")));
    }

    #[test]
    fn a_schema_error_may_be_any_json() {
        let failure =
            failure(400, &json!({"code": "BAD_REQUEST", "message": {"conn_evict_rate": "bad"}})).expect("it");
        assert_eq!(failure.refusal(), Some(Refusal::BadParameter));
        assert!(failure.why().contains("conn_evict_rate"));
    }

    /// The refusals of the real EMQX: request path, status and body, in the recorded order.
    #[expect(clippy::disallowed_methods, reason = "a recording of the tests is read where it lies")]
    fn recorded(file: &str) -> Vec<(String, u16, Value)> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recorded").join(file);
        let text = std::fs::read_to_string(path).expect("the recording");
        let exchange = |line: &str| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let status = line["status"].as_u64().and_then(|status| u16::try_from(status).ok());
            let path = line["path"].as_str().expect("a path").to_owned();
            (path, status.expect("a status"), line["body"].clone())
        };
        text.lines().map(exchange).collect()
    }

    const REFUSALS: [&str; 4] = [
        "emqx-5.4-refusals-to-the-plugin.jsonl",
        "emqx-5.4-refusals-while-running.jsonl",
        "emqx-5.8-refusals.jsonl",
        "emqx-5.10-refusals.jsonl",
    ];

    #[test]
    fn a_start_that_meets_a_held_node_names_the_reason_and_the_nodes() {
        let mut seen = 0;
        for (_, status, body) in REFUSALS.into_iter().flat_map(recorded) {
            if status != 500 || !body.is_string() {
                continue;
            }
            seen += 1;
            let failure = failure(status, &body).expect("a failure");
            assert_eq!((failure.code.as_str(), failure.refusal()), ("RPC_ERROR", Some(Refusal::NodeHeld)));
            assert_eq!(
                failure.why(),
                "another rebalance or evacuation holds this node, so EMQX could not start a second one with it \
                 (EMQX reports: RPC error: invalid_coordinator on emqx@127.0.0.1, emqx@127.0.0.2, emqx@127.0.0.3)"
            );
            let problem = failure.problem("cannot start");
            assert_eq!(problem.exit, Exit::Refused);
            assert!(problem.hint.is_some_and(|hint| hint.contains("kubectl emqx status")));
        }
        assert!(seen >= 3, "{seen}");
    }

    #[test]
    fn every_recorded_refusal_is_short_and_has_a_reason() {
        for (path, status, body) in REFUSALS.into_iter().flat_map(recorded) {
            let Some(failure) = failure(status, &body) else { continue };
            let why = failure.why();
            assert!(why.chars().count() < 2 * MAX_EMQX_TEXT, "{path}: {why}");
            assert!(!why.contains(['\n', '<']) && !why.contains("  "), "{path}: {why}");
            let of_a_start = path.ends_with("/start") || path.ends_with("/stop");
            assert!(!of_a_start || failure.refusal().is_some() || status == 403, "{path}: {why}");
        }
    }

    #[test]
    fn a_schema_error_names_the_field_its_value_and_what_emqx_expects() {
        let why = |message: &str| {
            failure(400, &json!({ "code": "BAD_REQUEST", "message": message })).expect("a failure").message
        };
        assert_eq!(
            why(
                r#"{"value":0,"reason":{"expected":"pos_integer()"},"path":"root.conn_evict_rate","kind":"validation_error"}"#
            ),
            "conn_evict_rate: 0 is not valid, expected pos_integer()"
        );
        assert_eq!(
            why(
                r#"{"value":1,"reason":"returned_false","path":"root.rel_conn_threshold","kind":"validation_error"}"#
            ),
            "rel_conn_threshold: 1 is out of range"
        );
        assert_eq!(
            why(
                r#"{"unmatched":"abs_conn_threshold,...","unknown":"conn_evict_rpc_timeout","reason":"unknown_fields","path":"root","kind":"validation_error"}"#
            ),
            "conn_evict_rpc_timeout is not a field of this EMQX version"
        );
        assert_eq!(why("Invalid json message received"), "Invalid json message received");
    }

    #[test]
    fn other_reasons_within_a_text_and_other_pages_are_read_too() {
        let read = |status, text: &str| failure(status, &json!(text)).expect("a failure");
        let evacuated = read(
            500,
            "Unsupported code 'RPC_ERROR', message <<\"RPC error on node 'emqx@b': {'EXIT',\n {{{bad_results,\n [{'emqx@a',\n {error,eviction_agent_busy}}]},[]}}}\">>",
        );
        assert_eq!(evacuated.refusal(), Some(Refusal::NodeHeld));
        let down = read(
            500,
            "not support code 'RPC_ERROR', message <<\"RPC error on node 'emqx@b': {'EXIT',{{{bad_nodes,[{'emqx@a',{error,nodedown}}]}\">>",
        );
        assert_eq!(down.refusal(), Some(Refusal::RpcFailed));
        assert!(down.why().contains("nodedown on emqx@a"), "{}", down.why());
        let long = read(500, &"x y ".repeat(5000));
        assert!(long.message.chars().count() <= MAX_EMQX_TEXT + 1);
        let page = read(404, "<html><head><title>404 - NOT FOUND</title></head></html>");
        assert_eq!(page.why(), "the address answered 404 with a web page, which is not EMQX's API");
        assert_eq!(read(503, "<html>upstream</html>").refusal(), None);
        assert!(failure(200, &json!("a text")).is_some(), "no success of EMQX's is a bare text");
    }
}
