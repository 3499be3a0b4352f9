//! Faulty servers: an HTTP proxy that answers some requests itself, and hostile servers that speak over a raw
//! connection.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// A request that a [`proxy`] answers itself instead of passing it on.
pub(crate) struct Rule {
    /// The request's method; empty matches any.
    pub(crate) method: String,
    /// A part of the request's path; `.` matches any.
    pub(crate) path: String,
    /// The number of requests that are answered by the rule; later ones are passed on.
    pub(crate) times: usize,
    pub(crate) status: u16,
    /// Headers, each with its line break.
    pub(crate) headers: String,
    pub(crate) body: String,
    /// Whether it holds only after an object was created: a POST that is not a dry run was passed on.
    pub(crate) after_post: bool,
    /// The number of requests that it matched.
    pub(crate) used: Arc<AtomicUsize>,
}

impl Rule {
    /// Answers every request to paths with this part.
    pub(crate) fn on(path: &str, status: u16, body: &str) -> Self {
        Self {
            method: String::new(),
            path: path.to_owned(),
            times: usize::MAX,
            status,
            headers: String::new(),
            body: body.to_owned(),
            after_post: false,
            used: Arc::default(),
        }
    }

    /// The rules in a file of `tests/data/field/api-answers`: `m` method, `p` path, `st` status, `h` headers, `body`.
    pub(crate) fn read(text: &str) -> Vec<Self> {
        let all: Vec<Value> = serde_json::from_str(text).expect("a list of rules");
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        all.iter()
            .map(|rule| {
                let headers = rule["h"].as_object().into_iter().flatten();
                let headers: Vec<String> =
                    headers.map(|(name, value)| format!("{name}: {}\r\n", word(value))).collect();
                Self {
                    method: word(&rule["m"]),
                    path: word(&rule["p"]),
                    times: usize::MAX,
                    status: rule["st"].as_u64().and_then(|it| u16::try_from(it).ok()).expect("a status"),
                    headers: headers.concat(),
                    body: match &rule["body"] {
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    },
                    after_post: false,
                    used: Arc::default(),
                }
            })
            .collect()
    }

    fn fits(&self, method: &str, path: &str) -> bool {
        (self.method.is_empty() || self.method == method) && (self.path == "." || path.contains(&self.path))
    }
}

/// Reads a request: its head, and the body that its length announces.
fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut buffer) {
            Ok(length @ 1..) => bytes.extend_from_slice(&buffer[..length]),
            _ => return None,
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    while bytes.len() < end + length.unwrap_or(0) {
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
    }
    Some((head, bytes.split_off(end)))
}

/// A proxy before an HTTP server, `127.0.0.1:1234`: answers by the first rule that matches, else passes the
/// request on. Returns its own address. Ends with the test process.
pub(crate) fn proxy(target: &str, rules: Vec<Rule>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (rules, posted) = (Arc::new(rules), Arc::new(AtomicBool::new(false)));
    let target = target.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            let (rules, posted, target) = (Arc::clone(&rules), Arc::clone(&posted), target.clone());
            std::thread::spawn(move || serve(stream, &rules, &posted, &target));
        }
    });
    address
}

fn serve(mut stream: TcpStream, rules: &[Rule], posted: &AtomicBool, target: &str) -> Option<()> {
    let (head, body) = request(&mut stream)?;
    let mut words = head.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let fits = |rule: &&Rule| {
        rule.fits(method, path)
            && (!rule.after_post || posted.load(Ordering::SeqCst))
            && rule.used.fetch_add(1, Ordering::SeqCst) < rule.times
    };
    let rule = rules.iter().find(fits);
    if method == "POST" && !path.contains("dryRun") && !path.contains("reviews") {
        posted.store(true, Ordering::SeqCst);
    }
    if let Some(rule) = rule {
        let Rule { status, headers, body, .. } = rule;
        let length = body.len();
        return write!(
            stream,
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        )
        .ok();
    }
    let mut upstream = TcpStream::connect(target).ok()?;
    // One request per connection, unless it is upgraded to another protocol: a port-forward.
    let upgrade = head.to_ascii_lowercase().contains("upgrade: websocket");
    let head = if upgrade { head } else { head.replacen("\r\n", "\r\nconnection: close\r\n", 1) };
    upstream.write_all(head.as_bytes()).ok()?;
    upstream.write_all(&body).ok()?;
    let (mut answers, mut back) = (upstream.try_clone().ok()?, stream.try_clone().ok()?);
    let pump = std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut stream, &mut upstream);
    let _ = upstream.shutdown(std::net::Shutdown::Write);
    pump.join().ok()
}

/// How a hostile server answers one request to a path.
pub(crate) type Answer = fn(&mut TcpStream, &str) -> std::io::Result<()>;

/// A server that answers every request in this way; returns its address, and the heads of the requests.
pub(crate) fn hostile(answer: Answer) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&seen);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().filter_map(Result::ok) {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || {
                let limit = Some(std::time::Duration::from_secs(20));
                let _ = stream.set_write_timeout(limit).and_then(|()| stream.set_read_timeout(limit));
                while let Some((head, _)) = request(&mut stream) {
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    kept.lock().expect("a lock").push(head);
                    if answer(&mut stream, &path).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, seen)
}
