//! The schemas of the custom resources: the Rebalance definitions of operator 2.2 and 2.3, and the parts of
//! the other kinds that upgrades use (`crds/*.yaml`, excerpts of the operators' own), applied as by the real
//! API server: unknown fields, defaults, then validation. Also the refusals of the webhooks of 2.2.

use serde_json::{Map, Value, json};

use super::resources::{GROUP, Registry, Resource};
use super::scenario::Line;
use super::status::Failure;

const REBALANCES_2_2: &str = include_str!("crds/rebalances-2.2.yaml");
const REBALANCES_2_3: &str = include_str!("crds/rebalances-2.3.yaml");
const INSTANCES: &str = include_str!("crds/emqx.yaml");
/// The only pattern in these definitions.
const RATIO_PATTERN: &str = r"^[1-9]{1,8}\.[0-9]{1,8}$";

/// The handling of unknown fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// The schemas of the served custom resources.
#[derive(Clone, Debug)]
pub(super) struct Schemas {
    line: Line,
    rebalances: Value,
    /// By version.
    instances: Value,
}

impl Schemas {
    pub(super) fn new(line: Line) -> Self {
        let text = if line == Line::V2_3 { REBALANCES_2_3 } else { REBALANCES_2_2 };
        let mut rebalances: Value = serde_yaml::from_str(text).unwrap_or_default();
        rebalances["spec"]["conversion"] = json!({ "strategy": "None" });
        Self { line, rebalances, instances: serde_yaml::from_str(INSTANCES).unwrap_or_default() }
    }

    /// The definitions themselves, for a client that reads them.
    pub(super) fn definitions(&self, registry: &Registry) -> Vec<Value> {
        registry
            .own()
            .map(|resource| {
                let mut definition = if resource.plural == "rebalances" {
                    self.rebalances.clone()
                } else {
                    open_definition(resource)
                };
                definition["status"] = json!({
                    "conditions": [
                        { "type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found", "lastTransitionTime": "2026-01-01T00:00:00Z" },
                        { "type": "Established", "status": "True", "reason": "InitialNamesAccepted", "message": "the initial names have been accepted", "lastTransitionTime": "2026-01-01T00:00:00Z" },
                    ],
                    "acceptedNames": definition["spec"]["names"], "storedVersions": [resource.versions[0]],
                });
                definition
            })
            .collect()
    }

    fn schema(&self, resource: &Resource, version: &str) -> Option<&Value> {
        if resource.plural != "rebalances" {
            return self.instances.get(version).filter(|_| resource.group == GROUP);
        }
        let versions = self.rebalances["spec"]["versions"].as_array()?;
        let found = versions.iter().find(|candidate| candidate["name"] == version)?;
        Some(&found["schema"]["openAPIV3Schema"])
    }

    /// Removes unknown fields, fills defaults in and validates the rest. Returns warnings.
    pub(super) fn admit(
        &self,
        resource: &Resource,
        version: &str,
        object: &mut Value,
        mode: FieldValidation,
    ) -> Result<Vec<String>, Failure> {
        let Some(schema) = self.schema(resource, version) else { return Ok(Vec::new()) };
        let mut unknown = Vec::new();
        prune(schema, object, "", &mut unknown);
        let quoted: Vec<String> = unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect();
        if mode == FieldValidation::Strict && !quoted.is_empty() {
            return Err(Failure::bad_request(format!(
                "{kind} in version \"{version}\" cannot be handled as a {kind}: strict decoding error: {}",
                quoted.join(", "),
                kind = resource.kind,
            )));
        }
        fill(schema, object);
        let mut causes = Vec::new();
        check(schema, object, "", &mut causes);
        if !causes.is_empty() {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            return Err(Failure::invalid(resource, name, &causes));
        }
        Ok(if mode == FieldValidation::Warn { quoted } else { Vec::new() })
    }

    /// The answers of the operator's webhooks; only 2.2 has any.
    pub(super) fn webhook(
        &self,
        resource: &Resource,
        old: Option<&Value>,
        new: &Value,
    ) -> Result<(), Failure> {
        if self.line != Line::V2_2 {
            return Ok(());
        }
        if resource.plural == "emqxenterprises" {
            return version(new).map_err(|why| Failure::denied("validator.enterprise.emqx.io", &why));
        }
        if resource.plural != "rebalances" {
            return Ok(());
        }
        let denied = |why: &str| Err(Failure::denied("vrebalance.kb.io", why));
        match old {
            Some(old) if old["spec"] != new["spec"] => denied("the Rebalance spec don't allow update"),
            Some(_) => Ok(()),
            None => {
                for field in ["relConnThreshold", "relSessThreshold"] {
                    let value = new["spec"]["rebalanceStrategy"][field].as_str().unwrap_or("1.1");
                    if value.parse::<f64>().is_err() {
                        return denied(&format!(
                            "the field \".spec.rebalanceStrategy.{field}\" must be float64"
                        ));
                    }
                }
                Ok(())
            }
        }
    }
}

/// Whether operator 2.2 accepts an EmqxEnterprise of this version.
fn version(object: &Value) -> Result<(), String> {
    let version = &object["spec"]["template"]["spec"]["emqxContainer"]["image"]["version"];
    let version = version.as_str().unwrap_or_default();
    if version == "latest" {
        return Err("image version can not be latest".to_owned());
    }
    let numbers: Vec<u32> =
        version.split('-').next().unwrap_or_default().split('.').flat_map(str::parse).collect();
    match numbers[..] {
        [major, minor, patch] if (major, minor, patch) < (4, 4, 14) => {
            Err(format!("image version {version} is too old, please upgrade to 4.4.14 or later"))
        }
        [major, _, _] if major >= 5 => {
            Err(format!("image version {version} is too new, please downgrade to 5.0.0 earlier"))
        }
        [_, _, _] => Ok(()),
        _ => Err(format!("invalid image version: {version}")),
    }
}

fn open_definition(resource: &Resource) -> Value {
    let versions: Vec<Value> = resource
        .versions
        .iter()
        .enumerate()
        .map(|(place, version)| {
            json!({
                "name": version, "served": true, "storage": place == 0, "subresources": { "status": {} },
                "additionalPrinterColumns": [
                    { "jsonPath": ".status.conditions[?(@.status==\"True\")].type", "name": "Status", "type": "string" },
                    { "jsonPath": ".metadata.creationTimestamp", "name": "Age", "type": "date" },
                ],
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
            })
        })
        .collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{}.{GROUP}", resource.plural) },
        "spec": {
            "group": GROUP, "scope": "Namespaced", "conversion": { "strategy": "None" }, "versions": versions,
            "names": {
                "kind": resource.kind, "listKind": format!("{}List", resource.kind), "plural": resource.plural,
                "singular": resource.singular, "shortNames": resource.short,
            },
        },
    })
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn prune(schema: &Value, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    match value {
        Value::Object(map) => {
            let Some(properties) = schema["properties"].as_object() else { return };
            let top = path.is_empty();
            map.retain(|key, _| {
                let known = properties.contains_key(key);
                if !known {
                    unknown.push(join(path, key));
                }
                known
            });
            for (key, value) in map.iter_mut() {
                if !(top && key == "metadata") {
                    prune(&properties[key], value, &join(path, key), unknown);
                }
            }
        }
        Value::Array(list) => {
            for (place, item) in list.iter_mut().enumerate() {
                prune(&schema["items"], item, &format!("{path}[{place}]"), unknown);
            }
        }
        _ => {}
    }
}

fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, inner) in schema["properties"].as_object().unwrap_or(&Map::new()) {
                // A null with a default counts as absent; one without a default is dropped, as by pruning.
                if map.get(key).is_some_and(Value::is_null) {
                    map.remove(key);
                }
                if !map.contains_key(key)
                    && let Some(default) = inner.get("default")
                {
                    map.insert(key.clone(), default.clone());
                }
                if let Some(value) = map.get_mut(key) {
                    fill(inner, value);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|item| fill(&schema["items"], item)),
        _ => {}
    }
}

type Cause = (&'static str, String, String);

fn check(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let actual = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if let Some(wanted) = schema["type"].as_str()
        && wanted != actual
    {
        causes.push((
            "FieldValueTypeInvalid",
            path.to_owned(),
            format!("Invalid value: \"{actual}\": {path} in body must be of type {wanted}: \"{actual}\""),
        ));
        return;
    }
    if let (Some(number), Some(minimum)) = (value.as_i64(), schema["minimum"].as_i64())
        && number < minimum
    {
        let message =
            format!("Invalid value: {number}: {path} in body should be greater than or equal to {minimum}");
        causes.push(("FieldValueInvalid", path.to_owned(), message));
    }
    if let Some(number) = value.as_i64()
        && schema["format"] == "int32"
        && i32::try_from(number).is_err()
    {
        let message = format!("Invalid value: {number}: {path} in body must be of type int32: \"{number}\"");
        causes.push(("FieldValueInvalid", path.to_owned(), message));
    }
    if let (Some(text), Some(RATIO_PATTERN)) = (value.as_str(), schema["pattern"].as_str())
        && !is_ratio(text)
    {
        let message = format!("Invalid value: \"{text}\": {path} in body should match '{RATIO_PATTERN}'");
        causes.push(("FieldValueInvalid", path.to_owned(), message));
    }
    match value {
        Value::Object(map) => {
            for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if !map.contains_key(required) {
                    causes.push(("FieldValueRequired", join(path, required), "Required value".to_owned()));
                }
            }
            for (key, inner) in schema["properties"].as_object().unwrap_or(&Map::new()) {
                if let Some(value) = map.get(key) {
                    check(inner, value, &join(path, key), causes);
                }
            }
        }
        Value::Array(list) => {
            for (place, item) in list.iter().enumerate() {
                check(&schema["items"], item, &format!("{path}[{place}]"), causes);
            }
        }
        _ => {}
    }
}

/// [`RATIO_PATTERN`], without a regular expression.
fn is_ratio(text: &str) -> bool {
    let digits = |part: &str, from: u8| {
        (1..=8).contains(&part.len()) && part.bytes().all(|byte| (from..=b'9').contains(&byte))
    };
    text.split_once('.').is_some_and(|(whole, rest)| digits(whole, b'1') && digits(rest, b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(line: Line, version: &str, spec: &Value, mode: FieldValidation) -> Result<Value, String> {
        let registry = Registry::new(line);
        let schemas = Schemas::new(line);
        let Some((_, resource)) = registry.find(GROUP, version, "rebalances") else {
            return Err("not served".to_owned());
        };
        let mut object = json!({
            "apiVersion": format!("{GROUP}/{version}"), "kind": "Rebalance", "metadata": { "name": "r" }, "spec": spec,
        });
        schemas
            .admit(resource, version, &mut object, mode)
            .and_then(|_| schemas.webhook(resource, None, &object))
            .map(|()| object["spec"].clone())
            .map_err(|failure| failure.body()["message"].as_str().unwrap_or_default().to_owned())
    }

    fn spec(field: &str, value: impl Into<Value>) -> Value {
        let mut spec = json!({ "instanceName": "emqx", "rebalanceStrategy": { "connEvictRate": 10 } });
        spec["rebalanceStrategy"][field] = value.into();
        spec
    }

    #[test]
    fn defaults_are_filled_in() {
        let stored = admit(Line::V2_2, "v2beta1", &spec("connEvictRate", json!(10)), FieldValidation::Strict);
        let strategy = json!({
            "connEvictRate": 10, "sessEvictRate": 500, "waitHealthCheck": 60, "waitTakeover": 60,
            "absConnThreshold": 1000, "absSessThreshold": 1000, "relConnThreshold": "1.1", "relSessThreshold": "1.1",
        });
        let wanted = json!({ "instanceKind": "EMQX", "instanceName": "emqx", "rebalanceStrategy": strategy });
        assert_eq!(stored, Ok(wanted));
    }

    #[test]
    fn the_pattern_of_2_3_refuses_what_it_really_refuses() {
        for refused in ["2", "0.9", "10.5", "1,1", ""] {
            let stored = admit(
                Line::V2_3,
                "v2beta1",
                &spec("relConnThreshold", json!(refused)),
                FieldValidation::Ignore,
            );
            assert!(stored.is_err_and(|text| text.contains("should match")), "{refused}");
        }
        assert!(
            admit(Line::V2_3, "v2beta1", &spec("relConnThreshold", json!("1.05")), FieldValidation::Ignore)
                .is_ok()
        );
    }

    #[test]
    fn a_rate_is_required_and_at_least_one() {
        let missing = admit(
            Line::V2_2,
            "v2beta1",
            &json!({ "instanceName": "emqx", "rebalanceStrategy": {} }),
            FieldValidation::Ignore,
        );
        assert_eq!(
            missing,
            Err("Rebalance.apps.emqx.io \"r\" is invalid: spec.rebalanceStrategy.connEvictRate: Required value".to_owned())
        );
        let zero = admit(Line::V2_2, "v2beta1", &spec("connEvictRate", json!(0)), FieldValidation::Ignore);
        assert!(zero.is_err_and(|text| text.contains("should be greater than or equal to 1")));
        let text = admit(Line::V2_2, "v2beta1", &spec("connEvictRate", json!("10")), FieldValidation::Ignore);
        assert!(text.is_err_and(|text| text.contains("must be of type integer: \"string\"")));
    }

    #[test]
    fn an_unknown_field_is_pruned_or_refused() {
        let mut with_kind = spec("connEvictRate", json!(10));
        with_kind["instanceKind"] = json!("EmqxEnterprise");
        let strict = admit(Line::V2_3, "v2beta1", &with_kind, FieldValidation::Strict);
        assert!(strict.is_err_and(|text| text.contains("unknown field \"spec.instanceKind\"")));
        let pruned = admit(Line::V2_3, "v2beta1", &with_kind, FieldValidation::Warn);
        assert!(pruned.is_ok_and(|spec| spec["instanceKind"].is_null()));
        assert!(admit(Line::V2_2, "v2beta1", &with_kind, FieldValidation::Strict).is_ok());
    }

    #[test]
    fn the_webhook_of_2_2_wants_numbers() {
        let refused =
            admit(Line::V2_2, "v2beta1", &spec("relConnThreshold", json!("1,1")), FieldValidation::Ignore);
        assert!(refused.is_err_and(|text| text.contains("must be float64")));
    }
}
