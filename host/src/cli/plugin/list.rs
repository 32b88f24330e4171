//! `stagewire plugin list`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::{about, engine, kind, load, print_json};
use crate::plugins::Plugin;

pub(super) fn run(directory: &Path, json: bool) -> Result<(), String> {
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

type Row<'a> = (&'a PathBuf, Result<Arc<Plugin>, String>);

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

fn row_json(file: &Path, plugin: &Result<Arc<Plugin>, String>) -> serde_json::Value {
    match plugin {
        Ok(plugin) => about(file, None, plugin),
        Err(reason) => json!({ "file": file, "refused": reason }),
    }
}
