//! The results of effects: a change that was made or failed, a text that was read.

use super::msg::{ActionResult, Done};
use super::setup::Overlay;
use super::state::{Page, State};
use super::texts;
use crate::error::Problem;
use crate::model::OperationRef;
use crate::output::theme::Tone;

fn complain(state: &mut State, problem: &Problem) {
    let now = state.now;
    if let Some(cluster) = state.open.clone().and_then(|id| state.clusters.get_mut(&id)) {
        cluster.log.push(now, Tone::Bad, problem.to_string());
        if let Some(hint) = &problem.hint {
            cluster.log.push(now, Tone::Plain, format!("hint: {hint}"));
        }
    }
    let hint = problem.hint.as_ref().map_or_else(String::new, |hint| format!("; hint: {hint}"));
    state.show_message(Tone::Bad, format!("{problem}{hint}"));
}

pub(super) fn finish(state: &mut State, done: Done) {
    state.dirty = true;
    match done {
        Done::Applied(result) => {
            state.doing = None;
            let acted = match result {
                Ok(acted) => acted,
                Err(problem) => return complain(state, &problem),
            };
            let strategy = state.form.strategy.clone();
            let (now, name) = (state.now, acted.name.clone().unwrap_or_default());
            let operation = OperationRef::printed(&name);
            if let Some(cluster) = state.open.clone().and_then(|id| state.clusters.get_mut(&id)) {
                for text in acted.notices {
                    cluster.log.push(now, Tone::Warning, text);
                }
                // An object has its own strategy and is followed from its watch event. A rebalance that was
                // requested from EMQX itself may be listed before the result of the request arrives: only
                // this program has its strategy.
                if matches!(operation, OperationRef::Coordinator(_)) {
                    let bare = operation.to_string();
                    let mut runs = cluster.operations.rebalances.runs.iter_mut();
                    match runs.find(|run| run.name == bare && run.verdict.is_none()) {
                        Some(run) if run.strategy.is_none() => run.strategy = Some(strategy),
                        Some(_) => {}
                        None => cluster.operations.rebalances.asked(bare, strategy),
                    }
                }
            }
            state.show_message(
                Tone::Good,
                if name.is_empty() { "nothing to do".to_owned() } else { format!("created {name}") },
            );
            state.page = Page::Table;
            state.changed();
        }
        Done::Stopped(name, result) => {
            state.doing = None;
            let now = state.now;
            let cluster = state.open.clone().and_then(|id| state.clusters.get_mut(&id));
            match result {
                Ok(acted) => {
                    if let Some(cluster) = cluster {
                        for text in acted.notices {
                            cluster.log.push(now, Tone::Plain, text);
                        }
                    }
                    state.show_message(Tone::Good, format!("stopped {name}"));
                    state.stopped.push(name);
                }
                Err(problem) => {
                    if let Some(cluster) = cluster {
                        let mut runs = cluster.operations.rebalances.runs.iter_mut();
                        if let Some(run) = runs.find(|run| run.name == name && run.verdict.is_none()) {
                            run.stopped_by_us = false;
                        }
                    }
                    complain(state, &problem);
                }
            }
            state.changed();
        }
        Done::Allowed(id, allowed) => {
            if state.open.as_ref() == Some(&id) {
                state.allowed = allowed;
                state.foresee();
            }
        }
        Done::Recording(Ok(file)) => {
            let message = file.as_ref().map(|file| format!("recording into {file}"));
            let before = state.recording.clone().unwrap_or_default();
            let ended = || format!("recorded into {before}; kubectl emqx replay {before} shows it");
            state.show_message(Tone::Good, message.unwrap_or_else(ended));
            state.recording = file;
        }
        Done::Recording(Err(problem)) => {
            state.recording = None;
            complain(state, &problem);
        }
        Done::Acted(what, result) => acted(state, what, result),
        Done::Logs(pod, result) => {
            state.message = None;
            match (result, state.board()) {
                (Ok(text), Some(board)) => {
                    let page = texts::log(state, board, pod.as_str(), &text);
                    state.overlay = Some(Overlay::Text(page));
                }
                (Ok(_), None) => {}
                (Err(problem), Some(board)) => {
                    // The reason and the hint are longer than the footer.
                    let page = texts::no_log(state, board, pod.as_str(), &problem);
                    complain(state, &problem);
                    state.overlay = Some(Overlay::Text(page));
                }
                (Err(problem), None) => complain(state, &problem),
            }
        }
        Done::Replicants(id, result) => {
            if let Some(cluster) = state.clusters.get_mut(&id) {
                cluster.replicants = Some(match result {
                    Ok(Some(cores)) => Ok(cores),
                    Ok(None) => Err("this EMQX does not report the core of a replicant".to_owned()),
                    Err(problem) => Err(problem.to_string()),
                });
            }
        }
        Done::UpgradePlan(image, result) => {
            if let Some(form) = state.upgrade.as_mut().filter(|form| form.image == image) {
                form.planning = false;
                form.plan = Some(result);
            }
        }
        Done::Recorded(keys, notices) => {
            let now = state.now;
            for notice in notices {
                let first = keys.first().and_then(|(id, ..)| state.clusters.get_mut(id));
                if let Some(cluster) = first {
                    cluster.log.push(now, Tone::Warning, notice);
                    state.dirty = true;
                }
            }
            state.endings.done(keys);
        }
        Done::Guarded(Ok(())) => {}
        Done::Guarded(Err(problem)) => complain(state, &problem),
    }
}

/// A change was made, or not.
fn acted(state: &mut State, what: String, result: Result<ActionResult, Problem>) {
    state.doing = None;
    let now = state.now;
    match result {
        Ok(acted) => {
            if let Some(cluster) = state.open.clone().and_then(|id| state.clusters.get_mut(&id)) {
                for text in acted.notices {
                    cluster.log.push(now, Tone::Plain, text);
                }
            }
            state.page = Page::Table;
            state.show_message(Tone::Good, what);
        }
        Err(problem) => complain(state, &problem),
    }
    state.changed();
}
