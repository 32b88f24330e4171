//! Sets one field in JSON text; every other byte stays.

use serde_json::value::RawValue;
use stagewire_plugin::Error;
use stagewire_plugin::json::{Place, find};

use crate::Existing;

/// A member of an object, by the names on the way to it.
#[derive(Debug)]
pub(crate) struct Field {
    path: String,
    names: Vec<(String, Place)>,
}

impl Field {
    /// Reads `a.b`, `$.a.b` or `/a/b`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let place = Place::parse(text)?;
        let names = place.keys().filter(|names| !names.is_empty());
        let names = names.ok_or_else(|| {
            format!("`data`: `{text}` is no field of an object; write names only, as `meta.region` or `/meta/region`")
        })?;
        let names = names.into_iter().map(|name| (name.to_owned(), Place::member(name))).collect();
        Ok(Self { path: text.into(), names })
    }

    /// As it was written.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The text with `json` in this field, and with the objects on the way to it where there are none; none where it is
    /// there and is to stay.
    pub(crate) fn set(&self, text: &str, json: &str, existing: Existing) -> Result<Option<String>, Error> {
        let mut here = text.trim();
        let mut names = self.names.iter();
        while let Some((name, place)) = names.next() {
            if !here.starts_with('{') {
                let before = self.names.len() - names.len();
                let what = if before == 1 { "the data" } else { "what is on the way to it" };
                return Err(Error::permanent(format!("`{}` cannot be set: {what} is no object", self.path)));
            }
            match find(here, place).map_err(|_| Error::permanent("data is not JSON"))? {
                Some(value) => here = RawValue::get(value),
                None => return Ok(Some(inserted(text, here, name, &nested(names, json)))),
            }
        }
        let at = offset(text, here);
        let replaced = || [&text[..at], json, &text[at + here.len()..]].concat();
        Ok((existing == Existing::Replace).then(replaced))
    }
}

/// The text with one more member at the end of `object`, which is a part of it.
fn inserted(text: &str, object: &str, name: &str, json: &str) -> String {
    let inner = object.strip_suffix('}').unwrap_or(object).trim_end();
    let comma = if inner == "{" { "" } else { "," };
    let at = offset(text, object) + inner.len();
    let name = serde_json::Value::from(name);
    format!("{}{comma}{name}:{json}{}", &text[..at], &text[at..])
}

/// `json` inside of objects of those names.
fn nested<'a>(names: impl DoubleEndedIterator<Item = &'a (String, Place)>, json: &str) -> String {
    names.rev().fold(json.to_owned(), |json, (name, _)| {
        format!("{{{}:{json}}}", serde_json::Value::from(name.as_str()))
    })
}

/// Where a part of the text begins in it.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr().addr() - text.as_ptr().addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(path: &str, text: &str) -> Result<Option<String>, Error> {
        Field::parse(path).unwrap().set(text, "1", Existing::Replace)
    }

    #[test]
    fn a_field_is_added_or_replaced_in_place() {
        for (path, before, after) in [
            ("a", "{}", r#"{"a":1}"#),
            ("a", " { } ", r#" {"a":1 } "#),
            ("a", r#"{ "b" : {} }"#, r#"{ "b" : {},"a":1 }"#),
            ("a", r#"{"a":[1,2],"b":2.0}"#, r#"{"a":1,"b":2.0}"#),
            ("a.b", r#"{"a":{"c":{}}}"#, r#"{"a":{"c":{},"b":1}}"#),
            ("a.b.c", r#"{"x":0}"#, r#"{"x":0,"a":{"b":{"c":1}}}"#),
            ("/a.b/0", "{}", r#"{"a.b":{"0":1}}"#),
            ("/\"", "{}", r#"{"\"":1}"#),
            ("a", r#"{"a":0,"a":0}"#, r#"{"a":0,"a":1}"#),
        ] {
            assert_eq!(set(path, before).unwrap().as_deref(), Some(after), "{path} {before}");
        }
    }

    #[test]
    fn what_is_no_object_takes_no_field() {
        let refused = |path, text| match set(path, text) {
            Err(Error::Permanent(said)) => said,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused("a", "[1]"), "`a` cannot be set: the data is no object");
        assert_eq!(
            refused("a.b", r#"{"a":"x"}"#),
            "`a.b` cannot be set: what is on the way to it is no object"
        );
    }

    #[test]
    fn a_path_is_of_names_only() {
        for path in ["$", "a[0]", "a[0].b"] {
            assert!(Field::parse(path).unwrap_err().contains("write names only"), "{path}");
        }
    }
}
