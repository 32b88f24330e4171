//! What decided about an event: the smallest parts of a condition that did, for people.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// What an event has where a condition looks: an attribute, or an expression over the payload; null where there is nothing.
pub type Found = BTreeMap<String, Value>;

/// A part of a condition, and what it is for an event.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Part {
    /// As it is written in its dialect, or as a sentence.
    pub part: String,
    /// Whether it holds. What cannot be evaluated does not.
    pub holds: bool,
    /// Why it cannot be evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the event has where it looks.
    pub found: Found,
}

impl fmt::Display for Part {
    /// As a sentence: `subject begins with "x" is false: subject is "y"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(error) => return write!(f, "{} cannot be evaluated: {error}", self.part),
            None => write!(f, "{} is {}", self.part, self.holds)?,
        }
        self.found.iter().enumerate().try_for_each(|(index, (name, value))| {
            f.write_str(if index == 0 { ": " } else { ", " })?;
            match value {
                Value::Null => write!(f, "{name} is absent"),
                value => write!(f, "{name} is {value}"),
            }
        })
    }
}

/// One of several operands, as far as they decide together: `Ok` is its value.
pub(super) type Operand = Result<bool, ()>;

/// Which operands decide of `and` (`decisive: false`) or `or` (`decisive: true`): the first that has the decisive value, else
/// the first that cannot be evaluated, else all of them.
pub(super) fn deciding(operands: &[Operand], decisive: bool) -> std::ops::Range<usize> {
    let first = |wanted: Operand| operands.iter().position(|operand| *operand == wanted);
    match first(Ok(decisive)).or_else(|| first(Err(()))) {
        Some(one) => one..one + 1,
        None => 0..operands.len(),
    }
}
