//! `stagewire tail`

use std::io::IsTerminal;
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::Value;

use super::facts::{Health, bytes};
use super::paint::{Paint, one_line};
use super::{AdminAddress, Failure, Outcome, block_on, say};
use crate::Event;
use crate::backends::local;
use crate::config::{self, Settings};
use crate::event::DataKind;
use crate::journal::{self, now_ms};
use crate::protocol::json;

/// How often something new is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// The same where a host is asked.
const ASK: Duration = Duration::from_millis(300);
/// Events of one answer.
const PAGE: usize = 1_000;
/// Shown before what is new, as `tail -f` does.
const BEFORE: usize = 10;
/// An event that is under way is waited for so long, so that its line says where it came to.
const UNDER_WAY_MS: u64 = 2_000;

/// Print events: those on disk, or what a running host takes in and what becomes of each
#[derive(clap::Args)]
#[command(after_help = "\
To a terminal a line for people, else JSON lines; --json for those to a terminal, too. NO_COLOR is heeded.

Exit code: 0 at the end; 1 where there is nothing to read or the host does not answer.

Examples:
  stagewire tail local --follow
  stagewire tail events --follow
  stagewire tail events --follow --type document.failed --json | jq .outcome
  stagewire tail journal --from 1000 --match document.failed
  stagewire tail dead-letters --source stage2")]
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
    #[command(flatten)]
    filter: Filter,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Filter {
    /// Only events whose type, subject or source contains this
    #[arg(long = "match", value_name = "TEXT")]
    matching: Option<String>,
    /// Only events whose type contains this
    #[arg(long = "type", value_name = "TEXT")]
    kind: Option<String>,
    /// Only events whose subject contains this
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// Only events whose source contains this
    #[arg(long, value_name = "TEXT")]
    source: Option<String>,
    /// Only the event of this id
    #[arg(long)]
    id: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// The durable log of everything accepted
    Journal,
    /// A stream of the `local` backend
    Local,
    /// What could not be delivered or processed; asks the running host
    DeadLetters,
    /// What is taken in and what becomes of it, without data; asks the running host
    Events,
}

/// An event as the admin API shows it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Seen {
    offset: u64,
    at_ms: u64,
    pub(super) id: String,
    source: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) subject: Option<String>,
    size: u64,
    outcome: Option<Told>,
}

/// What became of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    state: String,
    routes: Vec<String>,
    why: Option<String>,
}

impl Filter {
    fn wants(&self, id: &str, kind: &str, subject: Option<&str>, source: &str) -> bool {
        let has = |text: &str, part: &Option<String>| part.as_ref().is_none_or(|part| text.contains(part));
        let any = [Some(kind), subject, Some(source)];
        self.matching.as_ref().is_none_or(|part| any.into_iter().flatten().any(|text| text.contains(part)))
            && has(kind, &self.kind)
            && has(subject.unwrap_or_default(), &self.subject)
            && has(source, &self.source)
            && self.id.as_ref().is_none_or(|wanted| wanted == id)
    }

    fn wants_event(&self, event: &Event) -> bool {
        self.wants(event.id(), event.kind(), event.subject(), event.source())
    }

    fn wants_json(&self, event: &Value) -> bool {
        let text = |name: &str| event[name].as_str();
        let whole = |name: &str| text(name).unwrap_or_default();
        self.wants(whole("id"), whole("type"), text("subject"), whole("source"))
    }
}

impl Tail {
    pub(super) fn run(self) -> Outcome {
        let from = self.from.unwrap_or(0);
        match self.what {
            What::DeadLetters => block_on(self.dead_letters()),
            What::Events => block_on(self.events()),
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
                None if self.follow => std::thread::sleep(LOOK),
                None => return Ok(()),
            }
        }
    }

    /// Whether lines are for a person.
    fn is_for_people(&self) -> bool {
        !self.json && std::io::stdout().is_terminal()
    }

    fn show(&self, event: &Event) -> Outcome {
        if !self.filter.wants_event(event) {
            return Ok(());
        }
        if self.is_for_people() {
            return say(line(event, Paint::of(&std::io::stdout())));
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
            let letters: Vec<Value> = serde_json::from_str(&body)?;
            for letter in &letters {
                after = letter["id"].as_u64().unwrap_or(after).max(after);
                if !self.filter.wants_json(&letter["event"]) {
                    continue;
                }
                if self.is_for_people() {
                    say(letter_line(letter, Paint::of(&std::io::stdout())))?;
                } else {
                    say(letter)?;
                }
            }
            match (letters.is_empty(), self.follow) {
                (true, false) => return Ok(()),
                (true, true) => tokio::time::sleep(ASK).await,
                (false, _) => {}
            }
        }
    }

    async fn events(self) -> Outcome {
        let mut next = self.first().await?;
        loop {
            let path = format!("/api/v1/events?from={next}&limit={PAGE}&outcome=true");
            let events: Vec<Value> =
                serde_json::from_str(&self.host.ask(reqwest::Method::GET, &path).await?)?;
            let mut waits = events.is_empty();
            for event in &events {
                let seen = Seen::deserialize(event)?;
                if self.follow && seen.is_under_way() && now_ms().saturating_sub(seen.at_ms) < UNDER_WAY_MS {
                    waits = true;
                    break;
                }
                next = seen.offset + 1;
                if !self.filter.wants(&seen.id, &seen.kind, seen.subject.as_deref(), &seen.source) {
                    continue;
                }
                if self.is_for_people() {
                    say(seen.line(Paint::of(&std::io::stdout())))?;
                } else {
                    say(event)?;
                }
            }
            match (waits, self.follow) {
                (true, true) => tokio::time::sleep(ASK).await,
                (true, false) => return Ok(()),
                (false, _) => {}
            }
        }
    }

    /// The offset to begin with: what was said, or a little before the end.
    async fn first(&self) -> Result<u64, Failure> {
        let before = if self.follow { BEFORE } else { PAGE };
        if let Some(from) = self.from {
            return Ok(from);
        }
        let path = format!("/api/v1/events?limit={before}");
        let latest: Vec<Seen> = serde_json::from_str(&self.host.ask(reqwest::Method::GET, &path).await?)?;
        Ok(latest.last().map_or(0, |oldest| oldest.offset))
    }
}

impl Seen {
    fn is_under_way(&self) -> bool {
        self.outcome.as_ref().is_some_and(|told| told.state == "pending")
    }

    /// What became of it, in a word.
    pub(super) fn outcome(&self) -> (Health, String) {
        let Some(told) = &self.outcome else { return (Health::Well, "not noted".into()) };
        let health = match told.state.as_str() {
            "dead_letter" => Health::Ill,
            "delivered" => Health::Well,
            _ => Health::Doubtful,
        };
        let word = if told.state == "pending" { "under way".into() } else { told.state.replace('_', " ") };
        (health, word)
    }

    /// Who dropped it, failed on it or gave it up.
    pub(super) fn why(&self) -> &str {
        self.outcome.as_ref().and_then(|told| told.why.as_deref()).unwrap_or_default()
    }

    /// When it was accepted, by the clock of where the reader is.
    pub(super) fn clock(&self) -> String {
        let at = i64::try_from(self.at_ms).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        at.map_or_else(
            || "?".into(),
            |at| at.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string(),
        )
    }

    fn line(&self, paint: Paint) -> String {
        let (health, word) = self.outcome();
        let routes = self.outcome.as_ref().map(|told| told.routes.join(",")).unwrap_or_default();
        let parts = [
            paint.quiet(&self.clock()),
            paint.health(health, &format!("{word:<11}")),
            paint.by_word(&self.kind),
            self.id.clone(),
            self.subject.clone().unwrap_or_else(|| "-".into()),
            paint.quiet(&format!("from {}", self.source)),
            paint.by_word(&routes),
            paint.quiet(&bytes(self.size)),
            one_line(self.why()),
        ];
        join(parts)
    }
}

/// An event from disk, for people.
fn line(event: &Event, paint: Paint) -> String {
    let data = match event.data_kind() {
        DataKind::None => String::new(),
        DataKind::Binary => format!("{} of data", bytes(event.data().len() as u64)),
        DataKind::Json | DataKind::Text => one_line(&String::from_utf8_lossy(event.data())),
    };
    let parts = [
        paint.by_word(event.kind()),
        event.id().to_owned(),
        event.subject().unwrap_or("-").to_owned(),
        paint.quiet(&format!("from {}", event.source())),
        data,
    ];
    join(parts)
}

fn letter_line(letter: &Value, paint: Paint) -> String {
    let (event, place) = (&letter["event"], &letter["place"]);
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let failed_at = place["backend"].as_str().or(place["plugin"].as_str()).unwrap_or("-");
    let parts = [
        paint.quiet(&letter["id"].to_string()),
        paint.health(Health::Ill, failed_at),
        paint.by_word(&text(&event["type"])),
        text(&event["id"]),
        paint.by_word(&text(&letter["route"])),
        one_line(&text(&letter["reason"])),
    ];
    join(parts)
}

fn join<const N: usize>(parts: [String; N]) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ")
}

/// The stream of the first local backend.
fn first_stream(settings: &Settings) -> String {
    let locals = config::backends(settings).into_iter().filter(|spec| spec.kind == "local");
    let mut names = locals.filter_map(|spec| spec.config["stream_name"].as_str().map(str::to_owned));
    names.next().unwrap_or_else(|| local::Local::default().stream_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter() -> Filter {
        Filter { matching: None, kind: None, subject: None, source: None, id: None }
    }

    #[test]
    fn filters_hold_all_together() {
        let wants = |filter: Filter| filter.wants("e1", "com.example.done", Some("document/1"), "stage2");
        let some = |text: &str| Some(text.to_owned());
        assert!(wants(filter()));
        assert!(wants(Filter {
            kind: some("done"),
            subject: some("document/"),
            source: some("stage"),
            ..filter()
        }));
        assert!(wants(Filter { matching: some("stage2"), id: some("e1"), ..filter() }));
        assert!(!wants(Filter { id: some("e"), ..filter() }), "an id is whole");
        assert!(!wants(Filter { kind: some("done"), source: some("other"), ..filter() }));
        let event = serde_json::json!({ "id": "e1", "type": "t", "source": "s" });
        assert!(Filter { kind: some("t"), ..filter() }.wants_json(&event));
        assert!(!Filter { subject: some("x"), ..filter() }.wants_json(&event));
    }

    #[test]
    fn a_line_for_people_says_what_became_of_it() {
        let seen: Seen = serde_json::from_str(
            r#"{"offset": 1, "at_ms": 0, "id": "e1", "source": "stage2", "type": "t", "size": 1024,
                "outcome": {"state": "dead_letter", "routes": ["r"], "why": "hook: 503"}}"#,
        )
        .unwrap();
        let line = seen.line(Paint::Plain);
        assert!(line.ends_with("dead letter  t  e1  -  from stage2  r  1.00 KiB  hook: 503"), "{line}");
        let coloured = seen.line(Paint::Coloured);
        assert!(coloured.contains("\u{1b}[31mdead letter"), "{coloured:?}");
    }

    #[test]
    fn data_commands_no_terminal() {
        let event = Event::builder("e", "s", "t").json("{\"a\": \"\u{1b}[2J\"}").build().unwrap();
        let line = line(&event, Paint::Plain);
        assert!(!line.contains('\u{1b}') && line.starts_with("t  e  -  from s  {\"a\""), "{line:?}");
    }
}
