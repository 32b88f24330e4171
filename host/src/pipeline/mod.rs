//! The way of one event on one screen: from the journal, by the rules, through the steps, to the lanes.
//!
//! Each [`Worker`] is a thread with its own instances of every plugin and its own share of the ordering keys, so that
//! nothing here is shared or locked. An event is processed by one [`Snapshot`] from beginning to end.

mod handover;
mod held;
mod lagging;
mod outbox;
mod parked;
mod snapshot;
mod suspension;
mod thinning;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use flume::{Receiver, RecvTimeoutError};

pub use handover::Peers;
pub use snapshot::{Retirement, Route, Snapshot};
pub use thinning::{LeftOut, Rate, Thinning};

use crate::Event;
use crate::config::settings::OnError;
use crate::delivery::{Lane, Outgoing};
use crate::journal::{Accepted, Batch, DeadLetter, DeadLetters, Journal, Owed, Place, Scope, now_ms};
use crate::names::RouteName;
use crate::plugins::{Failed, Outcome, Passage, Returned, Step};
use crate::provenance::Recorder;
use crate::telemetry::Metrics;
use crate::trace::{Spans, Way};
use handover::Handover;
use held::Held;
use outbox::Outbox;
use parked::{Answered, Parked};
use snapshot::Shared;
use suspension::Suspension;

/// One event on its way along one route.
struct Journey {
    snapshot: Shared,
    route: usize,
    step: usize,
    event: Event,
    key: u64,
    at_ms: u64,
    tries: u32,
    owed: Owed,
    scope: Scope,
    /// Its span, where it is traced.
    way: Option<Box<Way>>,
}

impl Journey {
    fn route(&self) -> &Route {
        &self.snapshot.routes[self.route]
    }

    /// The same for one more lane.
    fn shared(&mut self) -> Self {
        let Self { snapshot, event, owed, scope, .. } = self;
        let (snapshot, event, owed, scope) =
            (Arc::clone(snapshot), event.clone(), owed.share(), scope.clone());
        Self { snapshot, event, owed, scope, way: None, ..*self }
    }

    /// As a lane gets it.
    fn outgoing(self) -> Outgoing {
        let (route, identity) = (self.route().name.clone(), self.owed.identity());
        let Self { event, key, at_ms, owed, .. } = self;
        Outgoing { event, key, at_ms, route, identity, owed }
    }
}

/// One thread's share of the events.
pub struct Worker {
    index: usize,
    inbox: Receiver<Batch>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    outbox: Outbox,
    held: Held,
    parked: Parked,
    handover: Handover,
    suspension: Suspension,
    recorder: Recorder,
    metrics: Arc<Metrics>,
    /// The routes and steps of the event at hand.
    ways: Vec<(usize, usize)>,
}

/// How often lanes that were full are looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How often a worker looks whether the others have passed what waits for them.
const LOOK_FOR_OTHERS: Duration = Duration::from_micros(500);
/// How long an ending worker waits for the others to hand over what they have, and for steps that run apart.
const END: Duration = Duration::from_secs(5);

impl Worker {
    /// A worker that reads its share from `inbox` until that closes.
    pub fn new(
        (index, peers): (usize, Arc<Peers>),
        inbox: Receiver<Batch>,
        snapshot: Arc<ArcSwap<Snapshot>>,
        (journal, dead_letters): (Journal, DeadLetters),
        recorder: Recorder,
        metrics: Arc<Metrics>,
    ) -> Self {
        let handover = Handover::new(index, peers, journal.clone());
        let parked = Parked::new(index, journal.clone());
        let outbox = Outbox::new(journal, dead_letters, Arc::clone(&metrics));
        Self {
            index,
            inbox,
            snapshot,
            outbox,
            held: Held::default(),
            parked,
            handover,
            suspension: Suspension::default(),
            recorder,
            metrics,
            ways: Vec::new(),
        }
    }

    /// Processes events until the inbox is closed. What is held for a retry then stays in the journal.
    pub fn run(mut self) {
        loop {
            let received = self.receive();
            self.suspension.go_on();
            match received {
                Ok(batch) => {
                    // A look for each event; a count of references only where another one came into force.
                    let mut latest = Cache::new(Arc::clone(&self.snapshot));
                    let mut snapshot = Shared::new(Arc::clone(latest.load()));
                    for accepted in batch.events {
                        if !Arc::ptr_eq(latest.load(), &snapshot) {
                            snapshot = Shared::new(Arc::clone(latest.load()));
                        }
                        self.accept(&snapshot, accepted);
                    }
                    self.handover.passed(batch.end);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.resume();
            self.welcome();
            self.take_over();
            self.catch_up();
            if self.inbox.is_empty() {
                self.outbox.flush();
                self.recorder.flush();
            }
        }
        self.end();
        self.outbox.flush();
        self.recorder.flush();
    }

    /// Takes over what others still hand to this worker, and what comes back from steps that run apart. What does not come in
    /// time stays in the journal.
    fn end(&mut self) {
        self.handover.finish();
        let deadline = Instant::now() + END;
        while !(self.handover.is_finished() && self.parked.is_empty()) && Instant::now() < deadline {
            self.take_over();
            if let Some(answered) = self.parked.wait(LOOK_FOR_OTHERS) {
                self.go_on(answered);
            }
        }
        self.take_over();
    }

    fn receive(&mut self) -> Result<Batch, RecvTimeoutError> {
        if self.handover.is_ahead() {
            std::thread::sleep(LOOK_FOR_OTHERS);
            return Err(RecvTimeoutError::Timeout);
        }
        let look = (!self.outbox.lagging.is_empty()).then(|| Instant::now() + LOOK);
        let others = self.handover.waits().then(|| Instant::now() + LOOK_FOR_OTHERS);
        let due = self.held.next_due().into_iter().chain(look).chain(others).min();
        let pause = due.map(|due| due.saturating_duration_since(Instant::now()));
        if self.held.is_full() {
            // Nothing more is taken in until something that is held has moved on; the journal keeps the rest.
            let longest = Duration::from_millis(100);
            if let Some(answered) = self.parked.wait(pause.map_or(longest, |pause| pause.min(longest))) {
                self.go_on(answered);
            }
            return Err(RecvTimeoutError::Timeout);
        }
        // Who comes back from a step that runs apart wakes the worker up by its inbox.
        match pause {
            Some(pause) => self.inbox.recv_timeout(pause),
            None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn accept(&mut self, snapshot: &Shared, accepted: Accepted) {
        self.outbox.lagging.saw(accepted.owed.offset().filter(|_| accepted.scope == Scope::All));
        let matched = self.set_out(snapshot, accepted);
        if !matched {
            self.metrics.unmatched.inc();
        }
    }

    /// Sends an event along the routes that it takes. Whether there is one.
    fn set_out(&mut self, snapshot: &Shared, accepted: Accepted) -> bool {
        let Accepted { event, key, at_ms, mut owed, scope } = accepted;
        let again = matches!(scope, Scope::Lane(_) | Scope::Taker(_));
        let mut ways = std::mem::take(&mut self.ways);
        let mine = |route: usize| !again || self.was_mine(&snapshot.routes[route], &event, key);
        ways.extend(snapshot.ways(&event, at_ms, &scope).filter(|(route, _)| mine(*route)));
        if !ways.is_empty() || !again {
            self.recorder.routed(owed.identity(), &event, at_ms, snapshot.generation, ways.len());
        }
        let last = ways.pop();
        let journey = |(route, step): (usize, usize), event: Event, owed, scope| Journey {
            snapshot: Arc::clone(snapshot),
            route,
            step,
            key: snapshot.routes[route].key(&event, key),
            event,
            at_ms,
            tries: 0,
            owed,
            scope,
            way: None,
        };
        for way in ways.drain(..) {
            self.lead(journey(way, event.clone(), owed.share(), scope.clone()));
        }
        self.ways = ways;
        match last {
            // Nearly always the only one: nothing is shared, and so nothing counted.
            Some(way) => self.lead(journey(way, event, owed, scope)),
            // A dead letter whose route has gone stays where it is.
            None if matches!(scope, Scope::Route(..)) => {}
            None => owed.settle(),
        }
        last.is_some()
    }

    /// Begins a journey, by way of the worker that keeps the order of its route, where that may be another.
    fn lead(&mut self, mut journey: Journey) {
        let (event, identity, route) = (&journey.event, journey.owed.identity(), journey.route());
        let way = self.recorder.spans.set_out(event, identity, &route.name, journey.snapshot.generation);
        let again = matches!(journey.scope, Scope::Lane(_) | Scope::Taker(_));
        journey.way = if again { way.map(Way::once_more) } else { way };
        let ordered =
            journey.route().order_by.is_some() && journey.scope == Scope::All && self.handover.workers() > 1;
        match journey.owed.offset().filter(|_| ordered) {
            Some(offset) => self.handover.hand(offset, journey),
            None => self.enter(journey),
        }
    }

    /// Reads again, for lanes and routes that were full and have room now, what they missed.
    fn catch_up(&mut self) {
        if self.outbox.lagging.is_empty() || self.held.is_full() {
            return;
        }
        // What is on its way to them goes first.
        self.outbox.flush();
        let snapshot = Shared::new(self.snapshot.load_full());
        let released = self.handover.released();
        if let Some(unheard_of) = self.outbox.lagging.lacks(released) {
            self.handover.ask(unheard_of);
        }
        let has_room = |who: &Scope| match who {
            Scope::Lane(name) => snapshot.lanes.iter().find(|lane| lane.name() == name).map(Lane::has_room),
            Scope::Taker(name) | Scope::Route(name, _) => {
                snapshot.routes.iter().any(|route| route.name == *name).then(|| self.held.has_room(name))
            }
            Scope::All => None,
        };
        for (who, events) in self.outbox.lagging.next(has_room, released) {
            for accepted in events {
                self.set_out(&snapshot, Accepted { scope: who.clone(), ..accepted });
            }
        }
        self.outbox.flush();
        self.outbox.lagging.settle_up();
    }

    /// Whether it was this worker that led such an event along the route, also by an order that has been replaced since: rather
    /// twice than never.
    fn was_mine(&self, route: &Route, event: &Event, key: u64) -> bool {
        let former = self.outbox.lagging.former_orders(&route.name);
        let mut keys = former.map(|order| snapshot::key_by(order, event, key));
        self.handover.is_mine(route.key(event, key)) || keys.any(|key| self.handover.is_mine(key))
    }

    /// Lets go on what others have handed to this worker, once nothing can come before it.
    fn take_over(&mut self) {
        while let Some((offset, journey)) = self.handover.next() {
            self.outbox.lagging.saw(Some(offset));
            self.enter(journey);
        }
        self.handover.ask_for_next();
    }

    /// Whether the route takes the event when it is read again, because it has no room for it, or had none for one before it.
    fn is_for_later(&mut self, journey: &Journey) -> bool {
        let (route, offset) = (&journey.route().name, journey.owed.offset());
        let lagging = &mut self.outbox.lagging;
        if matches!(journey.scope, Scope::All | Scope::Lane(_)) && lagging.takes_later(route, offset) {
            return true;
        }
        let Some(offset) = offset.filter(|_| journey.scope == Scope::All) else { return false };
        let crowded = self.held.is_crowded(route) && !lagging.is_behind(route);
        if crowded {
            lagging.crowded(route, offset, &journey.snapshot);
        }
        crowded
    }

    /// Sets out, unless the route leaves the event out, or takes it later.
    fn enter(&mut self, mut journey: Journey) {
        if self.is_for_later(&journey) {
            return journey.owed.settle();
        }
        let (route, offset) = (journey.route(), journey.owed.offset());
        let left_out = match journey.scope {
            Scope::Route(..) => None,
            // What was left out stays so; what was not is no duplicate now.
            Scope::Lane(_) => {
                if route.thinning.is_out_of_sample(&journey.event)
                    || self.outbox.lagging.was_left_out(offset, &route.name)
                {
                    return journey.owed.settle();
                }
                None
            }
            Scope::All | Scope::Taker(_) => {
                route.thinning.leaves_out(&journey.event, journey.owed.identity(), &route.left_out)
            }
        };
        let Some(why) = left_out else { return self.depart(journey) };
        if why != LeftOut::Sample {
            self.outbox.lagging.left_out(offset, &route.name);
        }
        route.left_out.count(why);
        self.recorder.left_out(journey.owed.identity(), route.name.as_str(), why.as_str());
        self.recorder.spans.end(journey.way.take(), why.as_str(), 0, None);
        journey.owed.settle();
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
        loop {
            let snapshot = Arc::clone(&journey.snapshot);
            let Some(step) = snapshot.routes[journey.route].steps.get(journey.step) else { break };
            let begun = journey.way.as_ref().map(|_| Spans::clock());
            let outcome = if let Some(suspended) = self.suspension.suspended(step) {
                Outcome::Failed(suspended)
            } else if let Some(errand) = step.errand(self.index, journey.key) {
                self.held.park(&journey.route().name, journey.key);
                return self.parked.park(journey, begun, errand);
            } else {
                let passage = Passage { identity: journey.owed.identity(), key: journey.key };
                self.suspension.run(step, self.index, &mut journey.event, passage)
            };
            match self.passed(journey, step, begun, outcome) {
                Some(unchanged) => journey = unchanged,
                None => return,
            }
        }
        self.deliver(journey);
    }

    /// A step has done this; returns the journey where it goes on as it is.
    fn passed(
        &mut self,
        mut journey: Journey,
        step: &Step,
        begun: Option<u64>,
        outcome: Outcome,
    ) -> Option<Journey> {
        self.note(&journey, step, &outcome);
        if let Some((way, begun)) = journey.way.as_deref().zip(begun) {
            self.recorder.spans.step(way, begun, journey.step, step.label(), &outcome);
        }
        match outcome {
            Outcome::Keep => {
                journey.step += 1;
                Some(journey)
            }
            Outcome::Drop(_) => {
                self.recorder.spans.end(journey.way, "dropped", 0, None);
                journey.owed.settle();
                None
            }
            Outcome::Out(events) => {
                self.fork(journey, events);
                None
            }
            Outcome::Failed(failed) => self.failed(journey, step, failed),
        }
    }

    /// Lets go on what has come back from steps that run apart.
    fn welcome(&mut self) {
        while let Some(answered) = self.parked.answered() {
            self.go_on(answered);
        }
    }

    /// Goes on with a journey, and then with what has waited behind it.
    fn go_on(&mut self, Answered { journey, begun, returned: Returned { outcome, cost } }: Answered) {
        let (route, key) = (journey.route().name.clone(), journey.key);
        let queue = self.held.unpark(&route, key);
        let snapshot = Arc::clone(&journey.snapshot);
        let step = &snapshot.routes[journey.route].steps[journey.step];
        if let Some(cost) = cost {
            self.suspension.judge(step, &outcome, cost);
        }
        if let Some(journey) = self.passed(journey, step, begun, outcome) {
            self.travel(journey);
        }
        self.follow(&route, key, queue);
    }

    /// Several events, or a changed one, came out of a step.
    fn fork(&mut self, mut journey: Journey, mut events: Vec<Event>) {
        let mut ways = Way::split(journey.way.take(), &mut events).into_iter();
        for event in events {
            let (snapshot, owed, scope) =
                (Arc::clone(&journey.snapshot), journey.owed.share(), journey.scope.clone());
            let Journey { route, step, key, at_ms, .. } = journey;
            let (step, way) = (step + 1, ways.next().flatten());
            self.depart(Journey { snapshot, route, step, event, key, at_ms, tries: 0, owed, scope, way });
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
                self.note(&journey, step, &Outcome::Drop("on_error: drop".into()));
                self.metrics.dropped("plugin_error", 1);
                self.recorder.spans.end(journey.way, "dropped", 0, None);
                journey.owed.settle();
            }
            OnError::Retry if failed.transient && journey.tries <= journey.snapshot.max_retries => {
                self.held.hold(journey);
            }
            OnError::Retry | OnError::DeadLetter => self.bury(journey, step, failed.reason),
        }
        None
    }

    fn note(&mut self, journey: &Journey, step: &Step, outcome: &Outcome) {
        let route = journey.snapshot.routes[journey.route].name.as_str();
        let place = (route, journey.step);
        self.recorder.step(journey.owed.identity(), place, step.label(), &journey.event, outcome);
    }

    fn bury(&mut self, mut journey: Journey, step: &Step, reason: String) {
        self.recorder.spans.end(journey.way.take(), "dead_letter", 0, Some(&reason));
        if !journey.snapshot.dead_letters {
            self.metrics.dropped("dead_letters_disabled", 1);
            return journey.owed.settle();
        }
        let plugin = &step.spec().plugin;
        let place = Place::Step { index: journey.step, plugin: plugin.name.clone(), digest: plugin.digest };
        let names = (journey.route().name.as_str(), plugin.name.as_str());
        self.recorder.buried(journey.owed.identity(), names, now_ms(), &reason);
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

    fn deliver(&mut self, mut journey: Journey) {
        let snapshot = Arc::clone(&journey.snapshot);
        self.outbox.follow(&snapshot);
        let (mut lanes, mut last) = (0, None);
        let route = &snapshot.routes[journey.route];
        for lane in &route.lanes {
            if !self.is_for(&journey, &snapshot.lanes[*lane]) {
                continue;
            }
            lanes += 1;
            if let Some(lane) = last.replace(*lane) {
                self.outbox.send(lane, journey.shared().outgoing());
            }
        }
        self.recorder.sent(journey.owed.identity(), route.name.as_str(), lanes);
        self.recorder.spans.end(journey.way.take(), "sent", lanes, None);
        match last {
            Some(lane) => self.outbox.send(lane, journey.outgoing()),
            None => journey.owed.settle(),
        }
    }

    /// Whether the lane is to get it now; one that is behind gets it when it is read again.
    fn is_for(&self, journey: &Journey, lane: &Lane) -> bool {
        let meant = match &journey.scope {
            Scope::Lane(name) => name == lane.name(),
            Scope::All | Scope::Taker(_) | Scope::Route(..) => true,
        };
        meant && !self.outbox.lagging.reads_again(lane.name(), journey.owed.offset())
    }

    /// Lets go on what was held and is due, each key in its order.
    fn resume(&mut self) {
        while let Some(mut queue) = self.held.due(Instant::now()) {
            if let Some(journey) = queue.pop_front() {
                let (route, key) = (journey.route().name.clone(), journey.key);
                self.travel(journey);
                self.follow(&route, key, queue);
            }
        }
    }

    /// Lets events of a key go on that have waited, until one of them has to wait again.
    fn follow(&mut self, route: &RouteName, key: u64, mut queue: VecDeque<Journey>) {
        while !self.held.waits(route.as_str(), key) {
            let Some(journey) = queue.pop_front() else { return };
            self.travel(journey);
        }
        self.held.behind(route, key, queue);
    }
}
