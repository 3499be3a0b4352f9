//! The entry of an operation that was followed to its end: a line of the user's own history, and an item of the history in the
//! ConfigMap of an instance. Both can be edited by hand, so that an entry is checked, bounded and sanitised when it is read.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::human::harmless;
use super::name::InstanceId;
use super::verdict::{Operation, Verdict};

/// The ConfigMap's key with the entries of an instance.
pub const HISTORY_KEY: &str = "history.json";

/// The longest entry that is read, in bytes.
pub(crate) const LONGEST_ENTRY: usize = 8192;

/// The longest message of an entry, in characters.
const LONGEST_MESSAGE: usize = 512;

/// The longest name of an operation or of a client, in characters: an EMQX node's name has at most 255.
const LONGEST_NAME: usize = 300;

/// The longest name of a recording, in bytes.
const LONGEST_FILE: usize = 160;

/// The most entries in a ConfigMap, the newest.
const MOST_STORED: usize = 30;

/// The longest [`HISTORY_KEY`] that is read or written, in bytes; a ConfigMap holds at most 1 MiB.
const LONGEST_STORED: usize = 128 << 10;

/// Seconds in which a drain or a scale evacuated nodes. How long the replacements of its pods take to start is not forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvacuationTimes {
    /// By the plan.
    pub planned_seconds: u64,
    /// Seconds in which at least one node was evacuated.
    pub seconds: u64,
}

/// How one operation ended, as recorded by a client that followed the operation to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The form of the entry; 1.
    pub version: u32,
    /// The kind of operation.
    pub operation: Operation,
    /// The cluster.
    pub instance: InstanceId,
    /// The address of the API server, or of EMQX's API without Kubernetes; `None` in a ConfigMap, which is in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The name of the object, `coordinator/NODE`, `upgrade/NAME`, `evacuation/NODE`, `drain/NAME` or `scale/NAME`.
    pub name: String,
    /// The uid of the Rebalance object: a name can be used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Whether a rebalance that is named by its coordinator may have an object: Rebalances could not be listed when it ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub object_unknown: bool,
    /// How it ended.
    pub verdict: Verdict,
    /// The reason, without the verdict's own words.
    pub message: String,
    /// When it began, where that was seen.
    #[serde(default)]
    pub started: Option<Timestamp>,
    /// When it ended, at the latest.
    pub ended: Timestamp,
    /// When it was last seen to run, where nothing is known of it between then and `ended`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_after: Option<Timestamp>,
    /// When the client that recorded it first saw it run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followed: Option<Timestamp>,
    /// How long it should have taken by the first forecast of the client that followed it, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_seconds: Option<u64>,
    /// How long the evacuations of a drain or a scale took, where they were seen from the first to the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evacuations: Option<EvacuationTimes>,
    /// Connections of all nodes at the start and after the end, where they were known.
    #[serde(default)]
    pub connections: (Option<u64>, Option<u64>),
    /// Sessions of all nodes at the start and after the end, where they were known.
    #[serde(default)]
    pub sessions: (Option<u64>, Option<u64>),
    /// Clients that were moved, where that is known.
    #[serde(default)]
    pub moved_connections: Option<u64>,
    /// The client that followed it.
    pub by: String,
    /// The file of its recording in the user's own folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<String>,
}

impl HistoryEntry {
    /// Parses one line. `None` for text of another form, for an entry without a final verdict that its
    /// operation can have, and for one that is too long.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let entry: Self = (line.len() <= LONGEST_ENTRY).then(|| serde_json::from_str(line).ok())??;
        entry.checked()
    }

    /// The entry with sanitised and bounded texts; `None` where this program cannot have written it.
    fn checked(self) -> Option<Self> {
        if self.version != 1 || !ends(self.operation, self.verdict) || self.name.is_empty() {
            return None;
        }
        let text = |text: &str, most: usize| harmless(text).chars().take(most).collect::<String>();
        let InstanceId { kind, namespace, name } = &self.instance;
        let instance = InstanceId {
            kind: *kind,
            namespace: text(namespace, LONGEST_NAME),
            name: text(name, LONGEST_NAME),
        };
        Some(Self {
            instance,
            cluster: self.cluster.as_deref().map(|it| text(it, LONGEST_NAME)),
            name: text(&self.name, LONGEST_NAME),
            uid: self.uid.as_deref().map(|it| text(it, LONGEST_NAME)),
            message: text(&self.message, LONGEST_MESSAGE),
            by: text(&self.by, LONGEST_NAME),
            started: self.started.filter(|started| *started <= self.ended),
            followed: self.followed.filter(|followed| *followed <= self.ended),
            recording: self.recording.filter(|name| is_file_name(name)),
            ..self
        })
    }

    /// The entry as one line, with bounded texts.
    pub(crate) fn line(&self) -> String {
        let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
        let entry = Self {
            message: cut(&self.message, LONGEST_MESSAGE),
            name: cut(&self.name, LONGEST_NAME),
            by: cut(&self.by, LONGEST_NAME),
            ..self.clone()
        };
        serde_json::to_string(&entry).unwrap_or_default()
    }

    /// Clients that were connected at the start and not after the end.
    pub(crate) fn lost_clients(&self) -> Option<u64> {
        Some(self.connections.0?.saturating_sub(self.connections.1?))
    }

    /// How long it took, in seconds; `None` where its start or its end is not known.
    pub(crate) fn seconds(&self) -> Option<u64> {
        if self.ended_after.is_some() {
            return None;
        }
        u64::try_from(self.ended.duration_since(self.started?).as_secs()).ok()
    }
}

/// Whether an operation of this kind can end with this verdict.
fn ends(operation: Operation, verdict: Verdict) -> bool {
    match verdict {
        Verdict::Idle | Verdict::Running | Verdict::StillRunning | Verdict::Waiting => false,
        Verdict::Balanced
        | Verdict::Uneven
        | Verdict::Overshot
        | Verdict::NothingToDo
        | Verdict::CoordinatorLost => operation == Operation::Rebalance,
        Verdict::Upgraded => operation == Operation::Upgrade,
        Verdict::Evacuated => operation == Operation::Evacuation,
        Verdict::Done => matches!(operation, Operation::Drain | Operation::Scale),
        Verdict::Stopped
        | Verdict::Reverted
        | Verdict::Failed
        | Verdict::Stalled
        | Verdict::ClientsMissing
        | Verdict::NodesLost
        | Verdict::Superseded
        | Verdict::Unknown => !matches!(operation, Operation::None | Operation::Purge),
    }
}

/// Whether a text is the name of a file in one folder, and not a path.
pub(crate) fn is_file_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !text.is_empty() && text.len() <= LONGEST_FILE && !text.starts_with('.') && text.bytes().all(good)
}

/// The entries of a ConfigMap; unreadable ones are left out.
pub(crate) fn stored(text: &str) -> Vec<HistoryEntry> {
    if text.len() > LONGEST_STORED {
        return Vec::new();
    }
    let values: Vec<serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
    let entries = values.into_iter().filter_map(|value| serde_json::from_value::<HistoryEntry>(value).ok());
    entries.filter_map(HistoryEntry::checked).take(MOST_STORED).collect()
}

/// The text of a ConfigMap with these entries, newest last: the oldest are left out where there are too many.
pub(crate) fn to_store(entries: &[HistoryEntry]) -> String {
    let local = |entry: &HistoryEntry| HistoryEntry { cluster: None, recording: None, ..entry.clone() };
    let mut lines: Vec<String> =
        entries.iter().rev().take(MOST_STORED).map(|entry| local(entry).line()).collect();
    let mut bytes = 0;
    lines.retain(|line| {
        bytes += line.len() + 1;
        bytes < LONGEST_STORED
    });
    lines.reverse();
    format!("[{}]", lines.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InstanceKind;

    fn entry() -> HistoryEntry {
        HistoryEntry {
            version: 1,
            operation: Operation::Evacuation,
            instance: InstanceId {
                kind: InstanceKind::Emqx,
                namespace: "mq".to_owned(),
                name: "emqx".to_owned(),
            },
            cluster: Some("https://10.0.0.1:6443".to_owned()),
            name: "evacuation/emqx@core-0".to_owned(),
            uid: None,
            object_unknown: false,
            verdict: Verdict::Evacuated,
            message: "empty".to_owned(),
            started: Some(Timestamp::UNIX_EPOCH),
            ended: "1970-01-01T00:01:38Z".parse().expect("a time"),
            ended_after: None,
            followed: Some(Timestamp::UNIX_EPOCH),
            planned_seconds: Some(90),
            evacuations: Some(EvacuationTimes { planned_seconds: 80, seconds: 82 }),
            connections: (Some(10_000), Some(9_990)),
            sessions: (None, None),
            moved_connections: Some(3333),
            by: "ann@laptop".to_owned(),
            recording: Some("20261127-190500-1.jsonl".to_owned()),
        }
    }

    #[test]
    fn an_entry_is_read_back_as_it_was_written() {
        let is = entry();
        assert_eq!(HistoryEntry::parse(&is.line()), Some(is.clone()));
        assert_eq!((is.seconds(), is.lost_clients()), (Some(98), Some(10)));
        assert!(!is.line().contains('\n'), "one line");
        let between = HistoryEntry { ended_after: Some(Timestamp::UNIX_EPOCH), ..entry() };
        assert_eq!(HistoryEntry::parse(&between.line()).and_then(|it| it.seconds()), None);
    }

    #[test]
    fn a_verdict_that_the_operation_cannot_have_is_not_read() {
        for verdict in [Verdict::Balanced, Verdict::Running, Verdict::Idle, Verdict::Upgraded, Verdict::Done]
        {
            assert_eq!(HistoryEntry::parse(&HistoryEntry { verdict, ..entry() }.line()), None, "{verdict:?}");
        }
        let unknown = HistoryEntry { verdict: Verdict::Unknown, ..entry() };
        assert_eq!(HistoryEntry::parse(&unknown.line()), Some(unknown));
    }

    #[test]
    fn hostile_text_is_sanitised_and_a_path_is_no_recording() {
        let hostile = HistoryEntry {
            name: "a\u{1b}[2Jb".to_owned(),
            message: format!("x\n\u{202e}{}", "y".repeat(5000)),
            recording: Some("../../etc/passwd".to_owned()),
            started: Some(Timestamp::MAX),
            followed: Some(Timestamp::MAX),
            ..entry()
        };
        let read = HistoryEntry::parse(&hostile.line()).expect("it is data");
        assert_eq!(read.name, "a\u{fffd}[2Jb");
        assert!(read.message.starts_with("x \u{fffd}y") && read.message.chars().count() == LONGEST_MESSAGE);
        assert_eq!((read.recording, read.started, read.followed), (None, None, None));
        let long = format!("{}{}", entry().line(), " ".repeat(LONGEST_ENTRY));
        for text in ["", "{}", "[]", "null", "\u{0}", r#"{"version":2}"#, &long] {
            assert_eq!(HistoryEntry::parse(text), None);
        }
    }

    #[test]
    fn a_config_map_keeps_the_newest_entries_and_reads_what_it_can() {
        let many: Vec<HistoryEntry> =
            (0..40).map(|number| HistoryEntry { moved_connections: Some(number), ..entry() }).collect();
        let back = stored(&to_store(&many));
        assert_eq!(back.len(), MOST_STORED);
        assert_eq!(back.last().and_then(|it| it.moved_connections), Some(39));
        assert_eq!((back[0].recording.as_ref(), back[0].cluster.as_ref()), (None, None));
        assert_eq!(stored(&format!("[{}, 7, {{}}, null]", entry().line())).len(), 1);
        for text in ["", "{}", "nonsense", &format!("[{}]", " ".repeat(LONGEST_STORED))] {
            assert_eq!(stored(text), []);
        }
    }
}
