//! What one worker or one lane notes of the events that are traced. Where none is, each call is one comparison.

use std::sync::Arc;

use super::context::{Context, STATE, derived};
use super::span::{About, Destination, Error, Span, What, cut};
use super::tracer::{Tracer, inherit};
use crate::Event;
use crate::clock::now_ns;
use crate::event::Value;
use crate::names::{BackendName, RouteName};
use crate::plugins::Outcome;

/// Spans at which they are handed over.
const FULL: usize = 64;

/// Takes spans. Belongs to one thread or task; [`Spans::flush`] hands them over.
pub struct Spans {
    tracer: Option<Tracer>,
    waiting: Vec<Span>,
}

/// The span of an event's way along one route, while it lasts.
#[derive(Debug)]
pub struct Way {
    context: Context,
    /// What the event itself says.
    own: Context,
    state: Option<String>,
    parent: u64,
    begun: u64,
    route: RouteName,
    generation: u64,
    about: Arc<About>,
    /// Of several events that came out of a step the last one ends it.
    ends: bool,
}

/// The span of one try to deliver an event, before it is made: its receiver is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Try {
    /// What the receiver is told.
    context: Context,
    parent: u64,
    recorded: bool,
}

impl Try {
    /// Its span.
    pub fn context(&self) -> Context {
        self.context
    }

    fn recorded(&self) -> Option<u128> {
        self.recorded.then_some(self.context.trace)
    }
}

/// The tries of a batch that has traced events among it, which most have few of: each with its event's place in the batch, in
/// the order of these.
#[derive(Debug, Default)]
pub struct Tries(Vec<(usize, Try)>);

impl Tries {
    /// Adds that of the next event, if there is one; what its receiver is told.
    pub fn add(&mut self, place: usize, this: Option<Try>) -> Option<Context> {
        let this = this?;
        self.0.push((place, this));
        Some(this.context)
    }

    /// The trace of the event at that place, where it is recorded.
    pub fn recorded(&self, place: usize) -> Option<u128> {
        let found = self.0.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        self.0[found].1.recorded()
    }

    /// Those that are recorded, each with its event's place.
    pub fn all_recorded(&self) -> impl Iterator<Item = (usize, Try)> {
        self.0.iter().copied().filter(|(_, this)| this.recorded)
    }
}

/// A publish: when it began, Unix nanoseconds, and how many events were in it.
#[derive(Clone, Copy, Debug)]
pub struct Publish {
    begun: u64,
    ended: u64,
    count: usize,
}

impl Publish {
    /// One that begins now.
    pub fn begin(count: usize) -> Self {
        Self { begun: now_ns(), ended: 0, count }
    }

    /// And ends.
    #[must_use]
    pub fn end(self) -> Self {
        Self { ended: now_ns(), ..self }
    }
}

fn route_span(own: Context, identity: Option<u64>, route: &RouteName) -> u64 {
    derived(own, &[&identity.unwrap_or(u64::MAX).to_le_bytes(), route.as_str().as_bytes()])
}

impl Spans {
    /// One that hands its spans to a tracer; without one it takes none.
    pub fn new(tracer: Option<Tracer>) -> Self {
        Self { tracer, waiting: Vec::new() }
    }

    /// Whether anything is traced at all.
    pub fn are_on(&self) -> bool {
        self.tracer.is_some()
    }

    /// An event sets out along a route.
    pub fn set_out(
        &self,
        event: &Event,
        identity: Option<u64>,
        route: &RouteName,
        generation: u64,
    ) -> Option<Box<Way>> {
        let tracer = self.tracer.as_ref()?;
        let own = tracer.recorded(event)?;
        let state = match event.attribute(STATE) {
            Some(Value::String(state)) => Some(state.to_owned()),
            _ => None,
        };
        Some(Box::new(Way {
            context: own.child(route_span(own, identity, route)),
            own,
            state,
            parent: tracer.arrival_of(own, event),
            begun: now_ns(),
            route: route.clone(),
            generation,
            about: About::new(event),
            ends: true,
        }))
    }

    /// A step was passed, that began then.
    pub fn step(&mut self, way: &Way, begun: u64, step: usize, plugin: &str, outcome: &Outcome) {
        let (verdict, reason) = match outcome {
            Outcome::Keep => ("keep", ""),
            Outcome::Drop(reason) => ("drop", reason.as_str()),
            Outcome::Out(events) if events.len() == 1 => ("change", ""),
            Outcome::Out(_) => ("split", ""),
            Outcome::Failed(failed) => ("fail", failed.reason.as_str()),
        };
        let error = matches!(outcome, Outcome::Failed(_)).then(|| Error::new("plugin", reason));
        let what = What::Step {
            route: way.route.clone(),
            step,
            plugin: plugin.to_owned(),
            verdict,
            reason: cut(reason),
        };
        self.put(Span {
            context: way.context.child(fastrand::u64(1..)),
            parent: way.context.span,
            remote: false,
            begun,
            ended: now_ns(),
            about: Arc::clone(&way.about),
            what,
            error,
        });
    }

    /// When something begins: to be asked only for what is traced.
    pub fn clock() -> u64 {
        now_ns()
    }

    /// The way ends: `outcome` is a fixed word.
    pub fn end(&mut self, way: Option<Box<Way>>, outcome: &'static str, lanes: usize, error: Option<&str>) {
        let Some(way) = way.filter(|way| way.ends) else { return };
        let Way { context, parent, begun, route, generation, about, .. } = *way;
        self.put(Span {
            context,
            parent,
            remote: false,
            begun,
            ended: now_ns(),
            about,
            what: What::Route { route, generation, outcome, lanes },
            error: error.map(|text| Error::new(outcome, text)),
        });
    }

    /// The try to deliver an event that is about to be made.
    pub fn try_out(&self, event: &Event, identity: Option<u64>, route: &RouteName) -> Option<Try> {
        let (own, recorded) = self.tracer.as_ref()?.of(event)?;
        if !recorded {
            // Whoever follows it is told that nobody records.
            return Some(Try { context: own, parent: 0, recorded });
        }
        let context = own.child(fastrand::u64(1..));
        Some(Try { context, parent: route_span(own, identity, route), recorded })
    }

    /// The outcome of a try: what the receiver said, or the failure's class and text.
    pub fn tried(
        &mut self,
        this: Try,
        (event, route): (&Event, &RouteName),
        to: &Arc<Destination>,
        (publish, tries): (Publish, u32),
        outcome: Result<String, (&'static str, String)>,
    ) {
        let (receipt, error) = match outcome {
            Ok(receipt) => (receipt, None),
            Err((class, text)) => (String::new(), Some(Error::new(class, &text))),
        };
        self.put(Span {
            context: this.context,
            parent: this.parent,
            remote: false,
            begun: publish.begun,
            ended: publish.ended,
            about: About::new(event),
            what: What::Send {
                route: route.clone(),
                to: Arc::clone(to),
                tries,
                batch: publish.count,
                receipt,
            },
            error,
        });
    }

    /// A publish that several traced events were in: a trace of its own, with links to theirs.
    pub fn published(&mut self, events: Vec<Context>, to: &Arc<Destination>, publish: Publish) {
        let about =
            About { id: String::new(), source: String::new(), kind: String::new(), subject: None, size: 0 };
        self.put(Span {
            context: Context::sampled(fastrand::u128(1..), fastrand::u64(1..)),
            parent: 0,
            remote: false,
            begun: publish.begun,
            ended: publish.ended,
            about: Arc::new(about),
            what: What::Batch { to: Arc::clone(to), events, count: publish.count },
            error: None,
        });
    }

    /// A lane has given an event up.
    pub fn buried(
        &mut self,
        event: &Event,
        identity: Option<u64>,
        route: &RouteName,
        backend: &BackendName,
        reason: &str,
    ) {
        let Some(own) = self.tracer.as_ref().and_then(|tracer| tracer.recorded(event)) else { return };
        let at = now_ns();
        self.put(Span {
            context: own.child(fastrand::u64(1..)),
            parent: route_span(own, identity, route),
            remote: false,
            begun: at,
            ended: at,
            about: About::new(event),
            what: What::Bury { route: route.clone(), backend: backend.clone() },
            error: Some(Error::new("dead_letter", reason)),
        });
    }

    /// Hands over what was noted.
    pub fn flush(&mut self) {
        if let Some(tracer) = self.tracer.as_ref().filter(|_| !self.waiting.is_empty()) {
            tracer.take(std::mem::take(&mut self.waiting));
        }
    }

    fn put(&mut self, span: Span) {
        self.waiting.push(span);
        if self.waiting.len() >= FULL {
            self.flush();
        }
    }
}

impl Way {
    /// The ways of `count` events that came out of a step in place of one: the last goes on with the span, the others
    /// are in it. An event that says nothing of a trace belongs to this one. None at all where nothing is traced.
    pub fn split(this: Option<Box<Self>>, events: &mut [Event]) -> Vec<Option<Box<Self>>> {
        let Some(way) = this else { return Vec::new() };
        events.iter_mut().for_each(|event| inherit(event, way.own, way.state.as_deref()));
        let beside = |_| Some(Box::new(way.within()));
        let mut ways: Vec<_> = (1..events.len()).map(beside).collect();
        ways.push(Some(way));
        ways
    }

    /// That of an event which passes its route again, for a lane that was full: the span was taken the first time.
    #[must_use]
    pub fn once_more(mut self: Box<Self>) -> Box<Self> {
        self.ends = false;
        self
    }

    fn within(&self) -> Self {
        Self {
            route: self.route.clone(),
            state: self.state.clone(),
            about: Arc::clone(&self.about),
            ends: false,
            ..*self
        }
    }
}
