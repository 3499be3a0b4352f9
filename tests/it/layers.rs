//! Dependencies between modules go one way (ARCHITECTURE.md): a module uses modules of lower layers only, and only some
//! modules may print, open sockets, read clocks or end the process.

mod circles;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The modules and their layers.
const LAYERS: [(&str, u8); 16] = [
    ("app", 5),
    ("commands", 4),
    ("tui", 4),
    ("cli", 3),
    ("output", 3),
    ("k8s", 3),
    ("emqx", 3),
    ("replay", 3),
    ("state_folder", 3),
    ("plan", 2),
    ("ports", 2),
    ("tls", 2),
    ("model", 1),
    ("error", 1),
    ("timing", 1),
    ("main", 6),
];

/// The modules of lower layers that a module may use, where that is not all of them.
const NARROWER: [(&str, &[&str]); 11] = [
    ("commands", &["cli", "output", "plan", "ports", "model", "error", "timing"]),
    ("tui", &["output", "plan", "ports", "model", "error", "timing"]),
    ("cli", &["model", "error", "timing"]),
    ("output", &["plan", "model", "error", "timing"]),
    ("k8s", &["ports", "tls", "model", "error", "timing"]),
    ("emqx", &["ports", "tls", "model", "error", "timing"]),
    ("replay", &["ports", "model", "error", "timing"]),
    ("state_folder", &["ports", "model", "error", "timing"]),
    ("tls", &[]),
    ("plan", &["model", "error", "timing"]),
    ("ports", &["model", "error", "timing"]),
];

/// Dependencies within one layer that are allowed, each with its reason.
const SAME_LAYER: [(&str, &str, &str); 1] =
    [("model", "error", "a verdict knows its exit class; both are leaves, and error names nothing")];

/// The parts of `output` that the view may use: the colours, how names are shortened and texts truncated, and the lines of
/// the plan of an upgrade, so that both outputs look alike. None of them prints.
const TUI_SEES_OF_OUTPUT: [&str; 5] =
    ["theme", "names", "table::cut", "text::Layout", "text::upgrade::lines"];

/// Expressions that only some modules may use, each with its reason.
const WORDS: &[(&[&str], &[&str], &str)] = &[
    (&["println!", "eprintln!", "print!", "eprint!", "dbg!"], &[], "everything goes through the printer"),
    (
        &["io::stdout()", "io::stderr()"],
        &["output", "tui", "app"],
        "only output prints, only tui draws; app looks whether they are terminals, and logs",
    ),
    (
        &["TcpStream", "TcpListener", "UdpSocket", "UnixStream"],
        &["k8s", "emqx"],
        "only these talk to the outside",
    ),
    (&["process::exit", "process::abort"], &["main"], "only main ends the process"),
    (
        &["SystemTime::now", "Timestamp::now", "Zoned::now"],
        &["k8s", "emqx", "replay", "app"],
        "time is a value everywhere else",
    ),
    (
        &["Instant::now"],
        &["k8s", "emqx", "replay", "app", "commands", "tui/run.rs", "ports/host.rs"],
        "time is a value everywhere else; commands and the screen's loop hold limits of the clock on the wall",
    ),
    (
        &["env::var", "env::args"],
        &["app", "k8s"],
        "app reads the environment and hands it in; k8s finds the kubeconfig",
    ),
];

/// Decisions on a sentence or on an exit code, where they are no reading of another program's text.
const ON_TEXT: [&str; 16] = [
    "message.starts_with(\"",
    "message.strip_prefix(\"",
    "message.contains(\"",
    "message.ends_with(\"",
    "why.starts_with(\"",
    "why.strip_prefix(\"",
    "why.contains(\"",
    "why.ends_with(\"",
    "hint.starts_with(\"",
    "hint.contains(\"",
    "text.starts_with(\"",
    "text.starts_with('!')",
    "problem.exit ==",
    "problem.exit !=",
    "exit() ==",
    "exit() !=",
];

/// Modules and files that read the texts of other programs.
const READ_TEXT: [&str; 3] = ["k8s", "emqx", "model/refusal.rs"];

fn sources(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("src is there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
}

/// The module of a file, by its first folder or its own name.
fn module(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// A file without its comments, its texts and its unit tests (which are at the end).
fn code(text: &str) -> String {
    without_texts(text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default())
}

/// A source without its comments and texts.
fn without_texts(text: &str) -> String {
    let mut clean = String::new();
    for line in text.lines() {
        let line = line.trim_start();
        if line.starts_with("//") {
            continue;
        }
        // Texts may contain any words; pieces between two quotes are texts. An escaped quote does not end
        // one.
        let line = line.replace("\\\"", "").replace("'\"'", "");
        let pieces: Vec<&str> = line.split('"').step_by(2).collect();
        let line = pieces.join("\"\"");
        clean.push_str(line.split(" // ").next().unwrap_or_default());
        clean.push('\n');
    }
    clean
}

fn is_word(letter: Option<char>) -> bool {
    letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
}

/// The modules that a file names as `crate::module`, also within `use crate::{a, b::c}`.
fn named(code: &str, modules: &BTreeMap<&str, u8>) -> Vec<String> {
    let mut all = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if is_word(code[..at].chars().next_back()) {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let list = if let Some(group) = rest.strip_prefix('{') { top_level(group) } else { vec![rest] };
        for item in list {
            let name: String =
                item.trim_start().chars().take_while(|letter| is_word(Some(*letter))).collect();
            if modules.contains_key(name.as_str()) {
                all.push(name);
            }
        }
    }
    all
}

/// The items of a group, up to its own closing brace.
fn top_level(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0_i32, 0, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items
}

#[expect(clippy::disallowed_methods, reason = "the sources are what is tested")]
fn raw_files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    paths
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).expect("below src").to_string_lossy().replace('\\', "/");
            let text = std::fs::read_to_string(&path).expect("a source file");
            (name, text)
        })
        .filter(|(name, _)| name != "lib.rs")
        .collect()
}

fn files() -> Vec<(String, String)> {
    raw_files().into_iter().map(|(name, text)| (name, code(&text))).collect()
}

#[test]
fn modules_use_modules_of_lower_layers_only() {
    let layers: BTreeMap<&str, u8> = LAYERS.into_iter().collect();
    let mut wrong = Vec::new();
    for (file, code) in files() {
        let from = module(&file);
        let layer =
            *layers.get(from).unwrap_or_else(|| panic!("src/{file} is in no layer of ARCHITECTURE.md"));
        for to in named(&code, &layers) {
            let allowed_within =
                SAME_LAYER.iter().any(|(one, other, _)| (*one, *other) == (from, to.as_str()));
            if to == from || allowed_within {
                continue;
            }
            let narrower = NARROWER.iter().find(|(module, _)| *module == from).map(|(_, names)| *names);
            let allowed = layers[to.as_str()] < layer
                && narrower.is_none_or(|narrower| narrower.contains(&to.as_str()));
            if !allowed {
                wrong.push(format!("src/{file} names crate::{to}"));
            }
        }
        if from == "tui" {
            for (at, _) in code.match_indices("crate::output::") {
                let named = &code[at + "crate::output::".len()..];
                if !TUI_SEES_OF_OUTPUT.iter().any(|seen| named.starts_with(seen)) {
                    wrong.push(format!("src/{file} uses more of crate::output than how it looks"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "forbidden dependencies (ARCHITECTURE.md):\n  {}", wrong.join("\n  "));
}

#[test]
fn only_some_modules_print_open_sockets_read_clocks_or_exit() {
    let mut wrong = Vec::new();
    for (file, code) in files() {
        for (words, modules, why) in WORDS {
            if modules.contains(&module(&file)) || modules.contains(&file.as_str()) {
                continue;
            }
            for word in *words {
                let found = code.match_indices(word).any(|(at, _)| !is_word(code[..at].chars().next_back()));
                if found {
                    wrong.push(format!("src/{file} has {word}: {why}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "not here:\n  {}", wrong.join("\n  "));
}

#[test]
fn no_decision_hangs_on_a_sentence_or_an_exit_code() {
    let mut wrong = Vec::new();
    for (file, text) in files() {
        let is_test = file.ends_with("tests.rs") || file.contains("/tests/");
        if is_test || READ_TEXT.contains(&module(&file)) || READ_TEXT.contains(&file.as_str()) {
            continue;
        }
        let code = code(&text);
        let found = ON_TEXT.iter().filter(|pattern| {
            code.match_indices(**pattern).any(|(at, _)| !is_word(code[..at].chars().next_back()))
        });
        wrong.extend(found.map(|pattern| format!("src/{file} has {pattern}")));
    }
    assert!(wrong.is_empty(), "a type decides, and a text is its output:\n  {}", wrong.join("\n  "));
}

#[test]
fn the_test_itself_sees_dependencies() {
    let modules: BTreeMap<&str, u8> = LAYERS.into_iter().collect();
    let text = "use crate::{model::{A, B}, k8s};\nuse crate::plan::x;\n// crate::sim\nlet a = \"crate::tui\"; my_crate::emqx\n";
    assert_eq!(named(&code(text), &modules), ["model", "k8s", "plan"]);
}

/// The names of the types that a file declares with `pub`.
fn public_types(code: &str) -> Vec<String> {
    let mut all = Vec::new();
    for line in code.lines().map(str::trim_start).filter(|line| line.starts_with("pub")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let keyword = words.iter().position(|word| matches!(*word, "struct" | "enum" | "trait" | "type"));
        let Some(name) = keyword.and_then(|at| words.get(at + 1)) else { continue };
        all.push(name.chars().take_while(|letter| letter.is_alphanumeric()).collect());
    }
    all
}

/// The names of the constants that a file declares at its top level.
fn constants(code: &str) -> Vec<&str> {
    let visible = |line: &str| line.starts_with("const ") || line.starts_with("pub");
    let name = |line: &'_ str| -> Option<(usize, usize)> {
        let start = line.find("const ")? + "const ".len();
        let length = line[start..].find(':')?;
        Some((start, start + length))
    };
    let lines = code.lines().filter(|line| visible(line));
    lines.filter_map(|line| name(line).map(|(start, end)| &line[start..end])).collect()
}

/// Parts of names that CONTRIBUTING's section on wording replaces by the field's terms.
const DIALECT: [&str; 29] = [
    "anew", "astray", "deaf", "deeds", "doomed", "dying", "earnest", "goes_on", "hands", "heard", "hearing",
    "hearings", "hears", "lingers", "looked", "meant", "nobody", "pretend", "said", "says", "settled",
    "somebody", "strays", "tale", "tell", "tells", "told", "unheard", "whoever",
];

/// Names that a file declares: functions, variables, constants and fields.
fn declared(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for keyword in ["fn ", "let ", "let mut ", "const ", "struct ", "enum ", "mod ", "pub "] {
        for (at, _) in code.match_indices(keyword) {
            if !is_word(code[..at].chars().next_back()) {
                let rest = &code[at + keyword.len()..];
                names.insert(rest.chars().take_while(|letter| is_word(Some(*letter))).collect());
            }
        }
    }
    names
}

#[test]
fn names_use_the_terms_of_the_field() {
    let mut paths = Vec::new();
    for folder in ["src", "crates", "tests", "benches", "examples"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut paths);
    }
    let mut wrong = Vec::new();
    for path in paths {
        #[expect(clippy::disallowed_methods, reason = "the sources are what is tested")]
        let text = std::fs::read_to_string(&path).expect("a source");
        for name in declared(&without_texts(&text)) {
            let lower = format!("_{}_", name.to_lowercase());
            if DIALECT.iter().any(|part| lower.contains(&format!("_{part}_"))) {
                wrong.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "see the glossary of ARCHITECTURE:\n  {}", wrong.join("\n  "));
}

#[test]
fn a_constant_has_one_home_and_one_value() {
    let mut homes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in raw_files().into_iter().filter(|(file, _)| !file.ends_with("tests.rs")) {
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for name in constants(text).into_iter().filter(|name| !name.contains('(')) {
            homes.entry(name.to_owned()).or_default().push(file.clone());
        }
    }
    homes.retain(|_, files| files.len() > 1);
    assert!(homes.is_empty(), "the same name in several files: {homes:#?}");
}

#[test]
fn a_public_type_name_occurs_once_in_a_crate_and_shadows_nothing_of_std() {
    const STD: [&str; 9] =
        ["Default", "Error", "Future", "Iterator", "Option", "Read", "Result", "String", "Write"];
    let mut wrong = Vec::new();
    for folder in ["src", "crates/emqx-rebalance/src", "crates/emqx-sim/src", "crates/user-files/src"] {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
        let mut seen: BTreeMap<String, PathBuf> = BTreeMap::new();
        for file in files {
            #[expect(clippy::disallowed_methods, reason = "the sources are what is tested")]
            let text = std::fs::read_to_string(&file).expect("a source");
            for name in public_types(&code(&text)) {
                if STD.contains(&name.as_str()) {
                    wrong.push(format!("{} has a type {name}, as std does", file.display()));
                }
                if let Some(other) = seen.insert(name.clone(), file.clone()) {
                    wrong.push(format!("{name} is in {} and in {}", other.display(), file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
