//! Routes and backends over the admin API.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Trials;
use super::api::blocking;
use super::endpoint::{Name, Structured};
use super::problem::Problem;
use crate::delivery::{Lane, LaneStatus};
use crate::host::{RouteStatus, Trial, View};
use crate::protocol::json;

pub(super) async fn list(State(view): State<Arc<View>>) -> Result<Json<Vec<RouteStatus>>, Problem> {
    blocking(move || Ok(view.swapper.routes())).await
}

/// Tries one structured event on the routes in force, without a trace.
pub(super) async fn test(
    State(view): State<Arc<View>>,
    State(trials): State<Trials>,
    Structured(body): Structured,
) -> Result<Json<Vec<Trial>>, Problem> {
    let turn = trials.turn()?;
    blocking(move || {
        let event =
            json::decode(&body).map_err(|error| Problem::malformed(format!("not an event: {error}")))?;
        let tried = view.swapper.try_out(&event)?;
        drop(turn);
        Ok(tried)
    })
    .await
}

pub(super) async fn backends(State(view): State<Arc<View>>) -> Json<Vec<LaneStatus>> {
    Json(statuses(&view.swapper.lanes()))
}

pub(super) async fn pause(
    State(view): State<Arc<View>>,
    Name(name): Name,
) -> Result<Json<Vec<LaneStatus>>, Problem> {
    steer(view, name, "pause", |lane| lane.pause(true)).await
}

pub(super) async fn resume(
    State(view): State<Arc<View>>,
    Name(name): Name,
) -> Result<Json<Vec<LaneStatus>>, Problem> {
    steer(view, name, "resume", |lane| lane.pause(false)).await
}

pub(super) async fn drain(
    State(view): State<Arc<View>>,
    Name(name): Name,
) -> Result<Json<Vec<LaneStatus>>, Problem> {
    steer(view, name, "drain", Lane::empty).await
}

/// A backend has a lane for each of its receivers.
async fn steer(
    view: Arc<View>,
    name: String,
    what: &'static str,
    act: fn(&Lane),
) -> Result<Json<Vec<LaneStatus>>, Problem> {
    // A swap that is being made is waited for.
    blocking(move || {
        let lanes = view.swapper.lanes_of(&name);
        if lanes.is_empty() {
            return Err(Problem::not_found(format!("there is no backend {name:?}")));
        }
        tracing::info!(backend = name, what, "an operator steers a backend");
        lanes.iter().for_each(act);
        Ok(statuses(&lanes))
    })
    .await
}

fn statuses(lanes: &[Lane]) -> Vec<LaneStatus> {
    lanes.iter().map(Lane::status).collect()
}
