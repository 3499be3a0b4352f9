//! The entries of a kubeconfig, with their fields as kubectl reads them.

use std::path::Path;

use base64::Engine as _;
use serde_json::{Map, Value};

use crate::error::Problem;
use user_files as files;

/// The beginning of every problem of connecting.
pub(in crate::k8s) const WHAT: &str = "cannot connect to a cluster";

/// The configuration that a cluster holds for login commands (`client.authentication.k8s.io/exec`).
pub(super) fn extension(cluster: &Value) -> Value {
    let all = cluster["extensions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = all.iter().find(|it| it["name"] == "client.authentication.k8s.io/exec");
    ours.map_or(Value::Null, |it| it["extension"].clone())
}

#[derive(Clone, Debug, Default)]
pub(in crate::k8s) struct Context {
    pub(in crate::k8s) cluster: Option<String>,
    pub(in crate::k8s) user: Option<String>,
    pub(in crate::k8s) namespace: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(in crate::k8s) struct ClusterEntry {
    pub(in crate::k8s) server: Option<String>,
    pub(in crate::k8s) ca_file: Option<String>,
    pub(in crate::k8s) ca_data: Option<String>,
    pub(in crate::k8s) insecure: bool,
    pub(in crate::k8s) tls_server_name: Option<String>,
    pub(in crate::k8s) proxy: Option<String>,
    pub(in crate::k8s) exec_config: Value,
}

impl ClusterEntry {
    /// The CA's PEM text; with `None` the system's roots are used.
    pub(in crate::k8s) fn ca(&self) -> Result<Option<Vec<u8>>, Problem> {
        pem("certificate authority", self.ca_data.as_deref(), self.ca_file.as_deref())
    }

    /// The data about the cluster that a login command gets (`provideClusterInfo`).
    pub(in crate::k8s) fn info(&self, ca: Option<&[u8]>) -> Value {
        let mut info = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                info.insert(key.to_owned(), value);
            }
        };
        put("server", self.server.clone().map(Value::from));
        put("tls-server-name", self.tls_server_name.clone().map(Value::from));
        put("insecure-skip-tls-verify", self.insecure.then_some(Value::Bool(true)));
        let ca = ca.map(|ca| base64::engine::general_purpose::STANDARD.encode(ca).into());
        put("certificate-authority-data", ca);
        put("proxy-url", self.proxy.clone().map(Value::from));
        put("config", Some(self.exec_config.clone()).filter(|config| !config.is_null()));
        Value::Object(info)
    }
}

#[derive(Clone, Default)]
pub(in crate::k8s) struct User {
    pub(in crate::k8s) username: Option<String>,
    pub(in crate::k8s) password: Option<String>,
    pub(in crate::k8s) token: Option<String>,
    pub(in crate::k8s) token_file: Option<String>,
    pub(in crate::k8s) certificate_file: Option<String>,
    pub(in crate::k8s) certificate_data: Option<String>,
    pub(in crate::k8s) key_file: Option<String>,
    pub(in crate::k8s) key_data: Option<String>,
    pub(in crate::k8s) impersonate: Option<String>,
    pub(in crate::k8s) impersonate_uid: Option<String>,
    pub(in crate::k8s) impersonate_groups: Vec<String>,
    pub(in crate::k8s) impersonate_extra: Vec<(String, Vec<String>)>,
    pub(in crate::k8s) exec: Option<Exec>,
    pub(in crate::k8s) provider: Option<Value>,
}

/// A client certificate and its key, both PEM.
type Identity = (Vec<u8>, Vec<u8>);

impl User {
    /// The client certificate and its key, where there are any.
    pub(in crate::k8s) fn identity(&self) -> Result<Option<Identity>, Problem> {
        let certificate =
            pem("client certificate", self.certificate_data.as_deref(), self.certificate_file.as_deref())?;
        let key = pem("client key", self.key_data.as_deref(), self.key_file.as_deref())?;
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(lacks("client certificate", "client key")),
            (None, Some(_)) => Err(lacks("client key", "client certificate")),
        }
    }

    /// Whether there are credentials that must not be sent unencrypted.
    pub(in crate::k8s) fn has_credentials(&self) -> bool {
        self.token.is_some()
            || self.token_file.is_some()
            || self.password.is_some()
            || self.exec.is_some()
            || self.provider.is_some()
            || self.certificate_file.is_some()
            || self.certificate_data.is_some()
    }
}

fn lacks(one: &str, other: &str) -> Problem {
    Problem::new(WHAT, format!("the kubeconfig has a {one} without a {other}"))
        .hint("check the kubeconfig and the flags for certificates")
}

/// A login command.
#[derive(Clone, Default)]
pub(in crate::k8s) struct Exec {
    pub(in crate::k8s) command: String,
    pub(in crate::k8s) api_version: String,
    pub(in crate::k8s) args: Vec<String>,
    pub(in crate::k8s) env: Vec<(String, String)>,
    pub(in crate::k8s) install_hint: Option<String>,
    pub(in crate::k8s) interactive_mode: Option<String>,
    pub(in crate::k8s) provide_cluster_info: bool,
}

/// The fields of an entry; the first field of another type is an error, without its value: it may be a
/// secret.
pub(super) struct Fields<'a> {
    kind: &'static str,
    name: &'a str,
    value: &'a Value,
    wrong: Option<String>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(kind: &'static str, name: &'a str, value: &'a Value) -> Self {
        Self { kind, name, value, wrong: None }
    }

    pub(super) fn end<T>(self, entry: T) -> Result<T, Problem> {
        match self.wrong {
            None => Ok(entry),
            Some(wrong) => Err(Problem::new(
                WHAT,
                format!("the {} \"{}\" of the kubeconfig is not valid: {wrong}", self.kind, self.name),
            )
            .hint("kubectl config view reads it the same way")),
        }
    }

    fn text_of(&mut self, of: &Value, key: &str) -> Option<String> {
        match &of[key] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            _ => {
                self.wrong.get_or_insert_with(|| format!("{key} should be a text"));
                None
            }
        }
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.text_of(self.value, key)
    }

    fn flag_of(&mut self, of: &Value, key: &str) -> bool {
        match &of[key] {
            Value::Null => false,
            Value::Bool(flag) => *flag,
            _ => {
                self.wrong.get_or_insert_with(|| format!("{key} should be true or false"));
                false
            }
        }
    }

    pub(super) fn flag(&mut self, key: &str) -> bool {
        self.flag_of(self.value, key)
    }

    fn list_of(&mut self, of: &Value, key: &str) -> Vec<String> {
        let texts = match &of[key] {
            Value::Null => return Vec::new(),
            Value::Array(items) => {
                items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        texts.unwrap_or_else(|| {
            self.wrong.get_or_insert_with(|| format!("{key} should be a list of texts"));
            Vec::new()
        })
    }

    pub(super) fn list(&mut self, key: &str) -> Vec<String> {
        self.list_of(self.value, key)
    }

    pub(super) fn lists(&mut self, key: &str) -> Vec<(String, Vec<String>)> {
        match &self.value[key] {
            Value::Null => Vec::new(),
            Value::Object(fields) => {
                let names: Vec<String> = fields.keys().cloned().collect();
                let of = self.value[key].clone();
                names.into_iter().map(|name| (name.clone(), self.list_of(&of, &name))).collect()
            }
            _ => {
                self.wrong.get_or_insert_with(|| format!("{key} should be a map of lists"));
                Vec::new()
            }
        }
    }

    pub(super) fn exec(&mut self, exec: &Value) -> Exec {
        let mut env = Vec::new();
        for pair in exec["env"].as_array().map(Vec::as_slice).unwrap_or_default() {
            if let Some(name) = self.text_of(pair, "name") {
                let value = self.text_of(pair, "value").unwrap_or_default();
                if !name.contains(['=', '\0']) && !value.contains('\0') {
                    env.push((name, value));
                }
            }
        }
        let command = self.text_of(exec, "command").unwrap_or_else(|| {
            self.wrong.get_or_insert_with(|| "exec has no command".to_owned());
            String::new()
        });
        let api_version = self.text_of(exec, "apiVersion").unwrap_or_else(|| {
            self.wrong.get_or_insert_with(|| "exec has no apiVersion".to_owned());
            String::new()
        });
        let interactive_mode = self.text_of(exec, "interactiveMode");
        if let Some(mode) = &interactive_mode
            && !["Never", "IfAvailable", "Always"].contains(&mode.as_str())
        {
            self.wrong
                .get_or_insert_with(|| "interactiveMode should be Never, IfAvailable or Always".to_owned());
        }
        Exec {
            command,
            api_version,
            args: self.list_of(exec, "args"),
            env,
            install_hint: self.text_of(exec, "installHint"),
            interactive_mode,
            provide_cluster_info: self.flag_of(exec, "provideClusterInfo"),
        }
    }
}

/// PEM from a base64 field, else from a file. `None` when neither is set.
fn pem(which: &str, data: Option<&str>, file: Option<&str>) -> Result<Option<Vec<u8>>, Problem> {
    let wrong =
        |why: String| Problem::new(WHAT, why).hint("check the kubeconfig and the flags for certificates");
    if let Some(data) = data {
        let bytes = decode_base64(data.as_bytes())
            .ok_or_else(|| wrong(format!("the {which} in the kubeconfig is not base64")))?;
        // A YAML parser that does not decode `!!binary` leaves two layers of base64.
        let bytes = match decode_base64(&bytes) {
            Some(inner) if !bytes.starts_with(b"-----") && inner.starts_with(b"-----") => inner,
            _ => bytes,
        };
        return Ok(Some(bytes));
    }
    let Some(path) = file else { return Ok(None) };
    let text = files::read_text(Path::new(path))
        .map_err(|error| wrong(format!("the {which} {path} cannot be read: {error}")))?;
    Ok(Some(text.into_bytes()))
}

/// Base64 with any white space in it, and with or without padding.
pub(super) fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> =
        text.iter().copied().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=').collect();
    base64::engine::general_purpose::STANDARD_NO_PAD.decode(text).ok()
}
