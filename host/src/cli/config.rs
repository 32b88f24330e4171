//! `stagewire config show | schema | reference`

use clap::Subcommand;

use super::{Outcome, SettingsFile, say};
use crate::config;

/// Show the effective settings, their JSON Schema, or their reference
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stagewire config show\n  stagewire config schema > settings.schema.json"
)]
pub(super) struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show the effective settings as JSON, with secrets hidden
    Show {
        #[command(flatten)]
        file: SettingsFile,
    },
    /// Print the JSON Schema of the settings file, for editors
    Schema,
    /// Print every key with its type, default and meaning, as Markdown
    Reference,
}

impl Config {
    pub(super) fn run(self) -> Outcome {
        match self.action {
            Action::Show { file } => say(serde_json::to_string_pretty(&config::show(&file.loaded()?))?),
            Action::Reference => say(config::reference().trim_end()),
            Action::Schema => say(serde_json::to_string_pretty(&config::schema())?),
        }
    }
}
