//! A kubeconfig: reading it, what can be wrong with it, and what to do about it.

use std::path::{Path, PathBuf};

use kube::config::{Cluster as NamedServer, Kubeconfig, KubeconfigError, LoadDataError};
use serde::Deserialize;
use serde_json::Value;

use super::client::WHAT;
use crate::error::Problem;

/// Reads a kubeconfig: all its documents, merged, and every file that it names relative to it, as kubectl does. kube's own
/// reader would bring a second YAML parser's reading of it into the program, 230 kB.
pub(super) fn read(path: &Path) -> Result<Kubeconfig, Problem> {
    let place = path.display().to_string();
    #[allow(clippy::disallowed_methods, reason = "kubectl's own file, read where it is used")]
    let bytes = std::fs::read(path)
        .map_err(|error| explain(&KubeconfigError::ReadConfig(error, path.to_owned()), &place))?;
    let text = decode(&bytes).ok_or_else(|| invalid(&place, "it is not UTF-8"))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut merged = Kubeconfig::default();
    for document in serde_yaml::Deserializer::from_str(text.trim_start_matches('\u{feff}')) {
        let mut value = Value::deserialize(document).map_err(|error| invalid(&place, &error.to_string()))?;
        if value.is_null() {
            continue;
        }
        resolve(&mut value, folder);
        let config =
            serde_json::from_value(value).map_err(|error| invalid(&place, &without_value(&error)))?;
        merged = merged.merge(config).map_err(|error| explain(&error, &place))?;
    }
    Ok(merged)
}

/// Text as UTF-8, or as UTF-16 with its mark, as PowerShell writes it.
fn decode(bytes: &[u8]) -> Option<String> {
    let wide = |bytes: &[u8], of: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| of([pair[0], pair[1]])).collect();
        String::from_utf16(&units).ok()
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => std::str::from_utf8(bytes).ok().map(str::to_owned),
    }
}

/// Makes relative paths absolute. A login command is one only with a separator in it; else it is looked for on the PATH.
fn resolve(config: &mut Value, folder: &Path) {
    let absolute = |of: &mut Value, field: &str| {
        let path = of.get(field).and_then(Value::as_str).filter(|path| !path.is_empty()).map(PathBuf::from);
        if let Some(path) = path.filter(|path| path.is_relative()) {
            of[field] = folder.join(path).display().to_string().into();
        }
    };
    let each = |config: &mut Value, list: &str, what: &str, change: &dyn Fn(&mut Value)| {
        let items = config.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        items.filter_map(|item| item.get_mut(what)).for_each(change);
    };
    each(config, "clusters", "cluster", &|cluster| absolute(cluster, "certificate-authority"));
    each(config, "users", "user", &|user| {
        for field in ["client-certificate", "client-key", "tokenFile"] {
            absolute(user, field);
        }
        if let Some(exec) = user.get_mut("exec") {
            let command = exec.get("command").and_then(Value::as_str);
            if command.is_some_and(|command| command.contains(std::path::MAIN_SEPARATOR)) {
                absolute(exec, "command");
            }
        }
    });
}

fn invalid(place: &str, why: &str) -> Problem {
    Problem::new(WHAT, format!("the kubeconfig {place} is not valid: {why}"))
        .hint("kubectl config view reads it the same way")
}

/// What is wrong, without the value itself: it may be a token.
fn without_value(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(", expected ") {
        Some((_, wanted)) => format!("a value in it should be {wanted}"),
        None => text,
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "clusters:\n- name: one\n  cluster: {server: 'https://one', certificate-authority: pki/ca.crt}\n\
        users:\n- name: me\n  user:\n    client-certificate: /etc/me.crt\n    client-key: me.key\n    tokenFile: token\n    \
        exec: {command: bin/login, apiVersion: client.authentication.k8s.io/v1}\n\
        ---\nusers:\n- {name: me, user: {token: lost}}\n- {name: you, user: {exec: {command: aws}}}\n---\n";

    fn read_as(name: &str, bytes: &[u8]) -> Result<Kubeconfig, Problem> {
        let folder = std::env::temp_dir().join(format!("kubectl-emqx-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("config");
        std::fs::write(&path, bytes).expect("it is written");
        let result = read(&path);
        std::fs::remove_dir_all(&folder).expect("it is removed");
        result
    }

    #[test]
    fn documents_are_merged_and_files_found_beside_it() {
        let config = read_as("documents", TEXT.as_bytes()).expect("it is valid");
        let folder = std::env::temp_dir().join(format!("kubectl-emqx-documents-{}", std::process::id()));
        let beside = |file: &str| Some(folder.join(file).display().to_string());
        let cluster = config.clusters[0].cluster.as_ref().expect("a cluster");
        assert_eq!(cluster.certificate_authority, beside("pki/ca.crt"));
        let users: Vec<&str> = config.auth_infos.iter().map(|user| user.name.as_str()).collect();
        assert_eq!(users, ["me", "you"]);
        let [me, you] = [0, 1].map(|place| config.auth_infos[place].auth_info.as_ref().expect("a user"));
        assert_eq!(
            (&me.client_certificate, &me.client_key),
            (&Some("/etc/me.crt".into()), &beside("me.key"))
        );
        assert_eq!(me.token_file, beside("token"));
        assert!(me.token.is_none(), "the first of a name counts");
        let command =
            |user: &kube::config::AuthInfo| user.exec.as_ref().and_then(|exec| exec.command.clone());
        assert_eq!((command(me), command(you)), (beside("bin/login"), Some("aws".to_owned())));
    }

    #[test]
    fn files_of_windows_are_read_too() {
        let text = "clusters:\n- {name: one, cluster: {server: 'https://one'}}\n";
        let units = |of: fn(u16) -> [u8; 2]| {
            "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(of).collect()
        };
        let files: [Vec<u8>; 3] =
            [units(u16::to_le_bytes), units(u16::to_be_bytes), format!("\u{feff}{text}").into_bytes()];
        for (place, bytes) in files.iter().enumerate() {
            let config = read_as(&format!("windows-{place}"), bytes).expect("it is valid");
            assert_eq!(config.clusters[0].name, "one");
        }
        assert!(read_as("latin", b"clusters: \xe4").expect_err("no text").why.contains("not UTF-8"));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        let why = read_as("token", b"users: [{name: me, user: {token: 4711}}]").expect_err("no string").why;
        assert!(why.contains("a value in it should be a") && !why.contains("4711"), "{why}");
        let why = read_as("nameless", b"users: [{user: {}}]").expect_err("no name").why;
        assert!(why.contains("missing field `name`"), "{why}");
    }
}
