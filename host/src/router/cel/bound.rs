//! What events must be for an expression to be true.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};

use super::Expression;
use crate::router::attribute::Attribute;
use crate::router::bound::{Bound, Form};

impl Expression {
    /// What events must be for it to hold.
    pub(in crate::router) fn bound(&self) -> Bound {
        bound(self.program.expression())
    }
}

fn bound(node: &IdedExpr) -> Bound {
    let Expr::Call(call) = &node.expr else { return Bound::Open };
    match (call.func_name.as_str(), call.target.as_deref(), &*call.args) {
        (operators::LOGICAL_AND, None, operands) => Bound::all(operands.iter().map(bound)),
        // An operand that cannot be evaluated does not matter where another one is true.
        (operators::LOGICAL_OR, None, operands) => Bound::one(operands.iter().map(bound)),
        (operators::EQUALS, None, [a, b]) => {
            let is = |a, b| Some((attribute(a)?, text(b)?));
            is(a, b)
                .or_else(|| is(b, a))
                .map_or(Bound::Open, |(name, text)| Bound::need(&name, Form::Is, text))
        }
        (operators::IN, None, [a, b]) => {
            match (attribute(a), &b.expr) {
                (Some(name), Expr::List(list)) => Bound::one(list.elements.iter().map(|element| {
                    text(element).map_or(Bound::Open, |text| Bound::need(&name, Form::Is, text))
                })),
                _ => Bound::Open,
            }
        }
        ("startsWith", Some(a), [b]) => ends(a, b, Form::Begins),
        ("endsWith", Some(a), [b]) => ends(a, b, Form::Ends),
        _ => Bound::Open,
    }
}

fn ends(a: &IdedExpr, b: &IdedExpr, form: Form) -> Bound {
    match (attribute(a), text(b)) {
        (Some(name), Some(text)) => Bound::need(&name, form, text),
        _ => Bound::Open,
    }
}

fn attribute(node: &IdedExpr) -> Option<Attribute> {
    let Expr::Ident(name) = &node.expr else { return None };
    Some(Attribute::new(name)).filter(Attribute::is_text)
}

fn text(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}
