//! Lanes: between the workers and one backend each.
//!
//! A lane batches, retries with pauses, keeps order per key, reconnects, and overflows to disk while its backend is down,
//! so that no other lane waits. Backends only say what happened; everything that follows is decided here.

mod lane;
mod pause;
mod pending;
mod queue;

use std::time::Duration;

use serde::Serialize;

pub use lane::{Lane, Overflow};

use crate::Event;
use crate::config::Settings;
use crate::journal::Owed;
use crate::names::RouteName;

/// One event for one lane.
#[derive(Debug)]
pub struct Outgoing {
    /// The event.
    pub event: Event,
    /// The hash of its ordering key.
    pub key: u64,
    /// When it was accepted, Unix milliseconds.
    pub at_ms: u64,
    /// The route that it took.
    pub route: RouteName,
    /// To be settled once it is confirmed or kept elsewhere.
    pub owed: Owed,
}

/// What becomes of events that are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// They are kept (`events.dlq.enabled: true`).
    DeadLetter,
    /// They are dropped and counted.
    Drop,
}

/// How lanes work.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The most events in one publish.
    pub batch: usize,
    /// How long a batch waits to fill.
    pub linger: Duration,
    /// The most events in memory.
    pub queue: usize,
    /// The first pause before a retry.
    pub retry_base: Duration,
    /// The longest.
    pub retry_max: Duration,
    /// Tries after the first.
    pub max_retries: u32,
    /// What becomes of events that are given up.
    pub given_up: GivenUp,
    /// One log record for each published event.
    pub log_events: bool,
    /// Measure from acceptance to confirmation.
    pub track_latency: bool,
}

impl Policy {
    /// What the settings say.
    pub fn new(settings: &Settings) -> Self {
        let delivery = &settings.host.delivery;
        let events = settings.events.clone().unwrap_or_default();
        Self {
            batch: delivery.batch.max(1),
            linger: delivery.linger.0,
            queue: delivery.queue.max(1),
            retry_base: delivery.retry_base.0,
            retry_max: delivery.retry_max.0,
            max_retries: events.dlq.max_retries,
            given_up: if events.dlq.enabled { GivenUp::DeadLetter } else { GivenUp::Drop },
            log_events: events.monitoring.log_events,
            track_latency: events.monitoring.track_publish_latency,
        }
    }
}

/// What a lane says of itself.
#[derive(Clone, Debug, Serialize)]
pub struct LaneStatus {
    /// Its name.
    pub name: String,
    /// Where it delivers.
    pub address: String,
    /// Whether it can.
    pub state: State,
    /// The last error, while there is one.
    pub error: Option<String>,
    /// Since when the state holds, Unix milliseconds.
    pub since_ms: u64,
    /// Events in memory.
    pub queued: usize,
    /// Bytes that wait on disk.
    pub overflow_bytes: u64,
    /// Events confirmed since the start.
    pub delivered: u64,
    /// Tries after the first.
    pub retries: u64,
    /// Events given up.
    pub dead: u64,
}

/// Whether a lane can deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not connected yet.
    Connecting,
    /// Connected.
    Up,
    /// Cannot connect, or has lost its connection; tries again.
    Down,
}

#[cfg(test)]
mod tests;
