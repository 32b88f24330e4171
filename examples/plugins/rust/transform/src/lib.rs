//! Stamps events with an extension attribute, and removes fields from JSON data.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use stagewire_plugin::{Emitter, Error, Event, Transform};

/// What the step's `settings:` hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    stamp: String,
    #[serde(default)]
    remove: Vec<String>,
}

/// The transform.
pub struct Stamp(Settings);

impl Transform for Stamp {
    type Settings = Settings;
    const SETTINGS_SCHEMA: &str = r#"{"type":"object","properties":{"stamp":{"type":"string","minLength":1},"remove":{"type":"array","items":{"type":"string"}}},"required":["stamp"],"additionalProperties":false}"#;

    fn configure(settings: Settings) -> Result<Self, String> {
        if settings.stamp.is_empty() {
            return Err("`stamp` is empty; write what the attribute shall say".into());
        }
        Ok(Self(settings))
    }

    fn apply(&mut self, event: &Event, out: &mut Emitter) -> Result<(), Error> {
        let draft = out.edit(event);
        draft.set("stamp", self.0.stamp.as_str())?;
        if self.0.remove.is_empty() || event.data_content_type().as_deref() != Some("application/json") {
            return Ok(());
        }
        let mut data: BTreeMap<String, Box<RawValue>> = event.json()?;
        self.0.remove.iter().for_each(|name| drop(data.remove(name)));
        draft.set_text(&serde_json::to_string(&data).map_err(|error| Error::permanent(error.to_string()))?);
        Ok(())
    }
}

stagewire_plugin::transform!(Stamp);

#[cfg(test)]
mod tests {
    use stagewire_plugin::Handed;

    use super::*;

    fn applied(event: &Event) -> Result<Vec<Handed>, Error> {
        let settings = Settings { stamp: "checked".into(), remove: vec!["text".into()] };
        let mut out = Emitter::test();
        Stamp::configure(settings).unwrap().apply(event, &mut out)?;
        Ok(out.handed())
    }

    #[test]
    fn an_event_is_stamped_and_loses_the_fields() {
        let out = applied(&Event::test().data_json(r#"{"text": "long", "n": 1}"#)).unwrap();
        let [Handed::Edit(out)] = &out[..] else { panic!("{out:?}") };
        assert_eq!(out.attribute("stamp"), Some("checked".into()));
        assert_eq!(out.text().unwrap(), r#"{"n":1}"#);
    }

    #[test]
    fn data_of_another_kind_is_left_alone() {
        let event = Event::test().with("datacontenttype", "text/plain".into()).data("text");
        let out = applied(&event).unwrap();
        let [Handed::Edit(out)] = &out[..] else { panic!("{out:?}") };
        assert_eq!(out.text().unwrap(), "text");
    }

    #[test]
    fn data_that_is_no_object_is_refused() {
        assert!(applied(&Event::test().data_json("[1]")).is_err());
    }
}
