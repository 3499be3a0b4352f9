//! Instances as each version of the operator serves them: the meaning of every count, and the port of EMQX's
//! API.

use kubectl_emqx::k8s::wire::object;
use kubectl_emqx::model::{ApiPort, Instance, InstanceKind, Object, Role};
use serde_json::{Value, json};

fn instance(version: &str, kind: &str, spec: &Value, status: &Value) -> Instance {
    let value = json!({"apiVersion": format!("apps.emqx.io/{version}"), "kind": kind,
        "metadata": {"name": "emqx", "namespace": "mq", "uid": "u", "generation": 3}, "spec": spec, "status": status});
    match object(&value) {
        Ok(Some(Object::Instance(instance))) => *instance,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_version_calls_its_counts_by_other_names() {
    // version, the node, running, live clients, sessions
    let cases = [
        ("v1beta4", json!({"node": "e@a", "node_status": "Running", "connections": 9}), true, None, Some(9)),
        ("v1beta4", json!({"node": "e@a", "node_status": "Running"}), true, None, Some(0)),
        (
            "v1beta4",
            json!({"node": "e@a", "node_status": "Running", "connections": 9, "live_connections": 7}),
            true,
            Some(7),
            Some(9),
        ),
        (
            "v2beta1",
            json!({"node": "e@a", "node_status": "running", "connections": 9, "live_connections": 7}),
            true,
            Some(7),
            Some(9),
        ),
        (
            "v2beta1",
            json!({"node": "e@a", "node_status": "running", "connections": 9}),
            true,
            Some(0),
            Some(9),
        ),
        ("v2beta1", json!({"node": "e@a", "node_status": "stopped", "role": "core"}), false, None, None),
        (
            "v2",
            json!({"name": "e@a", "status": "running", "connections": 7, "sessions": 9}),
            true,
            Some(7),
            Some(9),
        ),
        ("v2", json!({"name": "e@a", "status": "running"}), true, Some(0), Some(0)),
        ("v2", json!({"name": "e@a", "status": "stopped"}), false, None, None),
        (
            "v3beta1",
            json!({"name": "e@a", "status": "running", "connections": 0, "sessions": 9}),
            true,
            Some(0),
            Some(9),
        ),
        ("v3beta1", json!({"name": "e@a", "status": "running"}), true, None, None),
        ("v3beta1", json!({"name": "e@a", "status": "unreachable", "connections": 1}), false, Some(1), None),
    ];
    for (version, node, running, connections, sessions) in cases {
        let (kind, key) =
            if version == "v1beta4" { ("EmqxEnterprise", "emqxNodes") } else { ("EMQX", "coreNodes") };
        let read = instance(version, kind, &json!({}), &json!({key: [node.clone()]}));
        let found = &read.nodes[0];
        assert_eq!(
            (found.running, found.connections, found.sessions),
            (running, connections, sessions),
            "{version} {node}"
        );
        assert_eq!(found.role, (version != "v1beta4").then_some(Role::Core));
    }
}

#[test]
fn the_api_is_where_the_operator_looks_for_it() {
    let plain = |port| Some(ApiPort { port, tls: false });
    let secure = |port| Some(ApiPort { port, tls: true });
    let data = |text: &str| json!({"config": {"data": text}});
    let roots = |listeners: Value| json!({"config": {"roots": {"dashboard": {"listeners": listeners}}}});
    for (version, kind, spec, expected) in [
        ("v1beta4", "EmqxEnterprise", json!({}), plain(8081)),
        ("v1beta4", "EmqxBroker", json!({}), plain(8081)),
        ("v2beta1", "EMQX", json!({}), plain(18083)),
        ("v2beta1", "EMQX", data("dashboard.listeners.http.bind = 18085"), plain(18085)),
        (
            "v2beta1",
            "EMQX",
            data("dashboard { listeners { http { bind = \"0.0.0.0:18085\" } } }"),
            plain(18085),
        ),
        ("v2", "EMQX", data("dashboard.listeners.http.bind = \"[::]:18085\""), plain(18085)),
        ("v2", "EMQX", data("dashboard.listeners.https.bind = 18084"), plain(18083)),
        ("v2", "EMQX", data("dashboard.listeners { http.bind = 0\n https.bind = 18084 }"), secure(18084)),
        ("v2", "EMQX", data("dashboard.listeners { http.bind = 0, https.bind = 0 }"), None),
        ("v3beta1", "EMQX", json!({"config": {"roots": {}}}), plain(18083)),
        ("v3beta1", "EMQX", roots(json!({"http": {"bind": 18085}})), plain(18085)),
        (
            "v3beta1",
            "EMQX",
            roots(json!({"http": {"bind": "0"}, "https": {"bind": ":18084"}})),
            secure(18084),
        ),
    ] {
        assert_eq!(instance(version, kind, &spec, &json!({})).api_port, expected, "{version} {spec}");
    }
}

#[test]
fn sizes_images_and_revisions_of_every_version() {
    let image = json!({"registry": "reg.io", "repository": "emqx/emqx-ee", "prefix": "p-", "version": "4.4.19", "suffix": "-s"});
    let spec = json!({"replicas": 3, "template": {"spec": {"emqxContainer": {"image": image}}}});
    let old = instance(
        "v1beta4",
        "EmqxEnterprise",
        &spec,
        &json!({"replicas": 3, "readyReplicas": 6,
        "conditions": [{"type": "BlueGreenUpdating", "status": "True"}, {"type": "Running", "status": "True"}],
        "blueGreenUpdateStatus": {"originStatefulSet": "a", "currentStatefulSet": "b", "startedAt": "2025-06-01T10:00:00Z"}}),
    );
    assert_eq!(old.id.kind, InstanceKind::EmqxEnterprise);
    assert_eq!(old.image.as_deref(), Some("reg.io/emqx/emqx-ee:p-4.4.19-s"));
    assert_eq!((old.cores, old.replicants, old.core_revisions.ready), (Some(3), Some(0), 6));
    assert!(old.upgrading() && old.ready() && old.state() == Some("BlueGreenUpdating"));

    let spec = json!({"image": "emqx/emqx:5.10", "coreTemplate": {"spec": {"replicas": 2}}, "replicantTemplate": {"spec": {"replicas": 4}}});
    let status = json!({"coreNodesStatus": {"replicas": 2, "readyReplicas": 4, "currentRevision": "a", "currentReplicas": 2,
        "updateRevision": "b", "updateReplicas": 2}, "replicantNodesStatus": {}});
    let two = instance("v2", "EMQX", &spec, &status);
    assert_eq!((two.cores, two.replicants, two.image.as_deref()), (Some(2), Some(4), Some("emqx/emqx:5.10")));
    assert!(two.core_revisions.differ() && !two.replicant_revisions.differ());

    let status = json!({"coreReplicas": 2, "replicantReplicas": 3, "coreNodesStatus": {"readyReplicas": 2, "updatedReplicas": 1, "currentReplicas": 1},
        "replicantNodesStatus": {"readyReplicas": 3, "currentRevision": "a", "updateRevision": "b"},
        "nodeEvacuations": [{"nodeName": "emqx@10.0.0.1", "state": "evicting_conns", "initialConnections": 7}]});
    let three = instance("v3beta1", "EMQX", &json!({"image": "e", "replicantTemplate": {}}), &status);
    assert_eq!((three.core_revisions.replicas, three.core_revisions.update_replicas), (2, 1));
    assert_eq!((three.replicant_revisions.replicas, three.replicants, three.cores), (3, Some(0), None));
    assert_eq!(three.evacuations[0].initial_connections, Some(7));

    let misspelt = json!({"nodEvacuationsStatus": [{"node": "emqx@a", "state": "prohibiting", "stats": {"current_connected": 0}}]});
    assert_eq!(instance("v2beta1", "EMQX", &json!({}), &misspelt).evacuations[0].connections, Some(0));
}

#[test]
fn gitops_tools_are_recognised() {
    let value = json!({"apiVersion": "apps.emqx.io/v2", "kind": "EMQX", "metadata": {"name": "e", "namespace": "mq",
        "labels": {"app.kubernetes.io/managed-by": "Helm", "argocd.argoproj.io/instance": "shop"},
        "annotations": {"meta.helm.sh/release-name": "r"}}});
    let Ok(Some(Object::Instance(instance))) = object(&value) else { panic!("it is an instance") };
    assert_eq!(
        instance.managed_by,
        [
            "argocd.argoproj.io/instance=shop",
            "app.kubernetes.io/managed-by=Helm",
            "meta.helm.sh/release-name=r",
        ]
    );
}

#[test]
fn nonsense_costs_its_field_and_an_object_without_a_name_a_sentence() {
    let read = instance(
        "v2",
        "EMQX",
        &json!([1]),
        &json!({"coreNodes": "many", "conditions": [{"status": "True"}, 3], "coreNodesStatus": 7}),
    );
    assert!(read.nodes.is_empty() && read.conditions.is_empty());
    let nameless = json!({"apiVersion": "apps.emqx.io/v2", "kind": "EMQX", "metadata": {"namespace": "mq"}});
    assert_eq!(
        object(&nameless),
        Err("EMQX mq/without a name (apps.emqx.io/v2) is left out: it has no name".to_owned())
    );
    let unknown = json!({"apiVersion": "apps.emqx.io/v9", "kind": "EMQX", "metadata": {"name": "e"}});
    assert!(object(&unknown).is_err_and(|why| why.contains("v9")));
    for other in
        [json!(null), json!([]), json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}})]
    {
        assert_eq!(object(&other), Ok(None));
    }
}
