//! One span, compact: what a worker or a lane notes of a sampled event, before the exporter makes OTLP of it.

use std::sync::Arc;

use super::context::Context;
use crate::Event;
use crate::names::{BackendName, RouteName};

/// The longest text that goes into a span.
const LONGEST: usize = 500;

/// One span, ended.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) context: Context,
    /// The span above; 0 for the first of a trace.
    pub(super) parent: u64,
    /// Another process recorded that one.
    pub(super) remote: bool,
    /// Unix nanoseconds.
    pub(super) begun: u64,
    pub(super) ended: u64,
    pub(super) about: Arc<About>,
    pub(super) what: What,
    pub(super) error: Option<Error>,
}

/// Why something failed.
#[derive(Debug)]
pub(super) struct Error {
    /// A fixed word.
    pub(super) class: &'static str,
    /// For people.
    pub(super) text: String,
}

impl Error {
    pub(super) fn new(class: &'static str, text: &str) -> Self {
        Self { class, text: cut(text) }
    }
}

/// Plugins and brokers write texts of any length.
pub(super) fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST)].to_owned()
}

/// The event: its attributes and its size, never its data.
#[derive(Debug)]
pub(super) struct About {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) kind: String,
    pub(super) subject: Option<String>,
    pub(super) size: usize,
}

impl About {
    pub(super) fn new(event: &Event) -> Arc<Self> {
        Arc::new(Self {
            id: cut(event.id()),
            source: cut(event.source()),
            kind: cut(event.kind()),
            subject: event.subject().map(cut),
            size: event.data().len(),
        })
    }
}

/// What happened in it.
#[derive(Debug)]
pub(super) enum What {
    /// An ingress took it, and the journal has it.
    Receive {
        ingress: &'static str,
        /// What the transport said, where that is another trace than the event's.
        link: Option<Context>,
    },
    /// The way along one route.
    Route { route: RouteName, generation: u64, outcome: &'static str, lanes: usize },
    /// One step.
    Step { route: RouteName, step: usize, plugin: String, verdict: &'static str, reason: String },
    /// One try to deliver it.
    Send { route: RouteName, to: Arc<Destination>, tries: u32, batch: usize, receipt: String },
    /// The publish that several sampled events were in; it links to the try of each.
    Batch { to: Arc<Destination>, events: Vec<Context>, count: usize },
    /// It became a dead letter.
    Bury { route: RouteName, backend: BackendName },
}

/// Where a lane delivers, in the words of the semantic conventions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    /// `messaging.system`
    pub system: &'static str,
    /// `messaging.destination.name`, or its template.
    pub name: String,
    /// The backend.
    pub backend: String,
    /// Its address, without credentials.
    pub address: String,
}
