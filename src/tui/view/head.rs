//! The head: the cluster, the running operation, its progress and its expected end.
//!
//! ```text
//!  emqx · EMQX 5.8.6 · mq @ prod-eu               operator 2.2   4 nodes   10:14:52
//!  REBALANCING  operator reports Failed, EMQX continues                       41 %
//!  wait 10s ✓ ── evict 78s ━━━━━━━━━━━━━━━━━╸──────────── takeover 10s ── sessions
//!  32 of 78 rounds   30 moved/s   10,000 connected, none missing     ends 10:15:50
//! ```

use jiff::{SignedDuration, Timestamp};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::pen::Painter;
use super::table::in_the_service;
use super::timeline;
use crate::model::human::{clock, count, count_or_unknown, duration, plural, seconds_between};
use crate::model::{Operation, OperatorLine, Stage, Verdict};
use crate::output::theme::Tone;
use crate::plan::evacuation::tracker::EvacuationRun;
use crate::plan::rebalance::messages;
use crate::plan::rebalance::tracker::Run;
use crate::plan::rebalance::verdict;
use crate::plan::snapshot::SourceState;
use crate::plan::status::copied;
use crate::plan::upgrade::messages as upgrade_words;
use crate::plan::upgrade::run::Run as Upgrade;
use crate::tui::state::State;
use crate::tui::view_model::{VERDICT_SECONDS, ViewModel};

/// Before anything is known.
pub(super) fn waiting(state: &State, pen: &mut Painter<'_>) {
    let text = match (&state.setup.playback, state.ready) {
        (Some(_), _) => "reading the recording",
        (None, false) => "asking the cluster",
        (None, true) => "no EMQX in sight",
    };
    let width = pen.width();
    pen.put(1, 0, width, text, Tone::Busy);
}

/// Draws the head; gives back how many lines it took.
pub(super) fn draw(state: &State, board: &ViewModel, pen: &mut Painter<'_>, narrow: bool) -> usize {
    if narrow { compact(state, board, pen) } else { full(state, board, pen) }
}

/// The first line alone, for pages that are about something else.
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
    left.push((format!(" {dot} {}", id.namespace), Tone::Plain));
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
    // Which cluster it is comes first; then how it is looked at.
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
        // The namespace gives way to the place; the cluster's name and its version do not.
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

/// The columns of the context, and of the API server, below which other parts of the first line give way.
const PLACE_LEAST: usize = 14;

/// The width of the place on a narrow screen, where the time of the end is omitted.
const PLACE_NARROW: usize = 9;

/// The width below which only the version and the namespace are shortened.
const PLACE_USUAL: usize = 24;

/// Where the cluster is: the context, and the API server.
struct Place<'a> {
    context: &'a str,
    server: &'a str,
}

impl<'a> Place<'a> {
    fn of(state: &'a State) -> Self {
        let (context, server) = (state.setup.place.as_str(), state.setup.server.as_str());
        // Without a context the address stands in its place.
        let server = if server == context { "" } else { server };
        Self { context, server: server.strip_prefix("https://").unwrap_or(server) }
    }

    /// The width with at most `each` columns for each part.
    fn width(&self, each: usize) -> usize {
        let part = |text: &str| if text.is_empty() { 0 } else { text.width().min(each) + 3 };
        part(self.context) + part(self.server)
    }

    /// ` @ CONTEXT (SERVER)` in at most `width` columns. Both ends of each part stay: they distinguish clusters.
    fn text(&self, width: usize, ellipsis: &str) -> String {
        if self.server.is_empty() {
            return format!(" @ {}", middle(self.context, width.saturating_sub(3), ellipsis));
        }
        let both = width.saturating_sub(6);
        let server = self.server.width().min((both / 2).max(both.saturating_sub(self.context.width())));
        let context = middle(self.context, both - server, ellipsis);
        format!(" @ {context} ({})", middle(self.server, server, ellipsis))
    }
}

/// A text shortened in its middle: both ends stay.
fn middle(text: &str, width: usize, ellipsis: &str) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let keep = width.saturating_sub(ellipsis.width());
    let end = keep.div_ceil(2);
    // Letters can take two columns.
    let fitting = |letters: &mut dyn Iterator<Item = char>, columns: usize| -> Vec<char> {
        let mut used = 0;
        letters
            .take_while(|letter| {
                used += letter.width().unwrap_or(0);
                used <= columns
            })
            .collect()
    };
    let begin: String = fitting(&mut text.chars(), keep - end).into_iter().collect();
    let end: String = fitting(&mut text.chars().rev(), end).into_iter().rev().collect();
    format!("{begin}{ellipsis}{end}")
}

/// Ways of looking that are not the usual one.
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

/// The operation in one word, and the most important message.
fn doing(board: &ViewModel, arrow: &str) -> (String, Tone, String, Tone) {
    let status = &board.status;
    if !board.present {
        return ("GONE".to_owned(), Tone::Bad, "its custom resource is not there".to_owned(), Tone::Plain);
    }
    if let Some(alarm) = board.alarm() {
        return ("STOP IT:".to_owned(), Tone::Bad, alarm.reason.clone(), Tone::Bad);
    }
    if let Some(unsure) = &board.unsure {
        let before = match status.operation {
            Operation::None => String::new(),
            operation => format!("; {} before that", operation.as_str()),
        };
        return ("NOT SURE".to_owned(), Tone::Warning, format!("{unsure}{before}"), Tone::Plain);
    }
    let verdict = Tone::of(status.verdict);
    if let Some(upgrade) = board.upgrade.as_ref().filter(|run| run.verdict.is_none()) {
        let headline = images(upgrade, arrow);
        let (word, tone) = match upgrade.standing() {
            Verdict::StillRunning => ("STILL UPGRADING", Tone::Warning),
            _ => ("UPGRADING", Tone::Busy),
        };
        return (word.to_owned(), tone, headline, Tone::Plain);
    }
    match status.operation {
        Operation::Rebalance if status.verdict == Verdict::Waiting || status.phase.is_none() => {
            let word = match status.verdict {
                Verdict::Unknown => "UNKNOWN",
                _ => "WAITING",
            };
            (word.to_owned(), Tone::of(status.verdict), status.message.clone(), Tone::Plain)
        }
        Operation::Rebalance => {
            let contradiction = board.run.as_ref().filter(|run| run.standing() == Verdict::StillRunning);
            let (headline, tone) = match (contradiction, &board.run) {
                (Some(run), _) => {
                    let words = messages::contradiction(run.object.as_ref());
                    (format!("{words}, EMQX continues"), Tone::Warning)
                }
                (None, Some(run)) => (run.name.clone(), Tone::Plain),
                (None, None) => (status.message.clone(), Tone::Plain),
            };
            ("REBALANCING".to_owned(), Tone::Busy, headline, tone)
        }
        Operation::Upgrade => ("UPGRADING".to_owned(), Tone::Busy, status.message.clone(), Tone::Plain),
        Operation::Evacuation => {
            // An empty node that refuses clients stays in EMQX's list until its evacuation is stopped.
            let through = board.evacuations.iter().all(|entry| entry.stage == Stage::Prohibiting);
            let (word, tone) = if through && !board.evacuations.is_empty() {
                ("EVACUATED", Tone::of(Verdict::Evacuated))
            } else {
                ("EVACUATING", Tone::Busy)
            };
            (word.to_owned(), tone, status.message.clone(), Tone::Plain)
        }
        Operation::Drain => ("DRAINING".to_owned(), Tone::Plain, status.message.clone(), Tone::Plain),
        Operation::Scale => ("SCALING".to_owned(), Tone::Plain, status.message.clone(), Tone::Plain),
        Operation::Purge => ("PURGING".to_owned(), Tone::Bad, status.message.clone(), Tone::Plain),
        Operation::None => {
            // A present problem has priority over a past verdict.
            let sound = status.membership.discrepancies.is_empty() && status.verdict == Verdict::Idle;
            if let Some(missing) = missing_since(board).filter(|_| sound) {
                return ("CLIENTS MISSING".to_owned(), Tone::Bad, missing, Tone::Plain);
            }
            if let Some((verdict, reason)) = ended(board).filter(|_| sound) {
                let word = messages::verdict(verdict, "").trim_end_matches([':', ' ']).to_uppercase();
                return (word, Tone::of(verdict), reason, Tone::Plain);
            }
            if let Some(past) = board.past.as_ref().filter(|_| sound && board.run.is_none()) {
                let word = messages::verdict(past.verdict, "").trim_end_matches([':', ' ']).to_uppercase();
                let ago = duration(seconds_between(past.ended, board.now));
                let text = format!("{ago} ago, {}: {}", past.name, past.message);
                return (word, Tone::of(past.verdict), text, Tone::Plain);
            }
            if let Some(run) = board.run.as_ref() {
                let text = match run.ended {
                    Some(_) => format!("{} is over in EMQX: its clients come back", run.name),
                    None => format!("{} waits for the operator to start it in EMQX", run.name),
                };
                return ("WAITING".to_owned(), Tone::Busy, text, Tone::Plain);
            }
            let word = match status.verdict {
                Verdict::Idle => "IDLE".to_owned(),
                other => other.as_str().to_uppercase(),
            };
            let tone = if status.uneven { Tone::Warning } else { verdict };
            (word, tone, status.message.clone(), Tone::Plain)
        }
    }
}

/// The previous and the target image; a common part is shown once.
fn images(run: &Upgrade, arrow: &str) -> String {
    let parts = |image: &str| image.rsplit_once(':').map(|(name, tag)| (name.to_owned(), tag.to_owned()));
    match (run.from.as_deref().and_then(parts), run.to.as_deref().and_then(parts)) {
        (Some((from, old)), Some((to, new))) if from == to => format!("{from} {old} {arrow} {new}"),
        _ => upgrade_words::between(run.from.as_deref(), run.to.as_deref()),
    }
}

/// An operation that ended: when, how, why, and the clients after it.
type Past = (Option<Timestamp>, Verdict, String, Option<u64>);

/// The operation that ended last; an operation that never began ended at its creation.
fn last(board: &ViewModel) -> Option<Past> {
    let past = |ended: Option<Timestamp>, began, verdict: &Option<(Verdict, String)>, clients| {
        let (verdict, reason) = verdict.clone()?;
        Some((ended.or(Some(began)), verdict, reason, clients))
    };
    let rebalance = board
        .run
        .as_ref()
        .and_then(|run| past(run.ended, run.began, &run.verdict, run.counts.all_connections()));
    let upgrade = board
        .upgrade
        .as_ref()
        .and_then(|run| past(run.ended, run.began, &run.verdict, run.counts.all_connections()));
    let recent =
        |ended: Option<Timestamp>| ended.is_some_and(|at| seconds_between(at, board.now) <= VERDICT_SECONDS);
    let emptied = board.emptied.iter().filter(|run| recent(run.ended));
    let emptied = emptied.filter_map(|run| past(run.ended, run.began, &run.verdict, None));
    rebalance.into_iter().chain(upgrade).chain(emptied).max_by_key(|(ended, ..)| *ended)
}

/// How what ended last ended.
fn ended(board: &ViewModel) -> Option<(Verdict, String)> {
    let (_, verdict, reason, _) = last(board)?;
    // A node that was evacuated and is in EMQX's list no more serves again: nothing is left to be known of it.
    (verdict != Verdict::Evacuated).then_some((verdict, reason))
}

/// Clients that were there when the last operation ended and are not there now.
fn missing_since(board: &ViewModel) -> Option<String> {
    let (_, verdict, reason, clients) = last(board)?;
    let (before, now) = (clients?, board.status.totals.connections?);
    let fewer = (now as f64) < before as f64 * verdict::PRESENT;
    (fewer && verdict != Verdict::ClientsMissing).then(|| {
        format!(
            "{} of {} clients that were connected at the end of the last operation; it ended {}",
            count(now),
            count(before),
            messages::verdict(verdict, &reason)
        )
    })
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
    if board.unsure.is_some() {
        return None;
    }
    let other = || upgrade(board).map(|run| run.percent).or_else(|| evacuation(board).map(|it| it.percent));
    board.status.percent.or_else(other)
}

/// When it ends, on the user's clock.
fn ends(state: &State, board: &ViewModel) -> Option<String> {
    if board.unsure.is_some() {
        return None;
    }
    let other = || upgrade(board).map(|run| run.seconds).or_else(|| evacuation(board).map(|it| it.seconds));
    let left = board.status.eta_seconds.or_else(|| other().flatten())?;
    let seconds = i64::try_from(left).ok()?.min(100 * 365 * 86_400);
    let at = board.now.checked_add(SignedDuration::from_secs(seconds)).ok()?;
    Some(if left > 86_400 {
        format!("ends in {}", duration(left))
    } else {
        format!("ends {}", clock(at, &state.setup.zone))
    })
}

fn full(state: &State, board: &ViewModel, pen: &mut Painter<'_>) -> usize {
    let width = pen.width();
    title(state, board, pen);
    let (word, tone, headline, headline_tone) = doing(board, pen.symbols().arrow);
    let mut percent = percent(board).map(|percent| format!("{percent} %"));
    if board.alarm().is_some() && state.can(crate::tui::keys::Needs::Running) {
        percent = Some(format!("{}   x stop", percent.unwrap_or_default()));
    }
    let used = percent.as_ref().map_or(0, |text| text.width() + 2);
    let x = pen.put(1, 1, width, &word, tone) + 2;
    let room = width.saturating_sub(x + used + 1);
    let mut y = 1;
    if headline.width() > room {
        // The reason is worth a second line.
        y = pen.part(x, 1, room, 2).wrapped(0, 0, 2, &headline, headline_tone).max(1);
    } else {
        pen.put(x, 1, room, &headline, headline_tone);
    }
    if let Some(percent) = percent {
        pen.right(0, 1, width - 1, &percent, Tone::Strong);
    }
    y += 1;
    if let Some(detail) = board.alarm().and_then(|alarm| alarm.detail.as_ref()) {
        pen.put(1, y, width - 2, detail, Tone::Bad);
        y += 1;
    }
    if timeline::draw(board, &mut pen.part(1, y, width - 2, 1)) {
        y += 1;
    }
    // When it is over is worth more than the last of the numbers.
    let ends = ends(state, board);
    let room = width - ends.as_ref().map_or(0, |ends| ends.width() + 2);
    let mut x = 1;
    for (text, tone) in numbers(board, room) {
        if x + text.width() + 1 > room {
            break;
        }
        x = pen.put(x, y, room, &text, tone) + 3;
    }
    if let Some(ends) = ends {
        pen.right(0, y, width - 1, &ends, Tone::Strong);
    }
    y + 1
}

/// The numbers of the running operation, or of the cluster; a warning comes first if it would not fit otherwise.
fn numbers(board: &ViewModel, room: usize) -> Vec<(String, Tone)> {
    let status = &board.status;
    let mut numbers = Vec::new();
    if let Some(run) = active(board) {
        if let Some(rounds) = rounds(board, run) {
            numbers.push((rounds, Tone::Plain));
        }
        if let Some(arrivals) = board.arrivals {
            numbers.push((format!("{} moved/s", count(arrivals.round() as u64)), Tone::Plain));
        }
    }
    let emqx = &status.sources.emqx;
    if let (Some(age), SourceState::Unreachable | SourceState::Stale) = (emqx.age_seconds, emqx.state) {
        let word = if emqx.state == SourceState::Stale { "silent" } else { "LOST" };
        numbers.push((format!("EMQX {word}: numbers {} old", duration(age)), Tone::Bad));
    } else if let (Some(_), Some(silent)) = (&board.unsure, status.operator.silent_seconds)
        && copied(status)
    {
        numbers.push((format!("the operator's numbers, {} old", duration(silent)), Tone::Warning));
    }
    if let Some(run) = upgrade(board) {
        let toned = |fact: String| {
            let bad = fact.ends_with(" lost") || fact.ends_with(" or missing");
            (fact, if bad { Tone::Bad } else { Tone::Plain })
        };
        numbers.extend(upgrade_words::facts(run).into_iter().map(toned));
    } else {
        let about = if board.unsure.is_some() && status.totals.connections.is_some() { "~" } else { "" };
        let connected = format!("{about}{}", count_or_unknown(status.totals.connections));
        match active(board).filter(|_| board.unsure.is_none()).and_then(messages::missing) {
            Some(missing) if missing.starts_with("none") => {
                numbers.push((format!("{connected} connected, {missing}"), Tone::Plain));
            }
            Some(missing) => {
                // Clients that were just evicted are offline for a moment: that is no alarm.
                let tone = if board.alarm().is_some() { Tone::Bad } else { Tone::Warning };
                numbers.push((missing, tone));
                numbers.push((format!("{connected} connected"), Tone::Plain));
            }
            None => numbers.push((format!("{connected} connected"), Tone::Plain)),
        }
    }
    if let Some(ratio) =
        active(board).and_then(Run::landing_ratio).filter(|ratio| *ratio < 0.9 && board.unsure.is_none())
    {
        let text = format!("{} of the evicted arrived", crate::model::human::share(ratio));
        numbers.push((text, if board.alarm().is_some() { Tone::Bad } else { Tone::Warning }));
    }
    if active(board).is_none() {
        numbers.push((format!("{} sessions", count_or_unknown(status.totals.sessions)), Tone::Plain));
        if let Some(serving) = status.totals.serving {
            let tone = if serving < status.totals.nodes { Tone::Warning } else { Tone::Plain };
            numbers.push((in_the_service(serving, status.totals.nodes), tone));
        }
    }
    let mut end = 1;
    let cut = numbers.iter().any(|(text, tone)| {
        end += text.width() + 3;
        urgent(text, *tone) && end > room + 2
    });
    if cut {
        numbers.sort_by_key(|(text, tone)| !urgent(text, *tone));
    }
    numbers
}

/// What must be in sight: what is bad, clients that are missing, and clients that do not arrive.
fn urgent(text: &str, tone: Tone) -> bool {
    let clients = text.ends_with(" missing") || text.ends_with(" arrived");
    tone == Tone::Bad || (tone == Tone::Warning && clients)
}

fn active(board: &ViewModel) -> Option<&Run> {
    board.run.as_ref().filter(|run| run.verdict.is_none() && run.entry.is_some())
}

/// `32 of 78 rounds`.
fn rounds(board: &ViewModel, run: &Run) -> Option<String> {
    let left = run.left.filter(|_| run.ended.is_none())?;
    Some(
        match board.goals.as_ref().and_then(|goals| goals.rounds).filter(|all| {
            // Where the start was not seen, the rounds before the first look are not known.
            *all >= left.rounds && run.counted_since.is_none()
        }) {
            Some(all) => format!("{} of {}", count(all - left.rounds), plural(all, "round")),
            None => format!("{} to go", plural(left.rounds, "round")),
        },
    )
}

/// One column: name and state, then the message, then the numbers.
fn compact(state: &State, board: &ViewModel, pen: &mut Painter<'_>) -> usize {
    let width = pen.width();
    let (word, tone, headline, headline_tone) = doing(board, pen.symbols().arrow);
    let mut x = pen.put(1, 0, width / 2, &board.status.instance.name, Tone::Strong) + 2;
    x = pen.put(x, 0, width, &word, tone) + 1;
    if let Some(percent) = percent(board) {
        x = pen.put(x, 0, width, &format!("{percent} %"), Tone::Strong) + 2;
    }
    let mode = modes(state).into_iter().next();
    let room = width.saturating_sub(mode.as_ref().map_or(1, |(text, _)| text.width() + 3));
    let place = Place::of(state);
    let least = if place.context.is_empty() { 0 } else { place.width(PLACE_NARROW) };
    if let Some(ends) = ends(state, board).filter(|ends| x + ends.width() + least <= room) {
        x = pen.put(x, 0, width, &ends, Tone::Plain);
    }
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
    pen.put(1, 1, width - 1, &headline, headline_tone);
    let dot = pen.symbols().dot;
    let mut facts = Vec::new();
    if let Some(entry) = active(board).and_then(|run| run.entry.as_ref()) {
        facts.push(timeline::short(&entry.stage));
    }
    let room = width.saturating_sub(facts.iter().map(|stage| stage.width() + 3).sum());
    facts.extend(numbers(board, room).into_iter().map(|(text, _)| text));
    let mut line = String::new();
    for fact in facts {
        if 1 + line.width() + fact.width() + 3 > width {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
            line.push_str(dot);
            line.push(' ');
        }
        line.push_str(&fact);
    }
    pen.put(1, 2, width - 1, &line, Tone::Plain);
    3
}
