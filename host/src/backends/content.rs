//! How an event stands in a broker's message.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `content` of a broker's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// One JSON document.
    #[default]
    Structured,
    /// Attributes as headers, data as body.
    Binary,
}
