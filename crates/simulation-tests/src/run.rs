//! One case from its start to its end: cluster, faults, and the product, on virtual time.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use emqx_sim::clock::Clock;
use emqx_sim::emqx::{Emqx, Odd, Question};
use emqx_sim::memory::{self, InMemory};
use jiff::Timestamp;
use kubectl_emqx::ports::host::{self, Host};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::case::{Case, Fault, Shape, Timed};
use crate::port::{Port, Write};
use crate::product::{Line, Lines};
use crate::random::Random;
use crate::truth::{self, Truth};

/// The longest run, in virtual seconds.
pub const LIMIT: f64 = 1500.0;

/// A process of the product.
#[derive(Clone, Debug)]
pub struct Process {
    /// The command line.
    pub arguments: Vec<String>,
    /// Seconds since the start.
    pub started: f64,
    /// Seconds since the start.
    pub ended: Option<f64>,
    /// Its exit code; `None` where it was killed or did not end.
    pub exit: Option<u8>,
}

impl Process {
    /// Whether the process ran at this moment, in seconds.
    pub fn covers(&self, at: f64) -> bool {
        at >= self.started && self.ended.is_none_or(|ended| at <= ended)
    }

    /// Whether the command line begins with these words.
    pub fn begins(&self, words: &[&str]) -> bool {
        self.arguments.len() >= words.len() && words.iter().zip(&self.arguments).all(|(a, b)| a == b)
    }

    /// Whether it changes the cluster.
    pub fn writes(&self) -> bool {
        ["apply", "start", "stop"].iter().any(|verb| self.arguments.get(1).is_some_and(|word| word == verb))
            || (self.begins(&["upgrade"]) && !self.begins(&["upgrade", "watch"]))
    }

    /// Whether it follows an operation to its end.
    pub fn follows(&self) -> bool {
        let watches = self.arguments.iter().any(|word| word == "watch" || word == "--watch");
        watches || self.begins(&["upgrade"])
    }
}

/// Everything about a run.
#[derive(Clone, Debug)]
pub struct Record {
    pub case: Case,
    /// The processes of the product.
    pub processes: Vec<Process>,
    /// The printed lines.
    pub lines: Vec<Line>,
    /// What happened.
    pub truth: Truth,
    /// The time of each fault, in seconds since the start.
    pub faults: Vec<(f64, Fault)>,
    /// The changes that the product made in Kubernetes.
    pub writes: Vec<Write>,
    /// The changes that the product requested from EMQX: time and path.
    pub orders: Vec<(f64, String)>,
    /// When another client began the operation.
    pub begun_by_other: Option<f64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Window {
    Silent,
    NodeSilent(usize),
    Errors,
    CountsRefused,
    KeyRefused,
    Html,
    Slow(Duration),
}

#[derive(Default)]
pub(crate) struct Odds {
    pub(crate) windows: Vec<(Instant, Window)>,
    pub(crate) misshapen: Vec<(Shape, u32)>,
    pub(crate) orders: Vec<(f64, String)>,
}

pub(crate) struct Stage {
    pub(crate) case: Case,
    pub(crate) cluster: InMemory,
    pub(crate) clock: Clock,
    pub(crate) port: Port,
    pub(crate) lines: Lines,
    pub(crate) truth: Rc<RefCell<Truth>>,
    pub(crate) odds: Arc<Mutex<Odds>>,
    pub(crate) asleep: Cell<Option<Instant>>,
    pub(crate) killed: Cell<Option<f64>>,
    pub(crate) fired: RefCell<Vec<(f64, Fault)>>,
    pub(crate) started: RefCell<Vec<Process>>,
    pub(crate) begun_by_other: Cell<Option<f64>>,
}

/// Runs a case. The run depends only on the case.
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
        let mut recorder = pin!(truth::record(
            stage.cluster.emqx().clone(),
            |pod| stage.is_renewed(pod),
            || stage.pods(),
            stage.truth.clone()
        ));
        let mut faults = pin!(stage.faults());
        let mut returns = pin!(stage.operator_returns());
        let mut returned = false;
        let mut product = pin!(stage.product());
        let mut limit = pin!(sleep(Duration::from_secs_f64(LIMIT)));
        let mut over = false;
        poll_fn(|context| {
            let _ = recorder.as_mut().poll(context);
            if !over && faults.as_mut().poll(context).is_ready() {
                over = true;
            }
            if !returned && returns.as_mut().poll(context).is_ready() {
                returned = true;
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
    pub(crate) fn now(&self) -> f64 {
        self.clock.elapsed().as_secs_f64()
    }

    pub(crate) fn emqx(&self) -> &Emqx {
        self.cluster.emqx()
    }

    /// The names of the pods, where an upgrade replaces them.
    fn pods(&self) -> Vec<String> {
        let replaces = self.case.operation.upgrades();
        if replaces { self.cluster.faults().names("pods") } else { Vec::new() }
    }

    /// Whether a pod is made from a changed template.
    fn is_renewed(&self, pod: &str) -> bool {
        let changes = |timed: &Timed| timed.fault == Fault::TemplateChanged;
        let may = self.case.operation.renews() || self.case.faults.iter().any(changes);
        let object = || self.cluster.faults().object("pods", pod);
        may && object().is_some_and(|pod| pod["metadata"]["annotations"][truth::RENEWED] == "true")
    }

    /// Intercepts the requests of the product to EMQX.
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
                    Window::CountsRefused if !question.path.ends_with("/nodes") => continue,
                    Window::Silent | Window::NodeSilent(_) => Odd::Never,
                    Window::Errors | Window::CountsRefused => Odd::Instead(
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
}

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
