//! Asking a receiver for permission (CloudEvents 1.0.2, "HTTP 1.1 Web Hooks", 4).

use axum::http::HeaderMap;
use reqwest::{Client, Method, Url};

use crate::causes::innermost;

/// What a receiver grants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Permission {
    /// Events a second; without a limit where absent.
    pub(super) rate: Option<f64>,
}

/// Asks. The answer holds for one connection of the lane.
pub(super) async fn ask(
    client: &Client,
    url: &Url,
    origin: &str,
    address: &str,
) -> Result<Permission, String> {
    let request = client.request(Method::OPTIONS, url.clone()).header("webhook-request-origin", origin);
    let sent = request.send().await;
    let answer = sent.map_err(|error| format!("cannot reach {address}: {}", innermost(&error)))?;
    if !answer.status().is_success() {
        return Err(format!(
            "{address} answered the handshake {}; let it allow the origin {origin:?}, or set handshake: false",
            answer.status()
        ));
    }
    granted(answer.headers(), origin).ok_or_else(|| {
        format!(
            "{address} does not allow the origin {origin:?} (WebHook-Allowed-Origin); let it, or set handshake: false"
        )
    })
}

fn granted(headers: &HeaderMap, origin: &str) -> Option<Permission> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let allowed = text("webhook-allowed-origin")?;
    let allowed = allowed == "*" || allowed.eq_ignore_ascii_case(origin);
    // Requests a minute.
    let rate = text("webhook-allowed-rate").and_then(|rate| rate.parse::<f64>().ok());
    allowed.then(|| Permission { rate: rate.filter(|rate| *rate > 0.0).map(|rate| rate / 60.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_is_for_the_origin_and_has_a_rate_a_minute() {
        let of = |origin: &'static str, rate: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("webhook-allowed-origin", origin.parse().unwrap());
            headers.insert("webhook-allowed-rate", rate.parse().unwrap());
            granted(&headers, "stagewire")
        };
        assert_eq!(of("*", "120"), Some(Permission { rate: Some(2.0) }));
        assert_eq!(of("StageWire", "*"), Some(Permission { rate: None }));
        assert_eq!(of("example.com", "120"), None);
        assert_eq!(granted(&HeaderMap::new(), "stagewire"), None);
    }
}
