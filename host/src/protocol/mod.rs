//! The CloudEvents bindings: one file per transport, used by ingress and backends alike.

pub mod http;
pub mod json;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "cloudevents-sdk")]
pub mod sdk;
