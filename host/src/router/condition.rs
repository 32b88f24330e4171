//! The dialects of CloudEvents Subscriptions (draft 0.1, section 3.2.4 "Filters"), and CEL beside them.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::attribute::Attribute;
use super::bound::{Bound, Form};
use super::decision::{Part, deciding};
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

    /// What events must be to fulfil it.
    pub(super) fn bound(&self) -> Bound {
        match self {
            Self::Exact(attribute, text) => Bound::need(attribute, Form::Is, text),
            Self::Prefix(attribute, text) => Bound::need(attribute, Form::Begins, text),
            Self::Suffix(attribute, text) => Bound::need(attribute, Form::Ends, text),
            Self::All(conditions) => Bound::all(conditions.iter().map(Self::bound)),
            Self::Any(conditions) => Bound::one(conditions.iter().map(Self::bound)),
            Self::Not(_) => Bound::Open,
            Self::Sql(expression) => expression.parsed().bound(),
            Self::Cel(expression) => expression.parsed().bound(),
        }
    }

    /// The smallest parts that decided about the event: those against it where it does not hold, those for it where it
    /// does. None where nothing is asked.
    pub fn deciding(&self, view: &View<'_>) -> Vec<Part> {
        let mut parts = Vec::new();
        self.decide(view, &mut parts);
        parts
    }

    fn decide(&self, view: &View<'_>, parts: &mut Vec<Part>) {
        match self {
            Self::Not(condition) => condition.decide(view, parts),
            Self::Any(conditions) if conditions.is_empty() => parts.push(self.part(view, None)),
            Self::All(conditions) | Self::Any(conditions) => {
                let operands: Vec<_> = conditions.iter().map(|condition| Ok(condition.holds(view))).collect();
                let decided = deciding(&operands, matches!(self, Self::Any(_)));
                conditions[decided].iter().for_each(|condition| condition.decide(view, parts));
            }
            Self::Sql(expression) => expression.parsed().deciding(view.event(), parts),
            Self::Cel(expression) => cel::deciding(expression.text(), view, parts),
            Self::Exact(attribute, _) | Self::Prefix(attribute, _) | Self::Suffix(attribute, _) => {
                parts.push(self.part(view, Some(attribute)));
            }
        }
    }

    fn part(&self, view: &View<'_>, attribute: Option<&Attribute>) -> Part {
        let found = |attribute: &Attribute| {
            (attribute.name().to_owned(), attribute.text(view.event()).map_or(Value::Null, Value::from))
        };
        let found = attribute.map(found).into_iter().collect();
        Part { part: self.to_string(), holds: self.holds(view), error: None, found }
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
        }
    }

    #[test]
    fn a_short_type_means_the_documents_and_keeps_the_index() {
        let rule = condition("[{exact: {type: document.processed}}]");
        let holds = |kind| rule.holds(&View::new(&Event::builder("1", "s", kind).build().unwrap()));
        assert!(holds("com.storytelling.nlp.document.processed"));
        assert!(holds("document.processed"));
        assert!(!holds("com.storytelling.nlp.document.failed"));
        assert_eq!(
            rule.bound().to_string(),
            r#"(type is "document.processed" or type is "com.storytelling.nlp.document.processed")"#
        );
    }

    #[test]
    fn the_smallest_deciding_parts_read_as_sentences() {
        let event = event();
        let said = |yaml| {
            let parts = condition(yaml).deciding(&View::new(&event));
            parts.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let cases = [
            ("[]", ""),
            ("[{any: []}]", "(no event) is false"),
            // The first that decides against it, in whatever it stands.
            (
                "[{exact: {source: stage2}}, {not: {prefix: {subject: document/}}}]",
                r#"subject begins with "document/" is true: subject is "document/7""#,
            ),
            ("[{exact: {absent: x}}]", r#"absent = "x" is false: absent is absent"#),
            ("[{sql: attempt = 3}, {sql: attempt > 3 AND type = 'x'}]", "attempt > 3 is false: attempt is 3"),
            (
                "[{sql: \"type = 'com.example.done' AND NOT (subject LIKE 'document/%') AND attempt = 3\"}]",
                r#"subject LIKE 'document/%' is true: subject is "document/7""#,
            ),
            (
                "[{sql: attempt = 1 OR attempt = 2}]",
                "attempt = 1 is false: attempt is 3\nattempt = 2 is false: attempt is 3",
            ),
            (
                "[{sql: attempt = 3 AND absent = 1}]",
                "absent = 1 cannot be evaluated: the event has no attribute \"absent\"; ask EXISTS absent first",
            ),
            ("[{sql: TRUE XOR TRUE}]", "true XOR true is false"),
            (
                "[{cel: \"type == 'com.example.done' && (data.count > 8 || subject.startsWith('x'))\"}]",
                "data.count > 8 is false: data.count is 7\nsubject.startsWith('x') is false: subject is \"document/7\"",
            ),
            ("[{cel: \"!(source == 'stage2')\"}]", "source == 'stage2' is true: source is \"stage2\""),
            (
                "[{cel: attempt == 3 && data.nothing > 1}]",
                "data.nothing > 1 cannot be evaluated: No such key: nothing",
            ),
            // What holds, by what it does.
            (
                "[{any: [{exact: {source: x}}, {prefix: {source: stage}}]}, {cel: data.count == 7}]",
                "source begins with \"stage\" is true: source is \"stage2\"\ndata.count == 7 is true: data.count is 7",
            ),
        ];
        for (yaml, expected) in cases {
            assert_eq!(said(yaml), expected, "{yaml}");
        }
    }

    /// A part of a CEL expression is cut out of its text.
    #[test]
    fn parts_of_cel_are_what_stands_there() {
        let event = event();
        let part = |text: &str| {
            let rule = Match::Cel(Written::parse(text).unwrap());
            let parts = Condition::from(&rule).deciding(&View::new(&event));
            parts.into_iter().map(|part| part.part).collect::<Vec<_>>()
        };
        assert_eq!(part("((false)) && true"), ["false"]);
        assert_eq!(
            part("source == 'a && b' || source == \"c || d\""),
            ["source == 'a && b'", "source == \"c || d\""]
        );
        assert_eq!(part(r"source == r'\' && false"), [r"source == r'\'"]);
        assert_eq!(part("source == '''it's && ''' && true // && false"), ["source == '''it's && '''"]);
        assert_eq!(part("true ? false && true : true || true"), ["true ? false && true : true || true"]);
        assert_eq!(part("[1, 2].all(n, n > 0 && n < 2) && true"), ["[1, 2].all(n, n > 0 && n < 2)"]);
        assert_eq!(part("!has(data.count) && true"), ["has(data.count)"]);
        assert_eq!(part("!false == false"), ["!false == false"]);
    }
}
