//! Cases that failed once. Each is a file: `known/` has those whose fault is not fixed yet, `kept/` those
//! that must pass.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::case::Case;

/// A case that failed once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// The rule that was broken.
    pub rule: String,
    /// The printed output and the truth, when it was found.
    pub what: String,
    /// The case, with as few faults as it needs.
    pub case: Case,
}

/// The folder of the cases that must pass.
pub fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kept")
}

/// The folder of the faults that are not fixed yet. It only shrinks.
pub fn known() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("known")
}

/// The rules whose faults are known and not fixed yet.
///
/// # Errors
/// A file that is not a case.
pub fn known_rules() -> Result<BTreeSet<String>, String> {
    Ok(cases(&known())?.into_iter().map(|(_, kept)| kept.rule).collect())
}

/// Every case of a folder, with the name of its file.
#[expect(clippy::disallowed_methods, reason = "the cases are files of this package")]
pub fn cases(folder: &Path) -> Result<Vec<(String, Kept)>, String> {
    let mut all = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(all) };
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let kept = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        all.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), kept));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

/// Writes a case into a folder; its name is made of the rule and the seed.
pub fn write(folder: &Path, kept: &Kept) -> Result<PathBuf, String> {
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let words: String = kept
        .rule
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' })
        .collect();
    let path = folder.join(format!("{words}-{}.json", kept.case.seed));
    let text = serde_json::to_string_pretty(kept).map_err(|error| error.to_string())?;
    std::fs::write(&path, text + "\n").map_err(|error| error.to_string())?;
    Ok(path)
}
