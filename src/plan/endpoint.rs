//! How EMQX can be reached: through which pods, at which port, by which of its two APIs.

use super::upgrade::revisions::UpgradeRevisions;
use crate::model::{
    ApiPort, ApiVersion, Instance, InstanceId, Link, Pod, PodName, Role, Source, Target, World,
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

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::model::{BrokerUpdate, Node, Object, Owner, Set, Update};

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
