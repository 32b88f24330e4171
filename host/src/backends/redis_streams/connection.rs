//! One connection to one server, signed in and answering.

use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::{Cmd, ConnectionAddr};

use super::place::Place;
use super::settings::RedisStreams;
use super::stream::{self, Broken, Files};
use super::wire::Wire;
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
pub(super) async fn open(place: &Place, login: &Login, settings: &RedisStreams) -> Result<Wire, Trouble> {
    let timeout = settings.timeout();
    let opening = async {
        let files = files(place, settings).await?;
        let connecting = tokio::time::timeout(timeout, stream::connect(&place.address, &files));
        let late = |_| Broken::Stream(std::io::ErrorKind::TimedOut.into());
        let stream = connecting.await.map_err(late).flatten().map_err(|broken| match broken {
            Broken::Stream(error) => words::no_connection(place, &error.into()),
            Broken::Files(text) => Trouble::Mend(format!("{text}; check ca_file, certificate and key")),
        })?;
        let mut wire = Wire::new(stream);
        sign_in(&mut wire, place, login, timeout).await?;
        Ok(wire)
    };
    within(timeout * 2, place, opening).await
}

/// A limit for all of it: where several things are asked for, each has its own.
pub(super) async fn within<T>(
    limit: Duration,
    place: &Place,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(words::no_answer(place, limit)))
}

async fn sign_in(wire: &mut Wire, place: &Place, login: &Login, limit: Duration) -> Result<(), Trouble> {
    let mut commands = Vec::new();
    if let Some(password) = &login.password {
        commands.push(("AUTH", redis::cmd("AUTH").arg(login.username.as_slice()).arg(password).to_owned()));
    }
    if login.database != 0 {
        commands.push(("SELECT", redis::cmd("SELECT").arg(login.database).to_owned()));
    }
    commands.push(("PING", redis::cmd("PING")));
    let (names, commands): (Vec<&str>, Vec<Cmd>) = commands.into_iter().unzip();
    let answers = match tokio::time::timeout(limit, wire.ask(&commands)).await {
        Ok(answers) => answers,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    };
    let answers = answers.map_err(|error| words::no_connection(place, &error))?;
    for (command, answer) in names.into_iter().zip(answers) {
        if let Err(error) = answer {
            words::not_signed_in(place, command, login, &error)?;
        }
    }
    Ok(())
}

/// Read at each connection: certificates are renewed while the host runs.
async fn files(place: &Place, settings: &RedisStreams) -> Result<Files, Trouble> {
    if !matches!(place.address, ConnectionAddr::TcpTls { .. }) {
        return Ok(Files::default());
    }
    let authorities = read("ca_file", settings.ca_file.as_ref()).await?;
    let certificate = read("certificate", settings.certificate.as_ref()).await?;
    let key = read("key", settings.key.as_ref()).await?;
    Ok(Files { authorities, certificate: certificate.zip(key) })
}

async fn read(key: &str, path: Option<&PathBuf>) -> Result<Option<Vec<u8>>, Trouble> {
    let Some(path) = path.map(PathBuf::as_path) else { return Ok(None) };
    let unreadable = |why: &dyn std::fmt::Display, path: &Path| {
        Trouble::Mend(format!("{key}: cannot read {}: {why}", path.display()))
    };
    let text = tokio::fs::read(path).await.map_err(|error| unreadable(&error, path))?;
    // A file without any would be one that trusts nobody.
    if text.windows(10).any(|window| window == b"-----BEGIN") {
        Ok(Some(text))
    } else {
        Err(unreadable(&"it is no PEM file", path))
    }
}
