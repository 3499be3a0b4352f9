//! The limits of the simulated EMQX: its licence, and the rates at which its listeners accept clients.

use serde::Deserialize;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Licence {
    /// `official`, `trial` or `community`.
    #[serde(default = "official")]
    pub kind: String,
    /// 10 is an evaluation.
    #[serde(default)]
    pub customer_type: u64,
    /// Sessions of all nodes together.
    #[serde(default = "many")]
    pub max_sessions: u64,
    /// The day on which it ends.
    #[serde(default = "far")]
    pub expiry_at: String,
    /// Whether that day is over.
    #[serde(default)]
    pub expired: bool,
}

fn official() -> String {
    "official".to_owned()
}

fn many() -> u64 {
    100_000_000
}

fn far() -> String {
    "2099-12-31".to_owned()
}

impl Default for Licence {
    fn default() -> Self {
        Self { kind: official(), customer_type: 0, max_sessions: many(), expiry_at: far(), expired: false }
    }
}

/// A listener of every node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listener {
    /// `tcp:default`.
    pub id: String,
    /// The configured rate: `1000/s`; unlimited when absent.
    #[serde(default)]
    pub max_conn_rate: Option<String>,
    /// The percentage of clients that are connected through it.
    #[serde(default = "all")]
    pub percent: u64,
}

fn all() -> u64 {
    100
}

/// The listener of a cluster that configures none.
pub(super) fn usual() -> Vec<Listener> {
    vec![Listener { id: "tcp:default".to_owned(), max_conn_rate: None, percent: all() }]
}
