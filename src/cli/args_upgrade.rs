//! The subcommands of `upgrade` and their flags.

use clap::builder::PossibleValue;
use clap::{Args, Subcommand, ValueEnum};

use super::forms::FormParser;
use super::groups::{
    ApplyForm, FollowArgs, LimitArgs, OutputArgs, SelectArgs, SkipArgs, StreamForm, WriteArgs,
};
use super::help;
use super::intent::InstanceName;
use super::intent::upgrade::ChangeForm;
use super::value;
use crate::model::image::Image;

/// `upgrade`.
#[derive(Args, Clone, Debug)]
pub(super) struct UpgradeArgs {
    #[command(flatten)]
    pub(super) bare: UpgradeApplyArgs,
    #[command(subcommand)]
    pub(super) verb: Option<UpgradeVerbArgs>,
}

/// The subcommands of `upgrade`.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum UpgradeVerbArgs {
    /// Show what an upgrade would do, and why; writes nothing
    ///
    /// The order of the pods, the duration of each step and of the whole, the resources that it needs, and the findings.
    /// Exit 0 when it would run or there is nothing to do, 6 when a check refuses it.
    #[command(verbatim_doc_comment, after_help = help::UPGRADE_PLAN)]
    Plan(UpgradePlanArgs),
    /// Print the change, for a repository
    ///
    /// The fields that `upgrade apply` would write: as a patch, as the whole object, or as a kustomize component.
    #[command(verbatim_doc_comment, after_help = help::UPGRADE_GENERATE)]
    Generate(UpgradeGenerateArgs),
    /// Check, plan, confirm, change the image
    ///
    /// Prints the plan to stderr, prompts, checks again, and changes the object by one server-side apply of only the
    /// fields that change. On EmqxEnterprise v1beta4 it is guarded: old pods are retained until they are empty.
    #[command(verbatim_doc_comment, after_help = help::UPGRADE_APPLY)]
    Apply(Box<UpgradeApplyArgs>),
    /// Follow an upgrade to its verdict; continue a guarded upgrade
    ///
    /// The verdict depends on pods, sets and what happens to clients, not only on the operator's status. A guarded upgrade
    /// that was interrupted continues at the same step. On a terminal a few lines are redrawn in place (--full: the
    /// full-screen view), otherwise a line is printed per change. Ctrl-C leaves the upgrade as it is.
    #[command(verbatim_doc_comment, after_help = help::UPGRADE_WATCH)]
    Watch(UpgradeWatchArgs),
    /// Roll back to the previous image, and follow the rollback
    ///
    /// Prints how long the rollback takes, and how long the upgrade would still take. Refused where no rollback is known to
    /// work.
    #[command(verbatim_doc_comment, after_help = help::UPGRADE_UNDO)]
    Undo(UpgradeUndoArgs),
    /// List running and past upgrades, with recorded verdicts
    ///
    /// A past upgrade has the verdict that its follower recorded, in the ConfigMap of the instance or in your own history.
    #[command(verbatim_doc_comment, after_help = help::UPGRADE_LIST)]
    List(UpgradeListArgs),
}

/// `upgrade list`.
#[derive(Args, Clone, Debug)]
pub(super) struct UpgradeListArgs {
    #[command(flatten)]
    pub(super) select: SelectArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// What is wanted.
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are bools")]
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Upgrade")]
pub(super) struct ChangeArgs {
    /// The new image
    #[arg(long, value_name = "IMAGE", value_parser = value::image)]
    pub(super) image: Option<Image>,
    /// The new version, where the object has it in a field of its own (v1beta4)
    #[arg(long, value_name = "VERSION", value_parser = value::version)]
    pub(super) version: Option<String>,
    /// A second set of pods; the first set is evacuated and removed
    #[arg(long)]
    pub(super) blue_green: bool,
    /// Pod by pod, in place
    #[arg(long)]
    pub(super) rolling: bool,
    /// Leave it to the operator of v1beta4, which disconnects the clients
    #[arg(long)]
    pub(super) unguarded: bool,
    /// Evacuate old pods one after another, not together (v1beta4)
    #[arg(long)]
    pub(super) one_by_one: bool,
    /// Clients that are disconnected per second [default: the object's]
    #[arg(long, value_name = "N", value_parser = value::rate, allow_negative_numbers = true)]
    pub(super) conn_evict_rate: Option<u64>,
    /// Sessions that are moved per second [default: the object's]
    #[arg(long, value_name = "N", value_parser = value::rate, allow_negative_numbers = true)]
    pub(super) sess_evict_rate: Option<u64>,
    /// Wait for clients to take over their sessions [default: the object's]
    #[arg(long, value_name = "DURATION", value_parser = value::wait, allow_negative_numbers = true)]
    pub(super) wait_takeover: Option<u64>,
    /// Wait for load balancers to notice (v2) [default: the object's]
    #[arg(long, value_name = "DURATION", value_parser = value::wait, allow_negative_numbers = true)]
    pub(super) wait_health_check: Option<u64>,
}

/// Whose fields may be taken over.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Changing the cluster")]
pub(super) struct ForceArgs {
    /// Take over fields that another tool manages
    #[arg(long)]
    pub(super) force_conflicts: bool,
}

/// `upgrade plan`.
#[derive(Args, Clone, Debug)]
pub(super) struct UpgradePlanArgs {
    /// The EMQX or EmqxEnterprise; may be left out when the namespace holds one
    #[arg(value_parser = value::instance)]
    pub(super) name: Option<InstanceName>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
    #[command(flatten)]
    pub(super) force: ForceArgs,
    #[command(flatten)]
    pub(super) skip: SkipArgs,
}

impl ValueEnum for ChangeForm {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Patch, Self::Full, Self::Kustomize]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Patch => {
                PossibleValue::new("patch").help("The fields that change, for kubectl apply --server-side")
            }
            Self::Full => PossibleValue::new("full").help("The whole object with the change in it"),
            Self::Kustomize => {
                PossibleValue::new("kustomize").help("A kustomize component that holds the change")
            }
        })
    }
}

/// `upgrade generate`.
#[derive(Args, Clone, Debug)]
pub(super) struct UpgradeGenerateArgs {
    /// The EMQX or EmqxEnterprise; may be left out when the namespace holds one
    #[arg(value_parser = value::instance)]
    pub(super) name: Option<InstanceName>,
    /// The form of the output
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    pub(super) output: ChangeForm,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

/// `upgrade apply`, and `upgrade` itself.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(super) struct UpgradeApplyArgs {
    /// The EMQX or EmqxEnterprise; may be left out when the namespace holds one
    #[arg(value_parser = value::instance)]
    pub(super) name: Option<InstanceName>,
    /// Follow it to its verdict
    #[arg(short, long)]
    pub(super) watch: bool,
    /// The form of the output
    #[arg(short, long, value_name = "FORM", value_parser = FormParser::<ApplyForm>::new())]
    pub(super) output: Option<ApplyForm>,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
    #[command(flatten)]
    pub(super) force: ForceArgs,
    #[command(flatten)]
    pub(super) write: WriteArgs,
    #[command(flatten)]
    pub(super) skip: SkipArgs,
    #[command(flatten)]
    pub(super) follow: FollowArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

/// `upgrade watch`.
#[derive(Args, Clone, Debug)]
pub(super) struct UpgradeWatchArgs {
    /// The EMQX or EmqxEnterprise; may be left out when the namespace holds one
    #[arg(value_parser = value::instance)]
    pub(super) name: Option<InstanceName>,
    /// The form of the output
    #[arg(short, long, value_name = "FORM", value_enum)]
    pub(super) output: Option<StreamForm>,
    /// Accepted for compatibility with kubectl; no effect
    #[arg(short, long, hide = true)]
    pub(super) watch: bool,
    /// The field manager of the changes, when a guarded upgrade continues
    #[arg(long, value_name = "NAME", default_value = crate::model::FIELD_MANAGER)]
    pub(super) field_manager: String,
    #[command(flatten)]
    pub(super) follow: FollowArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

/// `upgrade undo`.
#[derive(Args, Clone, Debug)]
pub(super) struct UpgradeUndoArgs {
    /// The EMQX or EmqxEnterprise; may be left out when the namespace holds one
    #[arg(value_parser = value::instance)]
    pub(super) name: Option<InstanceName>,
    /// The image to roll back to [default: that of the newest other set]
    #[arg(long, value_name = "IMAGE", value_parser = value::image)]
    pub(super) to: Option<Image>,
    /// The form of the output
    #[arg(short, long, value_name = "FORM", value_enum)]
    pub(super) output: Option<StreamForm>,
    /// Accepted for compatibility with kubectl; no effect
    #[arg(short, long, hide = true)]
    pub(super) watch: bool,
    #[command(flatten)]
    pub(super) force: ForceArgs,
    #[command(flatten)]
    pub(super) write: WriteArgs,
    #[command(flatten)]
    pub(super) skip: SkipArgs,
    #[command(flatten)]
    pub(super) follow: FollowArgs,
}
