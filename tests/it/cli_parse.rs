//! The command line: the arguments become a request, and invalid ones are answered with what failed, why, and
//! the command to type instead.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::time::Duration;

use kubectl_emqx::cli::intent::{
    Apply, ApplySource, Color, DryRun, Filter, InstanceName, Intent, Level, ManifestFile, OperationName,
    Output, PlanSource, Scenario, Selection, Stream, Then, Verb,
};
use kubectl_emqx::cli::{self, Parsed};
use kubectl_emqx::error::{Exit, Problem};
use kubectl_emqx::model::access::KubernetesFlags;
use kubectl_emqx::model::{
    BackendRequest, EmqxUrl, GivenSettings, InstanceKind, OperatorLine, Requirement, StrategyRequest,
};

mod upgrade;

fn parse_with(line: &str, env: &[(&str, &str)]) -> Result<Intent, Parsed> {
    let words = ["kubectl-emqx"].into_iter().chain(line.split_whitespace()).map(OsString::from);
    cli::parse(words, |name| {
        env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

fn requested_by(line: &str) -> Intent {
    parse_with(line, &[]).unwrap_or_else(|parsed| panic!("{line}: {parsed:?}"))
}

fn wrong(line: &str) -> Problem {
    wrong_with(line, &[])
}

fn wrong_with(line: &str, env: &[(&str, &str)]) -> Problem {
    match parse_with(line, env) {
        Err(Parsed::Wrong(problem)) => problem,
        other => panic!("{line}: {other:?}"),
    }
}

fn printed(line: &str) -> String {
    match parse_with(line, &[]) {
        Err(Parsed::Print(text)) => text,
        other => panic!("{line}: {other:?}"),
    }
}

fn apply(line: &str) -> Apply {
    match requested_by(line).verb {
        Verb::Apply(apply) => apply,
        other => panic!("{other:?}"),
    }
}

fn named(kind: Option<InstanceKind>, name: &str) -> InstanceName {
    InstanceName { kind, name: name.to_owned() }
}

/// Every command, as words after `kubectl emqx`.
fn verbs() -> Vec<String> {
    fn walk(command: &clap::Command, path: &str, all: &mut Vec<String>) {
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
            let path = format!("{path} {}", verb.get_name());
            walk(verb, &path, all);
            all.push(path.trim().to_owned());
        }
    }
    let mut all = Vec::new();
    walk(&cli::command(), "", &mut all);
    all.sort();
    all
}

#[test]
fn the_commands_are_those_of_this_release_and_no_others() {
    insta::assert_snapshot!(verbs().join("\n"), @r"
        check
        completion
        completion install
        demo
        demo serve
        drain
        evacuate
        evacuate list
        evacuate start
        evacuate status
        evacuate stop
        evacuate watch
        history
        nodes
        rebalance
        rebalance apply
        rebalance generate
        rebalance list
        rebalance plan
        rebalance prune
        rebalance stop
        rebalance watch
        replay
        report
        scale
        status
        upgrade
        upgrade apply
        upgrade generate
        upgrade list
        upgrade plan
        upgrade undo
        upgrade watch
        version
        watch
    ");
}

#[test]
fn every_command_has_help_with_examples_to_copy() {
    for verb in verbs() {
        for flag in ["--help", "-h"] {
            let help = anstream::adapter::strip_str(&printed(&format!("{verb} {flag}"))).to_string();
            let usage = format!("Usage: kubectl emqx {verb}");
            assert!(help.contains(&usage), "{verb}:\n{help}");
            let examples =
                help.split_once("Examples:\n").unwrap_or_else(|| panic!("{verb} has no examples")).1;
            let lines: Vec<_> = examples.lines().filter(|line| line.starts_with("  kubectl emqx ")).collect();
            assert!((2..=4).contains(&lines.len()), "{verb}: {examples}");
            let help = help.replace("[default: kubectl-emqx]", "");
            assert!(!help.contains("kubectl-emqx"), "{verb}:\n{help}");
            for line in help.lines() {
                assert!(line.chars().count() <= 130, "{verb}: {line}");
            }
        }
    }
}

#[test]
fn the_examples_of_the_help_can_be_typed() {
    for verb in verbs() {
        let help = anstream::adapter::strip_str(&printed(&format!("{verb} --help"))).to_string();
        for line in help.lines().filter_map(|line| line.strip_prefix("  kubectl emqx ")) {
            let line = line.split([';', '|', '>', '\'']).next().unwrap_or_default().trim();
            let line = line.strip_suffix("--reason").unwrap_or(line);
            match parse_with(line, &[]) {
                Ok(_) => {}
                Err(Parsed::Print(text)) if text.starts_with("kubectl emqx ") => {}
                Err(other) => panic!("{line}: {other:?}"),
            }
        }
    }
}

#[test]
fn the_root_help_lists_exit_codes_and_environment() {
    for line in ["", "--help", "-h", "help"] {
        let help = anstream::adapter::strip_str(&printed(line)).to_string();
        for words in
            ["Exit codes:", "130  interrupted", "KUBECTL_EMQX_<FLAG>", "Usage: kubectl emqx", "rebalance"]
        {
            assert!(help.contains(words), "{line}: {words} in\n{help}");
        }
    }
    assert_eq!(printed("--version").trim(), concat!("kubectl emqx ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_is_wrong_is_answered_with_what_why_and_what_next() {
    let lines = [
        "stauts",
        "frobnicate",
        "status a b",
        "status --colour never",
        "status --color sometimes",
        "status -o jsonpath={..x}",
        "status -o jsonpath",
        "status -o xml",
        "rebalance watch -o jsonpath={.x}",
        "status -A emqx",
        "status -l a=b emqx",
        "status pod/a",
        "status Emqx",
        "status -n UPPER",
        "status --as-group g",
        "status --insecure-skip-tls-verify --certificate-authority ca.crt",
        "status --emqx-insecure --emqx-ca ca.crt",
        "status --emqx-url localhost:18083",
        "status --emqx-url http://key:secret@localhost",
        "status --emqx-url http://localhost --emqx-ca ca.crt",
        "status -A --emqx-url http://localhost",
        "status --plain --plain",
        "status --request-timeout soon",
        "rebalance plann",
        "rebalance -A list",
        "rebalance plan --sessions 1,2",
        "rebalance plan --counts 1,2,x",
        "rebalance plan --counts -1,2",
        "rebalance plan --counts 1,2 --sessions 1",
        "rebalance plan --counts 5,2 --sessions 5,1",
        "rebalance plan emqx --counts 1,2",
        "rebalance plan --counts 1,2 --emqx-url http://localhost",
        "rebalance plan --counts 1,2 -o name",
        "rebalance plan --conn-evict-rate 0",
        "rebalance plan --conn-evict-rate -5",
        "rebalance plan --rel-conn-threshold 1.0",
        "rebalance plan --rel-conn-threshold 1,1",
        "rebalance plan --abs-conn-threshold 0",
        "rebalance plan --wait-health-check 1.5s",
        "rebalance plan --lb most",
        "rebalance generate --for-operator 2.3",
        "rebalance generate emqx --for-operator 3.0",
        "rebalance generate emqxenterprise/e --for-operator 2.3",
        "rebalance generate emqx --name Evening",
        "rebalance generate emqx --backend emqx",
        "rebalance apply emqx -f x.yaml",
        "rebalance apply -f x.yaml --conn-evict-rate 5",
        "rebalance apply emqx --watch --dry-run client",
        "rebalance apply emqx --watch -o json",
        "rebalance apply emqx -o jsonl",
        "rebalance apply emqx --timeout 5m",
        "rebalance apply emqx --watch --timeout 0",
        "rebalance apply emqx --backend emqx --dry-run server",
        "rebalance apply emqx --skip-check already-runing",
        "rebalance apply emqx --dry-run",
        "rebalance watch -o json",
        "rebalance watch --inline --plain",
        "rebalance watch coordinator/",
        "rebalance watch pod/a",
        "rebalance stop --timeout 0s",
        "rebalance prune -o json",
        "replay",
        "replay x.jsonl -o json",
        "demo --speed 0",
        "demo documented serve",
        "demo serve documented --file x.yaml",
    ];
    let mut all = String::new();
    for line in lines {
        let problem = wrong(line);
        assert_eq!(problem.exit, Exit::Usage, "{line}");
        let hint = problem.hint.clone().unwrap_or_else(|| panic!("{line} has no hint: {problem:?}"));
        writeln!(all, "$ {line}\n{problem}\n  {hint}").expect("a string");
    }
    insta::assert_snapshot!(all, @r#"
        $ stauts
        unknown command `stauts`: `kubectl emqx` has no such subcommand
          did you mean kubectl emqx status?
        $ frobnicate
        unknown command `frobnicate`: `kubectl emqx` has no such subcommand
          kubectl emqx --help
        $ status a b
        unexpected argument `b`: `kubectl emqx status` does not take it
          kubectl emqx status --help
        $ status --colour never
        unknown flag --colour: `kubectl emqx status` does not take it
          did you mean --color?
        $ status --color sometimes
        invalid value `sometimes` for --color: it takes one of auto, always, never
          kubectl emqx status --help
        $ status -o jsonpath={..x}
        invalid value `jsonpath={..x}` for --output: `..x` is more than .field, [n], [*], range … end and quoted text
          as in -o jsonpath='{.verdict}{"\n"}'; for more, -o json and jq
        $ status -o jsonpath
        invalid value `jsonpath` for --output: there is no template
          as in -o jsonpath='{.verdict}{"\n"}'; for more, -o json and jq
        $ status -o xml
        invalid value `xml` for --output: it takes one of text, wide, json, yaml, name, jsonpath=…
          did you mean yaml?
        $ rebalance watch -o jsonpath={.x}
        invalid value `jsonpath={.x}` for --output: it takes one of text, jsonl
          did you mean jsonl?
        $ status -A emqx
        -A cannot be combined with a name: a name is one instance in one namespace
          name it alone, as in kubectl emqx status emqx; or leave the name out
        $ status -l a=b emqx
        a selector cannot be combined with a name: a name is one instance in one namespace
          name it alone, as in kubectl emqx status emqx; or leave the name out
        $ status pod/a
        invalid value `pod/a` for NAME: `pod` is not a kind that runs EMQX
          emqx/a or emqxenterprise/a
        $ status Emqx
        invalid value `Emqx` for NAME: names in Kubernetes are lower-case letters, digits, `-` and `.`, at most 253 of them
          kubectl emqx status --help
        $ status -n UPPER
        `UPPER` cannot be a namespace: namespaces are lower-case letters, digits and `-`, at most 63 of them
          kubectl get namespaces
        $ status --as-group g
        --as-group cannot stand alone: a group is impersonated together with a user
          add --as USER
        $ status --insecure-skip-tls-verify --certificate-authority ca.crt
        --insecure-skip-tls-verify and --certificate-authority contradict each other: the first disables verification, the second configures it
          leave one of them out
        $ status --emqx-insecure --emqx-ca ca.crt
        --emqx-insecure and --emqx-ca contradict each other: the first disables the verification of EMQX's certificate, the second configures it
          leave one of them out
        $ status --emqx-url localhost:18083
        invalid value `localhost:18083` for --emqx-url: it does not begin with http:// or https://
          for instance https://emqx.example.com:18084 (EMQX 4: port 8081)
        $ status --emqx-url http://key:secret@localhost
        invalid value `(a URL with a secret)` for --emqx-url: a secret in a URL can be read by every user of this machine
          put key:secret into a file and pass it with --api-key-file
        $ status --emqx-url http://localhost --emqx-ca ca.crt
        --emqx-ca is of no use: --emqx-url begins with http://, where nothing is verified
          use https://
        $ status -A --emqx-url http://localhost
        --emqx-url does not fit to several clusters: one URL is the address of one EMQX
          name one instance
        $ status --plain --plain
        invalid combination for --plain: it is given twice
          kubectl emqx status --help
        $ status --request-timeout soon
        invalid value `soon` for --request-timeout: a duration is a number with a unit: ms, s, m, h or d
          for instance 90s, 5m or 1h30m
        $ rebalance plann
        unknown command `plann`: `kubectl emqx rebalance` has no such subcommand
          did you mean kubectl emqx rebalance plan?
        $ rebalance -A list
        a flag stands before the subcommand: flags between `rebalance` and its subcommand belong to `rebalance list`
          put it after the subcommand, as in kubectl emqx rebalance list -A
        $ rebalance plan --sessions 1,2
        --sessions needs --counts: from a cluster the sessions are read, not given
          kubectl emqx rebalance plan --counts N,N,… --sessions N,N,…
        $ rebalance plan --counts 1,2,x
        invalid value `1,2,x` for --counts: number 3 of the list is `x`, not a count
          one whole number per node, with commas between: 3333,3333,3334,0
        $ rebalance plan --counts -1,2
        invalid value `-1,2` for --counts: number 1 of the list is `-1`, not a count
          one whole number per node, with commas between: 3333,3333,3334,0
        $ rebalance plan --counts 1,2 --sessions 1
        --counts and --sessions are of different length: 2 nodes in --counts, 1 in --sessions
          one number per node in each, in the same order
        $ rebalance plan --counts 5,2 --sessions 5,1
        --sessions holds less than --counts: node-2 has 2 connections but 1 sessions, and every client has a session
          sessions count all of a node's sessions, with and without a client
        $ rebalance plan emqx --counts 1,2
        --counts cannot be combined with a name: the numbers come either from a cluster or from you
          leave one of them out
        $ rebalance plan --counts 1,2 --emqx-url http://localhost
        the flags for EMQX's own API do not fit here: nothing is asked of a real EMQX
          leave them out
        $ rebalance plan --counts 1,2 -o name
        -o name cannot be combined with --counts: plain numbers have no name
          use -o json
        $ rebalance plan --conn-evict-rate 0
        invalid value `0` for --conn-evict-rate: a rate is a whole number of clients per second, at least 1
          for instance 500
        $ rebalance plan --conn-evict-rate -5
        invalid value `-5` for --conn-evict-rate: a rate is a whole number of clients per second, at least 1
          for instance 500
        $ rebalance plan --rel-conn-threshold 1.0
        invalid value `1.0` for --rel-conn-threshold: EMQX takes only factors above 1.0: donors always hold more than recipients
          for instance 1.1
        $ rebalance plan --rel-conn-threshold 1,1
        invalid value `1,1` for --rel-conn-threshold: the decimal mark is a dot
          use a dot: 1.1
        $ rebalance plan --abs-conn-threshold 0
        invalid value `0` for --abs-conn-threshold: an absolute threshold is a whole number of clients, at least 1
          for instance 1000
        $ rebalance plan --wait-health-check 1.5s
        invalid value `1.5s` for --wait-health-check: EMQX counts whole seconds
          for instance 60, 60s or 1m
        $ rebalance plan --lb most
        invalid value `most` for --lb: it takes one of even, least, one
          kubectl emqx rebalance plan --help
        $ rebalance generate --for-operator 2.3
        --for-operator needs a NAME: no cluster is asked, so the instance cannot be found
          kubectl emqx rebalance generate NAME --for-operator 2.3
        $ rebalance generate emqx --for-operator 3.0
        invalid value `3.0` for --for-operator: it takes one of 2.2, 2.3
          kubectl emqx rebalance generate --help
        $ rebalance generate emqxenterprise/e --for-operator 2.3
        operator 2.3 has no EmqxEnterprise: its only kind is EMQX
          kubectl emqx rebalance generate emqx/e --for-operator 2.3
        $ rebalance generate emqx --name Evening
        invalid value `Evening` for --name: names in Kubernetes are lower-case letters, digits, `-` and `.`, at most 253 of them
          kubectl emqx rebalance generate --help
        $ rebalance generate emqx --backend emqx
        there is no manifest for --backend emqx: the rebalance is started through EMQX's own API, without an object
          kubectl emqx rebalance apply --backend emqx
        $ rebalance apply emqx -f x.yaml
        -f cannot be combined with a name: the manifest names its instance itself
          leave out either -f or emqx
        $ rebalance apply -f x.yaml --conn-evict-rate 5
        -f cannot be combined with rates, waits and thresholds: the manifest holds them itself
          change the manifest, or apply by name with the flags
        $ rebalance apply emqx --watch --dry-run client
        --watch cannot be combined with --dry-run: a try starts nothing to follow
          leave one of them out
        $ rebalance apply emqx --watch -o json
        with --watch the output is a stream: one document could not be printed before the end
          use -o jsonl, a JSON document per line
        $ rebalance apply emqx -o jsonl
        -o jsonl needs --watch: without it there is one document
          add --watch, or use -o json
        $ rebalance apply emqx --timeout 5m
        --timeout needs --watch: without it nothing is followed
          add --watch to --timeout
        $ rebalance apply emqx --watch --timeout 0
        invalid value `0` for --timeout: with no time at all it would end before it began
          leave --timeout out; for instance 90s, 5m or 1h30m
        $ rebalance apply emqx --backend emqx --dry-run server
        --dry-run=server cannot be combined with --backend emqx: EMQX's own API cannot only try
          use --dry-run=client
        $ rebalance apply emqx --skip-check already-runing
        there is no check `already-runing`: it could not be skipped
          did you mean already-running?
        $ rebalance apply emqx --dry-run
        --dry-run needs a value: it takes one of none, client, server
          kubectl emqx rebalance apply --help
        $ rebalance watch -o json
        `rebalance watch` has no -o json: a stream of events cannot be one document
          use -o jsonl, a JSON document per line
        $ rebalance watch --inline --plain
        --inline and --plain contradict each other: one redraws a few lines in place, the other never does
          leave one of them out
        $ rebalance watch coordinator/
        invalid value `coordinator/` for NAME: `coordinator/` is followed by the name of an EMQX node
          coordinator/emqx@HOST, as `kubectl emqx rebalance list` shows it
        $ rebalance watch pod/a
        invalid value `pod/a` for NAME: `pod` is neither a Rebalance nor a kind that runs EMQX
          rebalance/a, emqx/a, emqxenterprise/a or coordinator/NODE
        $ rebalance stop --timeout 0s
        invalid value `0s` for --timeout: with no time at all it would end before it began
          leave --timeout out; for instance 90s, 5m or 1h30m
        $ rebalance prune -o json
        `rebalance prune` has only -o text and -o name: it prints what it deleted
          use -o name
        $ replay
        FILE is missing: `kubectl emqx replay` needs it
          kubectl emqx replay --help
        $ replay x.jsonl -o json
        `replay` has no -o json: a stream of events cannot be one document
          use -o jsonl, a JSON document per line
        $ demo --speed 0
        invalid value `0` for --speed: a speed is a number above 0, up to 10000
          for instance 20
        $ demo documented serve
        the scenario stands before `serve`: it belongs behind it
          kubectl emqx demo serve documented
        $ demo serve documented --file x.yaml
        --file cannot be combined with a scenario's name: one cluster plays one scenario
          leave out either --file or documented
    "#);
}

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
