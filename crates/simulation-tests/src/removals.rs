//! Drains of Kubernetes nodes and scale-downs: the process is killed and run again, requests fail, and
//! afterwards every client is accounted for. The rules are those of EMQX and Kubernetes, observed on every
//! node four times a second.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use emqx_sim::Scenario;
use emqx_sim::clock::Clock;
use emqx_sim::memory;
use emqx_sim::scenario::Answer;
use jiff::Timestamp;
use kubectl_emqx::ports::host::{self, Host};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::case::Requests;
use crate::port::{Port, Trouble};
use crate::product::{self, Lines};
use crate::random::Random;
use crate::truth::{self, Truth};

/// Virtual seconds for one process; it normally takes a tenth.
const LIMIT: Duration = Duration::from_mins(15);

/// A drain or a scale-down that is derived from a seed.
#[derive(Clone, Debug)]
pub struct Removal {
    pub seed: u64,
    /// The scenario, as YAML.
    pub scenario: String,
    /// The command line.
    pub arguments: Vec<String>,
    /// Nodes that run afterwards.
    pub nodes_after: usize,
    /// Live clients at the start.
    pub clients: u64,
    /// Seconds after which a process is killed, each in turn.
    pub kills: Vec<f64>,
    /// The command line after the last kill instead: an undo.
    pub last: Option<Vec<String>>,
    /// Seconds after which requests to the API server fail, and the duration.
    pub down: Option<(f64, f64)>,
    /// How they fail.
    pub failure: Failure,
    /// Seconds after which EMQX does not answer, and the duration.
    pub silence: Option<(f64, f64)>,
}

/// How requests to the API server fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// They are answered with 503.
    Unavailable,
    /// They are not answered before the fault ends.
    Hang,
    /// They cannot be sent.
    Unreachable,
    /// A few of them are answered with 429.
    TooMany,
}

impl Failure {
    fn trouble(self) -> Trouble {
        match self {
            Self::Unavailable => Trouble::Status(503, Requests::All),
            Self::Hang => Trouble::Hang,
            Self::Unreachable => Trouble::Down,
            Self::TooMany => Trouble::TooMany(4),
        }
    }
}

impl Removal {
    /// The removal of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::of(seed, "removal");
        let api = *random.pick(&["v1beta4", "v2beta1", "v2"]);
        let serving = random.between(3, 5);
        let each = random.between(10, 400);
        let (nodes, cores) = if api == "v1beta4" {
            (vec![json!({"role": "core", "count": serving, "connections": each, "offlineSessions": 5})], 0)
        } else {
            let replicants =
                json!({"role": "replicant", "count": serving, "connections": each, "offlineSessions": 5});
            (vec![json!({"role": "core", "count": 2}), replicants], 2)
        };
        let all = (serving + cores) as usize;
        let volumes = random.once_in(2);
        let scenario = json!({"name": format!("removal {seed}"), "api": api, "nodes": nodes,
            "reconnectDelay": random.below(3), "persistentVolumes": volumes, "kubernetesNodes": all});
        let instance = if api == "v1beta4" { "emqx-ee" } else { "emqx" };
        let (mut arguments, nodes_after) = if random.once_in(2) {
            let machines = random.between(1, 2);
            let first = random.below(all as u64);
            let machines = (0..machines).map(|at| format!("sim-{}", (first + at) % all as u64));
            (std::iter::once("drain".to_owned()).chain(machines).collect::<Vec<_>>(), all)
        } else {
            let flag = if api == "v1beta4" { "--replicas" } else { "--replicants" };
            let to = random.between(2, serving - 1);
            let words = ["scale", instance, flag].map(str::to_owned);
            let after = all - (serving - to) as usize;
            (words.into_iter().chain([to.to_string()]).collect(), after)
        };
        let rate = random.between(20, 200);
        let flags = [
            format!("--conn-evict-rate={rate}"),
            format!("--wait-health-check={}s", random.between(1, 10)),
            format!("--wait-takeover={}s", random.between(1, 10)),
            "--yes".to_owned(),
            "-o=jsonl".to_owned(),
        ];
        arguments.extend(flags);
        let kills = (0..random.below(3)).map(|_| random.between(1, 60) as f64).collect();
        let down = random.once_in(3).then(|| (random.between(1, 40) as f64, random.between(1, 20) as f64));
        let failures = [Failure::Unavailable, Failure::Hang, Failure::Unreachable, Failure::TooMany];
        let failure = *random.pick(&failures);
        let silence = random.once_in(4).then(|| (random.between(1, 40) as f64, random.between(5, 90) as f64));
        Self {
            seed,
            scenario: scenario.to_string(),
            arguments,
            nodes_after,
            clients: each * serving,
            kills,
            last: None,
            down,
            failure,
            silence,
        }
    }
}

/// A run of a removal.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// The findings; empty when there are none.
    pub wrong: Vec<String>,
    /// The steps of the last process, as it printed them, and after how many seconds.
    pub steps: Vec<(f64, String)>,
    /// Every line of every process, and after how many seconds.
    pub lines: Vec<(f64, String)>,
    /// What happened in the cluster.
    pub truth: Truth,
}

/// Runs it; returns the findings.
pub fn findings(removal: &Removal) -> Result<Vec<String>, String> {
    run(removal).map(|ran| ran.wrong)
}

/// Runs it to its end.
pub fn run(removal: &Removal) -> Result<Ran, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    let found = runtime.block_on(async {
        let begin = Instant::now();
        let random = RefCell::new(Random::of(removal.seed, "jitter"));
        host::replace(Some(Host {
            elapsed: Rc::new(move || Duration::from_secs(1000) + begin.elapsed()),
            random: Rc::new(move || random.borrow_mut().next()),
        }));
        Box::pin(staged(removal)).await
    });
    host::replace(None);
    found
}

async fn staged(removal: &Removal) -> Result<Ran, String> {
    let begin = Instant::now();
    let origin: Timestamp = "2026-11-27T08:00:00Z".parse().map_err(|error: jiff::Error| error.to_string())?;
    let clock = Clock::running_from(origin);
    let scenario = Scenario::from_yaml(&removal.scenario).map_err(|error| error.to_string())?;
    let cluster = memory::start(scenario, &clock).map_err(|error| error.to_string())?;
    let port = Port::new(cluster.door().clone(), clock.clone());
    let lines = Lines::new(clock.clone());
    let seen: Rc<RefCell<Truth>> = Rc::default();
    let exit = {
        let mut recorder = pin!(truth::record(cluster.emqx().clone(), |_| false, Vec::new, seen.clone()));
        let mut trouble = pin!(async {
            if let Some((at, seconds)) = removal.down {
                sleep(Duration::from_secs_f64(at)).await;
                port.trouble(seconds, removal.failure.trouble());
            }
            std::future::pending::<()>().await;
        });
        let mut silence = pin!(async {
            if let Some((at, seconds)) = removal.silence {
                sleep(Duration::from_secs_f64(at)).await;
                cluster.faults().emqx_answers(Some(Answer::Silence));
                sleep(Duration::from_secs_f64(seconds)).await;
                cluster.faults().emqx_answers(None);
            }
            std::future::pending::<()>().await;
        });
        let mut product = pin!(async {
            for (process, killed) in removal.kills.iter().enumerate() {
                let running = Box::pin(product::run(process, &removal.arguments, &port, &lines));
                if let Ok(exit) = timeout(Duration::from_secs_f64(*killed), running).await
                    && exit == 0
                {
                    sleep(Duration::from_secs(2)).await;
                    return Some(exit);
                }
                sleep(Duration::from_secs(5)).await;
            }
            // A process cannot begin while a source does not answer.
            let mut outages: Vec<(f64, f64)> =
                [removal.down, removal.silence].into_iter().flatten().collect();
            outages.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (at, seconds) in outages {
                if (at..=at + seconds).contains(&begin.elapsed().as_secs_f64()) {
                    sleep_until(begin + Duration::from_secs_f64(at + seconds + 1.0)).await;
                }
            }
            let arguments = removal.last.as_ref().unwrap_or(&removal.arguments);
            let last = Box::pin(product::run(removal.kills.len(), arguments, &port, &lines));
            let exit = timeout(LIMIT, last).await.ok();
            sleep(Duration::from_secs(2)).await;
            exit
        });
        tokio::select! {
            () = &mut recorder => None,
            () = &mut trouble => None,
            () = &mut silence => None,
            exit = &mut product => exit,
        }
    };
    let truth = seen.borrow().clone();
    let wrong = judged(removal, exit, &truth);
    let steps = lines
        .all()
        .iter()
        .filter(|line| line.out && line.process == removal.kills.len() && !line.text.contains("\"progress\""))
        .map(|line| (line.at, line.text.clone()))
        .collect();
    let lines = lines.all().iter().map(|line| (line.at, line.text.clone())).collect();
    Ok(Ran { wrong, steps, lines, truth })
}

/// A removal of one API version that is not killed: three nodes with clients, on operator lines before 3.x.
pub fn fixed(api: &str, arguments: &[&str], nodes_after: usize, more: &str) -> Removal {
    let nodes = if api == "v1beta4" {
        json!([{"role": "core", "count": 3, "connections": 100, "offlineSessions": 5}])
    } else {
        json!([{"role": "core", "count": 2},
            {"role": "replicant", "count": 3, "connections": 100, "offlineSessions": 5}])
    };
    let machines = if api == "v1beta4" { 3 } else { 5 };
    let scenario = format!(
        "name: each step\napi: {api}\nnodes: {nodes}\nreconnectDelay: 1\npersistentVolumes: true\n\
         kubernetesNodes: {machines}\n{more}\n"
    );
    let flags = ["--yes", "-o=jsonl"];
    Removal {
        seed: 1,
        scenario,
        arguments: arguments.iter().chain(&flags).map(|it| (*it).to_owned()).collect(),
        nodes_after,
        clients: 300,
        kills: Vec::new(),
        last: None,
        down: None,
        failure: Failure::Unavailable,
        silence: None,
    }
}

/// The findings: clients that were disconnected by the end of their node, clients that are missing, nodes
/// that refuse clients, and another number of nodes than requested.
fn judged(removal: &Removal, exit: Option<u8>, truth: &Truth) -> Vec<String> {
    let mut wrong = Vec::new();
    if exit != Some(0) {
        wrong.push(format!("exit {exit:?}"));
    }
    for pair in truth.moments.windows(2) {
        for (index, before) in pair[0].nodes.iter().enumerate() {
            let ended = pair[1].nodes.get(index).is_none_or(|after| !after.alive);
            if before.alive && ended && before.connections > 0 {
                wrong.push(format!(
                    "{:.1}s: {} ended with {} clients",
                    pair[1].at, before.name, before.connections
                ));
            }
        }
    }
    let Some(last) = truth.moments.last() else { return vec!["nothing was seen".to_owned()] };
    let alive = last.nodes.iter().filter(|node| node.alive).count();
    if alive != removal.nodes_after {
        wrong.push(format!("{alive} nodes run, {} are expected", removal.nodes_after));
    }
    if last.live() + last.in_flight != removal.clients {
        wrong.push(format!("{} clients of {} are left", last.live() + last.in_flight, removal.clients));
    }
    if !last.evacuations.is_empty() {
        wrong.push(format!("{} evacuations are left", last.evacuations.len()));
    }
    if last.lost_sessions > 0 {
        wrong.push(format!("{} sessions are lost", last.lost_sessions));
    }
    wrong
}
