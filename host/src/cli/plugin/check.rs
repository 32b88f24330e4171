//! `stagewire plugin check`

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::{about, engine, grants, kind, load, print_json};
use crate::config::settings::OnError;
use crate::plugins::{Buckets, Granted, Limits, Plugin, PluginError, Step, StepSpec};
use crate::telemetry::StepMetrics;

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
    let spec = StepSpec {
        route: "check".into(),
        index: 0,
        plugin: Arc::clone(plugin),
        settings,
        limits: Limits::default(),
        granted: Granted {
            keyvalue: Some(Buckets::in_memory().of(&"check".into(), &plugin.name, 0, u64::MAX)),
        },
        on_error: OnError::default(),
    };
    match Step::prepare(spec, 1, StepMetrics::detached()) {
        Ok(_) => Ok(()),
        Err(PluginError::Settings { reason, .. }) => Err(format!("settings refused: {reason}")),
        Err(error) => Err(error.to_string()),
    }
}
