//! The object of the rebalance that is stopped: its mark, and its deletion.

use std::time::Duration;

use tokio::time::Instant;

use super::super::cluster_view::{self};
use super::super::deletion;
use super::Stopping;
use crate::error::Problem;
use crate::model::{BackendRequest, FIELD_MANAGER, Rebalance, STOPPED_BY_ANNOTATION, StopMark};
use crate::ports::{self};
use crate::timing::DELETION_TIMEOUT;

impl Stopping<'_> {
    /// Reports once, before anything is changed, that the object cannot be marked.
    pub(super) async fn ask_about_marks(&mut self) {
        let Some(object) = self.object().cloned() else { return };
        self.may_patch = deletion::may_touch(self.context, &object).await;
        if !self.may_patch {
            self.context.notice(&format!(
                "{} cannot be marked as stopped, nor freed if its delete hangs: you may not patch it (needs {}); who follows \
                 it may report coordinatorLost",
                self.name,
                deletion::PATCH
            ));
        }
    }

    /// Writes on the object who stops it, so that other clients that follow it report `stopped`. Without the
    /// permission the rebalance is stopped without it.
    pub(super) async fn mark(&self) {
        let Some(object) = self.object().filter(|_| self.may_patch) else { return };
        let mark = StopMark { by: FIELD_MANAGER.to_owned(), time: self.context.clock.now() };
        let kubernetes = &self.context.kubernetes;
        let marked = kubernetes.annotate_rebalance(object, STOPPED_BY_ANNOTATION, Some(&mark.text())).await;
        if let Err(problem) = marked {
            self.context.notice(&format!(
                "{} is not marked as stopped: {problem}; who follows it may report coordinatorLost",
                self.name
            ));
        }
    }

    /// Removes the mark: the rebalance was not stopped.
    pub(super) async fn unmark(&self) {
        let Some(object) = self.object().filter(|_| self.may_patch) else { return };
        let removed = self.context.kubernetes.annotate_rebalance(object, STOPPED_BY_ANNOTATION, None).await;
        if let Err(problem) = removed {
            self.context.notice(&format!(
                "{} keeps its mark {STOPPED_BY_ANNOTATION} although it was not stopped: {problem}",
                self.name
            ));
        }
    }

    /// Deletes the object; reports why if the object stays.
    pub(super) async fn delete(&mut self) -> Result<(), Problem> {
        let Some(object) = self.object().cloned() else {
            if let Some(why) = &self.object_unknown {
                self.proof.push(format!("not verified: that no object of it is left, because {why}"));
            }
            return Ok(());
        };
        if self.intent.backend == BackendRequest::Emqx {
            self.proof.push("the object stays, as requested with --backend emqx".to_owned());
            return Ok(());
        }
        if object.deleting.is_none() {
            // An object that is deleted while EMQX is not Ready stays until it is changed, for which the
            // permission is missing.
            if !object.finalizers.is_empty()
                && !self.may_patch
                && !deletion::ready(self.context, &object, self.until).await?
            {
                self.proof.push(format!(
                    "the object stays: EMQX is not Ready, so that a delete would hang, and you may not patch it (needs \
                     {}); kubectl emqx rebalance stop {} deletes it later",
                    deletion::PATCH,
                    self.name
                ));
                return Ok(());
            }
            let deleted = self.context.kubernetes.delete_rebalance(&object, ports::ServerDryRun::No).await;
            let deleted = deleted.map_err(|problem| {
                let what = format!("EMQX does not run {} any more, but its object is not deleted", self.name);
                let hint = format!("kubectl emqx rebalance stop {} again deletes it", self.name);
                Problem { why: problem.to_string(), what, ..problem }.hint(hint)
            })?;
            if !deleted {
                self.proof.push("the object was gone already".to_owned());
                return Ok(());
            }
        }
        self.leave(&object).await
    }

    /// Waits until a deleted object no longer exists; changes one that is stuck once EMQX is Ready.
    pub(super) async fn leave(&mut self, object: &Rebalance) -> Result<(), Problem> {
        let soon = Instant::now() + if object.deleting.is_none() { DELETION_TIMEOUT } else { Duration::ZERO };
        let stays = match deletion::wait_until_deleted(self.context, object, soon).await? {
            None => None,
            Some(here) => {
                if let Some(gone) = deletion::absent_operator(self.context, &self.cluster.id).await {
                    let limit = self.intent.timeout.as_secs();
                    let text = format!(
                        "the object is terminating: {gone}; waiting for the operator, up to {limit} s"
                    );
                    self.context.printer.talk(&text);
                }
                deletion::freed(self.context, &here, self.until).await?
            }
        };
        cluster_view::refresh_objects(self.context, &mut self.cluster).await?;
        self.proof.push(match stays {
            None => "the object is deleted".to_owned(),
            Some(why) => format!("the object is terminating: {why}; EMQX does not run it"),
        });
        Ok(())
    }
}
