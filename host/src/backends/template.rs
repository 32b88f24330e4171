//! Where an event goes, written with its attributes: `nlp.{type}`.

use std::borrow::Cow;
use std::time::Duration;

use super::Failure;
use crate::Event;

/// Text with the names of attributes in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Attribute(String),
}

impl Template {
    /// Reads `nlp.{type}`; `{{` and `}}` stand for braces.
    ///
    /// # Errors
    /// What is wrong with it, and how to write it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                plain.push_str(&rest[..1]);
                rest = &rest[2..];
                continue;
            }
            let name = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let Some((name, after)) = name else {
                return Err(format!("{text:?} has a brace without its other; write it like nlp.{{type}}"));
            };
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
                return Err(format!("{{{name}}} names no attribute; write one like {{type}} or {{subject}}"));
            }
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Attribute(name.to_owned()));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The text between the attributes, which is the same for every event.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Attribute(_) => None,
        })
    }

    /// The text for every event, where no attribute is in it.
    #[cfg(feature = "redis_streams")]
    pub(super) fn fixed(&self) -> Option<&str> {
        match &self.0[..] {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// What to do where nobody takes the event there. If all events go there, all wait, and are tried after the pause;
    /// otherwise others may well have a place.
    pub(super) fn nowhere(&self, pause: Duration, text: String) -> Failure {
        if self.0.iter().any(|part| matches!(part, Part::Attribute(_))) {
            Failure::Unroutable(text)
        } else {
            Failure::BackOff(pause, text)
        }
    }

    /// The text for an event, each value made safe by `escape`.
    ///
    /// # Errors
    /// Which attribute the event lacks.
    pub(super) fn fill(
        &self,
        event: &Event,
        escape: impl Fn(&str) -> Cow<'_, str>,
    ) -> Result<String, String> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Attribute(name) => {
                    let value = event.attribute(name).ok_or_else(|| {
                        format!("the event has no attribute {name:?}; set it, or leave {{{name}}} out")
                    })?;
                    filled.push_str(&escape(&value.to_string()));
                }
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, event: &Event) -> Result<String, String> {
        Template::parse(template)?.fill(event, |value| value.replace(' ', "%20").into())
    }

    #[test]
    fn attributes_take_their_places() {
        let event = Event::builder("1", "stage 2", "com.example.x")
            .extension("attempt", crate::event::OwnedValue::Integer(3))
            .build()
            .unwrap();
        assert_eq!(filled("nlp.{type}", &event).unwrap(), "nlp.com.example.x");
        assert_eq!(filled("{source}-{attempt}", &event).unwrap(), "stage%202-3");
        assert_eq!(filled("a b.{{x}}", &event).unwrap(), "a b.{x}", "only values are escaped");
        assert_eq!(filled("", &event).unwrap(), "");
        let missing = filled("{subject}", &event).unwrap_err();
        assert_eq!(missing, "the event has no attribute \"subject\"; set it, or leave {subject} out");
    }

    #[test]
    fn what_is_wrong_with_a_template_is_said() {
        let wrong = |text: &str| Template::parse(text).unwrap_err();
        assert!(wrong("nlp.{type").contains("a brace without its other"));
        assert!(wrong("nlp.type}").contains("a brace without its other"));
        assert!(wrong("nlp.{Type}").contains("{Type} names no attribute"));
        assert!(wrong("{}").contains("names no attribute"));
    }
}
