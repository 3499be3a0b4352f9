//! A simulated v1beta4 cluster, second by second, with the operator's defect ([OP-15]): for the guard and for
//! the tracker. Its clients reconnect one second after they were disconnected, evenly to the pods that the
//! Service serves.

mod ends;
mod guarded;

use std::collections::BTreeMap;

use super::super::fixtures;
use super::guard::{self, GuardAction, GuardPermissions};
use super::tracker::UpgradeTracker;
use super::undo::{self, Undo};
use crate::model::{
    ApiVersion, BlueGreen, BrokerUpdate, Condition, Evacuation, Event, EvictionStatus, Fact, GuardState,
    HoldManner, HoldState, Instance, Link, Node, NodeName, Object, Owner, Pod, Set, SetKind, Stage, Update,
    UpdateSpec, Verdict, World,
};
use crate::plan::upgrade::target::HOLD_SECONDS;
use crate::timing::PROOF_SECONDS;

const OLD: &str = "emqx-old";
const NEW: &str = "emqx-new";

#[derive(Clone, Debug, Default)]
struct Inside {
    connections: u64,
    offline: u64,
    gate: Option<bool>,
    gated_at: i64,
    ready: bool,
    evacuation: Option<(Stage, i64, u64, u64)>,
    deleting: bool,
}

#[derive(Clone, Debug)]
struct SimulatedCluster {
    now: i64,
    pods: BTreeMap<String, Inside>,
    old_wanted: u64,
    size: u64,
    delay: u64,
    started: Option<i64>,
    hold: Option<HoldState>,
    update: UpdateSpec,
    flying: u64,
    cut: u64,
    at_once: u64,
    offline_lost: u64,
    peak_rate: u64,
    new_up_after: Option<i64>,
    looks: i64,
    undone: bool,
    given_up: bool,
    /// From and until when another client's rebalance runs in EMQX.
    rebalance: Option<(i64, i64)>,
}

fn node(pod: &str) -> NodeName {
    NodeName::from(format!("emqx@{pod}.emqx-headless.mq.svc.cluster.local"))
}

impl SimulatedCluster {
    fn new(size: u64, clients: u64, offline: u64, rate: u64) -> Self {
        let pods = (0..size).map(|number| {
            let pod =
                Inside { connections: clients, offline, gate: Some(true), ready: true, ..Inside::default() };
            (format!("{OLD}-{number}"), pod)
        });
        Self {
            now: 0,
            pods: pods.collect(),
            old_wanted: size,
            size,
            delay: HOLD_SECONDS,
            started: None,
            hold: Some(HoldState { own_delay_seconds: Some(5), manner: HoldManner::Together }),
            update: UpdateSpec {
                present: true,
                evacuation: true,
                conn_evict_rate: Some(rate),
                sess_evict_rate: Some(rate),
                wait_takeover: Some(5),
                ..UpdateSpec::default()
            },
            flying: 0,
            cut: 0,
            at_once: 0,
            offline_lost: 0,
            peak_rate: 0,
            new_up_after: Some(14),
            looks: 0,
            undone: false,
            given_up: false,
            rebalance: None,
        }
    }

    fn manner(&mut self, manner: HoldManner) {
        if let Some(hold) = &mut self.hold {
            hold.manner = manner;
        }
    }

    fn old(&self) -> Vec<String> {
        self.pods.keys().filter(|name| name.starts_with(OLD)).cloned().collect()
    }

    fn world(&self) -> World {
        let mut instance: Instance = fixtures::instance(ApiVersion::V1beta4);
        let begun = self.now >= 1 && !self.undone;
        instance.image = Some(if begun { "emqx/emqx-ee:4.4.24" } else { "emqx/emqx-ee:4.4.20" }.to_owned());
        instance.cores = Some(self.size);
        instance.update = UpdateSpec { initial_delay: Some(self.delay), ..self.update.clone() };
        instance.guard = self.hold.clone().map(|hold| GuardState {
            version: 1,
            hold: Some(hold),
            ..GuardState::default()
        });
        instance.blue_green = self.started.map(|started| BlueGreen {
            origin: Some(OLD.to_owned()),
            current: Some(NEW.to_owned()),
            started: Some(fixtures::at(started)),
        });
        let mut facts: Vec<Fact> = Vec::new();
        let is = |object: Object| fixtures::fact(self.now, Update::Upserted(object));
        facts.push(is(Object::Instance(Box::new(instance))));
        let wanted = if self.given_up { 0 } else { self.size };
        for (name, image, wanted, created) in
            [(OLD, "emqx/emqx-ee:4.4.20", self.old_wanted, -3600), (NEW, "emqx/emqx-ee:4.4.24", wanted, 1)]
        {
            if name == NEW && self.now < 2 {
                continue;
            }
            let set = Set {
                namespace: "mq".into(),
                name: name.into(),
                uid: name.into(),
                kind: SetKind::StatefulSet,
                instance: Some("emqx".into()),
                replicas: wanted,
                image: Some(image.into()),
                created: Some(fixtures::at(created)),
                ..Set::default()
            };
            facts.push(is(Object::Set(Box::new(set))));
        }
        let mut nodes = Vec::new();
        let mut load = EvictionStatus::default();
        for (name, pod) in &self.pods {
            let set = if name.starts_with(OLD) { OLD } else { NEW };
            let since = Condition {
                kind: "Ready".into(),
                status: if pod.ready { "True" } else { "False" }.into(),
                since: Some(fixtures::at(pod.gated_at)),
                ..Condition::default()
            };
            let object: Pod = fixtures::pod(name, |it| {
                it.owner = Some(Owner { kind: "StatefulSet".into(), name: set.into(), uid: set.into() });
                it.role = None;
                it.gated = true;
                it.on_serving = pod.gate;
                it.ready = pod.ready;
                it.deleting = pod.deleting.then(|| fixtures::at(self.now));
                it.conditions = vec![since];
                it.uid = format!("uid-{name}");
            });
            facts.push(is(Object::Pod(Box::new(object))));
            let on = node(name);
            nodes.push(Node {
                name: on.clone(),
                running: true,
                connections: Some(pod.connections),
                sessions: Some(pod.connections + pod.offline),
                ..Node::default()
            });
            if let Some((stage, _, conn, sess)) = &pod.evacuation {
                load.evacuations.push(Evacuation {
                    node: on,
                    stage: stage.clone(),
                    state: stage.phase().to_owned(),
                    recipients: Vec::new(),
                    conn_evict_rate: Some(*conn),
                    sess_evict_rate: Some(*sess),
                    initial_connections: None,
                    connections: Some(pod.connections),
                    initial_sessions: None,
                    sessions: Some(pod.connections + pod.offline),
                });
            }
        }
        if self.rebalance.is_some_and(|(from, until)| (from..until).contains(&self.now)) {
            load.rebalances = fixtures::load("evicting_conns").rebalances;
        }
        facts.push(fixtures::answer_of(ApiVersion::V1beta4, self.now, BrokerUpdate::Nodes(nodes)));
        facts.push(fixtures::answer_of(ApiVersion::V1beta4, self.now, BrokerUpdate::Evictions(load)));
        World::of(facts)
    }

    /// Carries out the actions of the guard.
    fn act(&mut self, acts: Vec<GuardAction>) {
        for act in acts {
            match act {
                GuardAction::RemoveSet(set) => {
                    assert_eq!(set, NEW);
                    self.given_up = true;
                }
                GuardAction::Forget => self.hold = None,
                GuardAction::SetGate { pod, serving } => {
                    let pod = self.pods.get_mut(pod.as_str()).expect("it is there");
                    (pod.gate, pod.ready, pod.gated_at) = (Some(serving), serving, self.now);
                }
                GuardAction::StartEvacuation {
                    node: on,
                    conn_evict_rate,
                    sess_evict_rate,
                    migrate_to,
                    ..
                } => {
                    assert_eq!(migrate_to.len() as u64, self.size);
                    let pod = self.pods.get_mut(on.first_label()).expect("it is there");
                    assert!(pod.evacuation.is_none(), "{on} is started twice");
                    let beside =
                        self.rebalance.is_some_and(|(from, until)| (from..until).contains(&self.now));
                    assert!(!beside, "EMQX refuses an evacuation beside a rebalance");
                    pod.evacuation = Some((Stage::EvictingConns, self.now, conn_evict_rate, sess_evict_rate));
                }
                GuardAction::StopEvacuation { node } => {
                    assert!(self.undone, "{node} is stopped");
                    self.pods.get_mut(node.first_label()).expect("it is there").evacuation = None;
                }
                GuardAction::ReleaseDelay(delay) => {
                    let busy = self.old().iter().any(|name| {
                        let pod = &self.pods[name];
                        pod.connections + pod.offline > 0
                            || pod.evacuation.as_ref().is_none_or(|it| it.0 != Stage::Prohibiting)
                    });
                    assert!(!busy, "released at {} with something on an old node", self.now);
                    self.delay = delay;
                }
                GuardAction::RestoreDelay(own) => {
                    assert_eq!(own, Some(5));
                    self.delay = 5;
                    self.hold = None;
                }
                GuardAction::Wait(_) | GuardAction::Needs(_) | GuardAction::Done => {}
            }
        }
    }

    /// One second of EMQX, of the kubelet and of the operator.
    fn second(&mut self) {
        self.now += 1;
        // Disconnected clients reconnect.
        let open: Vec<String> = self
            .pods
            .iter()
            .filter(|(_, pod)| pod.ready && !pod.deleting && pod.evacuation.is_none())
            .map(|(name, _)| name.clone())
            .collect();
        let mut back = std::mem::take(&mut self.flying);
        for (place, name) in open.iter().enumerate() {
            let share = back / (open.len() - place) as u64;
            back -= share;
            self.pods.get_mut(name).expect("it is there").connections += share;
        }
        let mut moved = 0;
        let mut rate = 0;
        for pod in self.pods.values_mut() {
            let Some((stage, since, conn, sess)) = pod.evacuation.clone() else { continue };
            let next = match stage {
                Stage::EvictingConns if pod.connections == 0 => Stage::WaitTakeover,
                Stage::EvictingConns => {
                    let gone = pod.connections.min(conn);
                    rate += gone;
                    pod.connections -= gone;
                    self.flying += gone;
                    self.cut += gone;
                    stage
                }
                Stage::WaitTakeover if self.now - since < 5 => stage,
                Stage::WaitTakeover => Stage::EvictingSessions,
                Stage::EvictingSessions if pod.offline == 0 => Stage::Prohibiting,
                Stage::EvictingSessions => {
                    let gone = pod.offline.min(sess);
                    pod.offline -= gone;
                    moved += gone;
                    stage
                }
                other => other,
            };
            let changed = pod.evacuation.as_ref().is_some_and(|it| it.0 != next);
            pod.evacuation = Some((next, if changed { self.now } else { since }, conn, sess));
        }
        self.peak_rate = self.peak_rate.max(rate);
        if let Some(pod) = self.pods.iter_mut().find(|(name, _)| name.starts_with(NEW)).map(|(_, pod)| pod) {
            pod.offline += moved;
        }
        self.pods.retain(|_, pod| !pod.deleting);
        self.operator();
    }

    fn operator(&mut self) {
        if self.now == 2 {
            for number in 0..self.size {
                self.pods.insert(format!("{NEW}-{number}"), Inside::default());
            }
        }
        if self.new_up_after == Some(self.now) {
            for (_, pod) in self.pods.iter_mut().filter(|(name, _)| name.starts_with(NEW)) {
                (pod.gate, pod.ready) = (Some(true), true);
            }
        }
        let up = self.new_up_after.is_some_and(|up| self.now > up);
        if !up || self.now < self.looks {
            return;
        }
        self.looks = self.now + 20;
        let started = *self.started.get_or_insert(self.now);
        if self.now < started + i64::try_from(self.delay).expect("it fits") {
            // The operator waits until the delay is over or the object is changed.
            self.looks = self.now + 1;
            return;
        }
        // [OP-15]: the pod with the highest number is deleted, whether it is empty or not.
        if let Some(highest) = self.old().last().cloned() {
            let pod = self.pods.get_mut(&highest).expect("it is there");
            pod.deleting = true;
            self.at_once += pod.connections;
            self.flying += pod.connections;
            self.offline_lost += pod.offline;
            self.old_wanted -= 1;
        }
    }
}

/// Runs the cluster; the guard acts in the seconds for which `awake` is true. Returns what the tracker
/// reported.
fn run(
    simulated: &mut SimulatedCluster,
    means: GuardPermissions,
    seconds: i64,
    awake: impl Fn(i64) -> bool,
) -> Vec<Event> {
    let mut follower = UpgradeTracker::new(fixtures::id(ApiVersion::V1beta4));
    let mut events = follower.observe(&simulated.world(), fixtures::at(simulated.now));
    for _ in 0..seconds {
        simulated.second();
        if awake(simulated.now) {
            let acts = guard::next(
                &simulated.world(),
                &fixtures::id(ApiVersion::V1beta4),
                means,
                fixtures::at(simulated.now),
            );
            simulated.act(acts);
        }
        events.extend(follower.observe(&simulated.world(), fixtures::at(simulated.now)));
    }
    events
}

const MEANS: GuardPermissions = GuardPermissions { gates: true, fresh_seconds: PROOF_SECONDS };

fn verdicts(events: &[Event]) -> Vec<Verdict> {
    events.iter().filter_map(|event| event.verdict).collect()
}
