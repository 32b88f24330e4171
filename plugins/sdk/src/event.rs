//! The event: lent by the host, or made by hand in a test.

use serde::de::DeserializeOwned;

use crate::Error;
use crate::bindings;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string, URI, timestamp or base64 binary.
    Text(String),
    /// A 32-bit integer.
    Integer(i32),
    /// A boolean.
    Boolean(bool),
}

/// One CloudEvent. Each call reads from the host: what is not asked for is not copied.
#[derive(Debug)]
pub struct Event<'a>(Source<'a>);

#[derive(Debug)]
enum Source<'a> {
    Lent(&'a bindings::Event),
    Test(Box<Made>),
}

/// An event made by hand.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Made {
    pub(crate) attributes: Vec<(String, Value)>,
    pub(crate) data: Option<Vec<u8>>,
}

impl Made {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: Option<Value>) {
        self.attributes.retain(|(known, _)| known != name);
        self.attributes.extend(value.map(|value| (name.to_owned(), value)));
        self.attributes.sort_by(|a, b| a.0.cmp(&b.0));
    }
}

const CORE: [&str; 7] = ["id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];

impl<'a> Event<'a> {
    pub(crate) fn lent(event: &'a bindings::Event) -> Self {
        Self(Source::Lent(event))
    }

    pub(crate) fn raw(&self) -> Option<&'a bindings::Event> {
        match &self.0 {
            Source::Lent(event) => Some(event),
            Source::Test(_) => None,
        }
    }

    pub(crate) fn made(&self) -> Made {
        match &self.0 {
            Source::Lent(_) => Made::default(),
            Source::Test(made) => (**made).clone(),
        }
    }

    pub(crate) fn of(made: Made) -> Event<'static> {
        Event(Source::Test(Box::new(made)))
    }

    /// `id`
    pub fn id(&self) -> String {
        self.required("id", bindings::Event::id)
    }

    /// `source`
    pub fn source(&self) -> String {
        self.required("source", bindings::Event::source)
    }

    /// `type`, which Rust keeps for itself.
    pub fn kind(&self) -> String {
        self.required("type", bindings::Event::kind)
    }

    /// `subject`
    pub fn subject(&self) -> Option<String> {
        self.optional("subject", bindings::Event::subject)
    }

    /// `time`, RFC 3339
    pub fn time(&self) -> Option<String> {
        self.optional("time", bindings::Event::time)
    }

    /// `datacontenttype`
    pub fn data_content_type(&self) -> Option<String> {
        self.optional("datacontenttype", bindings::Event::data_content_type)
    }

    /// `dataschema`
    pub fn data_schema(&self) -> Option<String> {
        self.optional("dataschema", bindings::Event::data_schema)
    }

    /// Any attribute by its CloudEvents name.
    pub fn attribute(&self, name: &str) -> Option<Value> {
        match &self.0 {
            Source::Lent(event) => event.attribute(name).map(Into::into),
            Source::Test(made) => made.get(name).cloned(),
        }
    }

    /// The extension attributes, sorted by name.
    pub fn extensions(&self) -> Vec<(String, Value)> {
        match &self.0 {
            Source::Lent(event) => event
                .extensions()
                .into_iter()
                .map(|attribute| (attribute.name, attribute.value.into()))
                .collect(),
            Source::Test(made) => {
                made.attributes.iter().filter(|(name, _)| !CORE.contains(&name.as_str())).cloned().collect()
            }
        }
    }

    /// What orders events among themselves: the `partitionkey` extension, else `subject`, else `source`.
    pub fn ordering_key(&self) -> String {
        match self.attribute("partitionkey") {
            Some(Value::Text(key)) => key,
            _ => self.subject().unwrap_or_else(|| self.source()),
        }
    }

    /// The length of `data` in bytes, without copying it; none where the event has no data.
    pub fn data_length(&self) -> Option<u64> {
        match &self.0 {
            Source::Lent(event) => event.data_length(),
            Source::Test(made) => made.data.as_ref().map(|data| data.len() as u64),
        }
    }

    /// A copy of `data`; empty where there is none.
    pub fn bytes(&self) -> Vec<u8> {
        match &self.0 {
            Source::Lent(event) => event.data(),
            Source::Test(made) => made.data.clone().unwrap_or_default(),
        }
    }

    /// `data` where it is UTF-8 text.
    pub fn text(&self) -> Option<String> {
        match &self.0 {
            Source::Lent(event) => event.text(),
            Source::Test(made) => made.data.clone().and_then(|data| String::from_utf8(data).ok()),
        }
    }

    /// `data` read as JSON. The error names the place, never the data.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.bytes()).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Error::permanent(format!("data is not the JSON that was expected: line {line}, column {column}"))
        })
    }

    fn required(&self, name: &str, lent: fn(&bindings::Event) -> String) -> String {
        match &self.0 {
            Source::Lent(event) => lent(event),
            Source::Test(made) => made.text(name).unwrap_or_default(),
        }
    }

    fn optional(&self, name: &str, lent: fn(&bindings::Event) -> Option<String>) -> Option<String> {
        match &self.0 {
            Source::Lent(event) => lent(event),
            Source::Test(made) => made.text(name),
        }
    }
}

impl Event<'static> {
    /// An event for a test: `id` is `1`, `source` is `/test`, `type` is `test`, and there is no data.
    pub fn test() -> Self {
        let mut made = Made::default();
        for (name, value) in [("id", "1"), ("source", "/test"), ("type", "test")] {
            made.set(name, Some(Value::Text(value.into())));
        }
        Self::of(made)
    }

    /// Sets `type`.
    pub fn of_kind(self, kind: &str) -> Self {
        self.with("type", Value::Text(kind.into()))
    }

    /// Sets any attribute.
    pub fn with(self, name: &str, value: Value) -> Self {
        let mut made = self.made();
        made.set(name, Some(value));
        Self::of(made)
    }

    /// Sets `data`.
    pub fn data(self, data: impl Into<Vec<u8>>) -> Self {
        let data = Some(data.into());
        Self::of(Made { data, ..self.made() })
    }

    /// Sets JSON `data` and `datacontenttype`.
    pub fn data_json(self, json: &str) -> Self {
        self.with("datacontenttype", Value::Text("application/json".into())).data(json)
    }
}

impl From<bindings::Value> for Value {
    fn from(value: bindings::Value) -> Self {
        match value {
            bindings::Value::Text(text) => Self::Text(text),
            bindings::Value::Integer(number) => Self::Integer(number),
            bindings::Value::Boolean(flag) => Self::Boolean(flag),
        }
    }
}

impl From<Value> for bindings::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text),
            Value::Integer(number) => Self::Integer(number),
            Value::Boolean(flag) => Self::Boolean(flag),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Integer(number)
    }
}

/// As it is written in a header or a template.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Boolean(flag) => flag.fmt(f),
        }
    }
}
