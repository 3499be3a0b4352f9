//! Files and streams that the user names, and files that the program writes: read in any encoding and from
//! pipes, within limits; written so that only their owner can read them, and never over a file of another
//! origin.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::between::{Rule, proxy};
#[cfg(target_os = "linux")]
use crate::completion::{skipped, tool};
use crate::harness::{Cluster, Going, PROGRAM, Ran, alone, folder, harmless, program, until};

/// A recording of the real EMQX in which one rebalance ends.
const RECORDING: &str = "recorded/v2beta1-rebalance-operator-2.2.jsonl";

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn utf16(text: &str) -> Vec<u8> {
    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

fn marked(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").into_bytes()
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).expect("it exists").permissions().mode() & 0o777
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a file of ours");
}

/// Runs a line of a shell in which `$PROGRAM` is the program.
#[track_caller]
fn shell(shell: &str, home: &Path, line: &str) -> Ran {
    let mut command = Command::new(shell);
    command.args(["-c", line]).env_clear().current_dir(home);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", home).env("TMPDIR", home).env("PROGRAM", PROGRAM).env("TZ", "UTC");
    Going::start(command, None).end()
}

#[test]
fn a_recording_is_read_in_every_encoding() {
    let home = folder();
    let text = std::fs::read_to_string(data(RECORDING)).expect("a recording");
    let plain = alone(&format!("replay -o jsonl {}", data(RECORDING).display())).exits(0);
    for (name, bytes) in [("bom", marked(&text)), ("utf16", utf16(&text))] {
        let path = home.join(name);
        std::fs::write(&path, bytes).expect("written");
        let ran = alone(&format!("replay -o jsonl {}", path.display())).exits(0);
        assert_eq!((ran.out, ran.err), (plain.out.clone(), plain.err.clone()), "{name}");
    }
    std::fs::remove_dir_all(home).expect("ours");
}

#[cfg(unix)]
#[test]
fn a_recording_is_read_from_stdin_a_pipe_and_a_process_substitution() {
    let home = folder();
    let file = data(RECORDING).display().to_string();
    let plain = alone(&format!("replay -o jsonl {file}")).exits(0).out;
    for line in [
        format!("cat {file} | $PROGRAM replay -o jsonl /dev/stdin"),
        format!("cat {file} | $PROGRAM replay -o jsonl -"),
        format!("$PROGRAM replay -o jsonl /dev/stdin <{file}"),
        format!("mkfifo f && (cat {file} >f & $PROGRAM replay -o jsonl f)"),
    ] {
        assert_eq!(shell("sh", &home, &line).exits(0).out, plain, "{line}");
    }
    if let Some(bash) = crate::completion::tool("bash") {
        let line = format!("$PROGRAM replay -o jsonl <(cat {file})");
        assert_eq!(shell(&bash.display().to_string(), &home, &line).exits(0).out, plain);
    }
    shell("sh", &home, "true | $PROGRAM replay /dev/stdin").fails(1).reports("/dev/stdin");
    std::fs::remove_dir_all(home).expect("ours");
}

#[test]
fn a_line_or_a_file_over_the_limit_is_an_error_that_names_the_limit() {
    let home = folder();
    let large = home.join("large");
    std::fs::write(&large, "a".repeat(17 << 20)).expect("written");
    let large = large.display();
    for call in [
        format!("status --kubeconfig {large}"),
        format!("rebalance apply --yes -f {large} --kubeconfig {large}"),
        format!("demo serve --file {large}"),
        format!("status --emqx-url http://127.0.0.1:1 --api-key-file {large}"),
        format!("status --emqx-url https://127.0.0.1:1 --emqx-ca {large}"),
    ] {
        let ran = alone(&call).exits(1);
        assert!(ran.err.contains("it is larger than 16 MB"), "{call}\n{ran}");
        assert!(ran.err.len() < 2000, "{call}: {} bytes", ran.err.len());
    }
    let long = home.join("long");
    std::fs::write(
        &long,
        format!("{{\"t\":0,\"from\":\"clock\",\"at\":\"2026-01-01T00:00:00Z\"}}\n{}", "a".repeat(33 << 20)),
    )
    .expect("written");
    let ran = alone(&format!("replay -o jsonl {}", long.display()));
    assert!(ran.err.contains("longer than 32 MB") && ran.err.len() < 2000, "{ran}");
    std::fs::remove_dir_all(home).expect("ours");
}

#[test]
fn thousands_of_lines_that_cannot_be_read_are_a_few_notices() {
    let home = folder();
    let file = home.join("garbage");
    let mut text = "{\"t\":0,\"from\":\"clock\",\"at\":\"2026-01-01T00:00:00Z\"}\n".to_owned();
    text.push_str(&"garbage\n".repeat(5000));
    std::fs::write(&file, text).expect("written");
    let ran = alone(&format!("replay {}", file.display())).exits(0);
    assert!(ran.err.contains("line 2 of") && ran.err.lines().count() < 60, "{ran}");
    assert!(ran.err.contains("further notices are not shown"), "{ran}");
    std::fs::remove_dir_all(home).expect("ours");
}

#[test]
fn manifests_scenarios_keys_and_kubeconfigs_are_read_in_every_encoding() {
    let demo = Cluster::faulty("documented", 40.0);
    let write = |name: &str, bytes: Vec<u8>| {
        let path = demo.home.join(name);
        std::fs::write(&path, bytes).expect("written");
        path.display().to_string()
    };
    let read = |name: &str| std::fs::read_to_string(data(name)).expect("a file");
    for name in ["field/manifests/10-bom.yaml", "field/manifests/11-utf16-powershell.yaml"] {
        let ran = demo.run(&format!("rebalance apply --yes --dry-run=client -f {}", data(name).display()));
        assert!(!ran.err.contains("UTF-8") && !ran.err.contains("not text"), "{name}\n{ran}");
        assert!(matches!(ran.code, Some(0 | 1 | 6)), "{name}\n{ran}");
    }
    let manifest = demo.run("rebalance generate --conn-evict-rate 10").exits(0).out;
    let config = std::fs::read_to_string(&demo.kubeconfig).expect("a kubeconfig");
    let pair = {
        let key = demo.parts().emqx.key();
        format!("{}:{}\n", key.key, key.secret)
    };
    for encode in [marked, utf16] {
        let manifest = write("manifest.yaml", encode(&manifest));
        demo.run(&format!("rebalance apply --yes --dry-run=client -f {manifest}")).exits(0);
        let config = write("kubeconfig", encode(&config));
        demo.run(&format!("status --kubeconfig {config}")).exits(0).shows("10,000 connections");
        let key = write("key", encode(&pair));
        let url = &demo.parts().emqx_url;
        demo.run(&format!("status --emqx-url {url} --api-key-file {key}"))
            .exits(0)
            .shows("10,000 connections");
        let scenario = write("scenario.yaml", encode(&read("field/serving/quiet.yaml")));
        let mut serve =
            Going::start(program(&demo.home, &["demo", "serve", "--file", &scenario, "--speed", "20"]), None);
        serve.until("export KUBECONFIG=");
    }
    let piped = demo.run_with("rebalance apply --yes --dry-run=client -f -", &format!("\u{feff}{manifest}"));
    piped.exits(0);
}

#[test]
fn a_generated_name_is_completed_by_the_api_server() {
    let demo = Cluster::faulty("documented", 40.0);
    let manifest = demo.run("rebalance generate --conn-evict-rate 10 --abs-conn-threshold 100").exits(0).out;
    let name = manifest.lines().find(|line| line.starts_with("  name: ")).expect("a name").to_owned();
    let file = demo.file("generated.yaml", &manifest.replace(&name, "  generateName: nightly-"));
    let ran = demo.run(&format!("rebalance apply --yes -f {file}")).exits(0);
    let created = ran.out.trim().strip_prefix("rebalance.apps.emqx.io/").expect("a name").to_owned();
    assert!(created.len() > "nightly-".len() && created.starts_with("nightly-"), "{ran}");
    let (stored, _) = demo.rebalances().into_iter().next().expect("an object");
    assert_eq!(stored, created);
    // A `name` beside it has precedence, as for kubectl.
    let both = manifest.replace(&name, "  name: fixed\n  generateName: nightly-");
    let file = demo.file("both.yaml", &both);
    demo.run(&format!("rebalance apply --yes --dry-run=client -f {file}")).reports("already");
}

#[cfg(unix)]
#[test]
fn what_is_written_can_be_read_by_its_owner_only() {
    let demo = Cluster::demo("documented", 40);
    let (record, log) = (demo.home.join("record.jsonl"), demo.home.join("log"));
    demo.run(&format!(
        "watch --plain --timeout 1s --record {} --log-file {} -v debug",
        record.display(),
        log.display()
    ));
    for path in [&record, &log, &demo.kubeconfig] {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
    // A file of the program that others could read becomes private when it is written again.
    set_mode(&log, 0o644);
    demo.run(&format!("status --log-file {}", log.display())).exits(0);
    assert_eq!(mode(&log), 0o600);
    // Without --kubeconfig-out: a folder whose name cannot be guessed, that no other user can enter, and that
    // is removed at the end.
    let mut serve = Going::start(program(&demo.home, &["demo", "serve", "--speed", "20"]), None);
    serve.until("export KUBECONFIG=");
    let out = serve.out();
    let path = out.lines().find_map(|line| line.strip_prefix("export KUBECONFIG=")).expect("its first line");
    let config = PathBuf::from(path);
    let folder = config.parent().expect("a folder").to_owned();
    assert_eq!((mode(&folder), mode(&config)), (0o700, 0o600));
    let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
    let random = name.strip_prefix("kubectl-emqx-demo-").expect("its prefix");
    assert!(random.len() >= 16 && !random.contains(&serve.pid().to_string()), "{name}");
    serve.signal("TERM");
    serve.end();
    assert!(!folder.exists(), "removed at the end");
}

#[test]
fn a_file_of_another_origin_is_overwritten_only_with_force() {
    let home = folder();
    let theirs = "apiVersion: v1\nkind: Config\n# mine\n";
    let file = home.join("config");
    let untouched = || assert_eq!(std::fs::read_to_string(&file).expect("it is there"), theirs);
    std::fs::write(&file, theirs).expect("written");
    let path = file.display().to_string();
    alone(&format!("demo serve --kubeconfig-out {path}")).fails(1).reports("--force");
    untouched();
    alone(&format!("status --log-file {path}")).fails(1).reports("it exists");
    untouched();
    alone(&format!("rebalance watch --record {path}")).fails(1).reports("not overwritten");
    untouched();
    let words = |force: &[&'static str]| -> Vec<String> {
        let all = ["demo", "serve", "--speed", "20", "--kubeconfig-out", &path]
            .into_iter()
            .chain(force.iter().copied());
        all.map(str::to_owned).collect()
    };
    for force in [&["--force"][..], &[]] {
        let words = words(force);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // The second time the file is the demo's own.
        let mut serve = Going::start(program(&home, &words), None);
        serve.until("export KUBECONFIG=");
        assert!(std::fs::read_to_string(&file).expect("it is there").contains("/as/admin"));
    }
    let shim = home.join("kubectl_complete-emqx");
    std::fs::write(&shim, "#!/bin/sh\necho mine\n").expect("written");
    let install = format!("completion install --dir {}", home.display());
    alone(&install).fails(1).reports("--force");
    assert!(std::fs::read_to_string(&shim).expect("it is there").contains("mine"));
    alone(&format!("{install} --force")).exits(0);
    alone(&install).exits(0);
    assert!(!std::fs::read_to_string(&shim).expect("it is there").contains("mine"));
    std::fs::remove_dir_all(home).expect("ours");
}

#[test]
fn the_demo_serves_only_under_the_path_in_its_kubeconfig() {
    let demo = Cluster::demo("documented", 40);
    let (address, path) = demo.url.trim_start_matches("http://").split_once('/').expect("a path");
    let secret = path.split('/').next().expect("its first part");
    assert_eq!((secret.len(), path.ends_with("/as/admin")), (32, true), "{path}");
    let other = Cluster::demo("documented", 40);
    assert!(!other.url.contains(secret), "another demo has another path");
    for path in
        ["", "/as/admin", "/as/admin/api/v1/pods", "/healthz", &format!("/{}/as/admin", "0".repeat(32))]
    {
        let ran = demo.run(&format!("status -n mq --server http://{address}{path} --token admin"));
        assert_eq!(ran.code, Some(1), "{path}\n{ran}");
        let (status, _) = Cluster::ask(&format!("{address}{path}"), "/api/v1/pods");
        assert_eq!(status, 404, "{path}");
    }
    demo.run("status").exits(0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_recording_on_a_full_disk_is_reported_at_once_and_ends_with_exit_1() {
    let Some(unshare) = tool("unshare") else { return skipped("unshare") };
    let demo = Cluster::demo("documented", 40);
    let full = demo.home.join("full");
    std::fs::create_dir(&full).expect("a folder");
    let place = full.display();
    let can = Command::new(&unshare).args(["-rm", "mount", "-t", "tmpfs", "none", "/var"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        return skipped("right to mount within a namespace of one's own");
    }
    for (call, code) in [
        ("watch --plain --timeout 2s", 1),
        (
            "rebalance apply --yes --watch --conn-evict-rate 10 --wait-health-check 10 --wait-takeover 10 --abs-conn-threshold 100",
            1,
        ),
    ] {
        let script = format!(
            "mount -t tmpfs -o size=16k none {place} && exec {PROGRAM} {call} --record {place}/record --kubeconfig {}",
            demo.kubeconfig.display()
        );
        let mut command = Command::new(&unshare);
        command.args(["-rm", "sh", "-c", &script]).env_clear().current_dir(&demo.home);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", &demo.home);
        let ran = Going::start(command, None).end();
        assert_eq!(ran.code, Some(code), "{call}\n{ran}");
        assert_eq!(ran.err.matches("ends here: No space left").count(), 1, "{call}\n{ran}");
        assert!(!ran.err.contains("panicked"), "{ran}");
        let warned = ran.err.find("ends here").expect("a warning");
        if call.contains("apply") {
            // The follow continues to its verdict.
            assert!(ran.out.contains("balanced") || ran.err[warned..].contains("balanced"), "{ran}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn another_local_user_reads_no_file_of_ours_and_cannot_use_the_demo() {
    let Some(setpriv) = tool("setpriv") else { return skipped("setpriv") };
    let other = |arguments: &[&str]| {
        let mut command = Command::new(&setpriv);
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).args(arguments);
        command.current_dir("/").output().expect("setpriv runs")
    };
    if !other(&["true"]).status.success() {
        return skipped("right to become another user");
    }
    let home = std::env::temp_dir().join(format!("kubectl-emqx-other-user-{}", std::process::id()));
    std::fs::create_dir_all(&home).expect("a folder");
    set_mode(&home, 0o755);
    let mut serve = Going::start(program(&home, &["demo", "serve", "--speed", "20"]), None);
    serve.until("export KUBECONFIG=");
    let out = serve.out();
    let config =
        out.lines().find_map(|line| line.strip_prefix("export KUBECONFIG=")).expect("a path").to_owned();
    let (record, log) = (home.join("record"), home.join("log"));
    let mut command = program(
        &home,
        &[
            "watch",
            "--plain",
            "--timeout",
            "1s",
            "--record",
            &record.display().to_string(),
            "--log-file",
            &log.display().to_string(),
        ],
    );
    command.env("KUBECONFIG", &config);
    Going::start(command, None).end();
    let folder = Path::new(&config).parent().expect("a folder").display().to_string();
    for path in [config.clone(), record.display().to_string(), log.display().to_string()] {
        let read = other(&["cat", &path]);
        assert!(!read.status.success() && read.stdout.is_empty(), "{path}");
        std::fs::metadata(&path).expect("it is there");
    }
    assert!(!other(&["ls", &folder]).status.success());
    // The other user finds the port, and gets no answer there.
    let text = std::fs::read_to_string(&config).expect("a kubeconfig");
    let url = text.lines().find_map(|line| line.trim().strip_prefix("server: ")).expect("a server");
    let address = url.trim_start_matches("http://").split('/').next().expect("an address");
    let (status, _) = Cluster::ask(&format!("{address}/as/admin"), "/api/v1/pods");
    assert_eq!(status, 404);
    drop(serve);
    std::fs::remove_dir_all(home).expect("ours");
}

#[cfg(unix)]
#[test]
fn a_key_file_that_others_can_read_is_warned_about_and_a_wrong_file_is_an_error() {
    let demo = Cluster::faulty("documented", 40.0);
    let pair = {
        let key = demo.parts().emqx.key();
        format!("{}:{}\n", key.key, key.secret)
    };
    let key = demo.file("key", &pair);
    let url = demo.parts().emqx_url.clone();
    set_mode(Path::new(&key), 0o644);
    let ran = demo.run(&format!("status --emqx-url {url} --api-key-file {key}")).exits(0);
    assert_eq!(ran.err.matches("other users of this machine can read the key file").count(), 1, "{ran}");
    set_mode(Path::new(&key), 0o600);
    let ran = demo.run(&format!("status --emqx-url {url} --api-key-file {key}")).exits(0);
    assert!(!ran.err.contains("other users"), "{ran}");
    let bad = demo.file("bad", "no colon in here\n");
    let nothing = demo.file("nothing", "");
    for (flags, named) in [
        (format!("--emqx-url {url} --api-key-file /nowhere/key"), "/nowhere/key"),
        (format!("--emqx-url {url} --api-key-file {bad}"), bad.as_str()),
        (format!("--emqx-url {url} --api-key-file {nothing}"), nothing.as_str()),
        (
            format!("--emqx-ca /nowhere/ca.crt --emqx-url https://127.0.0.1:1 --api-key-file {key}"),
            "/nowhere/ca.crt",
        ),
        (format!("--emqx-ca {bad} --emqx-url https://127.0.0.1:1 --api-key-file {key}"), bad.as_str()),
        ("--log-file /nowhere/log".to_owned(), "/nowhere/log"),
        (
            "--certificate-authority /nowhere/ca.crt --server https://127.0.0.1:1".to_owned(),
            "/nowhere/ca.crt",
        ),
    ] {
        let ran = demo.run(&format!("status {flags}")).fails(1).reports(named);
        assert!(!ran.err.contains("no colon in here"), "{ran}");
    }
}

#[test]
fn a_key_that_is_sent_unencrypted_to_another_machine_is_warned_about_once() {
    let home = folder();
    let key = home.join("key");
    user_files::write_private(&key, b"key:secret\n", false).expect("a file of ours");
    // An address for documentation, on which no host answers (RFC 5737).
    let flags =
        format!("--emqx-url http://192.0.2.1:1 --api-key-file {} --request-timeout 1s", key.display());
    let ran = alone(&format!("status {flags}"));
    assert_eq!(ran.err.matches("is sent unencrypted to http://192.0.2.1:1").count(), 1, "{ran}");
    let local = alone(&format!("status {}", flags.replace("192.0.2.1", "127.0.0.1")));
    assert!(!local.err.contains("unencrypted"), "{local}");
    std::fs::remove_dir_all(home).expect("ours");
}

/// The cluster behind a proxy with these rules, and the flags that use it.
fn through(rules: Vec<Rule>) -> (Cluster, String) {
    let demo = Cluster::faulty("documented", 40.0);
    let target = demo.url.trim_start_matches("http://").split('/').next().expect("an address").to_owned();
    let flags = format!("-n mq --server http://{}/as/admin", proxy(&target, rules));
    (demo, flags)
}

fn rules(name: &str) -> Vec<Rule> {
    Rule::read(&std::fs::read_to_string(data(&format!("field/api-answers/{name}.json"))).expect("rules"))
}

#[test]
fn a_policy_that_refuses_is_named_and_not_the_operator() {
    let (demo, flags) = through(rules("kyverno"));
    let ran =
        demo.run(&format!("rebalance apply --yes --conn-evict-rate 10 --abs-conn-threshold 100 {flags}"));
    let ran = ran.exits(1);
    assert!(ran.err.contains("Kyverno's policy") && ran.err.contains("label owner is required"), "{ran}");
    assert!(!ran.err.contains("the operator's webhook"), "{ran}");
    for (webhook, named) in [
        ("validation.gatekeeper.sh", "OPA Gatekeeper's policy"),
        ("policy.example.com", "the webhook policy.example.com"),
        ("vrebalance.kb.io", "vrebalance.kb.io"),
    ] {
        let body = format!(
            r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,
            "message":"admission webhook \"{webhook}\" denied the request: [x] {}"}}"#,
            "no ".repeat(5000)
        );
        let mut rule = Rule::on("/rebalances", 403, &body);
        rule.method = "POST".to_owned();
        let (demo, flags) = through(vec![rule]);
        let ran = demo
            .run(&format!("rebalance apply --yes --conn-evict-rate 10 --abs-conn-threshold 100 {flags}"))
            .exits(1);
        let error = ran.err.lines().find(|line| line.starts_with("error: ")).expect("an error");
        assert!(error.contains(named) && error.len() < 1000, "{ran}");
        assert!(!error.contains("may not create"), "{ran}");
    }
}

#[test]
fn a_quota_is_named_as_a_quota_and_not_as_a_missing_permission() {
    let body = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,
        "message":"rebalances.apps.emqx.io \"x\" is forbidden: exceeded quota: objects, requested: count/rebalances.apps.emqx.io=1, used: count/rebalances.apps.emqx.io=5, limited: count/rebalances.apps.emqx.io=5"}"#;
    let mut rule = Rule::on("/rebalances", 403, body);
    rule.method = "POST".to_owned();
    let (demo, flags) = through(vec![rule]);
    let ran = demo
        .run(&format!("rebalance apply --yes --conn-evict-rate 10 --abs-conn-threshold 100 {flags}"))
        .exits(1);
    assert!(ran.err.contains("exceeded quota: objects"), "{ran}");
    assert!(ran.err.contains(" describe quota") && !ran.err.contains("needs verb"), "{ran}");
}

#[test]
fn a_login_page_before_the_api_server_is_reported_as_one() {
    let (demo, flags) = through(rules("redirect"));
    for call in ["status", "rebalance list", "version", "rebalance apply --yes --conn-evict-rate 10"] {
        let ran = demo.run(&format!("{call} {flags}"));
        assert!(ran.err.contains("redirects (302)"), "{call}\n{ran}");
        assert!(!ran.err.contains("<a href") && !ran.out.contains("<a href"), "{call}\n{ran}");
        harmless(&ran.err);
    }
    let (demo, flags) = through(vec![Rule::on(".", 200, "<html><body>Sign in</body></html>")]);
    let ran = demo.run(&format!("status {flags}")).exits(1);
    assert!(!ran.err.contains("<html>"), "{ran}");
}

#[test]
fn a_version_that_cannot_be_discovered_is_no_missing_cluster() {
    let (demo, flags) = through(rules("crdv1beta4only"));
    for call in ["status", "nodes", "rebalance plan", "rebalance apply --yes --conn-evict-rate 10"] {
        let ran = demo.run(&format!("{call} {flags}")).exits(1);
        assert!(ran.err.contains("503") || ran.err.contains("service unavailable"), "{call}\n{ran}");
        assert!(!ran.err.contains("there is no EMQX"), "{call}\n{ran}");
    }
}

#[test]
fn a_refused_key_is_reported_as_a_key_and_not_as_a_permission() {
    let body = r#"{"code":"BAD_API_KEY_OR_SECRET","message":"Check api_key/api_secret"}"#;
    let address = proxy("127.0.0.1:1", vec![Rule::on(".", 401, body)]);
    let home = folder();
    let key = home.join("key");
    user_files::write_private(&key, b"key:secret\n", false).expect("a file of ours");
    let ran = alone(&format!("status --emqx-url http://{address} --api-key-file {}", key.display()));
    assert!(ran.err.contains("does not accept this key") && !ran.err.contains("kubectl auth can-i"), "{ran}");
    assert!(!ran.err.contains("secret\n"), "{ran}");
    std::fs::remove_dir_all(home).expect("ours");
}

#[test]
fn the_context_and_the_api_server_stand_in_every_question() {
    let demo = Cluster::faulty("documented", 40.0);
    let server = demo.url.clone();
    // Without a terminal there is no prompt; the journeys on terminals show it.
    let ran = demo.run("rebalance apply --conn-evict-rate 10 --abs-conn-threshold 100").exits(6);
    assert!(ran.err.contains("--yes"), "{ran}");
    let mut terminal = crate::terminals::Terminal::start(
        &demo,
        "rebalance apply --conn-evict-rate 10 --abs-conn-threshold 100",
        &[],
    );
    terminal.until("[y/N]");
    let shown: String = terminal.shows().split_whitespace().collect();
    assert!(shown.contains("contextdemo") && shown.contains(&server), "{}", terminal.shows());
    terminal.types("n\r");
}

#[test]
fn a_terminal_that_closes_is_no_panic() {
    let demo = Cluster::demo("documented", 40);
    for call in ["watch", "rebalance apply --conn-evict-rate 10 --abs-conn-threshold 100", "watch --inline"] {
        let log = demo.home.join("log");
        let words = format!("{call} -v debug --log-file {}", log.display());
        let code = crate::terminals::closed_under(
            &demo,
            &words,
            if call.contains("apply") { "[y/N]" } else { "emqx" },
        );
        // 101 and 134 are the exit codes of a panic.
        assert!(code != 101 && code != 134, "{call}: {code}");
        let log = std::fs::read_to_string(log).expect("a log");
        assert!(!log.contains("panicked"), "{call}\n{log}");
    }
    until("the demo still answers", || demo.run("status").code == Some(0));
}
