//! The plan: the effect of a rebalance, forecast again with every key and every new count. It begins with the
//! user's requirement; `m` shows every setting.
//!
//! ```text
//!  PLAN  would end even  donors hold 3,333 connections on average …
//!  ▸ every node within                ◂ 5 % ▸
//!    in at most                         30 min
//!    reconnects/s per node, at most     50
//!  so 16 clients/s per donor · within 166 · wait 60s · takeover 60s
//!    3 donors      3,333 → 2,553  ██████████████████████▌░░░░░░░
//!    1 recipient       0 → 2,340  ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
//!  147 rounds · 2,340 disconnections · 3m18s · ends 10:16:30
//!  ! the operator will report Failed after about 30s; EMQX continues
//! ```

use jiff::SignedDuration;
use unicode_width::UnicodeWidthStr;

use super::painter::{Painter, wrap};
use super::{foot, head};
use crate::model::human::{clock, count, duration, plural};
use crate::model::{Backend, Part};
use crate::output::names::shorten;
use crate::output::theme::{Theme, Tone};
use crate::plan::finding::{Decision, Severity};
use crate::plan::rebalance::plan::{PlannedNode, RebalancePlan};
use crate::plan::rebalance::requirement::spread_percent;
use crate::tui::form::{Field, PlanForm, PlanOutcome, outcome};
use crate::tui::state::State;

/// The text while a plan is forecast again.
const FORECASTING: &str = "forecasting …";

pub(super) fn page(state: &State, pen: &mut Painter<'_>, narrow: bool) {
    let (width, height) = (pen.width(), pen.height());
    let Some(board) = state.board() else {
        super::waiting::waiting(state, pen);
        return;
    };
    head::title(state, board, pen);
    let foot = foot::draw(state, Some(board), pen, narrow);
    let bottom = height.saturating_sub(foot);
    let top = 2 + usize::from(!narrow);
    let (plan, backend) = match &state.forecast {
        Some(Ok((plan, backend, why))) => (plan, Some((*backend, why))),
        Some(Err(problem)) => {
            pen.put(1, 1, width - 1, "PLAN", Tone::Strong);
            let y = fields(&state.form, None, None, pen, top, bottom) + 1;
            let mut place = pen.part(1, y, width - 2, bottom.saturating_sub(y));
            let y = refused(&state.form, &mut place, 0);
            let y = place.wrapped(0, y, 4, &problem.to_string(), Tone::Bad);
            if let Some(hint) = &problem.hint {
                place.wrapped(0, y, 3, &format!("hint: {hint}"), Tone::Plain);
            }
            return;
        }
        None => {
            let x = pen.put(1, 1, width - 1, "PLAN", Tone::Strong) + 2;
            pen.put(x, 1, width.saturating_sub(x + 1), FORECASTING, Tone::Busy);
            fields(&state.form, None, None, pen, top, bottom);
            return;
        }
    };
    let x = pen.put(1, 1, width, "PLAN", Tone::Strong) + 2;
    let (word, tone) = match (plan.decision, outcome(plan)) {
        // Until the next forecast is ready, the values below are those of the last one.
        _ if state.forecast_due => (FORECASTING.to_owned(), Tone::Busy),
        (Decision::Go, PlanOutcome::Even) => ("would end even".to_owned(), Tone::Good),
        (Decision::Go, other) => (format!("would end {}", other.words()), Tone::Warning),
        (Decision::NothingToDo, _) => ("nothing to do".to_owned(), Tone::Plain),
        (Decision::Refused, _) => ("refused".to_owned(), Tone::Bad),
    };
    let x = pen.put(x, 1, width, &word, tone) + 2;
    if !state.forecast_due {
        pen.put(x, 1, width.saturating_sub(x + 1), plan.sentence(), Tone::Plain);
    }
    if state.notices {
        findings(state, plan, backend, &mut pen.part(1, 2, width - 2, bottom.saturating_sub(2)));
        return;
    }
    let mut y = fields(&state.form, Some(plan), backend.map(|it| it.0), pen, top, bottom);
    y = refused(&state.form, pen, y);
    if !state.form.all && y < bottom {
        let dot = pen.symbols().dot;
        let text = settings(plan, width < 72, dot);
        pen.put(1, y, width - 2, &text, Tone::Plain);
        y += 1;
    }
    y += usize::from(!narrow);
    let mut below = vec![(summary(state, plan, width - 2), Tone::Strong)];
    below.extend(plan.findings.iter().map(|it| (format!("! {}", it.message), mark(it.severity))));
    below.extend(way(backend));
    // The summary and two findings are always visible.
    let bars = if state.form.nodes { nodes(plan, pen.theme) } else { parts(plan) };
    let all = bars.len();
    let rows = bottom.saturating_sub(y + below.len().min(3)).min(all);
    let shown = if rows < all { rows.saturating_sub(1) } else { rows };
    let first = state.top.get().min(all - shown);
    state.top.set(first);
    state.lines.set(shown);
    draw_bars(&bars, first, &mut pen.part(1, y, width - 2, shown));
    if let Some(position) = super::position::position(first, shown, all).filter(|_| rows > 0) {
        pen.put(3, y + shown, width, &format!("{position}  PageUp PageDown scroll"), Tone::Faint);
    }
    y += rows;
    let needed: usize = below.iter().map(|(text, _)| wrap(text, width - 2).len().min(2)).sum();
    y += usize::from(rows > 0 && y + needed < bottom);
    for (place, (text, tone)) in below.iter().enumerate() {
        if y >= bottom {
            break;
        }
        // If there is space for all, long findings are not shortened.
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

/// The backend, and the reason for it.
fn way(backend: Option<(Backend, &String)>) -> Option<(String, Tone)> {
    backend.map(|(backend, why)| (format!("through {}: {why}", backend.as_str()), Tone::Faint))
}

/// Every finding in full, with its hint; the keys scroll.
fn findings(state: &State, plan: &RebalancePlan, backend: Option<(Backend, &String)>, pen: &mut Painter<'_>) {
    let (width, height) = (pen.width(), pen.height());
    let mut y = 1;
    let mut whole = state.back;
    for finding in plan.findings.iter().skip(state.back) {
        whole += usize::from(y < height);
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
    let all = plan.findings.len();
    let position = super::position::position(state.back, whole - state.back, all);
    let position = position.map_or_else(|| all.to_string(), |it| format!("{it}, j k scroll"));
    pen.put(0, 0, width, &format!("FINDINGS ({position})  Tab back"), Tone::Strong);
    if let Some((text, tone)) = way(backend) {
        pen.wrapped(0, y, height.saturating_sub(y), &text, tone);
    }
}

/// Why the last value was refused; returns the line after the text.
fn refused(form: &PlanForm, pen: &mut Painter<'_>, y: usize) -> usize {
    let Some(why) = &form.refused else { return y };
    let width = pen.width();
    pen.put(1, y, width - 2, why, Tone::Warning);
    y + 1
}

/// The settings that follow from the requirement.
fn settings(plan: &RebalancePlan, narrow: bool, dot: &str) -> String {
    let strategy = &plan.strategy;
    let rate = strategy.conn_evict_rate;
    let threshold = count(strategy.abs_conn_threshold);
    if narrow {
        let waits = [strategy.wait_health_check_seconds, strategy.wait_takeover_seconds].map(duration);
        return format!(
            "so {}/s per donor {dot} threshold {threshold} {dot} waits {} + {}",
            count(rate),
            waits[0],
            waits[1]
        );
    }
    let settings = [
        format!("{}/s per donor", plural(rate, "client")),
        format!("threshold {threshold}"),
        format!("wait {}", duration(strategy.wait_health_check_seconds)),
        format!("takeover {}", duration(strategy.wait_takeover_seconds)),
    ];
    format!("so {}", settings.join(&format!(" {dot} ")))
}

/// Draws the values; returns the line after them.
fn fields(
    form: &PlanForm,
    plan: Option<&RebalancePlan>,
    backend: Option<Backend>,
    pen: &mut Painter<'_>,
    top: usize,
    bottom: usize,
) -> usize {
    let width = pen.width();
    let symbols = pen.symbols();
    let (open, close) = if pen.theme.ascii { ("<", ">") } else { ("◂", "▸") };
    let all = form.fields();
    let two = form.all && width >= 96;
    let each = if two { all.len().div_ceil(2) } else { all.len() };
    // On a low screen only values around the cursor are visible.
    let least = if form.all { 2 } else { each };
    let room = (bottom.saturating_sub(top) / 2).clamp(least, each);
    let at = all.iter().position(|field| *field == form.field).unwrap_or(0);
    let first = if two { 0 } else { (at + 1).saturating_sub(room) };
    for (place, field) in all.iter().copied().enumerate() {
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
            _ => plan.map(|plan| note(field, plan)).unwrap_or_default(),
        };
        let limit = if two { x + width / 2 - 2 } else { width - 1 };
        if !note.is_empty() && end + 2 + note.width() <= limit {
            pen.put((x + 46).max(end + 2).min(limit - note.width()), y, width, &note, Tone::Faint);
        }
    }
    top + room
}

/// The effect of a value.
fn note(field: Field, plan: &RebalancePlan) -> String {
    let (donors, recipients) = plan.participant_counts();
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
        Field::Reconnects if plan.moves.rounds > 0 => {
            format!("at most {}/s arrive on one node", count(plan.moves.peak_reconnects_per_second))
        }
        Field::Deadline if plan.moves.rounds > 0 => format!("takes {}", duration(plan.total_seconds)),
        Field::Spread => match spread_percent(plan) {
            Some(spread) if plan.moves.rounds > 0 => format!("ends within {spread:.1} %"),
            Some(spread) => format!("they are within {spread:.1} % now"),
            None => String::new(),
        },
        Field::HealthCheck if plan.moves.rounds > 0 => "donors leave the Service meanwhile".to_owned(),
        _ => String::new(),
    }
}

/// The effect in numbers. Where they do not fit on a line, the rounds are omitted: the end follows from them.
fn summary(state: &State, plan: &RebalancePlan, width: usize) -> String {
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
        facts.push(format!("ends {}", clock(end, &state.setup.zone)));
    }
    let text = facts.join(&dot);
    if text.width() <= width { text } else { facts[1..].join(&dot) }
}

/// A line of the forecast: what it is about, what it holds now and at the end.
struct Bar {
    name: String,
    part: Option<Part>,
    before: u64,
    after: u64,
}

/// The means of donors, of recipients, and of nodes that take no part.
fn parts(plan: &RebalancePlan) -> Vec<Bar> {
    let parts = [
        (Some(Part::Donor), "donor"),
        (Some(Part::Recipient), "recipient"),
        (Some(Part::Evacuating), "evacuating node"),
        (None, "other node"),
    ];
    let bar = |(part, word): (Option<Part>, &str)| {
        let nodes: Vec<&PlannedNode> = plan.nodes.iter().filter(|node| node.part == part).collect();
        let all = nodes.len() as u64;
        let mean = |of: fn(&PlannedNode) -> u64| {
            let sum: u64 = nodes.iter().map(|node| of(node)).sum();
            (sum as f64 / all as f64).round() as u64
        };
        (all > 0).then(|| Bar {
            name: plural(all, word),
            part,
            before: mean(|node| node.connections),
            after: mean(|node| node.connections_after),
        })
    };
    parts.into_iter().filter_map(bar).collect()
}

/// Each node.
fn nodes(plan: &RebalancePlan, theme: Theme) -> Vec<Bar> {
    let instance = plan.instance.as_ref().map(|id| id.name.as_str());
    let names = shorten(instance, plan.nodes.iter().map(name), theme);
    let bar = |(node, name): (&PlannedNode, String)| Bar {
        name,
        part: node.part,
        before: node.connections,
        after: node.connections_after,
    };
    plan.nodes.iter().zip(names).map(bar).collect()
}

/// Draws the rows from `first` on. Widths and the scale are those of all rows, so that they stay when the rows move.
fn draw_bars(rows: &[Bar], first: usize, pen: &mut Painter<'_>) {
    let theme = pen.theme;
    let widest = rows.iter().map(|row| theme.clean(&row.name).width()).max().unwrap_or(0).min(28);
    let most = rows.iter().flat_map(|row| [row.before, row.after]).max().unwrap_or(0);
    let digits = count(most).width();
    for (y, row) in rows[first..].iter().take(pen.height()).enumerate() {
        pen.put(2, y, widest, &row.name, Tone::Plain);
        let mut x = 2 + widest + 2;
        pen.right(x, y, digits, &count(row.before), Tone::Plain);
        x += digits + 1;
        x = pen.put(x, y, 2, theme.symbols().arrow, Tone::Faint) + 1;
        pen.right(x, y, digits, &count(row.after), Tone::Strong);
        x += digits + 2;
        let width = pen.width().saturating_sub(x).min(60);
        let (stays, changes) = bars(row, most, width, theme);
        let part = match row.part {
            Some(Part::Recipient) => Tone::Busy,
            Some(_) => Tone::Warning,
            None => Tone::Plain,
        };
        let end = pen.put(x, y, width, &stays, Tone::Plain);
        pen.put(end, y, width, &changes, part);
    }
}

fn name(node: &PlannedNode) -> &str {
    node.pod.as_ref().map_or_else(|| node.node.short(), crate::model::PodName::as_str)
}

/// The part that stays, and the part that is lost or gained.
fn bars(row: &Bar, most: u64, width: usize, theme: Theme) -> (String, String) {
    let cells = |value: u64| (value as f64 / most.max(1) as f64 * width as f64).round() as usize;
    let symbols = theme.symbols();
    let (before, after) = (cells(row.before), cells(row.after));
    let stays = symbols.full.repeat(before.min(after));
    let changes = if after < before {
        symbols.goes.repeat(before - after)
    } else {
        symbols.comes.repeat(after - before)
    };
    (stays, changes)
}
