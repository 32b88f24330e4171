//! `stagewire tail`

use std::time::Duration;

use clap::ValueEnum;

use super::{AdminAddress, Outcome, block_on, say};
use crate::Event;
use crate::backends::local;
use crate::config::{self, Settings};
use crate::journal;
use crate::protocol::json;

/// Print events as JSON lines
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stagewire tail local --follow\n  stagewire tail journal --from 1000 --match document.failed\n  stagewire tail dead-letters"
)]
pub(super) struct Tail {
    /// What to read
    #[arg(value_enum, default_value = "local")]
    what: What,
    #[command(flatten)]
    host: AdminAddress,
    /// The stream, for `local`; by default that of the first local backend
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// The first offset
    #[arg(long, value_name = "OFFSET")]
    from: Option<u64>,
    /// Go on with what arrives
    #[arg(long, short)]
    follow: bool,
    /// Only events whose type, subject or source contains this
    #[arg(long = "match", value_name = "TEXT")]
    matching: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// The durable log of everything accepted
    Journal,
    /// A stream of the `local` backend
    Local,
    /// What could not be delivered or processed; asks the running host
    DeadLetters,
}

impl Tail {
    pub(super) fn run(self) -> Outcome {
        let from = self.from.unwrap_or(0);
        match self.what {
            What::DeadLetters => block_on(self.dead_letters()),
            What::Local => {
                let settings = self.host.file.load()?;
                let stream = self.stream.clone().unwrap_or_else(|| first_stream(&settings));
                let mut stream = local::read(&settings.host.data, &stream, from)?;
                self.print(|| stream.next().map(|entry| entry.map(|(_, event)| event)))
            }
            What::Journal => {
                let data = self.host.file.load()?.host.data;
                let mut records = journal::read(&data, from)?;
                self.print(|| records.next().map(|record| record.map(|record| record.event)))
            }
        }
    }

    fn print<E: std::fmt::Display>(&self, mut next: impl FnMut() -> Option<Result<Event, E>>) -> Outcome {
        loop {
            match next() {
                Some(entry) => {
                    self.show(&entry?)?;
                }
                None if self.follow => std::thread::sleep(Duration::from_millis(50)),
                None => return Ok(()),
            }
        }
    }

    fn show(&self, event: &Event) -> Outcome {
        let wanted = |text: &String| {
            [Some(event.kind()), event.subject(), Some(event.source())]
                .into_iter()
                .flatten()
                .any(|part| part.contains(text))
        };
        if !self.matching.as_ref().is_none_or(wanted) {
            return Ok(());
        }
        let mut line = Vec::new();
        json::encode_compact(event, &mut line);
        say(String::from_utf8_lossy(&line))
    }

    async fn dead_letters(self) -> Outcome {
        let mut after = self.from.unwrap_or(0);
        loop {
            let path = format!("/api/v1/dead-letters?after={after}");
            let body = self.host.ask(reqwest::Method::GET, &path).await?;
            let letters: Vec<serde_json::Value> = serde_json::from_str(&body)?;
            for letter in &letters {
                after = letter["id"].as_u64().unwrap_or(after).max(after);
                let shown = self.matching.as_ref().is_none_or(|text| letter.to_string().contains(text));
                if shown {
                    say(letter)?;
                }
            }
            match (letters.is_empty(), self.follow) {
                (true, false) => return Ok(()),
                (true, true) => tokio::time::sleep(Duration::from_millis(200)).await,
                (false, _) => {}
            }
        }
    }
}

/// The stream of the first local backend.
fn first_stream(settings: &Settings) -> String {
    let locals = config::backends(settings).into_iter().filter(|spec| spec.kind == "local");
    let mut names = locals.filter_map(|spec| spec.config["stream_name"].as_str().map(str::to_owned));
    names.next().unwrap_or_else(|| local::Local::default().stream_name)
}
