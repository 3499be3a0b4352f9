//! The targets of the ports of pods.

use std::net::SocketAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::wait::until;
use super::witness::WITNESS;
use super::{ControlPlane, EMQX_PORTS, LIMIT, MANAGER};

impl ControlPlane {
    /// Forwards the API ports of each pod to its address; see `forward_ports`.
    pub async fn forward(&self, targets: impl IntoIterator<Item = (&str, SocketAddr)>) {
        for (pod, to) in targets {
            self.forward_ports(self.namespace(), pod, EMQX_PORTS, to).await;
        }
    }

    /// Forwards these ports of an existing pod to a loopback address, from the moment of the return. Replaces
    /// the earlier targets of the pod; open forwards keep their targets.
    pub async fn forward_ports(&self, namespace: &str, pod: &str, ports: &[u16], to: SocketAddr) {
        assert!(to.ip().is_loopback(), "{to} is not of this machine");
        let client = self.admin_client().await;
        let kind = GroupVersionKind::gvk("kwok.x-k8s.io", "v1alpha1", "PortForward");
        let rules = Api::<DynamicObject>::namespaced_with(
            client.clone(),
            namespace,
            &ApiResource::from_gvk_with_plural(&kind, "portforwards"),
        );
        let pods = Api::<Pod>::namespaced(client, namespace);
        until(&format!("forward to {pod}"), LIMIT, async || {
            // kwok does not report when it has read a rule. So each version of a rule has an additional port
            // that leads to this process: an answer through it shows that the whole version is in force. kwok
            // may also keep an old list under the new version's number (it stores the number before the
            // object); only another version corrects that, so each round writes one.
            let proof = self.witness.next_port();
            let rule = json!({
                "apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "PortForward", "metadata": { "name": pod },
                "spec": { "forwards": [
                    { "ports": ports, "target": { "address": to.ip().to_string(), "port": to.port() } },
                    { "ports": [proof], "target": { "address": "127.0.0.1", "port": self.witness.port } },
                ]},
            });
            let params = PatchParams::apply(MANAGER).force();
            rules.patch(pod, &params, &Patch::Apply(&rule)).await.map_err(|e| e.to_string())?;
            tokio::time::sleep(Duration::from_millis(5)).await;
            let mut forward = pods.portforward(pod, &[proof]).await.map_err(|e| e.to_string())?;
            let mut stream = forward.take_stream(proof).ok_or("no stream")?;
            let mut answer = [0; WITNESS.len()];
            match tokio::time::timeout(Duration::from_secs(2), stream.read_exact(&mut answer)).await {
                Ok(Ok(_)) if answer == WITNESS => Ok(()),
                Ok(Ok(_)) => Err(String::from("another answer than ours")),
                Ok(Err(e)) => Err(e.to_string()),
                Err(_) => Err(String::from("no answer")),
            }
        })
        .await;
    }
}
