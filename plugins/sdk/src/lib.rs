//! Write a Stagewire plugin: a type, a trait, and one line that exports it.
//!
//! ```
//! use stagewire_plugin::{Error, Event, Filter, Verdict};
//!
//! struct OnlyLarge { least: u64 }
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Settings { least: u64 }
//!
//! impl Filter for OnlyLarge {
//!     type Settings = Settings;
//!
//!     fn configure(settings: Settings) -> Result<Self, String> {
//!         Ok(Self { least: settings.least })
//!     }
//!
//!     fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
//!         let length = event.data_length().unwrap_or(0);
//!         Ok(if length >= self.least { Verdict::Keep } else { Verdict::drop("too small") })
//!     }
//! }
//!
//! stagewire_plugin::filter!(OnlyLarge);
//! # fn main() {
//! let mut filter = OnlyLarge::configure(Settings { least: 3 }).unwrap();
//! assert_eq!(filter.keep(&Event::test().data("[]")).unwrap(), Verdict::drop("too small"));
//! # }
//! ```
//!
//! Build it with `cargo build --release --target wasm32-unknown-unknown` as a `cdylib` and drop the `.wasm` file into
//! the host's plugin directory. `cargo test` runs natively: [`Event::test`] and [`Emitter::test`] stand in for the host.
//!
//! What several plugins need is behind features: `json` (one value, or the rest, of JSON text without a tree),
//! `template` (`{type}-{/order/id}`) and `pattern` (`com.example.*`).

#[doc(hidden)]
pub mod bindings;
mod emitter;
mod event;
#[doc(hidden)]
pub mod export;
#[cfg(feature = "json")]
pub mod json;
#[cfg(feature = "template")]
mod key;
mod otherwise;
#[cfg(feature = "pattern")]
mod pattern;
mod schema;
mod settings;
mod span;
pub mod state;
#[cfg(feature = "template")]
mod template;

pub use emitter::{Attribute, Draft, Emitter, Handed, NewEvent};
pub use event::{Event, Value};
#[cfg(feature = "template")]
pub use key::Key;
pub use otherwise::Otherwise;
#[cfg(feature = "pattern")]
pub use pattern::Pattern;
pub use schema::check_schema;
pub use span::Span;
#[cfg(feature = "template")]
pub use template::Template;

/// A filter's decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The event goes on.
    Keep,
    /// The event is dropped, with the reason that logs and provenance show.
    Drop(String),
}

impl Verdict {
    /// Drops the event for that reason.
    pub fn drop(reason: impl Into<String>) -> Self {
        Self::Drop(reason.into())
    }
}

/// Why an event could not be processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// It never can be.
    Permanent(String),
    /// It may be later.
    Transient(String),
}

impl Error {
    /// This event can never be processed.
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self::Permanent(reason.into())
    }

    /// The same call may succeed later.
    pub fn transient(reason: impl Into<String>) -> Self {
        Self::Transient(reason.into())
    }
}

/// Settings of a plugin that has none: `{}` and nothing else.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Keeps or drops events.
pub trait Filter: Sized + 'static {
    /// What stands under the step's `settings:`. Give it `deny_unknown_fields`: a wrong key is then refused by name.
    type Settings: serde::de::DeserializeOwned;
    /// The JSON Schema of the settings, as text.
    const SETTINGS_SCHEMA: &str = "";

    /// Called once, before any event. A refusal keeps the host's last good settings.
    fn configure(settings: Self::Settings) -> Result<Self, String>;

    /// Decides on one event.
    fn keep(&mut self, event: &Event) -> Result<Verdict, Error>;
}

/// Hands out any number of events for one.
pub trait Transform: Sized + 'static {
    /// As [`Filter::Settings`].
    type Settings: serde::de::DeserializeOwned;
    /// As [`Filter::SETTINGS_SCHEMA`].
    const SETTINGS_SCHEMA: &str = "";

    /// As [`Filter::configure`].
    fn configure(settings: Self::Settings) -> Result<Self, String>;

    /// Hands events to `out`; none drops the event. What was handed out before an error is discarded.
    fn apply(&mut self, event: &Event, out: &mut Emitter) -> Result<(), Error>;
}

/// How loud a log line is.
pub use bindings::transform::stagewire::plugin::host::Level;

/// Writes to the host's log under the step's name. Never log an event's data. Natively, to standard error.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    bindings::transform::stagewire::plugin::host::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

/// Adds to a counter of the plugin's own; `name` is 1 to 64 of `a-z`, `0-9` and `_`. Natively, nothing.
pub fn count(name: &str, by: u64) {
    #[cfg(target_arch = "wasm32")]
    bindings::transform::stagewire::plugin::host::count(name, by);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = (name, by);
}

/// Adds a value to a histogram of the plugin's own; names as in [`count`]. Natively, nothing.
pub fn observe(name: &str, value: f64) {
    #[cfg(target_arch = "wasm32")]
    bindings::transform::stagewire::plugin::host::observe(name, value);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = (name, value);
}

/// The time of this call in nanoseconds since 1970-01-01T00:00:00Z, the same from its beginning to its end. Natively, the
/// time of [`state::test`], 0 where that is not in use.
pub fn now() -> u64 {
    #[cfg(target_arch = "wasm32")]
    return bindings::transform::stagewire::plugin::host::now();
    #[cfg(not(target_arch = "wasm32"))]
    return state::test::now();
}

/// Exports a [`Filter`] as the plugin of this crate.
#[macro_export]
macro_rules! filter {
    ($filter:ty) => {
        $crate::__plugin!($filter, filter, filtering);

        impl $crate::bindings::filter::exports::stagewire::plugin::filtering::Guest for __Plugin {
            $crate::__common!($filter, $crate::Filter);

            fn keep(
                event: &$crate::bindings::Event,
            ) -> Result<
                $crate::bindings::filter::exports::stagewire::plugin::filtering::Verdict,
                $crate::bindings::Error,
            > {
                PLUGIN.with_borrow_mut(|plugin| $crate::export::keep(plugin, event))
            }
        }
    };
}

/// Exports a [`Transform`] as the plugin of this crate.
#[macro_export]
macro_rules! transform {
    ($transform:ty) => {
        $crate::__plugin!($transform, transform, transforming);

        impl $crate::bindings::transform::exports::stagewire::plugin::transforming::Guest for __Plugin {
            $crate::__common!($transform, $crate::Transform);

            fn apply(
                event: &$crate::bindings::Event,
                out: &$crate::bindings::Emitter,
            ) -> Result<(), $crate::bindings::Error> {
                PLUGIN.with_borrow_mut(|plugin| $crate::export::apply(plugin, event, out))
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin {
    ($plugin:ty, $world:ident, $interface:ident) => {
        struct __Plugin;

        thread_local! {
            static PLUGIN: std::cell::RefCell<Option<$plugin>> = const { std::cell::RefCell::new(None) };
        }

        #[cfg(target_arch = "wasm32")]
        $crate::bindings::$world::export!(__Plugin with_types_in $crate::bindings::$world);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __common {
    ($plugin:ty, $trait:path) => {
        fn describe() -> $crate::bindings::Description {
            $crate::bindings::Description {
                name: env!("CARGO_PKG_NAME").into(),
                version: env!("CARGO_PKG_VERSION").into(),
                description: env!("CARGO_PKG_DESCRIPTION").into(),
                settings_schema: <$plugin as $trait>::SETTINGS_SCHEMA.into(),
            }
        }

        fn configure(settings: String) -> Result<(), String> {
            let plugin = <$plugin as $trait>::configure($crate::export::settings(&settings)?)?;
            PLUGIN.set(Some(plugin));
            Ok(())
        }
    };
}
