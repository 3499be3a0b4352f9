//! Reads beside kubectl, and how many requests a read makes.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::cluster::RealCluster;
use crate::measure::{self, Run};
use test_support::control_plane::ControlPlane;

/// A cluster of three nodes with their pods.
pub const FEW: &str = "
name: few
about: three cores
namespace: few
api: v2beta1
nodes:
- { count: 3, connections: 1000 }
";

/// The same cluster with 998 replicants.
pub const MANY: &str = "
name: many
about: two cores, 998 replicants
namespace: many
api: v2beta1
nodes:
- { count: 2 }
- { role: replicant, count: 998, connections: 1000 }
";

fn row(name: &str, reach: &str, ours: Run, theirs: Run) {
    println!(
        "| {name} | {} | {} | {:.2} | {} | {} | {:.2} | {reach} |",
        measure::milliseconds(ours.wall),
        measure::milliseconds(theirs.wall),
        ours.wall.as_secs_f64() / theirs.wall.as_secs_f64(),
        measure::megabytes(ours.kib),
        measure::megabytes(theirs.kib),
        ours.kib as f64 / theirs.kib as f64,
    );
}

/// The kubeconfig of a user who may read objects, but nothing of EMQX.
pub async fn reader(plane: &ControlPlane, namespace: &str) -> std::path::PathBuf {
    let read = ["get", "list", "watch"];
    let rules = json!([
        { "apiGroups": ["apps.emqx.io"], "resources": ["emqxes", "emqxenterprises", "rebalances"], "verbs": read },
        { "apiGroups": [""], "resources": ["pods", "events"], "verbs": read },
        { "apiGroups": ["apps"], "resources": ["statefulsets", "replicasets"], "verbs": read },
        { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read },
    ]);
    plane.grant("reader", Some(namespace), rules).await;
    plane.kubeconfig_for("reader")
}

pub async fn beside_kubectl(plane: &ControlPlane, program: &Path, few: &RealCluster<'_>) {
    let reader = reader(plane, few.namespace()).await;
    let command = |program: &Path, kubeconfig: &Path, arguments: &[&str]| {
        let mut command = plane.command_as(program, kubeconfig);
        command.args(["-n", few.namespace()]).args(arguments);
        command
    };
    let kubectl = plane.binaries().kubectl.clone();
    let theirs = command(&kubectl, &plane.admin_kubeconfig(), &["get", "emqx,pods", "-o", "json"]);
    println!(
        "| beside `kubectl get emqx,pods -o json` | ours | kubectl | ratio | memory | kubectl | ratio | reach |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let objects = command(program, &reader, &["status", "-o", "json"]);
    let emqx = command(program, &plane.admin_kubeconfig(), &["status"]);
    // The simulated EMQX answers on this thread, so the measured programs must not block it.
    let (ours, kubectls) = turn(objects, theirs_again(&theirs)).await;
    row("`status -o json`, EMQX not asked", "≤ 0.25, ≤ 0.2", ours, kubectls);
    let (ours, kubectls) = turn(emqx, theirs).await;
    row("`status`, port-forward and EMQX's answers", "≤ 0.35, ≤ 0.2", ours, kubectls);
    println!();
}

async fn turn(ours: Command, theirs: Command) -> (Run, Run) {
    tokio::task::spawn_blocking(move || measure::in_turn(&ours, &theirs)).await.expect("no panic")
}

fn theirs_again(command: &Command) -> Command {
    let mut again = Command::new(command.get_program());
    again.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => again.env(name, value),
            None => again.env_remove(name),
        };
    }
    again
}

/// Counts the requests of one `status` to the API server and to EMQX, from the program's log.
pub async fn requests(plane: &ControlPlane, program: &Path) {
    println!("| requests of one `status` | to the API server | to EMQX |\n| --- | --- | --- |");
    for (nodes, scenario) in [(3, FEW), (1000, MANY)] {
        let scenario = scenario.replace("namespace: few", "namespace: few-again");
        let cluster = RealCluster::start(plane, &scenario).await;
        let mut command = plane.command(program);
        command.args(["-n", cluster.namespace(), "status", "-o", "json", "-v", "debug"]);
        let output = plane.run(command, None).await;
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        let count = |words: &str| output.stderr.lines().filter(|line| line.contains(words)).count();
        println!("| {nodes} nodes | {} | {} |", count("requesting"), count("EMQX answered"));
    }
    println!();
}
