//! `stagewire match`

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Failure, Outcome, read_event, say};
use crate::config::settings;
use crate::router::{Condition, Dialect, ParseError, View, cel, sql};

/// Show whether an event fulfils conditions, or what an expression is for it
#[derive(clap::Args)]
#[command(after_help = "\
Exit code: 0 where it is true, or a value that is no boolean; 1 where it is false or there is an
error; 2 where the expression cannot be parsed or the event cannot be read. With --json, 0
wherever an answer is printed, errors among them.

The \"error\" is null or the kind of the first one: of --sql parse, cast, math, missingFunction,
missingAttribute, functionEvaluation or generic; of --cel parse or evaluation.

Examples:
  stagewire match --exact type=com.example.x --prefix subject=document/ --event event.json
  stagewire match --sql \"type = 'com.example.x' AND subject LIKE 'document/%'\" --event event.json
  stagewire match --cel 'data.metrics.event_count > 0' --json < event.json")]
pub(super) struct Match {
    /// A CloudEvents SQL expression
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    #[arg(conflicts_with_all = ["cel", "exact", "prefix", "suffix"])]
    sql: Option<String>,
    /// A CEL expression; attributes by their names, the payload as `data`
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    #[arg(conflicts_with_all = ["exact", "prefix", "suffix"])]
    cel: Option<String>,
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
        match (&self.sql, &self.cel) {
            (Some(text), _) => self.sql(text),
            (_, Some(text)) => self.cel(text),
            (None, None) => self.attributes(),
        }
    }

    fn sql(&self, text: &str) -> Outcome {
        let expression = match sql::Expression::parse(text) {
            Ok(expression) => expression,
            Err(error) => return self.refuse(text, &error, json!(false)),
        };
        let event = read_event(&self.event)?;
        let sql::Outcome { value, error } = expression.evaluate(&event);
        let kind = error.as_ref().map(|error| json!(error.kind()));
        self.answer(Answer {
            value: json!(value),
            error: kind,
            message: error.map(|error| error.to_string()),
        })
    }

    fn cel(&self, text: &str) -> Outcome {
        let expression = match cel::Expression::condition(text) {
            Ok(expression) => expression,
            Err(error) => return self.refuse(text, &error, Value::Null),
        };
        let event = read_event(&self.event)?;
        self.answer(match expression.evaluate(&View::new(&event)) {
            Ok(value) => Answer { value: cel::json(&value), error: None, message: None },
            Err(error) => {
                let (kind, message) = (Some(json!("evaluation")), Some(error.to_string()));
                Answer { value: Value::Null, error: kind, message }
            }
        })
    }

    fn attributes(self) -> Outcome {
        let one = |(name, value): (String, String)| BTreeMap::from([(name, value)]);
        let exact = self.exact.iter().cloned().map(one).map(settings::Match::Exact);
        let prefix = self.prefix.iter().cloned().map(one).map(settings::Match::Prefix);
        let suffix = self.suffix.iter().cloned().map(one).map(settings::Match::Suffix);
        let rules: Vec<_> = exact.chain(prefix).chain(suffix).collect();
        if rules.is_empty() {
            let message =
                "name a condition: --sql EXPR, --cel EXPR, or --exact, --prefix, --suffix NAME=VALUE";
            return Err(Failure::Usage(message.into()));
        }
        let event = read_event(&self.event)?;
        let condition = Condition::all_of(&rules);
        match condition.refusal(&View::new(&event)) {
            Some(part) if !self.json => {
                say(format_args!("false: not {part}"))?;
                Err(Failure::Failed(String::new()))
            }
            refusal => self.answer(Answer { value: json!(refusal.is_none()), error: None, message: None }),
        }
    }

    /// The expression is none.
    fn refuse(&self, text: &str, error: &ParseError, value: Value) -> Outcome {
        let message = format!("{error}; {}", error.help());
        if self.json {
            return self.answer(Answer { value, error: Some(json!("parse")), message: Some(message) });
        }
        Err(Failure::Usage(format!("{message}\n{}", error.pointed(text))))
    }

    fn answer(&self, answer: Answer) -> Outcome {
        if self.json {
            return say(serde_json::to_string(&answer)?);
        }
        match &answer.value {
            Value::String(text) => say(text)?,
            other => say(other)?,
        }
        match (answer.error, answer.message) {
            (None, _) if answer.value != json!(false) => Ok(()),
            (Some(Value::String(kind)), Some(message)) => Err(Failure::Failed(format!("{kind}: {message}"))),
            _ => Err(Failure::Failed(String::new())),
        }
    }
}

/// What is said of an event.
#[derive(Serialize)]
struct Answer {
    value: Value,
    error: Option<Value>,
    message: Option<String>,
}
