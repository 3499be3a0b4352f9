//! `scale`: changes the number of nodes. Pods are evacuated before they are removed; after a scale-up clients
//! are rebalanced.

use std::time::Duration;

use outcome::{decided, dry_run, fits, report};
use serde_json::Value;
use task::{Scaling, again};
use tokio::time::{Instant, sleep};

use super::cluster_view::{self, ClusterView};
use super::fact_loop::refresh_interval;
use super::plan::{Planning, live};
use super::removal::{self, REMOVAL_SCOPE, lease, release, run};
use super::{CommandContext, Outcome, confirmation, limits};
use crate::cli::intent::scale::Scale as Intent;
use crate::cli::intent::{Apply, ApplySource, DryRun, Follow, InstanceName, Then, WriteOptions};
use crate::error::{Exit, Problem};
use crate::model::human::{count, plural};
use crate::model::scale::ScaledField;
use crate::model::{BackendRequest, NodeName, StrategyRequest, Verdict};
use crate::plan::check::{AddedPods, Planned, Purpose};
use crate::plan::evacuation::Settings;
use crate::plan::finding::Decision;
use crate::plan::limits::LimitForecast;
use crate::plan::rebalance::plan::Return;
use crate::plan::scale::{Outside, ScalePlan, ScaleRequest, evening_out, flags, plan};
use crate::plan::snapshot::snapshot;
use crate::plan::stored_removal::amount;
use crate::plan::upgrade::field_owners::owners;
use crate::ports::{RefreshScope, Right};
use crate::timing::NEW_NODE_READY_SECONDS;
use emqx_rebalance::rules::SESSION_MOVE_MS;

mod outcome;
mod task;
mod undo;

/// `scale`.
pub async fn run(context: &CommandContext, intent: &Intent) -> Outcome {
    let mut cluster = cluster_view::load_one(context, intent.instance.as_ref(), REMOVAL_SCOPE).await?;
    if let Some(why) = cluster_view::unlisted(&cluster.world, "pods").and_then(|link| link.why()) {
        return Err(Problem::new("cannot scale without knowing the pods", why)
            .hint("kubectl auth can-i list pods; the permissions that a scale needs are in docs/scale.md"));
    }
    let Some((field, to)) = intent.change else { return undo::run(context, intent, cluster).await };
    fits(cluster.instance()?, field)?;
    let mut scale = prepare(context, intent, &cluster, field, to).await?;
    if scale.removal.decision != Decision::NothingToDo {
        let forecast = LimitForecast { seconds: Some(scale.removal.total_seconds), reconnects: None };
        for found in limits::before(context, &intent.removal.limits, forecast) {
            scale.removal.refuse(found.id, found.message, &found.hint.unwrap_or_default());
        }
        let costs = field == ScaledField::Replicants && to < scale.from && !scale.by_operator;
        if let Some(missing) = removal::forbidden(context, &Right::of_scale(&cluster.id, costs)).await {
            let hint = "kubectl auth can-i --list; the permissions that a scale needs are in docs/scale.md";
            scale.removal.refuse("no-permission", missing, hint);
        }
        removal::gates(context, &mut scale.removal, &intent.removal.skip).await;
        // The scale-down evacuates pods: the checks of an evacuation's surroundings apply.
        let skip = &intent.removal.skip;
        let number = to.saturating_sub(scale.from);
        let added = Some(AddedPods { role: field.role(), number }).filter(|added| added.number > 0);
        let planned = Planned { added, writes: true, ..Planned::default() };
        let around = (Purpose::Evacuate, planned);
        Box::pin(removal::around(context, &cluster, around, &mut scale.removal, skip)).await;
        context.printer.talk_scale(&scale);
    }
    if let Some(exit) = decided(context, intent, &scale)? {
        return Ok(exit);
    }
    if intent.removal.write.dry_run != DryRun::None {
        dry_run(context, intent, &scale);
        return Ok(Exit::Reached);
    }
    confirmation::confirm(context, &intent.removal.write, &question(&scale)).await?;
    lease(context, &cluster, "scale the").await?;
    let outcome = carry_out(context, intent, &mut cluster, field, to).await;
    release(context, std::slice::from_ref(&cluster)).await;
    let (scale, verdict) = outcome?;
    if verdict.is_reached() && scale.to > scale.from {
        return even_out(context, intent, cluster).await;
    }
    Ok(verdict.exit())
}

async fn prepare(
    context: &CommandContext,
    intent: &Intent,
    cluster: &ClusterView,
    field: ScaledField,
    to: u64,
) -> Result<ScalePlan, Problem> {
    let mut settings: Settings = intent.removal.settings.clone();
    for target in &mut settings.migrate_to {
        *target = cluster_view::node(cluster, context, target.as_str()).ok_or_else(|| {
            let what = format!("--migrate-to: {} has no EMQX node or EMQX pod {target}", cluster.id);
            Problem::new(what, "").hint("kubectl emqx nodes lists the nodes and their pods")
        })?;
    }
    let request = ScaleRequest { field, to, settings, skip: intent.removal.skip.clone() };
    let outside = outside(context, intent, cluster, field, to).await?;
    let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now());
    plan(&cluster.world, &snapshot, &request, &outside)
}

/// The owners of the field, the autoscalers, and the nodes with durable storage.
async fn outside(
    context: &CommandContext,
    intent: &Intent,
    cluster: &ClusterView,
    field: ScaledField,
    to: u64,
) -> Result<Outside, Problem> {
    let instance = cluster.instance()?;
    let mut autoscalers = context.kubernetes.autoscalers(&cluster.id.namespace).await?;
    // Only the object has the owners of fields; without it the apply reports conflicts.
    let object: Value = match context.kubernetes.object(&cluster.id).await {
        Ok(object) => object.unwrap_or_default(),
        Err(problem) => {
            autoscalers.unread.push(format!("the owner of {} ({problem})", field.path()));
            Value::Null
        }
    };
    let owners = owners(&object, &field.body(instance, to), &intent.removal.write.field_manager);
    let sites: Vec<NodeName> = if field == ScaledField::Replicants {
        Vec::new()
    } else {
        cluster.broker.storage_sites().await.unwrap_or_else(|problem| {
            autoscalers.unread.push(format!("durable storage ({problem})"));
            Vec::new()
        })
    };
    Ok(Outside { owners, autoscalers, sites })
}

fn question(scale: &ScalePlan) -> String {
    let what = format!("{} from {} to {}", scale.removal.instance, scale.from, amount(scale.field, scale.to));
    if scale.to > scale.from {
        return format!("Scale {what}?");
    }
    format!(
        "Scale {what}: remove {}, with {} disconnections of clients?",
        plural(scale.from.saturating_sub(scale.to), "pod"),
        count(scale.removal.disconnections)
    )
}

/// With the Lease taken: reads everything again, and follows the scale to its verdict.
async fn carry_out(
    context: &CommandContext,
    intent: &Intent,
    cluster: &mut ClusterView,
    field: ScaledField,
    to: u64,
) -> Result<(ScalePlan, Verdict), Problem> {
    let limit = intent.removal.timeout.map(|limit| Instant::now() + limit);
    // Time passed while the user read: the next steps follow from the present state.
    cluster_view::relist(context, cluster, REMOVAL_SCOPE).await?;
    cluster_view::refresh(context, cluster).await?;
    let mut scale = prepare(context, intent, cluster, field, to).await?;
    if decided(context, intent, &scale)?.is_some() {
        return Ok((ScalePlan { from: to, ..scale }, Verdict::Done));
    }
    let pods = scale.removal.pods.clone();
    let mut task = Scaling::of(context, intent, cluster, &mut scale);
    let ended = run::follow(context, &mut task, pods, cluster, &[], limit).await;
    let reached = ended.as_ref().is_ok_and(|verdict| verdict.is_reached());
    report(context, intent, &scale, reached);
    let verdict = ended?;
    if !reached {
        context.printer.next(&format!("kubectl emqx scale {}", again(&scale)));
    }
    Ok((scale, verdict))
}

/// After a scale-up: prints the rebalance that distributes the clients, or runs it.
async fn even_out(context: &CommandContext, intent: &Intent, mut cluster: ClusterView) -> Outcome {
    let want = RefreshScope { events: true, ..REMOVAL_SCOPE };
    let since = context.clock.now();
    let mut interrupt = (context.interrupt)();
    loop {
        cluster_view::relist(context, &mut cluster, want).await?;
        cluster_view::refresh(context, &mut cluster).await?;
        let waited = crate::model::human::seconds_between(since, context.clock.now());
        if cluster.instance()?.ready() || waited > NEW_NODE_READY_SECONDS {
            break;
        }
        tokio::select! {
            () = &mut interrupt => {
                return Err(Problem::new("interrupted", "the scale is done, and no rebalance was started")
                    .hint(format!("kubectl emqx rebalance plan {}", cluster.id.name))
                    .interrupted());
            }
            () = sleep(refresh_interval(context).max(Duration::from_millis(200))) => {}
        }
    }
    let name = InstanceName { kind: Some(cluster.id.kind), name: cluster.id.name.clone() };
    let strategy = evening_out(&snapshot(&cluster.world, &cluster.id, context.clock.now()));
    if intent.rebalance {
        let apply = Apply {
            source: ApplySource::Instance(Some(name), StrategyRequest::Given(strategy)),
            session_move_ms: SESSION_MOVE_MS,
            backend: BackendRequest::Auto,
            nodes: Vec::new(),
            // The user confirmed the scale together with the rebalance.
            write: WriteOptions { yes: true, error_unchanged: false, ..intent.removal.write.clone() },
            skip: Vec::new(),
            limits: crate::model::limits::Limits::default(),
            show_command: false,
            then: Then::Follow(Follow {
                timeout: intent.removal.timeout,
                stream: intent.removal.stream,
                ..Follow::default()
            }),
        };
        return Ok(Box::pin(super::apply::run(context, &apply, None)).await?.exit);
    }
    let planning = Planning {
        strategy: &StrategyRequest::Given(strategy.clone()),
        lb_unknown: true,
        back: Return::default(),
        choice: BackendRequest::Auto,
        nodes: &[],
        name: None,
        skip: &[],
    };
    match live(context, &cluster, planning).await {
        Ok(live) => {
            context.printer.talk_plan(&live.plan, Some((live.backend, &live.why)), context.clock.now());
            if live.plan.decision == Decision::Go {
                let flags = flags(&strategy);
                context
                    .printer
                    .next(&format!("kubectl emqx rebalance apply {} {flags} --watch", cluster.id.name));
            }
        }
        // The scale has succeeded: a rebalance that cannot be planned does not change that.
        Err(problem) => context.notice(&format!("no rebalance could be planned: {problem}")),
    }
    Ok(Exit::Reached)
}
