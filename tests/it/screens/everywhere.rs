//! Every page in every situation at every size: no panic, no text beyond its line, whole words, no
//! information by colour alone, and only ASCII in ASCII mode.

use kubectl_emqx::model::{BrokerUpdate, Link, NodeName, Update};
use kubectl_emqx::output::theme::Theme;
use kubectl_emqx::tui::{ActionResult, Done, Msg, ViewSetup};
use ratatui::style::Color;
use serde_json::json;
use unicode_width::UnicodeWidthStr;

use crate::screens::make::{
    Bench, answer, at, cluster, core, documented, evacuation, id, instance, kubernetes, node, nothing,
    played, received, setup, text,
};
use crate::screens::situations::{REBALANCE, SIZES, UNEVEN, idle, not_arriving, running};

/// A page, and the keys that open it from the table.
const PAGES: [(&str, &str); 18] = [
    ("table", ""),
    ("wide table", "w"),
    ("chart", "C"),
    ("node", "Enter"),
    ("notices", "Tab"),
    ("filter", "/ x"),
    ("topology", "t"),
    ("history", "h"),
    ("operation", "h Enter"),
    ("plan", "p"),
    ("settings", "p m"),
    ("planned nodes", "p Enter"),
    ("findings", "p Tab"),
    ("question", "p a"),
    ("upgrade", "u"),
    ("evacuation", "e"),
    ("description", "d"),
    ("help", "?"),
];

fn cjk() -> Bench {
    let pods: Vec<String> = (0..4).map(|number| format!("emqx-消息队列核心节点-{number}")).collect();
    let mut bench = Bench::of(setup(), cluster(0, &pods, &UNEVEN, &nothing()));
    "生产集群-eu".clone_into(&mut bench.state.setup.place);
    bench.tick(3);
    bench
}

fn thousand() -> Bench {
    let counts: Vec<u64> = (0..1000).map(|number| if number < 900 { 10_000 } else { 0 }).collect();
    let mut bench = Bench::of(setup(), documented(0, &counts, &nothing()));
    bench.tick(3);
    bench
}

fn three() -> Bench {
    let mut facts = documented(0, &UNEVEN, &nothing());
    facts.extend(kubernetes(0, "LISTED", &instance("prod", "orders", "two")));
    facts.extend(kubernetes(0, "LISTED", &instance("prod", "订单", "three")));
    let mut bench = Bench::of(ViewSetup { many: true, ..setup() }, facts);
    bench.tick(3);
    bench
}

fn opened() -> Bench {
    let mut bench = three();
    bench.keys("Enter");
    bench
}

fn linked(mut bench: Bench, link: &Link) -> Bench {
    let lost = |resource| answer(30, BrokerUpdate::Link(resource, link.clone()));
    bench.learn(30, vec![lost("nodes"), lost("load_rebalance")]);
    bench.learn(400, received(at(400)));
    bench.tick(400);
    bench
}

/// The pods are known, and EMQX never answered.
fn never(link: &Link) -> Bench {
    let mut facts = documented(0, &UNEVEN, &nothing());
    facts.retain(|fact| !matches!(fact.update, Update::Broker(..)));
    facts.push(answer(0, BrokerUpdate::Link("nodes", link.clone())));
    let mut bench = Bench::of(setup(), facts);
    bench.tick(3);
    bench
}

/// EMQX answers, and the operator's last event and status are an hour old.
fn silent() -> Bench {
    let mut object = instance("mq", "emqx", "one");
    object["status"]["conditions"] = json!([{ "type": "Ready", "status": "True", "reason": "Ready",
        "lastTransitionTime": "2026-11-23T09:00:00Z", "lastUpdateTime": "2026-11-23T09:00:00Z" }]);
    let mut facts = documented(3600, &UNEVEN, &nothing());
    facts.extend(kubernetes(3600, "LISTED", &object));
    let mut rebalance = json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance",
        "metadata": {"name": "waits-for-the-operator", "namespace": "mq", "uid": "waits", "resourceVersion": "7"},
        "spec": {"instanceKind": "EMQX", "instanceName": "emqx", "rebalanceStrategy": {"connEvictRate": 10}}});
    rebalance["metadata"]["creationTimestamp"] = json!(at(3500).to_string());
    facts.extend(kubernetes(3600, "LISTED", &rebalance));
    let mut bench = Bench::of(setup(), facts);
    bench.tick(3603);
    bench
}

fn evacuating() -> Bench {
    let mut bench =
        Bench::of(setup(), documented(0, &UNEVEN, &evacuation(&core(2), "evicting_conns", 1200, 3400)));
    bench.tick(3);
    bench
}

fn acted() -> Bench {
    let mut bench = idle();
    let node = NodeName::from(node(&core(1)).as_str());
    let notices = vec!["notice: one".to_owned()];
    bench.send(Msg::Done(Done::Acted(
        format!("the evacuation of {node} has started"),
        Ok(ActionResult { name: None, notices }),
    )));
    bench
}

fn situations() -> Vec<(&'static str, Bench)> {
    let unreachable = Link::Unreachable("pod emqx-core-0 does not answer: connection reset by peer".into());
    let forbidden = Link::Forbidden("you may not get secrets in namespace mq".into());
    vec![
        ("idle", idle()),
        ("acted", acted()),
        ("running", running()),
        ("stop it", not_arriving()),
        ("evacuating", evacuating()),
        ("CJK names", cjk()),
        ("1000 nodes", thousand()),
        ("three clusters", three()),
        ("one of three clusters", opened()),
        ("EMQX unreachable", linked(running(), &unreachable)),
        ("EMQX forbidden", linked(idle(), &forbidden)),
        ("EMQX never answered", never(&unreachable)),
        ("operator silent", silent()),
        ("replay of a rebalance", played(REBALANCE, 55.5)),
        ("replay of an upgrade", played("v2beta1-bluegreen-operator-2.2", 150.5)),
        ("replay of a guarded upgrade", played("v1beta4-guarded-operator-2.2", 48.5)),
    ]
}

/// A line that ends with an ellipsis ends after a whole word, unless a single word is too long for the line.
fn ends_with_a_whole_word(line: &str) -> bool {
    let Some(rest) = line.trim_end().strip_suffix('…') else { return true };
    // Names that share a line of the chart are joined by commas.
    rest.ends_with(' ') || rest.rsplit(' ').next().is_some_and(|word| word.width() > 14 || word.contains(','))
}

#[test]
fn every_page_in_every_situation_fits_every_screen_in_every_theme() {
    for (situation, mut bench) in situations() {
        let large = situation == "1000 nodes";
        // A forecast of a thousand nodes takes long without optimization, and its page has no further kinds
        // of rows.
        for (page, keys) in PAGES.into_iter().filter(|(_, keys)| !large || !keys.starts_with('p')) {
            if !keys.is_empty() {
                bench.keys(keys);
            }
            // For a thousand nodes, only the pages that list them are drawn at every size.
            let lists = ["", "w", "C", "t", "h"].contains(&keys);
            for (width, height) in SIZES.into_iter().filter(|(width, _)| !large || lists || *width == 120) {
                let mut theme = |color, ascii| {
                    bench.state.setup.theme = Theme { color, ascii };
                    bench.state.stale = true;
                    bench.buffer(width, height)
                };
                let (plain, coloured, ascii) = (theme(false, false), theme(true, false), theme(false, true));
                let whole = text(&plain);
                let at = || format!("{page}, {situation}, {width}x{height}\n{whole}");
                assert_eq!(whole, text(&coloured), "colour changes no text: {}", at());
                assert!(text(&ascii).is_ascii(), "{}\n{}", at(), text(&ascii));
                let uncoloured =
                    plain.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset);
                assert!(uncoloured, "{}", at());
                assert_eq!(whole.lines().count(), usize::from(height), "{}", at());
                assert!(!whole.contains("~?"), "what is not known has no old number: {}", at());
                for line in whole.lines() {
                    assert!(line.width() <= usize::from(width), "{line}: {}", at());
                    assert!(!line.chars().any(char::is_control), "{line:?}: {}", at());
                    assert!(ends_with_a_whole_word(line), "{line}\n{}", at());
                }
                assert!(whole.lines().next().is_some_and(|line| !line.trim().is_empty()), "{}", at());
                assert!(whole.lines().last().is_some_and(|line| !line.trim().is_empty()), "{}", at());
            }
            // Back to the table, from any page.
            bench.keys("Esc Esc Esc");
            bench.state.overlay = None;
            bench.state.notices = false;
            let whole = bench.state.chart.whole;
            if whole || page == "wide table" {
                bench.keys(if whole { "C" } else { "w" });
            }
            if situation == "one of three clusters"
                && bench.state.page != kubectl_emqx::tui::state::Page::Table
            {
                bench.state.open(&id());
            }
        }
    }
}
