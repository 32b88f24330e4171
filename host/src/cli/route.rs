//! `stagewire route list | test`

use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;
use serde::Serialize;

use super::{Failure, Outcome, SettingsFile, read_event, say};
use crate::Event;
use crate::config::Settings;
use crate::host::{Workshop, cache_directory, with_default_route};
use crate::plugins::{Engine, Outcome as Verdict, Step};
use crate::protocol::json;
use crate::router::Condition;
use crate::telemetry::Metrics;

/// List the routes, or try an event against them
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stagewire route list\n  stagewire route test --event events/sample.json"
)]
pub(super) struct Route {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show each route: what it matches, its steps, where it delivers
    List {
        #[command(flatten)]
        file: SettingsFile,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what each route would do with an event, step by step, without delivering
    #[command(after_help = "Example:\n  stagewire route test --event events/sample.json")]
    Test {
        #[command(flatten)]
        file: SettingsFile,
        /// The event as structured JSON; `-` is standard input
        #[arg(long, value_name = "FILE", default_value = "-")]
        event: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Route {
    pub(super) fn run(self) -> Outcome {
        match self.action {
            Action::List { file, json } => list(&with_default_route(&file.load()?), json),
            Action::Test { file, event, json } => {
                test(&with_default_route(&file.load()?), &read_event(&event)?, json)
            }
        }
    }
}

fn list(settings: &Settings, json: bool) -> Outcome {
    if json {
        return say(serde_json::to_string(&settings.routes)?);
    }
    for route in &settings.routes {
        let steps: Vec<_> = route.steps.iter().map(|step| step.plugin.as_str()).collect();
        let backends: Vec<_> = route.deliver.iter().map(ToString::to_string).collect();
        say(format_args!("{}\n  match    {}", route.name, Condition::all_of(&route.matches)))?;
        say(format_args!("  steps    {}\n  deliver  {}", steps.join(" → "), backends.join(", ")))?;
    }
    Ok(())
}

/// What one route would do.
#[derive(Serialize)]
struct Trial {
    route: String,
    matched: bool,
    /// The part of the rule that decided against the event.
    decided_by: Option<String>,
    steps: Vec<StepTrial>,
    deliver: Vec<String>,
    /// What would be delivered, structured.
    events: Vec<Box<serde_json::value::RawValue>>,
}

#[derive(Serialize)]
struct StepTrial {
    plugin: String,
    verdict: String,
}

fn test(settings: &Settings, event: &Event, json: bool) -> Outcome {
    let engine = Engine::new(Some(&cache_directory(settings)))?;
    let workshop = Workshop::new(engine, Arc::new(Metrics::new()), 1);
    let candidate = workshop.prepare(settings).map_err(|problems| Failure::Usage(problems.join("\n")))?;
    let routes = settings.routes.iter().zip(&candidate.steps);
    let trials = routes.map(|(route, steps)| trial(route, steps, event)).collect::<Result<Vec<_>, _>>()?;
    if json {
        return say(serde_json::to_string(&trials)?);
    }
    trials.iter().try_for_each(show)
}

fn trial(
    route: &crate::config::settings::Route,
    steps: &[Arc<Step>],
    event: &Event,
) -> Result<Trial, Failure> {
    let condition = Condition::all_of(&route.matches);
    let refusal = condition.refusal(event).map(ToString::to_string);
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
    match step.run(0, &event) {
        Verdict::Keep => ("keep".into(), vec![event]),
        Verdict::Drop(reason) => (format!("drop: {reason}"), Vec::new()),
        Verdict::Out(events) => (format!("{} event(s) out", events.len()), events),
        Verdict::Failed(failed) => {
            let passed = step.spec().on_error == crate::config::settings::OnError::Pass;
            (
                format!("failed: {} (on_error: {:?})", failed.reason, step.spec().on_error),
                if passed { vec![event] } else { Vec::new() },
            )
        }
    }
}

fn show(trial: &Trial) -> Outcome {
    match &trial.decided_by {
        Some(part) => return say(format_args!("{}: no, because not {part}", trial.route)),
        None => say(format_args!("{}: matches", trial.route))?,
    }
    for step in &trial.steps {
        say(format_args!("  {}: {}", step.plugin, step.verdict))?;
    }
    for event in &trial.events {
        say(format_args!("  → {}: {event}", trial.deliver.join(", ")))?;
    }
    Ok(())
}
