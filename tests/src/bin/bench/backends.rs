//! (h) Each backend of the host against the client library that it uses, by hand.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lapin::options::QueuePurgeOptions;
use stagewire_tests::brokers::nats::Rules;
use stagewire_tests::brokers::{self, Broker, Content};
use stagewire_tests::load::Load;
use stagewire_tests::process::all_cpu;
use stagewire_tests::wire::{self, Connection};
use stagewire_tests::{Host, JetStream, Kafka, RabbitMq, Redis, arrival, places};
use tokio::process::Command;

use crate::contenders::{ROUNDS, Round};
use crate::figures::{compare, median};
use crate::sink::Sink;

const ROUND: Duration = Duration::from_secs(3);
/// With what is under way, fewer than a lane keeps in memory: what is measured is the lane, not its overflow.
const AHEAD: u64 = 12_000;
/// How often the host is asked how far it is. It costs the host a little, and in that time no backend takes that many.
const LOOK: Duration = Duration::from_millis(20);
/// Between two looks it is taken to go on at its pace, so many times: otherwise senders would rest and then come all at once.
const STEPS: u32 = 10;

/// What the client library is told to send to.
struct Hand<'a> {
    kind: &'a str,
    target: &'a str,
    name: &'a str,
}

/// The backends, as they are named in settings.
pub(crate) const KINDS: [&str; 5] = ["redis_streams", "kafka", "nats", "rabbitmq", "webhook"];

/// Throughput and processor time of those backends.
pub(crate) async fn against_hand(kinds: &[String]) {
    for kind in kinds {
        match kind.as_str() {
            "redis_streams" => redis().await,
            "kafka" => kafka().await,
            "nats" => jetstream().await,
            "rabbitmq" => rabbitmq().await,
            _ => webhook().await,
        }
    }
}

async fn redis() {
    let redis = Redis::start().await;
    let url = redis.url();
    let host =
        host("redis_streams", &format!("{{ url: \"{url}\", stream_name: host, max_len: 10000 }}")).await;
    let hand = Hand { kind: "redis_streams", target: &url, name: "hand" };
    side_by_side(&host, &hand, "at least 0.6", async || {}).await;
}

async fn kafka() {
    let kafka = <Kafka as Broker>::start().await;
    kafka.create_topic("hand", &[]).await;
    // Both without compression, which is the library's work either way, and with the sequence kept by the broker.
    let host =
        host(Kafka::KIND, &kafka.config(Content::Structured, "compression_type: none, acks: all")).await;
    let server = kafka.server();
    let hand = Hand { kind: Kafka::KIND, target: &server, name: "hand" };
    side_by_side(&host, &hand, "at least 0.6", async || {}).await;
}

async fn jetstream() {
    let nats = JetStream::with(&Rules::open()).await;
    nats.create("HAND", "hand").await;
    nats.create("HOST", "host").await;
    let url = format!("nats://{}", nats.server().address());
    // Both without `Nats-Msg-Id`: the ids begin anew with each round.
    let config =
        format!("{{ servers: [\"{url}\"], subject: host, stream: HOST, deduplicate: false, window: 1000 }}");
    let host = host(JetStream::KIND, &config).await;
    let hand = Hand { kind: JetStream::KIND, target: &url, name: "hand" };
    side_by_side(&host, &hand, "at least 0.6", async || {}).await;
}

async fn rabbitmq() {
    let broker = <RabbitMq as Broker>::start().await;
    let host = host(RabbitMq::KIND, &broker.config(Content::Structured, "window: 1000")).await;
    let url = format!("{}/%2f", broker.url("stage2:right"));
    let hand = Hand { kind: RabbitMq::KIND, target: &url, name: "contract" };
    let (_connection, channel) = broker.channel().await;
    let purge = async || {
        // Nobody reads the queue, and a long one makes the broker slow.
        let purged = channel.queue_purge("contract".into(), QueuePurgeOptions::default()).await;
        purged.expect("the queue can be emptied");
    };
    side_by_side(&host, &hand, "at least 0.9", purge).await;
}

async fn webhook() {
    let sink = Sink::start().await;
    let url = sink.url();
    let host = host("webhook", &format!("{{ urls: [\"{url}\"], concurrency: 32 }}")).await;
    let hand = Hand { kind: "webhook", target: &url, name: "" };
    side_by_side(&host, &hand, "at least 0.8", async || {}).await;
}

async fn host(kind: &str, config: &str) -> Host {
    let settings = brokers::events(kind, config);
    Host::with(format!("{settings}  monitoring: {{ log_events: false }}\n")).start().await
}

/// Rounds of both in turn, and their medians.
async fn side_by_side(host: &Host, hand: &Hand<'_>, bound: &str, after: impl AsyncFn()) {
    let [mut rates, mut costs, mut rests] = [const { [const { Vec::new() }; 2] }; 3];
    saturated(host, Duration::from_millis(500)).await;
    for _ in 0..ROUNDS {
        for side in 0..2 {
            let Round { cpu, rate, rest } =
                if side == 0 { saturated(host, ROUND).await } else { by_hand(hand).await };
            rates[side].push(rate);
            costs[side].push(cpu);
            rests[side].push(rest);
            after().await;
        }
    }
    let kind = hand.kind;
    let both = |[host, hand]: [Vec<f64>; 2]| [("host", median(host)), ("by hand", median(hand))];
    compare(kind, "/s", both(rates), bound);
    compare("", "µs CPU an event", both(costs), "for information");
    // With the host there is a sender more; the broker, and what the system does for either, are on both sides.
    compare("", "µs of others", both(rests), "load, broker, system");
}

/// A round of as much load as the host's one backend takes, until all of it is confirmed.
pub(crate) async fn saturated(host: &Host, length: Duration) -> Round {
    let before = arrival::done_with(host).await;
    let done = Arc::new(AtomicU64::new(0));
    let (cpu, all, begin) = (host.process().cpu(), all_cpu(), Instant::now());
    let load = batches(host.ingress()).ahead_of(Arc::clone(&done), AHEAD).start();
    // Over one connection: what is looked at so often shall cost little.
    let address = host.admin_address().to_string();
    let asking = wire::request("GET", "/api/v1/status", &[("host", &address)], b"");
    let mut admin = Connection::open(host.admin_address()).await.expect("the admin API can be reached");
    let watching = async {
        let mut beat = tokio::time::interval(LOOK / STEPS);
        let mut known = 0;
        loop {
            beat.tick().await;
            let status = admin.exchange(&asking).await.expect("the admin API answers").json();
            let now = arrival::done_in(&status) - before;
            let step = (now - known) / u64::from(STEPS);
            known = now;
            for steps in 0..u64::from(STEPS) {
                done.store(known + steps * step, Ordering::Relaxed);
                beat.tick().await;
            }
        }
    };
    // The watch has no end of its own.
    let _ = tokio::time::timeout(length, watching).await;
    let report = load.stop().await;
    assert_eq!(report.failures(), 0, "requests failed: {:?}", report.statuses);
    arrival::has_done(host, before + report.acknowledged).await;
    let elapsed = begin.elapsed().as_secs_f64();
    let cpu = host.process().cpu().saturating_sub(cpu);
    let rest = all_cpu().saturating_sub(all + cpu);
    let events = report.acknowledged as f64;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / events;
    Round { cpu: each(cpu), rest: each(rest), rate: events / elapsed }
}

/// Batches of events of many documents, each of them an ordering key.
pub(crate) fn batches(to: SocketAddr) -> Load {
    Load::on(to).connections(16).keys(256).batch(100)
}

async fn by_hand(Hand { kind, target, name }: &Hand<'_>) -> Round {
    let mut command = Command::new(places::program("producer"));
    command.args([kind, target, name]).arg(ROUND.as_secs().to_string());
    let output = command.stderr(Stdio::inherit()).kill_on_drop(true).output().await;
    let output = output.expect("the producer can be started");
    assert!(output.status.success(), "the producer ended with {}", output.status);
    let said = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [events, micros, cpu, rest] = figures[..] else { panic!("the producer said {said:?}") };
    Round { cpu: cpu / events, rest: rest / events, rate: events * 1e6 / micros }
}
