//! Gateways between the program and an API server: a proxy, and a TLS endpoint.

use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// Passes everything on and stores the program's requests; acts as a proxy for CONNECT.
pub(crate) struct Gateway {
    pub(crate) address: String,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Gateway {
    /// In front of an address, `127.0.0.1:1234`.
    pub(crate) fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let received: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (target, kept) = (target.to_owned(), Arc::clone(&received));
        std::thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let (target, kept) = (target.clone(), Arc::clone(&kept));
                std::thread::spawn(move || pass(stream, &target, &kept));
            }
        });
        Self { address, received }
    }

    /// All requests of the program so far, in lower case.
    pub(crate) fn received(&self) -> String {
        String::from_utf8_lossy(&self.received.lock().expect("a lock")).to_ascii_lowercase()
    }
}

fn pass(mut from: TcpStream, target: &str, kept: &Mutex<Vec<u8>>) -> Option<()> {
    let mut first = vec![0; 8192];
    let length = from.read(&mut first).ok()?;
    first.truncate(length);
    kept.lock().expect("a lock").extend_from_slice(&first);
    let text = String::from_utf8_lossy(&first).into_owned();
    let mut to = TcpStream::connect(target).ok()?;
    if text.starts_with("CONNECT ") {
        // The proxy accepts any host.
        from.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
    } else {
        to.write_all(&first).ok()?;
    }
    let (mut answers, mut back) = (to.try_clone().ok()?, from.try_clone().ok()?);
    std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
    let mut buffer = [0; 8192];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        kept.lock().expect("a lock").extend_from_slice(&buffer[..length]);
        to.write_all(&buffer[..length]).ok()?;
    }
    to.shutdown(std::net::Shutdown::Write).ok()
}

/// A TLS endpoint in front of an address, with a certificate and its key; returns the port.
pub(crate) fn transport(target: &str, certificate: &Path, key: &Path) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(key).expect("its key");
    let config = ServerConfig::builder_with_provider(kubectl_emqx::tls::provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they fit");
    let (acceptor, target) = (TlsAcceptor::from(Arc::new(config)), target.to_owned());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            listener.set_nonblocking(true).expect("it can be");
            let listener = tokio::net::TcpListener::from_std(listener).expect("it is one");
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, target) = (acceptor.clone(), target.clone());
                tokio::task::spawn_local(async move {
                    let mut inside = acceptor.accept(stream).await.ok()?;
                    let mut outside = tokio::net::TcpStream::connect(target).await.ok()?;
                    tokio::io::copy_bidirectional(&mut inside, &mut outside).await.ok()
                });
            }
        });
    });
    port
}
