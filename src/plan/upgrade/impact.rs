//! The impact of an upgrade on clients and on the cluster: the findings to read before a confirmation.

use super::forecast::cuts;
use super::target::Way;

use crate::model::cluster::is_open_source;
use crate::model::human::{count, plural};
use crate::model::{ApiVersion, InstanceKind, Role};
use crate::plan::finding::Finding;
use crate::plan::upgrade::check::UpgradeCheck;
use crate::timing::LOOP_SECONDS;

/// All findings about the impact.
pub(super) fn findings(check: &UpgradeCheck<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(no_evacuation(check));
    found.extend(missing_rates(check));
    found.extend(unguarded(check));
    found.extend(gates(check));
    found.extend(durable(check));
    found.extend(domain(check));
    found.extend(traffic(check));
    found.extend(capacity(check));
    found
}

/// Open source cannot evacuate.
fn no_evacuation(check: &UpgradeCheck<'_>) -> Option<Finding> {
    let open = check.instance.id.kind == InstanceKind::EmqxBroker
        || is_open_source(check.snapshot.edition.as_deref());
    let three = check.instance.api == ApiVersion::V3beta1;
    let rolled = three && check.instance.update.disabled;
    let alone = three
        && check.snapshot.nodes.len() == 1
        && check.snapshot.nodes.iter().all(|row| row.role != Role::Replicant);
    if !open && !rolled && !alone {
        return None;
    }
    let clients = check.snapshot.totals.connections.map_or("all".to_owned(), count);
    let what = if open {
        "open-source EMQX has no evacuation"
    } else if rolled {
        "evacuation is switched off in the object"
    } else {
        "a single core without replicants is replaced without an evacuation, because its sessions have nowhere to go"
    };
    Some(Finding::warning(
        "no-evacuation",
        format!(
            "{what}: {clients} clients are disconnected when their pods are deleted, and sessions without a client are lost"
        ),
    ))
}

/// v1beta4 without rates: nothing is ever evicted ([OP-17]). The rates of this program are written with the
/// change.
fn missing_rates(check: &UpgradeCheck<'_>) -> Option<Finding> {
    let update = &check.instance.update;
    let missing = check.instance.api == ApiVersion::V1beta4
        && update.present
        && (update.conn_evict_rate.is_none() || update.sess_evict_rate.is_none());
    missing.then(|| {
        let target = &check.target.update;
        Finding::warning(
            "rates-missing",
            format!(
                "spec.blueGreenUpdate has no rates, and without them EMQX refuses to evict: {} and {} a second are written",
                plural(target.conn_evict_rate.unwrap_or(0), "client"),
                plural(target.sess_evict_rate.unwrap_or(0), "session")
            ),
        )
    })
}

/// v1beta4 without a guard: the operator deletes pods that still have clients ([OP-15]).
fn unguarded(check: &UpgradeCheck<'_>) -> Option<Finding> {
    let bites = check.instance.api == ApiVersion::V1beta4
        && check.target.way == Way::BlueGreen
        && !check.target.guarded;
    bites.then(|| {
        let counts: Vec<u64> = check.snapshot.nodes.iter().filter_map(|row| row.connections).collect();
        let clients: u64 = cuts(&counts, counts.len() as u64).iter().sum();
        let offline: u64 = check
            .snapshot
            .nodes
            .iter()
            .filter_map(|row| Some(row.sessions?.saturating_sub(row.connections?)))
            .sum();
        Finding::warning(
            "deleted-loaded",
            format!(
                "this operator deletes a pod in the second it starts to empty it, one every {LOOP_SECONDS} s: {} disconnections \
                 at once in all, and {} without a client lost",
                count(clients),
                plural(offline, "session")
            ),
        )
        .hint("leave --unguarded away")
    })
}

/// Without the permission to write readiness gates, old pods stay in the Service while they are emptied.
fn gates(check: &UpgradeCheck<'_>) -> Option<Finding> {
    (check.target.guarded && check.ask.gates == Some(false)).then(|| {
        Finding::warning(
            "no-gates",
            "you may not patch pods/status: old pods stay in the Service while they are emptied, and refuse some of the clients \
             that come back, which then try again",
        )
        .hint("ask for the right to patch pods/status")
    })
}

/// Rule S16: from one moment on all new clients connect to new pods.
fn traffic(check: &UpgradeCheck<'_>) -> Option<Finding> {
    let message = match check.instance.api {
        ApiVersion::V2beta1 | ApiVersion::V2 => {
            "all old pods leave the Service at one moment, before the first of them is emptied: new clients go to new pods only"
        }
        ApiVersion::V1beta4 if check.target.guarded && check.ask.gates != Some(false) => {
            "we take all old pods out of the Service at one moment, before they are emptied"
        }
        _ => return None,
    };
    Some(Finding::info("traffic-moves", message))
}

/// Rule S16: a blue-green upgrade needs capacity for two sets of pods.
fn capacity(check: &UpgradeCheck<'_>) -> Option<Finding> {
    if check.target.way != Way::BlueGreen {
        return None;
    }
    let instance = check.instance;
    let requests = &instance.requests;
    let of = |role| check.snapshot.nodes.iter().filter(|row| row.role == role).count() as u64;
    let cores = instance.cores.unwrap_or_else(|| of(Role::Core));
    let replicants = instance.replicants.unwrap_or(0);
    let each = |cpu: &Option<String>, memory: &Option<String>| match (cpu, memory) {
        (Some(cpu), Some(memory)) => format!(" ({cpu} CPU, {memory} each)"),
        (Some(cpu), None) => format!(" ({cpu} CPU each)"),
        (None, Some(memory)) => format!(" ({memory} each)"),
        (None, None) => String::new(),
    };
    let mut parts = vec![format!(
        "{}{}",
        plural(cores, if instance.api == ApiVersion::V1beta4 { "pod" } else { "core" }),
        each(&requests.core_cpu, &requests.core_memory)
    )];
    if replicants > 0 {
        parts.push(format!(
            "{}{}",
            plural(replicants, "replicant"),
            each(&requests.replicant_cpu, &requests.replicant_memory)
        ));
    }
    if requests.volumes {
        parts.push(plural(cores, "volume"));
    }
    Some(Finding::info(
        "capacity",
        format!(
            "a second set runs beside the first until the old pods are deleted: check that the cluster has room, and the licence \
             enough nodes, for {} more",
            parts.join(", ")
        ),
    ))
}

/// Durable sessions are counted on every node and cannot be moved ([EMQX-33]).
fn durable(check: &UpgradeCheck<'_>) -> Option<Finding> {
    check.instance.durable_sessions.then(|| {
        Finding::warning(
            "durable-sessions",
            "durable sessions are on: EMQX counts those without a client on every node and cannot move them, so that an \
             evacuation may never come to its end",
        )
    })
}

/// Operator 2.2 searches cores under `svc.cluster.local` only, and regards a core that it cannot find as
/// stopped ([OP-75]).
fn domain(check: &UpgradeCheck<'_>) -> Option<Finding> {
    let cores = check.snapshot.nodes.iter().filter(|row| row.role == Role::Core);
    let elsewhere = cores
        .filter_map(|row| row.node.as_ref())
        .find(|node| node.host().contains(".svc.") && !node.host().ends_with(".svc.cluster.local"))?;
    (check.instance.api == ApiVersion::V2beta1).then(|| {
        Finding::warning(
            "cluster-domain",
            format!(
                "the cluster's domain is not cluster.local ({elsewhere}): operator 2.2 may remove cores without emptying them"
            ),
        )
    })
}
