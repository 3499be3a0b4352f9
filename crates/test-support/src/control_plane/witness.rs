//! A server that shows whether a port-forward is in place.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

pub(super) const WITNESS: [u8; 8] = *b"witness\n";

/// A listener that sends one word on each connection: a client that reads it is connected through a forward
/// of this process.
pub(super) struct Witness {
    pub(super) port: u16,
    ports: AtomicU32,
    over: Arc<AtomicBool>,
}

impl Witness {
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(mut stream) = stream {
                    let _ = stream.write_all(&WITNESS);
                }
            }
        });
        Ok(Self { port, ports: AtomicU32::new(0), over })
    }

    /// Ports of pods, not of this machine; no EMQX port is among them.
    pub(super) fn next_port(&self) -> u16 {
        let next = self.ports.fetch_add(1, Ordering::Relaxed) % 10_000;
        40_000 + u16::try_from(next).unwrap_or_default()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the thread, so that it ends.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}
