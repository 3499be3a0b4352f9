//! EMQX's refusals with its own texts. Seen on EMQX 5.4.1, 5.8.11 and 5.10.4.

/// Why EMQX refuses a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400 `BAD_REQUEST` with this message.
    Bad(String),
    /// 400 `NOT_FOUND`: nodes that are down or whose agent is on.
    Unavailable(Vec<String>),
    /// 404 `NOT_FOUND`: the node in the path does not run.
    NoNode(String),
    /// The coordinator crashed at the start: the eviction agents of these donors refused its call, each for
    /// this reason. EMQX 5 answers 500 with a text that is not JSON.
    Rpc {
        /// The coordinator.
        node: String,
        /// Whether this EMQX calls them `bad_results` (5.9 and later) or `bad_nodes`.
        results: bool,
        /// Donor and reason.
        donors: Vec<(String, &'static str)>,
    },
}

impl Refusal {
    pub(super) fn on(node: &str, why: &str) -> Self {
        Self::Bad(format!("error on node '{node}': {why}"))
    }

    /// EMQX's message.
    pub fn message(&self) -> String {
        match self {
            Self::Bad(text) => text.clone(),
            Self::Rpc { node, results, donors } => {
                let word = if *results { "bad_results" } else { "bad_nodes" };
                let reasons: Vec<String> = donors
                    .iter()
                    .map(|(donor, reason)| format!("{{'{donor}',\n{:42}{{error,{reason}}}}}", ""))
                    .collect();
                let list = reasons.join(&format!(",\n{:41}", ""));
                let deeper = format!(
                    ",\n{:40}{{gen_statem,loop_state_callback,11,\n{:41}[{{file,\n{:43}\"gen_statem.erl\"}},\n{:42}{{line,1395}}]}}",
                    "", "", "", ""
                );
                format!(
                    "RPC error on node '{node}': {{'EXIT',\n{:37}{{{{{{{word},\n{:40}[{list}]}},\n{:39}\
                     [{{emqx_node_rebalance,multicall,3,\n{:41}[{{file,\n{:43}\"/opt/emqx\"}},\n{:42}{{line,387}}]}}{}]}},\n\
                     {:38}{{gen_statem,call,\n{:39}[emqx_node_rebalance,start,5000]}}}}}}",
                    "",
                    "",
                    "",
                    "",
                    "",
                    "",
                    deeper.repeat(20),
                    "",
                    ""
                )
            }
            Self::NoNode(node) => format!("Node not found: {node}"),
            Self::Unavailable(nodes) => {
                let quoted: Vec<String> = nodes.iter().map(|node| format!("'{node}'")).collect();
                format!("Nodes unavailable: [{}]", quoted.join(","))
            }
        }
    }

    /// The answer of EMQX 5 when the coordinator crashed, with 500 and as `application/json`: the schema of
    /// its API has no such code, so that the web server fails, and sends its failure unchanged. `later` is
    /// 5.5 or later.
    pub fn crash(&self, later: bool) -> Option<String> {
        let Self::Rpc { .. } = self else { return None };
        let word = if later { "Unsupported code" } else { "not support code" };
        // The term is printed twice, so that its line breaks and quotes are written out.
        let inner = self.message().replace('"', "\\\"").replace('\n', "\\n");
        Some(format!(
            "{word} 'RPC_ERROR', message <<\"{inner}\">>, schema def ['NOT_FOUND',\n{:2100}'BAD_REQUEST']",
            ""
        ))
    }

    /// v5's HTTP status and code.
    pub fn code(&self) -> (u16, &'static str) {
        match self {
            Self::Bad(_) => (400, "BAD_REQUEST"),
            Self::Unavailable(_) => (400, "NOT_FOUND"),
            Self::NoNode(_) => (404, "NOT_FOUND"),
            Self::Rpc { .. } => (500, "RPC_ERROR"),
        }
    }
}
