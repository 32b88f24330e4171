//! An attribute as rules name it.

use std::borrow::Cow;
use std::fmt;

use crate::Event;
use crate::event::Value;

/// An attribute by its place, where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// Its value, where the event has it.
    pub(super) fn value<'a>(&self, event: &'a Event) -> Option<Value<'a>> {
        match self {
            Self::Type => Some(Value::String(event.kind())),
            Self::Source => Some(Value::String(event.source())),
            Self::Subject => event.subject().map(Value::String),
            Self::Named(name) => event.attribute(name),
        }
    }

    /// Its value in the canonical string form.
    pub(super) fn text<'a>(&self, event: &'a Event) -> Option<Cow<'a, str>> {
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
