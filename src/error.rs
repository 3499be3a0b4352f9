//! An error message: what failed, why, and the command to type next; and its exit class. It does not depend
//! on the source of the problem.

use std::fmt;

/// The stable exit codes (`kubectl emqx --help` lists them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The goal is reached, or there was nothing to do.
    Reached = 0,
    /// API, network, permission, unknown name, bad file, kind not served, verdict unknown.
    Error = 1,
    /// A bad flag or value.
    Usage = 2,
    /// Nothing changed, and `--error-unchanged` was given.
    Unchanged = 3,
    /// The operation failed.
    Failed = 4,
    /// The time limit was reached while the operation was still running.
    TimedOut = 5,
    /// Refused: by a check, a guard, a running operation, an existing name, or a missing confirmation.
    Refused = 6,
    /// The operation ended, but not as requested.
    NotAsAsked = 7,
    /// A limit of the user stopped the operation.
    LimitReached = 8,
    Interrupted = 130,
}

impl Exit {
    /// The number for the operating system.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// What failed, why, and what to type next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What could not be done, as the beginning of a sentence: `cannot read EMQX mq/emqx`.
    pub what: String,
    /// The reason, in plain words; may be empty when `what` is sufficient.
    pub why: String,
    /// A command to type, or a thing to do; shown on a line of its own.
    pub hint: Option<String>,
    /// The exit class.
    pub exit: Exit,
    /// The source of the error, where the next step depends on it.
    pub cause: Cause,
}

/// The source of an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// Any other source.
    #[default]
    Other,
    /// A permission is missing: a second request would fail, too.
    Forbidden,
    /// The request was refused for its content, or for the state of its target.
    Refused,
    /// A name fits several instances.
    Ambiguous,
    /// The user interrupted the command.
    Interrupted,
    /// The API server is unreachable: every request through it fails.
    Away,
    /// There is no kubeconfig.
    NoKubeconfig,
}

impl Problem {
    /// A problem of the class [`Exit::Error`].
    pub fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        let mut why = why.into();
        // `No such file or directory (os error 2)`: the number is only useful to programmers.
        if let Some(number) = why.find(" (os error ")
            && let Some(end) = why[number..].find(')')
        {
            why.replace_range(number..=number + end, "");
        }
        Self { what: what.into(), why, hint: None, exit: Exit::Error, cause: Cause::Other }
    }

    /// A problem with the command line.
    pub(crate) fn usage(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(what, why) }
    }

    /// A refusal: nothing was changed.
    pub fn refused(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, cause: Cause::Refused, ..Self::new(what, why) }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with a source of the error.
    #[must_use]
    pub fn cause(mut self, cause: Cause) -> Self {
        self.cause = cause;
        self
    }

    /// The same, because the user interrupted the command.
    #[must_use]
    pub(crate) fn interrupted(self) -> Self {
        self.cause(Cause::Interrupted).exit(Exit::Interrupted)
    }

    /// The same with another exit class.
    #[must_use]
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.why.is_empty() {
            out.write_str(&self.what)
        } else {
            write!(out, "{}: {}", self.what, self.why)
        }
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_error_numbers_are_not_printed() {
        let error = std::io::Error::from_raw_os_error(2).to_string();
        assert!(error.contains("os error"), "{error}");
        let why = Problem::new("cannot read x", format!("{error}; and so on")).why;
        assert!(!why.contains("os error") && why.ends_with("; and so on"), "{why}");
    }
}
