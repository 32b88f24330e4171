//! The JSON event format (CloudEvents 1.0.2, "JSON Event Format") without a tree: attributes are read in one pass and
//! `data` stays the exact bytes that it came as.

mod write;

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub use self::write::{encode, encode_batch, encode_compact};
use super::scan::Scanner;
use crate::Event;
use crate::event::{DataKind, Draft, OwnedValue};

/// What is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", place(.pointer, *.line, *.column))]
pub struct DecodeError {
    /// The member, as a JSON pointer (RFC 6901); empty for the whole document.
    pub pointer: String,
    /// From 1; 0 where it is not known.
    pub line: usize,
    /// From 1; 0 where it is not known.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

fn place(pointer: &str, line: usize, column: usize) -> String {
    match (pointer, line) {
        ("", 0) => String::new(),
        (pointer, 0) => format!(" (at {pointer})"),
        (_, line) => format!(" (line {line}, column {column})"),
    }
}

impl DecodeError {
    fn at(pointer: &str, message: impl fmt::Display) -> Self {
        Self { pointer: pointer.into(), line: 0, column: 0, message: message.to_string() }
    }
}

impl From<serde_json::Error> for DecodeError {
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        // serde_json appends the place, which has fields of its own here.
        let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
        Self { pointer: String::new(), line: error.line(), column: error.column(), message }
    }
}

/// Whether a media type means JSON: `*/json` or `*/*+json`. Without one, JSON is meant.
pub fn is_json(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else { return true };
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let Some((_, subtype)) = essence.split_once('/') else { return false };
    let ends = |suffix: &str| {
        subtype.len() >= suffix.len()
            && subtype.as_bytes()[subtype.len() - suffix.len()..].eq_ignore_ascii_case(suffix.as_bytes())
    };
    subtype.eq_ignore_ascii_case("json") || ends("+json")
}

/// Reads one event.
///
/// # Errors
/// The first thing that is wrong, and where.
pub fn decode(document: &Bytes) -> Result<Event, DecodeError> {
    // Looked at as a whole, text need not be checked string by string.
    let text = std::str::from_utf8(document).ok();
    if let Some(event) = text.and_then(|text| scan(text, document)) {
        return Ok(event);
    }
    let parsed: Parsed<'_> = match text {
        Some(text) => serde_json::from_str(text),
        None => serde_json::from_slice(document),
    }?;
    parsed.build(document)
}

/// Reads an event on one line; `None` if anything is wrong with it, or unusual.
fn scan(text: &str, document: &Bytes) -> Option<Event> {
    let mut scanner = Scanner::new(text)?;
    let event = Parsed::scan(&mut scanner)?.build(document).ok()?;
    scanner.is_at_end().then_some(event)
}

/// Reads a batch on one line; `None` if anything is wrong with it, or unusual.
fn scan_batch(text: &str, document: &Bytes) -> Option<Vec<Event>> {
    let mut scanner = Scanner::new(text)?;
    scanner.take(b'[')?;
    let mut events = Vec::new();
    loop {
        let begin = scanner.left();
        events.push(Parsed::scan(&mut scanner)?.build(document).ok()?);
        if events.len() == 1 {
            // The others are hardly smaller, and the whole is there.
            events.reserve_exact(scanner.left() / (begin - scanner.left()).max(1));
        }
        match scanner.peek()? {
            b',' => scanner.take(b',')?,
            _ => break,
        }
    }
    scanner.take(b']')?;
    scanner.is_at_end().then_some(events)
}

/// Reads a batch: a JSON array of events.
///
/// # Errors
/// Everything that is wrong, by index; index 0 for a document that is no array.
pub fn decode_batch(document: &Bytes) -> Result<Vec<Event>, Vec<(usize, DecodeError)>> {
    let text = std::str::from_utf8(document).ok();
    let scanned = text.and_then(|text| scan_batch(text, document));
    if let Some(events) = scanned.or_else(|| decode_well_formed(text?, document)) {
        return Ok(events);
    }
    let whole = |error: serde_json::Error| vec![(0, DecodeError::from(error))];
    // Raw members first: one malformed event must not hide what is wrong with the others.
    let members: Vec<&RawValue> = serde_json::from_slice(document).map_err(whole)?;
    let mut events = Vec::with_capacity(members.len());
    let mut errors = Vec::new();
    for (index, member) in members.into_iter().enumerate() {
        let parsed = serde_json::from_str::<Parsed>(member.get()).map_err(DecodeError::from);
        match parsed.and_then(|parsed| parsed.build(document)) {
            Ok(event) => events.push(event),
            // Lines would count from the member's start.
            Err(error) => errors.push((index, DecodeError { line: 0, column: 0, ..error })),
        }
    }
    if errors.is_empty() { Ok(events) } else { Err(errors) }
}

/// Reads a batch in one pass; `None` if anything is wrong with it.
fn decode_well_formed(text: &str, document: &Bytes) -> Option<Vec<Event>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let events = Members(document).deserialize(&mut deserializer).ok()?;
    deserializer.end().ok().map(|()| events)
}

/// The members of a batch, each built as it is read.
struct Members<'a>(&'a Bytes);

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = Vec<Event>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Event>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Vec<Event>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of CloudEvents")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Vec<Event>, A::Error> {
        let mut events = Vec::new();
        while let Some(parsed) = members.next_element::<Parsed<'de>>()? {
            events.push(parsed.build(self.0).map_err(de::Error::custom)?);
        }
        Ok(events)
    }
}

/// An event document as it is read: nothing checked but types.
#[derive(Default)]
struct Parsed<'a> {
    draft: Draft<'a>,
    specversion: Option<Cow<'a, str>>,
    /// As it is written.
    data: Option<&'a str>,
    data_base64: Option<Cow<'a, str>>,
    seen: Seen<'a>,
}

/// Which members there were.
#[derive(Default)]
struct Seen<'a> {
    /// One bit for each [`Member`] but extensions.
    known: u16,
    extensions: Vec<Cow<'a, str>>,
}

/// What a member's name stands for.
#[derive(Clone, Copy)]
enum Member {
    SpecVersion,
    Id,
    Source,
    Type,
    Subject,
    Time,
    DataContentType,
    DataSchema,
    DataBase64,
    Data,
    Extension,
}

impl Member {
    fn of(name: &str) -> Self {
        match name {
            "specversion" => Self::SpecVersion,
            "id" => Self::Id,
            "source" => Self::Source,
            "type" => Self::Type,
            "subject" => Self::Subject,
            "time" => Self::Time,
            "datacontenttype" => Self::DataContentType,
            "dataschema" => Self::DataSchema,
            "data_base64" => Self::DataBase64,
            "data" => Self::Data,
            _ => Self::Extension,
        }
    }
}

impl<'a> Seen<'a> {
    /// Whether it is the first of that name.
    fn is_new(&mut self, member: Member, name: Cow<'a, str>) -> bool {
        if matches!(member, Member::Extension) {
            let new = !self.extensions.contains(&name);
            self.extensions.push(name);
            return new;
        }
        let bit = 1 << member as u16;
        let new = self.known & bit == 0;
        self.known |= bit;
        new
    }
}

impl<'a> Parsed<'a> {
    /// Reads an event that has nothing unusual, as [`EventVisitor`] does.
    fn scan(scanner: &mut Scanner<'a>) -> Option<Self> {
        scanner.take(b'{')?;
        let mut parsed = Self::default();
        loop {
            let name = scanner.string()?;
            scanner.take(b':')?;
            let member = Member::of(name);
            if !parsed.seen.is_new(member, name.into()) {
                return None;
            }
            let draft = &mut parsed.draft;
            match member {
                Member::SpecVersion => parsed.specversion = Some(scanner.string()?.into()),
                Member::Id => draft.id = scanner.string()?.into(),
                Member::Source => draft.source = scanner.string()?.into(),
                Member::Type => draft.kind = scanner.string()?.into(),
                Member::Subject => draft.subject = Some(scanner.string()?.into()),
                Member::Time => draft.time = Some(scanner.string()?.into()),
                Member::DataContentType => draft.data_content_type = Some(scanner.string()?.into()),
                Member::DataSchema => draft.data_schema = Some(scanner.string()?.into()),
                Member::DataBase64 => parsed.data_base64 = Some(scanner.string()?.into()),
                Member::Data => parsed.data = Some(scanner.value()?),
                Member::Extension => draft.extensions.push((name.into(), extension(scanner)?)),
            }
            match scanner.peek()? {
                b',' => scanner.take(b',')?,
                _ => break,
            }
        }
        scanner.take(b'}')?;
        Some(parsed)
    }
}

/// The value of an extension attribute that has nothing unusual.
fn extension(scanner: &mut Scanner<'_>) -> Option<OwnedValue> {
    if scanner.peek()? == b'"' {
        return scanner.string().map(|text| OwnedValue::String(text.to_owned()));
    }
    match scanner.value()? {
        "true" => Some(OwnedValue::Boolean(true)),
        "false" => Some(OwnedValue::Boolean(false)),
        // For serde no integer.
        "-0" => None,
        number => number.parse().ok().map(OwnedValue::Integer),
    }
}

impl Parsed<'_> {
    /// Checks it. Its data becomes a share of the document that it was read from.
    fn build(self, document: &Bytes) -> Result<Event, DecodeError> {
        let Self { mut draft, specversion, data, data_base64, .. } = self;
        match specversion.as_deref() {
            Some("1.0") => {}
            Some(other) => {
                return Err(DecodeError::at(
                    "/specversion",
                    format_args!("specversion {other:?} is not supported; send \"1.0\""),
                ));
            }
            None => {
                return Err(DecodeError::at(
                    "",
                    "required attribute \"specversion\" is missing; send \"1.0\"",
                ));
            }
        }
        match (data, data_base64) {
            (Some(_), Some(_)) => {
                return Err(DecodeError::at(
                    "/data_base64",
                    "both data and data_base64 are given; send one of them",
                ));
            }
            (Some(data), None) => set_data(&mut draft, data, document)?,
            (None, Some(text)) => {
                let wrong = |error| {
                    DecodeError::at("/data_base64", format_args!("data_base64 is not base64: {error}"))
                };
                draft.data = BASE64.decode(text.as_bytes()).map_err(wrong)?.into();
                draft.data_kind = DataKind::Binary;
            }
            (None, None) => {}
        }
        draft.build().map_err(|invalid| DecodeError::at("", invalid))
    }
}

/// CloudEvents JSON format 3.1.1: a string beside a media type that is not JSON is the text itself.
fn set_data(draft: &mut Draft<'_>, raw: &str, document: &Bytes) -> Result<(), DecodeError> {
    if raw.starts_with('"') && !is_json(draft.data_content_type.as_deref()) {
        let text: String =
            serde_json::from_str(raw).map_err(|error| DecodeError::at("/data", DecodeError::from(error)))?;
        draft.data = text.into();
        draft.data_kind = DataKind::Text;
    } else {
        draft.data = document.slice_ref(raw.as_bytes());
        draft.data_kind = DataKind::Json;
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Parsed<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EventVisitor)
    }
}

struct EventVisitor;

impl<'de> Visitor<'de> for EventVisitor {
    type Value = Parsed<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object with the attributes of a CloudEvent")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parsed<'de>, A::Error> {
        let mut parsed = Parsed::default();
        while let Some(Text(name)) = map.next_key()? {
            let member = Member::of(&name);
            if !parsed.seen.is_new(member, name.clone()) {
                return Err(de::Error::custom(format_args!("member {name:?} is given twice")));
            }
            read_member(&mut parsed, member, name, &mut map)?;
        }
        Ok(parsed)
    }
}

fn read_member<'de, A: MapAccess<'de>>(
    parsed: &mut Parsed<'de>,
    member: Member,
    name: Cow<'de, str>,
    map: &mut A,
) -> Result<(), A::Error> {
    let mut string = |name: &'static str| map.next_value_seed(StringOf(name));
    let draft = &mut parsed.draft;
    match member {
        Member::SpecVersion => parsed.specversion = string("specversion")?,
        Member::Id => draft.id = string("id")?.unwrap_or_default(),
        Member::Source => draft.source = string("source")?.unwrap_or_default(),
        Member::Type => draft.kind = string("type")?.unwrap_or_default(),
        Member::Subject => draft.subject = string("subject")?,
        Member::Time => draft.time = string("time")?,
        Member::DataContentType => draft.data_content_type = string("datacontenttype")?,
        Member::DataSchema => draft.data_schema = string("dataschema")?,
        Member::DataBase64 => parsed.data_base64 = string("data_base64")?,
        // `null` is a value of its own here, not an absent member.
        Member::Data => parsed.data = Some(map.next_value::<&RawValue>()?.get()),
        Member::Extension => {
            let value = map.next_value_seed(Extension(&name))?;
            draft.extensions.extend(value.map(|value| (name, value)));
        }
    }
    Ok(())
}

/// Text that is borrowed from the document where it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        StringOf("member name").deserialize(deserializer).map(|text| Self(text.unwrap_or_default()))
    }
}

/// The string value of an attribute; `null` means absent (CloudEvents JSON format 2.1).
struct StringOf(&'static str);

impl<'de> DeserializeSeed<'de> for StringOf {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StringOf {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string for attribute {:?}", self.0)
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// The value of an extension attribute: string, boolean or 32-bit integer.
struct Extension<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Extension<'_> {
    type Value = Option<OwnedValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Extension<'_> {
    type Value = Option<OwnedValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string, boolean or 32-bit integer for extension attribute {:?}", self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(OwnedValue::String(text.to_owned())))
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Some(OwnedValue::Boolean(flag)))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        let wrong = |_| E::invalid_value(de::Unexpected::Signed(number), &self);
        i32::try_from(number).map(|number| Some(OwnedValue::Integer(number))).map_err(wrong)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        let wrong = |_| E::invalid_value(de::Unexpected::Unsigned(number), &self);
        i32::try_from(number).map(|number| Some(OwnedValue::Integer(number))).map_err(wrong)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Whether these bytes are one JSON value, in UTF-8 (RFC 8259, sections 2 and 8.1).
pub(crate) fn is_well_formed(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let scanned = Scanner::new(text).is_some_and(|mut text| text.value().is_some() && text.is_at_end());
    scanned || serde_json::from_str::<de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Event, String> {
        decode(&Bytes::copy_from_slice(text.as_bytes())).map_err(|error| error.to_string())
    }

    fn with(members: &str) -> Result<Event, String> {
        read(&format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t"{members}}}"#))
    }

    fn written(event: &Event) -> String {
        let mut out = Vec::new();
        encode(event, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn data_is_kept_to_the_byte() {
        for data in [r#"{"b" : 1.50,  "a":[1e3]}"#, "null", r#""text""#, "3.1400", "[ ]"] {
            let event = with(&format!(r#","data":{data}"#)).unwrap();
            assert_eq!(event.data(), data.as_bytes());
            assert!(written(&event).contains(&format!(r#""data":{data}"#)), "{data}");
        }
    }

    #[test]
    fn text_beside_another_media_type_is_text() {
        let event = with(r#","data":"<a>\n</a>","datacontenttype":"text/xml""#);
        // The media type comes after the data here: order must not matter.
        let event = event.unwrap();
        assert_eq!((event.data(), event.data_kind()), (&b"<a>\n</a>"[..], DataKind::Text));
        assert!(written(&event).contains(r#""data":"<a>\n</a>""#));
    }

    #[test]
    fn extensions_keep_their_type() {
        let event = with(r#","anint":-5,"abool":true,"astr":"5","anull":null"#).unwrap();
        assert_eq!(event.extensions().count(), 3);
        assert!(written(&event).contains(r#""abool":true,"anint":-5,"astr":"5""#));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let cases = [
            (
                with(r#","data":1,"data_base64":"aa""#),
                "both data and data_base64 are given; send one of them (at /data_base64)",
            ),
            (with(r#","data_base64":"!""#), "data_base64 is not base64"),
            (
                with(r#","ext":{"a":1}"#),
                "expected a string, boolean or 32-bit integer for extension attribute \"ext\"",
            ),
            (
                with(r#","ext":2147483648"#),
                "expected a string, boolean or 32-bit integer for extension attribute \"ext\"",
            ),
            (with(r#","ext":1.5"#), "32-bit integer"),
            (with(r#","subject":7"#), "expected a string for attribute \"subject\""),
            (with(r#","id":"2""#), "member \"id\" is given twice"),
            (with(r#","Upper":"x""#), "attribute name \"Upper\" is not allowed"),
            (
                read(r#"{"specversion":"0.3","id":"1","source":"s","type":"t"}"#),
                "specversion \"0.3\" is not supported; send \"1.0\"",
            ),
            (read(r#"{"id":"1"}"#), "required attribute \"specversion\" is missing"),
            (
                read(r#"{"specversion":"1.0","id":"1","source":"s"}"#),
                "required attribute \"type\" is missing",
            ),
            (read("[]"), "expected a JSON object"),
            (read("{"), "EOF while parsing"),
        ];
        for (result, expected) in cases {
            let error = result.unwrap_err();
            assert!(error.contains(expected), "{error}\ndoes not contain\n{expected}");
        }
    }

    #[test]
    fn a_batch_names_every_bad_member() {
        let good = r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#;
        let errors = decode_batch(&format!("[{good},7,{good},{{}}]").into()).unwrap_err();
        assert_eq!(errors.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(decode_batch(&format!("[{good}, {good}]").into()).unwrap().len(), 2);
        assert!(decode_batch(&"[]".into()).unwrap().is_empty());
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        let deep = "[".repeat(100_000);
        assert!(with(&format!(r#","data":{deep}"#)).is_err());
        assert!(decode_batch(&deep.into()).is_err());
    }

    #[test]
    fn a_json_line_has_no_line_break() {
        let event = with(",\"data\":{\n \"a\" : \"x \\\" y\\n\" ,\n \"b\": 1.0\n}").unwrap();
        let mut line = Vec::new();
        encode_compact(&event, &mut line);
        assert!(String::from_utf8(line).unwrap().ends_with(r#""data":{"a":"x \" y\n","b":1.0}}"#));
    }

    /// Any event that can be built, for round trips through a binding.
    pub(crate) fn any_event() -> impl Strategy<Value = Event> {
        let text = "[ -~äß→🦀]{1,12}";
        let value = prop_oneof![
            text.prop_map(OwnedValue::String),
            any::<i32>().prop_map(OwnedValue::Integer),
            any::<bool>().prop_map(OwnedValue::Boolean),
        ];
        let data = prop_oneof![
            Just((DataKind::None, None, Bytes::new())),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|data| (
                DataKind::Binary,
                Some("application/octet-stream".to_owned()),
                data.into()
            )),
            "[ -~ä]{0,20}".prop_map(|text| (DataKind::Text, Some("text/plain".to_owned()), text.into())),
            any::<i64>().prop_map(|n| (DataKind::Json, None, format!("{{ \"n\":{n}}}").into())),
        ];
        (
            text,
            text,
            text,
            proptest::option::of(text),
            proptest::collection::vec(("x[a-z0-9]{1,8}", value), 0..4),
            data,
        )
            .prop_map(
                |(id, source, kind, subject, extensions, (data_kind, data_content_type, data))| {
                    let named = |(name, value): (String, OwnedValue)| (name.into(), value);
                    let draft = Draft {
                        id: id.into(),
                        source: source.into(),
                        kind: kind.into(),
                        subject: subject.map(Into::into),
                        extensions: extensions.into_iter().map(named).collect(),
                        data_kind,
                        data_content_type: data_content_type.map(Into::into),
                        data,
                        ..Draft::default()
                    };
                    draft.build().unwrap()
                },
            )
    }

    /// A document as serde reads it.
    fn reference(text: &str) -> Option<Event> {
        let document = Bytes::copy_from_slice(text.as_bytes());
        let parsed: Parsed<'_> = serde_json::from_slice(&document).ok()?;
        parsed.build(&document).ok()
    }

    fn scanned(text: &str) -> Option<Event> {
        let document = Bytes::copy_from_slice(text.as_bytes());
        scan(std::str::from_utf8(&document).unwrap(), &document)
    }

    #[test]
    fn what_is_unusual_is_left_to_serde() {
        for members in [
            r#","subject":"a\"b""#,
            r#","subject":null"#,
            ",\n\"subject\":\"a\"",
            r#","ext":null"#,
            r#","ext":-0"#,
            r#","ext":1.5"#,
            r#","ext":2147483648"#,
            r#","id":"2""#,
            r#","subject":7"#,
            ",",
            r#","time":"now""#,
        ] {
            let text = format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t"{members}}}"#);
            assert_eq!(scanned(&text), None, "{text}");
        }
        let text =
            r#" { "specversion" :"1.0","id":"1","source":"s","type":"t","ext":-5,"data": {"a\n":[1]} } "#;
        assert!(scanned(text).is_some_and(|event| Some(event) == reference(text)));
    }

    proptest! {
        #[test]
        fn what_is_scanned_is_what_serde_reads(event in any_event(), cut in any::<prop::sample::Index>(), byte in "[ -~]") {
            let mut text = written(&event);
            if let Some(scanned) = scanned(&text) {
                prop_assert_eq!(Some(scanned), reference(&text));
            }
            // One byte of it is another.
            let at = cut.index(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                text.replace_range(at..=at, &byte);
                if let Some(scanned) = scanned(&text) {
                    prop_assert_eq!(Some(scanned), reference(&text));
                }
            }
        }

        #[test]
        fn what_goes_out_comes_in_again(event in any_event()) {
            prop_assert_eq!(read(&written(&event)).unwrap(), event.clone());
            let mut line = Vec::new();
            encode_compact(&event, &mut line);
            prop_assert!(!line.contains(&b'\n'));
        }

        #[test]
        fn no_document_makes_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes.clone().into());
            let _ = decode_batch(&bytes.into());
        }
    }
}
