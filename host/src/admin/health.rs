//! Health for probes, as words, and for people, with reasons.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::api::blocking;
use super::credentials::{Caller, unauthorized};
use super::endpoint::{Answer, Given, Operation, Part, Text};
use super::problem::Problem;
use crate::host::{Condition, Health, View};

/// How much is said.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Asked {
    /// Each thing that was looked at, with its reason; needs a token where there are tokens.
    verbose: Option<String>,
}

/// Who asks; nobody where no token was sent and none is needed.
impl Part for Option<Extension<Caller>> {
    fn describe(_: &mut Operation<'_>) {}
}

/// A word for probes.
pub(super) struct Said {
    unready: bool,
    text: String,
}

impl IntoResponse for Said {
    fn into_response(self) -> Response {
        let status = if self.unready { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        (status, self.text).into_response()
    }
}

impl Answer for Said {
    fn describe(operation: &mut Operation<'_>) {
        let text = json!({ "type": "string" });
        operation.answer("200", "ok, or degraded: events are taken in", "text/plain", &text);
        operation.answer("503", "unready: events cannot be taken in", "text/plain", &text);
    }
}

pub(super) async fn live() -> Text {
    Text("ok\n".into())
}

pub(super) async fn ready(
    State(view): State<Arc<View>>,
    Given(asked): Given<Asked>,
    caller: Option<Extension<Caller>>,
) -> Result<Said, Problem> {
    let words = |health: &Health| match health.condition {
        Condition::Unready => format!("not ready: {}\n", reasons(health, Condition::Unready)),
        Condition::Ok | Condition::Degraded => "ready\n".into(),
    };
    say(view, asked, caller.is_some(), words).await
}

pub(super) async fn healthy(
    State(view): State<Arc<View>>,
    Given(asked): Given<Asked>,
    caller: Option<Extension<Caller>>,
) -> Result<Said, Problem> {
    say(view, asked, caller.is_some(), |health| format!("{}\n", word(health.condition))).await
}

pub(super) async fn report(State(view): State<Arc<View>>) -> Result<Json<Health>, Problem> {
    blocking(move || Ok(view.health())).await
}

/// Addresses and errors of backends are not for everybody who reaches the port.
async fn say(
    view: Arc<View>,
    asked: Asked,
    known: bool,
    words: impl Fn(&Health) -> String + Send + 'static,
) -> Result<Said, Problem> {
    let verbose = asked.verbose.is_some();
    if verbose && !known {
        return Err(unauthorized("reasons are for those who have a token; leave ?verbose out"));
    }
    let Json(health) = blocking(move || Ok(view.health())).await?;
    let unready = health.condition == Condition::Unready;
    let text = if verbose { lines(&health) } else { words(&health) };
    Ok(Said { unready, text })
}

fn word(condition: Condition) -> &'static str {
    match condition {
        Condition::Ok => "ok",
        Condition::Degraded => "degraded",
        Condition::Unready => "unready",
    }
}

fn reasons(health: &Health, condition: Condition) -> String {
    let such = health.checks.iter().filter(|check| check.condition == condition);
    let reason =
        |check: &crate::host::Check| format!("{}: {}", check.name, check.reason.as_deref().unwrap_or("?"));
    such.map(reason).collect::<Vec<_>>().join("; ")
}

/// A line for each thing, as orchestrators' own components write them.
fn lines(health: &Health) -> String {
    let line = |check: &crate::host::Check| {
        let mark = match check.condition {
            Condition::Ok => '+',
            Condition::Degraded => '~',
            Condition::Unready => '-',
        };
        let reason = check.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("[{mark}] {} {}{reason}", check.name, word(check.condition))
    };
    let lines = health.checks.iter().map(line).chain([word(health.condition).to_owned(), String::new()]);
    lines.collect::<Vec<_>>().join("\n")
}
