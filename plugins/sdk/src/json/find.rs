//! One value out of JSON text, without a tree of the rest.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::path::{Part, Place};

/// The text of the value at that place; of several members of one name the last, as most readers have it.
///
/// # Errors
/// The data is not JSON as a whole; the place in it, never the data.
pub fn find<'a>(data: &'a str, place: &Place) -> Result<Option<&'a RawValue>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(data);
    let found = Seek(place.parts()).deserialize(&mut reader)?;
    reader.end()?;
    Ok(found)
}

/// The rest of the way.
struct Seek<'p>(&'p [Part]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            [] => serde::Deserialize::deserialize(reader).map(Some),
            _ => reader.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let name = match &self.0[0] {
            Part::Key(name) | Part::Either(name, _) => Some(name.as_str()),
            Part::Index(_) | Part::Any => None,
        };
        let mut found = None;
        while let Some(here) = map.next_key_seed(Is(name))? {
            if here {
                found = map.next_value_seed(Seek(&self.0[1..]))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let index = match &self.0[0] {
            Part::Index(index) | Part::Either(_, index) => Some(*index),
            Part::Key(_) | Part::Any => None,
        };
        let mut found = None;
        for at in 0.. {
            if Some(at) == index {
                match elements.next_element_seed(Seek(&self.0[1..]))? {
                    Some(value) => found = value,
                    None => break,
                }
            } else if elements.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Whether a key is that name.
struct Is<'p>(Option<&'p str>);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<bool, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(self.0 == Some(key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found<'a>(data: &'a str, place: &str) -> Option<&'a str> {
        find(data, &Place::parse(place).unwrap()).unwrap().map(RawValue::get)
    }

    #[test]
    fn a_value_is_found_with_its_own_text() {
        let data = r#"{"a":{"b":[1, {"\u0063": 1.50e1 }]},"a.b":"x","0":7,"n":null}"#;
        assert_eq!(found(data, "a.b[1].c"), Some("1.50e1"));
        assert_eq!(found(data, "/a/b/1/c"), Some("1.50e1"));
        assert_eq!(found(data, "/a.b"), Some("\"x\""));
        assert_eq!(found(data, "/0"), Some("7"));
        assert_eq!(found(data, "n"), Some("null"));
        assert_eq!(found(data, "n.x"), None);
        assert_eq!(found(data, "a[0]"), None);
        assert_eq!(found(data, "a.b.c"), None);
        assert_eq!(found(data, "$"), Some(data));
        assert_eq!(found(r#"{"a":1,"a":2}"#, "a"), Some("2"));
    }

    #[test]
    fn what_is_not_json_as_a_whole_is_an_error() {
        for data in ["", "{\"a\":1", "{\"a\":1}}", "{\"a\":01}", "text"] {
            assert!(find(data, &Place::parse("a").unwrap()).is_err(), "{data}");
        }
        let deep = "[".repeat(100_000);
        assert!(find(&deep, &Place::parse("a").unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn no_data_and_no_path_makes_it_panic(data in ".{0,80}", place in "[$/a.\\[\\]*0~]{0,12}") {
            if let Ok(place) = Place::parse(&place) {
                let _ = find(&data, &place);
            }
        }

        #[test]
        fn what_a_tree_has_is_found(key in ".{0,6}", number: i64) {
            let data = serde_json::json!({ "x": [{ &key: number }] }).to_string();
            let place = format!("/x/0/{}", key.replace('~', "~0").replace('/', "~1"));
            let number = number.to_string();
            prop_assert_eq!(found(&data, &place), Some(number.as_str()));
        }
    }
}
