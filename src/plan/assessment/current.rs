//! What one assessment is made from, and why it is unknown what EMQX runs.

use jiff::Timestamp;

use crate::model::human::{duration, seconds_between};
use crate::model::{BrokerState, EvictionStatus, Instance, Source, World};
use crate::plan::snapshot::{Snapshot, SourceState};

/// The data by which an operation is judged.
#[derive(Clone, Copy)]
pub(super) struct Current<'a> {
    pub(super) world: &'a World,
    pub(super) instance: Option<&'a Instance>,
    pub(super) snapshot: &'a Snapshot,
    /// EMQX's answer about the operations that it runs; `None` where it is not current.
    pub(super) load: Option<&'a EvictionStatus>,
    pub(super) now: Timestamp,
}

impl<'a> Current<'a> {
    /// What the EMQX of the instance has answered.
    pub(super) fn broker(&self) -> &'a BrokerState {
        self.world.broker(&self.snapshot.instance)
    }

    /// Why it is unknown what EMQX runs; `None` where it is known.
    pub(super) fn unknown(&self) -> Option<String> {
        if self.load.is_some() {
            return None;
        }
        if let Some(wrong) = &self.snapshot.wrong_emqx {
            return Some(wrong.clone());
        }
        Some(match self.broker().load {
            Some(_) => silence(self.world, self.snapshot, self.now),
            None => not_asked(self.snapshot),
        })
    }
}

/// For how long EMQX has not answered, as text.
pub(super) fn silence(world: &World, snapshot: &Snapshot, now: Timestamp) -> String {
    let answered = world.broker(&snapshot.instance).load.as_ref().map(|load| load.at);
    let why = snapshot.sources.get(&Source::Emqx).and_then(|age| age.why.clone());
    let since = answered.map(|at| duration(seconds_between(at, now))).unwrap_or_default();
    match why {
        // It answers, and refuses one of its calls.
        Some(why) if snapshot.source(Source::Emqx) == SourceState::Forbidden => why,
        Some(why) => format!("EMQX has not answered for {since}: {why}"),
        None => format!("EMQX has not answered for {since}"),
    }
}

/// Why EMQX's answer is missing.
pub(super) fn not_asked(snapshot: &Snapshot) -> String {
    let why = snapshot.sources.get(&Source::Emqx).and_then(|age| age.why.clone());
    why.unwrap_or_else(|| "EMQX was not asked".to_owned())
}
