//! How much waits in the queues of the next stages, as the broker says when it is asked for a queue that must be there
//! (`queue.declare`, passive). What was handed out and is not acknowledged it does not say.

use async_trait::async_trait;
use lapin::Connection;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;

use super::{Rabbitmq, connection};
use crate::backends::{Reading, Watch, Watched};

struct Queues {
    settings: Rabbitmq,
    uri: AMQPUri,
    address: String,
    connection: Option<Connection>,
}

/// The look at the queues that the settings name.
pub(super) fn watched(settings: &Rabbitmq, uri: &AMQPUri, address: &str) -> Option<Watched> {
    if settings.consumers.is_empty() {
        return None;
    }
    // A look makes nothing.
    let settings = Rabbitmq { exchange: String::new(), ..settings.clone() };
    let interval = settings.consumers_interval.0;
    let (uri, address) = (uri.clone(), address.to_owned());
    Some(Watched { interval, watch: Box::new(Queues { settings, uri, address, connection: None }) })
}

impl Queues {
    async fn connect(&mut self) -> Result<Connection, String> {
        let open = self.connection.take().filter(|connection| connection.status().connected());
        if let Some(connection) = open {
            return Ok(connection);
        }
        let opened = connection::open(&self.settings, &self.uri, &self.address).await;
        opened.map_err(|failure| failure.to_string())
    }

    /// On a channel of its own, which a queue that is missing closes.
    async fn depth(&self, connection: &Connection, queue: &str) -> Result<u64, lapin::Error> {
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let found = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
        let count = found.message_count();
        channel.close(200, "done".into()).await?;
        Ok(count.into())
    }

    async fn ask(&self, connection: &Connection, queue: &str) -> Result<Reading, String> {
        let limit = self.settings.timeout;
        match tokio::time::timeout(limit.0, self.depth(connection, queue)).await {
            Ok(Ok(depth)) => Ok(Reading { lag: Some(depth), pending: None }),
            Ok(Err(error)) => Err(format!("queue {queue:?} of rabbitmq at {}: {error}", self.address)),
            Err(_) => Err(format!("rabbitmq at {} did not answer within {limit}", self.address)),
        }
    }
}

#[async_trait]
impl Watch for Queues {
    async fn look(&mut self) -> Vec<(String, Result<Reading, String>)> {
        let names = self.settings.consumers.clone();
        let connection = match self.connect().await {
            Ok(connection) => connection,
            Err(error) => return names.into_iter().map(|name| (name, Err(error.clone()))).collect(),
        };
        let mut readings = Vec::with_capacity(names.len());
        for name in names {
            let reading = self.ask(&connection, &name).await;
            readings.push((name, reading));
        }
        self.connection = Some(connection);
        readings
    }
}
