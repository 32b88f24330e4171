//! The event as a guest sees it: a resource that is lent for the length of one call.

use wasmtime::component::Resource;

use super::bindings::v0_1::event::{Attribute, Host, HostEvent, Value};
use super::instance::State;
use crate::event::{self, DataKind, OwnedValue};

/// The type behind `event.event`. There is never more than one in a store: the event of the call, which lies in the
/// store's data, so that lending it adds nothing to a table.
pub(crate) struct Lent(());

impl Lent {
    pub(super) fn handle() -> Resource<Self> {
        // Lent, not owned: otherwise the store's handle table would grow with every call.
        Resource::new_borrow(0)
    }
}

impl Host for State {}

type Read<T> = wasmtime::Result<T>;

impl HostEvent for State {
    fn id(&mut self, _: Resource<Lent>) -> Read<String> {
        Ok(self.event()?.id().to_owned())
    }

    fn source(&mut self, _: Resource<Lent>) -> Read<String> {
        Ok(self.event()?.source().to_owned())
    }

    fn kind(&mut self, _: Resource<Lent>) -> Read<String> {
        Ok(self.event()?.kind().to_owned())
    }

    fn subject(&mut self, _: Resource<Lent>) -> Read<Option<String>> {
        Ok(self.event()?.subject().map(Into::into))
    }

    fn time(&mut self, _: Resource<Lent>) -> Read<Option<String>> {
        Ok(self.event()?.time().map(Into::into))
    }

    fn data_content_type(&mut self, _: Resource<Lent>) -> Read<Option<String>> {
        Ok(self.event()?.data_content_type().map(Into::into))
    }

    fn data_schema(&mut self, _: Resource<Lent>) -> Read<Option<String>> {
        Ok(self.event()?.data_schema().map(Into::into))
    }

    fn attribute(&mut self, _: Resource<Lent>, name: String) -> Read<Option<Value>> {
        Ok(self.event()?.attribute(&name).map(Into::into))
    }

    fn extensions(&mut self, _: Resource<Lent>) -> Read<Vec<Attribute>> {
        let attribute = |(name, value): (&str, event::Value<'_>)| Attribute {
            name: name.to_owned(),
            value: value.into(),
        };
        Ok(self.event()?.extensions().map(attribute).collect())
    }

    fn data_length(&mut self, _: Resource<Lent>) -> Read<Option<u64>> {
        let event = self.event()?;
        Ok((event.data_kind() != DataKind::None).then(|| event.data().len() as u64))
    }

    fn data(&mut self, _: Resource<Lent>) -> Read<Vec<u8>> {
        Ok(self.event()?.data().to_vec())
    }

    fn text(&mut self, _: Resource<Lent>) -> Read<Option<String>> {
        let event = self.event()?;
        if event.data_kind() == DataKind::None {
            return Ok(None);
        }
        Ok(std::str::from_utf8(event.data()).ok().map(Into::into))
    }

    fn drop(&mut self, _: Resource<Lent>) -> Read<()> {
        Ok(())
    }
}

impl From<event::Value<'_>> for Value {
    fn from(value: event::Value<'_>) -> Self {
        match value {
            event::Value::String(text) => Self::Text(text.to_owned()),
            event::Value::Integer(number) => Self::Integer(number),
            event::Value::Boolean(flag) => Self::Boolean(flag),
        }
    }
}

impl From<Value> for OwnedValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Text(text) => Self::String(text),
            Value::Integer(number) => Self::Integer(number),
            Value::Boolean(flag) => Self::Boolean(flag),
        }
    }
}
