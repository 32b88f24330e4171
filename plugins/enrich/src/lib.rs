//! Adds constants and templates as attributes and as fields of JSON data.

mod field;

use std::collections::BTreeMap;

use serde::Deserialize;
use stagewire_plugin::json::{Place, find};
use stagewire_plugin::{Emitter, Error, Event, Otherwise, Template, Transform, Value};

use field::Field;

/// What the step's `settings:` hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Attributes by name: a text is a template, a number or boolean is a constant.
    #[serde(default)]
    attributes: BTreeMap<String, serde_json::Value>,
    /// Fields of JSON data by path: a text is a template, any other JSON is a constant.
    #[serde(default)]
    data: BTreeMap<String, serde_json::Value>,
    /// What is done about an attribute or field that is there already.
    #[serde(default)]
    existing: Existing,
    /// What is done about a template for which the event lacks a value.
    #[serde(default)]
    missing: Missing,
    /// What becomes of an event whose data is not JSON, where `data` names a field.
    #[serde(default)]
    not_json: Otherwise,
}

/// What is done about what is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Existing {
    /// It is replaced.
    #[default]
    Replace,
    /// It stays.
    Keep,
}

/// What is done about what cannot be filled in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// A permanent error.
    #[default]
    Error,
    /// That attribute or field is left out.
    Skip,
}

/// The transform.
#[derive(Debug)]
pub struct Enrich {
    attributes: Vec<(String, Filling)>,
    fields: Vec<(Field, Filling)>,
    reads_data: bool,
    existing: Existing,
    missing: Missing,
    not_json: Otherwise,
}

/// What is put somewhere.
#[derive(Debug)]
enum Filling {
    /// The same for every event.
    Constant(serde_json::Value),
    /// Text with values of the event.
    Template(Template),
}

impl Transform for Enrich {
    type Settings = Settings;
    const SETTINGS_SCHEMA: &str = include_str!("../settings.schema.json");

    fn configure(settings: Settings) -> Result<Self, String> {
        let Settings { attributes, data, existing, missing, not_json } = settings;
        if attributes.is_empty() && data.is_empty() {
            return Err(
                "neither `attributes` nor `data` names anything; write `attributes: { tenant: acme }`".into(),
            );
        }
        let attributes = attributes.into_iter().map(attribute).collect::<Result<Vec<_>, _>>()?;
        let fields = data
            .into_iter()
            .map(|(path, value)| Ok((Field::parse(&path)?, Filling::read(value)?)))
            .collect::<Result<Vec<_>, String>>()?;
        let templates = attributes.iter().map(|(_, filling)| filling);
        let reads_data = !fields.is_empty() || templates.into_iter().any(Filling::reads_data);
        Ok(Self { attributes, fields, reads_data, existing, missing, not_json })
    }

    fn apply(&mut self, event: &Event, out: &mut Emitter) -> Result<(), Error> {
        let data = if self.reads_data { event.text() } else { None };
        let changed = match (&data, self.fields.is_empty()) {
            (_, true) => None,
            (Some(data), false) if is_json(data) => self.with_fields(event, data)?,
            _ => return self.not_json.hand("data is not JSON", event, out),
        };
        let attributes = self.values(event, data.as_deref())?;
        if changed.is_none() && attributes.is_empty() {
            out.pass(event);
            return Ok(());
        }
        let draft = out.edit(event);
        if let Some(data) = changed {
            draft.set_text(&data);
        }
        attributes.into_iter().try_for_each(|(name, value)| draft.set(name, value))
    }
}

stagewire_plugin::transform!(Enrich);

impl Enrich {
    /// The attributes to set.
    fn values(&self, event: &Event, data: Option<&str>) -> Result<Vec<(&str, Value)>, Error> {
        let mut values = Vec::with_capacity(self.attributes.len());
        for (name, filling) in &self.attributes {
            if self.existing == Existing::Keep && event.attribute(name).is_some() {
                continue;
            }
            match filling.value(event, data) {
                Ok(value) => values.push((name.as_str(), value)),
                Err(lacking) => self.lacking(name, &lacking)?,
            }
        }
        Ok(values)
    }

    /// The data with its new fields; none where nothing is new. Templates see the data as it came.
    fn with_fields(&self, event: &Event, data: &str) -> Result<Option<String>, Error> {
        let mut changed = None;
        for (field, filling) in &self.fields {
            let text = changed.as_deref().unwrap_or(data);
            match filling.json(event, data) {
                Ok(json) => changed = field.set(text, &json, self.existing)?.or(changed),
                Err(lacking) => self.lacking(field.path(), &lacking)?,
            }
        }
        Ok(changed)
    }

    fn lacking(&self, what: &str, lacking: &str) -> Result<(), Error> {
        match self.missing {
            Missing::Skip => Ok(()),
            Missing::Error => Err(Error::permanent(format!("`{what}`: {lacking}"))),
        }
    }
}

impl Filling {
    fn read(value: serde_json::Value) -> Result<Self, String> {
        match value {
            serde_json::Value::String(text) => Template::parse(&text).map(Self::Template),
            value => Ok(Self::Constant(value)),
        }
    }

    fn reads_data(&self) -> bool {
        matches!(self, Self::Template(template) if template.reads_data())
    }

    /// As an attribute.
    fn value(&self, event: &Event, data: Option<&str>) -> Result<Value, String> {
        match self {
            Self::Constant(serde_json::Value::Bool(flag)) => Ok(Value::Boolean(*flag)),
            Self::Constant(number) => {
                let number = number.as_i64().and_then(|number| i32::try_from(number).ok());
                number.map(Value::Integer).ok_or_else(|| "it is no 32-bit integer".into())
            }
            Self::Template(template) => template.fill(event, data).map(Value::Text),
        }
    }

    /// As JSON. A template that is one value of the data and nothing else is that value, whatever its type.
    fn json(&self, event: &Event, data: &str) -> Result<String, String> {
        match self {
            Self::Constant(value) => Ok(value.to_string()),
            Self::Template(template) => match template.as_place() {
                Some(place) => copied(data, place),
                None => {
                    template.fill(event, Some(data)).map(|text| serde_json::Value::from(text).to_string())
                }
            },
        }
    }
}

fn copied(data: &str, place: &Place) -> Result<String, String> {
    let found = find(data, place).ok().flatten();
    found.map(|value| value.get().to_owned()).ok_or_else(|| format!("data has nothing at {}", place.as_str()))
}

fn is_json(data: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(data).is_ok()
}

/// Reads one of `attributes`.
fn attribute((name, value): (String, serde_json::Value)) -> Result<(String, Filling), String> {
    let wrong = |why: &str| format!("`attributes`: `{name}` {why}");
    match name.as_str() {
        "type" | "source" => return Err(wrong("is not for this plugin; use `rename`")),
        "id" | "specversion" | "time" | "datacontenttype" | "data" => {
            return Err(wrong("is the event's own; write `subject`, `dataschema` or an extension"));
        }
        _ => {}
    }
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        return Err(wrong("is no attribute's name; write lower-case letters and digits, as `tenantid`"));
    }
    let filling = Filling::read(value)?;
    if let Filling::Constant(value) = &filling
        && !value.is_boolean()
        && value.as_i64().is_none_or(|number| i32::try_from(number).is_err())
    {
        return Err(wrong("must be a text, a boolean or a 32-bit integer"));
    }
    Ok((name, filling))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use stagewire_plugin::Handed;

    use super::*;

    fn enrich(settings: serde_json::Value) -> Result<Enrich, String> {
        Enrich::configure(serde_json::from_value(settings).unwrap())
    }

    fn handed(settings: serde_json::Value, event: &Event) -> Result<Handed, Error> {
        let mut out = Emitter::test();
        enrich(settings).unwrap().apply(event, &mut out)?;
        Ok(out.handed().pop().unwrap())
    }

    fn edited(settings: serde_json::Value, event: &Event) -> Event<'static> {
        match handed(settings, event).unwrap() {
            Handed::Edit(event) => event,
            other => panic!("{other:?}"),
        }
    }

    fn order() -> Event<'static> {
        let event = Event::test().with("tenant", Value::Text("old".into()));
        event.data_json(r#"{"order":{"id":7,"lines":[{"sku":"a"}]},"at":1.50}"#)
    }

    #[test]
    fn attributes_are_constants_and_templates() {
        let settings = json!({ "attributes": {
            "region": "eu-1", "retries": 3, "test": true, "subject": "order/{/order/id}", "tenant": "{tenant}-{type}",
        }});
        let event = edited(settings, &order());
        assert_eq!(event.attribute("region"), Some(Value::Text("eu-1".into())));
        assert_eq!(event.attribute("retries"), Some(Value::Integer(3)));
        assert_eq!(event.attribute("test"), Some(Value::Boolean(true)));
        assert_eq!(event.subject().as_deref(), Some("order/7"));
        assert_eq!(event.attribute("tenant"), Some(Value::Text("old-test".into())));
        assert_eq!(event.bytes(), order().bytes(), "the data is as it was");
    }

    #[test]
    fn fields_are_constants_templates_and_copies() {
        let settings = json!({ "data": {
            "meta.kind": "{type}", "meta.flags": [true, null], "first": "{/order/lines/0}", "at": "{$.order.id}",
        }});
        assert_eq!(
            edited(settings, &order()).text().unwrap(),
            r#"{"order":{"id":7,"lines":[{"sku":"a"}]},"at":7,"first":{"sku":"a"},"meta":{"flags":[true,null],"kind":"test"}}"#
        );
    }

    #[test]
    fn what_is_there_may_stay() {
        let settings = json!({ "attributes": { "tenant": "x" }, "data": { "at": 2 }, "existing": "keep" });
        assert!(matches!(handed(settings, &order()).unwrap(), Handed::Pass));
    }

    #[test]
    fn what_is_lacking_is_an_error_or_left_out() {
        let settings = |missing| json!({ "attributes": { "a": "{subject}", "b": "x" }, "data": { "c": "{/no}", "d": "{nor}" }, "missing": missing });
        let Err(Error::Permanent(said)) = handed(settings("error"), &order()) else {
            panic!("it was enriched")
        };
        assert_eq!(said, "`c`: data has nothing at /no");
        let event = edited(settings("skip"), &order());
        assert_eq!(event.attribute("a"), None);
        assert_eq!(event.attribute("b"), Some(Value::Text("x".into())));
        assert_eq!(event.bytes(), order().bytes());
    }

    #[test]
    fn data_that_is_not_json_matters_only_where_a_field_is_set() {
        for event in [Event::test(), Event::test().data("{\"a\":"), Event::test().data([0xff])] {
            let with = |what| handed(json!({ "data": { "a": 1 }, "not_json": what }), &event);
            assert_eq!(with("error").unwrap_err(), Error::permanent("data is not JSON"));
            assert!(matches!(with("pass").unwrap(), Handed::Pass));
            edited(json!({ "attributes": { "a": "b" } }), &event);
        }
    }

    #[test]
    fn settings_are_refused_with_what_to_write() {
        for (settings, why) in [
            (json!({}), "write `attributes: { tenant: acme }`"),
            (json!({ "attributes": { "type": "x" } }), "use `rename`"),
            (json!({ "attributes": { "time": "x" } }), "write `subject`, `dataschema` or an extension"),
            (json!({ "attributes": { "Tenant": "x" } }), "write lower-case letters and digits"),
            (json!({ "attributes": { "a": [] } }), "a 32-bit integer"),
            (json!({ "attributes": { "a": 3_000_000_000_u64 } }), "a 32-bit integer"),
            (json!({ "attributes": { "a": "{b" } }), "a brace without its other"),
            (json!({ "data": { "a[0]": "x" } }), "write names only"),
        ] {
            let said = enrich(settings).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn the_schema_says_what_the_settings_are() {
        stagewire_plugin::check_schema::<Settings>(Enrich::SETTINGS_SCHEMA).unwrap();
    }

    proptest! {
        #[test]
        fn what_comes_out_is_json_with_the_field(
            members in prop::collection::hash_map("[abé\"\\\\]{0,3}", ".{0,5}", 0..4),
            names in prop::collection::vec("[abé\"\\\\.]{1,3}", 1..3),
            pretty: bool,
        ) {
            let before = json!(members);
            let data = if pretty { serde_json::to_string_pretty(&before) } else { serde_json::to_string(&before) }.unwrap();
            let path: String = names.iter().map(|name| format!("/{name}")).collect();
            if let Ok(Handed::Edit(event)) = handed(json!({ "data": { &path: 7 } }), &Event::test().data_json(&data)) {
                let after: serde_json::Value = event.json().unwrap();
                prop_assert_eq!(after.pointer(&path), Some(&json!(7)));
                for (name, value) in before.as_object().unwrap() {
                    prop_assert!(*name == names[0] || after[name] == *value);
                }
            }
        }

        #[test]
        fn no_data_makes_it_panic(data in "[{}\\[\\]\",:a1 \\\\]{0,40}") {
            let settings = json!({ "data": { "a.a": "{/a}{type}", "b": "{/a/0}" }, "missing": "skip" });
            let _ = handed(settings, &Event::test().data_json(&data));
        }
    }
}
