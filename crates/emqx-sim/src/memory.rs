//! The simulated cluster without sockets: each connection is a pair of in-memory streams, so that everything runs on a
//! paused clock, thousands of times faster than real time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;

use super::apiserver::{self, Server};
use super::clock::Clock;
use super::emqx::Emqx;
use super::faults::Faults;
use super::scenario::Scenario;
use super::serve::{Parts, SimError};

/// Bytes that one side may write before the other reads.
const PIPE: usize = 64 * 1024;

/// Opens connections to one simulated API server.
#[derive(Clone)]
pub struct Door {
    server: Server,
}

impl Door {
    /// A new connection.
    pub fn connect(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(PIPE);
        tokio::spawn(apiserver::connection(TokioIo::new(far), self.server.clone()));
        near
    }

    /// Sends one request over a connection of its own, as a user of the simulated cluster.
    pub async fn ask(&self, user: &str, request: Request<Body>) -> Result<Response<Incoming>, hyper::Error> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |it| it.as_str());
        if let Ok(uri) = format!("/as/{user}{path}").parse::<Uri>() {
            head.uri = uri;
        }
        let (mut sender, connection) = handshake(TokioIo::new(self.connect())).await?;
        tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        sender.send_request(Request::from_parts(head, body)).await
    }

    /// A client of the API server.
    pub fn client(&self, user: &'static str, namespace: &str) -> kube::Client {
        kube::Client::new(Caller { door: self.clone(), user }, namespace)
    }
}

/// [`Door::ask`] in the form that kube's client requires.
struct Caller {
    door: Door,
    user: &'static str,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

impl tower::Service<Request<Body>> for Caller {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let (door, user) = (self.door.clone(), self.user);
        Box::pin(async move { door.ask(user, request).await })
    }
}

/// A simulated cluster within this process. Dropping it ends it.
pub struct InMemory {
    door: Door,
    emqx: Emqx,
    faults: Faults,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts a simulated cluster on a clock; it answers when this returns.
pub fn start(scenario: Scenario, clock: &Clock) -> Result<InMemory, SimError> {
    let namespace = scenario.namespace.clone();
    let parts = Parts::new(&scenario, clock)?;
    let door = Door { server: parts.server(None) };
    let client = door.client("admin", &namespace);
    let (emqx, faults) = (parts.emqx.clone(), parts.faults.clone());
    let tasks = parts.run(scenario, clock, client);
    Ok(InMemory { door, emqx, faults, tasks })
}

impl InMemory {
    /// Opens connections to the API server.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// The simulated EMQX: the true state of every node and client.
    pub fn emqx(&self) -> &Emqx {
        &self.emqx
    }

    /// Triggers faults.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Drop for InMemory {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.emqx.clock().drop_gates();
    }
}
