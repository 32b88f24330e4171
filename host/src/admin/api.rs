//! The routes of the admin API.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::letters;
use crate::host::{HostStatus, View};

pub(super) fn router(view: Arc<View>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .route("/api/v1/reload", post(reload))
        .route("/api/v1/dead-letters", get(letters::list))
        .route("/api/v1/dead-letters/retry", post(letters::retry))
        .route("/api/v1/dead-letters/drop", post(letters::remove))
        .with_state(view)
}

async fn readyz(State(view): State<Arc<View>>) -> Response {
    match view.unready() {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response(),
    }
}

async fn metrics(State(view): State<Arc<View>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], view.render_metrics()).into_response()
}

async fn status(State(view): State<Arc<View>>) -> Json<HostStatus> {
    Json(view.status())
}

/// What a reload answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reloaded {
    /// The generation in force.
    pub generation: u64,
}

async fn reload(State(view): State<Arc<View>>) -> Response {
    match view.swapper.reload().await {
        Ok(generation) => Json(Reloaded { generation }).into_response(),
        Err(refused) => {
            let problem = serde_json::json!({
                "type": "urn:stagewire:problem:candidate-refused",
                "title": "the candidate was refused; the last good snapshot goes on",
                "status": 422,
                "detail": refused.to_string(),
                "problems": refused.problems,
            });
            let kind = [(header::CONTENT_TYPE, "application/problem+json")];
            (StatusCode::UNPROCESSABLE_ENTITY, kind, problem.to_string()).into_response()
        }
    }
}
