//! Plugins over the admin API.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::api::{Reloaded, blocking, swapped};
use super::endpoint::{Given, Name};
use super::problem::Problem;
use crate::host::{PluginInForce, View};
use crate::names::PluginName;

pub(super) async fn list(State(view): State<Arc<View>>) -> Result<Json<Vec<PluginInForce>>, Problem> {
    blocking(move || Ok(view.swapper.plugins())).await
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct To {
    /// The beginning of a digest; the version that was in force before where absent.
    to: Option<String>,
}

pub(super) async fn roll_back(
    State(view): State<Arc<View>>,
    Name(name): Name,
    Given(To { to }): Given<To>,
) -> Result<Json<Reloaded>, Problem> {
    blocking(move || swapped(view.swapper.roll_back(&PluginName::from(name), to.as_deref()))).await
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct From {
    /// The candidate, where a step has several.
    from: Option<String>,
}

pub(super) async fn promote(
    State(view): State<Arc<View>>,
    Name(name): Name,
    Given(From { from }): Given<From>,
) -> Result<Json<Reloaded>, Problem> {
    let from = from.map(PluginName::from);
    blocking(move || swapped(view.swapper.promote(&PluginName::from(name), from.as_ref()))).await
}

pub(super) async fn suspend(
    State(view): State<Arc<View>>,
    Name(name): Name,
) -> Result<Json<Vec<PluginInForce>>, Problem> {
    blocking(move || set_suspended(&view, name, true)).await
}

pub(super) async fn resume(
    State(view): State<Arc<View>>,
    Name(name): Name,
) -> Result<Json<Vec<PluginInForce>>, Problem> {
    blocking(move || set_suspended(&view, name, false)).await
}

fn set_suspended(view: &View, name: String, suspended: bool) -> Result<Vec<PluginInForce>, Problem> {
    let done = view.swapper.suspend(&PluginName::from(name), suspended);
    done.map_err(|refused| Problem::not_found(refused.to_string()))?;
    Ok(view.swapper.plugins())
}
