//! The rules that `drain` and `scale` share.

use super::args_evacuate::EvacuateSettingsArgs;
use super::args_removal::RemovalArgs;
use super::groups::LimitArgs;
use super::intent::removal::RemovalFlags;
use super::rules_evacuate::{no_server_dry_run, settings};
use super::rules_shared::{forms, limits, skippable, usage, write};
use crate::error::Problem;
use crate::model::evacuation;

/// What the shared flags mean; `firm` are the checks of the command that cannot be skipped, beside those of an evacuation.
pub(super) fn removal(
    args: RemovalArgs,
    known: &[&'static str],
    firm: &[&'static str],
) -> Result<RemovalFlags, Problem> {
    no_server_dry_run(args.write.dry_run)?;
    let (stream, output) = forms(args.watch, args.output, args.write.dry_run)?;
    let firm: Vec<&'static str> = firm.iter().copied().chain(evacuation::EVACUATION_FIRM).collect();
    Ok(RemovalFlags {
        settings: settings(args.settings),
        write: write(args.write),
        skip: skippable(args.skip.skip_check, known, &firm)?,
        watch: args.watch,
        limits: limits(&args.limits),
        notify: args.limits.notify,
        no_history: args.keep.no_history,
        no_record: args.keep.no_record,
        timeout: args.timeout,
        stream,
        output,
    })
}

/// An undo goes with none of these flags, nor with the others that are given.
pub(super) fn undo(args: &RemovalArgs, others: &[(&str, bool)], why: &str) -> Result<(), Problem> {
    let shared = [
        ("--skip-check", !args.skip.skip_check.is_empty()),
        ("limits", args.limits != LimitArgs::default()),
        ("evacuation flags", args.settings != EvacuateSettingsArgs::default()),
    ];
    let Some((flag, _)) = others.iter().chain(&shared).find(|(_, typed)| *typed) else { return Ok(()) };
    Err(usage(&format!("--undo does not go with {flag}"), why, "leave one of them out"))
}
