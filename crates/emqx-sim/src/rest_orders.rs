//! The start requests that EMQX's REST API accepts, and the texts with which it refuses others.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::orders::{EvacuationOrder, RebalanceOrder};
use super::refusal::Refusal;
use super::scenario::Api;

/// Reads the fields of a start request; an invalid one is refused with the text of EMQX's schema.
struct Fields<'a> {
    body: &'a Map<String, Value>,
    api: Api,
}

impl Fields<'_> {
    /// EMQX 5 gives a JSON text within `message`.
    fn refuse<T>(&self, field: &str, expected: &Value) -> Result<T, Refusal> {
        if self.api == Api::V1beta4 {
            return Err(Refusal::Bad(format!("{{{field},invalid}}")));
        }
        let value = self.body.get(field).map_or_else(String::new, Value::to_string);
        Err(Refusal::Bad(format!(
            r#"{{"value":{value},"reason":{expected},"path":"root.{field}","kind":"validation_error"}}"#
        )))
    }

    fn expected<T>(&self, field: &str, kind: &str) -> Result<T, Refusal> {
        self.refuse(field, &json!({ "expected": kind }))
    }

    fn check_known(&self, known: &[&str]) -> Result<(), Refusal> {
        let Some(unknown) = self.body.keys().find(|key| !known.contains(&key.as_str())) else {
            return Ok(());
        };
        if self.api == Api::V1beta4 {
            return Err(Refusal::Bad(format!("{{{unknown},unknown_fields}}")));
        }
        let mut sorted = known.to_vec();
        sorted.sort_unstable();
        let unmatched = format!("{},...", sorted[..2].join(","));
        Err(Refusal::Bad(format!(
            r#"{{"unmatched":"{unmatched}","unknown":"{unknown}","reason":"unknown_fields","path":"root","kind":"validation_error"}}"#
        )))
    }

    /// A number, which EMQX 5 also takes as a text.
    fn number(&self, field: &str) -> Option<Value> {
        match self.body.get(field)? {
            Value::String(text) if self.api != Api::V1beta4 => {
                Some(serde_json::from_str(text).unwrap_or(Value::Null))
            }
            value => Some(value.clone()),
        }
    }

    fn count(&self, field: &str, default: u64) -> Result<u64, Refusal> {
        match self.number(field) {
            None => Ok(default),
            Some(value) => value
                .as_u64()
                .filter(|&count| count > 0)
                .map_or_else(|| self.expected(field, "pos_integer()"), Ok),
        }
    }

    fn seconds(&self, field: &str, default: Duration) -> Result<Duration, Refusal> {
        match self.body.get(field) {
            None => Ok(default),
            Some(Value::Number(number)) => match number.as_u64() {
                Some(seconds) => Ok(Duration::from_secs(seconds)),
                None => self.expected(field, "emqx_schema:timeout_duration_s()"),
            },
            Some(Value::String(text)) if self.api != Api::V1beta4 => match duration(text) {
                Some(span) => Ok(span),
                None => self.expected(field, "emqx_schema:timeout_duration_s()"),
            },
            Some(_) => self.expected(field, "emqx_schema:timeout_duration_s()"),
        }
    }

    fn ratio(&self, field: &str, default: f64) -> Result<f64, Refusal> {
        match self.number(field) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .filter(|&ratio| ratio > 1.0)
                .map_or_else(|| self.refuse(field, &json!("returned_false")), Ok),
        }
    }

    /// The time limit of a round: milliseconds, or a duration.
    fn timeout(&self, field: &str, default: Duration) -> Result<Duration, Refusal> {
        match self.body.get(field) {
            None => Ok(default),
            Some(Value::Number(number)) if number.as_u64().is_some() => {
                Ok(Duration::from_millis(number.as_u64().unwrap_or_default()))
            }
            Some(Value::String(text)) => match duration(text) {
                Some(span) => Ok(span),
                None => self.expected(field, "emqx_schema:timeout_duration_ms()"),
            },
            Some(_) => self.expected(field, "emqx_schema:timeout_duration_ms()"),
        }
    }

    fn nodes(&self, field: &str) -> Result<Option<Vec<String>>, Refusal> {
        let Some(value) = self.body.get(field) else { return Ok(None) };
        let list: Option<Vec<String>> = value
            .as_array()
            .map(|list| list.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect::<Vec<_>>())
            .filter(|list| !list.is_empty() && Some(list.len()) == value.as_array().map(Vec::len));
        list.map_or_else(|| self.expected(field, "[binary(),...]"), |list| Ok(Some(list)))
    }
}

/// EMQX's duration strings, as far as seconds, minutes and hours go: `10s`, `1m30s`, `500ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match rest.get(..letters)? {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            _ => return None,
        };
        total = total.checked_add(unit)?;
        rest = rest.get(letters..)?;
    }
    (!text.is_empty()).then_some(total)
}

pub(super) fn rebalance_order(
    body: &Map<String, Value>,
    api: Api,
    has_timeouts: bool,
) -> Result<RebalanceOrder, Refusal> {
    let fields = Fields { body, api };
    let mut known = vec![
        "nodes",
        "conn_evict_rate",
        "sess_evict_rate",
        "wait_health_check",
        "wait_takeover",
        "abs_conn_threshold",
        "abs_sess_threshold",
        "rel_conn_threshold",
        "rel_sess_threshold",
    ];
    if has_timeouts {
        known.extend(["conn_evict_rpc_timeout", "sess_evict_rpc_timeout"]);
    }
    fields.check_known(&known)?;
    let mut order = RebalanceOrder::default();
    order.nodes = fields.nodes("nodes")?;
    order.conn_rate = fields.count("conn_evict_rate", order.conn_rate)?;
    order.sess_rate = fields.count("sess_evict_rate", order.sess_rate)?;
    order.wait_health_check = fields.seconds("wait_health_check", order.wait_health_check)?;
    order.wait_takeover = fields.seconds("wait_takeover", order.wait_takeover)?;
    order.conn.abs = fields.count("abs_conn_threshold", 1000)? as f64;
    order.sess.abs = fields.count("abs_sess_threshold", 1000)? as f64;
    order.conn.rel = fields.ratio("rel_conn_threshold", order.conn.rel)?;
    order.sess.rel = fields.ratio("rel_sess_threshold", order.sess.rel)?;
    order.conn_timeout = fields.timeout("conn_evict_rpc_timeout", order.conn_timeout)?;
    order.sess_timeout = fields.timeout("sess_evict_rpc_timeout", order.sess_timeout)?;
    Ok(order)
}

pub(super) fn evacuation_order(body: &Map<String, Value>, api: Api) -> Result<EvacuationOrder, Refusal> {
    let fields = Fields { body, api };
    let mut known = vec!["conn_evict_rate", "sess_evict_rate", "wait_takeover", "redirect_to", "migrate_to"];
    if api != Api::V1beta4 {
        known.push("wait_health_check");
    }
    fields.check_known(&known)?;
    let mut order = EvacuationOrder::default();
    order.conn_rate = fields.count("conn_evict_rate", order.conn_rate)?;
    order.sess_rate = fields.count("sess_evict_rate", order.sess_rate)?;
    order.wait_health_check = fields.seconds("wait_health_check", order.wait_health_check)?;
    order.wait_takeover = fields.seconds("wait_takeover", order.wait_takeover)?;
    order.migrate_to = fields.nodes("migrate_to")?;
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_emqx_writes_them() {
        assert_eq!(duration("10s"), Some(Duration::from_secs(10)));
        assert_eq!(duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("10"), None);
        assert_eq!(duration(""), None);
        assert_eq!(duration("9999999999999999999h"), None);
    }

    #[test]
    fn an_order_is_read_strictly() {
        let read = |body: Value| match body {
            Value::Object(body) => rebalance_order(&body, Api::V2beta1, false).map(|order| order.conn_rate),
            _ => Ok(0),
        };
        assert_eq!(read(json!({ "conn_evict_rate": 10, "wait_takeover": "10s" })), Ok(10));
        assert!(read(json!({ "conn_evict_rate": 0 })).is_err());
        assert_eq!(read(json!({ "conn_evict_rate": "10", "rel_conn_threshold": "1.1" })), Ok(10));
        assert!(read(json!({ "conn_evict_rate": "ten" })).is_err());
        assert!(read(json!({ "rel_conn_threshold": 1.0 })).is_err());
        assert!(read(json!({ "conn_evict_rpc_timeout": 15000 })).is_err());
        assert!(read(json!({ "nodes": [] })).is_err());
        assert!(read(json!({ "nodes": ["a", 7] })).is_err());
    }
}
