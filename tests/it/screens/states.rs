//! Screens of clusters and operations in each state, at several sizes.

use kubectl_emqx::model::{BrokerUpdate, Fact, Link, Source, Update};
use kubectl_emqx::output::theme::Theme;
use kubectl_emqx::tui::ViewSetup;
use ratatui::style::Color;

use super::make::{
    Bench, answer, at, cluster, core, documented, emqx, evacuation, instance, kubernetes, node, nodes,
    nothing, played, played_as, setup, slice,
};
use super::situations::{REBALANCE, SIZES, UNEVEN, idle, running, thousand};

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
fn the_service_is_distinguished_from_readiness() {
    let mut bench = idle();
    let serving: Vec<(String, bool)> = (0..4).map(|number| (core(number), number == 3)).collect();
    bench.learn(5, kubernetes(5, "MODIFIED", &slice(&serving)));
    let screen = bench.screen(80, 24);
    assert!(screen.contains("in the Service: 1 of 4"), "{screen}");
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
