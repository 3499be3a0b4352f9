//! After a delete: an object goes when its finalizers are taken off, which is the operator's to do and may never come.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Hands;
use crate::error::Problem;
use crate::model::{Instance, Rebalance};

/// How long a deleted object may take to go before it is called terminating, by the clock on the wall.
pub(super) const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// Waits for the end of a deleted object, until then at the latest; gives back one that is still there.
pub(super) async fn lingers(
    hands: &Hands,
    object: &Rebalance,
    until: Instant,
) -> Result<Option<Rebalance>, Problem> {
    loop {
        let here = hands.kubernetes.rebalance(&object.namespace, &object.name).await?;
        match here.filter(|here| here.uid == object.uid) {
            None => return Ok(None),
            Some(here) if Instant::now() >= until => return Ok(Some(here)),
            Some(_) => sleep(LOOK).await,
        }
    }
}

/// Why a deleted object stays.
pub(super) fn why(object: &Rebalance, instance: Option<&Instance>) -> String {
    let why = if instance.is_some_and(Instance::ready) {
        "the operator has not taken its finalizer off; is it running?"
    } else {
        "the operator takes its finalizer off only when the EMQX is ready again"
    };
    format!("{why} (finalizers: {})", object.finalizers.join(", "))
}
