//! What EMQX reports about itself, and how it is judged.

use std::collections::BTreeSet;

use super::super::CheckStatus::{self, Blocked, Warning};
use super::super::tests::Case;
use super::super::{Planned, Purpose, before};
use super::{confirmed, cores_differ};
use crate::model::ApiVersion::{V1beta4, V2, V2beta1, V3beta1};
use crate::model::report::{CoreView, EmqxReport, Licence, Listener, Reading};
use crate::model::{Node, NodeName};
use crate::plan::fixtures;

/// What a healthy EMQX reports: enough of everything.
pub(in crate::plan::check) fn report(nodes: &[Node]) -> EmqxReport {
    let all: BTreeSet<NodeName> = nodes.iter().map(|node| node.name.clone()).collect();
    let licence = Licence {
        kind: Some("official".into()),
        customer_type: Some(0),
        max_sessions: Some(100_000),
        counts_sessions: true,
        expires: Some(jiff::civil::date(2999, 1, 1)),
        expired: false,
    };
    let listener = Listener { id: "tcp:default".into(), rate: None, connections: Some(2000) };
    let view = |node: &Node| CoreView { core: node.name.clone(), running: Ok(all.clone()) };
    EmqxReport {
        licence: Reading::Is(licence),
        listeners: Reading::Is(vec![listener]),
        views: nodes.iter().map(view).collect(),
    }
}

#[test]
fn a_licence_is_judged_by_what_emqx_does_with_it() {
    let status = |change: fn(&mut Case)| {
        let mut case = Case::healthy(V2);
        change(&mut case);
        case.status("licence")
    };
    // 2,000 sessions: EMQX refuses clients from 110 % on.
    assert_eq!(status(|it| it.licence().max_sessions = Some(2000)), CheckStatus::Ok);
    assert_eq!(status(|it| it.licence().max_sessions = Some(1900)), Warning);
    assert_eq!(status(|it| it.licence().max_sessions = Some(1800)), Blocked);
    // An official licence is never restricted at once.
    assert_eq!(status(|it| it.licence().expired = true), Warning);
    assert_eq!(
        status(|it| {
            it.licence().expired = true;
            it.licence().kind = Some("trial".into());
        }),
        Blocked
    );
    assert_eq!(status(|it| it.licence().kind = Some("community".into())), Warning);
    assert_eq!(
        status(|it| {
            it.licence().customer_type = Some(10);
            it.nodes[1].uptime_millis = Some(31 * 86_400_000);
        }),
        Blocked
    );
    // Every node counts the same durable sessions.
    assert_eq!(
        status(|it| {
            it.licence().max_sessions = Some(3000);
            it.nodes.iter_mut().for_each(|node| node.sessions = Some(1400));
        }),
        CheckStatus::Ok
    );
    assert_eq!(status(|it| it.beside.emqx.licence = Reading::Unread("403".into())), CheckStatus::Unknown);
    assert_eq!(status(|it| it.beside.emqx.licence = Reading::Absent), CheckStatus::Unknown);
    let open = |it: &mut Case| {
        it.beside.emqx.licence = Reading::Absent;
        it.nodes.iter_mut().for_each(|node| node.edition = Some("Opensource".into()));
    };
    assert_eq!(status(open), CheckStatus::Ok);
}

#[test]
fn a_core_that_could_not_be_asked_is_unknown_unless_another_disagrees() {
    let mut case = Case::healthy(V2);
    case.beside.emqx.views[1].running = Err("connection refused".into());
    assert_eq!(case.status("cores-disagree"), CheckStatus::Unknown);
    case.beside.emqx.views[2].running = Ok([fixtures::core(2)].into());
    assert_eq!(case.status("cores-disagree"), Blocked);
}

#[test]
fn reconnects_are_shared_by_the_listeners_as_their_clients_are() {
    let listener =
        |id: &str, rate, connections| Listener { id: id.into(), rate, connections: Some(connections) };
    let status = |listeners: Vec<Listener>| {
        let mut case = Case::healthy(V2beta1);
        case.beside.emqx.listeners = Reading::Is(listeners);
        case.status("connection-rate")
    };
    // A tenth of the clients comes through the listener with the limit.
    let few = vec![listener("tcp:default", None, 1800), listener("ssl:default", Some(100.0), 200)];
    assert_eq!(status(few), CheckStatus::Ok);
    let all = vec![listener("tcp:default", None, 0), listener("ssl:default", Some(100.0), 2000)];
    assert_eq!(status(all), Warning);
}

#[test]
fn a_node_that_joins_or_leaves_between_two_answers_splits_no_cluster() {
    let core = |number: usize| fixtures::core(number);
    let of = |views: [&[usize]; 2]| EmqxReport {
        views: views
            .iter()
            .enumerate()
            .map(|(number, seen)| CoreView {
                core: core(number),
                running: Ok(seen.iter().copied().map(core).collect()),
            })
            .collect(),
        ..EmqxReport::default()
    };
    let lasts =
        |first: [&[usize]; 2], second: [&[usize]; 2]| cores_differ(&confirmed(&of(first), of(second)));
    assert!(cores_differ(&of([&[0, 1], &[0, 1, 2]])));
    assert!(!lasts([&[0, 1], &[0, 1, 2]], [&[0, 1, 2], &[0, 1, 2]]), "node 2 joined");
    assert!(!lasts([&[0, 1, 2], &[0, 1]], [&[0, 1], &[0, 1]]), "node 2 left");
    assert!(!lasts([&[0, 1], &[0, 1, 2]], [&[0, 1, 2, 3], &[0, 1, 2]]), "node 3 joins now");
    assert!(lasts([&[0, 1], &[0, 1, 2]], [&[0, 1], &[0, 1, 2]]), "core 0 does not see node 2 in either");
}

#[test]
fn the_readiness_probe_is_compared_with_the_wait_of_the_upgrade() {
    let slow = |api, own: Option<u64>, planned: Option<u64>| {
        let mut case = Case::healthy(api);
        case.instance.update.wait_health_check = own;
        for pod in &mut case.pods {
            pod.gated = false;
            pod.readiness.as_mut().expect("a probe").failures = 10;
        }
        let planned = Planned { wait_health_check: planned, ..Planned::default() };
        let found = case.judged(|subject| before(subject, Purpose::Upgrade, planned));
        found.iter().any(|finding| finding.id == "probe-period")
    };
    assert!(!slow(V3beta1, None, None), "the operator's default of 60 s");
    assert!(slow(V3beta1, Some(30), None));
    assert!(!slow(V3beta1, Some(30), Some(50)), "the upgrade is to wait longer");
    assert!(slow(V3beta1, None, Some(40)));
    assert!(slow(V1beta4, None, None), "EMQX 4 does not wait");
}
