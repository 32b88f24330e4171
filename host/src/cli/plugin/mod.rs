//! `stagewire plugin …`: the life of a plugin, one file for each command.

mod bench;
mod build;
mod check;
mod encode;
mod inspect;
mod languages;
mod list;
mod new;
mod registry;
mod test;
mod versions;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, Outcome};
use crate::names::PluginName;
use crate::plugins::{Engine, Plugin as Loaded};
use crate::registry::Image;

/// Begin, build, check, test, measure, publish, inspect and list plugins
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stagewire plugin new my-filter --lang python --kind filter\n  stagewire plugin build my-filter\n  stagewire plugin list\n  stagewire plugin inspect plugins/redact.wasm\n  stagewire plugin check plugins/redact.wasm"
)]
pub(super) struct Plugin {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists the plugins of a directory, or all that a settings file has
    #[command(
        after_help = "Examples:\n  stagewire plugin list plugins/ --json\n  stagewire plugin list --config config/settings.yaml"
    )]
    List {
        /// Where the .wasm files are
        #[arg(default_value = "plugins")]
        directory: PathBuf,
        /// The plugins of this settings file, with those that it pulls from registries
        #[arg(long, short, value_name = "FILE", conflicts_with = "directory")]
        config: Option<PathBuf>,
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
    /// Shows what a plugin is, what it imports, and which settings it takes
    #[command(
        after_help = "Examples:\n  stagewire plugin inspect plugins/redact.wasm\n  stagewire plugin inspect registry.example.com/team/redact:1.2"
    )]
    Inspect {
        #[command(flatten)]
        subject: registry::Subject,
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
    /// Checks whether the host would take a plugin, with these settings
    #[command(
        after_help = "Example:\n  stagewire plugin check redact.wasm --settings '{\"remove\":[\"text\"]}'"
    )]
    Check {
        #[command(flatten)]
        subject: registry::Subject,
        /// The step's settings as JSON; without them only the file is checked
        #[arg(long, value_name = "JSON")]
        settings: Option<String>,
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
    New(new::New),
    /// Builds a plugin in any of the languages, by their own tools; prints the file that it made
    #[command(after_help = "Example:\n  stagewire plugin build my-filter/")]
    Build {
        /// The project's directory
        #[arg(default_value = ".")]
        directory: PathBuf,
    },
    Test(test::Test),
    Bench(bench::Bench),
    Pull(registry::Pull),
    Push(registry::Push),
    Promote(versions::Promote),
    Rollback(versions::Rollback),
    Suspend(versions::Suspend),
    Resume(versions::Resume),
}

impl Plugin {
    pub(super) fn run(self) -> Outcome {
        let done = match self.command {
            Action::List { directory, config, json } => return list::run(&directory, config, json),
            Action::Inspect { subject, json } => inspect::run(&subject, json),
            Action::Check { subject, settings, json } => {
                if let Some(Err(error)) = settings.as_deref().map(serde_json::from_str::<serde_json::Value>) {
                    return Err(Failure::Usage(format!("--settings is not JSON: {error}")));
                }
                check::run(&subject, settings, json)
            }
            Action::New(new) => new.run(),
            Action::Build { directory } => build::run(&directory).map(|file| println!("{}", file.display())),
            Action::Test(test) => return test.run(),
            Action::Bench(bench) => bench.run(),
            Action::Pull(pull) => pull.run(),
            Action::Push(push) => push.run(),
            Action::Promote(promote) => return promote.run(),
            Action::Rollback(rollback) => return rollback.run(),
            Action::Suspend(suspend) => return suspend.run(),
            Action::Resume(resume) => return resume.run(),
        };
        done.map_err(Failure::Failed)
    }
}

fn engine() -> Result<Arc<Engine>, String> {
    Engine::new(None).map_err(|error| error.to_string())
}

fn load(engine: &Arc<Engine>, file: &Path) -> Result<Arc<Loaded>, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Loaded::load(engine, &PluginName::from(name), &bytes).map_err(|error| error.to_string())
}

/// What is known of a plugin, and where it is.
fn about(file: &Path, image: Option<&Image>, plugin: &Loaded) -> serde_json::Value {
    let said = plugin.description();
    let schema = serde_json::from_str::<serde_json::Value>(&said.settings_schema).ok();
    let file = image.is_none().then_some(file);
    json!({
        "name": plugin.name, "file": file, "reference": image, "kind": plugin.kind, "interface": plugin.interface.to_string(),
        "version": said.version, "description": said.description, "size": plugin.size,
        "digest": plugin.digest.to_string(), "imports": plugin.imports, "grants": plugin.needs, "settings_schema": schema,
    })
}

fn kind(plugin: &Loaded) -> &'static str {
    match plugin.kind {
        crate::plugins::Kind::Filter => "filter",
        crate::plugins::Kind::Transform => "transform",
    }
}

/// What a step has to say under `grants:`.
fn grants(plugin: &Loaded) -> String {
    if plugin.needs.is_empty() {
        return "none needed".into();
    }
    let needed: Vec<_> = plugin.needs.iter().map(|grant| grant.setting()).collect();
    format!("needs {{ {} }}", needed.join(", "))
}

fn print_json(value: &serde_json::Value) -> Result<(), String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    println!("{text}");
    Ok(())
}
