//! Writes a recording: the [`RecordingSink`] of `--record FILE`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::scrub::scrubbed;
use crate::error::Problem;
use crate::model::{InstanceId, NodeName};
use crate::ports::RecordingSink;
use user_files as files;

/// Writes everything that is received, in the format that [`super::Recording`] reads. Every line is on disk
/// when it is written, so that an interrupted recording is complete up to its last line.
pub struct Recorder {
    state: RefCell<State>,
}

struct State {
    out: BufWriter<Box<dyn Write>>,
    begin: Option<Timestamp>,
    /// The last answer of each EMQX to each path: equal ones are not written again.
    answers: BTreeMap<(InstanceId, String), (u16, Value)>,
    /// The version of each object: a repeated list adds nothing new.
    versions: BTreeMap<String, String>,
    /// The second of the last line.
    last: f64,
    failure: Option<String>,
    /// Called once when writing fails.
    on_failure: Option<OnFailure>,
}

/// Receives the reason when writing fails.
pub(super) type OnFailure = Box<dyn Fn(&str)>;

/// Seconds after the last line from which on a repeated answer writes a line with only its time: without it
/// the last half minute of a recording, in which clients may reconnect, would be missing.
const SAME_ANSWER_SECONDS: f64 = 1.0;

impl Recorder {
    /// Writes to a new file; an existing file stays unchanged.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, Problem> {
        let path: PathBuf = path.as_ref().to_owned();
        let file = files::create_private(&path).map_err(|error| {
            let problem = Problem::new(format!("cannot record to {}", path.display()), error.to_string());
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                problem.hint("recordings are not overwritten: choose another name, or remove the file")
            } else {
                problem.hint("choose a folder that is there and that you may write to")
            }
        })?;
        Ok(Self::to(Box::new(file)))
    }

    /// Writes to any output.
    pub fn to(out: Box<dyn Write>) -> Self {
        let state = State {
            out: BufWriter::new(out),
            begin: None,
            answers: BTreeMap::new(),
            versions: BTreeMap::new(),
            last: 0.0,
            failure: None,
            on_failure: None,
        };
        Self { state: RefCell::new(state) }
    }

    /// The same, with a function that is called at once when writing fails.
    #[must_use]
    pub(crate) fn on_failure(self, call: OnFailure) -> Self {
        self.state.borrow_mut().on_failure = Some(call);
        self
    }

    /// Why writing stopped, if it did (a full disk must not end the follow).
    pub(crate) fn failure(&self) -> Option<String> {
        self.state.borrow().failure.clone()
    }
}

impl State {
    /// Seconds since the first line, which is written first and has its time.
    fn t(&mut self, at: Timestamp) -> f64 {
        if self.begin.is_none() {
            self.write(&json!({"t": 0, "from": "clock", "at": at.to_string()}));
        }
        let begin = *self.begin.get_or_insert(at);
        let seconds = at.duration_since(begin).as_secs_f64().max(0.0);
        (seconds * 1000.0).round() / 1000.0
    }

    fn write(&mut self, line: &Value) {
        if self.failure.is_some() {
            return;
        }
        self.last = line["t"].as_f64().unwrap_or(self.last);
        if let Err(error) = writeln!(self.out, "{line}").and_then(|()| self.out.flush()) {
            let why = crate::error::Problem::new("", error.to_string()).why;
            if let Some(call) = &self.on_failure {
                call(&why);
            }
            self.failure = Some(why);
        }
    }
}

impl RecordingSink for Recorder {
    fn kubernetes(&self, at: Timestamp, event: &str, object: &Value) {
        let Some(object) = scrubbed(object) else { return };
        let mut state = self.state.borrow_mut();
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
        let (uid, version) = (text("uid").to_owned(), text("resourceVersion").to_owned());
        if event == "DELETED" {
            state.versions.remove(&uid);
        } else if !version.is_empty() && state.versions.insert(uid, version.clone()) == Some(version) {
            return;
        }
        let t = state.t(at);
        state.write(&json!({"t": t, "from": "kubernetes", "event": event, "object": object}));
    }

    fn emqx(&self, at: Timestamp, instance: &InstanceId, path: &str, status: u16, body: &Value) {
        let mut state = self.state.borrow_mut();
        let answer = (status, body.clone());
        let t = state.t(at);
        let key = (instance.clone(), path.to_owned());
        if state.answers.get(&key) == Some(&answer) {
            if t - state.last >= SAME_ANSWER_SECONDS {
                state.write(&json!({"t": t, "from": "clock"}));
            }
            return;
        }
        state.answers.insert(key, answer);
        state.write(&json!({
            "t": t, "from": "emqx", "instance": instance, "get": path, "status": status, "body": body
        }));
    }

    fn started(&self, at: Timestamp, instance: &InstanceId, coordinator: &NodeName, request: &Value) {
        let mut state = self.state.borrow_mut();
        let t = state.t(at);
        state.write(&json!({
            "t": t, "from": "request", "instance": instance, "start": coordinator, "body": request
        }));
    }

    fn ends(&self, at: Timestamp) {
        let mut state = self.state.borrow_mut();
        // Without a first line nothing was recorded.
        if state.begin.is_some() {
            let t = state.t(at);
            state.write(&json!({"t": t, "from": "clock"}));
        }
    }
}
