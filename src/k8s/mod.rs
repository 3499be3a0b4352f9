//! Kubernetes as facts and actions: the only module that calls the API server.
//!
//! ```text
//! client.rs (flags, kubeconfig) ─► connection.rs (HTTP/2, HTTP/1.1) ─► api.rs (one request; Date ─► clock.rs; failure ─► error.rs)
//!                                     ├─ discovery.rs   what is served
//!                                     ├─ read.rs, watch.rs ─ resource.rs ─► wire/ ─► Fact
//!                                     ├─ rebalances.rs  a Rebalance: create, delete, annotate; permissions
//!                                     ├─ change.rs      an instance: read whole, apply, remove fields; its ConfigMap; a pod's gate
//!                                     ├─ drain.rs, scale.rs, lease.rs   nodes, evictions, deletion costs; the Lease of an instance
//!                                     ├─ tunnel.rs      port-forward
//!                                     └─ secret.rs      the key for EMQX
//! ```

use std::collections::BTreeSet;

use serde_json::Value;

use crate::model::drain::{Cordon, Eviction, Placement};
use crate::model::scale::Autoscalers;
use crate::model::surroundings::Surroundings;
use crate::model::{Fact, Instance, InstanceId, PodName, Rebalance, Served};
use crate::ports::{
    AppliedObject, BoxedFuture, Created, Deletion, FactStream, Kubernetes, Right, Scope, ServerDryRun,
    SurroundingScope,
};

mod api;
mod change;
mod client;
mod clock;
mod cluster;
mod connection;
mod discovery;
mod drain;
mod error;
mod kubeconfig;
mod lease;
mod login;
mod logs;
mod proxy;
mod read;
mod rebalances;
mod resource;
mod scale;
mod secret;
mod surroundings;
mod transport;
mod tunnel;
mod watch;
pub mod wire;

pub use client::Connect;
pub use clock::ServerClock;
pub use cluster::Cluster;
pub use kubeconfig::KubeconfigEntry;
pub use login::Relay;

impl Kubernetes for Cluster {
    fn served(&self) -> BoxedFuture<'_, Served> {
        Box::pin(self.discover())
    }

    fn read<'a>(&'a self, scope: &'a Scope) -> BoxedFuture<'a, Vec<Fact>> {
        Box::pin(read::read(self, scope))
    }

    fn namespaces(&self) -> BoxedFuture<'_, Vec<String>> {
        Box::pin(read::namespaces(self))
    }

    fn follow(&self, scope: &Scope) -> FactStream {
        watch::follow(self.clone(), scope.clone())
    }

    fn rebalance<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxedFuture<'a, Option<Rebalance>> {
        Box::pin(rebalances::rebalance(self, namespace, name))
    }

    fn create_rebalance<'a>(
        &'a self,
        manifest: &'a Value,
        dry_run: ServerDryRun,
    ) -> BoxedFuture<'a, Created> {
        Box::pin(rebalances::create_rebalance(self, manifest, dry_run))
    }

    fn delete_rebalance<'a>(
        &'a self,
        rebalance: &'a Rebalance,
        dry_run: ServerDryRun,
    ) -> BoxedFuture<'a, bool> {
        Box::pin(rebalances::delete_rebalance(self, rebalance, dry_run))
    }

    fn delete_unchanged<'a>(&'a self, rebalance: &'a Rebalance) -> BoxedFuture<'a, Deletion> {
        Box::pin(rebalances::delete_unchanged(self, rebalance))
    }

    fn annotate_rebalance<'a>(
        &'a self,
        rebalance: &'a Rebalance,
        key: &'a str,
        value: Option<&'a str>,
    ) -> BoxedFuture<'a, bool> {
        Box::pin(rebalances::annotate_rebalance(self, rebalance, key, value))
    }

    fn object<'a>(&'a self, id: &'a InstanceId) -> BoxedFuture<'a, Option<Value>> {
        Box::pin(change::object(self, id))
    }

    fn apply_instance<'a>(
        &'a self,
        change: &'a Value,
        force: bool,
        dry_run: ServerDryRun,
    ) -> BoxedFuture<'a, AppliedObject> {
        Box::pin(change::apply(self, change, force, dry_run))
    }

    fn remove_fields<'a>(
        &'a self,
        object: &'a Value,
        fields: &'a [String],
    ) -> BoxedFuture<'a, AppliedObject> {
        Box::pin(change::remove(self, object, fields))
    }

    fn store_state<'a>(
        &'a self,
        instance: &'a Instance,
        key: &'a str,
        text: &'a str,
        dry_run: ServerDryRun,
    ) -> BoxedFuture<'a, ()> {
        Box::pin(change::store_state(self, instance, key, text, dry_run))
    }

    fn store_state_over<'a>(
        &'a self,
        instance: &'a Instance,
        key: &'a str,
        text: &'a str,
        version: Option<&'a str>,
    ) -> BoxedFuture<'a, bool> {
        Box::pin(change::store_state_over(self, instance, key, text, version))
    }

    fn scale_set<'a>(&'a self, namespace: &'a str, name: &'a str, replicas: u64) -> BoxedFuture<'a, bool> {
        Box::pin(change::scale_set(self, namespace, name, replicas))
    }

    fn set_gate<'a>(&'a self, namespace: &'a str, pod: &'a PodName, serving: bool) -> BoxedFuture<'a, bool> {
        Box::pin(change::set_gate(self, namespace, pod, serving))
    }

    fn placement<'a>(
        &'a self,
        namespaces: &'a [String],
        pods: &'a BTreeSet<String>,
    ) -> BoxedFuture<'a, Placement> {
        Box::pin(drain::placement(self, namespaces, pods))
    }

    fn surroundings<'a>(&'a self, id: &'a InstanceId) -> BoxedFuture<'a, Surroundings> {
        Box::pin(surroundings::surroundings(self, id, SurroundingScope::ALL))
    }

    fn part_of_surroundings<'a>(
        &'a self,
        id: &'a InstanceId,
        want: SurroundingScope,
    ) -> BoxedFuture<'a, Surroundings> {
        Box::pin(surroundings::surroundings(self, id, want))
    }

    fn cordon<'a>(&'a self, machine: &'a str) -> BoxedFuture<'a, Cordon> {
        Box::pin(drain::cordon(self, machine))
    }

    fn uncordon<'a>(&'a self, machine: &'a str) -> BoxedFuture<'a, Cordon> {
        Box::pin(drain::uncordon(self, machine))
    }

    fn evict<'a>(&'a self, namespace: &'a str, pod: &'a PodName, uid: &'a str) -> BoxedFuture<'a, Eviction> {
        Box::pin(drain::evict(self, namespace, pod, uid))
    }

    fn autoscalers<'a>(&'a self, namespace: &'a str) -> BoxedFuture<'a, Autoscalers> {
        Box::pin(scale::autoscalers(self, namespace))
    }

    fn set_deletion_cost<'a>(
        &'a self,
        namespace: &'a str,
        pod: &'a PodName,
        uid: &'a str,
        cost: Option<i64>,
    ) -> BoxedFuture<'a, bool> {
        Box::pin(scale::set_deletion_cost(self, namespace, pod, uid, cost))
    }

    fn holder(&self) -> String {
        lease::holder()
    }

    fn client(&self) -> String {
        lease::client()
    }

    fn take_lease<'a>(&'a self, instance: &'a Instance) -> BoxedFuture<'a, Option<String>> {
        Box::pin(lease::take(self, instance))
    }

    fn release_lease<'a>(&'a self, instance: &'a Instance) -> BoxedFuture<'a, ()> {
        Box::pin(lease::release(self, instance))
    }

    fn logs<'a>(&'a self, namespace: &'a str, pod: &'a PodName, lines: usize) -> BoxedFuture<'a, String> {
        Box::pin(logs::logs(self, namespace, pod, lines))
    }

    fn may<'a>(&'a self, rights: &'a [Right]) -> BoxedFuture<'a, Vec<Option<bool>>> {
        Box::pin(rebalances::may(self, rights))
    }
}
