//! `replay`: a recording as the steps and verdicts of every operation in it.

use jiff::Timestamp;

use super::face::{Face, Filtering};
use crate::cli::intent::Stream;
use crate::error::{Exit, Problem};
use crate::model::{Event, Fact, World};
use crate::output::Printer;
use crate::plan::follow::Follower;

/// What was recorded at one moment.
pub struct Moment {
    /// When, by the recording's clock.
    pub at: Timestamp,
    /// Whether it belongs to what was there when the recording began.
    pub listed: bool,
    /// What.
    pub facts: Vec<Fact>,
}

/// Tells a recording's operations.
pub struct Teller {
    world: World,
    follower: Follower,
    began: bool,
    last: Option<Timestamp>,
}

impl Default for Teller {
    fn default() -> Self {
        Self { world: World::new(), follower: Follower::new(None), began: false, last: None }
    }
}

impl Teller {
    /// Takes a moment in; gives the steps that follow from it. What was listed at the beginning is one look.
    pub fn take(&mut self, moment: Moment) -> (Vec<Event>, Vec<String>) {
        let mut events = Vec::new();
        if !self.began && !moment.listed {
            // All that was there at the beginning is known: what comes now is new.
            let at = self.last.unwrap_or(moment.at);
            events = self.follower.observe(&self.world, at);
            self.began = true;
        }
        let mut notices = Vec::new();
        for fact in moment.facts {
            notices.extend(self.world.apply(fact).notice);
        }
        if self.began {
            events.extend(self.follower.observe(&self.world, moment.at));
        }
        self.last = Some(moment.at);
        (events, notices)
    }

    /// The recording is over.
    pub fn finish(&mut self) -> Vec<Event> {
        let Some(at) = self.last else { return Vec::new() };
        let mut events = if self.began { Vec::new() } else { self.follower.observe(&self.world, at) };
        events.extend(self.follower.finish(&self.world, at));
        events
    }
}

/// `replay`: `moments` come in order; `wait` passes the time between two of them when it is played at a speed.
pub async fn run(
    printer: &Printer,
    stream: Stream,
    moments: impl Iterator<Item = Result<Moment, Problem>>,
    speed: Option<f64>,
) -> Result<Exit, Problem> {
    let mut teller = Teller::default();
    let mut face = Face::lines(stream);
    let mut filtering = Filtering::default();
    let mut before: Option<Timestamp> = None;
    let mut told = 0_usize;
    for moment in moments {
        let moment = moment?;
        if let (Some(speed), Some(before)) = (speed, before) {
            let seconds = moment.at.duration_since(before).as_secs_f64() / speed;
            if seconds > 0.0 {
                tokio::time::sleep(std::time::Duration::from_secs_f64(seconds)).await;
            }
        }
        before = Some(moment.at);
        let (events, notices) = teller.take(moment);
        for notice in notices {
            printer.notice(&notice);
        }
        for event in events {
            told += 1;
            face.tell(printer, &event, &mut filtering, true);
        }
    }
    for event in teller.finish() {
        told += 1;
        face.tell(printer, &event, &mut filtering, true);
    }
    if told == 0 {
        printer.talk("no rebalance happens in this recording");
    }
    Ok(Exit::Reached)
}
