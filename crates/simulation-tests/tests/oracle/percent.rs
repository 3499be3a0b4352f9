//! Percentages, and the numbers of moved clients.

use simulation_tests::case::{Fault, Operation};
use simulation_tests::truth::Moment;

use super::story::Story;

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
fn an_unknown_verdict_with_a_percentage_is_found() {
    let story = Story::new().fault(50.0, Fault::EmqxSilent(25.0)).follows(70.0, "unknown", 1, "");
    story.event(70.0, "verdict", 80, Some("unknown"), "").breaks("unknown has a percentage");
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
