//! The preparation of every `upgrade` command: the resolved target, the checks, the forecast, and the change.

use jiff::Timestamp;
use serde_json::Value;

use crate::cli::intent::WriteOptions;
use crate::commands::cluster_view::{self, ClusterView};
use crate::commands::{CommandContext, confirmation, surroundings};
use crate::error::{Exit, Problem};
use crate::model::upgrade::UpgradeRequest;
use crate::model::{GuardState, Instance, World};
use crate::plan::check::{Planned, Purpose, upgrade_reconnects};
use crate::plan::finding::{Decision, skip};
use crate::plan::rebalance::progress::Counts;
use crate::plan::snapshot::snapshot;
use crate::plan::upgrade::change::{OperatorHold, UpgradeRecord, body, edit, state};
use crate::plan::upgrade::check::{FieldOwner, UpgradeCheck};
use crate::plan::upgrade::field_owners::{claim, owners};
use crate::plan::upgrade::forecast::{UpgradePlan, forecast};
use crate::plan::upgrade::preflight::findings;
use crate::plan::upgrade::revisions::UpgradeRevisions;
use crate::plan::upgrade::target::UpgradeTarget;
use crate::plan::upgrade::undo::{self, Undo};
use crate::ports::{RefreshScope, Right};

/// The input of the checks.
#[derive(Clone, Copy)]
pub(super) struct UpgradeInput<'a> {
    pub(super) ask: &'a UpgradeRequest,
    /// Whether fields of other tools may be taken over.
    pub(super) force: bool,
    /// Checks that do not refuse it.
    pub(super) skip: &'a [String],
    /// The field manager of the change.
    pub(super) manager: &'a str,
    /// The user's reason.
    pub(super) reason: Option<&'a str>,
    /// The effect of the undo, where it is one.
    pub(super) back: Option<&'a Undo>,
}

/// What would be done.
pub(super) struct Prepared {
    /// The resolved target.
    pub(super) target: UpgradeTarget,
    /// The forecast, checked.
    pub(super) plan: UpgradePlan,
    /// The fields that are to be applied.
    pub(super) change: Value,
    /// The state that is stored before the change.
    pub(super) state: GuardState,
    /// Applied first, so that the change can remove fields of an earlier version of this program.
    pub(super) claim: Option<Value>,
    /// Users whose fields are taken over.
    pub(super) people: Vec<FieldOwner>,
    /// Whether other managers' fields are taken over.
    pub(super) force: bool,
    /// Why the object could not be read whole.
    pub(super) unread: Option<String>,
}

/// The checks of a rollback: a running upgrade would block the other checks.
const BACK: [&str; 6] =
    ["deleting", "field-conflict", "fields-taken-over", "gitops", "no-permission", "version-refused"];

/// Prepares the change from the gathered facts.
pub(super) async fn prepare(
    context: &CommandContext,
    cluster: &ClusterView,
    request: UpgradeInput<'_>,
) -> Result<Prepared, Problem> {
    let instance = cluster.instance()?;
    let rights = context.kubernetes.may(&Right::of_upgrade(&cluster.id)).await.unwrap_or_default();
    let right = |place: usize| rights.get(place).copied().flatten();
    let ask = UpgradeRequest { gates: right(1), ..request.ask.clone() };
    let mut target = UpgradeTarget::of(instance, &ask)?;
    target.undo = request.back == Some(&Undo::Keep);
    if request.back.is_none() {
        target.from = previous(&cluster.world, instance, &target).or(target.from);
    }
    let now = context.clock.now();
    let world = &cluster.world;
    let snapshot = snapshot(world, &cluster.id, now);
    let Some(mut plan) = forecast(world, &cluster.id, &target) else {
        return Err(Problem::new(format!("{} is gone", cluster.id), ""));
    };
    let record = record(world, instance, &target, request.back, now);
    let state = state(instance, &target, OperatorHold::Held, Some(record), request.reason.map(str::to_owned));
    let change = body(instance, &target, OperatorHold::Held);
    // Only the object has the owners of fields; without it the apply reports conflicts.
    let object = context.kubernetes.object(&cluster.id).await;
    let unread =
        object.as_ref().err().map(|problem| format!("{problem}: who else keeps its fields is not known"));
    let object = object.ok().flatten().unwrap_or_default();
    let owners = owners(&object, &change, request.manager);
    let claim = claim(&object, &change);
    let check = UpgradeCheck {
        world,
        instance,
        snapshot: &snapshot,
        ask: &ask,
        target: &target,
        owners: &owners,
        force: request.force,
        allowed: right(0),
        stores: [right(2), right(3)],
        scales: right(4),
    };
    let mut found = findings(&check);
    match request.back {
        // After the end an undo is an ordinary upgrade, even to an older image.
        None | Some(Undo::Upgrade) => {}
        Some(_) => found.retain(|finding| BACK.contains(&finding.id)),
    }
    if let Some(back) = request.back {
        undo::plan(&mut plan, back);
    }
    skip(&mut found, request.skip);
    skip(&mut plan.findings, request.skip);
    plan.judge(found);
    if request.back.is_none() && plan.decision == Decision::Go {
        let planned = Planned {
            reconnects: upgrade_reconnects(&snapshot, target.update.conn_evict_rate),
            wait_health_check: Some(target.timing(instance).wait_health_check),
            image: Some(&target.to),
            writes: true,
            ..Planned::default()
        };
        let found =
            Box::pin(surroundings::findings(context, cluster, Purpose::Upgrade, planned, request.skip)).await;
        // The measured capacity replaces the request to verify it.
        let measured = found.iter().any(|finding| finding.id == "capacity");
        plan.findings.retain(|finding| !measured || finding.id != "capacity");
        plan.judge(found);
    }
    let force = request.force || !owners.is_empty();
    let people = owners.into_iter().filter(FieldOwner::is_person).collect();
    Ok(Prepared { target, plan, change, state, claim, people, force, unread })
}

/// The image before an upgrade to the image that the object has already, while pods of another image run: what is continued did
/// not begin with its own image.
fn previous(world: &World, instance: &Instance, target: &UpgradeTarget) -> Option<String> {
    if instance.image.as_deref() != Some(target.to.as_str()) {
        return None;
    }
    let revisions =
        UpgradeRevisions::of(world, &instance.id).filter(|it| it.in_transition() && !it.converged())?;
    let other = |image: &String| *image != target.to;
    let recorded = instance.upgrade_record().and_then(|record| record.from).filter(other);
    recorded.or_else(|| revisions.old_images().into_iter().map(str::to_owned).find(other))
}

/// The record that is stored with the change, for the client that sees the end.
fn record(
    world: &World,
    instance: &Instance,
    target: &UpgradeTarget,
    back: Option<&Undo>,
    now: Timestamp,
) -> UpgradeRecord {
    let counts =
        world.broker(&instance.id).nodes.as_ref().map(|nodes| Counts::of(&nodes.value)).unwrap_or_default();
    // During a rollback the previous and the target image are equal, and the clients are those at the start.
    let half_way = back.is_some_and(|back| *back != Undo::Upgrade);
    let first = instance.upgrade_record().filter(|_| half_way);
    let connections = first.as_ref().and_then(|first| first.connections);
    let sessions = first.as_ref().and_then(|first| first.sessions);
    UpgradeRecord {
        version: 1,
        time: now,
        from: if half_way { Some(target.to.clone()) } else { target.from.clone() },
        to: target.to.clone(),
        version_only: target.version_only,
        connections: connections.or_else(|| counts.all_connections()),
        sessions: sessions.or_else(|| counts.all_sessions()),
        edit: if half_way { Vec::new() } else { edit(instance, target) },
    }
}

impl Prepared {
    /// The part of the prompt that names the owners of fields that are taken over.
    pub(super) fn takes_over(&self) -> String {
        let one = |owner: &FieldOwner| format!("{} from {}", owner.fields.join(", "), owner.manager);
        let people: Vec<String> = self.people.iter().map(one).collect();
        if people.is_empty() { String::new() } else { format!(", taking over {}", people.join("; ")) }
    }

    /// Prints the plan; returns an exit when there is nothing to do, or when it is refused.
    pub(super) fn decided(
        &self,
        context: &CommandContext,
        write: &WriteOptions,
        refused: String,
    ) -> Result<Option<Exit>, Problem> {
        let plan = &self.plan;
        context.printer.talk_upgrade_plan(plan, context.clock.now());
        confirmation::decided(context, write, plan.decision, &plan.message, &plan.findings, refused)
    }
}

/// Reads all sources again, because the prompt took time.
pub(super) async fn again(context: &CommandContext, cluster: &mut ClusterView) -> Result<(), Problem> {
    cluster_view::relist(context, cluster, RefreshScope::ALL).await?;
    cluster_view::refresh(context, cluster).await
}
