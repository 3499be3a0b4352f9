//! Groups of flags that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::forms::{FormParser, JSONPATH};
use super::intent::{DryRun, Output};
use super::value;
use crate::model::limits::{CommandLine, LostLimit, NotAfter, Percent};
use crate::model::{BackendRequest, Preset};

/// Which of several instances.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct SelectArgs {
    /// In all namespaces
    #[arg(short = 'A', long)]
    pub(super) all_namespaces: bool,
    /// Only instances with these labels, as in kubectl
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub(super) selector: Option<String>,
    /// Only instances with these fields, as in kubectl
    #[arg(long, value_name = "SELECTOR")]
    pub(super) field_selector: Option<String>,
}

/// The form of a document.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct OutputArgs {
    /// The form of the output
    #[arg(short, long, value_name = "FORM", value_parser = FormParser::<Output>::new())]
    pub(super) output: Option<Output>,
}

/// The format of a followed operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamForm {
    /// A line per step.
    Text,
    /// A JSON document per line.
    Jsonl,
    /// Known only to be answered with a hint.
    Json,
}

impl ValueEnum for StreamForm {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Text, Self::Jsonl, Self::Json]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Text => PossibleValue::new("text").help("A line per step, for people"),
            Self::Jsonl => PossibleValue::new("jsonl").help("One JSON document per line"),
            Self::Json => PossibleValue::new("json").hide(true),
        })
    }
}

/// The format of what `apply` prints: a document, or a stream while it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApplyForm {
    /// A document.
    Document(Output),
    /// A stream, with --watch.
    Jsonl,
}

impl From<Output> for ApplyForm {
    fn from(output: Output) -> Self {
        Self::Document(output)
    }
}

impl ValueEnum for ApplyForm {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Document(Output::Text),
            Self::Document(Output::Wide),
            Self::Document(Output::Json),
            Self::Document(Output::Yaml),
            Self::Document(Output::Name),
            Self::Document(JSONPATH),
            Self::Jsonl,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Document(output) => output.to_possible_value(),
            Self::Jsonl => Some(PossibleValue::new("jsonl").help("One JSON document per line, with --watch")),
        }
    }
}

/// How a change is made.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Changing the cluster")]
pub(super) struct WriteArgs {
    /// Dry run, in the program or on the API server
    #[arg(long, value_name = "WHERE", value_enum, default_value_t)]
    pub(super) dry_run: DryRun,
    /// The field manager of the change
    #[arg(long, value_name = "NAME", default_value = crate::model::FIELD_MANAGER)]
    pub(super) field_manager: String,
    /// Do not prompt
    #[arg(short, long)]
    pub(super) yes: bool,
    /// The reason; stored with the change
    #[arg(long, value_name = "TEXT", value_parser = value::sentence)]
    pub(super) reason: Option<String>,
    /// Exit with 3 when nothing changed
    #[arg(long)]
    pub(super) error_unchanged: bool,
}

impl Default for WriteArgs {
    fn default() -> Self {
        Self {
            dry_run: DryRun::default(),
            field_manager: crate::model::FIELD_MANAGER.to_owned(),
            yes: false,
            reason: None,
            error_unchanged: false,
        }
    }
}

/// The checks that do not refuse.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Changing the cluster")]
pub(super) struct SkipArgs {
    /// Continue although this check refuses (repeatable)
    #[arg(long, value_name = "CHECK", value_parser = value::check_id)]
    pub(super) skip_check: Vec<String>,
}

/// How an operation is followed.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Following")]
#[expect(clippy::struct_excessive_bools, reason = "each is one flag of the command line")]
pub(super) struct FollowArgs {
    /// Limit of the follow (exit 5 when the operation still runs)
    #[arg(long, value_name = "DURATION", value_parser = value::limit)]
    pub(super) timeout: Option<Duration>,
    /// A few lines redrawn in place
    #[arg(long)]
    pub(super) inline: bool,
    /// The full screen, also after `apply`
    #[arg(long)]
    pub(super) full: bool,
    /// No changes from the full screen
    #[arg(long)]
    pub(super) read_only: bool,
    /// Leave the mouse to the terminal: text can be selected in the full screen
    #[arg(long)]
    pub(super) no_mouse: bool,
    /// Record everything that is received, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,
    #[command(flatten)]
    pub(super) keep: KeepArgs,
}

/// What is not written into the user's own state folder.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Following")]
pub(super) struct KeepArgs {
    /// Do not write the verdict into your own history
    #[arg(long)]
    pub(super) no_history: bool,
    /// Do not record a started operation for a later report
    #[arg(long)]
    pub(super) no_record: bool,
}

/// The limits at which an operation is stopped, and the command that is run with its events.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitArgs {
    /// Stop it when more clients are missing (exit 8)
    #[arg(long, value_name = "N|P%", value_parser = value::lost_limit, allow_hyphen_values = true)]
    pub(super) abort_if_lost: Option<LostLimit>,
    /// Stop it at this time: 06:00, or a date and time
    #[arg(long, value_name = "TIME", value_parser = value::not_after)]
    pub(super) not_after: Option<NotAfter>,
    /// Stop it when the number of clients changes by more
    #[arg(long, value_name = "P%", value_parser = value::percent, allow_hyphen_values = true)]
    pub(super) max_drift: Option<Percent>,
    /// Stop it when more clients per second connect to one node
    ///
    /// The rate of a rebalance that is worked out stays below it.
    #[arg(long, value_name = "N", value_parser = value::rate, allow_negative_numbers = true)]
    pub(super) max_reconnect_rate: Option<u64>,
    /// Run a command at the start, warnings and the verdict; stdin: the event as JSON
    #[arg(long, value_name = "COMMAND", value_parser = value::command)]
    pub(super) notify: Option<CommandLine>,
}

/// What is required of a rebalance: rates and thresholds follow from it.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Requirements (without --conn-evict-rate)")]
pub(super) struct RequirementArgs {
    /// The three requirements below at once
    ///
    /// careful 5 %, 2 h, 20/s; normal 5 %, 30 m, 50/s; fast 10 %, 10 m, 200/s.
    #[arg(long, value_name = "NAME", value_enum)]
    pub(super) preset: Option<Preset>,
    /// The largest deviation of a node from the mean at the end [default: 5%]
    #[arg(long, value_name = "P%", value_parser = value::spread, allow_hyphen_values = true)]
    pub(super) target_spread: Option<Percent>,
    /// The longest duration [default: 30m]
    #[arg(long, value_name = "DURATION", value_parser = value::limit)]
    pub(super) deadline: Option<Duration>,
    /// Print the command with every setting written out
    #[arg(long)]
    pub(super) show_command: bool,
}

/// How many clients reconnect; on what follows an operation it is one of the limits.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Requirements (without --conn-evict-rate)")]
pub(super) struct ReconnectArgs {
    /// The most clients that reconnect to one recipient in a second [default: 50]
    #[arg(long, value_name = "N", value_parser = value::rate, allow_negative_numbers = true)]
    pub(super) max_reconnect_rate: Option<u64>,
}

/// The way by which a rebalance is driven.
#[derive(Args, Clone, Debug)]
pub(super) struct BackendArgs {
    /// Through an object, or EMQX's API
    #[arg(long, value_name = "WAY", value_enum, default_value_t)]
    pub(super) backend: BackendRequest,
}

/// The nodes that take part.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NodesArgs {
    /// Only these EMQX nodes take part, by their own name or by their pod's; through EMQX's own API
    #[arg(long, value_name = "NODE,…", value_delimiter = ',', value_parser = value::target)]
    pub(super) nodes: Vec<String>,
}

/// What is asked of EMQX, by EMQX's own names and defaults.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Strategy")]
pub(super) struct StrategyArgs {
    /// Clients that a donor loses per second [default: worked out]
    ///
    /// With it, thresholds that are not given are EMQX's defaults.
    #[arg(long, value_name = "N", value_parser = value::rate, allow_negative_numbers = true)]
    pub(super) conn_evict_rate: Option<u64>,
    /// Sessions that a donor gives per second [default: 500]
    #[arg(long, value_name = "N", value_parser = value::rate, allow_negative_numbers = true)]
    pub(super) sess_evict_rate: Option<u64>,
    /// Wait for load balancers to remove the donors [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = value::wait, allow_negative_numbers = true)]
    pub(super) wait_health_check: Option<u64>,
    /// Wait for clients to take over their sessions [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = value::wait, allow_negative_numbers = true)]
    pub(super) wait_takeover: Option<u64>,
    /// Connections that donors may have more than recipients [default: worked out, or 1000]
    #[arg(long, value_name = "N", value_parser = value::absolute, allow_negative_numbers = true)]
    pub(super) abs_conn_threshold: Option<u64>,
    /// Factor that donors may be above recipients [default: worked out, or 1.1]
    #[arg(long, value_name = "FACTOR", value_parser = value::relative, allow_negative_numbers = true)]
    pub(super) rel_conn_threshold: Option<f64>,
    /// Sessions that donors may have more than recipients [default: worked out, or 1000]
    #[arg(long, value_name = "N", value_parser = value::absolute, allow_negative_numbers = true)]
    pub(super) abs_sess_threshold: Option<u64>,
    /// Factor that donors' sessions may be above recipients' [default: worked out, or 1.1]
    #[arg(long, value_name = "FACTOR", value_parser = value::relative, allow_negative_numbers = true)]
    pub(super) rel_sess_threshold: Option<f64>,
}
