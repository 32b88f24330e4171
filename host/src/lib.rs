//! Stagewire: an event router for CloudEvents with typed, hot-swapped WebAssembly filters and transforms.
//!
//! One event goes one way, and each room knows only the next:
//!
//! ```text
//! ingress ──▶ journal ──▶ router ──▶ steps (plugins) ──▶ lanes ──▶ backends
//! ```
//!
//! [`pipeline`] is that way on one screen; [`host`] starts, swaps and stops it.

pub mod admin;
pub mod backends;
mod causes;
pub mod cli;
mod clock;
pub mod config;
pub mod delivery;
pub mod event;
pub mod host;
pub mod ingress;
pub mod journal;
mod listener;
pub mod names;
pub mod pipeline;
pub mod plugins;
pub mod protocol;
pub mod provenance;
pub mod registry;
pub mod router;
pub mod telemetry;
pub mod trace;

pub use event::Event;
