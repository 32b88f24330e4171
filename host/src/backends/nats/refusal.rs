//! What a server's refusal of one message means for the lane.

use std::error::Error as _;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};

use super::MENDED_BY_HAND;
use crate::backends::Failure;
use crate::backends::template::Template;
use crate::causes::innermost;

/// Space and leaders do not come back within milliseconds.
const PAUSE: Duration = Duration::from_secs(1);
/// "message size exceeds maximum allowed": the stream's `max_msg_size`.
const TOO_LARGE: ErrorCode = ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM;

/// A publish that was not acknowledged.
pub(super) fn of(error: &PublishError, subject: &str, shown: &str, subjects: &Template) -> Failure {
    let refused = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    match (error.kind(), refused) {
        (PublishErrorKind::StreamNotFound, _) => subjects.nowhere(
            MENDED_BY_HAND,
            format!(
                "no stream at nats {shown} has the subject {subject:?}, or JetStream is not enabled there; add the subject to a stream (`nats stream add` or `edit`), or set create_stream"
            ),
        ),
        (PublishErrorKind::MaxPayloadExceeded, _) => Failure::Reject(format!(
            "the event is too large for nats at {shown}: {}; raise max_payload there",
            innermost(error)
        )),
        (PublishErrorKind::TimedOut, _) => {
            Failure::Reconnect(format!("nats at {shown} did not acknowledge an event in time"))
        }
        (_, Some(refused)) => by_code(refused, subject, shown),
        // The connection's task has ended, and with it everything that was under way.
        _ => Failure::Reconnect(format!("the connection to nats at {shown} broke")),
    }
}

fn by_code(refused: &jetstream::Error, subject: &str, shown: &str) -> Failure {
    let text = format!("nats at {shown} refused an event for {subject:?}: {refused}");
    match refused.error_code() {
        TOO_LARGE => Failure::Reject(format!("{text}; raise the stream's max_msg_size")),
        ErrorCode::STREAM_NOT_MATCH => Failure::BackOff(
            MENDED_BY_HAND,
            format!("{text}: another stream than `stream` has that subject; correct one of them"),
        ),
        // At its limits, and told to discard what is new.
        _ if refused.to_string().contains("maximum") => {
            Failure::BackOff(PAUSE, format!("{text}; make room in the stream"))
        }
        // No leader, no quorum, no space: it passes.
        _ if refused.code() >= 500 => Failure::BackOff(PAUSE, text),
        _ => Failure::Retry(text),
    }
}

/// The server said that the user may not publish there.
pub(super) fn denied(complaint: &str, shown: &str, subjects: &Template) -> Failure {
    subjects.nowhere(
        MENDED_BY_HAND,
        format!(
            "nats at {shown} complained: {complaint}; let the user publish there, and subscribe to its inbox"
        ),
    )
}
