//! `stagewire version`

use super::{Outcome, say};

/// Print the version, and with --json the features and interface versions
#[derive(clap::Args)]
pub struct Version {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Version {
    pub(super) fn run(self) -> Outcome {
        let version = env!("CARGO_PKG_VERSION");
        if !self.json {
            return say(format_args!("stagewire {version}"));
        }
        let backends: Vec<_> = crate::backends::KINDS.iter().map(|kind| kind.name).collect();
        say(serde_json::json!({
            "version": version,
            "backends": backends,
            "plugin_interfaces": crate::plugins::INTERFACES,
            "cloudevents": "1.0",
            "libraries": { "wasmtime": crate::plugins::WASMTIME },
        }))
    }
}
