//! `stagewire plugin check`

use std::sync::Arc;

use serde_json::json;

use super::registry::Subject;
use super::{about, engine, grants, kind, print_json};
use crate::plugins::{Limits, Plugin, PluginError, Step};

pub(super) fn run(subject: &Subject, settings: Option<String>, json: bool) -> Result<(), String> {
    let checked = subject.load(&engine()?).and_then(|(plugin, image)| {
        settings.map_or(Ok(()), |settings| configure(&plugin, settings))?;
        Ok((plugin, image))
    });
    if json {
        let report = match &checked {
            Ok((plugin, image)) => {
                json!({ "accepted": true, "plugin": about(subject.path(), image.as_ref(), plugin) })
            }
            Err(reason) => json!({ "accepted": false, "reason": reason }),
        };
        print_json(&report)?;
    } else if let Ok((plugin, _)) = &checked {
        println!("{}: accepted as a {}; grants: {}", subject.path().display(), kind(plugin), grants(plugin));
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
