//! A setting that many plugins have.

use crate::{Emitter, Error, Event, Verdict};

/// What becomes of an event that a plugin can do nothing with: `error`, `pass` or `drop` in its settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// A permanent error: the step's `on_error` decides.
    #[default]
    Error,
    /// It goes on as it is.
    Pass,
    /// It is dropped.
    Drop,
}

impl Otherwise {
    /// What a filter answers.
    pub fn verdict(self, reason: impl Into<String>) -> Result<Verdict, Error> {
        match self {
            Self::Error => Err(Error::permanent(reason)),
            Self::Pass => Ok(Verdict::Keep),
            Self::Drop => Ok(Verdict::drop(reason)),
        }
    }

    /// What a transform hands out.
    pub fn hand(self, reason: impl Into<String>, event: &Event, out: &mut Emitter) -> Result<(), Error> {
        match self {
            Self::Error => return Err(Error::permanent(reason)),
            Self::Pass => out.pass(event),
            Self::Drop => {}
        }
        Ok(())
    }
}
