//! The rules of `upgrade` and its subcommands.

use super::args_upgrade::{
    ChangeArgs, UpgradeApplyArgs, UpgradeArgs, UpgradeGenerateArgs, UpgradePlanArgs, UpgradeUndoArgs,
    UpgradeVerbArgs, UpgradeWatchArgs,
};
use super::groups::LimitArgs;
use super::intent::upgrade::{
    Upgrade, UpgradeApply, UpgradeGenerate, UpgradeList, UpgradePlanArguments, UpgradeUndo, UpgradeWatch,
};
use super::intent::{DryRun, Global, Output, Then};
use super::rules_shared::{filter, follow, limits, skippable, stream, then, usage, with_surroundings, write};
use crate::error::Problem;
use crate::model::upgrade::{DrainMethod, UPGRADE_CHECKS, UpgradeRequest, Wanted, Way};

/// Checks that exist, and cannot be skipped: what they find cannot work.
const UPGRADE_FIRM: [&str; 8] = [
    "blue-green-missing",
    "deleting",
    "no-blue-green",
    "no-permission",
    "no-rolling",
    "replicas-changing",
    "upgrade-running",
    "version-refused",
];

/// What `upgrade` means.
pub(super) fn upgrade(args: UpgradeArgs, global: &Global) -> Result<Upgrade, Problem> {
    let Some(verb) = args.verb else {
        // A dry run is not followed.
        let watch = args.bare.write.dry_run == DryRun::None;
        return Ok(Upgrade::Apply(apply(UpgradeApplyArgs { watch, ..args.bare }, global)?));
    };
    if args.bare != UpgradeApplyArgs::default() {
        return Err(usage(
            "a name or a flag stands before the subcommand",
            "arguments between `upgrade` and its subcommand belong to `upgrade apply --watch`",
            "put it after the subcommand, as in kubectl emqx upgrade plan NAME --image IMAGE",
        ));
    }
    Ok(match verb {
        UpgradeVerbArgs::Plan(args) => Upgrade::Plan(plan(args)?),
        UpgradeVerbArgs::Generate(args) => Upgrade::Generate(generate(args)?),
        UpgradeVerbArgs::Apply(args) => Upgrade::Apply(apply(*args, global)?),
        UpgradeVerbArgs::Watch(args) => Upgrade::Watch(watch(args, global)?),
        UpgradeVerbArgs::Undo(args) => Upgrade::Undo(undo(args, global)?),
        UpgradeVerbArgs::List(args) => Upgrade::List(UpgradeList {
            filter: filter(args.select),
            output: args.output.output.unwrap_or_default(),
        }),
    })
}

fn ask(args: ChangeArgs) -> Result<UpgradeRequest, Problem> {
    let wanted = match (args.image, args.version) {
        (Some(image), None) => Wanted::Image(image),
        (None, Some(version)) => Wanted::Version(version),
        (Some(_), Some(_)) => {
            return Err(usage(
                "--image cannot be combined with --version",
                "an image names its version itself",
                "leave one of them out",
            ));
        }
        (None, None) => {
            return Err(usage(
                "--image is missing",
                "an upgrade is to another image",
                "--image REPOSITORY:TAG, as in emqx/emqx-enterprise:5.8.7; or --version V on v1beta4",
            ));
        }
    };
    let way = match (args.blue_green, args.rolling) {
        (true, true) => {
            return Err(usage(
                "--blue-green cannot be combined with --rolling",
                "the one makes a second set of pods, the other replaces them in place",
                "leave one of them out",
            ));
        }
        (true, false) => Some(Way::BlueGreen),
        (false, true) => Some(Way::Rolling),
        (false, false) => None,
    };
    let manner = match (args.one_by_one, args.unguarded) {
        (true, true) => {
            return Err(usage(
                "--one-by-one cannot be combined with --unguarded",
                "the one is how we empty old pods, and with the other we do not",
                "leave one of them out",
            ));
        }
        (true, false) => DrainMethod::OneByOne,
        (false, true) => DrainMethod::Unguarded,
        (false, false) => DrainMethod::Together,
    };
    if way == Some(Way::Rolling) && manner != DrainMethod::Together {
        return Err(usage(
            &format!(
                "{} cannot be combined with --rolling",
                if args.one_by_one { "--one-by-one" } else { "--unguarded" }
            ),
            "it is about emptying a set beside another, and --rolling makes none",
            "leave one of them out",
        ));
    }
    Ok(UpgradeRequest {
        wanted,
        way,
        manner,
        conn_evict_rate: args.conn_evict_rate,
        sess_evict_rate: args.sess_evict_rate,
        wait_takeover: args.wait_takeover,
        wait_health_check: args.wait_health_check,
        gates: None,
    })
}

fn skip(named: Vec<String>) -> Result<Vec<String>, Problem> {
    skippable(named, &with_surroundings(&UPGRADE_CHECKS), &UPGRADE_FIRM)
}

fn plan(args: UpgradePlanArgs) -> Result<UpgradePlanArguments, Problem> {
    Ok(UpgradePlanArguments {
        instance: args.name,
        ask: ask(args.change)?,
        force: args.force.force_conflicts,
        skip: skip(args.skip.skip_check)?,
        output: args.output.output.unwrap_or_default(),
    })
}

fn generate(args: UpgradeGenerateArgs) -> Result<UpgradeGenerate, Problem> {
    Ok(UpgradeGenerate { instance: args.name, ask: ask(args.change)?, form: args.output })
}

fn apply(args: UpgradeApplyArgs, global: &Global) -> Result<UpgradeApply, Problem> {
    let write = write(args.write);
    Ok(UpgradeApply {
        instance: args.name,
        ask: ask(args.change)?,
        force: args.force.force_conflicts,
        skip: skip(args.skip.skip_check)?,
        limits: limits(&args.limits),
        then: then(args.watch, args.output, args.follow, args.limits, write.dry_run, global)?,
        write,
    })
}

fn watch(args: UpgradeWatchArgs, global: &Global) -> Result<UpgradeWatch, Problem> {
    let lines = args.output.is_some();
    let stream = stream(args.output, "upgrade watch")?;
    let mut follow = follow(args.follow, args.limits, stream, global)?;
    follow.inline |= lines;
    Ok(UpgradeWatch { instance: args.name, field_manager: args.field_manager, follow })
}

fn undo(args: UpgradeUndoArgs, global: &Global) -> Result<UpgradeUndo, Problem> {
    let stream = stream(args.output, "upgrade undo")?;
    let write = write(args.write);
    let follow = follow(args.follow, LimitArgs::default(), stream, global)?;
    Ok(UpgradeUndo {
        instance: args.name,
        to: args.to,
        force: args.force.force_conflicts,
        skip: skip(args.skip.skip_check)?,
        // A dry run is not followed.
        then: match write.dry_run {
            DryRun::None => Then::Follow(follow),
            DryRun::Client | DryRun::Server => Then::Leave(Output::Text),
        },
        write,
    })
}
