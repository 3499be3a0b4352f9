//! `evacuate`: empties EMQX nodes through EMQX's own API, follows the evacuations, and stops them.

use std::time::Duration;

use tokio::time::Instant;

use super::cluster_view::{self, ClusterView};
use super::fact_loop::{FactLoop, WaitEnd};
use super::follow_output::FollowOutput;
use super::{ChangeResult, CommandContext, Outcome, confirmation, history, limits, surroundings};
use crate::cli::intent::evacuate::{Evacuate, EvacuateStart, EvacuateWatch, Show};
use crate::cli::intent::{DryRun, Filter, Follow, Output, Stream, Then, WriteOptions};
use crate::error::{Exit, Problem};
use crate::model::human::{count, duration};
use crate::model::{
    ApiVersion, Event, EventType, HistoryEntry, InstanceId, Judgement, Link, NodeName, Operation,
    OperationRef, Verdict,
};
use crate::plan::check::{Planned, Purpose};
use crate::plan::evacuation::checks::{self, EvacuatedBy};
use crate::plan::evacuation::tracker::EvacuationRun;
use crate::plan::evacuation::{EvacuationPlan, Settings};
use crate::plan::finding::Decision;
use crate::plan::history as past;
use crate::plan::limits::{LimitForecast, LimitOutcome as Limit, LimitTracker, OperationFacts};
use crate::plan::rebalance::progress::Counts;
use crate::plan::results::{Applied, Backend, EvacuationItem, Stopped};
use crate::plan::snapshot::snapshot;
use crate::plan::tracker::{OperationTracker, Tracker};
use crate::plan::upgrade::durations::DrainTiming;
use crate::ports::{self, RefreshScope};
use crate::timing::POLL;

pub mod shown;
mod stop;

pub(crate) use stop::run as stop;

/// What a start depends on; the states show a drain or a scale that is not finished.
const START_SCOPE: RefreshScope = RefreshScope { states: true, ..RefreshScope::REBALANCE };

/// `evacuate` and its subcommands.
pub async fn run(context: &CommandContext, intent: &Evacuate) -> Outcome {
    match intent {
        Evacuate::Start(start) => Ok(self::start(context, start).await?.exit),
        Evacuate::Stop(stop) => Ok(self::stop(context, stop).await?.exit),
        Evacuate::Show(show) => self::show(context, show).await,
        Evacuate::Watch(watch) => self::watch(context, watch).await,
    }
}

/// Stops these evacuations and verifies that the nodes serve again.
pub(crate) async fn stop_all(
    context: &CommandContext,
    write: &WriteOptions,
    timeout: Duration,
    cluster: &mut ClusterView,
    nodes: &[NodeName],
) -> Result<Vec<Stopped>, Problem> {
    stop::all(context, write, timeout, cluster, nodes).await
}

/// The name of an evacuation in outputs.
pub fn name(node: &NodeName) -> String {
    OperationRef::Evacuation(node.clone()).to_string()
}

/// The cluster that has all of these nodes, and their names in EMQX.
async fn find(
    context: &CommandContext,
    targets: &[String],
    want: RefreshScope,
) -> Result<(ClusterView, Vec<NodeName>), Problem> {
    let all = cluster_view::load_many(context, &Filter::default(), want).await?;
    let mut unanswered: Option<String> = None;
    let mut known: Vec<String> = Vec::new();
    let mut best: Option<(usize, String)> = None;
    for cluster in all {
        let link = cluster.answers().link("nodes");
        unanswered = unanswered.or_else(|| link.and_then(Link::why).map(str::to_owned));
        let mut nodes: Vec<NodeName> = Vec::new();
        let mut missing = None;
        for target in targets {
            match cluster_view::node(&cluster, context, target) {
                Some(node) if nodes.contains(&node) => {}
                Some(node) => nodes.push(node),
                None => missing = missing.or(Some(target.clone())),
            }
        }
        match missing {
            None => return Ok((cluster, nodes)),
            Some(missing) if best.as_ref().is_none_or(|(most, _)| nodes.len() > *most) => {
                best = Some((nodes.len(), missing));
            }
            Some(_) => {}
        }
        let rows = snapshot(&cluster.world, &cluster.id, context.clock.now()).nodes;
        known.extend(rows.iter().map(|row| {
            row.pod.as_ref().map_or_else(
                || row.node.as_ref().map(ToString::to_string).unwrap_or_default(),
                |pod| pod.as_str().to_owned(),
            )
        }));
    }
    let missing = best.map_or_else(|| targets.join(", "), |(_, missing)| missing);
    let place = if context.namespace.is_empty() {
        String::new()
    } else {
        format!(" in namespace {}", context.namespace)
    };
    if let Some(why) = unanswered {
        return Err(Problem::new(format!("cannot find the EMQX node {missing}{place}"), why)
            .hint("kubectl emqx status shows what is missing"));
    }
    let why = match known.len() {
        0 => String::new(),
        1..=8 => format!("its nodes are {}", known.join(", ")),
        many => format!("its {many} nodes are {}, …", known[..8].join(", ")),
    };
    Err(Problem::new(format!("there is no EMQX node or EMQX pod {missing}{place}"), why)
        .hint("kubectl emqx nodes lists the nodes and their pods"))
}

/// `evacuate start`.
pub(crate) async fn start(context: &CommandContext, intent: &EvacuateStart) -> Result<ChangeResult, Problem> {
    let (mut cluster, nodes) = find(context, &intent.targets, START_SCOPE).await?;
    let settings = settings(context, &cluster, &intent.settings)?;
    let mut planned = plan(context, &cluster, &nodes, &settings, &intent.skip)?;
    planned.judge(limits::before(context, &intent.limits, expected(&planned)));
    around(context, &cluster, &mut planned, &intent.skip).await;
    context.printer.talk_evacuation(&planned);
    let what = format!("will not evacuate {}", labels(&planned, &nodes));
    confirmation::decided(
        context,
        &intent.write,
        planned.decision,
        &planned.message,
        &planned.findings,
        what.clone(),
    )?;
    if intent.write.dry_run != DryRun::None {
        let created = made(context, intent, &nodes, planned, " (dry run)");
        return Ok(ChangeResult::created(Exit::Reached, created));
    }
    confirmation::confirm(context, &intent.write, &question(&planned, &nodes)).await?;

    // Time passed while the user read: counts and other operations are read again.
    cluster_view::relist(context, &mut cluster, START_SCOPE).await?;
    cluster_view::refresh(context, &mut cluster).await?;
    let mut fresh = plan(context, &cluster, &nodes, &settings, &intent.skip)?;
    fresh.judge(limits::before(context, &intent.limits, expected(&fresh)));
    around(context, &cluster, &mut fresh, &intent.skip).await;
    let counts = |plan: &EvacuationPlan| -> Vec<(NodeName, u64)> {
        plan.nodes.iter().map(|node| (node.node.clone(), node.connections)).collect()
    };
    fresh.judge(limits::drift(&intent.limits, counts(&planned), counts(&fresh)).into_iter().collect());
    if fresh.decision != Decision::Go {
        confirmation::decided(context, &intent.write, fresh.decision, &fresh.message, &fresh.findings, what)?;
    }
    let order = ports::EvacuationOrder {
        conn_evict_rate: settings.conn_evict_rate,
        sess_evict_rate: settings.sess_evict_rate,
        wait_takeover: Some(settings.wait_takeover_seconds),
        wait_health_check: waits(&fresh).then_some(settings.wait_health_check_seconds),
        migrate_to: settings.migrate_to.clone(),
        redirect_to: settings.redirect_to.clone(),
    };
    let mut operations = OperationTracker::of(&cluster.id);
    operations.observe(&cluster.world, context.clock.now());
    for (place, node) in nodes.iter().enumerate() {
        let started = cluster.broker.evacuate(node, &order).await.and_then(|started| {
            if started {
                return Ok(());
            }
            Err(Problem::refused(
                format!("cannot evacuate {node}"),
                "another client started its evacuation meanwhile",
            )
            .hint(format!("kubectl emqx evacuate watch {node}")))
        });
        if let Err(problem) = started {
            for done in &nodes[..place] {
                context.notice(&format!(
                    "the evacuation of {done} was started: kubectl emqx evacuate stop {done}"
                ));
            }
            return Err(problem);
        }
        operations.upgrades.evacuations.asked(
            node.clone(),
            timing(&settings, waits(&fresh)),
            context.clock.now(),
        );
    }
    if let Some(reason) = &intent.write.reason {
        context.printer.talk(&format!("reason: {reason}"));
    }
    let created = made(context, intent, &nodes, fresh, "");
    let exit = match &intent.then {
        Then::Leave(_) => {
            context.printer.next(&format!("kubectl emqx evacuate watch {}", named(&nodes)));
            Exit::Reached
        }
        Then::Follow(follow) => self::follow(context, cluster, operations, &nodes, follow, false).await?,
    };
    Ok(ChangeResult::created(exit, created))
}

/// Adds what the checks of the surroundings find.
async fn around(context: &CommandContext, cluster: &ClusterView, plan: &mut EvacuationPlan, skip: &[String]) {
    if plan.decision != Decision::Go {
        return;
    }
    let planned = Planned {
        reconnects: plan.recipients.iter().map(|node| node.reconnects_per_second).max(),
        wait_health_check: Some(plan.settings.wait_health_check_seconds),
        ..Planned::default()
    };
    plan.judge(Box::pin(surroundings::findings(context, cluster, Purpose::Evacuate, planned, skip)).await);
}

/// The forecast that the limits are compared with.
fn expected(plan: &EvacuationPlan) -> LimitForecast {
    let reconnects = plan.recipients.iter().map(|node| node.reconnects_per_second).max();
    LimitForecast { seconds: Some(plan.total_seconds), reconnects }
}

/// Whether this EMQX waits for load balancers.
fn waits(plan: &EvacuationPlan) -> bool {
    plan.settings.wait_health_check_seconds == 0 || plan.phases.first().is_some_and(|phase| phase.seconds > 0)
}

/// Resolves pods in `--migrate-to`: EMQX accepts only nodes.
fn settings(context: &CommandContext, cluster: &ClusterView, asked: &Settings) -> Result<Settings, Problem> {
    let mut settings = asked.clone();
    for target in &mut settings.migrate_to {
        let Some(node) = cluster_view::node(cluster, context, target.as_str()) else {
            return Err(Problem::new(
                format!("--migrate-to: there is no EMQX node or EMQX pod {target}"),
                "",
            )
            .hint("kubectl emqx nodes lists the nodes and their pods"));
        };
        *target = node;
    }
    Ok(settings)
}

fn plan(
    context: &CommandContext,
    cluster: &ClusterView,
    nodes: &[NodeName],
    settings: &Settings,
    skip: &[String],
) -> Result<EvacuationPlan, Problem> {
    let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now());
    checks::plan(&cluster.world, &snapshot, nodes, settings, skip, EvacuatedBy::Evacuate)
}

fn labels(plan: &EvacuationPlan, nodes: &[NodeName]) -> String {
    let label = |node: &NodeName| {
        let planned = plan.nodes.iter().find(|it| it.node == *node);
        planned.and_then(|it| it.pod.as_ref()).map_or_else(|| node.to_string(), |pod| pod.as_str().to_owned())
    };
    nodes.iter().map(label).collect::<Vec<_>>().join(", ")
}

fn named(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(" ")
}

fn question(plan: &EvacuationPlan, nodes: &[NodeName]) -> String {
    let clients: u64 = plan.nodes.iter().map(|node| node.connections).sum();
    format!(
        "Evacuate {} of {}: disconnect {} clients over {}?",
        labels(plan, nodes),
        plan.instance,
        count(clients),
        duration(plan.total_seconds)
    )
}

pub(super) fn timing(settings: &Settings, health_check: bool) -> DrainTiming {
    DrainTiming {
        api: ApiVersion::V2,
        delay: 0,
        wait_health_check: if health_check { settings.wait_health_check_seconds } else { 0 },
        conn_evict_rate: Some(settings.conn_evict_rate),
        wait_takeover: settings.wait_takeover_seconds,
        sess_evict_rate: Some(settings.sess_evict_rate),
        startup: 0,
    }
}

/// Prints the names of what was started, and returns them.
fn made(
    context: &CommandContext,
    intent: &EvacuateStart,
    nodes: &[NodeName],
    plan: EvacuationPlan,
    note: &str,
) -> Vec<String> {
    let names: Vec<String> = nodes.iter().map(name).collect();
    if let Then::Leave(output) = &intent.then
        && !matches!(output, Output::Text | Output::Name | Output::Wide)
    {
        let instance = plan.instance.clone();
        let applied = Applied { name: names.join(" "), instance, backend: Some(Backend::Emqx), plan };
        context.printer.applied(&applied, *output, note);
        return names;
    }
    if !matches!(&intent.then, Then::Follow(follow) if follow.stream == Stream::Jsonl) {
        for name in &names {
            context.printer.started(name, note);
        }
    }
    names
}

/// `evacuate status`, `evacuate list`.
async fn show(context: &CommandContext, intent: &Show) -> Outcome {
    let found: Vec<(ClusterView, Vec<NodeName>)> = if intent.targets.is_empty() {
        let all = cluster_view::load_many(context, &intent.filter, RefreshScope::REBALANCE).await?;
        all.into_iter().map(|it| (it, Vec::new())).collect()
    } else {
        vec![find(context, &intent.targets, RefreshScope::REBALANCE).await?]
    };
    let mut items = Vec::new();
    for (cluster, nodes) in &found {
        let mut operations = OperationTracker::of(&cluster.id);
        operations.observe(&cluster.world, context.clock.now());
        require_answer(cluster, context)?;
        let runs = &operations.upgrades.evacuations.runs;
        let listed = |node: &NodeName| item(cluster, context, node, runs);
        if nodes.is_empty() {
            let entries = cluster.answers().evacuations().iter();
            items.extend(entries.map(|entry| listed(&entry.node)));
        } else {
            items.extend(nodes.iter().map(listed));
        }
    }
    let mut past = Vec::new();
    if intent.past {
        let clusters: Vec<ClusterView> = found.into_iter().map(|(cluster, _)| cluster).collect();
        let seen = |id: &InstanceId| clusters.iter().any(|cluster| cluster.id == *id);
        let all = history::past(context, &clusters, seen);
        let entries = all.iter().map(|past| &past.entry);
        let ended = entries.filter(|entry| entry.operation == Operation::Evacuation).filter_map(over);
        // EMQX lists an evacuated node until its evacuation is stopped.
        let listed = |node: &NodeName| items.iter().any(|item: &EvacuationItem| item.node == *node);
        past = ended.filter(|item| !listed(&item.node)).collect();
    }
    context.printer.evacuations(&items, &past, intent.targets.len() == 1, intent.output);
    Ok(Exit::Reached)
}

fn over(entry: &HistoryEntry) -> Option<EvacuationItem> {
    let OperationRef::Evacuation(node) = OperationRef::of(&entry.name) else { return None };
    Some(EvacuationItem {
        instance: entry.instance.clone(),
        node,
        pod: None,
        state: None,
        initial_connections: None,
        connections: None,
        initial_sessions: None,
        sessions: None,
        recipients: Vec::new(),
        percent: None,
        eta_seconds: None,
        verdict: entry.verdict,
        message: format!("{} (ended {})", entry.message, entry.ended.strftime("%Y-%m-%d %H:%M:%S UTC")),
    })
}

/// Only EMQX's own answer shows that no evacuation runs.
fn require_answer(cluster: &ClusterView, context: &CommandContext) -> Result<(), Problem> {
    if cluster.answers().load.is_some() {
        return Ok(());
    }
    let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now());
    let why = snapshot.sources.get(&crate::model::Source::Emqx).and_then(|age| age.why.clone());
    Err(Problem::new(
        format!("cannot determine which nodes of {} are evacuated", cluster.id),
        why.unwrap_or_else(|| "EMQX does not answer".to_owned()),
    )
    .hint(super::watch::REACH_EMQX))
}

fn item(
    cluster: &ClusterView,
    context: &CommandContext,
    node: &NodeName,
    runs: &[EvacuationRun],
) -> EvacuationItem {
    let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now());
    let pod = snapshot.node(node).and_then(|row| row.pod.clone());
    let instance = cluster.id.clone();
    let entries = cluster.answers().evacuations().iter();
    let entry = entries.into_iter().find(|entry| entry.node == *node);
    let counts =
        cluster.answers().nodes.as_ref().and_then(|seen| seen.value.iter().find(|it| it.name == *node));
    let run = runs.iter().rfind(|run| run.entry.node == *node);
    match (entry, run) {
        (Some(entry), run) => EvacuationItem {
            instance,
            node: node.clone(),
            pod,
            state: Some(entry.state.clone()),
            initial_connections: entry.initial_connections,
            connections: counts.and_then(|it| it.connections).or(entry.connections),
            initial_sessions: entry.initial_sessions,
            sessions: counts.and_then(|it| it.sessions).or(entry.sessions),
            recipients: entry.recipients.clone(),
            percent: run.map(|run| run.percent),
            eta_seconds: run.filter(|run| run.verdict.is_none()).and_then(|run| run.seconds),
            verdict: run
                .and_then(|run| run.verdict.as_ref())
                .map_or(Verdict::Running, |judgement| judgement.verdict),
            message: run.map_or_else(|| entry.state.clone(), EvacuationRun::message),
        },
        (None, _) => EvacuationItem {
            instance,
            node: node.clone(),
            pod,
            state: None,
            initial_connections: None,
            connections: counts.and_then(|it| it.connections),
            initial_sessions: None,
            sessions: counts.and_then(|it| it.sessions),
            recipients: Vec::new(),
            percent: None,
            eta_seconds: None,
            verdict: Verdict::Idle,
            message: "the node is not being evacuated".to_owned(),
        },
    }
}

/// The cluster, and those of these nodes that are being evacuated; the others are reported.
pub async fn resolve(
    context: &CommandContext,
    targets: &[String],
) -> Result<(ClusterView, Vec<NodeName>), Problem> {
    let (cluster, nodes) = if targets.is_empty() {
        running(context).await?
    } else {
        find(context, targets, RefreshScope::REBALANCE).await?
    };
    require_answer(&cluster, context)?;
    let evacuated = |node: &NodeName| cluster.answers().evacuations().iter().any(|it| it.node == *node);
    let (here, idle): (Vec<NodeName>, Vec<NodeName>) = nodes.into_iter().partition(evacuated);
    if here.is_empty()
        && let Some(down) = idle.iter().find(|node| !runs(&cluster, node))
    {
        return Err(unknown_while_down(down, "watch"));
    }
    for node in &idle {
        context.printer.talk(&format!("{node} is not being evacuated"));
    }
    if here.is_empty() && idle.is_empty() {
        context.printer.talk("no EMQX node is being evacuated");
    }
    Ok((cluster, here))
}

/// Whether EMQX's list of nodes has this node as running; `true` where there is no list.
fn runs(cluster: &ClusterView, node: &NodeName) -> bool {
    let nodes = cluster.answers().nodes.as_ref();
    nodes.is_none_or(|seen| seen.value.iter().any(|it| it.name == *node && it.running))
}

/// EMQX lists no evacuation of a node that is down, and restores it when the node starts again.
fn unknown_while_down(node: &NodeName, command: &str) -> Problem {
    Problem::new(
        format!("cannot determine whether {node} is being evacuated"),
        "it does not run, and EMQX restores its evacuation from disk when it starts again",
    )
    .hint(format!("try again when it runs: kubectl emqx evacuate {command} {node}"))
}

/// `evacuate watch`.
async fn watch(context: &CommandContext, intent: &EvacuateWatch) -> Outcome {
    let (cluster, here) = resolve(context, &intent.targets).await?;
    if here.is_empty() {
        return Ok(Exit::Reached);
    }
    let operations = OperationTracker::of(&cluster.id);
    follow(context, cluster, operations, &here, &intent.follow, true).await
}

/// The cluster in which evacuations run, and the nodes. If there are several clusters, the user has to name
/// the nodes.
async fn running(context: &CommandContext) -> Result<(ClusterView, Vec<NodeName>), Problem> {
    let all = cluster_view::load_many(context, &Filter::default(), RefreshScope::REBALANCE).await?;
    let nodes = |it: &ClusterView| -> Vec<NodeName> {
        let entries = it.answers().evacuations().iter();
        entries.map(|entry| entry.node.clone()).collect()
    };
    let busy = all.iter().filter(|it| !nodes(it).is_empty()).count();
    if busy > 1 {
        return Err(Problem::usage(
            format!("evacuations run in {busy} EMQX clusters"),
            "one cluster is followed at a time",
        )
        .hint("name the nodes: kubectl emqx evacuate list shows them"));
    }
    let place = all.iter().position(|it| !nodes(it).is_empty());
    let unanswered = all.iter().position(|it| it.answers().load.is_none());
    let chosen = place.or(unanswered).unwrap_or(0);
    match all.into_iter().nth(chosen) {
        Some(cluster) => {
            let nodes = nodes(&cluster);
            Ok((cluster, nodes))
        }
        None => Err(Problem::new(format!("there is no EMQX cluster in namespace {}", context.namespace), "")
            .hint("kubectl emqx status -A lists every one that you may see")),
    }
}

/// Compares evacuations with their limits; returns why they have to be stopped, if they have to.
fn limited(
    context: &CommandContext,
    tracker: &mut LimitTracker,
    cluster: &ClusterView,
    operations: &OperationTracker,
    open: &[NodeName],
    output: &mut FollowOutput,
) -> Option<String> {
    let runs = open.iter().filter_map(|node| operations.evacuation(&name(node)));
    let known = OperationFacts { start: None, eta_seconds: runs.filter_map(|run| run.seconds).max() };
    let outcomes = tracker.observe(cluster.answers(), known, context.clock.now());
    if !outcomes.is_empty() {
        output.pause();
    }
    let mut stop = None;
    for outcome in outcomes {
        let message = match outcome {
            Limit::Warning(text) => text,
            Limit::Stop(why) => {
                let message = format!("{why}: it is stopped");
                stop = Some(why);
                message
            }
        };
        let first = open.first().map(name).unwrap_or_default();
        output.event(context, &report(context, EventType::Notice, first, message));
    }
    stop
}

/// All live clients, where every node reports them.
fn clients(cluster: &ClusterView) -> Option<u64> {
    cluster.answers().nodes.as_ref().and_then(|nodes| Counts::of(&nodes.value).known_connections())
}

fn report(context: &CommandContext, kind: EventType, name: String, message: String) -> Event {
    Event::of(context.clock.now(), kind, Operation::Evacuation, name, message)
}

/// Follows these evacuations until each has a verdict; the exit is that of the worst one.
async fn follow(
    context: &CommandContext,
    mut cluster: ClusterView,
    mut operations: OperationTracker,
    nodes: &[NodeName],
    follow: &Follow,
    data: bool,
) -> Outcome {
    let names: Vec<String> = nodes.iter().map(name).collect();
    history::begins(context, &cluster.id, Operation::Evacuation);
    // An evacuation that was joined began with other counts.
    let start = if data { None } else { clients(&cluster) };
    let want = if follow.record.is_some() { RefreshScope::ALL } else { RefreshScope::REBALANCE };
    let mut output = FollowOutput::of(context, follow, data);
    let limit = follow.timeout.map(|limit| Instant::now() + limit);
    let mut facts = FactLoop::new(context, &cluster, want, POLL, limit);
    let mut tracker = limits::tracker(context, &follow.limits);
    let mut verdicts: std::collections::BTreeMap<String, Verdict> = std::collections::BTreeMap::new();
    let mut ended: Vec<HistoryEntry> = Vec::new();
    let left = |what: &str, verdicts: &std::collections::BTreeMap<String, Verdict>| {
        let open: Vec<&str> =
            nodes.iter().filter(|node| !verdicts.contains_key(&name(node))).map(NodeName::as_str).collect();
        Problem::new(what, format!("EMQX continues to evacuate {}", open.join(", "))).hint(format!(
            "kubectl emqx evacuate watch {0}, or kubectl emqx evacuate stop {0}",
            open.join(" ")
        ))
    };
    loop {
        let now = context.clock.now();
        for event in operations.observe(&cluster.world, now) {
            if !names.contains(&event.name) || verdicts.contains_key(&event.name) {
                continue;
            }
            if event.kind == EventType::Verdict
                && let Some(verdict) = event.verdict
            {
                verdicts.insert(event.name.clone(), verdict);
                if let Some(run) = operations.evacuation(&event.name) {
                    let message = || event.reason.clone().unwrap_or_else(|| event.message.clone());
                    let judged = run.verdict.clone().unwrap_or_else(|| Judgement::new(verdict, message()));
                    let counts = (start, clients(&cluster));
                    ended.push(past::of_evacuation(run, &cluster.id, judged, counts, now));
                }
            }
            output.event(context, &event);
        }
        if let Some(open) = names.iter().find(|name| !verdicts.contains_key(*name)).or(names.last()) {
            output.draw(context, &cluster, &operations, open, now);
        }
        output.notified(context, false).await;
        let open: Vec<NodeName> =
            nodes.iter().filter(|node| !verdicts.contains_key(&name(node))).cloned().collect();
        let limit = match &mut tracker {
            Some(tracker) if !open.is_empty() => {
                limited(context, tracker, &cluster, &operations, &open, &mut output)
            }
            _ => None,
        };
        if let Some(why) = limit {
            let emptied: Vec<NodeName> = nodes.iter().filter(|node| !open.contains(node)).cloned().collect();
            let stop = limits::evacuations(context, &mut cluster, &open, &emptied, &why);
            let stopped = facts.during_stop(stop).await.unwrap_or_else(|_| Err(limits::interrupted()));
            let what = open.iter().map(name).collect::<Vec<_>>().join(", ");
            match stopped {
                Ok(limits::LimitStop::Over) => tracker = None,
                Ok(limits::LimitStop::Done(stopping) | limits::LimitStop::RollsBack(stopping)) => {
                    let reason = format!("{why}; {}", stopping.sentence());
                    let first = open.first().map(name).unwrap_or_default();
                    let judgement = Judgement::new(Verdict::Stopped, reason);
                    let event = report(context, EventType::Verdict, first, judgement.sentence());
                    output.event(context, &event.judged(judgement.clone()));
                    output.finish();
                    output.notified(context, true).await;
                    let (counts, now) = ((start, clients(&cluster)), context.clock.now());
                    for run in open.iter().filter_map(|node| operations.evacuation(&name(node))) {
                        let entry = past::of_evacuation(run, &cluster.id, judgement.clone(), counts, now);
                        Box::pin(history::record(context, entry, false)).await;
                    }
                    let hint = format!("kubectl emqx status {}", cluster.id.name);
                    return Err(limits::reached(&what, &why, hint));
                }
                Err(problem) => {
                    let problem = limits::not_stopped(&what, &why, problem);
                    let first = open.first().map(name).unwrap_or_default();
                    output.event(context, &report(context, EventType::Notice, first, problem.to_string()));
                    output.finish();
                    output.notified(context, true).await;
                    return Err(problem);
                }
            }
        }
        // The stream may use the only connection to EMQX; writing the record needs none.
        for entry in ended.drain(..) {
            Box::pin(history::record(context, entry, false)).await;
        }
        if verdicts.len() == names.len() {
            output.finish();
            output.notified(context, true).await;
            let worst = verdicts.values().copied().max_by_key(|verdict| verdict.exit().code());
            if let Some(tap) = &context.tap {
                tap.ends(context.clock.now());
            }
            return Ok(worst.map_or(Exit::Reached, Verdict::exit));
        }
        if context.printer.closed() {
            return Ok(Exit::Reached);
        }
        let cut = match facts.next(context, &mut cluster).await {
            Ok(notices) => {
                for notice in &notices {
                    output.notice(context, notice);
                }
                continue;
            }
            Err(cut) => cut,
        };
        output.finish();
        output.notified(context, true).await;
        return Err(match cut {
            WaitEnd::Interrupted => left("interrupted", &verdicts).interrupted(),
            WaitEnd::TimedOut => left("timed out", &verdicts).exit(Exit::TimedOut),
        });
    }
}
