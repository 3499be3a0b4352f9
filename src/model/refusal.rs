//! EMQX's refusals, known by the words in which every version writes them (v4 in an envelope, v5 with an HTTP code, and
//! both again inside an operator's message).

/// Why EMQX refuses a start or a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The means are within both thresholds already, all nodes are equal, or there is one node only.
    NothingToBalance,
    /// This coordinator, or this node, runs one.
    AlreadyStarted,
    /// There is nothing to stop.
    NotStarted,
    /// The node is a donor of a rebalance.
    AgentBusy,
    /// A participant is down, or is a donor or evacuating.
    NodesUnavailable,
    /// A participant was never seen as a node.
    InvalidNodes,
    /// The node in the path does not run.
    NodeNotFound,
    /// A node did not answer its coordinator.
    RpcError,
}

impl Refusal {
    /// The refusal that a text tells of, if it tells of one.
    pub fn parse(text: &str) -> Option<Self> {
        // `Nodes unavailable` first: EMQX checks it before all others, and its list may hold any text.
        let known = [
            ("Nodes unavailable", Self::NodesUnavailable),
            ("nothing_to_balance", Self::NothingToBalance),
            ("already_started", Self::AlreadyStarted),
            ("not_started", Self::NotStarted),
            ("eviction_agent_busy", Self::AgentBusy),
            ("Invalid nodes", Self::InvalidNodes),
            ("Node not found", Self::NodeNotFound),
            ("RPC_ERROR", Self::RpcError),
            ("RPC error on node", Self::RpcError),
        ];
        known.into_iter().find(|(words, _)| text.contains(words)).map(|(_, refusal)| refusal)
    }

    /// What it means, in plain words.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NothingToBalance => "EMQX found nothing to move: the nodes are within the thresholds",
            Self::AlreadyStarted => "EMQX already runs one on this node",
            Self::NotStarted => "EMQX runs none on this node",
            Self::AgentBusy => "the node is a donor of a running rebalance",
            Self::NodesUnavailable => {
                "EMQX calls some nodes unavailable: they are down, or take part in another rebalance or evacuation"
            }
            Self::InvalidNodes => "EMQX does not know some of the nodes",
            Self::NodeNotFound => "the node does not run",
            Self::RpcError => "a node did not answer its coordinator",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_known_in_every_wrapping() {
        for (text, refusal) in [
            ("Failed to start rebalance: nothing_to_balance", Refusal::NothingToBalance),
            (
                r#"response: {"code": "BAD_REQUEST", "message": "error on node 'a@b': nothing_to_balance"}"#,
                Refusal::NothingToBalance,
            ),
            ("Nodes unavailable: ['emqx@a', 'emqx@b']", Refusal::NodesUnavailable),
            ("error on node 'a@b': already_started", Refusal::AlreadyStarted),
            ("Invalid nodes: [<<\"x\">>]", Refusal::InvalidNodes),
            ("Node not found: x", Refusal::NodeNotFound),
            ("RPC error on node 'a@b': {bad_nodes,…}", Refusal::RpcError),
        ] {
            assert_eq!(Refusal::parse(text), Some(refusal), "{text}");
        }
        assert_eq!(Refusal::parse("request api failed: 400 Bad Request"), None);
    }
}
