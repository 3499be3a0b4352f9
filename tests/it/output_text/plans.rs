//! Plans, from numbers and of a cluster.

use kubectl_emqx::model::form::{Look, Output};
use kubectl_emqx::model::{Backend, Strategy};
use kubectl_emqx::output::Terminal;
use kubectl_emqx::plan::rebalance::forecast::{forecast, numbered};
use kubectl_emqx::plan::rebalance::plan::Return;

use super::{live_plan, now, plainly, plan, reported};

#[test]
fn a_plan_of_plain_numbers() {
    insta::assert_snapshot!(plainly(|printer| printer.plan(&plan(), None, Output::Text, None)), @r"
        plan for these numbers
        connections and sessions 10/s per donor, until within 100 or x1.1

        NODE     PART        CONNECTIONS   AFTER
        node-1   donor             3,333   → 2,553   ███████████████████░░░░░
        node-2   donor             3,333   → 2,553   ███████████████████░░░░░
        node-3   donor             3,334   → 2,554   ███████████████████░░░░░
        node-4   recipient             0   → 2,340   ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒

        go: donors hold 3,333.33 connections on average, the recipient 0; 78 rounds until 2,553.33 <= 2,340 x 1.1
        3 donors from 3,333.33 to 2,553.33 on average, 1 recipient from 0 to 2,340
        78 rounds, 2,340 disconnections, at most 30 reconnects a second on one recipient
        wait for load balancers 10s + evict connections 78s + wait for takeover 10s = 98s

        warning: only 1 of 4 nodes serves new clients meanwhile: up to 30 a second (few-recipients)
          hint: a lower --conn-evict-rate spreads it: 30 clients arrive per second now
    ");
}

#[test]
fn a_plan_of_a_cluster_that_is_refused() {
    let through = Some((Backend::Rebalance, "operator 2.2 serves the kind"));
    insta::assert_snapshot!(plainly(|printer| printer.plan(&live_plan(), through, Output::Text, Some(now()))), @r"
        plan for EMQX mq/emqx
        connections and sessions 10/s per donor, until within 100 or x1.1
        through a Rebalance object: operator 2.2 serves the kind

        NODE     PART        CONNECTIONS   AFTER
        node-1   donor             3,333   → 2,553   ███████████████████░░░░░
        node-2   donor             3,333   → 2,553   ███████████████████░░░░░
        node-3   donor             3,334   → 2,554   ███████████████████░░░░░
        node-4   recipient             0   → 2,340   ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒

        refused: emqx-1 runs already
        3 donors from 3,333.33 to 2,553.33 on average, 1 recipient from 0 to 2,340
        78 rounds, 2,340 disconnections, at most 30 reconnects a second on one recipient
        wait for load balancers 10s + evict connections 78s + wait for takeover 10s = 98s, would end 10:16:30 if it began now

        blocked: emqx-1 runs already (already-running)
          hint: kubectl emqx rebalance watch emqx-1

        warning: only 1 of 4 nodes serves new clients meanwhile: up to 30 a second (few-recipients)
          hint: a lower --conn-evict-rate spreads it: 30 clients arrive per second now
    ");
}

#[test]
fn a_plan_in_ascii_as_talk() {
    let look = Look { ascii: true, ..Look::default() };
    let text = reported(look, Terminal::default(), |printer| printer.talk_plan(&plan(), None, now()));
    assert!(text.is_ascii(), "{text}");
    insta::assert_snapshot!(text, @r"
        --- stderr ---
        plan for these numbers
        connections and sessions 10/s per donor, until within 100 or x1.1

        NODE     PART        CONNECTIONS   AFTER
        node-1   donor             3,333   -> 2,553   ###################.....
        node-2   donor             3,333   -> 2,553   ###################.....
        node-3   donor             3,334   -> 2,554   ###################.....
        node-4   recipient             0   -> 2,340   +++++++++++++++++

        go: donors hold 3,333.33 connections on average, the recipient 0; 78 rounds until 2,553.33 <= 2,340 x 1.1
        3 donors from 3,333.33 to 2,553.33 on average, 1 recipient from 0 to 2,340
        78 rounds, 2,340 disconnections, at most 30 reconnects a second on one recipient
        wait for load balancers 10s + evict connections 78s + wait for takeover 10s = 98s, would end 10:16:30 if it began now

        warning: only 1 of 4 nodes serves new clients meanwhile: up to 30 a second (few-recipients)
          hint: a lower --conn-evict-rate spreads it: 30 clients arrive per second now
    ");
}

#[test]
fn a_plan_with_sessions_and_many_nodes() {
    let counts: Vec<u64> = (0..30).map(|node| if node < 20 { 2000 } else { 0 }).collect();
    let sessions: Vec<u64> = counts.iter().map(|count| count + 5000).collect();
    let strategy = Strategy { abs_conn_threshold: 10, ..Strategy::default() };
    let plan = forecast(None, &numbered(&counts, Some(&sessions)), &strategy, Return::default());
    insta::assert_snapshot!(plainly(|printer| printer.plan(&plan, None, Output::Text, None)), @r"
        plan for these numbers
        connections 500/s per donor, until within 10 or x1.1; sessions 500/s per donor, until within 1,000 or x1.1

        NODE      PART        CONNECTIONS   AFTER     SESSIONS   AFTER
        node-1    donor             2,000   → 1,000      7,000   → 6,000   ████████████░░░░░░░░░░░░
        node-2    donor             2,000   → 1,000      7,000   → 6,000   ████████████░░░░░░░░░░░░
        node-3    donor             2,000   → 1,000      7,000   → 6,000   ████████████░░░░░░░░░░░░
        node-4    donor             2,000   → 1,000      7,000   → 6,000   ████████████░░░░░░░░░░░░
        node-5    donor             2,000   → 1,000      7,000   → 6,000   ████████████░░░░░░░░░░░░
        node-6    donor             2,000   → 1,000      7,000   → 6,000   ████████████░░░░░░░░░░░░
        node-7    donor             2,000   → 1,000      7,000   → 6,000   ████████████░░░░░░░░░░░░
        node-8    donor             2,000   → 1,000      7,000   → 6,000   ████████████░░░░░░░░░░░░
        node-9    donor             2,000   → 1,000      7,000   → 6,000   ████████████░░░░░░░░░░░░
        node-10   donor             2,000   → 1,000      7,000   → 6,000   ████████████░░░░░░░░░░░░
        node-11   donor             2,000   → 1,000      7,000   → 6,000   ████████████░░░░░░░░░░░░
        node-12   donor             2,000   → 1,000      7,000   → 6,000   ████████████░░░░░░░░░░░░
        node-21   recipient             0   → 2,000      5,000   → 7,000   ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
        node-22   recipient             0   → 2,000      5,000   → 7,000   ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
        node-23   recipient             0   → 2,000      5,000   → 7,000   ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
        node-24   recipient             0   → 2,000      5,000   → 7,000   ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
        node-25   recipient             0   → 2,000      5,000   → 7,000   ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
        node-26   recipient             0   → 2,000      5,000   → 7,000   ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
        node-27   recipient             0   → 2,000      5,000   → 7,000   ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
        node-28   recipient             0   → 2,000      5,000   → 7,000   ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
        node-29   recipient             0   → 2,000      5,000   → 7,000   ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
        node-30   recipient             0   → 2,000      5,000   → 7,000   ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
        and 8 donors more (-o wide lists them)

        go: donors hold 2,000 connections on average, recipients 0; 2 rounds until 1,000 <= 2,000 + 10
        20 donors from 2,000 to 1,000 on average, 10 recipients from 0 to 2,000
        2 rounds, 20,000 disconnections, at most 1,000 reconnects a second on one recipient
        wait for load balancers 60s + evict connections 2s + wait for takeover 60s = 2m2s

        warning: it goes past the goal: recipients end with 2,000 on average, donors with 1,000 (overshoot)
          hint: try --conn-evict-rate 33

        warning: one round closes 1,500 of a gap of 2,000: the last one may go past the goal (coarse-rate)
          hint: try --conn-evict-rate 33
    ");
}

#[test]
fn nothing_to_do_names_what_would_make_it_start() {
    let plan = forecast(None, &numbered(&[900, 900, 0], None), &Strategy::default(), Return::default());
    insta::assert_snapshot!(plainly(|printer| printer.plan(&plan, None, Output::Text, Some(now()))), @r"
        plan for these numbers
        connections and sessions 500/s per donor, until within 1,000 or x1.1

        NODE     PART        CONNECTIONS   AFTER
        node-1   donor               900   → 900   ████████████████████████
        node-2   donor               900   → 900   ████████████████████████
        node-3   recipient             0   →   0

        nothing to do: within the thresholds: 900 <= 0 + 1,000
          hint: it would start with --abs-conn-threshold 899 or less

        warning: uneven by eye (a node holds 0 of 600 on average), but within the default thresholds: a difference under 1,000 connections does not count (threshold-blind)
          hint: it would start with --abs-conn-threshold 899 or less
    ");
}
