//! Dead letters over the admin API.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::api::blocking;
use crate::host::{Selection, View};
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
    blocking(move || {
        let letters = view.dead_letters.after(page.after).filter(|letter| filter.wants(letter));
        let letters = letters.take(page.limit.min(1_000)).map(|letter| shown(&letter));
        Json(letters.collect::<Vec<_>>())
    })
    .await
}

pub(super) async fn retry(
    State(view): State<Arc<View>>,
    Query(selection): Query<Selection>,
    Query(filter): Query<Filter>,
) -> Response {
    blocking(move || Json(view.retry(&filter, &selection))).await
}

pub(super) async fn remove(
    State(view): State<Arc<View>>,
    Query(selection): Query<Selection>,
    Query(filter): Query<Filter>,
) -> Response {
    blocking(move || Json(view.drop_letters(&filter, &selection))).await
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
