//! The texts that users read and the comments of the sources are plain technical English: the idioms of CONTRIBUTING's
//! section on wording occur in none of them.

use std::collections::BTreeSet;

use super::page::{parts, spans};
use super::{files, pages, text};

/// The forbidden words, in lower case, and their replacements.
const IDIOMS: [(&str, &str); 45] = [
    ("told", "reported, printed"),
    ("tells", "reports, shows"),
    ("tell apart", "distinguish"),
    ("told apart", "distinguished"),
    ("cannot tell", "cannot determine"),
    ("nothing tells", "is unknown"),
    ("says", "reports, shows"),
    ("said", "reported"),
    ("heard", "received, observed"),
    ("hears", "receives"),
    ("nobody", "name the subject"),
    ("somebody", "someone else, another client"),
    ("whoever", "name the subject"),
    ("everybody", "all clients"),
    ("anew", "again"),
    ("so many", "the number"),
    ("so long", "the duration"),
    ("goes on", "continues, is still running"),
    ("go on", "continue"),
    ("going on", "in progress"),
    ("went on", "continued"),
    ("mend", "fix"),
    ("mended", "fixed"),
    ("proved", "verified"),
    ("prove", "verify"),
    ("pretend", "simulated"),
    ("without a word", "last status update"),
    ("last word", "last status update"),
    ("own word", "state, report"),
    ("final word", "verdict"),
    ("at a word", "at once"),
    ("one word too many", "unexpected argument"),
    ("beyond us", "cannot be determined"),
    ("way back", "rollback"),
    ("turn back", "roll back"),
    ("looks after", "manages"),
    ("look after", "manage"),
    ("looked after", "managed"),
    ("look again", "check again"),
    ("looks again", "reconciles again"),
    ("are cut", "are disconnected"),
    ("is cut", "is disconnected"),
    ("cuts", "disconnects"),
    ("cut off", "disconnected, interrupted, truncated"),
    ("for ever", "forever, without a limit"),
];

/// Idioms that are forbidden in comments also.
const COMMENT_IDIOMS: [(&str, &str); 20] = [
    ("takes in", "processes, observes"),
    ("taking in", "processing, observing"),
    ("in vain", "without effect, without need"),
    ("for good", "and does not return, finally"),
    ("what became of", "the result of"),
    ("all the same", "nevertheless"),
    ("at work", "running"),
    ("how it stands", "its state"),
    ("gives way", "is exceeded, is shortened"),
    ("give way", "are shortened"),
    ("speaks against", "the reason for a refusal"),
    ("stays behind", "remains"),
    ("under way", "in progress"),
    ("goes astray", "does not arrive"),
    ("look closer", "open the details"),
    ("looks closely", "reads the details"),
    ("as it stands", "unchanged"),
    ("comes to an end", "ends"),
    ("in a hurry", "immediately"),
    ("in earnest", "carried out"),
];

/// The words of a command line are commands; Kubernetes' permissions have verbs, which errors and roles name.
const COMMANDS: [(&str, &str); 2] = [("verb", "command, subcommand"), ("verbs", "commands, subcommands")];

/// The idioms in a text, as whole words. `{placeholders}` are not text.
fn idioms(text: &str) -> Vec<String> {
    found(text, &IDIOMS)
}

fn found(text: &str, idioms: &[(&str, &str)]) -> Vec<String> {
    let mut outside = text.split('{');
    let mut text = outside.next().unwrap_or_default().to_owned();
    for part in outside {
        text.push_str(" {} ");
        text.push_str(part.split_once('}').map_or(part, |(_, rest)| rest));
    }
    let plain: String = text
        .to_lowercase()
        .chars()
        .map(
            |letter| {
                if letter.is_alphanumeric() || matches!(letter, '\'' | '-' | '_') { letter } else { ' ' }
            },
        )
        .collect();
    let words = format!(" {} ", plain.split_whitespace().collect::<Vec<_>>().join(" "));
    idioms
        .iter()
        .filter(|(idiom, _)| words.contains(&format!(" {idiom} ")))
        .map(|(idiom, instead)| format!("'{idiom}' (write: {instead})"))
        .collect()
}

/// The prose of a page by line, and its blocks of output; code spans are identifiers and commands.
fn page_lines(page: &str) -> Vec<String> {
    let (blocks, prose) = parts(page);
    let prose = spans(&prose).1;
    let outputs = blocks.into_iter().flat_map(|block| block.lines);
    prose.split("\n\n").map(str::to_owned).chain(outputs).collect()
}

/// The string literals of a source, with the lines on which they begin; without comments and unit tests.
fn literals(source: &str) -> Vec<(usize, String)> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let letters: Vec<char> = source.chars().collect();
    let (mut all, mut at, mut line) = (Vec::new(), 0, 1);
    let starts =
        |at: usize, what: &str| what.chars().enumerate().all(|(i, it)| letters.get(at + i) == Some(&it));
    while at < letters.len() {
        match letters[at] {
            '/' if starts(at, "//") => {
                while at < letters.len() && letters[at] != '\n' {
                    at += 1;
                }
                continue;
            }
            '\'' if letters.get(at + 1) == Some(&'\\') => at += 3,
            '\'' if letters.get(at + 2) == Some(&'\'') => at += 2,
            '"' => {
                let (begin, raw) = (line, at > 0 && (letters[at - 1] == 'r' || letters[at - 1] == '#'));
                let mut literal = String::new();
                at += 1;
                while at < letters.len() && letters[at] != '"' {
                    if letters[at] == '\\' && !raw {
                        at += 1;
                        literal.push(' ');
                    } else {
                        literal.push(letters[at]);
                    }
                    line += usize::from(letters.get(at) == Some(&'\n'));
                    at += 1;
                }
                all.push((begin, literal));
            }
            _ => {}
        }
        line += usize::from(letters.get(at) == Some(&'\n'));
        at += 1;
    }
    all
}

/// The comments of a source, with the lines on which they begin: adjacent lines are one comment. Code spans and quoted
/// texts are excluded.
fn comments(source: &str) -> Vec<(usize, String)> {
    let mut all: Vec<(usize, usize, String)> = Vec::new();
    for (line, text) in source.lines().enumerate() {
        let whole = text.trim_start().strip_prefix("//");
        // In a text `//` begins no comment.
        let after = text.rsplit_once("; // ").filter(|(code, _)| code.matches('"').count() % 2 == 0);
        let Some(comment) = whole.or_else(|| after.map(|(_, comment)| comment)) else { continue };
        let comment = comment.trim_start_matches(['/', '!']);
        match all.last_mut() {
            Some((_, last, joined)) if *last + 1 == line => {
                joined.push_str(comment);
                *last = line;
            }
            _ => all.push((line + 1, line, comment.to_owned())),
        }
    }
    let unquoted = |text: &str, quote: char| text.split(quote).step_by(2).collect::<Vec<_>>().join(" … ");
    all.into_iter().map(|(line, _, text)| (line, unquoted(&unquoted(&text, '`'), '"'))).collect()
}

/// The sources whose texts reach users. The simulator is excluded: it quotes the operator and EMQX.
fn sources() -> Vec<String> {
    let is_test = |file: &String| file.contains("tests") || file.ends_with("/mk.rs");
    files("src", ".rs").into_iter().filter(|file| !is_test(file)).collect()
}

#[test]
fn no_page_has_an_idiom() {
    let mut wrong = Vec::new();
    // The pages for contributors explain the idioms.
    let not_for_users = ["CONTRIBUTING.md", "ARCHITECTURE.md"];
    for (name, page) in pages().into_iter().filter(|(name, _)| !not_for_users.contains(&name.as_str())) {
        for line in page_lines(&page) {
            let all = [idioms(&line), found(&line, &COMMANDS)].concat();
            if !all.is_empty() {
                wrong.push(format!("{name}: {}: {}", all.join(", "), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} idioms:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_text_of_the_program_has_an_idiom() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for file in sources() {
        for (line, literal) in literals(&text(&file)) {
            // One word is an identifier; a sentence is text.
            if literal.split_whitespace().count() < 2 {
                continue;
            }
            checked += 1;
            let found = idioms(&literal);
            if !found.is_empty() {
                wrong.push(format!("{file}:{line}: {}: {literal}", found.join(", ")));
            }
        }
    }
    assert!(checked > 1000, "{checked} texts were found");
    assert!(wrong.is_empty(), "{} idioms:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_text_of_a_test_has_an_idiom() {
    let mut wrong = Vec::new();
    let all = ["crates", "tests", "benches"].into_iter().flat_map(|folder| files(folder, ".rs"));
    // This file has the idioms, and `nobody` is the name of a user.
    for file in all.filter(|file| file != "tests/docs/wording.rs") {
        for (line, literal) in literals(&text(&file)) {
            let found = idioms(&literal.replace("nobody", ""));
            if literal.split_whitespace().count() > 1 && !found.is_empty() {
                wrong.push(format!("{file}:{line}: {}: {literal}", found.join(", ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} idioms:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_comment_has_an_idiom() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    let folders = ["src", "crates", "tests", "benches", "examples"];
    for file in folders.into_iter().flat_map(|folder| files(folder, ".rs")) {
        for (line, comment) in comments(&text(&file)) {
            checked += 1;
            let found = [idioms(&comment), found(&comment, &COMMENT_IDIOMS)].concat();
            if !found.is_empty() {
                wrong.push(format!("{file}:{line}: {}: {comment}", found.join(", ")));
            }
        }
    }
    assert!(checked > 5000, "{checked} comments were found");
    assert!(wrong.is_empty(), "{} idioms:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_comment_is_read_over_its_lines_and_without_code() {
    let lines =
        ["/// It takes", "/// in facts, `in vain`.", "let url = 'http://x';", "let a = 1; // all the same"];
    let read = comments(&lines.join("\n"));
    assert_eq!(read.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 4]);
    let idioms = read.iter().map(|(_, comment)| found(comment, &COMMENT_IDIOMS).len()).collect::<Vec<_>>();
    assert_eq!(idioms, [1, 1], "{read:?}");
}

#[test]
fn no_help_text_has_an_idiom() {
    fn walk(command: &clap::Command, path: &str, texts: &mut Vec<(String, String)>) {
        let path = format!("{path} {}", command.get_name());
        let mut add = |text: Option<&clap::builder::StyledStr>| {
            texts.extend(text.map(|text| (path.clone(), text.to_string())));
        };
        add(command.get_about());
        add(command.get_long_about());
        add(command.get_before_help());
        add(command.get_after_help());
        for arg in command.get_arguments() {
            add(arg.get_help());
            add(arg.get_long_help());
            for value in arg.get_possible_values() {
                add(value.get_help());
            }
        }
        for sub in command.get_subcommands() {
            walk(sub, &path, texts);
        }
    }
    let mut texts = Vec::new();
    walk(&kubectl_emqx::cli::command(), "", &mut texts);
    assert!(texts.len() > 200, "{}", texts.len());
    let wrong: BTreeSet<String> = texts
        .iter()
        .map(|(path, text)| (path, text, [idioms(text), found(text, &COMMANDS)].concat()))
        .filter(|(_, _, all)| !all.is_empty())
        .map(|(path, text, all)| format!("{path}: {}: {text}", all.join(", ")))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} idioms:\n{}",
        wrong.len(),
        wrong.into_iter().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn the_descriptions_for_krew_and_k9s_have_no_idiom() {
    for file in [
        "plugin-manifest/emqx.yaml",
        "krew/emqx.yaml",
        "plugin-manifest/k9s-plugin.yaml",
        "plugin-manifest/rbac.yaml",
    ] {
        let wrong = idioms(&text(file));
        assert!(wrong.is_empty(), "{file}: {wrong:?}");
    }
}

#[test]
fn an_idiom_is_found_in_text_and_not_within_a_word() {
    assert_eq!(idioms("EMQX goes on (70s without a word)").len(), 2);
    assert_eq!(idioms("the proxy's adverbs, improved and untold").len(), 0);
    let source = "// it says so\nlet a = \"it says\\\n so\"; let b = '\"'; let c = r#\"anew\"#;\n#[cfg(test)]\n\"told\"";
    let all: Vec<(usize, String)> = literals(source);
    assert_eq!(all.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(idioms(&all[0].1).len(), 1);
    assert_eq!(idioms("{reported}upgrade").len(), 0);
    assert_eq!(found("Flags of every verb", &COMMANDS).len(), 1);
    assert_eq!(page_lines("It `says` so.\n\n```text\ngoes on\n```\n").join("").matches("says").count(), 0);
}
