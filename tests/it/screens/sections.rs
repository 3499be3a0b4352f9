//! What the view shows when something is unknown or over, in recordings, and with the mouse.

use std::rc::Rc;

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use jiff::SignedDuration;
use kubectl_emqx::model::{BrokerUpdate, Fact, Link, NodeName, Object, Update};
use kubectl_emqx::plan::rebalance::record::PlanRecord;
use kubectl_emqx::tui::context::Lines;
use kubectl_emqx::tui::player::Player;
use kubectl_emqx::tui::sort::SortBy;
use kubectl_emqx::tui::{Msg, Play, ViewSetup};
use serde_json::json;

use crate::screens::make::{
    Bench, answer, at, core, documented, emqx, evacuation, instance, kubernetes, node, nothing, played,
    received, recorded, setup,
};
use crate::screens::situations::{REBALANCE, SIZES, UNEVEN, idle, running};

fn lost(seconds: i64, link: &Link) -> Vec<Fact> {
    ["nodes", "load_rebalance"]
        .map(|resource| answer(seconds, BrokerUpdate::Link(resource, link.clone())))
        .to_vec()
}

#[test]
fn a_running_rebalance_whose_emqx_does_not_answer_is_not_sure_and_stops_counting() {
    let mut bench = running();
    let before = bench.screen(120, 40);
    assert!(before.contains("REBALANCING"), "{before}");
    bench.learn(40, lost(40, &Link::Unreachable("pod emqx-core-0 does not answer: reset".into())));
    for second in (40..100).step_by(10) {
        bench.learn(second, received(at(second)));
        bench.tick(second);
    }
    for (width, height) in SIZES {
        let screen = bench.screen(width, height);
        assert!(screen.contains("NOT SURE"), "{screen}");
        assert!(
            screen.contains("~3,333") && (width == 200 || !screen.contains(" 3,333")),
            "old numbers are marked: {screen}"
        );
        assert!(!screen.contains(" %") && !screen.contains("ends "), "{screen}");
        assert!(!screen.contains("IDLE") && !screen.contains("emqx 0s"), "{screen}");
        insta::assert_snapshot!(format!("unknown_{width}x{height}"), screen);
    }
    bench.keys("t");
    let screen = bench.screen(120, 40);
    assert!(screen.contains("~1.02G") && !screen.contains(" 1.02G"), "{screen}");
    bench.keys("Esc");
    bench.learn(101, emqx(101, "/api/v5/nodes", &crate::screens::make::nodes(&[node(&core(0))], &[7])));
    bench.learn(101, emqx(101, "/api/v5/load_rebalance/global_status", &nothing()));
    assert!(!bench.screen(120, 40).contains("NOT SURE"));
}

#[test]
fn counts_of_a_silent_operator_have_the_age_of_its_status() {
    let mut object = instance("mq", "emqx", "one");
    object["status"]["coreNodes"] = json!([]);
    object["status"]["nodes"] = json!([]);
    let mut facts = received(at(0));
    facts.extend(kubernetes(0, "LISTED", &object));
    facts.extend(lost(0, &Link::Forbidden("you may not get secrets".into())));
    let mut bench = Bench::of(setup(), facts);
    bench.learn(400, received(at(400)));
    bench.tick(400);
    let screen = bench.screen(120, 40);
    assert!(screen.contains("NOT SURE  EMQX cannot be queried: you may not get secrets"), "{screen}");
    assert!(screen.contains("operator status is 7m13s old"), "{screen}");
}

#[test]
fn clients_that_leave_after_the_end_are_missing_from_2_percent_on() {
    let runs = |state: &str| {
        let donors: Vec<String> = (0..3).map(|number| node(&core(number))).collect();
        json!({"evacuations": [], "purges": [], "rebalances": [{"node": donors[0], "coordinator_node": donors[0],
            "state": state, "donors": donors, "recipients": [node(&core(3))], "connection_eviction_rate": 10,
            "session_eviction_rate": 10}]})
    };
    let end = [2553, 2553, 2554, 2340];
    let mut bench = Bench::of(setup(), documented(0, &UNEVEN, &nothing()));
    bench.learn(3, documented(3, &UNEVEN, &runs("wait_health_check")));
    bench.learn(40, documented(40, &[3033, 3033, 3034, 900], &runs("evicting_conns")));
    bench.learn(91, documented(91, &end, &runs("wait_takeover")));
    for second in [101, 112, 140] {
        bench.learn(second, documented(second, &end, &nothing()));
        bench.tick(second);
    }
    let shown = |bench: &mut Bench, second: i64, counts: &[u64]| {
        bench.learn(second, documented(second, counts, &nothing()));
        bench.tick(second);
        bench.screen(120, 40)
    };
    let few = shown(&mut bench, 145, &[2503, 2503, 2504, 2300]);
    assert!(few.contains("BALANCED") && !few.contains("CLIENTS MISSING"), "{few}");
    let many = shown(&mut bench, 150, &[2500, 2500, 2500, 2290]);
    assert!(many.contains("CLIENTS MISSING  9,790 of 10,000 clients"), "{many}");
    // The clients reconnect.
    let back = shown(&mut bench, 155, &end);
    assert!(back.contains("BALANCED") && !back.contains("CLIENTS MISSING"), "{back}");
}

/// The operation that ended last was an evacuation, and an older rebalance has its verdict.
#[test]
fn a_rebalance_that_an_evacuation_followed_is_not_waited_for() {
    let donors: Vec<String> = (0..3).map(|number| node(&core(number))).collect();
    let runs = |state: &str| {
        json!({"evacuations": [], "purges": [], "rebalances": [{"node": donors[0], "coordinator_node": donors[0],
            "state": state, "donors": donors, "recipients": [node(&core(3))], "connection_eviction_rate": 10,
            "session_eviction_rate": 10}]})
    };
    let (end, emptied) = ([2553, 2553, 2554, 2340], [3404, 0, 3405, 3191]);
    let mut bench = Bench::of(setup(), documented(0, &UNEVEN, &nothing()));
    let mut shown = |second: i64, counts: &[u64], load| {
        bench.learn(second, documented(second, counts, &load));
        bench.tick(second);
        bench.screen(120, 40)
    };
    shown(3, &UNEVEN, runs("wait_health_check"));
    shown(40, &[3033, 3033, 3034, 900], runs("evicting_conns"));
    shown(91, &end, runs("wait_takeover"));
    shown(101, &end, nothing());
    shown(112, &end, nothing());
    let balanced = shown(140, &end, nothing());
    assert!(balanced.contains("BALANCED"), "{balanced}");
    let empty = shown(200, &emptied, evacuation(&core(1), "prohibiting", 0, 0));
    assert!(empty.contains("EVACUATED"), "{empty}");
    shown(220, &emptied, nothing());
    let serves = shown(260, &emptied, nothing());
    assert!(serves.contains("IDLE") && !serves.contains("WAITING"), "{serves}");
}

/// A Rebalance that ended before the view was opened, with an annotation or without.
fn ended(recorded: Option<&str>) -> Bench {
    let mut object = json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance",
        "metadata": {"name": "evening", "namespace": "mq", "uid": "r1", "resourceVersion": "7",
            "creationTimestamp": "2026-11-23T09:50:00Z"},
        "spec": {"instanceKind": "EMQX", "instanceName": "emqx", "rebalanceStrategy": {"connEvictRate": 10}},
        "status": {"phase": "Completed", "startedTime": "2026-11-23T09:50:01Z",
            "completedTime": "2026-11-23T09:52:00Z"}});
    if let Some(text) = recorded {
        object["metadata"]["annotations"] = json!({"cli.emqx.io/verdict": text});
    }
    let mut facts = documented(0, &UNEVEN, &nothing());
    facts.extend(kubernetes(0, "LISTED", &object));
    let mut bench = Bench::of(setup(), facts);
    bench.tick(3);
    bench
}

#[test]
fn a_view_that_is_opened_after_the_end_shows_the_recorded_verdict() {
    let record = r#"{"uid":"r1","verdict":"clientsMissing","message":"120 of 10,000 clients are missing",
        "started":"2026-11-23T09:50:01Z","ended":"2026-11-23T09:52:00Z","connections":[10000,9880],
        "sessions":[10000,10000],"by":"ci"}"#;
    for (width, height) in SIZES {
        let screen = ended(Some(record)).screen(width, height);
        assert!(screen.contains("CLIENTS MISSING") && !screen.contains("IDLE"), "{screen}");
    }
    let screen = ended(Some(record)).screen(120, 40);
    assert!(screen.contains("8m3s ago, evening: 120 of 10,000 clients are missing"), "{screen}");
    // Without a record the present status is shown, which is not a verdict.
    let screen = ended(None).screen(120, 40);
    assert!(screen.contains("UNKNOWN") && screen.contains("evening: not followed"), "{screen}");
    // An invalid verdict is not shown.
    for odd in ["{}", "[", r#"{"verdict":"running"}"#, "{\"verdict\":\"\u{1b}[31m\"}"] {
        assert!(ended(Some(odd)).screen(120, 40).contains("not followed"), "{odd}");
    }
}

#[test]
fn a_past_verdict_hides_neither_a_node_that_is_gone_nor_an_operation_that_runs() {
    let record = r#"{"uid":"r1","verdict":"balanced","message":"10,000 clients on 4 nodes",
        "started":"2026-11-23T09:50:01Z","ended":"2026-11-23T09:58:00Z","connections":[10000,10000],
        "sessions":[10000,10000],"by":"ci"}"#;
    let even = [2500, 2500, 2500, 2500];
    let mut bench = ended(Some(record));
    bench.learn(5, documented(5, &even, &nothing()));
    assert!(bench.screen(120, 40).contains("BALANCED  2m5s ago, evening"), "{}", bench.screen(120, 40));
    // EMQX lists three nodes, and four pods run.
    let three: Vec<String> = (0..3).map(|number| node(&core(number))).collect();
    bench.learn(10, emqx(10, "/api/v5/nodes", &crate::screens::make::nodes(&three, &even)));
    for (width, height) in SIZES {
        let screen = bench.screen(width, height);
        assert!(!screen.contains("BALANCED") && !screen.contains("IDLE"), "{screen}");
    }
    let screen = bench.screen(200, 60);
    assert!(screen.contains("runs and serves clients, and EMQX does not list it"), "{screen}");
    // The node is back, and another client evacuates a node.
    let evacuates = crate::screens::make::evacuation(&core(1), "evicting_conns", 1200, 3400);
    bench.learn(20, documented(20, &even, &evacuates));
    let screen = bench.screen(120, 40);
    assert!(screen.contains("EVACUATING") && !screen.contains("BALANCED"), "{screen}");
}

#[test]
fn a_stalled_upgrade_stays_the_headline_with_its_cause() {
    let mut bench = Bench::of(setup(), documented(0, &UNEVEN, &nothing()));
    bench.tick(3);
    for second in (5..=140).step_by(5) {
        let mut facts = documented(second, &UNEVEN, &nothing());
        let mut changed = instance("mq", "emqx", "one");
        changed["spec"]["image"] = json!("emqx/emqx-enterprise:5.8.7");
        changed["metadata"]["resourceVersion"] = json!((100 + second).to_string());
        facts.extend(kubernetes(second, "MODIFIED", &changed));
        bench.learn(second, facts);
        bench.tick(second);
    }
    for (width, height) in SIZES {
        let screen = bench.screen(width, height);
        assert!(screen.contains("STALLED"), "{screen}");
        assert!(!screen.contains("IDLE") && !screen.contains("UPGRADING"), "{screen}");
    }
    let screen = bench.screen(200, 50);
    assert!(screen.contains("no progress for") && screen.contains("it has not made a new set"), "{screen}");
}

/// The recorded rebalance, first seen 55 s after its beginning; with the plan that `apply` would have
/// recorded, or without.
pub(crate) fn joined(recorded_start: bool) -> Bench {
    let (replay, lines) = recorded(REBALANCE, false);
    let begin = replay.state.setup.now;
    let mut bench = Bench::new(ViewSetup { now: begin, ..setup() });
    bench.learn_at(begin, received(begin));
    let now = begin + SignedDuration::from_secs(55);
    let mut facts: Vec<Fact> =
        lines.into_iter().filter(|replayed| replayed.t <= 55.0).flat_map(|replayed| replayed.facts).collect();
    for fact in &mut facts {
        if let Update::Upserted(Object::Rebalance(object)) = &mut fact.update
            && let Some(time) = object.created.filter(|_| recorded_start)
        {
            let starts = [3333, 3333, 3334, 0].into_iter().enumerate();
            let nodes =
                starts.map(|(number, held)| (NodeName::from(node(&core(number)).as_str()), held, held));
            let expected_end = time + SignedDuration::from_secs(98);
            let strategy = object.strategy.clone();
            let record = PlanRecord { version: 1, time, expected_end, strategy, nodes: nodes.collect() };
            object.plan = Some(record.text());
        }
    }
    bench.learn_at(now, facts);
    bench.learn_at(now, received(now));
    bench.send(Msg::Ready(now));
    bench.send(Msg::Tick(now));
    bench
}

#[test]
fn a_view_that_is_opened_in_the_middle_shows_percent_goal_and_end() {
    for (width, height) in SIZES {
        let screen = joined(true).screen(width, height);
        for text in ["REBALANCING", "operator reports Failed, EMQX continues", " %", "ends 08:43:5"] {
            assert!(screen.contains(text), "{text}\n{screen}");
        }
    }
    let screen = joined(true).screen(120, 40);
    assert!(screen.contains("goal ╎ 2,5") && screen.contains(" of 78 rounds"), "{screen}");
    // Where the start is not recorded, only a bound of the earlier work is known; the goal and the end follow
    // from the counts.
    let screen = joined(false).screen(120, 40);
    for text in ["goal ╎ 2,5", "37 rounds to go", "ends 08:43:5", "at most 52 %"] {
        assert!(screen.contains(text), "{text}\n{screen}");
    }
    assert!(!screen.contains("0 of 37"), "{screen}");
}

pub(crate) fn player(name: &str) -> (Bench, Player) {
    let (mut bench, lines) = recorded(name, false);
    let begin = bench.state.setup.now;
    let lines = Rc::new(lines);
    let open = Rc::new(move || {
        let lines: Vec<_> = lines.as_ref().clone();
        Ok(Box::new(lines.into_iter().map(Ok)) as Lines)
    });
    let player = Player::new(open, begin, 10.0).expect("it opens");
    bench.state.route = Some(player.survey(&bench.state.setup).expect("it is read"));
    (bench, player)
}

#[test]
fn a_recording_has_a_position_bar_with_marks_and_keys_to_go_to_them() {
    let (mut bench, mut player) = player(REBALANCE);
    let route = bench.state.route.clone().expect("a route");
    let marks: Vec<&str> = route.marks.iter().map(|mark| mark.text.as_str()).collect();
    for mark in ["created", "evict", "operator: Failed", "takeover", "balanced"] {
        assert!(marks.contains(&mark), "{marks:?}");
    }
    let mut press = |bench: &mut Bench, key: &str| {
        bench.keys(key);
        for effect in std::mem::take(&mut bench.effects) {
            if let kubectl_emqx::tui::Effect::Play(play) = effect {
                player.play(&mut bench.state, play).expect("it plays");
            }
        }
        bench.screen(120, 40)
    };
    let mut seen = Vec::new();
    for _ in 0..route.marks.len() {
        let screen = press(&mut bench, "n");
        seen.push(bench.state.now);
        assert!(screen.contains("●") && screen.contains("┼"), "{screen}");
    }
    let mut times: Vec<_> = route.marks.iter().map(|mark| mark.at).collect();
    times.dedup();
    seen.dedup();
    assert_eq!(seen, times, "each mark once");
    assert!(press(&mut bench, "End").contains("BALANCED"));
    let before = bench.state.now;
    press(&mut bench, ",");
    assert!(bench.state.now < before && route.steps.contains(&bench.state.now), "a line back");
    press(&mut bench, "N");
    assert!(times.contains(&bench.state.now), "{}", bench.state.now);
    let first = press(&mut bench, "Home");
    assert_eq!(bench.state.now, route.begin, "{first}");
    press(&mut bench, "n n n");
    for (width, height) in SIZES {
        insta::assert_snapshot!(format!("replay_{width}x{height}"), bench.screen(width, height));
    }
    assert!(press(&mut bench, "x").contains("replay: nothing can be changed"));
}

/// Head, table and chart: without the first line, which names the recording, and without notices, ages and
/// keys. Also without the changes per second: a recording omits equal answers with their times.
fn body(screen: &str) -> Vec<String> {
    let notice = |line: &&str| line.as_bytes().get(3) == Some(&b':') && line.as_bytes().get(6) == Some(&b':');
    let still = |line: &str| {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.starts_with(['+', '−'])).collect();
        let rate = words.iter().position(|word| *word == "moved/s").and_then(|place| place.checked_sub(1));
        let kept = words.iter().enumerate().filter(|(place, _)| Some(*place) != rate);
        kept.map(|(_, word)| *word).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    };
    let lines: Vec<String> = screen.lines().skip(1).filter(|line| !notice(line)).map(still).collect();
    lines[..lines.len() - 3].to_vec()
}

#[test]
fn a_replayed_recording_equals_the_live_view_frame_by_frame() {
    let (mut replay, lines) = recorded(REBALANCE, false);
    let begin = replay.state.setup.now;
    let mut live = Bench::new(ViewSetup { now: begin, ..setup() });
    live.learn_at(begin, received(begin));
    let (mut ready, mut frames, mut early) = (false, 0, Vec::new());
    let mut answers: Vec<Fact> = Vec::new();
    for replayed in lines {
        // A recording omits equal answers: EMQX gave each of them, once a second.
        let mut second = live.state.now + SignedDuration::from_secs(1);
        while ready && second < replayed.at {
            for fact in &mut answers {
                fact.at = second;
            }
            live.learn_at(second, answers.clone());
            live.send(Msg::Tick(second));
            replay.send(Msg::Tick(second));
            second += SignedDuration::from_secs(1);
        }
        for fact in &replayed.facts {
            if let Update::Broker(_, update) = &fact.update {
                let same = |other: &Fact| match &other.update {
                    Update::Broker(_, other) => {
                        std::mem::discriminant(other) == std::mem::discriminant(update)
                    }
                    _ => false,
                };
                answers.retain(|other| !same(other));
                answers.push(fact.clone());
            }
        }
        let emqx = replayed.facts.iter().any(|fact| matches!(fact.update, Update::Broker(..)));
        // The live view asks EMQX of a cluster once the cluster is known; the recording may have the answers
        // before.
        let known = live.state.world.instance(&crate::screens::make::id()).is_some();
        if emqx && !known {
            early.push(replayed.clone());
        }
        live.learn_at(replayed.at, received(replayed.at));
        if emqx && known && !std::mem::replace(&mut ready, true) {
            live.send(Msg::Ready(replayed.at));
            for replayed in std::mem::take(&mut early) {
                live.learn_at(replayed.at, replayed.facts);
            }
        }
        live.learn_at(replayed.at, replayed.facts.clone());
        live.send(Msg::Tick(replayed.at));
        // The first answers are sampled by one view before it is ready, by the other one after it.
        let resolved = replayed.t > 20.0;
        let now = replayed.at;
        replay.send(Msg::RecordedFacts(replayed));
        replay.send(Msg::Tick(now));
        if ready && resolved {
            frames += 1;
            let (one, other) = (live.screen(120, 40), replay.screen(120, 40));
            assert_eq!(body(&one), body(&other), "at {now}");
        }
    }
    assert!(frames > 100, "{frames}");
}

#[test]
fn the_chart_shows_the_recorded_counts() {
    use kubectl_emqx::tui::curves::{Quantity, curves};
    let bench = &mut played(REBALANCE, 55.5);
    bench.screen(120, 40);
    let (board, cluster) = (bench.state.board().expect("a board"), bench.state.here().expect("a cluster"));
    let drawn = curves(board, &cluster.history, Quantity::Connections, 60, 60);
    let last: Vec<u64> = drawn
        .curves
        .iter()
        .filter_map(|curve| curve.values.last().copied().flatten())
        .map(|it| it as u64)
        .collect();
    // EMQX's last answer before that second in the recording.
    let (_, lines) = recorded(REBALANCE, false);
    let mut counts =
        lines.iter().filter(|replayed| replayed.t <= 55.5).flat_map(|replayed| &replayed.facts).filter_map(
            |fact| match &fact.update {
                Update::Broker(_, BrokerUpdate::Nodes(nodes)) => {
                    Some(nodes.iter().filter_map(|node| node.connections).collect::<Vec<_>>())
                }
                _ => None,
            },
        );
    let mut counts = counts.next_back().expect("counts");
    counts.sort_unstable();
    let mut shown = last.clone();
    shown.sort_unstable();
    assert_eq!(shown, counts);
    let total = drawn.total.last().copied().flatten();
    assert_eq!(total.map(|total| total as u64), Some(counts.iter().sum()));
}

fn mouse(bench: &mut Bench, kind: MouseEventKind, column: u16, row: u16) {
    bench.screen(80, 24);
    bench.send(Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
}

#[test]
fn the_wheel_scrolls_and_a_click_selects_and_sorts() {
    let mut bench = idle();
    let screen = bench.screen(80, 24);
    let line = |screen: &str, what: &str| {
        let found = screen.lines().enumerate().find_map(|(y, line)| Some((line.find(what)?, y)));
        let (bytes, y) = found.unwrap_or_else(|| panic!("{what}\n{screen}"));
        let x = screen.lines().nth(y).map_or(0, |line| line[..bytes].chars().count());
        (u16::try_from(x).expect("a column"), u16::try_from(y).expect("a line"))
    };
    let left = MouseEventKind::Down(MouseButton::Left);
    let (x, y) = line(&screen, "f5c8-2");
    mouse(&mut bench, left, x, y);
    assert_eq!(bench.state.selected, Some(node(&core(2))));
    mouse(&mut bench, MouseEventKind::ScrollUp, x, y);
    assert_eq!(bench.state.selected, Some(node(&core(0))));
    mouse(&mut bench, MouseEventKind::ScrollDown, x, y);
    assert_eq!(bench.state.selected, Some(node(&core(3))));
    let (x, y) = line(&screen, "CONNECTIONS");
    mouse(&mut bench, left, x, y);
    let sorted = bench.screen(80, 24);
    assert!(bench.state.order.by == SortBy::Connections && sorted.contains("CONNECTIONS▾"), "{sorted}");
    mouse(&mut bench, left, x, y);
    assert!(bench.screen(80, 24).contains("CONNECTIONS▴"));
    // At a position without a target nothing happens, and nothing is drawn.
    bench.state.dirty = false;
    mouse(&mut bench, left, 79, 23);
    mouse(&mut bench, MouseEventKind::Moved, 3, 3);
    assert!(!bench.state.dirty);
    // While a prompt is open the mouse changes nothing.
    let mut bench = running();
    bench.keys("x");
    mouse(&mut bench, left, x, y);
    assert!(bench.state.overlay.is_some() && bench.state.order.by == SortBy::Name);
}

#[test]
fn sorting_goes_through_the_columns_in_sight_and_the_mark_always_fits() {
    for (width, height) in SIZES {
        let mut bench = played(REBALANCE, 55.5);
        let mut marks = 0;
        for _ in 0..SortBy::ALL.len() {
            bench.screen(width, height);
            bench.keys("s");
            let screen = bench.screen(width, height);
            let by = bench.state.order.by;
            assert!(bench.state.sortable.borrow().contains(&by), "{by:?} is out of sight\n{screen}");
            if by != SortBy::Name {
                assert!(screen.contains('▾'), "{by:?}\n{screen}");
                marks += 1;
            }
        }
        assert!(marks > 2, "{width}x{height}");
    }
    let mut bench = played(REBALANCE, 55.5);
    bench.screen(120, 40);
    while bench.state.order.by != SortBy::State {
        bench.keys("s");
    }
    let parts: Vec<_> = bench.state.board().expect("a board").shown().map(|row| row.state.clone()).collect();
    assert_eq!(parts, ["donor", "donor", "donor", "recipient"], "donors first");
}

#[test]
fn what_leaves_the_service_is_shown_and_ready_only_where_a_pod_is_unhealthy() {
    let mut bench = idle();
    let screen = bench.screen(120, 40);
    assert!(screen.contains("IN SVC") && !screen.contains("READY"), "{screen}");
    let mut sick = crate::screens::make::pod(&core(1), false);
    sick["status"]["conditions"][1]["status"] = json!("False");
    bench.learn(5, kubernetes(5, "MODIFIED", &sick));
    let screen = bench.screen(120, 40);
    assert!(screen.contains("READY"), "{screen}");
    let waiting = played(REBALANCE, 8.4).screen(120, 40);
    assert!(waiting.contains("leaving 5s") && waiting.contains("donor 5s"), "{waiting}");
}

#[test]
fn the_help_explains_marks_colours_and_states_at_every_size() {
    for (width, height) in SIZES {
        for theme in [false, true] {
            let mut bench = idle();
            bench.state.setup.theme.ascii = theme;
            bench.keys("?");
            let mut read = String::new();
            for _ in 0..60 {
                read.push_str(&bench.screen(width, height));
                bench.keys("j");
            }
            // In no column a text is shortened; at 200x60 the page is visible above and below.
            let help = |line: &&str| width < 200 && (line.contains('…') || line.contains(".."));
            let cut: Vec<&str> = read.lines().filter(|line| line.starts_with("  ")).filter(help).collect();
            assert!(cut.is_empty(), "{width}x{height}: {cut:#?}");
            let wanted =
                ["clients that are gone", "clients that arrived", "goal of a node", "orange", "recipient"];
            for text in wanted {
                assert!(read.contains(text), "{text} at {width}x{height}\n{}", bench.screen(width, height));
            }
        }
    }
    let mut bench = idle();
    bench.keys("?");
    insta::assert_snapshot!("help_120x40", bench.screen(120, 40));
}

#[test]
fn playing_ends_where_the_recording_does() {
    let (mut bench, mut player) = player(REBALANCE);
    let end = bench.state.route.as_ref().expect("a route").end;
    player.play(&mut bench.state, Play::End).expect("it plays");
    assert_eq!(bench.state.now, end);
}
