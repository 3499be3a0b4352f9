//! A report as one HTML page that needs no other file: charts as inline SVG, a small inline script for zoom and hover, and a
//! Content-Security-Policy that allows only that script.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{about, cluster_event, figures, seconds, title};
use crate::model::human::{count, count_or_unknown, duration, harmless};
use crate::output::document::{Format, one};
use crate::plan::report::{Report, ReportCurve, ReportCurves, ReportedOperation};

/// The style of the page.
const STYLE: &str = include_str!("report.css");

/// The script of the page: it reads the report from the page itself.
const SCRIPT: &str = include_str!("report.js");

/// The most nodes that are drawn in a chart, those that change most; the data of the page has all of them.
const MOST_DRAWN: usize = 24;

/// The width and the height of a plot, in its own units; the page scales it.
const PLOT: (f64, f64) = (1000.0, 100.0);

pub fn page(report: &Report) -> String {
    let mut text = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    put!(
        text,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{}'; script-src '{}'; \
         base-uri 'none'; form-action 'none'\">\n",
        digest(STYLE),
        digest(SCRIPT)
    );
    text.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    put!(text, "<title>{}</title>\n<style>{STYLE}</style></head><body>\n", escaped(&title(report)));
    put!(text, "<h1>{}</h1>\n<p class=\"faint\">", escaped(&title(report)));
    for line in about(report) {
        put!(text, "{}<br>", escaped(&line));
    }
    text.push_str("</p>\n");
    if report.operations.is_empty() {
        text.push_str("<p>No operation is recorded.</p>\n");
    }
    for operation in &report.operations {
        section(&mut text, operation);
    }
    if !report.curves.nodes.is_empty() {
        text.push_str("<h2>Clients and sessions</h2>\n");
        chart(&mut text, report, "connections", "Connections of each node", |curve| &curve.connections);
        chart(&mut text, report, "sessions", "Sessions of each node", |curve| &curve.sessions);
    }
    if !report.kubernetes_events.is_empty() {
        text.push_str("<h2>Events of Kubernetes</h2>\n");
        let rows = report.kubernetes_events.iter().map(|event| cluster_event(event).to_vec());
        table(&mut text, &["time", "object", "reason", "message", "count"], 4, rows);
    }
    if let Some(checked) = report.checked_time {
        put!(text, "<h2>{}</h2>\n", super::checked_title(checked));
        if report.findings.is_empty() {
            put!(text, "<p>{}</p>\n", super::NOTHING_FOUND);
        } else {
            text.push_str("<ul>\n");
            for finding in &report.findings {
                put!(text, "<li>{}: {}</li>\n", finding.id, escaped(&finding.message));
            }
            text.push_str("</ul>\n");
        }
    }
    if !report.notices.is_empty() {
        text.push_str("<h2>Notices</h2>\n<ul>\n");
        for notice in &report.notices {
            put!(text, "<li>{}</li>\n", escaped(notice));
        }
        text.push_str("</ul>\n");
    }
    // Within JSON, `<` is written as an escape, so that it cannot end the element.
    let data = one("Report", report, Format::Line).replace('<', "\\u003c").replace('&', "\\u0026");
    put!(text, "<script type=\"application/json\" id=\"report\">{}</script>\n", data.trim_end());
    put!(text, "<script>{SCRIPT}</script>\n</body></html>\n");
    text
}

/// The hash by which a Content-Security-Policy names an inline element.
fn digest(text: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    format!("sha256-{}", STANDARD.encode(hash.as_ref()))
}

fn section(text: &mut String, operation: &ReportedOperation) {
    put!(text, "<h2>{} {}</h2>\n", operation.operation.as_str(), escaped(&operation.name));
    let message = if operation.message.is_empty() {
        String::new()
    } else {
        format!(": {}", escaped(&operation.message))
    };
    put!(text, "<p><span class=\"verdict\">{}</span>{message}</p>\n", operation.verdict.words());
    if let Some(started) = operation.started_time {
        put!(text, "<p class=\"faint\">Started {}", super::utc(started));
        text.push_str(&super::ended(operation));
        text.push_str("</p>\n");
    }
    table(
        text,
        &["", "planned", "happened"],
        1,
        figures(operation)
            .into_iter()
            .map(|(name, planned, happened)| vec![name.to_owned(), planned, happened]),
    );
    if !operation.phases.is_empty() {
        table(
            text,
            &["phase", "planned", "happened"],
            1,
            operation.phases.iter().map(|phase| {
                let planned = phase.planned_seconds.map_or_else(|| "-".to_owned(), duration);
                vec![phase.name.clone(), planned, seconds(phase.seconds)]
            }),
        );
    }
    if !operation.nodes.is_empty() {
        let heads = [
            "node",
            "part",
            "connections before",
            "planned after",
            "after",
            "sessions before",
            "after",
            "most reconnects/s",
        ];
        table(
            text,
            &heads,
            2,
            operation.nodes.iter().map(|node| {
                vec![
                    node.pod.clone().unwrap_or_else(|| node.node.clone()),
                    node.part.clone().unwrap_or_else(|| "-".to_owned()),
                    count_or_unknown(node.connections_before),
                    node.planned_connections_after.map_or_else(|| "-".to_owned(), count),
                    count_or_unknown(node.connections_after),
                    count_or_unknown(node.sessions_before),
                    count_or_unknown(node.sessions_after),
                    count_or_unknown(node.peak_reconnects_per_second),
                ]
            }),
        );
    }
    let list = |text: &mut String, head: &str, lines: Vec<String>| {
        if lines.is_empty() {
            return;
        }
        put!(text, "<h3>{head}</h3>\n<ul>\n");
        for line in lines {
            put!(text, "<li>{}</li>\n", escaped(&line));
        }
        text.push_str("</ul>\n");
    };
    let findings = operation.findings.iter().map(|it| format!("{}: {}", it.id, it.message)).collect();
    list(text, "Findings of the forecast", findings);
    let event =
        |it: &crate::plan::report::ReportedEvent| format!("{} {}", it.time.strftime("%H:%M:%S"), it.message);
    list(text, "Events", operation.events.iter().map(event).collect());
}

/// A table; the columns from `numbers` on are numbers.
fn table(text: &mut String, heads: &[&str], numbers: usize, rows: impl Iterator<Item = Vec<String>>) {
    let class = |column: usize| if column >= numbers { " class=\"n\"" } else { "" };
    text.push_str("<table><thead><tr>");
    for (column, head) in heads.iter().enumerate() {
        put!(text, "<th{}>{head}</th>", class(column));
    }
    text.push_str("</tr></thead><tbody>\n");
    for row in rows {
        text.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            put!(text, "<td{}>{}</td>", class(column), escaped(cell));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody></table>\n");
}

/// The curves that are drawn, those that change most first.
fn drawn(curves: &ReportCurves, of: impl Fn(&ReportCurve) -> &Vec<Option<u64>>) -> Vec<&ReportCurve> {
    let change = |curve: &ReportCurve| {
        let known = || of(curve).iter().flatten();
        known().max().zip(known().min()).map_or(0, |(most, least)| most - least)
    };
    let mut all: Vec<&ReportCurve> = curves.nodes.iter().collect();
    all.sort_by(|one, other| change(other).cmp(&change(one)).then_with(|| one.node.cmp(&other.node)));
    all.truncate(MOST_DRAWN);
    all.sort_by(|one, other| one.node.cmp(&other.node));
    all
}

fn chart(
    text: &mut String,
    report: &Report,
    of: &str,
    caption: &str,
    pick: impl Fn(&ReportCurve) -> &Vec<Option<u64>> + Copy,
) {
    let curves = &report.curves;
    let all = drawn(curves, pick);
    let most = all.iter().flat_map(|curve| pick(curve)).flatten().max().copied().unwrap_or(0).max(1);
    let last = curves.milliseconds.last().copied().unwrap_or(0).max(1);
    let (width, height) = PLOT;
    let x = |at: u64| at as f64 / last as f64 * width;
    let y = |value: u64| height - value as f64 / most as f64 * height;
    put!(text, "<figure data-of=\"{of}\"><figcaption>{caption}</figcaption>\n");
    put!(
        text,
        "<svg viewBox=\"0 0 900 300\" role=\"img\" aria-label=\"{caption}\"><text x=\"62\" y=\"22\" text-anchor=\"end\">{}</text>\
         <text x=\"62\" y=\"264\" text-anchor=\"end\">0</text><text class=\"time\" x=\"70\" y=\"284\">0 s</text>\
         <text class=\"time\" x=\"890\" y=\"284\" text-anchor=\"end\">{} s</text>\n",
        count(most),
        count(last / 1000)
    );
    put!(
        text,
        "<svg class=\"plot\" x=\"70\" y=\"12\" width=\"820\" height=\"250\" viewBox=\"0 0 {width} {height}\" \
         preserveAspectRatio=\"none\"><rect width=\"{width}\" height=\"{height}\" fill=\"transparent\"/>\
         <line class=\"axis\" x1=\"0\" y1=\"{height}\" x2=\"{width}\" y2=\"{height}\"/>\n"
    );
    let first = report.started_time;
    for phase in report.operations.iter().flat_map(|operation| &operation.phases) {
        let Some(at) = phase.started_time.zip(first) else { continue };
        let at = u64::try_from(at.0.as_millisecond() - at.1.as_millisecond()).unwrap_or(0);
        if at <= last {
            put!(
                text,
                "<line class=\"mark\" x1=\"{0:.2}\" y1=\"0\" x2=\"{0:.2}\" y2=\"{height}\"><title>{1}</title></line>\n",
                x(at),
                escaped(&phase.name)
            );
        }
    }
    for (place, curve) in all.iter().enumerate() {
        put!(text, "<path class=\"{}\" d=\"", class(place));
        let mut open = false;
        for (at, value) in curves.milliseconds.iter().zip(pick(curve)) {
            let Some(value) = value else {
                open = false;
                continue;
            };
            put!(text, "{}{:.2} {:.2}", if open { "L" } else { "M" }, x(*at), y(*value));
            open = true;
        }
        put!(text, "\"><title>{}</title></path>\n", escaped(&curve.node));
    }
    text.push_str("</svg></svg>\n<div class=\"key\">");
    for (place, curve) in all.iter().enumerate() {
        put!(
            text,
            "<span><svg viewBox=\"0 0 22 8\"><path class=\"{}\" d=\"M0 4L22 4\"/></svg> {}</span>",
            class(place),
            escaped(&curve.node)
        );
    }
    let hidden = curves.nodes.len() - all.len();
    if hidden > 0 {
        put!(
            text,
            "<span class=\"faint\">{} more nodes change less and are not drawn</span>",
            count(hidden as u64)
        );
    }
    text.push_str("</div>\n<div class=\"tip\"></div></figure>\n");
}

/// The colour and the dash of a curve.
fn class(place: usize) -> String {
    format!("k{} d{}", place % 8, place / 8 % 3)
}

/// A text with HTML's special characters escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in harmless(text).chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
    }
    out
}
