//! The requests of `completion`, and those of a shell that completes a word.

use std::path::PathBuf;

/// `completion install`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompletionInstall {
    /// The folder of the completion script; `None` for the folder of the program.
    pub folder: Option<PathBuf>,
    /// Whether a file of another origin is overwritten.
    pub force: bool,
}

/// A shell that can complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// The GNU shell.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
    /// PowerShell, on Windows and elsewhere.
    #[value(alias = "pwsh")]
    Powershell,
}

/// A word that could be completed to, for the shell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The completed word.
    pub value: String,
    /// A description; may be empty.
    pub about: String,
}

impl Candidate {
    /// A candidate with its description.
    pub(crate) fn new(value: impl Into<String>, about: impl Into<String>) -> Self {
        Self { value: value.into(), about: about.into() }
    }
}

/// The candidates of a word (`cli::complete`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completing {
    /// The beginning that was typed.
    pub word: String,
    /// Candidates that need no look-up.
    pub candidates: Vec<Candidate>,
    /// The kind of names that would also fit.
    pub names: Option<Names>,
    /// Whether file names would also fit.
    pub files: bool,
}

/// Kinds of names that are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// The cluster's namespaces.
    Namespaces,
    /// The kubeconfig's contexts.
    Contexts,
    /// The kubeconfig's clusters.
    Clusters,
    /// The kubeconfig's users.
    Users,
    /// The EMQX clusters in the namespace.
    Instances,
    /// The Rebalances, and the EMQX nodes that coordinate a rebalance without an object.
    Operations,
    /// The EMQX nodes, by their pods.
    Nodes,
    /// The images that EMQX clusters in the namespace run or ran.
    Images,
    /// The scenarios of the demo.
    Scenarios,
}
