//! A simulated v1beta4 cluster, second by second, with the operator's defect ([OP-15]): for the guard and for
//! the tracker. Its clients reconnect one second after they were disconnected, evenly to the pods that the
//! Service serves.

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

#[test]
fn a_guarded_upgrade_disconnects_every_client_once_and_loses_nothing() {
    let mut simulated = SimulatedCluster::new(4, 800, 60, 200);
    let events = run(&mut simulated, MEANS, 200, |_| true);
    assert_eq!((simulated.cut, simulated.at_once, simulated.offline_lost), (3200, 0, 0));
    assert_eq!((simulated.peak_rate, simulated.delay, &simulated.hold), (200, 5, &None));
    assert_eq!(verdicts(&events), [Verdict::Upgraded], "{:?}", events.last());
    assert_eq!(events.last().and_then(|event| event.lost_sessions), Some(0));
    let last = guard::next(
        &simulated.world(),
        &fixtures::id(ApiVersion::V1beta4),
        MEANS,
        fixtures::at(simulated.now),
    );
    assert_eq!(last, [GuardAction::Done]);
}

#[test]
fn a_rebalance_that_starts_in_mid_upgrade_is_named_with_the_way_out_and_the_upgrade_continues_after_it() {
    let mut simulated = SimulatedCluster::new(4, 800, 60, 200);
    simulated.rebalance = Some((10, 120));
    let before = run(&mut simulated, MEANS, 60, |_| true);
    let acts = guard::next(
        &simulated.world(),
        &fixtures::id(ApiVersion::V1beta4),
        MEANS,
        fixtures::at(simulated.now),
    );
    let [GuardAction::Needs(what)] = acts.as_slice() else { panic!("{acts:?}") };
    let coordinator = fixtures::core(0);
    assert!(
        what.contains(&format!("kubectl emqx rebalance stop coordinator/{coordinator}"))
            && what.contains("the old pods are held meanwhile"),
        "{what}"
    );
    assert_eq!((simulated.cut, simulated.at_once, simulated.delay), (0, 0, HOLD_SECONDS));
    assert_eq!(verdicts(&before), [], "{:?}", before.last());
    let after = run(&mut simulated, MEANS, 240, |_| true);
    assert_eq!((simulated.cut, simulated.at_once, simulated.offline_lost), (3200, 0, 0));
    assert_eq!(verdicts(&after), [Verdict::Upgraded], "{:?}", after.last());
    assert_eq!((simulated.delay, &simulated.hold), (5, &None));
}

#[test]
fn it_continues_from_wherever_it_was_killed() {
    for killed in (1..120).step_by(5) {
        let mut simulated = SimulatedCluster::new(3, 90, 7, 30);
        let events = run(&mut simulated, MEANS, 380, |now| now < killed || now > killed + 130);
        assert_eq!(
            (simulated.cut, simulated.at_once, simulated.offline_lost),
            (270, 0, 0),
            "killed at {killed}"
        );
        assert!(simulated.peak_rate <= 30, "killed at {killed}");
        assert_eq!((simulated.delay, &simulated.hold), (5, &None), "killed at {killed}");
        assert_eq!(verdicts(&events), [Verdict::Upgraded], "killed at {killed}: {:?}", events.last());
    }
}

#[test]
fn a_rate_below_the_number_of_nodes_is_shared_in_groups() {
    let mut simulated = SimulatedCluster::new(5, 6, 2, 2);
    run(&mut simulated, MEANS, 400, |_| true);
    assert_eq!((simulated.cut, simulated.at_once, simulated.offline_lost), (30, 0, 0));
    assert_eq!((simulated.peak_rate, simulated.delay), (2, 5));
}

#[test]
fn one_by_one_goes_at_the_whole_rate_each() {
    let mut simulated = SimulatedCluster::new(3, 90, 7, 30);
    simulated.manner(HoldManner::OneByOne);
    run(&mut simulated, MEANS, 400, |_| true);
    assert_eq!((simulated.cut, simulated.at_once, simulated.offline_lost), (270, 0, 0));
    assert_eq!((simulated.peak_rate, simulated.delay), (30, 5));
}

/// Each second with the displayed seconds to the end, up to the verdict; and the second of the verdict.
fn shown(simulated: &mut SimulatedCluster) -> (Vec<(i64, u64)>, i64) {
    let id = fixtures::id(ApiVersion::V1beta4);
    let mut follower = UpgradeTracker::new(fixtures::id(ApiVersion::V1beta4));
    let mut shown = Vec::new();
    for _ in 0..1000 {
        follower.observe(&simulated.world(), fixtures::at(simulated.now));
        let run = follower.last();
        if run.is_some_and(|run| run.verdict.is_some()) {
            return (shown, simulated.now);
        }
        shown.extend(run.and_then(|run| run.seconds).map(|left| (simulated.now, left)));
        simulated.second();
        let acts = guard::next(&simulated.world(), &id, MEANS, fixtures::at(simulated.now));
        simulated.act(acts);
    }
    panic!("it has no end");
}

#[test]
fn a_guarded_upgrade_never_shows_0_seconds_to_go_before_its_end() {
    for manner in [HoldManner::Together, HoldManner::OneByOne] {
        let mut simulated = SimulatedCluster::new(4, 800, 60, 200);
        simulated.manner(manner);
        let (shown, end) = shown(&mut simulated);
        for (at, left) in &shown {
            assert_ne!(*left, 0, "{manner:?}: at {at}, {} s before the end", end - at);
            let near = *left == 1 && end - at > 5;
            assert!(!near, "{manner:?}: 1 s to go at {at}, {} s before the end", end - at);
        }
    }
}

#[test]
fn one_by_one_has_an_end_time_that_moves_with_every_pod_that_is_emptied() {
    let mut simulated = SimulatedCluster::new(4, 800, 60, 200);
    simulated.manner(HoldManner::OneByOne);
    let (shown, end) = shown(&mut simulated);
    let whole = end - shown[0].0;
    assert!(whole > 100, "{shown:?}");
    for (at, left) in &shown {
        let wrong = (at + i64::try_from(*left).expect("it fits") - end).abs();
        assert!(wrong * 10 <= whole, "{left} s to go at {at}, {} s before the end", end - at);
    }
    // The displayed time does not change for at most the length of one operator loop.
    for pair in shown.windows(22) {
        assert!(pair[21].1 < pair[0].1, "{pair:?}");
    }
}

#[test]
fn without_permission_for_gates_some_are_disconnected_again_but_nothing_is_lost() {
    let mut simulated = SimulatedCluster::new(3, 90, 7, 30);
    simulated.manner(HoldManner::OneByOne);
    run(&mut simulated, GuardPermissions { gates: false, fresh_seconds: PROOF_SECONDS }, 400, |_| true);
    assert!(simulated.cut > 270, "{}", simulated.cut);
    assert_eq!((simulated.at_once, simulated.offline_lost, simulated.delay), (0, 0, 5));
}

#[test]
fn unguarded_the_follower_reports_disconnections_and_lost_sessions() {
    let mut simulated = SimulatedCluster::new(4, 800, 60, 200);
    simulated.hold = None;
    simulated.delay = 0;
    let events = run(&mut simulated, MEANS, 150, |_| false);
    assert!(simulated.at_once > 3200 && simulated.offline_lost == 240);
    let last = events.last().expect("there are steps");
    assert_eq!((last.verdict, last.lost_sessions), (Some(Verdict::Upgraded), Some(240)), "{last:?}");
    let percents: Vec<u8> = events.iter().filter_map(|event| event.percent).collect();
    assert!(percents.is_sorted());
}

#[test]
fn a_paused_upgrade_without_a_guard_is_not_stalled_and_is_reported_as_paused() {
    let mut simulated = SimulatedCluster::new(3, 90, 7, 30);
    let events = run(&mut simulated, MEANS, 2000, |_| false);
    assert_eq!(verdicts(&events), []);
    assert!(events.iter().any(|event| event.message.contains("3 old pods held")), "{events:?}");
    assert_eq!((simulated.cut, simulated.at_once), (0, 0));
}

#[test]
fn new_pods_that_never_come_up_are_a_stall() {
    let mut simulated = SimulatedCluster::new(3, 90, 7, 30);
    simulated.new_up_after = None;
    let events = run(&mut simulated, MEANS, 400, |_| true);
    assert_eq!(verdicts(&events), [Verdict::Stalled]);
    let reason = events.last().and_then(|event| event.reason.clone()).unwrap_or_default();
    assert!(reason.contains("does not open its gate"), "{reason}");
    assert_eq!(simulated.cut, 0);
}

#[test]
fn clients_that_never_come_back_are_missing() {
    let mut simulated = SimulatedCluster::new(2, 100, 0, 50);
    let mut follower = UpgradeTracker::new(fixtures::id(ApiVersion::V1beta4));
    let mut events = follower.observe(&simulated.world(), fixtures::at(0));
    for _ in 0..250 {
        simulated.second();
        simulated.flying = 0;
        let acts = guard::next(
            &simulated.world(),
            &fixtures::id(ApiVersion::V1beta4),
            MEANS,
            fixtures::at(simulated.now),
        );
        simulated.act(acts);
        events.extend(follower.observe(&simulated.world(), fixtures::at(simulated.now)));
    }
    assert_eq!(verdicts(&events), [Verdict::ClientsMissing]);
}

#[test]
fn a_way_back_keeps_the_old_pods_and_empties_the_new_ones() {
    let mut simulated = SimulatedCluster::new(3, 900, 7, 30);
    run(&mut simulated, MEANS, 45, |_| true);
    let next = |simulated: &SimulatedCluster| {
        guard::next(
            &simulated.world(),
            &fixtures::id(ApiVersion::V1beta4),
            MEANS,
            fixtures::at(simulated.now),
        )
    };
    simulated.undone = true;
    simulated.manner(HoldManner::Undo);
    let acts = next(&simulated);
    let stops = acts.iter().filter(|act| matches!(act, GuardAction::StopEvacuation { .. })).count();
    let gates = acts.iter().filter(|act| matches!(act, GuardAction::SetGate { serving: true, .. })).count();
    assert_eq!((stops, gates, acts.len()), (3, 3, 6), "{acts:?}");
    run(&mut simulated, MEANS, 120, |_| true);
    let of = |set: &str| -> u64 {
        let pods = simulated.pods.iter().filter(|(name, _)| name.starts_with(set));
        pods.map(|(_, pod)| pod.connections).sum()
    };
    assert_eq!((of(OLD), of(NEW), simulated.at_once), (2700, 0, 0));
    assert_eq!(simulated.delay, HOLD_SECONDS, "with two sets the operator would empty the first");
    assert!(simulated.given_up, "the set that was given up is scaled to 0 once it is empty");
    simulated.pods.retain(|name, _| name.starts_with(OLD));
    run(&mut simulated, MEANS, 3, |_| true);
    assert_eq!((simulated.delay, &simulated.hold), (5, &None));
    assert_eq!(next(&simulated), [GuardAction::Done]);
}

#[test]
fn old_answers_of_emqx_prove_nothing() {
    let mut simulated = SimulatedCluster::new(2, 9000, 0, 50);
    run(&mut simulated, MEANS, 30, |_| true);
    let world = simulated.world();
    let later =
        guard::next(&world, &fixtures::id(ApiVersion::V1beta4), MEANS, fixtures::at(simulated.now + 60));
    assert_eq!(later, [GuardAction::Wait("EMQX does not report what it moves".to_owned())]);
}

#[test]
fn an_undo_uses_the_operators_copy_while_emqx_does_not_answer() {
    let id = fixtures::id(ApiVersion::V1beta4);
    let mut simulated = SimulatedCluster::new(2, 900, 0, 30);
    run(&mut simulated, MEANS, 12, |_| true);
    let mut world = simulated.world();
    let mut instance = world.instance(&id).cloned().expect("it is there");
    instance.evacuations = vec![Evacuation::in_state(node(&format!("{OLD}-0")), "prohibiting")];
    let copied = Update::Upserted(Object::Instance(Box::new(instance)));
    world.apply(fixtures::fact(simulated.now, copied));
    assert_eq!(undo::undo(&world, &id), Some(Undo::Keep), "EMQX answers that nothing is evacuated");
    let away = BrokerUpdate::Link("nodes", Link::Unreachable("timeout".to_owned()));
    world.apply(fixtures::answer_of(ApiVersion::V1beta4, simulated.now + 60, away));
    assert_eq!(undo::undo(&world, &id), Some(Undo::Never("1 of 2 old pods empty".to_owned())));
}
