//! Reads over a slow link. A TCP proxy in front of the real API server delays every byte by half a round trip
//! in each direction. What a read takes longer with 100 ms than with 50 ms, divided by these 50 ms, is the number of its
//! round trips. Compared with no delay, up to 1 ms for each of the proxy's timers would count as a part of a round trip.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::cluster::RealCluster;
use crate::measure;
use crate::reads;
use test_support::control_plane::ControlPlane;

/// The round trip times of the link.
const DELAYS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(100)];

/// A link in front of an address. It ends when the value is dropped.
pub struct Link {
    address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link {
    pub async fn to(target: SocketAddr, round_trip: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    // The kernel accepts a connection at once, so the round trip of TCP's own handshake is
                    // added before the first byte.
                    let open = Instant::now() + round_trip;
                    let Ok(far) = TcpStream::connect(target).await else { return };
                    let _ = (near.set_nodelay(true), far.set_nodelay(true));
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    let half = round_trip / 2;
                    tokio::join!(pump(near_in, far_out, half, open), pump(far_in, near_out, half, open),);
                });
            }
        });
        Self { address, connections, task }
    }
}

/// Passes bytes on in order, each after the same delay; `open` is the earliest departure.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: Duration,
    open: Instant,
) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now().max(open) + delay;
            if sender.send((due, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    };
    let write = async move {
        let mut queue = VecDeque::new();
        while let Some(next) = receiver.recv().await {
            queue.push_back(next);
            while let Some((due, bytes)) = queue.pop_front() {
                tokio::time::sleep_until(due).await;
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}

/// Writes a copy of the kubeconfig with the link's address.
pub fn through(plane: &ControlPlane, kubeconfig: &Path, link: &Link, name: &str) -> PathBuf {
    let text = std::fs::read_to_string(kubeconfig).expect("a kubeconfig");
    let text = text.replace(&plane.url(), &format!("https://{}", link.address));
    let path = plane.dir().join(format!("link-{name}"));
    std::fs::write(&path, text).expect("it is written");
    path
}

/// Measures reads with and without EMQX, and kubectl's reads of the same kinds.
pub async fn round_trips(plane: &ControlPlane, program: &Path, few: &RealCluster<'_>) {
    let reader = reads::reader(plane, few.namespace()).await;
    let (admin, kubectl) = (plane.admin_kubeconfig(), plane.binaries().kubectl.clone());
    let server: SocketAddr = plane.url().trim_start_matches("https://").parse().expect("an address");
    let lists = "emqx,rebalances,pods,statefulsets,replicasets,endpointslices,events";
    let cases: [(&str, &Path, &Path, &[&str]); 5] = [
        ("`status`, EMQX not asked", program, &reader, &["status"]),
        ("`nodes`, EMQX not asked", program, &reader, &["nodes"]),
        ("`status`, port-forward and EMQX's answers", program, &admin, &["status"]),
        ("`nodes`, port-forward and EMQX's answers", program, &admin, &["nodes"]),
        ("`kubectl get` of the same kinds", &kubectl, &admin, &["get", lists, "-o", "json"]),
    ];
    println!("| over a slow link | no delay | 50 ms | 100 ms | round trips | connections |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (name, binary, kubeconfig, arguments) in cases {
        let mut walls = Vec::new();
        let mut connections = 0;
        for delay in DELAYS {
            let link = Link::to(server, delay).await;
            let kubeconfig = through(plane, kubeconfig, &link, &delay.as_millis().to_string());
            let mut command: Command = plane.command_as(binary, &kubeconfig);
            command.args(["-n", few.namespace()]).args(arguments);
            let (run, runs) =
                tokio::task::spawn_blocking(move || measure::few_times(&command)).await.expect("no panic");
            walls.push(run.wall);
            connections = link.connections.load(Ordering::Relaxed) / runs;
        }
        let longer = walls[2].as_secs_f64() - walls[1].as_secs_f64();
        println!(
            "| {name} | {} | {} | {} | {:.1} | {connections} |",
            measure::milliseconds(walls[0]),
            measure::milliseconds(walls[1]),
            measure::milliseconds(walls[2]),
            longer / (DELAYS[2].as_secs_f64() - DELAYS[1].as_secs_f64()),
        );
    }
    println!();
}
