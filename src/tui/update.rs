//! The effect of a message on the state: no IO, no clock, no async. Actions outside are returned as effects.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::input::press;
use super::mouse::mouse;
use super::msg::{Effect, Msg};
use super::results::finish;
use super::state::{ClusterState, State};
use crate::model::{
    BrokerUpdate, ClusterEvent, Event, EventType, Fact, InstanceId, InstanceKind, Link, Object, Source,
    Update, Verdict, World,
};
use crate::output::theme::Tone;
use crate::plan::playback::RecordedFacts;
use crate::plan::tracker::{OperationTracker, Tracker};
use crate::timing::EVENT_AGE;

/// Handles a message.
pub fn update(state: &mut State, msg: Msg) -> Vec<Effect> {
    // A tick is late as long as facts are drawn one after the other.
    let may_end = matches!(msg, Msg::Tick(_)) || state.ready && matches!(msg, Msg::Facts(..));
    match msg {
        Msg::Key(key) => {
            state.dirty = true;
            return press(state, key);
        }
        Msg::Mouse(event) => state.dirty |= mouse(state, event),
        Msg::Resize => state.dirty = true,
        Msg::Facts(now, facts) => learn(state, now, facts),
        Msg::Ready(now) => {
            state.now = now;
            state.ready = true;
            meet(state);
            let ids: Vec<InstanceId> = state.clusters.keys().cloned().collect();
            for id in &ids {
                log_events(state, id);
            }
            if let ([only], None) = (ids.as_slice(), &state.open)
                && !state.setup.many
            {
                state.open(only);
            }
            if state.setup.ours
                && let Some(name) = state.setup.wanted.first().cloned()
                && let Some(cluster) = state.open.clone().and_then(|id| state.clusters.get_mut(&id))
            {
                cluster.operations.rebalances.asked(name, state.setup.strategy.clone());
            }
            observe(state);
            state.changed();
        }
        Msg::Tick(now) => tick(state, now),
        Msg::RecordedFacts(recorded) => listen(state, recorded),
        Msg::Over => over(state),
        Msg::Rewound => {
            state.rewind();
            state.dirty = true;
        }
        Msg::Done(done) => finish(state, done),
    }
    let mut effects = alarms(state);
    let due = if may_end {
        let ended = state.ended();
        state.endings.due(ended)
    } else {
        Vec::new()
    };
    if !due.is_empty() {
        effects.push(Effect::RecordVerdicts(due));
    }
    effects
}

/// Rings the bell and sets the window's title, once for each rebalance that should be stopped; not for a
/// recording.
fn alarms(state: &mut State) -> Vec<Effect> {
    if state.setup.playback.is_some() {
        return Vec::new();
    }
    let mut effects = Vec::new();
    for (id, cluster) in &mut state.clusters {
        let Some((run, alarm)) =
            cluster.operations.rebalances.runs.iter().find_map(|run| Some((run, run.alarm()?)))
        else {
            continue;
        };
        let key = run.key();
        if cluster.alarmed.as_ref() != Some(&key) {
            cluster.alarmed = Some(key);
            effects.push(Effect::Alarm(format!("{}: {}", id.name, alarm.headline())));
            state.dirty = true;
        }
    }
    effects
}

fn tick(state: &mut State, now: Timestamp) {
    state.now = state.now.max(now);
    if state.setup.playback.is_some() {
        let State { world, clusters, playback_state, now, .. } = state;
        playback_state.pass(world, &mut RecordedClusters { clusters, now: *now }, *now);
        sample_all(state);
    } else if state.ready {
        observe(state);
    }
    state.changed();
}

/// Applies facts of a live cluster.
fn learn(state: &mut State, now: Timestamp, facts: Vec<Fact>) {
    state.now = state.now.max(now);
    // Answers of EMQX with counts do not change where EMQX is asked.
    let counts = |update: &Update| {
        matches!(update, Update::Broker(_, BrokerUpdate::Nodes(_) | BrokerUpdate::Evictions(_)))
    };
    state.learned += u64::from(facts.iter().any(|fact| !counts(&fact.update)));
    let (mut visible, mut events) = (false, false);
    for fact in facts {
        let who = match &fact.update {
            Update::Broker(id, _) => Some(id.clone()),
            _ => None,
        };
        // EMQX may answer once more for a cluster that was just removed.
        if who.as_ref().is_some_and(|id| !state.clusters.contains_key(id)) {
            continue;
        }
        events |= matches!(&fact.update, Update::Upserted(Object::Event(_)));
        let at = fact.at;
        let line = source_line(&state.world, &fact);
        let links = matches!(&fact.update, Update::Link(..) | Update::Broker(_, BrokerUpdate::Link(..)));
        let changes = state.world.apply(fact);
        visible |= changes.visible;
        // `Link` reports each change of a source's health; other notices are reported once.
        for (tone, text) in
            line.into_iter().chain(changes.notice.filter(|_| !links).map(|it| (Tone::Warning, it)))
        {
            visible = true;
            let logs = state.clusters.iter_mut().filter(|(id, _)| who.as_ref().is_none_or(|who| who == *id));
            for (_, cluster) in logs {
                cluster.log.push(at, tone, text.clone());
            }
        }
    }
    meet(state);
    if !state.ready {
        state.changed();
        return;
    }
    if events {
        let ids: Vec<InstanceId> = state.clusters.keys().cloned().collect();
        for id in &ids {
            log_events(state, id);
        }
    }
    visible |= observe(state);
    if visible {
        state.changed();
    }
}

/// The message when a source becomes unreachable, or responds again.
fn source_line(world: &World, fact: &Fact) -> Option<(Tone, String)> {
    let (source, resource, link, before) = match &fact.update {
        Update::Link(source, resource, link) => {
            let before = world.kubernetes.sources.get(&(*source, *resource));
            (*source, *resource, link, before.map(|source| &source.link))
        }
        Update::Broker(id, update) => {
            let (resource, link) = match update {
                BrokerUpdate::Link(resource, link) => (*resource, link),
                BrokerUpdate::Nodes(_) => ("nodes", &Link::Up),
                BrokerUpdate::Evictions(_) => ("load_rebalance", &Link::Up),
                BrokerUpdate::Began(_) => return None,
            };
            (Source::Emqx, resource, link, world.broker(id).link(resource))
        }
        _ => return None,
    };
    match (before, link) {
        (Some(before), link) if before == link => None,
        // EMQX is asked through one pod after another; the head has the present reason.
        (Some(Link::Unreachable(_)), Link::Unreachable(_)) if source == Source::Emqx => None,
        (Some(before), Link::Up) if before.why().is_some() => {
            Some((Tone::Good, format!("{} {resource}: responds again", source.as_str())))
        }
        (_, Link::Up) => None,
        (_, Link::Absent(why)) => (!why.is_empty()).then(|| (Tone::Faint, why.clone())),
        (_, link) => link.why().filter(|why| !why.is_empty()).map(|why| (Tone::Warning, why.to_owned())),
    }
}

/// Adds new clusters, and handles deleted ones and those that were created again.
fn meet(state: &mut State) {
    let known: Vec<(InstanceId, String)> = state
        .world
        .kubernetes
        .instances
        .iter()
        .map(|(id, seen)| (id.clone(), seen.value.uid.clone()))
        .collect();
    let now = state.now;
    for (id, uid) in &known {
        let cluster = state.clusters.entry(id.clone()).or_insert_with_key(ClusterState::new);
        if cluster.uid.as_ref() != Some(uid) {
            if cluster.uid.is_some() {
                cluster.log.push(now, Tone::Warning, format!("{id} was deleted and made again"));
            }
            cluster.uid = Some(uid.clone());
            state.stale = true;
        }
    }
    let gone: Vec<InstanceId> = state
        .clusters
        .keys()
        .filter(|id| !state.world.kubernetes.instances.contains_key(*id))
        .cloned()
        .collect();
    for id in gone {
        let Some(cluster) = state.clusters.get_mut(&id) else { continue };
        if cluster.uid.take().is_some() {
            cluster.log.push(now, Tone::Bad, format!("{id} is gone"));
            state.stale = true;
        }
        // A cluster that is not open is removed from the list.
        if state.open.as_ref() != Some(&id) && state.setup.many && state.ready {
            state.clusters.remove(&id);
        }
    }
}

/// Updates every tracker; `true` if one reported something.
fn observe(state: &mut State) -> bool {
    let State { world, clusters, now, .. } = state;
    let mut any = false;
    for (id, cluster) in clusters {
        let events = cluster.operations.observe(world, *now);
        any |= log(cluster, &events, *now);
        sample(world, id, cluster);
    }
    any
}

/// The clusters of a recording as one tracker: a cluster is listed from its first object on.
struct RecordedClusters<'a> {
    clusters: &'a mut BTreeMap<InstanceId, ClusterState>,
    /// The time of the line, at which events are listed.
    now: Timestamp,
}

impl RecordedClusters<'_> {
    fn log(&mut self, mut events: impl FnMut(&mut OperationTracker) -> Vec<Event>) -> Vec<Event> {
        let mut all = Vec::new();
        for cluster in self.clusters.values_mut() {
            let events = events(&mut cluster.operations);
            log(cluster, &events, self.now);
            all.extend(events);
        }
        all
    }
}

impl Tracker for RecordedClusters<'_> {
    fn observe(&mut self, world: &World, now: Timestamp) -> Vec<Event> {
        for id in world.kubernetes.instances.keys() {
            self.clusters.entry(id.clone()).or_insert_with_key(ClusterState::new);
        }
        self.log(|operations| operations.observe(world, now))
    }

    fn finish(&mut self, world: &World, now: Timestamp) -> Vec<Event> {
        self.log(|operations| operations.finish(world, now))
    }
}

fn log(cluster: &mut ClusterState, events: &[Event], now: Timestamp) -> bool {
    for event in events.iter().filter(|event| event.kind != EventType::Progress) {
        let tone = match (event.kind, event.verdict) {
            (_, Some(verdict)) => Tone::of(verdict),
            (EventType::Notice, None) => Tone::Warning,
            _ => Tone::Plain,
        };
        let happened = cluster.operations.happened(event);
        cluster.log.event(event, tone, happened);
        cluster.marks.event(event, happened);
    }
    let last = cluster.operations.rebalances.runs.last();
    if let Some(run) = cluster.operations.rebalances.running().or(last) {
        cluster.marks.operator(now, run);
    }
    !events.is_empty()
}

fn sample_all(state: &mut State) {
    let State { world, clusters, .. } = state;
    for (id, cluster) in clusters {
        sample(world, id, cluster);
    }
}

fn sample(world: &World, id: &InstanceId, cluster: &mut ClusterState) {
    let Some(nodes) = &world.broker(id).nodes else { return };
    if cluster.sampled == Some(nodes.at) {
        return;
    }
    cluster.sampled = Some(nodes.at);
    let counts = nodes.value.iter().map(|node| (&node.name, node.connections, node.sessions));
    cluster.history.push(nodes.at, counts);
}

/// Whether an event is about this instance or one of its objects, whose names begin with its own. Of `emqx` and
/// `emqx-ee` in one namespace the longer name decides.
fn ours(id: &InstanceId, names: &[&str], event: &ClusterEvent) -> bool {
    if InstanceKind::ALL.iter().any(|kind| kind.as_str() == event.about_kind) {
        return event.about_kind == id.kind.as_str() && event.about == id.name;
    }
    let belongs = |name: &str| {
        event.about.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    belongs(&id.name) && !names.iter().any(|name| name.len() > id.name.len() && belongs(name))
}

/// Announces new Kubernetes events.
fn log_events(state: &mut State, id: &InstanceId) {
    let now = state.now;
    let Some(cluster) = state.clusters.get_mut(id) else { return };
    let from = now.checked_sub(EVENT_AGE).unwrap_or(now);
    let instances = state.world.kubernetes.instances.keys();
    let names: Vec<&str> =
        instances.filter(|it| it.namespace == id.namespace).map(|it| it.name.as_str()).collect();
    let events = state.world.kubernetes.events.values().map(|seen| &seen.value);
    let own = events.filter(|event| event.namespace == id.namespace && ours(id, &names, event));
    for (last, event) in cluster.events.fresh(from, own) {
        let text = format!("{} {}: {}", event.about_kind, event.about, event.message.trim());
        // The operator repeats some events every second.
        if !cluster.log.newest(now.max(last)).take(12).any(|entry| entry.text == text) {
            cluster.log.push(last, if event.warning { Tone::Warning } else { Tone::Faint }, text);
        }
    }
}

/// Applies a line of a recording.
fn listen(state: &mut State, recorded: RecordedFacts) {
    state.now = state.now.max(recorded.at);
    let is_event =
        recorded.facts.iter().any(|fact| matches!(&fact.update, Update::Upserted(Object::Event(_))));
    let first = state.clusters.is_empty();
    let State { world, clusters, playback_state, now, .. } = state;
    let (_, notices) = playback_state.take(world, &mut RecordedClusters { clusters, now: *now }, recorded);
    state.ready = true;
    meet(state);
    if first
        && state.open.is_none()
        && let Some(id) = state.clusters.keys().next().cloned()
    {
        state.open(&id);
    }
    sample_all(state);
    let now = state.now;
    if let Some(id) = state.open.clone() {
        if let Some(cluster) = state.clusters.get_mut(&id) {
            for notice in notices {
                cluster.log.push(now, Tone::Warning, notice);
            }
        }
        if is_event {
            log_events(state, &id);
        }
    }
    state.changed();
}

fn over(state: &mut State) {
    let already = state.setup.playback.is_some_and(|playback| playback.over);
    if let Some(playback) = &mut state.setup.playback {
        playback.over = true;
    }
    if already {
        return;
    }
    let State { world, clusters, playback_state, now, .. } = state;
    playback_state.finish(world, &mut RecordedClusters { clusters, now: *now });
    sample_all(state);
    state.show_message(Tone::Faint, "the recording is over");
    state.changed();
}

/// Whether the user stopped the followed operation in the view: then the result is as requested, with any
/// further verdict.
pub(crate) fn stopped_here(state: &State, names: &[String]) -> bool {
    let last = || state.here()?.operations.rebalances.runs.last().map(|run| run.name.as_str());
    let name = names.first().map(String::as_str).or_else(last);
    name.is_some_and(|name| state.stopped.iter().any(|stopped| stopped == name))
}

/// The verdict of the followed operations: `None` while one still runs, otherwise the worst.
pub(crate) fn verdict(state: &State, names: &[String]) -> Option<Verdict> {
    let operations = &state.here()?.operations;
    if names.is_empty() {
        return Some(operations.rebalances.runs.last()?.standing());
    }
    let standings = names.iter().filter(|name| operations.knows(name)).map(|name| operations.standing(name));
    standings.max_by_key(|standing| (!standing.is_final(), standing.exit().code()))
}
