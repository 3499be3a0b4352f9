//! One node: its counts over time, every raw number with its source and age, its pod, and what happens to it
//! next.
//!
//! ```text
//!  core-…f5c8-0  donor                         emqx@emqx-core-669d4cf5c8-0.emqx-headless…
//!  next: loses 10 clients a second until it holds about 2,553, 46 rounds to go
//!
//!  connections  3,013   emqx, 0s       connections              3,013
//!  serving      no      endpoints, 1s  (chart)
//! ```

use super::painter::Painter;
use super::{foot, head, node_chart, notices};
use crate::model::human::{count, count_or_unknown, duration, seconds_between, share};
use crate::model::{NodeName, Pod, Source};
use crate::output::theme::Tone;
use crate::plan::next_step::{NodeContext, next};
use crate::plan::snapshot::NodeRow;
use crate::tui::history::Which;
use crate::tui::rows::{Group, Row};
use crate::tui::state::State;
use crate::tui::view_model::ViewModel;

pub(super) fn page(state: &State, pen: &mut Painter<'_>, narrow: bool) {
    let (width, height) = (pen.width(), pen.height());
    let Some(board) = super::waiting::board_or_waiting(state, pen, narrow) else { return };
    head::title(state, board, pen);
    let foot = foot::draw(state, Some(board), pen, narrow);
    let low = if state.notices { notices::height(state, height, narrow) } else { 0 };
    let room = height.saturating_sub(2 + foot + low);
    let Some(row) = state.selected.as_deref().and_then(|key| board.row(key)) else {
        let key = state.selected.clone().unwrap_or_default();
        // A row without a node has the name of its pod as its key.
        let name = NodeName::from(key.as_str()).short().to_owned();
        let text = format!("{name} was removed: EMQX does not list it, and its pod does not exist");
        pen.part(1, 2, width - 2, room).wrapped(0, 0, 3, &text, Tone::Warning);
        return;
    };
    let mut middle = pen.part(1, 2, width - 2, room);
    if width >= 100 {
        let left = width * 2 / 5;
        let end = facts(state, board, row, &mut middle.part(0, 0, left, room), true);
        let _ = end;
        charts(state, board, row, &mut middle.part(left + 2, 0, width - left - 5, room));
    } else {
        let used = facts(state, board, row, &mut middle, false);
        let left = room.saturating_sub(used + 1);
        if left >= 5 {
            charts(state, board, row, &mut middle.part(0, used + 1, width - 2, left));
        }
    }
    if low > 0 {
        let mut place = pen.part(0, height - foot - low, width, low);
        notices::draw(state, &mut place);
    }
}

/// Draws the detail beside the table, where there is space.
pub(super) fn beside(state: &State, board: &ViewModel, pen: &mut Painter<'_>) {
    let Some(row) = state.selected.as_deref().and_then(|key| board.row(key)) else { return };
    let (width, height) = (pen.width(), pen.height());
    let used = facts(state, board, row, &mut pen.part(0, 0, width, height * 2 / 3), true);
    let left = height.saturating_sub(used + 1);
    if left >= 8 {
        charts(state, board, row, &mut pen.part(0, used + 1, width, left.min(30)));
    }
}

fn charts(state: &State, board: &ViewModel, row: &Row, pen: &mut Painter<'_>) {
    let (Some(cluster), Some(node)) = (state.here(), &row.node) else { return };
    let (width, height) = (pen.width(), pen.height());
    let points = |which| cluster.history.points(node, which, board.now, width.max(20) * 2);
    let (connections, sessions) = (points(Which::Connections), points(Which::Sessions));
    if height >= 10 {
        let half = (height / 2).min(14);
        node_chart::draw(&mut pen.part(0, 0, width, half - 1), "connections", &connections, Tone::Busy);
        node_chart::draw(&mut pen.part(0, half, width, half - 1), "sessions", &sessions, Tone::Plain);
    } else if width >= 60 {
        let half = width / 2;
        node_chart::draw(&mut pen.part(0, 0, half - 2, height), "connections", &connections, Tone::Busy);
        node_chart::draw(&mut pen.part(half, 0, half, height), "sessions", &sessions, Tone::Plain);
    } else {
        node_chart::draw(pen, "connections", &connections, Tone::Busy);
    }
}

/// Draws everything that is known of the node; returns the number of lines.
fn facts(state: &State, board: &ViewModel, row: &Row, pen: &mut Painter<'_>, tall: bool) -> usize {
    let width = pen.width();
    let x = pen.put(0, 0, width, &row.name, Tone::Strong) + 2;
    pen.put(x, 0, width, &row.state, row.tone);
    let mut y = 1;
    for sentence in sentences(state, board, row) {
        y = pen.wrapped(0, y, 3, &sentence, Tone::Plain);
    }
    y += 1;
    let pairs = pairs(board, row, pen.symbols().arrow);
    if tall {
        for (name, value, note) in &pairs {
            pen.put(0, y, 13, name, Tone::Faint);
            let x = pen.put(13, y, width, value, Tone::Plain) + 2;
            pen.put(x, y, width, note, Tone::Faint);
            y += 1;
        }
    } else {
        // Two columns side by side.
        let half = width / 2;
        for two in pairs.chunks(2) {
            for (place, (name, value, note)) in two.iter().enumerate() {
                let left = place * half;
                pen.put(left, y, 12, name, Tone::Faint);
                let room = half.saturating_sub(13);
                let x = pen.put(left + 12, y, room, value, Tone::Plain) + 1;
                pen.put(x, y, (left + half).saturating_sub(x + 1), note, Tone::Faint);
            }
            y += 1;
        }
    }
    if let Some(pod) = pod(state, board, row) {
        y += 1;
        y = conditions(state, pod, pen, y);
        y = events(state, board, pod, pen, y);
    }
    y
}

/// The row of the status that this row shows.
fn of<'a>(board: &'a ViewModel, row: &Row) -> Option<&'a NodeRow> {
    board.status.nodes.iter().find(|it| it.node == row.node && (it.node.is_some() || it.pod == row.pod))
}

fn sentences(state: &State, board: &ViewModel, row: &Row) -> Vec<String> {
    let Some(at) = pod(state, board, row).and_then(|pod| pod.deleting) else {
        return steps(state, board, row);
    };
    let now = state.shown_at();
    let mut lines = vec![if at > now {
        let left = duration(seconds_between(now, at));
        format!("next: Kubernetes deletes its pod within {left}, with the clients that it has then")
    } else {
        format!("its pod should have been deleted {} ago", duration(seconds_between(at, now)))
    }];
    // Without an operation nothing else is to happen to it.
    if board.unsure.is_some() || row.part.is_some() || row.emqx_state.is_some() || row.group == Group::Old {
        lines.extend(steps(state, board, row));
    }
    lines
}

/// What the running operation does to the node.
fn steps(state: &State, board: &ViewModel, row: &Row) -> Vec<String> {
    if board.unsure.is_some() {
        return vec!["EMQX does not answer: what happens to it now is unknown".to_owned()];
    }
    let Some(node) = of(board, row) else {
        return vec!["EMQX does not list this pod as a node".to_owned()];
    };
    let around = NodeContext {
        broker: state.world.broker(&board.status.instance),
        instance: state.world.instance(&board.status.instance),
        run: board.run.as_ref().filter(|run| run.verdict.is_none()),
        goals: board.goals.as_ref(),
        old: row.group == Group::Old,
        now: board.now,
    };
    let mut lines = next(node, around);
    if let Some(first) = lines.first_mut() {
        *first = format!("next: {first}");
    }
    lines
}

fn pod<'a>(state: &'a State, board: &ViewModel, row: &Row) -> Option<&'a Pod> {
    let key = (board.status.instance.namespace.clone(), row.pod.as_ref()?.as_str().to_owned());
    state.world.kubernetes.pods.get(&key).map(|seen| &seen.value)
}

/// Name, value, and source with its age.
fn pairs(board: &ViewModel, row: &Row, arrow: &str) -> Vec<(&'static str, String, String)> {
    let sources = &board.status.sources;
    let from = |source: Source| {
        // The operator's copy is as old as the operator's status, even if the object was read just now.
        if source == Source::Kubernetes
            && let Some(silent) = board.status.operator.silent_seconds
        {
            return format!("operator, {}", duration(silent));
        }
        let (_, age) =
            sources.each().into_iter().find(|(it, _)| *it == source).unwrap_or((source, &sources.emqx));
        match age.age_seconds {
            Some(seconds) => format!("{}, {}", source.as_str(), duration(seconds)),
            None => source.as_str().to_owned(),
        }
    };
    let node = of(board, row);
    let about = |value: Option<u64>| if board.unsure.is_some() && value.is_some() { "~" } else { "" };
    let counts = node.map_or(Source::Emqx, |node| node.source);
    let text = |value: Option<&str>| value.unwrap_or("?").to_owned();
    let yes = |value: Option<bool>| match value {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    };
    let (rate, _) = super::table::rate(row.rate, crate::output::theme::Theme::default());
    let own = row.share.map_or_else(|| "?".to_owned(), share);
    let goal = row.goal.filter(|_| board.goals.is_some());
    let goal = goal.map(|goal| format!(" {arrow} {}", count(goal))).unwrap_or_default();
    let offline = match (row.sessions, row.connections) {
        (Some(sessions), Some(connections)) => {
            format!(", {} offline", count(sessions.saturating_sub(connections)))
        }
        _ => String::new(),
    };
    let in_service = match board.service_word(row) {
        "-" => "no: replicants serve",
        word => word,
    };
    let mut pairs = vec![
        (
            "connections",
            format!("{}{}{goal}", about(row.connections), count_or_unknown(row.connections)),
            from(counts),
        ),
        ("change", format!("{rate}/s"), String::new()),
        (
            "sessions",
            format!("{}{}{offline}", about(row.sessions), count_or_unknown(row.sessions)),
            from(counts),
        ),
        ("share", own, String::new()),
        ("in Service", in_service.to_owned(), from(Source::Endpoints)),
        ("ready", yes(row.ready).to_owned(), from(Source::Pods)),
        ("role", row.role.as_str().to_owned(), String::new()),
        ("version", text(row.version.as_deref()), String::new()),
        ("memory", text(row.memory.as_deref()), String::new()),
        ("set", text(row.set.as_deref()), String::new()),
        ("node", text(row.node.as_ref().map(crate::model::NodeName::as_str)), String::new()),
        ("pod", text(row.pod.as_ref().map(crate::model::PodName::as_str)), String::new()),
    ];
    if let Some(state) = &row.emqx_state {
        pairs.insert(4, ("EMQX state", state.clone(), from(Source::Emqx)));
    }
    pairs
}

fn conditions(state: &State, pod: &Pod, pen: &mut Painter<'_>, mut y: usize) -> usize {
    let width = pen.width();
    for condition in pod.conditions.iter().filter(|condition| !condition.holds()).take(4) {
        let since = condition.since.map(|since| duration(seconds_between(since, state.now)));
        let mut text = format!("{} {}", condition.kind, condition.status);
        if let Some(since) = since {
            text.extend([" for ", &since]);
        }
        for more in [&condition.reason, &condition.message] {
            if !more.is_empty() {
                text.extend([", ", more]);
            }
        }
        pen.put(0, y, width, &text, Tone::Warning);
        y += 1;
    }
    let fine: Vec<&str> =
        pod.conditions.iter().filter(|condition| condition.holds()).map(|it| it.kind.as_str()).collect();
    if !fine.is_empty() {
        let text = format!("conditions True: {}", fine.join(", "));
        y = pen.wrapped(0, y, 2, &text, Tone::Faint);
    }
    y
}

fn events(state: &State, board: &ViewModel, pod: &Pod, pen: &mut Painter<'_>, mut y: usize) -> usize {
    let width = pen.width();
    let namespace = &board.status.instance.namespace;
    let mut events: Vec<_> = state
        .world
        .kubernetes
        .events
        .values()
        .map(|seen| &seen.value)
        .filter(|event| event.namespace == *namespace && event.about == pod.name.as_str())
        .collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.last));
    for event in events.into_iter().take(3) {
        let age = event.last.map(|last| duration(seconds_between(last, state.now))).unwrap_or_default();
        let text = format!("{age:>6}  {}: {}", event.reason, event.message.trim());
        pen.put(0, y, width, &text, if event.warning { Tone::Warning } else { Tone::Faint });
        y += 1;
    }
    y
}
