//! The requests of `upgrade` and its subcommands.

use super::follow::{Follow, Then};
use super::selection::{Filter, InstanceName};
use super::write::WriteOptions;
use crate::model::form::Output;
use crate::model::image::Image;
use crate::model::limits::Limits;
use crate::model::upgrade::UpgradeRequest;

/// The subcommands of `upgrade`.
#[derive(Clone, Debug, PartialEq)]
pub enum Upgrade {
    /// `upgrade plan`.
    Plan(UpgradePlanArguments),
    /// `upgrade generate`.
    Generate(UpgradeGenerate),
    /// `upgrade apply`, and `upgrade` without a subcommand, which follows.
    Apply(UpgradeApply),
    /// `upgrade watch`.
    Watch(UpgradeWatch),
    /// `upgrade undo`.
    Undo(UpgradeUndo),
    /// `upgrade list`.
    List(UpgradeList),
}

/// `upgrade list`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpgradeList {
    /// The clusters to list.
    pub filter: Filter,
    /// The output format.
    pub output: Output,
}

/// `upgrade plan`.
#[derive(Clone, Debug, PartialEq)]
pub struct UpgradePlanArguments {
    /// The cluster to upgrade; `None` for the only one of the namespace.
    pub instance: Option<InstanceName>,
    /// The requested upgrade.
    pub ask: UpgradeRequest,
    /// Whether fields of other tools may be taken over.
    pub force: bool,
    /// The checks that do not refuse the upgrade.
    pub skip: Vec<String>,
    /// The output format.
    pub output: Output,
}

/// How the change is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChangeForm {
    /// The fields that change, for a server-side apply.
    #[default]
    Patch,
    /// The whole object with the change in it.
    Full,
    /// A kustomize component that holds the change.
    Kustomize,
}

/// `upgrade generate`.
#[derive(Clone, Debug, PartialEq)]
pub struct UpgradeGenerate {
    /// The cluster to upgrade; `None` for the only one of the namespace.
    pub instance: Option<InstanceName>,
    /// The requested upgrade.
    pub ask: UpgradeRequest,
    /// The form of the generated change.
    pub form: ChangeForm,
}

/// `upgrade apply`.
#[derive(Clone, Debug, PartialEq)]
pub struct UpgradeApply {
    /// The cluster to upgrade; `None` for the only one of the namespace.
    pub instance: Option<InstanceName>,
    /// The requested upgrade.
    pub ask: UpgradeRequest,
    /// Whether fields of other tools may be taken over.
    pub force: bool,
    /// How the change is made.
    pub write: WriteOptions,
    /// The checks that do not refuse the upgrade.
    pub skip: Vec<String>,
    /// The limits above which the upgrade is refused.
    pub limits: Limits,
    /// What the command does after the change.
    pub then: Then,
}

/// `upgrade watch`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpgradeWatch {
    /// The cluster whose upgrade is followed; `None` for the only one of the namespace.
    pub instance: Option<InstanceName>,
    /// The field manager under which a guarded upgrade is continued.
    pub field_manager: String,
    /// How the upgrade is followed.
    pub follow: Follow,
}

/// `upgrade undo`.
#[derive(Clone, Debug, PartialEq)]
pub struct UpgradeUndo {
    /// The cluster to roll back; `None` for the only one of the namespace.
    pub instance: Option<InstanceName>,
    /// The image to return to; `None` for the image of the newest other set.
    pub to: Option<Image>,
    /// Whether fields of other tools may be taken over.
    pub force: bool,
    /// How the change is made.
    pub write: WriteOptions,
    /// The checks that do not refuse the rollback.
    pub skip: Vec<String>,
    /// What the command does after the change.
    pub then: Then,
}
