//! `upgrade plan`: the order of the pods, the duration for each and in total, and the findings.

use jiff::{Timestamp, tz::TimeZone};

use super::plan::{decision, end, findings};
use super::{Layout, number};
use crate::model::human::{duration, plural};
use crate::model::upgrade::Way;
use crate::output::names::shorten;
use crate::output::table::Table;
use crate::output::theme::Tone;
use crate::plan::finding::Severity;
use crate::plan::upgrade::forecast::UpgradePlan;

/// The most pods that are listed; more are counted (`-o wide` lists them).
const MAX_PODS_LISTED: usize = 12;

/// The plan; `now` gives the time of day of its end.
pub(crate) fn plan(plan: &UpgradePlan, now: Option<(Timestamp, &TimeZone)>, layout: Layout) -> String {
    let (cell_or_dash, tone) = decision(plan.decision);
    let decided =
        format!("{}: {}\n", layout.theme.paint(tone, cell_or_dash), layout.theme.clean(&plan.message));
    order(plan, layout) + &decided + &time(plan, now) + &findings(&plan.findings, layout.theme)
}

/// The same plan as lines for a screen, each with its tone.
pub(crate) fn lines(
    plan: &UpgradePlan,
    now: Option<(Timestamp, &TimeZone)>,
    layout: Layout,
) -> Vec<(Tone, String)> {
    let (cell_or_dash, tone) = decision(plan.decision);
    let decided = format!("{cell_or_dash}: {}", layout.theme.clean(&plan.message));
    let parts = [(Tone::Plain, order(plan, layout)), (tone, decided), (Tone::Plain, time(plan, now))];
    let found = plan.findings.iter().map(|finding| {
        let tone = if finding.severity == Severity::Info { Tone::Plain } else { Tone::Warning };
        (tone, findings([finding], layout.theme))
    });
    let parts = parts.into_iter().chain(found);
    parts
        .flat_map(|(tone, text)| text.lines().map(|line| (tone, line.to_owned())).collect::<Vec<_>>())
        .collect()
}

/// What is replaced, how, and the order of the pods.
fn order(plan: &UpgradePlan, layout: Layout) -> String {
    let theme = layout.theme;
    let mut text = String::new();
    put!(
        text,
        "{}\n",
        theme.paint(Tone::Strong, &theme.clean(&format!("upgrade plan for {}", plan.instance)))
    );
    let from = plan.from.as_deref().unwrap_or("an image that is not known");
    put!(text, "{}\n", theme.clean(&format!("from {from} to {}", plan.to)));
    let way = match (plan.strategy, plan.guarded) {
        (Way::BlueGreen, true) => "blue-green, guarded by us: old pods are held until they are empty",
        (Way::BlueGreen, false) => "blue-green, by the operator",
        (Way::Rolling, _) => "rolling, pod by pod in place, by the operator",
    };
    put!(text, "{way}\n\n");
    text.push_str(&steps(plan, layout));
    text
}

/// How long it takes; empty where no pod is replaced.
fn time(plan: &UpgradePlan, now: Option<(Timestamp, &TimeZone)>) -> String {
    let mut text = String::new();
    if !plan.steps.is_empty() {
        let up = match plan.strategy {
            Way::BlueGreen => "once the new pods are up (the time to pull images is unknown)",
            Way::Rolling => "in all",
        };
        put!(text, "{} {up}", duration(plan.total_seconds));
        if let Some(end) = end(now, plan.total_seconds) {
            put!(text, "; would end {end} if that were now");
        }
        text.push('\n');
    }
    text
}

fn steps(plan: &UpgradePlan, layout: Layout) -> String {
    if plan.steps.is_empty() {
        return String::new();
    }
    let theme = layout.theme;
    let instance = Some(plan.instance.name.as_str());
    let names = shorten(instance, plan.steps.iter().map(|step| step.pod.as_str()), theme);
    let mut table = Table::new().numbers("ORDER").words("OLD POD");
    if layout.wide {
        table = table.words("SET");
    }
    table = table.numbers("CONNECTIONS").numbers("SESSIONS").numbers("SECONDS");
    let shown = if layout.wide { plan.steps.len() } else { MAX_PODS_LISTED };
    for (step, name) in plan.steps.iter().zip(names).take(shown) {
        let mut cells = vec![step.order.to_string().into(), name.into()];
        if layout.wide {
            cells.push(step.set.as_str().into());
        }
        cells.extend([number(step.connections), number(step.sessions), step.seconds.to_string().into()]);
        table.row(cells);
    }
    let mut text = table.render(theme, layout.width);
    if plan.steps.len() > shown {
        let more = plural((plan.steps.len() - shown) as u64, "pod");
        put!(text, "{}\n", theme.paint(Tone::Faint, &format!("and {more} more (-o wide lists them)")));
    }
    text.push('\n');
    text
}
