//! The dialects of CloudEvents Subscriptions (draft 0.1, section 3.2.4 "Filters") that look at attributes only.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::Event;
use crate::config::settings::Match;
use crate::event::Value;

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
}

/// An attribute by its place, where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// `type`
    Type,
    /// `source`
    Source,
    /// `subject`
    Subject,
    /// Any other, by name.
    Named(String),
}

impl Attribute {
    fn new(name: &str) -> Self {
        match name {
            "type" => Self::Type,
            "source" => Self::Source,
            "subject" => Self::Subject,
            other => Self::Named(other.to_owned()),
        }
    }

    fn of<'a>(&self, event: &'a Event) -> Option<Cow<'a, str>> {
        let text = match self {
            Self::Type => event.kind(),
            Self::Source => event.source(),
            Self::Subject => event.subject()?,
            Self::Named(name) => match event.attribute(name)? {
                Value::String(text) => text,
                other => return Some(Cow::Owned(other.to_string())),
            },
        };
        Some(Cow::Borrowed(text))
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Type => "type",
            Self::Source => "source",
            Self::Subject => "subject",
            Self::Named(name) => name,
        })
    }
}

impl From<&Match> for Condition {
    fn from(rule: &Match) -> Self {
        match rule {
            Match::Exact(map) => each(map, Self::Exact),
            Match::Prefix(map) => each(map, Self::Prefix),
            Match::Suffix(map) => each(map, Self::Suffix),
            Match::All(rules) => Self::all_of(rules),
            Match::Any(rules) => Self::Any(rules.iter().map(Self::from).collect()),
            Match::Not(rule) => Self::Not(Box::new(Self::from(&**rule))),
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

impl Condition {
    /// All of the rules.
    pub fn all_of(rules: &[Match]) -> Self {
        Self::All(rules.iter().map(Self::from).collect())
    }

    /// Whether the event fulfils it.
    pub fn holds(&self, event: &Event) -> bool {
        match self {
            Self::Exact(attribute, value) => attribute.of(event).is_some_and(|text| text == value.as_str()),
            Self::Prefix(attribute, value) => {
                attribute.of(event).is_some_and(|text| text.starts_with(value.as_str()))
            }
            Self::Suffix(attribute, value) => {
                attribute.of(event).is_some_and(|text| text.ends_with(value.as_str()))
            }
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(event)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(event)),
            Self::Not(condition) => !condition.holds(event),
        }
    }

    /// The only types that can fulfil it; `None` where any type might.
    pub(super) fn types(&self) -> Option<Vec<&str>> {
        match self {
            Self::Exact(Attribute::Type, kind) => Some(vec![kind]),
            // Any one member that limits the types limits the whole.
            Self::All(conditions) => conditions.iter().find_map(Self::types),
            Self::Any(conditions) => {
                conditions.iter().map(Self::types).collect::<Option<Vec<_>>>().map(|types| types.concat())
            }
            _ => None,
        }
    }

    /// The first part that decided against the event, or `None` where it holds.
    pub fn refusal(&self, event: &Event) -> Option<&Condition> {
        match self {
            _ if self.holds(event) => None,
            Self::All(conditions) => conditions.iter().find_map(|condition| condition.refusal(event)),
            _ => Some(self),
        }
    }
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::OwnedValue;

    fn condition(yaml: &str) -> Condition {
        Condition::all_of(&serde_saphyr::from_str::<Vec<Match>>(yaml).unwrap())
    }

    fn event() -> Event {
        Event::builder("1", "stage2", "com.example.done")
            .subject("document/7")
            .extension("attempt", OwnedValue::Integer(3))
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
        ];
        for (yaml, expected) in cases {
            assert_eq!(condition(yaml).holds(&event()), expected, "{yaml}");
            assert_eq!(condition(yaml).refusal(&event()).is_none(), expected, "{yaml}");
        }
    }

    #[test]
    fn the_deciding_part_reads_as_a_sentence() {
        let rule = condition("[{exact: {source: stage2}}, {not: {prefix: {subject: document/}}}]");
        let refusal = rule.refusal(&event()).unwrap().to_string();
        assert_eq!(refusal, r#"not (subject begins with "document/")"#);
    }
}
