//! The last hour in memory, for charts without a monitoring system.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

/// How often a sample is taken.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// An hour.
const SAMPLES: usize = 720;

/// A value at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A sum that only grows; shown as a rate a second.
    Counter(u64),
    /// Shown as it is.
    Gauge(u64),
}

/// Samples of named values.
#[derive(Debug, Default)]
pub struct History(Mutex<VecDeque<Sample>>);

#[derive(Debug)]
struct Sample {
    at_ms: u64,
    values: BTreeMap<String, Value>,
}

/// The history as charts want it.
#[derive(Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Series {
    /// Milliseconds between two points.
    pub interval_ms: u64,
    /// The time of the last point, Unix milliseconds.
    pub end_ms: u64,
    /// The points, oldest first; null where there was nothing yet.
    pub series: BTreeMap<String, Vec<Option<f64>>>,
}

impl History {
    /// Adds a sample; the oldest goes after an hour.
    pub fn add(&self, at_ms: u64, values: BTreeMap<String, Value>) {
        let mut samples = self.0.lock();
        if samples.len() > SAMPLES {
            samples.pop_front();
        }
        samples.push_back(Sample { at_ms, values });
    }

    /// All of it. A counter has its first point with its second sample.
    pub fn series(&self) -> Series {
        let samples = self.0.lock();
        let mut series = BTreeMap::new();
        let names = samples.iter().flat_map(|sample| sample.values.keys());
        for name in names.collect::<std::collections::BTreeSet<_>>() {
            let pairs = samples.iter().zip(samples.iter().skip(1));
            series.insert(name.clone(), pairs.map(|(before, now)| point(name, before, now)).collect());
        }
        Series {
            interval_ms: u64::try_from(INTERVAL.as_millis()).unwrap_or(u64::MAX),
            end_ms: samples.back().map_or(0, |sample| sample.at_ms),
            series,
        }
    }
}

fn point(name: &str, before: &Sample, now: &Sample) -> Option<f64> {
    match (before.values.get(name), now.values.get(name)?) {
        (_, Value::Gauge(value)) => Some(*value as f64),
        (Some(Value::Counter(before_value)), Value::Counter(value)) => {
            let seconds = now.at_ms.saturating_sub(before.at_ms).max(1) as f64 / 1_000.0;
            // A backend that was taken away and came back counts from the beginning.
            Some(value.saturating_sub(*before_value) as f64 / seconds)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_become_rates_and_gauges_stay() {
        let history = History::default();
        let values = |sent: u64, queued: u64| {
            BTreeMap::from([
                ("sent".to_owned(), Value::Counter(sent)),
                ("queued".to_owned(), Value::Gauge(queued)),
            ])
        };
        history.add(0, BTreeMap::from([("queued".to_owned(), Value::Gauge(1))]));
        history.add(5_000, values(100, 2));
        history.add(10_000, values(150, 3));
        let Series { end_ms, series, .. } = history.series();
        assert_eq!(end_ms, 10_000);
        assert_eq!(series["sent"], [None, Some(10.0)]);
        assert_eq!(series["queued"], [Some(2.0), Some(3.0)]);
    }

    #[test]
    fn an_hour_is_kept() {
        let history = History::default();
        (0..2_000).for_each(|n| history.add(n, BTreeMap::from([("x".to_owned(), Value::Gauge(n))])));
        assert_eq!(history.series().series["x"].len(), SAMPLES);
    }
}
