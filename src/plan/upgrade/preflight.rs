//! The checks before an upgrade: what refuses it, what to think of, and what to do about it. Nothing is touched.

use super::super::picture::Picture;
use super::super::preflight::running_name;
use super::super::rebalance::{Finding, Severity};
use super::super::words::short;
use super::ask::{Ask, Settled, Wanted, Way};
use super::forecast::cuts;
use super::image::Version;
use super::pace::LOOP_SECONDS;
use super::sides::Sides;
use crate::model::human::{count, plural};
use crate::model::{ApiVersion, Instance, InstanceKind, Role, World};

/// The checks that can be skipped by name. What cannot work is not a matter of opinion.
pub const SKIPPABLE: [&str; 7] = [
    "downgrade",
    "evacuation-running",
    "field-conflict",
    "instance-not-ready",
    "no-evacuation",
    "rebalance-running",
    "too-many-pods",
];

/// The versions that operator 2.2 takes for v1beta4, the last one excluded (`emqx-facts.md` 1.5).
const V1BETA4_VERSIONS: (Version, Version) = (Version(4, 4, 14), Version(5, 0, 0));

/// From this many pods on, names as text are no longer in the order of their numbers (`emqx-facts.md` 2.2).
const TOO_MANY_PODS: u64 = 11;

/// Whoever owns fields that we mean to write, by `managedFields`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldOwner {
    /// The manager.
    pub manager: String,
    /// The fields, as paths (`spec.image`).
    pub fields: Vec<String>,
}

impl FieldOwner {
    /// Whether it is somebody's own kubectl: what it owns is taken over with the yes to the prompt.
    pub fn is_person(&self) -> bool {
        self.manager.starts_with("kubectl")
    }
}

/// What is checked.
#[derive(Clone, Copy)]
pub struct Check<'a> {
    /// The world.
    pub world: &'a World,
    /// The cluster.
    pub instance: &'a Instance,
    /// Its picture.
    pub picture: &'a Picture,
    /// What was asked for.
    pub ask: &'a Ask,
    /// What follows from it.
    pub settled: &'a Settled,
    /// Who owns what we mean to write; our own manager is not among them.
    pub owners: &'a [FieldOwner],
    /// `--force-conflicts`.
    pub force: bool,
    /// Whether the object may be patched; `None` when that could not be asked.
    pub allowed: Option<bool>,
}

/// What the checks find. A blocked finding refuses the upgrade.
pub fn findings(check: &Check<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(way(check));
    found.extend(no_evacuation(check));
    found.extend(version(check));
    found.extend(downgrade(check));
    found.extend(defects(check));
    found.extend(not_ready(check));
    found.extend(under_way(check));
    found.extend(replicas(check));
    found.extend(running(check));
    found.extend(too_many(check));
    found.extend(missing_rates(check));
    found.extend(owned(check));
    found.extend(managed(check));
    found.extend(no_permission(check));
    found.extend(unguarded(check));
    found.extend(gates(check));
    found.extend(traffic(check));
    found.extend(capacity(check));
    found
}

fn blocked(id: &'static str, message: impl Into<String>) -> Finding {
    Finding::new(id, Severity::Blocked, message)
}

fn warning(id: &'static str, message: impl Into<String>) -> Finding {
    Finding::new(id, Severity::Warning, message)
}

/// The way that was asked for is one that this version has.
fn way(check: &Check<'_>) -> Option<Finding> {
    let Check { instance, ask, settled, .. } = check;
    let name = &instance.id.name;
    match (instance.api, ask.way, instance.id.kind) {
        (ApiVersion::V3beta1, Some(Way::BlueGreen), _) => Some(
            blocked("no-blue-green", "operator 3.x has no blue-green: it replaces pods in place, one at a time")
                .hint(format!("kubectl emqx upgrade {name} --image {} --rolling", settled.to)),
        ),
        (ApiVersion::V2beta1 | ApiVersion::V2, Some(Way::Rolling), _) => Some(
            blocked("no-rolling", format!("operator {} always makes a second set (blue-green)", check.picture.operator.as_str()))
                .hint(format!("kubectl emqx upgrade {name} --image {} --blue-green", settled.to)),
        ),
        (ApiVersion::V1beta4, Some(Way::BlueGreen), InstanceKind::EmqxBroker) => {
            Some(blocked("no-blue-green", "EmqxBroker has no blue-green: its pods are replaced in place"))
        }
        (ApiVersion::V1beta4, Some(Way::Rolling), InstanceKind::EmqxEnterprise) if instance.update.present => Some(
            blocked(
                "no-rolling",
                "spec.blueGreenUpdate is set, and with it the operator makes a second set",
            )
            .hint("take spec.blueGreenUpdate away first, or leave --rolling away"),
        ),
        (ApiVersion::V1beta4, None, InstanceKind::EmqxEnterprise) if !instance.update.present => Some(
            blocked(
                "blue-green-missing",
                "spec.blueGreenUpdate is not set: a new image replaces pod after pod in place and cuts every connection, \
                 some of them several times",
            )
            .hint(format!(
                "kubectl emqx upgrade {name} --image {} --blue-green writes the block in the same change; --rolling means it \
                 as it is",
                settled.to
            )),
        ),
        _ => None,
    }
}

/// Open source cannot evacuate.
fn no_evacuation(check: &Check<'_>) -> Option<Finding> {
    let open = check.instance.id.kind == InstanceKind::EmqxBroker
        || check.picture.edition.as_deref().is_some_and(|edition| edition.eq_ignore_ascii_case("opensource"));
    let rolled = check.instance.api == ApiVersion::V3beta1 && check.instance.update.disabled;
    if !open && !rolled {
        return None;
    }
    let clients = check.picture.totals.connections.map_or("all".to_owned(), count);
    let what =
        if open { "open-source EMQX has no evacuation" } else { "evacuation is switched off in the object" };
    Some(warning(
        "no-evacuation",
        format!("{what}: {clients} clients are cut as their pods go, and sessions without a client are lost"),
    ))
}

/// v1beta4: what the operator's webhook will refuse (`emqx-facts.md` 1.5).
fn version(check: &Check<'_>) -> Option<Finding> {
    if check.instance.api != ApiVersion::V1beta4 {
        return None;
    }
    let written = check.settled.parts.as_ref().and_then(|parts| parts.version.clone()).unwrap_or_default();
    if written == "latest" {
        return Some(
            blocked("version-refused", "the operator's webhook refuses the version `latest`")
                .hint("name the version: --version 4.4.24"),
        );
    }
    let (least, beyond) = V1BETA4_VERSIONS;
    let why = match Version::find(&written) {
        None => format!("{written:?} is no version, and the operator's webhook refuses it"),
        Some(version) if version < least => {
            format!("EMQX {version} is too old for {}: it must be {least} or later", check.instance.api)
        }
        Some(version) if version >= beyond => {
            format!("EMQX {version} is too new for {}: it must be before {beyond}", check.instance.api)
        }
        Some(_) => return None,
    };
    let finding = blocked("version-refused", why);
    Some(match Version::find(&written) {
        Some(version) if version >= beyond => {
            finding.hint("EMQX 5 needs kind EMQX (apps.emqx.io/v2beta1 or later), which is another cluster")
        }
        _ => finding,
    })
}

/// The version that runs, by EMQX, else by the image.
fn current(check: &Check<'_>) -> Option<Version> {
    let told = check.picture.versions.iter().filter_map(|version| Version::find(version)).max();
    let image = check.settled.from.as_deref();
    // The image says what was asked for; EMQX what came of it.
    let by_image = image.and_then(|image| super::image::Image::parse(image).ok()?.version());
    by_image.or(told)
}

fn downgrade(check: &Check<'_>) -> Option<Finding> {
    let (from, to) = (current(check)?, check.settled.version()?);
    (to < from).then(|| {
        blocked(
            "downgrade",
            format!(
                "{to} is older than {from}, which runs: EMQX does not promise to read what a newer one wrote"
            ),
        )
        .hint("--skip-check downgrade, if you know that it does")
    })
}

/// Safety rule S18: the defects that matter are those of the version that runs while it is emptied, and of two versions side
/// by side.
fn defects(check: &Check<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let Some(from) = current(check) else { return found };
    let known = [
        (Version(5, 1, 1), "a replicant tells an incomplete status (emqx#11198)"),
        (Version(5, 2, 1), "the status of an evacuation can be wrong (emqx#11612)"),
        (
            Version(5, 4, 0),
            "availability_check asks for a key, and clients are refused from the start (emqx#11971)",
        ),
        (Version(5, 7, 0), "a node that restarts while it is evacuated may not boot (emqx#12871)"),
        (Version(5, 8, 4), "moving sessions can loop for ever (emqx#14353)"),
        (Version(5, 9, 0), "moving sessions can loop for ever (emqx#14907, emqx#14040)"),
    ];
    if from >= Version(5, 0, 0) {
        for (fixed, what) in known.into_iter().filter(|(fixed, _)| from < *fixed) {
            found.push(warning(
                "version-defect",
                format!("EMQX {from}, which is to be emptied: {what}; fixed in {fixed}"),
            ));
        }
        if from < Version(5, 3, 0) && check.settled.version().is_some_and(|to| to >= Version(5, 3, 0)) {
            found.push(warning(
                "version-defect",
                format!("EMQX {from} beside a newer one: taking a session over can fail (emqx#11733)"),
            ));
        }
    }
    if check.picture.versions.len() > 1 {
        found.push(warning(
            "mixed-versions",
            format!("several versions run already: {}", check.picture.versions.join(", ")),
        ));
    }
    found
}

fn not_ready(check: &Check<'_>) -> Option<Finding> {
    let instance = check.instance;
    if instance.deleting.is_some() {
        return Some(blocked("deleting", format!("{} is being deleted", instance.id)));
    }
    if instance.ready() {
        return None;
    }
    let state = instance.state().unwrap_or("no condition is true");
    Some(
        blocked("instance-not-ready", format!("{} is not ready ({state})", instance.id))
            .hint(format!("kubectl emqx status {}", instance.id.name)),
    )
}

/// An upgrade is under way already.
fn under_way(check: &Check<'_>) -> Option<Finding> {
    let instance = check.instance;
    let two = Sides::of(check.world, &instance.id).is_some_and(|sides| sides.two());
    (two || instance.upgrading()).then(|| {
        let image = instance.image.as_deref().map(|image| format!(" to {image}")).unwrap_or_default();
        let third = match instance.api {
            ApiVersion::V3beta1 => "",
            _ => "; another one now would make a third set",
        };
        blocked("upgrade-running", format!("an upgrade{image} is under way{third}")).hint(format!(
            "kubectl emqx upgrade watch {0}, or back: kubectl emqx upgrade undo {0}",
            instance.id.name
        ))
    })
}

/// v1beta4: fewer replicas together with another template swap old and new (`emqx-facts.md` 2.2). Pods that are not as many
/// as wanted mean that a change of `spec.replicas` is still on its way.
fn replicas(check: &Check<'_>) -> Option<Finding> {
    let instance = check.instance;
    let wanted = instance.cores?;
    let sides = Sides::of(check.world, &instance.id)?;
    let there: u64 = sides.groups.iter().filter_map(|group| group.wanted).sum();
    (instance.api == ApiVersion::V1beta4 && there > 0 && there != wanted && !sides.two()).then(|| {
        blocked(
            "replicas-changing",
            format!(
                "{wanted} replicas are wanted and {there} are there: together with another template the operator can take the \
                 new pods for the old ones"
            ),
        )
        .hint("let the change of spec.replicas come to its end first: two steps")
    })
}

fn running(check: &Check<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(name) = running_name(check.world, check.instance, check.picture) {
        found
            .push(blocked("rebalance-running", format!("a rebalance is running: {name}")).hint(format!(
                "kubectl emqx rebalance watch {name}, or: kubectl emqx rebalance stop {name}"
            )));
    }
    let load = check.world.load.as_ref().map(|load| &load.value);
    let evacuations = load.map_or(&check.instance.evacuations, |load| &load.evacuations);
    if let Some(evacuation) = evacuations.first() {
        found.push(
            blocked(
                "evacuation-running",
                format!(
                    "{} is being evacuated ({}): the operators look at the first evacuation of the list only, and wait for it \
                     or stumble over it",
                    short(&evacuation.node),
                    evacuation.state
                ),
            )
            .hint(format!("kubectl emqx evacuate stop {}", short(&evacuation.node))),
        );
    }
    found
}

fn too_many(check: &Check<'_>) -> Option<Finding> {
    let pods = check.instance.cores.unwrap_or(0);
    let bites = check.instance.api == ApiVersion::V1beta4
        && check.settled.way == Way::BlueGreen
        && pods >= TOO_MANY_PODS;
    bites.then(|| {
        let text = format!(
            "{pods} pods: this operator takes names for text (-9 before -10), empties one pod and removes another"
        );
        if check.settled.guarded {
            warning("too-many-pods", format!("{text}; the guard empties all of them first"))
        } else {
            blocked("too-many-pods", text).hint("leave --unguarded away: the guard empties all of them first")
        }
    })
}

/// v1beta4 without rates: nothing is ever evicted (`verified.md` 17). Ours are written with the change.
fn missing_rates(check: &Check<'_>) -> Option<Finding> {
    let update = &check.instance.update;
    let missing = check.instance.api == ApiVersion::V1beta4
        && update.present
        && (update.conn_evict_rate.is_none() || update.sess_evict_rate.is_none());
    missing.then(|| {
        let settled = &check.settled.update;
        warning(
            "rates-missing",
            format!(
                "spec.blueGreenUpdate has no rates, and without them EMQX refuses to evict: {} and {} a second are written",
                plural(settled.conn_evict_rate.unwrap_or(0), "client"),
                plural(settled.sess_evict_rate.unwrap_or(0), "session")
            ),
        )
    })
}

fn owned(check: &Check<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for owner in check.owners.iter().filter(|owner| !owner.fields.is_empty()) {
        let fields = owner.fields.join(", ");
        if owner.is_person() {
            found.push(warning(
                "fields-taken-over",
                format!(
                    "{} wrote {fields}: it is taken over, and the next apply of that file would take it back",
                    owner.manager
                ),
            ));
        } else if check.force {
            found.push(warning(
                "field-conflict",
                format!(
                    "{fields} belongs to {}, which will write it back if it still looks after it",
                    owner.manager
                ),
            ));
        } else {
            found
                .push(blocked("field-conflict", format!("{fields} belongs to {}", owner.manager)).hint(
                    "change it where it is kept (kubectl emqx upgrade generate), or --force-conflicts",
                ));
        }
    }
    found
}

fn managed(check: &Check<'_>) -> Option<Finding> {
    let by = check.instance.managed_by.first()?;
    let tool = match by.split(['/', '=']).next().unwrap_or_default() {
        "argocd.argoproj.io" => "Argo CD",
        "kustomize.toolkit.fluxcd.io" | "helm.toolkit.fluxcd.io" => "Flux",
        _ => "Helm",
    };
    Some(
        warning(
            "gitops",
            format!(
                "{} is kept by {tool} ({by}): what is changed here it will change back",
                check.instance.id
            ),
        )
        .hint(format!(
            "kubectl emqx upgrade generate {} --image {} -o kustomize, and commit it",
            check.instance.id.name, check.settled.to
        )),
    )
}

fn no_permission(check: &Check<'_>) -> Option<Finding> {
    (check.allowed == Some(false)).then(|| {
        let id = &check.instance.id;
        blocked(
            "no-permission",
            format!("you may not patch {} in namespace {}", id.kind.plural(), id.namespace),
        )
        .hint(format!("ask for the right to patch {}.apps.emqx.io", id.kind.plural()))
    })
}

/// `verified.md` 15.
fn unguarded(check: &Check<'_>) -> Option<Finding> {
    let bites = check.instance.api == ApiVersion::V1beta4
        && check.settled.way == Way::BlueGreen
        && !check.settled.guarded;
    bites.then(|| {
        let counts: Vec<u64> = check.picture.nodes.iter().filter_map(|row| row.connections).collect();
        let clients: u64 = cuts(&counts, counts.len() as u64).iter().sum();
        let offline: u64 = check
            .picture
            .nodes
            .iter()
            .filter_map(|row| Some(row.sessions?.saturating_sub(row.connections?)))
            .sum();
        warning(
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

/// Without the right to write readiness gates, old pods stay in the Service while they are emptied.
fn gates(check: &Check<'_>) -> Option<Finding> {
    (check.settled.guarded && check.ask.gates == Some(false)).then(|| {
        warning(
            "no-gates",
            "you may not patch pods/status: old pods stay in the Service while they are emptied, and refuse some of the clients \
             that come back, which then try again",
        )
        .hint("ask for the right to patch pods/status")
    })
}

/// Rule S16: the moment at which all new clients go to new pods.
fn traffic(check: &Check<'_>) -> Option<Finding> {
    let message = match check.instance.api {
        ApiVersion::V2beta1 | ApiVersion::V2 => {
            "all old pods leave the Service at one moment, before the first of them is emptied: new clients go to new pods only"
        }
        ApiVersion::V1beta4 if check.settled.guarded && check.ask.gates != Some(false) => {
            "we take all old pods out of the Service at one moment, before they are emptied"
        }
        _ => return None,
    };
    Some(Finding::new("traffic-moves", Severity::Info, message))
}

/// Rule S16: twice of everything.
fn capacity(check: &Check<'_>) -> Option<Finding> {
    if check.settled.way != Way::BlueGreen {
        return None;
    }
    let instance = check.instance;
    let requests = &instance.requests;
    let of = |role| check.picture.nodes.iter().filter(|row| row.role == role).count() as u64;
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
    Some(Finding::new(
        "capacity",
        Severity::Info,
        format!(
            "a second set beside the first: {} more until the old ones are gone; whether they fit anywhere, and whether the \
             licence allows them, is beyond us",
            parts.join(", ")
        ),
    ))
}

/// What is wrong with what was typed, before anything is asked: flags that contradict each other.
pub fn contradiction(ask: &Ask, both_ways: bool) -> Option<&'static str> {
    use super::ask::Manner;
    match (&ask.wanted, ask.manner, ask.way) {
        _ if both_ways => Some("--blue-green and --rolling exclude each other"),
        (Wanted::Image(_) | Wanted::Version(_), Manner::OneByOne, Some(Way::Rolling)) => {
            Some("--one-by-one is a way to empty a second set, and --rolling makes none")
        }
        _ => None,
    }
}
