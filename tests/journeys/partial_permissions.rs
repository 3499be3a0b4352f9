//! Users who may read only a part, and calls that reach no cluster: less output, never a wrong one, and one
//! notice.

use serde_json::Value;

use crate::harness::{Cluster, DOCUMENTED, Ran, SLOW, alone};

/// stderr has this text exactly once.
#[track_caller]
fn once(ran: &Ran, text: &str) {
    assert_eq!(ran.err.matches(text).count(), 1, "{text}\n{ran}");
}

#[test]
fn each_missing_right_makes_a_read_poorer_and_is_named_once() {
    let demo = Cluster::demo("documented", 40);
    for (context, source, resource) in [
        ("viewer", "emqx", "secrets"),
        ("no-secrets", "emqx", "secrets"),
        ("no-endpoints", "endpoints", "endpointslices"),
        ("no-pods", "pods", "pods"),
    ] {
        let ran = demo.run(&format!("status -o json --context {context}")).exits(0);
        let status = ran.json();
        assert_eq!(status["sources"][source]["state"], "forbidden", "{context}\n{ran}");
        if source != "pods" {
            // The pods' sets are still read.
            assert_eq!(status["sources"][source]["ageSeconds"], Value::Null, "{context}");
        }
        let notices: Vec<&str> = ran.err.lines().filter(|line| line.starts_with("notice: ")).collect();
        assert!(notices.iter().any(|line| line.contains(resource)), "{context}\n{ran}");
        let mut apart = notices.clone();
        apart.dedup();
        assert_eq!(apart, notices, "{context}: reported twice");
        for verb in ["status", "version", "rebalance", "nodes -A"] {
            demo.run(&format!("{verb} --context {context}")).exits(0).never_reports("panicked");
        }
    }
    let status = |context: &str| demo.run(&format!("status -o json --context {context}")).json();
    // Without EMQX the counts are the operator's copy; without endpoints it is unknown which nodes serve.
    assert_eq!(status("viewer")["nodes"][0]["connections"], 3333);
    assert_eq!(status("viewer")["nodes"][0]["source"], "kubernetes");
    assert_eq!(status("no-endpoints")["nodes"][0]["serving"], Value::Null);
    assert_eq!(status("no-endpoints")["totals"]["serving"], Value::Null);
    assert_eq!(status("no-endpoints")["nodes"][0]["connections"], 3333);
    assert_eq!(status("no-pods")["nodes"][0]["ready"], Value::Null);
    let ran = demo.run("nodes --context no-endpoints").exits(0).shows("?");
    once(&ran, "notice: ");
}

#[test]
fn a_user_without_permissions_sees_nothing_and_gets_the_reason() {
    let demo = Cluster::demo("documented", 40);
    for verb in [
        "status",
        "status emqx",
        "nodes",
        "rebalance list",
        "rebalance plan",
        "rebalance apply --yes",
        "rebalance watch",
        "rebalance stop --yes",
        "rebalance prune --yes",
    ] {
        let ran = demo.run(&format!("{verb} --context nobody")).exits(1);
        assert_eq!(ran.out, "", "{verb}\n{ran}");
        assert!(ran.err.contains("forbidden") || ran.err.contains("may not"), "{verb}\n{ran}");
        assert!(ran.err.contains("emqxes"), "the resource is named: {verb}\n{ran}");
    }
}

#[test]
fn who_may_not_create_is_refused_before_anything_is_done() {
    let demo = Cluster::demo("documented", 40);
    let ran = demo.run(&format!("rebalance apply --yes {DOCUMENTED} --context viewer"));
    assert!([Some(1), Some(6)].contains(&ran.code), "{ran}");
    assert!(ran.err.contains("create") && ran.err.contains("rebalances"), "{ran}");
    assert_eq!(demo.rebalances(), []);
    let plan = demo.run(&format!("rebalance plan -o json {DOCUMENTED} --context viewer"));
    let findings = plan.json()["findings"].clone();
    assert!(findings.to_string().contains("no-permission"), "{plan}");
    assert_eq!(plan.code, Some(6));
    // A viewer sees a running rebalance and cannot stop it.
    let name = demo.running(SLOW);
    demo.run("rebalance list --context viewer").exits(0).shows(&name);
    let ran = demo.run(&format!("rebalance stop {name} --yes --context viewer"));
    assert!([Some(1), Some(6)].contains(&ran.code), "{ran}");
    assert_eq!(demo.rebalances().len(), 1);
    assert_eq!(demo.run("status -o json").json()["operation"], "rebalance");
}

#[test]
fn a_token_is_not_sent_over_plain_http_and_never_printed() {
    let demo = Cluster::demo("documented", 40);
    let ran = demo.run("status --token nobody-knows").exits(0);
    assert!(ran.err.contains("no credentials are sent to http://"), "{ran}");
    assert!(!ran.err.contains("nobody-knows") && !ran.out.contains("nobody-knows"), "{ran}");
}

#[test]
fn a_kubeconfig_that_is_missing_broken_or_leads_nowhere_is_explained() {
    let demo = Cluster::demo("documented", 40);
    let broken = demo.file("broken", "clusters: [}");
    let empty = demo.file("empty", "");
    let binary = demo.file("binary", "\u{0}\u{1}\u{1b}[31m");
    let gone = "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n\
                clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: [{name: a, user: {}}]\n";
    let gone = demo.file("gone", gone);
    demo.run("status --context no-such").fails(1).reports("no-such");
    demo.run("status --cluster no-such").fails(1).reports("no-such");
    demo.run("status --user no-such").fails(1).reports("no-such");
    demo.run("status --kubeconfig /nowhere/config").fails(1).reports("/nowhere/config");
    for path in [&broken, &empty, &binary] {
        let ran = demo.run(&format!("status --kubeconfig {path}")).fails(1);
        crate::harness::harmless(&ran.err);
    }
    for verb in ["status", "rebalance list", "rebalance apply --yes", "rebalance stop --yes", "version"] {
        let ran = demo.run(&format!("{verb} --kubeconfig {gone}")).fails(1);
        assert!(ran.err.contains("127.0.0.1:1"), "{ran}");
    }
    // None at all.
    alone("status").fails(1);
    // The flags have precedence over the file.
    let url = &demo.url;
    demo.run(&format!("status -n mq --kubeconfig {gone} --server {url}")).exits(0);
}

#[test]
fn a_server_that_does_not_answer_is_given_up_after_the_timeout() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let began = std::time::Instant::now();
    let ran = alone(&format!("status -n mq --server http://127.0.0.1:{port} --request-timeout 1s"));
    ran.fails(1);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[test]
fn an_empty_namespace_is_reported_with_where_to_look() {
    let demo = Cluster::demo("documented", 40);
    demo.run("status -n other").fails(1).reports("other").reports("-A");
    demo.run("status no-such").fails(1).reports("no-such").reports("emqx");
    demo.run("rebalance list -n other").exits(0);
    demo.run("status -A -n other").exits(0).shows("emqx");
}

#[test]
fn emqx_can_be_asked_at_a_url_with_a_key_of_ones_own() {
    let demo = Cluster::faulty("documented", 20.0);
    let inside = demo.parts();
    let url = &inside.emqx_url;
    let file = |name: &str, key: &emqx_sim::emqx::SimulatedKey| {
        demo.file(name, &format!("{}:{}\nsecond line\n", key.key, key.secret))
    };
    let good = file("good", inside.emqx.key());
    let viewer = file("viewer", inside.emqx.viewer_key());
    let wrong = demo.file("wrong", "key:not-the-secret");
    let bad = demo.file("bad", "no colon");
    let status = |flags: &str| demo.run(&format!("status -o json --emqx-url {url} {flags}")).exits(0);
    // A Kubernetes viewer with a key for EMQX sees everything.
    let ran = status(&format!("--api-key-file {good} --context viewer"));
    assert_eq!(ran.json()["sources"]["emqx"]["state"], "ok", "{ran}");
    assert_eq!(ran.json()["nodes"][0]["source"], "emqx");
    let ran = status(&format!("--api-key-file {wrong}"));
    assert_eq!(ran.json()["sources"]["emqx"]["state"], "forbidden", "{ran}");
    assert!(!ran.err.contains("not-the-secret"), "{ran}");
    for path in [bad.as_str(), "/nowhere/key"] {
        let ran = demo.run(&format!("status -o json --emqx-url {url} --api-key-file {path}"));
        assert!(ran.code == Some(1) || ran.json()["sources"]["emqx"]["state"] != "ok", "{ran}");
        assert!(ran.err.contains(path), "the file is named\n{ran}");
    }
    demo.run("status --emqx-url ftp://a").fails(2);
    demo.run("status --emqx-url http://a:b@c").fails(2);
    // A viewer's key can read, and is refused where it would change something.
    let flags = format!("--emqx-url {url} --api-key-file {viewer}");
    assert_eq!(status(&format!("--api-key-file {viewer}")).json()["sources"]["emqx"]["state"], "ok");
    let ran = demo.run(&format!("rebalance apply --yes --backend emqx {SLOW} {flags}")).fails(1);
    assert!(ran.err.contains("viewer") || ran.err.contains("role") || ran.err.contains("read"), "{ran}");
    assert_eq!(demo.run("status -o json").json()["operation"], "none");
    let name = demo.running(SLOW);
    let ran = demo.run(&format!("rebalance stop {name} --yes {flags}")).fails(1);
    assert!(ran.err.contains("viewer") || ran.err.contains("role") || ran.err.contains("read"), "{ran}");
    assert_eq!(demo.rebalances().len(), 1, "the object is left alone when EMQX was not stopped");
    demo.run(&format!("rebalance stop {name} --yes --emqx-url {url} --api-key-file {good}")).exits(0);
}
