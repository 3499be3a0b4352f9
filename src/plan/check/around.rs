//! The checks of what surrounds a cluster: the operator and its CRDs, Services, quotas, autoscalers, Kubernetes nodes,
//! permissions.

use std::collections::BTreeSet;

use super::{AddedPods, Planned, Purpose, Subject};
use crate::model::drain::{Amount, Placed, Placement};
use crate::model::human::{MAX_NAMED, count, duration, first_names, plural, seconds_between};
use crate::model::image::Image;
use crate::model::pod::is_of_dashboard;
use crate::model::surroundings::ServiceView;
use crate::model::{ApiVersion, InstanceKind, OperatorLine, PodName};
use crate::plan::drain::room::ClusterCapacity;
use crate::plan::finding::{Finding, Severity};
use crate::plan::operator::OperatorProcess;
use crate::plan::rebalance::waiting;
use crate::timing::{FAILURE_SECONDS, NO_STATUS_SECONDS, STUCK_DELETION_SECONDS};

/// All of them for one operation.
pub(super) fn findings(subject: Subject<'_>, purpose: Purpose, planned: Planned<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(stuck(subject));
    found.extend(operator_silent(subject, purpose));
    found.extend(webhook(subject, planned));
    found.extend(operator_lines(subject));
    found.extend(services(subject));
    found.extend(autoscaled(subject));
    found.extend(cordoned(subject));
    found.extend(permissions(subject, purpose));
    if purpose == Purpose::Upgrade {
        found.extend(image(subject, planned));
        found.extend(second_set(subject));
    }
    found.extend(planned.added.map(|added| added_pods(subject, added)).unwrap_or_default());
    found.extend(super::emqx::findings(subject, purpose, planned));
    found
}

/// A Rebalance whose deletion waits for an operator.
fn stuck(subject: Subject<'_>) -> Option<Finding> {
    let Subject { world, instance, snapshot, .. } = subject;
    let stuck = world.rebalances_of(&instance.id).into_iter().find_map(|seen| {
        let since = seen.value.deleting?;
        (seconds_between(since, snapshot.now) >= STUCK_DELETION_SECONDS).then_some((&seen.value, since))
    });
    let Some((object, since)) = stuck else {
        return super::emqx::terminating(subject, STUCK_DELETION_SECONDS);
    };
    let age = duration(seconds_between(since, snapshot.now));
    let gone = snapshot.operator_process.is_some_and(|it| it.process == OperatorProcess::Gone);
    let message = format!(
        "Rebalance {} has been in deletion for {age}: its finalizer waits for the operator{}",
        object.name,
        if gone { ", whose process is gone" } else { "" }
    );
    let stop = format!("kubectl emqx rebalance stop {}", object.name);
    let hint = if gone { format!("start the operator again; then: {stop}") } else { stop };
    Some(Finding::warning("object-stuck", message).hint(hint))
}

/// An object that no operator picked up, or failures that the operator reports of this instance.
fn operator_silent(subject: Subject<'_>, purpose: Purpose) -> Option<Finding> {
    let Subject { world, instance, snapshot, .. } = subject;
    let pods = "kubectl get pods -A | grep emqx-operator; kubectl get events";
    let waits = world.rebalances_of(&instance.id).into_iter().find_map(|seen| {
        let seconds = waiting::seconds(&seen.value, snapshot.now).filter(|it| *it >= NO_STATUS_SECONDS)?;
        Some((seen.value.name.clone(), seconds))
    });
    if let Some((name, seconds)) = waits {
        let message = format!("no operator has picked up Rebalance {name} for {}", duration(seconds));
        return Some(Finding::blocked("operator-silent", message).hint(pods));
    }
    if let Some(evidence) = snapshot.operator_process.filter(|it| it.process == OperatorProcess::Gone) {
        // Only an upgrade needs the operator; EMQX and the controllers of Kubernetes carry out the other
        // operations.
        let severity = if purpose == Purpose::Upgrade { Severity::Blocked } else { Severity::Warning };
        return Some(Finding::new("operator-silent", severity, evidence.cause()).hint(pods));
    }
    let event = world
        .kubernetes
        .events
        .values()
        .map(|seen| &seen.value)
        .filter(|event| event.namespace == instance.id.namespace && event.about == instance.id.name)
        .filter(|event| event.warning && event.reason.contains("Fail"))
        .filter(|event| event.last.is_some_and(|last| seconds_between(last, snapshot.now) <= FAILURE_SECONDS))
        .max_by_key(|event| event.last)?;
    let age = event.last.map(|last| duration(seconds_between(last, snapshot.now))).unwrap_or_default();
    let message = format!(
        "the operator reported {} {age} ago ({}): {}; it backs off, and its status is old meanwhile",
        event.reason,
        plural(event.count.max(1), "time"),
        event.message
    );
    Some(Finding::warning("operator-silent", message).hint(pods))
}

/// Objects cannot be read in another version than the stored one, nor written, while the webhook is dead.
fn webhook(subject: Subject<'_>, planned: Planned<'_>) -> Option<Finding> {
    let webhook = subject.beside.surroundings.conversion.as_ref()?.as_ref()?;
    if webhook.ready? > 0 {
        let text = format!("the conversion webhook {} has ready addresses", webhook.service);
        return Some(Finding::info("conversion-webhook", text));
    }
    let (namespace, service) = webhook.service.split_once('/')?;
    let api = subject.instance.api.to_string();
    let stored = webhook.stored.as_deref().unwrap_or("the stored one");
    let message = format!(
        "the conversion webhook of {} (Service {}) has no ready address: the operator does not run, and objects cannot be \
         converted from other versions than {stored}",
        subject.instance.id.kind, webhook.service
    );
    // An evacuation writes no Kubernetes object, and a drain writes none of this kind; the stored version is written without a conversion.
    let converts = planned.writes && webhook.stored.as_ref().is_some_and(|stored| *stored != api);
    let severity = if converts { Severity::Blocked } else { Severity::Warning };
    Some(Finding::new("conversion-webhook", severity, message).hint(format!(
        "kubectl get pods -n {namespace}; kubectl get endpointslices -n {namespace} | grep {service}"
    )))
}

/// Kinds of another operator line than that of this instance.
fn operator_lines(subject: Subject<'_>) -> Option<Finding> {
    let Subject { world, instance, beside, .. } = subject;
    let served = &world.kubernetes.served;
    let versions = &beside.surroundings.versions;
    let has = |version: &str| versions.iter().any(|it| it == version);
    let message = if served.operator == OperatorLine::Three && served.version_of("rebalances").is_some() {
        "the kind Rebalance is served, which operator 3.x does not have: its CRD is left from an earlier operator, and \
         Rebalance objects are ignored"
            .to_owned()
    } else if instance.id.kind == InstanceKind::Emqx
        && has("v3beta1")
        && (has("v2beta1") || has("v2"))
        && served.operator != OperatorLine::Three
    {
        format!("the CRD of EMQX serves {}: versions of two operator lines", versions.join(", "))
    } else if instance.api == ApiVersion::V1beta4
        && matches!(served.operator, OperatorLine::Two3 | OperatorLine::Three)
    {
        format!(
            "{} is of v1beta4, which operator {} does not manage: its CRD is left from operator 2.2, and nothing reconciles it",
            instance.id, served.operator
        )
    } else {
        return None;
    };
    Some(
        Finding::warning("operator-lines", message).hint("kubectl get crd | grep emqx; kubectl emqx version"),
    )
}

/// The Services that lead clients to pods of this instance, without those for EMQX's nodes among themselves.
fn of_clients(subject: Subject<'_>) -> Option<Vec<&ServiceView>> {
    let services = subject.beside.surroundings.services.as_ref()?;
    let instance = &subject.instance.id;
    // The labels of pods are known only where pods are placed; otherwise the labels that every operator sets
    // are used.
    let pods: Vec<&Placed> = subject.beside.placement.as_ref().map_or_else(Vec::new, |placement| {
        subject.world.pods_of(instance).filter_map(|pod| placement.pod(&pod.uid)).collect()
    });
    let leads = |service: &&ServiceView| {
        !service.headless
            && !service.selector.is_empty()
            && !is_of_dashboard(&service.name)
            && if pods.is_empty() {
                service.selector.values().any(|value| *value == instance.name)
            } else {
                pods.iter()
                    .any(|pod| service.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value)))
            }
    };
    Some(services.iter().filter(leads).collect())
}

fn services(subject: Subject<'_>) -> Vec<Finding> {
    let Some(services) = of_clients(subject) else { return Vec::new() };
    let namespace = &subject.instance.id.namespace;
    let edit = |service: &ServiceView| format!("kubectl edit service -n {namespace} {}", service.name);
    let mut found = Vec::new();
    for service in &services {
        let name = &service.name;
        if service.publishes_not_ready {
            let text = format!(
                "Service {name} publishes addresses of pods that are not ready: disconnected clients return to nodes that refuse them"
            );
            found.push(Finding::warning("publish-not-ready", text).hint(edit(service)));
        }
        if let Some(seconds) = service.affinity_seconds {
            let text = format!(
                "Service {name} keeps a client address on its pod for {} (sessionAffinity: ClientIP): clients return to the \
                 donor until it has left the Service",
                duration(seconds)
            );
            found.push(Finding::warning("session-affinity", text).hint(edit(service)));
        }
        if service.local {
            let text = format!(
                "Service {name} has externalTrafficPolicy: Local: clients are distributed over Kubernetes nodes, not over pods"
            );
            found.push(Finding::warning("traffic-policy", text).hint(
                "spread the pods evenly over the Kubernetes nodes, or set externalTrafficPolicy: Cluster",
            ));
        }
    }
    found.push(load_balancer(subject, &services));
    found
}

fn load_balancer(subject: Subject<'_>, services: &[&ServiceView]) -> Finding {
    if services.is_empty() {
        let text = format!("no Service with an address leads clients to pods of {}", subject.instance.id);
        return Finding::warning("load-balancer", text)
            .hint(format!("kubectl get services -n {}", subject.instance.id.namespace));
    }
    let describe = |service: &&ServiceView| {
        let cloud: Vec<&str> = service.cloud.keys().map(String::as_str).collect();
        let cloud =
            if cloud.is_empty() { String::new() } else { format!(" ({})", first_names(&cloud, MAX_NAMED)) };
        format!("{} {}{cloud}", service.kind, service.name)
    };
    let all: Vec<String> = services.iter().map(describe).collect();
    let outside = services.iter().any(|service| service.kind != "ClusterIP");
    let unseen = if outside {
        "; how the load balancer outside distributes clients, and how fast it removes a node, cannot be seen from here"
    } else {
        "; a gateway or proxy in front of it cannot be seen from here"
    };
    Finding::info("load-balancer", format!("{}{unseen}", all.join(", ")))
}

fn autoscaled(subject: Subject<'_>) -> Option<Finding> {
    let Subject { world, instance, beside, .. } = subject;
    let sets: BTreeSet<&str> = world.sets_of(&instance.id).map(|set| set.name.as_str()).collect();
    let sets: Vec<&str> = sets.into_iter().collect();
    let scaler =
        beside.autoscalers.as_ref()?.found.iter().find(|scaler| scaler.scales(&instance.id, &sets))?;
    let message = format!(
        "{} scales {}: when it scales down, the clients of the removed pods are disconnected at once",
        scaler.label(),
        instance.id
    );
    let namespace = &instance.id.namespace;
    Some(Finding::warning("autoscaled", message).hint(format!(
        "raise its minimum for the time of the operation: kubectl get hpa,scaledobject -n {namespace}"
    )))
}

/// The placed pods of this instance.
fn placed<'a>(subject: Subject<'a>, placement: &'a Placement) -> Vec<&'a Placed> {
    let pods = subject.world.pods_of(&subject.instance.id).filter(|pod| pod.deleting.is_none());
    pods.filter_map(|pod| placement.pod(&pod.uid)).collect()
}

fn cordoned(subject: Subject<'_>) -> Option<Finding> {
    let placement = subject.beside.placement.as_ref()?;
    let machines: BTreeSet<&str> =
        placed(subject, placement).into_iter().filter_map(|pod| pod.machine.as_deref()).collect();
    let closed: Vec<&str> = machines
        .into_iter()
        .filter(|name| placement.machine(name).is_some_and(|machine| machine.cordoned))
        .collect();
    let first = closed.first()?;
    let message = format!("EMQX pods run on cordoned Kubernetes nodes: {}", first_names(&closed, MAX_NAMED));
    Some(
        Finding::warning("cordoned-nodes", message)
            .hint(format!("kubectl emqx drain {first}, or: kubectl uncordon {first}")),
    )
}

fn permissions(subject: Subject<'_>, purpose: Purpose) -> Option<Finding> {
    let own = subject.beside.permissions.iter().filter(|it| it.purpose == purpose);
    let missing: Vec<&str> = own.filter(|it| it.allowed == Some(false)).map(|it| it.right.as_str()).collect();
    (!missing.is_empty()).then(|| {
        let message = format!("{}: you may not {}", purpose.as_str(), missing.join(", "));
        Finding::blocked("no-permission", message)
            .hint("ask for the roles of plugin-manifest/rbac.yaml; docs/permissions.md lists them")
    })
}

/// An image that names no version, or another product.
fn image(subject: Subject<'_>, planned: Planned<'_>) -> Option<Finding> {
    let instance = subject.instance;
    let runs = instance.image.as_deref();
    let text = planned.image.or(runs)?;
    let hint = format!("kubectl emqx upgrade plan {} --image emqx/emqx-enterprise:VERSION", instance.id.name);
    let Ok(image) = Image::parse(text) else {
        return Some(Finding::blocked("image", format!("{text:?} is not an image reference")).hint(hint));
    };
    let last = image.last_part();
    let message = match (&image.tag, &image.digest) {
        (None, None) => format!("{text} has no tag: the version that runs changes with every pull"),
        (Some(tag), None) if tag == "latest" => {
            format!("{text} has the tag latest: the version that runs changes with every pull")
        }
        _ if !last.contains("emqx") => {
            format!("{text} does not look like an image of EMQX: its repository is {}", image.repository)
        }
        _ if image.version().is_none() && image.digest.is_none() => {
            format!("the tag of {text} names no version of EMQX")
        }
        _ if planned.image.is_some() && runs.is_some_and(|runs| edition_changes(runs, &image)) => {
            format!(
                "{text} is from another repository than {}, the image that runs",
                runs.unwrap_or_default()
            )
        }
        _ if instance.id.kind == InstanceKind::EmqxEnterprise
            && !last.contains("ee")
            && !last.contains("enterprise") =>
        {
            format!("{text} is not of the Enterprise edition, and {} is an EmqxEnterprise", instance.id)
        }
        _ => return Some(Finding::info("image", text)),
    };
    Some(Finding::warning("image", message).hint(hint))
}

/// Whether the image has another name than the running one. Registries are ignored: a mirror is not another
/// edition.
fn edition_changes(runs: &str, image: &Image) -> bool {
    Image::parse(runs).is_ok_and(|runs| runs.last_part() != image.last_part())
}

/// The pods of a blue-green upgrade's second set.
fn second_set(subject: Subject<'_>) -> Vec<Finding> {
    let Subject { instance, beside, .. } = subject;
    let in_place = match instance.api {
        ApiVersion::V1beta4 => !instance.update.present,
        ApiVersion::V3beta1 => true,
        ApiVersion::V2beta1 | ApiVersion::V2 => false,
    };
    let Some(placement) = beside.placement.as_ref().filter(|_| !in_place) else { return Vec::new() };
    let second: Vec<Placed> =
        placed(subject, placement).into_iter().map(|pod| copy(pod, "second set")).collect();
    more_pods(subject, placement, &second, "a second set")
}

/// The pods of a scale-up: as those of their role that are there.
fn added_pods(subject: Subject<'_>, added: AddedPods) -> Vec<Finding> {
    let Some(placement) = subject.beside.placement.as_ref() else { return Vec::new() };
    let of_role = |pod: &&Placed| {
        let own = subject.world.pods_of(&subject.instance.id).find(|own| own.uid == pod.uid);
        own.is_some_and(|own| own.role.unwrap_or_default() == added.role)
    };
    let Some(one) = placed(subject, placement).into_iter().find(of_role) else { return Vec::new() };
    let new: Vec<Placed> = (1..=added.number).map(|number| copy(one, &format!("new {number}"))).collect();
    more_pods(subject, placement, &new, "the scale-up")
}

/// A pod like this one, which is not placed yet and whose volume can be anywhere.
fn copy(pod: &Placed, which: &str) -> Placed {
    Placed {
        name: PodName::from(format!("{} ({which})", pod.name)),
        uid: format!("{} {which}", pod.uid),
        machine: None,
        claims: Vec::new(),
        ..pod.clone()
    }
}

/// Whether the cluster and its quotas take more pods.
fn more_pods(subject: Subject<'_>, placement: &Placement, pods: &[Placed], what: &str) -> Vec<Finding> {
    let Subject { instance, beside, .. } = subject;
    let needed = pods.iter().fold(Amount::default(), |sum, pod| sum.plus(pod.requests));
    let mut found = Vec::new();
    found.extend(capacity(placement, pods, what));
    for limit in beside.surroundings.quotas.iter().flatten() {
        let more = match limit.resource.as_str() {
            "pods" => needed.pods,
            "requests.cpu" => needed.cpu_millis,
            _ => needed.memory,
        };
        if limit.used.saturating_add(more) > limit.hard {
            let unit = match limit.resource.as_str() {
                "pods" => "pods",
                "requests.cpu" => "thousandths of a CPU",
                _ => "bytes",
            };
            let message = format!(
                "ResourceQuota {} allows {} {unit} ({}), {} are used, and {what} needs {}",
                limit.name,
                count(limit.hard),
                limit.resource,
                count(limit.used),
                count(more)
            );
            found.push(
                Finding::blocked("quota", message)
                    .hint(format!("kubectl describe quota -n {} {}", instance.id.namespace, limit.name)),
            );
        }
    }
    found
}

/// Whether the cluster has capacity for these pods.
fn capacity(placement: &Placement, pods: &[Placed], what: &str) -> Option<Finding> {
    if !placement.all_pods || pods.is_empty() {
        return None;
    }
    let mut room = ClusterCapacity::new(placement, &[], false);
    let failed: Vec<String> = pods.iter().filter_map(|pod| room.place(pod).err()).collect();
    let number = plural(pods.len() as u64, "pod");
    Some(match failed.first() {
        None => Finding::info(
            "capacity",
            format!("{number} of {what} {} room", if pods.len() == 1 { "has" } else { "have" }),
        ),
        Some(why) => {
            Finding::warning("capacity", format!("no room for {} of {number} of {what}: {why}", failed.len()))
                .hint("kubectl get nodes; a cluster autoscaler may add one")
        }
    })
}

#[cfg(test)]
mod tests;
