//! What each rule would do with an event, step by step, without delivering it and without leaving a trace.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use serde_json::value::RawValue;

use super::candidate::Workshop;
use crate::Event;
use crate::config::{Settings, settings};
use crate::journal::now_ms;
use crate::plugins::{Buckets, Engine, Outcome, Passage, Step};
use crate::protocol::json;
use crate::router::{Rule, Table, View};
use crate::telemetry::Metrics;

/// What one route would do.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
pub struct Trial {
    /// The route.
    pub route: String,
    /// Whether it takes the event.
    pub matched: bool,
    /// The part of the rule that decided against the event.
    pub decided_by: Option<String>,
    /// Why the route was passed over though its rule holds: another route, or the time.
    pub passed_over: Option<String>,
    /// Whether it is left out all the same: not of the route's `sample`.
    pub left_out: bool,
    /// The steps that were taken.
    pub steps: Vec<StepTrial>,
    /// Where it would be delivered.
    pub deliver: Vec<String>,
    /// What would be delivered, structured.
    #[schemars(with = "Vec<serde_json::Value>")]
    pub events: Vec<Box<RawValue>>,
}

/// What one step would do.
#[derive(Debug, Serialize, schemars::JsonSchema)]
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
pub fn try_out(engine: &Arc<Engine>, settings: &Settings, event: &Event) -> Tried {
    trials(engine, settings)?(event)
}

/// What each route would do, or why it cannot be said.
type Tried = Result<Vec<Trial>, Vec<String>>;

/// Prepares the routes once, to try many events. Blocks.
pub(super) fn trials<'a>(
    engine: &Arc<Engine>,
    settings: &'a Settings,
) -> Result<impl Fn(&Event) -> Tried + 'a, Vec<String>> {
    let workshop = Workshop::new(Arc::clone(engine), Arc::new(Metrics::new()), Buckets::in_memory(), 1);
    let candidate = workshop.prepare(settings)?;
    Ok(move |event: &Event| {
        let ways = Ways::new(&settings.routes, event);
        let routes = settings.routes.iter().enumerate().zip(candidate.steps.iter().zip(&candidate.thinning));
        routes
            .map(|((index, route), (steps, thinning))| {
                let left_out = thinning.is_out_of_sample(event);
                let mut trial = Trial { route: route.name.to_string(), ..Trial::default() };
                ways.decide(index, &mut trial);
                trial.left_out = trial.matched && left_out;
                go(trial, route, steps, event)
            })
            .collect::<Result<_, _>>()
            .map_err(|error| vec![format!("cannot write what came out as JSON: {error}")])
    })
}

/// The routes that an event would take now.
struct Ways<'a> {
    routes: &'a [settings::Route],
    event: &'a Event,
    at_ms: u64,
    taken: Vec<usize>,
}

impl<'a> Ways<'a> {
    fn new(routes: &'a [settings::Route], event: &'a Event) -> Self {
        let at_ms = now_ms();
        let table = Table::new(routes.iter().map(Rule::from), Counter::default());
        let taken = table.matches(event, at_ms).collect();
        Self { routes, event, at_ms, taken }
    }

    /// Whether the event takes that route, and what decides against it.
    fn decide(&self, index: usize, trial: &mut Trial) {
        trial.matched = self.taken.contains(&index);
        if !trial.matched {
            let rule = Rule::from(&self.routes[index]);
            let refusal = rule.condition.refusal(&View::new(self.event));
            trial.decided_by = refusal.map(ToString::to_string);
            trial.passed_over = refusal.is_none().then(|| self.passed_over(&rule));
        }
    }

    fn passed_over(&self, rule: &Rule) -> String {
        if !rule.times.contain(self.at_ms) {
            return "times: it takes no events now".into();
        }
        let mut taken = self.taken.iter().map(|index| &self.routes[*index]);
        if let Some(other) = taken.clone().find(|route| rule.otherwise && !route.otherwise) {
            return format!("otherwise: route {} takes it", other.name);
        }
        let stop = taken.find(|route| route.stop).map_or("another", |route| route.name.as_str());
        format!("stop: route {stop} takes it, and none after that")
    }
}

fn go(
    mut trial: Trial,
    route: &settings::Route,
    steps: &[Arc<Step>],
    event: &Event,
) -> Result<Trial, serde_json::Error> {
    if !trial.matched || trial.left_out {
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
