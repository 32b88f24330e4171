//! The journal's events over the admin API: the latest, and a live tail. Attributes only, never their data.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::{Deserialize, Serialize};

use super::api::blocking;
use crate::host::View;
use crate::journal::Record;

/// Records that a search looks through, the latest.
const SEARCHED: u64 = 100_000;
/// The most records of one answer.
const MOST: usize = 1_000;
/// A tail looks so often, and shows the latest so many of what came since.
const LOOK: Duration = Duration::from_millis(500);
const SHOWN: usize = 50;

/// What is asked for; an absent field asks for nothing.
#[derive(Deserialize)]
pub(super) struct Search {
    #[serde(default = "Search::usual")]
    limit: usize,
    id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    subject: Option<String>,
}

impl Search {
    const fn usual() -> usize {
        100
    }

    /// `id` whole; of type and subject a part is enough.
    fn wants(&self, record: &Record) -> bool {
        let event = &record.event;
        let part = |text: &str, part: &Option<String>| part.as_ref().is_none_or(|part| text.contains(part));
        self.id.as_ref().is_none_or(|id| event.id() == id)
            && part(event.kind(), &self.kind)
            && part(event.subject().unwrap_or_default(), &self.subject)
    }

    fn is_open(&self) -> bool {
        self.id.is_none() && self.kind.is_none() && self.subject.is_none()
    }
}

/// One event, without its data.
#[derive(Serialize)]
struct Shown {
    offset: u64,
    at_ms: u64,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    subject: Option<String>,
    time: Option<String>,
    /// Bytes of its data.
    size: usize,
}

impl From<&Record> for Shown {
    fn from(record: &Record) -> Self {
        let event = &record.event;
        Self {
            offset: record.offset,
            at_ms: record.at_ms,
            id: event.id().to_owned(),
            source: event.source().to_owned(),
            kind: event.kind().to_owned(),
            subject: event.subject().map(Into::into),
            time: event.time().map(Into::into),
            size: event.data().len(),
        }
    }
}

/// The latest events that are asked for, newest first.
pub(super) async fn list(State(view): State<Arc<View>>, Query(search): Query<Search>) -> Response {
    blocking(move || {
        let limit = search.limit.min(MOST);
        let stats = view.journal.stats();
        let back = if search.is_open() { limit as u64 } else { SEARCHED };
        let from = stats.next.saturating_sub(back).max(stats.first);
        let mut found = std::collections::VecDeque::new();
        for record in view.journal.read(from).into_iter().flatten().flatten() {
            if search.wants(&record) {
                found.push_front(Shown::from(&record));
                found.truncate(limit);
            }
        }
        Json(Vec::from(found)).into_response()
    })
    .await
}

/// Events as they come, at a bounded rate.
pub(super) async fn tail(State(view): State<Arc<View>>) -> Response {
    Sse::new(follow(view)).keep_alive(KeepAlive::default()).into_response()
}

fn follow(view: Arc<View>) -> impl Stream<Item = Result<Message, Infallible>> {
    let next = view.journal.stats().next;
    unfold((view, next, Vec::<Shown>::new()), |(view, mut next, mut waiting)| async move {
        while waiting.is_empty() {
            tokio::time::sleep(LOOK).await;
            let journal = view.journal.clone();
            let end = journal.stats().next;
            // Under load the latest are shown, and what came before them is not read at all.
            let from = next.max(end.saturating_sub(SHOWN as u64));
            next = end;
            let read = tokio::task::spawn_blocking(move || {
                let records = journal.read(from).into_iter().flatten().flatten();
                records.take_while(|record| record.offset < end).map(|record| Shown::from(&record)).collect()
            });
            waiting = read.await.unwrap_or_default();
            waiting.reverse();
        }
        let shown = waiting.pop()?;
        let message = Message::default().json_data(&shown).unwrap_or_default();
        Some((Ok(message), (view, next, waiting)))
    })
}
