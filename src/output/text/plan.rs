//! `rebalance plan`: donors and recipients, the duration, the disconnections, and the findings.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::Layout;
use crate::model::human::{average, clock, count, duration, plural};
use crate::model::{Backend, Part, Strategy};
use crate::output::names::shorten;
use crate::output::table::{Cell, Table};
use crate::output::theme::{Theme, Tone};
use crate::plan::finding::{Decision, Finding, Severity};
use crate::plan::rebalance::difference::{ChangedLine, Difference};
use crate::plan::rebalance::plan::{LandingForecast, PlannedNode, RebalancePlan};
use crate::plan::rebalance::requirement::percent;

/// The most columns of a bar.
const BAR: u64 = 24;

/// The most nodes of a part that are listed; more are counted (`-o wide` lists them).
const MAX_NODES_LISTED: usize = 12;

/// The plan. `through` is the backend and the reason for it; `now` gives the time of day of its end.
pub(crate) fn plan(
    plan: &RebalancePlan,
    through: Option<(Backend, &str)>,
    now: Option<(Timestamp, &TimeZone)>,
    layout: Layout,
) -> String {
    let theme = layout.theme;
    let (cell_or_dash, tone) = decision(plan.decision);
    let of = plan.instance.as_ref().map_or_else(|| "these numbers".to_owned(), ToString::to_string);
    let mut text = String::new();
    let mut line = |tone: Tone, words: &str| {
        text.push_str(&theme.paint(tone, &theme.clean(words)));
        text.push('\n');
    };
    line(Tone::Strong, &format!("plan for {of}"));
    if let Some(requirement) = &plan.requirement {
        line(Tone::Plain, &requirement.message);
    }
    line(Tone::Plain, &asked(&plan.strategy));
    if let Some((backend, why)) = through {
        let by = match backend {
            Backend::Rebalance => "through a Rebalance object",
            Backend::Emqx => "through EMQX's own API",
        };
        line(Tone::Plain, &if why.is_empty() { by.to_owned() } else { format!("{by}: {why}") });
    }
    text.push('\n');
    text.push_str(&nodes(plan, layout));
    put!(text, "{}: {}\n", theme.paint(tone, cell_or_dash), theme.clean(plan.sentence()));
    if !plan.phases.is_empty() {
        text.push_str(&theme.clean_lines(&price(plan, now)));
    }
    if let Some(forecasts) = &plan.load_balancers {
        text.push('\n');
        text.push_str(&load_balancers(forecasts, theme));
    }
    if let Some(command) = &plan.command {
        put!(text, "\nthe same with every setting: {}\n", theme.clean(command));
    }
    if let Some(difference) = &plan.diff {
        text.push('\n');
        text.push_str(&diff(difference, theme));
    }
    // The decision has this message already; its hint follows below.
    let (at_rest, others): (Vec<&Finding>, Vec<&Finding>) =
        plan.findings.iter().partition(|finding| finding.id == "nothing-to-balance");
    for hint in at_rest.iter().filter_map(|finding| finding.hint.as_deref()) {
        put!(text, "  hint: {}\n", theme.clean(hint));
    }
    text.push_str(&findings(others, theme));
    text
}

/// The end with each load balancer.
fn load_balancers(forecasts: &[LandingForecast], theme: Theme) -> String {
    let mut table = Table::new()
        .words("LOAD BALANCER")
        .numbers("FULLEST")
        .numbers("EMPTIEST")
        .numbers("SPREAD")
        .numbers("DISCONNECTED")
        .numbers("RECONNECTS/S")
        .numbers("TIME");
    for it in forecasts {
        let spread = it.spread_percent.map_or_else(|| "?".to_owned(), percent);
        table.row(vec![
            it.lb.into(),
            count(it.fullest).into(),
            count(it.emptiest).into(),
            spread.into(),
            count(it.disconnections).into(),
            count(it.peak_reconnects_per_second).into(),
            duration(it.total_seconds).into(),
        ]);
    }
    let hint = "where clients reconnect is decided by the load balancer; --lb even|least|one plans for one of them\n";
    format!("{}{}", table.render(theme, None), theme.paint(Tone::Faint, hint))
}

/// The object that would be written, compared with the present one.
fn diff(difference: &Difference, theme: Theme) -> String {
    let before = if difference.before.is_some() { "the latest Rebalance" } else { "nothing" };
    let mut text = format!("{}\n", theme.paint(Tone::Faint, &format!("- {before}, + what would be written")));
    for (change, line) in difference.lines() {
        let (mark, tone) = match change {
            ChangedLine::Same => (' ', Tone::Plain),
            ChangedLine::Removed => ('-', Tone::Bad),
            ChangedLine::Added => ('+', Tone::Good),
        };
        put!(text, "{}\n", theme.paint(tone, &theme.clean(&format!("{mark} {line}"))));
    }
    text
}

/// A decision in words.
pub(super) fn decision(decision: Decision) -> (&'static str, Tone) {
    match decision {
        Decision::Go => ("go", Tone::Good),
        Decision::NothingToDo => ("nothing to do", Tone::Plain),
        Decision::Refused => ("refused", Tone::Bad),
    }
}

fn asked(strategy: &Strategy) -> String {
    let one = |rate: u64, abs: u64, rel: f64| {
        format!("{}/s per donor, until within {} or x{rel:?}", count(rate), count(abs))
    };
    let connections = one(strategy.conn_evict_rate, strategy.abs_conn_threshold, strategy.rel_conn_threshold);
    let sessions = one(strategy.sess_evict_rate, strategy.abs_sess_threshold, strategy.rel_sess_threshold);
    if connections == sessions {
        format!("connections and sessions {connections}")
    } else {
        format!("connections {connections}; sessions {sessions}")
    }
}

fn nodes(plan: &RebalancePlan, layout: Layout) -> String {
    if plan.nodes.is_empty() {
        return String::new();
    }
    let theme = layout.theme;
    let symbols = theme.symbols();
    let instance = plan.instance.as_ref().map(|id| id.name.as_str());
    let names = shorten(instance, plan.nodes.iter().map(name), theme);
    let most = plan.nodes.iter().map(|node| node.connections.max(node.connections_after)).max().unwrap_or(0);
    let sessions = plan
        .nodes
        .iter()
        .any(|node| node.sessions != node.connections || node.sessions_after != node.connections_after);
    let mut table = Table::new().words("NODE").words("PART").numbers("CONNECTIONS").words("AFTER");
    if sessions {
        table = table.numbers("SESSIONS").words("AFTER");
    }
    table = table.words("");
    let right =
        |of: fn(&PlannedNode) -> u64| plan.nodes.iter().map(|node| count(of(node)).len()).max().unwrap_or(0);
    let (wide, wide_sessions) = (right(|node| node.connections_after), right(|node| node.sessions_after));
    let mut left_out = [0_usize; 2];
    let mut listed = [0_usize; 2];
    for (node, name) in plan.nodes.iter().zip(names) {
        let side = usize::from(node.part == Some(Part::Recipient));
        if !layout.wide && listed[side] >= MAX_NODES_LISTED {
            left_out[side] += 1;
            continue;
        }
        listed[side] += 1;
        let arrow =
            |number: u64, wide: usize| Cell::from(format!("{} {:>wide$}", symbols.arrow, count(number)));
        let part = match node.part {
            Some(Part::Recipient) => Cell::toned("recipient", Tone::Busy),
            Some(part) => Cell::toned(part.as_str(), Tone::Warning),
            None => "-".into(),
        };
        let mut cells =
            vec![name.into(), part, count(node.connections).into(), arrow(node.connections_after, wide)];
        if sessions {
            cells.extend([count(node.sessions).into(), arrow(node.sessions_after, wide_sessions)]);
        }
        cells.push(bar(node, most, theme).into());
        table.row(cells);
    }
    let mut text = table.render(theme, None);
    for (number, one) in left_out.into_iter().zip(["donor", "recipient"]) {
        if number > 0 {
            let more = format!("and {} more (-o wide lists them)\n", plural(number as u64, one));
            text.push_str(&theme.paint(Tone::Faint, &more));
        }
    }
    text.push('\n');
    text
}

fn name(node: &PlannedNode) -> &str {
    match &node.pod {
        Some(pod) => pod.as_str(),
        None if node.node.ip().is_some() => node.node.host(),
        None => node.node.first_label(),
    }
}

/// The part that stays, and the part that is lost or gained.
fn bar(node: &PlannedNode, most: u64, theme: Theme) -> String {
    let symbols = theme.symbols();
    let cells = |number: u64| -> usize {
        if most == 0 { 0 } else { (u128::from(number) * u128::from(BAR)).div_ceil(u128::from(most)) as usize }
    };
    let (before, after) = (cells(node.connections), cells(node.connections_after));
    let change = if after < before { symbols.goes } else { symbols.comes };
    format!("{}{}", symbols.full.repeat(before.min(after)), change.repeat(before.abs_diff(after)))
}

fn price(plan: &RebalancePlan, now: Option<(Timestamp, &TimeZone)>) -> String {
    let (donors, recipients) = plan.participant_counts();
    let averages = &plan.averages;
    let unknown = |value: Option<f64>| value.map_or_else(|| "?".to_owned(), average);
    let mut text = format!(
        "{} from {} to {} on average, {} from {} to {}\n",
        plural(donors as u64, "donor"),
        average(averages.donors_before),
        average(averages.donors_after),
        plural(recipients as u64, "recipient"),
        unknown(averages.recipients_before),
        unknown(averages.recipients_after),
    );
    let moves = &plan.moves;
    put!(
        text,
        "{}, {}, at most {} a second on one recipient",
        plural(moves.rounds, "round"),
        plural(moves.connections, "disconnection"),
        plural(moves.peak_reconnects_per_second, "reconnect")
    );
    if moves.sessions > 0 {
        put!(
            text,
            "; {} without a client moved in {}",
            plural(moves.sessions, "session"),
            plural(moves.session_rounds, "round")
        );
    }
    text.push('\n');
    let phases: Vec<String> = plan
        .phases
        .iter()
        .filter(|phase| phase.seconds > 0)
        .map(|phase| format!("{} {}", phase_words(phase.name), duration(phase.seconds)))
        .collect();
    put!(text, "{} = {}", phases.join(" + "), duration(plan.total_seconds));
    if let Some(end) = end(now, plan.total_seconds) {
        put!(text, ", would end {end} if it began now");
    }
    text.push('\n');
    text
}

/// The time of day, this many seconds from now.
pub(super) fn end(now: Option<(Timestamp, &TimeZone)>, seconds: u64) -> Option<String> {
    let (now, zone) = now?;
    let end = now.checked_add(SignedDuration::from_secs(i64::try_from(seconds).ok()?)).ok()?;
    // On another day, a time of day is misleading.
    (seconds < 86_400).then(|| clock(end, zone))
}

pub(crate) fn phase_words(name: &str) -> &str {
    match name {
        "waitHealthCheck" => "wait for load balancers",
        "evictConnections" => "evict connections",
        "waitTakeover" => "wait for takeover",
        "evictSessions" => "move sessions",
        other => other,
    }
}

/// The findings of the checks, each with its hint.
pub(super) fn findings<'a>(findings: impl IntoIterator<Item = &'a Finding>, theme: Theme) -> String {
    let mut text = String::new();
    for finding in findings {
        let (cell_or_dash, tone) = match finding.severity {
            Severity::Info => ("info", Tone::Faint),
            Severity::Warning => ("warning", Tone::Warning),
            Severity::Blocked => ("blocked", Tone::Bad),
        };
        text.push('\n');
        put!(
            text,
            "{}: {} ({})\n",
            theme.paint(tone, cell_or_dash),
            theme.clean(&finding.message),
            finding.id
        );
        if let Some(hint) = &finding.hint {
            put!(text, "  hint: {}\n", theme.clean(hint));
        }
    }
    text
}
