//! Conditions in CEL (<https://cel.dev>): attributes are variables by their names, and `data` is the payload.
//!
//! An attribute that an event does not have is `null`, so that `subject != null && subject.startsWith('a')` guards
//! itself. Whatever cannot be evaluated for an event does not match it.

mod bound;
mod decide;
mod refusal;

#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use cel::common::types::{CelBool, CelInt, CelNull, CelString};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError, Program, Value};

pub(super) use decide::deciding;

use super::view::View;
use super::written::{Dialect, ParseError};
use crate::event;

/// A text that is longer is none: of a row of 2,000 operators the parser and the interpreter make a recursion that
/// overflows a thread's stack.
const LONGEST: usize = 2_048;

/// What an expression may call a type; no attribute is looked for under these.
const TYPES: [&str; 10] =
    ["bool", "bytes", "double", "int", "list", "map", "string", "uint", "google", "optional"];

static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A parsed expression.
#[derive(Clone, Debug)]
pub struct Expression {
    program: Arc<Program>,
}

/// Why an expression has no value for an event.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The payload is asked for, and is not what its media type says.
    #[error("the payload is not JSON: {0}")]
    Payload(String),
    /// It is no condition.
    #[error("the expression yields {0}, and a condition is a bool; compare it with something")]
    NotBoolean(String),
    /// The interpreter's reason; it may show values of the event.
    #[error("{0}")]
    Execution(#[from] ExecutionError),
}

impl Dialect for Expression {
    const NAME: &'static str = "Cel";
    const EXAMPLE: &'static str = "data.metrics.event_count > 0";

    fn condition(text: &str) -> Result<Self, ParseError> {
        if text.len() > LONGEST {
            let message = format!("the expression has {} bytes, and {LONGEST} is the most", text.len());
            return Err(ParseError::new(0..text.len(), message, "divide it with all and any"));
        }
        let program = STANDARD.compile(text).map_err(|errors| refusal::of_syntax(text, &errors))?;
        match refusal::of_names(text, &program) {
            None => Ok(Self { program: Arc::new(program) }),
            Some(error) => Err(error),
        }
    }
}

impl Expression {
    /// Its value for an event.
    ///
    /// # Errors
    /// [`Error`]; as a condition it does not hold then.
    pub fn evaluate(&self, view: &View<'_>) -> Result<Value, Error> {
        let variables = Variables(view);
        let mut context = Context::with_env(Arc::clone(&STANDARD));
        context.set_variable_resolver(&variables);
        self.program.execute(&context).map_err(|error| match (&error, view.unreadable()) {
            // A payload that cannot be read is no variable; say why.
            (ExecutionError::UndeclaredReference(name), Some(reason)) if **name == "data" => {
                Error::Payload(reason.to_owned())
            }
            _ => Error::Execution(error),
        })
    }

    /// As a condition: whether it is `true`.
    ///
    /// # Errors
    /// [`Error`], also where it is no boolean.
    pub(super) fn holds(&self, view: &View<'_>) -> Result<bool, Error> {
        match self.evaluate(view)? {
            Value::Bool(flag) => Ok(flag),
            other => Err(Error::NotBoolean(other.type_of().to_string())),
        }
    }
}

struct Variables<'v, 'a>(&'v View<'a>);

impl VariableResolver for Variables<'_, '_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        if name == "data" {
            return self.0.payload().ok().map(CowVal::Borrowed);
        }
        if !is_attribute(name) {
            return None;
        }
        Some(match self.0.event().attribute(name) {
            Some(event::Value::String(text)) => CowVal::owned(CelString::from(text)),
            Some(event::Value::Integer(number)) => CowVal::owned(CelInt::from(i64::from(number))),
            Some(event::Value::Boolean(flag)) => CowVal::owned(CelBool::from(flag)),
            None => CowVal::owned(CelNull),
        })
    }
}

fn is_attribute(name: &str) -> bool {
    let is = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.bytes().all(is) && !TYPES.contains(&name)
}

/// A value as JSON, and as text where JSON has no such thing.
pub fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Int(number) => (*number).into(),
        Value::UInt(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::String(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(map) => map.map.iter().map(|(key, value)| (key.to_string(), json(value))).collect(),
        other => format!("{other:?}").into(),
    }
}
