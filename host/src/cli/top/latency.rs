//! Latencies over the last minute, from the buckets of the host's histogram.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::Serialize;

const BUCKET: &str = "stagewire_publish_latency_seconds_bucket{";
const KEPT: Duration = Duration::from_mins(1);

/// By backend: upper bound in seconds, and events up to it.
type Buckets = BTreeMap<String, Vec<(f64, f64)>>;

/// Samples of the last minute.
#[derive(Default)]
pub(super) struct Latencies(VecDeque<(Instant, Buckets)>);

/// Milliseconds within which that share of the events was confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Quantiles {
    #[serde(rename = "p50_ms")]
    pub(super) p50: f64,
    #[serde(rename = "p95_ms")]
    pub(super) p95: f64,
    #[serde(rename = "p99_ms")]
    pub(super) p99: f64,
}

impl Latencies {
    /// Takes the host's metrics in.
    pub(super) fn note(&mut self, metrics: &str) {
        let mut buckets = Buckets::new();
        for line in metrics.lines().filter_map(|line| line.strip_prefix(BUCKET)) {
            let Some((labels, value)) = line.split_once("} ") else { continue };
            let bound = label(labels, "le")
                .map(|bound| if bound == "+Inf" { Ok(f64::INFINITY) } else { bound.parse() });
            // An exemplar may follow the value.
            let value = value.split(' ').next().unwrap_or_default().parse();
            if let (Some(backend), Some(Ok(bound)), Ok(value)) = (label(labels, "backend"), bound, value) {
                buckets.entry(backend.to_owned()).or_default().push((bound, value));
            }
        }
        let now = Instant::now();
        self.0.push_back((now, buckets));
        while self.0.front().is_some_and(|(at, _)| now.duration_since(*at) > KEPT) {
            self.0.pop_front();
        }
    }

    /// Of each backend that has confirmed something: in the last minute, or else since the host's start.
    pub(super) fn quantiles(&self) -> Vec<(String, Quantiles)> {
        let (Some((_, now)), Some((_, then))) = (self.0.back(), self.0.front()) else { return Vec::new() };
        let of = |(backend, now): (&String, &Vec<(f64, f64)>)| {
            let before =
                |index: usize| then.get(backend).and_then(|then| then.get(index)).map_or(0.0, |(_, n)| *n);
            let more: Vec<_> =
                now.iter().enumerate().map(|(index, (bound, n))| (*bound, n - before(index))).collect();
            let buckets = if more.last().is_some_and(|(_, n)| *n > 0.0) { &more } else { now };
            let ms = |q: f64| Some(quantile(buckets, q)? * 1_000.0);
            Some((backend.clone(), Quantiles { p50: ms(0.5)?, p95: ms(0.95)?, p99: ms(0.99)? }))
        };
        now.iter().filter_map(of).collect()
    }
}

fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = labels.split_once(&format!("{name}=\""))?;
    rest.split('"').next()
}

/// Linear within a bucket; the last bound where it is beyond.
fn quantile(buckets: &[(f64, f64)], q: f64) -> Option<f64> {
    let all = buckets.last()?.1;
    if all <= 0.0 {
        return None;
    }
    let index = buckets.iter().position(|(_, n)| *n >= q * all)?;
    let (low, below) = index.checked_sub(1).map_or((0.0, 0.0), |before| buckets[before]);
    let (high, upto) = buckets[index];
    if high.is_infinite() {
        return Some(low);
    }
    Some(low + (high - low) * (q * all - below) / (upto - below).max(f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(counts: [u64; 3]) -> String {
        let line =
            |(bound, n): (&str, u64)| format!("{BUCKET}le=\"{bound}\",backend=\"hook\"}} {n} # {{}} 1\n");
        ["0.1", "0.2", "+Inf"].into_iter().zip(counts).map(line).collect()
    }

    #[test]
    fn quantiles_are_of_what_came_since() {
        let mut latencies = Latencies::default();
        latencies.note(&metrics([100, 100, 100]));
        let (name, all) = latencies.quantiles().remove(0);
        assert_eq!((name.as_str(), all.p50.round()), ("hook", 50.0));
        latencies.note(&metrics([100, 200, 200]));
        let (_, late) = latencies.quantiles().remove(0);
        assert_eq!((late.p50.round(), late.p99.round()), (150.0, 199.0));
        latencies.note(&metrics([100, 200, 400]));
        let (_, beyond) = latencies.quantiles().remove(0);
        assert!((beyond.p99 - 200.0).abs() < 1e-9, "no more is known than the last bound");
    }

    #[test]
    fn other_text_is_left_alone() {
        let mut latencies = Latencies::default();
        latencies.note("# HELP x\nstagewire_publish_latency_seconds_bucket{le=\"x\"} 1\nx 1\n");
        assert!(latencies.quantiles().is_empty());
    }
}
