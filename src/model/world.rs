//! The world: all facts that are known at one moment, by source. Only facts change it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::cluster::{Instance, Node};
use super::fact::{Fact, Link, Object, ObjectKind, Seen, Served, Source, Update};
use super::lease::OperatorLease;
use super::load::{DonorStart, Load, Stage};
use super::name::{InstanceId, NodeName};
use super::operation_state::{GuardState, OperationState};
use super::pod::{Pod, PodEvent, Set, SetKind, Slice};
use super::rebalance::Rebalance;

/// Namespace and name.
pub type Key = (String, String);

/// The last state of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceHealth {
    /// Whether the source answers.
    pub link: Link,
    /// When the source last answered, by the server's clock; `None` when never.
    pub heard: Option<Timestamp>,
}

/// The changes by one fact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Whether anything that is shown has changed.
    pub visible: bool,
    /// A notice that is printed once.
    pub notice: Option<String>,
}

/// All that is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
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
    /// EMQX's list of nodes.
    pub nodes: Option<Seen<Vec<Node>>>,
    /// The operations that EMQX runs.
    pub load: Option<Seen<Load>>,
    /// The counts of donors when their running rebalances began.
    pub begun: BTreeMap<NodeName, DonorStart>,
    /// The last period in which every answer of EMQX reported that no rebalance runs: its first and its last
    /// answer.
    pub idle: Option<(Timestamp, Timestamp)>,
    /// The state of each resource of each source.
    pub hearings: BTreeMap<(Source, &'static str), SourceHealth>,
    notices: BTreeSet<String>,
}

/// All data of a world from EMQX's API, for one cluster: a view of several clusters inserts the data of the
/// shown cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmqxAnswers {
    pub(crate) nodes: Option<Seen<Vec<Node>>>,
    pub(crate) load: Option<Seen<Load>>,
    begun: BTreeMap<NodeName, DonorStart>,
    idle: Option<(Timestamp, Timestamp)>,
    pub(crate) hearings: BTreeMap<(Source, &'static str), SourceHealth>,
}

/// The most deleted rebalances that are remembered: enough for any list that a user reads, bounded for a
/// follow of days.
const DEPARTED: usize = 100;

fn put<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, Seen<V>>, key: K, value: V, at: Timestamp) -> bool {
    let different = map.get(&key).is_none_or(|seen| seen.value != value);
    map.insert(key, Seen { value, at });
    different
}

impl World {
    /// An empty world.
    pub fn new() -> Self {
        Self::default()
    }

    /// A world made of these facts.
    pub fn of(facts: impl IntoIterator<Item = Fact>) -> Self {
        let mut world = Self::new();
        for fact in facts {
            world.apply(fact);
        }
        world
    }

    /// Removes EMQX's answers and returns them.
    pub(crate) fn take_emqx_answers(&mut self) -> EmqxAnswers {
        EmqxAnswers {
            nodes: self.nodes.take(),
            load: self.load.take(),
            begun: std::mem::take(&mut self.begun),
            idle: self.idle.take(),
            hearings: self.hearings.extract_if(.., |(source, _), _| *source == Source::Emqx).collect(),
        }
    }

    /// Inserts EMQX's answers into a world without answers.
    pub(crate) fn put_emqx_answers(&mut self, answers: EmqxAnswers) {
        let EmqxAnswers { nodes, load, begun, idle, hearings } = answers;
        (self.nodes, self.load, self.begun, self.idle) = (nodes, load, begun, idle);
        self.hearings.extend(hearings);
    }

    /// Applies one fact.
    pub fn apply(&mut self, fact: Fact) -> Changes {
        let Fact { at, update } = fact;
        let visible = match update {
            Update::Served(served) => {
                let different = self.served != served;
                self.served = served;
                different
            }
            Update::Is(object) => self.is(object, at),
            Update::Gone(object) => self.gone(object, at),
            Update::Only(kind, uids) => self.only(kind, &uids.into_iter().collect(), at),
            Update::Nodes(nodes) => {
                self.hear(Source::Emqx, "nodes", Link::Up, at);
                let different = self.nodes.as_ref().is_none_or(|seen| seen.value != nodes);
                self.nodes = Some(Seen { value: nodes, at });
                different
            }
            Update::Load(load) => {
                self.hear(Source::Emqx, "load_rebalance", Link::Up, at);
                let different = self.load.as_ref().is_none_or(|seen| seen.value != load);
                if load.rebalances.is_empty() {
                    let before = self.load.as_ref().is_some_and(|seen| seen.value.rebalances.is_empty());
                    let since = self.idle.filter(|_| before).map_or(at, |(since, _)| since);
                    self.idle = Some((since, at));
                }
                self.begun.retain(|donor, start| {
                    load.rebalances.iter().any(|entry| {
                        entry.coordinator == start.coordinator
                            && entry.donors.contains(donor)
                            && entry.stage != Stage::WaitHealthCheck
                    })
                });
                self.load = Some(Seen { value: load, at });
                different
            }
            Update::Began(start) => {
                let different = self.begun.get(&start.donor) != Some(&start);
                self.begun.insert(start.donor.clone(), start);
                different
            }
            Update::Link(source, resource, link) => {
                let notice = match &link {
                    Link::Up => None,
                    Link::Forbidden(text) | Link::Unreachable(text) | Link::Absent(text) => {
                        Some(text.clone())
                    }
                };
                // An object is requested by label and by name: the same permission is missing, with other
                // messages.
                let known = source != Source::Emqx
                    && matches!(link, Link::Forbidden(_))
                    && self
                        .hearings
                        .get(&(source, resource))
                        .is_some_and(|it| matches!(it.link, Link::Forbidden(_)));
                let visible = self.hear(source, resource, link, at);
                let notice = notice.filter(|text| self.notices.insert(text.clone()) && !known);
                return Changes { visible, notice };
            }
            Update::Unreadable(text) => {
                let first = self.notices.insert(text.clone());
                return Changes { visible: first, notice: first.then_some(text) };
            }
        };
        Changes { visible, notice: None }
    }

    fn hear(&mut self, source: Source, resource: &'static str, link: Link, at: Timestamp) -> bool {
        let hearing = self
            .hearings
            .entry((source, resource))
            .or_insert(SourceHealth { link: Link::Absent(String::new()), heard: None });
        let different = hearing.link != link;
        if link == Link::Up {
            hearing.heard = Some(at);
        }
        hearing.link = link;
        different
    }

    fn is(&mut self, object: Object, at: Timestamp) -> bool {
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

    fn gone(&mut self, object: Object, at: Timestamp) -> bool {
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

    fn only(&mut self, kind: ObjectKind, uids: &BTreeSet<String>, at: Timestamp) -> bool {
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

    /// The instance of a Rebalance, if it is known.
    pub(crate) fn instance_of(&self, rebalance: &Rebalance) -> Option<&Instance> {
        let id = InstanceId {
            kind: rebalance.instance_kind,
            namespace: rebalance.namespace.clone(),
            name: rebalance.instance_name.clone(),
        };
        self.instances.get(&id).map(|seen| &seen.value)
    }

    /// An instance by its id.
    pub fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.instances.get(id).map(|seen| &seen.value)
    }

    /// The pods of an instance, by name. Pods without the operator's label do not count.
    pub fn pods_of<'a>(&'a self, id: &'a InstanceId) -> impl Iterator<Item = &'a Pod> {
        self.pods
            .values()
            .map(|seen| &seen.value)
            .filter(|pod| pod.namespace == id.namespace && pod.instance.as_deref() == Some(id.name.as_str()))
    }

    /// The sets of an instance.
    pub fn sets_of<'a>(&'a self, id: &'a InstanceId) -> impl Iterator<Item = &'a Set> {
        self.sets
            .values()
            .map(|seen| &seen.value)
            .filter(|set| set.namespace == id.namespace && set.instance.as_deref() == Some(id.name.as_str()))
    }

    /// The rebalances of an instance, oldest first.
    pub fn rebalances_of<'a>(&'a self, id: &'a InstanceId) -> Vec<&'a Seen<Rebalance>> {
        let mut found: Vec<_> = self
            .rebalances
            .values()
            .filter(|seen| {
                seen.value.namespace == id.namespace
                    && seen.value.instance_name == id.name
                    && seen.value.instance_kind == id.kind
            })
            .collect();
        found.sort_by_key(|seen| seen.value.created);
        found
    }

    /// The instances, by id.
    pub fn ids(&self) -> Vec<InstanceId> {
        self.instances.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden(source: Source, text: &str) -> Fact {
        let link = Link::Forbidden(text.to_owned());
        Fact { at: Timestamp::UNIX_EPOCH, update: Update::Link(source, "ConfigMap", link) }
    }

    #[test]
    fn a_missing_permission_is_one_notice_however_often_it_is_met() {
        let mut world = World::new();
        let notices =
            |world: &mut World, facts: [Fact; 2]| facts.map(|fact| world.apply(fact).notice.is_some());
        let by_label = || forbidden(Source::Kubernetes, "cannot list configmaps");
        let by_name = || forbidden(Source::Kubernetes, "cannot list configmaps: kubectl-emqx-emqx-emqx");
        assert_eq!(notices(&mut world, [by_label(), by_name()]), [true, false]);
        assert_eq!(notices(&mut world, [by_label(), by_name()]), [false, false]);
    }

    #[test]
    fn emqx_that_cannot_be_asked_for_another_reason_is_another_notice() {
        let mut world = World::new();
        for text in ["cannot get secrets", "cannot create pods/portforward"] {
            assert!(world.apply(forbidden(Source::Emqx, text)).notice.is_some(), "{text}");
        }
    }

    #[test]
    fn answers_of_one_emqx_leave_nothing_behind_for_another_cluster() {
        let at = |seconds| Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(seconds);
        let link = |seconds, source| Fact { at: at(seconds), update: Update::Link(source, "pods", Link::Up) };
        let started = DonorStart {
            donor: NodeName::from("emqx@a"),
            coordinator: NodeName::from("emqx@a"),
            connections: 10,
            sessions: Some(10),
        };
        let kubernetes = link(0, Source::Kubernetes);
        let mut world = World::of([
            kubernetes.clone(),
            link(0, Source::Emqx),
            Fact { at: at(1), update: Update::Nodes(Vec::new()) },
            Fact { at: at(1), update: Update::Load(Load::default()) },
            Fact { at: at(2), update: Update::Began(started) },
        ]);
        let before = world.clone();
        let answers = world.take_emqx_answers();
        assert_eq!(world, World::of([kubernetes]));
        assert_eq!(answers.idle, Some((at(1), at(1))));
        world.put_emqx_answers(answers);
        assert_eq!(world, before);
    }
}
