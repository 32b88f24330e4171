//! Declaring metrics: each is registered and listed in one call, so that nothing is exposed that the list does not have.

use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Metric, Registry, Unit};

use super::histogram::Histogram;
use super::labels::{Labels, TraceLabel};

/// What all names begin with.
const PREFIX: &str = "stagewire";

/// One metric, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its name in queries; a histogram's with `_bucket`, `_sum` and `_count` behind it.
    pub name: String,
    /// `counter`, `gauge`, `histogram` or `info`.
    pub kind: &'static str,
    /// `seconds`, `bytes`, or nothing.
    pub unit: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// A histogram whose buckets show the trace of an event that was in them.
pub(super) type Traced = HistogramWithExemplars<TraceLabel>;

/// Families that make their histograms themselves.
pub(super) type Histograms<L> = Family<L, Histogram>;

/// The register and the list.
pub(super) struct Declarations {
    pub(super) registry: Registry,
    pub(super) list: Vec<Declared>,
}

impl Declarations {
    pub(super) fn new() -> Self {
        Self { registry: Registry::with_prefix(PREFIX), list: Vec::new() }
    }

    fn declare(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        metric: impl Metric + TypedMetric,
    ) {
        fn kind<M: TypedMetric>(_: &M) -> &'static str {
            match M::TYPE {
                MetricType::Counter => "counter",
                MetricType::Gauge => "gauge",
                MetricType::Histogram => "histogram",
                MetricType::Info => "info",
                MetricType::Unknown => "unknown",
            }
        }
        let kind = kind(&metric);
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        // The unit is the end of a name; OpenMetrics has it said as well.
        let unit = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(&format!("_{unit}")));
        let name_only = match unit {
            Some(unit) => &name[..name.len() - unit.len() - 1],
            None => name,
        };
        match unit {
            Some("seconds") => self.registry.register_with_unit(name_only, help, Unit::Seconds, metric),
            Some(_) => self.registry.register_with_unit(name_only, help, Unit::Bytes, metric),
            None => self.registry.register(name, help, metric),
        }
        let name = format!("{PREFIX}_{name}{suffix}");
        self.list.push(Declared { name, kind, unit: unit.unwrap_or_default(), labels, help });
    }

    pub(super) fn counter(&mut self, name: &'static str, help: &'static str) -> Counter {
        let counter = Counter::default();
        self.declare(name, help, &[], counter.clone());
        counter
    }

    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str) -> Gauge {
        let gauge = Gauge::default();
        self.declare(name, help, &[], gauge.clone());
        gauge
    }

    pub(super) fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        new: fn() -> Histogram,
    ) -> Histogram {
        let histogram = new();
        self.declare(name, help, &[], histogram.clone());
        histogram
    }

    pub(super) fn info<L: Label>(&mut self, name: &'static str, help: &'static str, info: Info<L>) {
        self.declare(name, help, L::NAMES, info);
    }

    pub(super) fn counters<L: Label>(
        &mut self,
        name: &'static str,
        help: &'static str,
    ) -> Family<L, Counter> {
        self.family(name, help, Counter::default)
    }

    pub(super) fn gauges<L: Label>(&mut self, name: &'static str, help: &'static str) -> Family<L, Gauge> {
        self.family(name, help, Gauge::default)
    }

    /// A metric for each set of labels.
    pub(super) fn family<L: Label, M>(
        &mut self,
        name: &'static str,
        help: &'static str,
        new: fn() -> M,
    ) -> Family<L, M>
    where
        M: EncodeMetric + TypedMetric + Send + Sync + std::fmt::Debug + 'static,
    {
        let family = Family::new_with_constructor(new);
        self.declare(name, help, L::NAMES, family.clone());
        family
    }
}

/// A set of labels that a family is by.
pub(super) trait Label:
    Labels + Clone + Eq + std::hash::Hash + Send + Sync + std::fmt::Debug + 'static
{
}

impl<L: Labels + Clone + Eq + std::hash::Hash + Send + Sync + std::fmt::Debug + 'static> Label for L {}
