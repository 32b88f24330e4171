//! The journal's events over the admin API: the latest, and a live tail. Attributes only, never their data.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State as Shared};
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::{Deserialize, Serialize};

use super::api::blocking;
use crate::host::View;
use crate::journal::Record;
use crate::provenance::{State, Story};

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
    source: Option<String>,
    /// From this offset on, the oldest first; without it the latest, the newest first.
    from: Option<u64>,
    /// Whether to tell what became of each.
    #[serde(default)]
    outcome: bool,
}

impl Search {
    const fn usual() -> usize {
        100
    }

    /// `id` whole; of type, subject and source a part is enough.
    fn wants(&self, record: &Record) -> bool {
        let event = &record.event;
        let part = |text: &str, part: &Option<String>| part.as_ref().is_none_or(|part| text.contains(part));
        self.id.as_ref().is_none_or(|id| event.id() == id)
            && part(event.kind(), &self.kind)
            && part(event.subject().unwrap_or_default(), &self.subject)
            && part(event.source(), &self.source)
    }

    fn is_open(&self) -> bool {
        [&self.id, &self.kind, &self.subject, &self.source].iter().all(|part| part.is_none())
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
    /// What became of it, where that is asked for and known.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
}

/// What became of an event, in short.
#[derive(Serialize)]
struct Outcome {
    state: State,
    /// The routes that took it.
    routes: Vec<String>,
    /// Who dropped it, failed on it, gave it up or left it out, and why.
    why: Option<String>,
}

impl From<Story> for Outcome {
    fn from(story: Story) -> Self {
        let why = story.journeys.iter().find_map(|journey| {
            let buried = journey.buried.first().map(|buried| format!("{}: {}", buried.place, buried.reason));
            let stopped = journey.steps.iter().rev().find(|step| !step.reason.is_empty());
            buried
                .or_else(|| stopped.map(|step| format!("{}: {}", step.plugin, step.reason)))
                .or_else(|| Some(format!("{}: {}", journey.route, journey.left_out.as_ref()?)))
        });
        let routes = story.journeys.into_iter().map(|journey| journey.route).collect();
        Self { state: story.state, routes, why }
    }
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
            outcome: None,
        }
    }
}

/// The events that are asked for.
pub(super) async fn list(Shared(view): Shared<Arc<View>>, Query(search): Query<Search>) -> Response {
    blocking(move || {
        let found = match search.from {
            Some(from) => onwards(&view, &search, from),
            None => latest(&view, &search),
        };
        let mut stories = match &view.provenance {
            Some(provenance) if search.outcome => provenance.stories_of(&found),
            _ => BTreeMap::new(),
        };
        let shown = |record: &Record| {
            let outcome = stories.remove(&record.offset).map(Outcome::from);
            Shown { outcome, ..Shown::from(record) }
        };
        Json(found.iter().map(shown).collect::<Vec<_>>()).into_response()
    })
    .await
}

/// From that offset on, the oldest first.
fn onwards(view: &View, search: &Search, from: u64) -> Vec<Record> {
    let stats = view.journal.stats();
    let end = from.saturating_add(SEARCHED);
    let records = view.journal.read(from.max(stats.first)).into_iter().flatten().flatten();
    let records = records.take_while(|record| record.offset < end).filter(|record| search.wants(record));
    records.take(search.limit.min(MOST)).collect()
}

/// The latest, newest first.
fn latest(view: &View, search: &Search) -> Vec<Record> {
    let limit = search.limit.min(MOST);
    let stats = view.journal.stats();
    let back = if search.is_open() { limit as u64 } else { SEARCHED };
    let from = stats.next.saturating_sub(back).max(stats.first);
    let mut found = VecDeque::new();
    for record in view.journal.read(from).into_iter().flatten().flatten() {
        if search.wants(&record) {
            found.push_front(record);
            found.truncate(limit);
        }
    }
    found.into()
}

/// Events as they come, at a bounded rate.
pub(super) async fn tail(Shared(view): Shared<Arc<View>>) -> Response {
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
