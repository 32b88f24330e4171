//! A histogram without a lock: workers and ingress tasks measure on the way of each event.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Counts values by their size. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Upper bounds, ascending; the last is that of all.
    bounds: Box<[f64]>,
    counts: Box<[AtomicU64]>,
    /// The bits of an `f64`.
    sum: AtomicU64,
}

impl Histogram {
    /// Buckets up to `first`, and each next one `factor` as large.
    pub fn exponential(first: f64, factor: f64, count: u16) -> Self {
        let bounds = prometheus_client::metrics::histogram::exponential_buckets(first, factor, count);
        let bounds: Box<[f64]> = bounds.chain([f64::INFINITY]).collect();
        let counts = bounds.iter().map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Inner { bounds, counts, sum: AtomicU64::new(0) }))
    }

    /// Counts a value. What is no number is left out.
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        let Inner { bounds, counts, sum } = &*self.0;
        let bucket = bounds.partition_point(|bound| value > *bound).min(counts.len() - 1);
        counts[bucket].fetch_add(1, Ordering::Relaxed);
        let add = |sum: u64| Some((f64::from_bits(sum) + value).to_bits());
        // It never refuses.
        let _ = sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Inner { bounds, counts, sum } = &*self.0;
        let counts = counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.iter().copied().zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = f64::from_bits(sum.load(Ordering::Relaxed));
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn values_are_in_their_buckets_and_those_above() {
        let histogram = Histogram::exponential(1.0, 2.0, 3);
        for value in [0.5, 1.0, 1.5, 4.0, 100.0, f64::NAN] {
            histogram.observe(value);
        }
        let mut registry = Registry::default();
        registry.register("h", "help", histogram.clone());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "h_sum 107.0",
            "h_count 5",
            "h_bucket{le=\"1.0\"} 2",
            "h_bucket{le=\"2.0\"} 3",
            "h_bucket{le=\"4.0\"} 4",
            "h_bucket{le=\"+Inf\"} 5",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is missing:\n{text}");
        }
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let histogram = Histogram::exponential(1.0, 2.0, 3);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| histogram.observe(1.0)));
            }
        });
        assert_eq!(histogram.count(), 40_000);
        assert!((f64::from_bits(histogram.0.sum.load(Ordering::Relaxed)) - 40_000.0).abs() < f64::EPSILON);
    }
}
