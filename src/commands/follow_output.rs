//! The output of a follow: lines, JSON lines, or a few lines that are redrawn in place.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::CommandContext;
use super::cluster_view::ClusterView;
use super::notify::Notifier;
use crate::cli::intent::{Follow, Stream};
use crate::model::human::{clock, count, plural};
use crate::model::{Event, EventType, Judgement, NodeName, Operation, Part, Stage, Verdict};
use crate::output::theme::Tone;
use crate::output::{Inline, InlineRow, InlineStep, InlineView, Printer, When};
use crate::plan::rebalance::forecast::RebalancePlan;
use crate::plan::rebalance::messages::{self, contradiction};
use crate::plan::rebalance::progress::Counts;
use crate::plan::rebalance::tracker::RebalanceRun;
use crate::plan::snapshot::{Snapshot, snapshot};
use crate::plan::tracker::OperationTracker;
use crate::timing::{LONGEST_QUIET_SECONDS, OLD_LINE_SECONDS};

/// Progress is printed as a line at multiples of this percentage.
const MARKS: u8 = 25;

/// Decides which progress is printed as a line.
#[derive(Clone, Debug, Default)]
pub struct Filtering {
    last: Option<(u8, Timestamp)>,
    /// The newest progress that was not printed.
    held: Option<Box<Event>>,
}

/// Full seconds that have passed; 29.9 s are 29.
fn whole_seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0)
}

impl Filtering {
    /// Whether this event is printed as a line for people: all events except most progress, of which one line
    /// per quarter and per minute is printed.
    pub fn shows(&mut self, event: &Event) -> bool {
        let mark = event.percent.unwrap_or(0) / MARKS;
        if event.kind != EventType::Progress {
            self.last = Some((mark.max(self.last.map_or(0, |last| last.0)), event.time));
            self.held = None;
            return true;
        }
        let shows = match self.last {
            None => true,
            Some((after, at)) => mark > after || whole_seconds(at, event.time) >= LONGEST_QUIET_SECONDS,
        };
        if shows {
            self.last = Some((mark, event.time));
        }
        self.held = (!shows).then(|| Box::new(event.clone()));
        shows
    }

    /// The newest progress that was not printed, once no line was printed for 30 s; with its time where it is
    /// old.
    fn due(&mut self, now: Timestamp) -> Option<Event> {
        let (_, at) = self.last?;
        if self.held.is_none() || whole_seconds(at, now) < LONGEST_QUIET_SECONDS {
            return None;
        }
        let event = self.held.take()?;
        let stale = whole_seconds(event.time, now) >= OLD_LINE_SECONDS;
        let message = if stale {
            format!("as of {} UTC: {}", event.time.strftime("%H:%M:%S"), event.message)
        } else {
            event.message.clone()
        };
        Some(Event { time: now, message, ..*event })
    }
}

/// The output of a follow.
pub struct FollowOutput {
    stream: Stream,
    filtering: Filtering,
    /// Whether lines are the data of the command (`watch`), or messages beside it (`apply`).
    data: bool,
    inline: Option<Inline>,
    /// The forecast from before the start; it shows the expected end.
    plan: Option<RebalancePlan>,
    /// The counts of the previous refresh and its time, for changes per second.
    before: Option<(Timestamp, Counts)>,
    deltas: Vec<(NodeName, i64)>,
    /// The operation of the last line.
    last: String,
    /// The command that is run with events.
    notifier: Option<Notifier>,
}

impl FollowOutput {
    /// The output that fits the terminal: inline progress on a terminal; lines on stdout where `data` is set.
    pub fn of(context: &CommandContext, follow: &Follow, data: bool) -> Self {
        let terminal = context.printer.redraws() && (!data || context.printer.terminal().stdout);
        let inline = (follow.stream == Stream::Text && terminal).then(|| Inline::new(&context.printer));
        let notifier = follow.notify.clone().map(Notifier::new);
        Self { data, inline, notifier, ..Self::lines(follow.stream) }
    }

    /// Lines on stdout, for a recording.
    pub fn lines(stream: Stream) -> Self {
        Self {
            stream,
            filtering: Filtering::default(),
            data: true,
            inline: None,
            plan: None,
            before: None,
            deltas: Vec::new(),
            last: String::new(),
            notifier: None,
        }
    }

    /// Stops the drawing for a while, because messages follow.
    pub fn pause(&mut self) {
        if let Some(inline) = &mut self.inline {
            inline.clear();
        }
    }

    /// Reports a failed command of `--notify`; `all` waits for those that still run.
    pub async fn notified(&mut self, context: &CommandContext, all: bool) {
        if let Some(notifier) = &mut self.notifier {
            notifier.collect(context, all).await;
        }
    }

    /// The same, with the forecast.
    #[must_use]
    pub fn planned(mut self, plan: RebalancePlan) -> Self {
        self.plan = Some(plan);
        self
    }

    /// Prints one event.
    pub fn event(&mut self, context: &CommandContext, event: &Event) {
        if let Some(notifier) = &mut self.notifier {
            notifier.take(event);
        }
        if let Some(inline) = &mut self.inline {
            // The redrawn lines show the progress; only steps stay above them.
            if event.kind != EventType::Progress {
                inline.print_line(&context.printer.event_line(event, context.printer.talk_theme()));
            }
            return;
        }
        let mut filtering = std::mem::take(&mut self.filtering);
        self.print(&context.printer, event, &mut filtering, self.data);
        self.filtering = filtering;
    }

    /// Prints one event to a printer.
    pub fn print(&mut self, printer: &Printer, event: &Event, filtering: &mut Filtering, data: bool) {
        match self.stream {
            Stream::Jsonl => printer.event(event, Stream::Jsonl),
            Stream::Text if !filtering.shows(event) => {}
            Stream::Text => {
                let mut event = event.clone();
                // A line about another rebalance than the previous line names its rebalance.
                let last = std::mem::replace(&mut self.last, event.name.clone());
                let other = !last.is_empty() && last != event.name;
                if other && event.operation == Operation::Rebalance && !event.message.contains(&event.name) {
                    event.message = format!("{}: {}", event.name, event.message);
                }
                if data { printer.event(&event, Stream::Text) } else { printer.talk_event(&event) }
            }
        }
    }

    /// Prints a notice that does not concern the operation.
    pub fn notice(&mut self, context: &CommandContext, text: &str) {
        if let Some(inline) = &mut self.inline {
            inline.clear();
        }
        context.notice(text);
    }

    /// Draws the present state.
    pub fn draw(
        &mut self,
        context: &CommandContext,
        cluster: &ClusterView,
        operations: &OperationTracker,
        name: &str,
        now: Timestamp,
    ) {
        if self.inline.is_none() {
            if let Some(event) = self.filtering.due(now) {
                self.event(context, &event);
            }
            return;
        }
        self.changes(cluster, now);
        let snapshot = snapshot(&cluster.world, &cluster.id, now);
        let zone = context.printer.zone();
        let view = if let Some(run) = operations.rebalances.run(name) {
            self.view(&snapshot, run, now, zone)
        } else if let Some(run) = operations.upgrade(name) {
            super::upgrade::shown::view(&cluster.world, &snapshot, run, &self.deltas, now, zone)
        } else if let Some(run) = operations.evacuation(name) {
            super::evacuate::shown::view(&snapshot, run, &self.deltas, now, zone)
        } else {
            return;
        };
        if let Some(inline) = &mut self.inline {
            inline.draw(&view);
        }
    }

    /// The change of clients per second, between the last two answers of EMQX.
    fn changes(&mut self, cluster: &ClusterView, now: Timestamp) {
        let Some(nodes) = &cluster.answers().nodes else { return };
        let counts = Counts::of(&nodes.value);
        if let Some((at, before)) = &self.before {
            if nodes.at <= *at {
                return;
            }
            let seconds = nodes.at.duration_since(*at).as_secs_f64().max(0.5);
            self.deltas = counts
                .0
                .iter()
                .filter_map(|(node, counts)| {
                    let change = counts.connections?.cast_signed() - before.connections(node)?.cast_signed();
                    Some((node.clone(), (change as f64 / seconds).round() as i64))
                })
                .collect();
        }
        self.before = Some((nodes.at.min(now), counts));
    }

    fn view(&self, snapshot: &Snapshot, run: &RebalanceRun, now: Timestamp, zone: &TimeZone) -> InlineView {
        let standing = run.standing();
        let (headline, tone) = match (&run.verdict, standing) {
            (Some(Judgement { verdict, .. }), _) => (verdict.words().to_owned(), Tone::of(*verdict)),
            (None, Verdict::StillRunning) => {
                (format!("{}, EMQX continues", contradiction(run.object.as_ref())), Tone::Warning)
            }
            (None, _) => (String::new(), Tone::default()),
        };
        let left = run.left.map_or(0, |left| left.seconds);
        let end = now + jiff::SignedDuration::from_secs(left.min(1 << 32).cast_signed());
        let participants = run.donors().iter().chain(run.recipients());
        let rows = participants
            .map(|node| InlineRow {
                label: run.label(node).to_owned(),
                part: Some(if run.donors().contains(node) { Part::Donor } else { Part::Recipient }),
                connections: run.counts.connections(node),
                sessions: run.counts.sessions(node),
                delta: self.deltas.iter().find(|(name, _)| name == node).map(|(_, delta)| *delta),
            })
            .collect();
        InlineView {
            title: format!("REBALANCING {}", snapshot.instance.name),
            headline,
            tone,
            percent: run.work_percent(),
            ends: run.left.filter(|_| run.ended.is_none()).map(|_| clock(end, zone)),
            timeline: timeline(run),
            facts: facts(run),
            rows,
            goal: self.plan.as_ref().map(goal),
            landing_ratio: run.landing_ratio(),
            ..about(snapshot)
        }
    }

    /// The verdict of an operation that was over before it was followed.
    pub(crate) fn finish_past(&mut self, context: &CommandContext, name: &str, judgement: Judgement) {
        self.inline = None;
        let (name, now) = (name.to_owned(), context.clock.now());
        let event = Event::of(now, EventType::Verdict, Operation::Rebalance, name, judgement.sentence());
        self.event(context, &event.judged(judgement));
    }

    /// Ends the drawing.
    pub fn finish(&mut self) {
        if let Some(inline) = &mut self.inline {
            inline.finish();
        }
    }
}

/// The data of the inline progress about the cluster: which nodes serve, and the age of the data.
pub fn about(snapshot: &Snapshot) -> InlineView {
    let ages = snapshot.sources.iter().map(|(source, age)| (source.as_str().to_owned(), age.age_seconds));
    InlineView {
        serving: snapshot.totals.serving.map(|serving| (serving, snapshot.totals.nodes)),
        ages: ages.collect(),
        ..InlineView::default()
    }
}

/// The four steps of a rebalance, and its present step.
fn timeline(run: &RebalanceRun) -> Vec<InlineStep> {
    let Some(entry) = &run.entry else { return Vec::new() };
    let waits = run
        .strategy
        .as_ref()
        .map(|strategy| [strategy.wait_health_check_seconds, strategy.wait_takeover_seconds]);
    steps(&entry.stage, run.ended.is_some(), waits)
}

/// The four steps in which EMQX moves clients and sessions. `waits` are the seconds before and after the clients move,
/// where they are known.
pub fn steps(stage: &Stage, over: bool, waits: Option<[u64; 2]>) -> Vec<InlineStep> {
    let steps = [
        ("wait", Stage::WaitHealthCheck, waits.map(|[before, _]| before)),
        ("evict", Stage::EvictingConns, None),
        ("takeover", Stage::WaitTakeover, waits.map(|[_, after]| after)),
        ("sessions", Stage::EvictingSessions, None),
    ];
    let here = stage.order();
    steps
        .into_iter()
        .map(|(name, stage, seconds)| InlineStep {
            name: name.to_owned(),
            when: match (over, stage.order().cmp(&here)) {
                (true, _) | (false, std::cmp::Ordering::Less) => When::Done,
                (false, std::cmp::Ordering::Equal) => When::Now,
                (false, std::cmp::Ordering::Greater) => When::Later,
            },
            seconds,
        })
        .collect()
}

fn facts(run: &RebalanceRun) -> Vec<String> {
    let mut facts = Vec::new();
    if let Some(left) = run.left.filter(|left| run.ended.is_none() && left.rounds > 0) {
        facts.push(format!("{} to go", plural(left.rounds, "round")));
    }
    if let Some(now) = run.counts.all_connections() {
        facts.push(format!("{} connected", count(now)));
    }
    facts.extend(messages::missing(run).map(|fact| fact.text));
    facts
}

fn goal(plan: &RebalancePlan) -> String {
    let average = |value: f64| count(value.round() as u64);
    format!(
        "{} on donors, {} on recipients",
        average(plan.averages.donors_after),
        average(plan.averages.recipients_after.unwrap_or(0.0))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ApiVersion, BrokerUpdate, EvictionStatus, Object, Update, World};
    use crate::plan::fixtures;
    use crate::plan::rebalance::tracker::RebalanceTracker;

    #[test]
    fn progress_that_was_left_out_is_printed_when_no_line_came_for_30_s() {
        let progress = |at: i64| {
            let name = "upgrade/emqx".to_owned();
            Event::of(fixtures::at(at), EventType::Progress, Operation::Upgrade, name, format!("at {at}"))
        };
        let mut filtering = Filtering::default();
        assert!(filtering.shows(&progress(0)));
        assert_eq!(filtering.due(fixtures::at(40)), None, "nothing was left out");
        assert!(filtering.shows(&progress(41)) && !filtering.shows(&progress(70)));
        assert_eq!(filtering.due(fixtures::at(70)), None);
        let due = filtering.due(fixtures::at(71)).expect("30 s without a line");
        assert_eq!((due.message.as_str(), due.time), ("at 70", fixtures::at(71)));
        assert!(filtering.shows(&due));
        assert_eq!(filtering.due(fixtures::at(200)), None, "it is printed once");
        // Counts from 28 s ago are not printed as the present counts.
        assert!(filtering.shows(&progress(101)) && !filtering.shows(&progress(103)));
        let due = filtering.due(fixtures::at(131)).expect("30 s without a line");
        assert_eq!(due.message, "as of 10:01:43 UTC: at 103");
    }

    #[test]
    fn clients_of_one_round_are_reconnecting_and_not_missing_in_every_output() {
        let instance = Update::Upserted(Object::Instance(Box::new(fixtures::instance(ApiVersion::V2beta1))));
        let mut world = World::of([fixtures::fact(0, instance)]);
        let mut follower = RebalanceTracker::new(fixtures::id(ApiVersion::V2));
        let mut after = |at: i64, connections: &[u64], load: EvictionStatus| {
            world.apply(fixtures::answer(at, BrokerUpdate::Nodes(fixtures::nodes(connections))));
            world.apply(fixtures::answer(at, BrokerUpdate::Evictions(load)));
            follower.observe(&world, fixtures::at(at));
            facts(follower.running().expect("a rebalance"))
        };
        after(1, &[3333, 3333, 3334, 0], fixtures::load("wait_health_check"));
        let flying = after(12, &[3323, 3323, 3324, 0], fixtures::load("evicting_conns"));
        assert_eq!(flying[flying.len() - 2..], ["9,970 connected", "none missing"]);
        let lost = after(13, &[3313, 3313, 3314, 0], fixtures::load("evicting_conns"));
        assert_eq!(lost[lost.len() - 2..], ["9,940 connected", "60 clients missing"]);
    }
}
