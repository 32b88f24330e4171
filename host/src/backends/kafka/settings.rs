//! `events.kafka`: what can be set, what is refused, and what librdkafka is told.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::content::Content;
use super::super::{CONSUMERS_INTERVAL, Settings, Target};
use super::Cluster;
use crate::config::units::{Size, Span};
use crate::names::BackendName;

/// Larger events are refused here; smaller ones by the topic, whose `max.message.bytes` is not known here.
const LARGEST: u64 = 64 << 20;

/// `events.kafka`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(
    extend("dependentRequired" = {
        "ssl_certificate_file": ["ssl_key_file"],
        "ssl_key_file": ["ssl_certificate_file"],
    }),
    extend("allOf" = [
        {
            "if": { "properties": { "security_protocol": { "enum": ["SASL_PLAINTEXT", "SASL_SSL"] } }, "required": ["security_protocol"] },
            "then": { "required": ["sasl_mechanism", "sasl_username", "sasl_password"] },
            "else": {
                "if": { "properties": { "security_protocol": { "enum": ["PLAINTEXT", "SSL"] } } },
                "then": { "not": { "anyOf": [{ "required": ["sasl_mechanism"] }, { "required": ["sasl_username"] }] } },
            },
        },
        {
            "if": { "properties": { "idempotence": { "const": true } }, "required": ["idempotence"] },
            "then": { "properties": { "acks": { "not": { "enum": [0, 1] } } }, "required": ["acks"] },
        },
    ])
)]
pub struct Kafka {
    /// Brokers to begin with, as `host:port`; the others are learnt from them.
    #[schemars(length(min = 1))]
    pub bootstrap_servers: Vec<String>,
    /// The topic.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,249}$"))]
    pub topic: String,
    /// How batches are compressed.
    pub compression_type: Compression,
    /// Who must have an event before it counts as delivered: 0 nobody, 1 the partition's leader, -1 or `all` every
    /// in-sync replica.
    pub acks: Acks,
    /// Tries after the first of an event that Kafka refuses for a reason that may pass; an outage does not count.
    pub retries: u32,
    /// Requests under way to one broker at once, 5 at most with idempotence. Without idempotence it is always one:
    /// of two, the second could overtake the first where that is tried again.
    #[schemars(range(min = 1))]
    pub max_in_flight_requests: u32,
    /// What the broker calls this client in its logs and quotas.
    pub client_id: String,
    /// Whether the connection is encrypted, and whether this client says who it is.
    pub security_protocol: SecurityProtocol,
    /// How this client says who it is, with `SASL_PLAINTEXT` and `SASL_SSL`.
    pub sasl_mechanism: Option<SaslMechanism>,
    /// The user.
    #[schemars(example = &"${KAFKA_USERNAME}")]
    pub sasl_username: String,
    /// The user's password.
    #[schemars(example = &"${file:/run/secrets/kafka}")]
    pub sasl_password: String,
    /// PEM file of the authorities to trust; those of the system where absent.
    #[schemars(example = &"/etc/stagewire/kafka-ca.pem")]
    pub ssl_ca_file: Option<PathBuf>,
    /// PEM file of this client's certificate, where the broker asks for one.
    #[schemars(example = &"/etc/stagewire/client.pem")]
    pub ssl_certificate_file: Option<PathBuf>,
    /// PEM file of that certificate's private key.
    #[schemars(example = &"/etc/stagewire/client.key")]
    pub ssl_key_file: Option<PathBuf>,
    /// Let the broker drop what a retried request brings twice. Needs `acks: all`, and is on with it where absent.
    pub idempotence: Option<bool>,
    /// How long a request waits to be filled: as in Kafka's own clients since 4.0 (KIP-1030).
    pub linger: Span,
    /// The most that one request holds for a partition, uncompressed; keep it below the topic's `max.message.bytes`.
    pub batch_size: Size,
    /// How long Kafka may take to answer, and to confirm a batch, until the connection is given up and made anew.
    pub timeout: Span,
    /// The attribute whose value is the record's key; the event's ordering key (`partitionkey`, else `subject`, else
    /// `source`) where absent, and for events without that attribute.
    #[schemars(example = &"subject")]
    pub key: Option<String>,
    /// How an event is carried.
    pub content: Content,
    /// Create the topic if it is missing, with the broker's defaults.
    pub auto_create: bool,
    /// More properties of librdkafka, by its names; values are text.
    #[schemars(
        example = serde_json::json!({ "socket.keepalive.enable": "true" }),
        extend("propertyNames" = { "not": { "enum": taken() } })
    )]
    pub properties: BTreeMap<String, String>,
    /// Consumer groups of the topic whose lag is shown: committed offsets against the partitions' ends.
    pub consumers: Vec<String>,
    /// How often they are looked at.
    pub consumers_interval: Span,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            bootstrap_servers: vec!["kafka:9092".into()],
            topic: "nlp-document-events".into(),
            compression_type: Compression::Gzip,
            acks: Acks::Leader,
            retries: 3,
            max_in_flight_requests: 5,
            client_id: "stage2-nlp-producer".into(),
            security_protocol: SecurityProtocol::Plaintext,
            sasl_mechanism: None,
            sasl_username: String::new(),
            sasl_password: String::new(),
            ssl_ca_file: None,
            ssl_certificate_file: None,
            ssl_key_file: None,
            idempotence: None,
            linger: Span::millis(5),
            batch_size: Size(1_000_000),
            timeout: Span::millis(10_000),
            key: None,
            content: Content::Structured,
            auto_create: false,
            properties: BTreeMap::new(),
            consumers: Vec::new(),
            consumers_interval: CONSUMERS_INTERVAL,
        }
    }
}

/// `events.kafka.compression_type`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// `events.kafka.security_protocol`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum SecurityProtocol {
    #[serde(alias = "plaintext")]
    Plaintext,
    #[serde(alias = "ssl")]
    Ssl,
    #[serde(alias = "sasl_plaintext")]
    SaslPlaintext,
    #[serde(alias = "sasl_ssl")]
    SaslSsl,
}

impl SecurityProtocol {
    fn word(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    fn is_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }
}

/// `events.kafka.sasl_mechanism`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum SaslMechanism {
    #[serde(rename = "PLAIN", alias = "plain")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256", alias = "scram-sha-256")]
    ScramSha256,
    #[serde(rename = "SCRAM-SHA-512", alias = "scram-sha-512")]
    ScramSha512,
}

impl SaslMechanism {
    fn word(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// `events.kafka.acks`: a number as the document has it, or `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Acks {
    None,
    Leader,
    All,
}

impl Acks {
    fn number(self) -> i8 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

impl Serialize for Acks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i8(self.number())
    }
}

impl<'de> Deserialize<'de> for Acks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_lowercase);
        match text.as_str() {
            "0" => Ok(Self::None),
            "1" => Ok(Self::Leader),
            "-1" | "all" => Ok(Self::All),
            _ => Err(serde::de::Error::custom(format_args!(
                "acks: {text} is not known; write 0, 1, -1 or all"
            ))),
        }
    }
}

impl JsonSchema for Acks {
    fn schema_name() -> Cow<'static, str> {
        "Acks".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [0, 1, -1, "all"] })
    }
}

/// Properties of librdkafka that have a key of ours, which is the one way to set them.
const KEYS: [(&str, &str); 25] = [
    ("acks", "acks"),
    ("batch.size", "batch_size"),
    ("bootstrap.servers", "bootstrap_servers"),
    ("client.id", "client_id"),
    ("compression.codec", "compression_type"),
    ("compression.type", "compression_type"),
    ("enable.idempotence", "idempotence"),
    ("linger.ms", "linger"),
    ("max.in.flight", "max_in_flight_requests"),
    ("max.in.flight.requests.per.connection", "max_in_flight_requests"),
    ("message.send.max.retries", "retries"),
    ("metadata.broker.list", "bootstrap_servers"),
    ("queue.buffering.max.ms", "linger"),
    ("request.required.acks", "acks"),
    ("request.timeout.ms", "timeout"),
    ("retries", "retries"),
    ("sasl.mechanism", "sasl_mechanism"),
    ("sasl.mechanisms", "sasl_mechanism"),
    ("sasl.password", "sasl_password"),
    ("sasl.username", "sasl_username"),
    ("security.protocol", "security_protocol"),
    ("socket.timeout.ms", "timeout"),
    ("ssl.ca.location", "ssl_ca_file"),
    ("ssl.certificate.location", "ssl_certificate_file"),
    ("ssl.key.location", "ssl_key_file"),
];

/// Properties that order per key and the confirmation of whole batches rest on.
const FIXED: [&str; 8] = [
    "allow.auto.create.topics",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "log.queue",
    "message.timeout.ms",
    "partitioner",
    "queuing.strategy",
    "transactional.id",
];

/// Properties that cannot be set by their own names.
fn taken() -> Vec<&'static str> {
    KEYS.iter().map(|(property, _)| *property).chain(FIXED).collect()
}

impl Settings for Kafka {
    fn open(self, name: BackendName, _: &Path) -> Result<Vec<Target>, String> {
        self.check()?;
        let config = self.client_config()?;
        let address = format!("{}/{}", self.servers(), self.topic);
        // The lane's tries: librdkafka's own are without limit within `timeout`, for one request given up with
        // others behind it would put these out of order.
        let max_retries = Some(self.retries);
        let backend = Box::new(Cluster::new(name.clone(), self, config));
        Ok(vec![Target { name, address, backend, max_retries, pause: None }])
    }
}

impl Kafka {
    /// Whether the broker drops what comes twice.
    pub(super) fn is_idempotent(&self) -> bool {
        self.idempotence.unwrap_or(self.acks == Acks::All)
    }

    /// The brokers, as they are shown.
    pub(super) fn servers(&self) -> String {
        self.bootstrap_servers.join(",")
    }

    fn check(&self) -> Result<(), String> {
        if self.servers().is_empty() {
            return Err("bootstrap_servers is empty; name at least one broker, like kafka:9092".into());
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.topic.is_empty() || self.topic.len() > 249 || !self.topic.chars().all(allowed) {
            return Err(format!(
                "topic {:?} is no name of a topic; use 1 to 249 letters, digits, dots, underscores and hyphens",
                self.topic
            ));
        }
        if let Some(key) = self.key.as_ref().filter(|key| !is_attribute(key)) {
            return Err(format!("key {key:?} is no attribute; write its name in lower case, like subject"));
        }
        if self.is_idempotent() && self.acks != Acks::All {
            return Err(format!(
                "idempotence needs acks: all, and acks is {}; set acks: all, or leave idempotence out",
                self.acks.number()
            ));
        }
        if self.is_idempotent() && self.max_in_flight_requests > 5 {
            return Err(format!(
                "max_in_flight_requests is {}, and idempotence allows 5; write a number from 1 to 5",
                self.max_in_flight_requests
            ));
        }
        self.check_sasl()?;
        self.check_tls()
    }

    fn check_sasl(&self) -> Result<(), String> {
        let protocol = self.security_protocol.word();
        let named = !self.sasl_username.is_empty() || self.sasl_mechanism.is_some();
        match (self.security_protocol.is_sasl(), self.sasl_mechanism) {
            (false, _) if named => Err(format!(
                "sasl_username or sasl_mechanism is set, and security_protocol {protocol} does not use it; set SASL_SSL"
            )),
            (true, None) => Err(format!(
                "security_protocol {protocol} needs sasl_mechanism; write PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
            )),
            (true, _) if self.sasl_username.is_empty() || self.sasl_password.is_empty() => {
                Err(format!("security_protocol {protocol} needs sasl_username and sasl_password"))
            }
            _ => Ok(()),
        }
    }

    fn check_tls(&self) -> Result<(), String> {
        let given = self.tls_files().filter_map(|(key, _, path)| Some((key, path?)));
        for (key, path) in given {
            if !self.security_protocol.is_tls() {
                let protocol = self.security_protocol.word();
                return Err(format!(
                    "{key} is set, and security_protocol {protocol} has no TLS; set SSL or SASL_SSL"
                ));
            }
            std::fs::File::open(path)
                .map_err(|error| format!("{key}: cannot read {}: {error}", path.display()))?;
        }
        if self.ssl_certificate_file.is_some() != self.ssl_key_file.is_some() {
            return Err("ssl_certificate_file and ssl_key_file belong together; set both, or neither".into());
        }
        Ok(())
    }

    /// Key, librdkafka's property, and the file.
    fn tls_files(&self) -> impl Iterator<Item = (&'static str, &'static str, Option<&PathBuf>)> {
        [
            ("ssl_ca_file", "ssl.ca.location", self.ssl_ca_file.as_ref()),
            ("ssl_certificate_file", "ssl.certificate.location", self.ssl_certificate_file.as_ref()),
            ("ssl_key_file", "ssl.key.location", self.ssl_key_file.as_ref()),
        ]
        .into_iter()
    }

    pub(super) fn client_config(&self) -> Result<ClientConfig, String> {
        let compression = match self.compression_type {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        };
        let in_flight = if self.is_idempotent() { self.max_in_flight_requests } else { 1 };
        let mut config = self.reaching();
        config
            .set_log_level(RDKafkaLogLevel::Info)
            .set("acks", self.acks.number().to_string())
            .set("compression.type", compression)
            .set("enable.idempotence", self.is_idempotent().to_string())
            .set("max.in.flight.requests.per.connection", in_flight.to_string())
            .set("retries", i32::MAX.to_string())
            // A batch is given up as a whole (`timeout`), never message by message in the middle.
            .set("message.timeout.ms", "0")
            .set("request.timeout.ms", millis(self.timeout))
            .set("linger.ms", self.linger.0.as_millis().to_string())
            .set("batch.size", self.batch_size.0.to_string())
            .set("message.max.bytes", LARGEST.to_string())
            // As the Java client does, so that events of one key from both go to one partition.
            .set("partitioner", "murmur2_random");
        self.properties(&mut config)?;
        config.create_native_config().map_err(|error| refused(&error))?;
        Ok(config)
    }

    /// For those who look at consumer groups.
    pub(super) fn reader_config(&self) -> Result<ClientConfig, String> {
        let mut config = self.reaching();
        self.properties(&mut config)?;
        // That properties of a producer are none of a consumer's is known.
        config.set_log_level(RDKafkaLogLevel::Error).set("enable.auto.commit", "false");
        Ok(config)
    }

    /// What reaches the brokers, whoever does.
    fn reaching(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.servers())
            .set("client.id", &self.client_id)
            .set("socket.timeout.ms", millis(self.timeout))
            .set("allow.auto.create.topics", "false")
            .set("security.protocol", self.security_protocol.word());
        if let Some(mechanism) = self.sasl_mechanism {
            config.set("sasl.mechanism", mechanism.word());
            config.set("sasl.username", &self.sasl_username).set("sasl.password", &self.sasl_password);
        }
        if self.security_protocol.is_tls() {
            // The OpenSSL in here was built elsewhere: it must look for this system's authorities.
            config.set("ssl.ca.location", "probe");
        }
        for (_, property, path) in self.tls_files() {
            if let Some(path) = path {
                config.set(property, path.to_string_lossy());
            }
        }
        config
    }

    fn properties(&self, config: &mut ClientConfig) -> Result<(), String> {
        for (name, value) in &self.properties {
            if let Some((_, key)) = KEYS.iter().find(|(property, _)| property == name) {
                return Err(format!("properties: {name} is what the key {key} sets; set that instead"));
            }
            if FIXED.contains(&name.as_str()) {
                return Err(format!("properties: {name} cannot be set: order per key rests on it"));
            }
            config.set(name, value);
        }
        Ok(())
    }
}

/// As librdkafka takes its time-outs.
fn millis(span: Span) -> String {
    span.0.as_millis().clamp(10, 300_000).to_string()
}

/// CloudEvents 1.0.2, 3.1 "Naming Conventions".
fn is_attribute(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// What librdkafka says of a property; not its value, which may be a secret.
fn refused(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, name, _) => match KEYS.iter().find(|(property, _)| property == name) {
            Some((_, key)) => format!("{key}: librdkafka does not take this value"),
            None => format!("properties: librdkafka does not know {name}, or not this value of it"),
        },
        other => format!("librdkafka does not take these settings: {other}"),
    }
}
