//! A stop through EMQX: the coordinator is asked, and the end is verified.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::super::Outcome;
use super::super::cluster_view::{self, ClusterView};
use super::{Standing, Stopping};
use crate::error::{Cause, Exit, Problem};
use crate::model::{
    Backend, BackendRequest, Judgement, Link, NodeName, OperationRef, Phase, PodName, Rebalance,
    RunningRebalance, Verdict,
};
use crate::plan::rebalance::tracker::RebalanceTracker;
use crate::plan::rebalance::{ownership, waiting};
use crate::plan::snapshot::snapshot;
use crate::ports::{Deletion, RefreshScope};
use crate::timing::{ERROR_RETRY, LATE_START, SERVES_WITHIN, STOP_UNLISTED_SECONDS, VERIFY_PAUSE};

/// The most donors that are asked one by one.
const MAX_QUERIES: usize = 8;

impl Stopping<'_> {
    pub(super) async fn with_emqx(&mut self) -> Outcome {
        let unlisted = Duration::from_secs_f64(STOP_UNLISTED_SECONDS / self.context.clock.speed().max(0.1));
        let mut since: Option<Instant> = None;
        loop {
            match self.standing() {
                Standing::Runs(entry) => return self.through_emqx(entry).await,
                Standing::Waits(object, seconds) => {
                    if let Some(exit) = self.before_it_starts(object, seconds).await? {
                        return Ok(exit);
                    }
                }
                Standing::Over => return self.clean_up().await,
                Standing::Unlisted(object) => {
                    let since = *since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= unlisted
                        && let Some(exit) = self.unlisted(object).await?
                    {
                        return Ok(exit);
                    }
                }
            }
            if Instant::now() >= self.until {
                let gone = self.absence();
                return Err(self.not_stopped(&format!(
                    "the operator has begun, and EMQX does not list it so far{gone}"
                )));
            }
            sleep(VERIFY_PAUSE).await;
            self.refresh().await?;
        }
    }

    /// No operator has picked it up: deletes the object in the version that was read, and asks EMQX whether
    /// the object started anything. `None` when an operator was faster.
    pub(super) async fn before_it_starts(
        &mut self,
        object: Rebalance,
        seconds: u64,
    ) -> Result<Option<Exit>, Problem> {
        let label = self.label();
        let before = self.coordinators();
        match self.context.kubernetes.delete_unchanged(&object).await? {
            Deletion::Changed => return Ok(None),
            Deletion::Gone => self.proof.push("the object was gone already".to_owned()),
            Deletion::Accepted => {}
        }
        self.leave(&object).await?;
        sleep(LATE_START).await;
        cluster_view::refresh(self.context, &mut self.cluster).await?;
        if self.emqx_responds() {
            let load = self.cluster.answers().load.as_ref();
            let entries = load.map(|load| load.value.rebalances.clone()).unwrap_or_default();
            // The operator read the object just before it was deleted, and started it.
            if let Some(entry) = entries.into_iter().find(|entry| !before.contains(&entry.coordinator)) {
                return self.through_emqx(entry).await.map(Some);
            }
            self.proof.push("EMQX started nothing".to_owned());
        } else {
            let why = self.refuses_changes().unwrap_or_else(|| "EMQX cannot be asked".to_owned());
            self.proof.push(format!("not verified: that EMQX started nothing, because {why}"));
        }
        let message = format!(
            "deleted before an operator started it: it was {}{}",
            waiting::message(seconds),
            self.absence()
        );
        self.report_verdict(&label, Backend::Rebalance, Judgement::new(Verdict::Stopped, message));
        Ok(Some(Exit::Reached))
    }

    /// The coordinators of the rebalance.
    pub(super) fn coordinators(&self) -> Vec<NodeName> {
        let load = self.cluster.answers().load.as_ref();
        let entries = load.map(|load| load.value.rebalances.as_slice()).unwrap_or_default();
        entries.iter().map(|entry| entry.coordinator.clone()).collect()
    }

    /// The object reports Processing, and EMQX has listed no entry for a while. `None` while the operator has
    /// not written a status.
    pub(super) async fn unlisted(&mut self, object: Rebalance) -> Result<Option<Exit>, Problem> {
        if object.phase != Phase::Processing {
            return Ok(None);
        }
        let conducts = self.coordinators();
        if let Some(state) = object.states.iter().find(|state| conducts.contains(&state.coordinator)) {
            let node = &state.coordinator;
            return Err(Problem::refused(
                format!("will not delete {}", self.name),
                format!(
                    "EMQX does not run it, but {node} conducts another rebalance, which the operator would stop when the \
                     object is deleted"
                ),
            )
            .hint(format!("kubectl emqx rebalance stop coordinator/{node} stops that one")));
        }
        let label = self.label();
        self.proof.push("EMQX does not run it".to_owned());
        self.mark().await;
        self.delete().await?;
        let message = format!("EMQX does not run it; the object reported Processing{}", self.absence());
        self.report_verdict(&label, Backend::Rebalance, Judgement::new(Verdict::Stopped, message));
        Ok(Some(Exit::Reached))
    }

    /// The rebalance is over in EMQX: only an object may remain that an earlier stop did not delete.
    pub(super) async fn clean_up(&mut self) -> Outcome {
        let left = self.object().filter(|object| ownership::left_by_a_stop(object)).cloned();
        let Some(object) = left else {
            return Ok(self.nothing_runs());
        };
        if self.intent.backend == BackendRequest::Emqx {
            return Ok(self.nothing_runs());
        }
        let label = self.label();
        self.proof.push("EMQX does not run it".to_owned());
        self.delete().await?;
        let message = match &object.stopped_by {
            Some(mark) => format!("stopped by {} before; its object was still there", mark.by),
            None => "EMQX does not run it; its deletion had not come to its end".to_owned(),
        };
        self.report_verdict(&label, Backend::Rebalance, Judgement::new(Verdict::Stopped, message));
        Ok(Exit::Reached)
    }

    pub(super) async fn through_emqx(&mut self, entry: RunningRebalance) -> Outcome {
        let mut follower = RebalanceTracker::new(self.cluster.id.clone());
        follower.observe(&self.cluster.world, self.context.clock.now());
        let followed = self.name.clone();
        self.mark().await;
        let requested = self.request_stop(&entry.coordinator).await;
        // It was not stopped, or not by this process.
        if !matches!(requested, Ok(true)) {
            self.unmark().await;
        }
        let ours = requested?;
        let stopped_at = self.context.clock.now();
        self.verify_no_entry(&entry.coordinator).await?;
        if ours {
            follower.we_stopped(&followed);
        }
        // As early as possible: a client that follows the object judges its end soon.
        self.find_object((&entry, stopped_at), Instant::now()).await?;
        self.verify_donors(&entry.donors).await?;
        if self.object_unknown.is_some() {
            // The wait for the object may take as long as the limit: its end is now.
            follower.observe(&self.cluster.world, self.context.clock.now());
            self.find_object((&entry, stopped_at), self.until).await?;
        }
        let label = self.label();
        let backend = if self.object().is_some() { Backend::Rebalance } else { Backend::Emqx };
        self.delete().await?;
        cluster_view::refresh(self.context, &mut self.cluster).await?;
        follower.observe(&self.cluster.world, self.context.clock.now());
        let run = follower.run(&self.name).or_else(|| follower.run(&followed));
        let judgement = self.judged(run, &entry, ours);
        self.report_verdict(&label, backend, judgement);
        // `--backend emqx` leaves the object: a client that follows it records the end on it.
        if self.object().is_none_or(|object| object.deleting.is_some()) {
            self.remember(run);
        }
        Ok(Exit::Reached)
    }

    /// Looks for the object of a stopped rebalance if Rebalances could not be listed before, until a moment, so that it is
    /// marked and deleted like one that was known.
    async fn find_object(
        &mut self,
        (entry, stopped_at): (&RunningRebalance, Timestamp),
        until: Instant,
    ) -> Result<(), Problem> {
        let unlisted = |cluster: &ClusterView| cluster_view::unlisted(&cluster.world, "rebalances").cloned();
        if self.object().is_some() {
            return Ok(());
        }
        let mut announced = false;
        while let Some(link) = unlisted(&self.cluster) {
            // EMQX is stopped: that is reported also where the API server fails now.
            let why = match cluster_view::refresh_objects(self.context, &mut self.cluster).await {
                Ok(()) => unlisted(&self.cluster).as_ref().and_then(Link::why).map(str::to_owned),
                Err(problem) => Some(problem.to_string()),
            };
            let Some(why) = why else { break };
            self.object_unknown = Some(why.clone());
            if Instant::now() >= until || matches!(link, Link::Forbidden(_)) {
                return Ok(());
            }
            if !std::mem::replace(&mut announced, true) {
                self.context.printer.talk(&format!(
                    "{} is stopped; its object is not found so far: {why}; trying again",
                    self.name
                ));
            }
            sleep(ERROR_RETRY).await;
        }
        if self.object_unknown.take().is_none() {
            return Ok(());
        }
        let span = (stopped_at, self.context.clock.now());
        let found = ownership::stopped(&self.cluster.world, &self.cluster.id, entry, span);
        if let Some(name) = found.map(|object| object.name.clone()) {
            self.name = name;
            self.ask_about_marks().await;
            self.mark().await;
        }
        Ok(())
    }

    /// Asks EMQX's coordinator to stop, and repeats the request while it answers with errors, up to the
    /// limit. `false` when the coordinator no longer ran a rebalance.
    pub(super) async fn request_stop(&mut self, coordinator: &NodeName) -> Result<bool, Problem> {
        let mut announced = false;
        loop {
            let problem = match self.cluster.broker.stop(coordinator).await {
                Ok(true) => {
                    self.context.printer.talk(&format!("sent the stop to {coordinator}"));
                    return Ok(true);
                }
                Ok(false) => {
                    let text = format!("{coordinator} reports that it conducts none any more");
                    self.context.printer.talk(&text);
                    return Ok(false);
                }
                Err(problem) => problem,
            };
            if problem.cause == Cause::Forbidden {
                return Err(problem);
            }
            let why = if problem.why.is_empty() { problem.what } else { problem.why };
            if Instant::now() >= self.until {
                return Err(self.not_stopped(&why));
            }
            self.await_retry(&mut announced, &why).await;
        }
    }

    pub(super) async fn verify_no_entry(&mut self, coordinator: &NodeName) -> Result<(), Problem> {
        loop {
            cluster_view::refresh(self.context, &mut self.cluster).await?;
            let conducts = self.coordinators();
            let responds = self.emqx_responds();
            if responds && !conducts.contains(coordinator) {
                self.proof.push(match conducts.as_slice() {
                    [] => "EMQX's global_status lists no rebalance".to_owned(),
                    others => format!(
                        "EMQX's global_status no longer lists the rebalance of {coordinator}; {} still runs",
                        others
                            .iter()
                            .map(|node| OperationRef::Coordinator(node.clone()).to_string())
                            .collect::<Vec<_>>()
                            .join(", ")
                    ),
                });
                return Ok(());
            }
            if Instant::now() >= self.until {
                let limit = self.intent.timeout.as_secs();
                let (what, why) = if responds {
                    ("still runs it", format!("{coordinator} has not ended it within {limit} s"))
                } else {
                    let why = self.refuses_changes().unwrap_or_else(|| "EMQX cannot be asked".to_owned());
                    ("has not confirmed it", why)
                };
                return Err(Problem::new(
                    format!("the stop of {} was sent, but EMQX {what}", self.name),
                    why,
                )
                .hint(format!("kubectl emqx rebalance stop {} --timeout 5m", self.name))
                .exit(Exit::TimedOut));
            }
            sleep(VERIFY_PAUSE).await;
        }
    }

    /// Verifies that donors accept clients again: by a request to each of them, or by the endpoints.
    pub(super) async fn verify_donors(&mut self, donors: &[NodeName]) -> Result<(), Problem> {
        let now = self.context.clock.now();
        let snapshot = snapshot(&self.cluster.world, &self.cluster.id, now);
        let pods: Vec<(NodeName, Option<PodName>)> = donors
            .iter()
            .map(|node| (node.clone(), snapshot.node(node).and_then(|row| row.pod.clone())))
            .collect();
        let mut accepting = 0;
        let mut open: Vec<(NodeName, String)> = Vec::new();
        for (place, (node, pod)) in pods.into_iter().enumerate() {
            let label = pod.as_ref().map_or_else(|| node.short(), PodName::as_str).to_owned();
            if place >= MAX_QUERIES {
                open.push((node, format!("{label} was not asked")));
                continue;
            }
            loop {
                match self.cluster.broker.accepts_clients(&node, pod.as_ref()).await {
                    Ok(true) => {
                        accepting += 1;
                        break;
                    }
                    Ok(false) if Instant::now() < self.until => sleep(VERIFY_PAUSE).await,
                    Ok(false) => {
                        open.push((node, format!("{label} still refuses clients")));
                        break;
                    }
                    Err(problem) => {
                        open.push((node, format!("{label} could not be asked ({problem})")));
                        break;
                    }
                }
            }
        }
        if accepting > 0 {
            self.proof.push(format!("{accepting} of {} donors asked: they accept clients", donors.len()));
        }
        let until = self.until.min(Instant::now() + SERVES_WITHIN);
        let serve = self.serving(&mut open, until).await?;
        if serve > 0 {
            self.proof.push(format!("{serve} of {} donors serve clients, by the endpoints", donors.len()));
        }
        self.proof.extend(open.into_iter().map(|(_, text)| format!("not verified: {text}")));
        Ok(())
    }

    /// Removes the nodes from `open` that serve clients by the endpoints, now or until the limit; returns
    /// their number.
    pub(super) async fn serving(
        &mut self,
        open: &mut Vec<(NodeName, String)>,
        until: Instant,
    ) -> Result<usize, Problem> {
        let all = open.len();
        while !open.is_empty() {
            let want =
                RefreshScope { pods: true, endpoints: true, instances: true, ..RefreshScope::default() };
            cluster_view::relist(self.context, &mut self.cluster, want).await?;
            let snapshot = snapshot(&self.cluster.world, &self.cluster.id, self.context.clock.now());
            let serves = |node: &NodeName| snapshot.node(node).and_then(|row| row.serving);
            let known = open.iter().any(|(node, _)| serves(node).is_some());
            open.retain(|(node, _)| serves(node) != Some(true));
            if !known || Instant::now() >= until {
                break;
            }
            if !open.is_empty() {
                sleep(ERROR_RETRY).await;
            }
        }
        Ok(all - open.len())
    }
}
