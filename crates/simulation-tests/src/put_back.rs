//! Faults that the product had or could have, kept as changes of its source text. With a fault put back, the
//! seeds must find it.
//!
//! A file in `put-back/` names the kind of fault, the seeds that can meet it, and a test that fails with it;
//! and then each change: the text that must occur once in `src/`, and its replacement. `PUT_BACK` in it is
//! true while this fault is switched on, so that one build of the product has all of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::case::{Breadth, Case};

/// The module that is added to the changed product.
pub const MODULE: &str = r#"//! Which fault is put back.

/// Whether it is this one.
pub fn on(name: &str) -> bool {
    static NAME: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    NAME.get_or_init(|| std::env::var("PUT_BACK").ok()).as_deref() == Some(name)
}
"#;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutBack {
    /// The name of its file, without the end.
    pub name: String,
    /// The fault, in one sentence without a full stop.
    pub kind: String,
    /// Whether seeds can meet it.
    pub by_seeds: bool,
    /// The flags of the seeds that can meet it: none for wide ones, `--upgrades`.
    pub flags: Vec<String>,
    /// The test that fails with it: its target (`lib`, `it`, `journeys`) and its name.
    pub test: Option<(String, String)>,
    /// Words of which a case has one, as operations and faults are written in its file, where only such a case can meet the
    /// fault; none for every case.
    pub meets: Vec<String>,
    /// Each change: the present text, and its replacement.
    pub changes: Vec<(String, String)>,
}

impl PutBack {
    /// Reads a file.
    ///
    /// # Errors
    /// The first line that is not as expected.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut parts = text.split("--- old\n");
        let head = parts.next().unwrap_or_default();
        let field = |key: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(key));
            line.map(|value| value.trim().to_owned()).ok_or_else(|| format!("{name}: `{key}` is missing"))
        };
        let seeds = field("seeds:")?;
        let flags = match seeds.as_str() {
            "wide" | "none" => Vec::new(),
            "upgrades" => vec!["--upgrades".to_owned()],
            other => return Err(format!("{name}: unknown seeds {other}")),
        };
        let change = |part: &str| {
            let halves = part.split_once("\n+++ new\n");
            let (old, new) = halves.ok_or_else(|| format!("{name}: a change without `+++ new`"))?;
            Ok((old.to_owned(), new.trim_end_matches('\n').to_owned()))
        };
        let changes: Vec<_> = parts.map(change).collect::<Result<_, String>>()?;
        if changes.is_empty() {
            return Err(format!("{name}: no change"));
        }
        let meets = field("meets:").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        let test = field("test:").ok().map(|text| match text.split_once(' ') {
            Some((target @ ("lib" | "it" | "journeys"), test)) => {
                Ok((target.to_owned(), test.trim().to_owned()))
            }
            _ => Err(format!("{name}: `test:` needs lib, it or journeys, and the name of a test")),
        });
        let (test, by_seeds) = (test.transpose()?, seeds != "none");
        if test.is_none() && !by_seeds {
            return Err(format!("{name}: neither seeds nor a test can find it"));
        }
        Ok(Self { name: name.to_owned(), kind: field("kind:")?, by_seeds, flags, test, meets, changes })
    }

    /// Whether the case of a seed can meet it.
    pub fn can_meet(&self, seed: u64) -> bool {
        let breadth = if self.flags.is_empty() { Breadth::Wide } else { Breadth::Upgrades };
        let case = serde_json::to_string(&Case::of(seed, breadth)).unwrap_or_default();
        self.meets.is_empty() || self.meets.iter().any(|word| case.contains(&format!("\"{word}\"")))
    }

    /// Makes the changes in the files of the product.
    ///
    /// # Errors
    /// The text that does not occur once.
    pub fn apply(&self, files: &mut BTreeMap<PathBuf, String>) -> Result<(), String> {
        for (old, new) in &self.changes {
            let found: usize = files.values().map(|text| text.matches(old.as_str()).count()).sum();
            if found != 1 {
                let first = old.lines().next().unwrap_or_default().trim();
                return Err(format!("{}: its text occurs {found} times in src: {first}", self.name));
            }
            let new = new.replace("PUT_BACK", &format!("crate::put_back::on(\"{}\")", self.name));
            for text in files.values_mut() {
                *text = text.replace(old.as_str(), &new);
            }
        }
        Ok(())
    }
}

/// Every fault, in the order of their names.
///
/// # Errors
/// A folder or a file that cannot be read.
#[expect(clippy::disallowed_methods, reason = "the faults are files of this package")]
pub fn all() -> Result<Vec<PutBack>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("put-back");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.extension().is_some_and(|extension| extension == "fault") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            all.push(PutBack::parse(
                &name,
                &std::fs::read_to_string(&path).map_err(|error| error.to_string())?,
            )?);
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// The source files of the product.
///
/// # Errors
/// A file that cannot be read.
#[expect(clippy::disallowed_methods, reason = "the files of the workspace that is built")]
pub fn sources(folder: &Path) -> Result<BTreeMap<PathBuf, String>, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
                files.insert(path, text);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Operation;

    const TEXT: &str = "kind: a sum is wrong\nseeds: upgrades\nmeets: othersUpgrade\n--- old\n    a + b\n+++ new\n    if PUT_BACK { a } else { a + b }\n";

    #[test]
    fn a_change_is_made_where_its_text_occurs_once_and_refused_elsewhere() {
        let fault = PutBack::parse("sum", TEXT).expect("a fault");
        assert_eq!(
            (fault.kind.as_str(), fault.flags.as_slice()),
            ("a sum is wrong", &["--upgrades".to_owned()][..])
        );
        let met: Vec<u64> = (0..40).filter(|seed| fault.can_meet(*seed)).collect();
        let others = |seed: &u64| Case::of(*seed, Breadth::Upgrades).operation == Operation::OthersUpgrade;
        assert_eq!(met, (0..40).filter(others).collect::<Vec<_>>());
        let file = |text: &str| BTreeMap::from([(PathBuf::from("a.rs"), text.to_owned())]);
        let mut once = file("{\n    a + b\n}");
        fault.apply(&mut once).expect("it applies");
        let changed = "{\n    if crate::put_back::on(\"sum\") { a } else { a + b }\n}";
        assert_eq!(once.values().next().map(String::as_str), Some(changed));
        for text in ["{\n    a - b\n}", "{\n    a + b;\n    a + b\n}"] {
            assert!(fault.apply(&mut file(text)).is_err(), "{text}");
        }
        assert!(PutBack::parse("empty", "kind: none\nseeds: wide\n").is_err());
        let by_test = TEXT.replace("seeds: upgrades", "seeds: none\ntest: lib a_sum_is_a_sum");
        let by_test = PutBack::parse("sum", &by_test).expect("a fault");
        assert_eq!(by_test.test, Some(("lib".to_owned(), "a_sum_is_a_sum".to_owned())));
        assert!(!by_test.by_seeds);
        assert!(PutBack::parse("sum", &TEXT.replace("upgrades", "none")).is_err(), "nothing finds it");
    }
}
