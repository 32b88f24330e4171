//! `stagewire backend pause | resume | drain`

use std::time::{Duration, Instant};

use clap::Subcommand;

use super::{AdminAddress, Failure, Outcome, encoded, say};
use crate::config::units::Span;

/// How often a drain is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Pause, resume or drain a backend of a running host
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stagewire backend pause kafka\n  stagewire backend drain kafka --wait 1m\n  stagewire backend resume kafka"
)]
pub(super) struct Backend {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Stop publishing; what comes meanwhile waits
    #[command(after_help = "Example:\n  stagewire backend pause kafka")]
    Pause(Which),
    /// Go on publishing
    #[command(after_help = "Example:\n  stagewire backend resume kafka")]
    Resume(Which),
    /// Publish what waits, take no more, and pause once nothing is left; `resume` ends it
    #[command(after_help = "Example:\n  stagewire backend drain kafka --wait 1m")]
    Drain {
        #[command(flatten)]
        which: Which,
        /// Wait until nothing is left, at most that long (exit code 1 beyond)
        #[arg(long, value_name = "TIME", value_parser = Span::parse)]
        wait: Option<Span>,
    },
}

#[derive(clap::Args)]
struct Which {
    /// The backend, or one of its lanes
    name: String,
    #[command(flatten)]
    host: AdminAddress,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Backend {
    pub(super) async fn run(self) -> Outcome {
        match self.action {
            Action::Pause(which) => which.steer("pause", "is paused; its events wait").await,
            Action::Resume(which) => which.steer("resume", "goes on").await,
            Action::Drain { which, wait: None } => {
                which.steer("drain", "publishes what waits and takes no more").await
            }
            Action::Drain { which, wait: Some(limit) } => which.drain(limit.0).await,
        }
    }
}

impl Which {
    async fn ask(&self, what: &str) -> Result<String, Failure> {
        self.host
            .ask(reqwest::Method::POST, &format!("/api/v1/backends/{}/{what}", encoded(&self.name)))
            .await
    }

    async fn steer(&self, what: &str, done: &str) -> Outcome {
        let lanes = self.ask(what).await?;
        if self.json { say(lanes) } else { say(format_args!("{} {done}", self.name)) }
    }

    async fn drain(&self, limit: Duration) -> Outcome {
        let begin = Instant::now();
        let mut lanes = self.ask("drain").await?;
        loop {
            let asked: Vec<serde_json::Value> = serde_json::from_str(&lanes)?;
            if asked.iter().all(|lane| lane["paused"] == true) {
                return if self.json {
                    say(lanes)
                } else {
                    say(format_args!("{} has nothing left and is paused", self.name))
                };
            }
            if begin.elapsed() >= limit {
                let left: u64 = asked.iter().filter_map(|lane| lane["queued"].as_u64()).sum();
                return Err(Failure::Failed(format!(
                    "{} still has {left} events and more on disk; it goes on draining",
                    self.name
                )));
            }
            tokio::time::sleep(LOOK).await;
            // Of the lanes asked about at the beginning, as they are now.
            let names: Vec<_> = asked.iter().map(|lane| lane["name"].clone()).collect();
            let all: Vec<serde_json::Value> =
                serde_json::from_str(&self.host.ask(reqwest::Method::GET, "/api/v1/backends").await?)?;
            let now: Vec<_> = all.into_iter().filter(|lane| names.contains(&lane["name"])).collect();
            lanes = serde_json::Value::from(now).to_string();
        }
    }
}
