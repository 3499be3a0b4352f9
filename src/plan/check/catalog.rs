//! The checks: their ids, the operations that they matter to, and what they need. `docs/checks.md` lists them.

use super::Subject;
use crate::model::Source;
pub use crate::model::check::Purpose;
use crate::model::cluster::is_open_source;
use crate::model::report::Reading;
use crate::plan::snapshot::SourceState;

/// A source without which a check is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// EMQX's own API.
    Emqx,
    Pods,
    /// The endpoints, or the pods.
    Serving,
    /// Events of the operator.
    Events,
    /// Kubernetes nodes and what runs on them.
    Placement,
    /// The pods of all namespaces.
    AllPods,
    /// PodDisruptionBudgets.
    Budgets,
    Autoscalers,
    Services,
    /// ResourceQuotas.
    Quotas,
    /// The CRD and its webhook.
    Crd,
    /// The managers of the object's fields.
    Object,
    /// Answers about permissions.
    Permissions,
    /// EMQX's licence.
    Licence,
    /// EMQX's listeners.
    Listeners,
    /// The list of nodes of each core.
    Cores,
}

const PERMISSIONS: &str =
    "kubectl auth can-i --list shows your permissions; docs/permissions.md lists what is needed";

impl Need {
    /// Why this source is missing, and what to do; `None` when it was read.
    pub(super) fn missing(self, subject: Subject<'_>) -> Option<(String, String)> {
        let Subject { world, snapshot, beside, instance } = subject;
        let of = |why: &str| Some((why.to_owned(), PERMISSIONS.to_owned()));
        let unread = |name: &str| {
            let found = beside.surroundings.unread.iter().find(|it| it.contains(name));
            of(&format!("not readable: {}", found.map_or(name, String::as_str)))
        };
        let source = |source: Source, name: &str| {
            if snapshot.source(source) == SourceState::Ok {
                return None;
            }
            let why = snapshot.sources.get(&source).and_then(|age| age.why.clone());
            let why = why.unwrap_or_else(|| format!("{name} was not read"));
            let hint = format!("kubectl emqx status {} shows which source is missing", instance.id.name);
            Some((why, hint))
        };
        match self {
            Self::Emqx if snapshot.wrong_emqx.is_some() => of("another EMQX answers"),
            Self::Emqx => source(Source::Emqx, "EMQX"),
            Self::Pods => source(Source::Pods, "the list of pods"),
            Self::Serving => source(Source::Endpoints, "the list of endpoints")
                .and(source(Source::Pods, "the list of pods")),
            Self::Events => {
                let events = world.kubernetes.sources.iter().find(|((_, resource), _)| *resource == "events");
                match events.and_then(|(_, source)| source.link.why()) {
                    Some(why) => of(why),
                    None => None,
                }
            }
            Self::Placement if beside.placement.is_none() => of("the Kubernetes nodes could not be listed"),
            Self::AllPods => match &beside.placement {
                Some(placement) if placement.all_pods => None,
                _ => of("the pods of all namespaces could not be listed: free CPU and memory are not known"),
            },
            Self::Budgets => match &beside.placement {
                Some(placement) if placement.budgets.is_some() => None,
                _ => of("PodDisruptionBudgets could not be listed"),
            },
            Self::Autoscalers => match &beside.autoscalers {
                Some(scalers) if scalers.unread.is_empty() => None,
                Some(scalers) => of(&format!("not readable: {}", scalers.unread.join("; "))),
                None => of("autoscalers could not be listed"),
            },
            Self::Services if beside.surroundings.services.is_none() => unread("Services"),
            Self::Quotas if beside.surroundings.quotas.is_none() => unread("ResourceQuotas"),
            Self::Crd => match &beside.surroundings.conversion {
                None => unread("the CRD"),
                Some(Some(webhook)) if webhook.ready.is_none() => unread("the operator's webhook"),
                Some(_) => None,
            },
            Self::Object if beside.object.is_none() => of("the object could not be read with its managers"),
            Self::Permissions if beside.permissions.iter().all(|it| it.allowed.is_none()) => {
                of("the API server does not answer which permissions you have")
            }
            Self::Licence | Self::Listeners | Self::Cores => self.reported(subject),
            Self::Placement | Self::Services | Self::Quotas | Self::Object | Self::Permissions => None,
        }
    }
}

impl Need {
    /// Why EMQX did not report this, and what to do.
    fn reported(self, subject: Subject<'_>) -> Option<(String, String)> {
        let Subject { instance, beside, .. } = subject;
        let report = &beside.emqx;
        let status = format!("kubectl emqx status {} shows whether EMQX can be asked", instance.id.name);
        let unread = |why: &str, hint: &str| Some((why.to_owned(), hint.to_owned()));
        match self {
            Self::Licence => match &report.licence {
                Reading::Is(_) => None,
                Reading::Unread(why) => unread(why, "emqx ctl license info, on any node, prints the licence"),
                Reading::Absent => {
                    let mut nodes = subject.broker().listed().iter();
                    let open = nodes.any(|node| is_open_source(node.edition.as_deref()));
                    let why = "EMQX does not report its licence";
                    if open {
                        None
                    } else {
                        unread(why, "emqx ctl license info, on any node, prints the licence")
                    }
                }
            },
            Self::Listeners => match &report.listeners {
                Reading::Is(_) => None,
                Reading::Unread(why) => unread(why, "emqx ctl listeners, on any node, prints the listeners"),
                Reading::Absent => unread("EMQX does not report its listeners", &status),
            },
            Self::Cores => {
                match report.views.iter().find_map(|view| Some((&view.core, view.running.as_ref().err()?))) {
                    Some((core, why)) => {
                        unread(&format!("{core} could not be asked for its list of nodes: {why}"), &status)
                    }
                    None if report.views.is_empty() => {
                        unread("no core was asked for its list of nodes", &status)
                    }
                    None => None,
                }
            }
            _ => None,
        }
    }
}

/// One check.
#[derive(Clone, Copy, Debug)]
pub struct CatalogEntry {
    /// The stable id.
    pub id: &'static str,
    /// Other ids under which an operation reports the same.
    pub also: &'static [&'static str],
    /// The operations that it matters to.
    pub purposes: &'static [Purpose],
    /// What holds when nothing is found.
    pub ok: &'static str,
    /// What is found otherwise.
    pub meaning: &'static str,
    pub way_out: &'static str,
    /// What it is known from.
    pub needs: &'static [Need],
}

const ALL: &[Purpose] = &Purpose::ALL;
const MOVES: &[Purpose] = &[Purpose::Rebalance, Purpose::Evacuate, Purpose::Drain];
const OF_REBALANCE: &[Purpose] = &[Purpose::Rebalance];
const OF_UPGRADE: &[Purpose] = &[Purpose::Upgrade];
const OF_DRAIN: &[Purpose] = &[Purpose::Drain];
const EMPTIES: &[Purpose] = &[Purpose::Evacuate, Purpose::Drain];
const BY_VERSION: &[Purpose] = &[Purpose::Rebalance, Purpose::Upgrade];
const PODS_MOVE: &[Purpose] = &[Purpose::Upgrade, Purpose::Drain];

macro_rules! checks {
    ($($id:literal [$($also:literal)*] $purposes:ident [$($need:ident)*] $ok:literal, $meaning:literal, $way:literal;)*) => {
        &[$(CatalogEntry {
            id: $id, also: &[$($also),*], purposes: $purposes, ok: $ok, meaning: $meaning, way_out: $way,
            needs: &[$(Need::$need),*],
        }),*]
    };
}

/// All checks, in the order in which they are shown.
pub const CATALOG: &[CatalogEntry] = checks! {
    "instance-not-ready" ["deleting" "paused"] ALL []
        "the instance is ready",
        "the operator reports that the instance is not ready, is being deleted, is paused, or is being upgraded",
        "`kubectl emqx status` names the condition and its age";
    "emqx-not-asked" [] ALL [Emqx]
        "EMQX answers",
        "EMQX's own API cannot be asked: what runs there is unknown",
        "the permissions of `kubectl-emqx-ask-emqx`, or `--emqx-url` and `--api-key-file`";
    "wrong-emqx" [] ALL [Emqx]
        "the EMQX that answers is that of the instance",
        "the EMQX at `--emqx-url` is another one than that of the instance",
        "correct `--emqx-url`, or leave it out";
    "membership" [] ALL [Emqx Pods]
        "the pods and EMQX's list of nodes agree",
        "a ready pod is missing in EMQX's cluster, a node is stopped, or EMQX lists a node without a pod",
        "`kubectl emqx nodes`; `emqx ctl cluster force-leave NODE` removes a stopped node";
    "cores-disagree" [] ALL [Cores]
        "all cores see the same nodes",
        "a core does not see a node that another core sees: the cluster is split, in part or in whole",
        "`emqx ctl cluster status` in that pod; a restart of the pod lets it join again";
    "too-few-nodes" [] MOVES [Emqx]
        "another node can take the clients",
        "no node, or only one, runs: clients have nowhere to go",
        "add a replica first";
    "recipients-not-serving" [] ALL [Serving]
        "the nodes are in the Service",
        "nodes that would receive clients are not in the Service",
        "`kubectl emqx nodes`; `kubectl describe pod` of the node";
    "already-running" ["rebalance-running"] ALL [Emqx]
        "no rebalance runs",
        "a rebalance runs",
        "`kubectl emqx rebalance watch` or `stop`";
    "evacuation-running" [] ALL [Emqx]
        "no node is being evacuated",
        "EMQX evacuates a node; the node refuses clients until the evacuation is stopped",
        "`kubectl emqx evacuate list` and `stop`";
    "purge-running" [] MOVES [Emqx]
        "no purge runs",
        "EMQX purges its sessions: every node refuses clients",
        "wait for its end";
    "upgrade-running" [] OF_UPGRADE [Pods]
        "no upgrade is under way",
        "an upgrade is under way",
        "`kubectl emqx upgrade watch` or `undo`";
    "drain-unfinished" [] ALL []
        "no drain is unfinished",
        "a drain was not finished",
        "the same `kubectl emqx drain` again, or with `--undo`";
    "scale-unfinished" [] ALL []
        "no scale is unfinished",
        "a scale was not finished",
        "the same `kubectl emqx scale` again, or with `--undo`";
    "orphans" [] ALL [Emqx]
        "nothing runs in EMQX that has no owner",
        "EMQX runs a rebalance that no Rebalance describes, or evacuates a node for which no upgrade, drain or scale waits",
        "`kubectl emqx rebalance stop coordinator/NODE`, `kubectl emqx evacuate stop NODE`";
    "object-stuck" [] ALL []
        "no object is stuck in its deletion",
        "a Rebalance or the EMQX object has been in deletion for a minute or more: its finalizers wait for the operator",
        "`kubectl emqx rebalance stop NAME` stops EMQX and releases the object";
    "operator-silent" [] ALL [Events]
        "the operator's process is not known to be gone, and it reports no failures",
        "the operator's Lease has run out, a Rebalance has no status after 30 s, or the operator reported failures of the instance in the last 10 minutes",
        "`kubectl get pods -A | grep emqx-operator`, and its logs";
    "conversion-webhook" [] ALL [Crd]
        "the CRD needs no webhook, or the webhook has ready addresses",
        "the conversion webhook of the CRD has no ready address: objects cannot be read or changed in another version than the stored one",
        "start the operator again";
    "operator-lines" [] ALL []
        "the CRDs are those of one operator line",
        "CRDs of two operator lines are installed: kinds without an operator are accepted and ignored",
        "delete the CRDs of the operator that is gone, after a backup of their objects";
    "operator-ends-evacuation" [] EMPTIES []
        "the operator leaves evacuations of other clients alone",
        "operator 3.x ends evacuations that it did not start",
        "pause it with the annotation `apps.emqx.io/paused=true`";
    "status-old" [] OF_REBALANCE [Emqx]
        "the operator's list of nodes is that of EMQX",
        "the custom resource lists other nodes than EMQX: the operator would start with them",
        "wait 30 s, or `--backend emqx`";
    "no-rebalance-api" [] MOVES [Emqx]
        "this EMQX can rebalance and evacuate",
        "this edition or version of EMQX cannot rebalance or evacuate",
        "upgrade EMQX";
    "no-evacuation" [] OF_UPGRADE []
        "this EMQX can evacuate before its pods are deleted",
        "this EMQX cannot evacuate, or evacuation is disabled: an upgrade disconnects all clients of a pod at once",
        "an edition with evacuation, or a maintenance window";
    "licence" [] ALL [Licence]
        "the licence has room, or none is needed",
        "the licence of EMQX has expired or ends within 14 days, allows fewer sessions than there are or only one node, or is an evaluation of more than 30 days",
        "`emqx ctl license update KEY`";
    "connection-rate" [] ALL [Listeners]
        "no listener accepts clients more slowly than they reconnect",
        "more clients a second reconnect to one node than its listener accepts (`max_conn_rate`)",
        "a lower `--conn-evict-rate`, or raise `max_conn_rate`";
    "version-defect" [] BY_VERSION [Emqx]
        "no known defect of this EMQX version matters here",
        "this version of EMQX has a known defect in what is done",
        "upgrade to the version that the evidence names";
    "mixed-versions" [] BY_VERSION [Emqx]
        "all nodes run one version of EMQX",
        "several versions of EMQX run",
        "finish the upgrade first";
    "image" [] OF_UPGRADE []
        "the image names an EMQX repository and a version",
        "the image has no tag, the tag `latest`, or a repository that is not EMQX's, or of another edition",
        "name the whole image: `emqx/emqx-enterprise:5.8.9`";
    "blue-green-missing" [] OF_UPGRADE []
        "an upgrade does not replace loaded pods in place",
        "v1beta4 without `spec.blueGreenUpdate`: a new image disconnects every client, pod by pod",
        "the flag `--blue-green` of `kubectl emqx upgrade apply`";
    "rates-missing" [] OF_UPGRADE []
        "the eviction rates of updates are set",
        "v1beta4 without rates: EMQX refuses every evacuation of the operator",
        "`kubectl emqx upgrade` writes them";
    "zero-wait" [] OF_UPGRADE []
        "no wait of the update strategy is 0",
        "a wait of 0 is dropped by operator 2.3, and its default of 60 s returns",
        "write 1 or more";
    "too-many-pods" [] OF_UPGRADE []
        "there are fewer than 11 pods, or their order does not matter",
        "v1beta4 with 11 pods or more: the operator empties one pod and removes another",
        "the guarded upgrade of `kubectl emqx upgrade`";
    "replicas-changing" [] OF_UPGRADE []
        "no change of the number of nodes is under way",
        "the number of nodes is being changed",
        "wait for its end";
    "cluster-domain" [] OF_UPGRADE []
        "the cluster domain is one that the operator finds",
        "operator 2.2 takes cores outside of `svc.cluster.local` for stopped",
        "a newer operator";
    "durable-sessions" [] PODS_MOVE []
        "durable sessions are off",
        "durable sessions are on: an evacuation cannot move them and may not end",
        "`kubectl emqx evacuate stop` ends it; the clients have moved by then";
    "capacity" [] OF_UPGRADE [AllPods]
        "no second set of pods is needed",
        "the cluster has no room for the second set of pods of a blue-green upgrade, or for the pods of a scale-up",
        "add Kubernetes nodes, or have a cluster autoscaler do it";
    "quota" [] OF_UPGRADE [Quotas]
        "no ResourceQuota refuses the second set of pods",
        "a ResourceQuota refuses the second set of pods of a blue-green upgrade, or the pods of a scale-up",
        "raise the quota first";
    "field-conflict" ["fields-taken-over"] OF_UPGRADE [Object]
        "no other manager owns the image",
        "another field manager owns the image",
        "change it where it is kept, or `--force-conflicts`";
    "gitops" [] OF_UPGRADE []
        "no GitOps tool manages the instance",
        "a GitOps tool manages the instance and reverts changes that are made here",
        "`kubectl emqx upgrade generate`, and commit it";
    "threshold-blind" [] OF_REBALANCE [Emqx]
        "the default thresholds see how uneven the nodes are",
        "the nodes are uneven, and within EMQX's default thresholds: a rebalance would do nothing",
        "leave `--conn-evict-rate` out, so that thresholds are worked out, or `--abs-conn-threshold`";
    "publish-not-ready" [] ALL [Services]
        "no Service leads clients to pods that are not ready",
        "a Service publishes addresses of pods that are not ready: disconnected clients return to donors and are refused",
        "`publishNotReadyAddresses: false` on the Service of the clients";
    "probe-period" [] ALL [Pods]
        "pods leave the Service before their clients are disconnected",
        "the readiness probe of pods without a gate takes longer than EMQX waits, or does not ask EMQX whether the node accepts clients",
        "a longer `--wait-health-check`, or a readiness probe of `availability_check`";
    "session-affinity" [] ALL [Services]
        "no Service keeps clients on the pod where they were",
        "a Service with `sessionAffinity: ClientIP` leads clients back to the donor until it has left the Service",
        "`sessionAffinity: None`";
    "traffic-policy" [] ALL [Services]
        "no Service keeps traffic on the Kubernetes node where it arrives",
        "`externalTrafficPolicy: Local`: clients are distributed over Kubernetes nodes, not over pods",
        "spread the pods evenly over the Kubernetes nodes, or `externalTrafficPolicy: Cluster`";
    "load-balancer" [] ALL [Services]
        "a Service leads clients to the nodes",
        "no Service leads clients to the nodes, or a load balancer outside decides, which cannot be seen from here",
        "check its health checks: it has to remove a node that is not ready";
    "autoscaled" [] ALL [Autoscalers]
        "no autoscaler changes the number of nodes",
        "a HorizontalPodAutoscaler or a ScaledObject of KEDA scales the instance: pods can be removed with their clients",
        "raise its minimum for the time of the operation";
    "disruption-budget" [] OF_DRAIN [Budgets]
        "the PodDisruptionBudgets allow that a pod is moved",
        "a PodDisruptionBudget refuses the eviction of an evacuated pod",
        "add a replica, or relax the budget";
    "no-room" [] OF_DRAIN [AllPods]
        "each pod fits on another Kubernetes node",
        "no other Kubernetes node takes the pod",
        "add a Kubernetes node";
    "volume-bound" [] OF_DRAIN [Placement]
        "no volume keeps a pod on its Kubernetes node",
        "the volume of a pod is bound to its Kubernetes node",
        "move the data, or leave this node out";
    "single-replica" [] OF_DRAIN [Placement]
        "no pod is the only one of its set",
        "a pod is the only one of its set",
        "add a replica first";
    "pods-not-ready" [] OF_DRAIN [Pods]
        "the pods that stay are ready",
        "a pod that stays is not ready, or is being evacuated",
        "`kubectl emqx nodes`";
    "cordoned-nodes" [] PODS_MOVE [Placement]
        "no EMQX pod runs on a cordoned Kubernetes node",
        "EMQX pods run on cordoned Kubernetes nodes: another client may be about to drain them",
        "`kubectl emqx drain NODE`, or `kubectl uncordon NODE`";
    "no-permission" [] ALL [Permissions]
        "you have the permissions of these operations",
        "a permission of the operation is missing",
        "the roles of `plugin-manifest/rbac.yaml`";
};
