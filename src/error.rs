//! An error message: what failed, why, and what to type next; and the
//! exit class that goes with it. Knows nothing about where a problem came from.

use std::fmt;

/// The exit codes that are promised (`kubectl emqx --help` lists them).
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
    /// The operation ended failed.
    Failed = 4,
    /// Time ran out while it still runs.
    TimedOut = 5,
    /// Refused by a check, a guard, a running one, a taken name or a missing confirmation.
    Refused = 6,
    /// It ended, but not as asked.
    NotAsAsked = 7,
    /// A limit of the user's stopped the operation.
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
    /// Where the fault is, as far as that decides what is done next.
    pub cause: Cause,
}

/// Where the fault is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// Somewhere.
    #[default]
    Other,
    /// A right is missing: asking again gives the same.
    Forbidden,
    /// The API server is away: nothing that goes through it can be had.
    Away,
}

impl Problem {
    /// A problem of the class [`Exit::Error`].
    pub fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        let mut why = why.into();
        // `No such file or directory (os error 2)`: the number is for programmers.
        if let Some(number) = why.find(" (os error ")
            && let Some(end) = why[number..].find(')')
        {
            why.replace_range(number..=number + end, "");
        }
        Self { what: what.into(), why, hint: None, exit: Exit::Error, cause: Cause::Other }
    }

    /// A problem with what was typed.
    pub fn usage(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(what, why) }
    }

    /// A refusal: nothing was changed.
    pub fn refused(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, ..Self::new(what, why) }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with where the fault is.
    #[must_use]
    pub fn cause(mut self, cause: Cause) -> Self {
        self.cause = cause;
        self
    }

    /// The same with another exit class.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
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
