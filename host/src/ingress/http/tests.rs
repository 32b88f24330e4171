//! Requests over real sockets, and what they get.

use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::Event;
use crate::config::units::{Size, Span};
use crate::ingress::{Arrived, Refusal};

#[derive(Default)]
struct Basket {
    events: Mutex<Vec<Event>>,
    refusal: Mutex<Option<Refusal>>,
    refused: Mutex<Vec<&'static str>>,
}

#[async_trait]
impl Intake for Basket {
    async fn accept(&self, arrived: Arrived) -> Result<(), Refusal> {
        if let Some(refusal) = self.refusal.lock().clone() {
            return Err(refusal);
        }
        self.events.lock().extend(arrived.events);
        Ok(())
    }

    fn refused(&self, reason: &'static str, _: u64) {
        self.refused.lock().push(reason);
    }
}

struct Server {
    basket: Arc<Basket>,
    ingress: HttpIngress,
    stop: CancellationToken,
}

impl Server {
    fn with(change: impl FnOnce(&mut settings::Http)) -> Self {
        let mut settings = settings::Host { listen: ([127, 0, 0, 1], 0).into(), ..settings::Host::default() };
        change(&mut settings.http);
        let (basket, stop) = (Arc::new(Basket::default()), CancellationToken::new());
        let intake: Arc<dyn Intake> = basket.clone();
        let ingress = serve(&settings, intake, false, stop.clone()).unwrap();
        Self { basket, ingress, stop }
    }

    fn start() -> Self {
        Self::with(|_| {})
    }

    /// Sends raw bytes and reads until the server closes the connection.
    async fn talk(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.ingress.local_addr).await.unwrap();
        stream.write_all(request.as_ref()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        read.expect("the server closes").unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn post(&self, headers: &str, body: &str) -> String {
        let length = body.len();
        self.talk(format!("POST /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")).await
    }
}

const STRUCTURED: &str = "Content-Type: application/cloudevents+json\r\n";
const BATCHED: &str = "Content-Type: application/cloudevents-batch+json\r\n";
const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"a":1}}"#;

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn all_three_modes_are_taken() {
    let server = Server::start();
    assert_eq!(status(&server.post(STRUCTURED, EVENT).await), 202);
    assert_eq!(status(&server.post(BATCHED, &format!("[{EVENT},{EVENT}]")).await), 202);
    let binary =
        "ce-specversion: 1.0\r\nce-id: 4\r\nce-source: s\r\nce-type: t\r\ncontent-type: text/plain\r\n";
    assert_eq!(status(&server.post(binary, "hi").await), 202);
    let events = server.basket.events.lock();
    assert_eq!(events.len(), 4);
    assert_eq!(events[3].data(), b"hi");
}

#[tokio::test]
async fn refusals_are_problem_documents() {
    let server = Server::with(|http| {
        http.max_body = Size(1_000);
        http.max_batch = 2;
    });
    let large = "x".repeat(1_001);
    let cases = [
        (server.post(STRUCTURED, "{").await, 400, "malformed"),
        (server.post(BATCHED, &format!("[{EVENT},7]")).await, 400, r#""errors":[{"index":1"#),
        (server.post("", "").await, 400, "ce-specversion is missing"),
        (server.post(STRUCTURED, &large).await, 413, "host.http.max_body"),
        (server.post(BATCHED, &format!("[{EVENT},{EVENT},{EVENT}]")).await, 413, "host.http.max_batch"),
        (
            server.post("Content-Type: application/cloudevents+xml\r\n", "<a/>").await,
            415,
            "application/cloudevents+json",
        ),
        (server.post("Content-Encoding: gzip\r\n", "x").await, 415, "gzip"),
        (
            server.talk("GET /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await,
            405,
            "allow: POST, OPTIONS",
        ),
        (
            server
                .talk("POST /else HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                .await,
            404,
            "/events",
        ),
    ];
    for (answer, code, part) in cases {
        assert_eq!(status(&answer), code, "{answer}");
        assert!(answer.contains("application/problem+json") && answer.contains(part), "{answer}");
    }
    assert_eq!(server.basket.refused.lock()[..4], ["malformed", "malformed", "malformed", "too-large"]);
    assert!(server.basket.events.lock().is_empty(), "a batch is taken whole or not at all");
}

#[tokio::test]
async fn a_full_journal_is_503_with_retry_after() {
    let server = Server::start();
    *server.basket.refusal.lock() = Some(Refusal::Full { retry_after: Duration::from_secs(3) });
    let answer = server.post(STRUCTURED, EVENT).await;
    assert_eq!(status(&answer), 503);
    assert!(answer.contains("retry-after: 3"), "{answer}");
    let rule = Refusal::Rule { index: 0, rule: "privacy".into(), message: "no".into() };
    *server.basket.refusal.lock() = Some(rule);
    assert_eq!(status(&server.post(STRUCTURED, EVENT).await), 422);
}

#[tokio::test]
async fn credentials_are_asked_for_where_there_are_any() {
    let server = Server::with(|http| {
        http.bearer_tokens = vec!["right".into()];
        http.api_keys = vec!["key".into()];
    });
    let answer = server.post(STRUCTURED, EVENT).await;
    assert!(status(&answer) == 401 && answer.contains("www-authenticate: Bearer"), "{answer}");
    let with = |header: &str| format!("{STRUCTURED}{header}\r\n");
    assert_eq!(status(&server.post(&with("Authorization: Bearer wrong"), EVENT).await), 403);
    assert_eq!(status(&server.post(&with("Authorization: bearer right"), EVENT).await), 202);
    assert_eq!(status(&server.post(&with("X-API-Key: key"), EVENT).await), 202);
    assert_eq!(status(&server.post(&with("X-API-Key: right"), EVENT).await), 403);
}

#[tokio::test]
async fn the_webhook_handshake_grants_known_origins() {
    let server = Server::with(|http| http.allowed_origins = vec!["a.example".into()]);
    let ask = |origin: &str| {
        format!(
            "OPTIONS /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nWebHook-Request-Origin: {origin}\r\nWebHook-Request-Rate: 120\r\n\r\n"
        )
    };
    let answer = server.talk(ask("a.example")).await;
    assert!(
        answer.contains("webhook-allowed-origin: a.example") && answer.contains("webhook-allowed-rate: 120"),
        "{answer}"
    );
    let answer = server.talk(ask("b.example")).await;
    assert!(status(&answer) == 200 && !answer.contains("webhook-allowed-origin"), "{answer}");
}

#[tokio::test]
async fn slow_clients_are_cut_off() {
    let server = Server::with(|http| http.read_timeout = Span::millis(200));
    // Half a header, then nothing: closed without an answer, or with 408.
    let answer = server.talk("POST /events HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    assert!(answer.is_empty() || status(&answer) == 408, "{answer}");
    let answer = server.talk(format!("POST /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{STRUCTURED}Content-Length: 100\r\n\r\n{{")).await;
    assert_eq!(status(&answer), 408, "{answer}");
}

#[tokio::test]
async fn chunked_bodies_and_h2c_are_taken() {
    let server = Server::start();
    let (one, two) = EVENT.split_at(20);
    let chunked = format!(
        "POST /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{STRUCTURED}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
        one.len(),
        two.len()
    );
    assert_eq!(status(&server.talk(chunked).await), 202);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let url = format!("http://{}/events", server.ingress.local_addr);
    let answer = client
        .post(url)
        .header("content-type", "application/cloudevents+json")
        .body(EVENT)
        .send()
        .await
        .unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (202, reqwest::Version::HTTP_2));
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_closes_idle_connections() {
    let Server { basket, ingress, stop } = Server::start();
    let address = ingress.local_addr;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut busy = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /events HTTP/1.1\r\nHost: x\r\n{STRUCTURED}Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        EVENT.len()
    );
    busy.write_all(head.as_bytes()).await.unwrap();
    // "100 Continue" shows that the request is under way.
    let mut buffer = [0; 1_024];
    let count = busy.read(&mut buffer).await.unwrap();
    assert!(buffer[..count].starts_with(b"HTTP/1.1 100"));
    stop.cancel();
    busy.write_all(EVENT.as_bytes()).await.unwrap();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.unwrap();
    assert_eq!(status(&answer), 202, "{answer}");
    assert_eq!(idle.read(&mut buffer).await.unwrap(), 0);
    ingress.stopped().await;
    assert_eq!(basket.events.lock().len(), 1);
    assert!(TcpStream::connect(address).await.is_err());
}
