//! The recordings of the real operator, through wire and world: no data is lost, and the counts are right.

use std::cell::RefCell;
use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;

use crate::screens::make::RECORDINGS;
use jiff::Timestamp;
use kubectl_emqx::model::{
    ApiVersion, BrokerUpdate, Fact, InstanceId, InstanceKind, Node, Object, Phase, PodName, Stage, Update,
    World,
};
use kubectl_emqx::ports::Moment;
use kubectl_emqx::ports::{RecordingSink, Translate};
use kubectl_emqx::replay::{Recorder, Recording};
use kubectl_emqx::{emqx, k8s};
use serde_json::{Value, json};

struct Wire;

impl Translate for Wire {
    fn kubernetes(&self, at: Timestamp, event: &str, object: &Value) -> Vec<Fact> {
        k8s::wire::facts(at, event, object)
    }

    fn emqx(&self, at: Timestamp, instance: &InstanceId, path: &str, status: u16, body: &Value) -> Vec<Fact> {
        emqx::wire::facts(at, instance, path, status, body)
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/recorded").join(format!("{name}.jsonl"))
}

fn recording(name: &str) -> Recording {
    Recording::open(path(name), Rc::new(Wire)).expect("it opens")
}

fn moments(name: &str) -> Vec<Moment> {
    recording(name).map(|moment| moment.expect("every line is readable")).collect()
}

/// The world as it was at a second.
fn at(name: &str, seconds: f64) -> World {
    World::of(moments(name).into_iter().take_while(|it| it.t <= seconds).flat_map(|it| it.facts))
}

fn emqx_id() -> InstanceId {
    InstanceId { kind: InstanceKind::Emqx, namespace: "mq".to_owned(), name: "emqx".to_owned() }
}

fn live(nodes: &[Node]) -> Vec<Option<u64>> {
    nodes.iter().map(|node| node.connections).collect()
}

fn sessions(nodes: &[Node]) -> Vec<Option<u64>> {
    nodes.iter().map(|node| node.sessions).collect()
}

#[test]
fn nothing_in_any_recording_is_unreadable_or_unknown() {
    for name in RECORDINGS {
        let mut replayed = 0;
        for moment in moments(name) {
            assert_eq!(moment.facts.len(), 1, "{name} line {}", moment.line);
            for fact in moment.facts {
                replayed += 1;
                match fact.update {
                    Update::Unreadable(text) => panic!("{name}: {text}"),
                    Update::Link(source, resource, link) => panic!("{name}: {source:?} {resource} {link:?}"),
                    Update::Upserted(Object::Rebalance(rebalance)) => {
                        assert!(
                            !matches!(rebalance.phase, Phase::Unknown(_)),
                            "{name}: {:?}",
                            rebalance.phase
                        );
                        assert!(!rebalance.instance_name.is_empty());
                    }
                    Update::Broker(_, BrokerUpdate::Link(resource, link)) => {
                        panic!("{name}: {resource} {link:?}")
                    }
                    Update::Broker(_, BrokerUpdate::Evictions(load)) => {
                        for stage in load
                            .rebalances
                            .iter()
                            .map(|it| &it.stage)
                            .chain(load.evacuations.iter().map(|it| &it.stage))
                        {
                            assert!(!matches!(stage, Stage::Unknown(_)), "{name}: {stage:?}");
                        }
                    }
                    Update::Broker(_, BrokerUpdate::Nodes(nodes)) => {
                        for node in nodes {
                            assert!(!node.running || node.connections.is_some() && node.sessions.is_some());
                        }
                    }
                    _ => {}
                }
            }
        }
        assert!(replayed > 200, "{name}: {replayed}");
    }
}

#[test]
fn the_documented_run_on_v2beta1_ends_as_documented_by_both_sources() {
    let start = at("v2beta1-rebalance-operator-2.2", 0.5);
    let nodes = start.broker(&emqx_id()).listed();
    assert_eq!(live(nodes), [Some(3333), Some(3333), Some(3334), Some(0)]);

    let end = at("v2beta1-rebalance-operator-2.2", 1e9);
    let expected = [Some(2553), Some(2553), Some(2554), Some(2340)];
    assert_eq!(live(end.broker(&emqx_id()).listed()), expected);
    let instance = end.instance(&emqx_id()).expect("it is known");
    assert_eq!((live(&instance.nodes), sessions(&instance.nodes)), (expected.to_vec(), expected.to_vec()));
    assert_eq!((instance.api, instance.ready()), (ApiVersion::V2beta1, true));
    assert_eq!(end.broker(&emqx_id()).load.as_ref().expect("EMQX was asked").value.rebalances, []);
    let rebalance = &end.kubernetes.rebalances.values().next().expect("it is there").value;
    assert_eq!(rebalance.phase, Phase::Failed);
    assert_eq!(rebalance.failure.as_deref(), Some("EMQX emqx is not ready"));
    assert!(rebalance.processed && rebalance.failed.is_some() && !rebalance.states.is_empty());
}

#[test]
fn nodes_map_to_their_pods_by_uid_by_name_and_by_address() {
    let id = emqx_id();
    let world = at("v2beta1-rebalance-operator-2.2", 1.0);
    let instance = world.instance(&emqx_id()).expect("it is known");
    for node in &instance.nodes {
        let pod = world.pods_of(&id).find(|pod| pod.name.as_str() == node.name.first_label());
        assert_eq!(pod.map(|pod| pod.uid.clone()), node.pod_uid, "{}", node.name);
    }
    let world = at("v2-rebalance-operator-2.3", 1.0);
    let instance = world.instance(&emqx_id()).expect("it is known");
    assert_eq!(instance.nodes.len(), 6);
    for node in &instance.nodes {
        let by_address = node.name.ip().and_then(|ip| world.pods_of(&id).find(|pod| pod.ips.contains(&ip)));
        let found = by_address.map_or_else(|| PodName::from(node.name.first_label()), |pod| pod.name.clone());
        assert_eq!(Some(&found), node.pod.as_ref(), "{}", node.name);
    }
}

#[test]
fn on_v2_the_fields_are_swapped_and_zeros_are_dropped() {
    let world = at("v2-bluegreen-operator-2.3", 38.9);
    let instance = world.instance(&emqx_id()).expect("it is known");
    let of = |pod: &str| {
        let node = instance.nodes.iter().find(|node| node.pod == Some(PodName::from(pod)));
        node.map(|node| (node.connections, node.sessions))
    };
    assert_eq!(of("emqx-replicant-94bc956d-97zw5"), Some((Some(800), Some(860))));
    assert_eq!(of("emqx-replicant-94bc956d-8jkqz"), Some((Some(0), Some(0))));
    assert_eq!(of("emqx-core-6fbd774985-0"), Some((Some(0), Some(0))));
    let evacuation = &instance.evacuations[0];
    assert_eq!((evacuation.initial_connections, evacuation.connections), (Some(800), None));
    assert_eq!((&evacuation.stage, evacuation.recipients.len()), (&Stage::Prohibiting, 4));
    assert!(instance.upgrading() && instance.replicant_revisions.differ());
    assert_eq!((instance.cores, instance.replicants), (Some(2), Some(4)));
}

#[test]
fn on_v2beta1_an_evacuation_has_its_four_counts() {
    let world = at("v2beta1-bluegreen-operator-2.2", 145.6);
    let instance = world.instance(&emqx_id()).expect("it is known");
    let evacuation = &instance.evacuations[0];
    assert_eq!(
        (
            evacuation.initial_connections,
            evacuation.connections,
            evacuation.initial_sessions,
            evacuation.sessions
        ),
        (Some(800), Some(600), Some(860), Some(860))
    );
    assert_eq!((instance.nodes[2].connections, instance.nodes[2].sessions), (Some(600), Some(660)));
    assert_eq!((instance.core_revisions.ready, instance.core_revisions.current_replicas), (7, 3));
}

#[test]
fn on_v1beta4_the_object_has_sessions_only() {
    let world = at("v1beta4-guarded-operator-2.2", 83.6);
    let id = InstanceId {
        kind: InstanceKind::EmqxEnterprise,
        namespace: "mq".to_owned(),
        name: "emqx-ee".to_owned(),
    };
    let instance = world.instance(&id).expect("it is known");
    assert!(instance.nodes.iter().all(|node| node.connections.is_none()));
    assert_eq!(sessions(&instance.nodes[..4]), [Some(0), Some(0), Some(0), Some(864)]);
    assert_eq!(instance.image.as_deref(), Some("emqx/emqx-ee:4.4.23"));
    assert_eq!(instance.api_port.map(|port| (port.port, port.tls)), Some((8081, false)));
    assert_eq!(instance.evacuations.len(), 3);
    let blue_green = instance.blue_green.as_ref().expect("it is being updated");
    assert_eq!(blue_green.origin.as_deref(), Some("emqx-ee-65db988b58"));
    let pods: Vec<_> = world.pods_of(&id).collect();
    assert_eq!(pods.iter().map(|pod| pod.api_port.map(|it| it.port)).collect::<Vec<_>>()[0], Some(8081));
    assert!(world.kubernetes.slices.values().all(|seen| seen.value.instance.as_deref() == Some("emqx-ee")));
    let end = at("v1beta4-rebalance-operator-2.2", 1e9);
    assert_eq!(end.kubernetes.instances.len(), 1);
    assert!(
        end.kubernetes.departed.iter().any(|seen| seen.value.instance_kind == InstanceKind::EmqxEnterprise)
    );
    assert!(end.kubernetes.departed.iter().any(|seen| seen.value.instance_kind == InstanceKind::Emqx));
}

#[test]
fn a_recording_begins_when_its_objects_say_so() {
    // Each of these is right within the second to which Kubernetes rounds: the first creation in it was at t.
    for (name, created, t) in [
        ("v2beta1-rebalance-operator-2.2", "2026-11-23T08:42:12Z", 2.96),
        ("v2-rebalance-operator-2.3", "2026-11-23T07:37:48Z", 1.96),
    ] {
        let begin = recording(name).begin();
        let created: Timestamp = created.parse().expect("a time");
        let ahead = created.duration_since(begin).as_secs_f64() - t;
        assert!((-1.0..=0.01).contains(&ahead), "{name}: {ahead}");
    }
    for name in RECORDINGS {
        let moments = moments(name);
        assert!(moments.is_sorted_by(|a, b| a.at <= b.at), "{name}");
    }
}

#[derive(Clone, Default)]
struct Memory(Rc<RefCell<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Copies what passes into a recorder.
struct Copy(Recorder);

impl Translate for Copy {
    fn kubernetes(&self, at: Timestamp, event: &str, object: &Value) -> Vec<Fact> {
        // The search for the cluster of the recording reads objects without a time.
        if at == Timestamp::UNIX_EPOCH {
            return Wire.kubernetes(at, event, object);
        }
        self.0.kubernetes(at, event, object);
        // Shown twice, as by a repeated list: recorded once.
        if event == "LISTED" {
            self.0.kubernetes(at, event, object);
        }
        Vec::new()
    }

    fn emqx(&self, at: Timestamp, instance: &InstanceId, path: &str, status: u16, body: &Value) -> Vec<Fact> {
        self.0.emqx(at, instance, path, status, body);
        self.0.emqx(at, instance, path, status, body);
        Vec::new()
    }
}

#[test]
fn a_recording_of_a_replay_gives_the_same_world() {
    let folder = std::env::temp_dir().join(format!("kubectl-emqx-replay-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for name in RECORDINGS {
        let memory = Memory::default();
        let copy = Copy(Recorder::to(Box::new(memory.clone())));
        let original = Recording::open(path(name), Rc::new(copy)).expect("it opens");
        let begin = original.begin();
        let lines = original.count();
        let copied = folder.join(format!("{name}.jsonl"));
        std::fs::write(&copied, memory.0.borrow().as_slice()).expect("it is written");
        let again = Recording::open(&copied, Rc::new(Wire)).expect("it opens");
        assert!(again.begin().duration_since(begin).as_secs_f64().abs() < 0.05, "{name}");
        let again: Vec<Moment> = again.map(|moment| moment.expect("every line is readable")).collect();
        assert!(
            again.len() > lines * 8 / 10 && again.len() <= lines + 1,
            "{name}: {} of {lines}",
            again.len()
        );
        let mut world = World::of(again.into_iter().flat_map(|it| it.facts));
        let mut expected = at(name, 1e9);
        // Not recorded: the port of the API, and the time of an answer without a change.
        for world in [&mut world, &mut expected] {
            world.kubernetes.sources.clear();
            let emqx = world.brokers.values_mut().next().expect("EMQX was asked");
            emqx.sources.clear();
            emqx.nodes.as_mut().expect("EMQX was asked").at = begin;
            emqx.load.as_mut().expect("EMQX was asked").at = begin;
            world.kubernetes.departed.iter_mut().for_each(|seen| seen.at = begin);
            world.kubernetes.instances.values_mut().for_each(|seen| seen.at = begin);
            world.kubernetes.rebalances.values_mut().for_each(|seen| seen.at = begin);
            world.kubernetes.pods.values_mut().for_each(|seen| seen.at = begin);
            world.kubernetes.sets.values_mut().for_each(|seen| seen.at = begin);
            world.kubernetes.slices.values_mut().for_each(|seen| seen.at = begin);
            world.kubernetes.events.values_mut().for_each(|seen| seen.at = begin);
        }
        assert_eq!(world, expected, "{name}");
    }
    std::fs::remove_dir_all(&folder).expect("it is removed");
}

#[test]
fn a_recording_holds_the_time_at_which_the_follow_ended_though_nothing_came_then() {
    let file = std::env::temp_dir().join(format!("kubectl-emqx-ends-{}.jsonl", std::process::id()));
    let memory = Memory::default();
    let recorder = Recorder::to(Box::new(memory.clone()));
    recorder.ends(Timestamp::UNIX_EPOCH);
    assert!(memory.0.borrow().is_empty(), "nothing was followed");
    let body = json!({"evacuations": [], "rebalances": []});
    recorder.emqx(Timestamp::UNIX_EPOCH, &emqx_id(), "/api/v5/load_rebalance/global_status", 200, &body);
    let end = Timestamp::UNIX_EPOCH + std::time::Duration::from_secs(31);
    recorder.ends(end);
    std::fs::write(&file, memory.0.borrow().as_slice()).expect("it is written");
    let again = Recording::open(&file, Rc::new(Wire)).expect("it opens");
    assert_eq!(again.last().expect("a line").expect("readable").at, end);
    std::fs::remove_file(&file).expect("it is removed");
}

#[test]
fn problems_name_the_line_and_do_not_end_the_recording() {
    let file = std::env::temp_dir().join(format!("kubectl-emqx-broken-{}.jsonl", std::process::id()));
    let text = concat!(
        "{\"t\":0,\"from\":\"clock\",\"at\":\"2026-01-01T00:00:00Z\"}\n",
        "{\"t\":1,\"from\":\"emqx\",\"get\":\"/api/v5/nodes\",\"status\":200,\"body\":[]}\n\n",
        "{\"t\":2,\"from\":\"kubernetes\",\"event\":\"ADDED\"}\n",
        "not json\n",
        "{\"t\":3,\"from\":\"future\",\"thing\":1}\n",
        "{\"t\":4,\"from\":\"emqx\",\"get\":\"/api/v5/nodes\",\"status\":200,\"body\":[]}",
    );
    std::fs::write(&file, text).expect("it is written");
    let read: Vec<_> = Recording::open(&file, Rc::new(Wire)).expect("it opens").collect();
    std::fs::write(&file, "{\"t\":0}\n").expect("it is written");
    let empty = Recording::open(&file, Rc::new(Wire)).err().expect("it has no time");
    std::fs::remove_file(&file).expect("it is removed");
    let problems: Vec<String> =
        read.iter().filter_map(|it| it.as_ref().err()).map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("line 4 of") && problems[0].contains("no object"), "{problems:?}");
    assert!(problems[1].contains("line 5 of"), "{problems:?}");
    assert_eq!(read.len(), 6);
    assert_eq!(read[5].as_ref().expect("the last one").at, "2026-01-01T00:00:04Z".parse().expect("a time"));
    assert!(empty.hint.is_some());
    assert!(Recording::open("/nowhere/at/all", Rc::new(Wire)).is_err());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test looks at the file")]
fn the_same_answer_again_leaves_no_more_than_its_time() {
    use kubectl_emqx::ports::RecordingSink;
    use kubectl_emqx::replay::Recorder;
    let file = std::env::temp_dir().join(format!("kubectl-emqx-again-{}.jsonl", std::process::id()));
    let recorder = Recorder::create(&file).expect("it is new");
    let at = |seconds: i64| jiff::Timestamp::from_second(1_800_000_000 + seconds).expect("a time");
    for seconds in [0, 0, 30] {
        recorder.emqx(at(seconds), &emqx_id(), "/api/v5/nodes", 200, &serde_json::json!([]));
    }
    let text = std::fs::read_to_string(&file).expect("it is written");
    let moments: Vec<f64> =
        Recording::open(&file, Rc::new(Wire)).expect("it opens").map(|it| it.expect("a line").t).collect();
    std::fs::remove_file(&file).expect("it is removed");
    assert_eq!(moments, [0.0, 0.0, 30.0], "{text}");
    assert_eq!(text.matches("/api/v5/nodes").count(), 1, "{text}");
    assert!(text.ends_with("{\"from\":\"clock\",\"t\":30.0}\n"), "{text}");
}

#[test]
fn answers_of_two_clusters_in_one_recording_are_those_of_their_own_cluster() {
    let file = std::env::temp_dir().join(format!("kubectl-emqx-two-{}.jsonl", std::process::id()));
    let other = InstanceId { name: "other".to_owned(), ..emqx_id() };
    let memory = Memory::default();
    let recorder = Recorder::to(Box::new(memory.clone()));
    let now: Timestamp = "2026-11-23T10:00:00Z".parse().expect("a time");
    let nodes =
        |clients: u64| json!([{"node": "emqx@a", "node_status": "running", "live_connections": clients}]);
    for (id, clients) in [(&emqx_id(), 7), (&other, 9)] {
        recorder.emqx(now, id, "/api/v5/nodes", 200, &nodes(clients));
    }
    // As written by earlier versions: without a cluster, which is then the one of the first object.
    let object = json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "EMQX",
        "metadata": {"name": "other", "namespace": "mq", "uid": "u", "resourceVersion": "1"}});
    let early = format!(
        "{}\n{}\n",
        json!({"t": 0, "from": "emqx", "get": "/api/v5/nodes", "status": 200, "body": nodes(3)}),
        json!({"t": 1, "from": "kubernetes", "event": "LISTED", "object": object}),
    );
    let clock = format!("{}\n", json!({"t": 0, "from": "clock", "at": now}));
    let named = String::from_utf8(memory.0.borrow().clone()).expect("it is text");
    let mut counts = Vec::new();
    for text in [named, clock + &early] {
        std::fs::write(&file, text).expect("it is written");
        let moments = Recording::open(&file, Rc::new(Wire)).expect("it opens");
        let world = World::of(moments.flat_map(|moment| moment.expect("it is readable").facts));
        counts.push([emqx_id(), other.clone()].map(|id| live(world.broker(&id).listed())));
    }
    std::fs::remove_file(&file).expect("it is removed");
    assert_eq!(counts, [[vec![Some(7)], vec![Some(9)]], [Vec::new(), vec![Some(3)]]]);
}
