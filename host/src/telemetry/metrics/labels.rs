//! The labels of metrics as types: a typing error does not compile. Values are names from the settings and fixed words,
//! never ids, subjects or keys of events.

use prometheus_client::encoding::EncodeLabelSet;

/// A set of labels that can say its names.
pub(super) trait Labels: EncodeLabelSet {
    /// In their order.
    const NAMES: &'static [&'static str];
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),+ $(,)? } = [$($text:literal),+];)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        #[allow(clippy::struct_field_names)] // The field is the label's name.
        pub(super) struct $name { $(pub(super) $field: $type),+ }

        impl Labels for $name {
            const NAMES: &'static [&'static str] = &[$($text),+];
        }
    )+};
}

labels! {
    /// Why an event was dropped, refused or left out: a fixed word.
    Reason { reason: &'static str } = ["reason"];
    /// What a privacy rule did: `reject`, `remove` or `mask`.
    Action { action: &'static str } = ["action"];
    /// A route.
    Route { route: String } = ["route"];
    /// A route, and why it left an event out.
    LeftOut { route: String, reason: &'static str } = ["route", "reason"];
    /// A step of a route, and which version of which plugin it is.
    Step { route: String, step: u32, plugin: String, digest: String } = ["route", "step", "plugin", "digest"];
    /// A counter or histogram that a plugin keeps itself.
    Own { route: String, step: u32, plugin: String, name: String } = ["route", "step", "plugin", "name"];
    /// An event type; `other` once there are too many of them.
    Type { r#type: String } = ["type"];
    /// A backend's lane.
    Lane { backend: String } = ["backend"];
    /// A backend's lane, and what sort of failure it was.
    Failure { backend: String, class: &'static str } = ["backend", "class"];
    /// A consumer group of a backend.
    Consumer { backend: String, consumer: String } = ["backend", "consumer"];
    /// The version of the host.
    Version { version: &'static str } = ["version"];
}

/// The trace of an exemplar.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TraceLabel {
    pub(super) trace_id: String,
}
