//! Every fact that code, tests and pages cite by id is on one page of `docs/evidence`, once, and every
//! recording that these pages name is in the repository.

use std::collections::BTreeSet;
use std::path::Path;

use super::{files, pages, root, text};

const PAGES: [&str; 2] = ["docs/evidence/operator-behaviour.md", "docs/evidence/emqx.md"];

/// The ids that follow a `[` in this text: `OP-15`, `EMQX-7`.
fn ids(text: &str) -> Vec<String> {
    text.split('[')
        .skip(1)
        .filter_map(|rest| rest.split_once(']'))
        .map(|(id, _)| id)
        .filter(|id| {
            let number = id.strip_prefix("OP-").or_else(|| id.strip_prefix("EMQX-"));
            number
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .map(str::to_owned)
        .collect()
}

/// The ids of the rows of a page: a row starts with its id in a code span.
fn defined(page: &str) -> Vec<String> {
    text(page)
        .lines()
        .filter(|line| line.starts_with("| `["))
        .filter_map(|line| ids(line).into_iter().next())
        .collect()
}

#[test]
fn every_cited_fact_stands_once_on_a_page_of_evidence() {
    let all: Vec<String> = PAGES.into_iter().flat_map(defined).collect();
    let known: BTreeSet<&String> = all.iter().collect();
    assert_eq!(known.len(), all.len(), "an id stands twice: {all:?}");
    assert!(known.len() > 50, "{known:?}");
    let mut sources: Vec<(String, String)> = pages();
    for folder in
        ["src", "tests", "benches", "crates"].into_iter().filter(|folder| root().join(folder).is_dir())
    {
        sources.extend(files(folder, ".rs").into_iter().map(|name| (name.clone(), text(&name))));
    }
    let unknown: Vec<String> = sources
        .iter()
        .flat_map(|(name, text)| ids(text).into_iter().map(move |id| (name, id)))
        .filter(|(_, id)| !known.contains(id))
        .map(|(name, id)| format!("{name}: [{id}]"))
        .collect();
    assert!(unknown.is_empty(), "cited, but on no page of docs/evidence:\n{}", unknown.join("\n"));
}

/// Files of the repository that can name a page: sources, scripts, configuration, pages.
fn naming() -> Vec<String> {
    let mut all: Vec<String> = pages().into_iter().map(|(name, _)| name).collect();
    for folder in
        ["src", "tests", "benches", "crates", "examples", "scripts", "krew", "plugin-manifest", ".github"]
    {
        for ending in [".rs", ".yaml", ".yml", ".toml"] {
            all.extend(files(folder, ending).into_iter().filter(|name| !name.starts_with("tests/data/")));
        }
    }
    all.extend(["Cargo.toml", "clippy.toml", "deny.toml", ".ci/run"].map(str::to_owned));
    all
}

/// The names of pages in this text: words that end in `.md`, without the surrounding characters of Markdown
/// and code.
fn named_pages(text: &str) -> Vec<&str> {
    let inside =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '/' | '-' | '_' | ':');
    text.split(|letter: char| !inside(letter))
        .map(|word| word.trim_matches(['.', ':', '/']))
        .filter(|word| !word.contains("://"))
        .filter(|word| Path::new(word).extension().is_some_and(|ending| ending == "md"))
        .collect()
}

#[test]
fn no_file_names_a_page_that_is_not_in_the_repository() {
    // The grammar of HOCON is on a page of lightbend/config.
    const ELSEWHERE: [&str; 1] = ["HOCON.md"];
    let known: Vec<String> = pages().into_iter().map(|(name, _)| name).collect();
    let is_known = |word: &str| {
        let word = word.trim_start_matches("../").trim_start_matches("./");
        ELSEWHERE.contains(&word)
            || known.iter().any(|page| {
                page == word || page.strip_suffix(word).is_some_and(|folder| folder.ends_with('/'))
            })
    };
    let mut named = 0;
    let mut wrong = Vec::new();
    // The tests in this folder contain invented names.
    for name in naming().into_iter().filter(|name| !name.starts_with("tests/docs/")) {
        let text = text(&name);
        for word in named_pages(&text) {
            named += 1;
            if !is_known(word) {
                wrong.push(format!("{name}: {word}"));
            }
        }
    }
    assert!(named > 100, "{named}");
    assert!(wrong.is_empty(), "named, but not in the repository:\n{}", wrong.join("\n"));
    assert_eq!(named_pages("as in `facts.md` 3, (docs/a.md#b), x.mdx"), ["facts.md", "docs/a.md"]);
    assert!(!is_known("facts.md") && is_known("emqx.md") && is_known("docs/evidence/emqx.md"));
}

#[test]
fn every_recording_that_the_evidence_names_is_in_the_repository() {
    let mut named = 0;
    for page in PAGES {
        for name in text(page)
            .split('`')
            .filter(|word| Path::new(word).extension().is_some_and(|ending| ending == "jsonl"))
        {
            assert!(root().join("tests/data/recorded").join(name).is_file(), "{page}: {name}");
            named += 1;
        }
    }
    assert!(named > 20, "{named}");
}
