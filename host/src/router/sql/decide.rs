//! Which parts of an expression decided about an event.

use serde_json::json;

use super::syntax::{Node, Operator};
use crate::Event;
use crate::router::decision::{Found, Operand, Part, deciding};

impl Node {
    pub(super) fn deciding(&self, event: &Event, parts: &mut Vec<Part>) {
        match self {
            Self::Not(node) => node.deciding(event, parts),
            Self::Chain(first, rest) => match of_one_kind(rest) {
                Some(decisive) => {
                    let operands: Vec<&Self> =
                        std::iter::once(&**first).chain(rest.iter().map(|(_, node)| node)).collect();
                    operands[decided(&operands, decisive, event)]
                        .iter()
                        .for_each(|node| node.deciding(event, parts));
                }
                None => parts.push(self.part(event)),
            },
            _ => parts.push(self.part(event)),
        }
    }

    fn truth(&self, event: &Event) -> Operand {
        self.evaluate(event).ok().and_then(|value| value.boolean().ok()).ok_or(())
    }

    fn part(&self, event: &Event) -> Part {
        let mut found = Found::new();
        self.look(event, &mut found);
        let error = self.evaluate(event).err().map(|failed| failed.error.to_string());
        Part { part: self.to_string(), holds: self.truth(event) == Ok(true), error, found }
    }

    /// Notes every attribute that it reads.
    fn look(&self, event: &Event, found: &mut Found) {
        match self {
            Self::Literal(_) => {}
            Self::Attribute(attribute) | Self::Exists(attribute) => {
                let value = attribute.value(event).map(super::Value::from);
                found.insert(attribute.name().to_owned(), json!(value));
            }
            Self::Not(node) | Self::Negate(node) | Self::Like(node, _) => node.look(event, found),
            Self::In(node, nodes) => {
                node.look(event, found);
                nodes.iter().for_each(|node| node.look(event, found));
            }
            Self::Chain(first, rest) => {
                first.look(event, found);
                rest.iter().for_each(|(_, node)| node.look(event, found));
            }
            Self::Call(_, nodes) | Self::Unknown(_, nodes) => {
                nodes.iter().for_each(|node| node.look(event, found));
            }
        }
    }
}

/// The value that decides a row of `AND` or of `OR`; nothing of other rows.
fn of_one_kind(rest: &[(Operator, Node)]) -> Option<bool> {
    let all = |wanted: Operator| rest.iter().all(|(operator, _)| *operator == wanted);
    if all(Operator::And) { Some(false) } else { all(Operator::Or).then_some(true) }
}

/// An operand behind one that decides, or fails, is not evaluated (3.4.2).
fn decided(operands: &[&Node], decisive: bool, event: &Event) -> std::ops::Range<usize> {
    let truths: Vec<Operand> = operands.iter().map(|node| node.truth(event)).collect();
    let end = truths.iter().position(|truth| *truth != Ok(!decisive)).map_or(truths.len(), |at| at + 1);
    deciding(&truths[..end], decisive)
}
