//! What is shipped: licences, crates that are there twice, and manifests that agree with the program.

#![expect(clippy::disallowed_methods, reason = "the files of the package are read where they lie")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    // Crates for other systems may not be there without the network; then they are asked for.
    let output = if output.status.success() {
        output
    } else {
        Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(root())
            .output()
            .expect("cargo runs")
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The quoted words of a list in `deny.toml` that begins with `start`.
fn denied(start: &str, key: Option<&str>) -> BTreeSet<String> {
    let toml = text("deny.toml");
    let from = toml.find(start).expect("the list") + start.len();
    let list = &toml[from..from + toml[from..].find("\n]").expect("its end")];
    list.lines()
        .filter_map(|line| {
            let line = key.map_or(Some(line), |key| line.split_once(key).map(|(_, rest)| rest))?;
            Some(line.split('"').nth(1)?.to_owned())
        })
        .collect()
}

/// Whether an SPDX expression can be met with these licences.
fn met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace('/', " OR ");
    if let Some(inner) = expression.strip_prefix('(')
        && let Some((inner, rest)) = inner.split_once(')')
    {
        let rest = rest.trim();
        return met(inner, allowed) && rest.strip_prefix("AND").is_none_or(|rest| met(rest.trim(), allowed));
    }
    expression
        .split(" OR ")
        .any(|choice| choice.split(" AND ").all(|licence| allowed.contains(licence.trim())))
}

#[test]
fn every_licence_is_one_that_may_be_shipped() {
    let allowed = denied("allow = [", None);
    assert!(allowed.contains("Apache-2.0 WITH LLVM-exception"), "{allowed:?}");
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 100);
    let strange: Vec<String> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(|licence| met(licence, &allowed)))
        .map(|package| format!("{} {}", package["name"], package["license"]))
        .collect();
    assert_eq!(strange, Vec::<String>::new());
}

#[test]
fn no_crate_is_there_twice_without_a_reason() {
    let excused = denied("skip = [", Some("crate = "));
    let metadata = metadata();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let (name, version) = (package["name"].as_str(), package["version"].as_str());
        versions.entry(name.expect("a name")).or_default().insert(version.expect("a version"));
    }
    let twice: BTreeSet<String> = versions
        .iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, _)| (*name).to_owned())
        .filter(|name| !name.starts_with("windows_") && name != "windows-targets")
        .collect();
    let unexcused: Vec<_> = twice.difference(&excused).collect();
    assert!(unexcused.is_empty(), "not in deny.toml: {unexcused:?}");
    let stale: Vec<_> = excused.difference(&twice).collect();
    assert!(stale.is_empty(), "in deny.toml without need: {stale:?}");
}

#[test]
fn the_rights_are_for_what_the_program_asks() {
    let mut resources = BTreeSet::new();
    for document in serde_yaml::Deserializer::from_str(&text("plugin-manifest/rbac.yaml")) {
        let role: Value = serde::Deserialize::deserialize(document).expect("YAML");
        assert_eq!(role["kind"], "ClusterRole");
        for rule in role["rules"].as_array().expect("rules") {
            for resource in rule["resources"].as_array().expect("resources") {
                resources.insert(resource.as_str().expect("a resource").to_owned());
            }
        }
    }
    let wanted = [
        "emqxbrokers",
        "emqxenterprises",
        "emqxes",
        "endpointslices",
        "events",
        "pods",
        "pods/portforward",
        "pods/status",
        "rebalances",
        "replicasets",
        "secrets",
        "statefulsets",
    ];
    assert_eq!(resources.iter().map(String::as_str).collect::<Vec<_>>(), wanted);
}

#[test]
fn the_readme_has_two_commands_for_a_newcomer() {
    let readme = text("README.md");
    for command in ["cargo run -- demo", "cargo test"] {
        assert!(readme.contains(command), "{command}");
    }
}
