//! The state of the view: the world, each cluster with its trackers and history, and the user's position.
//! Only [`mod@super::update`] changes it; [`super::view`] reads it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::click_targets::ClickTargets;
pub use super::cluster_state::ClusterState;
use super::curves;
use super::endings::Endings;
use super::form::PlanForm;
use super::keys::{KeyScope, Needs};
use super::rows::{Row, Sources};
use super::setup::{ChangeInProgress, Overlay, PlanPreview, Route, UpgradeForm, ViewSetup};
use super::sort::{Order, SortBy};
use super::view_model::ViewModel;
use crate::model::{InstanceId, Link, Operation, Target, World};
use crate::output::theme::{Theme, Tone};
use crate::plan::endpoint::target;
use crate::plan::evacuation::run::EvacuationRun;
use crate::plan::history::{FollowedOperation, followed};
use crate::plan::playback::PlaybackState;
use crate::plan::snapshot::snapshot;

pub type Page = KeyScope;

/// The state of the view.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that the user switched, or that happened"
)]
#[derive(Debug)]
pub struct State {
    pub setup: ViewSetup,
    pub now: Timestamp,
    /// All facts.
    pub world: World,
    /// The listed clusters.
    pub clusters: BTreeMap<InstanceId, ClusterState>,
    /// The cluster that is open.
    pub open: Option<InstanceId>,
    pub page: Page,
    pub overlay: Option<Overlay>,
    /// The filter and the order of the rows.
    pub order: Order,
    /// Whether a filter is being typed.
    pub filtering: bool,
    /// The row under the cursor, by its key.
    pub selected: Option<String>,
    /// Its index among the rows.
    pub cursor: usize,
    /// The index among the clusters.
    pub cluster: usize,
    /// The first line of the table that is shown; the view moves it so that the cursor is visible.
    pub top: Cell<usize>,
    /// The lines of a page, as last drawn.
    pub lines: Cell<usize>,
    /// The greatest first line of the text that scrolls, as last drawn.
    pub last_top: Cell<usize>,
    /// The ends of operations, and whether they are recorded.
    pub(super) endings: Endings,
    /// The visible columns by which rows can be sorted.
    pub sortable: RefCell<Vec<SortBy>>,
    /// The positions in the table.
    pub hits: RefCell<ClickTargets>,
    /// Whether the keys scroll the notices; on the plan page, its findings.
    pub notices: bool,
    /// The number of newer notices that are scrolled away.
    pub back: usize,
    /// Whether all columns are shown.
    pub wide: bool,
    /// The settings of the chart.
    pub chart: curves::ChartSettings,
    /// Since when the view is frozen.
    pub frozen: Option<Timestamp>,
    /// The interval of EMQX requests, if the user chose one.
    pub every: Option<Duration>,
    /// The values of the plan page.
    pub form: PlanForm,
    /// The values of the upgrade page.
    pub upgrade: Option<UpgradeForm>,
    /// The index of the operation under the cursor of the history.
    pub past: usize,
    pub forecast: Option<PlanPreview>,
    /// Whether the forecast is older than its inputs.
    pub(crate) forecast_due: bool,
    /// Whether a Rebalance may be created for the open cluster.
    pub allowed: Option<bool>,
    /// The file of the recording.
    pub recording: Option<String>,
    /// The last message of the footer, and its time.
    pub message: Option<(Tone, String, Timestamp)>,
    /// The action in progress.
    pub doing: Option<ChangeInProgress>,
    /// The operations that the user stopped in the view, verified: they ended as requested.
    pub stopped: Vec<String>,
    /// Whether the first lists are complete.
    pub ready: bool,
    /// The position in the recording.
    pub playback_state: PlaybackState,
    /// The begin, the end and the marks of the recording.
    pub route: Option<Route>,
    /// Batches of facts so far, without answers of EMQX that only have counts: what follows from the other facts is worked out
    /// again when this changes.
    pub(crate) learned: u64,
    /// Whether the board is older than the world.
    pub stale: bool,
    /// Whether a frame is due.
    pub dirty: bool,
}

impl State {
    /// The view before any fact.
    pub fn new(setup: ViewSetup) -> Self {
        let page = if setup.many { Page::Clusters } else { Page::Table };
        let form = PlanForm::new(setup.strategy.clone(), setup.backend);
        Self {
            now: setup.now,
            world: World::new(),
            clusters: BTreeMap::new(),
            open: None,
            page,
            overlay: None,
            order: Order::default(),
            filtering: false,
            selected: None,
            cursor: 0,
            cluster: 0,
            top: Cell::new(0),
            lines: Cell::new(10),
            last_top: Cell::new(usize::MAX),
            endings: Endings::default(),
            sortable: RefCell::new(SortBy::ALL.to_vec()),
            hits: RefCell::default(),
            notices: false,
            back: 0,
            wide: false,
            chart: curves::ChartSettings::default(),
            frozen: None,
            every: None,
            form,
            upgrade: None,
            past: 0,
            forecast: None,
            forecast_due: false,
            allowed: None,
            recording: None,
            message: None,
            doing: None,
            stopped: Vec::new(),
            ready: false,
            playback_state: PlaybackState::default(),
            route: None,
            learned: 0,
            stale: true,
            dirty: true,
            setup,
        }
    }

    /// Clears the state for a replay from the beginning; the user's position stays.
    pub(crate) fn rewind(&mut self) {
        self.world = World::new();
        self.clusters.clear();
        self.playback_state = PlaybackState::default();
        self.ready = false;
        self.stale = true;
        if let Some(playback) = &mut self.setup.playback {
            playback.over = false;
            self.now = playback.begin;
        }
    }

    pub(crate) fn theme(&self) -> Theme {
        self.setup.theme
    }

    /// The open cluster.
    pub fn here(&self) -> Option<&ClusterState> {
        self.clusters.get(self.open.as_ref()?)
    }

    /// The operations of live clusters that ended while the view was open.
    pub(super) fn ended(&self) -> Vec<FollowedOperation> {
        if self.setup.playback.is_some() {
            return Vec::new();
        }
        let (since, now) = (self.setup.now, self.now);
        let clusters = self.clusters.iter();
        clusters.flat_map(|(id, cluster)| followed(&cluster.operations, id, since, now)).collect()
    }

    /// The board of the open cluster.
    pub fn board(&self) -> Option<&ViewModel> {
        self.here()?.board.as_ref()
    }

    /// The shown moment.
    pub(crate) fn shown_at(&self) -> Timestamp {
        self.frozen.unwrap_or(self.now)
    }

    /// Opens a cluster.
    pub fn open(&mut self, id: &InstanceId) {
        self.open = Some(id.clone());
        self.page = Page::Table;
        self.selected = None;
        self.cursor = 0;
        self.top.set(0);
        self.back = 0;
        self.allowed = None;
        self.forecast = None;
        self.order.filter.clear();
        self.stale = true;
    }

    /// Whether an operation runs in a cluster, or may start soon: then EMQX is queried every second.
    pub(crate) fn busy(&self, id: &InstanceId) -> bool {
        let Some(cluster) = self.clusters.get(id) else { return false };
        self.doing.is_some() || cluster.operations.is_busy(&self.world, id)
    }

    /// The clusters whose EMQX is queried, the target, and the interval.
    pub(crate) fn wanted(&self) -> Vec<(InstanceId, Target, Duration)> {
        let with = |(id, every)| Some((InstanceId::clone(id), self.target(id)?, every));
        self.asked().into_iter().filter_map(with).collect()
    }

    /// Where the EMQX of a cluster is queried.
    pub(crate) fn target(&self, id: &InstanceId) -> Option<Target> {
        Some(target(&self.world, self.world.instance(id)?))
    }

    /// The clusters whose EMQX is queried, and the interval. At most 32 at once.
    pub(crate) fn asked(&self) -> Vec<(&InstanceId, Duration)> {
        let all: Vec<&InstanceId> = match (&self.open, self.page) {
            (Some(open), _) if self.page != Page::Clusters => vec![open],
            _ => self.clusters.keys().take(32).collect(),
        };
        all.into_iter()
            .filter(|id| self.world.instance(id).is_some())
            .map(|id| {
                let every = if self.busy(id) {
                    Duration::from_secs(1)
                } else if self.page == Page::Plan {
                    Duration::from_secs(5)
                } else {
                    Duration::from_secs(10)
                };
                (id, self.every.unwrap_or(every))
            })
            .collect()
    }

    /// Whether EMQX of this cluster has responded and has not become unreachable since.
    pub(crate) fn receives_from(&self, id: &InstanceId) -> bool {
        let sources = &self.world.broker(id).sources;
        !sources.is_empty() && sources.values().all(|source| source.link == Link::Up)
    }

    /// Whether the precondition of a key holds.
    pub(crate) fn can(&self, needs: Needs) -> bool {
        let live = self.setup.playback.is_none();
        match needs {
            Needs::Nothing => true,
            Needs::Live => live,
            Needs::Act => live && !self.setup.read_only,
            Needs::Running => live && !self.setup.read_only && self.running().is_some(),
            Needs::Recording => !live,
        }
    }

    /// The name of the running rebalance of the open cluster.
    pub(crate) fn running(&self) -> Option<String> {
        self.here()?.operations.rebalances.running().map(|run| run.name.clone())
    }

    /// Whether a stop that was requested in the view is in progress.
    pub(crate) fn stopping(&self) -> bool {
        matches!(self.doing, Some(ChangeInProgress::Stop(_)))
    }

    /// The name of the running rebalance or upgrade of the open cluster.
    pub(crate) fn going(&self) -> Option<String> {
        let upgrades = &self.here()?.operations.upgrades;
        let upgrade = || Some(upgrades.running()?.name.clone());
        let evacuation = || {
            let running = |run: &&EvacuationRun| run.verdict.is_none();
            Some(upgrades.evacuations.runs.iter().rfind(running)?.name.clone())
        };
        self.running().or_else(upgrade).or_else(evacuation)
    }

    /// Whether the view changes every second without new facts.
    pub(crate) fn lively(&self) -> bool {
        let operation = |board: &ViewModel| board.status.operation != Operation::None;
        match (&self.open, self.page) {
            (Some(id), _) if self.page != Page::Clusters => {
                self.busy(id) || self.board().is_some_and(operation)
            }
            _ => self.clusters.values().filter_map(|it| it.board.as_ref()).any(operation),
        }
    }

    /// The world is newer than the board.
    pub(super) fn changed(&mut self) {
        self.stale = true;
        // A frozen view is not drawn again.
        self.dirty |= self.frozen.is_none();
    }

    /// Computes the board again if it is older than the world, and the forecast if its page is open. A frozen
    /// view does not change.
    pub fn refresh(&mut self) {
        self.refresh_board();
        self.forecast_again();
    }

    /// Computes the board again if it is older than the world.
    pub(crate) fn refresh_board(&mut self) {
        if !self.stale {
            return;
        }
        self.stale = false;
        if self.frozen.is_some() {
            return;
        }
        let ids: Vec<InstanceId> = match (&self.open, self.page) {
            (Some(open), _) if self.page != Page::Clusters => vec![open.clone()],
            _ => self.clusters.keys().cloned().collect(),
        };
        let (theme, now, zone) = (self.theme(), self.now, self.setup.zone.clone());
        for id in ids {
            let Some(cluster) = self.clusters.get_mut(&id) else { continue };
            // The old board is not needed for the new one: both at once take 2 MB more with 1000 nodes.
            cluster.board = None;
            let sources = Sources {
                world: &self.world,
                id: &id,
                operations: &cluster.operations,
                history: &cluster.history,
                recorded: &self.setup.recorded,
                theme,
                zone: &zone,
                now,
            };
            cluster.board = Some(ViewModel::of(sources, &self.order));
        }
        self.find_cursor();
        self.foresee();
    }

    /// An input of the plan has changed: the plan is forecast again before the next frame, or after it where
    /// a key has to be answered first.
    pub(crate) fn foresee(&mut self) {
        self.forecast_due = self.page == Page::Plan;
    }

    /// Forecasts again, if that is due.
    pub(crate) fn forecast_again(&mut self) {
        if !std::mem::take(&mut self.forecast_due) || self.page != Page::Plan {
            return;
        }
        let Some(id) = self.open.clone() else { return };
        let snapshot = snapshot(&self.world, &id, self.now);
        let forecast = if self.form.typing.is_empty() {
            self.form.plan(&self.world, &snapshot, self.allowed)
        } else {
            // The text that is being typed counts as the value.
            let mut tried = self.form.clone();
            tried.commit();
            tried.plan(&self.world, &snapshot, self.allowed)
        };
        self.forecast = Some(forecast);
    }

    /// Sorts the rows again.
    pub(crate) fn arrange(&mut self) {
        let order = self.order.clone();
        let open = self.open.clone();
        if let Some(board) =
            open.and_then(|open| self.clusters.get_mut(&open)).and_then(|it| it.board.as_mut())
        {
            board.arrange(&order);
        }
        self.find_cursor();
    }

    /// The cursor follows its row; when the row no longer exists the cursor keeps its place.
    fn find_cursor(&mut self) {
        let Some(board) = self.board() else { return };
        // A pod that becomes an EMQX node has the node's name as its key from then on.
        let is =
            |row: &Row, key: &str| row.key == key || row.pod.as_ref().is_some_and(|pod| pod.as_str() == key);
        let place = self.selected.as_ref().and_then(|key| board.shown().position(|row| is(row, key)));
        let cursor = place.unwrap_or(self.cursor.min(board.shown().count().saturating_sub(1)));
        let selected = board.shown().nth(cursor).map(|row| row.key.clone());
        // A deleted node stays selected in the detail page.
        let gone = place.is_none() && self.page == Page::Detail && self.selected.is_some();
        self.cursor = cursor;
        if !gone {
            self.selected = selected;
        }
    }

    /// Puts the cursor on a row.
    pub(crate) fn select(&mut self, cursor: usize) {
        let Some(board) = self.board() else { return };
        let count = board.shown().count();
        let cursor = cursor.min(count.saturating_sub(1));
        let key = board.shown().nth(cursor).map(|row| row.key.clone());
        self.cursor = cursor;
        self.selected = key;
    }

    /// Shows a message in the footer.
    pub(crate) fn show_message(&mut self, tone: Tone, text: impl Into<String>) {
        self.message = Some((tone, text.into(), self.now));
        self.dirty = true;
    }

    /// The ids of the clusters that fit the filter.
    pub(crate) fn listed(&self) -> Vec<&InstanceId> {
        let needle = self.order.filter.to_lowercase();
        let fits = |id: &&InstanceId| {
            needle.is_empty() || format!("{}/{}", id.namespace, id.name).to_lowercase().contains(&needle)
        };
        self.clusters.keys().filter(fits).collect()
    }
}
