//! What a route leaves out of what it takes: all but a sample, what it has seen, what comes too fast.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Event;
use crate::config::settings;
use crate::journal::key_hash;
use crate::names::Digest;
use crate::plugins::Bucket;
use crate::router::Attribute;
use crate::telemetry::metrics::LeftOutMetrics;

/// Why a route leaves an event out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// It is not of the sample.
    Sample,
    /// One of its `source` and `id` took the route within the window.
    Duplicate,
    /// More than the rate came.
    Rate,
}

impl LeftOut {
    /// As metrics and provenance have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sample => "not_sampled",
            Self::Duplicate => "duplicate",
            Self::Rate => "rate",
        }
    }
}

impl LeftOutMetrics {
    pub(super) fn count(&self, why: LeftOut) {
        let counter = match why {
            LeftOut::Sample => &self.not_sampled,
            LeftOut::Duplicate => &self.duplicates,
            LeftOut::Rate => &self.rate,
        };
        counter.inc();
    }
}

/// The `sample`, `dedup` and `rate` of one route, asked in this order: what is left out by one does not count for the next.
#[derive(Debug, Default)]
pub struct Thinning {
    sample: Option<Sample>,
    dedup: Option<Dedup>,
    rate: Option<Arc<Rate>>,
}

impl Thinning {
    /// Prepares what a route has of it. What has been seen lies in `seen`; a rate goes on where it was.
    pub fn new(
        route: &settings::Route,
        seen: impl FnOnce(&settings::Dedup) -> Arc<Bucket>,
        rate: Option<Arc<Rate>>,
    ) -> Self {
        Self {
            sample: route.sample.as_ref().map(Sample::new),
            dedup: route.dedup.as_ref().map(|dedup| Dedup { window: dedup.window.0, seen: seen(dedup) }),
            rate,
        }
    }

    /// Whether the route leaves the event out. An event that passes again, as after a crash, is no duplicate of itself.
    pub(super) fn leaves_out(
        &self,
        event: &Event,
        identity: Option<u64>,
        metrics: &LeftOutMetrics,
    ) -> Option<LeftOut> {
        if self.is_out_of_sample(event) {
            return Some(LeftOut::Sample);
        }
        if let Some(Dedup { window, seen }) = &self.dedup {
            match seen.is_first(&seen_as(event), *window, identity) {
                Some(true) => {}
                Some(false) => return Some(LeftOut::Duplicate),
                None => _ = metrics.unseen.inc(),
            }
        }
        self.rate.as_ref().filter(|rate| !rate.takes(Instant::now())).map(|_| LeftOut::Rate)
    }

    /// Whether the sample leaves it out: the same each time.
    pub fn is_out_of_sample(&self, event: &Event) -> bool {
        self.sample.as_ref().is_some_and(|sample| !sample.contains(event))
    }
}

#[derive(Debug)]
struct Sample {
    by: Option<Attribute>,
    share: f64,
}

impl Sample {
    fn new(sample: &settings::Sample) -> Self {
        Self { by: sample.by.clone(), share: sample.share }
    }

    fn contains(&self, event: &Event) -> bool {
        let text = self.by.as_ref().and_then(|by| by.text(event)).unwrap_or_else(|| event.id().into());
        // Another hash than that which shares events among workers and canaries: samples of both shall be samples.
        let hash = key_hash(&text).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (hash as f64 / u64::MAX as f64) < self.share
    }
}

#[derive(Debug)]
struct Dedup {
    window: Duration,
    seen: Arc<Bucket>,
}

/// `source` and `id`, however long they are. Nobody can make one that is taken for another.
fn seen_as(event: &Event) -> String {
    let mut text = Vec::with_capacity(event.source().len() + event.id().len() + 8);
    text.extend_from_slice(&(event.source().len() as u64).to_le_bytes());
    text.extend_from_slice(event.source().as_bytes());
    text.extend_from_slice(event.id().as_bytes());
    let Digest(bytes) = Digest::of(&text);
    bytes[..16].iter().fold(String::with_capacity(32), |mut key, byte| {
        let digit = |four: u8| char::from_digit(u32::from(four), 16).unwrap_or_default();
        key.extend([digit(byte >> 4), digit(byte & 15)]);
        key
    })
}

/// How many events a route takes in a second, from all workers together: a second's worth at once, then one at a time (the
/// generic cell rate algorithm, ITU-T I.371).
#[derive(Debug)]
pub struct Rate {
    per_second: f64,
    start: Instant,
    /// When the next event would come, were they spread evenly: nanoseconds since the start.
    due: AtomicU64,
}

impl Rate {
    /// So many events a second.
    pub fn new(per_second: f64) -> Self {
        Self { per_second, start: Instant::now(), due: AtomicU64::new(0) }
    }

    /// So many events a second.
    pub fn per_second(&self) -> f64 {
        self.per_second
    }

    fn takes(&self, now: Instant) -> bool {
        // A rate of next to nothing is one of once a day.
        let apart = (1e9 / self.per_second).clamp(1.0, 86_400e9);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 86,400 s")]
        let apart = apart as u64;
        let ahead = 1_000_000_000_u64.saturating_sub(apart);
        let now = u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX);
        let next = |due: u64| (due <= now.saturating_add(ahead)).then(|| due.max(now).saturating_add(apart));
        self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::Buckets;

    fn event(id: &str) -> Event {
        Event::builder(id, "s", "t").subject(format!("document/{id}")).build().unwrap()
    }

    fn thinning(yaml: &str) -> Thinning {
        let route: settings::Route =
            serde_saphyr::from_str(&format!("{{name: r, deliver: [], {yaml}}}")).unwrap();
        let seen = |dedup: &settings::Dedup| {
            Buckets::in_memory().of(&route.name, &"dedup".into(), 0, dedup.memory.0)
        };
        let rate = route.rate.map(|rate| Arc::new(Rate::new(rate)));
        Thinning::new(&route, seen, rate)
    }

    #[test]
    fn a_sample_is_a_share_and_the_same_each_time() {
        let thinning = thinning("sample: {share: 0.1}");
        let events: Vec<_> = (0..20_000).map(|n| event(&n.to_string())).collect();
        let inside = |event: &&Event| thinning.leaves_out(event, None, &LeftOutMetrics::default()).is_none();
        let sample: Vec<_> = events.iter().filter(inside).map(Event::id).collect();
        assert!((1_850..2_150).contains(&sample.len()), "{}", sample.len());
        assert_eq!(events.iter().filter(inside).map(Event::id).collect::<Vec<_>>(), sample);
    }

    #[test]
    fn a_sample_by_subject_keeps_or_leaves_all_of_it() {
        let thinning = thinning("sample: {share: 0.5, by: subject}");
        for n in 0..100 {
            let of_one = |id: String| Event::builder(id, "s", "t").subject(format!("{n}")).build().unwrap();
            let outs: Vec<_> =
                (0..5).map(|m| thinning.is_out_of_sample(&of_one(format!("{n}-{m}")))).collect();
            assert!(outs.iter().all(|out| *out == outs[0]));
        }
    }

    #[test]
    fn a_duplicate_is_one_of_another_event_within_the_window() {
        let metrics = LeftOutMetrics::default();
        let thinning = thinning("dedup: {window: 1h}");
        assert_eq!(thinning.leaves_out(&event("1"), Some(7), &metrics), None);
        assert_eq!(thinning.leaves_out(&event("1"), Some(8), &metrics), Some(LeftOut::Duplicate));
        assert_eq!(thinning.leaves_out(&event("1"), Some(7), &metrics), None, "it passes again");
        assert_eq!(thinning.leaves_out(&event("2"), Some(9), &metrics), None);
        let other = Event::builder("1", "another", "t").build().unwrap();
        assert_eq!(thinning.leaves_out(&other, Some(10), &metrics), None);
    }

    #[test]
    fn where_there_is_no_room_to_remember_events_pass_and_are_counted() {
        let metrics = LeftOutMetrics::default();
        let thinning = thinning("dedup: {window: 1h, memory: 300B}");
        for (identity, id) in ["1", "2", "3", "4", "1", "4"].into_iter().enumerate() {
            let left_out = thinning.leaves_out(&event(id), Some(identity as u64), &metrics);
            assert_eq!(left_out.is_some(), identity == 4, "{id}");
        }
        assert_eq!(metrics.unseen.get(), 3);
    }

    #[test]
    fn a_rate_lets_a_seconds_worth_pass_at_once_and_then_one_at_a_time() {
        let rate = Rate::new(10.0);
        let at = |ms: u64| rate.start + Duration::from_millis(ms);
        assert_eq!((0..30).filter(|_| rate.takes(at(0))).count(), 10);
        assert!(!rate.takes(at(99)));
        assert!(rate.takes(at(101)) && !rate.takes(at(102)));
        let taken = (103..10_103).filter(|ms| rate.takes(at(*ms))).count();
        assert!((99..=101).contains(&taken), "{taken}");
        let slow = Rate::new(0.5);
        assert!(slow.takes(slow.start) && !slow.takes(slow.start + Duration::from_millis(1_900)));
        assert!(slow.takes(slow.start + Duration::from_millis(2_000)));
    }
}
