//! `events.webhook` as types.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `events.webhook`
#[expect(clippy::struct_excessive_bools, reason = "switches of the settings file")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(
    extend("allOf" = [{
        "if": { "not": { "properties": { "allow_http": { "not": { "const": false } } }, "required": ["allow_http"] } },
        "then": { "properties": { "urls": { "items": { "anyOf": [
            { "pattern": "^https://" },
            { "pattern": r"^http://(127\.|localhost[:/]|\[::1\])" },
            { "pattern": r"\$\{" },
        ] } } } },
    }])
)]
pub struct Webhook {
    /// Where events are posted; each url is delivered to and settled on its own.
    #[schemars(length(min = 1), inner(regex(pattern = r"^https?://")), example = ["https://stage3.example.com/webhook/nlp"])]
    pub urls: Vec<String>,
    /// Headers of every request, such as credentials.
    #[schemars(
        example = serde_json::json!({ "X-API-Key": "${WEBHOOK_API_KEY}" }),
        extend("propertyNames" = { "pattern": r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" })
    )]
    pub headers: BTreeMap<String, String>,
    /// Seconds until a request is given up and tried again.
    #[schemars(range(min = 1))]
    pub timeout_seconds: u64,
    /// Tries after the first.
    pub retry_attempts: u32,
    /// How the pause grows.
    pub retry_backoff: Backoff,
    /// Seconds of the first pause.
    pub retry_delay_seconds: f64,
    /// Check the receiver's certificate.
    pub verify_ssl: bool,
    /// PEM file of authorities that are trusted beside the system's.
    #[schemars(example = &"/etc/stagewire/ca.pem")]
    pub ca_file: Option<PathBuf>,
    /// Allow `http://` to hosts other than this one.
    pub allow_http: bool,
    /// Networks that are never connected to, such as `169.254.0.0/16`; checked on the address that a name resolves to.
    #[schemars(inner(regex(pattern = r"^([0-9.]+(/([0-9]|[12][0-9]|3[0-2]))?|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(/[0-9]{1,3})?)$")), example = ["169.254.0.0/16"])]
    pub deny_networks: Vec<String>,
    /// Follow redirects, up to 5, within what `urls`, `allow_http` and `deny_networks` allow.
    pub follow_redirects: bool,
    /// An HTTP proxy for all requests: `http://host:port`. It resolves names itself, so `deny_networks` checks only the
    /// proxy's own address and addresses in urls.
    #[schemars(regex(pattern = r"^(https?://)?[^:/]+(:[0-9]+)?"), example = &"http://proxy.example.com:3128")]
    pub proxy: Option<String>,
    /// How an event is carried.
    pub mode: WebhookMode,
    /// How attribute values are written into headers, in binary mode.
    pub header_encoding: HeaderEncoding,
    /// Keys of Standard Webhooks signatures (`whsec_…`). Several sign each request, so that a receiver can change over.
    #[schemars(inner(regex(pattern = r"^(whsec_)?[A-Za-z0-9+/]{32,}={0,2}$")), example = ["${file:/run/secrets/whsec}"])]
    pub signing_secrets: Vec<String>,
    /// Ask the receiver for permission first (`OPTIONS`, CloudEvents webhooks), and keep to the rate that it allows.
    pub handshake: bool,
    /// Who asks, with `handshake`: the value of `WebHook-Request-Origin`.
    pub origin: String,
    /// Requests under way at once, over different ordering keys.
    pub concurrency: usize,
}

/// `events.webhook.retry_backoff`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// It doubles with each try.
    Exponential,
    /// It stays.
    Fixed,
}

/// `events.webhook.mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookMode {
    /// One JSON document.
    Structured,
    /// Attributes as headers, data as body.
    Binary,
    /// Several events as one JSON array.
    Batched,
}

/// `events.webhook.header_encoding`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeaderEncoding {
    /// Percent-encoded, as the CloudEvents HTTP binding says.
    Spec,
    /// As they are, in UTF-8, for receivers that do not decode.
    Raw,
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            headers: BTreeMap::new(),
            timeout_seconds: 5,
            retry_attempts: 3,
            retry_backoff: Backoff::Exponential,
            retry_delay_seconds: 1.0,
            verify_ssl: true,
            ca_file: None,
            allow_http: false,
            deny_networks: Vec::new(),
            follow_redirects: false,
            proxy: None,
            mode: WebhookMode::Structured,
            header_encoding: HeaderEncoding::Spec,
            signing_secrets: Vec::new(),
            handshake: false,
            origin: "stagewire".into(),
            concurrency: 16,
        }
    }
}
