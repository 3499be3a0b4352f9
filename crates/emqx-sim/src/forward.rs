//! Port-forward: the WebSocket upgrade that the `kube` crate speaks, leading to a pod's EMQX REST API.
//!
//! ```text
//! client ── WebSocket v4.channel.k8s.io ──► frames [channel, bytes…] ──► in-memory pipe ──► rest::serve_stream
//!            channel 2n = data, 2n+1 = error of port n; both begin with the port, little endian
//! ```
//!
//! As on a real cluster the end of the far side's stream is not passed on: clients must read by length.

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::stream::{FuturesUnordered, SplitSink};
use futures::{SinkExt as _, StreamExt as _};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::emqx::Emqx;
use super::rest;

/// The only one of the protocols offered by clients that this server supports.
pub(super) const PROTOCOL: &str = "v4.channel.k8s.io";
const PIPE: usize = 64 * 1024;

/// The target of a port-forward.
pub(super) struct Target {
    pub(super) emqx: Emqx,
    /// The pod's EMQX node; `None` when the pod has none that runs.
    pub(super) node: Option<usize>,
    pub(super) ports: Vec<u16>,
}

/// Serves one port-forward until the client disconnects, or `cut` changes.
pub(super) async fn serve(upgrade: OnUpgrade, target: Target, mut cut: watch::Receiver<u64>) {
    let Ok(upgraded) = upgrade.await else { return };
    cut.mark_unchanged();
    tokio::select! {
        biased;
        () = run(upgraded, target) => {}
        // The socket is dropped without a closing message, as when a node fails.
        _ = cut.changed() => {}
    }
}

async fn run(upgraded: Upgraded, target: Target) {
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    let (mut sink, mut incoming) = socket.split();
    let mut writers: Vec<Option<WriteHalf<DuplexStream>>> = Vec::new();
    let mut readers = FuturesUnordered::new();
    for (place, &port) in target.ports.iter().enumerate() {
        let channel = (place * 2) as u8;
        for channel in [channel, channel + 1] {
            let mut hello = BytesMut::with_capacity(3);
            hello.put_u8(channel);
            hello.put_u16_le(port);
            if sink.send(Message::Binary(hello.freeze())).await.is_err() {
                return;
            }
        }
        let Some(node) = target.node.filter(|_| port == target.emqx.api().port()) else {
            let text = format!(
                "an error occurred forwarding {port}: dial tcp4 127.0.0.1:{port}: connect: connection refused"
            );
            writers.push(None);
            if send(&mut sink, channel + 1, text.as_bytes()).await.is_err() {
                return;
            }
            continue;
        };
        let (near, far) = tokio::io::duplex(PIPE);
        tokio::spawn(rest::serve_stream(far, target.emqx.clone(), node));
        let (reader, writer) = tokio::io::split(near);
        writers.push(Some(writer));
        readers.push(read(channel, reader));
    }
    loop {
        tokio::select! {
            biased;
            message = incoming.next() => match message {
                Some(Ok(Message::Binary(bytes))) if !bytes.is_empty() => {
                    let place = usize::from(bytes[0]) / 2;
                    if let Some(Some(writer)) = writers.get_mut(place)
                        && writer.write_all(&bytes[1..]).await.is_err()
                    {
                        writers[place] = None;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            Some((channel, reader, bytes)) = readers.next() => {
                let Some(bytes) = bytes else { continue };
                if send(&mut sink, channel, &bytes).await.is_err() {
                    return;
                }
                readers.push(read(channel, reader));
            }
        }
    }
}

type Read = (u8, ReadHalf<DuplexStream>, Option<Bytes>);

async fn read(channel: u8, mut reader: ReadHalf<DuplexStream>) -> Read {
    let mut buffer = BytesMut::with_capacity(PIPE);
    match reader.read_buf(&mut buffer).await {
        Ok(length) if length > 0 => (channel, reader, Some(buffer.freeze())),
        _ => (channel, reader, None),
    }
}

type Sink = SplitSink<WebSocketStream<TokioIo<Upgraded>>, Message>;

async fn send(
    sink: &mut Sink,
    channel: u8,
    bytes: &[u8],
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    let mut frame = BytesMut::with_capacity(bytes.len() + 1);
    frame.put_u8(channel);
    frame.put_slice(bytes);
    sink.send(Message::Binary(frame.freeze())).await
}
