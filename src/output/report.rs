//! A report as Markdown. Pure: a report in, text out.

use jiff::Timestamp;

use crate::model::human::{count_or_unknown, duration, harmless};
use crate::plan::report::{Report, ReportedClusterEvent, ReportedOperation};

pub mod html;

/// The report as Markdown: a section for each operation.
pub fn markdown(report: &Report) -> String {
    let mut text = format!("# {}\n\n", escaped(&title(report)));
    for line in about(report) {
        put!(text, "- {}\n", escaped(&line));
    }
    if report.operations.is_empty() {
        text.push_str("\nNo operation is recorded.\n");
    }
    for operation in &report.operations {
        section(&mut text, operation);
    }
    if !report.kubernetes_events.is_empty() {
        text.push_str("\n## Events of Kubernetes\n\n| time | object | reason | message | count |\n| --- | --- | --- | --- | ---: |\n");
        for event in &report.kubernetes_events {
            let row = cluster_event(event).map(|cell| escaped(&cell));
            put!(text, "| {} |\n", row.join(" | "));
        }
    }
    if let Some(checked) = report.checked_time {
        put!(text, "\n## {}\n\n", checked_title(checked));
        for finding in &report.findings {
            put!(text, "- `{}`: {}\n", finding.id, escaped(&finding.message));
        }
        if report.findings.is_empty() {
            put!(text, "{NOTHING_FOUND}\n");
        }
    }
    if !report.notices.is_empty() {
        text.push_str("\n## Notices\n\n");
        for notice in &report.notices {
            put!(text, "- {}\n", escaped(notice));
        }
    }
    text
}

/// The text where no check of the cluster warns.
pub(super) const NOTHING_FOUND: &str = "No check warns.";

/// The heading of what the checks of the cluster found.
pub(super) fn checked_title(checked: Timestamp) -> String {
    format!("Findings in the cluster at {}", utc(checked))
}

/// The first line.
pub(super) fn title(report: &Report) -> String {
    match &report.instance {
        Some(instance) => match &instance.namespace {
            Some(namespace) => format!("Report: {} {namespace}/{}", instance.kind, instance.name),
            None => format!("Report: {} {}", instance.kind, instance.name),
        },
        None => "Report".to_owned(),
    }
}

/// The data from which the report is made.
pub(super) fn about(report: &Report) -> Vec<String> {
    let mut lines = vec![format!("source: {}", report.source)];
    if let (Some(from), Some(to)) = (report.started_time, report.ended_time) {
        lines.push(format!("time: {} to {}", utc(from), utc(to)));
    }
    if !report.versions.is_empty() {
        lines.push(format!("EMQX: {}", report.versions.join(", ")));
    }
    if report.redacted {
        lines.push("names are replaced".to_owned());
    }
    lines
}

/// Date and time in UTC.
pub(super) fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `, ended …`, after the time at which it started; empty for an operation that runs.
fn ended(operation: &ReportedOperation) -> String {
    match (operation.ended_after_time, operation.ended_time) {
        (Some(after), Some(ended)) => format!(", ended between {} and {}", utc(after), utc(ended)),
        (None, Some(ended)) => format!(", ended {}", utc(ended)),
        (_, None) => String::new(),
    }
}

pub(super) fn seconds(value: Option<u64>) -> String {
    value.map_or_else(|| "?".to_owned(), duration)
}

/// An event of Kubernetes as a row: time, object, reason, message, count.
pub(super) fn cluster_event(event: &ReportedClusterEvent) -> [String; 5] {
    let reason = if event.warning { format!("Warning {}", event.reason) } else { event.reason.clone() };
    // The message of an event may have several lines.
    let message = event.message.split_whitespace().collect::<Vec<_>>().join(" ");
    [
        event.time.strftime("%H:%M:%S").to_string(),
        format!("{}/{}", event.kind, event.name),
        reason,
        message,
        event.count.to_string(),
    ]
}

/// The numbers of an operation with their names: planned, and actual.
pub(super) fn figures(operation: &ReportedOperation) -> Vec<(&'static str, String, String)> {
    let none = || "-".to_owned();
    let planned = |value: Option<u64>| value.map_or_else(none, |value| count_or_unknown(Some(value)));
    let mut rows = vec![
        (
            "duration",
            operation.planned_seconds.map_or_else(none, duration),
            seconds(operation.duration_seconds),
        ),
        (
            "moved connections",
            planned(operation.planned_moved_connections),
            count_or_unknown(operation.moved_connections),
        ),
        (
            "most reconnects per second on one node",
            planned(operation.planned_peak_reconnects_per_second),
            count_or_unknown(operation.peak_reconnects_per_second),
        ),
        ("connections at the start", none(), count_or_unknown(operation.connections_before)),
        ("connections after the end", none(), count_or_unknown(operation.connections_after)),
        ("missing clients", none(), count_or_unknown(operation.lost_clients)),
        ("missing sessions", none(), count_or_unknown(operation.lost_sessions)),
    ];
    if let Some(error) = operation.forecast_error_seconds {
        let percent =
            operation.forecast_error_percent.map_or_else(String::new, |it| format!(" ({it:+.0} %)"));
        rows.push(("forecast error", none(), format!("{error:+} s{percent}")));
    }
    rows
}

fn section(text: &mut String, operation: &ReportedOperation) {
    put!(text, "\n## {} {}\n\n", operation.operation.as_str(), escaped(&operation.name));
    let message =
        if operation.message.is_empty() { String::new() } else { format!(": {}", operation.message) };
    put!(text, "**{}**{}\n\n", operation.verdict.words(), escaped(&message));
    if let Some(started) = operation.started_time {
        put!(text, "Started {}", utc(started));
        text.push_str(&ended(operation));
        text.push_str(".\n\n");
    }
    text.push_str("| | planned | happened |\n| --- | ---: | ---: |\n");
    for (name, planned, happened) in figures(operation) {
        put!(text, "| {name} | {planned} | {happened} |\n");
    }
    if !operation.phases.is_empty() {
        text.push_str("\n| phase | planned | happened |\n| --- | ---: | ---: |\n");
        for phase in &operation.phases {
            let planned = phase.planned_seconds.map_or_else(|| "-".to_owned(), duration);
            put!(text, "| {} | {planned} | {} |\n", escaped(&phase.name), seconds(phase.seconds));
        }
    }
    if !operation.nodes.is_empty() {
        text.push_str(
            "\n| node | part | connections before | planned after | after | sessions before | after | most reconnects/s |\n\
             | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        );
        for node in &operation.nodes {
            put!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
                escaped(node.pod.as_ref().unwrap_or(&node.node)),
                node.part.as_deref().unwrap_or("-"),
                count_or_unknown(node.connections_before),
                node.planned_connections_after
                    .map_or_else(|| "-".to_owned(), |it| count_or_unknown(Some(it))),
                count_or_unknown(node.connections_after),
                count_or_unknown(node.sessions_before),
                count_or_unknown(node.sessions_after),
                count_or_unknown(node.peak_reconnects_per_second)
            );
        }
    }
    if !operation.findings.is_empty() {
        text.push_str("\nFindings of the forecast:\n\n");
        for finding in &operation.findings {
            put!(text, "- `{}`: {}\n", finding.id, escaped(&finding.message));
        }
    }
    if !operation.events.is_empty() {
        text.push_str("\nEvents:\n\n");
        for event in &operation.events {
            let time = event.time.strftime("%H:%M:%S");
            put!(text, "- {time} {}\n", escaped(&event.message));
        }
    }
}

/// A text with Markdown's special characters escaped: names come from a cluster.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in harmless(text).chars() {
        if matches!(letter, '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '#' | '|' | '!') {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests;
