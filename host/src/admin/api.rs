//! The routes of the admin API.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::{dashboard, events, letters, plugins, problem, routes};
use crate::host::{Refused, View};
use crate::provenance::Story;

pub(super) fn router(view: Arc<View>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .route("/api/v1/reload", post(reload))
        .route("/api/v1/history", get(history))
        .route("/api/v1/settings", get(settings))
        .route("/api/v1/routes", get(routes::list))
        .route("/api/v1/routes/test", post(routes::test))
        .route("/api/v1/backends/{name}/pause", post(routes::pause))
        .route("/api/v1/backends/{name}/resume", post(routes::resume))
        .route("/api/v1/events", get(events::list))
        .route("/api/v1/events/tail", get(events::tail))
        .route("/api/v1/explain/{id}", get(explain))
        .route("/api/v1/plugins", get(plugins::list))
        .route("/api/v1/plugins/{name}/rollback", post(plugins::roll_back))
        .route("/api/v1/plugins/{name}/promote", post(plugins::promote))
        .route("/api/v1/dead-letters", get(letters::list))
        .route("/api/v1/dead-letters/retry", post(letters::retry))
        .route("/api/v1/dead-letters/drop", post(letters::remove))
        .merge(dashboard::router())
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
    blocking(move || ([(header::CONTENT_TYPE, kind)], view.render_metrics())).await
}

async fn status(State(view): State<Arc<View>>) -> Response {
    blocking(move || Json(view.status())).await
}

/// The settings in force, secrets hidden.
async fn settings(State(view): State<Arc<View>>) -> Response {
    blocking(move || Json(view.swapper.shown())).await
}

async fn history(State(view): State<Arc<View>>) -> Response {
    Json(view.history.series()).into_response()
}

/// What a story is told in.
#[derive(Debug, Serialize)]
struct Explained {
    events: Vec<Story>,
}

async fn explain(State(view): State<Arc<View>>, Path(id): Path<String>) -> Response {
    blocking(move || {
        let Some(provenance) = &view.provenance else {
            let text = "host.provenance.enabled is false: what becomes of events is not kept\n";
            return (StatusCode::NOT_FOUND, text).into_response();
        };
        Json(Explained { events: provenance.stories(&id, &view.journal) }).into_response()
    })
    .await
}

/// What a reload answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reloaded {
    /// The generation in force.
    pub generation: u64,
}

async fn reload(State(view): State<Arc<View>>) -> Response {
    swapped(view.swapper.reload().await)
}

/// The generation in force, or why the candidate was refused.
pub(super) fn swapped(outcome: Result<u64, Refused>) -> Response {
    match outcome {
        Ok(generation) => Json(Reloaded { generation }).into_response(),
        Err(refused) => {
            let document = serde_json::json!({
                "type": "urn:stagewire:problem:candidate-refused",
                "title": "the candidate was refused; the last good snapshot goes on",
                "detail": refused.to_string(),
                "problems": refused.problems,
            });
            problem::answer(StatusCode::UNPROCESSABLE_ENTITY, document)
        }
    }
}

/// Answers with what is worked out on a thread that may block.
pub(super) async fn blocking<T: IntoResponse + Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
