//! Effects on a cluster: the work of each, and the result that it sends into the loop.

use std::pin::Pin;
use std::rc::Rc;

use super::context::ClusterActions;
use super::endings::ending_key;
use super::msg::{Done, Effect};
use super::state::State;
use crate::plan::endpoint::target;

/// The result of an effect, which arrives later.
pub(super) type PendingResult = Pin<Box<dyn Future<Output = Done>>>;

/// The work of an effect on a cluster; none for another effect. Nothing is requested before the first poll.
pub(super) fn start(acts: &Rc<dyn ClusterActions>, state: &State, effect: Effect) -> Vec<PendingResult> {
    let acts = acts.clone();
    let result: PendingResult = match effect {
        Effect::Apply(id, strategy, backend) => {
            Box::pin(async move { Done::Applied(acts.apply(&id, &strategy, backend).await) })
        }
        Effect::Stop(id, name) => Box::pin(async move {
            let done = acts.stop(&id, &name).await;
            Done::Stopped(name, done)
        }),
        Effect::Evacuate(id, node) => Box::pin(async move {
            let done = acts.evacuate(&id, &node).await;
            Done::Acted(format!("the evacuation of {node} has started"), done)
        }),
        Effect::StopEvacuation(id, node) => Box::pin(async move {
            let done = acts.stop_evacuation(&id, &node).await;
            Done::Acted(format!("the evacuation of {node} is stopped"), done)
        }),
        Effect::PlanUpgrade(id, image) => Box::pin(async move {
            let plan = acts.plan_upgrade(&id, &image).await;
            Done::UpgradePlan(image, plan.map(Box::new))
        }),
        Effect::Upgrade(id, image) => {
            let (guarding, guarded) = (acts.clone(), id.clone());
            let (begun, go) = tokio::sync::oneshot::channel();
            // A guarded upgrade is continued while the view is open.
            let guard = async move {
                if go.await == Ok(true) {
                    return Done::Guarded(guarding.guard_upgrade(&guarded).await);
                }
                Done::Guarded(Ok(()))
            };
            let upgrade = async move {
                let done = acts.upgrade(&id, &image).await;
                let _ = begun.send(done.is_ok());
                Done::Acted(format!("the image of {} is {image} now", id.name), done)
            };
            return vec![Box::pin(guard), Box::pin(upgrade)];
        }
        Effect::Logs(id, pod) => Box::pin(async move {
            let log = acts.logs(&id, &pod).await;
            Done::Logs(pod, log)
        }),
        Effect::Replicants(id) => {
            let Some(instance) = state.world.instance(&id) else { return Vec::new() };
            let target = target(&state.world, instance);
            Box::pin(async move {
                let cores = acts.replicants(&id, target).await;
                Done::Replicants(id, cores)
            })
        }
        Effect::RecordVerdicts(ended) => Box::pin(async move {
            let keys = ended.iter().map(ending_key).collect();
            let failed = acts.record(ended).await.unwrap_or_else(|problem| vec![problem.to_string()]);
            Done::Recorded(keys, failed)
        }),
        Effect::Allowed(id) => Box::pin(async move {
            // A failed permission review refuses nothing: the create request shows the error.
            let allowed = acts.allowed(&id).await.ok().flatten();
            Done::Allowed(id, allowed)
        }),
        Effect::Quit
        | Effect::Interrupt
        | Effect::Suspend
        | Effect::Redraw
        | Effect::Refresh
        | Effect::Record(_)
        | Effect::Copy(_)
        | Effect::Play(_)
        | Effect::Alarm(_) => return Vec::new(),
    };
    vec![result]
}
