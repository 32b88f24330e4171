//! What survives a crash: a short version of `cargo xtask soak kill`, and a backend that is away meanwhile.

use stagewire_tests::brokers::Broker as _;
use stagewire_tests::campaigns::{Length, kill};
use stagewire_tests::{Host, Redis, stories};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_arrives_though_the_host_is_killed() {
    println!("{}", kill::run(Length::Short).await);
}

#[tokio::test]
async fn events_accepted_while_redis_is_away_arrive_after_a_crash() {
    let mut redis = Redis::start().await;
    let mut host = Host::with(redis.events_section()).start().await;
    redis.kill().await;
    host.send_all(&stories::processed()).await;
    host.kill().await;
    redis.again().await;
    host.restart().await;
    redis.stream("nlp-events").has(stories::STORIES.len()).await;
    host.has_settled().await;
}
