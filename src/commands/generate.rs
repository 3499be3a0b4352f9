//! `rebalance generate`: the manifest on stdout, every field written out.

use jiff::Timestamp;

use super::plan::PLAN_SCOPE;
use super::{CommandContext, Outcome, cluster_view};
use crate::cli::intent::Generate;
use crate::error::{Exit, Problem};
use crate::model::{InstanceId, InstanceKind, OperatorLine, Served, Strategy, StrategyRequest};
use crate::output::Printer;
use crate::plan::rebalance::forecast::forecast;
use crate::plan::rebalance::plan::Return;
use crate::plan::rebalance::{manifest, preflight, requirement};
use crate::plan::snapshot::snapshot;
use crate::ports::RefreshScope;

/// The manifest without a cluster, for an operator line that the user named; `None` when a cluster has to be
/// asked. Where the user names no namespace the manifest has none either, as with kubectl's `create
/// --dry-run=client`: the user who applies it decides.
pub(crate) fn offline(
    intent: &Generate,
    namespace: Option<&str>,
    now: Timestamp,
) -> Option<Result<serde_json::Value, Problem>> {
    let line = intent.line?;
    let name = intent.instance.as_ref()?;
    let instance = InstanceId {
        kind: name.kind.unwrap_or(InstanceKind::Emqx),
        namespace: namespace.unwrap_or_default().to_owned(),
        name: name.name.clone(),
    };
    let StrategyRequest::Given(strategy) = &intent.strategy else { return None };
    let mut made = made(intent, strategy, &instance, line, now);
    if let Ok(manifest) = &mut made
        && namespace.is_none()
        && let Some(metadata) = manifest["metadata"].as_object_mut()
    {
        metadata.remove("namespace");
    }
    Some(made)
}

fn made(
    intent: &Generate,
    strategy: &Strategy,
    instance: &InstanceId,
    line: OperatorLine,
    now: Timestamp,
) -> Result<serde_json::Value, Problem> {
    let name = intent.name.clone().unwrap_or_else(|| manifest::name(&instance.name, now));
    manifest::manifest(instance, &name, strategy, line)
}

/// Reports the requested settings that the operator line would not keep.
fn report_kept(printer: &Printer, strategy: &Strategy, line: OperatorLine) {
    if let Some(finding) = manifest::kept(strategy, line).1 {
        printer.notice(&finding.message);
    }
}

/// Reports the effect of a manifest without a cluster.
pub(crate) fn report_offline(printer: &Printer, intent: &Generate) {
    if let (Some(line), StrategyRequest::Given(strategy)) = (intent.line, &intent.strategy) {
        report_kept(printer, strategy, line);
        report_command(printer, intent, strategy);
    }
}

fn report_command(printer: &Printer, intent: &Generate, strategy: &Strategy) {
    let name = intent.instance.as_ref().map(|name| name.name.as_str()).unwrap_or_default();
    if intent.show_command {
        printer.talk(&requirement::command("generate", name, strategy));
    }
}

/// `rebalance generate` for the current cluster.
pub(crate) async fn run(context: &CommandContext, intent: &Generate) -> Outcome {
    let served = |id: &InstanceId, served: &Served| match served.version_of("rebalances") {
        Some(_) => Ok(()),
        None => Err(Problem::new(
            "cannot generate a Rebalance",
            format!("operator {} does not serve the kind Rebalance", served.operator),
        )
        .hint(format!("kubectl emqx rebalance apply {} --backend emqx drives EMQX itself", id.name))),
    };
    let (api, id, strategy) = match &intent.strategy {
        StrategyRequest::Given(strategy) => {
            let want = RefreshScope { instances: true, ..RefreshScope::default() };
            let (world, id) = cluster_view::load_selected(context, intent.instance.as_ref(), want).await?;
            served(&id, &world.kubernetes.served)?;
            (world.kubernetes.served, id, strategy.clone())
        }
        StrategyRequest::Required(required, given) => {
            let cluster = cluster_view::load_one(context, intent.instance.as_ref(), PLAN_SCOPE).await?;
            served(&cluster.id, &cluster.world.kubernetes.served)?;
            let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now());
            let nodes = preflight::participants(&snapshot).map_err(|problem| {
                Problem::new("cannot work out rates and thresholds", problem.why)
                    .hint("--conn-evict-rate 500 takes EMQX's own defaults")
            })?;
            let back = Return::default();
            let strategy = requirement::strategy_for(&nodes, *required, *given, back);
            let mut plan = forecast(Some(cluster.id.clone()), &nodes, &strategy, back);
            requirement::judge(&mut plan, *required, *given, back, &[]);
            if let Some(worked_out) = &plan.requirement {
                context.printer.talk(&worked_out.message);
            }
            let missed = plan.findings.iter().filter(|finding| {
                ["deadline-missed", "spread-missed", "reconnect-rate", "nothing-to-balance"]
                    .contains(&finding.id)
            });
            missed.for_each(|finding| context.notice(&finding.message));
            (cluster.world.kubernetes.served.clone(), cluster.id, strategy)
        }
    };
    let line = intent.line.unwrap_or(api.operator);
    let made = made(intent, &strategy, &id, line, context.clock.now())?;
    let manifest = if intent.line.is_none() { manifest::served_as(made, &api) } else { made };
    report_kept(&context.printer, &strategy, line);
    if intent.show_command {
        context.printer.talk(&requirement::command("generate", &id.name, &strategy));
    }
    context.printer.manifest(&manifest, intent.output);
    Ok(Exit::Reached)
}
