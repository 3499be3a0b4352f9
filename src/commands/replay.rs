//! `replay`: a recording as the steps and verdicts of every operation in it.

use jiff::Timestamp;

use super::Outcome;
use super::follow_output::{Filtering, FollowOutput};
use crate::cli::intent::Stream;
use crate::error::{Exit, Problem};
use crate::model::{Event, World};
use crate::output::Printer;
use crate::plan::playback::{PlaybackState, RecordedFacts};
use crate::plan::tracker::RecordedOperations;
use crate::ports::Moment;

/// Replays the operations of a recording.
#[derive(Clone, Default)]
pub struct ReplayOutput {
    world: World,
    operations: RecordedOperations,
    playback: PlaybackState,
}

impl ReplayOutput {
    /// Processes a moment; returns the events and notices that follow from it.
    pub fn take(&mut self, moment: Moment) -> (Vec<Event>, Vec<String>) {
        let Moment { t, at, change, facts, .. } = moment;
        self.playback.take(&mut self.world, &mut self.operations, RecordedFacts { t, at, change, facts })
    }

    /// The recording ended.
    pub fn finish(&mut self) -> Vec<Event> {
        self.playback.finish(&self.world, &mut self.operations)
    }

    /// The world and the trackers at this moment.
    pub(crate) fn known(&self) -> (&World, &RecordedOperations) {
        (&self.world, &self.operations)
    }
}

/// The moments of a recording that can be read; a line that cannot be read is a notice.
pub struct ReadableMoments<'a, I> {
    printer: &'a Printer,
    recording: I,
    any: bool,
    unread: Option<Problem>,
}

impl<'a, I: Iterator<Item = Result<Moment, Problem>>> ReadableMoments<'a, I> {
    pub(crate) fn new(printer: &'a Printer, recording: I) -> Self {
        Self { printer, recording, any: false, unread: None }
    }

    /// The first problem, where no line could be read.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        self.unread.filter(|_| !self.any).map_or(Ok(()), Err)
    }
}

impl<I: Iterator<Item = Result<Moment, Problem>>> Iterator for ReadableMoments<'_, I> {
    type Item = Moment;

    fn next(&mut self) -> Option<Moment> {
        loop {
            match self.recording.next()? {
                Ok(moment) => {
                    self.any = true;
                    return Some(moment);
                }
                Err(problem) => {
                    self.printer.notice(&problem.to_string());
                    self.unread.get_or_insert(problem);
                }
            }
        }
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
    let mut printed = 0_usize;
    let mut moments = ReadableMoments::new(printer, recording);
    for moment in moments.by_ref() {
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
            printed += 1;
            output.print(printer, &event, &mut filtering, true);
        }
    }
    for event in teller.finish() {
        printed += 1;
        output.print(printer, &event, &mut filtering, true);
    }
    if printed == 0 {
        printer.talk("no rebalance, upgrade or evacuation happens in this recording");
    }
    moments.finish().map(|()| Exit::Reached)
}
