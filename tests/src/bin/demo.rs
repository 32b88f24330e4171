//! `cargo xtask demo`: a host on its embedded stream, the second stage's events, and two live swaps.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use owo_colors::{OwoColorize as _, Stream, Style};
use serde_json::Value;
use stagewire_tests::stories::{self, STORIES};
use stagewire_tests::{Host, places, waiting};

const STREAM: &str = "stage3";
const WIDTH: usize = 76;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let keep = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ending::Stop,
        ["--keep"] => Ending::Keep,
        _ => {
            eprintln!("usage: demo [--keep]");
            return ExitCode::from(2);
        }
    };
    let begin = Instant::now();
    let mut demo = Demo::start().await;
    demo.first_batch().await;
    demo.swap_a_rule().await;
    demo.swap_a_plugin().await;
    demo.summary(begin).await;
    if keep == Ending::Keep {
        demo.wait_for_the_end().await;
    }
    ExitCode::SUCCESS
}

#[derive(PartialEq, Eq)]
enum Ending {
    Stop,
    Keep,
}

/// Two builds of one plugin: they differ in nothing but the version that they stamp.
const BUILDS: [&str; 2] = ["stamps-version-1", "stamps-version-2"];

/// The rules: documents lose their text and get a stamp, everything else passes a filter of types.
fn settings<const N: usize>(types: [&str; N]) -> String {
    format!(
        "events:
  enabled: true
  backend: local
  local: {{ stream_name: {STREAM} }}
routes:
  - name: documents
    match: [{{ exact: {{ type: {processed} }} }}]
    steps:
      - plugin: redact
        settings: {{ remove: [text] }}
      - plugin: stamp
        settings: {{ version: demo }}
    deliver: [local]
  - name: everything-else
    match: [{{ not: {{ exact: {{ type: {processed} }} }} }}]
    steps:
      - plugin: type-filter
        settings: {{ allow: [{types}] }}
    deliver: [local]
",
        processed = stories::PROCESSED,
        types = types.map(|kind| format!("\"{kind}\"")).join(", "),
    )
}

struct Demo {
    host: Host,
    arrived: usize,
    sent: usize,
}

impl Demo {
    async fn start() -> Self {
        heading("A host, its embedded stream, two routes");
        let begin = Instant::now();
        let host = Host::with(settings(["com.storytelling.nlp.batch.*"]))
            .plugins(&["redact", "type-filter"])
            .plugin_file("stamp", &places::guest(BUILDS[0]))
            .start()
            .await;
        say(&format!("ready after {} ms at {}", begin.elapsed().as_millis(), host.events_url()));
        say("documents        redact (remove: text) ▸ stamp ▸ local");
        say("everything-else  type-filter (allow: batch.*) ▸ local");
        Self { host, arrived: 0, sent: 0 }
    }

    async fn first_batch(&mut self) {
        heading("The second stage sends a batch of stories, text and all");
        let events = self.send(stories::batch()).await;
        compare(&stories::batch(), &events);
        let with_text = events.iter().filter(|event| event["data"].get("text").is_some()).count();
        say(&format!("events that still carry a story's text: {with_text}"));
    }

    async fn swap_a_rule(&mut self) {
        heading("A rule is edited: type-filter now lets document.failed through");
        let types = ["com.storytelling.nlp.batch.*", stories::FAILED];
        let time = self.swap(|host| host.put_settings(&settings(types))).await;
        say(&format!("active {} ms after the file was saved", time.as_millis()));
        let sent: Vec<_> = STORIES[..2].iter().map(stories::Story::failed).collect();
        let events = self.send(sent.clone()).await;
        compare(&sent, &events);
    }

    async fn swap_a_plugin(&mut self) {
        heading("A plugin is rebuilt: stamp, version 1 to version 2");
        let sent = [STORIES[2].processed()];
        let before = self.send(sent.to_vec()).await;
        let time = self.swap(|host| host.put_plugin("stamp", &places::guest(BUILDS[1]))).await;
        let after = self.send(sent.to_vec()).await;
        say(&format!("active {} ms after the file was replaced", time.as_millis()));
        for (when, events) in [("before", before), ("after", after)] {
            let stamp = events.first().and_then(|event| event["version"].as_str()).unwrap_or("nothing");
            say(&format!("{when:<8} version: {stamp}"));
        }
    }

    async fn summary(&self, begin: Instant) {
        heading("Summary");
        let refused = self.host.metric("stagewire_swaps_refused_total", &[]).await;
        say(&format!("{} events sent, {} arrived in the stream {STREAM:?}", self.sent, self.arrived));
        say(&format!("{} filtered, the rest redacted where it had text", self.sent - self.arrived));
        say(&format!("2 live swaps, {refused} refused, no event lost, no connection closed"));
        say(&format!("{:.1} s from start to here", begin.elapsed().as_secs_f64()));
    }

    async fn wait_for_the_end(&self) {
        heading("The host is left running; Ctrl-C ends it");
        let command = places::stagewire();
        let settings = self.host.settings_path();
        let (command, settings) = (command.display(), settings.display());
        println!("  watch     {command} tail local --follow --config {settings}");
        println!("  send      {command} send --type {} --source demo \\", stories::PROCESSED);
        println!("              --data '{{\"text\":\"secret\",\"n\":1}}' {}", self.host.events_url());
        println!("  edit      {settings}");
        println!(
            "  rebuild   cp target/guests/{}.wasm {}/stamp.wasm",
            BUILDS[0],
            self.host.plugin_directory().display()
        );
        println!("  metrics   curl http://{}/metrics", self.host.admin_address());
        // Without a signal there is nothing to wait for.
        let _ = tokio::signal::ctrl_c().await;
    }

    /// Sends events and gives what came out of the stream for them.
    async fn send(&mut self, events: Vec<Value>) -> Vec<Value> {
        self.host.send_all(&events).await;
        self.sent += events.len();
        self.host.has_settled().await;
        let all = self.read().await;
        let new = all[self.arrived..].to_vec();
        self.arrived = all.len();
        new
    }

    /// Reads the stream as a user does.
    async fn read(&self) -> Vec<Value> {
        let settings = self.host.settings_path();
        let arguments = ["tail", "local", "--config", &*settings.to_string_lossy()];
        let output = self.host.run(&arguments).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`stagewire {}`: {said}", arguments.join(" "));
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Changes something on disk, and waits until the host has seen it by itself.
    async fn swap(&self, change: impl FnOnce(&Host)) -> Duration {
        let before = self.host.generation().await;
        let begin = Instant::now();
        change(&self.host);
        let what = "the change on disk is active";
        waiting::until_true(what, waiting::PATIENCE, async || self.host.generation().await > before).await;
        begin.elapsed()
    }
}

/// What was sent and what arrived, by type.
fn compare(sent: &[Value], arrived: &[Value]) {
    let count = |events: &[Value]| {
        let mut counts = BTreeMap::<String, usize>::new();
        for event in events {
            *counts.entry(event["type"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        counts
    };
    let redacted = |kind: &str| {
        let texts = |events: &[Value]| {
            let of_kind = events.iter().filter(|event| event["type"] == kind);
            of_kind.filter(|event| event["data"].get("text").is_some()).count()
        };
        texts(sent) - texts(arrived).min(texts(sent))
    };
    let counts = count(arrived);
    println!("  {}", paint(&format!("{:<44}{:>5}{:>9}", "type", "sent", "arrived"), Style::new().dimmed()));
    for (kind, sent) in count(sent) {
        let came = counts.get(&kind).copied().unwrap_or(0);
        let note = match (came < sent, redacted(&kind)) {
            (true, _) => paint("filtered", Style::new().yellow()),
            (false, 0) => paint("as sent", Style::new().green()),
            (false, _) => paint("redacted", Style::new().cyan()),
        };
        println!("  {kind:<44}{sent:>5}{came:>9}  {note}");
    }
}

fn heading(text: &str) {
    println!("\n{}", paint(text, Style::new().bold()));
    println!("{}", paint(&"─".repeat(WIDTH.min(text.chars().count())), Style::new().dimmed()));
}

fn say(text: &str) {
    println!("  {text}");
}

/// In colour on a terminal, unless `NO_COLOR` asks for none.
fn paint(text: &str, style: Style) -> String {
    if !std::io::stdout().is_terminal() {
        return text.to_owned();
    }
    text.if_supports_color(Stream::Stdout, |text| text.style(style)).to_string()
}
