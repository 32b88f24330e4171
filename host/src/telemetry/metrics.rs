//! Every metric: its name, help and labels. Rooms get handles that are resolved once, so that counting on the way of
//! an event is one atomic addition.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::names::{BackendName, PluginName, RouteName};

/// `reason` of a dropped, refused or failed event: a fixed word, never text of an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    reason: &'static str,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabel {
    route: String,
}

/// A step of a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StepLabel {
    route: String,
    step: u32,
    plugin: String,
}

/// A step's own counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CountLabel {
    route: String,
    step: u32,
    plugin: String,
    name: String,
}

/// A backend's lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LaneLabel {
    backend: String,
}

/// All metrics of a host.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Events accepted by an ingress.
    pub received: Counter,
    refused: Family<ReasonLabel, Counter>,
    dropped: Family<ReasonLabel, Counter>,
    matched: Family<RouteLabel, Counter>,
    /// Events that no route matched.
    pub unmatched: Counter,
    kept: Family<StepLabel, Counter>,
    step_dropped: Family<StepLabel, Counter>,
    step_failed: Family<StepLabel, Counter>,
    step_traps: Family<StepLabel, Counter>,
    counts: Family<CountLabel, Counter>,
    published: Family<LaneLabel, Counter>,
    failures: Family<LaneLabel, Counter>,
    retries: Family<LaneLabel, Counter>,
    dead: Family<LaneLabel, Counter>,
    overflowed: Family<LaneLabel, Counter>,
    lane_refused: Family<LaneLabel, Counter>,
    breaker: Family<LaneLabel, Gauge>,
    queued: Family<LaneLabel, Gauge>,
    latency: Family<LaneLabel, Histogram>,
    /// The generation of the active snapshot.
    pub generation: Gauge,
    /// Snapshots swapped in.
    pub swaps: Counter,
    /// Candidates refused.
    pub swaps_refused: Counter,
    journal_unsettled: Gauge,
    journal_bytes: Gauge,
}

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
    own: Family<CountLabel, Counter>,
    label: StepLabel,
}

impl StepMetrics {
    /// The most counters of its own that a step may have; `count` of more is left out.
    pub const MOST_COUNTS: usize = 32;

    /// The step's own counter of that name.
    pub fn own(&self, name: &str) -> Counter {
        let StepLabel { route, step, plugin } = self.label.clone();
        self.own.get_or_create(&CountLabel { route, step, plugin, name: name.to_owned() }).clone()
    }

    /// Counters that nobody shows, for tests.
    pub fn detached() -> Self {
        Metrics::new().step(&"test".into(), 0, &"test".into())
    }
}

/// Counters of one lane, resolved.
#[derive(Clone, Debug)]
pub struct LaneMetrics {
    /// Confirmed by the backend.
    pub published: Counter,
    /// Publishes that failed, each try counted.
    pub failures: Counter,
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
    /// Seconds from acceptance to confirmation.
    pub latency: Histogram,
}

impl LaneMetrics {
    /// Metrics that nobody shows, for tests.
    pub fn detached() -> Self {
        Metrics::new().lane(&"test".into())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Declares every metric.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("stagewire");
        let mut counter = |name: &str, help: &str| {
            let metric = Counter::<u64, AtomicU64>::default();
            registry.register(name, help, metric.clone());
            metric
        };
        let received = counter("events_received", "events accepted by an ingress");
        let unmatched = counter("events_unmatched", "events that no route matched");
        let swaps = counter("swaps", "snapshots swapped in");
        let swaps_refused = counter("swaps_refused", "candidate snapshots refused");
        let mut gauge = |name: &str, help: &str| {
            let metric = Gauge::default();
            registry.register(name, help, metric.clone());
            metric
        };
        let generation = gauge("snapshot_generation", "generation of the active snapshot");
        let journal_unsettled = gauge("journal_unsettled_events", "journalled events that are not settled");
        let journal_bytes = gauge("journal_size_bytes", "bytes of all journal segments");
        let latency = Family::<LaneLabel, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.000_25, 2.0, 18))
        });
        let metrics = Self {
            received,
            refused: Family::default(),
            dropped: Family::default(),
            matched: Family::default(),
            unmatched,
            kept: Family::default(),
            step_dropped: Family::default(),
            step_failed: Family::default(),
            step_traps: Family::default(),
            counts: Family::default(),
            published: Family::default(),
            failures: Family::default(),
            retries: Family::default(),
            dead: Family::default(),
            overflowed: Family::default(),
            lane_refused: Family::default(),
            breaker: Family::default(),
            queued: Family::default(),
            latency,
            generation,
            swaps,
            swaps_refused,
            journal_unsettled,
            journal_bytes,
            registry: Registry::default(),
        };
        registry.register("events_refused", "events refused by an ingress", metrics.refused.clone());
        registry.register("events_dropped", "events dropped by rule", metrics.dropped.clone());
        registry.register("route_matches", "events that a route matched", metrics.matched.clone());
        registry.register("plugin_kept", "events a step handed on", metrics.kept.clone());
        registry.register("plugin_dropped", "events a step dropped", metrics.step_dropped.clone());
        registry.register("plugin_failed", "events a step failed on", metrics.step_failed.clone());
        registry.register(
            "plugin_traps",
            "traps, time-outs and broken limits of a step",
            metrics.step_traps.clone(),
        );
        registry.register("plugin_count", "counters that plugins keep themselves", metrics.counts.clone());
        registry.register("events_published", "events confirmed by a backend", metrics.published.clone());
        registry.register(
            "publish_failures",
            "publishes that a backend did not confirm",
            metrics.failures.clone(),
        );
        registry.register("publish_retries", "tries after the first", metrics.retries.clone());
        registry.register("dead_letters", "events that became dead letters", metrics.dead.clone());
        registry.register(
            "lane_overflowed",
            "events that went to a lane's overflow",
            metrics.overflowed.clone(),
        );
        registry.register(
            "lane_refused",
            "events that found a lane full and wait in the journal",
            metrics.lane_refused.clone(),
        );
        registry.register(
            "lane_breaker",
            "breaker of a lane: 0 closed, 1 half-open, 2 open",
            metrics.breaker.clone(),
        );
        registry.register("lane_queued", "events waiting in a lane's memory", metrics.queued.clone());
        registry.register(
            "publish_latency_seconds",
            "seconds from acceptance to confirmation",
            metrics.latency.clone(),
        );
        Self { registry, ..metrics }
    }

    /// Counts refused events.
    pub fn refused(&self, reason: &'static str, count: u64) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc_by(count);
    }

    /// Counts events dropped by rule.
    pub fn dropped(&self, reason: &'static str, count: u64) {
        self.dropped.get_or_create(&ReasonLabel { reason }).inc_by(count);
    }

    /// The counter of a route's matches.
    pub fn route(&self, route: &RouteName) -> Counter {
        self.matched.get_or_create(&RouteLabel { route: route.to_string() }).clone()
    }

    /// The counters of a step.
    pub fn step(&self, route: &RouteName, index: usize, plugin: &PluginName) -> StepMetrics {
        let step = u32::try_from(index).unwrap_or(u32::MAX);
        let label = StepLabel { route: route.to_string(), step, plugin: plugin.to_string() };
        StepMetrics {
            kept: self.kept.get_or_create(&label).clone(),
            dropped: self.step_dropped.get_or_create(&label).clone(),
            failed: self.step_failed.get_or_create(&label).clone(),
            traps: self.step_traps.get_or_create(&label).clone(),
            own: self.counts.clone(),
            label,
        }
    }

    /// The counters of a lane.
    pub fn lane(&self, backend: &BackendName) -> LaneMetrics {
        let label = LaneLabel { backend: backend.to_string() };
        LaneMetrics {
            published: self.published.get_or_create(&label).clone(),
            failures: self.failures.get_or_create(&label).clone(),
            retries: self.retries.get_or_create(&label).clone(),
            dead: self.dead.get_or_create(&label).clone(),
            overflowed: self.overflowed.get_or_create(&label).clone(),
            refused: self.lane_refused.get_or_create(&label).clone(),
            breaker: self.breaker.get_or_create(&label).clone(),
            queued: self.queued.get_or_create(&label).clone(),
            latency: self.latency.get_or_create(&label).clone(),
        }
    }

    /// Sets what the journal says of itself.
    pub fn journal(&self, unsettled: u64, bytes: u64) {
        self.journal_unsettled.set(i64::try_from(unsettled).unwrap_or(i64::MAX));
        self.journal_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// All of it in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
