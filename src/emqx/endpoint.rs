//! How to reach EMQX: through the API server to one of its pods, or directly at a URL; and with which key.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::http::{EmqxConnection, Lost};
use super::tls::{self, Trust};
use crate::error::{Cause, Problem};
use crate::model::{EmqxUrl, InstanceId, NodeName, PodName, Target};
use crate::ports::{ApiKey, BoxedFuture, Bytes, Credentials, Tunnel};
use user_files as files;

/// The way to reach EMQX.
#[derive(Clone)]
pub(super) enum EmqxEndpoint {
    /// Port-forward, with the CA of `--emqx-ca` if there is one.
    Pods { tunnel: Rc<dyn Tunnel>, ca: Option<PathBuf>, insecure: bool },
    /// `--emqx-url`: the addresses in the order in which they are tried; never empty.
    Url { addresses: Vec<EmqxUrl>, ca: Option<PathBuf>, insecure: bool },
}

/// The target of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// A pod, by port-forward.
    Pod(PodName),
    /// An address of `--emqx-url`.
    Address(EmqxUrl),
    /// There is no pod that could be asked.
    None,
}

impl EmqxEndpoint {
    /// Whether EMQX can be reached in principle. If not, nothing is requested, in particular no Secret.
    pub(super) fn passable(&self, target: &Target) -> Result<(), Lost> {
        match (self, &target.hidden) {
            (Self::Pods { .. }, Some(why)) => Err(Lost::Forbidden(why.clone())),
            (Self::Pods { .. }, None) if target.pods.is_empty() => Err(no_pod()),
            _ => Ok(()),
        }
    }

    /// The number of addresses or pods through which one request can be sent.
    pub(super) fn transports(&self, target: &Target) -> usize {
        match self {
            Self::Pods { .. } => target.pods.len(),
            Self::Url { addresses, .. } => addresses.len(),
        }
    }

    /// The pod or the address with this number; numbers start again after the last one.
    pub(super) fn transport(&self, target: &Target, number: usize) -> Transport {
        match self {
            Self::Pods { .. } if target.pods.is_empty() => Transport::None,
            Self::Pods { .. } => Transport::Pod(target.pods[number % target.pods.len()].clone()),
            Self::Url { addresses, .. } if addresses.is_empty() => Transport::None,
            Self::Url { addresses, .. } => Transport::Address(addresses[number % addresses.len()].clone()),
        }
    }

    /// Whether connections go through the API server to pods.
    pub(super) fn is_pods(&self) -> bool {
        matches!(self, Self::Pods { .. })
    }

    /// Whether the user gave this address.
    pub(super) fn gives(&self, address: &EmqxUrl) -> bool {
        matches!(self, Self::Url { addresses, .. } if addresses.contains(address))
    }

    /// The addresses at which a node may answer itself: those of the user, and the host in the node's name.
    pub(super) fn addresses_for(&self, node: &NodeName) -> Vec<EmqxUrl> {
        let Self::Url { addresses, .. } = self else { return Vec::new() };
        let mut all = addresses.clone();
        if let Some(first) = addresses.first() {
            let own = EmqxUrl { host: node.host().to_owned(), ..first.clone() };
            if node.as_str().contains('@') && !all.contains(&own) {
                all.push(own);
            }
        }
        all
    }

    /// Opens a connection through one pod or address.
    pub(super) async fn open(
        &self,
        target: &Target,
        transport: &Transport,
        time_limit: Duration,
    ) -> Result<EmqxConnection, Lost> {
        let (bytes, host) = match tokio::time::timeout(time_limit, self.bytes(target, transport)).await {
            Ok(result) => result?,
            Err(_) => {
                return Err(Lost::Unsent(format!("no connection within {} s", time_limit.as_secs_f64())));
            }
        };
        EmqxConnection::over(bytes, &host, time_limit).await
    }

    /// The stream of bytes, and the name of its target.
    async fn bytes(&self, target: &Target, transport: &Transport) -> Result<(Box<dyn Bytes>, String), Lost> {
        match (self, transport) {
            (Self::Pods { tunnel, ca, insecure }, Transport::Pod(pod)) => {
                let port = target.port;
                let opening = tunnel.open(&target.instance.namespace, pod, port.port).await;
                let mut bytes = opening.map_err(|problem| match problem.cause {
                    Cause::Forbidden => Lost::Forbidden(problem.to_string()),
                    Cause::Away => Lost::Away(problem.why),
                    // The caller adds the pod and the port.
                    _ if problem.why.is_empty() => Lost::Unsent(problem.what),
                    _ => Lost::Unsent(problem.why),
                })?;
                if port.tls {
                    let trust = if ca.is_some() && !insecure { Trust::AnyName } else { Trust::Anything };
                    bytes = secure(trust, ca.as_deref(), "localhost", bytes).await?;
                }
                Ok((bytes, format!("localhost:{}", port.port)))
            }
            (Self::Url { ca, insecure, .. }, Transport::Address(url)) => {
                let stream = TcpStream::connect((url.host.as_str(), url.port)).await.map_err(|error| {
                    Lost::Unsent(match error.kind() {
                        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
                        _ => error.to_string(),
                    })
                })?;
                let _ = stream.set_nodelay(true);
                let mut bytes: Box<dyn Bytes> = Box::new(stream);
                if url.tls {
                    let trust = if *insecure { Trust::Anything } else { Trust::Full };
                    bytes = secure(trust, ca.as_deref(), &url.host, bytes).await?;
                }
                Ok((bytes, url.authority()))
            }
            _ => Err(no_pod()),
        }
    }

    /// The name of a connection's target, for messages.
    pub(super) fn name(target: &Target, transport: &Transport) -> String {
        match transport {
            Transport::Address(url) => format!("EMQX at {url}"),
            Transport::Pod(pod) => {
                format!("EMQX in pod {}/{pod} (port {})", target.instance.namespace, target.port.port)
            }
            Transport::None => target.instance.to_string(),
        }
    }
}

fn no_pod() -> Lost {
    Lost::Useless("no pod of it is known that could be asked".to_owned())
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

/// The key from `--api-key-file`: its first line is `key:secret`.
pub struct KeyFile {
    path: PathBuf,
    /// The key that was read first: a pipe, such as `<(…)`, can be read only once.
    first: ApiKey,
}

impl KeyFile {
    /// Reads the file; a missing file, or one without a key, is an error.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Problem> {
        let path = path.into();
        let first = read_key(&path)?;
        Ok(Self { path, first })
    }
}

fn read_key(path: &Path) -> Result<ApiKey, Problem> {
    let what = format!("cannot use --api-key-file {}", path.display());
    let hint = "the file's first line is key:secret, as EMQX shows them under System, API Key";
    let text = files::read_text(path).map_err(|error| Problem::new(&what, error.to_string()).hint(hint))?;
    let line = text.lines().next().unwrap_or_default().trim();
    let Some((key, secret)) =
        line.split_once(':').filter(|(key, secret)| !key.is_empty() && !secret.is_empty())
    else {
        return Err(Problem::new(what, "its first line is not of the form key:secret").hint(hint));
    };
    if line.chars().any(char::is_control) {
        return Err(Problem::new(what, "its first line has control characters in it").hint(hint));
    }
    Ok(ApiKey { key: key.to_owned(), secret: secret.to_owned() })
}

impl Credentials for KeyFile {
    fn key<'a>(&'a self, _instance: &'a InstanceId, _v4: bool) -> BoxedFuture<'a, ApiKey> {
        // The file may have been replaced, as when a mounted Secret changes.
        let key = if self.path.is_file() { read_key(&self.path) } else { Ok(self.first.clone()) };
        Box::pin(std::future::ready(key))
    }
}

/// Problems with the way to EMQX that are known before a request: an error where a file cannot be used, else
/// warnings.
pub fn check_access(
    urls: &[EmqxUrl],
    key_file: Option<&Path>,
    ca: Option<&Path>,
) -> Result<Vec<String>, Problem> {
    if let Some(ca) = ca {
        tls::connector(Trust::Full, Some(ca))?;
    }
    let mut warnings = Vec::new();
    if let Some(path) = key_file.filter(|path| files::others_may_read(path)) {
        warnings.push(format!(
            "other users of this machine can read the key file {}: chmod 600 {0}",
            path.display()
        ));
    }
    let open: Vec<_> =
        urls.iter().filter(|url| !url.tls && !url.is_loopback()).map(EmqxUrl::to_string).collect();
    if !open.is_empty() {
        warnings.push(format!(
            "the key for EMQX's API is sent unencrypted to {}: use https:// where EMQX serves it",
            open.join(", ")
        ));
    }
    Ok(warnings)
}
