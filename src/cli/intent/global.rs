//! The options that every command shares.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::EmqxUrl;
use crate::model::form::Look;

/// The options that every command shares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Global {
    /// The API server, the user and the namespace.
    pub connect: KubernetesFlags,
    /// How EMQX is reached.
    pub emqx: EmqxAccess,
    /// The use of colour and the output style.
    pub look: Look,
    /// The level and destination of the log.
    pub log: Log,
    /// The user's own state folder; `None` if it is neither written nor read.
    pub folder: Option<PathBuf>,
    /// Whether started operations are recorded in the folder.
    pub records: bool,
}

/// kubectl's own flags, as given. Absent values come from the kubeconfig.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubernetesFlags {
    /// `--namespace`.
    pub namespace: Option<String>,
    /// `--context`.
    pub context: Option<String>,
    /// `--cluster`.
    pub cluster: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// `--server`.
    pub server: Option<String>,
    /// `--token`; the one secret that is taken from a flag, because kubectl does.
    pub token: Option<Secret>,
    /// `--as`.
    pub impersonate: Option<String>,
    /// `--as-group`, repeated.
    pub impersonate_groups: Vec<String>,
    /// `--certificate-authority`.
    pub certificate_authority: Option<PathBuf>,
    /// `--client-certificate`.
    pub client_certificate: Option<PathBuf>,
    /// `--client-key`.
    pub client_key: Option<PathBuf>,
    /// `--tls-server-name`.
    pub tls_server_name: Option<String>,
    /// `--insecure-skip-tls-verify`.
    pub insecure: bool,
    /// `--request-timeout`; `None` is no limit, as kubectl's `0`.
    pub request_timeout: Option<Duration>,
    /// Whether a login command must not prompt or print, as during completion.
    pub silent: bool,
}

/// A text that must not reach a log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("(secret)")
    }
}

/// How EMQX's API is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmqxAccess {
    /// The given URLs, in the order in which they are tried; empty means a port-forward to a pod.
    pub urls: Vec<EmqxUrl>,
    /// A file with `key:secret`; `None` for the operator's Secret.
    pub key_file: Option<PathBuf>,
    /// A CA to trust in addition to the system's.
    pub ca: Option<PathBuf>,
    /// Whether certificates are not verified.
    pub insecure: bool,
}

/// The level and destination of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The lowest level that is logged; `None` logs nothing.
    pub level: Option<Level>,
    /// The log file; `None` for stderr.
    pub file: Option<PathBuf>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Level {
    /// Errors only.
    Error,
    /// Also warnings.
    Warn,
    /// Also the actions of the program.
    Info,
    /// Also requests and their results.
    Debug,
    /// Also every step within a request.
    Trace,
}
