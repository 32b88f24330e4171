//! A master, its replica, and the sentinel that makes the one of the other.

use std::net::SocketAddr;

use redis::aio::MultiplexedConnection;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{Broker, Content, Keeps, Mistake, STREAMS, Server, Stream, config, described, server};
use crate::process::free_port;
use crate::waiting::{PATIENCE, until, until_true};

const MASTER: &str = "stage2-master";
const PASSWORD: &str = "watch-secret";

/// Two servers and a sentinel. The replica must have what counts as delivered.
pub struct Sentinel {
    servers: [Server; 2],
    master: usize,
    watcher: SocketAddr,
    connection: MultiplexedConnection,
    _process: Child,
    _directory: TempDir,
}

impl Sentinel {
    fn place(&self) -> String {
        self.place_with(MASTER, PASSWORD)
    }

    fn place_with(&self, master: &str, password: &str) -> String {
        let at = self.watcher;
        format!("sentinel: {{ nodes: [\"{at}\"], master: {master}, password: {password} }}")
    }

    fn master(&self) -> &Server {
        &self.servers[self.master]
    }

    fn replica(&self) -> &Server {
        &self.servers[1 - self.master]
    }
}

fn start(sentinel: SocketAddr, master: SocketAddr) -> (Child, TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let settings = format!(
        "port {}\nbind 127.0.0.1\nrequirepass {PASSWORD}\ndir {}\n\
         sentinel monitor {MASTER} 127.0.0.1 {} 1\nsentinel down-after-milliseconds {MASTER} 1500\n\
         sentinel failover-timeout {MASTER} 10000\n",
        sentinel.port(),
        directory.path().display(),
        master.port()
    );
    let file = directory.path().join("sentinel.conf");
    std::fs::write(&file, settings).expect("a file can be written");
    let mut command = Command::new("redis-server");
    (server::run(command.arg(file).arg("--sentinel").current_dir(directory.path())), directory)
}

/// Asks the sentinel for its master, or for its replicas.
async fn ask<T: redis::FromRedisValue>(sentinel: SocketAddr, what: &str) -> Option<T> {
    let client = redis::Client::open(format!("redis://:{PASSWORD}@{sentinel}")).ok()?;
    let mut connection = client.get_multiplexed_async_connection().await.ok()?;
    redis::cmd("SENTINEL").arg(what).arg(MASTER).query_async(&mut connection).await.ok()
}

impl Broker for Sentinel {
    const KIND: &'static str = "redis_streams";
    const NAME: &'static str = "Redis Sentinel";
    const CONTENTS: &'static [Content] = &[Content::Structured, Content::Binary];

    async fn start() -> Self {
        let first = Server::start(Keeps::Everything, &[]).await;
        let port = first.address().port().to_string();
        let second = Server::start(Keeps::Everything, &["--replicaof", "127.0.0.1", &port]).await;
        until_true("the replica has its master's data", PATIENCE, async || {
            second
                .answer::<String>(&["INFO", "replication"])
                .await
                .is_ok_and(|it| it.contains("link_status:up"))
        })
        .await;
        let sentinel = free_port();
        let (process, directory) = start(sentinel, first.address());
        until("the sentinel knows the replica", PATIENCE, async || {
            ask::<Vec<redis::Value>>(sentinel, "REPLICAS").await.filter(|replicas| !replicas.is_empty())
        })
        .await;
        let connection = first.connection(1).await;
        let servers = [first, second];
        Self { servers, master: 0, watcher: sentinel, connection, _process: process, _directory: directory }
    }

    fn config(&self, content: Content, more: &str) -> String {
        config(&format!("{}, replicas: 1", self.place()), content, more)
    }

    async fn described(&self, count: usize) -> Vec<Value> {
        described(&self.connection, &format!("redis://{}/1", self.master().address()), count).await
    }

    async fn ids(&self) -> Vec<String> {
        Stream::new(STREAMS[0], self.connection.clone()).ids().await
    }

    /// Ends the master, and waits until the replica is one.
    async fn kill(&mut self) {
        self.servers[self.master].kill().await;
        let next = 1 - self.master;
        let port = self.servers[next].address().port();
        until_true("the sentinel has made the replica the master", PATIENCE, async || {
            let named = ask::<(String, u16)>(self.watcher, "GET-MASTER-ADDR-BY-NAME").await;
            named.is_some_and(|(_, named)| named == port)
        })
        .await;
        self.master = next;
        self.connection = self.master().connection(1).await;
    }

    /// Starts the former master, and waits until it is the replica.
    async fn again(&mut self) {
        self.servers[1 - self.master].again().await;
        until_true("the former master follows the new one", PATIENCE, async || {
            self.replica()
                .answer::<String>(&["INFO", "replication"])
                .await
                .is_ok_and(|it| it.contains("role:slave"))
        })
        .await;
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let (master, replica) = (self.master().address(), self.replica().address());
        let mistake = |name, config: String, says| Mistake { name, config: format!("{{ {config} }}"), says };
        vec![
            mistake(
                "a master that the sentinels do not know",
                self.place_with("nobody", PASSWORD),
                &["knows no master \"nobody\"", "check sentinel.master"],
            ),
            mistake(
                "a wrong password for the sentinels",
                self.place_with(MASTER, "wrong-secret"),
                &["refused the user or password: WRONGPASS", "check sentinel.username and sentinel.password"],
            ),
            mistake(
                "no password for the sentinels",
                format!("sentinel: {{ nodes: [\"{}\"], master: {MASTER} }}", self.watcher),
                &["asks for a password: NOAUTH", "set sentinel.username and sentinel.password"],
            ),
            mistake(
                "a sentinel that is not there",
                format!("sentinel: {{ nodes: [\"{}\"], master: {MASTER} }}", free_port()),
                &["cannot connect to redis at redis://127.0.0.1", "is it running there?"],
            ),
            mistake(
                "a sentinel as if it were the master",
                format!("url: \"redis://:{PASSWORD}@{}/1\"", self.watcher),
                &["takes no streams", "name a sentinel in sentinel.nodes"],
            ),
            mistake(
                "a replica as if it were the master",
                format!("url: \"redis://{replica}/1\""),
                &["is a replica and cannot write", "give the master's address"],
            ),
            mistake(
                "more replicas than there are",
                format!("url: \"redis://{master}/1\", replicas: 3, connection_pool: {{ timeout: 1 }}"),
                &["1 of 3 replicas", "start the others, or lower replicas"],
            ),
        ]
    }
}
