//! Refusals as problem documents (RFC 9457).

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::Refusal;
use crate::protocol::http::Unreadable;
use crate::protocol::json::DecodeError;

/// What was refused, why, and where.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    #[serde(rename = "type", serialize_with = "as_urn")]
    name: &'static str,
    title: &'static str,
    #[serde(serialize_with = "as_number")]
    status: StatusCode,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Member>,
    #[serde(skip)]
    headers: Vec<(header::HeaderName, HeaderValue)>,
}

#[derive(Debug, Serialize)]
struct Member {
    index: usize,
    pointer: String,
    detail: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

fn as_urn<S: serde::Serializer>(name: &&'static str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("urn:stagewire:problem:{name}"))
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        name: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { name, title, status, detail: detail.into(), errors: Vec::new(), headers: Vec::new() }
    }

    /// A fixed word for it, the end of its `type`.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn with(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn retry_after(self, pause: Duration) -> Self {
        self.with(header::RETRY_AFTER, HeaderValue::from(pause.as_secs().max(1)))
    }

    pub(super) fn busy(detail: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "the host is busy", detail)
            .retry_after(Duration::from_secs(1))
    }

    pub(super) fn too_large(detail: String) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "the request is too large", detail)
    }

    pub(super) fn into_response(self) -> Response<Body> {
        // Strings and numbers only: this cannot fail.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.headers);
        response
    }
}

impl From<Unreadable> for Problem {
    fn from(unreadable: Unreadable) -> Self {
        let detail = unreadable.to_string();
        let title = "the request holds no CloudEvent";
        match unreadable {
            Unreadable::MediaType(_) => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "the media type is not understood",
                detail,
            )
            .with(
                header::ACCEPT,
                HeaderValue::from_static("application/cloudevents+json, application/cloudevents-batch+json"),
            ),
            Unreadable::Event(_) => Self::new(StatusCode::BAD_REQUEST, "malformed", title, detail),
            Unreadable::Batch(errors) => {
                let member = |(index, DecodeError { pointer, message, .. })| Member {
                    index,
                    pointer,
                    detail: message,
                };
                let mut problem = Self::new(StatusCode::BAD_REQUEST, "malformed", title, detail);
                problem.errors = errors.into_iter().map(member).collect();
                problem
            }
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Full { retry_after } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "full", "the journal is full", detail)
                    .retry_after(retry_after)
            }
            Refusal::Disk(_) => {
                let pause = Duration::from_secs(5);
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "disk", "the journal cannot write", detail)
                    .retry_after(pause)
            }
            Refusal::Stopping => Self::busy(&detail),
            Refusal::Rule { index, message, .. } => {
                let title = "an event is against an admission rule";
                let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "rule", title, detail);
                problem.errors = vec![Member { index, pointer: String::new(), detail: message }];
                problem
            }
        }
    }
}
