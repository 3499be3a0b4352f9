//! What the view shows while pods and nodes come and go, and while EMQX does not answer.

use kubectl_emqx::model::{BrokerUpdate, Link};
use kubectl_emqx::plan::upgrade::revisions::UpgradeRevisions;
use kubectl_emqx::tui::curves::{Quantity, curves};
use kubectl_emqx::tui::{Effect, Msg};
use ratatui::style::Color;
use serde_json::json;
use unicode_width::UnicodeWidthStr;

use crate::screens::make::{
    Bench, RECORDINGS, answer, at, core, documented, emqx, evacuation, id, kubernetes, node, nodes, nothing,
    played, pod, received, recorded, setup, text,
};
use crate::screens::situations::{SIZES, UNEVEN, idle, not_arriving, running};

#[test]
fn the_chart_counts_what_a_removed_node_held_before() {
    let mut bench = Bench::of(setup(), documented(0, &[800; 4], &nothing()));
    bench.tick(1);
    let names: Vec<String> = (0..3).map(|number| node(&core(number))).collect();
    bench.learn(10, emqx(10, "/api/v5/nodes", &nodes(&names, &[1000, 1000, 1200])));
    bench.learn(10, kubernetes(10, "DELETED", &pod(&core(3), true)));
    bench.tick(10);
    bench.screen(120, 40);
    let (board, cluster) = (bench.state.board().expect("a board"), bench.state.here().expect("a cluster"));
    assert_eq!(board.rows.len(), 3);
    let drawn = curves(board, &cluster.history, Quantity::Connections, 10, 11);
    assert_eq!(drawn.curves.len(), 3, "a removed node has no curve of its own");
    assert!(drawn.total.iter().flatten().all(|total| (total - 3200.0).abs() < 0.5), "{:?}", drawn.total);
}

#[test]
fn the_previous_revision_begins_with_the_clients_of_the_pods_that_are_gone() {
    let mut bench = played("v2beta1-bluegreen-operator-2.2", 150.5);
    bench.screen(120, 40);
    let (board, cluster) = (bench.state.board().expect("a board"), bench.state.here().expect("a cluster"));
    assert!(board.upgrading && board.upgrade.as_ref().is_some_and(|run| run.places().0 > 0), "a pod is gone");
    let drawn = curves(board, &cluster.history, Quantity::Connections, 150, 150);
    let first = |label: &str| {
        let curve = drawn.curves.iter().find(|curve| curve.label == label).expect("a curve");
        curve.values.iter().flatten().next().copied().expect("a value")
    };
    let all = drawn.total.iter().flatten().next().copied().expect("a total");
    assert!((first("previous") - all).abs() < 0.5, "{} of {all}", first("previous"));
    assert!(all >= drawn.total.iter().flatten().copied().fold(0.0, f64::max) * 0.9, "{all}");
}

#[test]
fn the_time_at_the_end_of_the_chart_is_never_covered() {
    for tenth in (200..620).step_by(5) {
        let screen = played("v1beta4-guarded-operator-2.2", f64::from(tenth) / 10.0).screen(120, 50);
        let axis = screen.lines().skip_while(|line| !line.contains('└')).nth(1).unwrap_or_default();
        let last = axis.split(' ').next_back().unwrap_or_default();
        assert!(last.len() == 8 && last.matches(':').count() == 2, "{axis:?}\n{screen}");
    }
}

#[test]
fn the_cursor_stays_on_a_pod_that_becomes_a_node() {
    let three: Vec<String> = (0..3).map(|number| node(&core(number))).collect();
    let mut bench = idle();
    bench.learn(5, emqx(5, "/api/v5/nodes", &nodes(&three, &[2500, 2500, 2500])));
    bench.screen(80, 24);
    bench.keys("g");
    assert_eq!(bench.state.selected, Some(core(3)), "a pod without a node comes first");
    let four: Vec<String> = (0..4).map(|number| node(&core(number))).collect();
    bench.learn(6, emqx(6, "/api/v5/nodes", &nodes(&four, &[2500, 2500, 2500, 0])));
    bench.screen(80, 24);
    assert_eq!((bench.state.selected.clone(), bench.state.cursor), (Some(node(&core(3))), 3));
}

#[test]
fn nodes_of_the_previous_revision_that_left_the_service_are_not_missing_from_it() {
    let mut bench = played("v2beta1-bluegreen-operator-2.2", 150.5);
    bench.screen(200, 60);
    let board = bench.state.board().expect("a board");
    let (serving, all) = board.in_service().expect("known");
    assert_eq!(serving, all, "{}", bench.screen(200, 60));
}

#[test]
fn no_number_is_shown_as_that_of_now_while_emqx_does_not_answer() {
    for (name, mut bench) in [("idle", idle()), ("running", running())] {
        let reset = Link::Unreachable("pod emqx-core-0 does not answer: reset".into());
        let lost = ["nodes", "load_rebalance"]
            .map(|resource| answer(40, BrokerUpdate::Link(resource, reset.clone())));
        bench.learn(40, lost.to_vec());
        bench.learn(90, received(at(90)));
        bench.tick(90);
        for (width, height) in crate::screens::situations::SIZES {
            let screen = bench.screen(width, height);
            let head: Vec<&str> = screen.lines().take(5).collect();
            for number in ["10,000 connected", "10,000 sessions"] {
                let alone = head.iter().any(|line| line.contains(&format!(" {number}")));
                assert!(!alone, "{name}: {number}\n{screen}");
            }
            assert!(!head.iter().any(|line| line.contains(" rounds")), "{name}\n{screen}");
        }
    }
}

#[test]
fn where_nothing_suggests_an_upgrade_there_is_none() {
    let mut upgrades = 0;
    for name in RECORDINGS {
        let (mut bench, lines) = recorded(name, false);
        for replayed in lines {
            let now = replayed.at;
            bench.send(Msg::RecordedFacts(replayed));
            let Some(id) = bench.state.open.clone() else { continue };
            let world = &bench.state.world;
            let found = UpgradeRevisions::of(world, &id).filter(UpgradeRevisions::in_transition);
            let short = UpgradeRevisions::under_way(world, &id);
            assert_eq!(found.is_some(), short.is_some(), "{name} at {now}");
            upgrades += usize::from(short.is_some());
        }
    }
    assert!(upgrades > 100, "{upgrades}");
    let mut bench = Bench::of(setup(), documented(0, &UNEVEN, &nothing()));
    bench.tick(1);
    assert!(UpgradeRevisions::under_way(&bench.state.world, &id()).is_none());
}

#[test]
fn the_time_of_a_failed_object_is_not_the_end_of_its_rebalance() {
    let mut object = json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance",
        "metadata": {"name": "evening", "namespace": "mq", "uid": "r1", "resourceVersion": "7",
            "creationTimestamp": "2026-11-23T09:50:00Z"},
        "spec": {"instanceKind": "EMQX", "instanceName": "emqx", "rebalanceStrategy": {"connEvictRate": 10}}});
    let condition = |kind: &str, time: &str| json!({"type": kind, "status": "True", "lastTransitionTime": time, "lastUpdateTime": time});
    object["status"] = json!({"phase": "Failed", "startedTime": "2026-11-23T09:50:01Z", "conditions": [
        condition("Failed", "2026-11-23T09:50:30Z"), condition("Processing", "2026-11-23T09:50:01Z")]});
    let mut facts = documented(0, &UNEVEN, &nothing());
    facts.extend(kubernetes(0, "LISTED", &object));
    let mut bench = Bench::of(setup(), facts);
    bench.tick(3);
    let screen = bench.screen(120, 40);
    assert!(screen.contains("began 10m ago, evening: not followed"), "{screen}");
    bench.keys("h");
    let history = bench.screen(120, 40);
    let line = history.lines().find(|line| line.contains(" evening")).unwrap_or_default();
    assert!(line.contains(" ? ") && !line.contains("09:50:30"), "{history}");
}

#[test]
fn an_emqx_that_no_pod_answers_for_is_announced_once_and_its_counts_are_old() {
    let mut bench = idle();
    for (number, second) in (20..200).step_by(15).enumerate() {
        let why = format!("pod emqx-core-{} does not answer: no answer within 10 s", number % 4);
        let lost = |resource| answer(second, BrokerUpdate::Link(resource, Link::Unreachable(why.clone())));
        bench.learn(second, vec![lost("nodes"), lost("load_rebalance")]);
        bench.tick(second);
    }
    bench.tick(200);
    let screen = bench.screen(120, 40);
    let notices = screen.lines().skip(10).filter(|line| line.contains("does not answer")).count();
    assert_eq!(notices, 1, "{screen}");
    assert!(screen.contains("all ~10,000") && !screen.contains("all 10,000"), "{screen}");
    // The counts of the last minute are unknown.
    let row = screen.lines().find(|line| line.contains("core-…f5c8-0")).expect("a row");
    let titles = screen.lines().find(|line| line.ends_with("3 MIN")).expect("titles");
    assert!(row.ends_with('█') && row.width() < titles.width(), "{titles}\n{row}");
    bench.learn(210, documented(210, &UNEVEN, &nothing()));
    bench.tick(210);
    assert!(bench.screen(120, 40).contains("all 10,000"), "{}", bench.screen(120, 40));
}

/// The rebalance of `running` at a later second and stage.
fn at_stage(bench: &mut Bench, second: i64, counts: &[u64], stage: Option<&str>) {
    let donors: Vec<String> = (0..3).map(|number| node(&core(number))).collect();
    let load = stage.map_or_else(nothing, |stage| {
        json!({"evacuations": [], "purges": [], "rebalances": [{"node": donors[0], "coordinator_node": donors[0],
            "state": stage, "donors": donors, "recipients": [node(&core(3))], "connection_eviction_rate": 10,
            "session_eviction_rate": 10}]})
    });
    bench.learn(second, documented(second, counts, &load));
    bench.tick(second);
}

#[test]
fn the_reason_to_stop_names_what_emqx_does_in_its_stage_and_the_time() {
    let mut bench = not_arriving();
    assert!(bench.screen(60, 15).contains("STOP IT: x stop"), "{}", bench.screen(60, 15));
    let evicting = bench.keys("d").screen(80, 24);
    assert!(
        evicting.contains("evicts more clients every second") && evicting.contains("WHY at 10:01:33"),
        "{evicting}"
    );
    bench.keys("Esc");
    at_stage(&mut bench, 95, &[2543, 2543, 2544, 0], Some("wait_takeover"));
    let waiting = bench.keys("d").screen(80, 24);
    assert!(waiting.contains("EMQX evicts no clients at present"), "{waiting}");
}

#[test]
fn a_rebalance_that_ends_while_its_prompt_is_open_is_not_stopped() {
    let mut bench = not_arriving();
    bench.keys("x");
    at_stage(&mut bench, 95, &[2543, 2543, 2544, 0], Some("wait_takeover"));
    for second in [106, 110, 140] {
        at_stage(&mut bench, second, &UNEVEN, None);
    }
    let before = bench.effects.len();
    bench.types("emqx").keys("Enter");
    let screen = bench.screen(120, 40);
    assert!(screen.contains("nothing was stopped: coordinator"), "{screen}");
    let stops = bench.effects[before..].iter().any(|effect| matches!(effect, Effect::Stop(..)));
    assert!(!stops, "{:?}", bench.effects);
}

#[test]
fn the_page_of_a_node_reports_that_its_pod_is_being_deleted() {
    let mut bench = idle();
    bench.keys("Enter");
    assert!(
        bench.screen(80, 24).contains("next: no operation concerns this node"),
        "{}",
        bench.screen(80, 24)
    );
    let mut deleted = pod(&core(0), true);
    deleted["metadata"]["deletionTimestamp"] = json!(at(40).to_string());
    deleted["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    bench.learn(10, kubernetes(10, "MODIFIED", &deleted));
    bench.tick(10);
    for (width, height) in SIZES {
        let screen = bench.screen(width, height);
        assert!(screen.contains("next: Kubernetes deletes its pod within 30s"), "{screen}");
        assert!(!screen.contains("no operation concerns"), "{screen}");
    }
}

#[test]
fn a_filter_names_the_key_that_drops_it() {
    let mut bench = idle();
    assert!(!bench.screen(80, 24).contains("Esc"), "{}", bench.screen(80, 24));
    bench.keys("/ z z Enter");
    let screen = bench.screen(80, 24);
    assert!(screen.contains("nothing fits the filter") && screen.contains("Esc no filter"), "{screen}");
    bench.keys("Esc");
    assert!(!bench.screen(80, 24).contains("nothing fits"), "{}", bench.screen(80, 24));
}

#[test]
fn an_evacuation_that_had_ended_before_the_view_was_opened_has_no_duration_and_is_not_recorded() {
    let facts = documented(0, &[0, 3333, 3334, 3333], &evacuation(&core(0), "prohibiting", 0, 0));
    let mut bench = Bench::of(setup(), facts);
    bench.tick(3);
    bench.tick(30);
    let recorded = |effect: &Effect| matches!(effect, Effect::RecordVerdicts(_));
    assert!(!bench.effects.iter().any(recorded), "{:?}", bench.effects);
    let screen = bench.keys("h").screen(120, 40);
    let row = screen.lines().find(|line| line.contains("evacuated")).expect("a row");
    assert!(!row.contains(" 0s ") && !row.contains("10:00:0"), "{screen}");
    let one = bench.keys("Enter").screen(120, 40);
    assert!(!one.contains("2026-11-23 10:00:0"), "{one}");
    // One that is running when the view is opened has an end, and no begin.
    let mut bench =
        Bench::of(setup(), documented(0, &UNEVEN, &evacuation(&core(2), "evicting_conns", 1200, 3400)));
    bench.tick(3);
    bench.learn(60, documented(60, &[5000, 5000, 0, 0], &evacuation(&core(2), "prohibiting", 0, 0)));
    bench.tick(60);
    let ends = bench.effects.iter().find_map(|effect| match effect {
        Effect::RecordVerdicts(ends) => ends.first(),
        _ => None,
    });
    let entry = &ends.expect("it is recorded").entry;
    assert_eq!((entry.started, entry.ended), (None, at(60)));
}

#[test]
fn clients_of_an_upgrade_that_may_be_reconnecting_are_not_red() {
    let (mut seen, bad) = (0, Some(Color::Indexed(197)));
    for name in
        ["v1beta4-guarded-operator-2.2", "v2beta1-bluegreen-operator-2.2", "v2-bluegreen-operator-2.3"]
    {
        let (mut bench, lines) = recorded(name, false);
        bench.state.setup.theme.color = true;
        for facts in lines {
            bench.send(Msg::RecordedFacts(facts));
            let buffer = bench.buffer(120, 40);
            let red = |y: u16| (0..120).any(|x| Some(buffer[(x, y)].fg) == bad);
            let screen = text(&buffer);
            for (line, y) in
                screen.lines().zip(0..).filter(|(line, _)| line.contains("on their way or missing"))
            {
                seen += 1;
                assert!(!red(y), "{line}");
            }
        }
    }
    assert!(seen > 0, "some recording has clients that reconnect");
}
