//! What only Kafka has: listeners that ask who one is, topics with limits of their own, and keys.

use serde_json::{Value, json};
use stagewire_tests::brokers::{self, Broker};
use stagewire_tests::kafka::{Kafka, PASSWORD};
use stagewire_tests::waiting::{PATIENCE, until_true};
use stagewire_tests::{Host, stories};

fn events(config: &str) -> String {
    brokers::events("kafka", config)
}

fn event(id: &str, subject: &str, data: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "s", "type": "t", "subject": subject, "data": data })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secured_listener_is_reached_with_tls_and_scram() {
    let kafka = <Kafka as Broker>::start().await;
    let host = Host::with(events(&kafka.secured(PASSWORD, "acks: all"))).start().await;
    host.send_all(&stories::processed()).await;
    kafka.has("contract", stories::STORIES.len()).await;
    assert!(!host.log().contains(PASSWORD));
}

/// The topic takes 100 KB at once, which two of the events exceed together, and one of them alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_too_large_is_a_dead_letter_and_the_others_pass() {
    let kafka = Kafka::start().await;
    kafka.create_topic("small", &[("max.message.bytes", "100000")]).await;
    let config = format!(
        "{{ bootstrap_servers: [\"{}\"], topic: small, compression_type: none, linger: 50ms }}",
        kafka.server()
    );
    let host = Host::with(events(&config)).start().await;
    let sixty = "x".repeat(60_000);
    let batch = [
        event("1", "a", &sixty),
        event("2", "a", &"x".repeat(200_000)),
        event("3", "a", &sixty),
        event("4", "b", &sixty),
        event("5", "b", "small"),
    ];
    assert_eq!(host.send_batch(&batch).await.status, 202);
    host.has_settled().await;
    let arrived = kafka.ids_of("small").await;
    let of = |wanted: &[&str]| {
        arrived.iter().filter(|id| wanted.contains(&id.as_str())).cloned().collect::<Vec<_>>()
    };
    assert_eq!(first_arrivals(of(&["1", "3"])), ["1", "3"]);
    assert_eq!(first_arrivals(of(&["4", "5"])), ["4", "5"]);
    assert!(!arrived.contains(&"2".to_owned()));
    assert_eq!(host.status().await["lanes"][0]["dead"], 1);
}

fn first_arrivals(ids: Vec<String>) -> Vec<String> {
    let mut seen = Vec::new();
    for id in ids {
        if !seen.contains(&id) {
            seen.push(id);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_topic_is_created_where_that_is_wanted() {
    let kafka = Kafka::start().await;
    let config = format!("{{ bootstrap_servers: [\"{}\"], topic: made, auto_create: true }}", kafka.server());
    let host = Host::with(events(&config)).start().await;
    host.send_all(&stories::processed()).await;
    kafka.has("made", stories::STORIES.len()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_created_later_is_found() {
    let kafka = Kafka::start().await;
    let config = format!("{{ bootstrap_servers: [\"{}\"], topic: later }}", kafka.server());
    let host = Host::with(events(&config)).start().await;
    host.send_all(&stories::processed()).await;
    until_true("the lane says so", PATIENCE, async || {
        let status = host.status().await;
        status["lanes"][0]["error"].as_str().is_some_and(|error| error.contains("\"later\" does not exist"))
    })
    .await;
    kafka.create_topic("later", &[]).await;
    kafka.has("later", stories::STORIES.len()).await;
}
