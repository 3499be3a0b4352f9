//! Bad input: what failed, why, and a hint on stderr, the right exit code, and nothing changed.

use emqx_sim::Scenario;
use serde_json::json;

use crate::harness::{Cluster, DOCUMENTED, SLOW, alone, harmless};

#[test]
fn values_that_cannot_be_are_usage_errors() {
    for flags in [
        "--conn-evict-rate 0",
        "--conn-evict-rate -5",
        "--conn-evict-rate ten",
        "--conn-evict-rate 1e3",
        "--conn-evict-rate 99999999999999999999",
        "--sess-evict-rate 0",
        "--rel-conn-threshold 1.0",
        "--rel-conn-threshold 0.9",
        "--rel-conn-threshold 1,1",
        "--rel-conn-threshold x",
        "--rel-sess-threshold 1",
        "--abs-conn-threshold 0",
        "--abs-conn-threshold -1",
        "--wait-health-check -1",
        "--wait-takeover soon",
        "--wait-takeover 1.5s",
        "--reconnect-delay -1",
        "--lb round",
    ] {
        let ran = alone(&format!("rebalance plan --counts 10,0 {flags}")).fails(2);
        harmless(&ran.err);
    }
    for counts in ["1,a", "1,,2", "1;2", "-1,2", "1.5,2", "99999999999999999999,1", ","] {
        alone(&format!("rebalance plan --counts {counts}")).fails(2);
    }
    alone("rebalance plan --counts 1,2,3 --sessions 1,2").fails(2);
    alone("rebalance plan --sessions 1,2").fails(2);
    alone("rebalance plan emqx --counts 1,2").fails(2);
    alone("rebalance plan --counts 10,0 --rel-conn-threshold 1,1").fails(2).reports("1.1");
}

#[test]
fn what_does_not_exist_is_a_usage_error_with_a_way_out() {
    for call in [
        "statsu",
        "rebalance aply",
        "status --outptu json",
        "status -o xml",
        "status a b",
        "status -A name",
        "rebalance watch --timeout 0",
        "rebalance watch -o json",
        "rebalance apply -o jsonl",
        "demo no-such",
        "demo serve --speed 0",
        "demo serve no-such",
        "rebalance apply emqx -f file",
        "replay",
        "status pod/emqx",
        "status ../emqx",
        "--color sometimes status",
        "rebalance stop --timeout 0",
        "replay x -o json",
        "rebalance apply -f - --conn-evict-rate 5",
        "status --request-timeout never",
    ] {
        let ran = alone(call).exits(2);
        assert_eq!(ran.out, "", "{call}\n{ran}");
        assert!(ran.err.starts_with("error: "), "{call}\n{ran}");
        harmless(&ran.err);
    }
    alone("statsu").exits(2).reports("status");
    alone("status -o jsonpath={..x}").exits(2).reports("jq");
}

#[test]
fn names_that_are_not_there_are_errors() {
    let demo = Cluster::demo("documented", 40);
    for verb in ["status", "nodes", "rebalance plan", "rebalance generate", "rebalance apply --yes"] {
        let ran = demo.run(&format!("{verb} no-such")).fails(1);
        assert!(ran.err.contains("there is no EMQX cluster no-such in namespace mq: it has emqx"), "{ran}");
        let ran = demo.run(&format!("{verb} emqxenterprise/emqx")).fails(1);
        assert!(ran.err.contains("no EmqxEnterprise emqx in namespace mq: emqx is an EMQX"), "{ran}");
        assert!(ran.err.contains("hint: name it emqx, or emqx/emqx"), "{ran}");
    }
    demo.run("rebalance stop no-such --yes").fails(1);
    demo.run("rebalance watch rebalance/no-such").fails(1);
    assert_eq!(demo.rebalances(), []);
}

#[test]
fn two_instances_and_no_name_are_a_usage_error() {
    let demo = Cluster::faulty("documented", 20.0);
    let (_, mut other) = demo.api("GET", "/apis/apps.emqx.io/v2beta1/namespaces/mq/emqxes/emqx", "");
    other["metadata"] = json!({"name": "second", "namespace": "mq", "uid": "second"});
    assert!(demo.faults().put_object(other));
    for verb in [
        "status",
        "nodes",
        "rebalance plan",
        "rebalance generate",
        "rebalance apply --yes",
        "rebalance watch",
        "rebalance stop --yes",
    ] {
        let ran = demo.run(verb).fails(2);
        assert!(ran.err.contains("emqx") && ran.err.contains("second"), "{verb}\n{ran}");
    }
    demo.run("status emqx").exits(0);
    demo.run("rebalance list").exits(0);
    let list = demo.run("status -A -o json").exits(0).json();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(demo.rebalances(), []);
}

#[test]
fn manifests_that_are_none_are_refused_and_nothing_is_made() {
    let demo = Cluster::demo("documented", 40);
    let spec = |strategy: &str| {
        format!(
            "apiVersion: apps.emqx.io/v2beta1\nkind: Rebalance\nmetadata: {{name: r}}\nspec: {{instanceName: emqx, \
             instanceKind: EMQX, rebalanceStrategy: {{{strategy}}}}}\n"
        )
    };
    let good = spec("connEvictRate: 10, absConnThreshold: 100");
    let cases = [
        ("not-yaml", "{[".to_owned()),
        ("empty", String::new()),
        ("words", "just words".to_owned()),
        ("list", "- a\n- b\n".to_owned()),
        ("number", "7".to_owned()),
        ("pod", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n".to_owned()),
        ("group", good.replace("apps.emqx.io", "example.com")),
        ("two", format!("{good}---\n{good}")),
        ("no-rate", spec("absConnThreshold: 100")),
        ("rate-0", spec("connEvictRate: 0")),
        ("rate-negative", spec("connEvictRate: -3")),
        ("rate-text", spec("connEvictRate: fast")),
        ("rel", spec("connEvictRate: 10, relConnThreshold: '1.0'")),
        ("rel-comma", spec("connEvictRate: 10, relConnThreshold: '1,1'")),
        ("unknown-field", spec("connEvictRate: 10, connEvictRat: 5")),
        ("no-instance", good.replace("instanceName: emqx,", "")),
        ("other-instance", good.replace("instanceName: emqx", "instanceName: nope")),
        ("bad-name", good.replace("{name: r}", "{name: 'Not A Name'}")),
        ("escape", "kind: \"\\e[31mRebalance\"\napiVersion: apps.emqx.io/v2beta1\n".to_owned()),
        ("deep", "[".repeat(2000)),
        ("long", format!("a: {}", "b".repeat(2 << 20))),
    ];
    for (name, text) in cases {
        let path = demo.file(name, &text);
        let ran = demo.run(&format!("rebalance apply --yes -f {path}"));
        assert!(matches!(ran.code, Some(1 | 2)), "{name}\n{ran}");
        assert_eq!(ran.out, "", "{name}\n{ran}");
        assert!(ran.err.contains("error: ") && ran.err.contains("hint: "), "{name}\n{ran}");
        assert!(ran.err.len() < 3000, "{name}: {} bytes", ran.err.len());
        harmless(&ran.err);
    }
    demo.run("rebalance apply --yes -f /nowhere/file").fails(1).reports("/nowhere/file");
    demo.run(&format!("rebalance apply --yes -f {}", demo.home.display())).fails(1);
    demo.run_with("rebalance apply --yes -f -", "{").fails(1).reports("stdin");
    assert_eq!(demo.rebalances(), []);
    assert_eq!(demo.run("status -o json").json()["operation"], "none");
}

#[test]
fn clusters_in_which_nothing_can_be_rebalanced_say_why() {
    for (name, nodes, codes) in [
        ("one", "- connections: 5000", &[0, 6]),
        ("clientless", "- connections: 0\n- connections: 0", &[0, 0]),
        ("all-stopped", "- stopped: true\n- stopped: true", &[1, 6]),
        ("one-runs", "- connections: 5000\n- stopped: true", &[0, 6]),
    ] {
        let text = format!("name: {name}\napi: v2beta1\nnodes:\n{nodes}\n");
        let demo = Cluster::inside(Scenario::from_yaml(&text).expect("a scenario"), 20.0);
        demo.run("status").exits(0);
        demo.run("nodes -o json").exits(0);
        let ran = demo.run(&format!("rebalance apply --yes {SLOW}"));
        assert!(ran.code.is_some_and(|code| codes.contains(&code)), "{name}\n{ran}");
        assert_eq!(ran.out, "", "{name}\n{ran}");
        let reported = ran.err.contains("hint: ") || ran.err.contains("nothing to do");
        assert!(reported, "{name}\n{ran}");
        assert_eq!(demo.rebalances(), [], "{name}");
    }
}

#[test]
fn without_the_crds_it_reports_that_there_is_no_operator() {
    // An API server without the operator's group: it answers 404 to everything except the version.
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = server.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in server.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut buffer = [0; 8192];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    let (status, body) = match text.split(' ').nth(1) {
                        Some("/version") => {
                            ("200 OK", r#"{"gitVersion":"v1.33.0","major":"1","minor":"33"}"#)
                        }
                        _ => (
                            "404 Not Found",
                            r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"the server could not find the requested resource"}"#,
                        ),
                    };
                    let length = body.len();
                    let _ = write!(
                        stream,
                        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
                    );
                }
            });
        }
    });
    let flags = format!("-n mq --server http://127.0.0.1:{port}");
    for verb in ["status", "nodes", "rebalance plan", "rebalance apply --yes", "rebalance generate"] {
        alone(&format!("{verb} {flags}")).fails(1).reports("apps.emqx.io");
    }
    for verb in ["rebalance list", "status -A", "version"] {
        alone(&format!("{verb} {flags}")).exits(0);
    }
}

#[test]
fn tls_that_does_not_fit_is_explained() {
    let demo = Cluster::demo("documented", 40);
    let https = demo.url.replace("http://", "https://");
    let ran = demo.run(&format!("status -n mq --server {https} --request-timeout 5s")).fails(1);
    assert!(ran.err.contains("does not answer: it does not speak TLS (http instead of https?)"), "{ran}");
    demo.run("status --certificate-authority /nowhere/ca.crt").fails(1).reports("/nowhere/ca.crt");
    demo.run("status --client-certificate /nowhere/a.crt --client-key /nowhere/a.key")
        .fails(1)
        .reports("/nowhere/a.crt cannot be read");
    demo.run(&format!("rebalance apply --yes {DOCUMENTED} --emqx-url https://127.0.0.1:1 --backend emqx"))
        .fails(6)
        .reports("connection refused");
    assert_eq!(demo.rebalances(), []);
}
