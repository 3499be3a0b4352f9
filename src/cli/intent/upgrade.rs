//! The requests of `upgrade` and its subcommands.

use super::{Filter, Follow, InstanceName, Output, Then, WriteOptions};
use crate::model::image::Image;
use crate::model::limits::Limits;
use crate::model::upgrade::UpgradeRequest;

/// One of the subcommands.
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
    /// Of which clusters.
    pub filter: Filter,
    /// The form.
    pub output: Output,
}

/// `upgrade plan`.
#[derive(Clone, Debug, PartialEq)]
pub struct UpgradePlanArguments {
    /// Of which cluster; `None` for the only one of the namespace.
    pub instance: Option<InstanceName>,
    /// What is wanted.
    pub ask: UpgradeRequest,
    /// Whether fields of other tools may be taken over.
    pub force: bool,
    /// Checks that do not refuse it.
    pub skip: Vec<String>,
    /// The form.
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
    /// For which cluster.
    pub instance: Option<InstanceName>,
    /// What is wanted.
    pub ask: UpgradeRequest,
    /// The form.
    pub form: ChangeForm,
}

/// `upgrade apply`.
#[derive(Clone, Debug, PartialEq)]
pub struct UpgradeApply {
    /// Of which cluster.
    pub instance: Option<InstanceName>,
    /// What is wanted.
    pub ask: UpgradeRequest,
    /// Whether fields of other tools may be taken over.
    pub force: bool,
    /// How it is changed.
    pub write: WriteOptions,
    /// Checks that do not refuse it.
    pub skip: Vec<String>,
    /// The limits that refuse it.
    pub limits: Limits,
    /// What comes next.
    pub then: Then,
}

/// `upgrade watch`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpgradeWatch {
    /// Of which cluster.
    pub instance: Option<InstanceName>,
    /// As whom a guarded one is gone on with.
    pub field_manager: String,
    /// How.
    pub follow: Follow,
}

/// `upgrade undo`.
#[derive(Clone, Debug, PartialEq)]
pub struct UpgradeUndo {
    /// Of which cluster.
    pub instance: Option<InstanceName>,
    /// The image to go back to; `None` for that of the newest other set.
    pub to: Option<Image>,
    /// Whether fields of other tools may be taken over.
    pub force: bool,
    /// How it is changed.
    pub write: WriteOptions,
    /// Checks that do not refuse it.
    pub skip: Vec<String>,
    /// What comes next.
    pub then: Then,
}
