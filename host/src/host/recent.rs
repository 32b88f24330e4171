//! The last minutes of counters: what flows now, and what has happened lately.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use crate::plugins::StepCounts;

/// Samples for rates: as often as the history takes one.
const FINE: usize = 3;
/// Every so many of them one is kept for longer.
const EACH: u64 = 6;
/// What has happened in the last five minutes counts as lately.
const COARSE: usize = 11;
/// Rates are taken over this at least, where there is so much.
const SMOOTH: Duration = Duration::from_secs(5);
/// Over less than that a rate says nothing.
const LEAST: Duration = Duration::from_millis(500);

/// A step, whichever version of the rules it is in: its route, its place, its plugin and that one's digest, by which it counts.
pub(super) type StepKey = (String, usize, String, String);

/// All counters at one time.
#[derive(Clone, Debug)]
pub(super) struct Totals {
    /// When.
    pub(super) at: Instant,
    /// Accepted.
    pub(super) received: u64,
    /// Refused by an ingress.
    pub(super) refused: u64,
    /// Taken by no route.
    pub(super) unmatched: u64,
    /// Dropped by rule, without those that plugins dropped.
    pub(super) dropped_by_rule: u64,
    /// The highest number of a dead letter.
    pub(super) letters: u64,
    /// Chunks of provenance that were left out.
    pub(super) left_out: u64,
    /// Matches by route, and events for which the route's conditions could not be evaluated.
    pub(super) routes: HashMap<String, (u64, u64)>,
    /// What each step has done.
    pub(super) steps: HashMap<StepKey, StepCounts>,
    /// What had been counted when the rules in force came into it.
    pub(super) at_swap: Arc<AtSwap>,
    /// Confirmed by each lane, and its tries that failed.
    pub(super) lanes: HashMap<String, (u64, u64)>,
}

#[cfg(test)]
impl Totals {
    /// Nothing has happened by then.
    pub(super) fn nothing(at: Instant) -> Self {
        Self {
            at,
            received: 0,
            refused: 0,
            unmatched: 0,
            dropped_by_rule: 0,
            letters: 0,
            left_out: 0,
            routes: HashMap::new(),
            steps: HashMap::new(),
            at_swap: Arc::new(AtSwap::nothing()),
            lanes: HashMap::new(),
        }
    }
}

/// Counters when a snapshot came into force: what earlier rules and plugins did is no fault of these.
#[derive(Debug)]
pub(super) struct AtSwap {
    /// When.
    pub(super) at: Instant,
    /// Accepted.
    pub(super) received: u64,
    /// Taken by no route.
    pub(super) unmatched: u64,
    /// What each of its steps had done; the same step of earlier rules counts on.
    pub(super) steps: HashMap<StepKey, StepCounts>,
}

impl AtSwap {
    /// Before anything is in force.
    pub(super) fn nothing() -> Self {
        Self { at: Instant::now(), received: 0, unmatched: 0, steps: HashMap::new() }
    }
}

/// Totals of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Samples>);

#[derive(Debug, Default)]
struct Samples {
    count: u64,
    fine: VecDeque<Arc<Totals>>,
    coarse: VecDeque<Arc<Totals>>,
    dropped: u64,
}

/// What is more now than it was then.
#[derive(Debug)]
pub(super) struct Lately<'a> {
    then: Option<Arc<Totals>>,
    now: &'a Totals,
}

impl Recent {
    /// Keeps a sample. Returns how many events rules and plugins have dropped, counted from the first sample on.
    pub(super) fn add(&self, totals: Totals) -> u64 {
        let totals = Arc::new(totals);
        let mut samples = self.0.lock();
        let before = Lately { then: samples.fine.back().cloned(), now: &totals };
        if before.then.is_some() {
            let dropped = before.dropped();
            samples.dropped += dropped;
        }
        if samples.count.is_multiple_of(EACH) {
            samples.coarse.push_back(Arc::clone(&totals));
            if samples.coarse.len() > COARSE {
                samples.coarse.pop_front();
            }
        }
        samples.fine.push_back(totals);
        if samples.fine.len() > FINE {
            samples.fine.pop_front();
        }
        samples.count += 1;
        samples.dropped
    }

    /// What has happened in the last five minutes.
    pub(super) fn lately<'a>(&self, now: &'a Totals) -> Lately<'a> {
        Lately { then: self.0.lock().coarse.front().cloned(), now }
    }

    /// What flows now.
    pub(super) fn rates(&self, now: &Totals) -> Rates {
        let samples = self.0.lock();
        let smooth = samples.fine.iter().rev().find(|then| now.at.duration_since(then.at) >= SMOOTH);
        let then = smooth.or(samples.fine.front()).cloned();
        drop(samples);
        Lately { then, now }.rates()
    }
}

impl Lately<'_> {
    /// How long that is.
    pub(super) fn time(&self) -> Duration {
        self.then.as_ref().map_or(Duration::ZERO, |then| self.now.at.duration_since(then.at))
    }

    /// How much more one figure is.
    pub(super) fn more(&self, of: impl Fn(&Totals) -> u64) -> u64 {
        self.then.as_deref().map_or(0, |then| of(self.now).saturating_sub(of(then)))
    }

    /// The same, or the time that the rules in force are in it, where that is less.
    pub(super) fn time_of_rules(&self) -> Duration {
        self.time().min(self.now.at.duration_since(self.now.at_swap.at))
    }

    /// Events that were accepted, and that no route took, as far as the rules in force could.
    pub(super) fn unmatched(&self) -> (u64, u64) {
        let at_swap = &self.now.at_swap;
        let received =
            self.more(|totals| totals.received).min(self.now.received.saturating_sub(at_swap.received));
        let unmatched =
            self.more(|totals| totals.unmatched).min(self.now.unmatched.saturating_sub(at_swap.unmatched));
        (received, unmatched)
    }

    /// What a step has done since it came into force.
    pub(super) fn step(&self, key: &StepKey) -> StepCounts {
        self.counted(key).least(self.since_swap(key))
    }

    fn since_swap(&self, key: &StepKey) -> StepCounts {
        let now = self.now.steps.get(key).copied().unwrap_or_default();
        self.now.at_swap.steps.get(key).map_or(now, |then| now.since(then))
    }

    /// What a step has done, also by earlier rules.
    fn counted(&self, key: &StepKey) -> StepCounts {
        let now = self.now.steps.get(key).copied().unwrap_or_default();
        match self.then.as_deref().and_then(|then| then.steps.get(key)) {
            Some(then) => now.since(then),
            None => self.since_swap(key),
        }
    }

    /// Matches of a route, and events that its conditions could not be evaluated for.
    pub(super) fn route(&self, name: &str) -> (u64, u64) {
        more(&self.now.routes, self.then.as_deref().map(|then| &then.routes), name)
    }

    /// Confirmed by a lane, and its tries that failed.
    pub(super) fn lane(&self, name: &str) -> (u64, u64) {
        more(&self.now.lanes, self.then.as_deref().map(|then| &then.lanes), name)
    }

    fn dropped(&self) -> u64 {
        let by_steps: u64 = self.now.steps.keys().map(|key| self.counted(key).dropped).sum();
        by_steps + self.more(|totals| totals.dropped_by_rule)
    }

    fn rates(&self) -> Rates {
        let time = self.time();
        if time < LEAST {
            return Rates::default();
        }
        let seconds = time.as_secs_f64();
        let each = |count: u64| count as f64 / seconds;
        let lanes: BTreeMap<_, _> =
            self.now.lanes.keys().map(|name| (name.clone(), self.lane(name))).collect();
        Rates {
            seconds: Some(seconds),
            received: each(self.more(|totals| totals.received)),
            refused: each(self.more(|totals| totals.refused)),
            unmatched: each(self.more(|totals| totals.unmatched)),
            dropped: each(self.dropped()),
            published: each(lanes.values().map(|(published, _)| published).sum()),
            failures: each(lanes.values().map(|(_, failures)| failures).sum()),
            routes: self.now.routes.keys().map(|name| (name.clone(), each(self.route(name).0))).collect(),
            lanes: lanes
                .into_iter()
                .map(|(name, (published, failures))| {
                    (name, LaneRates { published: each(published), failures: each(failures) })
                })
                .collect(),
        }
    }
}

/// A name that was not there before begins at nothing; one that has gone and come back does not go below.
fn more(
    now: &HashMap<String, (u64, u64)>,
    then: Option<&HashMap<String, (u64, u64)>>,
    name: &str,
) -> (u64, u64) {
    let now = now.get(name).copied().unwrap_or_default();
    let then = then.and_then(|then| then.get(name)).copied().unwrap_or_default();
    (now.0.saturating_sub(then.0), now.1.saturating_sub(then.1))
}

/// What flows, each second, over the last five to ten seconds.
#[derive(Clone, Debug, Default, Serialize, schemars::JsonSchema)]
pub struct Rates {
    /// The time that they are taken over; absent where the host has just started.
    pub seconds: Option<f64>,
    /// Accepted.
    pub received: f64,
    /// Refused by an ingress.
    pub refused: f64,
    /// Taken by no route.
    pub unmatched: f64,
    /// Dropped, by rules and plugins.
    pub dropped: f64,
    /// Confirmed, by all backends.
    pub published: f64,
    /// Tries that were not confirmed.
    pub failures: f64,
    /// Matches, by route.
    pub routes: BTreeMap<String, f64>,
    /// By backend.
    pub lanes: BTreeMap<String, LaneRates>,
}

/// What one lane does each second.
#[derive(Clone, Copy, Debug, Default, Serialize, schemars::JsonSchema)]
pub struct LaneRates {
    /// Confirmed.
    pub published: f64,
    /// Tries that were not.
    pub failures: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digest: &str) -> StepKey {
        ("r".into(), 0, "p".into(), digest.into())
    }

    fn totals(at: Instant, received: u64, dropped: u64) -> Totals {
        let counts = StepCounts { dropped, ..StepCounts::default() };
        Totals {
            received,
            steps: HashMap::from([(key("1"), counts)]),
            lanes: HashMap::from([("l".into(), (received, 1))]),
            ..Totals::nothing(at)
        }
    }

    #[test]
    fn rates_are_of_the_last_seconds_and_what_is_lately_of_minutes() {
        let (recent, start) = (Recent::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert!(recent.rates(&totals(start, 5, 0)).seconds.is_none());
        let mut dropped = 0;
        for n in 0..100 {
            dropped = recent.add(totals(at(n * 5), n * 50, n));
        }
        assert_eq!(dropped, 99);
        let now = totals(at(500), 5_000, 100);
        let rates = recent.rates(&now);
        assert!((rates.received - 10.0).abs() < 1e-9 && (rates.published - 10.0).abs() < 1e-9, "{rates:?}");
        assert!((rates.dropped - 0.2).abs() < 1e-9 && rates.lanes["l"].failures.abs() < 1e-9, "{rates:?}");
        let lately = recent.lately(&now);
        assert!((290..=340).contains(&lately.time().as_secs()), "{:?}", lately.time());
        assert_eq!(lately.more(|totals| totals.received), lately.time().as_secs() * 10);
        assert_eq!(lately.step(&key("1")).dropped, lately.time().as_secs() / 5);
    }

    #[test]
    fn what_earlier_rules_did_is_no_fault_of_these() {
        let (recent, start) = (Recent::default(), Instant::now());
        let key = key("1");
        recent.add(Totals { steps: HashMap::new(), ..totals(start, 0, 0) });
        let before = StepCounts { dropped: 7, ..StepCounts::default() };
        let at_swap = AtSwap {
            at: start + Duration::from_secs(1),
            received: 90,
            unmatched: 0,
            steps: HashMap::from([(key.clone(), before)]),
        };
        let now = Totals { at_swap: Arc::new(at_swap), ..totals(start + Duration::from_secs(2), 100, 10) };
        let lately = recent.lately(&now);
        assert_eq!((lately.step(&key).dropped, lately.unmatched()), (3, (10, 0)));
        assert_eq!(lately.time_of_rules(), Duration::from_secs(1));
        assert_eq!(lately.more(|totals| totals.received), 100);
    }

    #[test]
    fn another_version_of_a_plugin_begins_to_count_anew() {
        let (recent, start) = (Recent::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        recent.add(totals(at(0), 0, 1_000));
        let dropped = StepCounts { dropped: 3, ..StepCounts::default() };
        let steps = HashMap::from([(key("2"), dropped)]);
        let at_swap = AtSwap { at: at(1), ..AtSwap::nothing() };
        let now = Totals { steps, at_swap: Arc::new(at_swap), ..totals(at(2), 100, 0) };
        assert_eq!(recent.lately(&now).step(&key("2")).dropped, 3);
        assert_eq!(recent.add(now), 3);
    }
}
