//! `stagewire match`

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Failure, Outcome, read_event, say};
use crate::config::settings;
use crate::router::{Condition, Dialect, ParseError, Part, View, Written, cel, sql};

/// Show whether an event fulfils conditions, or what an expression is for it
#[derive(clap::Args)]
#[command(after_help = "\
Exit code: 0 where it is true, or a value that is no boolean; 1 where it is false or there is an
error; 2 where the expression cannot be parsed or the event cannot be read. With --json, 0
wherever an answer is printed, errors among them.

Where it is false, standard error says which parts decided; --explain says it also where it is true,
and adds them to the JSON as \"because\".

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
    /// Say which parts decided
    #[arg(long)]
    explain: bool,
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
        let because =
            Written::parse(text).map(|text| self.because(&Condition::Sql(text), &View::new(&event)));
        self.answer(Answer {
            value: json!(value),
            error: kind,
            message: error.map(|error| error.to_string()),
            because: because.unwrap_or_default(),
        })
    }

    fn cel(&self, text: &str) -> Outcome {
        let expression = match cel::Expression::condition(text) {
            Ok(expression) => expression,
            Err(error) => return self.refuse(text, &error, Value::Null),
        };
        let event = read_event(&self.event)?;
        let view = View::new(&event);
        let because = Written::parse(text).map(|text| self.because(&Condition::Cel(text), &view));
        let because = because.unwrap_or_default();
        self.answer(match expression.evaluate(&view) {
            Ok(value) => Answer { value: cel::json(&value), error: None, message: None, because },
            Err(error) => {
                let (kind, message) = (Some(json!("evaluation")), Some(error.to_string()));
                Answer { value: Value::Null, error: kind, message, because }
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
        let (condition, view) = (Condition::all_of(&rules), View::new(&event));
        let because = self.because(&condition, &view);
        self.answer(Answer { value: json!(condition.holds(&view)), error: None, message: None, because })
    }

    /// The parts that decided, where they will be said.
    fn because(&self, condition: &Condition, view: &View<'_>) -> Vec<Part> {
        let said = self.explain || !self.json && !condition.holds(view);
        if said { condition.deciding(view) } else { Vec::new() }
    }

    /// The expression is none.
    fn refuse(&self, text: &str, error: &ParseError, value: Value) -> Outcome {
        let message = format!("{error}; {}", error.help());
        if self.json {
            let because = Vec::new();
            return self.answer(Answer {
                value,
                error: Some(json!("parse")),
                message: Some(message),
                because,
            });
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
        let because = |part: &Part| format!("because {part}");
        let because = answer.because.iter().map(because).collect::<Vec<_>>().join("\n");
        match (answer.error, answer.message) {
            (None, _) if answer.value != json!(false) => {
                if because.is_empty() {
                    Ok(())
                } else {
                    say(because)
                }
            }
            (Some(Value::String(kind)), Some(message)) => Err(Failure::Failed(format!("{kind}: {message}"))),
            _ => Err(Failure::Failed(because)),
        }
    }
}

/// What is said of an event.
#[derive(Serialize)]
struct Answer {
    value: Value,
    error: Option<Value>,
    message: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    because: Vec<Part>,
}
