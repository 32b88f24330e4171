//! Lanes: between the workers and one backend each.
//!
//! A lane batches, retries with pauses, keeps order per key, reconnects, keeps to a rate, stops trying while its breaker
//! is open, and overflows to disk while its backend is down, so that no other lane waits. Backends only say what
//! happened; everything that follows is decided here.

mod accounts;
mod breaker;
mod burial;
mod forwarder;
mod lane;
mod outcomes;
mod pace;
mod pause;
mod pending;
mod policy;
mod publisher;
mod publishing;
mod queue;
mod rate;
mod settling;
mod status;
mod watching;

pub use breaker::{BreakerPolicy, BreakerState};
pub use forwarder::Forwarder;
pub use lane::{Lane, Overflow};
pub use policy::{GivenUp, Policy};
pub use status::{ConsumerStatus, LaneStatus, State};

use crate::Event;
use crate::journal::Owed;
use crate::names::RouteName;

/// One event for one lane.
#[derive(Debug)]
pub struct Outgoing {
    /// The event.
    pub event: Event,
    /// The hash of its ordering key.
    pub key: u64,
    /// When it was accepted, Unix milliseconds.
    pub at_ms: u64,
    /// The route that it took.
    pub route: RouteName,
    /// What tells the event from any other (see [`Owed::identity`]), also when it is owed to the overflow by now.
    pub identity: Option<u64>,
    /// To be settled once it is confirmed or kept elsewhere.
    pub owed: Owed,
}

#[cfg(test)]
mod tests;
