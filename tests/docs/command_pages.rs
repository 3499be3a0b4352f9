//! The texts about commands outside the program are generated from the command tree, too: `docs/commands.md`,
//! the table in README, and the manual pages. `UPDATE=1 cargo test --test docs command_pages` writes the
//! first two again.

#![expect(clippy::disallowed_methods, reason = "the documents are what is tested")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use kubectl_emqx::cli;

use crate::man;

/// The command that writes a document again.
const COMMAND: &str = "UPDATE=1 cargo test --test docs command_pages";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Checks that the document is up to date; writes it, where that is requested.
#[track_caller]
fn is_fresh(path: &Path, wanted: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
        std::fs::write(path, wanted).expect("it can be written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    let first = found.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted);
    assert!(found == wanted, "{} differs from the command tree: {COMMAND}\n{first:?}", path.display());
}

/// Every command with the words that lead to it, in the order of the help.
fn verbs() -> Vec<(String, Command)> {
    fn walk(command: &Command, path: &str, all: &mut Vec<(String, Command)>) {
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help" && !verb.is_hide_set())
        {
            let path = format!("{path} {}", verb.get_name());
            all.push((path.clone(), verb.clone()));
            walk(verb, &path, all);
        }
    }
    let mut all = Vec::new();
    walk(&cli::command(), "kubectl emqx", &mut all);
    all
}

/// A text in Markdown: text outside code that looks like a tag is escaped.
fn prose(text: &str) -> String {
    let pieces = text.split('`').enumerate();
    let pieces =
        pieces.map(|(at, piece)| if at % 2 == 0 { piece.replace('<', "&lt;") } else { piece.to_owned() });
    pieces.collect::<Vec<_>>().join("`")
}

/// A text for a cell of a table.
fn cell(text: &str) -> String {
    prose(text).replace('|', "\\|").replace('\n', " ")
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn names(arg: &Arg) -> String {
    let value = arg.get_value_names().map(|names| names.join(" ")).unwrap_or_default();
    let Some(long) = arg.get_long() else { return format!("`{value}`") };
    let short = arg.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let value = if takes { format!(" {value}") } else { String::new() };
    format!("{short}`--{long}{value}`")
}

fn meaning(arg: &Arg) -> String {
    let mut text = cell(&arg.get_help().map(ToString::to_string).unwrap_or_default());
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !values.is_empty() && !matches!(arg.get_action(), ArgAction::SetTrue) {
        let _ = write!(text, ": {}", values.join(", "));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && !arg.is_hide_default_value_set() && arg.get_action().takes_values() {
        let _ = write!(text, " [default: {}]", defaults.join(","));
    }
    text
}

fn table<'a>(args: impl Iterator<Item = &'a Arg>) -> String {
    let rows: Vec<String> = args.map(|arg| format!("| {} | {} |\n", names(arg), meaning(arg))).collect();
    if rows.is_empty() {
        String::new()
    } else {
        format!("\n| flag | meaning |\n| --- | --- |\n{}", rows.concat())
    }
}

fn shown(arg: &Arg) -> bool {
    !arg.is_hide_set() && !matches!(arg.get_long(), Some("help" | "version"))
}

/// The parts under the flags in the help: `Examples`, `Exit codes`, …, with their lines.
fn parts(command: &Command) -> Vec<(String, String)> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let part = |part: &str| {
        let (title, lines) = part.split_once(":\n")?;
        let lines = lines.lines().map(|line| line.strip_prefix("  ").unwrap_or(line));
        Some((title.to_owned(), lines.collect::<Vec<_>>().join("\n")))
    };
    after.split("\n\n").filter_map(part).collect()
}

fn commands() -> String {
    let program = cli::command();
    let mut text = format!(
        "# Commands\n\nEvery command and every flag, generated from the program's own command tree (`{COMMAND}`).\n\
         `kubectl emqx COMMAND --help` prints the same.\n"
    );
    for (path, mut verb) in verbs() {
        let usage = verb.render_usage().to_string();
        let usage = usage.trim().trim_start_matches("Usage: ").replace("\n       ", "\n");
        let _ = write!(text, "\n## {path}\n\n{}.\n", cell(&about(&verb)));
        let long = verb.get_long_about().map(ToString::to_string).unwrap_or_default();
        if let Some((_, more)) = long.split_once("\n\n") {
            let _ = write!(text, "\n{}\n", prose(more.trim_end()));
        }
        let aliases: Vec<&str> = verb.get_visible_aliases().collect();
        if !aliases.is_empty() {
            let _ = write!(text, "\nAlso: `{}`.\n", aliases.join("`, `"));
        }
        let _ = write!(text, "\n```text\n{usage}\n```\n");
        text.push_str(&table(
            verb.get_arguments().filter(|arg| shown(arg)).filter(|arg| !arg.is_global_set()),
        ));
        for (title, lines) in parts(&verb) {
            let _ = write!(text, "\n{title}:\n\n```sh\n{lines}\n```\n");
        }
    }
    text.push_str("\n## Flags of every command\n");
    let shared: Vec<&Arg> =
        program.get_arguments().filter(|arg| shown(arg)).filter(|arg| arg.is_global_set()).collect();
    let mut headings: Vec<&str> = shared.iter().filter_map(|arg| arg.get_help_heading()).collect();
    headings.dedup();
    for heading in headings {
        let _ = write!(text, "\n### {heading}\n");
        text.push_str(&table(shared.iter().copied().filter(|arg| arg.get_help_heading() == Some(heading))));
    }
    for (title, lines) in parts(&program).into_iter().filter(|(title, _)| title != "Examples") {
        let _ = write!(text, "\n## {title}\n\n```text\n{lines}\n```\n");
    }
    text
}

#[test]
fn the_page_of_commands_equals_the_help() {
    is_fresh(&root().join("docs/commands.md"), &commands());
}

#[test]
fn the_table_of_the_readme_has_every_verb() {
    let path = root().join("README.md");
    let readme = std::fs::read_to_string(&path).expect("there is a README");
    let (begin, end) = ("<!-- commands: ", "<!-- end of commands -->");
    let (before, rest) = readme.split_once(begin).expect("the table has a beginning");
    let (_, after) = rest.split_once(end).expect("the table has an end");
    let mut table = String::from("| command | what it does |\n| --- | --- |\n");
    for (path, verb) in verbs() {
        let _ = writeln!(table, "| `{path}` | {} |", cell(&about(&verb)));
    }
    is_fresh(&path, &format!("{before}{begin}{COMMAND} -->\n{table}{end}{after}"));
}

#[test]
fn every_command_has_a_manual_page_with_all_its_flags_and_examples() {
    let pages = man::pages().expect("they can be made");
    let program = (String::from("kubectl emqx"), cli::command());
    let all: Vec<_> = [program].into_iter().chain(verbs()).collect();
    assert_eq!(pages.len(), all.len());
    for ((file, text), (path, command)) in pages.iter().zip(all) {
        assert_eq!(*file, format!("{}.1", path.replace(' ', "-")));
        for section in ["NAME", "SYNOPSIS", "OPTIONS", "EXAMPLES"] {
            assert!(text.contains(&format!(".SH {section}\n")), "{file} has no {section}");
        }
        let own = |arg: &&Arg| shown(arg) && (path == "kubectl emqx" || !arg.is_global_set());
        for arg in command.get_arguments().filter(own) {
            let Some(long) = arg.get_long() else { continue };
            let (_, rest) = text
                .split_once(&format!(".TP\n{}", flag(arg, long)))
                .unwrap_or_else(|| panic!("{file} has no --{long}"));
            let help = rest.lines().nth(1).unwrap_or_default();
            assert!(!help.is_empty() && !help.starts_with('.'), "{file}: --{long} is not explained");
        }
    }
}

/// A flag as roff writes it in bold.
fn flag(arg: &Arg, long: &str) -> String {
    let short = arg.get_short().map(|short| format!("\\fB\\-{short}\\fR, ")).unwrap_or_default();
    format!("{short}\\fB\\-\\-{}\\fR", long.replace('-', "\\-"))
}
