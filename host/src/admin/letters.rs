//! Dead letters over the admin API.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::blocking;
use super::endpoint::Given;
use super::problem::Problem;
use crate::host::{Done, Selection, View};
use crate::journal::{DeadLetter, Filter, Place};
use crate::protocol;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Page {
    /// Go on behind this number.
    #[serde(default)]
    after: u64,
    /// How many at most, 1,000 at most.
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
    Given(page): Given<Page>,
    Given(filter): Given<Filter>,
) -> Result<Json<Vec<Shown>>, Problem> {
    // The store reads from disk.
    blocking(move || {
        let letters = view.dead_letters.after(page.after).filter(|letter| filter.wants(letter));
        let letters = letters.take(page.limit.min(1_000)).map(|letter| shown(&letter));
        Ok(letters.collect())
    })
    .await
}

pub(super) async fn retry(
    State(view): State<Arc<View>>,
    Given(selection): Given<Selection>,
    Given(filter): Given<Filter>,
) -> Result<Json<Done>, Problem> {
    blocking(move || Ok(view.retry(&filter, &selection))).await
}

pub(super) async fn remove(
    State(view): State<Arc<View>>,
    Given(selection): Given<Selection>,
    Given(filter): Given<Filter>,
) -> Result<Json<Done>, Problem> {
    blocking(move || Ok(view.drop_letters(&filter, &selection))).await
}

/// A letter as the API and the command line show it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
pub(crate) struct Shown {
    /// Its number.
    id: u64,
    /// Why it was given up.
    reason: String,
    /// The route that it took.
    route: Option<String>,
    /// Where it failed.
    place: ShownPlace,
    /// How often it was tried.
    tries: u32,
    /// When it was accepted, Unix milliseconds.
    first_at_ms: u64,
    /// When it was given up, Unix milliseconds.
    at_ms: u64,
    /// The event, structured.
    event: serde_json::Value,
}

/// Where a letter failed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "FailedAt")]
enum ShownPlace {
    /// At a backend.
    Backend {
        /// Its lane.
        backend: String,
    },
    /// At a step of its route.
    Step {
        /// Its place in the route, from 0.
        step: usize,
        /// The plugin.
        plugin: String,
        /// SHA-256 of the plugin's file.
        digest: String,
    },
}

pub(crate) fn shown(letter: &DeadLetter) -> Shown {
    let mut event = Vec::new();
    protocol::json::encode(&letter.event, &mut event);
    let place = match &letter.place {
        Place::Backend(backend) => ShownPlace::Backend { backend: backend.to_string() },
        Place::Step { index, plugin, digest } => {
            ShownPlace::Step { step: *index, plugin: plugin.to_string(), digest: digest.to_string() }
        }
    };
    Shown {
        id: letter.id,
        reason: letter.reason.clone(),
        route: letter.route.as_ref().map(ToString::to_string),
        place,
        tries: letter.tries,
        first_at_ms: letter.first_at_ms,
        at_ms: letter.at_ms,
        event: serde_json::from_slice(&event).unwrap_or_default(),
    }
}
