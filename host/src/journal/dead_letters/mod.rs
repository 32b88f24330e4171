//! Events that could not be delivered or processed, each with its reason, found by number.

mod filter;
mod retried;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use filter::Filter;
pub(super) use retried::Retried;

use crate::Event;
use crate::names::{BackendName, Digest, PluginName, RouteName};

/// Where an event failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a step of a route.
    Step {
        /// The step's place in the route, from 0.
        index: usize,
        /// Its plugin.
        plugin: PluginName,
        /// Which version of it.
        digest: Digest,
    },
    /// At a backend.
    Backend(BackendName),
}

/// One event that waits for someone to act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number, given by [`DeadLetters::put`].
    pub id: u64,
    /// The event, unchanged since it failed.
    pub event: Event,
    /// Why, for people.
    pub reason: String,
    /// The route that it took.
    pub route: Option<RouteName>,
    /// Where it failed.
    pub place: Place,
    /// How often it was tried.
    pub tries: u32,
    /// When it was accepted, Unix milliseconds.
    pub first_at_ms: u64,
    /// When it was given up, Unix milliseconds.
    pub at_ms: u64,
}

/// What is kept beside the event's own record.
#[derive(Serialize, Deserialize)]
struct Head {
    reason: String,
    route: Option<RouteName>,
    backend: Option<BackendName>,
    step: Option<(usize, PluginName, [u8; 32])>,
    tries: u32,
    first_at_ms: u64,
    at_ms: u64,
}

/// The embedded store of dead letters. Clones are handles to the same one.
#[derive(Clone)]
pub struct DeadLetters {
    database: Database,
    letters: Keyspace,
    next: Arc<AtomicU64>,
    count: Arc<AtomicU64>,
    /// Letters that are being tried again.
    under_way: Arc<Mutex<HashSet<u64>>>,
    arrived: Arc<Notify>,
}

impl DeadLetters {
    /// Opens or creates the store.
    ///
    /// # Errors
    /// Which directory, and what is wrong with it.
    pub fn open(dir: &Path) -> Result<Self, String> {
        let cannot =
            |error: fjall::Error| format!("cannot open the dead letters in {}: {error}", dir.display());
        let database = Database::builder(dir).cache_size(4 << 20).worker_threads(1).open().map_err(cannot)?;
        let letters = database.keyspace("letters", KeyspaceCreateOptions::default).map_err(cannot)?;
        let last = letters.last_key_value().map(fjall::Guard::key).transpose().map_err(cannot)?;
        let next = last.map_or(1, |key| number(&key) + 1);
        let count = letters.len().map_err(cannot)? as u64;
        Ok(Self {
            database,
            letters,
            next: Arc::new(next.into()),
            count: Arc::new(count.into()),
            under_way: Arc::default(),
            arrived: Arc::default(),
        })
    }

    /// Keeps letters, all or none; they are on the disk when this returns. Blocks.
    ///
    /// # Errors
    /// What the disk says.
    pub fn put(&self, letters: Vec<DeadLetter>) -> Result<(), String> {
        let count = letters.len() as u64;
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for (id, letter) in (first..).zip(letters) {
            batch.insert(&self.letters, id.to_be_bytes(), encode(&letter)?);
        }
        batch.commit().map_err(|error| format!("cannot keep a dead letter: {error}"))?;
        self.count.fetch_add(count, Ordering::Relaxed);
        self.arrived.notify_one();
        Ok(())
    }

    /// All letters in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = DeadLetter> + use<> {
        self.after(0)
    }

    /// The letters of higher numbers, in their order. Blocks.
    pub fn after(&self, id: u64) -> impl Iterator<Item = DeadLetter> + use<> {
        self.letters.range((id + 1).to_be_bytes()..).filter_map(|entry| {
            let (key, value) = entry.into_inner().ok()?;
            decode(number(&key), &value)
        })
    }

    /// The highest number that was given.
    pub fn last(&self) -> u64 {
        self.next.load(Ordering::Relaxed) - 1
    }

    /// Removes letters; they are gone from the disk when this returns. Blocks.
    ///
    /// # Errors
    /// What the disk says; all are there then.
    pub fn remove(&self, ids: &[u64]) -> Result<u64, String> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        let mut count = 0;
        for id in ids {
            if self.letters.contains_key(id.to_be_bytes()).unwrap_or(false) {
                batch.remove(&self.letters, id.to_be_bytes());
                count += 1;
            }
        }
        batch.commit().map_err(|error| format!("cannot remove dead letters: {error}"))?;
        self.count.fetch_sub(count, Ordering::Relaxed);
        Ok(count)
    }

    /// Waits until letters were kept since the last time.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// The letter of that number.
    pub fn get(&self, id: u64) -> Option<DeadLetter> {
        decode(id, &self.letters.get(id.to_be_bytes()).ok()??)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::try_from(self.count.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn number(key: &[u8]) -> u64 {
    key.try_into().map_or(0, u64::from_be_bytes)
}

/// `u32 head length · head as JSON · the event's record`
fn encode(letter: &DeadLetter) -> Result<Vec<u8>, String> {
    let (backend, step) = match &letter.place {
        Place::Backend(backend) => (Some(backend.clone()), None),
        Place::Step { index, plugin, digest } => (None, Some((*index, plugin.clone(), digest.0))),
    };
    let head = Head {
        reason: letter.reason.clone(),
        route: letter.route.clone(),
        backend,
        step,
        tries: letter.tries,
        first_at_ms: letter.first_at_ms,
        at_ms: letter.at_ms,
    };
    let head = serde_json::to_vec(&head).map_err(|error| format!("cannot write a dead letter: {error}"))?;
    let length = u32::try_from(head.len()).map_err(|_| "a dead letter's reason is over 4 GiB".to_owned())?;
    Ok([&length.to_le_bytes()[..], &head, letter.event.record()].concat())
}

fn decode(id: u64, value: &[u8]) -> Option<DeadLetter> {
    let (length, rest) = value.split_at_checked(4)?;
    let (head, record) = rest.split_at_checked(u32::from_le_bytes(length.try_into().ok()?) as usize)?;
    let head: Head = serde_json::from_slice(head).ok()?;
    let place = match (head.backend, head.step) {
        (Some(backend), _) => Place::Backend(backend),
        (None, Some((index, plugin, digest))) => Place::Step { index, plugin, digest: Digest(digest) },
        (None, None) => return None,
    };
    let event = Event::from_record(Bytes::copy_from_slice(record)).ok()?;
    let Head { reason, route, tries, first_at_ms, at_ms, .. } = head;
    Some(DeadLetter { id, event, reason, route, place, tries, first_at_ms, at_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn store() -> (DeadLetters, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        (DeadLetters::open(dir.path()).unwrap(), dir)
    }

    pub(super) fn letter(id: &str, place: Place) -> DeadLetter {
        DeadLetter {
            id: 0,
            event: Event::builder(id, "s", "t").json(&b"{\"a\": 1.0}"[..]).build().unwrap(),
            reason: "it was refused".into(),
            route: Some("r".into()),
            place,
            tries: 4,
            first_at_ms: 1,
            at_ms: 2,
        }
    }

    #[test]
    fn letters_are_there_after_reopening_unchanged_and_numbered_on() {
        let dir = tempfile::tempdir().unwrap();
        let step = Place::Step { index: 1, plugin: "p".into(), digest: Digest([7; 32]) };
        let (one, two) = (letter("1", step), letter("2", Place::Backend("b".into())));
        {
            let store = DeadLetters::open(dir.path()).unwrap();
            store.put(vec![one.clone(), two.clone()]).unwrap();
        }
        let store = DeadLetters::open(dir.path()).unwrap();
        let found: Vec<_> = store.iter().collect();
        assert_eq!(found, [DeadLetter { id: 1, ..one.clone() }, DeadLetter { id: 2, ..two }]);
        store.put(vec![one]).unwrap();
        assert_eq!((store.len(), store.get(3).unwrap().event.id().to_owned()), (3, "1".to_owned()));
    }
}
