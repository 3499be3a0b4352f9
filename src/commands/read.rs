//! `status` and `nodes`.

use super::cluster_view::{self, ClusterView};
use super::{CommandContext, Outcome};
use crate::cli::intent::{Output, ReadOptions, Selection};
use crate::error::{Exit, Problem};
use crate::plan::discrepancies::left_over;
use crate::plan::results::{Nodes, Status};
use crate::plan::status::{before_emqx, operator_silence, status};
use crate::ports::RefreshScope;

/// The resources of `status`: events show the age of the operator's last activity, sets the progress of an
/// upgrade.
const STATUS_SCOPE: RefreshScope = RefreshScope::ALL;

async fn pictures(
    context: &CommandContext,
    read: &ReadOptions,
    want: RefreshScope,
) -> Result<(Vec<Status>, bool), Problem> {
    let meanwhile = |cluster: &ClusterView| first_line(context, read, cluster);
    let (mut cluster, many): (Vec<ClusterView>, bool) = match &read.selection {
        Selection::Only => (vec![cluster_view::load_one_with(context, None, want, meanwhile).await?], false),
        Selection::Named(name) => {
            (vec![cluster_view::load_one_with(context, Some(name), want, meanwhile).await?], false)
        }
        Selection::Many(filter) => (cluster_view::load_many(context, filter, want).await?, true),
    };
    cluster_view::query_twice(context, &mut cluster).await?;
    let now = context.clock.now();
    Ok((cluster.iter().map(|it| status(&it.world, &it.id, now)).collect(), many))
}

/// On a terminal: prints what Kubernetes reported, before EMQX has answered.
fn first_line(context: &CommandContext, read: &ReadOptions, cluster: &ClusterView) {
    let shown = matches!(read.output, Output::Text | Output::Wide);
    let terminal = context.printer.terminal();
    if shown && terminal.stdout && terminal.stderr {
        let status = status(&cluster.world, &cluster.id, context.clock.now());
        context.printer.talk(&before_emqx(&status));
    }
}

/// `status`: the cluster, its nodes, what runs, and one verdict.
pub async fn show(context: &CommandContext, read: &ReadOptions) -> Outcome {
    let (found, many) = pictures(context, read, STATUS_SCOPE).await?;
    for status in &found {
        if let Some(silence) = operator_silence(status) {
            context.notice(&silence);
        }
        if let Some((what, way)) = left_over(&status.membership) {
            context.notice(&format!("{what}; remove with: {way}"));
        }
    }
    if many {
        context.printer.statuses(&found, read.output);
    } else if let Some(status) = found.first() {
        context.printer.status(status, read.output);
        if read.output == Output::Text {
            next(context, status);
        }
    }
    Ok(Exit::Reached)
}

/// Prints the recommended next command.
fn next(context: &CommandContext, status: &Status) {
    if let Some(next) = &status.next {
        context.printer.next(next);
    }
}

/// `nodes`: a row per EMQX node.
pub(crate) async fn nodes(context: &CommandContext, read: &ReadOptions) -> Outcome {
    let (found, many) = pictures(context, read, RefreshScope::REBALANCE).await?;
    let of = |status: Status| Nodes { instance: status.instance, items: status.nodes };
    let nodes: Vec<Nodes> = found.into_iter().map(of).collect();
    if many {
        context.printer.nodes_of_several(&nodes, read.output);
    } else if let Some(nodes) = nodes.first() {
        context.printer.nodes(nodes, read.output);
    }
    Ok(Exit::Reached)
}
