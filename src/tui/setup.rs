//! The setup of the view, and the overlays over its pages.

use std::cell::Cell;
use std::fmt;

use jiff::{Timestamp, tz::TimeZone};

use super::marks::Mark;
use crate::error::Problem;
use crate::model::{Backend, BackendRequest, NodeName, Strategy};
use crate::output::theme::{Theme, Tone};
use crate::plan::history::PastEntry;
use crate::plan::rebalance::plan::RebalancePlan;
use crate::plan::upgrade::forecast::UpgradePlan;

/// The change that a prompt confirms.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfirmedAction {
    /// Create the planned rebalance.
    Apply(Strategy, BackendRequest),
    /// Stop the rebalance of this name.
    Stop(String),
    Evacuate(NodeName),
    /// Stop the evacuation of this node.
    StopEvacuation(NodeName),
    /// Change the image of the cluster.
    Upgrade(String),
}

/// A prompt before a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Confirm {
    /// The change.
    pub act: ConfirmedAction,
    /// Its name, in capitals.
    pub title: &'static str,
    /// What will happen, in sentences.
    pub effects: Vec<String>,
    /// Findings and warnings about it.
    pub warnings: Vec<String>,
    /// The equivalent command line.
    pub command: String,
    /// The text to type; empty where no client loses its connection: then Enter confirms.
    pub word: String,
    /// Typed text.
    pub typed: String,
    /// The first line that is shown, where the screen is too low for all.
    pub top: usize,
}

/// A change that is being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeInProgress {
    /// A rebalance is created.
    Create,
    /// This rebalance is stopped.
    Stop(String),
    /// This node is evacuated.
    Evacuate(NodeName),
    /// The evacuation of this node is stopped.
    StopEvacuation(NodeName),
    /// The cluster is upgraded to this image.
    Upgrade(String),
}

impl fmt::Display for ChangeInProgress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create => out.write_str("creating the rebalance"),
            Self::Stop(name) => write!(out, "stopping {name}"),
            Self::Evacuate(node) => write!(out, "evacuating {node}"),
            Self::StopEvacuation(node) => write!(out, "ending the evacuation of {node}"),
            Self::Upgrade(image) => write!(out, "changing the image to {image}"),
        }
    }
}

/// A text over the page: a log, events, a description.
#[derive(Clone, Debug, PartialEq)]
pub struct TextPage {
    /// Its title in capitals, with the pod.
    pub title: String,
    /// The equivalent command line.
    pub command: String,
    pub lines: Vec<(Tone, String)>,
    /// The first line that is shown.
    pub top: usize,
    /// Whether the end is shown first.
    pub from_end: bool,
}

/// An overlay over the page.
#[derive(Clone, Debug, PartialEq)]
pub enum Overlay {
    /// The keys, from this line on.
    Help(usize),
    /// A prompt.
    Confirm(Confirm),
    Text(TextPage),
}

/// The playback of a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Playback {
    /// When the recording began, by its own clock.
    pub begin: Timestamp,
    /// Whether it stands still.
    pub paused: bool,
    /// The multiple of the recorded speed.
    pub speed: f64,
    /// Whether its end is reached.
    pub over: bool,
}

/// A recording as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The time of its first line.
    pub begin: Timestamp,
    /// The time of its last line.
    pub end: Timestamp,
    /// The marks of operations in it.
    pub marks: Vec<Mark>,
    /// The times of the lines that change something.
    pub steps: Vec<Timestamp>,
}

impl Route {
    /// The marks whose time is known.
    pub(crate) fn timed(&self) -> impl DoubleEndedIterator<Item = &Mark> {
        self.marks.iter().filter(|mark| mark.timed)
    }
}

/// The forecast of the plan page, or why there is none.
pub type PlanPreview = Result<(RebalancePlan, Backend, String), Problem>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpgradeForm {
    /// The image to run.
    pub image: String,
    /// Whether it is being typed.
    pub editing: bool,
    /// Whether its plan is being read.
    pub planning: bool,
    pub plan: Option<Result<Box<UpgradePlan>, Problem>>,
    /// The lines of the plan, as it was drawn last.
    pub lines: Cell<usize>,
    /// The first line of the plan that is shown.
    pub top: usize,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one choice of the user")]
pub struct ViewSetup {
    /// The colours and symbols.
    pub theme: Theme,
    /// The user's time zone.
    pub zone: TimeZone,
    /// The text beside the namespace: the context.
    pub place: String,
    /// The API server's address.
    pub server: String,
    /// The flags that reach EMQX, each after a blank: shown commands repeat them.
    pub access: String,
    /// Whether the view can change nothing.
    pub read_only: bool,
    /// Whether the mouse is left to the terminal.
    pub no_mouse: bool,
    /// Whether there may be several clusters.
    pub many: bool,
    /// The initial strategy of the plan page.
    pub strategy: Strategy,
    /// The requested backend.
    pub backend: BackendRequest,
    /// The operations that are shown first and judged; empty for any operation.
    pub wanted: Vec<String>,
    /// Whether this program started it in EMQX with these values.
    pub ours: bool,
    /// A recording, and its playback.
    pub playback: Option<Playback>,
    /// The entries of the user's own history about this cluster.
    pub recorded: Vec<PastEntry>,
    pub now: Timestamp,
}
