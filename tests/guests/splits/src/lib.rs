//! Hands out the event, a changed copy and a new event, in this order; nothing for type none.

use stagewire_plugin::{Emitter, Error, Event, NewEvent, NoSettings, Transform, Value};

struct Guest;

impl Transform for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, String> {
        Ok(Self)
    }

    fn apply(&mut self, event: &Event, out: &mut Emitter) -> Result<(), Error> {
        if event.kind() == "none" {
            return Ok(());
        }
        out.pass(event);
        out.edit(event).set("part", Value::Integer(2))?;
        let new = NewEvent {
            id: format!("{}-3", event.id()),
            source: event.source(),
            kind: "part".into(),
            subject: None,
            time: None,
            data_content_type: Some("application/json".into()),
            data_schema: None,
            extensions: Vec::new(),
            data: Some(b"{\"part\":3}".to_vec()),
        };
        out.emit(new)
    }
}

stagewire_plugin::transform!(Guest);
