//! Text with values of the event in braces: `{type}-{/order/id}`, as subjects are written in the host's settings.

use std::borrow::Cow;

use crate::json::{Place, find};
use crate::{Event, Value};

/// A template: `{name}` is an attribute, `{/a/b}` or `{$.a.b}` a value of JSON data, `{{` and `}}` stand for braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Attribute(String),
    Data(Place),
}

impl Template {
    /// Reads a template; the error says how to write it.
    pub fn parse(text: &str) -> Result<Self, String> {
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
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::named(name)?);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// Whether a value of the data is in it: only then does [`fill`](Self::fill) need the data.
    pub fn reads_data(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Data(_)))
    }

    /// The place, where the template is one value of the data and nothing else.
    pub fn as_place(&self) -> Option<&Place> {
        match &self.0[..] {
            [Part::Data(place)] => Some(place),
            _ => None,
        }
    }

    /// The text, where it is the same for every event.
    pub fn as_constant(&self) -> Option<&str> {
        match &self.0[..] {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The names of the attributes in it.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Attribute(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The text for an event. `data` is its data, where the template [reads it](Self::reads_data) and it is text.
    ///
    /// # Errors
    /// Which value the event lacks.
    pub fn fill(&self, event: &Event, data: Option<&str>) -> Result<String, String> {
        self.fill_with(|name| event.attribute(name), data)
    }

    /// The text with attributes from `attribute`.
    ///
    /// # Errors
    /// Which value is lacking.
    pub fn fill_with(
        &self,
        attribute: impl Fn(&str) -> Option<Value>,
        data: Option<&str>,
    ) -> Result<String, String> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Attribute(name) => {
                    let value = attribute(name).ok_or_else(|| {
                        format!("the event has no attribute {name:?}; set it, or leave {{{name}}} out")
                    })?;
                    filled.push_str(&value.to_string());
                }
                Part::Data(place) => {
                    let value = data.and_then(|data| scalar(data, place)).ok_or_else(|| {
                        format!("data has no text, number or boolean at {}", place.as_str())
                    })?;
                    filled.push_str(&value);
                }
            }
        }
        Ok(filled)
    }
}

impl Part {
    fn named(name: &str) -> Result<Self, String> {
        if name.starts_with(['/', '$']) {
            return Place::parse(name).map(Self::Data);
        }
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            return Err(format!(
                "{{{name}}} names no attribute and no place in the data; write one like {{type}}, {{subject}} or {{/order/id}}"
            ));
        }
        Ok(Self::Attribute(name.to_owned()))
    }
}

/// A text, number or boolean; none where there is something else, or nothing.
fn scalar<'a>(data: &'a str, place: &Place) -> Option<Cow<'a, str>> {
    let text = find(data, place).ok()??.get();
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(text).ok().map(Cow::Owned),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(text)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(template: &str, event: &Event) -> Result<String, String> {
        Template::parse(template)?.fill(event, event.text().as_deref())
    }

    #[test]
    fn values_take_their_places() {
        let event = Event::test()
            .of_kind("com.example.x")
            .with("attempt", Value::Integer(3))
            .data_json(r#"{"order":{"id":7,"who":"a \"b\"","lines":[1.50,true,null,{}]}}"#);
        assert_eq!(filled("nlp.{type}", &event).unwrap(), "nlp.com.example.x");
        assert_eq!(filled("{source}-{attempt}", &event).unwrap(), "/test-3");
        assert_eq!(filled("{/order/id}: {$.order.who}", &event).unwrap(), "7: a \"b\"");
        assert_eq!(filled("{/order/lines/0} {/order/lines/1}", &event).unwrap(), "1.50 true");
        assert_eq!(filled("a b.{{x}}", &event).unwrap(), "a b.{x}");
        assert_eq!(filled("", &event).unwrap(), "");
    }

    #[test]
    fn what_is_lacking_is_named() {
        let event = Event::test().data_json(r#"{"list":[null],"secret":{}}"#);
        let lacking = |template: &str| filled(template, &event).unwrap_err();
        assert_eq!(
            lacking("{subject}"),
            "the event has no attribute \"subject\"; set it, or leave {subject} out"
        );
        for place in ["/list", "/list/0", "/list/1", "/secret", "/no"] {
            assert_eq!(
                lacking(&format!("{{{place}}}")),
                format!("data has no text, number or boolean at {place}")
            );
        }
        let no_data = Template::parse("{/a}").unwrap().fill(&Event::test(), None);
        assert_eq!(no_data.unwrap_err(), "data has no text, number or boolean at /a");
    }

    #[test]
    fn what_is_wrong_with_a_template_is_said() {
        let wrong = |text: &str| Template::parse(text).unwrap_err();
        assert!(wrong("nlp.{type").contains("a brace without its other"));
        assert!(wrong("nlp.type}").contains("a brace without its other"));
        assert!(wrong("nlp.{Type}").contains("{Type} names no attribute"));
        assert!(wrong("{}").contains("names no attribute"));
        assert!(wrong("{$.a[*]}").contains("several values"));
    }

    proptest! {
        #[test]
        fn no_template_makes_it_panic(template in "[{}/$a.\\[\\]* é]{0,24}", data in ".{0,40}") {
            if let Ok(template) = Template::parse(&template) {
                let _ = template.fill(&Event::test(), Some(&data));
            }
        }

        #[test]
        fn plain_text_with_braces_doubled_is_itself(text in ".{0,24}") {
            let doubled = text.replace('{', "{{").replace('}', "}}");
            prop_assert_eq!(filled(&doubled, &Event::test()), Ok(text));
        }
    }
}
