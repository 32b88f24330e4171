//! Problem documents (RFC 9457) as the admin API answers with them.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::host::Refused;

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct Problem {
    /// `urn:stagewire:problem:` and a fixed word.
    #[serde(rename = "type")]
    kind: String,
    /// What sort of problem it is.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What was refused, why, and what to do.
    pub(super) detail: String,
    /// Every problem on its own, where there are several.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    #[schemars(default)]
    problems: Box<[String]>,
    #[serde(skip)]
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

/// Why a request was not done, beside the answer that says so: for the log and the audit.
#[derive(Clone, Debug)]
pub(super) struct Said(pub(super) String);

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        name: &str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind: format!("urn:stagewire:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            problems: Box::default(),
            header: None,
        }
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "there is no such thing", detail)
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "the request is not understood", detail)
    }

    pub(super) fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "the host is busy", detail)
            .with(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    pub(super) fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some(Box::new((name, value))), ..self }
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let title = "the candidate was refused; the last good snapshot goes on";
        let problem =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "candidate-refused", title, refused.to_string());
        Self { problems: refused.problems.into(), ..problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Strings and numbers only: this cannot fail.
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        response.headers_mut().extend(self.header.map(|header| *header));
        response.extensions_mut().insert(Said(self.detail));
        response
    }
}
