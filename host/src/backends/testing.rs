//! Real servers and sample events for the tests of backends and lanes.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Item;
use crate::Event;
use crate::protocol::json;

/// A Redis of its own on a free loopback port, gone with the value.
pub(crate) struct Redis {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        let port = free_port();
        Self::on(port).await
    }

    /// Starts on that port, as after a restart.
    pub(crate) async fn on(port: u16) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string(), "--dir"])
            .arg(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed (cargo xtask setup)");
        let server = Self { child, port, _dir: dir };
        let start = Instant::now();
        while server.try_command(&["PING"]).await.is_err() {
            assert!(start.elapsed() < Duration::from_secs(10), "redis did not start");
            tokio::task::yield_now().await;
        }
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    async fn try_command(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::Cmd::new();
        words.iter().for_each(|word| {
            command.arg(word);
        });
        command.query_async(&mut connection).await
    }

    pub(crate) async fn command(&self, words: &[&str]) -> redis::Value {
        self.try_command(words).await.unwrap()
    }

    /// The events in a stream.
    pub(crate) async fn events(&self, stream: &str) -> Vec<Event> {
        let entries = self.command(&["XRANGE", stream, "-", "+"]).await;
        let entries: Vec<(String, Vec<String>)> = redis::from_redis_value(entries).unwrap();
        let event = |(_, fields): (String, Vec<String>)| {
            assert_eq!(fields[0], "event");
            json::decode(&fields[1].clone().into()).unwrap()
        };
        entries.into_iter().map(event).collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Events with these ids, over seven keys.
pub(crate) fn items(ids: std::ops::Range<u64>) -> Vec<Item> {
    let item = |id: u64| {
        let subject = format!("document/{}", id % 7);
        let event = Event::builder(id.to_string(), "s", "t")
            .subject(subject)
            .json(&b"{\"n\":1}"[..])
            .build()
            .unwrap();
        Item { event, key: id % 7, trace: None }
    };
    ids.map(item).collect()
}
