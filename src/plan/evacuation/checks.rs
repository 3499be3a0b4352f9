//! The checks before an evacuation: refusals and warnings.

use super::super::cluster_checks::{no_rebalance_api, nowhere_to_go};
use super::super::snapshot::{Snapshot, SourceState};
use super::{EvacuationPlan, Recipients, Settings, counted, forecast, recipients};
use crate::error::Problem;
use crate::model::human::{MAX_NODES_NAMED, first_names, plural};
use crate::model::{
    ApiVersion, BrokerState, Instance, NodeName, OperatorLine, RunningRebalance, Source, World,
};
use crate::plan::evacuation::waits_for_health_check;
use crate::plan::finding;
use crate::plan::finding::{Finding, Severity};
use crate::plan::stored_removal::unfinished_removal;

/// Which command evacuates nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvacuatedBy<'a> {
    /// `evacuate`, for which a drain or a scale that is not finished is a finding.
    Evacuate,
    /// A drain or a scale of these nodes, which has a check of its own for one that is not finished. Those of its nodes that
    /// are evacuated already are not another evacuation.
    Removal(&'a [NodeName]),
}

/// The forecast for these nodes as the cluster is now, with what the checks find.
pub(crate) fn plan(
    world: &World,
    snapshot: &Snapshot,
    nodes: &[NodeName],
    settings: &Settings,
    skip: &[String],
    by: EvacuatedBy<'_>,
) -> Result<EvacuationPlan, Problem> {
    let id = &snapshot.instance;
    let instance = world.instance(id).ok_or_else(|| Problem::new(format!("{id} is deleted"), ""))?;
    let broker = world.broker(id);
    let answered =
        snapshot.source(Source::Emqx) == SourceState::Ok && broker.load.is_some() && broker.nodes.is_some();
    if !answered {
        let why = snapshot.sources.get(&Source::Emqx).and_then(|age| age.why.clone());
        return Err(Problem::new(
            format!("cannot plan an evacuation of {id}"),
            why.unwrap_or_else(|| "EMQX does not answer".to_owned()),
        )
        .hint("let EMQX be reached: --emqx-url and --api-key-file, or the permissions that `kubectl emqx status` names"));
    }
    known_targets(broker, settings, nodes)?;
    let running: Vec<_> = nodes.iter().filter_map(|node| counted(world, snapshot, node)).collect();
    let to = recipients(world, snapshot, nodes, settings);
    let mut plan = forecast(id.clone(), &running, &to, settings, waits_for_health_check(world, instance));
    let own = if let EvacuatedBy::Removal(own) = by { own } else { nodes };
    let mut found = findings(world, snapshot, instance, (nodes, own), settings, &to);
    if by == EvacuatedBy::Evacuate {
        found.extend(unfinished_removal(world, &snapshot.instance));
    }
    finding::skip(&mut found, skip);
    plan.judge(found);
    Ok(plan)
}

/// `--migrate-to` has to name nodes of this cluster, and others than those that are evacuated.
fn known_targets(broker: &BrokerState, settings: &Settings, nodes: &[NodeName]) -> Result<(), Problem> {
    let all = broker.listed();
    for target in &settings.migrate_to {
        if nodes.contains(target) {
            return Err(Problem::usage(
                format!("--migrate-to names {target}, which is evacuated"),
                "its sessions have to go to another node",
            )
            .hint("leave --migrate-to out: then every other running node takes sessions"));
        }
        if !all.iter().any(|node| node.name == *target) {
            return Err(Problem::new(format!("--migrate-to: there is no EMQX node {target}"), "")
                .hint("kubectl emqx nodes lists the nodes"));
        }
    }
    Ok(())
}

fn findings(
    world: &World,
    snapshot: &Snapshot,
    instance: &Instance,
    (nodes, own): (&[NodeName], &[NodeName]),
    settings: &Settings,
    to: &Recipients,
) -> Vec<Finding> {
    let broker = world.broker(&instance.id);
    let mut found = Vec::new();
    found.extend(no_rebalance_api(world, snapshot));
    found.extend(not_running(broker, nodes));
    found.extend(already_running(broker, nodes));
    found.extend(stopped_targets(broker, settings));
    found.extend(too_few(snapshot, to, nodes));
    found.extend(others_evacuated(world, snapshot, own, to));
    found.extend(nowhere_to_go(instance, snapshot, nodes));
    found.extend(few_recipients(to, nodes));
    found.extend(not_ready(instance));
    found.extend(operator_ends_it(world, instance));
    found.extend(durable_sessions(world, instance));
    found
}

fn not_running(broker: &BrokerState, nodes: &[NodeName]) -> Option<Finding> {
    let all = broker.listed();
    let down = nodes.iter().find(|name| !all.iter().any(|node| node.name == **name && node.running))?;
    Some(
        Finding::blocked(
            "node-not-running",
            format!("EMQX node {down} does not run: there is nothing to evacuate"),
        )
        .hint("kubectl emqx nodes shows which nodes run"),
    )
}

fn already_running(broker: &BrokerState, nodes: &[NodeName]) -> Option<Finding> {
    let load = &broker.load.as_ref()?.value;
    if let Some(purge) = load.purges.first() {
        return Some(Finding::blocked(
            "purge-running",
            format!("EMQX purges its sessions (on {purge}): all nodes refuse clients"),
        ));
    }
    if let Some(entry) = load.evacuations.iter().find(|entry| nodes.contains(&entry.node)) {
        let message = format!("{} is being evacuated already ({})", entry.node, entry.state);
        return Some(
            Finding::blocked("already-running", message)
                .hint(format!("kubectl emqx evacuate watch {}", entry.node)),
        );
    }
    let of = |entry: &&RunningRebalance| {
        nodes.iter().any(|node| entry.donors.contains(node) || entry.recipients.contains(node))
    };
    let entry = load.rebalances.iter().find(of).or_else(|| load.rebalances.first())?;
    let part = nodes.iter().find_map(|node| {
        (entry.donors.contains(node).then_some((node, "a donor")))
            .or(entry.recipients.contains(node).then_some((node, "a recipient")))
    });
    let role = part.map_or_else(String::new, |(node, part)| format!(", in which {} is {part}", node.short()));
    Some(
        Finding::blocked(
            "already-running",
            format!(
                "EMQX runs a rebalance, coordinated by {}{role}: its clients would be disconnected twice",
                entry.coordinator
            ),
        )
        .hint(format!("kubectl emqx rebalance stop coordinator/{}", entry.coordinator)),
    )
}

fn too_few(snapshot: &Snapshot, to: &Recipients, nodes: &[NodeName]) -> Option<Finding> {
    if !to.clients.is_empty() && !to.sessions.is_empty() {
        return None;
    }
    let running = snapshot.participants().len();
    let message = if to.clients.is_empty() && nodes.len() >= running {
        format!(
            "no EMQX node would remain: {} of {running} that serve clients would be evacuated",
            nodes.len().min(running)
        )
    } else if to.clients.is_empty() {
        "no other EMQX node can take the clients: the others are donors, or being evacuated".to_owned()
    } else {
        "no other EMQX node can take the sessions".to_owned()
    };
    Some(
        Finding::blocked("too-few-nodes", message).hint("kubectl emqx nodes shows which nodes serve clients"),
    )
}

fn stopped_targets(broker: &BrokerState, settings: &Settings) -> Option<Finding> {
    let all = &broker.nodes.as_ref()?.value;
    let down = |name: &&NodeName| all.iter().any(|node| node.name == **name && !node.running);
    let target = settings.migrate_to.iter().find(down)?;
    Some(Finding::blocked(
        "migrate-to",
        format!("--migrate-to names {target}, which does not run: EMQX would refuse"),
    ))
}

/// Nodes other than `own` that are evacuated: fewer than half of the nodes would serve clients.
fn others_evacuated(
    world: &World,
    snapshot: &Snapshot,
    own: &[NodeName],
    to: &Recipients,
) -> Option<Finding> {
    let load = &world.broker(&snapshot.instance).load.as_ref()?.value;
    let others: Vec<&NodeName> =
        load.evacuations.iter().map(|entry| &entry.node).filter(|node| !own.contains(node)).collect();
    let first = *others.first()?;
    let running = snapshot.participants().len();
    let remain = to.clients.len();
    let names: Vec<&str> = others.iter().map(|node| node.short()).collect();
    let message = format!(
        "{} being evacuated already ({}): {remain} of {} would take clients",
        if others.len() == 1 {
            "another node is".to_owned()
        } else {
            format!("{} other nodes are", others.len())
        },
        first_names(&names, MAX_NODES_NAMED),
        plural(running as u64, "node"),
    );
    let severity = if remain * 2 < running { Severity::Blocked } else { Severity::Warning };
    Some(
        Finding::new("evacuation-running", severity, message)
            .hint(format!("kubectl emqx evacuate stop {first} lets that node serve again")),
    )
}

/// Fewer than a third of the nodes that serve clients would receive all clients of the evacuated nodes.
fn few_recipients(to: &Recipients, nodes: &[NodeName]) -> Option<Finding> {
    let (few, all) = (to.clients.len(), to.clients.len() + nodes.len());
    (few > 0 && few * 3 < all).then(|| {
        let message = format!("{few} of {} would take all clients", plural(all as u64, "node"));
        Finding::warning("few-recipients", message)
            .hint("a lower --conn-evict-rate spreads the reconnects over more time; or evacuate fewer nodes at once")
    })
}

fn not_ready(instance: &Instance) -> Option<Finding> {
    if instance.standalone {
        return None;
    }
    let message = if instance.deleting.is_some() {
        format!("{} is being deleted", instance.id)
    } else if instance.upgrading() {
        format!("{} is being upgraded: the operator evacuates its nodes itself", instance.id)
    } else {
        return None;
    };
    Some(
        Finding::blocked("instance-not-ready", message)
            .hint(format!("kubectl emqx status {}", instance.id.name)),
    )
}

/// Operator 3.x stops every evacuation of a node that is up to date at its next reconcile.
fn operator_ends_it(world: &World, instance: &Instance) -> Option<Finding> {
    let ends = world.kubernetes.served.operator == OperatorLine::Three
        && instance.api == ApiVersion::V3beta1
        && !instance.standalone
        && !instance.paused();
    ends.then(|| {
        let message = "operator 3.x ends an evacuation that it did not start, at its next reconcile";
        let id = &instance.id;
        Finding::blocked("operator-ends-evacuation", message).hint(format!(
            "pause the operator first: kubectl annotate emqx {} -n {} apps.emqx.io/paused=true; remove the annotation afterwards",
            id.name, id.namespace
        ))
    })
}

/// Durable sessions cannot be moved by an evacuation, which then never ends.
fn durable_sessions(world: &World, instance: &Instance) -> Option<Finding> {
    let nodes = &world.broker(&instance.id).nodes.as_ref()?.value;
    let offline: Vec<u64> = nodes
        .iter()
        .filter(|node| node.running)
        .filter_map(|node| Some(node.sessions?.saturating_sub(node.connections?)))
        .collect();
    let same = offline.len() > 1 && offline[0] > 0 && offline.iter().all(|number| *number == offline[0]);
    if !instance.durable_sessions && !same {
        return None;
    }
    let why = if instance.durable_sessions {
        "durable sessions are enabled".to_owned()
    } else {
        format!(
            "every node counts the same {} without a client, as durable sessions are counted",
            plural(offline[0], "session")
        )
    };
    Some(
        Finding::warning(
            "durable-sessions",
            format!("{why}: an evacuation cannot move them and may never finish evicting_sessions"),
        )
        .hint("evacuate stop ends it; the clients have moved by then"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::super::super::snapshot::snapshot;
    use super::*;
    use crate::model::{
        BrokerUpdate, Condition, Evacuation, EvictionStatus, Link, Object, Source, Stage, Update,
    };
    use crate::plan::finding::Decision;

    fn node(number: usize) -> NodeName {
        fixtures::nodes(&[0; 6])[number].name.clone()
    }

    fn entry(number: usize) -> Evacuation {
        Evacuation {
            node: node(number),
            stage: Stage::EvictingConns,
            state: "evicting_conns".into(),
            recipients: Vec::new(),
            conn_evict_rate: Some(10),
            sess_evict_rate: Some(10),
            initial_connections: Some(10),
            connections: Some(5),
            initial_sessions: Some(10),
            sessions: Some(10),
        }
    }

    fn world(api: ApiVersion, counts: &[u64], load: EvictionStatus) -> World {
        let mut world = World::of([fixtures::fact(
            0,
            Update::Upserted(Object::Instance(Box::new(fixtures::instance(api)))),
        )]);
        world.apply(fixtures::answer_of(api, 0, BrokerUpdate::Nodes(fixtures::nodes(counts))));
        world.apply(fixtures::answer_of(api, 0, BrokerUpdate::Evictions(load)));
        world
    }

    fn planned(
        world: &World,
        api: ApiVersion,
        nodes: &[usize],
        settings: &Settings,
        skip: &[&str],
    ) -> EvacuationPlan {
        let nodes: Vec<NodeName> = nodes.iter().map(|number| node(*number)).collect();
        let skip: Vec<String> = skip.iter().map(|id| (*id).to_owned()).collect();
        plan(
            world,
            &snapshot(world, &fixtures::id(api), fixtures::at(1)),
            &nodes,
            settings,
            &skip,
            EvacuatedBy::Evacuate,
        )
        .expect("a plan")
    }

    fn refused(plan: &EvacuationPlan) -> Option<&str> {
        let blocked = |it: &&Finding| it.severity == Severity::Blocked;
        (plan.decision == Decision::Refused)
            .then(|| plan.findings.iter().find(blocked).map_or("", |it| it.id))
    }

    /// Three nodes with their pods; `ready` of the second and third. Endpoints may not be read.
    fn with_pods(ready: [bool; 2]) -> World {
        let mut world = world(ApiVersion::V2, &[100, 100, 100], EvictionStatus::default());
        world.apply(fixtures::fact(0, Update::Link(Source::Pods, "pods", Link::Up)));
        let forbidden = Link::Forbidden("user u may not list endpointslices".into());
        world.apply(fixtures::fact(0, Update::Link(Source::Endpoints, "endpointslices", forbidden)));
        for (number, ready) in [true, ready[0], ready[1]].into_iter().enumerate() {
            let pod = fixtures::pod(&format!("emqx-core-{number}"), |pod| pod.ready = ready);
            world.apply(fixtures::is_pod(pod));
        }
        world
    }

    #[test]
    fn other_nodes_that_are_evacuated_are_named_and_the_node_itself_is_not_counted() {
        let load =
            EvictionStatus { evacuations: vec![entry(0), entry(1), entry(2)], ..EvictionStatus::default() };
        let world = world(ApiVersion::V2, &[100; 6], load);
        let plan = planned(&world, ApiVersion::V2, &[0], &Settings::default(), &[]);
        let found = plan.findings.iter().find(|it| it.id == "evacuation-running").expect("it is found");
        assert!(
            found
                .message
                .starts_with("2 other nodes are being evacuated already (emqx-core-1, emqx-core-2):"),
            "{found:?}"
        );
    }

    #[test]
    fn an_evacuation_whose_recipients_are_not_in_the_service_is_refused() {
        let of = |ready, skip: &[&str]| {
            let plan = planned(&with_pods(ready), ApiVersion::V2, &[0], &Settings::default(), skip);
            refused(&plan).map(str::to_owned)
        };
        assert_eq!(of([false, false], &[]).as_deref(), Some("recipients-not-serving"));
        assert_eq!(of([true, false], &[]), None, "one serves");
        assert_eq!(of([false, false], &["recipients-not-serving"]), None);
    }

    #[test]
    fn where_neither_endpoints_nor_pods_may_be_listed_an_evacuation_is_not_refused_and_that_is_reported() {
        let mut world = world(ApiVersion::V2, &[100, 100, 100], EvictionStatus::default());
        for (source, resource) in [(Source::Pods, "pods"), (Source::Endpoints, "endpointslices")] {
            let forbidden = Link::Forbidden(format!("user u may not list {resource}"));
            world.apply(fixtures::fact(0, Update::Link(source, resource, forbidden)));
        }
        let plan = planned(&world, ApiVersion::V2, &[0], &Settings::default(), &[]);
        assert_eq!(refused(&plan), None);
        let finding =
            plan.findings.iter().find(|it| it.id == "recipients-not-serving").expect("it is reported");
        assert!(
            finding.severity == Severity::Info && finding.message.contains("is not known"),
            "{finding:?}"
        );
    }

    #[test]
    fn one_of_several_nodes_can_be_evacuated() {
        let world = world(ApiVersion::V2, &[100, 100, 100], EvictionStatus::default());
        let plan = planned(&world, ApiVersion::V2, &[0], &Settings::default(), &[]);
        assert_eq!((refused(&plan), plan.recipients.len()), (None, 2));
        assert_eq!(plan.recipients[0].connections_after, 150);
    }

    #[test]
    fn the_last_node_all_nodes_and_the_only_node_are_refused_and_cannot_be_skipped() {
        for (counts, nodes) in [(&[100_u64][..], &[0_usize][..]), (&[1, 2, 3], &[0, 1, 2])] {
            let world = world(ApiVersion::V2, counts, EvictionStatus::default());
            let plan = planned(&world, ApiVersion::V2, nodes, &Settings::default(), &["evacuation-running"]);
            assert_eq!(refused(&plan), Some("too-few-nodes"));
        }
        let load = EvictionStatus { evacuations: vec![entry(1), entry(2)], ..EvictionStatus::default() };
        let world = world(ApiVersion::V2, &[1, 0, 0], load);
        assert_eq!(
            refused(&planned(&world, ApiVersion::V2, &[0], &Settings::default(), &[])),
            Some("too-few-nodes")
        );
    }

    #[test]
    fn a_node_of_a_running_rebalance_is_refused_also_as_a_recipient() {
        let world = world(ApiVersion::V2, &[3333, 3333, 3334, 0], fixtures::load("evicting_conns"));
        for number in [0, 3] {
            let plan = planned(&world, ApiVersion::V2, &[number], &Settings::default(), &[]);
            assert_eq!(refused(&plan), Some("already-running"), "{number}");
        }
    }

    #[test]
    fn a_second_evacuation_is_refused_where_fewer_than_half_of_the_nodes_would_remain() {
        let load = EvictionStatus { evacuations: vec![entry(1)], ..EvictionStatus::default() };
        let few = world(ApiVersion::V2, &[1, 1, 1], load.clone());
        assert_eq!(
            refused(&planned(&few, ApiVersion::V2, &[0], &Settings::default(), &[])),
            Some("evacuation-running")
        );
        let plan = planned(&few, ApiVersion::V2, &[0], &Settings::default(), &["evacuation-running"]);
        assert_eq!(refused(&plan), None);
        let many = world(ApiVersion::V2, &[1, 1, 1, 1], load.clone());
        assert_eq!(refused(&planned(&many, ApiVersion::V2, &[0], &Settings::default(), &[])), None);
        assert_eq!(
            refused(&planned(&many, ApiVersion::V2, &[1], &Settings::default(), &[])),
            Some("already-running")
        );
    }

    #[test]
    fn operator_3_would_end_it_unless_it_is_paused() {
        let mut world = world(ApiVersion::V3beta1, &[1, 1, 1], EvictionStatus::default());
        world.kubernetes.served.operator = OperatorLine::Three;
        let plan = planned(&world, ApiVersion::V3beta1, &[0], &Settings::default(), &[]);
        assert_eq!(refused(&plan), Some("operator-ends-evacuation"));
        assert!(
            plan.findings
                .iter()
                .any(|it| it.hint.as_deref().is_some_and(|hint| hint.contains("apps.emqx.io/paused=true")))
        );
        let mut instance = fixtures::instance(ApiVersion::V3beta1);
        instance.conditions.push(Condition {
            kind: "Paused".into(),
            status: "True".into(),
            ..Condition::default()
        });
        world.apply(fixtures::fact(1, Update::Upserted(Object::Instance(Box::new(instance)))));
        assert_eq!(refused(&planned(&world, ApiVersion::V3beta1, &[0], &Settings::default(), &[])), None);
    }

    #[test]
    fn sessions_cannot_go_to_the_node_itself_to_an_unknown_or_to_a_stopped_one() {
        let mut nodes = fixtures::nodes(&[1, 1, 1]);
        nodes[2].running = false;
        nodes[2].stopped = true;
        let mut world = world(ApiVersion::V2, &[1, 1, 1], EvictionStatus::default());
        world.apply(fixtures::answer(1, BrokerUpdate::Nodes(nodes)));
        let to = |name: NodeName| Settings { migrate_to: vec![name], ..Settings::default() };
        let snapshot = snapshot(&world, &fixtures::id(ApiVersion::V2), fixtures::at(2));
        let of =
            |settings: &Settings| plan(&world, &snapshot, &[node(0)], settings, &[], EvacuatedBy::Evacuate);
        assert_eq!(of(&to(node(0))).expect_err("itself").exit, crate::error::Exit::Usage);
        assert_eq!(of(&to("emqx@nowhere".into())).expect_err("unknown").exit, crate::error::Exit::Error);
        assert_eq!(refused(&of(&to(node(2))).expect("a plan")), Some("migrate-to"));
        assert_eq!(refused(&of(&to(node(1))).expect("a plan")), None);
        let down = plan(&world, &snapshot, &[node(2)], &Settings::default(), &[], EvacuatedBy::Evacuate)
            .expect("a plan");
        assert_eq!(refused(&down), Some("node-not-running"));
    }

    #[test]
    fn few_nodes_that_take_all_clients_are_a_warning() {
        let world = world(ApiVersion::V2, &[100, 100, 100, 100], EvictionStatus::default());
        let found = |nodes: &[usize], skip: &[&str]| {
            let plan = planned(&world, ApiVersion::V2, nodes, &Settings::default(), skip);
            assert_eq!(refused(&plan), None);
            plan.findings.iter().any(|it| it.id == "few-recipients")
        };
        assert!(found(&[0, 1, 2], &[]));
        assert!(!found(&[0, 1, 2], &["few-recipients"]));
        assert!(!found(&[0, 1], &[]));
    }

    #[test]
    fn durable_sessions_are_named() {
        let mut nodes = fixtures::nodes(&[5, 6, 7]);
        for node in &mut nodes {
            node.sessions = node.connections.map(|own| own + 40);
        }
        let mut world = world(ApiVersion::V2, &[1, 1, 1], EvictionStatus::default());
        world.apply(fixtures::answer(1, BrokerUpdate::Nodes(nodes)));
        let plan = planned(&world, ApiVersion::V2, &[0], &Settings::default(), &[]);
        assert_eq!(refused(&plan), None);
        assert!(
            plan.findings
                .iter()
                .any(|it| it.id == "durable-sessions" && it.message.contains("same 40 sessions"))
        );
    }
}
