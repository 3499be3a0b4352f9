//! No input makes the program panic: every reader gets valid input that was damaged at random. Budget: the
//! number of cases is at each test (about 15 s of processor time for all together); `PROPTEST_CASES=5000
//! cargo test --test it no_panic` searches longer.
#![expect(clippy::disallowed_methods, reason = "the inputs are files")]

use std::cell::Cell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Once;
use std::time::Duration;

use emqx_sim::{self as sim, Scenario};
use jiff::Timestamp;
use kubectl_emqx::app::Wire;
use kubectl_emqx::k8s::{Cluster, Connect, KubeconfigEntry};
use kubectl_emqx::model::access::{KubernetesFlags, Secret};
use kubectl_emqx::model::form::{Look, Output, Stream};
use kubectl_emqx::model::jsonpath::Template;
use kubectl_emqx::model::{InstanceId, InstanceKind, OperatorLine, World};
use kubectl_emqx::output::{Printer, Terminal};
use kubectl_emqx::ports::Translate as _;
use kubectl_emqx::replay::Recording;
use kubectl_emqx::{cli, commands, plan};
use proptest::prelude::*;
use serde_json::{Value, json};

/// One damage: its place, and its kind.
type Damage = (u32, u8);

/// A number of damages to one input, at most `most`.
fn damages(most: usize) -> impl Strategy<Value = Vec<Damage>> {
    proptest::collection::vec(any::<Damage>(), 1..=most)
}

fn budget(cases: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(cases);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Pieces of text that readers often fail on.
const PIECES: [&str; 28] = [
    "",
    "\0",
    "\u{1b}[31m",
    "\u{202e}",
    "\u{feff}",
    "\n",
    "\r\n",
    "  ",
    "\t",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "&a ",
    "*a",
    "<<: ",
    "!!binary ",
    "%",
    "\\",
    "-1",
    "18446744073709551616",
    "1e999",
    "größe 🦀",
    "---\n",
];

fn at_boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A text with damages: pieces inserted, parts removed, doubled or reversed, bytes replaced.
fn damaged_text(text: &str, damages: &[Damage]) -> Vec<u8> {
    let mut text = text.to_owned();
    let mut raw: Option<usize> = None;
    for &(place, how) in damages {
        let at = at_boundary(&text, place as usize % (text.len() + 1));
        let end = at_boundary(&text, (at + 1 + usize::from(how)).min(text.len())).max(at);
        match how % 6 {
            0 | 1 => text.insert_str(at, PIECES[usize::from(how) % PIECES.len()]),
            2 => text.replace_range(at..end, ""),
            3 => {
                let part = text[at..end].to_owned();
                text.insert_str(at, &part);
            }
            4 => {
                let part: String = text[at..end].chars().rev().collect();
                text.replace_range(at..end, &part);
            }
            _ => raw = Some(at),
        }
    }
    let mut bytes = text.into_bytes();
    if let Some(at) = raw.filter(|at| *at < bytes.len()) {
        bytes[at] = 0xff;
    }
    bytes
}

/// A value that no reader expects.
fn strange(how: u8) -> Value {
    match how % 22 {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(u64::MAX),
        4 => json!(i64::MIN),
        5 => json!(1e308),
        6 => json!(-0.0),
        7 => json!(""),
        8 => json!("\u{1b}]0;x\u{7}\u{202e}\r\nhint: x"),
        9 => json!("x".repeat(300)),
        10 => json!([]),
        11 => json!({}),
        12 => json!([null, 1, "x", []]),
        13 => json!({"name": null, "": 1}),
        14 => json!("9999-12-31T23:59:59Z"),
        15 => json!("-009999-01-02T02:00:00Z"),
        16 => json!("2026-11-23T10:00:00Z"),
        17 => json!("emqx@"),
        18 => json!("99999999999999999999"),
        19 => json!(0),
        20 => json!("größe 🦀"),
        _ => json!([[[[[[[[{}]]]]]]]]),
    }
}

/// Replaces, removes or doubles one node of a document.
fn damage(value: &mut Value, (place, how): Damage) {
    let mut paths = Vec::new();
    walk(value, &mut String::new(), &mut paths);
    let path = &paths[place as usize % paths.len()];
    let (parent, last) = path.rsplit_once('/').unwrap_or_default();
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) if how >= 0xe0 && !path.is_empty() => {
            fields.remove(&last.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) if how >= 0xc0 && !path.is_empty() => {
            if let Some(item) = last.parse().ok().and_then(|index: usize| items.get(index).cloned()) {
                items.push(item);
            }
        }
        _ => {
            if let Some(found) = value.pointer_mut(path) {
                *found = strange(how);
            }
        }
    }
}

fn walk(value: &Value, path: &mut String, paths: &mut Vec<String>) {
    paths.push(path.clone());
    let length = path.len();
    let mut into = |key: &str, inner: &Value| {
        path.push('/');
        path.push_str(&key.replace('~', "~0").replace('/', "~1"));
        walk(inner, path, paths);
        path.truncate(length);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, inner)| into(key, inner)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, inner)| into(&index.to_string(), inner));
        }
        _ => {}
    }
}

/// All outputs about a world, in every form.
fn shown(world: &World, now: Timestamp) {
    for id in world.ids() {
        let status = plan::status::status(world, &id, now);
        for output in [Output::Text, Output::Wide, Output::Json, Output::Yaml] {
            let (printer, out, _) = Printer::captured(Look::default(), Terminal::default());
            printer.status(&status, output);
            drop(out);
        }
    }
}

/// Lines of a recording, as documents.
fn lines(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(data(name)).expect("a recording");
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn now() -> Timestamp {
    "2026-11-23T10:00:00Z".parse().expect("a time")
}

/// The cluster of a recording.
fn id(world: &World) -> InstanceId {
    let unknown =
        InstanceId { kind: InstanceKind::Emqx, namespace: "mq".to_owned(), name: "emqx".to_owned() };
    world.ids().into_iter().next().unwrap_or(unknown)
}

/// The facts of one line of a recording, as the clients convert it.
fn facts(line: &Value, world: &mut World) {
    let facts = match line["from"].as_str() {
        Some("kubernetes") => {
            Wire.kubernetes(now(), line["event"].as_str().unwrap_or("ADDED"), &line["object"])
        }
        Some("emqx") => {
            let status = line["status"].as_u64().and_then(|it| u16::try_from(it).ok()).unwrap_or(200);
            Wire.emqx(now(), &id(world), line["get"].as_str().unwrap_or_default(), status, &line["body"])
        }
        _ => Vec::new(),
    };
    for fact in facts {
        world.apply(fact);
    }
}

const SHORT: [&str; 6] = [
    "recorded/emqx-5.10-stopped-by-other.jsonl",
    "recorded/emqx-5.4-recipient-killed.jsonl",
    "recorded/emqx-5.8-evacuation-restart.jsonl",
    "recorded/v1beta4-bluegreen-operator-2.2.jsonl",
    "recorded/v2-bluegreen-operator-2.3.jsonl",
    "recorded/v2beta1-rebalance-operator-2.2.jsonl",
];

proptest! {
    #![proptest_config(budget(60))]

    /// API answers and EMQX answers: 60 cases of up to 12 damages to the objects and answers of a recording.
    #[test]
    fn answers_of_the_api_server_and_of_emqx(which in 0..SHORT.len(), damages in damages(12)) {
        let mut lines = lines(SHORT[which]);
        let length = lines.len();
        for (index, one) in damages.iter().enumerate() {
            let line = &mut lines[(one.0 as usize / 7 + index) % length];
            let field = if line["from"] == "emqx" { "body" } else { "object" };
            damage(&mut line[field], *one);
        }
        let mut world = World::new();
        for (index, line) in lines.iter().enumerate() {
            facts(line, &mut world);
            if index % 60 == 0 {
                shown(&world, now());
            }
        }
        shown(&world, now());
    }
}

proptest! {
    #![proptest_config(budget(20))]

    /// Recordings: 20 cases of up to 12 damages to the lines of a recording, replayed to its end.
    #[test]
    fn a_recording(which in 0..SHORT.len(), inner in damages(10), outer in damages(3)) {
        let mut lines = lines(SHORT[which]);
        let length = lines.len();
        for one in &inner {
            damage(&mut lines[one.0 as usize / 5 % length], *one);
        }
        for (place, how) in &outer {
            let at = *place as usize % lines.len();
            match how % 3 {
                0 => { lines.remove(at); }
                1 => { let line = lines[at].clone(); lines.insert(at, line); }
                _ => lines.swap(at, length / 2),
            }
        }
        let mut text = lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        text.push('\n');
        replayed(text.as_bytes());
    }

    /// Recordings as text: 20 cases of up to 4 damages to the text.
    #[test]
    fn the_text_of_a_recording(damages in damages(4)) {
        let text = std::fs::read_to_string(data(SHORT[0])).expect("a recording");
        replayed(&damaged_text(&text, &damages));
    }
}

/// Replays a recording to its end.
fn replayed(bytes: &[u8]) {
    let file = Scratch::with(bytes);
    let Ok(recording) = Recording::open(&file.0, Rc::new(Wire)) else { return };
    let (printer, _out, _err) = Printer::captured(Look::default(), Terminal::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _ = runtime.block_on(commands::replay::run(&printer, Stream::Jsonl, recording, None));
}

/// A file that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn with(bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!(
            "kubectl-emqx-no-panic-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::write(&path, bytes).expect("written");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const KUBECONFIG: &str = "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters:\n- name: c\n  cluster:\n    \
    server: https://127.0.0.1:1/as/admin\n    tls-server-name: api\n    proxy-url: socks5://me:pw@127.0.0.1:2\n    \
    certificate-authority-data: |\n      LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUIKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=\n\
    - {name: d, cluster: {server: 'http://joe:pw@127.0.0.1:3', insecure-skip-tls-verify: true}}\n\
    contexts:\n- {name: x, context: {cluster: c, user: u, namespace: mq}}\n- {name: y, context: {cluster: d, user: v}}\nusers:\n\
    - name: u\n  user: {token: abc, as: eve, as-groups: [a, b], as-user-extra: {scopes: [x]}}\n\
    - {name: v, user: {username: joe, password: pw, client-certificate-data: LS0t, client-key-data: LS0t}}\n";

proptest! {
    #![proptest_config(budget(200))]

    /// Kubeconfigs: 200 cases of up to 6 damages. None has a login helper: a damaged one could be any
    /// command.
    #[test]
    fn a_kubeconfig(damages in damages(6), context in prop_oneof!["x", "y"]) {
        let file = Scratch::with(&damaged_text(KUBECONFIG, &damages));
        let connect =
            Connect::from(KubernetesFlags { kubeconfig: Some(file.0.clone()), context: Some(context), ..KubernetesFlags::default() });
        for entry in [KubeconfigEntry::Context, KubeconfigEntry::Cluster, KubeconfigEntry::User, KubeconfigEntry::Namespace] {
            let _ = connect.names(entry);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _ = runtime.block_on(Cluster::connect(&connect));
    }

    /// Values of kubectl's flags: 200 cases of any text.
    #[test]
    fn flags_for_the_connection(server in any::<String>(), token in any::<String>(), name in any::<String>()) {
        let connect = Connect::from(KubernetesFlags {
            kubeconfig: Some("/dev/null".into()),
            server: Some(server),
            token: Some(Secret::new(token)),
            tls_server_name: Some(name.clone()),
            impersonate: Some(name),
            ..KubernetesFlags::default() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _ = runtime.block_on(Cluster::connect(&connect));
    }

    /// jsonpath: 200 templates of its own characters and keywords, on a document.
    #[test]
    fn a_jsonpath(parts in proptest::collection::vec(prop_oneof![
        "[{}\\[\\].*'\"@$?()0-9:-]{1,3}", "(range|end|items|nodes|name|x)", "\\.[a-z]{1,5}", "\\PC{1,2}"], 0..12)) {
        let text = parts.concat();
        if let Ok(template) = Template::parse(&text) {
            let document = json!({"items": [{"name": "a", "nodes": [1, null, {"x": "y"}]}, []], "x": {"name": 1.5}});
            let _ = kubectl_emqx::output::jsonpath::pick(&template, &document);
        }
        let words = ["kubectl-emqx", "status", "-o"].map(OsString::from).into_iter();
        let _ = cli::parse(words.chain([format!("jsonpath={text}").into()]), |_| None);
    }

    /// Arguments: 200 command lines of the program's words and any text.
    #[test]
    fn arguments(words in proptest::collection::vec(prop_oneof![
        "(status|rebalance|plan|apply|watch|upgrade|evacuate|start|replay|demo|serve|completion|bash|nodes)",
        "(--counts|--conn-evict-rate|--timeout|--emqx-url|--image|-o|-n|-f|--as|--server|--nodes|--redirect-to|-A)=?",
        "[0-9,.a-z@:/-]{0,8}", "\\PC{0,6}"], 0..8)) {
        let words = std::iter::once("kubectl-emqx".to_owned()).chain(words).map(OsString::from);
        let _ = cli::parse(words, |_| None);
    }

    /// Manifests: 200 cases of up to 6 damages to a Rebalance.
    #[test]
    fn a_manifest(damages in damages(6)) {
        let mut manifest = json!({"apiVersion": "apps.emqx.io/v1beta4", "kind": "Rebalance",
            "metadata": {"name": "r", "generateName": "r-", "namespace": "mq", "annotations": {"a": "b"}},
            "spec": {"instanceName": "emqx", "instanceKind": "EMQX", "rebalanceStrategy": {"connEvictRate": 10,
                "sessEvictRate": 5, "waitHealthCheck": 1, "relConnThreshold": "1.1", "absSessThreshold": 100}}});
        for one in damages {
            damage(&mut manifest, one);
        }
        if let Ok(written) = plan::rebalance::manifest::written(manifest, "f") {
            let id = instance();
            for operator in [OperatorLine::Two2, OperatorLine::Two3, OperatorLine::None, OperatorLine::Unknown] {
                let _ = plan::rebalance::manifest::mended(&written, &id, "name", operator);
            }
        }
    }
}

fn instance() -> kubectl_emqx::model::InstanceId {
    let mut world = World::new();
    for line in &lines(SHORT[5]) {
        facts(line, &mut world);
    }
    world.ids().into_iter().next().expect("an instance in the recording")
}

thread_local! {
    /// Panics of this thread: one in a task of the simulation ends that task alone.
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            usual(panic);
        }));
    });
}

proptest! {
    #![proptest_config(budget(40))]

    /// Scenarios: 40 cases of up to 5 damages, each simulated for two minutes.
    #[test]
    fn a_scenario(which in 0..3_usize, damages in damages(5)) {
        let name = ["documented-v2beta1", "upgrade-v1beta4", "coordinator-crash"][which];
        let text = std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("crates/emqx-sim/src/scenarios/{name}.yaml"))).expect("a scenario");
        let mut document: Value = serde_yaml::from_str(&text).expect("yaml");
        for one in &damages[1..] {
            damage(&mut document, *one);
        }
        let text = serde_yaml::to_string(&document).expect("yaml");
        let bytes = damaged_text(&text, &damages[..1]);
        let Ok(text) = user_files::text(&bytes) else { return Ok(()) };
        let Ok(scenario) = Scenario::from_yaml(&text) else { return Ok(()) };
        let nodes: u64 = scenario.nodes.iter().map(|group| u64::from(group.count)).sum();
        // Larger ones are only slower.
        if nodes > 50 {
            return Ok(());
        }
        let before = PANICS.get();
        count_panics();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let clock = sim::clock::Clock::new(0.0);
            let Ok(_running) = sim::memory::start(scenario, &clock) else { return };
            let _ = tokio::time::timeout(Duration::from_secs(20), clock.advance(Duration::from_mins(2))).await;
        });
        prop_assert_eq!(PANICS.get(), before, "a task of the simulation panicked");
    }
}
