//! The controller of Rebalance objects, step by step as the real one (`rebalance_controller.go` of 2.2 and
//! 2.3), with its traps: the readiness gate before everything else, the `Completed` that only means "nothing
//! runs", the deletion that gets stuck (while the instance is not ready, until the object is changed; before
//! the first states were stored, with growing pauses), and the stop call whose failure is ignored.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kube::api::PostParams;
use serde_json::{Map, Value, json};

use super::events::{EmittedEvent, Events};
use super::shared::{MANAGER, Shared, to_object, to_value};
use crate::clock::{Worker, rfc3339};
use crate::instance;
use crate::refusal::Refusal;
use crate::scenario::{Answer, Api, Line};
use crate::{rest_bodies, rest_orders};

const FINALIZER: &str = "apps.emqx.io/finalizer";
/// While `Processing`.
const POLL: Duration = Duration::from_secs(5);
/// A change of the object, including its own writes, causes another pass after this time.
const ECHO: Duration = Duration::from_millis(50);
/// controller-runtime's back-off: doubles from here with every failure in a row.
const FIRST_RETRY: Duration = Duration::from_millis(5);
const LAST_RETRY: Duration = Duration::from_secs(1000);

/// Changes from the watch that the controller has not processed: name → whether it still exists.
#[derive(Default)]
pub(super) struct Changes(Mutex<BTreeMap<String, bool>>);

impl Changes {
    pub(super) fn add(&self, object: &Value, exists: bool) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, exists);
    }

    fn take(&self) -> BTreeMap<String, bool> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// When an object is processed next.
#[derive(Default)]
struct Entry {
    due: Option<Duration>,
    echo: Option<Duration>,
    failures: u32,
}

impl Entry {
    fn next(&self) -> Option<Duration> {
        self.due.into_iter().chain(self.echo).min()
    }
}

pub(super) async fn run(shared: &Shared, changes: &Changes, mut worker: Worker) {
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    let mut events = Events::default();
    loop {
        let next = entries.values().filter_map(Entry::next).min();
        worker.wait(next).await;
        let now = shared.clock.elapsed();
        for (name, exists) in changes.take() {
            if exists {
                let new = !entries.contains_key(&name);
                let entry = entries.entry(name).or_default();
                entry.echo = entry.echo.or(Some(if new { now } else { now + ECHO }));
            } else {
                entries.remove(&name);
            }
        }
        if !shared.alive() {
            // A stopped operator forgets nothing: work that was due is due when it runs again. A time in the
            // past would make this loop run without a pause, and the whole simulated cluster would hang.
            for entry in entries.values_mut() {
                entry.echo = Some(now + Duration::from_secs(1));
                entry.due = entry.due.map(|due| due.max(now + Duration::from_secs(1)));
            }
            continue;
        }
        let due: Vec<String> = entries
            .iter()
            .filter(|(_, entry)| entry.next().is_some_and(|next| next <= now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            if let Some(entry) = entries.get_mut(&name) {
                entry.echo = None;
                entry.due = entry.due.filter(|&due| due > now);
            }
            let outcome = Pass { shared, events: &mut events }.reconcile(&name).await;
            let Some(entry) = entries.get_mut(&name) else { continue };
            match outcome {
                Ok(again) => {
                    entry.failures = 0;
                    entry.due = match (entry.due, again) {
                        (known, Some(after)) => known.or(Some(now + after)),
                        (_, None) => None,
                    };
                }
                Err(reason) => {
                    tracing::debug!(name, reason, "a pass over a Rebalance failed");
                    entry.failures += 1;
                    let pause = FIRST_RETRY.saturating_mul(1 << entry.failures.min(20)).min(LAST_RETRY);
                    entry.due = Some(now + pause);
                }
            }
        }
    }
}

fn writing() -> PostParams {
    PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }
}

struct Pass<'a> {
    shared: &'a Shared,
    events: &'a mut Events,
}

/// When to process it again; an error is retried with growing pauses.
type Outcome = Result<Option<Duration>, String>;

impl Pass<'_> {
    async fn reconcile(&mut self, name: &str) -> Outcome {
        let shared = self.shared;
        let found = shared.rebalances().get_opt(name).await.map_err(|error| error.to_string())?;
        let Some(found) = found else { return Ok(None) };
        let mut object = to_value(&found);
        let terminating = !object["metadata"]["deletionTimestamp"].is_null();
        let wanted = object["spec"]["instanceName"].as_str().unwrap_or_default().to_owned();
        let enterprise =
            shared.api.line() == Line::V2_2 && object["spec"]["instanceKind"] == "EmqxEnterprise";
        let (version, kind, plural, title) = if enterprise {
            ("v1beta4", "EmqxEnterprise", "emqxenterprises", "EMQX Enterprise")
        } else if shared.api.line() == Line::V2_3 {
            ("v2", "EMQX", "emqxes", "EMQX")
        } else {
            ("v2beta1", "EMQX", "emqxes", "EMQX")
        };
        let instance =
            shared.custom(version, kind, plural).get_opt(&wanted).await.map_err(|error| error.to_string())?;
        let Some(instance) = instance else {
            if terminating {
                return self.release(object).await;
            }
            return self.fail_before(&mut object, &format!("{title} {wanted} is not found")).await;
        };
        let status = to_value(&instance)["status"].take();
        let api = if enterprise { Api::V1beta4 } else { shared.api };
        // Before the deletion and before the phase: the readiness trap, and the deletion that gets stuck.
        if !instance::is_ready(api, &status) {
            // It returns without requeueing, even for an object that is being deleted: only another change of
            // the object causes the next pass.
            return self.fail_before(&mut object, &format!("{title} {wanted} is not ready")).await;
        }
        if terminating {
            return self.stop(object).await;
        }
        object = self.hold(object).await?;
        self.handle(api, object, &status).await
    }

    /// `Failed` for a reason found before anything else; no event is written, and states stay unchanged.
    async fn fail_before(&self, object: &mut Value, message: &str) -> Outcome {
        let before = object["status"].clone();
        set_phase(&mut object["status"], "Failed", message, &self.now());
        self.write(&before, object).await?;
        Ok(None)
    }

    fn now(&self) -> String {
        rfc3339(self.shared.clock.now())
    }

    async fn write(&self, before: &Value, object: &Value) -> Result<(), String> {
        if *before == object["status"] {
            return Ok(());
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let next = to_object(object.clone()).map_err(|error| error.to_string())?;
        let written = self.shared.rebalances().replace_status(name, &writing(), &next).await;
        written.map(|_| ()).map_err(|error| error.to_string())
    }

    /// The object is being deleted and the instance is ready: EMQX is stopped, the finalizer is removed.
    async fn stop(&self, object: Value) -> Outcome {
        if object["status"]["phase"] == "Processing" {
            let coordinator = object["status"]["rebalanceStates"][0]["coordinator_node"].as_str();
            let coordinator = coordinator.ok_or("panic: index out of range [0] with length 0")?;
            // The answer is ignored: where EMQX answers with errors, the object is deleted and the rebalance
            // continues.
            if self.shared.emqx.answer().is_none() {
                let _ = self.shared.emqx.with(|broker| broker.stop_rebalance(coordinator));
            }
        }
        self.release(object).await
    }

    async fn release(&self, mut object: Value) -> Outcome {
        if let Some(list) = object["metadata"]["finalizers"].as_array_mut() {
            list.retain(|finalizer| finalizer != FINALIZER);
            self.replace(object).await?;
        }
        Ok(None)
    }

    async fn hold(&self, mut object: Value) -> Result<Value, String> {
        let list = object["metadata"]["finalizers"].as_array();
        if list.into_iter().flatten().any(|finalizer| finalizer == FINALIZER) {
            return Ok(object);
        }
        let mut list = list.cloned().unwrap_or_default();
        list.push(json!(FINALIZER));
        object["metadata"]["finalizers"] = json!(list);
        if self.shared.api.line() == Line::V2_3 {
            drop_zero_waits(&mut object);
        }
        self.replace(object).await
    }

    async fn replace(&self, object: Value) -> Result<Value, String> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let next = to_object(object).map_err(|error| error.to_string())?;
        let replaced = self.shared.rebalances().replace(&name, &writing(), &next).await;
        replaced.map(|object| to_value(&object)).map_err(|error| error.to_string())
    }

    async fn handle(&mut self, api: Api, mut object: Value, instance: &Value) -> Outcome {
        let before = object["status"].clone();
        let now = self.now();
        let phase = before["phase"].as_str().unwrap_or_default().to_owned();
        match phase.as_str() {
            "" => match self.start(api, &object["spec"]["rebalanceStrategy"], instance)? {
                Ok(()) => {
                    object["status"]["startedTime"] = json!(now);
                    set_phase(&mut object["status"], "Processing", "", &now);
                    self.shared.rephase();
                }
                Err(why) => {
                    set_phase(
                        &mut object["status"],
                        "Failed",
                        &format!("Failed to start rebalance: {why}"),
                        &now,
                    );
                }
            },
            "Processing" => match self.states() {
                Err(why) => {
                    set_phase(
                        &mut object["status"],
                        "Failed",
                        &format!("Failed to get rebalance status: {why}"),
                        &now,
                    );
                }
                Ok(states) if states.is_empty() => {
                    object["status"]["completedTime"] = json!(now);
                    set_phase(&mut object["status"], "Completed", "", &now);
                    clear_states(&mut object["status"]);
                }
                Ok(states) => {
                    set_phase(&mut object["status"], "Processing", "", &now);
                    object["status"]["rebalanceStates"] = json!(states);
                }
            },
            _ => clear_states(&mut object["status"]),
        }
        self.write(&before, &object).await?;
        let (kind, message, again) = match object["status"]["phase"].as_str() {
            Some("Processing") => ("Normal", "rebalance is processing", Some(POLL)),
            Some("Completed") => ("Normal", "rebalance completed", None),
            _ => ("Warning", "rebalance failed", None),
        };
        let event = EmittedEvent { kind, reason: "Rebalance", message, by: "rebalance-controller" };
        self.events.emit(self.shared, &object, event).await;
        Ok(again)
    }

    /// Asks EMQX to start. The outer error is the operator's own, the inner one EMQX's.
    fn start(&self, api: Api, strategy: &Value, instance: &Value) -> Result<Result<(), String>, String> {
        let nodes = participants(api, instance);
        let coordinator = nodes.first().cloned().ok_or("panic: index out of range [0] with length 0")?;
        if let Some(answer) = self.shared.emqx.answer() {
            return Ok(Err(transport(&answer)));
        }
        let mut body = Map::new();
        for (field, key) in [
            ("connEvictRate", "conn_evict_rate"),
            ("sessEvictRate", "sess_evict_rate"),
            ("waitTakeover", "wait_takeover"),
            ("waitHealthCheck", "wait_health_check"),
            ("absConnThreshold", "abs_conn_threshold"),
            ("absSessThreshold", "abs_sess_threshold"),
        ] {
            if !strategy[field].is_null() {
                body.insert(key.to_owned(), strategy[field].clone());
            }
        }
        for (field, key) in
            [("relConnThreshold", "rel_conn_threshold"), ("relSessThreshold", "rel_sess_threshold")]
        {
            // A value that cannot be parsed becomes 0, which EMQX refuses.
            let ratio: f64 = strategy[field].as_str().and_then(|text| text.parse().ok()).unwrap_or(0.0);
            body.insert(key.to_owned(), json!(ratio));
        }
        body.insert("nodes".to_owned(), json!(nodes));
        let started = self.shared.emqx.with(|broker| {
            let order = rest_orders::rebalance_order(&body, api, broker.has_rpc_timeouts())?;
            broker.start_rebalance(&coordinator, order)
        });
        Ok(started.map_err(|refusal| self.words(api, &coordinator, instance, &refusal)))
    }

    /// How each operator reports EMQX's refusal: v4's message, 2.2's bare status, 2.3's whole answer.
    fn words(&self, api: Api, coordinator: &str, instance: &Value, refusal: &Refusal) -> String {
        let (status, code) = refusal.code();
        if api == Api::V1beta4 {
            return refusal.message();
        }
        let reason = hyper::StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("");
        if self.shared.api.line() == Line::V2_2 {
            return format!("request api failed: {status} {reason}");
        }
        let pod = instance["coreNodes"][0]["podName"].as_str().unwrap_or_default();
        let (address, port) = (&self.shared.core_address, api.port());
        let message = Value::String(refusal.message());
        let response = match refusal.crash(self.shared.emqx.with(|broker| broker.at_least(5, 5))) {
            Some(text) => text,
            None => format!("{{\"code\": \"{code}\", \"message\": {message}}}"),
        };
        format!(
            "error accessing {pod} API http://{address}:{port}/api/v5/load_rebalance/{coordinator}/start: HTTP {status}, response: {response}"
        )
    }

    /// The states of `global_status`, without goals and averages.
    fn states(&self) -> Result<Vec<Value>, String> {
        if let Some(answer) = self.shared.emqx.answer() {
            return Err(transport(&answer));
        }
        let status = self.shared.emqx.with(|broker| rest_bodies::global_status(broker));
        let keys = [
            "state",
            "session_eviction_rate",
            "connection_eviction_rate",
            "recipients",
            "donors",
            "node",
            "coordinator_node",
        ];
        let entries = status["rebalances"].as_array().cloned().unwrap_or_default();
        Ok(entries
            .iter()
            .map(|entry| {
                Value::Object(keys.iter().map(|&key| (key.to_owned(), entry[key].clone())).collect())
            })
            .collect())
    }
}

/// Why a request fails while EMQX's answers are replaced.
fn transport(answer: &Answer) -> String {
    match answer {
        Answer::Error => "request api failed: 500 Internal Server Error".to_owned(),
        Answer::Unauthorized => "request api failed: 401 Unauthorized".to_owned(),
        Answer::Silence => {
            "context deadline exceeded (Client.Timeout exceeded while awaiting headers)".to_owned()
        }
        Answer::Html | Answer::Garbage | Answer::WrongShape | Answer::Huge => {
            "invalid character '<' looking for beginning of value".to_owned()
        }
    }
}

/// Replicants if the status lists any, else cores; 2.3 sorts them.
fn participants(api: Api, instance: &Value) -> Vec<String> {
    let names = |list: &Value, key: &str| -> Vec<String> {
        let list = list.as_array();
        list.into_iter().flatten().filter_map(|node| node[key].as_str().map(str::to_owned)).collect()
    };
    match api {
        Api::V1beta4 => names(&instance["emqxNodes"], "node"),
        Api::V2beta1 => {
            let replicants = names(&instance["replicantNodes"], "node");
            if replicants.is_empty() { names(&instance["coreNodes"], "node") } else { replicants }
        }
        Api::V2 | Api::V3beta1 => {
            let replicants = names(&instance["replicantNodes"], "name");
            let mut nodes =
                if replicants.is_empty() { names(&instance["coreNodes"], "name") } else { replicants };
            nodes.sort();
            nodes
        }
    }
}

/// Operator 2.3 writes the object without zeros, so that the API server sets the defaults of the CRD. [OP-26]
fn drop_zero_waits(object: &mut Value) {
    if let Some(strategy) = object["spec"]["rebalanceStrategy"].as_object_mut() {
        strategy.retain(|field, value| !(field.starts_with("wait") && *value == 0));
    }
}

fn clear_states(status: &mut Value) {
    if let Some(status) = status.as_object_mut() {
        status.remove("rebalanceStates");
    }
}

/// Sets the phase and its condition; the condition that changed last comes first, earlier ones stay.
fn set_phase(status: &mut Value, phase: &str, message: &str, now: &str) {
    if !status.is_object() {
        *status = json!({});
    }
    status["phase"] = json!(phase);
    let mut list = status["conditions"].as_array().cloned().unwrap_or_default();
    let known = list.iter().position(|condition| condition["type"] == phase).map(|at| list.remove(at));
    let since =
        known.as_ref().and_then(|known| known["lastTransitionTime"].as_str()).unwrap_or(now).to_owned();
    let mut condition =
        json!({ "type": phase, "status": "True", "lastUpdateTime": now, "lastTransitionTime": since });
    if !message.is_empty() {
        condition["message"] = json!(message);
    }
    list.insert(0, condition);
    status["conditions"] = json!(list);
}
