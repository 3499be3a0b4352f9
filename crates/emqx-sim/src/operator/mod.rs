//! The simulated EMQX operator: an ordinary Kubernetes client of any API server, the simulated one or a real
//! one. It accesses the simulated EMQX through its handle.
//!
//! ```text
//! instance_reconciler  every 30 s while Ready, else every 1.3 s (v1beta4: 20 s), and when the instance's spec changes:
//!                      nodes → status of the instance, gates of pods; another image → other sets, and the old pods go
//!                      (blue_green, sets, rolling)
//! controller           on every change of a Rebalance, and every 5 s while it is Processing: start, poll, stop
//! ```
//!
//! Both behave as the real one was observed to (docs/evidence), including its traps. When a rebalance starts,
//! the reconciler's next pass is scheduled as in the recordings (20 s later on 2.2, 22 s on 2.3, 6 s on v1beta4),
//! so that each run is identical; on a real cluster that time is random.

mod actions;
mod blue_green;
mod controller;
mod events;
mod gates;
mod instance_reconciler;
mod observation;
mod rolling;
mod sets;
mod watch;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use kube::api::{Api as KubeApi, ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;

use super::clock::{Clock, Raiser, Worker};
use super::emqx::Emqx;
use super::resources::GROUP;
use super::scenario::{Api, Line, Scenario};

/// The field manager of its writes.
const MANAGER: &str = "manager";

/// The inputs of an operator.
pub struct OperatorOptions {
    /// The API server it works against.
    pub client: Client,
    /// The EMQX it manages, with its clock.
    pub emqx: Emqx,
    /// The namespace, the kind and the name of the instance.
    pub scenario: Scenario,
    /// Whether it acts; may change at any time.
    pub alive: Arc<AtomicBool>,
}

/// An operator before its start.
pub struct Operator {
    shared: Arc<Shared>,
    instance_reconciler: Worker,
    controller: Worker,
}

/// The data that both loops share.
struct Shared {
    client: Client,
    emqx: Emqx,
    clock: Clock,
    api: Api,
    namespace: String,
    instance: String,
    /// The address of the first core, which 2.3 puts into its messages.
    core_address: String,
    alive: Arc<AtomicBool>,
    instance_reconciler: Raiser,
    controller: Raiser,
    /// The time from a rebalance's start to the instance_reconciler's next pass, when it is not that of the recordings.
    reconcile_delay: Option<Duration>,
    /// When the instance_reconciler's next pass is due, set by the controller.
    phase: Mutex<Option<Duration>>,
    /// Whether the instance's spec has changed since the instance_reconciler's last pass.
    news: AtomicBool,
    /// The newest version of a Rebalance that the controller has seen, and of an instance that the instance_reconciler has.
    seen: Arc<AtomicU64>,
    seen_instance: Arc<AtomicU64>,
}

impl Operator {
    /// An operator that works once it [runs](Operator::run).
    pub fn new(options: OperatorOptions) -> Self {
        let OperatorOptions { client, emqx, scenario, alive } = options;
        let clock = emqx.clock().clone();
        let (instance_reconciler, controller) = (clock.worker(), clock.worker());
        let shared = Shared {
            client,
            clock,
            core_address: scenario.members().first().map(|member| member.ip.clone()).unwrap_or_default(),
            reconcile_delay: scenario.operator_looks_after.map(Duration::from_secs_f64),
            api: scenario.api,
            namespace: scenario.namespace,
            instance: scenario.instance,
            alive,
            instance_reconciler: instance_reconciler.raiser(),
            controller: controller.raiser(),
            phase: Mutex::new(None),
            news: AtomicBool::new(false),
            seen: Arc::new(AtomicU64::new(0)),
            seen_instance: Arc::new(AtomicU64::new(0)),
            emqx,
        };
        Self { shared: Arc::new(shared), instance_reconciler, controller }
    }

    /// The newest resource versions of a Rebalance and of an instance that it has seen; for a standing clock to wait for.
    pub fn seen(&self) -> (Arc<AtomicU64>, Arc<AtomicU64>) {
        (Arc::clone(&self.shared.seen), Arc::clone(&self.shared.seen_instance))
    }

    /// Runs without an end.
    pub async fn run(self) {
        let Self { shared, instance_reconciler, controller } = self;
        if shared.api.line() == Line::V3 {
            // 3.x serves no Rebalance.
            drop(controller);
            tokio::join!(instance_reconciler::run(&shared, instance_reconciler), watch::instances(&shared));
        } else {
            let changes = controller::Changes::default();
            tokio::join!(
                instance_reconciler::run(&shared, instance_reconciler),
                watch::instances(&shared),
                watch::rebalances(&shared, &changes),
                controller::run(&shared, &changes, controller),
            );
        }
    }
}

impl Shared {
    fn alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    fn custom(&self, version: &str, kind: &str, plural: &str) -> KubeApi<DynamicObject> {
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, version, kind), plural);
        KubeApi::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    fn instances(&self) -> KubeApi<DynamicObject> {
        self.custom(self.api.name(), self.api.kind(), self.api.plural())
    }

    fn rebalances(&self) -> KubeApi<DynamicObject> {
        self.custom("v2beta1", "Rebalance", "rebalances")
    }

    fn plain(&self, group: &str, kind: &str, plural: &str) -> KubeApi<DynamicObject> {
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural);
        KubeApi::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// A rebalance has just started: the instance_reconciler's next pass is scheduled as in the recordings.
    fn rephase(&self) {
        let after = self.reconcile_delay.unwrap_or(match self.api {
            Api::V1beta4 => Duration::from_secs(6),
            Api::V2 => Duration::from_secs(22),
            Api::V2beta1 | Api::V3beta1 => Duration::from_secs(20),
        });
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.elapsed() + after);
        self.instance_reconciler.raise();
    }

    fn take_news(&self) -> bool {
        self.news.swap(false, Ordering::SeqCst)
    }

    fn take_phase(&self) -> Option<Duration> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A dynamic object as plain JSON.
fn to_value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// Plain JSON as a dynamic object.
fn to_object(value: Value) -> Result<DynamicObject, kube::Error> {
    serde_json::from_value(value).map_err(kube::Error::SerdeError)
}
