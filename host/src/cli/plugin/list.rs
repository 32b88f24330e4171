//! `stagewire plugin list`: of a running host, or of a directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::{about, engine, kind, load, print_json};
use crate::cli::{AdminAddress, Failure, Outcome, block_on, say};
use crate::config::units::Size;
use crate::plugins::{Plugin, line};

/// List the plugins of a running host, with their steps and what they made of events; or those of a directory
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stagewire plugin list\n  stagewire plugin list --json\n  stagewire plugin list plugins/"
)]
pub(super) struct List {
    /// A directory of .wasm files; without it, a running host is asked
    directory: Option<PathBuf>,
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
        match &self.directory {
            Some(directory) => of_directory(directory, self.json).map_err(Failure::Failed),
            None => block_on(self.of_host()),
        }
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

fn of_directory(directory: &Path, json: bool) -> Result<(), String> {
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
        println!("{}", of_files(&plugins));
        Ok(())
    }
}

type Row<'a> = (&'a PathBuf, Result<Arc<Plugin>, String>);

fn of_files(plugins: &[Row<'_>]) -> comfy_table::Table {
    let mut table = table();
    table.set_header(["NAME", "KIND", "VERSION", "SIZE", "DIGEST", "DESCRIPTION"]);
    for (file, plugin) in plugins {
        // Who can put a file there chooses its name.
        let name = line(&file.file_stem().unwrap_or_default().to_string_lossy(), 100);
        match plugin {
            Ok(plugin) => {
                let about = plugin.description();
                let digest = plugin.digest.to_string();
                let (version, about) = (about.version.clone(), about.description.clone());
                let digest = digest[..digest.len().min(DIGEST)].to_owned();
                table.add_row([name, kind(plugin).into(), version, plugin.size.to_string(), digest, about]);
            }
            Err(reason) => {
                let none = String::new;
                table.add_row([name, "refused".into(), none(), none(), none(), line(reason, 1_000)]);
            }
        }
    }
    table
}

fn table() -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table
}

fn row_json(file: &Path, plugin: &Result<Arc<Plugin>, String>) -> Value {
    match plugin {
        Ok(plugin) => about(file, plugin),
        Err(reason) => json!({ "file": file, "refused": reason }),
    }
}
