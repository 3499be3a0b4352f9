//! Hostile servers instead of EMQX and the API server: the program survives every answer within the time
//! limit, without a panic, without control characters on the terminal, and without excessive text.

use std::io::{Error, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::between::{Answer, hostile};
use crate::harness::{Going, Ran, folder, harmless, program};

/// The longest that one command may take with `--request-timeout 1s`.
const LIMIT: Duration = Duration::from_mins(1);

/// The most bytes of one stream that a command may print.
const MOST_TEXT: usize = 40_000;

type Done = std::io::Result<()>;

fn nodes() -> Value {
    let node = |(index, connections): (usize, u64)| {
        json!({
            "node": format!("emqx@emqx-core-{index}.emqx-headless.mq.svc.cluster.local"), "node_status": "running",
            "role": "core", "version": "5.8.6", "edition": "Enterprise", "uptime": 100_000,
            "connections": connections, "live_connections": connections,
        })
    };
    [3333, 3333, 3334, 0].into_iter().enumerate().map(node).collect()
}

fn good(path: &str) -> Vec<u8> {
    if path.contains("global_status") {
        return json!({"rebalances": [], "evacuations": [], "purges": []}).to_string().into_bytes();
    }
    nodes().to_string().into_bytes()
}

fn answer(stream: &mut TcpStream, status: u16, body: &[u8], more: &str) -> Done {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{more}\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

fn refusal(stream: &mut TcpStream, status: u16, code: &str, message: &str) -> Done {
    answer(stream, status, json!({"code": code, "message": message}).to_string().as_bytes(), "")
}

fn with_length(stream: &mut TcpStream, path: &str, length: &str) -> Done {
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n")?;
    stream.write_all(&good(path))
}

/// Writes single bytes with pauses, for as long as the client reads.
fn slowly(stream: &mut TcpStream, bytes: &[u8]) -> Done {
    for byte in bytes {
        stream.write_all(&[*byte])?;
        std::thread::sleep(Duration::from_millis(200));
    }
    closed()
}

/// Keeps the connection open without an answer until the client closes it.
fn silent(stream: &mut TcpStream) -> Done {
    let _ = std::io::Read::read(stream, &mut [0; 16]);
    closed()
}

/// The server closes the connection.
fn closed() -> Done {
    Err(Error::other("closed"))
}

fn changed(stream: &mut TcpStream, path: &str, change: fn(&mut Vec<Value>)) -> Done {
    if path.contains("global_status") {
        return answer(stream, 200, &good(path), "");
    }
    let mut list = nodes().as_array().cloned().unwrap_or_default();
    change(&mut list);
    answer(stream, 200, Value::from(list).to_string().as_bytes(), "")
}

fn counted(list: &mut [Value], count: &Value) {
    for node in list {
        node["connections"] = count.clone();
        node["live_connections"] = count.clone();
    }
}

const CONTROLS: &str =
    "\u{1b}]0;PWN\u{7}\u{1b}[31mevil\u{202e}gnp\u{200b}\u{2066}x\u{9b}31m\r\nhint: rm -rf /";

/// Servers whose HTTP is hostile for every request.
const TRANSPORT: [(&str, Answer); 31] = [
    ("400", |s, _| refusal(s, 400, "BAD_REQUEST", "injected")),
    ("401", |s, _| refusal(s, 401, "BAD_API_KEY_OR_SECRET", "injected")),
    ("403", |s, _| refusal(s, 403, "UNAUTHORIZED_ROLE", "injected")),
    ("404", |s, _| refusal(s, 404, "NOT_FOUND", "injected")),
    ("404 web page", |s, _| answer(s, 404, b"<html>404</html>", "")),
    ("429", |s, _| refusal(s, 429, "TOO_MANY", "injected")),
    ("500", |s, _| refusal(s, 500, "INTERNAL_ERROR", "injected")),
    ("502 web page", |s, _| answer(s, 502, b"<html>bad gateway</html>", "")),
    ("503", |s, _| refusal(s, 503, "SERVICE_UNAVAILABLE", "injected")),
    ("a login page", |s, _| answer(s, 200, b"<html><body>login</body></html>", "")),
    ("50 MB of blanks", |s, _| {
        s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n")?;
        (0..50).try_for_each(|_| s.write_all(&vec![b' '; 1 << 20]))
    }),
    ("endless chunks", |s, _| {
        s.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        loop {
            s.write_all(b"100000\r\n")?;
            s.write_all(&vec![b' '; 1 << 20])?;
            s.write_all(b"\r\n")?;
        }
    }),
    ("a slow answer", |s, _| slowly(s, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")),
    ("a slow body", |s, path| {
        let body = good(path);
        write!(s, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())?;
        slowly(s, &body)
    }),
    ("half an answer", |s, path| {
        let body = good(path);
        write!(s, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())?;
        s.write_all(&body[..body.len() / 2])?;
        closed()
    }),
    ("endless headers", |s, _| {
        s.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            s.write_all(b"X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")?;
        }
    }),
    ("one endless header", |s, _| {
        s.write_all(b"HTTP/1.1 200 OK\r\nX: ")?;
        loop {
            s.write_all(&[b'a'; 65536])?;
        }
    }),
    ("less than announced", |s, path| {
        with_length(s, path, &(good(path).len() + 100).to_string())?;
        silent(s)
    }),
    ("more than announced", |s, path| {
        with_length(s, path, &(good(path).len() - 10).to_string())?;
        closed()
    }),
    ("a negative length", |s, path| with_length(s, path, "-5")),
    ("the longest length", |s, path| with_length(s, path, "18446744073709551615")),
    ("two lengths", |s, path| answer(s, 200, &good(path), "Content-Length: 3\r\n")),
    ("bad chunks", |s, _| {
        s.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZZZ\r\nhello\r\n")
    }),
    ("the longest chunk", |s, _| {
        s.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\naaaa")?;
        silent(s)
    }),
    ("silence", |s, _| silent(s)),
    ("a closed connection", |_, _| closed()),
    ("another protocol", |s, _| {
        s.write_all(b"SSH-2.0-OpenSSH_9\r\n")?;
        silent(s)
    }),
    ("endless 100", |s, _| {
        loop {
            s.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            std::thread::sleep(Duration::from_millis(2));
        }
    }),
    ("another protocol by 101", |s, _| {
        s.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        )?;
        closed()
    }),
    ("HTTP/1.0", |s, path| {
        s.write_all(b"HTTP/1.0 200 OK\r\n\r\n")?;
        s.write_all(&good(path))?;
        closed()
    }),
    ("compressed without being asked", |s, path| answer(s, 200, &good(path), "Content-Encoding: gzip\r\n")),
];

/// Servers whose HTTP is good and whose answers are hostile.
const CONTENT: [(&str, Answer); 17] = [
    ("nothing", |s, _| answer(s, 200, b"", "")),
    ("204", |s, _| s.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")),
    ("null", |s, _| answer(s, 200, b"null", "")),
    ("200,000 brackets", |s, _| answer(s, 200, &[b"[".repeat(200_000), b"]".repeat(200_000)].concat(), "")),
    ("another shape", |s, _| answer(s, 200, br#"{"a":[1,2,3]}"#, "")),
    ("empty lists", |s, path| answer(s, 200, if path.contains("status") { b"{}" } else { b"[]" }, "")),
    ("10^18 clients", |s, path| changed(s, path, |list| counted(list, &json!(10_u64.pow(18))))),
    ("10^15 clients", |s, path| changed(s, path, |list| counted(list, &json!(10_u64.pow(15))))),
    ("the most clients", |s, path| changed(s, path, |list| counted(list, &json!(u64::MAX)))),
    ("negative clients", |s, path| changed(s, path, |list| counted(list, &json!(-5)))),
    ("numbers of every kind", |s, path| {
        changed(s, path, |list| {
            for (node, count) in list.iter_mut().zip([json!(3.7), json!("12"), json!(1e308), Value::Null]) {
                node["live_connections"] = count;
            }
        })
    }),
    ("control characters", |s, path| {
        changed(s, path, |list| {
            list[0]["node"] = format!("emqx@{CONTROLS}").into();
            list[0]["version"] = "\u{1b}[2J\u{ad}\u{180e}\u{3164}".into();
            list[1]["node"] = format!("{}@x", "a".repeat(100_000)).into();
            list[1]["version"] = "9".repeat(10_000).into();
            list[2]["role"] = "\u{1b}[5m".into();
            list[2]["node_status"] = "running\u{1b}[7m".into();
            list[3]["node"] = "../../etc@x/../y?a=b#c".into();
        })
    }),
    ("one node four times", |s, path| {
        changed(s, path, |list| {
            let first = list[0]["node"].clone();
            for node in list {
                node["node"] = first.clone();
            }
        })
    }),
    ("control characters in a refusal", |s, _| refusal(s, 500, "X", CONTROLS)),
    ("a refusal of 1 MB", |s, _| refusal(s, 400, "BAD_REQUEST", &"A".repeat(1_000_000))),
    ("a refusal of the API server with control characters", |s, _| {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": CONTROLS,
            "reason": "Forbidden", "code": 403});
        answer(s, 403, status.to_string().as_bytes(), "")
    }),
    ("a long refusal of the API server", |s, _| {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "message": "A".repeat(1_000_000), "reason": "Invalid", "code": 422});
        answer(s, 422, status.to_string().as_bytes(), "")
    }),
];

#[track_caller]
fn survived(name: &str, call: &str, ran: &Ran, took: Duration) {
    assert!(matches!(ran.code, Some(0 | 1 | 4 | 5 | 6)), "{name}: {call}\n{ran}");
    assert!(!ran.err.contains("panicked"), "{name}: {call}\n{ran}");
    assert!(took < LIMIT, "{name}: {call} took {took:?}");
    for text in [&ran.out, &ran.err] {
        harmless(text);
        let length = text.len();
        assert!(length < MOST_TEXT, "{name}: {call} prints {length} bytes: {}", &text[..400]);
        assert!(!text.lines().any(|line| line.starts_with("hint: rm")), "{name}: {call}\n{ran}");
    }
}

/// Runs commands against each of these servers, a few servers at a time.
fn against(servers: &[(&'static str, Answer)], calls: &[&str], flags: impl Fn(&str) -> String + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some((name, answer)) = servers.get(index) else { return };
                    let (address, _) = hostile(*answer);
                    let home = folder();
                    for call in calls {
                        let all = format!("{call} --request-timeout 1s {}", flags(&address));
                        let words: Vec<&str> = all.split_whitespace().collect();
                        let began = Instant::now();
                        let ran = Going::start(program(&home, &words), None).end();
                        survived(name, call, &ran, began.elapsed());
                    }
                    let _ = std::fs::remove_dir_all(home);
                }
            });
        }
    });
}

fn key() -> String {
    let path = folder().join("key");
    user_files::write_private(&path, b"key:secret\n", true).expect("a file of ours");
    path.display().to_string()
}

#[test]
fn hostile_servers_in_the_place_of_emqx_are_survived() {
    let key = key();
    let flags = |address: &str| format!("--emqx-url http://{address} --api-key-file {key}");
    let plan = "rebalance apply --yes --conn-evict-rate 10 --backend emqx --dry-run=client";
    against(&TRANSPORT, &["status"], flags);
    against(&CONTENT, &["status", plan], flags);
}

#[test]
fn hostile_servers_in_the_place_of_the_api_server_are_survived() {
    let flags = |address: &str| format!("-n mq --server http://{address}");
    against(&TRANSPORT, &["status"], flags);
    against(&CONTENT, &["status", "rebalance list -A"], flags);
}

#[test]
fn a_redirect_is_not_followed_and_the_key_goes_nowhere_else() {
    let key = key();
    let (thief, stolen) = hostile(|s, path| answer(s, 200, &good(path), ""));
    let rules = |status: u16| {
        let mut rule = crate::between::Rule::on(".", status, "");
        rule.headers = format!("location: http://{thief}/steal\r\n");
        vec![rule]
    };
    for status in [301, 302, 307, 308] {
        let address = crate::between::proxy(&thief, rules(status));
        for flags in [
            format!("--emqx-url http://{address} --api-key-file {key}"),
            format!("-n mq --server http://{address} --emqx-url http://{address} --api-key-file {key}"),
            format!("-n mq --server http://{address} --token hunter2"),
        ] {
            let ran = crate::harness::alone(&format!("status --request-timeout 1s {flags}"));
            assert!(!ran.err.contains("panicked") && !ran.err.contains("<a href"), "{ran}");
            survived("a redirect", "status", &ran, Duration::ZERO);
        }
    }
    assert!(stolen.lock().expect("a lock").is_empty(), "a redirect was followed");
}
