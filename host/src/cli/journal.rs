//! `stagewire journal check | repair`

use clap::Subcommand;

use super::{Failure, Outcome, SettingsFile, say};
use crate::journal::{Report, check, repair};

/// Check or repair the log on disk
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stagewire journal check\n  stagewire journal repair --config config/settings.yaml"
)]
pub(super) struct Journal {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Read all of it and say what is damaged (exit code 1); changes nothing
    Check(Where),
    /// Keep what can be read of a damaged log; the damaged files stay beside it
    Repair(Where),
}

#[derive(clap::Args)]
struct Where {
    #[command(flatten)]
    file: SettingsFile,
    /// The data directory, instead of the settings' `host.data`
    #[arg(long, value_name = "DIR")]
    data: Option<std::path::PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Where {
    fn data(&self) -> Result<std::path::PathBuf, Failure> {
        self.data.clone().map_or_else(|| Ok(self.file.load()?.host.data), Ok)
    }
}

impl Journal {
    pub(super) fn run(self) -> Outcome {
        match self.action {
            Action::Check(place) => {
                let report = check(&place.data()?)?;
                show(&report, place.json)?;
                if report.is_damaged() {
                    return Err(Failure::Failed(
                        "the journal is damaged; `stagewire journal repair` keeps what can be read".into(),
                    ));
                }
                Ok(())
            }
            Action::Repair(place) => show(&repair(&place.data()?)?, place.json),
        }
    }
}

fn show(report: &Report, json: bool) -> Outcome {
    if json {
        return say(serde_json::to_string(report)?);
    }
    for segment in &report.segments {
        let name = segment.file.display();
        say(format_args!(
            "{name}: {} events, offsets {}..{}, {} bytes",
            segment.events, segment.first, segment.end, segment.bytes
        ))?;
        for damage in &segment.damage {
            let kind = if damage.torn_tail { "a torn tail, never acknowledged" } else { "damaged" };
            say(format_args!("  byte {}, {} bytes: {kind}: {}", damage.at, damage.bytes, damage.problem))?;
        }
    }
    let cursor = report.cursor.map_or_else(|| "none".into(), |cursor| cursor.to_string());
    say(format_args!("cursor: {cursor}"))
}
