//! One connection with one channel in confirm mode. Lapin's own recovery stays off: the lane decides what to send again.

use std::path::Path;

use lapin::options::{ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionBuilder, ConnectionProperties, ErrorKind, ExchangeKind};

use super::{MENDED_BY_HAND, Rabbitmq};
use crate::backends::Failure;

/// Connects, and finds the exchange or makes it.
///
/// # Errors
/// What is wrong, in words that name the mend.
pub(super) async fn open(settings: &Rabbitmq, uri: &AMQPUri, shown: &str) -> Result<Connection, Failure> {
    let builder = ConnectionBuilder::new()
        .map_err(|error| Failure::Retry(format!("cannot start a connection: {error}")))?
        .with_uri(uri.clone())
        .with_properties(ConnectionProperties::default().with_connection_name("stagewire".into()))
        .with_tls_config(tls(settings).await?);
    let connected = tokio::time::timeout(settings.timeout.0, async {
        let connection = builder.connect().await.map_err(|error| refused(&error, settings, shown))?;
        // The default exchange is always there and cannot be declared.
        if !settings.exchange.is_empty() {
            find(settings, &connection, shown).await?;
        }
        Ok(connection)
    });
    connected.await.unwrap_or_else(|_| {
        Err(Failure::Retry(format!("rabbitmq at {shown} did not answer within {}", settings.timeout)))
    })
}

/// A channel on which each message is confirmed.
pub(super) async fn channel(connection: &Connection) -> Result<Channel, lapin::Error> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

async fn tls(settings: &Rabbitmq) -> Result<OwnedTLSConfig, Failure> {
    let mut config = OwnedTLSConfig::default();
    if let Some(file) = &settings.ca_file {
        let pem = read("ca_file", file).await?;
        config.cert_chain = Some(String::from_utf8_lossy(&pem).into_owned());
    }
    if let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) {
        let (pem, key) = (read("certificate", certificate).await?, read("key", key).await?);
        config.identity = Some(OwnedIdentity::PKCS8 { pem, key });
    }
    Ok(config)
}

async fn read(key: &str, file: &Path) -> Result<Vec<u8>, Failure> {
    tokio::fs::read(file).await.map_err(|error| {
        Failure::BackOff(MENDED_BY_HAND, format!("{key}: cannot read {}: {error}", file.display()))
    })
}

fn refused(error: &lapin::Error, settings: &Rabbitmq, shown: &str) -> Failure {
    let by_hand = |text: String| Failure::BackOff(MENDED_BY_HAND, text);
    if let ErrorKind::ProtocolError(refusal) = error.kind() {
        let said = refusal.get_message();
        return match refusal.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
                by_hand(format!("rabbitmq at {shown} refused the user or password of `url`: {said}"))
            }
            AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => by_hand(format!(
                "rabbitmq at {shown} does not let this user into the vhost of `url`: {said}; create it (`rabbitmqctl add_vhost`) or set its permissions"
            )),
            _ => Failure::Retry(format!("rabbitmq at {shown} refused the connection: {said}")),
        };
    }
    let why = error.to_string();
    if why.contains("certificate") {
        return by_hand(format!(
            "cannot connect to rabbitmq at {shown}: {why}; check ca_file, certificate and key"
        ));
    }
    let also = if settings.url.starts_with("amqps") { " with TLS on that port" } else { "" };
    Failure::Retry(format!("cannot connect to rabbitmq at {shown}: {why}; is it running there{also}?"))
}

/// Looks for the exchange without changing anything, then declares it as configured: that makes it, or shows that the one
/// that is there is another.
async fn find(settings: &Rabbitmq, connection: &Connection, shown: &str) -> Result<(), Failure> {
    let name = &settings.exchange;
    let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    let found = match declare(settings, connection, passive).await {
        Ok(()) => true,
        Err(error) if is(&error, &AMQPSoftError::NOTFOUND) => false,
        Err(error) => {
            return Err(Failure::Retry(format!("cannot look exchange {name:?} up at {shown}: {error}")));
        }
    };
    let by_hand = |text: String| Err(Failure::BackOff(MENDED_BY_HAND, text));
    if !settings.declare {
        return if found {
            Ok(())
        } else {
            by_hand(format!("exchange {name:?} does not exist at {shown}; create it or set declare: true"))
        };
    }
    let options = ExchangeDeclareOptions { durable: settings.durable, ..ExchangeDeclareOptions::default() };
    match declare(settings, connection, options).await {
        Ok(()) => Ok(()),
        // Who may only publish does so: the exchange is there.
        Err(error) if is(&error, &AMQPSoftError::ACCESSREFUSED) && found => Ok(()),
        Err(error) if is(&error, &AMQPSoftError::ACCESSREFUSED) => by_hand(format!(
            "this user may not create exchange {name:?} at {shown}; create it, or give the user the permission to configure it"
        )),
        Err(error) if is(&error, &AMQPSoftError::PRECONDITIONFAILED) => by_hand(format!(
            "exchange {name:?} at {shown} is of another type or durability than exchange_type and durable say ({error}); correct them, delete the exchange, or set declare: false"
        )),
        Err(error) => {
            by_hand(format!("cannot declare exchange {name:?} at {shown}: {error}; check exchange_type"))
        }
    }
}

/// On a channel of its own, which a refusal closes.
async fn declare(
    settings: &Rabbitmq,
    connection: &Connection,
    options: ExchangeDeclareOptions,
) -> Result<(), lapin::Error> {
    let kind = match settings.exchange_type.as_str() {
        "topic" => ExchangeKind::Topic,
        "direct" => ExchangeKind::Direct,
        "fanout" => ExchangeKind::Fanout,
        "headers" => ExchangeKind::Headers,
        other => ExchangeKind::Custom(other.to_owned()),
    };
    let channel = connection.create_channel().await?;
    channel.exchange_declare(settings.exchange.as_str().into(), kind, options, FieldTable::default()).await?;
    channel.close(200, "done".into()).await
}

/// Whether the broker refused with that reply code.
pub(super) fn is(error: &lapin::Error, code: &AMQPSoftError) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(refusal) if *refusal.kind() == AMQPErrorKind::Soft(code.clone()))
}
