//! Texts over the page: why a rebalance should be stopped, and what is known of a pod.

use jiff::Timestamp;

use super::rows::Row;
use super::setup::TextPage;
use super::state::State;
use super::view_model::ViewModel;
use crate::error::{Cause, Problem};
use crate::model::human::{clock, count, count_or_unknown, duration, seconds_between};
use crate::model::{ClusterEvent, Pod, Role, Stage};
use crate::output::theme::Tone;
use crate::plan::rebalance::progress::Counts;

/// The operation under the cursor of the history.
pub(super) fn operation(state: &State) -> Option<TextPage> {
    let board = state.board()?;
    let it = board.operations.get(state.past)?;
    let zone = &state.setup.zone;
    let time = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
    let mut lines: Vec<Line> = Vec::new();
    let tone = if it.open { Tone::Busy } else { Tone::of(it.verdict) };
    lines.push((tone, format!("{}: {}", it.verdict.words(), it.message)));
    lines.push((Tone::Plain, String::new()));
    let mut pair = |name: &str, value: Option<String>| {
        lines.push((Tone::Plain, format!("{name:<22}{}", value.unwrap_or_else(|| "not known".to_owned()))));
    };
    pair("started", it.started.map(time));
    pair("started by", it.started_by.clone());
    let ended = match (it.ended_after, it.ended) {
        _ if it.open => Some("still running".to_owned()),
        (Some(after), Some(ended)) => Some(format!("between {} and {}", time(after), time(ended))),
        (_, ended) => ended.map(time),
    };
    pair("ended", ended);
    pair("duration", it.seconds(state.now).map(duration));
    if it.operation != crate::model::Operation::Evacuation {
        pair("clients at the start", it.connections.0.map(count));
        pair("clients at the end", it.connections.1.map(count));
        pair("clients missing", it.lost().map(count));
    }
    pair("clients moved", it.moved.map(count));
    pair("verdict by", it.recorded_by.clone().map(|by| format!("{by}, recorded when it ended")));
    let place = own_place(state, board);
    let name = &it.name;
    let command = match it.operation {
        crate::model::Operation::Upgrade => {
            format!("kubectl emqx status {}{place}", board.status.instance.name)
        }
        crate::model::Operation::Evacuation => format!("kubectl emqx evacuate list{place}"),
        _ if it.open => format!("kubectl emqx rebalance watch {name}{place}"),
        _ => format!("kubectl emqx rebalance list{place}"),
    };
    let title = format!("{} {name}", it.operation.as_str().to_uppercase());
    Some(TextPage { title, command, lines, top: 0, from_end: false })
}

/// The most lines of a log that are read.
pub const LOG_LINES: usize = 500;

type Line = (Tone, String);

/// Why the running rebalance should be stopped, with numbers.
pub(super) fn why(state: &State, board: &ViewModel) -> Option<TextPage> {
    let run = board.run.as_ref()?;
    let alarm = board.alarm()?;
    let mut lines: Vec<Line> = vec![(Tone::Bad, alarm.headline())];
    lines.extend(alarm.detail.iter().map(|detail| (Tone::Bad, detail.clone())));
    lines.push((Tone::Plain, String::new()));
    let start = run.start.as_ref().and_then(Counts::all_connections);
    let now = run.counts.all_connections();
    lines.push((
        Tone::Plain,
        format!(
            "clients of all nodes: {} at the start, {} now",
            count_or_unknown(start),
            count_or_unknown(now)
        ),
    ));
    for row in &board.rows {
        let Some(node) = &row.node else { continue };
        let before = run.start.as_ref().and_then(|start| start.connections(node));
        let part = row.part.map_or("takes no part", crate::model::Part::as_str);
        let (before, now) = (count_or_unknown(before), count_or_unknown(row.connections));
        let serving = match row.serving {
            Some(true) => "in the Service",
            Some(false) => "not in the Service",
            None => "unknown whether it is in the Service",
        };
        lines.push((
            Tone::Plain,
            format!("{}: {part}, {before} at the start, {now} now, {serving}", row.name),
        ));
    }
    lines.push((Tone::Plain, String::new()));
    let advice = match run.entry.as_ref().map(|entry| &entry.stage) {
        Some(Stage::EvictingConns) => "EMQX evicts more clients every second until it is stopped.",
        _ => "EMQX evicts no clients at present; donors refuse clients until it is stopped, or ends.",
    };
    lines.push((Tone::Plain, format!("{advice} Clients that have moved stay where they are.")));
    let command = format!("kubectl emqx rebalance stop {}{}", run.name, own_place(state, board));
    // The text stays while the page is open.
    let title = format!("WHY at {}: {}", clock(state.shown_at(), &state.setup.zone), run.name);
    Some(TextPage { title, command, lines, top: 0, from_end: false })
}

/// ` -n NAMESPACE --context CONTEXT`, as far as they are known.
pub(super) fn place(state: &State, board: &ViewModel) -> String {
    let mut text = String::new();
    let namespace = &board.status.instance.namespace;
    if !namespace.is_empty() {
        text.extend([" -n ", namespace]);
    }
    // Without a context the field has the address of the server.
    let context = &state.setup.place;
    if !context.is_empty() && *context != state.setup.server {
        text.extend([" --context ", context]);
    }
    text
}

/// The same for a command of this program, with the flags that reach EMQX.
pub(super) fn own_place(state: &State, board: &ViewModel) -> String {
    place(state, board) + &state.setup.access
}

/// The pod of a row, and the page for an unknown pod.
fn pod<'a>(state: &'a State, board: &ViewModel, row: &Row) -> Option<&'a Pod> {
    let key = (board.status.instance.namespace.clone(), row.pod.as_ref()?.as_str().to_owned());
    state.world.kubernetes.pods.get(&key).map(|seen| &seen.value)
}

/// What is known of the pod of a row.
pub(super) fn describe(state: &State, board: &ViewModel, row: &Row) -> Option<TextPage> {
    let name = row.pod.as_ref()?;
    let command = format!("kubectl describe pod {name}{}", place(state, board));
    let title = format!("POD {name}");
    let Some(pod) = pod(state, board, row) else {
        let lines = vec![(Tone::Warning, "Kubernetes has not reported this pod".to_owned())];
        return Some(TextPage { title, command, lines, top: 0, from_end: false });
    };
    let now = state.now;
    let age = |at: Timestamp| format!("{} ago", duration(seconds_between(at, now)));
    let mut lines: Vec<Line> = Vec::new();
    let mut pair = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            lines.push((Tone::Plain, format!("{name:<13}{value}")));
        }
    };
    pair("phase", Some(pod.phase.clone()));
    pair("waits for", pod.waiting.clone());
    pair("ready", Some(if pod.ready { "yes" } else { "no" }.to_owned()));
    pair("containers", Some(if pod.containers_ready { "ready" } else { "not ready" }.to_owned()));
    pair(
        "gate",
        pod.gated.then(|| match pod.on_serving {
            Some(true) => "on-serving is True".to_owned(),
            Some(false) => "on-serving is False: the Service does not route clients to it".to_owned(),
            None => "on-serving is unknown".to_owned(),
        }),
    );
    pair("image", pod.image.clone());
    pair("role", pod.role.map(|role| Role::as_str(role).to_owned()));
    pair("set", pod.owner.as_ref().map(|owner| owner.name.clone()));
    pair("revision", pod.revision.clone());
    let addresses: Vec<String> = pod.ips.iter().map(ToString::to_string).collect();
    pair("address", Some(addresses.join(", ")));
    pair("created", pod.created.map(age));
    pair("deletion", pod.deleting.map(|at| deletion(at, now)));
    pair("EMQX node", row.node.as_ref().map(|node| node.as_str().to_owned()));
    pair("connections", Some(count_or_unknown(row.connections)));
    pair("sessions", Some(count_or_unknown(row.sessions)));
    lines.push((Tone::Plain, String::new()));
    lines.push((Tone::Strong, "CONDITIONS".to_owned()));
    for condition in &pod.conditions {
        let since = condition.since.map(|since| format!(" for {}", duration(seconds_between(since, now))));
        let mut text = format!("{} {}{}", condition.kind, condition.status, since.unwrap_or_default());
        for more in [&condition.reason, &condition.message] {
            if !more.is_empty() {
                text.extend([", ", more]);
            }
        }
        lines.push((if condition.holds() { Tone::Plain } else { Tone::Warning }, text));
    }
    lines.push((Tone::Plain, String::new()));
    lines.push((Tone::Strong, "EVENTS".to_owned()));
    lines.extend(event_lines(state, board, pod.name.as_str()));
    Some(TextPage { title, command, lines, top: 0, from_end: false })
}

/// When a pod that is being deleted is removed at the latest: Kubernetes writes that time as
/// `deletionTimestamp`.
pub(super) fn deletion(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        format!("deleted in {}", duration(seconds_between(now, at)))
    } else {
        format!("should be deleted since {}", duration(seconds_between(at, now)))
    }
}

/// The Kubernetes events of the pod of a row.
pub(super) fn events(state: &State, board: &ViewModel, row: &Row) -> Option<TextPage> {
    let name = row.pod.as_ref()?;
    let command = format!("kubectl events --for pod/{name}{}", place(state, board));
    let lines = event_lines(state, board, name.as_str());
    Some(TextPage { title: format!("EVENTS of pod {name}"), command, lines, top: 0, from_end: false })
}

/// The events, newest first.
fn event_lines(state: &State, board: &ViewModel, pod: &str) -> Vec<Line> {
    let namespace = &board.status.instance.namespace;
    let mut events: Vec<&ClusterEvent> = state
        .world
        .kubernetes
        .events
        .values()
        .map(|seen| &seen.value)
        .filter(|event| event.namespace == *namespace && event.about == pod)
        .collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.last));
    if events.is_empty() {
        return vec![(
            Tone::Faint,
            "Kubernetes reports no event of this pod: it keeps them for an hour".to_owned(),
        )];
    }
    let line = |event: &&ClusterEvent| {
        let age = event.last.map(|last| format!("{} ago", duration(seconds_between(last, state.now))));
        let text = format!("{:>12}  {}: {}", age.unwrap_or_default(), event.reason, event.message.trim());
        (if event.warning { Tone::Warning } else { Tone::Plain }, text)
    };
    events.iter().map(line).collect()
}

/// The log of a pod, with the newest lines visible.
pub(super) fn log(state: &State, board: &ViewModel, pod: &str, text: &str) -> TextPage {
    let command = format!("kubectl logs {pod} -c emqx --tail {LOG_LINES}{}", place(state, board));
    let mut lines: Vec<Line> = text.lines().map(|line| (level(line), line.to_owned())).collect();
    if lines.is_empty() {
        lines.push((Tone::Faint, "the log is empty".to_owned()));
    }
    let title = format!("LOG of pod {pod} ({} lines)", count(lines.len() as u64));
    TextPage { title, command, lines, top: 0, from_end: true }
}

/// Why the log of a pod cannot be read, and how to get the permission where it is missing.
pub(super) fn no_log(state: &State, board: &ViewModel, pod: &str, problem: &Problem) -> TextPage {
    let place = place(state, board);
    let command = format!("kubectl logs {pod} -c emqx --tail {LOG_LINES}{place}");
    let mut lines: Vec<Line> = vec![(Tone::Bad, problem.to_string())];
    lines.extend(problem.hint.iter().map(|hint| (Tone::Plain, format!("hint: {hint}"))));
    if problem.cause == Cause::Forbidden {
        let text = "The shipped roles do not contain get pods/log: a log may contain client names and topics. An administrator grants it:";
        lines.push((Tone::Plain, String::new()));
        lines.push((Tone::Plain, text.to_owned()));
        let role = format!("kubectl create role emqx-logs --verb get --resource pods/log{place}");
        let binding = format!("kubectl create rolebinding emqx-logs --role emqx-logs --user USER{place}");
        lines.push((Tone::Strong, role));
        lines.push((Tone::Strong, binding));
    }
    TextPage { title: format!("LOG of pod {pod}"), command, lines, top: 0, from_end: false }
}

/// The tone of a line, by EMQX's log level.
fn level(line: &str) -> Tone {
    let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
    if has(&["[error]", "[critical]", "[alert]", "[emergency]"]) {
        Tone::Bad
    } else if has(&["[warning]"]) {
        Tone::Warning
    } else {
        Tone::Plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_in_the_future_is_counted_down_and_a_late_one_is_named() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).expect("a time");
        assert_eq!(deletion(at(4), at(0)), "deleted in 4s");
        assert_eq!(deletion(at(0), at(90)), "should be deleted since 90s");
    }

    #[test]
    fn errors_of_a_log_stand_out() {
        assert_eq!(level("2026-11-23T10:00:00Z [error] msg: crashed"), Tone::Bad);
        assert_eq!(level("2026-11-23T10:00:00Z [warning] msg: slow"), Tone::Warning);
        assert_eq!(level("EMQX 5.8.6 is running now!"), Tone::Plain);
    }
}
