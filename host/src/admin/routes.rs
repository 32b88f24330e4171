//! Routes and backends over the admin API.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::api::blocking;
use super::problem;
use crate::host::View;
use crate::protocol::json;

pub(super) async fn list(State(view): State<Arc<View>>) -> Response {
    blocking(move || Json(view.swapper.routes())).await
}

/// Tries one structured event on the routes in force, without a trace.
pub(super) async fn test(State(view): State<Arc<View>>, body: Bytes) -> Response {
    blocking(move || {
        let event = match json::decode(&body) {
            Ok(event) => event,
            Err(error) => return refusal(StatusCode::BAD_REQUEST, &format!("not an event: {error}")),
        };
        match view.swapper.try_out(&event) {
            Ok(trials) => Json(trials).into_response(),
            Err(refused) => refusal(StatusCode::UNPROCESSABLE_ENTITY, &refused.to_string()),
        }
    })
    .await
}

pub(super) async fn pause(State(view): State<Arc<View>>, Path(name): Path<String>) -> Response {
    set_paused(&view, &name, true)
}

pub(super) async fn resume(State(view): State<Arc<View>>, Path(name): Path<String>) -> Response {
    set_paused(&view, &name, false)
}

/// A backend has a lane for each of its receivers.
fn set_paused(view: &View, name: &str, paused: bool) -> Response {
    let lanes: Vec<_> = view.swapper.lanes_of(name);
    if lanes.is_empty() {
        return refusal(StatusCode::NOT_FOUND, &format!("there is no backend {name:?}"));
    }
    tracing::info!(backend = name, paused, "an operator has paused or resumed a backend");
    lanes.iter().for_each(|lane| lane.pause(paused));
    Json(lanes.iter().map(crate::delivery::Lane::status).collect::<Vec<_>>()).into_response()
}

fn refusal(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    problem::answer(status, serde_json::json!({ "title": title, "detail": detail }))
}
