//! The rules that several subcommands share.

use super::groups::{ApplyForm, FollowArgs, KeepArgs, LimitArgs, SelectArgs, StreamForm, WriteArgs};
use super::intent::{DryRun, Filter, Follow, Global, Output, Stream, Then, WriteOptions};
use crate::error::Problem;
use crate::model::check::SURROUNDINGS;
use crate::model::limits::{CHECKS, Limits};

/// A problem of the command line, with a hint.
pub(super) fn usage(what: &str, why: &str, hint: impl Into<String>) -> Problem {
    Problem::usage(what, why).hint(hint)
}

/// The instances that a command selects.
pub(super) fn filter(args: SelectArgs) -> Filter {
    Filter { all_namespaces: args.all_namespaces, labels: args.selector, fields: args.field_selector }
}

/// Only what can be skipped may be named.
pub(super) fn skippable(
    named: Vec<String>,
    known: &[&'static str],
    firm: &[&'static str],
) -> Result<Vec<String>, Problem> {
    let Some(id) = named.iter().find(|id| !known.contains(&id.as_str())) else { return Ok(named) };
    if firm.contains(&id.as_str()) || CHECKS.contains(&id.as_str()) {
        return Err(usage(
            &format!("the check {id} cannot be skipped"),
            "what it finds would fail all the same",
            format!("these can: {}", known.join(", ")),
        ));
    }
    let near = known.iter().chain(firm).min_by_key(|known| distance(known, id)).copied().unwrap_or_default();
    Err(usage(
        &format!("there is no check `{id}`"),
        "it could not be skipped",
        if is_slip(near, id) {
            format!("did you mean {near}?")
        } else {
            format!("these can: {}", known.join(", "))
        },
    ))
}

/// The checks that an operation can skip: its own, and those of the surroundings.
pub(super) fn with_surroundings(own: &[&'static str]) -> Vec<&'static str> {
    let mut all: Vec<&'static str> = own.to_vec();
    all.extend(SURROUNDINGS.iter().filter(|id| !own.contains(id)));
    all
}

/// The form of the events and of the result, of a command that always follows what it does.
pub(super) fn forms(
    watch: bool,
    output: Option<ApplyForm>,
    dry_run: DryRun,
) -> Result<(Stream, Output), Problem> {
    if watch && dry_run != DryRun::None {
        return Err(usage(
            "--watch does not go with --dry-run",
            "a dry run starts nothing to follow",
            "leave one of them out",
        ));
    }
    let (stream, output) = match output {
        None => (Stream::Text, Output::Text),
        Some(ApplyForm::Jsonl) if dry_run != DryRun::None => {
            return Err(usage(
                "-o jsonl does not go with --dry-run",
                "a dry run has no events",
                "-o json prints the plan",
            ));
        }
        Some(ApplyForm::Jsonl) => (Stream::Jsonl, Output::Text),
        Some(ApplyForm::Document(output)) => (Stream::Text, output),
    };
    if watch && !matches!(output, Output::Text) {
        return Err(usage(
            "with --watch the output is a stream",
            "one document could not be printed before the end",
            "use -o jsonl, a JSON document per line",
        ));
    }
    Ok((stream, output))
}

pub(super) fn write(args: WriteArgs) -> WriteOptions {
    WriteOptions {
        dry_run: args.dry_run,
        field_manager: args.field_manager,
        yes: args.yes,
        reason: args.reason.filter(|reason| !reason.trim().is_empty()),
        error_unchanged: args.error_unchanged,
    }
}

/// What `apply` does after it made it.
pub(super) fn then(
    watch: bool,
    output: Option<ApplyForm>,
    args: FollowArgs,
    limits: LimitArgs,
    dry_run: DryRun,
    global: &Global,
) -> Result<Then, Problem> {
    if watch {
        if dry_run != DryRun::None {
            return Err(usage(
                "--watch cannot be combined with --dry-run",
                "a try starts nothing to follow",
                "leave one of them out",
            ));
        }
        let stream = match output {
            None | Some(ApplyForm::Document(Output::Text)) => Stream::Text,
            Some(ApplyForm::Jsonl) => Stream::Jsonl,
            Some(ApplyForm::Document(_)) => {
                return Err(usage(
                    "with --watch the output is a stream",
                    "one document could not be printed before the end",
                    "use -o jsonl, a JSON document per line",
                ));
            }
        };
        Ok(Then::Follow(follow(args, limits, stream, global)?))
    } else {
        let flags = [
            ("--timeout", args.timeout.is_some()),
            ("--inline", args.inline),
            ("--full", args.full),
            ("--read-only", args.read_only),
            ("--no-mouse", args.no_mouse),
            ("--record", args.record.is_some()),
            ("--no-history", args.keep.no_history),
            ("--no-record", args.keep.no_record),
            ("--abort-if-lost", limits.abort_if_lost.is_some()),
            ("--not-after", limits.not_after.is_some()),
            ("--notify", limits.notify.is_some()),
        ];
        if let Some((flag, _)) = flags.iter().find(|(_, typed)| *typed) {
            return Err(usage(
                &format!("{flag} needs --watch"),
                "without it nothing is followed",
                format!("add --watch to {flag}"),
            ));
        }
        match output {
            None => Ok(Then::Leave(Output::Text)),
            Some(ApplyForm::Document(output)) => Ok(Then::Leave(output)),
            Some(ApplyForm::Jsonl) => Err(usage(
                "-o jsonl needs --watch",
                "without it there is one document",
                "add --watch, or use -o json",
            )),
        }
    }
}

pub(super) fn stream(form: Option<StreamForm>, verb: &str) -> Result<Stream, Problem> {
    match form {
        None | Some(StreamForm::Text) => Ok(Stream::Text),
        Some(StreamForm::Jsonl) => Ok(Stream::Jsonl),
        Some(StreamForm::Json) => Err(usage(
            &format!("`{verb}` has no -o json"),
            "a stream of events cannot be one document",
            "use -o jsonl, a JSON document per line",
        )),
    }
}

/// The limits without the command.
pub(super) fn limits(args: &LimitArgs) -> Limits {
    Limits {
        abort_if_lost: args.abort_if_lost,
        not_after: args.not_after,
        max_drift: args.max_drift,
        max_reconnect_rate: args.max_reconnect_rate,
    }
}

pub(super) fn follow(
    args: FollowArgs,
    limited: LimitArgs,
    stream: Stream,
    global: &Global,
) -> Result<Follow, Problem> {
    let limits = limits(&limited);
    let guarded = limits.any() || limited.notify.is_some();
    if limits.any() && args.read_only {
        return Err(usage(
            "--read-only cannot be combined with a limit that stops an operation",
            "the one forbids every change, the other is one",
            "leave one of them out",
        ));
    }
    if args.full && guarded {
        return Err(usage(
            "--full cannot be combined with limits and --notify",
            "limits are watched by the follower that prints lines",
            "leave --full out",
        ));
    }
    if args.inline && global.look.plain {
        return Err(usage(
            "--inline and --plain contradict each other",
            "one redraws a few lines in place, the other never does",
            "leave one of them out",
        ));
    }
    if args.inline && stream == Stream::Jsonl {
        return Err(usage(
            "--inline cannot be combined with -o jsonl",
            "the one is for people, the other for programs",
            "leave one of them out",
        ));
    }
    if args.full && (args.inline || global.look.plain || stream == Stream::Jsonl) {
        return Err(usage(
            "--full cannot be combined with --inline, --plain and -o jsonl",
            "there is one way of showing it",
            "leave one of them out",
        ));
    }
    let FollowArgs { timeout, inline, full, read_only, no_mouse, record, keep } = args;
    let KeepArgs { no_history, no_record } = keep;
    // The full screen does not watch limits.
    let inline = inline || guarded;
    let notify = limited.notify;
    Ok(Follow {
        timeout,
        stream,
        inline,
        full,
        read_only,
        no_mouse,
        record,
        no_history,
        no_record,
        limits,
        notify,
    })
}

/// Whether `typed` may be a misspelt `known`: with half the letters wrong it is another word.
pub(super) fn is_slip(known: &str, typed: &str) -> bool {
    distance(known, typed) * 2 <= typed.chars().count()
}

/// How many letters differ between two names (Levenshtein), to suggest the nearest one.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, against) in other.iter().enumerate() {
            let change = diagonal + usize::from(letter != *against);
            diagonal = row[column + 1];
            row[column + 1] = change.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}
