//! Brokers that die and networks that misbehave: a short version of `cargo xtask soak brokers` and `soak faults`, each
//! backend by itself.

use stagewire_tests::campaigns::{Length, brokers, faults};

macro_rules! each {
    ($($name:ident: $broker:ty),* $(,)?) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn outlives_a_network_that_misbehaves() {
                let seed = fastrand::u64(..);
                println!("seed {seed}");
                let verdict = faults::against::<$broker>(Length::Short, &mut fastrand::Rng::with_seed(seed)).await;
                println!("{verdict}");
                verdict.must_be_clean();
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn outlives_a_broker_that_is_killed_again_and_again() {
                let verdict = brokers::against::<$broker>(Length::Short).await;
                println!("{verdict}");
                verdict.must_be_clean();
            }
        }
    )*};
}

each! {
    redis_streams: stagewire_tests::Redis,
    kafka: stagewire_tests::Kafka,
    jetstream: stagewire_tests::JetStream,
    rabbitmq: stagewire_tests::RabbitMq,
    webhook: stagewire_tests::Receiver,
}
