//! A webhook's receiving end, which keeps every request as it came.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use base64::Engine as _;
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use crate::waiting::{PATIENCE, until_true};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Received {
    /// In the form that the peers read: headers as Latin-1 text (bytes as they came), the body in base64.
    pub fn for_peers(&self) -> Value {
        let latin = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
        let headers: serde_json::Map<_, _> = self
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), latin(value.as_bytes()).into()))
            .collect();
        json!({ "headers": headers, "body": base64::engine::general_purpose::STANDARD.encode(&self.body) })
    }
}

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    answers: Mutex<Vec<StatusCode>>,
}

/// The receiver; it answers 200 unless told otherwise, and stops when dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Receiver {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let app = Router::new().fallback(receive).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, app).await }).abort_handle();
        Self { address, shared, task }
    }

    /// Where it receives.
    pub fn url(&self) -> String {
        format!("http://{}/webhook", self.address)
    }

    /// Answers the next requests so, one after the other, before it answers 200 again.
    pub fn answer_first(&self, statuses: &[u16]) {
        let statuses = statuses.iter().rev().map(|code| StatusCode::from_u16(*code).expect("a status"));
        self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner).extend(statuses);
    }

    /// What was accepted so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until that many requests were accepted.
    pub async fn has(&self, count: usize) -> Vec<Received> {
        let what = format!("the receiver has {count} requests");
        until_true(&what, PATIENCE, async || self.received().len() >= count).await;
        self.received()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(
    State(shared): State<Arc<Shared>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1]) {
    let granted = [("webhook-allowed-origin", "*")];
    if method != Method::POST {
        return (StatusCode::OK, granted);
    }
    let status =
        shared.answers.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or(StatusCode::OK);
    if status.is_success() {
        shared.received.lock().unwrap_or_else(PoisonError::into_inner).push(Received { headers, body });
    }
    (status, granted)
}
