//! The output for people: every text as it is printed, to be reviewed.

use jiff::Timestamp;
use kubectl_emqx::model::form::{Color, Look, Output};
use kubectl_emqx::model::{
    ApiVersion, Backend, InstanceId, InstanceKind, NodeName, Operation, OperatorLine, Part, Role, Source,
    Strategy, Verdict,
};
use kubectl_emqx::output::{Printer, Terminal};
use kubectl_emqx::plan::discrepancies::MembershipSummary;
use kubectl_emqx::plan::finding::Finding;
use kubectl_emqx::plan::health::Health;
use kubectl_emqx::plan::membership::Membership;
use kubectl_emqx::plan::rebalance::forecast::{forecast, numbered};
use kubectl_emqx::plan::rebalance::plan::{RebalancePlan, Return};
use kubectl_emqx::plan::results::{OperatorStatus, RebalanceItem, SourceReport, Status};
use kubectl_emqx::plan::snapshot::{NodeRow, SourceAge, SourceState, Totals};

mod operations;
mod plans;
mod statuses;

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
