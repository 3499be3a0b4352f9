//! The status of a cluster and of several.

use kubectl_emqx::model::form::{Look, Output};
use kubectl_emqx::output::Terminal;
use kubectl_emqx::plan::operator::OperatorProcess;
use kubectl_emqx::plan::results::{Nodes, OperatorStatus, Status};

use super::{instance, plainly, reported, running, status};

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
