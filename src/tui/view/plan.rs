//! The plan: what a rebalance with these values would do, forecast again with every key and every new count.
//!
//! ```text
//!  PLAN  rebalance emqx                                                would go
//!  ▸ clients per donor and second   ◂ 10 ▸     3 donors, 1 recipient: 30 arrive a second
//!    core-…-0   3,333 → 2,553  ██████████████████████▌░░░░░░░
//!    core-…-3       0 → 2,340  ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
//!  78 rounds · 2,340 disconnections · 98 s · would end 10:16:30
//!  ! the operator will say Failed after about 30 s; EMQX finishes all the same
//! ```

use jiff::SignedDuration;
use unicode_width::UnicodeWidthStr;

use super::pen::{Painter, wrap};
use super::{foot, head};
use crate::model::Part;
use crate::model::human::{clock, count, duration, plural};
use crate::output::names::shorten;
use crate::output::theme::{Theme, Tone};
use crate::plan::finding::{Decision, Severity};
use crate::plan::rebalance::forecast::{PlannedNode, RebalancePlan};
use crate::plan::rebalance::messages;
use crate::plan::results::Backend;
use crate::tui::form::{Field, Form};
use crate::tui::state::State;

pub(super) fn page(state: &State, pen: &mut Painter<'_>, narrow: bool) {
    let (width, height) = (pen.width(), pen.height());
    let Some(board) = state.board() else {
        head::waiting(state, pen);
        return;
    };
    head::title(state, board, pen);
    let foot = foot::draw(state, Some(board), pen, narrow);
    let bottom = height.saturating_sub(foot);
    let (plan, backend) = match &state.forecast {
        Some(Ok((plan, backend, why))) => (plan, Some((*backend, why))),
        Some(Err(problem)) => {
            pen.put(1, 1, width - 1, "PLAN", Tone::Strong);
            let mut place = pen.part(1, 2, width - 2, bottom.saturating_sub(2));
            let y = place.wrapped(0, 0, 4, &problem.to_string(), Tone::Bad);
            if let Some(hint) = &problem.hint {
                place.wrapped(0, y, 3, &format!("hint: {hint}"), Tone::Plain);
            }
            return;
        }
        None => return,
    };
    let x = pen.put(1, 1, width, "PLAN", Tone::Strong) + 2;
    let (word, tone) = match plan.decision {
        Decision::Go => ("would go", Tone::Good),
        Decision::NothingToDo => ("nothing to do", Tone::Plain),
        Decision::Refused => ("refused", Tone::Bad),
    };
    let x = pen.put(x, 1, width, word, tone) + 2;
    pen.put(x, 1, width - x - 1, &plan.message, Tone::Plain);
    if state.notices {
        findings(state, plan, backend, &mut pen.part(1, 2, width - 2, bottom.saturating_sub(2)));
        return;
    }
    let mut y = fields(&state.form, plan, backend.map(|it| it.0), pen, 2 + usize::from(!narrow), bottom);
    y += usize::from(!narrow);
    let mut below = vec![(summary(state, plan), Tone::Strong)];
    below.extend(plan.findings.iter().map(|it| (format!("! {}", it.message), mark(it.severity))));
    below.extend(way(backend));
    // The summary and two findings are always in sight.
    let rows = bottom.saturating_sub(y + below.len().min(3)).min(plan.nodes.len());
    let shown = if rows < plan.nodes.len() { rows.saturating_sub(1) } else { rows };
    nodes(plan, &mut pen.part(1, y, width - 2, shown));
    if shown < plan.nodes.len() && rows > 0 {
        let text = format!("and {} more", plural((plan.nodes.len() - shown) as u64, "node"));
        pen.put(3, y + shown, width, &text, Tone::Faint);
    }
    y += rows;
    let needed: usize = below.iter().map(|(text, _)| wrap(text, width - 2).len().min(2)).sum();
    y += usize::from(rows > 0 && y + needed < bottom);
    for (place, (text, tone)) in below.iter().enumerate() {
        if y >= bottom {
            break;
        }
        // Where there is room for all, long ones are told to their end.
        let rest = below.len() - place - 1;
        let most = (bottom - y).saturating_sub(rest).clamp(1, 3);
        let mut line = pen.part(1, y, width - 2, bottom - y);
        if most == 1 {
            line.put(0, 0, width - 2, text, *tone);
            y += 1;
        } else {
            y += line.wrapped(0, 0, most, text, *tone);
        }
    }
}

fn mark(severity: Severity) -> Tone {
    match severity {
        Severity::Blocked => Tone::Bad,
        Severity::Warning => Tone::Warning,
        Severity::Info => Tone::Plain,
    }
}

/// Who would drive it, and why.
fn way(backend: Option<(Backend, &String)>) -> Option<(String, Tone)> {
    backend.map(|(backend, why)| (format!("through {}: {why}", backend.as_str()), Tone::Faint))
}

/// Every finding to its end, with what to do about it; the keys move it.
fn findings(state: &State, plan: &RebalancePlan, backend: Option<(Backend, &String)>, pen: &mut Painter<'_>) {
    let (width, height) = (pen.width(), pen.height());
    let above = if state.back > 0 { format!(", {} above", state.back) } else { String::new() };
    let text = format!("FINDINGS ({}{above})  Tab back", plan.findings.len());
    let mut y = 1;
    pen.put(0, 0, width, &text, Tone::Strong);
    for finding in plan.findings.iter().skip(state.back) {
        y = pen.wrapped(
            0,
            y,
            height.saturating_sub(y),
            &format!("! {}", finding.message),
            mark(finding.severity),
        );
        if let Some(hint) = &finding.hint {
            y = pen.wrapped(2, y, height.saturating_sub(y), &format!("hint: {hint}"), Tone::Plain);
        }
    }
    if let Some((text, tone)) = way(backend) {
        pen.wrapped(0, y, height.saturating_sub(y), &text, tone);
    }
}

/// The values; gives back the line behind them.
fn fields(
    form: &Form,
    plan: &RebalancePlan,
    backend: Option<Backend>,
    pen: &mut Painter<'_>,
    top: usize,
    bottom: usize,
) -> usize {
    let width = pen.width();
    let symbols = pen.symbols();
    let (open, close) = if pen.theme.ascii { ("<", ">") } else { ("◂", "▸") };
    let two = width >= 96;
    let each = if two { Field::ALL.len().div_ceil(2) } else { Field::ALL.len() };
    // Where it is low, only values around the cursor are in sight.
    let room = (bottom.saturating_sub(top) / 2).clamp(2, each);
    let at = Field::ALL.iter().position(|field| *field == form.field).unwrap_or(0);
    let first = if two { 0 } else { (at + 1).saturating_sub(room) };
    for (place, field) in Field::ALL.into_iter().enumerate() {
        let (column, line) = if two { (place / each, place % each) } else { (0, place) };
        if line < first || line >= first + room {
            continue;
        }
        let (x, y) = (1 + column * (width / 2), top + line - first);
        let here = field == form.field;
        if here {
            pen.put(x, y, 2, symbols.now, Tone::Strong);
        }
        pen.put(x + 2, y, 30, field.label(), if here { Tone::Strong } else { Tone::Plain });
        let value = form.value(field);
        let value = if here { format!("{open} {value} {close}") } else { format!("  {value}") };
        let end = pen.put(x + 33, y, width, &value, if here { Tone::Strong } else { Tone::Plain });
        let note = match (field, backend) {
            (Field::Backend, Some(Backend::Rebalance)) => "an object for the operator".to_owned(),
            (Field::Backend, Some(Backend::Emqx)) => "EMQX's own API".to_owned(),
            _ => note(field, plan),
        };
        let limit = if two { x + width / 2 - 2 } else { width - 1 };
        if !note.is_empty() && end + 2 + note.width() <= limit {
            pen.put((x + 46).max(end + 2).min(limit - note.width()), y, width, &note, Tone::Faint);
        }
    }
    top + room
}

/// What follows from a value.
fn note(field: Field, plan: &RebalancePlan) -> String {
    let (donors, recipients) = plan.sides();
    match field {
        Field::Rate if donors > 0 && plan.moves.rounds > 0 => {
            let peak = plan.moves.peak_reconnects_per_second;
            let all = plural(recipients as u64, "recipient");
            format!(
                "{}: up to {} a second arrive on one of {all}",
                plural(donors as u64, "donor"),
                count(peak)
            )
        }
        Field::HealthCheck if plan.moves.rounds > 0 => "donors leave the Service meanwhile".to_owned(),
        _ => String::new(),
    }
}

fn summary(state: &State, plan: &RebalancePlan) -> String {
    if plan.decision == Decision::NothingToDo {
        return "nothing would be moved".to_owned();
    }
    let dot = format!(" {} ", state.theme().symbols().dot);
    let mut facts = vec![
        plural(plan.moves.rounds, "round"),
        plural(plan.moves.connections, "disconnection"),
        duration(plan.total_seconds),
    ];
    if plan.moves.sessions > 0 {
        facts.push(format!("{} moved", plural(plan.moves.sessions, "offline session")));
    }
    let seconds = i64::try_from(plan.total_seconds).unwrap_or(i64::MAX).min(100 * 365 * 86_400);
    if let Ok(end) = state.now.checked_add(SignedDuration::from_secs(seconds))
        && seconds < 86_400
    {
        facts.push(format!("would end {}", clock(end, &state.setup.zone)));
    }
    facts.join(&dot)
}

/// Before and after, a line each.
fn nodes(plan: &RebalancePlan, pen: &mut Painter<'_>) {
    let theme = pen.theme;
    let instance = plan.instance.as_ref().map(|id| id.name.as_str());
    let rows = pen.height();
    let shown: Vec<&PlannedNode> = plan.nodes.iter().take(rows).collect();
    let names = shorten(instance, shown.iter().map(|node| name(node)), theme);
    let widest = names.iter().map(|name| theme.clean(name).width()).max().unwrap_or(0).min(28);
    let most =
        plan.nodes.iter().flat_map(|node| [node.connections, node.connections_after]).max().unwrap_or(0);
    let digits = count(most).width();
    for (y, (node, name)) in shown.into_iter().zip(names).enumerate() {
        pen.put(2, y, widest, &name, Tone::Plain);
        let mut x = 2 + widest + 2;
        pen.right(x, y, digits, &count(node.connections), Tone::Plain);
        x += digits + 1;
        x = pen.put(x, y, 2, theme.symbols().arrow, Tone::Faint) + 1;
        pen.right(x, y, digits, &count(node.connections_after), Tone::Strong);
        x += digits + 2;
        let width = pen.width().saturating_sub(x).min(60);
        let (stays, changes) = bars(node, most, width, theme);
        let part = match node.part {
            Some(Part::Recipient) => Tone::Busy,
            Some(_) => Tone::Warning,
            None => Tone::Plain,
        };
        let end = pen.put(x, y, width, &stays, Tone::Plain);
        pen.put(end, y, width, &changes, part);
    }
}

fn name(node: &PlannedNode) -> &str {
    node.pod.as_ref().map_or_else(|| messages::short(&node.node), crate::model::PodName::as_str)
}

/// What stays, and what goes or comes.
fn bars(node: &PlannedNode, most: u64, width: usize, theme: Theme) -> (String, String) {
    let cells = |value: u64| (value as f64 / most.max(1) as f64 * width as f64).round() as usize;
    let symbols = theme.symbols();
    let (before, after) = (cells(node.connections), cells(node.connections_after));
    let stays = symbols.full.repeat(before.min(after));
    let changes = if after < before {
        symbols.goes.repeat(before - after)
    } else {
        symbols.comes.repeat(after - before)
    };
    (stays, changes)
}
