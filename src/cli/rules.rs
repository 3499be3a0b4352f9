//! Arguments → intent: every rule about more than one flag, and every default
//! (those of `rebalance` and `upgrade` are in [`super::rules_rebalance`] and [`super::rules_upgrade`]).

use super::args::{
    CompletionArgs, CompletionVerbArgs, DemoArgs, DemoVerbArgs, ReadArgs, ReplayArgs, Root, ServeArgs,
    VerbArgs, VersionArgs, ViewArgs,
};
use super::global::{ConnectArgs, EmqxArgs, GlobalArgs};
use super::groups::{LimitArgs, SelectArgs};
use super::intent::{
    Check, CompletionInstall, Demo, DemoServe, Global, HistoryQuery, InstanceName, Intent, Log, Look,
    PlanSource, ReadOptions, Replay, ReportQuery, Scenario, Selection, Verb, Version, View,
};
use super::rules_drain::drain;
use super::rules_evacuate::evacuate;
use super::rules_rebalance::rebalance;
use super::rules_scale::scale;
use super::rules_shared::{filter, follow, stream, usage};
use super::rules_upgrade::upgrade;
use crate::error::Problem;
use crate::model::access::{EmqxAccess, KubernetesFlags, Secret};

/// At this speed the documented rebalance takes about twenty seconds.
const DEMO_SPEED: f64 = 6.0;

/// The intent. `None` when no command was given.
pub(super) fn intent(root: Root) -> Result<Option<Intent>, Problem> {
    let global = global(root.global)?;
    let Some(verb) = root.verb else { return Ok(None) };
    let verb = match verb {
        VerbArgs::Status(args) => Verb::Status(read(args)?),
        VerbArgs::Nodes(args) => Verb::Nodes(read(args)?),
        VerbArgs::Watch(args) => Verb::View(view(args, &global)?),
        VerbArgs::Rebalance(args) => rebalance(args, &global)?,
        VerbArgs::Evacuate(args) => Verb::Evacuate(evacuate(args, &global)?),
        VerbArgs::Drain(args) => Verb::Drain(drain(args)?),
        VerbArgs::Scale(args) => Verb::Scale(scale(args)?),
        VerbArgs::Upgrade(args) => Verb::Upgrade(upgrade(args, &global)?),
        VerbArgs::Replay(args) => Verb::Replay(replay(args)?),
        VerbArgs::Demo(args) => demo(args)?,
        VerbArgs::Check(args) => Verb::Check(Check {
            instance: args.name,
            purpose: args.purpose,
            output: args.output.output.unwrap_or_default(),
        }),
        VerbArgs::History(args) => Verb::History(history(args)?),
        VerbArgs::Report(args) => Verb::Report(report(args)?),
        VerbArgs::Version(args) => Verb::Version(version(args)),
        VerbArgs::Completion(args) => completion(args)?,
    };
    one_url_for_one_cluster(&global.emqx, &verb)?;
    Ok(Some(Intent { global, verb }))
}

fn global(args: GlobalArgs) -> Result<Global, Problem> {
    Ok(Global {
        connect: connection(args.connect)?,
        emqx: emqx(args.emqx)?,
        look: Look { color: args.look.color, plain: args.look.plain, ascii: args.look.ascii },
        log: Log { level: args.look.level, file: args.look.log_file },
        folder: None,
        records: false,
    })
}

fn connection(args: ConnectArgs) -> Result<KubernetesFlags, Problem> {
    // As for kubectl, an empty flag counts as not given.
    let set = |text: Option<String>| text.filter(|text| !text.is_empty());
    let file = |path: Option<std::path::PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
    let flags = KubernetesFlags {
        namespace: set(args.namespace),
        context: set(args.context),
        cluster: set(args.cluster),
        user: set(args.user),
        kubeconfig: file(args.kubeconfig),
        server: set(args.server),
        token: set(args.token).map(Secret::new),
        impersonate: set(args.impersonate),
        impersonate_groups: args.impersonate_groups.into_iter().filter(|it| !it.is_empty()).collect(),
        certificate_authority: file(args.certificate_authority),
        client_certificate: file(args.client_certificate),
        client_key: file(args.client_key),
        tls_server_name: set(args.tls_server_name),
        insecure: args.insecure_skip_tls_verify,
        request_timeout: args.request_timeout.filter(|limit| !limit.is_zero()),
        silent: false,
    };
    if flags.impersonate.is_none() && !flags.impersonate_groups.is_empty() {
        return Err(usage(
            "--as-group cannot stand alone",
            "a group is impersonated together with a user",
            "add --as USER",
        ));
    }
    if flags.insecure && flags.certificate_authority.is_some() {
        return Err(usage(
            "--insecure-skip-tls-verify and --certificate-authority contradict each other",
            "the first disables verification, the second configures it",
            "leave one of them out",
        ));
    }
    if let Some(namespace) = &flags.namespace
        && !is_label(namespace)
    {
        return Err(Problem::usage(
            format!("`{}` cannot be a namespace", crate::model::human::harmless(namespace)),
            "namespaces are lower-case letters, digits and `-`, at most 63 of them",
        )
        .hint("kubectl get namespaces"));
    }
    Ok(flags)
}

fn is_label(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 63 && text.bytes().all(good) && !text.starts_with('-') && !text.ends_with('-')
}

fn emqx(args: EmqxArgs) -> Result<EmqxAccess, Problem> {
    if args.emqx_insecure && args.emqx_ca.is_some() {
        return Err(usage(
            "--emqx-insecure and --emqx-ca contradict each other",
            "the first disables the verification of EMQX's certificate, the second configures it",
            "leave one of them out",
        ));
    }
    if args.emqx_ca.is_some() && !args.emqx_url.is_empty() && args.emqx_url.iter().all(|url| !url.tls) {
        return Err(usage(
            "--emqx-ca is of no use",
            "--emqx-url begins with http://, where nothing is verified",
            "use https://",
        ));
    }
    Ok(EmqxAccess {
        urls: args.emqx_url,
        key_file: args.api_key_file,
        ca: args.emqx_ca,
        insecure: args.emqx_insecure,
    })
}

/// A URL leads to one cluster; several would all be shown with its numbers. And where nothing is contacted it would
/// silently do nothing.
fn one_url_for_one_cluster(emqx: &EmqxAccess, verb: &Verb) -> Result<(), Problem> {
    let asks_no_cluster = match verb {
        Verb::Replay(_)
        | Verb::Demo(_)
        | Verb::DemoServe(_)
        | Verb::Completion(_)
        | Verb::CompletionInstall(_) => true,
        Verb::Plan(plan) => matches!(plan.source, PlanSource::Numbers { .. }),
        Verb::Generate(generate) => generate.line.is_some(),
        Verb::Report(report) => report.from.is_some(),
        _ => false,
    };
    if asks_no_cluster && *emqx != EmqxAccess::default() {
        return Err(usage(
            "the flags for EMQX's own API do not fit here",
            "nothing is asked of a real EMQX",
            "leave them out",
        ));
    }
    let several = match verb {
        Verb::Status(read) | Verb::Nodes(read) => matches!(read.selection, Selection::Many(_)),
        Verb::View(view) => matches!(view.selection, Selection::Many(_)),
        Verb::List(list) => list.filter.all_namespaces,
        Verb::Evacuate(super::intent::evacuate::Evacuate::Show(show)) => show.filter.all_namespaces,
        Verb::Drain(drain) => drain.filter.all_namespaces,
        Verb::Version(version) => version.filter.all_namespaces,
        Verb::History(history) => history.all_namespaces,
        Verb::Upgrade(super::intent::upgrade::Upgrade::List(list)) => list.filter.all_namespaces,
        _ => false,
    };
    if several && !emqx.urls.is_empty() {
        return Err(usage(
            "--emqx-url does not fit to several clusters",
            "one URL is the address of one EMQX",
            "name one instance",
        ));
    }
    Ok(())
}

fn read(args: ReadArgs) -> Result<ReadOptions, Problem> {
    let selection = selection(args.name, args.select, "status")?;
    Ok(ReadOptions { selection, output: args.output.output.unwrap_or_default() })
}

fn selection(name: Option<InstanceName>, select: SelectArgs, verb: &str) -> Result<Selection, Problem> {
    let several = select.all_namespaces || select.selector.is_some() || select.field_selector.is_some();
    Ok(match name {
        Some(name) if several => {
            let flag = if select.all_namespaces { "-A" } else { "a selector" };
            return Err(usage(
                &format!("{flag} cannot be combined with a name"),
                "a name is one instance in one namespace",
                format!("name it alone, as in kubectl emqx {verb} {}; or leave the name out", name.name),
            ));
        }
        Some(name) => Selection::Named(name),
        None if several => Selection::Many(filter(select)),
        None => Selection::Only,
    })
}

fn view(args: ViewArgs, global: &Global) -> Result<View, Problem> {
    if args.follow.full && (args.output.is_some() || global.look.plain) {
        return Err(usage(
            "--full cannot be combined with -o or --plain",
            "the full screen is for people, and redraws itself",
            "leave one of them out",
        ));
    }
    let lines = args.output.is_some();
    let stream = stream(args.output, "watch")?;
    let selection = selection(args.name, args.select, "watch")?;
    let mut follow = follow(args.follow, LimitArgs::default(), stream, global)?;
    follow.inline |= lines;
    Ok(View { selection, follow })
}

fn version(args: VersionArgs) -> Version {
    Version { filter: filter(args.select), output: args.output.output.unwrap_or_default() }
}

fn report(args: super::args_report::ReportArgs) -> Result<ReportQuery, Problem> {
    if let (Some(name), Some(_)) = (&args.name, &args.from) {
        return Err(usage(
            "--from cannot be combined with a name",
            "a recording is reported on as a whole",
            format!("leave out either --from or {}", crate::model::human::harmless(name)),
        ));
    }
    Ok(ReportQuery { name: args.name, from: args.from, form: args.output, redact: args.redact })
}

fn history(args: super::args_history::HistoryArgs) -> Result<HistoryQuery, Problem> {
    if args.all_namespaces && args.name.is_some() {
        return Err(usage(
            "-A cannot be combined with a name",
            "a name is one instance in one namespace",
            "leave one of them out",
        ));
    }
    let output = args.output.output.unwrap_or_default();
    Ok(HistoryQuery { instance: args.name, all_namespaces: args.all_namespaces, output })
}

fn replay(args: ReplayArgs) -> Result<Replay, Problem> {
    let lines = args.output.is_some();
    let stream = stream(args.output, "replay")?;
    Ok(Replay { file: args.file, stream, lines, speed: args.speed, no_mouse: args.no_mouse })
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
                "--file cannot be combined with a scenario's name",
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
        force: args.force,
    })
}

fn completion(args: CompletionArgs) -> Result<Verb, Problem> {
    match (args.shell, args.verb) {
        (None, Some(CompletionVerbArgs::Install(install))) => {
            Ok(Verb::CompletionInstall(CompletionInstall { folder: install.dir, force: install.force }))
        }
        (Some(shell), None) => Ok(Verb::Completion(shell)),
        (Some(_), Some(_)) => Err(usage(
            "a shell cannot be combined with `install`",
            "kubectl runs one helper for every shell",
            "kubectl emqx completion install",
        )),
        (None, None) => Err(usage(
            "completion of which shell",
            "it is one of bash, zsh, fish, powershell",
            "kubectl emqx completion bash; for kubectl itself: kubectl emqx completion install",
        )),
    }
}
