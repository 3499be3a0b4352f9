//! Expectations of a kubectl plugin that no other journey shows; `expected.rs` has the whole list.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::Command;
use std::sync::Mutex;

use clap::ArgAction;
use kubectl_emqx::cli;

use crate::gateway::Gateway;
use crate::harness::{Cluster, DOCUMENTED, Going, PROGRAM, Ran, folder, program};

/// Every command that does something, as words, with its flags.
fn verbs() -> Vec<(String, clap::Command)> {
    fn walk(command: &clap::Command, path: &str, all: &mut Vec<(String, clap::Command)>) {
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
            let path = format!("{path} {}", verb.get_name()).trim().to_owned();
            walk(verb, &path, all);
            all.push((path, verb.clone()));
        }
    }
    let mut all = Vec::new();
    walk(&cli::command(), "", &mut all);
    all
}

fn longs(verb: &clap::Command) -> BTreeSet<String> {
    verb.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect()
}

const KUBECTLS: [&str; 15] = [
    "namespace",
    "context",
    "cluster",
    "user",
    "kubeconfig",
    "server",
    "token",
    "as",
    "as-group",
    "certificate-authority",
    "client-certificate",
    "client-key",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "request-timeout",
];

#[test]
fn every_command_takes_kubectls_flags() {
    for (path, verb) in verbs() {
        let flags = longs(&verb);
        for flag in KUBECTLS {
            assert!(flags.contains(flag), "{path} has no --{flag}");
        }
    }
    for path in ["status", "nodes", "watch", "rebalance", "rebalance list", "version"] {
        let (_, verb) = verbs().into_iter().find(|(known, _)| known == path).expect("it is a verb");
        for flag in ["all-namespaces", "selector", "field-selector"] {
            assert!(longs(&verb).contains(flag), "{path} has no --{flag}");
        }
    }
}

#[test]
fn every_flag_of_our_own_has_a_variable_on_every_verb() {
    // Where a subcommand is required, no variable applies without it.
    for (path, verb) in verbs().into_iter().filter(|(_, verb)| !verb.is_subcommand_required_set()) {
        let asked: Mutex<BTreeSet<String>> = Mutex::default();
        let words = ["kubectl-emqx"].into_iter().chain(path.split(' ')).chain(match path.as_str() {
            "replay" => Some("recording"),
            "completion" => Some("bash"),
            "evacuate start" => Some("emqx-core-0"),
            "drain" => Some("sim-0"),
            _ => None,
        });
        // The result does not matter: only which variables are looked up.
        let _ = cli::parse(words.map(OsString::from), |name| {
            asked.lock().expect("a lock").insert(name.to_owned());
            None
        });
        let variable = |long: String| format!("KUBECTL_EMQX_{}", long.to_ascii_uppercase().replace('-', "_"));
        let others = ["help", "version", "all-namespaces", "selector", "field-selector"];
        let own: BTreeSet<String> = verb
            .get_arguments()
            .filter(|arg| !matches!(arg.get_action(), ArgAction::Help | ArgAction::Version))
            .filter_map(|arg| arg.get_long().map(str::to_owned))
            .filter(|long| !KUBECTLS.contains(&long.as_str()) && !others.contains(&long.as_str()))
            .map(variable)
            .collect();
        let asked = asked.into_inner().expect("a lock");
        let missing: Vec<_> = own.difference(&asked).collect();
        assert!(missing.is_empty(), "{path}: {missing:?}");
        for flag in KUBECTLS {
            assert!(!asked.contains(&variable(flag.to_owned())), "{path}: --{flag} is kubectl's own");
        }
    }
}

/// The host and port of a simulated cluster.
fn target(demo: &Cluster) -> String {
    let rest = demo.url.strip_prefix("http://").expect("plain http");
    rest.split('/').next().unwrap_or_default().to_owned()
}

/// The setting of a kubeconfig's cluster to trust the certificate of the tests.
fn trusted() -> String {
    format!(", certificate-authority: {}", data("tls/own-ca.crt"))
}

/// A kubeconfig for a server, with more for the cluster and the user, both as YAML in one line.
fn kubeconfig(demo: &Cluster, name: &str, server: &str, cluster: &str, user: &str) -> String {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
         clusters: [{{name: it, cluster: {{server: '{server}'{cluster}}}}}]\n\
         contexts: [{{name: it, context: {{cluster: it, user: it, namespace: mq}}}}]\n\
         users: [{{name: it, user: {{{user}}}}}]\n"
    );
    demo.file(name, &text)
}

/// A folder of test data.
pub(crate) fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// An address with TLS in front of another one, by a certificate of the test data.
pub(crate) fn secure(target: &str, certificate: &str) -> String {
    let path = |kind: &str| std::path::PathBuf::from(data(&format!("tls/{certificate}.{kind}")));
    format!("https://127.0.0.1:{}", crate::gateway::transport(target, &path("crt"), &path("key")))
}

#[test]
fn no_credentials_are_sent_over_plain_http() {
    let demo = Cluster::faulty("documented", 40.0);
    let gateway = Gateway::before(&target(&demo));
    let server = format!("http://{}/as/viewer", gateway.address);
    demo.run(&format!("status --server {server} --token admin --as alice"))
        .exits(0)
        .reports("no credentials are sent");
    let received = gateway.received();
    assert!(!received.contains("authorization") && !received.contains("impersonate"), "{received}");
}

#[test]
fn certificates_are_accepted_as_kubectl_accepts_them() {
    let demo = Cluster::faulty("documented", 40.0);
    let target = target(&demo);
    let status = |certificate: &str, ca: &str| {
        let server = secure(&target, certificate);
        let ca = data(&format!("tls/{ca}.crt"));
        demo.run(&format!("status --server {server}/as/admin --certificate-authority {ca}"))
    };
    // A certificate that is its own CA; a leaf given as CA; one on P-521; one signed by an authority on P-521.
    for (certificate, ca) in [("own-ca", "own-ca"), ("leaf", "leaf"), ("p521", "p521"), ("leaf", "authority")]
    {
        status(certificate, ca).exits(0).shows("10,000 connections");
    }
    status("leaf", "own-ca").fails(1).reports("authority that is not known");
    status("other-name", "other-name").fails(1).reports("another name");
}

#[test]
fn kubeconfigs_from_the_field_are_read_as_kubectl_reads_them() {
    let demo = Cluster::faulty("documented", 40.0);
    let server = secure(&target(&demo), "own-ca");
    let ca = data("tls/own-ca.crt");
    let kubectl = crate::completion::tool("kubectl");
    for name in [
        "emptycerts",
        "emptyns",
        "emptypaths",
        "emptytlsname",
        "other-nameless",
        "other-nocluster",
        "other-badexec",
        "anchors",
        "binary-ca",
        "wrapped-ca",
        "tokennl",
        "fail",
        "missing",
        "gkereal",
    ] {
        let file = data(&format!("field/kubeconfig/{name}.kc"));
        let common = format!("--kubeconfig {file} --server {server} --certificate-authority {ca}");
        let ours = demo.run(&format!("version {common}"));
        if let Some(kubectl) = &kubectl {
            let mut command = Command::new(kubectl);
            command.arg("get").arg("--raw=/version").args(common.split(' '));
            let theirs = command.output().expect("kubectl runs");
            let reported = String::from_utf8_lossy(&theirs.stderr).into_owned();
            assert_eq!(ours.code == Some(0), theirs.status.success(), "{name}\n{ours}\nkubectl: {reported}");
        }
        assert_ne!(ours.code, Some(101), "{name}\n{ours}");
    }
}

#[test]
fn the_selected_identity_reaches_the_api_server() {
    let demo = Cluster::faulty("documented", 40.0);
    let gateway = Gateway::before(&target(&demo));
    let server = secure(&gateway.address, "own-ca");
    let ca = format!("--certificate-authority {}", data("tls/own-ca.crt"));
    demo.run(&format!("status --server {server} --token viewer {ca}")).exits(0).reports("secrets");
    assert!(gateway.received().contains("authorization: bearer viewer\r\n"), "{}", gateway.received());
    demo.run(&format!("status --server {server}/as/admin --as alice --as-group ops --as-group night {ca}"))
        .exits(0);
    for header in ["impersonate-user: alice", "impersonate-group: ops", "impersonate-group: night"] {
        assert!(gateway.received().contains(&format!("{header}\r\n")), "{header}: {}", gateway.received());
    }
    let config = kubeconfig(&demo, "as.yaml", &format!("{server}/as/admin"), &trusted(), "as: bob");
    demo.run(&format!("status --kubeconfig {config}")).exits(0);
    assert!(gateway.received().contains("impersonate-user: bob\r\n"));
    // Entries of other contexts: the kubeconfig of the demo has a cluster and a user of each name.
    demo.run("status --cluster viewer --user viewer").exits(0).reports("secrets");
    demo.run("status --user no-such").fails(1).reports("no-such");
    demo.run("status --as-group alone").fails(2).reports("--as");
}

#[test]
fn a_login_command_gives_the_credentials() {
    let demo = Cluster::faulty("documented", 40.0);
    let gateway = Gateway::before(&target(&demo));
    let answer = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"viewer"}}"#;
    let login = demo.file(
        "login",
        &format!("echo $REPORTED >>\"$HOME/logins\"\ntest \"$REPORTED\" = well || {{ echo you are logged out >&2; exit 3; }}\ncase $KUBERNETES_EXEC_INFO in *ExecCredential*) echo '{answer}' ;; esac\n"),
    );
    let exec = |reported: &str| {
        format!(
            "exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: ['{login}'], \
             env: [{{name: REPORTED, value: {reported}}}], interactiveMode: Never}}"
        )
    };
    let server = secure(&gateway.address, "own-ca");
    let good = kubeconfig(&demo, "good.yaml", &server, &trusted(), &exec("well"));
    demo.run(&format!("status --kubeconfig {good}")).exits(0).reports("secrets").shows("10,000 connections");
    assert!(gateway.received().contains("authorization: bearer viewer\r\n"));
    // A login may take a second, or a browser: it must run only once.
    let logins = std::fs::read_to_string(demo.home.join("logins")).expect("it was run");
    assert_eq!(logins, "well\n");
    let bad = kubeconfig(&demo, "bad.yaml", &server, &trusted(), &exec("badly"));
    demo.run(&format!("status --kubeconfig {bad}")).fails(1).reports("status: 3: you are logged out");
    // A token on the command line replaces the login command.
    demo.run(&format!("status --kubeconfig {bad} --token viewer")).exits(0);
    // Data piped into the program must not reach a login command that would prompt; the command fails with a
    // message.
    let asks = demo.file(
        "asks",
        &format!("read -r code || {{ echo no server answers >&2; exit 4; }}\ncase $code in apiVersion*) echo it is mine >&2; exit 5 ;; esac\necho '{answer}'\n"),
    );
    let interactive = |mode: &str| {
        let exec = format!(
            "exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: ['{asks}'], interactiveMode: {mode}}}"
        );
        kubeconfig(&demo, &format!("{mode}.yaml"), &server, &trusted(), &exec)
    };
    let manifest = demo.run("rebalance generate --conn-evict-rate 500").exits(0).out;
    let apply = |config: &str| {
        demo.run_with(&format!("rebalance apply -f - --yes --kubeconfig {config}"), &manifest).exits(1)
    };
    apply(&interactive("IfAvailable")).reports("status: 4: no server answers");
    apply(&interactive("Always")).reports("interactiveMode: Always").reports("standard input is no terminal");
    assert_eq!(demo.rebalances(), []);
}

#[test]
fn a_proxy_of_the_kubeconfig_or_the_environment_is_gone_through() {
    let demo = Cluster::faulty("documented", 40.0);
    let named = Gateway::before(&target(&demo));
    // A name that no resolver knows: only the proxy can reach it.
    let server = "http://api.example.invalid:6443/as/admin";
    let proxy = format!(", proxy-url: 'http://{}'", named.address);
    let config = kubeconfig(&demo, "proxy.yaml", server, &proxy, "");
    // EMQX is asked as well, through port-forwards over the same proxy.
    let status = demo.run(&format!("status -o json --kubeconfig {config}")).exits(0).json();
    assert_eq!(status["sources"]["emqx"]["state"], "ok");
    assert!(named.received().contains("connect api.example.invalid:6443 "), "{}", named.received());

    let other = Gateway::before(&target(&demo));
    let config = kubeconfig(&demo, "plain.yaml", server, "", "");
    let with = |variables: &[(&str, &str)], config: &str| {
        let mut command = demo.command(&format!("status --kubeconfig {config} --request-timeout 5s"));
        command.envs(variables.iter().copied());
        Going::start(command, None).end()
    };
    with(&[("HTTP_PROXY", &other.address)], &config).exits(0);
    assert!(other.received().contains("connect api.example.invalid:6443 "), "{}", other.received());
    let before = other.received().len();
    with(&[("HTTP_PROXY", &other.address), ("NO_PROXY", "example.invalid")], &config).fails(1);
    // The failed proxy is named, without its credentials.
    let ran = with(&[("HTTP_PROXY", "http://me:secret@127.0.0.1:1")], &config).fails(1);
    assert!(ran.err.contains("(through the proxy 127.0.0.1:1) does not answer: connection refused"), "{ran}");
    assert!(!ran.err.contains("secret"), "{ran}");
    with(&[("HTTPS_PROXY", &other.address)], &config).fails(1);
    // An address on this machine needs no proxy, as for kubectl.
    with(&[("HTTP_PROXY", &other.address)], &demo.kubeconfig.display().to_string()).exits(0);
    assert_eq!(other.received().len(), before, "the proxy was left alone");
}

#[cfg(target_os = "linux")]
#[test]
fn in_a_pod_the_service_account_is_enough() {
    use crate::completion::{skipped, tool};
    let (Some(openssl), Some(unshare)) = (tool("openssl"), tool("unshare")) else { return };
    // The paths of a pod are fixed, so it gets a file system of its own.
    let can = Command::new(&unshare).args(["-rm", "mount", "-t", "tmpfs", "none", "/var"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        return skipped("right to mount within a namespace of one's own");
    }
    let demo = Cluster::faulty("documented", 40.0);
    let (key, certificate) = (demo.home.join("key.pem"), demo.home.join("ca.crt"));
    let made = Command::new(openssl)
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=api",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
        ])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let port = crate::gateway::transport(&target(&demo), &certificate, &key);
    let pod = |token: &str, arguments: &str| -> Ran {
        let account = "/var/run/secrets/kubernetes.io/serviceaccount";
        let script = format!(
            "mount -t tmpfs none /var && mkdir -p {account} && cp ca.crt {account} && printf {token} > {account}/token \
             && printf mq > {account}/namespace && exec {PROGRAM} {arguments}"
        );
        let mut command = Command::new(&unshare);
        command.args(["-rm", "sh", "-c", &script]).env_clear().current_dir(&demo.home);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", "/nowhere");
        command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1").env("KUBERNETES_SERVICE_PORT", port.to_string());
        Going::start(command, None).end()
    };
    let status = pod("admin", "status -o json").exits(0).json();
    assert_eq!(status["instance"]["namespace"], "mq", "the namespace of the pod");
    assert_eq!(status["sources"]["emqx"]["state"], "ok");
    pod("viewer", "status").exits(0).reports("secrets");
    pod("stranger", "status").fails(1).reports("401");
}

#[test]
fn names_and_wide_tables_are_there_where_kubectl_has_them() {
    let demo = Cluster::demo("documented", 40);
    for verb in
        ["status", "status -A", "nodes", "nodes -A", "version", &format!("rebalance plan {DOCUMENTED}")]
    {
        assert_eq!(demo.run(&format!("{verb} -o name")).exits(0).out, "emqx.apps.emqx.io/emqx\n", "{verb}");
        let (text, wide) = (demo.run(verb).exits(0).out, demo.run(&format!("{verb} -o wide")).exits(0).out);
        assert!(wide.len() >= text.len(), "{verb}\n{text}\n{wide}");
    }
    let ran = demo.run("rebalance apply --yes --conn-evict-rate 1 -o name").exits(0);
    let name = ran.out.trim().to_owned();
    assert!(name.starts_with("rebalance.apps.emqx.io/emqx-"), "{ran}");
    assert_eq!(demo.run("rebalance list -o name").exits(0).out, format!("{name}\n"));
    demo.run("rebalance list -o wide").exits(0).shows("emqx-");
    assert_eq!(demo.run("rebalance stop --yes -o name").exits(0).out, format!("{name}\n"));
}

#[test]
fn every_command_that_writes_has_a_dry_run() {
    for (path, verb) in verbs() {
        let flags = longs(&verb);
        if flags.contains("yes") {
            for flag in ["dry-run", "field-manager", "reason", "error-unchanged"] {
                assert!(flags.contains(flag), "{path} has no --{flag}");
            }
        }
    }
    let demo = Cluster::demo("documented", 40);
    for place in ["client", "server"] {
        demo.run(&format!("rebalance apply --dry-run={place} {DOCUMENTED}")).exits(0);
        demo.run(&format!("rebalance prune --dry-run={place}")).exits(0);
        demo.run(&format!("upgrade emqx --image emqx/emqx-enterprise:5.8.7 --dry-run={place}")).exits(0);
    }
    assert_eq!(demo.rebalances(), []);
    let (_, emqx) = demo.api("GET", "/apis/apps.emqx.io/v2beta1/namespaces/mq/emqxes/emqx", "");
    assert_eq!(emqx["spec"]["image"], "emqx/emqx-enterprise:5.8.6");
}

#[test]
fn whose_change_it_is_reaches_the_api_server() {
    let demo = Cluster::faulty("documented", 40.0);
    let gateway = Gateway::before(&target(&demo));
    let server = format!("http://{}/as/admin", gateway.address);
    demo.run(&format!("rebalance apply --yes --server {server} --conn-evict-rate 1")).exits(0);
    assert!(gateway.received().contains("fieldmanager=kubectl-emqx"), "{}", gateway.received());
    demo.run(&format!("rebalance stop --yes --server {server}")).exits(0);
    demo.run(&format!("rebalance apply --yes --server {server} --conn-evict-rate 1 --field-manager me"))
        .exits(0);
    assert!(gateway.received().contains("fieldmanager=me"));
}

#[test]
fn what_is_so_already_is_success_unless_asked_otherwise() {
    let demo = Cluster::demo("balanced", 40);
    for (flag, code) in [("", 0), ("--error-unchanged", 3)] {
        let ran = demo.run(&format!("rebalance apply --yes {flag}")).exits(code).reports("nothing to do");
        assert_eq!(ran.out, "", "{ran}");
        demo.run(&format!("rebalance prune --yes {flag}")).exits(code);
    }
    assert_eq!(demo.rebalances(), []);
}

#[test]
fn logs_go_as_deep_as_asked_and_where_asked() {
    let demo = Cluster::demo("documented", 40);
    let quiet = demo.run("nodes").exits(0).err.len();
    let lines = |level: &str| demo.run(&format!("nodes -v {level}")).exits(0).err.lines().count();
    assert_eq!(demo.run("nodes -v error").exits(0).err.len(), quiet, "nothing failed");
    let (debug, trace) = (lines("debug"), lines("trace"));
    assert!(debug > lines("warn") && trace >= debug, "{debug} {trace}");
    let log = demo.home.join("log");
    let mut command = demo.command(&format!("nodes --log-file {}", log.display()));
    command.env("KUBECTL_EMQX_V", "debug");
    let ran = Going::start(command, None).end().exits(0);
    assert_eq!(ran.err.len(), quiet, "{ran}");
    assert!(std::fs::read_to_string(log).expect("a log").contains("DEBUG"));
    demo.run("nodes -v 9").fails(2).reports("trace");
    // A log that cannot be written is no reason to fail.
    let mut command = demo.command("nodes -v trace");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let child = command.stderr(writer).stdout(std::process::Stdio::piped()).spawn().expect("it starts");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("CONNECTIONS"));
}

#[test]
fn help_begins_with_what_a_person_types() {
    let home = folder();
    for words in [&["--help"][..], &["status", "-h"], &["help", "rebalance"]] {
        let ran = Going::start(program(&home, words), None).end().exits(0);
        assert!(ran.out.contains("Usage: kubectl emqx"), "{ran}");
    }
    std::fs::remove_dir_all(home).expect("ours");
}
