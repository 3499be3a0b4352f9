//! Kubeconfigs and login helpers, each with kubectl and with this program: the same outcome, and the same
//! header at the API server. Where kubectl is not available, only the program's own outcome is checked.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::completion::tool;
use crate::gateway::{Gateway, transport};
use crate::harness::{Cluster, Going, Ran, folder};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A cluster behind TLS, and a gateway that stores its requests.
struct Bench {
    demo: Cluster,
    gateway: Gateway,
    server: String,
    kubectl: Option<PathBuf>,
    ca: String,
}

/// The result of one call.
struct Answer {
    reached: bool,
    /// The `Authorization` and `Impersonate-…` headers that the API server got, each once.
    headers: Vec<String>,
    ran: Ran,
}

impl Bench {
    fn new() -> Self {
        let demo = Cluster::faulty("documented", 40.0);
        let target = demo.url.trim_start_matches("http://").split('/').next().expect("an address").to_owned();
        let gateway = Gateway::before(&target);
        let port = transport(&gateway.address, &data("tls/own-ca.crt"), &data("tls/own-ca.key"));
        let ca = base64(&std::fs::read(data("tls/own-ca.crt")).expect("a certificate"));
        let server = format!("https://127.0.0.1:{port}/as/admin");
        Self { demo, gateway, server, kubectl: tool("kubectl"), ca }
    }

    /// A file beside the kubeconfig.
    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.demo.home.join(name);
        std::fs::write(&path, bytes).expect("written");
        path.display().to_string()
    }

    fn answer(&self, mut command: Command) -> Answer {
        let before = self.gateway.received().len();
        command.env_clear().current_dir(&self.demo.home).env("HOME", &self.demo.home);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TMPDIR", &self.demo.home);
        let ran = Going::start(command, None).end();
        let received = self.gateway.received().split_off(before);
        let mut headers: Vec<String> = received
            .lines()
            .filter(|line| line.starts_with("authorization:") || line.starts_with("impersonate-"))
            .map(str::to_owned)
            .collect();
        headers.sort();
        headers.dedup();
        Answer { reached: ran.code == Some(0), headers, ran }
    }

    fn ours(&self, flags: &[&str]) -> Answer {
        let mut command = Command::new(crate::harness::PROGRAM);
        command.args(["version", "-A", "--request-timeout", "20s"]).args(flags);
        self.answer(command)
    }

    fn theirs(&self, flags: &[&str]) -> Option<Answer> {
        let mut command = Command::new(self.kubectl.as_ref()?);
        // A plain list: what `--raw` does not read, discovery would.
        command.args(["get", "pods", "-A", "-o", "name", "--request-timeout", "20s"]).args(flags);
        Some(self.answer(command))
    }

    /// Runs both programs, and compares.
    #[track_caller]
    fn same(&self, name: &str, reaches: bool, flags: &[&str]) -> Answer {
        let ours = self.ours(flags);
        assert!(!ours.ran.err.contains("panicked"), "{name}\n{}", ours.ran);
        assert_eq!(ours.reached, reaches, "{name}\n{}", ours.ran);
        if !reaches {
            assert!(ours.ran.err.contains("hint: "), "{name}\n{}", ours.ran);
        }
        if let Some(theirs) = self.theirs(flags) {
            assert_eq!(theirs.reached, reaches, "{name}: kubectl\n{}", theirs.ran);
            if reaches {
                assert_eq!(ours.headers, theirs.headers, "{name}: the headers of kubectl are the second");
            }
        }
        ours
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let number = group.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * place) & 63) as usize] as char;
            text.push(if place <= group.len() { digit } else { '=' });
        }
    }
    text
}

/// Lines of 64 characters, with their breaks as YAML escapes.
fn wrapped(text: &str) -> String {
    let lines = text.as_bytes().chunks(64).map(|line| format!("{}\\n", String::from_utf8_lossy(line)));
    lines.collect::<Vec<_>>().concat()
}

/// One kubeconfig: its name, whether the cluster is reached, the cluster, the user, and further content of
/// the file. `CA` and `SERVER` are replaced.
type Row = (&'static str, bool, &'static str, &'static str, &'static str);

const PLAIN: &str = "{server: SERVER, certificate-authority-data: CA}";
const ADMIN: &str = "{token: admin}";

const ROWS: [Row; 37] = [
    ("plain", true, PLAIN, ADMIN, ""),
    (
        "empty strings",
        true,
        "{server: SERVER, certificate-authority-data: CA, certificate-authority: '', tls-server-name: '', proxy-url: ''}",
        "{token: admin, tokenFile: '', client-certificate: '', client-key: '', client-certificate-data: '', client-key-data: '', username: '', password: '', as: ''}",
        "",
    ),
    (
        "null fields",
        true,
        "{server: SERVER, certificate-authority-data: CA, tls-server-name: null, extensions: null}",
        "{token: admin, exec: null, auth-provider: null, as-groups: null}",
        "",
    ),
    ("an unused context without a name", true, PLAIN, ADMIN, "contexts+: [{context: {cluster: c, user: u}}]"),
    (
        "an unused context without a cluster",
        true,
        PLAIN,
        ADMIN,
        "contexts+: [{name: half, context: {user: u}}]",
    ),
    ("an unused cluster without a server", true, PLAIN, ADMIN, "clusters+: [{name: d, cluster: {}}]"),
    (
        "an unused cluster with a missing CA",
        true,
        PLAIN,
        ADMIN,
        "clusters+: [{name: d, cluster: {server: 'https://d', certificate-authority: /nowhere/ca.crt}}]",
    ),
    (
        "an unused user with a wrong login helper",
        true,
        PLAIN,
        ADMIN,
        "users+: [{name: v, user: {exec: {command: x, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Sometimes}}}]",
    ),
    (
        "an unused user with a missing key",
        true,
        PLAIN,
        ADMIN,
        "users+: [{name: v, user: {client-certificate: /nowhere/a, client-key: /nowhere/b}}]",
    ),
    (
        "an unknown field",
        true,
        "{server: SERVER, certificate-authority-data: CA, colour: red}",
        ADMIN,
        "preferences: {colors: true}",
    ),
    ("a CA of several lines", true, "{server: SERVER, certificate-authority-data: WRAPPED}", ADMIN, ""),
    ("a CA tagged as binary", true, "{server: SERVER, certificate-authority-data: !!binary CACA}", ADMIN, ""),
    (
        "a merge key",
        true,
        "{<<: *common, server: SERVER}",
        ADMIN,
        "x-common: &common {certificate-authority-data: CA}",
    ),
    ("a CA that is no base64", false, "{server: SERVER, certificate-authority-data: '%%%'}", ADMIN, ""),
    (
        "a CA without a certificate",
        false,
        "{server: SERVER, certificate-authority-data: aGVsbG8=}",
        ADMIN,
        "",
    ),
    ("a missing CA file", false, "{server: SERVER, certificate-authority: /nowhere/ca.crt}", ADMIN, ""),
    ("no CA", false, "{server: SERVER}", ADMIN, ""),
    ("no verification", true, "{server: SERVER, insecure-skip-tls-verify: true}", ADMIN, ""),
    (
        "another name",
        false,
        "{server: SERVER, certificate-authority-data: CA, tls-server-name: other.example}",
        ADMIN,
        "",
    ),
    (
        "a name of the certificate",
        true,
        "{server: SERVER, certificate-authority-data: CA, tls-server-name: localhost}",
        ADMIN,
        "",
    ),
    ("a slash at the end", true, "{server: SERVER/, certificate-authority-data: CA}", ADMIN, ""),
    ("no scheme, with a CA", false, "{server: BARE, certificate-authority-data: CA}", ADMIN, ""),
    ("a token with a line break", false, PLAIN, "{token: \"admin\\n\"}", ""),
    ("a token with a carriage return", false, PLAIN, "{token: \"ad\\rmin\"}", ""),
    ("a user name with a line break", false, PLAIN, "{token: admin, as: \"eve\\nx\"}", ""),
    ("a token file with blanks", true, PLAIN, "{tokenFile: TOKEN}", ""),
    ("a token file that is missing", false, PLAIN, "{tokenFile: /nowhere/token}", ""),
    ("a token and a token file", true, PLAIN, "{token: other, tokenFile: TOKEN}", ""),
    ("a token file that is empty", false, PLAIN, "{tokenFile: EMPTY}", ""),
    (
        "impersonation",
        true,
        PLAIN,
        "{token: admin, as: eve, as-groups: [ops, night], as-uid: '7', as-user-extra: {'Scopes/a b': [v, w]}}",
        "",
    ),
    (
        "impersonation in another script",
        true,
        PLAIN,
        "{token: admin, as: \"system:serviceaccount:mq:a\"}",
        "",
    ),
    ("a certificate without a key", false, PLAIN, "{client-certificate-data: CA}", ""),
    (
        "a missing client certificate",
        false,
        PLAIN,
        "{client-certificate: /nowhere/a, client-key: /nowhere/b}",
        "",
    ),
    (
        "a proxy that is not there",
        false,
        "{server: 'https://api.example.invalid', certificate-authority-data: CA, proxy-url: 'http://me:pw@127.0.0.1:1'}",
        ADMIN,
        "",
    ),
    (
        "a proxy of an unknown kind",
        false,
        "{server: SERVER, certificate-authority-data: CA, proxy-url: 'ftp://127.0.0.1:1'}",
        ADMIN,
        "",
    ),
    ("a token of another type", false, PLAIN, "{token: [admin]}", ""),
    (
        "a server that is no address",
        false,
        "{server: 'https://127.0.0.1:port', certificate-authority-data: CA}",
        ADMIN,
        "",
    ),
];

/// Writes the kubeconfig of a row.
fn kubeconfig(bench: &Bench, (_, _, cluster, user, more): Row) -> String {
    let token = bench.write("token", b"  admin \n\n");
    let empty = bench.write("empty", b"\n");
    let mut text = String::from("apiVersion: v1\nkind: Config\ncurrent-context: x\n");
    let (mut extra, mut top) = ([String::new(), String::new(), String::new()], String::new());
    match more.split_once("+: [") {
        Some((list, item)) => {
            let at = ["contexts", "clusters", "users"].iter().position(|it| *it == list).expect("a list");
            extra[at] = format!("- {}\n", item.strip_suffix(']').expect("a list"));
        }
        None => top = format!("{more}\n"),
    }
    let [contexts, clusters, users] = extra;
    text += &top;
    text += "contexts:\n- {name: x, context: {cluster: c, user: u, namespace: ''}}\n";
    text += &contexts;
    let clusters = format!("clusters:\n- name: c\n  cluster: {cluster}\n{clusters}");
    let users = format!("users:\n- name: u\n  user: {user}\n{users}");
    text += &clusters;
    text += &users;
    // kubectl accepts no path without a scheme; the token identifies the user.
    let bare = bench.server.trim_start_matches("https://").trim_end_matches("/as/admin");
    let text = text
        .replace("CACA", "\u{1}")
        .replace("WRAPPED", "\u{2}")
        .replace("CA", &bench.ca)
        .replace('\u{1}', &format!("\"{}\"", base64(bench.ca.as_bytes())))
        .replace('\u{2}', &format!("\"{}\"", wrapped(&bench.ca)))
        .replace("SERVER", &bench.server)
        .replace("BARE", bare)
        .replace("TOKEN", &token)
        .replace("EMPTY", &empty);
    bench.write("row.yaml", text.as_bytes())
}

#[test]
fn each_kubeconfig_of_the_table_is_answered_as_kubectl_answers_it() {
    let bench = Bench::new();
    let mut wrong = Vec::new();
    for row in ROWS {
        let path = kubeconfig(&bench, row);
        let one = std::panic::AssertUnwindSafe(|| {
            let ours = bench.same(row.0, row.1, &["--kubeconfig", &path]);
            for secret in ["me:pw", "pw@"] {
                assert!(!ours.ran.err.contains(secret), "{}\n{}", row.0, ours.ran);
            }
        });
        if std::panic::catch_unwind(one).is_err() {
            wrong.push(row.0);
        }
    }
    assert!(wrong.is_empty(), "see above: {wrong:?}");
}

#[test]
fn a_kubeconfig_is_read_in_every_encoding_as_by_kubectl() {
    let bench = Bench::new();
    let path = kubeconfig(&bench, ROWS[0]);
    let text = std::fs::read_to_string(&path).expect("a kubeconfig");
    let units = || "\u{feff}".encode_utf16().chain(text.encode_utf16());
    for (name, bytes) in [
        ("a BOM", format!("\u{feff}{text}").into_bytes()),
        ("UTF-16, little endian", units().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()),
        ("UTF-16, big endian", units().flat_map(u16::to_be_bytes).collect::<Vec<u8>>()),
        ("line breaks of Windows", text.replace('\n', "\r\n").into_bytes()),
    ] {
        let path = bench.write("encoded.yaml", &bytes);
        bench.same(name, true, &["--kubeconfig", &path]);
    }
    for (name, bytes) in
        [("nothing", &b""[..]), ("a tab", b"\tclusters: []"), ("no map", b"- a"), ("a zero", b"\0")]
    {
        let path = bench.write("broken.yaml", bytes);
        bench.same(name, false, &["--kubeconfig", &path]);
    }
    let (one, two) = (kubeconfig(&bench, ROWS[0]), bench.write("two.yaml", b"current-context: other\n"));
    for order in [format!("/nowhere/config:{one}:{two}"), format!(":{one}:")] {
        let both = |mut command: Command| {
            command.env("KUBECONFIG", &order);
            command.output().expect("it runs").status.success()
        };
        let mut ours = Command::new(crate::harness::PROGRAM);
        ours.args(["version", "-A"]);
        assert!(both(ours), "{order}");
        if let Some(kubectl) = &bench.kubectl {
            let mut theirs = Command::new(kubectl);
            theirs.args(["get", "pods", "-A"]);
            assert!(both(theirs), "{order}: kubectl");
        }
    }
}

#[test]
fn empty_flags_are_not_set_as_for_kubectl() {
    let bench = Bench::new();
    let path = kubeconfig(&bench, ROWS[0]);
    for flags in [
        &["--token="][..],
        &["--context="],
        &["--cluster=", "--user="],
        &["--as="],
        &["--certificate-authority="],
        &["--tls-server-name="],
        &["--client-certificate=", "--client-key="],
        &["--namespace="],
        &["--token", "admin"],
        &["--as", "eve", "--as-group", "ops"],
    ] {
        let all: Vec<&str> = ["--kubeconfig", &path].into_iter().chain(flags.iter().copied()).collect();
        bench.same(&flags.join(" "), true, &all);
    }
    for flags in [
        &["--context", "no-such"][..],
        &["--user", "no-such"],
        &["--cluster", "no-such"],
        &["--token", "a\nb"],
    ] {
        let all: Vec<&str> = ["--kubeconfig", &path].into_iter().chain(flags.iter().copied()).collect();
        bench.same(&flags.join(" "), false, &all);
    }
}

/// A login helper: its name, whether it provides credentials, the script, more fields of `exec`, and parts of
/// the error.
type Helper = (&'static str, bool, &'static str, &'static str, &'static [&'static str]);

const HELPERS: [Helper; 20] = [
    ("a token", true, "give token admin", "", &[]),
    ("a token of v1beta1", true, "give token admin", "apiVersion: V1BETA1", &[]),
    ("a token and talk", true, "echo welcome >&2; give token admin", "", &[]),
    (
        "in YAML",
        true,
        "printf 'kind: ExecCredential\\napiVersion: %s\\nstatus: {token: admin}\\n' $API",
        "",
        &[],
    ),
    ("a token that expires later", true, "EXPIRES=2099-01-01T00:00:00Z; give token admin", "", &[]),
    ("the environment", true, "give token $WHO", "env: [{name: WHO, value: admin}]", &[]),
    ("arguments", true, "give token $1", "args: [admin]", &[]),
    ("asked only if it can be", true, "give token admin", "interactiveMode: IfAvailable", &[]),
    ("knows the cluster", true, "give token admin", "provideClusterInfo: true", &[]),
    (
        "has to ask and cannot",
        false,
        "give token admin",
        "interactiveMode: Always",
        &["interactiveMode: Always"],
    ),
    (
        "fails",
        false,
        "echo one >&2; echo 'run cloudctl login (then again)' >&2; exit 3",
        "",
        &["one", "run cloudctl login (then again)", "3"],
    ),
    ("fails without a message", false, "exit 7", "", &["7"]),
    ("prints nothing", false, "true", "", &["nothing"]),
    ("prints something else", false, "echo hello", "", &["ExecCredential"]),
    ("another version", false, "API=client.authentication.k8s.io/v9; give token admin", "", &["v9"]),
    (
        "another kind",
        false,
        "printf '{\"kind\":\"Pod\",\"apiVersion\":\"%s\"}' $API",
        "",
        &["ExecCredential"],
    ),
    ("neither token nor certificate", false, "give colour red", "", &["neither"]),
    ("a certificate without a key", false, "give clientCertificateData x", "", &["certificate"]),
    ("a token with a line break", false, "give token 'ad\\nmin'", "", &["line break"]),
    ("an unknown mode", false, "give token admin", "interactiveMode: Sometimes", &["interactiveMode"]),
];

#[cfg(unix)]
#[test]
fn each_login_helper_of_the_table_is_run_as_kubectl_runs_it() {
    let bench = Bench::new();
    for (name, gives, script, more, reported) in HELPERS {
        let version = if more.contains("V1BETA1") { "v1beta1" } else { "v1" };
        let more = more.replace("apiVersion: V1BETA1", "");
        // kubectl asks for a mode in v1.
        let mode = if version == "v1" && !more.contains("interactiveMode") {
            ", interactiveMode: Never"
        } else {
            ""
        };
        let more = if more.is_empty() { String::new() } else { format!(", {more}") };
        let text = format!(
            "#!/bin/sh\nprintf '%s' \"$KUBERNETES_EXEC_INFO\" >\"$0.info\"\nAPI=client.authentication.k8s.io/{version}\n\
             give() {{\n  printf '{{\"kind\":\"ExecCredential\",\"apiVersion\":\"%s\",\"status\":{{\"%s\":\"%s\"%s}}}}' \"$API\" \"$1\" \"$2\" \
             \"${{EXPIRES:+,\\\"expirationTimestamp\\\":\\\"$EXPIRES\\\"}}\"\n}}\n{script}\n"
        );
        let helper = bench.write("helper.sh", text.as_bytes());
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755))
                .expect("a file of ours");
        }
        // A relative path with a separator is beside the kubeconfig.
        let user = format!(
            "users:\n- name: u\n  user: {{exec: {{apiVersion: client.authentication.k8s.io/{version}, command: ./helper.sh{mode}{more}}}}}\n"
        );
        let plain = std::fs::read_to_string(kubeconfig(&bench, ROWS[0])).expect("a kubeconfig");
        let (before, _) = plain.split_once("users:").expect("users");
        let path = bench.write("helper.yaml", format!("{before}{user}").as_bytes());
        let info = format!("{helper}.info");
        let _ = std::fs::remove_file(&info);
        let ours = bench.ours(&["--kubeconfig", &path]);
        let received: Value = std::fs::read_to_string(&info)
            .map_or(Value::Null, |text| serde_json::from_str(&text).expect("JSON"));
        assert_eq!(ours.reached, gives, "{name}\n{}", ours.ran);
        for text in reported {
            assert!(ours.ran.err.contains(text), "{name}: {text}\n{}", ours.ran);
        }
        if let Some(theirs) = bench.theirs(&["--kubeconfig", &path]) {
            assert_eq!(theirs.reached, gives, "{name}: kubectl\n{}", theirs.ran);
            if gives {
                assert_eq!(ours.headers, theirs.headers, "{name}");
                let text = std::fs::read_to_string(&info).expect("it was run");
                let mut expected: Value = serde_json::from_str(&text).expect("JSON");
                if let Some(spec) = expected["spec"].as_object_mut() {
                    // kubectl writes an absent configuration as null.
                    if let Some(cluster) = spec.get_mut("cluster").and_then(Value::as_object_mut) {
                        cluster.retain(|_, value| !value.is_null());
                    }
                }
                assert_eq!(received, expected, "{name}: KUBERNETES_EXEC_INFO, kubectl's is the second");
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn a_login_helper_ends_with_the_request_timeout_and_its_talk_comes_at_once() {
    let bench = Bench::new();
    let plain = std::fs::read_to_string(kubeconfig(&bench, ROWS[0])).expect("a kubeconfig");
    let (before, _) = plain.split_once("users:").expect("users");
    let exec = |script: &str, more: &str| {
        let user = format!(
            "users:\n- name: u\n  user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, \"{script}\"], \
             interactiveMode: Never{more}}}}}\n"
        );
        bench.write("slow.yaml", format!("{before}{user}").as_bytes())
    };
    let path = exec("echo code ABC-123 >&2; exec sleep 100", "");
    let began = std::time::Instant::now();
    let mut waits =
        Going::start(bench.demo.command(&format!("version --kubeconfig {path} --request-timeout 3s")), None);
    waits.until("code ABC-123");
    assert!(began.elapsed().as_secs() < 3, "shown while the helper waits");
    let ran = waits.end().fails(1).reports("--request-timeout");
    assert!(began.elapsed().as_secs() < 20, "{ran}");
    let text = std::fs::read_to_string(exec("x", ", installHint: \"Install it:\\n  from example.org\""))
        .expect("a kubeconfig");
    let path = bench.write("missing.yaml", text.replace("command: sh", "command: no-such-helper").as_bytes());
    let missing = bench.same("a helper that is not installed", false, &["--kubeconfig", &path]);
    assert!(
        missing.ran.err.contains("no-such-helper") && missing.ran.err.contains("from example.org"),
        "{}",
        missing.ran
    );
}

#[test]
fn no_password_of_an_address_or_a_proxy_is_in_any_text() {
    let home = folder();
    for name in ["leakenv", "leakserver"] {
        let config = data(&format!("field/kubeconfig/{name}.kc")).display().to_string();
        for call in ["status", "version", "rebalance apply --yes --conn-evict-rate 10", "status -v trace"] {
            let words: Vec<&str> =
                call.split(' ').chain(["--kubeconfig", &config, "--request-timeout", "2s"]).collect();
            for proxy in [
                "http://joe:hunter2@127.0.0.1:1",
                "http://joe:hunter2@127.0.0.1:port",
                "joe:hunter2@127.0.0.1:1",
            ] {
                let mut command = crate::harness::program(&home, &words);
                command.env("HTTPS_PROXY", proxy).env("https_proxy", proxy);
                let ran = Going::start(command, None).end();
                ran.exits(1).never_reports("hunter2");
            }
        }
    }
    std::fs::remove_dir_all(home).expect("ours");
}
