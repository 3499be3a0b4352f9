//! Getting a picture: discovery, lists, and EMQX, at the cost of what the verb shows.

use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use futures::stream::FusedStream;
use futures::{FutureExt, StreamExt};

use super::CommandContext;
use crate::cli::intent::{Filter, InstanceName};
use crate::error::{Cause, Problem};
use crate::model::{Fact, Instance, InstanceId, InstanceKind, Link, NodeName, Target, Update, World};
use crate::plan::endpoint;
use crate::plan::rebalance::ownership;
use crate::plan::snapshot::picture;
use crate::ports::{Broker, RefreshScope, Scope};

/// Limit of the instances named in an error.
const NAMED: usize = 5;

/// Limit of the facts applied before the next refresh, so that a burst of a thousand pods is one refresh and a flood cannot
/// block the keyboard.
const BURST: usize = 4096;

/// Adds the facts that are there already, without waiting for more.
pub fn burst(facts: &mut Vec<Fact>, stream: &mut (impl FusedStream<Item = Fact> + Unpin)) {
    while facts.len() < BURST {
        let Some(Some(fact)) = stream.next().now_or_never() else { break };
        facts.push(fact);
    }
}

/// One cluster with its world and the way to its EMQX.
pub struct ClusterView {
    /// The cluster.
    pub id: InstanceId,
    /// All that is known.
    pub world: World,
    /// EMQX's API.
    pub broker: Rc<dyn Broker>,
    /// The pods through which EMQX is queried.
    pub target: Target,
}

impl ClusterView {
    /// Switches to another pod for EMQX requests when the current pod is deleted, or when an upgrade created one that stays;
    /// `true` when it switched.
    pub fn move_along(&mut self, hands: &CommandContext) -> bool {
        let Some(instance) = self.world.instance(&self.id) else { return false };
        let target = endpoint::target(&self.world, instance);
        if !endpoint::moved(&self.world, &self.target, &target) {
            return false;
        }
        self.broker = hands.brokers.broker(target.clone());
        self.target = target;
        true
    }

    /// The custom resource.
    pub fn instance(&self) -> Result<&Instance, Problem> {
        self.world.instance(&self.id).ok_or_else(|| Problem::new(format!("{} is gone", self.id), ""))
    }
}

/// The scope of one instance, or of the only one of the namespace.
pub fn scope(hands: &CommandContext, name: Option<&InstanceName>, want: RefreshScope) -> Scope {
    Scope {
        namespace: Some(hands.namespace.clone()),
        instance: name.map(|name| (name.kind, name.name.clone())),
        labels: None,
        fields: None,
        want,
    }
}

/// The scope of several instances.
pub fn wide_scope(hands: &CommandContext, filter: &Filter, want: RefreshScope) -> Scope {
    Scope {
        namespace: (!filter.all_namespaces).then(|| hands.namespace.clone()),
        instance: None,
        labels: filter.labels.clone(),
        fields: filter.fields.clone(),
        want,
    }
}

/// Lists once, and prints a notice for each source that could not be read.
pub async fn world(hands: &CommandContext, scope: &Scope) -> Result<World, Problem> {
    let (world, notices) = listed(hands, scope).await?;
    tell(hands, &notices, None);
    Ok(world)
}

/// As [`world`], for one instance: if there is none, only the problem reports the reason.
pub async fn chosen(
    hands: &CommandContext,
    name: Option<&InstanceName>,
    want: RefreshScope,
) -> Result<(World, InstanceId), Problem> {
    let (world, notices) = listed(hands, &scope(hands, name, want)).await?;
    let id = choose(hands, &world, name).await;
    tell(hands, &notices, id.as_ref().err());
    Ok((world, id?))
}

/// Prints notices, except those that the problem reports.
fn tell(hands: &CommandContext, notices: &[String], problem: Option<&Problem>) {
    let said = |notice: &&String| problem.is_some_and(|problem| problem.why == **notice);
    notices.iter().filter(|notice| !said(notice)).for_each(|notice| hands.printer.notice(notice));
}

async fn listed(hands: &CommandContext, scope: &Scope) -> Result<(World, Vec<String>), Problem> {
    let served = hands.kubernetes.served().await?;
    let mut facts = vec![Fact { at: hands.clock.now(), news: Update::Served(served) }];
    facts.extend(hands.kubernetes.read(scope).await?);
    let mut world = World::new();
    let notices = facts.into_iter().filter_map(|fact| world.apply(fact).notice).collect();
    Ok((world, notices))
}

/// Applies facts, and prints each notice once.
pub fn take(hands: &CommandContext, world: &mut World, facts: impl IntoIterator<Item = Fact>) {
    for fact in facts {
        if let Some(notice) = world.apply(fact).notice {
            hands.printer.notice(&notice);
        }
    }
}

/// Selects the instance.
pub async fn choose(
    hands: &CommandContext,
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
        ([], Some(name)) => Err(unknown(hands, world, name).await),
        ([], None) => Err(none(hands, world)),
        (several, Some(name)) => Err(Problem::usage(
            format!("{} is ambiguous", name.name),
            several
                .iter()
                .map(|id| format!("{}/{}", id.kind.singular(), id.name))
                .collect::<Vec<_>>()
                .join(", "),
        )
        .hint(format!("name the kind: {}/{}", several[0].kind.singular(), name.name))),
        (several, None) => Err(Problem::usage(
            format!("namespace {} holds {} EMQX clusters", hands.namespace, several.len()),
            several.iter().map(|id| id.name.clone()).collect::<Vec<_>>().join(", "),
        )
        .hint(format!("name one of them, for example {}", several[0].name))),
    }
}

/// Lists every instance of the namespace, so that the error can suggest a name.
async fn unknown(hands: &CommandContext, world: &World, name: &InstanceName) -> Problem {
    let kind = name.kind.map_or("EMQX cluster", InstanceKind::as_str);
    if let Some(problem) = blind(world, &format!("{kind} {}", name.name)) {
        return problem;
    }
    let problem =
        |why| Problem::new(format!("there is no {kind} {} in namespace {}", name.name, hands.namespace), why);
    let all = scope(hands, None, RefreshScope { instances: true, ..RefreshScope::default() });
    let there = hands.kubernetes.read(&all).await.map(|facts| World::of(facts).ids()).unwrap_or_default();
    if let Some(other) = there.iter().find(|id| id.name == name.name) {
        return problem(format!("{} is an {}", other.name, other.kind)).hint(format!(
            "name it {}, or {}/{0}",
            other.name,
            other.kind.singular()
        ));
    }
    let mut names: Vec<&str> = there.iter().take(NAMED).map(|id| id.name.as_str()).collect();
    names.extend((there.len() > NAMED).then_some("…"));
    let why = if names.is_empty() { String::new() } else { format!("it has {}", names.join(", ")) };
    problem(why).hint("kubectl emqx status -A lists every one that you may see")
}

fn none(hands: &CommandContext, world: &World) -> Problem {
    if let Some(problem) = blind(world, &format!("EMQX clusters in namespace {}", hands.namespace)) {
        return problem;
    }
    let what = format!("there is no EMQX cluster in namespace {}", hands.namespace);
    if world.served.operator == crate::model::OperatorLine::None {
        return Problem::new(what, "the API group apps.emqx.io is not served: no EMQX Operator is installed")
            .hint("kubectl get crd | grep emqx; or is it another --context?");
    }
    Problem::new(what, "").hint("kubectl emqx status -A lists every one that you may see")
}

/// Why instances cannot be listed, if one may exist.
fn blind(world: &World, what: &str) -> Option<Problem> {
    let of_instances = |resource: &str| InstanceKind::ALL.iter().any(|kind| kind.plural() == resource);
    let mut hearings = world.hearings.iter().filter(|((_, resource), _)| of_instances(resource));
    hearings.find_map(|(_, hearing)| {
        let problem = Problem::new(format!("cannot find {what}"), hearing.link.why()?);
        Some(if matches!(hearing.link, Link::Forbidden(_)) {
            problem.cause(Cause::Forbidden).hint("kubectl auth can-i --list shows your permissions")
        } else {
            problem.hint("kubectl cluster-info; is it the right --context?")
        })
    })
}

/// All sources of one instance, including EMQX.
pub async fn one(
    hands: &CommandContext,
    name: Option<&InstanceName>,
    want: RefreshScope,
) -> Result<ClusterView, Problem> {
    let (mut world, id) = chosen(hands, name, want).await?;
    let target = endpoint::target(&world, instance(&world, &id)?);
    let broker = hands.brokers.broker(target.clone());
    let facts = broker.read().await?;
    take(hands, &mut world, facts);
    Ok(ClusterView { id, world, broker, target })
}

fn instance<'a>(world: &'a World, id: &InstanceId) -> Result<&'a Instance, Problem> {
    world.instance(id).ok_or_else(|| Problem::new(format!("{id} is gone"), ""))
}

/// All sources of several instances; EMQX of each is queried concurrently.
pub async fn several(
    hands: &CommandContext,
    filter: &Filter,
    want: RefreshScope,
) -> Result<Vec<ClusterView>, Problem> {
    Ok(all(hands, filter, want, None).await?.1)
}

/// As [`several`], with the listed objects: an object exists even if its instance does not. Without the resource `needed`
/// the caller fails: its problem reports that, not this function.
pub async fn all(
    hands: &CommandContext,
    filter: &Filter,
    want: RefreshScope,
    needed: Option<&str>,
) -> Result<(World, Vec<ClusterView>), Problem> {
    let (shared, notices) = listed(hands, &wide_scope(hands, filter, want)).await?;
    let problem = blind(&shared, "EMQX clusters").filter(|_| shared.ids().is_empty());
    let missing = needed.and_then(|resource| unlisted(&shared, resource)?.why());
    let missing = missing.map(|why| Problem::new("", why));
    tell(hands, &notices, problem.as_ref().or(missing.as_ref()));
    if let Some(problem) = problem {
        return Err(problem);
    }
    if missing.is_some() {
        return Ok((shared, Vec::new()));
    }
    let mut found = Vec::new();
    for id in shared.ids() {
        let target = endpoint::target(&shared, instance(&shared, &id)?);
        let broker = hands.brokers.broker(target.clone());
        found.push(ClusterView { id, world: shared.clone(), broker, target });
    }
    let answers = join_all(found.iter().map(|it| it.broker.read())).await;
    for (gathered, facts) in found.iter_mut().zip(answers) {
        take(hands, &mut gathered.world, facts?);
    }
    Ok((shared, found))
}

/// Why a resource of Kubernetes could not be listed; `None` when it was.
pub fn unlisted<'a>(world: &'a World, resource: &str) -> Option<&'a Link> {
    let hearings = world.hearings.iter();
    let mut of = hearings.filter(|((_, name), _)| *name == resource).map(|(_, hearing)| &hearing.link);
    of.find(|link| matches!(link, Link::Forbidden(_) | Link::Unreachable(_)))
}

/// Queries EMQX again.
pub async fn refresh(hands: &CommandContext, gathered: &mut ClusterView) -> Result<(), Problem> {
    let facts = gathered.broker.read().await?;
    take(hands, &mut gathered.world, facts);
    Ok(())
}

/// Between two requests to EMQX about a rebalance that another source suggests and that EMQX does not list, by the server's
/// clock; EMQX may list it again at once.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Requests that confirm the end of a rebalance, over 10 s.
const CONFIRMING: u32 = 5;

/// Queries EMQX again, over fresh connections, if another source suggests a rebalance that EMQX does not list: one response
/// without it is not its end. Returns as soon as EMQX lists it.
pub async fn ask_twice(hands: &CommandContext, gathered: &mut [ClusterView]) -> Result<(), Problem> {
    let doubtful = |it: &ClusterView| ownership::suggested(&it.world, &it.id, hands.clock.now()).is_some();
    announce(hands, gathered);
    let asked = gathered.iter_mut().filter(|it| doubtful(it)).map(async |it| {
        for _ in 0..CONFIRMING {
            tokio::time::sleep(ASK_AGAIN.div_f64(hands.clock.speed().max(1.0))).await;
            refresh_objects(hands, it).await?;
            let facts = it.broker.read_again().await?;
            take(hands, &mut it.world, facts);
            if !doubtful(it) {
                break;
            }
        }
        Ok(())
    });
    join_all(asked).await.into_iter().collect()
}

/// Prints what is waited for: up to 10 s pass.
fn announce(hands: &CommandContext, gathered: &[ClusterView]) {
    for it in gathered {
        let Some(object) = ownership::suggested(&it.world, &it.id, hands.clock.now()) else { continue };
        hands.printer.notice(&format!(
            "{} may still run, and EMQX does not list it: EMQX is asked again for up to {} s",
            object.name,
            ASK_AGAIN.as_secs() * u64::from(CONFIRMING)
        ));
    }
}

/// Lists the instance and its rebalances again.
pub async fn refresh_objects(hands: &CommandContext, gathered: &mut ClusterView) -> Result<(), Problem> {
    relist(hands, gathered, RefreshScope { instances: true, rebalances: true, ..RefreshScope::default() })
        .await
}

/// Lists the resources of the instance again.
pub async fn relist(
    hands: &CommandContext,
    gathered: &mut ClusterView,
    want: RefreshScope,
) -> Result<(), Problem> {
    let facts = hands.kubernetes.read(&exact(hands, &gathered.id, want)).await?;
    take(hands, &mut gathered.world, facts);
    Ok(())
}

/// The scope of exactly this instance.
pub fn exact(hands: &CommandContext, id: &InstanceId, want: RefreshScope) -> Scope {
    let name = InstanceName { kind: Some(id.kind), name: id.name.clone() };
    Scope { namespace: Some(id.namespace.clone()), ..scope(hands, Some(&name), want) }
}

/// Resolves an EMQX node by its name, its pod, or the first part of its host.
pub fn node(gathered: &ClusterView, hands: &CommandContext, target: &str) -> Option<NodeName> {
    let picture = picture(&gathered.world, &gathered.id, hands.clock.now());
    let nodes = gathered.world.nodes.as_ref().map(|seen| seen.value.as_slice()).unwrap_or_default();
    let listed = || nodes.iter().map(|node| &node.name);
    if let Some(node) = listed().find(|node| node.as_str() == target) {
        return Some(node.clone());
    }
    let pod = |node: &&NodeName| {
        picture.node(node).and_then(|row| row.pod.as_ref()).is_some_and(|pod| pod.as_str() == target)
    };
    listed()
        .find(pod)
        .or_else(|| listed().find(|node| node.host() == target || node.first_label() == target))
        .cloned()
}
