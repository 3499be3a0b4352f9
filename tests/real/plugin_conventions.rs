//! Expectations of any kubectl plugin, on a real API server and beside the real kubectl.
//! `journeys/expected.rs` has the whole list.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cluster::RealCluster;
use crate::gateway::Gateway;
use crate::program::{Program, refused};
use test_support::control_plane::{ControlPlane, Output, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-emqx");
const INSTANCE: &str = "emqx.apps.emqx.io/emqx\n";

/// Runs the program with only a kubeconfig and these variables.
async fn run(
    plane: &ControlPlane,
    kubeconfig: &Path,
    variables: &[(&str, &str)],
    args: &[&str],
    input: Option<&str>,
) -> Output {
    let mut command = plane.command_as(PROGRAM, kubeconfig);
    command.args(args).envs(variables.iter().copied());
    plane.run(command, input).await
}

/// A kubeconfig of one context, with more for its cluster.
fn kubeconfig(plane: &ControlPlane, name: &str, cluster: &Value, user: &Value) -> PathBuf {
    let mut server =
        json!({ "server": plane.url(), "certificate-authority-data": inline(&plane.authority()) });
    server.as_object_mut().expect("it is one").extend(cluster.as_object().cloned().unwrap_or_default());
    let config = json!({ "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{ "name": "it", "cluster": server }], "users": [{ "name": "it", "user": user }],
        "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "it", "namespace": plane.namespace() } }] });
    written(plane, name, &config.to_string())
}

fn written(plane: &ControlPlane, name: &str, text: &str) -> PathBuf {
    let file = plane.dir().join(name);
    std::fs::write(&file, text).expect("a file");
    file
}

fn inline(file: &Path) -> String {
    STANDARD.encode(std::fs::read(file).expect("it is there"))
}

/// A service account with all permissions, by its token.
async fn token(plane: &ControlPlane) -> String {
    let namespace = plane.namespace();
    plane.kubectl(&["create", "serviceaccount", "porter", "-n", namespace]).await.ok();
    let who = format!("--serviceaccount={namespace}:porter");
    plane
        .kubectl(&["create", "clusterrolebinding", "porter", "--clusterrole=cluster-admin", &who])
        .await
        .ok();
    plane.kubectl(&["create", "token", "porter", "-n", namespace]).await.ok().trim().to_owned()
}

/// Every way to select a cluster and a user; no secret is ever printed.
pub async fn ways_in(plane: &ControlPlane, emqx: &RealCluster<'_>) {
    let token = token(plane).await;
    let pki = |name: &str| plane.dir().join("pki").join(name).to_string_lossy().into_owned();
    let (ca, certificate, key) = (pki("ca.crt"), pki("admin.crt"), pki("admin.key"));
    let none = written(plane, "nothing.yaml", "");
    let admin = plane.admin_kubeconfig();
    let local = plane.url().replace("127.0.0.1", "localhost");
    let files = json!({ "client-certificate-data": inline(Path::new(&certificate)),
        "client-key-data": inline(Path::new(&key)) });
    let inlined = kubeconfig(plane, "inlined.yaml", &json!({}), &files);
    written(plane, "token", &token);
    let by_file = kubeconfig(plane, "by-file.yaml", &json!({}), &json!({ "tokenFile": "token" }));
    let by_token = kubeconfig(plane, "by-token.yaml", &json!({}), &json!({ "token": token }));
    let without_user = kubeconfig(plane, "nobody.yaml", &json!({}), &json!({}));
    until("the account's rights", Duration::from_mins(1), async || {
        let out = run(plane, &by_token, &[], &["status"], None).await;
        if out.code == Some(0) { Ok(()) } else { Err(out.stderr) }
    })
    .await;

    // One kubeconfig in three files, and two files that do not exist.
    let part = |name: &str, value: Value| {
        let mut config = json!({ "apiVersion": "v1", "kind": "Config" });
        config.as_object_mut().expect("it is one").extend(value.as_object().cloned().expect("so is this"));
        written(plane, name, &config.to_string())
    };
    let context = |namespace: &str| json!({ "cluster": "c", "user": "u", "namespace": namespace });
    let parts = [
        part(
            "one.yaml",
            json!({ "clusters": [{ "name": "c", "cluster": { "server": plane.url(), "certificate-authority": "pki/ca.crt" } }] }),
        ),
        PathBuf::from("/nowhere/config"),
        part(
            "two.yaml",
            json!({ "current-context": "far", "contexts": [
                { "name": "far", "context": context("default") }, { "name": "near", "context": context(emqx.namespace()) }] }),
        ),
        PathBuf::new(),
        part(
            "three.yaml",
            json!({ "current-context": "near", "users": [{ "name": "u", "user": {
                "client-certificate": "pki/admin.crt", "client-key": "pki/admin.key" } }] }),
        ),
    ];
    let several = PathBuf::from(std::env::join_paths(&parts).expect("paths"));

    let flags = ["--server", &plane.url(), "--certificate-authority", &ca, "-n", emqx.namespace()];
    let certificates = ["--client-certificate", &certificate, "--client-key", &key];
    let ways: [(&Path, &[&str]); 14] = [
        (&none, &[&flags[..], &certificates].concat()),
        (&none, &[&flags[..], &["--token", &token]].concat()),
        (&admin, &["--server", &local]),
        (&admin, &["--insecure-skip-tls-verify"]),
        (&admin, &["--server", &local, "--tls-server-name", "kubernetes"]),
        (&admin, &["--request-timeout", "20"]),
        (&admin, &["--as", "somebody", "--as-group", "system:masters"]),
        (&several, &["--context", "near"]),
        (&several, &["-n", emqx.namespace()]),
        (&several, &["--cluster", "c", "--user", "u", "--namespace", emqx.namespace()]),
        (&inlined, &[]),
        (&by_file, &[]),
        (&by_token, &[]),
        (&without_user, &["--token", &token]),
    ];
    for (kubeconfig, args) in ways {
        let args = [&["status", "-o", "name"], args].concat();
        let out = run(plane, kubeconfig, &[], &args, None).await;
        assert_eq!((out.code, out.stdout.as_str(), out.stderr.as_str()), (Some(0), INSTANCE, ""), "{args:?}");
    }
    let out = run(plane, &several, &[], &["status"], None).await;
    refused(&out, 1, &["there is no EMQX cluster in namespace default"]);
    // `--kubeconfig` replaces the variable; and the variables of this program do not matter to kubectl.
    let args = ["nodes", "-o", "name", "--kubeconfig", &admin.to_string_lossy()];
    let variables = [("KUBECTL_EMQX_COLOR", "never"), ("KUBECTL_EMQX_NAMESPACE", "default")];
    assert_eq!(run(plane, &none, &variables, &args, None).await.ok(), INSTANCE);
    let out = run(plane, &admin, &[], &["status", "--request-timeout", "1ms"], None).await;
    refused(&out, 1, &["does not answer: no answer"]);

    let secrets = [token, files["client-key-data"].to_string(), emqx.emqx.key().secret.clone()];
    for level in ["error", "warn", "info", "debug", "trace"] {
        for kubeconfig in [&by_token, &inlined, &admin] {
            let out = run(plane, kubeconfig, &[], &["status", "-v", level], None).await;
            assert_eq!(out.code, Some(0), "{}", out.stderr);
            let reported = out.stdout + &out.stderr;
            assert!(reported.contains("DEBUG") == matches!(level, "debug" | "trace"), "{level}");
            let has_secret = secrets.iter().any(|secret| reported.contains(secret.trim_matches('"')));
            assert!(!has_secret && !reported.contains("PRIVATE KEY"), "-v {level} prints a secret");
        }
    }
}

/// Removes fields that change with the next refresh.
fn still(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for age in ["ageSeconds", "silentSeconds", "leaseSeconds"] {
                fields.remove(age);
            }
            fields.values_mut().for_each(still);
        }
        Value::Array(items) => items.iter_mut().for_each(still),
        _ => {}
    }
}

/// Every read in every form; names as kubectl's, and a template with the same result as kubectl's from the
/// same document.
pub async fn outputs(plane: &ControlPlane, emqx: &RealCluster<'_>) {
    let program = Program::admin(plane, emqx.namespace());
    let reads: [&[&str]; 7] = [
        &["status"],
        &["nodes"],
        &["status", "-A"],
        &["nodes", "-A"],
        &["version"],
        &["rebalance", "list"],
        &["rebalance", "plan", "--abs-conn-threshold=1", "--conn-evict-rate=5"],
    ];
    for args in reads {
        let form = async |form: &str| program.run(&[args, &["-o", form]].concat()).await.ok();
        let mut json: Value = serde_json::from_str(&form("json").await).expect("JSON");
        let mut yaml: Value = serde_yaml::from_str(&form("yaml").await).expect("YAML");
        still(&mut json);
        still(&mut yaml);
        assert_eq!(json, yaml, "{args:?}");
        let name = if args[1..] == ["list"] { "" } else { INSTANCE };
        assert_eq!(form("name").await, name, "{args:?}");
        assert!(form("wide").await.len() >= form("text").await.len(), "{args:?}");
    }
    let kubectls = plane.kubectl(&["get", "emqx", "-n", emqx.namespace(), "-o", "name"]).await.ok();
    assert_eq!(kubectls, INSTANCE);

    let document = program.run(&["status", "-o", "json"]).await.ok();
    for template in [
        "{.kind}",
        "{.nodes[*].pod}",
        "{.nodes[0]}",
        "{.nodes[-1].node}|{.nodes[*].part}",
        "{range .nodes[*]}{.pod}{\"\\t\"}{.connections}{'='}{.sessions}{\"\\n\"}{end}",
        "{.instance}{.nope}{.nodes[*].ready}",
    ] {
        let form = format!("jsonpath={template}");
        // Only kubectl's local side evaluates it: no API server has a document of this kind. (kubectl treats
        // a document with `items` as several documents.)
        let local = ["label", "--local", "-f", "-", "a=b", "-o", &form];
        let theirs = plane.kubectl_as(&plane.admin_kubeconfig(), &local, Some(&document)).await.ok();
        assert_eq!(program.run(&["status", "-o", &form]).await.ok(), theirs, "{template}");
    }
}

/// Dry runs store nothing; `kubectl diff` shows the object that would be stored; the next manager shows its
/// owner.
pub async fn changes(plane: &ControlPlane, emqx: &RealCluster<'_>) {
    let (program, admin) = (Program::admin(plane, emqx.namespace()), plane.admin_kubeconfig());
    let versions = async || {
        let each =
            "jsonpath={range .items[*]}{.kind}/{.metadata.name}={.metadata.resourceVersion}{\"\\n\"}{end}";
        plane.kubectl(&["get", "emqx,rebalances,pods,secrets", "-n", emqx.namespace(), "-o", each]).await.ok()
    };
    let before = versions().await;
    let image = "--image=emqx/emqx-enterprise:5.10.2";
    let (client, server) = ("--dry-run=client", "--dry-run=server");
    let (gap, rate) = ("--abs-conn-threshold=1", "--conn-evict-rate=5");
    // An older image than the running one, which must be requested explicitly.
    let older = ["upgrade", "undo", "emqx", "--to=emqx/emqx-enterprise:5.10.0", "--skip-check=downgrade"];
    let (undo_client, undo_server) = ([&older[..], &[client]].concat(), [&older[..], &[server]].concat());
    let tries: [(&[&str], &str); 9] = [
        (&["rebalance", "apply", gap, rate, client], "(dry run)\n"),
        (&["rebalance", "apply", gap, rate, server], "(server dry run)\n"),
        (&["rebalance", "apply", gap, rate, client, "--backend=emqx"], "(dry run)\n"),
        (&["rebalance", "prune", client], ""),
        (&["rebalance", "prune", server], ""),
        (&["upgrade", "apply", "emqx", image, client], "(dry run)\n"),
        (&["upgrade", "apply", "emqx", image, server], "(server dry run)\n"),
        (&undo_client, "(dry run)\n"),
        (&undo_server, "(server dry run)\n"),
    ];
    for (args, ends) in tries {
        let out = program.run(args).await;
        assert!(out.code == Some(0) && out.stdout.ends_with(ends), "{args:?}: {}{}", out.stdout, out.stderr);
    }
    assert!(versions().await == before && emqx.idle(), "a dry run stored something");

    let patch = program.run(&["upgrade", "generate", "emqx", image, "-o", "patch"]).await.ok();
    let diff = ["diff", "--server-side", "--force-conflicts", "-f", "-"];
    let out = plane.kubectl_as(&admin, &diff, Some(&patch)).await;
    let edits: Vec<&str> = out.stdout.lines().filter(|line| line.starts_with(['+', '-'])).collect();
    let edits: Vec<&&str> = edits.iter().filter(|line| !line.contains("generation: ")).skip(2).collect();
    let image = |tag: &str| format!("  image: emqx/emqx-enterprise:{tag}");
    let was = &emqx.scenario.version;
    assert_eq!((out.code, edits.len()), (Some(1), 2), "{}{}", out.stdout, out.stderr);
    assert_eq!([format!("-{}", image(was)), format!("+{}", image("5.10.2"))], [*edits[0], *edits[1]]);

    let manifest = ["rebalance", "generate", "--name=ours", gap, rate, "--wait-health-check=100"];
    let manifest = program.run(&manifest).await.ok();
    let apply = ["rebalance", "apply", "-f", "-", "--yes", "--field-manager=me"];
    program.run_with(&apply, Some(&manifest)).await.ok();
    let theirs = manifest.replace("connEvictRate: 5", "connEvictRate: 1");
    let out = plane.kubectl_as(&admin, &["apply", "--server-side", "-f", "-"], Some(&theirs)).await;
    assert!(out.code == Some(1) && out.stderr.contains("conflict with \"me\""), "{}", out.stderr);
    program.run(&["rebalance", "stop", "ours", "--yes"]).await.ok();
    let out = program.run(&["rebalance", "prune", "--older-than", "0s", "--yes", "--error-unchanged"]).await;
    assert_eq!(out.code, Some(3), "{}", out.stderr);
}

/// A login command with every setting of a kubeconfig; data piped into the program does not reach it.
pub async fn login_commands(plane: &ControlPlane) {
    let answer = json!({ "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": { "token": std::fs::read_to_string(plane.dir().join("token")).expect("it was written") } });
    let script = format!(
        "test \"$1 $2 $WORD\" = 'a b c d' || {{ echo called wrongly >&2; exit 3; }}\n\
         case $KUBERNETES_EXEC_INFO in *'\"server\":\"{}\"'*) ;; *) exit 4 ;; esac\n\
         case $KUBERNETES_EXEC_INFO in *certificate-authority-data*) ;; *) exit 4 ;; esac\n\
         if read -r line; then echo \"it read $line\" >&2; exit 5; fi\necho '{answer}'\n",
        plane.url()
    );
    let script = written(plane, "login.sh", &script).to_string_lossy().into_owned();
    let exec = |name: &str, word: &str, mode: &str| {
        let exec = json!({ "exec": { "apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
            "args": [script, "a", "b c"], "env": [{ "name": "WORD", "value": word }],
            "provideClusterInfo": true, "interactiveMode": mode } });
        kubeconfig(plane, name, &json!({}), &exec)
    };
    let piped = Some("piped\n");
    for mode in ["Never", "IfAvailable"] {
        let out = run(plane, &exec("login.yaml", "d", mode), &[], &["status", "-o", "name"], piped).await;
        assert_eq!((out.code, out.stdout.as_str()), (Some(0), INSTANCE), "{mode}: {}", out.stderr);
    }
    let out = run(plane, &exec("wrong.yaml", "x", "IfAvailable"), &[], &["status"], piped).await;
    refused(&out, 1, &["the login command sh of the kubeconfig failed", "called wrongly", "hint: "]);
    let out = run(plane, &exec("asks.yaml", "d", "Always"), &[], &["status"], piped).await;
    refused(&out, 1, &["has to ask", "standard input is no terminal", "hint: "]);
}

/// Through a proxy of the kubeconfig, and one of the environment, with TLS through it; EMQX is asked as well.
pub async fn proxies(plane: &ControlPlane) {
    let proxy = Gateway::before(plane.url().trim_start_matches("https://"));
    let user =
        json!({ "token": std::fs::read_to_string(plane.dir().join("token")).expect("it was written") });
    // A name that no resolver knows: only the proxy can reach it.
    let server = json!({ "server": "https://api.example.invalid:6443", "tls-server-name": "localhost" });
    let plain = kubeconfig(plane, "plain.yaml", &server, &user);
    let mut named = server;
    named["proxy-url"] = json!(format!("http://{}", proxy.address));
    let named = kubeconfig(plane, "named.yaml", &named, &user);
    let variables: [(&Path, Vec<(&str, &str)>); 3] = [
        (&named, vec![("HTTPS_PROXY", "http://127.0.0.1:1")]),
        (&plain, vec![("HTTPS_PROXY", &proxy.address)]),
        (&plain, vec![("https_proxy", &proxy.address), ("NO_PROXY", "example.org")]),
    ];
    for (kubeconfig, variables) in variables {
        let args = ["status", "-o", "jsonpath={.sources.emqx.state}"];
        let out = run(plane, kubeconfig, &variables, &args, None).await;
        assert_eq!((out.code, out.stdout.as_str()), (Some(0), "ok"), "{variables:?}: {}", out.stderr);
    }
    let asked = proxy.received().matches("connect api.example.invalid:6443 ").count();
    assert!(asked >= 6, "for the API and for each port-forward: {asked}");
    let out = run(plane, &plain, &[("HTTPS_PROXY", "http://127.0.0.1:1")], &["status"], None).await;
    refused(&out, 1, &["(through the proxy 127.0.0.1:1) does not answer: connection refused"]);
    let spared = [("HTTPS_PROXY", proxy.address.as_str()), ("NO_PROXY", ".invalid")];
    refused(&run(plane, &plain, &spared, &["status"], None).await, 1, &["its name cannot be resolved"]);
}

/// `kubectl emqx <Tab>`, by kubectl itself.
pub async fn completes(plane: &ControlPlane, emqx: &RealCluster<'_>) {
    let bin = plane.dir().join("bin");
    std::fs::create_dir_all(&bin).expect("a folder");
    std::os::unix::fs::symlink(PROGRAM, bin.join("kubectl-emqx")).expect("a link");
    let into = bin.to_string_lossy().into_owned();
    run(plane, &plane.admin_kubeconfig(), &[], &["completion", "install", "--dir", &into], None).await.ok();
    let others = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&others))).expect("a PATH");
    let node = emqx.emqx.with(|broker| broker.nodes[0].name.clone());
    for (words, expected) in [
        ("status ", "emqx\tEMQX\n:4\n".to_owned()),
        ("status emqx/", "emqx/emqx\tEMQX\n:4\n".to_owned()),
        ("nodes -n kube-sy", "kube-system\n:4\n".to_owned()),
        ("rebalance stop ", ":4\n".to_owned()),
        (&format!("rebalance stop coordinator/{node}"), format!("coordinator/{node}\temqx\n:4\n")),
        ("upgrade --image ", format!("emqx/emqx-enterprise:{}\tof emqx\n:4\n", emqx.scenario.version)),
    ] {
        let mut command = plane.command(&plane.binaries().kubectl);
        command.args(["__complete", "emqx"]).args(words.split(' ')).env("PATH", &path);
        let out = plane.run(command, None).await;
        assert_eq!(out.stdout, expected, "{words}: {}", out.stderr);
    }
}
