//! The checks of what EMQX reports about itself: its licence, the rates of its listeners, the nodes that each
//! core sees, and what runs without an owner. Also the check of the readiness probes of its pods.

use std::collections::BTreeSet;

use super::{Planned, Purpose, Subject};
use crate::model::drain::DrainedPod;
use crate::model::human::{MAX_NAMED, count, first_names, plural, seconds_between};
use crate::model::report::{EmqxReport, Reading};
use crate::model::strategy::EMQX_WAIT_SECONDS;
use crate::model::{ApiVersion, Evacuation, NodeName, Pod, PodName};
use crate::plan::durations::DrainTiming;
use crate::plan::finding::Finding;
use crate::plan::rebalance::ownership;
use crate::plan::stored_removal::{scale_to_finish, stored_drain};
use crate::plan::upgrade::revisions::UpgradeRevisions;
use crate::timing::LICENCE_WARNING_DAYS;

/// EMQX refuses clients from this many tenths of its licence's limit on.
const REFUSED_TENTHS: u64 = 11;

/// Seconds for which a node of an evaluation licence accepts clients.
const EVALUATION_SECONDS: u64 = 30 * 86_400;

/// The path on which EMQX reports a node as unavailable while the node gives its clients away.
const AVAILABILITY: &str = "availability_check";

/// All of them for one operation.
pub(super) fn findings(subject: Subject<'_>, purpose: Purpose, planned: Planned<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(licence(subject));
    found.extend(connection_rate(subject, planned));
    found.extend(cores_disagree(subject));
    found.extend(orphans(subject));
    found.extend(probes(subject, purpose, planned));
    found
}

/// The sessions of all nodes that run; `None` where one is not known. Durable sessions without a client are counted by every
/// node for the whole cluster, and here once.
fn sessions(subject: Subject<'_>) -> Option<u64> {
    let nodes = &subject.broker().nodes.as_ref()?.value;
    let counts: Option<Vec<(u64, u64)>> = nodes
        .iter()
        .filter(|node| node.running)
        .map(|node| Some((node.connections?, node.sessions?.saturating_sub(node.connections?))))
        .collect();
    let counts = counts?;
    let live: u64 = counts.iter().map(|(live, _)| live).sum();
    let same = counts.len() > 1 && counts.iter().all(|(_, offline)| *offline == counts[0].1);
    let offline = counts.iter().map(|(_, offline)| *offline);
    Some(
        live + if same || subject.instance.durable_sessions {
            offline.max().unwrap_or(0)
        } else {
            offline.sum()
        },
    )
}

fn licence(subject: Subject<'_>) -> Option<Finding> {
    let Reading::Is(licence) = &subject.beside.emqx.licence else { return None };
    let hint = "emqx ctl license info, on any node; emqx ctl license update KEY";
    let running = subject.broker().listed().iter().filter(|node| node.running);
    let pods = subject.world.pods_of(&subject.instance.id).count();
    let kind = licence.kind.as_deref().unwrap_or("unnamed");
    if licence.expired {
        let ended = licence.expires.map_or_else(String::new, |day| format!(": it ended on {day}"));
        let text = format!("the {kind} licence of EMQX has expired{ended}");
        return Some(if licence.restricts_when_expired() {
            Finding::blocked("licence", format!("{text}; EMQX lets no client connect again")).hint(hint)
        } else {
            Finding::warning("licence", text).hint(hint)
        });
    }
    if licence.is_single_node() && pods > 1 {
        let text = "EMQX runs with a community licence, which allows one node: nodes do not form a cluster";
        return Some(Finding::warning("licence", text).hint(hint));
    }
    let old =
        |node: &&crate::model::Node| node.uptime_millis.is_some_and(|up| up / 1000 >= EVALUATION_SECONDS);
    if licence.is_evaluation()
        && let Some(node) = running.clone().find(old)
    {
        let text = format!(
            "EMQX runs with an evaluation licence, and {} has run for 30 days: it lets no client connect until it is restarted",
            node.name.short()
        );
        return Some(Finding::blocked("licence", text).hint(hint));
    }
    let now = sessions(subject);
    let used = match (now, licence.max_sessions) {
        (Some(now), Some(most)) => format!("{} of {}", count(now), plural(most, "session")),
        (None, Some(most)) => format!("up to {}", plural(most, "session")),
        (_, None) => "without a limit of sessions".to_owned(),
    };
    if let (Some(now), Some(most)) = (now, licence.max_sessions) {
        let text =
            format!("the licence of EMQX allows {}, and there are {}", plural(most, "session"), count(now));
        if now.saturating_mul(10) > most.saturating_mul(REFUSED_TENTHS) {
            let text = format!("{text}: EMQX refuses every client that reconnects");
            return Some(Finding::blocked("licence", text).hint(hint));
        }
        if now > most {
            let text = format!("{text}: from 110 % on EMQX refuses every client that reconnects");
            return Some(Finding::warning("licence", text).hint(hint));
        }
    }
    let day = subject.snapshot.now.to_zoned(jiff::tz::TimeZone::UTC).date();
    if let Some(expires) = licence.expires
        && (expires - day).get_days() <= LICENCE_WARNING_DAYS
    {
        let text = format!("the {kind} licence of EMQX expires on {expires}");
        return Some(Finding::warning("licence", text).hint(hint));
    }
    let until = licence.expires.map_or_else(String::new, |day| format!(", until {day}"));
    Some(Finding::info("licence", format!("{kind} licence: {used}{until}")))
}

/// Clients that reconnect faster than a listener accepts them.
fn connection_rate(subject: Subject<'_>, planned: Planned<'_>) -> Option<Finding> {
    let listeners = subject.beside.emqx.listeners.value()?;
    let reconnects = planned.reconnects?;
    let total: u64 = listeners.iter().filter_map(|listener| listener.connections).sum();
    let limits = listeners.iter().filter_map(|listener| {
        let rate = listener.rate?;
        // Without connected clients it is unknown through which of several listeners clients come.
        let share = match (listener.connections, total) {
            (Some(own), 1..) => own as f64 / total as f64,
            _ if listeners.len() == 1 => 1.0,
            _ => return None,
        };
        Some((listener, rate, reconnects as f64 * share))
    });
    let tightest = limits.max_by(|one, other| (one.2 / one.1).total_cmp(&(other.2 / other.1)));
    let Some((listener, rate, expected)) = tightest else {
        let text = if listeners.iter().all(|listener| listener.rate.is_none()) {
            "no listener limits the rate of connections"
        } else {
            "the listeners that limit the rate of connections have no clients"
        };
        return Some(Finding::info("connection-rate", text));
    };
    let (per_second, most) = (count(expected.ceil() as u64), count(rate.floor().max(1.0) as u64));
    if expected <= rate {
        let text =
            format!("at most {per_second} clients/s reconnect to one node; {} accepts {most}/s", listener.id);
        return Some(Finding::info("connection-rate", text));
    }
    let text = format!(
        "up to {per_second} clients/s reconnect to one node through {}, which accepts {most}/s (max_conn_rate): the others \
         wait",
        listener.id
    );
    Some(Finding::warning("connection-rate", text).hint(format!(
        "a lower --conn-evict-rate, so that at most {most} clients/s reconnect to one node; or raise max_conn_rate of {}",
        listener.id
    )))
}

/// The nodes that the cores see together.
fn seen_by_any(report: &EmqxReport) -> BTreeSet<NodeName> {
    report.views.iter().filter_map(|view| view.running.as_ref().ok()).flatten().cloned().collect()
}

/// Whether a core does not see a node that another core sees. Cores are asked at different moments: a second report decides
/// whether that is more than a node that joined or left in between.
pub(crate) fn cores_differ(report: &EmqxReport) -> bool {
    let all = seen_by_any(report);
    report.views.iter().filter_map(|view| view.running.as_ref().ok()).any(|seen| *seen != all)
}

/// The second of two reports, with what each core sees in either of them, of the nodes that are seen in both.
pub(crate) fn confirmed(first: &EmqxReport, second: EmqxReport) -> EmqxReport {
    let lasting: BTreeSet<NodeName> =
        seen_by_any(first).intersection(&seen_by_any(&second)).cloned().collect();
    let mut views = second.views;
    for view in &mut views {
        let before = first.views.iter().find(|it| it.core == view.core);
        let before = before.and_then(|it| it.running.as_ref().ok());
        if let Ok(running) = &mut view.running {
            running.extend(before.into_iter().flatten().cloned());
            running.retain(|node| lasting.contains(node));
        }
    }
    EmqxReport { views, ..second }
}

/// Cores that do not see a node that another core sees.
fn cores_disagree(subject: Subject<'_>) -> Option<Finding> {
    let Subject { instance, beside, .. } = subject;
    let views: Vec<(&NodeName, &BTreeSet<NodeName>)> =
        beside.emqx.views.iter().filter_map(|view| Some((&view.core, view.running.as_ref().ok()?))).collect();
    // A node that left since the list was read is seen by no core: only a single core is compared with the list.
    let listed = subject.broker().nodes.iter().filter(|_| views.len() < 2).flat_map(|seen| &seen.value);
    let mut all: BTreeSet<&NodeName> = listed.filter(|node| node.running).map(|node| &node.name).collect();
    all.extend(views.iter().flat_map(|(_, seen)| seen.iter()));
    let lacking =
        |seen: &BTreeSet<NodeName>| all.iter().copied().filter(|node| !seen.contains(*node)).collect();
    let found: Vec<(&NodeName, Vec<&NodeName>)> = views
        .iter()
        .map(|(core, seen)| (*core, lacking(seen)))
        .filter(|(_, lacks): &(_, Vec<_>)| !lacks.is_empty())
        .collect();
    let Some((core, lacks)) = found.first() else {
        let number = plural(views.len() as u64, "core");
        return (!views.is_empty())
            .then(|| Finding::info("cores-disagree", format!("{number} asked: all see the same nodes")));
    };
    let names: Vec<&str> = lacks.iter().map(|node| node.short()).collect();
    let more = match found.len() {
        1 => String::new(),
        many => format!("; {} do not see all nodes", plural(many as u64, "core")),
    };
    let text = format!(
        "the core {} does not see {}, which other cores see{more}",
        core.short(),
        first_names(&names, MAX_NAMED)
    );
    let pod = subject.snapshot.node(core).and_then(|row| row.pod.as_ref());
    let pod = pod.map_or("POD", |pod| pod.as_str());
    Some(Finding::blocked("cores-disagree", text).hint(format!(
        "kubectl exec -n {0} {pod} -- emqx ctl cluster status; a restart of that pod lets it join again: kubectl delete pod -n {0} {pod}",
        instance.id.namespace
    )))
}

/// What runs in EMQX although nothing in Kubernetes describes it or waits for it.
fn orphans(subject: Subject<'_>) -> Option<Finding> {
    let Subject { world, instance, .. } = subject;
    let load = &subject.broker().load.as_ref()?.value;
    if world.kubernetes.served.version_of("rebalances").is_some() && !instance.standalone {
        let running = ownership::running(world, &instance.id);
        if let Some((name, entry)) =
            running.iter().find(|(name, entry)| *name == entry.operation().to_string())
        {
            let text = format!(
                "EMQX runs a rebalance that no Rebalance describes ({} donors, coordinated by {})",
                entry.donors.len(),
                entry.coordinator.short()
            );
            return Some(Finding::warning("orphans", text).hint(format!(
                "kubectl emqx rebalance watch {name}, or: kubectl emqx rebalance stop {name}"
            )));
        }
    }
    let upgrades = instance.upgrading()
        || UpgradeRevisions::of(world, &instance.id).is_some_and(|revisions| revisions.in_transition());
    let scale = scale_to_finish(world, &instance.id);
    // Operator 3.x evacuates what a scale removes, and chooses it.
    if scale.is_some() && instance.api == ApiVersion::V3beta1 {
        return None;
    }
    let drained = stored_drain(world, &instance.id).map(|state| state.pods.as_slice());
    let scaled = scale.map(|state| state.pods.as_slice());
    let removed: Vec<&DrainedPod> = drained.into_iter().chain(scaled).flatten().collect();
    let waited_for = |entry: &&Evacuation| removed.iter().any(|pod| pod.node.as_ref() == Some(&entry.node));
    let entry = load.evacuations.iter().find(|entry| !upgrades && !waited_for(entry))?;
    let text = format!(
        "{} is evacuated ({}), and no upgrade, drain or scale waits for it: it refuses clients until it is stopped",
        entry.node.short(),
        entry.state
    );
    Some(Finding::warning("orphans", text).hint(format!("kubectl emqx evacuate stop {}", entry.node)))
}

/// Pods that stay in the Service although their node gives its clients away.
fn probes(subject: Subject<'_>, purpose: Purpose, planned: Planned<'_>) -> Option<Finding> {
    let Subject { world, instance, snapshot, .. } = subject;
    // A pod with a readiness gate leaves the Service by its operator's loop: the check `short-health-check`
    // covers that.
    let bare: Vec<&Pod> =
        world.pods_of(&instance.id).filter(|pod| pod.deleting.is_none() && !pod.gated).collect();
    let participants: BTreeSet<&str> =
        snapshot.participants().iter().filter_map(|row| row.pod.as_ref()).map(PodName::as_str).collect();
    let mut bare = bare.into_iter().filter(|pod| participants.contains(pod.name.as_str())).peekable();
    bare.peek()?;
    let wait = planned.wait_health_check.unwrap_or_else(|| match purpose {
        Purpose::Upgrade => DrainTiming::of(instance).wait_health_check,
        _ => EMQX_WAIT_SECONDS,
    });
    let mut slowest: Option<(&Pod, u64)> = None;
    for pod in bare {
        let hint = format!(
            "kubectl get pod -n {} {} -o jsonpath='{{.spec.containers[*].readinessProbe}}'",
            pod.namespace, pod.name
        );
        let probe = pod.readiness.as_ref();
        let Some(probe) =
            probe.filter(|it| it.path.as_deref().is_some_and(|path| path.contains(AVAILABILITY)))
        else {
            let asks = probe.and_then(|it| it.path.as_deref()).unwrap_or("nothing of EMQX's API");
            let text = format!(
                "the readiness probe of {} asks {asks}: the pod stays in the Service while its node refuses clients",
                pod.name
            );
            return Some(Finding::warning("probe-period", text).hint(format!(
                "let it ask /api/v5/load_rebalance/{AVAILABILITY}, or let the load balancer do so; {hint}"
            )));
        };
        let seconds = probe.period_seconds.saturating_mul(probe.failures);
        if slowest.is_none_or(|(_, most)| seconds > most) {
            slowest = Some((pod, seconds));
        }
    }
    let (pod, seconds) = slowest?;
    if seconds <= wait {
        return Some(Finding::info(
            "probe-period",
            format!("a pod leaves the Service after {seconds} s, and EMQX waits for {wait} s"),
        ));
    }
    let text = format!(
        "the readiness probe takes {} out of the Service after up to {seconds} s, and EMQX disconnects clients after {wait} s: \
         they return to nodes that refuse them",
        pod.name
    );
    Some(Finding::warning("probe-period", text).hint(match purpose {
        Purpose::Upgrade => format!("a waitHealthCheck of {seconds} s or more in its updateStrategy"),
        _ => format!("--wait-health-check {seconds} or more"),
    }))
}

/// An EMQX object that cannot be deleted: its finalizers wait for an operator that does not run.
pub(super) fn terminating(subject: Subject<'_>, stuck_seconds: u64) -> Option<Finding> {
    let Subject { instance, snapshot, .. } = subject;
    let seconds = seconds_between(instance.deleting?, snapshot.now);
    (seconds >= stuck_seconds).then(|| {
        let text = format!(
            "{} has been in deletion for {}: its finalizers wait for the operator",
            instance.id,
            crate::model::human::duration(seconds)
        );
        Finding::warning("object-stuck", text).hint(format!(
            "kubectl get {} -n {} {} -o jsonpath='{{.metadata.finalizers}}'; kubectl get pods -A | grep emqx-operator",
            instance.id.kind.plural(),
            instance.id.namespace,
            instance.id.name
        ))
    })
}

#[cfg(test)]
pub(in crate::plan::check) mod tests;
