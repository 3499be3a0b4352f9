//! What can be wrong with a kubeconfig, and what to do about it.

use kube::config::{Cluster as NamedServer, Kubeconfig, KubeconfigError, LoadDataError};

use super::client::WHAT;
use crate::error::Problem;

/// Gives an address without a scheme the one that client-go would (`DefaultServerURL`), because kube panics without
/// one. Gives back an address that cannot be used.
pub(super) fn complete_url(server: &mut NamedServer) -> Option<String> {
    let url = server.server.as_mut()?;
    if !url.contains("://") {
        let secure = server.certificate_authority.is_some()
            || server.certificate_authority_data.is_some()
            || server.insecure_skip_tls_verify == Some(true);
        *url = format!("{}://{url}", if secure { "https" } else { "http" });
    }
    let parsed = url.parse::<hyper::Uri>().ok();
    let usable =
        parsed.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    (!usable).then(|| url.clone())
}

/// What a kubeconfig has names for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Contexts.
    Context,
    /// Clusters.
    Cluster,
    /// Users.
    User,
    /// The namespaces of contexts.
    Namespace,
}

/// The names of one sort that a kubeconfig has.
pub(super) fn names(kubeconfig: Kubeconfig, entry: Entry) -> Vec<String> {
    let Kubeconfig { contexts, clusters, auth_infos, .. } = kubeconfig;
    match entry {
        Entry::Context => contexts.into_iter().map(|it| it.name).collect(),
        Entry::Cluster => clusters.into_iter().map(|it| it.name).collect(),
        Entry::User => auth_infos.into_iter().map(|it| it.name).collect(),
        Entry::Namespace => contexts.into_iter().filter_map(|it| it.context?.namespace).collect(),
    }
}

fn context_names(kubeconfig: &Kubeconfig) -> String {
    let mut names: Vec<_> = kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect();
    names.sort_unstable();
    names.join(", ")
}

pub(super) fn unknown_context(name: &str, kubeconfig: &Kubeconfig, place: &str) -> Problem {
    let names = context_names(kubeconfig);
    let there = if names.is_empty() { "it has none".to_owned() } else { format!("it has {names}") };
    Problem::new(WHAT, format!("{place} has no context \"{name}\"; {there}"))
        .hint("kubectl config get-contexts")
}

pub(super) fn no_current_context(kubeconfig: &Kubeconfig, place: &str) -> Problem {
    let names = context_names(kubeconfig);
    Problem::new(WHAT, format!("{place} has no current context; it has {names}"))
        .hint("kubectl config use-context NAME, or --context NAME")
}

pub(super) fn explain(error: &KubeconfigError, place: &str) -> Problem {
    use std::io::ErrorKind;
    match error {
        KubeconfigError::ReadConfig(io, path) => {
            let why = match io.kind() {
                ErrorKind::NotFound => format!("the kubeconfig {} does not exist", path.display()),
                ErrorKind::PermissionDenied => format!("the kubeconfig {} may not be read", path.display()),
                _ => format!("the kubeconfig {} cannot be read: {io}", path.display()),
            };
            Problem::new(WHAT, why).hint("check --kubeconfig and KUBECONFIG")
        }
        KubeconfigError::Parse(error) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            Problem::new(WHAT, format!("the kubeconfig {place} is not valid: {line}"))
                .hint("kubectl config view reads it the same way")
        }
        KubeconfigError::MissingClusterUrl => {
            Problem::new(WHAT, format!("the kubeconfig {place} names no server for this cluster"))
                .hint("kubectl config set-cluster NAME --server=URL")
        }
        KubeconfigError::LoadCertificateAuthority(cause)
        | KubeconfigError::LoadClientCertificate(cause)
        | KubeconfigError::LoadClientKey(cause) => {
            let which = match error {
                KubeconfigError::LoadCertificateAuthority(_) => "certificate authority",
                KubeconfigError::LoadClientCertificate(_) => "client certificate",
                _ => "client key",
            };
            let why = match cause {
                LoadDataError::ReadFile(io, path) => {
                    format!("the {which} {} cannot be read: {io}", path.display())
                }
                LoadDataError::DecodeBase64(_) => format!("the {which} in the kubeconfig is not base64"),
                LoadDataError::NoBase64DataOrFile => format!("the kubeconfig has no {which}"),
            };
            Problem::new(WHAT, why).hint("check the kubeconfig and the flags for certificates")
        }
        other => Problem::new(WHAT, format!("the kubeconfig {place}: {other}")).hint("kubectl config view"),
    }
}
