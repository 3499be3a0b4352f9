//! Changes that are requested in the view: each is described with its command line and confirmed first. Where
//! clients lose their connection, the user types the name of the cluster.

use super::msg::Effect;
use super::rows::Row;
use super::setup::{ChangeInProgress, Confirm, ConfirmedAction, Overlay};
use super::state::State;
use super::texts::own_place;
use super::view_model::ViewModel;
use crate::model::evacuation::Settings;
use crate::model::human::{count, count_or_unknown, duration, plural};
use crate::model::{ApiVersion, Backend, NodeName, Part, Verdict};
use crate::output::theme::Tone;
use crate::plan::finding::Decision;
use crate::plan::rebalance::plan::RebalancePlan;
use crate::plan::rebalance::run::RebalanceRun;

/// The most findings in a prompt.
const MAX_FINDINGS: usize = 3;

/// Makes a confirmed change.
pub(super) fn make(state: &mut State, act: ConfirmedAction) -> Vec<Effect> {
    let Some(id) = state.open.clone() else { return Vec::new() };
    match act {
        ConfirmedAction::Apply(strategy, backend) => {
            state.doing = Some(ChangeInProgress::Create);
            vec![Effect::Apply(id, strategy, backend)]
        }
        ConfirmedAction::Stop(name) if ended(state, &name) => {
            state.show_message(
                Tone::Warning,
                format!("nothing was stopped: {name} ended while the prompt was open"),
            );
            Vec::new()
        }
        ConfirmedAction::Stop(name) => {
            if let Some(cluster) = state.clusters.get_mut(&id) {
                // The end of the rebalance may be observed before its stop is verified.
                cluster.operations.rebalances.we_stopped(&name);
            }
            state.doing = Some(ChangeInProgress::Stop(name.clone()));
            vec![Effect::Stop(id, name)]
        }
        ConfirmedAction::Evacuate(node) => {
            state.doing = Some(ChangeInProgress::Evacuate(node.clone()));
            vec![Effect::Evacuate(id, node)]
        }
        ConfirmedAction::StopEvacuation(node) => {
            state.doing = Some(ChangeInProgress::StopEvacuation(node.clone()));
            vec![Effect::StopEvacuation(id, node)]
        }
        ConfirmedAction::Upgrade(image) => {
            state.doing = Some(ChangeInProgress::Upgrade(image.clone()));
            vec![Effect::Upgrade(id, image)]
        }
    }
}

/// The text to type: the cluster's name, where it can be typed.
fn word(state: &State) -> String {
    let name = state.open.as_ref().map(|id| id.name.as_str()).unwrap_or_default();
    let typed = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_graphic());
    if typed { name.to_owned() } else { "yes".to_owned() }
}

/// A prompt without warnings, in which Enter confirms.
fn prompt(act: ConfirmedAction, title: &'static str, effects: Vec<String>, command: String) -> Confirm {
    let (word, typed) = (String::new(), String::new());
    Confirm { act, title, effects, warnings: Vec::new(), command, word, typed, top: 0 }
}

/// Opens a prompt in which the user types the name of the cluster: clients lose their connection.
fn ask_typed(state: &mut State, confirm: Confirm) {
    let word = word(state);
    state.overlay = Some(Overlay::Confirm(Confirm { word, ..confirm }));
}

fn busy(state: &mut State) -> bool {
    if state.doing.is_some() {
        state.show_message(Tone::Warning, "one change at a time");
    }
    state.doing.is_some()
}

/// The instance and the namespace flags for a command line.
fn named(state: &State) -> Option<(String, String)> {
    let board = state.board()?;
    Some((board.status.instance.name.clone(), own_place(state, board)))
}

/// Asks before the planned rebalance is created.
pub(super) fn apply(state: &mut State) {
    state.form.commit();
    state.foresee();
    state.forecast_again();
    if busy(state) {
        return;
    }
    let (plan, backend) = match &state.forecast {
        Some(Ok((plan, backend, _))) => (plan, *backend),
        Some(Err(problem)) => {
            let text = problem.to_string();
            return state.show_message(Tone::Bad, text);
        }
        None => return,
    };
    match plan.decision {
        Decision::Go => {}
        Decision::NothingToDo => {
            let text = format!("nothing to do: {}", plan.sentence());
            return state.show_message(Tone::Plain, text);
        }
        Decision::Refused => {
            let text = format!("refused: {}", plan.sentence());
            return state.show_message(Tone::Bad, text);
        }
    }
    let Some(id) = &state.open else { return };
    let effects = vec![
        format!(
            "Disconnects {} clients of {id} over {}, through {}.",
            count(plan.moves.connections),
            duration(plan.total_seconds),
            match backend {
                Backend::Rebalance => "a Rebalance object",
                Backend::Emqx => "EMQX's own API",
            }
        ),
        ends(plan),
        "The counts are read again before it is created.".to_owned(),
    ];
    let mut warnings: Vec<String> =
        plan.findings.iter().take(MAX_FINDINGS).map(|finding| finding.message.clone()).collect();
    if let Some(more @ 1..) = plan.findings.len().checked_sub(MAX_FINDINGS) {
        warnings.push(format!("{} more: Esc, then Tab shows all", plural(more as u64, "finding")));
    }
    let Some((name, place)) = named(state) else { return };
    let command = state.form.command("apply", &name) + &place;
    let act = ConfirmedAction::Apply(state.form.strategy.clone(), state.form.backend);
    let confirm = Confirm { warnings, ..prompt(act, "START A REBALANCE", effects, command) };
    ask_typed(state, confirm);
}

/// `Ends even: 2,553 / 2,553 / 2,554 / 2,340.`
fn ends(plan: &RebalancePlan) -> String {
    let word = super::form::outcome(plan).words();
    if plan.nodes.len() > 8 {
        let after = || plan.nodes.iter().map(|node| node.connections_after);
        let (least, most) = (after().min().unwrap_or(0), after().max().unwrap_or(0));
        return format!("Ends {word}: from {} to {} clients per node.", count(least), count(most));
    }
    let after: Vec<String> = plan.nodes.iter().map(|node| count(node.connections_after)).collect();
    format!("Ends {word}: {}.", after.join(" / "))
}

/// Whether this rebalance has a verdict that is not open.
fn ended(state: &State, name: &str) -> bool {
    let runs = state.here().map(|cluster| &cluster.operations.rebalances.runs);
    let verdict = |run: &RebalanceRun| run.verdict.as_ref().is_some_and(|it| it.verdict != Verdict::Unknown);
    runs.is_some_and(|runs| runs.iter().rfind(|run| run.name == name).is_some_and(verdict))
}

/// Asks before the running rebalance is stopped.
pub(super) fn stop(state: &mut State) {
    if busy(state) {
        return;
    }
    let Some(running) = state.running() else { return };
    let effects = vec![
        format!("Stops {running} in EMQX, verifies that it stopped, then deletes the object."),
        "Clients that have moved stay where they are.".to_owned(),
    ];
    let Some((_, place)) = named(state) else { return };
    let command = format!("kubectl emqx rebalance stop {running}{place}");
    ask_typed(state, prompt(ConfirmedAction::Stop(running), "STOP THE REBALANCE", effects, command));
}

/// The row under the cursor, if it is an EMQX node.
fn selected(state: &State) -> Option<(&ViewModel, &Row, NodeName)> {
    let board = state.board()?;
    let row = board.row(state.selected.as_deref()?)?;
    Some((board, row, row.node.clone()?))
}

/// The name of the node for a command line.
fn target(row: &Row, node: &NodeName) -> String {
    row.pod.as_ref().map_or_else(|| node.to_string(), ToString::to_string)
}

/// Asks before the selected node is evacuated.
pub(super) fn evacuate(state: &mut State) {
    if busy(state) {
        return;
    }
    let Some((board, row, node)) = selected(state) else {
        return state.show_message(Tone::Warning, "the selected row is not an EMQX node");
    };
    if row.part == Some(Part::Evacuating) {
        return state.show_message(Tone::Faint, "it is being evacuated already; E stops that");
    }
    let settings = Settings::default();
    let rate = settings.conn_evict_rate;
    let seconds = row.connections.map(|held| held.div_ceil(rate.max(1)));
    let waits = settings.wait_health_check_seconds + settings.wait_takeover_seconds;
    let about = seconds.map(|seconds| format!(", about {} with the waits", duration(seconds + waits)));
    let effects = vec![
        format!(
            "Disconnects the {} clients of {}, {}/s, and moves its {} sessions{}.",
            count_or_unknown(row.connections),
            row.name,
            count(rate),
            count_or_unknown(row.sessions),
            about.unwrap_or_default()
        ),
        "The node refuses clients until the evacuation is stopped (E).".to_owned(),
    ];
    let warnings = if board.upgrading {
        vec!["an upgrade is running: the operator evacuates the old nodes by itself".to_owned()]
    } else {
        Vec::new()
    };
    let command = format!("kubectl emqx evacuate start {}{}", target(row, &node), own_place(state, board));
    let act = ConfirmedAction::Evacuate(node);
    let confirm = Confirm { warnings, ..prompt(act, "EVACUATE A NODE", effects, command) };
    ask_typed(state, confirm);
}

/// Asks before the evacuation of the selected node is stopped.
pub(super) fn stop_evacuation(state: &mut State) {
    if busy(state) {
        return;
    }
    let Some((board, row, node)) = selected(state) else {
        return state.show_message(Tone::Warning, "the selected row is not an EMQX node");
    };
    if row.part != Some(Part::Evacuating) {
        let text = format!("{} is not being evacuated", row.name);
        return state.show_message(Tone::Faint, text);
    }
    let effects = vec![
        format!("{} accepts clients again. Clients that have moved stay where they are.", row.name),
        "No client is disconnected.".to_owned(),
    ];
    let warnings = if board.upgrading {
        vec!["the upgrade waits until this node is empty: the operator may start again".to_owned()]
    } else {
        Vec::new()
    };
    let command = format!("kubectl emqx evacuate stop {}{}", target(row, &node), own_place(state, board));
    let act = ConfirmedAction::StopEvacuation(node);
    let confirm = Confirm { warnings, ..prompt(act, "STOP THE EVACUATION", effects, command) };
    state.overlay = Some(Overlay::Confirm(confirm));
}

/// Asks before the image is changed.
pub(super) fn upgrade(state: &mut State) {
    if busy(state) {
        return;
    }
    let Some((image, Some(Ok(plan)))) = state.upgrade.as_ref().map(|it| (it.image.clone(), it.plan.clone()))
    else {
        return state.show_message(Tone::Faint, "Enter plans the upgrade first");
    };
    if plan.decision == Decision::Refused {
        return state.show_message(Tone::Warning, "the plan above does not allow it");
    }
    let Some(board) = state.board() else { return };
    let nodes = board.status.totals.nodes as u64;
    let clients = count_or_unknown(board.status.totals.connections);
    let mut effects = vec![
        format!("Replaces {} of {} by {image}.", plural(nodes, "node"), board.status.instance),
        format!("All {clients} clients reconnect once. The checks run again before the change."),
    ];
    if board.status.api == Some(ApiVersion::V1beta4) {
        effects.push("The view guards the upgrade: keep it open, or continue with upgrade watch.".to_owned());
    }
    let Some((name, place)) = named(state) else { return };
    let command = format!("kubectl emqx upgrade apply {name} --image {image}{place}");
    ask_typed(state, prompt(ConfirmedAction::Upgrade(image), "UPGRADE THE CLUSTER", effects, command));
}
