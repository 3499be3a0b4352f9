//! What the loops of an operator share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use kube::api::{Api as KubeApi, ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;

use crate::clock::{Clock, Raiser};
use crate::emqx::Emqx;
use crate::resources::GROUP;
use crate::scenario::Api;

/// The field manager of its writes.
pub(super) const MANAGER: &str = "manager";

/// The data that both loops share.
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) emqx: Emqx,
    pub(super) clock: Clock,
    pub(super) api: Api,
    pub(super) namespace: String,
    pub(super) instance: String,
    /// The address of the first core, which 2.3 puts into its messages.
    pub(super) core_address: String,
    pub(super) alive: Arc<AtomicBool>,
    pub(super) instance_reconciler: Raiser,
    pub(super) controller: Raiser,
    /// The time from a rebalance's start to the instance_reconciler's next pass, when it is not that of the recordings.
    pub(super) reconcile_delay: Option<Duration>,
    /// When the instance_reconciler's next pass is due, set by the controller.
    pub(super) phase: Mutex<Option<Duration>>,
    /// Whether the instance's spec has changed since the instance_reconciler's last pass.
    pub(super) news: AtomicBool,
    /// The newest version of a Rebalance that the controller has seen, and of an instance that the instance_reconciler has.
    pub(super) seen: Arc<AtomicU64>,
    pub(super) seen_instance: Arc<AtomicU64>,
}

impl Shared {
    pub(super) fn alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    pub(super) fn custom(&self, version: &str, kind: &str, plural: &str) -> KubeApi<DynamicObject> {
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, version, kind), plural);
        KubeApi::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    pub(super) fn instances(&self) -> KubeApi<DynamicObject> {
        self.custom(self.api.name(), self.api.kind(), self.api.plural())
    }

    pub(super) fn rebalances(&self) -> KubeApi<DynamicObject> {
        self.custom("v2beta1", "Rebalance", "rebalances")
    }

    pub(super) fn plain(&self, group: &str, kind: &str, plural: &str) -> KubeApi<DynamicObject> {
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural);
        KubeApi::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// A rebalance has just started: the instance_reconciler's next pass is scheduled as in the recordings.
    pub(super) fn rephase(&self) {
        let after = self.reconcile_delay.unwrap_or(match self.api {
            Api::V1beta4 => Duration::from_secs(6),
            Api::V2 => Duration::from_secs(22),
            Api::V2beta1 | Api::V3beta1 => Duration::from_secs(20),
        });
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.elapsed() + after);
        self.instance_reconciler.raise();
    }

    pub(super) fn take_news(&self) -> bool {
        self.news.swap(false, Ordering::SeqCst)
    }

    pub(super) fn take_phase(&self) -> Option<Duration> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A dynamic object as plain JSON.
pub(super) fn to_value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// Plain JSON as a dynamic object.
pub(super) fn to_object(value: Value) -> Result<DynamicObject, kube::Error> {
    serde_json::from_value(value).map_err(kube::Error::SerdeError)
}
