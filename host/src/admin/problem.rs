//! Problem documents (RFC 9457) as the admin API answers with them.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// The document, with its status and its media type.
pub(super) fn answer(status: StatusCode, mut document: Value) -> Response {
    document["status"] = status.as_u16().into();
    (status, [(header::CONTENT_TYPE, "application/problem+json")], document.to_string()).into_response()
}
