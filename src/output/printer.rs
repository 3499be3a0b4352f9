//! The printer: the only module that writes to stdout and stderr.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::rc::Rc;

use anstream::AutoStream;
use jiff::{Timestamp, tz::TimeZone};

use super::commands::ClusterFlags;
use super::document::{self, Format};
use super::jsonpath;
use super::report;
use super::text::{self, Layout, resource};
use super::theme::{Theme, Tone};
use crate::error::{Cause, Problem};
use crate::model::form::{Color, Look, Manifest, Output, ReportForm, Stream};
use crate::model::human::clock;
use crate::model::jsonpath::Template;
use crate::model::{Event, EventType, Operation, OperationRef};
use crate::plan::check::Checks;
use crate::plan::drain::DrainPlan;
use crate::plan::evacuation::EvacuationPlan;
use crate::plan::history::{HistoryItem, UpgradeItem};
use crate::plan::rebalance::forecast::RebalancePlan;
use crate::plan::report::Report;
use crate::plan::results::{
    Applied, Backend, EvacuationItem, Nodes, RebalanceItem, Status, Stopped, VersionReport,
};
use crate::plan::scale::ScalePlan;
use crate::plan::upgrade::forecast::UpgradePlan;

/// The most characters of one notice: texts of servers may be of any length.
const LONGEST_NOTICE: usize = 1000;

/// The most notices of one process. A recording can have thousands of lines that cannot be read.
const MAX_PRINTED_NOTICES: usize = 40;

/// The most characters of one error.
const LONGEST_ERROR: usize = 4000;

const NO_MORE_NOTICES: &str = "further notices are not shown";

/// The beginning of a text with at most this many characters.
fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Properties of stdout and stderr.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the place")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Whether stdout is a terminal.
    pub stdout: bool,
    /// Whether stderr is a terminal.
    pub stderr: bool,
    /// Its width, where one of them is.
    pub width: Option<u16>,
    /// Whether `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// Whether `TERM` is `dumb`.
    pub dumb: bool,
}

impl Terminal {
    /// The properties of this process's stdout and stderr.
    pub fn here(environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let (stdout, stderr) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        // Without a terminal there is no width.
        let size = if stdout || stderr { crossterm::terminal::size().ok() } else { None };
        Self {
            stdout,
            stderr,
            width: size.map(|(width, _)| width).filter(|width| *width > 0),
            no_color: environment("NO_COLOR").is_some_and(|value| !value.is_empty()),
            dumb: environment("TERM").as_deref() == Some("dumb"),
        }
    }

    /// Whether a stream gets colour.
    pub fn colored(self, color: Color, terminal: bool) -> bool {
        match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !self.no_color && !self.dumb,
        }
    }
}

type Sink = AutoStream<Box<dyn Write>>;

/// Writes results, messages and prompts.
pub struct Printer {
    out: RefCell<Sink>,
    err: RefCell<Sink>,
    look: Look,
    terminal: Terminal,
    /// Read when a time is printed: finding the name of the system's zone reads every folder of the database.
    zone: OnceCell<TimeZone>,
    /// The flags that printed commands repeat.
    flags: ClusterFlags,
    /// Notices that were printed already.
    printed: RefCell<BTreeSet<String>>,
    reported: RefCell<Reported>,
    /// Whether the reader of stdout has closed it.
    closed: Cell<bool>,
    /// The first write error that is not a closed pipe.
    failed: RefCell<Option<io::Error>>,
}

impl std::fmt::Debug for Printer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Printer")
            .field("look", &self.look)
            .field("terminal", &self.terminal)
            .finish_non_exhaustive()
    }
}

/// What a command reported, as values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reported {
    /// The names of what was created or started.
    pub(crate) created: Vec<String>,
    pub(crate) stopped: Vec<Stopped>,
    /// The plan of the upgrade that was asked for.
    pub(crate) upgrade_plan: Option<UpgradePlan>,
    pub(crate) notices: Vec<String>,
}

/// The output of a [`Printer::captured`].
#[derive(Clone, Debug, Default)]
pub struct Captured(Rc<RefCell<Vec<u8>>>);

impl Captured {
    /// All output so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.borrow()).into_owned()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Printer {
    /// A printer to the real streams, with the user's time zone.
    pub fn new(look: &Look, environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let terminal = Terminal::here(environment);
        Self::lazily(Box::new(io::stdout()), Box::new(io::stderr()), *look, terminal, OnceCell::new())
    }

    /// A printer to any two streams: data, and messages.
    pub fn to(
        out: Box<dyn Write>,
        err: Box<dyn Write>,
        look: Look,
        terminal: Terminal,
        zone: TimeZone,
    ) -> Self {
        Self::lazily(out, err, look, terminal, OnceCell::from(zone))
    }

    fn lazily(
        out: Box<dyn Write>,
        err: Box<dyn Write>,
        look: Look,
        terminal: Terminal,
        zone: OnceCell<TimeZone>,
    ) -> Self {
        let sink = |raw, tty| {
            if terminal.colored(look.color, tty) {
                AutoStream::always_ansi(raw)
            } else {
                AutoStream::never(raw)
            }
        };
        Self {
            out: RefCell::new(sink(out, terminal.stdout)),
            err: RefCell::new(sink(err, terminal.stderr)),
            look,
            terminal,
            zone,
            flags: ClusterFlags::default(),
            printed: RefCell::default(),
            reported: RefCell::default(),
            closed: Cell::new(false),
            failed: RefCell::default(),
        }
    }

    /// A printer that retains its output: stdout, and stderr.
    pub fn captured(look: Look, terminal: Terminal) -> (Self, Captured, Captured) {
        let (out, err) = (Captured::default(), Captured::default());
        let printer = Self::to(Box::new(out.clone()), Box::new(err.clone()), look, terminal, TimeZone::UTC);
        (printer, out, err)
    }

    /// The same with flags that printed commands repeat.
    #[must_use]
    pub fn repeating(self, flags: ClusterFlags) -> Self {
        Self { flags, ..self }
    }

    /// The flags that printed commands repeat.
    pub fn flags(&self) -> &ClusterFlags {
        &self.flags
    }

    /// Colour and form.
    pub fn look(&self) -> Look {
        self.look
    }

    /// The properties of stdout and stderr.
    pub fn terminal(&self) -> Terminal {
        self.terminal
    }

    /// The user's time zone.
    pub fn zone(&self) -> &TimeZone {
        self.zone.get_or_init(TimeZone::system)
    }

    /// The theme of stdout.
    pub fn theme(&self) -> Theme {
        Theme { color: self.terminal.colored(self.look.color, self.terminal.stdout), ascii: self.look.ascii }
    }

    /// The theme of stderr.
    pub(crate) fn talk_theme(&self) -> Theme {
        Theme { color: self.terminal.colored(self.look.color, self.terminal.stderr), ascii: self.look.ascii }
    }

    /// Whether a few lines may be redrawn in place: on a terminal that can, unless `--plain`.
    pub fn redraws(&self) -> bool {
        self.terminal.stderr && !self.terminal.dumb && !self.look.plain
    }

    /// Whether the reader of stdout has closed it: nothing more is written.
    pub fn closed(&self) -> bool {
        self.closed.get()
    }

    /// Whether everything was written. A reader that closed stdout early is not a failure.
    pub fn finish(&self) -> Result<(), Problem> {
        self.push(false, "");
        match self.failed.take() {
            Some(error) => Err(Problem::new("cannot write the output", error.to_string())),
            None => Ok(()),
        }
    }

    /// Prints a text; commands in it get the flags that they need.
    fn push(&self, talk: bool, text: &str) {
        if talk {
            self.write(true, &self.flags.text(text));
        } else {
            self.write(false, text);
        }
    }

    fn write(&self, talk: bool, text: &str) {
        let sink = if talk { &self.err } else { &self.out };
        if !talk && self.closed.get() {
            return;
        }
        let mut sink = sink.borrow_mut();
        match sink.write_all(text.as_bytes()).and_then(|()| sink.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed.set(self.closed.get() || !talk);
            }
            // An error of stderr cannot be reported anywhere.
            Err(_) if talk => {}
            Err(error) => {
                self.closed.set(true);
                self.failed.borrow_mut().get_or_insert(error);
            }
        }
    }

    /// Prints a text of this program on stdout as it is (help, a version).
    pub fn print(&self, text: &str) {
        self.push(false, text.trim_end_matches('\n'));
        self.push(false, "\n");
    }

    /// A line of data.
    pub fn line(&self, text: &str) {
        self.push(false, &(self.theme().clean(text) + "\n"));
    }

    /// A message line.
    pub fn talk(&self, text: &str) {
        self.push(true, &(self.talk_theme().clean(text) + "\n"));
    }

    /// Prints the recommended next command.
    pub fn next(&self, command: &str) {
        let theme = self.talk_theme();
        // Where both streams are on one screen, a blank line separates the messages from the data.
        let gap = if self.terminal.stdout && self.terminal.stderr { "\n" } else { "" };
        let line = format!("{gap}{} ", theme.paint(Tone::Faint, "next:"));
        let command = theme.clean(&self.flags.command(command)) + "\n";
        self.write(true, &(line + &command));
    }

    /// Prints a notice; equal notices once, with limits of length and number.
    pub fn notice(&self, text: &str) {
        let text = shortened(text, LONGEST_NOTICE);
        let count = self.printed.borrow().len();
        if count > MAX_PRINTED_NOTICES || !self.printed.borrow_mut().insert(text.clone()) {
            return;
        }
        let theme = self.talk_theme();
        let text = if count == MAX_PRINTED_NOTICES { NO_MORE_NOTICES.to_owned() } else { text };
        self.reported.borrow_mut().notices.push(theme.clean(&text));
        self.push(true, &format!("{} {}\n", theme.paint(Tone::Warning, "notice:"), theme.clean(&text)));
    }

    /// Prints an error: what failed, why, and the command to type.
    pub fn problem(&self, problem: &Problem) {
        let theme = self.talk_theme();
        let mut text = format!(
            "{} {}\n",
            theme.paint(Tone::Bad, "error:"),
            theme.clean(&shortened(&problem.to_string(), LONGEST_ERROR))
        );
        if let Some(hint) = &problem.hint {
            put!(text, "{} {}\n", theme.paint(Tone::Busy, "hint:"), theme.clean(hint));
        }
        // The terminal has written `^C` at the cursor.
        if problem.cause == Cause::Interrupted && self.terminal.stderr {
            text.insert(0, '\n');
        }
        self.push(true, &text);
    }

    /// Prompts on stderr and reads the answer from stdin: `true` for yes. A thread of its own reads it, so that an interrupt is
    /// handled during the prompt; the thread ends with the process.
    pub async fn ask(&self, question: &str) -> bool {
        let theme = self.talk_theme();
        self.push(true, &format!("{} [y/N] ", theme.paint(Tone::Strong, &theme.clean(question))));
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut answer = String::new();
            let read = io::stdin().read_line(&mut answer).unwrap_or(0);
            sender.send(if read == 0 { None } else { Some(answer) })
        });
        let Ok(Some(answer)) = receiver.await else {
            self.push(true, "\n");
            return false;
        };
        matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }

    fn layout(&self, output: Output) -> Layout {
        let width = self.terminal.width.filter(|_| self.terminal.stdout).map(usize::from);
        Layout { theme: self.theme(), wide: output == Output::Wide, width }
    }

    /// Prints one result in the requested form.
    fn result<T: serde::Serialize>(
        &self,
        kind: &'static str,
        body: &T,
        output: Output,
        name: impl FnOnce() -> String,
        text: impl FnOnce(Layout) -> String,
    ) {
        let text = match output {
            Output::Text | Output::Wide => self.flags.text(&text(self.layout(output))).into_owned(),
            Output::Json => document::one(kind, body, Format::Json),
            Output::Yaml => document::one(kind, body, Format::Yaml),
            Output::Name => self.theme().clean(&name()) + "\n",
            Output::JsonPath(template) => {
                return self.pick(template, &document::one(kind, body, Format::Line));
            }
        };
        self.push(false, &text);
    }

    /// Prints the values that a template selects from a document.
    fn pick(&self, template: &Template, document: &str) {
        let document = serde_json::from_str(document).unwrap_or_default();
        match jsonpath::pick(template, &document) {
            Ok(text) => self.push(false, &text),
            Err(why) => {
                self.failed.borrow_mut().get_or_insert(io::Error::other(why));
            }
        }
    }

    fn results<T: serde::Serialize>(
        &self,
        kind: &'static str,
        bodies: &[T],
        output: Output,
        name: impl Fn(&T) -> String,
        text: impl FnOnce(Layout) -> String,
    ) {
        let text = match output {
            Output::Text | Output::Wide if bodies.is_empty() => {
                return self.talk("no EMQX or EmqxEnterprise found");
            }
            Output::Text | Output::Wide => self.flags.text(&text(self.layout(output))).into_owned(),
            Output::Json => document::list(kind, bodies, Format::Json),
            Output::Yaml => document::list(kind, bodies, Format::Yaml),
            Output::Name => bodies.iter().map(|body| self.theme().clean(&name(body)) + "\n").collect(),
            Output::JsonPath(template) => {
                return self.pick(template, &document::list(kind, bodies, Format::Line));
            }
        };
        self.push(false, &text);
    }

    /// One cluster.
    pub fn status(&self, status: &Status, output: Output) {
        self.result(
            "Status",
            status,
            output,
            || resource(&status.instance),
            |layout| text::status::status(status, layout),
        );
    }

    /// Several clusters.
    pub fn statuses(&self, all: &[Status], output: Output) {
        self.results(
            "Status",
            all,
            output,
            |it| resource(&it.instance),
            |layout| text::status::several(all, layout),
        );
    }

    /// The nodes of one cluster.
    pub fn nodes(&self, nodes: &Nodes, output: Output) {
        let text = |layout| {
            if nodes.items.is_empty() {
                String::new()
            } else {
                text::status::nodes(std::slice::from_ref(nodes), false, layout)
            }
        };
        if nodes.items.is_empty() && matches!(output, Output::Text | Output::Wide) {
            self.talk(&format!("no node of {} is known", nodes.instance));
        }
        self.result("Nodes", nodes, output, || resource(&nodes.instance), text);
    }

    /// The nodes of several clusters.
    pub fn nodes_of_several(&self, all: &[Nodes], output: Output) {
        self.results(
            "Nodes",
            all,
            output,
            |it| resource(&it.instance),
            |layout| text::status::nodes(all, true, layout),
        );
    }

    /// Running and past rebalances.
    pub fn rebalances(&self, items: &[RebalanceItem], output: Output, now: Timestamp) {
        let text = match output {
            Output::Text | Output::Wide if items.is_empty() => return self.talk("no rebalances found"),
            Output::Text | Output::Wide => {
                let text = text::lists::rebalances(items, now, self.layout(output));
                self.flags.text(&text).into_owned()
            }
            Output::Json => document::items("RebalanceList", items, Format::Json),
            Output::Yaml => document::items("RebalanceList", items, Format::Yaml),
            Output::Name => {
                items.iter().map(|item| self.theme().clean(&rebalance_name(&item.name)) + "\n").collect()
            }
            Output::JsonPath(template) => {
                return self.pick(template, &document::items("RebalanceList", items, Format::Line));
            }
        };
        self.push(false, &text);
    }

    /// Running and past upgrades.
    pub fn upgrades(&self, items: &[UpgradeItem], output: Output, now: Timestamp) {
        let text = match output {
            Output::Text | Output::Wide if items.is_empty() => return self.talk("no upgrades found"),
            Output::Text | Output::Wide => text::lists::upgrades(items, now, self.layout(output)),
            Output::Json => document::items("UpgradeList", items, Format::Json),
            Output::Yaml => document::items("UpgradeList", items, Format::Yaml),
            Output::Name => items.iter().map(|item| self.theme().clean(&item.name) + "\n").collect(),
            Output::JsonPath(template) => {
                return self.pick(template, &document::items("UpgradeList", items, Format::Line));
            }
        };
        self.push(false, &text);
    }

    pub fn report(&self, report: &Report, form: ReportForm) {
        let text = match form {
            ReportForm::Markdown => report::markdown(report),
            ReportForm::Json => document::one("Report", report, Format::Json),
            ReportForm::Html => report::html::page(report),
        };
        self.push(false, &text);
    }

    /// Past operations of every kind.
    pub fn history(&self, items: &[HistoryItem], output: Output, now: Timestamp) {
        let text = match output {
            Output::Text | Output::Wide if items.is_empty() => return self.talk("no past operations found"),
            Output::Text | Output::Wide => text::lists::history(items, now, self.layout(output)),
            Output::Json => document::items("History", items, Format::Json),
            Output::Yaml => document::items("History", items, Format::Yaml),
            Output::Name => {
                let name = |item: &HistoryItem| match item.operation {
                    Operation::Rebalance => rebalance_name(&item.name),
                    _ => item.name.clone(),
                };
                items.iter().map(|item| self.theme().clean(&name(item)) + "\n").collect()
            }
            Output::JsonPath(template) => {
                return self.pick(template, &document::items("History", items, Format::Line));
            }
        };
        self.push(false, &text);
    }

    /// A plan. `through` is the backend, and the reason for it.
    pub fn plan(
        &self,
        plan: &RebalancePlan,
        through: Option<(Backend, &str)>,
        output: Output,
        now: Option<Timestamp>,
    ) {
        let name = || plan.instance.as_ref().map(resource).unwrap_or_default();
        let now = now.map(|now| (now, self.zone()));
        self.result("RebalancePlan", plan, output, name, |layout| {
            text::plan::plan(plan, through, now, layout)
        });
    }

    /// Prints the plan to stderr, before the prompt.
    pub fn talk_plan(&self, plan: &RebalancePlan, through: Option<(Backend, &str)>, now: Timestamp) {
        let layout = Layout { theme: self.talk_theme(), wide: false, width: None };
        self.push(true, &(text::plan::plan(plan, through, Some((now, self.zone())), layout) + "\n"));
    }

    /// The plan of an upgrade.
    pub(crate) fn upgrade_plan(&self, plan: &UpgradePlan, output: Output, now: Timestamp) {
        self.reported.borrow_mut().upgrade_plan = Some(plan.clone());
        let name = || resource(&plan.instance);
        let now = Some((now, self.zone()));
        self.result("UpgradePlan", plan, output, name, |layout| text::upgrade::plan(plan, now, layout));
    }

    /// Prints the plan of an upgrade to stderr, before the prompt.
    pub(crate) fn talk_upgrade_plan(&self, plan: &UpgradePlan, now: Timestamp) {
        self.reported.borrow_mut().upgrade_plan = Some(plan.clone());
        let layout = Layout { theme: self.talk_theme(), wide: false, width: None };
        self.push(true, &(text::upgrade::plan(plan, Some((now, self.zone())), layout) + "\n"));
    }

    /// The results and notices so far, for a caller that shows them in another form.
    pub(crate) fn reported(&self) -> Reported {
        self.reported.borrow().clone()
    }

    /// The result of `apply`. `note` follows the name in text output only: ` (server dry run)`.
    pub fn applied<P: serde::Serialize>(&self, applied: &Applied<P>, output: Output, note: &str) {
        self.reported.borrow_mut().created.push(applied.name.clone());
        let theme = self.theme();
        self.result(
            "Applied",
            applied,
            output,
            || applied.name.clone(),
            |_| theme.clean(&format!("{}{note}", applied.name)) + "\n",
        );
    }

    /// The plan of an evacuation, beside the data.
    pub(crate) fn talk_evacuation(&self, plan: &EvacuationPlan) {
        let layout = Layout { theme: self.talk_theme(), ..self.layout(Output::Text) };
        self.push(true, &text::evacuation::plan(plan, layout));
    }

    /// Evacuations, running and past: one document where one node was named, else a list of any length.
    pub fn evacuations(
        &self,
        running: &[EvacuationItem],
        past: &[EvacuationItem],
        one_named: bool,
        output: Output,
    ) {
        if running.is_empty() && !past.is_empty() && matches!(output, Output::Text | Output::Wide) {
            self.talk("no EMQX node is being evacuated");
        }
        let items = &[running, past].concat();
        let name = |item: &EvacuationItem| OperationRef::Evacuation(item.node.clone()).to_string();
        match (items.as_slice(), &output) {
            ([], Output::Text | Output::Wide) => self.talk("no EMQX node is being evacuated"),
            ([one], Output::Json | Output::Yaml | Output::JsonPath(_)) if one_named => {
                self.result("Evacuation", one, output, || name(one), |_| String::new());
            }
            _ => self
                .results("Evacuation", items, output, name, |layout| text::evacuation::list(items, layout)),
        }
    }

    /// The plan of a drain, beside the data.
    pub(crate) fn talk_drain(&self, drain: &DrainPlan) {
        let layout = Layout { theme: self.talk_theme(), ..self.layout(Output::Text) };
        self.push(true, &text::drain::plan(drain, layout));
    }

    /// Drains: one document for one instance, a list for several.
    pub fn drains(&self, drains: &[DrainPlan], output: Output) {
        let name = |drain: &DrainPlan| resource(&drain.removal.instance);
        match (drains, &output) {
            ([one], Output::Json | Output::Yaml | Output::JsonPath(_)) => {
                self.result("Drain", one, output, || name(one), |_| String::new());
            }
            // The command has printed why there is nothing to do.
            ([], Output::Text | Output::Wide) => {}
            _ => self.results("Drain", drains, output, name, |layout| text::drain::results(drains, layout)),
        }
    }

    /// The plan of a scale, beside the data.
    pub(crate) fn talk_scale(&self, scale: &ScalePlan) {
        let layout = Layout { theme: self.talk_theme(), ..self.layout(Output::Text) };
        self.push(true, &text::scale::plan(scale, layout));
    }

    pub fn scaled(&self, scale: &ScalePlan, output: Output) {
        self.result(
            "Scale",
            scale,
            output,
            || resource(&scale.removal.instance),
            |layout| text::scale::result(scale, layout),
        );
    }

    /// The name of what was started, where nothing else is printed about it. `note` follows it.
    pub fn started(&self, name: &str, note: &str) {
        self.reported.borrow_mut().created.push(name.to_owned());
        self.line(&format!("{name}{note}"));
    }

    /// The result of `stop`.
    pub fn stopped(&self, stopped: &Stopped, output: Output) {
        self.reported.borrow_mut().stopped.push(stopped.clone());
        self.result(
            "Stopped",
            stopped,
            output,
            || rebalance_name(&stopped.name),
            |layout| text::lists::stopped(stopped, layout),
        );
    }

    /// The result of one `stop` of several operations.
    pub fn several_stopped(&self, all: &[Stopped], output: Output) {
        self.reported.borrow_mut().stopped.extend_from_slice(all);
        let name = |stopped: &Stopped| rebalance_name(&stopped.name);
        let text = |layout: Layout| all.iter().map(|it| text::lists::stopped(it, layout)).collect();
        self.results("Stopped", all, output, name, text);
    }

    /// The checks of a cluster.
    pub fn checks(&self, checks: &Checks, output: Output) {
        self.result(
            "Checks",
            checks,
            output,
            || resource(&checks.instance),
            |layout| text::checks::checks(checks, layout),
        );
    }

    /// The versions of all components.
    pub fn version(&self, version: &VersionReport, output: Output) {
        let names =
            || version.clusters.iter().map(|it| resource(&it.instance)).collect::<Vec<_>>().join("\n");
        self.result("Version", version, output, names, |layout| text::lists::version(version, layout));
    }

    pub fn manifest(&self, manifest: &serde_json::Value, form: Manifest) {
        let format = match form {
            Manifest::Yaml => Format::Yaml,
            Manifest::Json => Format::Json,
        };
        self.push(false, &document::manifest(manifest, format));
    }

    /// One event of an operation that is followed.
    pub fn event(&self, event: &Event, stream: Stream) {
        let text = match stream {
            Stream::Jsonl => document::one("Event", event, Format::Line),
            Stream::Text => self.flags.text(&(self.event_line(event, self.theme()) + "\n")).into_owned(),
        };
        self.push(false, &text);
    }

    /// One event as a JSON line.
    pub fn jsonl(&self, event: &Event) {
        self.event(event, Stream::Jsonl);
    }

    /// One event as a message, beside the data.
    pub fn talk_event(&self, event: &Event) {
        self.push(true, &(self.event_line(event, self.talk_theme()) + "\n"));
    }

    /// An event as a line for people: the time of day, and the message.
    pub(crate) fn event_line(&self, event: &Event, theme: Theme) -> String {
        let tone = match (event.kind, event.verdict) {
            (_, Some(verdict)) => Tone::of(verdict),
            (EventType::Notice, None) => Tone::Warning,
            _ => Tone::Plain,
        };
        let time = theme.paint(Tone::Faint, &clock(event.time, self.zone()));
        format!("{time} {}", theme.paint(tone, &theme.clean(&event.message)))
    }
}

/// A rebalance as `-o name` prints it; one without an object is `coordinator/NODE`.
fn rebalance_name(name: &str) -> String {
    match OperationRef::printed(name) {
        OperationRef::Rebalance(name) => format!("rebalance.apps.emqx.io/{name}"),
        other => other.to_string(),
    }
}
