//! Waits for a condition, with a limit.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;

/// Repeats `check` until it succeeds, at most for `limit`; the error is its last one.
pub(super) async fn try_until<T>(
    what: &str,
    limit: Duration,
    mut check: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, String> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(5);
    let mut last = String::from("no answer");
    while let Some(left) = limit.checked_sub(began.elapsed()) {
        match tokio::time::timeout(left, check()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(why)) => last = why,
            Err(_) => break,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_millis(100));
    }
    Err(format!("{what}: not within {limit:?}; last: {last}"))
}

/// Waits until `check` returns a value; panics with its last error when the limit is reached.
pub async fn until<T>(what: &str, limit: Duration, check: impl AsyncFnMut() -> Result<T, String>) -> T {
    try_until(what, limit, check).await.unwrap_or_else(|why| panic!("{why}"))
}

/// Whether the pod's condition has the status.
pub fn condition_is(pod: &Pod, kind: &str, status: &str) -> bool {
    pod.status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten())
        .any(|c| c.type_ == kind && c.status == status)
}
