//! `RabbitMQ`: an exchange and a routing key; an event is confirmed by the broker, and only if a queue took it.

mod connection;
mod publish;
mod queues;
mod refusal;

use std::path::{Path, PathBuf};
use std::time::Duration;

use lapin::uri::AMQPUri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::content::Content;
use super::template::Template;
use super::{Settings, Target};
use crate::config::units::Span;
use crate::names::BackendName;

/// What someone must mend is looked at again after that long.
const MENDED_BY_HAND: Duration = Duration::from_secs(5);

/// `events.rabbitmq`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("dependentRequired" = { "certificate": ["key"], "key": ["certificate"] }))]
pub struct Rabbitmq {
    /// Where it is: `amqp://user:password@host:5672/vhost`, or `amqps://` for TLS. Without a vhost, `/`.
    #[schemars(regex(pattern = r"^amqps?://"))]
    pub url: String,
    /// The exchange that events are published to.
    #[schemars(length(max = 255))]
    pub exchange: String,
    /// Its type: topic, direct, fanout, headers, or one that a plugin brings.
    #[schemars(length(min = 1, max = 255))]
    pub exchange_type: String,
    /// The routing key of each event. `{type}`, `{subject}` and any other attribute in braces stand for its value.
    #[schemars(regex(pattern = r"^([^{}]|\{\{|\}\}|\{[a-z0-9]+\})*$"))]
    pub routing_key: String,
    /// The exchange and the events outlive a restart of the broker; events do where their queue does.
    pub durable: bool,
    /// Make the exchange where it is missing; one that is there must be of this type and durability.
    pub declare: bool,
    /// An event that no queue takes counts as not delivered. While false it is gone without a word.
    pub mandatory: bool,
    /// How an event is carried.
    pub content: Content,
    /// Events of different ordering keys that may wait for their confirmation at once.
    pub window: usize,
    /// How often both sides show that they are there; a silent connection is given up after twice that.
    pub heartbeat: Span,
    /// PEM file of authorities that the broker's certificate may be signed by, beside the system's.
    #[schemars(example = &"/etc/stagewire/rabbitmq-ca.pem")]
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client's certificate, where the broker asks for one.
    #[schemars(example = &"/etc/stagewire/client.pem")]
    pub certificate: Option<PathBuf>,
    /// PEM file of that certificate's key.
    #[schemars(example = &"/etc/stagewire/client.key")]
    pub key: Option<PathBuf>,
    /// The longest to wait for a connection, and again for a confirmation.
    pub timeout: Span,
    /// Queues of the next stages whose depth is shown.
    pub consumers: Vec<String>,
    /// How often they are looked at.
    pub consumers_interval: Span,
}

impl Default for Rabbitmq {
    fn default() -> Self {
        Self {
            url: "amqp://guest:guest@rabbitmq:5672/".into(),
            exchange: "nlp-events".into(),
            exchange_type: "topic".into(),
            routing_key: "document.processed".into(),
            durable: true,
            declare: true,
            mandatory: true,
            content: Content::Structured,
            window: 256,
            heartbeat: Span::millis(30_000),
            ca_file: None,
            certificate: None,
            key: None,
            timeout: Span::millis(10_000),
            consumers: Vec::new(),
            consumers_interval: super::CONSUMERS_INTERVAL,
        }
    }
}

impl Settings for Rabbitmq {
    fn open(self, name: BackendName, _: &Path) -> Result<Vec<Target>, String> {
        let address = super::without_credentials(&self.url);
        let uri = self.uri(&address)?;
        let routing_key =
            Template::parse(&self.routing_key).map_err(|error| format!("routing_key: {error}"))?;
        self.check()?;
        let backend = publish::Publisher::new(name.clone(), address.clone(), self, uri, routing_key);
        Ok(vec![Target { name, address, backend: Box::new(backend), max_retries: None, pause: None }])
    }
}

impl Rabbitmq {
    fn uri(&self, shown: &str) -> Result<AMQPUri, String> {
        // The parser's own words may show the password.
        let mut uri: AMQPUri = self.url.parse().map_err(|_: String| {
            format!("url: {shown:?} is no address of a broker; write it like amqp://user:password@rabbitmq:5672/vhost")
        })?;
        // "amqp://host/" means the vhost "/" to most clients, and so it does in the inter-stage document.
        if uri.vhost.is_empty() {
            "/".clone_into(&mut uri.vhost);
        }
        let seconds = u16::try_from(self.heartbeat.0.as_secs()).unwrap_or(u16::MAX);
        uri.query.heartbeat.get_or_insert(seconds.max(1));
        Ok(uri)
    }

    fn check(&self) -> Result<(), String> {
        for (key, text) in [("exchange", &self.exchange), ("exchange_type", &self.exchange_type)] {
            if text.len() > 255 {
                return Err(format!("{key} is longer than 255 bytes; shorten it"));
            }
        }
        if self.exchange_type.is_empty() {
            return Err("exchange_type is empty; write topic, direct, fanout or headers".into());
        }
        if self.certificate.is_some() != self.key.is_some() {
            return Err("certificate and key go together; give both".into());
        }
        Ok(())
    }
}
