//! What was typed → what is meant: every rule that looks at more than one flag is here, and every default.

use std::path::{Path, PathBuf};

use super::args::{
    ApplyArgs, DemoArgs, DemoVerbArgs, GenerateArgs, ListArgs, PlanArgs, PruneArgs, ReadArgs, RebalanceArgs,
    RebalanceVerbArgs, ReplayArgs, Root, ServeArgs, StopArgs, VerbArgs, VersionArgs, WatchArgs,
};
use super::global::{ConnectArgs, EmqxArgs, GlobalArgs};
use super::groups::{ApplyForm, FollowArgs, SelectArgs, StrategyArgs, StreamForm, WriteArgs};
use super::intent::{
    Apply, ApplySource, BackendChoice, Connection, Demo, DemoServe, DryRun, EmqxAccess, Filter, Follow,
    Generate, Global, InstanceName, Intent, List, Log, Look, ManifestFile, Output, Plan, PlanSource, Prune,
    Read, Replay, Scenario, Secret, Selection, Stop, Stream, Then, Verb, Version, Watch, Write,
};
use crate::error::Problem;
use crate::model::{InstanceKind, OperatorLine, Strategy};

/// At this speed the documented rebalance takes about twenty seconds.
const DEMO_SPEED: f64 = 6.0;

/// The checks that `apply` makes; what `--skip-check` may name there.
pub const APPLY_CHECKS: [&str; 15] = [
    "nothing-to-balance",
    "already-running",
    "evacuation-running",
    "name-taken",
    "instance-not-ready",
    "no-permission",
    "too-few-nodes",
    "operator-will-report-failed",
    "few-recipients",
    "overshoot",
    "threshold-blind",
    "short-health-check",
    "kind-lost",
    "status-old",
    "version-defect",
];

/// What is meant. `None` when no verb was typed.
pub(super) fn intent(root: Root) -> Result<Option<Intent>, Problem> {
    let global = global(root.global)?;
    let Some(verb) = root.verb else { return Ok(None) };
    let verb = match verb {
        VerbArgs::Status(args) => Verb::Status(read(args)?),
        VerbArgs::Nodes(args) => Verb::Nodes(read(args)?),
        VerbArgs::Rebalance(args) => rebalance(args, &global)?,
        VerbArgs::Replay(args) => Verb::Replay(replay(args)?),
        VerbArgs::Demo(args) => demo(args)?,
        VerbArgs::Version(args) => Verb::Version(version(args)),
    };
    one_url_for_one_cluster(&global.emqx, &verb)?;
    Ok(Some(Intent { global, verb }))
}

fn usage(what: &str, why: &str, hint: impl Into<String>) -> Problem {
    Problem::usage(what, why).hint(hint)
}

fn global(args: GlobalArgs) -> Result<Global, Problem> {
    Ok(Global {
        connect: connection(args.connect)?,
        emqx: emqx(args.emqx)?,
        look: Look { color: args.look.color, plain: args.look.plain, ascii: args.look.ascii },
        log: Log { level: args.look.level, file: args.look.log_file },
    })
}

fn connection(args: ConnectArgs) -> Result<Connection, Problem> {
    if args.impersonate.is_none() && !args.impersonate_groups.is_empty() {
        return Err(usage(
            "--as-group cannot stand alone",
            "a group is impersonated together with a user",
            "add --as USER",
        ));
    }
    if args.insecure_skip_tls_verify && args.certificate_authority.is_some() {
        return Err(usage(
            "--insecure-skip-tls-verify and --certificate-authority contradict each other",
            "one says not to verify, the other what to verify with",
            "leave one of them out",
        ));
    }
    let namespace = args.namespace.filter(|namespace| !namespace.is_empty());
    if let Some(namespace) = &namespace
        && !is_label(namespace)
    {
        return Err(Problem::usage(
            format!("`{}` cannot be a namespace", crate::model::human::harmless(namespace)),
            "namespaces are lower-case letters, digits and `-`, at most 63 of them",
        )
        .hint("kubectl get namespaces"));
    }
    Ok(Connection {
        namespace,
        context: args.context,
        cluster: args.cluster,
        user: args.user,
        kubeconfig: args.kubeconfig,
        server: args.server,
        token: args.token.map(Secret::new),
        impersonate: args.impersonate,
        impersonate_groups: args.impersonate_groups,
        certificate_authority: args.certificate_authority,
        client_certificate: args.client_certificate,
        client_key: args.client_key,
        tls_server_name: args.tls_server_name,
        insecure: args.insecure_skip_tls_verify,
        request_timeout: args.request_timeout.filter(|limit| !limit.is_zero()),
    })
}

fn is_label(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 63 && text.bytes().all(good) && !text.starts_with('-') && !text.ends_with('-')
}

fn emqx(args: EmqxArgs) -> Result<EmqxAccess, Problem> {
    if args.emqx_insecure && args.emqx_ca.is_some() {
        return Err(usage(
            "--emqx-insecure and --emqx-ca contradict each other",
            "one says not to verify EMQX's certificate, the other what to verify it with",
            "leave one of them out",
        ));
    }
    if let (Some(url), Some(_)) = (&args.emqx_url, &args.emqx_ca)
        && !url.tls
    {
        return Err(usage(
            "--emqx-ca is of no use",
            "--emqx-url begins with http://, where nothing is verified",
            "use https://",
        ));
    }
    Ok(EmqxAccess {
        url: args.emqx_url,
        key_file: args.api_key_file,
        ca: args.emqx_ca,
        insecure: args.emqx_insecure,
    })
}

/// A URL leads to one cluster; several would all be shown with its numbers. And where nothing is contacted it would
/// silently do nothing.
fn one_url_for_one_cluster(emqx: &EmqxAccess, verb: &Verb) -> Result<(), Problem> {
    let asks_nobody = match verb {
        Verb::Replay(_) | Verb::Demo(_) | Verb::DemoServe(_) => true,
        Verb::Plan(plan) => matches!(plan.source, PlanSource::Numbers { .. }),
        Verb::Generate(generate) => generate.line.is_some(),
        _ => false,
    };
    if asks_nobody && *emqx != EmqxAccess::default() {
        return Err(usage(
            "the flags for EMQX's own API do not fit here",
            "nothing is asked of a real EMQX",
            "leave them out",
        ));
    }
    let several = match verb {
        Verb::Status(read) | Verb::Nodes(read) => matches!(read.selection, Selection::Many(_)),
        Verb::List(list) => list.filter.all_namespaces,
        Verb::Version(version) => version.filter.all_namespaces,
        _ => false,
    };
    if several && emqx.url.is_some() {
        return Err(usage(
            "--emqx-url does not fit to several clusters",
            "one URL leads to one EMQX",
            "name one instance",
        ));
    }
    Ok(())
}

fn read(args: ReadArgs) -> Result<Read, Problem> {
    let several =
        args.select.all_namespaces || args.select.selector.is_some() || args.select.field_selector.is_some();
    let selection = match args.name {
        Some(name) if several => {
            let flag = if args.select.all_namespaces { "-A" } else { "a selector" };
            return Err(usage(
                &format!("{flag} does not go with a name"),
                "a name is one instance in one namespace",
                format!("name it alone, as in kubectl emqx status {}; or leave the name out", name.name),
            ));
        }
        Some(name) => Selection::Named(name),
        None if several => Selection::Many(filter(args.select)),
        None => Selection::Only,
    };
    Ok(Read { selection, output: args.output.output.unwrap_or_default() })
}

fn filter(args: SelectArgs) -> Filter {
    Filter { all_namespaces: args.all_namespaces, labels: args.selector, fields: args.field_selector }
}

fn version(args: VersionArgs) -> Version {
    Version { filter: filter(args.select), output: args.output.output.unwrap_or_default() }
}

fn rebalance(args: RebalanceArgs, global: &Global) -> Result<Verb, Problem> {
    let Some(verb) = args.verb else { return Ok(Verb::List(list(args.list, true))) };
    let before = &args.list;
    if before.select.all_namespaces
        || before.select.selector.is_some()
        || before.select.field_selector.is_some()
        || before.output.output.is_some()
        || before.backend.backend != BackendChoice::Auto
    {
        return Err(usage(
            "a flag stands before the verb",
            "the flags between `rebalance` and its verb are those of `rebalance list`",
            "put it behind the verb, as in kubectl emqx rebalance list -A",
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

/// EMQX's own defaults, overlaid with what was typed.
fn strategy(args: &StrategyArgs) -> Strategy {
    let default = Strategy::default();
    Strategy {
        conn_evict_rate: args.conn_evict_rate.unwrap_or(default.conn_evict_rate),
        sess_evict_rate: args.sess_evict_rate.unwrap_or(default.sess_evict_rate),
        wait_health_check_seconds: args.wait_health_check.unwrap_or(default.wait_health_check_seconds),
        wait_takeover_seconds: args.wait_takeover.unwrap_or(default.wait_takeover_seconds),
        abs_conn_threshold: args.abs_conn_threshold.unwrap_or(default.abs_conn_threshold),
        rel_conn_threshold: args.rel_conn_threshold.unwrap_or(default.rel_conn_threshold),
        abs_sess_threshold: args.abs_sess_threshold.unwrap_or(default.abs_sess_threshold),
        rel_sess_threshold: args.rel_sess_threshold.unwrap_or(default.rel_sess_threshold),
    }
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
                "--counts does not go with a name",
                "the numbers come either from a cluster or from you",
                "leave one of them out",
            ));
        }
        (Some(_), _) if args.backend.backend != BackendChoice::Auto => {
            return Err(usage(
                "--backend does not go with --counts",
                "nothing is driven from plain numbers",
                "leave --backend out",
            ));
        }
        (Some(_), _) if output == Output::Name => {
            return Err(usage(
                "-o name does not go with --counts",
                "plain numbers have no name",
                "use -o json",
            ));
        }
        (Some(counts), sessions) => numbers(counts.0, sessions.map(|sessions| sessions.0))?,
    };
    Ok(Plan {
        source,
        strategy: strategy(&args.strategy),
        reconnect_delay: args.reconnect_delay.unwrap_or(0),
        lb: args.lb,
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
    if args.backend.backend == BackendChoice::Emqx {
        return Err(usage(
            "there is no manifest for --backend emqx",
            "EMQX is told through its own API, not by an object",
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
    Ok(Generate {
        instance: args.name,
        line,
        name: args.rebalance_name,
        strategy: strategy(&args.strategy),
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

fn write(args: WriteArgs) -> Write {
    Write {
        dry_run: args.dry_run,
        field_manager: args.field_manager,
        yes: args.yes,
        reason: args.reason.filter(|reason| !reason.trim().is_empty()),
        error_unchanged: args.error_unchanged,
    }
}

fn emqx_tries_nothing(backend: BackendChoice, dry_run: DryRun) -> Result<(), Problem> {
    if backend == BackendChoice::Emqx && dry_run == DryRun::Server {
        return Err(usage(
            "--dry-run=server does not go with --backend emqx",
            "EMQX's own API cannot only try",
            "use --dry-run=client",
        ));
    }
    Ok(())
}

fn apply(args: ApplyArgs, global: &Global) -> Result<Apply, Problem> {
    let typed_strategy = args.strategy != StrategyArgs::default();
    let source = match (args.filename, args.name) {
        (Some(_), Some(name)) => {
            return Err(usage(
                "-f does not go with a name",
                "the manifest names its instance itself",
                format!("leave out either -f or {}", name.name),
            ));
        }
        (Some(_), None) if typed_strategy => {
            return Err(usage(
                "-f does not go with rates, waits and thresholds",
                "the manifest holds them itself",
                "change the manifest, or apply by name with the flags",
            ));
        }
        (Some(file), None) => ApplySource::File(manifest_file(file)?),
        (None, name) => {
            broker_has_none(name.as_ref())?;
            ApplySource::Instance(name, strategy(&args.strategy))
        }
    };
    emqx_tries_nothing(args.backend.backend, args.write.dry_run)?;
    let unknown = args.skip.skip_check.iter().find(|id| !APPLY_CHECKS.contains(&id.as_str()));
    if let Some(id) = unknown {
        let near = APPLY_CHECKS.iter().min_by_key(|known| distance(known, id)).copied().unwrap_or_default();
        return Err(usage(
            &format!("there is no check `{id}`"),
            "it could not be skipped",
            format!("did you mean {near}?"),
        ));
    }
    let write = write(args.write);
    let then = if args.watch {
        if write.dry_run != DryRun::None {
            return Err(usage(
                "--watch does not go with --dry-run",
                "a try starts nothing to follow",
                "leave one of them out",
            ));
        }
        let stream = match args.output {
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
        Then::Follow(follow(args.follow, stream, global)?)
    } else {
        let flags = [
            ("--timeout", args.follow.timeout.is_some()),
            ("--inline", args.follow.inline),
            ("--record", args.follow.record.is_some()),
        ];
        if let Some((flag, _)) = flags.iter().find(|(_, typed)| *typed) {
            return Err(usage(
                &format!("{flag} needs --watch"),
                "without it nothing is followed",
                format!("add --watch to {flag}"),
            ));
        }
        match args.output {
            None => Then::Leave(Output::Text),
            Some(ApplyForm::Document(output)) => Then::Leave(output),
            Some(ApplyForm::Jsonl) => {
                return Err(usage(
                    "-o jsonl needs --watch",
                    "without it there is one document",
                    "add --watch, or use -o json",
                ));
            }
        }
    };
    Ok(Apply { source, backend: args.backend.backend, write, skip: args.skip.skip_check, then })
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

fn stream(form: Option<StreamForm>, verb: &str) -> Result<Stream, Problem> {
    match form {
        None | Some(StreamForm::Text) => Ok(Stream::Text),
        Some(StreamForm::Jsonl) => Ok(Stream::Jsonl),
        Some(StreamForm::Json) => Err(usage(
            &format!("`{verb}` has no -o json"),
            "what goes on for a while cannot be one document",
            "use -o jsonl, a JSON document per line",
        )),
    }
}

fn follow(args: FollowArgs, stream: Stream, global: &Global) -> Result<Follow, Problem> {
    if args.inline && global.look.plain {
        return Err(usage(
            "--inline and --plain contradict each other",
            "one redraws a few lines in place, the other never does",
            "leave one of them out",
        ));
    }
    if args.inline && stream == Stream::Jsonl {
        return Err(usage(
            "--inline does not go with -o jsonl",
            "the one is for people, the other for programs",
            "leave one of them out",
        ));
    }
    Ok(Follow { timeout: args.timeout, stream, inline: args.inline, record: args.record })
}

fn watch(args: WatchArgs, global: &Global) -> Result<Watch, Problem> {
    let stream = stream(args.output, "rebalance watch")?;
    Ok(Watch {
        operation: args.name,
        backend: args.backend.backend,
        follow: follow(args.follow, stream, global)?,
    })
}

fn stop(args: StopArgs) -> Result<Stop, Problem> {
    emqx_tries_nothing(args.backend.backend, args.write.dry_run)?;
    Ok(Stop {
        operation: args.name,
        backend: args.backend.backend,
        write: write(args.write),
        skip: args.skip.skip_check,
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

fn replay(args: ReplayArgs) -> Result<Replay, Problem> {
    Ok(Replay { file: args.file, stream: stream(args.output, "replay")?, speed: args.speed })
}

fn demo(args: DemoArgs) -> Result<Verb, Problem> {
    let Some(DemoVerbArgs::Serve(serve)) = args.verb else {
        return Ok(Verb::Demo(Demo { scenario: args.scenario, speed: args.speed.unwrap_or(DEMO_SPEED) }));
    };
    if let Some(scenario) = args.scenario {
        return Err(usage(
            "the scenario stands before `serve`",
            "it belongs behind it",
            format!("kubectl emqx demo serve {scenario}"),
        ));
    }
    Ok(Verb::DemoServe(demo_serve(serve, args.speed)?))
}

fn demo_serve(args: ServeArgs, before: Option<f64>) -> Result<DemoServe, Problem> {
    let scenario = match (args.scenario, args.file) {
        (Some(name), Some(_)) => {
            return Err(usage(
                "--file does not go with a scenario's name",
                "one cluster plays one scenario",
                format!("leave out either --file or {name}"),
            ));
        }
        (name, None) => Scenario::Named(name),
        (None, Some(file)) => Scenario::File(file),
    };
    Ok(DemoServe {
        scenario,
        speed: args.speed.or(before).unwrap_or(1.0),
        kubeconfig_out: args.kubeconfig_out,
    })
}

/// How many letters differ between two names (Levenshtein), to find the one that was meant.
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
