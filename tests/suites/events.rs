//! Events of clients that we did not write, in all three modes, arrive at a real Redis and at a webhook, and are read
//! back by those clients unchanged.

use serde_json::{Value, json};
use stagewire_tests::host::STRUCTURED;
use stagewire_tests::peers::{Mode, Peer, all_canonical, bytes, delicate, python_reads_redis};
use stagewire_tests::{Host, Receiver, Redis, stories};

fn both_backends(redis: &Redis, receiver: &Receiver) -> String {
    format!(
        "events:\n  enabled: true\n  backends:\n    - type: redis_streams\n      config: {{ url: \"{}\", stream_name: nlp-events }}\n    - type: webhook\n      config: {{ urls: [\"{}\"] }}\n",
        redis.url(),
        receiver.url()
    )
}

async fn round_trip(sender: Peer, mode: Mode) {
    let redis = Redis::start().await;
    let receiver = Receiver::start().await;
    let host = Host::with(both_backends(&redis, &receiver)).start().await;
    let mut events = delicate();
    if sender != Peer::Curl {
        events.push(bytes());
    }
    sender.send(mode, &host.events_url(), &events).await;

    redis.stream("nlp-events").has(events.len()).await;
    let requests = receiver.has(events.len()).await;
    let documents: Vec<_> = redis.stream("nlp-events").raw().await.iter().map(|raw| document(raw)).collect();
    let requests: Vec<_> = requests.iter().map(stagewire_tests::receiver::Received::for_peers).collect();
    let expected = all_canonical(&events);
    for reader in [Peer::Python, Peer::Go] {
        let read = all_canonical(&reader.read(&documents).await);
        assert_eq!(read, expected, "{reader:?} reads from Redis what {sender:?} sent in {mode:?} mode");
        let read = all_canonical(&reader.read(&requests).await);
        assert_eq!(read, expected, "{reader:?} reads from the webhook what {sender:?} sent in {mode:?} mode");
    }
    let read = python_reads_redis(&redis.url(), "nlp-events", events.len()).await;
    assert_eq!(all_canonical(&read), expected, "Python's own Redis client reads the same");
}

fn document(raw: &[u8]) -> Value {
    json!({ "document": String::from_utf8_lossy(raw) })
}

#[tokio::test]
async fn curl_structured() {
    round_trip(Peer::Curl, Mode::Structured).await;
}

#[tokio::test]
async fn curl_binary() {
    round_trip(Peer::Curl, Mode::Binary).await;
}

#[tokio::test]
async fn curl_batched() {
    round_trip(Peer::Curl, Mode::Batched).await;
}

#[tokio::test]
async fn python_structured() {
    round_trip(Peer::Python, Mode::Structured).await;
}

#[tokio::test]
async fn python_binary() {
    round_trip(Peer::Python, Mode::Binary).await;
}

#[tokio::test]
async fn python_batched() {
    round_trip(Peer::Python, Mode::Batched).await;
}

#[tokio::test]
async fn go_structured() {
    round_trip(Peer::Go, Mode::Structured).await;
}

#[tokio::test]
async fn go_binary() {
    round_trip(Peer::Go, Mode::Binary).await;
}

#[tokio::test]
async fn go_batched() {
    round_trip(Peer::Go, Mode::Batched).await;
}

#[tokio::test]
async fn the_bytes_of_data_are_never_rewritten() {
    let redis = Redis::start().await;
    let host = Host::with(redis.events_section()).start().await;
    let data = r#"{"z": 1.10, "a":1e400 , "n":12345678901234567890123,"s":"\u00e9\/" ,"z": 2}"#;
    let body = format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","data":{data}}}"#);
    assert_eq!(host.post(&[("content-type", STRUCTURED)], body.as_bytes()).await.status, 202);
    redis.stream("nlp-events").has(1).await;
    let raw = redis.stream("nlp-events").raw().await;
    let raw = String::from_utf8_lossy(&raw[0]).into_owned();
    assert!(raw.contains(data), "{raw}");
}

#[tokio::test]
async fn raw_utf8_in_headers_is_taken_as_other_sdks_send_it() {
    let redis = Redis::start().await;
    let host = Host::with(redis.events_section()).start().await;
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "s"),
        ("ce-type", "t"),
        ("ce-subject", "kůň"),
    ];
    assert_eq!(host.post(&headers, b"").await.status, 202);
    redis.stream("nlp-events").has(1).await;
    assert_eq!(redis.stream("nlp-events").events().await[0]["subject"], "kůň");
}

#[tokio::test]
async fn redacted_fields_arrive_nowhere() {
    let redis = Redis::start().await;
    let routes = "routes:\n  - name: private\n    steps:\n      - plugin: redact\n        settings: { remove: [text] }\n    deliver: [redis_streams]\n";
    let settings = format!("{}{routes}", redis.events_section());
    let host = Host::with(settings).plugins(&["redact"]).start().await;
    host.send_all(&stories::batch()).await;
    redis.stream("nlp-events").has(stories::batch().len()).await;
    for event in redis.stream("nlp-events").events().await {
        assert!(event["data"].get("text").is_none(), "{event}");
        assert_eq!(event["data"]["job_id"], "job-456");
    }
}

#[tokio::test]
async fn a_webhook_that_fails_at_first_gets_the_event_again() {
    let receiver = Receiver::start().await;
    receiver.answer_first(&[503, 500]);
    let settings = format!(
        "events:\n  enabled: true\n  backend: webhook\n  webhook:\n    urls: [\"{}\"]\n    retry_delay_seconds: 0.05\n",
        receiver.url()
    );
    let host = Host::with(settings).start().await;
    host.send_all(&[stories::started()]).await;
    receiver.has(1).await;
    host.has_settled().await;
    assert!(host.metric("stagewire_publish_retries_total", &[]).await >= 2.0);
}
