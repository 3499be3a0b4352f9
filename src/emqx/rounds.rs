//! The rounds in which EMQX is read: the list of nodes and the running operations, from the first pod that responds.

use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hyper::Method;
use tokio::sync::mpsc::Sender;

use super::endpoint::EmqxEndpoint;
use super::http::{HttpResponse, Lost, no_answer};
use super::shared::{Failed, Shared};
use super::wire::{self, NODES_PATH, STATUS_PATH};
use crate::model::{BrokerUpdate, Fact, Link, NodeName, Update};
use crate::ports::{back_off, jitter};
use crate::timing::{GLOBAL_STATUS_TIMEOUTS, NODE_NAME_TIMEOUT};

/// Pods that are asked at the same time for what each of them answers about itself.
const ALONE: usize = 3;

/// After 1/3 of the time limit a pod counts as silent, and another pod is queried concurrently.
const SILENT: u32 = 3;

/// A round without an answer.
struct LostRound {
    /// The state of the source.
    fact: Fact,
    /// Whether the time limit passed.
    late: bool,
}

impl Shared {
    /// One round: the nodes, then the running operations.
    async fn round(&self) -> Result<Vec<Fact>, Failed> {
        let mut facts = Vec::new();
        self.nodes_answered.set(false);
        self.erred.set(false);
        for path in [NODES_PATH, STATUS_PATH] {
            match self.get(path).await {
                Ok(answer) => {
                    let read = self.facts(path, &answer);
                    let is_list =
                        |fact: &Fact| matches!(fact.update, Update::Broker(_, BrokerUpdate::Nodes(_)));
                    let nodes = read.iter().any(is_list);
                    // A build without the rebalance API answers 404 on every pod.
                    let erred = if path == NODES_PATH { !nodes } else { answer.status >= 500 };
                    self.erred.set(self.erred.get() || erred);
                    facts.extend(read);
                }
                Err(Failed::Lost(Lost::Unanswered(why) | Lost::NotHttp(why) | Lost::Late(why)))
                    if path == STATUS_PATH && self.nodes_answered.get() =>
                {
                    facts.push(self.status_silent(&why));
                }
                Err(failed) => return Err(failed),
            }
            self.nodes_answered.set(true);
        }
        Ok(facts)
    }

    fn facts(&self, path: &str, answer: &HttpResponse) -> Vec<Fact> {
        let (now, id) = (self.clock.now(), &self.target.instance);
        let nodes = (path == NODES_PATH && answer.status == 200).then(|| wire::nodes_in_text(answer.text()));
        match nodes.flatten() {
            Some(Ok(nodes)) => {
                vec![self.fact(BrokerUpdate::Nodes(nodes))]
            }
            Some(Err(_)) | None => wire::facts(now, id, path, answer.status, answer.body()),
        }
    }

    /// The fact that EMQX lists its nodes but not its running operations: in a session round the coordinator does not respond
    /// for up to 15 s ([EMQX-8]).
    fn status_silent(&self, why: &str) -> Fact {
        let link = Link::Unreachable(format!(
            "EMQX lists its nodes but does not report what it moves ({why}): a long session round may be running"
        ));
        self.fact(BrokerUpdate::Link("load_rebalance", link))
    }

    /// One round from the first pod that responds. The next pod is queried when one fails or responds with an error, and
    /// concurrently with one that does not respond; all of them share the time limit of one. If all respond with errors, the
    /// first error is reported.
    async fn first_round(&self) -> Result<Vec<Fact>, LostRound> {
        let first = self.pod.get();
        self.nodes_answered.set(false);
        let others: Vec<Self> = (1..self.tries()).map(|later| self.beside(later)).collect();
        let name = self.name();
        let ask = |shared| async move {
            let name = Self::name(shared);
            let round = shared.round().await.map_err(|failed| (shared.lost(&failed, &name), failed));
            (shared.pod.get(), shared.erred.get(), round)
        };
        let mut error: Option<Vec<Fact>> = None;
        let mut asked = FuturesUnordered::from_iter([ask(self)]);
        // A round that already has its list of nodes ends by itself.
        let waits_for_status = |shared: &Self| shared.nodes_answered.get();
        let beside = &others;
        let mut others = others.iter();
        let mut silent_left = SILENT - 1;
        let give_up = tokio::time::sleep(self.time_limit);
        let mut silent = std::pin::pin!(tokio::time::sleep(self.time_limit / SILENT));
        let mut give_up = std::pin::pin!(give_up);
        loop {
            tokio::select! {
                biased;
                Some((pod, erred, answer)) = asked.next() => match answer {
                    Ok(facts) if erred => {
                        error.get_or_insert(facts);
                        match others.next() {
                            Some(other) => asked.push(ask(other)),
                            None if asked.is_empty() => return Ok(error.unwrap_or_default()),
                            None => {}
                        }
                    }
                    Ok(facts) => {
                        // Later requests use the pod that responded, not the connection to another pod.
                        if self.pod.replace(pod) != pod
                            && let Ok(mut kept) = self.connection.try_lock()
                        {
                            *kept = None;
                        }
                        return Ok(facts);
                    }
                    Err((fact, Failed::Keyless(_) | Failed::Lost(Lost::Forbidden(_)))) => {
                        return Err(LostRound { fact, late: false });
                    }
                    Err((fact, Failed::Lost(lost))) => {
                        // A pod that did not answer has used up the time; the next pod is asked in the next
                        // round.
                        let late = matches!(lost, Lost::Unanswered(_) | Lost::NotHttp(_) | Lost::Late(_))
                            && silent_left == 0;
                        match others.next().filter(|_| !late) {
                            Some(other) => asked.push(ask(other)),
                            None if asked.is_empty() => {
                                return error.ok_or(LostRound { fact, late: matches!(lost, Lost::Late(_)) });
                            }
                            None => {}
                        }
                    }
                },
                () = &mut give_up => {
                    if waits_for_status(self) || beside.iter().any(waits_for_status) {
                        let later = tokio::time::Instant::now() + self.time_limit * GLOBAL_STATUS_TIMEOUTS;
                        give_up.as_mut().reset(later);
                        continue;
                    }
                    self.pod.set(first.wrapping_add(1));
                    if let Some(error) = error {
                        return Ok(error);
                    }
                    let failed = Failed::Lost(Lost::Late(no_answer(self.time_limit)));
                    return Err(LostRound { fact: self.lost(&failed, &name), late: true });
                }
                () = &mut silent, if others.len() > 0 && silent_left > 0 => {
                    silent_left -= 1;
                    asked.extend(others.next().map(ask));
                    silent.as_mut().reset(tokio::time::Instant::now() + self.time_limit / SILENT);
                }
            }
        }
    }

    /// One round; where no pod answers in time, the reason: a frozen or unreachable node delays every
    /// cluster-wide call on every node for up to 150 s, while each node answers calls about itself
    /// ([EMQX-21]).
    async fn round_or_reason(&self) -> Result<Vec<Fact>, Fact> {
        let asked = self.clock.now();
        let (lost, late) = match self.first_round().await {
            Ok(facts) => {
                self.hangs.set(None);
                return Ok(facts);
            }
            Err(LostRound { fact, late }) => (fact, late),
        };
        let alive = if late { self.answers_for_itself().await } else { None };
        let Some((pod, name)) = alive else {
            self.hangs.set(None);
            return Err(lost);
        };
        self.pod.set(pod);
        // The obstacle may be gone: if the node responds again, the cluster may respond, too.
        let again = tokio::time::timeout(self.time_limit.min(NODE_NAME_TIMEOUT), self.first_round());
        if let Ok(Ok(facts)) = again.await {
            self.hangs.set(None);
            return Ok(facts);
        }
        let since = self.hangs.get().unwrap_or(asked);
        self.hangs.set(Some(since));
        let why = format!(
            "cluster calls hang since {}: {name} answers for itself, but not for the cluster; one of its nodes is frozen or \
             disconnected",
            since.strftime("%H:%M UTC")
        );
        let link = BrokerUpdate::Link("nodes", Link::Hung(why));
        Err(Fact::answer(lost.at, &self.target.instance, link))
    }

    /// The number and the name of a transport through which EMQX answers a call that concerns one node alone
    /// and needs no key.
    async fn answers_for_itself(&self) -> Option<(usize, String)> {
        let places = (0..self.tries().min(ALONE)).map(|later| self.pod.get().wrapping_add(later));
        let asked = places.map(|place| async move {
            let transport = self.endpoint.transport(&self.target, place);
            let time_limit = self.time_limit.min(NODE_NAME_TIMEOUT);
            let mut connection = self.endpoint.open(&self.target, &transport, time_limit).await.ok()?;
            let answer = connection.ask(&Method::GET, "/status", None, None).await;
            let alive = matches!(&answer, Ok(answer) if answer.status == 200)
                || matches!(&answer, Err(Lost::Useless(_)));
            alive.then(|| (place, EmqxEndpoint::name(&self.target, &transport)))
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        while let Some(found) = asked.next().await {
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// The fact that EMQX is lost.
    fn lost(&self, failed: &Failed, name: &str) -> Fact {
        let link = match failed {
            Failed::Lost(Lost::Forbidden(why)) => Link::Forbidden(why.clone()),
            Failed::Lost(Lost::Away(why)) => Link::Unreachable(why.clone()),
            Failed::Lost(lost) => {
                // Something did answer: it was not EMQX, or the answer was too large.
                let useless = matches!(lost, Lost::Useless(_) | Lost::NotHttp(_));
                let how = if useless { "cannot be asked" } else { "does not answer" };
                Link::Unreachable(format!("{name} {how}: {}", lost.why()))
            }
            Failed::Keyless(problem) => Link::Forbidden(problem.to_string()),
        };
        self.fact(BrokerUpdate::Link("nodes", link))
    }

    /// One round, with the counts that donors report of the start of the rebalances.
    pub(super) async fn round_with_starts(&self) -> Vec<Fact> {
        match self.round_or_reason().await {
            Ok(mut round) => {
                self.add_starts(&mut round).await;
                round
            }
            Err(lost) => vec![lost],
        }
    }

    /// The next request uses a fresh connection, to another core where there is one: an answer that no longer
    /// lists a rebalance, or lists it in an earlier stage, is verified there.
    pub(super) async fn ask_another(&self) {
        *self.connection.lock().await = None;
        self.pod.set(self.pod.get().wrapping_add(1));
    }

    pub(super) async fn poll(self: Rc<Self>, every: Duration, facts: Sender<Fact>) {
        let mut failures = 0_u32;
        let mut listed: Vec<(NodeName, Option<u8>)> = Vec::new();
        loop {
            let pause = match self.round_or_reason().await {
                Ok(mut round) => {
                    self.add_starts(&mut round).await;
                    if let Some(now) = rebalances(&round) {
                        let doubtful = |(node, stage): &(NodeName, Option<u8>)| {
                            let same = now.iter().find(|(other, _)| other == node);
                            same.is_none_or(|(_, now)| now < stage)
                        };
                        if listed.iter().any(doubtful) {
                            self.ask_another().await;
                        }
                        listed = now;
                    }
                    // A refused key is read again on each attempt, so the attempts are limited.
                    let refused = round.iter().any(|fact| {
                        matches!(fact.update, Update::Broker(_, BrokerUpdate::Link(_, Link::Forbidden(_))))
                    });
                    failures = if refused { failures + 1 } else { 0 };
                    for fact in round {
                        if facts.send(fact).await.is_err() {
                            return;
                        }
                    }
                    self.pass(jitter(every)).await;
                    if refused { back_off(failures) } else { continue }
                }
                Err(lost) => {
                    failures += 1;
                    if facts.send(lost).await.is_err() {
                        return;
                    }
                    back_off(failures)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// The coordinators of the rebalances that EMQX lists, each with the place of its stage; `None` when it did not list them.
fn rebalances(round: &[Fact]) -> Option<Vec<(NodeName, Option<u8>)>> {
    round.iter().find_map(|fact| match &fact.update {
        Update::Broker(_, BrokerUpdate::Evictions(load)) => {
            let entries = load.rebalances.iter();
            Some(entries.map(|entry| (entry.coordinator.clone(), entry.stage.order())).collect())
        }
        _ => None,
    })
}
