//! The rules of `scale`.

use super::args_evacuate::EvacuateSettingsArgs;
use super::args_scale::ScaleArgs;
use super::groups::LimitArgs;
use super::intent::Output;
use super::intent::scale::Scale;
use super::rules::usage;
use super::rules_evacuate::{no_server_dry_run, settings};
use super::rules_shared::{forms, limits, skippable, write};
use crate::error::Problem;
use crate::model::evacuation;
use crate::model::scale::{FIRM, SKIPPABLE, ScaledField};

/// What `scale` means.
pub(super) fn scale(args: ScaleArgs) -> Result<Scale, Problem> {
    no_server_dry_run(args.write.dry_run)?;
    let numbers: Vec<(ScaledField, u64)> = [
        (ScaledField::Replicants, args.replicants),
        (ScaledField::Cores, args.cores),
        (ScaledField::Replicas, args.replicas),
    ]
    .into_iter()
    .filter_map(|(field, number)| Some((field, number?)))
    .collect();
    let change = match numbers.as_slice() {
        [] if args.undo => None,
        [one] if !args.undo => Some(*one),
        [] => {
            return Err(usage(
                "the number of nodes is missing",
                "one of --replicants, --cores and --replicas is required",
                "kubectl emqx scale emqx --replicants 3; EmqxEnterprise v1beta4 has --replicas",
            ));
        }
        [_] => {
            return Err(usage(
                "--undo does not go with a number",
                "an undo goes back to the number before",
                "leave one of them out",
            ));
        }
        _ => {
            return Err(usage(
                "more than one number of nodes",
                "one number is changed at a time",
                "run the command once for the replicants and once for the cores",
            ));
        }
    };
    if args.undo {
        let flags = [
            ("--rebalance", args.rebalance),
            ("limits", args.limits != LimitArgs::default()),
            ("--skip-check", !args.skip.skip_check.is_empty()),
            ("evacuation flags", args.settings != EvacuateSettingsArgs::default()),
        ];
        if let Some((flag, _)) = flags.iter().find(|(_, typed)| *typed) {
            return Err(usage(
                &format!("--undo does not go with {flag}"),
                "an undo starts no evacuation and no rebalance",
                "leave one of them out",
            ));
        }
    }
    let (stream, output) = forms(args.watch, args.output, args.write.dry_run)?;
    if args.rebalance && output != Output::Text {
        return Err(usage(
            "--rebalance goes with text and -o jsonl only",
            "a scale and a rebalance are two results",
            "use -o jsonl, a JSON document per line",
        ));
    }
    let firm: Vec<&'static str> = FIRM.into_iter().chain(evacuation::FIRM).collect();
    Ok(Scale {
        instance: args.name,
        change,
        rebalance: args.rebalance,
        settings: settings(args.settings),
        write: write(args.write),
        skip: skippable(args.skip.skip_check, &SKIPPABLE, &firm)?,
        watch: args.watch,
        limits: limits(&args.limits),
        notify: args.limits.notify,
        timeout: args.timeout,
        stream,
        output,
    })
}
