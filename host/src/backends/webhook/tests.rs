//! Webhooks against a receiver on a loopback port.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::Event;
use crate::backends::Failure;
use crate::backends::testing::items;
use crate::protocol::http;

type Answer = fn(&Event) -> Response;

struct Server {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
    requests: Arc<Mutex<Vec<HeaderMap>>>,
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
        let requests = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&requests);
        let receive = move |method: Method,
                            State(seen): State<Arc<Mutex<Vec<String>>>>,
                            headers: HeaderMap,
                            body: Bytes| async move {
            if method == Method::OPTIONS {
                let granted = [("webhook-allowed-origin", "*"), ("webhook-allowed-rate", "600")];
                return granted.into_response();
            }
            recorded.lock().push(headers.clone());
            let events = http::decode(&headers, &body).unwrap();
            // A batch is refused whole.
            let refused = events.iter().map(answer).find(|answer| !answer.status().is_success());
            if refused.is_none() {
                seen.lock().extend(events.iter().map(|event| event.id().to_owned()));
            }
            refused.unwrap_or_else(|| answer(&events[0]))
        };
        let app = axum::Router::new().fallback(receive).with_state(Arc::clone(&seen));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, seen, requests, task }
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
    assert_eq!(targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>(), ["hook[0]", "hook[1]"]);
}

#[tokio::test]
async fn one_that_says_gone_is_asked_no_more() {
    let server = Server::answering(|_| StatusCode::GONE.into_response()).await;
    let mut target = server.target(Webhook::default());
    for _ in 0..2 {
        let failure = target.backend.publish(&items(0..3)).await.remove(0).unwrap_err();
        assert!(matches!(failure, Failure::Reject(text) if text.contains("410")));
    }
    assert!(server.requests.lock().len() <= 3, "all that was under way at the first answer");
}

#[tokio::test]
async fn a_batch_is_one_request_and_a_hopeless_event_does_not_spoil_it() {
    let server = Server::answering(|event| match event.id() {
        "3" => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
        _ => StatusCode::OK.into_response(),
    })
    .await;
    let mut target = server.target(Webhook { mode: WebhookMode::Batched, ..Webhook::default() });
    assert!(target.backend.publish(&items(10..30)).await.iter().all(Result::is_ok));
    assert_eq!(server.requests.lock().len(), 1);
    let outcomes = target.backend.publish(&items(0..6)).await;
    assert!(matches!(outcomes[3], Err(Failure::Reject(_))));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
}

#[tokio::test]
async fn permission_is_asked_for_and_the_rate_kept() {
    let server = Server::answering(|_| StatusCode::OK.into_response()).await;
    let mut target = server.target(Webhook { handshake: true, ..Webhook::default() });
    target.backend.connect().await.unwrap();
    assert_eq!(target.backend.rate(), Some(10.0));
}

#[tokio::test]
async fn a_name_that_resolves_into_a_denied_network_is_not_connected_to() {
    let server = Server::answering(|_| StatusCode::OK.into_response()).await;
    let deny_networks = vec!["127.0.0.0/8".into(), "::1".into()];
    let settings = Webhook {
        urls: vec![server.url.clone()],
        deny_networks: deny_networks.clone(),
        ..Webhook::default()
    };
    let said = settings.open("hook".into(), Path::new("")).err().unwrap();
    assert!(said.contains("deny_networks"), "{said}");
    let urls = vec![server.url.replace("127.0.0.1", "localhost")];
    let settings = Webhook { urls, deny_networks, ..Webhook::default() };
    let mut target = settings.open("hook".into(), Path::new("")).unwrap().remove(0);
    let failure = target.backend.publish(&items(0..1)).await.remove(0).unwrap_err();
    assert!(matches!(&failure, Failure::Reconnect(text) if text.contains("deny_networks")), "{failure:?}");
    assert!(server.requests.lock().is_empty());
}

#[tokio::test]
async fn requests_are_signed_and_headers_may_be_raw() {
    let server = Server::answering(|_| StatusCode::OK.into_response()).await;
    let mut target = server.target(Webhook {
        mode: WebhookMode::Binary,
        header_encoding: HeaderEncoding::Raw,
        signing_secrets: vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()],
        ..Webhook::default()
    });
    let event = Event::builder("1", "s", "t").subject("Žlutý kůň").build().unwrap();
    let outcomes = target.backend.publish(&[crate::backends::Item { event, key: 0, trace: None }]).await;
    assert!(outcomes[0].is_ok(), "{outcomes:?}");
    let headers = server.requests.lock().remove(0);
    assert_eq!(headers["ce-subject"].as_bytes(), "Žlutý kůň".as_bytes());
    let verifier = standardwebhooks::Webhook::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    verifier.verify(b"", &headers).unwrap();
}
