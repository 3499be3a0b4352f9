//! EMQX v2beta1, v2, v3beta1 and EmqxEnterprise, EmqxBroker v1beta4 ([OP-71] to [OP-73], [OP-76]). The same
//! field name has different meanings in different versions, so every count is named here once:
//!
//! | version | live clients | sessions | an absent one is |
//! | --- | --- | --- | --- |
//! | v1beta4 | `live_connections` | `connections` | absent / 0 |
//! | v2beta1 | `live_connections` | `connections` | 0 / 0 |
//! | v2 | `connections` | `sessions` | 0 / 0 |
//! | v3beta1 | `connections` | `sessions` | absent |
//!
//! For a node that does not run, every absent count is unknown.

use std::collections::BTreeMap;

use serde_json::Value;

use super::field::{Head, at, conditions, flag, list, number, text, texts, time};
use super::hocon;
use crate::model::{
    ApiPort, ApiVersion, BlueGreen, Evacuation, GuardState, ImageParts, Instance, InstanceId, InstanceKind,
    Node, NodeName, PodName, Requests, Revisions, Role, Stage, UpdateSpec,
};

pub(super) fn read(object: &Value, kind: &str, version: &str) -> Result<Instance, String> {
    let head = Head::read(object).ok_or("it has no name")?;
    let api = ApiVersion::parse(version).ok_or_else(|| format!("version {version} is not known"))?;
    let kind = InstanceKind::parse(kind).ok_or("its kind is not known")?;
    let v1beta4 = api == ApiVersion::V1beta4;
    Ok(Instance {
        id: InstanceId { kind, namespace: head.namespace, name: head.name },
        api,
        standalone: false,
        uid: head.uid,
        resource_version: head.resource_version,
        generation: number(object, &["metadata", "generation"]).unwrap_or(0),
        created: head.created,
        deleting: head.deleting,
        image: if v1beta4 { image_v1beta4(object) } else { text(object, &["spec", "image"]) },
        cores: if v1beta4 {
            number(object, &["spec", "replicas"])
        } else {
            number(object, &["spec", "coreTemplate", "spec", "replicas"])
        },
        replicants: replicants(object, api),
        conditions: conditions(object, &["status", "conditions"]),
        nodes: nodes(object, api),
        core_revisions: core_revisions(object, api),
        replicant_revisions: replicant_revisions(object, api),
        evacuations: evacuations(object, api),
        blue_green: at(object, &["status", "blueGreenUpdateStatus"]).filter(|_| v1beta4).map(|status| {
            BlueGreen {
                origin: text(status, &["originStatefulSet"]),
                current: text(status, &["currentStatefulSet"]),
                started: time(status, &["startedAt"]),
            }
        }),
        api_port: api_port(object, api),
        managed_by: managed_by(object),
        update: update(object, api),
        image_parts: v1beta4.then(|| at(object, &IMAGE_V1BETA4)).flatten().map(image_parts),
        requests: requests(object, api),
        durable_sessions: durable_sessions(object, api),
        guard: GuardState::of_notes(&notes(object)),
        notes: notes(object),
    })
}

/// The path of the image in v1beta4.
const IMAGE_V1BETA4: [&str; 5] = ["spec", "template", "spec", "emqxContainer", "image"];

fn image_parts(image: &Value) -> ImageParts {
    ImageParts {
        registry: text(image, &["registry"]),
        repository: text(image, &["repository"]),
        prefix: text(image, &["prefix"]),
        version: text(image, &["version"]),
        suffix: text(image, &["suffix"]),
    }
}

/// The settings of updates: `blueGreenUpdate` of v1beta4, `updateStrategy` of the others, whose rates v3beta1
/// names in full.
fn update(object: &Value, api: ApiVersion) -> UpdateSpec {
    let block =
        if api == ApiVersion::V1beta4 { ["spec", "blueGreenUpdate"] } else { ["spec", "updateStrategy"] };
    let Some(block) = at(object, &block) else { return UpdateSpec::default() };
    let strategy = at(block, &["evacuationStrategy"]);
    let of = |key: &str| strategy.and_then(|strategy| number(strategy, &[key]));
    let (conn, sess) = match api {
        ApiVersion::V3beta1 => ("connectionEvictionRate", "sessionEvictionRate"),
        _ => ("connEvictRate", "sessEvictRate"),
    };
    // A number or a percentage.
    let amount = |key: &str| {
        let value = at(block, &["replicants", key])?;
        value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|number| number.to_string()))
    };
    UpdateSpec {
        present: true,
        evacuation: strategy.is_some(),
        disabled: strategy.and_then(|it| text(it, &["type"])).as_deref() == Some("Disabled"),
        initial_delay: number(block, &["initialDelaySeconds"]),
        conn_evict_rate: of(conn),
        sess_evict_rate: of(sess),
        wait_takeover: of("waitTakeover"),
        wait_health_check: of("waitHealthCheck"),
        max_unavailable: amount("maxUnavailable"),
        max_surge: amount("maxSurge"),
    }
}

fn requests(object: &Value, api: ApiVersion) -> Requests {
    let v1beta4 = api == ApiVersion::V1beta4;
    let of = |template: &str, what: &str| {
        if v1beta4 {
            text(object, &["spec", "template", "spec", "emqxContainer", "resources", "requests", what])
        } else {
            text(object, &["spec", template, "spec", "resources", "requests", what])
        }
    };
    let claim =
        |path: &[&str]| at(object, path).is_some_and(|it| at(it, &["resources", "requests"]).is_some());
    Requests {
        core_cpu: of("coreTemplate", "cpu"),
        core_memory: of("coreTemplate", "memory"),
        replicant_cpu: of("replicantTemplate", "cpu").filter(|_| !v1beta4),
        replicant_memory: of("replicantTemplate", "memory").filter(|_| !v1beta4),
        volumes: match api {
            ApiVersion::V1beta4 => at(object, &["spec", "persistent"]).is_some(),
            ApiVersion::V3beta1 => {
                at(object, &["spec", "coreTemplate", "spec", "persistentVolumeClaimSpec"]).is_some()
            }
            // The operator writes an absent one back as `volumeClaimTemplates: {resources: {}}`.
            _ => claim(&["spec", "coreTemplate", "spec", "volumeClaimTemplates"]),
        },
    }
}

fn durable_sessions(object: &Value, api: ApiVersion) -> bool {
    match api {
        ApiVersion::V3beta1 => {
            flag(object, &["spec", "config", "roots", "durable_sessions", "enable"]) == Some(true)
        }
        _ => text(object, &["spec", "config", "data"])
            .and_then(|data| hocon::lookup(&data, &["durable_sessions", "enable"]))
            .is_some_and(|enable| enable == "true"),
    }
}

/// The prefix of this program's annotations.
const OURS: &str = "cli.emqx.io/";

fn notes(object: &Value) -> BTreeMap<String, String> {
    let annotations = at(object, &["metadata", "annotations"]).and_then(Value::as_object);
    annotations
        .into_iter()
        .flatten()
        .filter(|(key, _)| key.starts_with(OURS))
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// The reference that the operator builds: `[registry/]repository:prefix+version+suffix`.
fn image_v1beta4(object: &Value) -> Option<String> {
    let image = at(object, &IMAGE_V1BETA4)?;
    let part = |key: &str| text(image, &[key]).unwrap_or_default();
    let mut name = part("registry");
    if !name.is_empty() {
        name.push('/');
    }
    name.push_str(&part("repository"));
    let tag = format!("{}{}{}", part("prefix"), part("version"), part("suffix"));
    if !tag.is_empty() {
        name.push(':');
        name.push_str(&tag);
    }
    (!name.is_empty()).then_some(name)
}

fn replicants(object: &Value, api: ApiVersion) -> Option<u64> {
    if api == ApiVersion::V1beta4 {
        return Some(0);
    }
    match at(object, &["spec", "replicantTemplate"]) {
        None => Some(0),
        // The default is 0 in the code of v3beta1, and 2 in the schema of the others (so that it is written).
        Some(template) => {
            number(template, &["spec", "replicas"]).or((api == ApiVersion::V3beta1).then_some(0))
        }
    }
}

fn nodes(object: &Value, api: ApiVersion) -> Vec<Node> {
    if api == ApiVersion::V1beta4 {
        return list(object, &["status", "emqxNodes"])
            .filter_map(|node| self::node(node, api, None))
            .collect();
    }
    let of = |key: &'static str, role: Role| {
        list(object, &["status", key]).filter_map(move |node| self::node(node, api, Some(role)))
    };
    of("coreNodes", Role::Core).chain(of("replicantNodes", Role::Replicant)).collect()
}

fn node(node: &Value, api: ApiVersion, role: Option<Role>) -> Option<Node> {
    let raw = matches!(api, ApiVersion::V1beta4 | ApiVersion::V2beta1);
    let (name, state) = if raw { ("node", "node_status") } else { ("name", "status") };
    let running = text(node, &[state]).is_some_and(|state| state.eq_ignore_ascii_case("running"));
    let zero = |dropped: bool| (dropped && running).then_some(0);
    let (connections, sessions) = match api {
        // The type of v1beta4 has no `live_connections`; a later one that has it is read.
        ApiVersion::V1beta4 => {
            (number(node, &["live_connections"]), number(node, &["connections"]).or(zero(true)))
        }
        ApiVersion::V2beta1 => (
            number(node, &["live_connections"]).or(zero(true)),
            number(node, &["connections"]).or(zero(true)),
        ),
        ApiVersion::V2 => {
            (number(node, &["connections"]).or(zero(true)), number(node, &["sessions"]).or(zero(true)))
        }
        ApiVersion::V3beta1 => (number(node, &["connections"]), number(node, &["sessions"])),
    };
    Some(Node {
        name: NodeName::from(text(node, &[name])?),
        pod: text(node, &["podName"]).map(PodName::from),
        pod_uid: text(node, &["podUID"]),
        role: text(node, &["role"]).and_then(|role| Role::parse(&role)).or(role),
        running,
        stopped: false,
        connections,
        sessions,
        version: text(node, &["version"]),
        edition: text(node, &["edition"]),
        ..Node::default()
    })
}

fn core_revisions(object: &Value, api: ApiVersion) -> Revisions {
    match api {
        ApiVersion::V1beta4 => Revisions {
            replicas: number(object, &["status", "replicas"]).unwrap_or(0),
            ready: number(object, &["status", "readyReplicas"]).unwrap_or(0),
            current: text(object, &["status", "currentStatefulSetVersion"]),
            ..Revisions::default()
        },
        ApiVersion::V2beta1 | ApiVersion::V2 => revisions(at(object, &["status", "coreNodesStatus"])),
        ApiVersion::V3beta1 => {
            let status = at(object, &["status", "coreNodesStatus"]);
            let count = |key: &str| status.and_then(|status| number(status, &[key])).unwrap_or(0);
            Revisions {
                replicas: number(object, &["status", "coreReplicas"]).unwrap_or(0),
                ready: count("readyReplicas"),
                current_replicas: count("currentReplicas"),
                update_replicas: count("updatedReplicas"),
                ..Revisions::default()
            }
        }
    }
}

fn replicant_revisions(object: &Value, api: ApiVersion) -> Revisions {
    let mut found = revisions(at(object, &["status", "replicantNodesStatus"]));
    if api == ApiVersion::V3beta1 {
        found.replicas = number(object, &["status", "replicantReplicas"]).unwrap_or(0);
    }
    found
}

/// Every version omits zeros here.
fn revisions(status: Option<&Value>) -> Revisions {
    let Some(status) = status else { return Revisions::default() };
    let count = |key: &str| number(status, &[key]).unwrap_or(0);
    Revisions {
        replicas: count("replicas"),
        ready: count("readyReplicas"),
        current: text(status, &["currentRevision"]),
        update: text(status, &["updateRevision"]),
        current_replicas: count("currentReplicas"),
        update_replicas: count("updateReplicas"),
    }
}

fn evacuations(object: &Value, api: ApiVersion) -> Vec<Evacuation> {
    let names = |value: &Value, key: &str| texts(value, &[key]).into_iter().map(NodeName::from).collect();
    let snake = |value: &Value| {
        let state = text(value, &["state"]).unwrap_or_default();
        Some(Evacuation {
            node: text(value, &["node"])?.into(),
            stage: Stage::parse(&state),
            recipients: names(value, "session_recipients"),
            conn_evict_rate: number(value, &["connection_eviction_rate"]),
            sess_evict_rate: number(value, &["session_eviction_rate"]),
            initial_connections: number(value, &["stats", "initial_connected"]),
            connections: number(value, &["stats", "current_connected"]),
            initial_sessions: number(value, &["stats", "initial_sessions"]),
            sessions: number(value, &["stats", "current_sessions"]),
            state,
        })
    };
    let camel = |value: &Value| {
        let state = text(value, &["state"]).unwrap_or_default();
        Some(Evacuation {
            node: text(value, &["nodeName"])?.into(),
            stage: Stage::parse(&state),
            recipients: names(value, "sessionRecipients"),
            conn_evict_rate: number(value, &["connectionEvictionRate"]),
            sess_evict_rate: number(value, &["sessionEvictionRate"]),
            // The operator omits zeros, and current counts do not exist.
            initial_connections: number(value, &["initialConnections"]).or(Some(0)),
            connections: None,
            initial_sessions: number(value, &["initialSessions"]).or(Some(0)),
            sessions: None,
            state,
        })
    };
    let listed = |path: &[&str]| list(object, path).cloned().collect::<Vec<_>>();
    match api {
        ApiVersion::V1beta4 => listed(&["status", "blueGreenUpdateStatus", "evacuationsStatus"])
            .iter()
            .filter_map(snake)
            .collect(),
        // 2.2.0 misspelt the key.
        ApiVersion::V2beta1 => listed(&["status", "nodeEvacuationsStatus"])
            .iter()
            .chain(&listed(&["status", "nodEvacuationsStatus"]))
            .filter_map(snake)
            .collect(),
        ApiVersion::V2 => listed(&["status", "nodeEvacuationsStatus"]).iter().filter_map(camel).collect(),
        ApiVersion::V3beta1 => listed(&["status", "nodeEvacuations"]).iter().filter_map(camel).collect(),
    }
}

/// The port at which the operator itself calls EMQX ([OP-78]): 8081 on v1beta4; else the dashboard's
/// listener, http at 18083 unless the configuration binds it elsewhere or (0) nowhere, https only where it is
/// bound. The `enable` flags are ignored, as by the operator.
fn api_port(object: &Value, api: ApiVersion) -> Option<ApiPort> {
    let bind = |listener: &str| match api {
        ApiVersion::V3beta1 => {
            let value = at(object, &["spec", "config", "roots", "dashboard", "listeners", listener, "bind"])?;
            value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|port| port.to_string()))
        }
        _ => hocon::lookup(
            at(object, &["spec", "config", "data"])?.as_str()?,
            &["dashboard", "listeners", listener, "bind"],
        ),
    };
    let port = |bind: String| bind.rsplit(':').next().and_then(|port| port.trim().parse::<u16>().ok());
    if api == ApiVersion::V1beta4 {
        return Some(ApiPort::V4);
    }
    let http = bind("http").map_or(Some(ApiPort::V5.port), port).filter(|port| *port != 0);
    let https = bind("https").and_then(port).filter(|port| *port != 0);
    http.map(|port| ApiPort { port, tls: false }).or(https.map(|port| ApiPort { port, tls: true }))
}

/// Keys by which a GitOps tool marks the objects that it owns: it may revert a change.
const GITOPS: [&str; 6] = [
    "argocd.argoproj.io/instance",
    "argocd.argoproj.io/tracking-id",
    "kustomize.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/name",
    "app.kubernetes.io/managed-by",
    "meta.helm.sh/release-name",
];

fn managed_by(object: &Value) -> Vec<String> {
    GITOPS
        .iter()
        .filter_map(|key| {
            let value = text(object, &["metadata", "labels", key])
                .or_else(|| text(object, &["metadata", "annotations", key]))?;
            // Any value is possible; only this one identifies Helm.
            (*key != "app.kubernetes.io/managed-by" || value == "Helm").then(|| format!("{key}={value}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn how_updates_go_is_read_from_every_version() {
        let rates =
            json!({"connEvictRate": 200, "sessEvictRate": 100, "waitTakeover": 5, "waitHealthCheck": 15});
        let spec = |version: &str, kind: &str, spec: Value| {
            let object = json!({"metadata": {"name": "e"}, "spec": spec});
            read(&object, kind, version).expect("it can be read").update
        };
        let four = spec(
            "v1beta4",
            "EmqxEnterprise",
            json!({"blueGreenUpdate": {"initialDelaySeconds": 5, "evacuationStrategy": rates}}),
        );
        assert_eq!(
            (four.initial_delay, four.conn_evict_rate, four.wait_takeover),
            (Some(5), Some(200), Some(5))
        );
        assert!(four.present && four.evacuation && !four.disabled);
        let none = spec("v1beta4", "EmqxEnterprise", json!({"updateStrategy": {"initialDelaySeconds": 9}}));
        assert_eq!(none, UpdateSpec::default(), "another version's block is none");
        let two =
            spec("v2", "EMQX", json!({"updateStrategy": {"type": "Recreate", "evacuationStrategy": rates}}));
        assert_eq!((two.wait_health_check, two.initial_delay), (Some(15), None));
        let three = spec(
            "v3beta1",
            "EMQX",
            json!({"updateStrategy": {"evacuationStrategy": {"type": "Disabled",
            "connectionEvictionRate": 7, "sessionEvictionRate": 8}, "replicants": {"maxUnavailable": "25%", "maxSurge": 2}}}),
        );
        assert_eq!((three.conn_evict_rate, three.sess_evict_rate, three.disabled), (Some(7), Some(8), true));
        assert_eq!((three.max_unavailable.as_deref(), three.max_surge.as_deref()), (Some("25%"), Some("2")));
        let bare = spec("v2beta1", "EMQX", json!({"updateStrategy": {"type": "Recreate"}}));
        assert!(bare.present && !bare.evacuation && bare.conn_evict_rate.is_none());
    }

    #[test]
    fn parts_requests_and_our_notes_are_read() {
        let object = json!({"metadata": {"name": "e", "annotations": {"cli.emqx.io/initial-delay-seconds": "5", "other": "x"}},
            "spec": {"persistent": {"resources": {}}, "template": {"spec": {"emqxContainer": {
                "image": {"registry": "r.example", "repository": "emqx/emqx-ee", "version": "4.4.24", "suffix": "-a"},
                "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}}}}});
        let read = read(&object, "EmqxEnterprise", "v1beta4").expect("it can be read");
        let parts = read.image_parts.expect("there is an image");
        assert_eq!(
            (parts.registry.as_deref(), parts.version.as_deref(), parts.prefix),
            (Some("r.example"), Some("4.4.24"), None)
        );
        assert_eq!(read.image.as_deref(), Some("r.example/emqx/emqx-ee:4.4.24-a"));
        assert_eq!((read.requests.core_cpu.as_deref(), read.requests.volumes), (Some("500m"), true));
        assert_eq!(read.notes.len(), 1);
        let five = json!({"metadata": {"name": "e"}, "spec": {"image": "a:1", "config": {"data": "durable_sessions { enable = true }"},
            "coreTemplate": {"spec": {"volumeClaimTemplates": {"resources": {}}}},
            "replicantTemplate": {"spec": {"resources": {"requests": {"memory": "2Gi"}}}}}});
        let five = super::read(&five, "EMQX", "v2beta1").expect("it can be read");
        assert_eq!(
            (five.requests.replicant_memory.as_deref(), five.requests.volumes, five.image_parts),
            (Some("2Gi"), false, None)
        );
    }
}
