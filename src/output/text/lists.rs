//! `rebalance list`, `history`, `version`, and the result of `stop`.

use jiff::Timestamp;

use super::{Layout, cell_or_dash, number};
use crate::model::OperatorLine;
use crate::model::human::{duration, seconds_between};
use crate::output::table::{Cell, Table};
use crate::output::theme::Tone;
use crate::plan::history::{HistoryItem, UpgradeItem};
use crate::plan::results::{RebalanceItem, Stopped, VersionReport};

/// Running and past rebalances.
pub(crate) fn rebalances(items: &[RebalanceItem], now: Timestamp, layout: Layout) -> String {
    let first = items.first().map(|item| item.instance.namespace.as_str());
    let spaces = layout.wide || items.iter().any(|item| Some(item.instance.namespace.as_str()) != first);
    let mut table = Table::new();
    if spaces {
        table = table.words("NAMESPACE");
    }
    table = table.words("NAME").words("INSTANCE").words("PHASE").words("VERDICT");
    table = table.words("STARTED").words("DURATION").words("BACKEND").sentence("REASON");
    for item in items {
        let mut cells: Vec<Cell> = Vec::new();
        if spaces {
            cells.push(item.instance.namespace.as_str().into());
        }
        let phase = match (item.phase.as_deref(), item.terminating) {
            (Some(phase), true) => Cell::toned(format!("{phase}, deleting"), Tone::Warning),
            (None, true) => Cell::toned("deleting", Tone::Warning),
            (phase, false) => cell_or_dash(phase),
        };
        let unknown = || Cell::toned("?", Tone::Faint);
        let started = item
            .started_time
            .map_or_else(unknown, |at| format!("{} ago", duration(seconds_between(at, now))).into());
        cells.extend([
            item.name.as_str().into(),
            item.instance.name.as_str().into(),
            phase,
            Cell::toned(item.verdict.words(), Tone::of(item.verdict)),
            started,
            item.duration_seconds.map_or_else(unknown, |seconds| duration(seconds).into()),
            item.backend.as_str().into(),
            item.message.as_str().into(),
        ]);
        table.row(cells);
    }
    table.render(layout.theme, if layout.wide { None } else { layout.width })
}

/// Past operations of every kind.
pub(crate) fn history(items: &[HistoryItem], now: Timestamp, layout: Layout) -> String {
    let first = items.first().map(|item| item.instance.namespace.as_str());
    let spaces = layout.wide || items.iter().any(|item| Some(item.instance.namespace.as_str()) != first);
    let mut table = Table::new();
    if spaces {
        table = table.words("NAMESPACE");
    }
    table = table.words("OPERATION").words("NAME").words("INSTANCE").words("VERDICT");
    table = table.words("STARTED").words("DURATION").numbers("MOVED").numbers("MISSING");
    if layout.wide {
        table = table.words("BY");
    }
    table = table.sentence("REASON");
    let unknown = || Cell::toned("?", Tone::Faint);
    for item in items {
        let mut cells: Vec<Cell> = Vec::new();
        if spaces {
            cells.push(cell_or_dash(Some(&item.instance.namespace)));
        }
        let started = item
            .started_time
            .map_or_else(unknown, |at| format!("{} ago", duration(seconds_between(at, now))).into());
        cells.extend([
            item.operation.as_str().into(),
            item.name.as_str().into(),
            item.instance.name.as_str().into(),
            Cell::toned(item.verdict.words(), Tone::of(item.verdict)),
            started,
            item.duration_seconds.map_or_else(unknown, |seconds| duration(seconds).into()),
            number(item.moved_connections),
            number(item.lost_clients),
        ]);
        if layout.wide {
            cells.push(cell_or_dash(item.by.as_deref()));
        }
        cells.push(item.message.as_str().into());
        table.row(cells);
    }
    table.render(layout.theme, if layout.wide { None } else { layout.width })
}

/// Running and past upgrades.
pub(crate) fn upgrades(items: &[UpgradeItem], now: Timestamp, layout: Layout) -> String {
    let first = items.first().map(|item| item.instance.namespace.as_str());
    let spaces = layout.wide || items.iter().any(|item| Some(item.instance.namespace.as_str()) != first);
    let mut table = Table::new();
    if spaces {
        table = table.words("NAMESPACE");
    }
    table = table.words("NAME").words("PHASE").words("VERDICT").words("STARTED").words("DURATION");
    table = table.sentence("REASON");
    let unknown = || Cell::toned("?", Tone::Faint);
    for item in items {
        let mut cells: Vec<Cell> = Vec::new();
        if spaces {
            cells.push(item.instance.namespace.as_str().into());
        }
        let started = item
            .started_time
            .map_or_else(unknown, |at| format!("{} ago", duration(seconds_between(at, now))).into());
        cells.extend([
            item.name.as_str().into(),
            cell_or_dash(item.phase.as_deref()),
            Cell::toned(item.verdict.words(), Tone::of(item.verdict)),
            started,
            item.duration_seconds.map_or_else(unknown, |seconds| duration(seconds).into()),
            item.message.as_str().into(),
        ]);
        table.row(cells);
    }
    table.render(layout.theme, if layout.wide { None } else { layout.width })
}

/// The result of `stop`, and the observations that verify it.
pub(crate) fn stopped(stopped: &Stopped, layout: Layout) -> String {
    let theme = layout.theme;
    let cell_or_dash = theme.paint(Tone::of(stopped.verdict), stopped.verdict.words());
    let mut text =
        format!("{}: {cell_or_dash}{}\n", theme.clean(&stopped.name), theme.clean(&stopped.tail()));
    for proof in &stopped.proof {
        text.push_str("  ");
        text.push_str(&theme.clean(proof));
        text.push('\n');
    }
    text
}

/// The versions of all components.
pub(crate) fn version(version: &VersionReport, layout: Layout) -> String {
    let theme = layout.theme;
    let operator = match version.operator {
        OperatorLine::Unknown => "?",
        line => line.as_str(),
    };
    let mut text = String::new();
    for (name, value) in [
        ("plugin", version.plugin.as_str()),
        ("kubernetes", version.kubernetes.as_deref().unwrap_or("?")),
        ("operator", operator),
    ] {
        text.push_str(&theme.clean(&format!("{name:<12}{value}")));
        text.push('\n');
    }
    if version.clusters.is_empty() {
        return text;
    }
    let mut table = Table::new().words("NAMESPACE").words("NAME").words("KIND").words("API").words("EMQX");
    for cluster in &version.clusters {
        let id = &cluster.instance;
        let versions = if cluster.versions.is_empty() { "?".to_owned() } else { cluster.versions.join(",") };
        table.row([
            id.namespace.as_str().into(),
            id.name.as_str().into(),
            id.kind.as_str().into(),
            cluster.api.map_or("none", |api| api.as_str()).into(),
            versions.into(),
        ]);
    }
    text.push('\n');
    text + &table.render(theme, layout.width)
}
