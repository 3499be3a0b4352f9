//! Every rebalance of an instance at one moment: those that EMQX lists, those that wait for an operator, and past ones.

use crate::model::human::seconds_between;
use crate::model::{InstanceId, Judgement, Phase, Rebalance, Seen, Verdict};
use crate::plan::alarm::Alarm;
use crate::plan::rebalance::progress::{Counts, lost_clients};
use crate::plan::rebalance::run::RebalanceRun;

use super::super::tracker::OperationTracker;
use super::current::Current;
use crate::plan::rebalance::messages::{assumption, contradiction, missing};
use crate::plan::rebalance::{ownership, preflight, verdict, waiting};

/// One rebalance, judged.
#[derive(Clone, Debug, PartialEq)]
pub struct RebalanceStatus {
    /// The object's name, or `coordinator/NODE`.
    pub name: String,
    /// The object in its last version; `None` for one that EMQX runs without an object.
    pub object: Option<Rebalance>,
    /// Whether it runs, may run, or waits for an operator.
    pub open: bool,
    /// Whether EMQX lists it, or listed it when it was last asked.
    pub listed: bool,
    /// EMQX's stage.
    pub phase: Option<String>,
    /// Work done, of all work.
    pub percent: Option<u8>,
    /// Seconds to its end.
    pub eta_seconds: Option<u64>,
    /// The present verdict, or the verdict at its end.
    pub verdict: Verdict,
    /// The same as a sentence, without the name.
    pub message: String,
    /// Seconds that it took, or has taken so far.
    pub duration_seconds: Option<u64>,
    /// Why it should be stopped.
    pub alarm: Option<Alarm>,
}

impl RebalanceStatus {
    fn new(name: &str, object: Option<&Rebalance>, verdict: Verdict, message: String) -> Self {
        Self {
            name: name.to_owned(),
            object: object.cloned(),
            open: false,
            listed: false,
            phase: None,
            percent: None,
            eta_seconds: None,
            verdict,
            message,
            duration_seconds: None,
            alarm: None,
        }
    }

    /// A rebalance that runs, may run, or waits for an operator.
    fn open(self) -> Self {
        Self { open: true, ..self }
    }
}

/// The rebalances of an instance: first those that EMQX lists, then objects, oldest first.
pub(super) fn all(
    current: &Current<'_>,
    id: &InstanceId,
    operations: &OperationTracker,
) -> Vec<RebalanceStatus> {
    let of = |run: &&RebalanceRun| run.object.as_ref().is_none_or(|object| object.is_of(id));
    // What another EMQX cluster runs does not belong to this instance.
    let runs: Vec<&RebalanceRun> = match current.snapshot.wrong_emqx {
        None => operations.rebalances.runs.iter().filter(of).collect(),
        Some(_) => Vec::new(),
    };
    let entered = |run: &&&RebalanceRun| run.is_open() && run.entry.is_some();
    let mut found: Vec<RebalanceStatus> =
        runs.iter().filter(entered).map(|run| running(run, current)).collect();
    let listed: Vec<&RebalanceRun> = runs.iter().filter(entered).copied().collect();
    for seen in current.world.rebalances_of(id) {
        let object = &seen.value;
        let is = |run: &RebalanceRun| run.object.as_ref().is_some_and(|it| it.uid == object.uid);
        if listed.iter().any(|run| is(run)) {
            continue;
        }
        let run = runs.iter().copied().find(|run| is(run));
        found.push(without_entry(seen, run, current));
    }
    found
}

/// A rebalance that EMQX lists, or listed when it was last asked.
fn running(run: &RebalanceRun, current: &Current<'_>) -> RebalanceStatus {
    let state = run.entry.as_ref().map(|entry| entry.state.clone()).unwrap_or_default();
    let mut is = RebalanceStatus::new(&run.name, run.object.as_ref(), run.standing(), String::new()).open();
    is.listed = true;
    is.duration_seconds = run
        .object
        .as_ref()
        .and_then(|object| object.started)
        .map(|started| seconds_between(started, current.now));
    if run.ended.is_some() {
        is.verdict = Verdict::Running;
        is.percent = run.work_percent();
        "EMQX does not list it any more; its end is being verified".clone_into(&mut is.message);
        return is;
    }
    if let Some(unknown) = current.unknown() {
        let processing = run.object.as_ref().is_some_and(|object| object.phase == Phase::Processing);
        is.verdict = if processing { Verdict::Running } else { Verdict::Unknown };
        is.message = format!("{unknown}; before that it was in {state}");
        return is;
    }
    is.phase = run.entry.as_ref().map(|entry| entry.stage.phase().to_owned());
    is.percent = run.left.and_then(|_| run.work_percent());
    is.eta_seconds = run.left.map(|left| left.seconds);
    is.message = match (is.verdict, &run.verdict) {
        (Verdict::StillRunning, _) => {
            format!("{}, EMQX continues ({state})", contradiction(run.object.as_ref()))
        }
        (_, Some(judgement)) => {
            is.eta_seconds = None;
            judgement.message.clone()
        }
        _ => state,
    };
    is.message.extend(assumption(run).map(|it| format!(", {it}")));
    // Where the start is known (`apply` records it), missing clients are reported first.
    if lost_clients(run.start.as_ref(), &run.counts).is_some_and(|lost| lost > run.reconnecting()) {
        is.message.extend(missing(run).map(|missing| format!(", {}", missing.text)));
    }
    if let Some(alarm) = run.alarm() {
        is.alarm = Some(alarm.clone());
        is.message = format!("{} ({})", alarm.sentence(), is.message);
    }
    is
}

/// A Rebalance object that EMQX does not list, or for which EMQX's list is unknown.
fn without_entry(
    seen: &Seen<Rebalance>,
    run: Option<&RebalanceRun>,
    current: &Current<'_>,
) -> RebalanceStatus {
    let object = &seen.value;
    let of = |verdict, message| {
        let is = RebalanceStatus::new(&object.name, Some(object), verdict, message);
        let since = object.started.or(object.created);
        let duration_seconds = since.map(|since| seconds_between(since, current.now));
        RebalanceStatus { duration_seconds, ..is }
    };
    if let Some(seconds) = waiting::seconds(object, current.now) {
        let message = waiting::explained(object, seconds, current.world, current.now);
        return of(waiting::verdict(seconds), message).open();
    }
    let ended = run.and_then(|run| Some((run, run.verdict.clone()?)));
    match (&object.phase, current.load) {
        _ if ended.is_some() || object.recorded.is_some() => {}
        (Phase::Processing, None) => {
            let why = match (&current.snapshot.wrong_emqx, current.broker().load.is_some()) {
                (None, false) => "EMQX was not asked".to_owned(),
                _ => current.unknown().unwrap_or_default(),
            };
            let is = of(Verdict::Running, format!("the operator reports Processing; {why}"));
            return RebalanceStatus { open: object.deleting.is_none(), ..is };
        }
        (Phase::Processing, Some(_))
            if current.broker().load.as_ref().is_some_and(|load| ownership::starting(seen, load.at)) =>
        {
            let message = "the operator reports Processing; EMQX has not been asked since it began";
            return of(Verdict::Running, message.to_owned()).open();
        }
        (Phase::Processing, Some(_)) => {
            let is = of(Verdict::Unknown, ownership::not_run_message().to_owned());
            let open = object.deleting.is_none() && run.is_some_and(|run| run.ended.is_none());
            return RebalanceStatus { open, ..is };
        }
        (Phase::Failed, None) if current.broker().load.is_none() => {
            // EMQX cannot be asked, and donors of an object that failed are still out of the Service.
            let name = current
                .instance
                .and_then(|instance| preflight::running_name(current.world, instance, current.snapshot));
            if name.as_deref() == Some(object.name.as_str()) {
                let why = current.unknown().unwrap_or_default();
                let message = format!(
                    "the object reports Failed, its donors are still out of the Service: EMQX may continue; {why}"
                );
                return of(Verdict::Unknown, message).open();
            }
        }
        _ => {}
    }
    if let Some((run, Judgement { verdict, message })) = ended {
        let so_far = || run.began_at().map(|began| seconds_between(began, current.now));
        let duration_seconds = if run.ended.is_some() { run.duration_seconds() } else { so_far() };
        return RebalanceStatus { duration_seconds, ..of(verdict, message) };
    }
    let counts = current.broker().nodes.as_ref().map(|nodes| Counts::of(&nodes.value));
    let counts = counts.filter(|_| current.load.is_some());
    let afterwards = verdict::LaterEvents::of(current.world, object);
    let (Judgement { verdict, message }, duration_seconds) =
        verdict::past(object, counts.as_ref(), current.now, &afterwards);
    RebalanceStatus { duration_seconds, ..of(verdict, message) }
}
