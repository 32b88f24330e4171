//! The time as a number, for what is written down and compared.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn now_ns() -> u64 {
    u64::try_from(since_epoch().as_nanos()).unwrap_or(u64::MAX)
}

/// Processor time of this thread so far.
pub(crate) fn thread_cpu() -> Duration {
    duration(clock_gettime(ClockId::ThreadCPUTime))
}

/// Time that only goes on.
pub(crate) fn steady() -> Duration {
    duration(clock_gettime(ClockId::Monotonic))
}

/// As [`steady`], for a fraction of what that costs: what it was at the kernel's last tick.
pub(crate) fn last_tick() -> Duration {
    duration(clock_gettime(ClockId::MonotonicCoarse))
}

/// How long the kernel's ticks are apart.
pub(crate) fn between_ticks() -> Duration {
    duration(clock_getres(ClockId::MonotonicCoarse))
}

/// None of these clocks is ever before its beginning.
fn duration(time: Timespec) -> Duration {
    Duration::try_from(time).unwrap_or_default()
}

/// A clock that is set to before 1970 is taken for one that stands there.
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
