//! HTTP to the API server. Where the server offers HTTP/2 (ALPN decides) all lists and watches share one
//! connection; elsewhere each concurrent request has an HTTP/1.1 connection, as in kube's own client. An
//! upgrade (port-forward) cannot use HTTP/2: it has an HTTP/1.1 connection of its own, which is opened in
//! advance over a slow link.
//!
//! ```text
//! request ──► Upgrade, or http:// ──────────────────────► HTTP/1.1 (pool) ◄── prepared connection
//!        └──► the one connection ──► ALPN h2 ───► HTTP/2           ▲
//!                               └──► ALPN http/1.1 ────────────────┘
//! ```

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{HeaderMap, UPGRADE};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{Method, Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::Body;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower::{BoxError, Service, ServiceExt as _};

use crate::timing::{PING_AFTER, PING_TIMEOUT, PREPARED_FOR, SLOW_LINK};

/// The largest buffer in bytes of an HTTP/1.1 connection for what arrives at once; hyper would use up to 400 kB for each.
pub(super) const READ_BUFFER: usize = 64 << 10;

/// The most connections on which a request is tried that no connection accepted.
const CONNECTION_TRIES: usize = 3;

/// A stream to the API server, TLS included.
trait Stream: Read + Write + Connection + Send + Unpin {}

impl<T: Read + Write + Connection + Send + Unpin> Stream for T {}

/// The same for every kind of proxy.
pub(super) struct ApiStream(Box<dyn Stream>);

impl Read for ApiStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for ApiStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, bytes)
    }
}

impl Connection for ApiStream {
    fn connected(&self) -> Connected {
        self.0.connected()
    }
}

type Connecting = BoxFuture<'static, Result<ApiStream, BoxError>>;

/// Opens streams: TCP, a proxy where one is set, and TLS.
#[derive(Clone)]
pub(super) struct ApiConnector(Arc<dyn Fn(Uri) -> Connecting + Send + Sync>);

impl ApiConnector {
    /// Wraps a connector of hyper, with a time limit.
    pub(super) fn new<C>(connector: C, limit: Duration) -> Self
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: Read + Write + Connection + Send + Unpin + 'static,
        C::Future: Send + 'static,
        C::Error: Into<BoxError>,
    {
        Self(Arc::new(move |uri| {
            let connecting = connector.clone().oneshot(uri);
            async move {
                match tokio::time::timeout(limit, connecting).await {
                    Ok(stream) => stream.map(|it| ApiStream(Box::new(it))).map_err(Into::into),
                    Err(late) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, late).into()),
                }
            }
            .boxed()
        }))
    }

    fn connect(&self, uri: Uri) -> Connecting {
        (self.0)(uri)
    }
}

/// A connection that was opened before it is needed.
struct Prepared {
    since: Instant,
    stream: PreparedStream,
}

enum PreparedStream {
    Open(ApiStream),
    Connecting(JoinHandle<Result<ApiStream, BoxError>>),
}

type PreparedSlot = Arc<Mutex<Option<Prepared>>>;

/// The connector of the HTTP/1.1 client: the prepared connection first.
#[derive(Clone)]
struct Http1Connector {
    connector: ApiConnector,
    prepared: PreparedSlot,
}

impl Service<Uri> for Http1Connector {
    type Response = ApiStream;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        let prepared = locked(&self.prepared).take().filter(|it| it.since.elapsed() < PREPARED_FOR);
        let connector = self.connector.clone();
        async move {
            match prepared.map(|it| it.stream) {
                Some(PreparedStream::Open(stream)) => return Ok(stream),
                Some(PreparedStream::Connecting(task)) => {
                    if let Ok(Ok(stream)) = task.await {
                        return Ok(stream);
                    }
                }
                None => {}
            }
            connector.connect(uri).await
        }
        .boxed()
    }
}

/// Why there is no connection; shared by all requests that waited for it.
#[derive(Clone, Debug)]
struct ConnectFailed(Arc<dyn StdError + Send + Sync>);

impl fmt::Display for ConnectFailed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("cannot connect")
    }
}

impl StdError for ConnectFailed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

/// The version of HTTP that the server chose.
#[derive(Clone)]
enum Negotiated {
    Http2(SendRequest<Body>),
    Http1,
}

type Attempt = watch::Receiver<Option<Result<Negotiated, ConnectFailed>>>;

/// The shared connection, and its number.
#[derive(Default)]
struct Current {
    number: u64,
    attempt: Option<Attempt>,
}

/// The connections for requests to the API server; clones share them.
#[derive(Clone)]
pub(super) struct HttpTransport {
    /// Offers HTTP/2.
    connector: ApiConnector,
    /// Offers HTTP/1.1 only.
    http1: Client<Http1Connector, Body>,
    http1_connector: ApiConnector,
    prepared: PreparedSlot,
    current: Arc<Mutex<Current>>,
    /// Whether a port-forward is expected.
    forwards: Arc<AtomicBool>,
    /// Whether connecting took long.
    slow: Arc<AtomicBool>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HttpTransport {
    /// `connector` offers HTTP/2 and HTTP/1.1, `http1` only the latter.
    pub(super) fn new(connector: ApiConnector, http1: ApiConnector) -> Self {
        let prepared = PreparedSlot::default();
        let first = Http1Connector { connector: http1.clone(), prepared: prepared.clone() };
        Self {
            connector,
            http1: Client::builder(TokioExecutor::new()).http1_max_buf_size(READ_BUFFER).build(first),
            http1_connector: http1,
            prepared,
            current: Arc::default(),
            forwards: Arc::default(),
            slow: Arc::default(),
        }
    }

    /// Announces a port-forward: over a slow link its connection is opened at once.
    pub(super) fn expect_forward(&self) {
        self.forwards.store(true, Ordering::Relaxed);
    }

    /// Whether the requests share one connection; `false` before the first answer.
    pub(super) fn is_shared(&self) -> bool {
        let current = locked(&self.current);
        let attempt = current.attempt.as_ref().map(|attempt| attempt.borrow());
        attempt.is_some_and(|it| matches!(it.as_ref(), Some(Ok(Negotiated::Http2(_)))))
    }

    /// Whether a round trip costs more than a further request: over one connection, over a slow link.
    pub(super) fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed) && self.is_shared()
    }

    /// Lets the next request open a new connection: a request was not answered in time, and the connection
    /// may be dead. Requests that are still open continue on the old one.
    pub(super) fn abandon(&self) {
        let mut current = locked(&self.current);
        let number = current.number;
        Self::forget(&mut current, number);
    }

    fn forget(current: &mut Current, number: u64) {
        if current.number == number
            && let Some(attempt) = &current.attempt
            && !matches!(attempt.borrow().as_ref(), Some(Ok(Negotiated::Http1)) | None)
        {
            current.attempt = None;
        }
    }

    /// The shared connection: its number, whether requests before this one used it, and what was negotiated.
    async fn connection(&self, uri: &Uri) -> Result<(u64, bool, Negotiated), ConnectFailed> {
        let (number, mut attempt) = {
            let mut current = locked(&self.current);
            let usable = current.attempt.as_ref().and_then(|attempt| match attempt.borrow().as_ref() {
                Some(Ok(Negotiated::Http2(sender))) if sender.is_closed() => None,
                Some(Err(_)) => None,
                Some(Ok(negotiated)) => Some((true, Some(negotiated.clone()))),
                None => Some((false, None)),
            });
            if let Some((reused, Some(negotiated))) = usable {
                return Ok((current.number, reused, negotiated));
            }
            if usable.is_none() {
                current.number += 1;
                current.attempt = Some(self.open(uri.clone()));
            }
            let Some(attempt) = current.attempt.clone() else {
                return Err(ConnectFailed(Arc::new(std::io::Error::other("no connection"))));
            };
            (current.number, attempt)
        };
        let outcome = match attempt.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        let stopped =
            || Err(ConnectFailed(Arc::new(std::io::Error::other("the connection was not completed"))));
        outcome.unwrap_or_else(stopped).map(|negotiated| (number, false, negotiated))
    }

    /// Connects in a task of its own, so that a cancelled request does not stop the others.
    fn open(&self, uri: Uri) -> Attempt {
        let (result, attempt) = watch::channel(None);
        let transport = self.clone();
        tokio::spawn(async move {
            let negotiated = transport.negotiate(uri).await;
            result.send_replace(Some(negotiated.map_err(|error| ConnectFailed(error.into()))));
        });
        attempt
    }

    async fn negotiate(&self, uri: Uri) -> Result<Negotiated, BoxError> {
        let begun = Instant::now();
        let stream = self.connector.connect(uri.clone()).await?;
        if !stream.connected().is_negotiated_h2() {
            *locked(&self.prepared) =
                Some(Prepared { since: Instant::now(), stream: PreparedStream::Open(stream) });
            return Ok(Negotiated::Http1);
        }
        let slow = begun.elapsed() >= SLOW_LINK;
        self.slow.store(slow, Ordering::Relaxed);
        if slow && self.forwards.load(Ordering::Relaxed) {
            let task = tokio::spawn(self.http1_connector.connect(uri));
            *locked(&self.prepared) =
                Some(Prepared { since: begun, stream: PreparedStream::Connecting(task) });
        }
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(PING_AFTER).keep_alive_timeout(PING_TIMEOUT);
        let (sender, connection) = builder.handshake(stream).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the HTTP/2 connection to the API server ended");
            }
        });
        Ok(Negotiated::Http2(sender))
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        if request.headers().contains_key(UPGRADE) || request.uri().scheme_str() != Some("https") {
            return Ok(self.http1.request(request).await?);
        }
        let mut again = Repeat::of(&request);
        let mut request = request;
        let mut tries = 0;
        let mut repeated = false;
        loop {
            let (number, reused, negotiated) = self.connection(request.uri()).await?;
            let Negotiated::Http2(mut sender) = negotiated else {
                return Ok(self.http1.request(request).await?);
            };
            tries += 1;
            let mut failed = match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            Self::forget(&mut locked(&self.current), number);
            if let Some(unsent) = failed.take_message() {
                if tries >= CONNECTION_TRIES {
                    return Err(failed.into_error().into());
                }
                request = unsent;
                continue;
            }
            let error = failed.into_error();
            // The server may have closed an idle connection while the request was being sent. A request that
            // changes something is repeated only where the server did not process it.
            let repeat = again
                .take_if(|it| !repeated && (unprocessed(&error) || reused && tries == 1 && it.is_read()))
                .ok_or(error)?;
            repeated = true;
            request = repeat.request();
        }
    }
}

/// Whether the server did not process the request and will not: its stream is above the last one of a GOAWAY, or was refused
/// (RFC 9113, 6.8 and 8.7). h2 gives the error of a GOAWAY from the server to these streams only; streams that the server
/// may have processed end with an I/O error.
fn unprocessed(error: &hyper::Error) -> bool {
    let reason = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    reason.is_some_and(|it| {
        it.is_remote()
            && (it.is_go_away() || it.is_reset() && it.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// A request that can be sent again.
struct Repeat {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
}

impl Repeat {
    fn of(request: &Request<Body>) -> Option<Self> {
        Some(Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            body: request.body().try_clone()?,
        })
    }

    fn is_read(&self) -> bool {
        self.method == Method::GET
    }

    fn request(self) -> Request<Body> {
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }
}

impl Service<Request<Body>> for HttpTransport {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Incoming>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let transport = self.clone();
        async move { transport.send(request).await }.boxed()
    }
}

#[cfg(test)]
mod tests;
