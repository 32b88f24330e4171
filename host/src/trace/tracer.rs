//! Whether an event's way is traced, which its own attributes decide, and where spans wait for the exporter.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::context::{Context, PARENT, STATE, derived};
use super::span::{About, Error, Span, What};
use crate::Event;
use crate::clock::now_ns;
use crate::event::OwnedValue;
use crate::telemetry::metrics::TraceMetrics;

/// Which events are traced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// The share, from 0 to 1, of those that bring no trace.
    pub ratio: f64,
    /// Follow the trace that an event brings, if that is recorded, and only then. Otherwise the share is taken of all.
    pub parent_based: bool,
}

impl Sampling {
    /// Whether a trace is recorded: the same answer wherever it is asked.
    fn takes(self, context: Context) -> bool {
        if self.parent_based { context.is_sampled() } else { self.draws(context.trace) }
    }

    /// As OpenTelemetry's sampler by ratio, by the lower half of the trace's id.
    fn draws(self, trace: u128) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
        let drawn = (trace as u64) >> 1;
        (drawn as f64) < self.ratio * (i64::MAX as f64)
    }
}

/// What a transport said about the trace of a message, beside its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    parent: Context,
    state: Option<String>,
}

impl Carried {
    /// From the values of the headers `traceparent` and `tracestate`.
    pub fn read(parent: &str, state: Option<&str>) -> Option<Self> {
        Some(Self { parent: Context::parse(parent)?, state: state.map(str::to_owned) })
    }
}

/// Decides, and takes spans. Clones are handles to the same one.
#[derive(Clone)]
pub struct Tracer(Arc<Shared>);

struct Shared {
    sampling: Sampling,
    /// What tells this host's own traces from those of others.
    salt: u64,
    waiting: Mutex<Vec<Span>>,
    most: usize,
    filled: Notify,
    closed: AtomicBool,
    metrics: TraceMetrics,
}

/// An event that is on its way into the journal.
pub struct Arrival {
    context: Context,
    parent: u64,
    about: Arc<About>,
    link: Option<Context>,
    begun: u64,
}

/// Spans that make a batch of the exporter.
pub(super) const BATCH: usize = 512;

impl Tracer {
    /// One that keeps at most so many spans for the exporter. `place` tells the host from others, also after a restart.
    pub fn new(sampling: Sampling, most: usize, place: &str, metrics: TraceMetrics) -> Self {
        let salt = derived(Context::sampled(1, 1), &[place.as_bytes()]);
        Self(Arc::new(Shared {
            sampling,
            salt,
            waiting: Mutex::default(),
            most,
            filled: Notify::new(),
            closed: AtomicBool::new(false),
            metrics,
        }))
    }

    /// The trace that the event is recorded in, if it is.
    pub(super) fn recorded(&self, event: &Event) -> Option<Context> {
        Context::of(event).filter(|context| self.0.sampling.takes(*context))
    }

    /// The trace that the event says it belongs to, and whether that is recorded.
    pub(super) fn of(&self, event: &Event) -> Option<(Context, bool)> {
        Context::of(event).map(|context| (context, self.0.sampling.takes(context)))
    }

    /// The span of an event's arrival: where this host began the trace, the span that the event names.
    pub(super) fn arrival_of(&self, context: Context, event: &Event) -> u64 {
        if context.span == self.first_span(context.trace) {
            return context.span;
        }
        derived(context, &[event.source().as_bytes(), event.id().as_bytes()])
    }

    /// The first span of a trace that this host begins.
    fn first_span(&self, trace: u128) -> u64 {
        derived(Context::sampled(trace, self.0.salt), &[])
    }

    /// Lets events in: those without the tracing extension get it, from the transport or as the first of a new trace.
    ///
    /// CloudEvents' extension names the start of a transmission and is not changed on its way; middleware may add one
    /// where there is none ("Using the Distributed Tracing Extension").
    pub fn enter(&self, events: &mut [Event], carried: Option<&Carried>) -> Vec<Arrival> {
        let begun = now_ns();
        events.iter_mut().filter_map(|event| self.enter_one(event, carried, begun)).collect()
    }

    fn enter_one(&self, event: &mut Event, carried: Option<&Carried>, begun: u64) -> Option<Arrival> {
        let own = Context::of(event);
        let (context, parent, link) = match (own, carried) {
            (Some(own), Some(carried)) if own.trace == carried.parent.trace => {
                // The nearer of the two: whatever sent the message may have recorded its own.
                (own, carried.parent.span, None)
            }
            (Some(own), carried) => (own, own.span, carried.map(|carried| carried.parent)),
            (None, Some(carried)) => {
                put(event, carried.parent, carried.state.as_deref());
                (carried.parent, carried.parent.span, None)
            }
            (None, None) => {
                let trace = fastrand::u128(1..);
                if !self.0.sampling.draws(trace) {
                    return None;
                }
                let context = Context::sampled(trace, self.first_span(trace));
                put(event, context, None);
                (context, 0, None)
            }
        };
        self.0.sampling.takes(context).then(|| Arrival {
            context: context.child(self.arrival_of(context, event)),
            parent,
            about: About::new(event),
            link,
            begun,
        })
    }

    /// The journal has them, or why it has not.
    pub fn entered(&self, arrivals: Vec<Arrival>, ingress: &'static str, refused: Option<&str>) {
        if arrivals.is_empty() {
            return;
        }
        let ended = now_ns();
        let span = |Arrival { context, parent, about, link, begun }| Span {
            context,
            parent,
            remote: true,
            begun,
            ended,
            about,
            what: What::Receive { ingress, link },
            error: refused.map(|text| Error::new("journal", text)),
        };
        self.take(arrivals.into_iter().map(span).collect());
    }

    /// Takes spans for the exporter; what is too much is left out and counted.
    pub(super) fn take(&self, mut spans: Vec<Span>) {
        let shared = &*self.0;
        let mut waiting = shared.waiting.lock();
        let room = shared.most.saturating_sub(waiting.len());
        if spans.len() > room {
            shared.metrics.dropped_by_queue.inc_by((spans.len() - room) as u64);
            spans.truncate(room);
        }
        waiting.append(&mut spans);
        let full = waiting.len() >= BATCH;
        drop(waiting);
        if full {
            shared.filled.notify_one();
        }
    }

    /// What waits for the exporter, the oldest first, at most one batch.
    pub(super) fn batch(&self) -> Vec<Span> {
        let mut waiting = self.0.waiting.lock();
        let count = waiting.len().min(BATCH);
        waiting.drain(..count).collect()
    }

    /// Waits until a batch is full.
    pub(super) async fn filled(&self) {
        self.0.filled.notified().await;
    }

    pub(super) fn metrics(&self) -> &TraceMetrics {
        &self.0.metrics
    }

    /// Ends the exporter once what waits is exported.
    pub(super) fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.filled.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }
}

/// Gives an event the extension that it lacks.
fn put(event: &mut Event, context: Context, state: Option<&str>) {
    let mut draft = event.edit();
    // Names and values that an attribute may have; what a transport's state holds beyond that is left out with all of it.
    let set = draft.set(PARENT, Some(OwnedValue::String(context.to_string()))).and_then(|()| {
        state.map_or(Ok(()), |state| draft.set(STATE, Some(OwnedValue::String(state.to_owned()))))
    });
    if let Ok(changed) = set.and_then(|()| draft.build()) {
        *event = changed;
    }
}

/// Gives what came out of a step the extension of what went in, where it has none: an event that a plugin makes is of
/// the same trace.
pub(super) fn inherit(event: &mut Event, from: Context, state: Option<&str>) {
    if event.attribute(PARENT).is_none() {
        put(event, from, state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    const PARENT_TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn tracer(ratio: f64, parent_based: bool) -> Tracer {
        Tracer::new(Sampling { ratio, parent_based }, 4, "here", Metrics::new().tracing())
    }

    fn event(parent: Option<&str>) -> Event {
        let draft = Event::builder("1", "s", "t").json(&b"{}"[..]);
        let draft = match parent {
            Some(parent) => draft.extension(PARENT, OwnedValue::String(parent.into())),
            None => draft,
        };
        draft.build().unwrap()
    }

    fn entered(tracer: &Tracer, event: Event, carried: Option<&Carried>) -> (Event, usize) {
        let mut events = [event];
        let count = tracer.enter(&mut events, carried).len();
        let [event] = events;
        (event, count)
    }

    #[test]
    fn a_recorded_parent_is_followed_and_another_never() {
        let unsampled = PARENT_TEXT.replace("-01", "-00");
        for ratio in [0.0, 1.0] {
            let tracer = tracer(ratio, true);
            let (after, count) = entered(&tracer, event(Some(PARENT_TEXT)), None);
            assert_eq!((after, count), (event(Some(PARENT_TEXT)), 1), "the extension is left as it was");
            assert_eq!(entered(&tracer, event(Some(&unsampled)), None), (event(Some(&unsampled)), 0));
        }
    }

    #[test]
    fn without_a_parent_the_share_decides_and_the_event_says_so_from_then_on() {
        let (never, always) = (tracer(0.0, true), tracer(1.0, true));
        assert_eq!(entered(&never, event(None), None), (event(None), 0));
        let (after, count) = entered(&always, event(None), None);
        let context = Context::of(&after).unwrap();
        assert_eq!((count, always.arrival_of(context, &after)), (1, context.span));
        // Another host has not begun it.
        let other =
            Tracer::new(Sampling { ratio: 0.0, parent_based: true }, 4, "there", Metrics::new().tracing());
        assert_ne!(other.arrival_of(context, &after), context.span);
        let share = tracer(0.25, true);
        let drawn = (0..4_000).filter(|_| entered(&share, event(None), None).1 == 1).count();
        assert!((800..1_200).contains(&drawn), "{drawn} of 4000");
    }

    #[test]
    fn the_transports_trace_becomes_the_events_where_it_has_none() {
        let tracer = tracer(0.0, true);
        let carried = Carried::read(PARENT_TEXT, Some("vendor=1")).unwrap();
        let (after, count) = entered(&tracer, event(None), Some(&carried));
        assert_eq!(Context::of(&after), Context::parse(PARENT_TEXT));
        assert_eq!(after.attribute(STATE).unwrap().to_string(), "vendor=1");
        assert_eq!((count, after.data()), (1, &b"{}"[..]));
    }

    #[test]
    fn of_two_traces_the_events_is_followed_and_the_transports_is_linked() {
        let tracer = tracer(0.0, true);
        let other = Carried::read(&PARENT_TEXT.replace("4bf9", "5bf9"), None).unwrap();
        let arrivals = tracer.enter(&mut [event(Some(PARENT_TEXT))], Some(&other));
        assert_eq!(arrivals[0].link, Some(other.parent));
        let nearer =
            Carried::read(&PARENT_TEXT.replace("00f067aa0ba902b7", "00f067aa0ba902b8"), None).unwrap();
        let arrivals = tracer.enter(&mut [event(Some(PARENT_TEXT))], Some(&nearer));
        assert_eq!((arrivals[0].parent, arrivals[0].link), (nearer.parent.span, None));
    }

    #[test]
    fn the_share_of_all_asks_no_parent() {
        let (never, always) = (tracer(0.0, false), tracer(1.0, false));
        assert_eq!(entered(&never, event(Some(PARENT_TEXT)), None).1, 0);
        assert_eq!(entered(&always, event(Some(&PARENT_TEXT.replace("-01", "-00"))), None).1, 1);
    }

    #[test]
    fn what_is_too_much_is_left_out_and_counted() {
        let metrics = Metrics::new();
        let tracer = Tracer::new(Sampling { ratio: 1.0, parent_based: true }, 4, "here", metrics.tracing());
        let mut events: Vec<_> = (0..7).map(|_| event(None)).collect();
        let arrivals = tracer.enter(&mut events, None);
        tracer.entered(arrivals, "http", None);
        assert_eq!((tracer.batch().len(), metrics.tracing().dropped_by_queue.get()), (4, 3));
    }
}
