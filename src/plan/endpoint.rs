//! How EMQX can be reached: through which pods, at which port, by which of its two APIs; and which backend
//! drives a rebalance.

use super::operator::{Evidence, OperatorProcess};
use super::upgrade::revisions::UpgradeRevisions;
use crate::error::Problem;
use crate::model::{
    ApiPort, ApiVersion, Backend, BackendRequest, Instance, InstanceId, InstanceKind, Link, OperatorLine,
    Pod, PodName, Role, Served, Source, Target, World,
};

/// The pods to ask: ready cores first, the oldest first, as the operator does. Every node can answer for the
/// cluster, so cores that are not ready come next. Replicants are never asked: their dashboard may be off.
pub(crate) fn target(world: &World, instance: &Instance) -> Target {
    let v4 = instance.api == ApiVersion::V1beta4;
    let mut pods: Vec<&Pod> =
        world.pods_of(&instance.id).filter(|pod| pod.role != Some(Role::Replicant) && pod.runs()).collect();
    // An upgrade removes the old pods: new ones come first, as soon as EMQX lists them as running.
    let revisions = UpgradeRevisions::under_way(world, &instance.id);
    let stays = |pod: &Pod| {
        let new = revisions.as_ref().is_none_or(|revisions| {
            revisions.new.iter().any(|member| member.running && member.pod.uid == pod.uid)
        });
        new && pod.containers_ready
    };
    pods.sort_by_key(|pod| (!stays(pod), !pod.containers_ready, pod.created, pod.name.clone()));
    let default = if v4 { ApiPort::V4 } else { ApiPort::V5 };
    let port = match instance.api {
        // 3.x names the container port; the port of the configuration is used only where it does not.
        ApiVersion::V3beta1 => pods.iter().find_map(|pod| pod.api_port).or(instance.api_port),
        _ => instance.api_port,
    };
    let hidden = match world.kubernetes.sources.get(&(Source::Pods, "pods")).map(|source| &source.link) {
        Some(Link::Forbidden(why)) => Some(why.clone()),
        _ => None,
    };
    let running = world.pods_of(&instance.id).filter(|pod| pod.runs());
    Target {
        instance: instance.id.clone(),
        addressed: running.flat_map(|pod| pod.ips.iter().map(|ip| (*ip, pod.name.clone()))).collect(),
        pods: pods.into_iter().map(|pod| pod.name.clone()).collect(),
        hidden,
        port: port.unwrap_or(default),
        v4,
    }
}

/// Whether EMQX is to be asked through another pod: the present pod is being removed, or an upgrade started a
/// better one.
pub(crate) fn moved(world: &World, present: &Target, target: &Target) -> bool {
    match (present.pods.first(), target.pods.first()) {
        (Some(asked), Some(better)) => {
            let gone = !target.pods.contains(asked);
            gone || !present.pods.contains(better) || outlives(world, &target.instance, better, asked)
        }
        (None, Some(_)) => true,
        _ => false,
    }
}

/// Whether an upgrade removes the pod that is asked, and not the better one.
fn outlives(world: &World, id: &InstanceId, better: &PodName, asked: &PodName) -> bool {
    let Some(revisions) = UpgradeRevisions::under_way(world, id) else { return false };
    let old = |name: &PodName| revisions.old.iter().any(|member| member.pod.name == *name);
    old(asked) && !old(better)
}

/// Who drives a rebalance of this instance, and why. `process` is what the operator's Lease shows, where it may be read.
pub(crate) fn backend(
    asked: BackendRequest,
    served: &Served,
    instance: &Instance,
    process: Option<Evidence>,
) -> Result<(Backend, String), Problem> {
    if instance.id.kind == InstanceKind::EmqxBroker {
        return Err(Problem::refused(
            format!("cannot rebalance {}", instance.id),
            "EMQX open source 4 has no rebalance; it came with the Enterprise edition",
        ));
    }
    let object = object_served(served, instance);
    let gone = process.filter(|it| it.process == OperatorProcess::Gone).map(Evidence::cause);
    match (asked, object) {
        (BackendRequest::Emqx, _) => Ok((Backend::Emqx, "as asked with --backend emqx".to_owned())),
        (BackendRequest::Rebalance, Err(why)) => Err(Problem::new("cannot create a Rebalance", why)
            .hint(format!("kubectl emqx rebalance apply {} --backend emqx", instance.id.name))),
        (BackendRequest::Rebalance, Ok(why)) => Ok((
            Backend::Rebalance,
            match gone {
                Some(gone) => format!("{why}, but {gone}"),
                None => why,
            },
        )),
        (BackendRequest::Auto, Ok(why)) => Ok(match gone {
            Some(gone) => (Backend::Emqx, gone),
            None => (Backend::Rebalance, why),
        }),
        (BackendRequest::Auto, Err(why)) => Ok((Backend::Emqx, why)),
    }
}

/// Whether an operator is there that takes a Rebalance of this instance; the reason either way.
fn object_served(served: &Served, instance: &Instance) -> Result<String, String> {
    if instance.standalone {
        return Err("Kubernetes has no EMQX object for it".to_owned());
    }
    if served.version_of("rebalances").is_none() {
        return Err(match served.operator {
            OperatorLine::Three => "operator 3.x has no Rebalance kind".to_owned(),
            OperatorLine::None => "no EMQX Operator serves this cluster".to_owned(),
            _ => "the kind Rebalance is not served here".to_owned(),
        });
    }
    if served.version_of("rebalances") == Some("v1beta4") && instance.id.kind != InstanceKind::EmqxEnterprise
    {
        return Err(
            "the kind Rebalance is served in v1beta4 alone, which can only name an EmqxEnterprise".to_owned()
        );
    }
    if instance.api == ApiVersion::V1beta4 && served.operator != OperatorLine::Two2 {
        return Err(format!("operator {} does not manage EmqxEnterprise v1beta4", served.operator));
    }
    Ok(format!("operator {} serves the kind Rebalance", served.operator))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::model::{BrokerUpdate, Node, Object, Owner, Set, Update};

    fn served(operator: OperatorLine, rebalance: bool) -> Served {
        let kinds = if rebalance { vec![("rebalances".into(), "v2beta1".into())] } else { Vec::new() };
        Served { operator, kinds, ..Served::default() }
    }

    #[test]
    fn no_object_is_created_for_an_operator_whose_process_stopped() {
        let emqx = fixtures::instance(ApiVersion::V2beta1);
        let of = |asked, process| {
            let evidence = Evidence { process, lease_seconds: 600 };
            backend(asked, &served(OperatorLine::Two2, true), &emqx, Some(evidence)).expect("a backend")
        };
        let (driven, why) = of(BackendRequest::Auto, OperatorProcess::Gone);
        assert_eq!(driven, Backend::Emqx);
        assert_eq!(why, "the operator's process is gone: its Lease was last renewed 10m ago");
        let (driven, why) = of(BackendRequest::Rebalance, OperatorProcess::Gone);
        assert_eq!(driven, Backend::Rebalance, "as asked");
        assert!(why.contains("but the operator's process is gone"), "{why}");
        assert_eq!(of(BackendRequest::Auto, OperatorProcess::Running).0, Backend::Rebalance);
    }

    #[test]
    fn the_object_is_used_where_an_operator_takes_it() {
        let emqx = fixtures::instance(ApiVersion::V2beta1);
        let (backend, _) =
            backend(BackendRequest::Auto, &served(OperatorLine::Two2, true), &emqx, None).expect("a backend");
        assert_eq!(backend, Backend::Rebalance);
    }

    #[test]
    fn without_the_kind_emqx_is_driven_and_the_object_is_an_error() {
        let emqx = fixtures::instance(ApiVersion::V3beta1);
        let served = served(OperatorLine::Three, false);
        let (driven, why) = backend(BackendRequest::Auto, &served, &emqx, None).expect("a backend");
        assert_eq!((driven, why.as_str()), (Backend::Emqx, "operator 3.x has no Rebalance kind"));
        let refused = backend(BackendRequest::Rebalance, &served, &emqx, None).expect_err("not served");
        assert_eq!(refused.exit, crate::error::Exit::Error);
    }

    #[test]
    fn an_old_enterprise_object_under_a_new_operator_has_no_operator() {
        let old = fixtures::instance(ApiVersion::V1beta4);
        let (driven, _) =
            backend(BackendRequest::Auto, &served(OperatorLine::Two3, true), &old, None).expect("a backend");
        assert_eq!(driven, Backend::Emqx);
    }

    #[test]
    fn in_an_upgrade_emqx_is_asked_through_a_new_pod_as_soon_as_emqx_lists_it() {
        let mut emqx = fixtures::instance(ApiVersion::V2beta1);
        (emqx.core_revisions.current, emqx.core_revisions.update) = (Some("a".into()), Some("b".into()));
        let world = |running: bool| {
            let mut world = World::new();
            world.apply(fixtures::fact(0, Update::Upserted(Object::Instance(Box::new(emqx.clone())))));
            for revision in ["a", "b"] {
                let set = Set {
                    namespace: "mq".into(),
                    name: format!("emqx-core-{revision}"),
                    uid: revision.into(),
                    instance: Some("emqx".into()),
                    replicas: 1,
                    revision: Some(revision.into()),
                    ..Set::default()
                };
                world.apply(fixtures::fact(0, Update::Upserted(Object::Set(Box::new(set)))));
                world.apply(fixtures::is_pod(fixtures::pod(&format!("emqx-core-{revision}-0"), |pod| {
                    pod.containers_ready = true;
                    pod.owner = Some(Owner {
                        kind: "StatefulSet".into(),
                        name: format!("emqx-core-{revision}"),
                        uid: revision.into(),
                    });
                })));
            }
            let node = |revision: &str| Node {
                name: format!("emqx@emqx-core-{revision}-0.emqx-headless.mq.svc.cluster.local").into(),
                running: true,
                ..Node::default()
            };
            let nodes = if running { vec![node("a"), node("b")] } else { vec![node("a")] };
            world.apply(fixtures::answer(1, BrokerUpdate::Nodes(nodes)));
            world
        };
        let before = target(&world(false), &emqx);
        assert_eq!(before.pods[0].as_str(), "emqx-core-a-0", "a new pod may not be in the cluster yet");
        let after = target(&world(true), &emqx);
        assert_eq!(after.pods[0].as_str(), "emqx-core-b-0");
        assert!(!moved(&world(false), &before, &before));
        let late = Target { pods: before.pods[..1].to_vec(), ..before.clone() };
        assert!(moved(&world(true), &late, &after));
        assert!(moved(&world(true), &before, &after), "the new pod was known, but not yet in the cluster");
        assert!(!moved(&world(true), &after, &after));
    }

    #[test]
    fn ready_cores_come_first_and_replicants_never() {
        let emqx = fixtures::instance(ApiVersion::V2);
        let mut world = World::new();
        world.apply(fixtures::is_pod(fixtures::pod("core-0", |pod| pod.containers_ready = false)));
        world.apply(fixtures::is_pod(fixtures::pod("core-1", |pod| pod.containers_ready = true)));
        world.apply(fixtures::is_pod(fixtures::pod("repl-0", |pod| pod.role = Some(Role::Replicant))));
        let names: Vec<String> =
            target(&world, &emqx).pods.iter().map(|pod| pod.as_str().to_owned()).collect();
        assert_eq!(names, ["core-1", "core-0"]);
    }
}
