//! A real Kubernetes control plane for tests: etcd, kube-apiserver, kube-controller-manager and a simulated kubelet
//! (kwok), all built from Go modules and run as plain processes on loopback. No containers, nothing to install but Go.
//!
//! ```text
//! test process ── pipe ──► helper supervise ──► etcd
//!              ── pipe ──► helper supervise ──► kube-apiserver        one supervisor per server: it kills its
//!              ── pipe ──► helper supervise ──► controller-manager    server when its pipe ends, and the kernel
//!              ── pipe ──► helper supervise ──► kwok                  ends the pipe however the test ends
//! ```
//!
//! * `ControlPlane::start_or_skip` is what a test calls. The first call on a machine builds for about six minutes.
//! * Pods need `spec.nodeName` in their template: there is no scheduler.
//! * `Ready` follows ContainersReady and the readiness gates, as on a real node (`tests/control_plane/kwok.yaml`).
//! * A few run at once; further tests wait in `ControlPlane::start`.
//! * `ControlPlane::forward` sets where a pod's ports lead, at any time and without disturbing open forwards.
//!
//! Environment: `CI=true` turns a skip into a failure, `CONTROL_PLANE=skip` skips, `CONTROL_PLANE=keep` keeps the
//! folder with the logs of a run (a failed test keeps it anyway, until the next run).

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use crate::go_modules::{cache_dir, lock, say, skipped};

mod clients;
mod forward;
mod objects;
mod process;
mod servers;
mod turns;
mod wait;
mod witness;
mod yaml;

pub use process::{Output, run_blocking};
pub use wait::{condition_is, until};

use process::Process;
use turns::Turn;
use wait::try_until;
use witness::Witness;
use yaml::read_yaml;

/// The namespace that every kubeconfig names and that exists from the start.
pub const NAMESPACE: &str = "mq";
/// The simulated node that exists from the start; what a pod template needs as `spec.nodeName`.
pub const NODE: &str = "node-0";
/// The readiness gate of EMQX's operators 2.2 and 2.3.
pub const ON_SERVING: &str = "apps.emqx.io/on-serving";
/// The ports of an EMQX pod that lead to its API: the dashboard of EMQX 5 and the management API of EMQX 4.
pub const EMQX_PORTS: &[u16] = &[18083, 8081];

const GROUP: &str = "apps.emqx.io";
const MANAGER: &str = "control-plane-test";
/// The time limit of a step, long enough for a machine that builds something else at the same time; no step
/// normally takes two seconds.
const LIMIT: Duration = Duration::from_mins(1);
/// The paths of the built programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    helper: PathBuf,
    etcd: PathBuf,
    kwok: PathBuf,
    api_server: PathBuf,
    controller_manager: PathBuf,
    /// kubectl of the same release as the API server.
    pub kubectl: PathBuf,
}

/// Why there is no control plane on this machine.
#[derive(Debug, Clone)]
pub struct Skip {
    /// The reason, as text.
    pub why: String,
}

fn build_all() -> Result<Binaries, String> {
    if std::env::var("CONTROL_PLANE").is_ok_and(|v| v == "skip") {
        return Err("CONTROL_PLANE=skip is set".into());
    }
    let mut programs = crate::go_modules::programs(&["helper", "etcd", "kwok", "kubernetes"])?;
    let mut take = |name: &str| programs.remove(name).expect("every module is in the table");
    Ok(Binaries {
        helper: take("helper"),
        etcd: take("etcd"),
        kwok: take("kwok"),
        api_server: take("kube-apiserver"),
        controller_manager: take("kube-controller-manager"),
        kubectl: take("kubectl"),
    })
}

/// The options of a control plane.
#[derive(Debug, Clone)]
pub struct Options {
    /// The namespace of the kubeconfigs; it is created.
    pub namespace: String,
    /// Simulated nodes; created and waited for.
    pub nodes: Vec<String>,
    /// Only the controllers that the tests need: every other one costs start time and noise.
    pub controllers: Vec<String>,
    /// Further flags for kube-apiserver.
    pub api_server_args: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        let controllers = [
            "statefulset-controller",
            "replicaset-controller",
            "garbage-collector-controller",
            "endpointslice-controller",
            "namespace-controller",
            "disruption-controller",
        ];
        Self {
            namespace: NAMESPACE.into(),
            nodes: vec![NODE.into()],
            controllers: controllers.map(String::from).to_vec(),
            api_server_args: Vec::new(),
        }
    }
}

/// An operator line of EMQX, by the CRDs that it installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// EmqxEnterprise v1beta4, EMQX v2beta1, Rebalance v1beta4 and v2beta1.
    V22,
    /// EMQX v2, Rebalance v2beta1.
    V23,
    /// EMQX v3beta1, no Rebalance.
    V30,
}

impl Line {
    /// Its CRDs, as paths in the repository.
    pub fn crds(self) -> &'static [&'static str] {
        match self {
            Self::V22 => &[
                "tests/data/crds/emqxenterprises-operator-2.2.yaml",
                "tests/data/crds/emqxes-operator-2.2.yaml",
                "tests/data/crds/rebalances-operator-2.2.yaml",
            ],
            Self::V23 => {
                &["tests/data/crds/emqxes-operator-2.3.yaml", "tests/data/crds/rebalances-operator-2.3.yaml"]
            }
            Self::V30 => &["tests/data/crds/emqxes-operator-3.0.yaml"],
        }
    }
}

struct Ports {
    etcd: u16,
    etcd_peer: u16,
    api_server: u16,
    kubelet: u16,
}

impl Ports {
    /// Ports that were free a moment ago. Another process may take one in between, so a failed start is
    /// repeated with others.
    fn free() -> io::Result<Self> {
        let held: Vec<TcpListener> =
            (0..4).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
        let port = |i: usize| held[i].local_addr().map(|a| a.port());
        Ok(Self { etcd: port(0)?, etcd_peer: port(1)?, api_server: port(2)?, kubelet: port(3)? })
    }
}

/// A running control plane. Dropping it ends every process and removes its folder.
pub struct ControlPlane {
    binaries: Binaries,
    options: Options,
    ports: Ports,
    dir: PathBuf,
    /// In the order of their start. They are ended in the opposite order.
    processes: Mutex<Vec<Process>>,
    kubelets: AtomicU32,
    witness: Witness,
    /// Locked while this process runs: the next run removes the folders of processes that ended.
    _alive: File,
    /// Released after `drop` has ended the processes.
    _turn: Turn,
}

impl ControlPlane {
    /// The programs, built on the first call. Blocks for minutes then, with a message on standard error.
    ///
    /// # Panics
    /// With `CI=true` a reason to skip is a failure.
    pub fn available() -> Result<Binaries, Skip> {
        static BUILT: OnceLock<Result<Binaries, String>> = OnceLock::new();
        BUILT.get_or_init(build_all).clone().map_err(|why| {
            skipped("a test against a real Kubernetes API server", &why);
            Skip { why }
        })
    }

    /// The usual entry of a test: with `None` the test should return.
    pub async fn start_or_skip(options: Options) -> Option<Self> {
        Self::start(options).await.ok()
    }

    /// Starts a control plane and waits until it answers, its namespace exists and its nodes are ready.
    pub async fn start(options: Options) -> Result<Self, Skip> {
        let binaries = Self::available()?;
        let mut why = String::new();
        for _ in 0..3 {
            match Self::try_start(binaries.clone(), options.clone()).await {
                Ok(plane) => return Ok(plane),
                Err(problem) => {
                    say(&format!("did not start, trying again: {problem}"));
                    why = problem;
                }
            }
        }
        panic!("the control plane did not start: {why}");
    }

    async fn try_start(binaries: Binaries, options: Options) -> Result<Self, String> {
        let turn = Turn::wait();
        let (dir, alive) = run_folder()?;
        let plane = Self {
            binaries,
            options,
            ports: Ports::free().map_err(|e| format!("no free port: {e}"))?,
            witness: Witness::start().map_err(|e| format!("no free port: {e}"))?,
            processes: Mutex::new(Vec::new()),
            kubelets: AtomicU32::new(0),
            dir,
            _alive: alive,
            _turn: turn,
        };
        plane.helper(&["certs", &plane.path("pki")])?;
        plane.write_kubeconfig("admin", "admin");
        plane.start_etcd()?;
        try_until("etcd", LIMIT, async || {
            plane.check_processes()?;
            match http_get(plane.ports.etcd, "/health").await {
                Ok(text) if text.contains("\"health\":\"true\"") => Ok(()),
                Ok(text) => Err(text),
                Err(e) => Err(e.to_string()),
            }
        })
        .await?;
        plane.start_api_server()?;
        plane.api_server_ready().await?;
        plane.start_controller_manager()?;
        let client = plane.admin_client().await;
        let crd = read_yaml(Path::new("tests/control_plane/port-forward-crd.yaml"))?;
        plane.try_apply_crds(&client, &[crd]).await?;
        plane.start_kubelet()?;
        plane.create_namespace(&plane.options.namespace).await;
        for node in &plane.options.nodes {
            plane.try_create_node(&client, node).await?;
        }
        plane.check_processes()?;
        Ok(plane)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let mut processes = std::mem::take(&mut *self.processes());
        // All pipes are closed first, so that the processes end together.
        for process in &mut processes {
            drop(process.life.take());
        }
        drop(processes);
        if thread::panicking() || std::env::var("CONTROL_PLANE").is_ok_and(|v| v == "keep") {
            // etcd's files are large, and no test reads them.
            let _ = fs::remove_dir_all(self.dir.join("etcd"));
            say(&format!("logs are in {}", self.dir.display()));
        } else {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// A folder for one run, and the lock while it is in use.
fn run_folder() -> Result<(PathBuf, File), String> {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let runs = cache_dir().join("runs");
    fs::create_dir_all(&runs).map_err(|e| format!("cannot make {}: {e}", runs.display()))?;
    let _lock = lock(&runs.join("lock"), LIMIT)?;
    // Removes folders of runs that were killed, or that failed tests kept.
    for entry in fs::read_dir(&runs).map_err(|e| e.to_string())?.flatten() {
        let alive = entry.path().join("alive");
        let free = File::open(&alive).is_ok_and(|file| file.try_lock().is_ok());
        if free {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let dir = runs.join(format!("{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed)));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(dir.join("home")).map_err(|e| format!("cannot make {}: {e}", dir.display()))?;
    let alive = lock(&dir.join("alive"), LIMIT)?;
    Ok((dir, alive))
}

/// A GET from a server that closes the connection after its answer.
async fn http_get(port: u16, path: &str) -> io::Result<String> {
    use tokio::io::AsyncWriteExt as _;
    let mut stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
