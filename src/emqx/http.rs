//! One HTTP/1.1 connection: kept alive, read by length or chunks and never to the end of the stream, because
//! a port-forward does not pass that end on ([OP-79]); with limits for time and size.

use std::cell::OnceCell;
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::ports::{self, ApiKey, host};
use crate::timing::EMQX_LONGEST_IDLE;

/// The largest answer in bytes: 10,000 nodes fit in a third of it.
pub(super) const MAX_EMQX_ANSWER: usize = 16 << 20;

/// The largest buffer in bytes for what arrives at once; hyper would use up to 400 kB, and several of them for one answer.
const EMQX_READ_BUFFER: usize = 64 << 10;

/// The longest text of a failure that is kept, in bytes: the reason is at its start.
const LONGEST_TEXT: usize = 16 << 10;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The request was never sent: it may be repeated, even if it changes something.
    Unsent(String),
    /// The request was sent, and its result is unknown.
    Unanswered(String),
    /// The same, because the time limit passed.
    Late(String),
    /// The request was sent, and what answers does not speak HTTP; the result is unknown.
    NotHttp(String),
    /// The answer is unusable; a second request would give the same.
    Useless(String),
    /// Port-forward is forbidden, for every pod; a whole sentence.
    Forbidden(String),
    /// The API server between them is unreachable; a whole sentence. The request was never sent.
    Away(String),
}

impl Lost {
    /// The reason in plain words.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::Unsent(text)
            | Self::Unanswered(text)
            | Self::Late(text)
            | Self::NotHttp(text)
            | Self::Useless(text)
            | Self::Forbidden(text)
            | Self::Away(text) => text,
        }
    }
}

/// An answer with JSON, or nothing, in it.
pub(super) struct HttpResponse {
    pub(super) status: u16,
    /// The verified JSON; empty where [`Self::value`] was set at once.
    text: Vec<u8>,
    /// The JSON as a value. It is made when it is read for the first time: that of 1000 nodes takes 3 MB.
    value: OnceCell<Value>,
}

impl HttpResponse {
    /// The text of the answer, for a reader that needs no value of the whole.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    pub(super) fn body(&self) -> &Value {
        self.value.get_or_init(|| serde_json::from_slice(&self.text).unwrap_or_default())
    }

    pub(super) fn into_body(self) -> Value {
        self.body();
        self.value.into_inner().unwrap_or_default()
    }
}

/// An open connection.
pub(super) struct EmqxConnection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    time_limit: Duration,
    /// When the last answer came over it, by [`host::elapsed`]; `None` before the first one.
    used: Option<Duration>,
}

impl EmqxConnection {
    /// Starts HTTP on this stream.
    pub(super) async fn over(
        bytes: Box<dyn ports::Bytes>,
        host: &str,
        time_limit: Duration,
    ) -> Result<Self, Lost> {
        let unsent = |error: hyper::Error| Lost::Unsent(sentence(&error));
        let handshake = Builder::new().max_buf_size(EMQX_READ_BUFFER).handshake(TokioIo::new(bytes));
        let (sender, connection) = handshake.await.map_err(unsent)?;
        // The task ends when the sender is dropped or the stream breaks.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to EMQX ended");
            }
        });
        let host = HeaderValue::from_str(host).unwrap_or_else(|_| HeaderValue::from_static("localhost"));
        Ok(Self { sender, host, time_limit, used: None })
    }

    /// Whether the connection has carried an answer already: EMQX may have closed an idle connection, so that
    /// its failure shows nothing about EMQX.
    pub(super) fn was_used(&self) -> bool {
        self.used.is_some()
    }

    /// Whether EMQX may have closed the idle connection by now. A port-forward does not
    /// report that, and a `start` request would be lost.
    pub(super) fn is_stale(&self) -> bool {
        self.used.is_some_and(|used| host::elapsed().saturating_sub(used) > EMQX_LONGEST_IDLE)
    }

    /// One request and its answer, within the usual time limit.
    pub(super) async fn ask(
        &mut self,
        method: &Method,
        path: &str,
        key: Option<&ApiKey>,
        body: Option<&Value>,
    ) -> Result<HttpResponse, Lost> {
        self.ask_within(self.time_limit, method, path, key, body).await
    }

    /// One request and its answer, within this time.
    pub(super) async fn ask_within(
        &mut self,
        time_limit: Duration,
        method: &Method,
        path: &str,
        key: Option<&ApiKey>,
        body: Option<&Value>,
    ) -> Result<HttpResponse, Lost> {
        match tokio::time::timeout(time_limit, self.ask_without_timeout(method, path, key, body)).await {
            Ok(result) => result,
            Err(_) => Err(Lost::Late(no_answer(time_limit))),
        }
    }

    async fn ask_without_timeout(
        &mut self,
        method: &Method,
        path: &str,
        key: Option<&ApiKey>,
        body: Option<&Value>,
    ) -> Result<HttpResponse, Lost> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.host.clone())
            .header(USER_AGENT, concat!("kubectl-emqx/", env!("CARGO_PKG_VERSION")))
            // Every request has this header, as those of the operators: without it EMQX refuses even an empty
            // POST ([EMQX-54]).
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json");
        if let Some(key) = key {
            let basic =
                base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", key.key, key.secret));
            let mut value = HeaderValue::from_str(&format!("Basic {basic}"))
                .map_err(|_| Lost::Useless("the key for EMQX's API cannot be sent".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = request
            .body(Full::new(bytes))
            .map_err(|error| Lost::Useless(format!("the request {path} cannot be made: {error}")))?;
        self.sender.ready().await.map_err(|error| Lost::Unsent(sentence(&error)))?;
        let response = self.sender.send_request(request).await.map_err(|error| {
            if error.is_canceled() {
                Lost::Unsent(sentence(&error))
            } else if error.is_parse() {
                Lost::NotHttp(sentence(&error))
            } else {
                Lost::Unanswered(sentence(&error))
            }
        })?;
        let status = response.status().as_u16();
        let announced =
            response.headers().get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > MAX_EMQX_ANSWER as u64) {
            return Err(too_large());
        }
        let mut body = Limited::new(response.into_body(), MAX_EMQX_ANSWER);
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| match error.downcast::<LengthLimitError>() {
                Ok(_) => too_large(),
                Err(error) => Lost::Unanswered(format!("the answer broke off: {error}")),
            })?;
            bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref()));
        }
        tracing::debug!(%method, path, status, bytes = bytes.len(), "EMQX answered");
        self.used = Some(host::elapsed());
        parse(status, bytes)
    }
}

/// The message that the time limit was reached.
pub(super) fn no_answer(time_limit: Duration) -> String {
    format!("no answer within {} s", time_limit.as_secs_f64())
}

fn too_large() -> Lost {
    Lost::Useless(format!("the answer is larger than {} MB", MAX_EMQX_ANSWER >> 20))
}

/// The JSON of an answer. A failure may have any body: EMQX sends text of some kB as `application/json` when
/// a start names a node of another rebalance ([EMQX-41]). Such a text is kept as a JSON text, truncated.
fn parse(status: u16, bytes: Vec<u8>) -> Result<HttpResponse, Lost> {
    let with = |value: Value| HttpResponse { status, text: Vec::new(), value: value.into() };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(with(Value::Null));
    }
    match serde_json::from_slice::<IgnoredAny>(&bytes) {
        Ok(_) => Ok(HttpResponse { status, text: bytes, value: OnceCell::new() }),
        Err(_) if !(200..300).contains(&status) => {
            let start = &bytes[..bytes.len().min(LONGEST_TEXT)];
            Ok(with(Value::String(String::from_utf8_lossy(start).into_owned())))
        }
        Err(_) => {
            let start = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
            let what = if start == Some(&b'<') { "a web page" } else { "no JSON" };
            Err(Lost::Useless(format!("{}: it gave {what}", super::error::NOT_EMQX)))
        }
    }
}

/// The message for an error of hyper.
fn sentence(error: &hyper::Error) -> String {
    use std::error::Error;
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return match error.source() {
            Some(cause) => format!("the connection was closed: {cause}"),
            None => "the connection was closed".to_owned(),
        };
    }
    if error.is_parse() {
        return format!("{}: it does not speak HTTP", super::error::NOT_EMQX);
    }
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
