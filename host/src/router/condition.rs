//! The dialects of CloudEvents Subscriptions (draft 0.1, section 3.2.4 "Filters"), and CEL beside them.

use std::collections::BTreeMap;
use std::fmt;

use super::attribute::Attribute;
use super::view::View;
use super::written::Written;
use super::{cel, sql};
use crate::config::settings::{Match, document_type};

/// One condition, compiled. An attribute that an event does not have matches nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// An attribute has this value.
    Exact(Attribute, String),
    /// An attribute begins with this.
    Prefix(Attribute, String),
    /// An attribute ends with this.
    Suffix(Attribute, String),
    /// All of these hold; with none, it holds.
    All(Vec<Condition>),
    /// One of these holds; with none, it does not.
    Any(Vec<Condition>),
    /// This does not hold.
    Not(Box<Condition>),
    /// This CloudEvents SQL expression is true, without an error.
    Sql(Written<sql::Expression>),
    /// This CEL expression is true, without an error.
    Cel(Written<cel::Expression>),
}

impl Default for Condition {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl From<&Match> for Condition {
    fn from(rule: &Match) -> Self {
        match rule {
            Match::Exact(map) => each(map, exact),
            Match::Prefix(map) => each(map, Self::Prefix),
            Match::Suffix(map) => each(map, Self::Suffix),
            Match::All(rules) => Self::all_of(rules),
            Match::Any(rules) => Self::Any(rules.iter().map(Self::from).collect()),
            Match::Not(rule) => Self::Not(Box::new(Self::from(&**rule))),
            Match::Sql(expression) => Self::Sql(expression.clone()),
            Match::Cel(expression) => Self::Cel(expression.clone()),
        }
    }
}

fn each(map: &BTreeMap<String, String>, form: fn(Attribute, String) -> Condition) -> Condition {
    let mut conditions: Vec<_> =
        map.iter().map(|(name, value)| form(Attribute::new(name), value.clone())).collect();
    match conditions.len() {
        1 => conditions.remove(0),
        _ => Condition::All(conditions),
    }
}

/// A short form of one of the document's types means that type, and still the one that is called so.
fn exact(attribute: Attribute, value: String) -> Condition {
    match document_type(&value).filter(|_| attribute == Attribute::Type) {
        Some(kind) => {
            let kinds = [value, kind.to_owned()];
            Condition::Any(kinds.map(|kind| Condition::Exact(attribute.clone(), kind)).into())
        }
        None => Condition::Exact(attribute, value),
    }
}

impl Condition {
    /// All of the rules.
    pub fn all_of(rules: &[Match]) -> Self {
        Self::All(rules.iter().map(Self::from).collect())
    }

    /// Whether the event fulfils it. What cannot be evaluated does not hold, and is noted in the view.
    pub fn holds(&self, view: &View<'_>) -> bool {
        let text = |attribute: &Attribute| attribute.text(view.event());
        match self {
            Self::Exact(attribute, value) => text(attribute).is_some_and(|text| text == value.as_str()),
            Self::Prefix(attribute, value) => {
                text(attribute).is_some_and(|text| text.starts_with(value.as_str()))
            }
            Self::Suffix(attribute, value) => {
                text(attribute).is_some_and(|text| text.ends_with(value.as_str()))
            }
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(view)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(view)),
            Self::Not(condition) => !condition.holds(view),
            Self::Sql(expression) => settled(view, expression.parsed().holds(view.event())),
            Self::Cel(expression) => settled(view, expression.parsed().holds(view)),
        }
    }

    /// The only types that can fulfil it; `None` where any type might.
    pub(super) fn types(&self) -> Option<Vec<&str>> {
        match self {
            Self::Exact(Attribute::Type, kind) => Some(vec![kind]),
            Self::Sql(expression) => expression.parsed().types(),
            // Any one member that limits the types limits the whole.
            Self::All(conditions) => conditions.iter().find_map(Self::types),
            Self::Any(conditions) => {
                conditions.iter().map(Self::types).collect::<Option<Vec<_>>>().map(|types| types.concat())
            }
            _ => None,
        }
    }

    /// The first part that decided against the event, or `None` where it holds.
    pub fn refusal(&self, view: &View<'_>) -> Option<&Condition> {
        match self {
            _ if self.holds(view) => None,
            Self::All(conditions) => conditions.iter().find_map(|condition| condition.refusal(view)),
            _ => Some(self),
        }
    }
}

/// An error is no match (CloudEvents SQL 1.2), and counted.
fn settled<E>(view: &View<'_>, verdict: Result<bool, E>) -> bool {
    verdict.unwrap_or_else(|_| {
        view.fail();
        false
    })
}

impl fmt::Display for Condition {
    /// As a sentence: `type = "x" and not (subject begins with "y")`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, conditions: &[Condition], word: &str, none: &str| {
            if conditions.is_empty() {
                return f.write_str(none);
            }
            conditions.iter().enumerate().try_for_each(|(index, condition)| match index {
                0 => write!(f, "{condition}"),
                _ => write!(f, " {word} {condition}"),
            })
        };
        match self {
            Self::Exact(attribute, value) => write!(f, "{attribute} = {value:?}"),
            Self::Prefix(attribute, value) => write!(f, "{attribute} begins with {value:?}"),
            Self::Suffix(attribute, value) => write!(f, "{attribute} ends with {value:?}"),
            Self::All(conditions) => list(f, conditions, "and", "every event"),
            Self::Any(conditions) => {
                f.write_str("(")?;
                list(f, conditions, "or", "no event")?;
                f.write_str(")")
            }
            Self::Not(condition) => write!(f, "not ({condition})"),
            Self::Sql(expression) => write!(f, "sql ({})", expression.text()),
            Self::Cel(expression) => write!(f, "cel ({})", expression.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;
    use crate::event::OwnedValue;

    fn condition(yaml: &str) -> Condition {
        Condition::all_of(&serde_saphyr::from_str::<Vec<Match>>(yaml).unwrap())
    }

    fn event() -> Event {
        Event::builder("1", "stage2", "com.example.done")
            .subject("document/7")
            .extension("attempt", OwnedValue::Integer(3))
            .json(&br#"{"count": 7}"#[..])
            .build()
            .unwrap()
    }

    #[test]
    fn the_dialects_say_what_the_specification_says() {
        let cases = [
            ("[]", true),
            ("[{exact: {type: com.example.done, source: stage2}}]", true),
            ("[{exact: {type: com.example.done, source: other}}]", false),
            ("[{prefix: {subject: document/}}, {suffix: {type: .done}}]", true),
            ("[{exact: {attempt: '3'}}]", true),
            ("[{exact: {absent: ''}}]", false),
            ("[{not: {exact: {absent: x}}}]", true),
            ("[{any: []}]", false),
            ("[{all: []}]", true),
            ("[{any: [{exact: {source: x}}, {prefix: {source: stage}}]}]", true),
            ("[{sql: \"type = 'com.example.done' AND subject LIKE 'document/%'\"}]", true),
            ("[{sql: attempt < 3}]", false),
            ("[{sql: absent = 1}]", false),
            ("[{not: {sql: absent = 1}}]", true),
            ("[{cel: \"type == 'com.example.done' && data.count > 2\"}]", true),
            ("[{cel: data.absent}]", false),
            ("[{all: [{sql: attempt = 3}, {any: [{cel: 'false'}, {not: {cel: data.count == 0}}]}]}]", true),
        ];
        for (yaml, expected) in cases {
            let event = event();
            assert_eq!(condition(yaml).holds(&View::new(&event)), expected, "{yaml}");
            assert_eq!(condition(yaml).refusal(&View::new(&event)).is_none(), expected, "{yaml}");
        }
    }

    #[test]
    fn a_short_type_means_the_documents_and_keeps_the_index() {
        let rule = condition("[{exact: {type: document.processed}}]");
        let holds = |kind| rule.holds(&View::new(&Event::builder("1", "s", kind).build().unwrap()));
        assert!(holds("com.storytelling.nlp.document.processed"));
        assert!(holds("document.processed"));
        assert!(!holds("com.storytelling.nlp.document.failed"));
        assert_eq!(rule.types().unwrap(), ["document.processed", "com.storytelling.nlp.document.processed"]);
        assert!(condition("[{exact: {subject: document.processed}}]").types().is_none());
    }

    #[test]
    fn the_deciding_part_reads_as_a_sentence() {
        let event = event();
        let refusal = |yaml| condition(yaml).refusal(&View::new(&event)).unwrap().to_string();
        let rule = "[{exact: {source: stage2}}, {not: {prefix: {subject: document/}}}]";
        assert_eq!(refusal(rule), r#"not (subject begins with "document/")"#);
        assert_eq!(refusal("[{sql: attempt = 3}, {sql: attempt > 3}]"), "sql (attempt > 3)");
    }
}
