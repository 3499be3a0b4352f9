//! What the operator watches on the API server: changes of Rebalances, and of the instance's spec.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::TryStreamExt as _;
use kube::Api as KubeApi;
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use serde_json::Value;

use super::controller::Changes;
use super::shared::{Shared, to_value};
use crate::clock::Raiser;

/// Follows the Rebalances; reconnects after every failure of the connection.
pub(super) async fn rebalances(shared: &Shared, changes: &Changes) {
    follow(&shared.rebalances(), &shared.controller, &shared.seen, |object, exists| {
        changes.add(object, exists);
        true
    })
    .await;
}

/// Follows the instance; only another generation matters, its own writes of the status do not.
pub(super) async fn instances(shared: &Shared) {
    let mut generation = None;
    follow(&shared.instances(), &shared.instance_reconciler, &shared.seen_instance, |object, _| {
        if object["metadata"]["name"] != shared.instance.as_str() {
            return false;
        }
        let new = object["metadata"]["generation"].as_u64();
        let news = generation.is_some() && generation != Some(new);
        generation = Some(new);
        if news {
            shared.news.store(true, Ordering::SeqCst);
        }
        news
    })
    .await;
}

async fn follow(
    api: &KubeApi<DynamicObject>,
    raiser: &Raiser,
    seen: &AtomicU64,
    mut take: impl FnMut(&Value, bool) -> bool,
) {
    loop {
        if let Err(error) = once(api, raiser, seen, &mut take).await {
            tracing::debug!(%error, "the simulated operator's watch");
        }
        // Real time: a standing clock waits for this watch before it advances.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn once(
    api: &KubeApi<DynamicObject>,
    raiser: &Raiser,
    seen: &AtomicU64,
    take: &mut impl FnMut(&Value, bool) -> bool,
) -> Result<(), kube::Error> {
    let list = api.list(&ListParams::default()).await?;
    let mut news = false;
    for object in &list.items {
        news |= take(&to_value(object), true);
    }
    let mut version = list.metadata.resource_version.unwrap_or_default();
    if news {
        raiser.raise();
    }
    seen.fetch_max(version.parse().unwrap_or(0), Ordering::SeqCst);
    loop {
        let watch = api.watch(&WatchParams::default(), &version).await?;
        tokio::pin!(watch);
        while let Some(event) = watch.try_next().await? {
            let (object, exists) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, true),
                WatchEvent::Deleted(object) => (object, false),
                WatchEvent::Bookmark(mark) => {
                    version = mark.metadata.resource_version;
                    continue;
                }
                WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
            };
            let object = to_value(&object);
            object["metadata"]["resourceVersion"].as_str().unwrap_or_default().clone_into(&mut version);
            if take(&object, exists) {
                raiser.raise();
            }
            // Only after the worker is busy: the clock may advance as soon as this version is known.
            seen.fetch_max(version.parse().unwrap_or(0), Ordering::SeqCst);
        }
    }
}
