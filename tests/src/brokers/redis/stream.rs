//! What is in a stream.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::streams::StreamRangeReply;
use serde_json::Value;

use crate::waiting::{PATIENCE, until};

const PAGE: usize = 5_000;

/// A stream whose entries carry an event in the field `event`.
#[derive(Clone)]
pub struct Stream {
    name: String,
    connection: MultiplexedConnection,
}

impl Stream {
    pub(super) fn new(name: &str, connection: MultiplexedConnection) -> Self {
        Self { name: name.into(), connection }
    }

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

    /// Empties it, and goes on counting what is added.
    pub async fn trim(&self) {
        let mut connection = self.connection.clone();
        let _: u64 = redis::cmd("XTRIM")
            .arg((&self.name, "MAXLEN", 0))
            .query_async(&mut connection)
            .await
            .expect("Redis answers XTRIM");
    }

    /// Empties it.
    pub async fn clear(&self) {
        let mut connection = self.connection.clone();
        let _: () =
            redis::cmd("DEL").arg(&self.name).query_async(&mut connection).await.expect("Redis answers DEL");
    }

    /// The exact bytes of each entry's `event`, in the order of the stream.
    pub async fn raw(&self) -> Vec<Vec<u8>> {
        self.entries().await.into_iter().map(|(_, raw)| raw).collect()
    }

    /// Each entry's name, and its `event`.
    async fn entries(&self) -> Vec<(String, Vec<u8>)> {
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
            all.extend(page.ids.into_iter().map(|entry| {
                let event = entry.get("event").expect("an entry has the field `event`");
                (entry.id, event)
            }));
        }
    }

    /// The events, parsed.
    pub async fn events(&self) -> Vec<Value> {
        let parse = |raw: &Vec<u8>| serde_json::from_slice(raw).expect("an entry is a JSON document");
        self.raw().await.iter().map(parse).collect()
    }

    /// The events' ids with when Redis got each, in milliseconds of Unix time.
    pub async fn arrivals(&self) -> Vec<(String, u64)> {
        #[derive(serde::Deserialize)]
        struct Id {
            id: String,
        }
        let mut all = Vec::new();
        for (place, raw) in self.entries().await {
            let at = place
                .split('-')
                .next()
                .and_then(|at| at.parse().ok())
                .expect("an entry is named by its time");
            all.push((serde_json::from_slice::<Id>(&raw).expect("an entry is an event").id, at));
        }
        all
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
