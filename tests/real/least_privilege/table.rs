//! The table: for each command the permissions that it needs, and what it is worth without each. `docs/permissions.md` is made from it, the shipped
//! roles are its unions, and `cases.rs` proves every line.

use Layer::{Act, Ask, Nodes, Remove, Upgrade, View};
use Without::{Blocked, Foretold, Later, Poorer, Rarely, Refused, Silent, Unoffered};

use super::words::{self, Words};
use test_support::control_plane::{NAMESPACE, NODE};

/// Which of the shipped roles holds a permission.
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

/// What a command is worth without a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// The exit of the whole answer, one notice that names the permission, and another answer at these places.
    Poorer(&'static [&'static str]),
    /// The same where a verdict is waited for: it is `unknown`, with exit 1.
    Unknown,
    /// Nothing is done, and the message names the permission.
    Refused(i32),
    /// The whole answer, which says with this exit that the permission will be missing when it is needed.
    Foretold(i32),
    /// The answer is a refusal with exit 6, which names the permission, and so does one notice.
    Blocked,
    /// The exit of the whole answer, and no notice: it is read where it may be read, and not missed.
    Silent,
    /// It is used only when the operation is carried out: what is tried is the whole answer, without a notice.
    Later,
    /// It is used only where an object does not go: what is tried, and most of what is carried out, is whole without it.
    Rarely,
    /// Silence, and whether less is offered.
    Unoffered(bool),
}

/// One permission of one command.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// `verb resource`
    pub right: &'static str,
    pub layer: Layer,
    pub without: Without,
    /// What is missing, in the words of `docs/permissions.md`.
    pub lacks: Words,
}

/// In which state of the cluster a command is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Uneven, and nothing runs.
    Idle,
    /// A rebalance runs, which the operator calls Failed.
    Running,
    /// One runs in EMQX without an object.
    Conducted,
    /// EMQX evacuates a node.
    Evacuating,
    /// One is over.
    Over,
    /// An image was changed.
    Upgrading,
    /// Nothing runs, and the instance is an EmqxEnterprise.
    Enterprise,
    /// Nothing runs, and the instance has replicants and volumes on two Kubernetes nodes.
    Removal,
}

impl When {
    /// Where the cluster is.
    pub fn namespace(self) -> &'static str {
        if self == Self::Enterprise { ENTERPRISE } else { NAMESPACE }
    }
}

/// The namespace of the EmqxEnterprise.
pub const ENTERPRISE: &str = "ee";

/// What is upgraded to.
pub const IMAGE: &str = "--image=emqx/emqx-enterprise:5.8.7";

/// One command.
#[derive(Clone, Debug)]
pub struct Verb {
    /// As `docs/permissions.md` names it.
    pub name: &'static str,
    pub when: When,
    /// How it is tried, so that it can be tried often. `{}` is the name of what runs, or of a pod where nothing runs.
    pub args: &'static [&'static str],
    /// The exit of the whole answer.
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

/// What a drain asks for in all namespaces: without it free CPU and memory are not checked.
pub const EVERYWHERE: &str = "list pods";

/// The kinds that run EMQX.
pub const KINDS: [&str; 3] = ["emqxes", "emqxenterprises", "emqxbrokers"];

/// What is tried when a permission is missing that would have told more: what is named may be got where it may not be listed;
/// and a name that is no object's may be an instance's, of any kind.
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
        // In the namespace where the manual installs the operator.
        "list leases" => &["get leases"],
        _ => &[],
    }
}

/// Of all namespaces: the operator has one of its own.
pub const LEASES: &str = "list leases";

const REFUSED: Without = Refused(1);
const POORER: Without = Poorer(&[]);

fn need(right: &'static str, layer: Layer, without: Without, lacks: Words) -> Need {
    Need { right, layer, without, lacks }
}

fn each(rights: &[&'static str], layer: Layer, without: Without, lacks: Words) -> Vec<Need> {
    rights.iter().map(|right| need(right, layer, without, lacks)).collect()
}

/// The kinds, all of which are asked for where none is named: without the one that is meant nothing can be said, without
/// another one it is left out.
fn kinds(without: Without) -> Vec<Need> {
    let lacks = if without == REFUSED { words::MEANT } else { words::LEFT_OUT };
    let mut needs = each(&["list emqxes"], View, without, lacks);
    needs.extend(each(&["list emqxenterprises", "list emqxbrokers"], View, POORER, words::LEFT_OUT));
    needs
}

/// The same where the one that is meant is an EmqxEnterprise.
fn enterprise() -> Vec<Need> {
    let mut needs = kinds(REFUSED);
    needs[0].right = "list emqxenterprises";
    needs[1].right = "list emqxes";
    needs
}

/// What is found by the name of its object is of one kind.
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

/// Whether the operator's process is alive.
fn lease() -> Vec<Need> {
    each(&[LEASES], View, Silent, words::PROCESS)
}

/// The same where it is read only while an object does not go.
fn lease_rarely() -> Vec<Need> {
    each(&[LEASES], View, Rarely, words::PROCESS)
}

fn sets() -> Vec<Need> {
    each(&["list statefulsets", "list replicasets"], View, POORER, words::SETS)
}

/// What we store about an upgrade.
fn states() -> Vec<Need> {
    each(&["list configmaps"], View, POORER, words::STATES)
}

fn storing(without: Without, lacks: Words) -> Vec<Need> {
    each(&["create configmaps", "patch configmaps"], Upgrade, without, lacks)
}

/// EMQX's own word: all three permissions, or none of it.
fn ask(without: Without, lacks: Words) -> Vec<Need> {
    each(&["get secrets", "get pods/portforward", "create pods/portforward"], Ask, without, lacks)
}

/// What is seen as soon as it changes.
fn watching(rights: &[&'static str]) -> Vec<Need> {
    each(rights, View, POORER, words::LATER)
}

/// What a removal watches while it is carried out.
fn watching_removals() -> Vec<Need> {
    let watched = JUDGED.iter().chain(&WATCHED).copied().filter(|right| *right != "watch events");
    each(&watched.collect::<Vec<_>>(), View, Later, words::LATER)
}

const JUDGED: [&str; 4] = ["watch emqxes", "watch rebalances", "watch pods", "watch endpointslices"];
const WATCHED: [&str; 4] = ["watch events", "watch statefulsets", "watch replicasets", "watch configmaps"];

fn acting(right: &'static str) -> Vec<Need> {
    each(&[right], Act, Refused(6), words::BEFORE)
}

/// What an upgrade is judged by.
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

/// What a change of the instance takes.
fn changing(get: &'static str, patch: &'static str) -> [Vec<Need>; 2] {
    [each(&[get], View, REFUSED, words::WHOLE_REFUSED), each(&[patch], Upgrade, Refused(6), words::BEFORE)]
}

fn verb<const PARTS: usize>(
    name: &'static str,
    when: When,
    args: &'static [&'static str],
    needs: [Vec<Need>; PARTS],
) -> Verb {
    // What is followed goes on when the time is over.
    let follows = args.iter().any(|arg| arg.starts_with("--timeout")) && when != When::Idle;
    let needs = needs.into_iter().flatten().collect();
    Verb { name, when, args, exit: if follows { 5 } else { 0 }, needs }
}

/// All of it.
pub fn table() -> Vec<Verb> {
    [looking(), planning(), driving(), evacuations(), upgrades(), removals(), completing()].concat()
}

/// Names while somebody types: nothing is said, no key is read, and EMQX is not asked.
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
            // The new set has the image of the instance, the pods that of the old set.
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
                ask(Poorer(&["/items/0/verdict"]), words::RUNS),
            ],
        ),
        verb(
            "history",
            When::Over,
            &["history", "-o", "json"],
            // Without the kinds the user's own history is shown.
            [kinds(POORER), rebalances(), pods(POORER, words::PODS), states(), ask(POORER, words::RUNS)],
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
            [found(REFUSED)],
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
                // What is undone was stored: its ConfigMap is there.
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
                watching_removals(),
                lease(),
                stored(),
            ],
        ),
    ]
}
