//! The commands of each operation with their order, and the actions of other clients.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use emqx_sim::orders::{EvacuationOrder, RebalanceOrder};
use emqx_sim::scenario::Role;
use hyper::Method;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use crate::case::{Api, Operation};
use crate::faults::REBALANCES;
use crate::product;
use crate::run::{Process, Stage};

/// How often `status` is run during another client's operation, and the pause between.
const STATUSES: usize = 20;
const BETWEEN: Duration = Duration::from_secs(4);

/// How long `watch` of a whole instance runs: it does not end by itself.
const WATCHED: f64 = 420.0;

/// How long a `watch` runs before another client begins an operation.
const BEFORE: Duration = Duration::from_secs(5);

/// An object that no operator picks up within this time waits for one.
const PICKED_UP: Duration = Duration::from_secs(36);

/// Time from the end of an operation to the following `status` and `list`.
const AFTERWARDS: Duration = Duration::from_secs(5);

impl Stage {
    /// Runs one process; if it is killed, another one that follows.
    async fn process(&self, arguments: &[&str], again: &[&str]) {
        self.process_until(arguments, again, None).await;
    }

    /// The same; the process is ended after this number of seconds.
    async fn process_until(&self, arguments: &[&str], again: &[&str], limit: Option<f64>) {
        let mut arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let over = limit.map(|limit| self.now() + limit);
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
            let mut tick = Box::pin(sleep(Duration::from_millis(100)));
            let exit = poll_fn(|context| {
                // Checks every 100 ms whether the process is to be killed or to sleep.
                while tick.as_mut().poll(context).is_ready() {
                    tick.as_mut().reset(Instant::now() + Duration::from_millis(100));
                }
                if self.killed.get().is_some() || over.is_some_and(|over| self.now() >= over) {
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

    /// Runs every process, and two seconds more, so that the record covers the last line.
    pub(crate) async fn product(&self) {
        self.processes().await;
        sleep(Duration::from_secs(2)).await;
    }

    /// `watch` of the instance for this number of seconds, in which another client does something.
    async fn watched_from_before(&self, form: &[&str], seconds: f64, other: impl Future<Output = ()>) {
        let watch = [&["watch", "--plain"], form].concat();
        let later = async {
            sleep(BEFORE).await;
            other.await;
        };
        futures::future::join(self.process_until(&watch, &watch, Some(seconds)), later).await;
    }

    async fn processes(&self) {
        let form: &[&str] = if self.case.text { &[] } else { &["-o", "jsonl"] };
        let instance = self.case.api.instance();
        match self.case.operation {
            Operation::Rebalance | Operation::DirectRebalance => self.rebalance(form).await,
            Operation::RebalanceTwice => {
                self.rebalance(form).await;
                sleep(AFTERWARDS).await;
                self.crowd();
                self.rebalance(form).await;
            }
            Operation::StoppedRebalance => {
                let apply = self.apply();
                let apply: Vec<&str> = apply.iter().map(String::as_str).collect();
                let watch = [&["rebalance", "watch"], form].concat();
                self.process(&apply, &watch).await;
                sleep(Duration::from_secs(20)).await;
                self.process(&["rebalance", "stop", instance, "--yes"], &watch).await;
                sleep(Duration::from_secs(10)).await;
            }
            Operation::OthersRebalance => {
                self.create_object().await;
                self.pause(3.0).await;
                let watch = [&["rebalance", "watch"], form].concat();
                self.process(&watch, &watch).await;
            }
            Operation::WatchInstance if self.case.watching => {
                self.watched_from_before(form, WATCHED, self.create_object()).await;
            }
            Operation::WatchInstance => {
                self.create_object().await;
                self.pause(3.0).await;
                let watch = [&["watch", "--plain"], form].concat();
                self.process_until(&watch, &watch, Some(WATCHED)).await;
            }
            Operation::OthersDirectRebalance => {
                self.start_direct();
                self.pause(2.0).await;
                let watch = [&["rebalance", "watch"], form].concat();
                self.process(&watch, &watch).await;
            }
            Operation::Upgrade => {
                let words = ["upgrade", instance, "--image", self.case.api.next_image(), "--yes"];
                let watch = [&["upgrade", "watch"], form].concat();
                self.process(&[&words[..], form].concat(), &watch).await;
            }
            Operation::OthersUpgrade | Operation::OthersTemplate | Operation::OthersCoreTemplate => {
                if self.case.evacuated {
                    self.leave_evacuated().await;
                }
                let change = async {
                    self.begun_by_other.set(Some(self.now()));
                    match self.case.operation {
                        Operation::OthersUpgrade => self.set_image(self.case.api.next_image()).await,
                        other => self.set_template(other == Operation::OthersTemplate).await,
                    }
                };
                if self.case.watching {
                    return self.watched_from_before(form, 2.0 * WATCHED, change).await;
                }
                change.await;
                self.pause(3.0).await;
                let watch = [&["upgrade", "watch"], form].concat();
                self.process(&watch, &watch).await;
            }
            Operation::Evacuation | Operation::StoppedEvacuation => self.evacuation(form).await,
            Operation::OthersEvacuation => {
                self.begun_by_other.set(Some(self.now()));
                self.start_evacuation();
                self.statuses(STATUSES).await;
            }
            Operation::OthersPurge => {
                self.begun_by_other.set(Some(self.now()));
                let rate = self.case.strategy.sess_rate * 4;
                self.emqx().with(|broker| {
                    let _ = broker.start_purge(0, rate);
                });
                self.statuses(STATUSES).await;
            }
            Operation::Status => self.statuses(STATUSES).await,
            Operation::UnfollowedRebalance => {
                let apply = self.apply();
                let apply: Vec<&str> = apply.iter().map(String::as_str).collect();
                self.process(&apply, &apply).await;
                if self.case.operator_away.is_some() {
                    sleep(PICKED_UP).await;
                    self.statuses(1).await;
                    self.list().await;
                }
                self.until_nothing_runs().await;
                // Within two minutes of the end the verdict may be based on the current counts.
                self.pause(150.0).await;
            }
            Operation::UndoneUpgrade => {
                let words = ["upgrade", instance, "--image", self.case.api.next_image(), "--yes"];
                let upgrade = [&words[..], form].concat();
                self.process_until(&upgrade, &upgrade, Some(self.case.late.unwrap_or(90.0))).await;
                let undo = [&["upgrade", "undo", instance, "--yes"], form].concat();
                self.process(&undo, &[&["upgrade", "watch"], form].concat()).await;
            }
        }
        match self.case.operation {
            Operation::OthersEvacuation | Operation::OthersPurge | Operation::Status => {}
            _ => {
                sleep(AFTERWARDS).await;
                self.statuses(1).await;
                if self.case.api != Api::V3beta1 {
                    self.list().await;
                }
            }
        }
    }

    async fn list(&self) {
        let list = ["rebalance", "list", "-o", "json"];
        self.process(&list, &list).await;
    }

    /// Waits until EMQX runs no rebalance; 30 s where none begins, at most ten minutes.
    async fn until_nothing_runs(&self) {
        let runs = || self.emqx().with(|broker| !broker.rebalances().is_empty());
        for (limit, running) in [(30, true), (600, false)] {
            for _ in 0..limit {
                if runs() == running {
                    break;
                }
                sleep(Duration::from_secs(1)).await;
            }
        }
    }

    /// Waits between the begin of another client's operation and the product's process.
    async fn pause(&self, usual: f64) {
        sleep(Duration::from_secs_f64(self.case.late.unwrap_or(usual))).await;
    }

    async fn statuses(&self, number: usize) {
        let words = ["status", "-o", "json"];
        for place in 0..number {
            if place > 0 {
                sleep(BETWEEN).await;
            }
            self.process(&words, &words).await;
        }
    }

    /// `rebalance apply` with every setting, without `--watch`.
    fn apply(&self) -> Vec<String> {
        let strategy = &self.case.strategy;
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
        let words = ["rebalance", "apply", self.case.api.instance(), "--yes"];
        let mut words: Vec<String> = words.map(str::to_owned).to_vec();
        for (flag, value) in numbers {
            words.extend([flag.to_owned(), value]);
        }
        if self.case.api == Api::V3beta1 || self.case.operation == Operation::DirectRebalance {
            words.extend(["--backend", "emqx"].map(str::to_owned));
        }
        words
    }

    async fn rebalance(&self, form: &[&str]) {
        let mut apply = self.apply();
        apply.push("--watch".to_owned());
        let mut apply: Vec<&str> = apply.iter().map(String::as_str).collect();
        apply.extend(form);
        self.process(&apply, &[&["rebalance", "watch"], form].concat()).await;
    }

    /// Moves clients from the node with the fewest to the one with the most, so that a rebalance has work.
    pub(crate) fn crowd(&self) {
        self.emqx().with(|broker| {
            let front = broker.members().any(|(_, node)| node.role == Role::Replicant);
            let role = if front { Role::Replicant } else { Role::Core };
            let nodes: Vec<usize> = broker
                .members()
                .filter(|(_, node)| node.role == role && node.running)
                .map(|(index, _)| index)
                .collect();
            let least = nodes.iter().copied().min_by_key(|&node| broker.nodes[node].connections);
            let most = nodes.iter().copied().max_by_key(|&node| broker.nodes[node].connections);
            if let (Some(least), Some(most)) = (least, most)
                && least != most
            {
                let clients = broker.nodes[least].connections;
                broker.nodes[least].connections = 0;
                broker.nodes[most].connections += clients;
            }
        });
    }

    /// Another client creates a Rebalance.
    pub(crate) async fn create_object(&self) {
        let (case, strategy) = (&self.case, &self.case.strategy);
        let rel = json!(strategy.rel.to_string());
        let mut object = json!({
            "apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance",
            "metadata": { "name": "others", "namespace": "mq" },
            "spec": {
                "instanceName": case.api.instance(),
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
        if self.begun_by_other.get().is_none() {
            self.begun_by_other.set(Some(self.now()));
        }
        self.ask(Method::POST, REBALANCES, Some(("application/json", object))).await;
    }

    /// Another client starts a rebalance in EMQX.
    fn start_direct(&self) {
        let strategy = &self.case.strategy;
        let mut order = RebalanceOrder {
            conn_rate: strategy.conn_rate,
            sess_rate: strategy.sess_rate,
            wait_health_check: Duration::from_secs(strategy.wait_health_check),
            wait_takeover: Duration::from_secs(strategy.wait_takeover),
            ..RebalanceOrder::default()
        };
        for threshold in [&mut order.conn, &mut order.sess] {
            (threshold.abs, threshold.rel) = (strategy.abs as f64, strategy.rel);
        }
        self.begun_by_other.set(Some(self.now()));
        self.emqx().with(|broker| {
            let nodes = broker.participants();
            order.nodes = Some(nodes.clone());
            if let Some(first) = nodes.first() {
                let _ = broker.start_rebalance(first, order);
            }
        });
    }

    /// Another client starts an evacuation of the last node.
    fn start_evacuation(&self) {
        let order = self.evacuation_order();
        self.emqx().with(|broker| {
            if let Some(name) = broker.participants().last().cloned() {
                let _ = broker.start_evacuation(&name, order);
            }
        });
    }

    /// The same, and waits until the node is empty; the evacuation is not stopped.
    async fn leave_evacuated(&self) {
        self.start_evacuation();
        for _ in 0..120 {
            let empty = |broker: &mut emqx_sim::broker::Broker| {
                broker.evacuations().iter().all(|evacuation| evacuation.state.name() == "prohibiting")
            };
            if self.emqx().with(empty) {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    fn evacuation_order(&self) -> EvacuationOrder {
        let strategy = &self.case.strategy;
        EvacuationOrder {
            conn_rate: strategy.conn_rate * 3,
            sess_rate: strategy.sess_rate * 3,
            wait_health_check: Duration::from_secs(strategy.wait_health_check),
            wait_takeover: Duration::from_secs(strategy.wait_takeover),
            ..EvacuationOrder::default()
        }
    }

    /// `evacuate start` of the last node, followed to its end or stopped.
    async fn evacuation(&self, form: &[&str]) {
        let strategy = &self.case.strategy;
        let target = self.emqx().with(|broker| broker.participants().last().cloned()).unwrap_or_default();
        let numbers = [
            (strategy.conn_rate * 3).to_string(),
            (strategy.sess_rate * 3).to_string(),
            strategy.wait_health_check.to_string(),
            strategy.wait_takeover.to_string(),
        ];
        let mut start = vec!["evacuate", "start", target.as_str(), "--yes"];
        let flags = ["--conn-evict-rate", "--sess-evict-rate", "--wait-health-check", "--wait-takeover"];
        for (flag, value) in flags.iter().zip(&numbers) {
            start.extend([*flag, value.as_str()]);
        }
        let watch = [&["evacuate", "watch", target.as_str()], form].concat();
        if self.case.operation == Operation::Evacuation {
            start.push("--watch");
            start.extend(form);
            self.process(&start, &watch).await;
            return;
        }
        self.process(&start, &watch).await;
        sleep(Duration::from_secs(12)).await;
        self.process(&["evacuate", "stop", target.as_str(), "--yes"], &watch).await;
        sleep(Duration::from_secs(10)).await;
    }
}
