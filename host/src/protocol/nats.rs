//! The NATS protocol binding (CloudEvents, "NATS Protocol Binding"): structured and binary mode.

use async_nats::HeaderMap;
use bytes::Bytes;

use super::binary::{self, Reading, decoded, encoded, wrong};
use super::http::STRUCTURED;
use super::json::{self, DecodeError};
use crate::Event;
use crate::event::OwnedValue;

const PREFIX: &str = "ce-";
const CONTENT_TYPE: &str = "content-type";

/// Writes an event as one JSON document.
pub fn encode_structured(event: &Event) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, STRUCTURED);
    let mut document = Vec::new();
    json::encode(event, &mut document);
    (headers, document.into())
}

/// Writes an event as headers, and the data as body. Here `datacontenttype` is a header like any other attribute, and
/// a content type would say that the message is structured (binding 3).
pub fn encode_binary(event: &Event) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    for (name, value) in binary::attributes(event) {
        // Names are lower-case letters and digits, and what is encoded is visible ASCII: nothing that a header refuses.
        headers.insert(format!("{PREFIX}{name}"), encoded(&value.to_string()));
    }
    (headers, event.data_bytes())
}

/// What identifies an event among all: its source and its id, in which no space is left.
pub fn message_id(event: &Event) -> String {
    format!("{} {}", encoded(event.source()), encoded(event.id()))
}

/// Reads an event in either mode. A message without attributes in its headers is taken for a document, as clients
/// write it that know no headers.
///
/// # Errors
/// What is wrong, with the attribute or its place in the document.
pub fn decode(headers: Option<&HeaderMap>, body: &Bytes) -> Result<Event, DecodeError> {
    let named = |name: &str| headers.is_some_and(|headers| value(headers, name).is_some());
    if is_structured(headers) || !named("ce-specversion") {
        return json::decode(body);
    }
    let mut reading = Reading::default();
    for (name, values) in headers.into_iter().flat_map(HeaderMap::iter) {
        // Header names are case-insensitive, attribute names are lower case.
        let name = AsRef::<str>::as_ref(name).to_ascii_lowercase();
        let (Some(attribute), Some(value)) = (name.strip_prefix(PREFIX), values.first()) else { continue };
        let text = decoded(value.as_ref())
            .ok_or_else(|| wrong(attribute, format!("the value of header {name} is not UTF-8")))?;
        reading.take(attribute, OwnedValue::String(text.into_owned()))?;
    }
    reading.end(body)
}

fn is_structured(headers: Option<&HeaderMap>) -> bool {
    let media = headers.and_then(|headers| value(headers, CONTENT_TYPE));
    let prefix = "application/cloudevents";
    media.and_then(|media| media.get(..prefix.len())).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut found = headers.iter().filter(|(key, _)| AsRef::<str>::as_ref(key).eq_ignore_ascii_case(name));
    found.find_map(|(_, values)| values.first()).map(async_nats::HeaderValue::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::tests::any_event;
    use proptest::prelude::*;

    #[test]
    fn attributes_are_encoded_headers() {
        let event = Event::builder("1", "s", "t").subject("Euro € 😀").json(&b"{}"[..]).build().unwrap();
        let (headers, body) = encode_binary(&event);
        assert_eq!(value(&headers, "ce-subject"), Some("Euro%20%E2%82%AC%20%F0%9F%98%80"));
        assert_eq!(value(&headers, "ce-datacontenttype"), Some("application/json"));
        assert_eq!(value(&headers, CONTENT_TYPE), None);
        assert_eq!(decode(Some(&headers), &body).unwrap().subject(), Some("Euro € 😀"));
    }

    #[test]
    fn header_names_come_in_any_case() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("Ce-Specversion", "1.0"), ("CE-ID", "1"), ("Ce-Source", "s"), ("ce-type", "t")]
        {
            headers.insert(name, value);
        }
        assert_eq!(decode(Some(&headers), &Bytes::new()).unwrap().id(), "1");
        headers.insert("Content-Type", "Application/CloudEvents+JSON; charset=utf-8");
        assert!(decode(Some(&headers), &Bytes::new()).is_err(), "the body is to be a document now");
    }

    #[test]
    fn a_document_needs_no_headers() {
        let document = Bytes::from_static(br#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#);
        assert_eq!(decode(None, &document).unwrap().id(), "1");
        let error = decode(Some(&HeaderMap::new()), &Bytes::from_static(b"{}")).unwrap_err().to_string();
        assert!(error.contains("\"specversion\" is missing"), "{error}");
    }

    proptest! {
        #[test]
        fn both_modes_keep_attributes_and_data(event in any_event()) {
            let (headers, body) = encode_structured(&event);
            prop_assert_eq!(&decode(Some(&headers), &body).unwrap(), &event);
            let (headers, body) = encode_binary(&event);
            let again = decode(Some(&headers), &body).unwrap();
            prop_assert_eq!(again.data(), event.data());
            let texts = |event: &Event| binary::attributes(event).map(|(name, value)| (name.to_owned(), value.to_string())).collect::<Vec<_>>();
            prop_assert_eq!(texts(&again), texts(&event));
        }
    }
}
