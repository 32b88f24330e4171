//! Settings documents over the admin API: checked and rehearsed, never put into force.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Trials;
use super::api::blocking;
use super::endpoint::{Document, Given};
use super::problem::Problem;
use crate::host::{Rehearsal, Rehearsed, View};

/// The most events that are tried on a document.
const MOST: u64 = 1_000;

/// On what a document is tried.
#[derive(Deserialize, JsonSchema)]
pub(super) struct On {
    /// So many of the journal's latest events, 1,000 at most.
    #[serde(default)]
    events: u64,
}

pub(super) async fn validate(
    State(view): State<Arc<View>>,
    State(trials): State<Trials>,
    Document(document): Document,
) -> Result<Json<Rehearsal>, Problem> {
    let turn = trials.turn()?;
    blocking(move || {
        let rehearsal = view.swapper.check(&document);
        drop(turn);
        Ok(rehearsal)
    })
    .await
}

pub(super) async fn rehearse(
    State(view): State<Arc<View>>,
    State(trials): State<Trials>,
    Given(on): Given<On>,
    Document(document): Document,
) -> Result<Json<Rehearsed>, Problem> {
    let turn = trials.turn()?;
    blocking(move || {
        let stats = view.journal.stats();
        let count = on.events.min(MOST);
        let from = stats.next.saturating_sub(count).max(stats.first);
        let records = view.journal.read(from).into_iter().flatten().flatten();
        let records = records.take_while(|record| record.offset < stats.next);
        let rehearsed = view.swapper.rehearse(&document, records.take(usize::try_from(count).unwrap_or(0)));
        drop(turn);
        Ok(rehearsed)
    })
    .await
}
