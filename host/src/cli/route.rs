//! `stagewire route list | test`

use std::path::PathBuf;

use clap::Subcommand;

use super::{Failure, Outcome, SettingsFile, read_event, say};
use crate::Event;
use crate::config::Settings;
use crate::host::{Trial, cache_directory, try_out, with_default_route};
use crate::plugins::Engine;
use crate::router::Condition;

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

fn test(settings: &Settings, event: &Event, json: bool) -> Outcome {
    let engine = Engine::new(Some(&cache_directory(settings)))?;
    let trials = try_out(&engine, settings, event).map_err(|problems| Failure::Usage(problems.join("\n")))?;
    if json {
        return say(serde_json::to_string(&trials)?);
    }
    trials.iter().try_for_each(show)
}

fn show(trial: &Trial) -> Outcome {
    match (&trial.decided_by, &trial.passed_over) {
        (Some(part), _) => return say(format_args!("{}: no, because not {part}", trial.route)),
        (None, Some(why)) => return say(format_args!("{}: no; {why}", trial.route)),
        (None, None) => say(format_args!("{}: matches", trial.route))?,
    }
    if trial.left_out {
        return say("  left out: it is not of the route's sample");
    }
    for step in &trial.steps {
        say(format_args!("  {}: {}", step.plugin, step.verdict))?;
    }
    for event in &trial.events {
        say(format_args!("  → {}: {event}", trial.deliver.join(", ")))?;
    }
    Ok(())
}
