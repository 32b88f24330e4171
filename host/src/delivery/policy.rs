//! How a lane works: the settings, for one backend.

use std::time::Duration;

use super::BreakerPolicy;
use crate::config::Settings;
use crate::config::settings::OwnDelivery;

/// What becomes of events that are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// They are kept (`events.dlq.enabled: true`).
    DeadLetter,
    /// They are dropped and counted.
    Drop,
}

/// How a lane works.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The most events in one publish; where absent, as many as the backend likes best.
    pub batch: Option<usize>,
    /// How long a batch waits to fill.
    pub linger: Duration,
    /// The most events in memory.
    pub queue: usize,
    /// The most events a second.
    pub rate: Option<f64>,
    /// The first pause before a retry.
    pub retry_base: Duration,
    /// The longest.
    pub retry_max: Duration,
    /// Tries after the first.
    pub max_retries: u32,
    /// When it stops trying for a while.
    pub breaker: BreakerPolicy,
    /// What becomes of events that are given up.
    pub given_up: GivenUp,
    /// One log record for each published event.
    pub log_events: bool,
    /// Measure from acceptance to confirmation.
    pub track_latency: bool,
}

impl Policy {
    /// What the settings say, and for this backend in particular.
    pub fn new(settings: &Settings, own: &OwnDelivery) -> Self {
        let delivery = &settings.host.delivery;
        let events = settings.events.clone().unwrap_or_default();
        Self {
            batch: own.batch.or(delivery.batch).map(|batch| batch.max(1)),
            linger: own.linger.unwrap_or(delivery.linger).0,
            queue: delivery.queue.max(1),
            rate: own.rate.or(delivery.rate).filter(|rate| *rate > 0.0),
            retry_base: delivery.retry_base.0,
            retry_max: delivery.retry_max.0,
            max_retries: events.dlq.max_retries,
            breaker: BreakerPolicy::new(&delivery.breaker, delivery.retry_max.0),
            given_up: if events.dlq.enabled { GivenUp::DeadLetter } else { GivenUp::Drop },
            log_events: events.monitoring.log_events,
            track_latency: events.monitoring.track_publish_latency,
        }
    }
}
