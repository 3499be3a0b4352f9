//! A kubeconfig, read as leniently as kubectl reads it. An empty string is "not set", an unused entry may be
//! broken, and an error in a used entry is explained.

mod entry;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::Problem;
use entry::{Fields, decode_base64, extension};
use user_files as files;

pub(super) use entry::{ClusterEntry, Context, Exec, User, WHAT};

/// A kubeconfig, or several merged ones: the first entry of a name counts. Entries are checked when they are
/// used.
#[derive(Clone, Debug, Default)]
pub(super) struct Kubeconfig {
    pub(super) contexts: Vec<(String, Value)>,
    pub(super) clusters: Vec<(String, Value)>,
    pub(super) users: Vec<(String, Value)>,
    pub(super) current: Option<String>,
}

impl Kubeconfig {
    /// Adds the entries of another kubeconfig whose names this one does not have.
    pub(super) fn merge(&mut self, other: Self) {
        let add = |mine: &mut Vec<(String, Value)>, theirs: Vec<(String, Value)>| {
            for (name, value) in theirs {
                if !mine.iter().any(|(known, _)| *known == name) {
                    mine.push((name, value));
                }
            }
        };
        add(&mut self.contexts, other.contexts);
        add(&mut self.clusters, other.clusters);
        add(&mut self.users, other.users);
        self.current = self.current.take().or(other.current);
    }

    pub(super) fn context(&self, name: &str) -> Option<Result<Context, Problem>> {
        find(&self.contexts, name).map(|value| {
            let mut fields = Fields::of("context", name, value);
            let context = Context {
                cluster: fields.text("cluster"),
                user: fields.text("user"),
                namespace: fields.text("namespace"),
            };
            fields.end(context)
        })
    }

    pub(super) fn cluster(&self, name: &str) -> Option<Result<ClusterEntry, Problem>> {
        find(&self.clusters, name).map(|value| {
            let mut fields = Fields::of("cluster", name, value);
            let cluster = ClusterEntry {
                server: fields.text("server"),
                ca_file: fields.text("certificate-authority"),
                ca_data: fields.text("certificate-authority-data"),
                insecure: fields.flag("insecure-skip-tls-verify"),
                tls_server_name: fields.text("tls-server-name"),
                proxy: fields.text("proxy-url"),
                exec_config: extension(value),
            };
            fields.end(cluster)
        })
    }

    pub(super) fn user(&self, name: &str) -> Option<Result<User, Problem>> {
        find(&self.users, name).map(|value| {
            let mut fields = Fields::of("user", name, value);
            let user = User {
                username: fields.text("username"),
                password: fields.text("password"),
                token: fields.text("token"),
                token_file: fields.text("tokenFile"),
                certificate_file: fields.text("client-certificate"),
                certificate_data: fields.text("client-certificate-data"),
                key_file: fields.text("client-key"),
                key_data: fields.text("client-key-data"),
                impersonate: fields.text("as"),
                impersonate_uid: fields.text("as-uid"),
                impersonate_groups: fields.list("as-groups"),
                impersonate_extra: fields.lists("as-user-extra"),
                exec: value.get("exec").filter(|exec| !exec.is_null()).map(|exec| fields.exec(exec)),
                provider: value.get("auth-provider").filter(|it| !it.is_null()).cloned(),
            };
            fields.end(user)
        })
    }
}

fn find<'a>(list: &'a [(String, Value)], name: &str) -> Option<&'a Value> {
    list.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// Reads a kubeconfig: merges its documents, and resolves every file relative to it, as kubectl does.
pub(super) fn read(path: &Path) -> Result<Kubeconfig, Problem> {
    use std::io::ErrorKind;
    let place = path.display().to_string();
    let text = files::read_text(path).map_err(|error| {
        let why = match error.kind() {
            ErrorKind::NotFound => format!("the kubeconfig {place} does not exist"),
            ErrorKind::PermissionDenied => format!("the kubeconfig {place} may not be read"),
            _ => format!("the kubeconfig {place} cannot be read: {error}"),
        };
        Problem::new(WHAT, why).hint("check --kubeconfig and KUBECONFIG")
    })?;
    parse(&text, &place, path.parent().unwrap_or(Path::new("")))
}

fn parse(text: &str, place: &str, folder: &Path) -> Result<Kubeconfig, Problem> {
    let mut merged = Kubeconfig::default();
    for document in serde_yaml::Deserializer::from_str(text) {
        let mut value = serde_yaml::Value::deserialize(document)
            .map_err(|error| invalid(place, &where_only(&error.to_string())))?;
        value.apply_merge().map_err(|error| invalid(place, &error.to_string()))?;
        let value = plain(value);
        match value {
            Value::Null => {}
            Value::Object(fields) => merged.merge(entries(&fields, place, folder)?),
            _ => return Err(invalid(place, "it is not a map")),
        }
    }
    Ok(merged)
}

/// YAML as JSON: tags are dropped, keys become texts, numbers that JSON does not have become null.
fn plain(value: serde_yaml::Value) -> Value {
    use serde_yaml::Value as Yaml;
    match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(flag) => Value::Bool(flag),
        Yaml::Number(number) => number
            .as_i64()
            .map(Value::from)
            .or_else(|| number.as_u64().map(Value::from))
            .unwrap_or_else(|| json!(number.as_f64())),
        Yaml::String(text) => Value::String(text),
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(plain).collect()),
        Yaml::Mapping(fields) => Value::Object(
            fields
                .into_iter()
                .filter_map(|(key, value)| Some((key.as_str()?.to_owned(), plain(value))))
                .collect(),
        ),
        Yaml::Tagged(tagged) => match (tagged.tag.to_string().contains("binary"), plain(tagged.value)) {
            (true, Value::String(text)) => {
                let decoded = decode_base64(text.as_bytes()).and_then(|bytes| String::from_utf8(bytes).ok());
                Value::String(decoded.unwrap_or(text))
            }
            (_, value) => value,
        },
    }
}

fn entries(fields: &Map<String, Value>, place: &str, folder: &Path) -> Result<Kubeconfig, Problem> {
    let list = |key: &str, inner: &str| -> Result<Vec<(String, Value)>, Problem> {
        let items = match fields.get(key) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(invalid(place, &format!("{key} should be a list"))),
        };
        let name = |item: &Value| item["name"].as_str().unwrap_or_default().to_owned();
        let mut all: Vec<(String, Value)> = Vec::new();
        for item in items {
            let name = name(item);
            if !all.iter().any(|(known, _)| *known == name) {
                let mut value = item.get(inner).cloned().unwrap_or(Value::Null);
                resolve(inner, &mut value, folder);
                all.push((name, value));
            }
        }
        Ok(all)
    };
    let current = fields.get("current-context").and_then(Value::as_str);
    Ok(Kubeconfig {
        contexts: list("contexts", "context")?,
        clusters: list("clusters", "cluster")?,
        users: list("users", "user")?,
        current: current.filter(|name| !name.is_empty()).map(str::to_owned),
    })
}

/// Makes relative paths absolute. A login command is a path only if it contains a separator; otherwise it is
/// searched on the PATH.
fn resolve(kind: &str, value: &mut Value, folder: &Path) {
    let absolute = |of: &mut Value, field: &str| {
        let path = of.get(field).and_then(Value::as_str).filter(|path| !path.is_empty()).map(PathBuf::from);
        if let Some(path) = path.filter(|path| path.is_relative()) {
            of[field] = folder.join(path).display().to_string().into();
        }
    };
    match kind {
        "cluster" => absolute(value, "certificate-authority"),
        "user" => {
            for field in ["client-certificate", "client-key", "tokenFile"] {
                absolute(value, field);
            }
            if let Some(exec) = value.get_mut("exec") {
                let command = exec.get("command").and_then(Value::as_str);
                if command.is_some_and(|command| command.contains(std::path::MAIN_SEPARATOR)) {
                    absolute(exec, "command");
                }
            }
        }
        _ => {}
    }
}

fn invalid(place: &str, why: &str) -> Problem {
    Problem::new(WHAT, format!("the kubeconfig {place} is not valid: {why}"))
        .hint("kubectl config view reads it the same way")
}

/// The position in the message of a YAML parser, without pieces of the text: they may be a secret.
fn where_only(error: &str) -> String {
    match error.rsplit_once(" at line ") {
        Some((_, place)) => {
            let place: String =
                place.chars().take_while(|it| it.is_ascii_alphanumeric() || *it == ' ').collect();
            format!("it is not YAML (line {})", place.trim())
        }
        None => "it is not YAML".to_owned(),
    }
}

/// The kinds of names in a kubeconfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KubeconfigEntry {
    Context,
    Cluster,
    User,
    /// The namespaces of contexts.
    Namespace,
}

/// The names of this kind in a kubeconfig.
pub(super) fn names(kubeconfig: Kubeconfig, entry: KubeconfigEntry) -> Vec<String> {
    let only = |list: Vec<(String, Value)>| list.into_iter().map(|(name, _)| name).collect();
    match entry {
        KubeconfigEntry::Context => only(kubeconfig.contexts),
        KubeconfigEntry::Cluster => only(kubeconfig.clusters),
        KubeconfigEntry::User => only(kubeconfig.users),
        KubeconfigEntry::Namespace => {
            let namespace = |(_, value): (String, Value)| value["namespace"].as_str().map(str::to_owned);
            kubeconfig.contexts.into_iter().filter_map(namespace).filter(|name| !name.is_empty()).collect()
        }
    }
}

fn context_names(kubeconfig: &Kubeconfig) -> String {
    let mut names: Vec<_> = kubeconfig.contexts.iter().map(|(name, _)| name.as_str()).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "clusters:\n- name: one\n  cluster: {server: 'https://one', certificate-authority: pki/ca.crt}\n\
        users:\n- name: me\n  user:\n    client-certificate: /etc/me.crt\n    client-key: me.key\n    tokenFile: token\n    \
        exec: {command: bin/login, apiVersion: client.authentication.k8s.io/v1}\n\
        ---\nusers:\n- {name: me, user: {token: lost}}\n- {name: you, user: {exec: {command: aws, apiVersion: v}}}\n---\n";

    fn parsed(text: &str) -> Kubeconfig {
        parse(text, "config", Path::new("/home/me/.kube")).expect("it is valid")
    }

    #[test]
    fn documents_are_merged_and_files_found_beside_the_kubeconfig() {
        let config = parsed(TEXT);
        let cluster = config.cluster("one").expect("known").expect("valid");
        assert_eq!(cluster.ca_file.as_deref(), Some("/home/me/.kube/pki/ca.crt"));
        assert_eq!(names(config.clone(), KubeconfigEntry::User), ["me", "you"]);
        let [me, you] = ["me", "you"].map(|name| config.user(name).expect("known").expect("valid"));
        assert_eq!(
            (me.certificate_file.as_deref(), me.key_file.as_deref()),
            (Some("/etc/me.crt"), Some("/home/me/.kube/me.key"))
        );
        assert_eq!(me.token_file.as_deref(), Some("/home/me/.kube/token"));
        assert!(me.token.is_none(), "the first of a name counts");
        let command = |user: &User| user.exec.as_ref().map(|exec| exec.command.clone());
        assert_eq!(
            (command(&me).as_deref(), command(&you).as_deref()),
            (Some("/home/me/.kube/bin/login"), Some("aws"))
        );
    }

    #[test]
    fn an_empty_string_is_not_set_and_an_unused_broken_entry_does_not_matter() {
        let config = parsed(
            "current-context: ''\ncontexts:\n- {name: x, context: {cluster: c, user: u, namespace: ''}}\n- {context: {}}\n\
             - {name: half, context: {user: 7}}\nclusters:\n- {name: c, cluster: {server: s, tls-server-name: ''}}\n- 5\n\
             users:\n- {name: u, user: {token: t, client-key: '', tokenFile: ''}}\n- {name: bad, user: {token: 4711}}\n\
             - {name: mode, user: {exec: {command: x, apiVersion: v, interactiveMode: Sometimes}}}\n",
        );
        assert!(config.current.is_none());
        assert!(config.context("x").expect("known").expect("valid").namespace.is_none());
        assert!(config.cluster("c").expect("known").expect("valid").tls_server_name.is_none());
        let user = config.user("u").expect("known").expect("valid");
        assert!(user.key_file.is_none() && user.token_file.is_none() && user.token.is_some());
        let why = config.user("bad").expect("known").err().expect("a number").why;
        assert!(why.contains("token should be a text") && !why.contains("4711"), "{why}");
        assert!(config.user("mode").expect("known").is_err());
        assert!(config.context("half").expect("known").is_err());
    }

    #[test]
    fn merge_keys_wrapped_and_binary_base64_are_read() {
        let config = parsed(
            "x: &c {certificate-authority-data: LS0tLS1B}\nclusters:\n- {name: c, cluster: {<<: *c, server: s}}\n\
             - name: w\n  cluster:\n    certificate-authority-data: |\n      LS0t\n      LS1B\n\
             - name: b\n  cluster:\n    certificate-authority-data: !!binary |\n      TFMw\n      dExTMUI=\n",
        );
        for name in ["c", "w", "b"] {
            let cluster = config.cluster(name).expect("known").expect("valid");
            assert_eq!(cluster.ca().expect("valid"), Some(b"-----A".to_vec()), "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_without_the_secret() {
        for text in ["users: {name: hunter2}", "hunter2", "users: [{name: me, user: {token: 'hunter2}}]"] {
            let why = parse(text, "config", Path::new("")).expect_err("not valid").why;
            assert!(why.contains("is not valid") && !why.contains("hunter2"), "{why}");
        }
    }
}
