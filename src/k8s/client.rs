//! From kubectl's flags and kubeconfig to a connection, with kubectl's precedence: the flag `--kubeconfig`, else the
//! list in `KUBECONFIG` (files that do not exist are passed over, the first to say something wins), else
//! `~/.kube/config`, else the pod's own service account.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::client::{ClientBuilder, ConfigExt};
use kube::config::{
    AuthInfo, Cluster as NamedServer, Context, ExecConfig, ExecInteractiveMode, KubeConfigOptions,
    Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use kube::{Client, Config};
use tower::buffer::BufferLayer;

use super::api::Api;
use super::clock::ServerClock;
use super::explain::Trouble;
use super::kubeconfig::{Entry, complete_url, explain, names, no_current_context, read, unknown_context};
use super::proxy::proxy;
use crate::error::Problem;

/// kubectl's flags for reaching a cluster.
#[derive(Clone, Debug, Default)]
pub struct Connect {
    /// `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
    /// `--cluster`.
    pub cluster: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--server`.
    pub server: Option<String>,
    /// `--token`.
    pub token: Option<String>,
    /// `--as`.
    pub impersonate: Option<String>,
    /// `--as-group`, repeatable.
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
    pub insecure_skip_tls_verify: bool,
    /// `--request-timeout`; `None` and zero leave our own limits.
    pub request_timeout: Option<Duration>,
    /// `--namespace`: instead of the context's.
    pub namespace: Option<String>,
    /// Whether a login command must neither ask nor say anything.
    pub silent: bool,
    /// Whether somebody is there who can be asked: standard input is a terminal. What is piped into us is not the login
    /// command's to read.
    pub terminal: bool,
}

/// What came of the flags.
pub(super) struct Connection {
    pub(super) api: Api,
    pub(super) context: Option<String>,
    pub(super) namespace: String,
}

/// A server that does not even accept a connection within this is not there.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// How every problem of connecting begins.
pub(super) const WHAT: &str = "cannot connect to a cluster";

/// How the reason begins where no kubeconfig names any cluster.
pub const NO_KUBECONFIG: &str = "there is no kubeconfig";

impl Connect {
    /// Builds the client. Contacts nothing, but runs the kubeconfig's login command where there is one.
    pub(super) async fn open(&self) -> Result<Connection, Problem> {
        let (mut config, context) = self.config().await?;
        let timeout = self.request_timeout.filter(|timeout| !timeout.is_zero());
        config.connect_timeout =
            Some(timeout.map_or(CONNECT_PATIENCE, |timeout| timeout.min(CONNECT_PATIENCE)));
        // Retries are ours: a create must never be repeated behind our back.
        config.default_retry = false;
        if let Some(namespace) = &self.namespace {
            config.default_namespace.clone_from(namespace);
        }
        let namespace = config.default_namespace.clone();
        let mut server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        if let Some(proxy) = config.proxy_url.as_ref().and_then(hyper::Uri::authority) {
            // Without what may stand before the `@`.
            let (host, port) =
                (proxy.host(), proxy.port().map_or_else(String::new, |port| format!(":{port}")));
            let _ = write!(server, " (through the proxy {host}{port})");
        }
        let client = build(config).map_err(|error| Trouble::of(&server, &error).problem(WHAT, ""))?;
        let api = Api { client, clock: ServerClock::new(), server, timeout };
        Ok(Connection { api, context, namespace })
    }

    /// The names of one sort that the kubeconfig has.
    pub fn names(&self, entry: Entry) -> Result<Vec<String>, Problem> {
        self.read().map(|(kubeconfig, _)| names(kubeconfig, entry))
    }

    async fn config(&self) -> Result<(Config, Option<String>), Problem> {
        let (kubeconfig, place) = self.read()?;
        let nothing = kubeconfig.contexts.is_empty() && kubeconfig.clusters.is_empty();
        if nothing && self.server.is_none() {
            if self.kubeconfig.is_none()
                && self.context.is_none()
                && self.cluster.is_none()
                && let Ok(mut config) = Config::incluster()
            {
                self.own_identity(&mut config.auth_info);
                config.proxy_url = proxy(&config.cluster_url, &variable);
                return Ok((config, None));
            }
            return Err(Problem::new(WHAT, format!("{NO_KUBECONFIG}: {place} holds no cluster"))
                .hint("set KUBECONFIG or --kubeconfig; without any cluster: kubectl emqx demo"));
        }
        let (kubeconfig, context) = self.overridden(&kubeconfig, &place)?;
        let named = |it: &NamedCluster| it.cluster.as_ref().is_some_and(|it| it.proxy_url.is_some());
        let named = kubeconfig.clusters.iter().any(named);
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|error| explain(&error, &place))?;
        if !named {
            config.proxy_url = proxy(&config.cluster_url, &variable);
        }
        Ok((config, context))
    }

    /// The merged kubeconfig, and where it came from.
    #[allow(clippy::disallowed_methods, reason = "kubectl's own environment variable, read where it is used")]
    fn read(&self) -> Result<(Kubeconfig, String), Problem> {
        if let Some(path) = &self.kubeconfig {
            let place = path.display().to_string();
            return read(path).map(|config| (config, place));
        }
        let mut paths: Vec<PathBuf> = std::env::var_os("KUBECONFIG")
            .map(|value| std::env::split_paths(&value).filter(|path| !path.as_os_str().is_empty()).collect())
            .unwrap_or_default();
        if paths.is_empty() {
            let home = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE"));
            paths.extend(home.map(|home| Path::new(&home).join(".kube").join("config")));
        }
        let place = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        let mut merged = Kubeconfig::default();
        for path in paths.iter().filter(|path| path.exists()) {
            merged =
                merged.merge(read(path)?).map_err(|error| explain(&error, &path.display().to_string()))?;
        }
        Ok((merged, place))
    }

    /// The kubeconfig reduced to the one context that is meant, with the flags on top.
    fn overridden(
        &self,
        kubeconfig: &Kubeconfig,
        place: &str,
    ) -> Result<(Kubeconfig, Option<String>), Problem> {
        let current = kubeconfig.current_context.clone().filter(|name| !name.is_empty());
        let chosen = self.context.clone().or(current);
        let context = match &chosen {
            Some(name) => {
                let found = kubeconfig.contexts.iter().find(|context| &context.name == name);
                let Some(found) = found else { return Err(unknown_context(name, kubeconfig, place)) };
                found.context.clone().unwrap_or_default()
            }
            None if self.server.is_some() || self.cluster.is_some() => Context::default(),
            None => return Err(no_current_context(kubeconfig, place)),
        };
        let server_name = self.cluster.clone().unwrap_or_else(|| context.cluster.clone());
        let mut server = kubeconfig
            .clusters
            .iter()
            .find(|cluster| cluster.name == server_name)
            .and_then(|cluster| cluster.cluster.clone());
        if server.is_none() && self.server.is_none() {
            return Err(Problem::new(WHAT, format!("{place} has no cluster \"{server_name}\""))
                .hint("kubectl config get-clusters"));
        }
        self.override_server(server.get_or_insert_default());
        if let Some(url) = server.as_mut().and_then(complete_url) {
            return Err(Problem::new(WHAT, format!("\"{url}\" is no address of an API server"))
                .hint("an address is https://HOST:PORT; kubectl config view shows the one in use"));
        }
        let user_name = self.user.clone().or_else(|| context.user.clone());
        let found =
            user_name.as_ref().and_then(|name| kubeconfig.auth_infos.iter().find(|user| &user.name == name));
        if let (Some(name), None) = (&self.user, found) {
            return Err(Problem::new(WHAT, format!("{place} has no user \"{name}\""))
                .hint("kubectl config get-users"));
        }
        let mut user = found.and_then(|user| user.auth_info.clone()).unwrap_or_default();
        self.own_identity(&mut user);
        if user.exec.as_ref().is_some_and(|exec| self.must_ask(exec)) {
            return Err(Problem::new(
                WHAT,
                "the login command of the kubeconfig has to ask (interactiveMode: Always), and standard input is no \
                 terminal",
            )
            .hint("log in on a terminal first, or give --token"));
        }
        let name = chosen.clone().unwrap_or_else(|| "flags".to_owned());
        let reduced = Kubeconfig {
            clusters: vec![NamedCluster { name: name.clone(), cluster: server, ..NamedCluster::default() }],
            auth_infos: vec![NamedAuthInfo {
                name: name.clone(),
                auth_info: Some(user),
                ..NamedAuthInfo::default()
            }],
            contexts: vec![NamedContext {
                name: name.clone(),
                context: Some(Context { cluster: name.clone(), user: Some(name.clone()), ..context }),
                ..NamedContext::default()
            }],
            current_context: Some(name),
            ..Kubeconfig::default()
        };
        Ok((reduced, chosen))
    }

    fn override_server(&self, server: &mut NamedServer) {
        if let Some(url) = &self.server {
            server.server = Some(url.clone());
        }
        if let Some(path) = &self.certificate_authority {
            server.certificate_authority = Some(path.display().to_string());
            server.certificate_authority_data = None;
        }
        if let Some(name) = &self.tls_server_name {
            server.tls_server_name = Some(name.clone());
        }
        if self.insecure_skip_tls_verify {
            server.insecure_skip_tls_verify = Some(true);
        }
    }

    /// Whether a login command asks, and nobody is there.
    fn must_ask(&self, exec: &ExecConfig) -> bool {
        !self.silent && !self.terminal && exec.interactive_mode == Some(ExecInteractiveMode::Always)
    }

    fn own_identity(&self, user: &mut AuthInfo) {
        if let Some(token) = &self.token {
            // A token on the command line stands instead of every other way to log in.
            user.exec = None;
            user.auth_provider = None;
            user.token_file = None;
            user.username = None;
            user.password = None;
            user.token = Some(token.clone().into());
        }
        if let Some(exec) =
            user.exec.as_mut().filter(|exec| self.silent || !self.terminal && !self.must_ask(exec))
        {
            exec.interactive_mode = Some(ExecInteractiveMode::Never);
        }
        if let Some(path) = &self.client_certificate {
            user.client_certificate = Some(path.display().to_string());
            user.client_certificate_data = None;
        }
        if let Some(path) = &self.client_key {
            user.client_key = Some(path.display().to_string());
            user.client_key_data = None;
        }
        if let Some(name) = &self.impersonate {
            user.impersonate = Some(name.clone());
        }
        if !self.impersonate_groups.is_empty() {
            user.impersonate_groups = Some(self.impersonate_groups.clone());
        }
    }
}

/// Requests that may wait for a token.
const WAITING: usize = 1024;

/// kube's own client; but where a login command gives a token, it is run once. kube would run it three times: to see whether it
/// gives a certificate, when that runs out, and for the token.
fn build(mut config: Config) -> kube::Result<Client> {
    if config.auth_info.exec.is_none() {
        return Client::try_from(config);
    }
    let Some(token) = config.auth_layer()? else { return Client::try_from(config) };
    config.auth_info.exec = None;
    let service = ClientBuilder::try_from(config)?;
    Ok(service.with_layer(&BufferLayer::new(WAITING)).with_layer(&token).build())
}

#[expect(
    clippy::disallowed_methods,
    reason = "kubectl's own environment variables, read where they are used"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "apiVersion: v1\nkind: Config\ncurrent-context: one\n\
        clusters:\n- {name: c1, cluster: {server: 'https://one:6443'}}\n- {name: c2, cluster: {server: 'http://two:8080'}}\n\
        users:\n- {name: u1, user: {token: t1}}\n\
        contexts:\n- {name: one, context: {cluster: c1, user: u1, namespace: mq}}\n- {name: two, context: {cluster: c2}}\n";

    /// The outcome with this text as the kubeconfig.
    async fn outcome(
        text: &str,
        change: impl FnOnce(&mut Connect),
    ) -> Result<(Config, Option<String>), Problem> {
        let path = std::env::temp_dir().join(format!(
            "kubectl-emqx-kubeconfig-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::write(&path, text).expect("it is written");
        let mut connect = Connect { kubeconfig: Some(path.clone()), ..Connect::default() };
        change(&mut connect);
        let result = connect.config().await;
        std::fs::remove_file(&path).expect("it is removed");
        result
    }

    #[tokio::test]
    async fn flags_win_over_the_context() {
        let (config, context) = outcome(TWO, |_| {}).await.expect("it is valid");
        assert_eq!(
            (config.cluster_url.to_string().as_str(), context.as_deref()),
            ("https://one:6443/", Some("one"))
        );
        assert_eq!(config.default_namespace, "mq");
        assert!(config.auth_info.token.is_some());

        let (config, _) = outcome(TWO, |it| it.context = Some("two".to_owned())).await.expect("it is valid");
        assert_eq!(config.cluster_url.to_string(), "http://two:8080/");
        assert_eq!(config.default_namespace, "default");

        let (config, _) = outcome(TWO, |it| {
            it.cluster = Some("c2".to_owned());
            it.impersonate = Some("eve".to_owned());
            it.insecure_skip_tls_verify = true;
            it.tls_server_name = Some("name".to_owned());
        })
        .await
        .expect("it is valid");
        assert_eq!(config.cluster_url.to_string(), "http://two:8080/");
        assert_eq!(config.auth_info.impersonate.as_deref(), Some("eve"));
        assert!(config.accept_invalid_certs && config.tls_server_name.as_deref() == Some("name"));

        let (config, context) =
            outcome("", |it| it.server = Some("http://here:1".to_owned())).await.expect("enough");
        assert_eq!((config.cluster_url.to_string().as_str(), context), ("http://here:1/", None));
        let (config, _) = outcome("", |it| it.server = Some("here:1".to_owned())).await.expect("enough");
        assert_eq!(config.cluster_url.to_string(), "http://here:1/");
    }

    #[tokio::test]
    async fn every_broken_kubeconfig_is_explained() {
        let moon = |it: &mut Connect| it.context = Some("moon".to_owned());
        let why = outcome(TWO, moon).await.expect_err("unknown").why;
        assert!(why.ends_with("has no context \"moon\"; it has one, two"), "{why}");
        let nobody = |it: &mut Connect| it.user = Some("nobody".to_owned());
        assert!(outcome(TWO, nobody).await.expect_err("unknown").why.contains("no user \"nobody\""));
        let cluster = |it: &mut Connect| it.cluster = Some("c3".to_owned());
        assert!(outcome(TWO, cluster).await.expect_err("unknown").why.contains("no cluster \"c3\""));
        let currentless = TWO.replace("current-context: one", "current-context: ''");
        assert!(
            outcome(&currentless, |_| {})
                .await
                .expect_err("none")
                .why
                .contains("no current context; it has one, two")
        );
        let why = outcome("{ not yaml", |_| {}).await.expect_err("broken").why;
        assert!(why.contains("is not valid"), "{why}");
        for url in ["hello world", "ftp://x", "http://"] {
            let problem = outcome("", |it| it.server = Some(url.to_owned())).await.expect_err("no address");
            assert!(problem.why.contains("no address"), "{problem}");
        }
        let why = outcome("", |_| {}).await.expect_err("empty").why;
        assert!(why.contains("holds no cluster"), "{why}");
    }
}
