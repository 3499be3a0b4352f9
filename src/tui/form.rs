//! The plan page's values: what would be asked of EMQX, changed by keys while the forecast is looked at.

use crate::error::Problem;
use crate::model::{Strategy, World};
use crate::plan::endpoint::{self, BackendRequest};
use crate::plan::rebalance::forecast::{RebalancePlan, Return};
use crate::plan::rebalance::preflight::{self, Wish};
use crate::plan::results::Backend;
use crate::plan::snapshot::Snapshot;
use emqx_rebalance::eviction::Landing;

/// A value that can be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field {
    /// Clients a donor loses per second.
    #[default]
    Rate,
    /// Connections that donors may have more.
    Absolute,
    /// The factor that donors may be above.
    Relative,
    /// Seconds for load balancers to notice.
    HealthCheck,
    /// Seconds for sessions to be taken over.
    Takeover,
    /// Sessions a donor gives per second.
    SessionRate,
    /// Seconds until evicted clients come back.
    Delay,
    /// Where they come back.
    Balancer,
    /// Who drives it.
    Backend,
}

impl Field {
    /// All, from the top.
    pub const ALL: [Self; 9] = [
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

    /// What it is, in words.
    pub fn label(self) -> &'static str {
        match self {
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

    /// Whether digits can be typed into it.
    fn typed(self) -> bool {
        !matches!(self, Self::Balancer | Self::Backend)
    }
}

/// The values.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    /// What would be asked of EMQX.
    pub strategy: Strategy,
    /// When and where evicted clients come back.
    pub back: Return,
    /// Who drives it.
    pub backend: BackendRequest,
    /// Which value is being changed.
    pub field: Field,
    /// What is being typed.
    pub typing: String,
}

impl Form {
    /// Begins with these values.
    pub fn new(strategy: Strategy, backend: BackendRequest) -> Self {
        Self { strategy, back: Return::default(), backend, field: Field::default(), typing: String::new() }
    }

    /// To another value.
    pub fn go(&mut self, steps: isize) {
        self.commit();
        let place = Field::ALL.iter().position(|it| *it == self.field).unwrap_or(0);
        let last = Field::ALL.len() - 1;
        self.field = Field::ALL[place.saturating_add_signed(steps).min(last)];
    }

    /// A letter that may belong to a number; whether it was taken.
    pub fn letter(&mut self, letter: char) -> bool {
        let dot = letter == '.' && self.field == Field::Relative;
        if !self.field.typed() || !(letter.is_ascii_digit() || dot) || self.typing.len() >= 9 {
            return false;
        }
        self.typing.push(letter);
        true
    }

    /// Takes back what was typed; whether there was anything.
    pub fn unletter(&mut self) -> bool {
        self.typing.pop().is_some()
    }

    /// What was typed becomes the value.
    pub fn commit(&mut self) {
        let text = std::mem::take(&mut self.typing);
        if self.field == Field::Relative {
            if let Ok(value) = text.parse::<f64>()
                && value > 1.0
            {
                self.strategy.rel_conn_threshold = value;
                self.strategy.rel_sess_threshold = value;
            }
        } else if let Ok(value) = text.parse::<u64>() {
            self.set(value);
        }
    }

    fn set(&mut self, value: u64) {
        let strategy = &mut self.strategy;
        match self.field {
            Field::Rate => strategy.conn_evict_rate = value.max(1),
            Field::Absolute => {
                strategy.abs_conn_threshold = value.max(1);
                strategy.abs_sess_threshold = value.max(1);
            }
            Field::HealthCheck => strategy.wait_health_check_seconds = value.max(1),
            Field::Takeover => strategy.wait_takeover_seconds = value.max(1),
            Field::SessionRate => strategy.sess_evict_rate = value.max(1),
            Field::Delay => self.back.delay = value.min(3600),
            Field::Relative | Field::Balancer | Field::Backend => {}
        }
    }

    fn number(&self) -> u64 {
        match self.field {
            Field::Rate => self.strategy.conn_evict_rate,
            Field::Absolute => self.strategy.abs_conn_threshold,
            Field::HealthCheck => self.strategy.wait_health_check_seconds,
            Field::Takeover => self.strategy.wait_takeover_seconds,
            Field::SessionRate => self.strategy.sess_evict_rate,
            Field::Delay => self.back.delay,
            Field::Relative | Field::Balancer | Field::Backend => 0,
        }
    }

    /// The next value up or down.
    pub fn change(&mut self, up: bool) {
        self.commit();
        match self.field {
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
            _ => self.set(stepped(self.number(), up)),
        }
    }

    /// A value in words.
    pub fn value(&self, field: Field) -> String {
        if field == self.field && !self.typing.is_empty() {
            return format!("{}_", self.typing);
        }
        let strategy = &self.strategy;
        match field {
            Field::Rate => strategy.conn_evict_rate.to_string(),
            Field::Absolute => strategy.abs_conn_threshold.to_string(),
            Field::Relative => strategy.rel_conn_threshold.to_string(),
            Field::HealthCheck => format!("{} s", strategy.wait_health_check_seconds),
            Field::Takeover => format!("{} s", strategy.wait_takeover_seconds),
            Field::SessionRate => strategy.sess_evict_rate.to_string(),
            Field::Delay => format!("{} s", self.back.delay),
            Field::Balancer => match self.back.landing {
                Landing::Even => "even".to_owned(),
                Landing::Least => "least".to_owned(),
                Landing::One => "one".to_owned(),
            },
            Field::Backend => match self.backend {
                BackendRequest::Auto => "auto".to_owned(),
                BackendRequest::Rebalance => "rebalance".to_owned(),
                BackendRequest::Emqx => "emqx".to_owned(),
            },
        }
    }

    /// The same on the command line, with what differs from EMQX's defaults.
    pub fn command(&self, verb: &str, instance: &str) -> String {
        let (own, usual) = (&self.strategy, Strategy::default());
        let mut text = format!("kubectl emqx rebalance {verb} {instance}");
        let numbers = [
            ("conn-evict-rate", own.conn_evict_rate, usual.conn_evict_rate),
            ("sess-evict-rate", own.sess_evict_rate, usual.sess_evict_rate),
            ("wait-health-check", own.wait_health_check_seconds, usual.wait_health_check_seconds),
            ("wait-takeover", own.wait_takeover_seconds, usual.wait_takeover_seconds),
            ("abs-conn-threshold", own.abs_conn_threshold, usual.abs_conn_threshold),
            ("abs-sess-threshold", own.abs_sess_threshold, usual.abs_sess_threshold),
        ];
        for (flag, value, _) in numbers.into_iter().filter(|(_, value, usual)| value != usual) {
            text.extend([" --", flag, " ", &value.to_string()]);
        }
        let factors = [
            ("rel-conn-threshold", own.rel_conn_threshold, usual.rel_conn_threshold),
            ("rel-sess-threshold", own.rel_sess_threshold, usual.rel_sess_threshold),
        ];
        for (flag, value, _) in factors.into_iter().filter(|(_, value, usual)| (value - usual).abs() > 1e-9) {
            text.extend([" --", flag, " ", &value.to_string()]);
        }
        if self.backend != BackendRequest::Auto {
            text.extend([" --backend ", &self.value(Field::Backend)]);
        }
        text
    }

    /// The forecast of these values on what is known now, with what the checks find; and who would drive it, and why.
    pub fn plan(
        &self,
        world: &World,
        picture: &Snapshot,
        allowed: Option<bool>,
    ) -> Result<(RebalancePlan, Backend, String), Problem> {
        let id = &picture.instance;
        let instance = world.instance(id).ok_or_else(|| Problem::new(format!("{id} is gone"), ""))?;
        let (backend, why) = endpoint::backend(self.backend, &world.served, instance)?;
        let allowed = allowed.filter(|_| backend == Backend::Rebalance);
        let wish =
            Wish { strategy: &self.strategy, back: self.back, backend, name: None, allowed, skip: &[] };
        let plan = preflight::plan(world, picture, wish)?;
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
        let mut form = Form::new(Strategy::default(), BackendRequest::Auto);
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
    fn the_command_line_says_the_same() {
        let mut form =
            Form::new(Strategy { conn_evict_rate: 10, ..Strategy::default() }, BackendRequest::Emqx);
        form.strategy.rel_conn_threshold = 1.2;
        assert_eq!(
            form.command("apply", "emqx"),
            "kubectl emqx rebalance apply emqx --conn-evict-rate 10 --rel-conn-threshold 1.2 --backend emqx"
        );
    }
}
