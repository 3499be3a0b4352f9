//! The Kubernetes client with API servers that refuse, page, expire and answer nonsense, over real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use kubectl_emqx::error::Exit;
use kubectl_emqx::k8s::{Cluster, Connect};
use kubectl_emqx::model::access::KubernetesFlags;
use kubectl_emqx::model::{InstanceId, InstanceKind, Link, ObjectKind, OperatorLine, Source, Update, World};
use kubectl_emqx::plan::rebalance::manifest;
use kubectl_emqx::ports::{Credentials, Kubernetes, RefreshScope, Scope, ServerDryRun};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An answer: status, extra headers, body; a watch's body ends with its connection.
struct Reply(&'static str, &'static str, String);

type Manner = Arc<dyn Fn(&str, &str) -> Option<Reply> + Send + Sync>;

/// Serves; requests that the closure does not answer are answered as by a small cluster of operator 2.2.
async fn serve(manner: impl Fn(&str, &str) -> Option<Reply> + Send + Sync + 'static) -> Cluster {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = format!("http://{}", listener.local_addr().expect("an address"));
    let manner: Manner = Arc::new(manner);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, manner.clone()));
        }
    });
    let path = std::env::temp_dir().join(format!("kubectl-emqx-empty-{}", std::process::id()));
    std::fs::write(&path, "").expect("it is written");
    let connect = Connect::from(KubernetesFlags {
        kubeconfig: Some(path),
        server: Some(server),
        namespace: Some("mq".to_owned()),
        ..KubernetesFlags::default()
    });
    Cluster::connect(&connect).await.expect("nothing is contacted so far")
}

async fn connection(mut stream: TcpStream, manner: Manner) {
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        while let Some(end) = seen.windows(4).position(|it| it == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).into_owned();
            let length: usize = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ")?.trim().parse().ok()
                })
                .unwrap_or(0);
            if seen.len() < end + 4 + length {
                break;
            }
            seen.drain(..end + 4 + length);
            assert!(head.to_ascii_lowercase().contains("user-agent: kubectl-emqx/"), "{head}");
            let mut words = head.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let watch = path.contains("watch=true");
            let Reply(status, headers, body) = manner(method, path).unwrap_or_else(|| usual(path));
            let length = if watch && status == "200" {
                String::new()
            } else {
                format!("content-length: {}\r\n", body.len())
            };
            let text = format!("HTTP/1.1 {status} X\r\n{headers}{length}\r\n{body}");
            if stream.write_all(text.as_bytes()).await.is_err() || (watch && status == "200") {
                if body.is_empty() {
                    tokio::time::sleep(Duration::from_mins(1)).await;
                }
                return;
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(count) => seen.extend_from_slice(&chunk[..count]),
        }
    }
}

fn ok(body: &Value) -> Reply {
    Reply("200", "", body.to_string())
}

fn refusal(code: &'static str, reason: &str, message: &str) -> Reply {
    let number: u16 = code.parse().expect("a number");
    Reply(
        code,
        "",
        json!({"kind": "Status", "status": "Failure", "code": number, "reason": reason, "message": message})
            .to_string(),
    )
}

fn list(items: &Value) -> Reply {
    ok(&json!({"kind": "List", "metadata": {"resourceVersion": "10"}, "items": items}))
}

fn emqx() -> Value {
    json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "EMQX", "metadata": {"name": "emqx", "namespace": "mq", "uid": "u1"}})
}

fn usual(path: &str) -> Reply {
    let bare = path.split('?').next().unwrap_or_default();
    if path.contains("watch=true") {
        return Reply("200", "", String::new());
    }
    match bare {
        "/version" => Reply(
            "200",
            "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
            json!({"gitVersion": "v1.33.0"}).to_string(),
        ),
        "/apis/apps.emqx.io" => ok(&json!({"versions": [{"version": "v2beta1"}]})),
        "/apis/apps.emqx.io/v2beta1" => {
            ok(&json!({"resources": [{"name": "emqxes"}, {"name": "emqxes/status"}, {"name": "rebalances"}]}))
        }
        "/apis/apps.emqx.io/v2beta1/namespaces/mq/emqxes" => list(&json!([emqx()])),
        _ => list(&json!([])),
    }
}

fn everything() -> Scope {
    Scope { namespace: Some("mq".to_owned()), want: RefreshScope::ALL, ..Scope::default() }
}

#[tokio::test]
async fn the_dates_of_answers_set_the_clock() {
    use kubectl_emqx::ports::Clock;
    let cluster = serve(|_, _| None).await;
    let served = cluster.served().await.expect("it is served");
    assert_eq!((served.operator, served.kubernetes.as_deref()), (OperatorLine::Two2, Some("v1.33.0")));
    assert_eq!(served.version_of("emqxes"), Some("v2beta1"));
    assert!(cluster.clock().now().to_string().starts_with("1994-11-06T08:49:3"));
}

#[tokio::test]
async fn each_forbidden_resource_is_named_with_verb_and_the_rest_is_shown() {
    for (resource, full, source) in [
        ("rebalances", "rebalances.apps.emqx.io", Source::Kubernetes),
        ("pods", "pods", Source::Pods),
        ("statefulsets", "statefulsets.apps", Source::Pods),
        ("replicasets", "replicasets.apps", Source::Pods),
        ("endpointslices", "endpointslices.discovery.k8s.io", Source::Endpoints),
        ("events", "events", Source::Kubernetes),
    ] {
        let cluster = serve(move |_, path| {
            let bare = path.split('?').next().unwrap_or_default();
            bare.ends_with(&format!("/{resource}"))
                .then(|| refusal("403", "Forbidden", "User \"eve\" cannot list"))
        })
        .await;
        let world = World::of(cluster.read(&everything()).await.expect("the rest is read"));
        assert_eq!(world.kubernetes.instances.len(), 1);
        let source = &world.kubernetes.sources[&(source, resource)];
        let expected = format!(
            "cannot list {resource} in namespace mq: User \"eve\" cannot list (needs verb list on {full})"
        );
        assert_eq!(source.link, Link::Forbidden(expected));
    }
}

#[tokio::test]
async fn without_instances_there_is_nothing_to_show() {
    let cluster = serve(|_, path| path.contains("/emqxes").then(|| refusal("403", "Forbidden", "no"))).await;
    let problem = cluster.read(&everything()).await.expect_err("nothing is left");
    assert_eq!(problem.what, "cannot list emqxes in namespace mq");
    assert!(problem.hint.expect("a hint").contains("verb list on emqxes.apps.emqx.io"));

    let cluster = serve(|_, _| Some(refusal("401", "Unauthorized", "Unauthorized"))).await;
    let problem = cluster.read(&everything()).await.expect_err("the user is unknown");
    assert!(problem.why.contains("does not accept these credentials"), "{problem}");

    let cluster = serve(|_, _| Some(Reply("200", "", "<html>".to_owned()))).await;
    assert!(cluster.read(&everything()).await.is_err());

    let cluster =
        serve(|_, path| path.starts_with("/apis/apps.emqx.io").then(|| refusal("404", "NotFound", "no")))
            .await;
    assert_eq!(cluster.served().await.expect("it can be asked").operator, OperatorLine::None);
    let world = World::of(cluster.read(&everything()).await.expect("it can be read"));
    assert!(world.kubernetes.instances.is_empty());
}

#[tokio::test]
async fn forbidden_discovery_means_trying() {
    let cluster = serve(|_, path| match path.split('?').next().unwrap_or_default() {
        "/apis/apps.emqx.io" | "/version" => Some(refusal("403", "Forbidden", "no")),
        bare if bare.contains("/v2/") || bare.contains("v3beta1") || bare.contains("v1beta4") => {
            Some(refusal("404", "NotFound", "no"))
        }
        _ => None,
    })
    .await;
    let world = World::of(cluster.read(&everything()).await.expect("it is read"));
    assert_eq!(world.kubernetes.instances.len(), 1);
    assert_eq!(world.kubernetes.served.operator, OperatorLine::Unknown);
    assert_eq!(world.kubernetes.sources[&(Source::Kubernetes, "emqxes")].link, Link::Up);
    assert!(matches!(
        world.kubernetes.sources[&(Source::Kubernetes, "emqxenterprises")].link,
        Link::Absent(_)
    ));
}

#[tokio::test]
async fn pages_are_joined_and_one_unreadable_object_costs_a_notice() {
    let pod = |name: &str| json!({"metadata": {"name": name, "namespace": "mq", "uid": name}});
    let cluster = serve(move |_, path| {
        if !path.contains("/pods?") {
            return None;
        }
        assert!(path.contains("limit=1500") && path.contains("managed-by%3Demqx-operator"), "{path}");
        Some(if path.contains("continue=a%2Fb") {
            list(&json!([pod("p2"), {"metadata": {}}]))
        } else {
            ok(&json!({"metadata": {"continue": "a/b"}, "items": [pod("p1")]}))
        })
    })
    .await;
    let facts = cluster.read(&everything()).await.expect("it is read");
    let unreadable = facts.iter().filter(|fact| matches!(fact.update, Update::Unreadable(_))).count();
    let world = World::of(facts);
    assert_eq!((world.kubernetes.pods.len(), unreadable), (2, 1));
}

#[tokio::test]
async fn a_thousand_pods_need_no_more_requests_than_three() {
    let requests = async |pods: usize| {
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = asked.clone();
        let cluster = serve(move |_, path| {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let number = |key: &str| -> Option<usize> {
                let text = path.split(['?', '&']).find_map(|it| it.strip_prefix(key))?;
                text.parse().ok()
            };
            // As an API server pages.
            let (from, limit) = (number("continue=").unwrap_or(0), number("limit=").unwrap_or(pods));
            let to = pods.min(from + limit);
            let pod = |number: usize| {
                let name = format!("p{number}");
                json!({"metadata": {"name": name, "namespace": "mq", "uid": name}})
            };
            let items: Vec<Value> = (from..to).map(pod).collect();
            let next = if to < pods { to.to_string() } else { String::new() };
            path.contains("/pods?").then(|| ok(&json!({"metadata": {"continue": next}, "items": items})))
        })
        .await;
        let world = World::of(cluster.read(&everything()).await.expect("it is read"));
        assert_eq!(world.kubernetes.pods.len(), pods);
        asked.load(std::sync::atomic::Ordering::Relaxed)
    };
    assert_eq!(requests(1003).await, requests(3).await);
}

#[tokio::test]
async fn a_rebalance_served_in_v1beta4_alone_is_read_made_and_deleted_there() {
    let object = |spec: &Value| {
        json!({"apiVersion": "apps.emqx.io/v1beta4", "kind": "Rebalance", "spec": spec,
            "metadata": {"name": "r", "namespace": "mq", "uid": "r"}})
    };
    let stored = object(&json!({"instanceName": "ee", "rebalanceStrategy": {"connEvictRate": 10}}));
    let answered = stored.clone();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let received = asked.clone();
    let cluster = serve(move |method, path| {
        let bare = path.split('?').next().unwrap_or_default();
        if bare.contains("/rebalances") {
            received.lock().expect("a lock").push(format!("{method} {bare}"));
        }
        Some(match bare {
            "/apis/apps.emqx.io" => ok(&json!({"versions": [{"version": "v1beta4"}]})),
            "/apis/apps.emqx.io/v1beta4" => {
                ok(&json!({"resources": [{"name": "emqxenterprises"}, {"name": "rebalances"}]}))
            }
            "/apis/apps.emqx.io/v1beta4/namespaces/mq/emqxenterprises" => list(&json!([{
                "apiVersion": "apps.emqx.io/v1beta4", "kind": "EmqxEnterprise",
                "metadata": {"name": "ee", "namespace": "mq", "uid": "e"}}])),
            "/apis/apps.emqx.io/v1beta4/namespaces/mq/rebalances" if method == "GET" => {
                list(&json!([answered.clone()]))
            }
            it if it.starts_with("/apis/apps.emqx.io/v1beta4/namespaces/mq/rebalances") => ok(&answered),
            it if it.contains("/rebalances") => refusal("404", "NotFound", "not in this version"),
            _ => return None,
        })
    })
    .await;
    let served = cluster.served().await.expect("it is served");
    assert_eq!(served.version_of("rebalances"), Some("v1beta4"));
    let world = World::of(cluster.read(&everything()).await.expect("it is read"));
    let id = world.ids().first().expect("an instance").clone();
    assert_eq!(id.kind, InstanceKind::EmqxEnterprise);
    let [seen] = world.rebalances_of(&id)[..] else { panic!("it is that instance's") };
    let rebalance = seen.value.clone();
    let strategy = rebalance.strategy.clone();
    let manifest = manifest::manifest(&id, "r", &strategy, served.operator).expect("a manifest");
    let manifest = manifest::served_as(manifest, &served);
    assert_eq!(
        (&manifest["apiVersion"], &manifest["spec"]["instanceKind"]),
        (&stored["apiVersion"], &Value::Null)
    );
    cluster.create_rebalance(&manifest, ServerDryRun::No).await.expect("it is made");
    assert!(cluster.delete_rebalance(&rebalance, ServerDryRun::No).await.expect("it is deleted"));
    let asked = asked.lock().expect("a lock").join("\n");
    let root = "/apis/apps.emqx.io/v1beta4/namespaces/mq/rebalances";
    assert_eq!(asked, format!("GET {root}\nPOST {root}\nDELETE {root}/r"));
}

#[tokio::test]
async fn a_list_whose_pages_expired_begins_again_in_one_piece() {
    let pod = |name: &str| json!({"metadata": {"name": name, "namespace": "mq", "uid": name}});
    let cluster = serve(move |_, path| {
        if !path.contains("/pods?") {
            return None;
        }
        Some(if path.contains("continue=") {
            let gone = json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired"});
            Reply("410", "", gone.to_string())
        } else if path.contains("limit=") {
            ok(&json!({"metadata": {"continue": "a"}, "items": [pod("p1"), pod("gone")]}))
        } else {
            ok(&json!({"metadata": {}, "items": [pod("p1"), pod("p2")]}))
        })
    })
    .await;
    let world = World::of(cluster.read(&everything()).await.expect("it is read"));
    let names: Vec<&str> = world.kubernetes.pods.keys().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["p1", "p2"], "what went between the pages is gone");
}

#[tokio::test]
async fn an_expired_watch_lists_again_and_reports_deletions() {
    let lists = Arc::new(AtomicUsize::new(0));
    let counted = lists.clone();
    let cluster = serve(move |_, path| {
        if !path.contains("/rebalances?") {
            return None;
        }
        let rebalance = |name: &str| {
            json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance",
            "metadata": {"name": name, "namespace": "mq", "uid": name, "resourceVersion": "11"}})
        };
        if path.contains("watch=true") {
            let added = json!({"type": "ADDED", "object": rebalance("r2")});
            let expired =
                json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}});
            return match counted.load(Ordering::SeqCst) {
                1 => Some(Reply("200", "", format!("{added}\n{expired}\n"))),
                _ => None,
            };
        }
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        Some(list(&if first { json!([rebalance("r1")]) } else { json!([rebalance("r2")]) }))
    })
    .await;
    let scope = Scope {
        namespace: Some("mq".to_owned()),
        want: RefreshScope { rebalances: true, ..RefreshScope::default() },
        ..Scope::default()
    };
    let mut stream = cluster.follow(&scope);
    let mut onlys = Vec::new();
    let mut world = World::new();
    while onlys.len() < 2 {
        let fact = tokio::time::timeout(Duration::from_secs(5), stream.next())
            .await
            .expect("soon")
            .expect("it continues");
        if let Update::Listed(kind, uids) = &fact.update {
            onlys.push((*kind, uids.clone()));
        }
        world.apply(fact);
    }
    let only = |name: &str| (ObjectKind::Rebalance, vec![name.to_owned()]);
    assert_eq!(onlys, [only("r1"), only("r2")]);
    assert_eq!(world.kubernetes.rebalances.len(), 1);
    assert_eq!(world.kubernetes.departed.len(), 1);
    assert_eq!(lists.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_follower_that_may_not_list_reports_it_and_shows_the_rest() {
    let cluster = serve(|_, path| path.contains("/pods").then(|| refusal("403", "Forbidden", "no"))).await;
    let mut stream = cluster.follow(&everything());
    let mut world = World::new();
    while world.kubernetes.instances.is_empty()
        || !world.kubernetes.sources.contains_key(&(Source::Pods, "pods"))
    {
        world.apply(
            tokio::time::timeout(Duration::from_secs(5), stream.next())
                .await
                .expect("soon")
                .expect("it continues"),
        );
    }
    assert!(matches!(world.kubernetes.sources[&(Source::Pods, "pods")].link, Link::Forbidden(_)));
}

#[tokio::test]
async fn warnings_and_refusals_of_a_create_are_carried() {
    let manifest = json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "Rebalance", "metadata": {"name": "r", "namespace": "mq"}});
    let echo = manifest.to_string();
    let cluster = serve(move |method, path| {
        (method == "POST").then(|| {
            assert!(path.ends_with("?fieldManager=kubectl-emqx&fieldValidation=Strict&dryRun=All"), "{path}");
            Reply("201", "warning: 299 - \"unknown field \\\"spec.x\\\"\"\r\n", echo.clone())
        })
    })
    .await;
    let created = cluster.create_rebalance(&manifest, ServerDryRun::Server).await.expect("it is valid");
    assert_eq!(created.warnings, ["unknown field \"spec.x\""]);

    let denied =
        "admission webhook denied: the field \".spec.rebalanceStrategy.relConnThreshold\" must be float64";
    let cluster = serve(move |method, _| (method == "POST").then(|| refusal("422", "Invalid", denied))).await;
    let problem = cluster.create_rebalance(&manifest, ServerDryRun::No).await.expect_err("it is denied");
    assert_eq!(problem.why, denied);
    let cluster = serve(|method, _| (method == "POST").then(|| refusal("403", "Forbidden", "no"))).await;
    let problem = cluster.create_rebalance(&manifest, ServerDryRun::No).await.expect_err("it is forbidden");
    assert!(problem.hint.expect("a hint").contains("verb create on rebalances.apps.emqx.io"));
}

#[tokio::test]
async fn a_key_that_may_not_be_read_names_the_other_way() {
    let id = InstanceId { kind: InstanceKind::Emqx, namespace: "mq".to_owned(), name: "emqx".to_owned() };
    for (reply, expected) in [("403", "verb get on secrets"), ("404", "is the operator running")] {
        let cluster = serve(move |_, path| {
            path.contains("/secrets/emqx-bootstrap-api-key").then(|| refusal(reply, "No", "no"))
        })
        .await;
        let problem = cluster.key(&id, false).await.err().expect("it cannot be read");
        let hint = problem.hint.expect("a hint");
        assert!(hint.contains(expected) && hint.contains("--api-key-file"), "{hint}");
    }
    // `emqx-operator-controller:s`
    let cluster = serve(|_, path| {
        path.contains("/secrets/")
            .then(|| ok(&json!({"data": {"bootstrap_api_key": "ZW1xeC1vcGVyYXRvci1jb250cm9sbGVyOnM="}})))
    })
    .await;
    assert_eq!(cluster.key(&id, false).await.expect("it is read").secret, "s");
}

#[tokio::test]
async fn a_change_waits_for_a_busy_server_and_reports_what_is_unknown() {
    let change = json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "EMQX",
        "metadata": {"name": "emqx", "namespace": "mq"}, "spec": {"image": "emqx:2"}});
    let path = "/apis/apps.emqx.io/v2beta1/namespaces/mq/emqxes/emqx";
    let patches = Arc::new(AtomicUsize::new(0));
    let counted = patches.clone();
    let cluster = serve(move |method, at| match method {
        "GET" if at == path => Some(ok(&emqx())),
        "PATCH" => {
            assert_eq!(
                at,
                format!("{path}?fieldManager=kubectl-emqx&fieldValidation=Strict&force=true&dryRun=All")
            );
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                return Some(Reply("429", "retry-after: 1\r\n", String::new()));
            }
            Some(Reply("200", "warning: 299 - \"unknown field\"\r\n", emqx().to_string()))
        }
        _ => None,
    })
    .await;
    let applied =
        cluster.apply_instance(&change, true, ServerDryRun::Server).await.expect("at the second try");
    assert_eq!((applied.object, applied.warnings), (emqx(), vec!["unknown field".to_owned()]));
    assert_eq!(patches.load(Ordering::SeqCst), 2);

    let reported = async |code: &'static str, reason: &'static str, message: &'static str| {
        let cluster = serve(move |method, at| match method {
            "GET" if at == path => Some(ok(&emqx())),
            "PATCH" => Some(refusal(code, reason, message)),
            _ => None,
        })
        .await;
        cluster.apply_instance(&change, false, ServerDryRun::No).await.expect_err("it is refused")
    };
    let problem = reported("404", "NotFound", "emqxes \"emqx\" not found").await;
    assert_eq!(problem.why, "it does not exist any more", "it went between two requests");
    let problem = reported("409", "Conflict", "Operation cannot be fulfilled").await;
    assert_eq!(
        (problem.exit, problem.why.as_str()),
        (Exit::Error, "it was changed or created again in the meantime")
    );
    assert!(problem.hint.is_some_and(|hint| hint.contains("kubectl emqx status emqx")));
    let problem = reported("503", "ServiceUnavailable", "etcdserver: leader changed").await;
    assert_eq!(problem.why, "the API server answered 503: etcdserver: leader changed");
}
