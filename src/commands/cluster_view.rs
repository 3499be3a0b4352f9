//! Reading a cluster: discovery, lists, and EMQX, as far as the command shows it.

use std::rc::Rc;

use futures::future::join_all;

use super::CommandContext;
use crate::cli::intent::{Filter, InstanceName};
use crate::error::{Cause, Problem};
use crate::model::{
    BrokerState, Fact, Instance, InstanceId, InstanceKind, Link, NodeName, Target, Update, World,
};
use crate::plan::endpoint;
use crate::plan::rebalance::ownership;
use crate::plan::snapshot::snapshot;
use crate::ports::{Broker, RefreshScope, Scope};
use crate::timing::{EMQX_SOON, LISTING_RETRY};

/// Limit of the instances named in an error.
const MAX_SUGGESTED: usize = 5;

/// One cluster with its world and the connection to its EMQX.
pub struct ClusterView {
    /// The cluster.
    pub id: InstanceId,
    /// All facts; the clusters of one command share it until one of them is read again.
    pub world: Rc<World>,
    /// EMQX's API.
    pub broker: Rc<dyn Broker>,
    /// The pods through which EMQX is queried.
    pub target: Target,
}

impl ClusterView {
    /// Switches to another pod for EMQX requests when the current pod is deleted, or when an upgrade created one that stays;
    /// `true` when it switched.
    pub(crate) fn move_along(&mut self, context: &CommandContext) -> bool {
        let Some(instance) = self.world.instance(&self.id) else { return false };
        let target = endpoint::target(&self.world, instance);
        if !endpoint::moved(&self.world, &self.target, &target) {
            return false;
        }
        self.broker = context.brokers.broker(target.clone());
        self.target = target;
        true
    }

    /// Applies facts, and prints each notice once.
    pub(crate) fn take(&mut self, context: &CommandContext, facts: impl IntoIterator<Item = Fact>) {
        collect(context, Rc::make_mut(&mut self.world), facts);
    }

    /// What its EMQX has answered.
    pub(crate) fn answers(&self) -> &BrokerState {
        self.world.broker(&self.id)
    }

    /// The custom resource.
    pub(crate) fn instance(&self) -> Result<&Instance, Problem> {
        self.world.instance(&self.id).ok_or_else(|| Problem::new(format!("{} is gone", self.id), ""))
    }
}

/// The scope of one instance, or of the only one of the namespace.
pub(crate) fn scope(context: &CommandContext, name: Option<&InstanceName>, want: RefreshScope) -> Scope {
    Scope {
        namespace: Some(context.namespace.clone()),
        instance: name.map(|name| (name.kind, name.name.clone())),
        labels: None,
        fields: None,
        want,
    }
}

/// The scope of several instances.
pub(crate) fn wide_scope(context: &CommandContext, filter: &Filter, want: RefreshScope) -> Scope {
    Scope {
        namespace: (!filter.all_namespaces).then(|| context.namespace.clone()),
        instance: None,
        labels: filter.labels.clone(),
        fields: filter.fields.clone(),
        want,
    }
}

/// Lists once, and prints a notice for each source that could not be read.
pub(crate) async fn world(context: &CommandContext, scope: &Scope) -> Result<World, Problem> {
    let (world, notices) = listed(context, scope).await?;
    print_notices(context, &notices, None);
    Ok(world)
}

/// As [`world`], for one instance: if there is none, only the problem reports the reason.
pub(crate) async fn load_selected(
    context: &CommandContext,
    name: Option<&InstanceName>,
    want: RefreshScope,
) -> Result<(World, InstanceId), Problem> {
    let (world, notices) = listed(context, &scope(context, name, want)).await?;
    let id = select(context, &world, name).await;
    print_notices(context, &notices, id.as_ref().err());
    Ok((world, id?))
}

/// Prints notices, except those that the problem reports.
fn print_notices(context: &CommandContext, notices: &[String], problem: Option<&Problem>) {
    let is_in_problem = |notice: &&String| problem.is_some_and(|problem| problem.why == **notice);
    notices.iter().filter(|notice| !is_in_problem(notice)).for_each(|notice| context.notice(notice));
}

async fn listed(context: &CommandContext, scope: &Scope) -> Result<(World, Vec<String>), Problem> {
    let served = context.kubernetes.served().await?;
    let mut facts = vec![Fact { at: context.clock.now(), update: Update::Served(served) }];
    facts.extend(context.kubernetes.read(scope).await?);
    let mut world = World::new();
    let notices = facts.into_iter().filter_map(|fact| world.apply(fact).notice).collect();
    Ok((world, notices))
}

/// Applies facts, and prints each notice once.
pub(crate) fn collect(context: &CommandContext, world: &mut World, facts: impl IntoIterator<Item = Fact>) {
    for fact in facts {
        if let Some(notice) = world.apply(fact).notice {
            context.notice(&notice);
        }
    }
}

/// Selects the instance.
pub(crate) async fn select(
    context: &CommandContext,
    world: &World,
    name: Option<&InstanceName>,
) -> Result<InstanceId, Problem> {
    let fits = |id: &&InstanceId| {
        name.is_none_or(|name| id.name == name.name && name.kind.is_none_or(|kind| kind == id.kind))
    };
    let all = world.ids();
    let found: Vec<&InstanceId> = all.iter().filter(fits).collect();
    match (found.as_slice(), name) {
        ([one], _) => Ok((*one).clone()),
        ([], Some(name)) => Err(unknown(context, world, name).await),
        ([], None) => Err(none(context, world)),
        (several, Some(name)) => Err(Problem::usage(
            format!("{} is ambiguous", name.name),
            several
                .iter()
                .map(|id| format!("{}/{}", id.kind.singular(), id.name))
                .collect::<Vec<_>>()
                .join(", "),
        )
        .cause(Cause::Ambiguous)
        .hint(format!("name the kind: {}/{}", several[0].kind.singular(), name.name))),
        (several, None) => Err(Problem::usage(
            format!("namespace {} holds {} EMQX clusters", context.namespace, several.len()),
            several.iter().map(|id| id.name.clone()).collect::<Vec<_>>().join(", "),
        )
        .cause(Cause::Ambiguous)
        .hint(format!("name one of them, for example {}", several[0].name))),
    }
}

/// Lists every instance of the namespace, so that the error can suggest a name.
async fn unknown(context: &CommandContext, world: &World, name: &InstanceName) -> Problem {
    let kind = name.kind.map_or("EMQX cluster", InstanceKind::as_str);
    if let Some(problem) = blind(world, &format!("{kind} {}", name.name)) {
        return problem;
    }
    let problem = |why| {
        Problem::new(format!("there is no {kind} {} in namespace {}", name.name, context.namespace), why)
    };
    let all = scope(context, None, RefreshScope { instances: true, ..RefreshScope::default() });
    let there = context.kubernetes.read(&all).await.map(|facts| World::of(facts).ids()).unwrap_or_default();
    if let Some(other) = there.iter().find(|id| id.name == name.name) {
        return problem(format!("{} is an {}", other.name, other.kind)).hint(format!(
            "name it {}, or {}/{0}",
            other.name,
            other.kind.singular()
        ));
    }
    let mut names: Vec<&str> = there.iter().take(MAX_SUGGESTED).map(|id| id.name.as_str()).collect();
    names.extend((there.len() > MAX_SUGGESTED).then_some("…"));
    let why = if names.is_empty() { String::new() } else { format!("it has {}", names.join(", ")) };
    problem(why).hint("kubectl emqx status -A lists every one that you may see")
}

fn none(context: &CommandContext, world: &World) -> Problem {
    if let Some(problem) = blind(world, &format!("EMQX clusters in namespace {}", context.namespace)) {
        return problem;
    }
    let what = format!("there is no EMQX cluster in namespace {}", context.namespace);
    if world.kubernetes.served.operator == crate::model::OperatorLine::None {
        return Problem::new(what, "the API group apps.emqx.io is not served: no EMQX Operator is installed")
            .hint("kubectl get crd | grep emqx; or is it another --context?");
    }
    Problem::new(what, "").hint("kubectl emqx status -A lists every one that you may see")
}

/// Why instances cannot be listed, if one may exist.
fn blind(world: &World, what: &str) -> Option<Problem> {
    let of_instances = |resource: &str| InstanceKind::ALL.iter().any(|kind| kind.plural() == resource);
    let mut sources = world.kubernetes.sources.iter().filter(|((_, resource), _)| of_instances(resource));
    sources.find_map(|(_, source)| {
        let problem = Problem::new(format!("cannot find {what}"), source.link.why()?);
        Some(if matches!(source.link, Link::Forbidden(_)) {
            problem.cause(Cause::Forbidden).hint("kubectl auth can-i --list shows your permissions")
        } else {
            problem.hint("kubectl cluster-info; is it the right --context?")
        })
    })
}

/// All sources of one instance, including EMQX.
pub(crate) async fn load_one(
    context: &CommandContext,
    name: Option<&InstanceName>,
    want: RefreshScope,
) -> Result<ClusterView, Problem> {
    load_one_with(context, name, want, |_| {}).await
}

/// As [`load_one`]; `meanwhile` gets what Kubernetes reported when EMQX does not answer at once.
pub(crate) async fn load_one_with(
    context: &CommandContext,
    name: Option<&InstanceName>,
    want: RefreshScope,
    meanwhile: impl FnOnce(&ClusterView),
) -> Result<ClusterView, Problem> {
    let (world, id) = load_selected(context, name, want).await?;
    let target = endpoint::target(&world, instance(&world, &id)?);
    let broker = context.brokers.broker(target.clone());
    let mut cluster = ClusterView { id, world: Rc::new(world), broker: broker.clone(), target };
    let mut answer = broker.read();
    let facts = if let Ok(facts) = tokio::time::timeout(EMQX_SOON, answer.as_mut()).await {
        facts
    } else {
        meanwhile(&cluster);
        answer.await
    };
    cluster.take(context, facts?);
    Ok(cluster)
}

fn instance<'a>(world: &'a World, id: &InstanceId) -> Result<&'a Instance, Problem> {
    world.instance(id).ok_or_else(|| Problem::new(format!("{id} is gone"), ""))
}

/// All sources of several instances; EMQX of each is queried concurrently.
pub(crate) async fn load_many(
    context: &CommandContext,
    filter: &Filter,
    want: RefreshScope,
) -> Result<Vec<ClusterView>, Problem> {
    Ok(load_all(context, filter, want, None).await?.1)
}

/// As [`load_many`], with the listed objects: an object exists even if its instance does not. Without the resource `needed`
/// the caller fails: its problem reports that, not this function.
pub(crate) async fn load_all(
    context: &CommandContext,
    filter: &Filter,
    want: RefreshScope,
    needed: Option<&str>,
) -> Result<(Rc<World>, Vec<ClusterView>), Problem> {
    let (mut shared, notices) = listed(context, &wide_scope(context, filter, want)).await?;
    let problem = blind(&shared, "EMQX clusters").filter(|_| shared.ids().is_empty());
    let missing = needed.and_then(|resource| unlisted(&shared, resource)?.why());
    let missing = missing.map(|why| Problem::new("", why));
    print_notices(context, &notices, problem.as_ref().or(missing.as_ref()));
    if let Some(problem) = problem {
        return Err(problem);
    }
    if missing.is_some() {
        return Ok((Rc::new(shared), Vec::new()));
    }
    let mut asked = Vec::new();
    for id in shared.ids() {
        let target = endpoint::target(&shared, instance(&shared, &id)?);
        asked.push((id, context.brokers.broker(target.clone()), target));
    }
    let answers = join_all(asked.iter().map(|(_, broker, _)| broker.read())).await;
    for facts in answers {
        collect(context, &mut shared, facts?);
    }
    let world = Rc::new(shared);
    let view = |(id, broker, target)| ClusterView { id, world: Rc::clone(&world), broker, target };
    let found = asked.into_iter().map(view).collect();
    Ok((world, found))
}

/// Why a resource of Kubernetes could not be listed; `None` when it was.
pub(crate) fn unlisted<'a>(world: &'a World, resource: &str) -> Option<&'a Link> {
    let sources = world.kubernetes.sources.iter();
    let mut of = sources.filter(|((_, name), _)| *name == resource).map(|(_, source)| &source.link);
    of.find(|link| link.why().is_some())
}

/// Queries EMQX again.
pub(crate) async fn refresh(context: &CommandContext, cluster: &mut ClusterView) -> Result<(), Problem> {
    let facts = cluster.broker.read().await?;
    cluster.take(context, facts);
    Ok(())
}

/// Requests that confirm the end of a rebalance, over 10 s.
const CONFIRMING: u32 = 5;

/// Further requests while the last of them failed: one failure is not an outage.
const CONFIRMING_AFTER_FAILURE: u32 = 2;

/// Queries EMQX again, over fresh connections, if another source suggests a rebalance that EMQX does not list: one response
/// without it is not its end. Returns as soon as EMQX lists it. Where the last request fails, an earlier answer confirms nothing and
/// is dropped.
pub(crate) async fn query_twice(
    context: &CommandContext,
    cluster: &mut [ClusterView],
) -> Result<(), Problem> {
    let doubtful = |it: &ClusterView| ownership::suggested(&it.world, &it.id, context.clock.now()).is_some();
    announce(context, cluster);
    let asked = cluster.iter_mut().filter(|it| doubtful(it)).map(async |it| {
        for requests in 1.. {
            tokio::time::sleep(LISTING_RETRY.div_f64(context.clock.speed().max(1.0))).await;
            refresh_objects(context, it).await?;
            let facts = it.broker.read_again().await?;
            it.take(context, facts);
            if !doubtful(it) || is_enough(requests, it.answers().is_up()) {
                break;
            }
        }
        if doubtful(it) && !it.answers().is_up() {
            Rc::make_mut(&mut it.world).forget_load(&it.id);
        }
        Ok(())
    });
    join_all(asked).await.into_iter().collect()
}

/// Whether this many requests, of which the last was answered or not, are enough to confirm an end.
fn is_enough(requests: u32, answered: bool) -> bool {
    requests >= CONFIRMING && (answered || requests >= CONFIRMING + CONFIRMING_AFTER_FAILURE)
}

/// Prints the reason for the wait, which takes up to 10 s.
fn announce(context: &CommandContext, cluster: &[ClusterView]) {
    for it in cluster {
        let Some(object) = ownership::suggested(&it.world, &it.id, context.clock.now()) else { continue };
        context.notice(&format!(
            "{} may still run, and EMQX does not list it: EMQX is asked again for up to {} s",
            object.name,
            LISTING_RETRY.as_secs() * u64::from(CONFIRMING)
        ));
    }
}

/// Lists the instance and its rebalances again.
pub(crate) async fn refresh_objects(
    context: &CommandContext,
    cluster: &mut ClusterView,
) -> Result<(), Problem> {
    relist(context, cluster, RefreshScope { instances: true, rebalances: true, ..RefreshScope::default() })
        .await
}

/// Lists the resources of the instance again.
pub(crate) async fn relist(
    context: &CommandContext,
    cluster: &mut ClusterView,
    want: RefreshScope,
) -> Result<(), Problem> {
    let facts = context.kubernetes.read(&exact(context, &cluster.id, want)).await?;
    cluster.take(context, facts);
    Ok(())
}

/// The scope of exactly this instance.
pub(crate) fn exact(context: &CommandContext, id: &InstanceId, want: RefreshScope) -> Scope {
    let name = InstanceName { kind: Some(id.kind), name: id.name.clone() };
    Scope { namespace: Some(id.namespace.clone()), ..scope(context, Some(&name), want) }
}

/// Resolves an EMQX node by its name, its pod, or the first part of its host.
pub(crate) fn node(cluster: &ClusterView, context: &CommandContext, target: &str) -> Option<NodeName> {
    let snapshot = snapshot(&cluster.world, &cluster.id, context.clock.now());
    let nodes = cluster.answers().listed();
    let listed = || nodes.iter().map(|node| &node.name);
    if let Some(node) = listed().find(|node| node.as_str() == target) {
        return Some(node.clone());
    }
    let pod = |node: &&NodeName| {
        snapshot.node(node).and_then(|row| row.pod.as_ref()).is_some_and(|pod| pod.as_str() == target)
    };
    listed()
        .find(pod)
        .or_else(|| listed().find(|node| node.host() == target || node.first_label() == target))
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_confirmed_by_an_answer_and_not_by_one_before_a_failed_request() {
        assert!(!is_enough(CONFIRMING - 1, true));
        assert!(is_enough(CONFIRMING, true));
        assert!(!is_enough(CONFIRMING, false), "one failure is not an outage");
        assert!(is_enough(CONFIRMING + CONFIRMING_AFTER_FAILURE, false), "there is a limit");
    }
}
