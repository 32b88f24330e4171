//! How far behind consumer groups are: what they have committed, against the ends of the topic's partitions. Nothing joins
//! a group for that, so none is rebalanced.

use std::time::Duration;

use async_trait::async_trait;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::super::{Reading, Watch, Watched};
use super::Kafka;

struct Groups {
    settings: Kafka,
    /// As a reader, without what only a producer has.
    config: ClientConfig,
}

/// The look at the groups that the settings name.
pub(super) fn watched(settings: &Kafka) -> Option<Watched> {
    if settings.consumers.is_empty() {
        return None;
    }
    // Checked with the settings.
    let config = settings.reader_config().ok()?;
    let watch = Box::new(Groups { settings: settings.clone(), config });
    Some(Watched { interval: settings.consumers_interval.0, watch })
}

/// Blocks until the brokers have answered.
fn look(config: &ClientConfig, topic: &str, group: &str, timeout: Duration) -> Result<Reading, String> {
    let said = |error: rdkafka::error::KafkaError| {
        format!("the offsets of group {group:?} of topic {topic:?}: {error}")
    };
    let consumer: BaseConsumer = config.clone().set("group.id", group).create().map_err(said)?;
    let metadata = consumer.fetch_metadata(Some(topic), timeout).map_err(said)?;
    let found = metadata.topics().first().filter(|found| found.error().is_none());
    let found = found.ok_or_else(|| format!("topic {topic:?} cannot be looked at; does it exist?"))?;
    let mut partitions = TopicPartitionList::new();
    for partition in found.partitions() {
        partitions.add_partition(topic, partition.id());
    }
    let committed = consumer.committed_offsets(partitions, timeout).map_err(said)?;
    let mut lag = 0;
    for partition in committed.elements() {
        let (low, high) = consumer.fetch_watermarks(topic, partition.partition(), timeout).map_err(said)?;
        let read = match partition.offset() {
            Offset::Offset(offset) => offset.max(low),
            // Nothing is committed: all that is there is still to be read.
            _ => low,
        };
        lag += u64::try_from(high - read).unwrap_or_default();
    }
    Ok(Reading { lag: Some(lag), pending: None })
}

#[async_trait]
impl Watch for Groups {
    async fn look(&mut self) -> Vec<(String, Result<Reading, String>)> {
        let (config, topic) = (self.config.clone(), self.settings.topic.clone());
        let (groups, timeout) = (self.settings.consumers.clone(), self.settings.timeout.0);
        let names = groups.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let reading = |group: String| {
                let reading = look(&config, &topic, &group, timeout);
                (group, reading)
            };
            groups.into_iter().map(reading).collect()
        });
        looking
            .await
            .unwrap_or_else(|error| names.into_iter().map(|name| (name, Err(error.to_string()))).collect())
    }
}
