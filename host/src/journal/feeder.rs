//! Handing accepted events to the workers: straight from memory while a worker keeps up, from the log when it lags.
//!
//! Each worker has a shard of the ordering keys and a [`Feed`]. While live, the writer hands it what it has just
//! committed. When its channel is full (or at the start) it is behind, and its own thread reads the log from the first
//! offset it missed until it has caught up with the writer. Either way a shard sees its offsets once and in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flume::{Sender, TrySendError};
use parking_lot::{Condvar, Mutex};

use super::ledger::{Group, Ledger, Owed};
use super::reader::SegmentReader;
use super::{Accepted, Batch, decode, key_hash};

/// Events that a lagging feed hands over at once.
const AT_ONCE: usize = 256;
const PATIENCE: Duration = Duration::from_millis(5);

/// Where a feed is.
struct Place {
    /// The first offset that the worker has not got, while behind.
    behind: Option<u64>,
    /// Everything below was read from the log: the writer may offer it again a moment later.
    read_to: u64,
}

/// One shard's way to its worker.
pub(super) struct Feed {
    pub(super) shard: u64,
    pub(super) shards: u64,
    worker: Mutex<Option<Sender<Batch>>>,
    place: Mutex<Place>,
    woken: Condvar,
    ledger: Arc<Ledger>,
    /// Everything below may be read from the log.
    next: Arc<AtomicU64>,
    dir: PathBuf,
}

impl Feed {
    /// A feed that is behind from the cursor on.
    pub(super) fn new(
        (shard, shards): (u64, u64),
        worker: Sender<Batch>,
        ledger: Arc<Ledger>,
        next: Arc<AtomicU64>,
        dir: PathBuf,
    ) -> Self {
        let place = Mutex::new(Place { behind: Some(ledger.cursor()), read_to: 0 });
        Self {
            shard,
            shards,
            worker: Mutex::new(Some(worker)),
            place,
            woken: Condvar::new(),
            ledger,
            next,
            dir,
        }
    }

    pub(super) fn takes(&self, key: u64) -> bool {
        key % self.shards == self.shard
    }

    /// Called by the writer with what it has committed from `first` on. Never waits.
    pub(super) fn offer(&self, first: u64, batch: Batch) {
        let mut place = self.place.lock();
        if place.behind.is_some() || first < place.read_to {
            // Its thread reads these from the log, or has; the tokens must not count as lost.
            return forget(batch);
        }
        let worker = self.worker.lock();
        let Some(worker) = worker.as_ref() else { return forget(batch) };
        let last = batch.events.last().and_then(|accepted| accepted.owed.offset()).unwrap_or(first);
        if !self.ledger.has_room(last) {
            place.behind = Some(first);
            forget(batch);
        } else if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) =
            worker.try_send(batch)
        {
            place.behind = Some(first);
            forget(batch);
        }
        if place.behind.is_some() {
            self.woken.notify_one();
        }
    }

    /// Hands the worker an event that does not come from the log. Never waits.
    pub(super) fn slip_in(&self, accepted: Accepted) -> Result<(), Box<Accepted>> {
        let worker = self.worker.lock();
        let Some(worker) = worker.as_ref() else { return Err(Box::new(accepted)) };
        worker.try_send(Batch { events: vec![accepted], end: 0 }).map_err(|error| {
            // It was the only one.
            Box::new(error.into_inner().events.remove(0))
        })
    }

    /// Wakes the worker up, and tells it how far it has got. `offered` was read before. Never waits.
    pub(super) fn nudge(&self, offered: u64) {
        let place = self.place.lock();
        let end = place.behind.unwrap_or(offered);
        // One that has something to do hears it with that; and its inbox is not to be filled by this.
        if let Some(worker) = self.worker.lock().as_ref().filter(|worker| worker.is_empty()) {
            let _ = worker.try_send(Batch { events: Vec::new(), end });
        }
    }

    /// Whether the worker has been handed everything that was answered for.
    pub(super) fn is_live(&self) -> bool {
        self.place.lock().behind.is_none()
    }

    /// No more is handed out; the worker's inbox closes when it has taken what is in it.
    pub(super) fn stop(&self) {
        // The lock of the place first, as everywhere.
        let _place = self.place.lock();
        *self.worker.lock() = None;
        self.woken.notify_one();
    }

    /// The feed's own thread: catches up whenever it is behind.
    pub(super) fn run(&self) {
        loop {
            let from = {
                let mut place = self.place.lock();
                while place.behind.is_none() && self.worker.lock().is_some() {
                    self.woken.wait(&mut place);
                }
                match place.behind {
                    Some(from) if self.worker.lock().is_some() => from,
                    _ => return,
                }
            };
            if let Err(error) = self.catch_up(from) {
                tracing::error!(%error, shard = self.shard, "cannot read the journal; its events wait");
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }

    fn catch_up(&self, from: u64) -> Result<(), super::LogError> {
        let mut reader = SegmentReader::open(&self.dir, from)?;
        let mut position = from;
        while !self.arrived(position) {
            let end = self.next.load(Ordering::Acquire);
            let (mut batch, group) = (Vec::with_capacity(AT_ONCE), self.ledger.group());
            while batch.len() < AT_ONCE && position < end && self.ledger.has_room(position) {
                let Some(record) = reader.next() else { break };
                let (offset, record) = record.inspect_err(|_| self.remember(position))?;
                position = offset + 1;
                batch.extend(self.accept(&group, offset, &record));
            }
            let stuck = batch.is_empty();
            if !batch.is_empty() && !self.hand_over(Batch { events: batch, end: position }) {
                return Ok(());
            }
            self.remember(position);
            if stuck && position < end {
                std::thread::sleep(PATIENCE);
            }
        }
        Ok(())
    }

    /// Whether there is nothing more to read: then the writer hands out again.
    fn arrived(&self, position: u64) -> bool {
        let mut place = self.place.lock();
        let arrived = position >= self.next.load(Ordering::Acquire);
        if arrived {
            *place = Place { behind: None, read_to: position };
        }
        arrived || self.worker.lock().is_none()
    }

    fn remember(&self, position: u64) {
        self.place.lock().behind = Some(position);
    }

    fn accept(&self, group: &Group, offset: u64, record: &bytes::Bytes) -> Option<Accepted> {
        let bytes = record.len() as u64;
        let Some((at_ms, event)) = decode(record) else {
            tracing::error!(offset, "a journal record is no event; skipped");
            Owed::new(group, offset, bytes).settle();
            return None;
        };
        let key = key_hash(event.ordering_key());
        self.takes(key).then(|| Accepted::by_all(event, key, at_ms, Owed::new(group, offset, bytes)))
    }

    /// Waits for room in the worker's inbox. False when the feed was stopped meanwhile.
    fn hand_over(&self, mut batch: Batch) -> bool {
        loop {
            let Some(worker) = self.worker.lock().clone() else {
                forget(batch);
                return false;
            };
            match worker.send_timeout(batch, Duration::from_millis(50)) {
                Ok(()) => return true,
                Err(flume::SendTimeoutError::Timeout(back)) => batch = back,
                Err(flume::SendTimeoutError::Disconnected(back)) => {
                    forget(back);
                    return false;
                }
            }
        }
    }
}

/// Lets go of tokens whose events the log will hand out again.
fn forget(batch: Batch) {
    batch.events.into_iter().for_each(|accepted| accepted.owed.forget());
}
