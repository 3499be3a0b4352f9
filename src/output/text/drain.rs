//! `drain`: its plan, and the result for each pod.

use super::Layout;
use super::plan::{decision, findings};
use crate::model::human::{count, count_or_unknown, duration};
use crate::output::table::Table;
use crate::output::theme::{Theme, Tone};
use crate::plan::drain::{DrainPlan, RemovalStep};
use crate::plan::finding::Decision;
use crate::plan::removal::RemovalPlan;

pub(crate) fn plan(drain: &DrainPlan, layout: Layout) -> String {
    let theme = layout.theme;
    let mut text = String::new();
    let title = format!("drain plan for {}: {}", drain.removal.instance, drain.kubernetes_nodes.join(", "));
    put!(text, "{}\n", theme.paint(Tone::Strong, &theme.clean(&title)));
    let settings = &drain.removal.settings;
    let rates = format!(
        "{}/s clients and {}/s sessions from each evacuated node{}",
        count(settings.conn_evict_rate),
        count(settings.sess_evict_rate),
        if drain.together { ", all of them at the same time" } else { "" }
    );
    put!(text, "{}\n\n", theme.clean(&rates));
    text.push_str(&table(&drain.removal.steps, layout));
    text.push('\n');
    text.push_str(&decided(&drain.removal, "each replacement takes to start", theme));
    text
}

/// The decision, the duration of the evacuations beside what is not forecast, and the findings.
pub(super) fn decided(removal: &RemovalPlan, also: &str, theme: Theme) -> String {
    let (cell_or_dash, tone) = decision(removal.decision);
    let mut text = format!("{}: {}\n", theme.paint(tone, cell_or_dash), theme.clean(&removal.message));
    if removal.decision == Decision::Go && removal.total_seconds > 0 {
        let length = duration(removal.total_seconds);
        put!(text, "  {length} for the evacuations, and the time that {also}\n");
    }
    text.push_str(&findings(&removal.findings, theme));
    text
}

/// A row per pod, in their order; the Kubernetes node where it matters.
pub(super) fn table(steps: &[RemovalStep], layout: Layout) -> String {
    let placed = steps.iter().any(|step| !step.kubernetes_node.is_empty());
    let mut table = Table::new().words("POD");
    if placed {
        table = table.words("KUBERNETES NODE");
    }
    let mut table = table.words("STATE").numbers("CONNECTIONS").numbers("SESSIONS").numbers("SECONDS");
    for step in steps {
        let first = [step.pod.as_str().to_owned().into()];
        let place = placed.then(|| step.kubernetes_node.clone().into());
        let rest = [
            step.state.as_str().into(),
            count_or_unknown(step.connections).into(),
            count_or_unknown(step.sessions).into(),
            step.seconds.map_or_else(|| "-".to_owned(), count).into(),
        ];
        table.row(first.into_iter().chain(place).chain(rest));
    }
    table.render(layout.theme, layout.width)
}

/// The result for each pod.
pub(crate) fn results(drains: &[DrainPlan], layout: Layout) -> String {
    let mut text = String::new();
    for drain in drains {
        for step in &drain.removal.steps {
            put!(text, "{}\n", layout.theme.clean(&format!("pod/{} {}", step.pod, step.state.as_str())));
        }
    }
    text
}
