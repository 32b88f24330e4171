//! `stagewire plugin list`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::{about, engine, kind, load, print_json};
use crate::cli::{Failure, Outcome, SettingsFile};
use crate::config::Settings;
use crate::host::Sources;
use crate::names::PluginName;
use crate::plugins::{Engine, Plugin};
use crate::registry::Image;

/// A plugin, or why it is none.
struct Row {
    name: String,
    file: PathBuf,
    image: Option<Image>,
    plugin: Result<Arc<Plugin>, String>,
}

pub(super) fn run(directory: &Path, config: Option<PathBuf>, json: bool) -> Outcome {
    let settings = config.map(|config| SettingsFile { config }.load()).transpose()?;
    let engine = engine()?;
    let rows = match &settings {
        Some(settings) => rows_of(&engine, settings)?,
        None => files(directory)?.into_iter().map(|file| row_of_file(&engine, file)).collect(),
    };
    if json {
        return print_json(&rows.iter().map(row_json).collect()).map_err(Failure::Failed);
    }
    println!("{}", table(&rows));
    Ok(())
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

fn table(rows: &[Row]) -> comfy_table::Table {
    let pulled = rows.iter().any(|row| row.image.is_some());
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    let columns = ["NAME", "KIND", "VERSION", "SIZE", "DIGEST", "DESCRIPTION"];
    table.set_header(columns.into_iter().chain(pulled.then_some("FROM")));
    for Row { name, file, image, plugin } in rows {
        let from = image.as_ref().map_or_else(|| file.display().to_string(), ToString::to_string);
        let none = String::new;
        let cells = match plugin {
            Ok(plugin) => {
                let about = plugin.description();
                let digest = plugin.digest.to_string();
                let (version, about) = (about.version.clone(), about.description.clone());
                let digest = digest[..digest.len().min(19)].to_owned();
                [name.clone(), kind(plugin).into(), version, plugin.size.to_string(), digest, about]
            }
            Err(reason) => [name.clone(), "refused".into(), none(), none(), none(), reason.clone()],
        };
        table.add_row(cells.into_iter().chain(pulled.then_some(from)));
    }
    table
}

fn row_json(row: &Row) -> serde_json::Value {
    let Row { file, image, plugin, .. } = row;
    match plugin {
        Ok(plugin) => about(file, image.as_ref(), plugin),
        Err(reason) if image.is_some() => json!({ "name": row.name, "reference": image, "refused": reason }),
        Err(reason) => json!({ "file": file, "refused": reason }),
    }
}
