//! Runs of a program, measured from outside: wall time by the benchmark's clock, peak memory by
//! `/usr/bin/time`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The number of counted runs of each command. One run before them does not count.
const RUNS: usize = 21;

/// The path of the released program: `PROGRAM`, else the output of `cargo build --release`.
pub fn released() -> PathBuf {
    let program = std::env::var_os("PROGRAM").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/kubectl-emqx"),
        PathBuf::from,
    );
    assert!(program.is_file(), "{} is missing: cargo build --release", program.display());
    program
}

/// The time and memory of one run.
#[derive(Clone, Copy)]
pub struct Run {
    pub wall: Duration,
    pub kib: u64,
}

/// The same command without input and output: `before` is a program that starts it, with its arguments.
fn quiet(command: &Command, before: Option<Command>) -> Command {
    let mut quiet = match before {
        Some(mut before) => {
            before.arg(command.get_program());
            before
        }
        None => Command::new(command.get_program()),
    };
    quiet.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => quiet.env(name, value),
            None => quiet.env_remove(name),
        };
    }
    quiet.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet
}

/// Two runs: one alone for the wall time, and one under `/usr/bin/time`, which writes the peak memory into a file. That program
/// takes a millisecond or more to start, which is no time of the command.
fn once(command: &Command) -> Run {
    let report = std::env::temp_dir().join(format!("kubectl-emqx-bench-{}", std::process::id()));
    let mut alone = quiet(command, None);
    let began = Instant::now();
    let status = alone.status().expect("it starts");
    let wall = began.elapsed();
    assert!(status.success(), "{command:?}");
    let mut time = Command::new("/usr/bin/time");
    time.args(["--format", "%M", "--output"]).arg(&report).arg("--");
    let status = quiet(command, Some(time)).status();
    let status = status.expect("/usr/bin/time is there (Debian: apt-get install time)");
    let text = std::fs::read_to_string(&report).expect("a report");
    let _ = std::fs::remove_file(&report);
    assert!(status.success(), "{command:?}: {text}");
    // For a failed program the report begins with a line of text.
    let kib = text.lines().last().and_then(|line| line.trim().parse().ok()).expect("kilobytes");
    Run { wall, kib }
}

/// The median of the values.
pub fn median<T: Copy + Ord>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}

fn medians(runs: &[Run]) -> Run {
    Run {
        wall: median(runs.iter().map(|run| run.wall).collect()),
        kib: median(runs.iter().map(|run| run.kib).collect()),
    }
}

/// Runs two commands in turn, A B A B …, so that drift in the machine's speed does not favour one.
pub fn in_turn(ours: &Command, theirs: &Command) -> (Run, Run) {
    let mut both = (Vec::new(), Vec::new());
    for round in 0..=RUNS {
        let (one, other) = (once(ours), once(theirs));
        if round > 0 {
            both.0.push(one);
            both.1.push(other);
        }
    }
    (medians(&both.0), medians(&both.1))
}

/// Runs one command alone.
pub fn by_itself(command: &Command) -> Run {
    let runs: Vec<Run> = (0..=RUNS).map(|_| once(command)).skip(1).collect();
    medians(&runs)
}

/// The number of counted runs over a slow link, where the delay hides the machine's noise. One run before
/// them does not count.
const FEW_RUNS: usize = 7;

/// The same with fewer runs. Also returns the number of runs.
pub fn few_times(command: &Command) -> (Run, usize) {
    let runs: Vec<Run> = (0..=FEW_RUNS).map(|_| once(command)).collect();
    // Each is started twice.
    (medians(&runs[1..]), runs.len() * 2)
}

pub fn milliseconds(wall: Duration) -> String {
    format!("{:.1} ms", wall.as_secs_f64() * 1000.0)
}

pub fn megabytes(kib: u64) -> String {
    format!("{:.1} MB", kib as f64 * 1024.0 / 1e6)
}

/// Measures what needs no cluster: the program's size, its start, and plans of plain numbers.
pub fn alone(program: &Path) {
    let counts = |each: u64, nodes: usize| {
        let mut counts = vec![each.to_string(); nodes];
        counts.last_mut().expect("a node").replace_range(.., "0");
        counts.join(",")
    };
    let size = std::fs::metadata(program).expect("a program").len();
    println!("| alone | wall, median of {RUNS} | peak memory |\n| --- | --- | --- |");
    println!("| size of the program | {size} bytes | |");
    for (name, arguments) in [
        ("`--version`", vec!["--version".to_owned()]),
        ("`rebalance plan`, 1000 nodes, 10,000,000 connections", plan(counts(10_010, 1000))),
        ("`rebalance plan`, 1000 nodes, 1,000,000,000 connections", plan(counts(1_001_001, 1000))),
    ] {
        let mut command = Command::new(program);
        command.args(arguments);
        let run = by_itself(&command);
        println!("| {name} | {} | {} |", milliseconds(run.wall), megabytes(run.kib));
    }
    println!();
}

fn plan(counts: String) -> Vec<String> {
    ["rebalance", "plan", "--conn-evict-rate", "10", "--counts"]
        .map(str::to_owned)
        .into_iter()
        .chain([counts])
        .collect()
}
