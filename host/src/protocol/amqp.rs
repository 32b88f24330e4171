//! The AMQP protocol binding (CloudEvents 1.0.2, "AMQP Protocol Binding") as it is used with AMQP 0-9-1, which has message
//! headers where AMQP 1.0 has application properties.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};

use super::binary::{self, Reading, wrong};
use super::http::STRUCTURED;
use super::json::{self, DecodeError};
use crate::Event;
use crate::event::{OwnedValue, Value};

/// Binding 3.1.3.1: the underscore is preferred, and a colon is understood.
const PREFIXES: [&str; 2] = ["cloudEvents_", "cloudEvents:"];

/// An event that does not fit into a message's head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is longer than the 255 bytes that AMQP has for it")]
pub struct TooLong(String);

/// Writes an event as one JSON document.
pub fn encode_structured(event: &Event) -> (BasicProperties, Bytes) {
    let mut document = Vec::new();
    json::encode(event, &mut document);
    (BasicProperties::default().with_content_type(STRUCTURED.into()), document.into())
}

/// Writes an event as headers, and the data as body.
///
/// # Errors
/// [`TooLong`] for an attribute's name or a media type that AMQP has no room for.
pub fn encode_binary(event: &Event) -> Result<(BasicProperties, Bytes), TooLong> {
    let mut properties = BasicProperties::default();
    let mut headers = FieldTable::default();
    for (name, value) in binary::attributes(event) {
        match (name, value) {
            // Binding 3.1.1: the media type is the message's own.
            ("datacontenttype", Value::String(text)) => {
                properties = properties.with_content_type(short(name, text)?);
            }
            (name, value) => {
                headers.insert(short(name, &format!("{}{name}", PREFIXES[0]))?, native(value));
            }
        }
    }
    Ok((properties.with_headers(headers), event.data_bytes()))
}

fn short(name: &str, text: &str) -> Result<ShortString, TooLong> {
    ShortString::try_new(text).map_err(|_| TooLong(format!("attribute {name:?}")))
}

/// Binding 3.1.3.2. A timestamp stays text: AMQP 0-9-1 has whole seconds only.
fn native(value: Value<'_>) -> AMQPValue {
    match value {
        Value::String(text) => AMQPValue::LongString(text.into()),
        Value::Integer(number) => AMQPValue::LongLongInt(number.into()),
        Value::Boolean(flag) => AMQPValue::Boolean(flag),
    }
}

/// Reads an event in either mode.
///
/// # Errors
/// What is wrong, with the attribute or its place in the document.
pub fn decode(properties: &BasicProperties, body: &Bytes) -> Result<Event, DecodeError> {
    let media = properties.content_type().as_ref().map(ShortString::as_str);
    let prefix = "application/cloudevents";
    if media
        .and_then(|media| media.get(..prefix.len()))
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    {
        return json::decode(body);
    }
    let mut reading = Reading::default();
    for (name, value) in properties.headers().iter().flat_map(FieldTable::inner) {
        let Some(attribute) = PREFIXES.iter().find_map(|prefix| name.as_str().strip_prefix(prefix)) else {
            continue;
        };
        let value = plain(value)
            .ok_or_else(|| wrong(attribute, format!("header {name} is of a type that no attribute has")))?;
        reading.take(attribute, value)?;
    }
    if let Some(media) = media {
        reading.take("datacontenttype", OwnedValue::String(media.to_owned()))?;
    }
    reading.end(body)
}

/// Numbers of every width are taken (binding 3.1.3.2), and a timestamp in seconds.
fn plain(value: &AMQPValue) -> Option<OwnedValue> {
    let integer = |number: i64| i32::try_from(number).ok().map(OwnedValue::Integer);
    let text = |text: &LongString| std::str::from_utf8(text.as_bytes()).ok().map(str::to_owned);
    match value {
        AMQPValue::LongString(string) => text(string).map(OwnedValue::String),
        AMQPValue::ShortString(text) => Some(OwnedValue::String(text.as_str().to_owned())),
        AMQPValue::Boolean(flag) => Some(OwnedValue::Boolean(*flag)),
        AMQPValue::ShortShortInt(number) => integer((*number).into()),
        AMQPValue::ShortShortUInt(number) => integer((*number).into()),
        AMQPValue::ShortInt(number) => integer((*number).into()),
        AMQPValue::ShortUInt(number) => integer((*number).into()),
        AMQPValue::LongInt(number) => integer((*number).into()),
        AMQPValue::LongUInt(number) => integer((*number).into()),
        AMQPValue::LongLongInt(number) => integer(*number),
        AMQPValue::Timestamp(seconds) => {
            let at = jiff::Timestamp::from_second(i64::try_from(*seconds).ok()?).ok()?;
            Some(OwnedValue::String(at.to_string()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::tests::any_event;
    use proptest::prelude::*;

    fn message(prefix: &str) -> BasicProperties {
        let mut headers = FieldTable::default();
        for (name, value) in [("specversion", "1.0"), ("id", "1"), ("source", "s"), ("type", "t")] {
            headers.insert(format!("{prefix}{name}").into(), AMQPValue::LongString(value.into()));
        }
        headers.insert(format!("{prefix}time").into(), AMQPValue::Timestamp(1_765_713_600));
        headers.insert("x-death".into(), AMQPValue::Void);
        BasicProperties::default().with_headers(headers)
    }

    #[test]
    fn both_separators_are_understood() {
        for prefix in PREFIXES {
            let event = decode(&message(prefix), &Bytes::new()).unwrap();
            assert_eq!((event.id(), event.time()), ("1", Some("2025-12-14T12:00:00Z")));
        }
        let error = decode(&message("ce-"), &Bytes::new()).unwrap_err().to_string();
        assert!(error.contains("\"specversion\" is missing"), "{error}");
    }

    #[test]
    fn what_amqp_has_no_room_for_is_said() {
        let long = "x".repeat(250);
        let event =
            Event::builder("1", "s", "t").extension(&long, OwnedValue::Boolean(true)).build().unwrap();
        assert!(encode_binary(&event).unwrap_err().to_string().contains("255 bytes"));
    }

    proptest! {
        #[test]
        fn both_modes_keep_attributes_and_data(event in any_event()) {
            let (properties, body) = encode_structured(&event);
            prop_assert_eq!(&decode(&properties, &body).unwrap(), &event);
            let (properties, body) = encode_binary(&event).unwrap();
            let again = decode(&properties, &body).unwrap();
            prop_assert_eq!(again.data(), event.data());
            // Extensions keep their types here.
            prop_assert!(again.extensions().eq(event.extensions()));
            prop_assert_eq!((again.id(), again.source(), again.kind(), again.subject()), (event.id(), event.source(), event.kind(), event.subject()));
        }
    }
}
