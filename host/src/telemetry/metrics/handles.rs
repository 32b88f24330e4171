//! The handles that steps and lanes count by: resolved once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::declare::{Histograms, Traced};
use super::histogram::Histogram;
use super::labels::{Consumer, Failure, Lane, Own, Step, TraceLabel};
use super::{Metrics, set};
use crate::names::Digest;

/// Counters of what one route leaves out, resolved.
#[derive(Clone, Debug, Default)]
pub struct LeftOutMetrics {
    /// Not of its `sample`.
    pub not_sampled: Counter,
    /// Seen within the window of its `dedup`.
    pub duplicates: Counter,
    /// Beyond its `rate`.
    pub rate: Counter,
    /// Passed unseen: the memory of its `dedup` was full.
    pub unseen: Counter,
}

/// What a version of a step calls its own.
pub(super) type Names = Arc<Mutex<BTreeSet<String>>>;

/// Counters of one step, resolved.
#[derive(Clone, Debug)]
pub struct StepMetrics {
    /// Handed on.
    pub kept: Counter,
    /// Dropped by the plugin.
    pub dropped: Counter,
    /// Failed, after the second try.
    pub failed: Counter,
    /// Traps, time-outs and broken limits.
    pub traps: Counter,
    /// Seconds of a call.
    pub time: Histogram,
    pub(super) memory: Family<Step, Gauge>,
    pub(super) state: Family<Step, Gauge>,
    pub(super) counts: Family<Own, Counter>,
    pub(super) observations: Histograms<Own>,
    pub(super) label: Step,
    pub(super) names: Names,
    /// As long as anybody has it, the step is shown.
    pub(super) _user: Arc<()>,
}

impl StepMetrics {
    /// The most counters, and the most histograms, of its own that a step may have; more are left out.
    pub const MOST_OWN: usize = 32;

    /// The step's own counter of that name.
    pub fn count(&self, name: &str) -> Counter {
        self.names.lock().insert(name.to_owned());
        self.counts.get_or_create_owned(&self.own(name))
    }

    /// The step's own histogram of that name.
    pub fn observation(&self, name: &str) -> Histogram {
        self.names.lock().insert(name.to_owned());
        self.observations.get_or_create_owned(&self.own(name))
    }

    /// Sets the bytes of its largest instance, and of its state where it has one.
    pub fn shows(&self, memory: u64, state: Option<u64>) {
        set(&self.memory.get_or_create(&self.label), memory);
        if let Some(state) = state {
            set(&self.state.get_or_create(&self.label), state);
        }
    }

    fn own(&self, name: &str) -> Own {
        let Step { route, step, plugin, .. } = self.label.clone();
        Own { route, step, plugin, name: name.to_owned() }
    }

    /// Counters that nobody shows, for tests.
    pub fn detached() -> Self {
        Metrics::new().step(&"test".into(), 0, &"test".into(), Digest([0; 32]))
    }
}

/// Counters of one lane, resolved.
#[derive(Clone, Debug)]
pub struct LaneMetrics {
    /// Confirmed by the backend.
    pub published: Counter,
    pub(super) failures: Family<Failure, Counter>,
    /// Tries that failed, whatever their class. Not shown by itself.
    pub failures_in_all: Counter,
    pub(super) label: Lane,
    /// Tries after the first.
    pub retries: Counter,
    /// Events that became dead letters.
    pub dead: Counter,
    /// Events that went to the overflow on disk.
    pub overflowed: Counter,
    /// Events that found no room and wait in the journal.
    pub refused: Counter,
    /// The breaker: 0 closed, 1 half-open, 2 open.
    pub breaker: Gauge,
    /// Events waiting in memory.
    pub queued: Gauge,
    /// Bytes waiting on disk.
    pub overflow_bytes: Gauge,
    /// Whether it has its connection.
    pub up: Gauge,
    /// Whether an operator has stopped it.
    pub paused: Gauge,
    /// Seconds from the event's `time` to confirmation.
    pub age: Histogram,
    pub(super) latency: Traced,
    /// What reads from the backend.
    pub consumers: ConsumerMetrics,
}

impl LaneMetrics {
    /// Counts a try that failed, by its class: a fixed word.
    pub fn failed(&self, class: &'static str) {
        self.failures_in_all.inc();
        let backend = self.label.backend.clone();
        self.failures.get_or_create(&Failure { backend, class }).inc();
    }

    /// Measures seconds from acceptance to confirmation, with the trace of the event where that is recorded.
    pub fn confirmed(&self, seconds: f64, trace: Option<u128>) {
        let label = trace.map(|trace| TraceLabel { trace_id: format!("{trace:032x}") });
        self.latency.observe(seconds, label, trace.map(|_| SystemTime::now()));
    }

    /// Metrics that nobody shows, for tests.
    pub fn detached() -> Self {
        Metrics::new().lane(&"test".into())
    }
}

/// Gauges of a backend's consumer groups.
#[derive(Clone, Debug)]
pub struct ConsumerMetrics {
    pub(super) lag: Family<Consumer, Gauge>,
    pub(super) pending: Family<Consumer, Gauge>,
    pub(super) errors: Family<Lane, Counter>,
    pub(super) backend: String,
}

impl ConsumerMetrics {
    /// Shows a group; what is not known is not shown.
    pub fn show(&self, consumer: &str, lag: Option<u64>, pending: Option<u64>) {
        let label = Consumer { backend: self.backend.clone(), consumer: consumer.to_owned() };
        for (family, value) in [(&self.lag, lag), (&self.pending, pending)] {
            match value {
                Some(value) => set(&family.get_or_create(&label), value),
                None => _ = family.remove(&label),
            }
        }
    }

    /// Counts a look that failed.
    pub fn failed(&self) {
        self.errors.get_or_create(&Lane { backend: self.backend.clone() }).inc();
    }
}

/// Counters of the spans.
#[derive(Clone, Debug)]
pub struct TraceMetrics {
    /// Taken by the collector.
    pub exported: Counter,
    /// Left out, because too many waited.
    pub dropped_by_queue: Counter,
    /// Left out, because the collector did not take them.
    pub dropped_by_collector: Counter,
}
