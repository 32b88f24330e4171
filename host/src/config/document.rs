//! Sections of the inter-stage document whose backends are not in this build: accepted and checked to the letter.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

type Section = (&'static str, fn(&mut SchemaGenerator) -> Schema);

pub(super) const PENDING: &[Section] = &[("kafka", SchemaGenerator::subschema_for::<Kafka>)];

/// Apache Kafka.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by the schema only, until the backend exists")]
struct Kafka {
    bootstrap_servers: Option<Vec<String>>,
    topic: Option<String>,
    compression_type: Option<Compression>,
    acks: Option<i32>,
    retries: Option<u32>,
    max_in_flight_requests: Option<u32>,
    client_id: Option<String>,
    security_protocol: Option<String>,
    sasl_mechanism: Option<String>,
    sasl_username: Option<String>,
    sasl_password: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}
