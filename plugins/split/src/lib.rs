//! Makes an event of each element of an array in JSON data.

use serde::Deserialize;
use serde_json::value::RawValue;
use stagewire_plugin::json::{Place, find};
use stagewire_plugin::{Attribute, Emitter, Error, Event, NewEvent, Otherwise, Template, Transform, Value};

/// What the step's `settings:` hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the array is: a path, or `$` where the data itself is the array.
    at: String,
    /// The ids of the new events.
    #[serde(default = "numbered")]
    id: String,
    /// Their `type`; that of the event where absent.
    #[serde(default, rename = "type")]
    kind: Option<String>,
    /// Their `subject`; that of the event where absent.
    #[serde(default)]
    subject: Option<String>,
    /// The most elements: an event with more is a permanent error.
    #[serde(default = "thousand")]
    most: usize,
    /// What becomes of an event whose array is empty.
    #[serde(default = "drop")]
    empty: Otherwise,
    /// What becomes of an event that has no array there.
    #[serde(default)]
    no_array: Otherwise,
    /// What becomes of an event whose data is not JSON.
    #[serde(default)]
    not_json: Otherwise,
}

fn numbered() -> String {
    "{id}-{index}".into()
}

fn drop() -> Otherwise {
    Otherwise::Drop
}

fn thousand() -> usize {
    1000
}

/// The transform.
#[derive(Debug)]
pub struct Split {
    at: Place,
    id: Template,
    kind: Option<Template>,
    subject: Option<Template>,
    most: usize,
    empty: Otherwise,
    no_array: Otherwise,
    not_json: Otherwise,
}

impl Transform for Split {
    type Settings = Settings;
    const SETTINGS_SCHEMA: &str = include_str!("../settings.schema.json");

    fn configure(settings: Settings) -> Result<Self, String> {
        let Settings { at, id, kind, subject, most, empty, no_array, not_json } = settings;
        let id = Template::parse(&id)?;
        if !id.reads_data() && !id.attributes().any(|name| name == "index") {
            return Err(
                "`id` gives every part the same id; put `{index}` or a value of the element in it".into()
            );
        }
        let template = |text: Option<String>| text.as_deref().map(Template::parse).transpose();
        let (kind, subject) = (template(kind)?, template(subject)?);
        Ok(Self { at: Place::parse(&at)?, id, kind, subject, most, empty, no_array, not_json })
    }

    fn apply(&mut self, event: &Event, out: &mut Emitter) -> Result<(), Error> {
        let data = event.text().unwrap_or_default();
        let Ok(found) = find(&data, &self.at) else {
            return self.not_json.hand("data is not JSON", event, out);
        };
        let elements = found.and_then(|array| serde_json::from_str::<Vec<&RawValue>>(array.get()).ok());
        let Some(elements) = elements else {
            return self.no_array.hand(format!("data has no array at {}", self.at.as_str()), event, out);
        };
        if elements.is_empty() {
            return self.empty.hand(format!("the array at {} is empty", self.at.as_str()), event, out);
        }
        if elements.len() > self.most {
            return Err(Error::permanent(format!(
                "the array at {} has {} elements, more than `most`, which is {}",
                self.at.as_str(),
                elements.len(),
                self.most
            )));
        }
        let whole = whole(event, elements.len());
        elements.iter().enumerate().try_for_each(|(at, element)| {
            out.emit(self.part(event, whole.clone(), at + 1, elements.len(), element.get())?)
        })
    }
}

stagewire_plugin::transform!(Split);

impl Split {
    /// The event for one element; `index` counts from 1.
    fn part(
        &self,
        event: &Event,
        mut part: NewEvent,
        index: usize,
        count: usize,
        element: &str,
    ) -> Result<NewEvent, Error> {
        let attribute = |name: &str| match name {
            "index" => Some(integer(index)),
            "count" => Some(integer(count)),
            _ => event.attribute(name),
        };
        let filled = |template: &Template| {
            let lacking = |lacking| Error::permanent(format!("element {index}: {lacking}"));
            template.fill_with(attribute, Some(element)).map_err(lacking)
        };
        part.id = filled(&self.id)?;
        if let Some(kind) = &self.kind {
            part.kind = filled(kind)?;
        }
        if let Some(subject) = &self.subject {
            part.subject = Some(filled(subject)?);
        }
        part.extensions.push(extension("partindex", integer(index)));
        part.data = Some(element.as_bytes().to_vec());
        Ok(part)
    }
}

/// What the parts have from the whole. `dataschema` is not among it: it describes the whole's data, not an element.
fn whole(event: &Event, count: usize) -> NewEvent {
    let ours = ["partof", "partindex", "partcount"];
    let others = event.extensions().into_iter().filter(|(name, _)| !ours.contains(&name.as_str()));
    let mut extensions: Vec<_> = others.map(|(name, value)| extension(&name, value)).collect();
    extensions.push(extension("partof", Value::Text(event.id())));
    extensions.push(extension("partcount", integer(count)));
    NewEvent {
        id: String::new(),
        source: event.source(),
        kind: event.kind(),
        subject: event.subject(),
        time: event.time(),
        data_content_type: Some(event.data_content_type().unwrap_or_else(|| "application/json".into())),
        data_schema: None,
        extensions,
        data: None,
    }
}

fn extension(name: &str, value: Value) -> Attribute {
    Attribute { name: name.into(), value: value.into() }
}

fn integer(number: usize) -> Value {
    Value::Integer(i32::try_from(number).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stagewire_plugin::Handed;

    use super::*;

    fn settings(json: &str) -> Settings {
        serde_json::from_str(json).unwrap()
    }

    fn handed(json: &str, event: &Event) -> Result<Vec<Handed>, Error> {
        let mut out = Emitter::test();
        Split::configure(settings(json)).unwrap().apply(event, &mut out)?;
        Ok(out.handed())
    }

    fn parts(json: &str, event: &Event) -> Vec<NewEvent> {
        let part = |handed| match handed {
            Handed::Emit(part) => part,
            other => panic!("{other:?}"),
        };
        handed(json, event).unwrap().into_iter().map(part).collect()
    }

    fn order() -> Event<'static> {
        Event::test()
            .with("subject", Value::Text("order/7".into()))
            .with("dataschema", Value::Text("urn:order".into()))
            .with("tenant", Value::Text("acme".into()))
            .with("partof", Value::Text("older".into()))
            .data_json(r#"{"lines":[{"sku":"a","n":1.0},{"sku":"b"}, "c" ],"none":[],"who":"x"}"#)
    }

    #[test]
    fn each_element_becomes_an_event_in_its_order() {
        let parts = parts(r#"{"at":"lines"}"#, &order());
        let data: Vec<_> = parts.iter().map(|part| part.data.as_deref().unwrap()).collect();
        assert_eq!(data, [&br#"{"sku":"a","n":1.0}"#[..], br#"{"sku":"b"}"#, br#""c""#]);
        let ids: Vec<_> = parts.iter().map(|part| part.id.as_str()).collect();
        assert_eq!(ids, ["1-1", "1-2", "1-3"]);
        let second = &parts[1];
        assert_eq!((second.source.as_str(), second.kind.as_str()), ("/test", "test"));
        assert_eq!(second.subject.as_deref(), Some("order/7"));
        assert_eq!(second.data_content_type.as_deref(), Some("application/json"));
        assert_eq!(second.data_schema, None, "it describes the whole");
        let extensions: Vec<_> = second
            .extensions
            .iter()
            .map(|extension| (extension.name.as_str(), Value::from(extension.value.clone()).to_string()))
            .collect();
        let expected = [("tenant", "acme"), ("partof", "1"), ("partcount", "3"), ("partindex", "2")];
        assert_eq!(extensions, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn ids_types_and_subjects_may_be_templates() {
        let settings = r#"{"at":"lines[0]","id":"x"}"#;
        assert!(Split::configure(self::settings(settings)).unwrap_err().contains("`{index}`"));
        let event = Event::test().data_json(r#"[{"sku":"a"},{"sku":"b"}]"#);
        let settings =
            r#"{"at":"$","id":"{source}/{/sku}","type":"{type}.line","subject":"{index} of {count}"}"#;
        let parts = parts(settings, &event);
        assert_eq!(parts[1].id, "/test/b");
        assert_eq!(parts[1].kind, "test.line");
        assert_eq!(parts[1].subject.as_deref(), Some("2 of 2"));
        let lacking = handed(settings, &Event::test().data_json(r#"[{"sku":"a"},{}]"#)).unwrap_err();
        assert_eq!(lacking, Error::permanent("element 2: data has no text, number or boolean at /sku"));
    }

    #[test]
    fn too_many_are_an_error() {
        let said = handed(r#"{"at":"lines","most":2}"#, &order()).unwrap_err();
        assert_eq!(said, Error::permanent("the array at lines has 3 elements, more than `most`, which is 2"));
    }

    #[test]
    fn what_cannot_be_split_is_a_matter_of_settings() {
        let text = Event::test().data("text");
        for (key, at, event, reason) in [
            ("empty", "none", &order(), "the array at none is empty"),
            ("no_array", "who", &order(), "data has no array at who"),
            ("no_array", "lines[9]", &order(), "data has no array at lines[9]"),
            ("not_json", "lines", &text, "data is not JSON"),
            ("not_json", "lines", &Event::test(), "data is not JSON"),
        ] {
            let with = |what| handed(&format!(r#"{{"at":"{at}","{key}":"{what}"}}"#), event);
            assert_eq!(with("error").unwrap_err(), Error::permanent(reason));
            assert!(matches!(with("pass").unwrap()[..], [Handed::Pass]));
            assert!(with("drop").unwrap().is_empty());
        }
    }

    #[test]
    fn the_schema_says_what_the_settings_are() {
        stagewire_plugin::check_schema::<Settings>(Split::SETTINGS_SCHEMA).unwrap();
    }

    proptest! {
        #[test]
        fn no_data_makes_it_panic(data in "[{}\\[\\]\",:ax1 \\\\]{0,40}") {
            for at in ["$", "a", "x[1].a"] {
                let _ = handed(&format!(r#"{{"at":"{at}"}}"#), &Event::test().data_json(&data));
            }
        }

        #[test]
        fn the_parts_are_the_elements(elements in prop::collection::vec(".{0,8}", 1..12)) {
            let data = serde_json::json!({ "a": elements }).to_string();
            let parts = parts(r#"{"at":"a"}"#, &Event::test().data_json(&data));
            let texts: Vec<String> =
                parts.iter().map(|part| serde_json::from_slice(part.data.as_deref().unwrap()).unwrap()).collect();
            prop_assert_eq!(texts, elements);
        }
    }
}
