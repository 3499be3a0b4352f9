//! The cost of the full screen beside the simulated cluster of 1003 nodes, and beside one of four: memory,
//! the processor time while nothing happens, the time from a key to the screen, and the number of requests to
//! the servers.
//! `cargo bench --profile dev --bench view [-- SECONDS]` on Linux, after `cargo build --release`; it watches for a minute
//! by default.
//! The promise: under 25 MB, under 0.5 % of a core, a key in under 20 ms, under 2 kB a second to the terminal at 120x40 with the
//! chart while a rebalance runs, and requests that grow with neither nodes nor keys.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
#[path = "../tests/support/session.rs"]
#[expect(dead_code, reason = "the tests of the terminal use the rest")]
mod session;

#[cfg(target_os = "linux")]
#[path = "beside/measure.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "shared with the measurement beside kubectl"
)]
mod measure;

/// The program that is measured.
#[cfg(target_os = "linux")]
fn program() -> std::path::PathBuf {
    measure::released()
}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "what a process costs is read from /proc")]
mod linux {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use super::session::{Cluster, Session};

    /// The traffic that passes on its way to the server.
    #[derive(Default)]
    struct Counted {
        /// The number of requests to the API server, by their HTTP/1.1 heads.
        requests: AtomicU64,
        /// The number of writes on connections that have become port-forwards: EMQX's requests within them.
        forwarded: AtomicU64,
    }

    impl Counted {
        fn get(&self) -> (u64, u64) {
            (self.requests.load(Ordering::Relaxed), self.forwarded.load(Ordering::Relaxed))
        }
    }

    /// Starts a relay in front of the server that counts the traffic. Returns its port.
    fn relay(server: String) -> (u16, Arc<Counted>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let counted: Arc<Counted> = Arc::default();
        let all = counted.clone();
        std::thread::spawn(move || {
            for from in listener.incoming().flatten() {
                let to = TcpStream::connect(&server).expect("the server listens");
                let (Ok(back), Ok(answers)) = (from.try_clone(), to.try_clone()) else { continue };
                let counted = all.clone();
                std::thread::spawn(move || pass(answers, back, |_| {}));
                std::thread::spawn(move || {
                    pass(from, to, |bytes| {
                        let head = bytes.starts_with(b"GET ") || bytes.starts_with(b"POST ");
                        let counter = if head { &counted.requests } else { &counted.forwarded };
                        counter.fetch_add(1, Ordering::Relaxed);
                    });
                });
            }
        });
        (port, counted)
    }

    fn pass(mut from: TcpStream, mut to: TcpStream, seen: impl Fn(&[u8])) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            seen(&buffer[..length]);
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    }

    /// The processor time of a process so far, in seconds.
    fn cpu(pid: u32) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        // After the name in brackets, user and system time are the 12th and 13th field, in hundredths of a second.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
    }

    /// The resident memory in MB: now, and the peak so far.
    fn memory(pid: u32) -> (f64, f64) {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|number| number.parse::<f64>().ok()).unwrap_or(f64::NAN)
                / 1024.0
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    fn measure(scenario: &str, seconds: u64) {
        let cluster = Cluster::serve(scenario, "1");
        let kubeconfig = std::fs::read_to_string(&cluster.kubeconfig).expect("a kubeconfig");
        let address = kubeconfig.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.expect("an address").to_owned();
        let (port, counted) = relay(address.clone());
        let counting = format!("{}-counted", cluster.kubeconfig);
        std::fs::write(&counting, kubeconfig.replace(&address, &format!("127.0.0.1:{port}")))
            .expect("it is written");
        let mut view = Session::sized(&counting, &["watch"], 120, 40);
        view.sees("in the Service");
        // Waits for the lists and the first answers of EMQX.
        view.listen(Instant::now() + Duration::from_secs(12));
        let (resident, most) = memory(view.pid());
        let mut out = std::io::stdout();
        let _ = writeln!(out, "{scenario}: {resident:.1} MB resident, {most:.1} MB at the most");

        let (before, began) = (counted.get(), cpu(view.pid()));
        view.listen(Instant::now() + Duration::from_secs(seconds));
        let share = (cpu(view.pid()) - began) / seconds as f64 * 100.0;
        let reported = |after: (u64, u64), seconds: f64| {
            let per = |from: u64, to: u64| (to - from) as f64 / seconds;
            format!(
                "{:.2} requests/s to the API server, {:.2} writes/s to EMQX",
                per(before.0, after.0),
                per(before.1, after.1)
            )
        };
        let asked = reported(counted.get(), seconds as f64);
        let _ = writeln!(out, "{scenario}: idle for {seconds} s: {share:.2} % of a core, {asked}");

        let (before, began, begin) = (counted.get(), cpu(view.pid()), Instant::now());
        // Each key moves the cursor, in a table of four rows, too.
        let keys = (0..400).map(|number| if number % 2 == 1 { "k" } else { "j" });
        let took: Vec<f64> = keys.map(|key| until_shown(&mut view, key, '▸')).collect();
        let took = sorted(took);
        let (after, wall) = (counted.get(), begin.elapsed().as_secs_f64());
        let per = |from: u64, to: u64| (to - from) as f64 / wall;
        let _ = writeln!(
            out,
            "{scenario}: {} keys in {wall:.0} s, each shown after {:.1} ms (median), {:.1} ms (99 of 100), {:.1} ms (worst); \
             {:.1} % of a core, {:.2} requests/s to the API server, {:.2} writes/s to EMQX",
            took.len(),
            took[took.len() / 2],
            took[took.len() * 99 / 100],
            took[took.len() - 1],
            (cpu(view.pid()) - began) / wall * 100.0,
            per(before.0, after.0),
            per(before.1, after.1)
        );
        for (keys, what) in [("jk", "keys of the plan page"), ("lh", "values of the plan page")] {
            view.types("p");
            view.sees("would");
            view.listen(Instant::now() + Duration::from_secs(2));
            let keys = (0..40).map(|number| &keys[number % 2..=number % 2]);
            let took = sorted(keys.map(|key| until_shown(&mut view, key, '▸')).collect());
            let _ = writeln!(
                out,
                "{scenario}: {what}: {:.1} ms (median), {:.1} ms (worst)",
                took[took.len() / 2],
                took[took.len() - 1]
            );
            view.types("\u{1b}");
            view.sees("IN SVC");
        }
        running(scenario, seconds, &cluster, &mut view);
        view.types("\u{3}");
        let _ = std::fs::remove_file(counting);
        view.ends(130);
    }

    /// Milliseconds from a key to the frame that shows its effect: the lines with this mark differ from those before the key.
    /// Output of an earlier frame does not count, because a frame of facts leaves these lines as they are.
    fn until_shown(view: &mut Session, key: &str, mark: char) -> f64 {
        let marked = |text: &str| -> Vec<String> {
            let lines = text.lines().enumerate().filter(|(_, line)| line.contains(mark));
            // The numbers of a row may change in between.
            lines
                .map(|(place, line)| format!("{place} {}", line.chars().take(50).collect::<String>()))
                .collect()
        };
        let before = marked(&view.text());
        view.types(key);
        let typed = Instant::now();
        let shown = view.shows(typed + Duration::from_secs(1), |text| marked(text) != before);
        // The next key comes at another moment between two frames of facts.
        view.listen(typed + Duration::from_millis(50));
        shown.map_or(f64::INFINITY, |shown| (shown - typed).as_secs_f64() * 1000.0)
    }

    fn sorted(mut took: Vec<f64>) -> Vec<f64> {
        took.sort_by(f64::total_cmp);
        took
    }

    /// Measures the view while a rebalance runs: bytes to the terminal, processor time, memory.
    fn running(scenario: &str, seconds: u64, cluster: &Cluster, view: &mut Session) {
        let mut apply = std::process::Command::new(super::program());
        apply.args(["rebalance", "apply", "--yes", "--conn-evict-rate", "10", "--abs-conn-threshold", "100"]);
        apply.args(["--wait-health-check", "10", "-o", "name"]).env("KUBECONFIG", &cluster.kubeconfig);
        let applied = apply.stdout(std::process::Stdio::null()).status().expect("it runs");
        assert!(applied.success(), "the rebalance is created");
        view.sees("evict");
        view.listen(Instant::now() + Duration::from_secs(15));
        let (before, began) = (view.received(), cpu(view.pid()));
        view.listen(Instant::now() + Duration::from_secs(seconds));
        let bytes = (view.received() - before) as f64 / seconds as f64;
        let share = (cpu(view.pid()) - began) / seconds as f64 * 100.0;
        let mut out = std::io::stdout();
        let _ = writeln!(
            out,
            "{scenario}: a rebalance runs: {bytes:.0} bytes/s to the terminal, {share:.1} % of a core, {:.1} MB at the most",
            memory(view.pid()).1
        );
    }

    pub(super) fn main() {
        let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(60);
        for scenario in ["documented", "big"] {
            measure(scenario, seconds);
        }
    }
}
