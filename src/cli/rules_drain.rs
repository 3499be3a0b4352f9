//! The rules of `drain`.

use super::args_drain::DrainArgs;
use super::args_evacuate::EvacuateSettingsArgs;
use super::groups::LimitArgs;
use super::intent::drain::Drain;
use super::rules::{filter, usage};
use super::rules_evacuate::{no_server_dry_run, settings};
use super::rules_shared::{forms, limits, skippable, write};
use crate::error::Problem;
use crate::model::{drain, evacuation};

/// What `drain` means.
pub(super) fn drain(args: DrainArgs) -> Result<Drain, Problem> {
    no_server_dry_run(args.write.dry_run)?;
    if args.undo {
        let flags = [
            ("--parallel", args.parallel != 1),
            ("--no-cordon", args.no_cordon),
            ("--skip-check", !args.skip.skip_check.is_empty()),
            ("limits", args.limits != LimitArgs::default()),
            ("evacuation flags", args.settings != EvacuateSettingsArgs::default()),
        ];
        if let Some((flag, _)) = flags.iter().find(|(_, typed)| *typed) {
            return Err(usage(
                &format!("--undo does not go with {flag}"),
                "an undo starts no evacuation and moves no pod",
                "leave one of them out",
            ));
        }
    }
    let (stream, output) = forms(args.watch, args.output, args.write.dry_run)?;
    let firm: Vec<&'static str> = drain::FIRM
        .into_iter()
        .chain(evacuation::FIRM)
        .chain(["drain-unfinished", "no-permission", "scale-unfinished"])
        .collect();
    let mut machines = args.machines;
    let mut seen = std::collections::BTreeSet::new();
    machines.retain(|machine| seen.insert(machine.clone()));
    Ok(Drain {
        machines,
        filter: filter(args.select),
        parallel: args.parallel,
        cordon: !args.no_cordon,
        undo: args.undo,
        settings: settings(args.settings),
        write: write(args.write),
        skip: skippable(args.skip.skip_check, &drain::SKIPPABLE, &firm)?,
        watch: args.watch,
        limits: limits(&args.limits),
        notify: args.limits.notify,
        timeout: args.timeout,
        stream,
        output,
    })
}
