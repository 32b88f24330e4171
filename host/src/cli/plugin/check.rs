//! `stagewire plugin check`

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::{about, engine, grants, kind, load, print_json};
use crate::plugins::{Limits, Plugin, PluginError, Step};

pub(super) fn run(file: &Path, settings: Option<String>, json: bool) -> Result<(), String> {
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
        println!("{}: accepted as a {}; grants: {}", file.display(), kind(plugin), grants(plugin));
    }
    checked.map(|_| ())
}

fn configure(plugin: &Arc<Plugin>, settings: String) -> Result<(), String> {
    match Step::alone("check", plugin, settings, Limits::default()) {
        Ok(_) => Ok(()),
        Err(PluginError::Settings { reason, .. }) => Err(format!("settings refused: {reason}")),
        Err(error) => Err(error.to_string()),
    }
}
