//! What a broker's refusal of one message means for the lane.

use std::time::Duration;

use lapin::ErrorKind;
use lapin::protocol::AMQPSoftError;

use super::MENDED_BY_HAND;
use super::connection::is;
use crate::backends::Failure;

/// Queues are not emptied and alarms not cleared within milliseconds.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// A publish that ended in an error.
pub(super) fn of(error: &lapin::Error, exchange: &str, shown: &str) -> Failure {
    if is(error, &AMQPSoftError::NOTFOUND) {
        return Failure::BackOff(
            MENDED_BY_HAND,
            format!(
                "exchange {exchange:?} at {shown} is gone; create it again, or reload to have it declared"
            ),
        );
    }
    if is(error, &AMQPSoftError::ACCESSREFUSED) {
        let text = format!(
            "rabbitmq at {shown} does not let this user write to exchange {exchange:?}: {error}; set its permissions"
        );
        return Failure::BackOff(MENDED_BY_HAND, text);
    }
    Failure::Reconnect(format!("the connection to rabbitmq at {shown} broke: {error}"))
}

/// The size beyond which the broker closes the channel, if that is why it did.
pub(super) fn largest(error: &lapin::Error) -> Option<usize> {
    let ErrorKind::ProtocolError(refusal) = error.kind() else { return None };
    // "PRECONDITION_FAILED - message size 200000 is larger than configured max size 100000"
    let text = refusal.get_message().as_str();
    let (_, size) = text.split_once("max size ").filter(|_| text.contains("message size"))?;
    size.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

pub(super) fn too_large(size: usize, most: usize, shown: &str) -> Failure {
    Failure::Reject(format!(
        "the event is {size} bytes, and rabbitmq at {shown} takes {most}; raise max_message_size there"
    ))
}

/// The broker says that it could not keep an event.
pub(super) fn nacked(routing_key: &str, shown: &str) -> Failure {
    Failure::BackOff(
        PAUSE,
        format!(
            "rabbitmq at {shown} refused an event for {routing_key:?}: a queue is full (overflow: reject-publish) or failed"
        ),
    )
}

/// No queue took an event.
pub(super) fn unroutable(exchange: &str, routing_key: &str, shown: &str) -> String {
    format!(
        "no queue of rabbitmq at {shown} is bound to exchange {exchange:?} for the routing key {routing_key:?}; bind one, or set mandatory: false"
    )
}

/// The broker's memory or disk is full, and it reads no more.
pub(super) fn blocked(shown: &str) -> Failure {
    Failure::BackOff(
        PAUSE,
        format!("rabbitmq at {shown} has blocked its publishers (memory or disk alarm); free some there"),
    )
}
