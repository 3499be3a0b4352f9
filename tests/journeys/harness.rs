//! The tools of every journey: the built program run with a limit, and a simulated cluster that ends in every
//! case.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use emqx_sim::{self as sim, Faults, Scenario};
use serde_json::Value;

pub(crate) use crate::ran::{Ran, harmless, keys};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-emqx");

/// The limit of a call: no call takes longer on any machine.
const LIMIT: Duration = Duration::from_secs(90);

/// The documented strategy: 78 rounds, 98 s.
pub(crate) const DOCUMENTED: &str =
    "--conn-evict-rate 10 --wait-health-check 10 --wait-takeover 10 --abs-conn-threshold 100";

/// A slower variant of the documented strategy: its eviction lasts 780 s of the simulator's clock, and the
/// wait after it ten hours, so that it does not end before a journey does on a slow machine.
pub(crate) const SLOW: &str =
    "--conn-evict-rate 1 --wait-health-check 10 --wait-takeover 10h --abs-conn-threshold 100";

/// Waits until `holds` is true, with frequent checks.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LIMIT, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A folder for one test.
pub(crate) fn folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("journey-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a folder can be made");
    path
}

/// A running call.
pub(crate) struct Going {
    child: Child,
    out: Arc<Mutex<Vec<u8>>>,
    err: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

fn drain(mut from: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            into.lock().expect("a lock").extend_from_slice(&buffer[..length]);
        }
    })
}

impl Going {
    pub(crate) fn start(mut command: Command, stdin: Option<&str>) -> Self {
        let input = if stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        if let (Some(text), Some(mut pipe)) = (stdin, child.stdin.take()) {
            pipe.write_all(text.as_bytes()).expect("stdin is read");
        }
        let (out, err) = (Arc::default(), Arc::default());
        let readers = vec![
            drain(child.stdout.take().expect("a pipe"), Arc::clone(&out)),
            drain(child.stderr.take().expect("a pipe"), Arc::clone(&err)),
        ];
        Self { child, out, err, readers }
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.out.lock().expect("a lock")).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.err.lock().expect("a lock")).into_owned()
    }

    /// Waits until stdout and stderr together contain this text.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) {
        let began = Instant::now();
        loop {
            if self.out().contains(text) || self.err().contains(text) {
                return;
            }
            let ended = self.child.try_wait().expect("a child of ours").is_some();
            let late = ended || began.elapsed() > LIMIT;
            if late && !self.out().contains(text) && !self.err().contains(text) {
                let ended = if ended { "it ended" } else { "time is up" };
                panic!("never came: {text} ({ended})\n{}\n{}", self.out(), self.err());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal, by the name that `kill` knows.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill");
        assert!(status.success(), "the signal arrives");
    }

    /// The id of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ran {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                break status;
            }
            if began.elapsed() > LIMIT {
                let _ = self.child.kill();
                panic!("it does not end\n{}\n{}", self.out(), self.err());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader");
        }
        Ran { code: status.code(), out: self.out(), err: self.err() }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program with a clean environment.
pub(crate) fn program(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_clear().current_dir(home);
    // `PUT_BACK` switches on a fault in a build that has faults: see crates/simulation-tests/README.md.
    for name in ["PATH", "SystemRoot", "PUT_BACK"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("HOME", home).env("TMPDIR", home).env("TZ", "UTC").env("TERM", "xterm-256color");
    command
}

/// Runs the program without a cluster. The arguments are separated by blanks.
#[track_caller]
pub(crate) fn alone(arguments: &str) -> Ran {
    let home = folder();
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let ran = Going::start(program(&home, &words), None).end();
    let _ = std::fs::remove_dir_all(home);
    ran
}

/// A simulated cluster, and the program configured for it.
pub(crate) struct Cluster {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) url: String,
    pub(crate) home: PathBuf,
    server: Option<Going>,
    inside: Option<Inside>,
}

/// A simulated cluster within the test's own process.
pub(crate) struct Inside {
    pub(crate) faults: Faults,
    pub(crate) emqx: sim::emqx::Emqx,
    /// EMQX's API outside Kubernetes.
    pub(crate) emqx_url: String,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Cluster {
    /// `demo serve` of a scenario, as a child process; `more` are further arguments.
    #[track_caller]
    pub(crate) fn demo(scenario: &str, speed: u32) -> Self {
        Self::serving(&[scenario, "--speed", &speed.to_string()])
    }

    /// `demo serve` with these arguments.
    #[track_caller]
    pub(crate) fn serving(arguments: &[&str]) -> Self {
        let home = folder();
        let kubeconfig = home.join("config");
        let path = kubeconfig.display().to_string();
        let mut words = vec!["demo", "serve", "--kubeconfig-out", &path];
        words.extend(arguments);
        let mut server = Going::start(program(&home, &words), None);
        server.until(&format!("export KUBECONFIG={path}\n"));
        let url = address(&kubeconfig);
        Self { kubeconfig, url, home, server: Some(server), inside: None }
    }

    /// A scenario within this process, so that faults can be triggered at a chosen moment.
    #[track_caller]
    pub(crate) fn inside(scenario: Scenario, speed: f64) -> Self {
        let home = folder();
        let kubeconfig = home.join("config");
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, inside) = std::sync::mpsc::channel();
        let options = sim::Options { scenario, speed, kubeconfig_out: Some(kubeconfig.clone()) };
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let running = sim::serve(options).await.expect("it is served");
                let emqx_url = running.emqx_url(None).await.unwrap_or_default();
                let parts = (running.faults().clone(), running.emqx().clone(), emqx_url);
                ready.send(parts).expect("the test waits");
                let _ = stopped.await;
                running.shutdown().await;
            });
        });
        let (faults, emqx, emqx_url) = inside.recv_timeout(LIMIT).expect("it is served");
        let url = address(&kubeconfig);
        let inside = Inside { faults, emqx, emqx_url, stop: Some(stop), thread: Some(thread) };
        Self { kubeconfig, url, home, server: None, inside: Some(inside) }
    }

    /// A built-in scenario within this process.
    #[track_caller]
    pub(crate) fn faulty(scenario: &str, speed: f64) -> Self {
        Self::inside(Scenario::built_in(scenario).expect("it is known"), speed)
    }

    #[track_caller]
    pub(crate) fn parts(&self) -> &Inside {
        self.inside.as_ref().expect("it is within this process")
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.parts().faults
    }

    /// A demo in a process of its own ends on SIGTERM.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn ends_on_a_signal(mut self) {
        let server = self.server.take().expect("it runs in a process of its own");
        server.signal("TERM");
        let ran = server.end();
        assert!(ran.code.is_none_or(|code| code == 0 || code == 130 || code == 143), "{ran}");
    }

    /// The program configured for this cluster.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let words: Vec<&str> = arguments.split_whitespace().collect();
        let mut command = program(&self.home, &words);
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// Runs the program to its end. The arguments are separated by blanks.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &str) -> Ran {
        self.start(arguments).end()
    }

    /// The same with something on stdin.
    #[track_caller]
    pub(crate) fn run_with(&self, arguments: &str, stdin: &str) -> Ran {
        Going::start(self.command(arguments), Some(stdin)).end()
    }

    /// Starts the program.
    pub(crate) fn start(&self, arguments: &str) -> Going {
        Going::start(self.command(arguments), None)
    }

    /// A file beside the kubeconfig.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.join(name);
        std::fs::write(&path, text).expect("a file can be written");
        path.display().to_string()
    }

    /// Sends a request to the API server without the program's client: the status, and the body.
    pub(crate) fn api(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        Self::request(self.url.strip_prefix("http://").expect("plain http"), method, path, body)
    }

    /// Replaces an object, also when the operator has written it since it was read: without a version there is no conflict.
    #[track_caller]
    pub(crate) fn replace(&self, path: &str, mut object: Value) {
        object["metadata"]["resourceVersion"] = Value::Null;
        let (status, answer) = self.api("PUT", path, &object.to_string());
        assert_eq!(status, 200, "{answer:#}");
    }

    /// Requests a path behind an address, `127.0.0.1:1234/with/a/path`: the status, and the body.
    pub(crate) fn ask(address: &str, path: &str) -> (u16, Value) {
        Self::request(address, "GET", path, "")
    }

    fn request(address: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (address, prefix) = address.split_once('/').unwrap_or((address, ""));
        let stream = TcpStream::connect(address).expect("the API server listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        write!(
            &stream,
            "{method} /{prefix}{path} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\nAccept: application/json\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("it is sent");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).expect("a status line");
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        while line.trim() != "" {
            line.clear();
            reader.read_line(&mut line).expect("a header");
        }
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("a body");
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// The Rebalance objects there are: name and uid.
    pub(crate) fn rebalances(&self) -> Vec<(String, String)> {
        let (_, list) = self.api("GET", "/apis/apps.emqx.io/v2beta1/rebalances", "");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|it| (text(&it["metadata"]["name"]), text(&it["metadata"]["uid"]))).collect()
    }

    /// One Rebalance as it is stored.
    pub(crate) fn rebalance(&self, name: &str) -> Value {
        self.api("GET", &format!("/apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances/{name}"), "").1
    }

    /// Starts a rebalance and waits until EMQX runs it; returns its name.
    #[track_caller]
    pub(crate) fn running(&self, strategy: &str) -> String {
        let ran = self.run(&format!("rebalance apply {strategy} --yes")).exits(0);
        let name = ran.out.trim().to_owned();
        let bare = name.strip_prefix("rebalance.apps.emqx.io/").unwrap_or(&name).to_owned();
        until("EMQX runs it", || self.run("status -o json").json()["operation"] == "rebalance");
        bare
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.server.take());
        if let Some(mut inside) = self.inside.take() {
            drop(inside.stop.take());
            let _ = inside.thread.take().map(JoinHandle::join);
        }
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// The admin's address in a kubeconfig of ours.
fn address(kubeconfig: &Path) -> String {
    let text = std::fs::read_to_string(kubeconfig).expect("a kubeconfig");
    let server = text.lines().filter_map(|line| line.trim().strip_prefix("server: "));
    server.into_iter().find(|url| url.ends_with("/as/admin")).expect("the admin's cluster").to_owned()
}
