//! NATS: `JetStream`, where the stream's acknowledgement confirms an event, or core NATS, where the server's receipt does.

mod connection;
mod consumers;
mod publish;
mod refusal;
mod subject;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::ServerAddr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::content::Content;
use super::{Settings, Target};
use crate::config::units::Span;
use crate::names::BackendName;

/// What someone must mend is looked at again after that long.
const MENDED_BY_HAND: Duration = Duration::from_secs(5);

/// `events.nats`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(
    extend("dependentRequired" = {
        "certificate": ["key"],
        "key": ["certificate"],
        "user": ["password"],
        "password": ["user"],
    }),
    extend("not" = { "anyOf": [
        { "required": ["user", "token"] },
        { "required": ["user", "nkey"] },
        { "required": ["user", "credentials_file"] },
        { "required": ["token", "nkey"] },
        { "required": ["token", "credentials_file"] },
        { "required": ["nkey", "credentials_file"] },
    ] })
)]
pub struct Nats {
    /// Servers of one cluster, tried in a random order: `nats://host:4222`, or `tls://` where TLS is a must.
    #[schemars(
        length(min = 1),
        inner(regex(
            pattern = r"^((nats|tls)://)?([^/@]*@)?(\[[^\]/@]*\]|[^/@:\[\]]*)(:([0-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?/?$"
        ))
    )]
    pub servers: Vec<String>,
    /// The subject of each event. `{type}`, `{subject}` and any other attribute in braces stand for its value, in which
    /// what a subject must not contain is percent-encoded.
    #[schemars(regex(pattern = r"^([^{}\s*>]|\{\{|\}\}|\{[a-z0-9]+\})+$"))]
    pub subject: String,
    /// Publish to `JetStream`, which keeps events and acknowledges each. Without it an event that nobody listens to at
    /// that moment is gone.
    pub jetstream: bool,
    /// The stream that keeps the events; whichever has the subject where absent.
    #[schemars(regex(pattern = r"^[^.*>/\\\s]+$"), example = &"NLP_EVENTS")]
    pub stream: Option<String>,
    /// The durable consumer that the next stage reads by. With `create_stream` it is made beside the stream, so that
    /// nothing published before that stage first connects passes it by; without, it is left to that stage.
    #[schemars(regex(pattern = r"^[^.*>/\\\s]+$"), example = &"nlp-processor")]
    pub durable_name: Option<String>,
    /// Make the stream (kept in files, its subjects those of `subject`) and the consumer where they are missing.
    pub create_stream: bool,
    /// Send `Nats-Msg-Id`, made of source and id, so that the stream drops what comes again within its duplicate window
    /// (two minutes unless the stream says otherwise): repetitions after a lost acknowledgement, but deliberate ones too.
    pub deduplicate: bool,
    /// How an event is carried.
    pub content: Content,
    /// Events of different ordering keys that may wait for their acknowledgement at once.
    pub window: usize,
    /// The user, if servers ask for one; goes before one in `servers`.
    #[schemars(example = &"stage2")]
    pub user: Option<String>,
    /// The user's password.
    #[schemars(example = &"${file:/run/secrets/nats}")]
    pub password: Option<String>,
    /// A token instead of a user.
    #[schemars(example = &"${NATS_TOKEN}")]
    pub token: Option<String>,
    /// The seed of an nkey (`SU…`) instead of a user.
    #[schemars(example = &"${file:/run/secrets/nkey}")]
    pub nkey: Option<String>,
    /// A `.creds` file (JWT and nkey) instead of a user.
    #[schemars(example = &"/run/secrets/stage2.creds")]
    pub credentials_file: Option<PathBuf>,
    /// PEM file of the authorities that the servers' certificates are signed by; the system's where absent.
    #[schemars(example = &"/etc/stagewire/nats-ca.pem")]
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client's certificate, where servers ask for one.
    #[schemars(example = &"/etc/stagewire/client.pem")]
    pub certificate: Option<PathBuf>,
    /// PEM file of that certificate's key.
    #[schemars(example = &"/etc/stagewire/client.key")]
    pub key: Option<PathBuf>,
    /// The start of the subjects on which answers come, where the user may not subscribe to `_INBOX.>`.
    pub inbox_prefix: String,
    /// The longest to wait for a connection, and again for an answer.
    pub timeout: Span,
    /// Durable consumers of `stream` whose lag is shown.
    pub consumers: Vec<String>,
    /// How often they are looked at.
    pub consumers_interval: Span,
}

impl Default for Nats {
    fn default() -> Self {
        Self {
            servers: vec!["nats://nats:4222".into()],
            subject: "nlp.document.processed".into(),
            jetstream: true,
            stream: None,
            durable_name: None,
            create_stream: false,
            deduplicate: true,
            content: Content::Structured,
            window: 256,
            user: None,
            password: None,
            token: None,
            nkey: None,
            credentials_file: None,
            ca_file: None,
            certificate: None,
            key: None,
            inbox_prefix: "_INBOX".into(),
            timeout: Span::millis(5_000),
            consumers: Vec::new(),
            consumers_interval: super::CONSUMERS_INTERVAL,
        }
    }
}

impl Settings for Nats {
    fn open(self, name: BackendName, _: &Path) -> Result<Vec<Target>, String> {
        let servers = self.addresses()?;
        let template = subject::parse(&self.subject).map_err(|error| format!("subject: {error}"))?;
        self.check()?;
        let shown: Vec<_> = self.servers.iter().map(|server| super::without_credentials(server)).collect();
        let address = shown.join(", ");
        let backend = publish::Publisher::new(name.clone(), address.clone(), self, servers, template);
        Ok(vec![Target { name, address, backend: Box::new(backend), max_retries: None, pause: None }])
    }
}

impl Nats {
    fn addresses(&self) -> Result<Vec<ServerAddr>, String> {
        if self.servers.is_empty() {
            return Err("servers is empty; name at least one, like nats://nats:4222".into());
        }
        let address = |text: &String| {
            let shown = super::without_credentials(text);
            text.parse::<ServerAddr>().ok().filter(|address| !address.is_websocket()).ok_or_else(|| {
                format!("servers: {shown:?} is no address of a server; write it like nats://nats:4222")
            })
        };
        self.servers.iter().map(address).collect()
    }

    fn check(&self) -> Result<(), String> {
        if self.create_stream && self.stream.is_none() {
            return Err("create_stream is set without stream; name the stream, like NLP_EVENTS".into());
        }
        if !self.consumers.is_empty() && (self.stream.is_none() || !self.jetstream) {
            return Err("consumers are those of a stream; name it in stream, like NLP_EVENTS".into());
        }
        let named = [("stream", &self.stream), ("durable_name", &self.durable_name)];
        for (key, name) in named {
            let wrong =
                |name: &&String| name.is_empty() || name.contains(['.', '*', '>', '/', '\\', ' ', '\t']);
            if let Some(name) = name.as_ref().filter(wrong) {
                return Err(format!(
                    "{key}: {name:?} is not allowed; leave dots, stars, slashes and spaces out"
                ));
            }
        }
        let ways =
            [self.user.is_some(), self.token.is_some(), self.nkey.is_some(), self.credentials_file.is_some()];
        if ways.into_iter().filter(|given| *given).count() > 1 {
            return Err("more than one of user, token, nkey and credentials_file is given; keep one".into());
        }
        if self.user.is_some() != self.password.is_some() {
            return Err("user and password go together; give both".into());
        }
        if self.certificate.is_some() != self.key.is_some() {
            return Err("certificate and key go together; give both".into());
        }
        Ok(())
    }
}
