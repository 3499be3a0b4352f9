//! Why EMQX refuses to start or stop something, found in any text that quotes it: an answer of EMQX 4 or 5,
//! or the operator's failure message ([OP-77], [EMQX-53]).

/// A documented refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The means are within both thresholds, all nodes are equal, or there is one node only.
    NothingToBalance,
    /// That coordinator already runs a rebalance, or that node is already evacuated.
    AlreadyStarted,
    /// No operation runs there.
    NotStarted,
    /// A node is down, or already takes part in a rebalance or evacuation.
    NodesUnavailable,
    /// A name is not that of a known node.
    InvalidNodes,
    /// A donor cannot be evacuated as well.
    AgentBusy,
    /// The eviction agent of a donor belongs to another rebalance (or to an evacuation), so that the coordinator crashed.
    NodeHeld,
    /// The coordinator, or the node to evacuate, does not run.
    NodeNotFound,
    /// A node did not answer another node.
    RpcFailed,
    /// A value has the wrong type or range.
    BadParameter,
    /// EMQX is open source and older than 5.9.
    NotEnterprise,
    /// The operator reports that the instance is not ready.
    NotReady,
    /// The operator does not find the instance.
    NotFound,
    /// Operator 2.2 dropped the reason of EMQX 5.
    NoReason,
}

impl Refusal {
    /// The documented refusal in a text; `None` where there is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let has = |part: &str| text.contains(part);
        // The order matters: a text may quote another one, and the specific refusals come first.
        Some(if has("nothing_to_balance") {
            Self::NothingToBalance
        } else if has("already_started") {
            Self::AlreadyStarted
        } else if has("not_started") {
            Self::NotStarted
        } else if has("invalid_coordinator")
            || has("eviction_agent_busy") && (has("bad_nodes") || has("bad_results") || has("RPC error"))
        {
            Self::NodeHeld
        } else if has("eviction_agent_busy") {
            Self::AgentBusy
        } else if has("Nodes unavailable") || has("nodes_unavailable") || has("unavailable nodes") {
            Self::NodesUnavailable
        } else if has("Invalid nodes") || has("invalid_nodes") {
            Self::InvalidNodes
        } else if has("Node not found") {
            Self::NodeNotFound
        } else if has("RPC_ERROR") || has("RPC error") || has("bad_results") || has("bad_nodes") {
            Self::RpcFailed
        } else if has("Only enterprise edition can be rebalanced") {
            Self::NotEnterprise
        } else if has("is not ready") {
            Self::NotReady
        } else if text.starts_with("EMQX") && has("is not found") {
            Self::NotFound
        } else if has("request api failed: 400 Bad Request") {
            Self::NoReason
        } else if has("request api failed: 404") {
            Self::NodeNotFound
        } else if has("request api failed: 503") {
            Self::RpcFailed
        } else {
            return None;
        })
    }

    /// The refusal as a plain sentence, without a full stop.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::NothingToBalance => "EMQX found nothing to balance: the nodes are within both thresholds",
            Self::AlreadyStarted => "EMQX already runs one there",
            Self::NotStarted => "EMQX runs none there",
            Self::NodesUnavailable => {
                "EMQX reports a node as unavailable: it is down, or it already takes part in a rebalance or evacuation"
            }
            Self::InvalidNodes => "EMQX does not know one of the nodes by that name",
            Self::AgentBusy => "the node is a donor of a running rebalance, so it cannot be evacuated",
            Self::NodeHeld => {
                "another rebalance or evacuation holds this node, so EMQX could not start a second one with it"
            }
            Self::NodeNotFound => "EMQX reports that the node does not run",
            Self::RpcFailed => "an EMQX node did not answer the one that asked it",
            Self::BadParameter => "EMQX does not accept one of the values",
            Self::NotEnterprise => "this EMQX is the open source edition, which cannot rebalance before 5.9",
            Self::NotReady => "the operator reports the instance as not ready (EMQX may continue)",
            Self::NotFound => {
                "the operator does not find the instance by that kind and name in the Rebalance's namespace"
            }
            Self::NoReason => {
                "EMQX refused (400) and the operator dropped its reason: most often there was nothing to balance, \
                 or one already ran"
            }
        }
    }

    /// What the user can do about it.
    pub(crate) fn hint(self) -> Option<&'static str> {
        match self {
            Self::NothingToBalance | Self::NoReason => {
                Some("kubectl emqx rebalance plan shows what would make it start")
            }
            Self::AlreadyStarted | Self::NodesUnavailable | Self::AgentBusy | Self::NodeHeld => {
                Some("kubectl emqx status shows what runs; kubectl emqx rebalance stop ends it")
            }
            Self::InvalidNodes | Self::NodeNotFound | Self::RpcFailed => {
                Some("kubectl emqx nodes lists the nodes as EMQX names them")
            }
            Self::BadParameter => Some("kubectl emqx rebalance generate writes valid values"),
            Self::NotEnterprise => None,
            Self::NotReady => Some("kubectl emqx status shows EMQX's own state, which decides"),
            Self::NotStarted => Some("kubectl emqx status shows what runs"),
            Self::NotFound => Some("kubectl get emqx,emqxenterprise in that namespace"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_text_is_known() {
        for (text, expected) in [
            ("error on node 'emqx@a': nothing_to_balance", Refusal::NothingToBalance),
            (
                "Failed to start rebalance: error accessing p API u: HTTP 400, response: {\"code\": \"BAD_REQUEST\", \
                 \"message\": \"error on node 'emqx@a': nothing_to_balance\"}",
                Refusal::NothingToBalance,
            ),
            ("error on node 'emqx@a': already_started", Refusal::AlreadyStarted),
            ("error on node 'emqx@a': not_started", Refusal::NotStarted),
            ("error on node 'emqx@a': eviction_agent_busy", Refusal::AgentBusy),
            ("Nodes unavailable: ['emqx@a',\n    'emqx@b']", Refusal::NodesUnavailable),
            ("Invalid nodes: [<<\"emqx@x\">>]", Refusal::InvalidNodes),
            ("Node not found: emqx@x", Refusal::NodeNotFound),
            ("RPC error on node 'emqx@a': bad_results", Refusal::RpcFailed),
            (
                "Unsupported code 'RPC_ERROR', message <<\"RPC error on node 'emqx@b': {'EXIT',\n {{{bad_nodes,\n \
                 [{'emqx@a',\n {error,invalid_coordinator}}",
                Refusal::NodeHeld,
            ),
            ("RPC error: {bad_results,[{'emqx@a',{error,eviction_agent_busy}}]}", Refusal::NodeHeld),
            ("EMQX emqx is not ready", Refusal::NotReady),
            ("EMQX Enterprise emqx-ee is not found", Refusal::NotFound),
            ("Only enterprise edition can be rebalanced", Refusal::NotEnterprise),
            ("Failed to start rebalance: request api failed: 400 Bad Request", Refusal::NoReason),
            ("Failed to start rebalance: request api failed: 503 Service Unavailable", Refusal::RpcFailed),
        ] {
            assert_eq!(Refusal::parse(text), Some(expected), "{text}");
        }
        assert_eq!(Refusal::parse("something else"), None);
    }
}
