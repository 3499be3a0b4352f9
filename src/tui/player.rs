//! Plays a recording on its own time, at the user's speed, with pause, step and jump. A step back replays the
//! recording from its beginning.

use std::iter::Peekable;

use jiff::{SignedDuration, Timestamp};

use super::context::{Lines, OpenRecording};
use super::msg::{Msg, Play};
use super::setup::{Route, ViewSetup};
use super::state::State;
use super::update::update;
use crate::error::Problem;
use crate::plan::playback::{LONGEST_GAP, RecordedFacts};

pub struct Player {
    open: OpenRecording,
    lines: Peekable<Lines>,
    begin: Timestamp,
    at: Timestamp,
    /// The time of the last line.
    last: Timestamp,
    speed: f64,
    paused: bool,
}

impl Player {
    /// A player at the beginning of the recording.
    pub fn new(open: OpenRecording, begin: Timestamp, speed: f64) -> Result<Self, Problem> {
        let lines = open()?.peekable();
        Ok(Self { open, lines, begin, at: begin, last: begin, speed, paused: false })
    }

    /// Reads the whole recording once, without display, for its end and its marks.
    pub fn survey(&self, setup: &ViewSetup) -> Result<Route, Problem> {
        let mut state = State::new(setup.clone());
        let (mut steps, mut end) = (Vec::new(), self.begin);
        // A line that cannot be read is reported when it is played.
        for recorded in (self.open)()?.flatten() {
            end = end.max(recorded.at);
            if recorded.change && steps.last().is_none_or(|last| *last < recorded.at) {
                steps.push(recorded.at);
            }
            update(&mut state, Msg::RecordedFacts(recorded));
        }
        update(&mut state, Msg::Over);
        let marks = state.here().into_iter().flat_map(|cluster| cluster.marks.iter()).cloned().collect();
        Ok(Route { begin: self.begin, end, marks, steps })
    }

    /// Whether time advances by itself.
    pub(crate) fn plays(&mut self) -> bool {
        !self.paused && self.lines.peek().is_some()
    }

    /// The next readable line; a line that cannot be read is reported and skipped.
    fn peek(&mut self, state: &mut State) -> Option<&RecordedFacts> {
        while let Some(Err(problem)) = self.lines.peek() {
            let text = problem.to_string();
            state.show_message(crate::output::theme::Tone::Warning, text);
            self.lines.next();
        }
        self.lines.peek().and_then(|line| line.as_ref().ok())
    }

    fn take(&mut self, state: &mut State, until: Timestamp) {
        while self.peek(state).is_some_and(|recorded| recorded.at <= until) {
            if let Some(Ok(recorded)) = self.lines.next() {
                self.last = recorded.at;
                update(state, Msg::RecordedFacts(recorded));
            }
        }
        if self.lines.peek().is_none() {
            update(state, Msg::Over);
        }
    }

    /// Advances by this number of seconds of real time.
    pub fn advance(&mut self, state: &mut State, seconds: f64) {
        if !self.plays() {
            return;
        }
        let passed = SignedDuration::try_from_secs_f64(seconds * self.speed).unwrap_or_default();
        self.go(state, self.at.checked_add(passed).unwrap_or(self.at));
    }

    fn go(&mut self, state: &mut State, to: Timestamp) {
        let mut to = to;
        // A gap in the recording is skipped.
        if let Some(next) = self.peek(state).map(|recorded| recorded.at)
            && next.duration_since(to).as_secs() > LONGEST_GAP
        {
            to = next;
        }
        self.take(state, to);
        // After the last line the time does not advance.
        self.at = if self.lines.peek().is_some() { to } else { self.last };
        update(state, Msg::Tick(self.at));
    }

    /// Moves back: replays from the beginning up to this time.
    fn back_to(&mut self, state: &mut State, to: Timestamp) -> Result<(), Problem> {
        self.lines = (self.open)()?.peekable();
        self.at = self.begin;
        update(state, Msg::Rewound);
        self.go(state, to);
        Ok(())
    }

    /// Carries out a change of the playback.
    pub fn play(&mut self, state: &mut State, play: Play) -> Result<(), Problem> {
        match play {
            Play::Pause(paused) => self.paused = paused,
            Play::Speed(speed) => self.speed = speed,
            Play::Step => {
                self.paused = true;
                // The lists at the beginning are one step.
                while let Some((at, change)) = self.peek(state).map(|recorded| (recorded.at, recorded.change))
                {
                    self.go(state, at);
                    if change {
                        break;
                    }
                }
            }
            Play::Jump(seconds) if seconds >= 0 => {
                self.go(state, self.at + SignedDuration::from_secs(seconds));
            }
            Play::Jump(seconds) => {
                let to = (self.at + SignedDuration::from_secs(seconds)).max(self.begin);
                self.back_to(state, to)?;
            }
            Play::End => {
                let far =
                    self.at.checked_add(SignedDuration::from_hours(24 * 3650)).unwrap_or(Timestamp::MAX);
                self.take(state, far);
                self.at = self.last;
                update(state, Msg::Tick(self.at));
            }
            Play::Begin => self.back_to(state, self.begin)?,
            Play::StepBack => {
                self.paused = true;
                let at = self.at;
                let before: Vec<Timestamp> =
                    state.route.iter().flat_map(|route| &route.steps).copied().collect();
                if let Some(to) = before.into_iter().rfind(|step| *step < at) {
                    self.back_to(state, to)?;
                }
            }
            Play::Mark(forward) => {
                let at = self.at;
                let marks: Vec<Timestamp> =
                    state.route.iter().flat_map(Route::timed).map(|mark| mark.at).collect();
                if forward {
                    if let Some(to) = marks.into_iter().find(|mark| *mark > at) {
                        self.go(state, to);
                    }
                } else if let Some(to) = marks.into_iter().rfind(|mark| *mark < at) {
                    self.back_to(state, to)?;
                }
            }
        }
        Ok(())
    }
}
