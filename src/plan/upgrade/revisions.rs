//! The revisions of an upgrade: which pods are old, which are new, and in which order the old ones are
//! removed.
//!
//! A pod belongs to a set. The new set is, on v2beta1 and v2, the one whose revision the object calls
//! `updateRevision`, once that is current (for 0.2 s after a change of the image it still names the old one,
//! and that of the replicants follows 3 to 4 s later); on v1beta4 the newest set with the requested image
//! (`blueGreenUpdateStatus` appears and disappears, and with three sets it is about the two oldest); within
//! one StatefulSet that is rolled, its `updateRevision`.
//! Sources: [OP-13] to [OP-22], [OP-71] to [OP-76].

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::super::snapshot::Pods;
use crate::model::{ApiVersion, Instance, InstanceId, Node, NodeName, Pod, PodName, SetKind, World};
use crate::plan::durations::NodeContent;

/// A set, as far as it is known: from itself, or from its pods where sets may not be read.
#[derive(Clone, Debug, PartialEq)]
pub struct RevisionSet {
    /// StatefulSet or ReplicaSet.
    pub kind: SetKind,
    pub name: String,
    /// The hash of its template.
    pub revision: Option<String>,
    pub image: Option<String>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Wanted pods; `None` where sets may not be read.
    pub wanted: Option<u64>,
    /// The revision of an updated pod within it.
    pub rolled: Option<String>,
}

/// A pod with the EMQX node in it.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    pub pod: &'a Pod,
    pub set: String,
    /// Its node, once EMQX or the operator lists it.
    pub node: Option<NodeName>,
    /// What is on it; `None` where that is not known.
    pub holds: Option<NodeContent>,
    /// Whether EMQX reports it as running.
    pub running: bool,
}

/// The revisions at one moment.
#[derive(Clone, Debug)]
pub struct UpgradeRevisions<'a> {
    /// The cluster.
    pub instance: &'a Instance,
    /// Sets that have pods or are to have pods; oldest first.
    pub groups: Vec<RevisionSet>,
    /// The new sets, by name.
    pub new_sets: Vec<String>,
    /// The old pods, in the order in which they are removed.
    pub old: Vec<Member<'a>>,
    /// The new pods.
    pub new: Vec<Member<'a>>,
    /// Whether every kind of set has its new one: the operator has reacted to the request.
    pub answered: bool,
}

impl<'a> UpgradeRevisions<'a> {
    /// The revisions of one cluster.
    pub fn of(world: &'a World, id: &'a InstanceId) -> Option<Self> {
        let instance = world.instance(id)?;
        let groups = groups(world, id);
        let kinds: Vec<SetKind> = {
            let mut kinds: Vec<SetKind> = groups.iter().map(|group| group.kind).collect();
            kinds.sort_unstable();
            kinds.dedup();
            kinds
        };
        let chosen: Vec<Option<&RevisionSet>> =
            kinds.iter().map(|kind| choose(instance, *kind, &groups)).collect();
        let answered = !chosen.is_empty() && chosen.iter().all(Option::is_some);
        let new_sets: Vec<String> = chosen.iter().flatten().map(|group| group.name.clone()).collect();

        let mut members = members(world, instance);
        let is_new = |member: &Member<'_>| {
            new_sets.contains(&member.set)
                && match groups.iter().find(|group| group.name == member.set) {
                    Some(RevisionSet { rolled: Some(rolled), kind: SetKind::StatefulSet, image, .. })
                        if rolls(instance.api) =>
                    {
                        member.pod.revision.as_ref().is_none_or(|revision| revision == rolled)
                            && !other_image(image.as_ref(), member.pod)
                    }
                    _ => true,
                }
        };
        let (new, mut old): (Vec<_>, Vec<_>) = members.drain(..).partition(is_new);
        sort(&mut old, instance.api, &groups);
        Some(Self { instance, groups, new_sets, old, new, answered })
    }

    /// The sides where two revisions run, or are to run. Cheap while no upgrade can be seen.
    pub fn under_way(world: &'a World, id: &'a InstanceId) -> Option<Self> {
        if quiet(world, id) { None } else { Self::of(world, id).filter(Self::in_transition) }
    }

    /// EMQX has not answered for a while: the counts of its nodes are unknown, and the operator's copy
    /// decides which nodes run.
    pub(crate) fn forget_counts(&mut self) {
        let copy = &self.instance.nodes;
        for member in self.old.iter_mut().chain(&mut self.new) {
            member.holds = never_ran(member.pod).then(NodeContent::default);
            member.running = copy.iter().any(|node| node.running && Some(&node.name) == member.node.as_ref());
        }
    }

    /// Whether two revisions run, or are to run: an upgrade, for an observer that did not see its begin.
    pub fn in_transition(&self) -> bool {
        let object = self.instance;
        let named = matches!(object.api, ApiVersion::V2beta1 | ApiVersion::V2)
            && (object.core_revisions.differ() || object.replicant_revisions.differ());
        named || (!self.old.is_empty() && !self.new_sets.is_empty())
    }

    /// Whether another image is requested than that of the sets of all pods: for 0.2 s after the change, on v1beta4 for 15 s,
    /// nothing else shows the upgrade.
    pub(crate) fn requested(&self) -> bool {
        let image = |member: &Member<'_>| {
            let set = self.groups.iter().find(|group| group.name == member.set && group.wanted.is_some());
            set.and_then(|group| group.image.as_ref())
        };
        let other = |member: &Member<'_>| {
            image(member).is_some_and(|image| Some(image) != self.instance.image.as_ref())
        };
        self.instance.image.is_some()
            && self.new.is_empty()
            && !self.old.is_empty()
            && self.old.iter().all(other)
    }

    /// Whether all pods are new and ready. The operator's status reports it a moment later ([OP-42]).
    pub(crate) fn converged(&self) -> bool {
        let (ready, wanted) = self.ready();
        self.answered && self.old.is_empty() && wanted > 0 && ready >= wanted
    }

    /// The pod of a node.
    pub(crate) fn pod(&self, node: &NodeName) -> Option<&'a PodName> {
        let of = |member: &&Member<'a>| member.node.as_ref() == Some(node);
        self.old.iter().chain(&self.new).find(of).map(|member| &member.pod.name)
    }

    /// The number of new pods that are ready, and the requested number.
    pub(crate) fn ready(&self) -> (u64, u64) {
        let ready = self.new.iter().filter(|member| member.pod.ready).count() as u64;
        let mut wanted = 0;
        for name in &self.new_sets {
            let group = self.groups.iter().find(|group| &group.name == name);
            wanted += group.and_then(|group| group.wanted).unwrap_or(0);
        }
        // Before the new sets exist, the numbers of the object count.
        let asked = self.instance.cores.unwrap_or(0) + self.instance.replicants.unwrap_or(0);
        (ready, if self.answered { wanted.max(self.new.len() as u64) } else { asked.max(wanted) })
    }

    /// When the operator reports that the new pods took over; ignored until they exist.
    pub(crate) fn available_since(&self) -> Option<Timestamp> {
        let (ready, wanted) = self.ready();
        if !self.answered || wanted == 0 || ready < wanted {
            return None;
        }
        match self.instance.api {
            ApiVersion::V1beta4 => match &self.instance.blue_green {
                Some(update) => update.started,
                // Without the block, pods are replaced one by one.
                None => None,
            },
            ApiVersion::V2beta1 | ApiVersion::V2 => self
                .instance
                .conditions
                .iter()
                .find(|condition| condition.kind == "Available" && condition.holds())
                .and_then(|condition| condition.since),
            ApiVersion::V3beta1 => None,
        }
    }

    /// The images of the old pods, oldest set first, each once.
    pub(crate) fn old_images(&self) -> Vec<&str> {
        let mut images: Vec<&str> = Vec::new();
        for group in &self.groups {
            let of_group = self.old.iter().filter(|member| member.set == group.name);
            for image in of_group.filter_map(|member| member.pod.image.as_deref().or(group.image.as_deref()))
            {
                if !images.contains(&image) {
                    images.push(image);
                }
            }
        }
        images
    }
}

/// Whether there is only one set of each kind, and nothing is rolled: no upgrade is visible. This must be
/// cheap, because it runs for every fact; `false` where it is unknown.
pub(crate) fn quiet(world: &World, id: &InstanceId) -> bool {
    let Some(instance) = world.instance(id).filter(|instance| !instance.upgrading()) else { return false };
    let sets: Vec<_> = world.sets_of(id).filter(|set| set.replicas > 0 || set.present > 0).collect();
    let one = |kind| sets.iter().filter(|set| set.kind == kind).count() <= 1;
    if sets.is_empty() || !one(SetKind::StatefulSet) || !one(SetKind::ReplicaSet) {
        return false;
    }
    let old = |pod: &Pod| {
        let set = pod.owner.as_ref().and_then(|owner| sets.iter().find(|set| set.name == owner.name));
        match set {
            // The pod belongs to a set that requests no pods any more.
            None => true,
            Some(set) if rolls(instance.api) && set.kind == SetKind::StatefulSet => {
                other_image(set.image.as_ref(), pod)
                    || (set.update_revision.is_some()
                        && pod.revision.is_some()
                        && set.update_revision != pod.revision)
            }
            Some(_) => false,
        }
    };
    !world.pods_of(id).any(|pod| pod.owner.is_some() && old(pod))
}

/// Whether a pod runs another image than its StatefulSet's template. For a moment after the template was changed, until
/// Kubernetes' controller has seen it, `updateRevision` is still that of the old pods.
fn other_image(template: Option<&String>, pod: &Pod) -> bool {
    template.zip(pod.image.as_ref()).is_some_and(|(template, image)| template != image)
}

/// Whether pods are replaced within one StatefulSet, and have Kubernetes' own revision.
fn rolls(api: ApiVersion) -> bool {
    matches!(api, ApiVersion::V1beta4 | ApiVersion::V3beta1)
}

fn groups(world: &World, id: &InstanceId) -> Vec<RevisionSet> {
    let mut found: BTreeMap<(SetKind, String), RevisionSet> = BTreeMap::new();
    for set in world.sets_of(id) {
        let group = RevisionSet {
            kind: set.kind,
            name: set.name.clone(),
            revision: set.revision.clone(),
            image: set.image.clone(),
            created: set.created,
            wanted: Some(set.replicas),
            rolled: set.update_revision.clone(),
        };
        found.insert((set.kind, set.name.clone()), group);
    }
    let mut peopled: Vec<(SetKind, String)> = Vec::new();
    for pod in world.pods_of(id) {
        let Some(owner) = &pod.owner else { continue };
        let kind = match owner.kind.as_str() {
            "StatefulSet" => SetKind::StatefulSet,
            "ReplicaSet" => SetKind::ReplicaSet,
            _ => continue,
        };
        let key = (kind, owner.name.clone());
        let group = found.entry(key.clone()).or_insert_with(|| RevisionSet {
            kind,
            name: owner.name.clone(),
            revision: pod.revision.clone(),
            image: pod.image.clone(),
            created: pod.created,
            wanted: None,
            rolled: None,
        });
        if group.wanted.is_none() {
            group.created = group.created.min(pod.created);
        }
        peopled.push(key);
    }
    let mut groups: Vec<RevisionSet> = found
        .into_iter()
        .filter(|(key, group)| group.wanted.is_some_and(|wanted| wanted > 0) || peopled.contains(key))
        .map(|(_, group)| group)
        .collect();
    groups.sort_by(|one, other| (one.created, &one.name).cmp(&(other.created, &other.name)));
    groups
}

/// The new set of one kind.
fn choose<'g>(instance: &Instance, kind: SetKind, groups: &'g [RevisionSet]) -> Option<&'g RevisionSet> {
    let wanted = instance.image.as_deref();
    let fits = |group: &&RevisionSet| match (&group.image, wanted) {
        (Some(image), Some(wanted)) => image == wanted,
        _ => true,
    };
    let of_kind = groups.iter().filter(|group| group.kind == kind);
    let newest = || of_kind.clone().filter(fits).rfind(|group| group.wanted != Some(0));
    match (instance.api, kind) {
        (ApiVersion::V1beta4, _) => newest(),
        // There is one StatefulSet: it is the new set once its template has the target image.
        (ApiVersion::V3beta1, SetKind::StatefulSet) => of_kind.clone().rfind(fits),
        (_, _) => {
            let revisions = match kind {
                SetKind::StatefulSet => &instance.core_revisions,
                SetKind::ReplicaSet => &instance.replicant_revisions,
            };
            match &revisions.update {
                // While both revisions are equal, only a set with the wanted image is the new one.
                Some(update) => of_kind
                    .clone()
                    .find(|group| group.revision.as_ref() == Some(update))
                    .filter(|group| revisions.differ() || fits(group)),
                None => newest(),
            }
        }
    }
}

/// Whether no container of the pod was ever started (Kubernetes reports `Pending` until then): it had no
/// clients.
fn never_ran(pod: &Pod) -> bool {
    pod.phase == "Pending"
}

fn members<'a>(world: &'a World, instance: &'a Instance) -> Vec<Member<'a>> {
    let pods = Pods::of(world, &instance.id);
    let reported: BTreeMap<&NodeName, &Node> = instance.nodes.iter().map(|node| (&node.name, node)).collect();
    let mut nodes: BTreeMap<&str, &Node> = BTreeMap::new();
    // Where EMQX is polled, only its own list counts: the operator's copy may be 30 s old.
    let listed: &[Node] =
        world.broker(&instance.id).nodes.as_ref().map_or(&instance.nodes, |seen| &seen.value);
    for node in listed {
        if let Some(pod) = pods.find(node, reported.get(&node.name).copied()) {
            nodes.insert(pod.uid.as_str(), node);
        }
    }
    world
        .pods_of(&instance.id)
        .filter_map(|pod| {
            let owner = pod.owner.as_ref()?;
            let node = nodes.get(pod.uid.as_str());
            Some(Member {
                pod,
                set: owner.name.clone(),
                node: node.map(|node| node.name.clone()),
                holds: match node {
                    Some(node) => node.connections.map(|connections| NodeContent {
                        connections,
                        sessions: node.sessions.unwrap_or(connections),
                    }),
                    None => never_ran(pod).then(NodeContent::default),
                },
                running: node.is_some_and(|node| node.running),
            })
        })
        .collect()
}

/// The number at the end of the name of a StatefulSet's pod.
pub(crate) fn ordinal(name: &str) -> Option<u64> {
    name.rsplit_once('-')?.1.parse().ok()
}

/// Sorts pods in the order in which the operator removes them: replicants before cores, older sets first, and
/// within a set the highest number first. Exceptions: replicants on v2 ([OP-14]) and v3beta1 (source: the 3.x
/// operator sorts each set by name) by ascending names, pods on v1beta4 by names as text ([OP-65]), and on
/// v3beta1 one old core stays until the replicants are done ([OP-76]).
pub(crate) fn sort(old: &mut [Member<'_>], api: ApiVersion, groups: &[RevisionSet]) {
    let place =
        |member: &Member<'_>| groups.iter().position(|group| group.name == member.set).unwrap_or(usize::MAX);
    let replicant =
        |member: &Member<'_>| member.pod.owner.as_ref().is_some_and(|owner| owner.kind == "ReplicaSet");
    let highest = |one: &Member<'_>, other: &Member<'_>| {
        let (first, second) = (one.pod.name.as_str(), other.pod.name.as_str());
        match (ordinal(first), ordinal(second)) {
            (Some(one), Some(other)) if api != ApiVersion::V1beta4 => other.cmp(&one),
            _ => second.cmp(first),
        }
    };
    let lowest_core =
        old.iter().filter(|member| !replicant(member)).filter_map(|it| ordinal(it.pod.name.as_str())).min();
    let rank = |member: &Member<'_>| match (api, replicant(member)) {
        (ApiVersion::V3beta1, true) => 1,
        (ApiVersion::V3beta1, false) if ordinal(member.pod.name.as_str()) == lowest_core => 2,
        (ApiVersion::V3beta1, false) | (_, true) => 0,
        (_, false) => 1,
    };
    old.sort_by(|one, other| {
        rank(one).cmp(&rank(other)).then_with(|| place(one).cmp(&place(other))).then_with(|| {
            if replicant(one) && matches!(api, ApiVersion::V2 | ApiVersion::V3beta1) {
                one.pod.name.cmp(&other.pod.name)
            } else if replicant(one) {
                other.pod.name.cmp(&one.pod.name)
            } else {
                highest(one, other)
            }
        })
    });
}
