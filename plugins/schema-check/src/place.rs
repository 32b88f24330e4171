//! Where in the data a fault is, without the data's own words: keys may be somebody's names, too.

use std::collections::BTreeSet;

use jsonschema::paths::Location;
use serde_json::Value;

/// Every word of a schema: what it names may be shown.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeSet<String>);

impl Names {
    pub(crate) fn of(schema: &Value) -> Self {
        let mut names = Self::default();
        names.take(schema);
        names
    }

    fn take(&mut self, schema: &Value) {
        match schema {
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                self.0.insert(name.clone());
                self.take(value);
            }),
            Value::Array(elements) => elements.iter().for_each(|element| self.take(element)),
            Value::String(text) => {
                self.0.insert(text.clone());
            }
            _ => {}
        }
    }

    /// `/items/0/price`, with `*` for each key that is not in the schema; `/` is the data itself.
    pub(crate) fn shown(&self, location: &Location, data: &Value) -> String {
        let (mut shown, mut here) = (String::new(), Some(data));
        for token in location.as_str().split('/').skip(1) {
            let key = token.replace("~1", "/").replace("~0", "~");
            let known = here.is_some_and(Value::is_array) || self.0.contains(&key);
            shown.push('/');
            shown.push_str(if known { token } else { "*" });
            here = here.and_then(|value| match value {
                Value::Array(elements) => elements.get(key.parse::<usize>().ok()?),
                value => value.get(&key),
            });
        }
        if shown.is_empty() { "/".into() } else { shown }
    }
}
