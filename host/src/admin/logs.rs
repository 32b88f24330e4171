//! Log levels over the admin API, and the audit log.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::api::blocking;
use super::audit::{Audit, Record};
use super::endpoint::Given;
use super::problem::Problem;
use crate::config::settings::LogLevel;
use crate::config::units::Span;
use crate::telemetry::logs::{self, LogLevels};

/// The most records of one answer.
const MOST: usize = 10_000;

/// Which level, of what, for how long.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Wanted {
    /// Lines of that level and more serious ones are written.
    level: LogLevel,
    /// The beginning of a module's path, as `stagewire::delivery`; all that is the host's own where absent.
    #[serde(default)]
    target: Option<String>,
    /// How long, as `10m`; to the end of the host where absent.
    #[serde(default, rename = "for")]
    span: Option<Span>,
}

/// Of what.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Target {
    /// The target; all of them where absent.
    #[serde(default)]
    target: Option<String>,
}

/// How much of the audit log.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Page {
    /// How many changes at most, the latest.
    #[serde(default = "Page::usual")]
    limit: usize,
}

impl Page {
    const fn usual() -> usize {
        100
    }
}

pub(super) async fn levels() -> Json<LogLevels> {
    Json(logs::levels())
}

pub(super) async fn set(Given(wanted): Given<Wanted>) -> Result<Json<LogLevels>, Problem> {
    let span = wanted.span.map(|span| span.0);
    logs::set_target(wanted.target.as_deref(), wanted.level, span).map_err(Problem::malformed)?;
    Ok(Json(logs::levels()))
}

pub(super) async fn reset(Given(Target { target }): Given<Target>) -> Json<LogLevels> {
    logs::reset(target.as_deref());
    Json(logs::levels())
}

pub(super) async fn audit(
    State(audit): State<Audit>,
    Given(page): Given<Page>,
) -> Result<Json<Vec<Record>>, Problem> {
    blocking(move || Ok(audit.latest(page.limit.min(MOST)))).await
}
