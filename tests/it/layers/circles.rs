//! No files use each other in a circle: each can be read after those that it uses. A use is a path in the code, in `use`
//! or elsewhere. It counts for the file that declares the name, even where another file re-exports it. A module file
//! that only declares or re-exports its children uses none of them. Calls of methods name no file and are not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{code, is_word, sources, top_level};

/// A path of modules within a crate, or of a name in one.
type Segments = Vec<String>;

/// One name that a `use` brings into a file.
struct Import {
    path: Segments,
    /// The name in this file; `_` for a trait of which only the methods are used.
    name: String,
}

/// A file, as far as it names others.
struct Module {
    file: String,
    imports: Vec<Import>,
    /// The paths outside of `use`.
    paths: Vec<Segments>,
    /// The words outside of `use`.
    words: BTreeSet<String>,
}

impl Module {
    fn read(file: &str, code: &str) -> Self {
        let mut imports = Vec::new();
        let mut body = String::new();
        let mut lines = code.lines();
        while let Some(line) = lines.next() {
            if let Some(tree) = use_tree(line) {
                let mut tree = tree.to_owned();
                while !tree.ends_with(';') {
                    tree.push_str(lines.next().expect("a use ends"));
                }
                expand(&[], tree.trim_end_matches(';'), &mut imports);
            } else {
                body.push_str(line);
                body.push('\n');
            }
        }
        let paths = paths(&body);
        let words = body.split(|letter| !is_word(Some(letter))).map(str::to_owned).collect();
        Self { file: file.to_owned(), imports, paths, words }
    }
}

/// What follows a `use`; rustfmt begins a line with each.
fn use_tree(line: &str) -> Option<&str> {
    let (before, tree) = line.split_once("use ")?;
    (before.is_empty() || before.starts_with("pub") && before.ends_with(' ')).then_some(tree)
}

/// The names of a tree `a::{b, c::d as e}`.
fn expand(before: &[String], tree: &str, imports: &mut Vec<Import>) {
    let tree = tree.trim();
    if let Some((path, group)) = tree.split_once('{').filter(|(path, _)| !path.contains(',')) {
        let before = [before, &segments(path)].concat();
        for item in top_level(group) {
            expand(&before, item, imports);
        }
    } else if !tree.is_empty() {
        let (path, name) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name)));
        let mut path = [before, &segments(path)].concat();
        if path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name =
            name.map_or_else(|| path.last().cloned().unwrap_or_default(), |name| name.trim().to_owned());
        imports.push(Import { path, name });
    }
}

fn segments(path: &str) -> Segments {
    path.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The paths of two and more names in a text.
fn paths(text: &str) -> Vec<Segments> {
    let in_path = |letter: char| is_word(Some(letter)) || letter == ':';
    let pieces = text.split(|letter| !in_path(letter)).filter(|piece| piece.contains("::"));
    pieces.map(segments).filter(|path| path.len() > 1).collect()
}

/// The modules of one crate, by their paths.
#[derive(Default)]
struct Crate {
    modules: BTreeMap<Segments, Module>,
}

impl Crate {
    /// The module that declares what a path names in the module `from`. `None`: the path is of another crate, or it
    /// names a module itself.
    fn home(&self, from: &[String], path: &[String], depth: u8) -> Option<&[String]> {
        let (first, rest) = path.split_first().filter(|_| depth < 16)?;
        let mut at = from.to_vec();
        let mut rest = rest;
        match first.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop();
                while rest.first().is_some_and(|next| next == "super") {
                    at.pop();
                    rest = &rest[1..];
                }
            }
            name => {
                at.push(name.to_owned());
                if !self.modules.contains_key(&at) {
                    let import = self.modules[from].imports.iter().find(|import| import.name == *name)?;
                    let same = import.path.first() == Some(first);
                    return self.home(
                        from,
                        &[&import.path, rest].concat(),
                        if same { 16 } else { depth + 1 },
                    );
                }
            }
        }
        while let Some((next, after)) = rest.split_first() {
            at.push(next.clone());
            if !self.modules.contains_key(&at) {
                at.pop();
                break;
            }
            rest = after;
        }
        let name = rest.first()?;
        let (at, module) = self.modules.get_key_value(&at)?;
        let import = module.imports.iter().find(|import| import.name == *name);
        let elsewhere =
            import.and_then(|import| self.home(at, &[&import.path, &rest[1..]].concat(), depth + 1));
        Some(elsewhere.unwrap_or(at))
    }

    /// The files that each file uses, with the names.
    fn uses(&self) -> Uses<'_> {
        let mut all = Uses::new();
        for (at, module) in &self.modules {
            let uses = all.entry(&module.file).or_default();
            let imports = module.imports.iter().map(|import| (&import.path, import.name.as_str()));
            let paths = module.paths.iter().map(|path| (path, "_"));
            for (path, name) in imports.chain(paths) {
                let Some(home) = self.home(at, path, 0).filter(|home| home != at) else { continue };
                let only_exported = home.starts_with(at) && name != "_" && !module.words.contains(name);
                if !only_exported {
                    uses.entry(&self.modules[home].file).or_default().insert(path.join("::"));
                }
            }
        }
        all
    }
}

/// The crates of the repository, by their folders.
#[expect(clippy::disallowed_methods, reason = "the sources are what is tested")]
fn crates() -> BTreeMap<String, Crate> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    sources(&root.join("crates"), &mut files);
    let mut all: BTreeMap<String, Crate> = BTreeMap::new();
    for path in files {
        let file = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
        let Some((folder, module)) = file.split_once("src/") else { continue };
        if module == "main.rs" || file.ends_with("tests.rs") || file.contains("/tests/") {
            continue;
        }
        let mut at: Segments = module.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if matches!(at.last().map(String::as_str), Some("mod" | "lib")) {
            at.pop();
        }
        let text = std::fs::read_to_string(&path).expect("a source file");
        all.entry(folder.to_owned()).or_default().modules.insert(at, Module::read(&file, &code(&text)));
    }
    all
}

/// The names by which each file uses others.
type Uses<'a> = BTreeMap<&'a str, BTreeMap<&'a str, BTreeSet<String>>>;

/// The files that a file uses, directly and through others.
fn reached<'a>(uses: &Uses<'a>, start: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![start];
    while let Some(at) = next.pop() {
        next.extend(uses.get(at).into_iter().flat_map(BTreeMap::keys).filter(|to| reached.insert(**to)));
    }
    reached
}

/// The circles among files, each with its uses as `a -> b: names`.
fn circles(uses: &Uses<'_>) -> Vec<(BTreeSet<String>, Vec<String>)> {
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        uses.keys().map(|file| (*file, reached(uses, file))).collect();
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for (file, to) in &reach {
        let circle: BTreeSet<&str> =
            to.iter().filter(|to| reach.get(*to).is_some_and(|back| back.contains(file))).copied().collect();
        if circle.is_empty() || !seen.insert(circle.clone()) {
            continue;
        }
        let mut edges = Vec::new();
        for from in &circle {
            for (to, names) in uses[from].iter().filter(|(to, _)| circle.contains(*to)) {
                edges.push(format!(
                    "{from} -> {to}: {}",
                    names.iter().cloned().collect::<Vec<_>>().join(", ")
                ));
            }
        }
        all.push((circle.into_iter().map(str::to_owned).collect(), edges));
    }
    all
}

/// The same for the modules within a folder: a file counts for the part of its path after the folder.
fn of_modules<'a>(uses: &Uses<'a>, folder: &str) -> Uses<'a> {
    let module = |file: &'a str| {
        let first = file.strip_prefix(folder)?.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first)).filter(|name| *name != "mod")
    };
    let mut modules: Uses<'a> = BTreeMap::new();
    for (file, targets) in uses {
        let Some(from) = module(file) else { continue };
        let used = modules.entry(from).or_default();
        for (target, names) in targets {
            if let Some(to) = module(target).filter(|to| *to != from) {
                used.entry(to).or_default().extend(names.iter().cloned());
            }
        }
    }
    modules
}

fn report(circles: impl IntoIterator<Item = (BTreeSet<String>, Vec<String>)>) {
    let wrong: Vec<String> = circles
        .into_iter()
        .map(|(circle, edges)| format!("a circle of {}:\n    {}", circle.len(), edges.join("\n    ")))
        .collect();
    assert!(wrong.is_empty(), "move what is shared into the lower one:\n  {}", wrong.join("\n  "));
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    report(crates().values().flat_map(|of| circles(&of.uses())));
}

#[test]
fn no_modules_of_plan_use_each_other_in_a_circle() {
    let crates = crates();
    let modules: Vec<Uses<'_>> =
        crates.values().map(|of| of_modules(&of.uses(), "src/plan/")).filter(|of| !of.is_empty()).collect();
    assert!(modules.iter().map(BTreeMap::len).sum::<usize>() > 20, "the modules of plan are found");
    report(modules.iter().flat_map(circles));
}

#[test]
fn a_use_counts_for_the_file_that_declares_the_name() {
    let files = [
        (
            "",
            "pub mod a;\npub mod b;\npub use a::{Own, deep::Deep};\npub use b::B as Other;\nfn f(own: Own) {}",
        ),
        ("a", "pub mod deep;\nuse deep::Deep;\nuse crate::Other;\npub struct Own;"),
        ("a/deep", "use super::{self as up, Own};\npub struct Deep;\nfn f() { up::g(); }"),
        (
            "b",
            "use crate::a;\nuse std::fmt::{self, Debug};\npub struct B;\nfn f() { a::deep::go(); fmt::x(); }",
        ),
    ];
    let mut all = Crate::default();
    for (module, code) in files {
        let at = module.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        all.modules.insert(at, Module::read(if module.is_empty() { "lib" } else { module }, code));
    }
    let uses = all.uses();
    let edges: Vec<String> =
        uses.iter().flat_map(|(from, to)| to.keys().map(move |to| format!("{from} -> {to}"))).collect();
    assert_eq!(edges, ["a -> b", "a/deep -> a", "b -> a/deep", "lib -> a"]);
    let [(circle, edges)] = &circles(&uses)[..] else { panic!("one circle") };
    assert_eq!(circle.iter().collect::<Vec<_>>(), ["a", "a/deep", "b"]);
    assert_eq!(
        edges,
        &["a -> b: crate::Other", "a/deep -> a: super::Own, up::g", "b -> a/deep: a::deep::go"]
    );
}
