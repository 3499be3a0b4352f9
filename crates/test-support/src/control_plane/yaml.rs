//! YAML files of the repository.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::go_modules::manifest_dir;

pub(super) fn read_yaml(file: &Path) -> Result<Value, String> {
    let file = manifest_dir().join(file);
    let text = fs::read_to_string(&file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    serde_yaml::from_str(&text).map_err(|e| format!("{} is not YAML: {e}", file.display()))
}
