//! `upgrade` and its commands: the arguments, the requests, and contradictions.

use std::fmt::Write as _;
use std::time::Duration;

use kubectl_emqx::cli::intent::upgrade::{ChangeForm, Upgrade, UpgradeApply};
use kubectl_emqx::cli::intent::{DryRun, Output, Stream, Then, Verb};
use kubectl_emqx::error::Exit;
use kubectl_emqx::model::image::Image;
use kubectl_emqx::model::upgrade::{DrainMethod, UpgradeRequest, Wanted, Way};

use super::{named, parse_with, requested_by, wrong};

const IMAGE: &str = "--image emqx/emqx-enterprise:5.8.7";

fn upgrade(line: &str) -> Upgrade {
    match requested_by(line).verb {
        Verb::Upgrade(upgrade) => upgrade,
        other => panic!("{line}: {other:?}"),
    }
}

fn apply(line: &str) -> UpgradeApply {
    match upgrade(line) {
        Upgrade::Apply(apply) => apply,
        other => panic!("{line}: {other:?}"),
    }
}

fn image() -> Wanted {
    Wanted::Image(Image::parse("emqx/emqx-enterprise:5.8.7").expect("an image"))
}

#[test]
fn without_a_subcommand_it_is_apply_with_watch() {
    let bare = apply(&format!("upgrade emqx {IMAGE} --blue-green --timeout 5m -y"));
    let long = apply(&format!("upgrade apply emqx --watch {IMAGE} --blue-green --timeout 5m -y"));
    assert_eq!(bare, long);
    assert_eq!(bare.instance, Some(named(None, "emqx")));
    assert_eq!(bare.ask, UpgradeRequest { way: Some(Way::BlueGreen), ..UpgradeRequest::new(image()) });
    let Then::Follow(follow) = bare.then else { panic!("it is followed") };
    assert_eq!((follow.timeout, follow.stream), (Some(Duration::from_mins(5)), Stream::Text));
    // A dry run is not followed, and prints a document.
    let tried = apply(&format!("upgrade emqx {IMAGE} --dry-run=server -o json"));
    assert_eq!((tried.write.dry_run, tried.then), (DryRun::Server, Then::Leave(Output::Json)));
}

#[test]
fn what_is_asked_reaches_the_plan_whole() {
    let line = "upgrade plan emqxenterprise/emqx-ee --version 4.4.24 --one-by-one --conn-evict-rate 20 \
                --sess-evict-rate 30 --wait-takeover 1m --skip-check downgrade --force-conflicts -o yaml";
    let Upgrade::Plan(plan) = upgrade(line) else { panic!("a plan") };
    let ask = UpgradeRequest {
        manner: DrainMethod::OneByOne,
        conn_evict_rate: Some(20),
        sess_evict_rate: Some(30),
        wait_takeover: Some(60),
        ..UpgradeRequest::new(Wanted::Version("4.4.24".into()))
    };
    assert_eq!((plan.ask, plan.force, plan.output), (ask, true, Output::Yaml));
    assert_eq!(plan.skip, ["downgrade"]);
    let Upgrade::Generate(generate) =
        upgrade(&format!("upgrade generate {IMAGE} --wait-health-check 15 -o kustomize"))
    else {
        panic!("generate")
    };
    assert_eq!((generate.form, generate.ask.wait_health_check), (ChangeForm::Kustomize, Some(15)));
    assert!(!apply(&format!("upgrade apply {IMAGE} --unguarded")).force);
    let Upgrade::Undo(undo) = upgrade("upgrade undo emqx --to emqx/emqx:5.8.6 --reason why -o jsonl") else {
        panic!("undo")
    };
    assert_eq!(undo.to.map(|image| image.to_string()).as_deref(), Some("emqx/emqx:5.8.6"));
    let Then::Follow(follow) = undo.then else { panic!("it is followed") };
    assert_eq!((follow.stream, undo.write.reason.as_deref()), (Stream::Jsonl, Some("why")));
    let Upgrade::Watch(watch) = upgrade("upgrade watch --read-only --field-manager me") else {
        panic!("watch")
    };
    assert_eq!((watch.instance, watch.field_manager.as_str(), watch.follow.read_only), (None, "me", true));
}

#[test]
fn flags_may_be_set_in_the_environment() {
    let env = [("KUBECTL_EMQX_CONN_EVICT_RATE", "7"), ("KUBECTL_EMQX_VERSION", "4.4.24")];
    let intent = parse_with("upgrade plan", &env).expect("it is meant");
    let Verb::Upgrade(Upgrade::Plan(plan)) = intent.verb else { panic!("a plan") };
    assert_eq!((plan.ask.conn_evict_rate, plan.ask.wanted), (Some(7), Wanted::Version("4.4.24".into())));
    // A typed flag has precedence over a variable.
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
    insta::assert_snapshot!(text, @r#"
        $ upgrade
        --image is missing: an upgrade is to another image
          --image REPOSITORY:TAG, as in emqx/emqx-enterprise:5.8.7; or --version V on v1beta4
        $ upgrade emqx
        --image is missing: an upgrade is to another image
          --image REPOSITORY:TAG, as in emqx/emqx-enterprise:5.8.7; or --version V on v1beta4
        $ upgrade plan emqx --image emqx/emqx:5.8.7 --version 5.8.7
        --image cannot be combined with --version: an image names its version itself
          leave one of them out
        $ upgrade emqx --image
        --image needs a value: nothing follows it
          kubectl emqx upgrade --help
        $ upgrade emqx --image https://docker.io/emqx
        invalid value `https://docker.io/emqx` for --image: it is a URL, and an image has no scheme
          an image is written [REGISTRY/]REPOSITORY:TAG, as in emqx/emqx-enterprise:5.8.7
        $ upgrade emqx --image emqx/EMQX:1
        invalid value `emqx/EMQX:1` for --image: "emqx/EMQX" is no name of a repository: lower-case letters, digits, . _ -
          an image is written [REGISTRY/]REPOSITORY:TAG, as in emqx/emqx-enterprise:5.8.7
        $ upgrade emqx --image emqx/emqx:
        invalid value `emqx/emqx:` for --image: "" is no tag
          an image is written [REGISTRY/]REPOSITORY:TAG, as in emqx/emqx-enterprise:5.8.7
        $ upgrade emqx --version 4.4/24
        invalid value `4.4/24` for --version: a version is letters, digits, `.`, `_` and `-`, as they stand in a tag
          --version 4.4.24
        $ upgrade emqx --image a:1 --blue-green --rolling
        --blue-green cannot be combined with --rolling: the one makes a second set of pods, the other replaces them in place
          leave one of them out
        $ upgrade emqx --image a:1 --rolling --one-by-one
        --one-by-one cannot be combined with --rolling: it is about emptying a set beside another, and --rolling makes none
          leave one of them out
        $ upgrade emqx --image a:1 --rolling --unguarded
        --unguarded cannot be combined with --rolling: it is about emptying a set beside another, and --rolling makes none
          leave one of them out
        $ upgrade emqx --image a:1 --one-by-one --unguarded
        --one-by-one cannot be combined with --unguarded: the one is how we empty old pods, and with the other we do not
          leave one of them out
        $ upgrade emqx --image a:1 --conn-evict-rate 0
        invalid value `0` for --conn-evict-rate: a rate is a whole number of clients per second, at least 1
          for instance 500
        $ upgrade emqx plan --image a:1
        a name or a flag stands before the subcommand: arguments between `upgrade` and its subcommand belong to `upgrade apply --watch`
          put it after the subcommand, as in kubectl emqx upgrade plan NAME --image IMAGE
        $ upgrade --yes plan --image a:1
        a name or a flag stands before the subcommand: arguments between `upgrade` and its subcommand belong to `upgrade apply --watch`
          put it after the subcommand, as in kubectl emqx upgrade plan NAME --image IMAGE
        $ upgrade apply --image a:1 --timeout 5m
        --timeout needs --watch: without it nothing is followed
          add --watch to --timeout
        $ upgrade apply --image a:1 --watch --dry-run client
        --watch cannot be combined with --dry-run: a try starts nothing to follow
          leave one of them out
        $ upgrade apply --image a:1 --watch -o json
        with --watch the output is a stream: one document could not be printed before the end
          use -o jsonl, a JSON document per line
        $ upgrade apply --image a:1 --skip-check version-refused
        the check version-refused cannot be skipped: what it finds would fail all the same
          these can: downgrade, drain-unfinished, evacuation-running, field-conflict, instance-not-ready, no-evacuation, rebalance-running, recipients-not-serving, scale-unfinished, too-many-pods, autoscaled, capacity, connection-rate, conversion-webhook, cordoned-nodes, cores-disagree, image, licence, object-stuck, operator-lines, operator-silent, probe-period, publish-not-ready, quota, session-affinity, traffic-policy
        $ upgrade apply --image a:1 --skip-check downgrad
        there is no check `downgrad`: it could not be skipped
          did you mean downgrade?
        $ upgrade generate --image a:1 -o json
        invalid value `json` for --output: it takes one of patch, full, kustomize
          kubectl emqx upgrade generate --help
        $ upgrade watch -o json
        `upgrade watch` has no -o json: a stream of events cannot be one document
          use -o jsonl, a JSON document per line
        $ upgrade watch --image a:1
        unknown flag --image: `kubectl emqx upgrade watch` does not take it
          kubectl emqx upgrade watch --help
        $ upgrade undo --to emqx//emqx
        invalid value `emqx//emqx` for --to: "emqx//emqx" is no name of a repository: lower-case letters, digits, . _ -
          an image is written [REGISTRY/]REPOSITORY:TAG, as in emqx/emqx-enterprise:5.8.7
        $ upgrade undo --watch --inline --plain
        --inline and --plain contradict each other: one redraws a few lines in place, the other never does
          leave one of them out
        $ upgrade stop
        --image is missing: an upgrade is to another image
          --image REPOSITORY:TAG, as in emqx/emqx-enterprise:5.8.7; or --version V on v1beta4
    "#);
}
