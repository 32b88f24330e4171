//! Every metric: its name, help and labels. Rooms get handles that are resolved once, so that counting on the way of
//! an event is one atomic addition.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
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

/// What a privacy rule did: `reject`, `remove` or `mask`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ActionLabel {
    action: &'static str,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabel {
    route: String,
}

/// A route, and why it left an event out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LeftOutLabel {
    route: String,
    reason: &'static str,
}

/// A step of a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StepLabel {
    route: String,
    step: u32,
    plugin: String,
}

/// An event type; `other` once there are [`Metrics::MOST_TYPES`] of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TypeLabel {
    r#type: String,
}

/// A backend's lane, and what sort of failure it was.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FailureLabel {
    backend: String,
    class: &'static str,
}

/// A step's own counter or histogram.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OwnLabel {
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
    /// Bytes of data of accepted events.
    pub payload: Histogram,
    by_type: Family<TypeLabel, Counter>,
    types: Mutex<HashSet<String>>,
    privacy: Family<ActionLabel, Counter>,
    refused: Family<ReasonLabel, Counter>,
    dropped: Family<ReasonLabel, Counter>,
    /// Events dropped by rule, whatever the reason; the sum of a family cannot be asked for. Not shown by itself.
    pub dropped_by_rule: Counter,
    /// Events refused by an ingress, as [`Self::dropped_by_rule`].
    pub refused_in_all: Counter,
    matched: Family<RouteLabel, Counter>,
    left_out: Family<LeftOutLabel, Counter>,
    dedup_full: Family<RouteLabel, Counter>,
    condition_errors: Family<RouteLabel, Counter>,
    /// Payloads that a condition had parsed.
    pub payloads_parsed: Counter,
    /// Events that no route matched.
    pub unmatched: Counter,
    kept: Family<StepLabel, Counter>,
    step_dropped: Family<StepLabel, Counter>,
    step_failed: Family<StepLabel, Counter>,
    step_traps: Family<StepLabel, Counter>,
    counts: Family<OwnLabel, Counter>,
    observations: Family<OwnLabel, Histogram>,
    published: Family<LaneLabel, Counter>,
    failures: Family<FailureLabel, Counter>,
    failures_in_all: Family<LaneLabel, Counter>,
    retries: Family<LaneLabel, Counter>,
    dead: Family<LaneLabel, Counter>,
    overflowed: Family<LaneLabel, Counter>,
    lane_refused: Family<LaneLabel, Counter>,
    breaker: Family<LaneLabel, Gauge>,
    queued: Family<LaneLabel, Gauge>,
    latency: Family<LaneLabel, Histogram>,
    age: Family<LaneLabel, Histogram>,
    step_time: Family<StepLabel, Histogram>,
    dead_letters: Gauge,
    journal_oldest: Gauge,
    /// The generation of the active snapshot.
    pub generation: Gauge,
    /// Snapshots swapped in.
    pub swaps: Counter,
    /// Candidates refused.
    pub swaps_refused: Counter,
    journal_unsettled: Gauge,
    journal_bytes: Gauge,
}

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
    counts: Family<OwnLabel, Counter>,
    observations: Family<OwnLabel, Histogram>,
    label: StepLabel,
}

impl StepMetrics {
    /// The most counters, and the most histograms, of its own that a step may have; more are left out.
    pub const MOST_OWN: usize = 32;

    /// The step's own counter of that name.
    pub fn count(&self, name: &str) -> Counter {
        self.counts.get_or_create(&self.own(name)).clone()
    }

    /// The step's own histogram of that name.
    pub fn observation(&self, name: &str) -> Histogram {
        self.observations.get_or_create(&self.own(name)).clone()
    }

    fn own(&self, name: &str) -> OwnLabel {
        let StepLabel { route, step, plugin } = self.label.clone();
        OwnLabel { route, step, plugin, name: name.to_owned() }
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
    failures: Family<FailureLabel, Counter>,
    /// Tries that failed, whatever their class. Not shown by itself.
    pub failures_in_all: Counter,
    label: LaneLabel,
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
    /// Seconds from the event's `time` to confirmation.
    pub age: Histogram,
}

impl LaneMetrics {
    /// Counts a try that failed, by its class: a fixed word.
    pub fn failed(&self, class: &'static str) {
        self.failures_in_all.inc();
        let backend = self.label.backend.clone();
        self.failures.get_or_create(&FailureLabel { backend, class }).inc();
    }

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
        let payloads_parsed = counter("payloads_parsed", "payloads that a condition had parsed");
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
        let journal_oldest =
            gauge("journal_oldest_unsettled_seconds", "age of the oldest event that is not settled");
        let dead_letters = gauge("dead_letters_kept", "dead letters that wait for someone to act");
        let latency = Family::<LaneLabel, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.000_25, 2.0, 18))
        });
        // A plugin measures what it likes: lengths, seconds, scores.
        let observations = Family::<OwnLabel, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.000_1, 4.0, 20))
        });
        let age = Family::<LaneLabel, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.001, 2.0, 20))
        });
        let step_time = Family::<StepLabel, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.000_000_25, 2.0, 20))
        });
        let payload = Histogram::new(exponential_buckets(64.0, 4.0, 10));
        registry.register(
            "event_payload_bytes",
            "bytes of data of events that passed admission",
            payload.clone(),
        );
        let metrics = Self {
            payload,
            by_type: Family::default(),
            types: Mutex::default(),
            age,
            step_time,
            dead_letters,
            journal_oldest,
            received,
            privacy: Family::default(),
            refused: Family::default(),
            dropped: Family::default(),
            dropped_by_rule: Counter::default(),
            refused_in_all: Counter::default(),
            matched: Family::default(),
            left_out: Family::default(),
            dedup_full: Family::default(),
            condition_errors: Family::default(),
            payloads_parsed,
            unmatched,
            kept: Family::default(),
            step_dropped: Family::default(),
            step_failed: Family::default(),
            step_traps: Family::default(),
            counts: Family::default(),
            observations,
            published: Family::default(),
            failures: Family::default(),
            failures_in_all: Family::default(),
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
        registry.register(
            "privacy_events",
            "events that a privacy rule refused or changed",
            metrics.privacy.clone(),
        );
        registry.register("events_dropped", "events dropped by rule", metrics.dropped.clone());
        registry.register("route_matches", "events that a route matched", metrics.matched.clone());
        registry.register(
            "route_left_out",
            "events that a route left out: not_sampled, duplicate, rate",
            metrics.left_out.clone(),
        );
        registry.register(
            "route_dedup_full",
            "events that passed a route's dedup unseen, for want of memory",
            metrics.dedup_full.clone(),
        );
        registry.register(
            "condition_errors",
            "events for which a route's conditions could not be evaluated",
            metrics.condition_errors.clone(),
        );
        registry.register("plugin_kept", "events a step handed on", metrics.kept.clone());
        registry.register("plugin_dropped", "events a step dropped", metrics.step_dropped.clone());
        registry.register("plugin_failed", "events a step failed on", metrics.step_failed.clone());
        registry.register(
            "plugin_traps",
            "traps, time-outs and broken limits of a step",
            metrics.step_traps.clone(),
        );
        registry.register("plugin_count", "counters that plugins keep themselves", metrics.counts.clone());
        registry.register(
            "plugin_observation",
            "values that plugins measure themselves",
            metrics.observations.clone(),
        );
        registry.register("events_published", "events confirmed by a backend", metrics.published.clone());
        registry.register("events_by_type", "events that passed admission, by type", metrics.by_type.clone());
        registry.register(
            "publish_failures",
            "publishes that a backend did not confirm, by class",
            metrics.failures.clone(),
        );
        registry.register(
            "publish_age_seconds",
            "seconds from the event's time to confirmation",
            metrics.age.clone(),
        );
        registry.register(
            "plugin_call_seconds",
            "seconds of a plugin's call; one call in 16 is measured",
            metrics.step_time.clone(),
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
        self.refused_in_all.inc_by(count);
        self.refused.get_or_create(&ReasonLabel { reason }).inc_by(count);
    }

    /// Counts an event that a privacy rule refused or changed.
    pub fn privacy(&self, action: &'static str) {
        self.privacy.get_or_create(&ActionLabel { action }).inc();
    }

    /// Counts events dropped by rule.
    pub fn dropped(&self, reason: &'static str, count: u64) {
        self.dropped_by_rule.inc_by(count);
        self.dropped.get_or_create(&ReasonLabel { reason }).inc_by(count);
    }

    /// The counter of a route's matches.
    pub fn route(&self, route: &RouteName) -> Counter {
        self.matched.get_or_create(&RouteLabel { route: route.to_string() }).clone()
    }

    /// The counters of what a route leaves out.
    pub fn left_out(&self, route: &RouteName) -> LeftOutMetrics {
        let route = route.to_string();
        let counter =
            |reason| self.left_out.get_or_create(&LeftOutLabel { route: route.clone(), reason }).clone();
        LeftOutMetrics {
            not_sampled: counter("not_sampled"),
            duplicates: counter("duplicate"),
            rate: counter("rate"),
            unseen: self.dedup_full.get_or_create(&RouteLabel { route: route.clone() }).clone(),
        }
    }

    /// The counter of events for which a route's conditions could not be evaluated.
    pub fn condition_errors(&self, route: &RouteName) -> Counter {
        self.condition_errors.get_or_create(&RouteLabel { route: route.to_string() }).clone()
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
            time: self.step_time.get_or_create(&label).clone(),
            counts: self.counts.clone(),
            observations: self.observations.clone(),
            label,
        }
    }

    /// The counters of a lane.
    pub fn lane(&self, backend: &BackendName) -> LaneMetrics {
        let label = LaneLabel { backend: backend.to_string() };
        LaneMetrics {
            published: self.published.get_or_create(&label).clone(),
            failures: self.failures.clone(),
            failures_in_all: self.failures_in_all.get_or_create(&label).clone(),
            retries: self.retries.get_or_create(&label).clone(),
            dead: self.dead.get_or_create(&label).clone(),
            overflowed: self.overflowed.get_or_create(&label).clone(),
            refused: self.lane_refused.get_or_create(&label).clone(),
            breaker: self.breaker.get_or_create(&label).clone(),
            queued: self.queued.get_or_create(&label).clone(),
            latency: self.latency.get_or_create(&label).clone(),
            age: self.age.get_or_create(&label).clone(),
            label,
        }
    }

    /// The most event types that are counted apart. Types are the senders' choice, and each takes memory here and in whatever
    /// stores the metrics.
    pub const MOST_TYPES: usize = 100;

    /// The counter of an event type; that of `other` where there are too many.
    pub fn by_type(&self, kind: &str) -> Counter {
        let known = {
            let mut types = self.types.lock();
            let known = types.contains(kind);
            known || (types.len() < Self::MOST_TYPES && types.insert(kind.to_owned()))
        };
        let kind = if known { kind } else { "other" }.to_owned();
        self.by_type.get_or_create(&TypeLabel { r#type: kind }).clone()
    }

    /// Sets what the journal says of itself: events and seconds, bytes.
    pub fn journal(&self, unsettled: u64, oldest_seconds: u64, bytes: u64) {
        set(&self.journal_unsettled, unsettled);
        set(&self.journal_oldest, oldest_seconds);
        set(&self.journal_bytes, bytes);
    }

    /// Sets how many dead letters there are.
    pub fn dead_letters(&self, count: u64) {
        set(&self.dead_letters, count);
    }

    /// All of it in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// Sets a gauge that is never negative.
pub(crate) fn set(gauge: &Gauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_beyond_the_most_are_counted_together() {
        let metrics = Metrics::new();
        for number in 0..Metrics::MOST_TYPES + 50 {
            metrics.by_type(&format!("t{number}")).inc();
        }
        let text = metrics.render();
        let types: Vec<_> =
            text.lines().filter(|line| line.starts_with("stagewire_events_by_type_total")).collect();
        assert_eq!(types.len(), Metrics::MOST_TYPES + 1);
        assert!(
            types.iter().any(|line| line.contains(r#"type="other""#) && line.ends_with(" 50")),
            "{types:?}"
        );
    }
}
