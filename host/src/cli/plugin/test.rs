//! `stagewire plugin test`: runs a plugin's cases, and shows what came otherwise as a diff.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use clap::Args;
use notify::{RecursiveMode, Watcher};
use owo_colors::OwoColorize;
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

use super::{engine, load, print_json};
use crate::cli::paint::Paint;
use crate::cli::{Failure, Outcome, say};
use crate::host::cases_file;
use crate::plugins::{Cases, Kind, Tried};

/// Run a plugin's cases: an event each, and what the plugin is to make of it
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stagewire plugin test plugins/redact.wasm\n  stagewire plugin test plugins/redact.wasm --update\n  stagewire plugin test my-filter/ --watch\n\nA file of cases, my-filter.test.yaml:\n  settings: { least: 10 }\n  cases:\n    - event: { type: com.example.made, data: { text: hello } }\n      expect: keep\n    - event: { type: com.example.made }\n      expect: { drop: too small }"
)]
pub(super) struct Test {
    /// The .wasm file, or the directory of a plugin, which is built first
    #[arg(default_value = ".")]
    plugin: PathBuf,
    /// The cases; by default NAME.test.yaml beside NAME.wasm, or cases.yaml in the directory
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// Writes what came into the file as what is expected (its comments are lost)
    #[arg(long)]
    update: bool,
    /// Builds and runs again whenever something changes
    #[arg(long, conflicts_with_all = ["update", "json"])]
    watch: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

impl Test {
    pub(super) fn run(self) -> Outcome {
        if self.watch { self.watch() } else { self.once() }
    }

    fn once(&self) -> Outcome {
        let (wasm, file) = self.places()?;
        let yaml = std::fs::read_to_string(&file).map_err(|error| {
            let hint = "`stagewire plugin test --help` shows what stands in it";
            Failure::Failed(format!("cannot read the cases in {}: {error}; {hint}", file.display()))
        })?;
        let mut cases =
            Cases::parse(&yaml).map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
        let plugin = load(&engine()?, &wasm)?;
        let tried = cases.run(&plugin)?;
        if self.json {
            print_json(&report(&tried, plugin.kind))?;
        } else {
            show(&tried, plugin.kind)?;
        }
        let failed = tried.iter().filter(|tried| !tried.passed).count();
        if failed > 0 && self.update {
            cases.update(&tried);
            let text = serde_saphyr::to_string(&cases)?;
            std::fs::write(&file, text)?;
            return say(format_args!("{} updated", file.display()));
        }
        if failed > 0 { Err(Failure::Failed(String::new())) } else { Ok(()) }
    }

    /// The plugin's file, built where it has to be, and the file of its cases.
    fn places(&self) -> Result<(PathBuf, PathBuf), Failure> {
        let directory = self.plugin.is_dir();
        let wasm = if directory { super::build::run(&self.plugin)? } else { self.plugin.clone() };
        let beside = || if directory { self.plugin.join("cases.yaml") } else { cases_file(&wasm) };
        let file = self.cases.clone().unwrap_or_else(beside);
        Ok((wasm, file))
    }

    fn watch(&self) -> Outcome {
        let (changed, changes) = channel();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // What a build writes below `target` is no change of the plugin.
            let own = |path: &PathBuf| path.components().any(|part| part.as_os_str() == "target");
            let real = event.is_ok_and(|event| !event.kind.is_access() && !event.paths.iter().all(own));
            // Nobody listens any more once the command ends.
            let _ = if real { changed.send(()) } else { Ok(()) };
        })?;
        let place = if self.plugin.is_dir() { &self.plugin } else { parent(&self.plugin) };
        watcher.watch(place, RecursiveMode::Recursive)?;
        if let Some(cases) = &self.cases {
            watcher.watch(parent(cases), RecursiveMode::NonRecursive)?;
        }
        loop {
            match self.once() {
                Err(Failure::Failed(message) | Failure::Usage(message)) if !message.is_empty() => {
                    say(format_args!("{message}"))?;
                }
                _ => {}
            }
            say("waiting for changes; Ctrl-C ends")?;
            if !settled(&changes) {
                return Ok(());
            }
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Waits for a change, and until no more come for a moment: editors save in several steps.
fn settled(changes: &Receiver<()>) -> bool {
    if changes.recv().is_err() {
        return false;
    }
    loop {
        match changes.recv_timeout(Duration::from_millis(30)) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

fn show(tried: &[Tried], kind: Kind) -> Outcome {
    let colour = Paint::of(&std::io::stdout()) == Paint::Coloured;
    for tried in tried {
        let word = if tried.passed { "ok" } else { "FAILED" };
        say(format_args!("{word:<7} {} ({})", tried.name, tried.verdict))?;
        if !tried.passed {
            difference(&tried.expected, &tried.found, colour)?;
        }
    }
    let failed = tried.iter().filter(|tried| !tried.passed).count();
    say(format_args!("{} passed, {failed} failed", tried.len() - failed))?;
    match missing(tried, kind).as_slice() {
        [] => Ok(()),
        verdicts => say(format_args!("no case shows: {}", verdicts.join(", "))),
    }
}

fn difference(expected: &Value, found: &Value, colour: bool) -> Outcome {
    let [expected, found] = [expected, found].map(|value| format!("{value:#}\n"));
    for change in TextDiff::from_lines(&expected, &found).iter_all_changes() {
        let line = change.value().trim_end_matches('\n');
        match change.tag() {
            ChangeTag::Equal => say(format_args!("    {line}"))?,
            ChangeTag::Delete if colour => say(format_args!("  {}", format_args!("- {line}").red()))?,
            ChangeTag::Insert if colour => say(format_args!("  {}", format_args!("+ {line}").green()))?,
            ChangeTag::Delete => say(format_args!("  - {line}"))?,
            ChangeTag::Insert => say(format_args!("  + {line}"))?,
        }
    }
    Ok(())
}

/// The verdicts that a plugin of that kind can come to and no case shows.
fn missing(tried: &[Tried], kind: Kind) -> Vec<&'static str> {
    let possible: &[_] = match kind {
        Kind::Filter => &["keep", "drop", "fails"],
        Kind::Transform => &["keep", "events", "drop", "fails"],
    };
    possible.iter().copied().filter(|verdict| tried.iter().all(|tried| tried.verdict != *verdict)).collect()
}

fn report(tried: &[Tried], kind: Kind) -> Value {
    let passed = tried.iter().all(|tried| tried.passed);
    json!({ "passed": passed, "cases": tried, "not_shown": missing(tried, kind) })
}
