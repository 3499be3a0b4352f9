//! The messages of an upgrade, for every output of the program.

use jiff::Timestamp;

use super::revisions::UpgradeRevisions;
use super::run::{PreviousPod, UpgradeRun, UpgradeStep};
use super::target::undoing;
use crate::model::human::{count, plural, seconds_between, utc};
use crate::model::{ApiVersion, Instance, Judgement, NodeName, PodName, Stage, Verdict};
use crate::plan::durations::{DrainTiming, NodeContent};
use crate::plan::evacuation::doing;
use crate::plan::rebalance::messages::ProgressFact;

/// The change of the image, short: the tags where both have the same name, else the whole references.
pub(crate) fn between(from: Option<&str>, to: Option<&str>) -> String {
    match (from, to) {
        (Some(from), Some(to)) if from != to => format!("from {from} to {to}"),
        (_, Some(to)) => format!("to {to}"),
        (Some(from), None) => format!("from {from}"),
        (None, None) => "to another template".to_owned(),
    }
}

/// The steps of an upgrade in one word each, and the index of the present one.
pub(crate) fn timeline(run: &UpgradeRun) -> (&'static [&'static str], usize) {
    let here = match run.step {
        UpgradeStep::NewPods => 0,
        UpgradeStep::Moved => 1,
        UpgradeStep::Emptying | UpgradeStep::Removing | UpgradeStep::Waiting => 2,
        UpgradeStep::Settling => 3,
    };
    if run.rolling {
        (&["replacing", "settling"], usize::from(here == 3))
    } else {
        (&["new pods", "traffic moved", "emptying", "settling"], here)
    }
}

/// The progress, in the phrases of one line.
pub(crate) fn facts(run: &UpgradeRun) -> Vec<ProgressFact> {
    let mut facts = vec![ProgressFact::plain(run.pods_gone())];
    if run.blind.is_some() {
        facts.push(ProgressFact::plain("clients unknown"));
    } else if let Some(now) = run.counts.all_connections() {
        facts.push(ProgressFact::plain(format!("{} connected", count(now))));
        match run.lost_clients().filter(|_| run.missing()) {
            Some(lost) => {
                facts.push(ProgressFact::offline(format!("{} on their way or missing", count(lost))));
            }
            None if run.start.connections.is_some() => facts.push(ProgressFact::plain("none missing")),
            None => {}
        }
    }
    // The session of a client that is reconnecting is missing with the client.
    if let Some(lost) = run.lost_sessions().filter(|lost| *lost > run.lost_clients().unwrap_or(0)) {
        facts.push(ProgressFact::loss(format!("{} lost", plural(lost, "session"))));
    }
    if run.holding {
        facts.push(ProgressFact::plain("held: nothing is removed until old pods are empty"));
    }
    facts
}

/// A running upgrade, in one sentence.
pub(crate) fn standing(run: &UpgradeRun) -> String {
    if let Some(Judgement { verdict: Verdict::Stalled, message: reason }) = &run.verdict {
        return format!("upgrade {}: {reason}", between(run.from.as_deref(), run.to.as_deref()));
    }
    let reports = if run.contradicted.is_some() { "the operator reports Ready; " } else { "" };
    let mut facts: Vec<String> = facts(run).into_iter().map(|fact| fact.text).collect();
    facts.extend(run.trouble.clone());
    facts.extend(run.blind.clone());
    format!("{reports}upgrade {}: {}", between(run.from.as_deref(), run.to.as_deref()), facts.join(", "))
}

/// The message when the upgrade is first seen.
pub(crate) fn created(run: &UpgradeRun) -> String {
    let again = if run.from == run.to && !run.turned { " (the same image, another template)" } else { "" };
    format!("upgrade of {} {}{again}", run.id.name, between(run.from.as_deref(), run.to.as_deref()))
}

fn seconds(run: &UpgradeRun) -> String {
    run.seconds.filter(|left| *left > 0).map(|left| format!(", {left} s to go")).unwrap_or_default()
}

/// A step was entered. `None` where there is no message.
pub(crate) fn entered(run: &UpgradeRun, revisions: &UpgradeRevisions<'_>) -> Option<String> {
    let (gone, total) = run.places();
    let place = (gone + 1).min(total.max(1));
    if undoing(revisions.instance) && !revisions.old.is_empty() {
        let (stay, go) = (revisions.new.len() as u64, revisions.old.len() as u64);
        return Some(format!(
            "{} held and kept; {} of the set that was given up",
            plural(stay, "pod"),
            plural(go, "pod")
        ));
    }
    match run.step {
        UpgradeStep::NewPods => {
            let (ready, wanted) = run.ready;
            Some(format!("new pods are coming up: {ready} of {wanted} ready"))
        }
        UpgradeStep::Moved => Some(moved(run, revisions)),
        UpgradeStep::Emptying => {
            let busy = run.at_work(revisions);
            let (member, stage) = busy.first()?;
            let slowest = busy.iter().map(|(_, stage)| *stage).min().unwrap_or(stage);
            let waiting = run.evacuating(revisions).len() - busy.len();
            let place = (place + waiting).min(total);
            let who = if busy.len() == 1 {
                format!("{}, {}", run.place(place), member.pod.name)
            } else if busy.len() == total {
                format!("all {total} old pods together")
            } else {
                let of = if run.is_late() { String::new() } else { format!(" of {total}") };
                format!("{}{of} together", plural(busy.len() as u64, "old pod"))
            };
            Some(match slowest {
                Stage::Prohibiting => format!("{who}: empty, waiting to be removed{}", seconds(run)),
                stage => format!("emptying {who}: {}{}", doing(stage), seconds(run)),
            })
        }
        UpgradeStep::Removing => {
            let going: Vec<&str> = revisions
                .old
                .iter()
                .filter(|member| member.pod.deleting.is_some())
                .map(|member| member.pod.name.as_str())
                .collect();
            Some(format!("removing {}, {}{}", run.place(place), going.join(" "), seconds(run)))
        }
        UpgradeStep::Settling => Some("only new pods remain; waiting for EMQX to report the same".to_owned()),
        UpgradeStep::Waiting => None,
    }
}

fn moved(run: &UpgradeRun, revisions: &UpgradeRevisions<'_>) -> String {
    let (ready, _) = run.ready;
    let old = revisions.old.len() as u64;
    let up = format!("{} up", plural(ready, "new pod"));
    match run.api {
        _ if run.rolling => {
            format!("{} replaced in place, one after another{}", plural(old, "old pod"), seconds(run))
        }
        ApiVersion::V1beta4 if run.holding => format!(
            "{up}; {} held: the operator removes nothing until its delay is taken back",
            plural(old, "old pod")
        ),
        ApiVersion::V1beta4 => format!(
            "{up}; {} in the Service until deleted, with clients still connected{}",
            if old == 1 { "1 old pod stays".to_owned() } else { format!("{old} old pods stay") },
            seconds(run)
        ),
        _ => format!("{up}, new clients go there; {} to be emptied{}", plural(old, "old pod"), seconds(run)),
    }
}

/// The message when all old pods left the Service at the same moment.
pub(crate) fn left_the_service(count: usize) -> String {
    match count {
        1 => "the old pod left the Service: new clients go to new pods only".to_owned(),
        count => {
            format!("all {count} old pods left the Service at one moment: new clients go to new pods only")
        }
    }
}

/// The command that ends an evacuation of another client: EMQX's own command, in that very pod.
pub(crate) fn ends(namespace: &str, node: &NodeName, pod: Option<&PodName>) -> String {
    let pod = pod.map_or_else(|| node.short(), PodName::as_str);
    format!("kubectl exec -n {namespace} {pod} -c emqx -- emqx_ctl rebalance stop")
}

/// The message when a pod with clients is deleted ([OP-15]).
pub(crate) fn loaded(known: &PreviousPod, holds: NodeContent) -> String {
    format!(
        "{} is deleted with {} on it: {} disconnected at once, {} without a client lost",
        known.pod,
        plural(holds.connections, "client"),
        if holds.connections == 1 { "it is".to_owned() } else { "all are".to_owned() },
        plural(holds.offline(), "session"),
    )
}

/// The message when the image was changed again during the upgrade.
pub(crate) fn turned(run: &UpgradeRun, back: bool) -> String {
    let to = run.to.as_deref().unwrap_or("another template");
    let way = if back { "changed back to" } else { "changed to" };
    match run.api {
        ApiVersion::V2beta1 | ApiVersion::V2 if back && run.started.is_some() => format!(
            "the image was {way} {to}: the operator makes a third set and empties the older ones first, one after another"
        ),
        _ => format!("the image was {way} {to} on the way"),
    }
}

/// Another client changed the image before the upgrade was over.
pub(crate) fn superseded(run: &UpgradeRun, revisions: &UpgradeRevisions<'_>) -> String {
    let to = run.to.as_deref().unwrap_or("the new template");
    let image = revisions.instance.image.as_deref().unwrap_or("another image");
    let mut text =
        format!("the image was changed from {to} to {image} by another client, with {}", run.pods_gone());
    if run.api == ApiVersion::V1beta4 && run.held {
        text.push_str("; ");
        text.push_str(&way_out(revisions.instance, to));
    }
    text
}

pub(crate) fn third(sets: usize) -> String {
    format!("{sets} sets run at once: the oldest is emptied first")
}

/// The message when counts changed.
pub(crate) fn progress(run: &UpgradeRun) -> String {
    let mut text = format!("{} %: {}", run.percent, run.pods_gone());
    let on_old: Option<u64> = run
        .known
        .values()
        .filter(|known| known.gone.is_none() && !known.deleting)
        .map(|known| known.holds.map(|holds| holds.connections))
        .sum();
    if let Some(on_old) = on_old.filter(|_| run.blind.is_none()) {
        text.push_str(
            &[", ", &count(run.arrived), " clients on new pods, ", &count(on_old), " on old"].concat(),
        );
    }
    if let Some(lost) = run.lost_clients().filter(|_| run.missing()) {
        text.push_str(&[", ", &count(lost), " on their way or missing"].concat());
    }
    text
}

/// The progress while nothing moves, and what the upgrade waits for.
pub(crate) fn waits(run: &UpgradeRun) -> String {
    let mut parts = vec![progress(run)];
    if run.holding && run.known.values().any(|known| known.gone.is_none()) {
        parts.push("held: nothing is removed until old pods are empty".to_owned());
    }
    if run.step == UpgradeStep::NewPods {
        let (ready, wanted) = run.ready;
        parts.push(format!("{ready} of {} ready", plural(wanted, "new pod")));
    }
    parts.extend(run.trouble.clone());
    parts.extend(run.blind.clone());
    parts.join(", ")
}

/// The numbers at the end of a verdict.
pub(crate) fn tail(run: &UpgradeRun, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if run.blind.is_some() {
        parts.push("clients unknown".to_owned());
    } else if let Some(now) = run.counts.all_connections() {
        let missing = match run.lost_clients() {
            Some(0) => ", none missing".to_owned(),
            Some(lost) => format!(", {} missing", count(lost)),
            None => String::new(),
        };
        parts.push(format!("{}{missing}", plural(now, "client")));
    }
    match run.lost_sessions() {
        Some(0) => parts.push("no session lost".to_owned()),
        Some(lost) => parts.push(format!("{} lost", plural(lost, "session"))),
        None => {}
    }
    if run.cut > 0 {
        parts.push(format!("{} disconnected when loaded pods were deleted", plural(run.cut, "client")));
    }
    let ended = run.ended.unwrap_or(now);
    parts.push(match run.ended_after() {
        Some(after) => format!("ended between {} and {}", utc(after), utc(ended)),
        None => format!("{} s", seconds_between(run.began, ended)),
    });
    parts.join(", ")
}

/// What to do after another client changed the image in the middle of a guarded upgrade to `to`.
pub(crate) fn way_out(instance: &Instance, to: &str) -> String {
    let name = &instance.id.name;
    let held = DrainTiming::of(instance).held();
    if let Some(image) = third_image(instance, to) {
        let state = if held {
            "the operator's delay is still held by kubectl emqx"
        } else {
            "evacuations that this upgrade started are stopped and the pods that it took out of the Service are put back"
        };
        return format!("{state}: kubectl emqx upgrade apply {name} --image {image} continues to that image");
    }
    if held {
        format!(
            "the operator's delay is still held by kubectl emqx: kubectl emqx upgrade undo {name} finishes the rollback, and \
             kubectl emqx upgrade apply {name} --image {to} goes forward"
        )
    } else {
        format!(
            "evacuations that this upgrade started are stopped and the pods that it took out of the Service are put back; go \
             forward with kubectl emqx upgrade apply {name} --image {to}, and put {to} into the manifest that was applied"
        )
    }
}

/// The image that another client set in the middle of an upgrade to `to`, where it is neither that one nor the one before.
pub(super) fn third_image<'i>(instance: &'i Instance, to: &str) -> Option<&'i str> {
    let from = instance.upgrade_record().and_then(|record| record.from);
    instance.image.as_deref().filter(|image| *image != to && from.as_deref() != Some(image))
}
