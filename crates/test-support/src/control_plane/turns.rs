//! How many control planes of one test process run at the same time.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// More of them on two cores start so slowly that the waits of the tests time out.
const AT_ONCE: u32 = 4;
/// Longer than every test of a control plane takes.
const LIMIT: Duration = Duration::from_mins(10);

static RUNNING: Mutex<u32> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// Permission to run one control plane, until it is dropped. A test that holds one and waits for another can wait
/// for a test that does the same, so a test has one control plane.
pub(super) struct Turn;

impl Turn {
    /// Blocks the thread, not only the task: the runtime of a test has nothing else to do before its control plane runs.
    pub(super) fn wait() -> Self {
        // A test that panics drops its turn without the lock, so the count is correct.
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut running, _) = ENDED
            .wait_timeout_while(running, LIMIT, |running| *running >= AT_ONCE)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(*running < AT_ONCE, "{AT_ONCE} control planes have been running for {LIMIT:?}");
        *running += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_one();
    }
}
