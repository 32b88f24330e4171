//! Ways out: one file each, and one line in [`KINDS`].
//!
//! A backend connects, publishes a batch, closes. It never retries, sleeps, logs policy or counts:
//! [`crate::delivery`] alone decides, steered by the [`Failure`]s that a backend reports.

#[cfg(any(feature = "kafka", feature = "nats", feature = "rabbitmq"))]
pub mod content;
mod discreet;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "local")]
pub mod local;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "webhook")]
mod parts;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
#[cfg(feature = "redis_streams")]
pub mod redis_streams;
#[cfg(feature = "stdout")]
pub mod stdout;
#[cfg(any(feature = "nats", feature = "rabbitmq", feature = "redis_streams"))]
mod template;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(feature = "webhook")]
pub mod webhook;
#[cfg(any(feature = "nats", feature = "rabbitmq"))]
mod window;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use self::discreet::Discreet;
use crate::Event;
use crate::config::secrets;
use crate::config::units::Span;
use crate::names::BackendName;
use crate::trace::{self, Context};

/// Why an event of a batch is not confirmed, and what the lane shall do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Try this event again after the usual pause.
    #[error("{0}")]
    Retry(String),
    /// The receiver is well and has no place for this event (no queue, no stream): try it again after the usual pause.
    /// Says nothing about other events, so that it does not count for the lane's breaker.
    #[error("{0}")]
    Unroutable(String),
    /// The receiver asks for a pause of this length; all of the lane waits.
    #[error("{1}")]
    BackOff(Duration, String),
    /// The connection is gone: connect, then try again. Does not count as one of the event's tries.
    #[error("{0}")]
    Reconnect(String),
    /// This event can never be delivered here: a dead letter at once.
    #[error("{0}")]
    Reject(String),
    /// Not tried, because an earlier event of its key failed in the same batch. Does not count as a try.
    #[error("an earlier event of its key failed")]
    Held,
}

impl Failure {
    /// Whether later events of its key have to wait: it may still be delivered.
    pub(crate) fn holds_up(&self) -> bool {
        !matches!(self, Self::Reject(_))
    }

    /// The same with the backend's name before its text.
    #[cfg(any(feature = "nats", feature = "rabbitmq", feature = "redis_streams"))]
    fn of(self, backend: &BackendName) -> Self {
        self.saying(|text| format!("backend {backend}: {text}"))
    }

    /// The same with another text.
    fn saying(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Retry(text) => Self::Retry(change(text)),
            Self::Unroutable(text) => Self::Unroutable(change(text)),
            Self::BackOff(pause, text) => Self::BackOff(pause, change(text)),
            Self::Reconnect(text) => Self::Reconnect(change(text)),
            Self::Reject(text) => Self::Reject(change(text)),
            Self::Held => Self::Held,
        }
    }
}

/// Where a confirmed event now is, in the broker's own terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Receipt {
    /// It is confirmed, and no more is said.
    #[default]
    Confirmed,
    /// The id of its entry (Redis Streams).
    Entry {
        /// Milliseconds of Unix time, by the server's clock.
        millis: u64,
        /// Its number among those of the same millisecond.
        number: u64,
    },
    /// Its partition and its offset there (Kafka); with `acks: 0` nobody knows the offset.
    Partition {
        /// From 0.
        partition: i32,
        /// From 0.
        offset: Option<i64>,
    },
    /// Its number in the stream (`JetStream`, the embedded stream).
    Sequence {
        /// The number.
        number: u64,
        /// It was there already.
        duplicate: bool,
    },
    /// The status that a receiver answered with (webhooks).
    Status(u16),
}

impl Failure {
    /// A word for metrics; none for an event that was not even tried.
    pub fn class(&self) -> Option<&'static str> {
        match self {
            Self::Held => None,
            Self::Retry(_) => Some("retry"),
            Self::BackOff(..) => Some("back_off"),
            Self::Reconnect(_) => Some("reconnect"),
            Self::Unroutable(_) => Some("unroutable"),
            Self::Reject(_) => Some("reject"),
        }
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confirmed => Ok(()),
            Self::Entry { millis, number } => {
                // Once for each event that is confirmed: faster than by `write!`.
                f.write_str(itoa::Buffer::new().format(*millis))?;
                f.write_str("-")?;
                f.write_str(itoa::Buffer::new().format(*number))
            }
            Self::Partition { partition, offset: Some(offset) } => {
                write!(f, "partition {partition}, offset {offset}")
            }
            Self::Partition { partition, offset: None } => write!(f, "partition {partition}"),
            Self::Sequence { number, duplicate: false } => write!(f, "sequence {number}"),
            Self::Sequence { number, duplicate: true } => write!(f, "sequence {number}, there before"),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}

/// One outcome for each event of the batch, in its order.
pub type Outcomes = Vec<Result<Receipt, Failure>>;

/// One event on its way out, with the hash of its ordering key.
#[derive(Clone, Debug)]
pub struct Item {
    /// What is to be published.
    pub event: Event,
    /// Events of one key are confirmed in order.
    pub key: u64,
    /// The span that its receiver is to go on with, where it belongs to a trace and tracing is on.
    pub trace: Option<Context>,
}

impl Item {
    /// The headers of W3C Trace Context, for transports that have headers beside the event's attributes: the host's own
    /// span, which the event's `traceparent` never is.
    pub fn trace_headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let parent = self.trace.map(|context| (trace::PARENT, context.to_string()));
        let state = self.trace.and_then(|_| self.event.attribute(trace::STATE));
        parent.into_iter().chain(state.map(|state| (trace::STATE, state.to_string())))
    }
}

/// How far behind one consumer group is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Events that it has not been given yet; absent where the broker does not know.
    pub lag: Option<u64>,
    /// Events that it was given and has not acknowledged; absent where the broker does not say.
    pub pending: Option<u64>,
}

/// Looks at the consumer groups of a backend, over a connection of its own.
#[async_trait]
pub trait Watch: Send {
    /// A reading for each of the names that were set, or why there is none, for people.
    async fn look(&mut self) -> Vec<(String, Result<Reading, String>)>;
}

/// How often consumers are looked at, unless the settings say otherwise.
pub const CONSUMERS_INTERVAL: Span = Span::millis(15_000);

/// Which consumer groups of a backend are looked at, and how often.
pub struct Watched {
    /// How long from one look to the next.
    pub interval: Duration,
    /// Who looks.
    pub watch: Box<dyn Watch>,
}

/// A connection to one place that events go to. One lane owns it and calls it from one task.
#[async_trait]
pub trait Backend: Send + Sync {
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

    /// Whether a batch may be given to it while the one before is under way, and by what. The same answer as long as any is.
    fn pipeline(&mut self) -> Option<&mut dyn Pipeline> {
        None
    }

    /// The most events that are best published at once, where no settings say how many.
    fn batch(&self) -> usize {
        2_048
    }

    /// The most events a second that the receiver has allowed, where it says so.
    fn rate(&self) -> Option<f64> {
        None
    }

    /// Where it would put an event, in the broker's own terms: `subject nlp.document.processed`. Nothing where the
    /// target's address says it all. Connects to nothing.
    ///
    /// # Errors
    /// Why it has no place for it: the event lacks an attribute that the place is made of.
    fn place(&self, _event: &Event) -> Result<Option<String>, String> {
        Ok(None)
    }

    /// `messaging.system` and `messaging.destination.name` of OpenTelemetry's semantic conventions; an empty name stands
    /// for the target's address.
    fn destination(&self) -> (&'static str, String) {
        ("stagewire", String::new())
    }

    /// A look at the consumer groups that the settings name, where they name any.
    fn consumers(&self) -> Option<Watched> {
        None
    }

    /// Says good-bye.
    async fn close(&mut self);
}

/// What a backend takes batches by before the earlier ones are confirmed, where it keeps the order of all of them by itself.
///
/// A lane that is told of a failure begins no more, waits for what is under way, takes whatever is behind an event that
/// failed, and of its key, to have failed with it, and goes on by [`Backend::publish`] until that confirms a batch as a whole.
#[async_trait]
pub trait Pipeline: Send {
    /// Begins to publish a batch behind those that are under way.
    fn begin(&mut self, batch: &[Item]);

    /// Waits until the oldest batch under way is decided. May be given up and called again.
    async fn decided(&mut self);

    /// What became of the oldest batch under way, which is this one, once it is decided. Within it, the same holds as for
    /// [`Backend::publish`].
    async fn outcomes(&mut self, batch: &[Item]) -> Outcomes;
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

/// A kind of backend: what its settings are and how they are opened.
pub struct Kind {
    /// The word after `type:` and the section of `events:`.
    pub name: &'static str,
    /// The JSON Schema of its settings.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Checks the settings and makes targets of them. Connects to nothing.
    pub open: fn(BackendName, &serde_json::Value, &Path) -> Result<Vec<Target>, String>,
}

/// Settings that can be opened.
trait Settings: DeserializeOwned + JsonSchema {
    /// Checks what types cannot, and makes targets. `data` is the host's data directory.
    fn open(self, name: BackendName, data: &Path) -> Result<Vec<Target>, String>;
}

impl Kind {
    const fn of<S: Settings>(name: &'static str) -> Self {
        Self { name, schema: SchemaGenerator::subschema_for::<S>, open: open::<S> }
    }
}

fn open<S: Settings>(
    name: BackendName,
    settings: &serde_json::Value,
    data: &Path,
) -> Result<Vec<Target>, String> {
    // A section that is left out is one of defaults.
    let settings =
        if settings.is_null() { &serde_json::Value::Object(serde_json::Map::new()) } else { settings };
    let opened = S::deserialize(settings).map_err(|error| error.to_string());
    let targets = opened.and_then(|settings| settings.open(name, data)).map_err(secrets::hidden)?;
    let discreet = |target: Target| Target { backend: Box::new(Discreet(target.backend)), ..target };
    Ok(targets.into_iter().map(discreet).collect())
}

/// Every kind of this build.
pub const KINDS: &[Kind] = &[
    #[cfg(feature = "redis_streams")]
    Kind::of::<redis_streams::RedisStreams>("redis_streams"),
    #[cfg(feature = "kafka")]
    Kind::of::<kafka::Kafka>("kafka"),
    #[cfg(feature = "nats")]
    Kind::of::<nats::Nats>("nats"),
    #[cfg(feature = "rabbitmq")]
    Kind::of::<rabbitmq::Rabbitmq>("rabbitmq"),
    #[cfg(feature = "webhook")]
    Kind::of::<webhook::Webhook>("webhook"),
    #[cfg(feature = "local")]
    Kind::of::<local::Local>("local"),
    #[cfg(feature = "stdout")]
    Kind::of::<stdout::Stdout>("stdout"),
];

/// The kind of that name.
pub fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// An address as it may be shown: without user and password.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.rsplit_once('@').map_or(url, |(_, host)| host).to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path = path.split('?').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}
