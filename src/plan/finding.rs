//! The findings of checks with their severity, and the decision of a plan.

use serde::Serialize;

/// The decision of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Decision {
    /// It would start; no check refuses it.
    Go,
    /// EMQX would find nothing to move.
    NothingToDo,
    /// A check refuses it.
    Refused,
}

/// How severe a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// For information only.
    Info,
    /// The user should consider it before continuing.
    Warning,
    /// Refuses `apply`.
    Blocked,
}

/// Something a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name; what `--skip-check` takes.
    pub id: &'static str,
    pub severity: Severity,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Finding {
    /// A finding without a hint.
    pub(crate) fn new(id: &'static str, severity: Severity, message: impl Into<String>) -> Self {
        Self { id, severity, message: message.into(), hint: None }
    }

    /// Refuses the plan.
    pub fn blocked(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(id, Severity::Blocked, message)
    }

    /// The user should consider it before continuing.
    pub fn warning(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(id, Severity::Warning, message)
    }

    /// For information only.
    pub(crate) fn info(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(id, Severity::Info, message)
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Applies `--skip-check`: a named warning is removed; a named refusal becomes a warning.
pub(crate) fn skip(findings: &mut Vec<Finding>, named: &[String]) {
    let skipped = |finding: &Finding| named.iter().any(|id| id == finding.id);
    findings.retain(|finding| finding.severity == Severity::Blocked || !skipped(finding));
    for finding in findings.iter_mut().filter(|finding| skipped(finding)) {
        finding.severity = Severity::Warning;
    }
}
