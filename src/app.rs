//! Connects the modules: parses the arguments, opens the clients, dispatches to a command, and maps its outcome to an exit
//! code.

use std::process::ExitCode;
use std::rc::Rc;

use crate::cli::intent::{Look, Verb};
use crate::cli::{self, Intent, Parsed};
use crate::commands::{self, Outcome};
use crate::error::{Exit, Problem};
use crate::model::Strategy;
use crate::output::Printer;
use crate::replay::Recording;
use crate::state_folder;

mod demo;
mod evacuate;
mod flags;
mod given_files;
mod history;
mod log;
mod own_folder;
mod rebalance;
mod recordings;
mod report;
mod screen;
mod setup;
mod shell;
mod standalone;
mod upgrade;

pub use recordings::Wire;

use recordings::Recordings;
use setup::{context, context_as, context_in_kubernetes, interrupted};

/// The default speed of a recording on the full screen.
const REPLAY_SPEED: f64 = 2.0;

/// Runs the program: the process's arguments and environment in, its exit code out.
pub fn run() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    let environment = |name: &str| std::env::var(name).ok();
    let code = match cli::parse(std::env::args_os(), environment) {
        Ok(intent) => start(intent, &environment),
        Err(Parsed::Print(text)) => {
            Printer::new(Look::default(), &environment).print(&text);
            Exit::Reached
        }
        Err(Parsed::Wrong(problem)) => {
            Printer::new(Look::default(), &environment).problem(&problem);
            problem.exit
        }
    };
    ExitCode::from(code.code())
}

fn start(intent: Intent, environment: &dyn Fn(&str) -> Option<String>) -> Exit {
    let printer = Printer::new(intent.global.look, environment).repeating(flags::chosen(&intent.global));
    let printer = Rc::new(printer);
    let force = match &intent.verb {
        Verb::DemoServe(serve) => serve.force,
        Verb::CompletionInstall(install) => install.force,
        _ => false,
    };
    if let Err(problem) = log::logging(&intent.global.log, force) {
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
        Ok(Exit::Reached) if recordings::any_broken() => Exit::Error,
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
        Verb::Plan(plan) => rebalance::plan(&global, printer, &plan).await,
        Verb::Generate(generate) => rebalance::generate(&global, printer, &generate).await,
        Verb::Status(read) => commands::read::show(&context(&global, printer, None).await?, &read).await,
        Verb::Nodes(read) => commands::read::nodes(&context(&global, printer, None).await?, &read).await,
        Verb::Check(check) => commands::check::run(&context(&global, printer, None).await?, &check).await,
        Verb::Report(report) => Box::pin(report::run(&global, printer, &report)).await,
        Verb::History(history) => Box::pin(history::run(&global, printer, &history)).await,
        Verb::Version(version) => {
            commands::version::run(&context(&global, printer, None).await?, &version).await
        }
        Verb::View(view) => {
            let recordings = Recordings::of(&view.follow)?;
            let context = context(&global, printer, Some(recordings.clone())).await?;
            if view.follow.inline || !screen::fits(&context.printer) {
                return commands::watch_plain::run(&context, &view.selection, &view.follow).await;
            }
            let viewed = screen::viewed(&context, &view.selection).await?;
            screen::live(&context, viewed, &view.follow, Strategy::default(), recordings).await
        }
        Verb::Apply(apply) => rebalance::apply(&global, printer, apply).await,
        Verb::Watch(watch) => rebalance::watch(&global, printer, &watch).await,
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
        Verb::Demo(demo) => demo::run(global, printer, demo).await,
        Verb::Completion(shell) => {
            printer.print(cli::script(shell));
            Ok(Exit::Reached)
        }
        Verb::CompletionInstall(install) => shell::install(&printer, install, environment),
        Verb::Complete(completing) => Ok(shell::complete(&printer, global, &completing)),
        Verb::DemoServe(serve) => demo::serve(&printer, serve).await,
    }
}
