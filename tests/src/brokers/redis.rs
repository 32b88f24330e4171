//! A real Redis of the test's own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::streams::StreamRangeReply;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{Broker, Content, Mistake};
use crate::peers::python_reads_redis;
use crate::process::{Process, free_port};
use crate::waiting::{PATIENCE, until};

const PAGE: usize = 5_000;

/// A Redis server in a temporary directory.
pub struct Redis {
    address: SocketAddr,
    connection: MultiplexedConnection,
    server: Child,
    directory: TempDir,
    keeps: Keeps,
}

/// What is there again after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Nothing.
    Nothing,
    /// All that it has confirmed.
    Everything,
}

impl Redis {
    /// Starts one that forgets everything when it ends, and waits until it answers.
    pub async fn start() -> Self {
        Self::with(Keeps::Nothing).await
    }

    async fn with(keeps: Keeps) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let address = free_port();
        let server = serve(address, &directory, keeps);
        let connection = connect(address).await;
        Self { address, connection, server, directory, keeps }
    }

    /// `redis://…` of its database 1.
    pub fn url(&self) -> String {
        format!("redis://{}/1", self.address)
    }

    /// An `events:` section that publishes to the stream `nlp-events` here and never trims it.
    pub fn events_section(&self) -> String {
        format!("events:\n  enabled: true\n  backend: redis_streams\n{}", self.backend_section())
    }

    /// The `redis_streams:` section alone, to stand below `events:`.
    pub fn backend_section(&self) -> String {
        format!(
            "  redis_streams:\n    url: {}\n    stream_name: nlp-events\n    max_len: 100000000\n",
            self.url()
        )
    }

    /// A stream of it.
    pub fn stream(&self, name: &str) -> Stream {
        Stream { name: name.into(), connection: self.connection.clone() }
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process(self.server.id().unwrap_or_default())
    }
}

impl Broker for Redis {
    const KIND: &'static str = "redis_streams";
    const CONTENTS: &'static [Content] = &[Content::Structured];

    async fn start() -> Self {
        Self::with(Keeps::Everything).await
    }

    fn config(&self, _: Content, more: &str) -> String {
        format!("{{ url: \"{}\", stream_name: contract, max_len: 0, {more} }}", self.url())
    }

    async fn described(&self, count: usize) -> Vec<Value> {
        self.stream("contract").has(count).await;
        python_reads_redis(&self.url(), "contract", count).await
    }

    async fn ids(&self) -> Vec<String> {
        self.stream("contract").ids().await
    }

    async fn kill(&mut self) {
        self.server.kill().await.expect("a running server can be killed");
    }

    async fn again(&mut self) {
        self.server = serve(self.address, &self.directory, self.keeps);
        self.connection = connect(self.address).await;
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let port = free_port();
        vec![
            Mistake {
                name: "wrong port",
                config: format!("{{ url: \"redis://{port}/1\" }}"),
                says: &["cannot connect to redis at redis://127.0.0.1", "is it running there?"],
            },
            Mistake {
                name: "wrong password",
                config: format!("{{ url: \"redis://:wrong@{}/1\" }}", self.address),
                says: &["refused the user or password"],
            },
            Mistake {
                name: "TLS to a plain port",
                config: format!("{{ url: \"rediss://{}/1\" }}", self.address),
                says: &["cannot connect to redis at rediss://127.0.0.1"],
            },
        ]
    }
}

/// The command that starts a server there.
pub fn command(address: SocketAddr, directory: &Path, keeps: Keeps) -> Command {
    let appends: &[&str] = match keeps {
        Keeps::Nothing => &["--appendonly", "no"],
        Keeps::Everything => &["--appendonly", "yes", "--appendfsync", "always"],
    };
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", ""])
        .args(appends)
        .arg("--dir")
        .arg(directory)
        .current_dir(directory);
    command
}

fn serve(address: SocketAddr, directory: &TempDir, keeps: Keeps) -> Child {
    command(address, directory.path(), keeps)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|e| panic!("redis-server does not start ({e}): install it by `cargo xtask setup`"))
}

async fn connect(address: SocketAddr) -> MultiplexedConnection {
    let client = redis::Client::open(format!("redis://{address}/1")).expect("the address is a Redis URL");
    // XRANGE over a long stream takes longer than the client's usual half second.
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_mins(1)));
    until("Redis answers", PATIENCE, async || {
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.ok()?;
        redis::cmd("PING").query_async::<String>(&mut connection).await.ok()?;
        Some(connection)
    })
    .await
}

/// A stream whose entries carry an event in the field `event`.
#[derive(Clone)]
pub struct Stream {
    name: String,
    connection: MultiplexedConnection,
}

impl Stream {
    /// How many entries it has.
    pub async fn length(&self) -> usize {
        let mut connection = self.connection.clone();
        redis::cmd("XLEN").arg(&self.name).query_async(&mut connection).await.expect("Redis answers XLEN")
    }

    /// How many entries were ever added, trimmed ones included.
    pub async fn added(&self) -> u64 {
        let mut connection = self.connection.clone();
        let reply: redis::RedisResult<redis::Value> =
            redis::cmd("XINFO").arg("STREAM").arg(&self.name).query_async(&mut connection).await;
        // A stream that nothing was added to does not exist.
        reply.ok().and_then(|value| entries_added(&value)).unwrap_or(0)
    }

    /// Empties it.
    pub async fn clear(&self) {
        let mut connection = self.connection.clone();
        let _: () =
            redis::cmd("DEL").arg(&self.name).query_async(&mut connection).await.expect("Redis answers DEL");
    }

    /// The exact bytes of each entry's `event`, in the order of the stream.
    pub async fn raw(&self) -> Vec<Vec<u8>> {
        let mut connection = self.connection.clone();
        let (mut all, mut from) = (Vec::new(), "-".to_owned());
        loop {
            let page: StreamRangeReply = redis::cmd("XRANGE")
                .arg((&self.name, &from, "+", "COUNT", PAGE))
                .query_async(&mut connection)
                .await
                .expect("Redis answers XRANGE");
            let Some(last) = page.ids.last() else { return all };
            from = format!("({}", last.id);
            let event = |entry: &redis::streams::StreamId| entry.get("event");
            all.extend(page.ids.iter().map(|entry| event(entry).expect("an entry has the field `event`")));
        }
    }

    /// The events, parsed.
    pub async fn events(&self) -> Vec<Value> {
        let parse = |raw: &Vec<u8>| serde_json::from_slice(raw).expect("an entry is a JSON document");
        self.raw().await.iter().map(parse).collect()
    }

    /// The events' ids, in the order of the stream.
    pub async fn ids(&self) -> Vec<String> {
        #[derive(serde::Deserialize)]
        struct Id {
            id: String,
        }
        let parse = |raw: &Vec<u8>| serde_json::from_slice::<Id>(raw).expect("an entry is an event").id;
        self.raw().await.iter().map(parse).collect()
    }

    /// Waits until it has at least that many entries.
    pub async fn has(&self, count: usize) {
        let what = format!("{} has {count} entries", self.name);
        until(&what, PATIENCE, async || (self.length().await >= count).then_some(())).await;
    }

    /// Waits until entries no longer come: everything owed is there or will never be.
    pub async fn is_quiet_at(&self, count: usize, limit: Duration) {
        let begin = std::time::Instant::now();
        while self.length().await < count && begin.elapsed() < limit {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn entries_added(value: &redis::Value) -> Option<u64> {
    let pairs: Vec<(String, redis::Value)> = redis::from_redis_value(value.clone()).ok()?;
    let (_, added) = pairs.into_iter().find(|(name, _)| name == "entries-added")?;
    redis::from_redis_value(added).ok()
}
