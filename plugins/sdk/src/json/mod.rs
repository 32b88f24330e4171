//! JSON data read as text spans, never as a tree: key order, the text of numbers and every untouched byte stay.

mod find;
mod path;
mod rewrite;

pub use find::find;
pub use path::{Path, Place, Reach, Step};
pub use rewrite::{Action, TooDeep, rewrite};
