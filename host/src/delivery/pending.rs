//! Events that a lane has taken up and not finished: the next batch, in order per key.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;
use tokio::time::Instant;

use super::Outgoing;
use crate::backends::Item;
use crate::journal::Owed;
use crate::names::RouteName;
use crate::trace::Context;

/// An event and how often it was tried.
pub(super) struct Pending {
    pub(super) outgoing: Outgoing,
    pub(super) tries: u32,
}

/// What a backend need not know of an event.
pub(super) struct Rest {
    at_ms: u64,
    pub(super) route: RouteName,
    identity: Option<u64>,
    owed: Owed,
    pub(super) tries: u32,
}

impl Pending {
    /// The event as a backend gets it, with the span that its receiver is to go on with, and the rest.
    pub(super) fn apart(self, trace: Option<Context>) -> (Item, Rest) {
        let Self { outgoing: Outgoing { event, key, at_ms, route, identity, owed }, tries } = self;
        (Item { event, key, trace }, Rest { at_ms, route, identity, owed, tries })
    }

    /// Both together again.
    pub(super) fn of((Item { event, key, .. }, rest): (Item, Rest)) -> Self {
        let Rest { at_ms, route, identity, owed, tries } = rest;
        Self { outgoing: Outgoing { event, key, at_ms, route, identity, owed }, tries }
    }
}

/// A key whose first event failed: it and those behind it wait.
struct Held {
    due: Instant,
    events: VecDeque<Pending>,
}

#[derive(Default)]
pub(super) struct Pendings {
    /// To be tried before all others, in this order.
    first: VecDeque<Pending>,
    held: HashMap<u64, Held, FixedState>,
    count: usize,
}

impl Pendings {
    pub(super) fn len(&self) -> usize {
        self.first.len() + self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the next held key may be tried.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.held.values().map(|held| held.due).min()
    }

    /// Moves what can be tried now into the batch.
    pub(super) fn take(&mut self, batch: &mut Vec<Pending>, most: usize, now: Instant) {
        let count = most.saturating_sub(batch.len()).min(self.first.len());
        batch.extend(self.first.drain(..count));
        if self.held.is_empty() {
            return;
        }
        let due: Vec<u64> =
            self.held.iter().filter(|(_, held)| held.due <= now).map(|(key, _)| *key).collect();
        for key in due {
            let room = most.saturating_sub(batch.len());
            let Some(held) = self.held.get_mut(&key) else { continue };
            let count = room.min(held.events.len());
            batch.extend(held.events.drain(..count));
            self.count -= count;
            // What is left of the key stays behind what was taken, as long as that is under way.
            if held.events.is_empty() {
                self.held.remove(&key);
            }
        }
    }

    /// Puts new events into the batch, or behind a held one of their key.
    pub(super) fn admit(&mut self, batch: &mut Vec<Pending>, outgoing: Vec<Outgoing>) {
        for outgoing in outgoing {
            let key = outgoing.key;
            let pending = Pending { outgoing, tries: 0 };
            match self.held.get_mut(&key) {
                Some(held) => {
                    held.events.push_back(pending);
                    self.count += 1;
                }
                None => batch.push(pending),
            }
        }
    }

    /// Gives back, in their order, events of a batch that are to be tried before all others.
    pub(super) fn put_first(&mut self, events: Vec<Pending>) {
        for pending in events.into_iter().rev() {
            self.first.push_front(pending);
        }
    }

    /// Gives back events of a batch, key by key and in order; each key then waits until `due`, before what it held.
    pub(super) fn hold(&mut self, events: Vec<(Pending, Instant)>) {
        for (pending, due) in events.into_iter().rev() {
            let held = self
                .held
                .entry(pending.outgoing.key)
                .or_insert_with(|| Held { due, events: VecDeque::new() });
            held.due = held.due.max(due);
            held.events.push_front(pending);
            self.count += 1;
        }
    }
}
