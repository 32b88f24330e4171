//! NATS: what the contract of all backends does not ask.

use serde_json::{Value, json};
use stagewire_tests::brokers::nats::{Rules, Server, Sync};
use stagewire_tests::brokers::{Broker, Content, events};
use stagewire_tests::certificates::{Authority, Pair};
use stagewire_tests::waiting::{PATIENCE, until};
use stagewire_tests::{Host, JetStream};

/// Made for this test; it opens nothing else.
const SEED: &str = "SUAJBWPWUFRUTWGYRV77MSSZ4I3D2GX5EOKDW6NAJBF6DTAQEZ3XBNO6EI";
const PUBLIC: &str = "UAGVSMQ4H23URIEMCVU2N7BWT5CDFDKTQP3SFNEQ4PSODGHXID7T2TMW";
const STAGE2: &str = "{ user: stage2, password: right }";

fn event(id: &str, subject: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/s", "type": "com.example.x", "subject": subject })
}

async fn lane(host: &Host, holds: impl Fn(&Value) -> bool) -> Value {
    until("the lane is as it should be", PATIENCE, async || {
        host.status().await["lanes"].as_array()?.iter().find(|lane| holds(lane)).cloned()
    })
    .await
}

async fn lane_says(host: &Host, text: &str) -> Value {
    lane(host, |lane| lane["error"].as_str().is_some_and(|error| error.contains(text))).await
}

fn tls(server: &Pair, clients: &Authority) -> String {
    format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
        server.certificate.display(),
        server.key.display(),
        clients.file().display()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_out_over_tls_with_a_certificate_of_their_own() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let more = tls(&authority.issue("server"), &authority);
    let rules = Rules { authorization: format!("users: [{STAGE2}]"), more, sync: Sync::Always };
    let server = Server::start(&rules).await;
    let own = authority.issue("client");
    let config = |ca: &Authority| {
        format!(
            "{{ servers: [\"tls://{}\"], user: stage2, password: right, subject: tls.x, stream: TLS, create_stream: true, ca_file: {}, certificate: {}, key: {} }}",
            server.address(),
            ca.file().display(),
            own.certificate.display(),
            own.key.display()
        )
    };
    let host = Host::with(events("nats", &config(&authority))).start().await;
    host.send_all(&[event("1", "a")]).await;
    host.has_settled().await;
    lane(&host, |lane| lane["delivered"] == 1).await;

    let host = Host::with(events("nats", &config(&stranger))).start().await;
    host.send_all(&[event("1", "a")]).await;
    lane_says(&host, "check ca_file, certificate and key").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nkey_signs_in() {
    let authorization = format!("users: [{STAGE2}, {{ nkey: {PUBLIC} }}]");
    let nats = JetStream::with(&Rules { authorization, more: String::new(), sync: Sync::Always }).await;
    let config = format!(
        "{{ servers: [\"nats://{}\"], nkey: {SEED}, subject: other.x, stream: OTHER }}",
        nats.server().address()
    );
    let host = Host::with(events("nats", &config)).start().await;
    host.send_all(&[event("1", "a")]).await;
    nats.has("OTHER", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_and_the_next_stages_consumer_are_made_and_what_comes_twice_is_kept_once() {
    let nats = JetStream::start().await;
    let host = Host::with(nats.events(Content::Structured, "durable_name: next-stage")).start().await;
    host.send_all(&[event("1", "a"), event("1", "a"), event("2", "a")]).await;
    host.has_settled().await;
    assert_eq!(nats.ids().await, ["1", "2"]);
    assert_eq!(nats.consumers("STRUCTURED").await, ["next-stage"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_published_is_a_dead_letter_and_the_rest_goes_on() {
    let nats = JetStream::start().await;
    let config = nats.config(Content::Structured, "").replace("structured.{type}", "structured.{subject}");
    let host = Host::with(events("nats", &config)).start().await;
    let mut large = event("large", "large");
    large["data"] = "x".repeat(5 << 20).into();
    let mut homeless = event("homeless", "x");
    homeless.as_object_mut().expect("an event is an object").remove("subject");
    // One after the other: the log names one reason of a batch.
    for event in [event("1", "a b.*"), large, event("dots", "a..b"), homeless, event("2", "c")] {
        host.send_all(&[event]).await;
        host.has_settled().await;
    }
    let mut ids = nats.ids().await;
    ids.sort();
    assert_eq!(ids, ["1", "2"]);
    lane(&host, |lane| lane["dead"] == 3).await;
    let log = host.log();
    for reason in ["too large for nats", "has an empty part", "no attribute \\\"subject\\\""] {
        assert!(log.contains(reason), "{reason:?} is not said");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_made_later_gets_what_waited_in_order() {
    let nats = JetStream::start().await;
    let config = nats.config(Content::Structured, "").replace("create_stream: true", "create_stream: false");
    let host = Host::with(events("nats", &config)).start().await;
    let sent: Vec<_> = (0..20).map(|id| event(&id.to_string(), "a")).collect();
    host.send_all(&sent).await;
    lane_says(&host, "does not exist").await;
    nats.create("STRUCTURED", "structured.>").await;
    host.has_settled().await;
    let ids: Vec<_> = (0..20).map(|id| id.to_string()).collect();
    assert_eq!(nats.ids().await, ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_stream_makes_its_key_wait_and_keeps_the_order() {
    let nats = JetStream::start().await;
    nats.create_small("STRUCTURED", "structured.>", 5).await;
    let host = Host::with(nats.events(Content::Structured, "")).start().await;
    let sent: Vec<_> = (0..12).map(|id| event(&id.to_string(), "a")).collect();
    host.send_all(&sent).await;
    lane_says(&host, "make room in the stream").await;
    assert_eq!(nats.length("STRUCTURED").await, 5);
    nats.raise("STRUCTURED", "structured.>").await;
    host.has_settled().await;
    let ids: Vec<_> = (0..12).map(|id| id.to_string()).collect();
    assert_eq!(nats.ids().await, ids);
    assert_eq!(lane(&host, |_| true).await["dead"], 0, "{}", host.log());
}
