//! What each rule would do with an event, step by step, without delivering it and without leaving a trace.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::candidate::Workshop;
use crate::Event;
use crate::config::{Settings, settings};
use crate::plugins::{Buckets, Engine, Outcome, Passage, Step};
use crate::protocol::json;
use crate::router::{Condition, View};
use crate::telemetry::Metrics;

/// What one route would do.
#[derive(Debug, Serialize)]
pub struct Trial {
    /// The route.
    pub route: String,
    /// Whether it takes the event.
    pub matched: bool,
    /// The part of the rule that decided against the event.
    pub decided_by: Option<String>,
    /// The steps that were taken.
    pub steps: Vec<StepTrial>,
    /// Where it would be delivered.
    pub deliver: Vec<String>,
    /// What would be delivered, structured.
    pub events: Vec<Box<RawValue>>,
}

/// What one step would do.
#[derive(Debug, Serialize)]
pub struct StepTrial {
    /// The plugin.
    pub plugin: String,
    /// In words.
    pub verdict: String,
}

/// Tries an event on every route, with fresh instances that have no state. Blocks.
///
/// # Errors
/// Every plugin and step that does not start.
pub fn try_out(engine: &Arc<Engine>, settings: &Settings, event: &Event) -> Result<Vec<Trial>, Vec<String>> {
    let workshop = Workshop::new(Arc::clone(engine), Arc::new(Metrics::new()), Buckets::in_memory(), 1);
    let candidate = workshop.prepare(settings)?;
    let routes = settings.routes.iter().zip(&candidate.steps);
    routes
        .map(|(route, steps)| trial(route, steps, event))
        .collect::<Result<_, _>>()
        .map_err(|error| vec![format!("cannot write what came out as JSON: {error}")])
}

fn trial(route: &settings::Route, steps: &[Arc<Step>], event: &Event) -> Result<Trial, serde_json::Error> {
    let condition = Condition::all_of(&route.matches);
    let refusal = condition.refusal(&View::new(event)).map(ToString::to_string);
    let mut trial = Trial {
        route: route.name.to_string(),
        matched: refusal.is_none(),
        decided_by: refusal,
        steps: Vec::new(),
        deliver: Vec::new(),
        events: Vec::new(),
    };
    if !trial.matched {
        return Ok(trial);
    }
    let mut events = vec![event.clone()];
    for step in steps {
        let mut next = Vec::new();
        for event in events {
            let (verdict, mut out) = take(step, event);
            trial.steps.push(StepTrial { plugin: step.spec().plugin.name.to_string(), verdict });
            next.append(&mut out);
        }
        events = next;
    }
    if !events.is_empty() {
        trial.deliver = route.deliver.iter().map(ToString::to_string).collect();
    }
    for event in events {
        let mut text = Vec::new();
        json::encode(&event, &mut text);
        trial.events.push(serde_json::from_slice(&text)?);
    }
    Ok(trial)
}

fn take(step: &Step, event: Event) -> (String, Vec<Event>) {
    match step.run(0, &event, Passage::default()) {
        Outcome::Keep => ("keep".into(), vec![event]),
        Outcome::Drop(reason) => (format!("drop: {reason}"), Vec::new()),
        Outcome::Out(events) => (format!("{} event(s) out", events.len()), events),
        Outcome::Failed(failed) => {
            let on_error = step.spec().on_error;
            let passed = on_error == settings::OnError::Pass;
            let verdict = format!("failed: {} (on_error: {on_error:?})", failed.reason);
            (verdict, if passed { vec![event] } else { Vec::new() })
        }
    }
}
