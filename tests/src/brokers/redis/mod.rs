//! Real Redis servers of a test's own: a single one, one with TLS and users, a master with its sentinel, a cluster.

mod cluster;
mod secured;
mod sentinel;
mod server;
mod stream;

use redis::aio::MultiplexedConnection;
use serde_json::Value;

pub use cluster::Cluster;
pub use secured::Secured;
pub use sentinel::Sentinel;
pub use server::{Keeps, Server, command};
pub use stream::Stream;

use super::{Broker, Content, Mistake};
use crate::peers::python_reads_redis;
use crate::process::{Process, free_port};
use crate::waiting::{PATIENCE, until};

/// The streams of the contract, by how they carry events; the tag keeps them on one node of a cluster.
const STREAMS: [&str; 2] = ["{contract}.event", "{contract}.attributes"];
/// Holds a text, and so cannot be a stream.
const NO_STREAM: &str = "no-stream";

/// A Redis server in a temporary directory.
pub struct Redis {
    server: Server,
    connection: MultiplexedConnection,
}

impl Redis {
    /// Starts one that forgets everything when it ends, and waits until it answers.
    pub async fn start() -> Self {
        Self::with(Keeps::Nothing).await
    }

    async fn with(keeps: Keeps) -> Self {
        let server = Server::start(keeps, &[]).await;
        let connection = server.connection(1).await;
        Self { server, connection }
    }

    /// `redis://…` of its database 1.
    pub fn url(&self) -> String {
        format!("redis://{}/1", self.server.address())
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
        Stream::new(name, self.connection.clone())
    }

    /// Has it do a command, as `redis-cli` would.
    ///
    /// # Panics
    /// If it refuses.
    pub async fn command(&self, words: &[&str]) {
        let mut command = redis::Cmd::new();
        words.iter().for_each(|word| _ = command.arg(word));
        let done: redis::RedisResult<redis::Value> = command.query_async(&mut self.connection.clone()).await;
        done.expect("redis does it");
    }

    /// Its process.
    pub fn process(&self) -> Process {
        self.server.process()
    }
}

impl Broker for Redis {
    const KIND: &'static str = "redis_streams";
    const NAME: &'static str = "Redis";
    const CONTENTS: &'static [Content] = &[Content::Structured, Content::Binary];

    async fn start() -> Self {
        let redis = Self::with(Keeps::Everything).await;
        let mut connection = redis.connection.clone();
        let guest =
            ["SETUSER", "guest", "on", ">right", "~mine*", "-@all", "+ping", "+select", "+multi", "+exec"];
        let set: redis::RedisResult<()> = redis::pipe()
            .cmd("SET")
            .arg(NO_STREAM)
            .arg("x")
            .cmd("ACL")
            .arg(&guest)
            .query_async(&mut connection)
            .await;
        set.expect("the test may do everything");
        redis
    }

    fn config(&self, content: Content, more: &str) -> String {
        config(&format!("url: \"{}\"", self.url()), content, more)
    }

    async fn described(&self, count: usize) -> Vec<Value> {
        described(&self.connection, &self.url(), count).await
    }

    async fn ids(&self) -> Vec<String> {
        self.stream(STREAMS[0]).ids().await
    }

    async fn kill(&mut self) {
        self.server.kill().await;
    }

    async fn again(&mut self) {
        self.server.again().await;
        self.connection = self.server.connection(1).await;
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let (here, port) = (self.server.address(), free_port());
        let mistake = |name, config, says| Mistake { name, config, says };
        vec![
            mistake(
                "wrong port",
                format!("{{ url: \"redis://{port}/1\" }}"),
                &["cannot connect to redis at redis://127.0.0.1", "is it running there?"],
            ),
            mistake(
                "no such host",
                "{ url: \"redis://nobody.invalid:6379/1\" }".into(),
                &["no such host in redis://nobody.invalid:6379/1", "check its name"],
            ),
            mistake(
                "wrong password",
                format!("{{ url: \"redis://:wrong-secret@{here}/1\" }}"),
                &["refused the user or password", "check username and password"],
            ),
            mistake(
                "a user that is not there",
                format!("{{ url: \"redis://{here}/1\", username: nobody, password: wrong-secret }}"),
                &["refused the user or password: WRONGPASS"],
            ),
            mistake(
                "TLS to a plain port",
                format!("{{ url: \"rediss://{here}/1\" }}"),
                &["no TLS with redis at rediss://127.0.0.1", "write redis:// if it speaks none"],
            ),
            mistake(
                "no such database",
                format!("{{ url: \"redis://{here}/99\" }}"),
                &["has no database 99", "DB index is out of range", "check the number in url"],
            ),
            mistake(
                "a key that is no stream",
                format!("{{ url: \"redis://{here}/1\", stream_name: {NO_STREAM} }}"),
                &[
                    "key \"no-stream\" at redis://127.0.0.1",
                    "is no stream; delete it or set another stream_name",
                ],
            ),
            mistake(
                "a user who may not add to streams",
                format!("{{ url: \"redis://guest:right@{here}/1\", stream_name: mine }}"),
                &["does not permit it: NOPERM", "'xadd' command", "grant the user", "+xadd"],
            ),
            mistake(
                "a cluster that is none",
                format!("{{ url: \"redis://{here}\", cluster: {{ nodes: [\"{here}\"] }} }}"),
                &["is no node of a cluster", "leave cluster out and set url"],
            ),
            mistake(
                "a sentinel that is none",
                format!("{{ url: \"redis://{here}\", sentinel: {{ nodes: [\"{here}\"] }} }}"),
                &["is no sentinel", "26379 by default"],
            ),
        ]
    }
}

/// A backend's `config:` for the contract.
fn config(place: &str, content: Content, more: &str) -> String {
    let layout = match content {
        Content::Structured => "event",
        Content::Binary => "attributes",
    };
    format!("{{ {place}, stream_name: \"{{{{contract}}}}.{layout}\", layout: {layout}, max_len: 0, {more} }}")
}

/// At least so many events of the contract's streams, as others read them there.
async fn described(connection: &MultiplexedConnection, url: &str, count: usize) -> Vec<Value> {
    let what = format!("the contract's streams have {count} entries");
    until(&what, PATIENCE, async || {
        let mut all = 0;
        for name in STREAMS {
            all += Stream::new(name, connection.clone()).length().await;
        }
        (all >= count).then_some(())
    })
    .await;
    let mut read = Vec::new();
    for name in STREAMS {
        read.extend(python_reads_redis(url, name, count).await);
    }
    read
}
