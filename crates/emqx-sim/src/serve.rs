//! Assembles the simulated cluster and keeps it running.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::access;
use super::apiserver::{self, Server};
use super::clock::Clock;
use super::emqx::Emqx;
use super::faults::{self, Faults};
use super::kubelet::Kubelet;
use super::lease;
use super::operator::{self, Operator};
use super::population;
use super::resources::Registry;
use super::rest;
use super::scenario::{Fault, Scenario, ScenarioError};
use super::schema::Schemas;
use super::store::Store;
use super::verbs::Verbs;
use user_files as files;

/// The options of a simulated cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster.
    pub scenario: Scenario,
    /// Virtual seconds per real second; 0 makes time stand still until [`Clock::advance`] advances it.
    pub speed: f64,
    /// The path of the kubeconfig; a separate folder in the temporary folder when absent.
    pub kubeconfig_out: Option<PathBuf>,
}

/// Why the simulated cluster cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// No socket.
    #[error("cannot listen on 127.0.0.1: {0}")]
    Listen(#[source] std::io::Error),
    /// No random numbers for the address.
    #[error("cannot choose an address that cannot be guessed: {0}")]
    Secret(#[source] std::io::Error),
    /// No kubeconfig.
    #[error("cannot write the kubeconfig {path}: {source}")]
    Kubeconfig {
        /// The path that was to be written.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A scenario that cannot be used.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// No client for the operator.
    #[error("the simulated operator cannot be a client of the simulated API server: {0}")]
    Client(#[from] kube::Error),
    /// An invalid address.
    #[error("not an address: {0}")]
    Address(String),
    /// No such node.
    #[error("the simulated cluster has no pod or node {0:?}")]
    NoNode(String),
}

/// A running simulated cluster. Dropping it ends it; [`shutdown`](Running::shutdown) also waits for the end.
pub struct Running {
    url: String,
    kubeconfig: PathBuf,
    /// The folder to remove, when this program created it.
    folder: Option<PathBuf>,
    emqx: Emqx,
    faults: Faults,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// Starts a simulated cluster on loopback; it answers when this returns.
pub async fn serve(options: Options) -> Result<Running, SimError> {
    serve_under(options, None).await
}

/// The same under a path of 128 random bits: only a user who can read the kubeconfig can use the cluster.
pub async fn serve_privately(options: Options) -> Result<Running, SimError> {
    let secret = files::random_word().map_err(SimError::Secret)?;
    serve_under(options, Some(secret)).await
}

async fn serve_under(options: Options, secret: Option<String>) -> Result<Running, SimError> {
    let Options { scenario, speed, kubeconfig_out } = options;
    let clock = Clock::new(speed);
    let parts = Parts::new(&scenario, &clock)?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(SimError::Listen)?;
    let mut url = format!("http://{}", listener.local_addr().map_err(SimError::Listen)?);
    if let Some(secret) = &secret {
        url = format!("{url}/{secret}");
    }
    let (kubeconfig, folder) =
        write_kubeconfig(kubeconfig_out, &access::kubeconfig(&url, &scenario.namespace))?;
    let client = kube::Client::try_from(admin(&url)?)?;
    let (emqx, faults) = (parts.emqx.clone(), parts.faults.clone());
    let mut tasks = vec![tokio::spawn(apiserver::serve(listener, parts.server(secret)))];
    tasks.extend(parts.run(scenario, &clock, client));
    Ok(Running { url, kubeconfig, folder, emqx, faults, tasks: Mutex::new(tasks) })
}

/// An assembled cluster that does not run yet.
pub(super) struct Parts {
    pub(super) emqx: Emqx,
    pub(super) faults: Faults,
    verbs: Verbs,
    table: Vec<(Duration, Fault)>,
}

impl Parts {
    pub(super) fn new(scenario: &Scenario, clock: &Clock) -> Result<Self, SimError> {
        let table = faults::timetable(scenario)?;
        let emqx = Emqx::new(scenario, clock.clone());
        let registry = Registry::new(scenario.api.line());
        let schemas = Schemas::new(scenario.api.line());
        let store = Store::new(clock.clone(), registry);
        {
            let mut locked = store.lock();
            for object in schemas.definitions(&store.registry) {
                locked.seed(object);
            }
            for machine in population::machines(scenario, &emqx) {
                locked.found(machine);
            }
            for object in population::objects(scenario, &emqx) {
                locked.seed(object);
            }
            locked.take_dirty();
        }
        let faults = Faults::new(scenario, emqx.clone(), store.clone());
        if scenario.operator_alive {
            lease::renew(&store, &mut store.lock());
        }
        let verbs = Verbs { store, schemas: Arc::new(schemas), operator_alive: faults.operator_alive() };
        Ok(Self { emqx, faults, verbs, table })
    }

    /// The API server of it; `secret` is the first part of every path.
    pub(super) fn server(&self, secret: Option<String>) -> Server {
        Server {
            secret,
            verbs: self.verbs.clone(),
            emqx: self.emqx.clone(),
            disconnect_all: self.faults.all_disconnected(),
            close_forwards: self.faults.forwards_closed(),
        }
    }

    /// Starts kubelet, operator and timetable; `client` is the operator's client of the API server.
    pub(super) fn run(self, scenario: Scenario, clock: &Clock, client: kube::Client) -> Vec<JoinHandle<()>> {
        let Self { emqx, faults, verbs, table } = self;
        let store = verbs.store;
        let kubelet = Kubelet::new(store.clone(), emqx.clone(), scenario.clone());
        let kubelet_worker = clock.worker();
        store.set_kubelet(kubelet_worker.raiser());
        let plural = scenario.api.plural();
        let operator = Operator::new(operator::OperatorOptions {
            client,
            emqx,
            scenario,
            alive: faults.operator_alive(),
        });
        // The operator receives a change over a socket: time must not advance before that.
        let (rebalances, instances) = operator.seen();
        for (plural, seen) in [("rebalances", rebalances), (plural, instances)] {
            if let Some(resource) = store.registry.index(plural) {
                let store = store.clone();
                clock.add_gate(move || seen.load(Ordering::SeqCst) >= store.lock().newest(resource));
            }
        }
        vec![
            tokio::spawn(kubelet.run(kubelet_worker)),
            tokio::spawn(operator.run()),
            tokio::spawn(faults::run(clock.worker(), faults, table)),
        ]
    }
}

/// The operator's own kubeconfig.
fn admin(url: &str) -> Result<kube::Config, SimError> {
    let address = format!("{url}/as/admin").parse().map_err(|_| SimError::Address(url.to_owned()))?;
    Ok(kube::Config::new(address))
}

/// The first line of a kubeconfig of the demo, by which a later demo recognises it.
pub const KUBECONFIG_BEGINS: &str = "# kubeconfig of kubectl emqx demo\n";

fn write_kubeconfig(wanted: Option<PathBuf>, text: &str) -> Result<(PathBuf, Option<PathBuf>), SimError> {
    let (path, folder) = if let Some(path) = wanted {
        (path, None)
    } else {
        let folder = files::private_folder("kubectl-emqx-demo-")
            .map_err(|source| SimError::Kubeconfig { path: std::env::temp_dir(), source })?;
        (folder.join("config"), Some(folder))
    };
    let failed = |source| SimError::Kubeconfig { path: path.clone(), source };
    let text = format!("{KUBECONFIG_BEGINS}{text}");
    files::write_private(&path, text.as_bytes(), true).map_err(failed)?;
    Ok((path, folder))
}

impl Running {
    /// The kubeconfig to use.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The API server's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The clock of everything.
    pub fn clock(&self) -> &Clock {
        self.emqx.clock()
    }

    /// The simulated EMQX, to read and to change it.
    pub fn emqx(&self) -> &Emqx {
        &self.emqx
    }

    /// Triggers faults.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// An address of EMQX's REST API outside Kubernetes, as `--emqx-url` takes it: a port of its own for a node,
    /// named by its pod or by itself; the first running node when nothing is named.
    pub async fn emqx_url(&self, node: Option<&str>) -> Result<String, SimError> {
        let index = self.emqx.with(|broker| match node {
            None => broker.nodes.iter().position(|node| node.running),
            Some(name) => broker.in_pod(name).or_else(|| broker.find(name)),
        });
        let index = index.ok_or_else(|| SimError::NoNode(node.unwrap_or_default().to_owned()))?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(SimError::Listen)?;
        let url = format!("http://{}", listener.local_addr().map_err(SimError::Listen)?);
        let task = tokio::spawn(rest::serve(listener, self.emqx.clone(), index));
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
        Ok(url)
    }

    /// Ends the cluster with its open connections, and waits for the end; removes the kubeconfig that it
    /// created.
    pub async fn shutdown(self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        self.faults.close_connections();
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.faults.close_connections();
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            task.abort();
        }
        if let Some(folder) = self.folder.take() {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}
