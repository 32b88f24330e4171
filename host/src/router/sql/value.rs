//! The types of the language (3.1) and the casts between them (3.7).

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use super::error::Error;
use crate::event;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Unicode characters.
    String,
    /// A whole number of 32 bits.
    Integer,
    /// `true` or `false`.
    Boolean,
}

impl Type {
    /// What an operator yields beside an error: 3.1, "Zero Value".
    pub(super) fn zero(self) -> Value<'static> {
        match self {
            Self::String => Value::String(Cow::Borrowed("")),
            Self::Integer => Value::Integer(0),
            Self::Boolean => Value::Boolean(false),
        }
    }
}

/// What an expression yields. A string is borrowed from the event or the expression where it stands there as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value<'a> {
    /// See [`Type::String`].
    String(Cow<'a, str>),
    /// See [`Type::Integer`].
    Integer(i32),
    /// See [`Type::Boolean`].
    Boolean(bool),
}

impl<'a> Value<'a> {
    pub(super) fn kind(&self) -> Type {
        match self {
            Self::String(_) => Type::String,
            Self::Integer(_) => Type::Integer,
            Self::Boolean(_) => Type::Boolean,
        }
    }

    /// The same value, which owns nothing.
    pub(super) fn borrowed(&self) -> Value<'_> {
        match self {
            Self::String(text) => Value::String(Cow::Borrowed(text)),
            Self::Integer(number) => Value::Integer(*number),
            Self::Boolean(flag) => Value::Boolean(*flag),
        }
    }

    pub(super) fn cast(self, to: Type) -> Result<Self, Error<'a>> {
        match to {
            Type::String => Ok(Self::String(self.string())),
            Type::Integer => self.integer().map(Self::Integer),
            Type::Boolean => self.boolean().map(Self::Boolean),
        }
    }

    pub(super) fn string(self) -> Cow<'a, str> {
        match self {
            Self::String(text) => text,
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Boolean(flag) => Cow::Borrowed(if flag { "true" } else { "false" }),
        }
    }

    pub(super) fn integer(self) -> Result<i32, Error<'a>> {
        match self {
            // As `str::parse` has it: decimal digits, one sign before them, no spaces, and no overflow.
            Self::String(text) => text.parse().map_err(|_| Error::Cast { text, to: Type::Integer }),
            Self::Integer(number) => Ok(number),
            Self::Boolean(flag) => Ok(i32::from(flag)),
        }
    }

    pub(super) fn boolean(self) -> Result<bool, Error<'a>> {
        match self {
            Self::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Self::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Self::String(text) => Err(Error::Cast { text, to: Type::Boolean }),
            Self::Integer(number) => Ok(number != 0),
            Self::Boolean(flag) => Ok(flag),
        }
    }
}

impl<'a> From<event::Value<'a>> for Value<'a> {
    fn from(value: event::Value<'a>) -> Self {
        match value {
            event::Value::String(text) => Self::String(Cow::Borrowed(text)),
            event::Value::Integer(number) => Self::Integer(number),
            event::Value::Boolean(flag) => Self::Boolean(flag),
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Boolean(flag) => write!(f, "{flag}"),
        }
    }
}
