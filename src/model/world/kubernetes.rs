//! What Kubernetes has reported, of all instances.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::health::SourceHealth;
use crate::model::cluster::Instance;
use crate::model::fact::{Object, ObjectKind, Seen, Served, Source};
use crate::model::guard::GuardState;
use crate::model::lease::OperatorLease;
use crate::model::name::InstanceId;
use crate::model::operation_state::OperationState;
use crate::model::pod::{Pod, PodEvent, Set, SetKind, Slice};
use crate::model::rebalance::Rebalance;

/// Namespace and name.
pub type Key = (String, String);

/// The objects of Kubernetes, and whether each kind can be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KubernetesState {
    /// What the API serves.
    pub served: Served,
    /// EMQX clusters.
    pub instances: BTreeMap<InstanceId, Seen<Instance>>,
    /// Rebalance objects.
    pub rebalances: BTreeMap<Key, Seen<Rebalance>>,
    /// Deleted Rebalance objects, in their last version, with the time of the deletion. Bounded.
    pub departed: Vec<Seen<Rebalance>>,
    pub pods: BTreeMap<Key, Seen<Pod>>,
    /// StatefulSets and ReplicaSets.
    pub sets: BTreeMap<(SetKind, Key), Seen<Set>>,
    /// EndpointSlices.
    pub slices: BTreeMap<Key, Seen<Slice>>,
    pub events: BTreeMap<Key, Seen<PodEvent>>,
    /// The stored state of instances.
    pub states: BTreeMap<InstanceId, Seen<OperationState>>,
    /// Leases of operators, which show whether their processes are alive.
    pub leases: BTreeMap<Key, Seen<OperatorLease>>,
    /// Whether each resource of each source can be read.
    pub sources: BTreeMap<(Source, &'static str), SourceHealth>,
}

/// The most deleted rebalances that are remembered: enough for any list that a user reads, bounded for a
/// follow of days.
const DEPARTED: usize = 100;

fn put<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, Seen<V>>, key: K, value: V, at: Timestamp) -> bool {
    let different = map.get(&key).is_none_or(|seen| seen.value != value);
    map.insert(key, Seen { value, at });
    different
}

impl KubernetesState {
    pub(super) fn is(&mut self, object: Object, at: Timestamp) -> bool {
        match object {
            Object::Instance(mut instance) => {
                if let Some(stored) = self.stored(&instance) {
                    instance.guard = Some(stored);
                }
                put(&mut self.instances, instance.id.clone(), *instance, at)
            }
            Object::Rebalance(rebalance) => {
                let key = (rebalance.namespace.clone(), rebalance.name.clone());
                if let Some(old) = self.rebalances.get(&key)
                    && old.value.uid != rebalance.uid
                {
                    let old = Seen { value: old.value.clone(), at };
                    self.depart(old);
                }
                put(&mut self.rebalances, key, *rebalance, at)
            }
            Object::Pod(pod) => {
                put(&mut self.pods, (pod.namespace.clone(), pod.name.as_str().to_owned()), *pod, at)
            }
            Object::Set(set) => {
                put(&mut self.sets, (set.kind, (set.namespace.clone(), set.name.clone())), *set, at)
            }
            Object::Slice(slice) => {
                put(&mut self.slices, (slice.namespace.clone(), slice.name.clone()), *slice, at)
            }
            Object::Event(event) => {
                put(&mut self.events, (event.namespace.clone(), event.name.clone()), *event, at)
            }
            Object::State(state) => {
                let id = state.instance.clone();
                let different = put(&mut self.states, id.clone(), *state, at);
                self.restate(&id);
                different
            }
            Object::Lease(lease) => {
                put(&mut self.leases, (lease.namespace.clone(), lease.name.clone()), *lease, at)
            }
        }
    }

    pub(super) fn gone(&mut self, object: Object, at: Timestamp) -> bool {
        match object {
            Object::Instance(instance) => self.instances.remove(&instance.id).is_some(),
            Object::Rebalance(rebalance) => {
                let key = (rebalance.namespace.clone(), rebalance.name.clone());
                let here = self.rebalances.get(&key).is_some_and(|seen| seen.value.uid == rebalance.uid);
                if here {
                    self.rebalances.remove(&key);
                    self.depart(Seen { value: *rebalance, at });
                }
                here
            }
            Object::Pod(pod) => {
                let key = (pod.namespace.clone(), pod.name.as_str().to_owned());
                // A StatefulSet's pod is created again with the same name: the deletion of the old pod must
                // not remove the new one.
                let here = self.pods.get(&key).is_some_and(|seen| seen.value.uid == pod.uid);
                here && self.pods.remove(&key).is_some()
            }
            Object::Set(set) => self.sets.remove(&(set.kind, (set.namespace.clone(), set.name))).is_some(),
            Object::Slice(slice) => self.slices.remove(&(slice.namespace.clone(), slice.name)).is_some(),
            Object::Event(event) => self.events.remove(&(event.namespace.clone(), event.name)).is_some(),
            Object::State(state) => {
                let here = self.states.get(&state.instance).is_some_and(|seen| seen.value.uid == state.uid);
                let gone = here && self.states.remove(&state.instance).is_some();
                self.restate(&state.instance);
                gone
            }
            Object::Lease(lease) => self.leases.remove(&(lease.namespace, lease.name)).is_some(),
        }
    }

    pub(super) fn only(&mut self, kind: ObjectKind, uids: &BTreeSet<String>, at: Timestamp) -> bool {
        fn keep<K: Ord + Clone, V>(
            map: &mut BTreeMap<K, Seen<V>>,
            mut stays: impl FnMut(&V) -> bool,
        ) -> Vec<Seen<V>> {
            map.extract_if(.., |_, seen| !stays(&seen.value)).map(|(_, seen)| seen).collect()
        }
        match kind {
            ObjectKind::Instance => !keep(&mut self.instances, |it| uids.contains(&it.uid)).is_empty(),
            ObjectKind::Rebalance => {
                let gone = keep(&mut self.rebalances, |it| uids.contains(&it.uid));
                let any = !gone.is_empty();
                for seen in gone {
                    self.depart(Seen { value: seen.value, at });
                }
                any
            }
            ObjectKind::Pod => !keep(&mut self.pods, |it| uids.contains(&it.uid)).is_empty(),
            ObjectKind::StatefulSet => {
                !keep(&mut self.sets, |it| it.kind != SetKind::StatefulSet || uids.contains(&it.uid))
                    .is_empty()
            }
            ObjectKind::ReplicaSet => {
                !keep(&mut self.sets, |it| it.kind != SetKind::ReplicaSet || uids.contains(&it.uid))
                    .is_empty()
            }
            ObjectKind::Slice => !keep(&mut self.slices, |it| uids.contains(&it.uid)).is_empty(),
            ObjectKind::Event => !keep(&mut self.events, |it| uids.contains(&it.uid)).is_empty(),
            ObjectKind::State => {
                let gone = keep(&mut self.states, |it| uids.contains(&it.uid));
                for seen in &gone {
                    self.restate(&seen.value.instance);
                }
                !gone.is_empty()
            }
            ObjectKind::Lease => !keep(&mut self.leases, |it| uids.contains(&it.uid)).is_empty(),
        }
    }

    /// The stored state of an instance, if this very instance owns the ConfigMap.
    fn stored(&self, instance: &Instance) -> Option<GuardState> {
        let state = self.states.get(&instance.id).map(|seen| &seen.value);
        state.filter(|state| state.owner == instance.uid).and_then(|state| state.guard.clone())
    }

    fn restate(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get(id) else { return };
        let stored = self.stored(&instance.value);
        let guard = stored.or_else(|| GuardState::of_notes(&instance.value.notes));
        if let Some(instance) = self.instances.get_mut(id) {
            instance.value.guard = guard;
        }
    }

    fn depart(&mut self, seen: Seen<Rebalance>) {
        if self.departed.len() == DEPARTED {
            self.departed.remove(0);
        }
        self.departed.push(seen);
    }
}
