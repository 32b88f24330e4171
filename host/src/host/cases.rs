//! Sample cases of rules: events, and what becomes of them. Users keep them beside their rules, and run them in their CI.
//!
//! ```yaml
//! cases:
//!   - name: a processed document goes on without its text
//!     event: { type: document.processed, subject: document/1, data: { text: hello, n: 1 } }
//!     expect:
//!       routes: [processed]
//!       delivered: { redis_streams: [{ data: { n: 1 } }] }
//!   - file: ../events/started.json
//!     expect: { routes: [], dropped: {} }
//! ```
//!
//! What is not expected of a case is not looked at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::trial::{Deed, Trial, Trials};
use crate::Event;
use crate::config::settings::document_type;
use crate::config::{self, Document, Faults, Settings, nearest};
use crate::journal::now_ms;
use crate::names::{BackendName, RouteName};
use crate::plugins::event_of;
use crate::protocol::json::decode;

/// A file of cases.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteCases {
    /// In this order on the same rules: steps with state keep it from one to the next.
    pub cases: Vec<RouteCase>,
}

/// One event, and what becomes of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteCase {
    /// What it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The event, structured; `specversion`, `id`, `source` and `type` are filled in where they are absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Map<String, Value>>,
    /// The file of the event, as structured JSON, beside the file of cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// When it is accepted, for routes with `times`: 2025-12-14T12:00:00Z. Now where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What becomes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expected>,
}

/// What becomes of an event. What is absent is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expected {
    /// The routes that take it, in their order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<RouteName>>,
    /// The routes on which a step drops it, each with a part of the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<BTreeMap<RouteName, String>>,
    /// The routes on which a step fails on it, each with a part of the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<BTreeMap<RouteName, String>>,
    /// What each of these backends gets, in order: of an event, and of objects in it, a part is enough. `[]` is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<BTreeMap<BackendName, Vec<Map<String, Value>>>>,
    /// Where each of these backends puts what it gets, in the broker's own terms: `subject nlp.document.processed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub places: Option<BTreeMap<BackendName, Vec<String>>>,
}

/// What became of one case.
#[derive(Clone, Debug, Serialize)]
pub struct TriedCase {
    /// Its name, or its number.
    pub name: String,
    /// Whether that is what was expected.
    pub passed: bool,
    /// What was expected.
    pub expected: Value,
    /// What came, as far as it was looked at.
    pub found: Value,
    /// All that came, for `--update`.
    #[serde(skip)]
    whole: Expected,
}

impl RouteCases {
    /// Reads a file of cases, and holds its names against the rules.
    ///
    /// # Errors
    /// Everything that is wrong with it, with the lines.
    pub fn read(path: &Path, settings: &Settings) -> Result<Self, Faults> {
        let mut document = Document::<Self>::read(path)?;
        let backends = config::backends(settings);
        let routes: Vec<&str> = settings.routes.iter().map(|route| route.name.as_str()).collect();
        let backends: Vec<&str> = backends.iter().map(|spec| spec.name.as_str()).collect();
        let cases = document.value.cases.clone();
        for (index, case) in cases.iter().enumerate() {
            let number = index.to_string();
            if let Err((key, problem, help)) = case.event(path) {
                document.fault(&["cases", &number, key], problem, help);
            }
            if let Err(problem) = case.at_ms() {
                document.fault(&["cases", &number, "at"], problem, "write it like 2025-12-14T12:00:00Z");
            }
            let expected = case.expect.clone().unwrap_or_default();
            for (key, what, name) in expected.names() {
                let known = if what == "route" { &routes } else { &backends };
                if known.contains(&name.as_str()) {
                    continue;
                }
                let near =
                    nearest(&name, known).map(|near| format!("did you mean {near:?}? ")).unwrap_or_default();
                let help = format!("{near}known: {}", known.join(", "));
                document.fault(
                    &["cases", &number, "expect", key, &name],
                    format!("there is no {what} {name:?}"),
                    help,
                );
            }
        }
        document.into_value()
    }

    /// Runs every case.
    ///
    /// # Errors
    /// An event that has gone since the file was read, or what came out cannot be written as JSON.
    pub fn run(&self, path: &Path, trials: &Trials) -> Result<Vec<TriedCase>, String> {
        let tried = |(index, case): (usize, &RouteCase)| case.run(index, path, trials);
        self.cases.iter().enumerate().map(tried).collect()
    }

    /// Expects what came, of the cases that fail, and of those that expect nothing yet.
    pub fn update(&mut self, tried: &[TriedCase]) {
        for (case, tried) in self.cases.iter_mut().zip(tried) {
            match &mut case.expect {
                None => case.expect = Some(tried.whole.clone()),
                Some(_) if tried.passed => {}
                Some(expected) => expected.update(&tried.whole),
            }
        }
    }
}

impl RouteCase {
    /// The event, or the key that it fails at, why, and what to write.
    fn event(&self, path: &Path) -> Result<Event, (&'static str, String, &'static str)> {
        let not_one = "write event: { type: …, data: … }, or file: event.json";
        match (&self.event, &self.file) {
            (Some(fields), None) => {
                let mut fields = fields.clone();
                // As in rules, a short form means the document's type.
                let short = fields.get("type").and_then(Value::as_str).and_then(document_type);
                if let Some(kind) = short {
                    fields.insert("type".into(), kind.into());
                }
                event_of(&fields).map_err(|problem| ("event", problem, "write it as structured JSON"))
            }
            (None, Some(file)) => {
                let file = path.parent().unwrap_or(Path::new("")).join(file);
                let bytes = std::fs::read(&file).map_err(|error| {
                    ("file", format!("cannot read {}: {error}", file.display()), "paths count from this file")
                })?;
                decode(&bytes.into()).map_err(|error| {
                    ("file", format!("{}: {error}", file.display()), "write it as structured JSON")
                })
            }
            (None, None) => Err(("", "the case has no event".into(), not_one)),
            (Some(_), Some(_)) => Err(("file", "both event and file are given".into(), "keep one of them")),
        }
    }

    fn at_ms(&self) -> Result<u64, String> {
        let Some(at) = &self.at else { return Ok(now_ms()) };
        at.parse().map(milliseconds).map_err(|error| format!("{at:?} is no time: {error}"))
    }

    fn run(&self, index: usize, path: &Path, trials: &Trials) -> Result<TriedCase, String> {
        let name = self.name.clone().unwrap_or_else(|| format!("case {}", index + 1));
        let event = self.event(path).map_err(|(_, problem, _)| format!("{name}: {problem}"))?;
        let whole = Expected::of(&trials.of(&event, self.at_ms()?)?);
        let expected = json!(self.expect.clone().unwrap_or_default());
        let found = seen_as(&expected, &json!(whole), &[]);
        Ok(TriedCase { name, passed: self.expect.is_some() && expected == found, expected, found, whole })
    }
}

/// Since the beginning of 1970, and not before that.
pub fn milliseconds(at: jiff::Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or_default()
}

impl Expected {
    /// What came of a trial, all of it.
    fn of(trials: &[Trial]) -> Self {
        let taken = || trials.iter().filter(|trial| trial.matched && !trial.left_out);
        let reasons = |deed: Deed| {
            let reason = |trial: &Trial| {
                let step = trial.steps.iter().find(|step| step.deed == deed)?;
                Some((RouteName::from(trial.route.as_str()), step.reason.clone().unwrap_or_default()))
            };
            Some(taken().filter_map(reason).collect())
        };
        let (mut delivered, mut places) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        for trial in taken() {
            for backend in &trial.deliver {
                let events = trial.events.iter().filter_map(|event| serde_json::from_str(event.get()).ok());
                delivered.entry(BackendName::from(backend.as_str())).or_default().extend(events);
            }
            for delivery in &trial.deliveries {
                let place = delivery.problem.as_ref().map(|problem| format!("nowhere: {problem}"));
                let place = place.or_else(|| delivery.place.clone()).or_else(|| delivery.address.clone());
                // A receiver of several (`stage3[1]`) counts for its backend.
                let backend = delivery.backend.split('[').next().unwrap_or_default();
                places.entry(BackendName::from(backend)).or_default().push(place.unwrap_or_default());
            }
        }
        Self {
            routes: Some(taken().map(|trial| trial.route.as_str().into()).collect()),
            dropped: reasons(Deed::Drop),
            failed: reasons(Deed::Fail),
            delivered: Some(delivered),
            places: Some(places),
        }
    }

    /// Every name in it: the key that it stands under, whether it is a route's or a backend's, and the name.
    fn names(&self) -> Vec<(&'static str, &'static str, String)> {
        let mut names = Vec::new();
        let mut note = |key, what, name: &dyn ToString| names.push((key, what, name.to_string()));
        self.routes.iter().flatten().for_each(|name| note("routes", "route", name));
        self.dropped.iter().flat_map(BTreeMap::keys).for_each(|name| note("dropped", "route", name));
        self.failed.iter().flat_map(BTreeMap::keys).for_each(|name| note("failed", "route", name));
        self.delivered.iter().flat_map(BTreeMap::keys).for_each(|name| note("delivered", "backend", name));
        self.places.iter().flat_map(BTreeMap::keys).for_each(|name| note("places", "backend", name));
        names
    }

    /// Takes over what came, under the keys that it has.
    fn update(&mut self, whole: &Self) {
        fn take<T: Clone>(expected: &mut Option<T>, came: Option<&T>) {
            if expected.is_some() {
                *expected = came.cloned();
            }
        }
        type ByBackend<T> = BTreeMap<BackendName, T>;
        fn take_of<T: Clone + Default>(expected: &mut Option<ByBackend<T>>, came: Option<&ByBackend<T>>) {
            for (backend, expected) in expected.iter_mut().flatten() {
                *expected = came.and_then(|came| came.get(backend)).cloned().unwrap_or_default();
            }
        }
        take(&mut self.routes, whole.routes.as_ref());
        take(&mut self.dropped, whole.dropped.as_ref());
        take(&mut self.failed, whole.failed.as_ref());
        take_of(&mut self.delivered, whole.delivered.as_ref());
        take_of(&mut self.places, whole.places.as_ref());
    }
}

/// What came, as far as the expectation looks at it: equal to that where it is met.
fn seen_as(expected: &Value, found: &Value, path: &[&str]) -> Value {
    match (expected, found) {
        // Reasons: a part is enough, and every route must be named.
        (Value::String(part), Value::String(reason)) if matches!(path, ["dropped" | "failed", _]) => {
            if reason.contains(part) { expected.clone() } else { found.clone() }
        }
        (Value::Object(expected), Value::Object(found)) => {
            let all = matches!(path, ["dropped" | "failed"]);
            let mut seen: Map<String, Value> = if all { found.clone() } else { Map::new() };
            for (key, expected) in expected {
                let path: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
                // A backend that gets nothing is not in what was found.
                let nothing = matches!(*path, ["delivered" | "places", _]).then(|| json!([]));
                if let Some(found) = found.get(key).or(nothing.as_ref()) {
                    seen.insert(key.clone(), seen_as(expected, found, &path));
                }
            }
            Value::Object(seen)
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            let path: Vec<&str> = path.iter().copied().chain([""]).collect();
            expected.iter().zip(found).map(|(expected, found)| seen_as(expected, found, &path)).collect()
        }
        _ => found.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cases_on_the_routing_page_are_cases() {
        let page = include_str!("../../../docs/routing.md");
        let block = page.split("```yaml\n").find(|rest| rest.starts_with("cases:")).unwrap();
        let block = block.split("```").next().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cases.yaml");
        std::fs::write(&file, block).unwrap();
        let cases = Document::<RouteCases>::read(&file).unwrap_or_else(|faults| panic!("{faults}")).value;
        let expected = cases.cases[0].expect.as_ref().unwrap();
        assert_eq!(expected.routes, Some(vec!["processed".into()]));
        assert!(cases.cases[1].file.is_some());
    }

    #[test]
    fn of_an_event_and_of_a_reason_a_part_is_enough() {
        let seen = |expected: Value, found: Value| seen_as(&expected, &found, &[]) == expected;
        let events = |events: Value| json!({ "delivered": { "local": events } });
        let found = events(json!([{ "type": "a", "data": { "n": 1, "list": [{ "x": 1, "y": 2 }] } }]));
        assert!(seen(events(json!([{ "type": "a" }])), found.clone()));
        assert!(seen(events(json!([{ "data": { "list": [{ "x": 1 }] } }])), found.clone()));
        assert!(!seen(events(json!([{ "data": { "list": [] } }])), found.clone()));
        assert!(!seen(events(json!([{ "data": { "m": null } }])), found.clone()));
        assert!(!seen(events(json!([])), found.clone()), "it expects nothing there");
        assert!(seen(json!({ "delivered": { "webhook": [] } }), found.clone()));
        assert!(!seen(json!({ "delivered": { "webhook": [{}] } }), found));
        let found = json!({ "dropped": { "r": "type x is denied", "s": "too old" } });
        assert!(seen(json!({ "dropped": { "r": "denied", "s": "old" } }), found.clone()));
        assert!(!seen(json!({ "dropped": { "r": "denied" } }), found.clone()), "s drops it too");
        assert!(!seen(json!({ "dropped": { "r": "kept", "s": "" } }), found.clone()));
        assert!(!seen(json!({ "dropped": {} }), found.clone()));
        assert!(seen(json!({ "routes": ["r"] }), json!({ "routes": ["r"] })));
        assert!(!seen(json!({ "routes": ["r"] }), json!({ "routes": ["r", "s"] })));
    }
}
