//! The product's connection to the API server, with every fault of a connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use emqx_sim::clock::Clock;
use emqx_sim::memory::Door;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use tokio::time::Instant;

use crate::case::Requests;

/// A fault of requests.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// They cannot be sent.
    Down,
    /// They are not answered before the fault ends.
    Hang,
    /// They are answered with this status.
    Status(u16, Requests),
    /// Their answers are late.
    Slow(Duration),
    /// The next requests, this many, are answered with 429.
    TooMany(u32),
    /// `Date` is off by this many seconds.
    Date(i64),
    /// Every other `Date` is off by this many seconds.
    TwoServers(i64),
}

/// A request that changes something.
#[derive(Clone, Debug)]
pub struct Write {
    /// Its time, in seconds since the start.
    pub at: f64,
    /// Method and path.
    pub request: String,
}

#[derive(Default)]
struct State {
    troubles: Vec<(Instant, Trouble)>,
    answered: u64,
    writes: Vec<Write>,
}

/// The product's connection to the API server.
#[derive(Clone)]
pub(crate) struct Port {
    door: Door,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

type Answered = Response<Either<Full<Bytes>, Incoming>>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Port {
    pub(crate) fn new(door: Door, clock: Clock) -> Self {
        Self { door, clock, state: Arc::default() }
    }

    /// Causes a fault for this number of seconds.
    pub(crate) fn trouble(&self, seconds: f64, trouble: Trouble) {
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        self.locked(|state| state.troubles.push((until, trouble)));
    }

    /// The changes that were made through it.
    pub(crate) fn writes(&self) -> Vec<Write> {
        self.locked(|state| state.writes.clone())
    }

    /// A client that uses this connection.
    pub(crate) fn client(&self, namespace: &str) -> kube::Client {
        kube::Client::new(self.clone(), namespace)
    }

    fn locked<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn troubles(&self, path: &str) -> Vec<(Instant, Trouble)> {
        let now = Instant::now();
        self.locked(|state| {
            state.answered += 1;
            state.troubles.retain(|(until, _)| *until > now);
            let mut found = Vec::new();
            for (until, trouble) in &mut state.troubles {
                match trouble {
                    Trouble::Status(_, requests) if !hits(*requests, path) => continue,
                    Trouble::TooMany(0) => continue,
                    Trouble::TooMany(left) => *left -= 1,
                    _ => {}
                }
                found.push((*until, trouble.clone()));
            }
            found
        })
    }

    async fn ask(self, request: Request<Body>) -> Result<Answered, Failure> {
        let path = request.uri().path().to_owned();
        let reads = request.method() == Method::GET || path.contains("selfsubject");
        if !reads {
            let (at, request) = (self.clock.elapsed().as_secs_f64(), format!("{} {path}", request.method()));
            self.locked(|state| state.writes.push(Write { at, request }));
        }
        let mut shift = 0;
        for (until, trouble) in self.troubles(&path) {
            match trouble {
                Trouble::Down => {
                    let kind = std::io::ErrorKind::ConnectionRefused;
                    return Err(std::io::Error::new(kind, "connection refused").into());
                }
                Trouble::Hang => {
                    tokio::time::sleep_until(until).await;
                    let kind = std::io::ErrorKind::ConnectionReset;
                    return Err(std::io::Error::new(kind, "connection reset by peer").into());
                }
                Trouble::Status(code, _) => return Ok(self.refuse(code)),
                Trouble::TooMany(_) => return Ok(self.refuse(429)),
                Trouble::Slow(pause) => tokio::time::sleep(pause).await,
                Trouble::Date(seconds) => shift += seconds,
                Trouble::TwoServers(seconds) => {
                    shift += if self.locked(|state| state.answered.is_multiple_of(2)) { seconds } else { 0 };
                }
            }
        }
        let mut response = self.door.ask("admin", request).await?;
        // A real API server does not report the demo's clock.
        response.headers_mut().remove(HeaderName::from_static("x-emqx-demo-clock"));
        self.date(response.headers_mut(), shift);
        Ok(response.map(Either::Right))
    }

    fn date(&self, headers: &mut hyper::HeaderMap, shift: i64) {
        let now = self.clock.now();
        let shown: Timestamp = now.checked_add(SignedDuration::from_secs(shift)).unwrap_or(now);
        let text = shown.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        if let Ok(value) = text.parse() {
            headers.insert(DATE, value);
        }
    }

    fn refuse(&self, code: u16) -> Answered {
        let (reason, message) = match code {
            401 => ("Unauthorized", "Unauthorized"),
            403 => ("Forbidden", "forbidden: User \"tester\" cannot do this"),
            410 => ("Expired", "too old resource version"),
            429 => ("TooManyRequests", "too many requests, please try again later"),
            503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
            _ => ("InternalError", "an error on the server has prevented the request from succeeding"),
        };
        let body = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": reason, "code": code,
        });
        let mut response = Response::new(Either::Left(Full::new(Bytes::from(body.to_string()))));
        *response.status_mut() =
            hyper::StatusCode::from_u16(code).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.date(response.headers_mut(), 0);
        response
    }
}

fn hits(requests: Requests, path: &str) -> bool {
    match requests {
        Requests::All => true,
        Requests::Rebalances => path.contains("/rebalances"),
        Requests::Pods => path.ends_with("/pods"),
        Requests::Forwards => path.ends_with("/portforward"),
        Requests::Instance => path.contains("/emqxenterprises/") || path.contains("/emqxes/"),
    }
}

impl tower::Service<Request<Body>> for Port {
    type Response = Answered;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Answered, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().ask(request))
    }
}
