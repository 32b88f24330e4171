//! One CloudEvent 1.0: its attributes and its raw data, in one flat buffer.
//!
//! An [`Event`] *is* its encoded record: ingress encodes it once, and the journal, overflow files, local streams
//! and plugins all read the same bytes. Cloning is a reference count; `data` is never parsed here.
//!
//! Record layout (little endian):
//!
//! ```text
//! u8 version (1) · u8 data kind · u16 extensions · 7 × u32 end offset of each core attribute, counted from byte 36
//! u32 end offset of the extensions · id · source · type · subject · time · datacontenttype · dataschema
//! extensions, sorted by name: (u8 name length · u8 value kind · u32 value length · name · value)* · data
//! ```
//!
//! An absent optional attribute has the length zero: CloudEvents forbids empty attributes (spec 3, "non-empty string").

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

const VERSION: u8 = 1;
const HEAD: usize = 4 + 4 * (CORE + 1);
const CORE: usize = 7;

/// The core context attributes, in the order of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
enum Core {
    Id,
    Source,
    Type,
    Subject,
    Time,
    DataContentType,
    DataSchema,
}

const CORE_NAMES: [&str; CORE] = ["id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];

/// How `data` came in, which decides how a JSON document carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    /// No data at all (not the same as data of zero bytes).
    None,
    /// Bytes whose meaning is `datacontenttype`'s; from a binary binding or `data_base64`.
    Binary,
    /// A JSON value, known to be well formed; from the `data` member of a JSON document.
    Json,
    /// Text that was a JSON string in the `data` member beside a content type that is not JSON.
    Text,
}

impl DataKind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::None, Self::Binary, Self::Json, Self::Text].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The value of an extension attribute; the textual types of CloudEvents (URI, timestamp, binary) stay strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string, URI, URI reference, timestamp or base64 binary.
    String(&'a str),
    /// A 32-bit integer.
    Integer(i32),
    /// A boolean.
    Boolean(bool),
}

impl fmt::Display for Value<'_> {
    /// The canonical string of CloudEvents 1.0.2, section 3.1 "Type System".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Boolean(flag) => write!(f, "{flag}"),
        }
    }
}

/// What is wrong with an event's attributes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A required attribute is absent.
    #[error("required attribute {0:?} is missing")]
    Missing(&'static str),
    /// An attribute that must not be empty is.
    #[error("attribute {0:?} is empty; leave it out or give it a value")]
    Empty(String),
    /// A name outside `[a-z0-9]+`.
    #[error("attribute name {0:?} is not allowed; names are lower-case letters and digits")]
    Name(String),
    /// A value of the wrong form.
    #[error("attribute {name:?} is {problem}")]
    Value {
        /// The attribute.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Too large to be encoded.
    #[error("the event is {0} bytes; at most 4 GiB can be encoded")]
    Size(usize),
    /// The encoded record is damaged.
    #[error("the record is not an event: {0}")]
    Record(&'static str),
}

/// One CloudEvent, immutable and cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    record: Bytes,
    /// The text of all core attributes, a share of the record: that it is text is found out once.
    core: ByteString,
}

/// The record of nothing.
static NOTHING: [u8; HEAD] = {
    let mut record = [0; HEAD];
    record[0] = VERSION;
    record
};

/// The offset that stands at that place of a record.
fn offset(record: &[u8], at: usize) -> usize {
    record[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
}

impl Event {
    /// Starts an event from its three required attributes.
    pub fn builder<'a>(
        id: impl Into<Cow<'a, str>>,
        source: impl Into<Cow<'a, str>>,
        kind: impl Into<Cow<'a, str>>,
    ) -> Draft<'a> {
        Draft { id: id.into(), source: source.into(), kind: kind.into(), ..Draft::default() }
    }

    /// Takes over a record written by [`Event::record`].
    ///
    /// # Errors
    /// [`Invalid::Record`] if the bytes are not such a record; nothing of it is trusted.
    pub fn from_record(record: Bytes) -> Result<Self, Invalid> {
        let head = record.get(..HEAD).ok_or(Invalid::Record("shorter than its head"))?;
        if head[0] != VERSION {
            return Err(Invalid::Record("unknown version"));
        }
        let kind = DataKind::from_byte(head[1]).ok_or(Invalid::Record("unknown data kind"))?;
        let ends: [usize; CORE] = std::array::from_fn(|index| offset(head, 4 + 4 * index));
        if !ends.is_sorted() {
            return Err(Invalid::Record("attribute ends run backwards"));
        }
        let (last, data_at) = (ends[CORE - 1], offset(head, HEAD - 4));
        let body = &record[HEAD..];
        if data_at < last || body.len() < data_at {
            return Err(Invalid::Record("shorter than its attributes"));
        }
        if kind == DataKind::None && body.len() > data_at {
            return Err(Invalid::Record("data where none is announced"));
        }
        let event = Self::with_core(record, last)?;
        if !ends.iter().all(|end| event.core.is_char_boundary(*end)) {
            return Err(Invalid::Record("an attribute ends inside a character"));
        }
        if event.id().is_empty() || event.source().is_empty() || event.kind().is_empty() {
            return Err(Invalid::Record("a required attribute is missing"));
        }
        let count = u16::from_le_bytes([event.record[2], event.record[3]]);
        let mut extensions = Extensions { rest: event.extension_bytes() };
        for _ in 0..count {
            extensions.read().ok_or(Invalid::Record("an extension is damaged"))?;
        }
        if extensions.rest.is_empty() {
            Ok(event)
        } else {
            Err(Invalid::Record("bytes after the extensions"))
        }
    }

    fn with_core(record: Bytes, length: usize) -> Result<Self, Invalid> {
        let core = record.slice(HEAD..HEAD + length).try_into().map_err(|_| Invalid::Record("not UTF-8"))?;
        Ok(Self { record, core })
    }

    /// Takes it out for a while. What is left is no event: each attribute of it is empty.
    pub(crate) fn take(&mut self) -> Self {
        let nothing = Self { record: Bytes::from_static(&NOTHING), core: ByteString::new() };
        std::mem::replace(self, nothing)
    }

    /// The encoded record, as the journal keeps it.
    pub fn record(&self) -> &Bytes {
        &self.record
    }

    fn core(&self, attribute: Core) -> &str {
        self.part(attribute as usize)
    }

    fn part(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.end(index - 1) };
        self.core.get(start..self.end(index)).unwrap_or_default()
    }

    /// Where a core attribute ends, in the text of all.
    fn end(&self, index: usize) -> usize {
        offset(&self.record, 4 + 4 * index)
    }

    fn data_at(&self) -> usize {
        HEAD + offset(&self.record, HEAD - 4)
    }

    fn optional(&self, attribute: Core) -> Option<&str> {
        Some(self.core(attribute)).filter(|text| !text.is_empty())
    }

    /// `id`: unique within `source`.
    pub fn id(&self) -> &str {
        self.core(Core::Id)
    }

    /// `source`: a URI reference.
    pub fn source(&self) -> &str {
        self.core(Core::Source)
    }

    /// `type`, which Rust keeps for itself.
    pub fn kind(&self) -> &str {
        self.core(Core::Type)
    }

    /// `subject`.
    pub fn subject(&self) -> Option<&str> {
        self.optional(Core::Subject)
    }

    /// `time`, RFC 3339, exactly as it came.
    pub fn time(&self) -> Option<&str> {
        self.optional(Core::Time)
    }

    /// `time` in Unix milliseconds.
    pub fn time_ms(&self) -> Option<i64> {
        let text = self.time()?;
        utc_ms(text).or_else(|| Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()))
    }

    /// `datacontenttype`: a media type.
    pub fn data_content_type(&self) -> Option<&str> {
        self.optional(Core::DataContentType)
    }

    /// `dataschema`: a URI.
    pub fn data_schema(&self) -> Option<&str> {
        self.optional(Core::DataSchema)
    }

    /// The attribute of that name, core or extension; `specversion` is always `1.0`.
    pub fn attribute(&self, name: &str) -> Option<Value<'_>> {
        if name == "specversion" {
            return Some(Value::String("1.0"));
        }
        if let Some(index) = CORE_NAMES.iter().position(|core| *core == name) {
            let text = self.part(index);
            return (!text.is_empty()).then_some(Value::String(text));
        }
        self.extensions().find(|(extension, _)| *extension == name).map(|(_, value)| value)
    }

    /// The core attributes that are present, by their CloudEvents names, without `specversion`.
    pub fn core_attributes(&self) -> impl Iterator<Item = (&'static str, &str)> {
        CORE_NAMES.into_iter().zip(self.core_texts()).filter(|(_, text)| !text.is_empty())
    }

    /// All core attributes in the order of the record; one that is absent is empty.
    pub(crate) fn core_texts(&self) -> impl Iterator<Item = &str> {
        (0..CORE).map(|index| self.part(index))
    }

    /// The text of all core attributes, one behind the other.
    pub(crate) fn core_bytes(&self) -> &[u8] {
        self.core.as_bytes()
    }

    fn extension_bytes(&self) -> &[u8] {
        &self.record[HEAD + self.core.len()..self.data_at()]
    }

    /// The extension attributes, sorted by name.
    pub fn extensions(&self) -> Extensions<'_> {
        Extensions { rest: self.extension_bytes() }
    }

    /// Calls `note` with the name of each attribute in which `after` differs, `data` last: names only, no values.
    pub fn changed_in<'a>(&'a self, after: &'a Self, mut note: impl FnMut(&'a str)) {
        let pairs = [
            ("id", Some(self.id()), Some(after.id())),
            ("source", Some(self.source()), Some(after.source())),
            ("type", Some(self.kind()), Some(after.kind())),
            ("subject", self.subject(), after.subject()),
            ("time", self.time(), after.time()),
            ("datacontenttype", self.data_content_type(), after.data_content_type()),
            ("dataschema", self.data_schema(), after.data_schema()),
        ];
        pairs.iter().filter(|(_, before, after)| before != after).for_each(|(name, ..)| note(name));
        // Both are sorted by name.
        let (mut before, mut behind) = (self.extensions().peekable(), after.extensions().peekable());
        loop {
            match (before.peek(), behind.peek()) {
                (Some(&(one, value)), Some(&(other, now))) if one == other => {
                    if value != now {
                        note(one);
                    }
                    before.next();
                    behind.next();
                }
                (Some(&(one, _)), other) if other.is_none_or(|(other, _)| one < *other) => {
                    note(one);
                    before.next();
                }
                (_, Some(&(other, _))) => {
                    note(other);
                    behind.next();
                }
                (_, None) => break,
            }
        }
        if (self.data_kind(), self.data()) != (after.data_kind(), after.data()) {
            note("data");
        }
    }

    /// How `data` came in.
    pub fn data_kind(&self) -> DataKind {
        DataKind::from_byte(self.record[1]).unwrap_or(DataKind::None)
    }

    /// The exact bytes of `data`; empty where there is none.
    pub fn data(&self) -> &[u8] {
        &self.record[self.data_at()..]
    }

    /// `data` as a share of this event's buffer.
    pub fn data_bytes(&self) -> Bytes {
        self.record.slice(self.data_at()..)
    }

    /// What orders events among themselves unless a rule says otherwise: the `partitionkey` extension, else
    /// `subject`, else `source`.
    pub fn ordering_key(&self) -> &str {
        match self.extensions().find(|(name, _)| *name == "partitionkey") {
            Some((_, Value::String(key))) => key,
            _ => self.subject().unwrap_or_else(|| self.source()),
        }
    }

    /// A copy to change.
    pub fn edit(&self) -> Draft<'static> {
        let owned = |text: &str| Cow::Owned(text.to_owned());
        Draft {
            id: owned(self.id()),
            source: owned(self.source()),
            kind: owned(self.kind()),
            subject: self.subject().map(owned),
            time: self.time().map(owned),
            data_content_type: self.data_content_type().map(owned),
            data_schema: self.data_schema().map(owned),
            extensions: self.extensions().map(|(name, value)| (owned(name), value.into())).collect(),
            data_kind: self.data_kind(),
            data: self.data_bytes(),
        }
    }
}

impl fmt::Debug for Event {
    /// Attributes only: data may hold a document's text, which no log may show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        map.entries(self.core_attributes()).entries(self.extensions());
        map.entry(&"data", &format_args!("{} bytes", self.data().len())).finish()
    }
}

/// Iterates over extension attributes.
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    rest: &'a [u8],
}

impl<'a> Extensions<'a> {
    fn read(&mut self) -> Option<(&'a str, Value<'a>)> {
        let (head, rest) = self.rest.split_at_checked(6)?;
        let size = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
        let (name, rest) = rest.split_at_checked(usize::from(head[0]))?;
        let (value, rest) = rest.split_at_checked(size)?;
        self.rest = rest;
        let value = match (head[1], value) {
            (0, text) => Value::String(std::str::from_utf8(text).ok()?),
            (1, number) => Value::Integer(i32::from_le_bytes(number.try_into().ok()?)),
            (2, [flag @ (0 | 1)]) => Value::Boolean(*flag == 1),
            _ => return None,
        };
        Some((std::str::from_utf8(name).ok()?, value))
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.read()
    }
}

/// The value of an extension attribute that owns its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedValue {
    /// See [`Value::String`].
    String(String),
    /// See [`Value::Integer`].
    Integer(i32),
    /// See [`Value::Boolean`].
    Boolean(bool),
}

impl From<Value<'_>> for OwnedValue {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::String(text) => Self::String(text.into()),
            Value::Integer(number) => Self::Integer(number),
            Value::Boolean(flag) => Self::Boolean(flag),
        }
    }
}

impl OwnedValue {
    fn parts(&self) -> (u8, [u8; 4], &[u8]) {
        match self {
            Self::String(text) => (0, [0; 4], text.as_bytes()),
            Self::Integer(number) => (1, number.to_le_bytes(), &[]),
            Self::Boolean(flag) => (2, [u8::from(*flag), 0, 0, 0], &[]),
        }
    }
}

/// An event in the making, which may borrow its text. [`Draft::build`] checks and encodes it.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// Required.
    pub id: Cow<'a, str>,
    /// Required.
    pub source: Cow<'a, str>,
    /// Required: `type`.
    pub kind: Cow<'a, str>,
    /// Optional.
    pub subject: Option<Cow<'a, str>>,
    /// Optional, RFC 3339.
    pub time: Option<Cow<'a, str>>,
    /// Optional media type.
    pub data_content_type: Option<Cow<'a, str>>,
    /// Optional URI.
    pub data_schema: Option<Cow<'a, str>>,
    /// Extension attributes in any order; a later one of the same name wins.
    pub extensions: Vec<(Cow<'a, str>, OwnedValue)>,
    /// How `data` is to be understood.
    pub data_kind: DataKind,
    /// The payload.
    pub data: Bytes,
}

impl Default for Draft<'_> {
    fn default() -> Self {
        Self {
            id: Cow::default(),
            source: Cow::default(),
            kind: Cow::default(),
            subject: None,
            time: None,
            data_content_type: None,
            data_schema: None,
            extensions: Vec::new(),
            data_kind: DataKind::None,
            data: Bytes::new(),
        }
    }
}

impl<'a> Draft<'a> {
    /// Sets `subject`.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<Cow<'a, str>>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Sets `time`.
    #[must_use]
    pub fn time(mut self, time: impl Into<Cow<'a, str>>) -> Self {
        self.time = Some(time.into());
        self
    }

    /// Sets an extension attribute.
    #[must_use]
    pub fn extension(mut self, name: impl Into<Cow<'a, str>>, value: OwnedValue) -> Self {
        self.extensions.push((name.into(), value));
        self
    }

    /// Sets JSON data and `datacontenttype: application/json`. The caller vouches that `data` is one JSON value.
    #[must_use]
    pub fn json(mut self, data: impl Into<Bytes>) -> Self {
        self.data_content_type = Some("application/json".into());
        self.data_kind = DataKind::Json;
        self.data = data.into();
        self
    }

    /// Sets opaque data of a media type.
    #[must_use]
    pub fn binary(mut self, content_type: impl Into<Cow<'a, str>>, data: impl Into<Bytes>) -> Self {
        self.data_content_type = Some(content_type.into());
        self.data_kind = DataKind::Binary;
        self.data = data.into();
        self
    }

    /// Sets an attribute by its CloudEvents name; `None` removes it.
    ///
    /// # Errors
    /// [`Invalid`] for a name that is not allowed, a core attribute that is not a string, or a required one removed.
    pub fn set(&mut self, name: &str, value: Option<OwnedValue>) -> Result<(), Invalid> {
        let Some(index) = CORE_NAMES.iter().position(|core| *core == name) else {
            check_name(name)?;
            self.extensions.retain(|(extension, _)| extension != name);
            self.extensions.extend(value.map(|value| (Cow::Owned(name.to_owned()), value)));
            return Ok(());
        };
        let text = match value {
            Some(OwnedValue::String(text)) => Some(Cow::Owned(text)),
            None => None,
            Some(_) => {
                return Err(Invalid::Value {
                    name: name.into(),
                    problem: "not a string, and must be one".into(),
                });
            }
        };
        self.set_core(index, text)
    }

    /// Sets an attribute to a text, which a core attribute may borrow.
    ///
    /// # Errors
    /// [`Invalid`] for a name that is not allowed.
    pub fn set_text(&mut self, name: &str, text: Cow<'a, str>) -> Result<(), Invalid> {
        match CORE_NAMES.iter().position(|core| *core == name) {
            Some(index) => self.set_core(index, Some(text)),
            None => self.set(name, Some(OwnedValue::String(text.into_owned()))),
        }
    }

    fn set_core(&mut self, index: usize, text: Option<Cow<'a, str>>) -> Result<(), Invalid> {
        match (index, text) {
            (0, Some(text)) => self.id = text,
            (1, Some(text)) => self.source = text,
            (2, Some(text)) => self.kind = text,
            (0..=2, None) => return Err(Invalid::Missing(CORE_NAMES[index])),
            (3, text) => self.subject = text,
            (4, text) => self.time = text,
            (5, text) => self.data_content_type = text,
            (_, text) => self.data_schema = text,
        }
        Ok(())
    }

    /// Checks the attributes and encodes the record.
    ///
    /// # Errors
    /// What is [`Invalid`] of it; of several attributes that of one.
    pub fn build(mut self) -> Result<Event, Invalid> {
        self.check()?;
        // Stable: of two with one name the later stays.
        self.extensions.reverse();
        self.extensions.sort_by(|a, b| a.0.cmp(&b.0));
        self.extensions.dedup_by(|later, first| later.0 == first.0);
        let core: [&str; CORE] = [
            &self.id,
            &self.source,
            &self.kind,
            self.subject.as_deref().unwrap_or_default(),
            self.time.as_deref().unwrap_or_default(),
            self.data_content_type.as_deref().unwrap_or_default(),
            self.data_schema.as_deref().unwrap_or_default(),
        ];
        let attributes: usize = core.iter().map(|text| text.len()).sum();
        let extensions: usize =
            self.extensions.iter().map(|(name, value)| 6 + name.len() + value.parts().2.len().max(4)).sum();
        let size = HEAD + attributes + extensions + self.data.len();
        if u32::try_from(size).is_err() {
            return Err(Invalid::Size(size));
        }
        let mut record = BytesMut::with_capacity(size);
        record.put_u8(VERSION);
        record.put_u8(self.data_kind as u8);
        record.put_u16_le(u16::try_from(self.extensions.len()).map_err(|_| Invalid::Size(size))?);
        let mut end = 0_u32;
        for text in core {
            end += u32::try_from(text.len()).map_err(|_| Invalid::Size(size))?;
            record.put_u32_le(end);
        }
        record.put_u32_le(0);
        core.iter().for_each(|text| record.put_slice(text.as_bytes()));
        // They lie one behind the other: looked at once for all.
        if !is_printable(&record[HEAD..]) {
            CORE_NAMES.into_iter().zip(core).try_for_each(|(name, text)| check_text(name, text))?;
        }
        for (name, value) in &self.extensions {
            let (kind, fixed, text) = value.parts();
            let bytes = match kind {
                0 => text,
                1 => &fixed[..],
                _ => &fixed[..1],
            };
            record.put_u8(u8::try_from(name.len()).map_err(|_| Invalid::Name(name.to_string()))?);
            record.put_u8(kind);
            record.put_u32_le(u32::try_from(bytes.len()).map_err(|_| Invalid::Size(size))?);
            record.put_slice(name.as_bytes());
            record.put_slice(bytes);
        }
        let data_at = u32::try_from(record.len() - HEAD).map_err(|_| Invalid::Size(size))?;
        record[HEAD - 4..HEAD].copy_from_slice(&data_at.to_le_bytes());
        record.put_slice(&self.data);
        Event::with_core(record.freeze(), attributes)
    }

    /// Checks all but what the core attributes consist of.
    fn check(&mut self) -> Result<(), Invalid> {
        for (name, text) in [("id", &self.id), ("source", &self.source), ("type", &self.kind)] {
            if text.is_empty() {
                return Err(Invalid::Missing(name));
            }
        }
        let optional = [
            ("subject", &self.subject),
            ("time", &self.time),
            ("datacontenttype", &self.data_content_type),
            ("dataschema", &self.data_schema),
        ];
        for (name, text) in optional {
            if text.as_ref().is_some_and(|text| text.is_empty()) {
                return Err(Invalid::Empty(name.into()));
            }
        }
        if let Some(time) = &self.time {
            check_time(time)?;
        }
        for (name, value) in &self.extensions {
            check_name(name)?;
            if let OwnedValue::String(text) = value {
                check_text(name, text)?;
            }
        }
        if self.data_kind == DataKind::None {
            self.data = Bytes::new();
        }
        Ok(())
    }
}

/// Whether it is an attribute that events of CloudEvents 1.0 have a place for by its name.
pub fn is_core(name: &str) -> bool {
    CORE_NAMES.contains(&name)
}

/// Whether an event may have an attribute of that name.
pub fn is_attribute(name: &str) -> bool {
    is_core(name) || name == "specversion" || check_name(name).is_ok()
}

/// Attribute names: CloudEvents 1.0.2, 3.1 "Naming Conventions". The length is ours: one byte in the record.
fn check_name(name: &str) -> Result<(), Invalid> {
    let allowed = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let reserved = matches!(name, "data" | "specversion" | "data_base64");
    if name.is_empty() || name.len() > 255 || !allowed || reserved || CORE_NAMES.contains(&name) {
        return Err(Invalid::Name(name.into()));
    }
    Ok(())
}

/// Strings: CloudEvents 1.0.2, 3.1 "Type System": no control characters, no non-characters.
fn check_text(name: &str, text: &str) -> Result<(), Invalid> {
    if is_printable(text.as_bytes()) {
        return Ok(());
    }
    let forbidden =
        |c: char| c.is_control() || matches!(c, '\u{FDD0}'..='\u{FDEF}') || (c as u32 & 0xFFFE) == 0xFFFE;
    match text.chars().find(|c| forbidden(*c)) {
        None => Ok(()),
        Some(c) => Err(Invalid::Value {
            name: name.into(),
            problem: format!("not a CloudEvents string: it contains U+{:04X}", c as u32),
        }),
    }
}

/// Whether it is printable ASCII, as nearly all text is: many bytes at a time show it.
fn is_printable(text: &[u8]) -> bool {
    text.iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'))
}

fn check_time(time: &str) -> Result<(), Invalid> {
    if utc_ms(time).is_some() {
        return Ok(());
    }
    let wrong = || Invalid::Value {
        name: "time".into(),
        problem: format!("{time:?}, which is not RFC 3339; write it like 2025-12-14T12:00:00Z"),
    };
    // jiff takes more of ISO 8601 than RFC 3339 has: insist on date, `T`, seconds and an offset.
    let bytes = time.as_bytes();
    let separated = bytes.len() >= 20 && matches!(bytes[10], b'T' | b't' | b' ') && bytes[16] == b':';
    if !separated || time.contains('[') || time.contains(',') {
        return Err(wrong());
    }
    time.parse::<jiff::Timestamp>().map(|_| ()).map_err(|_| wrong())
}

/// Milliseconds of the usual form, `2025-12-14T12:00:00.123Z` or with `+00:00`: it is read of every event that comes in and that
/// is confirmed, which the general parser would take ten times as long for. None for other forms, and for what is no time.
fn utc_ms(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let head = bytes.get(..19)?;
    let rest = &bytes[19..];
    let rest = rest.strip_suffix(b"Z").or_else(|| rest.strip_suffix(b"+00:00"))?;
    let number = |from: usize, to: usize| {
        head[from..to]
            .iter()
            .try_fold(0_i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let fits =
        (1..=12).contains(&month) && (1..=28).contains(&day) && hour < 24 && minute < 60 && second < 60;
    // What ends a month is left to the parser that knows how long each is.
    if !fits || marks.iter().any(|(at, mark)| head[*at] != *mark) {
        return None;
    }
    let fraction = match rest.split_first() {
        None => 0,
        Some((b'.', digits)) if (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) => {
            let digit = |at: usize| digits.get(at).map_or(0, |byte| i64::from(byte - b'0'));
            digit(0) * 100 + digit(1) * 10 + digit(2)
        }
        Some(_) => return None,
    };
    // Days since 1970 of the Gregorian calendar, its years counted from March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = days + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full() -> Event {
        Event::builder("évt-1", "stage2", "com.example.x")
            .subject("document/doc-1")
            .time("2025-12-14T12:00:00Z")
            .extension("partitionkey", OwnedValue::String("k".into()))
            .extension("attempt", OwnedValue::Integer(-3))
            .extension("urgent", OwnedValue::Boolean(true))
            .json(&br#"{"a": 1}"#[..])
            .build()
            .unwrap()
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let event = full();
        let again = Event::from_record(event.record().clone()).unwrap();
        assert_eq!(again, event);
        assert_eq!(again.id(), "évt-1");
        assert_eq!(again.attribute("attempt"), Some(Value::Integer(-3)));
        assert_eq!(again.attribute("urgent"), Some(Value::Boolean(true)));
        assert_eq!(again.attribute("dataschema"), None);
        assert_eq!(again.data(), br#"{"a": 1}"#);
        assert_eq!(again.edit().build().unwrap(), event);
        let core: Vec<_> = again.core_attributes().map(|(name, _)| name).collect();
        assert_eq!(core, ["id", "source", "type", "subject", "time", "datacontenttype"]);
    }

    #[test]
    fn the_ordering_key_is_partitionkey_then_subject_then_source() {
        assert_eq!(full().ordering_key(), "k");
        assert_eq!(Event::builder("1", "s", "t").subject("sub").build().unwrap().ordering_key(), "sub");
        assert_eq!(Event::builder("1", "s", "t").build().unwrap().ordering_key(), "s");
    }

    #[test]
    fn wrong_attributes_are_refused_by_name() {
        let message = |draft: Draft<'_>| draft.build().unwrap_err().to_string();
        assert_eq!(message(Event::builder("", "s", "t")), r#"required attribute "id" is missing"#);
        assert!(message(Event::builder("1", "s", "t").time("yesterday")).contains("RFC 3339"));
        assert!(message(Event::builder("1", "s", "t").time("2025-12-14")).contains("RFC 3339"));
        assert!(message(Event::builder("1", "s\n", "t")).contains("U+000A"));
        let upper = Event::builder("1", "s", "t").extension("Upper", OwnedValue::Boolean(true));
        assert!(message(upper).contains("lower-case"));
    }

    #[test]
    fn the_later_extension_of_one_name_wins() {
        let event = Event::builder("1", "s", "t")
            .extension("a", OwnedValue::Integer(1))
            .extension("a", OwnedValue::Integer(2))
            .build()
            .unwrap();
        assert_eq!(event.extensions().collect::<Vec<_>>(), [("a", Value::Integer(2))]);
    }

    #[test]
    fn other_forms_of_a_time_are_read_as_well() {
        let of = |time: &str| Event::builder("1", "s", "t").time(time.to_owned()).build().unwrap().time_ms();
        assert_eq!(of("2025-12-14T12:00:00Z"), Some(1_765_713_600_000));
        assert_eq!(utc_ms("2025-12-14T12:00:00.250+00:00"), Some(1_765_713_600_250), "as Python writes it");
        assert_eq!(of("2025-12-14T13:00:00.5+01:00"), Some(1_765_713_600_500));
        assert_eq!(of("2025-12-31T23:59:59.999Z"), Some(1_767_225_599_999));
        assert_eq!(utc_ms("2025-12-31T23:59:59.999Z"), None, "the end of a month");
    }

    proptest! {
        #[test]
        fn a_time_is_what_the_general_parser_says(text in "[0-2][0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|\\+00:00)") {
            if let Some(fast) = utc_ms(&text) {
                let jiff = text.parse::<jiff::Timestamp>().unwrap();
                prop_assert_eq!(i128::from(fast), jiff.as_nanosecond().div_euclid(1_000_000), "{}", text);
            }
        }

        #[test]
        fn no_bytes_make_a_record_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(event) = Event::from_record(Bytes::from(bytes)) {
                let _ = (event.id(), event.data(), event.extensions().count());
            }
        }

        #[test]
        fn a_damaged_record_never_panics(at in 0_usize..150, byte: u8) {
            let mut bytes = full().record().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(event) = Event::from_record(Bytes::from(bytes)) {
                let _ = (format!("{event:?}"), event.ordering_key().len());
            }
        }
    }
}
