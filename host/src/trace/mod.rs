//! Distributed tracing: the way of an event as spans of the trace that it belongs to, exported by OTLP.
//!
//! What an event belongs to stands in its attribute `traceparent` (CloudEvents' distributed tracing extension) and goes
//! with it through journal, overflow and restarts. The extension names the start of the transmission and is never
//! changed; each receiver is told of the host's own span by its transport's header, where it has one. Whoever decides
//! something about a traced event notes a [`Spans`]: the span's id is made of what is known there, so that nothing else
//! is carried along. Off, it is one comparison; and nobody ever waits for a collector.

mod context;
mod export;
mod otlp;
mod span;
mod spans;
mod tracer;

pub use context::{Context, PARENT, STATE};
pub use export::{Exporting, Plan};
pub use span::Destination;
pub use spans::{Publish, Spans, Tries, Way};
pub use tracer::{Arrival, Carried, Sampling, Tracer};
