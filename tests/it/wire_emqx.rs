//! The EMQX client with servers that behave badly, over real sockets.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use kubectl_emqx::emqx::{EmqxBrokers, KeyFile};
use kubectl_emqx::error::Problem;
use kubectl_emqx::model::{
    ApiPort, BrokerState, BrokerUpdate, Fact, InstanceId, InstanceKind, Link, PodName, Target, Update, World,
};
use kubectl_emqx::ports::{ApiKey, BoxedFuture, Broker, Brokers, Bytes, Clock, Credentials, Tunnel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

mod addresses;
mod orders;
mod pods;

const NODES: &str = r#"[{"node":"emqx@a","node_status":"running","connections":5,"live_connections":3}]"#;
const IDLE: &str = r#"{"evacuations":[],"rebalances":[],"purges":[]}"#;

/// The reaction of a server to a request line.
type Manner = Arc<dyn Fn(&str) -> Reply + Send + Sync>;

enum Reply {
    /// Sends these bytes and keeps the connection.
    Send(Vec<u8>),
    /// Sends these bytes and closes the connection.
    Last(Vec<u8>),
    /// Never answers.
    Silence,
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A well-behaved EMQX 5.
fn good(line: &str) -> Reply {
    Reply::Send(http("200 OK", if line.contains("global_status") { IDLE } else { NODES }))
}

/// Serves on a port of its own; counts connections.
async fn serve(manner: impl Fn(&str) -> Reply + Send + Sync + 'static) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let manner: Manner = Arc::new(manner);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(connection(stream, manner.clone()));
        }
    });
    (port, connections)
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
            match manner(&head) {
                Reply::Send(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Reply::Last(bytes) => {
                    let _ = stream.write_all(&bytes).await;
                    return;
                }
                Reply::Silence => std::future::pending().await,
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(count) => seen.extend_from_slice(&chunk[..count]),
        }
    }
}

/// Pods are ports of this machine.
#[derive(Default)]
struct Pods {
    ports: BTreeMap<String, u16>,
    opened: RefCell<Vec<String>>,
}

impl Tunnel for Pods {
    fn open<'a>(
        &'a self,
        _namespace: &'a str,
        pod: &'a PodName,
        _port: u16,
    ) -> BoxedFuture<'a, Box<dyn Bytes>> {
        Box::pin(async move {
            self.opened.borrow_mut().push(pod.as_str().to_owned());
            let port = self
                .ports
                .get(pod.as_str())
                .copied()
                .ok_or_else(|| Problem::new("cannot reach pod", "it is gone"))?;
            let stream = TcpStream::connect(("127.0.0.1", port)).await;
            let stream = stream.map_err(|error| Problem::new("cannot reach pod", error.to_string()))?;
            Ok(Box::new(stream) as Box<dyn Bytes>)
        })
    }
}

struct Key(Result<(), Problem>);

impl Credentials for Key {
    fn key<'a>(&'a self, _instance: &'a InstanceId, _v4: bool) -> BoxedFuture<'a, ApiKey> {
        let key = self.0.clone().map(|()| ApiKey { key: "k".to_owned(), secret: "hunter2".to_owned() });
        Box::pin(std::future::ready(key))
    }
}

struct Local;

impl Clock for Local {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn speed(&self) -> f64 {
        1.0
    }
}

fn id() -> InstanceId {
    InstanceId { kind: InstanceKind::Emqx, namespace: "mq".to_owned(), name: "emqx".to_owned() }
}

/// What the facts of one round report of EMQX.
fn emqx(facts: Vec<Fact>) -> BrokerState {
    World::of(facts).broker(&id()).clone()
}

fn target(pods: &[&str], v4: bool) -> Target {
    Target {
        instance: id(),
        pods: pods.iter().map(|pod| PodName::from(*pod)).collect(),
        addressed: BTreeMap::new(),
        hidden: None,
        port: ApiPort { port: 18083, tls: false },
        v4,
    }
}

/// A broker with a short time limit for a silent EMQX.
fn broker(ports: &[(&str, u16)]) -> (Rc<dyn Broker>, Rc<Pods>) {
    patient(ports, Duration::from_millis(500))
}

fn patient(ports: &[(&str, u16)], time_limit: Duration) -> (Rc<dyn Broker>, Rc<Pods>) {
    let pods: Vec<&str> = ports.iter().map(|(pod, _)| *pod).collect();
    let open =
        ports.iter().filter(|(_, port)| *port != 0).map(|(pod, port)| ((*pod).to_owned(), *port)).collect();
    let tunnel = Rc::new(Pods { ports: open, opened: RefCell::default() });
    let brokers = EmqxBrokers::through(tunnel.clone(), Rc::new(Key(Ok(()))), Rc::new(Local), None, false)
        .with_time_limit(time_limit);
    (brokers.broker(target(&pods, false)), tunnel)
}

async fn read(port: u16) -> Vec<Fact> {
    // Fifty megabytes take time on a busy machine.
    patient(&[("a", port)], Duration::from_mins(1)).0.read().await.expect("never fails")
}

fn reported(facts: &[Fact]) -> String {
    let texts = facts.iter().filter_map(|fact| match &fact.update {
        Update::Broker(
            _,
            BrokerUpdate::Link(_, Link::Unreachable(why) | Link::Forbidden(why) | Link::Absent(why)),
        ) => Some(why.clone()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn two_requests_go_over_one_connection_with_the_key() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heads = seen.clone();
    let (port, connections) = serve(move |head| {
        heads.lock().expect("no panic").push(head.to_ascii_lowercase());
        good(head)
    })
    .await;
    let (broker, _) = broker(&[("a", port)]);
    for _ in 0..3 {
        let emqx = emqx(broker.read().await.expect("never fails"));
        assert_eq!(emqx.listed()[0].connections, Some(3));
        assert!(emqx.load.is_some());
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    let heads = seen.lock().expect("no panic");
    assert_eq!(heads.len(), 6);
    assert!(heads.iter().all(|head| head.contains("authorization: basic azpodw50zxiy")), "{heads:?}");
    assert!(heads.iter().all(|head| head.contains("content-type: application/json")));
}

#[tokio::test]
async fn chunked_answers_are_read() {
    let (port, _) = serve(|head| {
        let body = if head.contains("global_status") { IDLE } else { NODES };
        let (one, two) = body.split_at(7);
        let text = format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
            one.len(),
            two.len()
        );
        Reply::Send(text.into_bytes())
    })
    .await;
    assert!(emqx(read(port).await).load.is_some());
}

#[tokio::test]
async fn every_bad_answer_is_a_sentence_and_never_a_panic() {
    let big = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 50 << 20);
    let endless = {
        let mut bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for _ in 0..50 {
            bytes.extend_from_slice(b"100000\r\n");
            bytes.extend(std::iter::repeat_n(b' ', 1 << 20));
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("html", http("200 OK", "<!DOCTYPE html><html>"), "it gave a web page"),
        ("text", http("200 OK", "hello"), "it gave no JSON"),
        ("other json", http("200 OK", "{\"a\":1}"), "not EMQX's API"),
        ("not http", b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec(), "does not speak HTTP"),
        ("fifty MB announced", big.into_bytes(), "larger than 16 MB"),
        ("fifty MB sent", endless, "larger than 16 MB"),
        ("nothing", Vec::new(), "connection was closed"),
        ("half", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[".to_vec(), "broke off"),
        (
            "401",
            http("401 Unauthorized", "{\"code\":\"BAD_API_KEY_OR_SECRET\",\"message\":\"Check\"}"),
            "does not accept this key",
        ),
        ("401 without a body", http("401 Unauthorized", ""), "does not accept this key"),
        ("403", http("403 Forbidden", "{\"code\":\"UNAUTHORIZED_ROLE\"}"), "may only read"),
        ("500", http("500 Internal Server Error", "<html>oops"), "answered 500"),
        ("404", http("404 Not Found", ""), "(404)"),
        ("v4's failure", http("200 OK", "{\"code\":101,\"message\":\"badrpc\"}"), "badrpc"),
    ];
    for (name, bytes, expected) in cases {
        let (port, _) = serve(move |_| Reply::Last(bytes.clone())).await;
        let reported = reported(&read(port).await);
        assert!(reported.contains(expected), "{name}: {reported}");
        assert!(
            !(reported.contains("does not answer") && reported.contains("what answers")),
            "{name}: {reported}"
        );
        assert!(!reported.contains("hunter2"), "{name}: {reported}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let (port, _) = serve(|_| Reply::Silence).await;
    let reported = reported(&broker(&[("a", port)]).0.read().await.expect("never fails"));
    assert!(
        reported.contains("EMQX in pod mq/a (port 18083) does not answer: no answer within 0.5 s"),
        "{reported}"
    );
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_is_replaced_silently() {
    let (port, connections) = serve(|head| {
        let body = if head.contains("global_status") { IDLE } else { NODES };
        Reply::Last(http("200 OK", body))
    })
    .await;
    let (broker, _) = broker(&[("a", port)]);
    for _ in 0..3 {
        let facts = broker.read().await.expect("never fails");
        assert!(emqx(facts.clone()).load.is_some(), "{}", reported(&facts));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn a_follower_reports_a_lost_connection_and_recovers() {
    let down = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_down = down.clone();
    let (port, _) =
        serve(move |head| if is_down.load(Ordering::SeqCst) { Reply::Last(Vec::new()) } else { good(head) })
            .await;
    let (broker, _) = broker(&[("a", port)]);
    let mut stream = broker.follow(Duration::from_millis(60));
    let next = async |stream: &mut kubectl_emqx::ports::FactStream| {
        tokio::time::timeout(Duration::from_secs(5), stream.next())
            .await
            .expect("soon")
            .expect("it continues")
    };
    assert!(matches!(next(&mut stream).await.update, Update::Broker(_, BrokerUpdate::Nodes(_))));
    down.store(true, Ordering::SeqCst);
    loop {
        if let Update::Broker(_, BrokerUpdate::Link("nodes", Link::Unreachable(_))) =
            next(&mut stream).await.update
        {
            break;
        }
    }
    down.store(false, Ordering::SeqCst);
    loop {
        if let Update::Broker(_, BrokerUpdate::Nodes(_)) = next(&mut stream).await.update {
            break;
        }
    }
}

#[tokio::test]
async fn an_answer_that_no_longer_lists_a_rebalance_is_checked_over_a_fresh_connection_to_another_core() {
    const RUNS: &str = r#"{"evacuations":[],"purges":[],"rebalances":[{"node":"emqx@a","state":"evicting_conns",
        "donors":["emqx@c"],"recipients":["emqx@b"]}]}"#;
    let statuses = AtomicUsize::new(0);
    let (first, connections) = serve(move |line| {
        let body = match line.contains("global_status") {
            true if statuses.fetch_add(1, Ordering::SeqCst) < 3 => RUNS,
            true => IDLE,
            false => NODES,
        };
        Reply::Send(http("200 OK", body))
    })
    .await;
    let (second, others) =
        serve(|line| Reply::Send(http("200 OK", if line.contains("global_status") { RUNS } else { NODES })))
            .await;
    let (broker, tunnel) = broker(&[("a", first), ("b", second)]);
    let mut stream = broker.follow(Duration::from_millis(60));
    let mut listed = Vec::new();
    while listed.len() < 6 {
        let next = tokio::time::timeout(Duration::from_secs(20), stream.next()).await;
        if let Update::Broker(_, BrokerUpdate::Evictions(load)) =
            next.expect("soon").expect("it continues").update
        {
            listed.push(load.rebalances.len());
        }
    }
    assert_eq!(listed, [1, 1, 1, 0, 1, 1], "the answer without it is followed by one of the other core");
    assert_eq!(*tunnel.opened.borrow(), ["a", "b"]);
    assert_eq!((connections.load(Ordering::SeqCst), others.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn without_a_key_emqx_is_forbidden_not_lost() {
    let problem =
        Problem::new("cannot read the key for EMQX's API from Secret mq/emqx-bootstrap-api-key", "forbidden");
    let tunnel = Rc::new(Pods::default());
    let brokers =
        EmqxBrokers::through(tunnel.clone(), Rc::new(Key(Err(problem))), Rc::new(Local), None, false);
    let facts = brokers.broker(target(&["a"], false)).read().await.expect("never fails");
    assert!(
        matches!(&facts[0].update, Update::Broker(_, BrokerUpdate::Link("nodes", Link::Forbidden(why))) if why.contains("Secret"))
    );
    assert!(tunnel.opened.borrow().is_empty());
}

#[tokio::test]
async fn a_key_file_gives_its_first_line() {
    let path = std::env::temp_dir().join(format!("kubectl-emqx-key-{}", std::process::id()));
    let id = target(&[], false).instance;
    for (text, expected) in
        [("k:s\nother", Some(("k", "s"))), ("k:s:t", Some(("k", "s:t"))), ("ks", None), ("", None)]
    {
        std::fs::write(&path, text).expect("it is written");
        let key = match KeyFile::open(&path) {
            Ok(file) => file.key(&id, false).await.ok(),
            Err(_) => None,
        };
        assert_eq!(key.as_ref().map(|key| (key.key.as_str(), key.secret.as_str())), expected, "{text}");
    }
    std::fs::remove_file(&path).expect("it is removed");
    assert!(KeyFile::open(&path).is_err());
}
