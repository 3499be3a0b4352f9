//! EMQX in pods that start and end, created by real controllers: it joins when its container runs, is reached
//! through its pod, leaves with it, and gets clients while it is in the Service.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use emqx_sim::rest;
use emqx_sim::scenario::Role;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::cluster::{RealCluster, address, list_pods};
use test_support::control_plane::{EMQX_PORTS, condition_is};

/// The interval of observations; the simulated kubelet itself is slower.
const LOOK: Duration = Duration::from_millis(200);

impl RealCluster<'_> {
    /// Runs this while pods start and end.
    pub async fn alive<T>(&self, it: impl Future<Output = T>) -> T {
        tokio::select! {
            value = it => value,
            () = self.live() => unreachable!("it does not end"),
        }
    }

    async fn live(&self) {
        let mut up: BTreeSet<String> = self.pods.iter().cloned().collect();
        let mut servers = JoinSet::new();
        loop {
            // A request that a busy API server did not answer is repeated.
            if let Ok(pods) = list_pods(&self.client, &self.scenario).await {
                let alive: BTreeMap<String, &Pod> = pods
                    .iter()
                    .filter(|pod| pod.metadata.deletion_timestamp.is_none())
                    .map(|pod| (pod.name_any(), pod))
                    .collect();
                up.retain(|pod| {
                    let stays = alive.contains_key(pod);
                    if !stays {
                        self.leave(pod);
                    }
                    stays
                });
                for (name, pod) in alive {
                    if condition_is(pod, "ContainersReady", "True") && up.insert(name.clone()) {
                        self.join(&name, pod, &mut servers).await;
                    }
                }
                self.lead().await;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn leave(&self, pod: &str) {
        self.emqx.with(|broker| {
            if let Some(node) = broker.in_pod(pod) {
                broker.leave(node);
            }
        });
    }

    async fn join(&self, name: &str, pod: &Pod, servers: &mut JoinSet<()>) {
        let role = pod.labels().get("apps.emqx.io/db-role");
        let role = if role.is_some_and(|role| role == "replicant") { Role::Replicant } else { Role::Core };
        let spec = pod.spec.as_ref().expect("a pod has a spec");
        let image = spec.containers.iter().find_map(|container| container.image.clone()).unwrap_or_default();
        let version = image.rsplit(':').next().unwrap_or_default();
        let node = self.scenario.node_name(role, name, &address(pod));
        let index = self.emqx.with(|broker| {
            broker.join(&node, name, role, version);
            broker.in_pod(name).expect("it has just joined")
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let to = listener.local_addr().expect("an address");
        servers.spawn(rest::serve(listener, self.emqx.clone(), index));
        self.plane.forward_ports(self.namespace(), name, EMQX_PORTS, to).await;
    }

    /// The load balancer sends clients to the nodes that serve.
    async fn lead(&self) {
        let slices = Api::<EndpointSlice>::namespaced(self.client.clone(), self.namespace());
        let Ok(slices) = slices.list(&ListParams::default()).await else { return };
        let serving: BTreeSet<&str> = slices
            .iter()
            .flat_map(|slice| &slice.endpoints)
            .filter(|endpoint| endpoint.conditions.as_ref().and_then(|it| it.serving) == Some(true))
            .filter_map(|endpoint| endpoint.target_ref.as_ref()?.name.as_deref())
            .collect();
        self.emqx.with(|broker| {
            for node in &mut broker.nodes {
                node.in_service = !node.gone && serving.contains(node.pod.as_str());
            }
        });
    }
}
