//! Whole screens, driven by keys and facts, as text. A changed screen changes a file under `tests/snapshots`,
//! which shows it to a reviewer as to a user.

mod changes;
mod everywhere;
pub(crate) mod make;
mod opened;
mod pages;
mod panics;
mod recording;
mod scrolling;
mod sections;
mod svg;

use jiff::SignedDuration;
use kubectl_emqx::app::Wire;
use kubectl_emqx::model::{BrokerUpdate, Fact, Link, Source, Update};
use kubectl_emqx::output::theme::Theme;
use kubectl_emqx::ports::Translate;
use kubectl_emqx::tui::{ActionResult, Done, Effect, Msg, ViewSetup};
use make::{
    Bench, RECORDINGS, answer, at, cluster, core, documented, emqx, evacuation, id, instance, kubernetes,
    node, nodes, nothing, played, played_as, pod, received, recorded, setup, slice,
};
use ratatui::style::Color;

const SIZES: [(u16, u16); 4] = [(60, 15), (80, 24), (120, 40), (200, 60)];

const UNEVEN: [u64; 4] = [3333, 3333, 3334, 0];

const REBALANCE: &str = "v2beta1-rebalance-operator-2.2";

fn idle() -> Bench {
    let mut bench = Bench::of(setup(), documented(0, &UNEVEN, &nothing()));
    bench.tick(3);
    bench
}

#[test]
fn an_idle_cluster_at_every_size() {
    for (width, height) in SIZES {
        insta::assert_snapshot!(format!("idle_{width}x{height}"), idle().screen(width, height));
    }
}

#[test]
fn a_running_rebalance_at_every_size() {
    for (width, height) in SIZES {
        let screen = played(REBALANCE, 55.5).screen(width, height);
        insta::assert_snapshot!(format!("evicting_{width}x{height}"), screen);
    }
}

#[test]
fn each_phase_of_a_rebalance() {
    for (name, seconds) in [("waiting", 6.5), ("evicting_first", 14.5), ("takeover", 95.5), ("judged", 106.5)]
    {
        insta::assert_snapshot!(format!("phase_{name}"), played(REBALANCE, seconds).screen(80, 24));
    }
}

#[test]
fn only_ascii_when_only_ascii_is_wanted() {
    for (width, height) in SIZES {
        let mut bench = played_as(REBALANCE, 55.5, true);
        let screen = bench.screen(width, height);
        assert!(screen.is_ascii(), "{screen}");
        bench.keys("Enter");
        let detail = bench.screen(width, height);
        assert!(detail.is_ascii(), "{detail}");
        bench.keys("?");
        assert!(bench.screen(width, height).is_ascii());
        if width == 80 {
            insta::assert_snapshot!("ascii_evicting", screen);
            insta::assert_snapshot!("ascii_detail", detail);
        }
    }
}

#[test]
fn colour_only_repeats_what_a_word_states() {
    let plain = idle().screen(80, 24);
    let theme = Theme { color: true, ascii: false };
    let mut bench = Bench::of(ViewSetup { theme, ..setup() }, documented(0, &UNEVEN, &nothing()));
    bench.tick(3);
    assert_eq!(bench.screen(80, 24), plain, "the same words with and without colour");
    let buffer = bench.buffer(80, 24);
    let colours = |buffer: &ratatui::buffer::Buffer| {
        buffer.content().iter().filter(|cell| cell.fg != Color::Reset).count()
    };
    assert!(colours(&buffer) > 0);
    assert_eq!(colours(&idle().buffer(80, 24)), 0, "no colour where none is wanted");
    // Only colours that are readable on every background: none of the first sixteen, which terminals choose
    // themselves.
    let known = |colour: Color| matches!(colour, Color::Reset | Color::Indexed(16..));
    assert!(buffer.content().iter().all(|cell| known(cell.fg) && cell.bg == Color::Reset));
}

#[test]
fn each_state_of_an_evacuation() {
    for (state, connections, sessions) in [
        ("waiting_health_check", 3333, 3400),
        ("evicting_conns", 1200, 3400),
        ("waiting_takeover", 0, 3400),
        ("evicting_sessions", 0, 40),
        ("prohibiting", 0, 0),
    ] {
        let mut bench = Bench::of(setup(), documented(0, &[3333, 3333, 3334, 0], &nothing()));
        let mut facts = emqx(
            5,
            "/api/v5/load_rebalance/global_status",
            &evacuation(&core(2), state, connections, sessions),
        );
        let names: Vec<String> = (0..4).map(|number| node(&core(number))).collect();
        let moved = 3333 - connections;
        facts.extend(emqx(5, "/api/v5/nodes", &nodes(&names, &[3333, 3333, connections, moved])));
        bench.learn(5, facts);
        bench.tick(6);
        insta::assert_snapshot!(format!("evacuation_{state}"), bench.screen(80, 24));
    }
}

#[test]
fn upgrades_in_the_middle() {
    for (name, seconds) in [
        ("v2beta1-bluegreen-operator-2.2", 8.5),
        ("v2beta1-bluegreen-operator-2.2", 150.5),
        ("v1beta4-guarded-operator-2.2", 48.5),
        ("v2-bluegreen-operator-2.3", 57.5),
        ("v2beta1-undo-operator-2.2", 60.5),
    ] {
        let title = format!("upgrade_{name}_{seconds}").replace('.', "_");
        insta::assert_snapshot!(title, played(name, seconds).screen(100, 30));
    }
    insta::assert_snapshot!("upgrade_80x24", played("v2beta1-bluegreen-operator-2.2", 150.5).screen(80, 24));
}

#[test]
fn old_and_lost_sources_say_so() {
    let mut bench = idle();
    bench.tick(75);
    insta::assert_snapshot!("stale", bench.screen(80, 24));
    let lost = Link::Unreachable("pod emqx-core-0 does not answer: reset".into());
    bench.learn(76, vec![answer(76, BrokerUpdate::Link("nodes", lost))]);
    assert!(
        bench.screen(80, 24).contains("NOT SURE  EMQX has not answered"),
        "an old answer is no answer now"
    );
    insta::assert_snapshot!("lost", bench.screen(80, 24));
    bench.learn(80, documented(80, &UNEVEN, &nothing()));
    let screen = bench.screen(80, 24);
    assert!(screen.contains("emqx nodes: responds again"), "{screen}");
    assert!(!screen.contains("LOST"), "{screen}");
}

#[test]
fn without_permissions_it_shows_less_and_names_what_is_missing() {
    let mut facts = kubernetes(0, "LISTED", &instance("mq", "emqx", "one"));
    let deny = |source, resource, text: &str| Fact {
        at: at(0),
        update: Update::Link(source, resource, Link::Forbidden(text.to_owned())),
    };
    facts.push(Fact { at: at(0), update: Update::Link(Source::Kubernetes, "emqxes", Link::Up) });
    facts.push(deny(Source::Pods, "pods", "you may not list pods in namespace mq"));
    facts.push(deny(
        Source::Endpoints,
        "endpointslices",
        "you may not list endpointslices.discovery.k8s.io in namespace mq",
    ));
    let keyless = "cannot read Secret mq/emqx-node-cookie: you may not get secrets";
    facts.push(answer(0, BrokerUpdate::Link("nodes", Link::Forbidden(keyless.to_owned()))));
    let mut bench = Bench::of(setup(), facts);
    bench.tick(3);
    insta::assert_snapshot!("forbidden", bench.screen(80, 24));
    insta::assert_snapshot!("forbidden_60x15", bench.screen(60, 15));
}

#[test]
fn nothing_one_and_a_thousand() {
    let mut empty = Bench::of(ViewSetup { many: true, ..setup() }, Vec::new());
    insta::assert_snapshot!("empty", empty.screen(80, 24));
    let mut one = Bench::of(setup(), documented(0, &[42], &nothing()));
    one.tick(3);
    insta::assert_snapshot!("one_node", one.screen(80, 24));
    let mut many = thousand();
    insta::assert_snapshot!("thousand_first", many.screen(80, 24));
    many.keys("G");
    insta::assert_snapshot!("thousand_last", many.screen(80, 24));
    many.keys("s s");
    insta::assert_snapshot!("thousand_sorted", many.screen(120, 40));
}

fn thousand() -> Bench {
    let counts: Vec<u64> = (0..1000).map(|number| 10_000 + number * 7 % 113).collect();
    let mut bench = Bench::of(setup(), documented(0, &counts, &nothing()));
    bench.tick(3);
    bench
}

#[test]
fn hostile_names_stay_in_their_columns() {
    let pods: Vec<String> = [
        "emqx-\u{1b}[31mred",
        "emqx-\u{202e}gnp.exe",
        "emqx-节点节点节点-0",
        "emqx-e\u{301}e\u{301}\u{200b}-9",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut bench = Bench::of(setup(), cluster(0, &pods, &UNEVEN, &nothing()));
    bench.tick(3);
    for (width, height) in SIZES {
        let screen = bench.screen(width, height);
        assert!(!screen.contains('\u{1b}') && !screen.contains('\u{202e}') && !screen.contains('\u{200b}'));
        if width == 80 {
            insta::assert_snapshot!("hostile", screen);
        }
    }
}

#[test]
fn the_head_names_the_context_and_the_api_server_at_every_width() {
    let (context, server) = (
        "arn:aws:eks:eu-west-1:123456789012:cluster/prod-eu-payments",
        "https://0123456789ABCDEF0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com",
    );
    let mut bench = idle();
    bench.state.setup.place = context.to_owned();
    bench.state.setup.server = server.to_owned();
    let mut heads = String::new();
    for width in [60, 80, 100, 132, 200] {
        let screen = bench.screen(width, 24);
        let head = screen.lines().next().expect("a head");
        for end in ["@ arn", "ents (", "(012", "com)", " emqx"] {
            assert!(head.contains(end), "{width}: {end}: {head}");
        }
        assert_eq!(head.contains(context), width == 200, "{head}");
        heads.push_str(head.trim_end());
        heads.push('\n');
    }
    insta::assert_snapshot!("heads", heads);
    bench.state.setup.place = "prod".to_owned();
    bench.state.setup.server = "https://api:6443".to_owned();
    for width in [60, 80, 100] {
        let screen = bench.screen(width, 24);
        assert!(screen.lines().next().expect("a head").contains("@ prod (api:6443)"), "{screen}");
    }
}

#[test]
fn the_plan_follows_the_keys_and_is_applied_after_a_typed_word() {
    let mut bench = idle();
    bench.keys("p");
    assert!(matches!(bench.effects.as_slice(), [Effect::Allowed(of)] if *of == id()));
    bench.send(Msg::Done(Done::Allowed(id(), Some(true))));
    for (width, height) in SIZES {
        insta::assert_snapshot!(format!("plan_{width}x{height}"), bench.screen(width, height));
    }
    bench.types("200").keys("Enter");
    let screen = bench.screen(80, 24);
    assert!(screen.contains("4 rounds"), "{screen}");
    bench.keys("Left Left Left Left");
    assert!(bench.screen(80, 24).contains("78 rounds"), "{}", bench.screen(80, 24));
    bench.keys("a");
    insta::assert_snapshot!("plan_asks", bench.screen(80, 24));
    bench.types("emq").keys("Enter");
    assert!(
        !bench.effects.iter().any(|effect| matches!(effect, Effect::Apply(..))),
        "half a word is no word"
    );
    bench.types("x").keys("Enter");
    let applied = bench.effects.iter().find_map(|effect| match effect {
        Effect::Apply(of, strategy, _) => Some((of.clone(), strategy.conn_evict_rate)),
        _ => None,
    });
    assert_eq!(applied, Some((id(), 10)));
    assert!(bench.screen(80, 24).contains("creating the rebalance"));
    let acted = ActionResult { name: Some("rebalance.apps.emqx.io/evening".into()), notices: Vec::new() };
    bench.send(Msg::Done(Done::Applied(Ok(acted))));
    assert!(bench.screen(80, 24).contains("created rebalance.apps.emqx.io/evening"));
}

#[test]
fn every_finding_of_a_plan_can_be_read_to_its_end() {
    for (width, height) in SIZES {
        let mut bench = idle();
        bench.keys("p Tab");
        let Some(Ok((plan, ..))) = &bench.state.forecast else { panic!("a plan") };
        let findings = plan.findings.clone();
        assert!(findings.len() > 1, "{findings:?}");
        let mut read = String::new();
        for _ in &findings {
            let screen = bench.screen(width, height);
            read.extend(screen.lines().flat_map(|line| [line.trim(), " "]));
            bench.keys("j");
        }
        for finding in &findings {
            assert!(read.contains(&finding.message), "{width}x{height}: {} in {read}", finding.message);
            assert!(finding.hint.as_ref().is_none_or(|hint| read.contains(hint)), "{width}x{height}: {read}");
        }
        // No value changes in the meantime; and back.
        bench.types("9").keys("l Enter Esc");
        assert!(
            bench.screen(width, height).contains("PLAN") && bench.state.form.strategy == setup().strategy
        );
    }
}

#[test]
fn a_refusal_is_reported_with_its_reason() {
    let mut bench = Bench::of(setup(), documented(0, &[2500, 2500, 2500, 2500], &nothing()));
    bench.keys("p a");
    let screen = bench.screen(80, 24);
    assert!(screen.contains("nothing to do"), "{screen}");
    let problem =
        kubectl_emqx::error::Problem::refused("will not rebalance EMQX mq/emqx", "one already runs")
            .hint("kubectl emqx rebalance watch");
    bench.send(Msg::Done(Done::Applied(Err(problem))));
    bench.keys("Esc");
    let screen = bench.screen(80, 24);
    assert!(
        screen.contains("one already runs") && screen.contains("hint: kubectl emqx rebalance watch"),
        "{screen}"
    );
}

fn running() -> Bench {
    let mut bench = idle();
    let donors: Vec<String> = (0..3).map(|number| node(&core(number))).collect();
    let load = serde_json::json!({"evacuations": [], "purges": [], "rebalances": [{"node": donors[0],
        "coordinator_node": donors[0], "state": "evicting_conns", "donors": donors, "recipients": [node(&core(3))],
        "connection_eviction_rate": 10, "session_eviction_rate": 10}]});
    bench.learn(5, emqx(5, "/api/v5/load_rebalance/global_status", &load));
    bench
}

#[test]
fn a_rebalance_without_an_object_has_its_coordinator_as_the_table_names_it() {
    let screen = running().screen(80, 24);
    assert!(screen.contains("REBALANCING  without an object, coordinator core-…f5c8-0"), "{screen}");
}

#[test]
fn missing_clients_are_on_the_screen_however_small_it_is() {
    let (names, donors): (Vec<String>, Vec<String>) =
        ((0..4).map(core).collect(), (0..3).map(|it| node(&core(it))).collect());
    let load = |state: &str| {
        serde_json::json!({"evacuations": [], "purges": [], "rebalances": [{"node": donors[0],
            "coordinator_node": donors[0], "state": state, "donors": donors, "recipients": [node(&core(3))],
            "connection_eviction_rate": 10, "session_eviction_rate": 10}]})
    };
    let mut bench = idle();
    bench.learn(5, cluster(5, &names, &UNEVEN, &load("wait_health_check")));
    bench.learn(60, cluster(60, &names, &[2000, 2000, 2000, 0], &load("evicting_conns")));
    bench.tick(60);
    for (width, height) in [(200, 60), (120, 40), (80, 24), (60, 15), (40, 8)] {
        let screen = bench.screen(width, height);
        assert!(screen.contains("4,000 clients missing"), "{width}x{height}\n{screen}");
    }
    assert!(bench.screen(80, 24).contains("0% of the evicted arrived"), "{}", bench.screen(80, 24));
}

/// A rebalance whose evicted clients do not reconnect, a minute after its eviction began.
fn not_arriving() -> Bench {
    let (names, donors): (Vec<String>, Vec<String>) =
        ((0..4).map(core).collect(), (0..3).map(|it| node(&core(it))).collect());
    let load = |state: &str| {
        serde_json::json!({"evacuations": [], "purges": [], "rebalances": [{"node": donors[0],
            "coordinator_node": donors[0], "state": state, "donors": donors, "recipients": [node(&core(3))],
            "connection_eviction_rate": 10, "session_eviction_rate": 10}]})
    };
    let mut bench = Bench::of(setup(), documented(0, &UNEVEN, &nothing()));
    bench.learn(5, cluster(5, &names, &UNEVEN, &load("wait_health_check")));
    for second in 15..94_u64 {
        let each = (second - 14) * 10;
        let counts = [3333 - each, 3333 - each, 3334 - each, 0];
        let at = second.cast_signed();
        bench.learn(at, cluster(at, &names, &counts, &load("evicting_conns")));
    }
    bench.tick(93);
    bench
}

#[test]
fn clients_that_do_not_come_back_turn_the_headline_and_ring_the_bell_once() {
    let mut bench = not_arriving();
    for (width, height) in SIZES {
        let screen = bench.screen(width, height);
        assert!(screen.contains("2,370 of 10,000 clients are offline and do not come back"), "{screen}");
        insta::assert_snapshot!(format!("stop_it_{width}x{height}"), screen);
    }
    assert!(bench.screen(80, 24).contains("0 of 2,370 evicted clients reached emqx-core-66c88f5c8-3"));
    let alarms: Vec<&Effect> =
        bench.effects.iter().filter(|effect| matches!(effect, Effect::Alarm(_))).collect();
    let [Effect::Alarm(title)] = alarms.as_slice() else { panic!("{alarms:?}") };
    assert!(title.starts_with("emqx: STOP IT: ") && title.is_ascii(), "{title}");
    // The status of the same moment has the same text, and the command to type.
    let board = bench.state.board().expect("a board");
    assert!(board.status.message.contains("STOP IT: 2,370 of"), "{}", board.status.message);
    assert_eq!(board.status.next.as_deref(), Some("kubectl emqx rebalance stop emqx"));
}

#[test]
fn stopping_asks_for_the_name_and_read_only_does_not_even_ask() {
    let mut bench = running();
    bench.keys("x");
    insta::assert_snapshot!("stop_asks", bench.screen(80, 24));
    bench.keys("Esc");
    assert!(bench.effects.is_empty() && bench.screen(80, 24).contains("nothing was changed"));
    bench.keys("x").types("emqx").keys("Enter");
    let stops = format!("coordinator/{}", node(&core(0)));
    assert_eq!(bench.effects, [Effect::Stop(id(), stops.clone())]);
    let acted = ActionResult {
        name: Some(stops.clone()),
        notices: vec!["EMQX's global_status lists no rebalance".into()],
    };
    bench.send(Msg::Done(Done::Stopped(stops, Ok(acted))));
    assert!(bench.screen(80, 24).contains("global_status lists no rebalance"));

    let mut bench = Bench::of(ViewSetup { read_only: true, ..setup() }, documented(0, &UNEVEN, &nothing()));
    bench.keys("p a x");
    assert!(bench.state.overlay.is_none());
    assert!(bench.screen(80, 24).contains("--read-only"), "{}", bench.screen(80, 24));
    assert!(bench.effects.iter().all(|effect| matches!(effect, Effect::Allowed(_))));
}

#[test]
fn the_details_of_a_node_are_shown() {
    for (width, height) in SIZES {
        let mut bench = played(REBALANCE, 55.5);
        bench.keys("Enter");
        insta::assert_snapshot!(format!("node_{width}x{height}"), bench.screen(width, height));
    }
}

#[test]
fn rows_are_filtered_sorted_and_held() {
    let mut bench = idle();
    bench.keys("/").types("-3");
    insta::assert_snapshot!("filter_typing", bench.screen(80, 24));
    bench.keys("Enter");
    assert!(bench.screen(80, 24).contains("/-3"));
    bench.keys("Esc s");
    let screen = bench.screen(80, 24);
    let first = screen.lines().nth(5).unwrap_or_default();
    assert!(first.contains("f5c8-2"), "most connections first: {screen}");
    bench.keys("S");
    let screen = bench.screen(80, 24);
    assert!(screen.lines().nth(5).unwrap_or_default().contains("f5c8-3"), "{screen}");
    bench.keys("Space");
    bench.learn(30, documented(30, &[1, 2, 3, 4], &nothing()));
    bench.tick(30);
    let held = bench.screen(80, 24);
    assert!(held.contains("3,334") && held.contains("HELD for"), "{held}");
    bench.keys("Space");
    assert!(!bench.screen(80, 24).contains("3,334"));
}

#[test]
fn the_cursor_stays_on_its_node_wherever_that_goes() {
    let mut bench = idle();
    bench.keys("j j j");
    assert_eq!(bench.state.selected, Some(node(&core(3))));
    bench.keys("s");
    assert_eq!(bench.state.selected, Some(node(&core(3))));
    let names: Vec<String> = (0..3).map(|number| node(&core(number))).collect();
    bench.learn(6, emqx(6, "/api/v5/nodes", &nodes(&names, &[1, 2, 3])));
    bench.learn(6, kubernetes(6, "DELETED", &pod(&core(3), true)));
    bench.screen(80, 24);
    assert!(bench.state.selected.is_some(), "a vanished node leaves the cursor on another");
}

#[test]
fn notices_and_keys_have_their_places() {
    let mut bench = played(REBALANCE, 55.5);
    bench.keys("Tab");
    insta::assert_snapshot!("notices", bench.screen(80, 24));
    bench.keys("Tab ?");
    insta::assert_snapshot!("help", bench.screen(80, 24));
    bench.keys("Esc");
    assert!(bench.state.overlay.is_none());
}

#[test]
fn several_clusters_have_a_page() {
    let mut facts = documented(0, &UNEVEN, &nothing());
    facts.extend(kubernetes(0, "LISTED", &instance("prod", "orders", "two")));
    let mut bench = Bench::of(ViewSetup { many: true, ..setup() }, facts);
    bench.tick(3);
    insta::assert_snapshot!("clusters", bench.screen(80, 24));
    insta::assert_snapshot!("clusters_60x15", bench.screen(60, 15));
    bench.keys("j Enter");
    assert!(bench.screen(80, 24).contains("orders"), "{}", bench.screen(80, 24));
    bench.keys("Esc k Enter");
    assert!(bench.screen(80, 24).contains("10,000 connected"), "each has its own EMQX");
}

#[test]
fn what_is_deleted_and_made_again_is_shown_as_what_it_is() {
    let mut bench = idle();
    bench.learn(5, kubernetes(5, "DELETED", &instance("mq", "emqx", "one")));
    let screen = bench.screen(80, 24);
    assert!(screen.contains("GONE") && screen.contains("EMQX mq/emqx is gone"), "{screen}");
    bench.learn(9, kubernetes(9, "ADDED", &instance("mq", "emqx", "two")));
    assert!(!bench.screen(80, 24).contains("GONE"), "it comes back by itself");
}

#[test]
fn counters_that_go_backwards_are_only_other_numbers() {
    let mut bench = idle();
    for (second, counts) in [(10, [5, 5, 5, 5]), (11, [3333, 0, 1, 9]), (9, [1, 1, 1, 1])] {
        bench.learn(second, documented(second, &counts, &nothing()));
        bench.tick(second);
        bench.screen(80, 24);
    }
}

#[test]
fn the_service_is_distinguished_from_readiness() {
    let mut bench = idle();
    let serving: Vec<(String, bool)> = (0..4).map(|number| (core(number), number == 3)).collect();
    bench.learn(5, kubernetes(5, "MODIFIED", &slice(&serving)));
    let screen = bench.screen(80, 24);
    assert!(screen.contains("in the Service: 1 of 4"), "{screen}");
}

#[test]
fn nothing_is_drawn_when_nothing_changed() {
    let mut bench = idle();
    bench.screen(80, 24);
    bench.state.dirty = false;
    bench.learn(4, documented(4, &UNEVEN, &nothing()));
    assert!(!bench.state.dirty, "the same again is nothing to draw");
    bench.learn(5, documented(5, &[3333, 3333, 3333, 1], &nothing()));
    assert!(bench.state.dirty);
}

#[test]
fn a_screen_of_any_size_is_drawn() {
    let mut bench = played(REBALANCE, 55.5);
    for width in [1, 5, 19, 20, 33, 59, 71, 72, 80, 149, 150, 300] {
        for height in [1, 3, 4, 7, 14, 17, 18, 24, 90] {
            for keys in ["Tab", "Tab", "Enter", "Esc", "?", "Esc"] {
                bench.keys(keys);
                bench.buffer(width, height);
            }
        }
    }
    let mut bench = idle();
    bench.keys("p a");
    for (width, height) in [(20, 4), (30, 6), (60, 9)] {
        bench.buffer(width, height);
    }
}

#[test]
fn every_recording_plays_to_its_end_on_the_screen() {
    for name in RECORDINGS {
        let (mut bench, lines) = recorded(name, false);
        for replayed in lines {
            bench.send(Msg::RecordedFacts(replayed));
            bench.buffer(80, 24);
        }
        bench.send(Msg::Over);
        let screen = bench.screen(80, 24);
        assert!(screen.contains("RECORDING, ITS END"), "{name}\n{screen}");
    }
}

#[test]
fn a_recording_is_played_back_and_forth() {
    use kubectl_emqx::tui::Play;
    use kubectl_emqx::tui::player::Player;
    let (mut bench, lines) = recorded(REBALANCE, false);
    let begin = bench.state.setup.now;
    let lines = std::rc::Rc::new(lines);
    let open = std::rc::Rc::new(move || {
        let lines: Vec<_> = lines.as_ref().clone();
        Ok(Box::new(lines.into_iter().map(Ok)) as kubectl_emqx::tui::context::Lines)
    });
    let mut player = Player::new(open, begin, 10.0).expect("it opens");
    player.advance(&mut bench.state, 5.55);
    let there = bench.screen(80, 24);
    assert!(there.contains("REBALANCING"), "{there}");
    let mut play = |bench: &mut Bench, play| player.play(&mut bench.state, play).expect("it plays");
    play(&mut bench, Play::Jump(30));
    let later = bench.screen(80, 24);
    assert_ne!(later, there);
    play(&mut bench, Play::Jump(-30));
    assert_eq!(bench.screen(80, 24), there, "back is where it was, notices and all");
    play(&mut bench, Play::End);
    let end = bench.screen(80, 24);
    assert!(end.contains("BALANCED") && end.contains("balanced: donors"), "{end}");
    play(&mut bench, Play::Jump(-1000));
    play(&mut bench, Play::Step);
    play(&mut bench, Play::Step);
    assert!(bench.state.setup.playback.is_some_and(|playback| !playback.over));
}

#[test]
fn an_unreachable_server_is_reported_once_and_not_for_each_resource() {
    let mut bench = idle();
    let why = "the API server at https://10.0.0.1:6443 does not answer";
    for (place, resource) in
        ["emqxes", "rebalances", "pods", "statefulsets", "events"].into_iter().enumerate()
    {
        let second = 10 + i64::try_from(place).expect("a few");
        let lost = Update::Link(Source::Kubernetes, resource, Link::Unreachable(why.into()));
        bench.learn(second, vec![Fact { at: at(second), update: lost }]);
    }
    let screen = bench.screen(120, 40);
    assert_eq!(screen.matches(why).count(), 1, "{screen}");
}

/// The recorded run of the real operator, as the view showed it live.
fn live() -> Bench {
    live_until(55.5)
}

fn live_until(seconds: f64) -> Bench {
    let (recorded, lines) = recorded(REBALANCE, false);
    let begin = recorded.state.setup.now;
    let theme = Theme { color: true, ascii: false };
    let mut bench = Bench::new(ViewSetup { theme, now: begin, ..setup() });
    bench.learn_at(begin, received(begin));
    let mut ready = false;
    for replayed in lines.into_iter().filter(|replayed| replayed.t <= seconds) {
        if replayed.change && !std::mem::replace(&mut ready, true) {
            bench.send(Msg::Ready(replayed.at));
        }
        bench.learn_at(replayed.at, replayed.facts);
    }
    let now = begin + SignedDuration::try_from_secs_f64(seconds).expect("seconds");
    bench.learn_at(now, received(now));
    bench.send(Msg::Tick(now));
    bench
}

#[test]
fn a_verdict_is_recorded_once_as_soon_as_the_operation_has_ended() {
    let requests = |bench: &Bench| -> Vec<String> {
        let ended = bench.effects.iter().filter_map(|effect| match effect {
            Effect::RecordVerdicts(ended) => Some(ended),
            _ => None,
        });
        ended.flatten().map(|it| format!("{} {}", it.entry.name, it.entry.verdict.as_str())).collect()
    };
    assert!(requests(&live()).is_empty(), "it still runs");
    let mut bench = live_until(106.5);
    let now = bench.state.now;
    let names: Vec<String> = (0..4).map(|number| node(&core(number))).collect();
    for second in 1..60 {
        let now = now + SignedDuration::from_secs(second);
        let mut facts =
            Wire.emqx(now, &id(), "/api/v5/nodes", 200, &nodes(&names, &[2553, 2553, 2554, 2340]));
        facts.extend(Wire.emqx(now, &id(), "/api/v5/load_rebalance/global_status", 200, &nothing()));
        facts.extend(received(now));
        bench.learn_at(now, facts);
        // While facts are drawn one after the other, no tick is sent in between.
        if second > 50 {
            assert!(!requests(&bench).is_empty(), "{second} s");
            bench.send(Msg::Tick(now));
        }
    }
    let screen = bench.screen(120, 40);
    let [one] = requests(&bench).try_into().unwrap_or_else(|all| panic!("{all:?}\n{screen}"));
    assert!(one.ends_with(" balanced"), "{one}");
    assert!(requests(&played(REBALANCE, 106.5)).is_empty(), "a recording changes nothing");
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the picture is a file, and drawn again when a variable requires it"
)]
fn the_picture_in_the_readme_is_of_this_view() {
    let reports = "kubectl emqx watch, 55 seconds into a rebalance: operator reports Failed, EMQX continues";
    let drawn = svg::svg(&live().buffer(110, 34), reports);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/view.svg");
    if std::env::var_os("UPDATE_PICTURE").is_some() {
        std::fs::write(path, &drawn).expect("it is written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == drawn, "draw it again: UPDATE_PICTURE=1 cargo test --test it screens picture");
    assert!(include_str!("../../README.md").contains("](docs/view.svg)"));
}

#[test]
fn the_chart_shows_each_quantity_in_each_window_and_takes_the_whole_page() {
    let mut bench = played(REBALANCE, 55.5);
    let shows = |bench: &mut Bench, texts: &[&str]| {
        let screen = bench.screen(120, 40);
        for text in texts {
            assert!(screen.contains(text), "{text}\n{screen}");
        }
        screen
    };
    // The counts of the recording at that moment, and the marks.
    shows(
        &mut bench,
        &["connections per node   all 9,970", "[ ] 5m", "08:42:12 wait", "08:42:32 operator: Failed", "goal"],
    );
    bench.keys("c");
    shows(&mut bench, &["sessions per node"]);
    bench.keys("c");
    shows(&mut bench, &["change per second per node"]);
    bench.keys("c ]");
    shows(&mut bench, &["connections per node", "[ ] 15m"]);
    bench.keys("] ] ]");
    shows(&mut bench, &["[ ] 4h"]);
    bench.keys("[ [ [ [");
    shows(&mut bench, &["[ ] 5m"]);
    bench.keys("C");
    let whole = shows(&mut bench, &["connections per node", "C table"]);
    assert!(!whole.contains("SESSIONS"), "{whole}");
    insta::assert_snapshot!("chart_whole_80x24", bench.screen(80, 24));
    insta::assert_snapshot!("chart_whole_60x15", bench.screen(60, 15));
    bench.keys("Esc");
    shows(&mut bench, &["SESSIONS", "C larger"]);
}

#[test]
fn the_chart_of_an_upgrade_has_a_curve_for_each_revision() {
    let screen = played("v1beta4-guarded-operator-2.2", 48.5).screen(120, 50);
    for text in ["connections per revision", "previous\n", "target\n", "all\n"] {
        assert!(screen.contains(text), "{text}\n{screen}");
    }
    insta::assert_snapshot!("chart_upgrade_120x50", screen);
}

#[test]
fn the_chart_of_many_nodes_has_the_largest_the_mean_and_the_smallest() {
    let pods: Vec<String> = (0..12).map(core).collect();
    let counts: Vec<u64> = (0..12).map(|number| 100 * number).collect();
    let mut bench = Bench::of(setup(), cluster(0, &pods, &counts, &nothing()));
    bench.tick(3);
    let screen = bench.screen(120, 50);
    for text in ["max", "mean", "min", "1,200"] {
        assert!(screen.contains(text), "{text}\n{screen}");
    }
}

#[test]
fn where_rows_are_out_of_sight_the_table_states_which_are_shown() {
    let mut bench = thousand();
    let first = bench.screen(80, 24);
    assert!(first.contains("1–") && first.contains(" of 1,000"), "{first}");
    bench.keys("G");
    let last = bench.screen(80, 24);
    assert!(last.contains("–1,000 of 1,000"), "{last}");
    assert!(!idle().screen(80, 24).contains(" of 4 "), "not where all are in sight");
    // Also on a narrow page, and the columns keep their titles.
    let narrow = bench.screen(60, 15);
    assert!(narrow.contains("–1,000 of 1,000") && narrow.contains("CONNECTIONS"), "{narrow}");
}

#[test]
fn the_topology_and_the_lists_name_the_visible_rows_where_not_all_fit() {
    let mut bench = thousand();
    let first = bench.keys("t").screen(80, 24);
    assert!(first.contains(" 1–") && first.contains(" of 1,000\n"), "{first}");
    let last = bench.keys("G").screen(80, 24);
    assert!(last.contains("–1,000 of 1,000\n"), "{last}");
    bench.screen(60, 15);
    let narrow = bench.keys("G").screen(60, 15);
    assert!(narrow.contains("–1,000 of 1,000\n"), "{narrow}");
    let whole = idle().keys("t").screen(80, 24);
    assert!(!whole.contains("–4 of 4"), "{whole}");

    let mut facts = documented(0, &UNEVEN, &nothing());
    for number in 0..40 {
        let (name, uid) = (format!("emqx-{number}"), format!("uid-{number}"));
        facts.extend(kubernetes(0, "LISTED", &instance("prod", &name, &uid)));
    }
    let mut bench = Bench::of(ViewSetup { many: true, ..setup() }, facts);
    let clusters = bench.screen(80, 24);
    assert!(clusters.contains("41 EMQX clusters   1–"), "{clusters}");
    let clusters = bench.keys("G").screen(80, 24);
    assert!(clusters.contains("–41 of 41"), "{clusters}");
}

#[test]
fn a_text_that_was_scrolled_past_its_end_moves_with_the_first_key_back() {
    let mut bench = idle();
    let before = bench.keys("?").screen(80, 15);
    for _ in 0..60 {
        bench.keys("j");
        bench.screen(80, 15);
    }
    let end = bench.screen(80, 15);
    assert_ne!(end, before);
    bench.keys("k");
    assert_ne!(bench.screen(80, 15), end, "one key goes one line back");
}

#[test]
fn an_event_of_another_instance_with_a_longer_name_is_not_announced() {
    let mut facts = documented(0, &UNEVEN, &nothing());
    facts.extend(kubernetes(0, "LISTED", &instance("mq", "emqx-core-66c88f5c8-0", "two")));
    let mut bench = Bench::of(setup(), facts);
    bench.state.open(&id());
    bench.learn(20, kubernetes(20, "ADDED", &cluster_event("one", "of the longer name", 20)));
    let screen = bench.keys("Tab").screen(120, 40);
    assert!(!screen.contains("of the longer name"), "{screen}");
}

/// An event of the first pod, as the watch delivers it.
fn cluster_event(name: &str, message: &str, last: i64) -> serde_json::Value {
    serde_json::json!({"apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "Unhealthy", "message": message,
        "metadata": {"name": name, "namespace": "mq", "uid": name, "resourceVersion": "1"},
        "involvedObject": {"kind": "Pod", "namespace": "mq", "name": core(0)}, "count": 1,
        "lastTimestamp": at(last).to_string()})
}

#[test]
fn each_event_of_one_second_is_announced_whenever_it_arrives() {
    let mut bench = idle();
    for (seconds, name, message, last) in [
        (20, "one", "the first of a second", 20),
        (20, "two", "the second of the same second", 20),
        (22, "three", "one of an earlier second", 19),
        (23, "one", "the first of a second", 20),
    ] {
        bench.learn(seconds, kubernetes(seconds, "ADDED", &cluster_event(name, message, last)));
    }
    let screen = bench.keys("Tab").screen(120, 40);
    for message in ["the first of a second", "the second of the same second", "one of an earlier second"] {
        assert_eq!(screen.matches(message).count(), 1, "{message}\n{screen}");
    }
}
