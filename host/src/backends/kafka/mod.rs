//! Apache Kafka: a record for each event, a batch in as few requests as its partitions need.
//!
//! Order per key. Events of a key go to one partition. With idempotence the broker itself keeps their sequence; without,
//! one event of each key is under way at a time, and one request to a broker. librdkafka never gives one
//! request up with others behind it: what is not confirmed within `timeout` is given up together with its connection,
//! before the lane makes a new one. Where a later event of a key is in the topic already, it is not reported as
//! confirmed but sent again behind the earlier one.

mod groups;
mod reports;
mod rounds;
mod settings;
#[cfg(test)]
mod tests;
mod topic;
mod words;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use foldhash::fast::FixedState;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use tokio::time::Instant;

pub use settings::{Acks, Compression, Kafka, SaslMechanism, SecurityProtocol};

use self::reports::{Listener, Place, Verdict};
use self::rounds::Rounds;
use self::words::Words;
use super::content::Content;
use super::{Backend, Failure, Item, Outcomes, Pipeline, Receipt, Watched};
use crate::Event;
use crate::names::BackendName;
use crate::protocol::{json, kafka};

type Producer = ThreadedProducer<Listener>;

/// A connection to one topic of a cluster.
struct Cluster {
    name: BackendName,
    settings: Arc<Kafka>,
    config: ClientConfig,
    producer: Option<Producer>,
}

impl Cluster {
    fn new(name: BackendName, settings: Kafka, config: ClientConfig) -> Self {
        Self { name, settings: Arc::new(settings), config, producer: None }
    }

    fn words(&self) -> Words<'_> {
        Words { name: &self.name, settings: &self.settings }
    }

    /// Waits until all that can be known of the oldest sending is known.
    async fn oldest_sent(&self) {
        if let Some(producer) = &self.producer {
            producer.client().context().oldest_sent().await;
        }
    }

    /// What became of the oldest sending; nothing where there is no connection any more.
    fn verdicts(&self) -> Option<Vec<Verdict>> {
        self.producer.as_ref()?.client().context().take()
    }

    /// Sends all of it, with nothing else under way.
    async fn send(&mut self, items: &[Item]) -> Option<Vec<Verdict>> {
        self.begin_sending(items);
        self.oldest_sent().await;
        self.verdicts()
    }

    /// Hands the events over to librdkafka, as far as it takes them, behind what is under way.
    fn begin_sending(&self, items: &[Item]) {
        let Some(producer) = &self.producer else { return };
        let listener = producer.client().context();
        let first = listener.listen_for(items.len(), Instant::now() + self.settings.timeout.0);
        let (mut unsent, mut document) = (Vec::new(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            match self.produce(producer, item, first.wrapping_add(index), &mut document) {
                Ok(()) => {}
                Err(RDKafkaErrorCode::MessageSizeTooLarge) => unsent.push((index, Verdict::TooLarge)),
                Err(code) => {
                    let full = code == RDKafkaErrorCode::QueueFull;
                    unsent.push((index, if full { Verdict::Unsent } else { Verdict::Refused(code) }));
                    unsent.extend((index + 1..items.len()).map(|index| (index, Verdict::Unsent)));
                    break;
                }
            }
        }
        listener.without(&unsent);
    }

    /// Hands over one event. librdkafka copies what it is given: `document` serves again.
    fn produce(
        &self,
        producer: &Producer,
        item: &Item,
        number: usize,
        document: &mut Vec<u8>,
    ) -> Result<(), RDKafkaErrorCode> {
        let event = &item.event;
        let key = self.key(event);
        let (mut headers, value);
        let payload = match self.settings.content {
            Content::Structured => {
                headers = header(OwnedHeaders::new_with_capacity(1), kafka::STRUCTURED_HEADER);
                document.clear();
                json::encode(event, document);
                Some(&document[..])
            }
            Content::Binary => {
                let encoded = kafka::encode_binary(event);
                let empty = OwnedHeaders::new_with_capacity(encoded.headers.len());
                let pairs = encoded.headers.iter().map(|(name, value)| (&**name, &**value));
                headers = pairs.fold(empty, header);
                value = encoded.value;
                value.as_deref()
            }
        };
        for (name, value) in item.trace_headers() {
            headers = header(headers, (name, &value));
        }
        let record = BaseRecord {
            topic: &self.settings.topic,
            partition: None,
            payload,
            key: Some(&*key),
            timestamp: None,
            headers: Some(headers),
            delivery_opaque: number,
        };
        let refused = |error: rdkafka::error::KafkaError| error.rdkafka_error_code();
        producer.send(record).map_err(|(error, _)| refused(error).unwrap_or(RDKafkaErrorCode::Fail))
    }

    fn key<'a>(&self, event: &'a Event) -> Cow<'a, str> {
        let named = self.settings.key.as_ref().and_then(|name| event.attribute(name));
        named.map_or_else(|| event.ordering_key().into(), |value| value.to_string().into())
    }

    /// Sends again, one by one, what shared a request that was too large, and what came after it with its key.
    async fn one_by_one(&mut self, batch: &[Item], verdicts: &mut [Verdict]) {
        let (mut again, mut stopped) = (Keys::default(), Keys::default());
        for (index, item) in batch.iter().enumerate() {
            if verdicts[index].is_of_the_request() {
                again.insert(item.key);
            }
            if !again.contains(&item.key)
                || stopped.contains(&item.key)
                || verdicts[index] == Verdict::TooLarge
            {
                continue;
            }
            let sent = self.send(std::slice::from_ref(item)).await;
            verdicts[index] = match sent.as_deref() {
                Some([verdict]) if verdict.is_of_the_request() => Verdict::TooLarge,
                // It may be lost for all that follows as well.
                None | Some([Verdict::Unknown]) => return verdicts[index..].fill(Verdict::Unknown),
                Some(verdict) => verdict[0],
            };
            if !matches!(verdicts[index], Verdict::Stored(_) | Verdict::TooLarge) {
                stopped.insert(item.key);
            }
        }
    }

    /// What the lane is told: nothing of a key is confirmed behind an event that failed.
    fn told(&self, batch: &[Item], verdicts: Vec<Verdict>) -> Outcomes {
        let words = self.words();
        let trouble = self.producer.as_ref().map(|producer| producer.client().context().trouble());
        let trouble = trouble.unwrap_or_default();
        let mut stopped = Keys::default();
        let outcome = |(item, verdict): (&Item, Verdict)| {
            if stopped.contains(&item.key) {
                return Err(Failure::Held);
            }
            let failure = match verdict {
                Verdict::Stored(Place { partition, offset }) => {
                    return Ok(Receipt::Partition { partition, offset });
                }
                Verdict::TooLarge => return Err(words.too_large(&item.event)),
                Verdict::Refused(code) => words.refused(code),
                Verdict::Unsent => Failure::Held,
                Verdict::Unknown => words.lost(&trouble),
            };
            if failure.holds_up() {
                stopped.insert(item.key);
            }
            Err(failure)
        };
        batch.iter().zip(verdicts).map(outcome).collect()
    }
}

fn header(headers: OwnedHeaders, (key, value): (&str, &str)) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}

type Keys = HashSet<u64, FixedState>;

#[async_trait]
impl Backend for Cluster {
    async fn connect(&mut self) -> Result<(), Failure> {
        // What the old connection still holds must not arrive among what the new one sends.
        self.close().await;
        let (settings, config) = (Arc::clone(&self.settings), self.config.clone());
        let opening = tokio::task::spawn_blocking(move || topic::open(&settings, &config));
        let opened = opening.await.map_err(|_| self.words().not_connected())?;
        self.producer = Some(opened.map_err(|obstacle| self.words().obstacle(obstacle))?);
        Ok(())
    }

    async fn publish(&mut self, batch: &[Item]) -> Outcomes {
        if self.settings.is_idempotent() {
            return self.publish_at_once(batch).await;
        }
        // One request at a time is not enough: where a leader has moved, librdkafka may send the next before it tries the
        // failed one again.
        let mut rounds = Rounds::new(batch);
        while let Some(round) = rounds.next() {
            let items: Vec<Item> = round.indices().map(|index| batch[index].clone()).collect();
            let outcomes = self.publish_at_once(&items).await;
            rounds.settle(round, outcomes);
        }
        rounds.outcomes()
    }

    fn pipeline(&mut self) -> Option<&mut dyn Pipeline> {
        if self.settings.is_idempotent() { Some(self) } else { None }
    }

    fn batch(&self) -> usize {
        // A broker takes a large request for little more than a small one.
        8_192
    }

    fn place(&self, event: &Event) -> Result<Option<String>, String> {
        Ok(Some(format!("topic {}, key {:?}", self.settings.topic, self.key(event))))
    }

    fn destination(&self) -> (&'static str, String) {
        ("kafka", self.settings.topic.clone())
    }

    fn consumers(&self) -> Option<Watched> {
        groups::watched(&self.settings)
    }

    async fn close(&mut self) {
        if let Some(producer) = self.producer.take() {
            // It waits for librdkafka's threads. That it is dropped is all that matters here.
            let _ = tokio::task::spawn_blocking(move || drop(producer)).await;
        }
    }
}

#[async_trait]
impl Pipeline for Cluster {
    fn begin(&mut self, batch: &[Item]) {
        self.begin_sending(batch);
    }

    async fn decided(&mut self) {
        self.oldest_sent().await;
    }

    async fn outcomes(&mut self, batch: &[Item]) -> Outcomes {
        let Some(mut verdicts) = self.verdicts() else { return self.not_connected(batch) };
        // One by one it goes when nothing else is under way.
        let shared = verdicts.iter_mut().filter(|verdict| verdict.is_of_the_request());
        shared.for_each(|verdict| *verdict = Verdict::Unsent);
        self.conclude(batch, verdicts).await
    }
}

impl Cluster {
    async fn publish_at_once(&mut self, batch: &[Item]) -> Outcomes {
        let Some(mut verdicts) = self.send(batch).await else { return self.not_connected(batch) };
        if verdicts.iter().any(|verdict| verdict.is_of_the_request()) {
            self.one_by_one(batch, &mut verdicts).await;
        }
        self.conclude(batch, verdicts).await
    }

    fn not_connected(&self, batch: &[Item]) -> Outcomes {
        vec![Err(self.words().not_connected()); batch.len()]
    }

    /// What the lane is told. Where something is unknown the connection is given up, and with it what is still under way.
    async fn conclude(&mut self, batch: &[Item], verdicts: Vec<Verdict>) -> Outcomes {
        let unknown = verdicts.contains(&Verdict::Unknown);
        let outcomes = self.told(batch, verdicts);
        if unknown {
            self.close().await;
        }
        outcomes
    }
}
