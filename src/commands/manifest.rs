//! Reading a manifest from a file: YAML or JSON, one document.

use serde::Deserialize;
use serde_json::Value;

use crate::error::Problem;
use crate::plan::rebalance::manifest::{ManifestRequest, written};
use crate::plan::rebalance::saved::{self, SavedPlan};

/// The largest manifest in bytes, larger than any Rebalance.
const MAX_MANIFEST_BYTES: usize = 1 << 20;

const HINT: &str = "kubectl emqx rebalance generate NAME prints a manifest that can be used";

/// The content of a file for `apply -f`.
pub(super) enum AppliedFile {
    /// A Rebalance manifest.
    Manifest(Box<ManifestRequest>),
    Plan(SavedPlan),
}

/// Reads the manifest or the saved plan in `text`, which came from `from`.
pub(super) fn read(from: &str, text: &str) -> Result<AppliedFile, Problem> {
    let bad = |why: String| Problem::new(format!("cannot use {from}"), why).hint(HINT);
    if text.len() > MAX_MANIFEST_BYTES {
        return Err(bad(format!("it is {} bytes long; a Rebalance is no longer than 1 MiB", text.len())));
    }
    let mut documents = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        match Value::deserialize(document) {
            Ok(Value::Null) => {}
            Ok(value) => documents.push(value),
            Err(error) => return Err(bad(format!("it is not YAML: {error}"))),
        }
    }
    match (documents.len(), documents.pop()) {
        (1, Some(object)) if saved::is_plan(&object) => saved::read(&object, from).map(AppliedFile::Plan),
        (1, Some(object)) => written(object, from)
            .map(|written| AppliedFile::Manifest(Box::new(written)))
            .map_err(|problem| problem.hint(HINT)),
        (0, _) => Err(bad("it is empty".to_owned())),
        (more, _) => Err(bad(format!("it holds {more} documents; apply one Rebalance at a time"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "apiVersion: apps.emqx.io/v2beta1\nkind: Rebalance\nspec:\n  instanceName: emqx\n  \
                        rebalanceStrategy: {connEvictRate: 10}\n";

    #[test]
    fn one_document_is_read_also_with_markers_around_it() {
        let AppliedFile::Manifest(written) = read("f", GOOD).expect("read") else { panic!("a manifest") };
        assert_eq!(written.instance_name, "emqx");
        assert!(read("f", &format!("---\n{GOOD}\n---\n")).is_ok());
    }

    proptest::proptest! {
        /// Budget: 256 cases of any text put into a manifest.
        #[test]
        fn no_text_makes_it_panic(at in 0..GOOD.len(), text in "[\\PC\\n\t:{}&*<!-]{0,12}", cut in 0..20_usize) {
            let mut manifest = GOOD.to_owned();
            manifest.replace_range(at..(at + cut).min(GOOD.len()), &text);
            let _ = read("f", &manifest);
            let _ = read("f", &text);
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_message() {
        let why = |text: &str| read("f.yaml", text).err().expect("refused").why;
        assert!(why("").contains("empty"));
        assert!(why("{").contains("not YAML"));
        assert!(why(&format!("{GOOD}---\n{GOOD}")).contains("2 documents"));
        assert!(why("just words").contains("not a Rebalance"));
    }
}
