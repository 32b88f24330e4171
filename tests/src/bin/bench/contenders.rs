//! What is measured: a process that takes events and puts them into a stream of a Redis of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stagewire_tests::load::Load;
use stagewire_tests::process::{Process, all_cpu, free_port};
use stagewire_tests::redis::Stream;
use stagewire_tests::waiting::{PATIENCE, until_true};
use stagewire_tests::{Host, Redis, places, wire};
use tokio::process::{Child, Command};

use crate::figures::median;

/// Rounds that each contender runs, in turn.
pub(crate) const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_millis(500);

enum Program {
    Host(Box<Host>),
    Forwarder(Child),
}

/// One of those that are compared.
pub(crate) struct Contender {
    to: SocketAddr,
    stream: Stream,
    program: Program,
    _redis: Redis,
}

/// What a round showed.
pub(crate) struct Round {
    /// Microseconds of processor time an event.
    pub(crate) cpu: f64,
    /// The same of all else that runs on this machine.
    pub(crate) rest: f64,
    /// Events a second, until the last of them was in the stream.
    pub(crate) rate: f64,
}

/// The `events:` section that all hosts here have; the stream is trimmed as the document says.
pub(crate) fn events(redis: &Redis) -> String {
    format!(
        "events:\n  enabled: true\n  backend: redis_streams\n  redis_streams: {{ url: \"{}\", stream_name: nlp-events, max_len: 10000 }}\n  monitoring: {{ log_events: false }}\n",
        redis.url()
    )
}

/// A route that a type filter stands before.
pub(crate) const FILTERED: &str = "routes:\n  - name: filtered\n    steps:\n      - plugin: type-filter\n        settings: { allow: [com.storytelling.nlp.document.processed] }\n    deliver: [redis_streams]\n";

impl Contender {
    /// A host, with something after its `events:` section and something in its `host:` section.
    pub(crate) async fn host(more: &str, host: &str) -> Self {
        let redis = Redis::start().await;
        let plan = Host::with(format!("{}{more}", events(&redis))).plugins(&["type-filter"]);
        let host = plan.host(host).start().await;
        let (to, stream) = (host.ingress(), redis.stream("nlp-events"));
        Self { to, stream, program: Program::Host(Box::new(host)), _redis: redis }
    }

    /// The forwarder.
    pub(crate) async fn forwarder() -> Self {
        let redis = Redis::start().await;
        let to = free_port();
        let mut command = Command::new(places::program("forwarder"));
        command.args([&to.to_string(), &redis.url(), "nlp-events"]).kill_on_drop(true);
        let child = command.spawn().expect("the forwarder can be started");
        until_true("the forwarder is ready", PATIENCE, async || {
            wire::send(to, "GET", "/readyz", &[], b"").await.is_ok()
        })
        .await;
        let stream = redis.stream("nlp-events");
        Self { to, stream, program: Program::Forwarder(child), _redis: redis }
    }

    /// Its process.
    pub(crate) fn process(&self) -> Process {
        match &self.program {
            Program::Host(host) => host.process(),
            Program::Forwarder(child) => Process(child.id().unwrap_or_default()),
        }
    }

    /// Where its admin API is.
    ///
    /// # Panics
    /// If it has none.
    pub(crate) fn admin(&self) -> SocketAddr {
        match &self.program {
            Program::Host(host) => host.admin_address(),
            Program::Forwarder(_) => panic!("the forwarder has no admin API"),
        }
    }

    /// One round of load, counted until its last event is in the stream.
    pub(crate) async fn round(&self, load: impl Fn(Load) -> Load) -> Round {
        let before = self.stream.added().await;
        let warm = load(Load::on(self.to)).run(WARM_UP).await;
        self.has_added(before + warm.acknowledged).await;
        let (cpu, all, begin) = (self.process().cpu(), all_cpu(), Instant::now());
        let report = load(Load::on(self.to)).run(ROUND).await;
        self.has_added(before + warm.acknowledged + report.acknowledged).await;
        let (cpu, elapsed) = (self.process().cpu().saturating_sub(cpu), begin.elapsed());
        assert_eq!(report.failures(), 0, "requests failed: {:?}", report.statuses);
        #[allow(clippy::cast_precision_loss)] // Counts stay far below 2^52.
        let events = report.acknowledged as f64;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / events;
        let rest = all_cpu().saturating_sub(all + cpu);
        Round { cpu: each(cpu), rest: each(rest), rate: events / elapsed.as_secs_f64() }
    }

    async fn has_added(&self, count: u64) {
        until_true("every event is in the stream", PATIENCE, async || self.stream.added().await >= count)
            .await;
    }
}

/// Rounds of two contenders, in turn.
pub(crate) async fn alternate(
    [first, second]: [&Contender; 2],
    load: impl Fn(Load) -> Load,
) -> [Vec<Round>; 2] {
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        rounds[0].push(first.round(&load).await);
        rounds[1].push(second.round(&load).await);
    }
    rounds
}

/// The medians of what `figure` says of each contender's rounds.
pub(crate) fn medians<'a>(
    names: [&'a str; 2],
    rounds: &[Vec<Round>; 2],
    figure: impl Fn(&Round) -> f64,
) -> [(&'a str, f64); 2] {
    let [first, second] = rounds.each_ref().map(|rounds| median(rounds.iter().map(&figure).collect()));
    [(names[0], first), (names[1], second)]
}
