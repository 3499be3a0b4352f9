//! Objects as Kubernetes serves them, converted into types of `model`: one reader per kind and version,
//! total, and lenient for each field. One unreadable object causes a notice and does not affect the others.
//!
//! ```text
//! apps.emqx.io/{v1beta4,v2beta1,v2,v3beta1}  instance.rs, rebalance.rs ─┐
//! v1 Pod, Event   apps/v1 sets               pod.rs, event.rs          ─┼─► model::Object
//! discovery.k8s.io/v1 EndpointSlice          pod.rs                    ─┘
//! ```

use jiff::Timestamp;
use serde_json::Value;

use crate::model::{Fact, Object, Update};

mod event;
mod field;
mod hocon;
mod instance;
mod lease;
mod operator;
mod placement;
pub(super) mod pod;
mod rebalance;
mod state;
mod surroundings;

use field::text;

pub use operator::GROUP;
pub(crate) use operator::{INSTANCE_LABEL, MANAGED_LABEL};

pub(super) use placement::{autoscaler, bound_volume, budget, machine, placed, volume_affinity};
pub(super) use surroundings::{conversion, crd_stored, crd_versions, quota, ready_addresses, service};

/// Reads one object. `Ok(None)` for a kind that does not matter here, an error (a sentence) for an object
/// without a required field.
pub fn object(value: &Value) -> Result<Option<Object>, String> {
    let kind = text(value, &["kind"]).unwrap_or_default();
    let api = text(value, &["apiVersion"]).unwrap_or_default();
    let (group, version) = api.split_once('/').unwrap_or(("", api.as_str()));
    let read = match (group, kind.as_str()) {
        (GROUP, "EMQX" | "EmqxEnterprise" | "EmqxBroker") => {
            instance::read(value, &kind, version).map(|it| Object::Instance(Box::new(it)))
        }
        (GROUP, "Rebalance") => rebalance::read(value, version).map(|it| Object::Rebalance(Box::new(it))),
        ("", "Pod") => pod::pod(value).map(|it| Object::Pod(Box::new(it))),
        ("apps", "StatefulSet" | "ReplicaSet") => pod::set(value, &kind).map(|it| Object::Set(Box::new(it))),
        ("discovery.k8s.io", "EndpointSlice") => pod::slice(value).map(|it| Object::Slice(Box::new(it))),
        ("", "ConfigMap") => match state::read(value) {
            Some(state) => return Ok(Some(Object::State(Box::new(state)))),
            // The ConfigMap belongs to another program.
            None => return Ok(None),
        },
        ("coordination.k8s.io", "Lease") => {
            return Ok(lease::read(value).map(|lease| Object::Lease(Box::new(lease))));
        }
        ("" | "events.k8s.io", "Event") => event::read(value).map(|it| Object::Event(Box::new(it))),
        _ => return Ok(None),
    };
    match read {
        Ok(object) => Ok(Some(object)),
        Err(why) => {
            let namespace = text(value, &["metadata", "namespace"]).unwrap_or_default();
            let name = text(value, &["metadata", "name"]).unwrap_or_else(|| "without a name".to_owned());
            let place = if namespace.is_empty() { name } else { format!("{namespace}/{name}") };
            Err(format!("{kind} {place} ({api}) is left out: {why}"))
        }
    }
}

/// The facts in an object, with the event (LISTED, ADDED, MODIFIED, DELETED) that delivered it.
pub fn facts(at: Timestamp, event: &str, value: &Value) -> Vec<Fact> {
    let update = match object(value) {
        Ok(Some(object)) if event == "DELETED" => Update::Deleted(object),
        Ok(Some(object)) => Update::Upserted(object),
        Ok(None) => return Vec::new(),
        Err(text) => Update::Unreadable(text),
    };
    vec![Fact { at, update }]
}

/// The uid by which [`Update::Listed`] identifies an object; the readers use the same.
pub(super) fn uid(value: &Value) -> Option<String> {
    field::Head::read(value).map(|head| head.uid)
}
