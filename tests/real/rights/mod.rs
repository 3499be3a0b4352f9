//! Least privilege: what each verb needs, what it is worth without each right, and that it asks for nothing else.

mod audit;
mod cases;
mod table;
mod users;

pub use audit::options;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cluster::RealCluster;
use crate::control_plane::{ControlPlane, Line, until};
use crate::part;
use table::{Verb, When, table};

/// The operator looks every second, and calls an instance not ready whose donors are.
const EMQX: &str = "
name: real
api: v2beta1
operatorLooksAfter: 1
nodes:
- { connections: 100, count: 3 }
- { connections: 0 }
";

pub async fn start(plane: &ControlPlane) -> RealCluster<'_> {
    plane.install(Line::V22).await;
    plane.apply_crds(&["tests/control_plane/emqxbrokers-crd.yaml"]).await;
    let rights: BTreeSet<&str> = table().iter().flat_map(|it| &it.needs).map(|it| it.right).collect();
    let (emqx, ()) =
        futures::join!(RealCluster::start(plane, EMQX), users::make_groups(plane, rights.into_iter()));
    emqx
}

/// Nothing runs, and everything is tried; then one is begun by him who may, looked at and stopped; one in EMQX alone; and
/// one that is followed to its end, and pruned.
pub async fn each(plane: &ControlPlane, emqx: &RealCluster<'_>) {
    let verbs = table();
    let rights_of =
        |names: &[&str]| -> Vec<&Verb> { verbs.iter().filter(|it| names.contains(&it.name)).collect() };
    let done = async |names: &[&str], args: &[&str]| cases::done(plane, &rights_of(names), args).await;
    let slow = |more: &'static str| [&SLOW[..], &[more]].concat();
    let mut wrong = part("while nothing runs", cases::tried(plane, &verbs, When::Idle, "")).await;

    let name = done(&["rebalance apply"], &slow("--backend=rebalance")).await;
    judged(emqx, &name).await;
    wrong.extend(part("while one runs", cases::tried(plane, &verbs, When::Running, &name)).await);
    assert!(!emqx.idle(), "who lacks a right stops nothing");
    done(&["rebalance stop"], &["rebalance", "stop", &name, "--yes"]).await;
    assert!(emqx.idle() && emqx.phase(&name).await.is_none());
    emqx.ready().await;

    let name = done(&["rebalance apply --backend emqx"], &slow("--backend=emqx")).await;
    wrong.extend(part("in EMQX alone", cases::tried(plane, &verbs, When::Conducted, &name)).await);
    assert!(!emqx.idle(), "who lacks a right stops nothing");
    done(&["rebalance stop --backend emqx"], &["rebalance", "stop", &name, "--yes"]).await;
    assert!(emqx.idle());
    emqx.ready().await;

    let name = part("to the end", done(&["rebalance apply", "rebalance watch"], &QUICK)).await;
    judged(emqx, &name).await;
    wrong.extend(part("when one is over", cases::tried(plane, &verbs, When::Over, "")).await);
    assert!(emqx.phase(&name).await.is_some(), "a dry run deletes nothing");
    assert_eq!(done(&["rebalance prune"], &["rebalance", "prune", "--yes"]).await, name);
    assert!(emqx.phase(&name).await.is_none());

    wrong.extend(part("by the audit log", cases::audited(plane, &verbs)).await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Waits until the operator has had its last word.
async fn judged(emqx: &RealCluster<'_>, name: &str) {
    until("Failed", Duration::from_secs(60), async || {
        let phase = emqx.phase(name).await.unwrap_or_default();
        if phase.starts_with("Failed") || phase.starts_with("Completed") { Ok(()) } else { Err(phase) }
    })
    .await;
}

/// One that does not end while it is looked at.
const SLOW: [&str; 6] = [
    "rebalance",
    "apply",
    "--yes",
    "--abs-conn-threshold=1",
    "--abs-sess-threshold=1",
    "--wait-health-check=120",
];

/// One that is over soon, followed.
const QUICK: [&str; 9] = [
    "rebalance",
    "apply",
    "--yes",
    "--watch",
    "--abs-conn-threshold=1",
    "--abs-sess-threshold=1",
    "--conn-evict-rate=100",
    "--wait-health-check=1",
    "--wait-takeover=1",
];
