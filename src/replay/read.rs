//! Reads a recording line by line, independently of its size.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;

use crate::error::Problem;
use crate::model::{BrokerUpdate, Fact, InstanceId, InstanceKind, NodeName, Object, Strategy, Update};
use crate::ports::{Moment, Translate};
use user_files::{self as files, LONGEST_LINE, Utf8Stream};

/// One line, in any of its forms.
#[derive(Deserialize)]
struct Line {
    t: f64,
    from: String,
    event: Option<String>,
    object: Option<Value>,
    get: Option<String>,
    start: Option<NodeName>,
    status: Option<u16>,
    body: Option<Value>,
    at: Option<Timestamp>,
    /// Whose EMQX answered; recordings of earlier versions have one cluster, and do not name it.
    instance: Option<InstanceId>,
}

/// The text of a recording.
type Lines = BufReader<Box<dyn Read>>;

/// A recording, opened at its beginning. As an iterator it yields every line's facts, or a problem that names
/// the line. A line that cannot be read does not end it, but an error of the disk does.
pub struct Recording {
    path: PathBuf,
    lines: Lines,
    translate: Rc<dyn Translate>,
    begin: Timestamp,
    /// The cluster of the answers that name none.
    instance: InstanceId,
    line: usize,
    over: bool,
    /// What EMQX was asked for, by cluster and coordinator, and whether EMQX listed it since then.
    starts: BTreeMap<(InstanceId, NodeName), (Strategy, bool)>,
}

/// The most lines that are searched for the time at which the recording began.
const MAX_LINES_SCANNED: usize = 2000;

/// Fields that contain a time of the past. Others may be in the future (`deletionTimestamp` is when the grace
/// period ends).
const PAST: [&str; 11] = [
    "creationTimestamp",
    "lastTransitionTime",
    "lastUpdateTime",
    "lastTimestamp",
    "firstTimestamp",
    "lastObservedTime",
    "eventTime",
    "startedTime",
    "completedTime",
    "startedAt",
    "startTime",
];

impl Recording {
    /// Opens a recording.
    ///
    /// Its start is in the line `{"t":0,"from":"clock","at":…}`, which this program's recorder writes.
    /// Without that line: every time within an object was written before the object was seen, so that (time −
    /// t) is never later than the beginning; the latest of these values over the first lines is the
    /// beginning, up to the second to which Kubernetes rounds.
    pub fn open(path: impl AsRef<Path>, translate: Rc<dyn Translate>) -> Result<Self, Problem> {
        let path = path.as_ref().to_owned();
        let fail = |error: std::io::Error| {
            Problem::new(format!("cannot read the recording {}", path.display()), error.to_string())
                .hint("kubectl emqx rebalance watch --record FILE writes a recording")
        };
        let open = || -> std::io::Result<Lines> {
            Ok(BufReader::new(Box::new(Utf8Stream::new(files::open(&path)?))))
        };
        let mut lines = open().map_err(fail)?;
        // A pipe can be read only once: the searched lines are kept.
        let again = files::is_regular(&path);
        let mut kept = if again { None } else { Some(Vec::new()) };
        let (begin, instance) = beginning(&mut lines, &mut kept, translate.as_ref()).map_err(fail)?;
        let lines = match kept {
            None => open().map_err(fail)?,
            Some(kept) => BufReader::new(Box::new(std::io::Cursor::new(kept).chain(lines)) as Box<dyn Read>),
        };
        let begin = begin.ok_or_else(|| {
            Problem::new(
                format!("cannot use the recording {}", path.display()),
                "none of its lines has a time",
            )
            .hint("a recording holds one JSON document a line, as kubectl emqx watch --record FILE writes it")
        })?;
        let instance = instance.unwrap_or_else(unnamed);
        Ok(Self { path, lines, translate, begin, instance, line: 0, over: false, starts: BTreeMap::new() })
    }

    /// When it began.
    pub fn begin(&self) -> Timestamp {
        self.begin
    }

    fn problem(&self, why: impl Into<String>) -> Problem {
        Problem::new(format!("cannot read line {} of {}", self.line, self.path.display()), why)
    }

    /// Adds what was requested to the rebalances that EMQX lists. A request counts until EMQX no longer lists it.
    fn complete(&mut self, fact: &mut Fact) {
        let Update::Broker(instance, BrokerUpdate::Evictions(load)) = &mut fact.update else { return };
        for entry in &mut load.rebalances {
            let key = (instance.clone(), entry.coordinator.clone());
            if let Some((strategy, listed)) = self.starts.get_mut(&key) {
                entry.requested = Some(strategy.clone());
                *listed = true;
            }
        }
        self.starts.retain(|(of, coordinator), (_, listed)| {
            *of != *instance
                || !*listed
                || load.rebalances.iter().any(|entry| entry.coordinator == *coordinator)
        });
    }

    fn moment(&mut self, text: &str) -> Result<Moment, Problem> {
        let line: Line = serde_json::from_str(text).map_err(|error| self.problem(unreadable(&error)))?;
        if !line.t.is_finite() || line.t < 0.0 {
            return Err(self.problem("t is no number of seconds"));
        }
        let at = after(self.begin, line.t);
        let change = line.event.as_deref().is_some_and(|event| event != "LISTED");
        let facts = match line.from.as_str() {
            "kubernetes" => {
                let object = line.object.ok_or_else(|| self.problem("it has no object"))?;
                let event = line.event.ok_or_else(|| self.problem("it has no event"))?;
                self.translate.kubernetes(at, &event, &object)
            }
            "emqx" => {
                let path = line.get.ok_or_else(|| self.problem("it has no get"))?;
                let body = line.body.unwrap_or(Value::Null);
                let instance = line.instance.unwrap_or_else(|| self.instance.clone());
                let status = line.status.unwrap_or(200);
                let mut facts = self.translate.emqx(at, &instance, &path, status, &body);
                for fact in &mut facts {
                    self.complete(fact);
                }
                facts
            }
            "request" => {
                let strategy = line.body.and_then(|body| self.translate.strategy(&body));
                if let (Some(coordinator), Some(strategy)) = (line.start, strategy) {
                    let instance = line.instance.unwrap_or_else(|| self.instance.clone());
                    self.starts.insert((instance, coordinator), (strategy, false));
                }
                Vec::new()
            }
            // The line of the clock; a later format may have more sources, and the known ones are still read.
            _ => Vec::new(),
        };
        Ok(Moment { line: self.line, t: line.t, at, change, facts })
    }
}

/// The error in a line, without the position in it: a line is one document, and the message has the line's
/// number already.
fn unreadable(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Eof => "it is truncated".to_owned(),
        Category::Syntax => "it is not JSON".to_owned(),
        _ => error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
    }
}

impl Iterator for Recording {
    type Item = Result<Moment, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.over {
            let mut bytes = Vec::new();
            self.line += 1;
            let read = (&mut self.lines).take(LONGEST_LINE).read_until(b'\n', &mut bytes);
            match read {
                Ok(0) => self.over = true,
                Ok(length) if length as u64 == LONGEST_LINE && bytes.last() != Some(&b'\n') => {
                    self.over = true;
                    return Some(Err(self.problem(format!("it is longer than {} MB", LONGEST_LINE >> 20))));
                }
                Ok(_) => match std::str::from_utf8(&bytes) {
                    Ok(text) if text.trim().is_empty() => {}
                    Ok(text) => return Some(self.moment(text)),
                    Err(_) => return Some(Err(self.problem("it is not UTF-8"))),
                },
                Err(error) => {
                    self.over = true;
                    return Some(Err(self.problem(error.to_string())));
                }
            }
        }
        None
    }
}

fn after(time: Timestamp, seconds: f64) -> Timestamp {
    SignedDuration::try_from_secs_f64(seconds).ok().and_then(|it| time.checked_add(it).ok()).unwrap_or(time)
}

/// The cluster of a recording that has no object of one.
fn unnamed() -> InstanceId {
    InstanceId { kind: InstanceKind::Emqx, namespace: String::new(), name: "emqx".to_owned() }
}

/// When the recording began, and the cluster of the answers that name none: that of the first object of a cluster, else
/// of the first Rebalance. The bytes that are read are added to `kept`, at most [`LONGEST_LINE`].
fn beginning(
    lines: &mut Lines,
    kept: &mut Option<Vec<u8>>,
    translate: &dyn Translate,
) -> std::io::Result<(Option<Timestamp>, Option<InstanceId>)> {
    let (mut begin, mut latest) = (None, None);
    let (mut instance, mut rebalanced) = (None, None);
    let mut bytes = Vec::new();
    for _ in 0..MAX_LINES_SCANNED {
        bytes.clear();
        let length = lines.take(LONGEST_LINE).read_until(b'\n', &mut bytes)?;
        if let Some(kept) = kept.as_mut() {
            kept.extend_from_slice(&bytes);
        }
        if length == 0 || kept.as_ref().is_some_and(|kept| kept.len() as u64 >= LONGEST_LINE) {
            break;
        }
        // A line that cannot be read is reported later, with its number.
        let Ok(line) = serde_json::from_slice::<Line>(&bytes) else { continue };
        if line.from == "clock" {
            begin = begin.or_else(|| line.at.map(|at| after(at, -line.t)));
        }
        if let Some(object) = &line.object {
            if begin.is_none() {
                let mut newest = None;
                newest_within(object, &mut newest);
                latest = latest.max(newest.map(|newest| after(newest, -line.t)));
            }
            for fact in translate.kubernetes(Timestamp::UNIX_EPOCH, "LISTED", object) {
                match fact.update {
                    Update::Upserted(Object::Instance(object)) => instance = instance.or(Some(object.id)),
                    Update::Upserted(Object::Rebalance(object)) => {
                        rebalanced = rebalanced.or_else(|| Some(object.instance_id()));
                    }
                    _ => {}
                }
            }
        }
        instance = instance.or(line.instance);
        if begin.is_some() && instance.is_some() {
            break;
        }
    }
    Ok((begin.or(latest), instance.or(rebalanced)))
}

/// The newest time of the past within an object.
fn newest_within(value: &Value, newest: &mut Option<Timestamp>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if PAST.contains(&key.as_str()) {
                    *newest = (*newest).max(value.as_str().and_then(|text| text.parse().ok()));
                } else {
                    newest_within(value, newest);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| newest_within(value, newest)),
        _ => {}
    }
}
