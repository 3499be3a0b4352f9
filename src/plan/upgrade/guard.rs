//! The guarded upgrade of v1beta4 ([OP-15], [OP-16]). Its operator deletes a pod in the second in which it
//! starts to empty it. So this program pauses the operator with a delay of a year, empties the old nodes
//! through EMQX, verifies that they are empty, and only then lets the operator remove them.
//!
//! ```text
//!   held, new pods up ──► old pods out of the Service ──► evacuations, in groups ──► all verified empty ──► delay 0
//!                                                                                                          │
//!            done ◄── the user's own delay ◄── only new pods are left ◄── the operator removes one a loop ◄─┘
//! ```
//!
//! [`next`] returns the next actions for a world. It has no state, so that it continues from any point: after
//! Ctrl-C, a kill, or on another machine. What it must know beside the world is stored in the ConfigMap.
//! While the delay is in place, old pods are only held: an interruption loses nothing.

use jiff::Timestamp;

use super::messages;
use super::revisions::{Member, UpgradeRevisions};
use super::target::{UpgradeTarget, hold, one_by_one, undoing};
use crate::model::human::{plural, seconds_between};
use crate::model::{ApiVersion, Evacuation, Instance, InstanceId, NodeName, PodName, Seen, Stage, World};
use crate::plan::durations::DrainTiming;
use crate::plan::evacuation::doing;
use crate::plan::upgrade::messages::{third_image, way_out};
use crate::plan::upgrade::sources::answers;
use crate::timing::SETTLE_SECONDS;

/// The next action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardAction {
    /// Write a pod's gate `apps.emqx.io/on-serving`.
    SetGate {
        pod: PodName,
        /// Whether the Service may send clients to it.
        serving: bool,
    },
    /// Ask EMQX to empty a node.
    StartEvacuation {
        node: NodeName,
        /// Clients disconnected per second.
        conn_evict_rate: u64,
        /// Sessions moved per second.
        sess_evict_rate: u64,
        /// Seconds for clients to take their sessions over.
        wait_takeover: u64,
        /// The nodes that receive the sessions: the new nodes.
        migrate_to: Vec<NodeName>,
    },
    /// Ask EMQX to let a node serve again.
    StopEvacuation { node: NodeName },
    /// Scale the empty set that an undo leaves to 0.
    RemoveSet(String),
    /// Let the operator remove empty pods: this delay replaces that of this program.
    ReleaseDelay(u64),
    /// Restore the user's own delay (`None`: there was none), and end what is stored about the upgrade.
    RestoreDelay(Option<u64>),
    /// End what is stored about the upgrade, and change nothing of the object: another client changed the
    /// image.
    Forget,
    /// No action; the reason.
    Wait(String),
    /// What another client has to do before the upgrade can continue.
    Needs(String),
    /// No further action.
    Done,
}

/// What the caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardPermissions {
    /// Whether pods' gates may be written.
    pub gates: bool,
    /// The age in seconds up to which an answer of EMQX is evidence ([`timing`](crate::timing)); more where
    /// the seconds of a simulated cluster are shorter than real ones.
    pub fresh_seconds: u64,
}

fn wait(why: impl Into<String>) -> Vec<GuardAction> {
    vec![GuardAction::Wait(why.into())]
}

/// The next actions.
pub fn next(world: &World, id: &InstanceId, means: GuardPermissions, now: Timestamp) -> Vec<GuardAction> {
    let Some(revisions) = UpgradeRevisions::of(world, id) else { return wait(format!("{id} is not known")) };
    let instance = revisions.instance;
    if instance.api != ApiVersion::V1beta4 {
        return vec![GuardAction::Done];
    }
    if instance.deleting.is_some() {
        return wait(format!("{id} is being deleted: nothing is emptied any more"));
    }
    let kept = hold(instance);
    let timing = DrainTiming::of(instance);
    let over = revisions.answered && revisions.old.is_empty() && ready(&revisions);
    if over && EndsWith(&revisions).proved(world) {
        return match kept {
            Some(_) if deserted(instance) && !timing.held() => vec![GuardAction::Forget],
            Some(hold) => vec![GuardAction::RestoreDelay(hold.own_delay_seconds)],
            None if timing.held() => vec![GuardAction::RestoreDelay(None)],
            None => vec![GuardAction::Done],
        };
    }
    if deserted(instance) {
        return abandon(world, &revisions, &timing);
    }
    if undoing(instance) {
        return back(world, &revisions, means, &timing, now);
    }
    if kept.is_none() && !timing.held() {
        return wait("the operator is not held: it removes old pods by itself");
    }
    if !timing.held() {
        let left = revisions.old.len() as u64;
        return wait(format!(
            "the operator removes {} that {} empty",
            plural(left, "old pod"),
            if left == 1 { "is" } else { "are" }
        ));
    }
    let gates = reopened(world, &revisions);
    if !gates.is_empty() {
        return if means.gates { gates } else { vec![GuardAction::Needs(closed(&revisions, &gates))] };
    }
    if revisions.available_since().is_none() {
        let (up, wanted) = revisions.ready();
        return wait(format!("{up} of {} up; the operator reconciles every 20 s", plural(wanted, "new pod")));
    }
    leave(world, &revisions, means, &timing, now)
}

/// Takes the pods that are removed out of the Service, and empties them.
fn leave(
    world: &World,
    revisions: &UpgradeRevisions<'_>,
    means: GuardPermissions,
    timing: &DrainTiming,
    now: Timestamp,
) -> Vec<GuardAction> {
    if means.gates {
        let shut = gates(revisions);
        if !shut.is_empty() {
            return shut;
        }
        if let Some(why) = settling(revisions, now) {
            return wait(why);
        }
    }
    let within = means.fresh_seconds;
    let broker = world.broker(&revisions.instance.id);
    let Some(Seen { value: load, .. }) = broker.load.as_ref().filter(|seen| seen.is_within(within, now))
    else {
        return wait("EMQX does not report what it moves");
    };
    if !broker.is_within(within, now) {
        return wait("EMQX does not report the counts of its nodes");
    }
    if let Some(entry) = load.rebalances.first() {
        return vec![GuardAction::Needs(format!(
            "a rebalance runs (coordinator {}), and EMQX refuses an evacuation beside it: kubectl emqx rebalance stop \
             coordinator/{} ends it, then this continues; the old pods are held meanwhile",
            entry.coordinator.short(),
            entry.coordinator
        ))];
    }
    empty(revisions, &load.evacuations, timing)
}

/// What remains to do of an unfinished guarded upgrade, for the status of an instance.
pub(crate) fn unfinished(world: &World, id: &InstanceId) -> Option<String> {
    let instance = world.instance(id)?;
    let closed = deserted(instance);
    UpgradeTarget::resumed(instance).map(|_| ()).or(closed.then_some(()))?;
    Some(format!(
        "not finished: the operator's delay is held by kubectl emqx; {} finishes the upgrade",
        continues(instance)
    ))
}

/// Whether another client changed the image since the delay was held.
pub(crate) fn deserted(instance: &Instance) -> bool {
    let record = instance.upgrade_record().filter(|_| hold(instance).is_some());
    record.is_some_and(|record| instance.image.is_some() && Some(&record.to) != instance.image.as_ref())
}

/// Another client changed the image: the pods of the revision that is requested now serve again, because this
/// guard took them out of the Service. Nothing else is changed.
fn abandon(world: &World, revisions: &UpgradeRevisions<'_>, timing: &DrainTiming) -> Vec<GuardAction> {
    let acts = reopen(world, revisions);
    if !acts.is_empty() {
        return acts;
    }
    if !timing.held() {
        return vec![GuardAction::Forget];
    }
    let to = revisions.instance.upgrade_record().map_or_else(String::new, |record| record.to);
    vec![GuardAction::Needs(way_out(revisions.instance, &to))]
}

/// The command that continues an unfinished guarded upgrade.
pub(crate) fn continues(instance: &Instance) -> String {
    let name = &instance.id.name;
    let to = instance.upgrade_record().map(|record| record.to).filter(|_| deserted(instance));
    match to.as_deref().and_then(|to| third_image(instance, to)) {
        Some(image) => format!("kubectl emqx upgrade apply {name} --image {image}"),
        None => format!("kubectl emqx upgrade watch {name}"),
    }
}

/// Opens the gates of new pods that were created again after the new set was ready: the paused operator does
/// not open them.
fn reopened(world: &World, revisions: &UpgradeRevisions<'_>) -> Vec<GuardAction> {
    if revisions.instance.blue_green.as_ref().is_none_or(|update| update.started.is_none()) {
        return Vec::new();
    }
    let evacuations = world.broker(&revisions.instance.id).evacuations();
    let evacuated = |member: &Member<'_>| evacuations.iter().any(|it| Some(&it.node) == member.node.as_ref());
    revisions
        .new
        .iter()
        .filter(|member| member.running && member.pod.containers_ready && member.pod.deleting.is_none())
        .filter(|member| member.pod.gated && member.pod.on_serving != Some(true) && !evacuated(member))
        .map(|member| GuardAction::SetGate { pod: member.pod.name.clone(), serving: true })
        .collect()
}

/// The same message where gates may not be written.
fn closed(revisions: &UpgradeRevisions<'_>, gates: &[GuardAction]) -> String {
    let pod = gates.iter().find_map(|act| match act {
        GuardAction::SetGate { pod, .. } => Some(pod.as_str()),
        _ => None,
    });
    format!(
        "{} runs, but its gate apps.emqx.io/on-serving is closed and the operator, whose delay is held, does not open it: \
         allow patch on pods/status in namespace {}",
        pod.unwrap_or("a new pod"),
        revisions.instance.id.namespace
    )
}

fn ready(revisions: &UpgradeRevisions<'_>) -> bool {
    let (ready, wanted) = revisions.ready();
    wanted > 0 && ready >= wanted
}

/// The end, by the same rule as the tracker's but without its history: EMQX lists no node without a pod.
struct EndsWith<'s, 'a>(&'s UpgradeRevisions<'a>);

impl EndsWith<'_, '_> {
    fn proved(&self, world: &World) -> bool {
        let all_run = self.0.new.iter().all(|member| member.running);
        let broker = world.broker(&self.0.instance.id);
        let only = match &broker.nodes {
            Some(nodes) if answers(broker) => {
                nodes.value.iter().filter(|node| node.running).count() <= self.0.new.len()
            }
            _ => return self.0.instance.ready(),
        };
        all_run && only
    }
}

/// Closes the gates of all old pods that are still in the Service, at the same time: otherwise disconnected
/// clients reconnect to old pods, and are disconnected again.
fn gates(revisions: &UpgradeRevisions<'_>) -> Vec<GuardAction> {
    revisions
        .old
        .iter()
        .filter(|member| {
            member.pod.gated && member.pod.on_serving != Some(false) && member.pod.deleting.is_none()
        })
        .map(|member| GuardAction::SetGate { pod: member.pod.name.clone(), serving: false })
        .collect()
}

/// The message while load balancers have not had time to notice.
fn settling(revisions: &UpgradeRevisions<'_>, now: Timestamp) -> Option<String> {
    let gated = || revisions.old.iter().filter(|member| member.pod.gated);
    if gated().any(|member| member.pod.ready) {
        return Some("old pods are leaving the Service".to_owned());
    }
    let since = gated()
        .filter_map(|member| member.pod.condition("Ready")?.since)
        .map(|since| seconds_between(since, now))
        .min()?;
    (since < SETTLE_SECONDS).then(|| "old pods left the Service; load balancers notice".to_owned())
}

/// The state of one old node.
enum Node<'e> {
    /// It holds no clients and accepts none: EMQX reports so in both answers, or it does not run.
    Proved,
    /// EMQX empties it, or the reason why it is not empty.
    Busy(&'e Evacuation, String),
    /// EMQX does not evacuate it.
    Untouched(&'e NodeName),
    Unknown(String),
}

fn stand<'e>(member: &'e Member<'_>, evacuations: &'e [Evacuation]) -> Node<'e> {
    if member.pod.deleting.is_some() {
        return Node::Proved;
    }
    let Some(node) = &member.node else {
        // A pod whose node EMQX does not list has no clients if its container is not running.
        return if member.pod.containers_ready {
            Node::Unknown(format!("EMQX does not list the node of {}", member.pod.name))
        } else {
            Node::Proved
        };
    };
    if !member.running && !member.pod.containers_ready {
        return Node::Proved;
    }
    let Some(entry) = evacuations.iter().find(|entry| entry.node == *node) else {
        return Node::Untouched(node);
    };
    let Some(holds) = member.holds else {
        return Node::Unknown(format!("EMQX does not report the counts of {}", node.short()));
    };
    let counted = entry.connections.unwrap_or(0) == 0 && entry.sessions.unwrap_or(0) == 0;
    match entry.stage {
        Stage::Prohibiting if counted && holds.nothing() => Node::Proved,
        Stage::Prohibiting => Node::Busy(
            entry,
            format!(
                "{} refuses clients, but {} and {} are left on it",
                node.short(),
                plural(holds.connections, "client"),
                plural(holds.sessions, "session")
            ),
        ),
        _ => Node::Busy(entry, format!("{}: {}", node.short(), doing(&entry.stage))),
    }
}

/// Empties old nodes, group by group; releases the operator when every one of them is verified to be empty.
fn empty(
    revisions: &UpgradeRevisions<'_>,
    evacuations: &[Evacuation],
    timing: &DrainTiming,
) -> Vec<GuardAction> {
    // Another client's evacuation of a new node keeps clients away from it, and makes the operator wait.
    let foreign = evacuations
        .iter()
        .find(|entry| revisions.new.iter().any(|member| member.node.as_ref() == Some(&entry.node)));
    if let Some(entry) = foreign {
        return vec![GuardAction::Needs(format!(
            "{} is new and is being evacuated by another client ({}): {} ends it",
            entry.node.short(),
            entry.state,
            messages::ends(&revisions.instance.id.namespace, &entry.node, revisions.pod(&entry.node))
        ))];
    }
    let recipients: Vec<NodeName> = revisions
        .new
        .iter()
        .filter(|member| member.running)
        .filter_map(|member| member.node.clone())
        .collect();
    let stands: Vec<Node<'_>> = revisions.old.iter().map(|member| stand(member, evacuations)).collect();
    if stands.iter().all(|stand| matches!(stand, Node::Proved)) {
        // A new node that just stopped cannot take clients: they could not reconnect.
        return if ready(revisions) {
            vec![GuardAction::ReleaseDelay(0)]
        } else {
            wait("all old nodes are empty; a new pod is not ready")
        };
    }
    if recipients.len() < revisions.new.len() || recipients.is_empty() {
        return wait("not every new node runs: sessions have nowhere to go");
    }
    let sizes =
        if one_by_one(revisions.instance) { vec![1; stands.len()] } else { timing.groups(stands.len()) };
    let mut rest = stands.as_slice();
    for size in sizes {
        let (group, later) = rest.split_at(size);
        rest = later;
        if group.iter().all(|stand| matches!(stand, Node::Proved)) {
            continue;
        }
        return work(group, &stands, size as u64, timing, &recipients);
    }
    wait("old nodes are being emptied")
}

fn work(
    group: &[Node<'_>],
    all: &[Node<'_>],
    size: u64,
    timing: &DrainTiming,
    recipients: &[NodeName],
) -> Vec<GuardAction> {
    let (Some(conn), Some(sess)) = (timing.conn_evict_rate, timing.sess_evict_rate) else {
        return wait("spec.blueGreenUpdate has no rates: nothing can be emptied");
    };
    if let Some(why) = group.iter().find_map(|stand| match stand {
        Node::Unknown(why) => Some(why.clone()),
        _ => None,
    }) {
        return wait(why);
    }
    // The sum never exceeds the rate: the rates of evacuations that run count until their nodes are empty.
    let busy = |of: fn(&Evacuation) -> Option<u64>| -> u64 {
        let active = all.iter().filter_map(|stand| match stand {
            Node::Busy(entry, _) if entry.stage != Stage::Prohibiting => of(entry),
            _ => None,
        });
        active.sum()
    };
    let mut left = (
        conn.saturating_sub(busy(|entry| entry.conn_evict_rate)),
        sess.saturating_sub(busy(|entry| entry.sess_evict_rate)),
    );
    let share = ((conn / size.max(1)).max(1), (sess / size.max(1)).max(1));
    let mut acts = Vec::new();
    for stand in group {
        let Node::Untouched(node) = stand else { continue };
        if left.0 < share.0 || left.1 < share.1 {
            break;
        }
        left = (left.0 - share.0, left.1 - share.1);
        acts.push(GuardAction::StartEvacuation {
            node: (*node).clone(),
            conn_evict_rate: share.0,
            sess_evict_rate: share.1,
            wait_takeover: timing.wait_takeover,
            migrate_to: recipients.to_vec(),
        });
    }
    if acts.is_empty() {
        let words: Vec<String> = group
            .iter()
            .filter_map(|stand| match stand {
                Node::Busy(_, why) => Some(why.clone()),
                _ => None,
            })
            .collect();
        return wait(words.join("; "));
    }
    acts
}

/// An undo stops the evacuations that were started, and empties the second set into the first. The operator
/// scales the first set up again and leaves the second alone; with two sets and without a delay it would
/// empty the first, which is older ([OP-74]). So it stays paused until the second set is empty, and this
/// program scales that set to 0.
fn back(
    world: &World,
    revisions: &UpgradeRevisions<'_>,
    means: GuardPermissions,
    timing: &DrainTiming,
    now: Timestamp,
) -> Vec<GuardAction> {
    let acts = reopen(world, revisions);
    if !acts.is_empty() {
        return acts;
    }
    let given_up = |name: &&str| !revisions.new_sets.iter().any(|new| new == name);
    let sets: Vec<&str> = revisions.groups.iter().map(|group| group.name.as_str()).filter(given_up).collect();
    if sets.is_empty() {
        return wait("the pods that stay are not all ready, or EMQX does not list them as running");
    }
    let acts = leave(world, revisions, means, timing, now);
    if acts.iter().any(|act| matches!(act, GuardAction::ReleaseDelay(_))) {
        let left = |set: &&str| {
            revisions
                .groups
                .iter()
                .any(|group| group.name == **set && group.wanted.is_none_or(|wanted| wanted > 0))
        };
        let removed: Vec<GuardAction> =
            sets.into_iter().filter(left).map(|set| GuardAction::RemoveSet(set.to_owned())).collect();
        return if removed.is_empty() { wait("the pods of the other set terminate") } else { removed };
    }
    acts
}

/// Stops every evacuation of a pod that stays, and opens its gate.
fn reopen(world: &World, revisions: &UpgradeRevisions<'_>) -> Vec<GuardAction> {
    let evacuations = world.broker(&revisions.instance.id).evacuations();
    let mut acts = Vec::new();
    for member in revisions.new.iter().filter(|member| member.pod.deleting.is_none()) {
        if let Some(node) = &member.node
            && evacuations.iter().any(|entry| entry.node == *node)
        {
            acts.push(GuardAction::StopEvacuation { node: node.clone() });
        }
        if member.pod.gated && member.pod.on_serving != Some(true) && member.pod.containers_ready {
            acts.push(GuardAction::SetGate { pod: member.pod.name.clone(), serving: true });
        }
    }
    acts
}
