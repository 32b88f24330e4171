//! The Kafka protocol binding (CloudEvents 1.0.2, "Kafka Protocol Binding"): binary and structured mode.
//!
//! The record's key is no part of this: events of one key go to one partition, and which key that is the producer says.

use std::borrow::Cow;

use bytes::Bytes;

use super::http::STRUCTURED;
use super::json::{self, DecodeError};
use crate::Event;
use crate::event::{DataKind, Draft};

/// Kafka binding 3.1: the header of `datacontenttype`, or of the structured document's media type.
const CONTENT_TYPE: &str = "content-type";
/// Kafka binding 3.2.3.1: what the names of the other attributes begin with.
const PREFIX: &str = "ce_";

/// Kafka binding 3.3.1: the header of a structured event, whose value is its document.
pub const STRUCTURED_HEADER: (&str, &str) = (CONTENT_TYPE, "application/cloudevents+json; charset=UTF-8");

/// Headers and value of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Names and values; UTF-8 as it is, without percent-encoding.
    pub headers: Vec<(Cow<'static, str>, Cow<'a, str>)>,
    /// The value; an event without data has none in binary mode, which compacted topics take for a deletion.
    pub value: Option<Bytes>,
}

/// Writes an event in binary mode: attributes as headers, the data as value.
pub fn encode_binary(event: &Event) -> Record<'_> {
    let mut headers = vec![(named("specversion"), "1.0".into())];
    let core = event.core_attributes().filter(|(name, _)| *name != "datacontenttype");
    headers.extend(core.map(|(name, value)| (named(name), value.into())));
    headers.extend(event.extensions().map(|(name, value)| (named(name), value.to_string().into())));
    // JSON is what an event without a media type has; in binary mode that must be said.
    let implied = (event.data_kind() == DataKind::Json).then_some("application/json");
    let media = event.data_content_type().or(implied);
    headers.extend(media.map(|media| (CONTENT_TYPE.into(), media.into())));
    let value = (event.data_kind() != DataKind::None).then(|| event.data_bytes());
    Record { headers, value }
}

fn named(attribute: &str) -> Cow<'static, str> {
    format!("{PREFIX}{attribute}").into()
}

/// Reads a record in either mode.
///
/// # Errors
/// The first thing that is wrong, and in which header or member.
pub fn decode<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    value: Option<&Bytes>,
) -> Result<Event, DecodeError> {
    let headers = headers.into_iter().map(|(name, value)| text(name, value).map(|value| (name, value)));
    let headers: Vec<(&str, &str)> = headers.collect::<Result<_, _>>()?;
    let media = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE));
    let essence = media.map_or("", |(_, value)| value.split(';').next().unwrap_or_default().trim());
    if essence.eq_ignore_ascii_case(STRUCTURED) {
        return json::decode(value.unwrap_or(&Bytes::new()));
    }
    decode_binary(&headers, value)
}

fn decode_binary(headers: &[(&str, &str)], value: Option<&Bytes>) -> Result<Event, DecodeError> {
    let mut draft = Draft::default();
    let mut specversion = None;
    for (name, value) in headers {
        if name.eq_ignore_ascii_case(CONTENT_TYPE) {
            draft.data_content_type = Some(Cow::Borrowed(value));
        }
        match name.strip_prefix(PREFIX) {
            Some("specversion") => specversion = Some(*value),
            Some(attribute) => set(&mut draft, attribute, value)?,
            None => {}
        }
    }
    match specversion {
        Some("1.0") => {}
        Some(other) => {
            return Err(wrong("specversion", format!("specversion {other:?} is not supported; send 1.0")));
        }
        None => {
            return Err(wrong(
                "specversion",
                "header ce_specversion is missing; send it (binary mode), or content-type application/cloudevents+json"
                    .into(),
            ));
        }
    }
    if let Some(value) = value {
        draft.data_kind = DataKind::Binary;
        draft.data = value.clone();
    }
    draft.build().map_err(|invalid| wrong("", invalid.to_string()))
}

fn set<'a>(draft: &mut Draft<'a>, attribute: &str, value: &'a str) -> Result<(), DecodeError> {
    if attribute == "datacontenttype" {
        return Err(wrong(attribute, "header ce_datacontenttype is not allowed; send content-type".into()));
    }
    draft.set_text(attribute, value.into()).map_err(|invalid| wrong(attribute, invalid.to_string()))
}

fn text<'a>(name: &str, value: &'a [u8]) -> Result<&'a str, DecodeError> {
    std::str::from_utf8(value).map_err(|_| DecodeError {
        pointer: name.to_owned(),
        line: 0,
        column: 0,
        message: format!("the value of header {name} is not UTF-8"),
    })
}

fn wrong(attribute: &str, message: String) -> DecodeError {
    let pointer = if attribute.is_empty() { String::new() } else { format!("{PREFIX}{attribute}") };
    DecodeError { pointer, line: 0, column: 0, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::OwnedValue;
    use crate::protocol::json::tests::any_event;
    use proptest::prelude::*;

    fn again(record: &Record<'_>) -> Result<Event, DecodeError> {
        let headers = record.headers.iter().map(|(name, value)| (&**name, value.as_bytes()));
        decode(headers, record.value.as_ref())
    }

    #[test]
    fn binary_mode_writes_text_as_it_is() {
        let event = Event::builder("1", "s", "t")
            .subject("Žlutý kůň 50%")
            .extension("attempt", OwnedValue::Integer(3))
            .json(&b"{}"[..])
            .build()
            .unwrap();
        let record = encode_binary(&event);
        let header = |name: &str| record.headers.iter().find(|(found, _)| found == name).unwrap().1.clone();
        assert_eq!(header("ce_subject"), "Žlutý kůň 50%");
        assert_eq!(header("ce_attempt"), "3");
        assert_eq!(header("content-type"), "application/json");
        assert_eq!(record.value.as_deref(), Some(&b"{}"[..]));
    }

    #[test]
    fn an_event_without_data_has_no_value_in_binary_mode() {
        let event = Event::builder("1", "s", "t").build().unwrap();
        assert_eq!(encode_binary(&event).value, None);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_header() {
        let of = |headers: &[(&str, &[u8])]| decode(headers.iter().copied(), None).unwrap_err().to_string();
        assert!(of(&[]).contains("header ce_specversion is missing"));
        assert!(of(&[("ce_specversion", b"0.3")]).contains("\"0.3\" is not supported"));
        assert!(of(&[("ce_id", &[0xFF])]).contains("header ce_id is not UTF-8"));
        assert!(of(&[("ce_specversion", b"1.0"), ("ce_id", b"1")]).contains("\"source\" is missing"));
        assert!(of(&[("ce_datacontenttype", b"text/plain")]).contains("send content-type"));
    }

    proptest! {
        #[test]
        fn binary_mode_keeps_attributes_and_data(event in any_event()) {
            let read = again(&encode_binary(&event)).unwrap();
            prop_assert_eq!(read.data(), event.data());
            prop_assert_eq!((read.id(), read.source(), read.kind(), read.subject()), (event.id(), event.source(), event.kind(), event.subject()));
            let texts = |event: &Event| event.extensions().map(|(name, value)| (name.to_owned(), value.to_string())).collect::<Vec<_>>();
            prop_assert_eq!(texts(&read), texts(&event));
        }

        #[test]
        fn structured_mode_keeps_everything(event in any_event()) {
            let mut document = Vec::new();
            json::encode(&event, &mut document);
            let (name, value) = STRUCTURED_HEADER;
            let read = decode([(name, value.as_bytes())], Some(&document.into()));
            prop_assert_eq!(read.unwrap(), event);
        }

        #[test]
        fn no_headers_make_the_decoder_panic(headers in proptest::collection::vec(("(ce_)?[a-z]{0,6}|content-type", proptest::collection::vec(any::<u8>(), 0..20)), 0..6), value: Vec<u8>) {
            let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), &value[..])).collect();
            let _ = decode(headers, Some(&value.into()));
        }
    }
}
