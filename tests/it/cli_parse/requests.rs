//! The request that a line becomes.

use std::time::Duration;

use kubectl_emqx::cli::Parsed;
use kubectl_emqx::cli::intent::{
    ApplySource, Color, DryRun, Filter, Intent, Level, ManifestFile, OperationName, Output, PlanSource,
    Scenario, Selection, Stream, Then, Verb,
};
use kubectl_emqx::error::Exit;
use kubectl_emqx::model::access::KubernetesFlags;
use kubectl_emqx::model::{
    BackendRequest, EmqxUrl, GivenSettings, InstanceKind, OperatorLine, Requirement, StrategyRequest,
};

use super::{apply, named, parse_with, requested_by, wrong, wrong_with};

#[test]
fn reads_say_of_what_and_how() {
    let Verb::Status(read) = requested_by("status emqxenterprise/emqx-ee -o wide").verb else { panic!() };
    assert_eq!(read.selection, Selection::Named(named(Some(InstanceKind::EmqxEnterprise), "emqx-ee")));
    assert_eq!(read.output, Output::Wide);
    let Verb::Nodes(read) = requested_by("nodes").verb else { panic!() };
    assert_eq!((read.selection, read.output), (Selection::Only, Output::Text));
    let Verb::Status(read) = requested_by("status -A -n mq -l app=emqx").verb else { panic!() };
    let filter = Filter { all_namespaces: true, labels: Some("app=emqx".into()), fields: None };
    assert_eq!(read.selection, Selection::Many(filter));
    let Verb::List(list) = requested_by("rebalance -A -o json").verb else { panic!() };
    assert!(list.bare && list.filter.all_namespaces && list.output == Output::Json);
    let Verb::List(list) = requested_by("rebalance list").verb else { panic!() };
    assert!(!list.bare);
}

#[test]
fn flags_of_kubectl_stand_before_or_behind_the_verb() {
    for line in [
        "-n mq --context eu --as me --as-group a --as-group b --token t status",
        "status -n mq --context=eu --as me --as-group a --as-group b --token t",
    ] {
        let connect = requested_by(line).global.connect;
        assert_eq!(connect.namespace.as_deref(), Some("mq"));
        assert_eq!(connect.context.as_deref(), Some("eu"));
        assert_eq!(connect.impersonate.as_deref(), Some("me"));
        assert_eq!(connect.impersonate_groups, ["a", "b"]);
        assert!(!format!("{connect:?}").contains("\"t\""), "a token must not reach a log");
        assert_eq!(connect.token.map(|token| token.reveal().to_owned()).as_deref(), Some("t"));
    }
    assert_eq!(requested_by("status --request-timeout 0").global.connect.request_timeout, None);
    assert_eq!(
        requested_by("status --request-timeout 5").global.connect.request_timeout,
        Some(Duration::from_secs(5))
    );
    let global =
        requested_by("status --insecure-skip-tls-verify=true --plain=false -v debug --color=never").global;
    assert!(global.connect.insecure && !global.look.plain);
    assert_eq!((global.log.level, global.look.color), (Some(Level::Debug), Color::Never));
}

#[test]
fn emqx_can_be_reached_by_url() {
    let emqx =
        requested_by("status --emqx-url https://emqx.example.com:8443 --api-key-file key --emqx-ca ca.crt")
            .global
            .emqx;
    assert_eq!(emqx.urls, [EmqxUrl { tls: true, host: "emqx.example.com".into(), port: 8443 }]);
    assert_eq!(emqx.key_file.as_deref(), Some(std::path::Path::new("key")));
}

#[test]
fn plans_come_from_a_cluster_or_from_numbers() {
    let Verb::Plan(plan) = requested_by("rebalance plan").verb else { panic!() };
    assert_eq!(plan.source, PlanSource::Cluster(None));
    assert_eq!(plan.strategy, StrategyRequest::Required(Requirement::default(), GivenSettings::default()));
    let Verb::Plan(plan) = requested_by(
        "rebalance plan --counts 3333,3333,3334,0 --conn-evict-rate 10 --sess-evict-rate 10 --wait-health-check 10s \
         --wait-takeover 10 --abs-conn-threshold 100 --rel-conn-threshold 1.2 --lb one --reconnect-delay 3",
    )
    .verb
    else {
        panic!()
    };
    let counts = vec![3333, 3333, 3334, 0];
    assert_eq!(plan.source, PlanSource::Numbers { connections: counts.clone(), sessions: counts });
    let StrategyRequest::Given(strategy) = plan.strategy else { panic!("with a rate nothing is worked out") };
    assert_eq!((strategy.conn_evict_rate, strategy.wait_health_check_seconds), (10, 10));
    assert_eq!((strategy.rel_conn_threshold, plan.reconnect_delay), (1.2, Some(3)));
    assert_eq!(strategy.abs_sess_threshold, 1000, "thresholds that are not given are EMQX's");
}

#[test]
fn requirements_come_from_a_preset_and_what_is_typed_wins() {
    let required = |flags: &str| {
        let Verb::Plan(plan) = requested_by(&format!("rebalance plan --counts 9,1 {flags}")).verb else {
            panic!()
        };
        let StrategyRequest::Required(required, given) = plan.strategy else { panic!("{flags}") };
        (required.spread_percent, required.deadline_seconds, required.reconnects_per_second, given)
    };
    let none = GivenSettings::default();
    assert_eq!(required(""), (5.0, 1800, 50, none));
    assert_eq!(required("--preset careful"), (5.0, 7200, 20, none));
    assert_eq!(required("--preset fast --deadline 1h"), (10.0, 3600, 200, none));
    let given = GivenSettings { abs_conn_threshold: Some(7), ..none };
    let typed = "--target-spread 2.5% --max-reconnect-rate 9 --abs-conn-threshold 7";
    assert_eq!(required(typed), (2.5, 1800, 9, given));
    let Verb::Apply(apply) = requested_by("rebalance apply --max-reconnect-rate 9").verb else { panic!() };
    let ApplySource::Instance(_, StrategyRequest::Required(required, _)) = apply.source else { panic!() };
    assert_eq!((required.reconnects_per_second, apply.limits.max_reconnect_rate), (9, Some(9)));
    for wrong in [
        "rebalance plan --conn-evict-rate 5 --deadline 1h",
        "rebalance apply --conn-evict-rate 5 --preset fast",
        "rebalance apply -f plan.json --target-spread 3%",
        "rebalance apply -f plan.json --show-command",
        "rebalance generate emqx --for-operator 2.3 --deadline 1h",
        "rebalance generate --conn-evict-rate 5 --max-reconnect-rate 9",
        "rebalance plan --target-spread 0%",
        "rebalance plan --counts 1,2 --diff",
    ] {
        assert_eq!(self::wrong(wrong).exit, Exit::Usage, "{wrong}");
    }
}

#[test]
fn manifests_are_made_with_or_without_a_cluster() {
    let Verb::Generate(generate) =
        requested_by("rebalance generate emqx --for-operator 2.3 --name evening").verb
    else {
        panic!()
    };
    assert_eq!(generate.line, Some(OperatorLine::Two3));
    assert_eq!(generate.name.as_deref(), Some("evening"));
    let Verb::Generate(generate) = requested_by("rebalance generate").verb else { panic!() };
    assert_eq!((generate.instance, generate.line), (None, None));
}

#[test]
fn apply_leaves_or_follows() {
    let plain =
        apply("rebalance apply emqx --conn-evict-rate 10 -y --reason evening --skip-check few-recipients");
    let ApplySource::Instance(Some(name), StrategyRequest::Given(strategy)) = plain.source else { panic!() };
    assert_eq!((name, strategy.conn_evict_rate), (named(None, "emqx"), 10));
    assert!(
        plain.write.yes && plain.write.dry_run == DryRun::None && plain.write.field_manager == "kubectl-emqx"
    );
    assert_eq!(
        (plain.write.reason.as_deref(), plain.skip),
        (Some("evening"), vec!["few-recipients".to_owned()])
    );
    assert_eq!(plain.then, Then::Leave(Output::Text));
    let Then::Follow(follow) =
        apply("rebalance apply -f x.yaml -w --timeout 30m -o jsonl --record r.jsonl").then
    else {
        panic!()
    };
    assert_eq!((follow.timeout, follow.stream), (Some(Duration::from_mins(30)), Stream::Jsonl));
    assert_eq!(apply("rebalance apply -f -").source, ApplySource::File(ManifestFile::Stdin));
    assert_eq!(apply("rebalance apply --dry-run=server -o json").then, Then::Leave(Output::Json));
}

#[test]
fn operations_are_named_by_object_instance_or_coordinator() {
    for (name, meaning) in [
        ("a-1", OperationName::Name("a-1".into())),
        ("rebalance.apps.emqx.io/a-1", OperationName::Rebalance("a-1".into())),
        ("emqx/a", OperationName::Instance(named(Some(InstanceKind::Emqx), "a"))),
        ("coordinator/emqx@10.0.0.7", OperationName::Coordinator("emqx@10.0.0.7".into())),
    ] {
        let Verb::Watch(watch) = requested_by(&format!("rebalance watch {name}")).verb else { panic!() };
        assert_eq!(watch.operation.as_ref(), Some(&meaning));
        let Verb::Stop(stop) = requested_by(&format!("rebalance stop {name}")).verb else { panic!() };
        assert_eq!((stop.operation, stop.timeout), (Some(meaning), Duration::from_mins(1)));
    }
}

#[test]
fn demos_and_recordings_are_played_at_a_speed() {
    let Verb::Demo(demo) = requested_by("demo").verb else { panic!() };
    assert_eq!((demo.scenario, demo.speed), (None, 6.0));
    let Verb::DemoServe(serve) = requested_by("demo serve balanced --speed 20").verb else { panic!() };
    assert_eq!((serve.scenario, serve.speed), (Scenario::Named(Some("balanced".into())), 20.0));
    let Verb::DemoServe(serve) = requested_by("demo serve --file x.yaml --kubeconfig-out k").verb else {
        panic!()
    };
    assert_eq!(serve.scenario, Scenario::File("x.yaml".into()));
    let Verb::Replay(replay) = requested_by("replay r.jsonl -o jsonl").verb else { panic!() };
    assert_eq!((replay.stream, replay.speed), (Stream::Jsonl, None));
}

#[test]
fn the_environment_is_stronger_than_a_default_and_weaker_than_a_flag() {
    let backend = |line: &str, env: &[(&str, &str)]| apply_backend(parse_with(line, env));
    let env = [("KUBECTL_EMQX_BACKEND", "emqx")];
    assert_eq!(backend("rebalance apply a", &[]), BackendRequest::Auto);
    assert_eq!(backend("rebalance apply a", &env), BackendRequest::Emqx);
    assert_eq!(backend("rebalance apply a --backend rebalance", &env), BackendRequest::Rebalance);

    let global = parse_with(
        "status",
        &[("KUBECTL_EMQX_PLAIN", "1"), ("KUBECTL_EMQX_COLOR", "never"), ("KUBECTL_EMQX_ASCII", "false")],
    )
    .expect("fine")
    .global;
    assert!(global.look.plain && !global.look.ascii && global.look.color == Color::Never);
    let intent = parse_with("status", &[("KUBECTL_EMQX_NAMESPACE", "other"), ("KUBECTL_EMQX_TOKEN", "t")])
        .expect("fine");
    assert_eq!(intent.global.connect, KubernetesFlags::default(), "kubectl's own flags have no variable");
}

fn apply_backend(parsed: Result<Intent, Parsed>) -> BackendRequest {
    match parsed.expect("fine").verb {
        Verb::Apply(apply) => apply.backend,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bad_variable_is_named_and_one_that_does_not_fit_stays_out() {
    let problem = wrong_with("rebalance plan", &[("KUBECTL_EMQX_CONN_EVICT_RATE", "fast")]);
    assert!(problem.what.contains("KUBECTL_EMQX_CONN_EVICT_RATE"), "{problem}");
    assert_eq!(problem.exit, Exit::Usage);
    let problem = wrong_with("status", &[("KUBECTL_EMQX_PLAIN", "perhaps")]);
    assert!(problem.what.contains("KUBECTL_EMQX_PLAIN"), "{problem}");

    let env = [
        ("KUBECTL_EMQX_CONN_EVICT_RATE", "10"),
        ("KUBECTL_EMQX_YES", "true"),
        ("KUBECTL_EMQX_TIMEOUT", "5m"),
    ];
    let Ok(Intent { verb: Verb::Apply(apply), .. }) = parse_with("rebalance apply -f x.yaml", &env) else {
        panic!()
    };
    assert_eq!(apply.source, ApplySource::File(ManifestFile::Path("x.yaml".into())));
    assert!(apply.write.yes, "what fits is kept");
    let url = [("KUBECTL_EMQX_EMQX_URL", "http://localhost:18083")];
    assert_eq!(parse_with("demo", &url).expect("fine").global.emqx.urls, []);
    assert!(parse_with("status", &url).expect("fine").global.emqx.urls.len() == 1);
}
