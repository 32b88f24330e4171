//! The built-in functions: 3.5.1, 3.5.2, and the casts that 3.7 names.

use std::borrow::Cow;

use super::error::Error;
use super::evaluate::{Arguments, Evaluated, Failed};
use super::value::{Type, Value};

/// A string that a function makes has at most so many bytes: an expression cannot multiply an event without end.
pub(super) const LONGEST: usize = 1 << 20;

/// One function, in all of its arities.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// In upper case; a call may write it in any.
    pub name: &'static str,
    /// How it is called, and what it yields.
    pub signature: &'static str,
    /// What it does.
    pub description: &'static str,
    least: usize,
    most: usize,
    pub(super) returns: Type,
    pub(super) run: for<'a> fn(&mut Arguments<'a>) -> Evaluated<'a>,
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Function {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }

    /// The function that a call means; `name` is in upper case.
    pub(super) fn called(name: &str, arguments: usize) -> Option<&'static Self> {
        Self::named(name).filter(|function| (function.least..=function.most).contains(&arguments))
    }
}

const ANY: usize = usize::MAX;

/// Every function. `IS_INT` and `IS_BOOL` are older than version 1.0 of the language, and known to its other engines.
#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "INT", signature: "INT(x) -> Integer", description: "`x` as an integer",
        least: 1, most: 1, returns: Type::Integer, run: |given| Ok(Value::Integer(given.integer()?)),
    },
    Function {
        name: "BOOL", signature: "BOOL(x) -> Boolean", description: "`x` as a boolean",
        least: 1, most: 1, returns: Type::Boolean, run: |given| Ok(Value::Boolean(given.any()?.boolean()?)),
    },
    Function {
        name: "STRING", signature: "STRING(x) -> String", description: "`x` as a string",
        least: 1, most: 1, returns: Type::String, run: |given| Ok(Value::String(given.string()?)),
    },
    Function {
        name: "IS_INT", signature: "IS_INT(x) -> Boolean", description: "whether `INT(x)` works",
        least: 1, most: 1, returns: Type::Boolean, run: |given| Ok(Value::Boolean(given.any()?.integer().is_ok())),
    },
    Function {
        name: "IS_BOOL", signature: "IS_BOOL(x) -> Boolean", description: "whether `BOOL(x)` works",
        least: 1, most: 1, returns: Type::Boolean, run: |given| Ok(Value::Boolean(given.any()?.boolean().is_ok())),
    },
    Function {
        name: "ABS", signature: "ABS(x: Integer) -> Integer", description: "`x` without its sign",
        least: 1, most: 1, returns: Type::Integer, run: abs,
    },
    Function {
        name: "LENGTH", signature: "LENGTH(x: String) -> Integer", description: "the number of characters",
        least: 1, most: 1, returns: Type::Integer, run: length,
    },
    Function {
        name: "CONCAT", signature: "CONCAT(x: String, …) -> String", description: "all of them in a row",
        least: 0, most: ANY, returns: Type::String, run: |given| joined("CONCAT", "", given),
    },
    Function {
        name: "CONCAT_WS", signature: "CONCAT_WS(delimiter: String, x: String, …) -> String",
        description: "all of them in a row, with `delimiter` between two",
        least: 1, most: ANY, returns: Type::String,
        run: |given| { let delimiter = given.string()?; joined("CONCAT_WS", &delimiter, given) },
    },
    Function {
        name: "LOWER", signature: "LOWER(x: String) -> String", description: "`x` in lower case",
        least: 1, most: 1, returns: Type::String, run: lower,
    },
    Function {
        name: "UPPER", signature: "UPPER(x: String) -> String", description: "`x` in upper case",
        least: 1, most: 1, returns: Type::String, run: upper,
    },
    Function {
        name: "TRIM", signature: "TRIM(x: String) -> String", description: "`x` without white space around it",
        least: 1, most: 1, returns: Type::String, run: |given| Ok(sliced(given.string()?, str::trim)),
    },
    Function {
        name: "LEFT", signature: "LEFT(x: String, count: Integer) -> String",
        description: "the first `count` characters",
        least: 2, most: 2, returns: Type::String, run: left,
    },
    Function {
        name: "RIGHT", signature: "RIGHT(x: String, count: Integer) -> String",
        description: "the last `count` characters",
        least: 2, most: 2, returns: Type::String, run: right,
    },
    Function {
        name: "SUBSTRING", signature: "SUBSTRING(x: String, position: Integer[, length: Integer]) -> String",
        description: "the characters from `position` on, counted from 1, or from the end where it is negative",
        least: 2, most: 3, returns: Type::String, run: substring,
    },
];

fn abs<'a>(given: &mut Arguments<'a>) -> Evaluated<'a> {
    let number = given.integer()?;
    let overflow = Failed { error: Error::Overflow("ABS"), value: Some(Value::Integer(i32::MAX)) };
    number.checked_abs().map(Value::Integer).ok_or(overflow)
}

fn length<'a>(given: &mut Arguments<'a>) -> Evaluated<'a> {
    let count = given.string()?.chars().count();
    Ok(Value::Integer(i32::try_from(count).unwrap_or(i32::MAX)))
}

fn joined<'a>(function: &'static str, delimiter: &str, given: &mut Arguments<'a>) -> Evaluated<'a> {
    let Some(first) = given.next() else { return Ok(Type::String.zero()) };
    let mut text = first?.string();
    while let Some(next) = given.next() {
        let next = next?.string();
        if text.len() + delimiter.len() + next.len() > LONGEST {
            return Err(Error::TooLong(function).into());
        }
        let text = text.to_mut();
        text.push_str(delimiter);
        text.push_str(&next);
    }
    Ok(Value::String(text))
}

fn lower<'a>(given: &mut Arguments<'a>) -> Evaluated<'a> {
    let text = given.string()?;
    let is = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    Ok(Value::String(if is { text } else { text.to_lowercase().into() }))
}

fn upper<'a>(given: &mut Arguments<'a>) -> Evaluated<'a> {
    let text = given.string()?;
    let is = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_lowercase());
    Ok(Value::String(if is { text } else { text.to_uppercase().into() }))
}

fn left<'a>(given: &mut Arguments<'a>) -> Evaluated<'a> {
    let (text, count) = (given.string()?, given.integer()?);
    let Ok(characters) = usize::try_from(count) else { return Err(negative("LEFT", text, count)) };
    Ok(sliced(text, |text| &text[..start(text, characters)]))
}

fn right<'a>(given: &mut Arguments<'a>) -> Evaluated<'a> {
    let (text, count) = (given.string()?, given.integer()?);
    let Ok(characters) = usize::try_from(count) else { return Err(negative("RIGHT", text, count)) };
    Ok(sliced(text, |text| &text[start_from_end(text, characters)..]))
}

/// 3.5.1: `LEFT` and `RIGHT` yield the whole string beside the error.
fn negative<'a>(function: &'static str, text: Cow<'a, str>, argument: i32) -> Failed<'a> {
    let error = Error::Argument { function, name: "count", argument, instead: "a number from 0 on" };
    Failed { error, value: Some(Value::String(text)) }
}

fn substring<'a>(given: &mut Arguments<'a>) -> Evaluated<'a> {
    let (text, position) = (given.string()?, given.integer()?);
    let length = given.next().transpose()?.map(Value::integer).transpose()?;
    let wrong = |name, argument, instead| Error::Argument { function: "SUBSTRING", name, argument, instead };
    let most = match length.map(usize::try_from) {
        None => usize::MAX,
        Some(Ok(most)) => most,
        // Also where the position is 0: 3.5.1 makes no exception for it.
        Some(Err(_)) => {
            return Err(wrong("length", length.unwrap_or_default(), "a number from 0 on").into());
        }
    };
    if position == 0 {
        return Ok(Type::String.zero());
    }
    let distance = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
    if distance > text.chars().count() {
        return Err(wrong("position", position, "one within the string").into());
    }
    Ok(sliced(text, |text| {
        let from = if position > 0 { start(text, distance - 1) } else { start_from_end(text, distance) };
        let text = &text[from..];
        &text[..start(text, most)]
    }))
}

/// Where the character of that index begins; the end where there are not so many.
fn start(text: &str, index: usize) -> usize {
    text.char_indices().nth(index).map_or(text.len(), |(at, _)| at)
}

/// Where the last `count` characters begin; the beginning where there are not so many.
fn start_from_end(text: &str, count: usize) -> usize {
    let Some(before) = count.checked_sub(1) else { return text.len() };
    text.char_indices().nth_back(before).map_or(0, |(at, _)| at)
}

/// A part of a string, borrowed where the string is.
fn sliced(text: Cow<'_, str>, part: impl FnOnce(&str) -> &str) -> Value<'_> {
    Value::String(match text {
        Cow::Borrowed(text) => Cow::Borrowed(part(text)),
        Cow::Owned(text) => Cow::Owned(part(&text).to_owned()),
    })
}
