//! JSON data read as text spans, never as a tree: key order, the text of numbers and every untouched byte stay.

mod find;
mod path;
mod rewrite;

pub use find::find;
pub use path::{Path, Place, Reach, Step};
pub use rewrite::{Action, TooDeep, rewrite};

use crate::{Emitter, Error, Event, Verdict};

/// What becomes of an event whose data is not JSON: a setting of plugins that read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotJson {
    /// A permanent error: the step's `on_error` decides.
    #[default]
    Error,
    /// It goes on as it is.
    Pass,
    /// It is dropped.
    Drop,
}

const REASON: &str = "data is not JSON";

impl NotJson {
    /// What a filter answers.
    pub fn verdict(self) -> Result<Verdict, Error> {
        match self {
            Self::Error => Err(Error::permanent(REASON)),
            Self::Pass => Ok(Verdict::Keep),
            Self::Drop => Ok(Verdict::drop(REASON)),
        }
    }

    /// What a transform hands out.
    pub fn hand(self, event: &Event, out: &mut Emitter) -> Result<(), Error> {
        match self {
            Self::Error => return Err(Error::permanent(REASON)),
            Self::Pass => out.pass(event),
            Self::Drop => {}
        }
        Ok(())
    }
}
