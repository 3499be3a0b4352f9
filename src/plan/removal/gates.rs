//! The readiness gates of pods that are removed: where EMQX evicts at once, the pods leave the Service first.

use super::{RemovalAction, RemovalView};
use crate::model::Pod;
use crate::model::human::seconds_between;
use crate::timing::SETTLE_SECONDS;

/// Where several evacuations begin and EMQX evicts at once, all of these pods leave the Service before the first evacuation
/// begins: a client must not reconnect to the pod that is evacuated next. `acts` without those that have to wait for that.
pub(in crate::plan) fn out_of_service_first(
    view: &RemovalView<'_>,
    acts: Vec<RemovalAction>,
) -> Vec<RemovalAction> {
    let starts = |act: &RemovalAction| matches!(act, RemovalAction::StartEvacuation { .. });
    if !view.run.gates || acts.iter().filter(|act| starts(act)).count() < 2 {
        return acts;
    }
    let pods: Vec<&Pod> = acts
        .iter()
        .filter_map(|act| match act {
            RemovalAction::StartEvacuation { uid, .. } => view.pod(uid).filter(|pod| pod.gated),
            _ => None,
        })
        .collect();
    let open = pods.iter().filter(|pod| pod.on_serving != Some(false));
    let mut first: Vec<RemovalAction> =
        open.map(|pod| RemovalAction::CloseGate { pod: pod.name.clone(), uid: pod.uid.clone() }).collect();
    if first.is_empty() {
        let Some(why) = leaving(view, &pods) else { return acts };
        first.push(RemovalAction::Wait(why));
    }
    first.extend(acts.into_iter().filter(|act| !starts(act)));
    first
}

/// Why pods with closed gates still get clients, if they do.
fn leaving(view: &RemovalView<'_>, pods: &[&Pod]) -> Option<String> {
    let serves = |pod: &Pod| {
        let row = view.snapshot.nodes.iter().find(|row| row.pod.as_ref() == Some(&pod.name));
        pod.ready || row.is_some_and(|row| row.serving == Some(true))
    };
    if let Some(pod) = pods.iter().find(|pod| serves(pod)) {
        return Some(format!("{} is leaving the Service", pod.name));
    }
    let since = |pod: &&Pod| pod.condition("Ready")?.since;
    let seconds = pods.iter().filter_map(since).map(|since| seconds_between(since, view.now)).min()?;
    (seconds < SETTLE_SECONDS).then(|| "the pods left the Service; load balancers notice".to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::drain::DrainedPod;
    use crate::model::{ApiVersion, BrokerUpdate, Condition, EvictionStatus, Object, Update, World};
    use crate::plan::drain::next::next;
    use crate::plan::fixtures;
    use crate::plan::removal::RemovalRun;

    const SET: &str = "emqx-core";

    fn pod(number: usize, open: bool, since: Option<i64>) -> Pod {
        fixtures::pod(&format!("{SET}-{number}"), |pod| {
            pod.gated = true;
            pod.on_serving = Some(open);
            pod.ready = open || since.is_none();
            pod.conditions = vec![Condition {
                kind: "Ready".into(),
                status: if pod.ready { "True" } else { "False" }.into(),
                since: since.map(fixtures::at),
                ..Condition::default()
            }];
        })
    }

    /// What a drain of the first two of four nodes does now, at second 100.
    fn acts(pods: [Pod; 2], gates: bool) -> Vec<RemovalAction> {
        let api = ApiVersion::V1beta4;
        let id = fixtures::id(api);
        let at = 100;
        let mut world = World::of([
            fixtures::fact(at, Update::Upserted(Object::Instance(Box::new(fixtures::instance(api))))),
            fixtures::answer_of(api, at, BrokerUpdate::Nodes(fixtures::nodes(&[9, 9, 9, 9]))),
            fixtures::answer_of(api, at, BrokerUpdate::Evictions(EvictionStatus::default())),
        ]);
        for one in pods.into_iter().chain([2, 3].map(|number| pod(number, true, None))) {
            world.apply(fixtures::fact(
                at,
                Update::Upserted(Object::Pod(Box::new(Pod { instance: Some(id.name.clone()), ..one }))),
            ));
        }
        let drained = |number: usize| DrainedPod {
            pod: format!("{SET}-{number}").as_str().into(),
            uid: format!("uid-{SET}-{number}"),
            node: Some(fixtures::core(number)),
            machine: String::new(),
            set: SET.into(),
            started: false,
            closed: false,
            waits: None,
        };
        let (pods, sizes) = ([drained(0), drained(1)], BTreeMap::from([(SET.to_owned(), 4)]));
        let run = RemovalRun {
            task: "drain",
            id: &id,
            pods: &pods,
            sizes: &sizes,
            together: true,
            parallel: 1,
            fresh_seconds: 10,
            gates,
        };
        next(&world, run, fixtures::at(at))
    }

    fn kinds(acts: &[RemovalAction]) -> Vec<&'static str> {
        let kind = |act: &RemovalAction| match act {
            RemovalAction::StartEvacuation { .. } => "start",
            RemovalAction::CloseGate { .. } => "close",
            RemovalAction::Wait(_) => "wait",
            _ => "other",
        };
        acts.iter().map(kind).collect()
    }

    #[test]
    fn pods_leave_the_service_before_the_first_of_several_evacuations_begins() {
        let open = || pod(0, true, None);
        assert_eq!(kinds(&acts([open(), pod(1, true, None)], true)), ["close", "close"]);
        assert_eq!(kinds(&acts([open(), pod(1, false, Some(90))], true)), ["close"], "only what is open");
        let ready = acts([pod(0, false, None), pod(1, false, Some(90))], true);
        assert_eq!(kinds(&ready), ["wait"], "the pod is ready still: {ready:?}");
        assert_eq!(kinds(&acts([pod(0, false, Some(98)), pod(1, false, Some(90))], true)), ["wait"]);
        assert_eq!(
            kinds(&acts([pod(0, false, Some(95)), pod(1, false, Some(90))], true)),
            ["start", "start"]
        );
        // EMQX 5 waits for load balancers itself; gates that may not be written are not waited for.
        assert_eq!(kinds(&acts([open(), pod(1, true, None)], false)), ["start", "start"]);
    }
}
