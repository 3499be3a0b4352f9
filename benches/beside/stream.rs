//! Following: the time from a change in the API server to the line on the screen, and the number of requests
//! of a view of a thousand nodes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

use crate::cluster::RealCluster;
use crate::link::{Link, through};
use crate::{measure, reads};
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
    let mut received = Box::pin(rebalances.watch(&WatchParams::default(), "0").await.expect("a watch"));
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
            match received.next().await.expect("the watch continues").expect("an event") {
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
        let (before, reported) = (processor(followed.child.id()), log_lines(&log).len());
        tokio::time::sleep(MINUTE).await;
        let used = processor(followed.child.id()).saturating_sub(before);
        let memory = status_kib(followed.child.id(), "VmRSS:");
        let lines = log_lines(&log);
        let asked = lines[reported..].iter().filter(|line| line.contains("requesting")).count();
        let answers: Vec<u64> = lines[reported..]
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

/// Processor time, memory and connections of a minute in which one of a thousand pods changes each second.
pub async fn changing(plane: &ControlPlane, program: &Path) {
    let scenario = reads::MANY.replace("namespace: many", "namespace: changing");
    let cluster = RealCluster::start(plane, &scenario).await;
    let server = plane.url().trim_start_matches("https://").parse().expect("an address");
    let link = Link::to(server, Duration::ZERO).await;
    let kubeconfig = through(plane, &plane.admin_kubeconfig(), &link, "changing");
    let pods: Api<Pod> = Api::namespaced(plane.admin_client().await, cluster.namespace());
    let names: Vec<String> = pods
        .list(&ListParams::default())
        .await
        .expect("pods")
        .into_iter()
        .filter_map(|pod| pod.metadata.name)
        .collect();
    println!(
        "| a minute of `watch --plain`, one pod changes each second | connections to the API server | changes | \
         processor | memory |\n| --- | --- | --- | --- | --- |"
    );
    for paused in [true, false] {
        let opened = link.connections.load(Ordering::Relaxed);
        let mut command = plane.command_as(program, &kubeconfig);
        command.args(["-n", cluster.namespace(), "watch", "--plain"]);
        let followed = Lines::of(command);
        tokio::time::sleep(Duration::from_secs(15)).await;
        let before = processor(followed.child.id());
        let began = Instant::now();
        let mut changes = 0;
        while began.elapsed() < MINUTE {
            if !paused {
                let change = json!({"metadata": {"annotations": {"changed": changes.to_string()}}});
                let name = &names[changes % names.len()];
                pods.patch(name, &PatchParams::default(), &Patch::Merge(&change)).await.expect("a change");
                changes += 1;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let used = processor(followed.child.id()).saturating_sub(before);
        println!(
            "| {} nodes | {} | {changes} | {:.2} % of a core | {} |",
            names.len(),
            link.connections.load(Ordering::Relaxed) - opened,
            used.as_secs_f64() / began.elapsed().as_secs_f64() * 100.0,
            measure::megabytes(status_kib(followed.child.id(), "VmRSS:")),
        );
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
