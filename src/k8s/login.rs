//! Credentials: the `Authorization` header of every request, from a token, a file, a password or a login
//! command (client-go's "exec credential plugin").

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use futures::future::BoxFuture;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tower::{BoxError, Service};

use super::kubeconfig::{Exec, User};
use crate::error::Problem;
use crate::timing::{LOGIN_OUTPUT_AFTER, TOKEN_FILE_AGE, TOKEN_RENEWAL};
use user_files as files;

/// Receives the bytes that a login command writes.
type Show = dyn Fn(&[u8]) + Send + Sync;

/// Shows what a login command writes on stderr: a device code, a warning.
#[derive(Clone)]
pub struct Relay(pub Arc<Show>);

impl Default for Relay {
    fn default() -> Self {
        Self(Arc::new(|_| {}))
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Relay")
    }
}

/// Why there are no credentials.
#[derive(Clone, Debug)]
pub(super) struct LoginError {
    pub(super) why: String,
    pub(super) hint: Option<String>,
}

impl LoginError {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), hint: None }
    }

    /// The problem for the user.
    pub(super) fn problem(self, what: &str) -> Problem {
        let hint = self.hint.unwrap_or_else(|| {
            "kubectl auth whoami; log in again, or choose another --context or --user".to_owned()
        });
        Problem::new(what, self.why).hint(hint)
    }
}

impl std::fmt::Display for LoginError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.why)
    }
}

impl std::error::Error for LoginError {}

/// The most bytes of a login command's output that are kept; an `ExecCredential` with a certificate has a few
/// thousand.
const MOST_OUTPUT: u64 = 1 << 20;

/// The source of credentials.
enum Source {
    None,
    Fixed(HeaderValue),
    File(PathBuf),
    Exec(Box<LoginCommand>),
}

/// A login command, ready to run.
pub(super) struct LoginCommand {
    pub(super) exec: Exec,
    /// The cluster, in the form of `provideClusterInfo`.
    pub(super) cluster: Value,
    /// Whether the user can be prompted: stdin is a terminal.
    pub(super) interactive: bool,
    /// Whether it must not print.
    pub(super) silent: bool,
    /// `--request-timeout`.
    pub(super) timeout: Option<Duration>,
    pub(super) relay: Relay,
}

/// The result of a login command.
#[derive(Clone, Default)]
pub(super) struct Credential {
    header: Option<HeaderValue>,
    /// A client certificate and its key, both PEM.
    pub(super) identity: Option<(String, String)>,
    expires: Option<Timestamp>,
}

/// The credentials of one connection.
pub(super) struct Login {
    source: Source,
    known: Mutex<Option<Credential>>,
    /// One run at a time: two runs of a login command could disturb each other.
    running: tokio::sync::Mutex<()>,
}

impl Login {
    /// Without credentials.
    pub(super) fn none() -> Arc<Self> {
        Self::of(Source::None, None)
    }

    fn of(source: Source, known: Option<Credential>) -> Arc<Self> {
        Arc::new(Self { source, known: Mutex::new(known), running: tokio::sync::Mutex::default() })
    }

    /// From a kubeconfig's user. A login command is run; its client certificate is returned.
    pub(super) async fn open(
        user: &User,
        exec: Option<LoginCommand>,
    ) -> Result<(Arc<Self>, Option<(String, String)>), LoginError> {
        if let Some(path) = &user.token_file {
            let token = read_token(path)?;
            let known = Credential {
                header: Some(bearer(&token)?),
                identity: None,
                expires: Timestamp::now().checked_add(TOKEN_FILE_AGE).ok(),
            };
            return Ok((Self::of(Source::File(path.into()), Some(known)), None));
        }
        if let Some(token) = &user.token {
            return Ok((Self::of(Source::Fixed(bearer(token)?), None), None));
        }
        if user.username.is_some() || user.password.is_some() {
            let (name, password) = (user.username.as_deref(), user.password.as_deref());
            let header = basic(name.unwrap_or_default(), password.unwrap_or_default());
            return Ok((Self::of(Source::Fixed(header), None), None));
        }
        let Some(command) = exec else { return Ok((Self::none(), None)) };
        let credential = command.run(command.interactive).await?;
        let identity = credential.identity.clone();
        Ok((Self::of(Source::Exec(Box::new(command)), Some(credential)), identity))
    }

    /// The header for a request; a token that expires soon is replaced.
    async fn header(&self) -> Result<Option<HeaderValue>, LoginError> {
        match &self.source {
            Source::None => return Ok(None),
            Source::Fixed(header) => return Ok(Some(header.clone())),
            Source::File(_) | Source::Exec(_) => {}
        }
        let _one = self.running.lock().await;
        let known = self.known.lock().map_or(None, |known| known.clone());
        let fresh = |credential: &Credential| {
            credential
                .expires
                .is_none_or(|expires| expires.duration_since(Timestamp::now()) > margin(&self.source))
        };
        if let Some(known) = known.as_ref().filter(|known| fresh(known)) {
            return Ok(known.header.clone());
        }
        let found = match &self.source {
            Source::File(path) => {
                let path = path.display().to_string();
                // If a file can no longer be read, the last token stays in use, as in client-go.
                match read_token(&path).and_then(|token| bearer(&token)) {
                    Ok(header) => Credential {
                        header: Some(header),
                        identity: None,
                        expires: Timestamp::now().checked_add(TOKEN_FILE_AGE).ok(),
                    },
                    Err(error) => known.ok_or(error)?,
                }
            }
            // The full screen may be active by now: no prompt.
            Source::Exec(command) => command.run(false).await?,
            Source::None | Source::Fixed(_) => return Ok(None),
        };
        let header = found.header.clone();
        if let Ok(mut known) = self.known.lock() {
            *known = Some(found);
        }
        Ok(header)
    }

    /// The API server refused the credentials: the login command runs again for the next request.
    fn refused(&self) {
        if matches!(self.source, Source::Exec(_) | Source::File(_))
            && let Ok(mut known) = self.known.lock()
        {
            *known = None;
        }
    }
}

fn margin(source: &Source) -> SignedDuration {
    if matches!(source, Source::Exec(_)) { TOKEN_RENEWAL } else { SignedDuration::ZERO }
}

fn read_token(path: &str) -> Result<String, LoginError> {
    let text = files::read_text(std::path::Path::new(path)).map_err(|error| {
        LoginError::new(Problem::new("", format!("the token file {path} cannot be read: {error}")).why)
    })?;
    let token = text.trim();
    if token.is_empty() {
        return Err(LoginError::new(format!("the token file {path} is empty")));
    }
    Ok(token.to_owned())
}

fn bearer(token: &str) -> Result<HeaderValue, LoginError> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| LoginError {
        why: "the token cannot be sent: it has a line break or another control character in it".to_owned(),
        hint: Some(
            "write the token without a line break at its end (in YAML: token: TEXT, not token: |)".to_owned(),
        ),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// HTTP's basic authentication: any name and password is allowed.
pub(super) fn basic(name: &str, password: &str) -> HeaderValue {
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {encoded}"))
        .unwrap_or_else(|_| HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

impl LoginCommand {
    /// Runs the command and reads its `ExecCredential`.
    async fn run(&self, interactive: bool) -> Result<Credential, LoginError> {
        let name = self.exec.command.clone();
        let api_version = self.exec.api_version.clone();
        let mut spec = json!({ "interactive": interactive });
        if self.exec.provide_cluster_info {
            spec["cluster"] = self.cluster.clone();
        }
        let info = json!({ "kind": "ExecCredential", "apiVersion": api_version, "spec": spec });
        let mut command = tokio::process::Command::new(&name);
        command.args(&self.exec.args).envs(self.exec.env.iter().cloned());
        command.env("KUBERNETES_EXEC_INFO", info.to_string());
        command.stdout(Stdio::piped()).kill_on_drop(true);
        // With a user at the terminal the command prompts there, as with kubectl.
        let shared = interactive && !self.silent;
        command.stdin(if shared { Stdio::inherit() } else { Stdio::null() });
        command.stderr(if shared { Stdio::inherit() } else { Stdio::piped() });
        let mut child = command.spawn().map_err(|error| self.cannot_start(&error))?;
        let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
        let mut shown = Vec::new();
        let mut relayed = 0;
        let outcome = {
            let out = async {
                let mut bytes = Vec::new();
                if let Some(pipe) = stdout.as_mut() {
                    pipe.take(MOST_OUTPUT).read_to_end(&mut bytes).await?;
                }
                std::io::Result::Ok(bytes)
            };
            let err = async {
                let begun = tokio::time::Instant::now();
                let Some(pipe) = stderr.as_mut() else { return };
                let mut buffer = [0; 4096];
                loop {
                    let left = LOGIN_OUTPUT_AFTER.saturating_sub(begun.elapsed());
                    let waited = if relayed < shown.len() {
                        tokio::time::timeout(left, pipe.read(&mut buffer)).await
                    } else {
                        Ok(pipe.read(&mut buffer).await)
                    };
                    match waited {
                        Ok(Ok(length @ 1..)) if (shown.len() as u64) < MOST_OUTPUT => {
                            shown.extend_from_slice(&buffer[..length]);
                            if begun.elapsed() < LOGIN_OUTPUT_AFTER {
                                continue;
                            }
                        }
                        Ok(Ok(1..)) => continue,
                        Ok(_) => return,
                        Err(_) => {}
                    }
                    if !self.silent {
                        (self.relay.0)(&shown[relayed..]);
                        relayed = shown.len();
                    }
                }
            };
            let whole = async {
                let ((), out) = futures::join!(err, out);
                let status = child.wait().await?;
                std::io::Result::Ok((status, out?))
            };
            match self.timeout {
                Some(limit) => tokio::time::timeout(limit, whole).await.map_err(|_| limit),
                None => Ok(whole.await),
            }
        };
        let text = String::from_utf8_lossy(&shown).into_owned();
        let (status, out) = match outcome {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => return Err(self.cannot_start(&error)),
            Err(limit) => {
                let _ = child.start_kill();
                self.relay_output(&shown[relayed..]);
                return Err(LoginError {
                    why: format!(
                        "the login command {name} of the kubeconfig did not end within {} s (--request-timeout)",
                        limit.as_secs_f64()
                    ),
                    hint: Some("log in first, or give a longer --request-timeout".to_owned()),
                });
            }
        };
        if !status.success() {
            return Err(self.failed(status, &text, &shown[relayed..]));
        }
        self.relay_output(&shown[relayed..]);
        credential(&out, &api_version).map_err(|why| {
            LoginError::new(format!("the login command {name} of the kubeconfig gave no credentials: {why}"))
        })
    }

    fn relay_output(&self, bytes: &[u8]) {
        if !self.silent && !bytes.is_empty() {
            (self.relay.0)(bytes);
        }
    }

    /// Shows all that the command wrote; the error repeats its last line.
    fn failed(&self, status: ExitStatus, text: &str, unshown: &[u8]) -> LoginError {
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.len() > 1 {
            self.relay_output(unshown);
        }
        let last = lines.last().map(|line| format!(": {line}")).unwrap_or_default();
        // Arguments and environment are omitted: they may contain secrets.
        LoginError {
            why: format!(
                "the login command {} of the kubeconfig failed with {status}{last}",
                self.exec.command
            ),
            hint: Some(
                "log in again as the message describes; kubectl auth whoami runs the same command".to_owned(),
            ),
        }
    }

    fn cannot_start(&self, error: &std::io::Error) -> LoginError {
        let name = &self.exec.command;
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!("the login command {name} of the kubeconfig was not found")
            }
            _ => {
                Problem::new(
                    "",
                    format!("the login command {name} of the kubeconfig cannot be started: {error}"),
                )
                .why
            }
        };
        let hint = self.exec.install_hint.as_deref().map(str::trim).filter(|hint| !hint.is_empty());
        LoginError {
            why,
            hint: Some(hint.map_or_else(
                || format!("install {name}, or put its folder on the PATH"),
                |hint| hint.split_whitespace().collect::<Vec<_>>().join(" "),
            )),
        }
    }
}

/// Reads an `ExecCredential`, which may be YAML as well as JSON.
fn credential(out: &[u8], api_version: &str) -> Result<Credential, String> {
    let text = files::text(out).map_err(|error| error.to_string())?;
    if text.trim().is_empty() {
        return Err("it wrote nothing on stdout".to_owned());
    }
    let value: Value =
        serde_yaml::from_str(&text).map_err(|_| "what it wrote on stdout is no ExecCredential".to_owned())?;
    if value["kind"] != "ExecCredential" {
        return Err("what it wrote on stdout is no ExecCredential".to_owned());
    }
    match value["apiVersion"].as_str() {
        Some(found) if found != api_version => {
            return Err(format!("it answered in {found}, the kubeconfig asks for {api_version}"));
        }
        _ => {}
    }
    let status = &value["status"];
    let word = |key: &str| status[key].as_str().filter(|word| !word.is_empty());
    let header = word("token").map(|token| bearer(token.trim())).transpose().map_err(|error| error.why)?;
    let identity = match (word("clientCertificateData"), word("clientKeyData")) {
        (Some(certificate), Some(key)) => Some((certificate.to_owned(), key.to_owned())),
        (None, None) => None,
        _ => return Err("it gave a certificate without a key, or a key without a certificate".to_owned()),
    };
    if header.is_none() && identity.is_none() {
        return Err("it gave neither a token nor a certificate".to_owned());
    }
    let expires = match word("expirationTimestamp") {
        Some(text) => Some(text.parse().map_err(|_| "its expirationTimestamp is no time".to_owned())?),
        None => None,
    };
    Ok(Credential { header, identity, expires })
}

/// Adds the header to every request.
#[derive(Clone)]
pub(super) struct Authorized<S> {
    pub(super) inner: S,
    pub(super) login: Arc<Login>,
}

impl<S, B> Service<Request<Body>> for Authorized<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let login = self.login.clone();
        // The service that is ready must be the one that is called.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            if let Some(header) = login.header().await? {
                request.headers_mut().insert(AUTHORIZATION, header);
            }
            let response = inner.call(request).await.map_err(Into::into)?;
            if response.status() == StatusCode::UNAUTHORIZED {
                login.refused();
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exec_credential_is_read_as_json_and_as_yaml() {
        const V1: &str = "client.authentication.k8s.io/v1";
        let read = |text: &str| credential(text.as_bytes(), V1);
        let good = read(&format!(
            r#"{{"kind":"ExecCredential","apiVersion":"{V1}","status":{{"token":"t\n","expirationTimestamp":"2030-01-01T00:00:00Z"}}}}"#
        ));
        let good = good.unwrap_or_default();
        assert_eq!(good.header.map(|header| header.as_bytes().to_vec()), Some(b"Bearer t".to_vec()));
        assert!(good.expires.is_some());
        assert!(read(&format!("kind: ExecCredential\napiVersion: {V1}\nstatus: {{token: t}}\n")).is_ok());
        for (text, expected) in [
            ("", "nothing"),
            ("not json {", "no ExecCredential"),
            ("{}", "no ExecCredential"),
            ("[1]", "no ExecCredential"),
            (r#"{"kind":"ExecCredential","apiVersion":"x/v1"}"#, "answered in x/v1"),
            (r#"{"kind":"ExecCredential","status":{}}"#, "neither a token nor"),
            (r#"{"kind":"ExecCredential","status":{"token":"a\nb"}}"#, "line break"),
            (r#"{"kind":"ExecCredential","status":{"clientKeyData":"k"}}"#, "without a"),
            (r#"{"kind":"ExecCredential","status":{"token":"t","expirationTimestamp":"soon"}}"#, "no time"),
        ] {
            let why = read(text).err().unwrap_or_default();
            assert!(why.contains(expected), "{text}: {why}");
        }
    }

    #[test]
    fn a_token_that_is_no_legal_header_is_an_error() {
        for token in ["a\nb", "a\r", "\u{0}", "\u{7f}"] {
            assert!(bearer(token).is_err(), "{token:?}");
        }
        assert!(bearer("größe").is_ok());
    }

    const GIVEN: &str = r#"{"kind":"ExecCredential","apiVersion":"v","status":{"token":"t","expirationTimestamp":"2099-01-01T00:00:00Z","clientCertificateData":"c","clientKeyData":"k"}}"#;

    #[test]
    fn a_credential_is_read_and_anything_else_is_refused() {
        let given = credential(GIVEN.as_bytes(), "v").map_err(|_| ()).expect("a credential");
        assert!(given.header.is_some() && given.identity.is_some() && given.expires.is_some());
        for text in [
            "",
            "null",
            "[]",
            "{}",
            "kind: ExecCredential",
            "\u{0}",
            "kind: ExecCredential\nstatus: {token: ''}",
        ] {
            assert!(credential(text.as_bytes(), "v").is_err(), "{text}");
        }
        let wrong = GIVEN.replace("2099-01-01T00:00:00Z", "tomorrow");
        assert!(credential(wrong.as_bytes(), "v").is_err());
    }

    proptest::proptest! {
        /// Budget: 256 cases of any text put into a credential.
        #[test]
        fn no_output_of_a_login_helper_makes_it_panic(at in 0..GIVEN.len(), text in "[\\PC\\n{}\":,]{0,12}", cut in 0..40_usize) {
            let mut given = GIVEN.to_owned();
            given.replace_range(at..(at + cut).min(GIVEN.len()), &text);
            let _ = credential(given.as_bytes(), "v");
            let _ = credential(text.as_bytes(), "v");
            let _ = bearer(&text);
            let _ = basic(&text, &text);
        }
    }
}
