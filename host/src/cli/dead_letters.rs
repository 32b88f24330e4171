//! `stagewire dead-letters list | show | retry | drop | export`

use std::io::Write;
use std::time::Duration;

use clap::Subcommand;
use comfy_table::{Table, presets};
use serde_json::Value;

use super::{AdminAddress, Failure, Outcome, encoded, say};
use crate::admin::shown;
use crate::config::units::Span;
use crate::host::Done;
use crate::journal::{DeadLetters as Store, Filter, now_ms};

/// Letters that are read at once.
const PAGE: usize = 1_000;
/// A retry at a rate goes in steps of this length.
const STEP: Duration = Duration::from_millis(200);

/// See and act on events that could not be delivered or processed
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stagewire dead-letters list --backend webhook --since 2h\n  stagewire dead-letters retry --reason 'answered 503' --dry-run\n  stagewire dead-letters retry --all --rate 100\n  stagewire dead-letters export letters.jsonl"
)]
pub(super) struct DeadLetters {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List letters, oldest first; also while no host runs
    List {
        #[command(flatten)]
        which: Which,
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one letter with its event
    Show {
        /// The letter's number, or the event's id
        letter: String,
        #[command(flatten)]
        host: AdminAddress,
    },
    /// Try letters again, each where it failed; it is kept until that is settled
    Retry {
        #[command(flatten)]
        acting: Acting,
        /// Letters a second at most
        #[arg(long)]
        rate: Option<f64>,
    },
    /// Remove letters for good
    Drop {
        #[command(flatten)]
        acting: Acting,
    },
    /// Write letters as JSON lines; also while no host runs
    Export {
        /// The file; standard output for -
        #[arg(default_value = "-")]
        file: std::path::PathBuf,
        #[command(flatten)]
        which: Which,
    },
}

#[derive(clap::Args)]
struct Which {
    #[command(flatten)]
    host: AdminAddress,
    /// Only this letter: its number, or the event's id
    #[arg(long)]
    id: Option<String>,
    /// Only of this route
    #[arg(long)]
    route: Option<String>,
    /// Only those that failed at this backend
    #[arg(long)]
    backend: Option<String>,
    /// Only events of this type
    #[arg(long = "type")]
    kind: Option<String>,
    /// Only those whose reason contains this
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only those given up since: 2h, 7d, or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<u64>,
}

#[derive(clap::Args)]
struct Acting {
    #[command(flatten)]
    which: Which,
    /// All letters, where nothing else says which
    #[arg(long)]
    all: bool,
    /// Only count
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn since(text: &str) -> Result<u64, String> {
    if let Ok(Span(ago)) = Span::parse(text) {
        return Ok(now_ms().saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)));
    }
    let at: jiff::Timestamp =
        text.parse().map_err(|_| "write it like 2h, 7d or 2026-01-31T12:00:00Z".to_owned())?;
    Ok(u64::try_from(at.as_millisecond()).unwrap_or(0))
}

impl DeadLetters {
    pub(super) async fn run(self) -> Outcome {
        match self.action {
            Action::List { which, limit, json } => {
                let letters = which.letters(limit).await?;
                if json { say(Value::from(letters)) } else { say(table(&letters)) }
            }
            Action::Show { letter, host } => {
                let which = Which {
                    host,
                    id: Some(letter.clone()),
                    route: None,
                    backend: None,
                    kind: None,
                    reason: None,
                    since: None,
                };
                let letters = which.letters(1).await?;
                let missing = || Failure::Failed(format!("there is no dead letter {letter}"));
                say(serde_json::to_string_pretty(letters.first().ok_or_else(missing)?)?)
            }
            Action::Retry { acting, rate } => acting.run("retry", rate).await,
            Action::Drop { acting } => acting.run("drop", None).await,
            Action::Export { file, which } => export(&file, &which.letters(usize::MAX).await?),
        }
    }
}

impl Which {
    fn filter(&self) -> Filter {
        Filter {
            id: self.id.clone(),
            route: self.route.clone(),
            backend: self.backend.clone(),
            kind: self.kind.clone(),
            reason: self.reason.clone(),
            since_ms: self.since,
        }
    }

    fn query(&self) -> String {
        let filter = serde_json::to_value(self.filter()).unwrap_or_default();
        let pairs = filter.as_object().into_iter().flatten();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let encode = |value: &Value| encoded(&text(value));
        pairs.flat_map(|(name, value)| [format!("&{name}="), encode(value)]).collect()
    }

    /// The letters: of the running host, or of its store where none runs.
    async fn letters(&self, limit: usize) -> Result<Vec<Value>, Failure> {
        let (mut letters, mut after) = (Vec::new(), 0);
        while letters.len() < limit {
            let most = PAGE.min(limit - letters.len());
            let path = format!("/api/v1/dead-letters?after={after}&limit={most}{}", self.query());
            let (code, body) = match self.host.call(reqwest::Method::GET, &path).await {
                Ok(answer) => answer,
                Err(unreachable) => return self.stored(limit).ok_or(unreachable)?,
            };
            if !code.is_success() {
                return Err(Failure::Failed(format!("the host answered {code}: {body}")));
            }
            let page: Vec<Value> = serde_json::from_str(&body)?;
            let Some(last) = page.last().and_then(|letter| letter["id"].as_u64()) else { break };
            after = last;
            letters.extend(page);
        }
        Ok(letters)
    }

    /// From the store on disk, if there is one.
    fn stored(&self, limit: usize) -> Option<Result<Vec<Value>, Failure>> {
        let dir = self.host.file.load().ok()?.host.data.join("dead-letters");
        let filter = self.filter();
        dir.is_dir().then(|| {
            let letters = Store::open(&dir)?.iter();
            let letters = letters.filter(|letter| filter.wants(letter)).take(limit);
            Ok(letters.map(|letter| serde_json::to_value(shown(&letter)).unwrap_or_default()).collect())
        })
    }
}

impl Acting {
    async fn run(&self, what: &str, rate: Option<f64>) -> Outcome {
        if self.which.filter() == Filter::default() && !self.all {
            return Err(Failure::Usage(format!("say which letters to {what}, or --all")));
        }
        if rate.is_some_and(|rate| rate <= 0.0) {
            return Err(Failure::Usage("--rate: write a number above 0".into()));
        }
        let mut whole = Done::default();
        loop {
            let step = self.step(what, rate, &whole).await?;
            let complete = step.complete;
            whole = Done {
                matched: whole.matched + step.matched,
                done: whole.done + step.done,
                refused: [whole.refused, step.refused].concat(),
                ..step
            };
            if complete {
                break;
            }
            if let Some(rate) = rate {
                tokio::time::sleep(STEP.max(Duration::from_secs_f64(1.0 / rate))).await;
            }
        }
        self.report(what, &whole)
    }

    /// One request of it. A command that is broken off has lost nothing: each letter is here or on its way.
    async fn step(&self, what: &str, rate: Option<f64>, before: &Done) -> Result<Done, Failure> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate")]
        let limit = rate.map_or(PAGE, |rate| (rate * STEP.as_secs_f64()).max(1.0) as usize);
        let until = if before.until == 0 { String::new() } else { format!("&until={}", before.until) };
        let path = format!(
            "/api/v1/dead-letters/{what}?after={}&limit={limit}&dry_run={}{until}{}",
            before.last,
            self.dry_run,
            self.which.query()
        );
        let body = self.which.host.ask(reqwest::Method::POST, &path).await?;
        Ok(serde_json::from_str(&body)?)
    }

    fn report(&self, what: &str, done: &Done) -> Outcome {
        if self.json {
            say(serde_json::to_string(done)?)?;
        } else if self.dry_run {
            say(format_args!("{} letters match; nothing was done", done.matched))?;
        } else {
            let did = if what == "retry" { "are tried again" } else { "are removed" };
            say(format_args!("{} of {} letters {did}", done.done, done.matched))?;
        }
        let stays = |stays: &crate::host::Stays| format!("letter {} stays: {}", stays.id, stays.reason);
        let refused: Vec<_> = done.refused.iter().map(stays).collect();
        if refused.is_empty() { Ok(()) } else { Err(Failure::Failed(refused.join("\n"))) }
    }
}

fn export(file: &std::path::Path, letters: &[Value]) -> Outcome {
    if file.as_os_str() == "-" {
        return letters.iter().try_for_each(say);
    }
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    for letter in letters {
        writeln!(out, "{letter}")?;
    }
    out.flush()?;
    say(format_args!("{} letters written to {}", letters.len(), file.display()))
}

fn table(letters: &[Value]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["letter", "event", "type", "route", "failed at", "tries", "reason"]);
    for letter in letters {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let place = &letter["place"];
        let place = if place["backend"].is_string() { &place["backend"] } else { &place["plugin"] };
        let event = &letter["event"];
        let columns = [
            &letter["id"],
            &event["id"],
            &event["type"],
            &letter["route"],
            place,
            &letter["tries"],
            &letter["reason"],
        ];
        table.add_row(columns.map(text));
    }
    table.to_string()
}
