//! What the donors of a rebalance held when it began. EMQX's list of what runs does not carry it; each donor reports it of
//! itself ([EMQX-55]). It is asked once for each rebalance that was under way when it was first seen.

use hyper::Method;

use super::client::{AT_A_NODE, Shared};
use super::reach::{EmqxEndpoint, Transport};
use super::wire::{self, OWN_STATUS};
use crate::model::{Fact, NodeName, RunningRebalance, Stage, Update};

/// Donors that are asked of one rebalance: all of them lose equally many in a round, so that one is enough.
const DONORS: usize = 3;

impl Shared {
    /// The starts of rebalances of this round that are past their first wait.
    pub(super) async fn starts(&self, round: &[Fact]) -> Vec<Fact> {
        let lists = round.iter().find_map(|fact| match &fact.update {
            Update::Load(load) => Some(load.rebalances.as_slice()),
            _ => None,
        });
        let Some(listed) = lists else { return Vec::new() };
        let past = |entry: &&RunningRebalance| {
            matches!(entry.stage, Stage::EvictingConns | Stage::WaitTakeover | Stage::EvictingSessions)
        };
        let begun: Vec<&RunningRebalance> = listed.iter().filter(past).collect();
        // The next one of the same coordinator is another one.
        self.begun.borrow_mut().retain(|node| begun.iter().any(|entry| entry.coordinator == *node));
        let mut facts = Vec::new();
        for entry in begun {
            if !self.begun.borrow_mut().insert(entry.coordinator.clone()) {
                continue;
            }
            for donor in entry.donors.iter().take(DONORS) {
                let found = self.start_of(donor).await;
                if !found.is_empty() {
                    facts.extend(found);
                    break;
                }
            }
        }
        facts
    }

    /// What a donor reports of its start; nothing where it cannot be asked itself.
    async fn start_of(&self, donor: &NodeName) -> Vec<Fact> {
        let answer = async {
            let transport = match &self.way {
                EmqxEndpoint::Pods { .. } => {
                    let own = |pod: &&crate::model::PodName| pod.as_str() == donor.first_label();
                    Transport::Pod(self.target.pods.iter().find(own)?.clone())
                }
                // Only a given address gets the key.
                EmqxEndpoint::Url { .. } => {
                    Transport::Address(self.door_of(donor).await.filter(|address| self.way.gives(address))?)
                }
            };
            let key = self.key().await.ok()?;
            let path = self.rooted(OWN_STATUS).await.ok()?;
            let mut connection = self.way.open(&self.target, &transport, AT_A_NODE).await.ok()?;
            let answer = connection.ask(&Method::GET, &path, Some(&key), None).await.ok()?;
            // The answer does not name its node.
            Some((format!("{path}?node={donor}"), answer))
        };
        let Ok(Some((path, answer))) = tokio::time::timeout(self.time_limit.min(AT_A_NODE), answer).await
        else {
            return Vec::new();
        };
        let now = self.clock.now();
        if let Some(tap) = &self.tap {
            tap.emqx(now, &path, answer.status, &answer.body);
        }
        wire::facts(now, &path, answer.status, &answer.body)
    }
}
