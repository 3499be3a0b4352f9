//! `replay`: a recording as the steps and verdicts of every operation in it.

use jiff::Timestamp;

use super::Outcome;
use super::face::{Face, Filtering};
use crate::cli::intent::Stream;
use crate::error::{Exit, Problem};
use crate::model::{Event, World};
use crate::output::Printer;
use crate::plan::follow::Follower;
use crate::plan::upgrade::follow::Upgrades;
use crate::seam::Moment;

/// What EMQX and the API server are asked when a recording begins comes within this many seconds.
const BEGINNING: f64 = 1.0;

/// Seconds between two lines that are passed one by one; beyond, a recording has a hole, and what is in it is not known.
const HOLE: i64 = 900;

/// Tells a recording's operations.
pub struct Teller {
    world: World,
    follower: Follower,
    upgrades: Upgrades,
    first: Option<f64>,
    began: bool,
    last: Option<Timestamp>,
}

impl Default for Teller {
    fn default() -> Self {
        Self {
            world: World::new(),
            follower: Follower::new(None),
            upgrades: Upgrades::new(None),
            first: None,
            began: false,
            last: None,
        }
    }
}

impl Teller {
    /// Takes a moment in; gives the steps that follow from it. What was there at the beginning is one look.
    pub fn take(&mut self, moment: Moment) -> (Vec<Event>, Vec<String>) {
        let mut events = Vec::new();
        let first = *self.first.get_or_insert(moment.t);
        if !self.began && (moment.change || moment.t - first > BEGINNING) {
            let at = self.last.unwrap_or(moment.at);
            events = self.observe(at);
            self.began = true;
        }
        if self.began {
            events.extend(self.pass(moment.at));
        }
        let mut notices = Vec::new();
        for fact in moment.facts {
            notices.extend(self.world.apply(fact).notice);
        }
        if self.began {
            events.extend(self.observe(moment.at));
        }
        self.last = Some(moment.at);
        (events, notices)
    }

    /// The seconds between two lines. An answer of EMQX's is written when it differs from the one before, and was asked
    /// for every second: silence is the same answer again.
    fn pass(&mut self, until: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        let Some(last) = self.last else { return events };
        let gap = until.as_second() - last.as_second();
        if gap > HOLE {
            return events;
        }
        for second in 1..gap {
            let at = last + jiff::SignedDuration::from_secs(second);
            if let Some(nodes) = &mut self.world.nodes {
                nodes.at = at;
            }
            if let Some(load) = &mut self.world.load {
                load.at = at;
            }
            events.extend(self.observe(at));
        }
        events
    }

    /// Every operation's steps: rebalances, upgrades, evacuations.
    fn observe(&mut self, at: Timestamp) -> Vec<Event> {
        let mut events = self.follower.observe(&self.world, at);
        events.extend(self.upgrades.observe(&self.world, at));
        events
    }

    /// The recording is over.
    pub fn finish(&mut self) -> Vec<Event> {
        let Some(at) = self.last else { return Vec::new() };
        let mut events = if self.began { Vec::new() } else { self.observe(at) };
        events.extend(self.follower.finish(&self.world, at));
        events.extend(self.upgrades.finish(&self.world, at));
        events
    }
}

/// `replay`: every operation of a recording, at once or at a speed.
pub async fn run(
    printer: &Printer,
    stream: Stream,
    recording: impl Iterator<Item = Result<Moment, Problem>>,
    speed: Option<f64>,
) -> Outcome {
    let mut teller = Teller::default();
    let mut face = Face::lines(stream);
    let mut filtering = Filtering::default();
    let mut before: Option<Timestamp> = None;
    let (mut told, mut read) = (0_usize, 0_usize);
    let mut unread = None;
    for moment in recording {
        let moment = match moment {
            Ok(moment) => moment,
            Err(problem) => {
                printer.notice(&problem.to_string());
                unread = unread.or(Some(problem));
                continue;
            }
        };
        read += 1;
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
        printer.talk("nothing is moved in this recording");
    }
    match unread {
        Some(problem) if read == 0 => Err(problem),
        _ => Ok(Exit::Reached),
    }
}
