//! The thread that writes notes to disk, and finding them again.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flume::{Sender, bounded};
use parking_lot::{Condvar, Mutex};

use super::block::{self, Chunk, Summary};
use crate::journal::{self, Journal, LogOptions, SegmentLog, Spot};

/// Chunks that may wait for the writer; more are left out. Each has 32 KiB at most.
const WAITING: usize = 512;
/// Written chunks that are kept, to be filled again.
const SPARE: usize = 64;
/// Bytes of notes at which a block is written.
const FULL: usize = 256 << 10;
/// The longest that notes wait for their block to fill.
const BEAT: Duration = Duration::from_millis(200);
/// The longest that a reader waits for what is not written yet.
const PATIENCE: Duration = Duration::from_secs(5);
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
pub struct Provenance(Arc<Shared>);

/// What waits for the writer.
#[derive(Default)]
struct Inbox {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// Chunks that were written, to be filled again.
    spare: Vec<Chunk>,
    /// Who is to be told when all of that is written.
    asked: Vec<Sender<()>>,
    closed: bool,
}

struct Shared {
    dir: PathBuf,
    inbox: Mutex<Inbox>,
    /// The writer is to look into its inbox. It is not woken up by each chunk: that costs more than what is in it.
    filled: Condvar,
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
        let shared = Arc::new(Shared {
            dir,
            inbox: Mutex::default(),
            filled: Condvar::new(),
            index: Mutex::default(),
            left_out: AtomicU64::new(0),
            thread: Mutex::default(),
        });
        let writer = Writer { log, journal, options, shared: Arc::clone(&shared), block: Vec::new() };
        let thread = std::thread::Builder::new()
            .name("provenance".into())
            .spawn(move || writer.run())
            .map_err(|error| format!("cannot start the provenance thread: {error}"))?;
        *shared.thread.lock() = Some(thread);
        Ok(Self(shared))
    }

    /// Chunks of notes that were left out because the disk could not keep up.
    pub fn left_out(&self) -> u64 {
        self.0.left_out.load(Ordering::Relaxed)
    }

    /// Whether much waits to be written.
    #[cfg(test)]
    pub(super) fn is_behind(&self) -> bool {
        self.0.inbox.lock().chunks.len() > WAITING / 2
    }

    /// Writes what waits, and ends. Blocks.
    pub fn close(&self) {
        let thread = self.0.thread.lock().take();
        if let Some(thread) = thread {
            self.0.inbox.lock().closed = true;
            self.0.filled.notify_one();
            let _ = thread.join();
        }
    }

    /// Takes a chunk of notes, and leaves an empty one in its place.
    pub(super) fn take(&self, chunk: &mut Chunk) {
        let mut inbox = self.0.inbox.lock();
        if inbox.closed || inbox.chunks.len() >= WAITING {
            drop(inbox);
            self.0.left_out.fetch_add(1, Ordering::Relaxed);
            return chunk.clear();
        }
        let empty = inbox.spare.pop().unwrap_or_default();
        let chunk = std::mem::replace(chunk, empty);
        inbox.bytes += chunk.bytes();
        inbox.chunks.push_back(chunk);
        let wakes = inbox.chunks.len() == 1 || inbox.is_full();
        drop(inbox);
        if wakes {
            self.0.filled.notify_one();
        }
    }

    /// Waits until what was taken is written, unless the disk takes its time.
    fn flush(&self) {
        let (done, written) = bounded(1);
        {
            let mut inbox = self.0.inbox.lock();
            if inbox.closed {
                return;
            }
            inbox.asked.push(done);
        }
        self.0.filled.notify_one();
        let _ = written.recv_timeout(PATIENCE);
    }

    /// Calls `look` with every block that may be meant, oldest first. Blocks.
    pub(super) fn blocks(&self, meant: impl Fn(&Summary) -> bool, mut look: impl FnMut(&[u8])) {
        self.flush();
        let spots: Vec<Spot> = {
            let index = self.0.index.lock();
            index.iter().filter(|(_, summary)| meant(summary)).map(|(spot, _)| *spot).collect()
        };
        for spot in spots {
            // What retention has taken meanwhile is no error.
            let found = journal::read_at(&self.0.dir, spot).unwrap_or_default();
            found.iter().for_each(|block: &Bytes| look(block));
        }
    }
}

impl Inbox {
    fn is_full(&self) -> bool {
        self.bytes >= FULL || self.chunks.len() >= WAITING / 2
    }

    fn is_urgent(&self) -> bool {
        self.is_full() || self.closed || !self.asked.is_empty()
    }

    fn is_done(&self) -> bool {
        self.closed && self.chunks.is_empty()
    }

    /// Takes out as much as a block holds.
    fn block(&mut self) -> Vec<Chunk> {
        let mut block = Vec::new();
        let mut bytes = 0;
        while let Some(chunk) = self.chunks.pop_front_if(|_| bytes < FULL) {
            bytes += chunk.bytes();
            block.push(chunk);
        }
        self.bytes -= bytes;
        block
    }
}

struct Writer {
    log: SegmentLog,
    journal: Journal,
    options: Options,
    shared: Arc<Shared>,
    block: Vec<u8>,
}

impl Writer {
    fn run(mut self) {
        self.remember();
        loop {
            let (block, written) = self.next();
            self.write(&block);
            self.give_back(block);
            let Some(asked) = written else { continue };
            // Who asked may have gone.
            asked.iter().for_each(|asked| _ = asked.send(()));
            if self.shared.inbox.lock().is_done() {
                return;
            }
        }
    }

    /// Waits until there is enough to be written, or what there is has waited long enough. With what is the last of it, those
    /// who asked for it.
    fn next(&self) -> (Vec<Chunk>, Option<Vec<Sender<()>>>) {
        let mut inbox = self.shared.inbox.lock();
        while inbox.chunks.is_empty() && !inbox.is_urgent() {
            self.shared.filled.wait(&mut inbox);
        }
        let due = Instant::now() + BEAT;
        while !inbox.is_urgent() && !self.shared.filled.wait_until(&mut inbox, due).timed_out() {}
        let block = inbox.block();
        let asked = inbox.chunks.is_empty().then(|| std::mem::take(&mut inbox.asked));
        (block, asked)
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

    fn give_back(&self, mut chunks: Vec<Chunk>) {
        chunks.iter_mut().for_each(Chunk::clear);
        let mut inbox = self.shared.inbox.lock();
        let room = SPARE.saturating_sub(inbox.spare.len());
        inbox.spare.extend(chunks.into_iter().take(room));
    }

    fn write(&mut self, chunks: &[Chunk]) {
        if chunks.is_empty() {
            return;
        }
        let summary = block::encode(chunks, &mut self.block);
        let count = chunks.len() as u64;
        match self.log.append(&[&[&self.block]]) {
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
