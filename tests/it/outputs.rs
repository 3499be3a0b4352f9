//! Compares what all outputs of the program report of the same facts: `status` as text and JSON, `nodes`, `rebalance list`,
//! the events and plain lines of a follower, and the head of the view.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kubectl_emqx::cli::intent::Output;
use kubectl_emqx::model::form::Look;
use kubectl_emqx::model::{
    Backend, BackendRequest, Event, EventType, InstanceId, Operation, Phase, Rebalance, Strategy, Verdict,
    World,
};
use kubectl_emqx::output::Printer;
use kubectl_emqx::output::theme::Theme;
use kubectl_emqx::plan::assessment::assess;
use kubectl_emqx::plan::finding::Decision;
use kubectl_emqx::plan::playback::{PlaybackState, RecordedFacts};
use kubectl_emqx::plan::rebalance::plan::Return;
use kubectl_emqx::plan::rebalance::preflight::{self, RebalanceRequest};
use kubectl_emqx::plan::rebalance::run::RebalanceRun;
use kubectl_emqx::plan::results::{Nodes, RebalanceItem, Status, items};
use kubectl_emqx::plan::snapshot::snapshot;
use kubectl_emqx::plan::status::{status, status_with};
use kubectl_emqx::plan::tracker::{OperationTracker, RecordedOperations};
use kubectl_emqx::ports::Moment;
use kubectl_emqx::tui::{Msg, Playback, State, ViewSetup, update, view};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::Value;

/// All outputs on one recording.
pub(crate) struct Outputs {
    world: World,
    operations: RecordedOperations,
    playback: PlaybackState,
    view: State,
    shown: Option<String>,
    first: Option<f64>,
    began: bool,
    /// The number of compared steps.
    pub(crate) steps: usize,
    /// The differences, one sentence each.
    pub(crate) differences: Vec<String>,
}

impl Outputs {
    pub(crate) fn new(begin: Timestamp) -> Self {
        let setup = ViewSetup {
            theme: Theme { color: false, ascii: true },
            zone: TimeZone::UTC,
            place: String::new(),
            access: String::new(),
            server: String::new(),
            read_only: true,
            no_mouse: true,
            many: false,
            strategy: Strategy::default(),
            backend: BackendRequest::Auto,
            wanted: Vec::new(),
            ours: false,
            playback: Some(Playback { begin, paused: false, speed: 1.0, over: false }),
            recorded: Vec::new(),
            now: begin,
        };
        Self {
            world: World::new(),
            operations: RecordedOperations::default(),
            playback: PlaybackState::default(),
            view: State::new(setup),
            shown: None,
            first: None,
            began: false,
            steps: 0,
            differences: Vec::new(),
        }
    }

    /// Applies one line of a recording and compares.
    pub(crate) fn take(&mut self, moment: Moment) {
        let Moment { t, at, change, facts, .. } = moment;
        let replayed = RecordedFacts { t, at, change, facts };
        update(&mut self.view, Msg::RecordedFacts(replayed.clone()));
        let (mut events, _) = self.playback.take(&mut self.world, &mut self.operations, replayed);
        // A line that is printed because 30 s have passed may belong to a second before this step.
        events.retain(|event| event.verdict.is_some() || event.time == at);
        update(&mut self.view, Msg::Tick(at));
        self.view.refresh();
        // The lists at the beginning are one step.
        let first = *self.first.get_or_insert(t);
        self.began |= change || t - first > 1.0;
        let ids = if self.began { self.world.ids() } else { Vec::new() };
        for id in ids {
            self.steps += 1;
            let found = self.compare(&id, &events, at);
            for difference in found {
                if !self.differences.iter().any(|known| known.ends_with(&difference)) {
                    self.differences.push(format!("{t}: {difference}"));
                }
            }
        }
    }

    fn operations(&self, id: &InstanceId) -> OperationTracker {
        self.operations.of(id).cloned().unwrap_or_else(|| OperationTracker::of(id))
    }

    fn runs(&self) -> impl Iterator<Item = &RebalanceRun> {
        self.operations.trackers().flat_map(|tracker| tracker.rebalances.runs.iter())
    }

    fn compare(&mut self, id: &InstanceId, events: &[Event], now: Timestamp) -> Vec<String> {
        let mut found = Vec::new();
        let operations = self.operations(id);
        let of = status_with(&self.world, id, &operations, now);
        let listed = items(&assess(&self.world, id, &operations, now));
        agree(&of, &listed, &mut found);
        self.plan(&of, id, now, &mut found);
        self.events(&of, events, &mut found);
        let once = status(&self.world, id, now);
        let mut fresh = OperationTracker::of(id);
        kubectl_emqx::plan::tracker::Tracker::observe(&mut fresh, &self.world, now);
        agree(&once, &items(&assess(&self.world, id, &fresh, now)), &mut found);
        self.one_shot(&of, &once, &mut found);
        // The outputs are compared when they change.
        let shape = format!("{:?} {:?} {:?} {}", of.operation, of.phase, of.verdict, of.message);
        if self.shown.as_ref() != Some(&shape) {
            self.shown = Some(shape);
            printed(&of, &listed, now, &mut found);
            self.head(&of, id, &mut found);
        }
        found
    }

    /// The decision of a plan with EMQX's defaults, and the findings of its checks, compared with `status`.
    fn plan(&self, of: &Status, id: &InstanceId, now: Timestamp, found: &mut Vec<String>) {
        let shown = snapshot(&self.world, id, now);
        let request = RebalanceRequest {
            strategy: &Strategy::default(),
            back: Return::default(),
            backend: Backend::Rebalance,
            name: None,
            allowed: None,
            skip: &[],
        };
        let planned = preflight::plan(&self.world, &shown, request);
        let decision = planned.as_ref().ok().map(|plan| plan.decision);
        let has = |id: &str| {
            planned.as_ref().is_ok_and(|plan| plan.findings.iter().any(|finding| finding.id == id))
        };
        // An end that is being verified is shown as running, and EMQX no longer lists the rebalance.
        let verifying =
            of.message.contains("its end is being verified") || of.message.contains("EMQX does not run it");
        let refused = match of.operation {
            Operation::Rebalance if !verifying && of.verdict != Verdict::Unknown => Some("already-running"),
            Operation::Evacuation => Some("evacuation-running"),
            Operation::Purge => Some("purge-running"),
            _ if !of.membership.discrepancies.is_empty() => Some("membership"),
            _ => None,
        };
        let reported = || format!("{:?} {:?} ({})", of.operation, of.verdict, of.message);
        if let Some(refused) = refused.filter(|refused| planned.is_ok() && !has(refused)) {
            found.push(format!("{}, the plan does not find {refused}: {planned:?}", reported()));
        }
        let open = of.operation != Operation::None || of.verdict != Verdict::Idle;
        if decision == Some(Decision::Go) && open && !verifying && of.operation != Operation::Upgrade {
            found.push(format!("{}, a plan would go", reported()));
        }
        if decision == Some(Decision::Go) && of.verdict == Verdict::Idle && !of.uneven {
            found.push(format!("{}, a plan would go", reported()));
        }
        if of.operation == Operation::Upgrade && decision == Some(Decision::Go) {
            found.push(format!("{}, a plan of a rebalance would go", reported()));
        }
        // Without Kubernetes there is no object, so a missing one is not checked.
        let alone = self.world.instance(id).is_some_and(|instance| instance.standalone);
        let offered = !alone && of.next.as_deref().is_some_and(|next| next.contains("rebalance plan"));
        if offered && decision == Some(Decision::Refused) && !has("overshoot") {
            found.push(format!("the plan is offered and refused: {planned:?}"));
        }
    }

    /// The last event of each operation compared with the status after it.
    fn events(&self, of: &Status, events: &[Event], found: &mut Vec<String>) {
        for event in events {
            let later = events.iter().rfind(|other| other.name == event.name).is_some_and(|it| it != event);
            let is = of.operations.iter().find(|it| it.name == event.name);
            if later || event.operation == Operation::None {
                continue;
            }
            match (is, event.verdict) {
                (Some(is), None) if matches!(event.kind, EventType::Phase | EventType::Progress) => {
                    if event.phase.is_some() && is.phase.is_some() && event.phase != is.phase {
                        found.push(format!("{}: phase {:?}, the event {:?}", is.name, is.phase, event.phase));
                    }
                    if is.percent.is_some() && event.percent.is_some() && is.percent != event.percent {
                        found.push(format!("{}: {:?} %, the event {:?}", is.name, is.percent, event.percent));
                    }
                }
                (Some(is), Some(verdict))
                    if verdict.is_final() && verdict != is.verdict && !self.again(&event.name) =>
                {
                    found.push(format!("{}: {:?}, the event {verdict:?}", is.name, is.verdict));
                }
                (None, None) if event.kind == EventType::Progress && event.phase.is_some() => {
                    found.push(format!("the event has {}, the status {:?}", event.name, of.operation));
                }
                _ => {}
            }
            for node in &event.nodes {
                let row = of.nodes.iter().find(|row| row.node.as_ref() == Some(&node.node));
                if let Some(row) = row.filter(|_| event.verdict.is_none())
                    && row.connections.is_some()
                    && node.connections.is_some()
                    && row.connections != node.connections
                    && event.operation == Operation::Rebalance
                {
                    found.push(format!(
                        "{}: {:?} clients, the event {:?}",
                        node.node, row.connections, node.connections
                    ));
                }
            }
        }
    }

    /// Whether another operation of this name has begun since one ended.
    fn again(&self, name: &str) -> bool {
        let runs: Vec<&RebalanceRun> = self.runs().filter(|run| run.name == name).collect();
        runs.len() > 1 && runs.last().is_some_and(|run| run.verdict.is_none())
    }

    /// A command that sees only this moment, compared with one that has followed.
    fn one_shot(&self, of: &Status, once: &Status, found: &mut Vec<String>) {
        if of.membership != once.membership || of.nodes != once.nodes || of.totals != once.totals {
            found.push("nodes or membership differ from those of a single look".to_owned());
        }
        // Only a history shows an end that is being verified, or that was verified while the object reports
        // Processing, a rebalance that made no progress for a while, and what an end was.
        let history = self.runs().any(|run| {
            let processing = |object: &Rebalance| object.phase == Phase::Processing;
            run.ended.is_some() && (run.verdict.is_none() || run.object.as_ref().is_some_and(processing))
        }) || matches!(of.verdict, Verdict::Stalled | Verdict::StillRunning)
            || of.message.contains("was last asked");
        if history {
            return;
        }
        // Only a history shows how many old pods an upgrade has removed, the step between two of them, and
        // the one after the last.
        let upgrade = of.operation == Operation::Upgrade && once.operation == Operation::Upgrade;
        if (upgrade && of.verdict == once.verdict) || of.phase.as_deref() == Some("settling") {
            return;
        }
        if (of.operation, &of.phase, of.verdict) != (once.operation, &once.phase, once.verdict) {
            found.push(format!(
                "{:?} {:?} {:?} ({}), a single look {:?} {:?} {:?} ({})",
                of.operation,
                of.phase,
                of.verdict,
                of.message,
                once.operation,
                once.phase,
                once.verdict,
                once.message
            ));
        }
        if let (Some(one), Some(other)) = (of.percent, once.percent)
            && of.operation == Operation::Rebalance
            && one.abs_diff(other) > 2
            // Where the object does not report it yet, only a history shows to which object an entry belongs.
            && of.message.starts_with("coordinator/") == once.message.starts_with("coordinator/")
            // Without the start only a bound of the work is known, from the counts of the recipients, and the
            // message reflects that.
            && !once.message.contains(&format!("at most {other} % is done"))
        {
            found.push(format!("{:?} {:?} {one} %, a single look {other} %", of.operation, of.phase));
        }
    }

    /// The head of the view.
    fn head(&self, of: &Status, id: &InstanceId, found: &mut Vec<String>) {
        let Some(board) = self.view.clusters.get(id).and_then(|cluster| cluster.board.as_ref()) else {
            return;
        };
        let shape = |status: &Status| {
            (status.operation, status.phase.clone(), status.verdict, status.message.clone(), status.percent)
        };
        if shape(&board.status) != shape(of) {
            found.push(format!("{:?}, the view {:?}", shape(of), shape(&board.status)));
        }
        let area = Rect::new(0, 0, 160, 40);
        let mut buffer = Buffer::empty(area);
        view::draw(&self.view, area, &mut buffer);
        let mut text = String::new();
        for y in 0..6 {
            for x in 0..area.width {
                text.push_str(buffer[(x, y)].symbol());
            }
            text.push(' ');
        }
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(percent) = of.percent.filter(|_| of.operation != Operation::None)
            && !text.contains(&format!("{percent} %"))
        {
            found.push(format!("the head lacks {percent} %: {text}"));
        }
        let idle = text.contains(" IDLE ") || text.starts_with("IDLE");
        if idle != (of.verdict == Verdict::Idle) && idle {
            found.push(format!("{:?}, the head is idle: {text}", of.verdict));
        }
    }
}

/// `rebalance list` compared with `status`.
fn agree(of: &Status, listed: &[RebalanceItem], found: &mut Vec<String>) {
    let running: Vec<_> = of.operations.iter().filter(|it| it.operation == Operation::Rebalance).collect();
    for is in &running {
        match listed.iter().find(|item| item.name == is.name) {
            Some(item) if item.verdict == is.verdict && is.message.ends_with(&item.message) => {}
            Some(item) => found.push(format!(
                "{:?} ({}), the list {:?} ({})",
                is.verdict, is.message, item.verdict, item.message
            )),
            None => found.push(format!("the list lacks {}", is.name)),
        }
    }
    for item in listed.iter().filter(|item| !item.verdict.is_final()) {
        if !item.terminating && !running.iter().any(|is| is.name == item.name) {
            found.push(format!("the list has {} {:?}, the status does not", item.name, item.verdict));
        }
    }
}

/// The printed form of both.
fn printed(of: &Status, listed: &[RebalanceItem], now: Timestamp, found: &mut Vec<String>) {
    let print = |print: &dyn Fn(&Printer)| -> String {
        let (printer, out, _) = Printer::captured(Look::default(), kubectl_emqx::output::Terminal::default());
        print(&printer);
        out.text()
    };
    let json = |text: &str| -> Value { serde_json::from_str(text).unwrap_or_default() };
    let text = print(&|printer| printer.status(of, Output::Text));
    for word in [of.verdict.words(), of.message.lines().next().unwrap_or_default()] {
        let word = Theme { color: false, ascii: false }.clean(word);
        if !text.contains(&word) {
            found.push(format!("the text lacks {word:?}: {text}"));
        }
    }
    let status = json(&print(&|printer| printer.status(of, Output::Json)));
    let nodes = Nodes { instance: of.instance.clone(), items: of.nodes.clone() };
    let nodes = json(&print(&|printer| printer.nodes(&nodes, Output::Json)));
    if status["verdict"] != of.verdict.as_str() || status["nodes"] != nodes["items"] {
        found.push(format!("the document has {} and other nodes than `nodes`", status["verdict"]));
    }
    let list = json(&print(&|printer| printer.rebalances(listed, Output::Json, now)));
    for is in
        status["operations"].as_array().into_iter().flatten().filter(|it| it["operation"] == "rebalance")
    {
        let same = |item: &&Value| item["name"] == is["name"] && item["verdict"] == is["verdict"];
        if list["items"].as_array().into_iter().flatten().find(same).is_none() {
            found.push(format!("the document of the list lacks {}", is["name"]));
        }
    }
}
