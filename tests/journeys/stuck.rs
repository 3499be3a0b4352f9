//! Upgrades whose new pods do not start, and upgrades during which EMQX can no longer be asked.

use emqx_sim::Scenario;
use serde_json::Value;

use crate::harness::{Cluster, until};

const NEXT: &str = "--image emqx/emqx-enterprise:5.8.7";

fn cluster(text: &str, speed: f64) -> Cluster {
    Cluster::inside(Scenario::from_yaml(text).expect("a scenario"), speed)
}

#[test]
fn new_pods_that_do_not_start_are_named_with_their_reason_in_status_and_the_percent_does_not_move() {
    for (text, reason) in [
        (include_str!("../data/field/stuck-upgrade/crashLoop.yaml"), "CrashLoopBackOff"),
        (include_str!("../data/field/stuck-upgrade/digest.yaml"), "ImagePullBackOff"),
        (include_str!("../data/field/stuck-upgrade/pending.yaml"), "Unschedulable"),
    ] {
        let demo = cluster(text, 40.0);
        // The scenario itself changes the image of one of them.
        if reason != "ImagePullBackOff" {
            demo.run(&format!("upgrade apply emqx {NEXT} --yes")).exits(0);
        }
        let status = || demo.run("status emqx -o json").exits(0).json();
        until(reason, || status()["message"].as_str().is_some_and(|message| message.contains(reason)));
        let (first, second) = (status(), status());
        for status in [&first, &second] {
            assert_eq!(
                (status["operation"].as_str(), &status["etaSeconds"]),
                (Some("upgrade"), &Value::Null)
            );
            assert_eq!(status["totals"]["connections"], 2400, "{status:#}");
        }
        assert_eq!(first["percent"], second["percent"], "{reason}");
        assert!(first["percent"].as_u64().is_some_and(|percent| percent < 10), "{first:#}");
        let rows = first["nodes"].as_array().expect("nodes");
        let new = rows.iter().filter(|row| row["podReason"] == reason).count();
        assert_eq!((rows.len(), new), (6, 3), "{first:#}");
    }
}

#[test]
fn an_upgrade_during_which_emqx_cannot_be_asked_is_judged_by_pods_and_its_clients_are_unknown() {
    let texts = [
        include_str!("../data/field/stuck-upgrade/unauthorized.yaml"),
        include_str!("../data/field/stuck-upgrade/error.yaml"),
        include_str!("../data/field/stuck-upgrade/silence.yaml"),
    ];
    std::thread::scope(|threads| {
        for text in texts {
            threads.spawn(move || {
                let demo = cluster(text, 40.0);
                let upgrade =
                    format!("upgrade emqx {NEXT} --yes -o jsonl --timeout 80s --request-timeout 1s");
                let ran = demo.run(&upgrade).exits(4).verdict("stalled");
                let last = ran.events().pop().expect("a verdict");
                let message = last["message"].as_str().expect("a message");
                assert!(message.contains("no answer of EMQX since"), "{message}");
                assert!(
                    !message.contains("no session lost") && !message.contains("none missing"),
                    "{message}"
                );
                for key in ["movedConnections", "lostClients", "lostSessions"] {
                    assert_eq!(last[key], Value::Null, "{key}: {ran}");
                }
                assert!(last["percent"].as_u64().is_some_and(|percent| percent < 90), "{ran}");
                let status = demo.run("status emqx -o json --request-timeout 1s").exits(0).json();
                assert_eq!(
                    (&status["operation"], &status["verdict"]),
                    (&"upgrade".into(), &"running".into())
                );
            });
        }
    });
}
