//! A parsed expression as a tree, and the writing of it.

use std::fmt;

use super::functions::Function;
use super::like::Pattern;
use super::value::{Type, Value};
use crate::router::attribute::Attribute;
use crate::router::bound::{Bound, Form};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Literal(Value<'static>),
    Attribute(Attribute),
    Exists(Attribute),
    Not(Box<Node>),
    Negate(Box<Node>),
    Like(Box<Node>, Box<Pattern>),
    In(Box<Node>, Box<[Node]>),
    /// Operators of one level, from left to right.
    Chain(Box<Node>, Box<[(Operator, Node)]>),
    Call(&'static Function, Box<[Node]>),
    /// A call of a function that there is not, its name in upper case.
    Unknown(Box<str>, Box<[Node]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    And,
    Or,
    Xor,
    Equal,
    Unequal,
    AtMost,
    AtLeast,
    Less,
    Greater,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// The binary operators of 3.6, those that bind least first; a level is left-associative. No operator stands behind one
/// that is its beginning.
pub(super) const LEVELS: [&[(&str, Operator)]; 4] = [
    &[("AND", Operator::And), ("OR", Operator::Or), ("XOR", Operator::Xor)],
    &[
        ("=", Operator::Equal),
        ("!=", Operator::Unequal),
        ("<>", Operator::Unequal),
        ("<=", Operator::AtMost),
        (">=", Operator::AtLeast),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)],
];

/// `LIKE` and `IN` bind more than any of [`LEVELS`], `NOT` and `-` more than those.
const TESTS: usize = LEVELS.len();
const PREFIXES: usize = TESTS + 1;
const PRIMARY: usize = PREFIXES + 1;

impl Operator {
    pub(super) fn level(self) -> usize {
        let is = |(_, operator): &(&str, Self)| *operator == self;
        LEVELS.iter().position(|operators| operators.iter().any(is)).unwrap_or_default()
    }

    pub(super) fn text(self) -> &'static str {
        let found = LEVELS.iter().copied().flatten().find(|(_, operator)| *operator == self);
        found.map_or("", |(text, _)| text)
    }

    fn returns(self) -> Type {
        match self {
            Self::Add | Self::Subtract | Self::Multiply | Self::Divide | Self::Remainder => Type::Integer,
            _ => Type::Boolean,
        }
    }
}

impl Node {
    /// What it yields, as far as that is known of every event: 3.2 has the rest be a boolean.
    pub(super) fn returns(&self) -> Type {
        match self {
            Self::Literal(value) => value.kind(),
            Self::Negate(_) => Type::Integer,
            Self::Chain(first, rest) => {
                rest.last().map_or(first.returns(), |(operator, _)| operator.returns())
            }
            Self::Call(function, _) => function.returns,
            Self::Attribute(_)
            | Self::Exists(_)
            | Self::Not(_)
            | Self::Like(..)
            | Self::In(..)
            | Self::Unknown(..) => Type::Boolean,
        }
    }

    /// What events must be for it to be true. Only of attributes that are text in every event.
    pub(super) fn bound(&self) -> Bound {
        match self {
            Self::Chain(first, rest) => match (&**first, &**rest) {
                (Self::Attribute(attribute), [(Operator::Equal, value)])
                | (value, [(Operator::Equal, Self::Attribute(attribute))])
                    if attribute.is_text() =>
                {
                    value.text().map_or(Bound::Open, |text| Bound::need(attribute, Form::Is, text))
                }
                (_, rest) => {
                    let all = |wanted: Operator| rest.iter().all(|(operator, _)| *operator == wanted);
                    let bounds = || {
                        std::iter::once(&**first).chain(rest.iter().map(|(_, node)| node)).map(Self::bound)
                    };
                    match (all(Operator::And), all(Operator::Or)) {
                        (true, _) => Bound::all(bounds()),
                        (_, true) => Bound::one(bounds()),
                        _ => Bound::Open,
                    }
                }
            },
            Self::In(node, set) => match &**node {
                Self::Attribute(attribute) if attribute.is_text() => {
                    let is = |node: &Self| {
                        node.text().map_or(Bound::Open, |text| Bound::need(attribute, Form::Is, text))
                    };
                    Bound::one(set.iter().map(is))
                }
                _ => Bound::Open,
            },
            Self::Like(node, pattern) => match &**node {
                Self::Attribute(attribute) if attribute.is_text() => {
                    let [begin, end] = pattern.ends();
                    let need = |form, text: String| {
                        if text.is_empty() { Bound::Open } else { Bound::need(attribute, form, &text) }
                    };
                    Bound::all([need(Form::Begins, begin), need(Form::Ends, end)])
                }
                _ => Bound::Open,
            },
            _ => Bound::Open,
        }
    }

    fn text(&self) -> Option<&str> {
        if let Self::Literal(Value::String(text)) = self { Some(text) } else { None }
    }

    fn level(&self) -> usize {
        match self {
            Self::Chain(_, rest) => rest.first().map_or(0, |(operator, _)| operator.level()),
            Self::Like(..) | Self::In(..) => TESTS,
            Self::Not(node) if matches!(**node, Self::Like(..) | Self::In(..)) => TESTS,
            Self::Not(_) | Self::Negate(_) => PREFIXES,
            _ => PRIMARY,
        }
    }

    /// Writes it as an operand, in parentheses where it binds less than the operator.
    fn write(&self, f: &mut fmt::Formatter<'_>, least: usize) -> fmt::Result {
        if self.level() < least { write!(f, "({self})") } else { write!(f, "{self}") }
    }
}

fn like(f: &mut fmt::Formatter<'_>, node: &Node, word: &str, pattern: &Pattern) -> fmt::Result {
    node.write(f, TESTS)?;
    write!(f, " {word} ")?;
    quote(f, pattern.source())
}

fn is_in(f: &mut fmt::Formatter<'_>, node: &Node, word: &str, set: &[Node]) -> fmt::Result {
    node.write(f, TESTS)?;
    write!(f, " {word} ")?;
    list(f, set)
}

fn list(f: &mut fmt::Formatter<'_>, nodes: &[Node]) -> fmt::Result {
    f.write_str("(")?;
    for (index, node) in nodes.iter().enumerate() {
        f.write_str(if index > 0 { ", " } else { "" })?;
        write!(f, "{node}")?;
    }
    f.write_str(")")
}

impl fmt::Display for Node {
    /// As an expression that is parsed to the same tree.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(Value::String(text)) => quote(f, text),
            Self::Literal(other) => write!(f, "{other}"),
            Self::Attribute(attribute) => write!(f, "{attribute}"),
            Self::Exists(attribute) => write!(f, "EXISTS {attribute}"),
            Self::Not(node) => match &**node {
                Self::Like(node, pattern) => like(f, node, "NOT LIKE", pattern),
                Self::In(node, set) => is_in(f, node, "NOT IN", set),
                node => {
                    f.write_str("NOT ")?;
                    node.write(f, PREFIXES)
                }
            },
            // `-5` is a literal, `-(5)` is not.
            Self::Negate(node) if matches!(**node, Self::Literal(Value::Integer(0..))) => {
                write!(f, "-({node})")
            }
            Self::Negate(node) => {
                f.write_str("-")?;
                node.write(f, PREFIXES)
            }
            Self::Like(node, pattern) => like(f, node, "LIKE", pattern),
            Self::In(node, set) => is_in(f, node, "IN", set),
            Self::Chain(first, rest) => {
                let level = self.level();
                first.write(f, level)?;
                rest.iter().try_for_each(|(operator, node)| {
                    write!(f, " {} ", operator.text())?;
                    node.write(f, level + 1)
                })
            }
            Self::Call(function, arguments) => {
                f.write_str(function.name)?;
                list(f, arguments)
            }
            Self::Unknown(name, arguments) => {
                f.write_str(name)?;
                list(f, arguments)
            }
        }
    }
}

/// A string as a literal. Not every string can stand in both quotes: a backslash is an escape before the same quote only.
fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    match quoted(text, '\'').or_else(|| quoted(text, '"')) {
        Some(literal) => f.write_str(&literal),
        // Never of a string that was parsed.
        None => write!(f, "{text:?}"),
    }
}

fn quoted(text: &str, quote: char) -> Option<String> {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push(quote);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == quote {
            literal.push('\\');
        }
        literal.push(c);
        if c == '\\' {
            literal.push(rest.next().filter(|next| *next != quote)?);
        }
    }
    literal.push(quote);
    Some(literal)
}
