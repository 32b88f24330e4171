//! The settings file: its types, its reading with line numbers, and the watching of it.

mod changes;
mod check;
mod document;
mod fault;
mod hosts;
mod interpolate;
mod load;
mod read;
mod reference;
mod schema;
pub mod secrets;
pub mod settings;
mod show;
mod tree;
pub mod units;
mod warnings;
pub mod watch;

pub use changes::{Changes, Difference, Fate, Shown};
pub(crate) use check::nearest;
pub use document::Document;
pub use fault::{Fault, Faults, Reported, Spot};
pub use hosts::Hosts;
pub use load::{AdminPlace, Known, Loaded, admin_place, load, load_sent};
pub use reference::reference;
pub use schema::schema;
pub use settings::Settings;
pub use show::show;

use crate::names::BackendName;

/// One backend that the settings name.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendSpec {
    /// What routes call it.
    pub name: BackendName,
    /// Its type.
    pub kind: String,
    /// Its settings, as its kind understands them.
    pub config: serde_json::Value,
    /// How its lanes work, where that differs from `host.delivery`.
    pub delivery: settings::OwnDelivery,
}

impl BackendSpec {
    /// Whether both lead to the same place by the same connection.
    pub fn same_target(&self, other: &Self) -> bool {
        (&self.name, &self.kind, &self.config) == (&other.name, &other.kind, &other.config)
    }
}

/// The backends that are configured: `events.backend`, or all of `events.backends`.
pub fn backends(settings: &Settings) -> Vec<BackendSpec> {
    let Some(events) = &settings.events else { return Vec::new() };
    let entry = |entry: &settings::BackendEntry| BackendSpec {
        name: entry.name.clone().unwrap_or_else(|| entry.kind.as_str().into()),
        kind: entry.kind.clone(),
        config: entry.config.clone(),
        delivery: entry.delivery.clone(),
    };
    let single = |kind: &String| BackendSpec {
        name: kind.as_str().into(),
        kind: kind.clone(),
        config: events.section(kind).cloned().unwrap_or_default(),
        delivery: settings::OwnDelivery::default(),
    };
    events.backend.iter().map(single).chain(events.backends.iter().map(entry)).collect()
}

/// Where `events.dlq` sends dead letters, if it names a backend: that backend, with another stream.
pub fn dead_letter_backend(settings: &Settings) -> Option<BackendSpec> {
    let events = settings.events.as_ref().filter(|events| events.dlq.enabled)?;
    let wanted = events.dlq.backend.as_deref()?;
    let configured = backends(settings);
    let named = configured.iter().find(|spec| spec.name.as_str() == wanted);
    let named = named.or_else(|| configured.iter().find(|spec| spec.kind == wanted));
    let (kind, mut config) = match named {
        Some(spec) => (spec.kind.as_str(), spec.config.clone()),
        None => (wanted, events.section(wanted).cloned().unwrap_or_default()),
    };
    if config.is_null() {
        config = serde_json::json!({});
    }
    let key = match kind {
        "kafka" => Some("topic"),
        "nats" => Some("subject"),
        "rabbitmq" => Some("routing_key"),
        "webhook" | "stdout" => None,
        _ => Some("stream_name"),
    };
    if let (Some(key), Some(config)) = (key, config.as_object_mut()) {
        config.insert(key.into(), events.dlq.stream_name.clone().into());
    }
    Some(BackendSpec {
        name: "dlq".into(),
        kind: kind.to_owned(),
        config,
        delivery: settings::OwnDelivery::default(),
    })
}

#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod tests;
