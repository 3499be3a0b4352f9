//! What a drain of Kubernetes nodes is asked for, and its plan for one instance.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::model::drain::{DrainState, DrainedPod};
use crate::model::verdict::two_decimals;
use crate::model::{InstanceId, Verdict, World};
use crate::plan::evacuation::Settings;
use crate::plan::removal::{RemovalPlan, StepState, sizes};
use crate::plan::snapshot::Snapshot;
use crate::plan::stored_removal::stored_drain;

/// What is requested.
#[derive(Clone, Debug, PartialEq)]
pub struct DrainRequest {
    /// The Kubernetes nodes.
    pub machines: Vec<String>,
    /// Pods of one instance that are moved at a time.
    pub parallel: u64,
    /// Whether the nodes are cordoned.
    pub cordon: bool,
    /// What is requested of EMQX; the rates are those of all evacuated nodes together.
    pub settings: Settings,
    /// Checks that do not refuse it.
    pub skip: Vec<String>,
}

/// A drain of one instance: its plan, and its result.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainPlan {
    /// The pods that are moved, and how.
    #[serde(flatten)]
    pub removal: RemovalPlan,
    pub kubernetes_nodes: Vec<String>,
    /// Whether all pods leave the Service and are evacuated first, and are moved one after another then.
    pub together: bool,
    /// Disconnections of one client of these pods on average; 0 without clients.
    #[serde(serialize_with = "two_decimals")]
    pub disconnections_per_client: f64,
    /// Pods of each set that have to be there.
    #[serde(skip)]
    pub sizes: BTreeMap<String, u64>,
}

impl DrainPlan {
    pub(super) fn of(
        world: &World,
        snapshot: &Snapshot,
        machines: &[String],
        pods: Vec<DrainedPod>,
        settings: &Settings,
    ) -> Self {
        Self {
            sizes: sizes(world, &snapshot.instance),
            removal: RemovalPlan::of(world, snapshot, pods, settings),
            kubernetes_nodes: machines.to_vec(),
            together: false,
            disconnections_per_client: 0.0,
        }
    }

    /// A drain that was undone.
    pub(crate) fn reverted(world: &World, snapshot: &Snapshot, state: &DrainState, message: String) -> Self {
        let mut drain = Self::of(world, snapshot, &state.machines, state.pods.clone(), &Settings::default());
        for step in &mut drain.removal.steps {
            if step.state != StepState::Planned {
                step.state = StepState::Done;
            }
        }
        drain.removal.verdict = Some(Verdict::Reverted);
        drain.removal.message = message;
        drain
    }
}

/// The stored state of an unfinished drain that a drain of these Kubernetes nodes continues: it names all of that drain's.
pub fn continued<'w>(world: &'w World, id: &InstanceId, machines: &[String]) -> Option<&'w DrainState> {
    stored_drain(world, id).filter(|state| state.machines.iter().all(|it| machines.contains(it)))
}
