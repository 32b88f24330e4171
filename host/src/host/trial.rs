//! What each rule would do with an event, step by step, without delivering it and without leaving a trace.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::candidate::{Candidate, Workshop};
use super::lanes;
use crate::Event;
use crate::backends::Target;
use crate::config::{self, Settings, settings};
use crate::names::BackendName;
use crate::pipeline::Thinning;
use crate::plugins::{Engine, Outcome, Passage, Step, structured};
use crate::protocol::json;
use crate::router::{Part, Rule, Table, View};

/// What one route would do.
#[derive(Debug, Serialize, schemars::JsonSchema)]
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
    /// The smallest parts of the rule that decided, for or against.
    pub because: Vec<Part>,
    /// The steps that were taken.
    pub steps: Vec<StepTrial>,
    /// Where it would be delivered.
    pub deliver: Vec<String>,
    /// What would be delivered, structured.
    #[schemars(with = "Vec<serde_json::Value>")]
    pub events: Vec<Box<RawValue>>,
    /// Each event at each target.
    pub deliveries: Vec<Delivery>,
}

/// What one step would do with one event.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct StepTrial {
    /// The plugin.
    pub plugin: String,
    /// In words.
    pub verdict: String,
    /// What it does with the event.
    pub deed: Deed,
    /// Why, where it drops the event or fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The event before it and what came out, where that is something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// What a step does with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// It lets it pass as it is.
    Keep,
    /// It drops it.
    Drop,
    /// It hands out something else.
    Change,
    /// It cannot process it; `on_error` decides.
    Fail,
}

/// An event as it came to a step, and what came out, structured.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Change {
    /// As it came.
    pub from: Value,
    /// What came out.
    pub to: Vec<Value>,
}

/// One event on its way out.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Delivery {
    /// Which of [`Trial::events`].
    pub event: usize,
    /// The backend.
    pub backend: String,
    /// Where that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Where the event is put there, in the broker's own terms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Why it cannot be put there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A route, ready to be taken.
struct Way {
    route: settings::Route,
    rule: Rule,
    steps: Vec<Arc<Step>>,
    thinning: Thinning,
}

/// Rules to try events on, with fresh instances, state that is theirs alone, and backends that are not connected.
pub struct Trials {
    table: Table,
    routes: Vec<Way>,
    targets: BTreeMap<BackendName, Result<Vec<Target>, String>>,
}

impl Trials {
    /// Loads plugins and reads the backends' settings. Blocks.
    ///
    /// # Errors
    /// Every plugin and step that does not start.
    pub fn new(engine: &Arc<Engine>, settings: &Settings) -> Result<Self, Vec<String>> {
        let workshop = Workshop::for_trial(Arc::clone(engine));
        let Candidate { steps, thinning, .. } = workshop.prepare(settings)?;
        let way = |(route, (steps, thinning)): (&settings::Route, _)| Way {
            route: route.clone(),
            rule: Rule::from(route),
            steps,
            thinning,
        };
        let opened = |spec: config::BackendSpec| {
            let targets = lanes::open(&spec, &settings.host.data);
            (spec.name, targets)
        };
        Ok(Self {
            table: Table::new(settings.routes.iter().map(Rule::from), Counter::default()),
            routes: settings.routes.iter().zip(steps.into_iter().zip(thinning)).map(way).collect(),
            targets: config::backends(settings).into_iter().map(opened).collect(),
        })
    }

    /// Tries an event on every route, as if it were accepted then, Unix milliseconds. Steps with state keep it for the next
    /// event.
    ///
    /// # Errors
    /// What came out cannot be written as JSON.
    pub fn of(&self, event: &Event, at_ms: u64) -> Result<Vec<Trial>, String> {
        let taken: Vec<usize> = self.table.matches(event, at_ms).collect();
        (0..self.routes.len()).map(|index| self.go(index, event, at_ms, &taken)).collect()
    }

    fn go(&self, index: usize, event: &Event, at_ms: u64, taken: &[usize]) -> Result<Trial, String> {
        let Way { route, rule, steps, thinning } = &self.routes[index];
        let (matched, view) = (taken.contains(&index), View::new(event));
        let (holds, because) = (rule.condition.holds(&view), rule.condition.deciding(&view));
        let mut trial = Trial {
            route: route.name.to_string(),
            matched,
            decided_by: because.first().filter(|_| !holds).map(|part| part.part.clone()),
            passed_over: (holds && !matched).then(|| self.passed_over(rule, at_ms, taken)),
            left_out: matched && thinning.is_out_of_sample(event),
            because,
            steps: Vec::new(),
            deliver: Vec::new(),
            events: Vec::new(),
            deliveries: Vec::new(),
        };
        if !trial.matched || trial.left_out {
            return Ok(trial);
        }
        let mut events = vec![event.clone()];
        for step in steps {
            let mut next = Vec::new();
            for event in events {
                let (taken, mut out) = take(step, event)?;
                trial.steps.push(taken);
                next.append(&mut out);
            }
            events = next;
        }
        if !events.is_empty() {
            trial.deliver = route.deliver.iter().map(ToString::to_string).collect();
        }
        for (index, event) in events.iter().enumerate() {
            trial
                .deliveries
                .extend(route.deliver.iter().flat_map(|name| self.deliveries(name, index, event)));
            let mut text = Vec::new();
            json::encode(event, &mut text);
            trial.events.push(serde_json::from_slice(&text).map_err(no_json)?);
        }
        Ok(trial)
    }

    /// Why a route whose conditions hold does not take the event.
    fn passed_over(&self, rule: &Rule, at_ms: u64, taken: &[usize]) -> String {
        if !rule.times.contain(at_ms) {
            return "times: it takes no events then".into();
        }
        let mut taken = taken.iter().map(|index| &self.routes[*index].route);
        if let Some(other) = taken.clone().find(|route| rule.otherwise && !route.otherwise) {
            return format!("otherwise: route {} takes it", other.name);
        }
        let stop = taken.find(|route| route.stop).map_or("another", |route| route.name.as_str());
        format!("stop: route {stop} takes it, and none after that")
    }

    fn deliveries(&self, name: &BackendName, index: usize, event: &Event) -> Vec<Delivery> {
        let unknown = |problem: Option<&String>| Delivery {
            event: index,
            backend: name.to_string(),
            address: None,
            place: None,
            problem: problem.cloned(),
        };
        let targets = match self.targets.get(name) {
            Some(Ok(targets)) => targets,
            Some(Err(problem)) => return vec![unknown(Some(problem))],
            None => return vec![unknown(None)],
        };
        let delivery = |target: &Target| {
            let place = target.backend.place(event);
            Delivery {
                event: index,
                backend: target.name.to_string(),
                address: Some(target.address.clone()),
                problem: place.as_ref().err().cloned(),
                place: place.ok().flatten(),
            }
        };
        targets.iter().map(delivery).collect()
    }
}

fn no_json(error: impl std::fmt::Display) -> String {
    format!("cannot write what came out as JSON: {error}")
}

fn take(step: &Step, event: Event) -> Result<(StepTrial, Vec<Event>), String> {
    let plugin = step.spec().plugin.name.to_string();
    let quiet = |deed, verdict: String, reason| StepTrial {
        plugin: plugin.clone(),
        verdict,
        deed,
        reason,
        change: None,
    };
    Ok(match step.run(0, &event, Passage::default()) {
        Outcome::Keep => (quiet(Deed::Keep, "keep".into(), None), vec![event]),
        Outcome::Drop(reason) => (quiet(Deed::Drop, format!("drop: {reason}"), Some(reason)), Vec::new()),
        Outcome::Out(events) => {
            let to = events.iter().map(structured).collect::<Result<_, _>>().map_err(no_json)?;
            let change = Some(Change { from: structured(&event).map_err(no_json)?, to });
            let verdict = format!("{} event(s) out", events.len());
            (StepTrial { change, ..quiet(Deed::Change, verdict, None) }, events)
        }
        Outcome::Failed(failed) => {
            let on_error = step.spec().on_error;
            let passed = on_error == settings::OnError::Pass;
            let verdict = format!("failed: {} (on_error: {on_error:?})", failed.reason);
            let out = if passed { vec![event] } else { Vec::new() };
            (quiet(Deed::Fail, verdict, Some(failed.reason)), out)
        }
    })
}
