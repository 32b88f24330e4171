//! Events whose route orders them by another key than the one by which workers share them (`order_by`).
//!
//! The worker that matches such an event hands its journey to the worker of the route's key. That one lets it go once every
//! worker has matched all that was accepted before, in the order of the journal: so all events of a key are there, and in their
//! order. Until a route orders by a key of its own, none of this costs anything.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flume::{Receiver, Sender};

use super::Journey;
use crate::journal::Journal;

/// How many offsets a worker may be ahead of the slowest: what is handed over is kept in memory until that one has passed.
const AHEAD: u64 = 1 << 16;

/// What workers know of each other.
pub struct Peers {
    /// Each worker has matched all of its events below.
    progress: Box<[AtomicU64]>,
    outlets: Box<[Sender<Handed>]>,
    inlets: Box<[Receiver<Handed>]>,
    /// Something was handed over in this run.
    active: AtomicBool,
}

impl Peers {
    /// So many workers.
    pub fn new(workers: usize) -> Arc<Self> {
        let (outlets, inlets): (Vec<_>, Vec<_>) = (0..workers).map(|_| flume::unbounded()).unzip();
        Arc::new(Self {
            progress: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            outlets: outlets.into(),
            inlets: inlets.into(),
            active: AtomicBool::new(false),
        })
    }

    fn slowest(&self) -> u64 {
        self.progress.iter().map(|progress| progress.load(Ordering::Acquire)).min().unwrap_or(u64::MAX)
    }
}

/// A journey on its way to the worker of its key.
struct Handed {
    offset: u64,
    journey: Journey,
}

impl Handed {
    fn place(&self) -> (u64, usize) {
        (self.offset, self.journey.route)
    }
}

impl PartialEq for Handed {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Handed {}

impl PartialOrd for Handed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Handed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

/// One worker's part in it.
pub(super) struct Handover {
    index: usize,
    peers: Arc<Peers>,
    journal: Journal,
    /// What was handed to this worker and must wait, the earliest first.
    waiting: BinaryHeap<Reverse<Handed>>,
    /// Workers that were handed something since they were woken up.
    called: Vec<usize>,
}

impl Handover {
    pub(super) fn new(index: usize, peers: Arc<Peers>, journal: Journal) -> Self {
        Self { index, peers, journal, waiting: BinaryHeap::new(), called: Vec::new() }
    }

    /// How many workers share the keys.
    pub(super) fn workers(&self) -> u64 {
        self.peers.progress.len() as u64
    }

    /// Whether this worker is the one of that key.
    pub(super) fn is_mine(&self, key: u64) -> bool {
        key % self.workers() == self.index as u64
    }

    /// Hands a journey to the worker of its key, which may be this one.
    pub(super) fn hand(&mut self, offset: u64, journey: Journey) {
        let to = usize::try_from(journey.key % self.workers()).unwrap_or_default();
        self.peers.active.store(true, Ordering::Release);
        if to == self.index {
            return self.waiting.push(Reverse(Handed { offset, journey }));
        }
        // Its inlet is kept by all: it is never closed.
        let _ = self.peers.outlets[to].send(Handed { offset, journey });
        if !self.called.contains(&to) {
            self.called.push(to);
        }
    }

    /// This worker has matched all of its events below, and handed over what goes elsewhere.
    pub(super) fn passed(&mut self, end: u64) {
        self.peers.progress[self.index].fetch_max(end, Ordering::Release);
        self.called.drain(..).for_each(|worker| self.journal.nudge(worker));
    }

    fn is_active(&self) -> bool {
        self.peers.active.load(Ordering::Acquire)
    }

    /// The next journey that nothing can come before any more, with its offset.
    pub(super) fn next(&mut self) -> Option<(u64, Journey)> {
        if !self.is_active() {
            return None;
        }
        // In this order: what was handed over before a worker had passed is then among what is taken out here.
        let slowest = self.peers.slowest();
        self.waiting.extend(self.peers.inlets[self.index].try_iter().map(Reverse));
        let Reverse(first) = self.waiting.peek()?;
        if first.offset >= slowest {
            return None;
        }
        self.waiting.pop().map(|Reverse(Handed { offset, journey })| (offset, journey))
    }

    /// Everything that was handed to this worker below has been let go.
    pub(super) fn released(&self) -> u64 {
        if !self.is_active() {
            return u64::MAX;
        }
        let slowest = self.peers.slowest();
        self.waiting.peek().map_or(slowest, |Reverse(first)| first.offset.min(slowest))
    }

    /// Whether something waits here for other workers.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether this worker is so far ahead of the slowest that it should take nothing more in.
    pub(super) fn is_ahead(&self) -> bool {
        if !self.is_active() {
            return false;
        }
        let slowest = self.peers.slowest();
        let ahead = self.peers.progress[self.index].load(Ordering::Relaxed) > slowest.saturating_add(AHEAD);
        if ahead {
            self.ask(slowest);
        }
        ahead
    }

    /// Asks workers that have not passed that offset how far they have got: they may have nothing to do, this one too.
    pub(super) fn ask(&self, offset: u64) {
        for (worker, progress) in self.peers.progress.iter().enumerate() {
            if progress.load(Ordering::Relaxed) <= offset {
                self.journal.nudge(worker);
            }
        }
    }

    /// Asks on behalf of what waits here.
    pub(super) fn ask_for_next(&self) {
        if let Some(Reverse(first)) = self.waiting.peek() {
            self.ask(first.offset);
        }
    }

    /// Its inbox is closed: nothing more comes from this worker.
    pub(super) fn finish(&mut self) {
        self.passed(u64::MAX);
    }

    /// Whether nothing more can come from anybody.
    pub(super) fn is_finished(&self) -> bool {
        self.peers.slowest() == u64::MAX
    }
}
