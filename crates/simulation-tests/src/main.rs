//! Runs any number of seeds, or replays one.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use simulation_tests::kept::{self, Kept};
use simulation_tests::removals::{self, Removal};
use simulation_tests::shrink::shrink;
use simulation_tests::{Breadth, Case, findings, judge, run};

const HELP: &str = "\
cargo run -p simulation-tests -- --seed N            one seed: every line that was printed, and what is wrong
cargo run -p simulation-tests -- --seed N --removals the same for a drain or a scale-down
cargo run -p simulation-tests -- --case FILE         the same for a kept case
cargo run --release -p simulation-tests -- --seeds N every seed from 0 (or --from N), with a report

  --narrow       only a rebalance by an object on v2beta1 and v2, with at most one of six faults
  --upgrades     upgrades, with every fault
  --removals     drains and scale-downs that are killed and run again
  --operation O  only seeds that draw this operation, as evacuation or stoppedRebalance
  --from N       the first seed
  --print        with --seed: prints the case as a file that can be kept
  --first        ends at the first seed that finds anything
  --keep         writes the first case of each kind of fault into crates/simulation-tests/known
  --quiet        with --seed or --case: only what is wrong
  --truth        with --seed or --case: what every node held, every 5 s
";

#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Default)]
struct Options {
    seed: Option<u64>,
    case: Option<String>,
    seeds: Option<u64>,
    from: u64,
    narrow: bool,
    upgrades: bool,
    removals: bool,
    operation: Option<String>,
    keep: bool,
    first: bool,
    quiet: bool,
    print: bool,
    truth: bool,
}

fn options() -> Result<Options, String> {
    let mut options = Options::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
        match word.as_str() {
            "--seed" => options.seed = Some(number(value()?)?),
            "--case" => options.case = Some(value()?),
            "--seeds" => options.seeds = Some(number(value()?)?),
            "--from" => options.from = number(value()?)?,
            "--narrow" => options.narrow = true,
            "--upgrades" => options.upgrades = true,
            "--removals" => options.removals = true,
            "--operation" => options.operation = Some(value()?),
            "--first" => options.first = true,
            "--keep" => options.keep = true,
            "--print" => options.print = true,
            "--quiet" => options.quiet = true,
            "--truth" => options.truth = true,
            "--help" => return Err(HELP.to_owned()),
            other => return Err(format!("unknown argument {other}; --help lists them")),
        }
    }
    Ok(options)
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn main() -> ExitCode {
    let outcome = options().and_then(|options| {
        let breadth = match (options.narrow, options.upgrades) {
            (true, _) => Breadth::Narrow,
            (_, true) => Breadth::Upgrades,
            _ => Breadth::Wide,
        };
        if let (Some(seed), true) = (options.seed, options.print) {
            let (rule, case) = ("any".to_owned(), Case::of(seed, breadth));
            let kept = Kept { rule, what: case.summary(), case };
            say(&serde_json::to_string_pretty(&kept).map_err(|error| error.to_string())?);
            return Ok(true);
        }
        if let (Some(seed), true) = (options.seed, options.removals) {
            return removed(seed, 1, true);
        }
        if let Some(seed) = options.seed {
            return replay(&Case::of(seed, breadth), &options);
        }
        if let Some(path) = &options.case {
            return replay(&read(path)?, &options);
        }
        match options.seeds {
            Some(number) if options.removals => removed(options.from, number, false),
            Some(number) => many(&options, breadth, number),
            None => Err(HELP.to_owned()),
        }
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(text) => {
            say(&text);
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a file that was named")]
fn read(path: &str) -> Result<Case, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    serde_json::from_str::<Kept>(&text).map(|kept| kept.case).map_err(|error| format!("{path}: {error}"))
}

/// Replays one case with its whole output.
fn replay(case: &Case, options: &Options) -> Result<bool, String> {
    say(&format!("seed {}: {}", case.seed, case.summary()));
    let record = run(case)?;
    if options.truth {
        let mut next = 0.0;
        for moment in record.truth.moments.iter().filter(|moment| {
            let due = moment.at >= next;
            next += if due { 5.0 } else { 0.0 };
            due
        }) {
            let mut states: Vec<String> = moment.runs.iter().map(|run| run.state.to_owned()).collect();
            let emptied = moment.evacuations.iter();
            states.extend(emptied.map(|(node, state)| format!("node {node}: {state}")));
            let nodes: Vec<String> = moment
                .nodes
                .iter()
                .map(|node| {
                    let down = match (node.alive, node.serves) {
                        (false, _) => " down",
                        (true, false) => " out of the Service",
                        (true, true) => "",
                    };
                    format!("{}+{}{down}", node.connections, node.offline)
                })
                .collect();
            let states = states.join(" ");
            say(&format!(
                "{:8.2} = {} ({} on their way) {states}",
                moment.at,
                nodes.join(" "),
                moment.in_flight
            ));
        }
    }
    if !options.quiet {
        for line in &record.lines {
            let stream = if line.out { " " } else { "!" };
            say(&format!("{:8.2} {}{stream} {}", line.at, line.process, line.text));
        }
        for (at, fault) in &record.faults {
            say(&format!("{at:8.2} fault {}", serde_json::to_string(fault).unwrap_or_default()));
        }
        for history in record.truth.histories() {
            let end = history.end.map_or("the limit".to_owned(), |end| format!("{end:.2}"));
            say(&format!("a rebalance ran from {:.2} to {end}, last {}", history.start, history.run.state));
        }
        for process in &record.processes {
            say(&format!(
                "{:?} from {:.2} to {:?}: exit {:?}",
                process.arguments.join(" "),
                process.started,
                process.ended,
                process.exit
            ));
        }
    }
    let found = judge(&record);
    for finding in &found {
        say(&format!("WRONG {}: {}", finding.rule, finding.what));
    }
    say(if found.is_empty() { "nothing is wrong" } else { "" });
    Ok(found.is_empty())
}

struct Kind {
    seeds: u64,
    first: u64,
    after: u64,
    what: String,
}

/// Runs many drains and scale-downs; `lines` is whether all that they print is printed.
fn removed(from: u64, number: u64, lines: bool) -> Result<bool, String> {
    let began = Instant::now();
    let mut failed = 0_u64;
    for seed in from..from + number {
        let removal = Removal::of(seed);
        let ran = removals::run(&removal)?;
        if lines {
            ran.lines.iter().for_each(|(at, line)| say(&format!("{at:8.2} {line}")));
        }
        if lines || !ran.wrong.is_empty() {
            failed += u64::from(!ran.wrong.is_empty());
            say(&format!("seed {seed}: {removal:?}\n  {}", ran.wrong.join("\n  ")));
        }
    }
    let rate = number as f64 / began.elapsed().as_secs_f64().max(0.001);
    say(&format!("{number} seeds of removals ({rate:.1} a second), {failed} failed"));
    Ok(failed == 0)
}

/// Runs many seeds and reports the kinds of faults.
fn many(options: &Options, breadth: Breadth, number: u64) -> Result<bool, String> {
    let began = Instant::now();
    let mut kinds: BTreeMap<String, Kind> = BTreeMap::new();
    let mut failed = 0_u64;
    for seed in options.from..options.from + number {
        let case = Case::of(seed, breadth);
        let drawn = serde_json::to_value(case.operation).unwrap_or_default();
        if options.operation.as_ref().is_some_and(|wanted| drawn != wanted.as_str()) {
            continue;
        }
        let found = findings(&case)?;
        failed += u64::from(!found.is_empty());
        if let Some(finding) = found.first().filter(|_| options.first) {
            say(&format!("seed {seed}: {}\n  {}", finding.rule, finding.what));
            return Ok(false);
        }
        for finding in &found {
            if kinds.contains_key(&finding.rule) {
                say(&format!("seed {seed}: {}", finding.rule));
            }
            let kind = kinds.entry(finding.rule.clone()).or_insert_with(|| {
                let fewer = shrink(&case, std::slice::from_ref(finding));
                say(&format!("seed {seed}: {}\n  {}\n  {}", finding.rule, finding.what, fewer.summary()));
                if options.keep {
                    let kept = Kept { rule: finding.rule.clone(), what: finding.what.clone(), case: fewer };
                    match kept::write(&kept::known(), &kept) {
                        Ok(path) => say(&format!("  {}", path.display())),
                        Err(error) => say(&error),
                    }
                }
                Kind { seeds: 0, first: seed, after: seed - options.from + 1, what: finding.what.clone() }
            });
            kind.seeds += 1;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    say(&format!(
        "\n{number} seeds in {seconds:.1} s ({:.1} a second), {failed} failed, {} kinds of faults:",
        number as f64 / seconds.max(0.001),
        kinds.len()
    ));
    for (rule, kind) in &kinds {
        say(&format!(
            "{:>6} seeds, first {} (after {}): {rule}\n       {}",
            kind.seeds, kind.first, kind.after, kind.what
        ));
    }
    Ok(kinds.is_empty())
}
