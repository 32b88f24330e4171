//! What a worker has for the lanes and the dead letters, handed over in groups: one wake-up and one fsync for many.

use std::sync::Arc;

use crate::delivery::Outgoing;
use crate::journal::{DeadLetter, DeadLetters, Journal, Owed};
use crate::telemetry::Metrics;

use super::Snapshot;
use super::lagging::Lagging;

/// A group this large is handed over even while more events wait, so that lanes do not idle.
const GROUP: usize = 256;

pub(super) struct Outbox {
    snapshot: Option<Arc<Snapshot>>,
    lanes: Vec<Vec<Outgoing>>,
    letters: Vec<(DeadLetter, Owed)>,
    dead_letters: DeadLetters,
    metrics: Arc<Metrics>,
    pub(super) lagging: Lagging,
}

impl Outbox {
    pub(super) fn new(journal: Journal, dead_letters: DeadLetters, metrics: Arc<Metrics>) -> Self {
        let lagging = Lagging::new(journal);
        Self { snapshot: None, lanes: Vec::new(), letters: Vec::new(), dead_letters, metrics, lagging }
    }

    /// From here on events go to the lanes of that snapshot.
    pub(super) fn follow(&mut self, snapshot: &Arc<Snapshot>) {
        if !self.snapshot.as_ref().is_some_and(|current| Arc::ptr_eq(current, snapshot)) {
            self.flush();
            self.lanes.resize_with(snapshot.lanes.len(), Vec::new);
            self.lagging.follow(snapshot);
            self.snapshot = Some(Arc::clone(snapshot));
        }
    }

    pub(super) fn send(&mut self, lane: usize, outgoing: Outgoing) {
        self.lanes[lane].push(outgoing);
        if self.lanes[lane].len() >= GROUP {
            self.flush_lane(lane);
        }
    }

    pub(super) fn bury(&mut self, letter: DeadLetter, owed: Owed) {
        self.letters.push((letter, owed));
        if self.letters.len() >= GROUP {
            self.flush_letters();
        }
    }

    /// Hands everything over. Lets go of the snapshot, so that a replaced one can retire while the worker idles.
    pub(super) fn flush(&mut self) {
        (0..self.lanes.len()).for_each(|lane| self.flush_lane(lane));
        self.flush_letters();
        self.snapshot = None;
    }

    fn flush_lane(&mut self, lane: usize) {
        let Some(snapshot) = self.snapshot.as_ref().filter(|_| !self.lanes[lane].is_empty()) else { return };
        // The next group is likely as large: grown bit by bit, it would be copied eight times.
        let next = Vec::with_capacity(self.lanes[lane].len());
        let group = std::mem::replace(&mut self.lanes[lane], next);
        let lane = &snapshot.lanes[lane];
        if let Err(group) = lane.push(group) {
            self.lagging.refused(lane, group);
            self.lagging.follow(snapshot);
        }
    }

    fn flush_letters(&mut self) {
        if self.letters.is_empty() {
            return;
        }
        let (letters, owed): (Vec<_>, Vec<_>) = self.letters.drain(..).unzip();
        let count = letters.len() as u64;
        match self.dead_letters.put(letters) {
            Ok(()) => {
                self.metrics.dropped("dead_letter", count);
                owed.into_iter().for_each(Owed::settle);
            }
            // Not settled: the journal hands them out again after a restart.
            Err(error) => {
                tracing::error!(count, error, "cannot keep dead letters; the events stay in the journal");
            }
        }
    }
}
