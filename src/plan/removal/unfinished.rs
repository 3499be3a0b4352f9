//! A drain or a scale that has not ended, as `status`, `watch` and the view report it: whose, how far, and what continues it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::super::{drain, scale};
use super::{PodProgress, RemovalRun, sizes};
use crate::model::drain::DrainedPod;
use crate::model::human::plural;
use crate::model::{InstanceId, World};

/// A drain or a scale that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// What it is, by whom, and how far.
    pub message: String,
    /// The command that continues it.
    pub next: String,
}

/// What is stored about this very instance; `None` where nothing is unfinished.
pub fn unfinished(world: &World, id: &InstanceId, now: Timestamp) -> Option<Unfinished> {
    if let Some(state) = drain::stored(world, id) {
        let sizes = sizes(world, id);
        let standings = drain::next::standings(world, run("drain", id, &state.pods, &sizes), now);
        let machines = state.machines.join(" ");
        return Some(Unfinished {
            message: format!(
                "drain of {}{}: {}",
                state.machines.join(", "),
                by(state.by.as_deref()),
                far(&state.pods, &standings, "moved")
            ),
            next: format!("kubectl emqx drain {machines}"),
        });
    }
    let state = scale::unfinished(world, id)?;
    let sizes = BTreeMap::new();
    let standings = scale::next::standings(world, run("scale", id, &state.pods, &sizes), now);
    let far = if state.pods.is_empty() {
        "its pods start".to_owned()
    } else {
        far(&state.pods, &standings, "removed")
    };
    Some(Unfinished {
        message: format!(
            "scale from {} to {}{}: {far}",
            state.from,
            scale::amount(state.field, state.to),
            by(state.by.as_deref())
        ),
        next: format!("kubectl emqx scale {} --{} {}", id.name, state.field.as_str(), state.to),
    })
}

fn run<'r>(
    task: &'static str,
    id: &'r InstanceId,
    pods: &'r [DrainedPod],
    sizes: &'r BTreeMap<String, u64>,
) -> RemovalRun<'r> {
    RemovalRun { task, id, pods, sizes, together: true, parallel: 1, fresh_seconds: u64::MAX }
}

fn by(name: Option<&str>) -> String {
    name.map(|name| format!(" by {name}")).unwrap_or_default()
}

/// `1 of 3 pods moved; emqx-core-2 evacuating`.
fn far(pods: &[DrainedPod], standings: &[PodProgress], done: &str) -> String {
    let ended = standings.iter().filter(|stands| **stands == PodProgress::Done).count();
    let busy = pods
        .iter()
        .zip(standings)
        .filter(|(_, stands)| !matches!(stands, PodProgress::Done | PodProgress::Planned))
        .map(|(pod, stands)| format!("; {} {}", pod.pod, stands.as_str()));
    format!("{ended} of {} {done}{}", plural(pods.len() as u64, "pod"), busy.collect::<String>())
}
