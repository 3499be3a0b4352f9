//! Every Chinese page has the commands, figures, links and tables of its English twin.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::page::{links, parts, spans};
use super::{files, root, text};

/// English pages that must have a Chinese twin, besides every incident page.
const TRANSLATED: [&str; 5] =
    ["README.md", "docs/README.md", "docs/checks.md", "docs/permissions.md", "docs/states.md"];

/// The English pages with a twin, and the twins.
fn twins() -> Vec<(String, String)> {
    let mut pages: Vec<String> = TRANSLATED.iter().map(|&page| page.to_owned()).collect();
    pages.extend(files("docs/incidents", ".md"));
    pages
        .into_iter()
        .map(|page| (chinese(&page), page))
        .map(|(chinese, english)| (english, chinese))
        .collect()
}

/// The path of the Chinese twin of an English page.
fn chinese(english: &str) -> String {
    english
        .strip_prefix("docs/")
        .map_or_else(|| "README.zh-CN.md".to_owned(), |page| format!("docs/zh-CN/{page}"))
}

/// The path from the root that a link on this page leads to, without its heading.
fn target(page: &str, link: &str) -> String {
    let file = link.split('#').next().unwrap_or_default();
    if file.contains("://") {
        return file.to_owned();
    }
    if file.is_empty() {
        return page.to_owned();
    }
    let mut path = PathBuf::new();
    for part in Path::new(page).parent().expect("a folder").join(file).components() {
        if part == Component::ParentDir {
            path.pop();
        } else {
            path.push(part);
        }
    }
    path.to_str().expect("a plain path").to_owned()
}

/// One section of a page, reduced to what must be equal in every language.
#[derive(Debug, PartialEq)]
struct Section {
    blocks: Vec<Vec<String>>,
    code: Vec<String>,
    links: Vec<String>,
    numbers: Vec<String>,
    cells: Vec<usize>,
}

fn section(page: &str, text: &str) -> Section {
    let (blocks, prose) = parts(text);
    let (mut code, rest) = spans(&prose);
    for span in &mut code {
        *span = span.replace("docs/zh-CN/", "docs/");
    }
    let english = |path: String| match path.strip_prefix("docs/zh-CN/") {
        Some(twin) => format!("docs/{twin}"),
        None => path.replace("README.zh-CN.md", "README.md"),
    };
    let mut links: Vec<String> = links(&prose).iter().map(|link| english(target(page, link))).collect();
    // The target of a link is compared as a link.
    let mut texts = rest.split("](");
    let mut shown = texts.next().unwrap_or_default().to_owned();
    shown.extend(texts.map(|part| part.split_once(')').map_or(part, |(_, rest)| rest)));
    let mut numbers: Vec<String> = shown
        .split(|letter: char| !letter.is_ascii_digit() && !matches!(letter, '.' | ','))
        .map(|number| number.trim_matches(['.', ',']).to_owned())
        .filter(|number| !number.is_empty())
        .collect();
    for list in [&mut code, &mut links, &mut numbers] {
        list.sort();
    }
    let without_comment = |line: &String| line.split("  #").next().unwrap_or_default().trim_end().to_owned();
    Section {
        blocks: blocks.iter().map(|block| block.lines.iter().map(without_comment).collect()).collect(),
        code,
        links,
        numbers,
        cells: prose
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.matches('|').count())
            .collect(),
    }
}

/// The differences of two lists: the entries of only one of them.
fn differences(what: &str, one: &[String], other: &[String]) -> Option<String> {
    let mut rest = other.to_vec();
    let mut missing = Vec::new();
    for item in one {
        match rest.iter().position(|it| it == item) {
            Some(at) => drop(rest.remove(at)),
            None => missing.push(item),
        }
    }
    (!missing.is_empty() || !rest.is_empty())
        .then(|| format!("{what}: only in English {missing:?}, only in Chinese {rest:?}"))
}

/// The differences of two sections.
fn compared(one: &Section, other: &Section) -> Vec<String> {
    let cells = |section: &Section| section.cells.iter().map(ToString::to_string).collect::<Vec<_>>();
    let blocks = |section: &Section| section.blocks.iter().map(|block| block.join("\n")).collect::<Vec<_>>();
    let mut found: Vec<String> = [
        differences("code blocks", &blocks(one), &blocks(other)),
        differences("code spans", &one.code, &other.code),
        differences("links", &one.links, &other.links),
        differences("figures", &one.numbers, &other.numbers),
        differences("cells of a table row", &cells(one), &cells(other)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if found.is_empty() && one != other {
        found.push("the order of code blocks or table rows differs".to_owned());
    }
    found
}

#[test]
fn each_chinese_page_has_the_commands_figures_links_and_tables_of_its_english_twin() {
    let mut wrong = Vec::new();
    for (english, chinese) in twins() {
        let (one, other) = (text(&english), text(&chinese));
        let (one, other): (Vec<_>, Vec<_>) = (one.split("\n## ").collect(), other.split("\n## ").collect());
        assert_eq!(one.len(), other.len(), "{english} and {chinese} have different numbers of sections");
        for (one, other) in one.iter().zip(&other) {
            let heading = one.lines().next().unwrap_or_default();
            let differences = compared(&section(&english, one), &section(&chinese, other));
            wrong.extend(differences.into_iter().map(|it| format!("{chinese}, at {heading}: {it}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_figure_a_command_or_a_row_that_differs_between_twins_is_found() {
    let english = "Wait 30 s for `kubectl emqx status`.\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n";
    let found = |chinese: &str| {
        compared(&section("docs/a.md", english), &section("docs/zh-CN/a.md", chinese)).concat()
    };
    assert_eq!(found("等待 30 s：`kubectl emqx status`。\n\n| 甲 | 乙 |\n| --- | --- |\n| 1 | 2 |\n"), "");
    assert!(found(&english.replace("30", "60")).starts_with("figures"));
    assert!(found(&english.replace("status", "nodes")).starts_with("code spans"));
    assert!(found(&english.replace("| a | b |\n", "")).starts_with("cells"));
}

#[test]
fn each_chinese_page_has_an_english_twin_and_is_chinese() {
    let known: BTreeSet<String> = twins().into_iter().map(|(_, chinese)| chinese).collect();
    let found: BTreeSet<String> =
        files("docs/zh-CN", ".md").into_iter().chain(["README.zh-CN.md".to_owned()]).collect();
    assert_eq!(known, found);
    for page in found {
        let text = text(&page);
        for (number, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with('#')) {
            let chinese = |letter: char| ('\u{4e00}'..='\u{9fff}').contains(&letter);
            let name = line.trim_start_matches(['#', ' ']);
            assert!(
                name.contains(chinese) || name == "kubectl emqx" || line.contains("  #"),
                "{page}:{}: a heading without a Chinese word: {line}",
                number + 1
            );
        }
    }
}

#[test]
fn a_chinese_page_links_to_the_chinese_twin_where_there_is_one() {
    let twins = twins();
    for (english, chinese) in &twins {
        for link in links(&parts(&text(chinese)).1) {
            let target = target(chinese, &link);
            let twin = twins.iter().find(|(page, _)| *page == target);
            // The first lines of an index page link to the page in the other language.
            assert!(
                twin.is_none() || target == *english,
                "{chinese} links to {target}, which has a Chinese twin"
            );
        }
    }
    assert!(root().join("docs/zh-CN/README.md").is_file());
}
