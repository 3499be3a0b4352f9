//! `check`: a line per check.

use super::Layout;
use crate::model::human::plural;
use crate::output::theme::Tone;
use crate::plan::check::{CheckResult, CheckStatus, Checks};

/// An unknown result may be as bad as a warning, and is shown after warnings.
fn order(status: CheckStatus) -> u8 {
    match status {
        CheckStatus::Ok => 0,
        CheckStatus::Unknown => 1,
        CheckStatus::Warning => 2,
        CheckStatus::Blocked => 3,
    }
}

/// All checks, the worst first, each with its hint, and the number of checks for each result.
pub(crate) fn checks(checks: &Checks, layout: Layout) -> String {
    let theme = layout.theme;
    let width = checks.checks.iter().map(|check| check.id.len()).max().unwrap_or(0);
    let mut text = String::new();
    // Severe results come first; equal ones are in the order of the catalog.
    let mut shown: Vec<&CheckResult> = checks.checks.iter().collect();
    shown.sort_by_key(|check| std::cmp::Reverse(order(check.status)));
    for check in shown {
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
        .map(|status| match status {
            CheckStatus::Warning => plural(checks.number(status) as u64, "warning"),
            other => format!("{} {}", checks.number(other), other.as_str()),
        })
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
