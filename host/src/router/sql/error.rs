//! What can be wrong with an expression (3.3): before it is evaluated, or with one event.

use std::borrow::Cow;

use serde::Serialize;

use super::functions::{FUNCTIONS, Function, LONGEST};
use super::value::Type;
use crate::config::nearest;

/// The kinds of the specification, written as its conformance tests write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// It is no expression.
    Parse,
    /// A value is not of the type that is needed, and cannot be made one.
    Cast,
    /// Arithmetic that has no result.
    Math,
    /// A function that is not there, or not with so many arguments.
    MissingFunction,
    /// An attribute that the event does not have.
    MissingAttribute,
    /// A function that cannot work on its arguments.
    FunctionEvaluation,
    /// Anything else.
    Generic,
}

/// What went wrong with one event. It borrows: nothing is made until someone wants to read it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error<'a> {
    /// A string that is no such thing.
    #[error("cannot cast {text:?} to {}", described(*.to))]
    Cast {
        /// The string.
        text: Cow<'a, str>,
        /// What it is not.
        to: Type,
    },
    /// Division by zero.
    #[error("cannot divide by zero with {0}")]
    Zero(&'static str),
    /// A result of more than 32 bits.
    #[error("the result of {0} is outside of -2147483648 to 2147483647")]
    Overflow(&'static str),
    /// No such attribute.
    #[error("the event has no attribute {0:?}; ask EXISTS {0} first")]
    MissingAttribute(&'a str),
    /// No such function.
    #[error("{}", missing(.name, *.arguments))]
    MissingFunction {
        /// In upper case.
        name: &'a str,
        /// How many it was given.
        arguments: usize,
    },
    /// An argument that is out of the function's range.
    #[error("{function} cannot take {argument} as its {name}; write {instead}")]
    Argument {
        /// The function.
        function: &'static str,
        /// The argument's place in the signature.
        name: &'static str,
        /// Its value.
        argument: i32,
        /// What it takes.
        instead: &'static str,
    },
    /// A string that would be too long.
    #[error("{0} makes a string of more than {LONGEST} bytes")]
    TooLong(&'static str),
}

impl Error<'_> {
    /// Its kind in the specification's terms.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Cast { .. } => Kind::Cast,
            Self::Zero(_) | Self::Overflow(_) => Kind::Math,
            Self::MissingAttribute(_) => Kind::MissingAttribute,
            Self::MissingFunction { .. } => Kind::MissingFunction,
            Self::Argument { .. } => Kind::FunctionEvaluation,
            Self::TooLong(_) => Kind::Generic,
        }
    }
}

fn described(to: Type) -> &'static str {
    match to {
        Type::Integer => "Integer; it takes digits, with a sign or without, up to 2147483647",
        Type::Boolean => "Boolean; it takes \"true\" and \"false\"",
        Type::String => "String",
    }
}

/// Why a call meets no function, and what would.
pub(super) fn missing(name: &str, arguments: usize) -> String {
    if let Some(Function { signature, .. }) = Function::named(name) {
        let plural = if arguments == 1 { "" } else { "s" };
        return format!("there is no {name} of {arguments} argument{plural}; write {signature}");
    }
    let names: Vec<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
    let near = nearest(name, &names).map(|near| format!("did you mean {near}? ")).unwrap_or_default();
    format!("there is no function {name}; {near}known: {}", names.join(", "))
}
