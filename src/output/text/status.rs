//! `status` and `nodes`.

use super::{Layout, cell_or_dash, number, yes_no};
use crate::model::human::{count_or_unknown, duration, plural, share};
use crate::model::{InstanceId, NodeName, Operation, OperatorLine, Part};
use crate::output::names::shorten;
use crate::output::table::{Cell, Table};
use crate::output::theme::{Theme, Tone};
use crate::plan::membership::Membership;
use crate::plan::operator::OperatorProcess;
use crate::plan::results::{Nodes, OperatorStatus, Status};
use crate::plan::snapshot::{NodeRow, SourceState};

/// One cluster.
pub(crate) fn status(status: &Status, layout: Layout) -> String {
    let theme = layout.theme;
    let mut text = format!("{}\n{}\n", theme.clean(&head(status)), verdict(status, theme));
    for (source, age) in status.sources.each() {
        if age.state != SourceState::Ok {
            // The notice has the reason. Data of a forbidden source comes from another source.
            let seen = age.age_seconds.filter(|_| age.state != SourceState::Forbidden);
            let old = seen.map(|age| format!(", last seen {} ago", duration(age))).unwrap_or_default();
            let line = format!("{} {}{old}", source.as_str(), age.state.as_str());
            text.push_str(&theme.paint(Tone::Warning, &theme.clean(&line)));
            text.push('\n');
        }
    }
    if !status.nodes.is_empty() {
        text.push('\n');
        text.push_str(&rows(status, layout).render(theme, layout.width));
    }
    text
}

/// The cluster in one line: `emqx  EMQX 5.8.6, operator 2.2, 4 nodes, 10,000 connections, 10,000 sessions`.
fn head(status: &Status) -> String {
    let versions = if status.versions.is_empty() { "?".to_owned() } else { status.versions.join(" and ") };
    let operator = match status.operator.line {
        OperatorLine::None => "no operator".to_owned(),
        OperatorLine::Unknown => "operator ?".to_owned(),
        line => format!("operator {line}"),
    };
    let old = operator_age(&status.operator, status.operation != Operation::None);
    format!(
        "{}  EMQX {versions}, {operator}{old}, {}, {} connections, {} sessions",
        status.instance.name,
        plural(status.totals.nodes as u64, "node"),
        count_or_unknown(status.totals.connections),
        count_or_unknown(status.totals.sessions),
    )
}

/// ` (last status update 33s ago)`; without an operation only where the process is gone.
fn operator_age(operator: &OperatorStatus, busy: bool) -> String {
    let mut words = Vec::new();
    match (operator.process, operator.lease_seconds) {
        (Some(OperatorProcess::Gone), Some(age)) => {
            words.push(format!("process gone: Lease last renewed {} ago", duration(age)));
        }
        (Some(OperatorProcess::Running), _) if busy => words.push("process running".to_owned()),
        _ => {}
    }
    let gone = operator.process == Some(OperatorProcess::Gone);
    let silent = operator.silent_seconds.filter(|_| busy || gone);
    words.extend(silent.map(|old| format!("last status update {} ago", duration(old))));
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

/// The verdict: `idle, uneven: …`, `rebalance running, 41 %, 57s to go: …`.
fn verdict(status: &Status, theme: Theme) -> String {
    let cell_or_dash = match status.operation {
        Operation::None => status.verdict.words().to_owned(),
        operation => format!("{} {}", operation.as_str(), status.verdict.words()),
    };
    let mut text = theme.paint(Tone::of(status.verdict), &cell_or_dash);
    if let Some(percent) = status.percent {
        put!(text, ", {percent} %");
    }
    if let Some(eta) = status.eta_seconds {
        put!(text, ", {} to go", duration(eta));
    }
    if !status.message.is_empty() {
        text.push_str(if status.operation == Operation::None { ", " } else { ": " });
        text.push_str(&theme.clean(&status.message));
    }
    text
}

fn rows(status: &Status, layout: Layout) -> Table {
    let nodes = &status.nodes;
    if layout.wide {
        return all_columns(&[(&status.instance, nodes.as_slice())], layout, false);
    }
    let odd = |row: &NodeRow| {
        row.part.is_some()
            || (!row.running && row.node.is_some())
            || !matches!(row.membership, None | Some(Membership::Member))
    };
    let busy = status.operation != Operation::None || nodes.iter().any(odd);
    let mut table = Table::new().words("NODE").words("ROLE").words("READY").words("SERVING");
    table = table.numbers("CONNECTIONS").numbers("SESSIONS").numbers("SHARE");
    if busy {
        table = table.words("PART").words("STATE");
    }
    let names = short_names(Some(&status.instance), nodes, layout.theme);
    for (row, name) in nodes.iter().zip(names) {
        let mut cells = vec![name.into(), row.role.as_str().into(), yes_no(row.ready), yes_no(row.serving)];
        cells.extend(numbers(row));
        if busy {
            cells.extend([part(row), state(row)]);
        }
        table.row(cells);
    }
    table
}

/// The names of nodes by their pods, where known, shortened to the parts that differ.
pub(crate) fn short_names(instance: Option<&InstanceId>, rows: &[NodeRow], theme: Theme) -> Vec<String> {
    shorten(instance.map(|id| id.name.as_str()), rows.iter().map(NodeRow::label), theme)
}

fn numbers(row: &NodeRow) -> [Cell; 3] {
    let share = row.share.map_or_else(|| Cell::toned("?", Tone::Faint), |part| share(part).into());
    [number(row.connections), number(row.sessions), share]
}

fn part(row: &NodeRow) -> Cell {
    match row.part {
        Some(part @ (Part::Donor | Part::Evacuating)) => Cell::toned(part.as_str(), Tone::Warning),
        Some(part @ Part::Recipient) => Cell::toned(part.as_str(), Tone::Busy),
        None => "-".into(),
    }
}

fn state(row: &NodeRow) -> Cell {
    match row.membership {
        _ if row.running && row.state.is_some() => cell_or_dash(row.state.as_deref()),
        None | Some(Membership::Member) if row.running || row.node.is_none() => "-".into(),
        None | Some(Membership::Member) => Cell::toned("stopped", Tone::Bad),
        Some(membership) => {
            let tone = if membership == Membership::Terminating { Tone::Warning } else { Tone::Bad };
            let reason = row.pod_reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            Cell::toned(format!("{}{reason}", membership.words()), tone)
        }
    }
}

/// The nodes of one cluster or of several.
pub(crate) fn nodes(clusters: &[Nodes], several: bool, layout: Layout) -> String {
    let of: Vec<(&InstanceId, &[NodeRow])> =
        clusters.iter().map(|nodes| (&nodes.instance, nodes.items.as_slice())).collect();
    all_columns(&of, layout, several).render(layout.theme, layout.width)
}

fn all_columns<N: AsRef<[NodeRow]> + ?Sized>(
    clusters: &[(&InstanceId, &N)],
    layout: Layout,
    several: bool,
) -> Table {
    let mut table = Table::new();
    if several {
        table = table.words("NAMESPACE").words("INSTANCE");
    }
    if layout.wide {
        table = table.words("NODE");
    }
    table = table.words("POD").words("SET");
    if layout.wide {
        table = table.words("REVISION");
    }
    table = table.words("ROLE").words("READY").words("SERVING");
    table = table.numbers("CONNECTIONS").numbers("SESSIONS").numbers("SHARE").words("PART").words("STATE");
    if layout.wide {
        table = table.words("VERSION").words("SOURCE");
    }
    for (instance, rows) in clusters {
        for row in rows.as_ref() {
            let mut cells: Vec<Cell> = Vec::new();
            if several {
                cells.extend([instance.namespace.as_str().into(), instance.name.as_str().into()]);
            }
            let pod = row.pod.as_ref().map(crate::model::PodName::as_str);
            if layout.wide {
                cells.push(cell_or_dash(row.node.as_ref().map(NodeName::as_str)));
                cells.push(cell_or_dash(pod));
            } else {
                // Without a pod the node's own name identifies it.
                cells.push(cell_or_dash(pod.or(row.node.as_ref().map(NodeName::as_str))));
            }
            cells.push(cell_or_dash(row.set.as_deref()));
            if layout.wide {
                cells.push(cell_or_dash(row.revision.as_deref()));
            }
            cells.extend([row.role.as_str().into(), yes_no(row.ready), yes_no(row.serving)]);
            cells.extend(numbers(row));
            cells.extend([part(row), state(row)]);
            if layout.wide {
                cells.push(row.version.as_deref().map_or_else(|| "?".into(), Cell::from));
                cells.push(row.source.as_str().into());
            }
            table.row(cells);
        }
    }
    table
}

/// Several clusters, a row each.
pub(crate) fn several(clusters: &[Status], layout: Layout) -> String {
    let mut table = Table::new().words("NAMESPACE").words("NAME");
    if layout.wide {
        table = table.words("KIND").words("API");
    }
    table = table.words("EMQX").words("OPERATOR").numbers("NODES").numbers("SERVING");
    table = table
        .numbers("CONNECTIONS")
        .numbers("SESSIONS")
        .words("OPERATION")
        .words("VERDICT")
        .sentence("REASON");
    for status in clusters {
        let id = &status.instance;
        let mut cells: Vec<Cell> = vec![id.namespace.as_str().into(), id.name.as_str().into()];
        if layout.wide {
            cells.extend([id.kind.as_str().into(), status.api.map_or("none", |api| api.as_str()).into()]);
        }
        let versions = if status.versions.is_empty() { "?".to_owned() } else { status.versions.join(",") };
        let percent = status.percent.map(|percent| format!(" {percent} %")).unwrap_or_default();
        cells.extend([
            versions.into(),
            status.operator.line.as_str().into(),
            number(Some(status.totals.nodes as u64)),
            number(status.totals.serving.map(|serving| serving as u64)),
            number(status.totals.connections),
            number(status.totals.sessions),
            format!("{}{percent}", status.operation.as_str()).into(),
            Cell::toned(status.verdict.words(), Tone::of(status.verdict)),
            status.message.as_str().into(),
        ]);
        table.row(cells);
    }
    table.render(layout.theme, if layout.wide { None } else { layout.width })
}
