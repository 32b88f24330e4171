//! Drops or refuses events whose JSON data is not as a JSON Schema says.

mod place;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod seeds;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde::Deserialize;
use serde_json::Value;
use stagewire_plugin::{Error, Event, Filter, Otherwise, Verdict};

use place::Names;

/// What the step's `settings:` hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The schema, inline; its `$schema` says which draft it is of, 2020-12 where it has none.
    schema: Value,
    /// What becomes of an event whose data is not as the schema says.
    #[serde(default)]
    invalid: Invalid,
    /// What becomes of an event whose data is not JSON.
    #[serde(default)]
    not_json: Otherwise,
    /// Whether `format` is checked, too.
    #[serde(default)]
    formats: bool,
}

/// What becomes of an event whose data is not as the schema says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Invalid {
    /// A permanent error: the step's `on_error` decides.
    #[default]
    Error,
    /// It is dropped.
    Drop,
}

/// The filter.
#[derive(Debug)]
pub struct SchemaCheck {
    validator: Validator,
    names: Names,
    invalid: Invalid,
    not_json: Otherwise,
}

impl Filter for SchemaCheck {
    type Settings = Settings;
    const SETTINGS_SCHEMA: &str = include_str!("../settings.schema.json");

    fn configure(settings: Settings) -> Result<Self, String> {
        let Settings { schema, invalid, not_json, formats } = settings;
        if !schema.is_object() && !schema.is_boolean() {
            return Err(
                "`schema` is no JSON Schema; write it inline, as `{ type: object, required: [id] }`".into()
            );
        }
        let validator = jsonschema::options().should_validate_formats(formats).build(&schema);
        let validator = validator.map_err(|error| refusal(&error))?;
        Ok(Self { validator, names: Names::of(&schema), invalid, not_json })
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        let Ok(data) = serde_json::from_slice::<Value>(&event.bytes()) else {
            return self.not_json.verdict("data is not JSON");
        };
        let Some(error) = self.validator.iter_errors(&data).next() else { return Ok(Verdict::Keep) };
        let place = self.names.shown(error.instance_path(), &data);
        let reason = format!("data is not as its schema says at {place}: {}", error.kind().keyword());
        match self.invalid {
            Invalid::Error => Err(Error::permanent(reason)),
            Invalid::Drop => Ok(Verdict::drop(reason)),
        }
    }
}

stagewire_plugin::filter!(SchemaCheck);

/// Why a schema cannot be used.
fn refusal(error: &ValidationError<'_>) -> String {
    if let ValidationErrorKind::Referencing(error) = error.kind() {
        return format!(
            "`schema` refers to what is not in it ({error}); write it under `$defs`, and refer to `#/$defs/x`"
        );
    }
    let place = Some(error.instance_path().as_str()).filter(|place| !place.is_empty()).unwrap_or("/");
    format!("`schema` is no JSON Schema, at {place}: {error}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(settings: Value) -> Result<SchemaCheck, String> {
        SchemaCheck::configure(serde_json::from_value(settings).unwrap())
    }

    fn reason(schema: Value, data: &Value) -> Option<String> {
        let settings = json!({ "schema": schema, "invalid": "drop", "formats": true });
        match check(settings).unwrap().keep(&Event::test().data_json(&data.to_string())).unwrap() {
            Verdict::Keep => None,
            Verdict::Drop(reason) => Some(reason),
        }
    }

    fn order() -> Value {
        json!({
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": { "type": "integer" },
                "lines": { "type": "array", "items": { "$ref": "#/$defs/line" } },
                "tags": { "additionalProperties": { "type": "string" } },
                "mail": { "format": "email" },
                "code": { "pattern": "^[A-Z]+(?!x)$" },
            },
            "$defs": { "line": { "properties": { "price": { "type": "number", "minimum": 0 } } } },
        })
    }

    #[test]
    fn data_as_the_schema_says_is_kept() {
        assert_eq!(
            reason(order(), &json!({ "id": 1, "lines": [{ "price": 0.5 }], "mail": "a@b.example" })),
            None
        );
        assert_eq!(reason(json!(true), &json!(1)), None);
    }

    #[test]
    fn the_reason_names_place_and_keyword_and_quotes_nothing() {
        for (data, place) in [
            (json!({}), "/: required"),
            (json!([]), "/: type"),
            (json!({ "id": "secret" }), "/id: type"),
            (json!({ "id": 1, "lines": [{}, { "price": -77 }] }), "/lines/1/price: minimum"),
            (json!({ "id": 1, "tags": { "secret": 77 } }), "/tags/*: type"),
            (json!({ "id": 1, "tags": { "77": 77 } }), "/tags/*: type"),
            (json!({ "id": 1, "mail": "secret" }), "/mail: format"),
            (json!({ "id": 1, "code": "secret" }), "/code: pattern"),
        ] {
            let reason = reason(order(), &data).unwrap();
            assert_eq!(reason, format!("data is not as its schema says at {place}"));
        }
        let nothing_else = json!({ "additionalProperties": false });
        assert!(!reason(nothing_else, &json!({ "secret": 1 })).unwrap().contains("secret"));
    }

    #[test]
    fn what_is_invalid_or_not_json_is_a_matter_of_settings() {
        let keep = |key: &str, what: &str, event: &Event| {
            check(json!({ "schema": { "type": "object" }, key: what })).unwrap().keep(event)
        };
        let reason = "data is not as its schema says at /: type";
        let number = Event::test().data_json("7");
        assert_eq!(keep("invalid", "error", &number), Err(Error::permanent(reason)));
        assert_eq!(keep("invalid", "drop", &number), Ok(Verdict::drop(reason)));
        let reason = "data is not JSON";
        for event in [Event::test(), Event::test().data("{"), Event::test().data("[".repeat(9999))] {
            assert_eq!(keep("not_json", "error", &event), Err(Error::permanent(reason)));
            assert_eq!(keep("not_json", "drop", &event), Ok(Verdict::drop(reason)));
            assert_eq!(keep("not_json", "pass", &event), Ok(Verdict::Keep));
        }
    }

    #[test]
    fn a_schema_without_an_end_is_no_endless_loop() {
        let schema = json!({ "$ref": "#/$defs/a", "$defs": { "a": { "allOf": [{ "$ref": "#/$defs/a" }] } } });
        if let Ok(mut check) = check(json!({ "schema": schema })) {
            let _ = check.keep(&Event::test().data_json("{}"));
        }
    }

    #[test]
    fn formats_are_checked_where_asked_for() {
        let mail = Event::test().data_json(r#"{"mail":"no address"}"#);
        let schema = json!({ "properties": { "mail": { "format": "email" } } });
        assert_eq!(check(json!({ "schema": schema })).unwrap().keep(&mail), Ok(Verdict::Keep));
        assert!(check(json!({ "schema": schema, "formats": true })).unwrap().keep(&mail).is_err());
    }

    #[test]
    fn a_schema_that_cannot_be_used_is_refused_with_why() {
        for (schema, why) in [
            (json!("order.json"), "write it inline"),
            (json!({ "type": "objekt" }), "at /type: "),
            (json!({ "properties": { "a": { "pattern": "(" } } }), "at /properties/a/pattern: "),
            (json!({ "$ref": "https://example.com/order.json" }), "write it under `$defs`"),
            (json!({ "$ref": "#/$defs/none" }), "write it under `$defs`"),
        ] {
            let said = check(json!({ "schema": schema })).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn the_schema_says_what_the_settings_are() {
        stagewire_plugin::check_schema::<Settings>(SchemaCheck::SETTINGS_SCHEMA).unwrap();
    }

    /// JSON whose keys and texts all have a mark in them.
    fn marked() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<i32>().prop_map(Value::from), "§.{0,4}".prop_map(Value::from)];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::hash_map("id|lines|tags|§[/~a]{0,3}", inner, 0..3)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_data_is_quoted(data in marked()) {
            if let Some(reason) = reason(order(), &data) {
                prop_assert!(!reason.contains('§'), "{}", reason);
            }
        }
    }
}
