//! The counts of the donors at the start of a rebalance. EMQX's list of running operations does not have
//! them; each donor reports its own ([EMQX-55]). They are read once for each rebalance that was running when
//! it was first seen.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hyper::Method;

use super::endpoint::{EmqxEndpoint, Transport};
use super::shared::Shared;
use super::wire::{self, OWN_STATUS};
use crate::model::{BrokerUpdate, Fact, NodeName, RunningRebalance, Stage, Update};
use crate::timing::NODE_NAME_TIMEOUT;

/// The most donors that are asked about one rebalance: all of them lose equally many clients in a round, so
/// one is enough.
const DONORS: usize = 3;

/// The most addresses of the user that are asked which node they belong to.
const ADDRESSES: usize = 16;

impl Shared {
    /// Adds the start counts of the listed rebalances before the list itself: a rebalance is then first seen
    /// with its start.
    pub(super) async fn add_starts(&self, round: &mut Vec<Fact>) {
        let starts = self.starts(round).await;
        let list = round
            .iter()
            .position(|fact| matches!(fact.update, Update::Broker(_, BrokerUpdate::Evictions(_))));
        let place = list.unwrap_or(round.len());
        round.splice(place..place, starts);
    }

    /// The starts of rebalances of this round that are past their first wait.
    async fn starts(&self, round: &[Fact]) -> Vec<Fact> {
        let lists = round.iter().find_map(|fact| match &fact.update {
            Update::Broker(_, BrokerUpdate::Evictions(load)) => Some(load.rebalances.as_slice()),
            _ => None,
        });
        let Some(listed) = lists else { return Vec::new() };
        let past = |entry: &&RunningRebalance| {
            matches!(entry.stage, Stage::EvictingConns | Stage::WaitTakeover | Stage::EvictingSessions)
        };
        let begun: Vec<&RunningRebalance> = listed.iter().filter(past).collect();
        // A later rebalance of the same coordinator is another one.
        self.begun.borrow_mut().retain(|node| begun.iter().any(|entry| entry.coordinator == *node));
        let mut facts = Vec::new();
        for entry in begun {
            if !self.begun.borrow_mut().insert(entry.coordinator.clone()) {
                continue;
            }
            facts.extend(self.start_of_any(&entry.donors).await);
        }
        facts
    }

    /// The report of the first of these donors that answers. They are asked at the same time, so that pods
    /// that do not answer cost one time limit.
    async fn start_of_any(&self, donors: &[NodeName]) -> Vec<Fact> {
        let mut asked: FuturesUnordered<_> = self
            .transports_to(donors)
            .await
            .into_iter()
            .map(|(donor, transport)| self.start_of(donor, transport))
            .collect();
        while let Some(found) = asked.next().await {
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    /// The donors that can be asked directly. A pod is found by the name or the address of its node; an
    /// address of the user is asked which node it belongs to, because only such an address gets the key.
    async fn transports_to(&self, donors: &[NodeName]) -> Vec<(NodeName, Transport)> {
        let EmqxEndpoint::Url { addresses, .. } = &self.endpoint else {
            let pod = |donor: &NodeName| {
                let named = self.target.pods.iter().find(|pod| pod.as_str() == donor.first_label());
                named.or_else(|| self.target.addressed.get(&donor.ip()?)).cloned()
            };
            let found = donors.iter().filter_map(|donor| Some((donor.clone(), Transport::Pod(pod(donor)?))));
            return found.take(DONORS).collect();
        };
        let named = addresses.iter().take(ADDRESSES).map(|address| async move {
            Some((self.node_at(address).await?, Transport::Address(address.clone())))
        });
        let named = futures::future::join_all(named).await;
        named.into_iter().flatten().filter(|(node, _)| donors.contains(node)).take(DONORS).collect()
    }

    /// What a donor reports of its start; nothing where it does not answer.
    async fn start_of(&self, donor: NodeName, transport: Transport) -> Vec<Fact> {
        let answer = async {
            let key = self.key().await.ok()?;
            let path = self.rooted(OWN_STATUS).await.ok()?;
            let mut connection =
                self.endpoint.open(&self.target, &transport, NODE_NAME_TIMEOUT).await.ok()?;
            let answer = connection.ask(&Method::GET, &path, Some(&key), None).await.ok()?;
            // The answer does not name its node.
            Some((format!("{path}?node={donor}"), answer))
        };
        let Ok(Some((path, answer))) =
            tokio::time::timeout(self.time_limit.min(NODE_NAME_TIMEOUT), answer).await
        else {
            return Vec::new();
        };
        let (now, id) = (self.clock.now(), &self.target.instance);
        if let Some(tap) = &self.tap {
            tap.emqx(now, id, &path, answer.status, answer.body());
        }
        wire::facts(now, id, &path, answer.status, answer.body())
    }
}
