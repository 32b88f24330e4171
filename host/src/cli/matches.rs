//! `stagewire match`

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Failure, Outcome, read_event, say};
use crate::config::settings;
use crate::router::Condition;

/// Show whether an event fulfils conditions
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  stagewire match --exact type=com.example.x --prefix subject=document/ --event event.json\n  stagewire match --suffix type=.processed --json < event.json")]
pub struct Match {
    /// The attribute has this value
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    exact: Vec<(String, String)>,
    /// The attribute begins with this
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    prefix: Vec<(String, String)>,
    /// The attribute ends with this
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    suffix: Vec<(String, String)>,
    /// The event as structured JSON; `-` is standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    event: PathBuf,
    /// Print {"value", "error", "message"}
    #[arg(long)]
    json: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE, like type=com.example.x")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Match {
    pub(super) fn run(self) -> Outcome {
        let one = |(name, value): (String, String)| BTreeMap::from([(name, value)]);
        let exact = self.exact.into_iter().map(one).map(settings::Match::Exact);
        let prefix = self.prefix.into_iter().map(one).map(settings::Match::Prefix);
        let suffix = self.suffix.into_iter().map(one).map(settings::Match::Suffix);
        let rules: Vec<_> = exact.chain(prefix).chain(suffix).collect();
        if rules.is_empty() {
            return Err(Failure::Usage("name a condition: --exact, --prefix or --suffix NAME=VALUE".into()));
        }
        let event = read_event(&self.event)?;
        let condition = Condition::all_of(&rules);
        let refusal = condition.refusal(&event);
        if self.json {
            return say(serde_json::json!({ "value": refusal.is_none(), "error": null, "message": null }));
        }
        match refusal {
            None => say("true"),
            Some(part) => say(format_args!("false: not {part}")),
        }
    }
}
