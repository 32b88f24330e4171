//! The durable log that every accepted event enters first, and the dead letters.
//!
//! [`Journal::append`] resolves once a batch is as durable as configured; from then on it is never lost. Workers get
//! each event with an [`Owed`] token; the cursor passes what is settled, and what lies behind it is removed by
//! retention. After a crash everything from the cursor on is handed out again.

mod backlog;
mod dead_letters;
mod feeder;
mod keeper;
mod lag;
mod ledger;
mod log;
mod reader;
mod repair;
mod segment;
mod writer;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use flume::Sender;
use parking_lot::{Condvar, Mutex};
use serde::Serialize;
use tokio::sync::oneshot;

pub use backlog::Backlog;
pub use dead_letters::{DeadLetter, DeadLetters, Filter, Place};
pub use lag::Lag;
pub use ledger::Owed;
pub use log::{LogError, LogOptions, SegmentLog, Spot, Unwritten};
pub use reader::{SegmentReader, read_at, read_beginnings};
pub use repair::{Report, SegmentReport, check, repair};

use crate::Event;
pub use crate::clock::now_ms;
use crate::config::settings::{self, Fsync};
use crate::names::{BackendName, RouteName};
use feeder::Feed;
use keeper::Keeper;
use ledger::Ledger;
use writer::{Append, Writer};

/// Appends that may wait for the writer: as many as requests are let in (`host.http.max_requests`), and some.
const WAITING: usize = 8_192;
/// How often a stopping host looks whether all is handed out.
const HANDING_OUT: Duration = Duration::from_millis(5);
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How a journal is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// When an append counts as durable.
    pub fsync: Fsync,
    /// With [`Fsync::Interval`], how often.
    pub fsync_interval: Duration,
    /// Bytes at which a segment is closed.
    pub segment_bytes: u64,
    /// Bytes that may wait unsettled.
    pub max_unsettled_bytes: u64,
    /// The age at which a settled segment is removed.
    pub retention_age: Duration,
    /// The bytes of settled segments beyond which the oldest is removed.
    pub retention_bytes: u64,
}

impl From<&settings::Journal> for Options {
    fn from(settings: &settings::Journal) -> Self {
        Self {
            fsync: settings.fsync,
            fsync_interval: settings.fsync_interval.0,
            segment_bytes: settings.segment.0,
            max_unsettled_bytes: settings.max_unsettled.0,
            retention_age: settings.retention.age.0,
            retention_bytes: settings.retention.size.0,
        }
    }
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another host has it.
    #[error("{} is in use by another stagewire{}; stop that one or set another host.data", dir.display(), holder(*pid))]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The process that has it, where it said so.
        pid: Option<u32>,
    },
    /// The log is damaged or cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

fn holder(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// Why an append was not taken. Nothing of it is kept then.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// Too much waits unsettled.
    #[error("the journal is full: too much waits to be delivered (host.journal.max_unsettled)")]
    Full {
        /// When to try again.
        retry_after: Duration,
    },
    /// The disk says no.
    #[error("the journal cannot write: {0}")]
    Disk(Arc<io::Error>),
    /// The host is stopping.
    #[error("the journal is closed")]
    Closed,
}

/// Events on their way to a worker.
#[derive(Debug, Default)]
pub struct Batch {
    /// The events, in their order.
    pub events: Vec<Accepted>,
    /// With these the worker has got all of its events below this offset.
    pub end: u64,
}

/// An event on its way to a worker.
#[derive(Debug)]
pub struct Accepted {
    /// The event.
    pub event: Event,
    /// The hash of its ordering key.
    pub key: u64,
    /// When it was accepted, Unix milliseconds.
    pub at_ms: u64,
    /// To be settled.
    pub owed: Owed,
    /// Who is to get it.
    pub scope: Scope,
}

impl Accepted {
    /// An event that takes every route that matches it.
    pub(crate) fn by_all(event: Event, key: u64, at_ms: u64, owed: Owed) -> Self {
        Self { event, key, at_ms, owed, scope: Scope::All }
    }
}

/// Who is to get an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Whoever a route delivers to.
    #[default]
    All,
    /// This lane alone, by the routes that lead to it.
    Lane(BackendName),
    /// Whoever this route delivers to, if it takes the event.
    Taker(RouteName),
    /// Whoever this route delivers to, from that step on.
    Route(RouteName, usize),
}

/// One record of the journal.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its place, counted from 0 without gaps.
    pub offset: u64,
    /// When it was accepted, Unix milliseconds.
    pub at_ms: u64,
    /// The event.
    pub event: Event,
}

/// What the journal says of itself.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[schemars(rename = "JournalStats")]
pub struct Stats {
    /// The oldest offset that is still there.
    pub first: u64,
    /// The offset that the next event will get.
    pub next: u64,
    /// The lowest offset that is not settled.
    pub cursor: u64,
    /// Events that are not settled.
    pub unsettled: u64,
    /// Their bytes, roughly.
    pub unsettled_bytes: u64,
    /// The bytes beyond which senders are told to wait (`host.journal.max_unsettled`).
    pub max_unsettled_bytes: u64,
    /// Events that were let go of without being settled; handed out again after a restart.
    pub lost_tokens: u64,
    /// Segment files.
    pub segments: usize,
    /// Bytes of all segment files.
    pub bytes: u64,
    /// Whether so much waits that senders are refused (`host.journal.max_unsettled`).
    pub full: bool,
    /// Why nothing can be written, if so.
    pub writable: Result<(), String>,
}

/// What is said of the log to whoever asks: the log itself is locked as long as an fsync takes.
#[derive(Clone, Copy)]
struct Outline {
    first: u64,
    segments: usize,
    bytes: u64,
}

impl Outline {
    fn of(log: &SegmentLog) -> Self {
        Self { first: log.first_offset(), segments: log.segments(), bytes: log.bytes() }
    }
}

struct Shared {
    dir: PathBuf,
    options: Options,
    log: Mutex<SegmentLog>,
    outline: Mutex<Outline>,
    ledger: Arc<Ledger>,
    next: Arc<AtomicU64>,
    feeds: OnceLock<Vec<Arc<Feed>>>,
    /// Everything below was offered to the feeds.
    offered: AtomicU64,
    unwritable: Mutex<Option<String>>,
    closed: Mutex<bool>,
    closing: Condvar,
}

impl Shared {
    fn writable(&self) -> Result<(), String> {
        self.unwritable.lock().clone().map_or(Ok(()), Err)
    }

    fn note_writable(&self, problem: Option<String>) {
        let mut unwritable = self.unwritable.lock();
        match (&*unwritable, &problem) {
            (None, Some(problem)) => tracing::error!("the journal cannot write, senders get 503: {problem}"),
            (Some(_), None) => tracing::info!("the journal can write again"),
            _ => {}
        }
        *unwritable = problem;
    }

    /// Waits for the end, at most that long. Whether it has come.
    fn wait_for_close(&self, limit: Duration) -> bool {
        let mut closed = self.closed.lock();
        if !*closed {
            self.closing.wait_for(&mut closed, limit);
        }
        *closed
    }
}

/// The journal of one host. Clones are handles to the same one.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    appends: Arc<Mutex<Option<Sender<Append>>>>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
    lock: Arc<Mutex<Option<File>>>,
}

impl Journal {
    /// Opens or creates the journal under the data directory and locks that for this process.
    ///
    /// # Errors
    /// [`OpenError`], with the mend.
    pub fn open(data: &Path, options: Options) -> Result<Self, OpenError> {
        let lock = lock(data)?;
        let dir = data.join("journal");
        let log_options = LogOptions { segment_bytes: options.segment_bytes, max_bytes: None };
        let mut log = SegmentLog::open(&dir, log_options)?;
        let cursor = keeper::read_cursor(&dir).unwrap_or(0).max(log.first_offset());
        // With `fsync: never` a power cut may have taken settled events; their offsets are not given again.
        log.skip_to(cursor).map_err(log::io_at(&dir))?;
        let owed_bytes = if cursor == log.next_offset() { 0 } else { log.bytes_from(cursor) };
        let shared = Shared {
            ledger: Arc::new(Ledger::new(cursor, owed_bytes)),
            next: Arc::new(log.next_offset().into()),
            offered: log.next_offset().into(),
            outline: Mutex::new(Outline::of(&log)),
            log: Mutex::new(log),
            feeds: OnceLock::new(),
            unwritable: Mutex::new(None),
            closed: Mutex::new(false),
            closing: Condvar::new(),
            options,
            dir,
        };
        let (appends, waiting) = flume::bounded(WAITING);
        let journal = Self {
            shared: Arc::new(shared),
            appends: Arc::new(Mutex::new(Some(appends))),
            threads: Arc::default(),
            lock: Arc::new(Mutex::new(Some(lock))),
        };
        let writer = Writer::new(Arc::clone(&journal.shared), waiting);
        let keeper = Keeper::new(Arc::clone(&journal.shared));
        journal.spawn("journal-writer", move || writer.run());
        journal.spawn("journal-keeper", move || keeper.run());
        Ok(journal)
    }

    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) {
        match std::thread::Builder::new().name(name.into()).spawn(work) {
            Ok(thread) => self.threads.lock().push(thread),
            // Without its threads the journal answers no append: said as a disk that says no.
            Err(error) => self.shared.note_writable(Some(format!("cannot start thread {name}: {error}"))),
        }
    }

    /// Begins to hand events out, the unsettled ones of the last run first. One sender for each shard.
    pub fn start(&self, shards: Vec<Sender<Batch>>) {
        let count = shards.len() as u64;
        let feed = |(shard, worker)| {
            let Shared { ledger, next, dir, .. } = &*self.shared;
            Arc::new(Feed::new((shard, count), worker, Arc::clone(ledger), Arc::clone(next), dir.clone()))
        };
        let feeds: Vec<_> = (0..).zip(shards).map(feed).collect();
        if self.shared.feeds.set(feeds.clone()).is_ok() {
            for feed in feeds {
                self.spawn("journal-feed", move || feed.run());
            }
        }
    }

    /// Appends a batch as a whole. Resolves with the first offset once it is durable.
    ///
    /// # Errors
    /// [`AppendError`]; nothing of the batch is kept then.
    pub async fn append(&self, events: Vec<Event>) -> Result<u64, AppendError> {
        if self.is_full() {
            return Err(AppendError::Full { retry_after: RETRY_AFTER });
        }
        let (reply, answer) = oneshot::channel();
        {
            let appends = self.appends.lock();
            let sender = appends.as_ref().ok_or(AppendError::Closed)?;
            let full = |_| AppendError::Full { retry_after: RETRY_AFTER };
            sender.try_send(Append { events, reply }).map_err(full)?;
        }
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    /// A place of its own in the journal for a receiver that could not take the event at that offset. To be called
    /// before the token of that event is settled.
    pub fn lag(&self, from: u64) -> Lag {
        Lag::new(self.shared.dir.clone(), &self.shared.ledger, from)
    }

    /// Hands events to the workers that are not to be journalled again, such as dead letters that are tried again.
    ///
    /// # Errors
    /// The events, where a worker has no room now or the host is stopping.
    pub fn hand_out(&self, accepted: Accepted) -> Result<(), Box<Accepted>> {
        let key = accepted.key;
        let feed = self.shared.feeds.get().into_iter().flatten().find(|feed| feed.takes(key));
        match feed {
            Some(feed) => feed.slip_in(accepted),
            None => Err(Box::new(accepted)),
        }
    }

    /// Wakes a worker up, and tells it how far it has got, should it have nothing to do.
    pub fn nudge(&self, shard: usize) {
        let offered = self.shared.offered.load(Ordering::Acquire);
        if let Some(feed) = self.shared.feeds.get().and_then(|feeds| feeds.get(shard)) {
            feed.nudge(offered);
        }
    }

    /// What the journal says of itself.
    pub fn stats(&self) -> Stats {
        let Shared { ledger, next, outline, .. } = &*self.shared;
        let (cursor, next) = (ledger.cursor(), next.load(Ordering::Acquire));
        let Outline { first, segments, bytes } = *outline.lock();
        Stats {
            first,
            next,
            cursor,
            unsettled: next.saturating_sub(cursor),
            unsettled_bytes: ledger.unsettled_bytes(),
            max_unsettled_bytes: self.shared.options.max_unsettled_bytes,
            lost_tokens: ledger.lost(),
            segments,
            bytes,
            full: self.is_full(),
            writable: self.shared.writable(),
        }
    }

    /// Reads records from that offset on, or from the oldest that is still there. Blocks.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn read(
        &self,
        from: u64,
    ) -> Result<impl Iterator<Item = Result<Record, LogError>> + use<>, LogError> {
        records(&self.shared.dir, from)
    }

    fn is_full(&self) -> bool {
        self.shared.ledger.unsettled_bytes() > self.shared.options.max_unsettled_bytes
    }

    /// The first offset of what was accepted at that time or later (Unix milliseconds), by halving; the next one where there is
    /// none. Blocks.
    pub fn offset_at(&self, at_ms: u64) -> u64 {
        let Stats { first, next, .. } = self.stats();
        let (mut low, mut high) = (first, next);
        while low < high {
            let middle = low + (high - low) / 2;
            // What cannot be read is gone, and so is older.
            let record = self.read(middle).ok().and_then(|mut records| records.next()?.ok());
            match record.filter(|record| record.at_ms < at_ms) {
                Some(record) => low = (record.offset + 1).max(middle + 1),
                None => high = middle,
            }
        }
        low.min(next)
    }

    /// The record at that offset, while it is kept. Blocks.
    pub fn record(&self, offset: u64) -> Option<Record> {
        self.read(offset).ok()?.next()?.ok().filter(|record| record.offset == offset)
    }

    /// Waits until the workers have been handed every event that was answered for, at most until then.
    pub async fn handed_out(&self, deadline: tokio::time::Instant) {
        let live = || self.shared.feeds.get().into_iter().flatten().all(|feed| feed.is_live());
        while !live() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(HANDING_OUT).await;
        }
    }

    /// No more events are handed out; the workers' inboxes close.
    pub fn stop_dispatch(&self) {
        self.shared.feeds.get().into_iter().flatten().for_each(|feed| feed.stop());
    }

    /// Writes what waits, the cursor last, and frees the data directory. Appends fail from here on.
    pub async fn close(&self) {
        self.stop_dispatch();
        *self.appends.lock() = None;
        *self.shared.closed.lock() = true;
        self.shared.closing.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock());
        let join = || threads.into_iter().map(JoinHandle::join).all(|end| end.is_ok());
        if !tokio::task::spawn_blocking(join).await.unwrap_or(false) {
            tracing::error!("a thread of the journal ended by a panic");
        }
        *self.lock.lock() = None;
    }
}

/// Locks the data directory for this process.
fn lock(data: &Path) -> Result<File, OpenError> {
    let path = data.join("lock");
    let opened = std::fs::create_dir_all(data)
        .and_then(|()| File::options().create(true).truncate(false).read(true).write(true).open(&path));
    let file = opened.map_err(log::io_at(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let pid = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
            return Err(OpenError::Locked { dir: data.to_owned(), pid });
        }
        Err(std::fs::TryLockError::Error(error)) => return Err(log::io_at(&path)(error).into()),
    }
    // The pid is for people only; the lock holds without it.
    let _ = file
        .set_len(0)
        .and_then(|()| io::Write::write_all(&mut &file, std::process::id().to_string().as_bytes()));
    Ok(file)
}

/// Reads the journal's records from any process, also while a host writes.
///
/// # Errors
/// Where the directory cannot be read.
pub fn read(data: &Path, from: u64) -> Result<impl Iterator<Item = Result<Record, LogError>>, LogError> {
    records(&data.join("journal"), from)
}

fn records(
    dir: &Path,
    from: u64,
) -> Result<impl Iterator<Item = Result<Record, LogError>> + use<>, LogError> {
    let reader = SegmentReader::open(dir, from)?;
    Ok(reader.filter_map(|entry| match entry {
        Ok((offset, record)) => decode(&record).map(|(at_ms, event)| Ok(Record { offset, at_ms, event })),
        Err(error) => Some(Err(error)),
    }))
}

/// A journal record: when it was accepted, then the event's own record.
fn decode(record: &Bytes) -> Option<(u64, Event)> {
    let at_ms = u64::from_le_bytes(record.get(..8)?.try_into().ok()?);
    Some((at_ms, Event::from_record(record.slice(8..)).ok()?))
}

/// The hash of an ordering key: the same in every run, so that what overflowed before a restart keeps its order.
pub fn key_hash(key: &str) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = foldhash::quality::FixedState::default().build_hasher();
    hasher.write(key.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests;
