//! What every verb of `upgrade` needs before it does anything: what follows from what was asked, the checks, the forecast,
//! and the change.

use jiff::Timestamp;
use serde_json::Value;

use crate::cli::intent::Write;
use crate::commands::gather::{self, Gathered};
use crate::commands::{Hands, decide};
use crate::error::{Exit, Problem};
use crate::model::upgrade::Ask;
use crate::model::{GuardState, Instance, World};
use crate::plan::picture::picture;
use crate::plan::progress::Counts;
use crate::plan::rebalance::skip;
use crate::plan::upgrade::ask::Settled;
use crate::plan::upgrade::change::{Hold, UpgradeRecord, body, edit, state};
use crate::plan::upgrade::forecast::{UpgradePlan, forecast};
use crate::plan::upgrade::owners::{claim, owners};
use crate::plan::upgrade::preflight::{Check, FieldOwner, findings};
use crate::plan::upgrade::undo::{self, Undo};
use crate::seam::{Right, Want};

/// What is asked of the checks.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    /// What is wanted.
    pub(super) ask: &'a Ask,
    /// Whether fields of other tools may be taken over.
    pub(super) force: bool,
    /// Checks that do not refuse it.
    pub(super) skip: &'a [String],
    /// As whom it would be changed.
    pub(super) manager: &'a str,
    /// Why, in the user's own words.
    pub(super) reason: Option<&'a str>,
    /// What it comes to, where it is the way back.
    pub(super) back: Option<&'a Undo>,
}

/// What would be done.
pub(super) struct Prepared {
    /// What follows from what was asked.
    pub(super) settled: Settled,
    /// The forecast, checked.
    pub(super) plan: UpgradePlan,
    /// The fields that are to be applied.
    pub(super) change: Value,
    /// What is stored about it first.
    pub(super) state: GuardState,
    /// What is applied before, so that the change takes away what an earlier version left on the object.
    pub(super) claim: Option<Value>,
    /// People whose fields are taken over.
    pub(super) people: Vec<FieldOwner>,
    /// Whether other managers' fields are taken over.
    pub(super) force: bool,
    /// Why the object could not be read whole.
    pub(super) unread: Option<String>,
}

/// Checks that are asked of a way back: whatever is half-way stands in the way of the others.
const BACK: [&str; 6] =
    ["deleting", "field-conflict", "fields-taken-over", "gitops", "no-permission", "version-refused"];

/// Prepares it for what was gathered.
pub(super) async fn prepare(hands: &Hands, gathered: &Gathered, wish: Wish<'_>) -> Result<Prepared, Problem> {
    let instance = gathered.instance()?;
    let rights = hands.kubernetes.may(&Right::of_upgrade(&gathered.id)).await.unwrap_or_default();
    let right = |place: usize| rights.get(place).copied().flatten();
    let ask = Ask { gates: right(1), ..wish.ask.clone() };
    let mut settled = Settled::of(instance, &ask)?;
    settled.undo = wish.back == Some(&Undo::Keep);
    let now = hands.clock.now();
    let world = &gathered.world;
    let picture = picture(world, &gathered.id, now);
    let Some(mut plan) = forecast(world, &gathered.id, &settled) else {
        return Err(Problem::new(format!("{} is gone", gathered.id), ""));
    };
    let record = record(world, instance, &settled, wish.back, now);
    let state = state(instance, &settled, Hold::Held, Some(record), wish.reason.map(str::to_owned));
    let change = body(instance, &settled, Hold::Held);
    // Who owns what is told by the object alone; without it the apply itself tells.
    let object = hands.kubernetes.object(&gathered.id).await;
    let unread =
        object.as_ref().err().map(|problem| format!("{problem}: who else keeps its fields is not known"));
    let object = object.ok().flatten().unwrap_or_default();
    let owners = owners(&object, &change, wish.manager);
    let claim = claim(&object, &change);
    let check = Check {
        world,
        instance,
        picture: &picture,
        ask: &ask,
        settled: &settled,
        owners: &owners,
        force: wish.force,
        allowed: right(0),
        stores: [right(2), right(3)],
        scales: right(4),
    };
    let mut found = findings(&check);
    match wish.back {
        // After the end an undo is an upgrade like any other, also where its image is an older one.
        None | Some(Undo::Upgrade) => {}
        Some(_) => found.retain(|finding| BACK.contains(&finding.id)),
    }
    if let Some(back) = wish.back {
        undo::plan(&mut plan, back);
    }
    skip(&mut found, wish.skip);
    skip(&mut plan.findings, wish.skip);
    plan.judge(found);
    let force = wish.force || !owners.is_empty();
    let people = owners.into_iter().filter(FieldOwner::is_person).collect();
    Ok(Prepared { settled, plan, change, state, claim, people, force, unread })
}

/// What is written down with the change, for whoever sees the end.
fn record(
    world: &World,
    instance: &Instance,
    settled: &Settled,
    back: Option<&Undo>,
    now: Timestamp,
) -> UpgradeRecord {
    let counts = world.nodes.as_ref().map(|nodes| Counts::of(&nodes.value)).unwrap_or_default();
    // Half-way back there and here are the same image, and the clients are those from before.
    let half_way = back.is_some_and(|back| *back != Undo::Upgrade);
    let first = UpgradeRecord::read(instance).filter(|_| half_way);
    let connections = first.as_ref().and_then(|first| first.connections);
    let sessions = first.as_ref().and_then(|first| first.sessions);
    UpgradeRecord {
        version: 1,
        time: now,
        from: if half_way { Some(settled.to.clone()) } else { settled.from.clone() },
        to: settled.to.clone(),
        version_only: settled.version_only,
        connections: connections.or_else(|| counts.all_connections()),
        sessions: sessions.or_else(|| counts.all_sessions()),
        edit: if half_way { Vec::new() } else { edit(instance, settled) },
    }
}

impl Prepared {
    /// The words of the prompt that tell whose fields are taken over.
    pub(super) fn takes_over(&self) -> String {
        let one = |owner: &FieldOwner| format!("{} from {}", owner.fields.join(", "), owner.manager);
        let people: Vec<String> = self.people.iter().map(one).collect();
        if people.is_empty() { String::new() } else { format!(", taking over {}", people.join("; ")) }
    }

    /// Shows the plan; when nothing has to be, or may be, done says so.
    pub(super) fn decided(
        &self,
        hands: &Hands,
        write: &Write,
        refused: String,
    ) -> Result<Option<Exit>, Problem> {
        let plan = &self.plan;
        hands.printer.talk_upgrade_plan(plan, hands.clock.now());
        decide::decided(hands, write, plan.decision, &plan.message, &plan.findings, refused)
    }
}

/// Lists and asks everything again: time went by while the user read.
pub(super) async fn again(hands: &Hands, gathered: &mut Gathered) -> Result<(), Problem> {
    gather::relist(hands, gathered, Want::ALL).await?;
    gather::refresh(hands, gathered).await
}
