//! `stagewire version`

use std::collections::BTreeMap;

use super::{Outcome, say};

/// Print the version, and with --json the features and interface versions
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  stagewire version\n  stagewire version --json | jq .backends")]
pub(super) struct Version {
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
            "libraries": libraries().collect::<BTreeMap<_, _>>(),
            "plugin_interfaces": [crate::plugins::INTERFACE],
            "cloudevents": "1.0",
        }))
    }
}

/// Names and versions, as the build script found them.
fn libraries() -> impl Iterator<Item = (&'static str, &'static str)> {
    env!("STAGEWIRE_LIBRARIES").split(',').filter_map(|library| library.split_once(' '))
}
