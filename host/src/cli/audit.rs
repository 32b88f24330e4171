//! `stagewire audit`

use comfy_table::{Table, presets};

use super::{AdminAddress, Outcome, say};
use crate::admin::{AuditOutcome, AuditRecord};

/// Show who changed what on a running host, the latest first
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  stagewire audit\n  stagewire audit --limit 10 --json | jq '.[].action'")]
pub(super) struct Audit {
    #[command(flatten)]
    host: AdminAddress,
    /// How many changes at most
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Audit {
    pub(super) async fn run(self) -> Outcome {
        let path = format!("/api/v1/audit?limit={}", self.limit);
        let text = self.host.ask(reqwest::Method::GET, &path).await?;
        if self.json {
            return say(text);
        }
        let records: Vec<AuditRecord> = serde_json::from_str(&text)?;
        if records.is_empty() {
            return say("nothing was changed yet");
        }
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["when", "who", "from", "did", "on", "outcome"]);
        for record in &records {
            let remote = record.remote.map_or_else(|| "-".into(), |remote| remote.to_string());
            let outcome = match (record.outcome, &record.reason) {
                (AuditOutcome::Done, _) => "done".into(),
                (AuditOutcome::Refused, Some(reason)) => format!("refused: {reason}"),
                (AuditOutcome::Refused, None) => format!("refused: {}", record.status),
            };
            let row = [
                time(record.at_ms),
                record.who.clone(),
                remote,
                record.action.clone(),
                record.target.clone(),
                outcome,
            ];
            table.add_row(row);
        }
        say(table)
    }
}

fn time(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map_or_else(|| "?".into(), |at| at.to_string())
}
