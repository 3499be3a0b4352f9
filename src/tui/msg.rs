//! What comes into the one loop, and what goes out of it.

use std::collections::BTreeMap;

use crossterm::event::{KeyEvent, MouseEvent};
use jiff::Timestamp;

use crate::error::Problem;
use crate::model::{Fact, InstanceId, NodeName, PodName, Strategy};
use crate::plan::endpoint::BackendRequest;
use crate::plan::playback::RecordedFacts;

/// Something that happened.
#[derive(Debug)]
pub enum Msg {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse was moved, clicked, or its wheel turned.
    Mouse(MouseEvent),
    /// The terminal has another size.
    Resize,
    /// Something was learned; of EMQX's facts, about which cluster.
    Facts(Timestamp, Vec<(Option<InstanceId>, Fact)>),
    /// The first lists are in: what is seen from here on is a change.
    Ready(Timestamp),
    /// Time went by.
    Tick(Timestamp),
    /// A line of a recording.
    RecordedFacts(RecordedFacts),
    /// The recording is over.
    Over,
    /// The recording begins again.
    Rewound,
    /// Something that was asked for is done.
    Done(Done),
}

/// What an act came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionResult {
    /// What it is called now, where something was made.
    pub name: Option<String>,
    /// The notice.
    pub says: Vec<String>,
}

/// The plan of an upgrade, as `upgrade plan` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpgradePlanText {
    pub lines: Vec<String>,
    /// Whether it would run.
    pub goes: bool,
}

/// Something that was asked for is done.
#[derive(Debug)]
pub enum Done {
    /// A rebalance was created, or not.
    Applied(Result<ActionResult, Problem>),
    /// A rebalance was stopped, or not.
    Stopped(String, Result<ActionResult, Problem>),
    /// Whether we may create a Rebalance for this cluster; `None` when that may not be asked.
    Allowed(InstanceId, Option<bool>),
    /// A recording began (with the name of its file), or ended.
    Recording(Result<Option<String>, Problem>),
    /// A change was made, named by the words, or not.
    Acted(String, Result<ActionResult, Problem>),
    /// The log of this pod.
    Logs(PodName, Result<String, Problem>),
    /// The core of each replicant; `None` where EMQX does not report it.
    Replicants(InstanceId, Result<Option<BTreeMap<NodeName, NodeName>>, Problem>),
    /// What an upgrade to this image would do.
    UpgradePlan(String, Result<UpgradePlanText, Problem>),
    /// The guard of an upgrade ended.
    Guarded(Result<(), Problem>),
    /// Something could not be done.
    Failed(Problem),
}

/// How a recording is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Play {
    /// On or off.
    Pause(bool),
    /// So many times as fast as it happened.
    Speed(f64),
    /// To the next line, and stop there.
    Step,
    /// To the line before, and stop there.
    StepBack,
    /// To the next mark, or the one before.
    Mark(bool),
    /// To the beginning.
    Begin,
    /// So many seconds on, or back.
    Jump(i64),
    End,
}

/// Something to be done outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The view closes.
    Quit,
    /// The user pressed Ctrl-C.
    Interrupt,
    /// The terminal is given back until the shell continues the program (`fg`).
    Suspend,
    /// Everything is drawn again.
    Redraw,
    /// A rebalance is created.
    Apply(InstanceId, Strategy, BackendRequest),
    /// What goes by this name is stopped.
    Stop(InstanceId, String),
    /// This node is evacuated.
    Evacuate(InstanceId, NodeName),
    /// The evacuation of this node is stopped.
    StopEvacuation(InstanceId, NodeName),
    /// An upgrade to this image is planned.
    PlanUpgrade(InstanceId, String),
    /// The image is changed to this one.
    Upgrade(InstanceId, String),
    /// The log of this pod is read.
    Logs(InstanceId, PodName),
    /// EMQX is asked which core each replicant is connected to.
    Replicants(InstanceId),
    /// It is asked whether we may create a Rebalance.
    Allowed(InstanceId),
    /// EMQX is asked now.
    Refresh,
    /// What comes in is recorded, or not any more.
    Record(bool),
    /// A text goes to the clipboard.
    Copy(String),
    /// The recording is played so.
    Play(Play),
    /// The terminal's bell, and this title of its window.
    Alarm(String),
}
