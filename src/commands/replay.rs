//! `replay`: a recording as the steps and verdicts of every operation in it.

use jiff::Timestamp;

use super::Outcome;
use super::follow_output::{Filtering, FollowOutput};
use crate::cli::intent::Stream;
use crate::error::{Exit, Problem};
use crate::model::{Event, World};
use crate::output::Printer;
use crate::plan::playback::{OperationTracker, Tape, Told};
use crate::ports::Moment;

/// Tells a recording's operations.
#[derive(Clone)]
pub struct ReplayOutput {
    world: World,
    operations: OperationTracker,
    tape: Tape,
}

impl Default for ReplayOutput {
    fn default() -> Self {
        Self { world: World::new(), operations: OperationTracker::all(), tape: Tape::default() }
    }
}

impl ReplayOutput {
    /// Takes a moment in; gives the steps that follow from it.
    pub fn take(&mut self, moment: Moment) -> (Vec<Event>, Vec<String>) {
        let Moment { t, at, change, facts, .. } = moment;
        self.tape.take(&mut self.world, &mut self.operations, Told { t, at, change, facts })
    }

    /// The recording is over.
    pub fn finish(&mut self) -> Vec<Event> {
        self.tape.finish(&self.world, &mut self.operations)
    }
}

/// `replay`: every operation of a recording, at once or at a speed.
pub async fn run(
    printer: &Printer,
    stream: Stream,
    recording: impl Iterator<Item = Result<Moment, Problem>>,
    speed: Option<f64>,
) -> Outcome {
    let mut teller = ReplayOutput::default();
    let mut output = FollowOutput::lines(stream);
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
            output.tell(printer, &event, &mut filtering, true);
        }
    }
    for event in teller.finish() {
        told += 1;
        output.tell(printer, &event, &mut filtering, true);
    }
    if told == 0 {
        printer.talk("no rebalance, upgrade or evacuation happens in this recording");
    }
    match unread {
        Some(problem) if read == 0 => Err(problem),
        _ => Ok(Exit::Reached),
    }
}
