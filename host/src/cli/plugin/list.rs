//! `stagewire plugin list`: of a running host, of a directory, or of settings with what they pull.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::{about, engine, kind, load, print_json};
use crate::cli::{AdminAddress, Failure, Outcome, block_on, say};
use crate::config::Settings;
use crate::config::units::Size;
use crate::host::Sources;
use crate::names::PluginName;
use crate::plugins::{Engine, Plugin, line};
use crate::registry::Image;

/// List the plugins of a running host, with their steps and what they made of events; or those of a directory, or of settings
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stagewire plugin list\n  stagewire plugin list --json\n  stagewire plugin list plugins/\n  stagewire plugin list --offline --config config/settings.yaml"
)]
pub(super) struct List {
    /// A directory of .wasm files; without it, a running host is asked
    directory: Option<PathBuf>,
    /// Asks no host: the plugins of the settings file, with those that it pulls from registries
    #[arg(long, conflicts_with = "directory")]
    offline: bool,
    #[command(flatten)]
    host: AdminAddress,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// The beginning of a digest that tells versions apart.
const DIGEST: usize = 19;

impl List {
    pub(super) fn run(self) -> Outcome {
        if self.directory.is_none() && !self.offline {
            return block_on(self.of_host());
        }
        let engine = engine()?;
        let rows = match &self.directory {
            Some(directory) => files(directory)?.into_iter().map(|file| row_of_file(&engine, file)).collect(),
            None => rows_of(&engine, &self.host.file.load()?)?,
        };
        if self.json {
            return print_json(&rows.iter().map(row_json).collect()).map_err(Failure::Failed);
        }
        say(of_files(&rows))
    }

    async fn of_host(&self) -> Outcome {
        let asked =
            self.host.ask(reqwest::Method::GET, "/api/v1/plugins").await.map_err(
                |failure| match failure {
                    Failure::Failed(why) => {
                        Failure::Failed(format!("{why}; `stagewire plugin list DIRECTORY` lists files"))
                    }
                    usage @ Failure::Usage(_) => usage,
                },
            )?;
        if self.json {
            return say(asked);
        }
        let plugins: Vec<Value> = serde_json::from_str(&asked)?;
        if plugins.is_empty() {
            return say("no route in force has a plugin");
        }
        say(in_force(&plugins))
    }
}

/// A row for each plugin, and one below it for each of its uses.
fn in_force(plugins: &[Value]) -> comfy_table::Table {
    let mut table = table();
    table.set_header([
        "NAME",
        "KIND",
        "VERSION",
        "INTERFACE",
        "SIZE",
        "DIGEST",
        "MEMORY",
        "KEPT",
        "DROPPED",
        "FAILED",
        "TRAPS",
        "",
    ]);
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    for plugin in plugins {
        let uses = plugin["uses"].as_array().map(Vec::as_slice).unwrap_or_default();
        let memory: u64 = uses.iter().map(|used| number(&used["memory"])).sum();
        let granted = |grants: &Value| match grants.as_array().map(Vec::as_slice).unwrap_or_default() {
            [] => String::new(),
            grants => format!(", granted {}", grants.iter().map(word).collect::<Vec<_>>().join(", ")),
        };
        let mut digest = word(&plugin["digest"]);
        digest.truncate(DIGEST);
        let state = if plugin["suspended"] == true { "suspended" } else { "" };
        table.add_row([
            word(&plugin["name"]),
            word(&plugin["kind"]),
            word(&plugin["description"]["version"]),
            word(&plugin["interface"]),
            number(&plugin["size"]).to_string(),
            digest,
            Size(memory).to_string(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            state.to_owned(),
        ]);
        for used in uses {
            let more = match used["role"].as_str() {
                Some("shadow") => format!("shadow, {} differ", number(&used["differed"])),
                Some("canary") => format!("canary, {} % of the keys", used["percent"]),
                _ => String::new(),
            };
            let place = format!("  {}, step {}", word(&used["route"]), number(&used["step"]) + 1);
            let instances = format!("{} of {}", number(&used["instances"]), Size(number(&used["memory"])));
            let count = |name: &str| number(&used[name]).to_string();
            let none = String::new;
            table.add_row([
                place,
                none(),
                none(),
                none(),
                none(),
                none(),
                instances,
                count("kept"),
                count("dropped"),
                count("failed"),
                count("traps"),
                format!("{more}{}", granted(&used["granted"])).trim_start_matches(", ").to_owned(),
            ]);
        }
    }
    table
}

/// A plugin, or why it is none.
struct Row {
    name: String,
    file: PathBuf,
    image: Option<Image>,
    plugin: Result<Arc<Plugin>, String>,
}

/// The files of a directory that may be plugins.
fn files(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error| format!("cannot list {}: {error}", directory.display());
    let entries = std::fs::read_dir(directory).map_err(unreadable)?;
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .filter(|path| !path.as_ref().is_ok_and(|path| path.extension().is_none_or(|end| end != "wasm")))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    files.sort();
    Ok(files)
}

fn row_of_file(engine: &Arc<Engine>, file: PathBuf) -> Row {
    Row { name: stem(&file), image: None, plugin: load(engine, &file), file }
}

/// The plugins of settings, in the order of their names; each as a host would take it.
fn rows_of(engine: &Arc<Engine>, settings: &Settings) -> Result<Vec<Row>, String> {
    let sources = Sources::of(settings);
    // Who pulls everything may have no directory.
    let there = settings.plugins.directory.is_dir() || settings.plugins.pull.is_empty();
    let files = if there { files(&settings.plugins.directory)? } else { Vec::new() };
    let mut names: Vec<PluginName> = files.iter().map(|file| stem(file).into()).collect();
    names.extend(settings.plugins.pull.keys().cloned());
    names.sort();
    let row = |name: PluginName| {
        let plugin = sources
            .read(&name)
            .and_then(|bytes| Plugin::load(engine, &name, &bytes).map_err(|error| error.to_string()));
        let (file, image) = (sources.file(&name), sources.image(&name).cloned());
        Row { name: name.to_string(), file, image, plugin }
    };
    Ok(names.into_iter().map(row).collect())
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn of_files(rows: &[Row]) -> comfy_table::Table {
    let pulled = rows.iter().any(|row| row.image.is_some());
    let mut table = table();
    let columns = ["NAME", "KIND", "VERSION", "SIZE", "DIGEST", "DESCRIPTION"];
    table.set_header(columns.into_iter().chain(pulled.then_some("FROM")));
    for Row { name, file, image, plugin } in rows {
        let from = image.as_ref().map_or_else(|| file.display().to_string(), ToString::to_string);
        let none = String::new;
        // Who can put a file there chooses its name.
        let name = line(name, 100);
        let cells = match plugin {
            Ok(plugin) => {
                let about = plugin.description();
                let digest = plugin.digest.to_string();
                let (version, about) = (about.version.clone(), about.description.clone());
                let digest = digest[..digest.len().min(DIGEST)].to_owned();
                [name, kind(plugin).into(), version, plugin.size.to_string(), digest, about]
            }
            Err(reason) => [name, "refused".into(), none(), none(), none(), line(reason, 1_000)],
        };
        table.add_row(cells.into_iter().chain(pulled.then_some(from)));
    }
    table
}

fn table() -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table
}

fn row_json(row: &Row) -> Value {
    let Row { file, image, plugin, .. } = row;
    match plugin {
        Ok(plugin) => about(file, image.as_ref(), plugin),
        Err(reason) if image.is_some() => json!({ "name": row.name, "reference": image, "refused": reason }),
        Err(reason) => json!({ "file": file, "refused": reason }),
    }
}
