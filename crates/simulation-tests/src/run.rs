//! One case from its start to its end: cluster, faults, and the product, on virtual time.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use hyper::{Method, Request};
use jiff::Timestamp;
use kube::client::Body;
use kubectl_emqx::seam::host::{self, Host};
use kubectl_emqx::sim::clock::Clock;
use kubectl_emqx::sim::coordinator::{EvacuationOrder, RebalanceOrder};
use kubectl_emqx::sim::emqx::{Emqx, Odd, Question};
use kubectl_emqx::sim::memory::{self, InMemory};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::case::{Api, Case, Fault, Operation, Part, Shape};
use crate::port::{Port, Trouble, Write};
use crate::product::{self, Line, Lines};
use crate::random::Random;
use crate::truth::{self, Truth};

/// No run takes longer, in virtual seconds.
pub const LIMIT: f64 = 1500.0;

/// How long faults wait for the operation to begin, in virtual seconds.
const BEGIN: f64 = 15.0;

/// A process of the product.
#[derive(Clone, Debug)]
pub struct Process {
    /// What was typed.
    pub arguments: Vec<String>,
    /// Seconds.
    pub started: f64,
    /// Seconds.
    pub ended: Option<f64>,
    /// Its exit code; none where it was killed or did not end.
    pub exit: Option<u8>,
}

/// Everything about a run.
#[derive(Clone, Debug)]
pub struct Record {
    /// What was run.
    pub case: Case,
    /// The processes of the product.
    pub processes: Vec<Process>,
    /// What they printed.
    pub lines: Vec<Line>,
    /// What happened.
    pub truth: Truth,
    /// When which fault came, in seconds since the start.
    pub faults: Vec<(f64, Fault)>,
    /// What the product changed in Kubernetes.
    pub writes: Vec<Write>,
    /// What the product asked EMQX to do: when, and the path.
    pub orders: Vec<(f64, String)>,
    /// When another client began the operation.
    pub begun_by_other: Option<f64>,
}

#[derive(Clone, Debug)]
enum Window {
    Silent,
    NodeSilent(usize),
    Errors,
    KeyRefused,
    Html,
    Slow(Duration),
}

#[derive(Default)]
struct Odds {
    windows: Vec<(Instant, Window)>,
    misshapen: Vec<(Shape, u32)>,
    orders: Vec<(f64, String)>,
}

struct Stage {
    case: Case,
    cluster: InMemory,
    clock: Clock,
    port: Port,
    lines: Lines,
    truth: Rc<RefCell<Truth>>,
    odds: Arc<Mutex<Odds>>,
    asleep: Cell<Option<Instant>>,
    killed: Cell<Option<f64>>,
    fired: RefCell<Vec<(f64, Fault)>>,
    started: RefCell<Vec<Process>>,
    begun_by_other: Cell<Option<f64>>,
}

/// Runs a case. Everything in it follows from the case.
pub fn run(case: &Case) -> Result<Record, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    let result = runtime.block_on(async {
        let begin = Instant::now();
        let random = RefCell::new(Random::of(case.seed, "jitter"));
        host::replace(Some(Host {
            elapsed: Rc::new(move || Duration::from_secs(1000) + begin.elapsed()),
            random: Rc::new(move || random.borrow_mut().next()),
        }));
        staged(case).await
    });
    host::replace(None);
    result
}

async fn staged(case: &Case) -> Result<Record, String> {
    let origin: Timestamp = "2026-11-27T08:00:00Z".parse().map_err(|error: jiff::Error| error.to_string())?;
    let clock = Clock::running_from(origin);
    let cluster = memory::start(case.scenario()?, &clock).map_err(|error| error.to_string())?;
    let stage = Stage {
        case: case.clone(),
        port: Port::new(cluster.door().clone(), clock.clone()),
        lines: Lines::new(clock.clone()),
        truth: Rc::default(),
        odds: Arc::default(),
        asleep: Cell::default(),
        killed: Cell::default(),
        fired: RefCell::default(),
        started: RefCell::default(),
        begun_by_other: Cell::default(),
        clock,
        cluster,
    };
    stage.intercept();
    {
        let mut recorder = pin!(truth::record(stage.cluster.emqx().clone(), stage.truth.clone()));
        let mut faults = pin!(stage.faults());
        let mut product = pin!(stage.product());
        let mut limit = pin!(sleep(Duration::from_secs_f64(LIMIT)));
        let mut over = false;
        poll_fn(|context| {
            let _ = recorder.as_mut().poll(context);
            if !over && faults.as_mut().poll(context).is_ready() {
                over = true;
            }
            if product.as_mut().poll(context).is_ready() || limit.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }
    let orders = stage.odds.lock().unwrap_or_else(PoisonError::into_inner).orders.clone();
    let truth = stage.truth.borrow().clone();
    Ok(Record {
        case: case.clone(),
        processes: stage.started.take(),
        lines: stage.lines.all(),
        truth,
        faults: stage.fired.take(),
        writes: stage.port.writes(),
        orders,
        begun_by_other: stage.begun_by_other.get(),
    })
}

impl Stage {
    fn now(&self) -> f64 {
        self.clock.elapsed().as_secs_f64()
    }

    fn emqx(&self) -> &Emqx {
        self.cluster.emqx()
    }

    /// Stands between the product and EMQX.
    fn intercept(&self) {
        let (odds, clock) = (self.odds.clone(), self.clock.clone());
        self.emqx().intercept(move |question: &Question<'_>| {
            let mut odds = odds.lock().unwrap_or_else(PoisonError::into_inner);
            if question.method == "POST" {
                odds.orders.push((clock.elapsed().as_secs_f64(), question.path.to_owned()));
            }
            let now = Instant::now();
            odds.windows.retain(|(until, _)| *until > now);
            for (_, window) in &odds.windows {
                return Some(match window {
                    Window::NodeSilent(node) if *node != question.node => continue,
                    Window::Silent | Window::NodeSilent(_) => Odd::Never,
                    Window::Errors => Odd::Instead(
                        500,
                        r#"{"code":"INTERNAL_ERROR","message":"error, badmatch, []"}"#.into(),
                    ),
                    Window::KeyRefused => Odd::Instead(
                        401,
                        r#"{"code":"BAD_API_KEY_OR_SECRET","message":"Check api_key/api_secret"}"#.into(),
                    ),
                    Window::Html => Odd::Instead(200, "<!doctype html><html></html>".into()),
                    Window::Slow(pause) => Odd::Late(*pause),
                });
            }
            if question.method == "GET" && question.path.ends_with("global_status") {
                let (shape, left) = odds.misshapen.iter_mut().find(|(_, left)| *left > 0)?;
                *left -= 1;
                let shape = *shape;
                return Some(Odd::Changed(Arc::new(move |body: &mut Value| misshape(shape, body))));
            }
            None
        });
    }

    /// Lets each fault happen in its time.
    async fn faults(&self) {
        let begun = loop {
            let now = self.now();
            let begun = self
                .truth
                .borrow()
                .moments
                .last()
                .is_some_and(|moment| !moment.runs.is_empty() || !moment.evacuations.is_empty());
            if begun || now > BEGIN || self.begun_by_other.get().is_some_and(|at| now > at) {
                break Instant::now();
            }
            sleep(Duration::from_millis(250)).await;
        };
        let mut back: Vec<(Instant, String)> = Vec::new();
        for timed in &self.case.faults {
            let due = begun + Duration::from_secs_f64(timed.at);
            while let Some(place) = back.iter().position(|(at, _)| *at <= due) {
                let (at, what) = back.remove(place);
                sleep_until(at).await;
                self.undo(&what);
            }
            sleep_until(due).await;
            self.fired.borrow_mut().push((self.now(), timed.fault.clone()));
            if let Some((after, what)) = self.fire(&timed.fault).await {
                back.push((Instant::now() + Duration::from_secs_f64(after), what));
            }
        }
        back.sort();
        for (at, what) in back {
            sleep_until(at).await;
            self.undo(&what);
        }
    }

    fn undo(&self, what: &str) {
        if what == "operator" {
            self.cluster.faults().set_operator_alive(true);
        } else {
            self.cluster.faults().set_node_running(what, true);
        }
    }

    /// The index of the node that plays a part.
    fn node(&self, part: Part) -> usize {
        let truth = self.truth.borrow();
        let Some(moment) = truth.moments.last() else { return 0 };
        let cores: Vec<usize> =
            (0..moment.nodes.len()).filter(|&it| moment.nodes[it].core && moment.nodes[it].alive).collect();
        let last_core = cores.last().copied().unwrap_or_default();
        let Some(run) = moment.runs.first() else {
            return match part {
                Part::Core => last_core,
                _ => moment.nodes.len() - 1,
            };
        };
        let other = |group: &[usize]| {
            group.iter().copied().find(|&node| node != run.coordinator).unwrap_or(run.coordinator)
        };
        match part {
            Part::Donor => other(&run.donors),
            Part::Recipient => other(&run.recipients),
            Part::Coordinator => run.coordinator,
            Part::Core => last_core,
        }
    }

    fn name_of(&self, node: usize) -> String {
        self.emqx().with(|broker| broker.nodes[node].name.clone())
    }

    fn window(&self, seconds: f64, window: Window) {
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        self.odds.lock().unwrap_or_else(PoisonError::into_inner).windows.push((until, window));
    }

    /// Makes it happen; gives back what has to be undone, and after how many seconds.
    async fn fire(&self, fault: &Fault) -> Option<(f64, String)> {
        let faults = self.cluster.faults();
        match fault {
            Fault::CoordinatorCrash => faults.crash_coordinators(),
            Fault::CoordinatorHang => faults.hang_coordinators(),
            Fault::NodeDown { part, back } => {
                let name = self.name_of(self.node(*part));
                faults.set_node_running(&name, false);
                return back.map(|seconds| (seconds, name));
            }
            Fault::EmqxSilent(seconds) => self.window(*seconds, Window::Silent),
            Fault::NodeSilent(seconds) => self.window(*seconds, Window::NodeSilent(0)),
            Fault::EmqxErrors(seconds) => self.window(*seconds, Window::Errors),
            Fault::KeyRefused(seconds) => self.window(*seconds, Window::KeyRefused),
            Fault::EmqxHtml(seconds) => self.window(*seconds, Window::Html),
            Fault::EmqxSlow(late, seconds) => {
                self.window(*seconds, Window::Slow(Duration::from_secs_f64(*late)));
            }
            Fault::Misshapen(shape, times) => {
                self.odds.lock().unwrap_or_else(PoisonError::into_inner).misshapen.push((*shape, *times));
            }
            Fault::StoppedByOther => self.emqx().with(|broker| {
                let leaders: Vec<String> = broker
                    .rebalances()
                    .iter()
                    .map(|run| broker.nodes[run.coordinator].name.clone())
                    .collect();
                for leader in leaders {
                    let _ = broker.stop_rebalance(&leader);
                }
            }),
            Fault::ObjectDeleted => {
                for name in self.objects().await {
                    self.ask(Method::DELETE, &format!("{REBALANCES}/{name}"), None).await;
                }
            }
            Fault::ClientsLeave(percent) => self.emqx().with(|broker| {
                for node in &mut broker.nodes {
                    node.connections -= node.connections * u64::from(*percent) / 100;
                }
            }),
            Fault::ApiRestart => faults.restart_api_server(),
            Fault::ApiCut => faults.close_connections(),
            Fault::ForwardsCut => faults.drop_port_forwards(),
            Fault::ApiDown(seconds) => {
                self.port.trouble(*seconds, Trouble::Down);
                faults.close_connections();
            }
            Fault::ApiHang(seconds) => {
                self.port.trouble(*seconds, Trouble::Hang);
                faults.close_connections();
            }
            Fault::ApiStatus { code, requests, seconds } => {
                self.port.trouble(*seconds, Trouble::Status(*code, *requests));
                faults.close_connections();
            }
            Fault::TooManyRequests(times) => self.port.trouble(600.0, Trouble::TooMany(*times)),
            Fault::ApiSlow(late, seconds) => {
                self.port.trouble(*seconds, Trouble::Slow(Duration::from_secs_f64(*late)));
            }
            Fault::DateJump(seconds) => self.port.trouble(LIMIT, Trouble::Date(*seconds)),
            Fault::TwoServers(seconds) => self.port.trouble(LIMIT, Trouble::TwoServers(*seconds)),
            Fault::Asleep(seconds) => {
                self.asleep.set(Some(Instant::now() + Duration::from_secs_f64(*seconds)));
            }
            Fault::PodKilled(part) => {
                let node = self.node(*part);
                let pod = self.emqx().with(|broker| broker.nodes[node].pod.clone());
                self.ask(Method::DELETE, &format!("/api/v1/namespaces/mq/pods/{pod}"), None).await;
            }
            Fault::PodNotReady(part) => {
                let node = self.node(*part);
                let pod = self.emqx().with(|broker| broker.nodes[node].pod.clone());
                if let Some(mut object) = faults.object("pods", &pod) {
                    for container in
                        object["status"]["containerStatuses"].as_array_mut().into_iter().flatten()
                    {
                        container["ready"] = json!(false);
                        container["started"] = json!(false);
                    }
                    faults.put_object(object);
                }
            }
            Fault::OperatorDead(seconds) => {
                faults.set_operator_alive(false);
                return seconds.map(|seconds| (seconds, "operator".to_owned()));
            }
            Fault::Killed(seconds) => self.killed.set(Some(*seconds)),
        }
        None
    }

    /// The names of the Rebalances.
    async fn objects(&self) -> Vec<String> {
        let list = self.ask(Method::GET, REBALANCES, None).await;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.iter().filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned)).collect()
    }

    /// Another client of the API server.
    async fn ask(&self, method: Method, path: &str, body: Option<(&str, Value)>) -> Value {
        use http_body_util::BodyExt as _;
        let mut request = Request::builder().method(method).uri(path);
        if let Some((kind, _)) = &body {
            request = request.header("content-type", *kind);
        }
        let bytes = body.map_or_else(Vec::new, |(_, body)| body.to_string().into_bytes());
        let Ok(request) = request.body(Body::from(bytes)) else { return Value::Null };
        let Ok(response) = self.cluster.door().ask("admin", request).await else { return Value::Null };
        let bytes = response.into_body().collect().await.map(http_body_util::Collected::to_bytes);
        serde_json::from_slice(&bytes.unwrap_or_default()).unwrap_or_default()
    }

    /// One process, unless it is killed: then another one, that watches.
    async fn process(&self, arguments: &[&str], again: &[&str]) {
        let mut arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        loop {
            let number = self.started.borrow().len();
            self.started.borrow_mut().push(Process {
                arguments: arguments.clone(),
                started: self.now(),
                ended: None,
                exit: None,
            });
            let mut running = Box::pin(product::run(number, &arguments, &self.port, &self.lines));
            let mut awake = Box::pin(sleep_until(Instant::now()));
            let mut watched = Box::pin(sleep(Duration::from_millis(100)));
            let exit = poll_fn(|context| {
                // Looks every 100 ms whether it is to be killed or to sleep.
                while watched.as_mut().poll(context).is_ready() {
                    watched.as_mut().reset(Instant::now() + Duration::from_millis(100));
                }
                if self.killed.get().is_some() {
                    return Poll::Ready(None);
                }
                if let Some(until) = self.asleep.get() {
                    awake.as_mut().reset(until);
                    if awake.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    self.asleep.set(None);
                }
                running.as_mut().poll(context).map(Some)
            })
            .await;
            drop(running);
            if let Some(process) = self.started.borrow_mut().get_mut(number) {
                (process.ended, process.exit) = (Some(self.now()), exit);
            }
            let Some(pause) = self.killed.take() else { return };
            sleep(Duration::from_secs_f64(pause)).await;
            arguments = again.iter().map(|&word| word.to_owned()).collect();
        }
    }

    /// Every process, and two seconds more, so that what is recorded covers the last line.
    async fn product(&self) {
        self.processes().await;
        sleep(Duration::from_secs(2)).await;
    }

    async fn processes(&self) {
        let case = &self.case;
        let strategy = &case.strategy;
        let instance = case.api.instance();
        let numbers = [
            ("--conn-evict-rate", strategy.conn_rate.to_string()),
            ("--sess-evict-rate", strategy.sess_rate.to_string()),
            ("--wait-health-check", strategy.wait_health_check.to_string()),
            ("--wait-takeover", strategy.wait_takeover.to_string()),
            ("--abs-conn-threshold", strategy.abs.to_string()),
            ("--abs-sess-threshold", strategy.abs.to_string()),
            ("--rel-conn-threshold", strategy.rel.to_string()),
            ("--rel-sess-threshold", strategy.rel.to_string()),
        ];
        let mut apply = vec!["rebalance", "apply", instance, "--yes"];
        for (flag, value) in &numbers {
            apply.extend([*flag, value.as_str()]);
        }
        let form: &[&str] = if case.text { &[] } else { &["-o", "jsonl"] };
        let with = |words: &[&'static str]| [words, form].concat();
        let watch = with(&["rebalance", "watch"]);
        match case.operation {
            Operation::Rebalance | Operation::DirectRebalance => {
                if case.operation == Operation::DirectRebalance {
                    apply.extend(["--backend", "emqx"]);
                }
                apply.push("--watch");
                apply.extend(form);
                self.process(&apply, &watch).await;
            }
            Operation::StoppedRebalance => {
                if case.api == Api::V3beta1 {
                    apply.extend(["--backend", "emqx"]);
                }
                self.process(&apply, &watch).await;
                sleep(Duration::from_secs(20)).await;
                self.process(&["rebalance", "stop", instance, "--yes"], &watch).await;
                sleep(Duration::from_secs(10)).await;
            }
            Operation::OthersRebalance => {
                let rel = json!(strategy.rel.to_string());
                let mut object = json!({
                    "apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance",
                    "metadata": { "name": "others", "namespace": "mq" },
                    "spec": {
                        "instanceName": instance,
                        "rebalanceStrategy": {
                            "connEvictRate": strategy.conn_rate, "sessEvictRate": strategy.sess_rate,
                            "waitHealthCheck": strategy.wait_health_check, "waitTakeover": strategy.wait_takeover,
                            "absConnThreshold": strategy.abs, "relConnThreshold": rel,
                            "absSessThreshold": strategy.abs, "relSessThreshold": rel,
                        },
                    },
                });
                if case.api != Api::V2 {
                    object["spec"]["instanceKind"] =
                        json!(if case.api == Api::V1beta4 { "EmqxEnterprise" } else { "EMQX" });
                }
                self.begun_by_other.set(Some(self.now()));
                self.ask(Method::POST, REBALANCES, Some(("application/json", object))).await;
                sleep(Duration::from_secs(3)).await;
                self.process(&watch, &watch).await;
            }
            Operation::OthersDirectRebalance => {
                let order = RebalanceOrder {
                    conn_rate: strategy.conn_rate,
                    sess_rate: strategy.sess_rate,
                    wait_health_check: Duration::from_secs(strategy.wait_health_check),
                    wait_takeover: Duration::from_secs(strategy.wait_takeover),
                    ..RebalanceOrder::default()
                };
                self.begun_by_other.set(Some(self.now()));
                self.emqx().with(|broker| {
                    let mut order = order;
                    for threshold in [&mut order.conn, &mut order.sess] {
                        (threshold.abs, threshold.rel) = (strategy.abs as f64, strategy.rel);
                    }
                    let nodes = broker.participants();
                    order.nodes = Some(nodes.clone());
                    if let Some(first) = nodes.first() {
                        let _ = broker.start_rebalance(first, order);
                    }
                });
                sleep(Duration::from_secs(2)).await;
                self.process(&watch, &watch).await;
            }
            Operation::Upgrade => {
                let words = ["upgrade", instance, "--image", case.api.next_image(), "--yes"];
                self.process(&[&words[..], form].concat(), &with(&["upgrade", "watch"])).await;
            }
            Operation::OthersUpgrade => {
                let image = case.api.next_image();
                let change = if case.api == Api::V1beta4 {
                    let version = image.rsplit(':').next().unwrap_or_default();
                    json!({"spec":{"template":{"spec":{"emqxContainer":{"image":{"version":version}}}}}})
                } else {
                    json!({ "spec": { "image": image } })
                };
                let plural = if case.api == Api::V1beta4 { "emqxenterprises" } else { "emqxes" };
                let path =
                    format!("/apis/apps.emqx.io/{}/namespaces/mq/{plural}/{instance}", case.api.name());
                self.begun_by_other.set(Some(self.now()));
                self.ask(Method::PATCH, &path, Some(("application/merge-patch+json", change))).await;
                sleep(Duration::from_secs(3)).await;
                let words = with(&["upgrade", "watch"]);
                self.process(&words, &words).await;
            }
            Operation::OthersEvacuation => {
                self.begun_by_other.set(Some(self.now()));
                self.emqx().with(|broker| {
                    let order = EvacuationOrder {
                        conn_rate: strategy.conn_rate * 3,
                        sess_rate: strategy.sess_rate * 3,
                        wait_health_check: Duration::from_secs(strategy.wait_health_check),
                        wait_takeover: Duration::from_secs(strategy.wait_takeover),
                        ..EvacuationOrder::default()
                    };
                    if let Some(name) = broker.participants().last().cloned() {
                        let _ = broker.start_evacuation(&name, order);
                    }
                });
                for _ in 0..20 {
                    self.process(&["status", "-o", "json"], &["status", "-o", "json"]).await;
                    sleep(Duration::from_secs(4)).await;
                }
            }
            Operation::Status => {
                for _ in 0..20 {
                    self.process(&["status", "-o", "json"], &["status", "-o", "json"]).await;
                    sleep(Duration::from_secs(4)).await;
                }
            }
        }
    }
}

const REBALANCES: &str = "/apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances";

fn misshape(shape: Shape, body: &mut Value) {
    match shape {
        Shape::Empty => body["rebalances"] = json!([]),
        Shape::Null => body["rebalances"] = Value::Null,
        Shape::Missing => {
            if let Some(map) = body.as_object_mut() {
                map.remove("rebalances");
            }
        }
        Shape::NoList => body["rebalances"] = json!("none"),
        Shape::BadEntry => body["rebalances"] = json!([{ "state": "evicting_conns" }]),
        Shape::Reordered => {
            for entry in body["rebalances"].as_array_mut().into_iter().flatten() {
                for key in ["donors", "recipients"] {
                    if let Some(list) = entry[key].as_array_mut() {
                        list.reverse();
                    }
                }
            }
        }
    }
}
