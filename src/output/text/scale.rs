//! `scale`: its plan, and the result for each pod.

use super::Layout;
use super::drain::{decided, table};
use crate::model::human::count;
use crate::output::theme::Tone;
use crate::plan::scale::ScalePlan;
use crate::plan::stored_removal::amount;

pub(crate) fn plan(scale: &ScalePlan, layout: Layout) -> String {
    let theme = layout.theme;
    let mut text = String::new();
    let title = format!(
        "scale plan for {}: {} to {}",
        scale.removal.instance,
        scale.from,
        amount(scale.field, scale.to)
    );
    put!(text, "{}\n", theme.paint(Tone::Strong, &theme.clean(&title)));
    if !scale.removal.steps.is_empty() && !scale.by_operator {
        let settings = &scale.removal.settings;
        let rates = format!(
            "{}/s clients and {}/s sessions from each evacuated node{}",
            count(settings.conn_evict_rate),
            count(settings.sess_evict_rate),
            if scale.removal.steps.len() > 1 { ", all of them at the same time" } else { "" }
        );
        put!(text, "{}\n", theme.clean(&rates));
    }
    text.push('\n');
    if !scale.removal.steps.is_empty() {
        text.push_str(&table(&scale.removal.steps, layout));
        text.push('\n');
    }
    text.push_str(&decided(&scale.removal, "the pods take to end", theme));
    text
}

pub(crate) fn result(scale: &ScalePlan, layout: Layout) -> String {
    let mut text = String::new();
    for step in &scale.removal.steps {
        put!(text, "{}\n", layout.theme.clean(&format!("pod/{} {}", step.pod, step.state.as_str())));
    }
    let name = crate::output::text::resource(&scale.removal.instance);
    put!(text, "{}\n", layout.theme.clean(&format!("{name} scaled")));
    text
}
