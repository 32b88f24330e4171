//! `stagewire reload`

use super::{AdminAddress, Failure, Outcome, say};

/// Swap in what is on disk
///
/// Answers when it is in force, with its generation, or says why it was refused (exit code 1). What is most likely not
/// meant is said on standard error.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  stagewire reload --wait\n  stagewire reload --json | jq .generation")]
pub(super) struct Reload {
    #[command(flatten)]
    host: AdminAddress,
    /// Wait until the swap is in force or refused; this is always so, the flag is for clarity in scripts
    #[arg(long)]
    wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Reload {
    pub(super) async fn run(self) -> Outcome {
        let answer = self.host.call(reqwest::Method::POST, "/api/v1/reload").await?;
        swapped(answer, self.json)
    }
}

/// Says which generation a swap has brought into force, or why it was refused.
pub(super) fn swapped((code, body): (reqwest::StatusCode, String), json: bool) -> Outcome {
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    if json {
        say(&body)?;
    }
    if !code.is_success() {
        let detail = answer["detail"].as_str().unwrap_or(&body).to_owned();
        let message =
            if json { String::new() } else { format!("refused, the last good snapshot goes on:\n{detail}") };
        return Err(Failure::Failed(message));
    }
    if json {
        return Ok(());
    }
    for warning in answer["warnings"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str) {
        eprintln!("warning: {warning}");
    }
    say(format_args!("generation {} is in force", answer["generation"]))
}
