//! The rules of `rebalance` and its subcommands.

use std::path::{Path, PathBuf};

use super::args::{
    ApplyArgs, GenerateArgs, ListArgs, PlanArgs, PruneArgs, RebalanceArgs, RebalanceVerbArgs, StopArgs,
    WatchArgs,
};
use super::groups::{NodesArgs, RequirementArgs, StrategyArgs};
use super::intent::{
    Apply, ApplySource, DryRun, Generate, Global, InstanceName, List, ManifestFile, Output, Plan, PlanSource,
    Prune, Stop, Verb, Watch,
};
use super::rules_shared::{filter, follow, limits, skippable, stream, then, usage, with_surroundings, write};
use crate::error::Problem;
use crate::model::limits::Limits;
use crate::model::{
    BackendRequest, GivenSettings, InstanceKind, OperatorLine, Requirement, Strategy, StrategyRequest,
};

/// The checks of `apply` that `--skip-check` may name: a warning is left out, a refusal becomes a warning. A second
/// rebalance, a taken name, and nothing to do cannot be skipped: EMQX and the API server refuse them as well.
pub const APPLY_CHECKS: [&str; 21] = [
    "deadline-missed",
    "spread-missed",
    "drain-unfinished",
    "scale-unfinished",
    "emqx-not-asked",
    "evacuation-running",
    "instance-not-ready",
    "membership",
    "no-permission",
    "operator-will-report-failed",
    "purge-running",
    "recipients-not-serving",
    "few-recipients",
    "overshoot",
    "coarse-rate",
    "session-round-too-long",
    "threshold-blind",
    "short-health-check",
    "kind-lost",
    "status-old",
    "version-defect",
];

/// The checks of `stop` that may be skipped.
pub(super) const STOP_CHECKS: [&str; 1] = ["instance-not-ready"];

/// Checks that exist, and cannot be skipped.
const REBALANCE_FIRM: [&str; 7] = [
    "nothing-to-balance",
    "already-running",
    "name-taken",
    "no-rebalance-api",
    "node-not-running",
    "too-few-nodes",
    "wrong-emqx",
];

/// What `rebalance` means.
pub(super) fn rebalance(args: RebalanceArgs, global: &Global) -> Result<Verb, Problem> {
    let Some(verb) = args.verb else { return Ok(Verb::List(list(args.list, true))) };
    let before = &args.list;
    if before.select.all_namespaces
        || before.select.selector.is_some()
        || before.select.field_selector.is_some()
        || before.output.output.is_some()
        || before.backend.backend != BackendRequest::Auto
    {
        return Err(usage(
            "a flag stands before the subcommand",
            "flags between `rebalance` and its subcommand belong to `rebalance list`",
            "put it after the subcommand, as in kubectl emqx rebalance list -A",
        ));
    }
    Ok(match verb {
        RebalanceVerbArgs::Plan(args) => Verb::Plan(plan(args)?),
        RebalanceVerbArgs::Generate(args) => Verb::Generate(generate(args)?),
        RebalanceVerbArgs::Apply(args) => Verb::Apply(apply(args, global)?),
        RebalanceVerbArgs::Watch(args) => Verb::Watch(watch(args, global)?),
        RebalanceVerbArgs::Stop(args) => Verb::Stop(stop(args)?),
        RebalanceVerbArgs::List(args) => Verb::List(list(args, false)),
        RebalanceVerbArgs::Prune(args) => Verb::Prune(prune(args)?),
    })
}

fn list(args: ListArgs, bare: bool) -> List {
    List {
        filter: filter(args.select),
        backend: args.backend.backend,
        output: args.output.output.unwrap_or_default(),
        bare,
    }
}

/// With a rate: EMQX's own defaults, overlaid with what was typed. Without one: what is required.
fn strategy(
    args: &StrategyArgs,
    required: &RequirementArgs,
    reconnects: Option<u64>,
) -> Result<StrategyRequest, Problem> {
    let Some(rate) = args.conn_evict_rate else {
        let preset = required.preset.unwrap_or_default().requirement();
        let given = GivenSettings {
            sess_evict_rate: args.sess_evict_rate,
            wait_health_check_seconds: args.wait_health_check,
            wait_takeover_seconds: args.wait_takeover,
            abs_conn_threshold: args.abs_conn_threshold,
            rel_conn_threshold: args.rel_conn_threshold,
            abs_sess_threshold: args.abs_sess_threshold,
            rel_sess_threshold: args.rel_sess_threshold,
        };
        let required = Requirement {
            spread_percent: required
                .target_spread
                .map_or(preset.spread_percent, |spread| spread.fraction() * 100.0),
            deadline_seconds: required
                .deadline
                .map_or(preset.deadline_seconds, |deadline| deadline.as_secs().max(1)),
            reconnects_per_second: reconnects.unwrap_or(preset.reconnects_per_second),
        };
        return Ok(StrategyRequest::Required(required, given));
    };
    let flags = [
        ("--preset", required.preset.is_some()),
        ("--target-spread", required.target_spread.is_some()),
        ("--deadline", required.deadline.is_some()),
    ];
    if let Some((flag, _)) = flags.iter().find(|(_, typed)| *typed) {
        return Err(usage(
            &format!("{flag} cannot be combined with --conn-evict-rate"),
            "with a rate nothing is worked out",
            format!("leave out either {flag} or --conn-evict-rate"),
        ));
    }
    let default = Strategy::default();
    Ok(StrategyRequest::Given(Strategy {
        conn_evict_rate: rate,
        sess_evict_rate: args.sess_evict_rate.unwrap_or(default.sess_evict_rate),
        wait_health_check_seconds: args.wait_health_check.unwrap_or(default.wait_health_check_seconds),
        wait_takeover_seconds: args.wait_takeover.unwrap_or(default.wait_takeover_seconds),
        abs_conn_threshold: args.abs_conn_threshold.unwrap_or(default.abs_conn_threshold),
        rel_conn_threshold: args.rel_conn_threshold.unwrap_or(default.rel_conn_threshold),
        abs_sess_threshold: args.abs_sess_threshold.unwrap_or(default.abs_sess_threshold),
        rel_sess_threshold: args.rel_sess_threshold.unwrap_or(default.rel_sess_threshold),
    }))
}

fn plan(args: PlanArgs) -> Result<Plan, Problem> {
    let output = args.output.output.unwrap_or_default();
    let source = match (args.counts, args.sessions) {
        (None, Some(_)) => {
            return Err(usage(
                "--sessions needs --counts",
                "from a cluster the sessions are read, not given",
                "kubectl emqx rebalance plan --counts N,N,… --sessions N,N,…",
            ));
        }
        (None, None) => PlanSource::Cluster(args.name),
        (Some(_), _) if args.name.is_some() => {
            return Err(usage(
                "--counts cannot be combined with a name",
                "the numbers come either from a cluster or from you",
                "leave one of them out",
            ));
        }
        (Some(_), _) if args.backend.backend != BackendRequest::Auto => {
            return Err(usage(
                "--backend cannot be combined with --counts",
                "nothing is driven from plain numbers",
                "leave --backend out",
            ));
        }
        (Some(_), _) if args.diff => {
            return Err(usage(
                "--diff cannot be combined with --counts",
                "plain numbers are no object",
                "kubectl emqx rebalance plan NAME --diff",
            ));
        }
        (Some(_), _) if !args.nodes.nodes.is_empty() => {
            return Err(usage(
                "--nodes cannot be combined with --counts",
                "the numbers are those of the participants",
                "leave the numbers of other nodes out",
            ));
        }
        (Some(_), _) if output == Output::Name => {
            return Err(usage(
                "-o name cannot be combined with --counts",
                "plain numbers have no name",
                "use -o json",
            ));
        }
        (Some(counts), sessions) => numbers(counts.0, sessions.map(|sessions| sessions.0))?,
    };
    let nodes = chosen(args.nodes, args.backend.backend)?;
    Ok(Plan {
        nodes,
        source,
        strategy: strategy(&args.strategy, &args.required, args.reconnects.max_reconnect_rate)?,
        limits: Limits { max_reconnect_rate: args.reconnects.max_reconnect_rate, ..Limits::default() },
        show_command: args.required.show_command,
        diff: args.diff,
        calibrate: args.calibrate,
        reconnect_delay: args.reconnect_delay,
        lb: args.lb,
        session_move_ms: args.session_move_ms,
        backend: args.backend.backend,
        output,
    })
}

fn numbers(connections: Vec<u64>, sessions: Option<Vec<u64>>) -> Result<PlanSource, Problem> {
    let sessions = sessions.unwrap_or_else(|| connections.clone());
    if sessions.len() != connections.len() {
        return Err(usage(
            "--counts and --sessions are of different length",
            &format!("{} nodes in --counts, {} in --sessions", connections.len(), sessions.len()),
            "one number per node in each, in the same order",
        ));
    }
    let short = connections.iter().zip(&sessions).position(|(connections, sessions)| sessions < connections);
    if let Some(index) = short {
        return Err(usage(
            "--sessions holds less than --counts",
            &format!(
                "node-{} has {} connections but {} sessions, and every client has a session",
                index + 1,
                connections[index],
                sessions[index]
            ),
            "sessions count all of a node's sessions, with and without a client",
        ));
    }
    Ok(PlanSource::Numbers { connections, sessions })
}

fn generate(args: GenerateArgs) -> Result<Generate, Problem> {
    let line = match args.for_operator.as_deref() {
        Some("2.2") => Some(OperatorLine::Two2),
        Some("2.3") => Some(OperatorLine::Two3),
        _ => None,
    };
    if args.backend.backend == BackendRequest::Emqx {
        return Err(usage(
            "there is no manifest for --backend emqx",
            "the rebalance is started through EMQX's own API, without an object",
            "kubectl emqx rebalance apply --backend emqx",
        ));
    }
    match (line, &args.name) {
        (Some(_), None) => {
            return Err(usage(
                "--for-operator needs a NAME",
                "no cluster is asked, so the instance cannot be found",
                "kubectl emqx rebalance generate NAME --for-operator 2.3",
            ));
        }
        (Some(OperatorLine::Two3), Some(InstanceName { kind: Some(kind), name }))
            if *kind != InstanceKind::Emqx =>
        {
            return Err(usage(
                &format!("operator 2.3 has no {kind}"),
                "its only kind is EMQX",
                format!("kubectl emqx rebalance generate emqx/{name} --for-operator 2.3"),
            ));
        }
        _ => {}
    }
    broker_has_none(args.name.as_ref())?;
    let requirements = [
        ("--preset", args.required.preset.is_some()),
        ("--target-spread", args.required.target_spread.is_some()),
        ("--deadline", args.required.deadline.is_some()),
        ("--max-reconnect-rate", args.reconnects.max_reconnect_rate.is_some()),
    ];
    if let Some((flag, _)) = requirements.iter().find(|(_, typed)| *typed && line.is_some()) {
        return Err(usage(
            &format!("{flag} cannot be combined with --for-operator"),
            "without a cluster there are no counts to work rates out from",
            "kubectl emqx rebalance plan --counts N,N,… --show-command works them out",
        ));
    }
    if args.strategy.conn_evict_rate.is_some() && args.reconnects.max_reconnect_rate.is_some() {
        return Err(usage(
            "--max-reconnect-rate cannot be combined with --conn-evict-rate",
            "with a rate nothing is worked out, and a manifest has no limit",
            "leave one of them out",
        ));
    }
    let mut request = strategy(&args.strategy, &args.required, args.reconnects.max_reconnect_rate)?;
    if line.is_some()
        && let StrategyRequest::Required(..) = request
    {
        let usual =
            StrategyArgs { conn_evict_rate: Some(Strategy::default().conn_evict_rate), ..args.strategy };
        request = strategy(&usual, &args.required, None)?;
    }
    Ok(Generate {
        instance: args.name,
        line,
        name: args.rebalance_name,
        strategy: request,
        show_command: args.required.show_command,
        output: args.output,
    })
}

/// An EmqxBroker is open source, without rebalance.
fn broker_has_none(name: Option<&InstanceName>) -> Result<(), Problem> {
    if name.and_then(|name| name.kind) == Some(InstanceKind::EmqxBroker) {
        return Err(Problem::usage("an EmqxBroker cannot be rebalanced", "only EMQX and EmqxEnterprise can"));
    }
    Ok(())
}

fn emqx_tries_nothing(backend: BackendRequest, dry_run: DryRun) -> Result<(), Problem> {
    if backend == BackendRequest::Emqx && dry_run == DryRun::Server {
        return Err(usage(
            "--dry-run=server cannot be combined with --backend emqx",
            "EMQX's own API cannot only try",
            "use --dry-run=client",
        ));
    }
    Ok(())
}

/// The nodes that are to take part. A Rebalance object has no field for them: only EMQX's own API does.
fn chosen(args: NodesArgs, backend: BackendRequest) -> Result<Vec<String>, Problem> {
    if backend == BackendRequest::Rebalance && !args.nodes.is_empty() {
        return Err(usage(
            "--nodes cannot be combined with --backend rebalance",
            "a Rebalance object has no field for its participants",
            "use --backend emqx",
        ));
    }
    let mut nodes: Vec<String> = Vec::new();
    for node in args.nodes {
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    if let [only] = nodes.as_slice() {
        return Err(usage(
            "--nodes names one node",
            &format!("a rebalance moves clients between nodes, and {only} is alone"),
            "name two nodes or more, or leave --nodes out",
        ));
    }
    Ok(nodes)
}

fn apply(args: ApplyArgs, global: &Global) -> Result<Apply, Problem> {
    let typed_strategy = args.strategy != StrategyArgs::default();
    let source = match (args.filename, args.name) {
        (Some(_), Some(name)) => {
            return Err(usage(
                "-f cannot be combined with a name",
                "the manifest names its instance itself",
                format!("leave out either -f or {}", name.name),
            ));
        }
        (Some(_), None) if args.required != RequirementArgs::default() => {
            return Err(usage(
                "-f cannot be combined with requirements and --show-command",
                "the file holds the rates and thresholds itself",
                "change the file, or apply by name with the flags",
            ));
        }
        (Some(_), None) if typed_strategy => {
            return Err(usage(
                "-f cannot be combined with rates, waits and thresholds",
                "the manifest holds them itself",
                "change the manifest, or apply by name with the flags",
            ));
        }
        (Some(_), None) if !args.nodes.nodes.is_empty() => {
            return Err(usage(
                "-f cannot be combined with --nodes",
                "a Rebalance object has no field for its participants",
                "apply by name with --nodes and --backend emqx",
            ));
        }
        (Some(file), None) => ApplySource::File(manifest_file(file)?),
        (None, name) => {
            broker_has_none(name.as_ref())?;
            let request = strategy(&args.strategy, &args.required, args.limits.max_reconnect_rate)?;
            ApplySource::Instance(name, request)
        }
    };
    let nodes = chosen(args.nodes, args.backend.backend)?;
    let backend = if nodes.is_empty() { args.backend.backend } else { BackendRequest::Emqx };
    emqx_tries_nothing(backend, args.write.dry_run)?;
    let skip = skippable(args.skip.skip_check, &with_surroundings(&APPLY_CHECKS), &REBALANCE_FIRM)?;
    let write = write(args.write);
    let limits = limits(&args.limits);
    let then = then(args.watch, args.output, args.follow, args.limits, write.dry_run, global)?;
    let session_move_ms = args.session_move_ms;
    let show_command = args.required.show_command;
    let backend = args.backend.backend;
    Ok(Apply { source, session_move_ms, backend, nodes, write, skip, limits, show_command, then })
}

fn manifest_file(file: PathBuf) -> Result<ManifestFile, Problem> {
    if file == Path::new("-") {
        return Ok(ManifestFile::Stdin);
    }
    if file.as_os_str().is_empty() {
        return Err(usage("-f is empty", "it names a file", "-f rebalance.yaml, or -f - for stdin"));
    }
    Ok(ManifestFile::Path(file))
}

fn watch(args: WatchArgs, global: &Global) -> Result<Watch, Problem> {
    let lines = args.output.is_some();
    let stream = stream(args.output, "rebalance watch")?;
    let mut follow = follow(args.follow, args.limits, stream, global)?;
    follow.inline |= lines;
    Ok(Watch { operation: args.name, backend: args.backend.backend, follow })
}

fn stop(args: StopArgs) -> Result<Stop, Problem> {
    emqx_tries_nothing(args.backend.backend, args.write.dry_run)?;
    Ok(Stop {
        operation: args.name,
        backend: args.backend.backend,
        write: write(args.write),
        skip: skippable(args.skip.skip_check, &STOP_CHECKS, &REBALANCE_FIRM)?,
        timeout: args.timeout,
        output: args.output.output.unwrap_or_default(),
    })
}

fn prune(args: PruneArgs) -> Result<Prune, Problem> {
    let output = args.output.output.unwrap_or_default();
    if !matches!(output, Output::Text | Output::Name) {
        return Err(usage(
            "`rebalance prune` has only -o text and -o name",
            "it prints what it deleted",
            "use -o name",
        ));
    }
    Ok(Prune { older_than: args.older_than, write: write(args.write), output })
}
