//! What the end-to-end suites, campaigns, benchmarks and the demo are made of: a real host, real brokers, and clients
//! that others wrote. A test reads as a sentence:
//!
//! ```no_run
//! # async fn reads_like_this() {
//! use stagewire_tests::{Host, Redis, stories};
//!
//! let redis = Redis::start().await;
//! let host = Host::with(redis.events_section()).start().await;
//! host.send_all(&stories::processed()).await;
//! redis.stream("nlp-events").has(stories::STORIES.len()).await;
//! # }
//! ```
//!
//! Whatever is started here listens on a free loopback port, lives in a temporary directory and dies with its value.

pub mod arrival;
pub mod brokers;
pub mod browser;
pub mod campaigns;
pub mod certificates;
pub mod checker;
pub mod collector;
pub mod host;
pub mod languages;
pub mod load;
pub mod peers;
pub mod places;
pub mod process;
pub mod registry;
pub mod stories;
pub mod terminal;
pub mod toxiproxy;
pub mod waiting;
pub mod wire;

pub use brokers::kafka::{self, Kafka, KafkaInSync};
pub use brokers::nats::{CoreNats, JetStream};
pub use brokers::rabbitmq::{self, RabbitMq};
pub use brokers::receiver::{self, Receiver, SecuredReceiver};
pub use brokers::redis::{self, Redis};
pub use browser::Browser;
pub use collector::Collector;
pub use host::Host;
pub use registry::Registry;
pub use terminal::Terminal;
pub use toxiproxy::Toxiproxy;
