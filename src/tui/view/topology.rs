//! The topology: cores, the replicants that are connected to each where EMQX reports it, and what is missing.
//!
//! ```text
//!  TOPOLOGY   2 cores · 4 replicants · in the Service: 4 of 4
//!  ! pod emqx-core-2 is ready, but EMQX does not list it as a node
//!    NODE                        STATE     IN SVC  CONNECTIONS  SESSIONS  VERSION  UPTIME  LOAD  MEMORY
//!    core-0                      running   no                0         0  5.8.6    3h12m   0.31  1.02G of 7.43G
//!    ├ replicant-…-a             running   yes           2,500     2,500  5.8.6    3h12m   0.31  1.02G of 7.43G
//! ```

use std::collections::BTreeMap;

use unicode_width::UnicodeWidthStr;

use super::painter::Painter;
use super::table::in_the_service;
use super::{foot, head};
use crate::model::human::{count, duration, plural};
use crate::model::{Node, NodeName, Role};
use crate::output::theme::Tone;
use crate::tui::rows::{Row, has_replicants};
use crate::tui::state::State;
use crate::tui::view_model::ViewModel;

/// A line of the tree.
enum Branch<'a> {
    Title(String),
    Node(&'a Row, &'static str),
}

/// The columns after the name, by their importance.
const TOPOLOGY_COLUMNS: [(&str, usize, bool); 8] = [
    ("STATE", 14, false),
    ("CONNECTIONS", 11, true),
    ("IN SVC", 6, false),
    ("VERSION", 8, false),
    ("UPTIME", 8, true),
    ("SESSIONS", 10, true),
    ("LOAD", 5, true),
    ("MEMORY", 15, false),
];

/// The widest name.
const NAME: usize = 36;

/// Draws the page.
pub(super) fn page(state: &State, pen: &mut Painter<'_>, narrow: bool) {
    let (width, height) = (pen.width(), pen.height());
    let Some(board) = super::waiting::board_or_waiting(state, pen, narrow) else { return };
    head::title(state, board, pen);
    let foot = foot::draw(state, Some(board), pen, narrow);
    let bottom = height.saturating_sub(foot);
    let dot = pen.symbols().dot;
    let summary_at = pen.put(1, 1, width, "TOPOLOGY", Tone::Strong) + 2;
    let mut y = 2;
    // Problems come first; the nodes keep half of the page.
    let most = (bottom.saturating_sub(y) / 2).max(1);
    for text in &board.status.membership.discrepancies {
        if y >= 2 + most {
            break;
        }
        let mut place = pen.part(1, y, width - 2, 2 + most - y);
        y += place.wrapped(0, 0, 2, &format!("! {text}"), Tone::Bad).max(1);
    }
    let attached = state.here().and_then(|cluster| cluster.replicants.as_ref());
    let ascii = pen.theme.ascii;
    let tree = tree(board, attached.and_then(|it| it.as_ref().ok()), ascii);
    let has_replicants = has_replicants(&board.rows);
    if let Some(Err(why)) = attached.filter(|_| has_replicants) {
        pen.put(1, y, width - 2, &format!("the core of each replicant is not known: {why}"), Tone::Faint);
        y += 1;
    }
    y += usize::from(!narrow);
    let widest = tree.iter().map(|branch| match branch {
        Branch::Title(_) => 0,
        Branch::Node(row, mark) => mark.width() + row.name.width(),
    });
    let name = widest.max().unwrap_or(4).clamp(4, NAME);
    let mut used = 3 + name;
    let columns: Vec<(&str, usize, bool, usize)> = TOPOLOGY_COLUMNS
        .iter()
        .filter_map(|(title, size, right)| {
            let fits = used + 2 + size <= width;
            used += if fits { 2 + size } else { 0 };
            fits.then_some((*title, *size, *right, used - size))
        })
        .collect();
    let header = y;
    pen.put(3, y, name, "NODE", Tone::Faint);
    for (title, size, right, x) in &columns {
        put(pen, *x, y, *size, *right, title, Tone::Faint);
    }
    y += 1;
    let room = bottom.saturating_sub(y);
    state.lines.set(room);
    let top = state.top.get().min(tree.len().saturating_sub(room));
    state.top.set(top);
    let nodes = |lines: &[Branch]| lines.iter().filter(|it| matches!(it, Branch::Node(..))).count();
    let visible = &tree[top..tree.len().min(top + room)];
    let position =
        super::position::position(nodes(&tree[..top]), nodes(visible), nodes(&tree)).unwrap_or_default();
    // On a narrow screen no line is free for it.
    let line = if narrow { 1 } else { header - 1 };
    pen.right(0, line, width - 1, &position, Tone::Faint);
    let most = if narrow && !position.is_empty() { width - position.width() - 3 } else { width };
    pen.put(summary_at, 1, width, &summary(board, dot, most.saturating_sub(summary_at)), Tone::Plain);
    for (place, branch) in tree.iter().skip(top).take(room).enumerate() {
        let y = y + place;
        match branch {
            Branch::Title(text) => {
                pen.put(1, y, width - 2, text, Tone::Strong);
            }
            Branch::Node(row, mark) => {
                let x = pen.put(3, y, name, mark, Tone::Faint);
                pen.put(x, y, (3 + name).saturating_sub(x), &row.name, Tone::Plain);
                let node = row.node.as_ref().and_then(|node| reported(state, node));
                for (title, size, right, x) in &columns {
                    let (text, tone) = cell(title, row, node, board);
                    put(pen, *x, y, *size, *right, &text, tone);
                }
            }
        }
    }
}

fn put(pen: &mut Painter<'_>, x: usize, y: usize, size: usize, right: bool, text: &str, tone: Tone) {
    if right {
        pen.right(x, y, size, text, tone);
    } else {
        pen.put(x, y, size, text, tone);
    }
}

/// What EMQX reports of a node.
fn reported<'a>(state: &'a State, node: &NodeName) -> Option<&'a Node> {
    state.world.broker(state.open.as_ref()?).listed().iter().find(|it| it.name == *node)
}

/// The counts that fit into `width` columns.
fn summary(board: &ViewModel, dot: &str, width: usize) -> String {
    let of = |role| board.rows.iter().filter(|row| row.role == role && row.node.is_some()).count() as u64;
    let (cores, replicants) = (of(Role::Core), of(Role::Replicant));
    let mut facts = vec![plural(cores, "core")];
    if replicants > 0 {
        facts.push(plural(replicants, "replicant"));
    }
    if let Some((serving, all)) = board.in_service() {
        facts.push(in_the_service(serving, all));
    }
    let pods = board.rows.iter().filter(|row| row.node.is_none()).count() as u64;
    if pods > 0 {
        facts.push(format!("{} without an EMQX node", plural(pods, "pod")));
    }
    let separator = format!(" {dot} ");
    while facts.len() > 1 && facts.join(&separator).width() > width {
        facts.pop();
    }
    facts.join(&separator)
}

/// Cores with their replicants, then replicants without a known core, then pods that are not nodes.
fn tree<'a>(
    board: &'a ViewModel,
    cores: Option<&BTreeMap<NodeName, NodeName>>,
    ascii: bool,
) -> Vec<Branch<'a>> {
    let mut rows: Vec<&Row> = board.rows.iter().collect();
    rows.sort_by(|one, other| one.key.cmp(&other.key));
    let (fork, last) = if ascii { ("|- ", "`- ") } else { ("├ ", "└ ") };
    let node = |row: &&&Row| row.node.is_some();
    let is = |role: Role| move |row: &&&Row| row.role == role;
    let core_of = |row: &Row| cores.and_then(|cores| cores.get(row.node.as_ref()?));
    let mut tree = Vec::new();
    let mut placed = std::collections::BTreeSet::new();
    for core in rows.iter().filter(node).filter(|row| row.role != Role::Replicant) {
        tree.push(Branch::Node(core, ""));
        let own: Vec<&&Row> = rows
            .iter()
            .filter(node)
            .filter(is(Role::Replicant))
            .filter(|row| core_of(row).is_some() && core_of(row) == core.node.as_ref())
            .collect();
        for (place, row) in own.iter().enumerate() {
            placed.insert(row.key.as_str());
            tree.push(Branch::Node(row, if place + 1 == own.len() { last } else { fork }));
        }
    }
    let loose: Vec<&&Row> = rows
        .iter()
        .filter(node)
        .filter(is(Role::Replicant))
        .filter(|row| !placed.contains(row.key.as_str()))
        .collect();
    if !loose.is_empty() {
        let title = if cores.is_some() { "replicants that no core lists" } else { "replicants" };
        tree.push(Branch::Title(title.to_owned()));
        tree.extend(loose.into_iter().map(|row| Branch::Node(row, "")));
    }
    let pods: Vec<&&Row> = rows.iter().filter(|row| row.node.is_none()).collect();
    if !pods.is_empty() {
        tree.push(Branch::Title("pods that EMQX does not list as a node".to_owned()));
        tree.extend(pods.into_iter().map(|row| Branch::Node(row, "")));
    }
    tree
}

fn cell(title: &str, row: &Row, node: Option<&Node>, board: &ViewModel) -> (String, Tone) {
    let unsure = board.unsure.is_some();
    let unknown = || ("?".to_owned(), Tone::Faint);
    // EMQX does not answer now: this is its last answer.
    let known = |text: String| if unsure { (format!("~{text}"), Tone::Faint) } else { (text, Tone::Plain) };
    let about = |value: Option<u64>| value.map_or_else(unknown, |value| known(count(value)));
    match title {
        "STATE" if row.state.is_empty() => known("running".to_owned()),
        "STATE" => (row.state.clone(), row.tone),
        "IN SVC" => {
            let word = board.service_word(row);
            (word.to_owned(), if matches!(word, "yes" | "no") { Tone::Plain } else { Tone::Faint })
        }
        "CONNECTIONS" | "SESSIONS" if row.node.is_none() => (String::new(), Tone::Plain),
        "CONNECTIONS" => about(row.connections),
        "SESSIONS" => about(row.sessions),
        "VERSION" => row.version.clone().map_or_else(unknown, |text| (text, Tone::Plain)),
        "UPTIME" => match node.and_then(|node| node.uptime_millis) {
            Some(millis) => known(duration(millis / 1000)),
            None => unknown(),
        },
        "LOAD" => match node.and_then(|node| node.load) {
            Some(load) => known(format!("{load:.2}")),
            None => unknown(),
        },
        _ => match node.map(|node| (&node.memory_used, &node.memory_total)) {
            Some((Some(used), Some(total))) => known(format!("{used} of {total}")),
            Some((Some(used), None)) => known(used.clone()),
            _ => unknown(),
        },
    }
}
