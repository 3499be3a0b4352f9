//! The shipped files: licences, duplicate crates, and manifests that match the program.

#![expect(clippy::disallowed_methods, reason = "the files of the package are read where they lie")]
#![expect(clippy::print_stderr, reason = "a test that does not run reports it")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
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
    // Crates for other systems may be missing without the network; then the command runs with it.
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

/// The roles of `rbac.yaml`, each with `verb group/resource` of all its rules.
fn roles() -> BTreeMap<String, BTreeSet<String>> {
    let text = text("plugin-manifest/rbac.yaml");
    let words = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .expect("a list")
            .iter()
            .map(|word| word.as_str().expect("a word").to_owned())
            .collect()
    };
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| {
            let role: Value = serde::Deserialize::deserialize(document).expect("YAML");
            assert_eq!(role["kind"], "ClusterRole");
            let mut rights = BTreeSet::new();
            for rule in role["rules"].as_array().expect("rules") {
                for (verb, resource) in words(&rule["verbs"]).iter().flat_map(|verb| {
                    words(&rule["resources"]).into_iter().map(move |resource| (verb.clone(), resource))
                }) {
                    rights.insert(format!("{verb} {resource}"));
                }
            }
            (role["metadata"]["name"].as_str().expect("a name").to_owned(), rights)
        })
        .collect()
}

#[test]
fn the_shipped_permissions_are_those_that_the_program_needs() {
    let roles = roles();
    let readers = [
        "configmaps",
        "emqxbrokers",
        "emqxenterprises",
        "emqxes",
        "endpointslices",
        "events",
        "pods",
        "rebalances",
        "replicasets",
        "statefulsets",
    ];
    let kinds = ["emqxbrokers", "emqxenterprises", "emqxes"];
    let view: BTreeSet<String> = ["list", "watch"]
        .iter()
        .flat_map(|verb| readers.iter().map(move |resource| format!("{verb} {resource}")))
        .chain(kinds.iter().map(|kind| format!("get {kind}")))
        .chain(
            ["horizontalpodautoscalers", "leases", "resourcequotas", "scaledobjects", "services"]
                .iter()
                .map(|resource| format!("list {resource}")),
        )
        .collect();
    assert_eq!(roles["kubectl-emqx-view"], view, "who looks changes nothing and sees no Secret");
    let of = |name: &str| roles[name].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(of("kubectl-emqx-act"), ["create rebalances", "delete rebalances", "patch rebalances"]);
    assert_eq!(
        of("kubectl-emqx-upgrade"),
        [
            "create configmaps",
            "patch configmaps",
            "patch emqxbrokers",
            "patch emqxenterprises",
            "patch emqxes",
            "patch pods/status",
            "patch statefulsets/scale"
        ]
    );
    assert_eq!(
        of("kubectl-emqx-ask-emqx"),
        ["create pods/portforward", "get pods/portforward", "get secrets"]
    );
    assert_eq!(
        of("kubectl-emqx-remove"),
        [
            "create configmaps",
            "create leases",
            "create pods/eviction",
            "get leases",
            "get persistentvolumeclaims",
            "list horizontalpodautoscalers",
            "list poddisruptionbudgets",
            "list scaledobjects",
            "patch configmaps",
            "patch pods",
            "patch pods/status",
            "update leases"
        ]
    );
    assert_eq!(
        of("kubectl-emqx-nodes"),
        [
            "get customresourcedefinitions",
            "get nodes",
            "get persistentvolumes",
            "list nodes",
            "list pods",
            "patch nodes"
        ]
    );
    assert_eq!(roles.len(), 6);
    let readme = text("README.md");
    for role in roles.keys() {
        assert!(readme.contains(&format!("| `{role}` |")), "{role} in README's table of roles");
    }
}

#[test]
fn every_file_for_the_plugin_is_explained_beside_it() {
    let readme = text("plugin-manifest/README.md");
    for entry in std::fs::read_dir(root().join("plugin-manifest")).expect("the folder") {
        let name = entry.expect("a file").file_name().into_string().expect("a name");
        assert!(name == "README.md" || readme.contains(&format!("`{name}`")), "{name}");
    }
}

/// The value of `key` in `Cargo.toml`'s package.
fn package(key: &str) -> String {
    let cargo = text("Cargo.toml");
    let line = cargo.lines().find(|line| line.starts_with(&format!("{key} = "))).expect(key);
    line.split('"').nth(1).expect("a quoted value").to_owned()
}

#[test]
fn the_krew_manifest_has_all_that_the_index_wants() {
    let manifest: Value = serde_yaml::from_str(&text("krew/emqx.yaml")).expect("YAML");
    let spec = &manifest["spec"];
    assert_eq!(manifest["metadata"]["name"], "emqx");
    assert_eq!(spec["homepage"], package("repository"), "krew-release-bot goes by it");
    // The reviewers of the index require one line that fits in the table of `kubectl krew search`.
    assert!(spec["shortDescription"].as_str().is_some_and(|line| line.len() <= 50 && !line.ends_with('.')));
    let mut platforms = BTreeSet::new();
    for platform in spec["platforms"].as_array().expect("platforms") {
        let labels = &platform["selector"]["matchLabels"];
        let (os, arch) = (labels["os"].as_str().expect("os"), labels["arch"].as_str().expect("arch"));
        let uri = platform["uri"].as_str().expect("a uri");
        assert!(uri.starts_with(&package("repository")), "{uri}");
        assert!(uri.ends_with(&format!("/kubectl-emqx-{os}-{arch}.tar.gz")), "{uri}");
        assert_eq!(platform["bin"], if os == "windows" { "kubectl-emqx.exe" } else { "kubectl-emqx" });
        platforms.insert(format!("{os}/{arch}"));
    }
    let all =
        ["darwin/amd64", "darwin/arm64", "linux/amd64", "linux/arm64", "windows/amd64", "windows/arm64"];
    assert_eq!(platforms.iter().map(String::as_str).collect::<Vec<_>>(), all);
}

#[cfg(unix)]
mod scripts {
    use super::*;

    /// Runs a script; returns its standard output, or its standard error when it failed.
    fn run(name: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(root().join("scripts").join(name));
        command.args(arguments).current_dir(root()).env("SOURCE_DATE_EPOCH", "1700000000");
        let output = command.output().unwrap_or_else(|error| panic!("{name}: {error}"));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    fn folder(name: &str) -> PathBuf {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[test]
    fn the_krew_manifest_is_the_template_rendered() {
        let manifest = text("krew/emqx.yaml");
        let tag = manifest.lines().find_map(|line| line.strip_prefix("  version: ")).expect("a version");
        let rendered = run("render-manifest", &[tag, "krew/SHA256SUMS"]).expect("it renders");
        assert_eq!(manifest, rendered, "scripts/render-manifest {tag} krew/SHA256SUMS > krew/emqx.yaml");
    }

    #[test]
    fn a_manifest_without_a_checksum_or_a_tag_is_refused() {
        let sums = text("krew/SHA256SUMS");
        let fewer: Vec<&str> = sums.lines().filter(|line| !line.contains("windows-arm64")).collect();
        let file = folder("render").join("SHA256SUMS");
        std::fs::write(&file, fewer.join("\n")).expect("it is written");
        let file = file.to_str().expect("UTF-8");
        let refused = run("render-manifest", &["v1.0.0", file]).expect_err("a platform is missing");
        assert!(refused.contains("no checksum of kubectl-emqx-windows-arm64.tar.gz"), "{refused}");
        let refused = run("render-manifest", &["1.0", "krew/SHA256SUMS"]).expect_err("no tag");
        assert!(refused.contains("no tag of a release"), "{refused}");
    }

    #[test]
    fn the_same_program_gives_the_same_archive() {
        let folder = folder("package");
        let (program, man) = (folder.join("program"), folder.join("man"));
        std::fs::create_dir_all(&man).expect("a folder");
        std::fs::write(man.join("kubectl-emqx.1"), "a page").expect("it is written");
        let mut archives = Vec::new();
        for out in ["first", "second"] {
            // The file is written again: its time and place differ.
            std::fs::write(&program, "a program").expect("it is written");
            let out = folder.join(out);
            let paths = [&program, &man, &out].map(|path| path.to_str()).map(|path| path.expect("UTF-8"));
            let [program, man, out_folder] = paths;
            let made = ["--binary", program, "--man", man, "--out", out_folder];
            let arguments = [&["--no-sbom", "--target", "aarch64-apple-darwin"], &made[..]].concat();
            run("package", &arguments).expect("it packs");
            archives.push(std::fs::read(out.join("kubectl-emqx-darwin-arm64.tar.gz")).expect("an archive"));
        }
        assert!(archives[0] == archives[1], "they differ");
        let list = Command::new("tar")
            .arg("tzf")
            .arg(folder.join("first/kubectl-emqx-darwin-arm64.tar.gz"))
            .output();
        let list = String::from_utf8(list.expect("tar runs").stdout).expect("UTF-8");
        for file in
            ["LICENSE", "kubectl-emqx", "completions/kubectl_complete-emqx", "completions/kubectl-emqx.zsh"]
        {
            assert!(list.lines().any(|line| line == file), "{file}: {list}");
        }
    }

    #[test]
    fn shellcheck_has_nothing_to_say_about_them() {
        let scripts: Vec<PathBuf> = std::fs::read_dir(root().join("scripts"))
            .expect("the folder")
            .map(|entry| entry.expect("a file").path())
            .chain([root().join(".ci/run"), root().join("plugin-manifest/kubectl_complete-emqx")])
            .collect();
        assert!(scripts.len() > 4, "{scripts:?}");
        for script in &scripts {
            let text = std::fs::read_to_string(script).expect("a script");
            let strict = text.starts_with("#!/bin/sh\n") || text.contains("\nset -euo pipefail\n");
            assert!(strict, "{}", script.display());
        }
        match Command::new("shellcheck").args(&scripts).output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
            Err(error) => eprintln!("SKIPPED: the scripts were not looked at: shellcheck: {error}"),
        }
    }

    #[test]
    fn an_archive_for_an_unknown_system_is_refused() {
        let refused =
            run("package", &["--target", "riscv64gc-unknown-linux-gnu"]).expect_err("no such archive");
        assert!(refused.contains("no archive is made for riscv64gc-unknown-linux-gnu"), "{refused}");
    }
}

#[test]
fn every_shortcut_for_k9s_is_a_command() {
    let file: Value = serde_yaml::from_str(&text("plugin-manifest/k9s-plugin.yaml")).expect("YAML");
    let mut taken = BTreeSet::new();
    for (name, plugin) in file["plugins"].as_object().expect("plugins") {
        let words: Vec<&str> =
            plugin["args"].as_array().expect("args").iter().filter_map(Value::as_str).collect();
        // `sh -c LINE`, or kubectl's arguments themselves.
        let line = if plugin["command"] == "kubectl" {
            format!("kubectl {}", words.join(" "))
        } else {
            words[1].to_owned()
        };
        let line =
            line.replace("$NAMESPACE", "mq").replace("$NAME", "emqx").replace("\"$CONTEXT\"", "$CONTEXT");
        let words = line
            .split(" 2>&1")
            .next()
            .and_then(|line| line.split(" || ").next())
            .unwrap_or_default()
            .replace("$CONTEXT", "here");
        let words = words.strip_prefix("kubectl emqx ").unwrap_or_else(|| panic!("{name}: {words}"));
        assert!(!words.contains('$'), "{name}: {words}");
        let words = ["kubectl-emqx"].into_iter().chain(words.split(' ')).map(OsString::from);
        if let Err(parsed) = kubectl_emqx::cli::parse(words, |_| None) {
            panic!("{name}: {parsed:?}");
        }
        // The keys of k9s 0.50 in its list of a custom resource that can be scaled: it omits a plugin that
        // uses one of them.
        let key = plugin["shortCut"].as_str().expect("a key");
        assert!(!"ceydnwsuhjklgq0123456789/:?".contains(key), "{name}: {key} is k9s' own");
        for scope in plugin["scopes"].as_array().expect("scopes") {
            let scope = scope.as_str().expect("a scope");
            assert!(["emqxes", "emqxenterprises", "rebalances"].contains(&scope), "{name}: {scope}");
            assert!(taken.insert(format!("{} {scope}", plugin["shortCut"])), "{name}: the key is taken");
        }
    }
    assert!(taken.len() >= 8, "{taken:?}");
}

#[test]
fn what_releases_it_is_pinned_and_may_no_more_than_it_must() {
    for name in ["ci.yml", "release.yml"] {
        let file = format!(".github/workflows/{name}");
        let workflow: Value = serde_yaml::from_str(&text(&file)).expect("YAML");
        assert_eq!(workflow["permissions"], serde_json::json!({"contents": "read"}), "{file}");
        for (job, it) in workflow["jobs"].as_object().expect("jobs") {
            for step in it["steps"].as_array().expect("steps") {
                if let Some(uses) = step["uses"].as_str() {
                    let commit = uses.split_once('@').map_or("", |(_, commit)| commit);
                    let pinned = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
                    assert!(pinned, "{file}: {job} uses {uses}");
                }
                // A name from outside in a script would be code from outside.
                assert!(
                    !step["run"].as_str().is_some_and(|run| run.contains("${{")),
                    "{file}: {job}: {step}"
                );
            }
        }
    }
    let release = text(".github/workflows/release.yml");
    let manifest = text("plugin-manifest/emqx.yaml");
    assert!(
        release.contains("scripts/package")
            && release.contains("krew_template_file: plugin-manifest/emqx.yaml")
    );
    for platform in
        ["linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64", "windows-amd64", "windows-arm64"]
    {
        assert!(release.contains(&format!("platform: {platform},")), "{platform} is built");
        assert!(manifest.contains(&format!("-{platform}.tar.gz")), "{platform} is in the manifest");
    }
}

#[test]
fn the_readme_has_two_commands_for_a_newcomer() {
    let readme = text("README.md");
    for command in ["cargo run -- demo", "cargo test"] {
        assert!(readme.contains(command), "{command}");
    }
}
