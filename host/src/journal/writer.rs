//! The thread that writes: takes all appends that wait, one write, one fsync, then answers them all.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use flume::{Receiver, RecvTimeoutError};
use tokio::sync::oneshot;

use super::ledger::Owed;
use super::{Accepted, AppendError, Batch, Outline, Shared, key_hash};
use crate::Event;
use crate::config::settings::Fsync;

/// Bytes that one fsync may cover; more wait for the next.
const GROUP_BYTES: usize = 8 << 20;
const IDLE: Duration = Duration::from_millis(50);
/// The longest that a group waits for more. An fsync takes longer.
const LINGER: Duration = Duration::from_micros(150);
/// Appends over which an fsync, and all that wakes up after it, is spread thinly enough.
const ENOUGH: usize = 16;
/// After so many groups in which waiting brought nothing it is tried again.
const MOST_SKIPPED: u32 = 64;

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
    crowd: Crowd,
}

/// Whether it pays to wait for more appends: whoever was answered by the last fsync sends again a moment later, and one
/// fsync for all costs half of two for one half each.
#[derive(Default)]
struct Crowd {
    /// Appends of the last group, and of the one before.
    sizes: [usize; 2],
    /// Groups that do not wait any more before the next that does.
    skip: u32,
    /// How many are skipped the next time that waiting brings nothing.
    penalty: u32,
}

impl Crowd {
    /// Whether a group of that size is to wait.
    fn is_larger_than(&mut self, size: usize) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        size < self.sizes.iter().sum()
    }

    /// Learns what waiting brought.
    fn waited(&mut self, before: usize, after: usize) {
        if (after - before) * 4 >= before {
            self.penalty = 0;
        } else {
            self.penalty = (self.penalty * 2).clamp(1, MOST_SKIPPED);
            self.skip = self.penalty;
        }
    }

    fn committed(&mut self, size: usize) {
        self.sizes = [size, self.sizes[0]];
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, appends: Receiver<Append>) -> Self {
        Self {
            shared,
            appends,
            waiting: Vec::new(),
            synced: Instant::now(),
            dirty: false,
            crowd: Crowd::default(),
        }
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
        self.take(&mut bytes);
        let size = self.waiting.len();
        let few = size < ENOUGH && self.shared.options.fsync == Fsync::Always;
        if few && self.crowd.is_larger_than(size) {
            std::thread::sleep(LINGER);
            self.take(&mut bytes);
            self.crowd.waited(size, self.waiting.len());
        }
        self.crowd.committed(self.waiting.len());
    }

    /// Takes what is there, up to the bound of a group.
    fn take(&mut self, bytes: &mut usize) {
        while *bytes < GROUP_BYTES {
            let Ok(append) = self.appends.try_recv() else { break };
            *bytes += append.bytes();
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
        *self.shared.outline.lock() = Outline::of(&log);
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

    /// Hands the events to the workers, then tells the senders: a host that stops after its last answer has nothing left
    /// here.
    fn answer(&mut self, mut first: u64, at_ms: u64) {
        let feeds = self.shared.feeds.get().map(Vec::as_slice).unwrap_or_default();
        // Somewhat more than an even share: grown bit by bit, it would be copied once more for each doubling.
        let events: usize = self.waiting.iter().map(|append| append.events.len()).sum();
        let share = events / feeds.len().max(1) + events.isqrt();
        let mut shares: Vec<Vec<Accepted>> = feeds.iter().map(|_| Vec::with_capacity(share)).collect();
        let (start, group) = (first, self.shared.ledger.group());
        let mut replies = Vec::with_capacity(self.waiting.len());
        for Append { events, reply } in self.waiting.drain(..) {
            self.shared.ledger.accepted(events.iter().map(|event| event.record().len() as u64).sum());
            replies.push((reply, first));
            for event in events {
                let bytes = event.record().len() as u64;
                if !shares.is_empty() {
                    let key = key_hash(event.ordering_key());
                    let shard = usize::try_from(key % shares.len() as u64).unwrap_or_default();
                    let owed = Owed::new(&group, first, bytes);
                    shares[shard].push(Accepted::by_all(event, key, at_ms, owed));
                }
                first += 1;
            }
        }
        for (feed, share) in feeds.iter().zip(shares) {
            if !share.is_empty() {
                feed.offer(start, Batch { events: share, end: first });
            }
        }
        self.shared.offered.store(first, Ordering::Release);
        for (reply, first) in replies {
            // A sender that has gone away needs no answer.
            let _ = reply.send(Ok(first));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_waits_only_where_that_brings_more() {
        let mut crowd = Crowd::default();
        assert!(!crowd.is_larger_than(1), "nobody else is known");
        crowd.committed(8);
        crowd.committed(8);
        assert!(crowd.is_larger_than(8));
        crowd.waited(8, 14);
        crowd.committed(14);
        assert!(crowd.is_larger_than(14));
        crowd.waited(14, 14);
        crowd.committed(14);
        assert!(!crowd.is_larger_than(14), "the last wait brought nothing");
        assert!(crowd.is_larger_than(14), "but that may change");
    }
}
