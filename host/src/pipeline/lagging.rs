//! Lanes that were full: this worker's share of what they missed is read again from the journal once they have room.
//!
//! The journal's cursor waits for them, and nothing else does: other lanes get their events as before.

use std::collections::{BTreeSet, HashMap};

use super::Snapshot;
use crate::delivery::{Lane, Outgoing};
use crate::journal::{Accepted, Journal, Lag};
use crate::names::{BackendName, RouteName};
use crate::router::Attribute;

/// Events that are read again at once, for each lane.
const BATCH: usize = 64;
/// Events that routes left out of which is known, while no lane is behind and while one is.
const LEFT_OUT: [usize; 2] = [1 << 16, 1 << 20];

pub(super) struct Lagging {
    journal: Journal,
    /// Lanes that get nothing but what is read again.
    behind: Vec<(BackendName, Lag)>,
    /// Places that are read to their end, until what was read there is settled.
    ending: Vec<Lag>,
    /// The worker has got everything below.
    seen: u64,
    /// What routes left out: a lane that reads it again is not to get it either.
    left_out: BTreeSet<(u64, RouteName)>,
    /// The orders of the routes since a lane is behind: by whose keys events were shared among the workers.
    orders: HashMap<RouteName, Vec<Option<Attribute>>>,
}

impl Lagging {
    pub(super) fn new(journal: Journal) -> Self {
        Self {
            journal,
            behind: Vec::new(),
            ending: Vec::new(),
            seen: 0,
            left_out: BTreeSet::new(),
            orders: HashMap::new(),
        }
    }

    /// Events go by the routes of that snapshot from here on.
    pub(super) fn follow(&mut self, snapshot: &Snapshot) {
        if self.behind.is_empty() {
            return;
        }
        for route in &snapshot.routes {
            let orders = self.orders.entry(route.name.clone()).or_default();
            if !orders.contains(&route.order_by) {
                orders.push(route.order_by.clone());
            }
        }
    }

    /// How a route has ordered its events since a lane is behind.
    pub(super) fn former_orders(&self, route: &RouteName) -> impl Iterator<Item = Option<&Attribute>> {
        self.orders.get(route).into_iter().flatten().map(Option::as_ref)
    }

    /// A route left the event out.
    pub(super) fn left_out(&mut self, offset: Option<u64>, route: &RouteName) {
        let Some(offset) = offset else { return };
        self.left_out.insert((offset, route.clone()));
        if self.left_out.len() > LEFT_OUT[usize::from(!self.behind.is_empty())] {
            self.left_out.pop_first();
        }
    }

    /// Whether a route left the event out.
    pub(super) fn was_left_out(&self, offset: Option<u64>, route: &RouteName) -> bool {
        !self.left_out.is_empty()
            && offset.is_some_and(|offset| self.left_out.contains(&(offset, route.clone())))
    }

    /// The last offset that lanes wait to read again, where what others hand to this worker has not come so far.
    pub(super) fn lacks(&self, released: u64) -> Option<u64> {
        self.seen.checked_sub(1).filter(|last| !self.behind.is_empty() && released <= *last)
    }

    /// The worker has got the event at that offset.
    pub(super) fn saw(&mut self, offset: Option<u64>) {
        self.seen = offset.map_or(self.seen, |offset| self.seen.max(offset + 1));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.behind.is_empty() && self.ending.is_empty()
    }

    /// Whether the lane will get the event of that offset by its being read again.
    pub(super) fn reads_again(&self, lane: &BackendName, offset: Option<u64>) -> bool {
        let later = |lag: &Lag| offset.is_some_and(|offset| offset >= lag.position());
        self.behind.iter().any(|(name, lag)| name == lane && later(lag))
    }

    /// Takes over what a lane refused: it is let go of here, and read again from the first of it on.
    pub(super) fn refused(&mut self, lane: &Lane, group: Vec<Outgoing>) {
        if let Some(first) = group.iter().filter_map(|outgoing| outgoing.owed.offset()).min() {
            // Held before it is let go of: the cursor cannot slip past it.
            let lag = self.journal.lag(first);
            if let Some((_, before)) = self.behind.iter_mut().find(|(name, _)| name == lane.name()) {
                self.ending.push(std::mem::replace(before, lag));
            } else {
                tracing::warn!(backend = %lane.name(), from = first, "its overflow takes no more (host.delivery.overflow): its events wait in the journal");
                self.behind.push((lane.name().clone(), lag));
            }
        }
        // What is not from the journal, as a dead letter that is tried again, stays where it is.
        let journalled = group.into_iter().filter(|outgoing| outgoing.owed.offset().is_some());
        journalled.for_each(|outgoing| outgoing.owed.settle());
    }

    /// The next events for each lane that has room again, as far as others have handed theirs to this worker.
    pub(super) fn next(&mut self, lanes: &[Lane], released: u64) -> Vec<(BackendName, Vec<Accepted>)> {
        self.ending =
            std::mem::take(&mut self.ending).into_iter().filter_map(|lag| lag.end().err()).collect();
        let mut taken = Vec::new();
        for (name, lag) in std::mem::take(&mut self.behind) {
            let Some(lane) = lanes.iter().find(|lane| *lane.name() == name) else {
                tracing::warn!(backend = %name, "nothing is delivered here any more; what it missed is not read again");
                lag.abandon();
                continue;
            };
            lag.tidy();
            self.behind.push((name.clone(), lag));
            let Some((_, lag)) = self.behind.last_mut().filter(|_| lane.has_room()) else { continue };
            match lag.take(BATCH, self.seen.min(released)) {
                Ok(events) => taken.push((name, events)),
                Err(error) => {
                    tracing::error!(backend = %name, %error, "cannot read the journal; its events wait");
                }
            }
        }
        taken
    }

    /// Lets lanes that have missed nothing more get their events directly again.
    pub(super) fn settle_up(&mut self) {
        let seen = self.seen;
        for (name, lag) in std::mem::take(&mut self.behind) {
            if lag.position() < seen {
                self.behind.push((name, lag));
            } else {
                tracing::info!(backend = %name, "has caught up");
                self.ending.push(lag);
            }
        }
        if self.behind.is_empty() {
            self.orders.clear();
            while self.left_out.len() > LEFT_OUT[0] {
                self.left_out.pop_first();
            }
        }
    }
}
