//! `status` and `nodes`.

use super::cluster_view::{self, ClusterView};
use super::{CommandContext, Outcome};
use crate::cli::intent::{Output, ReadOptions, Selection};
use crate::error::{Exit, Problem};
use crate::plan::assessment::left_over;
use crate::plan::results::{Nodes, Status};
use crate::plan::status::{operator_silence, status};
use crate::ports::RefreshScope;

/// What `status` looks at: events tell how long the operator has been silent, sets how far an upgrade is.
const STATUS: RefreshScope = RefreshScope::ALL;

async fn pictures(
    hands: &CommandContext,
    read: &ReadOptions,
    want: RefreshScope,
) -> Result<(Vec<Status>, bool), Problem> {
    let (mut gathered, many): (Vec<ClusterView>, bool) = match &read.selection {
        Selection::Only => (vec![cluster_view::one(hands, None, want).await?], false),
        Selection::Named(name) => (vec![cluster_view::one(hands, Some(name), want).await?], false),
        Selection::Many(filter) => (cluster_view::several(hands, filter, want).await?, true),
    };
    cluster_view::ask_twice(hands, &mut gathered).await?;
    let now = hands.clock.now();
    Ok((gathered.iter().map(|it| status(&it.world, &it.id, now)).collect(), many))
}

/// `status`: the cluster, its nodes, what runs, and one verdict.
pub async fn show(hands: &CommandContext, read: &ReadOptions) -> Outcome {
    let (found, many) = pictures(hands, read, STATUS).await?;
    for status in &found {
        if let Some(silence) = operator_silence(status) {
            hands.printer.notice(&silence);
        }
        if let Some((what, way)) = left_over(&status.membership) {
            hands.printer.notice(&format!("{what}; remove with: {way}"));
        }
    }
    if many {
        hands.printer.statuses(&found, read.output);
    } else if let Some(status) = found.first() {
        hands.printer.status(status, read.output);
        if read.output == Output::Text {
            next(hands, status);
        }
    }
    Ok(Exit::Reached)
}

/// What a user would type next.
fn next(hands: &CommandContext, status: &Status) {
    if let Some(next) = &status.next {
        hands.printer.next(next);
    }
}

/// `nodes`: a row per EMQX node.
pub async fn nodes(hands: &CommandContext, read: &ReadOptions) -> Outcome {
    let (found, many) = pictures(hands, read, RefreshScope::REBALANCE).await?;
    let of = |status: Status| Nodes { instance: status.instance, items: status.nodes };
    let nodes: Vec<Nodes> = found.into_iter().map(of).collect();
    if many {
        hands.printer.nodes_of_several(&nodes, read.output);
    } else if let Some(nodes) = nodes.first() {
        hands.printer.nodes(nodes, read.output);
    }
    Ok(Exit::Reached)
}
