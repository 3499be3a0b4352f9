//! Virtual time, the only time of the simulated cluster.
//!
//! ```text
//! running clock   now = start + speed × (real time since start)       (`demo --speed N`)
//! standing clock  now = start + everything `advance` was asked for    (tests: nothing sleeps)
//! ```
//!
//! Timed work (the operator's loops, the kubelet, timed faults) is done by a [`Worker`]: it is busy, or it
//! waits for a time or for a call that [raises](Raiser::raise) it. A standing clock advances from one awaited
//! time to the next, and only when every worker waits and every [gate](Clock::add_gate) is open. So each run
//! is identical, independently of the machine's speed. The broker needs no worker: it is advanced to `now` at
//! each access.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

/// The real time for which a standing clock waits for busy workers before it continues: a worker that hangs
/// must not make the test hang.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

type Gate = Arc<dyn Fn() -> bool + Send + Sync>;

/// The clock; clones are the same clock.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    origin: Timestamp,
    started: Instant,
    /// `None` for a standing clock.
    speed: Option<f64>,
    state: Mutex<State>,
    idle: Notify,
}

#[derive(Default)]
struct State {
    moved: Duration,
    workers: BTreeMap<u64, Seat>,
    next: u64,
    busy: usize,
    gates: Vec<Gate>,
}

struct Seat {
    notify: Arc<Notify>,
    deadline: Option<Duration>,
    waiting: bool,
    undisturbed: bool,
    raised: bool,
}

impl Clock {
    /// A clock that runs `speed` times as fast as the real one, from the real now; `0` (or less) makes it stand.
    pub fn new(speed: f64) -> Self {
        Self::start(Timestamp::now(), (speed > 0.0).then_some(speed))
    }

    /// A clock that runs as fast as tokio's, from `origin`: a paused runtime makes a simulation of it.
    pub fn running_from(origin: Timestamp) -> Self {
        Self::start(origin, Some(1.0))
    }

    /// A clock that stands at `origin` until it is [advanced](Clock::advance).
    pub fn standing_at(origin: Timestamp) -> Self {
        Self::start(origin, None)
    }

    fn start(origin: Timestamp, speed: Option<f64>) -> Self {
        Self(Arc::new(Inner {
            origin,
            started: Instant::now(),
            speed,
            state: Mutex::new(State::default()),
            idle: Notify::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Virtual time since the start.
    pub fn elapsed(&self) -> Duration {
        match self.0.speed {
            Some(speed) => self.0.started.elapsed().mul_f64(speed),
            None => self.state().moved,
        }
    }

    /// The virtual now.
    pub fn now(&self) -> Timestamp {
        self.at(self.elapsed())
    }

    /// The virtual time at `elapsed` since the start.
    pub fn at(&self, elapsed: Duration) -> Timestamp {
        let span = SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::MAX);
        self.0.origin.checked_add(span).unwrap_or(Timestamp::MAX)
    }

    /// Virtual seconds per real second; `None` when the clock stands still.
    pub fn speed(&self) -> Option<f64> {
        self.0.speed
    }

    /// Waits until `span` of virtual time has passed; a standing clock must be advanced for that.
    pub async fn sleep(&self, span: Duration) {
        let until = self.elapsed() + span;
        self.worker().sleep_until(until).await;
    }

    /// A new participant, busy until it waits.
    pub fn worker(&self) -> Worker {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.busy += 1;
        let notify = Arc::new(Notify::new());
        state.workers.insert(
            id,
            Seat {
                notify: Arc::clone(&notify),
                deadline: None,
                waiting: false,
                undisturbed: false,
                raised: false,
            },
        );
        drop(state);
        Worker { clock: self.clone(), id, notify }
    }

    /// A condition that must hold before a standing clock may advance, for work that is in transit over a
    /// socket.
    pub fn add_gate(&self, gate: impl Fn() -> bool + Send + Sync + 'static) {
        self.state().gates.push(Arc::new(gate));
    }

    /// Drops every gate. Gates own objects that own the clock: a simulation that has ended would stay in
    /// memory.
    pub(super) fn drop_gates(&self) {
        self.state().gates.clear();
    }

    /// Moves a standing clock by `span`, stopping at every time a worker waits for. Does nothing to a running one.
    pub async fn advance(&self, span: Duration) {
        if self.0.speed.is_some() {
            return;
        }
        let target = self.elapsed() + span;
        loop {
            self.settle().await;
            let mut state = self.state();
            let next = state
                .workers
                .values()
                .filter(|seat| seat.waiting)
                .filter_map(|seat| seat.deadline)
                .filter(|&deadline| deadline <= target)
                .min();
            let Some(next) = next else {
                state.moved = target;
                break;
            };
            state.moved = state.moved.max(next);
            let now = state.moved;
            let mut woken = 0;
            for seat in state.workers.values_mut() {
                if seat.waiting && seat.deadline.is_some_and(|deadline| deadline <= now) {
                    seat.waiting = false;
                    woken += 1;
                    seat.notify.notify_one();
                }
            }
            state.busy += woken;
        }
        self.settle().await;
    }

    /// Waits until every worker waits and every gate is open: everything at this virtual time has then
    /// happened.
    pub async fn settle(&self) {
        let started = Instant::now();
        while started.elapsed() < LONGEST_WAIT {
            // Gates access objects whose owners use the clock, so the clock must not be locked here. Gates
            // are checked first: an event that opens a gate makes its worker busy before.
            let gates = self.state().gates.clone();
            let open = gates.iter().all(|gate| gate());
            let busy = self.state().busy;
            if busy == 0 && open {
                return;
            }
            if busy > 0 {
                let _ = tokio::time::timeout(Duration::from_millis(20), self.0.idle.notified()).await;
            } else {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let waiting = self.state().busy;
        tracing::warn!(waiting, "the clock moves on although something is still at work");
    }
}

/// Why a [`Worker`] woke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The time it waited for has come.
    Time,
    /// It was [raised](Raiser::raise).
    Raised,
}

/// One participant in virtual time. Dropping it removes it.
pub struct Worker {
    clock: Clock,
    id: u64,
    notify: Arc<Notify>,
}

impl Worker {
    /// A handle by which others wake this worker.
    pub fn raiser(&self) -> Raiser {
        Raiser { clock: self.clone_clock(), id: self.id }
    }

    fn clone_clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Waits for the virtual time `until` (since the clock's start; `None` is never) or to be raised.
    pub async fn wait(&mut self, until: Option<Duration>) -> Woken {
        self.rest(until, false).await
    }

    /// Waits for the virtual time `until`; a raise in the meantime is stored for the next
    /// [`wait`](Worker::wait).
    pub async fn sleep_until(&mut self, until: Duration) {
        self.rest(Some(until), true).await;
    }

    async fn rest(&mut self, until: Option<Duration>, undisturbed: bool) -> Woken {
        {
            let now = self.clock.elapsed();
            let mut state = self.clock.state();
            let Some(seat) = state.workers.get_mut(&self.id) else {
                return Woken::Time;
            };
            if seat.raised && !undisturbed {
                seat.raised = false;
                return Woken::Raised;
            }
            if until.is_some_and(|until| until <= now) {
                return Woken::Time;
            }
            seat.waiting = true;
            seat.undisturbed = undisturbed;
            seat.deadline = until;
            state.busy -= 1;
            if state.busy == 0 {
                self.clock.0.idle.notify_one();
            }
        }
        loop {
            match (self.clock.0.speed, until) {
                (Some(speed), Some(until)) => {
                    let left = until.saturating_sub(self.clock.elapsed()).div_f64(speed);
                    // A little later rather than earlier: the time of a timer must have passed when it wakes.
                    let left = left + Duration::from_micros(500);
                    tokio::select! {
                        biased;
                        () = self.notify.notified() => {}
                        () = tokio::time::sleep(left) => {}
                    }
                }
                _ => self.notify.notified().await,
            }
            let now = self.clock.elapsed();
            let running = self.clock.0.speed.is_some();
            let mut state = self.clock.state();
            let Some(seat) = state.workers.get_mut(&self.id) else {
                return Woken::Time;
            };
            if !seat.waiting {
                let raised = seat.raised && !undisturbed;
                if raised {
                    seat.raised = false;
                }
                return if raised { Woken::Raised } else { Woken::Time };
            }
            if running && until.is_some_and(|until| until <= now) {
                seat.waiting = false;
                state.busy += 1;
                return Woken::Time;
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let mut state = self.clock.state();
        if let Some(seat) = state.workers.remove(&self.id)
            && !seat.waiting
        {
            state.busy -= 1;
            if state.busy == 0 {
                self.clock.0.idle.notify_one();
            }
        }
    }
}

/// Wakes one [`Worker`]. Cheap to clone; without effect when the worker no longer exists.
#[derive(Clone)]
pub struct Raiser {
    clock: Clock,
    id: u64,
}

impl Raiser {
    /// Wakes the worker, or, when it is busy, makes its next wait return at once.
    pub fn raise(&self) {
        let mut state = self.clock.state();
        let Some(seat) = state.workers.get_mut(&self.id) else { return };
        seat.raised = true;
        if seat.waiting && !seat.undisturbed {
            seat.waiting = false;
            seat.notify.notify_one();
            state.busy += 1;
        }
    }
}

/// The header in which the demo reports its virtual clock; `Date` has whole seconds and no speed.
pub(crate) const DEMO_CLOCK: &str = "x-emqx-demo-clock";

impl Clock {
    /// The value of [`DEMO_CLOCK`] at this moment.
    pub(crate) fn header(&self) -> String {
        format!("time={}; speed={}", self.now(), self.speed().unwrap_or(0.0))
    }
}

/// The `Date` header's form of a time (RFC 9110, 5.6.7).
pub(crate) fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Kubernetes' form of a time: RFC 3339 in UTC, whole seconds.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_standing_clock_moves_only_when_advanced_and_stops_at_every_awaited_time() {
        let clock = Clock::standing_at(Timestamp::UNIX_EPOCH);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut worker = clock.worker();
        let (log, inner) = (Arc::clone(&seen), clock.clone());
        let task = tokio::spawn(async move {
            for second in 1..=5 {
                worker.wait(Some(SECOND * second)).await;
                log.lock().unwrap_or_else(PoisonError::into_inner).push(inner.elapsed().as_secs());
            }
        });
        clock.advance(SECOND * 3).await;
        assert_eq!(*seen.lock().unwrap_or_else(PoisonError::into_inner), [1, 2, 3]);
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH + 3 * SignedDuration::from_secs(1));
        clock.advance(SECOND * 3).await;
        assert_eq!(*seen.lock().unwrap_or_else(PoisonError::into_inner), [1, 2, 3, 4, 5]);
        assert!(task.await.is_ok());
    }

    #[tokio::test]
    async fn a_raised_worker_wakes_without_time_passing() {
        let clock = Clock::standing_at(Timestamp::UNIX_EPOCH);
        let count = Arc::new(AtomicUsize::new(0));
        let mut worker = clock.worker();
        let raiser = worker.raiser();
        let counter = Arc::clone(&count);
        tokio::spawn(async move {
            while worker.wait(None).await == Woken::Raised {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        clock.settle().await;
        raiser.raise();
        clock.settle().await;
        assert_eq!(count.load(Ordering::SeqCst), 1);
        assert_eq!(clock.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_running_clock_runs_at_its_speed() {
        let clock = Clock::new(1000.0);
        clock.sleep(SECOND * 5).await;
        assert!(clock.elapsed() >= SECOND * 5);
    }

    #[test]
    fn dates_are_written_as_http_and_kubernetes_want_them() {
        let time = Timestamp::UNIX_EPOCH;
        assert_eq!(http_date(time), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(rfc3339(time), "1970-01-01T00:00:00Z");
    }
}
