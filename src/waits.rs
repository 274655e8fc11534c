//! How long to wait until something is tried again.

use std::time::Duration;

/// The longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(300);

/// How long to wait after so many tries, without the jitter: 2 s, doubled each time.
#[must_use]
pub fn backoff(tries: u32) -> Duration {
    Duration::from_secs(2).saturating_mul(1 << tries.min(10)).min(LONGEST)
}

/// Up to a fifth more, so that hosts do not move in step.
pub(crate) fn jittered(time: Duration) -> Duration {
    time.saturating_add(time.mul_f64(fastrand::f64() * 0.2))
}
