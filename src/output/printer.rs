//! The printer: the only module that writes to stdout and stderr.

mod results;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::rc::Rc;

use anstream::AutoStream;
use jiff::tz::TimeZone;

use super::commands::ClusterFlags;
use super::document::{self, Format};
use super::jsonpath;
use super::text::Layout;
use super::theme::{Theme, Tone};
use crate::error::{Cause, Problem};
use crate::model::form::{Color, Look, Output};
use crate::model::jsonpath::Template;

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
    pub(crate) fn here(environment: &dyn Fn(&str) -> Option<String>) -> Self {
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
    pub(crate) fn colored(self, color: Color, terminal: bool) -> bool {
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
    pub(crate) fn new(look: Look, environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let terminal = Terminal::here(environment);
        Self::lazily(Box::new(io::stdout()), Box::new(io::stderr()), look, terminal, OnceCell::new())
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
    pub(crate) fn repeating(self, flags: ClusterFlags) -> Self {
        Self { flags, ..self }
    }

    /// The flags that printed commands repeat.
    pub(crate) fn flags(&self) -> &ClusterFlags {
        &self.flags
    }

    /// Colour and form.
    pub(crate) fn look(&self) -> Look {
        self.look
    }

    /// The properties of stdout and stderr.
    pub(crate) fn terminal(&self) -> Terminal {
        self.terminal
    }

    /// The user's time zone.
    pub(crate) fn zone(&self) -> &TimeZone {
        self.zone.get_or_init(TimeZone::system)
    }

    /// The theme of stdout.
    pub(crate) fn theme(&self) -> Theme {
        Theme { color: self.terminal.colored(self.look.color, self.terminal.stdout), ascii: self.look.ascii }
    }

    /// The theme of stderr.
    pub(crate) fn talk_theme(&self) -> Theme {
        Theme { color: self.terminal.colored(self.look.color, self.terminal.stderr), ascii: self.look.ascii }
    }

    /// Whether a few lines may be redrawn in place: on a terminal that can, unless `--plain`.
    pub(crate) fn redraws(&self) -> bool {
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
    pub(crate) fn print(&self, text: &str) {
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
        if let Some(text) = self.new_notice(text) {
            let title = self.talk_theme().paint(Tone::Warning, "notice:");
            self.push(true, &format!("{title} {text}\n"));
        }
    }

    /// The text of a notice that is to be shown; `None` for one that was shown before, and beyond the limit.
    pub(crate) fn new_notice(&self, text: &str) -> Option<String> {
        let text = shortened(text, LONGEST_NOTICE);
        let count = self.printed.borrow().len();
        if count > MAX_PRINTED_NOTICES || !self.printed.borrow_mut().insert(text.clone()) {
            return None;
        }
        let text = if count == MAX_PRINTED_NOTICES { NO_MORE_NOTICES } else { &text };
        Some(self.talk_theme().clean(text))
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
    pub(crate) async fn ask(&self, question: &str) -> bool {
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
}
