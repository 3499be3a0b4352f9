//! Triggers each fault of a case at its time, and acts as the other client of the API server.

use std::sync::PoisonError;
use std::time::Duration;

use emqx_sim::scenario::Answer;
use hyper::{Method, Request};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::case::{Api, Fault, Image, Part, Since, Timed};
use crate::port::Trouble;
use crate::run::{LIMIT, Stage, Window};
use crate::truth::RENEWED;

/// How long faults wait for the operation to begin, in virtual seconds.
const BEGIN: f64 = 15.0;

/// The effect to be undone: the operator runs again.
const OPERATOR: &str = "operator";

/// The effect to be undone: EMQX answers again.
const EMQX: &str = "emqx";

/// The effect to be undone: this node continues.
const FROZEN: &str = "frozen ";

pub(crate) const REBALANCES: &str = "/apis/apps.emqx.io/v2beta1/namespaces/mq/rebalances";

impl Stage {
    /// Triggers each fault at its time.
    pub(crate) async fn faults(&self) {
        let begun = loop {
            let now = self.now();
            let begun = self.truth.borrow().moments.last().is_some_and(|moment| {
                !moment.runs.is_empty() || !moment.evacuations.is_empty() || moment.purging
            });
            if begun || now > BEGIN || self.begun_by_other.get().is_some_and(|at| now > at) {
                break Instant::now();
            }
            sleep(Duration::from_millis(250)).await;
        };
        let of = |since: Option<Since>| self.case.faults.iter().filter(move |timed| timed.since == since);
        let later = |since: Since| async move {
            if of(Some(since)).next().is_some() {
                let entered = self.entered(since).await;
                self.fire_all(entered, of(Some(since))).await;
            }
        };
        let (first, last_wait, sessions) =
            (self.fire_all(begun, of(None)), later(Since::LastWait), later(Since::Sessions));
        futures::future::join3(first, last_wait, sessions).await;
    }

    /// When EMQX enters this state.
    async fn entered(&self, since: Since) -> Instant {
        loop {
            let there = self.truth.borrow().moments.last().is_some_and(|moment| {
                moment.runs.iter().any(|run| run.state == since.state())
                    || moment.evacuations.iter().any(|(_, state)| *state == since.state())
            });
            if there {
                return Instant::now();
            }
            sleep(Duration::from_millis(250)).await;
        }
    }

    /// Triggers these faults, in the order of their times.
    async fn fire_all(&self, begun: Instant, faults: impl Iterator<Item = &Timed>) {
        let mut back: Vec<(Instant, String)> = Vec::new();
        for timed in faults {
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
        let faults = self.cluster.faults();
        if what == EMQX {
            faults.emqx_answers(None);
        } else if what == OPERATOR {
            faults.set_operator_alive(true);
        } else if let Some(node) = what.strip_prefix(FROZEN) {
            faults.set_node_frozen(node, false);
        } else {
            faults.set_node_running(what, true);
        }
    }

    /// The index of the node with this part.
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

    /// Triggers a fault; returns the effect to be undone, and after how many seconds.
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
            Fault::EmqxAnswersNobody(seconds) => {
                faults.emqx_answers(Some(Answer::Silence));
                return Some((*seconds, EMQX.to_owned()));
            }
            Fault::EmqxFailsForAll(seconds) => {
                faults.emqx_answers(Some(Answer::Error));
                return Some((*seconds, EMQX.to_owned()));
            }
            Fault::NotInCluster(part) => {
                let node = self.node(*part);
                self.emqx().with(|broker| broker.leave(node));
            }
            Fault::NodeFrozen { part, seconds } => {
                let name = self.name_of(self.node(*part));
                faults.set_node_frozen(&name, true);
                return Some((*seconds, format!("{FROZEN}{name}")));
            }
            Fault::ImageChanged(image) => {
                let image = match image {
                    Image::Previous => self.case.api.previous_image(),
                    Image::Third => self.case.api.third_image(),
                };
                self.set_image(image).await;
            }
            Fault::TemplateChanged => self.set_template(true).await,
            Fault::ReplicantRemoved => self.remove_replicant().await,
            Fault::ManifestReapplied => {
                self.set_image(self.case.api.previous_image()).await;
                if let Some(spec) = self.case.scenario().ok().map(|it| it.spec) {
                    self.change_instance(json!({ "spec": spec })).await;
                }
            }
            Fault::Scaled(by) => self.scale(*by).await,
            Fault::CountsRefused(seconds) => self.window(*seconds, Window::CountsRefused),
            Fault::RebalanceCreated => self.create_object().await,
            Fault::ClientsCrowd => self.crowd(),
            Fault::OperatorDead(seconds) => {
                faults.set_operator_alive(false);
                return seconds.map(|seconds| (seconds, OPERATOR.to_owned()));
            }
            Fault::Killed(seconds) => self.killed.set(Some(*seconds)),
        }
        None
    }

    /// The names of the Rebalances.
    pub(crate) async fn objects(&self) -> Vec<String> {
        let list = self.ask(Method::GET, REBALANCES, None).await;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.iter().filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned)).collect()
    }

    /// Another client of the API server.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<(&str, Value)>) -> Value {
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

    /// Another client changes the image of the instance.
    pub(crate) async fn set_image(&self, image: &str) {
        let api = self.case.api;
        let v1beta4 = api == Api::V1beta4;
        let change = if v1beta4 {
            let version = image.rsplit(':').next().unwrap_or_default();
            json!({"spec":{"template":{"spec":{"emqxContainer":{"image":{"version":version}}}}}})
        } else {
            json!({ "spec": { "image": image } })
        };
        self.change_instance(change).await;
    }

    /// Another client changes the templates of all pods, or those of the cores, as `kubectl rollout restart` does.
    pub(crate) async fn set_template(&self, all: bool) {
        let changed = json!({ "metadata": { "annotations": { RENEWED: "true" } } });
        let replicants = self.case.nodes.iter().any(|node| node.replicant);
        let spec = match self.case.api {
            Api::V1beta4 => json!({ "template": changed }),
            _ if all && replicants => json!({ "coreTemplate": changed, "replicantTemplate": changed }),
            _ => json!({ "coreTemplate": changed }),
        };
        self.change_instance(json!({ "spec": spec })).await;
    }

    /// The oldest one of several sets of replicants loses one more pod.
    async fn remove_replicant(&self) {
        let sets = "/apis/apps/v1/namespaces/mq/replicasets";
        let list = self.ask(Method::GET, sets, None).await;
        let mut here: Vec<&Value> = list["items"].as_array().into_iter().flatten().collect();
        here.retain(|set| set["spec"]["replicas"].as_u64().is_some_and(|replicas| replicas > 0));
        here.sort_by_key(|set| set["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned());
        if let [oldest, _, ..] = here.as_slice()
            && let (Some(name), Some(replicas)) =
                (oldest["metadata"]["name"].as_str(), oldest["spec"]["replicas"].as_u64())
        {
            let change = json!({ "spec": { "replicas": replicas - 1 } });
            let body = Some(("application/merge-patch+json", change));
            self.ask(Method::PATCH, &format!("{sets}/{name}"), body).await;
        }
    }

    /// Another client changes the instance.
    pub(crate) async fn change_instance(&self, change: Value) {
        let api = self.case.api;
        let plural = if api == Api::V1beta4 { "emqxenterprises" } else { "emqxes" };
        let path = format!("/apis/apps.emqx.io/{}/namespaces/mq/{plural}/{}", api.name(), api.instance());
        self.ask(Method::PATCH, &path, Some(("application/merge-patch+json", change))).await;
    }

    /// Another client changes the number of the nodes that serve clients.
    async fn scale(&self, by: i64) {
        let replicants = self.case.nodes.iter().any(|node| node.replicant);
        let number = self.case.nodes.iter().filter(|node| node.replicant == replicants).count();
        let replicas = number.saturating_add_signed(by as isize).max(1);
        let change = match self.case.api {
            Api::V1beta4 => json!({ "spec": { "replicas": replicas } }),
            _ if replicants => {
                json!({ "spec": { "replicantTemplate": { "spec": { "replicas": replicas } } } })
            }
            _ => json!({ "spec": { "coreTemplate": { "spec": { "replicas": replicas } } } }),
        };
        self.change_instance(change).await;
    }

    /// The operator that did nothing from the start begins to work.
    pub(crate) async fn operator_returns(&self) {
        let Some(seconds) = self.case.operator_away else { return };
        sleep(Duration::from_secs_f64(seconds)).await;
        self.cluster.faults().set_operator_alive(true);
    }
}
