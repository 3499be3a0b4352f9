//! The checks of the command `check`: one result per check of the [`catalog`], from the checks that the
//! operations run before they start, and from the checks of what surrounds the cluster ([`around`]). Nothing
//! is changed.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::evacuation::checks::EvacuatedBy;
use super::evacuation::{self, Settings};
use super::finding::{Finding, Severity};
use super::rebalance::preflight::{self, RebalanceRequest};
use super::snapshot::Snapshot;
use super::upgrade::field_owners::owners;
use super::upgrade::preflight as upgrade;
use super::upgrade::target::UpgradeTarget;
use super::{drain, upgrade::change};
use crate::model::drain::Placement;
use crate::model::image::Image;
use crate::model::report::EmqxReport;
use crate::model::scale::Autoscalers;
use crate::model::surroundings::Surroundings;
use crate::model::upgrade::{DrainMethod, UpgradeRequest, Wanted};
use crate::model::{
    Backend, BackendRequest, BrokerState, FIELD_MANAGER, Instance, InstanceId, NodeName, Role, Strategy,
    World,
};
use crate::plan::cluster_checks;
use crate::plan::rebalance::backend::backend;
use crate::plan::rebalance::plan::Return;
use crate::plan::upgrade::check::UpgradeCheck;

pub mod around;
pub mod catalog;
pub mod emqx;

#[cfg(test)]
mod tests;

pub use crate::model::check::SURROUNDINGS;
pub use catalog::{CATALOG, Need, Purpose};

/// The result of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// Nothing was found.
    Ok,
    /// What the check needs could not be read.
    Unknown,
    /// The user should consider it before an operation.
    Warning,
    /// Refuses an operation.
    Blocked,
}

impl CheckStatus {
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Blocked => "blocked",
        }
    }
}

/// One check, and what it found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckResult {
    /// The id; what `--skip-check` takes where the check can be skipped.
    pub id: &'static str,
    /// The result.
    pub status: CheckStatus,
    /// What was found, or that nothing was.
    pub evidence: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

/// The checks of one cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checks {
    /// The cluster.
    pub instance: InstanceId,
    /// A result for each check, in the order of the catalog.
    pub checks: Vec<CheckResult>,
}

impl Checks {
    /// The number of checks with this result.
    pub(crate) fn number(&self, status: CheckStatus) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }
}

/// A permission and whether it was granted; `None` where the server could not be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The operation that needs it.
    pub purpose: Purpose,
    /// Verb and resource, as `patch pods/status`.
    pub right: String,
    /// The answer.
    pub allowed: Option<bool>,
}

/// What is read beside the world. `None` is what could not be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside {
    /// Kubernetes nodes, pods, PodDisruptionBudgets and volumes.
    pub placement: Option<Placement>,
    /// Autoscalers of the namespace.
    pub autoscalers: Option<Autoscalers>,
    /// Services, quotas and the conversion webhook.
    pub surroundings: Surroundings,
    /// The object with the managers of its fields.
    pub object: Option<Value>,
    /// The permissions of the operations.
    pub permissions: Vec<Permission>,
    /// What EMQX reports about itself.
    pub emqx: EmqxReport,
}

/// What an operation would do, as far as the checks of its surroundings depend on it. `None` is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planned<'a> {
    /// The most clients that reconnect to one node in a second.
    pub reconnects: Option<u64>,
    /// Seconds before the first client is disconnected.
    pub wait_health_check: Option<u64>,
    /// The image that is to run.
    pub image: Option<&'a str>,
    /// The pods that are added.
    pub added: Option<AddedPods>,
    /// Whether an object of the instance's CRD is written.
    pub writes: bool,
}

/// Pods that a scale-up adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddedPods {
    pub role: Role,
    pub number: u64,
}

/// What is checked.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub world: &'a World,
    /// The cluster.
    pub instance: &'a Instance,
    pub snapshot: &'a Snapshot,
    /// What is read beside the world.
    pub beside: &'a Beside,
}

impl<'a> Subject<'a> {
    /// What the EMQX of the instance has answered.
    pub(crate) fn broker(&self) -> &'a BrokerState {
        self.world.broker(&self.instance.id)
    }
}

/// Every check for one operation, or for all.
pub(crate) fn check(subject: Subject<'_>, purpose: Option<Purpose>) -> Checks {
    let purposes: Vec<Purpose> = purpose.map_or_else(|| Purpose::ALL.to_vec(), |one| vec![one]);
    let mut found: BTreeMap<&'static str, Vec<Finding>> = BTreeMap::new();
    for finding in purposes.iter().flat_map(|purpose| findings(subject, *purpose)) {
        found.entry(finding.id).or_default().push(finding);
    }
    let checks = CATALOG
        .iter()
        .filter(|entry| purposes.iter().any(|purpose| entry.purposes.contains(purpose)))
        .map(|entry| {
            let ids = std::iter::once(&entry.id).chain(entry.also);
            let own: Vec<&Finding> = ids.filter_map(|id| found.get(id)).flatten().collect();
            // Of equally severe findings the first one is shown: it is of the operation that is named first.
            // Of informational ones the last is shown: the checks of the surroundings measure what the others
            // only ask the user to verify.
            let worst = own.iter().rev().max_by_key(|finding| finding.severity);
            let shown = worst.filter(|finding| finding.severity != Severity::Info).or(own.last());
            result(entry, shown.copied(), subject)
        })
        .collect();
    Checks { instance: subject.instance.id.clone(), checks }
}

fn result(entry: &catalog::CatalogEntry, found: Option<&Finding>, subject: Subject<'_>) -> CheckResult {
    let of = |status, evidence: String, hint| CheckResult { id: entry.id, status, evidence, hint };
    let way_out =
        |finding: &Finding| Some(finding.hint.clone().unwrap_or_else(|| entry.way_out.replace('`', "")));
    match found {
        Some(finding) if finding.severity == Severity::Blocked => {
            of(CheckStatus::Blocked, finding.message.clone(), way_out(finding))
        }
        Some(finding) if finding.severity == Severity::Warning => {
            of(CheckStatus::Warning, finding.message.clone(), way_out(finding))
        }
        other => {
            if let Some((why, hint)) = entry.needs.iter().find_map(|need| need.missing(subject)) {
                return of(CheckStatus::Unknown, why, Some(hint));
            }
            let info = other.map(|finding| finding.message.clone());
            of(CheckStatus::Ok, info.unwrap_or_else(|| entry.ok.to_owned()), None)
        }
    }
}

/// What the checks of one operation find.
fn findings(subject: Subject<'_>, purpose: Purpose) -> Vec<Finding> {
    let (mut found, planned) = match purpose {
        Purpose::Rebalance => of_rebalance(subject),
        Purpose::Upgrade => of_upgrade(subject),
        Purpose::Evacuate => of_evacuation(subject),
        Purpose::Drain => of_drain(subject),
    };
    found.extend(of_cluster(subject, purpose));
    found.extend(around::findings(subject, purpose, planned));
    found
}

/// Findings about the cluster, for operations whose own checks do not cover it. Those that do not refuse are
/// warnings.
fn of_cluster(subject: Subject<'_>, purpose: Purpose) -> Vec<Finding> {
    let Subject { world, instance, snapshot, .. } = subject;
    if purpose == Purpose::Rebalance {
        return Vec::new();
    }
    let mut found = cluster_checks::membership_findings(world, instance, snapshot);
    if purpose == Purpose::Upgrade {
        found.extend(super::removal::not_asked(world, snapshot));
    }
    for finding in &mut found {
        finding.severity = finding.severity.min(Severity::Warning);
    }
    if purpose != Purpose::Upgrade {
        found.extend(super::removal::not_asked(world, snapshot));
    }
    found.extend(cluster_checks::wrong_emqx(snapshot));
    found
}

/// The checks of the surroundings that an operation runs before it starts, beside its own: only findings
/// against it. What its own checks report, and what could not be read, is left out.
pub(crate) fn before(subject: Subject<'_>, purpose: Purpose, planned: Planned<'_>) -> Vec<Finding> {
    let mut found = around::findings(subject, purpose, planned);
    let matters = |finding: &Finding| {
        let entry = CATALOG.iter().find(|entry| entry.id == finding.id);
        // A scale-up has the purpose of its evacuations.
        let added = planned.added.is_some() && ["capacity", "quota"].contains(&finding.id);
        added
            || entry.is_some_and(|entry| entry.purposes.contains(&purpose))
                && !(finding.id == "cordoned-nodes" && purpose == Purpose::Drain)
    };
    found.retain(|finding| {
        SURROUNDINGS.contains(&finding.id) && finding.severity != Severity::Info && matters(finding)
    });
    found
}

/// The checks of `rebalance apply`, with EMQX's default strategy.
fn of_rebalance(subject: Subject<'_>) -> (Vec<Finding>, Planned<'static>) {
    let Subject { world, instance, snapshot, .. } = subject;
    let (backend, refused) =
        match backend(BackendRequest::Auto, &world.kubernetes.served, instance, snapshot.operator_process) {
            Ok((backend, _)) => (backend, None),
            Err(problem) => {
                let finding = Finding::blocked("no-rebalance-api", problem.why);
                (Backend::Emqx, Some(finding))
            }
        };
    let strategy = Strategy::default();
    let request = RebalanceRequest {
        strategy: &strategy,
        back: Return::default(),
        backend,
        name: None,
        allowed: None,
        skip: &[],
    };
    let (mut found, reconnects) = match preflight::plan(world, snapshot, request) {
        Ok(plan) => (plan.findings, Some(plan.moves.peak_reconnects_per_second)),
        Err(_) => (preflight::obstacles(world, instance, snapshot), None),
    };
    found.extend(refused);
    let wait_health_check = Some(strategy.wait_health_check_seconds);
    let writes = backend == Backend::Rebalance;
    (found, Planned { reconnects, wait_health_check, writes, ..Planned::default() })
}

/// The checks of `upgrade apply`, for the image that runs: the new one is not known.
fn of_upgrade(subject: Subject<'_>) -> (Vec<Finding>, Planned<'static>) {
    let Subject { world, instance, snapshot, beside } = subject;
    let planned = Planned {
        reconnects: upgrade_reconnects(snapshot, instance.update.conn_evict_rate),
        writes: true,
        ..Planned::default()
    };
    let Some(image) = instance.image.as_deref().and_then(|image| Image::parse(image).ok()) else {
        return (Vec::new(), planned);
    };
    let ask = UpgradeRequest {
        wanted: Wanted::Image(image),
        way: None,
        manner: DrainMethod::default(),
        conn_evict_rate: None,
        sess_evict_rate: None,
        wait_takeover: None,
        wait_health_check: None,
        gates: None,
    };
    let Ok(target) = UpgradeTarget::of(instance, &ask) else { return (Vec::new(), planned) };
    let owners = beside.object.as_ref().map(|object| {
        // A value that differs from the present one: equal values conflict with no field manager.
        let mut other = target.clone();
        other.to.push_str("-other");
        owners(object, &change::body(instance, &other, change::OperatorHold::Own), FIELD_MANAGER)
    });
    let check = UpgradeCheck {
        world,
        instance,
        snapshot,
        ask: &ask,
        target: &target,
        owners: owners.as_deref().unwrap_or_default(),
        force: false,
        allowed: None,
        stores: [None, None],
        scales: None,
    };
    (upgrade::findings(&check), planned)
}

/// The clients that reconnect to one of the new nodes in a second, if as many as these are disconnected.
pub(crate) fn upgrade_reconnects(snapshot: &Snapshot, conn_evict_rate: Option<u64>) -> Option<u64> {
    let nodes = snapshot.participants().len() as u64;
    conn_evict_rate.filter(|_| nodes > 0).map(|rate| rate.div_ceil(nodes))
}

/// The checks of `evacuate start` of the node with the most clients.
fn of_evacuation(subject: Subject<'_>) -> (Vec<Finding>, Planned<'static>) {
    let Subject { world, snapshot, .. } = subject;
    let rows = snapshot.participants();
    let fullest = rows.iter().max_by_key(|row| row.connections).and_then(|row| row.node.clone());
    let nodes: Vec<NodeName> = fullest.into_iter().collect();
    let planned = match evacuation::checks::plan(
        world,
        snapshot,
        &nodes,
        &Settings::default(),
        &[],
        EvacuatedBy::Evacuate,
    ) {
        Ok(plan) if !nodes.is_empty() => plan,
        _ => return (Vec::new(), Planned::default()),
    };
    let reconnects = planned.recipients.iter().map(|node| node.reconnects_per_second).max();
    let wait_health_check = Some(planned.settings.wait_health_check_seconds);
    (planned.findings, Planned { reconnects, wait_health_check, ..Planned::default() })
}

/// The checks of a drain of each Kubernetes node with pods of this cluster, one at a time.
fn of_drain(subject: Subject<'_>) -> (Vec<Finding>, Planned<'static>) {
    let Subject { world, instance, snapshot, beside } = subject;
    let mut planned = Planned::default();
    let Some(placement) = &beside.placement else { return (Vec::new(), planned) };
    let mut machines: Vec<&str> =
        world.pods_of(&instance.id).filter_map(|pod| placement.pod(&pod.uid)?.machine.as_deref()).collect();
    machines.sort_unstable();
    machines.dedup();
    let mut found = Vec::new();
    for machine in machines {
        let request = drain::DrainRequest {
            machines: vec![machine.to_owned()],
            parallel: 1,
            cordon: true,
            settings: Settings::default(),
            skip: Vec::new(),
        };
        let Ok(Some(plan)) = drain::plan(world, snapshot, placement, &request) else { continue };
        planned.reconnects = planned.reconnects.max(Some(plan.removal.reconnects_per_second));
        planned.wait_health_check = Some(plan.removal.settings.wait_health_check_seconds);
        found.extend(plan.removal.findings.into_iter().map(|mut finding| {
            if !finding.message.contains(machine) {
                finding.message = format!("drain of {machine}: {}", finding.message);
            }
            finding
        }));
    }
    (found, planned)
}
