//! Where a pod can run after it was evicted: the rules of Kubernetes' scheduler that keep a pod away from a
//! node, as far as EMQX pods use them. Preferences are ignored.

use std::collections::BTreeMap;

use crate::model::drain::{Amount, Machine, Placed, Placement, admits};
use crate::model::human::plural;

/// The capacity of the Kubernetes nodes while pods are moved one after another.
pub struct ClusterCapacity<'p> {
    placement: &'p Placement,
    machines: &'p [String],
    /// Whether the drained nodes accept pods again.
    back: bool,
    used: BTreeMap<&'p str, Amount>,
    /// The Kubernetes node of each moved pod, by the pod's uid.
    moved: BTreeMap<&'p str, &'p str>,
}

impl<'p> ClusterCapacity<'p> {
    /// The free capacity before anything is moved off these Kubernetes nodes; with `back` they are not cordoned.
    pub(crate) fn new(placement: &'p Placement, machines: &'p [String], back: bool) -> Self {
        let mut used: BTreeMap<&str, Amount> = BTreeMap::new();
        for pod in placement.pods.iter().filter(|pod| !pod.ended) {
            if let Some(machine) = &pod.machine {
                let own = used.entry(machine).or_default();
                *own = own.plus(pod.requests);
            }
        }
        Self { placement, machines, back, used, moved: BTreeMap::new() }
    }

    /// The claim whose volume keeps a pod from every other node; `None` where no volume does.
    pub(crate) fn bound(&self, pod: &Placed) -> Option<String> {
        let mut claims = pod.claims.iter();
        claims
            .find(|claim| {
                let volume = self
                    .placement
                    .volumes
                    .iter()
                    .find(|it| it.namespace == pod.namespace && it.claim == **claim);
                volume.is_some_and(|volume| {
                    let mut others =
                        self.placement.machines.iter().filter(|it| !self.machines.contains(&it.name));
                    !others.any(|machine| admits(&volume.affinity, &machine.labels))
                })
            })
            .cloned()
    }

    /// Moves a pod to a node that accepts it; an error with the reason when no node does.
    pub(crate) fn place(&mut self, pod: &'p Placed) -> Result<(), String> {
        let mut reasons: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut others = 0;
        let mut best: Option<(u64, &'p Machine)> = None;
        for machine in &self.placement.machines {
            if self.machines.contains(&machine.name) && !self.back {
                continue;
            }
            others += 1;
            if let Some(reason) = self.keeps_away(pod, machine) {
                *reasons.entry(reason).or_default() += 1;
                continue;
            }
            let pods = self.used.get(machine.name.as_str()).map_or(0, |used| used.pods);
            if best.is_none_or(|(fewest, _)| pods < fewest) {
                best = Some((pods, machine));
            }
        }
        let Some((_, machine)) = best else {
            if others == 0 {
                return Err("no other Kubernetes node would remain".to_owned());
            }
            let reasons: Vec<String> =
                reasons.iter().map(|(reason, number)| format!("{number} {reason}")).collect();
            return Err(format!(
                "none of {} takes it: {}",
                plural(others, "other Kubernetes node"),
                reasons.join(", ")
            ));
        };
        let own = self.used.entry(&machine.name).or_default();
        *own = own.plus(pod.requests);
        self.moved.insert(&pod.uid, &machine.name);
        Ok(())
    }

    fn keeps_away(&self, pod: &Placed, machine: &Machine) -> Option<&'static str> {
        if machine.cordoned && !(self.back && self.machines.contains(&machine.name)) {
            return Some("cordoned");
        }
        if !machine.ready {
            return Some("not ready");
        }
        let tainted = machine.taints.iter().any(|taint| {
            taint.effect != "PreferNoSchedule"
                && taint.key != "node.kubernetes.io/unschedulable"
                && !pod.tolerations.iter().any(|it| it.covers(taint))
        });
        if tainted {
            return Some("with a taint that it does not tolerate");
        }
        let selected = pod.node_selector.iter().all(|(key, value)| machine.labels.get(key) == Some(value));
        if !selected || !admits(&pod.affinity, &machine.labels) {
            return Some("outside its node selector or node affinity");
        }
        let volumes = self.placement.volumes.iter();
        let mut own = volumes.filter(|it| it.namespace == pod.namespace && pod.claims.contains(&it.claim));
        if own.any(|volume| !admits(&volume.affinity, &machine.labels)) {
            return Some("out of reach of its volume");
        }
        let mut beside = self.placement.pods.iter().filter(|other| {
            let place = self.moved.get(other.uid.as_str()).copied().or(other.machine.as_deref());
            !other.ended
                && other.uid != pod.uid
                && other.namespace == pod.namespace
                && place == Some(machine.name.as_str())
        });
        let apart = |other: &Placed| {
            pod.apart_from.iter().any(|all| all.iter().all(|requirement| requirement.met(&other.labels)))
        };
        if beside.any(apart) {
            return Some("with a pod from which it stays apart (anti-affinity)");
        }
        let used = self.used.get(machine.name.as_str()).copied().unwrap_or_default();
        if self.placement.all_pods && !used.plus(pod.requests).fits(machine.allocatable) {
            return Some("without enough free CPU, memory or pods");
        }
        None
    }
}
