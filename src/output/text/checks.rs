//! `check`: a line per check.

use super::Layout;
use crate::model::human::plural;
use crate::output::theme::Tone;
use crate::plan::check::{CheckStatus, Checks};

/// All checks, each with its way out, and how many there are of each result.
pub fn checks(checks: &Checks, layout: Layout) -> String {
    let theme = layout.theme;
    let width = checks.checks.iter().map(|check| check.id.len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in &checks.checks {
        let tone = match check.status {
            CheckStatus::Ok => Tone::Good,
            CheckStatus::Unknown => Tone::Faint,
            CheckStatus::Warning => Tone::Warning,
            CheckStatus::Blocked => Tone::Bad,
        };
        put!(
            text,
            "{}  {:<width$}  {}\n",
            theme.paint(tone, &format!("{:<7}", check.status.as_str())),
            check.id,
            theme.clean(&check.evidence)
        );
        if let Some(hint) = &check.hint {
            put!(text, "{:9}{:width$}  hint: {}\n", "", "", theme.clean(hint));
        }
    }
    let all = [CheckStatus::Blocked, CheckStatus::Warning, CheckStatus::Unknown, CheckStatus::Ok];
    let numbers: Vec<String> = all
        .into_iter()
        .filter(|status| checks.number(*status) > 0)
        .map(|status| format!("{} {}", checks.number(status), status.as_str()))
        .collect();
    put!(
        text,
        "\n{}: {} ({})\n",
        theme.clean(&checks.instance.to_string()),
        plural(checks.checks.len() as u64, "check"),
        numbers.join(", ")
    );
    text
}
