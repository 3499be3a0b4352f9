//! The tables of `docs/permissions.md`, in both languages, rendered from the table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::table::{KINDS, Layer, Need, Verb, table};

const COMMAND: &str = "UPDATE=1 cargo test --test real permissions";

const HEADS: [[&str; 5]; 2] = [
    ["command", "without", "is missing", "all", "the others"],
    ["子命令", "没有", "缺少什么", "全部", "其余"],
];

/// A permission in the words of the table: a permission for one kind stands for each kind.
fn family(right: &str) -> (&str, &str) {
    let (verb, resource) = right.split_once(' ').expect("a verb and a resource");
    (verb, if KINDS.contains(&resource) { "KIND" } else { resource })
}

/// The permissions of a layer: `list KIND,pods`.
fn cell(verb: &Verb, layer: Layer) -> String {
    let mut rights: Vec<(&str, Vec<&str>)> = Vec::new();
    for need in verb.needs.iter().filter(|need| need.layer == layer) {
        let (verb, resource) = family(need.right);
        if !rights.iter().any(|it| it.0 == verb) {
            rights.push((verb, Vec::new()));
        }
        let (_, resources) = rights.iter_mut().find(|it| it.0 == verb).expect("it was just made");
        if !resources.contains(&resource) {
            resources.push(resource);
        }
    }
    let spans: Vec<String> =
        rights.iter().map(|(verb, resources)| format!("`{verb} {}`", resources.join(","))).collect();
    if spans.is_empty() { "-".to_owned() } else { spans.join(" ") }
}

/// The permissions of each command; commands with the same permissions share a row.
fn needs(language: usize) -> String {
    let head = HEADS[language];
    let mut text = format!("| {} |", head[0]);
    for layer in Layer::ALL {
        let _ = write!(text, " `{}` |", layer.role());
    }
    let _ = writeln!(text, "\n| --- |{}", " --- |".repeat(Layer::ALL.len()));
    let mut rows: Vec<(String, Vec<&str>)> = Vec::new();
    for verb in table() {
        let cells = Layer::ALL.map(|layer| cell(&verb, layer)).join(" | ");
        match rows.iter_mut().find(|row| row.0 == cells) {
            Some(row) => row.1.push(verb.name),
            None => rows.push((cells, vec![verb.name])),
        }
    }
    for (cells, names) in rows {
        let _ = writeln!(text, "| {} | {cells} |", spans(&names));
    }
    text
}

fn spans(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A text, and the commands to which it applies.
type Lack<'a> = (&'a str, Vec<&'a str>);

/// The effect of each missing permission: the text that most commands share comes last, for the others.
fn without(language: usize) -> String {
    let head = HEADS[language];
    let mut text = format!("| {} | {} |\n| --- | --- |\n", head[1], head[2]);
    let verbs = table();
    let mut order: Vec<(&str, &str)> = Vec::new();
    let mut lacks: BTreeMap<(&str, &str), Vec<Lack<'_>>> = BTreeMap::new();
    for (verb, need) in verbs.iter().flat_map(|verb| verb.needs.iter().map(move |need| (verb, need))) {
        let Need { right, lacks: words, .. } = need;
        let key = family(right);
        if !order.contains(&key) {
            order.push(key);
        }
        let found = lacks.entry(key).or_default();
        if !found.iter().any(|it| it.0 == words[language]) {
            found.push((words[language], Vec::new()));
        }
        let (_, names) = found.iter_mut().find(|it| it.0 == words[language]).expect("it was just made");
        if !names.contains(&verb.name) {
            names.push(verb.name);
        }
    }
    // Permissions with the same effect on the same commands share a row.
    let mut rows: Vec<(Vec<String>, String)> = Vec::new();
    for (verb, resource) in order {
        let mut found = lacks.remove(&(verb, resource)).unwrap_or_default();
        found.sort_by_key(|(_, names)| names.len());
        let last = found.len() - 1;
        let both = resource == "KIND" && verb == "list";
        let each = found.iter().enumerate().map(|(at, (words, names))| match (at == last, last) {
            // For a kind, one of the two texts applies to every command.
            _ if both => (*words).to_owned(),
            (true, 0) => (*words).to_owned(),
            (true, _) => format!("{}: {words}", head[4]),
            (false, _) => format!("{}: {words}", spans(names)),
        });
        let each = each.collect::<Vec<_>>().join("; ");
        match rows.iter_mut().find(|row| row.1 == each) {
            Some(row) => row.0.push(format!("{verb} {resource}")),
            None => rows.push((vec![format!("{verb} {resource}")], each)),
        }
    }
    for (rights, each) in rows {
        let rights: Vec<&str> = rights.iter().map(String::as_str).collect();
        let _ = writeln!(text, "| {} | {each} |", spans(&rights));
    }
    text
}

/// `UPDATE=1` writes the tables.
#[test]
fn the_page_of_permissions_lists_what_each_command_needs() {
    for (language, file) in ["docs/permissions.md", "docs/zh-CN/permissions.md"].into_iter().enumerate() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let found = std::fs::read_to_string(&path).expect("a page");
        let (begin, end) = ("<!-- permissions: ", "<!-- end of permissions -->");
        let (before, rest) = found.split_once(begin).expect("the tables have a beginning");
        let (_, after) = rest.split_once(end).expect("the tables have an end");
        let tables = format!("{}\n{}", needs(language), without(language));
        let wanted = format!("{before}{begin}{COMMAND} -->\n{tables}{end}{after}");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &wanted).expect("it can be written");
        } else {
            assert!(found == wanted, "{file} differs from the tested table: {COMMAND}");
        }
    }
}
