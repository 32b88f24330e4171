//! Redis Streams: one `XADD` an event, a batch as one transaction, the event as structured JSON in the field `event`.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Backend, Failure, Item, Outcomes, Receipt, Settings, Target};
use crate::journal::now_ms;
use crate::names::BackendName;
use crate::protocol::json;

/// How often entries older than `ttl_seconds` are trimmed.
const TRIM: Duration = Duration::from_secs(1);
/// Memory is not freed within milliseconds.
const OUT_OF_MEMORY: Duration = Duration::from_secs(1);

/// `events.redis_streams`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedisStreams {
    /// Where Redis is: `redis://[user:password@]host:port/database`, or `rediss://` for TLS.
    pub url: String,
    /// The stream's key.
    pub stream_name: String,
    /// Entries that the stream keeps, approximately; 0 for no limit.
    pub max_len: u64,
    /// Entries older than this are trimmed, approximately; 0 for no limit.
    pub ttl_seconds: u64,
    /// The connection.
    pub connection_pool: ConnectionPool,
}

/// `events.redis_streams.connection_pool`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionPool {
    /// Connections at most. One pipelined connection carries a lane in order, so one is used.
    pub max_connections: u32,
    /// Seconds to connect, and to wait for an answer.
    pub timeout: u64,
}

impl Default for RedisStreams {
    fn default() -> Self {
        Self {
            url: "redis://redis:6379/1".into(),
            stream_name: "nlp-events".into(),
            max_len: 10_000,
            ttl_seconds: 86_400,
            connection_pool: ConnectionPool::default(),
        }
    }
}

impl Default for ConnectionPool {
    fn default() -> Self {
        Self { max_connections: 10, timeout: 5 }
    }
}

impl Settings for RedisStreams {
    fn open(self, name: BackendName, _: &Path) -> Result<Vec<Target>, String> {
        let client = Client::open(self.url.as_str())
            .map_err(|error| format!("url: {error}; write it like redis://host:6379/1"))?;
        if self.stream_name.is_empty() {
            return Err("stream_name is empty; name a stream, like nlp-events".into());
        }
        let address = super::without_credentials(&self.url);
        let backend = Redis {
            name: name.clone(),
            address: address.clone(),
            client,
            settings: self,
            connection: None,
            trimmed: None,
        };
        Ok(vec![Target { name, address, backend: Box::new(backend), max_retries: None, pause: None }])
    }
}

struct Redis {
    name: BackendName,
    address: String,
    client: Client,
    settings: RedisStreams,
    connection: Option<MultiplexedConnection>,
    trimmed: Option<Instant>,
}

impl Redis {
    fn timeout(&self) -> Duration {
        Duration::from_secs(self.settings.connection_pool.timeout.max(1))
    }

    fn says(&self, what: impl fmt::Display) -> String {
        format!("backend {}: {what}", self.name)
    }

    fn pipeline(&mut self, batch: &[Item]) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(batch.len() + 3);
        // A transaction: all of the batch or none of it, so that order holds also when one command is refused.
        pipeline.atomic();
        let mut document = Vec::new();
        for item in batch {
            document.clear();
            json::encode(&item.event, &mut document);
            // To measure: growing it bit by bit cost more than the rest of the encoding.
            let mut command = Cmd::with_capacity(7, document.len() + self.settings.stream_name.len() + 64);
            command.arg("XADD").arg(&self.settings.stream_name);
            if self.settings.max_len > 0 {
                command.arg("MAXLEN").arg("~").arg(self.settings.max_len);
            }
            command.arg("*").arg("event").arg(&document[..]);
            pipeline.add_command(command);
        }
        self.trim(&mut pipeline);
        pipeline
    }

    /// `XADD` takes only one of `MAXLEN` and `MINID`: age is trimmed by a command of its own, now and then.
    fn trim(&mut self, pipeline: &mut Pipeline) {
        let due = self.trimmed.is_none_or(|last| last.elapsed() >= TRIM);
        if self.settings.ttl_seconds > 0 && due {
            self.trimmed = Some(Instant::now());
            let oldest = now_ms().saturating_sub(self.settings.ttl_seconds.saturating_mul(1_000));
            let command =
                pipeline.cmd("XTRIM").arg(&self.settings.stream_name).arg("MINID").arg("~").arg(oldest);
            command.ignore();
        }
    }

    fn failure(&self, error: &RedisError) -> Failure {
        let codes: Vec<String> = match error.clone().into_server_errors() {
            Some(errors) => errors.iter().map(|(_, error)| error.code().to_owned()).collect(),
            None => error.code().map(str::to_owned).into_iter().collect(),
        };
        let has = |code: &str| codes.iter().any(|found| found == code);
        let stream = &self.settings.stream_name;
        if has("OOM") {
            return Failure::BackOff(
                OUT_OF_MEMORY,
                self.says(format_args!("redis at {} is out of memory (maxmemory)", self.address)),
            );
        }
        if has("WRONGTYPE") {
            return Failure::BackOff(
                OUT_OF_MEMORY,
                self.says(format_args!(
                    "key {stream:?} at {} is no stream; delete it or set stream_name",
                    self.address
                )),
            );
        }
        if ["LOADING", "READONLY", "MOVED", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "BUSY"]
            .into_iter()
            .any(has)
        {
            return Failure::Reconnect(
                self.says(format_args!("redis at {} cannot write now: {error}", self.address)),
            );
        }
        if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
            return Failure::Reconnect(
                self.says(format_args!("the connection to redis at {} broke: {error}", self.address)),
            );
        }
        Failure::BackOff(
            OUT_OF_MEMORY,
            self.says(format_args!("redis at {} refused XADD to {stream:?}: {error}", self.address)),
        )
    }
}

#[async_trait]
impl Backend for Redis {
    async fn connect(&mut self) -> Result<(), Failure> {
        let timeout = self.timeout();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout));
        let connecting = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            redis::cmd("PING").query_async::<()>(&mut connection).await?;
            Ok::<_, RedisError>(connection)
        };
        // The crate's own limits do not cover all of it (redis-rs#1953).
        let connected = tokio::time::timeout(timeout * 2, connecting).await;
        let error = match connected {
            Ok(Ok(connection)) => {
                self.connection = Some(connection);
                return Ok(());
            }
            Ok(Err(error))
                if error.kind() == ErrorKind::AuthenticationFailed || error.code() == Some("NOAUTH") =>
            {
                format!("redis at {} refused the user or password of `url`: {error}", self.address)
            }
            Ok(Err(error)) => {
                format!("cannot connect to redis at {}: {error}; is it running there?", self.address)
            }
            Err(_) => format!("redis at {} did not answer within {} s", self.address, timeout.as_secs()),
        };
        Err(Failure::Retry(self.says(error)))
    }

    async fn publish(&mut self, batch: &[Item]) -> Outcomes {
        let pipeline = self.pipeline(batch);
        let Some(connection) = &mut self.connection else {
            return vec![Err(Failure::Reconnect(self.says("not connected"))); batch.len()];
        };
        let limit = Duration::from_secs(self.settings.connection_pool.timeout.max(1)) * 2;
        let answer = tokio::time::timeout(limit, pipeline.query_async::<Vec<String>>(connection)).await;
        let failure = match answer {
            Ok(Ok(ids)) => return ids.into_iter().map(|id| Ok(Receipt(Some(id.into())))).collect(),
            Ok(Err(error)) => self.failure(&error),
            Err(_) => Failure::Reconnect(self.says(format_args!(
                "redis at {} did not answer within {} s",
                self.address,
                limit.as_secs()
            ))),
        };
        vec![Err(failure); batch.len()]
    }

    async fn close(&mut self) {
        self.connection = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::testing::{Redis as Server, items};

    fn open(settings: RedisStreams) -> Box<dyn Backend> {
        settings.open("redis".into(), Path::new("")).unwrap().remove(0).backend
    }

    fn settings(server: &Server) -> RedisStreams {
        RedisStreams { url: server.url(), stream_name: "s".into(), ..RedisStreams::default() }
    }

    #[tokio::test]
    async fn a_batch_is_in_the_stream_in_order() {
        let server = Server::start().await;
        let mut backend = open(settings(&server));
        backend.connect().await.unwrap();
        let outcomes = backend.publish(&items(0..100)).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Receipt(Some(id))) if id.contains('-'))));
        let ids: Vec<_> = server.events("s").await.iter().map(|event| event.id().to_owned()).collect();
        assert_eq!(ids, (0..100).map(|id| id.to_string()).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn the_stream_is_trimmed_by_length() {
        let server = Server::start().await;
        let mut backend = open(RedisStreams { max_len: 100, ..settings(&server) });
        backend.connect().await.unwrap();
        for start in 0..10 {
            backend.publish(&items(start * 100..start * 100 + 100)).await;
        }
        // Redis trims by whole nodes of 100 entries.
        assert!(server.events("s").await.len() <= 200);
    }

    #[tokio::test]
    async fn refusals_are_told_apart() {
        let server = Server::start().await;
        server.command(&["SET", "s", "no stream"]).await;
        let mut backend = open(settings(&server));
        backend.connect().await.unwrap();
        let failure = backend.publish(&items(0..2)).await.remove(1).unwrap_err();
        assert!(
            matches!(&failure, Failure::BackOff(_, text) if text.contains("is no stream")),
            "{failure:?}"
        );
        server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
        let mut backend = open(RedisStreams { stream_name: "t".into(), ..settings(&server) });
        backend.connect().await.unwrap();
        let failure = backend.publish(&items(0..2)).await.remove(0).unwrap_err();
        assert!(
            matches!(&failure, Failure::BackOff(_, text) if text.contains("out of memory")),
            "{failure:?}"
        );
    }

    #[tokio::test]
    async fn a_wrong_password_is_said_and_not_shown() {
        let server = Server::start().await;
        server.command(&["CONFIG", "SET", "requirepass", "right"]).await;
        let url = server.url().replace("redis://", "redis://:hunter2@");
        let mut backend = open(RedisStreams { url, ..settings(&server) });
        let message = backend.connect().await.unwrap_err().to_string();
        assert!(
            message.contains("refused the user or password") && !message.contains("hunter2"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn nobody_there_is_said_with_the_address() {
        let mut backend =
            open(RedisStreams { url: "redis://127.0.0.1:1/0".into(), ..RedisStreams::default() });
        let message = backend.connect().await.unwrap_err().to_string();
        assert!(message.contains("cannot connect to redis at redis://127.0.0.1:1/0"), "{message}");
    }
}
