//! Which parts of an expression decided about an event. The interpreter knows no places, so parts are cut out of the text,
//! and each is parsed again.

use std::ops::Range;

use serde_json::json;

use super::refusal::declares;
use super::{Error, Expression, STANDARD, is_attribute, json};
use crate::router::decision::{Found, Operand, Part, deciding as decided};
use crate::router::sql;
use crate::router::view::View;

const COMPARISONS: [&str; 6] = ["==", "!=", "<=", ">=", "<", ">"];

/// Notes the parts of the expression that decided about an event.
pub(in crate::router) fn deciding(text: &str, view: &View<'_>, parts: &mut Vec<Part>) {
    let text = unwrapped(text);
    if let Some(operand) = negated(text) {
        return deciding(operand, view, parts);
    }
    if let Some((operands, decisive)) = operands(text) {
        let truths: Vec<Operand> = operands.iter().map(|operand| truth(operand, view)).collect();
        return operands[decided(&truths, decisive)]
            .iter()
            .for_each(|operand| deciding(operand, view, parts));
    }
    let holds = evaluate(text, view).and_then(|value| match value {
        cel::Value::Bool(flag) => Ok(flag),
        other => Err(Error::NotBoolean(other.type_of().to_string())),
    });
    let (holds, error) = match holds {
        Ok(holds) => (holds, None),
        Err(error) => (false, Some(error.to_string())),
    };
    parts.push(Part { part: text.to_owned(), holds, error, found: found(text, view) });
}

/// The operands of a row of `||` or `&&`, and the value that decides it; `||` binds less.
fn operands(text: &str) -> Option<(Vec<&str>, bool)> {
    let outside = outside(text);
    // A conditional binds less than both.
    if outside.iter().any(|at| text[*at..].starts_with('?')) {
        return None;
    }
    [("||", true), ("&&", false)].into_iter().find_map(|(operator, decisive)| {
        let operands = split(text, operator, &outside);
        let whole = operands.len() > 1 && operands.iter().all(|operand| STANDARD.compile(operand).is_ok());
        whole.then_some((operands, decisive))
    })
}

/// What stands behind `!`, where that is all.
fn negated(text: &str) -> Option<&str> {
    let operand = text.strip_prefix('!')?.trim_start();
    let operator = |at: &usize| operand[*at..].starts_with(|c: char| "=!<>+-*/%?&| \t\r\n".contains(c));
    (!outside(operand).iter().any(operator) && STANDARD.compile(operand).is_ok()).then_some(operand)
}

/// Without spaces and parentheses around all of it.
fn unwrapped(text: &str) -> &str {
    let mut text = text.trim();
    while let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        // Of `(a) && (b)` something stands outside, and `a) && (b` is no expression.
        if !outside(text).is_empty() || STANDARD.compile(inner).is_err() {
            break;
        }
        text = inner.trim();
    }
    text
}

fn evaluate(text: &str, view: &View<'_>) -> Result<cel::Value, Error> {
    match STANDARD.compile(text) {
        Ok(program) => Expression { program: program.into() }.evaluate(view),
        Err(_) => Err(Error::NotBoolean("nothing".into())),
    }
}

fn truth(text: &str, view: &View<'_>) -> Operand {
    match evaluate(text, view) {
        Ok(cel::Value::Bool(flag)) => Ok(flag),
        _ => Err(()),
    }
}

/// The attributes that the part names, and the sides of a comparison over the payload.
fn found(text: &str, view: &View<'_>) -> Found {
    let mut found = Found::new();
    if let Ok(program) = STANDARD.compile(text) {
        for name in program.references().variables() {
            if name != "data" && is_attribute(name) && !declares(text, name) {
                let value = view.event().attribute(name).map(sql::Value::from);
                found.insert(name.to_owned(), json!(value));
            }
        }
    }
    let outside = outside(text);
    let mut sides = COMPARISONS.into_iter().map(|operator| split(text, operator, &outside));
    for side in sides.find(|sides| sides.len() == 2).unwrap_or_default() {
        let reads = STANDARD.compile(side).is_ok_and(|program| program.references().has_variable("data"));
        if let Some(value) = reads.then(|| evaluate(side, view).ok()).flatten() {
            found.insert(side.to_owned(), json(&value));
        }
    }
    found
}

/// The parts between the places of an operator that are outside of everything.
fn split<'a>(text: &'a str, operator: &str, outside: &[usize]) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for at in outside.iter().copied().filter(|at| text[*at..].starts_with(operator)) {
        if at >= start {
            parts.push(text[start..at].trim());
            start = at + operator.len();
        }
    }
    parts.push(text[start..].trim());
    parts
}

/// Where ASCII characters stand that are in no string, comment or bracket.
fn outside(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut places) = (0, 0_usize, Vec::new());
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\'' | b'"' => {
                at = string(bytes, at).end;
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += bytes[at..].iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - at);
                continue;
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            byte if depth == 0 && byte.is_ascii() => places.push(at),
            _ => {}
        }
        at += 1;
    }
    places
}

/// The string that begins there: in one quote or three, its escapes meant or, behind an `r`, not.
fn string(bytes: &[u8], start: usize) -> Range<usize> {
    let quote = bytes[start];
    let raw = start > 0 && matches!(bytes[start - 1], b'r' | b'R');
    let length = if bytes[start..].starts_with(&[quote; 3]) { 3 } else { 1 };
    let mut at = start + length;
    while at < bytes.len() && !bytes[at..].starts_with(&[quote; 3][..length]) {
        at += if bytes[at] == b'\\' && !raw { 2 } else { 1 };
    }
    start..(at + length).min(bytes.len())
}
