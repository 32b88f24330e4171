//! An event as the fields of a stream's entry. No binding of CloudEvents says how, so names and values are those of the
//! JSON format where they are text, and `data` is what it is.

use std::borrow::Cow;

use super::binary;
use crate::Event;
use crate::event::{DataKind, Value};

/// A field for each attribute, `specversion` first, and last `data`, where the event has any.
pub fn fields(event: &Event) -> impl Iterator<Item = (&str, Cow<'_, [u8]>)> {
    let attributes = binary::attributes(event).map(|(name, value)| (name, bytes(value)));
    let data = (event.data_kind() != DataKind::None).then(|| ("data", Cow::Borrowed(event.data())));
    attributes.chain(data)
}

fn bytes(value: Value<'_>) -> Cow<'_, [u8]> {
    match value {
        Value::String(text) => Cow::Borrowed(text.as_bytes()),
        other => Cow::Owned(other.to_string().into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::OwnedValue;

    fn texts(event: &Event) -> Vec<(String, String)> {
        let text = |(name, value): (&str, Cow<'_, [u8]>)| {
            (name.to_owned(), String::from_utf8(value.into_owned()).unwrap())
        };
        fields(event).map(text).collect()
    }

    #[test]
    fn attributes_and_data_are_fields() {
        let event = Event::builder("1", "/s", "t")
            .subject("a b")
            .extension("attempt", OwnedValue::Integer(3))
            .json(&b"{\"n\":1}"[..])
            .build()
            .unwrap();
        let texts = texts(&event);
        assert_eq!(texts[0], ("specversion".into(), "1.0".into()));
        for (name, value) in [
            ("id", "1"),
            ("subject", "a b"),
            ("attempt", "3"),
            ("datacontenttype", "application/json"),
            ("data", "{\"n\":1}"),
        ] {
            assert!(texts.contains(&(name.into(), value.into())), "{name} is missing: {texts:?}");
        }
    }

    #[test]
    fn an_event_without_data_has_no_such_field() {
        let event = Event::builder("1", "/s", "t").build().unwrap();
        assert!(fields(&event).all(|(name, _)| name != "data"));
    }
}
