//! The transport to the API server: TLS, proxies, and the headers of authentication.

use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use kube::Client;
use kube::client::ConfigExt;
use kube::config::Config;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::ClientConfig;
use tower::Layer;

use super::connection::{ApiConnector, HttpTransport};
use super::kubeconfig::{ClusterEntry, User, WHAT};
use super::login::{Authorized, Login, basic};
use super::proxy::Proxy;
use crate::error::Problem;
use crate::tls::{self, Trust};

pub(super) struct ConnectionSettings {
    /// The address, without user information.
    pub(super) server: hyper::Uri,
    pub(super) context: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) cluster: ClusterEntry,
    pub(super) user: User,
    /// The text before the `@` of the address.
    pub(super) userinfo: Option<String>,
    pub(super) proxy: Option<Proxy>,
}

/// Whose certificates are accepted where the kubeconfig has no certificate authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepted {
    Any,
    Roots,
    /// No connection uses TLS, so that the system's certificates are not read.
    None,
}

pub(super) fn trust_of(settings: &ConnectionSettings) -> Accepted {
    let proxied = settings.proxy.as_ref().is_some_and(|proxy| proxy.scheme() == "https");
    if settings.cluster.insecure {
        Accepted::Any
    } else if proxied || settings.server.scheme_str() == Some("https") {
        Accepted::Roots
    } else {
        Accepted::None
    }
}

/// The TLS configuration for the API server.
pub(super) fn tls_config(
    ca: Option<&[u8]>,
    accepted: Accepted,
    identity: Option<(Vec<u8>, Vec<u8>)>,
) -> Result<ClientConfig, Problem> {
    let wrong = |why: String| {
        Problem::new(WHAT, format!("the certificates of the kubeconfig cannot be used: {why}"))
            .hint("kubectl auth whoami; check the kubeconfig and the flags for certificates")
    };
    let roots = match ca {
        _ if accepted == Accepted::Any => Vec::new(),
        Some(pem) => {
            let found = CertificateDer::pem_slice_iter(pem)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| wrong(format!("the certificate authority: {error}")))?;
            if found.is_empty() {
                return Err(wrong("the certificate authority holds no certificate".to_owned()));
            }
            found
        }
        None if accepted == Accepted::None => Vec::new(),
        None => rustls_native_certs::load_native_certs().certs,
    };
    let trust = if accepted == Accepted::Any { Trust::Anything } else { Trust::Full };
    let builder = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(tls::verifier(trust, roots));
    let Some((certificate, key)) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = CertificateDer::pem_slice_iter(&certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(format!("the client certificate: {error}")))?;
    if chain.is_empty() {
        return Err(wrong("the client certificate holds no certificate".to_owned()));
    }
    let key =
        PrivateKeyDer::from_pem_slice(&key).map_err(|error| wrong(format!("the client key: {error}")))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| wrong(error.to_string()))
}

/// Which versions of HTTP are offered in the TLS handshake.
#[derive(Clone, Copy)]
pub(super) enum Offer {
    /// HTTP/2 and HTTP/1.1.
    Both,
    Http1,
}

/// TLS over a connector; `name` is the name that the certificate must have instead of the host's.
pub(super) fn secured<C>(
    config: &ClientConfig,
    name: Option<&ServerName<'static>>,
    offer: Offer,
    inner: C,
) -> HttpsConnector<C> {
    let mut builder = HttpsConnectorBuilder::new().with_tls_config(config.clone()).https_or_http();
    if let Some(name) = name {
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name.clone()));
    }
    match offer {
        Offer::Both => builder.enable_all_versions().wrap_connector(inner),
        Offer::Http1 => builder.enable_http1().wrap_connector(inner),
    }
}

/// The streams to the API server: a TCP connection, through a proxy where one is set, and TLS. As kube's
/// `ClientBuilder`, which accepts no other verifier and offers HTTP/1.1 only.
pub(super) fn transport(
    settings: &ConnectionSettings,
    config: &ClientConfig,
    time_limit: Duration,
) -> Result<HttpTransport, Problem> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let name = settings.cluster.tls_server_name.clone().map(ServerName::try_from).transpose();
    let name = name.map_err(|_| {
        Problem::new(WHAT, "the tls-server-name is no name of a host").hint("check --tls-server-name")
    })?;
    let connector = |offer: Offer| {
        let (name, tcp) = (name.as_ref(), tcp.clone());
        let Some(proxy) = &settings.proxy else {
            return ApiConnector::new(secured(config, name, offer, tcp), time_limit);
        };
        match proxy.scheme() {
            "socks5" | "socks5h" => {
                let mut socks = SocksV5::new(proxy.url.clone(), tcp);
                if let Some(userinfo) = &proxy.userinfo {
                    let (name, password) = name_and_password(userinfo);
                    socks = socks.with_auth(name, password);
                }
                ApiConnector::new(secured(config, name, offer, socks), time_limit)
            }
            "https" => {
                let inner = secured(config, None, Offer::Http1, tcp);
                let tunnel = authorised(Tunnel::new(proxy.url.clone(), inner), proxy);
                ApiConnector::new(secured(config, name, offer, tunnel), time_limit)
            }
            _ => {
                let tunnel = authorised(Tunnel::new(proxy.url.clone(), tcp), proxy);
                ApiConnector::new(secured(config, name, offer, tunnel), time_limit)
            }
        }
    };
    Ok(HttpTransport::new(connector(Offer::Both), connector(Offer::Http1)))
}

pub(super) fn authorised<C>(tunnel: Tunnel<C>, proxy: &Proxy) -> Tunnel<C> {
    match &proxy.userinfo {
        Some(userinfo) => {
            let (name, password) = name_and_password(userinfo);
            tunnel.with_auth(basic(&name, &password))
        }
        None => tunnel,
    }
}

/// The headers of every request over a transport.
pub(super) fn layered(transport: HttpTransport, stack: &Config, login: Arc<Login>) -> kube::Result<Client> {
    let service = Authorized { inner: transport, login };
    let service = stack.extra_headers_layer()?.layer(service);
    let service = stack.base_uri_layer().layer(service);
    Ok(match stack.auth_layer()? {
        Some(auth) => {
            let service = tower::util::BoxCloneService::new(service);
            Client::new(auth.layer(service), stack.default_namespace.clone())
        }
        None => Client::new(service, stack.default_namespace.clone()),
    })
}

/// Name and password in the part of an address before its `@`.
pub(super) fn name_and_password(userinfo: &str) -> (String, String) {
    let (name, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    (decoded(name), decoded(password))
}

/// Decodes percent-encoded bytes, such as `%40`, in a URL.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = if *first == b'%' { tail.get(..2) } else { None };
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
