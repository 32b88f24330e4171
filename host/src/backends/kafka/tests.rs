//! Settings, and what becomes of a batch in which requests fail. The cluster that errs on demand is librdkafka's own;
//! against the real Kafka this backend is held by the end-to-end suites.

use std::path::Path;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::super::{Settings as _, Target};
use super::*;
use crate::backends::testing::items;
use crate::config::units::{Size, Span};

type Erring = MockCluster<'static, DefaultProducerContext>;

/// A cluster with a topic of one partition, and a backend whose requests hold about ten events each.
async fn erring(errors: &[RDKafkaRespErr]) -> (Erring, Box<dyn Backend>) {
    erring_for(Acks::Leader, errors).await
}

async fn erring_for(acks: Acks, errors: &[RDKafkaRespErr]) -> (Erring, Box<dyn Backend>) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let settings = Kafka {
        bootstrap_servers: vec![cluster.bootstrap_servers()],
        topic: "t".into(),
        acks,
        compression_type: Compression::None,
        linger: Span::millis(100),
        timeout: Span::millis(10_000),
        properties: [("batch.num.messages".to_owned(), "10".to_owned())].into(),
        ..Kafka::default()
    };
    let mut backend = target(settings).backend;
    backend.connect().await.unwrap();
    cluster.request_errors(RDKafkaApiKey::Produce, errors);
    (cluster, backend)
}

fn first_partition_at(offset: i64) -> Receipt {
    Receipt::Partition { partition: 0, offset: Some(offset) }
}

fn target(settings: Kafka) -> Target {
    settings.open("kafka".into(), Path::new("")).unwrap().remove(0)
}

fn refused(settings: Kafka) -> String {
    settings.open("kafka".into(), Path::new("")).map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn a_batch_over_several_requests_is_confirmed_with_its_places() {
    let (_cluster, mut backend) = erring(&[]).await;
    let outcomes = backend.publish(&items(0..40)).await;
    let receipts: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    assert_eq!(receipts, (0..40).map(first_partition_at).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_request_that_fails_for_a_while_is_tried_again_before_the_next() {
    use RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION as NOT_LEADER;
    let (_cluster, mut backend) = erring(&[NOT_LEADER, NOT_LEADER]).await;
    let outcomes = backend.publish(&items(0..40)).await;
    let receipts: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    assert_eq!(receipts, (0..40).map(first_partition_at).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_batch_follows_the_one_before_while_that_is_under_way() {
    use RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION as NOT_LEADER;
    let (_cluster, mut backend) = erring_for(Acks::All, &[NOT_LEADER]).await;
    let pipeline = backend.pipeline().unwrap();
    let batches = [items(0..40), items(40..80), items(80..81)];
    batches.iter().for_each(|batch| pipeline.begin(batch));
    let mut receipts = Vec::new();
    for batch in &batches {
        // Giving up is no loss.
        let early = tokio::time::timeout(Duration::from_millis(1), pipeline.decided()).await;
        if early.is_err() {
            pipeline.decided().await;
        }
        receipts.extend(pipeline.outcomes(batch).await.into_iter().map(Result::unwrap));
    }
    assert_eq!(receipts, (0..81).map(first_partition_at).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_under_way_is_lost_with_its_connection() {
    let (cluster, mut backend) = erring_for(Acks::All, &[]).await;
    cluster.broker_down(1).unwrap();
    let pipeline = backend.pipeline().unwrap();
    let batches = [items(0..14), items(14..28)];
    batches.iter().for_each(|batch| pipeline.begin(batch));
    for batch in &batches {
        tokio::time::timeout(Duration::from_secs(5), pipeline.decided()).await.unwrap();
        let outcomes = pipeline.outcomes(batch).await;
        assert_eq!(outcomes.len(), 14);
        assert!(matches!(outcomes[0], Err(Failure::Reconnect(_))), "{:?}", outcomes[0]);
    }
    cluster.broker_up(1).unwrap();
    backend.connect().await.unwrap();
    assert!(backend.publish(&items(0..14)).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn nothing_is_confirmed_behind_a_failed_event_of_its_key() {
    use RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as DENIED;
    let (_cluster, mut backend) = erring(&[DENIED]).await;
    let outcomes = backend.publish(&items(0..40)).await;
    // The first request held one event of each of the seven keys; nothing more is sent into the pause.
    for (index, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Err(Failure::BackOff(_, text)) => {
                assert!(text.contains("may not write to topic \"t\""), "{text}");
            }
            other => panic!("event {index}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_sent_one_by_one() {
    use RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE as TOO_LARGE;
    // The first request with several events, and then the second event that is sent alone.
    let no_error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
    let (_cluster, mut backend) = erring(&[TOO_LARGE, no_error, TOO_LARGE]).await;
    let outcomes = backend.publish(&items(0..10)).await;
    for (index, outcome) in outcomes.iter().enumerate() {
        match (index, outcome) {
            (1, Err(Failure::Reject(text))) => assert!(text.contains("bytes is larger than"), "{text}"),
            (1, other) => panic!("{other:?}"),
            (_, outcome) => assert!(outcome.is_ok(), "event {index}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn a_cluster_that_goes_away_is_given_up_at_once_and_found_again() {
    let (cluster, mut backend) = erring(&[]).await;
    cluster.broker_down(1).unwrap();
    let outcomes =
        tokio::time::timeout(Duration::from_secs(5), backend.publish(&items(0..14))).await.unwrap();
    assert!(matches!(outcomes[0], Err(Failure::Reconnect(_))), "{:?}", outcomes[0]);
    assert!(matches!(outcomes[7], Err(Failure::Reconnect(_))), "{:?}", outcomes[7]);
    cluster.broker_up(1).unwrap();
    backend.connect().await.unwrap();
    assert!(backend.publish(&items(0..14)).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn nobody_there_is_said_with_the_address() {
    let settings = Kafka { bootstrap_servers: vec!["127.0.0.1:1".into()], ..Kafka::default() };
    let message = target(settings).backend.connect().await.unwrap_err().to_string();
    assert!(message.starts_with("backend kafka: cannot connect to kafka at 127.0.0.1:1: "), "{message}");
}

#[test]
fn the_documents_section_opens_as_it_is() {
    let section = serde_json::json!({
        "bootstrap_servers": ["kafka:9092"], "topic": "nlp-document-events", "compression_type": "gzip",
        "acks": 1, "retries": 3, "max_in_flight_requests": 5, "client_id": "stage2-nlp-producer"
    });
    let settings: Kafka = serde_json::from_value(section).unwrap();
    assert_eq!(settings, Kafka::default());
    let target = target(settings);
    assert_eq!((target.address.as_str(), target.max_retries), ("kafka:9092/nlp-document-events", Some(3)));
}

#[test]
fn acks_are_a_number_or_all() {
    let acks =
        |value: serde_json::Value| serde_json::from_value::<Acks>(value).map_err(|error| error.to_string());
    assert_eq!(acks(0.into()), Ok(Acks::None));
    assert_eq!(acks((-1).into()), Ok(Acks::All));
    assert_eq!(acks("all".into()), Ok(Acks::All));
    assert_eq!(acks(2.into()), Err("acks: 2 is not known; write 0, 1, -1 or all".into()));
}

#[test]
fn what_does_not_fit_together_is_said_before_anything_starts() {
    let base = Kafka::default;
    let sasl = || Kafka { security_protocol: SecurityProtocol::SaslSsl, ..base() };
    let property =
        |name: &str, value: &str| Kafka { properties: [(name.into(), value.into())].into(), ..base() };
    let cases = [
        (Kafka { bootstrap_servers: Vec::new(), ..base() }, "bootstrap_servers is empty"),
        (Kafka { topic: "nlp events".into(), ..base() }, "topic \"nlp events\" is no name of a topic"),
        (Kafka { key: Some("Subject".into()), ..base() }, "key \"Subject\" is no attribute"),
        (Kafka { idempotence: Some(true), ..base() }, "idempotence needs acks: all, and acks is 1"),
        (
            Kafka { acks: Acks::All, max_in_flight_requests: 6, ..base() },
            "max_in_flight_requests is 6, and idempotence allows 5",
        ),
        (sasl(), "needs sasl_mechanism; write PLAIN, SCRAM-SHA-256"),
        (
            Kafka { sasl_mechanism: Some(SaslMechanism::Plain), ..sasl() },
            "SASL_SSL needs sasl_username and sasl_password",
        ),
        (
            Kafka { sasl_username: "u".into(), ..base() },
            "security_protocol PLAINTEXT does not use it; set SASL_SSL",
        ),
        (
            Kafka { ssl_ca_file: Some("ca.pem".into()), ..base() },
            "ssl_ca_file is set, and security_protocol PLAINTEXT has no TLS",
        ),
        (
            Kafka { security_protocol: SecurityProtocol::Ssl, ssl_ca_file: Some("/no.pem".into()), ..base() },
            "ssl_ca_file: cannot read /no.pem",
        ),
        (property("linger.ms", "5"), "linger.ms is what the key linger sets"),
        (property("partitioner", "random"), "partitioner cannot be set: order per key rests on it"),
        (property("no.such", "1"), "librdkafka does not know no.such"),
        (Kafka { batch_size: Size(0), ..base() }, "batch_size: librdkafka does not take this value"),
    ];
    for (settings, expected) in cases {
        let message = refused(settings);
        assert!(message.contains(expected), "{message}\ndoes not contain\n{expected}");
    }
}

#[test]
fn one_request_is_under_way_unless_the_broker_keeps_the_sequence() {
    let in_flight = |settings: Kafka| {
        let config: ClientConfig = settings.client_config().unwrap();
        config.get("max.in.flight.requests.per.connection").unwrap().to_owned()
    };
    assert_eq!(in_flight(Kafka::default()), "1");
    assert_eq!(in_flight(Kafka { acks: Acks::All, ..Kafka::default() }), "5");
    assert_eq!(in_flight(Kafka { acks: Acks::All, idempotence: Some(false), ..Kafka::default() }), "1");
}
