//! Plugins over the admin API.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::api::{blocking, swapped};
use crate::host::View;
use crate::names::PluginName;

pub(super) async fn list(State(view): State<Arc<View>>) -> Response {
    blocking(move || Json(view.swapper.plugins())).await
}

#[derive(Deserialize)]
pub(super) struct To {
    /// The beginning of a digest.
    to: Option<String>,
}

pub(super) async fn roll_back(
    State(view): State<Arc<View>>,
    Path(name): Path<String>,
    Query(To { to }): Query<To>,
) -> Response {
    blocking(move || swapped(view.swapper.roll_back(&PluginName::from(name), to.as_deref()))).await
}

#[derive(Deserialize)]
pub(super) struct From {
    /// The candidate, where a step has several.
    from: Option<String>,
}

pub(super) async fn promote(
    State(view): State<Arc<View>>,
    Path(name): Path<String>,
    Query(From { from }): Query<From>,
) -> Response {
    let from = from.map(PluginName::from);
    blocking(move || swapped(view.swapper.promote(&PluginName::from(name), from.as_ref()))).await
}
