//! (i) Four backends of which one is down all the time, against four that are all up: what the other three feel of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use stagewire_tests::brokers::Broker as _;
use stagewire_tests::brokers::nats::Rules;
use stagewire_tests::checker::Ticket;
use stagewire_tests::load::{Load, now_micros};
use stagewire_tests::waiting::{PATIENCE, until, until_true};
use stagewire_tests::{Host, JetStream, Kafka, Redis};
use tokio::task::JoinHandle;

use crate::backends::saturated;
use crate::figures::{compare, median, show};
use crate::sink::{Arrivals, Sink};

/// Short, and many: every five seconds the system writes what nobody has synced, which makes the 99th percentile of the second that it
/// falls into, whoever's that is, and not of most.
const ROUND: Duration = Duration::from_secs(1);
const ROUNDS: usize = 40;
/// How long it is tried how much all four take.
const TRIED: Duration = Duration::from_secs(5);
const CONNECTIONS: u16 = 16;
const BATCH: usize = 10;
/// The lanes that are up in either case.
const OTHERS: [&str; 3] = ["kafka", "nats", "webhook"];
/// Fewer than a lane keeps in memory.
const AHEAD: u64 = 12_000;

/// A host with four backends, and who listens behind three of them.
struct Side {
    host: Host,
    redis: Redis,
    arrivals: [Arrivals; 3],
    _sink: Sink,
    readers: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Side {
    async fn start(name: &str, kafka: &Kafka, nats: &JetStream) -> Self {
        let redis = Redis::start().await;
        let (sink, stop) = (Sink::start().await, Arc::new(AtomicBool::new(false)));
        let (url, posted) = sink.noted();
        kafka.create_topic(name, &[]).await;
        nats.create(&name.to_uppercase(), name).await;
        let logged = Arrivals::default();
        let streamed = Arrivals::default();
        let readers = vec![
            read_kafka(kafka, name, logged.clone(), Arc::clone(&stop)),
            read_nats(nats, name, streamed.clone()).await,
        ];
        let settings = format!(
            "events:\n  enabled: true\n  monitoring: {{ log_events: false }}\n  backends:\n    - {{ type: redis_streams, config: {{ url: \"{}\", stream_name: {name} }} }}\n    - {{ type: kafka, config: {{ bootstrap_servers: [\"{}\"], topic: {name}, compression_type: none }} }}\n    - {{ type: nats, config: {{ servers: [\"nats://{}\"], subject: {name}, deduplicate: false }} }}\n    - {{ type: webhook, config: {{ urls: [\"{url}\"], concurrency: 32 }} }}\n",
            redis.url(),
            kafka.server(),
            nats.server().address(),
        );
        let host = Host::with(settings).start().await;
        Self { host, redis, arrivals: [logged, streamed, posted], _sink: sink, readers, stop }
    }

    /// A round of load at that pace: what each of the three felt.
    async fn round(&self, interval: Duration, felt: &mut [Felt; 3]) {
        self.arrivals.iter().for_each(|arrivals| drop(arrivals.take()));
        let load = Load::on(self.host.ingress()).connections(CONNECTIONS).keys(256).batch(BATCH);
        let report = load.every(interval).with_times().run(ROUND).await;
        assert_eq!(report.failures(), 0, "requests failed: {:?}", report.statuses);
        for ((name, arrivals), felt) in OTHERS.iter().zip(&self.arrivals).zip(felt) {
            let what = format!("{name} has every event");
            until_true(&what, PATIENCE, async || arrivals.count() >= report.sent.len()).await;
            felt.note(&report.sent, &arrivals.take());
        }
    }

    async fn lane(&self, name: &str) -> Value {
        let status = self.host.status().await;
        let lanes = status["lanes"].as_array().cloned().unwrap_or_default();
        lanes.into_iter().find(|lane| lane["name"] == name).expect("the lane is there")
    }

    fn resident(&self) -> f64 {
        self.host.process().resident() as f64 / f64::from(1 << 20)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.readers.iter().for_each(JoinHandle::abort);
    }
}

/// What the other three feel, where the overflow goes, and how fast it is caught up with.
pub(crate) async fn one_against_none() {
    let kafka = Kafka::start().await;
    let nats = JetStream::with(&Rules::open()).await;
    let up = Side::start("up", &kafka, &nats).await;
    let mut down = Side::start("down", &kafka, &nats).await;
    down.redis.kill().await;
    let most = most(&up).await;
    let interval = Duration::from_secs_f64(f64::from(CONNECTIONS) * BATCH as f64 / (most / 2.0));
    show("all four at once, most", format!("{most:.0} /s"), "half of it is the load");
    let before = [up.resident(), down.resident()];
    let [mut all_up, mut one_down] = [const { [const { Felt::new() }; 3] }; 2];
    for round in 0..ROUNDS {
        let mut turns = [(&up, &mut all_up), (&down, &mut one_down)];
        // Neither is always the one that comes first.
        turns.rotate_left(round % 2);
        for (side, felt) in turns {
            side.round(interval, felt).await;
        }
    }
    for ((name, up), down) in OTHERS.iter().zip(all_up).zip(one_down) {
        compare(name, "/s", [("one down", down.rate()), ("all up", up.rate())], "at least 0.95");
        compare("", "ms p99", [("one down", median(down.p99s)), ("all up", median(up.p99s))], "at most 1.1");
    }
    let waiting = down.lane("redis_streams").await;
    let disk = waiting["overflow_bytes"].as_f64().unwrap_or_default() / f64::from(1 << 20);
    show("overflow of the one that is down", format!("{disk:.0} MiB on disk"), "not in memory");
    for (name, side, before) in [("all up", &up, before[0]), ("one down", &down, before[1])] {
        let resident = format!("{before:.0} MiB before, {:.0} MiB after", side.resident());
        show(&format!("resident, {name}"), resident, "for information");
    }
    drop(up);
    catches_up(&mut down).await;
}

/// It comes back: how fast what waited is delivered, against a host that has nothing else to do.
async fn catches_up(down: &mut Side) {
    let delivered =
        async |side: &Side| side.lane("redis_streams").await["delivered"].as_u64().unwrap_or_default();
    let owed = down.lane("webhook").await["delivered"].as_u64().unwrap_or_default();
    down.redis.again().await;
    until_true("the first is delivered", PATIENCE, async || delivered(down).await > 0).await;
    let (begin, first) = (Instant::now(), delivered(down).await);
    until_true("all is delivered", PATIENCE * 3, async || delivered(down).await >= owed).await;
    let drained = (owed - first) as f64 / begin.elapsed().as_secs_f64();
    let redis = Redis::start().await;
    let settings = format!("{}  monitoring: {{ log_events: false }}\n", redis.events_section());
    let host = Host::with(settings).start().await;
    let mut plain = Vec::new();
    for _ in 0..3 {
        plain.push(saturated(&host, Duration::from_secs(3)).await.rate);
    }
    compare("catching up", "/s", [("drained", drained), ("plain", median(plain))], "at least 0.5");
}

/// The most events a second that all four take, with the slowest of them setting the pace.
async fn most(side: &Side) -> f64 {
    let done = Arc::new(AtomicU64::new(0));
    let slowest = async || {
        let status = side.host.status().await;
        let lanes = status["lanes"].as_array().into_iter().flatten();
        lanes.map(|lane| lane["delivered"].as_u64().unwrap_or_default()).min().unwrap_or_default()
    };
    let load = Load::on(side.host.ingress()).connections(CONNECTIONS).keys(256).batch(BATCH);
    let (load, begin) = (load.ahead_of(Arc::clone(&done), AHEAD).start(), Instant::now());
    let watching = async {
        loop {
            done.store(slowest().await, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // The watch has no end of its own.
    let _ = tokio::time::timeout(TRIED, watching).await;
    let report = load.stop().await;
    until_true("all four have it", PATIENCE, async || slowest().await >= report.acknowledged).await;
    report.acknowledged as f64 / begin.elapsed().as_secs_f64()
}

/// What a backend got in all rounds.
struct Felt {
    events: usize,
    /// From the first that was sent in a round until the last of it was there.
    micros: u64,
    /// The 99th percentile of each round, from sending to arrival, in milliseconds.
    p99s: Vec<f64>,
}

impl Felt {
    const fn new() -> Self {
        Self { events: 0, micros: 0, p99s: Vec::new() }
    }

    fn note(&mut self, sent: &HashMap<Ticket, u64>, arrived: &[(Ticket, u64)]) {
        let mut times: Vec<f64> = arrived
            .iter()
            .filter_map(|(ticket, at)| Some(at.saturating_sub(*sent.get(ticket)?) as f64 / 1e3))
            .collect();
        times.sort_by(f64::total_cmp);
        self.p99s.push(times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN));
        let first = sent.values().min().copied().unwrap_or_default();
        let last = arrived.iter().map(|(_, at)| *at).max().unwrap_or_default();
        self.events += sent.len();
        self.micros += last.saturating_sub(first);
    }

    /// Events a second.
    fn rate(&self) -> f64 {
        self.events as f64 * 1e6 / self.micros as f64
    }
}

/// Notes what a topic gets, by the broker's own clock.
fn read_kafka(kafka: &Kafka, topic: &str, arrivals: Arrivals, stop: Arc<AtomicBool>) -> JoinHandle<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.server()).set("group.id", "bench");
    let consumer: BaseConsumer = config.create().expect("a client can be made");
    let mut places = TopicPartitionList::new();
    for partition in 0..3 {
        let begin = places.add_partition_offset(topic, partition, Offset::Beginning);
        begin.expect("the beginning is an offset");
    }
    consumer.assign(&places).expect("partitions can be assigned");
    tokio::task::spawn_blocking(move || {
        while !stop.load(Ordering::Relaxed) {
            let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) else { continue };
            let millis = record.timestamp().to_millis().and_then(|at| u64::try_from(at).ok());
            arrivals.note(record.payload().unwrap_or_default(), millis.unwrap_or_default() * 1_000);
        }
    })
}

/// Notes what is published to a subject.
async fn read_nats(nats: &JetStream, subject: &str, arrivals: Arrivals) -> JoinHandle<()> {
    let url = format!("nats://{}", nats.server().address());
    let client = until("the reader connects", PATIENCE, async || async_nats::connect(&url).await.ok()).await;
    let mut messages = client.subscribe(subject.to_owned()).await.expect("the reader may subscribe");
    tokio::spawn(async move {
        // The subscription lives as long as the client.
        let _client = client;
        while let Some(message) = messages.next().await {
            arrivals.note(&message.payload, now_micros());
        }
    })
}
