//! SIGTERM: what was accepted is delivered, then the host ends; SIGHUP reloads.

use std::time::Duration;

use rustix::process::Signal;
use stagewire_tests::brokers::Broker as _;
use stagewire_tests::load::Load;
use stagewire_tests::{Host, Redis, stories};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_is_delivered_before_the_host_ends() {
    let redis = Redis::start().await;
    let mut host = Host::with(redis.events_section()).start().await;
    let load = Load::on(host.ingress()).connections(8).pace(Duration::from_millis(1)).with_ledger().start();
    stagewire_tests::waiting::until_true("events flow", Duration::from_secs(30), async || {
        load.acknowledged() > 500
    })
    .await;
    let status = host.terminate().await;
    assert!(status.success(), "{status}\n{}", host.log());
    let report = load.stop().await;
    let ids = redis.stream("nlp-events").ids().await;
    report.ledger.check(ids.iter().map(String::as_str)).must_be_clean();
}

#[tokio::test]
async fn a_backend_that_is_away_does_not_hold_the_end_up_and_loses_nothing() {
    let mut redis = Redis::start().await;
    let mut host = Host::with(redis.events_section()).host("drain_timeout: 500ms").start().await;
    redis.kill().await;
    host.send_all(&stories::processed()).await;
    assert!(host.terminate().await.success());
    redis.again().await;
    host.restart().await;
    redis.stream("nlp-events").has(stories::STORIES.len()).await;
}

#[tokio::test]
async fn sighup_reloads() {
    let redis = Redis::start().await;
    let host = Host::with(redis.events_section()).start().await;
    let before = host.generation().await;
    let routes = "routes:\n  - name: only-batches\n    match: [{ prefix: { subject: batch/ } }]\n    deliver: [redis_streams]\n";
    host.put_settings(&format!("{}{routes}", redis.events_section()));
    host.signal(Signal::HUP);
    host.generation_after(before).await;
    host.send_all(&[stories::STORIES[0].processed(), stories::completed()]).await;
    host.has_settled().await;
    assert_eq!(redis.stream("nlp-events").ids().await, ["evt_batch_completed"]);
}
