//! Events whose step asked for a later try (`on_error: retry`), and those of their keys that wait behind them.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::Journey;
use crate::names::RouteName;

/// A worker that holds this many takes no more in until some have moved on.
const MOST: usize = 1_024;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Held {
    queues: HashMap<(RouteName, u64), Queue>,
    count: usize,
}

struct Queue {
    due: Instant,
    journeys: VecDeque<Journey>,
}

impl Held {
    pub(super) fn is_full(&self) -> bool {
        self.count >= MOST
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.queues.values().map(|queue| queue.due).min()
    }

    /// Whether an earlier event of the key is held on that route.
    pub(super) fn waits(&self, route: &str, key: u64) -> bool {
        !self.queues.is_empty() && self.queues.contains_key(&(route.into(), key))
    }

    /// Holds an event that failed, before all others of its key. The pause doubles with each try, with full jitter.
    pub(super) fn hold(&mut self, journey: Journey) {
        let longest = FIRST_PAUSE.saturating_mul(1 << journey.tries.min(16)).min(LONGEST_PAUSE);
        let due = Instant::now() + longest.mul_f64(fastrand::f64());
        self.count += 1;
        let key = (journey.route().name.clone(), journey.key);
        let queue = self.queues.entry(key).or_insert_with(|| Queue { due, journeys: VecDeque::new() });
        queue.due = due;
        queue.journeys.push_front(journey);
    }

    /// Puts an event behind the held ones of its key.
    pub(super) fn queue(&mut self, journey: Journey) {
        if let Some(queue) = self.queues.get_mut(&(journey.route().name.clone(), journey.key)) {
            queue.journeys.push_back(journey);
            self.count += 1;
        }
    }

    /// Takes out one key's queue that is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<VecDeque<Journey>> {
        let key = self.queues.iter().find(|(_, queue)| queue.due <= now).map(|(key, _)| key.clone())?;
        let queue = self.queues.remove(&key)?;
        self.count -= queue.journeys.len();
        Some(queue.journeys)
    }

    /// Puts the rest of a queue back behind an event that is held again.
    pub(super) fn behind(&mut self, route: &str, key: u64, rest: VecDeque<Journey>) {
        if let Some(queue) = self.queues.get_mut(&(route.into(), key)) {
            self.count += rest.len();
            queue.journeys.extend(rest);
        }
    }
}
