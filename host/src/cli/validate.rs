//! `stagewire validate`

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{AdminAccess, AdminAddress, Failure, Outcome, SettingsFile, block_on, colour, say};
use crate::config::{self, Changes, Faults, Shown};
use crate::host::{Candidate, InForce, check, with_default_route};

/// Check settings, rules and plugins without starting
///
/// Every fault at once, each with its line and what to write (exit code 2). Warnings are about what is in order and
/// hardly meant: rules that take nothing, events that arrive twice, backends and plugins that nothing uses.
#[derive(clap::Args)]
#[command(after_help = "\
Exit code: 0 where the file is in order, also where a swap would change something; 1 with --strict
and warnings, or with --exit-code and changes; 2 where the file is wrong, or no host answers.

Examples:
  stagewire validate
  stagewire validate config/next.yaml --strict
  stagewire validate config/next.yaml --against running
  stagewire validate --against running --exit-code --json | jq .changes.routes")]
pub(super) struct Validate {
    /// The settings file
    #[arg(default_value = "config/settings.yaml", env = "STAGEWIRE_CONFIG")]
    file: PathBuf,
    /// Show what a swap to this file would change; secrets are not compared
    #[arg(long, value_name = "WHAT")]
    against: Option<Against>,
    #[command(flatten)]
    access: AdminAccess,
    /// End with 1 where a swap would change something
    #[arg(long, requires = "against")]
    exit_code: bool,
    /// End with 1 where there are warnings
    #[arg(long)]
    strict: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What the file is held against.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Against {
    /// The settings in force in the running host
    Running,
}

impl Validate {
    pub(super) fn run(self) -> Outcome {
        let environment = |name: &str| std::env::var(name).ok();
        let loaded = config::load(&self.file, &environment)
            .and_then(|loaded| loaded.check_backends().map(|()| loaded))
            .map_err(|faults| self.refuse(&faults))?;
        let settings = with_default_route(&loaded.settings);
        let candidate = check(&settings).map_err(|problems| self.refuse_all(&problems))?;
        let running = self.against.map(|Against::Running| self.running()).transpose()?;
        let warnings = loaded.warnings(seen(running.as_ref()));
        let changes = running.as_ref().map(|running| changes(running, &settings, &candidate));
        self.say(&warnings, running.as_ref().zip(changes.as_ref()))?;
        let strict = self.strict && !warnings.is_empty();
        let changed = self.exit_code && changes.is_some_and(|changes| !changes.is_empty());
        if strict || changed { Err(Failure::Failed(String::new())) } else { Ok(()) }
    }

    fn say(&self, warnings: &Faults, against: Option<(&InForce, &Changes)>) -> Outcome {
        if self.json {
            let mut answer = json!({ "valid": true, "faults": [], "warnings": warnings.reported() });
            if let Some((running, changes)) = against {
                answer["against"] = json!({ "generation": running.generation });
                answer["changed"] = (!changes.is_empty()).into();
                answer["changes"] = json!(changes);
            }
            return say(answer);
        }
        if !warnings.is_empty() {
            eprintln!("{}", warnings.render(colour(&std::io::stderr())));
        }
        say(format_args!("{} is in order", self.file.display()))?;
        match against {
            Some((running, changes)) => {
                say(format_args!("against generation {}:\n{changes}", running.generation))
            }
            None => Ok(()),
        }
    }

    /// What the running host has in force.
    fn running(&self) -> Result<InForce, Failure> {
        let host =
            AdminAddress { access: self.access.clone(), file: SettingsFile { config: self.file.clone() } };
        let mut answered = String::new();
        block_on(async {
            answered = host.ask(reqwest::Method::GET, "/api/v1/settings").await?;
            Ok(())
        })
        .map_err(|failure| match failure {
            // 1 says that something would change.
            Failure::Failed(message) | Failure::Usage(message) => Failure::Usage(message),
        })?;
        serde_json::from_str(&answered)
            .map_err(|error| Failure::Usage(format!("the host answered what is not understood: {error}")))
    }

    fn refuse(&self, faults: &Faults) -> Failure {
        if self.json {
            return refused(&json!(faults.reported()));
        }
        let faults = faults.render(colour(&std::io::stderr()));
        Failure::Usage(format!("{}\n{faults}", self.file.display()))
    }

    fn refuse_all(&self, problems: &[String]) -> Failure {
        if self.json {
            return refused(&problems.iter().map(|problem| json!({ "message": problem })).collect());
        }
        Failure::Usage(problems.join("\n"))
    }
}

fn refused(faults: &Value) -> Failure {
    match say(json!({ "valid": false, "faults": faults })) {
        Ok(()) => Failure::Usage(String::new()),
        Err(failure) => failure,
    }
}

fn changes(running: &InForce, settings: &config::Settings, candidate: &Candidate) -> Changes {
    Changes::between(&running.shown, &Shown::of(settings, candidate.digests()))
}

fn seen(running: Option<&InForce>) -> Option<&BTreeSet<String>> {
    running.and_then(|running| running.types.as_ref())
}
