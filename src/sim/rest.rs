//! EMQX's REST API, v4 and v5, as far as a rebalance goes, over HTTP/1.1 on any stream.
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

use super::clock::http_date;
use super::coordinator::Refusal;
use super::emqx::Emqx;
use super::rest_bodies as bodies;
use super::scenario::{Answer, Api};

/// No body of EMQX's API is longer.
const BODY_LIMIT: usize = 1 << 20;
const HUGE: usize = 50_000_000;

/// An answer: status and JSON; `None` is an empty body.
type Reply = (u16, Option<Value>);

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
        tracing::debug!(%error, "a connection to the pretend EMQX ended");
    }
}

/// Serves every connection of a listener as the node with this index, for ever.
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
    let authorization = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (status, json) = match body {
        Ok(body) => route(emqx, node, &head.method, &path, authorization, &body),
        Err(_) => error(413, "BAD_REQUEST", "the body is too long"),
    };
    if path == "/status" {
        let text = format!(
            "Node {} is started\nemqx is running",
            emqx.with(|broker| broker.nodes[node].name.clone())
        );
        return respond(emqx, status, "text/plain", Bytes::from(text));
    }
    let bytes = json.map_or_else(Bytes::new, |json| Bytes::from(json.to_string()));
    respond(emqx, status, "application/json", bytes)
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
    (status, Some(json!({ "code": code, "message": message })))
}

/// `%40` to `@` and so on; what is no escape stays as it is.
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

fn route(
    emqx: &Emqx,
    node: usize,
    method: &Method,
    path: &str,
    authorization: Option<&str>,
    body: &[u8],
) -> Reply {
    let base = if emqx.api() == Api::V1beta4 { "/api/v4/" } else { "/api/v5/" };
    if path == "/status" || path == "/api/v5/status" {
        return (200, None);
    }
    let Some(rest) = path.strip_prefix(base) else {
        return error(404, "NOT_FOUND", "Request Path Not Found");
    };
    let parts: Vec<&str> = rest.split('/').collect();
    // Free of authentication since 5.4.0 and 4.4.24; what is older is not pretended.
    if parts == ["load_rebalance", "availability_check"] {
        return if emqx.with(|broker| broker.available(node)) {
            (200, Some(json!({})))
        } else {
            error(503, "NODE_EVACUATING", "Node Evacuating")
        };
    }
    let viewer = match authenticate(emqx, authorization) {
        Ok(viewer) => viewer,
        Err(reply) => return reply,
    };
    if method == Method::POST && viewer {
        return error(403, "UNAUTHORIZED_ROLE", "You don't have permission to access this resource");
    }
    if method == Method::GET {
        return read(emqx, node, &parts);
    }
    if method != Method::POST {
        return error(405, "METHOD_NOT_ALLOWED", "Method Not Allowed");
    }
    write(emqx, &parts, body)
}

fn authenticate(emqx: &Emqx, authorization: Option<&str>) -> Result<bool, Reply> {
    let refuse = |code: &str, message: &str| Err(error(401, code, message));
    let Some(header) = authorization else {
        return refuse(
            "AUTHORIZATION_HEADER_ERROR",
            "Support authorization: basic/bearer token. Or use the API key in the basic auth",
        );
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
        Some(key) => Ok(key.viewer),
        None => refuse("BAD_API_KEY_OR_SECRET", "Check api_key/api_secret"),
    }
}

fn read(emqx: &Emqx, node: usize, parts: &[&str]) -> Reply {
    let v4 = emqx.api() == Api::V1beta4;
    let wrap = |value: Value| (200, Some(if v4 { json!({ "code": 0, "data": value }) } else { value }));
    let plain = |value: Value| (200, Some(value));
    let missing = |name: &str| refused(v4, &Refusal::NoNode(name.to_owned()));
    emqx.with(|broker| match parts {
        ["nodes"] => wrap(bodies::nodes(broker)),
        ["nodes", name] => match broker.find(name).filter(|&node| broker.nodes[node].running) {
            Some(found) => wrap(bodies::node(broker, found)),
            None => missing(name),
        },
        ["stats"] => wrap(bodies::stats(broker)),
        ["load_rebalance", "global_status"] => plain(bodies::global_status(broker)),
        ["load_rebalance", "status"] => plain(bodies::local_status(broker, node)),
        ["cluster"] if !v4 => plain(bodies::cluster(broker, node)),
        ["monitor_current"] if !v4 => plain(bodies::monitor(broker)),
        _ => error(404, "NOT_FOUND", "Request Path Not Found"),
    })
}

/// EMQX's refusal in the form of its API: v4 says 200 and puts a code into the body.
fn refused(v4: bool, refusal: &Refusal) -> Reply {
    if v4 {
        return (200, Some(json!({ "code": 400, "message": refusal.message() })));
    }
    let (status, code) = refusal.code();
    error(status, code, &refusal.message())
}

fn write(emqx: &Emqx, parts: &[&str], body: &[u8]) -> Reply {
    let v4 = emqx.api() == Api::V1beta4;
    let body = if body.is_empty() { json!({}) } else { serde_json::from_slice(body).unwrap_or(Value::Null) };
    let Value::Object(body) = body else {
        return refused(v4, &Refusal::Bad("Bad JSON body".to_owned()));
    };
    let done = match parts {
        ["load_rebalance", name, "start"] => bodies::rebalance_order(&body, emqx.api(), &version(emqx))
            .and_then(|order| emqx.with(|broker| broker.start_rebalance(name, order))),
        ["load_rebalance", name, "stop"] => emqx.with(|broker| broker.stop_rebalance(name)),
        ["load_rebalance", name, "evacuation", "start"] => bodies::evacuation_order(&body, emqx.api())
            .and_then(|order| emqx.with(|broker| broker.start_evacuation(name, order))),
        ["load_rebalance", name, "evacuation", "stop"] => emqx.with(|broker| broker.stop_evacuation(name)),
        _ => return error(404, "NOT_FOUND", "Request Path Not Found"),
    };
    match done {
        Ok(()) if v4 => (200, Some(json!({ "data": [], "code": 0 }))),
        Ok(()) => (200, Some(json!({}))),
        Err(refusal) => refused(v4, &refusal),
    }
}

fn version(emqx: &Emqx) -> String {
    emqx.with(|broker| broker.version.clone())
}
