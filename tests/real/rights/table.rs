//! The table: for each verb the rights that it needs, and what it is worth without each. README is made from it, the shipped
//! roles are its unions, and `cases.rs` proves every line.

use Layer::{Act, Ask, View};

use crate::control_plane::NAMESPACE;

/// Which of the shipped roles holds a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    View,
    Act,
    Ask,
    /// None: a right of the whole cluster that only completion has a use for.
    Beside,
}

/// What a verb is worth without a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// Exit 0, or that of the whole answer, one notice that names the right, and another answer at these places.
    Poorer(&'static [&'static str]),
    /// The same where a verdict is waited for: it is `unknown`, with exit 1.
    Unknown,
    /// Nothing is done, and the message names the right.
    Refused(i32),
    /// The whole answer, which says with this exit that the right will be missing when it is needed.
    Foretold(i32),
    /// Not a word, and fewer names to choose from where it is `true`: completion disturbs nobody.
    Silent(bool),
}

/// One right of one verb.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// `verb resource`
    pub right: &'static str,
    pub layer: Layer,
    pub without: Without,
    /// The same in README's words.
    pub lacks: &'static str,
}

/// In which state of the cluster a verb is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Uneven, and nothing runs.
    Idle,
    /// A rebalance runs, which the operator calls Failed.
    Running,
    /// One runs in EMQX without an object.
    Conducted,
    /// One is over.
    Over,
    /// An image was changed.
    Upgrading,
    /// Nothing runs, and the instance is an EmqxEnterprise.
    Enterprise,
}

impl When {
    /// Where the cluster is.
    pub fn namespace(self) -> &'static str {
        if self == Self::Enterprise { ENTERPRISE } else { NAMESPACE }
    }
}

/// The namespace of the EmqxEnterprise.
pub const ENTERPRISE: &str = "ee";

/// One verb.
#[derive(Clone, Debug)]
pub struct Verb {
    /// As README names it.
    pub name: &'static str,
    pub when: When,
    /// How it is tried, so that it can be tried often. `{}` is the name of what runs.
    pub args: &'static [&'static str],
    /// The exit of the whole answer.
    pub exit: i32,
    pub needs: Vec<Need>,
}

/// The API group of a resource.
pub fn group(resource: &str) -> &'static str {
    match resource {
        "emqxes" | "emqxenterprises" | "emqxbrokers" | "rebalances" => "apps.emqx.io",
        "statefulsets" | "replicasets" => "apps",
        "endpointslices" => "discovery.k8s.io",
        _ => "",
    }
}

const fn need(right: &'static str, layer: Layer, without: Without, lacks: &'static str) -> Need {
    Need { right, layer, without, lacks }
}

const fn poorer(right: &'static str, differs: &'static [&'static str], lacks: &'static str) -> Need {
    need(right, View, Without::Poorer(differs), lacks)
}

/// The kinds that run EMQX, all of which are asked for where none is named: without the one that is meant nothing can be
/// said, without another one it is left out.
fn kinds(without: Without) -> Vec<Need> {
    let others = "clusters of that kind are left out";
    let lacks = if matches!(without, Without::Refused(_)) {
        "refused, if it is the kind that is meant"
    } else {
        others
    };
    vec![
        need("list emqxes", View, without, lacks),
        poorer("list emqxenterprises", &[], others),
        poorer("list emqxbrokers", &[], others),
    ]
}

/// The same where the one that is meant is an EmqxEnterprise.
fn enterprise() -> Vec<Need> {
    let [mine, other, third] = kinds(REFUSED).try_into().expect("three kinds");
    vec![Need { right: other.right, ..mine }, Need { right: mine.right, ..other }, third]
}

/// What is found by its own name is of one kind.
fn its_kind() -> Vec<Need> {
    kinds(REFUSED).into_iter().take(1).collect()
}

const REFUSED: Without = Without::Refused(1);

/// An object that is named, and its instance's pods and endpoints.
fn named(pods: Need) -> Vec<Need> {
    vec![
        need("list rebalances", View, REFUSED, "refused: what is named is not found"),
        pods,
        poorer("list endpointslices", &[], "who gets new clients is not known"),
    ]
}

/// EMQX's own word: all three rights, or none of it.
fn ask(without: Without, lacks: &'static str) -> Vec<Need> {
    ["get secrets", "get pods/portforward", "create pods/portforward"]
        .map(|right| need(right, Ask, without, lacks))
        .to_vec()
}

const COUNTS: &str = "EMQX is not asked: the operator's counts, as old as its last word";

/// What a rebalance is judged by in Kubernetes; where answers differ follows from what they show.
fn judging(pods: Without, endpoints: &'static [&'static str]) -> Vec<Need> {
    let unasked = if pods == REFUSED {
        "refused: EMQX cannot be asked"
    } else {
        "pods are not known, and EMQX is not asked"
    };
    vec![
        poorer("list rebalances", &[], "what runs is known by EMQX alone"),
        need("list pods", View, pods, unasked),
        poorer("list endpointslices", endpoints, "who gets new clients is not known"),
    ]
}

/// How long the operator has been silent is told by its events, too.
fn silence() -> Vec<Need> {
    vec![poorer("list events", &[], "the operator's silence is told by its status alone")]
}

/// What is seen as soon as it changes.
fn watching(rights: &[&'static str]) -> Vec<Need> {
    rights.iter().map(|right| poorer(right, &[], "changes are seen every 15 s")).collect()
}

struct Trial {
    name: &'static str,
    when: When,
    args: &'static [&'static str],
}

fn verb(Trial { name, when, args }: Trial, exit: i32, needs: impl IntoIterator<Item = Vec<Need>>) -> Verb {
    Verb { name, when, args, exit, needs: needs.into_iter().flatten().collect() }
}

/// All of it.
pub fn table() -> Vec<Verb> {
    let idle = |name, args| Trial { name, when: When::Idle, args };
    let running = |name, args| Trial { name, when: When::Running, args };
    vec![
        verb(idle("version", &["version", "-o", "json"]), 0, [kinds(Without::Poorer(&["/clusters/0"]))]),
        verb(
            idle("status", &["status", "-o", "json"]),
            0,
            [
                kinds(REFUSED),
                judging(Without::Poorer(&["/nodes/0/ready"]), &["/nodes/0/serving"]),
                silence(),
                sets(),
                ask(Without::Poorer(&["/nodes/0/source"]), COUNTS),
            ],
        ),
        verb(
            idle("nodes", &["nodes", "-o", "json"]),
            0,
            [
                kinds(REFUSED),
                judging(Without::Poorer(&["/items/0/ready"]), &["/items/0/serving"]),
                ask(Without::Poorer(&["/items/0/source"]), COUNTS),
            ],
        ),
        verb(
            idle("watch", &["watch", "-o", "jsonl", "--timeout=3s"]),
            0,
            [
                kinds(REFUSED),
                judging(Without::Poorer(&[]), &[]),
                silence(),
                sets(),
                ask(Without::Poorer(&[]), COUNTS),
                watching(&WATCHED),
            ],
        ),
        verb(
            running("rebalance list", &["rebalance", "list", "-o", "json"]),
            0,
            [
                kinds(REFUSED),
                judging(Without::Poorer(&["/items/0/verdict"]), &[])
                    .into_iter()
                    .filter(|it| it.right != "list endpointslices")
                    .collect(),
                ask(Without::Poorer(&["/items/0/verdict"]), "what EMQX runs is not known"),
            ],
        ),
        verb(
            idle("rebalance plan", &["rebalance", "plan", "--abs-conn-threshold=1", "-o", "json"]),
            0,
            [
                kinds(REFUSED),
                judging(Without::Poorer(&["/nodes/0/pod"]), &[]),
                silence(),
                ask(Without::Poorer(&[]), COUNTS),
                vec![need(
                    "create rebalances",
                    Act,
                    Without::Foretold(6),
                    "the plan says that it may not be applied, with exit 6",
                )],
            ],
        ),
        verb(idle("rebalance generate", &["rebalance", "generate", "-o", "json"]), 0, [kinds(REFUSED)]),
        verb(
            idle(
                "rebalance apply",
                &["rebalance", "apply", "--abs-conn-threshold=1", "--dry-run=server", "-o", "json"],
            ),
            0,
            [
                kinds(REFUSED),
                judging(Without::Poorer(&["/plan/nodes/0/pod"]), &[]),
                silence(),
                ask(Without::Poorer(&[]), COUNTS),
                vec![need("create rebalances", Act, Without::Refused(6), "refused before anything is done")],
            ],
        ),
        verb(
            idle(
                "rebalance apply --backend emqx",
                &[
                    "rebalance",
                    "apply",
                    "--abs-conn-threshold=1",
                    "--backend=emqx",
                    "--dry-run=client",
                    "-o",
                    "json",
                ],
            ),
            0,
            [kinds(REFUSED), judging(REFUSED, &[]), silence(), ask(REFUSED, "refused: EMQX cannot be asked")],
        ),
        verb(
            running("rebalance watch", &["rebalance", "watch", "{}", "-o", "jsonl", "--timeout=3s"]),
            5,
            [
                its_kind(),
                named(need(
                    "list pods",
                    View,
                    Without::Unknown,
                    "EMQX is not asked: `unknown`, unless the object is `Completed`",
                )),
                ask(Without::Poorer(&[]), COUNTS),
                watching(&["watch emqxes", "watch rebalances", "watch pods", "watch endpointslices"]),
            ],
        ),
        verb(
            running("rebalance stop", &["rebalance", "stop", "{}", "--dry-run=client"]),
            0,
            [
                its_kind(),
                named(need(
                    "list pods",
                    View,
                    Without::Refused(6),
                    "EMQX is not asked: refused, where the operator alone would not stop it",
                )),
                ask(Without::Refused(6), "refused, where the operator alone would not stop it"),
                vec![need("delete rebalances", Act, Without::Refused(6), "refused before anything is done")],
            ],
        ),
        verb(
            Trial {
                name: "rebalance stop --backend emqx",
                when: When::Conducted,
                args: &["rebalance", "stop", "{}", "--dry-run=client"],
            },
            0,
            [kinds(REFUSED), judging(REFUSED, &[]), ask(REFUSED, "refused: EMQX cannot be asked")],
        ),
        verb(
            Trial {
                name: "rebalance prune",
                when: When::Over,
                args: &["rebalance", "prune", "--yes", "--dry-run=server"],
            },
            0,
            [
                kinds(REFUSED),
                judging(Without::Poorer(&[]), &[])
                    .into_iter()
                    .filter(|it| it.right != "list endpointslices")
                    .collect(),
                ask(Without::Poorer(&["/0"]), "what says Failed stays: EMQX may still run it"),
                vec![need("delete rebalances", Act, Without::Refused(6), "refused before anything is done")],
            ],
        ),
        verb(
            idle("upgrade plan", &["upgrade", "plan", IMAGE, "-o", "json"]),
            0,
            [
                kinds(REFUSED),
                upgrading(),
                vec![
                    poorer("get emqxes", &[], "who else keeps the image is not known"),
                    need(
                        "patch emqxes",
                        Act,
                        Without::Foretold(6),
                        "the plan says that it may not be applied, with exit 6",
                    ),
                ],
            ],
        ),
        verb(idle("upgrade generate", &["upgrade", "generate", IMAGE]), 0, [kinds(REFUSED)]),
        verb(
            idle("upgrade apply", &["upgrade", "apply", IMAGE, "--dry-run=server", "-o", "json"]),
            0,
            [kinds(REFUSED), upgrading(), changing("get emqxes", "patch emqxes")],
        ),
        verb(
            Trial {
                name: "upgrade apply, guarded",
                when: When::Enterprise,
                args: &[
                    "upgrade",
                    "apply",
                    "--version=4.4.20",
                    "--blue-green",
                    "--dry-run=server",
                    "-o",
                    "json",
                ],
            },
            0,
            [
                enterprise(),
                upgrading(),
                changing("get emqxenterprises", "patch emqxenterprises"),
                vec![need(
                    "patch pods/status",
                    Act,
                    Without::Foretold(0),
                    "the plan says so: old pods stay in the Service while they are emptied",
                )],
            ],
        ),
        verb(
            Trial {
                name: "upgrade watch",
                when: When::Upgrading,
                args: &["upgrade", "watch", "-o", "jsonl", "--timeout=3s"],
            },
            5,
            [kinds(REFUSED), upgrading_by(REFUSED), watching(&WATCHED)],
        ),
        verb(
            Trial {
                name: "upgrade undo",
                when: When::Upgrading,
                args: &["upgrade", "undo", "--dry-run=server"],
            },
            0,
            [kinds(REFUSED), upgrading_by(Without::Refused(6)), changing("get emqxes", "patch emqxes")],
        ),
    ]
}

/// What is upgraded to.
pub const IMAGE: &str = "--image=emqx/emqx-enterprise:5.8.7";

const WATCHED: [&str; 7] = [
    "watch emqxes",
    "watch rebalances",
    "watch pods",
    "watch endpointslices",
    "watch events",
    "watch statefulsets",
    "watch replicasets",
];

/// What an upgrade is judged by.
fn upgrading() -> Vec<Need> {
    upgrading_by(Without::Poorer(&[]))
}

fn upgrading_by(pods: Without) -> Vec<Need> {
    [judging(pods, &[]), silence(), sets(), ask(Without::Poorer(&[]), COUNTS)].concat()
}

fn sets() -> Vec<Need> {
    ["list statefulsets", "list replicasets"]
        .map(|right| poorer(right, &[], "the old and the new set of an upgrade are not told apart"))
        .to_vec()
}

/// What a change of the instance takes.
fn changing(get: &'static str, patch: &'static str) -> Vec<Need> {
    vec![
        need(get, View, REFUSED, "refused"),
        need(patch, Act, Without::Refused(6), "refused before anything is done"),
    ]
}

/// What is tried when a right is missing that would have told more: a name that is no object's may be an instance's, of any
/// kind.
pub fn instead(right: &str) -> &'static [&'static str] {
    if right == "list rebalances" {
        &["list emqxes", "list emqxenterprises", "list emqxbrokers"]
    } else {
        &[]
    }
}
