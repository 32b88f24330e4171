//! The circuit breaker of a lane: `failure_rate > 0.5` over a window opens it, a probe that succeeds closes it.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::config::settings;

/// The window moves on by this share of its length.
const PARTS: u32 = 10;

/// Whether a lane tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Everything is tried.
    #[default]
    Closed,
    /// One event is tried; what becomes of it decides.
    HalfOpen,
    /// Nothing is tried for a while.
    Open,
}

/// What may be tried now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    All,
    /// One event.
    Probe,
    /// Nothing before that.
    NothingUntil(Instant),
}

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// The share of failures above which it opens.
    pub failure_rate: f64,
    /// The time over which that share is taken.
    pub window: Duration,
    /// The fewest outcomes that it judges by.
    pub least: u64,
    /// The first pause.
    pub pause: Duration,
    /// The longest.
    pub longest: Duration,
}

impl BreakerPolicy {
    pub(super) fn new(settings: &settings::Breaker, longest: Duration) -> Self {
        let settings::Breaker { failure_rate, window, least, pause } = *settings;
        Self { failure_rate, window: window.0, least: least.max(1), pause: pause.0, longest }
    }
}

#[derive(Debug, Default)]
pub(super) struct Breaker {
    phase: Phase,
    parts: VecDeque<Part>,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Closed,
    Open {
        until: Instant,
        pause: Duration,
    },
    HalfOpen {
        pause: Duration,
    },
}

#[derive(Debug)]
struct Part {
    since: Instant,
    confirmed: u64,
    failed: u64,
}

impl Breaker {
    pub(super) fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// What may be tried; a pause that is over makes it half-open.
    pub(super) fn allows(&mut self, now: Instant) -> Allowed {
        match self.phase {
            Phase::Closed => Allowed::All,
            Phase::HalfOpen { .. } => Allowed::Probe,
            Phase::Open { until, .. } if until > now => Allowed::NothingUntil(until),
            Phase::Open { pause, .. } => {
                self.phase = Phase::HalfOpen { pause };
                Allowed::Probe
            }
        }
    }

    /// Takes the outcomes of a publish into account.
    pub(super) fn record(&mut self, confirmed: u64, failed: u64, now: Instant, policy: &BreakerPolicy) {
        match self.phase {
            Phase::HalfOpen { pause } if failed > 0 => {
                self.open((pause * 2).min(policy.longest.max(policy.pause)), now);
            }
            Phase::HalfOpen { .. } if confirmed > 0 => self.close(),
            Phase::Closed => {
                self.count(confirmed, failed, now, policy.window);
                if self.fails_too_often(policy) {
                    self.open(policy.pause, now);
                }
            }
            _ => {}
        }
    }

    /// Forgets what was: another target has none of these failures.
    pub(super) fn close(&mut self) {
        *self = Self::default();
    }

    fn open(&mut self, pause: Duration, now: Instant) {
        self.parts.clear();
        self.phase = Phase::Open { until: now + pause, pause };
    }

    fn count(&mut self, confirmed: u64, failed: u64, now: Instant, window: Duration) {
        while self.parts.front().is_some_and(|part| now.duration_since(part.since) > window) {
            self.parts.pop_front();
        }
        match self.parts.back_mut() {
            Some(part) if now.duration_since(part.since) < window / PARTS => {
                part.confirmed += confirmed;
                part.failed += failed;
            }
            _ => self.parts.push_back(Part { since: now, confirmed, failed }),
        }
    }

    fn fails_too_often(&self, policy: &BreakerPolicy) -> bool {
        let failed: u64 = self.parts.iter().map(|part| part.failed).sum();
        let all: u64 = failed + self.parts.iter().map(|part| part.confirmed).sum::<u64>();
        all >= policy.least && failed as f64 > policy.failure_rate * all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BreakerPolicy = BreakerPolicy {
        failure_rate: 0.5,
        window: Duration::from_secs(10),
        least: 4,
        pause: Duration::from_secs(1),
        longest: Duration::from_secs(3),
    };

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn half_of_the_publishes_may_fail_and_not_one_more() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        breaker.record(3, 3, start, &POLICY);
        assert_eq!(breaker.allows(start), Allowed::All);
        breaker.record(0, 1, start, &POLICY);
        assert_eq!(breaker.allows(start), Allowed::NothingUntil(after(start, 1)));
    }

    #[test]
    fn a_few_failures_are_no_rate_and_old_ones_are_forgotten() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        breaker.record(0, 3, start, &POLICY);
        assert_eq!(breaker.state(), BreakerState::Closed);
        breaker.record(0, 3, after(start, 11), &POLICY);
        assert_eq!(breaker.state(), BreakerState::Closed, "the first three are out of the window");
    }

    #[test]
    fn probes_that_fail_double_the_pause_and_one_that_succeeds_closes() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        breaker.record(0, 4, start, &POLICY);
        for (at, until) in [(1, 3), (3, 6), (6, 9)] {
            assert_eq!(breaker.allows(after(start, at)), Allowed::Probe);
            assert_eq!(breaker.state(), BreakerState::HalfOpen);
            breaker.record(0, 1, after(start, at), &POLICY);
            assert_eq!(breaker.allows(after(start, at)), Allowed::NothingUntil(after(start, until)));
        }
        assert_eq!(breaker.allows(after(start, 9)), Allowed::Probe);
        breaker.record(1, 0, after(start, 9), &POLICY);
        assert_eq!(breaker.allows(after(start, 9)), Allowed::All);
    }

    #[test]
    fn a_rate_of_one_never_opens_it() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        breaker.record(0, 1_000, start, &BreakerPolicy { failure_rate: 1.0, ..POLICY });
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
