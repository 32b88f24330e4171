//! Where an expression ceases to be one, and what to write there.

use winnow::error::{AddContext, ErrMode, ParserError};
use winnow::stream::{Location, Stream};

use super::parse::DEEPEST;
use super::token::{Input, Parsed};
use crate::router::written::ParseError;

/// Where the grammar ended, and why.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) problem: Option<Problem>,
}

pub(super) const VALUE: Problem =
    Problem::Expected("a value, an attribute or a function", "text stands in quotes: type = 'com.example.x'");
pub(super) const OPERATOR: Problem =
    Problem::Expected("an operator or the end", "combine conditions with AND or OR");
pub(super) const TEST: Problem =
    Problem::Expected("LIKE or IN", "NOT stands before what it negates: NOT a = b");
pub(super) const PATTERN: Problem =
    Problem::Expected("a pattern in quotes", "write it like subject LIKE 'document/%'");
pub(super) const SET: Problem =
    Problem::Expected("values in parentheses", "write it like type IN ('a', 'b')");
pub(super) const NAME: Problem =
    Problem::Expected("the name of an attribute", "write it like EXISTS subject");
pub(super) const DIGITS: Problem =
    Problem::Expected("digits right behind the +", "leave it out; a number has no need of it");
pub(super) const CLOSE: Problem =
    Problem::Expected("an operator or a closing parenthesis", "close every ( with a )");

#[derive(Clone, Copy, Debug)]
pub(super) enum Problem {
    /// What, and how it is written.
    Expected(&'static str, &'static str),
    Attribute,
    Function,
    Range,
    Quote(char),
    Depth,
}

impl<'a> ParserError<Input<'a>> for Wrong {
    type Inner = Self;

    fn from_input(input: &Input<'a>) -> Self {
        Self { at: input.current_token_start(), problem: None }
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

impl<'a> AddContext<Input<'a>, Problem> for Wrong {
    /// The innermost stays.
    fn add_context(self, _: &Input<'a>, _: &<Input<'a> as Stream>::Checkpoint, problem: Problem) -> Self {
        Self { problem: self.problem.or(Some(problem)), ..self }
    }
}

impl Wrong {
    pub(super) fn told(self, text: &str) -> ParseError {
        let token = token(&text[self.at..]);
        let found = if token.is_empty() { "the end".to_owned() } else { format!("{token:?}") };
        let (message, help) = match self.problem.unwrap_or(VALUE) {
            Problem::Expected(..) if token == "." => (
                "an attribute has no parts".to_owned(),
                "conditions on the payload are written in cel".to_owned(),
            ),
            Problem::Expected(what, help) => (format!("expected {what}, found {found}"), help.to_owned()),
            Problem::Attribute => {
                (format!("{found} cannot be an attribute"), "its name has letters and digits only".to_owned())
            }
            Problem::Function => (
                format!("{found} cannot be a function"),
                "its name has letters and underscores only".to_owned(),
            ),
            Problem::Range => (
                format!("{token} is no 32-bit integer"),
                "write one from -2147483648 to 2147483647".to_owned(),
            ),
            Problem::Quote(quote) => (
                "the string that begins here has no end".to_owned(),
                format!("close it with {quote}; within it, write \\{quote}"),
            ),
            Problem::Depth => (
                format!("nested more than {DEEPEST} deep"),
                "take it apart: all and any in a match do the same".to_owned(),
            ),
        };
        ParseError::new(self.at..self.at + token.len(), message, help)
    }
}

/// The piece of text that a person would point at: a word or a number, else one character.
fn token(text: &str) -> &str {
    let number = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = number.find(|c| !is_word(c)).unwrap_or(number.len());
    let first = text.chars().next().map_or(0, char::len_utf8);
    &text[..if word > 0 { text.len() - number.len() + word } else { first }]
}

/// Ends the parsing, here.
pub(super) fn wrong<T>(input: &Input<'_>, problem: Problem) -> Parsed<T> {
    Err(ErrMode::Cut(Wrong { at: input.current_token_start(), problem: Some(problem) }))
}
