//! The real commands of the product in this process: its own clients, its own output, on virtual time.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::rc::Rc;

use emqx_sim::clock::Clock;
use jiff::tz::TimeZone;
use kubectl_emqx::cli::{self, Parsed, Verb};
use kubectl_emqx::commands::{self, CommandContext};
use kubectl_emqx::emqx::EmqxBrokers;
use kubectl_emqx::k8s::Cluster;
use kubectl_emqx::output::Printer;
use kubectl_emqx::output::printer::Terminal;

use crate::port::Port;

/// A line that was printed.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its time, in seconds since the start.
    pub at: f64,
    /// The number of the process.
    pub process: usize,
    /// Whether it went to stdout.
    pub out: bool,
    /// The text without its line end.
    pub text: String,
}

/// Receives lines as they are printed.
#[derive(Clone)]
pub(crate) struct Lines {
    clock: Clock,
    all: Rc<RefCell<Vec<Line>>>,
}

impl Lines {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, all: Rc::default() }
    }

    pub(crate) fn all(&self) -> Vec<Line> {
        self.all.borrow().clone()
    }

    fn stream(&self, process: usize, out: bool) -> Box<dyn io::Write> {
        Box::new(Stream { lines: self.clone(), process, out, open: Vec::new() })
    }
}

struct Stream {
    lines: Lines,
    process: usize,
    out: bool,
    open: Vec<u8>,
}

impl io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            if byte == b'\n' {
                let text = String::from_utf8_lossy(&self.open).into_owned();
                self.open.clear();
                let at = self.lines.clock.elapsed().as_secs_f64();
                let line = Line { at, process: self.process, out: self.out, text };
                self.lines.all.borrow_mut().push(line);
            } else {
                self.open.push(byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs one command to its end; returns its exit code.
pub(crate) async fn run(process: usize, arguments: &[String], port: &Port, lines: &Lines) -> u8 {
    let typed = std::iter::once("kubectl-emqx").chain(arguments.iter().map(String::as_str));
    let intent = match cli::parse(typed.map(OsString::from), |_| None) {
        Ok(intent) => intent,
        Err(Parsed::Print(text)) => panic!("{arguments:?} prints {text}"),
        Err(Parsed::Wrong(problem)) => panic!("{arguments:?}: {problem}"),
    };
    let printer = Rc::new(Printer::to(
        lines.stream(process, true),
        lines.stream(process, false),
        intent.global.look,
        Terminal::default(),
        TimeZone::UTC,
    ));
    let cluster = Cluster::of_client(port.client("mq"), "https://simulated", "mq");
    let clock = Rc::new(cluster.clock());
    let brokers =
        EmqxBrokers::through(Rc::new(cluster.clone()), Rc::new(cluster.clone()), clock.clone(), None, false);
    let context = CommandContext {
        context: None,
        server: None,
        namespace: "mq".to_owned(),
        kubernetes: Rc::new(cluster),
        brokers: Rc::new(brokers),
        clock,
        interactive: false,
        printer: printer.clone(),
        notices: commands::Notices::Printed,
        tap: None,
        // The simulation writes no files.
        folder: None,
        interrupt: Rc::new(|| Box::pin(std::future::pending())),
    };
    let outcome = match intent.verb {
        Verb::Apply(apply) => commands::apply::run(&context, &apply, None).await.map(|it| it.exit),
        Verb::Watch(watch) => commands::watch::run(&context, &watch).await,
        Verb::Stop(stop) => commands::stop::run(&context, &stop).await.map(|it| it.exit),
        Verb::Status(read) => commands::read::show(&context, &read).await,
        Verb::View(view) => commands::watch_plain::run(&context, &view.selection, &view.follow).await,
        Verb::List(list) => commands::list::run(&context, &list).await,
        Verb::Evacuate(evacuate) => commands::evacuate::run(&context, &evacuate).await,
        Verb::Drain(drain) => commands::drain::run(&context, &drain).await,
        Verb::Scale(scale) => commands::scale::run(&context, &scale).await,
        Verb::Upgrade(upgrade) => Box::pin(commands::upgrade::run(&context, upgrade)).await,
        other => panic!("{other:?} is not simulated"),
    };
    let exit = match outcome {
        Ok(exit) => exit,
        Err(problem) => {
            printer.problem(&problem);
            problem.exit
        }
    };
    let _ = printer.finish();
    exit.code()
}
