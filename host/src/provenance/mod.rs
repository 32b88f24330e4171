//! What became of each event: its rules, its steps, its deliveries, in its own words and without its data.
//!
//! Whoever decides something about an event keeps a [`Recorder`] and notes it there: no lock, no text made, some forty bytes an
//! event. Full recorders go to one thread that writes them in blocks to a segment log of their own. A block carries the
//! range of its events and a Bloom filter of their ids, all of which stay in memory: so one id among ten million is found by
//! reading a few blocks. What the journal has let go of is let go of here.
//!
//! It is no ledger: a crash may take the last 200 ms of it, and what nobody can keep up with is left out and counted.

mod block;
mod note;
mod recorder;
mod store;
mod story;

pub use note::Verdict;
pub use recorder::Recorder;
pub use store::{Options, Provenance};
pub use story::{Burial, Delivery, Journey, State, StepTaken, Story};

#[cfg(test)]
mod tests;
