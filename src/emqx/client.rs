//! A broker of one cluster: the requests of the commands, and the facts that rounds of questions result in.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::endpoint::{EmqxEndpoint, Transport};
use super::request;
use super::shared::Shared;
use crate::error::Problem;
use crate::model::report::EmqxReport;
use crate::model::{Fact, NodeName, PodName, Refusal, Strategy};
use crate::ports::{BoxedFuture, Broker, EvacuationOrder, FactStream, driven};

/// Capacity of the channel: the facts of one round. The next round starts after they are applied.
const ROUND_CHANNEL_CAPACITY: usize = 8;

/// A broker of one cluster.
pub(super) struct Client {
    shared: Rc<Shared>,
}

impl Client {
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared: Rc::new(shared) }
    }
}

impl Broker for Client {
    fn read(&self) -> BoxedFuture<'_, Vec<Fact>> {
        Box::pin(async move { Ok(self.shared.round_with_starts().await) })
    }

    fn read_again(&self) -> BoxedFuture<'_, Vec<Fact>> {
        Box::pin(async move {
            self.shared.ask_another().await;
            Ok(self.shared.round_with_starts().await)
        })
    }

    fn follow(&self, every: Duration) -> FactStream {
        let shared = self.shared.clone();
        driven(ROUND_CHANNEL_CAPACITY, move |facts| shared.poll(every, facts))
    }

    fn start<'a>(
        &'a self,
        coordinator: &'a NodeName,
        nodes: &'a [NodeName],
        strategy: &'a Strategy,
    ) -> BoxedFuture<'a, ()> {
        Box::pin(async move {
            let what = format!("cannot start the rebalance on {coordinator}");
            let path = request::path(coordinator, "start");
            let body = request::rebalance(nodes, strategy);
            self.shared.post(&what, &path, &body).await?.map_err(|failure| failure.problem(what))?;
            if let Some(tap) = &self.shared.tap {
                tap.started(self.shared.clock.now(), &self.shared.target.instance, coordinator, &body);
            }
            Ok(())
        })
    }

    fn stop<'a>(&'a self, coordinator: &'a NodeName) -> BoxedFuture<'a, bool> {
        Box::pin(async move {
            let what = format!("cannot stop the rebalance of {coordinator}");
            let path = request::path(coordinator, "stop");
            match self.shared.post(&what, &path, &json!({})).await? {
                Ok(()) => Ok(true),
                Err(failure) if failure.refusal() == Some(Refusal::NotStarted) => Ok(false),
                Err(failure) => Err(failure.problem(what)),
            }
        })
    }

    fn evacuate<'a>(&'a self, node: &'a NodeName, order: &'a EvacuationOrder) -> BoxedFuture<'a, bool> {
        Box::pin(async move {
            let what = format!("cannot evacuate {node}");
            let v4 = self.shared.is_v4().await.map_err(|failed| Shared::problem(what.clone(), failed))?;
            let path = request::path(node, "evacuation/start");
            match self.shared.post(&what, &path, &request::evacuation(order, v4)).await? {
                Ok(()) => Ok(true),
                Err(failure) if failure.refusal() == Some(Refusal::AlreadyStarted) => Ok(false),
                Err(failure) => Err(failure.of_evacuation(what)),
            }
        })
    }

    fn stop_evacuation<'a>(&'a self, node: &'a NodeName) -> BoxedFuture<'a, bool> {
        Box::pin(async move {
            let what = format!("cannot stop the evacuation of {node}");
            let path = request::path(node, "evacuation/stop");
            match self.shared.post(&what, &path, &json!({})).await? {
                Ok(()) => Ok(true),
                Err(failure) if failure.refusal() == Some(Refusal::NotStarted) => Ok(false),
                Err(failure) => Err(failure.of_evacuation(what)),
            }
        })
    }

    fn accepts_clients<'a>(&'a self, node: &'a NodeName, pod: Option<&'a PodName>) -> BoxedFuture<'a, bool> {
        Box::pin(async move {
            let what = format!("cannot ask {node} whether it accepts clients");
            let transport = match (&self.shared.endpoint, pod) {
                (EmqxEndpoint::Pods { .. }, Some(pod)) => Transport::Pod(pod.clone()),
                (EmqxEndpoint::Pods { .. }, None) => {
                    return Err(Problem::new(what, "its pod is not known"));
                }
                (EmqxEndpoint::Url { .. }, _) => match self.shared.address_of(node).await {
                    Some(address) => Transport::Address(address),
                    None => {
                        return Err(Problem::new(what, "no --emqx-url is the address of that node")
                            .hint("give the node's own address with one more --emqx-url"));
                    }
                },
            };
            self.shared.available(&transport, &what).await
        })
    }

    fn cluster_name(&self) -> BoxedFuture<'_, Option<String>> {
        Box::pin(async move {
            let what = "cannot ask EMQX for the name of its cluster";
            let failed = |failed| Shared::problem(what.to_owned(), failed);
            if self.shared.is_v4().await.map_err(failed)? {
                return Ok(None);
            }
            let answer = self.shared.ask(&Method::GET, "/api/v5/cluster", None).await.map_err(failed)?;
            Ok(answer.body().get("name").and_then(Value::as_str).map(str::to_owned))
        })
    }

    fn replicants(&self) -> BoxedFuture<'_, Option<BTreeMap<NodeName, NodeName>>> {
        Box::pin(super::topology::replicants(&self.shared))
    }

    fn report<'a>(&'a self, cores: &'a [(NodeName, Option<PodName>)]) -> BoxedFuture<'a, EmqxReport> {
        Box::pin(async move { Ok(super::report::report(&self.shared, cores).await) })
    }

    fn storage_sites(&self) -> BoxedFuture<'_, Vec<NodeName>> {
        Box::pin(super::storage::sites(&self.shared))
    }
}
