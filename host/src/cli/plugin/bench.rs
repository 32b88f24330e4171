//! `stagewire plugin bench`: what an event costs in a plugin, beside a plugin that does nothing.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::encode::WIT;
use super::{engine, load, print_json};
use crate::Event;
use crate::names::PluginName;
use crate::plugins::{Engine, Limits, Outcome, Passage, Plugin, Step};

/// Measure a plugin: nanoseconds an event and memory, against a plugin that does nothing
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  stagewire plugin bench plugins/redact.wasm --settings '{\"remove\":[\"text\"]}' --event events/sample.json"
)]
pub(super) struct Bench {
    /// The .wasm file
    file: PathBuf,
    /// The step's settings as JSON
    #[arg(long, value_name = "JSON", default_value = "{}")]
    settings: String,
    /// The event as structured JSON, `-` for standard input; without it, one of 900 bytes
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// How long to measure
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    seconds: u64,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// A filter that keeps every event, and looks at none.
const EMPTY: &str = include_str!("empty.wat");
const ROUND: Duration = Duration::from_millis(50);

impl Bench {
    pub(super) fn run(self) -> Result<(), String> {
        let engine = engine()?;
        let event = match &self.event {
            Some(file) => crate::cli::read_event(file).map_err(|failure| match failure {
                crate::cli::Failure::Failed(message) | crate::cli::Failure::Usage(message) => message,
            })?,
            None => sample(),
        };
        let plugin = load(&engine, &self.file)?;
        let empty = prepare(&empty(&engine)?, "{}")?;
        let started = Instant::now();
        let step = prepare(&plugin, &self.settings)?;
        let start = started.elapsed();
        let verdict = word(&step.run(0, &event, Passage::default()));
        let (mut ones, mut others) = (Vec::new(), Vec::new());
        let end = Instant::now() + Duration::from_secs(self.seconds);
        // Rounds alternate, so that a machine that drifts drifts for both.
        while ones.len() < 3 || Instant::now() < end {
            ones.push(round(&step, &event));
            others.push(round(&empty, &event));
        }
        let (one, other) = (median(ones), median(others));
        let memory = step.memory();
        if self.json {
            return print_json(&json!({
                "ns_per_event": one.round(), "ns_per_event_of_nothing": other.round(), "ratio": one / other,
                "verdict": verdict, "memory": memory, "start_us": start.as_micros(),
                "event_bytes": event.record().len(),
            }));
        }
        println!("event        {} bytes, {verdict}", event.record().len());
        println!(
            "time         {one:.0} ns an event; a plugin that does nothing: {other:.0} ns, ratio {:.2}",
            one / other
        );
        println!("memory       {} an instance", crate::config::units::Size(memory));
        println!("start        {} µs to instantiate and configure", start.as_micros());
        Ok(())
    }
}

fn empty(engine: &Arc<Engine>) -> Result<Arc<Plugin>, String> {
    let mut module = wat::parse_str(EMPTY).map_err(|error| error.to_string())?;
    let mut wit = Resolve::default();
    let package = wit.push_str("stagewire.wit", WIT).map_err(|error| error.to_string())?;
    let world = wit.select_world(&[package], Some("filter")).map_err(|error| error.to_string())?;
    embed_component_metadata(&mut module, &wit, world, StringEncoding::UTF8, false)
        .map_err(|error| error.to_string())?;
    Plugin::load(engine, &PluginName::from("empty"), &module).map_err(|error| error.to_string())
}

fn prepare(plugin: &Arc<Plugin>, settings: &str) -> Result<Step, String> {
    let limits = Limits { time: Duration::from_secs(1), ..Limits::default() };
    Step::alone("bench", plugin, settings.into(), limits).map_err(|error| error.to_string())
}

fn round(step: &Step, event: &Event) -> f64 {
    let begin = Instant::now();
    let mut calls = 0_u32;
    while begin.elapsed() < ROUND {
        // The clock is looked at seldom.
        (0..64).for_each(|_| _ = black_box(step.run(0, black_box(event), Passage::default())));
        calls += 64;
    }
    begin.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Keep => "kept".into(),
        Outcome::Drop(reason) => format!("dropped: {reason}"),
        Outcome::Out(events) => format!("{} events out", events.len()),
        Outcome::Failed(failed) => format!("failed: {}", failed.reason),
    }
}

/// A processed document of the inter-stage document's kind.
fn sample() -> Event {
    let mut data = String::from(
        r#"{"document_id":"doc-123","status":"success","text":"Once upon a time.","entities":["#,
    );
    while data.len() < 850 {
        data.push_str(r#"{"name":"Ada","kind":"person","score":0.97},"#);
    }
    data.push_str(r#"{"name":"Ada"}]}"#);
    Event::builder("evt_1", "stage2-nlp-processing", "com.storytelling.nlp.document.processed")
        .subject("document/doc-123")
        .time("2025-12-14T12:00:00Z")
        .json(data)
        .build()
        .expect("a constant that a test builds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_an_event_and_the_empty_plugin_keeps_it() {
        let empty = empty(&engine().unwrap()).unwrap();
        assert_eq!(prepare(&empty, "{}").unwrap().run(0, &sample(), Passage::default()), Outcome::Keep);
    }
}
