//! The table: the permissions of each command, and the effect of each missing one. `docs/permissions.md` is
//! generated from it, the shipped roles are its unions, and `cases.rs` tests every line.

use Layer::{Act, Ask, Nodes, Remove, Upgrade, View};
use Without::{Blocked, Foretold, Later, Poorer, Rarely, Refused, Silent, Unoffered};

use super::words::{self, Words};
use test_support::control_plane::{NAMESPACE, NODE};

/// The shipped role with a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    View,
    Act,
    Upgrade,
    Remove,
    Nodes,
    Ask,
}

impl Layer {
    pub const ALL: [Self; 6] = [View, Act, Upgrade, Remove, Nodes, Ask];

    /// The role in `plugin-manifest/rbac.yaml`.
    pub fn role(self) -> &'static str {
        match self {
            View => "kubectl-emqx-view",
            Act => "kubectl-emqx-act",
            Upgrade => "kubectl-emqx-upgrade",
            Remove => "kubectl-emqx-remove",
            Nodes => "kubectl-emqx-nodes",
            Ask => "kubectl-emqx-ask-emqx",
        }
    }
}

/// The effect of a missing permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// The exit code of the whole answer, one notice that names the permission, and another answer at these
    /// places.
    Poorer(&'static [&'static str]),
    /// The same for a command that waits for a verdict: it is `unknown`, with exit code 1.
    Unknown,
    /// The command does nothing, and the message names the permission.
    Refused(i32),
    /// The whole answer, which reports with this exit code that the permission will be missing later.
    Foretold(i32),
    /// The answer is a refusal with exit code 6, which names the permission, and so does one notice.
    Blocked,
    /// The exit code of the whole answer, and no notice: optional data is omitted.
    Silent,
    /// It is used only when the operation is carried out: a dry run gives the whole answer, without a notice.
    Later,
    /// It is used only in some cases, as for EMQX 4.4 or an object that is not deleted in time: a dry run, and
    /// most operations, are complete without it.
    Rarely,
    /// No message; the flag: whether fewer names are offered.
    Unoffered(bool),
}

/// One permission of one command.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// `verb resource`
    pub right: &'static str,
    pub layer: Layer,
    pub without: Without,
    /// The missing output, in the words of `docs/permissions.md`.
    pub lacks: Words,
}

/// The state of the cluster in which a command is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The cluster is uneven, and nothing runs.
    Idle,
    /// A rebalance runs, for which the operator reports Failed.
    Running,
    /// A rebalance runs in EMQX without an object.
    Conducted,
    /// EMQX evacuates a node.
    Evacuating,
    /// A rebalance is over.
    Over,
    /// An image was changed.
    Upgrading,
    /// Nothing runs, and the instance is an EmqxEnterprise.
    Enterprise,
    /// Nothing runs, and the instance has replicants and volumes on two Kubernetes nodes.
    Removal,
}

impl When {
    /// The namespace of the cluster.
    pub fn namespace(self) -> &'static str {
        if self == Self::Enterprise { ENTERPRISE } else { NAMESPACE }
    }
}

/// The namespace of the EmqxEnterprise.
pub const ENTERPRISE: &str = "ee";

/// The target image of the upgrade.
pub const IMAGE: &str = "--image=emqx/emqx-enterprise:5.8.7";

/// One command.
#[derive(Clone, Debug)]
pub struct Verb {
    /// Its name in `docs/permissions.md`.
    pub name: &'static str,
    pub when: When,
    /// The arguments of a repeatable try. `{}` is the name of what runs, or of a pod where nothing runs.
    pub args: &'static [&'static str],
    /// The exit code of the whole answer.
    pub exit: i32,
    pub needs: Vec<Need>,
}

impl Verb {
    /// Its arguments, with the name of what runs, or of a pod where nothing runs.
    pub fn args_for(&self, name: &str) -> Vec<String> {
        self.args.iter().map(|arg| arg.replace("{}", name)).collect()
    }
}

/// The API group of a resource.
pub fn group(resource: &str) -> &'static str {
    match resource {
        "rebalances" => "apps.emqx.io",
        kind if KINDS.contains(&kind) => "apps.emqx.io",
        "statefulsets" | "replicasets" | "statefulsets/scale" => "apps",
        "endpointslices" => "discovery.k8s.io",
        "leases" => "coordination.k8s.io",
        "poddisruptionbudgets" => "policy",
        "horizontalpodautoscalers" => "autoscaling",
        "scaledobjects" => "keda.sh",
        "customresourcedefinitions" => "apiextensions.k8s.io",
        _ => "",
    }
}

/// Resources that belong to no namespace.
pub const CLUSTER_WIDE: [&str; 3] = ["nodes", "persistentvolumes", "customresourcedefinitions"];

/// A drain lists these in all namespaces: without the permission free CPU and memory are not checked.
pub const EVERYWHERE: &str = "list pods";

/// The kinds that run EMQX.
pub const KINDS: [&str; 3] = ["emqxes", "emqxenterprises", "emqxbrokers"];

/// Further requests when a list is forbidden: a named object may be readable although it may not be listed;
/// and a name that is not that of an object may be that of an instance, of any kind.
pub fn instead(right: &str) -> &'static [&'static str] {
    match right {
        "list rebalances" => &[
            "get rebalances",
            "list emqxes",
            "get emqxes",
            "list emqxenterprises",
            "get emqxenterprises",
            "list emqxbrokers",
            "get emqxbrokers",
        ],
        "list emqxes" => &["get emqxes"],
        "list configmaps" => &["get configmaps"],
        // In the namespace in which the manual installs the operator.
        "list leases" => &["get leases"],
        _ => &[],
    }
}

/// In all namespaces: the operator runs in a namespace of its own.
pub const LEASES: &str = "list leases";

const REFUSED: Without = Refused(1);
const POORER: Without = Poorer(&[]);

fn need(right: &'static str, layer: Layer, without: Without, lacks: Words) -> Need {
    Need { right, layer, without, lacks }
}

fn each(rights: &[&'static str], layer: Layer, without: Without, lacks: Words) -> Vec<Need> {
    rights.iter().map(|right| need(right, layer, without, lacks)).collect()
}

/// The kinds, all of which are read where none is named: without the kind of the instance there is no answer;
/// another one is omitted.
fn kinds(without: Without) -> Vec<Need> {
    let lacks = if without == REFUSED { words::REFUSED_KIND } else { words::LEFT_OUT };
    let mut needs = each(&["list emqxes"], View, without, lacks);
    needs.extend(each(&["list emqxenterprises", "list emqxbrokers"], View, POORER, words::LEFT_OUT));
    needs
}

/// The same where the instance is an EmqxEnterprise.
fn enterprise() -> Vec<Need> {
    let mut needs = kinds(REFUSED);
    needs[0].right = "list emqxenterprises";
    needs[1].right = "list emqxes";
    needs
}

/// An instance that is found through the name of its object has one kind.
fn its_kind() -> Vec<Need> {
    kinds(REFUSED)[..1].to_vec()
}

fn rebalances() -> Vec<Need> {
    each(&["list rebalances"], View, POORER, words::BY_EMQX_ALONE)
}

fn pods(without: Without, lacks: Words) -> Vec<Need> {
    each(&["list pods"], View, without, lacks)
}

fn endpoints(differs: &'static [&'static str]) -> Vec<Need> {
    each(&["list endpointslices"], View, Poorer(differs), words::SERVING)
}

fn events() -> Vec<Need> {
    each(&["list events"], View, POORER, words::SILENCE)
}

/// Shows whether the operator's process is alive.
fn lease() -> Vec<Need> {
    each(&[LEASES], View, Silent, words::PROCESS)
}

/// The same where it is read only while an object is not deleted.
fn lease_rarely() -> Vec<Need> {
    each(&[LEASES], View, Rarely, words::PROCESS)
}

fn sets() -> Vec<Need> {
    each(&["list statefulsets", "list replicasets"], View, POORER, words::SETS)
}

/// The stored state of an upgrade.
fn states() -> Vec<Need> {
    each(&["list configmaps"], View, POORER, words::STATES)
}

fn recorded() -> Vec<Need> {
    each(&["list configmaps"], View, POORER, words::RECORDED)
}

/// A drain or a scale that is not finished.
fn unfinished() -> Vec<Need> {
    each(&["list configmaps"], View, POORER, words::UNFINISHED)
}

fn storing(without: Without, lacks: Words) -> Vec<Need> {
    each(&["create configmaps", "patch configmaps"], Upgrade, without, lacks)
}

/// EMQX's own answer: it needs all three permissions.
fn ask(without: Without, lacks: Words) -> Vec<Need> {
    each(&["get secrets", "get pods/portforward", "create pods/portforward"], Ask, without, lacks)
}

/// Watches, so that changes are seen at once.
fn watching(rights: &[&'static str]) -> Vec<Need> {
    each(rights, View, POORER, words::LATER)
}

/// The watches of a removal while it is carried out.
fn watching_removals() -> Vec<Need> {
    let watched = JUDGED.iter().chain(&WATCHED).copied().filter(|right| *right != "watch events");
    each(&watched.collect::<Vec<_>>(), View, Later, words::LATER)
}

const JUDGED: [&str; 4] = ["watch emqxes", "watch rebalances", "watch pods", "watch endpointslices"];
const WATCHED: [&str; 4] = ["watch events", "watch statefulsets", "watch replicasets", "watch configmaps"];

fn acting(right: &'static str) -> Vec<Need> {
    each(&[right], Act, Refused(6), words::BEFORE)
}

/// The data from which an upgrade is judged.
fn upgrading(without: Without, lacks: Words) -> [Vec<Need>; 8] {
    [
        rebalances(),
        pods(without, lacks),
        endpoints(&[]),
        events(),
        sets(),
        states(),
        lease(),
        ask(POORER, words::COUNTS),
    ]
}

/// The permissions of a change of the instance.
fn changing(get: &'static str, patch: &'static str) -> [Vec<Need>; 2] {
    [each(&[get], View, REFUSED, words::WHOLE_REFUSED), each(&[patch], Upgrade, Refused(6), words::BEFORE)]
}

fn verb<const PARTS: usize>(
    name: &'static str,
    when: When,
    args: &'static [&'static str],
    needs: [Vec<Need>; PARTS],
) -> Verb {
    // A follow with a time limit ends with the operation still running.
    let follows = args.iter().any(|arg| arg.starts_with("--timeout")) && when != When::Idle;
    let needs = needs.into_iter().flatten().collect();
    Verb { name, when, args, exit: if follows { 5 } else { 0 }, needs }
}

/// The whole table.
pub fn table() -> Vec<Verb> {
    [looking(), planning(), driving(), evacuations(), upgrades(), removals(), completing()].concat()
}

/// Names for shell completion: no messages are printed, no key is read, and EMQX is not asked.
fn completing() -> Vec<Verb> {
    let offered = |rights: &[&'static str]| each(rights, View, Unoffered(true), words::UNOFFERED);
    let known = |rights: &[&'static str]| each(rights, View, Unoffered(false), words::UNOFFERED);
    let others = || known(&["list emqxenterprises", "list emqxbrokers"]);
    let kinds = || [offered(&["list emqxes"]), others()].concat();
    vec![
        verb("status <Tab>", When::Idle, &["__complete", "status", ""], [kinds()]),
        verb(
            "rebalance stop <Tab>",
            When::Running,
            &["__complete", "rebalance", "stop", ""],
            [offered(&["list rebalances"])],
        ),
        verb(
            "rebalance stop coordinator/<Tab>",
            When::Running,
            &["__complete", "rebalance", "stop", "coordinator/"],
            [kinds(), known(&["list rebalances"])],
        ),
        verb(
            "upgrade --image <Tab>",
            When::Upgrading,
            &["__complete", "upgrade", "--image", ""],
            // The new set has the image of the instance, the pods have that of the old set.
            [
                known(&["list emqxes"]),
                others(),
                known(&["list pods", "list statefulsets", "list replicasets"]),
            ],
        ),
    ]
}

fn looking() -> Vec<Verb> {
    let counts = |differs| ask(Poorer(differs), words::COUNTS);
    vec![
        verb("version", When::Idle, &["version", "-o", "json"], [kinds(Poorer(&["/clusters/0"]))]),
        verb(
            "status",
            When::Idle,
            &["status", "-o", "json"],
            [
                kinds(REFUSED),
                rebalances(),
                pods(Poorer(&["/nodes/0/ready"]), words::PODS),
                endpoints(&["/nodes/0/serving"]),
                events(),
                sets(),
                states(),
                lease(),
                counts(&["/nodes/0/source"]),
            ],
        ),
        verb(
            "nodes",
            When::Idle,
            &["nodes", "-o", "json"],
            [
                kinds(REFUSED),
                rebalances(),
                pods(Poorer(&["/items/0/ready"]), words::PODS),
                endpoints(&["/items/0/serving"]),
                counts(&["/items/0/source"]),
            ],
        ),
        verb(
            "watch",
            When::Idle,
            &["watch", "-o", "jsonl", "--timeout=6s"],
            [
                kinds(REFUSED),
                rebalances(),
                pods(POORER, words::PODS),
                endpoints(&[]),
                events(),
                sets(),
                states(),
                lease(),
                counts(&[]),
                watching(&JUDGED),
                watching(&WATCHED),
            ],
        ),
        verb(
            "rebalance list",
            When::Running,
            &["rebalance", "list", "-o", "json"],
            [
                kinds(REFUSED),
                rebalances(),
                pods(Poorer(&["/items/0/verdict"]), words::PODS),
                recorded(),
                ask(Poorer(&["/items/0/verdict"]), words::RUNS),
            ],
        ),
        verb(
            "history",
            When::Over,
            &["history", "-o", "json"],
            // Without the kinds the user's own history is shown.
            [kinds(POORER), rebalances(), pods(POORER, words::PODS), recorded(), ask(POORER, words::RUNS)],
        ),
    ]
}

fn planning() -> Vec<Verb> {
    vec![
        verb(
            "rebalance plan",
            When::Idle,
            &["rebalance", "plan", "--abs-conn-threshold=1", "--conn-evict-rate=5", "-o", "json"],
            [
                kinds(REFUSED),
                rebalances(),
                pods(Blocked, words::NO_PLAN),
                endpoints(&[]),
                events(),
                unfinished(),
                lease(),
                ask(Blocked, words::NO_PLAN),
                each(&["create rebalances"], Act, Foretold(6), words::FORETOLD),
            ],
        ),
        verb(
            "rebalance generate",
            When::Idle,
            &["rebalance", "generate", "--conn-evict-rate=500", "-o", "json"],
            [kinds(REFUSED)],
        ),
        verb(
            "rebalance apply",
            When::Idle,
            &[
                "rebalance",
                "apply",
                "--abs-conn-threshold=1",
                "--conn-evict-rate=5",
                "--dry-run=server",
                "-o",
                "json",
            ],
            [
                kinds(REFUSED),
                rebalances(),
                pods(Refused(6), words::UNASKED),
                endpoints(&[]),
                events(),
                unfinished(),
                lease(),
                ask(Refused(6), words::UNASKED),
                acting("create rebalances"),
            ],
        ),
        verb(
            "rebalance apply --backend emqx",
            When::Idle,
            &[
                "rebalance",
                "apply",
                "--abs-conn-threshold=1",
                "--conn-evict-rate=5",
                "--backend=emqx",
                "--dry-run=client",
                "-o",
                "json",
            ],
            [
                kinds(REFUSED),
                rebalances(),
                pods(Refused(6), words::UNASKED),
                endpoints(&[]),
                events(),
                unfinished(),
                lease(),
                ask(Refused(6), words::UNASKED),
            ],
        ),
    ]
}

fn driving() -> Vec<Verb> {
    let named = || each(&["list rebalances"], View, REFUSED, words::NOT_FOUND);
    vec![
        verb(
            "rebalance watch",
            When::Running,
            &["rebalance", "watch", "{}", "-o", "jsonl", "--timeout=6s"],
            [
                its_kind(),
                named(),
                pods(Without::Unknown, words::UNKNOWN),
                endpoints(&[]),
                ask(POORER, words::COUNTS),
                watching(&JUDGED),
            ],
        ),
        verb(
            "rebalance stop",
            When::Running,
            &["rebalance", "stop", "{}", "--dry-run=client"],
            [
                its_kind(),
                named(),
                pods(Refused(6), words::NOT_STOPPED),
                endpoints(&[]),
                ask(Refused(6), words::NOT_STOPPED),
                lease_rarely(),
                acting("delete rebalances"),
                each(&["patch rebalances"], Act, POORER, words::UNMARKED),
            ],
        ),
        verb(
            "rebalance stop --backend emqx",
            When::Conducted,
            &["rebalance", "stop", "{}", "--dry-run=client"],
            [
                kinds(REFUSED),
                rebalances(),
                pods(REFUSED, words::UNASKED),
                endpoints(&[]),
                ask(REFUSED, words::UNASKED),
            ],
        ),
        verb(
            "rebalance prune",
            When::Over,
            &["rebalance", "prune", "--yes", "--dry-run=server"],
            [
                kinds(REFUSED),
                each(&["list rebalances"], View, REFUSED, words::NOT_PRUNED),
                pods(Poorer(&["/0"]), words::STAYS),
                ask(Poorer(&["/0"]), words::STAYS),
                lease_rarely(),
                acting("delete rebalances"),
            ],
        ),
    ]
}

/// Through EMQX's own API: nothing is written to Kubernetes.
fn evacuations() -> Vec<Verb> {
    let found = |without| -> Vec<Need> {
        [
            kinds(REFUSED),
            rebalances(),
            pods(without, words::UNASKED),
            endpoints(&[]),
            ask(without, words::UNASKED),
        ]
        .concat()
    };
    vec![
        verb(
            "evacuate start",
            When::Idle,
            &["evacuate", "start", "{}", "--dry-run=client", "-o", "json"],
            [found(REFUSED), unfinished()],
        ),
        verb("evacuate status", When::Evacuating, &["evacuate", "status", "-o", "json"], [found(REFUSED)]),
        verb(
            "evacuate watch",
            When::Evacuating,
            &["evacuate", "watch", "{}", "-o", "jsonl", "--timeout=6s"],
            [found(REFUSED), watching(&JUDGED)],
        ),
        verb(
            "evacuate stop",
            When::Evacuating,
            &["evacuate", "stop", "{}", "--dry-run=client"],
            [found(REFUSED)],
        ),
    ]
}

fn upgrades() -> Vec<Verb> {
    let judged = || upgrading(POORER, words::PODS).concat();
    vec![
        verb(
            "upgrade plan",
            When::Idle,
            &["upgrade", "plan", IMAGE, "-o", "json"],
            [
                kinds(REFUSED),
                judged(),
                each(&["get emqxes"], View, POORER, words::OWNERS),
                each(&["patch emqxes"], Upgrade, Foretold(6), words::FORETOLD),
            ],
        ),
        verb("upgrade generate", When::Idle, &["upgrade", "generate", IMAGE], [kinds(REFUSED), states()]),
        verb(
            "upgrade apply",
            When::Idle,
            &["upgrade", "apply", IMAGE, "--dry-run=server", "-o", "json"],
            [
                kinds(REFUSED),
                judged(),
                changing("get emqxes", "patch emqxes").concat(),
                storing(POORER, words::NOT_STORED),
            ],
        ),
        verb(
            "upgrade apply --blue-green",
            When::Enterprise,
            &["upgrade", "apply", "--version=4.4.20", "--blue-green", "--dry-run=server", "-o", "json"],
            [
                enterprise(),
                judged(),
                changing("get emqxenterprises", "patch emqxenterprises").concat(),
                each(&["patch pods/status"], Upgrade, Foretold(0), words::GATES),
                each(&["patch statefulsets/scale"], Upgrade, Foretold(0), words::SCALE),
                storing(Refused(6), words::BEFORE),
            ],
        ),
        verb(
            "upgrade watch",
            When::Upgrading,
            &["upgrade", "watch", "-o", "jsonl", "--timeout=6s"],
            [kinds(REFUSED), upgrading(POORER, words::PODS).concat(), watching(&JUDGED), watching(&WATCHED)],
        ),
        verb(
            "upgrade undo",
            When::Upgrading,
            &["upgrade", "undo", "--dry-run=server"],
            [
                kinds(REFUSED),
                upgrading(Refused(6), words::HOW_FAR).concat(),
                changing("get emqxes", "patch emqxes").concat(),
                // The upgrade that is undone was stored: its ConfigMap exists.
                each(&["patch configmaps"], Upgrade, POORER, words::NOT_STORED),
            ],
        ),
    ]
}

/// Evacuations of pods that are removed: the state and the Lease of an instance are written in the same way.
fn removals() -> Vec<Verb> {
    let seen = |pods_refused| -> Vec<Need> {
        [
            kinds(REFUSED),
            rebalances(),
            pods(pods_refused, words::UNLISTED),
            endpoints(&[]),
            sets(),
            states(),
            ask(Refused(6), words::UNASKED),
        ]
        .concat()
    };
    let stored = || {
        let rights =
            ["create configmaps", "patch configmaps", "create leases", "get leases", "update leases"];
        each(&rights, Remove, Refused(6), words::BEFORE)
    };
    let limits = |rights: &[&'static str], layer| each(rights, layer, Foretold(0), words::UNCHECKED);
    let silent = |rights: &[&'static str], layer| each(rights, layer, Silent, words::UNKNOWN_CHECKS);
    vec![
        verb(
            "check",
            When::Removal,
            &["check", "--for", "evacuate", "-o", "json"],
            [
                kinds(REFUSED),
                rebalances(),
                pods(Blocked, words::UNKNOWN_CHECKS),
                endpoints(&[]),
                events(),
                sets(),
                states(),
                lease(),
                ask(Blocked, words::UNKNOWN_CHECKS),
                silent(&["get emqxes", "list services", "list resourcequotas"], View),
                silent(&["list horizontalpodautoscalers", "list scaledobjects"], View),
                silent(&["list poddisruptionbudgets", "get persistentvolumeclaims"], Remove),
                silent(&["list nodes", "get persistentvolumes", "get customresourcedefinitions"], Nodes),
            ],
        ),
        verb(
            "drain",
            When::Removal,
            &["drain", NODE, "--dry-run=client", "-o", "json"],
            [
                seen(REFUSED),
                each(&["list nodes"], Nodes, REFUSED, words::WHOLE_REFUSED),
                each(&["get nodes", "patch nodes"], Nodes, Refused(6), words::BEFORE),
                limits(&["list poddisruptionbudgets", "get persistentvolumeclaims"], Remove),
                limits(&["get persistentvolumes"], Nodes),
                each(&["create pods/eviction"], Remove, Refused(6), words::BEFORE),
                each(&["patch pods/status"], Remove, Rarely, words::IN_SERVICE),
                watching_removals(),
                lease(),
                stored(),
            ],
        ),
        verb(
            "scale",
            When::Removal,
            &["scale", "--replicants=2", "--dry-run=client", "-o", "json"],
            [
                seen(REFUSED),
                each(&["get emqxes"], View, Foretold(0), words::UNCHECKED),
                each(&["patch emqxes"], Upgrade, Refused(6), words::BEFORE),
                limits(&["list horizontalpodautoscalers", "list scaledobjects"], Remove),
                each(&["patch pods"], Remove, Refused(6), words::BEFORE),
                each(&["patch pods/status"], Remove, Rarely, words::IN_SERVICE),
                watching_removals(),
                lease(),
                stored(),
            ],
        ),
    ]
}
