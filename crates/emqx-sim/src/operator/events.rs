//! The operator's events: one object per text, with a count, and none beyond the real recorder's limit.

use std::collections::BTreeMap;

use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::shared::{Shared, to_object};
use crate::clock::rfc3339;

/// client-go's recorder accepts this many events of one object, then almost none.
const BURST: u64 = 25;

/// The message.
#[derive(Clone, Copy)]
pub(super) struct EmittedEvent<'t> {
    /// `Normal` or `Warning`.
    pub(super) kind: &'t str,
    pub(super) reason: &'t str,
    pub(super) message: &'t str,
    /// The controller that reports it.
    pub(super) by: &'t str,
}

/// The events that were reported already.
#[derive(Default)]
pub(super) struct Events {
    /// (object's uid, text) → (event's name, count)
    counts: BTreeMap<(String, String), (String, u64)>,
    spent: BTreeMap<String, u64>,
}

impl Events {
    /// Reports an event of an object; a failed report is not a failure of the operator.
    pub(super) async fn emit(&mut self, shared: &Shared, about: &Value, emitted: EmittedEvent<'_>) {
        let EmittedEvent { kind, reason, message, by } = emitted;
        let uid = about["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let spent = self.spent.entry(uid.clone()).or_default();
        *spent += 1;
        if *spent > BURST {
            return;
        }
        let now = rfc3339(shared.clock.now());
        let api = shared.plain("", "Event", "events");
        let number = self.counts.len() as u64;
        let name = about["metadata"]["name"].as_str().unwrap_or_default();
        let (event, count) = self.counts.entry((uid.clone(), message.to_owned())).or_insert_with(|| {
            let nanos = shared.clock.now().as_nanosecond() as u64;
            (format!("{name}.{:x}", nanos.wrapping_add(number)), 0)
        });
        *count += 1;
        let done = if *count == 1 {
            let object = json!({
                "apiVersion": "v1", "kind": "Event", "metadata": { "name": event, "namespace": shared.namespace },
                "involvedObject": {
                    "kind": about["kind"], "namespace": shared.namespace, "name": name, "uid": uid,
                    "apiVersion": about["apiVersion"], "resourceVersion": about["metadata"]["resourceVersion"],
                },
                "reason": reason, "message": message, "type": kind, "count": 1,
                "source": { "component": by }, "firstTimestamp": now, "lastTimestamp": now,
                "eventTime": null, "reportingComponent": by, "reportingInstance": "",
            });
            match to_object(object) {
                Ok(object) => api.create(&PostParams::default(), &object).await,
                Err(error) => Err(error),
            }
        } else {
            let change = json!({ "count": count, "lastTimestamp": now });
            api.patch(event, &PatchParams::default(), &Patch::Merge(change)).await
        };
        if let Err(error) = done {
            tracing::debug!(%error, "an event of the simulated operator");
        }
    }
}
