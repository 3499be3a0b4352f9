//! The simulated API server: as much of the Kubernetes API as kubectl and this program use, over plain HTTP/1.1.
//!
//! ```text
//! connection ─► who (access) ─► which path ─► discovery │ review │ port-forward (forward)
//!                                          └► may they? ─► verbs ─► store ◄─ watches
//! ```
//!
//! No request can make it panic: an unreadable body, an invalid path and an invalid method are answered with
//! an error.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, UPGRADE,
    USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

mod logs;

use super::access::{AccessRequest, User};
use super::clock::{DEMO_CLOCK, http_date};
use super::emqx::Emqx;
use super::forward;
use super::patch;
use super::resources::{REVIEWS, Resource};
use super::rest::decode;
use super::schema::FieldValidation;
use super::selector::Selector;
use super::status::Failure;
use super::table;
use super::verbs::{Call, Done, Verbs};
use super::watching;

/// The version that the simulated cluster reports.
const VERSION: &str = "v1.33.4";
const BODY_LIMIT: usize = 3 << 20;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The data that every request needs.
#[derive(Clone)]
pub(super) struct Server {
    /// The first part of every path, without which nothing is served; `None` serves at the root.
    pub(super) secret: Option<String>,
    pub(super) verbs: Verbs,
    pub(super) emqx: Emqx,
    /// A change closes every connection.
    pub(super) disconnect_all: watch::Receiver<u64>,
    /// A change closes every port-forward.
    pub(super) close_forwards: watch::Receiver<u64>,
}

/// Accepts connections without an end.
pub(super) async fn serve(listener: TcpListener, server: Server) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let server = server.clone();
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    connection(TokioIo::new(stream), server).await;
                });
            }
            Err(error) => {
                tracing::debug!(%error, "accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Serves one connection over any stream until the peer closes it, or every connection is closed.
pub(super) async fn connection<S>(stream: TokioIo<S>, server: Server)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut cut = server.disconnect_all.clone();
    cut.mark_unchanged();
    let service = hyper::service::service_fn(move |request| {
        let server = server.clone();
        async move { Ok::<_, Infallible>(server.answer(request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).with_upgrades();
    tokio::select! {
        biased;
        ended = served => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection to the simulated API server ended");
            }
        }
        _ = cut.changed() => {}
    }
}

/// A path of a resource, split.
struct Place<'a> {
    group: &'a str,
    version: &'a str,
    plural: &'a str,
    namespace: Option<&'a str>,
    name: &'a str,
    sub: &'a str,
}

impl<'a> Place<'a> {
    fn of(parts: &[&'a str]) -> Option<Self> {
        let (group, version, rest) = match parts {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, plural, rest @ ..] if *plural != "status" => {
                (Some(*namespace), [&[*plural], rest].concat())
            }
            rest => (None, rest.to_vec()),
        };
        let (plural, name, sub) = match rest.as_slice() {
            [plural] => (*plural, "", ""),
            [plural, name] => (*plural, *name, ""),
            [plural, name, sub] => (*plural, *name, *sub),
            _ => return None,
        };
        Some(Self { group, version, plural, namespace, name, sub })
    }
}

fn query(text: &str) -> BTreeMap<String, String> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(&value.replace('+', " "))))
        .collect()
}

fn yes(query: &BTreeMap<String, String>, key: &str) -> bool {
    query.get(key).is_some_and(|value| value == "1" || value == "true" || value.is_empty())
}

impl Server {
    async fn answer(&self, mut request: Request<Incoming>) -> Response<Body> {
        let header =
            request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap_or_default().to_owned());
        let path = request.uri().path().to_owned();
        // The path is split before it is decoded: a name may contain an escaped slash.
        let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let parts = match (&self.secret, parts.as_slice()) {
            (None, parts) => parts,
            (Some(secret), [first, rest @ ..]) if first == secret => rest,
            // The request is from another user of this machine, who cannot read the kubeconfig.
            _ => return self.failed(&Failure::no_path()),
        };
        if let ["healthz" | "livez" | "readyz", ..] = parts {
            return self.plain(200, "text/plain", Bytes::from_static(b"ok"));
        }
        let (address, parts) = match parts {
            ["as", user, rest @ ..] => (Some(*user), rest),
            rest => (None, rest),
        };
        let Some(user) = User::of(header.as_deref(), address) else {
            return self.failed(&Failure::unauthorized());
        };
        if accepts_aggregated(request.headers()) {
            let registry = &self.verbs.store.registry;
            let document = match parts {
                ["api"] => Some(registry.aggregated_core()),
                ["apis"] => Some(registry.aggregated_groups()),
                _ => None,
            };
            if let Some(document) = document {
                return self.plain(200, AGGREGATED, Bytes::from(document.to_string()));
            }
        }
        if let Some(document) = self.discovery(parts) {
            return document.map_or_else(|failure| self.failed(&failure), |body| self.json(200, &body));
        }
        let Some(place) = Place::of(parts) else { return self.failed(&Failure::no_path()) };
        if place.group == "authorization.k8s.io" {
            return self.review(user, &place, request).await;
        }
        let registry = &self.verbs.store.registry;
        let Some((index, resource)) = registry.find(place.group, place.version, place.plural) else {
            return self.failed(&Failure::no_path());
        };
        let query = query(request.uri().query().unwrap_or_default());
        let verb = match *request.method() {
            Method::GET | Method::HEAD if yes(&query, "watch") => "watch",
            Method::GET | Method::HEAD if place.name.is_empty() => "list",
            Method::GET | Method::HEAD => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if place.name.is_empty() => "deletecollection",
            Method::DELETE => "delete",
            _ => return self.failed(&Failure::method()),
        };
        let access = AccessRequest { verb, resource: place.plural, sub: place.sub };
        if !user.may(access) {
            let scope = place.namespace.unwrap_or_default();
            return self.failed(&Failure::forbidden(user.0, verb, resource, place.sub, scope, place.name));
        }
        if place.plural == "pods" && place.sub == "portforward" {
            return self.port_forward(&mut request, &place, &query);
        }
        if place.plural == "pods" && place.sub == "log" && verb == "get" {
            return self.log(&place, &query);
        }
        let scaled = place.sub == "scale" && verb == "patch" && resource.group == "apps";
        let evicted = place.sub == "eviction" && verb == "create" && place.plural == "pods";
        let known_sub =
            place.sub.is_empty() || (place.sub == "status" && resource.status) || scaled || evicted;
        if !known_sub || (resource.namespaced && place.namespace.is_none() && !place.name.is_empty()) {
            return self.failed(&Failure::no_path());
        }
        let call = match call(index, &place, &query, request.headers()) {
            Ok(call) => call,
            Err(failure) => return self.failed(&failure),
        };
        let as_table = wants_table(request.headers());
        if verb == "watch" {
            return self.watch(call, &query, as_table);
        }
        let resource = *resource;
        let done = self.verb(verb, &call, request).await;
        self.finish(&resource, done, as_table && (verb == "get" || verb == "list"))
    }

    async fn verb(&self, verb: &str, call: &Call, request: Request<Incoming>) -> Done {
        let kind =
            request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.to_owned();
        if verb == "get" {
            return self.verbs.get(call);
        }
        if verb == "list" {
            return self.verbs.list(call);
        }
        let bytes = Limited::new(request.into_body(), BODY_LIMIT)
            .collect()
            .await
            .map_err(|_| Failure::too_large())?
            .to_bytes();
        match verb {
            "create" if call.name.is_empty() => self.verbs.create(call, parse(&bytes)?),
            "create" if call.sub == "eviction" => self.verbs.evict(call, &parse(&bytes)?),
            "update" => self.verbs.update(call, parse(&bytes)?),
            "patch" => {
                let kind = patch::Kind::of(&kind).ok_or_else(|| {
                    Failure::media_type("application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml")
                })?;
                self.verbs.patch(call, kind, &parse(&bytes)?)
            }
            "delete" | "deletecollection" => {
                let options = if bytes.is_empty() { json!({}) } else { parse(&bytes)? };
                if verb == "delete" {
                    self.verbs.delete(call, &options)
                } else {
                    self.verbs.delete_all(call, &options)
                }
            }
            _ => Err(Failure::method()),
        }
    }

    fn discovery(&self, parts: &[&str]) -> Option<Result<Value, Failure>> {
        let registry = &self.verbs.store.registry;
        let found = |document: Option<Value>| Some(document.ok_or_else(Failure::no_path));
        match parts {
            ["version"] => Some(Ok(json!({
                "major": "1", "minor": "33", "gitVersion": VERSION, "gitCommit": "sim", "gitTreeState": "clean",
                "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.24", "compiler": "gc", "platform": "linux/amd64",
            }))),
            ["api"] => Some(Ok(
                json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] }),
            )),
            ["apis"] => Some(Ok(registry.group_list())),
            ["apis", group] => found(registry.group(group)),
            ["api", version] => found(registry.resource_list("", version)),
            ["apis", group, version] => found(registry.resource_list(group, version)),
            ["openapi", "v3"] => Some(Ok(registry.openapi_index())),
            ["openapi", "v3", "api", version] => Some(Ok(registry.openapi("", version))),
            ["openapi", "v3", "apis", group, version] => Some(Ok(registry.openapi(group, version))),
            _ => None,
        }
    }

    async fn review(&self, user: User, place: &Place<'_>, request: Request<Incoming>) -> Response<Body> {
        if request.method() != Method::POST || !REVIEWS.iter().any(|(plural, _)| *plural == place.plural) {
            return self.failed(&Failure::no_path());
        }
        let body = Limited::new(request.into_body(), BODY_LIMIT).collect().await;
        let Ok(body) = body else { return self.failed(&Failure::too_large()) };
        let review = match parse(&body.to_bytes()) {
            Ok(review) if review.is_object() => review,
            Ok(_) => return self.failed(&Failure::bad_request("not a review")),
            Err(failure) => return self.failed(&failure),
        };
        if place.plural == "selfsubjectaccessreviews" {
            return self.json(201, &user.review(&review));
        }
        self.json(201, &user.rules(self.verbs.store.registry.all()))
    }

    fn watch(&self, call: Call, query: &BTreeMap<String, String>, table: bool) -> Response<Body> {
        let request = watching::Request {
            call,
            version: query.get("resourceVersion").cloned().unwrap_or_default(),
            bookmarks: yes(query, "allowWatchBookmarks"),
            initial_events: yes(query, "sendInitialEvents"),
            timeout: query.get("timeoutSeconds").and_then(|text| text.parse().ok()).map(Duration::from_secs),
            table,
        };
        let lines = watching::lines(self.verbs.clone(), request);
        let body = StreamBody::new(lines.map(|line| Ok(Frame::data(line))));
        self.dress(200, "application/json", body.boxed_unsync())
    }

    /// Reads the pod of a request to one of its subresources.
    fn pod_call(&self, place: &Place<'_>) -> Call {
        Call {
            resource: self.verbs.store.registry.index("pods").unwrap_or_default(),
            version: "v1".to_owned(),
            namespace: place.namespace.map(str::to_owned),
            name: place.name.to_owned(),
            sub: String::new(),
            dry_run: false,
            fields: FieldValidation::Ignore,
            manager: String::new(),
            force: false,
            limit: 0,
            from: String::new(),
            selector: Selector::default(),
        }
    }

    fn port_forward(
        &self,
        request: &mut Request<Incoming>,
        place: &Place<'_>,
        query: &BTreeMap<String, String>,
    ) -> Response<Body> {
        let headers = request.headers();
        let key = headers.get("sec-websocket-key").map(|key| key.as_bytes().to_vec());
        let offered =
            headers.get("sec-websocket-protocol").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let ports: Option<Vec<u16>> = query
            .get("ports")
            .map(|text| text.split(',').filter_map(|port| port.parse().ok()).collect())
            .filter(|ports: &Vec<u16>| (1..=100).contains(&ports.len()));
        let call = self.pod_call(place);
        if let Err(failure) = self.verbs.get(&call) {
            return self.failed(&failure);
        }
        let (Some(key), Some(ports)) = (key, ports) else {
            return self.failed(&Failure::bad_request(
                "Upgrade request required: a WebSocket with `ports` in the query",
            ));
        };
        if !offered.split(',').any(|protocol| protocol.trim() == forward::PROTOCOL) {
            return self.failed(&Failure::bad_request(format!(
                "unable to upgrade: only {} is spoken",
                forward::PROTOCOL
            )));
        }
        let node =
            self.emqx.with(|broker| broker.in_pod(place.name).filter(|&node| broker.nodes[node].running));
        let target = forward::Target { emqx: self.emqx.clone(), node, ports };
        tokio::spawn(forward::serve(hyper::upgrade::on(request), target, self.close_forwards.clone()));
        let mut response = self.dress(101, "", Full::new(Bytes::new()).boxed_unsync());
        let headers = response.headers_mut();
        headers.remove(CONTENT_TYPE);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(
            HeaderName::from_static("sec-websocket-protocol"),
            HeaderValue::from_static(forward::PROTOCOL),
        );
        if let Ok(accept) = derive_accept_key(&key).parse() {
            headers.insert(HeaderName::from_static("sec-websocket-accept"), accept);
        }
        response
    }

    fn finish(&self, resource: &Resource, done: Done, as_table: bool) -> Response<Body> {
        let (code, body, warnings) = match done {
            Ok(done) => done,
            Err(failure) => return self.failed(&failure),
        };
        let now = self.verbs.store.clock.now();
        let mut response =
            if as_table { self.json(code, &table::of(resource, &body, now)) } else { self.json(code, &body) };
        for warning in warnings {
            if let Ok(value) = format!("299 - {warning:?}").parse() {
                response.headers_mut().append(HeaderName::from_static("warning"), value);
            }
        }
        response
    }

    fn failed(&self, failure: &Failure) -> Response<Body> {
        self.json(failure.code, &failure.body())
    }

    fn json(&self, code: u16, body: &Value) -> Response<Body> {
        self.plain(code, "application/json", Bytes::from(body.to_string()))
    }

    fn plain(&self, code: u16, kind: &'static str, body: Bytes) -> Response<Body> {
        self.dress(code, kind, Full::new(body).boxed_unsync())
    }

    fn dress(&self, code: u16, kind: &'static str, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        let clock = &self.verbs.store.clock;
        if let Ok(date) = http_date(clock.now()).parse() {
            response.headers_mut().insert(DATE, date);
        }
        if let Ok(header) = clock.header().parse() {
            response.headers_mut().insert(HeaderName::from_static(DEMO_CLOCK), header);
        }
        response
    }
}

/// A body in JSON, or in YAML as server-side apply sends it.
fn parse(bytes: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(bytes)
        .or_else(|_| serde_yaml::from_slice(bytes))
        .map_err(|error| Failure::bad_request(format!("the body cannot be read: {error}")))
}

/// The field manager: the client's own, else the first word of its user agent.
fn manager(named: &str, headers: &HeaderMap) -> String {
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("unknown");
    if named.is_empty() { agent.split('/').next().unwrap_or(agent) } else { named }.to_owned()
}

fn wants_table(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept
        .split(',')
        .next()
        .is_some_and(|first| first.contains("as=Table") && first.contains("g=meta.k8s.io"))
}

/// The media type of an aggregated discovery document.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Whether the client accepts discovery in the aggregated form.
fn accepts_aggregated(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let words = |form: &str| form.split(';').map(|word| word.trim().to_owned()).collect::<Vec<_>>();
    accept.split(',').map(words).any(|words| {
        let has = |word: &str| words.iter().any(|it| it == word);
        has("as=APIGroupDiscoveryList") && has("v=v2") && has("g=apidiscovery.k8s.io")
    })
}

fn call(
    resource: usize,
    place: &Place<'_>,
    query: &BTreeMap<String, String>,
    headers: &HeaderMap,
) -> Result<Call, Failure> {
    let word = |key: &str| query.get(key).map(String::as_str).unwrap_or_default();
    let dry_run = match word("dryRun") {
        "" => false,
        "All" => true,
        other => {
            return Err(Failure::bad_request(format!("invalid dryRun {other:?}: only All is supported")));
        }
    };
    let fields = match word("fieldValidation") {
        "Strict" => FieldValidation::Strict,
        "Ignore" => FieldValidation::Ignore,
        _ => FieldValidation::Warn,
    };
    let limit = word("limit");
    let limit = if limit.is_empty() {
        0
    } else {
        limit.parse().map_err(|_| Failure::bad_request("invalid limit"))?
    };
    let selector =
        Selector::parse(word("labelSelector"), word("fieldSelector")).map_err(Failure::bad_request)?;
    Ok(Call {
        resource,
        version: place.version.to_owned(),
        namespace: place.namespace.map(str::to_owned),
        name: place.name.to_owned(),
        sub: place.sub.to_owned(),
        dry_run,
        fields,
        manager: manager(word("fieldManager"), headers),
        force: yes(query, "force"),
        limit,
        from: word("continue").to_owned(),
        selector,
    })
}
