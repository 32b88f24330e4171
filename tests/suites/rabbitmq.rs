//! `RabbitMQ`: what the contract of all backends does not ask.

use serde_json::{Value, json};
use stagewire_tests::brokers::{Broker, Content, events};
use stagewire_tests::certificates::Authority;
use stagewire_tests::process::free_port;
use stagewire_tests::waiting::{PATIENCE, until};
use stagewire_tests::{Host, RabbitMq};

fn event(id: &str, kind: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/s", "type": kind, "subject": id })
}

async fn lane(host: &Host, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    until(what, PATIENCE, async || {
        host.status().await["lanes"].as_array()?.iter().find(|lane| holds(lane)).cloned()
    })
    .await
}

async fn lane_says(host: &Host, text: &str) {
    let says = |lane: &Value| lane["error"].as_str().is_some_and(|error| error.contains(text));
    lane(host, &format!("the lane says {text:?}"), says).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_out_over_tls_with_a_certificate_of_their_own() {
    let (authority, stranger, port) = (Authority::new(), Authority::new(), free_port());
    let (server, own) = (authority.issue("server"), authority.issue("client"));
    let broker = RabbitMq::with(&format!(
        "listeners.ssl.1 = {port}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\nssl_options.keyfile = {}\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true",
        authority.file().display(),
        server.certificate.display(),
        server.key.display()
    ))
    .await;
    let config = |ca: &Authority| {
        format!(
            "{{ url: \"amqps://stage2:right@{port}/\", exchange: contract, routing_key: x.tls, ca_file: {}, certificate: {}, key: {} }}",
            ca.file().display(),
            own.certificate.display(),
            own.key.display()
        )
    };
    let host = Host::with(events("rabbitmq", &config(&authority))).start().await;
    host.send_all(&[event("1", "t")]).await;
    broker.has("contract", 1).await;

    let host = Host::with(events("rabbitmq", &config(&stranger))).start().await;
    host.send_all(&[event("1", "t")]).await;
    lane_says(&host, "check ca_file, certificate and key").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_wait_for_their_queue_in_order() {
    let broker = RabbitMq::start().await;
    let config = broker.config(Content::Structured, "").replace("x.{type}", "early.bird");
    let host = Host::with(events("rabbitmq", &config)).start().await;
    let sent: Vec<_> = (0..20).map(|id| event(&id.to_string(), "t")).collect();
    host.send_all(&sent).await;
    lane_says(&host, "bind one, or set mandatory: false").await;
    broker.bind("contract", "early.#").await;
    host.has_settled().await;
    let mut ids: Vec<u32> = broker.ids().await.iter().map(|id| id.parse().expect("a number")).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_queue_takes_is_a_dead_letter_and_the_rest_goes_on() {
    let broker = RabbitMq::start().await;
    let config = broker.config(Content::Structured, "").replace("x.{type}", "{type}");
    let host = Host::with(events("rabbitmq", &config)).start().await;
    // All in one batch, so that confirmations and returned messages come mixed.
    let kind = |id: u32| if id.is_multiple_of(3) { "nowhere.t" } else { "x.t" };
    let sent: Vec<_> = (0..60).map(|id| event(&id.to_string(), kind(id))).collect();
    assert_eq!(host.send_batch(&sent).await.status, 202);
    host.has_settled().await;
    lane(&host, "twenty are given up", |lane| lane["dead"] == 20).await;
    let ids: Vec<u32> = broker.ids().await.iter().map(|id| id.parse().expect("a number")).collect();
    assert_eq!(ids.len(), 40);
    assert!(ids.iter().all(|id| id % 3 != 0), "{ids:?}");
    let log = host.log();
    assert!(log.contains("no queue of rabbitmq") && log.contains("nowhere.t"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_a_dead_letter_and_the_rest_goes_on() {
    let broker = RabbitMq::with("max_message_size = 100000").await;
    let host = Host::with(broker.events(Content::Structured, "")).start().await;
    let mut sent: Vec<_> = (0..30).map(|id| event(&id.to_string(), "t")).collect();
    for id in [7, 20] {
        sent[id]["data"] = "x".repeat(200_000).into();
    }
    assert_eq!(host.send_batch(&sent).await.status, 202);
    host.has_settled().await;
    lane(&host, "two are given up", |lane| lane["dead"] == 2).await;
    let mut ids: Vec<u32> = broker.ids().await.iter().map(|id| id.parse().expect("a number")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, (0..30).filter(|id| ![7, 20].contains(id)).collect::<Vec<_>>());
    assert!(host.log().contains("rabbitmq at amqp://127.0.0.1"), "{}", host.log());
    assert!(host.log().contains("raise max_message_size there"), "{}", host.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_blocks_its_publishers_is_waited_for() {
    let broker = RabbitMq::start().await;
    let host = Host::with(broker.events(Content::Structured, "timeout: 1s")).start().await;
    host.send_all(&[event("0", "t")]).await;
    broker.has("contract", 1).await;
    broker.control(&["set_vm_memory_high_watermark", "absolute", "1"]).await;
    let sent: Vec<_> = (1..20).map(|id| event(&id.to_string(), "t")).collect();
    host.send_all(&sent).await;
    lane_says(&host, "has blocked its publishers").await;
    broker.control(&["set_vm_memory_high_watermark", "0.4"]).await;
    host.has_settled().await;
    let mut ids: Vec<u32> = broker.ids().await.iter().map(|id| id.parse().expect("a number")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, (0..20).collect::<Vec<_>>());
}
