//! The endpoints of the admin API: one table, of which its routes, who may use them and its description are made.

use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::endpoint::{Answer, Endpoint, Name, Operation, get, openapi, post};
use super::problem::Problem;
use super::{Api, dashboard, events, health, letters, logs, plugins, routes, settings};
use crate::host::{HostStatus, InForce, Refused, View};
use crate::plugins::StepStatus;
use crate::provenance::Story;
use crate::telemetry::exposition;
use crate::telemetry::history::Series;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/livez", "live", "whether the process answers", health::live).open(),
        get("/healthz", "healthy", "ok, degraded or unready; with ?verbose why", health::healthy).open(),
        get("/readyz", "ready", "whether events can be taken in; with ?verbose why not", health::ready)
            .open(),
        get("/metrics", "metrics", "all metrics in the OpenMetrics text format", metrics),
        get("/api/v1/openapi.json", "describe", "this document", describe),
        get("/api/v1/health", "health", "how the host is, with reasons", health::report),
        get("/api/v1/status", "status", "rules in force, steps, journal, lanes, dead letters", status),
        get("/api/v1/history", "history", "the last hour, for charts", history),
        get("/api/v1/steps", "steps", "how the steps in force are doing", steps),
        get("/api/v1/routes", "routes", "the routes in force", routes::list),
        post(
            "/api/v1/routes/test",
            "try",
            "what each route would do with an event; nothing is delivered",
            routes::test,
        )
        .reads(),
        get("/api/v1/backends", "backends", "the lanes of all backends", routes::backends),
        post(
            "/api/v1/backends/{name}/pause",
            "pause",
            "stop publishing to a backend; its events wait",
            routes::pause,
        ),
        post("/api/v1/backends/{name}/resume", "resume", "go on after pause or drain", routes::resume),
        post(
            "/api/v1/backends/{name}/drain",
            "drain",
            "publish what waits, take no more, and pause once nothing is left",
            routes::drain,
        ),
        get("/api/v1/plugins", "plugins", "the plugins in force, with kept versions", plugins::list),
        post(
            "/api/v1/plugins/{name}/rollback",
            "rollback",
            "go back to an earlier version",
            plugins::roll_back,
        ),
        post(
            "/api/v1/plugins/{name}/promote",
            "promote",
            "put a step's shadow or canary in its plugin's place",
            plugins::promote,
        ),
        post(
            "/api/v1/plugins/{name}/suspend",
            "suspend",
            "call a plugin no more; its events go the way of on_error",
            plugins::suspend,
        ),
        post(
            "/api/v1/plugins/{name}/resume",
            "resume-plugin",
            "call a suspended plugin again",
            plugins::resume,
        ),
        get("/api/v1/events", "events", "the latest events that are asked for, newest first", events::list),
        get("/api/v1/events/tail", "tail", "events as they come, at a bounded rate", events::tail),
        get(
            "/api/v1/journal",
            "journal",
            "a range of the journal by offsets or times, oldest first",
            events::range,
        ),
        get("/api/v1/explain/{id}", "explain", "what became of an event", explain),
        get("/api/v1/dead-letters", "dead-letters", "dead letters, oldest first", letters::list),
        post(
            "/api/v1/dead-letters/retry",
            "retry",
            "try dead letters again, each where it failed",
            letters::retry,
        ),
        post("/api/v1/dead-letters/drop", "drop", "remove dead letters for good", letters::remove),
        post("/api/v1/reload", "reload", "swap in what is on disk", reload),
        get("/api/v1/settings", "settings", "the settings in force, secrets hidden", in_force),
        post("/api/v1/settings/validate", "validate", "check a settings document", settings::validate)
            .reads(),
        post(
            "/api/v1/settings/dry-run",
            "dry-run",
            "what a settings document would change, for the latest events too; nothing comes into force",
            settings::rehearse,
        )
        .reads(),
        get("/api/v1/log-level", "log-levels", "the log levels in force", logs::levels),
        post(
            "/api/v1/log-level",
            "log-level",
            "set the log level of a target, for a while or to the end",
            logs::set,
        ),
        post("/api/v1/log-level/reset", "reset-log-level", "take back levels that were set", logs::reset),
        get("/api/v1/audit", "audit", "who changed what, newest first", logs::audit),
    ]
}

pub(super) fn router(endpoints: Vec<Endpoint>) -> Router<Api> {
    let routes = endpoints.into_iter().map(Endpoint::into_route);
    // Whatever is not in the table the guard refuses before it comes here.
    let router = routes.fold(dashboard::router(), |router, (path, route)| router.route(path, route));
    // The guard has its own.
    router.layer(DefaultBodyLimit::disable())
}

async fn describe() -> Json<&'static Value> {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    Json(DOCUMENT.get_or_init(|| openapi(&endpoints())))
}

/// The metrics as text, with its media type.
struct Metrics(&'static str, String);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

impl IntoResponse for Metrics {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, self.0)], self.1).into_response()
    }
}

impl Answer for Metrics {
    fn describe(operation: &mut Operation<'_>) {
        let text = json!({ "type": "string" });
        operation.answer("200", "done", "application/openmetrics-text", &text);
        operation.answer("200", "done", "text/plain", &text);
    }
}

/// OpenMetrics, but for who asks for plain text and does not know it.
async fn metrics(State(view): State<Arc<View>>, headers: HeaderMap) -> Result<Metrics, Problem> {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let older = accept.contains("text/plain") && !accept.contains("application/openmetrics-text");
    off_runtime(move || {
        let text = view.render_metrics();
        Ok(if older { Metrics(CLASSIC, exposition::classic(&text)) } else { Metrics(OPENMETRICS, text) })
    })
    .await
}

async fn status(State(view): State<Arc<View>>) -> Result<Json<HostStatus>, Problem> {
    blocking(move || Ok(view.status())).await
}

async fn in_force(State(view): State<Arc<View>>) -> Result<Json<InForce>, Problem> {
    blocking(move || Ok(view.swapper.shown())).await
}

async fn steps(State(view): State<Arc<View>>) -> Result<Json<Vec<StepStatus>>, Problem> {
    blocking(move || Ok(view.swapper.steps())).await
}

async fn history(State(view): State<Arc<View>>) -> Json<Series> {
    Json(view.history.series())
}

/// What a story is told in.
#[derive(Debug, Serialize, JsonSchema)]
struct Explained {
    /// The event, others of the same id, and dead letters of it that were tried again.
    events: Vec<Story>,
}

async fn explain(State(view): State<Arc<View>>, Name(id): Name) -> Result<Json<Explained>, Problem> {
    blocking(move || {
        let Some(provenance) = &view.provenance else {
            let text = "host.provenance.enabled is false: what becomes of events is not kept";
            return Err(Problem::not_found(text));
        };
        Ok(Explained { events: provenance.stories(&id, &view.journal) })
    })
    .await
}

/// What a reload answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Reloaded {
    /// The generation in force.
    pub generation: u64,
    /// What is most likely not meant in the settings, where they were read again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

async fn reload(State(view): State<Arc<View>>) -> Result<Json<Reloaded>, Problem> {
    let reloaded = swapped(view.swapper.reload().await)?;
    blocking(move || Ok(Reloaded { warnings: view.swapper.warnings(), ..reloaded })).await
}

/// The generation in force, or why the candidate was refused.
pub(super) fn swapped(outcome: Result<u64, Refused>) -> Result<Reloaded, Problem> {
    outcome.map(|generation| Reloaded { generation, warnings: Vec::new() }).map_err(Problem::from)
}

/// Answers with what is worked out on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<Json<T>, Problem> {
    off_runtime(work).await.map(Json)
}

async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let title = "the host failed";
        Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", title, error.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_document_under_docs_is_that_of_the_types() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
        let text = format!("{:#}\n", openapi(&endpoints()));
        if std::env::var_os("STAGEWIRE_UPDATE_DOCS").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let there = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            there == text,
            "docs/openapi.json is out of date: run this test with STAGEWIRE_UPDATE_DOCS=1"
        );
    }

    #[test]
    fn every_endpoint_is_described_under_a_name_of_its_own() {
        let endpoints = endpoints();
        let document = openapi(&endpoints);
        let mut names = HashSet::new();
        for endpoint in &endpoints {
            let operation = &document["paths"][endpoint.path][endpoint.method.as_str().to_lowercase()];
            assert_eq!(operation["operationId"], endpoint.name);
            assert!(operation["responses"].is_object(), "{} answers nothing", endpoint.path);
            assert!(names.insert(endpoint.name), "two are called {}", endpoint.name);
        }
    }

    #[test]
    fn all_that_is_referred_to_is_there() {
        fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(map) => {
                    found.extend(map.get("$ref").and_then(Value::as_str));
                    map.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let document = openapi(&endpoints());
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
