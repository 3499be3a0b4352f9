//! The state of the run of a drain or a scale.

use super::super::cluster_view::ClusterView;
use super::super::follow_output::Filtering;
use super::super::notify::Notifier;
use super::super::{CommandContext, limits};
use super::task::{Progress, RemovalSettings, Task};
use crate::error::{Cause, Problem};
use crate::model::drain::DrainedPod;
use crate::model::{EventType, Judgement};
use crate::plan::eviction_alarm::EvictionWatch;
use crate::plan::limits::LimitTracker;
use crate::plan::rebalance::progress::Counts;
use crate::plan::removal::PodProgress;
use crate::plan::tracker::OperationTracker;
use crate::timing::STEP_TIMEOUT;
use jiff::Timestamp;
use std::collections::BTreeMap;
use tokio::time::Instant;

pub(super) struct Runner<'a, T> {
    pub(super) context: &'a CommandContext,
    pub(super) task: &'a mut T,
    pub(super) manner: RemovalSettings,
    pub(super) name: String,
    pub(super) state: Progress,
    pub(super) operations: OperationTracker,
    pub(super) filtering: Filtering,
    pub(super) leased: Timestamp,
    pub(super) standings: Vec<PodProgress>,
    /// When each pod's turn began, and when it ended.
    pub(super) turns: Vec<(Option<Timestamp>, Option<Timestamp>)>,
    pub(super) done: BTreeMap<String, Instant>,
    pub(super) failing: Option<Instant>,
    /// Whether the stored state is not the present one: it could not be written.
    pub(super) unstored: bool,
    /// The end that could not be stored yet.
    pub(super) unstored_end: Option<Judgement>,
    pub(super) refused: BTreeMap<String, (Timestamp, u64)>,
    pub(super) waits: Option<(String, Timestamp)>,
    /// When gates were closed first.
    pub(super) closing: Option<Timestamp>,
    pub(super) printed: Option<String>,
    pub(super) lost: Option<String>,
    pub(super) complete: Option<Timestamp>,
    pub(super) percent: u8,
    pub(super) limits: Option<LimitTracker>,
    pub(super) notifier: Option<Notifier>,
    /// Compares the clients with those at the start.
    pub(super) watch: EvictionWatch,
    pub(super) began: Timestamp,
    /// Since when nodes are evacuated, and the seconds of the evacuations before.
    pub(super) evacuating: (Option<Timestamp>, u64),
    /// How it ended.
    pub(super) judged: Option<Judgement>,
}

impl<'a, T: Task> Runner<'a, T> {
    pub(super) fn new(
        context: &'a CommandContext,
        task: &'a mut T,
        pods: Vec<DrainedPod>,
        cluster: &ClusterView,
    ) -> Self {
        let now = context.clock.now();
        let counts =
            cluster.answers().nodes.as_ref().and_then(|nodes| Counts::of(&nodes.value).all_connections());
        let manner = task.manner();
        Self {
            name: task.name(),
            operations: OperationTracker::of(&cluster.id),
            filtering: Filtering::default(),
            leased: now,
            began: now,
            evacuating: (None, 0),
            judged: None,
            standings: vec![PodProgress::Planned; pods.len()],
            turns: vec![(None, None); pods.len()],
            state: Progress { pods, connections: manner.connections.or(counts) },
            done: BTreeMap::new(),
            failing: None,
            unstored: false,
            unstored_end: None,
            refused: BTreeMap::new(),
            waits: None,
            closing: None,
            printed: None,
            lost: None,
            complete: None,
            percent: 0,
            limits: limits::tracker(context, &manner.limits),
            notifier: manner.notify.clone().map(Notifier::new),
            watch: EvictionWatch::default(),
            context,
            task,
            manner,
        }
    }

    /// A failed action is repeated for a while, unless a permission is missing.
    pub(super) fn failed(&mut self, problem: Problem) -> Result<(), Problem> {
        let since = *self.failing.get_or_insert_with(Instant::now);
        if matches!(problem.cause, Cause::Forbidden | Cause::Refused) || since.elapsed() > STEP_TIMEOUT {
            let rest = self.task.unfinished(&problem.what, &problem.why);
            return Err(Problem { hint: problem.hint.or(rest.hint), ..rest }
                .exit(problem.exit)
                .cause(problem.cause));
        }
        let text = format!("{problem}; it is tried again");
        if self.printed.as_ref() != Some(&text) {
            self.context.notice(&text);
            self.printed = Some(text);
        }
        Ok(())
    }

    pub(super) fn notice(&mut self, cluster: &ClusterView, text: String) {
        if self.printed.as_ref() != Some(&text) {
            self.announce(cluster, EventType::Notice, text.clone());
            self.printed = Some(text);
        }
    }
}
