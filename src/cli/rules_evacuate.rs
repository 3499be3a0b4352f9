//! The rules of `evacuate` and its subcommands.

use super::args_evacuate::{EvacuateArgs, EvacuateSettingsArgs, EvacuateStartArgs, EvacuateVerbArgs};
use super::intent::evacuate::{Evacuate, EvacuateStart, EvacuateStop, EvacuateWatch, Show};
use super::intent::{DryRun, Filter, Global};
use super::rules_shared::{filter, follow, limits, skippable, stream, then, usage, with_surroundings, write};
use crate::error::Problem;
use crate::model::NodeName;
use crate::model::evacuation::{EVACUATION_CHECKS, EVACUATION_FIRM, Settings};

/// What `evacuate` means.
pub(super) fn evacuate(args: EvacuateArgs, global: &Global) -> Result<Evacuate, Problem> {
    Ok(match args.verb {
        EvacuateVerbArgs::Start(args) => Evacuate::Start(Box::new(start(*args, global)?)),
        EvacuateVerbArgs::Stop(args) => {
            no_server_dry_run(args.write.dry_run)?;
            Evacuate::Stop(EvacuateStop {
                targets: args.targets,
                write: write(args.write),
                timeout: args.timeout,
                output: args.output.output.unwrap_or_default(),
            })
        }
        EvacuateVerbArgs::Status(args) => Evacuate::Show(Show {
            targets: args.targets,
            filter: Filter::default(),
            past: false,
            output: args.output.output.unwrap_or_default(),
        }),
        EvacuateVerbArgs::List(args) => Evacuate::Show(Show {
            targets: Vec::new(),
            filter: filter(args.select),
            past: true,
            output: args.output.output.unwrap_or_default(),
        }),
        EvacuateVerbArgs::Watch(args) => {
            let lines = args.output.is_some();
            let stream = stream(args.output, "evacuate watch")?;
            let mut follow = follow(args.follow, args.limits, stream, global)?;
            follow.inline |= lines;
            Evacuate::Watch(EvacuateWatch { targets: args.targets, follow })
        }
    })
}

fn start(args: EvacuateStartArgs, global: &Global) -> Result<EvacuateStart, Problem> {
    no_server_dry_run(args.write.dry_run)?;
    let dry_run = args.write.dry_run;
    Ok(EvacuateStart {
        targets: args.targets,
        settings: settings(args.settings),
        write: write(args.write),
        skip: skippable(args.skip.skip_check, &with_surroundings(&EVACUATION_CHECKS), &EVACUATION_FIRM)?,
        limits: limits(&args.limits),
        then: then(args.watch, args.output, args.follow, args.limits, dry_run, global)?,
    })
}

/// EMQX's own defaults, overlaid with what was typed.
pub(super) fn settings(args: EvacuateSettingsArgs) -> Settings {
    let default = Settings::default();
    Settings {
        conn_evict_rate: args.conn_evict_rate.unwrap_or(default.conn_evict_rate),
        sess_evict_rate: args.sess_evict_rate.unwrap_or(default.sess_evict_rate),
        wait_health_check_seconds: args.wait_health_check.unwrap_or(default.wait_health_check_seconds),
        wait_takeover_seconds: args.wait_takeover.unwrap_or(default.wait_takeover_seconds),
        migrate_to: args.migrate_to.into_iter().map(NodeName::from).collect(),
        redirect_to: args.redirect_to,
    }
}

pub(super) fn no_server_dry_run(dry_run: DryRun) -> Result<(), Problem> {
    if dry_run == DryRun::Server {
        return Err(usage(
            "invalid value 'server' for --dry-run",
            "EMQX's own API has no dry run on the server",
            "--dry-run=client shows the plan and changes nothing",
        ));
    }
    Ok(())
}
