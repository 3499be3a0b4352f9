//! How the API server and EMQX are reached, as the user requested it.

use std::path::PathBuf;
use std::time::Duration;

use super::url::EmqxUrl;

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
