//! Puts each fault of `put-back/` into a copy of the product, runs seeds until one finds it, and prints a table:
//!
//! ```sh
//! cargo run --profile simulation -p simulation-tests --example put_back            # all of them
//! cargo run --profile simulation -p simulation-tests --example put_back -- NAME…   # these; --limit N seeds at most (400)
//! ```
//!
//! The copy is built once, with every fault behind a switch. A seed counts only where it finds nothing without the fault.
//!
//! ```sh
//! cargo run --profile simulation -p simulation-tests --example put_back -- --tests   # the test that each file names
//! ```
//!
//! A test counts only where it fails with the fault and passes without it.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use simulation_tests::put_back::{self, PutBack};

/// The parts of the workspace from which the simulation tests are built.
const COPIED: [&str; 6] = ["src", "crates", "benches", "plugin-manifest", "Cargo.toml", "Cargo.lock"];

/// The same for the tests that a fault names.
const COPIED_FOR_TESTS: [&str; 12] = [
    "src",
    "crates",
    "benches",
    "examples",
    "plugin-manifest",
    "tests",
    "docs",
    "README.md",
    "README.zh-CN.md",
    "clippy.toml",
    "Cargo.toml",
    "Cargo.lock",
];

/// Seeds after which a fault counts as not found.
const LIMIT: u64 = 400;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(text) => {
            say(&text);
            ExitCode::from(2)
        }
    }
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn run() -> Result<bool, String> {
    let (mut names, mut limit, mut by_tests) = (Vec::new(), LIMIT, false);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--limit" => {
                let value = words.next().unwrap_or_default();
                limit = value.parse().map_err(|error| format!("--limit {value}: {error}"))?;
            }
            "--tests" => by_tests = true,
            name => names.push(name.to_owned()),
        }
    }
    let faults = put_back::all()?;
    if let Some(unknown) = names.iter().find(|name| faults.iter().all(|fault| fault.name != **name)) {
        return Err(format!("{unknown} is no file of put-back/"));
    }
    let chosen = |fault: &&PutBack| names.is_empty() || names.contains(&fault.name);
    if by_tests {
        return tests(&faults, chosen);
    }
    let program = build(&faults)?;
    let mut missed = false;
    say("| file | fault | found by |\n| --- | --- | --- |");
    for fault in faults.iter().filter(chosen).filter(|fault| fault.by_seeds) {
        let began = Instant::now();
        let found = find(&program, fault, limit)?;
        let seconds = began.elapsed().as_secs_f64();
        let seeds = if fault.flags.is_empty() { "wide seed" } else { "upgrade seed" };
        missed |= found.is_none();
        let found = match found {
            Some((seed, rule)) => {
                let met = (0..=seed).filter(|seed| fault.can_meet(*seed)).count();
                format!("{seeds} {seed}, after {met} that can meet it: {rule}")
            }
            None => format!("**none of {limit} {seeds}s**"),
        };
        say(&format!("| `{}` | {} | {found} |", fault.name, fault.kind));
        let _ = writeln!(std::io::stderr(), "{}: {seconds:.0} s", fault.name);
    }
    Ok(!missed)
}

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> String {
    move |error| format!("{what}: {error}")
}

/// Whether the test of each fault fails with it, and passes without it.
fn tests(faults: &[PutBack], chosen: impl Fn(&&PutBack) -> bool) -> Result<bool, String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let copy = copied(faults, &COPIED_FOR_TESTS)?;
    let target = workspace.join("target");
    let cargo = |words: &[&str]| {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&copy).args(["test", "--locked", "--quiet", "-p", "kubectl-emqx"]).args(words);
        cargo.env("CARGO_TARGET_DIR", &target).env_remove("PUT_BACK");
        cargo
    };
    if !cargo(&["--no-run", "--lib", "--test", "it", "--test", "journeys"])
        .status()
        .map_err(failed("cargo"))?
        .success()
    {
        return Err("the changed product cannot be built".to_owned());
    }
    let mut missed = false;
    say("| file | test | fails with it |\n| --- | --- | --- |");
    for fault in faults.iter().filter(chosen) {
        let Some((kind, test)) = &fault.test else { continue };
        let words = if kind == "lib" { vec!["--lib", test] } else { vec!["--test", kind.as_str(), test] };
        let ran = |name: Option<&str>| -> Result<(bool, bool), String> {
            let mut cargo = cargo(&words);
            cargo.envs(name.map(|name| ("PUT_BACK", name)));
            let output = cargo.output().map_err(failed("cargo"))?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            Ok((output.status.success(), text.contains(". 1 passed;") || text.contains("; 1 failed;")))
        };
        let ((fails, one), (passes, _)) = (ran(Some(&fault.name))?, ran(None)?);
        let found = one && !fails && passes;
        missed |= !found;
        let reports = match (one, found) {
            (false, _) => "**not one test has this name**",
            (_, true) => "yes",
            (_, false) => "**no**",
        };
        say(&format!("| `{}` | `{test}` | {reports} |", fault.name));
    }
    Ok(!missed)
}

/// Builds the copy; returns the program that runs seeds with it.
fn build(faults: &[PutBack]) -> Result<PathBuf, String> {
    let copy = copied(faults, &COPIED)?;
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    // It is built once for some hundred seeds: less optimization saves more time than it costs.
    let quick = ["kubectl-emqx", "emqx-sim", "simulation-tests"]
        .map(|package| ["--config".to_owned(), format!("profile.simulation.package.{package}.opt-level=1")]);
    let words =
        ["build", "--locked", "--quiet", "--profile", "simulation", "-p", "simulation-tests", "--bins"];
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&copy).args(words).args(quick.as_flattened()).env("CARGO_TARGET_DIR", &target);
    if !cargo.status().map_err(failed("cargo"))?.success() {
        return Err("the changed product cannot be built".to_owned());
    }
    // The next build of the real product overwrites this file.
    let program = copy.join("simulation-tests");
    std::fs::copy(target.join("simulation/simulation-tests"), &program).map_err(failed("the program"))?;
    Ok(program)
}

/// The first seed that finds the fault, and the broken rule; `None` when no seed below `limit` does. Seeds
/// that cannot meet it are not run.
fn find(program: &Path, fault: &PutBack, limit: u64) -> Result<Option<(u64, String)>, String> {
    for seed in (0..limit).filter(|seed| fault.can_meet(*seed)) {
        if let Some(rule) = one(program, fault, Some(&fault.name), seed)?
            && one(program, fault, None, seed)?.is_none()
        {
            return Ok(Some((seed, rule)));
        }
    }
    Ok(None)
}

/// The first finding of a seed.
fn one(program: &Path, fault: &PutBack, name: Option<&str>, seed: u64) -> Result<Option<String>, String> {
    let mut command = Command::new(program);
    command.args(["--first", "--from", &seed.to_string(), "--seeds", "1"]).args(&fault.flags);
    command.env_remove("PUT_BACK").envs(name.map(|name| ("PUT_BACK", OsStr::new(name))));
    let output = command.output().map_err(|error| format!("{}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(None);
    }
    let line = text.lines().find_map(|line| line.strip_prefix("seed ")?.split_once(": "));
    let (_, rule) = line.ok_or_else(|| {
        format!(
            "{} ended with {}: {text}{}",
            fault.name,
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )
    })?;
    Ok(Some(rule.to_owned()))
}

/// Copies the workspace, with every fault behind a switch; returns the folder.
fn copied(faults: &[PutBack], parts: &[&str]) -> Result<PathBuf, String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let copy = workspace.join("target/put-back");
    std::fs::create_dir_all(&copy).map_err(failed("target/put-back"))?;
    for name in parts {
        let _ = std::fs::remove_dir_all(copy.join(name));
        let copied = Command::new("cp").arg("-R").arg(workspace.join(name)).arg(&copy).status();
        if !copied.map_err(failed("cp"))?.success() {
            return Err(format!("{name} cannot be copied"));
        }
    }
    let mut files = put_back::sources(&copy.join("src"))?;
    let before = files.clone();
    for fault in faults {
        fault.apply(&mut files)?;
    }
    for (path, text) in files.iter().filter(|(path, text)| before.get(*path) != Some(text)) {
        std::fs::write(path, text).map_err(failed("a changed file"))?;
    }
    let library = copy.join("src/lib.rs");
    let text = files.get(&library).ok_or("src/lib.rs is missing")?;
    let with_module = format!("{text}\n#[doc(hidden)]\npub mod put_back;\n");
    std::fs::write(&library, with_module).map_err(failed("src/lib.rs"))?;
    std::fs::write(copy.join("src/put_back.rs"), put_back::MODULE).map_err(failed("src/put_back.rs"))?;
    Ok(copy)
}
