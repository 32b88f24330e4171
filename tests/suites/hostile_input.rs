//! Input that is wrong on purpose: the right status, a problem document that says what is wrong where, no growth.

use std::time::Duration;

use serde_json::{Value, json};
use stagewire_tests::host::{BATCHED, STRUCTURED};
use stagewire_tests::process::most_open_files;
use stagewire_tests::wire::{Connection, Response};
use stagewire_tests::{Host, Redis, stories};

async fn host() -> Host {
    Host::with("events: { enabled: false }\n").start().await
}

/// RFC 9457: the media type, the status again, and words.
fn is_problem(answer: &Response, status: u16, words: &[&str]) {
    let text = answer.text();
    assert_eq!(answer.status, status, "{text}");
    let media = answer.header("content-type").unwrap_or_default();
    assert!(media.starts_with("application/problem+json"), "{media}: {text}");
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{text}");
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing: {text}");
    }
}

#[tokio::test]
async fn malformed_json_of_every_kind() {
    let host = host().await;
    let bodies: [&[u8]; 14] = [
        b"",
        b" ",
        b"{",
        b"}",
        b"nul",
        b"[]",
        b"\"text\"",
        b"17",
        b"{\"id\":\"1\",}",
        b"{\"id\":\"1\" \"source\":\"s\"}",
        b"{\"specversion\":\"1.0\",\"id\":\"\xff\xfe\",\"source\":\"s\",\"type\":\"t\"}",
        b"{\"specversion\":\"1.0\",\"id\":\"\\ud800\",\"source\":\"s\",\"type\":\"t\"}",
        b"{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\"} trailing",
        b"{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"data\":{]}",
    ];
    for body in bodies {
        is_problem(&host.post(&[("content-type", STRUCTURED)], body).await, 400, &[]);
    }
    let deep = "[".repeat(200_000);
    let body = format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","data":{deep}"#);
    is_problem(&host.post(&[("content-type", STRUCTURED)], body.as_bytes()).await, 400, &[]);
    host.send_all(&[stories::started()]).await;
}

#[tokio::test]
async fn wrong_attributes_are_named() {
    let host = host().await;
    let good = json!({ "specversion": "1.0", "id": "1", "source": "s", "type": "t" });
    let wrong: [(&str, Value); 13] = [
        ("id", Value::Null),
        ("id", json!("")),
        ("id", json!(17)),
        ("source", json!({ "a": 1 })),
        ("type", json!(["t"])),
        ("specversion", json!("0.3")),
        ("specversion", json!(1.0)),
        ("time", json!("yesterday")),
        ("subject", json!(false)),
        ("extension", json!({ "nested": true })),
        ("number", json!(1.5)),
        ("number", json!(3_000_000_000_u64)),
        ("Upper", json!("x")),
    ];
    for (name, value) in wrong {
        let mut event = good.clone();
        event[name] = value;
        is_problem(&host.send(&event).await, 400, &[name]);
    }
    for name in ["specversion", "id", "source", "type"] {
        let mut event = good.clone();
        event.as_object_mut().map(|all| all.remove(name));
        is_problem(&host.send(&event).await, 400, &[name]);
    }
}

#[tokio::test]
async fn a_batch_is_refused_whole_with_the_errors_by_index() {
    let redis = Redis::start().await;
    let host = Host::with(redis.events_section()).start().await;
    let answer = host.send_batch(&[stories::started(), json!({ "id": "1" }), stories::completed()]).await;
    is_problem(&answer, 400, &["1"]);
    is_problem(&host.post(&[("content-type", BATCHED)], b"{}").await, 400, &[]);
    assert_eq!(host.send_batch(&[stories::started(), stories::completed()]).await.status, 202);
    host.has_settled().await;
    assert_eq!(redis.stream("nlp-events").length().await, 2);
}

#[tokio::test]
async fn media_types_encodings_and_methods_that_are_not_known() {
    let host = host().await;
    let body = stories::started().to_string().into_bytes();
    is_problem(&host.post(&[("content-type", "application/cloudevents+avro")], &body).await, 415, &[]);
    let gzip = [("content-type", STRUCTURED), ("content-encoding", "gzip")];
    is_problem(&host.post(&gzip, &body).await, 415, &["gzip"]);
    let charset = [("content-type", "application/cloudevents+json; charset=utf-16")];
    is_problem(&host.post(&charset, &body).await, 415, &[]);
    let utf8 = [("content-type", "application/cloudevents+json; charset=UTF-8")];
    assert_eq!(host.post(&utf8, &body).await.status, 202);
    let other =
        stagewire_tests::wire::send(host.ingress(), "GET", "/events", &[], b"").await.expect("an answer");
    assert_eq!(other.status, 405);
    assert!(other.header("allow").is_some_and(|allow| allow.contains("POST")));
    let handshake = [("webhook-request-origin", "example.com")];
    let answer = stagewire_tests::wire::send(host.ingress(), "OPTIONS", "/events", &handshake, b"").await;
    assert!(answer.expect("an answer").header("webhook-allowed-origin").is_some());
}

#[tokio::test]
async fn a_body_of_a_hundred_megabytes_is_refused_without_being_kept() {
    let host = host().await;
    let before = host.process().resident();
    let mut announced = Connection::open(host.ingress()).await.expect("a connection");
    let head = format!("POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: {STRUCTURED}\r\n");
    let request = format!("{head}content-length: 104857600\r\n\r\n");
    is_problem(&announced.exchange(request.as_bytes()).await.expect("an answer"), 413, &["8"]);

    let mut chunked = Connection::open(host.ingress()).await.expect("a connection");
    let request = format!("{head}transfer-encoding: chunked\r\n\r\n");
    chunked.write(request.as_bytes()).await.expect("the head is taken");
    let chunk = [b"100000\r\n".to_vec(), vec![b'x'; 1 << 20], b"\r\n".to_vec()].concat();
    for _ in 0..100 {
        // The host may close before all of it is sent.
        if chunked.write(&chunk).await.is_err() {
            break;
        }
    }
    // A reset may overtake the answer, as HTTP/1.1 allows; one that arrives says 413.
    if let Ok(answer) = chunked.read().await {
        is_problem(&answer, 413, &[]);
    }
    let after = host.process().resident();
    assert!(after < before + (64 << 20), "{before} to {after} bytes");
}

#[tokio::test]
async fn clients_that_dawdle_are_sent_away() {
    let host = Host::with("events: { enabled: false }\n").host("http: { read_timeout: 300ms }").start().await;
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: {STRUCTURED}\r\ncontent-length: 100\r\n\r\n{{"
    );
    for begun in ["", "POST /eve", "POST /events HTTP/1.1\r\nhost: x\r\nx-a:", &head] {
        let mut connection = Connection::open(host.ingress()).await.expect("a connection");
        connection.write(begun.as_bytes()).await.expect("bytes are taken");
        let ended = tokio::time::timeout(Duration::from_secs(10), connection.read()).await;
        let ended = ended.unwrap_or_else(|_| panic!("sent away after {begun:?}"));
        assert!(ended.is_err() || ended.is_ok_and(|answer| answer.status == 408), "{begun:?}");
    }
    host.send_all(&[stories::started()]).await;
}

#[tokio::test]
async fn ten_thousand_open_connections_leave_the_host_answering_and_small() {
    const CONNECTIONS: usize = 10_000;
    assert!(most_open_files() > CONNECTIONS as u64 + 500, "more open files must be allowed: ulimit -n");
    let host = host().await;
    let before = host.process().resident();
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(host.ingress()).await.expect("a connection");
        connection.write(b"POST /events HTTP/1.1\r\nhost: x\r\n").await.expect("bytes are taken");
        open.push(connection);
    }
    host.send_all(&stories::processed()).await;
    let during = host.process().resident();
    let each = during.saturating_sub(before) / CONNECTIONS as u64;
    // hyper's buffers, 16 KiB to read half of a head and 8 KiB to write, and the connection's state.
    assert!(each < 32 << 10, "{each} bytes a connection: {before} to {during}");
    drop(open);
    host.send_all(&stories::processed()).await;
}

#[tokio::test]
async fn refusals_over_and_over_do_not_make_the_host_grow() {
    let host = host().await;
    let mut connection = Connection::open(host.ingress()).await.expect("a connection");
    let bad = format!(r#"{{"specversion":"1.0","id":"{}","source":17}}"#, "x".repeat(4_000));
    let request =
        stagewire_tests::wire::request("POST", "/events", &[("content-type", STRUCTURED)], bad.as_bytes());
    let mut measured = Vec::new();
    for _ in 0..3 {
        for _ in 0..3_000 {
            assert_eq!(connection.status(&request).await.expect("an answer"), 400);
        }
        measured.push(host.process().resident());
    }
    assert!(measured[2] < measured[0] + (8 << 20), "{measured:?}");
    host.metric_reaches("stagewire_events_refused_total", &[], 9_000.0).await;
}
