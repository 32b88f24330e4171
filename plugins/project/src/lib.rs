//! Keeps or drops fields of JSON data, by name at any depth or by path.

mod keep;

use std::borrow::Cow;

use serde::Deserialize;
use stagewire_plugin::json::{Action, Path, rewrite};
use stagewire_plugin::{Emitter, Error, Event, Otherwise, Transform};

/// What the step's `settings:` hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Only these fields stay, with the objects and arrays around them.
    #[serde(default)]
    keep: Vec<String>,
    /// These fields go.
    #[serde(default)]
    drop: Vec<String>,
    /// What becomes of an event whose data is not JSON.
    #[serde(default)]
    not_json: Otherwise,
}

/// The transform.
#[derive(Debug)]
pub struct Project {
    fields: Fields,
    not_json: Otherwise,
}

#[derive(Debug)]
enum Fields {
    Keep(Vec<Path>),
    Drop(Vec<Path>),
}

impl Fields {
    /// What stays of JSON data; none where it is nested too deeply.
    fn of<'a>(&self, data: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Keep(paths) => keep::kept(data, paths).ok().map(Cow::Owned),
            Self::Drop(paths) => {
                let dropped = rewrite(data, |trail| {
                    if paths.iter().any(|path| path.matches(trail)) { Action::Remove } else { Action::Enter }
                });
                dropped.ok().map(|left| left.map_or(Cow::Borrowed(data), Cow::Owned))
            }
        }
    }
}

impl Transform for Project {
    type Settings = Settings;
    const SETTINGS_SCHEMA: &str = include_str!("../settings.schema.json");

    fn configure(settings: Settings) -> Result<Self, String> {
        let paths =
            |texts: &[String]| texts.iter().map(|text| Path::parse(text)).collect::<Result<Vec<_>, _>>();
        let fields = match (settings.keep.is_empty(), settings.drop.is_empty()) {
            (false, true) => Fields::Keep(paths(&settings.keep)?),
            (true, false) => Fields::Drop(paths(&settings.drop)?),
            (true, true) => return Err("neither `keep` nor `drop` names a field; give one of them".into()),
            (false, false) => {
                return Err(
                    "`keep` and `drop` exclude each other; use two steps, the first with `keep`".into()
                );
            }
        };
        Ok(Self { fields, not_json: settings.not_json })
    }

    fn apply(&mut self, event: &Event, out: &mut Emitter) -> Result<(), Error> {
        let data = event.bytes();
        if serde_json::from_slice::<serde::de::IgnoredAny>(&data).is_err() {
            return self.not_json.hand("data is not JSON", event, out);
        }
        let projected = self.fields.of(&data);
        match projected.ok_or_else(|| Error::permanent("data is nested too deeply to be looked through"))? {
            projected if projected == data => out.pass(event),
            projected => out.edit(event).set_bytes(&projected),
        }
        Ok(())
    }
}

stagewire_plugin::transform!(Project);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use stagewire_plugin::Handed;

    use super::*;

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn keep(fields: &[&str]) -> Settings {
        Settings { keep: owned(fields), ..Settings::default() }
    }

    fn drop(fields: &[&str]) -> Settings {
        Settings { drop: owned(fields), ..Settings::default() }
    }

    fn handed(settings: Settings, event: &Event) -> Result<Vec<Handed>, Error> {
        let mut out = Emitter::test();
        Project::configure(settings).unwrap().apply(event, &mut out)?;
        Ok(out.handed())
    }

    fn projected(settings: Settings, data: &str) -> String {
        match handed(settings, &Event::test().data_json(data)).unwrap().pop() {
            Some(Handed::Edit(event)) => event.text().unwrap(),
            Some(Handed::Pass) => data.to_owned(),
            other => panic!("{other:?}"),
        }
    }

    const ORDER: &str =
        r#"{"id":1.50,"who":{"name":"a","mail":"m"},"lines":[{"id":2,"sku":"x"},{"sku":"y"}],"n":null}"#;

    #[test]
    fn what_is_named_stays_with_what_is_around_it() {
        for (fields, left) in [
            (&["$.id"][..], r#"{"id":1.50}"#),
            (&["id"], r#"{"id":1.50,"lines":[{"id":2}]}"#),
            (&["who.name", "n"], r#"{"who":{"name":"a"},"n":null}"#),
            (&["/who"], r#"{"who":{"name":"a","mail":"m"}}"#),
            (&["lines[*].sku"], r#"{"lines":[{"sku":"x"},{"sku":"y"}]}"#),
            (&["lines[1]"], r#"{"lines":[{"sku":"y"}]}"#),
            (&["/lines/0/id"], r#"{"lines":[{"id":2}]}"#),
            (&["id.x", "n.x", "who[0]", "lines.sku"], "{}"),
        ] {
            assert_eq!(projected(keep(fields), ORDER), left, "{fields:?}");
        }
        assert_eq!(projected(keep(&["x"]), "[[1],2]"), "[]");
        assert_eq!(projected(keep(&["x"]), "7"), "null");
        assert_eq!(projected(keep(&["x"]), r#" [ {"\u0078": 1 , "y":2} ] "#), r#"[{"\u0078":1}]"#);
    }

    #[test]
    fn what_is_named_goes() {
        assert_eq!(
            projected(drop(&["id", "/who/mail", "lines[0]"]), ORDER),
            r#"{"who":{"name":"a"},"lines":[{"sku":"y"}],"n":null}"#
        );
    }

    #[test]
    fn an_event_in_which_nothing_changes_is_passed_as_it_is() {
        for settings in [keep(&["id"]), drop(&["x"])] {
            let handed = handed(settings, &Event::test().data_json(r#"{"id":1}"#)).unwrap();
            assert!(matches!(handed[..], [Handed::Pass]));
        }
    }

    #[test]
    fn data_that_is_not_json_is_a_matter_of_settings() {
        for event in [Event::test(), Event::test().data("{\"a\":"), Event::test().data([0xff])] {
            let with = |not_json| handed(Settings { not_json, ..keep(&["a"]) }, &event);
            assert_eq!(with(Otherwise::Error).unwrap_err(), Error::permanent("data is not JSON"));
            assert!(matches!(with(Otherwise::Pass).unwrap()[..], [Handed::Pass]));
            assert!(with(Otherwise::Drop).unwrap().is_empty());
        }
    }

    #[test]
    fn data_that_cannot_be_looked_through_is_an_error() {
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        for settings in [keep(&["a"]), drop(&["a"])] {
            let Err(Error::Permanent(said)) = handed(settings, &Event::test().data_json(&deep)) else {
                panic!("it was projected")
            };
            assert_eq!(said, "data is nested too deeply to be looked through");
        }
    }

    #[test]
    fn settings_are_refused_with_what_to_write() {
        let refused = |settings| Project::configure(settings).unwrap_err();
        assert!(refused(Settings::default()).contains("give one of them"));
        assert!(refused(Settings { drop: owned(&["b"]), ..keep(&["a"]) }).contains("use two steps"));
        assert!(refused(keep(&["a[x]"])).contains("write `name`"));
    }

    #[test]
    fn the_schema_says_what_the_settings_are() {
        stagewire_plugin::check_schema::<Settings>(Project::SETTINGS_SCHEMA).unwrap();
    }

    /// The definition of `keep: [x]`, by a tree.
    fn only_x(value: &Value) -> Option<Value> {
        match value {
            Value::Object(members) => {
                let left = |(name, value): (&String, &Value)| {
                    let value = if name == "x" { Some(value.clone()) } else { only_x(value) };
                    Some((name.clone(), value?))
                };
                let left: serde_json::Map<_, _> = members.iter().filter_map(left).collect();
                (!left.is_empty()).then_some(Value::Object(left))
            }
            Value::Array(elements) => {
                let left: Vec<_> = elements.iter().filter_map(only_x).collect();
                (!left.is_empty()).then_some(Value::Array(left))
            }
            _ => None,
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<i32>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[xyz]", inner, 0..3)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_kept_is_what_a_tree_would_keep(value in json()) {
            let left = projected(keep(&["x"]), &value.to_string());
            let expected = only_x(&value).unwrap_or(match value {
                Value::Object(_) => json!({}),
                Value::Array(_) => json!([]),
                _ => json!(null),
            });
            prop_assert_eq!(serde_json::from_str::<Value>(&left).unwrap(), expected);
        }

        #[test]
        fn no_data_makes_it_panic(data in "[{}\\[\\]\",:x1 \\\\]{0,40}") {
            for settings in [keep(&["x", "a[0].b"]), drop(&["x", "a[0].b"])] {
                let _ = handed(settings, &Event::test().data_json(&data));
            }
        }
    }
}
