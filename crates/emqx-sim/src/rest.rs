//! EMQX's REST API, v4 and v5, as far as a rebalance needs it, over HTTP/1.1 on any stream.
//!
//! ```text
//! port-forward of a pod ─┐
//!                        ├─► serve_stream ─► (fault?) ─► who asks? ─► which path? ─► the broker, now
//! loopback TCP listener ─┘
//! ```
//!
//! Paths, bodies and refusals are those of emqx/emqx `emqx_node_rebalance_api.erl` and `emqx_mgmt_api_nodes.erl`.

use std::convert::Infallible;

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, DATE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use super::broker::Broker;
use super::clock::http_date;
use super::emqx::{Emqx, Odd, Question, SimulatedKey};
use super::refusal::Refusal;
use super::rest_bodies as bodies;
use super::rest_limits;
use super::rest_orders as orders;
use super::scenario::{Answer, Api};

/// The longest body of EMQX's API.
const BODY_LIMIT: usize = 1 << 20;
const HUGE: usize = 50_000_000;

/// The interval at which a waiting request checks whether it can be answered.
const WAIT: std::time::Duration = std::time::Duration::from_millis(20);
/// The answer of EMQX's web server for a path that it does not know.
const NOT_FOUND: &str =
    "<html><head><title>404 - NOT FOUND</title></head><body><h1>404 - NOT FOUND</h1></body></html>";

/// The content of an answer.
enum Body {
    Empty,
    Json(Value),
    /// A body that is not JSON although its header is `application/json`.
    Broken(String),
    Html(&'static str),
    Text(String),
}

/// An answer: status and body.
type Reply = (u16, Body);

/// Serves one connection as the node with this index, until the peer closes it.
pub async fn serve_stream<S>(stream: S, emqx: Emqx, node: usize)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request| {
        let emqx = emqx.clone();
        async move { Ok::<_, Infallible>(answer(request, &emqx, node).await) }
    });
    let served =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the simulated EMQX ended");
    }
}

/// Serves every connection of a listener as the node with this index, without an end.
pub async fn serve(listener: TcpListener, emqx: Emqx, node: usize) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve_stream(stream, emqx.clone(), node));
            }
            Err(error) => {
                tracing::debug!(%error, "accept");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn answer(request: Request<Incoming>, emqx: &Emqx, node: usize) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_LIMIT).collect().await.map(http_body_util::Collected::to_bytes);
    if let Some(fault) = emqx.answer() {
        return faulty(&fault, emqx).await;
    }
    let path = decode(head.uri.path());
    let odd = emqx.odd(&Question { node, method: head.method.as_str(), path: &path });
    match &odd {
        Some(Odd::Never) => return std::future::pending().await,
        Some(Odd::Late(pause)) => emqx.clock().sleep(*pause).await,
        Some(Odd::Instead(status, body)) => {
            return respond(emqx, *status, "application/json", Bytes::from(body.clone()));
        }
        Some(Odd::Changed(_)) | None => {}
    }
    let authorization = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    while emqx.with(|broker| hangs(broker, node, &head.method, &path)) {
        tokio::time::sleep(WAIT).await;
    }
    let request = Asked {
        node,
        method: &head.method,
        path: &path,
        query: head.uri.query().unwrap_or_default(),
        authorization,
    };
    let (status, body) = match body {
        Ok(body) => route(emqx, &request, &body),
        Err(_) => error(413, "BAD_REQUEST", "the body is too long"),
    };
    let body = match (odd, body) {
        (Some(Odd::Changed(change)), Body::Json(mut json)) => {
            change(&mut json);
            Body::Json(json)
        }
        (_, body) => body,
    };
    let (kind, bytes) = match body {
        Body::Empty => ("application/json", Bytes::new()),
        Body::Json(json) => ("application/json", Bytes::from(json.to_string())),
        Body::Broken(text) => ("application/json", Bytes::from(text)),
        Body::Html(text) => ("text/html", Bytes::from_static(text.as_bytes())),
        Body::Text(text) => ("text/plain", Bytes::from(text)),
    };
    respond(emqx, status, kind, bytes)
}

/// A request before its body is read.
struct Asked<'a> {
    node: usize,
    method: &'a Method,
    path: &'a str,
    query: &'a str,
    authorization: Option<&'a str>,
}

/// Whether the answer has to wait: a frozen node does not answer, nor does a node that waits for it (seen on
/// EMQX 5.10.4); a coordinator in a session round does not answer requests about its rebalance.
fn hangs(broker: &Broker, node: usize, method: &Method, path: &str) -> bool {
    if broker.is_frozen(node) {
        return true;
    }
    let rest = path.strip_prefix("/api/v5/").or_else(|| path.strip_prefix("/api/v4/")).unwrap_or_default();
    let parts: Vec<&str> = rest.split('/').collect();
    let of_all = matches!(
        parts[..],
        ["nodes", ..] | ["stats" | "monitor_current"] | ["load_rebalance", "global_status"]
    );
    let of_coordinator = match parts[..] {
        ["load_rebalance", "global_status"] => true,
        ["load_rebalance", "status"] => broker.donates(node),
        ["load_rebalance", name, "start" | "stop"] => {
            method == Method::POST && broker.find(name).is_some_and(|node| broker.leads(node))
        }
        _ => false,
    };
    let starts = method == Method::POST && matches!(parts[..], ["load_rebalance", _, "start"]);
    ((of_all || starts) && broker.cluster_hangs()) || (of_coordinator && broker.coordinator_busy())
}

fn respond(emqx: &Emqx, status: u16, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    if let Ok(date) = http_date(emqx.clock().now()).parse() {
        headers.insert(DATE, date);
    }
    response
}

async fn faulty(fault: &Answer, emqx: &Emqx) -> Response<Full<Bytes>> {
    let text =
        |status, kind, body: &'static str| respond(emqx, status, kind, Bytes::from_static(body.as_bytes()));
    match fault {
        Answer::Error => {
            text(500, "application/json", r#"{"code":"INTERNAL_ERROR","message":"error, badmatch, []"}"#)
        }
        Answer::Unauthorized => text(
            401,
            "application/json",
            r#"{"code":"BAD_API_KEY_OR_SECRET","message":"Check api_key/api_secret"}"#,
        ),
        Answer::Html => text(200, "text/html", "<!doctype html><html><body><h1>Sign in</h1></body></html>"),
        Answer::Garbage => {
            respond(emqx, 200, "application/json", Bytes::from_static(b"\x00\xff{[nodes\x1b[31m"))
        }
        Answer::WrongShape => text(200, "application/json", r#"{"nodes":"none","rebalances":7}"#),
        Answer::Huge => {
            let mut body = Vec::with_capacity(HUGE);
            body.extend_from_slice(b"[\"");
            body.resize(HUGE - 2, b'x');
            body.extend_from_slice(b"\"]");
            respond(emqx, 200, "application/json", Bytes::from(body))
        }
        Answer::Silence => std::future::pending().await,
    }
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    (status, Body::Json(json!({ "code": code, "message": message })))
}

/// Decodes `%40` to `@` and so on; text without an escape stays unchanged.
pub(super) fn decode(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(byte) = escaped {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The methods that a path of EMQX 5 accepts; `None` for an unknown path.
fn methods(broker: &Broker, parts: &[&str]) -> Option<&'static [Method]> {
    const GET: &[Method] = &[Method::GET];
    const POST: &[Method] = &[Method::POST];
    Some(match parts {
        ["nodes" | "stats" | "cluster" | "monitor_current" | "license" | "listeners"]
        | ["nodes" | "listeners", _]
        | ["load_rebalance", "global_status" | "status" | "availability_check"]
        | ["cluster", "topology"] => GET,
        ["ds", "sites" | "storages"] if broker.at_least(5, 5) => GET,
        ["load_rebalance", _, "start" | "stop"] | ["load_rebalance", _, "evacuation", "start" | "stop"] => {
            POST
        }
        _ => return None,
    })
}

fn route(emqx: &Emqx, asked: &Asked<'_>, body: &[u8]) -> Reply {
    let Asked { node, method, path, query, authorization } = *asked;
    let v4 = emqx.api() == Api::V1beta4;
    let base = if v4 { "/api/v4/" } else { "/api/v5/" };
    if path == "/status" || path == "/api/v5/status" {
        return status(emqx, node, query);
    }
    let unknown = || {
        if v4 { error(404, "NOT_FOUND", "Request Path Not Found") } else { (404, Body::Html(NOT_FOUND)) }
    };
    let Some(rest) = path.strip_prefix(base) else { return unknown() };
    let parts: Vec<&str> = rest.split('/').collect();
    if !v4 {
        match emqx.with(|broker| methods(broker, &parts)) {
            None => return unknown(),
            Some(known) if !known.contains(method) => return (405, Body::Empty),
            Some(_) => {}
        }
    }
    // Without authentication since 5.4.0 and 4.4.24; older versions are not simulated.
    if parts == ["load_rebalance", "availability_check"] {
        return if emqx.with(|broker| broker.available(node)) {
            (200, Body::Json(json!({})))
        } else {
            error(503, "NODE_EVACUATING", "Node Evacuating")
        };
    }
    let key = match authenticate(emqx, authorization) {
        Ok(key) => key,
        Err(reply) => return reply,
    };
    let forbidden = (method == Method::POST && key.viewer)
        || key.scope.is_some_and(|scope| !scope.covers(parts.first().copied().unwrap_or_default()));
    if forbidden {
        return error(403, "UNAUTHORIZED_ROLE", "This API Key don't have permission to access this resource");
    }
    if method == Method::GET {
        return read(emqx, node, &parts);
    }
    if method != Method::POST {
        return error(405, "METHOD_NOT_ALLOWED", "Method Not Allowed");
    }
    write(emqx, &parts, body)
}

/// `GET /status`: a text, or the same as JSON.
fn status(emqx: &Emqx, node: usize, query: &str) -> Reply {
    emqx.with(|broker| {
        let name = &broker.nodes[node].name;
        if query != "format=json" {
            return (200, Body::Text(format!("Node {name} is started\nemqx is running")));
        }
        let mut status = json!({ "node_name": name, "broker_status": "started", "app_status": "running" });
        if broker.at_least(5, 10) {
            status["cluster"] = json!("emqxcl");
        } else if !broker.at_least(5, 5) {
            status["rel_vsn"] = json!(broker.version);
        }
        (200, Body::Json(status))
    })
}

fn authenticate<'a>(emqx: &'a Emqx, authorization: Option<&str>) -> Result<&'a SimulatedKey, Reply> {
    let refuse = |code: &str, message: &str| Err(error(401, code, message));
    let Some(header) = authorization else {
        return refuse("AUTHORIZATION_HEADER_ERROR", "Support authorization: basic/bearer ");
    };
    let pair = header
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        .and_then(|(_, code)| base64::engine::general_purpose::STANDARD.decode(code.trim()).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((key, secret)) = pair.as_deref().and_then(|pair| pair.split_once(':')) else {
        return refuse("BAD_TOKEN", "Get a new token and try again");
    };
    match emqx.known(key, secret) {
        Some(key) => Ok(key),
        None => refuse("BAD_API_KEY_OR_SECRET", "Check api_key/api_secret"),
    }
}

fn read(emqx: &Emqx, node: usize, parts: &[&str]) -> Reply {
    let v4 = emqx.api() == Api::V1beta4;
    let wrap = |value: Value| (200, Body::Json(if v4 { json!({ "code": 0, "data": value }) } else { value }));
    let plain = |value: Value| (200, Body::Json(value));
    let missing = |name: &str| refused(v4, &Refusal::NoNode(name.to_owned()));
    emqx.with(|broker| match parts {
        ["nodes"] => wrap(bodies::nodes(broker, node)),
        ["nodes", name] => match broker.find(name).filter(|&node| broker.nodes[node].running) {
            Some(found) => wrap(bodies::node(broker, found)),
            None => missing(name),
        },
        ["stats"] => wrap(bodies::stats(broker)),
        ["load_rebalance", "global_status"] => plain(bodies::global_status(broker)),
        ["load_rebalance", "status"] => plain(bodies::local_status(broker, node)),
        ["cluster", "topology"] if !v4 => plain(bodies::topology(broker)),
        ["cluster"] if !v4 => plain(bodies::cluster(broker, node)),
        ["license"] if !v4 => plain(rest_limits::licence(broker)),
        ["listeners"] if !v4 => plain(rest_limits::listeners(broker)),
        ["listeners", id] if !v4 => match rest_limits::listener(broker, id) {
            Some(found) => plain(found),
            None => error(404, "BAD_LISTENER_ID", "Listener id not found"),
        },
        ["monitor_current"] if !v4 => plain(bodies::monitor(broker)),
        ["ds", _] if !v4 => error(404, "NOT_FOUND", "Durable storage is disabled"),
        _ => error(404, "NOT_FOUND", "Request Path Not Found"),
    })
}

/// EMQX's refusal in the form of its API: v4 answers 200 and puts a code into the body.
fn refused(v4: bool, refusal: &Refusal) -> Reply {
    if v4 {
        return (200, Body::Json(json!({ "code": 400, "message": refusal.message() })));
    }
    let (status, code) = refusal.code();
    error(status, code, &refusal.message())
}

fn write(emqx: &Emqx, parts: &[&str], body: &[u8]) -> Reply {
    let v4 = emqx.api() == Api::V1beta4;
    let body = if body.is_empty() { json!({}) } else { serde_json::from_slice(body).unwrap_or(Value::Null) };
    let Value::Object(body) = body else {
        return refused(v4, &Refusal::Bad("Invalid json message received".to_owned()));
    };
    let timeouts = emqx.with(|broker| broker.has_rpc_timeouts());
    let done = match parts {
        ["load_rebalance", name, "start"] => orders::rebalance_order(&body, emqx.api(), timeouts)
            .and_then(|order| emqx.with(|broker| broker.start_rebalance(name, order))),
        ["load_rebalance", name, "stop"] => emqx.with(|broker| broker.stop_rebalance(name)),
        ["load_rebalance", name, "evacuation", "start"] => orders::evacuation_order(&body, emqx.api())
            .and_then(|order| emqx.with(|broker| broker.start_evacuation(name, order))),
        ["load_rebalance", name, "evacuation", "stop"] => emqx.with(|broker| broker.stop_evacuation(name)),
        _ => return error(404, "NOT_FOUND", "Request Path Not Found"),
    };
    match done {
        Ok(()) if v4 => (200, Body::Json(json!({ "data": [], "code": 0 }))),
        Ok(()) => (200, Body::Json(json!({}))),
        Err(refusal) => match refusal.crash(emqx.with(|broker| broker.at_least(5, 5))).filter(|_| !v4) {
            Some(text) => (500, Body::Broken(text)),
            None => refused(v4, &refusal),
        },
    }
}
