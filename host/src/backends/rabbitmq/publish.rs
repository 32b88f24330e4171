//! The backend itself: connects, publishes, takes confirmations and returned messages together.

use async_trait::async_trait;
use bytes::Bytes;
use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::time::Instant;

use super::{Rabbitmq, connection, refusal};
use crate::Event;
use crate::backends::content::Content;
use crate::backends::rounds::{Round, Rounds};
use crate::backends::template::Template;
use crate::backends::{Backend, Failure, Item, Outcomes, Receipt};
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

/// What became of a message: a confirmation, an error, or nothing in time.
type Answer = Option<Result<Confirmation, lapin::Error>>;

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

    fn message(&self, event: &Event) -> Result<Message, Failure> {
        let filled =
            self.routing_key.fill(event, |value| value.to_owned().into()).map_err(Failure::Reject)?;
        let routing_key = ShortString::try_new(filled).map_err(|_| {
            Failure::Reject("the event's routing key is longer than 255 bytes; change routing_key".into())
        })?;
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

    /// Sends all of a round, and waits for all answers at once.
    async fn round(
        &mut self,
        open: &mut Open,
        batch: &[Item],
        round: &Round,
    ) -> Vec<Result<Receipt, Failure>> {
        if let Err(failure) = self.channel(open).await {
            return vec![Err(failure); round.indices().count()];
        }
        let messages: Vec<_> = round.indices().map(|index| self.message(&batch[index].event)).collect();
        let answers = self.send(&open.channel, &messages).await;
        let mut errors = answers.iter().flatten().filter_map(|answer| answer.as_ref().err());
        if let Some(most) = errors.find_map(refusal::largest) {
            self.largest = Some(most);
        }
        self.sort(open, messages, answers)
    }

    /// Sends all, then waits for their answers in the order in which the broker gives them.
    async fn send(&self, channel: &Channel, messages: &[Result<Message, Failure>]) -> Vec<Answer> {
        let options =
            BasicPublishOptions { mandatory: self.settings.mandatory, ..BasicPublishOptions::default() };
        let deadline = Instant::now() + self.settings.timeout.0;
        let mut sent = Vec::with_capacity(messages.len());
        for message in messages {
            let Ok(message) = message else {
                sent.push(None);
                continue;
            };
            let publish = channel.basic_publish(
                self.settings.exchange.as_str().into(),
                message.routing_key.clone(),
                options,
                &message.body,
                message.properties.clone(),
            );
            sent.push(tokio::time::timeout_at(deadline, publish).await.ok());
        }
        let mut answers = Vec::with_capacity(sent.len());
        for sent in sent {
            answers.push(match sent {
                Some(Ok(confirmation)) => tokio::time::timeout_at(deadline, confirmation).await.ok(),
                Some(Err(error)) => Some(Err(error)),
                None => None,
            });
        }
        answers
    }

    /// Puts answers and messages together. A returned message comes with *some* confirmation of the round, not
    /// necessarily its own: the broker acknowledges several at once.
    fn sort(
        &self,
        open: &Open,
        messages: Vec<Result<Message, Failure>>,
        answers: Vec<Answer>,
    ) -> Vec<Result<Receipt, Failure>> {
        let (mut returned, mut verdicts) = (Vec::new(), Vec::new());
        for answer in answers {
            verdicts.push(match answer {
                Some(Ok(confirmation)) => {
                    let acknowledged = confirmation.is_ack();
                    returned.extend(confirmation.take_message());
                    Some(Ok(acknowledged))
                }
                Some(Err(error)) => Some(Err(error)),
                None => None,
            });
        }
        let outcome = |(message, verdict): (Result<Message, Failure>, _)| {
            let message = message?;
            match verdict {
                _ if returned.iter().any(|returned| message.is(returned)) => Err(self.unroutable(&message)),
                Some(Ok(true)) => Ok(Receipt::default()),
                Some(Ok(false)) => Err(refusal::nacked(message.routing_key.as_str(), &self.address)),
                Some(Err(error)) => Err(self.failed(&message, &error)),
                None if open.connection.status().blocked() => Err(refusal::blocked(&self.address)),
                None => Err(Failure::Reconnect(format!(
                    "rabbitmq at {} did not confirm an event within {}",
                    self.address, self.settings.timeout
                ))),
            }
        };
        messages.into_iter().zip(verdicts).map(outcome).collect()
    }

    fn unroutable(&self, message: &Message) -> Failure {
        let text = refusal::unroutable(&self.settings.exchange, message.routing_key.as_str(), &self.address);
        self.routing_key.nowhere(refusal::PAUSE, text)
    }

    /// A message that is too large takes those beside it down with the channel; only it is to blame.
    fn failed(&self, message: &Message, error: &lapin::Error) -> Failure {
        match self.largest {
            Some(most) if message.body.len() > most => {
                refusal::too_large(message.body.len(), most, &self.address)
            }
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
        let mut rounds = Rounds::new(batch, self.settings.window);
        while let Some(round) = rounds.next() {
            let outcomes = self.round(&mut open, batch, &round).await;
            rounds.settle(round, outcomes);
        }
        self.open = Some(open);
        rounds
            .outcomes()
            .into_iter()
            .map(|outcome| outcome.map_err(|failure| failure.of(&self.name)))
            .collect()
    }

    async fn close(&mut self) {
        if let Some(open) = self.open.take() {
            // One that is broken cannot be closed any more.
            let closing = open.connection.close(DONE, "done".into());
            let _ = tokio::time::timeout(self.settings.timeout.0, closing).await;
        }
    }
}
