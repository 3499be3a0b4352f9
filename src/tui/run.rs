//! The one loop. It owns the state; everything else sends messages.
//!
//! Order of priority, written into `select!`: an interrupt from outside, a key, the result of an effect, a
//! fact, time. A frame is drawn at once after a key, and otherwise at most ten times a second; nothing is
//! drawn when nothing changed.
//!
//! The commands use `commands::fact_loop` instead, over the same streams (`ports::fact_streams`). That loop follows one cluster
//! with a world of its own, ends at an interrupt, and waits for an action to end. This loop follows up to 32 clusters in one
//! world, each with an interval that depends on what is shown; keys are answered while actions run.

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use crossterm::event::Event as TerminalEvent;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::context::{ClusterActions, FactSource, ViewContext};
use super::effects;
use super::feed::Feed;
use super::msg::{Done, Effect, Msg};
use super::player::Player;
use super::state::State;
use super::terminal::{Screen, lost};
use super::update::{stopped_here, update, verdict};
use crate::error::{Exit, Problem};
use crate::model::human::utc;
use crate::model::{Fact, Verdict};
use crate::output::theme::Tone;
use crate::plan::history::FollowedOperation;
use crate::plan::next_step;
use crate::timing::{CLOCK_REFRESH, FACTS_TOGETHER, FRAME, IDLE_REFRESH, REQUEST_PAUSE};

/// With more nodes than this the plan is forecast after the frame that answers a key: with fewer it takes
/// less than a frame.
const FORECAST_LATER_ROWS: usize = 100;

/// How the view was closed.
#[derive(Clone, Copy)]
enum Left {
    Quit,
    Interrupted,
    TimedOut,
}

/// A result that arrives later.
enum Late {
    Lists(Result<Vec<Fact>, Problem>),
    Answers(Vec<Fact>),
    Done(Done),
}

type Soon = Pin<Box<dyn Future<Output = Late>>>;

/// The opened source of facts.
enum Source {
    Live(Feed),
    Recording(Player),
}

/// How the view was closed.
pub struct Closed {
    /// The line that stays in the scrollback: the verdict, or what is still running and how to follow it.
    pub line: Option<String>,
    pub exit: Result<Exit, Problem>,
    /// The operations that ended while it was open and that are not recorded yet.
    pub ended: Vec<FollowedOperation>,
}

/// Opens the view; returns when it is closed, with the terminal restored.
pub async fn open(opening: ViewContext) -> Result<Closed, Problem> {
    let ViewContext { setup, from, timeout, interrupt, judged } = opening;
    let source = match from {
        FactSource::Live(live) => Source::Live(Feed::new(live)),
        FactSource::Recording(recording) => {
            let playback = setup.playback.ok_or_else(|| Problem::new("there is nothing to play", ""))?;
            Source::Recording(Player::new(recording, playback.begin, playback.speed)?)
        }
    };
    let mut run = Loop {
        state: State::new(setup),
        source,
        late: FuturesUnordered::new(),
        asked: None,
        pending: Vec::new(),
        leave: None,
        closing: false,
        redraw: false,
    };
    let left = {
        let mut screen = Screen::take(!run.state.setup.no_mouse)?;
        run.begin();
        run.turn(&mut screen, timeout, interrupt).await?
    };
    let line = matches!(left, Left::Quit).then(|| super::closing_line::line(&run.state)).flatten();
    let ended = run.state.endings.open(run.state.ended());
    let exit = run.close(left, judged);
    // An error names by itself what is still running.
    Ok(Closed { line: line.filter(|_| exit.is_ok()), exit, ended })
}

struct Loop {
    state: State,
    source: Source,
    late: FuturesUnordered<Soon>,
    /// When EMQX was last asked because the user requested it.
    asked: Option<Instant>,
    /// The effects to be carried out.
    pending: Vec<Effect>,
    leave: Option<Left>,
    /// Whether the view closes as soon as a stop is verified.
    closing: bool,
    redraw: bool,
}

impl Loop {
    fn begin(&mut self) {
        if let Source::Live(feed) = &self.source {
            let lists = feed.lists();
            self.late.push(Box::pin(async move { Late::Lists(lists.await) }));
            self.state.recording.clone_from(&feed.live().recording);
        }
        if let Source::Recording(player) = &self.source {
            self.state.route = player.survey(&self.state.setup).ok();
        }
    }

    async fn turn(
        &mut self,
        screen: &mut Screen,
        timeout: Option<Duration>,
        mut interrupt: Pin<Box<dyn Future<Output = ()>>>,
    ) -> Result<Left, Problem> {
        let mut out_of_time = std::pin::pin!(async move {
            match timeout {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        });
        let mut continued = std::pin::pin!(continued());
        let (mut drawn, mut beaten) = (Instant::now(), Instant::now());
        // When the first of the facts arrived that are not drawn yet.
        let mut dirty: Option<Instant> = None;
        self.draw(screen, false)?;
        loop {
            let mut urgent = false;
            let plays = match &mut self.source {
                Source::Recording(player) => player.plays(),
                Source::Live(_) => false,
            };
            let beat = match (&self.source, self.state.lively()) {
                (Source::Recording(_), _) if plays => FRAME,
                (Source::Recording(_), _) => Duration::from_hours(1),
                (Source::Live(feed), true) => {
                    CLOCK_REFRESH.div_f64(feed.live().clock.speed().clamp(1.0, 10.0))
                }
                (Source::Live(_), false) => IDLE_REFRESH,
            };
            let mut wake = beaten + beat;
            if let Some(since) = dirty {
                wake = wake.min((drawn + FRAME).max(since + FACTS_TOGETHER));
            }
            tokio::select! {
                biased;
                () = &mut interrupt => return Ok(Left::Interrupted),
                () = &mut continued => {
                    continued.set(self::continued());
                    screen.again()?;
                    self.state.dirty = true;
                    urgent = true;
                }
                event = key(screen) => {
                    // One event at a time: crossterm's stream wakes only the first caller, so that a poll in
                    // between with another waker would lose the next key.
                    urgent = self.handle_terminal(event)?;
                }
                () = &mut out_of_time => return Ok(Left::TimedOut),
                Some(late) = self.late.next(), if !self.late.is_empty() => self.arrived(late)?,
                facts = learn(&mut self.source) => {
                    if let Source::Live(feed) = &self.source {
                        let now = feed.now();
                        self.send(Msg::Facts(now, facts));
                    }
                }
                () = sleep_until(wake) => {}
            }
            if beaten.elapsed() >= beat {
                let passed = beaten.elapsed();
                beaten = Instant::now();
                match &mut self.source {
                    Source::Live(feed) => {
                        let now = feed.now();
                        self.send(Msg::Tick(now));
                    }
                    Source::Recording(player) => player.advance(&mut self.state, passed.as_secs_f64()),
                }
            }
            self.outside(screen)?;
            if let Some(left) = self.leave {
                return Ok(left);
            }
            if std::mem::take(&mut self.redraw) {
                screen.redraw_all()?;
                urgent = true;
            }
            if let Source::Live(feed) = &mut self.source {
                feed.adjust(&self.state);
            }
            if !self.state.dirty {
                dirty = None;
                continue;
            }
            let since = *dirty.get_or_insert_with(Instant::now);
            if urgent || drawn.elapsed() >= FRAME && since.elapsed() >= FACTS_TOGETHER {
                self.draw(screen, urgent)?;
                (drawn, dirty) = (Instant::now(), None);
                if !urgent && matches!(self.source, Source::Live(_)) {
                    // Facts were drawn: ages are drawn again only after a full interval. During an operation EMQX answers once
                    // per interval, a little later than the clock: one frame shows both.
                    beaten = if self.state.lively() { drawn + beat / 2 } else { drawn };
                }
            }
        }
    }

    /// Draws a frame. A key is answered before a plan is forecast again, which takes long for many nodes; the
    /// forecast is drawn afterwards.
    fn draw(&mut self, screen: &mut Screen, urgent: bool) -> Result<(), Problem> {
        self.state.refresh_board();
        self.state.dirty = false;
        let long = self.state.board().is_some_and(|board| board.rows.len() > FORECAST_LATER_ROWS);
        if urgent && long && self.state.forecast_due {
            screen.draw(&self.state)?;
        }
        self.state.forecast_again();
        screen.draw(&self.state)
    }

    /// Handles a key or another size. Returns whether a frame is drawn at once.
    fn handle_terminal(&mut self, event: Option<std::io::Result<TerminalEvent>>) -> Result<bool, Problem> {
        match event {
            Some(Ok(TerminalEvent::Key(key))) => {
                // The cursor moves over the present rows.
                self.state.refresh_board();
                self.send(Msg::Key(key));
                Ok(true)
            }
            Some(Ok(TerminalEvent::Mouse(event))) => {
                self.state.refresh();
                self.send(Msg::Mouse(event));
                Ok(self.state.dirty)
            }
            Some(Ok(TerminalEvent::Resize(..))) => {
                self.send(Msg::Resize);
                Ok(true)
            }
            Some(Ok(_)) => Ok(false),
            Some(Err(error)) => Err(lost(&error)),
            None => Err(Problem::new("the terminal is lost", "it sends no keys any more")),
        }
    }

    fn arrived(&mut self, late: Late) -> Result<(), Problem> {
        match late {
            Late::Lists(facts) => {
                let Source::Live(feed) = &mut self.source else { return Ok(()) };
                let now = feed.now();
                self.pending.extend(update(&mut self.state, Msg::Facts(now, facts?)));
                let answers = feed.answers(&self.state);
                self.late.push(Box::pin(async move { Late::Answers(answers.await) }));
            }
            Late::Answers(facts) => {
                let Source::Live(feed) = &mut self.source else { return Ok(()) };
                let now = feed.now();
                self.pending.extend(update(&mut self.state, Msg::Facts(now, facts)));
                feed.watch();
                self.send(Msg::Ready(now));
            }
            Late::Done(done) => {
                let stopped = matches!(&done, Done::Stopped(_, Ok(_)));
                self.send(Msg::Done(done));
                if std::mem::take(&mut self.closing) {
                    if stopped {
                        self.leave = Some(Left::Quit);
                    } else {
                        self.closing = self.state.stopping();
                    }
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, msg: Msg) {
        let effects = update(&mut self.state, msg);
        self.pending.extend(effects);
    }

    /// Carries out the effects.
    fn outside(&mut self, screen: &mut Screen) -> Result<(), Problem> {
        for effect in std::mem::take(&mut self.pending) {
            match effect {
                // Closing during a stop would leave the object: the view closes when the stop is verified.
                Effect::Quit if self.state.stopping() && !self.closing => {
                    self.closing = true;
                    let text = "the view closes when the stop is verified; q again leaves at once";
                    self.state.show_message(Tone::Warning, text);
                }
                Effect::Quit => self.leave = Some(Left::Quit),
                Effect::Interrupt => self.leave = Some(Left::Interrupted),
                Effect::Suspend => {
                    screen.suspend()?;
                    self.redraw = true;
                }
                Effect::Redraw => self.redraw = true,
                Effect::Copy(text) => Screen::copy(&text)?,
                Effect::Alarm(title) => screen.alarm(&self.state.theme().clean(&title))?,
                Effect::Play(play) => {
                    if let Source::Recording(player) = &mut self.source {
                        player.play(&mut self.state, play)?;
                        self.state.dirty = true;
                    }
                }
                Effect::Refresh => {
                    let due = self.asked.is_none_or(|asked| asked.elapsed() >= REQUEST_PAUSE);
                    if let Source::Live(feed) = &mut self.source
                        && due
                    {
                        feed.ask();
                        self.asked = Some(Instant::now());
                    }
                }
                Effect::Record(on) => self.record(on),
                effect => self.act(effect),
            }
        }
        Ok(())
    }

    fn record(&mut self, on: bool) {
        let Source::Live(feed) = &mut self.source else { return };
        let done = if on {
            let begun = feed.live().records.begin();
            if begun.is_ok() {
                feed.restart();
            }
            begun.map(Some)
        } else {
            feed.live().records.end().map(|()| None)
        };
        self.send(Msg::Done(Done::Recording(done)));
    }

    fn act(&mut self, effect: Effect) {
        let Source::Live(feed) = &self.source else { return };
        let acts: Rc<dyn ClusterActions> = feed.live().acts.clone();
        for result in effects::start(&acts, &self.state, effect) {
            self.late.push(Box::pin(async move { Late::Done(result.await) }));
        }
    }

    /// The exit of the view.
    fn close(self, left: Left, judged: bool) -> Result<Exit, Problem> {
        let wanted = self.state.setup.wanted.as_slice();
        let running = self.state.going();
        let verdict = verdict(&self.state, wanted).filter(|_| judged);
        let still_running = |problem: Problem| match (&running, &self.state.open) {
            (Some(name), Some(id)) => {
                let (why, hint) = next_step::still_running(&self.state.world, id, name);
                Problem { why, ..problem }.hint(hint)
            }
            _ => problem,
        };
        let stopped = judged && stopped_here(&self.state, wanted);
        match left {
            Left::Quit | Left::TimedOut if stopped => Ok(Exit::Reached),
            Left::Interrupted => Err(still_running(Problem::new("interrupted", "").interrupted())),
            Left::TimedOut => match (&running, verdict) {
                (Some(name), _) => {
                    let what = timed_out(&self.state, name, verdict);
                    Err(still_running(Problem::new(what, "").exit(Exit::TimedOut)))
                }
                (None, verdict) => Ok(verdict.map_or(Exit::Reached, Verdict::exit)),
            },
            Left::Quit => match verdict {
                Some(verdict) if verdict.is_final() => Ok(verdict.exit()),
                Some(_) => Err(still_running(Problem::new("left before its verdict", "").interrupted())),
                None => Ok(Exit::Reached),
            },
        }
    }
}

/// The message when the time limit is reached: where EMQX has not answered, it is unknown whether the
/// operation is running.
fn timed_out(state: &State, name: &str, verdict: Option<Verdict>) -> String {
    match state.here().and_then(|cluster| cluster.operations.silent_since(name)) {
        Some(since) => format!(
            "time ran out, and EMQX has not answered since {}: whether {name} is still running is not known",
            utc(since)
        ),
        None => format!("time ran out while {name} is {}", verdict.unwrap_or(Verdict::Running).words()),
    }
}

async fn key(screen: &mut Screen) -> Option<std::io::Result<TerminalEvent>> {
    match screen.keys() {
        Some(keys) => keys.next().await,
        None => std::future::pending().await,
    }
}

async fn learn(source: &mut Source) -> Vec<Fact> {
    match source {
        Source::Live(feed) => feed.next().await,
        Source::Recording(_) => std::future::pending().await,
    }
}

/// Ends when the process was suspended and continued.
async fn continued() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let number = rustix::process::Signal::CONT.as_raw();
        if let Ok(mut stream) = signal(SignalKind::from_raw(number)) {
            stream.recv().await;
            return;
        }
    }
    std::future::pending::<()>().await;
}
