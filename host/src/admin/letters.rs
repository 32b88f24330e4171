//! Dead letters over the admin API.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::host::{Done, Selection, View};
use crate::journal::{DeadLetter, Filter, Place};
use crate::protocol;

#[derive(Deserialize)]
pub(super) struct Page {
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

pub(super) async fn list(
    State(view): State<Arc<View>>,
    Query(page): Query<Page>,
    Query(filter): Query<Filter>,
) -> Response {
    // The store reads from disk.
    let read = tokio::task::spawn_blocking(move || {
        let letters = view.dead_letters.after(page.after).filter(|letter| filter.wants(letter));
        letters.take(page.limit.min(1_000)).map(|letter| shown(&letter)).collect()
    });
    let letters: Vec<serde_json::Value> = read.await.unwrap_or_default();
    Json(letters).into_response()
}

pub(super) async fn retry(
    State(view): State<Arc<View>>,
    Query(selection): Query<Selection>,
    Query(filter): Query<Filter>,
) -> Response {
    act(move || view.retry(&filter, &selection)).await
}

pub(super) async fn remove(
    State(view): State<Arc<View>>,
    Query(selection): Query<Selection>,
    Query(filter): Query<Filter>,
) -> Response {
    act(move || view.drop_letters(&filter, &selection)).await
}

async fn act(work: impl FnOnce() -> Done + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Json(done).into_response(),
        Err(error) => (axum::http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// A letter as the API and the command line show it.
pub(crate) fn shown(letter: &DeadLetter) -> serde_json::Value {
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
