//! The journal's events over the admin API: the latest, a range, and a live tail. Attributes only, never their data.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::Event as Message;
use futures_util::stream::unfold;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::Tails;
use super::api::blocking;
use super::endpoint::{Given, Stream};
use super::problem::Problem;
use crate::host::View;
use crate::journal::{Journal, Record};
use crate::provenance::{State as Now, Story};

/// Records that a search looks through, the latest.
const SEARCHED: u64 = 100_000;
/// The most records of one answer.
const MOST: usize = 1_000;
/// A tail looks so often, and shows the latest so many of what came since.
const LOOK: Duration = Duration::from_millis(500);
const SHOWN: usize = 50;

/// What is asked for; an absent field asks for nothing.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Search {
    /// How many at most, 1,000 at most.
    #[serde(default = "Search::usual")]
    limit: usize,
    /// The whole id.
    id: Option<String>,
    /// A part of the type.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// A part of the subject.
    subject: Option<String>,
    /// A part of the source.
    source: Option<String>,
}

/// How the events are listed.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Listing {
    /// From this offset on, the oldest first; without it the latest, the newest first.
    from: Option<u64>,
    /// Whether to tell what became of each.
    #[serde(default)]
    outcome: bool,
}

/// A stretch of the journal. Of an offset and a time for the same end, the narrower one holds.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Stretch {
    /// The first offset.
    from: Option<u64>,
    /// Up to this offset, without it.
    to: Option<u64>,
    /// Accepted at that time or later, Unix milliseconds.
    since_ms: Option<u64>,
    /// Accepted before that time, Unix milliseconds.
    until_ms: Option<u64>,
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
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "JournalEvent")]
pub(super) struct Shown {
    /// Its offset in the journal.
    offset: u64,
    /// When it was accepted, Unix milliseconds.
    at_ms: u64,
    /// `id`
    id: String,
    /// `source`
    source: String,
    /// `type`
    #[serde(rename = "type")]
    kind: String,
    /// `subject`
    subject: Option<String>,
    /// `time`
    time: Option<String>,
    /// Bytes of its data.
    size: usize,
    /// What became of it, where that is asked for and known.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
}

/// What became of an event, in short.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventOutcome")]
struct Outcome {
    /// Where it is.
    state: Now,
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

/// A part of a stretch.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "JournalPart")]
pub(super) struct PartOf {
    /// Events, oldest first.
    events: Vec<Shown>,
    /// Go on with `from` at this offset; null at the end of the stretch.
    next: Option<u64>,
    /// The oldest offset that is still there.
    first: u64,
    /// The offset that the next event will get.
    end: u64,
}

/// The events that are asked for.
pub(super) async fn list(
    State(view): State<Arc<View>>,
    Given(search): Given<Search>,
    Given(listing): Given<Listing>,
) -> Result<Json<Vec<Shown>>, Problem> {
    blocking(move || {
        let found = match listing.from {
            Some(from) => onwards(&view, &search, from),
            None => latest(&view, &search),
        };
        let mut stories = match &view.provenance {
            Some(provenance) if listing.outcome => provenance.stories_of(&found),
            _ => BTreeMap::new(),
        };
        let shown = |record: &Record| {
            let outcome = stories.remove(&record.offset).map(Outcome::from);
            Shown { outcome, ..Shown::from(record) }
        };
        Ok(found.iter().map(shown).collect())
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

/// Events of a stretch of the journal, oldest first.
pub(super) async fn range(
    State(view): State<Arc<View>>,
    Given(stretch): Given<Stretch>,
    Given(search): Given<Search>,
) -> Result<Json<PartOf>, Problem> {
    blocking(move || {
        let (journal, limit) = (&view.journal, search.limit.min(MOST));
        let (from, to) = stretch.offsets(journal);
        let (mut events, mut next, mut looked) = (Vec::new(), None, 0);
        let records = journal.read(from).into_iter().flatten();
        for record in
            records.take_while(|record| record.as_ref().is_ok_and(|record| record.offset < to)).flatten()
        {
            if events.len() == limit || looked == SEARCHED {
                next = Some(record.offset);
                break;
            }
            looked += 1;
            if search.wants(&record) {
                events.push(Shown::from(&record));
            }
        }
        let stats = journal.stats();
        Ok(PartOf { events, next, first: stats.first, end: stats.next })
    })
    .await
}

impl Stretch {
    fn offsets(&self, journal: &Journal) -> (u64, u64) {
        let at = |time: Option<u64>| time.map(|time| journal.offset_at(time));
        let from = self.from.max(at(self.since_ms)).unwrap_or(0);
        let ends = [self.to, at(self.until_ms)];
        let to = ends.into_iter().flatten().min().unwrap_or(u64::MAX);
        (from, to)
    }
}

type Messages = std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Message, Infallible>> + Send>>;

/// Events as they come, at a bounded rate.
pub(super) async fn tail(
    State(view): State<Arc<View>>,
    State(tails): State<Tails>,
) -> Result<Stream<Messages, Shown>, Problem> {
    let place = tails.place()?;
    let next = view.journal.stats().next;
    let tail = Tail { view, next, waiting: Vec::new(), stop: tails.stop, _place: place };
    Ok(Stream(Box::pin(unfold(tail, Tail::next)), PhantomData))
}

struct Tail {
    view: Arc<View>,
    next: u64,
    /// The latest last.
    waiting: Vec<Shown>,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Tail {
    async fn next(mut self) -> Option<(Result<Message, Infallible>, Self)> {
        while self.waiting.is_empty() {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.stop.cancelled() => return None,
            }
            self.look().await;
        }
        let shown = self.waiting.pop()?;
        let message = Message::default().json_data(&shown).unwrap_or_default();
        Some((Ok(message), self))
    }

    async fn look(&mut self) {
        let journal = self.view.journal.clone();
        let end = journal.stats().next;
        // Under load the latest are shown, and what came before them is not read at all.
        let from = self.next.max(end.saturating_sub(SHOWN as u64));
        self.next = end;
        let read = tokio::task::spawn_blocking(move || {
            let records = journal.read(from).into_iter().flatten().flatten();
            records.take_while(|record| record.offset < end).map(|record| Shown::from(&record)).collect()
        });
        self.waiting = read.await.unwrap_or_default();
        self.waiting.reverse();
    }
}
