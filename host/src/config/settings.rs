//! The settings file as types. `events:` is the document's section, key for key; the rest is ours.
//!
//! Everything has its default here, so that an empty file is a valid one. Sections of backends stay raw
//! ([`serde_json::Value`]): each backend's own file knows its settings.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::hosts::Hosts;
use super::units::{Clock, Size, Span, Zone};
use crate::names::{BackendName, PluginName, RouteName};
use crate::registry::Image;
use crate::router::{Attribute, Written, cel, sql};

/// The whole settings file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is published, and where to; the inter-stage document's section. Absent means disabled.
    pub events: Option<Events>,
    /// The host itself: listeners, data, workers. Changes here need a restart.
    pub host: Host,
    /// Where plugins are found, and what they may do unless a step says otherwise.
    pub plugins: Plugins,
    /// What events may not carry: looked for on the way in, before anything is kept.
    pub privacy: Vec<Privacy>,
    /// Rules, here or in the files that a path names. Without any, every event goes to the configured backends.
    pub routes: Vec<Route>,
}

/// `events:` of the inter-stage document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// Publish at all. While false, events are accepted and dropped with a counted reason.
    pub enabled: bool,
    /// The type of the one backend; its settings stand in the section of that name.
    pub backend: Option<String>,
    /// Several backends at once, instead of `backend`.
    pub backends: Vec<BackendEntry>,
    /// Which of the document's event types are published; others always are.
    pub publish_events: PublishEvents,
    /// Redis Streams; checked by the backend.
    pub redis_streams: Option<serde_json::Value>,
    /// Apache Kafka; checked by the backend.
    pub kafka: Option<serde_json::Value>,
    /// NATS and `JetStream`; checked by the backend.
    pub nats: Option<serde_json::Value>,
    /// `RabbitMQ`; checked by the backend.
    pub rabbitmq: Option<serde_json::Value>,
    /// Webhooks; checked by the backend.
    pub webhook: Option<serde_json::Value>,
    /// The embedded stream; checked by the backend.
    pub local: Option<serde_json::Value>,
    /// Standard output; checked by the backend.
    pub stdout: Option<serde_json::Value>,
    /// What is measured and logged.
    pub monitoring: Monitoring,
    /// Dead letters.
    pub dlq: DeadLetterQueue,
    /// The schema registry; accepted, not used by this version.
    pub schema_registry: Option<SchemaRegistry>,
}

impl Events {
    /// Every type of backend that has a section, whether this build has it or not.
    pub const KINDS: [&str; 7] = ["redis_streams", "kafka", "nats", "rabbitmq", "webhook", "local", "stdout"];

    /// The section of a backend's type.
    pub fn section(&self, kind: &str) -> Option<&serde_json::Value> {
        match kind {
            "redis_streams" => self.redis_streams.as_ref(),
            "kafka" => self.kafka.as_ref(),
            "nats" => self.nats.as_ref(),
            "rabbitmq" => self.rabbitmq.as_ref(),
            "webhook" => self.webhook.as_ref(),
            "local" => self.local.as_ref(),
            "stdout" => self.stdout.as_ref(),
            _ => None,
        }
    }
}

/// `events.schema_registry`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaRegistry {
    /// Where it is.
    #[schemars(example = &"http://registry:8081")]
    pub url: String,
    /// The compatibility that new schemas must keep, such as BACKWARD.
    #[serde(default)]
    #[schemars(example = &"BACKWARD")]
    pub compatibility: Option<String>,
}

/// One of `events.backends`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackendEntry {
    /// What routes call it in `deliver`; its type where absent.
    #[serde(default)]
    #[schemars(example = &"stage3")]
    pub name: Option<BackendName>,
    /// Its type: `redis_streams`, `kafka`, `nats`, `rabbitmq`, `webhook`, `local`, `stdout`.
    #[serde(rename = "type")]
    #[schemars(example = &"kafka")]
    pub kind: String,
    /// Its settings, as in the section of its type.
    #[serde(default)]
    #[schemars(example = serde_json::json!({ "urls": ["https://stage3.example.com/webhook"] }))]
    pub config: serde_json::Value,
    /// How its lanes work, where that differs from `host.delivery`.
    #[serde(default)]
    pub delivery: OwnDelivery,
}

/// `delivery:` of one of `events.backends`. What is absent is taken from `host.delivery`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OwnDelivery {
    /// The most events in one publish.
    #[schemars(example = 100)]
    pub batch: Option<usize>,
    /// How long a batch waits to fill once it has its first event.
    #[schemars(example = &"5ms")]
    pub linger: Option<Span>,
    /// The most events a second, tries again included.
    #[schemars(example = 50.0)]
    pub rate: Option<f64>,
}

/// `events.publish_events`
#[expect(clippy::struct_excessive_bools, reason = "the document's switches, key for key")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PublishEvents {
    /// `com.storytelling.nlp.document.processed`
    pub document_processed: bool,
    /// `com.storytelling.nlp.document.failed`
    pub document_failed: bool,
    /// `com.storytelling.nlp.batch.started`
    pub batch_started: bool,
    /// `com.storytelling.nlp.batch.completed`
    pub batch_completed: bool,
}

impl Default for PublishEvents {
    fn default() -> Self {
        Self { document_processed: true, document_failed: true, batch_started: true, batch_completed: true }
    }
}

impl PublishEvents {
    /// Whether events of that type are published.
    pub fn allows(&self, kind: &str) -> bool {
        match kind {
            "com.storytelling.nlp.document.processed" => self.document_processed,
            "com.storytelling.nlp.document.failed" => self.document_failed,
            "com.storytelling.nlp.batch.started" => self.batch_started,
            "com.storytelling.nlp.batch.completed" => self.batch_completed,
            _ => true,
        }
    }
}

/// The document's type that its short form means: `document.processed`, as the document's own replay example has it, is
/// `com.storytelling.nlp.document.processed`.
pub fn document_type(short: &str) -> Option<&'static str> {
    Some(match short {
        "document.processed" => "com.storytelling.nlp.document.processed",
        "document.failed" => "com.storytelling.nlp.document.failed",
        "batch.started" => "com.storytelling.nlp.batch.started",
        "batch.completed" => "com.storytelling.nlp.batch.completed",
        _ => return None,
    })
}

/// `events.monitoring`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Monitoring {
    /// Measure the time from acceptance to confirmation.
    pub track_publish_latency: bool,
    /// Write one log record per published event: id, type, document id, backend, latency; never its data.
    pub log_events: bool,
    /// The least level that is logged.
    pub log_level: LogLevel,
}

impl Default for Monitoring {
    fn default() -> Self {
        Self { track_publish_latency: true, log_events: true, log_level: LogLevel::Info }
    }
}

/// A log level, in capitals as the document writes it or small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum LogLevel {
    #[serde(alias = "trace")]
    Trace,
    #[serde(alias = "debug")]
    Debug,
    #[serde(alias = "info")]
    Info,
    #[serde(alias = "WARNING", alias = "warn", alias = "warning")]
    Warn,
    #[serde(alias = "error")]
    Error,
}

/// `events.dlq`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLetterQueue {
    /// Keep what cannot be delivered or processed. While false such events are dropped and counted.
    pub enabled: bool,
    /// Tries after the first, before an event becomes a dead letter.
    pub max_retries: u32,
    /// Where dead letters go from the embedded store: the name or type of a backend. Absent, they stay there.
    #[schemars(example = &"redis_streams")]
    pub backend: Option<String>,
    /// The stream (topic, subject, routing key) of `backend` that they go to.
    pub stream_name: String,
}

impl Default for DeadLetterQueue {
    fn default() -> Self {
        Self { enabled: true, max_retries: 3, backend: None, stream_name: "nlp-events-dlq".into() }
    }
}

/// `host:`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// Where `POST /events` listens.
    #[schemars(regex(
        pattern = r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-fA-F:.]+\]):([0-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$"
    ), extend("format" = "socket-address"))]
    pub listen: SocketAddr,
    /// The directory of the journal, dead letters and local streams; one host locks it for itself.
    pub data: PathBuf,
    /// Worker threads that run plugins; one per core where absent.
    #[schemars(example = 4)]
    pub workers: Option<usize>,
    /// How long a shutdown may take to deliver what is in flight; the rest stays in the journal.
    pub drain_timeout: Span,
    /// The most that the extension attribute `hops` may count: events that answer one another do not go round for ever.
    pub max_hops: i32,
    /// The HTTP ingress.
    pub http: Http,
    /// The admin listener.
    pub admin: Admin,
    /// What is logged, and how much.
    pub logs: Logs,
    /// The journal.
    pub journal: Journal,
    /// How lanes batch and retry.
    pub delivery: Delivery,
    /// What is kept of each event's way.
    pub provenance: Provenance,
    /// Distributed tracing.
    pub tracing: Tracing,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data: "data".into(),
            workers: None,
            drain_timeout: Span::millis(30_000),
            max_hops: 16,
            http: Http::default(),
            admin: Admin::default(),
            logs: Logs::default(),
            journal: Journal::default(),
            delivery: Delivery::default(),
            provenance: Provenance::default(),
            tracing: Tracing::default(),
        }
    }
}

/// `host.tracing`: spans of each event's way, exported by OTLP. What is absent here is taken from OpenTelemetry's
/// environment variables (`OTEL_EXPORTER_OTLP_ENDPOINT` and so on), and then has the default named here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("dependentRequired" = { "certificate": ["key"], "key": ["certificate"] }))]
pub struct Tracing {
    /// Trace at all. Absent: where an endpoint is named.
    pub enabled: Option<bool>,
    /// The collector: `http://collector:4317`. Over HTTP `/v1/traces` is added where it has no path.
    #[schemars(example = &"http://collector:4317")]
    pub endpoint: Option<String>,
    /// How it is spoken to (grpc).
    pub protocol: Option<OtlpProtocol>,
    /// Headers of each request, such as a key of the collector's.
    pub headers: BTreeMap<String, String>,
    /// PEM file of the authorities that the collector's certificate is signed by; the system's where absent.
    #[schemars(example = &"/etc/stagewire/collector-ca.pem")]
    pub ca_file: Option<PathBuf>,
    /// PEM file of the host's own certificate, where the collector asks for one.
    #[schemars(example = &"/etc/stagewire/collector-client.pem")]
    pub certificate: Option<PathBuf>,
    /// PEM file of that certificate's key.
    #[schemars(example = &"/etc/stagewire/collector-client.key")]
    pub key: Option<PathBuf>,
    /// The share of events that is traced, of those that bring no trace of their own (0.01).
    #[schemars(range(min = 0, max = 1), example = 0.1)]
    pub sample: Option<f64>,
    /// An event that brings a trace is traced if that one is recorded, and never otherwise (true). While false the share is
    /// taken of all.
    pub parent_based: Option<bool>,
    /// The longest that an export may take (10s).
    pub timeout: Option<Span>,
    /// Spans that may wait for the collector; more are left out and counted.
    pub queue: usize,
    /// What the spans say of this host: `deployment.environment.name: production`.
    pub resource: BTreeMap<String, String>,
}

impl Tracing {
    /// The share of events that is traced where nothing else is said.
    pub const SAMPLE: f64 = 0.01;
}

impl Default for Tracing {
    fn default() -> Self {
        Self {
            enabled: None,
            endpoint: None,
            protocol: None,
            headers: BTreeMap::new(),
            ca_file: None,
            certificate: None,
            key: None,
            sample: None,
            parent_based: None,
            timeout: None,
            queue: 16_384,
            resource: BTreeMap::new(),
        }
    }
}

/// `host.tracing.protocol`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OtlpProtocol {
    /// gRPC, by custom on port 4317.
    Grpc,
    /// HTTP with protobuf, by custom on port 4318.
    Http,
}

/// `host.provenance`: which rule, plugin version and backend did what with each event. Never its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Provenance {
    /// Keep it at all.
    pub enabled: bool,
    /// The most bytes on disk; the oldest goes first. It also goes with the events themselves.
    pub size: Size,
}

impl Default for Provenance {
    fn default() -> Self {
        Self { enabled: true, size: Size::mib(512) }
    }
}

/// `host.http`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// `Authorization: Bearer …` tokens that may send. Without tokens and keys anybody who reaches the port may.
    #[schemars(example = ["${file:/run/secrets/stage2-token}"])]
    pub bearer_tokens: Vec<String>,
    /// `X-API-Key: …` keys that may send.
    #[schemars(example = ["${STAGE2_API_KEY}"])]
    pub api_keys: Vec<String>,
    /// TLS; plain HTTP where absent.
    pub tls: Option<Tls>,
    /// The largest request body.
    pub max_body: Size,
    /// The most events in one batch.
    pub max_batch: usize,
    /// Requests being read or waiting for the journal at once; more get 503 with `Retry-After`.
    pub max_requests: usize,
    /// Open connections; more wait to be accepted.
    pub max_connections: usize,
    /// The longest a client may take to send its headers, and again its body.
    pub read_timeout: Span,
    /// Origins that the webhook handshake (`OPTIONS`) grants; `*` grants all.
    pub allowed_origins: Vec<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            bearer_tokens: Vec::new(),
            api_keys: Vec::new(),
            tls: None,
            max_body: Size::mib(8),
            max_batch: 10_000,
            max_requests: 4_096,
            max_connections: 16_384,
            read_timeout: Span::millis(10_000),
            allowed_origins: vec!["*".into()],
        }
    }
}

/// `host.http.tls`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file of the certificate chain.
    #[schemars(example = &"/etc/stagewire/tls.crt")]
    pub certificate: PathBuf,
    /// PEM file of the private key.
    #[schemars(example = &"/etc/stagewire/tls.key")]
    pub key: PathBuf,
    /// PEM file of authorities; where given, clients must present a certificate signed by one of them.
    #[serde(default)]
    #[schemars(example = &"/etc/stagewire/clients.pem")]
    pub client_authorities: Option<PathBuf>,
}

/// `host.admin`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Where health, metrics, the admin API and the dashboard listen. Beyond loopback, `tokens` must be given, and `tls` or
    /// `clear_text`.
    #[schemars(extend("format" = "socket-address"))]
    pub listen: SocketAddr,
    /// Other names, with their ports, that browsers and clients may reach it by, as through a tunnel: `localhost:9000`.
    #[schemars(example = ["localhost:9000"])]
    pub hosts: Vec<String>,
    /// Who may use it: `Authorization: Bearer …`. Without any, on loopback, everybody on the machine may do everything.
    pub tokens: Vec<AdminToken>,
    /// TLS; plain HTTP where absent.
    pub tls: Option<Tls>,
    /// Listen beyond loopback without TLS, as behind a proxy that speaks it: tokens then cross that network in clear text.
    pub clear_text: bool,
    /// The largest request body.
    pub max_body: Size,
    /// Open connections, those of live tails among them; more wait to be accepted.
    pub max_connections: usize,
    /// The longest a client may take to send its headers, and again its body.
    pub read_timeout: Span,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            hosts: Vec::new(),
            tokens: Vec::new(),
            tls: None,
            clear_text: false,
            max_body: Size::mib(1),
            max_connections: 256,
            read_timeout: Span::millis(10_000),
        }
    }
}

/// One of `host.admin.tokens`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminToken {
    /// Whose it is: what the audit log calls them.
    #[schemars(example = &"ops")]
    pub name: String,
    /// The secret, of 16 characters at least; `${ADMIN_TOKEN}` takes it from the environment.
    #[schemars(example = &"${ADMIN_TOKEN}")]
    pub token: String,
    /// What it allows.
    pub role: Role,
}

/// What a token of the admin API allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// To look: status, events without their data, dead letters, metrics.
    Read,
    /// To change: reload, pause, promote, roll back, retry, drop; and to look.
    Operate,
}

/// `host.logs`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Logs {
    /// The most lines a second from one place in the program; how many more there were is said every few seconds. 0 for all.
    pub lines: u32,
}

impl Default for Logs {
    fn default() -> Self {
        Self { lines: 500 }
    }
}

/// `host.journal`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Journal {
    /// When an append counts as durable.
    pub fsync: Fsync,
    /// With `fsync: interval`, how often.
    pub fsync_interval: Span,
    /// The size at which a segment file is closed and the next begun.
    pub segment: Size,
    /// The most bytes that may wait unsettled; beyond, senders get 503 with `Retry-After`.
    pub max_unsettled: Size,
    /// How long settled events are kept.
    pub retention: Retention,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            fsync: Fsync::Always,
            fsync_interval: Span::millis(100),
            segment: Size::mib(64),
            max_unsettled: Size::mib(4096),
            retention: Retention::default(),
        }
    }
}

/// `host.journal.retention`: whichever is reached first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// The age at which a settled segment is removed.
    pub age: Span,
    /// The size of all settled segments beyond which the oldest is removed.
    pub size: Size,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Span::millis(24 * 3_600_000), size: Size::mib(1024) }
    }
}

/// When an append counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fsync {
    /// Each group of appends is on the disk before it is acknowledged.
    Always,
    /// The disk is told at an interval: a power cut may lose that much, a crash of the host nothing.
    Interval,
    /// The operating system decides.
    Never,
}

/// `host.delivery`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Delivery {
    /// The most events in one publish; where absent, 2048, or 8192 to Kafka.
    #[schemars(example = 500)]
    pub batch: Option<usize>,
    /// How long a batch waits to fill once it has its first event; 0ms sends at once, at more work for each event.
    pub linger: Span,
    /// The most events a lane keeps in memory; beyond, they go to its overflow on disk.
    pub queue: usize,
    /// The first pause before a retry; it doubles each time, with full jitter.
    pub retry_base: Span,
    /// The longest pause before a retry.
    pub retry_max: Span,
    /// The most events a second to each backend, tries again included; no limit where absent.
    #[schemars(example = 500.0)]
    pub rate: Option<f64>,
    /// The most bytes of one lane's overflow on disk. Beyond, its events wait in the journal until there is room.
    pub overflow: Size,
    /// When a lane stops trying for a while.
    pub breaker: Breaker,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            batch: None,
            linger: Span::millis(1),
            queue: 16_384,
            retry_base: Span::millis(100),
            retry_max: Span::millis(30_000),
            rate: None,
            overflow: Size::mib(4096),
            breaker: Breaker::default(),
        }
    }
}

/// `host.delivery.breaker`: a lane whose publishes fail too often pauses, then probes with one event.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    /// The share of failed publishes, 0 to 1, above which it opens; 1 for never.
    pub failure_rate: f64,
    /// The time over which that share is taken.
    pub window: Span,
    /// The fewest publishes in the window that it judges by.
    pub least: u64,
    /// The first pause; it doubles with each probe that fails, up to `retry_max`.
    pub pause: Span,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failure_rate: 0.5, window: Span::millis(10_000), least: 20, pause: Span::millis(1_000) }
    }
}

/// One of `privacy`: what events of some types may not carry. Without `fields` and `types` it is about the texts of the
/// inter-stage document's payloads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Privacy {
    /// The types that it is about, whole or by their beginning and a star.
    pub types: Vec<String>,
    /// Fields of their data: a name at any depth, or a path as `a.b`, `$.a.b[*].c` or `/a/b/0`.
    pub fields: Vec<String>,
    /// The longest string in their data; an event with a longer one is refused.
    #[schemars(example = &"64KiB")]
    pub max_string: Option<Size>,
    /// What becomes of an event that has such a field.
    pub action: PrivacyAction,
}

impl Default for Privacy {
    fn default() -> Self {
        let fields = [
            "text",
            "raw_text",
            "full_text",
            "cleaned_text",
            "original_text",
            "content",
            "raw_content",
            "html",
            "raw_html",
        ];
        Self {
            types: vec!["com.storytelling.*".into()],
            fields: fields.map(Into::into).into(),
            max_string: None,
            action: PrivacyAction::default(),
        }
    }
}

/// What becomes of an event that has a forbidden field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrivacyAction {
    /// It is refused, with its whole batch.
    #[default]
    Reject,
    /// The field is taken out.
    Remove,
    /// `"***"` stands in place of the field's value.
    Mask,
}

impl PrivacyAction {
    /// The word for metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Remove => "remove",
            Self::Mask => "mask",
        }
    }
}

/// `plugins:`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Plugins {
    /// Where `*.wasm` files are; a plugin is named by its file.
    pub directory: PathBuf,
    /// Plugins from registries, by the names that steps call them by: references with the digest that is used. What is pulled is
    /// kept under `host.data`.
    pub pull: BTreeMap<PluginName, Image>,
    /// PEM file of the public key that plugins must be signed by: pulled ones by `cosign sign`, files by `NAME.wasm.sig` beside
    /// them. With it nothing is loaded that is not signed.
    #[schemars(example = &"keys/cosign.pub")]
    pub public_key: Option<PathBuf>,
    /// How registries are reached, by their names or by what references begin with: `registry.example.com/team`. Of several that
    /// fit, the longest that says something counts.
    pub registries: BTreeMap<String, Registry>,
    /// Limits of steps that name none.
    pub limits: Limits,
    /// What a plugin may reach in every step that uses it, by its name.
    pub grants: BTreeMap<PluginName, Grants>,
    /// Networks that no plugin is connected to by a name, whatever hosts it is granted; checked on the address that the name
    /// resolves to. An address that a grant spells out is allowed.
    #[schemars(inner(regex(
        pattern = r"^([0-9.]+(/([0-9]|[12][0-9]|3[0-2]))?|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(/[0-9]{1,3})?)$"
    )))]
    pub deny_networks: Vec<String>,
    /// What it may take to make a plugin of a file.
    pub loading: Loading,
    /// Where compiled code is kept; `plugin-cache` under `host.data` where absent. Whoever can write there has the host run what
    /// he likes.
    #[schemars(example = &"/var/cache/stagewire")]
    pub cache: Option<PathBuf>,
}

impl Default for Plugins {
    fn default() -> Self {
        // This machine itself, and what clouds answer about it.
        let denied = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "::/127", "fe80::/10"];
        Self {
            directory: "plugins".into(),
            pull: BTreeMap::new(),
            public_key: None,
            registries: BTreeMap::new(),
            limits: Limits::default(),
            grants: BTreeMap::new(),
            loading: Loading::default(),
            deny_networks: denied.map(Into::into).into(),
            cache: None,
        }
    }
}

/// `plugins.loading`: what it may take to make a plugin of a file. A file that takes more is refused.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Loading {
    /// The largest file.
    pub size: Size,
    /// The most processor time to compile one, on all cores together, in whole seconds. It is compiled by a process of its own, which
    /// gives way to events.
    pub time: Span,
    /// The most memory of that process.
    pub memory: Size,
}

impl Default for Loading {
    fn default() -> Self {
        Self { size: Size::mib(64), time: Span::millis(120_000), memory: Size::mib(2_048) }
    }
}

/// One of `plugins.registries`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Registry {
    /// Who pulls. Where absent, what `docker login` has kept in `config.json`; else nobody in particular.
    #[schemars(example = &"stage2")]
    pub user: Option<String>,
    /// The password, or a token that stands for it.
    #[schemars(example = &"${REGISTRY_PASSWORD}")]
    pub password: Option<String>,
    /// PEM file of the public key that plugins from there must be signed by, instead of `plugins.public_key`.
    #[schemars(example = &"keys/cosign.pub")]
    pub public_key: Option<PathBuf>,
    /// PEM file of authorities that the registry's certificate may be signed by, beside the system's.
    #[schemars(example = &"/etc/stagewire/registry-ca.pem")]
    pub ca_file: Option<PathBuf>,
    /// Speak no TLS. Absent: so at loopback, where no `ca_file` is named.
    pub plain_http: Option<bool>,
}

/// `limits:` of a step, or of all of them. What is absent on a step is taken from `plugins.limits`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The longest one call may take. `10s` where it is not set and the plugin may wait (`grants`: `http`, `filesystem`,
    /// `clocks`), waiting included.
    #[schemars(extend("default" = "50ms"))]
    pub time: Option<Span>,
    /// The most memory one instance may have.
    #[schemars(extend("default" = "32MiB"))]
    pub memory: Option<Size>,
    /// The most bytes that one call may hand out.
    #[schemars(extend("default" = "8MiB"))]
    pub output: Option<Size>,
    /// The most events that one call may hand out.
    #[schemars(extend("default" = 1000))]
    pub events: Option<usize>,
    /// The most bytes of the step's state, where `grants` gives it one.
    #[schemars(extend("default" = "16MiB"))]
    pub state: Option<Size>,
    /// The most log lines a second; more are counted and left out.
    #[schemars(extend("default" = 100))]
    pub log: Option<u32>,
    /// The most calls at once of a step that may wait; each has an instance of its own.
    #[schemars(extend("default" = 8), range(min = 1))]
    pub calls: Option<usize>,
    /// After so many events an instance is replaced by a fresh one (never).
    #[schemars(example = 100_000)]
    pub recycle: Option<u64>,
}

/// `grants:` of a step, or of all steps of a plugin: what it may reach beside the host's own functions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// State of the step's own, kept through swaps and restarts, within `limits.state`.
    pub keyvalue: bool,
    /// The time as it passes, and waiting for it (`wasi:clocks`). Without it a call sees the time at which it began, and no
    /// wait lasts.
    pub clocks: bool,
    /// Numbers that nobody foresees (`wasi:random`). Without it an event meets the same numbers each time that it passes.
    pub random: bool,
    /// Hosts that it may send requests to (`wasi:http`): a name, all names below one, or an address. Without a port that of
    /// the scheme is meant, 443 or 80.
    #[schemars(example = ["api.example.com", "*.internal.example.com:8443"])]
    pub http: Vec<Hosts>,
    /// Directories that it may read and not write (`wasi:filesystem`), by the path at which it sees them.
    #[schemars(example = BTreeMap::from([("/models", "./models")]))]
    pub filesystem: BTreeMap<String, PathBuf>,
    /// Variables of the host's environment that it sees, by their names (`wasi:cli/environment`).
    #[schemars(example = ["TZ", "MODEL_NAME"])]
    pub environment: Vec<String>,
}

impl Grants {
    /// What either of the two grants.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        self.keyvalue |= other.keyvalue;
        self.clocks |= other.clocks;
        self.random |= other.random;
        let more =
            |ours: &[Hosts]| other.http.iter().filter(|hosts| !ours.contains(hosts)).cloned().collect();
        let hosts: Vec<_> = more(&self.http);
        self.http.extend(hosts);
        for (seen, directory) in &other.filesystem {
            self.filesystem.entry(seen.clone()).or_insert_with(|| directory.clone());
        }
        let names: Vec<_> =
            other.environment.iter().filter(|name| !self.environment.contains(name)).cloned().collect();
        self.environment.extend(names);
        self
    }
}

/// One of `routes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Unique among the routes.
    #[schemars(example = &"processed-to-embedding")]
    pub name: RouteName,
    /// Which events; all conditions must hold. Without any, every event.
    #[serde(rename = "match", default)]
    pub matches: Vec<Match>,
    /// Events that take this route are not offered to the routes after it.
    #[serde(default)]
    pub stop: bool,
    /// Only for events that no other route takes; asked after all others.
    #[serde(default)]
    pub otherwise: bool,
    /// When it takes events, by the time of their acceptance; always where empty.
    #[serde(default)]
    pub times: Vec<Times>,
    /// Takes a share of the events; the same ones each time.
    #[serde(default)]
    pub sample: Option<Sample>,
    /// Takes each `source` and `id` once within a window.
    #[serde(default)]
    pub dedup: Option<Dedup>,
    /// The most events a second; what is more is dropped and counted. To delay instead, set the backend's
    /// `delivery.rate`.
    #[serde(default)]
    #[schemars(range(min = 0.001), example = 100.0)]
    pub rate: Option<f64>,
    /// The attribute whose values keep their order on this route: `subject`, `source`, `partitionkey`, …; `id` for none.
    /// Where it or the attribute is absent: `partitionkey`, else `subject`, else `source`.
    #[serde(default)]
    pub order_by: Option<Attribute>,
    /// Plugins, in order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Names of backends.
    #[schemars(length(min = 1), example = ["redis_streams"])]
    pub deliver: Vec<BackendName>,
}

impl Route {
    /// One that takes every event.
    pub fn new(name: RouteName, deliver: Vec<BackendName>) -> Self {
        Self {
            name,
            matches: Vec::new(),
            stop: false,
            otherwise: false,
            times: Vec::new(),
            sample: None,
            dedup: None,
            rate: None,
            order_by: None,
            steps: Vec::new(),
            deliver,
        }
    }
}

/// One of a route's `times`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Times {
    /// The days on which it begins; every day where empty.
    pub days: Vec<Day>,
    /// When it begins.
    pub from: Clock,
    /// When it ends, itself not included: on the next day where that is not after `from`.
    pub to: Clock,
    /// The time zone, by its name in the IANA database: `Europe/Berlin`.
    pub zone: Zone,
}

impl Default for Times {
    fn default() -> Self {
        Self { days: Vec::new(), from: Clock(0), to: Clock(24 * 60), zone: Zone(jiff::tz::TimeZone::UTC) }
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A route's `sample`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// How large a share, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0), example = 0.1)]
    pub share: f64,
    /// The attribute by whose value an event is in or out: `subject` keeps or leaves out a document with all of its events.
    /// `id` where absent.
    #[serde(default)]
    pub by: Option<Attribute>,
}

/// A route's `dedup`. What has been seen is kept over restarts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dedup {
    /// How long an event is remembered.
    pub window: Span,
    /// The most memory for that, some 120 bytes an event. Where it is full, events pass unseen, and that is counted.
    #[serde(default = "Dedup::memory")]
    pub memory: Size,
}

impl Dedup {
    fn memory() -> Size {
        Size::mib(64)
    }
}

/// A condition: the dialects of CloudEvents Subscriptions, and CEL. One that cannot be evaluated for an event does not
/// hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// Each attribute has exactly this value; `type` may also be a short form: `document.processed`.
    Exact(BTreeMap<String, String>),
    /// Each attribute begins with this.
    Prefix(BTreeMap<String, String>),
    /// Each attribute ends with this.
    Suffix(BTreeMap<String, String>),
    /// All of these hold.
    All(Vec<Match>),
    /// At least one of these holds.
    Any(Vec<Match>),
    /// This does not hold.
    Not(Box<Match>),
    /// This CloudEvents SQL 1.0 expression is true: `type = 'com.example.x' AND subject LIKE 'document/%'`.
    Sql(Written<sql::Expression>),
    /// This CEL expression is true; attributes by their names, the payload as `data`: `data.count > 0`.
    Cel(Written<cel::Expression>),
}

/// One of a route's `steps`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The plugin: a file in `plugins.directory`, without `.wasm`, or one of `plugins.pull`.
    #[serde(deserialize_with = "plugin_name")]
    #[schemars(example = &"redact")]
    pub plugin: PluginName,
    /// What the plugin's `configure` gets, as JSON.
    #[serde(default)]
    #[schemars(example = serde_json::json!({ "remove": ["text"] }))]
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// What happens to an event that the plugin fails on.
    #[serde(default)]
    pub on_error: OnError,
    /// Limits of this step.
    #[serde(default)]
    pub limits: Limits,
    /// What the plugin may reach in this step beside the host's own functions. Nothing is granted by itself.
    #[serde(default)]
    pub grants: Grants,
    /// A plugin that gets the same events without effect; what it would do otherwise is counted and sampled.
    #[serde(default, deserialize_with = "some_plugin_name")]
    #[schemars(example = &"redact-next")]
    pub shadow: Option<PluginName>,
    /// A plugin that takes the step's place for a share of the ordering keys.
    #[serde(default)]
    pub canary: Option<Canary>,
}

impl Step {
    /// Every plugin that the step uses, with what its setting is called.
    pub fn plugins(&self) -> impl Iterator<Item = (&'static str, &PluginName)> {
        let canary = self.canary.as_ref().map(|canary| ("canary", &canary.plugin));
        let shadow = self.shadow.as_ref().map(|shadow| ("shadow", shadow));
        std::iter::once(("plugin", &self.plugin)).chain(shadow).chain(canary)
    }
}

/// A plugin by its name or by its file.
fn plugin_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PluginName, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(text.strip_suffix(".wasm").unwrap_or(&text).into())
}

fn some_plugin_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PluginName>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(|text| text.strip_suffix(".wasm").unwrap_or(&text).into()))
}

/// `canary:` of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The plugin: a file in `plugins.directory`, without `.wasm`, or one of `plugins.pull`.
    #[serde(deserialize_with = "plugin_name")]
    #[schemars(example = &"redact-next")]
    pub plugin: PluginName,
    /// The share of the ordering keys, 0 to 100.
    #[schemars(range(min = 0, max = 100), example = 5.0)]
    pub percent: f64,
}

/// What happens to an event that a plugin fails on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It becomes a dead letter with the plugin's reason.
    #[default]
    DeadLetter,
    /// It is dropped and counted.
    Drop,
    /// It goes on as it was before the step.
    Pass,
    /// It is tried again with pauses, up to `events.dlq.max_retries` times; then it becomes a dead letter.
    Retry,
}
