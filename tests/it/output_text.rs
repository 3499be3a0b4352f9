//! The output for people: every text as it is printed, to be reviewed.

use jiff::Timestamp;
use kubectl_emqx::error::Problem;
use kubectl_emqx::model::form::{Color, Look, Output, Stream};
use kubectl_emqx::model::{
    ApiVersion, Backend, Event, EventType, InstanceId, InstanceKind, NodeName, Operation, OperatorLine, Part,
    Role, Source, Strategy, Verdict,
};
use kubectl_emqx::output::{Printer, Terminal};
use kubectl_emqx::plan::discrepancies::MembershipSummary;
use kubectl_emqx::plan::finding::Finding;
use kubectl_emqx::plan::health::Health;
use kubectl_emqx::plan::membership::Membership;
use kubectl_emqx::plan::operator::OperatorProcess;
use kubectl_emqx::plan::rebalance::forecast::{forecast, numbered};
use kubectl_emqx::plan::rebalance::plan::{RebalancePlan, Return};
use kubectl_emqx::plan::results::{
    Applied, ClusterVersion, Nodes, OperatorStatus, RebalanceItem, SourceReport, Status, Stopped,
    VersionReport,
};
use kubectl_emqx::plan::snapshot::{NodeRow, SourceAge, SourceState, Totals};

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn now() -> Timestamp {
    at("2026-11-23T10:14:52Z")
}

fn instance() -> InstanceId {
    InstanceId { kind: InstanceKind::Emqx, namespace: "mq".into(), name: "emqx".into() }
}

fn row(number: usize, connections: Option<u64>) -> NodeRow {
    let pod = format!("emqx-core-669d4cf5c8-{number}");
    NodeRow {
        node: Some(NodeName::from(format!("emqx@{pod}.emqx-headless.mq.svc.cluster.local"))),
        pod: Some(pod.as_str().into()),
        set: Some("emqx-core-669d4cf5c8".into()),
        revision: Some("669d4cf5c8".into()),
        role: Role::Core,
        running: true,
        ready: Some(true),
        serving: Some(true),
        connections,
        sessions: connections,
        share: connections.map(|count| (count as f64).round() / 10_000.0),
        part: None,
        state: None,
        version: Some("5.8.6".into()),
        membership: Some(Membership::Member),
        pod_reason: None,
        since: None,
        source: Source::Emqx,
        left_over: false,
    }
}

fn received(state: SourceState, age: Option<u64>, why: Option<&str>) -> SourceAge {
    SourceAge { state, age_seconds: age, why: why.map(str::to_owned) }
}

fn status() -> Status {
    let ok = || received(SourceState::Ok, Some(1), None);
    Status {
        instance: instance(),
        api: Some(ApiVersion::V2beta1),
        operator: OperatorStatus {
            line: OperatorLine::Two2,
            silent_seconds: Some(33),
            process: None,
            lease_seconds: None,
        },
        edition: Some("Enterprise".into()),
        versions: vec!["5.8.6".into()],
        nodes: vec![row(0, Some(3333)), row(1, Some(3333)), row(2, Some(3334)), row(3, Some(0))],
        totals: Totals { connections: Some(10_000), sessions: Some(10_000), nodes: 4, serving: Some(4) },
        operation: Operation::None,
        phase: None,
        percent: None,
        eta_seconds: None,
        verdict: Verdict::Idle,
        message: "uneven: 3 nodes hold everything, core-…-3 is empty".into(),
        health: Health::default(),
        membership: MembershipSummary::default(),
        operations: Vec::new(),
        sources: SourceReport { kubernetes: ok(), pods: ok(), endpoints: ok(), emqx: ok() },
        uneven: true,
        quiet: false,
        next: None,
    }
}

fn running() -> Status {
    let mut status = status();
    for row in &mut status.nodes {
        let gives = row.connections != Some(0);
        row.part = Some(if gives { Part::Donor } else { Part::Recipient });
        row.state = gives.then(|| "evicting_conns".to_owned());
        row.serving = Some(!gives);
    }
    status.nodes[1].connections = None;
    status.nodes[1].share = None;
    status.nodes[2].ready = None;
    status.nodes[3].running = false;
    status.totals.connections = None;
    status.operation = Operation::Rebalance;
    status.verdict = Verdict::StillRunning;
    status.percent = Some(41);
    status.eta_seconds = Some(57);
    status.message = "emqx-1: operator reports Failed, EMQX continues (evicting_conns)".into();
    status.sources.pods = received(SourceState::Forbidden, None, Some("may not list pods\u{1b}[2J in mq"));
    status.sources.emqx = received(SourceState::Stale, Some(40), None);
    status
}

fn plan() -> RebalancePlan {
    let strategy = Strategy {
        conn_evict_rate: 10,
        sess_evict_rate: 10,
        wait_health_check_seconds: 10,
        wait_takeover_seconds: 10,
        abs_conn_threshold: 100,
        abs_sess_threshold: 100,
        ..Strategy::default()
    };
    forecast(None, &numbered(&[3333, 3333, 3334, 0], None), &strategy, Return::default())
}

fn live_plan() -> RebalancePlan {
    let mut plan = plan();
    plan.instance = Some(instance());
    plan.judge(vec![
        Finding::blocked("already-running", "emqx-1 runs already")
            .hint("kubectl emqx rebalance watch emqx-1"),
    ]);
    plan
}

/// The output of a printer: stdout, and stderr below a rule if there is any.
fn reported(look: Look, terminal: Terminal, say: impl FnOnce(&Printer)) -> String {
    let (printer, out, err) = Printer::captured(look, terminal);
    say(&printer);
    printer.finish().expect("written");
    let (out, err) = (out.text(), err.text());
    if err.is_empty() { out } else { format!("{out}--- stderr ---\n{err}") }
}

fn plainly(say: impl FnOnce(&Printer)) -> String {
    reported(Look::default(), Terminal::default(), say)
}

#[test]
fn status_of_an_idle_cluster() {
    insta::assert_snapshot!(plainly(|printer| printer.status(&status(), Output::Text)), @r"
        emqx  EMQX 5.8.6, operator 2.2, 4 nodes, 10,000 connections, 10,000 sessions
        idle, uneven: 3 nodes hold everything, core-…-3 is empty

        NODE           ROLE   READY   SERVING   CONNECTIONS   SESSIONS   SHARE
        core-…f5c8-0   core   yes     yes             3,333      3,333     33%
        core-…f5c8-1   core   yes     yes             3,333      3,333     33%
        core-…f5c8-2   core   yes     yes             3,334      3,334     33%
        core-…f5c8-3   core   yes     yes                 0          0      0%
    ");
}

#[test]
fn an_idle_operator_whose_process_stopped_is_named_and_a_running_one_only_during_an_operation() {
    let head = |status: &Status| {
        plainly(|printer| printer.status(status, Output::Text))
            .lines()
            .next()
            .map(str::to_owned)
            .expect("a line")
    };
    let with = |mut status: Status, process, lease| {
        status.operator = OperatorStatus {
            silent_seconds: Some(600),
            process: Some(process),
            lease_seconds: Some(lease),
            ..status.operator
        };
        head(&status)
    };
    let gone = "operator 2.2 (process gone: Lease last renewed 9m ago, last status update 10m ago),";
    let text = with(status(), OperatorProcess::Gone, 540);
    assert!(text.contains(gone), "{text}");
    assert!(with(status(), OperatorProcess::Running, 1).contains("operator 2.2, 4 nodes"));
    let text = with(running(), OperatorProcess::Running, 1);
    assert!(text.contains("operator 2.2 (process running, last status update 10m ago)"), "{text}");
}

#[test]
fn status_while_a_rebalance_runs_and_sources_are_poor() {
    insta::assert_snapshot!(plainly(|printer| printer.status(&running(), Output::Text)), @r"
        emqx  EMQX 5.8.6, operator 2.2 (last status update 33s ago), 4 nodes, ? connections, 10,000 sessions
        rebalance still running, 41 %, 57s to go: emqx-1: operator reports Failed, EMQX continues (evicting_conns)
        pods forbidden
        emqx stale, last seen 40s ago

        NODE           ROLE   READY   SERVING   CONNECTIONS   SESSIONS   SHARE   PART        STATE
        core-…f5c8-0   core   yes     no              3,333      3,333     33%   donor       evicting_conns
        core-…f5c8-1   core   yes     no                  ?      3,333       ?   donor       evicting_conns
        core-…f5c8-2   core   ?       no              3,334      3,334     33%   donor       evicting_conns
        core-…f5c8-3   core   yes     yes                 0          0      0%   recipient   stopped
    ");
}

#[test]
fn status_with_more_columns() {
    insta::assert_snapshot!(plainly(|printer| printer.status(&running(), Output::Wide)), @r"
        emqx  EMQX 5.8.6, operator 2.2 (last status update 33s ago), 4 nodes, ? connections, 10,000 sessions
        rebalance still running, 41 %, 57s to go: emqx-1: operator reports Failed, EMQX continues (evicting_conns)
        pods forbidden
        emqx stale, last seen 40s ago

        NODE                                                             POD                      SET                    REVISION     ROLE   READY   SERVING   CONNECTIONS   SESSIONS   SHARE   PART        STATE            VERSION   SOURCE
        emqx@emqx-core-669d4cf5c8-0.emqx-headless.mq.svc.cluster.local   emqx-core-669d4cf5c8-0   emqx-core-669d4cf5c8   669d4cf5c8   core   yes     no              3,333      3,333     33%   donor       evicting_conns   5.8.6     emqx
        emqx@emqx-core-669d4cf5c8-1.emqx-headless.mq.svc.cluster.local   emqx-core-669d4cf5c8-1   emqx-core-669d4cf5c8   669d4cf5c8   core   yes     no                  ?      3,333       ?   donor       evicting_conns   5.8.6     emqx
        emqx@emqx-core-669d4cf5c8-2.emqx-headless.mq.svc.cluster.local   emqx-core-669d4cf5c8-2   emqx-core-669d4cf5c8   669d4cf5c8   core   ?       no              3,334      3,334     33%   donor       evicting_conns   5.8.6     emqx
        emqx@emqx-core-669d4cf5c8-3.emqx-headless.mq.svc.cluster.local   emqx-core-669d4cf5c8-3   emqx-core-669d4cf5c8   669d4cf5c8   core   yes     yes                 0          0      0%   recipient   stopped          5.8.6     emqx
    ");
}

#[test]
fn status_in_ascii() {
    let look = Look { ascii: true, ..Look::default() };
    let text = reported(look, Terminal::default(), |printer| printer.status(&running(), Output::Text));
    assert!(text.is_ascii(), "{text}");
    insta::assert_snapshot!(text, @r"
        emqx  EMQX 5.8.6, operator 2.2 (last status update 33s ago), 4 nodes, ? connections, 10,000 sessions
        rebalance still running, 41 %, 57s to go: emqx-1: operator reports Failed, EMQX continues (evicting_conns)
        pods forbidden
        emqx stale, last seen 40s ago

        NODE            ROLE   READY   SERVING   CONNECTIONS   SESSIONS   SHARE   PART        STATE
        core-..f5c8-0   core   yes     no              3,333      3,333     33%   donor       evicting_conns
        core-..f5c8-1   core   yes     no                  ?      3,333       ?   donor       evicting_conns
        core-..f5c8-2   core   ?       no              3,334      3,334     33%   donor       evicting_conns
        core-..f5c8-3   core   yes     yes                 0          0      0%   recipient   stopped
    ");
}

#[test]
fn several_clusters_are_a_table() {
    let all = [status(), running()];
    insta::assert_snapshot!(plainly(|printer| printer.statuses(&all, Output::Text)), @r"
        NAMESPACE   NAME   EMQX    OPERATOR   NODES   SERVING   CONNECTIONS   SESSIONS   OPERATION        VERDICT         REASON
        mq          emqx   5.8.6   2.2            4         4        10,000     10,000   none             idle            uneven: 3 nodes hold everything, core-…-3 is empty
        mq          emqx   5.8.6   2.2            4         4             ?     10,000   rebalance 41 %   still running   emqx-1: operator reports Failed, EMQX continues (evicting_conns)
    ");
    let narrow = Terminal { stdout: true, width: Some(150), dumb: true, ..Terminal::default() };
    insta::assert_snapshot!(reported(Look::default(), narrow, |printer| printer.statuses(&all, Output::Text)), @r"
        NAMESPACE   NAME   EMQX    OPERATOR   NODES   SERVING   CONNECTIONS   SESSIONS   OPERATION        VERDICT         REASON
        mq          emqx   5.8.6   2.2            4         4        10,000     10,000   none             idle            uneven: 3 nodes hold everything, co…
        mq          emqx   5.8.6   2.2            4         4             ?     10,000   rebalance 41 %   still running   emqx-1: operator reports Failed, EM…
    ");
    insta::assert_snapshot!(plainly(|printer| printer.statuses(&[], Output::Text)), @r"
        --- stderr ---
        no EMQX or EmqxEnterprise found
    ");
    insta::assert_snapshot!(plainly(|printer| printer.statuses(&all, Output::Name)), @r"
        emqx.apps.emqx.io/emqx
        emqx.apps.emqx.io/emqx
    ");
}

#[test]
fn nodes_are_rows() {
    let nodes = Nodes { instance: instance(), items: running().nodes };
    insta::assert_snapshot!(plainly(|printer| printer.nodes(&nodes, Output::Text)), @r"
        POD                      SET                    ROLE   READY   SERVING   CONNECTIONS   SESSIONS   SHARE   PART        STATE
        emqx-core-669d4cf5c8-0   emqx-core-669d4cf5c8   core   yes     no              3,333      3,333     33%   donor       evicting_conns
        emqx-core-669d4cf5c8-1   emqx-core-669d4cf5c8   core   yes     no                  ?      3,333       ?   donor       evicting_conns
        emqx-core-669d4cf5c8-2   emqx-core-669d4cf5c8   core   ?       no              3,334      3,334     33%   donor       evicting_conns
        emqx-core-669d4cf5c8-3   emqx-core-669d4cf5c8   core   yes     yes                 0          0      0%   recipient   stopped
    ");
    insta::assert_snapshot!(plainly(|printer| printer.nodes_of_several(std::slice::from_ref(&nodes), Output::Wide)), @r"
        NAMESPACE   INSTANCE   NODE                                                             POD                      SET                    REVISION     ROLE   READY   SERVING   CONNECTIONS   SESSIONS   SHARE   PART        STATE            VERSION   SOURCE
        mq          emqx       emqx@emqx-core-669d4cf5c8-0.emqx-headless.mq.svc.cluster.local   emqx-core-669d4cf5c8-0   emqx-core-669d4cf5c8   669d4cf5c8   core   yes     no              3,333      3,333     33%   donor       evicting_conns   5.8.6     emqx
        mq          emqx       emqx@emqx-core-669d4cf5c8-1.emqx-headless.mq.svc.cluster.local   emqx-core-669d4cf5c8-1   emqx-core-669d4cf5c8   669d4cf5c8   core   yes     no                  ?      3,333       ?   donor       evicting_conns   5.8.6     emqx
        mq          emqx       emqx@emqx-core-669d4cf5c8-2.emqx-headless.mq.svc.cluster.local   emqx-core-669d4cf5c8-2   emqx-core-669d4cf5c8   669d4cf5c8   core   ?       no              3,334      3,334     33%   donor       evicting_conns   5.8.6     emqx
        mq          emqx       emqx@emqx-core-669d4cf5c8-3.emqx-headless.mq.svc.cluster.local   emqx-core-669d4cf5c8-3   emqx-core-669d4cf5c8   669d4cf5c8   core   yes     yes                 0          0      0%   recipient   stopped          5.8.6     emqx
    ");
}

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

fn items() -> Vec<RebalanceItem> {
    let item = |name: &str, phase: Option<&str>, verdict, reason: &str| RebalanceItem {
        name: name.into(),
        instance: instance(),
        phase: phase.map(str::to_owned),
        verdict,
        message: reason.into(),
        started_time: Some(at("2026-11-23T10:10:00Z")),
        duration_seconds: Some(98),
        backend: Backend::Rebalance,
        terminating: false,
        alarm: false,
    };
    vec![
        item("emqx-20261123-101000", Some("Failed"), Verdict::Balanced, "2,553.33 <= 2,340 x 1.1"),
        RebalanceItem {
            terminating: true,
            ..item("emqx-2", Some("Failed"), Verdict::StillRunning, "evicting_conns")
        },
        RebalanceItem {
            started_time: None,
            duration_seconds: None,
            backend: Backend::Emqx,
            ..item("coordinator/emqx@10.0.0.7", None, Verdict::CoordinatorLost, "")
        },
    ]
}

#[test]
fn rebalances_are_listed_with_their_verdict() {
    insta::assert_snapshot!(plainly(|printer| printer.rebalances(&items(), Output::Text, now())), @r"
        NAME                        INSTANCE   PHASE              VERDICT            STARTED     DURATION   BACKEND     REASON
        emqx-20261123-101000        emqx       Failed             balanced           4m52s ago   98s        rebalance   2,553.33 <= 2,340 x 1.1
        emqx-2                      emqx       Failed, deleting   still running      4m52s ago   98s        rebalance   evicting_conns
        coordinator/emqx@10.0.0.7   emqx       -                  coordinator lost   ?           ?          emqx
    ");
    insta::assert_snapshot!(plainly(|printer| printer.rebalances(&items(), Output::Name, now())), @r"
        rebalance.apps.emqx.io/emqx-20261123-101000
        rebalance.apps.emqx.io/emqx-2
        coordinator/emqx@10.0.0.7
    ");
    insta::assert_snapshot!(plainly(|printer| printer.rebalances(&[], Output::Text, now())), @r"
        --- stderr ---
        no rebalances found
    ");
}

#[test]
fn the_created_name_is_alone_on_its_line() {
    let name = "rebalance.apps.emqx.io/emqx-1".to_owned();
    let applied = Applied { name, instance: instance(), backend: Some(Backend::Rebalance), plan: plan() };
    insta::assert_snapshot!(plainly(|printer| printer.applied(&applied, Output::Text, "")), @r"
        rebalance.apps.emqx.io/emqx-1
    ");
    insta::assert_snapshot!(plainly(|printer| printer.applied(&applied, Output::Text, " (server dry run)")), @r"
        rebalance.apps.emqx.io/emqx-1 (server dry run)
    ");
}

#[test]
fn a_stop_is_verified() {
    let stopped = Stopped {
        name: "rebalance.apps.emqx.io/emqx-1".into(),
        instance: instance(),
        backend: Backend::Rebalance,
        verdict: Verdict::Stopped,
        message: "by you, 1,200 of 2,340 clients moved".into(),
        proof: vec!["EMQX lists no rebalance".into(), "3 donors are back in the Service".into()],
    };
    insta::assert_snapshot!(plainly(|printer| printer.stopped(&stopped, Output::Text)), @r"
        rebalance.apps.emqx.io/emqx-1: stopped, by you, 1,200 of 2,340 clients moved
          EMQX lists no rebalance
          3 donors are back in the Service
    ");
    insta::assert_snapshot!(plainly(|printer| printer.stopped(&stopped, Output::Name)), @r"
        rebalance.apps.emqx.io/emqx-1
    ");
}

#[test]
fn versions_in_play() {
    let cluster = ClusterVersion {
        instance: instance(),
        api: Some(ApiVersion::V2beta1),
        versions: vec!["5.8.6".into()],
    };
    let version = VersionReport {
        plugin: "0.1.0".into(),
        kubernetes: None,
        operator: OperatorLine::Two2,
        clusters: vec![cluster],
    };
    insta::assert_snapshot!(plainly(|printer| printer.version(&version, Output::Text)), @r"
        plugin      0.1.0
        kubernetes  ?
        operator    2.2

        NAMESPACE   NAME   KIND   API       EMQX
        mq          emqx   EMQX   v2beta1   5.8.6
    ");
}

fn event(kind: EventType, message: &str, verdict: Option<Verdict>) -> Event {
    Event {
        time: now(),
        kind,
        name: "emqx-1".into(),
        operation: Operation::Rebalance,
        phase: None,
        nodes: Vec::new(),
        moved_connections: None,
        percent: Some(50),
        eta_seconds: None,
        lost_clients: Some(0),
        lost_sessions: None,
        landing_ratio: Some(0.994_6),
        message: message.into(),
        verdict,
        reason: verdict.map(|_| "it is".to_owned()),
    }
}

#[test]
fn steps_are_lines() {
    let text = plainly(|printer| {
        printer.event(&event(EventType::Progress, "50 %: donors 2,943, recipient 1,170", None), Stream::Text);
        printer.talk_event(&event(EventType::Verdict, "balanced: all is even", Some(Verdict::Balanced)));
    });
    insta::assert_snapshot!(text, @r"
        10:14:52 50 %: donors 2,943, recipient 1,170
        --- stderr ---
        10:14:52 balanced: all is even
    ");
}

#[test]
fn messages_go_to_stderr_and_a_notice_is_printed_once() {
    let text = plainly(|printer| {
        printer.line("data\u{1b}[31m");
        printer.notice("pods cannot be read");
        printer.notice("pods cannot be read");
        printer.talk("by the way");
        printer.next("kubectl emqx rebalance plan emqx");
        printer.problem(
            &Problem::new("cannot read EMQX mq/emqx", "it is gone\nand more").hint("kubectl emqx status"),
        );
    });
    insta::assert_snapshot!(text, @r"
        data�[31m
        --- stderr ---
        notice: pods cannot be read
        by the way
        next: kubectl emqx rebalance plan emqx
        error: cannot read EMQX mq/emqx: it is gone and more
        hint: kubectl emqx status
    ");
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let terminal = Terminal { stdout: true, stderr: true, width: Some(80), ..Terminal::default() };
    let colored = |color, terminal| {
        let look = Look { color, ..Look::default() };
        reported(look, terminal, |printer| printer.status(&running(), Output::Text)).contains('\u{1b}')
    };
    assert!(colored(Color::Auto, terminal));
    assert!(!colored(Color::Auto, Terminal::default()));
    assert!(!colored(Color::Auto, Terminal { no_color: true, ..terminal }));
    assert!(!colored(Color::Auto, Terminal { dumb: true, ..terminal }));
    assert!(!colored(Color::Never, terminal));
    assert!(colored(Color::Always, Terminal { no_color: true, ..Terminal::default() }));
}

#[test]
fn meaning_is_never_by_colour_alone() {
    let terminal = Terminal { stdout: true, stderr: true, ..Terminal::default() };
    let say = |printer: &Printer| {
        printer.status(&running(), Output::Text);
        printer.plan(&live_plan(), None, Output::Text, None);
        printer.rebalances(&items(), Output::Text, now());
    };
    let colored = reported(Look { color: Color::Always, ..Look::default() }, terminal, say);
    let plain = reported(Look { color: Color::Never, ..Look::default() }, terminal, say);
    assert_eq!(anstream::adapter::strip_str(&colored).to_string(), plain);
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    struct Gone;
    impl std::io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let printer = |out: Box<dyn std::io::Write>| {
        Printer::to(
            out,
            Box::new(std::io::sink()),
            Look::default(),
            Terminal::default(),
            jiff::tz::TimeZone::UTC,
        )
    };
    let left = printer(Box::new(Gone));
    left.line("data");
    assert!(left.closed());
    assert!(left.finish().is_ok());
    let full = printer(Box::new(Full));
    full.line("data");
    assert!(full.finish().is_err(), "a full disk is one");
}
