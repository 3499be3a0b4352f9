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
mod shared;
mod watch;

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::Client;

use shared::Shared;

use super::clock::Worker;
use super::emqx::Emqx;
use super::scenario::{Line, Scenario};

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
