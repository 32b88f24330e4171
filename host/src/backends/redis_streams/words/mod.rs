//! What is said when no connection comes about, and what to do.

mod refusal;

use std::time::Duration;

use redis::RedisError;

use super::connection::Login;
use super::place::Place;
use crate::backends::Failure;
use crate::causes::{innermost, untrusted};

pub(super) use refusal::refused;

/// What someone must mend is looked at again after that long.
pub(super) const MENDED_BY_HAND: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may pass by itself.
    Passing(String),
    /// Someone must mend it.
    Mend(String),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Passing(text) => Self::Retry(text),
            Trouble::Mend(text) => Self::BackOff(MENDED_BY_HAND, text),
        }
    }
}

/// The server did not answer in time.
pub(super) fn no_answer(Place { shown, .. }: &Place, limit: Duration) -> Trouble {
    Trouble::Passing(format!("redis at {shown} did not answer within {} s", limit.as_secs()))
}

/// The network, or TLS on it, broke.
pub(super) fn no_connection(Place { shown, .. }: &Place, error: &RedisError) -> Trouble {
    if !error.is_io_error() && !error.is_timeout() {
        return Trouble::Passing(format!("cannot connect to redis at {shown}: {}", said(error)));
    }
    let why = innermost(error);
    let has = |part: &str| why.contains(part);
    let tls = shown.starts_with("rediss://");
    if has("invalid peer certificate") || has("received fatal alert") {
        return no_trust(shown, &why);
    }
    let text = if error.is_timeout() && tls {
        // A server without TLS waits for the end of what it takes for a command.
        format!(
            "no TLS with redis at {shown}: {why}; is it running there? write redis:// if it speaks none on that port"
        )
    } else if error.is_timeout() {
        format!("redis at {shown} did not answer in time: {why}; is it running there?")
    } else if has("lookup") {
        format!("no such host in {shown}: {why}; check its name")
    } else if has("refused") || has("unreachable") {
        format!("cannot connect to redis at {shown}: {why}; is it running there?")
    } else if tls {
        format!(
            "no TLS with redis at {shown}: {why}; write redis:// if it speaks none on that port, and check ca_file, certificate and key"
        )
    } else {
        format!(
            "redis at {shown} closed the connection: {why}; write rediss:// if it speaks TLS on that port"
        )
    };
    Trouble::Passing(text)
}

fn no_trust(shown: &str, why: &str) -> Trouble {
    let mend = untrusted(why).unwrap_or("check ca_file, certificate and key");
    Trouble::Mend(format!("no TLS with redis at {shown}: {why}; {mend}"))
}

/// What a server's answer to a command of the greeting means; nothing, where it shows that the server is well.
pub(super) fn not_signed_in(
    place: &Place,
    command: &str,
    login: &Login,
    error: &RedisError,
) -> Result<(), Trouble> {
    let (shown, answer) = (&place.shown, said(error));
    let mend = |text| Err(Trouble::Mend(text));
    match (command, code(error).as_str()) {
        (_, "NOAUTH") => mend(format!("redis at {shown} asks for a password: {answer}; set {}", login.keys)),
        ("AUTH", _) => {
            mend(format!("redis at {shown} refused the user or password: {answer}; check {}", login.keys))
        }
        ("SELECT", _) if answer.contains("cluster mode") => {
            mend(format!("redis at {shown} is a node of a cluster: {answer}; name its nodes in cluster"))
        }
        ("SELECT", _) if answer.contains("unknown command") => mend(no_redis(shown, &answer)),
        ("SELECT", "NOPERM") => mend(not_permitted(shown, &answer)),
        ("SELECT", "ERR") => mend(format!(
            "redis at {shown} has no database {}: {answer}; check the number in url",
            login.database
        )),
        _ if error.is_io_error() => Err(no_connection(place, error)),
        (_, "LOADING") => {
            Err(Trouble::Passing(format!("redis at {shown} is still loading its data: {answer}")))
        }
        // Whoever may not ask for an answer has one, and what else is wrong will be said of a batch.
        ("PING", _) => Ok(()),
        _ => Err(Trouble::Passing(format!("redis at {shown} cannot be used now: {answer}"))),
    }
}

fn not_permitted(shown: &str, answer: &str) -> String {
    format!(
        "redis at {shown} does not permit it: {answer}; grant the user the stream's key and \
         +ping +select +multi +exec +xadd +xtrim +wait"
    )
}

fn no_redis(shown: &str, answer: &str) -> String {
    format!(
        "redis at {shown} takes no streams: {answer}; name a sentinel in sentinel.nodes, and have Redis 5 or later"
    )
}

/// A sentinel's refusal.
pub(super) fn no_sentinel(place: &Place, error: &RedisError) -> Trouble {
    let (shown, answer) = (&place.shown, said(error));
    if answer.contains("unknown command") {
        Trouble::Mend(format!("redis at {shown} is no sentinel: {answer}; give its port, 26379 by default"))
    } else {
        Trouble::Passing(format!("sentinel at {shown} does not say who the master is: {answer}"))
    }
}

/// A sentinel that does not know the master.
pub(super) fn no_master(place: &Place, master: &str) -> Trouble {
    Trouble::Mend(format!("sentinel at {} knows no master {master:?}; check sentinel.master", place.shown))
}

/// A node's refusal to say who has a slot.
pub(super) fn no_cluster_node(place: &Place, error: &RedisError) -> Trouble {
    let (shown, answer) = (&place.shown, said(error));
    if answer.contains("cluster support disabled") {
        Trouble::Mend(format!(
            "redis at {shown} is no node of a cluster: {answer}; leave cluster out and set url"
        ))
    } else if code(error) == "NOPERM" {
        let grant = "grant the user +cluster|slots and +cluster|keyslot";
        Trouble::Mend(format!("redis at {shown} does not permit it: {answer}; {grant}"))
    } else {
        Trouble::Passing(format!("redis at {shown} does not say which node has the stream: {answer}"))
    }
}

/// A slot that nobody has.
pub(super) fn no_owner(place: &Place, slot: u16) -> Trouble {
    Trouble::Passing(format!(
        "no node of the cluster at {} has slot {slot}, which the stream belongs to; is the cluster complete?",
        place.shown
    ))
}

/// The first code of a server's refusal, like `OOM`; empty where the trouble is another.
pub(super) fn code(error: &RedisError) -> String {
    let errors = error.clone().into_server_errors();
    let first = errors.iter().flat_map(|errors| errors.iter()).map(|(_, error)| error.code());
    // Of an aborted transaction the last word is that it was aborted; the reason stands before.
    first.min_by_key(|code| *code == "EXECABORT").unwrap_or_default().to_owned()
}

/// A server's refusal in its own words, or what else is wrong.
pub(super) fn said(error: &RedisError) -> String {
    let errors = error.clone().into_server_errors();
    let errors = errors.iter().flat_map(|errors| errors.iter().map(|(_, error)| error));
    let first = errors.min_by_key(|error| error.code() == "EXECABORT");
    first.map_or_else(
        || innermost(error),
        |error| {
            format!("{} {}", error.code(), error.details().unwrap_or_default())
                .trim_end_matches([' ', '.'])
                .to_owned()
        },
    )
}
