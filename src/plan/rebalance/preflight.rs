//! The checks before a rebalance: refusals and warnings, and what the user can do. Nothing is changed.

use std::collections::BTreeSet;

use super::forecast::forecast;
use super::ownership;
use super::warnings::session_round_too_long;
use crate::error::Problem;
use crate::model::cluster::evacuations_or_copy;
use crate::model::image::EmqxVersion;
use crate::model::{
    ApiVersion, Backend, BackendRequest, BrokerState, Instance, NodeName, OperatorLine, Phase, Source,
    Strategy, World,
};
use crate::plan::answers::current_load;
use crate::plan::finding::{Finding, Severity};
use crate::plan::health::{HealthProblem, health};
use crate::plan::membership::Membership;
use crate::plan::operator::status_age;
use crate::plan::rebalance::backend::backend;
use crate::plan::rebalance::plan::{Participant, RebalancePlan, Return};
use crate::plan::snapshot::{NodeRow, Snapshot, SourceState};
use crate::plan::stored_removal::unfinished_removal;
use crate::plan::{cluster_checks, emqx_defects, finding};
use crate::timing::{FAILED_FROM_SECONDS, OLD_REPORT_SECONDS};

/// What is checked.
#[derive(Clone, Copy)]
pub struct RebalanceCheck<'a> {
    pub world: &'a World,
    /// The cluster.
    pub instance: &'a Instance,
    /// The snapshot of the cluster.
    pub snapshot: &'a Snapshot,
    /// Who will drive it.
    pub backend: Backend,
    /// The name it is to have; `None` while that does not matter.
    pub name: Option<&'a str>,
    /// Whether we may create a Rebalance (or reach EMQX); `None` when that could not be asked.
    pub allowed: Option<bool>,
}

impl<'a> RebalanceCheck<'a> {
    /// What the EMQX of the instance has answered.
    pub(crate) fn broker(&self) -> &'a BrokerState {
        self.world.broker(&self.instance.id)
    }
}

/// The nodes that would take part, with their counts; a problem when a count is not known.
pub(crate) fn participants(snapshot: &Snapshot) -> Result<Vec<Participant>, Problem> {
    let name = &snapshot.instance.name;
    // EMQX and load balancers list nodes bytewise by name: this order decides who gets a remainder.
    let mut rows = snapshot.participants();
    rows.sort_by(|one, other| one.node.cmp(&other.node));
    rows.into_iter()
        .map(|row| {
            let (Some(node), Some(connections)) = (&row.node, row.connections) else {
                return Err(Problem::new(
                    format!("cannot plan a rebalance of {}", snapshot.instance),
                    format!("the live connections of {} are not known", row.label()),
                )
                .hint(match snapshot.source(Source::Emqx) {
                    SourceState::Forbidden => {
                        "allow `get secrets` and `get,create pods/portforward`, or pass --emqx-url and --api-key-file"
                            .to_owned()
                    }
                    _ => format!("kubectl emqx status {name} shows which source is missing"),
                }));
            };
            Ok(Participant {
                node: node.clone(),
                pod: row.pod.clone(),
                connections,
                sessions: row.sessions.unwrap_or(connections).max(connections),
            })
        })
        .collect()
}

#[derive(Clone, Copy)]
pub struct RebalanceRequest<'a> {
    /// The requested strategy.
    pub strategy: &'a Strategy,
    /// When and where evicted clients come back.
    pub back: Return,
    /// Who will drive it.
    pub backend: Backend,
    /// The name it is to have; `None` while that does not matter.
    pub name: Option<&'a str>,
    /// Whether we may create a Rebalance; `None` when that could not be asked.
    pub allowed: Option<bool>,
    /// Checks that are skipped.
    pub skip: &'a [String],
}

/// The forecast for a cluster as it is now, with what the checks find.
pub fn plan(
    world: &World,
    snapshot: &Snapshot,
    request: RebalanceRequest<'_>,
) -> Result<RebalancePlan, Problem> {
    let id = &snapshot.instance;
    let instance = world.instance(id).ok_or_else(|| Problem::new(format!("{id} is gone"), ""))?;
    let RebalanceRequest { strategy, back, backend, name, allowed, skip } = request;
    let check = RebalanceCheck { world, instance, snapshot, backend, name, allowed };
    let participants = match participants(snapshot) {
        Ok(participants) => participants,
        // A rebalance that runs, another cluster, or an incomplete one explains better than a missing count
        // why there is nothing to plan.
        Err(problem) => match running(&check) {
            Some(_) => Vec::new(),
            None if explained(&check) => Vec::new(),
            None => return Err(problem),
        },
    };
    let mut plan = forecast(Some(id.clone()), &participants, strategy, back);
    plan.backend = backend;
    let mut found = findings(&check, &plan);
    finding::skip(&mut found, skip);
    finding::skip(&mut plan.findings, skip);
    plan.judge(found);
    Ok(plan)
}

/// What the checks find for this plan. A blocked finding refuses it.
pub fn findings(check: &RebalanceCheck<'_>, plan: &RebalancePlan) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(of_cluster(check));
    found.extend(cluster_checks::few_recipients(check.snapshot, &plan.findings));
    found.extend(old_node_list(check));
    found.extend(name_taken(check));
    found.extend(no_permission(check));
    if plan.total_seconds > 0 {
        found.extend(will_report_failed(check, plan.total_seconds));
        found.extend(short_health_check(check, &plan.strategy));
        found.extend(version_defect(check, plan));
        found.extend(newest_version(check).and_then(|version| session_round_too_long(plan, version)));
    }
    found.extend(status_old(check));
    found
}

/// Whether the cluster itself explains why counts are missing.
fn explained(check: &RebalanceCheck<'_>) -> bool {
    let found = cluster_checks::membership_findings(check.world, check.instance, check.snapshot);
    check.snapshot.wrong_emqx.is_some() || found.iter().any(|finding| finding.severity == Severity::Blocked)
}

/// What the checks find that does not depend on what is planned.
fn of_cluster(check: &RebalanceCheck<'_>) -> Vec<Finding> {
    let RebalanceCheck { world, instance, snapshot, .. } = *check;
    let mut found = Vec::new();
    found.extend(cluster_checks::wrong_emqx(snapshot));
    found.extend(too_few_nodes(check).filter(|_| snapshot.wrong_emqx.is_none()));
    found.extend(chosen_down(check));
    found.extend(already_running(check));
    found.extend(unfinished_removal(world, &instance.id));
    found.extend(evacuation_running(check));
    found.extend(purge_running(check));
    found.extend(cluster_checks::membership_findings(world, instance, snapshot));
    found.extend(not_ready(check));
    found.extend(cluster_checks::recipients_not_serving(instance, snapshot));
    found.extend(cluster_checks::no_rebalance_api(world, snapshot));
    found.extend(cluster_checks::not_asked(world, snapshot));
    found
}

/// What would refuse every plan of a rebalance, by object or direct: such a plan is not suggested.
pub(crate) fn obstacles(world: &World, instance: &Instance, snapshot: &Snapshot) -> Vec<Finding> {
    let Ok((backend, _)) =
        backend(BackendRequest::Auto, &world.kubernetes.served, instance, snapshot.operator_process)
    else {
        return vec![Finding::blocked("no-rebalance-api", "this EMQX cannot rebalance")];
    };
    let check = RebalanceCheck { world, instance, snapshot, backend, name: None, allowed: None };
    let mut found = of_cluster(&check);
    found.retain(|finding| finding.severity == Severity::Blocked);
    found
}

/// A chosen node that EMQX could not use.
fn chosen_down(check: &RebalanceCheck<'_>) -> Option<Finding> {
    let runs = |node: &NodeName| check.snapshot.node(node).is_some_and(|row| row.running);
    let down = check.snapshot.chosen.iter().find(|node| !runs(node))?;
    Some(
        Finding::blocked("node-not-running", format!("EMQX node {down} does not run: it cannot take part"))
            .hint(format!("kubectl emqx nodes {}", check.instance.id.name)),
    )
}

fn too_few_nodes(check: &RebalanceCheck<'_>) -> Option<Finding> {
    check.snapshot.participants().is_empty().then(|| {
        let known = check.snapshot.nodes.len();
        let what =
            if known == 0 { "no EMQX node is known".to_owned() } else { format!("none of {known} runs") };
        Finding::blocked("too-few-nodes", format!("{what}: there is nothing to rebalance"))
            .hint(format!("kubectl emqx status {}", check.instance.id.name))
    })
}

fn not_ready(check: &RebalanceCheck<'_>) -> Option<Finding> {
    let instance = check.instance;
    let blocked = |message: String| {
        Finding::blocked("instance-not-ready", message)
            .hint(format!("kubectl emqx status {}", instance.id.name))
    };
    if instance.deleting.is_some() {
        return Some(blocked(format!("{} is being deleted", instance.id)));
    }
    if instance.upgrading() {
        return Some(blocked(format!("{} is being upgraded: two revisions run", instance.id)));
    }
    if check.backend == Backend::Rebalance && !instance.ready() && running(check).is_none() {
        let health = health(instance, check.snapshot.now);
        let why = match health.problem {
            Some(HealthProblem::NotReady(why) | HealthProblem::Deleting(why)) => why,
            None => String::new(),
        };
        return Some(blocked(format!(
            "{} is not ready ({why}): the operator would fail the rebalance at once",
            instance.id
        )));
    }
    None
}

/// What runs already: the name of the object, or of the coordinator.
pub(crate) fn running(check: &RebalanceCheck<'_>) -> Option<String> {
    running_name(check.world, check.instance, check.snapshot)
}

/// The same without a plan.
pub(crate) fn running_name(world: &World, instance: &Instance, snapshot: &Snapshot) -> Option<String> {
    if current_load(world, snapshot, snapshot.now).is_some() {
        let listed = ownership::running(world, &instance.id).into_iter().next().map(|(name, _)| name);
        return listed.or_else(|| Some(ownership::started_since(world, &instance.id)?.name.clone()));
    }
    // EMQX's answer is missing: an object that reports Processing, or one that failed while its donors are
    // still out of the Service.
    let outside = |node: &NodeName| snapshot.node(node).is_some_and(|row| row.serving == Some(false));
    world
        .rebalances_of(&instance.id)
        .iter()
        .map(|seen| &seen.value)
        .find(|it| match it.phase {
            Phase::Processing => true,
            Phase::Failed => it.processed && it.states.iter().flat_map(|state| &state.donors).any(outside),
            _ => false,
        })
        .map(|it| it.name.clone())
}

fn already_running(check: &RebalanceCheck<'_>) -> Option<Finding> {
    if let Some(name) = running(check) {
        return Some(
            Finding::blocked("already-running", format!("a rebalance is already running: {name}"))
                .hint(format!("kubectl emqx rebalance watch {name}, or: kubectl emqx rebalance stop {name}")),
        );
    }
    let pending = check
        .world
        .rebalances_of(&check.instance.id)
        .into_iter()
        .find(|seen| seen.value.phase == Phase::Pending && seen.value.deleting.is_none())?;
    Some(
        Finding::blocked(
            "already-running",
            format!("{} waits for the operator to start it", pending.value.name),
        )
        .hint(format!("kubectl emqx rebalance watch {}", pending.value.name)),
    )
}

fn evacuation_running(check: &RebalanceCheck<'_>) -> Option<Finding> {
    let evacuation = evacuations_or_copy(check.broker().eviction_status(), Some(check.instance)).first()?;
    let what = format!("{} is being evacuated ({})", evacuation.node, evacuation.state);
    Some(
        Finding::blocked(
            "evacuation-running",
            format!("{what}: EMQX would call that node unavailable and refuse the start"),
        )
        .hint(format!("kubectl emqx nodes {}", check.instance.id.name)),
    )
}

/// A purge disconnects all clients, and every node refuses clients while it lasts (seen on EMQX 5.10.4).
fn purge_running(check: &RebalanceCheck<'_>) -> Option<Finding> {
    let purge = check.broker().load.as_ref()?.value.purges.first()?;
    Some(
        Finding::blocked(
            "purge-running",
            format!("{purge} purges its sessions: all nodes refuse clients until the purge ends"),
        )
        .hint(format!("kubectl emqx status {}", check.instance.id.name)),
    )
}

fn name_taken(check: &RebalanceCheck<'_>) -> Option<Finding> {
    let name = check.name?;
    let key = (check.instance.id.namespace.clone(), name.to_owned());
    let taken = check.world.kubernetes.rebalances.get(&key)?;
    let state = if taken.value.deleting.is_some() { "is still being deleted" } else { "exists" };
    Some(
        Finding::blocked("name-taken", format!("a Rebalance named {name} {state}"))
            .hint("give it another name: a rebalance runs once, and its name is used once"),
    )
}

fn no_permission(check: &RebalanceCheck<'_>) -> Option<Finding> {
    (check.allowed == Some(false)).then(|| {
        let (what, right) = match check.backend {
            Backend::Rebalance => ("create a Rebalance", "create rebalances.apps.emqx.io"),
            Backend::Emqx => ("reach EMQX", "get secrets and get,create pods/portforward"),
        };
        Finding::blocked(
            "no-permission",
            format!("you may not {what} in namespace {}", check.instance.id.namespace),
        )
        .hint(format!("ask for the right to {right}"))
    })
}

fn will_report_failed(check: &RebalanceCheck<'_>, seconds: u64) -> Option<Finding> {
    let judged_by_readiness = matches!(check.instance.api, ApiVersion::V2beta1 | ApiVersion::V2);
    if check.backend != Backend::Rebalance || !judged_by_readiness || seconds < FAILED_FROM_SECONDS {
        return None;
    }
    let after = if check.instance.api == ApiVersion::V2 { "30 to 65 s" } else { "about 30 s" };
    Some(
        Finding::warning(
            "operator-will-report-failed",
            format!(
                "the operator will report Failed (\"EMQX {} is not ready\") after {after}; EMQX finishes all the same",
                check.instance.id.name
            ),
        )
        .hint("follow it with --watch, which asks EMQX; or drive EMQX itself: --backend emqx"),
    )
}

/// Safety rule S6: the wait must cover how long a load balancer needs to notice and drop a donor; on 2.2 and 2.3 that
/// is the operator's loop of 30 s and then the endpoints, on 3.x a probe of 5 s.
fn short_health_check(check: &RebalanceCheck<'_>, strategy: &Strategy) -> Option<Finding> {
    let least = match check.snapshot.operator {
        OperatorLine::Two2 | OperatorLine::Two3 => 60,
        OperatorLine::Three => 10,
        OperatorLine::None | OperatorLine::Unknown => return None,
    };
    (strategy.wait_health_check_seconds < least).then(|| {
        Finding::warning(
            "short-health-check",
            format!(
                "{} s are shorter than it takes until donors are out of the Service ({}): until then evicted clients may \
                 be led back to donors, and be refused",
                strategy.wait_health_check_seconds,
                if least == 60 { "20 to 30 s, and the load balancer's own checks" } else { "5 s, and the load balancer's own checks" }
            ),
        )
        .hint(format!("--wait-health-check {least}"))
    })
}

/// The first known defect in what this plan does; and two versions at once (safety rule S18).
fn version_defect(check: &RebalanceCheck<'_>, plan: &RebalancePlan) -> Option<Finding> {
    let versions: BTreeSet<&str> =
        check.snapshot.nodes.iter().filter_map(|row| row.version.as_deref()).collect();
    if versions.len() > 1 {
        let all: Vec<&str> = versions.into_iter().collect();
        return Some(Finding::warning(
            "version-defect",
            format!("two versions of EMQX run ({}): rebalance when the upgrade is over", all.join(", ")),
        ));
    }
    let text = *versions.first()?;
    let moves_sessions = plan.moves.session_rounds > 0;
    let defect = emqx_defects::of_rebalance(EmqxVersion::find(text)?, moves_sessions).next()?;
    Some(Finding::warning("version-defect", format!("EMQX {text}: {defect}")))
}

/// Major and minor of the newest EMQX that runs: the limits of the newest are those that a rebalance may meet.
fn newest_version(check: &RebalanceCheck<'_>) -> Option<(u64, u64)> {
    let versions = check.snapshot.nodes.iter().filter_map(|row| EmqxVersion::find(row.version.as_deref()?));
    versions.map(|version| (version.0, version.1)).max()
}

fn status_old(check: &RebalanceCheck<'_>) -> Option<Finding> {
    let from_status = check.snapshot.nodes.iter().any(|row| row.source == Source::Kubernetes);
    let silent =
        check.snapshot.operator_silent.filter(|silent| from_status && *silent > OLD_REPORT_SECONDS)?;
    Some(Finding::warning("status-old", status_age(silent)).hint(
        "let EMQX be asked: get secrets, get and create pods/portforward; or --emqx-url and --api-key-file",
    ))
}

/// The operator would start the rebalance with the nodes in the custom resource's status. Where EMQX lists others, the start
/// is refused with `Invalid nodes`, or a node is left out (operators 2.2 and 2.3 refresh their list every 30 s).
pub(crate) fn old_node_list(check: &RebalanceCheck<'_>) -> Option<Finding> {
    if check.backend != Backend::Rebalance || check.snapshot.wrong_emqx.is_some() {
        return None;
    }
    check.broker().nodes.as_ref()?;
    let listed: Vec<&NodeName> =
        check.instance.nodes.iter().filter(|node| node.running).map(|node| &node.name).collect();
    if listed.is_empty() {
        return None;
    }
    let runs = |row: &&NodeRow| row.running && row.membership != Some(Membership::Foreign);
    let running: Vec<&NodeName> =
        check.snapshot.nodes.iter().filter(runs).filter_map(|row| row.node.as_ref()).collect();
    let gone = listed.iter().find(|node| !running.contains(node));
    let new = running.iter().find(|node| !listed.contains(node));
    let text = match (gone, new) {
        (Some(node), _) => format!(
            "the custom resource still lists {node}, which does not run in EMQX: the operator would name it, and EMQX \
             refuse the start with Invalid nodes"
        ),
        (None, Some(node)) => {
            format!("the custom resource does not list {node} yet: the operator would leave it out")
        }
        (None, None) => return None,
    };
    Some(
        Finding::warning("status-old", text)
            .hint("the operator refreshes its list every 30 s: try again then, or use --backend emqx"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::manifest;
    use super::*;
    use crate::model::{BrokerUpdate, EvictionStatus, Object, Update};
    use crate::plan::finding::Decision;
    use crate::plan::fixtures;
    use crate::plan::snapshot::snapshot;

    fn world(api: ApiVersion, connections: &[u64], load: EvictionStatus) -> World {
        World::of([
            fixtures::fact(0, Update::Upserted(Object::Instance(Box::new(fixtures::instance(api))))),
            fixtures::answer_of(api, 0, BrokerUpdate::Nodes(fixtures::nodes(connections))),
            fixtures::answer_of(api, 0, BrokerUpdate::Evictions(load)),
        ])
    }

    fn planned(world: &World, api: ApiVersion, backend: Backend, name: Option<&str>) -> RebalancePlan {
        let instance = world.instance(&fixtures::id(api)).expect("the instance");
        let mut snapshot = snapshot(world, &instance.id, fixtures::at(1));
        snapshot.operator = OperatorLine::Two2;
        let nodes = participants(&snapshot).expect("counts");
        let mut plan = forecast(Some(instance.id.clone()), &nodes, &fixtures::strategy(), Return::default());
        let check = RebalanceCheck { world, instance, snapshot: &snapshot, backend, name, allowed: None };
        let found = findings(&check, &plan);
        plan.judge(found);
        plan
    }

    #[test]
    fn nodes_are_in_the_bytewise_order_of_their_names_which_decides_who_gets_the_remainder() {
        let api = ApiVersion::V2beta1;
        let nodes = [(0, 2), (2, 0), (10, 0)].map(|(number, connections)| crate::model::Node {
            name: fixtures::core(number),
            running: true,
            connections: Some(connections),
            sessions: Some(connections),
            ..crate::model::Node::default()
        });
        let world = World::of([
            fixtures::fact(0, Update::Upserted(Object::Instance(Box::new(fixtures::instance(api))))),
            fixtures::answer(0, BrokerUpdate::Nodes(nodes.to_vec())),
        ]);
        let participants =
            participants(&snapshot(&world, &fixtures::id(api), fixtures::at(1))).expect("counts");
        let names: Vec<&NodeName> = participants.iter().map(|node| &node.node).collect();
        assert_eq!(names, [&fixtures::core(0), &fixtures::core(10), &fixtures::core(2)]);
        let strategy = Strategy { conn_evict_rate: 1, abs_conn_threshold: 1, ..fixtures::strategy() };
        let plan = forecast(None, &participants, &strategy, Return::default());
        let after: Vec<u64> = plan.nodes.iter().map(|node| node.connections_after).collect();
        assert_eq!(after, [1, 1, 0], "the one client goes to core 10, not to core 2");
    }

    fn ids(plan: &RebalancePlan) -> Vec<&str> {
        plan.findings.iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn the_documented_run_through_the_object_is_warned_of_failed() {
        let world = world(ApiVersion::V2beta1, &[3333, 3333, 3334, 0], EvictionStatus::default());
        let plan = planned(&world, ApiVersion::V2beta1, Backend::Rebalance, None);
        assert_eq!(plan.decision, Decision::Go);
        assert_eq!(ids(&plan), ["few-recipients", "operator-will-report-failed", "short-health-check"]);
        let through_emqx = planned(&world, ApiVersion::V2beta1, Backend::Emqx, None);
        assert!(!ids(&through_emqx).contains(&"operator-will-report-failed"));
    }

    #[test]
    fn on_v1beta4_the_phase_will_be_the_truth() {
        let world = world(ApiVersion::V1beta4, &[3333, 3333, 3334, 0], EvictionStatus::default());
        let plan = planned(&world, ApiVersion::V1beta4, Backend::Rebalance, None);
        assert!(!ids(&plan).contains(&"operator-will-report-failed"));
    }

    #[test]
    fn a_second_rebalance_is_refused_and_the_first_is_named() {
        let world = world(ApiVersion::V2beta1, &[3333, 3333, 3334, 0], fixtures::load("evicting_conns"));
        let plan = planned(&world, ApiVersion::V2beta1, Backend::Rebalance, None);
        assert_eq!(plan.decision, Decision::Refused);
        assert!(plan.message.contains("coordinator/emqx@emqx-core-0"), "{}", plan.message);
    }

    #[test]
    fn a_failed_object_is_still_the_name_of_what_emqx_runs() {
        let mut world = world(ApiVersion::V2beta1, &[3333, 3333, 3334, 0], fixtures::load("evicting_conns"));
        world.apply(fixtures::rebalance("golden", Phase::Failed, |it| it.processed = true));
        let plan = planned(&world, ApiVersion::V2beta1, Backend::Rebalance, None);
        assert_eq!(plan.message, "a rebalance is already running: golden");
    }

    #[test]
    fn a_taken_name_is_refused_also_while_it_is_deleted() {
        let mut world = world(ApiVersion::V2beta1, &[3333, 3333, 3334, 0], EvictionStatus::default());
        world.apply(fixtures::rebalance("old", Phase::Completed, |it| it.deleting = Some(fixtures::at(0))));
        let plan = planned(&world, ApiVersion::V2beta1, Backend::Rebalance, Some("old"));
        assert!(plan.message.contains("is still being deleted"), "{}", plan.message);
    }

    #[test]
    fn an_unready_instance_is_refused_for_the_object_only() {
        let mut world = world(ApiVersion::V2beta1, &[3333, 3333, 3334, 0], EvictionStatus::default());
        let mut instance = fixtures::instance(ApiVersion::V2beta1);
        instance.conditions[0].status = "False".into();
        world.apply(fixtures::fact(1, Update::Upserted(Object::Instance(Box::new(instance)))));
        let plan = planned(&world, ApiVersion::V2beta1, Backend::Rebalance, None);
        assert_eq!(plan.decision, Decision::Refused);
        assert_eq!(planned(&world, ApiVersion::V2beta1, Backend::Emqx, None).decision, Decision::Go);
    }

    #[test]
    fn a_stopped_core_and_an_empty_cluster_are_refused() {
        let mut world = world(ApiVersion::V2beta1, &[3333, 3333, 3334, 0], EvictionStatus::default());
        let mut nodes = fixtures::nodes(&[3333, 3333, 3334, 0]);
        nodes[3].running = false;
        nodes[3].connections = None;
        world.apply(fixtures::answer(1, BrokerUpdate::Nodes(nodes)));
        let plan = planned(&world, ApiVersion::V2beta1, Backend::Rebalance, None);
        assert_eq!(plan.findings[0].id, "membership");

        world.apply(fixtures::answer(2, BrokerUpdate::Nodes(Vec::new())));
        let plan = planned(&world, ApiVersion::V2beta1, Backend::Rebalance, None);
        assert_eq!(plan.findings[0].id, "too-few-nodes");
    }

    #[test]
    fn names_of_now_are_not_taken() {
        let world = world(ApiVersion::V2beta1, &[3333, 3333, 3334, 0], EvictionStatus::default());
        let name = manifest::name("emqx", fixtures::at(5));
        let plan = planned(&world, ApiVersion::V2beta1, Backend::Rebalance, Some(&name));
        assert_eq!(plan.decision, Decision::Go);
    }
}
