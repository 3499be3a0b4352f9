//! The context of the view: the source of facts, and the possible actions. `app` fills it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::msg::ActionResult;
use super::setup::ViewSetup;
use crate::error::Problem;
use crate::model::{BackendRequest, InstanceId, NodeName, PodName, Strategy, Target};
use crate::plan::history::FollowedOperation;
use crate::plan::playback::RecordedFacts;
use crate::plan::upgrade::forecast::UpgradePlan;
use crate::ports::{BoxedFuture, Brokers, Clock, Kubernetes, Scope};

/// Actions on a cluster; they run the same code as the commands.
pub trait ClusterActions {
    /// Creates a rebalance, after a refresh of the counts.
    fn apply<'a>(
        &'a self,
        id: &'a InstanceId,
        strategy: &'a Strategy,
        backend: BackendRequest,
    ) -> BoxedFuture<'a, ActionResult>;
    /// Stops the operation of this name, and verifies that it stopped.
    fn stop<'a>(&'a self, id: &'a InstanceId, name: &'a str) -> BoxedFuture<'a, ActionResult>;
    /// Evacuates a node with EMQX's default rates, after the checks.
    fn evacuate<'a>(&'a self, id: &'a InstanceId, node: &'a NodeName) -> BoxedFuture<'a, ActionResult>;
    /// Stops the evacuation of a node, and verifies that it serves again.
    fn stop_evacuation<'a>(&'a self, id: &'a InstanceId, node: &'a NodeName)
    -> BoxedFuture<'a, ActionResult>;
    /// The plan of an upgrade to this image.
    fn plan_upgrade<'a>(&'a self, id: &'a InstanceId, image: &'a str) -> BoxedFuture<'a, UpgradePlan>;
    /// Changes the image, after the checks.
    fn upgrade<'a>(&'a self, id: &'a InstanceId, image: &'a str) -> BoxedFuture<'a, ActionResult>;
    /// Continues a guarded upgrade to its end; returns at once where none is guarded.
    fn guard_upgrade<'a>(&'a self, id: &'a InstanceId) -> BoxedFuture<'a, ()>;
    /// The last lines of the log of a pod.
    fn logs<'a>(&'a self, id: &'a InstanceId, pod: &'a PodName) -> BoxedFuture<'a, String>;
    /// The core of each replicant; `None` where EMQX does not report it.
    fn replicants<'a>(
        &'a self,
        id: &'a InstanceId,
        target: Target,
    ) -> BoxedFuture<'a, Option<BTreeMap<NodeName, NodeName>>>;
    /// Records how operations ended; returns what could not be written.
    fn record(&self, ended: Vec<FollowedOperation>) -> BoxedFuture<'_, Vec<String>>;
    /// Whether a Rebalance may be created; `None` when the permission review fails.
    fn allowed<'a>(&'a self, id: &'a InstanceId) -> BoxedFuture<'a, Option<bool>>;
}

/// Recording, switched on and off while the view is open.
pub trait Records {
    /// Begins, into a file of this name if one is given. Returns the file's name.
    fn begin(&self) -> Result<String, Problem>;
    /// Ends; returns why writing stopped earlier, if it did.
    fn end(&self) -> Result<(), Problem>;
}

/// A live cluster.
pub struct Live {
    /// The Kubernetes API.
    pub kubernetes: Rc<dyn Kubernetes>,
    /// EMQX's API.
    pub brokers: Rc<dyn Brokers>,
    /// The server's clock.
    pub clock: Rc<dyn Clock>,
    /// The listed and watched resources.
    pub scope: Scope,
    /// The possible actions.
    pub acts: Rc<dyn ClusterActions>,
    pub records: Rc<dyn Records>,
    /// The file of a recording from the start.
    pub recording: Option<String>,
}

/// The lines of a recording, from its beginning.
pub type Lines = Box<dyn Iterator<Item = Result<RecordedFacts, Problem>>>;

/// Opens a recording; called again for every step back.
pub type OpenRecording = Rc<dyn Fn() -> Result<Lines, Problem>>;

pub enum FactSource {
    /// A live cluster.
    Live(Live),
    Recording(OpenRecording),
}

/// Everything that the view is opened with.
pub struct ViewContext {
    /// The initial state.
    pub setup: ViewSetup,
    /// The source of facts.
    pub from: FactSource,
    /// For how long, in real time.
    pub timeout: Option<Duration>,
    /// Ends when the process is interrupted from outside.
    pub interrupt: std::pin::Pin<Box<dyn Future<Output = ()>>>,
    /// Whether the exit code is that of the followed rebalance.
    pub judged: bool,
}
