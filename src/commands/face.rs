//! How a follow is shown: lines, JSON lines, or a few lines that are redrawn in place.

use jiff::Timestamp;

use super::Hands;
use super::gather::Gathered;
use crate::cli::intent::{Follow, Stream};
use crate::model::{Event, EventType, Operation, Verdict};
use crate::output::Printer;
use crate::plan::follow::Run;

/// Percents at which a line is worth its place in a log.
const MARKS: u8 = 25;

/// Seconds after which a line comes in any case.
const QUIET_SECONDS: i64 = 60;

/// Which progress is worth a line.
#[derive(Clone, Debug, Default)]
pub struct Filtering {
    last: Option<(u8, Timestamp)>,
}

impl Filtering {
    /// Whether this event is a line of a log for people: all but the many steps of progress, of which every quarter and
    /// every minute is told.
    pub fn tells(&mut self, event: &Event) -> bool {
        let mark = event.percent.unwrap_or(0) / MARKS;
        if event.kind != EventType::Progress {
            self.last = Some((mark.max(self.last.map_or(0, |last| last.0)), event.time));
            return true;
        }
        let tells = match self.last {
            None => true,
            Some((told, at)) => mark > told || event.time.duration_since(at).as_secs() >= QUIET_SECONDS,
        };
        if tells {
            self.last = Some((mark, event.time));
        }
        tells
    }
}

/// How a follow is shown.
pub struct Face {
    stream: Stream,
    filtering: Filtering,
    /// Whether lines are the data (`watch`), or talk beside it (`apply`).
    data: bool,
}

impl Face {
    /// What fits the place: where `data`, lines go to stdout.
    pub fn of(_hands: &Hands, follow: &Follow, data: bool) -> Self {
        Self { stream: follow.stream, filtering: Filtering::default(), data }
    }

    /// Lines on stdout, for a recording.
    pub fn lines(stream: Stream) -> Self {
        Self { stream, filtering: Filtering::default(), data: true }
    }

    /// One step.
    pub fn event(&mut self, hands: &Hands, event: &Event) {
        let mut filtering = std::mem::take(&mut self.filtering);
        self.tell(&hands.printer, event, &mut filtering, self.data);
        self.filtering = filtering;
    }

    /// One step, on a printer.
    pub fn tell(&mut self, printer: &Printer, event: &Event, filtering: &mut Filtering, data: bool) {
        match self.stream {
            Stream::Jsonl => printer.event(event, Stream::Jsonl),
            Stream::Text if !filtering.tells(event) => {}
            Stream::Text if data => printer.event(event, Stream::Text),
            Stream::Text => printer.talk(&printer.event_line(event, printer.talk_theme())),
        }
    }

    /// Something worth knowing that is not of the operation.
    pub fn notice(&mut self, hands: &Hands, _at: Timestamp, text: &str) {
        hands.printer.notice(text);
    }

    /// How it is now.
    pub fn draw(&mut self, _hands: &Hands, _gathered: &Gathered, _run: &Run, _now: Timestamp) {}

    /// The last word on one that was over before it was followed.
    pub fn last_word(
        &mut self,
        hands: &Hands,
        name: &str,
        verdict: Verdict,
        reason: &str,
        message: &str,
        now: Timestamp,
    ) {
        let event = Event {
            time: now,
            kind: EventType::Verdict,
            name: name.to_owned(),
            operation: Operation::Rebalance,
            phase: None,
            nodes: Vec::new(),
            moved_connections: None,
            percent: None,
            eta_seconds: None,
            lost_clients: None,
            lost_sessions: None,
            landing_ratio: None,
            message: message.to_owned(),
            verdict: Some(verdict),
            reason: Some(reason.to_owned()),
        };
        self.event(hands, &event);
    }

    /// Nothing more is drawn.
    pub fn finish(&mut self) {}
}
