//! How a transform hands events out: to the host, or to a test that looks at them.

use std::cell::RefCell;
use std::rc::Rc;

pub use crate::bindings::{Attribute, NewEvent};
use crate::event::{Made, Value};
use crate::{Error, Event, bindings};

/// Takes the events that come out of a call, in order.
#[derive(Debug)]
pub struct Emitter<'a>(Sink<'a>);

#[derive(Debug)]
enum Sink<'a> {
    Lent(&'a bindings::Emitter),
    Test(Vec<Slot>),
}

#[derive(Debug)]
enum Slot {
    Pass,
    Edit(Rc<RefCell<Made>>),
    Emit(NewEvent),
}

/// What a test finds handed out.
#[derive(Debug)]
pub enum Handed {
    /// The event as it was.
    Pass,
    /// A changed copy.
    Edit(Event<'static>),
    /// A new event.
    Emit(NewEvent),
}

impl<'a> Emitter<'a> {
    pub(crate) fn lent(emitter: &'a bindings::Emitter) -> Self {
        Self(Sink::Lent(emitter))
    }

    /// Hands the event on as it is.
    pub fn pass(&mut self, event: &Event) {
        match (&mut self.0, event.raw()) {
            (Sink::Lent(emitter), Some(event)) => emitter.pass(event),
            (Sink::Test(slots), _) => slots.push(Slot::Pass),
            (Sink::Lent(_), None) => {}
        }
    }

    /// Hands on a copy that may still be changed until the call ends. What is not set stays the host's own bytes.
    pub fn edit(&mut self, event: &Event) -> Draft {
        match (&mut self.0, event.raw()) {
            (Sink::Lent(emitter), Some(event)) => Draft(Page::Lent(emitter.edit(event))),
            (Sink::Test(slots), _) => {
                let made = Rc::new(RefCell::new(event.made()));
                slots.push(Slot::Edit(Rc::clone(&made)));
                Draft(Page::Test(made))
            }
            (Sink::Lent(_), None) => Draft(Page::Test(Rc::default())),
        }
    }

    /// Hands a new event on.
    pub fn emit(&mut self, event: NewEvent) -> Result<(), Error> {
        match &mut self.0 {
            Sink::Lent(emitter) => emitter.emit(&event).map_err(Error::Permanent),
            Sink::Test(slots) => {
                slots.push(Slot::Emit(event));
                Ok(())
            }
        }
    }
}

impl Emitter<'static> {
    /// An emitter for a test.
    pub fn test() -> Self {
        Self(Sink::Test(Vec::new()))
    }

    /// What was handed out, in order.
    pub fn handed(self) -> Vec<Handed> {
        let Sink::Test(slots) = self.0 else { return Vec::new() };
        let handed = |slot| match slot {
            Slot::Pass => Handed::Pass,
            Slot::Edit(made) => Handed::Edit(Event::of(made.borrow().clone())),
            Slot::Emit(event) => Handed::Emit(event),
        };
        slots.into_iter().map(handed).collect()
    }
}

/// A changed copy in the making.
#[derive(Debug)]
pub struct Draft(Page);

#[derive(Debug)]
enum Page {
    Lent(bindings::Draft),
    Test(Rc<RefCell<Made>>),
}

impl Draft {
    /// Sets an attribute by its CloudEvents name.
    pub fn set(&self, name: &str, value: impl Into<Value>) -> Result<(), Error> {
        let value = value.into();
        match &self.0 {
            Page::Lent(draft) => draft.set(name, &value.into()).map_err(Error::Permanent),
            Page::Test(made) => {
                made.borrow_mut().set(name, Some(value));
                Ok(())
            }
        }
    }

    /// Removes an optional attribute.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        match &self.0 {
            Page::Lent(draft) => draft.remove(name).map_err(Error::Permanent),
            Page::Test(made) => {
                made.borrow_mut().set(name, None);
                Ok(())
            }
        }
    }

    /// Replaces `data` and keeps `datacontenttype`.
    pub fn set_bytes(&self, data: &[u8]) {
        match &self.0 {
            Page::Lent(draft) => draft.set_data(data),
            Page::Test(made) => made.borrow_mut().data = Some(data.to_vec()),
        }
    }

    /// Replaces `data` by text and keeps `datacontenttype`.
    pub fn set_text(&self, data: &str) {
        match &self.0 {
            Page::Lent(draft) => draft.set_text(data),
            Page::Test(made) => made.borrow_mut().data = Some(data.as_bytes().to_vec()),
        }
    }

    /// Removes `data`.
    pub fn remove_data(&self) {
        match &self.0 {
            Page::Lent(draft) => draft.remove_data(),
            Page::Test(made) => made.borrow_mut().data = None,
        }
    }
}
