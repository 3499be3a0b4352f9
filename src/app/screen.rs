//! The context of the full screen: the source of facts, and the commands as actions. Only this module uses
//! both `tui` and the commands.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use super::log::LogHold;
use super::recordings::{Recordings, Wire};
use crate::cli::intent::{
    Apply, ApplySource, Follow, InstanceName, OperationName, Output, Selection, Stop, Then,
    evacuate::{EvacuateStart, EvacuateStop},
    upgrade::{UpgradeApply, UpgradePlanArguments},
};
use crate::commands::{self, ChangeResult, CommandContext, Interrupt, Notices, Outcome};
use crate::error::{Exit, Problem};
use crate::model::image::Image;
use crate::model::upgrade::{UpgradeRequest, Wanted};
use crate::model::{
    BackendRequest, InstanceId, NodeName, Operation, OperationRef, PodName, Strategy, StrategyRequest, Target,
};
use crate::output::{Printer, Terminal};
use crate::plan::history::FollowedOperation;
use crate::plan::playback::RecordedFacts;
use crate::plan::results::Stopped;
use crate::plan::upgrade::forecast::UpgradePlan;
use crate::ports::{BoxedFuture, RefreshScope, Right, Scope};
use crate::replay::Recording;
use crate::timing::STOP_TIMEOUT;
use crate::tui::{self, ActionResult, ClusterActions, Live, OpenRecording, Playback, ViewContext, ViewSetup};
use user_files as files;

/// The most entries of the user's own history in the view, over all clusters, the newest.
const MOST_RECORDED: usize = 1000;

/// Whether the full screen can be shown: stdin and stdout are a terminal that supports it.
pub(super) fn fits(printer: &Printer) -> bool {
    use std::io::IsTerminal;
    let terminal = printer.terminal();
    terminal.stdout && !terminal.dumb && !printer.look().plain && std::io::stdin().is_terminal()
}

pub(super) struct ViewedClusters {
    /// The cluster; `None` for all listed ones.
    pub(super) id: Option<InstanceId>,
    /// The resources and instances.
    pub(super) scope: Scope,
    /// The operations that are followed; empty for any operation.
    pub(super) wanted: Vec<String>,
    /// Whether the exit code is that of the verdict.
    pub(super) judged: bool,
    /// The strategy that this program sent to EMQX directly.
    pub(super) ours: Option<Strategy>,
}

/// Resolves `watch [NAME]` before the full screen opens, so that an error is printed normally.
pub(super) async fn viewed(
    context: &CommandContext,
    selection: &Selection,
) -> Result<ViewedClusters, Problem> {
    let of = |id: Option<InstanceId>, scope| ViewedClusters {
        id,
        scope,
        wanted: Vec::new(),
        judged: false,
        ours: None,
    };
    let name = match selection {
        Selection::Many(filter) => {
            return Ok(of(None, commands::cluster_view::wide_scope(context, filter, RefreshScope::ALL)));
        }
        Selection::Named(name) => Some(name),
        Selection::Only => None,
    };
    let want = RefreshScope { instances: true, ..RefreshScope::default() };
    let world =
        commands::cluster_view::world(context, &commands::cluster_view::scope(context, name, want)).await?;
    if name.is_none() && world.ids().len() > 1 {
        let filter = crate::cli::intent::Filter::default();
        return Ok(of(None, commands::cluster_view::wide_scope(context, &filter, RefreshScope::ALL)));
    }
    let id = commands::cluster_view::select(context, &world, name).await?;
    let scope = one(&id);
    Ok(of(Some(id), scope))
}

/// The scope of one cluster.
pub(super) fn one(id: &InstanceId) -> Scope {
    Scope {
        namespace: Some(id.namespace.clone()),
        instance: Some((Some(id.kind), id.name.clone())),
        labels: None,
        fields: None,
        want: RefreshScope::ALL,
    }
}

/// Resolves `rebalance watch [NAME]`. `None` when nothing runs, or it has ended.
pub(super) async fn followed(
    context: &CommandContext,
    operation: Option<&OperationName>,
) -> Result<Option<ViewedClusters>, Problem> {
    let resolve = commands::rebalance_target::resolve(context, operation).await?;
    let Some(name) = resolve.name else { return Ok(None) };
    if commands::rebalance_target::over(context, &resolve.cluster, &name).is_some() {
        return Ok(None);
    }
    let id = resolve.cluster.id;
    let scope = one(&id);
    Ok(Some(ViewedClusters { id: Some(id), scope, wanted: vec![name], judged: true, ours: None }))
}

/// Opens the view on a live cluster.
pub(super) async fn live(
    context: &CommandContext,
    viewed: ViewedClusters,
    follow: &Follow,
    strategy: Strategy,
    recording: Rc<Recordings>,
) -> Outcome {
    let printer = &context.printer;
    let mut recorded = commands::history::own(printer, context.folder.as_deref());
    recorded.drain(..recorded.len().saturating_sub(MOST_RECORDED));
    let setup = ViewSetup {
        theme: printer.theme(),
        zone: printer.zone().clone(),
        place: context.context.clone().or_else(|| context.server.clone()).unwrap_or_default(),
        server: context.server.clone().unwrap_or_default(),
        access: printer.flags().of_emqx().to_owned(),
        read_only: follow.read_only,
        no_mouse: follow.no_mouse,
        many: viewed.id.is_none(),
        strategy: viewed.ours.clone().unwrap_or(strategy),
        backend: BackendRequest::Auto,
        wanted: viewed.wanted,
        ours: viewed.ours.is_some(),
        playback: None,
        recorded,
        now: context.clock.now(),
    };
    let file = recording.file_name();
    let live = Live {
        kubernetes: context.kubernetes.clone(),
        brokers: context.brokers.clone(),
        clock: context.clock.clone(),
        scope: viewed.scope,
        acts: Rc::new(Doing { context: context.clone() }),
        recording: file,
        records: recording,
    };
    let interrupt = (context.interrupt)();
    if let (Some(id), true) = (&viewed.id, viewed.judged) {
        let mut operations = setup.wanted.iter().map(|name| OperationRef::of(name).operation());
        let other = operations.find(|operation| *operation != Operation::Rebalance);
        let operation = other.unwrap_or(Operation::Rebalance);
        commands::history::begins(context, id, operation);
    }
    let from = tui::context::FactSource::Live(live);
    let closed = {
        let _quiet = LogHold::begin();
        tui::open(ViewContext { setup, from, timeout: follow.timeout, interrupt, judged: viewed.judged })
            .await?
    };
    commands::history::followed(context, closed.ended).await;
    // One line stays in the scrollback after the view.
    if let Some(line) = &closed.line {
        printer.talk(line);
    }
    closed.exit
}

/// Opens the view on a recording.
pub(super) async fn recorded(
    printer: &Printer,
    file: PathBuf,
    speed: f64,
    no_mouse: bool,
    interrupt: Interrupt,
) -> Outcome {
    // The view can return to the beginning of the recording: input that can be read only once is copied
    // first.
    let spool = if files::is_regular(&file) {
        None
    } else {
        let copied = files::open(&file).and_then(files::spooled);
        let (folder, copy) = copied.map_err(|error| {
            Problem::new(format!("cannot read the recording {}", file.display()), error.to_string())
                .hint("kubectl emqx rebalance watch --record FILE writes a recording")
        })?;
        Some((Spool(folder), copy))
    };
    let (_spool, file) = match spool {
        None => (None, file),
        Some((spool, copy)) => (Some(spool), copy),
    };
    let begin = Recording::open(&file, Rc::new(Wire))?.begin();
    let open: OpenRecording = Rc::new(move || {
        let recording = Recording::open(&file, Rc::new(Wire))?;
        let recorded = |moment: crate::ports::Moment| RecordedFacts {
            t: moment.t,
            at: moment.at,
            change: moment.change,
            facts: moment.facts,
        };
        Ok(Box::new(recording.map(move |moment| moment.map(recorded))))
    });
    let setup = ViewSetup {
        theme: printer.theme(),
        zone: printer.zone().clone(),
        place: String::new(),
        server: String::new(),
        access: String::new(),
        read_only: true,
        no_mouse,
        many: false,
        strategy: Strategy::default(),
        backend: BackendRequest::Auto,
        wanted: Vec::new(),
        ours: false,
        playback: Some(Playback { begin, paused: false, speed, over: false }),
        recorded: Vec::new(),
        now: begin,
    };
    let from = tui::context::FactSource::Recording(open);
    let _quiet = LogHold::begin();
    tui::open(ViewContext { setup, from, timeout: None, interrupt, judged: false }).await?.exit
}

/// A temporary folder that is removed at the end.
struct Spool(PathBuf);

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Commands as actions: they do not prompt, and the view shows their messages.
struct Doing {
    context: CommandContext,
}

/// A context that prints nothing.
pub(super) fn quiet(context: &CommandContext, id: &InstanceId) -> CommandContext {
    let (printer, ..) = Printer::captured(crate::cli::intent::Look::default(), Terminal::default());
    let mut context = context.clone();
    context.namespace.clone_from(&id.namespace);
    context.printer = Rc::new(printer);
    context.notices = Notices::Collected(Rc::default());
    context.interrupt = Rc::new(|| Box::pin(std::future::pending()) as Interrupt);
    context
}

/// The notices that commands of a [`quiet`] context reported.
fn notices(context: &CommandContext) -> Vec<String> {
    match &context.notices {
        Notices::Printed => Vec::new(),
        Notices::Collected(list) => list.take(),
    }
}

fn shown(context: &CommandContext, change: ChangeResult) -> ActionResult {
    let ChangeResult { created, stopped, .. } = change;
    let notices = stopped.iter().flat_map(Stopped::sentences).chain(notices(context)).collect();
    ActionResult { name: created.into_iter().next(), notices }
}

/// An upgrade to this image.
fn ask(image: &str) -> Result<UpgradeRequest, Problem> {
    Ok(UpgradeRequest::new(Wanted::Image(Image::parse(image)?)))
}

impl ClusterActions for Doing {
    fn apply<'a>(
        &'a self,
        id: &'a InstanceId,
        strategy: &'a Strategy,
        backend: BackendRequest,
    ) -> BoxedFuture<'a, ActionResult> {
        Box::pin(async move {
            let context = quiet(&self.context, id);
            let name = InstanceName { kind: Some(id.kind), name: id.name.clone() };
            let apply = Apply {
                source: ApplySource::Instance(Some(name), StrategyRequest::Given(strategy.clone())),
                session_move_ms: emqx_rebalance::rules::SESSION_MOVE_MS,
                nodes: Vec::new(),
                backend,
                write: commands::confirmation::already_confirmed(),
                skip: Vec::new(),
                limits: crate::model::limits::Limits::default(),
                show_command: false,
                then: Then::Leave(Output::Name),
            };
            Ok(shown(&context, commands::apply::run(&context, &apply, None).await?))
        })
    }

    fn stop<'a>(&'a self, id: &'a InstanceId, name: &'a str) -> BoxedFuture<'a, ActionResult> {
        Box::pin(async move {
            let context = quiet(&self.context, id);
            let operation = OperationName::of_rebalance(name);
            let stop = Stop {
                operation: Some(operation),
                backend: BackendRequest::Auto,
                write: commands::confirmation::already_confirmed(),
                skip: Vec::new(),
                timeout: STOP_TIMEOUT,
                output: Output::Text,
            };
            Ok(shown(&context, commands::stop::run(&context, &stop).await?))
        })
    }

    fn evacuate<'a>(&'a self, id: &'a InstanceId, node: &'a NodeName) -> BoxedFuture<'a, ActionResult> {
        Box::pin(async move {
            let context = quiet(&self.context, id);
            let start = EvacuateStart {
                targets: vec![node.to_string()],
                settings: crate::model::evacuation::Settings::default(),
                write: commands::confirmation::already_confirmed(),
                skip: Vec::new(),
                limits: crate::model::limits::Limits::default(),
                then: Then::Leave(Output::Text),
            };
            Ok(shown(&context, commands::evacuate::start::run(&context, &start).await?))
        })
    }

    fn stop_evacuation<'a>(
        &'a self,
        id: &'a InstanceId,
        node: &'a NodeName,
    ) -> BoxedFuture<'a, ActionResult> {
        Box::pin(async move {
            let context = quiet(&self.context, id);
            let stop = EvacuateStop {
                targets: vec![node.to_string()],
                write: commands::confirmation::already_confirmed(),
                timeout: STOP_TIMEOUT,
                output: Output::Text,
            };
            Ok(shown(&context, commands::evacuate::stop::run(&context, &stop).await?))
        })
    }

    fn plan_upgrade<'a>(&'a self, id: &'a InstanceId, image: &'a str) -> BoxedFuture<'a, UpgradePlan> {
        Box::pin(async move {
            let context = quiet(&self.context, id);
            let plan = UpgradePlanArguments {
                instance: Some(InstanceName { kind: Some(id.kind), name: id.name.clone() }),
                ask: ask(image)?,
                force: false,
                skip: Vec::new(),
                output: Output::Text,
            };
            Box::pin(commands::upgrade::plan::planned(&context, &plan)).await
        })
    }

    fn upgrade<'a>(&'a self, id: &'a InstanceId, image: &'a str) -> BoxedFuture<'a, ActionResult> {
        Box::pin(async move {
            let context = quiet(&self.context, id);
            let apply = UpgradeApply {
                instance: Some(InstanceName { kind: Some(id.kind), name: id.name.clone() }),
                ask: ask(image)?,
                force: false,
                write: commands::confirmation::already_confirmed(),
                skip: Vec::new(),
                limits: crate::model::limits::Limits::default(),
                then: Then::Leave(Output::Name),
            };
            Ok(shown(&context, Box::pin(commands::upgrade::apply::run(&context, &apply)).await?))
        })
    }

    fn guard_upgrade<'a>(&'a self, id: &'a InstanceId) -> BoxedFuture<'a, ()> {
        Box::pin(async move {
            let context = quiet(&self.context, id);
            let name = InstanceName { kind: Some(id.kind), name: id.name.clone() };
            match commands::upgrade::watch::resolve(&context, Some(&name)).await? {
                Some(resolve) if resolve.held => {
                    commands::upgrade::watch::keep(&context, resolve.cluster, crate::model::FIELD_MANAGER)
                        .await
                }
                _ => Ok(()),
            }
        })
    }

    fn logs<'a>(&'a self, id: &'a InstanceId, pod: &'a PodName) -> BoxedFuture<'a, String> {
        self.context.kubernetes.logs(&id.namespace, pod, tui::LOG_LINES)
    }

    fn replicants<'a>(
        &'a self,
        _id: &'a InstanceId,
        target: Target,
    ) -> BoxedFuture<'a, Option<BTreeMap<NodeName, NodeName>>> {
        Box::pin(async move { self.context.brokers.broker(target).replicants().await })
    }

    fn record(&self, ended: Vec<FollowedOperation>) -> BoxedFuture<'_, Vec<String>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for ended in ended {
                let context = quiet(&self.context, &ended.entry.instance);
                commands::history::followed(&context, vec![ended]).await;
                all.extend(notices(&context));
            }
            Ok(all)
        })
    }

    fn allowed<'a>(&'a self, id: &'a InstanceId) -> BoxedFuture<'a, Option<bool>> {
        Box::pin(async move {
            let right = Right::of_rebalance("create", &id.namespace);
            let answers = self.context.kubernetes.may(&[right]).await?;
            Ok(answers.first().copied().flatten())
        })
    }
}

/// `demo` on a terminal: starts a rebalance and opens the view on it.
pub(super) async fn demo(context: &CommandContext, strategy: Strategy) -> Outcome {
    let doing = Doing { context: context.clone() };
    let viewed = viewed(context, &Selection::Only).await?;
    let Some(id) = viewed.id.clone() else { return Ok(Exit::Reached) };
    // The scenario is shown even if it cannot be rebalanced.
    let begun = doing.apply(&id, &strategy, BackendRequest::Auto).await.ok().and_then(|acted| acted.name);
    let begun = begun.as_deref().map(OperationRef::printed);
    let direct = matches!(begun, Some(OperationRef::Coordinator(_)));
    let ours = direct.then(|| strategy.clone());
    let wanted = begun.map(|operation| operation.to_string());
    let viewed = ViewedClusters { wanted: wanted.into_iter().collect(), ours, ..viewed };
    live(context, viewed, &Follow::default(), strategy, Rc::default()).await
}

/// The operations that `apply --full` follows after the start: any operation of the instance.
pub(super) async fn applied(
    context: &CommandContext,
    apply: &Apply,
) -> Result<Option<ViewedClusters>, Problem> {
    let name = match &apply.source {
        ApplySource::Instance(name, _) => name.clone().map(OperationName::Instance),
        ApplySource::File(_) => None,
    };
    let ours = match (&apply.source, apply.backend) {
        (ApplySource::Instance(_, StrategyRequest::Given(strategy)), _) => Some(strategy.clone()),
        // The strategy is computed from counts, or is in the file.
        (ApplySource::Instance(..) | ApplySource::File(_), _) => None,
    };
    let found = followed(context, name.as_ref()).await?;
    Ok(found.map(|viewed| {
        let emqx =
            viewed.wanted.iter().any(|name| matches!(OperationRef::of(name), OperationRef::Coordinator(_)));
        ViewedClusters { ours: ours.filter(|_| emqx), ..viewed }
    }))
}
