//! A rebalance as the operator's object describes it: what was requested, and the operator's status.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::load::RunningRebalance;
use super::name::{InstanceId, InstanceKind};
use super::strategy::Strategy;
use super::verdict::Verdict;

/// The phase that the operator reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is written yet.
    #[default]
    Pending,
    /// The operator has requested the start from EMQX.
    Processing,
    /// The operator saw no running rebalance.
    Completed,
    /// The operator stopped observing, or the start was refused.
    Failed,
    /// A phase of an unknown version.
    Unknown(String),
}

impl Phase {
    /// The phase with this name in the API; an absent one is [`Phase::Pending`].
    pub(crate) fn parse(text: Option<&str>) -> Self {
        match text {
            None | Some("") => Self::Pending,
            Some("Processing") => Self::Processing,
            Some("Completed") => Self::Completed,
            Some("Failed") => Self::Failed,
            Some(other) => Self::Unknown(other.to_owned()),
        }
    }

    /// As the API writes it; `None` while nothing is written.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Pending => None,
            Self::Processing => Some("Processing"),
            Self::Completed => Some("Completed"),
            Self::Failed => Some("Failed"),
            Self::Unknown(text) => Some(text),
        }
    }
}

/// The annotation in which `apply` stores the plan, to judge the end.
pub const PLAN_ANNOTATION: &str = "cli.emqx.io/plan";

/// The annotation that `stop` of this program writes on an object before EMQX is called, so that other
/// clients that follow the rebalance report `stopped`.
pub const STOPPED_BY_ANNOTATION: &str = "cli.emqx.io/stopped-by";

/// The annotation whose change makes the operator reconcile a Rebalance again: operators 2.2 and 2.3 return without
/// requeueing while EMQX is not Ready, and any change of the object starts the next pass.
pub const TOUCHED_ANNOTATION: &str = "cli.emqx.io/touched";

/// Who stopped a rebalance, and when: the value of [`STOPPED_BY_ANNOTATION`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopMark {
    /// The field manager of the client that stopped it.
    pub by: String,
    /// When, by the API server's clock.
    pub time: Timestamp,
}

impl StopMark {
    /// Parses the annotation; `None` for text of another form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The annotation's text.
    pub fn text(&self) -> String {
        serde_json::json!({"by": self.by, "time": self.time.to_string()}).to_string()
    }
}

/// The annotation that holds the verdict of a client that followed the rebalance to its end.
pub const VERDICT_ANNOTATION: &str = "cli.emqx.io/verdict";

/// The longest text of a [`VERDICT_ANNOTATION`] that is read, in bytes.
const LONGEST_VERDICT: usize = 4096;

/// The verdict of a client that followed a rebalance to its end: the value of [`VERDICT_ANNOTATION`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedVerdict {
    /// The uid of the object that it is about: an annotation is copied with a manifest.
    pub uid: String,
    /// How it ended.
    pub verdict: Verdict,
    /// The reason, without the verdict's own words.
    pub message: String,
    /// When it began, where that was known.
    pub started: Option<Timestamp>,
    /// When EMQX ended it, at the latest.
    pub ended: Timestamp,
    /// When it was last seen to run, where EMQX did not answer between then and `ended`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_after: Option<Timestamp>,
    /// Connections of all nodes at the start and after the end, where they were known.
    pub connections: (Option<u64>, Option<u64>),
    /// Sessions of all nodes at the start and after the end, where they were known.
    pub sessions: (Option<u64>, Option<u64>),
    /// The field manager of the client that followed it.
    pub by: String,
}

impl RecordedVerdict {
    /// Parses the annotation of the object with this uid and this creation time. `None` for text of another
    /// form, for the verdict of another object, for one from before the creation or without a final verdict,
    /// and for one that is too long.
    pub(crate) fn parse(text: &str, uid: &str, created: Option<Timestamp>) -> Option<Self> {
        let read: Self = (text.len() <= LONGEST_VERDICT).then(|| serde_json::from_str(text).ok())??;
        let before = created.is_some_and(|created| read.ended < created);
        (read.uid == uid && !before && read.verdict.ends_a_rebalance()).then_some(read)
    }

    /// The annotation's text, with a bounded message.
    pub(crate) fn text(&self) -> String {
        let message = self.message.chars().take(LONGEST_VERDICT / 8).collect();
        serde_json::to_string(&Self { message, ..self.clone() }).unwrap_or_default()
    }

    /// How long it took; `None` where its start or its end is not known.
    pub(crate) fn seconds(&self) -> Option<u64> {
        if self.ended_after.is_some() {
            return None;
        }
        let seconds = self.ended.duration_since(self.started?).as_secs();
        u64::try_from(seconds).ok()
    }
}

/// The field manager and the user agent of all requests of this program.
pub const FIELD_MANAGER: &str = "kubectl-emqx";

/// One Rebalance object.
#[derive(Clone, Debug, PartialEq)]
pub struct Rebalance {
    pub namespace: String,
    pub name: String,
    /// The uid: a name that is used again is another rebalance.
    pub uid: String,
    /// The version of the object.
    pub resource_version: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When its deletion was requested.
    pub deleting: Option<Timestamp>,
    /// The finalizers that delay its deletion.
    pub finalizers: Vec<String>,
    /// The kind of its instance, as the operator interprets `instanceKind`.
    pub instance_kind: InstanceKind,
    pub instance_name: String,
    /// The requested strategy, with defaults filled in.
    pub strategy: Strategy,
    /// The phase that the operator reports.
    pub phase: Phase,
    /// The message of the condition `Failed`.
    pub failure: Option<String>,
    /// Whether it ever was in `Processing`.
    pub processed: bool,
    /// EMQX's entries as the operator last copied them; stale once the phase is `Failed`.
    pub states: Vec<RunningRebalance>,
    /// When the operator requested the start from EMQX.
    pub started: Option<Timestamp>,
    /// When the operator saw that nothing runs.
    pub completed: Option<Timestamp>,
    /// When the condition `Failed` was written.
    pub failed: Option<Timestamp>,
    /// The text that `apply` stored in [`PLAN_ANNOTATION`], not parsed.
    pub plan: Option<String>,
    /// The field manager of the client that created it, where Kubernetes reports it.
    pub created_by: Option<String>,
    /// Who stopped it with this program's `stop`.
    pub stopped_by: Option<StopMark>,
    /// The verdict of the client that followed it to its end.
    pub recorded: Option<RecordedVerdict>,
}

impl Rebalance {
    /// The instance that it rebalances.
    pub(crate) fn instance_id(&self) -> InstanceId {
        InstanceId {
            kind: self.instance_kind,
            namespace: self.namespace.clone(),
            name: self.instance_name.clone(),
        }
    }

    /// Whether it rebalances this instance.
    pub(crate) fn is_of(&self, id: &InstanceId) -> bool {
        self.namespace == id.namespace && self.instance_name == id.name && self.instance_kind == id.kind
    }
}

/// The way in which a rebalance is, or would be, driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Through an object for the operator.
    Rebalance,
    /// Through EMQX's own API.
    Emqx,
}

impl Backend {
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Rebalance => "rebalance",
            Self::Emqx => "emqx",
        }
    }
}

/// The requested way by which a rebalance is driven (`--backend`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum BackendRequest {
    /// Through an object where its kind is served by a living operator, else through EMQX.
    #[default]
    Auto,
    /// Through an object for the operator.
    Rebalance,
    /// Through EMQX's own API.
    Emqx,
}

impl BackendRequest {
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Rebalance => "rebalance",
            Self::Emqx => "emqx",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded() -> RecordedVerdict {
        RecordedVerdict {
            uid: "u-1".to_owned(),
            verdict: Verdict::Balanced,
            message: "balanced".to_owned(),
            started: Some(Timestamp::UNIX_EPOCH),
            ended: "1970-01-01T00:01:38Z".parse().expect("a time"),
            ended_after: None,
            connections: (Some(10_000), Some(9_998)),
            sessions: (None, None),
            by: FIELD_MANAGER.to_owned(),
        }
    }

    #[test]
    fn a_recorded_verdict_is_read_back_for_the_object_that_it_is_about() {
        let is = recorded();
        assert_eq!(RecordedVerdict::parse(&is.text(), "u-1", Some(Timestamp::UNIX_EPOCH)), Some(is.clone()));
        assert_eq!(is.seconds(), Some(98));
        let between = RecordedVerdict { ended_after: Some(Timestamp::UNIX_EPOCH), ..recorded() };
        let back = RecordedVerdict::parse(&between.text(), "u-1", None).expect("it is read");
        assert_eq!((back.seconds(), back), (None, between));
        // A manifest is copied with its annotations: the object has another uid, or was created later.
        assert_eq!(RecordedVerdict::parse(&is.text(), "u-2", Some(Timestamp::UNIX_EPOCH)), None);
        assert_eq!(RecordedVerdict::parse(&is.text(), "u-1", Some(Timestamp::MAX)), None);
    }

    #[test]
    fn what_is_no_final_verdict_of_a_rebalance_is_not_read() {
        for verdict in
            [Verdict::Unknown, Verdict::Running, Verdict::Stalled, Verdict::Idle, Verdict::Upgraded]
        {
            let text = RecordedVerdict { verdict, ..recorded() }.text();
            assert_eq!(RecordedVerdict::parse(&text, "u-1", None), None, "{verdict:?}");
        }
        let long = format!("{}{}", recorded().text(), " ".repeat(LONGEST_VERDICT));
        for text in ["", "{}", "null", "balanced", r#"{"verdict":"balanced","uid":"u-1"}"#, &long] {
            assert_eq!(RecordedVerdict::parse(text, "u-1", None), None, "{text:?}");
        }
    }

    #[test]
    fn a_long_reason_is_shortened_and_still_parsed() {
        let is = RecordedVerdict { message: "\u{1F980}\"".repeat(5000), ..recorded() };
        let back = RecordedVerdict::parse(&is.text(), "u-1", None).expect("it fits");
        assert!(is.message.starts_with(&back.message) && back.message.chars().count() == 512);
    }
}
