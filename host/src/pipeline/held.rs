//! Events whose step asked for a later try (`on_error: retry`), and those that wait behind them, or behind one whose step runs
//! apart: events of a key stay in order.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::Journey;
use crate::names::RouteName;

/// A worker that holds this many takes no more in until some have moved on.
const MOST: usize = 1_024;
/// A route of which so many are held takes no more until some have moved on; its events wait in the journal.
const MOST_OF_ONE: usize = 256;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Held {
    queues: HashMap<(RouteName, u64), Queue>,
    count: usize,
    /// The same by route; few have any.
    crowds: Vec<(RouteName, usize)>,
}

#[derive(Default)]
struct Queue {
    /// When the first of it is tried again; none where the one before it is with a step that runs apart.
    due: Option<Instant>,
    journeys: VecDeque<Journey>,
}

impl Held {
    pub(super) fn is_full(&self) -> bool {
        self.count >= MOST
    }

    /// Whether that route has no room for more.
    pub(super) fn is_crowded(&self, route: &RouteName) -> bool {
        self.of(route) >= MOST_OF_ONE
    }

    /// Whether a route that was crowded has room again.
    pub(super) fn has_room(&self, route: &RouteName) -> bool {
        self.of(route) < MOST_OF_ONE / 2 && !self.is_full()
    }

    fn of(&self, route: &RouteName) -> usize {
        self.crowds.iter().find(|(name, _)| name == route).map_or(0, |(_, count)| *count)
    }

    fn come(&mut self, route: &RouteName, count: usize) {
        self.count += count;
        match self.crowds.iter_mut().find(|(name, _)| name == route) {
            Some((_, crowd)) => *crowd += count,
            None => self.crowds.push((route.clone(), count)),
        }
    }

    fn go(&mut self, route: &RouteName, count: usize) {
        self.count -= count;
        if let Some((_, crowd)) = self.crowds.iter_mut().find(|(name, _)| name == route) {
            *crowd -= count;
        }
        self.crowds.retain(|(_, crowd)| *crowd > 0);
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.queues.values().filter_map(|queue| queue.due).min()
    }

    /// Whether an earlier event of the key is held on that route.
    pub(super) fn waits(&self, route: &str, key: u64) -> bool {
        !self.queues.is_empty() && self.queues.contains_key(&(route.into(), key))
    }

    /// Holds an event that failed, before all others of its key. The pause doubles with each try, with full jitter.
    pub(super) fn hold(&mut self, journey: Journey) {
        let longest = FIRST_PAUSE.saturating_mul(1 << journey.tries.min(16)).min(LONGEST_PAUSE);
        let due = Instant::now() + longest.mul_f64(fastrand::f64());
        let key = (journey.route().name.clone(), journey.key);
        self.come(&key.0, 1);
        let queue = self.queues.entry(key).or_default();
        queue.due = Some(due);
        queue.journeys.push_front(journey);
    }

    /// The step of an event of that key runs apart: later ones wait for it.
    pub(super) fn park(&mut self, route: &RouteName, key: u64) {
        self.come(route, 1);
        self.queues.entry((route.clone(), key)).or_default().due = None;
    }

    /// The event is back: takes out what has waited behind it.
    pub(super) fn unpark(&mut self, route: &RouteName, key: u64) -> VecDeque<Journey> {
        let queue = self.queues.remove(&(route.clone(), key)).unwrap_or_default();
        self.go(route, 1 + queue.journeys.len());
        queue.journeys
    }

    /// Puts an event behind the held ones of its key.
    pub(super) fn queue(&mut self, journey: Journey) {
        let key = (journey.route().name.clone(), journey.key);
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.journeys.push_back(journey);
            self.come(&key.0, 1);
        }
    }

    /// Takes out one key's queue that is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<VecDeque<Journey>> {
        let is_due = |queue: &Queue| queue.due.is_some_and(|due| due <= now);
        let key = self.queues.iter().find(|(_, queue)| is_due(queue)).map(|(key, _)| key.clone())?;
        let queue = self.queues.remove(&key)?;
        self.go(&key.0, queue.journeys.len());
        Some(queue.journeys)
    }

    /// Puts the rest of a queue back behind an event that is held again, or whose step runs apart.
    pub(super) fn behind(&mut self, route: &RouteName, key: u64, rest: VecDeque<Journey>) {
        if let Some(queue) = self.queues.get_mut(&(route.clone(), key)) {
            let count = rest.len();
            queue.journeys.extend(rest);
            self.come(route, count);
        }
    }
}
