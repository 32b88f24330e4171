//! What the export macros call.

use serde::de::DeserializeOwned;

use crate::bindings::filter::exports::stagewire::plugin::filtering::Verdict as RawVerdict;
use crate::bindings::{self, Error as RawError};
use crate::{Emitter, Error, Event, Filter, Transform, Verdict};

pub fn settings<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    #[cfg(target_arch = "wasm32")]
    tell_where_it_panics();
    crate::settings::parse(text)
}

pub fn keep<F: Filter>(filter: &mut Option<F>, event: &bindings::Event) -> Result<RawVerdict, RawError> {
    let filter = filter.as_mut().ok_or_else(unconfigured)?;
    match filter.keep(&Event::lent(event))? {
        Verdict::Keep => Ok(RawVerdict::Keep),
        Verdict::Drop(reason) => Ok(RawVerdict::Drop(reason)),
    }
}

pub fn apply<T: Transform>(
    transform: &mut Option<T>,
    event: &bindings::Event,
    out: &bindings::Emitter,
) -> Result<(), RawError> {
    let transform = transform.as_mut().ok_or_else(unconfigured)?;
    Ok(transform.apply(&Event::lent(event), &mut Emitter::lent(out))?)
}

fn unconfigured() -> RawError {
    RawError::Permanent("called before configure".into())
}

impl From<Error> for RawError {
    fn from(error: Error) -> Self {
        match error {
            Error::Permanent(reason) => Self::Permanent(reason),
            Error::Transient(reason) => Self::Transient(reason),
        }
    }
}

/// A panic ends in a bare trap. Its place goes to the log; its message does not, because it may quote an event.
#[cfg(target_arch = "wasm32")]
fn tell_where_it_panics() {
    std::panic::set_hook(Box::new(|panic| {
        if let Some(place) = panic.location() {
            crate::log(crate::Level::Error, &format!("panicked at {place}"));
        }
    }));
}
