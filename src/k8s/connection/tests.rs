use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::CONNECTION;
use hyper::service::service_fn;
use hyper::{StatusCode, Version, server};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::Notify;

use super::*;

/// A stream in memory with the version of HTTP that ALPN chose.
struct Chosen(TokioIo<DuplexStream>, bool);

impl Read for Chosen {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for Chosen {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl Connection for Chosen {
    fn connected(&self) -> Connected {
        if self.1 { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

/// The server's reaction to a request.
enum Reaction {
    Answer,
    /// Closes the connection.
    Cut,
    Silence,
}

/// A server that reacts by the number of the connection (from 1) and the path.
#[derive(Clone)]
struct Server {
    connections: Arc<AtomicUsize>,
    reaction: fn(usize, &str) -> Reaction,
}

impl Server {
    fn new(reaction: fn(usize, &str) -> Reaction) -> Self {
        Self { connections: Arc::default(), reaction }
    }

    fn count(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    fn connector(&self, http2: bool) -> ApiConnector {
        let server = self.clone();
        let connect = tower::service_fn(move |_: Uri| {
            let server = server.clone();
            async move {
                let number = server.connections.fetch_add(1, Ordering::Relaxed) + 1;
                let (near, far) = tokio::io::duplex(1 << 16);
                tokio::spawn(server.serve(far, number, http2));
                Ok::<_, Infallible>(Chosen(TokioIo::new(near), http2))
            }
        });
        ApiConnector::new(connect, Duration::from_mins(1))
    }

    async fn serve(self, far: DuplexStream, number: usize, http2: bool) {
        let cut = Arc::new(Notify::new());
        let cutting = cut.clone();
        let reaction = self.reaction;
        let service = service_fn(move |request: Request<Incoming>| {
            let cutting = cutting.clone();
            async move {
                match reaction(number, request.uri().path()) {
                    Reaction::Answer => {}
                    Reaction::Cut => {
                        cutting.notify_one();
                        std::future::pending::<()>().await;
                    }
                    Reaction::Silence => std::future::pending::<()>().await,
                }
                let line = format!("{number} {:?}", request.version());
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(line))))
            }
        });
        let served = async {
            if http2 {
                let builder = server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(far), service).await;
            } else {
                let builder = server::conn::http1::Builder::new();
                let _ = builder.serve_connection(TokioIo::new(far), service).await;
            }
        };
        tokio::select! {
            () = served => {}
            () = cut.notified() => {}
        }
    }

    fn transport(&self, http2: bool) -> HttpTransport {
        HttpTransport::new(self.connector(http2), self.connector(false))
    }
}

fn request(method: Method, path: &str) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    *request.uri_mut() = format!("https://api.example.com{path}").parse().expect("an address");
    request
}

/// The number of the connection, and the version of HTTP, of an answer.
async fn answer(transport: &HttpTransport, method: Method, path: &str) -> Result<String, BoxError> {
    let response = transport.send(request(method, path)).await?;
    assert_eq!(response.status(), StatusCode::OK);
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn http2(connection: usize) -> String {
    format!("{connection} {:?}", Version::HTTP_2)
}

#[tokio::test]
async fn all_requests_share_one_http2_connection_also_those_that_begin_at_once() {
    let server = Server::new(|_, _| Reaction::Answer);
    let transport = server.transport(true);
    assert!(!transport.is_shared());
    let paths: Vec<String> = (0..20).map(|number| format!("/{number}")).collect();
    let answers =
        futures::future::join_all(paths.iter().map(|path| answer(&transport, Method::GET, path))).await;
    for answer in answers {
        assert_eq!(answer.expect("an answer"), http2(1));
    }
    assert_eq!((server.count(), transport.is_shared()), (1, true));
}

#[tokio::test]
async fn a_server_without_http2_is_asked_in_http1_and_the_first_connection_is_used() {
    let server = Server::new(|_, _| Reaction::Answer);
    let transport = server.transport(false);
    let expected = format!("1 {:?}", Version::HTTP_11);
    for path in ["/one", "/two"] {
        assert_eq!(answer(&transport, Method::GET, path).await.expect("an answer"), expected);
    }
    assert_eq!((server.count(), transport.is_shared()), (1, false));
}

#[tokio::test]
async fn an_upgrade_goes_over_a_connection_of_its_own_in_http1() {
    let server = Server::new(|_, _| Reaction::Answer);
    let transport = server.transport(true);
    assert_eq!(answer(&transport, Method::GET, "/").await.expect("an answer"), http2(1));
    let mut upgrade = request(Method::GET, "/portforward");
    upgrade.headers_mut().insert(CONNECTION, "Upgrade".parse().expect("a header"));
    upgrade.headers_mut().insert(UPGRADE, "websocket".parse().expect("a header"));
    let response = transport.send(upgrade).await.expect("an answer");
    assert_eq!(response.version(), Version::HTTP_11);
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_read_on_a_connection_that_breaks_is_sent_again_and_a_change_is_not() {
    let server =
        Server::new(
            |connection, path| {
                if connection == 1 && path == "/breaks" { Reaction::Cut } else { Reaction::Answer }
            },
        );
    let transport = server.transport(true);
    assert_eq!(answer(&transport, Method::GET, "/").await.expect("an answer"), http2(1));
    assert_eq!(answer(&transport, Method::GET, "/breaks").await.expect("it is sent again"), http2(2));

    for method in [Method::POST, Method::PATCH, Method::DELETE] {
        let server =
            Server::new(
                |connection, path| {
                    if connection == 1 && path == "/breaks" { Reaction::Cut } else { Reaction::Answer }
                },
            );
        let transport = server.transport(true);
        assert_eq!(answer(&transport, Method::GET, "/").await.expect("an answer"), http2(1));
        assert!(answer(&transport, method.clone(), "/breaks").await.is_err(), "{method} may have been done");
        assert_eq!(server.count(), 1, "{method}");
        // The next request uses another connection.
        assert_eq!(answer(&transport, method, "/").await.expect("an answer"), http2(2));
    }
}

/// Frames of HTTP/2: their types.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Answers the first request of a connection with 200, and the second one with these frames; then the connection ends.
async fn answer_once(mut far: DuplexStream, ending: Vec<Vec<u8>>) -> std::io::Result<()> {
    const PREFACE: usize = 24;
    far.read_exact(&mut [0; PREFACE]).await?;
    far.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    loop {
        let mut head = [0; 9];
        far.read_exact(&mut head).await?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        far.read_exact(&mut vec![0; length]).await?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match (head[3], stream) {
            // `:status 200` is the entry 8 of HPACK's static table; the flags end the headers and the stream.
            (HEADERS, 1) => far.write_all(&frame(HEADERS, 5, 1, &[0x88])).await?,
            (HEADERS, _) => {
                for ending in &ending {
                    far.write_all(ending).await?;
                }
                return far.shutdown().await;
            }
            _ => {}
        }
    }
}

/// Sends one request, and then another one that meets these frames. Returns its outcome, and the number of connections.
async fn second_request(method: Method, ending: &[Vec<u8>]) -> (Result<String, BoxError>, usize) {
    let server = Server::new(|_, _| Reaction::Answer);
    let (again, ending) = (server.clone(), ending.to_vec());
    let connect = tower::service_fn(move |_: Uri| {
        let (server, ending) = (again.clone(), ending.clone());
        async move {
            let number = server.connections.fetch_add(1, Ordering::Relaxed) + 1;
            let (near, far) = tokio::io::duplex(1 << 16);
            if number == 1 {
                tokio::spawn(answer_once(far, ending));
            } else {
                tokio::spawn(server.serve(far, number, true));
            }
            Ok::<_, Infallible>(Chosen(TokioIo::new(near), true))
        }
    });
    let transport =
        HttpTransport::new(ApiConnector::new(connect, Duration::from_mins(1)), server.connector(false));
    assert_eq!(answer(&transport, Method::GET, "/").await.expect("an answer"), "");
    let mut second = request(method, "/second");
    *second.body_mut() = Body::from(b"{}".to_vec());
    let outcome = match transport.send(second).await {
        Ok(response) => {
            let bytes = response.into_body().collect().await.map(http_body_util::Collected::to_bytes);
            bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(Into::into)
        }
        Err(error) => Err(error),
    };
    (outcome, server.count())
}

/// A GOAWAY with the last stream that may have been processed, and the error code.
fn go_away(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

#[tokio::test]
async fn a_change_that_the_server_did_not_process_is_sent_again() {
    for method in [Method::POST, Method::PATCH, Method::PUT, Method::DELETE] {
        for ending in [
            go_away(1, NO_ERROR),
            go_away(1, PROTOCOL_ERROR),
            frame(RST_STREAM, 0, 3, &REFUSED_STREAM.to_be_bytes()),
        ] {
            let (outcome, connections) = second_request(method.clone(), std::slice::from_ref(&ending)).await;
            assert_eq!(outcome.expect("it is sent again"), http2(2), "{method} {ending:?}");
            assert_eq!(connections, 2, "{method} {ending:?}");
        }
    }
}

#[tokio::test]
async fn a_change_that_the_server_may_have_processed_is_not_sent_again() {
    // As a graceful end announces it: all streams first, then the last one that was accepted.
    let graceful = [go_away(i32::MAX as u32, NO_ERROR), go_away(3, NO_ERROR)].concat();
    for method in [Method::POST, Method::PATCH, Method::PUT, Method::DELETE] {
        for ending in [
            go_away(3, NO_ERROR),
            go_away(3, PROTOCOL_ERROR),
            graceful.clone(),
            frame(RST_STREAM, 0, 3, &CANCEL.to_be_bytes()),
            Vec::new(),
        ] {
            let (outcome, connections) = second_request(method.clone(), std::slice::from_ref(&ending)).await;
            assert!(outcome.is_err(), "{method} {ending:?}");
            assert_eq!(connections, 1, "{method} {ending:?}");
        }
    }
}

#[tokio::test]
async fn a_read_that_breaks_every_connection_is_an_error() {
    let server = Server::new(|_, path| if path == "/breaks" { Reaction::Cut } else { Reaction::Answer });
    let transport = server.transport(true);
    assert_eq!(answer(&transport, Method::GET, "/").await.expect("an answer"), http2(1));
    assert!(answer(&transport, Method::GET, "/breaks").await.is_err());
    assert_eq!(server.count(), 2, "it is sent again once");
}

#[tokio::test]
async fn after_a_request_without_an_answer_the_next_one_has_another_connection() {
    let server =
        Server::new(
            |connection, path| {
                if connection == 1 && path == "/dead" { Reaction::Silence } else { Reaction::Answer }
            },
        );
    let transport = server.transport(true);
    let waiting = tokio::spawn({
        let transport = transport.clone();
        async move { answer(&transport, Method::GET, "/dead").await }
    });
    while server.count() == 0 || !transport.is_shared() {
        tokio::task::yield_now().await;
    }
    transport.abandon();
    assert_eq!(answer(&transport, Method::GET, "/dead").await.expect("an answer"), http2(2));
    waiting.abort();
}

#[tokio::test]
async fn why_there_is_no_connection_reaches_every_request_that_waited() {
    let refuse = tower::service_fn(|_: Uri| async {
        Err::<Chosen, _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused))
    });
    let connector = ApiConnector::new(refuse, Duration::from_mins(1));
    let transport = HttpTransport::new(connector.clone(), connector);
    let both =
        futures::join!(answer(&transport, Method::GET, "/one"), answer(&transport, Method::POST, "/two"));
    for failed in [both.0, both.1] {
        let error = failed.expect_err("no connection");
        let why = super::super::error::ApiError::of_error("api", error.as_ref()).why();
        assert_eq!(why, "the API server at api does not answer: connection refused");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_by_the_ping_before_the_limit_of_a_request() {
    // Nothing answers on this connection, not even a ping.
    let silent = tower::service_fn(|_: Uri| async {
        let (near, far) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move {
            let _held = far;
            std::future::pending::<()>().await;
        });
        Ok::<_, Infallible>(Chosen(TokioIo::new(near), true))
    });
    let connector = ApiConnector::new(silent, Duration::from_mins(1));
    let transport = HttpTransport::new(connector.clone(), connector);
    let begun = Instant::now();
    assert!(answer(&transport, Method::GET, "/").await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}
