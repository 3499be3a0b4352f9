//! The head: the cluster, the running operation, its progress and its expected end.
//!
//! ```text
//!  emqx · EMQX 5.8.6 · mq @ prod-eu               operator 2.2   4 nodes   10:14:52
//!  REBALANCING  operator reports Failed, EMQX continues                       41 %
//!  wait 10s ✓ ── evict 78s ━━━━━━━━━━━━━━━━━╸──────────── takeover 10s ── sessions
//!  32 of 78 rounds   30 moved/s   10,000 connected, none missing     ends 10:15:50
//! ```

use jiff::SignedDuration;
use unicode_width::UnicodeWidthStr;

use super::headline::doing;
use super::painter::Painter;
use super::place::{PLACE_LEAST, PLACE_NARROW, PLACE_USUAL, Place};
use super::table::in_the_service;
use super::timeline;
use crate::model::human::{clock, count, count_or_unknown, duration, plural};
use crate::model::{Operation, OperatorLine, Verdict};
use crate::output::theme::Tone;
use crate::plan::evacuation::run::EvacuationRun;
use crate::plan::rebalance::messages::{self, ProgressFact};
use crate::plan::rebalance::run::RebalanceRun;
use crate::plan::rebalance::waiting;
use crate::plan::snapshot::SourceState;
use crate::plan::status::copied;
use crate::plan::upgrade::messages as upgrade_words;
use crate::plan::upgrade::run::UpgradeRun as Upgrade;
use crate::tui::state::State;
use crate::tui::view_model::ViewModel;

/// From this height on the headline may take two lines of a narrow page.
const TWO_LINES: usize = 14;

/// Draws the head; returns the number of lines.
pub(super) fn draw(state: &State, board: &ViewModel, pen: &mut Painter<'_>, narrow: bool) -> usize {
    if narrow { compact(state, board, pen) } else { full(state, board, pen) }
}

/// The first line alone, for pages about other things.
pub(super) fn title(state: &State, board: &ViewModel, pen: &mut Painter<'_>) {
    let width = pen.width();
    let dot = pen.symbols().dot;
    let status = &board.status;
    let id = &status.instance;
    let mut left = vec![(id.name.clone(), Tone::Strong)];
    let versions = if status.versions.is_empty() { "?".to_owned() } else { status.versions.join(", ") };
    let version = format!(" {dot} EMQX {versions}");
    let reserved = id.name.width().min(30) + version.width().min(26);
    left.push((version, Tone::Plain));
    // An EMQX without Kubernetes has no namespace.
    if !id.namespace.is_empty() {
        left.push((format!(" {dot} {}", id.namespace), Tone::Plain));
    }
    let operator = match status.operator.line {
        OperatorLine::None => "no operator".to_owned(),
        OperatorLine::Unknown => "operator ?".to_owned(),
        line => format!("operator {line}"),
    };
    let mut right = modes(state);
    let usual = right.len();
    // A recording does not contain the served versions.
    if status.operator.line != OperatorLine::Unknown || state.setup.playback.is_none() {
        right.push((operator, Tone::Plain));
    }
    right.push((plural(status.totals.nodes as u64, "node"), Tone::Plain));
    right.push((clock(state.shown_at(), &state.setup.zone), Tone::Plain));
    let wide = |right: &[(String, Tone)]| right.iter().map(|(text, _)| text.width() + 3).sum::<usize>();
    // The cluster comes first, then the mode of the view.
    let place = Place::of(state);
    let least = reserved + place.width(PLACE_LEAST).max(16);
    while right.len() > usual + 1 && wide(&right) + least > width {
        right.remove(usual);
    }
    let wide = wide(&right) - 2;
    let room = width.saturating_sub(wide + 2);
    let mut x = 1;
    let taken = 1 + left.iter().map(|(text, _)| text.width()).sum::<usize>();
    if !place.context.is_empty() {
        // The namespace is shortened before the place; the cluster's name and its version are not.
        let most = room.saturating_sub(1 + reserved);
        let given = room.saturating_sub(taken).max(place.width(PLACE_USUAL).min(most));
        let text = place.text(given, pen.symbols().ellipsis);
        let before = room.saturating_sub(text.width());
        for (number, (text, tone)) in left.iter().enumerate() {
            if number < 2 || x + text.width() <= before {
                x = pen.put(x, 0, before.saturating_sub(x), text, *tone);
            }
        }
        left = vec![(text, Tone::Plain)];
    }
    for (text, tone) in &left {
        x = pen.put(x, 0, room.saturating_sub(x), text, *tone);
    }
    let mut x = width.saturating_sub(wide);
    for (text, tone) in &right {
        x = pen.put(x, 0, width, text, *tone) + 3;
    }
}

/// The modes of the view that differ from the usual one.
fn modes(state: &State) -> Vec<(String, Tone)> {
    let mut modes = Vec::new();
    if let Some(playback) = &state.setup.playback {
        let speed = playback.speed;
        modes.push(match (playback.over, playback.paused) {
            (true, _) => ("RECORDING, ITS END".to_owned(), Tone::Strong),
            (false, true) => ("RECORDING, PAUSED".to_owned(), Tone::Strong),
            (false, false) => (format!("RECORDING {speed}x"), Tone::Strong),
        });
    }
    if let Some(frozen) = state.frozen {
        let held = duration(crate::model::human::seconds_between(frozen, state.now));
        modes.push((format!("HELD for {held}"), Tone::Warning));
    }
    if state.recording.is_some() {
        modes.push(("REC".to_owned(), Tone::Bad));
    }
    if state.setup.read_only && state.setup.playback.is_none() {
        modes.push(("read-only".to_owned(), Tone::Faint));
    }
    modes
}

fn upgrade(board: &ViewModel) -> Option<&Upgrade> {
    board.upgrade.as_ref().filter(|run| run.verdict.is_none())
}

/// The running evacuation, if there is exactly one.
fn evacuation(board: &ViewModel) -> Option<&EvacuationRun> {
    let mut going = board.emptied.iter().filter(|it| it.verdict.is_none());
    let one = going.next()?;
    going.next().is_none().then_some(one)
}

fn percent(board: &ViewModel) -> Option<u8> {
    // The percentage of an evacuation is only that of one step of a drain or scale.
    if board.unsure.is_some() || board.removal.is_some() {
        return None;
    }
    let other = || upgrade(board).map(|run| run.percent).or_else(|| evacuation(board).map(|it| it.percent));
    board.status.percent.or_else(other)
}

/// `41 %`, or `at most 41 %` for a rebalance whose start was not observed.
pub(super) fn percent_words(board: &ViewModel) -> Option<String> {
    let percent = percent(board)?;
    let joined = active(board).is_some_and(|run| run.counted_since.is_some());
    Some(if joined { format!("at most {percent} %") } else { format!("{percent} %") })
}

/// The time of its end, in the user's time zone.
pub(super) fn ends(state: &State, board: &ViewModel) -> Option<String> {
    if board.unsure.is_some() || board.removal.is_some() {
        return None;
    }
    let other = || upgrade(board).map(|run| run.seconds).or_else(|| evacuation(board).map(|it| it.seconds));
    let left = board.status.eta_seconds.or_else(|| other().flatten())?;
    let seconds = i64::try_from(left).ok()?.min(100 * 365 * 86_400);
    let at = board.now.checked_add(SignedDuration::from_secs(seconds)).ok()?;
    let bound = match active(board) {
        Some(run) => run.strategy.is_none(),
        None => upgrade(board).is_none() && evacuation(board).is_some_and(EvacuationRun::end_is_bound),
    };
    Some(match (left > 86_400, bound) {
        (true, _) => format!("ends in {}", duration(left)),
        (false, true) => format!("ends by {}", clock(at, &state.setup.zone)),
        (false, false) => format!("ends {}", clock(at, &state.setup.zone)),
    })
}

/// Whether the key to stop is shown: it is more important than the progress.
fn stops(state: &State, board: &ViewModel) -> bool {
    board.alarm().is_some() && state.can(crate::tui::keys::Needs::Running)
}

fn full(state: &State, board: &ViewModel, pen: &mut Painter<'_>) -> usize {
    let width = pen.width();
    title(state, board, pen);
    let (word, tone, headline, headline_tone) = doing(board, pen.symbols().arrow);
    let percent = if stops(state, board) { Some("  x stop".to_owned()) } else { percent_words(board) };
    let used = percent.as_ref().map_or(0, |text| text.width() + 2);
    let x = pen.put(1, 1, width, &word, tone) + 2;
    let room = width.saturating_sub(x + used + 1);
    let mut y = 1;
    if headline.width() > room {
        // The reason may take a second line.
        y = pen.part(x, 1, room, 2).wrapped(0, 0, 2, &headline, headline_tone).max(1);
    } else {
        pen.put(x, 1, room, &headline, headline_tone);
    }
    if let Some(percent) = percent {
        pen.right(0, 1, width - 1, &percent, Tone::Strong);
    }
    y += 1;
    if let Some(detail) = board.alarm().and_then(|alarm| alarm.detail.as_ref()) {
        let end = pen.put(1, y, width.saturating_sub(9), detail, Tone::Bad);
        if end + 7 < width {
            pen.right(0, y, width - 1, "d why", Tone::Strong);
        }
        y += 1;
    }
    if advice(state, board, &mut pen.part(1, y, width - 2, 1)) {
        y += 1;
    }
    if timeline::draw(board, &mut pen.part(1, y, width - 2, 1)) {
        y += 1;
    }
    // The time of the end is more important than the last of the numbers.
    let ends = ends(state, board);
    let room = width - ends.as_ref().map_or(0, |ends| ends.width() + 2);
    let mut x = 1;
    for HeadNumber { text, tone, .. } in numbers(board, room) {
        let Some(text) = fitting(&text, room.saturating_sub(x + 1)) else { break };
        x = pen.put(x, y, room, text, tone) + 3;
    }
    if let Some(ends) = ends {
        pen.right(0, y, width - 1, &ends, Tone::Strong);
    }
    y + 1
}

/// While no operator picks the object up: how to see the operator, and the key that deletes the object; `false` otherwise.
fn advice(state: &State, board: &ViewModel, pen: &mut Painter<'_>) -> bool {
    let waits = board.status.operation == Operation::Rebalance && board.status.verdict == Verdict::Waiting;
    if !waits || board.unsure.is_some() {
        return false;
    }
    let width = pen.width();
    let stop = state.can(crate::tui::keys::Needs::Running).then_some("x deletes it");
    if let Some(stop) = stop {
        pen.right(0, 0, width, stop, Tone::Strong);
    }
    let room = width.saturating_sub(stop.map_or(0, |stop| stop.width() + 2));
    pen.put(0, 0, room, waiting::SEE_OPERATOR, Tone::Plain);
    true
}

/// A number in this room, or its last part: whether clients are missing is more important than their number.
fn fitting(text: &str, room: usize) -> Option<&str> {
    let last = text.rsplit_once(", ").map(|(_, last)| last);
    [Some(text), last].into_iter().flatten().find(|text| text.width() <= room)
}

struct HeadNumber {
    text: String,
    tone: Tone,
    /// Whether it must be visible: a bad one, missing clients, and clients that do not arrive.
    urgent: bool,
}

impl HeadNumber {
    fn new(text: String, tone: Tone) -> Self {
        Self { text, tone, urgent: tone == Tone::Bad }
    }

    /// Clients that were just evicted are offline for a moment: that is an alarm only after a while.
    fn of_clients(board: &ViewModel, text: String) -> Self {
        let tone = if board.alarm().is_some() { Tone::Bad } else { Tone::Warning };
        Self { text, tone, urgent: true }
    }
}

/// The numbers of the running operation, or of the cluster; a warning comes first if it would not fit otherwise.
fn numbers(board: &ViewModel, room: usize) -> Vec<HeadNumber> {
    let status = &board.status;
    let mut numbers: Vec<HeadNumber> = Vec::new();
    // Where EMQX does not answer, what it does now is not known.
    if let Some(run) = active(board).filter(|_| board.unsure.is_none()) {
        if let Some(rounds) = rounds(board, run) {
            numbers.push(HeadNumber::new(rounds, Tone::Plain));
        }
        if let Some(arrivals) = board.arrivals {
            numbers.push(HeadNumber::new(format!("{} moved/s", count(arrivals.round() as u64)), Tone::Plain));
        }
    }
    let emqx = &status.sources.emqx;
    if let (Some(age), SourceState::Unreachable | SourceState::Stale) = (emqx.age_seconds, emqx.state) {
        let word = if emqx.state == SourceState::Stale { "silent" } else { "LOST" };
        numbers.push(HeadNumber::new(format!("EMQX {word}: numbers {} old", duration(age)), Tone::Bad));
    } else if let (Some(_), Some(silent)) = (&board.unsure, status.operator.silent_seconds)
        && copied(status)
    {
        let text = format!("the operator's numbers, {} old", duration(silent));
        numbers.push(HeadNumber::new(text, Tone::Warning));
    }
    if let Some(run) = upgrade(board) {
        // Clients that were just evicted are offline for a moment: that is red only after a while.
        let toned = |fact: ProgressFact| match (fact.loss, fact.may_return && run.alarm().is_none()) {
            (true, true) => HeadNumber { text: fact.text, tone: Tone::Warning, urgent: true },
            (true, false) => HeadNumber::new(fact.text, Tone::Bad),
            (false, _) => HeadNumber::new(fact.text, Tone::Plain),
        };
        numbers.extend(upgrade_words::facts(run).into_iter().map(toned));
    } else {
        let about = about(board, status.totals.connections);
        let connected = format!("{about}{}", count_or_unknown(status.totals.connections));
        let connected = format!("{connected} connected");
        match active(board).filter(|_| board.unsure.is_none()).and_then(messages::missing) {
            Some(ProgressFact { text, loss: false, .. }) => {
                numbers.push(HeadNumber::new(format!("{connected}, {text}"), Tone::Plain));
            }
            Some(missing) => {
                numbers.push(HeadNumber::of_clients(board, missing.text));
                numbers.push(HeadNumber::new(connected, Tone::Plain));
            }
            None => numbers.push(HeadNumber::new(connected, Tone::Plain)),
        }
    }
    if let Some(ratio) = active(board)
        .and_then(RebalanceRun::landing_ratio)
        .filter(|ratio| *ratio < 0.9 && board.unsure.is_none())
    {
        let text = format!("{} of the evicted arrived", crate::model::human::share(ratio));
        numbers.push(HeadNumber::of_clients(board, text));
    }
    if active(board).is_none() {
        let about = about(board, status.totals.sessions);
        let text = format!("{about}{} sessions", count_or_unknown(status.totals.sessions));
        numbers.push(HeadNumber::new(text, Tone::Plain));
        if let Some((serving, all)) = board.in_service() {
            let tone = if serving < all { Tone::Warning } else { Tone::Plain };
            numbers.push(HeadNumber::new(in_the_service(serving, all), tone));
        }
    }
    let mut end = 1;
    let cut = numbers.iter().any(|number| {
        end += number.text.width() + 3;
        number.urgent && end > room + 2
    });
    if cut {
        numbers.sort_by_key(|number| !number.urgent);
    }
    numbers
}

/// The mark of a number that is not current.
fn about(board: &ViewModel, number: Option<u64>) -> &'static str {
    if board.unsure.is_some() && number.is_some() { "~" } else { "" }
}

fn active(board: &ViewModel) -> Option<&RebalanceRun> {
    board.run.as_ref().filter(|run| run.verdict.is_none() && run.entry.is_some())
}

/// `32 of 78 rounds`.
fn rounds(board: &ViewModel, run: &RebalanceRun) -> Option<String> {
    let left = run.left.filter(|_| run.ended.is_none())?;
    let most = if run.strategy.is_none() { "at most " } else { "" };
    Some(
        match board.goals.as_ref().and_then(|goals| goals.rounds).filter(|all| {
            // Where the start was not observed, the earlier rounds are unknown.
            *all >= left.rounds && run.counted_since.is_none()
        }) {
            Some(all) => format!("{} of {most}{}", count(all - left.rounds), plural(all, "round")),
            None => format!("{most}{} to go", plural(left.rounds, "round")),
        },
    )
}

/// One column: name and state, then the message, then the numbers.
fn compact(state: &State, board: &ViewModel, pen: &mut Painter<'_>) -> usize {
    let width = pen.width();
    let (word, tone, headline, headline_tone) = doing(board, pen.symbols().arrow);
    let mut x = pen.put(1, 0, width / 2, &board.status.instance.name, Tone::Strong) + 2;
    x = pen.put(x, 0, width, &word, tone) + 1;
    let stop = stops(state, board).then(|| "x stop".to_owned());
    if let Some(text) = stop.or_else(|| percent_words(board)) {
        x = pen.put(x, 0, width, &text, Tone::Strong) + 2;
    }
    let mode = modes(state).into_iter().next();
    let room = width.saturating_sub(mode.as_ref().map_or(1, |(text, _)| text.width() + 3));
    let place = Place::of(state);
    let least = if place.context.is_empty() { 0 } else { place.width(PLACE_NARROW) };
    let ends = ends(state, board);
    let first = ends.as_ref().filter(|ends| x + ends.width() + least <= room);
    if let Some(ends) = first {
        x = pen.put(x, 0, width, ends, Tone::Plain);
    }
    // The name of the Kubernetes cluster is more important on the first line than the end.
    let below = ends.as_ref().filter(|_| first.is_none());
    if least > 0 {
        pen.put(
            x,
            0,
            room.saturating_sub(x),
            &place.text(room.saturating_sub(x), pen.symbols().ellipsis),
            Tone::Plain,
        );
    }
    if let Some((text, tone)) = mode {
        pen.right(0, 0, width - 1, &text, tone);
    }
    // The decisive words may be at the end: the headline takes a second line where the page has one, and nothing covers it.
    let lines = if pen.height() >= TWO_LINES && state.overlay.is_none() { 2 } else { 1 };
    let mut y = pen.part(1, 1, width - 1, lines).wrapped(0, 0, lines, &headline, headline_tone).max(1) + 1;
    if advice(state, board, &mut pen.part(1, y, width - 2, 1)) {
        y += 1;
    }
    let dot = format!(" {} ", pen.symbols().dot);
    let mut facts = Vec::new();
    if let Some(entry) = active(board).and_then(|run| run.entry.as_ref()) {
        facts.push(HeadNumber::new(timeline::short(&entry.stage), Tone::Plain));
    }
    let used = |facts: &[HeadNumber]| facts.iter().map(|fact| fact.text.width() + 3).sum::<usize>();
    let end = below.map(|ends| HeadNumber::new(ends.clone(), Tone::Strong));
    let room = width.saturating_sub(used(&facts) + end.as_ref().map_or(0, |end| end.text.width() + 3));
    // The end is more important than the number of rounds, and less important than missing clients.
    let rounds = active(board).and_then(|run| rounds(board, run)).filter(|_| end.is_some());
    let (urgent, others): (Vec<HeadNumber>, Vec<HeadNumber>) = numbers(board, room)
        .into_iter()
        .filter(|number| Some(&number.text) != rounds.as_ref())
        .partition(|number| number.urgent && end.is_some());
    facts.extend(urgent.into_iter().chain(end).chain(others));
    let mut x = 1;
    for HeadNumber { text, tone, .. } in facts {
        let between = if x > 1 { dot.width() } else { 0 };
        let Some(text) = fitting(&text, width.saturating_sub(x + between)) else { break };
        if between > 0 {
            x = pen.put(x, y, width, &dot, Tone::Plain);
        }
        x = pen.put(x, y, width - 1, text, tone);
    }
    y + 1
}
