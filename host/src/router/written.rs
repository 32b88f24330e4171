//! Expressions as they stand in settings: the text, and what it was parsed to.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// A language that conditions are written in.
pub trait Dialect: Sized {
    /// What the settings' schema calls it.
    const NAME: &'static str;
    /// A condition, for people.
    const EXAMPLE: &'static str;

    /// Parses a condition, and refuses what is none for any event.
    ///
    /// # Errors
    /// [`ParseError`], with the place.
    fn condition(text: &str) -> Result<Self, ParseError>;
}

/// Why a text is no expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    place: Range<usize>,
    message: String,
    help: String,
}

impl ParseError {
    pub(super) fn new(place: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { place, message: message.into(), help: help.into() }
    }

    /// The bytes of the expression that it is about; empty at its end.
    pub fn place(&self) -> Range<usize> {
        self.place.clone()
    }

    /// What to write instead.
    pub fn help(&self) -> &str {
        &self.help
    }

    /// The line of the expression that it is about, and a line below that points there.
    pub fn pointed(&self, text: &str) -> String {
        let (before, rest) = text.split_at_checked(self.place.start).unwrap_or((text, ""));
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let length = rest.get(..self.place.len()).unwrap_or(rest).lines().next().unwrap_or_default();
        let (column, length) = (before[line_start..].chars().count(), length.chars().count().max(1));
        format!("  {line}\n  {:column$}{}", "", "^".repeat(length))
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ParseError {}

/// An expression of a dialect, which is one: it cannot be made of a text that is none.
#[derive(Clone, Debug)]
pub struct Written<T> {
    text: String,
    parsed: T,
}

impl<T: Dialect> Written<T> {
    /// Parses it.
    ///
    /// # Errors
    /// [`ParseError`], with the place.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Ok(Self { parsed: T::condition(text)?, text: text.to_owned() })
    }
}

impl<T> Written<T> {
    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As it is evaluated.
    pub fn parsed(&self) -> &T {
        &self.parsed
    }
}

impl<T> PartialEq for Written<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> Serialize for Written<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl<'de, T: Dialect> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| D::Error::custom(format!("{error}; {}", error.help())))
    }
}

impl<T: Dialect> JsonSchema for Written<T> {
    fn schema_name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": [T::EXAMPLE] })
    }
}
