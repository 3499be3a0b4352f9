//! From kubectl's flags and kubeconfig to a connection, with kubectl's precedence: the flag `--kubeconfig`,
//! else the list in `KUBECONFIG` (files that do not exist are skipped, the first entry of a name wins), else
//! `~/.kube/config`, else the pod's own service account.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use kube::Client;
use kube::config::{AuthInfo, Config};

use super::api::Api;
use super::clock::ServerClock;
use super::connection::HttpTransport;
use super::error::ApiError;
use super::kubeconfig::{
    ClusterEntry, Context, Kubeconfig, KubeconfigEntry, User, WHAT, names, no_current_context, read,
    unknown_context,
};
use super::login::{Login, LoginCommand, Relay, basic};
use super::proxy::{named, proxy};
use super::transport::{ConnectionSettings, layered, name_and_password, tls_config, transport, trust_of};
use crate::error::{Cause, Problem};
use crate::model::access::KubernetesFlags;
use crate::timing::CONNECT_TIMEOUT;

/// kubectl's flags for reaching a cluster, and how a login command may use the terminal.
#[derive(Clone, Debug, Default)]
pub struct Connect {
    pub flags: KubernetesFlags,
    /// Whether the user can be prompted: standard input is a terminal. A login command must not read what is
    /// piped into this program.
    pub terminal: bool,
    /// Where a login command's messages go.
    pub relay: Relay,
}

/// The result of the flags.
pub(super) struct KubernetesConnection {
    pub(super) api: Api,
    pub(super) context: Option<String>,
    pub(super) namespace: String,
    /// Warnings about the way to the API server.
    pub(super) warnings: Vec<String>,
}

impl From<KubernetesFlags> for Connect {
    fn from(flags: KubernetesFlags) -> Self {
        Self { flags, ..Self::default() }
    }
}

impl Connect {
    /// Builds the client. Contacts nothing, but runs the kubeconfig's login command where there is one.
    pub(super) async fn open(&self) -> Result<KubernetesConnection, Problem> {
        let mut settings = self.settings()?;
        let timeout = self.flags.request_timeout.filter(|timeout| !timeout.is_zero());
        let namespace = self
            .flags
            .namespace
            .clone()
            .or_else(|| settings.namespace.clone())
            .unwrap_or_else(|| "default".to_owned());
        let mut warnings = Vec::new();
        if settings.server.scheme_str() != Some("https") {
            if settings.user.has_credentials()
                && (self.flags.token.is_some() || !is_loopback(&settings.server))
            {
                warnings.push(format!(
                    "no credentials are sent to {}: it is not https://",
                    settings.server.to_string().trim_end_matches('/')
                ));
            }
            // A named file that cannot be read is an error also here, as for kubectl.
            settings.user.identity()?;
            // kubectl sends no credentials either, and no impersonation.
            settings.user = User::default();
            settings.userinfo = None;
        }
        let mut server = settings.server.to_string().trim_end_matches('/').to_owned();
        if let Some(proxy) = &settings.proxy {
            server = format!("{server} (through the proxy {})", proxy.shown);
        }
        let (client, transport) = self.client(&settings, &namespace, timeout).await?;
        let api = Api { client, clock: ServerClock::new(), server, timeout, transport: Some(transport) };
        Ok(KubernetesConnection { api, context: settings.context, namespace, warnings })
    }

    /// The names of this kind in the kubeconfig.
    pub fn names(&self, entry: KubeconfigEntry) -> Result<Vec<String>, Problem> {
        self.read().map(|(kubeconfig, _)| names(kubeconfig, entry))
    }

    fn settings(&self) -> Result<ConnectionSettings, Problem> {
        let (kubeconfig, place) = self.read()?;
        let nothing = kubeconfig.contexts.is_empty() && kubeconfig.clusters.is_empty();
        if nothing && self.flags.server.is_none() {
            if self.flags.kubeconfig.is_none()
                && self.flags.context.is_none()
                && self.flags.cluster.is_none()
                && let Ok(config) = Config::incluster()
            {
                return self.in_cluster(config);
            }
            return Err(Problem::new(WHAT, format!("there is no kubeconfig: {place} holds no cluster"))
                .hint("set KUBECONFIG or --kubeconfig; without any cluster: kubectl emqx demo")
                .cause(Cause::NoKubeconfig));
        }
        self.chosen(&kubeconfig, &place)
    }

    fn in_cluster(&self, config: Config) -> Result<ConnectionSettings, Problem> {
        let path = |path: PathBuf| path.display().to_string();
        let mut cluster = ClusterEntry {
            server: Some(config.cluster_url.to_string()),
            ca_file: config.root_cert_file.map(path),
            ..ClusterEntry::default()
        };
        let mut user = User { token_file: config.auth_info.token_file, ..User::default() };
        self.override_server(&mut cluster);
        self.own_identity(&mut user);
        let proxy = proxy(&config.cluster_url, &variable)?;
        Ok(ConnectionSettings {
            server: config.cluster_url,
            context: None,
            namespace: Some(config.default_namespace),
            cluster,
            user,
            userinfo: None,
            proxy,
        })
    }

    /// The merged kubeconfig, and its origin.
    #[expect(
        clippy::disallowed_methods,
        reason = "kubectl's own environment variable, read where it is used"
    )]
    fn read(&self) -> Result<(Kubeconfig, String), Problem> {
        if let Some(path) = &self.flags.kubeconfig {
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
            merged.merge(read(path)?);
        }
        Ok((merged, place))
    }

    /// The one context of the kubeconfig that is used, with the flags applied.
    fn chosen(&self, kubeconfig: &Kubeconfig, place: &str) -> Result<ConnectionSettings, Problem> {
        let chosen = self.flags.context.clone().or_else(|| kubeconfig.current.clone());
        let context = match &chosen {
            Some(name) => {
                kubeconfig.context(name).ok_or_else(|| unknown_context(name, kubeconfig, place))??
            }
            None if self.flags.server.is_some() || self.flags.cluster.is_some() => Context::default(),
            None => return Err(no_current_context(kubeconfig, place)),
        };
        let server_name = self.flags.cluster.clone().or(context.cluster).unwrap_or_default();
        let mut cluster = match kubeconfig.cluster(&server_name) {
            Some(cluster) => cluster?,
            None if self.flags.server.is_some() => ClusterEntry::default(),
            None => {
                return Err(Problem::new(WHAT, format!("{place} has no cluster \"{server_name}\""))
                    .hint("kubectl config get-clusters"));
            }
        };
        self.override_server(&mut cluster);
        let (server, userinfo) = address(&cluster, place)?;
        let user_name = self.flags.user.clone().or(context.user);
        let found = user_name.as_ref().and_then(|name| kubeconfig.user(name)).transpose()?;
        if let (Some(name), None) = (&self.flags.user, &found) {
            return Err(Problem::new(WHAT, format!("{place} has no user \"{name}\""))
                .hint("kubectl config get-users"));
        }
        let mut user = found.unwrap_or_default();
        self.own_identity(&mut user);
        let proxy = match &cluster.proxy {
            Some(url) => Some(named(url, "the proxy-url of the kubeconfig")?),
            None => proxy(&server, &variable)?,
        };
        let namespace = context.namespace;
        Ok(ConnectionSettings { server, context: chosen, namespace, cluster, user, userinfo, proxy })
    }

    fn override_server(&self, cluster: &mut ClusterEntry) {
        if let Some(url) = &self.flags.server {
            cluster.server = Some(url.clone());
        }
        if let Some(path) = &self.flags.certificate_authority {
            cluster.ca_file = Some(path.display().to_string());
            cluster.ca_data = None;
        }
        if let Some(name) = &self.flags.tls_server_name {
            cluster.tls_server_name = Some(name.clone());
        }
        if self.flags.insecure {
            cluster.insecure = true;
        }
    }

    fn own_identity(&self, user: &mut User) {
        if let Some(token) = &self.flags.token {
            // A token on the command line replaces every other way to log in.
            user.exec = None;
            user.provider = None;
            user.token_file = None;
            user.username = None;
            user.password = None;
            user.token = Some(token.reveal().to_owned());
        }
        if let Some(path) = &self.flags.client_certificate {
            user.certificate_file = Some(path.display().to_string());
            user.certificate_data = None;
        }
        if let Some(path) = &self.flags.client_key {
            user.key_file = Some(path.display().to_string());
            user.key_data = None;
        }
        if let Some(name) = &self.flags.impersonate {
            user.impersonate = Some(name.clone());
        }
        if !self.flags.impersonate_groups.is_empty() {
            user.impersonate_groups.clone_from(&self.flags.impersonate_groups);
        }
    }

    /// The login command of a user, and whether it may prompt.
    fn command(
        &self,
        user: &User,
        cluster: serde_json::Value,
        timeout: Option<Duration>,
    ) -> Result<Option<LoginCommand>, Problem> {
        let Some(exec) = user.exec.clone() else { return Ok(None) };
        let mode = exec.interactive_mode.as_deref().unwrap_or("IfAvailable");
        if mode == "Always" && !self.terminal && !self.flags.silent {
            return Err(Problem::new(
                WHAT,
                "the login command of the kubeconfig has to ask (interactiveMode: Always), and standard input is no \
                 terminal",
            )
            .hint("log in on a terminal first, or give --token"));
        }
        let interactive = mode != "Never" && self.terminal && !self.flags.silent;
        let (silent, relay) = (self.flags.silent, self.relay.clone());
        Ok(Some(LoginCommand { exec, cluster, interactive, silent, timeout, relay }))
    }

    async fn client(
        &self,
        settings: &ConnectionSettings,
        namespace: &str,
        timeout: Option<Duration>,
    ) -> Result<(Client, HttpTransport), Problem> {
        let ConnectionSettings { cluster, user, .. } = settings;
        let secure = settings.server.scheme_str() == Some("https");
        let ca = if cluster.insecure { None } else { cluster.ca()? };
        let command = self.command(user, cluster.info(ca.as_deref()), timeout)?;
        let headers = impersonation(user)?;
        let (login, given) = Login::open(user, command).await.map_err(|error| error.problem(WHAT))?;
        let mut identity = if secure { user.identity()? } else { None };
        if let Some((certificate, key)) = given {
            identity = Some((certificate.into_bytes(), key.into_bytes()));
        }
        let config = tls_config(ca.as_deref(), trust_of(settings), identity)?;
        let mut stack = Config::new(settings.server.clone());
        namespace.clone_into(&mut stack.default_namespace);
        stack.headers = headers;
        if let Some(userinfo) = settings.userinfo.as_deref().filter(|_| user.token.is_none()) {
            let (name, password) = name_and_password(userinfo);
            stack.headers.push((hyper::header::AUTHORIZATION, basic(&name, &password)));
        }
        // kube implements the ways to log in that client-go no longer has (`auth-provider`).
        if let Some(provider) = &user.provider
            && user.token.is_none()
        {
            let provider = serde_json::from_value(provider.clone()).map_err(|_| {
                Problem::new(WHAT, "the auth-provider of the kubeconfig is not valid")
                    .hint("kubectl config view")
            })?;
            stack.auth_info = AuthInfo { auth_provider: Some(provider), ..AuthInfo::default() };
        }
        let time_limit = timeout.map_or(CONNECT_TIMEOUT, |timeout| timeout.min(CONNECT_TIMEOUT));
        let transport = transport(settings, &config, time_limit)?;
        let client = layered(transport.clone(), &stack, login)
            .map_err(|error| ApiError::of("the API server", &error).problem(WHAT, ""))?;
        Ok((client, transport))
    }
}

/// The address of the API server, and the text before its `@`. An address without a scheme is http, even if a
/// CA is configured: kubectl uses the CA only where the address is https.
fn address(cluster: &ClusterEntry, place: &str) -> Result<(hyper::Uri, Option<String>), Problem> {
    let Some(url) = cluster.server.as_deref().map(str::trim).filter(|url| !url.is_empty()) else {
        return Err(Problem::new(WHAT, format!("the kubeconfig {place} names no server for this cluster"))
            .hint("kubectl config set-cluster NAME --server=URL"));
    };
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (userinfo, authority) = match authority.rsplit_once('@') {
        Some((userinfo, authority)) => (Some(userinfo.to_owned()), authority),
        None => (None, authority),
    };
    let bare = format!("{scheme}://{authority}{path}");
    let parsed = bare.parse::<hyper::Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            // `HOST:99999` parses as a host and no port.
            && (uri.port_u16().is_some() || uri.authority().is_none_or(|it| it.as_str() == uri.host().unwrap_or_default()))
    });
    parsed.map(|uri| (uri, userinfo)).ok_or_else(|| {
        Problem::new(WHAT, format!("\"{bare}\" is no address of an API server"))
            .hint("an address is https://HOST:PORT; kubectl config view shows the one in use")
    })
}

fn is_loopback(uri: &hyper::Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The headers of `--as` and its related flags.
fn impersonation(user: &User) -> Result<Vec<(HeaderName, HeaderValue)>, Problem> {
    let mut headers = Vec::new();
    let mut put = |name: &str, value: &str| -> Result<(), Problem> {
        let pair =
            HeaderName::try_from(name.to_ascii_lowercase()).ok().zip(HeaderValue::try_from(value).ok());
        let pair = pair.ok_or_else(|| {
            Problem::new(
                WHAT,
                format!("{name} cannot be sent: it has a line break or another control character in it"),
            )
            .hint("check --as, --as-group and the user in the kubeconfig")
        })?;
        headers.push(pair);
        Ok(())
    };
    if let Some(name) = &user.impersonate {
        put("Impersonate-User", name)?;
    }
    if let Some(uid) = &user.impersonate_uid {
        put("Impersonate-Uid", uid)?;
    }
    for group in &user.impersonate_groups {
        put("Impersonate-Group", group)?;
    }
    for (key, values) in &user.impersonate_extra {
        let mut name = "Impersonate-Extra-".to_owned();
        for byte in key.to_ascii_lowercase().bytes() {
            // As client-go's `headerKeyEscape`: characters that are not allowed in the name of a header are
            // percent-encoded.
            if byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte) {
                name.push(byte as char);
            } else {
                name.extend(format!("%{byte:02X}").chars());
            }
        }
        for value in values {
            put(&name, value)?;
        }
    }
    Ok(headers)
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
    use super::super::transport::Accepted;
    use super::*;

    const TWO: &str = "apiVersion: v1\nkind: Config\ncurrent-context: one\n\
        clusters:\n- {name: c1, cluster: {server: 'https://one:6443'}}\n- {name: c2, cluster: {server: 'http://two:8080'}}\n\
        users:\n- {name: u1, user: {token: t1}}\n\
        contexts:\n- {name: one, context: {cluster: c1, user: u1, namespace: mq}}\n- {name: two, context: {cluster: c2}}\n";

    /// The settings that result with this text as the kubeconfig.
    fn outcome(text: &str, change: impl FnOnce(&mut KubernetesFlags)) -> Result<ConnectionSettings, Problem> {
        let path = std::env::temp_dir().join(format!(
            "kubectl-emqx-kubeconfig-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::write(&path, text).expect("it is written");
        let mut flags = KubernetesFlags { kubeconfig: Some(path.clone()), ..KubernetesFlags::default() };
        change(&mut flags);
        let result = Connect::from(flags).settings();
        std::fs::remove_file(&path).expect("it is removed");
        result
    }

    #[test]
    fn certificates_of_the_system_are_read_only_for_connections_with_tls() {
        let accepted = |change: fn(&mut KubernetesFlags), proxy: &str| {
            let text = TWO.replace("8080'", &format!("8080', proxy-url: '{proxy}'"));
            trust_of(&outcome(&text, change).expect("it is valid"))
        };
        let two = |it: &mut KubernetesFlags| it.context = Some("two".to_owned());
        assert_eq!(accepted(|_| {}, ""), Accepted::Roots);
        assert_eq!(accepted(|it| it.insecure = true, ""), Accepted::Any);
        assert_eq!(accepted(two, ""), Accepted::None);
        assert_eq!(accepted(two, "socks5://proxy:1080"), Accepted::None);
        assert_eq!(accepted(two, "https://proxy:3128"), Accepted::Roots);
    }

    #[test]
    fn flags_win_over_the_context() {
        let one = outcome(TWO, |_| {}).expect("it is valid");
        assert_eq!(
            (one.server.to_string().as_str(), one.context.as_deref()),
            ("https://one:6443/", Some("one"))
        );
        assert_eq!(one.namespace.as_deref(), Some("mq"));
        assert!(one.user.token.is_some());

        let two = outcome(TWO, |it| it.context = Some("two".to_owned())).expect("it is valid");
        assert_eq!((two.server.to_string().as_str(), two.namespace), ("http://two:8080/", None));

        let mixed = outcome(TWO, |it| {
            it.cluster = Some("c2".to_owned());
            it.impersonate = Some("eve".to_owned());
            it.insecure = true;
            it.tls_server_name = Some("name".to_owned());
        });
        let mixed = mixed.expect("it is valid");
        assert_eq!(mixed.server.to_string(), "http://two:8080/");
        assert_eq!(mixed.user.impersonate.as_deref(), Some("eve"));
        assert!(mixed.cluster.insecure && mixed.cluster.tls_server_name.as_deref() == Some("name"));

        for url in ["http://here:1", "here:1"] {
            let bare = outcome("", |it| it.server = Some(url.to_owned())).expect("enough");
            assert_eq!((bare.server.to_string().as_str(), bare.context), ("http://here:1/", None));
        }
    }

    #[test]
    fn a_password_in_an_address_is_taken_out_of_it() {
        let it = outcome("", |it| it.server = Some("https://joe:hunter2@api:1/as/x".to_owned()));
        let it = it.expect("enough");
        assert_eq!(it.server.to_string(), "https://api:1/as/x");
        assert_eq!(it.userinfo.as_deref(), Some("joe:hunter2"));
        let bad = outcome("", |it| it.server = Some("https://joe:hunter2@a b".to_owned())).err();
        assert!(!bad.expect("no address").to_string().contains("hunter2"));
        assert_eq!(name_and_password("j%6fe:pa%40ss%zz%"), ("joe".to_owned(), "pa@ss%zz%".to_owned()));
    }

    #[test]
    fn every_broken_kubeconfig_is_explained() {
        let moon = |it: &mut KubernetesFlags| it.context = Some("moon".to_owned());
        let why = outcome(TWO, moon).err().expect("unknown").why;
        assert!(why.ends_with("has no context \"moon\"; it has one, two"), "{why}");
        let unknown_user = |it: &mut KubernetesFlags| it.user = Some("nobody".to_owned());
        assert!(outcome(TWO, unknown_user).err().expect("unknown").why.contains("no user \"nobody\""));
        let cluster = |it: &mut KubernetesFlags| it.cluster = Some("c3".to_owned());
        assert!(outcome(TWO, cluster).err().expect("unknown").why.contains("no cluster \"c3\""));
        let currentless = TWO.replace("current-context: one", "current-context: ''");
        assert!(
            outcome(&currentless, |_| {})
                .err()
                .expect("none")
                .why
                .contains("no current context; it has one, two")
        );
        let why = outcome("{ not yaml", |_| {}).err().expect("broken").why;
        assert!(why.contains("is not valid"), "{why}");
        for url in ["hello world", "ftp://x", "http://"] {
            let problem = outcome("", |it| it.server = Some(url.to_owned())).err().expect("no address");
            assert!(problem.why.contains("no address"), "{problem}");
        }
        let why = outcome("", |_| {}).err().expect("empty").why;
        assert!(why.contains("holds no cluster"), "{why}");
    }
}
