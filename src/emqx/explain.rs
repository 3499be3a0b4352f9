//! EMQX's refusals in plain words: HTTP codes and upper-case words on v5, HTTP 200 with `code` ≠ 0 on v4
//! (`emqx-facts.md` 3.1, 3.3).

use serde_json::Value;

use crate::error::{Cause, Exit, Problem};
use crate::model::{Link, Refusal};

/// What is said of an answer that is none of EMQX's.
pub(super) const NOT_EMQX: &str = "what answers there is not EMQX's API";

/// An answer that is a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: u16,
    /// `BAD_REQUEST`, `NOT_FOUND`; on v4 the number.
    pub(super) code: String,
    /// EMQX's own text.
    pub(super) message: String,
}

/// The failure within an answer; `None` when it is a success.
pub(super) fn failure(status: u16, body: &Value) -> Option<Failure> {
    let code = match body.get("code") {
        Some(Value::String(code)) => code.clone(),
        Some(Value::Number(code)) => code.to_string(),
        _ => String::new(),
    };
    // v4 says 200 and means the code; v5's successes have none.
    let good = (200..300).contains(&status) && (code.is_empty() || code == "0");
    (!good).then(|| Failure { status, message: message(body), code })
}

/// The message: nearly always a text, but schema errors hold objects, and Erlang breaks long lists into lines.
fn message(body: &Value) -> String {
    let text = match body.get("message").or_else(|| body.get("reason")) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

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
            (403, _) => "this key may only look, or lacks the scope: EMQX refuses (403)".to_owned(),
            _ => {
                let said = if self.message.is_empty() {
                    format!("EMQX answered {}", self.status)
                } else {
                    format!("EMQX says: {}", self.message)
                };
                match self.refusal() {
                    Some(refusal) if self.message.is_empty() => refusal.sentence().to_owned(),
                    Some(refusal) => format!("{} ({said})", refusal.sentence()),
                    None => said,
                }
            }
        }
    }

    /// The documented refusal that this is.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        Refusal::parse(&self.message).or(match (self.status, self.code.as_str()) {
            (503, _) | (_, "RPC_ERROR") => Some(Refusal::RpcFailed),
            // v4 says 200 and 400 in one.
            (400, "BAD_REQUEST") | (200, "400") => Some(Refusal::BadParameter),
            _ => None,
        })
    }

    /// What the failure of a read says of its source.
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

    /// The problem for a person who wanted to do `what`.
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
                        Refusal::AlreadyStarted | Refusal::NodesUnavailable | Refusal::AgentBusy => {
                            problem.exit(Exit::Refused)
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

    /// The same of an evacuation, whose settings and whose way out are others.
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
    fn success_and_failure_are_told_apart_in_both_versions() {
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
    fn keys_that_are_refused_are_told_apart() {
        let said = |status, code: &str| {
            failure(status, &json!({"code": code, "message": "m"})).map(|it| (it.why(), it.problem("x").hint))
        };
        let (why, hint) = said(401, "BAD_API_KEY_OR_SECRET").expect("a failure");
        assert!(
            why.contains("does not accept this key")
                && hint.is_some_and(|hint| hint.contains("--api-key-file"))
        );
        let (why, _) = said(401, "API_KEY_NOT_ALLOW").expect("a failure");
        assert!(why.contains("does not take API keys"));
        let (why, hint) = said(403, "UNAUTHORIZED_ROLE").expect("a failure");
        assert!(why.contains("only look") && hint.is_some_and(|hint| hint.contains("administrator")));
    }

    #[test]
    fn a_schema_error_may_be_any_json() {
        let failure =
            failure(400, &json!({"code": "BAD_REQUEST", "message": {"conn_evict_rate": "bad"}})).expect("it");
        assert_eq!(failure.refusal(), Some(Refusal::BadParameter));
        assert!(failure.why().contains("conn_evict_rate"));
    }
}
