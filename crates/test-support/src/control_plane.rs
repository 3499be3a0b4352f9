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
//! * `ControlPlane::forward` sets where a pod's ports lead, at any time and without disturbing open forwards.
//!
//! Environment: `CI=true` turns a skip into a failure, `CONTROL_PLANE=skip` skips, `CONTROL_PLANE=keep` keeps the
//! folder with the logs of a run (a failed test keeps it anyway, until the next run).
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::go_modules::{cache_dir, lock, manifest_dir, say, skipped, tail};

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
/// Long enough for a machine that builds something else at the same time; nothing here normally takes two seconds.
const LIMIT: Duration = Duration::from_mins(1);

// ------------------------------------------------------------------------------------------------ programs

/// Where the built programs are.
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
    /// In words for a person.
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

// ------------------------------------------------------------------------------------------------ processes

/// A server under its supervisor. Dropping it ends both.
struct Process {
    name: &'static str,
    supervisor: Child,
    /// The supervisor kills its server when this pipe ends.
    life: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    fn start(
        name: &'static str,
        helper: &Path,
        log: PathBuf,
        program: &Path,
        args: &[String],
    ) -> Result<Self, String> {
        let mut command = Command::new(helper);
        command.arg("supervise").arg(&log).arg(program).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        #[cfg(unix)]
        {
            // Ctrl-C in a terminal is for the test; what it started ends by the pipe.
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
        }
        let mut supervisor = command.spawn().map_err(|e| format!("cannot start {name}: {e}"))?;
        let life = supervisor.stdin.take();
        Ok(Self { name, supervisor, life, log })
    }

    fn running(&mut self) -> Result<(), String> {
        match self.supervisor.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("{} ended ({status}):\n{}", self.name, tail(&self.log, 15))),
            Err(e) => Err(format!("{}: {e}", self.name)),
        }
    }

    fn end(&mut self) {
        drop(self.life.take());
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(5) {
            if !matches!(self.supervisor.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        // On Linux the kernel then kills the server too.
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A program's output and exit.
#[derive(Debug, Clone)]
pub struct Output {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Standard output of a run that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout
    }
}

/// Reads a pipe to its end on a thread, so that a full pipe never stops the program at its other end.
fn drain(pipe: Option<impl io::Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Runs a program to its end, with a limit. Blocks; see `ControlPlane::run` for async tests.
pub fn run_blocking(mut command: Command, input: Option<&[u8]>, limit: Duration) -> Output {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run {name}: {e}"));
    let writer = child.stdin.take().map(|mut pipe| {
        let bytes = input.unwrap_or_default().to_vec();
        // A program that does not read its input closes the pipe; that is its answer to judge.
        thread::spawn(move || drop(pipe.write_all(&bytes)))
    });
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break Some(status);
        }
        if began.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        thread::sleep(Duration::from_millis(3));
    };
    let stderr = stderr.join().expect("reading does not panic");
    let stdout = stdout.join().expect("reading does not panic");
    if let Some(writer) = writer {
        let _ = writer.join();
    }
    let Some(status) = status else {
        panic!("{name} took longer than {limit:?}\nstdout: {stdout}\nstderr: {stderr}")
    };
    Output { code: status.code(), stdout, stderr }
}

// ------------------------------------------------------------------------------------------------ waiting

/// Repeats `check` until it succeeds, at most for `limit`; the error is its last one.
async fn try_until<T>(
    what: &str,
    limit: Duration,
    mut check: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, String> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(5);
    let mut last = String::from("no answer");
    while let Some(left) = limit.checked_sub(began.elapsed()) {
        match tokio::time::timeout(left, check()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(why)) => last = why,
            Err(_) => break,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_millis(100));
    }
    Err(format!("{what}: not within {limit:?}; last: {last}"))
}

/// Waits until `check` gives a value; panics with its last error when `limit` is over.
pub async fn until<T>(what: &str, limit: Duration, check: impl AsyncFnMut() -> Result<T, String>) -> T {
    try_until(what, limit, check).await.unwrap_or_else(|why| panic!("{why}"))
}

/// Whether the pod's condition has the status.
pub fn condition_is(pod: &Pod, kind: &str, status: &str) -> bool {
    pod.status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten())
        .any(|c| c.type_ == kind && c.status == status)
}

// ------------------------------------------------------------------------------------------------ the control plane

/// What a control plane is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The namespace of the kubeconfigs; created.
    pub namespace: String,
    /// Pretend nodes; created and waited for.
    pub nodes: Vec<String>,
    /// Only what the tests need: every other controller costs start time and noise.
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

/// One of EMQX's operator lines, by the CRDs that it brings.
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
    /// Free a moment ago. Somebody may take one in between, so a failed start is tried again with others.
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
    /// In the order of starting. Ended in the opposite one.
    processes: Mutex<Vec<Process>>,
    kubelets: AtomicU32,
    witness: Witness,
    /// Locked while this process runs: the next run removes the folders of processes that ended.
    _alive: File,
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

    /// What most tests want: `None` when the test should return.
    pub async fn start_or_skip(options: Options) -> Option<Self> {
        Self::start(options).await.ok()
    }

    /// Starts one and waits until it answers, its namespace exists and its nodes are ready.
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

    // -------------------------------------------------------------------------------------------- its processes

    fn start_process(&self, name: &'static str, program: &Path, args: &[String]) -> Result<(), String> {
        let log = self.dir.join(format!("{name}.log"));
        let process = Process::start(name, &self.binaries.helper, log, program, args)?;
        self.processes().push(process);
        Ok(())
    }

    fn processes(&self) -> std::sync::MutexGuard<'_, Vec<Process>> {
        // A test that panicked while it held this still wants its processes ended.
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop_process(&self, name: &str) {
        let mut processes = self.processes();
        if let Some(at) = processes.iter().position(|p| p.name == name) {
            drop(processes.remove(at));
        }
    }

    fn check_processes(&self) -> Result<(), String> {
        self.processes().iter_mut().try_for_each(Process::running)
    }

    fn start_etcd(&self) -> Result<(), String> {
        let Ports { etcd, etcd_peer, .. } = self.ports;
        self.start_process(
            "etcd",
            &self.binaries.etcd,
            &flags(&[
                ("name", "default"),
                ("data-dir", &self.path("etcd")),
                ("listen-client-urls", &format!("http://127.0.0.1:{etcd}")),
                ("advertise-client-urls", &format!("http://127.0.0.1:{etcd}")),
                ("listen-peer-urls", &format!("http://127.0.0.1:{etcd_peer}")),
                ("initial-advertise-peer-urls", &format!("http://127.0.0.1:{etcd_peer}")),
                ("initial-cluster", &format!("default=http://127.0.0.1:{etcd_peer}")),
                // The data is thrown away: no need to wait for the disk.
                ("unsafe-no-fsync", "true"),
                // Alone it needs no patience before it elects itself.
                ("heartbeat-interval", "10"),
                ("election-timeout", "100"),
                ("log-level", "warn"),
            ]),
        )
    }

    fn start_api_server(&self) -> Result<(), String> {
        let mut args = flags(&[
            ("etcd-servers", &format!("http://127.0.0.1:{}", self.ports.etcd)),
            ("bind-address", "127.0.0.1"),
            // Without this it ends on a machine that has no default route.
            ("advertise-address", "127.0.0.1"),
            ("secure-port", &self.ports.api_server.to_string()),
            ("tls-cert-file", &self.path("pki/server.crt")),
            ("tls-private-key-file", &self.path("pki/server.key")),
            ("client-ca-file", &self.path("pki/ca.crt")),
            // By default it asks the resolver for the node's name first, and the nodes are pretended.
            ("kubelet-preferred-address-types", "InternalIP"),
            ("kubelet-client-certificate", &self.path("pki/admin.crt")),
            ("kubelet-client-key", &self.path("pki/admin.key")),
            ("service-account-key-file", &self.path("pki/service-account.key")),
            ("service-account-signing-key-file", &self.path("pki/service-account.key")),
            ("service-account-issuer", "https://kubernetes.default.svc"),
            ("service-cluster-ip-range", "10.96.0.0/16"),
            ("authorization-mode", "RBAC"),
            // No controller creates service accounts here, so pods have none.
            ("disable-admission-plugins", "ServiceAccount"),
            ("endpoint-reconciler-type", "none"),
            ("allow-privileged", "true"),
            ("profiling", "false"),
        ]);
        args.extend(self.options.api_server_args.iter().cloned());
        self.start_process("kube-apiserver", &self.binaries.api_server, &args)
    }

    async fn api_server_ready(&self) -> Result<(), String> {
        let client = self.admin_client().await;
        try_until("kube-apiserver", LIMIT, async || {
            self.check_processes()?;
            let request = kube::core::Request::new("/readyz")
                .list(&ListParams::default())
                .map_err(|e| e.to_string())?;
            client.request_text(request).await.map(drop).map_err(|e| e.to_string())
        })
        .await
    }

    fn start_controller_manager(&self) -> Result<(), String> {
        self.start_process(
            "kube-controller-manager",
            &self.binaries.controller_manager,
            &flags(&[
                ("kubeconfig", &self.path("admin.kubeconfig")),
                ("controllers", &self.options.controllers.join(",")),
                ("leader-elect", "false"),
                ("use-service-account-credentials", "false"),
                // Nobody asks it anything, and a port less cannot collide.
                ("secure-port", "0"),
                ("kube-api-qps", "500"),
                ("kube-api-burst", "1000"),
            ]),
        )
    }

    fn start_kubelet(&self) -> Result<(), String> {
        let port = self.ports.kubelet.to_string();
        // kwok forgets which pod addresses it gave when it is started again: each run has a range of its own.
        let run = self.kubelets.fetch_add(1, Ordering::Relaxed) % 100;
        self.start_process(
            "kwok",
            &self.binaries.kwok,
            &flags(&[
                ("kubeconfig", &self.path("admin.kubeconfig")),
                ("config", &manifest_dir().join("tests/control_plane/kwok.yaml").to_string_lossy()),
                ("manage-all-nodes", "true"),
                // All nodes have the same address and port, so that the API server finds this kubelet for each.
                ("node-ip", "127.0.0.1"),
                ("node-port", &port),
                ("server-address", &format!("127.0.0.1:{port}")),
                ("tls-cert-file", &self.path("pki/server.crt")),
                ("tls-private-key-file", &self.path("pki/server.key")),
                ("cidr", &format!("10.{}.0.1/16", 100 + run)),
                // Nobody watches for nodes that fall silent.
                ("node-lease-duration-seconds", "0"),
                ("enable-crds", "PortForward"),
            ]),
        )
    }

    /// Ends the API server at once, as a crash would.
    pub fn stop_api_server(&self) {
        self.stop_process("kube-apiserver");
    }

    /// Starts it again on the same port and with the same data, and waits until it answers.
    pub async fn start_api_server_again(&self) {
        self.start_api_server().unwrap();
        self.api_server_ready().await.unwrap();
    }

    /// Ends the simulated kubelet: every open port-forward dies, and pods stay as they are.
    pub fn stop_kubelet(&self) {
        self.stop_process("kwok");
    }

    /// Starts the simulated kubelet again; where ports lead is kept. Waits until it answers.
    pub async fn start_kubelet_again(&self) {
        self.start_kubelet().unwrap();
        until("kwok", LIMIT, async || {
            self.check_processes()?;
            http_get(self.ports.kubelet, "/healthz").await.map(drop).map_err(|e| e.to_string())
        })
        .await;
    }

    /// Ends the controllers: sets and endpoints stay as they are.
    pub fn stop_controllers(&self) {
        self.stop_process("kube-controller-manager");
    }

    pub fn start_controllers_again(&self) {
        self.start_controller_manager().unwrap();
    }

    /// The last lines of a server's log: `etcd`, `kube-apiserver`, `kube-controller-manager`, `kwok`.
    pub fn log(&self, server: &str) -> String {
        tail(&self.dir.join(format!("{server}.log")), 200)
    }

    // -------------------------------------------------------------------------------------------- users and clients

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }

    fn helper(&self, args: &[&str]) -> Result<(), String> {
        let mut command = Command::new(&self.binaries.helper);
        command.args(args);
        let out = run_blocking(command, None, LIMIT);
        if out.code == Some(0) { Ok(()) } else { Err(out.stderr) }
    }

    fn write_kubeconfig(&self, user: &str, cert: &str) -> PathBuf {
        // JSON is YAML to every reader of a kubeconfig.
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "test", "cluster": {
                "server": self.url(),
                "certificate-authority": self.path("pki/ca.crt"),
            }}],
            "users": [{ "name": user, "user": {
                "client-certificate": self.path(&format!("pki/{cert}.crt")),
                "client-key": self.path(&format!("pki/{cert}.key")),
            }}],
            "contexts": [{ "name": "test", "context": {
                "cluster": "test", "user": user, "namespace": self.options.namespace,
            }}],
            "current-context": "test",
        });
        let file = self.dir.join(format!("{cert}.kubeconfig"));
        fs::write(&file, config.to_string()).expect("the run's folder can be written");
        file
    }

    /// `https://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api_server)
    }

    /// The folder of this run, for whatever a test wants to put beside it; removed at the end.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where its servers listen: the API server, etcd, the simulated kubelet.
    pub fn addresses(&self) -> [SocketAddr; 3] {
        [self.ports.api_server, self.ports.etcd, self.ports.kubelet].map(|p| (Ipv4Addr::LOCALHOST, p).into())
    }

    /// The namespace of the kubeconfigs.
    pub fn namespace(&self) -> &str {
        &self.options.namespace
    }

    /// The programs that it runs.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The kubeconfig of one who may do everything.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.dir.join("admin.kubeconfig")
    }

    /// A kubeconfig with a certificate for `user`, who may do nothing until `grant`.
    pub fn kubeconfig_for(&self, user: &str) -> PathBuf {
        self.kubeconfig_in(user, &[])
    }

    /// The same for a member of these groups.
    pub fn kubeconfig_in(&self, user: &str, groups: &[&str]) -> PathBuf {
        assert!(
            !user.is_empty() && user.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
            "the user's name is also a file's: letters, digits, dashes"
        );
        let (pki, cert) = (self.path("pki"), format!("user-{user}"));
        let args = [&["client", pki.as_str(), cert.as_str(), user], groups].concat();
        self.helper(&args).expect("a certificate can be made");
        self.write_kubeconfig(user, &cert)
    }

    /// A kubeconfig whose certificate for `user` is out of date.
    pub fn kubeconfig_expired(&self, user: &str) -> PathBuf {
        let cert = format!("expired-{user}");
        self.helper(&["expired", &self.path("pki"), &cert, user]).expect("a certificate can be made");
        self.write_kubeconfig(user, &cert)
    }

    /// A certificate authority that this control plane does not trust.
    pub fn foreign_authority(&self) -> PathBuf {
        self.helper(&["certs", &self.path("foreign")]).expect("an authority can be made");
        self.dir.join("foreign/ca.crt")
    }

    /// Its own certificate authority.
    pub fn authority(&self) -> PathBuf {
        self.dir.join("pki/ca.crt")
    }

    /// Lets `user` do what `rules` (a list of RBAC rules) say, in one namespace or in the whole cluster, and waits
    /// until the API server applies them. Replaces what was granted to the user there before, which may still work for a
    /// moment.
    pub async fn grant(&self, user: &str, namespace: Option<&str>, rules: Value) {
        let client = self.admin_client().await;
        let name = format!("test-{user}");
        let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": { "name": name }, "rules": rules,
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": format!("{kind}Binding"),
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
        });
        let params = PatchParams::apply(MANAGER).force();
        let (role, binding) = (Patch::Apply(&role), Patch::Apply(&binding));
        if let Some(namespace) = namespace {
            let roles = Api::<Role>::namespaced(client.clone(), namespace);
            roles.patch(&name, &params, &role).await.expect("the role is accepted");
            let bindings = Api::<RoleBinding>::namespaced(client.clone(), namespace);
            bindings.patch(&name, &params, &binding).await.expect("the binding is accepted");
        } else {
            let roles = Api::<ClusterRole>::all(client.clone());
            roles.patch(&name, &params, &role).await.expect("the role is accepted");
            let bindings = Api::<ClusterRoleBinding>::all(client.clone());
            bindings.patch(&name, &params, &binding).await.expect("the binding is accepted");
        }
        let reviews = Api::<SubjectAccessReview>::all(client);
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(String::from)).collect()
        };
        for rule in rules.as_array().into_iter().flatten() {
            for (verb, resource) in texts(&rule["verbs"])
                .iter()
                .flat_map(|verb| texts(&rule["resources"]).into_iter().map(move |resource| (verb, resource)))
            {
                // `pods/status` is a resource and its subresource.
                let (resource, subresource) = resource.split_once('/').unwrap_or((&resource, ""));
                let question = json!({ "spec": { "user": user, "resourceAttributes": {
                    "namespace": namespace, "verb": verb, "group": rule["apiGroups"][0],
                    "resource": resource, "subresource": subresource, "name": rule["resourceNames"][0],
                }}});
                let question = serde_json::from_value(question).expect("a review");
                until(&format!("leave for {user} to {verb} {resource}"), LIMIT, async || {
                    match reviews.create(&PostParams::default(), &question).await {
                        Ok(answer) if answer.status.as_ref().is_some_and(|s| s.allowed) => Ok(()),
                        Ok(answer) => Err(format!("{:?}", answer.status)),
                        Err(e) => Err(e.to_string()),
                    }
                })
                .await;
            }
        }
    }

    /// A client of one who may do everything. Belongs to the runtime that it was made in.
    pub async fn admin_client(&self) -> Client {
        self.client(&self.admin_kubeconfig()).await
    }

    /// A client with the permissions of a kubeconfig.
    pub async fn client(&self, kubeconfig: &Path) -> Client {
        let config = Kubeconfig::read_from(kubeconfig).expect("our own kubeconfig can be read");
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
            .await
            .expect("our own kubeconfig is valid");
        Client::try_from(config).expect("our own kubeconfig makes a client")
    }

    /// A command that sees this cluster through `KUBECONFIG` and nothing of the user's own set-up.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.command_as(program, &self.admin_kubeconfig())
    }

    /// The same with the permissions of a kubeconfig.
    pub fn command_as(&self, program: impl AsRef<std::ffi::OsStr>, kubeconfig: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", kubeconfig)
            // kubectl remembers what an address serves, and the next run may get the same port.
            .env("KUBECACHEDIR", self.dir.join("kubectl-cache"))
            .env("KUBERC", "off")
            .env("HOME", self.dir.join("home"))
            .env_remove("XDG_STATE_HOME");
        for proxy in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"] {
            command.env_remove(proxy);
        }
        command
    }

    /// Runs a command off the runtime's thread, so that servers in this test go on answering.
    pub async fn run(&self, command: Command, input: Option<&str>) -> Output {
        let input = input.map(|text| text.as_bytes().to_vec());
        tokio::task::spawn_blocking(move || run_blocking(command, input.as_deref(), LIMIT))
            .await
            .unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
    }

    /// `kubectl ARGS` as the admin.
    pub async fn kubectl(&self, args: &[&str]) -> Output {
        self.kubectl_as(&self.admin_kubeconfig(), args, None).await
    }

    /// `kubectl ARGS` with the permissions of a kubeconfig, and with text on standard input.
    pub async fn kubectl_as(&self, kubeconfig: &Path, args: &[&str], input: Option<&str>) -> Output {
        let mut command = self.command_as(&self.binaries.kubectl, kubeconfig);
        command.args(args);
        self.run(command, input).await
    }

    // -------------------------------------------------------------------------------------------- objects

    /// Creates a namespace if it is not there.
    pub async fn create_namespace(&self, name: &str) {
        let namespaces = Api::<Namespace>::all(self.admin_client().await);
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        let params = PatchParams::apply(MANAGER).force();
        namespaces.patch(name, &params, &Patch::Apply(&namespace)).await.expect("a namespace is accepted");
    }

    /// Creates a simulated node and waits until it is ready, which means that the simulated kubelet works.
    pub async fn create_node(&self, name: &str) {
        self.try_create_node(&self.admin_client().await, name).await.unwrap();
    }

    async fn try_create_node(&self, client: &Client, name: &str) -> Result<(), String> {
        let nodes = Api::<Node>::all(client.clone());
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } });
        let params = PatchParams::apply(MANAGER).force();
        nodes.patch(name, &params, &Patch::Apply(&node)).await.map_err(|e| e.to_string())?;
        try_until(&format!("node {name}"), LIMIT, async || {
            self.check_processes()?;
            let node = nodes.get_status(name).await.map_err(|e| e.to_string())?;
            let conditions = node.status.and_then(|s| s.conditions).unwrap_or_default();
            if conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True") {
                Ok(())
            } else {
                Err(String::from("not ready"))
            }
        })
        .await
    }

    /// Creates the CRDs in these files (paths in the repository) and waits until each is served and in discovery.
    /// The API server still holds the first create of an object back until a CRD is two seconds old.
    pub async fn apply_crds(&self, files: &[&str]) {
        let crds: Vec<Value> = files.iter().map(|f| read_yaml(Path::new(f)).unwrap()).collect();
        self.try_apply_crds(&self.admin_client().await, &crds).await.unwrap();
    }

    async fn try_apply_crds(&self, client: &Client, crds: &[Value]) -> Result<(), String> {
        let api = Api::<DynamicObject>::all_with(
            client.clone(),
            &ApiResource::erase::<CustomResourceDefinition>(&()),
        );
        let params = PatchParams::apply(MANAGER).force();
        for crd in crds {
            let name = crd["metadata"]["name"].as_str().unwrap_or_default();
            api.patch(name, &params, &Patch::Apply(crd)).await.map_err(|e| format!("CRD {name}: {e}"))?;
        }
        let all = Api::<CustomResourceDefinition>::all(client.clone());
        try_until("CRDs", LIMIT, async || {
            let mut want = BTreeSet::new();
            for crd in all.list(&ListParams::default()).await.map_err(|e| e.to_string())? {
                let conditions = crd.status.iter().flat_map(|s| s.conditions.iter().flatten());
                if !conditions.into_iter().any(|c| c.type_ == "Established" && c.status == "True") {
                    return Err(format!("{} is not established", crd.name_any()));
                }
                for version in crd.spec.versions.iter().filter(|v| v.served) {
                    want.insert((
                        crd.spec.group.clone(),
                        version.name.clone(),
                        crd.spec.names.plural.clone(),
                    ));
                }
            }
            // Discovery follows a moment later, and must also have forgotten what is gone.
            let have = discovered(client, &want).await.map_err(|e| e.to_string())?;
            if have != want {
                return Err(format!("discovery has {have:?}, the CRDs {want:?}"));
            }
            // And the handlers a moment after that.
            for (group, version, plural) in &want {
                let path = format!("/apis/{group}/{version}/{plural}");
                let request = kube::core::Request::new(&path)
                    .list(&ListParams::default().limit(1))
                    .map_err(|e| e.to_string())?;
                client.request_text(request).await.map_err(|e| format!("{path}: {e}"))?;
            }
            Ok(())
        })
        .await?;
        // kubectl trusts what it remembers of an API server for hours.
        let _ = fs::remove_dir_all(self.dir.join("kubectl-cache"));
        Ok(())
    }

    /// Makes the cluster one of an operator line: every EMQX CRD that is there goes with its objects (finalizers or
    /// not), then the line's own come. A CRD cannot just be replaced: the API server refuses to drop a version that
    /// was ever stored.
    pub async fn install(&self, line: Line) {
        let client = self.admin_client().await;
        let api = Api::<CustomResourceDefinition>::all(client.clone());
        let there = api.list(&ListParams::default()).await.expect("CRDs can be listed");
        for crd in there.into_iter().filter(|crd| crd.spec.group == GROUP) {
            let name = crd.name_any();
            let stored = crd.spec.versions.iter().find(|v| v.storage).expect("one version is stored");
            let kind = GroupVersionKind::gvk(GROUP, &stored.name, &crd.spec.names.kind);
            let resource = ApiResource::from_gvk_with_plural(&kind, &crd.spec.names.plural);
            // The objects first: the API server would look for them only every five seconds.
            let objects = Api::<DynamicObject>::all_with(client.clone(), &resource);
            until(&format!("end of the objects of {name}"), LIMIT, async || {
                let left = objects.list(&ListParams::default()).await.map_err(|e| e.to_string())?.items;
                for object in &left {
                    let namespace = object.namespace().unwrap_or_default();
                    let one = Api::<DynamicObject>::namespaced_with(client.clone(), &namespace, &resource);
                    // No operator is there to take its finalizers away. Either call may find it gone.
                    let _ = one.delete(&object.name_any(), &DeleteParams::default()).await;
                    let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
                    let _ = one.patch(&object.name_any(), &PatchParams::default(), &patch).await;
                }
                if left.is_empty() { Ok(()) } else { Err(format!("{} left", left.len())) }
            })
            .await;
            api.delete(&name, &DeleteParams::default()).await.expect("a CRD can be deleted");
            until(&format!("end of {name}"), LIMIT, async || match api.get_opt(&name).await {
                Ok(None) => Ok(()),
                Ok(Some(_)) => Err(String::from("still there")),
                Err(e) => Err(e.to_string()),
            })
            .await;
        }
        self.apply_crds(line.crds()).await;
    }

    /// Waits until the pods of a label selector are `count` and all of them ready; they come sorted by name.
    pub async fn ready_pods(&self, selector: &str, count: usize) -> Vec<Pod> {
        let pods = Api::<Pod>::namespaced(self.admin_client().await, self.namespace());
        until(&format!("{count} ready pods of {selector}"), LIMIT, async || {
            let list = pods.list(&ListParams::default().labels(selector)).await.map_err(|e| e.to_string())?;
            if list.items.len() == count && list.items.iter().all(|p| condition_is(p, "Ready", "True")) {
                return Ok(list.items);
            }
            let mut text = String::new();
            for pod in &list.items {
                let _ = write!(text, "{} ready={}; ", pod.name_any(), condition_is(pod, "Ready", "True"));
            }
            Err(text)
        })
        .await
    }

    /// Sets a pod's condition (a readiness gate, or ContainersReady for a failing probe) as its owner would.
    /// `Ready` follows by itself, within some ten milliseconds.
    pub async fn set_condition(&self, pod: &str, kind: &str, status: &str) {
        let pods = Api::<Pod>::namespaced(self.admin_client().await, self.namespace());
        let now = k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let patch = json!({ "status": { "conditions": [
            { "type": kind, "status": status, "lastTransitionTime": now }
        ]}});
        pods.patch_status(pod, &PatchParams::default(), &Patch::Strategic(patch))
            .await
            .expect("a condition is accepted");
    }

    /// The pods that serve for a Service, by its EndpointSlices.
    pub async fn serving(&self, service: &str) -> BTreeSet<String> {
        let slices = Api::<EndpointSlice>::namespaced(self.admin_client().await, self.namespace());
        let list = slices
            .list(&ListParams::default().labels(&format!("kubernetes.io/service-name={service}")))
            .await
            .expect("EndpointSlices can be listed");
        let ready = list.items.into_iter().flat_map(|s| s.endpoints);
        ready
            .filter(|e| e.conditions.as_ref().and_then(|c| c.ready) == Some(true))
            .filter_map(|e| e.target_ref.and_then(|r| r.name))
            .collect()
    }

    /// Waits until exactly these pods serve for a Service.
    pub async fn serving_becomes(&self, service: &str, want: &[&str]) {
        let want: BTreeSet<String> = want.iter().map(|&s| s.into()).collect();
        until(&format!("endpoints of {service}"), LIMIT, async || {
            let have = self.serving(service).await;
            if have == want { Ok(()) } else { Err(format!("{have:?}")) }
        })
        .await;
    }

    // -------------------------------------------------------------------------------------------- port-forward

    /// Lets the API ports of each pod lead to its address; see `forward_ports`.
    pub async fn forward(&self, targets: impl IntoIterator<Item = (&str, SocketAddr)>) {
        for (pod, to) in targets {
            self.forward_ports(self.namespace(), pod, EMQX_PORTS, to).await;
        }
    }

    /// Lets these ports of an existing pod lead to a loopback address, from the moment that this returns. Replaces
    /// what was set before for the pod; forwards that are open stay where they lead.
    pub async fn forward_ports(&self, namespace: &str, pod: &str, ports: &[u16], to: SocketAddr) {
        assert!(to.ip().is_loopback(), "{to} is not of this machine");
        let client = self.admin_client().await;
        let kind = GroupVersionKind::gvk("kwok.x-k8s.io", "v1alpha1", "PortForward");
        let rules = Api::<DynamicObject>::namespaced_with(
            client.clone(),
            namespace,
            &ApiResource::from_gvk_with_plural(&kind, "portforwards"),
        );
        let pods = Api::<Pod>::namespaced(client, namespace);
        until(&format!("forward to {pod}"), LIMIT, async || {
            // kwok does not report when it has read a rule. So each version of a rule has a port of its own that leads
            // to us: an answer through it proves that the whole version is in force.
            // kwok may also keep an old list under the new version's number (it notes the number before it stores
            // the object); only another version gets it out of that, so each round writes one.
            let proof = self.witness.next_port();
            let rule = json!({
                "apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "PortForward", "metadata": { "name": pod },
                "spec": { "forwards": [
                    { "ports": ports, "target": { "address": to.ip().to_string(), "port": to.port() } },
                    { "ports": [proof], "target": { "address": "127.0.0.1", "port": self.witness.port } },
                ]},
            });
            let params = PatchParams::apply(MANAGER).force();
            rules.patch(pod, &params, &Patch::Apply(&rule)).await.map_err(|e| e.to_string())?;
            tokio::time::sleep(Duration::from_millis(5)).await;
            let mut forward = pods.portforward(pod, &[proof]).await.map_err(|e| e.to_string())?;
            let mut stream = forward.take_stream(proof).ok_or("no stream")?;
            let mut answer = [0; WITNESS.len()];
            match tokio::time::timeout(Duration::from_secs(2), stream.read_exact(&mut answer)).await {
                Ok(Ok(_)) if answer == WITNESS => Ok(()),
                Ok(Ok(_)) => Err(String::from("another answer than ours")),
                Ok(Err(e)) => Err(e.to_string()),
                Err(_) => Err(String::from("no answer")),
            }
        })
        .await;
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let mut processes = std::mem::take(&mut *self.processes());
        // All pipes first: they end together.
        for process in &mut processes {
            drop(process.life.take());
        }
        drop(processes);
        if thread::panicking() || std::env::var("CONTROL_PLANE").is_ok_and(|v| v == "keep") {
            // Nobody reads etcd's files, and they are large.
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
    // What was left by runs that were killed, or kept by tests that failed.
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

fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

fn read_yaml(file: &Path) -> Result<Value, String> {
    let file = manifest_dir().join(file);
    let text = fs::read_to_string(&file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    serde_yaml::from_str(&text).map_err(|e| format!("{} is not YAML: {e}", file.display()))
}

/// What discovery (the aggregated form, which kubectl asks for) lists about the groups in `about`, and about EMQX's.
async fn discovered(
    client: &Client,
    about: &BTreeSet<(String, String, String)>,
) -> Result<BTreeSet<(String, String, String)>, kube::Error> {
    let groups =
        serde_json::to_value(client.list_api_groups_aggregated().await?).map_err(kube::Error::SerdeError)?;
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = BTreeSet::new();
    for group in list(&groups, "items") {
        let name = text(&group["metadata"]["name"]);
        if name != GROUP && !about.iter().any(|(g, ..)| *g == name) {
            continue;
        }
        for version in list(&group, "versions") {
            for resource in list(&version, "resources") {
                found.insert((name.clone(), text(&version["version"]), text(&resource["resource"])));
            }
        }
    }
    Ok(found)
}

/// A GET of a server that closes when it has answered.
async fn http_get(port: u16, path: &str) -> io::Result<String> {
    use tokio::io::AsyncWriteExt as _;
    let mut stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

const WITNESS: [u8; 8] = *b"witness\n";

/// A listener that sends one word on each connection: a client that reads it came through a forward of ours.
struct Witness {
    port: u16,
    ports: AtomicU32,
    over: Arc<AtomicBool>,
}

impl Witness {
    fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(mut stream) = stream {
                    let _ = stream.write_all(&WITNESS);
                }
            }
        });
        Ok(Self { port, ports: AtomicU32::new(0), over })
    }

    /// Ports of pods, not of this machine; no EMQX port is among them.
    fn next_port(&self) -> u16 {
        let next = self.ports.fetch_add(1, Ordering::Relaxed) % 10_000;
        40_000 + u16::try_from(next).unwrap_or_default()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the thread, so that it sees that it is over.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}
