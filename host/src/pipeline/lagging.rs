//! Lanes that were full, and routes of which too much waits for steps that run apart or try again: this worker's share of
//! what they missed is read again from the journal once they have room.
//!
//! The journal's cursor waits for them, and nothing else does: others get their events as before.

use std::collections::{BTreeSet, HashMap};

use super::Snapshot;
use crate::delivery::{Lane, Outgoing};
use crate::journal::{Accepted, Journal, Lag, Scope};
use crate::names::{BackendName, RouteName};
use crate::router::Attribute;

/// Events that are read again at once, for each of them.
const BATCH: usize = 64;
/// Events that routes left out of which is known, while nobody is behind and while somebody is.
const LEFT_OUT: [usize; 2] = [1 << 16, 1 << 20];

pub(super) struct Lagging {
    journal: Journal,
    /// Lanes and routes that get nothing but what is read again for them.
    behind: Vec<(Scope, Lag)>,
    /// Places that are read to their end, until what was read there is settled.
    ending: Vec<Lag>,
    /// The worker has got everything below.
    seen: u64,
    /// What routes left out: a lane that reads it again is not to get it either.
    left_out: BTreeSet<(u64, RouteName)>,
    /// The orders of the routes since somebody is behind: by whose keys events were shared among the workers.
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

    /// How a route has ordered its events since somebody is behind.
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

    /// The last offset that somebody waits to read again, where what others hand to this worker has not come so far.
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
        let is_it = |who: &Scope| matches!(who, Scope::Lane(name) if name == lane);
        self.behind.iter().any(|(who, lag)| is_it(who) && later(lag))
    }

    /// Whether the route will take the event of that offset when it is read again.
    pub(super) fn takes_later(&self, route: &RouteName, offset: Option<u64>) -> bool {
        let later = |lag: &Lag| offset.is_some_and(|offset| offset >= lag.position());
        let is_it = |who: &Scope| matches!(who, Scope::Taker(name) if name == route);
        self.behind.iter().any(|(who, lag)| is_it(who) && later(lag))
    }

    /// Whether events of the route are read again.
    pub(super) fn is_behind(&self, route: &RouteName) -> bool {
        self.behind.iter().any(|(who, _)| matches!(who, Scope::Taker(name) if name == route))
    }

    /// The route has no room for the event of that offset: it, and what comes after it, is read again. To be called before the
    /// event is settled.
    pub(super) fn crowded(&mut self, route: &RouteName, offset: u64, snapshot: &Snapshot) {
        tracing::info!(%route, from = offset, "too much waits for its steps: its events wait in the journal");
        self.behind.push((Scope::Taker(route.clone()), self.journal.lag(offset)));
        self.follow(snapshot);
    }

    /// Takes over what a lane refused: it is let go of here, and read again from the first of it on.
    pub(super) fn refused(&mut self, lane: &Lane, group: Vec<Outgoing>) {
        if let Some(first) = group.iter().filter_map(|outgoing| outgoing.owed.offset()).min() {
            // Held before it is let go of: the cursor cannot slip past it.
            let lag = self.journal.lag(first);
            let who = Scope::Lane(lane.name().clone());
            if let Some((_, before)) = self.behind.iter_mut().find(|(other, _)| *other == who) {
                self.ending.push(std::mem::replace(before, lag));
            } else {
                tracing::warn!(backend = %lane.name(), from = first, "its overflow takes no more (host.delivery.overflow): its events wait in the journal");
                self.behind.push((who, lag));
            }
        }
        // What is not from the journal, as a dead letter that is tried again, stays where it is.
        let journalled = group.into_iter().filter(|outgoing| outgoing.owed.offset().is_some());
        journalled.for_each(|outgoing| outgoing.owed.settle());
    }

    /// The next events for each of those that have room again, as far as others have handed theirs to this worker. `has_room`
    /// knows nothing of those that are there no more.
    pub(super) fn next(
        &mut self,
        has_room: impl Fn(&Scope) -> Option<bool>,
        released: u64,
    ) -> Vec<(Scope, Vec<Accepted>)> {
        self.ending =
            std::mem::take(&mut self.ending).into_iter().filter_map(|lag| lag.end().err()).collect();
        let mut taken = Vec::new();
        for (who, lag) in std::mem::take(&mut self.behind) {
            let Some(has_room) = has_room(&who) else {
                let (Named(what, name), missed) = (Named::from(&who), "what it missed is not read again");
                tracing::warn!("{what} {name} is not there any more; {missed}");
                lag.abandon();
                continue;
            };
            lag.tidy();
            self.behind.push((who, lag));
            let Some((who, lag)) = self.behind.last_mut().filter(|_| has_room) else { continue };
            match lag.take(BATCH, self.seen.min(released)) {
                Ok(events) => taken.push((who.clone(), events)),
                Err(error) => {
                    let Named(what, name) = Named::from(&*who);
                    tracing::error!(%error, "cannot read the journal; events for {what} {name} wait");
                }
            }
        }
        taken
    }

    /// Lets those that have missed nothing more get their events directly again.
    pub(super) fn settle_up(&mut self) {
        let seen = self.seen;
        for (who, lag) in std::mem::take(&mut self.behind) {
            if lag.position() < seen {
                self.behind.push((who, lag));
            } else {
                let Named(what, name) = Named::from(&who);
                tracing::info!("{what} {name} has caught up");
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

/// Who is behind, in words.
struct Named<'a>(&'static str, &'a str);

impl<'a> From<&'a Scope> for Named<'a> {
    fn from(who: &'a Scope) -> Self {
        match who {
            Scope::Lane(name) => Self("backend", name.as_str()),
            Scope::Taker(name) | Scope::Route(name, _) => Self("route", name.as_str()),
            Scope::All => Self("everybody", ""),
        }
    }
}
