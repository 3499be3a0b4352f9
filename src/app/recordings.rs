//! Recordings: how they are read, and those that a command writes for `--record` or for the view.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use serde_json::Value;

use super::log::Held;
use super::standalone::now;
use crate::cli::intent::Follow;
use crate::error::Problem;
use crate::model::{Fact, InstanceId, NodeName, Strategy};
use crate::ports::{RecordingSink, Translate};
use crate::replay::Recorder;
use crate::tui::Records;

/// Converts recordings to facts with the wire modules of both clients.
pub struct Wire;

impl Translate for Wire {
    fn kubernetes(&self, at: Timestamp, event: &str, object: &Value) -> Vec<Fact> {
        crate::k8s::wire::facts(at, event, object)
    }

    fn emqx(&self, at: Timestamp, instance: &InstanceId, path: &str, status: u16, body: &Value) -> Vec<Fact> {
        crate::emqx::wire::facts(at, instance, path, status, body)
    }

    fn strategy(&self, request: &Value) -> Option<Strategy> {
        crate::emqx::wire::strategy(request)
    }
}

/// Whether a recording could not be written to its end: the process then exits with 1, unless it exits with a
/// more severe code.
static RECORDING_BROKEN: AtomicBool = AtomicBool::new(false);

/// Whether a recording could not be written to its end.
pub(super) fn any_broken() -> bool {
    RECORDING_BROKEN.load(Ordering::Relaxed)
}

/// Warns once when a recording can no longer be written, and stores that for the exit code.
fn broken(path: &Path) -> Box<dyn Fn(&str)> {
    let path = path.display().to_string();
    Box::new(move |why| {
        RECORDING_BROKEN.store(true, Ordering::Relaxed);
        let text = format!("notice: the recording {path} ends here: {why}\n");
        // Ignore write errors of stderr: they cannot be reported.
        let _ = std::io::Write::write_all(&mut Held, text.as_bytes());
    })
}

pub(super) fn recorder(follow: &Follow) -> Result<Option<Rc<dyn RecordingSink>>, Problem> {
    let Some(path) = &follow.record else { return Ok(None) };
    Ok(Some(Rc::new(Recorder::create(path)?.on_failure(broken(path)))))
}

/// A recorder that can be switched on and off.
#[derive(Default)]
pub(super) struct Recordings {
    /// The recorder, and the file's name.
    file: RefCell<Option<(Recorder, String)>>,
}

impl Recordings {
    /// Records to a file from the start, with `--record`.
    pub(super) fn of(follow: &Follow) -> Result<Rc<Self>, Problem> {
        let file = match &follow.record {
            Some(path) => {
                Some((Recorder::create(path)?.on_failure(broken(path)), path.display().to_string()))
            }
            None => None,
        };
        Ok(Rc::new(Self { file: RefCell::new(file) }))
    }

    /// The file that is written.
    pub(super) fn file_name(&self) -> Option<String> {
        self.file.borrow().as_ref().map(|(_, name)| name.clone())
    }
}

impl RecordingSink for Recordings {
    fn records(&self) -> bool {
        self.file.borrow().is_some()
    }

    fn kubernetes(&self, at: Timestamp, event: &str, object: &Value) {
        if let Some((recorder, _)) = &*self.file.borrow() {
            recorder.kubernetes(at, event, object);
        }
    }

    fn emqx(&self, at: Timestamp, instance: &InstanceId, path: &str, status: u16, body: &Value) {
        if let Some((recorder, _)) = &*self.file.borrow() {
            recorder.emqx(at, instance, path, status, body);
        }
    }

    fn started(&self, at: Timestamp, instance: &InstanceId, coordinator: &NodeName, request: &Value) {
        if let Some((recorder, _)) = &*self.file.borrow() {
            recorder.started(at, instance, coordinator, request);
        }
    }

    fn ends(&self, at: Timestamp) {
        if let Some((recorder, _)) = &*self.file.borrow() {
            recorder.ends(at);
        }
    }
}

impl Records for Recordings {
    fn begin(&self) -> Result<String, Problem> {
        let now = now();
        let name = now.strftime("emqx-%Y%m%d-%H%M%S.jsonl").to_string();
        let recorder = Recorder::create(&name)?.on_failure(broken(Path::new(&name)));
        *self.file.borrow_mut() = Some((recorder, name.clone()));
        Ok(name)
    }

    fn end(&self) -> Result<(), Problem> {
        match self.file.borrow_mut().take() {
            Some((recorder, name)) => match recorder.failure() {
                Some(why) => Err(Problem::new(format!("{name} is not whole"), why)),
                None => Ok(()),
            },
            None => Ok(()),
        }
    }
}
