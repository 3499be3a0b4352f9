//! Situations that have a test of their own: the real client code on virtual time, in a case that is written by hand.

use simulation_tests::case::{Api, CaseNode, Fault, Operation, Part, Requests, Timed};
use simulation_tests::{Breadth, Case, Record, judge, run};

/// A case without faults: cores, and replicants if there are any; the last node is empty.
fn case(api: Api, operation: Operation, cores: usize, replicants: usize) -> Case {
    let node = |replicant: bool, connections: u64| CaseNode { replicant, connections, offline: 0 };
    let mut case = Case::of(0, Breadth::Narrow);
    (case.api, case.operation) = (api, operation);
    let serves = if replicants == 0 { 400 } else { 0 };
    case.nodes =
        (0..cores).map(|_| node(false, serves)).chain((0..replicants).map(|_| node(true, 400))).collect();
    if !operation.upgrades()
        && let Some(last) = case.nodes.last_mut()
    {
        last.connections = 0;
    }
    case.strategy.conn_rate = 5;
    case.faults.clear();
    case
}

fn ran(case: &Case) -> Record {
    let record = run(case).expect("the case can be run");
    let wrong: Vec<String> =
        judge(&record).into_iter().map(|finding| format!("{}: {}", finding.rule, finding.what)).collect();
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), text(&record));
    record
}

fn text(record: &Record) -> String {
    let lines = record.lines.iter().map(|line| format!("{:8.2} {}", line.at, line.text));
    lines.collect::<Vec<_>>().join("\n")
}

fn at(at: f64, fault: Fault) -> Timed {
    Timed::at(at, fault)
}

#[test]
fn a_frozen_node_is_reported_as_cluster_calls_that_hang_and_the_follower_continues_when_they_answer() {
    let mut case = case(Api::V2, Operation::DirectRebalance, 2, 4);
    // The last core takes no part: only calls to every node hang.
    case.faults = vec![at(15.0, Fault::NodeFrozen { part: Part::Core, seconds: 40.0 })];
    let record = ran(&case);
    let reported = text(&record);
    assert!(reported.contains("cluster calls hang since"), "{reported}");
    assert!(reported.contains("answers for itself, but not for the cluster"), "{reported}");
    assert_eq!(record.processes[0].exit, Some(0), "{reported}");
    assert!(reported.contains("balanced"), "{reported}");
}

/// When a guarded upgrade without a fault began, and when each change of the instance was written.
fn undisturbed() -> (Case, f64, Vec<f64>) {
    let mut case = case(Api::V1beta4, Operation::Upgrade, 3, 0);
    case.faults = vec![at(0.0, Fault::ApiSlow(0.0, 0.0))];
    let record = ran(&case);
    let patches: Vec<f64> = record
        .writes
        .iter()
        .filter(|write| {
            write.request.starts_with("PATCH") && write.request.contains("/emqxenterprises/emqx-ee")
        })
        .map(|write| write.at)
        .collect();
    assert_eq!(record.processes[0].exit, Some(0), "{}", text(&record));
    (case, record.faults[0].0, patches)
}

#[test]
fn an_upgrade_whose_delay_may_not_be_restored_exits_5_and_status_and_watch_name_what_finishes_it() {
    let (mut case, begun, patches) = undisturbed();
    let [.., released, restored] = patches.as_slice() else { panic!("{patches:?}") };
    // A permission is removed between the release of the operator and the restoration of its own delay.
    let refused = Fault::ApiStatus { code: 403, requests: Requests::Instance, seconds: 1500.0 };
    case.faults = vec![at((released + restored) / 2.0 - begun, refused)];
    // The oracle has no rule for an upgrade that is over and exits with 5.
    let record = run(&case).expect("the case can be run");
    let reported = text(&record);
    assert_eq!(record.processes[0].exit, Some(5), "{reported}");
    assert!(
        reported.contains("upgraded, but the operator's delay is still held by kubectl emqx"),
        "{reported}"
    );
    assert!(reported.contains("kubectl emqx upgrade watch emqx-ee finishes it"), "{reported}");
    // The `status` after the upgrade.
    assert!(reported.contains("not finished: the operator's delay is held by kubectl emqx"), "{reported}");
}

#[test]
fn status_after_a_killed_guarded_upgrade_reports_it_as_not_finished_and_watch_finishes_it() {
    let (mut case, begun, patches) = undisturbed();
    let restored = patches.last().expect("the delay is restored");
    // The process is killed when only the delay remains to be restored, and `upgrade watch` is started 30 s
    // later.
    case.faults = vec![at(restored - begun - 0.5, Fault::Killed(30.0))];
    let record = ran(&case);
    let reported = text(&record);
    let watch = &record.processes[1];
    assert!(watch.begins(&["upgrade", "watch"]), "{reported}");
    assert_eq!(watch.exit, Some(0), "{reported}");
    let last = record.writes.iter().rfind(|write| write.request.contains("/emqxenterprises/emqx-ee"));
    assert!(
        last.is_some_and(|write| write.at >= watch.started),
        "the delay is restored by the second process: {reported}"
    );
    assert!(!reported.contains("not finished"), "nothing is left afterwards: {reported}");
}
