//! An attribute as rules name it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Event;
use crate::event::Value;

/// An attribute by its place, where it has one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// `type`
    Type,
    /// `source`
    Source,
    /// `subject`
    Subject,
    /// Any other, by name.
    Named(Box<str>),
}

impl Attribute {
    /// Reads a name as the specification has them: lower-case letters and digits (`CloudEvents` 1.0, "Naming
    /// conventions").
    ///
    /// # Errors
    /// What is wrong, with an example.
    pub fn parse(name: &str) -> Result<Self, String> {
        let valid =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let error = || {
            format!(
                "{name:?} is no name of an attribute; write lower-case letters and digits, like partitionkey"
            )
        };
        valid.then(|| Self::new(name)).ok_or_else(error)
    }

    pub(super) fn new(name: &str) -> Self {
        match name {
            "type" => Self::Type,
            "source" => Self::Source,
            "subject" => Self::Subject,
            other => Self::Named(other.into()),
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Type => "type",
            Self::Source => "source",
            Self::Subject => "subject",
            Self::Named(name) => name,
        }
    }

    /// Whether it is text in every event that has it.
    pub(super) fn is_text(&self) -> bool {
        !matches!(self, Self::Named(_))
    }

    /// Its value, where the event has it.
    pub(super) fn value<'a>(&self, event: &'a Event) -> Option<Value<'a>> {
        match self {
            Self::Type => Some(Value::String(event.kind())),
            Self::Source => Some(Value::String(event.source())),
            Self::Subject => event.subject().map(Value::String),
            Self::Named(name) => event.attribute(name),
        }
    }

    /// Its value in the canonical string form; none where the event does not have it.
    pub fn text<'a>(&self, event: &'a Event) -> Option<Cow<'a, str>> {
        Some(match self.value(event)? {
            Value::String(text) => Cow::Borrowed(text),
            other => Cow::Owned(other.to_string()),
        })
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Attribute {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Attribute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&name).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Attribute {
    fn schema_name() -> Cow<'static, str> {
        "Attribute".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[a-z0-9]+$",
            "description": "the name of an attribute: subject, partitionkey",
            "examples": ["subject", "partitionkey"],
        })
    }
}
