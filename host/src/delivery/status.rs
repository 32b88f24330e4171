//! What a lane says of itself.

use serde::Serialize;

use super::BreakerState;

/// A picture of one lane.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct LaneStatus {
    /// Its name.
    pub name: String,
    /// Where it delivers.
    pub address: String,
    /// Whether it can.
    pub state: State,
    /// Whether an operator has stopped it for a while.
    pub paused: bool,
    /// Whether an operator lets it deliver what it has and take no more; paused, too, once it has nothing left.
    pub emptying: bool,
    /// Whether it tries.
    pub breaker: BreakerState,
    /// The last error, while there is one.
    pub error: Option<String>,
    /// Since when the state holds, Unix milliseconds.
    pub since_ms: u64,
    /// Events in memory.
    pub queued: usize,
    /// Bytes that wait on disk.
    pub overflow_bytes: u64,
    /// Whether its overflow takes no more; its events then wait in the journal.
    pub full: bool,
    /// Milliseconds since the oldest event was accepted that waits in memory or is with the backend.
    pub waits_ms: Option<u64>,
    /// How long the backend takes for a batch, in milliseconds: an average, or the one under way where that is longer.
    pub publish_ms: Option<f64>,
    /// Events confirmed since the start.
    pub delivered: u64,
    /// Tries that were not confirmed.
    pub failures: u64,
    /// Tries after the first.
    pub retries: u64,
    /// Events given up.
    pub dead: u64,
    /// The consumer groups that are looked at.
    pub consumers: Vec<ConsumerStatus>,
}

/// A consumer group of a backend, at the last look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ConsumerStatus {
    /// What the broker calls it.
    pub name: String,
    /// Events that it has not been given yet; absent where the broker does not know.
    pub lag: Option<u64>,
    /// Events that it was given and has not acknowledged.
    pub pending: Option<u64>,
    /// When it was looked at, Unix milliseconds.
    pub at_ms: u64,
    /// Why nothing is known of it.
    pub error: Option<String>,
}

/// Whether a lane can deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[schemars(rename = "LaneState")]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not connected yet.
    Connecting,
    /// Connected.
    Up,
    /// Cannot connect, or has lost its connection; tries again.
    Down,
}
