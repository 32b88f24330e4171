//! The CloudEvents bindings: one file per transport, used by ingress and backends alike.

#[cfg(feature = "rabbitmq")]
pub mod amqp;
mod binary;
pub mod http;
pub mod json;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "redis_streams")]
pub mod redis;
mod scan;
#[cfg(feature = "cloudevents-sdk")]
pub mod sdk;
