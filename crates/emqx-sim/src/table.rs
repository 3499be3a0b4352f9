//! The tables that kubectl prints: columns and cells made by the server, ages by the virtual clock.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::resources::{GROUP, Resource};

/// A column: name, type, and whether only `-o wide` shows it.
type Column = (&'static str, &'static str, bool);

const NAME: Column = ("Name", "string", false);
const AGE: Column = ("Age", "string", false);

const fn text(name: &'static str) -> Column {
    (name, "string", false)
}

const fn number(name: &'static str) -> Column {
    (name, "integer", false)
}

const fn wide(name: &'static str) -> Column {
    (name, "string", true)
}

fn columns(resource: &Resource) -> Vec<Column> {
    match resource.plural {
        "pods" => vec![
            NAME,
            text("Ready"),
            text("Status"),
            text("Restarts"),
            AGE,
            wide("IP"),
            wide("Node"),
            wide("Nominated Node"),
            wide("Readiness Gates"),
        ],
        "statefulsets" => vec![NAME, text("Ready"), AGE, wide("Containers"), wide("Images")],
        "replicasets" => {
            vec![
                NAME,
                number("Desired"),
                number("Current"),
                number("Ready"),
                AGE,
                wide("Containers"),
                wide("Images"),
            ]
        }
        "deployments" => vec![NAME, text("Ready"), number("Up-to-date"), number("Available"), AGE],
        "services" => {
            vec![
                NAME,
                text("Type"),
                text("Cluster-IP"),
                text("External-IP"),
                text("Port(s)"),
                AGE,
                wide("Selector"),
            ]
        }
        "secrets" => vec![NAME, text("Type"), number("Data"), AGE],
        "configmaps" => vec![NAME, number("Data"), AGE],
        "events" => vec![
            text("Last Seen"),
            text("Type"),
            text("Reason"),
            text("Object"),
            text("Message"),
            wide("Name"),
        ],
        "endpointslices" => vec![NAME, text("AddressType"), text("Ports"), text("Endpoints"), AGE],
        "customresourcedefinitions" => vec![NAME, text("Created At")],
        _ => vec![NAME, text("Status"), AGE],
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn join<'a>(list: &'a Value, item: impl Fn(&'a Value) -> String) -> String {
    let parts: Vec<String> = list.as_array().into_iter().flatten().map(item).collect();
    if parts.is_empty() { "<none>".to_owned() } else { parts.join(",") }
}

fn images(object: &Value) -> [Value; 2] {
    let containers = &object["spec"]["template"]["spec"]["containers"];
    [
        json!(join(containers, |one| string(&one["name"]))),
        json!(join(containers, |one| string(&one["image"]))),
    ]
}

fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let name = metadata["name"].clone();
    let created = json!(age(&metadata["creationTimestamp"], now));
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let part = |ready: &Value| json!(format!("{}/{}", count(ready), count(&spec["replicas"])));
    match resource.plural {
        "pods" => pod_cells(object, name, created),
        "statefulsets" => {
            let [containers, images] = images(object);
            vec![name, part(&status["readyReplicas"]), created, containers, images]
        }
        "replicasets" => {
            let [containers, images] = images(object);
            let counts = [&spec["replicas"], &status["replicas"], &status["readyReplicas"]].map(count);
            vec![name, json!(counts[0]), json!(counts[1]), json!(counts[2]), created, containers, images]
        }
        "deployments" => {
            let counts = [&status["updatedReplicas"], &status["availableReplicas"]].map(count);
            vec![name, part(&status["readyReplicas"]), json!(counts[0]), json!(counts[1]), created]
        }
        "services" => {
            let ports = join(&spec["ports"], |port| {
                format!("{}/{}", count(&port["port"]), port["protocol"].as_str().unwrap_or("TCP"))
            });
            let selector: Vec<String> = spec["selector"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, value)| format!("{key}={}", string(value)))
                .collect();
            let address = spec["clusterIP"].as_str().unwrap_or("None").to_owned();
            let kind = spec["type"].as_str().unwrap_or("ClusterIP").to_owned();
            vec![
                name,
                json!(kind),
                json!(address),
                json!("<none>"),
                json!(ports),
                created,
                json!(selector.join(",")),
            ]
        }
        "secrets" => {
            let kind = object["type"].as_str().unwrap_or("Opaque").to_owned();
            vec![
                name,
                json!(kind),
                json!(object["data"].as_object().map_or(0, serde_json::Map::len)),
                created,
            ]
        }
        "configmaps" => {
            vec![name, json!(object["data"].as_object().map_or(0, serde_json::Map::len)), created]
        }
        "events" => {
            let about = &object["involvedObject"];
            let target = format!("{}/{}", string(&about["kind"]).to_lowercase(), string(&about["name"]));
            let last = json!(age(&object["lastTimestamp"], now));
            vec![
                last,
                object["type"].clone(),
                object["reason"].clone(),
                json!(target),
                object["message"].clone(),
                name,
            ]
        }
        "endpointslices" => {
            let ports = join(&object["ports"], |port| count(&port["port"]).to_string());
            let addresses = join(&object["endpoints"], |endpoint| join(&endpoint["addresses"], string));
            vec![name, object["addressType"].clone(), json!(ports), json!(shorten(&addresses)), created]
        }
        "namespaces" => vec![name, json!(status["phase"].as_str().unwrap_or("Active")), created],
        "customresourcedefinitions" => vec![name, metadata["creationTimestamp"].clone()],
        _ => vec![name, custom_status(resource, object), created],
    }
}

/// Rebalances show their phase, instances the first condition that is True.
fn custom_status(resource: &Resource, object: &Value) -> Value {
    if resource.group != GROUP {
        return Value::Null;
    }
    if resource.plural == "rebalances" {
        return object["status"]["phase"].clone();
    }
    let conditions = object["status"]["conditions"].as_array();
    let first = conditions.into_iter().flatten().find(|condition| condition["status"] == "True");
    first.map_or(Value::Null, |condition| condition["type"].clone())
}

/// The server shows three addresses and how many more there are.
fn shorten(addresses: &str) -> String {
    let all: Vec<&str> = addresses.split(',').collect();
    if all.len() <= 3 {
        addresses.to_owned()
    } else {
        format!("{} + {} more...", all[..3].join(","), all.len() - 3)
    }
}

fn pod_cells(object: &Value, name: Value, created: Value) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let containers = status["containerStatuses"].as_array();
    let ready = containers.into_iter().flatten().filter(|container| container["ready"] == true).count();
    let restarts: u64 = containers.into_iter().flatten().filter_map(|one| one["restartCount"].as_u64()).sum();
    let total = spec["containers"].as_array().map_or(0, Vec::len);
    let phase = if object["metadata"]["deletionTimestamp"].is_null() {
        status["phase"].as_str().unwrap_or("Unknown")
    } else {
        "Terminating"
    };
    let gates = spec["readinessGates"].as_array();
    let passed = gates
        .into_iter()
        .flatten()
        .filter(|gate| {
            let conditions = status["conditions"].as_array();
            conditions
                .into_iter()
                .flatten()
                .any(|condition| condition["type"] == gate["conditionType"] && condition["status"] == "True")
        })
        .count();
    let gates = gates.map_or_else(|| "<none>".to_owned(), |gates| format!("{passed}/{}", gates.len()));
    let or_none = |value: &Value| json!(value.as_str().unwrap_or("<none>"));
    vec![
        name,
        json!(format!("{ready}/{total}")),
        json!(phase),
        json!(restarts.to_string()),
        created,
        or_none(&status["podIP"]),
        or_none(&spec["nodeName"]),
        json!("<none>"),
        json!(gates),
    ]
}

/// An age in kubectl's format.
fn age(since: &Value, now: Timestamp) -> String {
    let Some(since) = since.as_str().and_then(|text| text.parse::<Timestamp>().ok()) else {
        return "<unknown>".to_owned();
    };
    let seconds = now.as_second() - since.as_second();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let pair = |big: i64, unit: char, small: i64, small_unit: char| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, 'd', hours % 24, 'h'),
        _ => format!("{days}d"),
    }
}

fn row(resource: &Resource, object: &Value, now: Timestamp) -> Value {
    json!({
        "cells": cells(resource, object, now),
        "object": { "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] },
    })
}

fn definitions(resource: &Resource) -> Value {
    columns(resource)
        .into_iter()
        .map(|(name, kind, wide)| {
            json!({
                "name": name, "type": kind, "format": if name == "Name" { "name" } else { "" },
                "description": "", "priority": i32::from(wide),
            })
        })
        .collect()
}

/// A table of one object; later tables of a watch have no columns.
pub(super) fn one(resource: &Resource, object: &Value, now: Timestamp, with_columns: bool) -> Value {
    let columns = if with_columns { definitions(resource) } else { Value::Null };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1",
        "metadata": { "resourceVersion": object["metadata"]["resourceVersion"] },
        "columnDefinitions": columns, "rows": [row(resource, object, now)],
    })
}

/// A table of a list or of one object.
pub(super) fn of(resource: &Resource, answer: &Value, now: Timestamp) -> Value {
    let Some(items) = answer["items"].as_array() else { return one(resource, answer, now, true) };
    let rows: Vec<Value> = items.iter().map(|item| row(resource, item, now)).collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": answer["metadata"],
        "columnDefinitions": definitions(resource), "rows": rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_written_as_kubectl_writes_them() {
        let now = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(10_000_000);
        let written = |seconds: i64| {
            let since = now - jiff::SignedDuration::from_secs(seconds);
            age(&json!(super::super::clock::rfc3339(since)), now)
        };
        assert_eq!(written(0), "0s");
        assert_eq!(written(119), "119s");
        assert_eq!(written(125), "2m5s");
        assert_eq!(written(180), "3m");
        assert_eq!(written(3600), "60m");
        assert_eq!(written(4 * 3600 + 60), "4h1m");
        assert_eq!(written(40 * 3600), "40h");
        assert_eq!(written(3 * 86_400), "3d");
        assert_eq!(age(&Value::Null, now), "<unknown>");
    }
}
