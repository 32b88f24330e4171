//! The HTTP protocol binding (CloudEvents 1.0.2, "HTTP Protocol Binding"): binary, structured and batched mode.

use std::borrow::Cow;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;

use super::binary::{decoded, encoded};
use super::json::{self, DecodeError};
use crate::Event;
use crate::event::{DataKind, Draft};

/// Media type of a structured event.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// Media type of a batch.
pub const BATCHED: &str = "application/cloudevents-batch+json";

/// How events are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Attributes as headers, data as body.
    Binary,
    /// One JSON document.
    Structured,
    /// A JSON array of documents.
    Batched,
}

/// Why a message holds no events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A media type or charset that is not understood.
    #[error(
        "content type {0:?} is not understood; send application/cloudevents+json, application/cloudevents-batch+json, or any type with ce- headers (binary mode)"
    )]
    MediaType(String),
    /// One event is malformed.
    #[error(transparent)]
    Event(#[from] DecodeError),
    /// Events of a batch are malformed; all of it is refused.
    #[error("{} of the batch's events are malformed; none was taken", .0.len())]
    Batch(Vec<(usize, DecodeError)>),
}

/// The mode of a message, by its media type.
///
/// # Errors
/// [`Unreadable::MediaType`] for other formats of CloudEvents and other charsets.
pub fn mode(headers: &HeaderMap) -> Result<Mode, Unreadable> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(Mode::Binary) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let (essence, parameters) = text.split_once(';').unwrap_or((&text, ""));
    let essence = essence.trim();
    let begins =
        |prefix: &str| essence.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if !begins("application/cloudevents") {
        return Ok(Mode::Binary);
    }
    let mode = [(STRUCTURED, Mode::Structured), (BATCHED, Mode::Batched)]
        .into_iter()
        .find_map(|(name, mode)| essence.eq_ignore_ascii_case(name).then_some(mode));
    mode.filter(|_| is_utf8(parameters)).ok_or_else(|| Unreadable::MediaType(text.into_owned()))
}

fn is_utf8(parameters: &str) -> bool {
    let charset = parameters.split(';').filter_map(|parameter| parameter.split_once('='));
    let mut charset = charset.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charset.all(|(_, value)| {
        let value = value.trim().trim_matches('"');
        value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("us-ascii")
    })
}

/// Reads the events of a message in any of the three modes.
///
/// # Errors
/// [`Unreadable`]
pub fn decode(headers: &HeaderMap, body: &Bytes) -> Result<Vec<Event>, Unreadable> {
    match mode(headers)? {
        Mode::Structured => Ok(vec![json::decode(body)?]),
        Mode::Batched => json::decode_batch(body).map_err(Unreadable::Batch),
        Mode::Binary => Ok(vec![decode_binary(headers, body)?]),
    }
}

fn decode_binary(headers: &HeaderMap, body: &Bytes) -> Result<Event, Unreadable> {
    let mut draft = Draft::default();
    let mut specversion = None;
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        let value = text(attribute, value)?;
        if attribute == "specversion" {
            specversion = Some(value);
        } else {
            set(&mut draft, attribute, value)?;
        }
    }
    match specversion.as_deref() {
        Some("1.0") => {}
        Some(other) => {
            return Err(wrong("specversion", &format!("specversion {other:?} is not supported; send 1.0")));
        }
        None => {
            return Err(wrong(
                "specversion",
                "header ce-specversion is missing; send \"ce-specversion: 1.0\" (binary mode) or content type application/cloudevents+json",
            ));
        }
    }
    if let Some(content_type) = headers.get(CONTENT_TYPE) {
        draft.data_content_type = Some(text("datacontenttype", content_type)?);
    }
    if !body.is_empty() || draft.data_content_type.is_some() {
        draft.data_kind = DataKind::Binary;
        draft.data = body.clone();
    }
    draft.build().map_err(|invalid| wrong("", &invalid.to_string()))
}

fn wrong(attribute: &str, message: &str) -> Unreadable {
    let pointer = if attribute.is_empty() { String::new() } else { format!("ce-{attribute}") };
    Unreadable::Event(DecodeError { pointer, line: 0, column: 0, message: message.to_owned() })
}

fn set<'a>(draft: &mut Draft<'a>, attribute: &str, value: Cow<'a, str>) -> Result<(), Unreadable> {
    if attribute == "datacontenttype" {
        return Err(wrong(attribute, "header ce-datacontenttype is not allowed; send Content-Type"));
    }
    draft.set_text(attribute, value).map_err(|invalid| wrong(attribute, &invalid.to_string()))
}

/// A header value: percent-decoded as the binding says; raw UTF-8, as other SDKs send it, is taken too, and so is a
/// percent sign that begins no escape.
fn text<'a>(attribute: &str, value: &'a HeaderValue) -> Result<Cow<'a, str>, Unreadable> {
    decoded(value.as_bytes())
        .ok_or_else(|| wrong(attribute, &format!("the value of header ce-{attribute} is not UTF-8")))
}

/// How attribute values are written into headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderText {
    /// Percent-encoded, as the binding says.
    Encoded,
    /// As they are, in UTF-8: the Go and Java SDKs do not decode (cloudevents/spec#1397).
    Raw,
}

/// Writes an event in binary mode: headers, and the data as body.
pub fn encode_binary(event: &Event) -> (HeaderMap, Bytes) {
    encode_binary_as(event, HeaderText::Encoded)
}

/// Writes an event in binary mode, with header values so.
pub fn encode_binary_as(event: &Event, text: HeaderText) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    headers.insert("ce-specversion", HeaderValue::from_static("1.0"));
    for (name, value) in event.core_attributes() {
        if name != "datacontenttype" {
            insert(&mut headers, name, value, text);
        }
    }
    for (name, value) in event.extensions() {
        insert(&mut headers, name, &value.to_string(), text);
    }
    // JSON is what an event without a media type has; in binary mode that must be said.
    let implied = (event.data_kind() == DataKind::Json).then_some("application/json");
    if let Some(value) =
        event.data_content_type().or(implied).and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok())
    {
        headers.insert(CONTENT_TYPE, value);
    }
    (headers, event.data_bytes())
}

fn insert(headers: &mut HeaderMap, attribute: &str, value: &str, text: HeaderText) {
    let name = HeaderName::from_bytes(format!("ce-{attribute}").as_bytes());
    let encoded = || HeaderValue::from_str(&encoded(value));
    let value = match text {
        HeaderText::Encoded => encoded(),
        // Control characters have no raw form.
        HeaderText::Raw => HeaderValue::from_bytes(value.as_bytes()).or_else(|_| encoded()),
    };
    // Attribute names are lower-case letters and digits, and what is encoded is visible ASCII.
    if let (Ok(name), Ok(value)) = (name, value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::tests::any_event;
    use proptest::prelude::*;

    fn headers(pairs: &[(&str, &[u8])]) -> HeaderMap {
        let pair = |(name, value): &(&str, &[u8])| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    const REQUIRED: [(&str, &[u8]); 4] =
        [("ce-specversion", b"1.0"), ("ce-id", b"1"), ("ce-source", b"s"), ("ce-type", b"t")];

    fn subject(value: &[u8]) -> String {
        let mut headers = headers(&REQUIRED);
        headers.insert("ce-subject", HeaderValue::from_bytes(value).unwrap());
        decode(&headers, &Bytes::new()).unwrap()[0].subject().unwrap().to_owned()
    }

    #[test]
    fn header_values_come_encoded_or_raw() {
        assert_eq!(subject(b"Euro%20%E2%82%AC"), "Euro €");
        assert_eq!(subject("Euro €".as_bytes()), "Euro €");
        assert_eq!(subject(b"100%"), "100%");
        assert_eq!(subject(b"50%zz"), "50%zz");
    }

    #[test]
    fn the_mode_is_the_media_types() {
        let of = |value: &str| mode(&headers(&[("content-type", value.as_bytes())]));
        assert_eq!(of("application/cloudevents+json; charset=UTF-8").unwrap(), Mode::Structured);
        assert_eq!(of("Application/CloudEvents-Batch+JSON").unwrap(), Mode::Batched);
        assert_eq!(of("text/plain").unwrap(), Mode::Binary);
        assert!(of("application/cloudevents+xml").is_err());
        assert!(of("application/cloudevents+json; charset=utf-16").is_err());
    }

    #[test]
    fn a_missing_header_is_named() {
        let error = decode(&HeaderMap::new(), &Bytes::new()).unwrap_err().to_string();
        assert!(error.contains("ce-specversion is missing"), "{error}");
        let error = decode(&headers(&REQUIRED[..3]), &Bytes::new()).unwrap_err().to_string();
        assert!(error.contains("\"type\" is missing"), "{error}");
    }

    proptest! {
        #[test]
        fn binary_mode_keeps_attributes_and_data(event in any_event()) {
            let (headers, body) = encode_binary(&event);
            let again = decode(&headers, &body).unwrap().remove(0);
            prop_assert_eq!(again.data(), event.data());
            prop_assert_eq!((again.id(), again.source(), again.kind(), again.subject()), (event.id(), event.source(), event.kind(), event.subject()));
            let texts = |event: &Event| event.extensions().map(|(name, value)| (name.to_owned(), value.to_string())).collect::<Vec<_>>();
            prop_assert_eq!(texts(&again), texts(&event));
        }
    }
}
