//! Waiting is for a condition with a limit, never for a time.

use std::time::{Duration, Instant};

/// How long a condition is waited for unless a test says otherwise: a limit for a machine that is busy with brokers, too.
pub const PATIENCE: Duration = Duration::from_mins(2);

const BETWEEN: Duration = Duration::from_millis(5);

/// Waits until `probe` gives a value.
///
/// # Panics
/// After `limit`, saying what was waited for.
pub async fn until<T>(what: &str, limit: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(begin.elapsed() < limit, "waited {limit:?} in vain until {what}");
        tokio::time::sleep(BETWEEN).await;
    }
}

/// Waits until `probe` is true.
///
/// # Panics
/// After `limit`, saying what was waited for.
pub async fn until_true(what: &str, limit: Duration, mut probe: impl AsyncFnMut() -> bool) {
    until(what, limit, async || probe().await.then_some(())).await;
}
