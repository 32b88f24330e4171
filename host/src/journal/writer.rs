//! The thread that writes: takes all appends that wait, one write, one fsync, then answers them all.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use flume::{Receiver, RecvTimeoutError};
use tokio::sync::oneshot;

use super::ledger::Owed;
use super::{Accepted, AppendError, Shared, key_hash};
use crate::Event;
use crate::config::settings::Fsync;

/// Bytes that one fsync may cover; more wait for the next.
const GROUP_BYTES: usize = 8 << 20;
const IDLE: Duration = Duration::from_millis(50);

/// One append: a whole group or nothing.
pub(super) struct Append {
    pub(super) events: Vec<Event>,
    pub(super) reply: oneshot::Sender<Result<u64, AppendError>>,
}

impl Append {
    fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.record().len() + 12).sum()
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    appends: Receiver<Append>,
    waiting: Vec<Append>,
    synced: Instant,
    dirty: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, appends: Receiver<Append>) -> Self {
        Self { shared, appends, waiting: Vec::new(), synced: Instant::now(), dirty: false }
    }

    /// Writes until every sender is gone.
    pub(super) fn run(mut self) {
        loop {
            match self.appends.recv_timeout(IDLE) {
                Ok(first) => {
                    self.gather(first);
                    self.write();
                }
                Err(RecvTimeoutError::Timeout) => self.sync_if_due(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if self.dirty {
            // At the end there is nobody left to tell.
            let _ = self.shared.log.lock().sync();
        }
    }

    fn gather(&mut self, first: Append) {
        let mut bytes = first.bytes();
        self.waiting.push(first);
        // On a busy machine, those who are about to send get their turn first: larger groups, fewer of them. On an idle
        // one this returns at once.
        std::thread::yield_now();
        while bytes < GROUP_BYTES {
            let Ok(append) = self.appends.try_recv() else { break };
            bytes += append.bytes();
            self.waiting.push(append);
        }
    }

    fn write(&mut self) {
        let at_ms = super::now_ms();
        match self.commit(at_ms) {
            Ok(first) => {
                self.shared.note_writable(None);
                self.answer(first, at_ms);
            }
            Err(error) => {
                self.shared.note_writable(Some(error.to_string()));
                let error = Arc::new(error);
                for append in self.waiting.drain(..) {
                    // A sender that has gone away needs no answer.
                    let _ = append.reply.send(Err(AppendError::Disk(Arc::clone(&error))));
                }
            }
        }
    }

    fn commit(&mut self, at_ms: u64) -> io::Result<u64> {
        let at = at_ms.to_le_bytes();
        let mut log = self.shared.log.lock();
        for append in &self.waiting {
            let parts: Vec<[&[u8]; 2]> =
                append.events.iter().map(|event| [&at[..], event.record()]).collect();
            let records: Vec<&[&[u8]]> = parts.iter().map(|parts| &parts[..]).collect();
            log.stage(&records)?;
        }
        let always = self.shared.options.fsync == Fsync::Always;
        let first = if always { log.commit_durably() } else { log.commit() }?;
        self.dirty = !always;
        self.shared.next.store(log.next_offset(), Ordering::Release);
        drop(log);
        self.sync_if_due();
        Ok(first)
    }

    fn sync_if_due(&mut self) {
        let options = &self.shared.options;
        if options.fsync == Fsync::Interval && self.dirty && self.synced.elapsed() >= options.fsync_interval {
            if let Err(error) = self.shared.log.lock().sync() {
                self.shared.note_writable(Some(error.to_string()));
            }
            (self.synced, self.dirty) = (Instant::now(), false);
        }
    }

    /// Tells the senders, then hands the events to the workers.
    fn answer(&mut self, mut first: u64, at_ms: u64) {
        let feeds = self.shared.feeds.get().map(Vec::as_slice).unwrap_or_default();
        let mut shares: Vec<Vec<Accepted>> = feeds.iter().map(|_| Vec::new()).collect();
        let start = first;
        for Append { events, reply } in self.waiting.drain(..) {
            self.shared.ledger.accepted(events.iter().map(|event| event.record().len() as u64).sum());
            // A sender that has gone away needs no answer.
            let _ = reply.send(Ok(first));
            for event in events {
                let bytes = event.record().len() as u64;
                if !shares.is_empty() {
                    let key = key_hash(event.ordering_key());
                    let shard = usize::try_from(key % shares.len() as u64).unwrap_or_default();
                    let owed = Owed::new(&self.shared.ledger, first, bytes);
                    shares[shard].push(Accepted::by_all(event, key, at_ms, owed));
                }
                first += 1;
            }
        }
        for (feed, share) in feeds.iter().zip(shares) {
            if !share.is_empty() {
                feed.offer(start, share);
            }
        }
    }
}
