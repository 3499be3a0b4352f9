//! A snapshot: one row per EMQX node, joined from the three sources that can disagree, with the source of
//! each number and the age of every source.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;

use super::membership::{KnownSources, Membership, finished, standing};
use super::operator::{Evidence, evidence};
use crate::model::cluster::evacuations_or_copy;
use crate::model::human::seconds_between;
use crate::model::pod::is_of_dashboard;
use crate::model::{
    ApiVersion, Evacuation, Instance, InstanceId, Link, Node, NodeName, OperatorLine, Part, Pod, PodName,
    Role, RunningRebalance, Source, SourceHealth, World,
};
use crate::timing::STALE_SOURCE_SECONDS;

/// One EMQX node, or one pod that is not an EMQX node, joined. `None` is "not known", never 0.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRow {
    /// The node; `None` for a pod that EMQX does not list.
    pub node: Option<NodeName>,
    pub pod: Option<PodName>,
    /// Its StatefulSet or ReplicaSet.
    pub set: Option<String>,
    /// The hash of its pod's template.
    pub revision: Option<String>,
    /// Core or replicant.
    pub role: Role,
    /// Whether EMQX reports it as running.
    pub running: bool,
    /// Whether its pod is ready.
    pub ready: Option<bool>,
    /// Whether the Service sends new clients to it.
    pub serving: Option<bool>,
    /// Live clients.
    pub connections: Option<u64>,
    /// Sessions, live or not.
    pub sessions: Option<u64>,
    /// Its part of all live clients, 0 to 1.
    pub share: Option<f64>,
    /// Its part in the running operation.
    pub part: Option<Part>,
    /// EMQX's own state name.
    pub state: Option<String>,
    /// EMQX's version.
    pub version: Option<String>,
    /// How it belongs to the EMQX cluster.
    pub membership: Option<Membership>,
    /// Why the pod does not run, as Kubernetes names it: `Unschedulable`, `ImagePullBackOff`.
    pub pod_reason: Option<String>,
    /// Since when the membership is what it is; `None` for members, and where it is not known.
    pub since: Option<Timestamp>,
    /// Where the counts come from.
    pub source: Source,
    /// Whether it is left over from a scale-down: EMQX lists the node as stopped, the pods are known, and no
    /// pod fits it.
    #[serde(skip)]
    pub left_over: bool,
}

impl NodeRow {
    /// The short name of the row: the pod's name, else the node's address or its first label.
    pub(crate) fn label(&self) -> &str {
        match (&self.pod, &self.node) {
            (Some(pod), _) => pod.as_str(),
            (None, Some(node)) => node.short(),
            (None, None) => "?",
        }
    }
}

/// The totals over all nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Live clients; `None` when a running node's are not known.
    pub connections: Option<u64>,
    pub sessions: Option<u64>,
    /// EMQX nodes, without stopped ones that have no pod.
    pub nodes: usize,
    /// Nodes to which the Service sends new clients.
    pub serving: Option<usize>,
}

/// The health of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    /// It answers.
    Ok,
    /// It refuses.
    Forbidden,
    /// It does not answer.
    Unreachable,
    /// There is none.
    Absent,
    /// Its last response is old.
    Stale,
}

impl SourceState {
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Forbidden => "forbidden",
            Self::Unreachable => "unreachable",
            Self::Absent => "absent",
            Self::Stale => "stale",
        }
    }
}

/// The state of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceAge {
    /// Its health.
    pub state: SourceState,
    /// Seconds since its last response; `None` when it never responded.
    pub age_seconds: Option<u64>,
    /// Why it does not respond.
    #[serde(skip)]
    pub why: Option<String>,
}

/// A snapshot of one cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The cluster.
    pub instance: InstanceId,
    /// The time of the snapshot.
    pub now: Timestamp,
    /// The API version of its custom resource; `None` when it could not be read.
    pub api: Option<ApiVersion>,
    pub operator: OperatorLine,
    /// Seconds since the operator's last dated status update or event.
    pub operator_silent: Option<u64>,
    /// Whether the operator's process is alive, by its Lease; `None` where that is not known.
    pub operator_process: Option<Evidence>,
    /// `Enterprise` or `Opensource`.
    pub edition: Option<String>,
    /// The versions that run, each once.
    pub versions: Vec<String>,
    /// The nodes, bytewise by name; then the pods that are not EMQX nodes, by name.
    pub nodes: Vec<NodeRow>,
    /// Why the EMQX that answered is not that of this instance; its answer is not used then. `None` where it
    /// is.
    pub wrong_emqx: Option<String>,
    /// The participants that the user chose for a rebalance; empty: all that EMQX would take.
    pub chosen: Vec<NodeName>,
    /// The totals over all nodes.
    pub totals: Totals,
    /// The sources, in the order of `Source::ALL`.
    pub sources: BTreeMap<Source, SourceAge>,
}

impl Snapshot {
    pub(crate) fn node(&self, name: &NodeName) -> Option<&NodeRow> {
        self.nodes.iter().find(|row| row.node.as_ref() == Some(name))
    }

    /// The role of the nodes that would take part in a rebalance of all nodes.
    pub(crate) fn participating_role(&self) -> Role {
        Role::participating(self.nodes.iter().filter(|row| row.running).map(|row| row.role))
    }

    /// The nodes that would take part in a rebalance: the running ones of the participating role, or the nodes that the
    /// user chose.
    pub(crate) fn participants(&self) -> Vec<&NodeRow> {
        if !self.chosen.is_empty() {
            let chosen = |row: &&NodeRow| row.node.as_ref().is_some_and(|node| self.chosen.contains(node));
            return self.nodes.iter().filter(|row| row.running).filter(chosen).collect();
        }
        let role = self.participating_role();
        self.nodes.iter().filter(|row| row.role == role && row.running).collect()
    }

    /// The snapshot for a rebalance of only these nodes; an empty list means all nodes.
    #[must_use]
    pub(crate) fn among(mut self, nodes: &[NodeName]) -> Self {
        self.chosen = nodes.to_vec();
        self
    }

    /// The state of a source.
    pub(crate) fn source(&self, source: Source) -> SourceState {
        self.sources.get(&source).map_or(SourceState::Absent, |age| age.state)
    }
}

/// Joins the facts of one cluster.
pub fn snapshot(world: &World, id: &InstanceId, now: Timestamp) -> Snapshot {
    let instance = world.instance(id);
    let pods = Pods::of(world, id);
    let serving = Serving::of(world, id);
    let reported: &[Node] = instance.map(|instance| instance.nodes.as_slice()).unwrap_or_default();
    let from_status: BTreeMap<&NodeName, &Node> =
        reported.iter().map(|node| (&node.name, node)).rev().collect();
    let from_emqx = world.broker(id).nodes.as_ref().map(|seen| seen.value.as_slice());
    let wrong_emqx = from_emqx.and_then(|nodes| another(id, nodes, &pods, &from_status));
    let (nodes, source): (&[Node], Source) = match from_emqx {
        Some(nodes) if wrong_emqx.is_none() => (nodes, Source::Emqx),
        _ => (reported, Source::Kubernetes),
    };
    let known = KnownSources {
        pods: !pods.names.is_empty()
            || world
                .kubernetes
                .sources
                .get(&(Source::Pods, "pods"))
                .is_some_and(|source| source.link == Link::Up),
        emqx: source == Source::Emqx,
    };
    let parts = if wrong_emqx.is_none() { Parts::of(world, id, instance) } else { Parts::none() };

    let mut rows: Vec<NodeRow> = Vec::with_capacity(nodes.len());
    let mut joined: BTreeSet<&str> = BTreeSet::new();
    for node in nodes {
        let from_status = from_status.get(&node.name).copied();
        let pod = pods.find(node, from_status);
        joined.extend(pod.map(|pod| pod.uid.as_str()));
        let role = node
            .role
            .or(from_status.and_then(|from_status| from_status.role))
            .or(pod.and_then(|pod| pod.role));
        let (part, state) = parts.find(&node.name);
        let standing = standing(Some(node), pod, known, now);
        let name = pod
            .map(|pod| pod.name.clone())
            .or_else(|| from_status.and_then(|from_status| from_status.pod.clone()));
        let left_over = known.pods && name.is_none() && standing.membership == Some(Membership::Stopped);
        rows.push(NodeRow {
            node: Some(node.name.clone()),
            pod: name,
            set: pod.and_then(|pod| pod.owner.as_ref()).map(|owner| owner.name.clone()),
            revision: pod.and_then(|pod| pod.revision.clone()),
            role: role.unwrap_or_default(),
            running: node.running,
            ready: pod.map(|pod| pod.ready),
            serving: pod.and_then(|pod| serving.serves(pod)),
            connections: node.connections,
            sessions: node.sessions,
            share: None,
            part,
            state,
            version: node.version.clone().filter(|_| node.running),
            membership: standing.membership,
            pod_reason: standing.reason,
            since: standing.since,
            source,
            left_over,
        });
    }
    rows.sort_by(|one, other| one.node.cmp(&other.node));
    rows.dedup_by(|one, other| one.node == other.node);
    rows.extend(pods_alone(&pods, &joined, &serving, known, now));

    let totals = totals(&rows);
    if let Some(all) = totals.connections.filter(|all| *all > 0) {
        for row in &mut rows {
            row.share = row.connections.map(|own| (own as f64 / all as f64 * 10_000.0).round() / 10_000.0);
        }
    }
    let versions: BTreeSet<String> = rows.iter().filter_map(|row| row.version.clone()).collect();
    let silent = operator_silent(world, id, now);
    let edition = nodes.iter().chain(reported).find_map(|node| node.edition.clone());
    Snapshot {
        chosen: Vec::new(),
        instance: id.clone(),
        now,
        api: instance.filter(|instance| !instance.standalone).map(|instance| instance.api),
        operator: world.kubernetes.served.operator,
        operator_silent: silent,
        operator_process: evidence(world, silent, now),
        edition: edition.or_else(|| enterprise_by_kind(instance)),
        versions: versions.into_iter().collect(),
        nodes: rows,
        wrong_emqx,
        totals,
        sources: Source::ALL.into_iter().map(|source| (source, source_age(world, id, source, now))).collect(),
    }
}

/// The pods without a matching node. A pod that will never run again is omitted: its controller creates another.
fn pods_alone(
    pods: &Pods<'_>,
    joined: &BTreeSet<&str>,
    serving: &Serving,
    known: KnownSources,
    now: Timestamp,
) -> impl Iterator<Item = NodeRow> {
    let alone = |pod: &&Pod| !joined.contains(pod.uid.as_str()) && !finished(pod);
    let row = |pod: &Pod| {
        let standing = standing(None, Some(pod), known, now);
        NodeRow {
            node: None,
            pod: Some(pod.name.clone()),
            set: pod.owner.as_ref().map(|owner| owner.name.clone()),
            revision: pod.revision.clone(),
            role: pod.role.unwrap_or_default(),
            running: false,
            ready: Some(pod.ready),
            serving: serving.serves(pod),
            connections: None,
            sessions: None,
            share: None,
            part: None,
            state: None,
            version: None,
            membership: standing.membership,
            pod_reason: standing.reason,
            since: standing.since,
            source: Source::Pods,
            left_over: false,
        }
    };
    pods.names.values().copied().filter(alone).map(row).collect::<Vec<_>>().into_iter()
}

/// Why the EMQX that answered is not that of this instance: no node that it lists fits a pod of the instance, or a node
/// that the operator found.
fn another(
    id: &InstanceId,
    nodes: &[Node],
    pods: &Pods<'_>,
    from_status: &BTreeMap<&NodeName, &Node>,
) -> Option<String> {
    let first = nodes.first()?;
    let fits = |node: &Node| {
        let from_status = from_status.get(&node.name).copied();
        from_status.is_some() || pods.find(node, from_status).is_some()
    };
    if pods.names.values().all(|pod| finished(pod)) || nodes.iter().any(fits) {
        return None;
    }
    let who = match nodes.len() {
        1 => format!("its node {} fits no pod of it", first.name),
        many => format!("none of its {many} nodes ({}, …) fits a pod of it", first.name),
    };
    Some(format!("the EMQX that answered is not that of {id}: {who}"))
}

fn enterprise_by_kind(instance: Option<&Instance>) -> Option<String> {
    use crate::model::InstanceKind;
    match instance?.id.kind {
        InstanceKind::EmqxEnterprise => Some("Enterprise".to_owned()),
        InstanceKind::EmqxBroker => Some("Opensource".to_owned()),
        InstanceKind::Emqx => None,
    }
}

fn totals(rows: &[NodeRow]) -> Totals {
    let sum = |of: fn(&NodeRow) -> Option<u64>| -> Option<u64> {
        let mut known = None;
        for row in rows {
            match of(row) {
                Some(count) => known = Some(known.unwrap_or(0) + count),
                None if row.running => return None,
                None => {}
            }
        }
        known
    };
    let serving = rows.iter().filter(|row| row.serving == Some(true)).count();
    let from_status = rows.iter().any(|row| row.serving.is_some());
    Totals {
        connections: sum(|row| row.connections),
        sessions: sum(|row| row.sessions),
        nodes: rows.iter().filter(|row| row.node.is_some() && !row.left_over).count(),
        serving: from_status.then_some(serving),
    }
}

/// The pods of an instance, to be found by every name a node can have.
pub(super) struct Pods<'a> {
    names: BTreeMap<&'a str, &'a Pod>,
    addresses: BTreeMap<IpAddr, &'a Pod>,
    uids: BTreeMap<&'a str, &'a Pod>,
}

impl<'a> Pods<'a> {
    pub(super) fn of(world: &'a World, id: &'a InstanceId) -> Self {
        let pods = || world.pods_of(id);
        // Collected, not inserted one by one: a map is built of sorted entries without a search for each.
        // An address is reused as soon as a pod is deleted: the last pod that is not being deleted has
        // precedence, else the first.
        let deleted: Vec<&Pod> = pods().filter(|pod| pod.deleting.is_some()).collect();
        let rest = pods().filter(|pod| pod.deleting.is_none());
        let addressed = deleted.into_iter().rev().chain(rest);
        Self {
            names: pods().map(|pod| (pod.name.as_str(), pod)).collect(),
            addresses: addressed.flat_map(|pod| pod.ips.iter().map(move |ip| (*ip, pod))).collect(),
            uids: pods().map(|pod| (pod.uid.as_str(), pod)).collect(),
        }
    }

    /// Finds the pod by the custom resource's status, by address, or by the exact first label of the host.
    pub(super) fn find(&self, node: &Node, from_status: Option<&Node>) -> Option<&'a Pod> {
        for source in [Some(node), from_status].into_iter().flatten() {
            if let Some(pod) = source.pod.as_ref().and_then(|pod| self.names.get(pod.as_str())) {
                return Some(pod);
            }
        }
        if let Some(ip) = node.name.ip() {
            return self.addresses.get(&ip).copied();
        }
        // Equal manifests make pods of the same name in two namespaces.
        let here = |pod: &&&Pod| node.name.namespace().is_none_or(|named| named == pod.namespace);
        self.names.get(node.name.first_label()).filter(here).copied().or_else(|| {
            let uid = from_status.and_then(|from_status| from_status.pod_uid.as_deref())?;
            self.uids.get(uid).copied()
        })
    }
}

/// A node of an instance as the rows of its status name it: by its pod, else by its address or its first label.
pub(crate) fn label(world: &World, id: &InstanceId, node: &NodeName) -> String {
    let from_status =
        world.instance(id).and_then(|instance| instance.nodes.iter().find(|it| it.name == *node));
    let known = Node { name: node.clone(), ..Node::default() };
    let pod = Pods::of(world, id).find(&known, from_status).map(|pod| pod.name.clone());
    let pod = pod.or_else(|| from_status?.pod.clone());
    pod.map_or_else(|| node.short().to_owned(), |pod| pod.as_str().to_owned())
}

/// The nodes that receive new clients, by the Service's endpoints.
struct Serving {
    known: bool,
    pods: BTreeSet<String>,
    ips: BTreeSet<IpAddr>,
}

impl Serving {
    /// The slices of the Service that clients use: that of the listeners, or that with the instance's own
    /// name. Where there is only a headless one, its `serving` decides (its `ready` is true for every pod).
    fn of(world: &World, id: &InstanceId) -> Self {
        let own = |slice: &&crate::model::Slice| {
            slice.namespace == id.namespace
                && (slice.instance.as_deref() == Some(id.name.as_str())
                    || slice
                        .service
                        .strip_prefix(id.name.as_str())
                        .is_some_and(|rest| matches!(rest, "" | "-headless" | "-listeners" | "-dashboard")))
        };
        let slices: Vec<_> = world.kubernetes.slices.values().map(|seen| &seen.value).filter(own).collect();
        let headless = |slice: &&&crate::model::Slice| slice.service.ends_with("-headless");
        let dashboard = |slice: &&&crate::model::Slice| is_of_dashboard(&slice.service);
        let clients: Vec<_> = slices.iter().filter(|slice| !headless(slice) && !dashboard(slice)).collect();
        let used = if clients.is_empty() { slices.iter().filter(headless).collect() } else { clients };
        let mut serving = Self { known: !used.is_empty(), pods: BTreeSet::new(), ips: BTreeSet::new() };
        for endpoint in used.iter().flat_map(|slice| &slice.endpoints).filter(|endpoint| endpoint.serving) {
            match &endpoint.pod {
                Some(pod) => {
                    serving.pods.insert(pod.as_str().to_owned());
                }
                None => serving.ips.extend(&endpoint.ips),
            }
        }
        serving
    }

    fn serves(&self, pod: &Pod) -> Option<bool> {
        self.known
            .then(|| self.pods.contains(pod.name.as_str()) || pod.ips.iter().any(|ip| self.ips.contains(ip)))
    }
}

/// The participants of the running operation: from EMQX, otherwise from the operator's copy.
struct Parts<'a>(BTreeMap<&'a NodeName, (Part, Option<&'a str>)>);

impl<'a> Parts<'a> {
    fn none() -> Self {
        Self(BTreeMap::new())
    }

    fn of(world: &'a World, id: &InstanceId, instance: Option<&'a Instance>) -> Self {
        let reported = world.broker(id).eviction_status();
        let evacuations = evacuations_or_copy(reported, instance);
        if let Some(load) = reported {
            return Self::listed(&load.rebalances, evacuations);
        }
        let copied = world
            .kubernetes
            .rebalances
            .values()
            .map(|seen| &seen.value)
            // The copy in an object that reports Failed is as old as the failure.
            .filter(|it| it.phase == crate::model::Phase::Processing && it.is_of(id));
        Self::listed(copied.flat_map(|it| &it.states), evacuations)
    }

    /// An evacuation has precedence over a rebalance, and the first of several over the others.
    fn listed(
        rebalances: impl IntoIterator<Item = &'a RunningRebalance>,
        evacuations: &'a [Evacuation],
    ) -> Self {
        let mut parts = BTreeMap::new();
        for evacuation in evacuations {
            parts.entry(&evacuation.node).or_insert((Part::Evacuating, Some(evacuation.state.as_str())));
        }
        for rebalance in rebalances {
            for node in &rebalance.donors {
                parts.entry(node).or_insert((Part::Donor, Some(rebalance.state.as_str())));
            }
            for node in &rebalance.recipients {
                parts.entry(node).or_insert((Part::Recipient, None));
            }
        }
        Self(parts)
    }

    fn find(&self, node: &NodeName) -> (Option<Part>, Option<String>) {
        match self.0.get(node) {
            Some((part, state)) => (Some(*part), state.map(str::to_owned)),
            None => (None, None),
        }
    }
}

/// Seconds since the last dated update of the operator: a condition, a phase, or an event.
fn operator_silent(world: &World, id: &InstanceId, now: Timestamp) -> Option<u64> {
    let mut last: Option<Timestamp> = None;
    let mut saw = |at: Option<Timestamp>| last = last.max(at);
    if let Some(instance) = world.kubernetes.instances.get(id) {
        instance.value.conditions.iter().for_each(|condition| saw(condition.since));
    }
    for seen in world.rebalances_of(id) {
        let it = &seen.value;
        [it.started, it.completed, it.failed].into_iter().for_each(&mut saw);
    }
    let ours = |event: &&crate::model::ClusterEvent| {
        event.namespace == id.namespace
            && matches!(event.about_kind.as_str(), "EMQX" | "EmqxEnterprise" | "Rebalance")
    };
    world.kubernetes.events.values().map(|seen| &seen.value).filter(ours).for_each(|event| saw(event.last));
    last.map(|last| seconds_between(last, now))
}

fn source_age(world: &World, id: &InstanceId, source: Source, now: Timestamp) -> SourceAge {
    let sources: Vec<&SourceHealth> = if source == Source::Emqx {
        world.broker(id).sources.values().collect()
    } else {
        let all = world.kubernetes.sources.iter();
        all.filter(|((of, _), _)| *of == source).map(|(_, source)| source).collect()
    };
    let last_seen = sources.iter().filter_map(|source| source.last_seen).max();
    let age_seconds = last_seen.map(|last_seen| seconds_between(last_seen, now));
    let worst = sources.iter().find(|source| source.link != Link::Up);
    let (state, why) = match worst.map(|source| &source.link) {
        None if sources.is_empty() => (SourceState::Absent, None),
        // One resource of a source may be absent or forbidden while the others answer: the first one that is
        // not up gives the state, and the snapshot lacks only that resource.
        Some(Link::Forbidden(why)) => (SourceState::Forbidden, Some(why.clone())),
        Some(Link::Unreachable(why) | Link::Hung(why)) => (SourceState::Unreachable, Some(why.clone())),
        Some(Link::Absent(why)) if last_seen.is_none() => (SourceState::Absent, Some(why.clone())),
        None | Some(_) if age_seconds.is_some_and(|age| age > STALE_SOURCE_SECONDS) => {
            (SourceState::Stale, None)
        }
        None | Some(_) => (SourceState::Ok, None),
    };
    SourceAge { state, age_seconds, why }
}
