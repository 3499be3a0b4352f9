//! The output of a follow: lines, JSON lines, or a few lines that are redrawn in place.

use jiff::Timestamp;

use super::CommandContext;
use super::cluster_view::ClusterView;
use super::notify::Notifier;
use crate::cli::intent::{Follow, Stream};
use crate::model::{Event, EventType, Judgement, NodeName, Operation};
use crate::output::{Inline, Printer};
use crate::plan::rebalance::plan::RebalancePlan;
use crate::plan::rebalance::progress::Counts;
use crate::plan::snapshot::snapshot;
use crate::plan::tracker::OperationTracker;

pub use filtering::Filtering;

mod evacuation;
mod filtering;
mod parts;
mod rebalance;
mod upgrade;

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
    pub(crate) fn of(context: &CommandContext, follow: &Follow, data: bool) -> Self {
        let terminal = context.printer.redraws() && (!data || context.printer.terminal().stdout);
        let inline = (follow.stream == Stream::Text && terminal).then(|| Inline::new(&context.printer));
        let notifier = follow.notify.clone().map(Notifier::new);
        Self { data, inline, notifier, ..Self::lines(follow.stream) }
    }

    /// Lines on stdout, for a recording.
    pub(crate) fn lines(stream: Stream) -> Self {
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
    pub(crate) fn pause(&mut self) {
        if let Some(inline) = &mut self.inline {
            inline.clear();
        }
    }

    /// Reports a failed command of `--notify`; `all` waits for those that still run.
    pub(crate) async fn notified(&mut self, context: &CommandContext, all: bool) {
        if let Some(notifier) = &mut self.notifier {
            notifier.collect(context, all).await;
        }
    }

    /// The same, with the forecast.
    #[must_use]
    pub(crate) fn planned(mut self, plan: RebalancePlan) -> Self {
        self.plan = Some(plan);
        self
    }

    /// Prints one event.
    pub(crate) fn event(&mut self, context: &CommandContext, event: &Event) {
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
    pub(crate) fn print(&mut self, printer: &Printer, event: &Event, filtering: &mut Filtering, data: bool) {
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
    pub(crate) fn notice(&mut self, context: &CommandContext, text: &str) {
        if let Some(inline) = &mut self.inline {
            inline.clear();
        }
        context.notice(text);
    }

    /// Draws the present state.
    pub(crate) fn draw(
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
            rebalance::view(&snapshot, run, self.plan.as_ref(), &self.deltas, now, zone)
        } else if let Some(run) = operations.upgrade(name) {
            upgrade::view(&cluster.world, &snapshot, run, &self.deltas, now, zone)
        } else if let Some(run) = operations.evacuation(name) {
            evacuation::view(&snapshot, run, &self.deltas, now, zone)
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

    /// The verdict of an operation that was over before it was followed.
    pub(crate) fn finish_past(&mut self, context: &CommandContext, name: &str, judgement: Judgement) {
        self.inline = None;
        let (name, now) = (name.to_owned(), context.clock.now());
        let event = Event::of(now, EventType::Verdict, Operation::Rebalance, name, judgement.sentence());
        self.event(context, &event.judged(judgement));
    }

    /// Ends the drawing.
    pub(crate) fn finish(&mut self) {
        if let Some(inline) = &mut self.inline {
            inline.finish();
        }
    }
}
