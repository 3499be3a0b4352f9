//! What the commands pass to `output`: the documents of the contract, in its terms. `output` adds `apiVersion` and `kind`.

use jiff::Timestamp;
use serde::Serialize;

use super::assessment::{Assessment, OperationStatus, RebalanceStatus};
use super::operator::OperatorProcess;
use super::snapshot::{NodeRow, SourceAge, Totals};
use crate::model::{
    ApiVersion, Backend, InstanceId, NodeName, Operation, OperatorLine, Phase, PodName, Rebalance, Source,
    Verdict,
};
use crate::plan::discrepancies::MembershipSummary;
use crate::plan::health::Health;

/// The operator, in a [`Status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorStatus {
    pub line: OperatorLine,
    /// Seconds since its last dated status update or event.
    pub silent_seconds: Option<u64>,
    /// Whether its process is alive, by its Lease; `None` where that is not known.
    pub process: Option<OperatorProcess>,
    /// Seconds since its Lease was renewed; `None` where that is not known.
    pub lease_seconds: Option<u64>,
}

/// The sources, in a [`Status`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceReport {
    /// Custom resources.
    pub kubernetes: SourceAge,
    /// Pods and sets.
    pub pods: SourceAge,
    pub endpoints: SourceAge,
    /// EMQX's API.
    pub emqx: SourceAge,
}

impl SourceReport {
    /// Each source with its name.
    pub(crate) fn each(&self) -> [(Source, &SourceAge); 4] {
        [
            (Source::Kubernetes, &self.kubernetes),
            (Source::Pods, &self.pods),
            (Source::Endpoints, &self.endpoints),
            (Source::Emqx, &self.emqx),
        ]
    }
}

/// One cluster at one moment: `status`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The cluster.
    pub instance: InstanceId,
    /// The API version; `None` is written `none`.
    #[serde(serialize_with = "or_none")]
    pub api: Option<ApiVersion>,
    pub operator: OperatorStatus,
    /// `Enterprise` or `Opensource`.
    pub edition: Option<String>,
    /// EMQX versions that run.
    pub versions: Vec<String>,
    pub nodes: Vec<NodeRow>,
    /// The totals over all nodes.
    pub totals: Totals,
    /// The kind of the operation that runs.
    pub operation: Operation,
    pub phase: Option<String>,
    /// Work done, in percent.
    pub percent: Option<u8>,
    /// Seconds to its end.
    pub eta_seconds: Option<u64>,
    /// The verdict at this moment.
    pub verdict: Verdict,
    /// The reason for the verdict, as a sentence.
    pub message: String,
    /// The condition of the instance.
    pub health: Health,
    /// Its nodes compared with its pods.
    pub membership: MembershipSummary,
    /// The operations that run; the verdict is about the first one.
    pub operations: Vec<OperationStatus>,
    pub sources: SourceReport,
    /// Whether clients are spread unevenly over nodes that are all members.
    #[serde(skip)]
    pub uneven: bool,
    /// EMQX was not asked, and all nodes serve: nothing suggests that an operation runs.
    #[serde(skip)]
    pub quiet: bool,
    /// The command to type next.
    #[serde(skip)]
    pub next: Option<String>,
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn or_none<S: serde::Serializer>(api: &Option<ApiVersion>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(api.map_or("none", ApiVersion::as_str))
}

/// The nodes of one cluster: `nodes`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Nodes {
    /// The cluster.
    pub instance: InstanceId,
    /// Its nodes.
    pub items: Vec<NodeRow>,
}

/// One rebalance, running or past: an item of `rebalance list`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceItem {
    /// The object's name, or `coordinator/NODE`.
    pub name: String,
    /// The cluster.
    pub instance: InstanceId,
    /// The phase that the operator reports.
    pub phase: Option<String>,
    /// The present verdict, or the verdict at its end.
    pub verdict: Verdict,
    /// The reason for the verdict, as a sentence.
    pub message: String,
    /// When it started.
    pub started_time: Option<Timestamp>,
    /// How long it took, or takes so far.
    pub duration_seconds: Option<u64>,
    /// The backend that drives it.
    pub backend: Backend,
    /// Whether its deletion was requested.
    #[serde(skip)]
    pub terminating: bool,
    /// Whether it should be stopped.
    #[serde(skip)]
    pub alarm: bool,
}

impl RebalanceItem {
    /// The item of a rebalance that has an object.
    pub(crate) fn of_object(
        id: &InstanceId,
        object: &Rebalance,
        verdict: Verdict,
        message: String,
        duration_seconds: Option<u64>,
    ) -> Self {
        Self {
            name: object.name.clone(),
            instance: id.clone(),
            phase: object.phase.text().map(str::to_owned),
            verdict,
            message,
            started_time: object.started.or(object.created.filter(|_| object.phase != Phase::Pending)),
            duration_seconds,
            backend: Backend::Rebalance,
            terminating: object.deleting.is_some(),
            alarm: false,
        }
    }
}

/// The items of `rebalance list` for one instance.
pub fn items(assessment: &Assessment) -> Vec<RebalanceItem> {
    let id = &assessment.snapshot.instance;
    let item = |is: &RebalanceStatus| match &is.object {
        Some(object) => {
            RebalanceItem::of_object(id, object, is.verdict, is.message.clone(), is.duration_seconds)
        }
        None => RebalanceItem {
            name: is.name.clone(),
            instance: id.clone(),
            phase: None,
            verdict: is.verdict,
            message: is.message.clone(),
            started_time: None,
            duration_seconds: is.duration_seconds,
            backend: Backend::Emqx,
            terminating: false,
            alarm: false,
        },
    };
    assessment.rebalances.iter().map(|is| RebalanceItem { alarm: is.alarm.is_some(), ..item(is) }).collect()
}

/// What `apply` did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Applied<P> {
    /// `rebalance.apps.emqx.io/NAME`, or `coordinator/NODE`; of an upgrade the instance.
    pub name: String,
    /// The cluster.
    pub instance: InstanceId,
    /// The backend that drives it; `None` for an upgrade, which has only one way.
    pub backend: Option<Backend>,
    /// The plan that was applied.
    pub plan: P,
}

/// What `stop` did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stopped {
    /// The rebalance.
    pub name: String,
    /// The cluster.
    pub instance: InstanceId,
    /// The backend that drove it.
    pub backend: Backend,
    /// The verdict after the stop.
    pub verdict: Verdict,
    /// The reason.
    pub message: String,
    /// The observations that verify it.
    pub proof: Vec<String>,
}

impl Stopped {
    /// The message after the verdict: one that begins with the verdict does not repeat it.
    pub(crate) fn tail(&self) -> String {
        match self.message.strip_prefix(self.verdict.words()) {
            Some(rest) => rest.to_owned(),
            None if self.message.is_empty() => String::new(),
            None => format!(", {}", self.message),
        }
    }

    /// What stopped, and what verifies it, as sentences.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let first = format!("{}: {}{}", self.name, self.verdict.words(), self.tail());
        [first].into_iter().chain(self.proof.iter().cloned()).collect()
    }
}

/// The evacuation of one node: `evacuate status`, an item of `evacuate list`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EvacuationItem {
    /// The cluster.
    pub instance: InstanceId,
    pub node: NodeName,
    pub pod: Option<PodName>,
    /// EMQX's own name of its stage; `None` when the node is not evacuated.
    pub state: Option<String>,
    /// Live clients at the start.
    pub initial_connections: Option<u64>,
    /// Live clients now.
    pub connections: Option<u64>,
    /// Sessions at the start.
    pub initial_sessions: Option<u64>,
    /// Sessions now.
    pub sessions: Option<u64>,
    /// The nodes to which EMQX moves sessions.
    pub recipients: Vec<NodeName>,
    /// Work done, in percent.
    pub percent: Option<u8>,
    /// Seconds to its end.
    pub eta_seconds: Option<u64>,
    /// The verdict at this moment.
    pub verdict: Verdict,
    /// The reason for the verdict, as a sentence.
    pub message: String,
}

/// The versions of all components: `version`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VersionReport {
    /// This program.
    pub plugin: String,
    /// The API server.
    pub kubernetes: Option<String>,
    pub operator: OperatorLine,
    /// Each cluster with the EMQX versions that run.
    pub clusters: Vec<ClusterVersion>,
}

/// One cluster in a [`VersionReport`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClusterVersion {
    /// The cluster.
    pub instance: InstanceId,
    /// The API version of its custom resource; `None` is written `none`.
    #[serde(serialize_with = "or_none")]
    pub api: Option<ApiVersion>,
    /// The versions that run.
    pub versions: Vec<String>,
}
