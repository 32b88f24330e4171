//! The value of an expression for an event: sections 3.2 to 3.7.
//!
//! Errors are met in the fail-fast mode of 4.1, which 1.2 asks for where expressions are filters: the first ends the
//! evaluation, and what it would have been part of yields the zero value of its type.

use std::slice::Iter;

use super::error::Error;
use super::syntax::{Node, Operator};
use super::value::{Type, Value};
use crate::Event;

/// A value, or an error with the value that stands beside it.
pub(super) type Evaluated<'a> = Result<Value<'a>, Failed<'a>>;

pub(super) struct Failed<'a> {
    pub(super) error: Error<'a>,
    /// Where it is not the zero value.
    pub(super) value: Option<Value<'a>>,
}

impl<'a> From<Error<'a>> for Failed<'a> {
    fn from(error: Error<'a>) -> Self {
        Self { error, value: None }
    }
}

impl Node {
    pub(super) fn evaluate<'a>(&'a self, event: &'a Event) -> Evaluated<'a> {
        match self {
            Self::Literal(value) => Ok(value.borrowed()),
            Self::Attribute(attribute) => {
                let value = attribute.value(event).map(Value::from);
                value.ok_or_else(|| Error::MissingAttribute(attribute.name()).into())
            }
            Self::Exists(attribute) => Ok(Value::Boolean(attribute.value(event).is_some())),
            Self::Not(node) => Ok(Value::Boolean(!node.operand(event)?.boolean()?)),
            Self::Negate(node) => {
                let negated = node.operand(event)?.integer()?.checked_neg();
                Ok(Value::Integer(negated.ok_or(Error::Overflow("-"))?))
            }
            Self::Like(node, pattern) => Ok(Value::Boolean(pattern.matches(&node.operand(event)?.string()))),
            Self::In(node, set) => Ok(Value::Boolean(is_in(&node.operand(event)?, set, event)?)),
            Self::Chain(first, rest) => {
                let mut value = first.operand(event)?;
                for (operator, node) in rest {
                    value = binary(*operator, value, node, event)?;
                }
                Ok(value)
            }
            Self::Call(function, arguments) => {
                (function.run)(&mut Arguments { rest: arguments.iter(), event })
            }
            Self::Unknown(name, arguments) => {
                Err(Error::MissingFunction { name, arguments: arguments.len() }.into())
            }
        }
    }

    /// As a part of something else, whose value an error decides.
    fn operand<'a>(&'a self, event: &'a Event) -> Result<Value<'a>, Error<'a>> {
        self.evaluate(event).map_err(|failed| failed.error)
    }
}

/// 3.4.5: elements are cast to the type of what is looked for, one after the other up to the first that is equal.
fn is_in<'a>(value: &Value<'a>, set: &'a [Node], event: &'a Event) -> Result<bool, Error<'a>> {
    for node in set {
        if node.operand(event)?.cast(value.kind())? == *value {
            return Ok(true);
        }
    }
    Ok(false)
}

fn binary<'a>(
    operator: Operator,
    left: Value<'a>,
    right: &'a Node,
    event: &'a Event,
) -> Result<Value<'a>, Error<'a>> {
    if matches!(operator, Operator::And | Operator::Or | Operator::Xor) {
        return logic(operator, left.boolean()?, right, event).map(Value::Boolean);
    }
    let right = right.operand(event)?;
    // 3.7: of the three definitions, the one with the right operand's type is meant.
    let equal = |left: Value<'a>, right: Value<'a>| Ok(left.cast(right.kind())? == right);
    match operator {
        Operator::Equal => equal(left, right).map(Value::Boolean),
        Operator::Unequal => equal(left, right).map(|equal| Value::Boolean(!equal)),
        _ => arithmetic(operator, left.integer()?, right.integer()?),
    }
}

/// 3.4.2: the right operand is not evaluated where the left one decides.
fn logic<'a>(operator: Operator, left: bool, right: &'a Node, event: &'a Event) -> Result<bool, Error<'a>> {
    match (operator, left) {
        (Operator::And, false) => Ok(false),
        (Operator::Or, true) => Ok(true),
        (Operator::Xor, true) => Ok(!right.operand(event)?.boolean()?),
        _ => right.operand(event)?.boolean(),
    }
}

fn arithmetic<'a>(operator: Operator, x: i32, y: i32) -> Result<Value<'a>, Error<'a>> {
    let result = match operator {
        Operator::AtMost => return Ok(Value::Boolean(x <= y)),
        Operator::AtLeast => return Ok(Value::Boolean(x >= y)),
        Operator::Less => return Ok(Value::Boolean(x < y)),
        Operator::Greater => return Ok(Value::Boolean(x > y)),
        Operator::Divide | Operator::Remainder if y == 0 => return Err(Error::Zero(operator.text())),
        Operator::Add => x.checked_add(y),
        Operator::Subtract => x.checked_sub(y),
        Operator::Multiply => x.checked_mul(y),
        Operator::Divide => x.checked_div(y),
        // Of -2147483648 and -1 too it is 0.
        _ => Some(x.wrapping_rem(y)),
    };
    // The specification gives no value to what does not fit; by 3.3 it is zero, and by its kind an error of arithmetic.
    result.map(Value::Integer).ok_or(Error::Overflow(operator.text()))
}

/// A call's arguments, evaluated one by one as the function asks for them.
pub(super) struct Arguments<'a> {
    rest: Iter<'a, Node>,
    event: &'a Event,
}

impl<'a> Arguments<'a> {
    pub(super) fn next(&mut self) -> Option<Result<Value<'a>, Error<'a>>> {
        self.rest.next().map(|node| node.operand(self.event))
    }

    /// The next; the parser has seen to it that there is one.
    pub(super) fn any(&mut self) -> Result<Value<'a>, Error<'a>> {
        self.next().unwrap_or(Ok(Type::String.zero()))
    }

    pub(super) fn string(&mut self) -> Result<std::borrow::Cow<'a, str>, Error<'a>> {
        self.any().map(Value::string)
    }

    pub(super) fn integer(&mut self) -> Result<i32, Error<'a>> {
        self.any()?.integer()
    }
}
