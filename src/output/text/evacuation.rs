//! `evacuate`: its plan, and the state of each node.

use super::Layout;
use super::plan::{decision, findings};
use crate::model::human::{count, duration, plural};
use crate::output::table::{Cell, Table};
use crate::output::theme::Tone;
use crate::plan::evacuation::EvacuationPlan;
use crate::plan::results::EvacuationItem;

pub(crate) fn plan(plan: &EvacuationPlan, layout: Layout) -> String {
    let theme = layout.theme;
    let settings = &plan.settings;
    let mut text = String::new();
    let mut line = |tone: Tone, words: &str| {
        text.push_str(&theme.paint(tone, &theme.clean(words)));
        text.push('\n');
    };
    line(Tone::Strong, &format!("evacuation plan for {}", plan.instance));
    line(
        Tone::Plain,
        &format!(
            "{}/s clients and {}/s sessions from each node, through EMQX's own API",
            count(settings.conn_evict_rate),
            count(settings.sess_evict_rate)
        ),
    );
    if let Some(redirect) = &settings.redirect_to {
        line(Tone::Plain, &format!("MQTT 5 clients are sent to {redirect}"));
    }
    text.push('\n');
    let mut table = Table::new()
        .words("NODE")
        .words("PART")
        .numbers("CONNECTIONS")
        .numbers("AFTER")
        .numbers("SESSIONS AFTER")
        .numbers("RECONNECTS/S");
    let label = |pod: &Option<crate::model::PodName>, node: &crate::model::NodeName| {
        pod.as_ref().map_or_else(|| node.to_string(), |pod| pod.as_str().to_owned())
    };
    for node in &plan.nodes {
        table.row([
            label(&node.pod, &node.node).into(),
            "evacuated".into(),
            count(node.connections).into(),
            "0".into(),
            "0".into(),
            Cell::from(String::new()),
        ]);
    }
    for node in &plan.recipients {
        table.row([
            label(&node.pod, &node.node).into(),
            "recipient".into(),
            count(node.connections).into(),
            count(node.connections_after).into(),
            count(node.sessions_after).into(),
            count(node.reconnects_per_second).into(),
        ]);
    }
    text.push_str(&table.render(theme, layout.width));
    text.push('\n');
    let (cell_or_dash, tone) = decision(plan.decision);
    put!(text, "{}: {}\n", theme.paint(tone, cell_or_dash), theme.clean(&plan.message));
    if plan.decision == crate::plan::finding::Decision::Go {
        let steps: Vec<String> = plan
            .phases
            .iter()
            .filter(|phase| phase.seconds > 0)
            .map(|phase| format!("{} {}", step(phase.name), duration(phase.seconds)))
            .collect();
        put!(text, "  {} until {}: {}\n", duration(plan.total_seconds), until(plan), steps.join(", "));
        put!(text, "  afterwards the {} clients until `kubectl emqx evacuate stop`\n", refuses(plan));
    }
    text.push_str(&findings(&plan.findings, theme));
    text
}

fn refuses(plan: &EvacuationPlan) -> &'static str {
    if plan.nodes.len() == 1 { "node refuses" } else { "nodes refuse" }
}

fn until(plan: &EvacuationPlan) -> String {
    match plan.nodes.len() {
        1 => "the node is empty".to_owned(),
        many => format!("{} are empty", plural(many as u64, "node")),
    }
}

fn step(name: &str) -> &str {
    match name {
        "waitHealthCheck" => "waiting for load balancers",
        "evictConnections" => "evicting clients",
        "waitTakeover" => "waiting for takeovers",
        "evictSessions" => "moving sessions",
        other => other,
    }
}

/// A row per evacuated node.
pub(crate) fn list(items: &[EvacuationItem], layout: Layout) -> String {
    let mut table = Table::new()
        .words("NODE")
        .words("STATE")
        .numbers("CONNECTIONS")
        .numbers("OF")
        .numbers("SESSIONS")
        .numbers("OF")
        .numbers("DONE")
        .words("VERDICT");
    let number = |value: Option<u64>| value.map_or_else(|| "?".to_owned(), count);
    for item in items {
        let label = item.pod.as_ref().map_or_else(|| item.node.to_string(), |pod| pod.as_str().to_owned());
        table.row([
            if layout.wide { item.node.to_string() } else { label }.into(),
            item.state.clone().unwrap_or_else(|| "-".to_owned()).into(),
            number(item.connections).into(),
            item.initial_connections.map_or_else(|| "-".to_owned(), count).into(),
            number(item.sessions).into(),
            item.initial_sessions.map_or_else(|| "-".to_owned(), count).into(),
            item.percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent} %")).into(),
            Cell::toned(item.verdict.words(), Tone::of(item.verdict)),
        ]);
    }
    let mut text = table.render(layout.theme, layout.width);
    for item in items {
        text.push_str(&layout.theme.clean(&format!("{}: {}", item.node, item.message)));
        text.push('\n');
    }
    text
}
