//! `stagewire send`

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::ValueEnum;
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};

use super::{Failure, Outcome, say};
use crate::Event;
use crate::causes::innermost;
use crate::event::Draft;
use crate::protocol::{http, json};

/// Tries of one request while the host says 429 or 503, or does not answer.
const TRIES: u32 = 8;
/// Problems that are shown; the rest is counted.
const SHOWN: usize = 5;

/// Post events to a host
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stagewire send events/sample.json
  stagewire send --type com.example.hello --source me --data '{\"n\": 1}'
  generate | stagewire send - --mode batched --rate 1000")]
pub(super) struct Send {
    /// JSON lines, a JSON array, or one event; `-` is standard input
    file: Option<PathBuf>,
    /// Where to post
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8080/events",
        env = "STAGEWIRE_EVENTS"
    )]
    to: String,
    /// How events are carried
    #[arg(long, value_enum, default_value = "structured")]
    mode: Mode,
    /// Events in one batch, with --mode batched
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Events a second at most
    #[arg(long)]
    rate: Option<u32>,
    /// Send all of it so many times, each time with fresh ids
    #[arg(long, default_value_t = 1)]
    repeat: u32,
    /// Requests under way at once; more than one may change the order
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: u32,
    /// `type` of an event made from flags
    #[arg(long = "type", requires = "source", conflicts_with = "file")]
    kind: Option<String>,
    /// `source` of an event made from flags
    #[arg(long, requires = "kind")]
    source: Option<String>,
    /// `subject` of an event made from flags
    #[arg(long, requires = "kind")]
    subject: Option<String>,
    /// `id` of an event made from flags; a UUID where absent
    #[arg(long, requires = "kind")]
    id: Option<String>,
    /// JSON data of an event made from flags
    #[arg(long, requires = "kind")]
    data: Option<String>,
    /// A bearer token
    #[arg(long, env = "STAGEWIRE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// An API key
    #[arg(long, env = "STAGEWIRE_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Mode {
    Structured,
    Binary,
    Batched,
}

#[derive(Default)]
struct Tally {
    accepted: AtomicU64,
    refused: AtomicU64,
    problems: Mutex<Vec<String>>,
}

impl Send {
    pub(super) async fn run(self) -> Outcome {
        let events = self.events()?;
        let total = events.len() as u64 * u64::from(self.repeat);
        let progress = ProgressBar::new(total);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {per_sec}  {eta} left") {
            progress.set_style(style);
        }
        let (tally, started) = (Arc::new(Tally::default()), Instant::now());
        let client = reqwest::Client::new();
        let size = if self.mode == Mode::Batched { self.batch as usize } else { 1 };
        let repeated =
            (0..self.repeat).flat_map(|round| events.chunks(size).map(move |chunk| (round, chunk)));
        let mut sent = 0_u64;
        let requests = futures_util::stream::iter(repeated).map(|(round, chunk)| {
            let due =
                self.rate.map(|rate| started + Duration::from_secs_f64(sent as f64 / f64::from(rate.max(1))));
            sent += chunk.len() as u64;
            let (client, tally, progress) = (&client, &tally, &progress);
            let this = &self;
            async move {
                if let Some(due) = due {
                    tokio::time::sleep_until(due.into()).await;
                }
                this.post(client, &fresh(chunk, round), tally).await;
                progress.inc(chunk.len() as u64);
            }
        });
        requests.buffer_unordered(self.concurrency as usize).for_each(|()| async {}).await;
        progress.finish_and_clear();
        self.report(&tally, started.elapsed())
    }

    fn events(&self) -> Result<Vec<Event>, Failure> {
        if let (Some(kind), Some(source)) = (&self.kind, &self.source) {
            return Ok(vec![self.made(kind, source)?]);
        }
        let Some(file) = &self.file else {
            return Err(Failure::Usage("name a file, - for standard input, or --type and --source".into()));
        };
        let name = file.display();
        let bytes: Bytes = if file.as_os_str() == "-" {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes)?;
            bytes.into()
        } else {
            std::fs::read(file)
                .map_err(|error| Failure::Usage(format!("cannot read {name}: {error}")))?
                .into()
        };
        read(&bytes).map_err(|problem| Failure::Usage(format!("{name}: {problem}")))
    }

    fn made(&self, kind: &str, source: &str) -> Result<Event, Failure> {
        let id = self.id.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let mut draft = Event::builder(id, source, kind).time(jiff::Timestamp::now().to_string());
        draft.subject = self.subject.as_deref().map(Into::into);
        if let Some(data) = &self.data {
            serde_json::from_str::<serde::de::IgnoredAny>(data)
                .map_err(|error| Failure::Usage(format!("--data is not JSON: {error}")))?;
            draft = draft.json(data.clone());
        }
        draft.build().map_err(|invalid| Failure::Usage(invalid.to_string()))
    }

    async fn post(&self, client: &reqwest::Client, events: &[Event], tally: &Tally) {
        let count = events.len() as u64;
        for try_ in 1..=TRIES {
            let problem = match self.request(client, events).send().await {
                Ok(response) if response.status().is_success() => {
                    tally.accepted.fetch_add(count, Ordering::Relaxed);
                    return;
                }
                Ok(response) => {
                    let (status, wait) = (response.status(), pause(&response));
                    let body = response.text().await.unwrap_or_default();
                    if try_ < TRIES
                        && matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
                    {
                        tokio::time::sleep(wait).await;
                        continue;
                    }
                    detail(status, &body)
                }
                Err(error) => format!(
                    "cannot reach {}: {}; is the host running? (--to, host.listen)",
                    self.to,
                    innermost(&error)
                ),
            };
            tally.refused.fetch_add(count, Ordering::Relaxed);
            let mut problems = tally.problems.lock();
            if problems.len() < SHOWN && !problems.contains(&problem) {
                problems.push(problem);
            }
            return;
        }
    }

    fn request(&self, client: &reqwest::Client, events: &[Event]) -> reqwest::RequestBuilder {
        let mut request = client.post(&self.to);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(key) = &self.api_key {
            request = request.header("x-api-key", key);
        }
        let mut body = Vec::new();
        match (self.mode, events) {
            (Mode::Binary, [event]) => {
                let (headers, data) = http::encode_binary(event);
                request.headers(headers).body(data)
            }
            (Mode::Structured, [event]) => {
                json::encode(event, &mut body);
                request.header(CONTENT_TYPE, http::STRUCTURED).body(body)
            }
            _ => {
                json::encode_batch(events, &mut body);
                request.header(CONTENT_TYPE, http::BATCHED).body(body)
            }
        }
    }

    fn report(&self, tally: &Tally, took: Duration) -> Outcome {
        let (accepted, refused) =
            (tally.accepted.load(Ordering::Relaxed), tally.refused.load(Ordering::Relaxed));
        let problems = tally.problems.lock().clone();
        let seconds = took.as_secs_f64();
        if self.json {
            say(
                serde_json::json!({ "accepted": accepted, "refused": refused, "seconds": seconds, "problems": problems }),
            )?;
        } else {
            say(format_args!(
                "{accepted} accepted, {refused} refused, {seconds:.2} s, {:.0} events/s",
                accepted as f64 / seconds.max(1e-9)
            ))?;
        }
        match (refused, self.json) {
            (0, _) => Ok(()),
            (_, true) => Err(Failure::Failed(String::new())),
            (_, false) => Err(Failure::Failed(problems.join("\n"))),
        }
    }
}

/// One event, a JSON array, or one event a line.
fn read(bytes: &Bytes) -> Result<Vec<Event>, String> {
    let text = bytes.trim_ascii();
    if text.starts_with(b"[") {
        return json::decode_batch(bytes).map_err(|errors| {
            let lines: Vec<_> =
                errors.iter().map(|(index, error)| format!("event {index}: {error}")).collect();
            lines.join("\n")
        });
    }
    if let Ok(event) = json::decode(bytes) {
        return Ok(vec![event]);
    }
    let lines =
        text.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    lines
        .map(|(index, line)| {
            json::decode(&bytes.slice_ref(line)).map_err(|error| format!("line {}: {error}", index + 1))
        })
        .collect()
}

/// The events themselves the first time, and with ids of their own each time after.
fn fresh(events: &[Event], round: u32) -> Vec<Event> {
    if round == 0 {
        return events.to_vec();
    }
    let renamed = |event: &Event| {
        let draft = Draft { id: format!("{}-{round}", event.id()).into(), ..event.edit() };
        // Only the id has changed, and not to nothing.
        draft.build().unwrap_or_else(|_| event.clone())
    };
    events.iter().map(renamed).collect()
}

fn pause(response: &reqwest::Response) -> Duration {
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(asked.unwrap_or(1).min(30))
}

fn detail(status: StatusCode, body: &str) -> String {
    let problem: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    format!("{status}: {}", problem["detail"].as_str().unwrap_or(body))
}
