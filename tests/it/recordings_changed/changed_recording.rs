//! A recording as lines that can be changed, and the result of `replay`.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use kubectl_emqx::app::Wire;
use kubectl_emqx::commands::replay::ReplayOutput;
use kubectl_emqx::model::{Event, Verdict};
use kubectl_emqx::ports::Moment;
use kubectl_emqx::replay::Recording;
use serde_json::{Value, json};

pub(crate) const REBALANCES: [&str; 3] =
    ["v1beta4-rebalance-operator-2.2", "v2-rebalance-operator-2.3", "v2beta1-rebalance-operator-2.2"];

pub(crate) const UPGRADES: [&str; 5] = [
    "v1beta4-bluegreen-operator-2.2",
    "v1beta4-guarded-operator-2.2",
    "v2-bluegreen-operator-2.3",
    "v2beta1-bluegreen-operator-2.2",
    "v2beta1-undo-operator-2.2",
];

/// The path of EMQX's list of nodes.
pub(crate) const NODES: &str = "/nodes";

/// The path of EMQX's running operations.
pub(crate) const STATUS: &str = "/global_status";

/// The lines of a recording, in order of time.
#[derive(Clone)]
pub(crate) struct ChangedRecording(pub(crate) Vec<Value>);

/// The second of a line.
pub(crate) fn second(line: &Value) -> f64 {
    line["t"].as_f64().expect("seconds")
}

/// Whether a line is EMQX's answer under this path.
pub(crate) fn answers(line: &Value, path: &str) -> bool {
    line["from"] == "emqx" && line["get"].as_str().is_some_and(|get| get.ends_with(path))
}

impl ChangedRecording {
    pub(crate) fn read(name: &str) -> Self {
        Self::parse(&Self::text(name))
    }

    pub(crate) fn text(name: &str) -> String {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/recorded");
        std::fs::read_to_string(path.join(format!("{name}.jsonl"))).expect("it is there")
    }

    pub(crate) fn parse(text: &str) -> Self {
        Self(text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
    }

    pub(crate) fn end(&self) -> f64 {
        second(self.0.last().expect("a line"))
    }

    /// The lines up to this second.
    pub(crate) fn until(&self, end: f64) -> Self {
        Self(self.0.iter().filter(|line| second(line) <= end).cloned().collect())
    }

    /// The recording for a follower that joins at this second: the state at that time, and the later lines.
    pub(crate) fn from(&self, begin: f64) -> Self {
        let mut here: Vec<(String, Value)> = Vec::new();
        for line in self.0.iter().filter(|line| second(line) <= begin) {
            if line["from"] == "clock" {
                here.push(("clock".to_owned(), line.clone()));
                continue;
            }
            let object = &line["object"];
            let key = match line["get"].as_str() {
                Some(get) => get.to_owned(),
                None => object["metadata"]["uid"].as_str().expect("a uid").to_owned(),
            };
            here.retain(|(other, _)| *other != key);
            if line["event"] == "DELETED" {
                continue;
            }
            let mut line = line.clone();
            line["t"] = begin.into();
            if line["from"] == "kubernetes" {
                line["event"] = "LISTED".into();
            }
            here.push((key, line));
        }
        let after = self.0.iter().filter(|line| second(line) > begin).cloned();
        Self(here.into_iter().map(|(_, line)| line).chain(after).collect())
    }

    /// Without the lines of one source.
    pub(crate) fn without(&self, source: &str) -> Self {
        Self(self.0.iter().filter(|line| line["from"] != source).cloned().collect())
    }

    /// EMQX answers with an error under a path between two seconds, and normally afterwards.
    pub(crate) fn failing(&self, path: &str, from: f64, to: f64) -> Self {
        let mut changed = self.clone();
        let within = |line: &Value| answers(line, path) && (from..=to).contains(&second(line));
        let last = self.0.iter().rfind(|line| answers(line, path) && second(line) <= to).expect("an answer");
        changed.0.retain(|line| !within(line));
        changed.insert(json!({"t": from, "from": "emqx", "get": last["get"], "status": 500,
            "body": {"code": "INTERNAL_ERROR", "message": "crashed"}}));
        if to < self.end() {
            let mut again = last.clone();
            again["t"] = to.into();
            changed.insert(again);
        }
        changed
    }

    /// Inserts one line at its time.
    pub(crate) fn insert(&mut self, line: Value) {
        let place = self.0.partition_point(|other| second(other) <= second(&line));
        self.0.insert(place, line);
    }

    /// The lines after a second come this many seconds later.
    pub(crate) fn paused(&self, at: f64, seconds: f64) -> Self {
        let mut changed = self.clone();
        for line in changed.0.iter_mut().filter(|line| second(line) > at) {
            line["t"] = (second(line) + seconds).into();
        }
        changed
    }

    /// The last version of the Rebalance of this name up to a second, changed, as a line at another second.
    pub(crate) fn rebalance(&self, name: &str, last: f64, at: f64, change: impl FnOnce(&mut Value)) -> Value {
        let is = |line: &&Value| {
            line["object"]["kind"] == "Rebalance"
                && line["object"]["metadata"]["name"] == name
                && second(line) <= last
        };
        let mut object = self.0.iter().rfind(is).expect("it is there")["object"].clone();
        change(&mut object);
        json!({"t": at, "from": "kubernetes", "event": "MODIFIED", "object": object})
    }

    /// The moments of all lines.
    pub(crate) fn moments(&self) -> Vec<Moment> {
        let lines: Vec<String> = self.0.iter().map(Value::to_string).collect();
        moments(&lines.join("\n"))
    }

    pub(crate) fn replayed(&self) -> Vec<Event> {
        let lines: Vec<String> = self.0.iter().map(Value::to_string).collect();
        replayed(&lines.join("\n")).0
    }

    pub(crate) fn verdicts(&self) -> Vec<(String, Verdict)> {
        verdicts(&self.replayed())
    }
}

/// The lines of a file with this content that can be read.
fn moments(text: &str) -> Vec<Moment> {
    let (path, recording) = open(text);
    let moments = recording.into_iter().flatten().filter_map(Result::ok).collect();
    std::fs::remove_file(path).expect("it is removed");
    moments
}

fn open(text: &str) -> (PathBuf, Option<Recording>) {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let file = format!("changed-{}.jsonl", FILES.fetch_add(1, Ordering::Relaxed));
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(file);
    std::fs::write(&path, text).expect("it is written");
    let recording = Recording::open(&path, Rc::new(Wire)).ok();
    (path, recording)
}

/// The events of a file with this content, and the number of unreadable lines. Empty, where the file cannot
/// be opened.
pub(crate) fn replayed(text: &str) -> (Vec<Event>, usize) {
    let (path, recording) = open(text);
    let (mut events, mut unread) = (Vec::new(), 0);
    if let Some(recording) = recording {
        let mut teller = ReplayOutput::default();
        for moment in recording {
            match moment {
                Ok(moment) => events.extend(teller.take(moment).0),
                Err(_) => unread += 1,
            }
        }
        events.extend(teller.finish());
    }
    std::fs::remove_file(path).expect("it is removed");
    (events, unread)
}

pub(crate) fn verdicts(events: &[Event]) -> Vec<(String, Verdict)> {
    events.iter().filter_map(|event| Some((event.name.clone(), event.verdict?))).collect()
}

/// The reason of the last verdict of this name.
pub(crate) fn reason<'a>(events: &'a [Event], name: &str) -> &'a str {
    let last = events.iter().rfind(|event| event.name == name && event.verdict.is_some());
    last.and_then(|event| event.reason.as_deref()).unwrap_or_default()
}
