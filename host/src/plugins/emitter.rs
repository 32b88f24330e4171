//! What a transform hands out: the event itself, changed copies of it, new events; in that order, under limits.

use bytes::Bytes;
use wasmtime::component::Resource;

use super::bindings::v0_1::emitting::{Host, HostDraft, HostEmitter, NewEvent};
use super::bindings::v0_1::event::Value;
use super::instance::State;
use super::lent::Lent;
use super::limits::{Exceeded, Limits};
use crate::event::{self, DataKind, Event, Invalid};
use crate::protocol::json::{is_json, is_well_formed};

/// The type behind `emitting.draft`; its handle counts the drafts and events of an instance, so that one of an
/// earlier call is noticed.
#[allow(unreachable_pub)] // The generated bindings re-export it.
pub struct Draft(());

/// The type behind `emitting.emitter`; there is one in a call.
#[allow(unreachable_pub)] // The generated bindings re-export it.
pub struct Emitter(());

impl Emitter {
    pub(super) fn handle() -> Resource<Self> {
        Resource::new_borrow(0)
    }
}

/// What one call has handed out so far.
#[derive(Default)]
pub(super) struct Output {
    handed: Vec<Handed>,
    bytes: u64,
    /// The handle of the first of `handed`.
    first: u32,
}

enum Handed {
    Pass,
    // Boxed: most calls pass, and a draft is twenty times as large.
    Edit(Box<Edit>),
    Emit(Event),
}

struct Edit {
    draft: event::Draft<'static>,
    data: Given,
}

enum Given {
    Nothing,
    Bytes(Vec<u8>),
    Text(String),
}

/// What a call came to.
pub(super) enum Handing {
    Nothing,
    AsItWas,
    Events(Vec<Event>),
}

impl Output {
    /// Forgets what an earlier call handed out.
    pub(super) fn begin(&mut self) {
        let count = u32::try_from(self.handed.len()).unwrap_or(u32::MAX);
        self.first = self.first.wrapping_add(count);
        self.handed.clear();
        self.bytes = 0;
    }

    /// Ends a call: drafts become events.
    pub(super) fn finish(&mut self, event: &Event) -> Result<Handing, Invalid> {
        match self.handed.as_slice() {
            [] => return Ok(Handing::Nothing),
            [Handed::Pass] => return Ok(Handing::AsItWas),
            _ => {}
        }
        let count = u32::try_from(self.handed.len()).unwrap_or(u32::MAX);
        self.first = self.first.wrapping_add(count);
        let built = self.handed.drain(..).map(|handed| match handed {
            Handed::Pass => Ok(event.clone()),
            Handed::Edit(edit) => edit.build(),
            Handed::Emit(event) => Ok(event),
        });
        built.collect::<Result<_, _>>().map(Handing::Events)
    }

    fn hand(&mut self, handed: Handed, bytes: usize, limits: &Limits) -> wasmtime::Result<u32> {
        if self.handed.len() >= limits.events {
            return Err(Exceeded::Events(limits.events).into());
        }
        self.charge(bytes, limits)?;
        let handle = self.first.wrapping_add(u32::try_from(self.handed.len()).unwrap_or(u32::MAX));
        self.handed.push(handed);
        Ok(handle)
    }

    fn charge(&mut self, bytes: usize, limits: &Limits) -> wasmtime::Result<()> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes > limits.output { Err(Exceeded::Output(limits.output).into()) } else { Ok(()) }
    }

    fn edit(&mut self, draft: &Resource<Draft>) -> wasmtime::Result<&mut Edit> {
        let index = draft.rep().wrapping_sub(self.first) as usize;
        match self.handed.get_mut(index) {
            Some(Handed::Edit(edit)) => Ok(edit),
            _ => Err(Exceeded::Stale.into()),
        }
    }
}

impl Edit {
    fn build(mut self: Box<Self>) -> Result<Event, Invalid> {
        let json = speaks_json(self.draft.data_content_type.as_deref(), self.draft.data_kind);
        match self.data {
            Given::Nothing => {}
            Given::Bytes(data) => {
                self.draft.data_kind = kind_of(&data, json, DataKind::Binary);
                self.draft.data = data.into();
            }
            Given::Text(data) => {
                self.draft.data_kind = kind_of(data.as_bytes(), json, DataKind::Text);
                self.draft.data = data.into();
            }
        }
        self.draft.build()
    }
}

/// Whether data is to be read as JSON: its media type says so, or it was JSON and nothing says otherwise.
fn speaks_json(content_type: Option<&str>, before: DataKind) -> bool {
    if content_type.is_none() { before == DataKind::Json } else { is_json(content_type) }
}

/// `Json` is a promise that the data is one JSON value, so it is looked at.
fn kind_of(data: &[u8], json: bool, otherwise: DataKind) -> DataKind {
    if json && is_well_formed(data) { DataKind::Json } else { otherwise }
}

fn event_of(new: NewEvent) -> Result<Event, Invalid> {
    let (data_kind, data) = match new.data {
        None => (DataKind::None, Bytes::new()),
        Some(data) => {
            let json = speaks_json(new.data_content_type.as_deref(), DataKind::None);
            (kind_of(&data, json, DataKind::Binary), data.into())
        }
    };
    let mut draft = event::Draft {
        id: new.id.into(),
        source: new.source.into(),
        kind: new.kind.into(),
        subject: new.subject.map(Into::into),
        time: new.time.map(Into::into),
        data_content_type: new.data_content_type.map(Into::into),
        data_schema: new.data_schema.map(Into::into),
        extensions: Vec::with_capacity(new.extensions.len()),
        data_kind,
        data,
    };
    for attribute in new.extensions {
        draft.extensions.push((attribute.name.into(), attribute.value.into()));
    }
    draft.build()
}

impl Host for State {}

impl HostEmitter for State {
    fn pass(&mut self, _: Resource<Emitter>, _: Resource<Lent>) -> wasmtime::Result<()> {
        self.output.hand(Handed::Pass, 0, &self.limits)?;
        Ok(())
    }

    fn edit(&mut self, _: Resource<Emitter>, _: Resource<Lent>) -> wasmtime::Result<Resource<Draft>> {
        let event = self.event()?;
        // The first copy is free: an event larger than the limit may still be given an attribute.
        let bytes = if self.output.handed.is_empty() { 0 } else { event.record().len() };
        let edit = Edit { draft: event.edit(), data: Given::Nothing };
        let handle = self.output.hand(Handed::Edit(Box::new(edit)), bytes, &self.limits)?;
        Ok(Resource::new_own(handle))
    }

    fn emit(&mut self, _: Resource<Emitter>, new: NewEvent) -> wasmtime::Result<Result<(), String>> {
        match event_of(new) {
            Err(invalid) => Ok(Err(invalid.to_string())),
            Ok(event) => {
                let bytes = event.record().len();
                self.output.hand(Handed::Emit(event), bytes, &self.limits)?;
                Ok(Ok(()))
            }
        }
    }

    fn drop(&mut self, _: Resource<Emitter>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl HostDraft for State {
    fn set(
        &mut self,
        draft: Resource<Draft>,
        name: String,
        value: Value,
    ) -> wasmtime::Result<Result<(), String>> {
        let bytes = name.len() + if let Value::Text(text) = &value { text.len() } else { 4 };
        self.output.charge(bytes, &self.limits)?;
        let edit = self.output.edit(&draft)?;
        Ok(edit.draft.set(&name, Some(value.into())).map_err(|invalid| invalid.to_string()))
    }

    fn remove(&mut self, draft: Resource<Draft>, name: String) -> wasmtime::Result<Result<(), String>> {
        let edit = self.output.edit(&draft)?;
        Ok(edit.draft.set(&name, None).map_err(|invalid| invalid.to_string()))
    }

    fn set_data(&mut self, draft: Resource<Draft>, data: Vec<u8>) -> wasmtime::Result<()> {
        self.output.charge(data.len(), &self.limits)?;
        self.output.edit(&draft)?.data = Given::Bytes(data);
        Ok(())
    }

    fn set_text(&mut self, draft: Resource<Draft>, data: String) -> wasmtime::Result<()> {
        self.output.charge(data.len(), &self.limits)?;
        self.output.edit(&draft)?.data = Given::Text(data);
        Ok(())
    }

    fn remove_data(&mut self, draft: Resource<Draft>) -> wasmtime::Result<()> {
        let edit = self.output.edit(&draft)?;
        edit.data = Given::Nothing;
        edit.draft.data_kind = DataKind::None;
        edit.draft.data = Bytes::new();
        Ok(())
    }

    fn drop(&mut self, _: Resource<Draft>) -> wasmtime::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_json_by_its_bytes_is_kept_as_json() {
        let of = |data: &[u8]| kind_of(data, true, DataKind::Binary);
        assert_eq!(of(br#"{"a":[1,"b"]}"#), DataKind::Json);
        assert_eq!(of(b" [\n1 ]"), DataKind::Json);
        assert_eq!(of(b"{"), DataKind::Binary);
        // It would make every document that holds it one that is no text.
        assert_eq!(of(b"{\"a\":\"\xff\"}"), DataKind::Binary);
        assert_eq!(kind_of(b"1", false, DataKind::Text), DataKind::Text);
    }
}
