//! The first look at a cluster: does it answer, is the topic there? It blocks, and so has a thread of its own.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::Producer as _;
use tokio::runtime::Handle;

use super::reports::{Listener, Trouble};
use super::{Kafka, Producer};

/// How long one question waits; in between, what librdkafka has said is looked at.
const QUESTION: Duration = Duration::from_millis(250);
/// How long a cluster that refuses connections is tried: a name may have more addresses than the one that refuses.
const REFUSED: Duration = Duration::from_secs(1);
/// What the broker is configured to give a new topic.
const BY_DEFAULT: i32 = -1;

/// Why there is no connection.
pub(super) enum Obstacle {
    /// librdkafka does not start.
    Start(String),
    /// Nobody answers, or not to this client.
    Unreachable(Trouble),
    /// The topic cannot be used.
    Topic(RDKafkaErrorCode),
    /// It cannot be created.
    Create(String),
}

/// Connects, and finds the topic or creates it.
pub(super) fn open(settings: &Kafka, config: &ClientConfig) -> Result<Producer, Obstacle> {
    let producer: Producer = config.create_with_context(Listener::new()).map_err(|error| start(&error))?;
    let deadline = Instant::now() + settings.timeout.0;
    match look_up(&producer, &settings.topic, deadline) {
        Err(Obstacle::Topic(code)) if is_missing(code) && settings.auto_create => {
            create(config, settings)?;
            await_topic(&producer, &settings.topic, deadline)?;
        }
        other => other?,
    }
    Ok(producer)
}

/// Whether the code says that there is no such topic.
pub(super) fn is_missing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
    )
}

fn start(error: &KafkaError) -> Obstacle {
    match error {
        KafkaError::ClientCreation(reason) => Obstacle::Start(reason.clone()),
        other => Obstacle::Start(other.to_string()),
    }
}

/// Asks until there is an answer, or none is to be had.
fn look_up(producer: &Producer, topic: &str, deadline: Instant) -> Result<(), Obstacle> {
    let begin = Instant::now();
    loop {
        match producer.client().fetch_metadata(Some(topic), QUESTION) {
            Ok(metadata) => {
                let error = metadata.topics().first().and_then(MetadataTopic::error);
                return match error.map(RDKafkaErrorCode::from) {
                    None | Some(RDKafkaErrorCode::LeaderNotAvailable) => Ok(()),
                    Some(code) => Err(Obstacle::Topic(code)),
                };
            }
            Err(error) => tracing::debug!(%error, "no metadata yet"),
        }
        let trouble = producer.client().context().trouble();
        let refused = trouble.down && begin.elapsed() >= REFUSED;
        if trouble.hopeless || refused || Instant::now() >= deadline {
            return Err(Obstacle::Unreachable(trouble));
        }
    }
}

fn create(config: &ClientConfig, settings: &Kafka) -> Result<(), Obstacle> {
    let failed = |reason: String| Obstacle::Create(reason);
    let admin: AdminClient<DefaultClientContext> =
        config.create().map_err(|error| failed(error.to_string()))?;
    let topic = NewTopic::new(&settings.topic, BY_DEFAULT, TopicReplication::Fixed(BY_DEFAULT));
    let options = AdminOptions::new().request_timeout(Some(settings.timeout.0));
    let created = Handle::current().block_on(admin.create_topics(&[topic], &options));
    match created.map_err(|error| failed(error.to_string()))?.into_iter().next() {
        // Another host may have been faster.
        None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
        Some(Err((_, code))) => Err(failed(code.to_string())),
    }
}

/// A topic that was just created is not known to every broker at once.
fn await_topic(producer: &Producer, topic: &str, deadline: Instant) -> Result<(), Obstacle> {
    loop {
        match look_up(producer, topic, deadline) {
            Err(Obstacle::Topic(code)) if is_missing(code) && Instant::now() < deadline => {
                std::thread::sleep(QUESTION);
            }
            other => return other,
        }
    }
}
