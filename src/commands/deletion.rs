//! Permissions for a delete, and the deletion of an object that has finalizers. Only the operator removes
//! them. Operators 2.2 and 2.3 process a deleted object once, return without requeueing while EMQX is not
//! Ready, and process it again only when the object changes.

use tokio::time::{Instant, sleep};

use super::CommandContext;
use super::cluster_view;
use crate::error::{Cause, Problem};
use crate::model::{Instance, InstanceId, Rebalance, TOUCHED_ANNOTATION, World};
use crate::plan::operator::{Evidence, OperatorProcess};
use crate::plan::snapshot::snapshot;
use crate::ports::{RefreshScope, Right};
use crate::timing::{INSTANCE_PAUSE, TOUCH_PAUSE, VERIFY_PAUSE};

/// The permission that marking and changing an object need, as it is printed.
pub(super) const PATCH: &str = "verb patch on rebalances.apps.emqx.io";

/// Reviews the permission to delete before anything is done and before the user has to confirm: for all
/// objects, and where that is refused, for each object by its name, because a role may name single objects.
/// Where the review fails, nothing is refused: the delete request reports the error.
pub(super) async fn allowed(
    context: &CommandContext,
    namespace: &str,
    names: impl IntoIterator<Item = &String>,
    what: impl Into<String>,
    way: impl Into<String>,
) -> Result<(), Problem> {
    let right = |name| Right { name, ..Right::of_rebalance("delete", namespace) };
    let refused = async |rights: &[Right]| {
        let answers = context.kubernetes.may(rights).await;
        answers.is_ok_and(|answers| answers.contains(&Some(false)))
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

/// Whether this object may be patched; `true` where the review fails.
pub(super) async fn may_touch(context: &CommandContext, object: &Rebalance) -> bool {
    let right = Right { name: Some(object.name.clone()), ..Right::of_rebalance("patch", &object.namespace) };
    let answers = context.kubernetes.may(&[right]).await;
    !answers.is_ok_and(|answers| answers.contains(&Some(false)))
}

/// Waits for the end of a deleted object until this time; returns an object that still exists.
pub(super) async fn wait_until_deleted(
    context: &CommandContext,
    object: &Rebalance,
    until: Instant,
) -> Result<Option<Rebalance>, Problem> {
    loop {
        let here = context.kubernetes.rebalance(&object.namespace, &object.name).await?;
        match here.filter(|here| here.uid == object.uid) {
            None => return Ok(None),
            Some(here) if Instant::now() >= until => return Ok(Some(here)),
            Some(_) => sleep(VERIFY_PAUSE).await,
        }
    }
}

/// The current state of the object's instance; `None` when it does not exist or may not be read.
async fn instance(context: &CommandContext, id: &InstanceId) -> Result<Option<Instance>, Problem> {
    let want = RefreshScope { instances: true, ..RefreshScope::default() };
    let facts = context.kubernetes.read(&cluster_view::exact(context, id, want)).await?;
    Ok(World::of(facts).instance(id).cloned())
}

/// The text that the operator's process is gone, where its Lease shows that. The operator's part of a delete
/// is then not done.
pub(super) async fn absent_operator(context: &CommandContext, id: &InstanceId) -> Option<String> {
    let want = RefreshScope { instances: true, rebalances: true, lease: true, ..RefreshScope::default() };
    let facts = context.kubernetes.read(&cluster_view::exact(context, id, want)).await.ok()?;
    let process = snapshot(&World::of(facts), id, context.clock.now()).operator_process;
    process.filter(|it| it.process == OperatorProcess::Gone).map(Evidence::cause)
}

/// Waits until the operator would remove the finalizer of this object; `false` when the time runs out first.
pub(super) async fn ready(
    context: &CommandContext,
    object: &Rebalance,
    until: Instant,
) -> Result<bool, Problem> {
    loop {
        if instance(context, &object.instance_id()).await?.is_none_or(|instance| instance.ready()) {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        sleep(INSTANCE_PAUSE).await;
    }
}

/// Releases a deleted object that still exists: waits until EMQX is Ready and changes one of this program's
/// annotations, so that the operator processes the object again. `None` when the object is deleted, else why
/// it stays.
pub(super) async fn freed(
    context: &CommandContext,
    object: &Rebalance,
    until: Instant,
) -> Result<Option<String>, Problem> {
    let id = object.instance_id();
    let mut touched: Option<Instant> = None;
    let mut refused: Option<String> = None;
    loop {
        let here = context.kubernetes.rebalance(&object.namespace, &object.name).await?;
        let Some(here) = here.filter(|here| here.uid == object.uid) else { return Ok(None) };
        let ready = instance(context, &id).await?.is_none_or(|instance| instance.ready());
        let again = touched.is_none_or(|touched| touched.elapsed() >= TOUCH_PAUSE);
        if ready && again && refused.is_none() {
            let value = context.clock.now().to_string();
            match context.kubernetes.annotate_rebalance(&here, TOUCHED_ANNOTATION, Some(&value)).await {
                Ok(_) => touched = Some(Instant::now()),
                Err(problem) if problem.cause == Cause::Forbidden => refused = Some(problem.why),
                Err(problem) => refused = Some(problem.to_string()),
            }
        }
        if Instant::now() >= until || refused.is_some() && ready {
            let gone = absent_operator(context, &id).await;
            let stays = DeletedObject {
                gone: gone.as_deref(),
                ready,
                touched: touched.is_some(),
                refused: refused.as_deref(),
            };
            return Ok(Some(stays.why(&here)));
        }
        sleep(INSTANCE_PAUSE).await;
    }
}

/// What is known of a deleted object that stays.
struct DeletedObject<'a> {
    /// The text that the operator's process is gone.
    gone: Option<&'a str>,
    /// Whether EMQX is Ready.
    ready: bool,
    /// Whether the object was changed, so that the operator reconciles it again.
    touched: bool,
    /// Why it may not be changed.
    refused: Option<&'a str>,
}

impl DeletedObject<'_> {
    /// Why the object stays. Without an operator only that matters: Ready is then as old as the operator's
    /// last status update.
    fn why(&self, object: &Rebalance) -> String {
        let finalizers = format!("(finalizers: {})", object.finalizers.join(", "));
        match (self.gone, self.refused) {
            (Some(gone), _) => {
                format!(
                    "{gone}; the operator takes its finalizer off when its process runs again {finalizers}"
                )
            }
            _ if !self.ready => format!(
                "the operator takes its finalizer off only when EMQX is Ready again and the object changes then {finalizers}"
            ),
            (None, Some(refused)) => format!(
                "the operator reconciles it again only when the object changes, and this program cannot change it: \
                 {refused} {finalizers}"
            ),
            (None, None) if self.touched => {
                format!("the operator has not taken its finalizer off; is it running? {finalizers}")
            }
            (None, None) => format!("the operator has not looked at it again so far {finalizers}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Object, Phase, Update};
    use crate::plan::fixtures;

    #[test]
    fn a_deleted_object_that_stays_names_the_process_of_the_operator_before_any_other_reason() {
        let Update::Upserted(Object::Rebalance(object)) =
            fixtures::rebalance("golden", Phase::Processing, |it| {
                it.finalizers = vec!["apps.emqx.io/finalizer".to_owned()];
            })
            .update
        else {
            panic!("not a Rebalance");
        };
        let gone = Evidence { process: OperatorProcess::Gone, lease_seconds: 600 }.cause();
        for (ready, touched, refused) in
            [(false, false, None), (true, true, None), (true, false, Some("verb patch on rebalances"))]
        {
            let of = |gone| DeletedObject { gone, ready, touched, refused }.why(&object);
            let text = of(Some(gone.as_str()));
            assert!(
                text.starts_with("the operator's process is gone: its Lease was last renewed 10m ago; "),
                "{text}"
            );
            assert!(text.ends_with("(finalizers: apps.emqx.io/finalizer)"), "{text}");
            assert!(!of(None).contains("process"), "{}", of(None));
        }
    }
}
