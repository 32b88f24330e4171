//! How far behind the durable consumers of a stream are, as `JetStream` says itself.

use async_nats::ServerAddr;
use async_nats::jetstream::{self, context::ContextBuilder};
use async_trait::async_trait;

use super::Nats;
use super::connection::{self, Complaints};
use crate::backends::{Reading, Watch, Watched};
use crate::causes::innermost;

struct Consumers {
    settings: Nats,
    servers: Vec<ServerAddr>,
    address: String,
    context: Option<jetstream::Context>,
}

/// The look at the consumers that the settings name.
pub(super) fn watched(settings: &Nats, servers: &[ServerAddr], address: &str) -> Option<Watched> {
    if settings.consumers.is_empty() {
        return None;
    }
    let (servers, address) = (servers.to_vec(), address.to_owned());
    let watch = Box::new(Consumers { settings: settings.clone(), servers, address, context: None });
    Some(Watched { interval: settings.consumers_interval.0, watch })
}

impl Consumers {
    async fn connect(&mut self) -> Result<jetstream::Context, String> {
        if let Some(context) = self.context.take() {
            return Ok(context);
        }
        let complaints = Complaints::default();
        let client = connection::open(&self.settings, &self.servers, &complaints, &self.address).await;
        let client = client.map_err(|failure| failure.to_string())?;
        Ok(ContextBuilder::new().timeout(self.settings.timeout.0).build(client))
    }

    async fn ask(&self, context: &jetstream::Context, stream: &str, name: &str) -> Result<Reading, String> {
        let said = |error: &dyn std::error::Error| {
            format!("consumer {name:?} of stream {stream:?} at {}: {}", self.address, innermost(error))
        };
        let found = context.get_stream_no_info(stream).await.map_err(|error| said(&error))?;
        let info = found.consumer_info(name).await.map_err(|error| said(&error))?;
        Ok(Reading { lag: Some(info.num_pending), pending: Some(info.num_ack_pending as u64) })
    }
}

#[async_trait]
impl Watch for Consumers {
    async fn look(&mut self) -> Vec<(String, Result<Reading, String>)> {
        let names = self.settings.consumers.clone();
        let stream = self.settings.stream.clone().unwrap_or_default();
        let context = match self.connect().await {
            Ok(context) => context,
            Err(error) => return names.into_iter().map(|name| (name, Err(error.clone()))).collect(),
        };
        let mut readings = Vec::with_capacity(names.len());
        for name in names {
            let reading = self.ask(&context, &stream, &name).await;
            readings.push((name, reading));
        }
        // A connection that is gone is made anew with the next look.
        if readings.iter().any(|(_, reading)| reading.is_ok()) {
            self.context = Some(context);
        }
        readings
    }
}
