//! Pauses before a retry: exponential, with full jitter (Brooker, "Exponential Backoff And Jitter").

use std::time::Duration;

use super::Policy;
use crate::backends::Pause;

/// The pause before try `tries + 1`.
pub(super) fn before(tries: u32, own: Option<Pause>, policy: &Policy) -> Duration {
    let (base, exponential) = own.map_or((policy.retry_base, true), |own| (own.base, own.exponential));
    let factor = if exponential { 1_u32 << tries.saturating_sub(1).min(20) } else { 1 };
    let longest = base.saturating_mul(factor).min(policy.retry_max.max(base));
    longest.mul_f64(fastrand::f64())
}
