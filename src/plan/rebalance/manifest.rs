//! The Rebalance manifest: every field written out, in the form that this API server accepts; and what has to be fixed in
//! a manifest of the user.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::error::{Exit, Problem};
use crate::model::{InstanceId, InstanceKind, OperatorLine, Served, Strategy};
use crate::plan::finding::Finding;
use crate::plan::rebalance::plan::PlannedNode;

/// The only version of Rebalance that keeps all fields on every operator that serves the kind.
pub(crate) const REBALANCE_API_VERSION: &str = "apps.emqx.io/v2beta1";

/// The name of a Rebalance that is made now: `<instance>-<YYYYMMDD>-<HHMMSS>` in UTC, truncated to 63
/// characters.
pub(crate) fn name(instance: &str, now: Timestamp) -> String {
    let stamp = now.strftime("%Y%m%d-%H%M%S").to_string();
    let room = 63 - stamp.len() - 1;
    let mut end = instance.len().min(room);
    while !instance.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{stamp}", instance[..end].trim_end_matches(['-', '.']))
}

/// A threshold as every server takes it: `N.M`. The CRD of 2.3 refuses `2`, and any 0 before the dot.
pub(crate) fn decimal(value: f64) -> String {
    let text = format!("{value}");
    if text.contains('.') { text } else { format!("{text}.0") }
}

/// Whether the CRD of 2.3 takes a threshold: `^[1-9]{1,8}\.[0-9]{1,8}$`.
fn fits_two3(text: &str) -> bool {
    let Some((whole, part)) = text.split_once('.') else { return false };
    (1..=8).contains(&whole.len())
        && whole.bytes().all(|digit| (b'1'..=b'9').contains(&digit))
        && (1..=8).contains(&part.len())
        && part.bytes().all(|digit| digit.is_ascii_digit())
}

/// Seconds that are written where a wait of 0 was requested and operator 2.3 would drop the zero. [OP-26]
pub(crate) const SHORTEST_WAIT_SECONDS: u64 = 1;

/// The strategy as a Rebalance of this operator line keeps it. Operator 2.3 drops zeros when it updates the object, and the
/// default of the CRD (60 s) takes the place of a wait of 0 [OP-26]; where the line is not known the same is assumed. The
/// finding names what differs from the request.
pub(crate) fn kept(strategy: &Strategy, operator: OperatorLine) -> (Strategy, Option<Finding>) {
    let mut kept = strategy.clone();
    if operator == OperatorLine::Two2 {
        return (kept, None);
    }
    let mut raised = Vec::new();
    for (flag, seconds) in [
        ("--wait-health-check", &mut kept.wait_health_check_seconds),
        ("--wait-takeover", &mut kept.wait_takeover_seconds),
    ] {
        if *seconds == 0 {
            *seconds = SHORTEST_WAIT_SECONDS;
            raised.push(flag);
        }
    }
    let finding = (!raised.is_empty()).then(|| {
        Finding::warning(
            "zero-wait",
            format!(
                "{} 0: operator {} drops zeros, and the default of 60 s takes their place; {SHORTEST_WAIT_SECONDS} s is written \
                 instead",
                raised.join(" 0 and "),
                if operator == OperatorLine::Two3 { "2.3" } else { "2.3 (this operator's line is not known)" },
            ),
        )
        .hint("--backend emqx keeps waits of 0")
    });
    (kept, finding)
}

/// The strategy as a value of the object.
fn strategy_value(strategy: &Strategy, operator: OperatorLine) -> Result<Value, Problem> {
    let strategy = &kept(strategy, operator).0;
    let rel = |flag: &str, value: f64| -> Result<String, Problem> {
        let text = decimal(value);
        // Where the line is unknown, the stricter form is required: every operator accepts it.
        if operator != OperatorLine::Two2 && !fits_two3(&text) {
            return Err(Problem::usage(
                format!("--{flag} {text} cannot be written into a Rebalance of operator 2.3"),
                "its API takes a number like 1.1: digits 1 to 9 before the dot, no more than 8 behind it",
            )
            .hint(format!("--{flag} 1.1, or drive EMQX itself: --backend emqx")));
        }
        Ok(text)
    };
    let whole = |flag: &str, value: u64| -> Result<u64, Problem> {
        if value > i32::MAX as u64 {
            return Err(Problem::usage(
                format!("--{flag} {value} is too large for a Rebalance"),
                format!("the API takes numbers up to {}", i32::MAX),
            ));
        }
        Ok(value)
    };
    Ok(json!({
        "connEvictRate": whole("conn-evict-rate", strategy.conn_evict_rate)?,
        "sessEvictRate": whole("sess-evict-rate", strategy.sess_evict_rate)?,
        "waitHealthCheck": whole("wait-health-check", strategy.wait_health_check_seconds)?,
        "waitTakeover": whole("wait-takeover", strategy.wait_takeover_seconds)?,
        "absConnThreshold": whole("abs-conn-threshold", strategy.abs_conn_threshold)?,
        "relConnThreshold": rel("rel-conn-threshold", strategy.rel_conn_threshold)?,
        "absSessThreshold": whole("abs-sess-threshold", strategy.abs_sess_threshold)?,
        "relSessThreshold": rel("rel-sess-threshold", strategy.rel_sess_threshold)?,
    }))
}

/// The manifest of a rebalance of this instance.
pub fn manifest(
    instance: &InstanceId,
    name: &str,
    strategy: &Strategy,
    operator: OperatorLine,
) -> Result<Value, Problem> {
    let mut spec = Map::new();
    // The CRD of 2.3 has no such field, and strict validation refuses it.
    if operator == OperatorLine::Two2 {
        spec.insert("instanceKind".into(), json!(instance.kind.as_str()));
    }
    spec.insert("instanceName".into(), json!(instance.name));
    spec.insert("rebalanceStrategy".into(), strategy_value(strategy, operator)?);
    Ok(json!({
        "apiVersion": REBALANCE_API_VERSION,
        "kind": "Rebalance",
        "metadata": { "name": name, "namespace": instance.namespace },
        "spec": spec,
    }))
}

/// The request to EMQX's own API in the names of the manifest, for a comparison: there is no object.
pub(crate) fn without_object(strategy: &Strategy, nodes: &[PlannedNode]) -> Value {
    let nodes: Vec<&str> = nodes.iter().map(|node| node.node.as_str()).collect();
    json!({
        "backend": "emqx",
        "nodes": nodes,
        "rebalanceStrategy": {
            "connEvictRate": strategy.conn_evict_rate,
            "sessEvictRate": strategy.sess_evict_rate,
            "waitHealthCheck": strategy.wait_health_check_seconds,
            "waitTakeover": strategy.wait_takeover_seconds,
            "absConnThreshold": strategy.abs_conn_threshold,
            "relConnThreshold": decimal(strategy.rel_conn_threshold),
            "absSessThreshold": strategy.abs_sess_threshold,
            "relSessThreshold": decimal(strategy.rel_sess_threshold),
        },
    })
}

/// The manifest in the version that is served: v1beta4 where there is no other (operator 2.1), which has no `instanceKind`.
pub fn served_as(mut manifest: Value, served: &Served) -> Value {
    if let Some(version @ "v1beta4") = served.version_of("rebalances") {
        manifest["apiVersion"] = json!(format!("apps.emqx.io/{version}"));
        if let Some(spec) = manifest["spec"].as_object_mut() {
            spec.remove("instanceKind");
        }
    }
    manifest
}

/// Adds an annotation.
pub(crate) fn annotate(manifest: &mut Value, key: &str, text: &str) {
    let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(key.to_owned(), json!(text));
    }
}

/// What a manifest from a file requests.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestRequest {
    /// The name; `None` where it names none.
    pub name: Option<String>,
    /// The beginning of a name that the API server completes (`generateName`); only without `name`, as in kubectl.
    pub generate_name: Option<String>,
    /// The namespace it names.
    pub namespace: Option<String>,
    /// The kind it names; `None` where it names none.
    pub instance_kind: Option<String>,
    pub instance_name: String,
    /// The strategy, with EMQX's defaults for what the manifest omits.
    pub strategy: Strategy,
    /// The manifest itself.
    pub object: Value,
}

/// Reads a manifest of the user. `from` is where it came from, for the messages.
pub fn written(object: Value, from: &str) -> Result<ManifestRequest, Problem> {
    let bad = |why: String| Problem::new(format!("cannot use {from}"), why);
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let kind = text("/kind").unwrap_or_default();
    if kind != "Rebalance" {
        let what =
            if kind.is_empty() { "it has no kind: it is".to_owned() } else { format!("it is a {kind},") };
        return Err(bad(format!("{what} not a Rebalance"))
            .hint("kubectl emqx rebalance generate NAME prints one that can be used"));
    }
    let version = text("/apiVersion").unwrap_or_default();
    if !version.starts_with("apps.emqx.io/") {
        return Err(bad(format!("its apiVersion is {version:?}, not one of apps.emqx.io")));
    }
    let Some(instance_name) = text("/spec/instanceName").filter(|name| !name.is_empty()) else {
        return Err(bad("spec.instanceName is missing".to_owned()));
    };
    let Some(given) = object.pointer("/spec/rebalanceStrategy").and_then(Value::as_object) else {
        return Err(bad("spec.rebalanceStrategy is missing".to_owned()));
    };
    let strategy = read_strategy(given).map_err(bad)?;
    let name = text("/metadata/name").filter(|name| !name.is_empty());
    Ok(ManifestRequest {
        generate_name: text("/metadata/generateName").filter(|stem| !stem.is_empty() && name.is_none()),
        name,
        namespace: text("/metadata/namespace"),
        instance_kind: text("/spec/instanceKind"),
        instance_name,
        strategy,
        object,
    })
}

fn read_strategy(given: &Map<String, Value>) -> Result<Strategy, String> {
    let mut strategy = Strategy::default();
    let known = [
        "connEvictRate",
        "sessEvictRate",
        "waitHealthCheck",
        "waitTakeover",
        "absConnThreshold",
        "relConnThreshold",
        "absSessThreshold",
        "relSessThreshold",
    ];
    if let Some(strange) = given.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("spec.rebalanceStrategy.{strange} is no field of a Rebalance"));
    }
    let whole = |key: &str, least: u64, into: &mut u64| -> Result<(), String> {
        if let Some(value) = given.get(key) {
            *into = value.as_u64().filter(|value| (least..=i32::MAX as u64).contains(value)).ok_or_else(
                || format!("spec.rebalanceStrategy.{key} is {value}, not a whole number of at least {least}"),
            )?;
        }
        Ok(())
    };
    let factor = |key: &str, into: &mut f64| -> Result<(), String> {
        if let Some(value) = given.get(key) {
            let number = value.as_str().map_or_else(|| value.as_f64(), |text| text.parse().ok());
            *into = number.filter(|number: &f64| number.is_finite() && *number > 1.0).ok_or_else(|| {
                format!(
                    "spec.rebalanceStrategy.{key} is {value}; EMQX takes a number above 1.0, written \"1.1\""
                )
            })?;
        }
        Ok(())
    };
    if !given.contains_key("connEvictRate") {
        return Err("spec.rebalanceStrategy.connEvictRate is missing; the API requires it".to_owned());
    }
    whole("connEvictRate", 1, &mut strategy.conn_evict_rate)?;
    whole("sessEvictRate", 1, &mut strategy.sess_evict_rate)?;
    whole("waitHealthCheck", 0, &mut strategy.wait_health_check_seconds)?;
    whole("waitTakeover", 0, &mut strategy.wait_takeover_seconds)?;
    whole("absConnThreshold", 1, &mut strategy.abs_conn_threshold)?;
    whole("absSessThreshold", 1, &mut strategy.abs_sess_threshold)?;
    factor("relConnThreshold", &mut strategy.rel_conn_threshold)?;
    factor("relSessThreshold", &mut strategy.rel_sess_threshold)?;
    Ok(strategy)
}

/// The manifest that is applied, for the instance that was found and its operator; and what had to be changed.
pub fn mended(
    written: &ManifestRequest,
    instance: &InstanceId,
    name: &str,
    operator: OperatorLine,
) -> Result<(Value, Vec<Finding>), Problem> {
    let mut found = Vec::new();
    let mut object = written.object.clone();
    let version = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
    if version != REBALANCE_API_VERSION {
        object["apiVersion"] = json!(REBALANCE_API_VERSION);
        found.push(changed(format!(
            "apiVersion {version} became {REBALANCE_API_VERSION}: in the old version the field instanceKind is lost, and the operator \
             searches an EMQX of that name"
        )));
    }
    let wanted = instance.kind.as_str();
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return Err(Problem::new("cannot use the manifest", "it has no spec"));
    };
    if operator == OperatorLine::Two2 {
        match written.instance_kind.as_deref() {
            Some(kind) if kind == wanted => {}
            Some(kind) => found.push(changed(format!(
                "instanceKind {kind} became {wanted}: {} is an {wanted}",
                instance.name
            ))),
            None if instance.kind == InstanceKind::Emqx => {}
            None => found.push(changed(format!(
                "instanceKind {wanted} was added: without it the operator searches an EMQX named {}",
                instance.name
            ))),
        }
        spec.insert("instanceKind".into(), json!(wanted));
    } else if let Some(kind) = &written.instance_kind {
        spec.remove("instanceKind");
        found.push(changed(format!(
            "instanceKind {kind} was taken out: operator {operator} has no such field"
        )));
    }
    spec.insert("rebalanceStrategy".into(), strategy_value(&written.strategy, operator)?);
    let metadata = object.as_object_mut().map(|object| object.entry("metadata").or_insert_with(|| json!({})));
    let Some(metadata) = metadata.and_then(Value::as_object_mut) else {
        return Err(Problem::new("cannot use the manifest", "its metadata is not a map").exit(Exit::Error));
    };
    if written.generate_name.is_some() {
        metadata.remove("name");
    } else {
        metadata.insert("name".into(), json!(name));
        metadata.remove("generateName");
    }
    metadata.insert("namespace".into(), json!(instance.namespace));
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    Ok((object, found))
}

fn changed(message: String) -> Finding {
    Finding::warning("kind-lost", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ApiVersion;
    use crate::plan::fixtures;

    #[test]
    fn names_are_unique_by_the_second_and_fit() {
        assert_eq!(name("emqx", fixtures::at(0)), "emqx-20261123-100000");
        let long = name(&"a".repeat(80), fixtures::at(0));
        assert_eq!(long.len(), 63);
        assert!(long.ends_with("a-20261123-100000"));
        assert_eq!(
            name(&format!("{}-b", "a".repeat(46)), fixtures::at(0)).len(),
            62,
            "no two dashes in a row"
        );
    }

    #[test]
    fn thresholds_are_written_with_a_dot() {
        assert_eq!(decimal(1.1), "1.1");
        assert_eq!(decimal(2.0), "2.0");
        assert_eq!(decimal(1.05), "1.05");
        for (text, fits) in
            [("1.1", true), ("2", false), ("0.9", false), ("10.5", false), ("9.12345678", true)]
        {
            assert_eq!(fits_two3(text), fits, "{text}");
        }
    }

    #[test]
    fn every_field_is_written_and_the_kind_only_where_it_exists() {
        let id = fixtures::id(ApiVersion::V1beta4);
        let old = manifest(&id, "r", &fixtures::strategy(), OperatorLine::Two2).expect("a manifest");
        assert_eq!(old["spec"]["instanceKind"], "EmqxEnterprise");
        assert_eq!(old["spec"]["rebalanceStrategy"].as_object().map(Map::len), Some(8));
        let new = manifest(&id, "r", &fixtures::strategy(), OperatorLine::Two3).expect("a manifest");
        assert_eq!(new["spec"].get("instanceKind"), None);
        let strategy = Strategy { rel_conn_threshold: 10.5, ..fixtures::strategy() };
        assert!(manifest(&id, "r", &strategy, OperatorLine::Two2).is_ok());
        assert_eq!(manifest(&id, "r", &strategy, OperatorLine::Two3).expect_err("refused").exit, Exit::Usage);
    }

    #[test]
    fn a_wait_of_0_is_written_as_1_where_the_operator_drops_zeros() {
        let id = fixtures::id(ApiVersion::V2);
        let asked =
            Strategy { wait_health_check_seconds: 0, wait_takeover_seconds: 0, ..fixtures::strategy() };
        let waits = |operator| {
            let object = manifest(&id, "r", &asked, operator).expect("a manifest");
            let strategy = &object["spec"]["rebalanceStrategy"];
            (strategy["waitHealthCheck"].as_u64(), strategy["waitTakeover"].as_u64())
        };
        assert_eq!(waits(OperatorLine::Two3), (Some(1), Some(1)));
        assert_eq!(waits(OperatorLine::Unknown), (Some(1), Some(1)));
        assert_eq!(waits(OperatorLine::Two2), (Some(0), Some(0)));
        let (strategy, finding) = kept(&asked, OperatorLine::Two3);
        assert_eq!((strategy.wait_health_check_seconds, strategy.wait_takeover_seconds), (1, 1));
        let finding = finding.expect("it is reported");
        assert!(
            finding.id == "zero-wait"
                && finding.message.contains("--wait-health-check 0 and --wait-takeover 0"),
            "{finding:?}"
        );
        assert_eq!(kept(&fixtures::strategy(), OperatorLine::Two3), (fixtures::strategy(), None));
    }

    #[test]
    fn the_manuals_two_forms_are_fixed_with_a_message() {
        let printed = json!({"apiVersion": "apps.emqx.io/v1beta4", "kind": "Rebalance",
            "metadata": {"name": "rebalance-sample"},
            "spec": {"instanceKind": "EmqxEnterprise", "instanceName": "emqx",
                     "rebalanceStrategy": {"connEvictRate": 10, "relConnThreshold": "1.2"}}});
        let read = written(printed, "r.yaml").expect("a manifest");
        assert!((read.strategy.rel_conn_threshold - 1.2).abs() < 1e-9);
        let id = fixtures::id(ApiVersion::V1beta4);
        let (object, found) = mended(&read, &id, "rebalance-sample", OperatorLine::Two2).expect("mended");
        assert_eq!(object["apiVersion"], REBALANCE_API_VERSION);
        assert_eq!(object["spec"]["instanceKind"], "EmqxEnterprise");
        assert_eq!(found.len(), 1);

        let silent = json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance",
            "spec": {"instanceName": "emqx", "rebalanceStrategy": {"connEvictRate": 10}}});
        let read = written(silent, "r.yaml").expect("a manifest");
        let (object, found) = mended(&read, &id, "x", OperatorLine::Two2).expect("mended");
        assert_eq!(object["spec"]["instanceKind"], "EmqxEnterprise");
        assert!(found[0].message.contains("was added"), "{found:?}");
    }

    #[test]
    fn what_is_not_a_rebalance_is_refused_with_a_message() {
        let why = |value: Value| written(value, "f").expect_err("refused").to_string();
        assert!(why(json!({"kind": "Pod"})).contains("it is a Pod"));
        assert!(why(json!([])).contains("no kind"));
        let with = |strategy: Value| {
            why(json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance",
                "spec": {"instanceName": "e", "rebalanceStrategy": strategy}}))
        };
        assert!(with(json!({})).contains("connEvictRate is missing"));
        assert!(with(json!({"connEvictRate": 0})).contains("at least 1"));
        assert!(with(json!({"connEvictRate": 1, "relConnThreshold": "1,1"})).contains("above 1.0"));
        assert!(with(json!({"connEvictRate": 1, "conEvictRate": 1})).contains("is no field"));
    }
}
