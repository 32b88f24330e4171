//! What events are told apart by: values of theirs, put together so that no two keys can be mixed up.

use crate::{Event, Template};

/// The longest key, in bytes: as long as the host's `keyvalue` takes.
const LONGEST: usize = 1024;

/// Names of values: attributes (`source`, `tenant`) and places in JSON data (`/order/id`, `$.order.id`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    values: Vec<Template>,
    reads_data: bool,
}

impl Key {
    /// Reads the names; the error says how to write one.
    pub fn parse<T: AsRef<str>>(names: &[T]) -> Result<Self, String> {
        let value = |name: &T| match name.as_ref() {
            braced if braced.contains(['{', '}']) => {
                Err(format!("`{braced}` is written without braces here, as `subject` or `/order/id`"))
            }
            name => Template::parse(&format!("{{{name}}}")),
        };
        let values = names.iter().map(value).collect::<Result<Vec<_>, _>>()?;
        let reads_data = values.iter().any(Template::reads_data);
        Ok(Self { values, reads_data })
    }

    /// The key of an event: each value with its length before it.
    ///
    /// # Errors
    /// Which value the event lacks, or that all of them are too long.
    pub fn of(&self, event: &Event) -> Result<String, String> {
        let data = if self.reads_data { event.text() } else { None };
        let mut key = String::new();
        for value in &self.values {
            let value = value.fill(event, data.as_deref())?;
            key.push_str(&format!("{}:{value}", value.len()));
        }
        if key.len() > LONGEST {
            return Err(format!("the key is longer than {LONGEST} bytes"));
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Value;

    fn key(names: &[&str], event: &Event) -> Result<String, String> {
        Key::parse(names)?.of(event)
    }

    #[test]
    fn a_key_is_of_attributes_and_values_of_the_data() {
        let event = Event::test().data_json(r#"{"order":{"id":7}}"#);
        assert_eq!(key(&["source", "id", "/order/id"], &event).unwrap(), "5:/test1:11:7");
        assert_eq!(key(&[], &event).unwrap(), "");
        assert!(key(&["subject"], &event).unwrap_err().contains("no attribute \"subject\""));
        assert!(key(&["$.order"], &event).unwrap_err().contains("$.order"));
        assert!(key(&["{id}"], &event).unwrap_err().contains("without braces"));
        assert!(key(&["Id"], &event).unwrap_err().contains("names no attribute"));
        let long = event.with("id", Value::Text("x".repeat(2000)));
        assert_eq!(key(&["id"], &long).unwrap_err(), "the key is longer than 1024 bytes");
    }

    proptest! {
        #[test]
        fn different_values_have_different_keys(a in "[0-9:]{1,4}", b in "[0-9:]{1,4}", c in "[0-9:]{1,4}", d in "[0-9:]{1,4}") {
            let of = |id: &str, source: &str| {
                let event = Event::test().with("id", Value::Text(id.into())).with("source", Value::Text(source.into()));
                key(&["id", "source"], &event).unwrap()
            };
            prop_assert_eq!(of(&a, &b) == of(&c, &d), (a, b) == (c, d));
        }
    }
}
