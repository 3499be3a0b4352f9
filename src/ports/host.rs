//! The program's inputs from its machine: elapsed time and random numbers. Both can be replaced on a thread,
//! so that a simulation runs on virtual time and is reproducible from a seed.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::Duration;

/// Replaces the machine on one thread.
#[derive(Clone)]
pub struct Host {
    /// Time since a fixed moment.
    pub elapsed: Rc<dyn Fn() -> Duration>,
    /// The next random number.
    pub random: Rc<dyn Fn() -> u64>,
}

thread_local! {
    static HOST: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// Replaces the machine on this thread; `None` restores the real one.
pub fn replace(host: Option<Host>) {
    HOST.with(|slot| *slot.borrow_mut() = host);
}

fn host() -> Option<Host> {
    HOST.with(|slot| slot.borrow().clone())
}

/// Time since a fixed moment, by a clock that cannot be set and that includes the time in which the machine
/// sleeps.
pub(crate) fn elapsed() -> Duration {
    host().map_or_else(machine, |host| (host.elapsed)())
}

/// A random number, for jitter only.
pub(crate) fn random() -> u64 {
    host().map_or_else(|| RandomState::new().hash_one(()), |host| (host.random)())
}

/// `CLOCK_BOOTTIME` counts sleep on Linux, `CLOCK_MONOTONIC` does on macOS (XNU's `clock_gettime(3)`).
#[cfg(unix)]
fn machine() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = ClockId::Monotonic;
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}

/// `QueryPerformanceCounter`, which is behind `Instant` on Windows, counts sleep.
#[cfg(not(unix))]
fn machine() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elapsed_time_never_goes_backwards_and_a_replaced_host_decides_it() {
        let first = elapsed();
        assert!(elapsed() >= first);
        let hour = Duration::from_hours(1);
        replace(Some(Host { elapsed: Rc::new(move || hour), random: Rc::new(|| 7) }));
        assert_eq!((elapsed(), random()), (hour, 7));
        replace(None);
        assert!(elapsed() >= first);
    }
}
