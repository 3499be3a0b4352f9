//! The recordings of real upgrades, through wire and world to steps and verdicts: order, states, percent, ETA, verdict.

use std::path::PathBuf;
use std::rc::Rc;

use jiff::Timestamp;
use kubectl_emqx::commands::replay::Teller;
use kubectl_emqx::model::{Event, EventType, Fact, Operation, Part, Verdict};
use kubectl_emqx::replay::Recording;
use kubectl_emqx::seam::Translate;
use kubectl_emqx::{emqx, k8s};
use serde_json::Value;

struct Wire;

impl Translate for Wire {
    fn kubernetes(&self, at: Timestamp, event: &str, object: &Value) -> Vec<Fact> {
        k8s::wire::facts(at, event, object)
    }

    fn emqx(&self, at: Timestamp, path: &str, status: u16, body: &Value) -> Vec<Fact> {
        emqx::wire::facts(at, path, status, body)
    }
}

const UNGUARDED: &str = "v1beta4-bluegreen-operator-2.2";
const GUARDED: &str = "v1beta4-guarded-operator-2.2";
const V2BETA1: &str = "v2beta1-bluegreen-operator-2.2";
const V2: &str = "v2-bluegreen-operator-2.3";
const UNDO: &str = "v2beta1-undo-operator-2.2";
const ALL: [&str; 5] = [UNGUARDED, GUARDED, V2BETA1, V2, UNDO];

/// A step with the seconds since the recording began.
struct Told {
    t: f64,
    event: Event,
}

/// The steps of the upgrade in a recording.
fn told(name: &str) -> Vec<Told> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/recorded").join(format!("{name}.jsonl"));
    let recording = Recording::open(path, Rc::new(Wire)).expect("it opens");
    let begin = recording.begin();
    let mut teller = Teller::default();
    let mut events = Vec::new();
    for moment in recording {
        events.extend(teller.take(moment.expect("every line is readable")).0);
    }
    events.extend(teller.finish());
    events
        .into_iter()
        .filter(|event| event.operation != Operation::Rebalance)
        .map(|event| Told { t: event.time.duration_since(begin).as_secs_f64(), event })
        .collect()
}

fn messages(told: &[Told], kind: EventType) -> Vec<&str> {
    told.iter().filter(|it| it.event.kind == kind).map(|it| it.event.message.as_str()).collect()
}

fn verdict(told: &[Told]) -> (Verdict, f64, &str) {
    let last = told.last().expect("there are steps");
    let verdict = last.event.verdict.expect("the last step is a verdict");
    (verdict, last.t, last.event.reason.as_deref().expect("a verdict has a reason"))
}

#[test]
fn every_recording_holds_one_upgrade_with_one_verdict() {
    for name in ALL {
        let told = told(name);
        assert_eq!(told.iter().filter(|it| it.event.kind == EventType::Created).count(), 1, "{name}");
        assert_eq!(told.iter().filter(|it| it.event.verdict.is_some()).count(), 1, "{name}");
        assert!(told[0].event.kind == EventType::Created && (1.8..3.0).contains(&told[0].t), "{name}");
        let id = if name.starts_with("v1beta4") { "upgrade/emqx-ee" } else { "upgrade/emqx" };
        assert!(
            told.iter().all(|it| it.event.name == id && it.event.operation == Operation::Upgrade),
            "{name}"
        );
    }
}

#[test]
fn percent_never_goes_backwards_and_a_hundred_comes_with_the_verdict() {
    for name in ALL {
        let told = told(name);
        let percents: Vec<u8> = told.iter().filter_map(|it| it.event.percent).collect();
        assert!(percents.is_sorted(), "{name}: {percents:?}");
        assert!(percents[..percents.len() - 1].iter().all(|percent| *percent < 100), "{name}");
        assert_eq!(percents.last(), Some(if name == UNDO { &67 } else { &100 }), "{name}");
    }
}

#[test]
fn the_eta_is_right_from_the_moment_it_is_told() {
    // Against the end that came, as a share of the whole from then on: what was measured, and a little.
    for (name, worst) in [(UNGUARDED, 0.05), (GUARDED, 0.03), (V2BETA1, 0.03), (V2, 0.04)] {
        let told = told(name);
        let (_, end, _) = verdict(&told);
        let first = told.iter().find(|it| it.event.eta_seconds.is_some()).expect("there is an eta");
        for it in &told {
            let Some(eta) = it.event.eta_seconds else { continue };
            let error = (it.t + eta as f64 - end).abs() / (end - first.t);
            assert!(error <= worst, "{name} at {}: {eta} s, error {error:.3}", it.t);
        }
    }
}

#[test]
fn nothing_is_called_up_or_over_before_it_is() {
    // The first look at which the new pods are up, by Available or startedAt; and the verdict after the last old node.
    for (name, up, over) in
        [(UNGUARDED, 35.6, 112.4), (GUARDED, 34.3, 125.4), (V2BETA1, 6.8, 299.1), (V2, 8.9, 123.4)]
    {
        let told = told(name);
        let moved =
            told.iter().find(|it| it.event.phase.as_deref() == Some("trafficMoved")).expect("it moved");
        assert!((up..up + 0.2).contains(&moved.t), "{name}: {}", moved.t);
        let (_, t, _) = verdict(&told);
        assert!((over..over + 1.5).contains(&t), "{name}: {t}");
        assert!(told.iter().filter(|it| it.t < up).all(|it| it.event.phase.as_deref() == Some("newPods")));
    }
}

#[test]
fn without_a_guard_loaded_pods_are_deleted_and_it_says_so() {
    let told = told(UNGUARDED);
    let notices = messages(&told, EventType::Notice);
    // 800, then 800 + 114, 152 and 214 that had come back to old pods, as row 16 counts them.
    let cut = [("3", "800"), ("2", "914"), ("1", "1,068"), ("0", "1,282")];
    assert_eq!(notices.len(), cut.len(), "{notices:?}");
    for (notice, (pod, clients)) in notices.iter().zip(cut) {
        assert!(
            notice.starts_with(&format!("emqx-ee-74f7d48756-{pod} is deleted with {clients} clients")),
            "{notice}"
        );
        assert!(notice.contains("60 sessions"), "{notice}");
    }
    // Every client was back one second after the last cut: 3,200 of 3,200 is not under 98 %, so that by cli.md 4 it is
    // upgraded, and the 240 lost sessions are in the reason.
    let (verdict, t, reason) = verdict(&told);
    assert_eq!(verdict, Verdict::Upgraded);
    assert!((113.0..114.0).contains(&t), "not at 112.4 s, when 1,282 clients were on their way: {t}");
    assert_eq!(
        reason,
        "4 nodes of emqx/emqx-ee:4.4.24 run and serve; 3,200 clients, none missing, 240 sessions lost, 4,064 clients cut when \
         loaded pods were deleted, 110 s"
    );
    let last = &told.last().expect("a verdict").event;
    assert_eq!(
        (last.lost_clients, last.lost_sessions, last.moved_connections),
        (Some(0), Some(240), Some(3200))
    );
}

#[test]
fn with_a_guard_nothing_is_lost() {
    let told = told(GUARDED);
    let phases = messages(&told, EventType::Phase);
    let order = [
        "new pods are coming up",
        "4 new pods up; 4 old pods held",
        "emptying all 4 old pods together: disconnecting clients",
        "emptying all 4 old pods together: waiting for sessions",
        "emptying all 4 old pods together: moving sessions",
        "all 4 old pods together: empty",
        "removing old pod 1 of 4, emqx-ee-65db988b58-3",
        "removing old pod 2 of 4, emqx-ee-65db988b58-2",
        "removing old pod 3 of 4, emqx-ee-65db988b58-1",
        "removing old pod 4 of 4, emqx-ee-65db988b58-0",
    ];
    assert_eq!(phases.len(), order.len(), "{phases:#?}");
    for (phase, begin) in phases.iter().zip(order) {
        assert!(phase.starts_with(begin), "{phase}");
    }
    let (verdict, _, reason) = verdict(&told);
    assert_eq!(verdict, Verdict::Upgraded);
    assert!(reason.contains("3,200 clients, none missing, no session lost"), "{reason}");
    let last = &told.last().expect("a verdict").event;
    assert_eq!((last.lost_clients, last.lost_sessions), (Some(0), Some(0)));
    assert_eq!(
        messages(&told, EventType::Notice),
        ["all 4 old pods left the Service at one moment: new clients go to new pods only"]
    );
}

/// Which old pod is taken at which place, and in which stages it was seen.
fn turns(told: &[Told]) -> Vec<(String, Vec<String>)> {
    let mut turns: Vec<(String, Vec<String>)> = Vec::new();
    for message in messages(told, EventType::Phase) {
        let Some((_, rest)) = message.split_once(", emqx-") else { continue };
        let name = rest.split([':', ',']).next().unwrap_or_default();
        let what = if message.starts_with("removing") {
            "removing"
        } else {
            message.split(": ").nth(1).unwrap_or_default().split([' ', ',']).next().unwrap_or_default()
        };
        match turns.last_mut().filter(|(last, _)| last == name) {
            Some((_, stages)) => stages.push(what.to_owned()),
            None => turns.push((name.to_owned(), vec![what.to_owned()])),
        }
    }
    turns
}

#[test]
fn on_v2beta1_the_highest_goes_first_each_through_every_stage() {
    let told = told(V2BETA1);
    let turns = turns(&told);
    let names: Vec<&str> = turns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["core-66c88f5c8-3", "core-66c88f5c8-2", "core-66c88f5c8-1", "core-66c88f5c8-0"]);
    for (name, stages) in &turns {
        // `prohibiting` lasts less than the second between two questions, and is missed now and then.
        let seen: Vec<&str> = stages.iter().map(String::as_str).filter(|stage| *stage != "empty").collect();
        assert_eq!(seen, ["waiting", "disconnecting", "waiting", "moving", "removing"], "{name}");
    }
    let (verdict, _, reason) = verdict(&told);
    assert_eq!(verdict, Verdict::Upgraded);
    assert!(reason.contains("none missing, no session lost"), "{reason}");
    assert_eq!(messages(&told, EventType::Notice).len(), 1);
}

#[test]
fn on_v2_replicants_go_first_in_ascending_order_and_empty_cores_go_without_a_word() {
    let told = told(V2);
    let turns = turns(&told);
    let names: Vec<&str> = turns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "replicant-94bc956d-8jkqz",
            "replicant-94bc956d-97zw5",
            "replicant-94bc956d-h78bq",
            "replicant-94bc956d-xtfn8",
            "core-6fbd774985-1",
            "core-6fbd774985-0"
        ]
    );
    assert_eq!(turns[4].1, ["removing"]);
    let (verdict, _, reason) = verdict(&told);
    assert_eq!(verdict, Verdict::Upgraded);
    assert!(reason.contains("3,230 clients, none missing, no session lost"), "{reason}");
}

#[test]
fn an_undo_half_way_goes_on_through_a_third_set() {
    let told = told(UNDO);
    let notices = messages(&told, EventType::Notice);
    assert!(
        notices[1].starts_with("the image was changed back to emqx/emqx-enterprise:5.8.6"),
        "{notices:?}"
    );
    assert!(notices[2].starts_with("3 sets run at once"), "{notices:?}");
    let turns = turns(&told);
    let names: Vec<&str> = turns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "core-66c88f5c8-2",
            "core-66c88f5c8-1",
            "core-66c88f5c8-0",
            "core-768f89d9d5-2",
            "core-768f89d9d5-1"
        ]
    );
    let (verdict, t, reason) = verdict(&told);
    assert_eq!(verdict, Verdict::Running, "the recording ends while the middle set is still being emptied");
    assert_eq!(reason, "it goes on: 4 of 6 old pods gone");
    // Two pods were left of which each takes 71 to 72 s: the end that was told is the one that row 22 saw.
    let eta = told.iter().rev().find_map(|it| it.event.eta_seconds).expect("there is an eta");
    assert!((140..=146).contains(&eta), "{eta} s at {t}");
}

#[test]
fn nodes_carry_their_part_and_emqx_own_word() {
    let told = told(GUARDED);
    let together = told
        .iter()
        .filter(|it| it.event.kind == EventType::Progress)
        .map(|it| it.event.nodes.iter().filter(|node| node.part == Some(Part::Evacuating)).count())
        .max();
    assert_eq!(together, Some(4));
    let states: Vec<&str> =
        told.iter().flat_map(|it| &it.event.nodes).filter_map(|node| node.state.as_deref()).collect();
    for state in ["evicting_conns", "waiting_takeover", "evicting_sessions", "prohibiting"] {
        assert!(states.contains(&state), "{state}");
    }
    assert!(told.iter().all(|it| it.event.nodes.len() <= 8));
}

#[test]
fn a_rebalance_is_no_upgrade() {
    for name in
        ["v1beta4-rebalance-operator-2.2", "v2beta1-rebalance-operator-2.2", "v2-rebalance-operator-2.3"]
    {
        let told = told(name);
        let said: Vec<&str> = told.iter().map(|it| it.event.message.as_str()).collect();
        assert!(said.is_empty(), "{name}: {said:?}");
    }
}
