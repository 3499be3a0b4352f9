//! A fixed budget of seeds, every case that failed once, and the list of faults that are not fixed yet.

use std::collections::BTreeSet;
use std::io::Write as _;

use simulation_tests::kept;
use simulation_tests::{Breadth, Case, findings};

/// Seeds that are run each time: about 20 s of a test build on two cores.
const NARROW: u64 = 6;
const WIDE: u64 = 12;
const UPGRADES: u64 = 3;

/// The rules whose faults are known and not fixed yet.
fn known_rules() -> BTreeSet<String> {
    kept::cases(&kept::known())
        .expect("the cases can be read")
        .into_iter()
        .map(|(_, kept)| kept.rule)
        .collect()
}

fn budget(breadth: Breadth, number: u64) {
    let known = known_rules();
    let mut new = Vec::new();
    for seed in 0..number {
        for finding in findings(&Case::of(seed, breadth)).expect("the case can be run") {
            let flag = match breadth {
                Breadth::Narrow => " --narrow",
                Breadth::Wide => "",
                Breadth::Upgrades => " --upgrades",
            };
            let text = format!(
                "seed {seed}: {}: {}\n  cargo run -p simulation-tests -- --seed {seed}{flag}",
                finding.rule, finding.what
            );
            if known.contains(&finding.rule) {
                let _ = writeln!(std::io::stderr(), "KNOWN FAULT, not fixed yet: {text}");
            } else {
                new.push(text);
            }
        }
    }
    assert!(new.is_empty(), "the product is wrong:\n{}", new.join("\n"));
}

#[test]
fn narrow_seeds_find_nothing_new() {
    budget(Breadth::Narrow, NARROW);
}

#[test]
fn wide_seeds_find_nothing_new() {
    budget(Breadth::Wide, WIDE);
}

#[test]
fn seeds_with_upgrades_find_nothing_new() {
    budget(Breadth::Upgrades, UPGRADES);
}

/// Every second case that failed once: two tests run on two threads.
fn kept_cases(first: usize) {
    let known = known_rules();
    let mut wrong = Vec::new();
    let cases = kept::cases(&kept::kept()).expect("the cases can be read");
    for (file, kept) in cases.into_iter().skip(first).step_by(2) {
        let found = findings(&kept.case).expect("the case can be run");
        let new = found.iter().filter(|finding| !known.contains(&finding.rule));
        wrong.extend(new.map(|finding| {
            format!(
                "{}: {}\n  cargo run -p simulation-tests -- --case crates/simulation-tests/kept/{file}",
                finding.rule, finding.what
            )
        }));
    }
    assert!(wrong.is_empty(), "faults are back:\n{}", wrong.join("\n"));
}

#[test]
fn cases_that_failed_once_pass() {
    kept_cases(0);
}

#[test]
fn the_other_half_of_the_cases_that_failed_once_passes() {
    kept_cases(1);
}

#[test]
fn the_list_of_known_faults_only_shrinks() {
    let mut fixed = Vec::new();
    for (file, kept) in kept::cases(&kept::known()).expect("the cases can be read") {
        let found = findings(&kept.case).expect("the case can be run");
        if found.iter().any(|finding| finding.rule == kept.rule) {
            let _ = writeln!(std::io::stderr(), "KNOWN FAULT, not fixed yet: {}: {}", kept.rule, kept.what);
        } else {
            fixed.push(format!("git mv crates/simulation-tests/known/{file} crates/simulation-tests/kept/"));
        }
    }
    assert!(fixed.is_empty(), "fixed faults are still listed as known; move them:\n{}", fixed.join("\n"));
}

#[test]
fn equal_seeds_print_equal_lines_at_equal_times() {
    for seed in 0..3 {
        let case = Case::of(seed, Breadth::Wide);
        let lines = || {
            let record = simulation_tests::run(&case).expect("the case can be run");
            record.lines.into_iter().map(|line| (format!("{:.3}", line.at), line.text)).collect::<Vec<_>>()
        };
        assert_eq!(lines(), lines(), "seed {seed}");
    }
}
