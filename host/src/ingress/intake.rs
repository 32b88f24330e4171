//! The seam to the next room.

use std::time::Duration;

use async_trait::async_trait;

use crate::Event;
use crate::trace::Carried;

/// What an ingress has for the host: the events of one message.
#[derive(Debug)]
pub struct Arrived {
    /// They are taken as a whole.
    pub events: Vec<Event>,
    /// The kind of ingress.
    pub ingress: &'static str,
    /// What the transport says of the trace that they belong to, where tracing is on.
    pub carried: Option<Carried>,
}

/// Takes events over from an ingress.
#[async_trait]
pub trait Intake: Send + Sync {
    /// Takes a batch as a whole; when this returns it is as durable as configured.
    ///
    /// # Errors
    /// [`Refusal`]; nothing of the batch is kept then.
    async fn accept(&self, arrived: Arrived) -> Result<(), Refusal>;

    /// Counts what the ingress refuses by itself, by a fixed word: each request is one where its events are not known.
    fn refused(&self, reason: &'static str, count: u64);
}

/// Why a batch was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// No room now.
    #[error("the host has no room for more events now")]
    Full {
        /// When to try again.
        retry_after: Duration,
    },
    /// The disk says no.
    #[error("the host cannot write: {0}")]
    Disk(String),
    /// The host is stopping.
    #[error("the host is stopping")]
    Stopping,
    /// An event is against an admission rule.
    #[error("event {index} is against rule {rule}: {message}")]
    Rule {
        /// Its place in the batch.
        index: usize,
        /// The rule's key in the settings.
        rule: String,
        /// What is wrong, and the mend.
        message: String,
    },
}
