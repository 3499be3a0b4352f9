//! `rebalance stop`: EMQX is told, then it is proved, then the object is deleted; and never is anything waited for for
//! ever.

use std::time::Duration;

use super::decide::confirm;
use super::gather::{self, Gathered};
use super::gone::{self, GONE_WITHIN, LOOK};
use super::watch::{Meant, REACH_EMQX, driven, meant, nothing, over};
use super::{Hands, Interrupt, Outcome};
use crate::cli::intent::{BackendChoice, DryRun, Stop};
use crate::error::{Exit, Problem};
use crate::model::{NodeName, Phase, PodName, Rebalance, RunningRebalance, Source, Verdict};
use crate::plan::follow::Follower;
use crate::plan::judge;
use crate::plan::picture::picture;
use crate::plan::progress::Counts;
use crate::plan::results::{Backend, Stopped};
use crate::plan::words::short;

/// Donors that are asked one by one at the most.
const ASKED: usize = 8;

/// How long after a delete without EMQX it is looked again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What is known of what is stopped.
struct Stopping<'a> {
    hands: &'a Hands,
    intent: &'a Stop,
    gathered: Gathered,
    name: String,
    proof: Vec<String>,
}

/// `rebalance stop`.
pub async fn run(hands: &Hands, intent: &Stop) -> Outcome {
    let Meant { gathered, name } = meant(hands, intent.operation.as_ref()).await?;
    let Some(name) = name.filter(|name| driven(&gathered, name, intent.backend)) else {
        let nothing = nothing(hands, &gathered, intent.backend)?;
        hands.printer.talk(&format!("{nothing}: there is nothing to stop"));
        return Ok(unchanged(intent));
    };
    let mut stopping = Stopping { hands, intent, gathered, name, proof: Vec::new() };
    // That it is over is only believed of one who knows: EMQX, or a phase that proves it.
    let heard = stopping.gathered.world.load.is_some();
    if let Some((verdict, reason)) = over(hands, &stopping.gathered, &stopping.name)
        && (heard || verdict != Verdict::Unknown)
    {
        let name = &stopping.name;
        hands
            .printer
            .talk(&format!("{name} is over ({}: {reason}): there is nothing to stop", verdict.words()));
        return Ok(unchanged(intent));
    }
    let limit = intent.timeout;
    let mut interrupt: Interrupt = (hands.interrupt)();
    tokio::select! {
        biased;
        outcome = stopping.stop(limit) => outcome,
        () = &mut interrupt => Err(Problem::new(
            "interrupted",
            "what was asked of EMQX and Kubernetes so far stays asked",
        )
        .hint("kubectl emqx rebalance list shows what still runs")
        .exit(Exit::Interrupted)),
    }
}

fn unchanged(intent: &Stop) -> Exit {
    if intent.write.error_unchanged { Exit::Unchanged } else { Exit::Reached }
}

impl Stopping<'_> {
    fn object(&self) -> Option<&Rebalance> {
        let key = (self.gathered.id.namespace.clone(), self.name.clone());
        self.gathered.world.rebalances.get(&key).map(|seen| &seen.value)
    }

    fn entry(&self) -> Option<RunningRebalance> {
        let load = self.gathered.world.load.as_ref()?;
        let coordinator = self.object().and_then(|it| it.states.first()).map(|it| it.coordinator.clone());
        let entries = &load.value.rebalances;
        let same = |entry: &&RunningRebalance| {
            format!("coordinator/{}", entry.coordinator) == self.name
                || coordinator.as_ref().is_none_or(|node| *node == entry.coordinator)
        };
        entries.iter().find(same).cloned()
    }

    fn hears_emqx(&self) -> bool {
        self.gathered.world.load.is_some()
            && crate::plan::picture::SourceState::Ok
                == picture(&self.gathered.world, &self.gathered.id, self.hands.clock.now())
                    .source(Source::Emqx)
    }

    async fn stop(&mut self, limit: Duration) -> Outcome {
        let object_only = self.intent.backend == BackendChoice::Rebalance;
        let blind = if self.hears_emqx() && !object_only { None } else { Some(self.blind()?) };
        // EMQX stopped and its object left behind is half a stop.
        let deletes = self.object().is_some_and(|it| it.deleting.is_none());
        if deletes && self.intent.backend != BackendChoice::Emqx {
            let what = format!("will not stop {}", self.name);
            let way = format!(
                "kubectl emqx rebalance stop {} --backend emqx stops EMQX and leaves the object",
                self.name
            );
            gone::allowed(self.hands, &self.gathered.id.namespace, [&self.name], what, way).await?;
        }
        if self.intent.write.dry_run != DryRun::None {
            let steps = match (self.entry().filter(|_| blind.is_none()), self.object()) {
                (Some(entry), Some(_)) => {
                    format!("tell {} to stop, prove it, delete the object", entry.coordinator)
                }
                (Some(entry), None) => format!("tell {} to stop, prove it", entry.coordinator),
                (None, _) => "delete the object".to_owned(),
            };
            self.hands.printer.talk(&format!("would stop {}: {steps}", self.name));
            self.hands.printer.line(&format!("{} (dry run)", self.label()));
            return Ok(Exit::Reached);
        }
        confirm(self.hands, &self.intent.write, &format!("Stop {} of {}?", self.name, self.gathered.id))
            .await?;
        match blind {
            None => self.through_emqx(limit).await,
            Some((object, why)) => self.without_emqx(object, why, limit).await,
        }
    }

    fn label(&self) -> String {
        if self.object().is_some() {
            format!("rebalance.apps.emqx.io/{}", self.name)
        } else {
            self.name.clone()
        }
    }

    async fn through_emqx(&mut self, limit: Duration) -> Outcome {
        let label = self.label();
        let began = tokio::time::Instant::now();
        let mut follower = Follower::new(Some(self.gathered.id.clone()));
        follower.observe(&self.gathered.world, self.hands.clock.now());
        let Some(entry) = self.started(began, limit).await? else {
            // It was over before it could be stopped; whatever is left is an object that is over.
            self.hands.printer.talk(&format!("EMQX does not run {}: there is nothing to stop", self.name));
            return Ok(unchanged(self.intent));
        };
        let told = self.gathered.broker.stop(&entry.coordinator).await?;
        self.hands.printer.talk(&if told {
            format!("told {} to stop", entry.coordinator)
        } else {
            format!("{} says that it conducts none any more", entry.coordinator)
        });
        self.prove_no_entry(&entry.coordinator, began, limit).await?;
        self.prove_donors(&entry.donors, began, limit).await;
        let backend = if self.object().is_some() { Backend::Rebalance } else { Backend::Emqx };
        self.delete().await?;
        follower.we_stopped(&self.name);
        gather::refresh(self.hands, &mut self.gathered).await?;
        follower.observe(&self.gathered.world, self.hands.clock.now());
        let (verdict, reason) = self.judged(&follower, &entry);
        self.say(&label, backend, verdict, reason);
        Ok(Exit::Reached)
    }

    /// EMQX's entry. An object that was just made may not have one so far, and must not be deleted before it has: the
    /// operator's stop would miss it.
    async fn started(
        &mut self,
        began: tokio::time::Instant,
        limit: Duration,
    ) -> Result<Option<RunningRebalance>, Problem> {
        loop {
            if let Some(entry) = self.entry() {
                return Ok(Some(entry));
            }
            let waits = self.object().is_some_and(|object| {
                object.deleting.is_none() && matches!(object.phase, Phase::Pending | Phase::Processing)
            });
            if !waits {
                return Ok(None);
            }
            if began.elapsed() >= limit {
                return Err(Problem::new(
                    format!("{} was not stopped", self.name),
                    "the operator has not told EMQX to start it so far, so there is nothing that could be stopped",
                )
                .hint(format!("kubectl emqx rebalance stop {} again, as soon as it runs", self.name))
                .exit(Exit::TimedOut));
            }
            tokio::time::sleep(LOOK).await;
            gather::refresh_objects(self.hands, &mut self.gathered).await?;
            gather::refresh(self.hands, &mut self.gathered).await?;
        }
    }

    async fn prove_no_entry(
        &mut self,
        coordinator: &NodeName,
        began: tokio::time::Instant,
        limit: Duration,
    ) -> Result<(), Problem> {
        loop {
            gather::refresh(self.hands, &mut self.gathered).await?;
            let load = self.gathered.world.load.as_ref();
            let runs = load.is_some_and(|load| {
                load.value.rebalances.iter().any(|entry| entry.coordinator == *coordinator)
            });
            if !runs && self.hears_emqx() {
                self.proof.push("EMQX's global_status lists no rebalance".to_owned());
                return Ok(());
            }
            if began.elapsed() >= limit {
                return Err(Problem::new(
                    format!("EMQX was told to stop {}, and still runs it", self.name),
                    format!("{coordinator} has not ended it within {} s", limit.as_secs()),
                )
                .hint(format!("kubectl emqx rebalance stop {} --timeout 5m", self.name))
                .exit(Exit::TimedOut));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Donors accept clients again: by the endpoints, or asked one by one.
    async fn prove_donors(&mut self, donors: &[NodeName], began: tokio::time::Instant, limit: Duration) {
        let now = self.hands.clock.now();
        let picture = picture(&self.gathered.world, &self.gathered.id, now);
        let pods: Vec<(NodeName, Option<PodName>)> = donors
            .iter()
            .map(|node| (node.clone(), picture.node(node).and_then(|row| row.pod.clone())))
            .take(ASKED)
            .collect();
        let mut unproved = Vec::new();
        let mut proved = 0;
        for (node, pod) in pods {
            let Some(pod) = pod else {
                unproved.push(format!("{} has no pod that could be asked", short(&node)));
                continue;
            };
            loop {
                match self.gathered.broker.available(&pod).await {
                    Ok(true) => {
                        proved += 1;
                        break;
                    }
                    Ok(false) if began.elapsed() < limit => tokio::time::sleep(LOOK).await,
                    Ok(false) => {
                        unproved.push(format!("{pod} still refuses clients"));
                        break;
                    }
                    Err(problem) => {
                        unproved.push(format!("{pod} could not be asked ({problem})"));
                        break;
                    }
                }
            }
        }
        if proved > 0 {
            self.proof.push(format!("{proved} of {} donors asked: they accept clients", donors.len()));
        }
        for text in unproved {
            self.proof.push(format!("not proved: {text}"));
        }
    }

    /// Deletes the object; one that does not go is called what it is.
    async fn delete(&mut self) -> Result<(), Problem> {
        let Some(object) = self.object().cloned() else { return Ok(()) };
        if self.intent.backend == BackendChoice::Emqx {
            self.proof.push("the object stays, as asked with --backend emqx".to_owned());
            return Ok(());
        }
        if object.deleting.is_none()
            && !self.hands.kubernetes.delete_rebalance(&object, crate::seam::DryRun::No).await?
        {
            self.proof.push("the object was gone already".to_owned());
            return Ok(());
        }
        let until = tokio::time::Instant::now() + GONE_WITHIN;
        let Some(here) = gone::lingers(self.hands, &object, until).await? else {
            self.proof.push("the object is deleted".to_owned());
            return Ok(());
        };
        gather::refresh_objects(self.hands, &mut self.gathered).await?;
        let why = gone::why(&here, self.gathered.instance().ok());
        self.proof.push(format!("the object is terminating: {why}; nothing runs in EMQX"));
        Ok(())
    }

    fn judged(&self, follower: &Follower, entry: &RunningRebalance) -> (Verdict, String) {
        if let Some((verdict, reason)) = follower.run(&self.name).and_then(|run| run.verdict.clone()) {
            return (verdict, reason);
        }
        let now =
            self.gathered.world.nodes.as_ref().map(|nodes| Counts::of(&nodes.value)).unwrap_or_default();
        judge::end(&judge::Ending {
            donors: &entry.donors,
            recipients: &entry.recipients,
            strategy: None,
            start: None,
            now: &now,
            through_takeover: false,
            stopped: Some("you".to_owned()),
            seconds: None,
        })
    }

    fn say(&self, label: &str, backend: Backend, verdict: Verdict, reason: String) {
        let reason = match &self.intent.write.reason {
            Some(why) => format!("{reason} (reason: {why})"),
            None => reason,
        };
        let stopped = Stopped {
            name: label.to_owned(),
            instance: self.gathered.id.clone(),
            backend,
            // We stopped it: whatever is missing now was cut before, and is on its way.
            verdict: if verdict == Verdict::ClientsMissing { Verdict::Stopped } else { verdict },
            message: reason,
            proof: self.proof.clone(),
        };
        self.hands.printer.stopped(&stopped, self.intent.output);
    }

    /// What can be stopped without EMQX's word, and why that is not heard: only an object that is `Processing` with
    /// states, of an instance that is ready now, stops EMQX when it is deleted.
    fn blind(&self) -> Result<(Rebalance, String), Problem> {
        let why = picture(&self.gathered.world, &self.gathered.id, self.hands.clock.now())
            .sources
            .get(&Source::Emqx)
            .and_then(|age| age.why.clone())
            .unwrap_or_else(|| match self.intent.backend {
                BackendChoice::Rebalance => "EMQX was not told, as asked with --backend rebalance".to_owned(),
                _ => "EMQX cannot be asked".to_owned(),
            });
        let Some(object) = self.object().cloned() else {
            return Err(Problem::new(format!("cannot stop {}", self.name), why).hint(REACH_EMQX));
        };
        let ready = self.gathered.instance().is_ok_and(crate::model::Instance::ready);
        let refused = match (&object.phase, object.states.is_empty(), ready) {
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
                format!("{refused}; {why}"),
            )
            .hint(REACH_EMQX));
        }
        Ok((object, why))
    }

    async fn without_emqx(&mut self, object: Rebalance, why: String, limit: Duration) -> Outcome {
        let label = self.label();
        self.delete().await?;
        tokio::time::sleep(LOOK_AGAIN.min(limit)).await;
        gather::refresh_objects(self.hands, &mut self.gathered).await?;
        let gone = self.object().is_none_or(|here| here.uid != object.uid);
        self.proof.push(format!("not proved: that EMQX stopped, for {why}"));
        let (verdict, reason, exit) = if gone {
            let reason = "the operator let the object go, which it does after telling EMQX to stop; EMQX was not asked";
            (Verdict::Stopped, reason, Exit::Reached)
        } else {
            let reason = "the object is still there, and EMQX cannot be asked whether it stopped";
            (Verdict::Unknown, reason, Exit::Error)
        };
        self.say(&label, Backend::Rebalance, verdict, reason.to_owned());
        Ok(exit)
    }
}
