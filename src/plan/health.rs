//! The condition of an instance, as the operator last wrote it.

use jiff::Timestamp;
use serde::Serialize;
use std::fmt;

use crate::model::human::{duration, seconds_between};
use crate::model::{ApiVersion, Instance};
use crate::plan::membership::lasting;

/// The condition of the instance, as the operator last wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// The type of the condition that describes it best; `None` where the operator has written none.
    pub condition: Option<String>,
    /// Since when that condition has held.
    pub since: Option<Timestamp>,
    /// What is wrong; `None` for an instance that is ready.
    #[serde(skip)]
    pub problem: Option<HealthProblem>,
}

/// What is wrong with an instance, with its details in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthProblem {
    /// It is being deleted.
    Deleting(String),
    /// The operator does not report it as ready.
    NotReady(String),
}

impl fmt::Display for HealthProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleting(text) => out.write_str(text),
            Self::NotReady(why) => write!(out, "not ready: {why}"),
        }
    }
}

/// The condition that describes an instance best: the one by which it is ready, else the one with the reason why not.
pub(crate) fn health(instance: &Instance, now: Timestamp) -> Health {
    if instance.standalone {
        return Health::default();
    }
    let wanted = instance.ready_condition();
    let holds = |kind: &str| instance.conditions.iter().find(|it| it.kind == kind && it.holds());
    if let Some(deleting) = instance.deleting {
        return Health {
            condition: instance.state().map(str::to_owned),
            since: Some(deleting),
            problem: Some(HealthProblem::Deleting(format!(
                "the instance is being deleted{}",
                lasting(Some(deleting), now)
            ))),
        };
    }
    if let Some(ready) = holds(wanted) {
        return Health { condition: Some(ready.kind.clone()), since: ready.since, problem: None };
    }
    // The conditions of 3.x are independent of each other: the one in progress is more useful than the first.
    let progressing = instance.conditions.iter().find(|it| {
        it.holds()
            && (it.kind.ends_with("Progressing") || it.kind.ends_with("Updating") || it.kind == "Paused")
    });
    let first = instance.conditions.iter().find(|it| it.holds());
    let found = if instance.api == ApiVersion::V3beta1 { progressing } else { first.or(progressing) };
    match found.or_else(|| instance.conditions.iter().find(|it| it.kind == wanted)) {
        Some(it) if it.holds() => Health {
            condition: Some(it.kind.clone()),
            since: it.since,
            problem: Some(HealthProblem::NotReady(format!("{}{}", it.kind, lasting(it.since, now)))),
        },
        Some(it) => Health {
            condition: None,
            since: it.since,
            problem: Some(HealthProblem::NotReady(format!(
                "{} is {}{}",
                it.kind,
                it.status,
                lasting(it.since, now)
            ))),
        },
        None => Health {
            condition: None,
            since: None,
            problem: Some(HealthProblem::NotReady(match instance.created {
                Some(created) => format!(
                    "the operator has written no condition since the instance was created {} ago",
                    duration(seconds_between(created, now))
                ),
                None => "the operator has written no condition".to_owned(),
            })),
        },
    }
}
