//! The part between the plan and the action of every command that changes something: it reports that there is
//! nothing to do or that a check refuses, asks for confirmation, and prints the name of what was created.

use serde::Serialize;

use super::CommandContext;
use crate::cli::intent::{DryRun, Stream, Then, WriteOptions};
use crate::error::{Exit, Problem};
use crate::plan::finding::{Decision, Finding, Severity};
use crate::plan::results::Applied;

/// The exit when there is nothing to do, or when a check refuses; `None` to continue. `refused` names the
/// refused action.
pub(crate) fn decided(
    context: &CommandContext,
    write: &WriteOptions,
    decision: Decision,
    reason: &str,
    findings: &[Finding],
    refused: String,
) -> Result<Option<Exit>, Problem> {
    match decision {
        Decision::Go => Ok(None),
        Decision::NothingToDo => {
            context.printer.talk(&format!("nothing to do: {reason}"));
            Ok(Some(if write.error_unchanged { Exit::Unchanged } else { Exit::Reached }))
        }
        Decision::Refused => {
            let mut refusing = findings.iter().filter(|finding| finding.severity == Severity::Blocked);
            let mut problem = Problem::refused(refused, reason);
            problem.hint = refusing.find_map(|finding| finding.hint.clone());
            Err(problem)
        }
    }
}

/// Prompts, unless `--yes` was given. Without a terminal it is refused.
pub(crate) async fn confirm(
    context: &CommandContext,
    write: &WriteOptions,
    question: &str,
) -> Result<(), Problem> {
    if write.yes {
        return Ok(());
    }
    if !context.interactive {
        return Err(Problem::refused("confirmation required", "stdin is not a terminal")
            .hint("pass --yes to continue without a question"));
    }
    let question = format!("{question}{}", cluster(context));
    let mut interrupt = (context.interrupt)();
    tokio::select! {
        biased;
        () = &mut interrupt => Err(Problem::new("interrupted", "nothing was changed").interrupted()),
        yes = context.printer.ask(&question) => {
            if yes { Ok(()) } else { Err(Problem::refused("not confirmed", "nothing was changed")) }
        }
    }
}

/// The cluster of a prompt: the context and the API server.
fn cluster(context: &CommandContext) -> String {
    match (&context.context, &context.server) {
        (Some(context), Some(server)) => format!(" (context {context}, API server {server})"),
        (None, Some(server)) => format!(" (API server {server})"),
        _ => String::new(),
    }
}

/// The options of a change that was confirmed before the command begins.
pub(crate) fn already_confirmed() -> WriteOptions {
    WriteOptions {
        dry_run: DryRun::None,
        field_manager: crate::model::FIELD_MANAGER.to_owned(),
        yes: true,
        reason: None,
        error_unchanged: false,
    }
}

/// Prints what was created to stdout.
pub(crate) fn done<P: Serialize>(context: &CommandContext, then: &Then, applied: &Applied<P>, note: &str) {
    match then {
        Then::Leave(output) => context.printer.applied(applied, *output, note),
        Then::Follow(follow) if follow.stream == Stream::Jsonl => {}
        Then::Follow(_) => context.printer.line(&format!("{}{note}", applied.name)),
    }
}
