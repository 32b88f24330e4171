//! A receiving end that costs little, for webhooks and for spans: it notes which event came when, if asked to, and forgets it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use stagewire_tests::checker::Ticket;
use stagewire_tests::load::now_micros;
use tokio::task::AbortHandle;

/// When events arrived, in microseconds of Unix time.
#[derive(Clone, Default)]
pub(crate) struct Arrivals(Arc<Mutex<Vec<(Ticket, u64)>>>);

impl Arrivals {
    /// Notes the event of that document.
    pub(crate) fn note(&self, document: &[u8], at: u64) {
        if let Some(ticket) = ticket(document) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push((ticket, at));
        }
    }

    /// How many were noted.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What was noted since this was asked last.
    pub(crate) fn take(&self) -> Vec<(Ticket, u64)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The ticket in a document that the load has made: its id is the first that looks like one.
fn ticket(document: &[u8]) -> Option<Ticket> {
    const BEFORE: &[u8] = b"\"id\":\"";
    let at = document.windows(BEFORE.len()).position(|bytes| bytes == BEFORE)? + BEFORE.len();
    Ticket::parse(std::str::from_utf8(document.get(at..at + Ticket::WIDTH)?).ok()?)
}

/// The receiver. It stops when it is dropped.
pub(crate) struct Sink {
    address: SocketAddr,
    arrivals: Arrivals,
    /// Requests whose content nobody looks at.
    taken: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Sink {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (arrivals, taken) = (Arrivals::default(), Arc::<AtomicU64>::default());
        let count = Arc::clone(&taken);
        let take = move |_: Bytes| {
            count.fetch_add(1, Ordering::Relaxed);
            std::future::ready(StatusCode::OK)
        };
        let app = Router::new()
            .route("/noted", axum::routing::post(noted))
            .fallback(take)
            .with_state(arrivals.clone());
        let task = tokio::spawn(async move { axum::serve(listener, app).await }).abort_handle();
        Self { address, arrivals, taken, task }
    }

    /// Its address, without a path.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came whose content nobody looks at.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Where nothing is noted.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/webhook", self.address)
    }

    /// Where arrivals are noted.
    pub(crate) fn noted(&self) -> (String, Arrivals) {
        (format!("http://{}/noted", self.address), self.arrivals.clone())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn noted(State(arrivals): State<Arrivals>, body: Bytes) -> StatusCode {
    arrivals.note(&body, now_micros());
    StatusCode::OK
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagewire_tests::load::Documents;

    #[test]
    fn events_are_known_by_their_document() {
        let arrivals = Arrivals::default();
        let mut documents = Documents::new(8);
        arrivals.note(documents.one().1, 5);
        arrivals.note(b"no event", 6);
        assert_eq!(arrivals.take(), [(Ticket { key: 0, seq: 0 }, 5)]);
        assert_eq!(arrivals.count(), 0);
    }
}
