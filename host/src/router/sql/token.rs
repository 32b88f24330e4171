//! The pieces that expressions are made of: words, symbols, strings, and the space behind each.

use std::ops::Range;

use winnow::combinator::{alt, preceded, repeat, terminated};
use winnow::error::ErrMode;
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Stateful, Stream};
use winnow::token::{any, literal, none_of, one_of, take_while};

use super::problem::{Problem, Wrong, wrong};

pub(super) type Input<'a> = Stateful<LocatingSlice<&'a str>, State>;
pub(super) type Parsed<T> = Result<T, ErrMode<Wrong>>;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) depth: usize,
    pub(super) unknown: Vec<Call>,
}

/// A call that no function answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) place: Range<usize>,
    pub(super) name: Box<str>,
    pub(super) arguments: usize,
}

/// 2.2: of all that a backslash can stand before, only the quote that ends the string is meant without it.
pub(super) fn string(input: &mut Input<'_>) -> Parsed<String> {
    let start = input.checkpoint();
    let quote = one_of(['\'', '"']).parse_next(input)?;
    let escaped = preceded('\\', any).map(move |c| if c == quote { (None, c) } else { (Some('\\'), c) });
    let plain = none_of(['\\', quote]).map(|c| (None, c));
    let text = repeat(0.., alt((plain, escaped))).fold(
        String::new,
        |mut text, (before, c): (Option<char>, char)| {
            text.extend(before);
            text.push(c);
            text
        },
    );
    if let Ok(text) = terminated(text, (quote, space)).parse_next(input) {
        return Ok(text);
    }
    input.reset(&start);
    wrong(input, Problem::Quote(quote))
}

pub(super) fn word<'a>(input: &mut Input<'a>) -> Parsed<&'a str> {
    take_while(1.., |c: char| c.is_ascii_alphanumeric() || c == '_').parse_next(input)
}

pub(super) fn keyword<'a>(text: &'static str) -> impl Parser<Input<'a>, (), ErrMode<Wrong>> {
    terminated(word.verify(move |word: &str| word.eq_ignore_ascii_case(text)), space).void()
}

pub(super) fn symbol<'a>(text: &'static str) -> impl Parser<Input<'a>, (), ErrMode<Wrong>> {
    terminated(literal(text), space).void()
}

pub(super) fn space(input: &mut Input<'_>) -> Parsed<()> {
    take_while(0.., [' ', '\t', '\r', '\n']).void().parse_next(input)
}

pub(super) fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}
