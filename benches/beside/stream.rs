//! Following: the time from a change in the API server to the line on the screen, and the number of requests
//! of a view of a thousand nodes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::api::{PostParams, WatchEvent, WatchParams};
use serde_json::json;

use crate::cluster::RealCluster;
use crate::measure;
use test_support::control_plane::ControlPlane;

/// The number of changes.
const CHANGES: usize = 31;
/// How long an operation is followed.
const MINUTE: Duration = Duration::from_mins(1);

/// A running program and its lines, each with its time. The program ends when the value is dropped.
struct Lines {
    child: Child,
    lines: Receiver<(Instant, String)>,
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lines {
    fn of(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let out = child.stdout.take().expect("a pipe");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }
}

/// Measures the time from the event of a change in the benchmark's own watch to the line on the screen.
pub async fn latency(plane: &ControlPlane, program: &Path, few: &RealCluster<'_>) {
    let mut command = plane.command(program);
    command.args(["-n", few.namespace(), "watch", "--plain", "-o", "jsonl"]);
    let followed = Lines::of(command);
    let rebalances = few.rebalances();
    let mut heard = Box::pin(rebalances.watch(&WatchParams::default(), "0").await.expect("a watch"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut late = Vec::new();
    for number in 0..CHANGES {
        let name = format!("r-{number}");
        // There is nothing to balance: the operator reports Failed at once, and EMQX evicts no client.
        let object = json!({
            "apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance", "metadata": { "name": name },
            "spec": { "instanceKind": "EMQX", "instanceName": few.scenario.instance,
                "rebalanceStrategy": { "connEvictRate": 10 } } });
        let object = serde_json::from_value(object).expect("an object");
        rebalances.create(&PostParams::default(), &object).await.expect("it is created");
        let arrived = loop {
            match heard.next().await.expect("the watch goes on").expect("an event") {
                WatchEvent::Added(object) if object.metadata.name.as_deref() == Some(&name) => {
                    break Instant::now();
                }
                _ => {}
            }
        };
        let line = loop {
            match followed.lines.try_recv() {
                Ok((at, line)) if line.contains(&name) => break at,
                Ok(_) => {}
                Err(_) => {
                    assert!(arrived.elapsed() < MINUTE, "no line for {name}");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        };
        late.push(line.saturating_duration_since(arrived));
        // Gives the Failed of this object time to pass before the next object is created.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let worst = late.iter().max().copied().unwrap_or_default();
    println!(
        "| from a change to its line, beside the API server's own delivery | median of {CHANGES} | worst |"
    );
    println!(
        "| --- | --- | --- |\n| `watch --plain -o jsonl` | {} | {} |\n",
        measure::milliseconds(measure::median(late)),
        measure::milliseconds(worst)
    );
}

/// Counts the requests, processor time and memory of a minute without changes, for few and for many nodes.
pub async fn following(program: &Path) {
    println!(
        "| a minute of `watch --plain`, nothing runs | requests to the API server | answers of EMQX | bytes of them | processor | memory |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for (name, scenario) in [("4 nodes", "documented"), ("1003 nodes", "big")] {
        let served = Lines::of({
            let mut command = Command::new(program);
            command.args(["demo", "serve", scenario]);
            command
        });
        let (_, first) = served.lines.recv_timeout(MINUTE).expect("it serves");
        let kubeconfig = first.strip_prefix("export KUBECONFIG=").expect("a kubeconfig").to_owned();
        let log = std::env::temp_dir().join(format!("kubectl-emqx-follow-{}", std::process::id()));
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", kubeconfig)
            .args(["watch", "--plain", "-v", "debug", "--log-file"])
            .arg(&log);
        let followed = Lines::of(command);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let (before, said) = (processor(followed.child.id()), log_lines(&log).len());
        tokio::time::sleep(MINUTE).await;
        let used = processor(followed.child.id()).saturating_sub(before);
        let memory = status_kib(followed.child.id(), "VmRSS:");
        let lines = log_lines(&log);
        let asked = lines[said..].iter().filter(|line| line.contains("requesting")).count();
        let answers: Vec<u64> = lines[said..]
            .iter()
            .filter(|line| line.contains("EMQX answered"))
            .filter_map(|line| line.split("bytes=").nth(1)?.split(' ').next()?.parse().ok())
            .collect();
        println!(
            "| {name} | {asked} | {} | {} | {:.2} % of a core | {} |",
            answers.len(),
            answers.iter().sum::<u64>(),
            used.as_secs_f64() / MINUTE.as_secs_f64() * 100.0,
            measure::megabytes(memory),
        );
        drop((followed, served));
        let _ = std::fs::remove_file(&log);
    }
    println!();
}

fn log_lines(log: &Path) -> Vec<String> {
    std::fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// The user and system time so far, from `/proc/PID/stat`, whose ticks are hundredths of a second.
fn processor(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|&at: &usize| fields.get(at)?.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn status_kib(pid: u32, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or_default()
}
