//! The thread that writes notes to disk, and finding them again.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flume::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;

use super::block::{self, Chunk, Summary};
use crate::journal::{self, Journal, LogOptions, SegmentLog, Spot};

/// Chunks that may wait for the writer; more are left out. Each has 32 KiB at most.
const WAITING: usize = 512;
/// Bytes of notes at which a block is written.
const FULL: usize = 256 << 10;
/// The longest that notes wait for their block to fill.
const BEAT: Duration = Duration::from_millis(200);
const SEGMENT: u64 = 8 << 20;
/// Ten bits for each of the ids that fit into a block: the smallest note of one has 35 bytes, and a block is full with its last
/// chunk at the latest.
const LARGEST_SUMMARY: usize = 16 << 10;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes on disk beyond which the oldest goes.
    pub bytes: u64,
}

/// What became of the events of one host. Clones are handles to the same one.
#[derive(Clone)]
pub struct Provenance {
    orders: Sender<Order>,
    shared: Arc<Shared>,
}

enum Order {
    Write(Chunk),
    /// Write what waits, and say when it is done.
    Flush(Sender<()>),
    Stop,
}

struct Shared {
    dir: PathBuf,
    index: Mutex<VecDeque<(Spot, Summary)>>,
    left_out: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Provenance {
    /// Opens or creates the log under the data directory, and starts its thread.
    ///
    /// # Errors
    /// Which directory, and what is wrong with it.
    pub fn open(data: &Path, journal: Journal, options: Options) -> Result<Self, String> {
        let dir = data.join("provenance");
        let log = LogOptions { segment_bytes: SEGMENT, max_bytes: None };
        let log = SegmentLog::open(&dir, log).or_else(|damaged| {
            // It is nobody's only copy of anything: a host does not stay down for it.
            tracing::warn!("{damaged}; what became of earlier events is forgotten");
            std::fs::remove_dir_all(&dir)
                .map_err(|error| format!("cannot remove {}: {error}", dir.display()))?;
            SegmentLog::open(&dir, log).map_err(|error| error.to_string())
        })?;
        let (orders, inbox) = bounded(WAITING);
        let shared = Arc::new(Shared {
            dir,
            index: Mutex::default(),
            left_out: AtomicU64::new(0),
            thread: Mutex::default(),
        });
        let writer = Writer { log, journal, options, shared: Arc::clone(&shared), waiting: Vec::new() };
        let thread = std::thread::Builder::new()
            .name("provenance".into())
            .spawn(move || writer.run(&inbox))
            .map_err(|error| format!("cannot start the provenance thread: {error}"))?;
        *shared.thread.lock() = Some(thread);
        Ok(Self { orders, shared })
    }

    /// Chunks of notes that were left out because the disk could not keep up.
    pub fn left_out(&self) -> u64 {
        self.shared.left_out.load(Ordering::Relaxed)
    }

    /// Whether much waits to be written.
    #[cfg(test)]
    pub(super) fn is_behind(&self) -> bool {
        self.orders.len() > WAITING / 2
    }

    /// Writes what waits, and ends. Blocks.
    pub fn close(&self) {
        let thread = self.shared.thread.lock().take();
        if let Some(thread) = thread {
            let _ = self.orders.send(Order::Stop);
            let _ = thread.join();
        }
    }

    pub(super) fn take(&self, chunk: Chunk) {
        if self.orders.try_send(Order::Write(chunk)).is_err() {
            self.shared.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Calls `look` with every block that may be meant, oldest first. Blocks.
    pub(super) fn blocks(&self, meant: impl Fn(&Summary) -> bool, mut look: impl FnMut(&[u8])) {
        let (done, flushed) = bounded(1);
        if self.orders.send(Order::Flush(done)).is_ok() {
            // Without an answer the writer has ended, and what it wrote is there.
            let _ = flushed.recv();
        }
        let spots: Vec<Spot> = {
            let index = self.shared.index.lock();
            index.iter().filter(|(_, summary)| meant(summary)).map(|(spot, _)| *spot).collect()
        };
        for spot in spots {
            // What retention has taken meanwhile is no error.
            let found = journal::read_at(&self.shared.dir, spot).unwrap_or_default();
            found.iter().for_each(|block: &Bytes| look(block));
        }
    }
}

struct Writer {
    log: SegmentLog,
    journal: Journal,
    options: Options,
    shared: Arc<Shared>,
    waiting: Vec<Chunk>,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Order>) {
        self.remember();
        let mut due = Instant::now() + BEAT;
        loop {
            let order = if self.waiting.is_empty() {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                inbox.recv_deadline(due)
            };
            match order {
                Ok(Order::Write(chunk)) => {
                    if self.waiting.is_empty() {
                        due = Instant::now() + BEAT;
                    }
                    self.waiting.push(chunk);
                    if self.waiting.iter().map(Chunk::bytes).sum::<usize>() >= FULL {
                        self.write();
                    }
                }
                Ok(Order::Flush(done)) => {
                    self.write();
                    // Who asked may have gone.
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => self.write(),
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return self.write(),
            }
        }
    }

    /// Reads the summaries of what earlier runs have left.
    fn remember(&self) {
        let Ok(blocks) = journal::read_beginnings(&self.shared.dir, LARGEST_SUMMARY) else { return };
        for (spot, beginning) in blocks {
            if let Some((summary, _)) = block::summary(&beginning) {
                self.shared.index.lock().push_back((spot, summary));
            }
        }
    }

    fn write(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let (block, summary) = block::encode(&self.waiting);
        let count = self.waiting.len() as u64;
        self.waiting.clear();
        match self.log.append(&[&[&block]]) {
            Ok(_) => self.shared.index.lock().push_back((self.log.last_commit(), summary)),
            Err(error) => {
                self.shared.left_out.fetch_add(count, Ordering::Relaxed);
                tracing::warn!(dir = %self.shared.dir.display(), "cannot note what became of events: {error}");
            }
        }
        self.let_go();
    }

    /// Lets go of what is too much, and of what is about events that the journal has let go of.
    fn let_go(&mut self) {
        let oldest = self.journal.stats().first;
        let mut index = self.shared.index.lock();
        let gone = index.iter().take_while(|(_, summary)| summary.greatest < oldest).last();
        let segment_after_gone = gone.map(|(spot, _)| *spot);
        let trimmed = match segment_after_gone {
            Some(spot) => self.log.trim_before(spot.segment()),
            None => Ok(()),
        };
        if let Err(error) = trimmed.and_then(|()| self.log.shrink_to(self.options.bytes)) {
            tracing::warn!(dir = %self.shared.dir.display(), "cannot remove old provenance: {error}");
        }
        let first = self.log.first_offset();
        while index.front().is_some_and(|(spot, _)| spot.is_before(first)) {
            index.pop_front();
        }
    }
}
