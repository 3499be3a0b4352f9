//! The checks before an upgrade: refusals and warnings, and what the user can do. Nothing is changed.

use super::revisions::{RevisionSet, UpgradeRevisions};
use super::target::{Way, hold, raised_waits};
use super::{field_owners, impact, messages, versions};
use crate::model::cluster::evacuations_or_copy;
use crate::model::operation_state::state_name;
use crate::model::{ApiVersion, InstanceKind, NodeName};
use crate::plan::cluster_checks;
use crate::plan::finding::Finding;
use crate::plan::rebalance::preflight::running_name;
use crate::plan::stored_removal::unfinished_removal;
use crate::plan::upgrade::check::UpgradeCheck;

/// From this number of pods on, the order of names as text is not the order of their numbers ([OP-65]).
const TOO_MANY_PODS: u64 = 11;

/// What the checks find. A blocked finding refuses the upgrade.
pub fn findings(check: &UpgradeCheck<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(way(check));
    found.extend(versions::findings(check));
    let under_way = under_way(check);
    if under_way.is_none() {
        found.extend(cluster_checks::wrong_emqx(check.snapshot));
        found.extend(cluster_checks::nowhere_to_go(check.instance, check.snapshot, &[]));
    }
    // An upgrade in progress explains better why the instance is not ready.
    found.extend(not_ready(check).filter(|finding| finding.id == "deleting" || under_way.is_none()));
    found.extend(under_way);
    found.extend(unfinished_removal(check.world, &check.instance.id));
    found.extend(replicas(check));
    found.extend(running(check));
    found.extend(too_many(check));
    found.extend(owned(check));
    found.extend(managed(check));
    found.extend(no_permission(check));
    found.extend(cannot_store(check));
    found.extend(left_by_earlier_version(check));
    found.extend(cannot_scale(check));
    found.extend(
        raised_waits(check.instance, check.ask).map(|message| Finding::warning("zero-wait", message)),
    );
    found.extend(impact::findings(check));
    found
}

/// The requested way does not exist in this API version.
fn way(check: &UpgradeCheck<'_>) -> Option<Finding> {
    let UpgradeCheck { instance, ask, target, .. } = check;
    let name = &instance.id.name;
    match (instance.api, ask.way, instance.id.kind) {
        (ApiVersion::V3beta1, Some(Way::BlueGreen), _) => Some(
            Finding::blocked("no-blue-green", "operator 3.x has no blue-green: it replaces pods in place, one at a time")
                .hint(format!("kubectl emqx upgrade {name} --image {} --rolling", target.to)),
        ),
        (ApiVersion::V2beta1 | ApiVersion::V2, Some(Way::Rolling), _) => Some(
            Finding::blocked("no-rolling", format!("operator {} always makes a second set (blue-green)", check.snapshot.operator.as_str()))
                .hint(format!("kubectl emqx upgrade {name} --image {} --blue-green", target.to)),
        ),
        (ApiVersion::V1beta4, Some(Way::BlueGreen), InstanceKind::EmqxBroker) => {
            Some(
                Finding::blocked("no-blue-green", "EmqxBroker has no blue-green: its pods are replaced in place")
                    .hint(format!("kubectl emqx upgrade {name} --image {} --rolling", target.to)),
            )
        }
        (ApiVersion::V1beta4, Some(Way::Rolling), InstanceKind::EmqxEnterprise) if instance.update.present => Some(
            Finding::blocked(
                "no-rolling",
                "spec.blueGreenUpdate is set, and with it the operator makes a second set",
            )
            .hint("take spec.blueGreenUpdate away first, or leave --rolling away"),
        ),
        (ApiVersion::V1beta4, None, InstanceKind::EmqxEnterprise) if !instance.update.present => Some(
            Finding::blocked(
                "blue-green-missing",
                "spec.blueGreenUpdate is not set: a new image replaces pod after pod in place and disconnects every \
                 client, some of them several times",
            )
            .hint(format!(
                "kubectl emqx upgrade {name} --image {} --blue-green writes the block in the same change; --rolling keeps it \
                 as it is",
                target.to
            )),
        ),
        _ => None,
    }
}

fn not_ready(check: &UpgradeCheck<'_>) -> Option<Finding> {
    let instance = check.instance;
    if instance.deleting.is_some() {
        let id = &instance.id;
        return Some(Finding::blocked("deleting", format!("{id} is being deleted")).hint(format!(
            "kubectl get {} -n {} {} -o yaml shows its finalizers",
            id.kind.singular(),
            id.namespace,
            id.name
        )));
    }
    if instance.api == ApiVersion::V3beta1 && instance.paused() {
        let (kind, name) = (instance.id.kind.singular(), &instance.id.name);
        return Some(
            Finding::blocked("paused", format!("{} is paused: its operator changes nothing", instance.id))
                .hint(format!(
                    "kubectl annotate {kind} -n {} {name} apps.emqx.io/paused-",
                    instance.id.namespace
                )),
        );
    }
    if instance.ready() {
        return None;
    }
    let state = instance.state().unwrap_or("no condition is true");
    Some(
        Finding::blocked("instance-not-ready", format!("{} is not ready ({state})", instance.id))
            .hint(format!("kubectl emqx status {}", instance.id.name)),
    )
}

/// An upgrade is in progress already.
fn under_way(check: &UpgradeCheck<'_>) -> Option<Finding> {
    let instance = check.instance;
    let revisions = UpgradeRevisions::of(check.world, &instance.id);
    let two = revisions.as_ref().is_some_and(UpgradeRevisions::in_transition);
    let converged = revisions.as_ref().is_some_and(UpgradeRevisions::converged);
    if converged && instance.image.as_deref() == Some(check.target.to.as_str()) {
        return None;
    }
    (two || instance.upgrading()).then(|| {
        // If the template changed now, the operator would still take the old revision for the current one.
        if converged {
            let text =
                "all pods are new and ready, but the operator has not ended the upgrade in its status yet";
            return Finding::blocked("upgrade-running", text.to_owned())
                .hint(format!("the same again in a moment; see kubectl emqx status {}", instance.id.name));
        }
        let again = revisions.as_ref().is_some_and(|revisions| {
            let fits = |group: &&RevisionSet| group.image.as_deref() == Some(check.target.to.as_str());
            revisions.groups.iter().filter(fits).any(|group| group.wanted.is_some_and(|wanted| wanted > 0))
        });
        if again && instance.api == ApiVersion::V1beta4 && check.target.guarded {
            let text = format!(
                "the set of {} is there already: this operator finds it again, and the upgrade continues with it",
                check.target.to
            );
            return Finding::warning("upgrade-running", text);
        }
        let image = instance.image.as_deref().map(|image| format!(" to {image}")).unwrap_or_default();
        let third = match instance.api {
            ApiVersion::V3beta1 => "",
            _ => "; another one now would make a third set",
        };
        Finding::blocked("upgrade-running", format!("an upgrade{image} is under way{third}")).hint(format!(
            "kubectl emqx upgrade watch {0}, or back: kubectl emqx upgrade undo {0}",
            instance.id.name
        ))
    })
}

/// v1beta4: fewer replicas together with another template swap old and new ([OP-74]). While the number of
/// pods differs from the requested number, a change of `spec.replicas` is still in progress.
fn replicas(check: &UpgradeCheck<'_>) -> Option<Finding> {
    let instance = check.instance;
    let wanted = instance.cores?;
    let revisions = UpgradeRevisions::of(check.world, &instance.id)?;
    let there: u64 = revisions.groups.iter().filter_map(|group| group.wanted).sum();
    (instance.api == ApiVersion::V1beta4 && there > 0 && there != wanted && !revisions.in_transition()).then(|| {
        Finding::blocked(
            "replicas-changing",
            format!(
                "{wanted} replicas are wanted and {there} are there: together with another template the operator can take the \
                 new pods for the old ones"
            ),
        )
        .hint("let the change of spec.replicas come to its end first: two steps")
    })
}

fn running(check: &UpgradeCheck<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(name) = running_name(check.world, check.instance, check.snapshot) {
        found
            .push(Finding::blocked("rebalance-running", format!("a rebalance is running: {name}")).hint(
                format!("kubectl emqx rebalance watch {name}, or: kubectl emqx rebalance stop {name}"),
            ));
    }
    let evacuations = evacuations_or_copy(check.broker().eviction_status(), Some(check.instance));
    // A guard that continues to the image of another client takes over the evacuations of old pods that it started.
    let revisions = UpgradeRevisions::of(check.world, &check.instance.id).filter(|revisions| {
        check.target.guarded && hold(check.instance).is_some() && revisions.in_transition()
    });
    let taken_over = |node: &NodeName| {
        let old = revisions.iter().flat_map(|revisions| &revisions.old);
        old.into_iter().any(|member| member.node.as_ref() == Some(node))
    };
    if let Some(evacuation) = evacuations.iter().find(|entry| !taken_over(&entry.node)) {
        found.push(
            Finding::blocked(
                "evacuation-running",
                format!(
                    "{} is being evacuated ({}): the operators read only the first evacuation of the list, and wait for it \
                     or fail",
                    evacuation.node.short(),
                    evacuation.state
                ),
            )
            .hint(messages::ends(
                &check.instance.id.namespace,
                &evacuation.node,
                check.snapshot.node(&evacuation.node).and_then(|row| row.pod.as_ref()),
            )),
        );
    }
    found
}

fn too_many(check: &UpgradeCheck<'_>) -> Option<Finding> {
    let pods = check.instance.cores.unwrap_or(0);
    let bites = check.instance.api == ApiVersion::V1beta4
        && check.target.way == Way::BlueGreen
        && pods >= TOO_MANY_PODS;
    bites.then(|| {
        let text = format!(
            "{pods} pods: this operator takes names for text (-9 before -10), empties one pod and removes another"
        );
        if check.target.guarded {
            Finding::warning("too-many-pods", format!("{text}; the guard empties all of them first"))
        } else {
            Finding::blocked("too-many-pods", text).hint("leave --unguarded away: the guard empties all of them first")
        }
    })
}

fn owned(check: &UpgradeCheck<'_>) -> Vec<Finding> {
    let hint = "change it where it is kept (kubectl emqx upgrade generate), or --force-conflicts";
    field_owners::conflicts(check.owners, check.force, hint)
}

fn managed(check: &UpgradeCheck<'_>) -> Option<Finding> {
    let hint = format!(
        "kubectl emqx upgrade generate {} --image {} -o kustomize, and commit it",
        check.instance.id.name, check.target.to
    );
    field_owners::managed(check.instance, hint)
}

/// An interrupted guarded upgrade is continued from its stored state.
fn cannot_store(check: &UpgradeCheck<'_>) -> Option<Finding> {
    let verbs: Vec<&str> = ["create", "patch"]
        .into_iter()
        .zip(check.stores)
        .filter(|(_, allowed)| *allowed == Some(false))
        .map(|(verb, _)| verb)
        .collect();
    (check.target.guarded && !verbs.is_empty()).then(|| {
        let id = &check.instance.id;
        Finding::blocked(
            "no-permission",
            format!(
                "you may not {} configmaps in namespace {}: the state of a guarded upgrade is stored in ConfigMap {}",
                verbs.join(" or "),
                id.namespace,
                state_name(id)
            ),
        )
        .hint("ask for the permission to create and patch configmaps")
    })
}

/// An undo scales the set that it emptied to 0.
fn cannot_scale(check: &UpgradeCheck<'_>) -> Option<Finding> {
    let namespace = &check.instance.id.namespace;
    (check.target.guarded && check.scales == Some(false)).then(|| {
        Finding::warning(
            "no-scale",
            format!(
                "you may not patch statefulsets.apps/scale in namespace {namespace}: an undo would leave the empty set to kubectl scale"
            ),
        )
    })
}

/// The change of the image removes annotations of an earlier version.
fn left_by_earlier_version(check: &UpgradeCheck<'_>) -> Option<Finding> {
    let notes: Vec<&str> = check.instance.notes.keys().map(String::as_str).collect();
    (!notes.is_empty()).then(|| {
        let why = if check.instance.api == ApiVersion::V1beta4 {
            "; this operator copies annotations into the pod template, so that removing them alone would start an upgrade"
        } else {
            ""
        };
        Finding::info(
            "earlier-annotations",
            format!(
                "{}, left by an earlier version of kubectl emqx, {} removed in the same change{why}",
                notes.join(", "),
                if notes.len() == 1 { "is" } else { "are" }
            ),
        )
    })
}

fn no_permission(check: &UpgradeCheck<'_>) -> Option<Finding> {
    (check.allowed == Some(false)).then(|| {
        let id = &check.instance.id;
        Finding::blocked(
            "no-permission",
            format!("you may not patch {} in namespace {}", id.kind.plural(), id.namespace),
        )
        .hint(format!("ask for the right to patch {}.apps.emqx.io", id.kind.plural()))
    })
}

#[cfg(test)]
mod tests;
