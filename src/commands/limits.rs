//! The limits of an operation that is followed; `limit_stop` stops it when one is reached.

use super::CommandContext;
use crate::error::{Cause, Exit, Problem};
use crate::model::NodeName;
use crate::model::limits::Limits;
use crate::plan::finding::Finding;
use crate::plan::limits::{LimitForecast, LimitTracker, drifted, findings};

/// A tracker of these limits; `None` without any.
pub(crate) fn tracker(context: &CommandContext, limits: &Limits) -> Option<LimitTracker> {
    limits.any().then(|| LimitTracker::new(limits.clone(), not_after(context, limits)))
}

/// The moment of `--not-after`.
pub(crate) fn not_after(context: &CommandContext, limits: &Limits) -> Option<jiff::Timestamp> {
    limits.not_after?.resolve(context.clock.now(), context.printer.zone())
}

/// The limits that a forecast exceeds.
pub(crate) fn before(context: &CommandContext, limits: &Limits, forecast: LimitForecast) -> Vec<Finding> {
    findings(limits, not_after(context, limits), forecast, context.clock.now())
}

/// The finding where the clients of the nodes changed by more than `--max-drift` while the user read the plan.
pub(crate) fn drift(
    limits: &Limits,
    before: impl IntoIterator<Item = (NodeName, u64)>,
    now: impl IntoIterator<Item = (NodeName, u64)>,
) -> Option<Finding> {
    drifted(limits.max_drift?, &before.into_iter().collect(), &now.into_iter().collect())
}

/// The problem of a stop that the user interrupted.
pub(super) fn interrupted() -> Problem {
    Problem::new("the stop was interrupted", "it is not known whether EMQX has stopped").interrupted()
}

/// The problem with which a follow ends whose operation reached a limit.
pub(crate) fn reached(name: &str, why: &str, hint: String) -> Problem {
    Problem::new(format!("{name} was stopped by a limit"), why).hint(hint).exit(Exit::LimitReached)
}

/// The problem with which a follow ends when a limit was reached and the stop failed.
pub(crate) fn not_stopped(name: &str, why: &str, problem: Problem) -> Problem {
    let interrupted = problem.cause == Cause::Interrupted;
    Problem {
        what: format!("a limit was reached ({why}), but {name} is not stopped"),
        why: problem.to_string(),
        exit: if interrupted { Exit::Interrupted } else { Exit::TimedOut },
        ..problem
    }
}
