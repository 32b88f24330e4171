//! Webhooks: a POST for each event to each url. Every url has a lane of its own, all share one connection pool.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::redirect;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Backend, Failure, Item, Outcomes, Pause, Receipt, Settings, Target, innermost};
use crate::Event;
use crate::names::BackendName;
use crate::protocol::{http, json};

/// The pause where a receiver says 429 or 503 with an unreadable `Retry-After`.
const USUAL_PAUSE: Duration = Duration::from_secs(1);
/// The longest that a receiver may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// `events.webhook`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    /// Where events are posted; each url is delivered to and settled on its own.
    pub urls: Vec<String>,
    /// Headers of every request, such as credentials.
    pub headers: BTreeMap<String, String>,
    /// Seconds until a request is given up and tried again.
    pub timeout_seconds: u64,
    /// Tries after the first.
    pub retry_attempts: u32,
    /// How the pause grows.
    pub retry_backoff: Backoff,
    /// Seconds of the first pause.
    pub retry_delay_seconds: f64,
    /// Check the receiver's certificate.
    pub verify_ssl: bool,
    /// Allow `http://` to hosts other than this one.
    pub allow_http: bool,
    /// How an event is carried.
    pub mode: WebhookMode,
    /// Requests under way at once, over different ordering keys.
    pub concurrency: usize,
}

/// `events.webhook.retry_backoff`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// It doubles with each try.
    Exponential,
    /// It stays.
    Fixed,
}

/// `events.webhook.mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookMode {
    /// One JSON document.
    Structured,
    /// Attributes as headers, data as body.
    Binary,
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            headers: BTreeMap::new(),
            timeout_seconds: 5,
            retry_attempts: 3,
            retry_backoff: Backoff::Exponential,
            retry_delay_seconds: 1.0,
            verify_ssl: true,
            allow_http: false,
            mode: WebhookMode::Structured,
            concurrency: 16,
        }
    }
}

impl Settings for Webhook {
    fn open(self, name: BackendName, _: &Path) -> Result<Vec<Target>, String> {
        if self.urls.is_empty() {
            return Err(
                "urls is empty; name at least one, like https://stage3.example.com/webhook/nlp".into()
            );
        }
        let client = self.client()?;
        let several = self.urls.len() > 1;
        let pause = Pause {
            base: Duration::try_from_secs_f64(self.retry_delay_seconds)
                .map_err(|error| format!("retry_delay_seconds: {error}"))?,
            exponential: self.retry_backoff == Backoff::Exponential,
        };
        let target = |(index, text): (usize, &String)| {
            let url = self.url(text)?;
            let name = if several { format!("{name}[{index}]").as_str().into() } else { name.clone() };
            let address = super::without_credentials(text);
            let receiver = Receiver {
                client: client.clone(),
                url,
                mode: self.mode,
                concurrency: self.concurrency.max(1),
                address: address.clone(),
            };
            Ok(Target {
                name,
                address,
                backend: Box::new(receiver),
                max_retries: Some(self.retry_attempts),
                pause: Some(pause),
            })
        };
        self.urls.iter().enumerate().map(target).collect()
    }
}

impl Webhook {
    fn client(&self) -> Result<reqwest::Client, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let parsed = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("headers: {name:?} is no header name"))?;
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| format!("headers: the value of {name} is not allowed in a header"))?;
            value.set_sensitive(true);
            headers.insert(parsed, value);
        }
        reqwest::Client::builder()
            .default_headers(headers)
            .timeout(Duration::from_secs(self.timeout_seconds.max(1)))
            // A redirect is an answer like any other, and no confirmation.
            .redirect(redirect::Policy::none())
            .tls_danger_accept_invalid_certs(!self.verify_ssl)
            .user_agent(concat!("stagewire/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("cannot make an HTTP client: {error}"))
    }

    /// Plain http is for this host, or for those who say so.
    fn url(&self, text: &str) -> Result<reqwest::Url, String> {
        let shown = super::without_credentials(text);
        let url: reqwest::Url = text.parse().map_err(|error| format!("urls: {shown:?}: {error}"))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let loopback =
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        match url.scheme() {
            "https" => Ok(url),
            "http" if loopback || self.allow_http => Ok(url),
            "http" => Err(format!("urls: {shown} is plain http; use https, or set allow_http: true")),
            other => Err(format!("urls: {shown}: scheme {other:?} is not understood; use https")),
        }
    }
}

struct Receiver {
    client: reqwest::Client,
    url: reqwest::Url,
    mode: WebhookMode,
    concurrency: usize,
    address: String,
}

impl Receiver {
    async fn post(&self, event: &Event) -> Result<Receipt, Failure> {
        let (headers, body) = match self.mode {
            WebhookMode::Binary => http::encode_binary(event),
            WebhookMode::Structured => {
                let mut document = Vec::new();
                json::encode(event, &mut document);
                let kind = HeaderValue::from_static("application/cloudevents+json; charset=utf-8");
                (HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]), Bytes::from(document))
            }
        };
        let sent = self.client.post(self.url.clone()).headers(headers).body(body).send().await;
        match sent {
            Ok(response) => self.verdict(response.status(), response.headers()),
            Err(error) if error.is_timeout() => {
                Err(Failure::Retry(format!("{} did not answer in time", self.address)))
            }
            Err(error) => {
                Err(Failure::Reconnect(format!("cannot reach {}: {}", self.address, innermost(&error))))
            }
        }
    }

    fn verdict(&self, status: StatusCode, headers: &HeaderMap) -> Result<Receipt, Failure> {
        let answered = format!("{} answered {status}", self.address);
        let asked = headers.get(header::RETRY_AFTER).map(retry_after);
        match status.as_u16() {
            200..300 => Ok(Receipt(Some(status.as_str().into()))),
            429 | 503 if asked.is_some() => Err(Failure::BackOff(asked.unwrap_or(USUAL_PAUSE), answered)),
            408 | 425 | 429 | 500.. => Err(Failure::Retry(answered)),
            300..400 => Err(Failure::Reject(format!(
                "{answered}, a redirect, which is not followed; set the new url"
            ))),
            410 => Err(Failure::Reject(format!("{answered}: it wants no more events; remove the url"))),
            _ => Err(Failure::Reject(answered)),
        }
    }

    /// The events of one key one after the other, up to the first that fails.
    async fn post_key(&self, batch: &[Item], indices: Vec<usize>) -> Vec<(usize, Result<Receipt, Failure>)> {
        let mut outcomes = Vec::with_capacity(indices.len());
        let mut failed = false;
        for index in indices {
            let outcome = if failed { Err(Failure::Held) } else { self.post(&batch[index].event).await };
            // A rejected event is out of the way; the next of its key may go.
            failed |= !matches!(outcome, Ok(_) | Err(Failure::Reject(_)));
            outcomes.push((index, outcome));
        }
        outcomes
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

#[async_trait]
impl Backend for Receiver {
    async fn connect(&mut self) -> Result<(), Failure> {
        // Connections are made by need; that nobody is there shows with the first event.
        Ok(())
    }

    async fn publish(&mut self, batch: &[Item]) -> Outcomes {
        let mut keys: Vec<Vec<usize>> = Vec::new();
        let mut place = std::collections::HashMap::new();
        for (index, item) in batch.iter().enumerate() {
            let key = *place.entry(item.key).or_insert_with(|| {
                keys.push(Vec::new());
                keys.len() - 1
            });
            keys[key].push(index);
        }
        let mut outcomes: Outcomes = vec![Err(Failure::Held); batch.len()];
        let mut waiting = keys.into_iter();
        let mut running: FuturesUnordered<_> =
            waiting.by_ref().take(self.concurrency).map(|indices| self.post_key(batch, indices)).collect();
        while let Some(finished) = running.next().await {
            for (index, outcome) in finished {
                outcomes[index] = outcome;
            }
            running.extend(waiting.next().map(|indices| self.post_key(batch, indices)));
        }
        outcomes
    }

    async fn close(&mut self) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use axum::extract::State;
    use axum::response::{IntoResponse, Response};
    use parking_lot::Mutex;

    use super::*;
    use crate::backends::testing::items;

    type Answer = fn(&Event) -> Response;

    struct Server {
        url: String,
        seen: Arc<Mutex<Vec<String>>>,
        task: tokio::task::JoinHandle<()>,
    }

    impl Drop for Server {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    impl Server {
        async fn answering(answer: Answer) -> Self {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/hook", listener.local_addr().unwrap());
            let receive = move |State(seen): State<Arc<Mutex<Vec<String>>>>,
                                headers: HeaderMap,
                                body: Bytes| async move {
                let event = http::decode(&headers, &body).unwrap().remove(0);
                let response = answer(&event);
                if response.status().is_success() {
                    seen.lock().push(event.id().to_owned());
                }
                response
            };
            let app = axum::Router::new().fallback(receive).with_state(Arc::clone(&seen));
            let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
            Self { url, seen, task }
        }

        fn target(&self, settings: Webhook) -> Target {
            let _ = rustls::crypto::ring::default_provider().install_default();
            Webhook { urls: vec![self.url.clone()], ..settings }
                .open("hook".into(), Path::new(""))
                .unwrap()
                .remove(0)
        }
    }

    #[tokio::test]
    async fn events_of_a_key_arrive_in_order_in_both_modes() {
        for mode in [WebhookMode::Structured, WebhookMode::Binary] {
            let server = Server::answering(|_| StatusCode::OK.into_response()).await;
            let mut target = server.target(Webhook { mode, ..Webhook::default() });
            let outcomes = target.backend.publish(&items(0..70)).await;
            assert!(outcomes.iter().all(Result::is_ok));
            let seen: Vec<u64> = server.seen.lock().iter().map(|id| id.parse().unwrap()).collect();
            for key in 0..7 {
                assert!(seen.iter().filter(|id| *id % 7 == key).is_sorted());
            }
            assert_eq!(seen.len(), 70);
        }
    }

    #[tokio::test]
    async fn a_key_stops_at_its_first_failure_and_others_go_on() {
        let server = Server::answering(|event| match event.id() {
            "7" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            _ => StatusCode::NO_CONTENT.into_response(),
        })
        .await;
        let outcomes = server.target(Webhook::default()).backend.publish(&items(0..21)).await;
        assert!(matches!(outcomes[7], Err(Failure::Retry(_))) && outcomes[14] == Err(Failure::Held));
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 19);
    }

    #[tokio::test]
    async fn statuses_steer() {
        let of = |answer: Answer| async move {
            let server = Server::answering(answer).await;
            server.target(Webhook::default()).backend.publish(&items(0..1)).await.remove(0).unwrap_err()
        };
        assert!(matches!(of(|_| StatusCode::BAD_REQUEST.into_response()).await, Failure::Reject(_)));
        assert!(
            matches!(of(|_| StatusCode::GONE.into_response()).await, Failure::Reject(text) if text.contains("remove the url"))
        );
        assert!(
            matches!(of(|_| StatusCode::FOUND.into_response()).await, Failure::Reject(text) if text.contains("redirect"))
        );
        assert!(matches!(of(|_| StatusCode::TOO_MANY_REQUESTS.into_response()).await, Failure::Retry(_)));
        let busy = of(|_| (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "7")]).into_response()).await;
        assert!(matches!(busy, Failure::BackOff(pause, _) if pause == Duration::from_secs(7)));
    }

    #[tokio::test]
    async fn a_receiver_that_hangs_is_given_up_in_time() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let urls = vec![format!("http://{}/", listener.local_addr().unwrap())];
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = Webhook { urls, timeout_seconds: 1, ..Webhook::default() };
        let mut target = settings.open("hook".into(), Path::new("")).unwrap().remove(0);
        let start = Instant::now();
        let failure = target.backend.publish(&items(0..1)).await.remove(0).unwrap_err();
        assert!(matches!(failure, Failure::Retry(_)), "{failure:?}");
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn plain_http_is_for_this_host_only() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let open = |url: &str, allow_http| {
            let settings = Webhook { urls: vec![url.into()], allow_http, ..Webhook::default() };
            settings.open("hook".into(), Path::new("")).map(|targets| targets.len())
        };
        assert_eq!(open("http://127.0.0.1:1/", false), Ok(1));
        assert_eq!(open("http://[::1]:1/", false), Ok(1));
        let refused = open("http://user:secret@example.com/", false).unwrap_err();
        assert_eq!(refused, "urls: http://example.com/ is plain http; use https, or set allow_http: true");
        assert_eq!(open("http://example.com/", true), Ok(1));
        assert!(open("ftp://example.com/", true).unwrap_err().contains("use https"));
    }

    #[test]
    fn several_urls_have_a_lane_each() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let urls = vec!["https://a.example/".into(), "https://b.example/".into()];
        let targets = Webhook { urls, ..Webhook::default() }.open("hook".into(), Path::new("")).unwrap();
        assert_eq!(
            targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>(),
            ["hook[0]", "hook[1]"]
        );
    }
}
