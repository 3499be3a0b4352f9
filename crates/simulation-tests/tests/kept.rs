//! Every case that failed once, and the list of faults that are not fixed yet.

use std::io::Write as _;

use simulation_tests::findings;
use simulation_tests::kept;

/// Every second case that failed once: two tests run on two threads.
fn kept_cases(first: usize) {
    let known = kept::known_rules().expect("the cases can be read");
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
