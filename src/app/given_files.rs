//! Files that the command line names.

use crate::cli::intent::ManifestFile;
use crate::error::Problem;
use user_files as files;

/// The hint where a file cannot be created.
pub(super) const WRITABLE: &str = "choose a folder that is there and that you may write to";

pub(super) fn read_text(path: &std::path::Path, hint: &str) -> Result<String, Problem> {
    files::read_text(path).map_err(|error| {
        Problem::new(format!("cannot read {}", path.display()), error.to_string()).hint(hint)
    })
}

pub(super) fn read_manifest(file: &ManifestFile) -> Result<(String, String), Problem> {
    match file {
        ManifestFile::Path(path) => {
            let hint = "kubectl emqx rebalance generate NAME prints a manifest that can be used";
            Ok((path.display().to_string(), read_text(path, hint)?))
        }
        ManifestFile::Stdin => files::read_text_from(std::io::stdin())
            .map(|text| ("stdin".to_owned(), text))
            .map_err(|error| Problem::new("cannot read stdin", error.to_string())),
    }
}

/// Why a file may not be overwritten: it exists, is not empty, and does not begin as this program writes it.
pub(super) fn foreign(path: &std::path::Path, begins: &[u8], what: &str) -> Result<(), String> {
    if path.is_file() && !files::begins_with(path, begins) {
        return Err(format!("it exists and is not {what}"));
    }
    Ok(())
}
