//! `stagewire plugin …`: what is in the plugin directory, and whether a file may go there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, Outcome};
use crate::config::settings::OnError;
use crate::names::PluginName;
use crate::plugins::{Engine, Limits, Plugin as Loaded, PluginError, Step, StepSpec};
use crate::telemetry::StepMetrics;

/// List, inspect, check and build plugins
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stagewire plugin list\n  stagewire plugin inspect plugins/redact.wasm\n  stagewire plugin check plugins/redact.wasm"
)]
pub(super) struct Plugin {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists the plugins of a directory
    #[command(after_help = "Example:\n  stagewire plugin list plugins/ --json")]
    List {
        /// Where the .wasm files are
        #[arg(default_value = "plugins")]
        directory: PathBuf,
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
    /// Shows what a plugin is, what it imports, and which settings it takes
    #[command(after_help = "Example:\n  stagewire plugin inspect plugins/redact.wasm")]
    Inspect {
        /// The .wasm file
        file: PathBuf,
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
    /// Checks whether the host would take a plugin, with these settings
    #[command(
        after_help = "Example:\n  stagewire plugin check redact.wasm --settings '{\"remove\":[\"text\"]}'"
    )]
    Check {
        /// The .wasm file
        file: PathBuf,
        /// The step's settings as JSON; without them only the file is checked
        #[arg(long, value_name = "JSON")]
        settings: Option<String>,
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
    /// Builds a plugin crate for wasm32-unknown-unknown with cargo
    #[command(after_help = "Example:\n  stagewire plugin build my-filter/")]
    Build {
        /// The crate's directory
        #[arg(default_value = ".")]
        directory: PathBuf,
    },
}

impl Plugin {
    pub(super) fn run(self) -> Outcome {
        let done = match self.command {
            Action::List { directory, json } => list(&directory, json),
            Action::Inspect { file, json } => inspect(&file, json),
            Action::Check { file, settings, json } => {
                if let Some(Err(error)) = settings.as_deref().map(serde_json::from_str::<serde_json::Value>) {
                    return Err(Failure::Usage(format!("--settings is not JSON: {error}")));
                }
                check(&file, settings, json)
            }
            Action::Build { directory } => build(&directory),
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

fn list(directory: &Path, json: bool) -> Result<(), String> {
    let unreadable = |error| format!("cannot list {}: {error}", directory.display());
    let entries = std::fs::read_dir(directory).map_err(unreadable)?;
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .filter(|path| !path.as_ref().is_ok_and(|path| path.extension().is_none_or(|end| end != "wasm")))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    files.sort();
    let engine = engine()?;
    let plugins: Vec<_> = files.iter().map(|file| (file, load(&engine, file))).collect();
    if json {
        print_json(&plugins.iter().map(|(file, plugin)| row_json(file, plugin)).collect())
    } else {
        println!("{}", table(&plugins));
        Ok(())
    }
}

type Row<'a> = (&'a PathBuf, Result<Arc<Loaded>, String>);

fn table(plugins: &[Row<'_>]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["NAME", "KIND", "VERSION", "SIZE", "DIGEST", "DESCRIPTION"]);
    for (file, plugin) in plugins {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match plugin {
            Ok(plugin) => {
                let about = plugin.description();
                let digest = plugin.digest.to_string();
                let (version, about) = (about.version.clone(), about.description.clone());
                let digest = digest[..digest.len().min(19)].to_owned();
                table.add_row([name, kind(plugin).into(), version, plugin.size.to_string(), digest, about]);
            }
            Err(reason) => {
                let none = String::new;
                table.add_row([name, "refused".into(), none(), none(), none(), reason.clone()]);
            }
        }
    }
    table
}

fn row_json(file: &Path, plugin: &Result<Arc<Loaded>, String>) -> serde_json::Value {
    match plugin {
        Ok(plugin) => about(file, plugin),
        Err(reason) => json!({ "file": file, "refused": reason }),
    }
}

fn about(file: &Path, plugin: &Loaded) -> serde_json::Value {
    let said = plugin.description();
    let schema = serde_json::from_str::<serde_json::Value>(&said.settings_schema).ok();
    json!({
        "name": plugin.name, "file": file, "kind": plugin.kind, "interface": plugin.interface.to_string(),
        "version": said.version, "description": said.description, "size": plugin.size,
        "digest": plugin.digest.to_string(), "imports": plugin.imports, "grants": [], "settings_schema": schema,
    })
}

fn kind(plugin: &Loaded) -> &'static str {
    match plugin.kind {
        crate::plugins::Kind::Filter => "filter",
        crate::plugins::Kind::Transform => "transform",
    }
}

fn inspect(file: &Path, json: bool) -> Result<(), String> {
    let plugin = load(&engine()?, file)?;
    if json {
        return print_json(&about(file, &plugin));
    }
    let said = plugin.description();
    println!("name         {}", said.name);
    println!("version      {}", said.version);
    println!("description  {}", said.description);
    println!("kind         {}", kind(&plugin));
    println!("interface    stagewire:plugin@{}", plugin.interface);
    println!("digest       {}", plugin.digest);
    println!("size         {} bytes", plugin.size);
    println!("imports      {}", plugin.imports.join(", "));
    println!("grants       none needed");
    if !said.settings_schema.is_empty() {
        println!("settings     {}", said.settings_schema);
    }
    Ok(())
}

fn check(file: &Path, settings: Option<String>, json: bool) -> Result<(), String> {
    let checked = load(&engine()?, file).and_then(|plugin| {
        settings.map_or(Ok(()), |settings| configure(&plugin, settings))?;
        Ok(plugin)
    });
    if json {
        let report = match &checked {
            Ok(plugin) => json!({ "accepted": true, "plugin": about(file, plugin) }),
            Err(reason) => json!({ "accepted": false, "reason": reason }),
        };
        print_json(&report)?;
    } else if let Ok(plugin) = &checked {
        println!("{}: accepted as a {}; needs no grant", file.display(), kind(plugin));
    }
    checked.map(|_| ())
}

fn configure(plugin: &Arc<Loaded>, settings: String) -> Result<(), String> {
    let spec = StepSpec {
        route: "check".into(),
        index: 0,
        plugin: Arc::clone(plugin),
        settings,
        limits: Limits::default(),
        on_error: OnError::default(),
    };
    match Step::prepare(spec, 1, StepMetrics::detached()) {
        Ok(_) => Ok(()),
        Err(PluginError::Settings { reason, .. }) => Err(format!("settings refused: {reason}")),
        Err(error) => Err(error.to_string()),
    }
}

fn build(directory: &Path) -> Result<(), String> {
    let manifest = directory.join("Cargo.toml");
    let status = Command::new("cargo")
        .args(["build", "--release", "--target", "wasm32-unknown-unknown", "--manifest-path"])
        .arg(&manifest)
        .status()
        .map_err(|error| format!("cannot run cargo: {error}; is Rust installed?"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!(
        "cargo could not build {}; if the target is missing, run `rustup target add wasm32-unknown-unknown`",
        manifest.display()
    ))
}

fn print_json(value: &serde_json::Value) -> Result<(), String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    println!("{text}");
    Ok(())
}
