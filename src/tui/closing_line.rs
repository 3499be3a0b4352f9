//! The line that stays in the scrollback after the view is closed.

use super::state::State;
use super::view::headline::doing;
use crate::model::InstanceId;
use crate::model::human::{count, count_or_unknown, plural};
use crate::plan::next_step;

/// The verdict, or what is still running and the command to follow it; of the list of clusters what is not idle; `None` before
/// anything is known.
pub fn line(state: &State) -> Option<String> {
    match &state.open {
        Some(id) => of_one(state, id),
        None => of_list(state),
    }
}

fn of_one(state: &State, id: &InstanceId) -> Option<String> {
    let board = state.board()?;
    let theme = state.theme();
    let (word, _, headline, _) = doing(board, theme.symbols().arrow);
    let percent = board.status.percent.map(|percent| format!(" {percent} %")).unwrap_or_default();
    let clients = count_or_unknown(board.status.totals.connections);
    let text =
        format!("{}/{}: {word}{percent} {headline}, {clients} clients connected", id.namespace, id.name);
    let follow =
        state.going().map(|name| format!("; {}", next_step::still_running(&state.world, id, &name).1));
    Some(theme.clean(&text) + &follow.unwrap_or_default())
}

/// The most clusters that are named.
const MAX_CLUSTERS_NAMED: usize = 4;

/// `3 EMQX clusters: mq/emqx REBALANCING 41 %, 2 IDLE; kubectl emqx status -A shows them`.
fn of_list(state: &State) -> Option<String> {
    let theme = state.theme();
    let mut named = Vec::new();
    let mut idle = 0;
    for (id, cluster) in &state.clusters {
        let Some(board) = &cluster.board else { continue };
        let (word, ..) = doing(board, theme.symbols().arrow);
        if word == "IDLE" {
            idle += 1;
            continue;
        }
        let percent = board.status.percent.map(|percent| format!(" {percent} %")).unwrap_or_default();
        named.push(format!("{}/{} {}{percent}", id.namespace, id.name, word.trim_end_matches(':')));
    }
    if named.is_empty() && idle == 0 {
        return None;
    }
    let more = named.len().saturating_sub(MAX_CLUSTERS_NAMED);
    named.truncate(MAX_CLUSTERS_NAMED);
    if more > 0 {
        named.push(format!("{} more that are not idle", count(more as u64)));
    }
    if idle > 0 {
        named.push(format!("{} IDLE", count(idle)));
    }
    let all = plural(state.clusters.len() as u64, "EMQX cluster");
    let text = format!("{all}: {}; kubectl emqx status -A shows them", named.join(", "));
    Some(theme.clean(&text))
}
