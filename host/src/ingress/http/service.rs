//! What a request gets for an answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use tokio::sync::Semaphore;

use super::super::problem::Problem;
use super::super::{Arrived, Intake};
use super::credentials::Credentials;
use crate::Event;
use crate::config::settings;
use crate::listener;
use crate::protocol::http::decode;
use crate::trace::{self, Carried};

const PATH: &str = "/events";
/// What is set aside at once for a body that says its length, in bytes.
const RESERVED: usize = 1 << 20;
const ALLOW: HeaderValue = HeaderValue::from_static("POST, OPTIONS");

pub(super) struct Service {
    intake: Arc<dyn Intake>,
    credentials: Credentials,
    requests: Semaphore,
    max_body: usize,
    max_batch: usize,
    read_timeout: Duration,
    origins: Vec<String>,
    /// Whether anybody asks for the trace that a request belongs to.
    traced: bool,
}

impl Service {
    pub(super) fn new(settings: &settings::Http, intake: Arc<dyn Intake>, traced: bool) -> Self {
        Self {
            intake,
            credentials: Credentials::new(settings),
            requests: Semaphore::new(settings.max_requests.min(Semaphore::MAX_PERMITS)),
            max_body: usize::try_from(settings.max_body.0).unwrap_or(usize::MAX),
            max_batch: settings.max_batch,
            read_timeout: settings.read_timeout.0,
            origins: settings.allowed_origins.clone(),
            traced,
        }
    }

    async fn route(&self, request: Request<Incoming>) -> Response<Body> {
        if request.uri().path() != PATH {
            let detail = format!("there is nothing at {}; send events to {PATH}", request.uri().path());
            return Problem::new(StatusCode::NOT_FOUND, "not-found", "not found", detail).into_response();
        }
        match *request.method() {
            Method::POST => match self.post(request).await {
                Ok(()) => empty(StatusCode::ACCEPTED),
                Err(problem) => problem.into_response(),
            },
            Method::OPTIONS => self.handshake(request.headers()),
            ref other => {
                let detail = format!("{other} is not understood here; POST events");
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "the method is not allowed", detail)
                    .with(header::ALLOW, ALLOW)
                    .into_response()
            }
        }
    }

    async fn post(&self, request: Request<Incoming>) -> Result<(), Problem> {
        let carried = self.traced.then(|| carried(request.headers())).flatten();
        let events = self.events(request).await;
        let events = events.inspect_err(|problem| self.intake.refused(problem.name(), 1))?;
        if events.is_empty() {
            return Ok(());
        }
        self.intake.accept(Arrived { events, ingress: "http", carried }).await.map_err(Problem::from)
    }

    async fn events(&self, request: Request<Incoming>) -> Result<Vec<Event>, Problem> {
        self.credentials.admit(request.headers())?;
        plain(request.headers())?;
        let Ok(_permit) = self.requests.try_acquire() else {
            return Err(Problem::busy("too many requests are under way (host.http.max_requests)"));
        };
        let (parts, body) = request.into_parts();
        let body = self.read(body).await?;
        let events = decode(&parts.headers, &body)?;
        if events.len() > self.max_batch {
            let most = self.max_batch;
            let detail = format!(
                "the batch has {} events; at most {most} are taken (host.http.max_batch)",
                events.len()
            );
            return Err(Problem::too_large(detail));
        }
        Ok(events)
    }

    /// Reads the body, which is at most so large and comes at most so slowly.
    async fn read(&self, body: Incoming) -> Result<Bytes, Problem> {
        let expected = body.size_hint().exact();
        if expected.is_some_and(|length| length > self.max_body as u64) {
            return Err(self.too_large());
        }
        let late = |_| {
            let detail = format!("the body did not arrive within {} ms", self.read_timeout.as_millis());
            Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the request took too long", detail)
        };
        let expected = expected.and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        tokio::time::timeout(self.read_timeout, self.collect(body, expected)).await.map_err(late)?
    }

    async fn collect(&self, mut body: Incoming, expected: usize) -> Result<Bytes, Problem> {
        let mut first: Option<Bytes> = None;
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let cut = |error| {
                let detail = format!("the body was cut off: {error}");
                Problem::new(StatusCode::BAD_REQUEST, "cut-off", "the request is incomplete", detail)
            };
            let Ok(data) = frame.map_err(cut)?.into_data() else { continue };
            if first.as_ref().map_or(0, Bytes::len) + whole.len() + data.len() > self.max_body {
                return Err(self.too_large());
            }
            // Usually all of it is one frame, which is then taken as it is.
            match first.take() {
                None if whole.is_empty() => first = Some(data),
                None => whole.extend_from_slice(&data),
                Some(first) => {
                    // Not on the word of the sender alone: a part of the body is there.
                    whole.reserve(expected.min(RESERVED).max(first.len() + data.len()));
                    whole.extend_from_slice(&first);
                    whole.extend_from_slice(&data);
                }
            }
        }
        Ok(first.unwrap_or_else(|| whole.freeze()))
    }

    fn too_large(&self) -> Problem {
        Problem::too_large(format!("the body is over {} bytes (host.http.max_body)", self.max_body))
    }

    /// The abuse protection of the CloudEvents webhook specification (1.0.2, section 4).
    fn handshake(&self, headers: &HeaderMap) -> Response<Body> {
        let mut response = empty(StatusCode::OK);
        let answer = response.headers_mut();
        answer.insert(header::ALLOW, ALLOW);
        let Some(origin) = headers.get("webhook-request-origin") else { return response };
        let allowed = |name: &String| name == "*" || name.as_bytes() == origin.as_bytes();
        if self.origins.iter().any(allowed) {
            answer.insert("webhook-allowed-origin", origin.clone());
            let rate = headers.get("webhook-request-rate").cloned();
            answer.insert("webhook-allowed-rate", rate.unwrap_or(HeaderValue::from_static("*")));
        }
        response
    }
}

impl listener::Service for Service {
    async fn answer(&self, request: Request<Incoming>, _from: SocketAddr) -> Response<Body> {
        self.route(request).await
    }

    fn cut_off(&self, _from: SocketAddr, why: &str) {
        tracing::debug!("a connection was cut off: {why}");
    }
}

/// The trace that the request belongs to (W3C Trace Context 3).
fn carried(headers: &HeaderMap) -> Option<Carried> {
    let text = |name| headers.get(name)?.to_str().ok();
    Carried::read(text(trace::PARENT)?, text(trace::STATE))
}

/// Compressed bodies are not taken: their size is not known before they are unpacked.
fn plain(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(header::CONTENT_ENCODING) {
        None => Ok(()),
        Some(encoding) if encoding.as_bytes().eq_ignore_ascii_case(b"identity") => Ok(()),
        Some(encoding) => {
            let detail = format!("content encoding {encoding:?} is not understood; send the body as it is");
            let title = "the content encoding is not understood";
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding", title, detail)
                .with(header::ACCEPT_ENCODING, HeaderValue::from_static("identity")))
        }
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
