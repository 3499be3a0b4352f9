//! `rebalance generate`: the manifest on stdout, every field written out.

use jiff::Timestamp;

use super::cluster_view;
use super::{CommandContext, Outcome};
use crate::cli::intent::Generate;
use crate::error::{Exit, Problem};
use crate::model::{InstanceId, InstanceKind, OperatorLine};
use crate::output::Printer;
use crate::plan::rebalance::manifest;
use crate::ports::RefreshScope;

/// Without a cluster: for an operator line that was named. `None` when a cluster has to be asked. Where no namespace is
/// named the manifest names none either, as kubectl's `create --dry-run=client` does: whoever applies it decides.
pub fn offline(
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
    let mut made = made(intent, &instance, line, now);
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
    instance: &InstanceId,
    line: OperatorLine,
    now: Timestamp,
) -> Result<serde_json::Value, Problem> {
    let name = intent.name.clone().unwrap_or_else(|| manifest::name(&instance.name, now));
    manifest::manifest(instance, &name, &intent.strategy, line)
}

/// Reports what of the request the operator line would not keep.
pub fn report_kept(printer: &Printer, intent: &Generate, line: OperatorLine) {
    if let Some(finding) = manifest::kept(&intent.strategy, line).1 {
        printer.notice(&finding.message);
    }
}

/// For the cluster at hand.
pub async fn run(context: &CommandContext, intent: &Generate) -> Outcome {
    let want = RefreshScope { instances: true, ..RefreshScope::default() };
    let (world, id) = cluster_view::chosen(context, intent.instance.as_ref(), want).await?;
    if world.served.version_of("rebalances").is_none() {
        return Err(Problem::new(
            "cannot generate a Rebalance",
            format!("operator {} does not serve the kind Rebalance", world.served.operator),
        )
        .hint(format!("kubectl emqx rebalance apply {} --backend emqx drives EMQX itself", id.name)));
    }
    let line = intent.line.unwrap_or(world.served.operator);
    let made = made(intent, &id, line, context.clock.now())?;
    let manifest = if intent.line.is_none() { manifest::served_as(made, &world.served) } else { made };
    report_kept(&context.printer, intent, line);
    context.printer.manifest(&manifest, intent.output);
    Ok(Exit::Reached)
}
