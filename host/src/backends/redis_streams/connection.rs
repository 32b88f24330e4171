//! One connection to one server, signed in and answering.

use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo, RedisResult,
    TlsCertificates,
};

use super::place::Place;
use super::settings::RedisStreams;
use super::words::{self, Trouble};

/// Who one is there, and where in it one is.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: i64,
    /// Which settings that are, for those who must mend them.
    pub(super) keys: &'static str,
}

/// Connects, signs in, and has an answer to `PING`.
pub(super) async fn open(
    place: &Place,
    login: &Login,
    settings: &RedisStreams,
) -> Result<MultiplexedConnection, Trouble> {
    let timeout = settings.timeout();
    let client = client(place, settings).await?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(Some(timeout));
    let opening = async {
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await.map_err(|error| words::no_connection(place, &error))?;
        sign_in(&mut connection, place, login).await?;
        Ok(connection)
    };
    within(timeout * 2, place, opening).await
}

/// The crate's own limits do not cover all of it (redis-rs#1953).
pub(super) async fn within<T>(
    limit: Duration,
    place: &Place,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(words::no_answer(place, limit)))
}

/// The crate would sign in by itself, and keep the server's words to itself.
async fn sign_in(
    connection: &mut MultiplexedConnection,
    place: &Place,
    login: &Login,
) -> Result<(), Trouble> {
    let (mut pipeline, mut sent) = (redis::pipe(), Vec::new());
    pipeline.ignore_errors();
    if let Some(password) = &login.password {
        pipeline.cmd("AUTH").arg(login.username.as_slice()).arg(password);
        sent.push("AUTH");
    }
    if login.database != 0 {
        pipeline.cmd("SELECT").arg(login.database);
        sent.push("SELECT");
    }
    pipeline.cmd("PING");
    sent.push("PING");
    let answers: RedisResult<Vec<RedisResult<String>>> = pipeline.query_async(connection).await;
    let answers = answers.map_err(|error| words::no_connection(place, &error))?;
    for (command, answer) in sent.into_iter().zip(answers) {
        if let Err(error) = answer {
            words::not_signed_in(place, command, login, &error)?;
        }
    }
    Ok(())
}

async fn client(place: &Place, settings: &RedisStreams) -> Result<Client, Trouble> {
    let wrong = |error: redis::RedisError| words::no_connection(place, &error);
    let info = place.address.clone().into_connection_info().map_err(wrong)?;
    let info = info.clone().set_redis_settings(info.redis_settings().clone().set_skip_set_lib_name());
    let own = settings.ca_file.is_some() || settings.certificate.is_some();
    if !own || !matches!(place.address, ConnectionAddr::TcpTls { .. }) {
        return Client::open(info).map_err(wrong);
    }
    let certificates = certificates(settings).await?;
    Client::build_with_tls(info, certificates)
        .map_err(|error| Trouble::Mend(format!("{error}; check ca_file, certificate and key")))
}

/// Read at each connection: certificates are renewed while the host runs.
async fn certificates(settings: &RedisStreams) -> Result<TlsCertificates, Trouble> {
    let root_cert = read("ca_file", settings.ca_file.as_ref()).await?;
    let certificate = read("certificate", settings.certificate.as_ref()).await?;
    let key = read("key", settings.key.as_ref()).await?;
    let client_tls =
        certificate.zip(key).map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
    Ok(TlsCertificates { client_tls, root_cert })
}

async fn read(key: &str, path: Option<&PathBuf>) -> Result<Option<Vec<u8>>, Trouble> {
    let Some(path) = path.map(PathBuf::as_path) else { return Ok(None) };
    let unreadable = |why: &dyn std::fmt::Display, path: &Path| {
        Trouble::Mend(format!("{key}: cannot read {}: {why}", path.display()))
    };
    let text = tokio::fs::read(path).await.map_err(|error| unreadable(&error, path))?;
    // The crate takes a file without any for one that trusts nobody.
    if text.windows(10).any(|window| window == b"-----BEGIN") {
        Ok(Some(text))
    } else {
        Err(unreadable(&"it is no PEM file", path))
    }
}
