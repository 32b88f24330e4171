//! `stagewire route list | test`

use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use owo_colors::OwoColorize;
use serde_json::json;

use super::{Failure, Outcome, SettingsFile, colour, diff, read_event, say};
use crate::config::Settings;
use crate::host::{
    Deed, Delivery, RouteCases, Trial, Trials, TriedCase, cache_directory, milliseconds, with_default_route,
};
use crate::journal::now_ms;
use crate::plugins::Engine;
use crate::registry;
use crate::router::Condition;

/// List the routes, or try events against them
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stagewire route list\n  stagewire route test --event events/sample.json\n  stagewire route test --cases config/cases.yaml"
)]
pub(super) struct Route {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show each route: what it matches, its steps, where it delivers
    List {
        #[command(flatten)]
        file: SettingsFile,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    Test(Test),
}

/// Show what each route would do with an event, step by step, without delivering; or run a file of cases
#[derive(clap::Args)]
#[command(after_help = "\
No backend is connected to. Steps run in fresh instances whose state is theirs alone.

Examples:
  stagewire route test --event events/sample.json
  stagewire route test --config config/next.yaml --json < event.json
  stagewire route test --cases config/cases.yaml

A file of cases:
  cases:
    - name: a processed document goes on without its text
      event: { type: document.processed, subject: document/1, data: { text: hello, n: 1 } }
      expect:
        routes: [processed]                                  # exactly these take it
        dropped: { audit: not asked for }                    # a part of the reason is enough
        delivered: { redis_streams: [{ data: { n: 1 } }] }   # of an event a part is enough
        places: { redis_streams: [stream nlp-events] }
    - file: ../events/started.json                           # beside this file
      expect: { delivered: { redis_streams: [] } }           # gets nothing

Exit code with --cases: 0 where all is as expected, 1 where not, 2 where the file or the settings are wrong.")]
struct Test {
    #[command(flatten)]
    file: SettingsFile,
    /// The event as structured JSON; `-` is standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    event: PathBuf,
    /// When the event is accepted, for routes with `times`: 2025-12-14T12:00:00Z; now by default
    #[arg(long, value_name = "TIME", conflicts_with = "cases")]
    at: Option<jiff::Timestamp>,
    /// Events, and what is to become of them
    #[arg(long, value_name = "FILE", conflicts_with = "event")]
    cases: Option<PathBuf>,
    /// Write what came into the file of cases as what is expected (its comments are lost)
    #[arg(long, requires = "cases")]
    update: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Route {
    pub(super) fn run(self) -> Outcome {
        match self.action {
            Action::List { file, json } => list(&with_default_route(&file.load()?), json),
            Action::Test(test) => test.run(),
        }
    }
}

fn list(settings: &Settings, json: bool) -> Outcome {
    if json {
        return say(serde_json::to_string(&settings.routes)?);
    }
    for route in &settings.routes {
        let steps: Vec<_> = route.steps.iter().map(|step| step.plugin.as_str()).collect();
        let backends: Vec<_> = route.deliver.iter().map(ToString::to_string).collect();
        say(format_args!("{}\n  match    {}", route.name, Condition::all_of(&route.matches)))?;
        say(format_args!("  steps    {}\n  deliver  {}", steps.join(" → "), backends.join(", ")))?;
    }
    Ok(())
}

impl Test {
    fn run(self) -> Outcome {
        let settings = with_default_route(&self.file.load()?);
        match &self.cases {
            Some(path) => self.cases(&settings, path),
            None => self.event(&settings),
        }
    }

    fn event(&self, settings: &Settings) -> Outcome {
        let event = read_event(&self.event)?;
        let at_ms = self.at.map_or_else(now_ms, milliseconds);
        let trials = trials(settings)?.of(&event, at_ms)?;
        if self.json {
            return say(serde_json::to_string(&trials)?);
        }
        let colour = colour(&std::io::stdout());
        say(trials.iter().map(|trial| picture(trial, colour)).collect::<Vec<_>>().join("\n"))
    }

    fn cases(&self, settings: &Settings, path: &Path) -> Outcome {
        let mut cases = RouteCases::read(path, settings).map_err(|faults| {
            let shown = faults.render(colour(&std::io::stderr()));
            Failure::Usage(format!("{}\n{shown}", path.display()))
        })?;
        let tried = cases.run(path, &trials(settings)?)?;
        let failed = tried.iter().filter(|tried| !tried.passed).count();
        if self.json {
            say(json!({ "passed": failed == 0, "cases": tried }))?;
        } else {
            say(report(&tried, colour(&std::io::stdout())))?;
        }
        if failed > 0 && self.update {
            cases.update(&tried);
            std::fs::write(path, serde_saphyr::to_string(&cases)?)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            eprintln!("{} updated", path.display());
            return Ok(());
        }
        if failed > 0 { Err(Failure::Failed(String::new())) } else { Ok(()) }
    }
}

fn trials(settings: &Settings) -> Result<Trials, Failure> {
    let engine = Engine::new(Some(&cache_directory(settings)))?;
    let trials = registry::fetch(settings).and_then(|()| Trials::new(&engine, settings));
    trials.map_err(|problems| Failure::Usage(problems.join("\n")))
}

/// A route's verdict, what decided, each step, and where the event would go.
fn picture(trial: &Trial, colour: bool) -> String {
    let mut text = format!("{}: {}\n", paint(&trial.route, Paint::Bold, colour), verdict(trial, colour));
    for part in &trial.because {
        line(&mut text, format_args!("  because {part}"));
    }
    for step in &trial.steps {
        let paint_of = match step.deed {
            Deed::Keep | Deed::Change => Paint::Good,
            Deed::Drop => Paint::Quiet,
            Deed::Fail => Paint::Bad,
        };
        line(&mut text, format_args!("  step {}: {}", step.plugin, paint(&step.verdict, paint_of, colour)));
        let Some(change) = &step.change else { continue };
        for (index, to) in change.to.iter().enumerate() {
            if change.to.len() > 1 {
                line(&mut text, format_args!("    event {} of {}", index + 1, change.to.len()));
            }
            line(&mut text, diff::values(&change.from, to, "    ", colour));
        }
    }
    let several = trial.events.len() > 1;
    for Delivery { event, backend, address, place, problem } in &trial.deliveries {
        let which = if several { format!(" event {}", event + 1) } else { String::new() };
        let place = [address, place].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ");
        let problem = problem.as_ref().map(|problem| paint(problem, Paint::Bad, colour));
        let problem = problem.map(|problem| format!(": cannot be put there: {problem}")).unwrap_or_default();
        line(&mut text, format_args!("  →{which} {backend} ({place}){problem}"));
    }
    if trial.matched && !trial.left_out && trial.deliveries.is_empty() {
        line(&mut text, "  → nowhere");
    }
    text.truncate(text.trim_end().len());
    text
}

fn verdict(trial: &Trial, colour: bool) -> String {
    match &trial.passed_over {
        _ if trial.left_out => paint("leaves it out: it is not of the route's sample", Paint::Quiet, colour),
        _ if trial.matched => paint("takes it", Paint::Good, colour),
        Some(why) => paint(&format!("is passed over; {why}"), Paint::Quiet, colour),
        None => paint("does not match", Paint::Quiet, colour),
    }
}

fn report(tried: &[TriedCase], colour: bool) -> String {
    let mut text = String::new();
    for case in tried {
        let word = if case.passed {
            paint("ok    ", Paint::Good, colour)
        } else {
            paint("FAILED", Paint::Bad, colour)
        };
        line(&mut text, format_args!("{word} {}", case.name));
        if case.passed {
            continue;
        }
        if case.expected == case.found {
            line(&mut text, "    nothing is expected; write expect:, or let --update do it");
        }
        line(&mut text, diff::values(&case.expected, &case.found, "    ", colour));
    }
    let failed = tried.iter().filter(|case| !case.passed).count();
    line(&mut text, format_args!("{} passed, {failed} failed", tried.len() - failed));
    text.truncate(text.trim_end().len());
    text
}

/// What text looks like on a terminal that has colours.
#[derive(Clone, Copy)]
enum Paint {
    Bold,
    Good,
    Quiet,
    Bad,
}

fn paint(text: &str, paint: Paint, colour: bool) -> String {
    match paint {
        _ if !colour => text.to_owned(),
        Paint::Bold => text.bold().to_string(),
        Paint::Good => text.green().to_string(),
        Paint::Quiet => text.dimmed().to_string(),
        Paint::Bad => text.red().to_string(),
    }
}

fn line(text: &mut String, line: impl Display) {
    // Writing to a string cannot fail; an empty line says nothing here.
    let before = text.len();
    let _ = write!(text, "{line}");
    if text.len() > before {
        text.push('\n');
    }
}
