//! The tables of the README name tests and faults that exist.

use std::collections::BTreeSet;
use std::path::Path;

use simulation_tests::put_back;

#[expect(clippy::disallowed_methods, reason = "files of the workspace")]
fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every text between two backticks in the tables of the README.
fn quoted() -> Vec<String> {
    let text = read("crates/simulation-tests/README.md");
    let rows = text.lines().filter(|line| line.starts_with('|'));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn every_test_that_the_tables_name_exists() {
    let tests: Vec<String> = quoted().into_iter().filter(|text| text.contains(".rs: ")).collect();
    assert!(tests.len() > 50, "the table of behaviour names {} tests", tests.len());
    for test in tests {
        let (file, name) = test.split_once(": ").expect("a file and a test");
        assert!(read(file).contains(&format!("fn {name}(")), "{file} has no test {name}");
    }
}

#[test]
fn every_fault_that_is_put_back_is_in_the_table() {
    let quoted: BTreeSet<String> = quoted().into_iter().collect();
    for fault in put_back::all().expect("the faults can be read") {
        assert!(quoted.contains(&fault.name), "{} is not in the table", fault.name);
    }
}

#[test]
fn every_fault_can_be_put_back_into_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = put_back::sources(&root.join("src")).expect("the sources can be read");
    for fault in put_back::all().expect("the faults can be read") {
        fault.apply(&mut files.clone()).unwrap_or_else(|why| panic!("{why}"));
    }
}
