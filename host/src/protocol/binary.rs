//! What the binary modes of the broker bindings have in common: attributes that stand beside the data.

use std::borrow::Cow;

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};

use super::json::DecodeError;
use crate::Event;
use crate::event::{DataKind, Draft, OwnedValue, Value};

/// HTTP binding 3.1.3.2, NATS binding 3.1.3.2: space, double quote, percent and all outside U+0021–U+007E.
pub(super) const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// A header value as those bindings write it.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// What a header value says, if that is UTF-8. A percent sign that begins no escape stands for itself.
pub(super) fn decoded(value: &[u8]) -> Option<Cow<'_, str>> {
    percent_decode(value).decode_utf8().ok()
}

/// All attributes with their values, `specversion` first, `datacontenttype` where the data has one, said or implied.
pub(super) fn attributes(event: &Event) -> impl Iterator<Item = (&str, Value<'_>)> {
    // JSON is what an event without a media type has; in binary mode that must be said.
    let implied = event.data_kind() == DataKind::Json && event.data_content_type().is_none();
    let implied = implied.then_some(("datacontenttype", Value::String("application/json")));
    let core = event.core_attributes().map(|(name, text)| (name, Value::String(text)));
    let version = ("specversion", Value::String("1.0"));
    std::iter::once(version).chain(core).chain(implied).chain(event.extensions())
}

/// An event in the reading, attribute by attribute.
#[derive(Default)]
pub(super) struct Reading {
    draft: Draft<'static>,
    specversion: Option<String>,
}

impl Reading {
    /// Takes an attribute.
    ///
    /// # Errors
    /// A name or a value that is not allowed.
    pub(super) fn take(&mut self, name: &str, value: OwnedValue) -> Result<(), DecodeError> {
        match (name, value) {
            ("specversion", OwnedValue::String(text)) => {
                self.specversion = Some(text);
                Ok(())
            }
            (_, value) => {
                self.draft.set(name, Some(value)).map_err(|invalid| wrong(name, invalid.to_string()))
            }
        }
    }

    /// Ends it with the message's body.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub(super) fn end(mut self, body: &Bytes) -> Result<Event, DecodeError> {
        match self.specversion.as_deref() {
            Some("1.0") => {}
            Some(other) => {
                let message = format!("specversion {other:?} is not supported; send 1.0");
                return Err(wrong("specversion", message));
            }
            None => return Err(wrong("specversion", "required attribute \"specversion\" is missing".into())),
        }
        if !body.is_empty() || self.draft.data_content_type.is_some() {
            self.draft.data_kind = DataKind::Binary;
            self.draft.data = body.clone();
        }
        self.draft.build().map_err(|invalid| wrong("", invalid.to_string()))
    }
}

/// An error at that attribute.
pub(super) fn wrong(attribute: &str, message: String) -> DecodeError {
    DecodeError { pointer: attribute.to_owned(), line: 0, column: 0, message }
}
