//! What a receiver's answer means.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::backends::{Failure, Receipt};

/// The pause where a receiver says 429 or 503 with an unreadable `Retry-After`.
const USUAL_PAUSE: Duration = Duration::from_secs(1);
/// The longest that a receiver may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// The outcome of a request, by its status.
pub(super) fn verdict(address: &str, status: StatusCode, headers: &HeaderMap) -> Result<Receipt, Failure> {
    if status.is_success() {
        return Ok(Receipt::Status(status.as_u16()));
    }
    let answered = format!("{address} answered {status}");
    let asked = headers.get(header::RETRY_AFTER).map(retry_after);
    match (status.as_u16(), asked) {
        (429 | 503, Some(pause)) => Err(Failure::BackOff(pause, answered)),
        (408 | 425 | 429 | 500.., _) => Err(Failure::Retry(answered)),
        (300..=399, _) => Err(Failure::Reject(format!(
            "{answered}, a redirect, which is not followed; set the new url, or follow_redirects: true"
        ))),
        (401 | 403, _) => {
            Err(Failure::Reject(format!("{answered}; check the credentials in webhook.headers")))
        }
        _ => Err(Failure::Reject(answered)),
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110, 10.2.3).
fn retry_after(value: &HeaderValue) -> Duration {
    let text = value.to_str().unwrap_or_default().trim();
    let seconds = text.parse::<u64>().ok().map(Duration::from_secs);
    let date = || {
        let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Duration::try_from(at.duration_since(jiff::Timestamp::now())).ok()
    };
    seconds.or_else(date).unwrap_or(USUAL_PAUSE).min(LONGEST_PAUSE)
}
