//! Rebalances, stops, versions and the steps of an operation.

use kubectl_emqx::error::Problem;
use kubectl_emqx::model::form::{Output, Stream};
use kubectl_emqx::model::{ApiVersion, Backend, Event, EventType, Operation, OperatorLine, Verdict};
use kubectl_emqx::plan::results::{Applied, ClusterVersion, Stopped, VersionReport};

use super::{instance, items, now, plainly, plan};

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
