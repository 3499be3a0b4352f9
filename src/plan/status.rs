//! One cluster at one moment: the picture, what runs, and one verdict with its reason.

use jiff::Timestamp;

use super::follow::{Follower, Run};
use super::picture::{NodeRow, Picture, SourceState, picture};
use super::preflight::running_name;
use super::results::{OperatorStatus, Sources, Status};
use super::rules::mean;
use super::tape::{Looks, Operations};
use super::upgrade::words;
use super::words::{contradiction, flight, missing, short};
use crate::model::human::{duration, plural};
use crate::model::{InstanceId, Operation, Phase, PodName, Source, Verdict, World};

/// With fewer clients a node on average, an empty one tells nothing.
const SPARSE: f64 = 10.0;

/// Above the mean by this factor, a node is what a person calls fuller than the others.
const UNEVEN: f64 = 1.25;

/// What is going on, in the words of a [`Status`].
struct Doing {
    operation: Operation,
    phase: Option<String>,
    percent: Option<u8>,
    eta_seconds: Option<u64>,
    verdict: Verdict,
    reason: String,
}

impl Doing {
    fn new(operation: Operation, verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { operation, phase: None, percent: None, eta_seconds: None, verdict, reason: reason.into() }
    }
}

/// Looks at one cluster.
pub fn status(world: &World, id: &InstanceId, now: Timestamp) -> Status {
    let mut operations = Operations::of(id);
    operations.observe(world, now);
    status_with(world, id, &operations, now)
}

/// The same by followers that have looked for a while, and so know more of the start.
pub fn status_with(world: &World, id: &InstanceId, operations: &Operations, now: Timestamp) -> Status {
    let picture = picture(world, id, now);
    let doing = doing(world, &picture, operations);
    let source = |source| picture.sources.get(&source).cloned();
    let absent = || super::picture::SourceAge { state: SourceState::Absent, age_seconds: None, why: None };
    Status {
        instance: id.clone(),
        api: picture.api,
        operator: OperatorStatus { line: picture.operator, silent_seconds: picture.operator_silent },
        edition: picture.edition.clone(),
        versions: picture.versions.clone(),
        totals: picture.totals.clone(),
        operation: doing.operation,
        phase: doing.phase,
        percent: doing.percent,
        eta_seconds: doing.eta_seconds,
        verdict: doing.verdict,
        message: doing.reason,
        sources: Sources {
            kubernetes: source(Source::Kubernetes).unwrap_or_else(absent),
            pods: source(Source::Pods).unwrap_or_else(absent),
            endpoints: source(Source::Endpoints).unwrap_or_else(absent),
            emqx: source(Source::Emqx).unwrap_or_else(absent),
        },
        nodes: picture.nodes,
    }
}

fn doing(world: &World, picture: &Picture, operations: &Operations) -> Doing {
    let follower = &operations.rebalances;
    if let Some(run) = follower.running().filter(|run| run.entry.is_some()) {
        return rebalancing(run);
    }
    let instance = world.instance(&picture.instance);
    let evacuations = match (&world.load, instance) {
        (Some(load), _) => load.value.evacuations.clone(),
        (None, Some(instance)) => instance.evacuations.clone(),
        (None, None) => Vec::new(),
    };
    if let Some(run) = operations.upgrades.running(&picture.instance) {
        return Doing {
            phase: Some(run.step.phase().to_owned()),
            percent: Some(run.percent),
            eta_seconds: run.seconds,
            ..Doing::new(Operation::Upgrade, run.standing(), words::standing(run))
        };
    }
    if let Some(evacuation) = evacuations.first() {
        let more = match evacuations.len() {
            1 => String::new(),
            more => format!(" and {} more", more - 1),
        };
        let pod = picture.node(&evacuation.node).and_then(|row| row.pod.as_ref());
        let label = pod.map_or_else(|| short(&evacuation.node), PodName::as_str);
        let mut doing = Doing::new(
            Operation::Evacuation,
            Verdict::Running,
            format!("{label}{more} refuses clients: evacuation, {}", evacuation.state),
        );
        doing.phase = Some(evacuation.stage.phase().to_owned());
        return doing;
    }
    if world.load.is_none() {
        return by_others(world, picture, follower);
    }
    Doing::new(Operation::None, Verdict::Idle, spread(picture))
}

fn rebalancing(run: &Run) -> Doing {
    let verdict = run.standing();
    let stage = run.entry.as_ref().map(|entry| entry.state.clone()).unwrap_or_default();
    let name = &run.name;
    let mut reason = match verdict {
        Verdict::StillRunning => {
            format!("{name}: {}, EMQX goes on ({stage})", contradiction(run.object.as_ref()))
        }
        _ => format!("{name}: {stage}"),
    };
    // Where the start is known (`apply` writes it down), those who did not come back are the first thing to know.
    if super::judge::lost(run.start.as_ref(), &run.counts).is_some_and(|lost| lost > flight(run)) {
        reason.extend(missing(run).map(|missing| format!(", {missing}")));
    }
    Doing {
        operation: Operation::Rebalance,
        phase: run.entry.as_ref().map(|entry| entry.stage.phase().to_owned()),
        percent: run.left.map(|_| run.percent),
        eta_seconds: run.left.map(|left| left.seconds),
        verdict,
        reason,
    }
}

/// EMQX cannot be asked: what the object and the endpoints say, if that decides it.
fn by_others(world: &World, picture: &Picture, follower: &Follower) -> Doing {
    let why = picture
        .sources
        .get(&Source::Emqx)
        .and_then(|age| age.why.clone())
        .unwrap_or_else(|| "EMQX was not asked".to_owned());
    if let Some(run) = follower.running()
        && run.object.as_ref().is_some_and(|object| object.phase == Phase::Processing)
    {
        return Doing::new(
            Operation::Rebalance,
            Verdict::Running,
            format!("{}: the operator says Processing; EMQX was not asked", run.name),
        );
    }
    let ready = world.instance(&picture.instance).is_some_and(crate::model::Instance::ready);
    let all_serve = picture.participants().iter().all(|row| row.serving == Some(true));
    if ready && all_serve && !picture.nodes.is_empty() {
        // A donor is taken out of the Service within the operator's next loop: where all serve, none is one.
        return Doing::new(Operation::None, Verdict::Idle, spread(picture));
    }
    // The same donors still out of it, and an object that only says Failed: `plan` refuses for it, so it has to be seen.
    if let Some(instance) = world.instance(&picture.instance)
        && let Some(name) = running_name(world, instance, picture)
    {
        let reason =
            format!("{name} says Failed, its donors are still out of the Service: EMQX may go on; {why}");
        return Doing::new(Operation::Rebalance, Verdict::Unknown, reason);
    }
    Doing::new(Operation::None, Verdict::Unknown, why)
}

/// How clients are spread, in one phrase.
fn spread(picture: &Picture) -> String {
    let rows: Vec<&NodeRow> = picture.participants();
    let known: Vec<(&NodeRow, u64)> = rows.iter().filter_map(|row| Some((*row, row.connections?))).collect();
    if known.len() < rows.len() || known.is_empty() {
        return match rows.len() {
            0 => "no EMQX node is running".to_owned(),
            _ => "live connections are not known".to_owned(),
        };
    }
    let average = mean(known.iter().map(|(_, count)| *count));
    let all: u64 = known.iter().map(|(_, count)| *count).sum();
    match all {
        0 => return "no clients".to_owned(),
        // Too few to be even or uneven.
        few if few < known.len() as u64 => {
            return format!("{} on {}", plural(few, "client"), plural(known.len() as u64, "node"));
        }
        _ => {}
    }
    let most = known.iter().map(|(_, count)| *count).max().unwrap_or(0) as f64;
    if known.len() == 1 {
        return "one node".to_owned();
    }
    // Where there are only a few clients, some nodes have none.
    let empty: Vec<&NodeRow> = known.iter().filter(|(_, count)| *count == 0).map(|(row, _)| *row).collect();
    if most <= average * UNEVEN && (empty.is_empty() || average < SPARSE) {
        return "even".to_owned();
    }
    let full = known.len() - empty.len();
    match empty.as_slice() {
        [] => format!("uneven: the fullest node holds {:.1} times the average", most / average),
        [one] => format!(
            "uneven: {} {} everything, {} is empty",
            plural(full as u64, "node"),
            if full == 1 { "holds" } else { "hold" },
            one.pod.as_ref().map_or_else(|| short(&one.node), PodName::as_str)
        ),
        many => format!(
            "uneven: {} {} everything, {} are empty",
            plural(full as u64, "node"),
            if full == 1 { "holds" } else { "hold" },
            many.len()
        ),
    }
}

/// Seconds after which the operator's last word with a date is called old: three of its loops of 30 s.
pub const OLD_SECONDS: u64 = 90;

/// How old the operator's word may be, where that matters: something is under way, and the counts are the operator's.
///
/// Silence alone is not staleness: nothing is written while nothing changed, counts are written without a date, and on
/// operator 3.x a rebalance is none of its business (`verified.md`, "Age of the CR"). Where EMQX tells the counts
/// itself, the age of the operator's is nobody's concern.
pub fn operator_silence(status: &Status) -> Option<String> {
    let silent = status.operator.silent_seconds.filter(|silent| *silent > OLD_SECONDS)?;
    let busy = status.operation != Operation::None;
    (busy && copied(status)).then(|| old_word(silent))
}

/// Whether counts are the operator's copy of what EMQX told.
pub fn copied(status: &Status) -> bool {
    status.nodes.iter().any(|row| row.source == Source::Kubernetes)
}

/// What is told of such counts.
pub fn old_word(silent: u64) -> String {
    format!(
        "the counts are the operator's, whose last word with a date is {} old: they may be as old",
        duration(silent)
    )
}

#[cfg(test)]
mod tests {
    use super::super::mk;
    use super::*;
    use crate::model::{ApiVersion, Link, Load, News, Object};

    fn world(connections: &[u64], load: Option<Load>) -> World {
        let mut world =
            World::of([mk::fact(0, News::Is(Object::Instance(Box::new(mk::instance(ApiVersion::V2beta1)))))]);
        world.apply(mk::fact(0, News::Nodes(mk::nodes(connections))));
        if let Some(load) = load {
            world.apply(mk::fact(0, News::Load(load)));
        }
        world
    }

    fn of(world: &World) -> Status {
        status(world, &mk::id(ApiVersion::V2beta1), mk::at(5))
    }

    #[test]
    fn an_uneven_idle_cluster_is_called_so() {
        let status = of(&world(&[3333, 3333, 3334, 0], Some(Load::default())));
        assert_eq!((status.verdict, status.operation), (Verdict::Idle, Operation::None));
        assert_eq!(status.message, "uneven: 3 nodes hold everything, emqx-core-3 is empty");
        assert_eq!(status.totals.connections, Some(10_000));
        assert_eq!(status.nodes[0].share, Some(0.3333));
    }

    #[test]
    fn one_empty_node_among_many_full_ones_is_not_called_even() {
        let reason = |connections: &[u64]| of(&world(connections, Some(Load::default()))).message;
        let mut many = [1000; 12];
        many[11] = 0;
        assert_eq!(reason(&many), "uneven: 11 nodes hold everything, emqx-core-11 is empty");
        assert_eq!(reason(&[3, 2, 2, 2, 2, 0]), "uneven: 5 nodes hold everything, emqx-core-5 is empty");
        assert_eq!(reason(&[2, 2, 2, 2, 2, 2, 2, 2, 2, 0]), "even");
        assert_eq!(reason(&[100, 105, 95]), "even");
    }

    #[test]
    fn a_handful_of_clients_is_counted_and_neither_called_none_nor_uneven() {
        let reason = |connections: &[u64]| of(&world(connections, Some(Load::default()))).message;
        assert_eq!(reason(&[3, 0, 0, 0]), "3 clients on 4 nodes");
        assert_eq!(reason(&[1, 0]), "1 client on 2 nodes");
        assert_eq!(reason(&[0, 0]), "no clients");
    }

    #[test]
    fn a_running_one_is_named_with_its_phase_and_its_end() {
        let mut world = world(&[2953, 2953, 2954, 1140], Some(mk::load("evicting_conns")));
        world.apply(mk::rebalance("golden", Phase::Failed, |it| it.processed = true));
        let status = of(&world);
        assert_eq!((status.operation, status.verdict), (Operation::Rebalance, Verdict::StillRunning));
        assert_eq!(status.phase.as_deref(), Some("evictConnections"));
        assert!(status.eta_seconds.is_some_and(|eta| eta > 40), "{status:?}");
        assert!(status.message.contains("golden: the operator says Failed"), "{}", status.message);
    }

    #[test]
    fn the_operators_silence_is_told_where_its_counts_are_shown_and_something_runs() {
        let told = |emqx: bool, version: ApiVersion| {
            let mut instance = mk::instance(version);
            instance.nodes = mk::nodes(&[2953, 2953, 2954, 1140]);
            instance.conditions[0].since = Some(mk::at(0));
            let mut world = World::of([mk::fact(0, News::Is(Object::Instance(Box::new(instance))))]);
            if emqx {
                world.apply(mk::fact(499, News::Nodes(mk::nodes(&[2953, 2953, 2954, 1140]))));
                world.apply(mk::fact(499, News::Load(mk::load("evicting_conns"))));
            } else {
                world.apply(mk::rebalance("golden", Phase::Processing, |it| it.processed = true));
            }
            let status = status(&world, &mk::id(version), mk::at(500));
            assert_eq!((status.operation, status.operator.silent_seconds), (Operation::Rebalance, Some(500)));
            operator_silence(&status)
        };
        for version in [ApiVersion::V1beta4, ApiVersion::V2beta1, ApiVersion::V2, ApiVersion::V3beta1] {
            assert_eq!(told(true, version), None, "{version:?}: EMQX tells the counts itself");
        }
        let silence = told(false, ApiVersion::V2beta1).expect("the operator's counts");
        assert!(silence.contains("last word with a date is 8m20s old"), "{silence}");
    }

    #[test]
    fn without_emqx_it_is_unknown_and_says_why() {
        let mut world =
            World::of([mk::fact(0, News::Is(Object::Instance(Box::new(mk::instance(ApiVersion::V2beta1)))))]);
        world.apply(mk::fact(
            0,
            News::Link(Source::Emqx, "secrets", Link::Forbidden("cannot get the key".into())),
        ));
        let status = of(&world);
        assert_eq!(status.verdict, Verdict::Unknown);
        assert_eq!(status.message, "cannot get the key");
        assert_eq!(status.totals.connections, None);
        let json = serde_json::to_value(&status).expect("json");
        assert_eq!(json["totals"]["connections"], serde_json::Value::Null);
        assert_eq!(json["sources"]["emqx"]["state"], "forbidden");
    }
}
