//! Plays a recording: its own time, as fast as the user wants, with pause, step and jump. Going back is playing again from
//! the beginning.

use std::iter::Peekable;

use jiff::{SignedDuration, Timestamp};

use super::hands::{Lines, OpenTape};
use super::msg::{Msg, Play};
use super::state::State;
use super::update::update;
use crate::error::Problem;
use crate::plan::tape::{HOLE, Told};

pub struct Player {
    open: OpenTape,
    lines: Peekable<Lines>,
    begin: Timestamp,
    at: Timestamp,
    /// The last line's.
    last: Timestamp,
    speed: f64,
    paused: bool,
}

impl Player {
    /// At the beginning.
    pub fn new(open: OpenTape, begin: Timestamp, speed: f64) -> Result<Self, Problem> {
        let lines = open()?.peekable();
        Ok(Self { open, lines, begin, at: begin, last: begin, speed, paused: false })
    }

    /// Whether time goes on by itself.
    pub fn plays(&mut self) -> bool {
        !self.paused && self.lines.peek().is_some()
    }

    /// The next line that can be read; what cannot be read is told and passed over.
    fn peek(&mut self, state: &mut State) -> Option<&Told> {
        while let Some(Err(problem)) = self.lines.peek() {
            let text = problem.to_string();
            state.say(crate::output::theme::Tone::Warning, text);
            self.lines.next();
        }
        self.lines.peek().and_then(|line| line.as_ref().ok())
    }

    fn take(&mut self, state: &mut State, until: Timestamp) {
        while self.peek(state).is_some_and(|told| told.at <= until) {
            if let Some(Ok(told)) = self.lines.next() {
                self.last = told.at;
                update(state, Msg::Told(told));
            }
        }
        if self.lines.peek().is_none() {
            update(state, Msg::Over);
        }
    }

    /// So many seconds of the wall went by.
    pub fn advance(&mut self, state: &mut State, seconds: f64) {
        if !self.plays() {
            return;
        }
        let passed = SignedDuration::try_from_secs_f64(seconds * self.speed).unwrap_or_default();
        self.go(state, self.at.checked_add(passed).unwrap_or(self.at));
    }

    fn go(&mut self, state: &mut State, to: Timestamp) {
        let mut to = to;
        // Nobody wants to wait for the end of a hole.
        if let Some(next) = self.peek(state).map(|told| told.at)
            && next.duration_since(to).as_secs() > HOLE
        {
            to = next;
        }
        self.take(state, to);
        // Behind the last line there is nothing.
        self.at = if self.lines.peek().is_some() { to } else { self.last };
        update(state, Msg::Tick(self.at));
    }

    /// What the user wants.
    pub fn play(&mut self, state: &mut State, play: Play) -> Result<(), Problem> {
        match play {
            Play::Pause(paused) => self.paused = paused,
            Play::Speed(speed) => self.speed = speed,
            Play::Step => {
                self.paused = true;
                // What was listed at the beginning is one step.
                while let Some((at, change)) = self.peek(state).map(|told| (told.at, told.change)) {
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
                self.lines = (self.open)()?.peekable();
                self.at = self.begin;
                update(state, Msg::Rewound);
                self.go(state, to);
            }
            Play::End => {
                let far =
                    self.at.checked_add(SignedDuration::from_hours(24 * 3650)).unwrap_or(Timestamp::MAX);
                self.take(state, far);
            }
        }
        Ok(())
    }
}
