//! Other identities: a login command, another name by `--as`, a pod's service account.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::audit;
use super::table::{LEASES, Layer, table};
use super::users::user;
use crate::program::{Program, notices, refused};
use test_support::control_plane::{ControlPlane, Output, until};

/// A kubeconfig of one user beside the others.
fn kubeconfig(plane: &ControlPlane, name: &str, user: &Value) -> std::path::PathBuf {
    let config = json!({ "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{ "name": "it", "cluster": {
            "server": plane.url(), "certificate-authority": plane.authority() } }],
        "users": [{ "name": name, "user": user }],
        "contexts": [{ "name": "it", "context": {
            "cluster": "it", "user": name, "namespace": plane.namespace() } }] });
    let file = plane.dir().join(format!("{name}.kubeconfig"));
    std::fs::write(&file, config.to_string()).expect("a kubeconfig");
    file
}

fn roles() -> Vec<&'static str> {
    [Layer::View, Layer::Ask].map(Layer::role).to_vec()
}

/// The kubeconfig's login command provides a certificate, also for the port-forward.
pub async fn login_command(plane: &ControlPlane) {
    user(plane, "logged-in", plane.namespace(), &roles());
    let pem = |kind: &str| {
        let file = plane.dir().join(format!("pki/user-logged-in.{kind}"));
        std::fs::read_to_string(file).expect("it was just made")
    };
    let credential = json!({ "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": { "clientCertificateData": pem("crt"), "clientKeyData": pem("key") } });
    let file = plane.dir().join("credential.json");
    std::fs::write(&file, credential.to_string()).expect("a credential");
    let exec = |command: &str, args: &[&str]| {
        json!({ "exec": { "apiVersion": "client.authentication.k8s.io/v1", "command": command, "args": args,
            "interactiveMode": "Never" } })
    };
    let path = kubeconfig(plane, "exec", &exec("cat", &[&file.to_string_lossy()]));
    let program = Program::of(plane, &path, plane.namespace());
    let status = program.json(&["status"]).await;
    assert_eq!(status["sources"]["emqx"]["state"], "ok", "{status}");

    let path = kubeconfig(plane, "broken", &exec("cat", &["/nowhere/credential"]));
    let out = Program::of(plane, &path, plane.namespace()).run(&["status"]).await;
    refused(&out, 1, &["the login command cat of the kubeconfig failed", "No such file", "hint: "]);
}

/// The permissions are those of the impersonated user, also for the port-forward, and so is the name in the
/// API server's log.
pub async fn another_name(plane: &ControlPlane) {
    let may = ["create", "clusterrole", "impersonator", "--verb=impersonate", "--resource=users,groups"];
    plane.kubectl(&may).await.ok();
    let bound =
        ["create", "clusterrolebinding", "impersonator", "--clusterrole=impersonator", "--user=deputy"];
    plane.kubectl(&bound).await.ok();
    let deputy = user(plane, "deputy", plane.namespace(), &[]);
    let groups = roles().into_iter().map(|role| format!("--as-group={role}"));
    let args = ["status", "-o", "json", "--as=carol"].map(str::to_owned).into_iter().chain(groups);
    let args: Vec<String> = args.collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    until("the deputy's rights", LIMIT, async || whole(&deputy.run(&args).await, plane.namespace())).await;
    let log = audit::read(plane).await;
    let carol = log.get("carol").expect("she was there");
    let looks = table().into_iter().find(|verb| verb.name == "status").expect("a verb");
    // Roles that are bound in one namespace do not include the operator's Lease.
    let reached = |right: &str| carol.allowed.contains(right) || right == LEASES;
    assert!(looks.needs.iter().all(|need| reached(need.right)), "{carol:?}");

    let out = deputy.run(&["status", "--as=carol"]).await;
    refused(&out, 1, &["User \"carol\" cannot list resource", "hint: "]);
    let stranger = user(plane, "stranger", plane.namespace(), &[]);
    let out = stranger.run(&["status", "--as=carol"]).await;
    refused(&out, 1, &["\"stranger\" cannot impersonate", "verb impersonate on users"]);
}

const LIMIT: Duration = Duration::from_mins(1);

/// A status without missing data.
fn whole(out: &Output, namespace: &str) -> Result<(), String> {
    if out.code != Some(0) || !notices(out).is_empty() {
        return Err(out.stderr.clone());
    }
    let status: Value = serde_json::from_str(&out.stdout).map_err(|error| error.to_string())?;
    assert_eq!(status["instance"]["namespace"], namespace, "{status}");
    assert_eq!(status["sources"]["emqx"]["state"], "ok", "{status}");
    Ok(())
}

/// In a pod there is no kubeconfig, but a token, a certificate and a namespace at a fixed path. Another
/// process of this machine gets them there in a mount namespace of its own, where the system permits it.
pub async fn in_a_pod(plane: &ControlPlane) {
    let namespace = plane.namespace();
    plane.kubectl(&["create", "serviceaccount", "runner", "-n", namespace]).await.ok();
    for role in roles() {
        let who = format!("--serviceaccount={namespace}:runner");
        let args = [
            "create",
            "rolebinding",
            &format!("runner-{role}"),
            "-n",
            namespace,
            "--clusterrole",
            role,
            &who,
        ];
        plane.kubectl(&args).await.ok();
    }
    let token = plane.kubectl(&["create", "token", "runner", "-n", namespace]).await.ok();
    let account = plane.dir().join("account");
    std::fs::create_dir_all(&account).expect("a folder");
    for (name, text) in [("token", token.trim()), ("namespace", namespace)] {
        std::fs::write(account.join(name), text).expect("a file");
    }
    std::fs::copy(plane.authority(), account.join("ca.crt")).expect("a copy");
    let (host, port) = plane
        .url()
        .trim_start_matches("https://")
        .rsplit_once(':')
        .map(|(host, port)| (host.to_owned(), port.to_owned()))
        .expect("an address");
    let inside = |args: &str| {
        let mut command = Command::new("unshare");
        let script = format!(
            "mount -t tmpfs tmpfs /run && mkdir -p {PLACE} && cp \"$ACCOUNT\"/* {PLACE}/ && exec \"$PROGRAM\" {args}"
        );
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("ACCOUNT", &account).env("PROGRAM", env!("CARGO_BIN_EXE_kubectl-emqx"));
        command
            .env("HOME", "/nowhere")
            .env("KUBERNETES_SERVICE_HOST", &host)
            .env("KUBERNETES_SERVICE_PORT", &port);
        command
    };
    if !namespaces() {
        println!("SKIPPED: this system gives no mount namespace, so nothing was tried as in a pod");
        return;
    }
    // The namespace is the account's own.
    let status = async || whole(&plane.run(inside("status -o json"), None).await, namespace);
    until("the account's rights", LIMIT, status).await;
    let out = plane.run(inside("rebalance apply --yes --abs-conn-threshold=1"), None).await;
    refused(&out, 6, &["you may not create a Rebalance", "create rebalances.apps.emqx.io"]);
}

const PLACE: &str = "/run/secrets/kubernetes.io/serviceaccount";

fn namespaces() -> bool {
    // The path of the account contains `/var/run`.
    let linked = Path::new("/var/run").canonicalize().is_ok_and(|path| path == Path::new("/run"));
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/run"]);
    linked && unshare.output().is_ok_and(|out| out.status.success())
}
