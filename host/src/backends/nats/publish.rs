//! The backend itself: connects, checks the stream, publishes.

use std::collections::HashSet;
use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::context::{
    ContextBuilder, GetStreamErrorKind, PublishAckFuture, PublishError, PublishErrorKind,
};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{self, ConsumerErrorKind};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Client, HeaderMap, ServerAddr, Subject, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::Instant;

use super::connection::{self, Complaints};
use super::{MENDED_BY_HAND, Nats, consumers, refusal, subject};
use crate::Event;
use crate::backends::content::Content;
use crate::backends::template::Template;
use crate::backends::window::{Turn, Window};
use crate::backends::{Backend, Failure, Item, Outcomes, Receipt, Watched};
use crate::causes::innermost;
use crate::names::BackendName;
use crate::protocol::nats;

/// How long a complaint may be behind the echo.
const GRACE: Duration = Duration::from_millis(20);
/// Subjects that are remembered; a template may make any number of them.
const MOST_ALLOWED: usize = 4_096;

/// A connection to NATS.
pub(super) struct Publisher {
    name: BackendName,
    address: String,
    settings: Nats,
    servers: Vec<ServerAddr>,
    subject: Template,
    /// The subject of all events, where there is only one.
    fixed: Option<Subject>,
    complaints: Complaints,
    /// Subjects of core NATS that the server has taken events for without a complaint, over this connection.
    allowed: HashSet<String>,
    connection: Option<Connection>,
}

/// How an event is confirmed.
enum Connection {
    /// By the stream.
    JetStream(jetstream::Context),
    /// By an echo: the server handles what comes over one connection in its order, so that whatever was sent before a
    /// message to ourselves has been received once that is back.
    Core { client: Client, inbox: String, echo: Subscriber },
}

/// A message that waits for the stream's word.
struct Sent {
    subject: Subject,
    acknowledgement: PublishAckFuture,
    deadline: Instant,
}

impl Publisher {
    pub(super) fn new(
        name: BackendName,
        address: String,
        settings: Nats,
        servers: Vec<ServerAddr>,
        subject: Template,
    ) -> Self {
        Self {
            name,
            address,
            settings,
            servers,
            fixed: subject.fixed().map(Subject::from),
            subject,
            complaints: Complaints::default(),
            allowed: HashSet::new(),
            connection: None,
        }
    }

    async fn open(&self) -> Result<Connection, Failure> {
        let client = connection::open(&self.settings, &self.servers, &self.complaints, &self.address).await?;
        if !self.settings.jetstream {
            let inbox = client.new_inbox();
            let echo = client.subscribe(inbox.clone()).await;
            let echo = echo
                .map_err(|error| Failure::Retry(format!("cannot subscribe at {}: {error}", self.address)))?;
            return Ok(Connection::Core { client, inbox, echo });
        }
        let context = ContextBuilder::new()
            .timeout(self.settings.timeout.0)
            .max_ack_inflight(self.settings.window.max(1))
            .build(client);
        self.stream(&context).await?;
        Ok(Connection::JetStream(context))
    }

    /// Finds the stream, or makes it where that is asked for.
    async fn stream(&self, context: &jetstream::Context) -> Result<(), Failure> {
        let Some(name) = &self.settings.stream else { return Ok(()) };
        let address = &self.address;
        let found = match context.get_stream(name).await {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(refused)
                    if refused.error_code() == ErrorCode::STREAM_NOT_FOUND && self.settings.create_stream =>
                {
                    self.create(context, name).await?
                }
                GetStreamErrorKind::JetStream(refused)
                    if refused.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    return Err(Failure::BackOff(
                        MENDED_BY_HAND,
                        format!(
                            "stream {name:?} does not exist at {address}; create it (`nats stream add {name} --subjects '{}'`) or set create_stream: true",
                            subject::pattern(&self.settings.subject)
                        ),
                    ));
                }
                _ => {
                    return Err(Failure::BackOff(
                        MENDED_BY_HAND,
                        format!(
                            "cannot look stream {name:?} up at {address}: {}; is JetStream enabled there (`nats-server -js`) and allowed for this account?",
                            innermost(&error)
                        ),
                    ));
                }
            },
        };
        self.consumer(&found).await
    }

    async fn create(&self, context: &jetstream::Context, name: &str) -> Result<stream::Stream, Failure> {
        let subjects = vec![subject::pattern(&self.settings.subject)];
        let config = stream::Config { name: name.to_owned(), subjects, ..stream::Config::default() };
        context.create_stream(config).await.map_err(|error| {
            let text = format!("cannot create stream {name:?} at {}: {}", self.address, innermost(&error));
            Failure::BackOff(MENDED_BY_HAND, text)
        })
    }

    /// Makes the consumer of the next stage, so that the stream keeps for it what comes before it does.
    async fn consumer(&self, stream: &stream::Stream) -> Result<(), Failure> {
        let Some(name) = self.settings.durable_name.as_ref().filter(|_| self.settings.create_stream) else {
            return Ok(());
        };
        let config = pull::Config { durable_name: Some(name.clone()), ..pull::Config::default() };
        match stream.get_or_create_consumer(name, config).await {
            Ok(_) => Ok(()),
            // One that pushes is there already, which is just as good.
            Err(error) if error.kind() == ConsumerErrorKind::InvalidConsumerType => Ok(()),
            Err(error) => Err(Failure::BackOff(
                MENDED_BY_HAND,
                format!("cannot create consumer {name:?} at {}: {}", self.address, innermost(&error)),
            )),
        }
    }

    fn subject(&self, event: &Event) -> Result<Subject, String> {
        match &self.fixed {
            Some(subject) => Ok(subject.clone()),
            None => subject::fill(&self.subject, event).map(Subject::from),
        }
    }

    fn message(&self, item: &Item) -> Result<(Subject, HeaderMap, Bytes), Failure> {
        let event = &item.event;
        let subject = self.subject(event).map_err(Failure::Reject)?;
        let (mut headers, body) = match self.settings.content {
            Content::Structured => nats::encode_structured(event),
            Content::Binary => nats::encode_binary(event),
        };
        for (name, value) in item.trace_headers() {
            headers.insert(name, value);
        }
        Ok((subject, headers, body))
    }

    /// Sends a batch through the window of messages that wait for the stream's word.
    async fn jetstream(&self, context: &jetstream::Context, batch: &[Item]) -> Outcomes {
        let mut window = Window::new(batch, self.settings.window);
        while let Some(turn) = window.next() {
            match turn {
                Turn::Send(index) => {
                    let sent = self.send(context, &batch[index]).await;
                    window.sent(index, sent);
                }
                Turn::Wait(index, sent) => {
                    let stored = self.stored(sent).await;
                    window.settle(index, stored);
                }
            }
        }
        window.outcomes()
    }

    /// Waits for the stream's word on one event.
    async fn stored(&self, Sent { subject, acknowledgement, deadline }: Sent) -> Result<Receipt, Failure> {
        let late = |_| Err(PublishErrorKind::TimedOut.into());
        let answer = tokio::time::timeout_at(deadline, acknowledgement).await.unwrap_or_else(late);
        let stored = answer.map_err(|error: PublishError| {
            let complaint = self.complaints.about(&subject);
            let failure = refusal::of(&error, &subject, &self.address, &self.subject);
            complaint.map_or(failure, |complaint| refusal::denied(&complaint, &self.address, &self.subject))
        })?;
        Ok(Receipt::Sequence { number: stored.sequence, duplicate: stored.duplicate })
    }

    async fn send(&self, context: &jetstream::Context, item: &Item) -> Result<Sent, Failure> {
        let (subject, headers, body) = self.message(item)?;
        let mut message = PublishMessage::build().headers(headers).payload(body);
        if self.settings.deduplicate {
            message = message.message_id(nats::message_id(&item.event));
        }
        if let Some(stream) = &self.settings.stream {
            message = message.expected_stream(stream);
        }
        let sent = context.send_publish(subject.clone(), message).await;
        match sent {
            Ok(acknowledgement) => {
                Ok(Sent { subject, acknowledgement, deadline: Instant::now() + self.settings.timeout.0 })
            }
            Err(error) => Err(refusal::of(&error, &subject, &self.address, &self.subject)),
        }
    }

    /// Sends all of a batch in order, then waits until the server has received it.
    async fn core(
        &mut self,
        client: &Client,
        inbox: &str,
        echo: &mut Subscriber,
        batch: &[Item],
    ) -> Outcomes {
        let mut sent = Vec::with_capacity(batch.len());
        for item in batch {
            sent.push(self.send_core(client, item).await);
        }
        let received = async {
            client.publish(inbox.to_owned(), Bytes::new()).await.ok()?;
            client.flush().await.ok()?;
            echo.next().await
        };
        let received = tokio::time::timeout(self.settings.timeout.0, received).await;
        if matches!(received, Ok(Some(_))) {
            self.late_complaints(&sent).await;
            let outcomes = self.received(batch, sent);
            if !self.complaints.is_empty() {
                // One that came after its batch was confirmed has stopped this one.
                self.complaints.clear();
                self.allowed.clear();
            }
            return outcomes;
        }
        let lost = Failure::Reconnect(format!("the connection to nats at {} broke", self.address));
        sent.into_iter().map(|sent| sent.and(Err(lost.clone()))).collect()
    }

    /// The client hands a complaint on by a task of its own, which the echo may overtake: where a subject is used for the
    /// first time it is waited for. What a server allows is a matter of the subject, so later ones need not wait.
    async fn late_complaints(&mut self, sent: &[Result<Subject, Failure>]) {
        let known = self.allowed.len();
        for subject in sent.iter().flatten() {
            if !self.allowed.contains(subject.as_str()) {
                self.allowed.insert(subject.as_str().to_owned());
            }
        }
        if self.allowed.len() == known {
            return;
        }
        if self.allowed.len() > MOST_ALLOWED {
            self.allowed.clear();
        }
        // That none comes in time is the usual case; a notice may be left from one that was dealt with.
        let deadline = Instant::now() + GRACE;
        while tokio::time::timeout_at(deadline, self.complaints.noted()).await.is_ok()
            && self.complaints.is_empty()
        {}
    }

    async fn send_core(&self, client: &Client, item: &Item) -> Result<Subject, Failure> {
        let (subject, headers, body) = self.message(item)?;
        match client.publish_with_headers(subject.clone(), headers, body).await {
            Ok(()) => Ok(subject),
            Err(error) if error.kind() == async_nats::PublishErrorKind::MaxPayloadExceeded => {
                Err(Failure::Reject(format!(
                    "the event is too large for nats at {}: {}; raise max_payload there",
                    self.address,
                    innermost(&error)
                )))
            }
            Err(error) => Err(Failure::Reconnect(format!(
                "the connection to nats at {} broke: {}",
                self.address,
                innermost(&error)
            ))),
        }
    }

    /// All was received; what the server did not allow is told apart by its complaints.
    fn received(&self, batch: &[Item], sent: Vec<Result<Subject, Failure>>) -> Outcomes {
        let mut failed = Vec::new();
        let outcome = |(item, sent): (&Item, Result<Subject, Failure>)| {
            let subject = sent?;
            if failed.contains(&item.key) {
                return Err(Failure::Held);
            }
            match self.complaints.about(&subject) {
                None => Ok(Receipt::default()),
                Some(complaint) => {
                    failed.push(item.key);
                    Err(refusal::denied(&complaint, &self.address, &self.subject))
                }
            }
        };
        batch.iter().zip(sent).map(outcome).collect()
    }
}

#[async_trait]
impl Backend for Publisher {
    async fn connect(&mut self) -> Result<(), Failure> {
        self.connection = None;
        self.complaints.clear();
        self.allowed.clear();
        let connection = self.open().await.map_err(|failure| failure.of(&self.name))?;
        self.connection = Some(connection);
        Ok(())
    }

    async fn publish(&mut self, batch: &[Item]) -> Outcomes {
        let outcomes = match self.connection.take() {
            None => vec![Err(Failure::Reconnect("not connected".into())); batch.len()],
            Some(Connection::JetStream(context)) => {
                let outcomes = self.jetstream(&context, batch).await;
                self.connection = Some(Connection::JetStream(context));
                outcomes
            }
            Some(Connection::Core { client, inbox, mut echo }) => {
                let outcomes = self.core(&client, &inbox, &mut echo, batch).await;
                self.connection = Some(Connection::Core { client, inbox, echo });
                outcomes
            }
        };
        outcomes.into_iter().map(|outcome| outcome.map_err(|failure| failure.of(&self.name))).collect()
    }

    fn place(&self, event: &Event) -> Result<Option<String>, String> {
        self.subject(event).map(|subject| Some(format!("subject {subject}")))
    }

    fn destination(&self) -> (&'static str, String) {
        ("nats", self.settings.subject.clone())
    }

    fn consumers(&self) -> Option<Watched> {
        consumers::watched(&self.settings, &self.servers, &self.address)
    }

    async fn close(&mut self) {
        self.connection = None;
    }
}
