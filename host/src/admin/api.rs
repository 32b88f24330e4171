//! The routes of the admin API.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use crate::host::{HostStatus, View};
use crate::journal::{DeadLetter, Place};
use crate::protocol;

pub(super) fn router(view: Arc<View>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .route("/api/v1/reload", post(reload))
        .route("/api/v1/dead-letters", get(dead_letters))
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

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    after: u64,
    #[serde(default = "Page::usual")]
    limit: usize,
}

impl Page {
    const fn usual() -> usize {
        100
    }
}

async fn dead_letters(State(view): State<Arc<View>>, Query(page): Query<Page>) -> Response {
    // The store reads from disk.
    let read = tokio::task::spawn_blocking(move || {
        let letters = view.dead_letters.iter();
        letters
            .filter(|letter| letter.id > page.after)
            .take(page.limit.min(1_000))
            .map(|letter| shown(&letter))
            .collect()
    });
    let letters: Vec<serde_json::Value> = read.await.unwrap_or_default();
    Json(letters).into_response()
}

fn shown(letter: &DeadLetter) -> serde_json::Value {
    let mut event = Vec::new();
    protocol::json::encode(&letter.event, &mut event);
    let place = match &letter.place {
        Place::Backend(backend) => serde_json::json!({ "backend": backend }),
        Place::Step { index, plugin, digest } => {
            serde_json::json!({ "step": index, "plugin": plugin, "digest": digest.to_string() })
        }
    };
    serde_json::json!({
        "id": letter.id,
        "reason": letter.reason,
        "route": letter.route,
        "place": place,
        "tries": letter.tries,
        "first_at_ms": letter.first_at_ms,
        "at_ms": letter.at_ms,
        "event": serde_json::from_slice::<serde_json::Value>(&event).unwrap_or_default(),
    })
}
