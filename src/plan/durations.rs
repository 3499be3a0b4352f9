//! How long the steps of an upgrade take: the settings of each API version with their defaults ([OP-71] to
//! [OP-73], [OP-76]), and the times that the operators were measured to need ([OP-13] to [OP-16]).

use serde::Serialize;

use crate::model::evacuation::{EvacuationWaits, shared_rate};
use crate::model::human::seconds_between;
use crate::model::strategy::EMQX_WAIT_SECONDS;
use crate::model::{ApiVersion, Instance, Pod, Stage};
use crate::timing::{BOOT_SECONDS, HELD_FROM_SECONDS, LOOP_SECONDS};

/// The operators' delay and their wait for takeovers, where the object has none ([OP-71], [OP-72], [OP-76]).
pub(super) const OPERATOR_WAIT_SECONDS: u64 = 10;

/// The operators' rates ([OP-72]).
pub(super) const OPERATOR_RATE: u64 = 1000;

/// The timing of the evacuation of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainTiming {
    pub api: ApiVersion,
    /// Seconds between the new pods being up and the first evacuation.
    pub delay: u64,
    /// Seconds before connections are evicted.
    pub wait_health_check: u64,
    /// Clients disconnected per second; `None` where no rate is set, so that no client is disconnected.
    pub conn_evict_rate: Option<u64>,
    /// Seconds for clients to take their sessions over.
    pub wait_takeover: u64,
    /// Sessions moved per second.
    pub sess_evict_rate: Option<u64>,
    /// Seconds that a pod takes to start.
    pub startup: u64,
}

impl DrainTiming {
    /// The waits alone.
    pub(crate) fn waits(&self) -> EvacuationWaits {
        EvacuationWaits { health_check_seconds: self.wait_health_check, takeover_seconds: self.wait_takeover }
    }
}

/// Seconds that these pods needed for their last start, from their assignment to a Kubernetes node until
/// their containers were ready; the median of the pods that show it. The operator's gate opens later and also
/// changes for other reasons.
pub(crate) fn boot<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Option<u64> {
    let took = |pod: &'a Pod| {
        let seconds = seconds_between(pod.true_since("PodScheduled")?, pod.true_since("ContainersReady")?);
        // A difference of hours means that the container in the same pod was restarted.
        (1..=3600).contains(&seconds).then_some(seconds)
    };
    let mut measured: Vec<u64> = pods.into_iter().filter_map(took).collect();
    measured.sort_unstable();
    measured.get(measured.len() / 2).copied()
}

/// What a node holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeContent {
    /// Live clients.
    pub connections: u64,
    /// Sessions, live or not.
    pub sessions: u64,
}

impl NodeContent {
    /// Sessions without a client.
    pub(crate) fn offline(self) -> u64 {
        self.sessions.saturating_sub(self.connections)
    }

    /// Whether the node is empty.
    pub(crate) fn nothing(self) -> bool {
        self.connections == 0 && self.sessions == 0
    }
}

/// Seconds that remain of an evacuation with these rates of clients and sessions, `spent` seconds after the beginning of this
/// stage.
pub(in crate::plan) fn evacuation_left(
    stage: &Stage,
    spent: u64,
    waits: EvacuationWaits,
    (connections, sessions): (Option<u64>, Option<u64>),
    holds: NodeContent,
) -> u64 {
    let order = stage.order().unwrap_or(0);
    let evicting = if order <= 1 { rounds(holds.connections, connections) } else { 0 };
    let moving = if order <= 3 { rounds(holds.offline(), sessions) } else { 0 };
    waits.left(stage, spent) + evicting + moving
}

/// Rounds of one second.
fn rounds(count: u64, rate: Option<u64>) -> u64 {
    match rate {
        Some(rate) if rate > 0 => count.div_ceil(rate),
        // Without a rate nothing is evicted and there is no end. The forecast reports that elsewhere; the
        // number must stay finite.
        _ => count,
    }
}

impl DrainTiming {
    /// The timing that follows from an instance's settings.
    pub(crate) fn of(instance: &Instance) -> Self {
        let update = &instance.update;
        let api = instance.api;
        // Operator 2.2 does not send 0 (both versions), and EMQX then uses its default wait.
        let takeover = |seconds: u64| if seconds == 0 { EMQX_WAIT_SECONDS } else { seconds };
        match api {
            ApiVersion::V1beta4 => Self {
                api,
                delay: update.initial_delay.unwrap_or(0),
                wait_health_check: 0,
                conn_evict_rate: update.conn_evict_rate,
                wait_takeover: takeover(update.wait_takeover.unwrap_or(0)),
                sess_evict_rate: update.sess_evict_rate,
                startup: BOOT_SECONDS,
            },
            ApiVersion::V2beta1 => {
                // The defaults of the waits belong to the whole block: a block that is set in part has no
                // defaults.
                let whole = |seconds: u64| if update.present { 0 } else { seconds };
                Self {
                    api,
                    delay: update.initial_delay.unwrap_or_else(|| whole(OPERATOR_WAIT_SECONDS)),
                    wait_health_check: EMQX_WAIT_SECONDS,
                    conn_evict_rate: update.conn_evict_rate.or(Some(OPERATOR_RATE)),
                    wait_takeover: takeover(
                        update.wait_takeover.unwrap_or_else(|| whole(OPERATOR_WAIT_SECONDS)),
                    ),
                    sess_evict_rate: update.sess_evict_rate.or(Some(OPERATOR_RATE)),
                    startup: BOOT_SECONDS,
                }
            }
            ApiVersion::V2 | ApiVersion::V3beta1 => Self {
                api,
                delay: if api == ApiVersion::V2 {
                    update.initial_delay.unwrap_or(OPERATOR_WAIT_SECONDS)
                } else {
                    0
                },
                wait_health_check: update.wait_health_check.unwrap_or(EMQX_WAIT_SECONDS),
                conn_evict_rate: update.conn_evict_rate.or(Some(OPERATOR_RATE)),
                wait_takeover: update.wait_takeover.unwrap_or(OPERATOR_WAIT_SECONDS),
                sess_evict_rate: update.sess_evict_rate.or(Some(OPERATOR_RATE)),
                startup: BOOT_SECONDS,
            },
        }
    }

    /// Whether the delay pauses the operator.
    pub(crate) fn held(&self) -> bool {
        self.api == ApiVersion::V1beta4 && self.delay >= HELD_FROM_SECONDS
    }

    /// The same with the rates for each of this number of nodes that are emptied together; their sum is never
    /// above the requested rate ([OP-16]: four at 50/s instead of one at 200/s).
    #[must_use]
    pub(crate) fn shared(&self, nodes: u64) -> Self {
        let share = |rate: Option<u64>| rate.map(|rate| shared_rate(rate, nodes));
        Self {
            conn_evict_rate: share(self.conn_evict_rate),
            sess_evict_rate: share(self.sess_evict_rate),
            ..*self
        }
    }

    /// Divides this number of nodes into groups that can be emptied together: where the rate is smaller than
    /// the number of nodes, each node of a group gets a rate of 1/s.
    pub(crate) fn groups(&self, nodes: usize) -> Vec<usize> {
        let rate =
            |rate: Option<u64>| rate.map_or(usize::MAX, |rate| usize::try_from(rate).unwrap_or(usize::MAX));
        let size = nodes.min(rate(self.conn_evict_rate)).min(rate(self.sess_evict_rate)).max(1);
        (0..nodes).step_by(size).map(|first| size.min(nodes - first)).collect()
    }

    /// Seconds to empty a node: all stages of an evacuation.
    pub(crate) fn drain(&self, holds: NodeContent) -> u64 {
        self.remaining(&Stage::WaitHealthCheck, 0, holds)
    }

    /// Seconds that remain of an evacuation that has spent `spent` seconds in this stage.
    pub(crate) fn remaining(&self, stage: &Stage, spent: u64, holds: NodeContent) -> u64 {
        evacuation_left(stage, spent, self.waits(), (self.conn_evict_rate, self.sess_evict_rate), holds)
    }

    /// Seconds between an empty node and the evacuation of the next one: the operator needs this time to
    /// notice.
    pub(crate) fn pod_removal(&self) -> u64 {
        match self.api {
            ApiVersion::V1beta4 => LOOP_SECONDS,
            ApiVersion::V2beta1 => 2,
            ApiVersion::V2 => 1,
            // The pod is started again before the next one is evacuated.
            ApiVersion::V3beta1 => self.startup,
        }
    }

    /// Seconds for an empty node: 2.3 removes it in its next loop; 2.2 waits for a takeover also here,
    /// counted from the last removal ([OP-72], [OP-14]).
    pub(crate) fn overhead(&self) -> u64 {
        match self.api {
            ApiVersion::V2beta1 => self.wait_takeover + 1,
            _ => self.pod_removal(),
        }
    }

    /// Seconds between the turn of one old pod and the turn of the next one.
    pub(crate) fn per_pod(&self, holds: NodeContent) -> u64 {
        if holds.sessions == 0 && holds.connections == 0 {
            self.overhead()
        } else {
            self.drain(holds) + self.pod_removal()
        }
    }

    /// Seconds from the new pods being up to the first evacuation.
    pub(crate) fn first_eviction_at(&self) -> u64 {
        match self.api {
            ApiVersion::V1beta4 => self.delay,
            // One more loop, in which the operator checks whether the delay is over.
            ApiVersion::V2beta1 | ApiVersion::V2 => self.delay + 1,
            ApiVersion::V3beta1 => 0,
        }
    }
}

/// Seconds in which the operator of v1beta4 removes this number of pods when nothing stops it: the first at
/// once, each further one 20 s later. Where pods still have clients ([OP-15]), its status is lost with every
/// other pod, and the initial delay begins again. One more second until the last pod is deleted.
pub(crate) fn removals(pods: u64, delay: Option<u64>) -> u64 {
    let Some(gaps) = pods.checked_sub(1) else { return 0 };
    gaps * LOOP_SECONDS + delay.unwrap_or(0) * gaps.div_ceil(2) + 1
}

/// A phase and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedPhase {
    pub name: &'static str,
    pub seconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UpdateSpec;
    use crate::plan::fixtures;

    fn timing(api: ApiVersion, update: UpdateSpec) -> DrainTiming {
        let mut instance = fixtures::instance(api);
        instance.update = update;
        DrainTiming::of(&instance)
    }

    const FULL: NodeContent = NodeContent { connections: 800, sessions: 860 };

    #[test]
    fn what_is_not_written_has_its_own_default_in_every_version() {
        let nothing = |api| {
            let timing = timing(api, UpdateSpec::default());
            (timing.delay, timing.wait_health_check, timing.conn_evict_rate, timing.wait_takeover)
        };
        assert_eq!(nothing(ApiVersion::V1beta4), (0, 0, None, 60));
        assert_eq!(nothing(ApiVersion::V2beta1), (10, 60, Some(1000), 10));
        assert_eq!(nothing(ApiVersion::V2), (10, 60, Some(1000), 10));
        assert_eq!(nothing(ApiVersion::V3beta1), (0, 60, Some(1000), 10));
        let part = timing(ApiVersion::V2beta1, UpdateSpec { present: true, ..UpdateSpec::default() });
        assert_eq!((part.delay, part.wait_takeover), (0, 60), "a block in part loses its defaults");
    }

    #[test]
    fn a_pod_of_the_recordings_takes_as_long_as_it_took() {
        let update = |health| UpdateSpec { wait_health_check: health, ..fixtures::update_spec() };
        assert_eq!(timing(ApiVersion::V2beta1, update(None)).per_pod(FULL), 72, "71 to 72 s were seen");
        assert_eq!(timing(ApiVersion::V2, update(Some(15))).per_pod(FULL), 26, "24 to 28 s were seen");
        assert_eq!(timing(ApiVersion::V2, update(Some(15))).per_pod(NodeContent::default()), 1);
        assert_eq!(timing(ApiVersion::V1beta4, update(None)).shared(4).drain(FULL), 16 + 5 + 2);
        assert_eq!(removals(4, None), 61);
        assert_eq!(removals(4, Some(5)), 71);
    }

    #[test]
    fn pods_start_as_they_last_did() {
        let started = |ready: Option<i64>| {
            fixtures::pod("p", |it| {
                let condition = |kind: &str, at: i64| crate::model::Condition {
                    kind: kind.into(),
                    status: "True".into(),
                    since: Some(fixtures::at(at)),
                    ..Default::default()
                };
                it.conditions = vec![condition("PodScheduled", 10)];
                it.conditions.extend(ready.map(|ready| condition("ContainersReady", ready)));
            })
        };
        let boots = |ready: &[Option<i64>]| {
            let pods: Vec<Pod> = ready.iter().map(|ready| started(*ready)).collect();
            boot(&pods)
        };
        assert_eq!(boots(&[Some(22), Some(52), Some(25), None]), Some(15), "the median");
        // Started again a day later, at once, not yet.
        assert_eq!(boots(&[Some(90_000), Some(10), None]), None);
        let slow = DrainTiming { startup: 45, ..timing(ApiVersion::V3beta1, UpdateSpec::default()) };
        assert_eq!(slow.per_pod(NodeContent::default()), 45);
    }

    #[test]
    fn a_small_rate_is_shared_in_groups() {
        let of = |rate| DrainTiming {
            conn_evict_rate: Some(rate),
            ..timing(ApiVersion::V1beta4, UpdateSpec::default())
        };
        assert_eq!(of(200).groups(4), [4]);
        assert_eq!(of(3).groups(7), [3, 3, 1]);
        assert_eq!(of(1).groups(3), [1, 1, 1]);
        assert_eq!(of(3).groups(0), [0_usize; 0]);
        assert_eq!(of(3).shared(3).conn_evict_rate, Some(1));
    }

    #[test]
    fn what_is_left_shrinks_with_the_stage() {
        let timing = DrainTiming {
            api: ApiVersion::V2beta1,
            delay: 5,
            wait_health_check: 60,
            conn_evict_rate: Some(200),
            wait_takeover: 5,
            sess_evict_rate: Some(200),
            startup: BOOT_SECONDS,
        };
        assert_eq!(timing.remaining(&Stage::WaitHealthCheck, 50, FULL), 10 + 4 + 5 + 1);
        assert_eq!(
            timing.remaining(&Stage::EvictingConns, 9, NodeContent { connections: 200, sessions: 260 }),
            1 + 5 + 1
        );
        assert_eq!(
            timing.remaining(&Stage::WaitTakeover, 3, NodeContent { connections: 0, sessions: 60 }),
            2 + 1
        );
        assert_eq!(timing.remaining(&Stage::Prohibiting, 3, NodeContent::default()), 0);
    }
}
