//! What librdkafka tells from its own threads: what became of each record, and what is wrong with the connection.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use tokio::sync::{mpsc, watch};

/// Where a record is: partition and offset; none with `acks: 0`, where nobody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) partition: i32,
    pub(super) offset: Option<i64>,
}

/// What became of the record at that place of its batch.
pub(super) struct Report {
    pub(super) index: usize,
    pub(super) result: Result<Place, RDKafkaErrorCode>,
}

/// What a record carries through librdkafka, so that its report finds back. The channel has room for the whole batch.
pub(super) struct Tag {
    pub(super) index: usize,
    pub(super) reports: mpsc::Sender<Report>,
}

/// The worst that was said of the connection since the listener was last asked to forget.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble {
    pub(super) code: Option<RDKafkaErrorCode>,
    pub(super) reason: String,
    /// No broker is connected any more; one may be again.
    pub(super) down: bool,
    /// With the same settings it will be the same.
    pub(super) hopeless: bool,
}

/// Hears what librdkafka says.
pub(super) struct Listener {
    trouble: watch::Sender<Trouble>,
}

impl Listener {
    pub(super) fn new() -> Self {
        Self { trouble: watch::Sender::new(Trouble::default()) }
    }

    /// Begins anew, unless the connection is lost: that is said only once.
    pub(super) fn forget(&self) {
        self.trouble.send_if_modified(|trouble| {
            let over = !trouble.down && !trouble.hopeless;
            if over {
                *trouble = Trouble::default();
            }
            over
        });
    }

    pub(super) fn trouble(&self) -> Trouble {
        self.trouble.borrow().clone()
    }

    fn note(&self, code: RDKafkaErrorCode, reason: &str) {
        self.trouble.send_modify(|trouble| {
            trouble.down |= code == RDKafkaErrorCode::AllBrokersDown;
            trouble.hopeless |= weight(code) >= HOPELESS;
            if weight(code) >= trouble.code.map_or(0, weight) {
                (trouble.code, trouble.reason) = (Some(code), bare(reason).to_owned());
            }
        });
    }

    /// Waits until the connection is lost.
    pub(super) async fn lost(&self) {
        let mut trouble = self.trouble.subscribe();
        // The sender lives as long as the listener.
        let _ = trouble.wait_for(|trouble| trouble.down || trouble.hopeless).await;
    }
}

impl ClientContext for Listener {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "librdkafka: {message}");
        // That a broker closes connections is said only here.
        if facility == "FAIL" && message.contains("Disconnected") {
            self.note(RDKafkaErrorCode::BrokerTransportFailure, message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.note(code, reason);
        }
    }
}

/// From this weight on, trying again with the same settings gives the same.
const HOPELESS: u8 = 3;

/// That no broker is left says least of why.
fn weight(code: RDKafkaErrorCode) -> u8 {
    match code {
        RDKafkaErrorCode::AllBrokersDown => 1,
        RDKafkaErrorCode::SSL | RDKafkaErrorCode::Fatal => 3,
        RDKafkaErrorCode::Authentication
        | RDKafkaErrorCode::SaslAuthenticationFailed
        | RDKafkaErrorCode::UnsupportedSASLMechanism => 4,
        _ => 2,
    }
}

/// The reason without what librdkafka puts around it: `[thrd:…]: ssl://host:9092/bootstrap: … (after 3ms in state UP)`.
fn bare(reason: &str) -> &str {
    let mut reason = reason.rsplit_once(" (after ").map_or(reason, |(reason, _)| reason);
    while let Some((head, rest)) = reason.split_once(": ") {
        let is_place = !head.contains(' ') && (head.contains('/') || head.starts_with("[thrd:"));
        if !is_place {
            break;
        }
        reason = rest;
    }
    reason
}

impl ProducerContext for Listener {
    type DeliveryOpaque = Box<Tag>;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: Box<Tag>) {
        let result = match result {
            Ok(message) => {
                let offset = Some(message.offset()).filter(|offset| *offset >= 0);
                Ok(Place { partition: message.partition(), offset })
            }
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
        };
        // Nobody waits any more for a batch that was given up.
        let _ = tag.reports.try_send(Report { index: tag.index, result });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_without_places_and_times() {
        let said = "ssl://127.0.0.1:1/bootstrap: SSL handshake failed: Disconnected (after 3ms in state SSL_HANDSHAKE)";
        assert_eq!(bare(said), "SSL handshake failed: Disconnected");
        let logged = "[thrd:127.0.0.1:1/bootstrap]: 127.0.0.1:1/bootstrap: Disconnected: verify that security.protocol";
        assert_eq!(bare(logged), "Disconnected: verify that security.protocol");
    }

    #[test]
    fn what_says_most_is_kept() {
        let listener = Listener::new();
        listener.note(RDKafkaErrorCode::BrokerTransportFailure, "Connection refused");
        listener.note(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        assert_eq!(listener.trouble().reason, "Connection refused");
        assert!(listener.trouble().down && !listener.trouble().hopeless);
        listener.forget();
        assert!(listener.trouble().down, "that is said only once");
    }
}
