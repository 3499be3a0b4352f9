//! Kubernetes, as far as it exists, for commands that reach EMQX by `--emqx-url`: where Kubernetes has no
//! object for that EMQX, an instance without Kubernetes represents it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use futures::StreamExt;
use jiff::Timestamp;
use serde_json::Value;

use crate::error::{Cause, Problem};
use crate::k8s::Cluster;
use crate::model::drain::{Cordon, Eviction, Placement};
use crate::model::scale::Autoscalers;
use crate::model::surroundings::Surroundings;
use crate::model::{
    ApiPort, Fact, Instance, InstanceId, InstanceKind, Link, Object, PodName, Rebalance, Served, Source,
    Target, Update,
};
use crate::ports::{
    AppliedObject, BoxedFuture, Brokers, Clock, Created, Deletion, FactStream, Kubernetes, Right, Scope,
    ServerDryRun, SurroundingScope, driven,
};

/// The name of an EMQX cluster that does not report one.
const UNNAMED: &str = "emqx";

/// The resource name of an unreachable Kubernetes in the list of sources.
const RESOURCE: &str = "emqxes";

/// Kubernetes for an EMQX that is reached by its address.
pub(super) struct Standalone {
    cluster: Option<Cluster>,
    brokers: Rc<dyn Brokers>,
    clock: Rc<dyn Clock>,
    /// Whether the instance without Kubernetes is used: the first read decides for the whole command.
    alone: Cell<bool>,
    name: RefCell<Option<String>>,
    unreachable: RefCell<Option<String>>,
}

impl Standalone {
    /// `cluster` is `None` where no kubeconfig names one.
    pub(super) fn new(cluster: Option<Cluster>, brokers: Rc<dyn Brokers>, clock: Rc<dyn Clock>) -> Self {
        Self {
            alone: Cell::new(cluster.is_none()),
            cluster,
            brokers,
            clock,
            name: RefCell::new(None),
            unreachable: RefCell::new(None),
        }
    }

    /// The cluster, while it has an object for this EMQX.
    fn used(&self) -> Option<&Cluster> {
        self.cluster.as_ref().filter(|_| !self.alone.get())
    }

    /// The name of EMQX's own cluster; asked once.
    async fn name(&self) -> String {
        let known = self.name.borrow().clone();
        if let Some(name) = known {
            return name;
        }
        let target = Target {
            instance: id(UNNAMED),
            pods: Vec::new(),
            addressed: BTreeMap::new(),
            hidden: None,
            port: ApiPort::V5,
            v4: false,
        };
        let name = self.brokers.broker(target).cluster_name().await.ok().flatten();
        let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| UNNAMED.to_owned());
        *self.name.borrow_mut() = Some(name.clone());
        name
    }

    fn fact(&self, update: Update) -> Fact {
        Fact { at: self.clock.now(), update }
    }

    /// The facts about the instance without Kubernetes, if the scope includes it.
    async fn facts(&self, scope: &Scope) -> Vec<Fact> {
        let name = self.name().await;
        let fits = scope.instance.as_ref().is_none_or(|(kind, wanted)| {
            *wanted == name && kind.is_none_or(|kind| kind == InstanceKind::Emqx)
        });
        let mut facts = Vec::new();
        if let Some(why) = &*self.unreachable.borrow() {
            let link = Link::Unreachable(format!("Kubernetes is not used: {why}"));
            facts.push(self.fact(Update::Link(Source::Kubernetes, RESOURCE, link)));
        }
        if scope.want.instances && fits {
            let instance = Instance::without_kubernetes(id(&name));
            facts.push(self.fact(Update::Upserted(Object::Instance(Box::new(instance)))));
        }
        facts
    }

    fn none<T: 'static>(what: &str) -> BoxedFuture<'static, T> {
        let problem = Problem::new(format!("cannot {what}"), "Kubernetes has no EMQX object for this EMQX")
            .hint("--backend emqx uses EMQX's own API");
        Box::pin(std::future::ready(Err(problem)))
    }
}

fn id(name: &str) -> InstanceId {
    InstanceId { kind: InstanceKind::Emqx, namespace: String::new(), name: name.to_owned() }
}

impl Kubernetes for Standalone {
    fn served(&self) -> BoxedFuture<'_, Served> {
        Box::pin(async move {
            let Some(cluster) = &self.cluster else { return Ok(Served::default()) };
            match cluster.served().await {
                Ok(served) => Ok(served),
                Err(problem) => {
                    *self.unreachable.borrow_mut() = Some(problem.to_string());
                    self.alone.set(true);
                    Ok(Served::default())
                }
            }
        })
    }

    fn read<'a>(&'a self, scope: &'a Scope) -> BoxedFuture<'a, Vec<Fact>> {
        Box::pin(async move {
            let Some(cluster) = self.used() else { return Ok(self.facts(scope).await) };
            let found = cluster.read(scope).await?;
            let any = found.iter().any(
                |fact| matches!(fact.update, Update::Upserted(Object::Instance(_)) if scope.want.instances),
            );
            if any || !scope.want.instances {
                return Ok(found);
            }
            let mut own = self.facts(scope).await;
            if own.is_empty() {
                return Ok(found);
            }
            self.alone.set(true);
            let forbidden = found
                .into_iter()
                .find(|fact| matches!(&fact.update, Update::Link(Source::Kubernetes, _, Link::Forbidden(_))));
            let place = cluster.namespace();
            let notice = format!("no EMQX object in namespace {place}: only EMQX's own API is used");
            own.push(forbidden.unwrap_or_else(|| {
                self.fact(Update::Link(Source::Kubernetes, RESOURCE, Link::Absent(notice)))
            }));
            Ok(own)
        })
    }

    fn namespaces(&self) -> BoxedFuture<'_, Vec<String>> {
        match self.used() {
            Some(cluster) => cluster.namespaces(),
            None => Box::pin(std::future::ready(Ok(Vec::new()))),
        }
    }

    fn follow(&self, scope: &Scope) -> FactStream {
        if let Some(cluster) = self.used() {
            return cluster.follow(scope);
        }
        let name = self.name.borrow().clone().unwrap_or_else(|| UNNAMED.to_owned());
        let instances = scope.want.instances;
        let at = self.clock.now();
        let once = driven(1, move |facts| async move {
            if instances {
                let instance = Instance::without_kubernetes(id(&name));
                let update = Update::Upserted(Object::Instance(Box::new(instance)));
                let _ = facts.send(Fact { at, update }).await;
            }
        });
        // A live source never ends.
        Box::pin(once.chain(futures::stream::pending()))
    }

    fn rebalance<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxedFuture<'a, Option<Rebalance>> {
        match self.used() {
            Some(cluster) => Box::pin(async move {
                match cluster.rebalance(namespace, name).await {
                    // If the kind is not served, no object of that name exists.
                    Err(problem) if problem.cause != Cause::Forbidden && self.read_alone().await => {
                        tracing::debug!(%problem, "no Rebalance is read");
                        Ok(None)
                    }
                    other => other,
                }
            }),
            None => Box::pin(std::future::ready(Ok(None))),
        }
    }

    fn create_rebalance<'a>(
        &'a self,
        manifest: &'a Value,
        dry_run: ServerDryRun,
    ) -> BoxedFuture<'a, Created> {
        match self.used() {
            Some(cluster) => cluster.create_rebalance(manifest, dry_run),
            None => Self::none("create a Rebalance"),
        }
    }

    fn delete_rebalance<'a>(
        &'a self,
        rebalance: &'a Rebalance,
        dry_run: ServerDryRun,
    ) -> BoxedFuture<'a, bool> {
        match self.used() {
            Some(cluster) => cluster.delete_rebalance(rebalance, dry_run),
            None => Self::none("delete a Rebalance"),
        }
    }

    fn delete_unchanged<'a>(&'a self, rebalance: &'a Rebalance) -> BoxedFuture<'a, Deletion> {
        match self.used() {
            Some(cluster) => cluster.delete_unchanged(rebalance),
            None => Self::none("delete a Rebalance"),
        }
    }

    fn annotate_rebalance<'a>(
        &'a self,
        rebalance: &'a Rebalance,
        key: &'a str,
        value: Option<&'a str>,
    ) -> BoxedFuture<'a, bool> {
        match self.used() {
            Some(cluster) => cluster.annotate_rebalance(rebalance, key, value),
            None => Self::none("annotate a Rebalance"),
        }
    }

    fn object<'a>(&'a self, id: &'a InstanceId) -> BoxedFuture<'a, Option<Value>> {
        match self.used() {
            Some(cluster) => cluster.object(id),
            None => Self::none("read the EMQX object"),
        }
    }

    fn apply_instance<'a>(
        &'a self,
        change: &'a Value,
        force: bool,
        dry_run: ServerDryRun,
    ) -> BoxedFuture<'a, AppliedObject> {
        match self.used() {
            Some(cluster) => cluster.apply_instance(change, force, dry_run),
            None => Self::none("change the EMQX object"),
        }
    }

    fn remove_fields<'a>(
        &'a self,
        object: &'a Value,
        fields: &'a [String],
    ) -> BoxedFuture<'a, AppliedObject> {
        match self.used() {
            Some(cluster) => cluster.remove_fields(object, fields),
            None => Self::none("change the EMQX object"),
        }
    }

    fn store_state<'a>(
        &'a self,
        instance: &'a Instance,
        key: &'a str,
        text: &'a str,
        dry_run: ServerDryRun,
    ) -> BoxedFuture<'a, ()> {
        match self.used() {
            Some(cluster) => cluster.store_state(instance, key, text, dry_run),
            None => Self::none("store the state of an upgrade"),
        }
    }

    fn store_state_over<'a>(
        &'a self,
        instance: &'a Instance,
        key: &'a str,
        text: &'a str,
        version: Option<&'a str>,
    ) -> BoxedFuture<'a, bool> {
        match self.used() {
            Some(cluster) => cluster.store_state_over(instance, key, text, version),
            None => Self::none("store the history of an instance"),
        }
    }

    fn scale_set<'a>(&'a self, namespace: &'a str, name: &'a str, replicas: u64) -> BoxedFuture<'a, bool> {
        match self.used() {
            Some(cluster) => cluster.scale_set(namespace, name, replicas),
            None => Self::none("scale a StatefulSet"),
        }
    }

    fn set_gate<'a>(&'a self, namespace: &'a str, pod: &'a PodName, serving: bool) -> BoxedFuture<'a, bool> {
        match self.used() {
            Some(cluster) => cluster.set_gate(namespace, pod, serving),
            None => Self::none("change a pod"),
        }
    }

    fn placement<'a>(
        &'a self,
        namespaces: &'a [String],
        pods: &'a BTreeSet<String>,
    ) -> BoxedFuture<'a, Placement> {
        match self.used() {
            Some(cluster) => cluster.placement(namespaces, pods),
            None => Self::none("read the Kubernetes nodes"),
        }
    }

    fn surroundings<'a>(&'a self, id: &'a InstanceId) -> BoxedFuture<'a, Surroundings> {
        match self.used() {
            Some(cluster) => cluster.surroundings(id),
            None => Self::none("read Services"),
        }
    }

    fn part_of_surroundings<'a>(
        &'a self,
        id: &'a InstanceId,
        want: SurroundingScope,
    ) -> BoxedFuture<'a, Surroundings> {
        match self.used() {
            Some(cluster) => cluster.part_of_surroundings(id, want),
            None => Self::none("read Services"),
        }
    }

    fn cordon<'a>(&'a self, machine: &'a str) -> BoxedFuture<'a, Cordon> {
        match self.used() {
            Some(cluster) => cluster.cordon(machine),
            None => Self::none("cordon a Kubernetes node"),
        }
    }

    fn uncordon<'a>(&'a self, machine: &'a str) -> BoxedFuture<'a, Cordon> {
        match self.used() {
            Some(cluster) => cluster.uncordon(machine),
            None => Self::none("uncordon a Kubernetes node"),
        }
    }

    fn evict<'a>(&'a self, namespace: &'a str, pod: &'a PodName, uid: &'a str) -> BoxedFuture<'a, Eviction> {
        match self.used() {
            Some(cluster) => cluster.evict(namespace, pod, uid),
            None => Self::none("evict a pod"),
        }
    }

    fn autoscalers<'a>(&'a self, namespace: &'a str) -> BoxedFuture<'a, Autoscalers> {
        match self.used() {
            Some(cluster) => cluster.autoscalers(namespace),
            None => Self::none("read autoscalers"),
        }
    }

    fn set_deletion_cost<'a>(
        &'a self,
        namespace: &'a str,
        pod: &'a PodName,
        uid: &'a str,
        cost: Option<i64>,
    ) -> BoxedFuture<'a, bool> {
        match self.used() {
            Some(cluster) => cluster.set_deletion_cost(namespace, pod, uid, cost),
            None => Self::none("change a pod"),
        }
    }

    fn logs<'a>(&'a self, namespace: &'a str, pod: &'a PodName, lines: usize) -> BoxedFuture<'a, String> {
        match self.used() {
            Some(cluster) => cluster.logs(namespace, pod, lines),
            None => Self::none("read the log of a pod"),
        }
    }

    fn holder(&self) -> String {
        self.used().map(Kubernetes::holder).unwrap_or_default()
    }

    fn client(&self) -> String {
        self.used().map(Kubernetes::client).unwrap_or_default()
    }

    fn take_lease<'a>(&'a self, instance: &'a Instance) -> BoxedFuture<'a, Option<String>> {
        match self.used() {
            Some(cluster) => cluster.take_lease(instance),
            None => Self::none("take the lease of the EMQX object"),
        }
    }

    fn release_lease<'a>(&'a self, instance: &'a Instance) -> BoxedFuture<'a, ()> {
        match self.used() {
            Some(cluster) => cluster.release_lease(instance),
            None => Self::none("release the lease of the EMQX object"),
        }
    }

    fn may<'a>(&'a self, rights: &'a [Right]) -> BoxedFuture<'a, Vec<Option<bool>>> {
        match self.used() {
            Some(cluster) => cluster.may(rights),
            None => Box::pin(std::future::ready(Ok(vec![None; rights.len()]))),
        }
    }
}

impl Standalone {
    /// Whether Kubernetes has no object for this EMQX; reads the instances where that is not decided yet.
    async fn read_alone(&self) -> bool {
        let Some(cluster) = self.used() else { return true };
        let scope = Scope {
            namespace: Some(cluster.namespace().to_owned()),
            want: crate::ports::RefreshScope { instances: true, ..Default::default() },
            ..Scope::default()
        };
        let _ = self.served().await;
        let _ = self.read(&scope).await;
        self.alone.get()
    }
}

/// Without a cluster the time of day is this machine's.
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// The clock of this machine, where no server reports its time.
pub(super) struct Local;

impl Clock for Local {
    fn now(&self) -> Timestamp {
        now()
    }

    fn speed(&self) -> f64 {
        1.0
    }
}
