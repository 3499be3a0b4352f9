//! A simulated cluster whose every change is recorded in the format of the recordings.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use emqx_sim::scenario::{Api as Version, Strategy};
use emqx_sim::{self as sim, Running, Scenario};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use kubectl_emqx::commands::replay::ReplayOutput;
use kubectl_emqx::model::image::Image;
use kubectl_emqx::model::{Event, EventType, Fact, InstanceId, Operation, Verdict, World};
use kubectl_emqx::plan::upgrade::forecast::{UpgradePlan, forecast};
use kubectl_emqx::plan::upgrade::target::{UpgradeRequest, UpgradeTarget, Wanted};
use kubectl_emqx::ports::{Moment, Translate};
use kubectl_emqx::replay::Recording;
use kubectl_emqx::{emqx, k8s};
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// The interval at which the cluster is observed; EMQX once a second, as in the recordings.
const STEP: Duration = Duration::from_millis(250);

/// A simulated cluster that runs.
pub(crate) struct Stage {
    pub(crate) running: Running,
    pub(crate) api: Version,
    pub(crate) instance: String,
    client: Client,
    version: u64,
    answers: [Value; 2],
    old_image: String,
    lines: String,
}

impl Stage {
    pub(crate) async fn open(scenario: Scenario) -> Self {
        let (api, instance) = (scenario.api, scenario.instance.clone());
        let old_image = format!("emqx/emqx-enterprise:{}", scenario.version);
        let running = sim::serve(sim::Options { scenario, speed: 0.0, kubeconfig_out: None }).await.unwrap();
        let kubeconfig = Kubeconfig::read_from(running.kubeconfig()).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        let answers = [Value::Null, Value::Null];
        let mut stage =
            Self { running, api, instance, client, version: 0, answers, old_image, lines: String::new() };
        stage.running.clock().settle().await;
        stage.note().await;
        stage
    }

    pub(crate) async fn built_in(name: &str) -> Self {
        Self::open(Scenario::built_in(name).unwrap()).await
    }

    fn resource(&self, group: &str, version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(group, version, kind);
        Api::namespaced_with(self.client.clone(), "mq", &ApiResource::from_gvk_with_plural(&kind, plural))
    }

    pub(crate) fn instances(&self) -> Api<DynamicObject> {
        self.resource("apps.emqx.io", self.api.name(), self.api.kind(), self.api.plural())
    }

    pub(crate) fn pods(&self) -> Api<DynamicObject> {
        self.resource("", "v1", "Pod", "pods")
    }

    /// A pod with another image than that of the beginning.
    pub(crate) fn new_pod(&self) -> Value {
        let lines = self.lines.lines().rev().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut pods = lines.map(|mut line| line["object"].take()).filter(|object| object["kind"] == "Pod");
        let old = self.old_image.as_str();
        pods.find(|pod| pod["spec"]["containers"][0]["image"] != old).unwrap()
    }

    /// Changes the instance's spec.
    pub(crate) async fn change(&self, spec: Value) {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.instances().patch(&self.instance, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Creates a Rebalance of the instance.
    pub(crate) async fn rebalance(&self, name: &str, wanted: &Strategy) {
        let kind = self.resource("apps.emqx.io", "v2beta1", "Rebalance", "rebalances");
        let mut spec = json!({ "instanceName": self.instance, "rebalanceStrategy": {
            "connEvictRate": wanted.conn_evict_rate, "sessEvictRate": wanted.sess_evict_rate,
            "waitHealthCheck": wanted.wait_health_check, "waitTakeover": wanted.wait_takeover,
            "absConnThreshold": wanted.abs_conn_threshold, "absSessThreshold": wanted.abs_sess_threshold,
            "relConnThreshold": wanted.rel_conn_threshold.to_string(),
            "relSessThreshold": wanted.rel_sess_threshold.to_string(),
        } });
        if self.api == Version::V1beta4 {
            spec["instanceKind"] = json!("EmqxEnterprise");
        }
        let object = json!({ "apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance",
            "metadata": { "name": name }, "spec": spec });
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        kind.create(&PostParams::default(), &object).await.unwrap();
    }

    pub(crate) fn object(&self, plural: &str, name: &str) -> Value {
        self.running.faults().object(plural, name).unwrap_or_default()
    }

    pub(crate) fn status(&self) -> Value {
        self.object(self.api.plural(), &self.instance)["status"].take()
    }

    /// Lets this many seconds pass.
    pub(crate) async fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds * 4 {
            self.running.clock().advance(STEP).await;
            self.note().await;
        }
    }

    /// Lets time pass until `done`, at most `limit` seconds; returns the seconds.
    pub(crate) async fn until(&mut self, limit: u64, done: impl Fn(&Self) -> bool) -> u64 {
        for second in 0..limit {
            if done(self) {
                return second;
            }
            self.pass(1).await;
        }
        panic!("not within {limit} s: {:#}", self.status());
    }

    async fn note(&mut self) {
        let elapsed = self.running.clock().elapsed();
        let (version, changes) = self.running.faults().changes(self.version);
        let t = (elapsed.as_secs_f64() * 100.0).round() / 100.0;
        for (event, mut object) in changes {
            if self.version == 0 && event == "DELETED" {
                continue;
            }
            let event = if self.version == 0 { "LISTED" } else { event };
            object["metadata"].as_object_mut().unwrap().remove("managedFields");
            let line = json!({ "t": t, "from": "kubernetes", "event": event, "object": object });
            writeln!(self.lines, "{line}").unwrap();
        }
        self.version = version;
        if elapsed.subsec_millis() > 0 {
            return;
        }
        let base = if self.api == Version::V1beta4 { "/api/v4" } else { "/api/v5" };
        for (place, path) in ["nodes", "load_rebalance/global_status"].iter().enumerate() {
            let path = format!("{base}/{path}");
            let (status, body) = self.ask(&path).await;
            if self.answers[place] != body {
                let line = json!({ "t": t, "from": "emqx", "get": path, "status": status, "body": body });
                writeln!(self.lines, "{line}").unwrap();
                self.answers[place] = body;
            }
        }
    }

    /// Sends a request to a node that runs.
    async fn ask(&self, path: &str) -> (u16, Value) {
        let url = self.running.emqx_url(None).await.unwrap();
        let stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let key = self.running.emqx().key();
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", key.key, key.secret));
        let request = hyper::Request::builder()
            .uri(path)
            .header("host", "emqx")
            .header("authorization", format!("Basic {pair}"))
            .body(Full::<Bytes>::default())
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// The messages of events with one of these reasons, in order.
    pub(crate) fn events(&self, reasons: &[&str]) -> Vec<String> {
        self.lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["event"] == "ADDED" && line["object"]["kind"] == "Event")
            .filter(|line| reasons.iter().any(|reason| line["object"]["reason"] == *reason))
            .map(|line| line["object"]["message"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The recording so far.
    pub(crate) fn tape(&self, name: &str) -> Tape {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.jsonl"));
        std::fs::write(&path, &self.lines).unwrap();
        Tape(path)
    }
}

struct Wire;

impl Translate for Wire {
    fn kubernetes(&self, at: Timestamp, event: &str, object: &Value) -> Vec<Fact> {
        k8s::wire::facts(at, event, object)
    }

    fn emqx(&self, at: Timestamp, instance: &InstanceId, path: &str, status: u16, body: &Value) -> Vec<Fact> {
        emqx::wire::facts(at, instance, path, status, body)
    }
}

/// A recording.
pub(crate) struct Tape(PathBuf);

/// A step with the seconds since the recording began.
#[derive(Debug)]
pub(crate) struct ReplayedEvent {
    pub(crate) t: f64,
    pub(crate) event: Event,
}

impl Tape {
    fn open(&self) -> Recording {
        Recording::open(&self.0, Rc::new(Wire)).unwrap()
    }

    /// The moments of all lines.
    pub(crate) fn moments(&self) -> Vec<Moment> {
        self.open().map(|moment| moment.unwrap()).collect()
    }

    /// The events of the follower.
    pub(crate) fn replayed(&self) -> Vec<ReplayedEvent> {
        let recording = self.open();
        let begin = recording.begin();
        let mut teller = ReplayOutput::default();
        let mut events = Vec::new();
        for moment in recording {
            events.extend(teller.take(moment.unwrap()).0);
        }
        events.extend(teller.finish());
        events
            .into_iter()
            .filter(|event| event.operation == Operation::Upgrade)
            .map(|event| ReplayedEvent { t: event.time.duration_since(begin).as_secs_f64(), event })
            .collect()
    }

    /// The world at a second, with EMQX's last answers repeated at that second.
    pub(crate) fn world(&self, seconds: f64) -> (World, InstanceId, Timestamp) {
        let recording = self.open();
        let now = recording.begin() + jiff::SignedDuration::from_secs_f64(seconds);
        let moments = recording.map(|moment| moment.unwrap());
        let mut world = World::of(moments.take_while(|it| it.t <= seconds).flat_map(|it| it.facts));
        for broker in world.brokers.values_mut() {
            broker.nodes.iter_mut().for_each(|seen| seen.at = now);
            broker.load.iter_mut().for_each(|seen| seen.at = now);
        }
        let id = world.ids().remove(0);
        (world, id, now)
    }

    /// The plan as it would have been made at a second.
    pub(crate) fn plan(
        &self,
        seconds: f64,
        to: &str,
        change: impl FnOnce(&mut UpgradeRequest),
    ) -> UpgradePlan {
        let (world, id, _) = self.world(seconds);
        let mut ask = UpgradeRequest::new(Wanted::Image(Image::parse(to).unwrap()));
        change(&mut ask);
        let resolved = UpgradeTarget::of(world.instance(&id).unwrap(), &ask).unwrap();
        forecast(&world, &id, &resolved).unwrap()
    }
}

pub(crate) fn messages(replayed: &[ReplayedEvent], kind: EventType) -> Vec<&str> {
    replayed.iter().filter(|it| it.event.kind == kind).map(|it| it.event.message.as_str()).collect()
}

/// The verdict at the end, when it came, and why.
pub(crate) fn verdict(replayed: &[ReplayedEvent]) -> (Verdict, f64, &str) {
    let last = replayed.last().unwrap();
    (last.event.verdict.unwrap(), last.t, last.event.reason.as_deref().unwrap())
}

/// When the new pods received the traffic.
pub(crate) fn moved(replayed: &[ReplayedEvent]) -> f64 {
    replayed.iter().find(|it| it.event.phase.as_deref() == Some("trafficMoved")).unwrap().t
}
