//! Lanes against a backend that fails on command, and against a real Redis.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::*;
use crate::backends::testing::{Redis, free_port, items};
use crate::backends::{self, Backend, Failure, Item, Outcomes, Pipeline, Receipt, Target};
use crate::journal::{DeadLetters, Place};
use crate::provenance::Recorder;
use crate::telemetry::LaneMetrics;

/// What a scripted receiver does and has seen.
#[derive(Default)]
struct Script {
    down: bool,
    /// By event id: what it answers, one try after the other; then it confirms.
    answers: HashMap<String, VecDeque<Failure>>,
    /// The chance of a failure, of any kind.
    flaky: f64,
    seen: Vec<u64>,
    /// The most batches that were under way at once.
    deepest: usize,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    fn seen(&self) -> Vec<u64> {
        self.0.lock().seen.clone()
    }

    fn target(&self, max_retries: u32) -> Target {
        target(Box::new(self.clone()), max_retries)
    }

    /// One that takes batches one behind the other, and stores what comes behind an event that failed.
    fn piped(&self, max_retries: u32) -> Target {
        target(Box::new(Piped { script: self.clone(), under_way: VecDeque::new() }), max_retries)
    }

    fn answer(&self, batch: &[Item]) -> Outcomes {
        let mut script = self.0.lock();
        if script.down {
            return vec![Err(Failure::Reconnect("it went down".into())); batch.len()];
        }
        let mut failed = Vec::new();
        let outcome = |item: &Item| {
            if failed.contains(&item.key) {
                return Err(Failure::Held);
            }
            let answer = script.answers.get_mut(item.event.id()).and_then(VecDeque::pop_front);
            let flaky = (fastrand::f64() < script.flaky).then(|| Failure::Retry("flaky".into()));
            if let Some(failure) = answer.or(flaky) {
                if !matches!(failure, Failure::Reject(_)) {
                    failed.push(item.key);
                }
                return Err(failure);
            }
            script.seen.push(item.event.id().parse().unwrap());
            Ok(Receipt::default())
        };
        batch.iter().map(outcome).collect()
    }
}

fn target(backend: Box<dyn Backend>, max_retries: u32) -> Target {
    Target {
        name: "scripted".into(),
        address: "here".into(),
        backend,
        max_retries: Some(max_retries),
        pause: None,
    }
}

#[async_trait]
impl Backend for Scripted {
    async fn connect(&mut self) -> Result<(), Failure> {
        if self.0.lock().down { Err(Failure::Retry("it is down".into())) } else { Ok(()) }
    }

    async fn publish(&mut self, batch: &[Item]) -> Outcomes {
        self.answer(batch)
    }

    async fn close(&mut self) {}
}

struct Piped {
    script: Scripted,
    under_way: VecDeque<Outcomes>,
}

#[async_trait]
impl Backend for Piped {
    async fn connect(&mut self) -> Result<(), Failure> {
        self.script.connect().await
    }

    async fn publish(&mut self, batch: &[Item]) -> Outcomes {
        assert!(self.under_way.is_empty(), "one alone, and others are under way");
        self.script.answer(batch)
    }

    fn pipeline(&mut self) -> Option<&mut dyn Pipeline> {
        Some(self)
    }

    async fn close(&mut self) {}
}

#[async_trait]
impl Pipeline for Piped {
    fn begin(&mut self, batch: &[Item]) {
        self.under_way.push_back(self.script.answer(batch));
        let mut script = self.script.0.lock();
        script.deepest = script.deepest.max(self.under_way.len());
    }

    async fn decided(&mut self) {
        // A way there and back.
        tokio::task::yield_now().await;
    }

    async fn outcomes(&mut self, batch: &[Item]) -> Outcomes {
        let outcomes = self.under_way.pop_front().unwrap();
        assert_eq!(outcomes.len(), batch.len(), "the oldest");
        outcomes
    }
}

fn policy() -> Policy {
    Policy {
        batch: Some(16),
        linger: Duration::ZERO,
        queue: 1_000,
        retry_base: Duration::from_millis(1),
        retry_max: Duration::from_millis(5),
        max_retries: 3,
        rate: None,
        breaker: BreakerPolicy {
            failure_rate: 1.0,
            window: Duration::from_secs(10),
            least: 20,
            pause: Duration::from_millis(20),
            longest: Duration::from_millis(200),
        },
        given_up: GivenUp::DeadLetter,
        log_events: false,
        track_latency: true,
    }
}

struct Bench {
    lane: Lane,
    letters: DeadLetters,
    dir: tempfile::TempDir,
}

impl Bench {
    fn with(target: Target, policy: Policy) -> Self {
        Self::again(tempfile::tempdir().unwrap(), target, policy)
    }

    fn again(dir: tempfile::TempDir, target: Target, policy: Policy) -> Self {
        let letters = DeadLetters::open(&dir.path().join("letters")).unwrap();
        let runtime = tokio::runtime::Handle::current();
        let overflow = Overflow::open(dir.path().join("overflow"), 1 << 20, u64::MAX).unwrap();
        let lane = Lane::start(
            target,
            policy,
            letters.clone(),
            overflow,
            LaneMetrics::detached(),
            Recorder::new(None, None),
            &runtime,
        );
        Self { lane, letters, dir }
    }

    fn push(&self, ids: std::ops::Range<u64>) {
        self.lane.push(group(ids)).unwrap();
    }
}

fn group(ids: std::ops::Range<u64>) -> Vec<Outgoing> {
    let outgoing = |Item { event, key, .. }| Outgoing {
        event,
        key,
        at_ms: 0,
        route: "r".into(),
        identity: None,
        owed: Owed::untracked(),
    };
    items(ids).into_iter().map(outgoing).collect()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn assert_order_per_key(seen: &[u64]) {
    for key in 0..7 {
        let of_key: Vec<_> = seen.iter().filter(|id| *id % 7 == key).collect();
        assert!(of_key.is_sorted(), "key {key}: {of_key:?}");
    }
}

#[tokio::test]
async fn everything_arrives_once_and_in_order_per_key_through_random_failures() {
    for _ in 0..10 {
        let scripted = Scripted::default();
        scripted.0.lock().flaky = 0.2;
        let bench = Bench::with(scripted.target(1_000), policy());
        for start in 0..20 {
            bench.push(start * 20..start * 20 + 20);
        }
        until("all to arrive", || scripted.seen().len() == 400).await;
        assert_order_per_key(&scripted.seen());
        bench.lane.drain(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn batches_go_one_behind_the_other_and_in_order_per_key_through_random_failures() {
    for flaky in [0.0, 0.02, 0.2] {
        let scripted = Scripted::default();
        scripted.0.lock().flaky = flaky;
        let bench = Bench::with(scripted.piped(1_000), policy());
        for start in 0..100 {
            bench.push(start * 20..start * 20 + 20);
            tokio::task::yield_now().await;
        }
        until("all to arrive", || bench.lane.status().delivered == 2_000).await;
        let seen = scripted.seen();
        assert!(flaky > 0.0 || seen.len() == 2_000, "{} at {flaky}", seen.len());
        // What was stored behind an event that failed comes again behind it.
        let last: HashMap<u64, usize> = seen.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        let at_last = seen.iter().enumerate().filter(|(place, id)| last[id] == *place).map(|(_, id)| *id);
        let at_last: Vec<u64> = at_last.collect();
        assert_eq!(at_last.len(), 2_000);
        assert_order_per_key(&at_last);
        assert_eq!(scripted.0.lock().deepest, 2);
        assert_eq!((bench.lane.status().queued, bench.letters.len()), (0, 0));
        bench.lane.drain(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn what_is_under_way_is_settled_before_a_lane_is_paused_or_goes_elsewhere() {
    let (one, two) = (Scripted::default(), Scripted::default());
    let bench = Bench::with(one.piped(0), policy());
    bench.push(0..200);
    bench.lane.pause(true);
    until("it to rest", || {
        let LaneStatus { queued, delivered, .. } = bench.lane.status();
        queued as u64 + delivered == 200 && one.seen().len() as u64 == delivered
    })
    .await;
    bench.lane.retarget(two.piped(0), policy());
    bench.lane.pause(false);
    until("all", || one.seen().len() + two.seen().len() == 200).await;
    assert_order_per_key(&[one.seen(), two.seen()].concat());
    bench.lane.drain(Duration::from_secs(5)).await;
    assert_eq!(bench.lane.status().delivered, 200);
}

#[tokio::test]
async fn an_event_is_given_up_after_its_retries_and_its_key_goes_on() {
    let scripted = Scripted::default();
    let retries = (0..3).map(|_| Failure::Retry("no".into())).collect();
    scripted.0.lock().answers.insert("7".into(), retries);
    scripted.0.lock().answers.insert("8".into(), [Failure::Reject("never".into())].into());
    let bench = Bench::with(scripted.target(2), policy());
    bench.push(0..21);
    until("all but two", || scripted.seen().len() == 19).await;
    until("two letters", || bench.letters.len() == 2).await;
    let letters: Vec<_> = bench.letters.iter().collect();
    let of = |id: &str| letters.iter().find(|letter| letter.event.id() == id).unwrap();
    assert_eq!((of("7").tries, of("7").reason.as_str()), (3, "no"));
    assert_eq!((of("8").tries, of("8").reason.as_str()), (1, "never"));
    assert_eq!(of("8").place, Place::Backend("scripted".into()));
    assert_order_per_key(&scripted.seen());
    bench.lane.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_receiver_that_asks_for_a_pause_gets_it() {
    let scripted = Scripted::default();
    let pause = Duration::from_millis(300);
    scripted.0.lock().answers.insert("0".into(), [Failure::BackOff(pause, "slowly".into())].into());
    let bench = Bench::with(scripted.target(0), policy());
    let start = Instant::now();
    bench.push(0..1);
    until("the answer", || bench.lane.status().error.as_deref() == Some("slowly")).await;
    bench.push(1..14);
    until("all", || scripted.seen().len() == 14).await;
    assert!(start.elapsed() >= pause);
    assert_order_per_key(&scripted.seen());
    assert!(bench.letters.is_empty(), "a pause is no try");
    bench.lane.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn while_the_backend_is_down_events_go_to_disk_and_then_out_in_order() {
    let scripted = Scripted::default();
    scripted.0.lock().down = true;
    let bench = Bench::with(scripted.target(0), Policy { queue: 50, ..policy() });
    for start in 0..50 {
        bench.push(start * 10..start * 10 + 10);
    }
    let status = bench.lane.status();
    assert!(status.queued <= 50 && status.overflow_bytes > 0, "{status:?}");
    until("it to be down", || bench.lane.status().state == State::Down).await;
    scripted.0.lock().down = false;
    bench.push(500..510);
    until("all", || scripted.seen().len() == 510).await;
    assert_order_per_key(&scripted.seen());
    until("the overflow to be let go of", || bench.lane.status().overflow_bytes == 0).await;
    assert!(bench.letters.is_empty());
    bench.lane.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_full_overflow_pushes_back_and_has_room_again_once_it_drains() {
    let scripted = Scripted::default();
    scripted.0.lock().down = true;
    let bench = Bench::with(scripted.target(0), Policy { queue: 50, ..policy() });
    let mut taken = 0;
    let refused = loop {
        match bench.lane.push(group(taken..taken + 50)) {
            Ok(()) => taken += 50,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.len(), 50, "the whole group comes back");
    let status = bench.lane.status();
    assert!(status.full && status.overflow_bytes <= 1 << 20 && taken > 1_000, "{taken} {status:?}");
    assert!(!bench.lane.has_room());
    scripted.0.lock().down = false;
    until("room again", || bench.lane.has_room()).await;
    bench.lane.push(refused).unwrap();
    until("all", || scripted.seen().len() as u64 == taken + 50).await;
    assert_order_per_key(&scripted.seen());
    assert!(!bench.lane.status().full);
    bench.lane.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_breaker_opens_probes_and_closes_and_loses_nothing() {
    let scripted = Scripted::default();
    scripted.0.lock().flaky = 1.0;
    let breaker = BreakerPolicy { failure_rate: 0.5, ..policy().breaker };
    let bench = Bench::with(scripted.target(1_000_000), Policy { breaker, ..policy() });
    bench.push(0..200);
    until("it to open", || bench.lane.status().breaker == BreakerState::Open).await;
    assert_eq!(bench.lane.status().error.as_deref(), Some("flaky"));
    let before = bench.lane.status().retries;
    until("a probe", || bench.lane.status().retries > before).await;
    assert_ne!(bench.lane.status().breaker, BreakerState::Closed, "a probe that fails closes nothing");
    scripted.0.lock().flaky = 0.0;
    until("all", || scripted.seen().len() == 200).await;
    assert_eq!(bench.lane.status().breaker, BreakerState::Closed);
    assert_order_per_key(&scripted.seen());
    bench.lane.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_rate_is_kept_to() {
    let scripted = Scripted::default();
    let bench = Bench::with(scripted.target(0), Policy { rate: Some(200.0), ..policy() });
    let start = Instant::now();
    bench.push(0..120);
    until("all", || scripted.seen().len() == 120).await;
    // One at once and a tenth of a second's worth as a burst, the rest at the rate.
    assert!(start.elapsed() >= Duration::from_millis(450), "{:?}", start.elapsed());
    assert_order_per_key(&scripted.seen());
    bench.lane.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_not_asked_without_end() {
    let scripted = Scripted::default();
    let lost = (0..1_000).map(|_| Failure::Reconnect("gone".into())).collect();
    scripted.0.lock().answers.insert("0".into(), lost);
    let bench = Bench::with(
        scripted.target(0),
        Policy { retry_base: Duration::from_secs(5), retry_max: Duration::from_secs(5), ..policy() },
    );
    bench.push(0..1);
    until("it to be lost", || bench.lane.status().error.as_deref() == Some("gone")).await;
    bench.lane.drain(Duration::from_millis(200)).await;
    let asked = 1_000 - scripted.0.lock().answers["0"].len();
    assert!(asked < 50, "{asked} times");
}

#[tokio::test]
async fn what_waits_on_disk_goes_on_after_a_restart() {
    let scripted = Scripted::default();
    scripted.0.lock().down = true;
    let bench = Bench::with(scripted.target(0), Policy { queue: 10, ..policy() });
    bench.push(0..10);
    bench.push(10..100);
    bench.lane.drain(Duration::from_secs(5)).await;
    let Bench { dir, letters, lane } = bench;
    drop((letters, lane));
    scripted.0.lock().down = false;
    let bench = Bench::again(dir, scripted.target(0), policy());
    until("what was on disk", || scripted.seen().len() == 90).await;
    assert!(scripted.seen().iter().all(|id| *id >= 10), "what was in memory is the journal's to give again");
    assert_order_per_key(&scripted.seen());
    bench.lane.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_lane_goes_over_to_another_target_with_what_waits() {
    let (one, two) = (Scripted::default(), Scripted::default());
    one.0.lock().down = true;
    let bench = Bench::with(one.target(0), policy());
    bench.push(0..50);
    until("it to be down", || bench.lane.status().state == State::Down).await;
    bench.lane.retarget(two.target(0), policy());
    until("all at the other", || two.seen().len() == 50).await;
    assert_order_per_key(&two.seen());
    bench.lane.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_drain_delivers_what_is_in_memory_and_ends_within_its_limit() {
    let scripted = Scripted::default();
    let bench = Bench::with(scripted.target(0), policy());
    bench.push(0..200);
    bench.lane.drain(Duration::from_secs(5)).await;
    assert_eq!(scripted.seen().len(), 200);
    let down = Scripted::default();
    down.0.lock().down = true;
    let bench = Bench::with(down.target(0), policy());
    bench.push(0..5);
    let start = Instant::now();
    bench.lane.drain(Duration::from_secs(5)).await;
    assert!(start.elapsed() < Duration::from_secs(4), "a dead backend must not use the limit up");
}

#[tokio::test]
async fn redis_may_be_restarted_in_mid_stream() {
    let port = free_port();
    let server = Redis::on(port).await;
    let settings = serde_json::json!({ "url": server.url(), "stream_name": "s", "max_len": 0 });
    let kind = backends::find("redis_streams").unwrap();
    let target = (kind.open)("redis".into(), &settings, Path::new("")).unwrap().remove(0);
    let bench = Bench::with(target, policy());
    bench.push(0..100);
    until("the first hundred", || bench.lane.status().delivered == 100).await;
    assert_eq!(server.port(), port);
    drop(server);
    bench.push(100..200);
    until("it to be down", || bench.lane.status().state == State::Down).await;
    let server = Redis::on(port).await;
    until("the second hundred", || bench.lane.status().delivered == 200).await;
    let ids: Vec<u64> = server.events("s").await.iter().map(|event| event.id().parse().unwrap()).collect();
    assert_order_per_key(&ids);
    assert!((100..200).all(|id| ids.contains(&id)));
    bench.lane.drain(Duration::from_secs(5)).await;
}
