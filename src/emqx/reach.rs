//! How to get to EMQX: through the API server to one of its pods, or straight to a URL; and with which key.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use hyper::Uri;
use tokio::net::TcpStream;

use super::http::{Connection, Lost};
use super::tls::{self, Trust};
use crate::error::{Cause, Problem};
use crate::model::{InstanceId, PodName, Target};
use crate::seam::{ApiKey, Bytes, Credentials, Later, Tunnel};

/// The way to EMQX.
#[derive(Clone)]
pub(super) enum Way {
    /// Port-forward, with the CA of `--emqx-ca` if there is one.
    Pods { tunnel: Rc<dyn Tunnel>, ca: Option<PathBuf>, insecure: bool },
    /// `--emqx-url`.
    Url { address: Address, ca: Option<PathBuf>, insecure: bool },
}

/// A URL reduced to what is needed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

impl Address {
    /// Reads `--emqx-url`: scheme, host and port, nothing behind.
    pub(super) fn parse(url: &str) -> Result<Self, Problem> {
        let wrong = |why: &str| {
            Problem::usage(format!("--emqx-url {url} cannot be used"), why)
                .hint("--emqx-url http://HOST:18083 (EMQX 4: port 8081)")
        };
        let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("it must begin with http:// or https://")),
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(wrong("a key does not belong into a URL; use --api-key-file"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("it must end after the port; /api/v5 or /api/v4 is found by asking"));
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it names no host"))?;
        let port = uri.port_u16().unwrap_or(if tls { 18084 } else { 18083 });
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

impl Way {
    /// Whether there is a way at all. Where there is none nothing is asked for, least of all a Secret.
    pub(super) fn passable(&self, target: &Target) -> Result<(), Lost> {
        match (self, &target.hidden) {
            (Self::Pods { .. }, Some(why)) => Err(Lost::Forbidden(why.clone())),
            (Self::Pods { .. }, None) if target.pods.is_empty() => Err(no_pod()),
            _ => Ok(()),
        }
    }

    /// Opens a connection; `pod` is the one to go through.
    pub(super) async fn open(
        &self,
        target: &Target,
        pod: Option<&PodName>,
        patience: Duration,
    ) -> Result<Connection, Lost> {
        let (bytes, host) = match tokio::time::timeout(patience, self.bytes(target, pod)).await {
            Ok(result) => result?,
            Err(_) => return Err(Lost::Unsent(format!("no connection within {} s", patience.as_secs_f64()))),
        };
        Connection::over(bytes, &host, patience).await
    }

    /// The bytes, and the name of the far side.
    async fn bytes(&self, target: &Target, pod: Option<&PodName>) -> Result<(Box<dyn Bytes>, String), Lost> {
        match self {
            Self::Pods { tunnel, ca, insecure } => {
                let pod = pod.ok_or_else(no_pod)?;
                let port = target.port;
                let opening = tunnel.open(&target.instance.namespace, pod, port.port).await;
                let mut bytes = opening.map_err(|problem| match problem.cause {
                    Cause::Forbidden => Lost::Forbidden(problem.to_string()),
                    Cause::Away => Lost::Away(problem.why),
                    // Which pod and port is told by whoever asks.
                    Cause::Other if problem.why.is_empty() => Lost::Unsent(problem.what),
                    Cause::Other => Lost::Unsent(problem.why),
                })?;
                if port.tls {
                    let trust = if ca.is_some() && !insecure { Trust::AnyName } else { Trust::Anything };
                    bytes = secure(trust, ca.as_deref(), "localhost", bytes).await?;
                }
                Ok((bytes, format!("localhost:{}", port.port)))
            }
            Self::Url { address, ca, insecure } => {
                let host = address.host.trim_start_matches('[').trim_end_matches(']');
                let stream = TcpStream::connect((host, address.port)).await.map_err(|error| {
                    Lost::Unsent(match error.kind() {
                        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
                        _ => error.to_string(),
                    })
                })?;
                let _ = stream.set_nodelay(true);
                let mut bytes: Box<dyn Bytes> = Box::new(stream);
                if address.tls {
                    let trust = if *insecure { Trust::Anything } else { Trust::Full };
                    bytes = secure(trust, ca.as_deref(), &address.host, bytes).await?;
                }
                Ok((bytes, format!("{}:{}", address.host, address.port)))
            }
        }
    }

    /// Where it leads, for messages.
    pub(super) fn name(&self, target: &Target, pod: Option<&PodName>) -> String {
        match (self, pod) {
            (Self::Url { address, .. }, _) => {
                let scheme = if address.tls { "https" } else { "http" };
                format!("EMQX at {scheme}://{}:{}", address.host, address.port)
            }
            (Self::Pods { .. }, Some(pod)) => {
                format!("EMQX in pod {}/{pod} (port {})", target.instance.namespace, target.port.port)
            }
            (Self::Pods { .. }, None) => target.instance.to_string(),
        }
    }
}

fn no_pod() -> Lost {
    Lost::Useless("it has no pod that could be asked".to_owned())
}

async fn secure(
    trust: Trust,
    ca: Option<&Path>,
    host: &str,
    bytes: Box<dyn Bytes>,
) -> Result<Box<dyn Bytes>, Lost> {
    let connector = tls::connector(trust, ca).map_err(|problem| Lost::Useless(problem.to_string()))?;
    tls::wrap(&connector, host, bytes).await.map_err(Lost::Unsent)
}

/// The key from `--api-key-file`: its first line is `key:secret`. Read when it is needed.
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// A file that is not read so far.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    #[allow(clippy::disallowed_methods, reason = "the user's own key file, read where it is needed")]
    fn read(&self) -> Result<ApiKey, Problem> {
        let what = format!("cannot use --api-key-file {}", self.path.display());
        let text =
            std::fs::read_to_string(&self.path).map_err(|error| Problem::new(&what, error.to_string()))?;
        let line = text.lines().next().unwrap_or_default().trim();
        match line.split_once(':') {
            Some((key, secret)) if !key.is_empty() && !secret.is_empty() => {
                Ok(ApiKey { key: key.to_owned(), secret: secret.to_owned() })
            }
            _ => Err(Problem::new(what, "its first line is not of the form key:secret")),
        }
    }
}

impl Credentials for KeyFile {
    fn key<'a>(&'a self, _instance: &'a InstanceId, _v4: bool) -> Later<'a, ApiKey> {
        Box::pin(std::future::ready(self.read()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_scheme_host_and_port() {
        let address = |host: &str, port, tls| Some(Address { host: host.to_owned(), port, tls });
        for (url, expected) in [
            ("http://emqx.mq:18083", address("emqx.mq", 18083, false)),
            ("https://emqx.mq", address("emqx.mq", 18084, true)),
            ("http://[::1]:8081/", address("[::1]", 8081, false)),
            ("emqx.mq:18083", None),
            ("http://key:secret@emqx.mq", None),
            ("http://emqx.mq/api/v5", None),
            ("mqtt://emqx.mq:1883", None),
            ("", None),
        ] {
            assert_eq!(Address::parse(url).ok(), expected, "{url}");
        }
    }
}
