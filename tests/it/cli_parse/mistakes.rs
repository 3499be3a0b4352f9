//! Invalid lines, and the command to type instead.

use std::fmt::Write as _;

use kubectl_emqx::error::Exit;

use super::wrong;

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
