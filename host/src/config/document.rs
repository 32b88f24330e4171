//! Sections of the inter-stage document whose backends are not in this build: accepted and checked to the letter.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

type Section = (&'static str, fn(&mut SchemaGenerator) -> Schema);

pub(super) const PENDING: &[Section] = &[
    ("nats", SchemaGenerator::subschema_for::<Nats>),
    ("rabbitmq", SchemaGenerator::subschema_for::<Rabbitmq>),
];

/// NATS and `JetStream`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by the schema only, until the backend exists")]
struct Nats {
    servers: Option<Vec<String>>,
    subject: Option<String>,
    jetstream: Option<bool>,
    stream: Option<String>,
    durable_name: Option<String>,
}

/// `RabbitMQ`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by the schema only, until the backend exists")]
struct Rabbitmq {
    url: Option<String>,
    exchange: Option<String>,
    exchange_type: Option<String>,
    routing_key: Option<String>,
    durable: Option<bool>,
}
