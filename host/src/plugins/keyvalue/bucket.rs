//! One step's state in memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::Refused;
use crate::clock::now_ns;

/// Workers seldom meet in one of these.
const SHARDS: usize = 16;
/// What an entry takes beside its key and its value.
const OVERHEAD: u64 = 96;
const LONGEST_KEY: usize = 1 << 10;
const LONGEST_VALUE: usize = 64 << 10;

/// The state of one step.
#[derive(Debug)]
pub struct Bucket {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    used: AtomicU64,
    most: AtomicU64,
    version: AtomicU64,
    /// Whether anybody asks what has changed.
    recorded: bool,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<Box<str>, Entry>,
    /// Keys that changed since they were written to disk, with some repetitions.
    changed: Vec<Box<str>>,
    /// Of those, how many there were when the repetitions went last.
    distinct: usize,
    /// Nothing expires before: a full shard is not looked through for nothing.
    next_expiry: u64,
}

/// What lies under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: Box<[u8]>,
    /// Unix nanoseconds; `u64::MAX` for never.
    pub(super) expires: u64,
    /// The event that claimed the key.
    pub(super) claimed_by: Option<u64>,
    /// Which write this is, so that a later one is not taken back.
    version: u64,
}

impl Entry {
    pub(super) fn new(value: &[u8], expires: u64, claimed_by: Option<u64>) -> Self {
        Self { value: value.into(), expires, claimed_by, version: 0 }
    }

    pub(super) fn is_live(&self, now: u64) -> bool {
        self.expires > now
    }
}

/// What a write replaced.
#[derive(Debug)]
pub(super) struct Undo {
    key: Box<str>,
    before: Option<Entry>,
    /// The write; none where it removed the key.
    version: Option<u64>,
}

/// A change of a key, decided by what lies there.
pub(super) enum Change {
    /// As it is.
    Leave,
    Put(Entry),
    Remove,
}

impl Undo {
    /// Bytes that it holds.
    pub(super) fn cost(&self) -> u64 {
        self.key.len() as u64 + self.before.as_ref().map_or(OVERHEAD, |before| cost(&self.key, before))
    }
}

impl Shard {
    /// A key that is written again and again between two looks shall not take room each time.
    fn note(&mut self, key: Box<str>) {
        self.changed.push(key);
        if self.changed.len() > 2 * self.distinct + FEW {
            self.changed.sort_unstable();
            self.changed.dedup();
            self.distinct = self.changed.len();
        }
    }
}

impl Bucket {
    /// An empty one that may hold so many bytes, and is never written to disk.
    pub fn new(most: u64) -> Self {
        Self { recorded: false, ..Self::recorded(most) }
    }

    /// An empty one whose owner takes what has changed, now and then.
    pub(super) fn recorded(most: u64) -> Self {
        Self {
            recorded: true,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            used: AtomicU64::new(0),
            most: most.into(),
            version: AtomicU64::new(1),
        }
    }

    /// Bytes in use: keys, values, and what it takes to keep them.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Sets the most bytes; what is there already stays.
    pub fn limit(&self, most: u64) {
        self.most.store(most, Ordering::Relaxed);
    }

    pub(super) fn get(&self, key: &str, now: u64) -> Option<Vec<u8>> {
        let shard = self.shard(key).lock();
        shard.entries.get(key).filter(|entry| entry.is_live(now)).map(|entry| entry.value.to_vec())
    }

    /// Ties a key to an event: whether it is that event's now, which it is each time that the event passes again.
    pub(super) fn claim(
        &self,
        key: &str,
        (now, expires): (u64, u64),
        identity: Option<u64>,
    ) -> Result<(bool, Option<Undo>), Refused> {
        let entry = Entry::new(&[], expires, identity);
        self.change(key, now, |before| match before {
            None => (Change::Put(entry), true),
            Some(held) => (Change::Leave, identity.is_some() && held.claimed_by == identity),
        })
    }

    /// Whether the event is the first of that key within the window, or that one again. None where the bucket is full.
    pub fn is_first(&self, key: &str, window: Duration, identity: Option<u64>) -> Option<bool> {
        let now = now_ns();
        let expires = now.saturating_add(u64::try_from(window.as_nanos()).unwrap_or(u64::MAX));
        self.claim(key, (now, expires), identity).map(|(first, _)| first).ok()
    }

    /// Looks at what lies under the key and changes it, in one step that nobody comes between.
    pub(super) fn change<T>(
        &self,
        key: &str,
        now: u64,
        decide: impl FnOnce(Option<&Entry>) -> (Change, T),
    ) -> Result<(T, Option<Undo>), Refused> {
        if key.len() > LONGEST_KEY {
            return Err(Refused::TooLarge);
        }
        let mut shard = self.shard(key).lock();
        let before = shard.entries.get(key).filter(|entry| entry.is_live(now));
        let (change, answer) = decide(before);
        let undo = match change {
            Change::Leave => None,
            Change::Put(entry) if entry.value.len() > LONGEST_VALUE => return Err(Refused::TooLarge),
            Change::Put(entry) => Some(self.put(&mut shard, key, entry, now)?),
            Change::Remove => self.remove(&mut shard, key),
        };
        Ok((answer, undo))
    }

    /// Takes a write back, unless somebody has written since.
    pub(super) fn undo(&self, undo: Undo) {
        let mut shard = self.shard(&undo.key).lock();
        let current = shard.entries.get(&undo.key).map(|entry| entry.version);
        if current != undo.version {
            return;
        }
        if let Some(entry) = shard.entries.remove(&undo.key) {
            self.used.fetch_sub(cost(&undo.key, &entry), Ordering::Relaxed);
        }
        self.note(&mut shard, &undo.key);
        if let Some(entry) = undo.before {
            self.used.fetch_add(cost(&undo.key, &entry), Ordering::Relaxed);
            shard.entries.insert(undo.key, entry);
        }
    }

    /// Puts back what was on disk.
    pub(super) fn restore(&self, key: &str, entry: Entry) {
        let mut shard = self.shard(key).lock();
        self.used.fetch_add(cost(key, &entry), Ordering::Relaxed);
        shard.next_expiry = shard.next_expiry.min(entry.expires);
        shard.entries.insert(key.into(), entry);
    }

    /// What changed since the last time: each key with what lies there now, none where it has gone.
    pub(super) fn take_changed(&self, now: u64) -> Vec<(Box<str>, Option<Entry>)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock();
            self.expire(&mut shard, now);
            let mut keys = std::mem::take(&mut shard.changed);
            shard.distinct = 0;
            keys.sort_unstable();
            keys.dedup();
            all.extend(keys.into_iter().map(|key| {
                let entry = shard.entries.get(&key).cloned();
                (key, entry)
            }));
        }
        all
    }

    /// Whether nothing changed since [`Self::take_changed`].
    pub(super) fn is_written(&self) -> bool {
        self.shards.iter().all(|shard| shard.lock().changed.is_empty())
    }

    /// Those were not written after all.
    pub(super) fn put_off(&self, keys: impl Iterator<Item = Box<str>>) {
        keys.for_each(|key| {
            self.shard(&key).lock().note(key);
        });
    }

    fn note(&self, shard: &mut Shard, key: &str) {
        if self.recorded {
            shard.note(key.into());
        }
    }

    fn put(&self, shard: &mut Shard, key: &str, mut entry: Entry, now: u64) -> Result<Undo, Refused> {
        let more = cost(key, &entry);
        if !self.has_room(more) {
            self.expire(shard, now);
            if !self.has_room(more.saturating_sub(shard.entries.get(key).map_or(0, |old| cost(key, old)))) {
                return Err(Refused::Full);
            }
        }
        let version = self.version.fetch_add(1, Ordering::Relaxed);
        entry.version = version;
        shard.next_expiry = shard.next_expiry.min(entry.expires);
        self.used.fetch_add(more, Ordering::Relaxed);
        let key: Box<str> = key.into();
        let before = match shard.entries.entry(key.clone()) {
            Slot::Occupied(mut slot) => {
                let before = slot.insert(entry);
                self.used.fetch_sub(cost(&key, &before), Ordering::Relaxed);
                Some(before)
            }
            Slot::Vacant(slot) => {
                slot.insert(entry);
                None
            }
        };
        self.note(shard, &key);
        Ok(Undo { key, before, version: Some(version) })
    }

    fn remove(&self, shard: &mut Shard, key: &str) -> Option<Undo> {
        let (key, before) = shard.entries.remove_entry(key)?;
        self.used.fetch_sub(cost(&key, &before), Ordering::Relaxed);
        self.note(shard, &key);
        Some(Undo { key, before: Some(before), version: None })
    }

    fn expire(&self, shard: &mut Shard, now: u64) {
        if shard.next_expiry > now {
            return;
        }
        let Shard { entries, changed, next_expiry, .. } = shard;
        *next_expiry = u64::MAX;
        entries.retain(|key, entry| {
            if entry.is_live(now) {
                *next_expiry = entry.expires.min(*next_expiry);
                return true;
            }
            self.used.fetch_sub(cost(key, entry), Ordering::Relaxed);
            if self.recorded {
                // Each was an entry, so these are no more than those were.
                changed.push(key.clone());
            }
            false
        });
        // Entries that expire one by one shall not cost a look through all of them each time.
        *next_expiry = (*next_expiry).max(now.saturating_add(GRAIN));
    }

    fn has_room(&self, more: u64) -> bool {
        self.used().saturating_add(more) <= self.most.load(Ordering::Relaxed)
    }

    fn shard(&self, key: &str) -> &Mutex<Shard> {
        let hash = self.hasher.hash_one(key);
        // The remainder is below the number of shards.
        &self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or_default()]
    }
}

/// So many keys in a row are noted before repetitions are looked for.
const FEW: usize = 1_024;
/// The least time between two looks for what has expired: 100 ms.
const GRAIN: u64 = 100_000_000;

fn cost(key: &str, entry: &Entry) -> u64 {
    (key.len() + entry.value.len()) as u64 + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn set(
        bucket: &Bucket,
        key: &str,
        value: &[u8],
        expires: u64,
        now: u64,
    ) -> Result<Option<Undo>, Refused> {
        let entry = Entry::new(value, expires, None);
        bucket.change(key, now, |_| (Change::Put(entry), ())).map(|((), undo)| undo)
    }

    #[test]
    fn what_has_expired_is_gone_and_makes_room() {
        let bucket = Bucket::recorded(2 * (OVERHEAD + 2));
        set(&bucket, "a", b"1", 2 * SECOND, 0).unwrap();
        set(&bucket, "b", b"2", u64::MAX, 0).unwrap();
        assert_eq!(bucket.get("a", SECOND).as_deref(), Some(&b"1"[..]));
        assert_eq!(bucket.get("a", 2 * SECOND), None);
        assert_eq!(bucket.take_changed(3 * SECOND).len(), 2);
        assert_eq!(bucket.used(), OVERHEAD + 2);
        set(&bucket, "c", b"3", u64::MAX, 3 * SECOND).unwrap();
        assert_eq!(set(&bucket, "d", b"4", u64::MAX, 3 * SECOND).unwrap_err(), Refused::Full);
        set(&bucket, "c", b"5", u64::MAX, 3 * SECOND).expect("a value in its own place needs no more room");
    }

    #[test]
    fn sizes_are_bounded() {
        let bucket = Bucket::new(u64::MAX);
        assert_eq!(set(&bucket, &"k".repeat(LONGEST_KEY + 1), b"", 1, 0).unwrap_err(), Refused::TooLarge);
        assert_eq!(set(&bucket, "k", &vec![0; LONGEST_VALUE + 1], 1, 0).unwrap_err(), Refused::TooLarge);
        set(&bucket, &"k".repeat(LONGEST_KEY), &vec![0; LONGEST_VALUE], 1, 0).unwrap();
    }

    #[test]
    fn a_write_is_taken_back_unless_somebody_wrote_since() {
        let bucket = Bucket::new(1 << 20);
        set(&bucket, "a", b"old", u64::MAX, 0).unwrap();
        let used = bucket.used();
        let undo = set(&bucket, "a", b"newer", u64::MAX, 0).unwrap().unwrap();
        bucket.undo(undo);
        assert_eq!(bucket.get("a", 0).as_deref(), Some(&b"old"[..]));
        assert_eq!(bucket.used(), used);
        let undo = set(&bucket, "a", b"mine", u64::MAX, 0).unwrap().unwrap();
        set(&bucket, "a", b"theirs", u64::MAX, 0).unwrap();
        bucket.undo(undo);
        assert_eq!(bucket.get("a", 0).as_deref(), Some(&b"theirs"[..]));
        let ((), undo) = bucket.change("a", 0, |_| (Change::Remove, ())).unwrap();
        bucket.undo(undo.unwrap());
        assert_eq!(bucket.get("a", 0).as_deref(), Some(&b"theirs"[..]));
    }

    #[test]
    fn a_key_that_is_written_a_million_times_is_noted_a_few_times() {
        let noted = |bucket: &Bucket| {
            let shards = bucket.shards.iter();
            shards.map(|shard| shard.lock().changed.len()).sum::<usize>()
        };
        let (recorded, in_memory) = (Bucket::recorded(1 << 20), Bucket::new(1 << 20));
        for now in 0..100_000 {
            for bucket in [&recorded, &in_memory] {
                let key = format!("key{}", now % 10);
                set(bucket, &key, b"value", u64::MAX, now).unwrap();
                bucket.change(&key, now, |_| (Change::Remove, ())).unwrap();
            }
        }
        assert!(noted(&recorded) <= SHARDS * (FEW + 20), "{}", noted(&recorded));
        assert_eq!(recorded.take_changed(0).len(), 10);
        assert_eq!(noted(&in_memory), 0, "nobody takes what has changed in memory alone");
    }

    proptest::proptest! {
        #[test]
        fn what_is_used_is_the_sum_of_what_is_there(
            steps in proptest::collection::vec((0..8_u8, 0..40_usize, 0..4_u8), 0..200)
        ) {
            let bucket = Bucket::new(1_500);
            for (now, (key, length, kind)) in steps.into_iter().enumerate() {
                let (key, now) = (format!("key{key}"), now as u64 * GRAIN);
                match kind {
                    0 => _ = bucket.change(&key, now, |_| (Change::Remove, ())),
                    1 => _ = set(&bucket, &key, &vec![0; length], now + 5 * GRAIN, now),
                    2 => _ = set(&bucket, &key, &vec![0; length], u64::MAX, now),
                    _ => if let Ok(Some(undo)) = set(&bucket, &key, &vec![1; length], u64::MAX, now) {
                        bucket.undo(undo);
                    },
                }
                let sum: u64 = bucket.shards.iter().map(|shard| {
                    shard.lock().entries.iter().map(|(key, entry)| cost(key, entry)).sum::<u64>()
                }).sum();
                proptest::prop_assert_eq!(bucket.used(), sum);
                proptest::prop_assert!(sum <= 1_500);
            }
        }
    }
}
