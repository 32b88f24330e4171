//! The settings file: its types, its reading with line numbers, and the watching of it.

pub mod settings;
pub mod units;

pub use settings::Settings;
