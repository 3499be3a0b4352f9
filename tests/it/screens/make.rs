//! Clusters for the screens, made of answers of Kubernetes and EMQX in their original form.

use std::rc::Rc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use kubectl_emqx::app::Wire;
use kubectl_emqx::model::{
    BackendRequest, BrokerUpdate, Fact, InstanceId, InstanceKind, Link, OperatorLine, Served, Source,
    Strategy, Update,
};
use kubectl_emqx::output::theme::Theme;
use kubectl_emqx::plan::playback::RecordedFacts;
use kubectl_emqx::ports::Translate;
use kubectl_emqx::replay::Recording;
use kubectl_emqx::tui::{Effect, Msg, Playback, State, ViewSetup, update, view};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::{Value, json};

/// Ten o'clock plus this many seconds.
pub(crate) fn at(seconds: i64) -> Timestamp {
    let ten: Timestamp = "2026-11-23T10:00:00Z".parse().expect("a time");
    ten + SignedDuration::from_secs(seconds)
}

pub(crate) fn id() -> InstanceId {
    InstanceId { kind: InstanceKind::Emqx, namespace: "mq".into(), name: "emqx".into() }
}

/// The documented strategy.
pub(crate) fn strategy() -> Strategy {
    Strategy {
        conn_evict_rate: 10,
        sess_evict_rate: 10,
        wait_health_check_seconds: 10,
        wait_takeover_seconds: 10,
        abs_conn_threshold: 100,
        abs_sess_threshold: 100,
        ..Strategy::default()
    }
}

pub(crate) fn setup() -> ViewSetup {
    ViewSetup {
        theme: Theme { color: false, ascii: false },
        zone: TimeZone::UTC,
        place: "prod-eu".into(),
        server: String::new(),
        access: String::new(),
        read_only: false,
        no_mouse: false,
        many: false,
        strategy: strategy(),
        backend: BackendRequest::Auto,
        wanted: Vec::new(),
        ours: false,
        playback: None,
        recorded: Vec::new(),
        now: at(0),
    }
}

pub(crate) fn core(number: usize) -> String {
    format!("emqx-core-66c88f5c8-{number}")
}

pub(crate) fn node(pod: &str) -> String {
    format!("emqx@{pod}.emqx-headless.mq.svc.cluster.local")
}

pub(crate) fn kubernetes(seconds: i64, event: &str, object: &Value) -> Vec<Fact> {
    Wire.kubernetes(at(seconds), event, object)
}

pub(crate) fn emqx(seconds: i64, path: &str, body: &Value) -> Vec<Fact> {
    Wire.emqx(at(seconds), &id(), path, 200, body)
}

/// An answer of the EMQX of the one cluster.
pub(crate) fn answer(seconds: i64, update: BrokerUpdate) -> Fact {
    Fact::answer(at(seconds), &id(), update)
}

pub(crate) fn instance(namespace: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "EMQX",
        "metadata": {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": "1", "generation": 1,
            "creationTimestamp": "2026-11-23T09:00:00Z"},
        "spec": {"image": "emqx/emqx-enterprise:5.8.6", "coreTemplate": {"spec": {"replicas": 4}}},
        "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-23T09:59:27Z"}]}})
}

pub(crate) fn pod(name: &str, ready: bool) -> Value {
    let number = name.rsplit('-').next().and_then(|text| text.parse::<u8>().ok()).unwrap_or(0);
    let condition = |kind: &str, holds: bool| {
        json!({"type": kind, "status": if holds { "True" } else { "False" },
            "lastTransitionTime": "2026-11-23T09:59:30Z"})
    };
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "mq", "uid": format!("uid-{name}"), "resourceVersion": "1",
            "creationTimestamp": "2026-11-23T09:00:00Z",
            "labels": {"apps.emqx.io/instance": "emqx", "apps.emqx.io/managed-by": "emqx-operator",
                "apps.emqx.io/db-role": "core", "apps.emqx.io/pod-template-hash": "66c88f5c8"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "emqx-core-66c88f5c8",
                "uid": "set", "controller": true}]},
        "spec": {"containers": [{"name": "emqx", "image": "emqx/emqx-enterprise:5.8.6"}],
            "readinessGates": [{"conditionType": "apps.emqx.io/on-serving"}]},
        "status": {"phase": "Running", "podIP": format!("10.0.0.{number}"), "podIPs": [{"ip": format!("10.0.0.{number}")}],
            "conditions": [condition("Ready", ready), condition("ContainersReady", true),
                condition("apps.emqx.io/on-serving", ready)]}})
}

pub(crate) fn slice(serving: &[(String, bool)]) -> Value {
    let endpoints: Vec<Value> = serving
        .iter()
        .map(|(pod, serving)| {
            json!({"addresses": ["10.0.0.1"], "conditions": {"ready": serving, "serving": serving},
                "targetRef": {"kind": "Pod", "name": pod, "namespace": "mq"}})
        })
        .collect();
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "emqx-listeners-1", "namespace": "mq", "uid": "slice", "resourceVersion": "1",
            "labels": {"apps.emqx.io/instance": "emqx", "kubernetes.io/service-name": "emqx-listeners"}},
        "addressType": "IPv4", "endpoints": endpoints})
}

/// EMQX's list of nodes, with connections and as many sessions.
pub(crate) fn nodes(names: &[String], counts: &[u64]) -> Value {
    names
        .iter()
        .zip(counts)
        .map(|(name, count)| {
            json!({"node": name, "node_status": "running", "role": "core", "edition": "Enterprise",
                "version": "5.8.6", "connections": count, "live_connections": count, "memory_used": "1.02G"})
        })
        .collect()
}

pub(crate) fn nothing() -> Value {
    json!({"evacuations": [], "purges": [], "rebalances": []})
}

pub(crate) fn evacuation(pod: &str, state: &str, connections: u64, sessions: u64) -> Value {
    json!({"evacuations": [{"node": node(pod), "state": state, "connection_eviction_rate": 100,
        "session_eviction_rate": 100, "session_recipients": [],
        "stats": {"initial_connected": 3333, "current_connected": connections,
            "initial_sessions": 3400, "current_sessions": sessions}}], "purges": [], "rebalances": []})
}

/// The facts of the documented cluster, all of them at one moment.
pub(crate) fn documented(seconds: i64, counts: &[u64], load: &Value) -> Vec<Fact> {
    let pods: Vec<String> = (0..counts.len()).map(core).collect();
    cluster(seconds, &pods, counts, load)
}

/// The served APIs, with all sources up.
pub(crate) fn received(at: Timestamp) -> Vec<Fact> {
    let served = Served {
        operator: OperatorLine::Two2,
        kubernetes: Some("v1.33.1".into()),
        kinds: vec![("emqxes".into(), "v2beta1".into()), ("rebalances".into(), "v2beta1".into())],
    };
    let mut facts = vec![Fact { at, update: Update::Served(served) }];
    for (source, resource) in [
        (Source::Kubernetes, "emqxes"),
        (Source::Kubernetes, "rebalances"),
        (Source::Pods, "pods"),
        (Source::Endpoints, "endpointslices"),
    ] {
        facts.push(Fact { at, update: Update::Link(source, resource, Link::Up) });
    }
    facts
}

pub(crate) fn cluster(seconds: i64, pods: &[String], counts: &[u64], load: &Value) -> Vec<Fact> {
    let mut facts = received(at(seconds));
    let mut object = instance("mq", "emqx", "one");
    object["spec"]["coreTemplate"]["spec"]["replicas"] = json!(pods.len());
    facts.extend(kubernetes(seconds, "LISTED", &object));
    for pod in pods {
        facts.extend(kubernetes(seconds, "LISTED", &self::pod(pod, true)));
    }
    let serving: Vec<(String, bool)> = pods.iter().map(|pod| (pod.clone(), true)).collect();
    facts.extend(kubernetes(seconds, "LISTED", &slice(&serving)));
    let names: Vec<String> = pods.iter().map(|pod| node(pod)).collect();
    facts.extend(emqx(seconds, "/api/v5/nodes", &nodes(&names, counts)));
    facts.extend(emqx(seconds, "/api/v5/load_rebalance/global_status", load));
    facts
}

/// The view, driven by a test.
pub(crate) struct Bench {
    pub(crate) state: State,
    pub(crate) effects: Vec<Effect>,
}

impl Bench {
    pub(crate) fn new(setup: ViewSetup) -> Self {
        Self { state: State::new(setup), effects: Vec::new() }
    }

    /// A view of these facts.
    pub(crate) fn of(setup: ViewSetup, facts: Vec<Fact>) -> Self {
        let mut bench = Self::new(setup);
        bench.learn(0, facts);
        bench.send(Msg::Ready(at(0)));
        bench
    }

    pub(crate) fn send(&mut self, msg: Msg) {
        self.effects.extend(update(&mut self.state, msg));
    }

    /// Applies facts as they arrive: those of EMQX are about the one cluster.
    pub(crate) fn learn(&mut self, seconds: i64, facts: Vec<Fact>) {
        self.learn_at(at(seconds), facts);
    }

    pub(crate) fn learn_at(&mut self, at: Timestamp, facts: Vec<Fact>) {
        let emqx = |fact: &Fact| matches!(&fact.update, Update::Broker(..));
        // The clusters are known before EMQX of one of them is asked.
        let (asked, listed): (Vec<Fact>, Vec<Fact>) = facts.into_iter().partition(emqx);
        self.send(Msg::Facts(at, listed));
        self.send(Msg::Facts(at, asked));
    }

    pub(crate) fn tick(&mut self, seconds: i64) {
        self.send(Msg::Tick(at(seconds)));
    }

    /// Presses keys by their names, `j`, `Enter`, `Ctrl-c`, separated by blanks.
    pub(crate) fn keys(&mut self, keys: &str) -> &mut Self {
        for name in keys.split(' ') {
            self.state.refresh();
            let event = match name {
                "Enter" => KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE),
                "Esc" => KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE),
                "Tab" => KeyEvent::new(KeyCode::Tab, KeyModifiers::NONE),
                "Space" => KeyEvent::new(KeyCode::Char(' '), KeyModifiers::NONE),
                "Up" => KeyEvent::new(KeyCode::Up, KeyModifiers::NONE),
                "Down" => KeyEvent::new(KeyCode::Down, KeyModifiers::NONE),
                "Left" => KeyEvent::new(KeyCode::Left, KeyModifiers::NONE),
                "Right" => KeyEvent::new(KeyCode::Right, KeyModifiers::NONE),
                "Home" => KeyEvent::new(KeyCode::Home, KeyModifiers::NONE),
                "End" => KeyEvent::new(KeyCode::End, KeyModifiers::NONE),
                "Backspace" => KeyEvent::new(KeyCode::Backspace, KeyModifiers::NONE),
                "Ctrl-c" => KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL),
                letter => {
                    let letter = letter.chars().next().expect("a key");
                    KeyEvent::new(KeyCode::Char(letter), KeyModifiers::NONE)
                }
            };
            self.send(Msg::Key(event));
        }
        self
    }

    /// Types a word.
    pub(crate) fn types(&mut self, word: &str) -> &mut Self {
        for letter in word.chars() {
            self.keys(&letter.to_string());
        }
        self
    }

    pub(crate) fn buffer(&mut self, width: u16, height: u16) -> Buffer {
        self.state.refresh();
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        view::draw(&self.state, area, &mut buffer);
        buffer
    }

    /// The screen as text.
    pub(crate) fn screen(&mut self, width: u16, height: u16) -> String {
        text(&self.buffer(width, height))
    }
}

/// A screen as text; the second cell of a wide letter is empty.
pub(crate) fn text(buffer: &Buffer) -> String {
    use unicode_width::UnicodeWidthStr;
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..buffer.area.width {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let symbol = buffer[(x, y)].symbol();
            skip = symbol.width().saturating_sub(1);
            line.push_str(symbol);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The recordings of real operators and a real EMQX that the view plays.
pub(crate) const RECORDINGS: [&str; 8] = [
    "v1beta4-bluegreen-operator-2.2",
    "v1beta4-guarded-operator-2.2",
    "v1beta4-rebalance-operator-2.2",
    "v2-bluegreen-operator-2.3",
    "v2-rebalance-operator-2.3",
    "v2beta1-bluegreen-operator-2.2",
    "v2beta1-rebalance-operator-2.2",
    "v2beta1-undo-operator-2.2",
];

/// A view on a recording.
pub(crate) fn recorded(name: &str, ascii: bool) -> (Bench, Vec<RecordedFacts>) {
    let path = format!("{}/tests/data/recorded/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let recording = Recording::open(&path, Rc::new(Wire)).expect("it opens");
    let begin = recording.begin();
    let lines: Vec<RecordedFacts> = recording
        .map(|moment| {
            let moment = moment.expect("every line can be read");
            RecordedFacts { t: moment.t, at: moment.at, change: moment.change, facts: moment.facts }
        })
        .collect();
    let playback = Some(Playback { begin, paused: false, speed: 1.0, over: false });
    let theme = Theme { color: false, ascii };
    let setup = ViewSetup { theme, place: String::new(), read_only: true, playback, now: begin, ..setup() };
    (Bench::new(setup), lines)
}

/// The same, played up to a second.
pub(crate) fn played(name: &str, seconds: f64) -> Bench {
    played_as(name, seconds, false)
}

pub(crate) fn played_as(name: &str, seconds: f64, ascii: bool) -> Bench {
    let (mut bench, lines) = recorded(name, ascii);
    let begin = bench.state.setup.now;
    for replayed in lines.into_iter().filter(|replayed| replayed.t <= seconds) {
        bench.send(Msg::RecordedFacts(replayed));
    }
    let now = SignedDuration::try_from_secs_f64(seconds).expect("seconds");
    bench.send(Msg::Tick(begin + now));
    bench
}
