//! A recording of the view for the README: a rebalance of the simulated EMQX on virtual time, planned, applied and followed to
//! its verdict, as an asciinema cast; and an animated picture that is made of the cast.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use emqx_sim::Scenario;
use emqx_sim::clock::Clock;
use emqx_sim::emqx::{Emqx, SimulatedKey};
use emqx_sim::rest::serve_stream;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use kubectl_emqx::model::{BrokerUpdate, Strategy, Update};
use kubectl_emqx::output::theme::Theme;
use kubectl_emqx::tui::{ActionResult, Done, Effect, Msg, ViewSetup};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use serde_json::{Value, json};

use crate::screens::make::{
    Bench, at, core, documented, emqx, id, node, nothing, received, setup, slice, strategy,
};
use crate::screens::svg;

/// The screen.
const SIZE: (u16, u16) = (100, 30);

/// Seconds of the cluster in one second of the cast.
const SPEED: f64 = 10.0;

/// Seconds between two frames of the animated picture.
const FRAME: f64 = 0.5;

const STATUS: &str = "/api/v5/load_rebalance/global_status";

/// The simulated EMQX of the documented cluster, on a clock that stands still until it is advanced.
struct Simulated {
    emqx: Emqx,
    clock: Clock,
}

impl Simulated {
    fn new() -> Self {
        let nodes: Vec<String> = [3333, 3333, 3334, 0]
            .iter()
            .enumerate()
            .map(|(number, held)| format!("- {{node: {}, connections: {held}}}", node(&core(number))))
            .collect();
        let text = format!("name: recorded\napi: v2beta1\nversion: 5.8.6\nnodes:\n{}\n", nodes.join("\n"));
        let scenario = Scenario::from_yaml(&text).expect("a scenario");
        let clock = Clock::standing_at(at(0));
        Self { emqx: Emqx::new(&scenario, clock.clone()), clock }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (near, far) = tokio::io::duplex(1 << 16);
        let server = tokio::spawn(serve_stream(far, self.emqx.clone(), 0));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(near)).await.expect("a connection");
        let connection = tokio::spawn(connection);
        let SimulatedKey { key, secret, .. } = self.emqx.key();
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{key}:{secret}"));
        let request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "emqx")
            .header("authorization", format!("Basic {pair}"));
        let bytes = body.map(ToString::to_string).unwrap_or_default();
        let request = request.body(Full::<Bytes>::from(bytes)).expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        let text = answer.into_body().collect().await.expect("a body").to_bytes();
        server.abort();
        connection.abort();
        serde_json::from_slice(&text).unwrap_or(Value::Null)
    }
}

/// The view on the simulated cluster, and what it has drawn so far.
struct Recorder {
    simulated: Simulated,
    bench: Bench,
    second: i64,
    shown: f64,
    last: Buffer,
    cast: String,
    applied: bool,
}

impl Recorder {
    fn new() -> Self {
        let theme = Theme { color: true, ascii: false };
        let mut facts = documented(0, &[3333, 3333, 3334, 0], &nothing());
        facts.retain(|fact| !matches!(fact.update, Update::Broker(_, BrokerUpdate::Nodes(_))));
        let bench = Bench::of(ViewSetup { theme, strategy: Strategy::default(), ..setup() }, facts);
        let header = json!({"version": 2, "width": SIZE.0, "height": SIZE.1,
            "title": "kubectl emqx watch: a rebalance on a simulated cluster", "env": {"TERM": "xterm-256color"}});
        let last = Buffer::empty(Rect::new(0, 0, SIZE.0, SIZE.1));
        let cast = format!("{header}\n[0.0,\"o\",\"\\u001b[2J\\u001b[?25l\"]\n");
        Self { simulated: Simulated::new(), bench, second: 0, shown: 0.0, last, cast, applied: false }
    }

    /// Seconds of the cluster: EMQX is asked every second, and each second is drawn.
    async fn pass(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.simulated.clock.advance(Duration::from_secs(1)).await;
            self.second += 1;
            let nodes = self.simulated.ask("GET", "/api/v5/nodes", None).await;
            let load = self.simulated.ask("GET", STATUS, None).await;
            let mut facts = received(at(self.second));
            if self.applied {
                // The operator takes donors out of the Service.
                let running = load["rebalances"].as_array().is_some_and(|list| !list.is_empty());
                let serving: Vec<(String, bool)> = (0..4).map(|it| (core(it), !running || it == 3)).collect();
                facts.extend(crate::screens::make::kubernetes(self.second, "MODIFIED", &slice(&serving)));
            }
            facts.extend(emqx(self.second, "/api/v5/nodes", &nodes));
            facts.extend(emqx(self.second, STATUS, &load));
            self.bench.learn(self.second, facts);
            self.bench.tick(self.second);
            self.shown += 1.0 / SPEED;
            self.draw();
        }
    }

    /// Presses a key; the viewer gets a moment to see its effect.
    fn key(&mut self, key: &str, moment: f64) {
        self.bench.keys(key);
        self.draw();
        self.shown += moment;
    }

    fn draw(&mut self) {
        let drawn = self.bench.buffer(SIZE.0, SIZE.1);
        let text = changes(&self.last, &drawn);
        if !text.is_empty() {
            let event = json!([(self.shown * 100.0).round() / 100.0, "o", text]);
            let _ = writeln!(self.cast, "{event}");
        }
        self.last = drawn;
    }
}

/// The lines that changed, as a terminal takes them.
fn changes(before: &Buffer, after: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..after.area.height {
        let row =
            |buffer: &Buffer| (0..buffer.area.width).map(|x| buffer[(x, y)].clone()).collect::<Vec<_>>();
        let new = row(after);
        if new == row(before) {
            continue;
        }
        let _ = write!(text, "\u{1b}[{};1H", y + 1);
        let mut style = Style::default();
        for cell in &new {
            let own = cell.style();
            if (own.fg, own.add_modifier) != (style.fg, style.add_modifier) {
                text.push_str(&look(own));
                style = own;
            }
            text.push_str(cell.symbol());
        }
        text.push_str("\u{1b}[0m");
    }
    text
}

fn look(style: Style) -> String {
    let mut codes = vec!["0".to_owned()];
    if style.add_modifier.contains(Modifier::BOLD) {
        codes.push("1".to_owned());
    }
    if style.add_modifier.contains(Modifier::DIM) {
        codes.push("2".to_owned());
    }
    if let Some(Color::Indexed(number)) = style.fg {
        codes.push(format!("38;5;{number}"));
    }
    format!("\u{1b}[{}m", codes.join(";"))
}

/// The whole recording: the cluster is uneven, a rebalance is planned, applied after the typed name, and followed to its end.
async fn record() -> String {
    let mut it = Recorder::new();
    it.pass(10).await;
    it.shown += 1.0;
    it.key("p", 1.5);
    it.bench.send(Msg::Done(Done::Allowed(id(), Some(true))));
    // At most 3 minutes: a recording of a quarter of an hour is too long for a README.
    it.key("j", 0.5);
    it.key("3", 0.5);
    it.key("Enter", 1.5);
    it.key("a", 1.5);
    for letter in ["e", "m", "q", "x"] {
        it.key(letter, 0.2);
    }
    it.key("Enter", 0.3);
    let planned = it.bench.effects.iter().find_map(|effect| match effect {
        Effect::Apply(_, strategy, _) => Some(strategy.clone()),
        _ => None,
    });
    let planned = planned.expect("it is applied");
    // Shorter waits than those of the documented run.
    let strategy = Strategy { conn_evict_rate: planned.conn_evict_rate, ..strategy() };
    let nodes: Vec<String> = (0..4).map(|number| node(&core(number))).collect();
    let body = json!({"nodes": nodes, "wait_health_check": "10s", "wait_takeover": "10s",
        "conn_evict_rate": strategy.conn_evict_rate, "sess_evict_rate": strategy.sess_evict_rate,
        "abs_conn_threshold": planned.abs_conn_threshold, "rel_conn_threshold": "1.01",
        "abs_sess_threshold": strategy.abs_sess_threshold, "rel_sess_threshold": "1.1"});
    let path = format!("/api/v5/load_rebalance/{}/start", nodes[0]);
    it.simulated.ask("POST", &path, Some(&body)).await;
    it.applied = true;
    let name = format!("coordinator/{}", nodes[0]);
    it.bench.send(Msg::Done(Done::Applied(Ok(ActionResult { name: Some(name), notices: Vec::new() }))));
    it.pass(110).await;
    it.shown += 2.0;
    it.draw();
    let _ = writeln!(it.cast, "{}", json!([(it.shown * 100.0).round() / 100.0, "o", "\u{1b}[?25h"]));
    it.cast
}

/// The screens of a cast, one for each part of a second.
fn frames(cast: &str) -> Vec<Buffer> {
    let mut terminal = vt100::Parser::new(SIZE.1, SIZE.0, 0);
    let mut frames: Vec<Buffer> = Vec::new();
    let mut next = FRAME;
    for line in cast.lines().skip(1) {
        let event: Value = serde_json::from_str(line).expect("an event");
        let time = event[0].as_f64().expect("a time");
        while next < time {
            frames.push(screen(&terminal));
            next += FRAME;
        }
        terminal.process(event[2].as_str().expect("a text").as_bytes());
    }
    frames.push(screen(&terminal));
    frames
}

fn screen(terminal: &vt100::Parser) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, SIZE.0, SIZE.1));
    for y in 0..SIZE.1 {
        for x in 0..SIZE.0 {
            let Some(cell) = terminal.screen().cell(y, x) else { continue };
            let mut style = Style::default();
            if let vt100::Color::Idx(number) = cell.fgcolor() {
                style = style.fg(Color::Indexed(number));
            }
            if cell.bold() {
                style = style.add_modifier(Modifier::BOLD);
            }
            if cell.dim() {
                style = style.add_modifier(Modifier::DIM);
            }
            let symbol = if cell.has_contents() { cell.contents().to_owned() } else { " ".to_owned() };
            buffer[(x, y)].set_symbol(&symbol).set_style(style);
        }
    }
    buffer
}

/// The frames as one animated picture; a reader who prefers no motion sees the last frame.
fn animated(frames: &[Buffer], description: &str) -> String {
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    let mut shown: Vec<Vec<(u16, usize)>> = Vec::new();
    for frame in frames {
        let lines = (0..frame.area.height).filter_map(|y| {
            let drawn = svg::row(frame, y);
            let next = rows.len();
            (!drawn.is_empty()).then(|| (y, *rows.entry(drawn).or_insert(next)))
        });
        shown.push(lines.collect());
    }
    let (count, seconds) = (frames.len(), frames.len() as f64 * FRAME);
    let mut text = svg::begin(SIZE, description);
    let _ = writeln!(
        text,
        "<style>.f{{visibility:hidden;animation:s {seconds}s step-end infinite}}@keyframes s{{0%{{visibility:visible}}\
         {:.4}%{{visibility:hidden}}}}@media(prefers-reduced-motion:reduce){{.f{{animation:none}}.f:last-of-type{{\
         visibility:visible}}}}</style>",
        100.0 / count as f64
    );
    text.push_str("<defs>\n");
    let mut defined: Vec<(&usize, &String)> = rows.iter().map(|(drawn, number)| (number, drawn)).collect();
    defined.sort_unstable();
    for (number, drawn) in defined {
        let _ = writeln!(text, "<g id=\"r{number}\">\n{drawn}</g>");
    }
    text.push_str("</defs>\n");
    for (place, lines) in shown.iter().enumerate() {
        let _ = write!(text, "<g class=\"f\" style=\"animation-delay:{}s\">", place as f64 * FRAME);
        for (y, number) in lines {
            let _ = write!(text, "<use href=\"#r{number}\" y=\"{}\"/>", svg::top(*y));
        }
        text.push_str("</g>\n");
    }
    text.push_str("</svg>\n");
    text
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the recording is a file, and made again when a variable requires it"
)]
async fn the_recording_in_the_readme_is_of_this_view() {
    let cast = record().await;
    let frames = frames(&cast);
    let seen: Vec<String> = frames.iter().map(crate::screens::make::text).collect();
    for text in ["uneven", "PLAN", "START A REBALANCE", "REBALANCING", "BALANCED"] {
        assert!(seen.iter().any(|screen| screen.contains(text)), "{text}\n{}", seen.join("\n"));
    }
    assert!(seen.last().is_some_and(|screen| screen.contains("BALANCED")));
    let header: Value = serde_json::from_str(cast.lines().next().unwrap_or_default()).expect("a header");
    assert_eq!((&header["version"], &header["width"]), (&json!(2), &json!(SIZE.0)));
    let drawn =
        animated(&frames, "kubectl emqx watch: a rebalance is planned, applied and followed to its verdict");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
    let files = [(format!("{folder}/view.cast"), cast), (format!("{folder}/view-moving.svg"), drawn)];
    for (path, made) in files {
        if std::env::var_os("UPDATE_PICTURE").is_some() {
            std::fs::write(&path, &made).expect("it is written");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == made, "{path}: make it again with scripts/record-view");
    }
    for page in [include_str!("../../../README.md"), include_str!("../../../README.zh-CN.md")] {
        assert!(page.contains("](docs/view-moving.svg)") && page.contains("docs/view.cast"));
    }
}
