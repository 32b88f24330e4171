//! One connection that stays one: it is never mended behind the lane's back.

use std::path::Path;
use std::sync::Arc;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{MENDED_BY_HAND, Nats};
use crate::backends::Failure;
use crate::causes::innermost;

/// Where nobody can listen.
const NOWHERE: &str = "nats://127.0.0.1:0";
/// Complaints that are kept until someone asks.
const COMPLAINTS: usize = 64;

/// What a server has complained of without saying which message was meant, such as a permission that is missing.
#[derive(Clone, Default)]
pub(super) struct Complaints(Arc<Kept>);

#[derive(Default)]
struct Kept {
    texts: Mutex<Vec<String>>,
    noted: Notify,
}

impl Complaints {
    fn note(&self, event: &Event) {
        if let Event::ServerError(error) = event {
            let mut texts = self.0.texts.lock();
            if texts.len() < COMPLAINTS {
                texts.push(error.to_string());
            }
            drop(texts);
            self.0.noted.notify_one();
        }
    }

    /// One about that subject, or about whatever is meant.
    pub(super) fn about(&self, subject: &str) -> Option<String> {
        let quoted = format!("\"{subject}\"");
        self.0.texts.lock().iter().find(|text| text.contains(&quoted)).cloned()
    }

    /// Waits for one.
    pub(super) async fn noted(&self) {
        self.0.noted.notified().await;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.texts.lock().is_empty()
    }

    pub(super) fn clear(&self) {
        self.0.texts.lock().clear();
    }
}

/// Connects to one of the servers. The client then has nowhere to reconnect to: what it would send again after that could
/// overtake what was lost, so the lane decides on what to send over a new connection.
///
/// # Errors
/// What is wrong, in words that name the mend.
pub(super) async fn open(
    settings: &Nats,
    servers: &[ServerAddr],
    complaints: &Complaints,
    shown: &str,
) -> Result<Client, Failure> {
    let noted = complaints.clone();
    let options = ConnectOptions::new()
        .name("stagewire")
        .connection_timeout(settings.timeout.0)
        .request_timeout(Some(settings.timeout.0))
        .custom_inbox_prefix(&settings.inbox_prefix)
        .ignore_discovered_servers()
        .max_reconnects(servers.len())
        .event_callback(move |event| {
            noted.note(&event);
            std::future::ready(())
        });
    let options = identify(options, settings, servers).await?;
    let options = secure(options, settings).await?;
    let client = options.connect(servers).await.map_err(|error| failure(&error, settings, shown))?;
    client
        .set_server_pool(NOWHERE)
        .await
        .map_err(|error| Failure::Retry(format!("nats at {shown} closed the connection at once: {error}")))?;
    Ok(client)
}

/// Who connects: by the settings, else by the first address that says so.
async fn identify(
    options: ConnectOptions,
    settings: &Nats,
    servers: &[ServerAddr],
) -> Result<ConnectOptions, Failure> {
    if let Some(file) = &settings.credentials_file {
        let loaded = options.credentials_file(file).await;
        return loaded.map_err(|error| {
            let text = format!("credentials_file: cannot use {}: {error}", file.display());
            Failure::BackOff(MENDED_BY_HAND, text)
        });
    }
    if let (Some(user), Some(password)) = (&settings.user, &settings.password) {
        return Ok(options.user_and_password(user.clone(), password.clone()));
    }
    if let Some(token) = &settings.token {
        return Ok(options.token(token.clone()));
    }
    if let Some(seed) = &settings.nkey {
        return Ok(options.nkey(seed.clone()));
    }
    let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let named = servers.iter().find_map(|server| Some((server.username()?, server.password())));
    Ok(match named {
        Some((user, Some(password))) => options.user_and_password(plain(user), plain(password)),
        Some((token, None)) => options.token(plain(token)),
        None => options,
    })
}

async fn secure(mut options: ConnectOptions, settings: &Nats) -> Result<ConnectOptions, Failure> {
    if let Some(file) = &settings.ca_file {
        readable("ca_file", file).await?;
        options = options.add_root_certificates(file.clone()).require_tls(true);
    }
    if let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) {
        readable("certificate", certificate).await?;
        readable("key", key).await?;
        options = options.add_client_certificate(certificate.clone(), key.clone()).require_tls(true);
    }
    Ok(options)
}

/// The client names no file when it cannot read one.
async fn readable(key: &str, file: &Path) -> Result<(), Failure> {
    match tokio::fs::File::open(file).await {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(Failure::BackOff(MENDED_BY_HAND, format!("{key}: cannot read {}: {error}", file.display())))
        }
    }
}

fn failure(error: &async_nats::ConnectError, settings: &Nats, shown: &str) -> Failure {
    let why = innermost(error);
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation => Failure::BackOff(
            MENDED_BY_HAND,
            format!(
                "nats at {shown} refused the {}; check it, and what the server allows",
                settings.identity()
            ),
        ),
        ConnectErrorKind::Authentication => Failure::BackOff(
            MENDED_BY_HAND,
            format!("cannot sign in to nats at {shown} by the {}: it is malformed", settings.identity()),
        ),
        ConnectErrorKind::TimedOut => {
            Failure::Retry(format!("nats at {shown} did not answer within {}", settings.timeout))
        }
        _ if why.contains("certificate") => Failure::BackOff(
            MENDED_BY_HAND,
            format!("cannot connect to nats at {shown}: {why}; check ca_file, certificate and key"),
        ),
        ConnectErrorKind::Dns => {
            Failure::Retry(format!("cannot resolve nats at {shown}: {why}; check the name"))
        }
        _ => Failure::Retry(format!("cannot connect to nats at {shown}: {why}; is it running there?")),
    }
}

impl Nats {
    /// What it identifies itself by, in the words of the settings.
    fn identity(&self) -> &'static str {
        let given = [
            (self.credentials_file.is_some(), "credentials_file"),
            (self.user.is_some(), "user and password"),
            (self.token.is_some(), "token"),
            (self.nkey.is_some(), "nkey"),
        ];
        let found = given.into_iter().find_map(|(given, name)| given.then_some(name));
        found.unwrap_or("user of `servers` (or that none is given)")
    }
}
