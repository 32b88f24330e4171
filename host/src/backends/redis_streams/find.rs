//! Which server is the one to write to, asked anew at each connection: a failover may be why the last one broke.

use redis::{ConnectionAddr, FromRedisValue, RedisError, RedisResult, Value};

use super::connection::{self, Login};
use super::place::{self, Place, Way};
use super::settings::RedisStreams;
use super::wire::Wire;
use super::words::{self, Trouble};

/// Finds it. `turn` says who is asked first, `stream` what the server must have in a cluster.
pub(super) async fn server(
    way: &Way,
    turn: usize,
    stream: &str,
    login: &Login,
    settings: &RedisStreams,
) -> Result<Place, Trouble> {
    match way {
        Way::Direct(place) => Ok(place.clone()),
        Way::Sentinel { sentinels, master, like } => {
            let login = at_sentinels(settings);
            let mut first = None;
            for sentinel in in_turn(sentinels, turn) {
                let asked = ask_sentinel(sentinel, master, &login, like, settings).await;
                match asked {
                    Ok(place) => return Ok(place),
                    Err(trouble) => first = first.or(Some(trouble)),
                }
            }
            Err(nobody(first, "sentinel"))
        }
        Way::Cluster { nodes } => {
            let mut first = None;
            for node in in_turn(nodes, turn) {
                match ask_node(node, stream, login, settings).await {
                    Ok(place) => return Ok(place),
                    Err(trouble) => first = first.or(Some(trouble)),
                }
            }
            Err(nobody(first, "node"))
        }
    }
}

fn in_turn(places: &[Place], turn: usize) -> impl Iterator<Item = &Place> {
    places.iter().cycle().skip(turn % places.len().max(1)).take(places.len())
}

fn nobody(first: Option<Trouble>, what: &str) -> Trouble {
    first.unwrap_or_else(|| Trouble::Mend(format!("no {what} is named; name one in nodes")))
}

fn at_sentinels(settings: &RedisStreams) -> Login {
    let named = settings.sentinel.as_ref();
    Login {
        username: named.and_then(|it| it.username.clone()),
        password: named.and_then(|it| it.password.clone()),
        database: 0,
        keys: "sentinel.username and sentinel.password",
    }
}

async fn ask_sentinel(
    sentinel: &Place,
    master: &str,
    login: &Login,
    like: &ConnectionAddr,
    settings: &RedisStreams,
) -> Result<Place, Trouble> {
    let mut wire = connection::open(sentinel, login, settings).await?;
    let asking = async {
        let command = redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master).to_owned();
        let answers = wire.ask(&[command]).await.and_then(|mut answers| read(answers.pop()));
        answers.map_err(|error| words::no_sentinel(sentinel, &error))
    };
    let found: Option<(String, u16)> = connection::within(settings.timeout() * 2, sentinel, asking).await?;
    let (host, port) = found.ok_or_else(|| words::no_master(sentinel, master))?;
    Ok(place::at(&host, port, like))
}

async fn ask_node(
    node: &Place,
    stream: &str,
    login: &Login,
    settings: &RedisStreams,
) -> Result<Place, Trouble> {
    let mut wire = connection::open(node, login, settings).await?;
    let asking =
        async { slots(&mut wire, stream).await.map_err(|error| words::no_cluster_node(node, &error)) };
    let (slot, ranges) = connection::within(settings.timeout() * 2, node, asking).await?;
    let owner = ranges.iter().find_map(|range| owner(range, slot, node));
    owner.ok_or_else(|| words::no_owner(node, slot))
}

async fn slots(wire: &mut Wire, stream: &str) -> RedisResult<(u16, Vec<Vec<Value>>)> {
    let slot = redis::cmd("CLUSTER").arg("KEYSLOT").arg(stream).to_owned();
    let slots = redis::cmd("CLUSTER").arg("SLOTS").to_owned();
    let mut answers = wire.ask(&[slot, slots]).await?.into_iter();
    Ok((read(answers.next())?, read(answers.next())?))
}

/// What an answer says, if there is one.
pub(super) fn read<T: FromRedisValue>(answer: Option<RedisResult<Value>>) -> RedisResult<T> {
    let absent = || RedisError::from(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
    Ok(redis::from_redis_value(answer.ok_or_else(absent)??)?)
}

/// `[first, last, [host, port, …], replicas…]`
fn owner(range: &[Value], slot: u16, asked: &Place) -> Option<Place> {
    let [first, last, master, ..] = range else { return None };
    let number = |value: &Value| redis::from_redis_value_ref::<u16>(value).ok();
    if !(number(first)?..=number(last)?).contains(&slot) {
        return None;
    }
    let Value::Array(master) = master else { return None };
    let [host, port, ..] = &master[..] else { return None };
    // A node that does not know its own name answers without one, or with `?`.
    let host = redis::from_redis_value_ref::<Option<String>>(host).ok().flatten();
    let host = host.filter(|host| !host.is_empty() && host != "?").or_else(|| host_of(&asked.address))?;
    Some(place::at(&host, number(port)?, &asked.address))
}

fn host_of(address: &ConnectionAddr) -> Option<String> {
    match address {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => Some(host.clone()),
        _ => None,
    }
}
