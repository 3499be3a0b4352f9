//! Connects the modules: parses the arguments, opens the clients, dispatches to a command, and maps its outcome to an exit
//! code.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use serde_json::Value;

use crate::cli::intent::upgrade::Upgrade;
use crate::cli::intent::{EmqxAccess, Follow, KubernetesFlags, Look, ManifestFile, Then, Verb};
use crate::cli::{self, Global, Intent, Parsed};
use crate::commands::replay::ReadableMoments;
use crate::commands::{self, CommandContext, Interrupt, Outcome};
use crate::emqx::{EmqxBrokers, KeyFile, check_access};
use crate::error::{Cause, Exit, Problem};
use crate::k8s::{Cluster, Connect, Relay};
use crate::model::form::Output;
use crate::model::image::Image;
use crate::model::{Fact, InstanceId, Strategy};
use crate::output::Printer;
use crate::plan::rebalance::calibration::{Calibration, Measurement};
use crate::ports::history::StateFolder;
use crate::ports::{Brokers, Clock, Credentials, Kubernetes, RecordingSink, Translate, Tunnel};
use crate::replay::{Recorder, Recording};
use crate::state_folder::{self, Folder};
use emqx_sim as sim;
use user_files as files;

mod evacuate;
mod flags;
mod history;
mod report;
mod screen;
mod shell;
mod standalone;
mod upgrade;

/// Runs the program: the process's arguments and environment in, its exit code out.
pub fn run() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    let environment = |name: &str| std::env::var(name).ok();
    let code = match cli::parse(std::env::args_os(), environment) {
        Ok(intent) => start(intent, &environment),
        Err(Parsed::Print(text)) => {
            Printer::new(&Look::default(), &environment).print(&text);
            Exit::Reached
        }
        Err(Parsed::Wrong(problem)) => {
            Printer::new(&Look::default(), &environment).problem(&problem);
            problem.exit
        }
    };
    ExitCode::from(code.code())
}

fn start(intent: Intent, environment: &dyn Fn(&str) -> Option<String>) -> Exit {
    let printer = Printer::new(&intent.global.look, environment).repeating(flags::chosen(&intent.global));
    let printer = Rc::new(printer);
    let force = match &intent.verb {
        Verb::DemoServe(serve) => serve.force,
        Verb::CompletionInstall(install) => install.force,
        _ => false,
    };
    if let Err(problem) = logging(&intent.global.log, force) {
        printer.problem(&problem);
        return problem.exit;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            printer.problem(&Problem::new("cannot start", error.to_string()));
            return Exit::Error;
        }
    };
    let outcome = runtime.block_on(verb(intent, printer.clone(), environment));
    // Do not wait for a login command or a name look-up that may still run in another thread.
    runtime.shutdown_background();
    let exit = match outcome {
        Ok(Exit::Reached) if RECORDING_BROKEN.load(Ordering::Relaxed) => Exit::Error,
        Ok(exit) => exit,
        Err(problem) => {
            printer.problem(&problem);
            problem.exit
        }
    };
    match printer.finish() {
        Ok(()) => exit,
        Err(problem) => {
            printer.problem(&problem);
            problem.exit
        }
    }
}

async fn verb(intent: Intent, printer: Rc<Printer>, environment: &dyn Fn(&str) -> Option<String>) -> Outcome {
    let Intent { mut global, verb } = intent;
    let keeps = verb.keeps();
    global.folder = if keeps.history { state_folder::path(environment) } else { None };
    global.records = keeps.recording;
    match verb {
        Verb::Plan(plan) => {
            let calibration = calibration(&plan.calibrate, &printer)?;
            if let Some(numbers) = commands::plan::numbers(&plan, calibration) {
                printer.plan(&numbers, None, plan.output, None);
                return Ok(commands::plan::exit(numbers.decision));
            }
            commands::plan::run(&context(&global, printer, None).await?, &plan, calibration).await
        }
        Verb::Generate(generate) => {
            let namespace = global.connect.namespace.as_deref();
            if let Some(manifest) = commands::generate::offline(&generate, namespace, now()) {
                let manifest = manifest?;
                commands::generate::report_offline(&printer, &generate);
                printer.manifest(&manifest, generate.output);
                return Ok(Exit::Reached);
            }
            {
                let context =
                    context_in_kubernetes(&global, printer, None, crate::model::FIELD_MANAGER).await?;
                commands::generate::run(&context, &generate).await
            }
        }
        Verb::Status(read) => commands::read::show(&context(&global, printer, None).await?, &read).await,
        Verb::Nodes(read) => commands::read::nodes(&context(&global, printer, None).await?, &read).await,
        Verb::Check(check) => commands::check::run(&context(&global, printer, None).await?, &check).await,
        Verb::Report(report) => Box::pin(report::run(&global, printer, &report)).await,
        Verb::History(history) => Box::pin(history::run(&global, printer, &history)).await,
        Verb::Version(version) => {
            commands::version::run(&context(&global, printer, None).await?, &version).await
        }
        Verb::View(view) => {
            let recordings = screen::Recordings::of(&view.follow)?;
            let context = context(&global, printer, Some(recordings.clone())).await?;
            if view.follow.inline || !screen::fits(&context.printer) {
                return commands::watch_plain::run(&context, &view.selection, &view.follow).await;
            }
            let viewed = screen::viewed(&context, &view.selection).await?;
            screen::live(&context, viewed, &view.follow, Strategy::default(), recordings).await
        }
        Verb::Apply(mut apply) => {
            let full = match &apply.then {
                Then::Follow(follow) if follow.full && screen::fits(&printer) => Some(follow.clone()),
                _ => None,
            };
            if let Some(follow) = full {
                apply.then = Then::Leave(Output::Text);
                let file = match &apply.source {
                    crate::cli::intent::ApplySource::File(file) => Some(read_manifest(file)?),
                    crate::cli::intent::ApplySource::Instance(..) => None,
                };
                let recordings = screen::Recordings::of(&follow)?;
                let tap: Rc<dyn RecordingSink> = recordings.clone();
                let context = context_as(&global, printer, Some(tap), &apply.write.field_manager).await?;
                let exit = commands::apply::run(&context, &apply, file).await?.exit;
                return match screen::applied(&context, &apply).await? {
                    Some(viewed) => {
                        screen::live(&context, viewed, &follow, Strategy::default(), recordings).await
                    }
                    None => Ok(exit),
                };
            }
            let file = match &apply.source {
                crate::cli::intent::ApplySource::File(file) => Some(read_manifest(file)?),
                crate::cli::intent::ApplySource::Instance(..) => None,
            };
            let record = match &apply.then {
                Then::Follow(follow) => recorder(follow)?,
                Then::Leave(_) => None,
            };
            let context = context_as(&global, printer, record, &apply.write.field_manager).await?;
            Ok(commands::apply::run(&context, &apply, file).await?.exit)
        }
        Verb::Watch(watch) if watch.follow.full && !watch.follow.inline && screen::fits(&printer) => {
            let recordings = screen::Recordings::of(&watch.follow)?;
            let context = context(&global, printer, Some(recordings.clone())).await?;
            match screen::followed(&context, watch.operation.as_ref()).await? {
                Some(viewed) => {
                    screen::live(&context, viewed, &watch.follow, Strategy::default(), recordings).await
                }
                // The recording has ended: its verdict is printed.
                None => commands::watch::run(&context, &watch).await,
            }
        }
        Verb::Watch(watch) => {
            let record = recorder(&watch.follow)?;
            commands::watch::run(&context(&global, printer, record).await?, &watch).await
        }
        Verb::Stop(stop) => {
            let context = context_as(&global, printer, None, &stop.write.field_manager).await?;
            Ok(commands::stop::run(&context, &stop).await?.exit)
        }
        Verb::List(list) => commands::list::run(&context(&global, printer, None).await?, &list).await,
        Verb::Prune(prune) => {
            let context = context_in_kubernetes(&global, printer, None, &prune.write.field_manager).await?;
            commands::prune::run(&context, &prune).await
        }
        Verb::Evacuate(evacuate) => evacuate::run(&global, printer, evacuate).await,
        Verb::Drain(drain) => {
            let context =
                context_in_kubernetes(&global, printer, None, &drain.removal.write.field_manager).await?;
            commands::drain::run(&context, &drain).await
        }
        Verb::Scale(scale) => {
            let context =
                context_in_kubernetes(&global, printer, None, &scale.removal.write.field_manager).await?;
            commands::scale::run(&context, &scale).await
        }
        Verb::Upgrade(upgrade) => Box::pin(upgrade::run(&global, printer, upgrade)).await,
        Verb::Replay(replay) if !replay.lines && screen::fits(&printer) => {
            let interrupt = Box::pin(interrupted());
            let speed = replay.speed.unwrap_or(REPLAY_SPEED);
            screen::recorded(&printer, replay.file, speed, replay.no_mouse, interrupt).await
        }
        Verb::Replay(replay) => {
            let recording = Recording::open(&replay.file, Rc::new(Wire))?;
            commands::replay::run(&printer, replay.stream, recording, replay.speed).await
        }
        Verb::Demo(demo) => {
            let scenario = scenario(demo.scenario.as_deref())?;
            let image = scenario.upgrade_to.as_deref().map(Image::parse).transpose()?;
            let running = simulated(scenario, demo.speed, None).await?;
            let mut global = global;
            global.connect = KubernetesFlags {
                kubeconfig: Some(running.kubeconfig().to_owned()),
                ..KubernetesFlags::default()
            };
            global.emqx = EmqxAccess::default();
            let outcome = match (image, screen::fits(&printer)) {
                (Some(image), true) => {
                    let apply = Upgrade::Apply(commands::demo::upgrade(&image));
                    Box::pin(upgrade::run(&global, printer, apply)).await
                }
                (Some(image), false) => {
                    let context = context(&global, printer, None).await?;
                    Box::pin(commands::demo::upgraded(&context, &image)).await
                }
                (None, true) => {
                    let context = context(&global, printer, None).await?;
                    screen::demo(&context, commands::demo::documented()).await
                }
                (None, false) => {
                    let context = context(&global, printer, None).await?;
                    Box::pin(commands::demo::run(&context)).await
                }
            };
            running.shutdown().await;
            outcome.map_err(commands::demo::interrupted)
        }
        Verb::Completion(shell) => {
            printer.print(cli::script(shell));
            Ok(Exit::Reached)
        }
        Verb::CompletionInstall(install) => shell::install(&printer, install, environment),
        Verb::Complete(completing) => Ok(shell::complete(&printer, global, &completing)),
        Verb::DemoServe(serve) => {
            let scenario = match &serve.scenario {
                crate::cli::intent::Scenario::Named(name) => scenario(name.as_deref())?,
                crate::cli::intent::Scenario::File(path) => {
                    let text =
                        read_text(path, "kubectl emqx demo serve without --file plays one that is built in")?;
                    sim::Scenario::from_yaml(&text).map_err(|error| {
                        Problem::new(format!("cannot use {}", path.display()), error.to_string())
                    })?
                }
            };
            if let Some(path) = serve.kubeconfig_out.as_ref().filter(|_| !serve.force) {
                foreign(path, sim::KUBECONFIG_BEGINS.as_bytes(), "a kubeconfig of the demo").map_err(
                    |why| {
                        Problem::new(format!("cannot write the kubeconfig {}", path.display()), why).hint(
                            "choose another name for --kubeconfig-out, or overwrite the file with --force",
                        )
                    },
                )?;
            }
            let running = simulated(scenario, serve.speed, serve.kubeconfig_out).await?;
            printer.line(&format!("export KUBECONFIG={}", running.kubeconfig().display()));
            interrupted().await;
            running.shutdown().await;
            Ok(Exit::Reached)
        }
    }
}

/// The measurements of past rebalances in recordings; `None` without a recording.
fn calibration(files: &[PathBuf], printer: &Printer) -> Result<Option<Calibration>, Problem> {
    if files.is_empty() {
        return Ok(None);
    }
    let mut measurement = Measurement::default();
    for file in files {
        let mut moments = ReadableMoments::new(printer, Recording::open(file, Rc::new(Wire))?);
        for moment in moments.by_ref() {
            measurement.take(moment.at, moment.facts);
        }
        moments.finish()?;
        measurement.finish();
    }
    let Some(calibration) = measurement.calibration() else {
        return Err(Problem::new(
            "cannot calibrate the plan",
            "no rebalance in these recordings evicts clients for 5 rounds or more",
        )
        .hint("kubectl emqx rebalance watch --record FILE records a rebalance"));
    };
    printer.talk(&calibration.text());
    Ok(Some(calibration))
}

/// The default speed of a recording on the full screen.
const REPLAY_SPEED: f64 = 2.0;

/// Without a cluster the time of day is this machine's.
fn now() -> Timestamp {
    Timestamp::now()
}

/// The context of a command.
async fn context(
    global: &Global,
    printer: Rc<Printer>,
    tap: Option<Rc<dyn RecordingSink>>,
) -> Result<CommandContext, Problem> {
    context_as(global, printer, tap, crate::model::FIELD_MANAGER).await
}

/// The context of a command that writes with a field manager.
async fn context_as(
    global: &Global,
    printer: Rc<Printer>,
    tap: Option<Rc<dyn RecordingSink>>,
    manager: &str,
) -> Result<CommandContext, Problem> {
    connected(global, printer, tap, manager, true).await
}

/// The context of a command that changes Kubernetes objects: an address of EMQX is not sufficient.
async fn context_in_kubernetes(
    global: &Global,
    printer: Rc<Printer>,
    tap: Option<Rc<dyn RecordingSink>>,
    manager: &str,
) -> Result<CommandContext, Problem> {
    connected(global, printer, tap, manager, false).await
}

async fn connected(
    global: &Global,
    printer: Rc<Printer>,
    tap: Option<Rc<dyn RecordingSink>>,
    manager: &str,
    standalone: bool,
) -> Result<CommandContext, Problem> {
    let EmqxAccess { urls, ca, insecure, key_file } = &global.emqx;
    let (tap, own) = history::recorded(global, tap);
    for warning in check_access(urls, key_file.as_deref(), ca.as_deref())? {
        printer.notice(&warning);
    }
    // Without --api-key-file EMQX can be queried only with the operator's Secret, which is in Kubernetes.
    let standalone = standalone && !urls.is_empty() && key_file.is_some();
    let cluster = match Cluster::connect(&connect(&global.connect)).await {
        Ok(cluster) => {
            for warning in cluster.warnings() {
                printer.notice(warning);
            }
            let cluster = cluster.with_field_manager(manager);
            Some(match &tap {
                Some(tap) => cluster.with_tap(tap.clone()),
                None => cluster,
            })
        }
        Err(problem) if standalone && !chosen(&global.connect) => {
            if problem.cause != Cause::NoKubeconfig {
                printer.notice(&format!("Kubernetes is not used: {problem}"));
            }
            None
        }
        Err(problem) if !urls.is_empty() && key_file.is_none() => {
            return Err(problem.hint("add --api-key-file FILE: --emqx-url then works without Kubernetes"));
        }
        Err(problem) => return Err(problem),
    };
    let clock: Rc<dyn Clock> = match &cluster {
        Some(cluster) => Rc::new(cluster.clock()),
        None => Rc::new(standalone::Local),
    };
    let credentials: Rc<dyn Credentials> = match (key_file, &cluster) {
        (Some(path), _) => Rc::new(KeyFile::open(path)?),
        (None, Some(cluster)) => Rc::new(cluster.clone()),
        (None, None) => return Err(Problem::usage("--emqx-url needs --api-key-file", "")),
    };
    let mut brokers = match &cluster {
        Some(cluster) if urls.is_empty() => {
            let tunnel: Rc<dyn Tunnel> = Rc::new(cluster.clone().expecting_tunnels());
            EmqxBrokers::through(tunnel, credentials, clock.clone(), ca.clone(), *insecure)
        }
        _ => EmqxBrokers::at(urls.clone(), credentials, clock.clone(), ca.clone(), *insecure),
    };
    if let Some(limit) = global.connect.request_timeout {
        brokers = brokers.with_time_limit(limit);
    }
    if let Some(tap) = &tap {
        brokers = brokers.with_tap(Rc::clone(tap));
    }
    let brokers: Rc<dyn Brokers> = Rc::new(brokers);
    let context = cluster.as_ref().and_then(|cluster| cluster.context().map(str::to_owned));
    let namespace = cluster.as_ref().map(|cluster| cluster.namespace().to_owned()).unwrap_or_default();
    let server = cluster.as_ref().map(|cluster| cluster.server().to_owned());
    let folder = history::folder(global, server.as_deref(), own);
    let kubernetes: Rc<dyn Kubernetes> = match cluster {
        Some(cluster) if !standalone => Rc::new(cluster),
        cluster => Rc::new(standalone::Standalone::new(cluster, brokers.clone(), clock.clone())),
    };
    Ok(CommandContext {
        context,
        server,
        namespace,
        kubernetes,
        brokers,
        clock,
        interactive: std::io::stdin().is_terminal(),
        printer,
        notices: commands::Notices::Printed,
        tap,
        folder,
        interrupt: Rc::new(interrupted),
    })
}

/// Whether a cluster was named on the command line: then it must exist.
fn chosen(flags: &KubernetesFlags) -> bool {
    flags.kubeconfig.is_some()
        || flags.context.is_some()
        || flags.cluster.is_some()
        || flags.user.is_some()
        || flags.server.is_some()
}

fn connect(flags: &KubernetesFlags) -> Connect {
    Connect {
        kubeconfig: flags.kubeconfig.clone(),
        context: flags.context.clone(),
        cluster: flags.cluster.clone(),
        user: flags.user.clone(),
        server: flags.server.clone(),
        token: flags.token.as_ref().map(|token| token.reveal().to_owned()),
        impersonate: flags.impersonate.clone(),
        impersonate_groups: flags.impersonate_groups.clone(),
        certificate_authority: flags.certificate_authority.clone(),
        client_certificate: flags.client_certificate.clone(),
        client_key: flags.client_key.clone(),
        tls_server_name: flags.tls_server_name.clone(),
        insecure_skip_tls_verify: flags.insecure,
        request_timeout: flags.request_timeout,
        namespace: flags.namespace.clone(),
        silent: flags.silent,
        terminal: std::io::stdin().is_terminal(),
        relay: Relay(std::sync::Arc::new(|bytes| {
            // Ignore write errors of stderr: they cannot be reported.
            let _ = std::io::Write::write_all(&mut screen::Held, bytes);
        })),
    }
}

/// Whether a recording could not be written to its end: the process then exits with 1, unless it exits with a
/// more severe code.
static RECORDING_BROKEN: AtomicBool = AtomicBool::new(false);

/// Warns once when a recording can no longer be written, and stores that for the exit code.
fn broken(path: &std::path::Path) -> Box<dyn Fn(&str)> {
    let path = path.display().to_string();
    Box::new(move |why| {
        RECORDING_BROKEN.store(true, Ordering::Relaxed);
        let text = format!("notice: the recording {path} ends here: {why}\n");
        // Ignore write errors of stderr: they cannot be reported.
        let _ = std::io::Write::write_all(&mut screen::Held, text.as_bytes());
    })
}

fn recorder(follow: &Follow) -> Result<Option<Rc<dyn RecordingSink>>, Problem> {
    let Some(path) = &follow.record else { return Ok(None) };
    Ok(Some(Rc::new(Recorder::create(path)?.on_failure(broken(path)))))
}

fn read_text(path: &std::path::Path, hint: &str) -> Result<String, Problem> {
    files::read_text(path).map_err(|error| {
        Problem::new(format!("cannot read {}", path.display()), error.to_string()).hint(hint)
    })
}

fn read_manifest(file: &ManifestFile) -> Result<(String, String), Problem> {
    match file {
        ManifestFile::Path(path) => {
            let hint = "kubectl emqx rebalance generate NAME prints a manifest that can be used";
            Ok((path.display().to_string(), read_text(path, hint)?))
        }
        ManifestFile::Stdin => files::read_text_from(std::io::stdin())
            .map(|text| ("stdin".to_owned(), text))
            .map_err(|error| Problem::new("cannot read stdin", error.to_string())),
    }
}

fn scenario(name: Option<&str>) -> Result<sim::Scenario, Problem> {
    sim::Scenario::built_in(name.unwrap_or("documented"))
        .map_err(|error| Problem::usage(error.to_string(), "").hint("kubectl emqx demo plays `documented`"))
}

/// The hint where a file cannot be created.
const WRITABLE: &str = "choose a folder that is there and that you may write to";

async fn simulated(
    scenario: sim::Scenario,
    speed: f64,
    kubeconfig_out: Option<std::path::PathBuf>,
) -> Result<sim::Running, Problem> {
    sim::serve_privately(sim::Options { scenario, speed, kubeconfig_out })
        .await
        .map_err(|error| Problem::new("cannot start the simulated cluster", error.to_string()).hint(WRITABLE))
}

/// Resolves on Ctrl-C, and on SIGTERM and SIGHUP on Unix. The handlers are installed by the call, not by the first wait.
fn interrupted() -> Interrupt {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let mut signals: Vec<_> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
        Box::pin(async move {
            if signals.is_empty() {
                return std::future::pending().await;
            }
            futures::future::select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
        })
    }
    #[cfg(not(unix))]
    Box::pin(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
}

/// Logs to stderr, or into a file; nothing without `-v`.
fn logging(log: &crate::cli::intent::Log, force: bool) -> Result<(), Problem> {
    use crate::cli::intent::Level;
    use tracing_subscriber::filter::LevelFilter;
    let level = match log.level {
        None if log.file.is_none() => return Ok(()),
        None | Some(Level::Info) => LevelFilter::INFO,
        Some(Level::Error) => LevelFilter::ERROR,
        Some(Level::Warn) => LevelFilter::WARN,
        Some(Level::Debug) => LevelFilter::DEBUG,
        Some(Level::Trace) => LevelFilter::TRACE,
    };
    // Ignore write errors of the log (closed pipe); the default would panic.
    let builder = tracing_subscriber::fmt().with_max_level(level).with_ansi(false).log_internal_errors(false);
    match &log.file {
        None => builder.with_writer(screen::Held::default).init(),
        Some(path) => {
            let file = open_log(path, force)?;
            builder.with_writer(std::sync::Mutex::new(file)).init();
        }
    }
    Ok(())
}

/// The first line of a log of this program: only such a file is overwritten.
const LOG_BEGINS: &[u8] = b"# log of kubectl emqx\n";

/// Why a file may not be overwritten: it exists, is not empty, and does not begin as this program writes it.
fn foreign(path: &std::path::Path, begins: &[u8], what: &str) -> Result<(), String> {
    if path.is_file() && !files::begins_with(path, begins) {
        return Err(format!("it exists and is not {what}"));
    }
    Ok(())
}

fn open_log(path: &std::path::Path, force: bool) -> Result<std::fs::File, Problem> {
    let what = || format!("cannot write the log file {}", path.display());
    if !force {
        foreign(path, LOG_BEGINS, "a log of kubectl emqx").map_err(|why| {
            Problem::new(what(), why).hint("choose another name for --log-file, or remove the file")
        })?;
    }
    let opened = files::open_private(path, true).and_then(|mut file| {
        std::io::Write::write_all(&mut file, LOG_BEGINS)?;
        Ok(file)
    });
    opened.map_err(|error| Problem::new(what(), error.to_string()).hint(WRITABLE))
}

/// Converts recordings to facts with the wire modules of both clients.
pub struct Wire;

impl Translate for Wire {
    fn kubernetes(&self, at: Timestamp, event: &str, object: &Value) -> Vec<Fact> {
        crate::k8s::wire::facts(at, event, object)
    }

    fn emqx(&self, at: Timestamp, instance: &InstanceId, path: &str, status: u16, body: &Value) -> Vec<Fact> {
        crate::emqx::wire::facts(at, instance, path, status, body)
    }

    fn strategy(&self, request: &Value) -> Option<Strategy> {
        crate::emqx::wire::strategy(request)
    }
}
