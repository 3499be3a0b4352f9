//! A stop by the deletion of the object alone, where EMQX cannot be asked.

use tokio::time::{Instant, sleep};

use super::super::Outcome;
use super::super::cluster_view::{self};
use super::super::rebalance_target::REACH_EMQX;
use super::Stopping;
use crate::error::{Exit, Problem};
use crate::model::{Backend, BackendRequest, Judgement, NodeName, Phase, Rebalance, Source, Verdict};
use crate::plan::rebalance::tracker::RebalanceTracker;
use crate::plan::snapshot::snapshot;
use crate::timing::{DELETE_CHECK_AFTER, SERVES_WITHIN};

impl Stopping<'_> {
    /// What can be stopped without EMQX's answer, and why that is missing: only an object that is
    /// `Processing` with states, of an instance that is ready now, stops EMQX when it is deleted.
    pub(super) fn blind(&self) -> Result<(Rebalance, String), Problem> {
        let why = snapshot(&self.cluster.world, &self.cluster.id, self.context.clock.now())
            .sources
            .get(&Source::Emqx)
            .and_then(|age| age.why.clone())
            .unwrap_or_else(|| match self.intent.backend {
                BackendRequest::Rebalance => {
                    "no stop was sent to EMQX, because of --backend rebalance".to_owned()
                }
                _ => "EMQX cannot be asked".to_owned(),
            });
        let Some(object) = self.object().cloned() else {
            return Err(Problem::new(format!("cannot stop {}", self.name), why).hint(REACH_EMQX));
        };
        let ready = self.cluster.instance().is_ok_and(crate::model::Instance::ready);
        let refused = match (&object.phase, object.states.is_empty(), ready) {
            (Phase::Processing, ..) if self.absent_operator.is_some() => {
                Some("only a running operator stops EMQX when the object is deleted")
            }
            (Phase::Processing, false, true) => None,
            (Phase::Processing, false, false)
                if self.intent.skip.iter().any(|id| id == "instance-not-ready") =>
            {
                None
            }
            (Phase::Processing, true, _) => {
                Some("the operator has not stored EMQX's states: a delete now would not stop EMQX")
            }
            (Phase::Processing, false, false) => {
                Some("the instance is not ready: a delete now would hang and not stop EMQX")
            }
            _ => Some("the operator stops EMQX only for an object that is Processing"),
        };
        if let Some(refused) = refused {
            return Err(Problem::refused(
                format!("will not stop {} without EMQX", self.name),
                format!("{refused}{}; {why}", self.absence()),
            )
            .hint(REACH_EMQX));
        }
        Ok((object, why))
    }

    pub(super) async fn without_emqx(&mut self, object: Rebalance, why: String) -> Outcome {
        let label = self.label();
        let mut follower = RebalanceTracker::new(self.cluster.id.clone());
        follower.observe(&self.cluster.world, self.context.clock.now());
        self.mark().await;
        self.delete().await?;
        sleep(DELETE_CHECK_AFTER.min(self.intent.timeout)).await;
        cluster_view::refresh_objects(self.context, &mut self.cluster).await?;
        let gone = self.object().is_none_or(|here| here.uid != object.uid);
        self.proof.push(format!("not verified: whether EMQX stopped ({why})"));
        // The operator ignores a failed stop call. Donors that receive clients again are no longer evicted.
        let mut open: Vec<(NodeName, String)> = object
            .states
            .iter()
            .flat_map(|state| &state.donors)
            .map(|node| (node.clone(), String::new()))
            .collect();
        let donors = open.len();
        let until = self.until.min(Instant::now() + SERVES_WITHIN);
        let serve = self.serving(&mut open, until).await?;
        if serve > 0 {
            self.proof.push(format!("{serve} of {donors} donors serve clients, by the endpoints"));
        }
        let snapshot = snapshot(&self.cluster.world, &self.cluster.id, self.context.clock.now());
        let outside = |node: &NodeName| snapshot.node(node).is_some_and(|row| row.serving == Some(false));
        let out = open.iter().filter(|(node, _)| outside(node)).count();
        let (verdict, reason, exit) = if gone && out == 0 {
            let reason = "the operator released the object, which it does after the stop in EMQX; EMQX was not queried";
            (Verdict::Stopped, reason, Exit::Reached)
        } else if gone {
            let reason =
                "the object is deleted, but donors are still out of the Service: EMQX may still run it";
            (Verdict::Unknown, reason, Exit::Error)
        } else {
            let reason = "the object is still there, and EMQX cannot be asked whether it stopped";
            (Verdict::Unknown, reason, Exit::Error)
        };
        self.report_verdict(&label, Backend::Rebalance, Judgement::new(verdict, reason));
        if verdict == Verdict::Stopped {
            self.remember(follower.run(&self.name));
        }
        Ok(exit)
    }
}
