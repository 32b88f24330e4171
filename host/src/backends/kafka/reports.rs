//! What librdkafka tells from its own threads: what became of each record, and what is wrong with the connection.

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use tokio::sync::{Notify, watch};

/// Where a record is: partition and offset; none with `acks: 0`, where nobody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) partition: i32,
    pub(super) offset: Option<i64>,
}

/// What became of the records of one sending, in their order; `None` where nothing was said.
pub(super) type Reports = Vec<Option<Result<Place, RDKafkaErrorCode>>>;

/// What was reported so far of the sending that is under way. Records are numbered over all sendings, and carry their number
/// through librdkafka: none of them costs memory of its own.
#[derive(Default)]
struct Sending {
    first: usize,
    reports: Reports,
    missing: usize,
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
    sending: Mutex<Sending>,
    complete: Notify,
}

impl Listener {
    pub(super) fn new() -> Self {
        Self {
            trouble: watch::Sender::new(Trouble::default()),
            sending: Mutex::default(),
            complete: Notify::new(),
        }
    }

    /// Begins to listen for the reports of so many records, and returns the number of the first. Those of the sending before
    /// are of no interest any more.
    pub(super) fn listen_for(&self, records: usize) -> usize {
        let mut sending = self.sending.lock();
        let first = sending.first.wrapping_add(sending.reports.len());
        *sending = Sending { first, reports: vec![None; records], missing: records };
        first
    }

    /// What was reported.
    pub(super) fn reports(&self) -> Reports {
        self.sending.lock().reports.clone()
    }

    /// So many records were not handed over: there will be no report.
    pub(super) fn without(&self, records: usize) {
        let mut sending = self.sending.lock();
        sending.missing = sending.missing.saturating_sub(records);
    }

    /// Waits until all that was handed over is reported.
    pub(super) async fn complete(&self) {
        while self.sending.lock().missing > 0 {
            self.complete.notified().await;
        }
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
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let result = match result {
            Ok(message) => {
                let offset = Some(message.offset()).filter(|offset| *offset >= 0);
                Ok(Place { partition: message.partition(), offset })
            }
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
        };
        let mut sending = self.sending.lock();
        let index = number.wrapping_sub(sending.first);
        // Nobody waits any more for a sending that was given up.
        let Some(report) = sending.reports.get_mut(index) else { return };
        *report = Some(result);
        sending.missing = sending.missing.saturating_sub(1);
        if sending.missing == 0 {
            self.complete.notify_one();
        }
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
