//! The backend itself: connects, publishes, takes confirmations and returned messages together.

use async_trait::async_trait;
use bytes::Bytes;
use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, ShortString};
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Connection, PublisherConfirm};
use tokio::time::Instant;

use super::{Rabbitmq, connection, queues, refusal};
use crate::Event;
use crate::backends::content::Content;
use crate::backends::template::Template;
use crate::backends::window::{Turn, Window};
use crate::backends::{Backend, Failure, Item, Outcomes, Receipt, Watched};
use crate::names::BackendName;
use crate::protocol::amqp;

/// Persistent, in AMQP's numbers.
const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;
/// "OK", as a connection is closed with.
const DONE: u16 = 200;

/// A connection to `RabbitMQ`.
pub(super) struct Publisher {
    name: BackendName,
    address: String,
    settings: Rabbitmq,
    uri: AMQPUri,
    routing_key: Template,
    open: Option<Open>,
    /// The largest message that the broker takes, once it has refused one.
    largest: Option<usize>,
}

struct Open {
    connection: Connection,
    channel: Channel,
}

/// An event as a message.
struct Message {
    routing_key: ShortString,
    properties: BasicProperties,
    body: Bytes,
}

impl Message {
    /// Whether that is it, come back.
    fn is(&self, returned: &BasicReturnMessage) -> bool {
        let returned = &returned.delivery;
        returned.routing_key == self.routing_key
            && returned.properties.message_id() == self.properties.message_id()
            && returned.data == self.body
    }
}

/// A message that waits for the broker's word. The message itself is made again in the rare case that it is asked for.
struct Sent {
    confirmation: PublisherConfirm,
    deadline: Instant,
}

impl Publisher {
    pub(super) fn new(
        name: BackendName,
        address: String,
        settings: Rabbitmq,
        uri: AMQPUri,
        routing_key: Template,
    ) -> Self {
        Self { name, address, settings, uri, routing_key, open: None, largest: None }
    }

    fn routing_key(&self, event: &Event) -> Result<ShortString, String> {
        let filled = self.routing_key.fill(event, |value| value.to_owned().into())?;
        ShortString::try_new(filled)
            .map_err(|_| "the event's routing key is longer than 255 bytes; change routing_key".into())
    }

    fn message(&self, item: &Item) -> Result<Message, Failure> {
        let event = &item.event;
        let routing_key = self.routing_key(event).map_err(Failure::Reject)?;
        let (properties, body) = match self.settings.content {
            Content::Structured => amqp::encode_structured(event),
            Content::Binary => {
                amqp::encode_binary(event).map_err(|error| Failure::Reject(error.to_string()))?
            }
        };
        if let Some(most) = self.largest.filter(|most| body.len() > *most) {
            return Err(refusal::too_large(body.len(), most, &self.address));
        }
        let mode = if self.settings.durable { PERSISTENT } else { TRANSIENT };
        let mut properties = properties.with_delivery_mode(mode);
        if let Ok(id) = ShortString::try_new(event.id()) {
            properties = properties.with_message_id(id);
        }
        if item.trace.is_some() {
            let mut headers = properties.headers().clone().unwrap_or_default();
            for (name, value) in item.trace_headers() {
                headers.insert(name.into(), AMQPValue::LongString(value.into()));
            }
            properties = properties.with_headers(headers);
        }
        Ok(Message { routing_key, properties, body })
    }

    /// A channel that works: a refusal closes the channel, and leaves the connection as it was.
    async fn channel(&self, open: &mut Open) -> Result<(), Failure> {
        if open.connection.status().blocked() {
            return Err(refusal::blocked(&self.address));
        }
        if open.channel.status().connected() {
            return Ok(());
        }
        let opened =
            tokio::time::timeout(self.settings.timeout.0, connection::channel(&open.connection)).await;
        match opened {
            Ok(Ok(channel)) => {
                open.channel = channel;
                Ok(())
            }
            Ok(Err(error)) => Err(refusal::of(&error, &self.settings.exchange, &self.address)),
            Err(_) => Err(Failure::Reconnect(format!("rabbitmq at {} does not answer", self.address))),
        }
    }

    /// Hands one event to the client, over a channel that works.
    async fn send(&self, open: &mut Open, item: &Item) -> Result<Sent, Failure> {
        self.channel(open).await?;
        let message = self.message(item)?;
        let options =
            BasicPublishOptions { mandatory: self.settings.mandatory, ..BasicPublishOptions::default() };
        let deadline = Instant::now() + self.settings.timeout.0;
        let Message { routing_key, properties, body } = message;
        let exchange = self.settings.exchange.as_str().into();
        let publish = open.channel.basic_publish(exchange, routing_key, options, &body, properties);
        match tokio::time::timeout_at(deadline, publish).await {
            Ok(Ok(confirmation)) => Ok(Sent { confirmation, deadline }),
            Ok(Err(error)) => Err(self.failed(body.len(), &error)),
            Err(_) => Err(self.silent(open)),
        }
    }

    /// Waits for the broker's word on one message.
    ///
    /// A message that no queue took comes back before it is confirmed, and the client hands it out with the first confirmation
    /// after that: its own, or one before it, where the broker confirms several at once.
    async fn confirmed(
        &mut self,
        open: &Open,
        item: &Item,
        Sent { confirmation, deadline }: Sent,
        returned: &mut Vec<BasicReturnMessage>,
    ) -> Result<Receipt, Failure> {
        let Ok(answer) = tokio::time::timeout_at(deadline, confirmation).await else {
            return Err(self.silent(open));
        };
        let confirmation = match answer {
            Ok(confirmation) => confirmation,
            Err(error) => {
                self.largest = refusal::largest(&error).or(self.largest);
                return Err(self.failed(self.message(item)?.body.len(), &error));
            }
        };
        let acknowledged = confirmation.is_ack();
        returned.extend(confirmation.take_message());
        if acknowledged && returned.is_empty() {
            return Ok(Receipt::default());
        }
        let message = self.message(item)?;
        if let Some(place) = returned.iter().position(|returned| message.is(returned)) {
            returned.swap_remove(place);
            return Err(self.unroutable(&message));
        }
        if acknowledged {
            return Ok(Receipt::default());
        }
        Err(refusal::nacked(message.routing_key.as_str(), &self.address))
    }

    /// The broker said nothing in time.
    fn silent(&self, open: &Open) -> Failure {
        if open.connection.status().blocked() {
            return refusal::blocked(&self.address);
        }
        Failure::Reconnect(format!(
            "rabbitmq at {} did not confirm an event within {}",
            self.address, self.settings.timeout
        ))
    }

    fn unroutable(&self, message: &Message) -> Failure {
        let text = refusal::unroutable(&self.settings.exchange, message.routing_key.as_str(), &self.address);
        self.routing_key.nowhere(refusal::PAUSE, text)
    }

    /// A message that is too large takes those beside it down with the channel; only it is to blame.
    fn failed(&self, size: usize, error: &lapin::Error) -> Failure {
        match self.largest {
            Some(most) if size > most => refusal::too_large(size, most, &self.address),
            _ => refusal::of(error, &self.settings.exchange, &self.address),
        }
    }
}

#[async_trait]
impl Backend for Publisher {
    async fn connect(&mut self) -> Result<(), Failure> {
        self.close().await;
        let connection = connection::open(&self.settings, &self.uri, &self.address).await;
        let connection = connection.map_err(|failure| failure.of(&self.name))?;
        let channel = connection::channel(&connection).await.map_err(|error| {
            Failure::Retry(format!("cannot open a channel at {}: {error}", self.address)).of(&self.name)
        })?;
        self.open = Some(Open { connection, channel });
        Ok(())
    }

    async fn publish(&mut self, batch: &[Item]) -> Outcomes {
        let Some(mut open) = self.open.take() else {
            return vec![Err(Failure::Reconnect("not connected".into()).of(&self.name)); batch.len()];
        };
        let mut window = Window::new(batch, self.settings.window);
        let mut returned = Vec::new();
        while let Some(turn) = window.next() {
            match turn {
                Turn::Send(index) => {
                    let sent = self.send(&mut open, &batch[index]).await;
                    window.sent(index, sent);
                }
                Turn::Wait(index, sent) => {
                    let confirmed = self.confirmed(&open, &batch[index], sent, &mut returned).await;
                    window.settle(index, confirmed);
                }
            }
        }
        self.open = Some(open);
        let outcomes = window.outcomes().into_iter();
        outcomes.map(|outcome| outcome.map_err(|failure| failure.of(&self.name))).collect()
    }

    fn place(&self, event: &Event) -> Result<Option<String>, String> {
        let exchange = &self.settings.exchange;
        self.routing_key(event).map(|key| Some(format!("exchange {exchange}, routing key {key}")))
    }

    fn destination(&self) -> (&'static str, String) {
        ("rabbitmq", self.settings.exchange.clone())
    }

    fn consumers(&self) -> Option<Watched> {
        queues::watched(&self.settings, &self.uri, &self.address)
    }

    async fn close(&mut self) {
        if let Some(open) = self.open.take() {
            // One that is broken cannot be closed any more.
            let closing = open.connection.close(DONE, "done".into());
            let _ = tokio::time::timeout(self.settings.timeout.0, closing).await;
        }
    }
}
