//! What librdkafka tells from its own threads: what became of each record, and what is wrong with the connection.

use std::collections::VecDeque;

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Where a record is: partition and offset; none with `acks: 0`, where nobody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) partition: i32,
    pub(super) offset: Option<i64>,
}

/// What is known of an event that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Stored(Place),
    Refused(RDKafkaErrorCode),
    /// Too large by itself, not by what shared a request with it.
    TooLarge,
    /// librdkafka's own queue is full.
    Unsent,
    /// No report has come.
    Unknown,
}

impl Verdict {
    /// Whether what it was sent with was too large, which says nothing of the event.
    pub(super) fn is_of_the_request(self) -> bool {
        matches!(
            self,
            Self::Refused(
                RDKafkaErrorCode::MessageSizeTooLarge
                    | RDKafkaErrorCode::InvalidMessageSize
                    | RDKafkaErrorCode::MessageBatchTooLarge
            )
        )
    }
}

/// What is known so far of one sending, in the order of its records. They are numbered over all sendings, and carry their
/// number through librdkafka: none of them costs memory of its own.
struct Sending {
    first: usize,
    verdicts: Vec<Verdict>,
    missing: usize,
    /// Until when all of it must be reported.
    deadline: Instant,
}

/// The sendings that are under way, in their order.
#[derive(Default)]
struct Sendings {
    under_way: VecDeque<Sending>,
    /// The number of the next record.
    next: usize,
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
    sendings: Mutex<Sendings>,
    complete: Notify,
}

impl Listener {
    pub(super) fn new() -> Self {
        Self {
            trouble: watch::Sender::new(Trouble::default()),
            sendings: Mutex::default(),
            complete: Notify::new(),
        }
    }

    /// Begins to listen for the reports of so many records, and returns the number of the first.
    pub(super) fn listen_for(&self, records: usize, deadline: Instant) -> usize {
        let mut sendings = self.sendings.lock();
        if sendings.under_way.is_empty() {
            self.forget();
        }
        let first = sendings.next;
        sendings.next = first.wrapping_add(records);
        let verdicts = vec![Verdict::Unknown; records];
        sendings.under_way.push_back(Sending { first, verdicts, missing: records, deadline });
        first
    }

    /// Records of the latest sending were not handed over: there will be no report.
    pub(super) fn without(&self, unsent: &[(usize, Verdict)]) {
        let mut sendings = self.sendings.lock();
        let Some(latest) = sendings.under_way.back_mut() else { return };
        for (index, verdict) in unsent {
            latest.verdicts[*index] = *verdict;
            latest.missing = latest.missing.saturating_sub(1);
        }
    }

    /// Waits until each event of the oldest sending is reported, its time is over, or the connection is lost.
    pub(super) async fn oldest_sent(&self) {
        let deadline = self.sendings.lock().under_way.front().map(|oldest| oldest.deadline);
        let Some(deadline) = deadline else { return };
        tokio::select! {
            biased;
            () = self.complete() => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = self.lost() => {}
        }
    }

    async fn complete(&self) {
        while self.sendings.lock().under_way.front().is_some_and(|oldest| oldest.missing > 0) {
            self.complete.notified().await;
        }
    }

    /// What is known of the oldest sending. What is reported of it later is of no interest any more.
    pub(super) fn take(&self) -> Option<Vec<Verdict>> {
        self.sendings.lock().under_way.pop_front().map(|oldest| oldest.verdicts)
    }

    /// Begins anew, unless the connection is lost: that is said only once.
    fn forget(&self) {
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
    async fn lost(&self) {
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
        let verdict = match result {
            Ok(message) => {
                let offset = Some(message.offset()).filter(|offset| *offset >= 0);
                Verdict::Stored(Place { partition: message.partition(), offset })
            }
            Err((error, _)) => Verdict::Refused(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
        };
        let mut sendings = self.sendings.lock();
        // Nobody waits any more for a sending that was given up.
        let found = sendings.under_way.iter_mut().find_map(|sending| {
            let index = number.wrapping_sub(sending.first);
            (index < sending.verdicts.len()).then_some((sending, index))
        });
        let Some((sending, index)) = found else { return };
        sending.verdicts[index] = verdict;
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
