//! The messages into the one loop, and the effects out of it.

use std::collections::BTreeMap;

use crossterm::event::{KeyEvent, MouseEvent};
use jiff::Timestamp;

use super::endings::EndingKey;
use crate::error::Problem;
use crate::model::{BackendRequest, Fact, InstanceId, NodeName, PodName, Strategy};
use crate::plan::history::FollowedOperation;
use crate::plan::playback::RecordedFacts;
use crate::plan::upgrade::forecast::UpgradePlan;

/// Something that happened.
#[derive(Debug)]
pub enum Msg {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse was moved, clicked, or its wheel turned.
    Mouse(MouseEvent),
    /// The terminal has another size.
    Resize,
    /// New facts.
    Facts(Timestamp, Vec<Fact>),
    /// The first lists are complete: later facts are changes.
    Ready(Timestamp),
    /// Time passed.
    Tick(Timestamp),
    /// A line of a recording.
    RecordedFacts(RecordedFacts),
    /// The recording ended.
    Over,
    /// The recording begins again.
    Rewound,
    /// An effect is completed.
    Done(Done),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionResult {
    /// The name of the created object, where one was created.
    pub name: Option<String>,
    /// Notices of the command, and what it verified.
    pub notices: Vec<String>,
}

/// The result of an effect.
#[derive(Debug)]
pub enum Done {
    /// A rebalance was created, or not.
    Applied(Result<ActionResult, Problem>),
    /// A rebalance was stopped, or not.
    Stopped(String, Result<ActionResult, Problem>),
    /// Whether a Rebalance may be created for this cluster; `None` when the permission review failed.
    Allowed(InstanceId, Option<bool>),
    /// A recording began (with the name of its file), or ended.
    Recording(Result<Option<String>, Problem>),
    /// A change was made, named by the text, or failed.
    Acted(String, Result<ActionResult, Problem>),
    /// The log of this pod.
    Logs(PodName, Result<String, Problem>),
    /// The core of each replicant; `None` where EMQX does not report it.
    Replicants(InstanceId, Result<Option<BTreeMap<NodeName, NodeName>>, Problem>),
    /// The plan of an upgrade to this image.
    UpgradePlan(String, Result<Box<UpgradePlan>, Problem>),
    /// These ends are recorded; the texts name what could not be written.
    Recorded(Vec<EndingKey>, Vec<String>),
    /// The guard of an upgrade ended.
    Guarded(Result<(), Problem>),
}

/// A change of the playback of a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Play {
    /// Pauses or continues.
    Pause(bool),
    /// Plays at this multiple of the recorded speed.
    Speed(f64),
    /// Moves to the next line, and pauses.
    Step,
    /// Moves to the previous line, and pauses.
    StepBack,
    /// Moves to the next mark (`true`) or the previous one.
    Mark(bool),
    /// To the beginning.
    Begin,
    /// Moves by this number of seconds, forward or back.
    Jump(i64),
    End,
}

/// An effect outside the state.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The view closes.
    Quit,
    /// The user pressed Ctrl-C.
    Interrupt,
    /// The program is suspended until the shell continues it (`fg`).
    Suspend,
    /// Everything is drawn again.
    Redraw,
    /// A rebalance is created.
    Apply(InstanceId, Strategy, BackendRequest),
    /// The operation of this name is stopped.
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
    /// The permission to create a Rebalance is reviewed.
    Allowed(InstanceId),
    /// EMQX is asked now.
    Refresh,
    /// The verdicts of operations that ended are recorded in the history and in the cluster.
    RecordVerdicts(Vec<FollowedOperation>),
    /// The recording of facts starts or ends.
    Record(bool),
    /// A text is copied to the clipboard.
    Copy(String),
    /// The playback changes.
    Play(Play),
    /// The terminal's bell, and this title of its window.
    Alarm(String),
}
