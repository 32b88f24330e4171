//! `stagewire plugin promote` and `rollback`: which version of a plugin a running host uses.

use clap::Args;

use crate::cli::reload::swapped;
use crate::cli::{AdminAddress, Outcome, block_on, encoded, say};

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

/// Call a plugin no more on a running host: its events go the way of `on_error`, until it is resumed or the host ends
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stagewire plugin suspend redact")]
pub(super) struct Suspend {
    /// The plugin
    plugin: String,
    #[command(flatten)]
    host: AdminAddress,
}

/// Call a suspended plugin again
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stagewire plugin resume redact")]
pub(super) struct Resume {
    /// The plugin
    plugin: String,
    #[command(flatten)]
    host: AdminAddress,
}

impl Suspend {
    pub(super) fn run(self) -> Outcome {
        block_on(suspend(
            &self.host,
            &self.plugin,
            "suspend",
            "is suspended; its events go the way of on_error",
        ))
    }
}

impl Resume {
    pub(super) fn run(self) -> Outcome {
        block_on(suspend(&self.host, &self.plugin, "resume", "is called again"))
    }
}

async fn suspend(host: &AdminAddress, plugin: &str, what: &str, done: &str) -> Outcome {
    host.ask(reqwest::Method::POST, &format!("/api/v1/plugins/{}/{what}", encoded(plugin))).await?;
    say(format_args!("plugin {plugin} {done}"))
}

async fn act(
    host: &AdminAddress,
    plugin: &str,
    what: &str,
    (name, value): (&str, Option<String>),
    json: bool,
) -> Outcome {
    let query = value.map(|value| format!("?{name}={}", encoded(&value))).unwrap_or_default();
    let path = format!("/api/v1/plugins/{}/{what}{query}", encoded(plugin));
    swapped(host.call(reqwest::Method::POST, &path).await?, json)
}
