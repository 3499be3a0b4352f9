//! `docs/checks.md` has a row for each check of the code.

use std::fmt::Write as _;

use kubectl_emqx::plan::check::{CATALOG, Purpose};

use super::{root, text};

const COMMAND: &str = "UPDATE=1 cargo test --test docs checks";

fn table() -> String {
    let mut table = "| id | for | found | way out |\n| --- | --- | --- | --- |\n".to_owned();
    for entry in CATALOG {
        let ids: Vec<String> =
            std::iter::once(&entry.id).chain(entry.also).map(|id| format!("`{id}`")).collect();
        let purposes = if entry.purposes.len() == Purpose::ALL.len() {
            "all".to_owned()
        } else {
            entry.purposes.iter().map(|purpose| purpose.as_str()).collect::<Vec<_>>().join(", ")
        };
        let _ =
            writeln!(table, "| {} | {purposes} | {} | {} |", ids.join(", "), entry.meaning, entry.way_out);
    }
    table
}

/// `UPDATE=1` writes the table.
#[test]
fn the_page_of_checks_lists_every_check_with_its_meaning_and_its_way_out() {
    let found = text("docs/checks.md");
    let (begin, end) = ("<!-- checks: ", "<!-- end of checks -->");
    let (before, rest) = found.split_once(begin).expect("the table has a beginning");
    let (_, after) = rest.split_once(end).expect("the table has an end");
    let expected = format!("{before}{begin}{COMMAND} -->\n{}{end}{after}", table());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(root().join("docs/checks.md"), &expected).expect("it can be written");
    } else {
        assert!(found == expected, "docs/checks.md differs from the checks of the code: {COMMAND}");
    }
}
