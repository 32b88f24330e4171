//! Why a text is no condition, and where: what the parser complains of, and names that mean nothing.

use std::ops::Range;
use std::sync::Arc;

use cel::{Context, Program};

use super::{STANDARD, TYPES, is_attribute};
use crate::router::written::ParseError;

const HELP: &str = "write it like type == 'com.example.x' && data.count > 0";

/// A name that no function, or no attribute, can have.
pub(super) fn of_names(text: &str, program: &Program) -> Option<ParseError> {
    no_function(text, program).or_else(|| no_variable(text, program))
}

/// A call of a function that there is not.
fn no_function(text: &str, program: &Program) -> Option<ParseError> {
    let references = program.references();
    let names = references.functions().into_iter();
    let mut names: Vec<&str> =
        names.filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic())).collect();
    names.sort_unstable();
    // A name that can still be given to a function belongs to none.
    let mut free = Context::with_env(Arc::clone(&STANDARD));
    let name = names.into_iter().find(|name| free.add_function(name, |x: i64| x).is_ok())?;
    let help = "the functions are those of CEL's standard library";
    Some(ParseError::new(first(text, name), format!("there is no function {name:?}"), help))
}

/// A variable that no event can have.
fn no_variable(text: &str, program: &Program) -> Option<ParseError> {
    let references = program.references();
    let mut names = references.variables();
    names.sort_unstable();
    let known = |name: &str| {
        is_attribute(name) || TYPES.contains(&name) || STANDARD.types().find_type(name).is_some()
    };
    let name = names.into_iter().find(|name| !known(name) && !declares(text, name))?;
    let help = "names of attributes are lower-case letters and digits; the payload is data";
    Some(ParseError::new(first(text, name), format!("{name:?} cannot be an attribute"), help))
}

/// Whether a macro in the text declares a variable of that name: `data.list.all(item, item > 0)`.
pub(super) fn declares(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| text[at + name.len()..].trim_start().starts_with(','))
}

fn first(text: &str, name: &str) -> Range<usize> {
    let at = text.find(name).unwrap_or_default();
    at..at + name.len()
}

/// The parser's first complaint, in words.
pub(super) fn of_syntax(text: &str, errors: &cel::ParseErrors) -> ParseError {
    let is_syntax = |error: &&cel::ParseError| error.msg.starts_with("Syntax error: ");
    let Some(error) = errors.errors.iter().find(is_syntax).or(errors.errors.first()) else {
        return ParseError::new(0..text.len(), "this is no expression", HELP);
    };
    let place = place(text, error.pos);
    let message = error.msg.trim_start_matches("Syntax error: ");
    let message = message.split(" expecting ").next().unwrap_or(message);
    let message = match message {
        _ if message.contains("Recursion limit") => "nested too deeply".to_owned(),
        _ if place.is_empty() => "the expression ends here, and is not whole".to_owned(),
        _ if message.contains("input '") || message.contains("recognition") => {
            format!("{:?} cannot stand here", &text[place.clone()])
        }
        _ => message.to_lowercase(),
    };
    ParseError::new(place, message, HELP)
}

/// Line and column, both from 1, as the bytes of the character there.
fn place(text: &str, (line, column): (isize, isize)) -> Range<usize> {
    let (line, column) = (usize::try_from(line - 1), usize::try_from(column - 1));
    let (line, column) = (line.unwrap_or_default(), column.unwrap_or_default());
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let mut characters = text[before..].char_indices().skip(column);
    let (at, length) = characters.next().map_or((text.len() - before, 0), |(at, c)| (at, c.len_utf8()));
    before + at..before + at + length
}
