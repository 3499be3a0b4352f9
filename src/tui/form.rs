//! The values of the plan page: the user's requirement, from which rates and thresholds follow; or every
//! setting of EMQX, one by one.

use super::found_strategy::FoundStrategy;
use crate::error::Problem;
use crate::model::{Backend, BackendRequest, GivenSettings, Strategy, World};
use crate::plan::rebalance::backend::backend;
use crate::plan::rebalance::plan::{RebalancePlan, Return, thresholds};
use crate::plan::rebalance::preflight::{self, RebalanceRequest};
use crate::plan::rebalance::requirement::{self, Requirement};
use crate::plan::rebalance::spread::Spread;
use crate::plan::snapshot::Snapshot;
use emqx_rebalance::eviction::Landing;

/// A value that can be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field {
    /// The largest deviation from the mean at the end, in percent.
    #[default]
    Spread,
    /// The longest duration, in minutes.
    Deadline,
    /// The most clients that reconnect to one node in a second.
    Reconnects,
    /// Clients a donor loses per second.
    Rate,
    /// The number of connections that donors may have more than recipients.
    Absolute,
    /// The factor by which donors may exceed recipients.
    Relative,
    /// Seconds for load balancers to notice.
    HealthCheck,
    /// Seconds for sessions to be taken over.
    Takeover,
    /// Sessions a donor gives per second.
    SessionRate,
    /// Seconds until evicted clients reconnect.
    Delay,
    /// The nodes on which they reconnect.
    Balancer,
    Backend,
}

impl Field {
    /// The values of the requirement.
    pub(crate) const REQUIRED: [Self; 3] = [Self::Spread, Self::Deadline, Self::Reconnects];

    /// Every setting, from the top.
    pub(crate) const SETTINGS: [Self; 9] = [
        Self::Rate,
        Self::Absolute,
        Self::Relative,
        Self::HealthCheck,
        Self::Takeover,
        Self::SessionRate,
        Self::Delay,
        Self::Balancer,
        Self::Backend,
    ];

    /// Its name, as text.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Spread => "every node within",
            Self::Deadline => "in at most",
            Self::Reconnects => "reconnects/s per node, at most",
            Self::Rate => "clients per donor and second",
            Self::Absolute => "stop when within",
            Self::Relative => "or within a factor of",
            Self::HealthCheck => "wait for load balancers",
            Self::Takeover => "wait for takeover",
            Self::SessionRate => "sessions per donor and second",
            Self::Delay => "clients come back after",
            Self::Balancer => "load balancer",
            Self::Backend => "driven by",
        }
    }

    /// The values that can be requested.
    fn range(self) -> (u64, u64) {
        match self {
            Self::Delay => (0, 3600),
            Self::Deadline => (1, 10_080),
            _ => (1, 1_000_000),
        }
    }

    /// Whether digits can be typed into it.
    fn typed(self) -> bool {
        !matches!(self, Self::Balancer | Self::Backend)
    }
}

/// The values.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanForm {
    /// The requested strategy.
    pub strategy: Strategy,
    /// When and where evicted clients reconnect.
    pub back: Return,
    /// The requested backend.
    pub backend: BackendRequest,
    /// The value that is being changed.
    pub field: Field,
    /// The text that is being typed.
    pub typing: String,
    /// The user's requirement.
    pub required: Requirement,
    /// Whether every setting is shown and changed one by one, instead of following from the requirement.
    pub all: bool,
    /// Why the last value was refused.
    pub refused: Option<String>,
    /// Whether each node is shown, instead of donors and recipients together.
    pub nodes: bool,
    /// The strategy that was found last: most keys and most answers of EMQX change nothing that it depends
    /// on, and the search forecasts the rebalance several times.
    found: FoundStrategy,
}

/// How a plan ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanOutcome {
    /// Within the thresholds in both directions.
    Even,
    /// Donors still hold more than the thresholds allow, or a node is far from the mean.
    Uneven,
    /// The recipients hold more than the thresholds allow.
    Overshot,
}

impl PlanOutcome {
    /// The outcome, as text.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Uneven => "UNEVEN",
            Self::Overshot => "OVERSHOT",
        }
    }
}

/// The distribution of clients at the end of a plan.
pub(crate) fn outcome(plan: &RebalancePlan) -> PlanOutcome {
    let (conn, _) = thresholds(&plan.strategy);
    let (donors, recipients) = (plan.averages.donors_after, plan.averages.recipients_after.unwrap_or(0.0));
    let after: Vec<u64> = plan.nodes.iter().map(|node| node.connections_after).collect();
    if !conn.holds(recipients, donors) {
        PlanOutcome::Overshot
    } else if !conn.holds(donors, recipients) || Spread::of(&after).is_some_and(Spread::uneven) {
        PlanOutcome::Uneven
    } else {
        PlanOutcome::Even
    }
}

impl PlanForm {
    /// A form with these values. The settings are shown one by one if the strategy differs from EMQX's
    /// default: then the user chose them.
    pub(crate) fn new(strategy: Strategy, backend: BackendRequest) -> Self {
        let all = strategy != Strategy::default();
        Self {
            strategy,
            back: Return::default(),
            backend,
            field: if all { Field::Rate } else { Field::Spread },
            typing: String::new(),
            required: Requirement::default(),
            all,
            refused: None,
            nodes: false,
            found: FoundStrategy::default(),
        }
    }

    /// The shown values.
    pub(crate) fn fields(&self) -> &'static [Field] {
        if self.all { &Field::SETTINGS } else { &Field::REQUIRED }
    }

    /// Switches between every setting and the requirement.
    pub(crate) fn switch(&mut self) {
        self.commit();
        self.all = !self.all;
        self.field = self.fields()[0];
    }

    /// Moves to another value.
    pub(crate) fn go(&mut self, steps: isize) {
        self.commit();
        let fields = self.fields();
        let place = fields.iter().position(|it| *it == self.field).unwrap_or(0);
        self.field = fields[place.saturating_add_signed(steps).min(fields.len() - 1)];
    }

    /// Takes a character of a number; returns whether it did.
    pub(crate) fn letter(&mut self, letter: char) -> bool {
        let dot = letter == '.' && matches!(self.field, Field::Relative | Field::Spread);
        if !self.field.typed() || !(letter.is_ascii_digit() || dot) || self.typing.len() >= 9 {
            return false;
        }
        self.typing.push(letter);
        true
    }

    /// Removes the typed text; returns whether there was any.
    pub(crate) fn unletter(&mut self) -> bool {
        self.typing.pop().is_some()
    }

    /// Sets the value from the typed text; a value out of range is refused with a message.
    pub(crate) fn commit(&mut self) {
        let text = std::mem::take(&mut self.typing);
        if text.is_empty() {
            return;
        }
        self.refused = self.take(&text).err().map(|why| format!("{text} is refused: {why}"));
    }

    fn take(&mut self, text: &str) -> Result<(), String> {
        let decimal = || text.parse::<f64>().map_err(|_| "it is not a number".to_owned());
        match self.field {
            Field::Relative => {
                let value = decimal()?;
                if value <= 1.0 {
                    return Err("EMQX needs a factor above 1".to_owned());
                }
                self.strategy.rel_conn_threshold = value;
                self.strategy.rel_sess_threshold = value;
                Ok(())
            }
            Field::Spread => {
                let value = decimal()?;
                if !(0.1..=100.0).contains(&value) {
                    return Err("a percentage from 0.1 to 100 is needed".to_owned());
                }
                self.required.spread_percent = value;
                Ok(())
            }
            _ => self.set(text.parse().map_err(|_| "it is not a number".to_owned())?),
        }
    }

    fn set(&mut self, value: u64) -> Result<(), String> {
        let (least, most) = self.field.range();
        if value < least {
            return Err(format!("at least {least} is needed"));
        }
        if value > most {
            return Err(format!("at most {} is possible", crate::model::human::count(most)));
        }
        let strategy = &mut self.strategy;
        match self.field {
            Field::Deadline => self.required.deadline_seconds = value * 60,
            Field::Reconnects => self.required.reconnects_per_second = value,
            Field::Rate => strategy.conn_evict_rate = value,
            Field::Absolute => {
                strategy.abs_conn_threshold = value;
                strategy.abs_sess_threshold = value;
            }
            Field::HealthCheck => strategy.wait_health_check_seconds = value,
            Field::Takeover => strategy.wait_takeover_seconds = value,
            Field::SessionRate => strategy.sess_evict_rate = value,
            Field::Delay => self.back.delay = value,
            Field::Spread | Field::Relative | Field::Balancer | Field::Backend => {}
        }
        Ok(())
    }

    fn number(&self) -> u64 {
        match self.field {
            Field::Rate => self.strategy.conn_evict_rate,
            Field::Absolute => self.strategy.abs_conn_threshold,
            Field::HealthCheck => self.strategy.wait_health_check_seconds,
            Field::Takeover => self.strategy.wait_takeover_seconds,
            Field::SessionRate => self.strategy.sess_evict_rate,
            Field::Delay => self.back.delay,
            Field::Deadline => self.required.deadline_seconds / 60,
            Field::Reconnects => self.required.reconnects_per_second,
            Field::Spread | Field::Relative | Field::Balancer | Field::Backend => 0,
        }
    }

    /// The next value up or down.
    pub(crate) fn change(&mut self, up: bool) {
        self.commit();
        match self.field {
            Field::Spread => {
                const STEPS: [f64; 9] = [1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 50.0];
                let now = self.required.spread_percent;
                let next = if up {
                    STEPS.iter().find(|step| **step > now)
                } else {
                    STEPS.iter().rev().find(|step| **step < now)
                };
                self.required.spread_percent = next.copied().unwrap_or(now);
            }
            Field::Deadline => {
                const STEPS: [u64; 10] = [3, 5, 10, 15, 20, 30, 45, 60, 120, 240];
                let now = self.number();
                let next = if up {
                    STEPS.iter().find(|step| **step > now)
                } else {
                    STEPS.iter().rev().find(|step| **step < now)
                };
                self.required.deadline_seconds = next.copied().unwrap_or(now) * 60;
            }
            Field::Relative => {
                let step = if up { 0.05 } else { -0.05 };
                let value = ((self.strategy.rel_conn_threshold + step) * 100.0).round() / 100.0;
                self.strategy.rel_conn_threshold = value.clamp(1.05, 10.0);
                self.strategy.rel_sess_threshold = self.strategy.rel_conn_threshold;
            }
            Field::Balancer => {
                let all = [Landing::Even, Landing::Least, Landing::One];
                self.back.landing = turned(&all, self.back.landing, up);
            }
            Field::Backend => {
                let all = [BackendRequest::Auto, BackendRequest::Rebalance, BackendRequest::Emqx];
                self.backend = turned(&all, self.backend, up);
            }
            // The steps end at the limits of the range.
            _ => self.refused = self.set(stepped(self.number(), up)).err(),
        }
    }

    /// A value as text.
    pub(crate) fn value(&self, field: Field) -> String {
        if field == self.field && !self.typing.is_empty() {
            return format!("{}_", self.typing);
        }
        let strategy = &self.strategy;
        match field {
            Field::Spread => format!("{} %", self.required.spread_percent),
            Field::Deadline => format!("{} min", self.required.deadline_seconds / 60),
            Field::Reconnects => self.required.reconnects_per_second.to_string(),
            Field::Rate => strategy.conn_evict_rate.to_string(),
            Field::Absolute => strategy.abs_conn_threshold.to_string(),
            Field::Relative => strategy.rel_conn_threshold.to_string(),
            Field::HealthCheck => format!("{} s", strategy.wait_health_check_seconds),
            Field::Takeover => format!("{} s", strategy.wait_takeover_seconds),
            Field::SessionRate => strategy.sess_evict_rate.to_string(),
            Field::Delay => format!("{} s", self.back.delay),
            Field::Balancer => self.back.landing.as_str().to_owned(),
            Field::Backend => self.backend.as_str().to_owned(),
        }
    }

    /// The equivalent command line, with every setting that differs from EMQX's defaults.
    pub(crate) fn command(&self, verb: &str, instance: &str) -> String {
        let mut text = requirement::command(verb, instance, &self.strategy);
        if self.backend != BackendRequest::Auto {
            text.extend([" --backend ", &self.value(Field::Backend)]);
        }
        text
    }

    /// The forecast of these values for the present state, with the findings of the checks; and the backend
    /// with its reason.
    ///
    /// # Errors
    /// What is unknown about the cluster, or why no strategy meets the requirement.
    pub(crate) fn plan(
        &mut self,
        world: &World,
        snapshot: &Snapshot,
        allowed: Option<bool>,
    ) -> Result<(RebalancePlan, Backend, String), Problem> {
        let id = &snapshot.instance;
        let instance = world.instance(id).ok_or_else(|| Problem::new(format!("{id} is gone"), ""))?;
        let (backend, why) =
            backend(self.backend, &world.kubernetes.served, instance, snapshot.operator_process)?;
        if !self.all
            && let Ok(nodes) = preflight::participants(snapshot)
        {
            self.strategy = self.found.find(nodes, self.required, self.back);
        }
        let allowed = allowed.filter(|_| backend == Backend::Rebalance);
        let request = RebalanceRequest {
            strategy: &self.strategy,
            back: self.back,
            backend,
            name: None,
            allowed,
            skip: &[],
        };
        let mut plan = preflight::plan(world, snapshot, request)?;
        if !self.all {
            requirement::judge(&mut plan, self.required, GivenSettings::default(), self.back, &[]);
        }
        Ok((plan, backend, why))
    }
}

fn turned<T: Copy + PartialEq>(all: &[T], now: T, up: bool) -> T {
    let place = all.iter().position(|it| *it == now).unwrap_or(0);
    all[(place + if up { 1 } else { all.len() - 1 }) % all.len()]
}

/// The next of 1, 2, 5, 10, 20, 50, …; from 0 to 1 and back.
fn stepped(value: u64, up: bool) -> u64 {
    let mut steps = vec![0];
    for power in 0..7 {
        steps.extend([1, 2, 5].map(|digit| digit * 10_u64.pow(power)));
    }
    let next = if up {
        steps.iter().find(|step| **step > value)
    } else {
        steps.iter().rev().find(|step| **step < value)
    };
    next.copied().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_up_and_down_in_steps_that_a_person_would_take() {
        let mut form = PlanForm::new(Strategy::default(), BackendRequest::Auto);
        form.change(true);
        assert_eq!(form.required.spread_percent.to_string(), "10");
        form.switch();
        form.change(true);
        assert_eq!(form.strategy.conn_evict_rate, 1000);
        for _ in 0..20 {
            form.change(false);
        }
        assert_eq!(form.strategy.conn_evict_rate, 1, "a rate of 0 is refused by EMQX");
        "37".chars().for_each(|letter| assert!(form.letter(letter)));
        assert_eq!(form.value(Field::Rate), "37_");
        form.go(1);
        assert_eq!((form.strategy.conn_evict_rate, form.field), (37, Field::Absolute));
        assert_eq!(stepped(12, true), 20);
        assert_eq!(stepped(12, false), 10);
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_a_message_and_changes_nothing() {
        let mut form = PlanForm::new(Strategy::default(), BackendRequest::Auto);
        let type_in = |form: &mut PlanForm, text: &str| {
            text.chars().for_each(|letter| assert!(form.letter(letter), "{letter}"));
            form.commit();
            form.refused.clone().unwrap_or_default()
        };
        assert_eq!(type_in(&mut form, "0"), "0 is refused: a percentage from 0.1 to 100 is needed");
        assert_eq!(form.required, Requirement::default());
        assert_eq!(type_in(&mut form, "7.5"), "", "a good value is not refused");
        form.go(2);
        assert_eq!(type_in(&mut form, "0"), "0 is refused: at least 1 is needed");
        form.switch();
        assert_eq!(type_in(&mut form, "0"), "0 is refused: at least 1 is needed");
        assert_eq!(form.strategy.conn_evict_rate, 500);
        form.go(2);
        assert_eq!(type_in(&mut form, "0.5"), "0.5 is refused: EMQX needs a factor above 1");
        form.go(4);
        assert_eq!(type_in(&mut form, "4000"), "4000 is refused: at most 3,600 is possible");
    }

    #[test]
    fn the_command_line_prints_the_same() {
        let mut form =
            PlanForm::new(Strategy { conn_evict_rate: 10, ..Strategy::default() }, BackendRequest::Emqx);
        form.strategy.rel_conn_threshold = 1.2;
        assert_eq!(
            form.command("apply", "emqx"),
            "kubectl emqx rebalance apply emqx --conn-evict-rate 10 --rel-conn-threshold 1.2 --backend emqx"
        );
    }
}
