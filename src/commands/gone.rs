//! Around a delete: whether it is allowed; and how an object goes, which is when its finalizers are taken off: the operator's to
//! do, and may never come.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Hands;
use crate::error::Problem;
use crate::model::{Instance, Rebalance};
use crate::seam::Right;

/// How long a deleted object may take to go before it is called terminating, by the clock on the wall.
pub(super) const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// Asked before anything is done, and before anybody has to confirm it: of any, and where that is refused of each by its
/// name, because a role may name those that it is for. A server that cannot even be asked this is not one to refuse by:
/// deleting will tell.
pub(super) async fn allowed(
    hands: &Hands,
    namespace: &str,
    names: impl IntoIterator<Item = &String>,
    what: impl Into<String>,
    way: impl Into<String>,
) -> Result<(), Problem> {
    let right = |name| Right { name, ..Right::of_rebalance("delete", namespace) };
    let refused = async |rights: &[Right]| {
        hands.kubernetes.may(rights).await.is_ok_and(|answers| answers.contains(&Some(false)))
    };
    if !refused(&[right(None)]).await {
        return Ok(());
    }
    let each: Vec<Right> = names.into_iter().map(|name| right(Some(name.clone()))).collect();
    if refused(&each).await {
        let why = format!(
            "you may not delete a Rebalance in namespace {namespace} (needs verb delete on rebalances.apps.emqx.io)"
        );
        return Err(Problem::refused(what, why).hint(way));
    }
    Ok(())
}

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
