//! What a condition asks of an event's attributes at least: what the index is made of, and what tells that a rule is dead.

use super::attribute::Attribute;

/// What an attribute must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Need {
    pub(super) attribute: Attribute,
    pub(super) form: Form,
    pub(super) text: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Form {
    Is,
    Begins,
    Ends,
}

impl Need {
    pub(super) fn new(attribute: &Attribute, form: Form, text: &str) -> Self {
        Self { attribute: attribute.clone(), form, text: text.into() }
    }

    /// Whether a text is what it asks for.
    pub(super) fn takes(&self, text: &str) -> bool {
        match self.form {
            Form::Is => *text == *self.text,
            Form::Begins => text.starts_with(&*self.text),
            Form::Ends => text.ends_with(&*self.text),
        }
    }
}

/// A condition that holds wherever another does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// Nothing is known.
    Open,
    /// An attribute is that.
    Need(Need),
    /// All of them hold.
    All(Vec<Bound>),
    /// One of them holds; with none, nothing does.
    One(Vec<Bound>),
}

impl Bound {
    pub(super) fn need(attribute: &Attribute, form: Form, text: &str) -> Self {
        Self::Need(Need::new(attribute, form, text))
    }

    /// All of them, without those that say nothing.
    pub(super) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut parts: Vec<_> = parts.into_iter().filter(|part| *part != Self::Open).collect();
        match parts.len() {
            0 => Self::Open,
            1 => parts.remove(0),
            _ => Self::All(parts),
        }
    }

    /// One of them, which says nothing where one says nothing.
    pub(super) fn one(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut parts: Vec<_> = parts.into_iter().collect();
        match parts.len() {
            _ if parts.contains(&Self::Open) => Self::Open,
            1 => parts.remove(0),
            _ => Self::One(parts),
        }
    }
}

#[cfg(test)]
impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |f: &mut std::fmt::Formatter<'_>, parts: &[Self], word: &str| {
            let parts: Vec<_> = parts.iter().map(ToString::to_string).collect();
            write!(f, "({})", parts.join(word))
        };
        match self {
            Self::Open => f.write_str("?"),
            Self::Need(Need { attribute, form: Form::Is, text }) => write!(f, "{attribute} is {text:?}"),
            Self::Need(Need { attribute, form: Form::Begins, text }) => {
                write!(f, "{attribute} begins {text:?}")
            }
            Self::Need(Need { attribute, form: Form::Ends, text }) => write!(f, "{attribute} ends {text:?}"),
            Self::All(parts) => list(f, parts, " and "),
            Self::One(parts) => list(f, parts, " or "),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::router::{Condition, Written};

    fn sql(text: &str) -> String {
        Condition::Sql(Written::parse(text).unwrap()).bound().to_string()
    }

    fn cel(text: &str) -> String {
        Condition::Cel(Written::parse(text).unwrap()).bound().to_string()
    }

    #[test]
    fn an_expression_tells_what_events_must_be() {
        assert_eq!(sql("type = 'a'"), r#"type is "a""#);
        assert_eq!(sql("'a' = type"), r#"type is "a""#);
        assert_eq!(sql("type IN ('a', 'b')"), r#"(type is "a" or type is "b")"#);
        assert_eq!(
            sql("subject LIKE 'x%y' AND type = 'a' AND TRUE"),
            r#"((subject begins "x" and subject ends "y") and type is "a")"#
        );
        assert_eq!(sql("(type = 'a' AND TRUE) AND TRUE"), r#"type is "a""#);
        assert_eq!(sql("type = 'a' OR source = 'b'"), r#"(type is "a" or source is "b")"#);
        assert_eq!(sql(r"subject LIKE 'a\%_b'"), r#"(subject begins "a%" and subject ends "b")"#);
        for open in [
            "type = 'a' OR TRUE",
            "type != 'a'",
            "type = subject",
            "type IN ('a', subject)",
            "NOT type = 'a'",
            "attempt = '1'",
            "subject LIKE '%'",
            "type = 'a' XOR TRUE",
        ] {
            assert_eq!(sql(open), "?", "{open}");
        }
        assert_eq!(cel("type == 'a' && data.n > 1"), r#"type is "a""#);
        assert_eq!(
            cel("data.n > 1 && ('a' == type || source in ['b', 'c'])"),
            r#"(type is "a" or (source is "b" or source is "c"))"#
        );
        assert_eq!(
            cel("subject.startsWith('x') && subject.endsWith('y')"),
            r#"(subject begins "x" and subject ends "y")"#
        );
        for open in [
            "type == 'a' || data.n > 1",
            "type != 'a'",
            "!(type == 'a')",
            "type == 'a' ? true : true",
            "data.list.all(type, type == 'a')",
            "data.type == 'a'",
            "attempt == '1'",
        ] {
            assert_eq!(cel(open), "?", "{open}");
        }
    }
}
