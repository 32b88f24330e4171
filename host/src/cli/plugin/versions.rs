//! `stagewire plugin promote` and `rollback`: which version of a plugin a running host uses.

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cli::reload::swapped;
use crate::cli::{AdminAddress, Outcome, block_on};

/// Put a step's candidate (its shadow or canary) in its plugin's place, on a running host
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stagewire plugin promote redact\n  stagewire plugin promote redact --from redact-next"
)]
pub(super) struct Promote {
    /// The plugin in force
    plugin: String,
    /// The candidate, where there are several
    #[arg(long, value_name = "PLUGIN")]
    from: Option<String>,
    #[command(flatten)]
    host: AdminAddress,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Go back to an earlier version of a plugin, on a running host
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stagewire plugin rollback redact\n  stagewire plugin rollback redact --to 3fa91c"
)]
pub(super) struct Rollback {
    /// The plugin
    plugin: String,
    /// The beginning of a digest; without it, the version that was in force before
    #[arg(long, value_name = "DIGEST")]
    to: Option<String>,
    #[command(flatten)]
    host: AdminAddress,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

impl Promote {
    pub(super) fn run(self) -> Outcome {
        block_on(act(&self.host, &self.plugin, "promote", ("from", self.from), self.json))
    }
}

impl Rollback {
    pub(super) fn run(self) -> Outcome {
        block_on(act(&self.host, &self.plugin, "rollback", ("to", self.to), self.json))
    }
}

async fn act(
    host: &AdminAddress,
    plugin: &str,
    what: &str,
    (name, value): (&str, Option<String>),
    json: bool,
) -> Outcome {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let query = value.map(|value| format!("?{name}={}", encode(&value))).unwrap_or_default();
    let path = format!("/api/v1/plugins/{}/{what}{query}", encode(plugin));
    swapped(host.call(reqwest::Method::POST, &path).await?, json)
}
