//! What went wrong, in words for people, and what the lane shall do about it.

use std::fmt;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;

use super::super::Failure;
use super::Kafka;
use super::reports::Trouble;
use super::topic::{Obstacle, is_missing};
use crate::Event;
use crate::names::BackendName;

/// Somebody must mend something first; nothing is gained by asking more often.
const UNTIL_MENDED: Duration = Duration::from_secs(5);

/// The names that an error is told with.
pub(super) struct Words<'a> {
    pub(super) name: &'a BackendName,
    pub(super) settings: &'a Kafka,
}

impl Words<'_> {
    fn says(&self, what: impl fmt::Display) -> String {
        format!("backend {}: {what}", self.name)
    }

    fn mend(&self, what: impl fmt::Display) -> Failure {
        Failure::BackOff(UNTIL_MENDED, self.says(what))
    }

    /// Why there is no connection.
    pub(super) fn obstacle(&self, obstacle: Obstacle) -> Failure {
        let (topic, servers) = (&self.settings.topic, self.settings.servers());
        match obstacle {
            Obstacle::Start(reason) => self.mend(format_args!("librdkafka does not start: {reason}")),
            Obstacle::Unreachable(trouble) => self.trouble(&trouble),
            Obstacle::Topic(code) => self.topic(code),
            Obstacle::Create(reason) => self.mend(format_args!(
                "topic {topic:?} does not exist on {servers} and cannot be created: {reason}; create it by hand"
            )),
        }
    }

    /// What is wrong with the connection.
    fn trouble(&self, trouble: &Trouble) -> Failure {
        let (servers, reason) = (self.settings.servers(), &trouble.reason);
        let text = match trouble.code {
            Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism) => {
                return self.mend(format_args!(
                    "kafka at {servers} refused sasl_mechanism, sasl_username or sasl_password: {reason}"
                ));
            }
            // A plain listener only closes the connection.
            Some(code) if code == Code::SSL || reason.contains("SSL handshake") => {
                return self.mend(format_args!(
                    "no TLS with kafka at {servers}: {reason}; check security_protocol and ssl_ca_file"
                ));
            }
            Some(Code::Resolve) => {
                format!("no such host in {servers}: {reason}; check bootstrap_servers")
            }
            Some(Code::AllBrokersDown) => format!(
                "cannot connect to kafka at {servers}; is it running there, and does security_protocol fit?"
            ),
            // A listener that asks for TLS or a user does that to those who bring neither.
            Some(_) if reason.contains("Disconnected") => {
                format!("kafka at {servers} closed the connection: {reason}; check security_protocol")
            }
            Some(_) => format!("cannot connect to kafka at {servers}: {reason}; is it running there?"),
            None => format!("kafka at {servers} did not answer within {}", self.settings.timeout),
        };
        Failure::Retry(self.says(text))
    }

    /// The connection was lost, or a batch was not confirmed in time.
    pub(super) fn lost(&self, trouble: &Trouble) -> Failure {
        let servers = self.settings.servers();
        if trouble.code.is_none() {
            let limit = self.settings.timeout;
            return Failure::Reconnect(self.says(format_args!(
                "kafka at {servers} did not confirm a batch within {limit}; are enough replicas in sync?"
            )));
        }
        let reason = &trouble.reason;
        Failure::Reconnect(self.says(format_args!("the connection to kafka at {servers} broke: {reason}")))
    }

    /// Not connected at all.
    pub(super) fn not_connected(&self) -> Failure {
        Failure::Reconnect(self.says("not connected"))
    }

    /// Why the topic cannot be used.
    fn topic(&self, code: Code) -> Failure {
        let (topic, servers) = (&self.settings.topic, self.settings.servers());
        match code {
            code if is_missing(code) => self.mend(format_args!(
                "topic {topic:?} does not exist on {servers}; create it or set auto_create: true"
            )),
            Code::TopicAuthorizationFailed => self.mend(format_args!(
                "this client may not write to topic {topic:?} on {servers}; grant it Describe and Write"
            )),
            other => self.mend(format_args!("topic {topic:?} on {servers} cannot be used: {other}")),
        }
    }

    /// The event alone is too much.
    pub(super) fn too_large(&self, event: &Event) -> Failure {
        let (topic, servers, size) = (&self.settings.topic, self.settings.servers(), event.record().len());
        Failure::Reject(self.says(format_args!(
            "an event of {size} bytes is larger than topic {topic:?} on {servers} takes; raise the topic's max.message.bytes"
        )))
    }

    /// Why Kafka refused an event.
    pub(super) fn refused(&self, code: Code) -> Failure {
        let (topic, servers) = (&self.settings.topic, self.settings.servers());
        match code {
            Code::TopicAuthorizationFailed => self.topic(code),
            code if is_missing(code) => self.topic(code),
            Code::ClusterAuthorizationFailed => self.mend(format_args!(
                "this client may not use idempotence on {servers}; grant it IdempotentWrite or set idempotence: false"
            )),
            Code::UnsupportedCompressionType => self
                .mend(format_args!("kafka at {servers} does not know this compression; set compression_type")),
            Code::InvalidRecord | Code::InvalidTimestamp | Code::UnsupportedForMessageFormat => {
                Failure::Reject(self.says(format_args!("topic {topic:?} on {servers} refused an event: {code}")))
            }
            Code::PurgeQueue
            | Code::PurgeInflight
            | Code::BrokerDestroy
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OutOfOrderSequenceNumber
            | Code::InvalidProducerEpoch
            | Code::UnknownProducerId
            | Code::Fatal => Failure::Reconnect(
                self.says(format_args!("the connection to kafka at {servers} broke: {code}")),
            ),
            other => Failure::Retry(
                self.says(format_args!("kafka at {servers} did not take an event for topic {topic:?}: {other}")),
            ),
        }
    }
}
