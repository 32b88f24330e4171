//! `stagewire validate`

use std::path::PathBuf;
use std::sync::Arc;

use super::{Failure, Outcome, say};
use crate::config;
use crate::host::{Workshop, cache_directory};
use crate::plugins::{Buckets, Engine};
use crate::telemetry::Metrics;

/// Check settings, rules and plugins without starting
///
/// Every fault at once, each with its line and what to write (exit code 2).
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  stagewire validate\n  stagewire validate config/next.yaml --json")]
pub(super) struct Validate {
    /// The settings file
    #[arg(default_value = "config/settings.yaml", env = "STAGEWIRE_CONFIG")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Validate {
    pub(super) fn run(self) -> Outcome {
        let environment = |name: &str| std::env::var(name).ok();
        let loaded = match config::load(&self.file, &environment) {
            Ok(loaded) => loaded,
            Err(faults) if self.json => {
                say(serde_json::json!({ "valid": false, "faults": faults.reported() }))?;
                return Err(Failure::Usage(String::new()));
            }
            Err(faults) => {
                return Err(Failure::Usage(format!(
                    "{}\n{}",
                    self.file.display(),
                    faults.render(super::colour())
                )));
            }
        };
        let engine = Engine::new(Some(&cache_directory(&loaded.settings)))?;
        let workshop = Workshop::new(engine, Arc::new(Metrics::new()), Buckets::in_memory(), 1);
        if let Err(problems) = workshop.prepare(&loaded.settings) {
            if self.json {
                let faults: Vec<_> =
                    problems.iter().map(|problem| serde_json::json!({ "message": problem })).collect();
                say(serde_json::json!({ "valid": false, "faults": faults }))?;
                return Err(Failure::Usage(String::new()));
            }
            return Err(Failure::Usage(problems.join("\n")));
        }
        if self.json {
            return say(serde_json::json!({ "valid": true, "faults": [], "warnings": loaded.warnings }));
        }
        loaded.warnings.iter().try_for_each(|warning| say(format_args!("warning: {warning}")))?;
        say(format_args!("{} is in order", self.file.display()))
    }
}
