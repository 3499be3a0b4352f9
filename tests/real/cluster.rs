//! A cluster of EMQX on a real control plane: real sets, pods, endpoints and custom resources; a simulated EMQX behind the
//! pods' ports, and the simulated operator as one more client of the API server. Mostly at speed 1: the API server's `Date` is real.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use emqx_sim::clock::Clock;
use emqx_sim::emqx::Emqx;
use emqx_sim::operator::{self, Operator};
use emqx_sim::scenario::{Api as Version, NodeGroup, Role};
use emqx_sim::{Scenario, population, rest};
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use test_support::control_plane::{ControlPlane, EMQX_PORTS, NODE, ON_SERVING, condition_is, until};

/// The limit of a step; no step normally takes three seconds.
const LIMIT: Duration = Duration::from_secs(40);

pub struct RealCluster<'a> {
    pub plane: &'a ControlPlane,
    pub client: Client,
    pub scenario: Scenario,
    pub emqx: Emqx,
    /// In the order of EMQX's nodes.
    pub pods: Vec<String>,
    /// Whether the operator works.
    pub operator: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for RealCluster<'_> {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl<'a> RealCluster<'a> {
    /// Creates the cluster of a scenario and waits until its operator reports it as ready. The CRDs of the
    /// line exist already.
    pub async fn start(plane: &'a ControlPlane, scenario: &str) -> Self {
        Self::start_at_speed(plane, scenario, 1.0).await
    }

    /// The same with EMQX and the operator at this multiple of the speed of the API server, which runs in
    /// real time.
    pub async fn start_at_speed(plane: &'a ControlPlane, scenario: &str, speed: f64) -> Self {
        let mut scenario = one_node_each(Scenario::from_yaml(scenario).expect("a scenario"));
        plane.create_namespace(&scenario.namespace).await;
        let client = plane.admin_client().await;
        let planned = population::objects(&scenario, &Emqx::new(&scenario, Clock::new(1.0)));
        let of_kind = |kind: &str| planned.iter().filter(|it| it["kind"] == kind).collect::<Vec<_>>();

        let instance = of_kind(scenario.api.kind())[0];
        let made = create(&client, &scenario.namespace, instance.clone()).await;
        for kind in ["Secret", "Service", "StatefulSet", "ReplicaSet"] {
            for object in of_kind(kind) {
                let mut object = object.clone();
                // The garbage collector deletes an object with a wrong owner.
                object["metadata"]["ownerReferences"][0]["uid"] = json!(made.uid());
                if kind == "Service" && object["spec"]["clusterIP"] != "None" {
                    object["spec"].as_object_mut().expect("a spec").remove("clusterIP");
                }
                if kind.ends_with("Set") {
                    let name = &object["metadata"]["name"];
                    let pods = of_kind("Pod");
                    let pod = pods.iter().find(|pod| pod["metadata"]["ownerReferences"][0]["name"] == *name);
                    let mut spec = pod.expect("a set has pods")["spec"].clone();
                    spec.as_object_mut().expect("a spec").remove("hostname");
                    spec["nodeName"] = json!(NODE);
                    object["spec"]["template"]["spec"] = spec;
                    if kind == "StatefulSet" && scenario.persistent_volumes {
                        object["spec"]["volumeClaimTemplates"] = json!([{ "metadata": { "name": "data" },
                            "spec": { "accessModes": ["ReadWriteOnce"],
                                "resources": { "requests": { "storage": "1Gi" } } } }]);
                    }
                }
                create(&client, &scenario.namespace, object).await;
            }
        }

        // Kubernetes names replicants and assigns the addresses in EMQX's names.
        let pods = running_pods(&client, &scenario).await;
        for (group, pod) in scenario.nodes.iter_mut().zip(&pods) {
            if group.role == Role::Replicant {
                group.node = Some(format!("emqx@{}", address(pod)));
            }
        }
        let emqx = Emqx::new(&scenario, Clock::new(speed));
        let names: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
        emqx.with(|broker| {
            for (node, name) in broker.nodes.iter_mut().zip(&names) {
                node.pod.clone_from(name);
            }
        });
        let operator = Arc::new(AtomicBool::new(true));
        let mut cluster = Self { plane, client, scenario, emqx, pods: names, operator, tasks: Vec::new() };
        cluster.open().await;
        cluster.forward().await;
        cluster.operate().await;
        cluster
    }

    pub fn namespace(&self) -> &str {
        &self.scenario.namespace
    }

    /// Puts all pods into the Service, and writes the status of an instance that has long been ready.
    async fn open(&self) {
        if self.scenario.api != Version::V3beta1 {
            let pods = Api::<Pod>::namespaced(self.client.clone(), self.namespace());
            join_all(self.pods.iter().map(|pod| {
                let gate = json!({ "status": { "conditions": [{ "type": ON_SERVING, "status": "True" }] } });
                let pods = pods.clone();
                async move {
                    pods.patch_status(pod, &PatchParams::default(), &Patch::Strategic(gate))
                        .await
                        .expect("a gate")
                }
            }))
            .await;
        }
        until("the sets' own counts", LIMIT, async || {
            for (kind, wanted) in [("StatefulSet", Role::Core), ("ReplicaSet", Role::Replicant)] {
                let count = self.scenario.nodes.iter().filter(|group| group.role == wanted).count();
                let sets = resource(&self.client, self.namespace(), "apps/v1", kind);
                for set in sets.list(&ListParams::default()).await.map_err(|e| e.to_string())? {
                    let ready = set.data["status"]["readyReplicas"].as_u64().unwrap_or(0);
                    if ready != count as u64 {
                        return Err(format!("{} has {ready} of {count}", set.name_any()));
                    }
                }
            }
            Ok(())
        })
        .await;
        let objects = population::objects(&self.scenario, &self.emqx);
        let kind = self.scenario.api.kind();
        let instance = objects.iter().find(|it| it["kind"] == kind).expect("an instance");
        let patch = json!({ "status": instance["status"] });
        let patch = Patch::Merge(patch);
        self.instances()
            .patch_status(&self.scenario.instance, &PatchParams::default(), &patch)
            .await
            .expect("the CRD takes the status");
    }

    /// Forwards each pod's ports to its EMQX node.
    async fn forward(&mut self) {
        let mut targets: Vec<(String, SocketAddr)> = Vec::new();
        for (index, pod) in self.pods.iter().enumerate() {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            targets.push((pod.clone(), listener.local_addr().expect("an address")));
            self.tasks.push(tokio::spawn(rest::serve(listener, self.emqx.clone(), index)));
        }
        let plane = self.plane;
        let namespace = self.scenario.namespace.clone();
        let all = targets.iter().map(|(pod, to)| plane.forward_ports(&namespace, pod, EMQX_PORTS, *to));
        join_all(all).await;
    }

    async fn operate(&mut self) {
        let operator = Operator::new(operator::OperatorOptions {
            client: self.plane.admin_client().await,
            emqx: self.emqx.clone(),
            scenario: self.scenario.clone(),
            alive: Arc::clone(&self.operator),
        });
        self.tasks.push(tokio::spawn(operator.run()));
        self.ready().await;
    }

    pub fn instances(&self) -> Api<DynamicObject> {
        let version = format!("apps.emqx.io/{}", self.scenario.api.name());
        resource(&self.client, self.namespace(), &version, self.scenario.api.kind())
    }

    pub fn rebalances(&self) -> Api<DynamicObject> {
        resource(&self.client, self.namespace(), "apps.emqx.io/v2beta1", "Rebalance")
    }

    /// Waits until the operator reports the instance as ready, with its real pods, and every pod is in the
    /// Service.
    pub async fn ready(&self) {
        until("a ready instance", LIMIT, async || {
            let pods = list_pods(&self.client, &self.scenario).await?;
            for pod in &pods {
                if !condition_is(pod, "Ready", "True") {
                    return Err(format!("{} is not ready", pod.name_any()));
                }
            }
            let found = self.instances().get(&self.scenario.instance).await.map_err(|e| e.to_string())?;
            let status = &found.data["status"];
            let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
            let ready =
                |it: &Value| (it["type"] == "Ready" || it["type"] == "Running") && it["status"] == "True";
            let text = status.to_string();
            let known = |pod: &Pod| match self.scenario.api {
                Version::V1beta4 => !text.contains(self.scenario.revision(Role::Core)),
                Version::V2beta1 => text.contains(&pod.uid().unwrap_or_default()),
                Version::V2 | Version::V3beta1 => text.contains(&pod.name_any()),
            };
            if !conditions.iter().any(ready) || !pods.iter().all(known) {
                return Err(text.clone());
            }
            self.all_serving(&pods).await
        })
        .await;
    }

    /// Whether every pod that a Service selects is in its endpoints and serves.
    async fn all_serving(&self, pods: &[Pod]) -> Result<(), String> {
        let services = Api::<Service>::namespaced(self.client.clone(), self.namespace());
        let slices = Api::<EndpointSlice>::namespaced(self.client.clone(), self.namespace());
        let all = ListParams::default();
        let slices = slices.list(&all).await.map_err(|e| e.to_string())?;
        for service in services.list(&all).await.map_err(|e| e.to_string())? {
            let selector = service.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
            let selected =
                |pod: &&Pod| selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value));
            let wanted = pods.iter().filter(selected).count();
            let name = service.name_any();
            let own = slices.iter().filter(|it| it.labels().get("kubernetes.io/service-name") == Some(&name));
            let serves = |it: &&Endpoint| it.conditions.as_ref().and_then(|it| it.serving) == Some(true);
            let serving = own.flat_map(|slice| &slice.endpoints).filter(serves).count();
            if serving != wanted {
                return Err(format!("{serving} of {wanted} pods serve for {name}"));
            }
        }
        Ok(())
    }

    /// Restores the counts of the beginning.
    pub async fn reset(&self) {
        self.emqx.with(|broker| {
            for (node, group) in broker.nodes.iter_mut().zip(&self.scenario.nodes) {
                node.connections = group.connections;
            }
        });
        self.ready().await;
    }

    /// EMQX's counts, in the order of the scenario's nodes.
    pub fn connections(&self) -> Vec<u64> {
        self.emqx.with(|broker| broker.nodes.iter().map(|node| node.connections).collect())
    }

    /// Whether EMQX moves no client.
    pub fn idle(&self) -> bool {
        self.emqx.with(|broker| (0..broker.nodes.len()).all(|node| !broker.agent_on(node)))
    }

    /// `phase: message of the condition Failed` of a Rebalance; `None` when it is not there.
    pub async fn phase(&self, name: &str) -> Option<String> {
        let object = self.rebalances().get_opt(name).await.expect("it can be asked for")?;
        let status = &object.data["status"];
        let failed = status["conditions"].as_array().into_iter().flatten().find(|it| it["type"] == "Failed");
        let why = failed.and_then(|it| it["message"].as_str()).unwrap_or_default();
        Some(format!("{}: {why}", status["phase"].as_str().unwrap_or_default()))
    }
}

fn one_node_each(mut scenario: Scenario) -> Scenario {
    let groups = std::mem::take(&mut scenario.nodes);
    scenario.nodes = groups
        .into_iter()
        .flat_map(|group| {
            let one = NodeGroup { count: 1, ..group.clone() };
            std::iter::repeat_n(one, group.count as usize)
        })
        .collect();
    // In the order of EMQX's list.
    scenario.nodes.sort_by_key(|group| group.role);
    scenario
}

fn resource(client: &Client, namespace: &str, api_version: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let plurals = BTreeMap::from([("EMQX", "emqxes")]);
    let plural = plurals.get(kind).map_or_else(|| format!("{}s", kind.to_lowercase()), |&it| it.to_owned());
    let kind = GroupVersionKind::gvk(group, version, kind);
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk_with_plural(&kind, &plural))
}

async fn create(client: &Client, namespace: &str, mut object: Value) -> DynamicObject {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let api = resource(client, namespace, &text(&object["apiVersion"]), &text(&object["kind"]));
    object.as_object_mut().expect("an object").remove("status");
    let name = text(&object["metadata"]["name"]);
    let object = serde_json::from_value(object).expect("an object");
    // Created as by a user: a tool that manages the object is another case.
    let params = PostParams { field_manager: Some("kubectl-create".to_owned()), ..PostParams::default() };
    api.create(&params, &object).await.unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub async fn list_pods(client: &Client, scenario: &Scenario) -> Result<Vec<Pod>, String> {
    let pods = Api::<Pod>::namespaced(client.clone(), &scenario.namespace);
    // There may be others in the namespace.
    let ours = ListParams::default().labels("apps.emqx.io/managed-by");
    let list = pods.list(&ours).await.map_err(|e| e.to_string())?;
    let mut items = list.items;
    items.sort_by_key(|pod| {
        let replicant = pod.labels().get("apps.emqx.io/db-role").is_some_and(|role| role == "replicant");
        (replicant, pod.name_any())
    });
    Ok(items)
}

async fn running_pods(client: &Client, scenario: &Scenario) -> Vec<Pod> {
    until("the pods", LIMIT, async || {
        let pods = list_pods(client, scenario).await?;
        let up = pods.iter().filter(|pod| condition_is(pod, "ContainersReady", "True")).count();
        if up == scenario.nodes.len() && pods.len() == up { Ok(pods) } else { Err(format!("{up} pods run")) }
    })
    .await
}

pub fn address(pod: &Pod) -> String {
    pod.status.as_ref().and_then(|status| status.pod_ip.clone()).expect("a running pod has an address")
}
