//! Lanes under stress: a backend that is away for long, a full overflow, a breaker, a rate.

use std::time::{Duration, Instant};

use stagewire_tests::brokers::Broker as _;
use stagewire_tests::load::Load;
use stagewire_tests::waiting::{PATIENCE, until_true};
use stagewire_tests::{Host, Receiver, Redis, stories};

/// Two backends of one kind: what one suffers must not be felt by the other.
fn two(first: &Redis, second: &Redis) -> String {
    let entry = |name: &str, redis: &Redis| {
        format!(
            "    - {{ name: {name}, type: redis_streams, config: {{ url: \"{}\", stream_name: s, max_len: 0 }} }}\n",
            redis.url()
        )
    };
    format!("events:\n  enabled: true\n  backends:\n{}{}", entry("away", first), entry("there", second))
}

async fn lane(host: &Host, name: &str) -> serde_json::Value {
    let status = host.status().await;
    let lanes = status["lanes"].as_array().cloned().unwrap_or_default();
    lanes.into_iter().find(|lane| lane["name"] == name).expect("the lane is there")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_lane_leaves_its_events_in_the_journal_and_gets_them_without_a_restart() {
    let (mut away, there) =
        (<Redis as stagewire_tests::brokers::Broker>::start().await, Redis::start().await);
    let host = Host::with(two(&away, &there))
        .host("delivery: { queue: 100, overflow: 1MiB, retry_max: 500ms }")
        .start()
        .await;
    away.kill().await;
    let load = Load::on(host.ingress()).connections(8).with_ledger().start();
    until_true("the lane is full", PATIENCE, async || lane(&host, "away").await["full"] == true).await;
    let more = load.acknowledged() + 3_000;
    until_true("the host goes on accepting", PATIENCE, async || load.acknowledged() >= more).await;
    let report = load.stop().await;
    // The other lane has all of it while this one is still away.
    there.stream("s").has(report.ledger.owed()).await;
    let state = lane(&host, "away").await;
    assert!(state["overflow_bytes"].as_u64() <= Some(1 << 20), "{state}");
    away.again().await;
    host.has_settled().await;
    let ids = away.stream("s").ids().await;
    report.ledger.check(ids.iter().map(String::as_str)).must_be_clean();
    let ids = there.stream("s").ids().await;
    report.ledger.check(ids.iter().map(String::as_str)).must_be_clean();
    assert_eq!(ids.len(), report.ledger.owed(), "nothing was sent twice to the lane that had it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_lane_missed_outlives_the_end_of_the_host() {
    let (mut away, there) =
        (<Redis as stagewire_tests::brokers::Broker>::start().await, Redis::start().await);
    let mut host = Host::with(two(&away, &there))
        .host("delivery: { queue: 100, overflow: 1MiB }")
        .host("drain_timeout: 1s")
        .start()
        .await;
    away.kill().await;
    let load = Load::on(host.ingress()).connections(8).with_ledger().start();
    until_true("the lane is full", PATIENCE, async || lane(&host, "away").await["full"] == true).await;
    let report = load.stop().await;
    assert!(host.terminate().await.success());
    away.again().await;
    host.restart().await;
    host.has_settled().await;
    let ids = away.stream("s").ids().await;
    report.ledger.check(ids.iter().map(String::as_str)).must_be_clean();
}

#[tokio::test]
async fn a_breaker_opens_is_shown_and_closes() {
    let receiver = Receiver::start().await;
    receiver.answer_first(&[500; 30]);
    let settings = format!(
        "events:\n  enabled: true\n  backend: webhook\n  webhook: {{ urls: [\"{}\"], retry_attempts: 100, retry_delay_seconds: 0.001 }}\n",
        receiver.url()
    );
    let host = Host::with(settings)
        .host("delivery: { breaker: { least: 10, pause: 500ms }, retry_max: 500ms }")
        .start()
        .await;
    host.send_all(&stories::processed()).await;
    until_true("the breaker is open", PATIENCE, async || lane(&host, "webhook").await["breaker"] == "open")
        .await;
    let shown = host.run(&["status", "--config", &host.settings_path().to_string_lossy()]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("breaker"), "{shown}");
    host.metric_reaches("stagewire_lane_breaker", &["backend=\"webhook\""], 1.0).await;
    receiver.has(stories::STORIES.len()).await;
    host.has_settled().await;
    until_true("it is closed", PATIENCE, async || lane(&host, "webhook").await["breaker"] == "closed").await;
}

#[tokio::test]
async fn each_backend_keeps_to_its_own_rate() {
    let (slow, fast) = (Redis::start().await, Redis::start().await);
    let settings = two(&slow, &fast).replacen(" } }\n", " }, delivery: { rate: 50 } }\n", 1);
    let host = Host::with(settings).start().await;
    let begin = Instant::now();
    let events: Vec<_> = (0..100)
        .map(|id| serde_json::json!({ "specversion": "1.0", "id": id.to_string(), "source": "s", "type": "t" }))
        .collect();
    assert_eq!(host.send_batch(&events).await.status, 202);
    fast.stream("s").has(100).await;
    assert!(slow.stream("s").length().await < 100, "the slow one takes two seconds");
    slow.stream("s").has(100).await;
    assert!(begin.elapsed() >= Duration::from_millis(1_700), "{:?}", begin.elapsed());
}
