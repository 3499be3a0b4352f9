use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::CONNECTION;
use hyper::service::service_fn;
use hyper::{StatusCode, Version, server};
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
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
                let told = format!("{number} {:?}", request.version());
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(told))))
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
