//! The rules of `scale`.

use super::args_scale::ScaleArgs;
use super::intent::Output;
use super::intent::scale::Scale;
use super::rules_removal::{removal, undo};
use super::rules_shared::{usage, with_surroundings};
use crate::error::Problem;
use crate::model::scale::{SCALE_CHECKS, SCALE_FIRM, ScaledField};

/// What `scale` means.
pub(super) fn scale(args: ScaleArgs) -> Result<Scale, Problem> {
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
        let flags = [("--rebalance", args.rebalance)];
        undo(&args.removal, &flags, "an undo starts no evacuation and no rebalance")?;
    }
    let removal = removal(args.removal, &with_surroundings(&SCALE_CHECKS), &SCALE_FIRM)?;
    if args.rebalance && removal.output != Output::Text {
        return Err(usage(
            "--rebalance goes with text and -o jsonl only",
            "a scale and a rebalance are two results",
            "use -o jsonl, a JSON document per line",
        ));
    }
    Ok(Scale { instance: args.name, change, rebalance: args.rebalance, removal })
}
