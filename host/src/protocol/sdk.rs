//! Conversions to and from the event of the official Rust SDK, for users of the library.

use cloudevents::event::{Data, EventBuilderError, ExtensionValue};
use cloudevents::{AttributesReader, AttributesWriter, Event as SdkEvent, EventBuilder, EventBuilderV10};

use crate::Event;
use crate::event::{DataKind, Draft, Invalid, OwnedValue, Value};

impl TryFrom<&Event> for SdkEvent {
    type Error = EventBuilderError;

    fn try_from(event: &Event) -> Result<Self, Self::Error> {
        let mut builder = EventBuilderV10::new().id(event.id()).source(event.source()).ty(event.kind());
        if let Some(subject) = event.subject() {
            builder = builder.subject(subject);
        }
        if let Some(time) = event.time() {
            builder = builder.time(time);
        }
        for (name, value) in event.extensions() {
            builder = match value {
                Value::String(text) => builder.extension(name, text),
                Value::Integer(number) => builder.extension(name, i64::from(number)),
                Value::Boolean(flag) => builder.extension(name, flag),
            };
        }
        let content_type = event.data_content_type().unwrap_or("application/json");
        if let Some(data) = data(event) {
            builder = match event.data_schema() {
                Some(schema) => builder.data_with_schema(content_type, schema, data),
                None => builder.data(content_type, data),
            };
        }
        let mut sdk = builder.build()?;
        sdk.set_datacontenttype(event.data_content_type());
        Ok(sdk)
    }
}

/// The SDK holds JSON as a tree, so that numbers and white space may come back in another form.
fn data(event: &Event) -> Option<Data> {
    let bytes = || Data::Binary(event.data().to_vec());
    match event.data_kind() {
        DataKind::None => None,
        DataKind::Binary => Some(bytes()),
        DataKind::Text => Some(Data::String(String::from_utf8_lossy(event.data()).into_owned())),
        DataKind::Json => Some(serde_json::from_slice(event.data()).map_or_else(|_| bytes(), Data::Json)),
    }
}

impl TryFrom<&SdkEvent> for Event {
    type Error = Invalid;

    fn try_from(sdk: &SdkEvent) -> Result<Self, Invalid> {
        let (data_kind, data) = match sdk.data() {
            None => (DataKind::None, Vec::new()),
            Some(Data::Binary(bytes)) => (DataKind::Binary, bytes.clone()),
            Some(Data::String(text)) => (DataKind::Text, text.clone().into_bytes()),
            Some(Data::Json(tree)) => (DataKind::Json, tree.to_string().into_bytes()),
        };
        let mut extensions = Vec::new();
        for (name, value) in sdk.iter_extensions() {
            let value = match value {
                ExtensionValue::String(text) => OwnedValue::String(text.clone()),
                ExtensionValue::Boolean(flag) => OwnedValue::Boolean(*flag),
                ExtensionValue::Integer(number) => {
                    OwnedValue::Integer(i32::try_from(*number).map_err(|_| Invalid::Value {
                        name: name.to_owned(),
                        problem: format!("{number}, which is no 32-bit integer"),
                    })?)
                }
            };
            extensions.push((name.into(), value));
        }
        let draft = Draft {
            id: sdk.id().into(),
            source: sdk.source().to_string().into(),
            kind: sdk.ty().into(),
            subject: sdk.subject().map(Into::into),
            time: sdk.time().map(|time| chrono_text(time).into()),
            data_content_type: sdk.datacontenttype().map(Into::into),
            data_schema: sdk.dataschema().map(|schema| schema.to_string().into()),
            extensions,
            data_kind,
            data: data.into(),
        };
        draft.build()
    }
}

/// RFC 3339, as the SDK's own JSON has it.
fn chrono_text<T: serde::Serialize>(time: &T) -> String {
    // A date and time serialises as one string.
    serde_json::to_value(time).ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_goes_to_the_sdk_and_back() {
        let event = Event::builder("1", "/source", "com.example.x")
            .subject("document/1")
            .time("2025-12-14T12:00:00Z")
            .extension("attempt", OwnedValue::Integer(3))
            .extension("urgent", OwnedValue::Boolean(true))
            .json(&br#"{"a":1}"#[..])
            .build()
            .unwrap();
        let sdk = SdkEvent::try_from(&event).unwrap();
        assert_eq!(sdk.ty(), "com.example.x");
        assert_eq!(Event::try_from(&sdk).unwrap(), event);
    }

    #[test]
    fn text_and_bytes_keep_their_kind() {
        let draft = Event::builder("1", "s", "t").binary("application/octet-stream", vec![0, 159]);
        let event = draft.build().unwrap();
        assert_eq!(Event::try_from(&SdkEvent::try_from(&event).unwrap()).unwrap(), event);
        let mut draft = Event::builder("1", "s", "t").binary("text/plain", "hi");
        draft.data_kind = DataKind::Text;
        let event = draft.build().unwrap();
        assert_eq!(Event::try_from(&SdkEvent::try_from(&event).unwrap()).unwrap(), event);
    }
}
