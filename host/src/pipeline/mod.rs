//! The way of one event on one screen: from the journal, by the rules, through the steps, to the lanes.
//!
//! Each [`Worker`] is a thread with its own instances of every plugin and its own share of the ordering keys, so that
//! nothing here is shared or locked. An event is processed by one [`Snapshot`] from beginning to end.

mod held;
mod outbox;
mod snapshot;
mod suspension;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use flume::{Receiver, RecvTimeoutError};

pub use snapshot::{Retirement, Route, Snapshot};

use crate::Event;
use crate::config::settings::OnError;
use crate::delivery::Outgoing;
use crate::journal::{Accepted, DeadLetter, DeadLetters, Owed, Place, now_ms};
use crate::plugins::{Failed, Outcome, Step};
use crate::telemetry::Metrics;
use held::Held;
use outbox::Outbox;
use suspension::Suspension;

/// One event on its way along one route.
struct Journey {
    snapshot: Arc<Snapshot>,
    route: usize,
    step: usize,
    event: Event,
    key: u64,
    at_ms: u64,
    tries: u32,
    owed: Owed,
}

impl Journey {
    fn route(&self) -> &Route {
        &self.snapshot.routes[self.route]
    }

    fn step(&self) -> Option<&Arc<Step>> {
        self.route().steps.get(self.step)
    }
}

/// One thread's share of the events.
pub struct Worker {
    index: usize,
    inbox: Receiver<Vec<Accepted>>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    outbox: Outbox,
    held: Held,
    suspension: Suspension,
    metrics: Arc<Metrics>,
}

impl Worker {
    /// A worker that reads its share from `inbox` until that closes.
    pub fn new(
        index: usize,
        inbox: Receiver<Vec<Accepted>>,
        snapshot: Arc<ArcSwap<Snapshot>>,
        dead_letters: DeadLetters,
        metrics: Arc<Metrics>,
    ) -> Self {
        let outbox = Outbox::new(dead_letters, Arc::clone(&metrics));
        Self {
            index,
            inbox,
            snapshot,
            outbox,
            held: Held::default(),
            suspension: Suspension::default(),
            metrics,
        }
    }

    /// Processes events until the inbox is closed. What is held for a retry then stays in the journal.
    pub fn run(mut self) {
        loop {
            match self.receive() {
                Ok(batch) => batch.into_iter().for_each(|accepted| self.accept(accepted)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.resume();
            if self.inbox.is_empty() {
                self.outbox.flush();
            }
        }
        self.outbox.flush();
    }

    fn receive(&mut self) -> Result<Vec<Accepted>, RecvTimeoutError> {
        let Some(due) = self.held.next_due() else {
            return self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected);
        };
        let pause = due.saturating_duration_since(Instant::now());
        if self.held.is_full() {
            // Nothing more is taken in until something that is held has moved on; the journal keeps the rest.
            std::thread::sleep(pause.min(Duration::from_millis(100)));
            return Err(RecvTimeoutError::Timeout);
        }
        self.inbox.recv_timeout(pause)
    }

    fn accept(&mut self, Accepted { event, key, at_ms, owed }: Accepted) {
        let snapshot = self.snapshot.load_full();
        let mut matched = false;
        for route in snapshot.table.matches(&event) {
            matched = true;
            snapshot.routes[route].matched.inc();
            let journey = Journey {
                snapshot: Arc::clone(&snapshot),
                route,
                step: 0,
                event: event.clone(),
                key,
                at_ms,
                tries: 0,
                owed: owed.clone(),
            };
            self.depart(journey);
        }
        if !matched {
            self.metrics.unmatched.inc();
        }
        owed.settle();
    }

    /// Sets out, unless an earlier event of the key is held on this route.
    fn depart(&mut self, journey: Journey) {
        if self.held.waits(journey.route().name.as_str(), journey.key) {
            self.held.queue(journey);
        } else {
            self.travel(journey);
        }
    }

    fn travel(&mut self, mut journey: Journey) {
        while let Some(step) = journey.step().map(Arc::clone) {
            match self.suspension.run(&step, self.index, &journey.event) {
                Outcome::Keep => journey.step += 1,
                Outcome::Drop(_) => return journey.owed.settle(),
                Outcome::Out(events) => return self.fork(journey, events),
                Outcome::Failed(failed) => match self.failed(journey, &step, failed) {
                    Some(unchanged) => journey = unchanged,
                    None => return,
                },
            }
        }
        self.deliver(journey);
    }

    /// Several events, or a changed one, came out of a step.
    fn fork(&mut self, journey: Journey, events: Vec<Event>) {
        for event in events {
            let Journey { ref snapshot, route, step, key, at_ms, ref owed, .. } = journey;
            let (snapshot, owed) = (Arc::clone(snapshot), owed.clone());
            self.depart(Journey { snapshot, route, step: step + 1, event, key, at_ms, tries: 0, owed });
        }
        journey.owed.settle();
    }

    /// Applies `on_error`; returns the journey where it goes on past the step.
    fn failed(&mut self, mut journey: Journey, step: &Step, failed: Failed) -> Option<Journey> {
        journey.tries += 1;
        match step.spec().on_error {
            OnError::Pass => {
                journey.step += 1;
                journey.tries = 0;
                return Some(journey);
            }
            OnError::Drop => {
                self.metrics.dropped("plugin_error", 1);
                journey.owed.settle();
            }
            OnError::Retry if failed.transient && journey.tries <= journey.snapshot.max_retries => {
                self.held.hold(journey);
            }
            OnError::Retry | OnError::DeadLetter => self.bury(journey, step, failed.reason),
        }
        None
    }

    fn bury(&mut self, journey: Journey, step: &Step, reason: String) {
        if !journey.snapshot.dead_letters {
            self.metrics.dropped("dead_letters_disabled", 1);
            return journey.owed.settle();
        }
        let plugin = &step.spec().plugin;
        let place = Place::Step { index: journey.step, plugin: plugin.name.clone(), digest: plugin.digest };
        let letter = DeadLetter {
            id: 0,
            reason,
            route: Some(journey.route().name.clone()),
            place,
            tries: journey.tries,
            first_at_ms: journey.at_ms,
            at_ms: now_ms(),
            event: journey.event,
        };
        self.outbox.bury(letter, journey.owed);
    }

    fn deliver(&mut self, journey: Journey) {
        self.outbox.follow(&journey.snapshot);
        let route = &journey.snapshot.routes[journey.route];
        for lane in &route.lanes {
            let outgoing = Outgoing {
                event: journey.event.clone(),
                key: journey.key,
                at_ms: journey.at_ms,
                route: route.name.clone(),
                owed: journey.owed.clone(),
            };
            self.outbox.send(*lane, outgoing);
        }
        journey.owed.settle();
    }

    /// Lets go on what was held and is due, each key in its order.
    fn resume(&mut self) {
        while let Some(mut queue) = self.held.due(Instant::now()) {
            while let Some(journey) = queue.pop_front() {
                let (route, key) = (journey.route().name.clone(), journey.key);
                self.travel(journey);
                if self.held.waits(route.as_str(), key) {
                    self.held.behind(route.as_str(), key, queue);
                    break;
                }
            }
        }
    }
}
