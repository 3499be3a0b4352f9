//! The effect of a message on the state: no IO, no clock, no async. Actions outside are returned as effects.

use jiff::Timestamp;

use super::input::press;
use super::mouse::mouse;
use super::msg::{Effect, Msg};
use super::results::finish;
use super::state::{ClusterState, State};
use crate::model::{Event, EventType, Fact, InstanceId, Link, Object, Source, Update, Verdict, World};
use crate::output::theme::Tone;
use crate::plan::playback::RecordedFacts;
use crate::plan::tracker::{OperationTracker, Tracker};
use crate::timing::EVENT_AGE;

/// Handles a message.
pub fn update(state: &mut State, msg: Msg) -> Vec<Effect> {
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
                tell_events(state, id, true);
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
            changed(state);
        }
        Msg::Tick(now) => tick(state, now),
        Msg::RecordedFacts(told) => listen(state, told),
        Msg::Over => over(state),
        Msg::Rewound => {
            state.rewind();
            state.dirty = true;
        }
        Msg::Done(done) => finish(state, done),
    }
    alarms(state)
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

pub(super) fn changed(state: &mut State) {
    state.stale = true;
    // A frozen view is not drawn again.
    state.dirty |= state.frozen.is_none();
}

fn tick(state: &mut State, now: Timestamp) {
    state.now = state.now.max(now);
    if state.setup.playback.is_some() {
        let events = {
            let State { world, clusters, playback_state, spare, open, now, .. } = state;
            let follower = match open.as_ref().and_then(|id| clusters.get_mut(id)) {
                Some(cluster) => &mut cluster.operations,
                None => spare,
            };
            playback_state.pass(world, follower, *now)
        };
        tell(state, &events);
    } else if state.ready {
        observe(state);
    }
    changed(state);
}

/// Applies facts of a live cluster.
fn learn(state: &mut State, now: Timestamp, facts: Vec<(Option<InstanceId>, Fact)>) {
    state.now = state.now.max(now);
    state.learned += 1;
    let (mut visible, mut events) = (false, false);
    for (who, fact) in facts {
        if let Some(id) = &who {
            // EMQX may answer once more for a cluster that was just removed.
            if !state.clusters.contains_key(id) {
                continue;
            }
            state.enter(id);
        }
        events |= matches!(&fact.update, Update::Is(Object::Event(_)));
        let at = fact.at;
        let line = heard(&state.world, &fact);
        let links = matches!(&fact.update, Update::Link(..));
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
        changed(state);
        return;
    }
    if events {
        let ids: Vec<InstanceId> = state.clusters.keys().cloned().collect();
        for id in &ids {
            tell_events(state, id, false);
        }
    }
    visible |= observe(state);
    if visible {
        changed(state);
    }
}

/// The message when a source becomes unreachable, or responds again.
fn heard(world: &World, fact: &Fact) -> Option<(Tone, String)> {
    let (source, resource, link) = match &fact.update {
        Update::Link(source, resource, link) => (*source, *resource, link),
        Update::Nodes(_) => (Source::Emqx, "nodes", &Link::Up),
        Update::Load(_) => (Source::Emqx, "load_rebalance", &Link::Up),
        _ => return None,
    };
    let before = world.hearings.get(&(source, resource)).map(|hearing| &hearing.link);
    match (before, link) {
        (Some(before), link) if before == link => None,
        (Some(Link::Unreachable(_) | Link::Forbidden(_)), Link::Up) => {
            Some((Tone::Good, format!("{} {resource}: responds again", source.as_str())))
        }
        (_, Link::Up) => None,
        (_, Link::Forbidden(why) | Link::Unreachable(why) | Link::Absent(why)) if why.is_empty() => None,
        (_, Link::Absent(why)) => Some((Tone::Faint, why.clone())),
        (_, Link::Forbidden(why) | Link::Unreachable(why)) => Some((Tone::Warning, why.clone())),
    }
}

/// Adds new clusters, and handles deleted ones and those that were created again.
fn meet(state: &mut State) {
    let known: Vec<(InstanceId, String)> =
        state.world.instances.iter().map(|(id, seen)| (id.clone(), seen.value.uid.clone())).collect();
    let now = state.now;
    for (id, uid) in &known {
        if !state.clusters.contains_key(id) {
            let inside = state.open.clone();
            state.enter(id);
            if let Some(inside) = inside {
                state.enter(&inside);
            }
        }
        if let Some(cluster) = state.clusters.get_mut(id)
            && cluster.uid.as_ref() != Some(uid)
        {
            if cluster.uid.is_some() {
                cluster.log.push(now, Tone::Warning, format!("{id} was deleted and made again"));
            }
            cluster.uid = Some(uid.clone());
            state.stale = true;
        }
    }
    let gone: Vec<InstanceId> =
        state.clusters.keys().filter(|id| !state.world.instances.contains_key(*id)).cloned().collect();
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
    let ids: Vec<InstanceId> = state.clusters.keys().cloned().collect();
    let now = state.now;
    let mut any = false;
    for id in &ids {
        let (world, Some(cluster)) = state.at(id) else { continue };
        let events = cluster.operations.observe(world, now);
        any |= log(cluster, &events, now);
        sample(world, cluster);
    }
    // EMQX's answers of the open cluster stay in the world, where the view reads them.
    if let Some(open) = state.open.clone() {
        state.enter(&open);
    }
    any
}

fn log(cluster: &mut ClusterState, events: &[Event], now: Timestamp) -> bool {
    for event in events.iter().filter(|event| event.kind != EventType::Progress) {
        let tone = match (event.kind, event.verdict) {
            (_, Some(verdict)) => Tone::of(verdict),
            (EventType::Notice, None) => Tone::Warning,
            _ => Tone::Plain,
        };
        cluster.log.push(event.time, tone, event.message.clone());
        cluster.marks.event(event);
    }
    let last = cluster.operations.rebalances.runs.last();
    if let Some(run) = cluster.operations.rebalances.running().or(last) {
        cluster.marks.operator(now, run);
    }
    !events.is_empty()
}

fn sample(world: &World, cluster: &mut ClusterState) {
    let Some(nodes) = &world.nodes else { return };
    if cluster.sampled == Some(nodes.at) {
        return;
    }
    cluster.sampled = Some(nodes.at);
    let counts = nodes.value.iter().map(|node| (&node.name, node.connections, node.sessions));
    cluster.history.push(nodes.at, counts);
}

/// Announces new Kubernetes events.
fn tell_events(state: &mut State, id: &InstanceId, first: bool) {
    let now = state.now;
    let Some(cluster) = state.clusters.get_mut(id) else { return };
    let from = match (cluster.events_until, first) {
        (Some(until), _) => until,
        (None, _) => now.checked_sub(EVENT_AGE).unwrap_or(now),
    };
    let dashed = format!("{}-", id.name);
    let ours = |about: &str| about == id.name || about.starts_with(&dashed);
    let mut fresh: Vec<_> = state
        .world
        .events
        .values()
        .map(|seen| &seen.value)
        .filter(|event| event.namespace == id.namespace && ours(&event.about))
        .filter_map(|event| Some((event.last?, event)))
        .filter(|(last, _)| *last > from)
        .collect();
    fresh.sort_by_key(|(last, _)| *last);
    for (last, event) in fresh {
        let text = format!("{} {}: {}", event.about_kind, event.about, event.message.trim());
        cluster.events_until = cluster.events_until.max(Some(last));
        // The operator repeats some events every second.
        if !cluster.log.newest(now.max(last)).take(12).any(|entry| entry.text == text) {
            cluster.log.push(last, if event.warning { Tone::Warning } else { Tone::Faint }, text);
        }
    }
}

/// Applies a line of a recording.
fn listen(state: &mut State, told: RecordedFacts) {
    state.now = state.now.max(told.at);
    let is_event = told.facts.iter().any(|fact| matches!(&fact.update, Update::Is(Object::Event(_))));
    let (events, notices) = {
        let State { world, clusters, playback_state, spare, open, .. } = state;
        let follower = match open.as_ref().and_then(|id| clusters.get_mut(id)) {
            Some(cluster) => &mut cluster.operations,
            None => spare,
        };
        playback_state.take(world, follower, told)
    };
    if state.clusters.is_empty()
        && let Some(id) = state.world.instances.keys().next().cloned()
    {
        let at_first = state.open.is_none();
        state.enter(&id);
        if let Some(cluster) = state.clusters.get_mut(&id) {
            cluster.operations = std::mem::replace(&mut state.spare, OperationTracker::all());
        }
        if at_first {
            state.open(&id);
        }
    }
    state.ready = true;
    meet(state);
    tell(state, &events);
    let now = state.now;
    if let Some(id) = state.open.clone() {
        if let Some(cluster) = state.clusters.get_mut(&id) {
            for notice in notices {
                cluster.log.push(now, Tone::Warning, notice);
            }
        }
        if is_event {
            tell_events(state, &id, false);
        }
    }
    changed(state);
}

/// Adds the events of a recording.
fn tell(state: &mut State, events: &[Event]) {
    let State { world, clusters, open, now, .. } = state;
    if let Some(cluster) = open.as_ref().and_then(|id| clusters.get_mut(id)) {
        log(cluster, events, *now);
        sample(world, cluster);
    }
}

fn over(state: &mut State) {
    let already = state.setup.playback.is_some_and(|playback| playback.over);
    if let Some(playback) = &mut state.setup.playback {
        playback.over = true;
    }
    if already {
        return;
    }
    let events = {
        let State { world, clusters, playback_state, spare, open, .. } = state;
        let follower = match open.as_ref().and_then(|id| clusters.get_mut(id)) {
            Some(cluster) => &mut cluster.operations,
            None => spare,
        };
        playback_state.finish(world, follower)
    };
    tell(state, &events);
    state.say(Tone::Faint, "the recording is over");
    changed(state);
}

/// Whether the user stopped the followed operation in the view: then the result is as requested, with any
/// further verdict.
pub(crate) fn stopped_here(state: &State, names: &[String]) -> bool {
    let last = || state.here()?.operations.rebalances.runs.last().map(|run| run.name.as_str());
    let name = names.first().map(String::as_str).or_else(last);
    name.is_some_and(|name| state.stopped.iter().any(|stopped| stopped == name))
}

/// The verdict of the followed operations: `None` while one still runs, otherwise the worst.
pub fn verdict(state: &State, names: &[String]) -> Option<Verdict> {
    let operations = &state.here()?.operations;
    if names.is_empty() {
        return Some(operations.rebalances.runs.last()?.standing());
    }
    let standings = names.iter().filter(|name| operations.knows(name)).map(|name| operations.standing(name));
    standings.max_by_key(|standing| (!standing.final_word(), standing.exit().code()))
}
