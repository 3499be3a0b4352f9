//! The built program, as its users run it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use test_support::control_plane::{ControlPlane, Output, until};

/// The plan of every test: three nodes with 100 clients, one with none; after five rounds they are even.
pub const STRATEGY: [&str; 6] = [
    "--conn-evict-rate=5",
    "--sess-evict-rate=5",
    "--wait-health-check=2",
    "--wait-takeover=2",
    "--abs-conn-threshold=1",
    "--abs-sess-threshold=1",
];

/// The program in a namespace, with the permissions of a kubeconfig.
#[derive(Clone)]
pub struct Program<'a> {
    plane: &'a ControlPlane,
    kubeconfig: PathBuf,
    namespace: String,
}

impl<'a> Program<'a> {
    pub fn admin(plane: &'a ControlPlane, namespace: &str) -> Self {
        Self::of(plane, &plane.admin_kubeconfig(), namespace)
    }

    pub fn of(plane: &'a ControlPlane, kubeconfig: &Path, namespace: &str) -> Self {
        Self { plane, kubeconfig: kubeconfig.to_owned(), namespace: namespace.to_owned() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.plane.command_as(env!("CARGO_BIN_EXE_kubectl-emqx"), &self.kubeconfig);
        command.env("NO_COLOR", "1");
        // The completion entry must come first, and has the namespace from the kubeconfig.
        if args.first() != Some(&"__complete") {
            command.args(["-n", &self.namespace]);
        }
        command.args(args);
        command
    }

    /// Runs it to its end.
    pub async fn run(&self, args: &[&str]) -> Output {
        self.run_with(args, None).await
    }

    /// The same with text on standard input.
    pub async fn run_with(&self, args: &[&str], input: Option<&str>) -> Output {
        self.plane.run(self.command(args), input).await
    }

    /// Its output as JSON, for a run that must succeed.
    pub async fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
        let text = self.run(&args).await.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}\n{text}"))
    }

    /// Starts it in the background.
    pub fn start(&self, args: &[&str]) -> Started {
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stdout = listen(child.stdout.take().expect("a pipe"));
        let stderr = listen(child.stderr.take().expect("a pipe"));
        Started { child, stdout, stderr, args: args.join(" ") }
    }
}

type Received = Arc<Mutex<Vec<u8>>>;

/// Reads a pipe as it fills, on a thread that ends with it.
fn listen(mut pipe: impl Read + Send + 'static) -> Received {
    let received = Received::default();
    let into = Arc::clone(&received);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..length]);
        }
    });
    received
}

fn text(received: &Received) -> String {
    String::from_utf8_lossy(&received.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

/// A running program. Dropping it kills it.
pub struct Started {
    child: Child,
    stdout: Received,
    stderr: Received,
    args: String,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Started {
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// Waits until it has printed these words, on stdout or stderr.
    pub async fn reports(&mut self, words: &str) {
        let what = format!("{:?} of {}", words, self.args);
        until(&what, Duration::from_secs(30), async || {
            let ended = self.child.try_wait().expect("a child can be asked");
            let (out, err) = (self.stdout(), self.stderr());
            if out.contains(words) || err.contains(words) {
                return Ok(());
            }
            assert!(ended.is_none(), "{what}: it ended ({ended:?})\nstdout: {out}\nstderr: {err}");
            Err(format!("\nstdout: {out}\nstderr: {err}"))
        })
        .await;
    }

    /// Waits until it ends.
    pub async fn end(self) -> Output {
        self.end_within(Duration::from_secs(45)).await
    }

    /// The same for a program that waits in real time.
    pub async fn end_within(mut self, limit: Duration) -> Output {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                break status;
            }
            let (out, err) = (self.stdout(), self.stderr());
            assert!(began.elapsed() < limit, "{} continues\n{out}\n{err}", self.args);
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        // The pipes are empty a moment later.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Output { code: status.code(), stdout: self.stdout(), stderr: self.stderr() }
    }
}

/// The lines of `-o jsonl`.
pub fn events(output: &Output) -> Vec<Value> {
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    output.stdout.lines().map(read).collect()
}

/// The last line must be this verdict; returns its reason.
#[track_caller]
pub fn verdict(output: &Output, wanted: &str, code: i32) -> String {
    assert_eq!(output.code, Some(code), "stdout: {}\nstderr: {}", output.stdout, output.stderr);
    let events = events(output);
    let last = events.last().expect("there are events");
    assert_eq!(last["type"], "verdict", "{last}");
    assert_eq!(last["verdict"], wanted, "{last}");
    for event in &events {
        assert_eq!((&event["apiVersion"], &event["kind"]), (&"cli.emqx.io/v1alpha1".into(), &"Event".into()));
    }
    last["message"].as_str().unwrap_or_default().to_owned()
}

/// The exit code, and words on stderr.
#[track_caller]
pub fn refused(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.code, Some(code), "stdout: {}\nstderr: {}", output.stdout, output.stderr);
    for word in words {
        assert!(output.stderr.contains(word), "{word:?} is missing in: {}", output.stderr);
    }
    assert_eq!(output.stdout, "", "stdout carries data only");
}

/// The lines on stderr that begin with `notice:`.
pub fn notices(output: &Output) -> Vec<String> {
    output.stderr.lines().filter(|line| line.starts_with("notice:")).map(str::to_owned).collect()
}
