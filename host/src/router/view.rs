//! An event as conditions see it: its attributes, and its payload, parsed at most once however many of them ask.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::Event;
use crate::event::DataKind;
use crate::protocol::json::is_json;

/// An event, and what its conditions have found out about it so far.
pub struct View<'a> {
    event: &'a Event,
    payload: OnceLock<Result<Payload<'a>, String>>,
    failed: AtomicBool,
}

impl<'a> View<'a> {
    /// Nothing of the event is looked at yet.
    pub fn new(event: &'a Event) -> Self {
        Self { event, payload: OnceLock::new(), failed: AtomicBool::new(false) }
    }

    /// The event.
    pub fn event(&self) -> &'a Event {
        self.event
    }

    /// Whether its payload was parsed.
    pub(super) fn is_parsed(&self) -> bool {
        self.payload.get().is_some()
    }

    /// Notes that a condition could not be evaluated.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whether one could not, since this was asked last.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed) && self.failed.swap(false, Ordering::Relaxed)
    }

    /// Why the payload could not be read, where that was tried.
    pub(super) fn unreadable(&self) -> Option<&str> {
        self.payload.get()?.as_ref().err().map(String::as_str)
    }

    /// The payload: JSON as its values, other text as a string, the rest as bytes, and null where there is none.
    ///
    /// # Errors
    /// Why it is not the JSON that it is said to be.
    pub(super) fn payload(&self) -> Result<&(dyn Val + 'a), &str> {
        let payload = self.payload.get_or_init(|| Payload::of(self.event));
        payload.as_ref().map(|payload| &*payload.0).map_err(String::as_str)
    }
}

/// A value of CEL. Strings without escapes are borrowed from the event's own bytes.
struct Payload<'a>(Box<dyn Val + 'a>);

impl<'a> Payload<'a> {
    fn of(event: &'a Event) -> Result<Self, String> {
        let data = event.data();
        let json = || serde_json::from_slice(data).map_err(|error| error.to_string());
        match event.data_kind() {
            DataKind::None => Ok(Self(Box::new(CelNull))),
            DataKind::Json => json(),
            DataKind::Binary if is_json(event.data_content_type()) => json(),
            DataKind::Text => {
                let text = std::str::from_utf8(data).map_err(|error| error.to_string())?;
                Ok(Self(Box::new(CelString::from(text))))
            }
            DataKind::Binary => Ok(Self(Box::new(CelBytes::from(data)))),
        }
    }
}

impl<'de> Deserialize<'de> for Payload<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Json).map(Self)
    }
}

/// A name or a text, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct Json;

impl<'de> Visitor<'de> for Json {
    type Value = Box<dyn Val + 'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Box::new(CelNull))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Box::new(CelBool::from(flag)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Box::new(CelInt::from(number)))
    }

    /// As a signed one where it fits, so that `data.count % 2` and `data.count - 1` have an overload.
    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(match i64::try_from(number) {
            Ok(number) => Box::new(CelInt::from(number)),
            Err(_) => Box::new(CelUInt::from(number)),
        })
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Box::new(CelDouble::from(number)))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Box::new(CelString::from(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Box::new(CelString::from(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Payload(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Box::new(CelList::from(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = HashMap::new();
        while let Some((Name(name), Payload(value))) = map.next_entry()? {
            let name = match name {
                Cow::Borrowed(name) => CelString::from(name),
                Cow::Owned(name) => CelString::from(name),
            };
            entries.insert(CelMapKey::String(name), value);
        }
        Ok(Box::new(CelMap::from(entries)))
    }
}
