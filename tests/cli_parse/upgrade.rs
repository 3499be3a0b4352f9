//! `upgrade` and its verbs: what is typed, what is meant, and what contradicts itself.

use std::fmt::Write as _;
use std::time::Duration;

use kubectl_emqx::cli::intent::upgrade::{Apply, ChangeForm, Upgrade};
use kubectl_emqx::cli::intent::{DryRun, Output, Stream, Then, Verb};
use kubectl_emqx::error::Exit;
use kubectl_emqx::model::image::Image;
use kubectl_emqx::model::upgrade::{Ask, Manner, Wanted, Way};

use super::{meant, named, parse_with, wrong};

const IMAGE: &str = "--image emqx/emqx-enterprise:5.8.7";

fn upgrade(line: &str) -> Upgrade {
    match meant(line).verb {
        Verb::Upgrade(upgrade) => upgrade,
        other => panic!("{line}: {other:?}"),
    }
}

fn apply(line: &str) -> Apply {
    match upgrade(line) {
        Upgrade::Apply(apply) => apply,
        other => panic!("{line}: {other:?}"),
    }
}

fn image() -> Wanted {
    Wanted::Image(Image::parse("emqx/emqx-enterprise:5.8.7").expect("an image"))
}

#[test]
fn without_a_verb_it_is_apply_that_follows() {
    let bare = apply(&format!("upgrade emqx {IMAGE} --blue-green --timeout 5m -y"));
    let long = apply(&format!("upgrade apply emqx --watch {IMAGE} --blue-green --timeout 5m -y"));
    assert_eq!(bare, long);
    assert_eq!(bare.instance, Some(named(None, "emqx")));
    assert_eq!(bare.ask, Ask { way: Some(Way::BlueGreen), ..Ask::new(image()) });
    let Then::Follow(follow) = bare.then else { panic!("it is followed") };
    assert_eq!((follow.timeout, follow.stream), (Some(Duration::from_mins(5)), Stream::Text));
    // A try is not followed, and has a document.
    let tried = apply(&format!("upgrade emqx {IMAGE} --dry-run=server -o json"));
    assert_eq!((tried.write.dry_run, tried.then), (DryRun::Server, Then::Leave(Output::Json)));
}

#[test]
fn what_is_asked_reaches_the_plan_whole() {
    let line = "upgrade plan emqxenterprise/emqx-ee --version 4.4.24 --one-by-one --conn-evict-rate 20 \
                --sess-evict-rate 30 --wait-takeover 1m --skip-check downgrade --force-conflicts -o yaml";
    let Upgrade::Plan(plan) = upgrade(line) else { panic!("a plan") };
    let ask = Ask {
        manner: Manner::OneByOne,
        conn_evict_rate: Some(20),
        sess_evict_rate: Some(30),
        wait_takeover: Some(60),
        ..Ask::new(Wanted::Version("4.4.24".into()))
    };
    assert_eq!((plan.ask, plan.force, plan.output), (ask, true, Output::Yaml));
    assert_eq!(plan.skip, ["downgrade"]);
    let Upgrade::Generate(generate) = upgrade(&format!("upgrade generate {IMAGE} --wait-health-check 15 -o kustomize"))
    else {
        panic!("generate")
    };
    assert_eq!((generate.form, generate.ask.wait_health_check), (ChangeForm::Kustomize, Some(15)));
    assert!(!apply(&format!("upgrade apply {IMAGE} --unguarded")).force);
    let Upgrade::Undo(undo) = upgrade("upgrade undo emqx --to emqx/emqx:5.8.6 --reason why -o jsonl") else {
        panic!("undo")
    };
    assert_eq!(undo.to.map(|image| image.to_string()).as_deref(), Some("emqx/emqx:5.8.6"));
    assert_eq!((undo.follow.stream, undo.write.reason.as_deref()), (Stream::Jsonl, Some("why")));
    let Upgrade::Watch(watch) = upgrade("upgrade watch --read-only --field-manager me") else { panic!("watch") };
    assert_eq!((watch.instance, watch.field_manager.as_str(), watch.follow.read_only), (None, "me", true));
}

#[test]
fn the_environment_knows_its_flags_too() {
    let env = [("KUBECTL_EMQX_CONN_EVICT_RATE", "7"), ("KUBECTL_EMQX_VERSION", "4.4.24")];
    let intent = parse_with("upgrade plan", &env).expect("it is meant");
    let Verb::Upgrade(Upgrade::Plan(plan)) = intent.verb else { panic!("a plan") };
    assert_eq!((plan.ask.conn_evict_rate, plan.ask.wanted), (Some(7), Wanted::Version("4.4.24".into())));
    // Where both are said the one that was typed holds.
    let intent = parse_with(&format!("upgrade plan {IMAGE}"), &env).expect("it is meant");
    let Verb::Upgrade(Upgrade::Plan(plan)) = intent.verb else { panic!("a plan") };
    assert_eq!(plan.ask.wanted, image());
}

#[test]
fn what_is_wrong_with_an_upgrade_is_answered() {
    let lines = [
        "upgrade",
        "upgrade emqx",
        "upgrade plan emqx --image emqx/emqx:5.8.7 --version 5.8.7",
        "upgrade emqx --image",
        "upgrade emqx --image https://docker.io/emqx",
        "upgrade emqx --image emqx/EMQX:1",
        "upgrade emqx --image emqx/emqx:",
        "upgrade emqx --version 4.4/24",
        "upgrade emqx --image a:1 --blue-green --rolling",
        "upgrade emqx --image a:1 --rolling --one-by-one",
        "upgrade emqx --image a:1 --rolling --unguarded",
        "upgrade emqx --image a:1 --one-by-one --unguarded",
        "upgrade emqx --image a:1 --conn-evict-rate 0",
        "upgrade emqx plan --image a:1",
        "upgrade --yes plan --image a:1",
        "upgrade apply --image a:1 --timeout 5m",
        "upgrade apply --image a:1 --watch --dry-run client",
        "upgrade apply --image a:1 --watch -o json",
        "upgrade apply --image a:1 --skip-check version-refused",
        "upgrade apply --image a:1 --skip-check downgrad",
        "upgrade generate --image a:1 -o json",
        "upgrade watch -o json",
        "upgrade watch --image a:1",
        "upgrade undo --to emqx//emqx",
        "upgrade undo --watch --inline --plain",
        "upgrade stop",
    ];
    let mut text = String::new();
    for line in lines {
        let problem = wrong(line);
        assert_eq!(problem.exit, Exit::Usage, "{line}: {problem:?}");
        let hint = problem.hint.clone().unwrap_or_else(|| panic!("{line} has no hint"));
        let _ = writeln!(text, "$ {line}\n{problem}\n  {hint}");
    }
    insta::assert_snapshot!(text);
}
