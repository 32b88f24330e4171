//! Every metric: its name, unit, help and labels, declared in [`Metrics::new`] and nowhere else. Rooms get handles that are
//! resolved once, so that counting on the way of an event is one atomic addition.

mod declare;
mod handles;
mod histogram;
mod labels;
mod process;
#[cfg(test)]
mod reference;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use declare::Declared;
pub use handles::{ConsumerMetrics, LaneMetrics, LeftOutMetrics, StepMetrics, TraceMetrics};
pub use histogram::Histogram;

use crate::names::{BackendName, Digest, PluginName, RouteName};
use declare::{Declarations, Histograms, Traced};
use handles::Names;
use labels::{Action, Consumer, Failure, Lane, LeftOut, Own, Reason, Route, Step, Type, Version};

/// Versions of steps that are not in force any more and are shown all the same: what a roll-back compares with.
const MOST_GONE: usize = 64;

/// Enough of a plugin's digest to tell versions apart.
const DIGITS: usize = 12;

/// All metrics of a host.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    list: Vec<Declared>,
    /// Events accepted by an ingress.
    pub received: Counter,
    /// Bytes of data of accepted events.
    pub payload: Histogram,
    by_type: Family<Type, Counter>,
    /// The counters of the types so far: read for every event, and changed a hundred times at most.
    types: ArcSwap<HashMap<String, Counter>>,
    naming: Mutex<()>,
    privacy: Family<Action, Counter>,
    refused: Family<Reason, Counter>,
    dropped: Family<Reason, Counter>,
    /// Events dropped by rule, whatever the reason; the sum of a family cannot be asked for. Not shown by itself.
    pub dropped_by_rule: Counter,
    /// Events refused by an ingress, as [`Self::dropped_by_rule`].
    pub refused_in_all: Counter,
    matched: Family<Route, Counter>,
    left_out: Family<LeftOut, Counter>,
    dedup_full: Family<Route, Counter>,
    condition_errors: Family<Route, Counter>,
    /// Payloads that a condition had parsed.
    pub payloads_parsed: Counter,
    /// Events that no route matched.
    pub unmatched: Counter,
    steps: Steps,
    counts: Family<Own, Counter>,
    observations: Histograms<Own>,
    lanes: Lanes,
    dead_letters: Gauge,
    /// The generation of the active snapshot.
    pub generation: Gauge,
    /// Snapshots swapped in.
    pub swaps: Counter,
    /// Candidates refused.
    pub swaps_refused: Counter,
    /// What the journal says of itself.
    pub journal: JournalGauges,
    /// Notes of what became of events that were left out, in chunks.
    pub provenance_left_out: Counter,
    tracing: TraceMetrics,
}

/// What there is for each step.
#[derive(Clone, Debug)]
struct Steps {
    kept: Family<Step, Counter>,
    dropped: Family<Step, Counter>,
    failed: Family<Step, Counter>,
    traps: Family<Step, Counter>,
    time: Histograms<Step>,
    memory: Family<Step, Gauge>,
    state: Family<Step, Gauge>,
    /// Who is shown, the oldest first.
    shown: Arc<Mutex<Vec<Shown>>>,
}

/// A version of a step.
#[derive(Debug)]
struct Shown {
    label: Step,
    /// Whether anybody still counts there.
    user: Weak<()>,
    /// What it calls its own.
    names: Names,
}

impl Shown {
    fn is_gone(&self) -> bool {
        self.user.strong_count() == 0
    }

    /// Whether both are versions of the same step, which share what they call their own.
    fn is_version_of(&self, other: &Step) -> bool {
        let Step { route, step, plugin, .. } = &self.label;
        (route, step, plugin) == (&other.route, &other.step, &other.plugin)
    }
}

impl Steps {
    fn remove(&self, label: &Step) {
        self.kept.remove(label);
        self.dropped.remove(label);
        self.failed.remove(label);
        self.traps.remove(label);
        self.time.remove(label);
        self.memory.remove(label);
        self.state.remove(label);
    }

    /// Lets go of versions that were replaced long ago: each takes room here and in whatever stores the metrics. Returns them.
    fn tidy(&self) -> Vec<Own> {
        let mut shown = self.shown.lock();
        let mut too_many = shown.iter().filter(|shown| shown.is_gone()).count().saturating_sub(MOST_GONE);
        let (mut stay, mut gone) = (Vec::new(), Vec::new());
        for version in shown.drain(..) {
            if version.is_gone() && too_many > 0 {
                too_many -= 1;
                self.remove(&version.label);
                gone.push(version);
                continue;
            }
            if version.is_gone() {
                // Nothing of it is in memory any more.
                self.memory.remove(&version.label);
                self.state.remove(&version.label);
            }
            stay.push(version);
        }
        *shown = stay;
        let mut names = Vec::new();
        for Shown { label, names: own, .. } in gone {
            let versions = || shown.iter().filter(|other| other.is_version_of(&label));
            let used = |name: &String| versions().any(|other| other.names.lock().contains(name));
            let Step { route, step, plugin, .. } = &label;
            let of = |name: &String| Own {
                route: route.clone(),
                step: *step,
                plugin: plugin.clone(),
                name: name.clone(),
            };
            names.extend(own.lock().iter().filter(|name| !used(name)).map(of));
        }
        names
    }

    fn user(&self, label: &Step) -> (Arc<()>, Names) {
        let mut shown = self.shown.lock();
        let known = shown.iter().position(|known| known.label == *label);
        if let Some((user, known)) = known.and_then(|at| Some((shown[at].user.upgrade()?, &shown[at]))) {
            return (user, Arc::clone(&known.names));
        }
        // What it called its own before is still shown.
        let names = known.map(|at| shown.remove(at).names).unwrap_or_default();
        let user = Arc::new(());
        let version = Shown { label: label.clone(), user: Arc::downgrade(&user), names: Arc::clone(&names) };
        shown.push(version);
        (user, names)
    }
}

/// What there is for each lane.
#[derive(Debug)]
struct Lanes {
    published: Family<Lane, Counter>,
    failures: Family<Failure, Counter>,
    /// Not shown by itself.
    failures_in_all: Family<Lane, Counter>,
    retries: Family<Lane, Counter>,
    dead: Family<Lane, Counter>,
    overflowed: Family<Lane, Counter>,
    refused: Family<Lane, Counter>,
    breaker: Family<Lane, Gauge>,
    queued: Family<Lane, Gauge>,
    overflow_bytes: Family<Lane, Gauge>,
    up: Family<Lane, Gauge>,
    paused: Family<Lane, Gauge>,
    latency: Family<Lane, Traced>,
    age: Histograms<Lane>,
    lag: Family<Consumer, Gauge>,
    pending: Family<Consumer, Gauge>,
    poll_errors: Family<Lane, Counter>,
}

/// What the journal says of itself.
#[derive(Debug)]
pub struct JournalGauges {
    /// Events that are not settled.
    pub unsettled: Gauge,
    /// Their bytes.
    pub unsettled_bytes: Gauge,
    /// Seconds since the oldest of them was accepted.
    pub oldest: Gauge,
    /// Bytes of all segments.
    pub bytes: Gauge,
    /// Segment files.
    pub segments: Gauge,
    /// Whether it can write.
    pub writable: Gauge,
    /// Events that were let go of unsettled.
    pub lost: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Declares every metric.
    pub fn new() -> Self {
        let mut to = Declarations::new();
        let received = to.counter("events_received", "events accepted by an ingress");
        let by_type = to.counters("events_by_type", "events that passed admission, by type");
        let payload =
            to.histogram("event_payload_bytes", "bytes of data of events that passed admission", || {
                Histogram::exponential(64.0, 4.0, 10)
            });
        let refused = to.counters("events_refused", "events refused by an ingress");
        let privacy = to.counters("privacy_events", "events that a privacy rule refused or changed");
        let dropped = to.counters("events_dropped", "events dropped by rule");
        let matched = to.counters("route_matches", "events that a route matched");
        let left_out =
            to.counters("route_left_out", "events that a route left out: not_sampled, duplicate, rate");
        let dedup_full =
            to.counters("route_dedup_full", "events that passed a route's dedup unseen, for want of memory");
        let unmatched = to.counter("events_unmatched", "events that no route matched");
        let condition_errors =
            to.counters("condition_errors", "events for which a route's conditions could not be evaluated");
        let payloads_parsed = to.counter("payloads_parsed", "payloads that a condition had parsed");
        let steps = Steps {
            kept: to.counters("plugin_kept", "events a step handed on"),
            dropped: to.counters("plugin_dropped", "events a step dropped"),
            failed: to.counters("plugin_failed", "events a step failed on"),
            traps: to.counters("plugin_traps", "traps, time-outs and broken limits of a step"),
            time: to.family(
                "plugin_call_seconds",
                "seconds of a plugin's call; one call in 16 is measured",
                || Histogram::exponential(0.000_000_25, 2.0, 20),
            ),
            memory: to.gauges("plugin_memory_bytes", "bytes that the largest instance of a step has"),
            state: to.gauges("plugin_state_bytes", "bytes of a step's state, where it was granted one"),
            shown: Arc::default(),
        };
        let counts = to.counters("plugin_count", "counters that plugins keep themselves");
        // A plugin measures what it likes: lengths, seconds, scores.
        let observations = to.family("plugin_observation", "values that plugins measure themselves", || {
            Histogram::exponential(0.000_1, 4.0, 20)
        });
        let lanes = Lanes {
            published: to.counters("events_published", "events confirmed by a backend"),
            latency: to.family("publish_latency_seconds", "seconds from acceptance to confirmation", || {
                Traced::new(exponential_buckets(0.000_25, 2.0, 18))
            }),
            age: to.family("publish_age_seconds", "seconds from the event's time to confirmation", || {
                Histogram::exponential(0.001, 2.0, 20)
            }),
            failures: to.counters("publish_failures", "publishes that a backend did not confirm, by class"),
            failures_in_all: Family::default(),
            retries: to.counters("publish_retries", "tries after the first"),
            dead: to.counters("dead_letters", "events that became dead letters"),
            overflowed: to.counters("lane_overflowed", "events that went to a lane's overflow"),
            refused: to.counters("lane_refused", "events that found a lane full and wait in the journal"),
            breaker: to.gauges("lane_breaker", "breaker of a lane: 0 closed, 1 half-open, 2 open"),
            queued: to.gauges("lane_queued", "events waiting in a lane's memory"),
            overflow_bytes: to.gauges("lane_overflow_bytes", "bytes that wait in a lane's overflow on disk"),
            up: to.gauges("lane_up", "whether a lane has its connection: 1 or 0"),
            paused: to.gauges("lane_paused", "whether an operator has stopped a lane: 1 or 0"),
            lag: to
                .gauges("consumer_lag", "events of a backend that a consumer group has not been given yet"),
            pending: to.gauges(
                "consumer_pending",
                "events that a consumer group was given and has not acknowledged",
            ),
            poll_errors: to.counters("consumer_poll_errors", "looks at a backend's consumers that failed"),
        };
        let dead_letters = to.gauge("dead_letters_kept", "dead letters that wait for someone to act");
        let journal = JournalGauges {
            unsettled: to.gauge("journal_unsettled_events", "journalled events that are not settled"),
            unsettled_bytes: to
                .gauge("journal_unsettled_bytes", "bytes of journalled events that are not settled"),
            oldest: to
                .gauge("journal_oldest_unsettled_seconds", "age of the oldest event that is not settled"),
            bytes: to.gauge("journal_size_bytes", "bytes of all journal segments"),
            segments: to.gauge("journal_segments", "segment files of the journal"),
            writable: to.gauge("journal_writable", "whether the journal can write: 1 or 0"),
            lost: to.gauge(
                "journal_lost_tokens",
                "events let go of without being settled; handed out again after a restart",
            ),
        };
        let swaps = to.counter("swaps", "snapshots swapped in");
        let swaps_refused = to.counter("swaps_refused", "candidate snapshots refused");
        let generation = to.gauge("snapshot_generation", "generation of the active snapshot");
        let provenance_left_out = to.counter(
            "provenance_left_out",
            "chunks of notes that were left out because the disk was too slow",
        );
        let exported = to.counter("trace_spans_exported", "spans that the collector has taken");
        let lost: Family<Reason, Counter> = to.counters(
            "trace_spans_dropped",
            "spans left out: too many waited (queue), or the collector did not take them (collector)",
        );
        let lost_by = |reason| lost.get_or_create_owned(&Reason { reason });
        let tracing = TraceMetrics {
            exported,
            dropped_by_queue: lost_by("queue"),
            dropped_by_collector: lost_by("collector"),
        };
        to.info(
            "build",
            "the version of the host",
            Info::new(Version { version: env!("CARGO_PKG_VERSION") }),
        );
        let Declarations { registry, mut list } = to;
        list.extend(process::declared());
        Self {
            registry,
            list,
            received,
            payload,
            by_type,
            types: ArcSwap::default(),
            naming: Mutex::default(),
            privacy,
            refused,
            dropped,
            dropped_by_rule: Counter::default(),
            refused_in_all: Counter::default(),
            matched,
            left_out,
            dedup_full,
            condition_errors,
            payloads_parsed,
            unmatched,
            steps,
            counts,
            observations,
            lanes,
            dead_letters,
            generation,
            swaps,
            swaps_refused,
            journal,
            provenance_left_out,
            tracing,
        }
    }

    /// Every metric, in the order of the exposition.
    pub fn declared(&self) -> &[Declared] {
        &self.list
    }

    /// Counts refused events.
    pub fn refused(&self, reason: &'static str, count: u64) {
        self.refused_in_all.inc_by(count);
        self.refused.get_or_create(&Reason { reason }).inc_by(count);
    }

    /// Counts an event that a privacy rule refused or changed.
    pub fn privacy(&self, action: &'static str) {
        self.privacy.get_or_create(&Action { action }).inc();
    }

    /// Counts events dropped by rule.
    pub fn dropped(&self, reason: &'static str, count: u64) {
        self.dropped_by_rule.inc_by(count);
        self.dropped.get_or_create(&Reason { reason }).inc_by(count);
    }

    /// The counter of a route's matches.
    pub fn route(&self, route: &RouteName) -> Counter {
        self.matched.get_or_create_owned(&Route { route: route.to_string() })
    }

    /// The counters of what a route leaves out.
    pub fn left_out(&self, route: &RouteName) -> LeftOutMetrics {
        let route = route.to_string();
        let counter = |reason| self.left_out.get_or_create_owned(&LeftOut { route: route.clone(), reason });
        LeftOutMetrics {
            not_sampled: counter("not_sampled"),
            duplicates: counter("duplicate"),
            rate: counter("rate"),
            unseen: self.dedup_full.get_or_create_owned(&Route { route: route.clone() }),
        }
    }

    /// The counter of events for which a route's conditions could not be evaluated.
    pub fn condition_errors(&self, route: &RouteName) -> Counter {
        self.condition_errors.get_or_create_owned(&Route { route: route.to_string() })
    }

    /// The counters of a step.
    pub fn step(&self, route: &RouteName, index: usize, plugin: &PluginName, digest: Digest) -> StepMetrics {
        let step = u32::try_from(index).unwrap_or(u32::MAX);
        let (route, plugin) = (route.to_string(), plugin.to_string());
        let digest = digest.to_string();
        let digest = digest.trim_start_matches("sha256:")[..DIGITS].to_owned();
        let label = Step { route, step, plugin, digest };
        let steps = &self.steps;
        let (user, names) = steps.user(&label);
        // Also where nobody ever asks for the metrics.
        self.tidy();
        StepMetrics {
            kept: steps.kept.get_or_create_owned(&label),
            dropped: steps.dropped.get_or_create_owned(&label),
            failed: steps.failed.get_or_create_owned(&label),
            traps: steps.traps.get_or_create_owned(&label),
            time: steps.time.get_or_create_owned(&label),
            memory: steps.memory.clone(),
            state: steps.state.clone(),
            counts: self.counts.clone(),
            observations: self.observations.clone(),
            names,
            _user: user,
            label,
        }
    }

    /// The counters of a lane.
    pub fn lane(&self, backend: &BackendName) -> LaneMetrics {
        let label = Lane { backend: backend.to_string() };
        let lanes = &self.lanes;
        LaneMetrics {
            published: lanes.published.get_or_create_owned(&label),
            failures: lanes.failures.clone(),
            failures_in_all: lanes.failures_in_all.get_or_create_owned(&label),
            retries: lanes.retries.get_or_create_owned(&label),
            dead: lanes.dead.get_or_create_owned(&label),
            overflowed: lanes.overflowed.get_or_create_owned(&label),
            refused: lanes.refused.get_or_create_owned(&label),
            breaker: lanes.breaker.get_or_create_owned(&label),
            queued: lanes.queued.get_or_create_owned(&label),
            overflow_bytes: lanes.overflow_bytes.get_or_create_owned(&label),
            up: lanes.up.get_or_create_owned(&label),
            paused: lanes.paused.get_or_create_owned(&label),
            latency: lanes.latency.get_or_create_owned(&label),
            age: lanes.age.get_or_create_owned(&label),
            consumers: ConsumerMetrics {
                lag: lanes.lag.clone(),
                pending: lanes.pending.clone(),
                errors: lanes.poll_errors.clone(),
                backend: label.backend.clone(),
            },
            label,
        }
    }

    /// The counters of the spans.
    pub fn tracing(&self) -> TraceMetrics {
        self.tracing.clone()
    }

    /// The most event types that are counted apart. Types are the senders' choice, and each takes memory here and in whatever
    /// stores the metrics.
    pub const MOST_TYPES: usize = 100;

    /// Counts events of a type, as of `other` where there are too many types.
    pub fn count_type(&self, kind: &str, count: u64) {
        match self.types.load().get(kind) {
            Some(counter) => counter.inc_by(count),
            None => self.by_type(kind).inc_by(count),
        };
    }

    fn by_type(&self, kind: &str) -> Counter {
        let _one_at_a_time = self.naming.lock();
        let types = self.types.load();
        if let Some(counter) = types.get(kind) {
            return counter.clone();
        }
        if types.len() >= Self::MOST_TYPES {
            return self.by_type.get_or_create_owned(&Type { r#type: "other".into() });
        }
        let counter = self.by_type.get_or_create_owned(&Type { r#type: kind.to_owned() });
        let mut more = HashMap::clone(&types);
        more.insert(kind.to_owned(), counter.clone());
        self.types.store(Arc::new(more));
        counter
    }

    /// The event types that were counted; nothing where there were too many to count them apart.
    pub fn types(&self) -> Option<BTreeSet<String>> {
        let types = self.types.load();
        (types.len() < Self::MOST_TYPES).then(|| types.keys().cloned().collect())
    }

    /// Sets how many dead letters there are.
    pub fn dead_letters(&self, count: u64) {
        set(&self.dead_letters, count);
    }

    fn tidy(&self) {
        for own in self.steps.tidy() {
            self.counts.remove(&own);
            self.observations.remove(&own);
        }
    }

    /// All of it in the OpenMetrics text format.
    pub fn render(&self) -> String {
        self.tidy();
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode_registry(&mut text, &self.registry);
        process::render(&mut text);
        let _ = prometheus_client::encoding::text::encode_eof(&mut text);
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
            metrics.count_type(&format!("t{number}"), 1);
        }
        metrics.count_type("t3", 2);
        let text = metrics.render();
        let types: Vec<_> =
            text.lines().filter(|line| line.starts_with("stagewire_events_by_type_total")).collect();
        assert_eq!(types.len(), Metrics::MOST_TYPES + 1);
        assert!(
            types.iter().any(|line| line.contains(r#"type="other""#) && line.ends_with(" 50")),
            "{types:?}"
        );
        assert!(types.iter().any(|line| line.contains(r#"type="t3""#) && line.ends_with(" 3")), "{types:?}");
    }

    #[test]
    fn replaced_versions_stay_for_a_while_and_not_for_ever() {
        let metrics = Metrics::new();
        let step = |version: u8| metrics.step(&"r".into(), 0, &"p".into(), Digest([version; 32]));
        let in_force = step(255);
        in_force.kept.inc();
        for version in 0..200 {
            step(version).kept.inc();
        }
        let shown = metrics.render();
        let count = shown.lines().filter(|line| line.starts_with("stagewire_plugin_kept_total{")).count();
        assert_eq!(count, MOST_GONE + 1);
        assert!(shown.contains(r#"digest="ffffffffffff""#) && shown.contains(r#"digest="c7c7c7c7c7c7""#));
    }

    #[test]
    fn what_replaced_versions_called_their_own_goes_with_them() {
        let metrics = Metrics::new();
        let step = |version: u8| metrics.step(&"r".into(), 0, &"p".into(), Digest([version; 32]));
        let in_force = step(255);
        in_force.count("shared").inc();
        for version in 0..200 {
            let step = step(version);
            step.count("shared").inc();
            step.count(&format!("only_{version}")).inc();
            step.observation(&format!("only_{version}")).observe(1.0);
        }
        let shown = metrics.render();
        let counted = |start: &str| shown.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(counted("stagewire_plugin_count_total{"), MOST_GONE + 1);
        assert_eq!(counted("stagewire_plugin_observation_count{"), MOST_GONE);
        assert!(shown.contains(r#"name="shared"} 201"#), "{shown}");
    }

    #[test]
    fn all_that_is_shown_is_declared_with_its_labels() {
        let metrics = Metrics::new();
        metrics.count_type("t", 1);
        metrics.refused("r", 1);
        metrics.dropped("r", 1);
        metrics.privacy("mask");
        metrics.route(&"r".into()).inc();
        metrics.condition_errors(&"r".into()).inc();
        metrics.left_out(&"r".into()).unseen.inc();
        let step = metrics.step(&"r".into(), 0, &"p".into(), Digest([1; 32]));
        step.shows(1, Some(2));
        step.count("n").inc();
        step.observation("n").observe(1.0);
        let lane = metrics.lane(&"b".into());
        lane.failed("retry");
        lane.confirmed(0.1, Some(7));
        lane.consumers.show("g", Some(1), Some(2));
        lane.consumers.failed();
        let text = metrics.render();
        let mut named = std::collections::BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (sample, rest) = line.split_once(['{', ' ']).unwrap();
            let labelled = line.as_bytes()[sample.len()] == b'{';
            let inside = if labelled { rest.split_once('}').unwrap().0 } else { "" };
            let labels = inside.split("\",").filter(|pair| !pair.is_empty());
            let labels: Vec<&str> = labels.map(|pair| pair.split('=').next().unwrap()).collect();
            let name = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| sample.strip_suffix(end))
                .unwrap_or(sample);
            let labels: Vec<&str> = labels.into_iter().filter(|label| *label != "le").collect();
            named.insert(name.to_owned(), labels);
        }
        for declared in metrics.declared() {
            let name = &declared.name;
            let shown = named.remove(name).or_else(|| named.remove(&format!("{name}_total")));
            let shown = shown.unwrap_or_else(|| panic!("{name} is declared and not shown:\n{text}"));
            assert_eq!(shown, declared.labels, "{name}");
        }
        assert!(named.is_empty(), "shown and not declared: {named:?}");
        assert!(text.contains("# {trace_id=\"00000000000000000000000000000007\"} 0.1"), "{text}");
        assert!(text.contains("# UNIT stagewire_publish_latency_seconds seconds"), "{text}");
    }
}
