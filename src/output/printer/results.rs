//! The results of commands, each in the form that `-o` requests.

use jiff::Timestamp;

use super::Printer;
use crate::model::form::{Manifest, Output, ReportForm, Stream};
use crate::model::human::clock;
use crate::model::{Backend, Event, EventType, Operation, OperationRef};
use crate::output::document::{self, Format};
use crate::output::report;
use crate::output::text::{self, Layout, resource};
use crate::output::theme::{Theme, Tone};
use crate::plan::check::Checks;
use crate::plan::drain::DrainPlan;
use crate::plan::evacuation::EvacuationPlan;
use crate::plan::history::{HistoryItem, UpgradeItem};
use crate::plan::rebalance::plan::RebalancePlan;
use crate::plan::report::Report;
use crate::plan::results::{Applied, EvacuationItem, Nodes, RebalanceItem, Status, Stopped, VersionReport};
use crate::plan::scale::ScalePlan;
use crate::plan::upgrade::forecast::UpgradePlan;

impl Printer {
    /// One cluster.
    pub fn status(&self, status: &Status, output: Output) {
        self.result(
            "Status",
            status,
            output,
            || resource(&status.instance),
            |layout| text::status::status(status, layout),
        );
    }

    /// Several clusters.
    pub fn statuses(&self, all: &[Status], output: Output) {
        self.results(
            "Status",
            all,
            output,
            |it| resource(&it.instance),
            |layout| text::status::several(all, layout),
        );
    }

    /// The nodes of one cluster.
    pub fn nodes(&self, nodes: &Nodes, output: Output) {
        let text = |layout| {
            if nodes.items.is_empty() {
                String::new()
            } else {
                text::status::nodes(std::slice::from_ref(nodes), false, layout)
            }
        };
        if nodes.items.is_empty() && matches!(output, Output::Text | Output::Wide) {
            self.talk(&format!("no node of {} is known", nodes.instance));
        }
        self.result("Nodes", nodes, output, || resource(&nodes.instance), text);
    }

    /// The nodes of several clusters.
    pub fn nodes_of_several(&self, all: &[Nodes], output: Output) {
        self.results(
            "Nodes",
            all,
            output,
            |it| resource(&it.instance),
            |layout| text::status::nodes(all, true, layout),
        );
    }

    /// Running and past rebalances.
    pub fn rebalances(&self, items: &[RebalanceItem], output: Output, now: Timestamp) {
        let text = match output {
            Output::Text | Output::Wide if items.is_empty() => return self.talk("no rebalances found"),
            Output::Text | Output::Wide => {
                let text = text::lists::rebalances(items, now, self.layout(output));
                self.flags.text(&text).into_owned()
            }
            Output::Json => document::items("RebalanceList", items, Format::Json),
            Output::Yaml => document::items("RebalanceList", items, Format::Yaml),
            Output::Name => {
                items.iter().map(|item| self.theme().clean(&rebalance_name(&item.name)) + "\n").collect()
            }
            Output::JsonPath(template) => {
                return self.pick(template, &document::items("RebalanceList", items, Format::Line));
            }
        };
        self.push(false, &text);
    }

    /// Running and past upgrades.
    pub(crate) fn upgrades(&self, items: &[UpgradeItem], output: Output, now: Timestamp) {
        let text = match output {
            Output::Text | Output::Wide if items.is_empty() => return self.talk("no upgrades found"),
            Output::Text | Output::Wide => text::lists::upgrades(items, now, self.layout(output)),
            Output::Json => document::items("UpgradeList", items, Format::Json),
            Output::Yaml => document::items("UpgradeList", items, Format::Yaml),
            Output::Name => items.iter().map(|item| self.theme().clean(&item.name) + "\n").collect(),
            Output::JsonPath(template) => {
                return self.pick(template, &document::items("UpgradeList", items, Format::Line));
            }
        };
        self.push(false, &text);
    }

    pub(crate) fn report(&self, report: &Report, form: ReportForm) {
        let text = match form {
            ReportForm::Markdown => report::markdown(report),
            ReportForm::Json => document::one("Report", report, Format::Json),
            ReportForm::Html => report::html::page(report),
        };
        self.push(false, &text);
    }

    /// Past operations of every kind.
    pub(crate) fn history(&self, items: &[HistoryItem], output: Output, now: Timestamp) {
        let text = match output {
            Output::Text | Output::Wide if items.is_empty() => return self.talk("no past operations found"),
            Output::Text | Output::Wide => text::lists::history(items, now, self.layout(output)),
            Output::Json => document::items("History", items, Format::Json),
            Output::Yaml => document::items("History", items, Format::Yaml),
            Output::Name => {
                let name = |item: &HistoryItem| match item.operation {
                    Operation::Rebalance => rebalance_name(&item.name),
                    _ => item.name.clone(),
                };
                items.iter().map(|item| self.theme().clean(&name(item)) + "\n").collect()
            }
            Output::JsonPath(template) => {
                return self.pick(template, &document::items("History", items, Format::Line));
            }
        };
        self.push(false, &text);
    }

    /// A plan. `through` is the backend, and the reason for it.
    pub fn plan(
        &self,
        plan: &RebalancePlan,
        through: Option<(Backend, &str)>,
        output: Output,
        now: Option<Timestamp>,
    ) {
        let name = || plan.instance.as_ref().map(resource).unwrap_or_default();
        let now = now.map(|now| (now, self.zone()));
        self.result("RebalancePlan", plan, output, name, |layout| {
            text::plan::plan(plan, through, now, layout)
        });
    }

    /// Prints the plan to stderr, before the prompt.
    pub fn talk_plan(&self, plan: &RebalancePlan, through: Option<(Backend, &str)>, now: Timestamp) {
        let layout = Layout { theme: self.talk_theme(), wide: false, width: None };
        self.push(true, &(text::plan::plan(plan, through, Some((now, self.zone())), layout) + "\n"));
    }

    pub(crate) fn upgrade_plan(&self, plan: &UpgradePlan, output: Output, now: Timestamp) {
        let name = || resource(&plan.instance);
        let now = Some((now, self.zone()));
        self.result("UpgradePlan", plan, output, name, |layout| text::upgrade::plan(plan, now, layout));
    }

    /// Prints the plan of an upgrade to stderr, before the prompt.
    pub(crate) fn talk_upgrade_plan(&self, plan: &UpgradePlan, now: Timestamp) {
        let layout = Layout { theme: self.talk_theme(), wide: false, width: None };
        self.push(true, &(text::upgrade::plan(plan, Some((now, self.zone())), layout) + "\n"));
    }

    /// The result of `apply`. `note` follows the name in text output only: ` (server dry run)`.
    pub fn applied<P: serde::Serialize>(&self, applied: &Applied<P>, output: Output, note: &str) {
        let theme = self.theme();
        self.result(
            "Applied",
            applied,
            output,
            || applied.name.clone(),
            |_| theme.clean(&format!("{}{note}", applied.name)) + "\n",
        );
    }

    /// The plan of an evacuation, beside the data.
    pub(crate) fn talk_evacuation(&self, plan: &EvacuationPlan) {
        let layout = Layout { theme: self.talk_theme(), ..self.layout(Output::Text) };
        self.push(true, &text::evacuation::plan(plan, layout));
    }

    /// Evacuations, running and past: one document where one node was named, else a list of any length.
    pub(crate) fn evacuations(
        &self,
        running: &[EvacuationItem],
        past: &[EvacuationItem],
        one_named: bool,
        output: Output,
    ) {
        if running.is_empty() && !past.is_empty() && matches!(output, Output::Text | Output::Wide) {
            self.talk("no EMQX node is being evacuated");
        }
        let items = &[running, past].concat();
        let name = |item: &EvacuationItem| OperationRef::Evacuation(item.node.clone()).to_string();
        match (items.as_slice(), &output) {
            ([], Output::Text | Output::Wide) => self.talk("no EMQX node is being evacuated"),
            ([one], Output::Json | Output::Yaml | Output::JsonPath(_)) if one_named => {
                self.result("Evacuation", one, output, || name(one), |_| String::new());
            }
            _ => self
                .results("Evacuation", items, output, name, |layout| text::evacuation::list(items, layout)),
        }
    }

    /// The plan of a drain, beside the data.
    pub(crate) fn talk_drain(&self, drain: &DrainPlan) {
        let layout = Layout { theme: self.talk_theme(), ..self.layout(Output::Text) };
        self.push(true, &text::drain::plan(drain, layout));
    }

    /// Drains: one document for one instance, a list for several.
    pub(crate) fn drains(&self, drains: &[DrainPlan], output: Output) {
        let name = |drain: &DrainPlan| resource(&drain.removal.instance);
        match (drains, &output) {
            ([one], Output::Json | Output::Yaml | Output::JsonPath(_)) => {
                self.result("Drain", one, output, || name(one), |_| String::new());
            }
            // The command has printed why there is nothing to do.
            ([], Output::Text | Output::Wide) => {}
            _ => self.results("Drain", drains, output, name, |layout| text::drain::results(drains, layout)),
        }
    }

    /// The plan of a scale, beside the data.
    pub(crate) fn talk_scale(&self, scale: &ScalePlan) {
        let layout = Layout { theme: self.talk_theme(), ..self.layout(Output::Text) };
        self.push(true, &text::scale::plan(scale, layout));
    }

    pub(crate) fn scaled(&self, scale: &ScalePlan, output: Output) {
        self.result(
            "Scale",
            scale,
            output,
            || resource(&scale.removal.instance),
            |layout| text::scale::result(scale, layout),
        );
    }

    /// The name of what was started, where nothing else is printed about it. `note` follows it.
    pub(crate) fn started(&self, name: &str, note: &str) {
        self.line(&format!("{name}{note}"));
    }

    /// The result of `stop`.
    pub fn stopped(&self, stopped: &Stopped, output: Output) {
        self.result(
            "Stopped",
            stopped,
            output,
            || rebalance_name(&stopped.name),
            |layout| text::lists::stopped(stopped, layout),
        );
    }

    /// The result of one `stop` of several operations.
    pub(crate) fn several_stopped(&self, all: &[Stopped], output: Output) {
        let name = |stopped: &Stopped| rebalance_name(&stopped.name);
        let text = |layout: Layout| all.iter().map(|it| text::lists::stopped(it, layout)).collect();
        self.results("Stopped", all, output, name, text);
    }

    /// The checks of a cluster.
    pub(crate) fn checks(&self, checks: &Checks, output: Output) {
        self.result(
            "Checks",
            checks,
            output,
            || resource(&checks.instance),
            |layout| text::checks::checks(checks, layout),
        );
    }

    /// The versions of all components.
    pub fn version(&self, version: &VersionReport, output: Output) {
        let names =
            || version.clusters.iter().map(|it| resource(&it.instance)).collect::<Vec<_>>().join("\n");
        self.result("Version", version, output, names, |layout| text::lists::version(version, layout));
    }

    pub fn manifest(&self, manifest: &serde_json::Value, form: Manifest) {
        let format = match form {
            Manifest::Yaml => Format::Yaml,
            Manifest::Json => Format::Json,
        };
        self.push(false, &document::manifest(manifest, format));
    }

    /// One event of an operation that is followed.
    pub fn event(&self, event: &Event, stream: Stream) {
        let text = match stream {
            Stream::Jsonl => document::one("Event", event, Format::Line),
            Stream::Text => self.flags.text(&(self.event_line(event, self.theme()) + "\n")).into_owned(),
        };
        self.push(false, &text);
    }

    /// One event as a JSON line.
    pub fn jsonl(&self, event: &Event) {
        self.event(event, Stream::Jsonl);
    }

    /// One event as a message, beside the data.
    pub fn talk_event(&self, event: &Event) {
        self.push(true, &(self.event_line(event, self.talk_theme()) + "\n"));
    }

    /// An event as a line for people: the time of day, and the message.
    pub(crate) fn event_line(&self, event: &Event, theme: Theme) -> String {
        let tone = match (event.kind, event.verdict) {
            (_, Some(verdict)) => Tone::of(verdict),
            (EventType::Notice, None) => Tone::Warning,
            _ => Tone::Plain,
        };
        let time = theme.paint(Tone::Faint, &clock(event.time, self.zone()));
        format!("{time} {}", theme.paint(tone, &theme.clean(&event.message)))
    }
}

/// A rebalance as `-o name` prints it; one without an object is `coordinator/NODE`.
fn rebalance_name(name: &str) -> String {
    match OperationRef::printed(name) {
        OperationRef::Rebalance(name) => format!("rebalance.apps.emqx.io/{name}"),
        other => other.to_string(),
    }
}
