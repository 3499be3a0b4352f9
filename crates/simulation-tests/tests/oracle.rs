//! Every rule of the oracle finds an invented wrong output, and finds nothing in a true one.

use serde_json::{Value, json};
use simulation_tests::case::{Fault, Operation, Part};
use simulation_tests::run::{Process, Record};
use simulation_tests::truth::{Moment, Node, Run, Truth};
use simulation_tests::{Breadth, Case, Line, Write, judge};

const BEGIN: f64 = 5.0;
const END: f64 = 60.0;

fn node(name: &str, connections: u64) -> Node {
    Node {
        name: format!("emqx@{name}.emqx-headless.mq.svc.cluster.local"),
        version: "5.8.6".to_owned(),
        core: true,
        alive: true,
        serves: true,
        connections,
        offline: 0,
        renewed: false,
    }
}

fn moment(at: f64, connections: [u64; 4]) -> Moment {
    let names = ["emqx-core-0", "emqx-core-1", "emqx-core-2", "emqx-core-3"];
    Moment {
        at,
        nodes: names.iter().zip(connections).map(|(name, connections)| node(name, connections)).collect(),
        pods: Vec::new(),
        in_flight: 0,
        runs: Vec::new(),
        evacuations: Vec::new(),
        purging: false,
        cuts: 0,
        lost_sessions: 0,
    }
}

/// A rebalance of 1000/1000/1000/0 from 5 s to 60 s that ends even, and a process that follows it.
struct Story(Record);

impl Story {
    fn new() -> Self {
        let mut case = Case::of(0, Breadth::Narrow);
        case.faults.clear();
        (case.operation, case.text) = (Operation::Rebalance, false);
        case.api = simulation_tests::case::Api::V2beta1;
        case.nodes.truncate(3);
        let mut moments = Vec::new();
        for step in 0..(400 * 4) {
            let at = f64::from(step) / 4.0;
            let runs = (BEGIN..END).contains(&at);
            let done = ((at - 15.0).clamp(0.0, 25.0) * 10.0) as u64;
            let mut one = moment(at, [1000 - done, 1000 - done, 1000 - done, 3 * done]);
            if runs {
                one.runs.push(Run {
                    coordinator: 0,
                    donors: vec![0, 1, 2],
                    recipients: vec![3],
                    state: if at < 50.0 { "evicting_conns" } else { "wait_takeover" },
                    thresholds: [(50.0, 1.1), (50.0, 1.1)],
                });
            }
            moments.push(one);
        }
        Self(Record {
            case,
            processes: Vec::new(),
            lines: Vec::new(),
            truth: Truth { moments },
            faults: Vec::new(),
            writes: Vec::new(),
            orders: Vec::new(),
            begun_by_other: None,
        })
    }

    fn typed(mut self, words: &str, started: f64, ended: f64, exit: u8) -> Self {
        let arguments = words.split(' ').map(str::to_owned).collect();
        self.0.processes.push(Process { arguments, started, ended: Some(ended), exit: Some(exit) });
        self
    }

    fn prints(mut self, at: f64, document: &Value) -> Self {
        let process = self.0.processes.len().saturating_sub(1);
        self.0.lines.push(Line { at, process, out: true, text: document.to_string() });
        self
    }

    fn event(self, at: f64, kind: &str, percent: u64, verdict: Option<&str>, message: &str) -> Self {
        self.prints(
            at,
            &json!({
                "kind": "Event", "type": kind, "name": "emqx-1", "percent": percent, "verdict": verdict,
                "message": message,
            }),
        )
    }

    /// `apply --watch` with a line every 20 s and this verdict.
    fn follows(self, at: f64, verdict: &str, exit: u8, message: &str) -> Self {
        let mut story = self.typed("rebalance apply emqx --yes --watch -o jsonl", 0.0, at, exit);
        for place in 0..((at / 20.0) as u64) {
            story = story.event(place as f64 * 20.0, "progress", place, None, "continues");
        }
        let percent = if verdict == "unknown" { Value::Null } else { json!(100) };
        story.prints(
            at,
            &json!({
                "kind": "Event", "type": "verdict", "name": "emqx-1", "percent": percent, "verdict": verdict,
                "message": message,
            }),
        )
    }

    fn at(mut self, from: f64, to: f64, change: impl Fn(&mut Moment)) -> Self {
        let within = |moment: &&mut Moment| moment.at >= from && moment.at < to;
        self.0.truth.moments.iter_mut().filter(within).for_each(change);
        self
    }

    fn fault(mut self, at: f64, fault: Fault) -> Self {
        self.0.faults.push((at, fault));
        self
    }

    fn operation(mut self, operation: Operation) -> Self {
        self.0.case.operation = operation;
        self
    }

    fn rules(&self) -> Vec<String> {
        judge(&self.0).into_iter().map(|finding| finding.rule).collect()
    }

    #[track_caller]
    fn is_true(&self) {
        assert_eq!(judge(&self.0), [], "a true output");
    }

    #[track_caller]
    fn breaks(&self, rule: &str) {
        let rules = self.rules();
        assert!(rules.iter().any(|it| it.starts_with(rule)), "{rule:?} is not among {rules:?}");
    }
}

fn no_run(moment: &mut Moment) {
    moment.runs.clear();
}

#[test]
fn a_true_output_breaks_no_rule() {
    Story::new().follows(63.0, "balanced", 0, "750 each, none missing").is_true();
}

#[test]
fn a_verdict_while_it_runs_is_found() {
    Story::new().follows(40.0, "balanced", 0, "").breaks("balanced while it runs");
    Story::new().follows(40.0, "coordinatorLost", 4, "").breaks("coordinatorLost while it runs");
    Story::new().follows(40.0, "stalled", 4, "").breaks("stalled while it runs");
    Story::new().follows(40.0, "clientsMissing", 7, "").breaks("clientsMissing while it runs");
}

#[test]
fn another_verdict_than_the_true_one_is_found() {
    for (verdict, exit) in [("coordinatorLost", 4), ("uneven", 7), ("overshot", 7), ("clientsMissing", 7)] {
        Story::new().follows(63.0, verdict, exit, "").breaks(&format!("{verdict} instead of balanced"));
    }
    Story::new().follows(63.0, "unknown", 1, "").breaks("unknown instead of balanced");
}

#[test]
fn unknown_is_accepted_only_where_a_source_was_away() {
    let away = || Story::new().fault(50.0, Fault::EmqxSilent(25.0));
    away().follows(70.0, "unknown", 1, "EMQX has not answered since 50 s").is_true();
    Story::new()
        .fault(10.0, Fault::EmqxSilent(5.0))
        .follows(70.0, "unknown", 1, "")
        .breaks("unknown instead of balanced");
}

#[test]
fn a_lost_node_forbids_balanced_and_has_to_be_named() {
    let died = || {
        Story::new()
            .fault(50.0, Fault::NodeDown { part: Part::Donor, back: None })
            .at(50.0, 400.0, |moment| (moment.nodes[1].alive, moment.nodes[1].connections) = (false, 0))
            .at(50.0, 400.0, no_run)
    };
    died().follows(63.0, "balanced", 0, "").breaks("balanced instead of nodesLost");
    died().follows(63.0, "nodesLost", 7, "emqx-core-1 stopped at 08:00:50 with 750 clients").is_true();
    died().follows(63.0, "nodesLost", 7, "a node stopped").breaks("a lost node is not named");
}

#[test]
fn an_end_that_is_reported_too_late_or_never_is_found() {
    Story::new().follows(140.0, "balanced", 0, "").breaks("an end is reported too late");
    let mut story = Story::new().typed("rebalance apply emqx --yes --watch -o jsonl", 0.0, 399.0, 0);
    story.0.processes[0].ended = None;
    story.breaks("an end is never reported");
    let mut gave_up = Story::new().typed("rebalance apply emqx --yes --watch -o jsonl", 0.0, 30.0, 1);
    gave_up.0.processes[0].ended = Some(30.0);
    gave_up.breaks("following ends without a verdict");
}

#[test]
fn a_follower_that_prints_nothing_for_long_is_found() {
    let story = Story::new().typed("rebalance apply emqx --yes --watch -o jsonl", 0.0, 63.0, 0);
    story.event(63.0, "verdict", 100, Some("balanced"), "").breaks("a follower prints nothing for long");
}

#[test]
fn percent_that_falls_or_is_full_too_early_is_found() {
    let begun = || Story::new().typed("rebalance apply emqx --yes --watch -o jsonl", 0.0, 63.0, 0);
    begun()
        .event(10.0, "progress", 40, None, "")
        .event(12.0, "progress", 39, None, "")
        .breaks("percent falls");
    begun().event(30.0, "progress", 100, None, "").breaks("100 % before the verdict");
}

#[test]
fn an_exit_code_that_does_not_fit_the_verdict_is_found() {
    Story::new().follows(63.0, "balanced", 4, "").breaks("the exit code does not fit balanced");
}

#[test]
fn words_about_clients_are_compared_with_the_clients() {
    let fewer = || Story::new().at(20.0, 400.0, |moment| moment.nodes[0].connections -= 200);
    fewer().follows(63.0, "balanced", 0, "none missing").breaks("none missing is not true");
    let message = "2,900 clients at the start, 1,500 clients missing";
    fewer().follows(95.0, "clientsMissing", 7, message).breaks("more clients are reported missing than are");
    fewer().follows(95.0, "clientsMissing", 7, "200 clients missing").is_true();
    Story::new()
        .at(30.0, 400.0, |moment| moment.lost_sessions = 3)
        .follows(63.0, "balanced", 0, "no session lost")
        .breaks("no session lost is not true");
}

#[test]
fn an_unknown_verdict_with_a_percentage_is_found() {
    let story = Story::new().fault(50.0, Fault::EmqxSilent(25.0)).follows(70.0, "unknown", 1, "");
    story.event(70.0, "verdict", 80, Some("unknown"), "").breaks("unknown has a percentage");
}

#[test]
fn means_that_no_moment_had_are_found() {
    let story = |message: &str| Story::new().follows(63.0, "balanced", 0, message);
    story("donors 900, recipient 400; none missing").breaks("the means of a verdict are not those");
    story("donors 750, recipient 750; none missing").is_true();
}

#[test]
fn a_duration_that_is_not_the_true_one_is_found() {
    let story = |message: &str| Story::new().follows(63.0, "balanced", 0, message);
    story("none missing, 227 s").breaks("another duration is reported than it took");
    story("none missing, 58 s").is_true();
    let list = |seconds: Value| {
        let item = json!({ "verdict": "balanced", "message": "", "durationSeconds": seconds });
        let story = Story::new().follows(63.0, "balanced", 0, "");
        story.typed("rebalance list -o json", 80.0, 81.0, 0).prints(81.0, &json!({ "items": [item] }))
    };
    list(json!(227)).breaks("another duration is reported than it took");
    list(json!(57)).is_true();
    list(Value::Null).is_true();
}

#[test]
fn a_command_that_reads_and_writes_is_found() {
    let watch =
        || Story::new().operation(Operation::OthersRebalance).typed("rebalance watch -o jsonl", 0.0, 63.0, 0);
    let mut story = watch();
    let request = "POST /apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances".to_owned();
    story.0.writes.push(Write { at: 10.0, request });
    story.breaks("a command that reads has written");
    let mut story = watch();
    story.0.orders.push((10.0, "/api/v5/load_rebalance/emqx@a/stop".to_owned()));
    story.breaks("a command that reads has given EMQX an order");
}

#[test]
fn one_apply_that_creates_two_objects_is_found() {
    let mut story = Story::new().follows(63.0, "balanced", 0, "");
    for at in [1.0, 2.0] {
        let request = "POST /apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances".to_owned();
        story.0.writes.push(Write { at, request });
    }
    story.breaks("one apply creates two objects");
}

#[test]
fn a_stop_that_leaves_something_running_is_found() {
    let story = || Story::new().operation(Operation::StoppedRebalance);
    story().typed("rebalance stop emqx --yes", 20.0, 30.0, 0).breaks("stop leaves it running");
    story().at(28.0, 400.0, no_run).typed("rebalance stop emqx --yes", 20.0, 30.0, 0).is_true();
    let emptied = || {
        Story::new()
            .operation(Operation::StoppedEvacuation)
            .at(0.0, 400.0, no_run)
            .at(5.0, 60.0, |moment| moment.evacuations.push((3, "evicting_conns")))
    };
    emptied()
        .typed("evacuate stop emqx-core-3 --yes", 20.0, 30.0, 0)
        .breaks("stop leaves an evacuation running");
}

#[test]
fn an_evacuation_that_is_not_empty_is_not_evacuated() {
    let emptied = |clients: u64| {
        let state = if clients == 0 { "prohibiting" } else { "evicting_conns" };
        Story::new()
            .operation(Operation::Evacuation)
            .at(0.0, 400.0, no_run)
            .at(5.0, 400.0, move |moment| moment.evacuations.push((3, "evicting_conns")))
            .at(40.0, 400.0, move |moment| {
                moment.evacuations = vec![(3, state)];
                moment.nodes[3].connections = clients;
            })
            .typed("evacuate start emqx-core-3 --yes --watch -o jsonl", 0.0, 42.0, 0)
            .event(20.0, "progress", 30, None, "")
            .event(42.0, "verdict", 100, Some("evacuated"), "")
    };
    emptied(0).is_true();
    emptied(12).breaks("an evacuation is evacuated while it runs");
}

#[test]
fn a_status_that_differs_from_what_runs_is_found() {
    let status = |at: f64, verdict: &str, operation: &str| {
        let document = json!({
            "verdict": verdict, "operation": operation, "message": "", "sources": { "emqx": { "state": "ok" } },
        });
        Story::new()
            .operation(Operation::Status)
            .typed("status -o json", at, at + 0.5, 0)
            .prints(at, &document)
    };
    status(30.0, "running", "rebalance").is_true();
    status(30.0, "idle", "none").breaks("idle while a rebalance runs");
    status(200.0, "even", "none").is_true();
    status(200.0, "running", "rebalance").breaks("a rebalance is reported although none runs");
    status(200.0, "uneven", "none").breaks("uneven although it is even");
    let crowded = |moment: &mut Moment| moment.nodes[0].connections += 1500;
    status(200.0, "even", "none").at(100.0, 400.0, crowded).breaks("even although it is uneven");
    status(200.0, "even", "none")
        .at(100.0, 400.0, |moment| moment.nodes[2].alive = false)
        .breaks("even although a node is down");
}

#[test]
fn a_list_with_a_verdict_that_was_not_true_is_found() {
    let list = |verdict: &str| {
        let document = json!({ "items": [{ "name": "emqx-1", "verdict": verdict, "message": "" }] });
        Story::new().typed("rebalance list -o json", 90.0, 90.5, 0).prints(90.4, &document)
    };
    list("balanced").is_true();
    list("unknown").is_true();
    list("uneven").breaks("the list has uneven instead of");
}

fn upgraded(version: &'static str, cuts: u64, lost: u64) -> Story {
    let mut story = Story::new().operation(Operation::Upgrade).at(0.0, 400.0, no_run);
    story.0.case.api = simulation_tests::case::Api::V1beta4;
    story.at(50.0, 400.0, move |moment| {
        for node in &mut moment.nodes {
            version.clone_into(&mut node.version);
        }
        (moment.cuts, moment.lost_sessions) = (cuts, lost);
    })
}

fn verdict(story: Story, verdict: &str, exit: u8) -> Story {
    let mut story =
        story.typed("upgrade emqx-ee --image emqx/emqx-ee:4.4.24 --yes -o jsonl", 0.0, 61.0, exit);
    for at in [10.0, 30.0, 50.0] {
        story = story.event(at, "progress", at as u64, None, "");
    }
    story.event(61.0, "verdict", 100, Some(verdict), "")
}

#[test]
fn an_upgrade_is_upgraded_only_when_every_node_is() {
    verdict(upgraded("4.4.24", 3000, 0), "upgraded", 0).is_true();
    verdict(upgraded("4.4.19", 0, 0), "upgraded", 0).breaks("upgraded although it is not done");
    let serves = |moment: &mut Moment| moment.nodes[1].serves = false;
    verdict(upgraded("4.4.24", 0, 0).at(50.0, 400.0, serves), "upgraded", 0)
        .breaks("upgraded although it is not done");
}

#[test]
fn an_upgrade_that_disconnects_twice_or_loses_sessions_is_found() {
    verdict(upgraded("4.4.24", 4000, 0), "upgraded", 0)
        .breaks("a guarded upgrade disconnects clients more than once");
    verdict(upgraded("4.4.24", 3000, 5), "upgraded", 0).breaks("a guarded upgrade loses sessions");
}

#[test]
fn an_unchanged_upgrade_is_neither_superseded_nor_reverted_nor_failed() {
    let story = || upgraded("4.4.24", 3000, 0);
    verdict(story(), "superseded", 7).breaks("an upgrade is superseded although no client changed the image");
    verdict(story(), "reverted", 7)
        .breaks("an upgrade is reverted although no client changed the image back");
    verdict(story(), "failed", 4).breaks("an upgrade is failed although it continues");
    verdict(story(), "unknown", 1).breaks("the end of an upgrade is unknown");
    verdict(story(), "clientsMissing", 7).breaks("clientsMissing although all are there");
    verdict(upgraded("4.4.19", 0, 0), "nothingToDo", 0)
        .breaks("an upgrade has nothing to do although old nodes run");
}

#[test]
fn percent_that_rises_while_nothing_moves_is_found() {
    let begun = || {
        let still = |moment: &mut Moment| {
            for (node, connections) in moment.nodes.iter_mut().zip([900, 900, 900, 300]) {
                node.connections = connections;
            }
            moment.runs.iter_mut().for_each(|run| run.state = "evicting_conns");
        };
        Story::new()
            .at(25.0, 60.0, still)
            .typed("rebalance apply emqx --yes --watch -o jsonl", 0.0, 63.0, 0)
            .event(32.0, "progress", 40, None, "")
    };
    begun().event(56.0, "progress", 42, None, "").breaks("percent rises while nothing moves");
    let rules = begun().event(56.0, "progress", 40, None, "").rules();
    assert!(!rules.iter().any(|rule| rule.starts_with("percent rises")), "{rules:?}");
}

#[test]
fn percent_of_an_upgrade_may_rise_with_the_pods_that_are_removed() {
    let undone = |pods: fn(f64) -> usize| {
        let mut story = Story::new()
            .typed("upgrade undo emqx --yes -o jsonl", 0.0, 350.0, 0)
            .event(200.0, "progress", 0, None, "")
            .event(201.0, "progress", 90, None, "");
        story.0.case.operation = Operation::UndoneUpgrade;
        for moment in &mut story.0.truth.moments {
            moment.pods = (0..pods(moment.at)).map(|number| format!("emqx-core-b-{number}")).collect();
        }
        story
    };
    undone(|_| 3).breaks("percent rises while nothing moves");
    let rules = undone(|at| if at < 200.5 { 3 } else { 0 }).rules();
    assert!(!rules.iter().any(|rule| rule.starts_with("percent rises")), "{rules:?}");
}

#[test]
fn a_percent_that_does_not_move_while_clients_move_is_found() {
    let begun = || Story::new().typed("rebalance apply emqx --yes --watch -o jsonl", 0.0, 63.0, 0);
    let story = begun().event(16.0, "progress", 20, None, "").event(36.0, "progress", 20, None, "");
    story.breaks("percent stands still while clients move");
}

#[test]
fn the_number_of_clients_that_moved_is_compared_with_those_that_did() {
    Story::new().follows(63.0, "balanced", 0, "750 each; 750 clients moved, none missing").is_true();
    Story::new()
        .follows(63.0, "balanced", 0, "750 each; 1,500 clients moved, none missing")
        .breaks("another number of clients is reported moved than was");
}

#[test]
fn a_list_long_after_the_end_is_not_judged_by_the_counts_of_now() {
    let crowded = |moment: &mut Moment| moment.nodes[0].connections += 1500;
    let list = |verdict: &str| {
        let document = json!({ "items": [{ "name": "emqx-1", "verdict": verdict, "message": "" }] });
        Story::new()
            .operation(Operation::UnfollowedRebalance)
            .at(250.0, 400.0, crowded)
            .typed("rebalance list -o json", 300.0, 300.5, 0)
            .prints(300.4, &document)
    };
    list("unknown").is_true();
    list("balanced").is_true();
    list("uneven").breaks("the list has uneven instead of");
}

#[test]
fn a_rollback_is_reverted_only_when_every_node_is() {
    let undo = |version: &'static str| {
        let mut story = upgraded(version, 0, 0).operation(Operation::UndoneUpgrade);
        story = story.typed("upgrade undo emqx-ee --yes -o jsonl", 0.0, 61.0, 0);
        for at in [10.0, 30.0, 50.0] {
            story = story.event(at, "progress", at as u64, None, "");
        }
        story.event(61.0, "verdict", 100, Some("reverted"), "")
    };
    undo("4.4.19").is_true();
    undo("4.4.24").breaks("reverted although it is not done");
}

#[test]
fn an_object_that_no_operator_picks_up_and_that_does_not_wait_is_found() {
    let list = |verdict: &str| {
        let document = json!({ "items": [{ "name": "emqx-1", "verdict": verdict, "message": "" }] });
        let mut story = Story::new().at(0.0, 400.0, no_run).typed("rebalance list -o json", 60.0, 60.5, 0);
        story.0.case.operator_away = Some(100.0);
        let request = "POST /apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances".to_owned();
        story.0.writes.push(Write { at: 1.0, request });
        story.0.processes.insert(0, apply());
        story.prints(60.4, &document)
    };
    list("waiting").is_true();
    list("running").breaks("an object that no operator picks up does not wait");
    list("unknown").breaks("an object that no operator picks up does not wait");
}

/// The process that created an object.
fn apply() -> Process {
    let arguments = "rebalance apply emqx --yes".split(' ').map(str::to_owned).collect();
    Process { arguments, started: 0.0, ended: Some(2.0), exit: Some(0) }
}

#[test]
fn an_upgrade_that_is_upgraded_although_clients_are_missing_is_found() {
    let left =
        |from: f64| upgraded("4.4.24", 3000, 0).at(from, 400.0, |moment| moment.nodes[0].connections -= 200);
    verdict(left(15.0), "upgraded", 0).breaks("upgraded although clients are missing");
    // Clients that left a moment ago may come back.
    verdict(left(45.0), "upgraded", 0).is_true();
}

#[test]
fn a_percent_that_stands_still_is_accepted_where_the_evicted_clients_stay_away() {
    let begun = |arrived: u64| {
        let away =
            move |moment: &mut Moment| moment.nodes[3].connections = moment.nodes[3].connections.min(arrived);
        Story::new()
            .at(0.0, 400.0, away)
            .typed("rebalance apply emqx --yes --watch -o jsonl", 0.0, 63.0, 0)
            .event(16.0, "progress", 20, None, "")
            .event(36.0, "progress", 20, None, "")
    };
    begun(600).breaks("percent stands still while clients move");
    let rules = begun(100).rules();
    assert!(!rules.iter().any(|rule| rule.starts_with("percent stands still")), "{rules:?}");
}

#[test]
fn a_clock_that_was_set_forward_explains_as_many_seconds_of_a_duration_as_it_jumped() {
    let joined = |jump: i64, message: &str| {
        Story::new()
            .operation(Operation::OthersRebalance)
            .fault(10.0, Fault::DateJump(jump))
            .typed("rebalance watch -o jsonl", 12.0, 63.0, 0)
            .event(30.0, "progress", 30, None, "")
            .event(63.0, "verdict", 100, Some("balanced"), message)
    };
    joined(120, "none missing, 176 s").is_true();
    joined(120, "none missing, 56 s").is_true();
    joined(120, "none missing, 290 s").breaks("another duration is reported than it took");
    joined(5, "none missing, 176 s").breaks("another duration is reported than it took");
}

#[test]
fn an_object_may_seem_too_old_only_where_the_jump_of_the_clock_makes_it_so() {
    let joined = |jump: i64, started: f64| {
        let mut story = Story::new()
            .operation(Operation::OthersRebalance)
            .fault(6.0, Fault::DateJump(jump))
            .typed("rebalance watch -o jsonl", started, 63.0, 1)
            .event(40.0, "progress", 30, None, "")
            .prints(63.0, &json!({ "kind": "Event", "type": "verdict", "name": "emqx-1", "verdict": "unknown", "message": "" }));
        story.0.case.strategy.wait_health_check = 10;
        story
    };
    joined(3600, 8.0).is_true();
    joined(60, 8.0).breaks("unknown instead of balanced");
    joined(-3600, 8.0).breaks("unknown instead of balanced");
    // The first wait was over, or the clock jumped afterwards.
    joined(3600, 30.0).breaks("unknown instead of balanced");
    joined(3600, 5.5).breaks("unknown instead of balanced");
}

#[test]
fn a_watcher_of_an_instance_may_see_the_upgrade_to_a_third_image_end() {
    let story = |superseded: bool, third: bool| {
        let image = simulation_tests::case::Image::Third;
        let version = if third { "4.4.25" } else { "4.4.24" };
        let mut story = upgraded(version, 0, 0)
            .operation(Operation::OthersUpgrade)
            .fault(20.0, Fault::ImageChanged(image))
            .typed("watch --plain -o jsonl", 0.0, 63.0, 0);
        if superseded {
            story = story.event(22.0, "verdict", 10, Some("superseded"), "");
        }
        story.event(61.0, "verdict", 100, Some("upgraded"), "")
    };
    let third = simulation_tests::case::Api::V1beta4.third_image();
    assert!(third.ends_with(":4.4.25"), "{third}");
    let rules = story(true, true).rules();
    assert!(!rules.iter().any(|rule| rule.starts_with("upgraded although")), "{rules:?}");
    story(false, true).breaks("upgraded although it is not done");
}

#[test]
fn pods_that_stop_and_start_in_turn_are_no_progress_of_an_upgrade() {
    let story = |period: u32, news: Option<f64>| {
        let mut story = upgraded("4.4.19", 0, 0).at(0.0, 400.0, move |moment| {
            moment.nodes[3].alive = (moment.at as u32 / period).is_multiple_of(2);
        });
        if let Some(news) = news {
            story = story.at(news, 400.0, |moment| moment.nodes[2].connections = 1);
        }
        story = story.typed("upgrade emqx-ee --image emqx/emqx-ee:4.4.24 --yes -o jsonl", 0.0, 200.0, 4);
        for place in 0..9 {
            story = story.event(f64::from(place) * 20.0, "progress", 10, None, "");
        }
        story.event(200.0, "verdict", 10, Some("stalled"), "")
    };
    story(20, None).is_true();
    // Clients of the pod that stopped at 140 s connect again.
    story(20, Some(145.0)).is_true();
    story(20, Some(155.0)).breaks("an upgrade is stalled while it moves");
}

#[test]
fn clients_that_a_rebalance_moves_are_no_progress_of_an_upgrade() {
    let story = |rebalanced: bool, another: fn(&mut Moment)| {
        let mut story = upgraded("4.4.19", 0, 0).at(100.0, 180.0, |moment| {
            moment.nodes[0].connections = 1000 - moment.at as u64;
        });
        if rebalanced {
            story = story.at(100.0, 180.0, |moment| moment.runs = vec![run()]);
        }
        story = story.at(150.0, 180.0, another).typed(
            "upgrade emqx-ee --image emqx/emqx-ee:4.4.24 --yes -o jsonl",
            0.0,
            200.0,
            4,
        );
        for place in 0..9 {
            story = story.event(f64::from(place) * 20.0, "progress", 10, None, "");
        }
        story.event(200.0, "verdict", 10, Some("stalled"), "")
    };
    story(true, |_| {}).is_true();
    story(true, |_| {}).at(60.0, 120.0, |moment| moment.nodes[1].serves = false).is_true();
    story(false, |_| {}).breaks("an upgrade is stalled while it moves");
    story(true, |moment| moment.nodes[3].serves = false).breaks("an upgrade is stalled while it moves");
}

#[test]
fn an_upgrade_may_be_stalled_by_its_pods_alone_while_no_core_runs() {
    let story = |message: &str, core: bool| {
        let mut story = upgraded("4.4.19", 0, 0)
            .at(100.0, 400.0, move |moment| (moment.nodes[0].alive, moment.nodes[1].alive) = (core, core))
            .at(150.0, 400.0, |moment| moment.nodes[3].connections = 77);
        for node in [2, 3] {
            story = story.at(0.0, 400.0, move |moment| moment.nodes[node].core = false);
        }
        story = story.typed("upgrade emqx-ee --image emqx/emqx-ee:4.4.24 --yes -o jsonl", 0.0, 200.0, 4);
        for place in 0..9 {
            story = story.event(f64::from(place) * 20.0, "progress", 10, None, "");
        }
        story.event(200.0, "verdict", 10, Some("stalled"), message)
    };
    let pods = "stalled: no progress of the pods for 90s: a pod finds no node to run on";
    story(pods, false).is_true();
    story(pods, true).breaks("an upgrade is stalled while it moves");
    story("stalled: no progress for 90s", false).breaks("an upgrade is stalled while it moves");
}

#[test]
fn a_node_that_comes_back_after_a_fault_is_no_progress_of_an_upgrade() {
    let story = |fault: Option<f64>| {
        let mut story = upgraded("4.4.19", 0, 0)
            .at(10.0, 150.0, |moment| (moment.nodes[3].alive, moment.nodes[3].connections) = (false, 0))
            .at(150.0, 400.0, |moment| moment.nodes[3].connections = 0);
        if let Some(back) = fault {
            story = story.fault(10.0, Fault::NodeDown { part: Part::Recipient, back: Some(back) });
        }
        story = story.typed("upgrade emqx-ee --image emqx/emqx-ee:4.4.24 --yes -o jsonl", 0.0, 200.0, 4);
        for place in 0..9 {
            story = story.event(f64::from(place) * 20.0, "progress", 10, None, "");
        }
        story.event(200.0, "verdict", 10, Some("stalled"), "")
    };
    story(Some(140.0)).is_true();
    story(Some(20.0)).breaks("an upgrade is stalled while it moves");
    story(None).breaks("an upgrade is stalled while it moves");
}

#[test]
fn the_verdict_of_another_clients_rebalance_is_not_that_of_the_upgrade() {
    let story = |operation: &str, runs: bool| {
        let event = json!({ "kind": "Event", "type": "verdict", "name": "others", "operation": operation, "percent": null,
            "verdict": "failed", "message": "failed: the instance is not ready" });
        let mut story = upgraded("4.4.24", 0, 0)
            .typed("watch --plain -o jsonl", 0.0, 61.0, 0)
            .prints(30.0, &event)
            .event(59.0, "verdict", 100, Some("upgraded"), "");
        if runs {
            story = story.at(25.0, 35.0, |moment| moment.runs = vec![run()]);
        }
        story
    };
    story("rebalance", false).is_true();
    story("rebalance", true).breaks("a rebalance has a verdict while it runs");
    story("upgrade", false).breaks("an upgrade is failed although it continues");
}

#[test]
fn a_process_that_begins_after_the_end_may_not_know_the_verdict() {
    let watch = |started: f64| {
        Story::new()
            .operation(Operation::OthersRebalance)
            .typed("rebalance watch -o jsonl", started, 75.0, 1)
            .prints(75.0, &json!({ "kind": "Event", "type": "verdict", "name": "emqx-1", "verdict": "unknown", "message": "" }))
    };
    watch(61.0).is_true();
    watch(59.0).breaks("unknown instead of balanced");
}

#[test]
fn a_list_is_not_compared_with_a_rebalance_that_an_operator_starts_later() {
    let list = |at: f64| {
        let document = json!({ "items": [{ "name": "emqx-1", "verdict": "waiting", "message": "" }] });
        Story::new()
            .at(58.0, 400.0, |moment| moment.runs = vec![run()])
            .at(0.0, 50.0, no_run)
            .typed("rebalance list -o json", at, at + 0.5, 0)
            .prints(at + 0.4, &document)
    };
    list(40.0).is_true();
    list(70.0).breaks("the list has waiting while it runs");
}

fn run() -> Run {
    Run {
        coordinator: 0,
        donors: vec![0, 1, 2],
        recipients: vec![3],
        state: "evicting_conns",
        thresholds: [(50.0, 1.1), (50.0, 1.1)],
    }
}

#[test]
fn the_deletion_of_an_object_does_not_end_a_rebalance_that_has_none() {
    let direct = |operation: Operation| {
        let uneven = |moment: &mut Moment| moment.nodes[0].connections += 1500;
        Story::new()
            .operation(operation)
            .fault(30.0, Fault::ObjectDeleted)
            .at(50.0, 400.0, uneven)
            .at(0.0, 400.0, |moment| moment.runs.iter_mut().for_each(|run| run.state = "evicting_conns"))
            .follows(63.0, "uneven", 7, "")
    };
    direct(Operation::DirectRebalance).is_true();
    direct(Operation::Rebalance).breaks("uneven instead of");
}
