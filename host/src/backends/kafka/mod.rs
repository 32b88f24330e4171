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

pub use settings::{Acks, Compression, Kafka, SaslMechanism, SecurityProtocol};

use self::reports::{Listener, Place};
use self::rounds::Rounds;
use self::words::Words;
use super::content::Content;
use super::{Backend, Failure, Item, Outcomes, Receipt, Watched};
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

/// What is known of an event that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Stored(Place),
    Refused(RDKafkaErrorCode),
    /// Too large by itself, not by what shared a request with it.
    TooLarge,
    /// librdkafka's own queue is full.
    Unsent,
    /// No report has come.
    Unknown,
}

impl Verdict {
    /// Whether what it was sent with was too large, which says nothing of the event.
    fn is_of_the_request(self) -> bool {
        matches!(
            self,
            Self::Refused(
                RDKafkaErrorCode::MessageSizeTooLarge
                    | RDKafkaErrorCode::InvalidMessageSize
                    | RDKafkaErrorCode::MessageBatchTooLarge
            )
        )
    }
}

impl Cluster {
    fn new(name: BackendName, settings: Kafka, config: ClientConfig) -> Self {
        Self { name, settings: Arc::new(settings), config, producer: None }
    }

    fn words(&self) -> Words<'_> {
        Words { name: &self.name, settings: &self.settings }
    }

    /// Sends all of it and waits until each is reported, the time is over, or the connection is lost.
    async fn send(&self, producer: &Producer, items: &[Item]) -> Vec<Verdict> {
        let listener = producer.client().context();
        listener.forget();
        let unsent = self.enqueue(producer, items);
        tokio::select! {
            biased;
            () = listener.complete() => {}
            () = tokio::time::sleep(self.settings.timeout.0) => {}
            () = listener.lost() => {}
        }
        let reported = listener.reports().into_iter().map(|report| match report {
            Some(Ok(place)) => Verdict::Stored(place),
            Some(Err(code)) => Verdict::Refused(code),
            None => Verdict::Unknown,
        });
        let mut verdicts: Vec<Verdict> = reported.collect();
        for (index, verdict) in unsent {
            verdicts[index] = verdict;
        }
        verdicts
    }

    /// Hands the events over to librdkafka; returns those that it did not take.
    fn enqueue(&self, producer: &Producer, items: &[Item]) -> Vec<(usize, Verdict)> {
        let listener = producer.client().context();
        let first = listener.listen_for(items.len());
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
        listener.without(unsent.len());
        unsent
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
    async fn one_by_one(&self, producer: &Producer, batch: &[Item], verdicts: &mut [Verdict]) {
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
            verdicts[index] = match self.send(producer, std::slice::from_ref(item)).await[0] {
                verdict if verdict.is_of_the_request() => Verdict::TooLarge,
                // It may be lost for all that follows as well.
                Verdict::Unknown => return verdicts[index..].fill(Verdict::Unknown),
                verdict => verdict,
            };
            if !matches!(verdicts[index], Verdict::Stored(_) | Verdict::TooLarge) {
                stopped.insert(item.key);
            }
        }
    }

    /// What the lane is told: nothing of a key is confirmed behind an event that failed.
    fn outcomes(&self, producer: &Producer, batch: &[Item], verdicts: Vec<Verdict>) -> Outcomes {
        let words = self.words();
        let trouble = producer.client().context().trouble();
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

impl Cluster {
    async fn publish_at_once(&mut self, batch: &[Item]) -> Outcomes {
        let Some(producer) = &self.producer else {
            return vec![Err(self.words().not_connected()); batch.len()];
        };
        let mut verdicts = self.send(producer, batch).await;
        if verdicts.iter().any(|verdict| verdict.is_of_the_request()) {
            self.one_by_one(producer, batch, &mut verdicts).await;
        }
        let unknown = verdicts.contains(&Verdict::Unknown);
        let outcomes = self.outcomes(producer, batch, verdicts);
        if unknown {
            self.close().await;
        }
        outcomes
    }
}
