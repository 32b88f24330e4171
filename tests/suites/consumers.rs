//! How far behind the next stage's consumers are, as the brokers themselves say.

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use stagewire_tests::brokers::{Broker, Content};
use stagewire_tests::waiting::{PATIENCE, until_true};
use stagewire_tests::{Host, JetStream, Kafka, RabbitMq, Redis};

const EVENTS: usize = 12;
/// Where the contract's settings lead.
const STREAM: &str = "{contract}.event";

async fn send(host: &Host) {
    let event = |id: usize| {
        json!({ "specversion": "1.0", "id": id.to_string(), "source": "/consumers",
        "subject": format!("document/{}", id % 5), "type": "com.example.c", "data": id })
    };
    let events: Vec<_> = (0..EVENTS).map(event).collect();
    assert_eq!(host.send_batch(&events).await.status, 202);
    host.has_settled().await;
}

async fn is(host: &Host, what: &str, consumer: &str, value: f64) {
    let label = format!("consumer=\"{consumer}\"");
    let say = format!("{what} of {consumer} is {value}");
    let shown = async || {
        let text = host.admin("GET", "/metrics").await.expect("the admin API answers").text();
        text.contains(&label) && (host.metric(what, &[&label]).await - value).abs() < 0.5
    };
    until_true(&say, PATIENCE, shown).await;
}

/// The consumer as `status` shows it.
async fn shown(host: &Host, consumer: &str) -> Value {
    let status = host.status().await;
    let lanes = status["lanes"].as_array().cloned().unwrap_or_default();
    let consumers = lanes.iter().flat_map(|lane| lane["consumers"].as_array().cloned().unwrap_or_default());
    consumers.into_iter().find(|shown| shown["name"] == consumer).unwrap_or_default()
}

#[tokio::test]
async fn a_group_of_a_redis_stream_is_behind_and_catches_up() {
    let redis = <Redis as Broker>::start().await;
    let more = "consumers: [stage3], consumers_interval: 50ms";
    let host = Host::with(redis.events(Content::Structured, more)).start().await;
    // Before anything is there, that is what is said.
    host.metric_reaches("stagewire_consumer_poll_errors_total", &["redis_streams"], 1.0).await;
    send(&host).await;
    redis.command(&["XGROUP", "CREATE", STREAM, "stage3", "0"]).await;
    is(&host, "stagewire_consumer_lag", "stage3", 12.0).await;
    redis.command(&["XREADGROUP", "GROUP", "stage3", "me", "COUNT", "5", "STREAMS", STREAM, ">"]).await;
    is(&host, "stagewire_consumer_lag", "stage3", 7.0).await;
    is(&host, "stagewire_consumer_pending", "stage3", 5.0).await;
    redis.command(&["XREADGROUP", "GROUP", "stage3", "me", "NOACK", "STREAMS", STREAM, ">"]).await;
    is(&host, "stagewire_consumer_lag", "stage3", 0.0).await;
    let shown = shown(&host, "stage3").await;
    assert_eq!(
        (&shown["lag"], &shown["pending"], &shown["error"]),
        (&json!(0), &json!(5), &Value::Null),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_a_kafka_topic_is_behind_and_catches_up() {
    let kafka = <Kafka as Broker>::start().await;
    let more = "consumers: [stage3], consumers_interval: 100ms";
    let host = Host::with(kafka.events(Content::Structured, more)).start().await;
    send(&host).await;
    // It has committed nothing yet.
    is(&host, "stagewire_consumer_lag", "stage3", 12.0).await;
    let server = kafka.server();
    let committing = tokio::task::spawn_blocking(move || commit_all(&server, "stage3"));
    committing.await.expect("the offsets can be committed");
    is(&host, "stagewire_consumer_lag", "stage3", 0.0).await;
    send(&host).await;
    is(&host, "stagewire_consumer_lag", "stage3", 12.0).await;
}

/// As a consumer that has read all there is.
fn commit_all(server: &str, group: &str) {
    let limit = std::time::Duration::from_secs(30);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", server)
        .set("group.id", group)
        .create()
        .expect("a consumer can be made");
    let metadata = consumer.fetch_metadata(Some("contract"), limit).expect("kafka answers");
    let mut offsets = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        let (_, high) = consumer.fetch_watermarks("contract", partition.id(), limit).expect("kafka answers");
        let added = offsets.add_partition_offset("contract", partition.id(), Offset::Offset(high));
        added.expect("an offset is an offset");
    }
    consumer.commit(&offsets, CommitMode::Sync).expect("offsets can be committed");
}

#[tokio::test]
async fn a_consumer_of_a_jetstream_is_behind_and_catches_up() {
    let nats = <JetStream as Broker>::start().await;
    let more = "durable_name: stage3, consumers: [stage3], consumers_interval: 50ms";
    let host = Host::with(nats.events(Content::Structured, more)).start().await;
    send(&host).await;
    is(&host, "stagewire_consumer_lag", "stage3", 12.0).await;
    let messages = nats.fetch("STRUCTURED", "stage3", 5).await;
    is(&host, "stagewire_consumer_lag", "stage3", 7.0).await;
    is(&host, "stagewire_consumer_pending", "stage3", 5.0).await;
    for message in messages {
        message.ack().await.expect("it can be acknowledged");
    }
    for message in nats.fetch("STRUCTURED", "stage3", 7).await {
        message.ack().await.expect("it can be acknowledged");
    }
    is(&host, "stagewire_consumer_lag", "stage3", 0.0).await;
    is(&host, "stagewire_consumer_pending", "stage3", 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_rabbitmq_fills_and_is_emptied() {
    let rabbit = <RabbitMq as Broker>::start().await;
    let more = "consumers: [contract, nowhere], consumers_interval: 100ms";
    let host = Host::with(rabbit.events(Content::Structured, more)).start().await;
    send(&host).await;
    is(&host, "stagewire_consumer_lag", "contract", 12.0).await;
    // One that is not there does not hide the one that is.
    let missing = shown(&host, "nowhere").await;
    assert!(missing["error"].as_str().is_some_and(|error| error.contains("nowhere")), "{missing}");
    assert_eq!(rabbit.ids().await.len(), EVENTS);
    is(&host, "stagewire_consumer_lag", "contract", 0.0).await;
}

#[tokio::test]
async fn a_backend_that_is_away_is_said_and_publishing_is_not_touched() {
    let mut redis = <Redis as Broker>::start().await;
    let more = "consumers: [stage3], consumers_interval: 50ms";
    let host = Host::with(redis.events(Content::Structured, more)).start().await;
    send(&host).await;
    redis.kill().await;
    let failed = host.metric("stagewire_consumer_poll_errors_total", &[]).await;
    host.metric_reaches("stagewire_consumer_poll_errors_total", &[], failed + 2.0).await;
    redis.again().await;
    send(&host).await;
    redis.command(&["XGROUP", "CREATE", STREAM, "stage3", "$"]).await;
    is(&host, "stagewire_consumer_lag", "stage3", 0.0).await;
}

#[tokio::test]
async fn settings_that_name_no_stream_are_refused() {
    let refused = Host::with("events:\n  enabled: true\n  backend: nats\n  nats: { consumers: [stage3] }\n")
        .refused()
        .await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("name it in stream"), "{said}");
}
