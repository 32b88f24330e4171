//! Sample cases of a plugin: events, and what it makes of them. Authors run them as tests, hosts before a swap.
//!
//! ```yaml
//! settings: { remove: [text] }
//! cases:
//!   - name: the text goes
//!     event: { type: com.example.made, data: { text: hello, n: 1 } }
//!     expect: { events: [{ type: com.example.made, data: { n: 1 } }] }
//!   - event: { type: com.example.other }
//!     expect: keep
//! ```
//!
//! `expect` is `keep`, `drop`, `{ drop: REASON }`, `{ fails: REASON }` or `{ events: [...] }`; of a reason a part is enough.
//! Events are structured JSON; `specversion`, `id`, `source` and `type` are filled in where they are absent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Limits, Outcome, Passage, Plugin, Step};
use crate::config::units::Span;
use crate::event::Event;

/// The cases of one plugin, as their file has them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cases {
    /// The settings of cases that name none.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
    /// The cases, in order; those with the same settings share one instance, and its state.
    pub cases: Vec<Case>,
}

/// One event, and what the plugin is to make of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Settings of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Map<String, Value>>,
    /// The event.
    pub event: Map<String, Value>,
    /// What comes of it.
    #[serde(default)]
    pub expect: Value,
}

/// What became of one case.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// Its name, or its number.
    pub name: String,
    /// `keep`, `drop`, `events` or `fails`.
    pub verdict: &'static str,
    /// Whether that is what was expected.
    pub passed: bool,
    /// What was expected, as the file has it, with what is filled in.
    pub expected: Value,
    /// What came, in the same form.
    pub found: Value,
}

/// The longest that all cases of a plugin may take: a swap waits for them.
const LONGEST: Duration = Duration::from_secs(30);

impl Cases {
    /// Reads a file of cases.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn parse(yaml: &str) -> Result<Self, String> {
        let cases: Self = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        for (index, case) in cases.cases.iter().enumerate() {
            let at = |problem| format!("{}: {problem}", case.name(index));
            event_of(&case.event).map_err(at)?;
            expectation(&case.expect).map_err(at)?;
        }
        Ok(cases)
    }

    /// Runs every case.
    ///
    /// # Errors
    /// Settings that the plugin refuses, a plugin that does not start, or cases that take longer than a swap may wait.
    pub fn run(&self, plugin: &Arc<Plugin>) -> Result<Vec<Tried>, String> {
        self.run_within(LONGEST, plugin)
    }

    pub(super) fn run_within(&self, longest: Duration, plugin: &Arc<Plugin>) -> Result<Vec<Tried>, String> {
        let mut steps: Vec<(&Map<String, Value>, Step)> = Vec::new();
        let (mut tried, begun) = (Vec::new(), Instant::now());
        for (index, case) in self.cases.iter().enumerate() {
            let settings = case.settings.as_ref().unwrap_or(&self.settings);
            let known = steps.iter().position(|(known, _)| *known == settings);
            let at = |problem| format!("{}: {problem}", case.name(index));
            let step = if let Some(known) = known {
                &steps[known].1
            } else {
                &steps.push_mut((settings, step(plugin, settings).map_err(at)?)).1
            };
            tried.push(case.run(index, step).map_err(at)?);
            if begun.elapsed() > longest {
                let longest = Span(longest);
                return Err(at(format!("the cases take more than {longest} up to here")));
            }
        }
        Ok(tried)
    }

    /// Expects what was found.
    pub fn update(&mut self, tried: &[Tried]) {
        for (case, tried) in self.cases.iter_mut().zip(tried).filter(|(_, tried)| !tried.passed) {
            case.expect = tried.found.clone();
        }
    }
}

impl Case {
    fn name(&self, index: usize) -> String {
        self.name.clone().unwrap_or_else(|| format!("case {}", index + 1))
    }

    fn run(&self, index: usize, step: &Step) -> Result<Tried, String> {
        let event = event_of(&self.event)?;
        let expected = expectation(&self.expect)?;
        // Each case is an event of its own.
        let (verdict, found) = found(step.run(0, &event, Passage { identity: Some(index as u64), key: 0 }))?;
        let passed = agrees(&expected, &found);
        Ok(Tried { name: self.name(index), verdict, passed, expected, found })
    }
}

fn step(plugin: &Arc<Plugin>, settings: &Map<String, Value>) -> Result<Step, String> {
    let settings = Value::Object(settings.clone()).to_string();
    Step::alone("cases", plugin, settings, Limits::default()).map_err(|error| error.to_string())
}

/// A structured event with what it lacks filled in.
///
/// # Errors
/// Why it is none.
pub(crate) fn event_of(fields: &Map<String, Value>) -> Result<Event, String> {
    let mut whole = Map::new();
    for (name, value) in [("specversion", "1.0"), ("id", "1"), ("source", "/cases"), ("type", "case")] {
        whole.insert(name.into(), value.into());
    }
    whole.extend(fields.clone());
    let text = Value::Object(whole).to_string();
    crate::protocol::json::decode(&Bytes::from(text)).map_err(|error| format!("not an event: {error}"))
}

/// What is expected, with each event made whole.
fn expectation(expect: &Value) -> Result<Value, String> {
    let known =
        "write `expect: keep`, `drop`, `{ drop: REASON }`, `{ fails: REASON }` or `{ events: [...] }`";
    match expect {
        Value::String(word) if word == "keep" || word == "drop" => return Ok(expect.clone()),
        Value::Null => return Err(format!("nothing is expected; {known}")),
        Value::Object(one) if one.len() == 1 => match one.iter().next() {
            Some((key, Value::String(_))) if key == "drop" || key == "fails" => return Ok(expect.clone()),
            Some((key, Value::Array(events))) if key == "events" => {
                let whole = events.iter().map(|event| match event {
                    Value::Object(fields) => structured(&event_of(fields)?),
                    other => Err(format!("{other} is not an event")),
                });
                return Ok(json!({ "events": whole.collect::<Result<Vec<_>, _>>()? }));
            }
            _ => {}
        },
        _ => {}
    }
    Err(format!("cannot expect {expect}; {known}"))
}

fn found(outcome: Outcome) -> Result<(&'static str, Value), String> {
    Ok(match outcome {
        Outcome::Keep => ("keep", "keep".into()),
        Outcome::Drop(reason) => ("drop", json!({ "drop": reason })),
        Outcome::Failed(failed) => ("fails", json!({ "fails": failed.reason })),
        Outcome::Out(events) => {
            let events = events.iter().map(structured).collect::<Result<Vec<_>, _>>()?;
            ("events", json!({ "events": events }))
        }
    })
}

/// An event as the structured JSON that people write.
///
/// # Errors
/// A number in its data that JSON values of this host cannot hold.
pub(crate) fn structured(event: &Event) -> Result<Value, String> {
    let mut text = Vec::new();
    crate::protocol::json::encode(event, &mut text);
    serde_json::from_slice(&text).map_err(|error| error.to_string())
}

fn agrees(expected: &Value, found: &Value) -> bool {
    if expected == "drop" {
        return found.get("drop").is_some();
    }
    let part_of = |key: &str| {
        let part = expected.get(key)?.as_str()?;
        Some(found.get(key).and_then(Value::as_str).is_some_and(|reason| reason.contains(part)))
    };
    part_of("drop").or_else(|| part_of("fails")).unwrap_or_else(|| expected == found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_is_one_of_a_few() {
        let fault = |yaml: &str| Cases::parse(&format!("cases: [{{ {yaml} }}]")).unwrap_err();
        insta::assert_snapshot!(fault("event: {}"), @"case 1: nothing is expected; write `expect: keep`, `drop`, `{ drop: REASON }`, `{ fails: REASON }` or `{ events: [...] }`");
        insta::assert_snapshot!(fault("name: n, event: {}, expect: kep"), @r#"n: cannot expect "kep"; write `expect: keep`, `drop`, `{ drop: REASON }`, `{ fails: REASON }` or `{ events: [...] }`"#);
        insta::assert_snapshot!(fault("event: { id: 1 }, expect: keep"), @r#"case 1: not an event: invalid type: integer `1`, expected a string for attribute "id" (line 1, column 7)"#);
    }

    #[test]
    fn of_a_reason_a_part_is_enough_and_events_are_compared_whole() {
        let found = json!({ "drop": "type x is denied" });
        assert!(agrees(&"drop".into(), &found));
        assert!(agrees(&json!({ "drop": "denied" }), &found));
        assert!(!agrees(&json!({ "fails": "denied" }), &found));
        assert!(!agrees(&"keep".into(), &found));
        let event = |n: u32| expectation(&json!({ "events": [{ "data": { "n": n } }] })).unwrap();
        assert!(agrees(&event(1), &event(1)));
        assert!(!agrees(&event(1), &event(2)));
    }
}
