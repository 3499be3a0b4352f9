//! The Lease that shows whether the operator's process is alive: controller-runtime's leader election
//! ([OP-80]).

use jiff::Timestamp;

/// The Lease's name in every operator line: the operator's `LeaderElectionID`.
pub(crate) const OPERATOR_LEASE: &str = "19fd6fcc.emqx.io";

/// The namespace in which the manual and the chart install the operator.
pub(crate) const OPERATOR_NAMESPACE: &str = "emqx-operator-system";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorLease {
    /// The operator's own namespace.
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The process that holds it; `None` when it was released.
    pub holder: Option<String>,
    /// The last renewal: by the API server's clock where it reports one, else by the operator's.
    pub renewed: Option<Timestamp>,
    /// Seconds after the renewal at which another process may take it.
    pub seconds: u64,
}
