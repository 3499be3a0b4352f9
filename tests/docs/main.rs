//! The pages for users are correct: commands parse, links have a target, recorded output matches the
//! program's, the dictionary has every identifier of the code, and each Chinese page has the commands and
//! figures of its English twin.

#![expect(
    clippy::disallowed_methods,
    reason = "the pages are read where they lie, and the built program is run"
)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use kubectl_emqx::cli::{self, Parsed};
use kubectl_emqx::error::Problem;

mod checks;
mod command_pages;
mod evidence;
#[cfg(unix)]
mod krew;
#[path = "../../examples/man.rs"]
#[expect(dead_code, reason = "an example has a main of its own")]
mod man;
mod packaging;
mod page;
mod shell;
mod twins;
mod wording;

use page::{anchor, links, parts, spans};
use shell::{BLANK, commands, ours, without_expressions};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Every file below a folder with this ending, as paths from the root.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}")) {
        let entry = entry.expect("an entry");
        let name = format!("{folder}/{}", entry.file_name().into_string().expect("a plain name"));
        if entry.path().is_dir() {
            found.extend(files(&name, ending));
        } else if name.ends_with(ending) {
            found.push(name.trim_start_matches("./").to_owned());
        }
    }
    found.sort();
    found
}

/// Every page.
fn pages() -> Vec<(String, String)> {
    let mut names: Vec<String> = std::fs::read_dir(root())
        .expect("the root")
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "md"))
        .collect();
    for folder in ["docs", "krew", "plugin-manifest", "crates"] {
        names.extend(files(folder, ".md"));
    }
    names.sort();
    assert!(names.len() > 20, "{names:?}");
    names.into_iter().map(|name| (name.clone(), text(&name))).collect()
}

/// Whether the program accepts these words.
fn parsed(words: &[String]) -> Result<(), Problem> {
    let typed = std::iter::once("kubectl-emqx").chain(words.iter().map(String::as_str)).map(OsString::from);
    match cli::parse(typed, |_| None) {
        Err(Parsed::Wrong(problem)) => Err(problem),
        _ => Ok(()),
    }
}

#[test]
fn every_command_on_every_page_exists() {
    let mut checked = 0;
    for (name, page) in pages() {
        let (blocks, prose) = parts(&page);
        let blocks = blocks.into_iter().map(|block| (block.lines.join("\n"), false));
        let spans = spans(&prose).0.into_iter().map(|span| (span, true));
        for (shell, in_prose) in blocks.chain(spans) {
            for words in commands(&without_expressions(&shell)) {
                let Some(words) = ours(&words) else { continue };
                // `…` and a blank verb are placeholders for the reader, `[NAME]` is a synopsis.
                let blank = |word: &String| word.contains('…') || word.starts_with('[');
                if words.iter().any(blank) || words.first().is_some_and(|verb| verb == BLANK) {
                    continue;
                }
                checked += 1;
                let known = parsed(&words).or_else(|problem| {
                    // Prose may name a verb without its arguments.
                    let verb = in_prose && words.iter().all(|word| !word.starts_with('-'));
                    if verb { parsed(&[&words[..], &["--help".to_owned()]].concat()) } else { Err(problem) }
                });
                if let Err(problem) = known {
                    panic!("{name}: kubectl emqx {}: {problem}", words.join(" "));
                }
            }
        }
    }
    assert!(checked > 80, "{checked} commands were found");
}

#[test]
fn the_program_itself_names_no_unknown_command() {
    let tree = cli::command();
    let known: BTreeSet<&str> =
        tree.get_subcommands().flat_map(|verb| verb.get_all_aliases().chain([verb.get_name()])).collect();
    let mut checked = 0;
    for file in files("src", ".rs") {
        for rest in code(&file).split("kubectl emqx ").skip(1) {
            let verb = rest.split(|letter: char| !letter.is_ascii_lowercase()).next().unwrap_or_default();
            if !verb.is_empty() {
                checked += 1;
                assert!(known.contains(verb), "{file}: kubectl emqx {verb}");
            }
        }
    }
    assert!(checked > 50, "{checked} were found");
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let mut checked = 0;
    for (name, page) in pages() {
        let (_, prose) = parts(&page);
        for link in links(&prose).into_iter().filter(|link| !link.contains("://")) {
            checked += 1;
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => root().join(&name),
                file => root().join(&name).parent().expect("a folder").join(file),
            };
            assert!(target.exists(), "{name}: {link}");
            if !heading.is_empty() {
                let there = std::fs::read_to_string(&target).expect("a page");
                let known: Vec<String> =
                    parts(&there).1.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
                assert!(known.iter().any(|known| known == heading), "{name}: {link}: {known:?}");
            }
        }
    }
    assert!(checked > 50, "{checked} links were found");
}

/// Whether a block matches the program's output; a line `…` stands for omitted lines.
fn shows(block: &[String], printed: &str) -> Result<(), String> {
    let mut lines = printed.lines();
    let mut skipping = false;
    for wanted in block {
        if wanted.trim() == "…" {
            skipping = true;
        } else if std::mem::take(&mut skipping) {
            lines.find(|line| line == wanted).ok_or_else(|| format!("is not printed there: {wanted}"))?;
        } else {
            let line = lines.next().unwrap_or("(the end)");
            if line != wanted {
                return Err(format!("\n  the page: {wanted}\n  printed:  {line}"));
            }
        }
    }
    match lines.next() {
        Some(more) if !skipping => Err(format!("the page leaves out: {more}")),
        _ => Ok(()),
    }
}

#[test]
fn what_a_console_block_shows_is_what_the_program_prints() {
    let mut checked = 0;
    for (name, page) in pages() {
        for block in parts(&page).0.into_iter().filter(|block| block.info == "console") {
            let (line, output) = block.lines.split_first().expect("a command");
            let words = commands(line).iter().find_map(|words| ours(words)).expect(line);
            let run = Command::new(env!("CARGO_BIN_EXE_kubectl-emqx"))
                .args(&words)
                .current_dir(root())
                .env_clear()
                .env("TZ", "UTC")
                .output()
                .expect("the program runs");
            let printed = String::from_utf8(run.stdout).expect("text");
            if let Err(why) = shows(output, &printed) {
                panic!("{name}: {line}: {why}\n{}", String::from_utf8_lossy(&run.stderr));
            }
            checked += 1;
        }
    }
    assert!(checked >= 10, "{checked} blocks were found");
}

/// The text of a source file up to its tests.
fn code(file: &str) -> String {
    let text = text(file);
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

/// The quoted words that follow `before` in some code, ignoring spaces between them.
fn quoted_after(code: &str, before: &str) -> Vec<String> {
    code.split(before)
        .skip(1)
        .filter_map(|rest| Some(rest.trim_start().strip_prefix('"')?.split_once('"')?.0.to_owned()))
        .collect()
}

#[test]
fn the_dictionary_has_every_check_verdict_and_phase_of_the_code() {
    let states = text("docs/states.md");
    let (mut known, _) = spans(&parts(&states).1);
    // Checks of the surroundings are on a page of their own.
    known.extend(spans(&parts(&text("docs/checks.md")).1).0);
    let mut words: BTreeSet<String> = BTreeSet::new();
    for file in
        ["src/model/verdict.rs", "src/model/load.rs", "src/plan/upgrade/run.rs", "src/plan/snapshot.rs"]
    {
        let found = quoted_after(&code(file), "=> ");
        assert!(!found.is_empty(), "{file}");
        // The text for people has a space in it.
        words.extend(found.into_iter().filter(|word| !word.contains(' ')));
    }
    words.extend(quoted_after(&code("src/model/load.rs"), "\"wait_health_check\" | "));
    let mut checks: BTreeSet<String> = BTreeSet::new();
    for file in files("src/plan", ".rs")
        .into_iter()
        .filter(|file| !file.contains("test") && !file.ends_with("/fixtures.rs"))
    {
        for call in ["Finding::new(", "blocked(", "warning(", "info(", "id: "] {
            checks.extend(quoted_after(&code(&file), call));
        }
    }
    assert!(words.len() > 25 && checks.len() > 30, "{words:?} {checks:?}");
    let missing: Vec<&String> = words.union(&checks).filter(|word| !known.contains(word)).collect();
    assert!(missing.is_empty(), "not in docs/states.md: {missing:?}");
    let table = &states[states.find("## Checks").expect("the table of the checks")..];
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let stale: Vec<String> = rows
        .flat_map(|row| spans(row.split('|').nth(1).unwrap_or_default()).0)
        .filter(|id| !checks.contains(id))
        .collect();
    assert!(stale.is_empty(), "in docs/states.md, and no check of ours: {stale:?}");
}

/// `session_move_ms` and `FreezeNode` in YAML's form.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default();
    let mut text = first[..1].to_lowercase() + &first[1..];
    text.extend(words.map(|word| word[..1].to_uppercase() + &word[1..]));
    text
}

fn scenario_code() -> String {
    let parts = files("crates/emqx-sim/src/scenario", ".rs");
    let all = parts.iter().map(|file| code(file));
    all.chain([code("crates/emqx-sim/src/scenario.rs")]).collect()
}

#[test]
fn the_page_on_scenarios_has_every_key_and_every_fault_and_its_example_can_be_used() {
    let (page, code) = (text("docs/scenarios.md"), scenario_code());
    let part = |from: &str| {
        let begin = code.find(from).unwrap_or_else(|| panic!("{from}"));
        let end = code[begin..].find("\n}").expect("its end");
        code[begin..begin + end].to_owned()
    };
    let mut names = BTreeSet::new();
    for of in [
        "struct Scenario {",
        "struct NodeGroup {",
        "struct TimedFault {",
        "struct Owner {",
        "struct Expectation {",
    ] {
        let fields = part(of);
        names.extend(fields.lines().filter_map(|line| {
            let field = line.trim().strip_prefix("pub ")?.split_once(':')?.0.to_owned();
            Some(camel(&field))
        }));
    }
    for of in ["enum Fault {", "enum Answer {", "enum NewPods {", "enum Balancer {"] {
        let variants = part(of);
        names.extend(variants.lines().skip(1).filter_map(|line| {
            let line = line
                .strip_prefix("    ")
                .filter(|line| line.starts_with(|first: char| first.is_uppercase()))?;
            Some(camel(line.split(['(', ' ', ',', '{']).next()?))
        }));
    }
    assert!(names.len() > 50, "{names:?}");
    let words: BTreeSet<&str> =
        page.split(|it: char| !it.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let missing: Vec<&String> = names.iter().filter(|name| !words.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "not in docs/scenarios.md: {missing:?}");
    let example =
        page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let scenario = emqx_sim::Scenario::from_yaml(example).expect("the example can be used");
    assert_eq!((scenario.session_move_ms, scenario.faults.len()), (1, 4));
    for fault in &scenario.faults {
        fault.fault.parse().expect("a fault");
    }
}
