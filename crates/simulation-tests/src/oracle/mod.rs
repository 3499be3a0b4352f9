//! Compares the product's output with what happened.
//!
//! The rules are those of EMQX and Kubernetes and the promises in `docs`: verdicts, when they are due, how
//! the percentage may change, what may be written. Where two answers are defensible (a moment between two
//! states, an unavailable source), both are accepted: a finding is a fault, not a doubt.

mod evacuation;
mod finding;
mod printed;
mod rebalance;
mod status;
mod times;
mod upgrade;
mod words;

pub use finding::Finding;

use finding::find;

use crate::case::{Fault, Operation};
use crate::run::Record;

/// All findings of a run.
pub fn judge(record: &Record) -> Vec<Finding> {
    let mut found = Vec::new();
    printed::percent_never_falls(record, &mut found);
    printed::percent_stands_still_with_the_work(record, &mut found);
    printed::percent_moves_with_the_work(record, &mut found);
    printed::percent_is_full_only_with_a_verdict(record, &mut found);
    printed::exit_codes_fit_verdicts(record, &mut found);
    printed::unknown_has_no_percent(record, &mut found);
    words::are_true(record, &mut found);
    nothing_unasked_is_written(record, &mut found);
    match record.case.operation {
        Operation::Rebalance
        | Operation::DirectRebalance
        | Operation::RebalanceTwice
        | Operation::WatchInstance
        | Operation::OthersRebalance
        | Operation::OthersDirectRebalance => rebalance::followed(record, &mut found),
        Operation::StoppedRebalance => rebalance::stopped(record, &mut found),
        Operation::Upgrade
        | Operation::OthersUpgrade
        | Operation::UndoneUpgrade
        | Operation::OthersTemplate
        | Operation::OthersCoreTemplate => {
            upgrade::followed(record, &mut found);
        }
        Operation::Evacuation => evacuation::followed(record, &mut found),
        Operation::StoppedEvacuation => evacuation::stopped(record, &mut found),
        Operation::UnfollowedRebalance
        | Operation::OthersEvacuation
        | Operation::OthersPurge
        | Operation::Status => {}
    }
    status::all(record, &mut found);
    status::lists(record, &mut found);
    found.sort();
    found.dedup_by(|a, b| a.rule == b.rule);
    found
}

fn nothing_unasked_is_written(record: &Record, found: &mut Vec<Finding>) {
    let writers: Vec<_> = record.processes.iter().filter(|process| process.writes()).collect();
    // The guard of an upgrade is part of its follow.
    let guards = |at: f64| {
        record.processes.iter().any(|process| {
            process.arguments.starts_with(&["upgrade".to_owned(), "watch".to_owned()])
                && process.covers(at)
                && matches!(record.case.operation, Operation::Upgrade | Operation::UndoneUpgrade)
        })
    };
    let allowed = |at: f64| writers.iter().any(|process| process.covers(at)) || guards(at);
    // A client that follows an operation to its end may record the verdict: in an annotation of the
    // Rebalance, or in the ConfigMap of the instance.
    let records = |at: f64, request: &str| {
        let of_rebalance = request.starts_with("PATCH") && request.contains("/rebalances/");
        let of_instance = request.contains("/configmaps/kubectl-emqx-")
            || (request.starts_with("POST") && request.ends_with("/configmaps"));
        (of_rebalance || of_instance)
            && record.processes.iter().any(|process| process.covers(at) && process.follows())
    };
    for write in &record.writes {
        if !allowed(write.at) && !records(write.at, &write.request) {
            find(found, "a command that reads has written", format!("at {:.1}s {}", write.at, write.request));
        }
    }
    for (at, path) in &record.orders {
        if !allowed(*at) {
            find(found, "a command that reads has given EMQX an order", format!("at {at:.1}s {path}"));
        }
    }
    let refused = record.faults.iter().any(|(_, fault)| {
        matches!(
            fault,
            Fault::ApiStatus { .. } | Fault::TooManyRequests(_) | Fault::ApiDown(_) | Fault::ApiHang(_)
        )
    });
    for process in writers {
        let creates = record.writes.iter().filter(|write| {
            process.covers(write.at)
                && write.request.starts_with("POST")
                && write.request.ends_with("/rebalances")
        });
        if creates.count() > 1 && !refused {
            find(found, "one apply creates two objects", "two creates were sent");
        }
    }
}
