//! Ways out: one file each, and one line in [`KINDS`].
//!
//! A backend connects, publishes a batch, closes. It never retries, sleeps, logs policy or counts:
//! [`crate::delivery`] alone decides, steered by the [`Failure`]s that a backend reports.

use std::time::Duration;

use async_trait::async_trait;

use crate::Event;
use crate::names::BackendName;

/// Why an event of a batch is not confirmed, and what the lane shall do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Try this event again after the usual pause.
    #[error("{0}")]
    Retry(String),
    /// The receiver asks for a pause of this length; all of the lane waits.
    #[error("{1}")]
    BackOff(Duration, String),
    /// The connection is gone: connect, then try again. Does not count as one of the event's tries.
    #[error("{0}")]
    Reconnect(String),
    /// This event can never be delivered here: a dead letter at once.
    #[error("{0}")]
    Reject(String),
}

/// Where a confirmed event now is, in the broker's own words (stream id, partition and offset, status).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt(pub Option<Box<str>>);

/// One outcome for each event of the batch, in its order.
pub type Outcomes = Vec<Result<Receipt, Failure>>;

/// One event on its way out, with the hash of its ordering key.
#[derive(Clone, Debug)]
pub struct Item {
    /// What is to be published.
    pub event: Event,
    /// Events of one key are confirmed in order.
    pub key: u64,
}

/// A connection to one place that events go to. One lane owns it and calls it from one task.
#[async_trait]
pub trait Backend: Send {
    /// Connects, and checks what can be checked (topic, credentials). Called before the first publish and after
    /// each [`Failure::Reconnect`].
    ///
    /// # Errors
    /// `Retry`/`Reconnect`/`BackOff` for what may pass, `Reject` for what someone must mend first; the lane tries
    /// again in any case and shows the message.
    async fn connect(&mut self) -> Result<(), Failure>;

    /// Publishes a batch and waits until each event is confirmed or refused.
    ///
    /// Within a batch, no event may be confirmed after an earlier one of the same key has failed: stop at it, or
    /// make the batch atomic.
    async fn publish(&mut self, batch: &[Item]) -> Outcomes;

    /// Says good-bye.
    async fn close(&mut self);
}

/// What a backend's settings opened: usually one target, one per url for webhooks. Each gets a lane of its own.
pub struct Target {
    /// The lane's name: the backend's, with a suffix where it has several targets.
    pub name: BackendName,
    /// Where it goes, for status and errors; no credentials in it.
    pub address: String,
    /// The connection.
    pub backend: Box<dyn Backend>,
    /// `None` = `events.dlq.max_retries`; a backend's own setting (`webhook.retry_attempts`) goes first.
    pub max_retries: Option<u32>,
    /// Its own pauses between tries (`webhook.retry_delay_seconds`, `retry_backoff`); `None` = `host.delivery`.
    pub pause: Option<Pause>,
}

/// Pauses between tries, where a backend has its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pause {
    /// The first.
    pub base: Duration,
    /// Whether it doubles each time.
    pub exponential: bool,
}
