//! The world: all facts that are known at one moment, by source. Only facts change it.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::Instance;
use super::fact::{BrokerUpdate, Fact, Link, Seen, Update};
use super::history::HistoryEntry;
use super::name::InstanceId;
use super::pod::{Pod, Set};
use super::rebalance::Rebalance;

mod broker;
mod health;
mod kubernetes;

pub use broker::BrokerState;
pub use health::SourceHealth;
pub use kubernetes::{Key, KubernetesState};

use health::record_health;

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
    /// What Kubernetes has reported, of all instances.
    pub kubernetes: KubernetesState,
    /// What the EMQX of each instance has answered; use [`World::broker`] to read one of them.
    pub brokers: BTreeMap<InstanceId, BrokerState>,
    notices: BTreeSet<String>,
}

/// The state of an EMQX that was not asked.
static NOT_QUERIED: BrokerState = BrokerState::new();

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

    /// What the EMQX of this instance has answered; empty where it was not asked.
    pub fn broker(&self, id: &InstanceId) -> &BrokerState {
        self.brokers.get(id).unwrap_or(&NOT_QUERIED)
    }

    /// Drops EMQX's last answer about what it moves.
    pub(crate) fn forget_load(&mut self, id: &InstanceId) {
        if let Some(broker) = self.brokers.get_mut(id) {
            broker.load = None;
        }
    }

    /// Applies one fact.
    pub fn apply(&mut self, fact: Fact) -> Changes {
        let Fact { at, update } = fact;
        let visible = match update {
            Update::Served(served) => {
                let different = self.kubernetes.served != served;
                self.kubernetes.served = served;
                different
            }
            Update::Upserted(object) => self.kubernetes.is(object, at),
            Update::Deleted(object) => self.kubernetes.gone(object, at),
            Update::Listed(kind, uids) => self.kubernetes.only(kind, &uids.into_iter().collect(), at),
            Update::Broker(id, update) => {
                let notice = match &update {
                    BrokerUpdate::Link(_, link) => notice(link),
                    _ => None,
                };
                let notice = notice.filter(|text| self.notices.insert(text.clone()));
                let visible = self.brokers.entry(id).or_insert_with(BrokerState::new).apply(update, at);
                return Changes { visible, notice };
            }
            Update::Link(source, resource, link) => {
                let sources = &mut self.kubernetes.sources;
                // An object is requested by label and by name: the same permission is missing, with other
                // messages.
                let known = matches!(link, Link::Forbidden(_))
                    && sources
                        .get(&(source, resource))
                        .is_some_and(|it| matches!(it.link, Link::Forbidden(_)));
                let notice = notice(&link).filter(|text| self.notices.insert(text.clone()) && !known);
                let visible = record_health(sources, (source, resource), link, at);
                return Changes { visible, notice };
            }
            Update::Unreadable(text) => {
                let first = self.notices.insert(text.clone());
                return Changes { visible: first, notice: first.then_some(text) };
            }
        };
        Changes { visible, notice: None }
    }

    /// The instance of a Rebalance, if it is known.
    pub(crate) fn instance_of(&self, rebalance: &Rebalance) -> Option<&Instance> {
        self.instance(&rebalance.instance_id())
    }

    /// An instance by its id.
    pub fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.kubernetes.instances.get(id).map(|seen| &seen.value)
    }

    /// The pods of an instance, by name. Pods without the operator's label do not count.
    pub fn pods_of<'a>(&'a self, id: &'a InstanceId) -> impl Iterator<Item = &'a Pod> {
        self.kubernetes
            .pods
            .values()
            .map(|seen| &seen.value)
            .filter(|pod| pod.namespace == id.namespace && pod.instance.as_deref() == Some(id.name.as_str()))
    }

    /// The sets of an instance.
    pub(crate) fn sets_of<'a>(&'a self, id: &'a InstanceId) -> impl Iterator<Item = &'a Set> {
        self.kubernetes
            .sets
            .values()
            .map(|seen| &seen.value)
            .filter(|set| set.namespace == id.namespace && set.instance.as_deref() == Some(id.name.as_str()))
    }

    /// The rebalances of an instance, oldest first.
    pub fn rebalances_of<'a>(&'a self, id: &'a InstanceId) -> Vec<&'a Seen<Rebalance>> {
        let mut found: Vec<_> =
            self.kubernetes.rebalances.values().filter(|seen| seen.value.is_of(id)).collect();
        found.sort_by_key(|seen| seen.value.created);
        found
    }

    /// The past operations in the ConfigMap of this very instance.
    pub(crate) fn recorded(&self, id: &InstanceId) -> &[HistoryEntry] {
        let owner = self.instance(id).map(|instance| instance.uid.as_str());
        let state = self.kubernetes.states.get(id).map(|seen| &seen.value);
        let state = state.filter(|state| owner.is_none_or(|owner| owner == state.owner));
        state.map(|state| state.history.as_slice()).unwrap_or_default()
    }

    /// Every cluster that a fact names: by its object, by a Rebalance, or by an answer of its EMQX.
    pub(crate) fn named(&self) -> BTreeSet<InstanceId> {
        let objects = self.kubernetes.instances.keys().cloned();
        let rebalances = self.kubernetes.rebalances.values().map(|seen| seen.value.instance_id());
        objects.chain(rebalances).chain(self.brokers.keys().cloned()).collect()
    }

    /// The instances, by id.
    pub fn ids(&self) -> Vec<InstanceId> {
        self.kubernetes.instances.keys().cloned().collect()
    }
}

/// What is printed about a source that does not answer.
fn notice(link: &Link) -> Option<String> {
    match link {
        Link::Up => None,
        Link::Forbidden(text) | Link::Unreachable(text) | Link::Hung(text) | Link::Absent(text) => {
            Some(text.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::Source;

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

    fn id(name: &str) -> InstanceId {
        let kind = crate::model::InstanceKind::Emqx;
        InstanceId { kind, namespace: "mq".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn emqx_that_cannot_be_asked_for_another_reason_is_another_notice() {
        let mut world = World::new();
        for text in ["cannot get secrets", "cannot create pods/portforward"] {
            let link = BrokerUpdate::Link("nodes", Link::Forbidden(text.to_owned()));
            let fact = Fact::answer(Timestamp::UNIX_EPOCH, &id("emqx"), link);
            assert!(world.apply(fact).notice.is_some(), "{text}");
        }
    }

    #[test]
    fn answers_of_one_emqx_change_nothing_of_another_cluster() {
        let at = |seconds| Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(seconds);
        let answers = |name: &str, seconds| {
            [
                BrokerUpdate::Link("nodes", Link::Up),
                BrokerUpdate::Nodes(Vec::new()),
                BrokerUpdate::Evictions(crate::model::EvictionStatus::default()),
            ]
            .map(|update| Fact::answer(at(seconds), &id(name), update))
        };
        let mut world = World::of(answers("one", 1));
        let one = world.broker(&id("one")).clone();
        for fact in answers("two", 5) {
            world.apply(fact);
        }
        assert_eq!(*world.broker(&id("one")), one);
        assert_eq!(world.broker(&id("two")).idle, Some((at(5), at(5))));
        assert_eq!(*world.broker(&id("three")), BrokerState::new(), "this EMQX was not asked");
    }
}
